//! The scheduler as a child process: initialised, served, asked, killed, as an operator would.

use super::machine;
use crate::api::Api;
use quorate_common::{
    exit::{Code, Failure},
    report::Chain,
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a start may take: the mark is five seconds, a slow machine gets more.
const START: Duration = Duration::from_secs(60);
/// How long an end may take.
const END: Duration = Duration::from_secs(20);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// A folder that goes when the benchmark does, unless somebody chose it.
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// The chosen folder, or one in the temporary directory.
    pub(super) fn new(chosen: Option<&Path>) -> Result<Self, Failure> {
        let path = chosen.map_or_else(
            || std::env::temp_dir().join(format!("quorate-bench-{}", std::process::id())),
            Path::to_path_buf,
        );
        std::fs::create_dir_all(&path).map_err(|error| {
            Failure::new(Code::Internal, format!("folder {}: {error}", path.display()))
        })?;
        Ok(Self { path, keep: chosen.is_some() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // A folder that stays behind in the temporary directory is a nuisance, no failure.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

/// A running scheduler.
pub(super) struct Program {
    binary: PathBuf,
    config: PathBuf,
    child: Child,
}

/// The scheduler's program: the one that was named, or the one beside this one.
///
/// # Errors
/// There is none.
pub(super) fn binary(chosen: Option<&Path>) -> Result<PathBuf, Failure> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("quorate-scheduler"));
    let path = chosen.map(Path::to_path_buf).or_else(beside).unwrap_or_default();
    if path.is_file() {
        return Ok(path);
    }
    let message = format!("no scheduler program at {}", path.display());
    let hint = "build it with `cargo build --release --workspace`, or name it with --scheduler";
    Err(Failure::new(Code::NotFound, message).hint(hint))
}

/// Runs `init` with these settings; they are kept in the configuration file it writes.
///
/// # Errors
/// It failed; its own words.
pub(super) fn init(
    binary: &Path,
    data: &Path,
    set: &[String],
    flags: &[&str],
) -> Result<PathBuf, Failure> {
    let config = data.join("quorate.toml");
    let mut command = Command::new(binary);
    command.args(["init", "--config"]).arg(&config).arg("--data").arg(data).args(flags);
    for set in set {
        command.args(["--set", set]);
    }
    let done = command.output().map_err(|error| cannot_run(binary, &error))?;
    if done.status.success() {
        return Ok(config);
    }
    let words = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(Failure::new(Code::Internal, format!("{} init: {words}", binary.display())))
}

impl Program {
    /// Starts to serve. Ready once [`Program::ready`] says so.
    ///
    /// # Errors
    /// The program cannot be run.
    pub(super) fn serve(binary: PathBuf, config: PathBuf) -> Result<Self, Failure> {
        let child = spawn(&binary, &config)?;
        Ok(Self { binary, config, child })
    }

    /// Waits until the API answers.
    ///
    /// # Errors
    /// The program ended or takes too long.
    pub(super) async fn ready(&mut self, url: &str) -> Result<Api, Failure> {
        let began = Instant::now();
        let api = Api::new(url)?;
        while began.elapsed() < START {
            if let Ok(Some(status)) = self.child.try_wait() {
                let message = format!("the scheduler ended while starting: {status}");
                return Err(Failure::new(Code::Internal, message).hint("its words are above"));
            }
            if api.is_healthy().await {
                return Ok(api);
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(Failure::new(Code::TimedOut, format!("{url} does not answer after a minute")))
    }

    /// Kills it as a power cut does, and starts it again.
    ///
    /// # Errors
    /// The program cannot be killed or run.
    pub(super) fn kill_and_serve(&mut self) -> Result<(), Failure> {
        let gone = self.child.kill().and_then(|()| self.child.wait());
        gone.map_err(|error| Failure::new(Code::Internal, Chain(&error)))?;
        self.child = spawn(&self.binary, &self.config)?;
        Ok(())
    }

    /// Nanoseconds of processor time so far.
    pub(super) fn cpu_ns(&self) -> Result<u64, Failure> {
        machine::cpu_ns(self.child.id())
    }

    /// Memory it holds.
    pub(super) fn rss_bytes(&self) -> Result<u64, Failure> {
        machine::rss_bytes(self.child.id())
    }

    /// Memory it holds once that has stopped changing for a second: allocators give back late.
    pub(super) async fn settled_rss_bytes(&self) -> Result<u64, Failure> {
        let mut last = self.rss_bytes()?;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.rss_bytes()?;
            if now.abs_diff(last) < 64 << 10 {
                return Ok(now);
            }
            last = now;
        }
        Ok(last)
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// It does not end, or not well.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let pid = self.child.id().to_string();
        // `kill` is everywhere; a signal by number would need unsafe code.
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        let began = Instant::now();
        while began.elapsed() < END {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(Failure::new(Code::Internal, format!("the scheduler: {status}")));
                }
                Ok(None) => tokio::time::sleep(LOOK).await,
                Err(error) => return Err(Failure::new(Code::Internal, error)),
            }
        }
        Err(Failure::new(Code::TimedOut, "the scheduler does not end after SIGTERM"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(binary: &Path, config: &Path) -> Result<Child, Failure> {
    let mut command = Command::new(binary);
    command.arg("--config").arg(config).arg("serve");
    // Its log is for whoever looks for what went wrong; its standard output would be ours.
    command.env("QUORATE_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().map_err(|error| cannot_run(binary, &error))
}

fn cannot_run(binary: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Internal, format!("{}: {error}", binary.display()))
}
