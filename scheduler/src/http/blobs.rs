//! Blobs over HTTP: named by their sha256, streamed both ways, never larger than the cap.

use super::{State, error::ApiError};
use crate::blobs::{BlobError, BlobReader, Blobs};
use actix_web::{HttpResponse, get, head, put, web};
use futures_util::{StreamExt as _, stream};
use quorate_common::{
    digest::Digest,
    exit::{Code, Failure},
    report::Chain,
};
use std::io::Read as _;

/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 << 10;

/// How a blob is stored.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Storing {
    /// Only for workers of deals that pay for it as their dataset.
    #[serde(default)]
    guarded: bool,
}

/// Stores a blob under its digest.
#[utoipa::path(put, path = "/v1/blobs/{digest}", params(("digest" = String, Path, description = "sha256, 64 hex digits"),
    ("guarded" = bool, Query, description = "kept from everybody but workers of deals that pay for it as their dataset")),
    responses((status = 201, description = "stored"), (status = 400, description = "other bytes than the digest says, or too many")))]
#[put("/v1/blobs/{digest}")]
pub(crate) async fn put_blob(
    state: web::Data<State>,
    path: web::Path<String>,
    storing: web::Query<Storing>,
    mut body: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let digest = parse(&path)?;
    let mut upload = state.shared.blobs.begin();
    if storing.guarded {
        upload = upload.guarded();
    }
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Failure::new(Code::Usage, format!("body: {error}")))?;
        let written = web::block(move || upload.write(&chunk).map(|()| upload)).await;
        upload = written.map_err(|_| ApiError(super::stopping()))?.map_err(|e| refused(&e))?;
    }
    let bytes = upload.bytes();
    let finished = web::block(move || upload.finish(Some(digest))).await;
    finished.map_err(|_| ApiError(super::stopping()))?.map_err(|error| refused(&error))?;
    state.shared.metrics.transfer_bytes.with_label_values(&["in"]).inc_by(bytes);
    state.shared.uploaded.notify_one();
    Ok(HttpResponse::Created().finish())
}

/// A blob's bytes.
#[utoipa::path(get, path = "/v1/blobs/{digest}", params(("digest" = String, Path, description = "sha256, 64 hex digits")),
    responses((status = 200, description = "the bytes"), (status = 403, description = "a dataset: for workers of deals that pay for it"), (status = 404, description = "not here")))]
#[get("/v1/blobs/{digest}")]
pub(crate) async fn get_blob(
    state: web::Data<State>,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let digest = parse(&path)?;
    #[cfg(feature = "byzantine")]
    if crate::byzantine::hides(digest) {
        return Err(missing(digest));
    }
    if state.shared.blobs.is_guarded(&digest) {
        let message = format!("blob {digest} is somebody's dataset");
        let hint = "order tasks that pay for it; only their workers are given it";
        return Err(Failure::new(Code::Denied, message).hint(hint).into());
    }
    let reader = reader(&state.shared.blobs, digest).await?;
    let len = reader.len();
    state.shared.metrics.transfer_bytes.with_label_values(&["out"]).inc_by(len);
    Ok(HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header(("etag", format!("\"{digest}\"")))
        .insert_header(("x-content-type-options", "nosniff"))
        .no_chunking(len)
        .streaming(stream::unfold(Some(reader), chunk)))
}

/// Whether a blob is here.
#[head("/v1/blobs/{digest}")]
pub(crate) async fn head_blob(
    state: web::Data<State>,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let digest = parse(&path)?;
    let len = state.shared.blobs.len(&digest).ok_or_else(|| missing(digest))?;
    Ok(HttpResponse::Ok().no_chunking(len).finish())
}

async fn reader(blobs: &Blobs, digest: Digest) -> Result<BlobReader, ApiError> {
    let blobs = blobs.clone();
    let reader = web::block(move || blobs.reader(&digest)).await;
    reader.map_err(|_| ApiError(super::stopping()))?.map_err(|error| refused(&error))
}

type Chunk = (Result<web::Bytes, actix_web::Error>, Option<BlobReader>);

async fn chunk(reader: Option<BlobReader>) -> Option<Chunk> {
    let mut reader = reader?;
    let read = web::block(move || {
        let mut bytes = vec![0; CHUNK_BYTES];
        reader.read(&mut bytes).map(|count| {
            bytes.truncate(count);
            (bytes, reader)
        })
    });
    match read.await {
        Ok(Ok((bytes, _))) if bytes.is_empty() => None,
        Ok(Ok((bytes, reader))) => Some((Ok(web::Bytes::from(bytes)), Some(reader))),
        Ok(Err(error)) => Some((Err(error.into()), None)),
        Err(error) => Some((Err(error.into()), None)),
    }
}

fn parse(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|error| Failure::new(Code::Usage, error).into())
}

fn missing(digest: Digest) -> ApiError {
    Failure::new(Code::NotFound, format!("blob {digest} is not here")).into()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is our disk's fault")]
fn refused(error: &BlobError) -> ApiError {
    match error {
        BlobError::Missing { digest } => missing(*digest),
        BlobError::TooLarge { .. } | BlobError::WrongDigest { .. } => {
            Failure::new(Code::Usage, format!("the blob: {}", Chain(error))).into()
        }
        BlobError::Full { .. } => {
            Failure::new(Code::Conflict, format!("the blob: {}", Chain(error))).into()
        }
        _ => Failure::new(Code::Internal, format!("the blob: {}", Chain(error))).into(),
    }
}
