//! From every library's errors to the one that ends the program, so that a cause always has the
//! same exit code. The texts are the libraries' own.

use quorate_chain::{Remedy, SettleError, keystore::KeystoreError};
use quorate_common::{
    config::ConfigError,
    exit::{Code, Failure},
    report::Chain,
};
use std::{io, path::Path};

/// A file could not be read, written, and so on.
#[expect(clippy::wildcard_enum_match_arm, reason = "the system has forty kinds of error")]
pub fn file(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let text = format!("{}: cannot be {}: {error}", path.display(), past(verb));
    let code = match error.kind() {
        io::ErrorKind::NotFound => Code::NotFound,
        io::ErrorKind::PermissionDenied => Code::Denied,
        io::ErrorKind::AlreadyExists => Code::Conflict,
        _ => Code::Internal,
    };
    Failure::new(code, text)
}

/// Configuration is part of the command line, as far as exit codes go.
pub fn config(error: &ConfigError) -> Failure {
    Failure::new(Code::Usage, error)
        .hint("`quorate config show --origin` prints every key and where its value came from")
}

/// What went wrong with the chain.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else a chain says is its fault")]
pub fn chain(error: &SettleError) -> Failure {
    let code = match error {
        SettleError::InsufficientGas { .. } | SettleError::InsufficientToken { .. } => Code::Funds,
        SettleError::BadUrl { .. } => Code::Usage,
        _ => Code::Chain,
    };
    let mut failure = Failure::new(code, Chain(error));
    failure.retryable = matches!(error.remedy(), Remedy::RetryAfter(_) | Remedy::PrepareAgain);
    match error {
        SettleError::InvalidChainId { .. } => {
            failure.hint("`chain.url` and the scheduler's chain must be the same")
        }
        SettleError::Unreachable { .. } => {
            failure.hint("is `chain.url` right, and its node up? nothing was sent")
        }
        _ => failure,
    }
}

/// What went wrong with the wallet.
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is the disk's fault")]
pub fn keystore(error: &KeystoreError) -> Failure {
    let code = match error {
        KeystoreError::Unknown { .. } => Code::NotFound,
        KeystoreError::Exists { .. } => Code::Conflict,
        KeystoreError::WrongPassword { .. } | KeystoreError::Exposed { .. } => Code::Denied,
        KeystoreError::BadName { .. }
        | KeystoreError::BadKey
        | KeystoreError::NoPassword { .. } => Code::Usage,
        _ => Code::Internal,
    };
    let failure = Failure::new(code, Chain(error));
    match error {
        KeystoreError::Unknown { .. } => {
            failure.hint("`quorate wallet new` makes one; `--wallet NAME` chooses another")
        }
        KeystoreError::WrongPassword { .. } => failure
            .hint("it is read from `password_file`, else from QUORATE_PASSWORD, else it is asked"),
        _ => failure,
    }
}

fn past(verb: &str) -> &str {
    match verb {
        "write" => "written",
        "make" => "made",
        "list" => "listed",
        "move" => "moved",
        "open" => "opened",
        other => other,
    }
}
