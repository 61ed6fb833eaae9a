//! The real program, run as its user would run it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

/// `quorate-worker` with this data folder, an empty environment, and these arguments.
pub(crate) fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-worker"));
    command.env_clear().env("HOME", data_dir).arg("--data-dir").arg(data_dir).args(arguments);
    // Tests run beside other programs, which must not make a worker rest.
    command.env("QUORATE_DEDICATED", "true");
    command
}

/// Runs it to its end.
pub(crate) fn run(data_dir: &Path, arguments: &[&str]) -> Output {
    command(data_dir, arguments).output().unwrap()
}

/// Runs it, insists on its exit code, and returns standard output and standard error.
#[track_caller]
pub(crate) fn ends(data_dir: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = run(data_dir, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\nout: {out}\nerr: {err}");
    (out, err)
}

/// Starts it, and lets it run; what it says goes to a file in its folder.
pub(crate) fn start(data_dir: &Path, arguments: &[&str]) -> Running {
    let log = fs::File::options().create(true).append(true).open(data_dir.join("log")).unwrap();
    let child = command(data_dir, arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    Running(child)
}

/// A program that runs; killed when the test is over.
pub(crate) struct Running(Child);

impl Running {
    /// Its process's number.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// `kill -9`: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// A signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Its exit code, when it has ended.
    pub(crate) async fn code(&mut self) -> Option<i32> {
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
