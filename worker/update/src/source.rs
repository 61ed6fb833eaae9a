//! Where releases come from: a folder, or any web server that serves one. Nobody has to trust it: what
//! it shows is signed, what it sends is bounded, counted and hashed. It can stay silent, and that is
//! noticed when what it last showed expires.
//!
//! ```text
//! root/2.json, root/3.json …   roots, each signed by the one before
//! stable.json                  the release of a channel
//! blobs/<sha256>               programs
//! ```

use crate::{
    UpdateError,
    folder::Part,
    rules::{Artefact, Document, RELEASE_BYTES_MAX, ROOT_BYTES_MAX},
};
use quorate_common::report::Chain;
use reqwest::{Client, Response, StatusCode, header::RANGE};
use std::{
    fs::File,
    io::{self, Read as _},
    path::PathBuf,
    time::Duration,
};

/// Longest wait for a document, all of it.
const DOCUMENT_TIME: Duration = Duration::from_secs(30);
/// Longest silence while a program comes.
const SILENCE: Duration = Duration::from_secs(30);
/// Below this a source is dripping, not sending: what came is kept, and the next check goes on from there.
const BYTES_PER_S_MIN: u64 = 8 << 10;
/// New roots taken in one go: a publisher changes keys once a year.
const ROOTS_MAX: u64 = 32;
/// Redirections followed: a release host sends to its storage.
const REDIRECTS_MAX: usize = 3;
const CHUNK_BYTES: usize = 64 << 10;

/// A place that shows releases.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder, perhaps a mounted one.
    Folder(PathBuf),
    /// A web server.
    Web {
        /// Without a slash at the end.
        url: String,
        /// With its limits.
        client: Client,
    },
}

impl Source {
    /// From what the owner wrote.
    ///
    /// # Errors
    /// [`UpdateError::Setting`].
    pub fn parse(text: &str) -> Result<Self, UpdateError> {
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::Folder(path.into()));
        }
        if text.starts_with('/') {
            return Ok(Self::Folder(text.into()));
        }
        if !text.starts_with("https://") && !text.starts_with("http://") {
            let expected = "https://…, http://…, or the whole path of a folder";
            return Err(UpdateError::Setting { field: "update.url", value: text.into(), expected });
        }
        // The one process-wide provider; an error means that somebody else installed one before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder()
            .connect_timeout(SILENCE)
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            .build()
            .map_err(|error| unreachable(text, Chain(&error)))?;
        Ok(Self::Web { url: text.trim_end_matches('/').into(), client })
    }

    /// The roots that follow `version`, as far as there are any.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub async fn roots(&self, version: u64) -> Result<Vec<Document>, UpdateError> {
        let mut roots = Vec::new();
        for next in (version + 1..).take(ROOTS_MAX as usize) {
            match self.document(&format!("root/{next}.json"), ROOT_BYTES_MAX).await? {
                Some(document) => roots.push(document),
                None => break,
            }
        }
        Ok(roots)
    }

    /// What the channel shows.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub async fn release(&self, channel: &str) -> Result<Document, UpdateError> {
        let name = format!("{channel}.json");
        let document = self.document(&name, RELEASE_BYTES_MAX).await?;
        document.ok_or_else(|| UpdateError::Missing(self.place(&name)))
    }

    /// Fetches what is missing of a program.
    ///
    /// # Errors
    /// [`UpdateError`]; what came is kept for the next call, unless it was too much.
    pub async fn program(&self, file: &Artefact, part: &mut Part) -> Result<(), UpdateError> {
        if !part.is_short() {
            return Ok(());
        }
        let name = format!("blobs/{}", file.sha256);
        let time = SILENCE + Duration::from_secs(file.bytes / BYTES_PER_S_MIN);
        let receive = async {
            match self {
                Self::Folder(dir) => copy(&dir.join(&name), part),
                Self::Web { url, client } => download(client, &format!("{url}/{name}"), part).await,
            }
        };
        let slow = || unreachable(&self.place(&name), "it comes too slowly; the rest later");
        tokio::time::timeout(time, receive).await.map_err(|_| slow())?
    }

    async fn document(&self, name: &str, most: usize) -> Result<Option<Document>, UpdateError> {
        let place = self.place(name);
        let read = async {
            match self {
                Self::Folder(dir) => read_file(dir.join(name), most),
                Self::Web { client, .. } => read_web(client, &place, most).await,
            }
        };
        let read = tokio::time::timeout(DOCUMENT_TIME, read).await;
        let bytes = read.map_err(|_| unreachable(&place, "no answer within 30 s"))??;
        Ok(bytes.map(|bytes| Document::parse(&bytes, most)).transpose()?)
    }

    fn place(&self, name: &str) -> String {
        match self {
            Self::Folder(dir) => dir.join(name).display().to_string(),
            Self::Web { url, .. } => format!("{url}/{name}"),
        }
    }
}

/// One byte more than allowed is enough to be refused.
fn read_file(path: PathBuf, most: usize) -> Result<Option<Vec<u8>>, UpdateError> {
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| UpdateError::disk(&path, "read", error))?,
    };
    let mut bytes = Vec::new();
    let read = file.take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| UpdateError::disk(&path, "read", error))?;
    Ok(Some(bytes))
}

async fn read_web(
    client: &Client,
    place: &str,
    most: usize,
) -> Result<Option<Vec<u8>>, UpdateError> {
    let mut response = send(client.get(place), place).await?;
    if response.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    is_good(&response, place)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(&mut response, place).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > most {
            break;
        }
    }
    Ok(Some(bytes))
}

fn copy(path: &std::path::Path, part: &mut Part) -> Result<(), UpdateError> {
    let mut file = File::open(path).map_err(|error| UpdateError::disk(path, "read", error))?;
    let skip = io::copy(&mut (&mut file).take(part.len()), &mut io::sink());
    skip.map_err(|error| UpdateError::disk(path, "read", error))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => part.take(&chunk[..n])?,
            Err(error) => return Err(UpdateError::disk(path, "read", error)),
        }
    }
}

/// From where it broke off; a server that does not know ranges sends all again, and what is here is skipped.
async fn download(client: &Client, place: &str, part: &mut Part) -> Result<(), UpdateError> {
    let request = client.get(place).header(RANGE, format!("bytes={}-", part.len()));
    let mut response = send(request, place).await?;
    is_good(&response, place)?;
    let is_rest = response.status() == StatusCode::PARTIAL_CONTENT;
    let mut skip = if is_rest { 0 } else { part.len() };
    while let Some(chunk) = chunk(&mut response, place).await? {
        let skipped = skip.min(chunk.len() as u64);
        skip -= skipped;
        part.take(&chunk[usize::try_from(skipped).unwrap_or(chunk.len())..])?;
    }
    Ok(())
}

async fn send(request: reqwest::RequestBuilder, place: &str) -> Result<Response, UpdateError> {
    request.send().await.map_err(|error| unreachable(place, Chain(&error.without_url())))
}

async fn chunk(
    response: &mut Response,
    place: &str,
) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]>>, UpdateError> {
    response.chunk().await.map_err(|error| unreachable(place, Chain(&error.without_url())))
}

fn is_good(response: &Response, place: &str) -> Result<(), UpdateError> {
    match response.status() {
        StatusCode::NOT_FOUND => Err(UpdateError::Missing(place.into())),
        status if status.is_success() => Ok(()),
        status => Err(unreachable(place, status)),
    }
}

fn unreachable(place: &str, why: impl ToString) -> UpdateError {
    UpdateError::Unreachable { place: place.into(), why: why.to_string() }
}
