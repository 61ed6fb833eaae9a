//! The socket through which an owner's commands reach a running worker: one line of JSON each way, for the owner
//! and the administrator only.

use crate::status::Status;
use quorate_policy::Wish;
use quorate_senses::socket::by_short_name;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
};

/// The socket's name, in the worker's folder.
pub const SOCKET: &str = "control.sock";
/// Bytes of a command, at most: a word and a number.
const ASK_BYTES_MAX: u64 = 1 << 10;
/// Bytes of an answer, at most: a status with a thousand jobs.
const TOLD_BYTES_MAX: u64 = 1 << 20;
/// Longest talk. An answer takes milliseconds.
const TALK: Duration = Duration::from_secs(10);
/// Commands that wait at once: those of one person.
const WAITING_MAX: usize = 8;

/// What can be asked of a running worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask", deny_unknown_fields)]
pub enum Ask {
    /// How it is.
    Status,
    /// Run, finish or pause from now on.
    Wish {
        /// Which.
        wish: Wish,
    },
    /// Read the configuration again.
    Reload,
    /// Throw away what can be fetched again and nobody needs now.
    Clear,
    /// A URL that lets one browser see the page.
    Open,
    /// Give back what is unfinished, show what is sealed, and end.
    Stop,
}

/// What it answers.
// Not tagged within: what serde reads twice can have no number of 128 bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// How it is, with what was asked for in effect.
    Status {
        /// As everybody may see it.
        status: Box<Status>,
        /// Its process.
        pid: u32,
    },
    /// Where the page is.
    Page {
        /// Good once, and for two minutes.
        url: String,
    },
    /// It was not done.
    Refused {
        /// Why.
        why: String,
    },
}

/// A command that waits for its answer.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Told>,
}

/// Listens in `data_dir` until it is dropped.
#[derive(Debug)]
pub struct Control {
    listening: tokio::task::JoinHandle<()>,
    path: PathBuf,
    asked: mpsc::Sender<Asked>,
}

impl Control {
    /// Makes the socket and hands on what is asked there.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn listen(data_dir: &Path) -> io::Result<(Self, mpsc::Receiver<Asked>)> {
        let path = data_dir.join(SOCKET);
        drop(fs::remove_file(&path));
        let listener = by_short_name(&path, |short| UnixListener::bind(short))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let listening = tokio::spawn(listen(listener, sender.clone()));
        Ok((Self { listening, path, asked: sender }, receiver))
    }

    /// The way of the socket's commands, for the page: whatever it does goes there too.
    pub(crate) fn asked(&self) -> mpsc::Sender<Asked> {
        self.asked.clone()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.listening.abort();
        drop(fs::remove_file(&self.path));
    }
}

/// Asks the worker of `data_dir`.
///
/// # Errors
/// None runs there, or it does not answer.
pub async fn ask(data_dir: &Path, ask: &Ask) -> io::Result<Told> {
    let talk = async {
        let path = data_dir.join(SOCKET);
        let stream = by_short_name(&path, |short| std::os::unix::net::UnixStream::connect(short))?;
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream)?;
        stream.write_all(&line(ask)?).await?;
        read(&mut stream, TOLD_BYTES_MAX).await
    };
    tokio::time::timeout(TALK, talk).await?
}

async fn listen(listener: UnixListener, asked: mpsc::Sender<Asked>) {
    while let Ok((stream, _)) = listener.accept().await {
        if !is_owner(&stream) {
            continue;
        }
        let asked = asked.clone();
        tokio::spawn(async move {
            if let Err(error) = tokio::time::timeout(TALK, talk(stream, asked)).await {
                tracing::debug!(%error, "a command was not finished");
            }
        });
    }
    tracing::warn!("commands are not listened to any more");
}

fn is_owner(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn talk(mut stream: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let told = match read(&mut stream, ASK_BYTES_MAX).await {
        Ok(ask) => {
            let (answer, told) = oneshot::channel();
            let gone = || io::Error::other("the worker ends");
            asked.send(Asked { ask, answer }).await.map_err(|_| gone())?;
            told.await.map_err(|_| gone())?
        }
        Err(error) => Told::Refused { why: format!("that is no command: {error}") },
    };
    stream.write_all(&line(&told)?).await
}

fn line(words: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(words)?;
    text.push(b'\n');
    Ok(text)
}

async fn read<T: DeserializeOwned>(stream: &mut UnixStream, most: u64) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream.take(most)).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}
