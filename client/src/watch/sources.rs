//! Where evidence comes from: any number of URLs for a pool, tried one after the other, each with a
//! deadline. None of them is trusted: evidence is known by its digest, what is signed by its signer.

use crate::{api::Api, failure};
use quorate_common::{
    digest::Digest,
    exit::{Code, Failure},
    ids::PoolId,
};
use quorate_grid::evidence::BATCH_FILE_BYTES_MAX;
use quorate_scheduler::http::batches::SealedBatch;
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fs, path::Path, time::Duration};
use tokio::{io::AsyncWriteExt as _, time::timeout};

/// Longest download of one evidence file from one URL: 1 GiB at 2 MB/s.
const FILE_WITHIN: Duration = Duration::from_secs(600);
/// Longest wait for the signatures of a batch from one URL: 200 KiB.
const SEAL_WITHIN: Duration = Duration::from_secs(20);

/// The URLs.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    /// For every pool.
    all: Vec<Api>,
    /// For one.
    own: BTreeMap<u32, Vec<Api>>,
}

impl Sources {
    /// Reads `URL` and `N=URL`.
    pub(super) fn parse(texts: &[String]) -> Result<Self, Failure> {
        let mut sources = Self::default();
        for text in texts {
            match text.split_once('=') {
                Some((pool, url)) if !pool.contains(':') => {
                    let expected = || format!("--evidence {text}: expected POOL=URL or URL");
                    let pool: u32 =
                        pool.parse().map_err(|_| Failure::new(Code::Usage, expected()))?;
                    sources.own.entry(pool).or_default().push(Api::new(url)?);
                }
                _ => sources.all.push(Api::new(text)?),
            }
        }
        Ok(sources)
    }

    fn of(&self, pool: PoolId) -> impl Iterator<Item = &Api> {
        self.own.get(&pool.0).into_iter().flatten().chain(&self.all)
    }

    /// Whether there is any for a pool.
    pub(super) fn has(&self, pool: PoolId) -> bool {
        self.of(pool).next().is_some()
    }

    /// Downloads an evidence file to `path`. Why nobody has it, if nobody has.
    pub(super) async fn file(
        &self,
        pool: PoolId,
        digest: Digest,
        path: &Path,
    ) -> Result<Result<(), String>, Failure> {
        let mut why = Vec::new();
        for api in self.of(pool) {
            match timeout(FILE_WITHIN, download(api, digest, path)).await {
                Ok(Ok(())) => return Ok(Ok(())),
                Ok(Err(Broken::Disk(failure))) => return Err(failure),
                Ok(Err(Broken::Source(text))) => why.push(format!("{}: {text}", api.base())),
                Err(_) => why.push(format!("{}: not within {FILE_WITHIN:?}", api.base())),
            }
        }
        Ok(Err(if why.is_empty() { "no --evidence URL is given".into() } else { why.join("; ") }))
    }

    /// What the URLs say was signed as a batch, and why the others say nothing.
    pub(super) async fn seals(&self, pool: PoolId, index: u64) -> (Vec<SealedBatch>, String) {
        let (mut seals, mut why) = (Vec::new(), Vec::new());
        for api in self.of(pool) {
            match timeout(SEAL_WITHIN, api.batch(index)).await {
                Ok(Ok(seal)) => seals.push(seal),
                Ok(Err(failure)) => why.push(format!("{}: {}", api.base(), failure.message)),
                Err(_) => why.push(format!("{}: not within {SEAL_WITHIN:?}", api.base())),
            }
        }
        (seals, why.join("; "))
    }
}

/// Why a download failed: our disk's fault is nobody's silence.
enum Broken {
    Disk(Failure),
    Source(String),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Source(failure.message)
    }
}

/// Bytes go to the disk as they come, so that a large file takes no memory.
async fn download(api: &Api, digest: Digest, path: &Path) -> Result<(), Broken> {
    let unborn = path.with_extension("part");
    let disk = |error: std::io::Error| Broken::Disk(failure::file("write", &unborn, &error));
    let mut response = api.blob_response(digest).await?;
    let mut file = tokio::fs::File::create(&unborn).await.map_err(disk)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(chunk) = response.chunk().await.map_err(|error| api.unreachable(&error))? {
        bytes += chunk.len();
        if bytes > BATCH_FILE_BYTES_MAX {
            return Err(Broken::Source(format!("more than {BATCH_FILE_BYTES_MAX} bytes")));
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(disk)?;
    }
    file.sync_all().await.map_err(disk)?;
    let found = Digest(hash.finalize().into());
    if found != digest {
        return Err(Broken::Source(format!("sent bytes of digest {found} for {digest}")));
    }
    fs::rename(&unborn, path).map_err(disk)
}
