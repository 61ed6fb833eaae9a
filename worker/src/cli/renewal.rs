//! What a running worker does about newer versions: says that it has come up, looks for releases, and makes
//! room for another version when the work in hand is done. What is believed and installed is decided in
//! `quorate_update::rules`.

use super::{
    config::{Config, UpdateWish},
    failure,
    output::Output,
    update,
};
use crate::{Status, WorkerHandle, WorkerOptions};
use quorate_agent::LinkView;
use quorate_common::{exit::Failure, report::Chain};
use quorate_update::{
    Folder, Line, UpdateError, Updater,
    line::{LAUNCHED, Word},
    rules::{Effect, Input, Mode},
};
use std::{env, path::PathBuf, time::Duration};
use tokio::{net::UnixDatagram, time::Instant};

/// From a start to the first look: a worker has better things to do first.
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// Longest wait for a run to end, which is then given up for a later look: a task of a day would otherwise
/// keep the machine idle beside it.
const FINISH_MAX: Duration = Duration::from_secs(6 * 3600);

/// Why a worker has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It was told to, or its launcher is gone.
    Over,
    /// Another version is to run.
    ForAnother,
}

/// The side of a worker that looks after its version.
pub(crate) struct Renewal {
    updater: Option<Updater>,
    folder: PathBuf,
    every: Duration,
    line: Option<Line>,
    knock: Option<UnixDatagram>,
    said: Option<String>,
    output: Output,
}

/// What woke it.
enum Woken {
    Up,
    Look,
    Knock,
    Orphaned,
}

impl Renewal {
    /// Must be called inside a runtime.
    pub(crate) fn begin(
        config: &Config,
        options: &WorkerOptions,
        output: Output,
    ) -> Result<Self, Failure> {
        let wish = config.update()?;
        let folder = config.path(update::FOLDER);
        let updater = match wish {
            UpdateWish { mode: Mode::Off, .. } | UpdateWish { url: None, .. } => None,
            _ => Some(update::updater(config, &options.node_key, &running())?),
        };
        let listens = updater.is_some() || Folder::is_in_use(&folder);
        Ok(Self {
            updater,
            knock: listens.then(|| listen(&folder)).flatten(),
            folder,
            every: wish.every,
            line: line(),
            said: None,
            output,
        })
    }

    /// Returns when the worker should leave.
    pub(crate) async fn watch(&mut self, worker: &WorkerHandle) -> Left {
        let (mut is_up, mut next) = (self.line.is_none(), Instant::now() + FIRST_LOOK);
        loop {
            match self.woken(worker, is_up, next).await {
                Woken::Orphaned => return Left::Over,
                Woken::Up => {
                    is_up = true;
                    if let Some(line) = &mut self.line {
                        line.say(Word::Up).await;
                    }
                }
                Woken::Knock if self.is_wanted() => {
                    if self.finish(worker).await {
                        return Left::ForAnother;
                    }
                }
                Woken::Look | Woken::Knock => {
                    next = Instant::now() + self.every;
                    if self.look(worker).await && self.finish(worker).await {
                        return Left::ForAnother;
                    }
                }
            }
        }
    }

    /// The last word to the launcher, if there is one; without, this process is its own launcher.
    pub(crate) async fn end(mut self, left: Left) -> Left {
        let Some(line) = &mut self.line else { return left };
        line.say(match left {
            Left::ForAnother => Word::Again,
            Left::Over => Word::Over,
        })
        .await;
        Left::Over
    }

    async fn woken(&mut self, worker: &WorkerHandle, is_up: bool, next: Instant) -> Woken {
        let Self { line, knock, updater, .. } = self;
        let mut status = worker.watch();
        tokio::select! {
            _ = status.wait_for(has_come_up), if !is_up => Woken::Up,
            () = tokio::time::sleep_until(next), if updater.is_some() => Woken::Look,
            () = knocked(knock.as_ref()) => Woken::Knock,
            () = orphaned(line.as_mut()) => Woken::Orphaned,
        }
    }

    fn is_wanted(&self) -> bool {
        let state = Folder::open(&self.folder).and_then(|folder| folder.load());
        state.is_ok_and(|state| state.is_some_and(|state| state.wanted.is_some()))
    }

    /// Whether another version is to run now.
    async fn look(&mut self, worker: &WorkerHandle) -> bool {
        let Some(updater) = &self.updater else { return false };
        let looked = async {
            let mut is_due = false;
            for effect in updater.check().await? {
                is_due |= self.follow(updater, effect).await?;
            }
            updater.settle()?;
            Ok::<_, UpdateError>(is_due)
        };
        let (is_due, said) = match looked.await {
            Ok(is_due) => (is_due, self.news()),
            Err(error) if error.is_passing() => {
                tracing::warn!(error = %Chain(&error), "no look at newer versions");
                (false, None)
            }
            Err(error) => (false, Some(format!("updates: {}", Chain(&error)))),
        };
        // The same words once, however often it looks.
        if said.is_some() && said != self.said {
            said.iter().for_each(|said| self.output.note(said));
            self.said = said;
        }
        // What cannot be reached now could not show that the next version reaches it.
        is_due && worker.view().view.link == LinkView::Up
    }

    async fn follow(&self, updater: &Updater, effect: Effect) -> Result<bool, UpdateError> {
        match effect {
            Effect::Switch => Ok(true),
            Effect::Fetch(version, file) => {
                updater.fetch(version, file).await?;
                if updater.me().mode < Mode::Apply {
                    return Ok(false);
                }
                Ok(updater.tell(Input::Apply)?.contains(&Effect::Switch))
            }
            Effect::Tell(_) | Effect::Run { .. } => Ok(false),
        }
    }

    fn news(&self) -> Option<String> {
        let updater = self.updater.as_ref()?;
        let state = updater.state().ok()?;
        state.offer.as_ref().map(|offer| update::words(&state, offer, &updater.me().running))
    }

    /// Takes nothing new and waits for what runs; what is sealed is on disk, and what has not begun goes back.
    async fn finish(&self, worker: &WorkerHandle) -> bool {
        self.output.note("making room for another version: finishing what runs");
        worker.reins().finish(true);
        let mut status = worker.watch();
        let is_idle = |status: &Status| status.view.running == 0;
        let finished = tokio::time::timeout(FINISH_MAX, status.wait_for(is_idle)).await.is_ok();
        if !finished {
            worker.reins().finish(false);
            self.output.note("what runs takes too long; the other version waits");
        }
        finished
    }
}

/// The scheduler has answered this version: what it says of the worker is another matter.
fn has_come_up(status: &Status) -> bool {
    matches!(status.view.link, LinkView::Up | LinkView::Unregistered)
}

/// What this program was started as.
fn running() -> Option<semver::Version> {
    env::var(LAUNCHED).ok()?.parse().ok()
}

fn line() -> Option<Line> {
    env::var_os(LAUNCHED)?;
    let line = Line::inherited();
    line.inspect_err(|error| tracing::warn!(%error, "there is no launcher to tell")).ok()
}

fn listen(folder: &std::path::Path) -> Option<UnixDatagram> {
    let path = folder.join(update::KNOCK);
    let bind = || -> Result<UnixDatagram, UpdateError> {
        Folder::open(folder)?;
        // Of a worker that was killed.
        drop(std::fs::remove_file(&path));
        let failed = |source| UpdateError::Disk { path: path.clone(), verb: "listened at", source };
        UnixDatagram::bind(&path).map_err(failed)
    };
    let bound = bind().map_err(|error| failure::update(&error));
    bound
        .inspect_err(|error| tracing::warn!(%error, "`update apply` waits for the next start"))
        .ok()
}

async fn knocked(knock: Option<&UnixDatagram>) {
    match knock {
        // Whatever was said: a look costs little, and only the owner can reach the folder.
        Some(knock) if knock.recv(&mut [0; 8]).await.is_ok() => {}
        Some(_) | None => std::future::pending().await,
    }
}

async fn orphaned(line: Option<&mut Line>) {
    let Some(line) = line else { return std::future::pending().await };
    while line.hear().await != Word::End {}
}
