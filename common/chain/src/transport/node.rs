//! One node: a provider, a deadline on every call, errors in our words, and whether it is worth
//! asking at the moment. Who to believe where nodes differ is `quorum.rs`.

use crate::abi;
use crate::error::{Revert, SettleError};
use alloy::network::Ethereum;
use alloy::providers::RootProvider;
use alloy::rpc::json_rpc::{ErrorPayload, RpcError as AlloyError};
use alloy::transports::{TransportError, TransportResult};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Characters of a node's error message that are kept; some nodes answer with a page of HTML.
const MESSAGE_CHARS_MAX: usize = 300;

/// How long a node is left alone after its first failure in a row; doubled with every further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Doublings at most: a node that is back is asked again within a minute.
const DOUBLINGS_MAX: u32 = 6;

/// JSON-RPC's usual code for "you ask too much".
const LIMIT_EXCEEDED: i64 = -32_005;

/// What is asked: the method, and what it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) method: &'static str,
    pub(super) what: &'a str,
}

impl Question<'_> {
    pub(super) fn of(method: &'static str) -> Self {
        Self { method, what: method }
    }
}

/// See the module.
pub(super) struct Node {
    provider: RootProvider<Ethereum>,
    name: String,
    health: Mutex<Health>,
    observer: OnceLock<Observer>,
}

/// One question to one node, answered or not.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The JSON-RPC method.
    pub method: &'static str,
    /// `ok`; `refused`, which is an answer too; `failed`, which is the node's fault.
    pub outcome: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// Hears of every question, on whatever thread asked it.
pub type Observer = Arc<dyn Fn(Asked) + Send + Sync>;

/// How often it failed in a row, and until when it is left alone.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    failures: u32,
    until: Option<Instant>,
}

impl Node {
    pub(super) fn new(provider: RootProvider<Ethereum>, name: String) -> Self {
        Self { provider, name, health: Mutex::default(), observer: OnceLock::new() }
    }

    /// Scheme and host, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn provider(&self) -> RootProvider<Ethereum> {
        self.provider.clone()
    }

    /// Tells somebody of every question from now on; the first who asks for it stays.
    pub(super) fn observe(&self, observer: Observer) {
        drop(self.observer.set(observer));
    }

    fn tell(&self, method: &'static str, outcome: &'static str, began: Instant) {
        if let Some(observer) = self.observer.get() {
            observer(Asked { method, outcome, took: began.elapsed() });
        }
    }

    /// Whether it failed lately and is left alone.
    pub(super) fn is_paused(&self) -> bool {
        self.health().until.is_some_and(|until| Instant::now() < until)
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It failed: it is left alone, for longer every time.
    pub(super) fn set_aside(&self, why: &dyn std::fmt::Display) {
        let mut health = self.health();
        let pause = FIRST_PAUSE * (1 << health.failures.min(DOUBLINGS_MAX));
        if health.failures == 0 {
            tracing::warn!(node = self.name, "chain node set aside: {why}");
        }
        *health = Health { failures: health.failures + 1, until: Some(Instant::now() + pause) };
    }

    fn is_well(&self) {
        let mut health = self.health();
        if health.failures > 0 {
            tracing::info!(node = self.name, failures = health.failures, "chain node is back");
        }
        *health = Health::default();
    }

    /// One call with a deadline, and its failure in our words.
    pub(super) async fn ask<T>(
        &self,
        question: Question<'_>,
        deadline: Duration,
        answer: impl Future<Output = TransportResult<T>>,
    ) -> Result<T, SettleError> {
        let began = Instant::now();
        let answer = match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.explain(question, error)),
            Err(elapsed) => Err(self.unreachable(question.method, elapsed.into())),
        };
        match &answer {
            Err(error) if is_its_fault(error) => {
                self.tell(question.method, "failed", began);
                self.set_aside(error);
            }
            Ok(_) => self.tell(question.method, "ok", began),
            Err(_) => self.tell(question.method, "refused", began),
        }
        if !answer.as_ref().is_err_and(is_its_fault) {
            self.is_well();
        }
        answer
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is trouble on the way")]
    fn explain(&self, question: Question<'_>, error: TransportError) -> SettleError {
        let method = question.method;
        match error {
            AlloyError::ErrorResp(payload) => self.explain_answer(question, &payload),
            AlloyError::DeserError { err, .. } => self.nonsense(method, err.to_string()),
            AlloyError::NullResp => self.nonsense(method, "null"),
            other => self.unreachable(method, Box::new(other)),
        }
    }

    fn explain_answer(&self, question: Question<'_>, payload: &ErrorPayload) -> SettleError {
        const REVERTED: i64 = 3;
        let data = payload.as_revert_data();
        if payload.code == REVERTED || data.is_some() {
            let data = data.unwrap_or_default();
            if let Some((account, have, want)) = abi::shortage(&data) {
                return SettleError::InsufficientToken { account, have, want };
            }
            let explained = abi::explain(&data);
            return SettleError::Reverted(Box::new(Revert {
                what: question.what.to_owned(),
                name: explained.name,
                text: explained.text,
                tx: None,
                data,
            }));
        }
        if is_out_of_gas(&payload.message) {
            return SettleError::Reverted(Box::new(Revert {
                what: question.what.to_owned(),
                name: String::new(),
                text: "it takes more gas than it may".to_owned(),
                tx: None,
                data: alloy::primitives::Bytes::new(),
            }));
        }
        SettleError::RpcError {
            node: self.name.clone(),
            method: question.method,
            code: payload.code,
            message: payload.message.chars().take(MESSAGE_CHARS_MAX).collect(),
        }
    }

    pub(super) fn nonsense(&self, method: &'static str, what: impl Into<String>) -> SettleError {
        SettleError::Nonsense { node: self.name.clone(), method, what: what.into() }
    }

    fn unreachable(
        &self,
        method: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> SettleError {
        SettleError::Unreachable { node: self.name.clone(), method, source }
    }
}

/// Whether a call took all the gas it was given: it would again. Nodes have words for it, and no code.
fn is_out_of_gas(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["out of gas", "outofgas", "gas required exceeds allowance"]
        .iter()
        .any(|words| message.contains(words))
}

/// Whether an error says something about the node rather than about the question.
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is an answer")]
fn is_its_fault(error: &SettleError) -> bool {
    match error {
        SettleError::Unreachable { .. } | SettleError::Nonsense { .. } => true,
        SettleError::RpcError { code, message, .. } => {
            let message = message.to_ascii_lowercase();
            *code == LIMIT_EXCEEDED && !message.contains("range")
                || message.contains("too many requests")
                || message.contains("rate limit")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_node_is_set_aside_and_one_that_refuses_a_range_is_not() {
        let said = |code, message: &str| SettleError::RpcError {
            node: String::new(),
            method: "eth_getLogs",
            code,
            message: message.to_owned(),
        };
        assert!(is_its_fault(&said(-32_005, "slow down")));
        assert!(is_its_fault(&said(-32_000, "Too Many Requests")));
        assert!(!is_its_fault(&said(-32_005, "query exceeds max block range 3")));
        assert!(!is_its_fault(&said(-32_000, "nonce too low")));
    }
}
