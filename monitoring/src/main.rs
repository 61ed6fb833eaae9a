//! Writes what is made from the declarations into this crate's folder, or says what is not up to date.

use quorate_monitoring::files;
use std::{fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            eprintln!(
                "unknown argument `{other}`; expected --check, or nothing to write the files"
            );
            return ExitCode::from(2);
        }
    };
    let mut stale = 0;
    for file in files::all() {
        let path = top.join(&file.path);
        if fs::read_to_string(&path).is_ok_and(|text| text == file.text) {
            continue;
        }
        stale += 1;
        let done = if check { Ok("is not what the source says") } else { write(&path, &file.text) };
        match done {
            Ok(what) => println!("monitoring/{}: {what}", file.path),
            Err(error) => {
                eprintln!("monitoring/{}: {error}", file.path);
                return ExitCode::FAILURE;
            }
        }
    }
    if check && stale > 0 {
        eprintln!("{stale} files are stale: run `cargo run -p quorate-monitoring` and commit them");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn write(path: &Path, text: &str) -> std::io::Result<&'static str> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, text)?;
    Ok("written")
}
