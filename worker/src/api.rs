//! The scheduler's HTTP API, as a worker uses it: to read its own accounts.

use quorate_common::{
    exit::{Code, Failure},
    report::Chain,
};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longest wait for the scheduler's API.
const API_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer read from it, in bytes: a proof has 2 KB.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Asks the scheduler's API.
pub(crate) async fn get<T: DeserializeOwned>(api: &str, path: &str) -> Result<T, Failure> {
    // The one process-wide provider; an error means that somebody else installed one before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().timeout(API_TIMEOUT).build();
    let client = client.map_err(|error| Failure::new(Code::Internal, Chain(&error)))?;
    let url = format!("{}{path}", api.trim_end_matches('/'));
    let unreachable = |error: reqwest::Error| {
        Failure::new(Code::Unreachable, format!("{url}: {}", Chain(&error.without_url())))
    };
    let mut response = client.get(&url).send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let text = format!("{url}: the answer is longer than {ANSWER_BYTES_MAX} bytes");
            return Err(Failure::new(Code::Unreachable, text));
        }
        body.extend_from_slice(&chunk);
    }
    if status == reqwest::StatusCode::NOT_FOUND {
        return Err(Failure::new(Code::NotFound, format!("{url}: not found")));
    }
    if !status.is_success() {
        let said: String = String::from_utf8_lossy(&body).chars().take(300).collect();
        return Err(Failure::new(Code::Unreachable, format!("{url}: {status}: {said}")));
    }
    serde_json::from_slice(&body).map_err(|error| {
        Failure::new(Code::Unreachable, format!("{url}: the answer is not as expected: {error}"))
    })
}
