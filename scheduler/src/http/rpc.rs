//! The development chain's JSON-RPC, where the chain is in this process. For tools on the same machine;
//! a scheduler on a real chain answers 404 here.

use super::{State, error::ApiError};
use actix_web::{post, web};
use quorate_chain::embedded::EmbeddedNode;
use quorate_common::exit::{Code, Failure};
use serde_json::{Value, json};

/// Calls of one batch that are answered; the rest is dropped.
const BATCH_MAX: usize = 100;

/// One call, or a batch of them.
#[post("/rpc")]
pub(crate) async fn rpc(
    state: web::Data<State>,
    body: web::Json<Value>,
) -> Result<web::Json<Value>, ApiError> {
    let Some(node) = state.node.clone() else {
        let message = "this scheduler keeps no chain; ask its chain node";
        return Err(Failure::new(Code::NotFound, message).into());
    };
    let body = body.into_inner();
    let answer = web::block(move || answer(&node, body)).await;
    answer.map(web::Json).map_err(|_| ApiError(super::stopping()))
}

/// What the node says to a JSON-RPC body.
#[expect(clippy::wildcard_enum_match_arm, reason = "the node refuses what is no call")]
pub fn answer(node: &EmbeddedNode, body: Value) -> Value {
    match body {
        Value::Array(calls) => {
            calls.into_iter().take(BATCH_MAX).map(|call| answer(node, call)).collect()
        }
        call => {
            let id = call.get("id").cloned().unwrap_or(Value::Null);
            let method = call.get("method").and_then(Value::as_str).unwrap_or_default();
            let params = call.get("params").cloned().unwrap_or(Value::Array(Vec::new()));
            match node.request(method, params) {
                Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
                Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": {
                    "code": error.code, "message": error.message, "data": error.data } }),
            }
        }
    }
}
