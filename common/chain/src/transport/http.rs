//! JSON-RPC over http and https, with a limit on what a node may answer.
//!
//! alloy's own HTTP transport reads an answer of any length into memory; a node is somebody else's
//! program, and one that is broken or hostile must not take the scheduler's memory.

use crate::error::SettleError;
use alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use alloy::transports::{TransportError, TransportErrorKind, TransportFut, TransportResult};
use serde::de::Error as _;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;
use url::Url;

/// How long a connection may take to stand.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Bytes of one answer: 20,000 of our largest events. The follower asks for fewer blocks when an
/// answer is longer; nothing else we ask for comes near.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// A node's address and the connections to it. Redirects are not followed: where transactions go
/// is the operator's decision.
#[derive(Clone, Debug)]
pub(super) struct HttpTransport {
    client: reqwest::Client,
    url: Url,
}

impl HttpTransport {
    pub(super) fn new(url: Url, node: &str) -> Result<Self, SettleError> {
        // The one process-wide provider; an error means that somebody else installed one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| SettleError::Unreachable {
                node: node.to_owned(),
                method: "TLS set-up",
                source: error.without_url().into(),
            })?;
        Ok(Self { client, url })
    }

    async fn exchange(self, packet: RequestPacket) -> TransportResult<ResponsePacket> {
        let sent = self.client.post(self.url).json(&packet).send().await;
        let mut answer = sent.map_err(lost)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let what = format!("longer than {ANSWER_BYTES_MAX} bytes");
                return Err(TransportError::deser_err(serde_json::Error::custom(what), ""));
            }
            body.extend_from_slice(&chunk);
        }
        // Nodes send JSON-RPC errors with any status, so the body is asked before the status.
        let status = answer.status();
        serde_json::from_slice(&body).map_err(|error| {
            if status.is_success() {
                TransportError::deser_err(error, "")
            } else {
                TransportErrorKind::http_error(status.as_u16(), String::new())
            }
        })
    }
}

/// Without the URL, whose path may hold an API key.
fn lost(error: reqwest::Error) -> TransportError {
    TransportErrorKind::custom(error.without_url())
}

impl Service<RequestPacket> for HttpTransport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        Box::pin(self.clone().exchange(packet))
    }
}
