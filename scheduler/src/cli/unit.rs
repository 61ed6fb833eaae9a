//! The systemd unit for a pool that is not in the package's place: the package's own, with this program,
//! this folder and this user in it.

use crate::config::Config;
use quorate_common::exit::{Code, Failure};
use rustix::process::geteuid;
use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// As it is packaged.
const PACKAGED: &str = include_str!("../../../deploy/systemd/quorate-scheduler.service");

/// Writes the unit.
pub(super) fn write(path: &Path, config: &Config) -> Result<(), Failure> {
    let wrong = |what: &str, error: std::io::Error| {
        Failure::new(Code::Internal, format!("--unit {}: {what}: {error}", path.display()))
    };
    let program = std::env::current_exe().map_err(|error| wrong("this program", error))?;
    let data = std::path::absolute(&config.data).map_err(|error| wrong("`data`", error))?;
    fs::write(path, text(&program, &data, &owner(&data)))
        .map_err(|error| wrong("cannot be written", error))
}

fn text(program: &Path, data: &Path, user: &str) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some(("ExecStart", _)) => {
            format!("ExecStart=\"{}\" --data \"{}\" serve", program.display(), data.display())
        }
        Some(("User", _)) => format!("User={user}"),
        // The folder is there, and systemd makes its own only below /var/lib.
        Some(("StateDirectory", _)) => format!("ReadWritePaths=\"{}\"", data.display()),
        // Nobody else's home is seen, but the folder may be in one.
        Some(("ProtectHome", _)) => "ProtectHome=read-only".into(),
        Some(_) | None => line.to_owned(),
    };
    let lines = PACKAGED.lines().filter(|line| !line.starts_with("StateDirectoryMode="));
    let lines: Vec<String> = lines.map(line).collect();
    lines.join("\n") + "\n"
}

/// Whose folder it is, as systemd takes it: a number does.
fn owner(data: &Path) -> String {
    let found = fs::metadata(data).map(|found| found.uid());
    found.unwrap_or_else(|_| geteuid().as_raw()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_names_this_program_and_this_folder() {
        let unit = text("/opt/q/quorate-scheduler".as_ref(), "/srv/my pool".as_ref(), "1000");
        let start = "ExecStart=\"/opt/q/quorate-scheduler\" --data \"/srv/my pool\" serve";
        for line in [start, "User=1000", "ReadWritePaths=\"/srv/my pool\"", "NoNewPrivileges=yes"] {
            assert!(unit.lines().any(|one| one == line), "no `{line}` in {unit}");
        }
        assert!(!unit.contains("StateDirectory"), "{unit}");
    }
}
