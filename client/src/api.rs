//! The scheduler's HTTP API, as a client sees it: one method per route, refusals as [`Failure`]s
//! with the scheduler's own words, and a cap on every answer. What to do with the answers is
//! `place`'s, `follow`'s and `results`' business.

mod events;
mod sse;

pub use events::{Events, ServerEvent};

use quorate_common::{
    B256,
    api::{
        BatchList, DealProof, ErrorBody, OrderList, OrderView, PlaceOrder, PoolInfo, TaskPage,
        WorkerList, WorkerProof, WorkerRow,
    },
    backoff::Backoff,
    digest::Digest,
    exit::{Code, Failure},
    ids::{DealSlot, WorkerIdx},
    keys,
    report::Chain,
};
use quorate_scheduler::http::batches::SealedBatch;
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longest wait for a connection: a scheduler across the world answers within one second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence within an answer. Event streams send a comment more often than this.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest JSON answer read, in bytes: a page of tasks has 200 KiB, a receipt up to 1 MiB.
const JSON_BYTES_MAX: u64 = 64 << 20;
/// Largest error answer read, in bytes.
const ERROR_BYTES_MAX: u64 = 64 << 10;
/// Tries of one reading call: with the delays below, about six seconds of a scheduler's restart.
const TRIES: u32 = 6;
/// The first delay between tries, at most, in milliseconds.
const RETRY_FIRST_MS: u64 = 100;
/// The longest delay between tries, in milliseconds.
const RETRY_CAP_MS: u64 = 3_000;

/// A scheduler's API. Clones share connections.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    http: Client,
}

impl Api {
    /// The API at `base`, as `http://127.0.0.1:7420`. Nothing is sent.
    ///
    /// # Errors
    /// [`Code::Usage`] if it is no http(s) URL.
    pub fn new(base: &str) -> Result<Self, Failure> {
        let base = base.trim_end_matches('/');
        if !base.starts_with("http://") && !base.starts_with("https://") {
            let text = format!("`api` is `{base}`; expected http://HOST:PORT or https://HOST");
            return Err(Failure::new(Code::Usage, text));
        }
        // The one process-wide provider; an error means that somebody else installed one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("quorate/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::new(Code::Internal, Chain(&error)))?;
        Ok(Self { base: base.to_owned(), http })
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET /healthz`, asked once: whether the scheduler serves now.
    pub async fn is_healthy(&self) -> bool {
        self.sent(self.request(Method::GET, "/healthz")).await.is_ok()
    }

    /// `GET /v1/pool`.
    ///
    /// # Errors
    /// [`Code::Unreachable`], or the scheduler's refusal; so for every method below.
    pub async fn pool(&self) -> Result<PoolInfo, Failure> {
        self.get_json("/v1/pool").await
    }

    /// Whether the scheduler has a blob.
    pub async fn has_blob(&self, digest: Digest) -> Result<bool, Failure> {
        let path = format!("/v1/blobs/{digest}");
        match self.retried(|| self.request(Method::HEAD, &path)).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.exit == Code::NotFound as u8 => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// `PUT /v1/blobs/{sha256}`: `len` bytes, streamed.
    pub async fn put_blob(&self, digest: Digest, len: u64, body: Body) -> Result<(), Failure> {
        self.put(&format!("/v1/blobs/{digest}"), len, body).await
    }

    /// `PUT /v1/blobs/{sha256}?guarded=true`: given to workers of deals that pay for it, and to nobody else.
    pub async fn put_dataset(&self, digest: Digest, len: u64, body: Body) -> Result<(), Failure> {
        self.put(&format!("/v1/blobs/{digest}?guarded=true"), len, body).await
    }

    async fn put(&self, path: &str, len: u64, body: Body) -> Result<(), Failure> {
        let request = self.request(Method::PUT, path);
        let request = request.header(reqwest::header::CONTENT_LENGTH, len).body(body);
        self.sent(request).await.map(drop)
    }

    /// `GET /v1/blobs/{sha256}`, held in memory: at most `bytes_max`. The digest is not checked.
    pub async fn blob(&self, digest: Digest, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        self.get_bytes(&format!("/v1/blobs/{digest}"), bytes_max).await
    }

    /// `GET /v1/blobs/{sha256}`, to be read piece by piece.
    pub async fn blob_response(&self, digest: Digest) -> Result<Response, Failure> {
        let path = format!("/v1/blobs/{digest}");
        self.retried(|| self.request(Method::GET, &path)).await
    }

    /// `POST /v1/orders`. Asked again where no answer came: an order is known by its hash, and is
    /// placed once however often it is sent.
    pub async fn place(&self, order: &PlaceOrder) -> Result<OrderView, Failure> {
        let request = || self.request(Method::POST, "/v1/orders").json(order);
        let response = self.retried(request).await?;
        self.parsed(response).await
    }

    /// `GET /v1/orders/{order}`.
    pub async fn order(&self, order: B256) -> Result<OrderView, Failure> {
        self.get_json(&format!("/v1/orders/{order}")).await
    }

    /// `GET /v1/orders`: every order placed at the scheduler.
    pub async fn orders(&self) -> Result<Vec<OrderView>, Failure> {
        Ok(self.get_json::<OrderList>("/v1/orders").await?.orders)
    }

    /// `GET /v1/orders/{order}/tasks`, one page from `offset`.
    pub async fn tasks(&self, order: B256, offset: u32, limit: u32) -> Result<TaskPage, Failure> {
        self.get_json(&format!("/v1/orders/{order}/tasks?offset={offset}&limit={limit}")).await
    }

    /// `GET /v1/orders/{order}/tasks/{idx}/receipt`: its bytes, or `None` while its batch is not
    /// sealed.
    pub async fn receipt(&self, order: B256, idx: u32) -> Result<Option<Vec<u8>>, Failure> {
        let path = format!("/v1/orders/{order}/tasks/{idx}/receipt");
        match self.get_bytes(&path, JSON_BYTES_MAX).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(failure) if failure.exit == Code::Conflict as u8 && failure.retryable => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// `GET /v1/batches/{index}`: as it was signed.
    pub async fn batch(&self, index: u64) -> Result<SealedBatch, Failure> {
        self.get_json(&format!("/v1/batches/{index}")).await
    }

    /// `GET /v1/orders/{order}/tasks/{idx}/explain`.
    pub async fn explain(&self, order: B256, idx: u32) -> Result<serde_json::Value, Failure> {
        self.get_json(&format!("/v1/orders/{order}/tasks/{idx}/explain")).await
    }

    /// `GET /v1/orders/{order}/explain`.
    pub async fn explain_order(&self, order: B256) -> Result<serde_json::Value, Failure> {
        self.get_json(&format!("/v1/orders/{order}/explain")).await
    }

    /// `GET /v1/batches`.
    pub async fn batches(&self) -> Result<BatchList, Failure> {
        self.get_json("/v1/batches").await
    }

    /// `GET /v1/workers`.
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, Failure> {
        Ok(self.get_json::<WorkerList>("/v1/workers").await?.workers)
    }

    /// `GET /metrics`: Prometheus' text.
    pub async fn metrics(&self) -> Result<String, Failure> {
        let bytes = self.get_bytes("/metrics", JSON_BYTES_MAX).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// `GET /v1/workers/{worker}/proof`: its account in the newest final batch, or that it has none.
    pub async fn worker_proof(&self, worker: WorkerIdx) -> Result<WorkerProof, Failure> {
        self.get_json(&format!("/v1/workers/{}/proof", worker.0)).await
    }

    /// `GET /v1/deals/{slot}/proof`: its account in the newest final batch; `None` if it has none.
    pub async fn deal_proof(&self, deal: DealSlot) -> Result<Option<DealProof>, Failure> {
        found(self.get_json(&format!("/v1/deals/{}/proof", deal.0)).await)
    }

    /// `GET /v1/orders/{order}/events`: what happens, as it happens.
    pub async fn events(&self, order: B256) -> Result<Events, Failure> {
        let request = self.request(Method::GET, &format!("/v1/orders/{order}/events"));
        let request = request.header(reqwest::header::ACCEPT, "text/event-stream");
        Ok(Events::new(self.sent(request).await?))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let response = self.retried(|| self.request(Method::GET, path)).await?;
        self.parsed(response).await
    }

    async fn get_bytes(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        let response = self.retried(|| self.request(Method::GET, path)).await?;
        self.read(response, bytes_max).await
    }

    async fn retried(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, Failure> {
        again(async || self.sent(request()).await).await
    }

    async fn sent(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.read(response, ERROR_BYTES_MAX).await.unwrap_or_default();
        Err(refusal(status, &body))
    }

    async fn parsed<T: DeserializeOwned>(&self, response: Response) -> Result<T, Failure> {
        let path = response.url().path().to_owned();
        let body = self.read(response, JSON_BYTES_MAX).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let text =
                format!("{}{path} answered what this client does not know: {error}", self.base);
            Failure::new(Code::Conflict, text).hint("is the scheduler of another version?")
        })
    }

    async fn read(&self, mut response: Response, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        let path = response.url().path().to_owned();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if (bytes.len() + chunk.len()) as u64 > bytes_max {
                let text = format!("{}{path} answered more than {bytes_max} bytes", self.base);
                return Err(Failure::new(Code::Conflict, text));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// No answer, or half of one.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let text = format!("scheduler {} does not answer: {}", self.base, Chain(error));
        Failure::new(Code::Unreachable, text)
            .hint("is it running, and is `api` its address? `quorate config show --origin` tells")
    }
}

/// Whether the scheduler did not answer.
pub fn is_unreachable(failure: &Failure) -> bool {
    failure.exit == Code::Unreachable as u8
}

/// Does what changes nothing the second time, and a few times again while the scheduler does not
/// answer.
///
/// # Errors
/// The last try's.
pub async fn again<T>(mut work: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut backoff = Backoff::new(RETRY_FIRST_MS, RETRY_CAP_MS);
    let mut tries = 1;
    loop {
        match work().await {
            Err(failure) if is_unreachable(&failure) && tries < TRIES => {
                tracing::debug!(%failure, "trying again");
                pause(&mut backoff).await;
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Waits as long as `backoff` says.
pub async fn pause(backoff: &mut Backoff) {
    // Without random bytes the delays are regular, which harms nobody.
    let seed = keys::random32().unwrap_or_default();
    let random = seed.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    tokio::time::sleep(Duration::from_millis(backoff.fail(random))).await;
}

/// What a refusal means: the body's code where there is one, else the status.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let Ok(ErrorBody { error }) = serde_json::from_slice(body) else {
        let line = String::from_utf8_lossy(body).trim().chars().take(200).collect::<String>();
        let text = format!("the scheduler answered {status}: {line}");
        return Failure::new(code_of_status(status), text.trim_end_matches([':', ' ']));
    };
    let code = code_of_name(&error.code).unwrap_or_else(|| code_of_status(status));
    let mut failure = Failure::new(code, error.message);
    failure.hint = error.hint;
    failure.retryable = error.retryable;
    failure
}

fn code_of_name(name: &str) -> Option<Code> {
    const CODES: [Code; 10] = [
        Code::Internal,
        Code::Usage,
        Code::NotFound,
        Code::Unreachable,
        Code::TimedOut,
        Code::Denied,
        Code::Funds,
        Code::Conflict,
        Code::Chain,
        Code::Failed,
    ];
    CODES.into_iter().find(|code| Failure::new(*code, "").code == name)
}

fn code_of_status(status: StatusCode) -> Code {
    match status.as_u16() {
        400 | 405 | 411 | 413 | 415 | 422 => Code::Usage,
        401 | 403 => Code::Denied,
        402 => Code::Funds,
        404 | 410 => Code::NotFound,
        409 | 412 => Code::Conflict,
        429 | 502..=504 => Code::Unreachable,
        _ => Code::Internal,
    }
}

/// "Not found" as an answer.
fn found<T>(outcome: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.exit == Code::NotFound as u8 => Ok(None),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_the_schedulers_words() {
        let body =
            br#"{"error":{"code":"funds","message":"free is 1; expected 2","retryable":true}}"#;
        let failure = refusal(StatusCode::PAYMENT_REQUIRED, body);
        assert_eq!((failure.code, failure.exit, failure.retryable), ("funds", 7, true));
        assert_eq!(failure.message, "free is 1; expected 2");
        let failure = refusal(StatusCode::NOT_FOUND, b"");
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (3, "the scheduler answered 404 Not Found")
        );
        let failure = refusal(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!((failure.exit, failure.retryable), (4, true));
        let body = br#"{"error":{"code":"new_word","message":"m"}}"#;
        assert_eq!(refusal(StatusCode::CONFLICT, body).exit, 8);
    }

    #[test]
    fn only_http_urls_are_taken() {
        assert_eq!(Api::new("http://x:1/").expect("a URL").base(), "http://x:1");
        for url in ["", "x:1", "ftp://x", "quorate://x"] {
            assert_eq!(Api::new(url).expect_err(url).exit, 2);
        }
    }
}
