//! Bringing a plan's blobs to the scheduler: asked for first, streamed, several at once.

use crate::{
    api::{Api, again},
    failure,
    plan::{FileBlob, Plan},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use quorate_common::{digest::Digest, exit::Failure};
use reqwest::Body;

/// Uploads at once: enough to hide a scheduler's latency, few enough for its disk.
const UPLOADS_AT_ONCE: usize = 4;

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// Blobs sent.
    pub blobs: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs the scheduler had already.
    pub known: u32,
}

/// Uploads module, inputs and bag; the bag last, since its presence promises the rest.
///
/// # Errors
/// The scheduler's, or an unreadable file.
pub async fn plan(api: &Api, plan: &Plan) -> Result<Uploaded, Failure> {
    let files = std::iter::once(&plan.app).chain(plan.inputs.values());
    let uploads = stream::iter(files.map(|blob| file(api, blob))).buffer_unordered(UPLOADS_AT_ONCE);
    let add = |sum: Uploaded, one: Uploaded| async move { Ok(sum.plus(one)) };
    let sum = uploads.try_fold(Uploaded::default(), add).await?;
    Ok(sum.plus(bytes(api, plan.bag_digest, &plan.bag_bytes).await?))
}

/// Uploads bytes held in memory.
///
/// # Errors
/// The scheduler's.
pub async fn bytes(api: &Api, digest: Digest, bytes: &[u8]) -> Result<Uploaded, Failure> {
    if api.has_blob(digest).await? {
        return Ok(Uploaded { known: 1, ..Uploaded::default() });
    }
    let len = bytes.len() as u64;
    again(async || api.put_blob(digest, len, Body::from(bytes.to_vec())).await).await?;
    Ok(Uploaded { blobs: 1, bytes: len, known: 0 })
}

/// Uploads a file.
///
/// # Errors
/// The scheduler's, or an unreadable file.
pub async fn file(api: &Api, blob: &FileBlob) -> Result<Uploaded, Failure> {
    put(blob, api, async |body| api.put_blob(blob.digest, blob.len, body).await).await
}

/// Uploads a dataset, of which only workers of deals that pay for it are given the bytes.
///
/// # Errors
/// The scheduler's, or an unreadable file.
pub async fn dataset(api: &Api, blob: &FileBlob) -> Result<Uploaded, Failure> {
    put(blob, api, async |body| api.put_dataset(blob.digest, blob.len, body).await).await
}

async fn put(
    blob: &FileBlob,
    api: &Api,
    send: impl AsyncFn(Body) -> Result<(), Failure>,
) -> Result<Uploaded, Failure> {
    if api.has_blob(blob.digest).await? {
        return Ok(Uploaded { known: 1, ..Uploaded::default() });
    }
    let put = async || {
        let file = tokio::fs::File::open(&blob.path).await;
        let file = file.map_err(|error| failure::file("read", &blob.path, &error))?;
        send(Body::from(file)).await
    };
    again(put).await.map_err(|mut failure| {
        failure.message = format!("{}: {}", blob.path.display(), failure.message);
        failure
    })?;
    Ok(Uploaded { blobs: 1, bytes: blob.len, known: 0 })
}

impl Uploaded {
    fn plus(self, other: Self) -> Self {
        Self {
            blobs: self.blobs + other.blobs,
            bytes: self.bytes + other.bytes,
            known: self.known + other.known,
        }
    }
}
