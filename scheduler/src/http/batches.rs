//! One batch, as it was signed: what a watcher, or anybody, needs beside the evidence (a blob, named in
//! the header) to hold the scheduler to it.

use super::{State, error::ApiError};
use actix_web::{get, web};
use quorate_common::{
    anchor::Opening,
    exit::{Code, Failure},
    messages::Header,
};
use quorate_grid::evidence::Seal;
use serde::{Deserialize, Serialize};

/// `GET /v1/batches/{index}`; also a line of a watcher's mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBatch {
    /// [`SealedBatch::SCHEMA`].
    pub schema: String,
    /// What was signed.
    pub header: Header,
    /// The signatures over it and its commit sets.
    pub seal: Seal,
    /// What the contract's word of it holds; nothing if the scheduler has not seen it on chain.
    pub opening: Option<Opening>,
}

impl SealedBatch {
    /// The only schema there is.
    pub const SCHEMA: &'static str = "quorate.batch/v1";
}

/// One sealed batch.
#[utoipa::path(get, path = "/v1/batches/{index}", params(("index" = u64, Path, description = "from 1")),
    responses((status = 200, description = "quorate.batch/v1: header, signatures, opening"),
        (status = 404, description = "no such batch, or it is not sealed yet")))]
#[get("/v1/batches/{index}")]
pub(crate) async fn sealed_batch(
    state: web::Data<State>,
    path: web::Path<u64>,
) -> Result<web::Json<SealedBatch>, ApiError> {
    let index = *path;
    let own = state.clone();
    let read = web::block(move || read(&own, index)).await;
    let batch = read.map_err(|_| ApiError(super::stopping()))??;
    #[cfg(feature = "byzantine")]
    let batch = crate::byzantine::shown(&state.shared, batch)?;
    Ok(web::Json(batch))
}

fn read(state: &State, index: u64) -> Result<SealedBatch, Failure> {
    let internal = |error: &dyn std::error::Error| {
        Failure::new(Code::Internal, quorate_common::report::Chain(error))
    };
    let sealed = state.batches.read(index).map_err(|error| internal(&error))?;
    let sealed = sealed.ok_or_else(|| {
        Failure::new(Code::NotFound, format!("batch {index} is not sealed"))
            .hint("`GET /v1/batches` lists those that are closed")
    })?;
    let opening = state.batches.opening(index).map_err(|error| internal(&error))?;
    let schema = SealedBatch::SCHEMA.to_owned();
    Ok(SealedBatch { schema, header: sealed.header, seal: sealed.seal, opening })
}
