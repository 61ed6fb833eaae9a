//! One repository of a registry: asked, followed where it sends to, never believed.

use crate::{
    RegistryError,
    guard::Guard,
    registries::SILENCE,
    token::{self, ANSWER_BYTES_MAX},
};
use quorate_common::{digest::Digest, image::Part, report::Chain};
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, LOCATION, RANGE, WWW_AUTHENTICATE},
};
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;

/// Steps to an answer: a token, then a storage behind a storage.
const STEPS_MAX: usize = 5;
/// Bytes of what a name stands for: an index of a dozen platforms has some 20 KiB.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;
/// What kinds of manifest are understood.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// A repository.
#[derive(Debug)]
pub struct Repository {
    http: Client,
    guard: Arc<Guard>,
    base: Url,
    name: String,
    /// For everybody; kept for the next question.
    token: Mutex<Option<String>>,
}

impl Repository {
    pub(crate) fn new(http: Client, guard: Arc<Guard>, (base, name): (Url, String)) -> Self {
        Self { http, guard, base, name, token: Mutex::default() }
    }

    /// The manifest or index that `name` stands for: a tag, or `sha256:…`.
    pub(crate) async fn manifest(&self, name: &str) -> Result<Vec<u8>, RegistryError> {
        let place = format!("manifest {name} of {}", self.name);
        let response = self.get(&place, &format!("manifests/{name}"), 0).await?;
        read(response, &place, DOCUMENT_BYTES_MAX).await
    }

    /// A blob that is small.
    pub(crate) async fn small(&self, part: Part) -> Result<Vec<u8>, RegistryError> {
        let place = self.place(part);
        let response = self.blob_response(part, 0).await?;
        let bytes = read(response, &place, part.bytes).await?;
        if Digest::of(&bytes) == part.digest {
            Ok(bytes)
        } else {
            Err(RegistryError::WrongBytes(place))
        }
    }

    pub(crate) async fn blob_response(
        &self,
        part: Part,
        from: u64,
    ) -> Result<Response, RegistryError> {
        self.get(&self.place(part), &format!("blobs/sha256:{}", part.digest), from).await
    }

    /// What a blob is called in errors.
    pub(crate) fn place(&self, part: Part) -> String {
        let host = self.base.host_str().unwrap_or_default();
        format!("blob sha256:{} of {host}/{}", part.digest, self.name)
    }

    /// The answer to a question, wherever it lies.
    async fn get(&self, place: &str, path: &str, from: u64) -> Result<Response, RegistryError> {
        let path = format!("v2/{}/{path}", self.name);
        let asked = self.base.join(&path).map_err(|e| RegistryError::unreachable(place, e))?;
        let (mut url, mut has_asked_for_token) = (asked.clone(), false);
        for _ in 0..STEPS_MAX {
            let response = self.step(place, &url, from).await?;
            let is_own = url.origin() == asked.origin();
            match response.status() {
                status if status.is_redirection() => url = target(place, &url, &response)?,
                StatusCode::UNAUTHORIZED if is_own && !has_asked_for_token => {
                    self.ask_for_token(place, &response).await?;
                    has_asked_for_token = true;
                }
                status => return answer(place, status, response),
            }
        }
        Err(RegistryError::unreachable(place, format!("it leads on after {STEPS_MAX} steps")))
    }

    async fn step(&self, place: &str, url: &Url, from: u64) -> Result<Response, RegistryError> {
        self.guard.check(place, url)?;
        let mut request = self.http.get(url.clone()).header(ACCEPT, MANIFESTS);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = token.filter(|_| url.origin() == self.base.origin()) {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        within(place, request.send()).await
    }

    /// What everybody gets who asks, if everybody does.
    async fn ask_for_token(&self, place: &str, refused: &Response) -> Result<(), RegistryError> {
        let account = || RegistryError::Account(place.to_owned());
        let header = refused.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let url = header.and_then(token::challenge).ok_or_else(account)?.url;
        self.guard.check(place, &url)?;
        let response = within(place, self.http.get(url).send()).await?;
        if !response.status().is_success() {
            return Err(account());
        }
        let bytes = read(response, place, ANSWER_BYTES_MAX).await?;
        let token = token::token(&bytes).ok_or_else(account)?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(())
    }
}

/// Where a redirection leads.
fn target(place: &str, from: &Url, response: &Response) -> Result<Url, RegistryError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let url = location.and_then(|location| from.join(location).ok());
    url.ok_or_else(|| RegistryError::unreachable(place, "it leads nowhere"))
}

fn answer(place: &str, status: StatusCode, response: Response) -> Result<Response, RegistryError> {
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
        StatusCode::NOT_FOUND => Err(RegistryError::Missing(place.to_owned())),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(RegistryError::Account(place.to_owned()))
        }
        status => Err(RegistryError::unreachable(place, status)),
    }
}

/// All of an answer, which must be short.
async fn read(mut response: Response, place: &str, most: u64) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > most {
                break;
            }
        }
        Ok(())
    };
    within(place, reading).await?;
    if bytes.len() as u64 > most {
        return Err(RegistryError::TooLong { place: place.to_owned(), most });
    }
    Ok(bytes)
}

/// Waits for a small answer, but not for ever.
async fn within<T>(
    place: &str,
    work: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, RegistryError> {
    match tokio::time::timeout(SILENCE, work).await {
        Ok(Ok(done)) => Ok(done),
        // Without its address: a token may be in it.
        Ok(Err(error)) => Err(RegistryError::unreachable(place, Chain(&error.without_url()))),
        Err(_) => Err(RegistryError::unreachable(place, format!("no answer for {SILENCE:?}"))),
    }
}
