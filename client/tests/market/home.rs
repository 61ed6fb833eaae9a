//! Somebody's machine: a home folder, an environment, and the programs that are run there. What they
//! say goes into the site's log of that name.

use super::site::Site;
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// Longest run of a program that is to end by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// What everybody has in their environment, if a test says so.
pub(crate) static ENVIRONMENT: OnceLock<Vec<(String, String)>> = OnceLock::new();

/// A home folder.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    name: String,
    path: PathBuf,
    log: PathBuf,
    env: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new(site: &Site, name: &str) -> Self {
        let log = site.path().join(format!("{name}.log"));
        let env = ENVIRONMENT.get().cloned().unwrap_or_default();
        Self { name: name.into(), path: site.folder(name), log, env }
    }

    /// The same with one more variable.
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.into(), value.to_string()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, readable by its owner only.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Runs a program to its end.
    pub(crate) async fn run(&self, program: &str, args: &[&str]) -> Ran {
        let mut command = self.command(program, args);
        let began = Instant::now();
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let line = format!("{}$ {program} {}", self.name, args.join(" "));
        let output = output.unwrap_or_else(|_| panic!("{line}: runs for {PATIENCE:?}")).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        let ran = Ran { line, code: code(output.status), out, err };
        writeln!(self.log(), "{ran}after {} ms", began.elapsed().as_millis()).unwrap();
        ran
    }

    /// Starts a program and lets it run. Standard output goes to the file NAME.out beside the log.
    pub(crate) fn start(&self, program: &str, args: &[&str]) -> Running {
        writeln!(self.log(), "{}$ {program} {} &", self.name, args.join(" ")).unwrap();
        let out = self.log.with_extension("out");
        let mut command = self.command(program, args);
        command.stdout(File::create(&out).unwrap()).stderr(self.log());
        Running { child: command.spawn().unwrap(), out }
    }

    /// Everything that was said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log(&self) -> File {
        File::options().create(true).append(true).open(&self.log).unwrap()
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(binary(program));
        command
            .env_clear()
            .env("HOME", &self.path)
            .env("NO_COLOR", "1")
            .envs(self.env.iter().cloned());
        if program == "quorate-worker" {
            // Tests run beside other programs, which must not make a worker rest.
            command.env("QUORATE_DEDICATED", "true");
        }
        command.args(args).current_dir(&self.path).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// A program of this workspace; they are built side by side.
fn binary(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_quorate")).with_file_name(program);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace` first", path.display());
    path
}

/// As a shell has it: 128 and the signal's number for whoever was ended by one.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    line: String,
    code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\n{}{}[exit code {}]", self.line, self.out, self.err, self.code)
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// A failure with this exit code, whose message holds all of this.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, words: &[&str]) -> Self {
        let ran = self.expect(code);
        for words in words {
            assert!(ran.err.contains(words), "expected `{words}`:\n{ran}");
        }
        ran
    }

    /// The document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{self}"))
    }

    /// The error document on standard error.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let last = self.err.lines().last().unwrap_or_default();
        let document: Value =
            serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}:\n{self}"));
        document["error"].clone()
    }
}

/// A program that runs; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
}

impl Running {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// `kill -9`: nothing is flushed, nobody is told.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// A signal by name: `TERM`, `INT`.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let kill = [OsStr::new("-s"), name.as_ref(), pid.as_ref()];
        assert!(Command::new("kill").args(kill).status().await.unwrap().success());
    }

    /// Asks it to end, and returns its exit code.
    pub(crate) async fn end(self, signal: &str) -> i32 {
        self.signal(signal).await;
        self.code().await
    }

    /// Its exit code, when it has ended.
    pub(crate) async fn code(mut self) -> i32 {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        code(status.expect("it ends").unwrap())
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it wrote to standard output so far.
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }
}
