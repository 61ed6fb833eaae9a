//! What every command works with.

use crate::{cli::Global, config::Config, output::Output};
use quorate_common::{
    B256,
    exit::{Code, Failure},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Configuration, voice, and how long to wait.
#[derive(Clone, Debug)]
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// How to talk.
    pub output: Output,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// The order this run has placed or follows: said when it is interrupted.
    pub order: Arc<OnceLock<B256>>,
    /// Whether the command line names the scheduler: it goes before the one an order was placed at.
    api_given: bool,
}

impl Context {
    /// For one run of the program.
    pub fn new(config: Config, output: Output, global: &Global) -> Self {
        let api_given =
            global.api.is_some() || global.set.iter().any(|pair| pair.starts_with("api="));
        Self { config, output, timeout: global.timeout, order: Arc::default(), api_given }
    }

    /// Whether the command line names the scheduler.
    pub fn api_was_asked_for(&self) -> bool {
        self.api_given
    }

    /// Remembers the order the program is about, for whoever interrupts it.
    pub fn is_about(&self, order: B256) {
        // A second order in one run cannot be; the first stays.
        let _ = self.order.set(order);
    }

    /// Waits for Ctrl-C or a request to end, and says what becomes of the order.
    pub async fn interrupted(&self) -> Failure {
        let (name, exit) = signal().await;
        let (message, hint) = match self.order.get() {
            Some(order) => (
                format!("{name}; the order goes on"),
                Some(format!("quorate order watch {}", crate::history::short(*order))),
            ),
            None => (name.to_owned(), None),
        };
        Failure { code: name, hint, exit, ..Failure::new(Code::Internal, message) }
    }
}

/// Waits for Ctrl-C or a request to end, where no order is anywhere else.
pub(crate) async fn interrupted() -> Failure {
    let (name, exit) = signal().await;
    Failure { code: name, exit, ..Failure::new(Code::Internal, name) }
}

/// Waits for SIGINT or SIGTERM; their customary exit codes.
async fn signal() -> (&'static str, u8) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without a handler the system's own way of ending a process is left as it is.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => ("interrupted", 130),
        _ = terminate.recv() => ("terminated", 143),
    }
}
