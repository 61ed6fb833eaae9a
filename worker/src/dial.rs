//! Opens a connection with its control stream, and reads frames from it.

use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use quorate_common::{
    quic::SERVER_NAME,
    wire::{self, FRAME_BYTES_MAX, FrameError},
};
use serde::de::DeserializeOwned;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// How long a connection may take to stand, at the first tries: three round trips around the world.
/// A scheduler that was killed in the middle of a handshake never answers it, but answers the next.
const PATIENCE_FIRST: Duration = Duration::from_secs(1);
/// How many tries are the first: a scheduler that restarts is back by then.
const TRIES_FIRST: u32 = 5;
/// How long a later try may take: ten round trips on a bad line.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

/// Why there is no connection. Reads after "no connection to host:port: ".
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The name has no address, or the network is down.
    #[error("the address cannot be resolved: {0}")]
    Resolve(io::Error),
    /// No UDP socket.
    #[error("no UDP socket can be opened: {0}")]
    Socket(io::Error),
    /// quinn refused to begin.
    #[error("{0}")]
    Connect(#[from] quinn::ConnectError),
    /// The handshake failed: nobody is there, or somebody with another key.
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    /// Nobody answered.
    #[error("nobody answered for {} s", .0.as_secs())]
    Silence(Duration),
}

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The scheduler sent what no frame is.
    #[error("the scheduler broke the protocol: {0}")]
    Frame(#[from] FrameError),
    /// The stream ended in the middle of a frame, or at its end.
    #[error("the scheduler closed the connection: {0}")]
    Closed(String),
}

/// Connects to `host:port`, and opens the control stream; `tries` were in vain before.
pub(crate) async fn open(
    address: String,
    config: ClientConfig,
    tries: u32,
) -> Result<Opened, DialError> {
    let patience = if tries < TRIES_FIRST { PATIENCE_FIRST } else { PATIENCE };
    let found = tokio::net::lookup_host(&address).await.map_err(DialError::Resolve)?;
    let mut error = DialError::Resolve(io::Error::other("no address has that name"));
    for remote in found {
        match tokio::time::timeout(patience, open_at(remote, config.clone())).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(failed)) => error = failed,
            Err(_) => error = DialError::Silence(patience),
        }
    }
    Err(error)
}

/// The next frame, its length checked before a byte of it is awaited.
pub(crate) async fn read_frame<T: DeserializeOwned>(recv: &mut RecvStream) -> Result<T, ReadError> {
    let closed = |error: quinn::ReadExactError| ReadError::Closed(error.to_string());
    let mut prefix = [0; 4];
    recv.read_exact(&mut prefix).await.map_err(closed)?;
    let len = wire::frame_len(prefix)?;
    debug_assert!(len <= FRAME_BYTES_MAX, "checked by frame_len");
    let mut body = vec![0; len];
    recv.read_exact(&mut body).await.map_err(closed)?;
    Ok(wire::decode(&body)?)
}

/// Every connection gets a socket of its own: after a cut, nothing of the old line is left.
async fn open_at(remote: SocketAddr, config: ClientConfig) -> Result<Opened, DialError> {
    let local = match remote {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let endpoint = Endpoint::client(local).map_err(DialError::Socket)?;
    let connection = endpoint.connect_with(config, remote, SERVER_NAME)?.await?;
    let (send, recv) = connection.open_bi().await?;
    Ok(Opened { endpoint, connection, send, recv })
}
