//! The embedded node behind alloy's transport interface.

use crate::embedded::{EmbeddedNode, RpcError};
use alloy::rpc::json_rpc::{
    ErrorPayload, RequestPacket, Response, ResponsePacket, ResponsePayload, SerializedRequest,
};
use alloy::transports::{TransportError, TransportErrorKind, TransportFut, TransportResult};
use serde_json::value::{RawValue, to_raw_value};
use std::task::{Context, Poll};
use tower_service::Service;

/// The embedded node as an alloy transport. Never fails as a transport: the node's errors travel
/// inside its answers.
#[derive(Clone, Debug)]
pub(super) struct EmbeddedTransport(pub(super) EmbeddedNode);

impl Service<RequestPacket> for EmbeddedTransport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let node = self.0.clone();
        // The EVM may run for a second and the disk may sync: not on a thread that serves sockets.
        let answer = tokio::task::spawn_blocking(move || answer_packet(&node, &packet));
        Box::pin(async move { answer.await.map_err(TransportErrorKind::custom)? })
    }
}

fn answer_packet(node: &EmbeddedNode, packet: &RequestPacket) -> TransportResult<ResponsePacket> {
    match packet {
        RequestPacket::Single(request) => Ok(ResponsePacket::Single(answer(node, request)?)),
        RequestPacket::Batch(requests) => {
            let answers: TransportResult<Vec<Response>> =
                requests.iter().map(|request| answer(node, request)).collect();
            Ok(ResponsePacket::Batch(answers?))
        }
    }
}

fn answer(node: &EmbeddedNode, request: &SerializedRequest) -> TransportResult<Response> {
    let params = match request.params() {
        Some(raw) => serde_json::from_str(raw.get()).map_err(TransportError::ser_err)?,
        None => serde_json::Value::Null,
    };
    let payload = match node.request(request.method(), params) {
        Ok(value) => ResponsePayload::Success(raw(&value)?),
        Err(error) => ResponsePayload::Failure(error_payload(error)?),
    };
    Ok(Response { id: request.id().clone(), payload })
}

fn error_payload(error: RpcError) -> TransportResult<ErrorPayload> {
    let data = error.data.as_ref().map(raw).transpose()?;
    Ok(ErrorPayload { code: error.code, message: error.message.into(), data })
}

fn raw(value: &serde_json::Value) -> TransportResult<Box<RawValue>> {
    to_raw_value(value).map_err(TransportError::ser_err)
}
