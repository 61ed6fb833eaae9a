//! The exit codes all three programs share, and the one error type that ends them.

use serde::Serialize;
use std::fmt;

/// Why a program ended. The number is its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// Unexpected.
    Internal = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// No such order, task, worker, file.
    NotFound = 3,
    /// The scheduler does not answer, or is not the one that was pinned.
    Unreachable = 4,
    /// `--timeout` ran out.
    TimedOut = 5,
    /// A bad signature, or not allowed.
    Denied = 6,
    /// Not enough money, or the price was refused.
    Funds = 7,
    /// Already exists, or another version.
    Conflict = 8,
    /// The chain node failed or the contract refused.
    Chain = 9,
    /// The order finished with failed tasks, a receipt or proof did not verify, warnings were found, or a
    /// watcher found a fraud.
    Failed = 10,
}

/// The text of `help exit-codes`.
pub const HELP: &str = "\
  0  ok (run, wait: every task accepted)
  1  unexpected, internal
  2  usage: command line or configuration
  3  not found
  4  scheduler unreachable, or its pinned key differs
  5  timed out waiting (--timeout)
  6  permission or bad signature
  7  insufficient funds, budget or price refused
  8  conflict: already exists, version mismatch
  9  chain error: node or contract
 10  finished with failed tasks; a receipt or proof that does not verify; warnings;
     a fraud that watch has found
130  interrupted (SIGINT); 143 terminated (SIGTERM); a placed order goes on";

/// An error that ends the program: what, what to do, and the exit code.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// Stable, for scripts: `not_found`, `usage`, …
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// What to do next, if there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// The exit status.
    #[serde(skip)]
    pub exit: u8,
}

impl Failure {
    /// A failure with its code and sentence.
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        let (name, retryable) = match code {
            Code::Ok => ("ok", false),
            Code::Internal => ("internal", false),
            Code::Usage => ("usage", false),
            Code::NotFound => ("not_found", false),
            Code::Unreachable => ("unreachable", true),
            Code::TimedOut => ("timed_out", true),
            Code::Denied => ("denied", false),
            Code::Funds => ("funds", false),
            Code::Conflict => ("conflict", false),
            Code::Chain => ("chain", true),
            Code::Failed => ("failed", false),
        };
        let message = message.to_string();
        Self { code: name, message, hint: None, retryable, exit: code as u8 }
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// As the `--json` document of an error.
    pub fn to_json(&self) -> String {
        serde_json::json!({ "error": self }).to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
