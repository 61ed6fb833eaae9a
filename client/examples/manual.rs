//! Writes what packages bring along for the three programs, from their own command lines: manual pages into
//! `DIR/man`, completions for bash, zsh and fish into folders of their names. `cargo run --example manual -- DIR`.
//! An example, so that no program carries the generators.

use clap::Command;
use clap_complete::{Shell, generate_to};
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = env::args_os().nth(1).ok_or("usage: manual DIR")?;
    let commands = [
        ("quorate", quorate_client::cli::command()),
        ("quorate-scheduler", quorate_scheduler::cli::command()),
        ("quorate-worker", quorate_worker::cli::command()),
    ];
    for (name, command) in commands {
        write(name, command, Path::new(&dir))?;
    }
    Ok(())
}

fn write(name: &str, mut command: Command, dir: &Path) -> Result<(), Box<dyn Error>> {
    let man = dir.join("man");
    fs::create_dir_all(&man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let folder = dir.join(shell.to_string());
        fs::create_dir_all(&folder)?;
        generate_to(shell, &mut command, name, &folder)?;
    }
    clap_mangen::generate_to(command, &man)?;
    Ok(())
}
