//! Programs the tests talk to. Where one is missing a test says that it did nothing, and fails where CI is set.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// An X server of its own.
pub(crate) struct XServer {
    pub(crate) display: String,
    child: Child,
}

/// A message bus of its own.
pub(crate) struct Bus {
    pub(crate) address: String,
    child: Child,
    _dir: TempDir,
}

impl XServer {
    pub(crate) fn start() -> Option<Self> {
        let arguments = ["-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "640x480x24"];
        let (child, line) = start(Command::new("Xvfb").args(arguments))?;
        Some(Self { display: format!(":{line}"), child })
    }
}

impl Bus {
    pub(crate) fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let at = format!("--address=unix:dir={}", dir.path().display());
        let arguments = ["--session", "--nofork", "--nopidfile", "--print-address", &at];
        let (child, address) = start(Command::new("dbus-daemon").args(arguments))?;
        Some(Self { address, child, _dir: dir })
    }
}

/// Starts a program and waits for the one line it says when it is ready.
fn start(command: &mut Command) -> Option<(Child, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = spawned else {
        assert!(std::env::var_os("CI").is_none(), "{name} is missing: deploy/test installs it");
        eprintln!("{name} is missing: this test did nothing");
        return None;
    };
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.trim().is_empty(), "{name} ended at once");
    Some((child, line.trim().to_owned()))
}

fn end(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
}

impl Drop for XServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
