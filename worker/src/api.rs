//! The scheduler's HTTP API, as a worker uses it: to read its own accounts, and to have a permit carried.

use quorate_common::{
    exit::{Code, Failure},
    report::Chain,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;

/// Longest wait for the scheduler's API.
const API_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer read from it, in bytes: a proof has 2 KB.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Characters of a refusal that are shown.
const SAID_CHARS_MAX: usize = 300;

/// Asks the scheduler's API.
pub(crate) async fn get<T: DeserializeOwned>(api: &str, path: &str) -> Result<T, Failure> {
    ask(api, path, None::<&()>).await
}

/// Tells the scheduler's API something. What it refuses is refused in its own words.
pub(crate) async fn post<T: DeserializeOwned>(
    api: &str,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Failure> {
    ask(api, path, Some(body)).await
}

async fn ask<T: DeserializeOwned>(
    api: &str,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, Failure> {
    // The one process-wide provider; an error means that somebody else installed one before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().timeout(API_TIMEOUT).build();
    let client = client.map_err(|error| Failure::new(Code::Internal, Chain(&error)))?;
    let url = format!("{}{path}", api.trim_end_matches('/'));
    let unreachable = |error: reqwest::Error| {
        Failure::new(Code::Unreachable, format!("{url}: {}", Chain(&error.without_url())))
    };
    let request = match body {
        None => client.get(&url),
        Some(body) => {
            let body = serde_json::to_vec(body);
            let body = body.map_err(|error| Failure::new(Code::Internal, error))?;
            client.post(&url).header("content-type", "application/json").body(body)
        }
    };
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            let text = format!("{url}: the answer is longer than {ANSWER_BYTES_MAX} bytes");
            return Err(Failure::new(Code::Unreachable, text));
        }
        bytes.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(refusal(&url, status, &bytes, body.is_some()));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::new(Code::Unreachable, format!("{url}: the answer is not as expected: {error}"))
    })
}

/// The error document that every refusal of the API is.
#[derive(Deserialize)]
struct Refused {
    error: Told,
}

#[derive(Deserialize)]
struct Told {
    code: String,
    message: String,
    hint: Option<String>,
}

/// A refusal of something that was told is passed on in the scheduler's words, cut to what fits a terminal.
fn refusal(url: &str, status: reqwest::StatusCode, bytes: &[u8], told: bool) -> Failure {
    let cut = |text: &str| -> String {
        text.chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect()
    };
    if let (true, Ok(Refused { error })) = (told, serde_json::from_slice(bytes)) {
        let code = match error.code.as_str() {
            "funds" => Code::Funds,
            "denied" => Code::Denied,
            "conflict" => Code::Conflict,
            "not_found" => Code::NotFound,
            "chain" => Code::Chain,
            _ => Code::Unreachable,
        };
        let failure = Failure::new(code, format!("the pool says: {}", cut(&error.message)));
        return match error.hint {
            Some(hint) => failure.hint(cut(&hint)),
            None => failure,
        };
    }
    if status == reqwest::StatusCode::NOT_FOUND {
        return Failure::new(Code::NotFound, format!("{url}: not found"));
    }
    let said = cut(&String::from_utf8_lossy(bytes));
    Failure::new(Code::Unreachable, format!("{url}: {status}: {said}"))
}
