//! Where evidence of final batches comes from: whoever serves it, or the folder in which a watcher keeps its
//! own copy. It is known by its digest, so that it does not matter who that is.

use quorate_common::{
    digest::Digest,
    messages::{Domain, Header},
    report::Chain,
};
use quorate_grid::evidence::BATCH_FILE_BYTES_MAX;
use std::{fs, io, path::PathBuf, time::Duration};

/// Longest download of one file: 1 GiB at 2 MB/s.
const FILE_WITHIN: Duration = Duration::from_secs(600);

/// Somebody who may have evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A scheduler's API, or whatever serves its `/v1/blobs`.
    Url(String),
    /// A folder of a `quorate watch`.
    Folder(PathBuf),
}

impl From<&str> for Source {
    fn from(text: &str) -> Self {
        let is_url = text.starts_with("http://") || text.starts_with("https://");
        if is_url { Self::Url(text.to_owned()) } else { Self::Folder(text.into()) }
    }
}

/// A batch's evidence from the first that has it, or what each said.
pub(super) async fn file(
    sources: &[Source],
    domain: Domain,
    header: &Header,
) -> Result<Vec<u8>, String> {
    let digest = Digest::from(header.evidence);
    let mut why = Vec::new();
    for source in sources {
        let found = match source {
            Source::Url(url) => download(url, digest).await,
            Source::Folder(dir) => read(dir, domain, header),
        };
        match found {
            Ok(bytes) if Digest::of(&bytes) == digest => return Ok(bytes),
            Ok(_) => why.push(format!("{}: other bytes than the header names", source.name())),
            Err(text) => why.push(format!("{}: {text}", source.name())),
        }
    }
    Err(if why.is_empty() { "no --evidence is given".to_owned() } else { why.join("; ") })
}

impl Source {
    fn name(&self) -> String {
        match self {
            Self::Url(url) => url.clone(),
            Self::Folder(dir) => dir.display().to_string(),
        }
    }
}

/// The folder may be a watcher's, its folder for this contract, or the one in there for this pool.
fn read(dir: &std::path::Path, domain: Domain, header: &Header) -> Result<Vec<u8>, String> {
    let name = format!("{:012}.evidence", header.index);
    let of_pool = format!("pool-{}", header.pool.0);
    let of_contract = format!("{}-{}", domain.chain_id, domain.contract);
    let deep = dir.join(of_contract).join(&of_pool);
    let mut missing = String::new();
    for path in [dir.join(&name), dir.join(of_pool).join(&name), deep.join(&name)] {
        match fs::read(&path) {
            Ok(bytes) => return Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing = format!("there is no {name}");
            }
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    Err(missing)
}

async fn download(base: &str, digest: Digest) -> Result<Vec<u8>, String> {
    // The one process-wide provider; an error means that somebody else installed one before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let text = |error: reqwest::Error| Chain(&error.without_url()).to_string();
    let client = reqwest::Client::builder().timeout(FILE_WITHIN).build().map_err(text)?;
    let url = format!("{}/v1/blobs/{digest}", base.trim_end_matches('/'));
    let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let mut answer = answer.map_err(text)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(text)? {
        if bytes.len() + chunk.len() > BATCH_FILE_BYTES_MAX {
            return Err(format!("more than {BATCH_FILE_BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
