//! quinn's configuration for both ends: every window and every count bounded, because quinn's
//! defaults are made for friends (components.md 6.3). Endpoints and streams are the shells'.

use crate::{keys::NodeKey, tls};
use alloy_primitives::B256;
use quinn::{
    ClientConfig, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use std::{sync::Arc, time::Duration};

/// The name given to TLS, which checks the key and not the name.
pub const SERVER_NAME: &str = "quorate";
/// Streams a worker may have open at once: its control stream, and one transfer per core of a big
/// desktop. quinn keeps state per allowed stream: 2,048 cost 197 KB an idle
/// connection, measured.
pub const STREAMS_MAX: u32 = 16;
/// Bytes in flight on one stream: what 100 Mbit/s at 20 ms needs.
pub const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes in flight on one connection, so that a peer can make the other side hold no more.
pub const WINDOW_BYTES: u32 = 4 << 20;
/// Bytes and streams of a peer nobody knows yet: a hello and the frame after it, and nothing beside the
/// control stream. The scheduler widens both once it knows whose connection it is.
pub const STRANGER_WINDOW_BYTES: u32 = 64 << 10;
/// Streams of a peer nobody knows yet.
pub const STRANGER_STREAMS: u32 = 1;
/// Silence after which a connection is dead.
pub const IDLE: Duration = Duration::from_secs(30);
/// The worker's keep-alive: three fit into [`IDLE`], so that losing two is no loss.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Handshakes waiting to be accepted; beyond it new ones are dropped and try again.
const INCOMING_MAX: usize = 4096;
/// Bytes buffered for one handshake that is not accepted yet: two full flights.
const INCOMING_BYTES: u64 = 32 << 10;
/// Bytes buffered for all of them.
const INCOMING_BYTES_TOTAL: u64 = 16 << 20;

/// Why no configuration could be made. Only a broken build of the TLS library leads here.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct SetupError(String);

/// The scheduler's side.
pub fn server_config(key: &NodeKey) -> Result<ServerConfig, SetupError> {
    server_config_of(key, tls::ALPN)
}

/// The listening side of a protocol by its name: a peer that means another one is refused in the handshake, so that
/// nothing said in one can be taken for a word of another.
pub fn server_config_of(key: &NodeKey, protocol: &[u8]) -> Result<ServerConfig, SetupError> {
    let mut tls = tls::server(key).map_err(setup)?;
    tls.alpn_protocols = vec![protocol.to_vec()];
    let crypto = QuicServerConfig::try_from(tls).map_err(setup)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = transport();
    transport
        .max_concurrent_bidi_streams(STRANGER_STREAMS.into())
        .receive_window(STRANGER_WINDOW_BYTES.into());
    config
        .transport_config(Arc::new(transport))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    Ok(config)
}

/// The worker's side, pinned to the scheduler's key.
pub fn client_config(key: &NodeKey, scheduler: B256) -> Result<ClientConfig, SetupError> {
    client_config_of(key, scheduler, tls::ALPN)
}

/// The asking side of a protocol by its name, pinned to the other's key.
pub fn client_config_of(
    key: &NodeKey,
    peer: B256,
    protocol: &[u8],
) -> Result<ClientConfig, SetupError> {
    let mut tls = tls::client(key, peer).map_err(setup)?;
    tls.alpn_protocols = vec![protocol.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).map_err(setup)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(client_transport()));
    Ok(config)
}

/// Lets a stream have so many bytes under way at most on the connections that follow: those of a line whose
/// owner limits it come no faster than they are read.
pub fn narrow(config: &mut ClientConfig, window_bytes: u32) {
    let mut transport = client_transport();
    transport.stream_receive_window(window_bytes.min(STREAM_WINDOW_BYTES).into());
    config.transport_config(Arc::new(transport));
}

fn client_transport() -> TransportConfig {
    let mut transport = transport();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    transport
}

/// UDP settings of an endpoint: quinn's own, which are sound.
pub fn endpoint_config() -> EndpointConfig {
    EndpointConfig::default()
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(WINDOW_BYTES.into())
        .send_window(u64::from(WINDOW_BYTES))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE).expect("30 s fit a QUIC integer")));
    transport
}

fn setup(error: impl ToString) -> SetupError {
    SetupError(error.to_string())
}
