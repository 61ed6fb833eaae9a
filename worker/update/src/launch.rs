//! Starts the version that is to run, and sees whether it comes up. As long as a version is on trial, what
//! ran before is one step away: if the new one ends, stays silent or is not the file that was verified,
//! it is remembered as bad and the old one runs again.

use crate::{
    Folder, UpdateError,
    line::{LAUNCHED, Line, Word},
    rules::{Effect, Fault, Input, Notice, State},
};
use quorate_common::{clock::SystemClock, report::Chain};
use semver::Version;
use std::{
    ffi::OsString, io, os::unix::process::ExitStatusExt as _, path::PathBuf, process::ExitStatus,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
};

/// What a version that is given up has to end in good order: a worker takes five seconds for its last words
/// and five for its store.
const LEAVE: Duration = Duration::from_secs(15);
/// What a version said before it ended is there at once.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Words in one line, so that a mad version does not keep the launcher busy.
const WORDS_MAX: u32 = 1000;

/// What came of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The worker has ended with this exit status, and so should the launcher.
    Exit(u8),
    /// Something else is to run: begin again.
    Again,
}

/// A launcher of the installed program.
#[derive(Debug)]
pub struct Launcher {
    /// `versions/`.
    pub folder: Folder,
    /// The installed program's own version.
    pub own: Version,
    /// How long a version on trial may take to come up.
    pub patience: Duration,
}

/// A version to start.
#[derive(Debug, PartialEq, Eq)]
pub struct Start {
    version: Version,
    program: PathBuf,
    on_trial: bool,
}

impl Launcher {
    /// What to start; none is the installed program itself.
    ///
    /// # Errors
    /// The disk failed; then the installed program runs.
    pub fn plan(&self) -> Result<Option<Start>, UpdateError> {
        loop {
            let effects = self.tell(Input::Start { own: self.own.clone() })?;
            let state = self.state()?;
            // The old folders may be in the way of nobody: what runs matters more.
            if let Err(error) = self.folder.settle(&state) {
                tracing::warn!(error = %Chain(&error), "the folder of versions is not tidy");
            }
            let Some((version, on_trial)) = run_of(effects) else { return Ok(None) };
            let file = state.kept.get(&version).map(|kept| kept.file);
            let program = file.map(|file| self.folder.program(&version, &file));
            match program {
                Some(Ok(program)) => return Ok(Some(Start { version, program, on_trial })),
                Some(Err(error)) => {
                    tracing::error!(%version, error = %Chain(&error), "a version is not started");
                    self.tell(Input::Failed(version, Fault::Tampered))?;
                }
                // The rules start only what is kept.
                None => return Ok(None),
            }
        }
    }

    /// Runs it to its end, or until it is given up.
    ///
    /// # Errors
    /// The disk or the system failed.
    pub async fn run(
        &self,
        start: Start,
        arguments: impl Iterator<Item = OsString>,
    ) -> Result<Ended, UpdateError> {
        let Start { version, program, on_trial } = start;
        let system = |error| UpdateError::disk(&program, "started", error);
        let mut signals = Signals::listen().map_err(system)?;
        let (line, input) = Line::pair().map_err(system)?;
        let mut command = Command::new(&program);
        command.args(arguments).env(LAUNCHED, version.to_string()).stdin(input);
        // Of its own, so that a terminal's ^C comes once, and through the launcher.
        command.process_group(0).kill_on_drop(true);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%version, %error, "a version cannot be started");
                self.fail(version, Fault::Died)?;
                return Ok(Ended::Again);
            }
        };
        // The other end of the line lives in the command until here.
        drop(command);
        Watch {
            launcher: self,
            version,
            child,
            line,
            on_trial,
            again: false,
            told: false,
            words: 0,
        }
        .until_over(&mut signals)
        .await
    }

    fn fail(&self, version: Version, fault: Fault) -> Result<(), UpdateError> {
        self.tell(Input::Failed(version, fault)).map(drop)
    }

    fn tell(&self, input: Input) -> Result<Vec<Effect>, UpdateError> {
        let now = SystemClock::start().now().unix_s();
        let effects = self.folder.change(|state: &mut Option<State>| match state {
            Some(state) => state.handle(now, input),
            None => Ok(Vec::new()),
        })?;
        effects.iter().for_each(log);
        Ok(effects)
    }

    fn state(&self) -> Result<State, UpdateError> {
        let state = self.folder.load()?;
        state.ok_or_else(|| UpdateError::Missing(self.folder.dir().display().to_string()))
    }
}

/// A version that runs.
struct Watch<'a> {
    launcher: &'a Launcher,
    version: Version,
    child: Child,
    line: Line,
    on_trial: bool,
    /// It ends to make room for another one.
    again: bool,
    /// The owner wants an end: a signal to the launcher, or a word to the worker.
    told: bool,
    words: u32,
}

impl Watch<'_> {
    async fn until_over(mut self, signals: &mut Signals) -> Result<Ended, UpdateError> {
        let patience = tokio::time::sleep(self.launcher.patience);
        tokio::pin!(patience);
        let mut is_open = true;
        loop {
            tokio::select! {
                status = self.child.wait() => return self.ended(status).await,
                word = self.line.hear(), if is_open => is_open = self.take(word)?,
                kind = signals.next() => {
                    self.told = true;
                    self.signal(kind);
                }
                () = &mut patience, if self.on_trial && !self.told => {
                    return self.give_up().await;
                }
            }
            self.words += 1;
            is_open &= self.words < WORDS_MAX;
        }
    }

    fn is_up(&mut self) -> Result<(), UpdateError> {
        if std::mem::take(&mut self.on_trial) {
            self.launcher.tell(Input::CameUp(self.version.clone()))?;
            self.launcher.folder.settle(&self.launcher.state()?)?;
        }
        Ok(())
    }

    /// Whether more may come.
    fn take(&mut self, word: Word) -> Result<bool, UpdateError> {
        match word {
            Word::Up => self.is_up()?,
            Word::Again => self.again = true,
            Word::Over => self.told = true,
            Word::End => return Ok(false),
        }
        Ok(true)
    }

    async fn ended(mut self, status: io::Result<ExitStatus>) -> Result<Ended, UpdateError> {
        let status = status.map_err(|error| UpdateError::disk("the worker", "awaited", error))?;
        // Its last words may still be on the line, which somebody it has started may keep open.
        for _ in 0..WORDS_MAX {
            let word = tokio::time::timeout(LAST_WORDS, self.line.hear()).await;
            if !self.take(word.unwrap_or(Word::End))? {
                break;
            }
        }
        if self.told {
            return Ok(Ended::Exit(code(status)));
        }
        if self.on_trial {
            self.launcher.fail(self.version, Fault::Died)?;
            return Ok(Ended::Again);
        }
        Ok(if self.again { Ended::Again } else { Ended::Exit(code(status)) })
    }

    async fn give_up(mut self) -> Result<Ended, UpdateError> {
        self.signal(SignalKind::terminate());
        if tokio::time::timeout(LEAVE, self.child.wait()).await.is_err() {
            // It may have ended just now.
            drop(self.child.kill().await);
        }
        self.launcher.fail(self.version, Fault::Silent)?;
        Ok(Ended::Again)
    }

    fn signal(&self, kind: SignalKind) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        let signal = rustix::process::Signal::from_named_raw(kind.as_raw_value());
        if let (Some(pid), Some(signal)) = (pid, signal)
            && let Err(error) = rustix::process::kill_process(pid, signal)
        {
            // It may have ended just now.
            tracing::debug!(%error, "a signal did not arrive");
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }
}

fn run_of(effects: Vec<Effect>) -> Option<(Version, bool)> {
    effects.into_iter().find_map(|effect| match effect {
        Effect::Run { version, on_trial } => version.map(|version| (version, on_trial)),
        Effect::Tell(_) | Effect::Fetch(..) | Effect::Switch => None,
    })
}

fn log(effect: &Effect) {
    match effect {
        Effect::Tell(Notice::GivenUp(version, fault, back)) => {
            let back = back.as_ref().map_or("the installed version".into(), Version::to_string);
            tracing::error!("version {version} {}; {back} runs again", fault.words());
        }
        Effect::Tell(Notice::Up(version)) => tracing::info!("version {version} has come up"),
        Effect::Run { version: Some(version), on_trial: true } => {
            tracing::info!("version {version} is tried");
        }
        Effect::Tell(Notice::Newer(_) | Notice::Clock(_))
        | Effect::Fetch(..)
        | Effect::Switch
        | Effect::Run { .. } => {}
    }
}

/// As a shell says it: 128 and the signal's number.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
