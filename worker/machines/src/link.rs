//! Questions and commands between machines that know each other: QUIC, both sides pinned to a node key, one
//! stream for one question. What a command does is the worker's business.

use crate::{Book, Machine, Report, frame, report::plain};
use quinn::{Connection, ConnectionError, Endpoint, Incoming};
use quorate_common::{B256, keys::NodeKey, quic, tls};
use serde::{Deserialize, Serialize};
use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

/// The protocol's name in the handshake: what is said to a scheduler is never heard here, nor the other way round.
const PROTOCOL: &[u8] = b"quorate-machines/1";
/// Bytes of a question.
const ASK_BYTES_MAX: u32 = 1 << 10;
/// Bytes of an answer: a report with every text at its longest.
const ANSWER_BYTES_MAX: u32 = 32 << 10;
/// Longest talk.
const TALK: Duration = Duration::from_secs(10);
/// How long it takes at most to take leave, so that the other side need not wait for silence.
const LEAVE: Duration = Duration::from_millis(250);
/// Talks at once: every machine there may be asks.
const TALKS_MAX: usize = 64;

/// What one machine may want of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask", deny_unknown_fields)]
pub enum Command {
    /// How it is.
    Status,
    /// Hold everything, for so long or until it is told otherwise.
    Pause {
        /// Milliseconds: the clocks of two machines may differ.
        for_ms: Option<u64>,
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
    /// How it is, with what was asked for in effect.
    Report(Box<Report>),
    /// It was not done.
    Refused(String),
}

/// Why there is no report.
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
    /// It was heard, and not done.
    #[error("`{name}` says no: {why}")]
    Refused {
        /// Which machine.
        name: String,
        /// In its words.
        why: String,
    },
    /// The system gives no socket.
    #[error("no socket: {0}")]
    Socket(#[from] io::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Setup(#[from] quic::SetupError),
}

/// Asks another machine, at its address.
///
/// # Errors
/// [`LinkError`].
pub async fn ask(
    own: &NodeKey,
    to: &Machine,
    command: Command,
    patience: Duration,
) -> Result<Report, LinkError> {
    let address = to.address.ok_or_else(|| LinkError::Deaf(to.name.clone()))?;
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut endpoint = Endpoint::client((any, 0).into())?;
    endpoint.set_default_client_config(quic::client_config_of(own, to.key, PROTOCOL)?);
    let answer = timeout(patience, talk(&endpoint, address, command)).await;
    endpoint.close(0_u8.into(), b"");
    // Nobody waits longer for a goodbye; what is not said by then is noticed by its silence.
    drop(timeout(LEAVE, endpoint.wait_idle()).await);
    let name = || to.name.clone();
    let silence = || Err(format!("no answer within {} s", patience.as_secs()));
    match answer.unwrap_or_else(|_| silence()) {
        Ok(Answer::Report(report)) => Ok(report.plain()),
        Ok(Answer::Refused(why)) => Err(LinkError::Refused { name: name(), why: plain(&why) }),
        Err(why) => Err(LinkError::Unreachable { name: name(), address, why: plain(&why) }),
    }
}

async fn talk(
    endpoint: &Endpoint,
    address: SocketAddr,
    command: Command,
) -> Result<Answer, String> {
    let connecting =
        endpoint.connect(address, quic::SERVER_NAME).map_err(|error| error.to_string())?;
    let connection = connecting.await.map_err(|error| lost(&error))?;
    let (mut send, mut recv) = connection.open_bi().await.map_err(|error| lost(&error))?;
    let talked = async {
        frame::write(&mut send, &command).await?;
        frame::read(&mut recv, ANSWER_BYTES_MAX).await
    };
    // Why the other side closed says more than that it did.
    let why = |error: io::Error| match connection.close_reason() {
        Some(reason) => lost(&reason),
        None => error.to_string(),
    };
    talked.await.map_err(why)
}

/// What is said of a line that broke. TLS says of a wrong key that a handshake failed, in a scheduler's words.
fn lost(error: &ConnectionError) -> String {
    let is_crypto = |code: u64| (0x100..0x200).contains(&code);
    if let ConnectionError::TransportError(error) = error
        && is_crypto(error.code.into())
    {
        return "something with another key answers there".into();
    }
    if let ConnectionError::ConnectionClosed(close) = error
        && is_crypto(close.error_code.into())
    {
        return "what answers there speaks another protocol".into();
    }
    if let ConnectionError::ApplicationClosed(close) = error {
        return String::from_utf8_lossy(&close.reason).into_owned();
    }
    error.to_string()
}

/// Listens for companions.
///
/// # Errors
/// The address is taken, or TLS cannot be set up.
pub fn listen(own: &NodeKey, address: SocketAddr) -> Result<Endpoint, LinkError> {
    Ok(Endpoint::server(quic::server_config_of(own, PROTOCOL)?, address)?)
}

/// Answers those in the book at `book`, which is read for each talk: who was removed is not heard any more. `obey` is
/// told who asks, from where, and what.
pub async fn serve<O, F>(endpoint: Endpoint, book: PathBuf, obey: O)
where
    O: Fn(Machine, IpAddr, Command) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let (talks, obey) = (Arc::new(Semaphore::new(TALKS_MAX)), Arc::new(obey));
    while let Some(incoming) = endpoint.accept().await {
        if !incoming.remote_address_validated() {
            // Who sends from a made-up address costs nothing here: no place, no key exchange.
            drop(incoming.retry());
            continue;
        }
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
    obey: &impl Fn(Machine, IpAddr, Command) -> F,
) {
    let Some((connection, machine, command, mut send)) = hear(incoming, book).await else { return };
    let from = connection.remote_address().ip().to_canonical();
    let told = frame::write(&mut send, &obey(machine, from, command).await).await;
    match told.and_then(|()| send.finish().map_err(io::Error::other)) {
        // Whoever asked closes when the answer is there.
        Ok(()) => drop(connection.closed().await),
        Err(error) => tracing::debug!(%error, "a companion did not wait for its answer"),
    }
}

async fn hear(
    incoming: Incoming,
    book: &Path,
) -> Option<(Connection, Machine, Command, quinn::SendStream)> {
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
    Some((connection, machine, command.ok()?, send))
}

fn peer_key(connection: &Connection) -> Option<B256> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<tls::CertificateDer<'static>>>().ok()?;
    tls::peer_key(chain.first()?)
}
