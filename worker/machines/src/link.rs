//! Questions and commands between machines that know each other: QUIC, both sides pinned to a node key, one
//! stream for one question. What a command does is the worker's business.

use crate::{Book, Machine, frame};
use quinn::{Connection, Endpoint, Incoming};
use quorate_common::{B256, keys::NodeKey, quic, tls};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

/// Bytes of a question.
const ASK_BYTES_MAX: u32 = 1 << 10;
/// Bytes of an answer: a status with a thousand jobs.
const ANSWER_BYTES_MAX: u32 = 1 << 20;
/// Longest talk.
const TALK: Duration = Duration::from_secs(10);
/// Talks at once: every machine there may be asks, and some strangers knock.
const TALKS_MAX: usize = 64;

/// What one machine may want of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask", deny_unknown_fields)]
pub enum Command {
    /// How it is.
    Status,
    /// Hold everything, until a moment if there is one.
    Pause {
        /// Unix milliseconds.
        until_unix_ms: Option<u64>,
    },
    /// Take nothing new and finish what runs.
    Finish,
    /// Work again.
    Resume,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Its status, with what was asked for in effect.
    Status(Value),
    /// It was not done.
    Refused(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It does not listen anywhere.
    #[error("`{0}` listens nowhere; set `machines.listen` there and pair again")]
    Deaf(String),
    /// Nobody answers there, or somebody else.
    #[error("`{name}` does not answer at {address}: {why}")]
    Unreachable {
        /// Which machine.
        name: String,
        /// Where it should be.
        address: SocketAddr,
        /// What happened.
        why: String,
    },
    /// The system gives no socket.
    #[error("no socket: {0}")]
    Socket(#[from] io::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Setup(#[from] quic::SetupError),
}

/// Asks another machine.
///
/// # Errors
/// [`LinkError`].
pub async fn ask(own: &NodeKey, to: &Machine, command: Command) -> Result<Answer, LinkError> {
    let address = to.address.ok_or_else(|| LinkError::Deaf(to.name.clone()))?;
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let mut endpoint = Endpoint::client(any)?;
    endpoint.set_default_client_config(quic::client_config(own, to.key)?);
    let unreachable = |why: String| LinkError::Unreachable { name: to.name.clone(), address, why };
    let answer = timeout(TALK, talk(&endpoint, address, command)).await;
    endpoint.close(0_u8.into(), b"");
    answer.map_err(|_| unreachable("no answer within 10 s".into()))?.map_err(unreachable)
}

async fn talk(
    endpoint: &Endpoint,
    address: SocketAddr,
    command: Command,
) -> Result<Answer, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let connecting = endpoint.connect(address, quic::SERVER_NAME).map_err(|error| text(&error))?;
    let connection = connecting.await.map_err(|error| text(&error))?;
    let (mut send, mut recv) = connection.open_bi().await.map_err(|error| text(&error))?;
    let talked = async {
        frame::write(&mut send, &command).await?;
        frame::read(&mut recv, ANSWER_BYTES_MAX).await
    };
    // Why the other side closed says more than that it did.
    let why = |error: io::Error| match connection.close_reason() {
        Some(reason) => reason.to_string(),
        None => error.to_string(),
    };
    talked.await.map_err(why)
}

/// Listens for companions.
///
/// # Errors
/// The address is taken, or TLS cannot be set up.
pub fn listen(own: &NodeKey, address: SocketAddr) -> Result<Endpoint, LinkError> {
    Ok(Endpoint::server(quic::server_config(own)?, address)?)
}

/// Answers those in the book at `book`, which is read for each talk: who was removed is not heard any more.
pub async fn serve<O, F>(endpoint: Endpoint, book: PathBuf, obey: O)
where
    O: Fn(String, Command) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let (talks, obey) = (Arc::new(Semaphore::new(TALKS_MAX)), Arc::new(obey));
    while let Some(incoming) = endpoint.accept().await {
        let Ok(permit) = Arc::clone(&talks).try_acquire_owned() else {
            incoming.ignore();
            continue;
        };
        let (book, obey) = (book.clone(), Arc::clone(&obey));
        tokio::spawn(async move {
            let _permit = permit;
            if timeout(TALK, answer(incoming, &book, &*obey)).await.is_err() {
                tracing::debug!("a companion did not finish its question");
            }
        });
    }
}

async fn answer<F: Future<Output = Answer>>(
    incoming: Incoming,
    book: &Path,
    obey: &impl Fn(String, Command) -> F,
) {
    let Some((connection, name, command, mut send)) = hear(incoming, book).await else { return };
    let told = frame::write(&mut send, &obey(name, command).await).await;
    match told.and_then(|()| send.finish().map_err(io::Error::other)) {
        // Whoever asked closes when the answer is there.
        Ok(()) => drop(connection.closed().await),
        Err(error) => tracing::debug!(%error, "a companion did not wait for its answer"),
    }
}

async fn hear(
    incoming: Incoming,
    book: &Path,
) -> Option<(Connection, String, Command, quinn::SendStream)> {
    let connection = incoming.await.ok()?;
    let peer = peer_key(&connection);
    let book = Book::read(book).inspect_err(|error| tracing::warn!(%error, "nobody is heard"));
    let known = book.ok().zip(peer).and_then(|(book, key)| book.by_key(key).cloned());
    let Some(machine) = known else {
        tracing::info!(peer = %connection.remote_address(), "a stranger is not heard");
        connection.close(1_u8.into(), b"not paired with this machine");
        return None;
    };
    let (send, mut recv) = connection.accept_bi().await.ok()?;
    let command = frame::read(&mut recv, ASK_BYTES_MAX).await;
    let command = command
        .inspect_err(|error| tracing::info!(%error, from = machine.name, "that is no question"));
    Some((connection, machine.name, command.ok()?, send))
}

fn peer_key(connection: &Connection) -> Option<B256> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<tls::CertificateDer<'static>>>().ok()?;
    tls::peer_key(chain.first()?)
}
