//! How the running scheduler is told something by who may read its folder: a socket in the data folder, one
//! word in, one JSON line out. `drain`, `cancel`, `status`, and the questions of `desk`; nothing from any network.

use crate::{
    desk::{self, Ask},
    drain::{self, Remaining},
    system::Running,
};
use quorate_common::exit::{Code, Failure};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

/// Longest word read: a question with a reason in it.
const WORD_BYTES_MAX: u64 = 4 << 10;
/// How long who connects may take to say it: it is a program of ours.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Whether no new orders are taken.
    pub(crate) draining: bool,
    /// What is still to be done.
    pub(crate) remaining: Remaining,
}

/// The socket. Its file goes when it does.
#[derive(Debug)]
pub(crate) struct Control {
    /// Nothing where the folder's path is longer than a socket's may be.
    listener: Option<UnixListener>,
    path: PathBuf,
}

impl Control {
    /// Opens it. The journal's lock says that nobody else serves this folder.
    pub(crate) fn open(data: &Path) -> Result<Self, Failure> {
        let path = path(data);
        drop(fs::remove_file(&path));
        let listener = match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                tracing::warn!(path = %path.display(), "too long for a socket: `drain` cannot reach this scheduler");
                None
            }
            bound => Some(bound.and_then(|listener| private(&path).map(|()| listener)).map_err(
                |error| Failure::new(Code::Internal, format!("{}: {error}", path.display())),
            )?),
        };
        Ok(Self { listener, path })
    }

    /// Answers until a drain is done.
    pub(crate) async fn serve(&self, running: &Running) {
        loop {
            tokio::select! {
                stream = self.accept() => answer(stream, running).await,
                () = tokio::time::sleep(drain::LOOK) => {}
            }
            let draining = running.shared.draining.load(Ordering::Acquire);
            if draining && drain::step(&running.grid).await {
                return self.last_words(running).await;
            }
        }
    }

    /// Who waits for the end must be able to tell it from a crash: so it hears that nothing is left.
    async fn last_words(&self, running: &Running) {
        let told = async { answer(self.accept().await, running).await };
        drop(tokio::time::timeout(drain::LOOK * 3, told).await);
    }

    async fn accept(&self) -> UnixStream {
        loop {
            match &self.listener {
                None => std::future::pending().await,
                Some(listener) => match listener.accept().await {
                    Ok((stream, _)) => return stream,
                    // Out of descriptors, for one: others go first.
                    Err(error) => {
                        tracing::warn!(%error, "control");
                        tokio::time::sleep(drain::LOOK).await;
                    }
                },
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// Says a word to the scheduler that serves `data`.
///
/// # Errors
/// Nobody serves it, or it does not answer.
pub(crate) async fn say(data: &Path, word: &str) -> io::Result<Status> {
    let talk = async {
        let mut stream = UnixStream::connect(path(data)).await?;
        stream.write_all(format!("{word}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        serde_json::from_str(&answer).map_err(io::Error::other)
    };
    tokio::time::timeout(PATIENCE, talk).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Asks the scheduler that serves `data` something.
///
/// # Errors
/// Nobody serves it, or it does not answer.
pub(crate) async fn ask(data: &Path, ask: &Ask) -> io::Result<serde_json::Value> {
    let talk = async {
        let mut stream = UnixStream::connect(path(data)).await?;
        let line = serde_json::to_string(ask).map_err(io::Error::other)?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        serde_json::from_str(&answer).map_err(io::Error::other)
    };
    tokio::time::timeout(PATIENCE * 2, talk).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn answer(stream: UnixStream, running: &Running) {
    let talk = async {
        let mut stream = BufReader::new(stream);
        let mut word = String::new();
        (&mut stream).take(WORD_BYTES_MAX).read_line(&mut word).await?;
        if word.starts_with('{') {
            let answer = desk::answer(&running.state, &word).await;
            return stream.write_all(&serde_json::to_vec(&answer)?).await;
        }
        hear(word.trim(), running);
        let draining = running.shared.draining.load(Ordering::Acquire);
        let remaining = running.remaining().await.unwrap_or_default();
        let status = serde_json::to_vec(&Status { draining, remaining })?;
        stream.write_all(&status).await
    };
    // Who went away has no answer to miss.
    drop(tokio::time::timeout(PATIENCE, talk).await);
}

fn hear(word: &str, running: &Running) {
    let draining = match word {
        "drain" => true,
        "cancel" => false,
        _ => return,
    };
    if running.shared.draining.swap(draining, Ordering::AcqRel) != draining {
        tracing::info!(draining, "told by who runs this machine");
    }
}

fn private(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

fn path(data: &Path) -> PathBuf {
    data.join("control.sock")
}
