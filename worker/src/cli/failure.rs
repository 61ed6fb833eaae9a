//! From every library's errors to the one that ends the program, so that a cause always has the
//! same exit code. The texts are the libraries' own.

use crate::StartError;
use quorate_chain::{Remedy, SettleError, keystore::KeystoreError};
use quorate_common::{
    config::ConfigError,
    exit::{Code, Failure},
    keys::KeyError,
    report::Chain,
};
use quorate_update::{UpdateError, rules::Refusal};
use std::{error::Error, path::Path};

pub(crate) fn file(path: &Path, error: &dyn Error) -> Failure {
    Failure::new(Code::Internal, format!("{}: {error}", path.display()))
}

pub(crate) fn config(error: &ConfigError) -> Failure {
    Failure::new(Code::Usage, error).hint(
        "`quorate-worker config show --origin` prints every key and where its value came from",
    )
}

pub(crate) fn key(error: &KeyError) -> Failure {
    let code = match error {
        KeyError::Exposed { .. } => Code::Denied,
        KeyError::Io { .. } | KeyError::Malformed { .. } | KeyError::Random(_) => Code::Internal,
    };
    Failure::new(code, Chain(error))
}

pub(crate) fn start(error: &StartError) -> Failure {
    let code = match error {
        StartError::Option { .. } => Code::Usage,
        StartError::Running(_) => Code::Conflict,
        StartError::Folder { .. }
        | StartError::Store(_)
        | StartError::Blobs(_)
        | StartError::Setup(_)
        | StartError::Thread => Code::Internal,
    };
    Failure::new(code, Chain(error))
}

pub(crate) fn update(error: &UpdateError) -> Failure {
    let code = match error {
        UpdateError::Refused(Refusal::Nothing { .. } | Refusal::Busy(_)) => Code::Conflict,
        UpdateError::Refused(_) | UpdateError::Unsafe { .. } | UpdateError::WrongBytes { .. } => {
            Code::Denied
        }
        UpdateError::Unreachable { .. } => Code::Unreachable,
        UpdateError::Missing(_) => Code::NotFound,
        UpdateError::Setting { .. } => Code::Usage,
        UpdateError::Disk { .. } => Code::Internal,
    };
    Failure::new(code, Chain(error))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are the chain's own failures")]
pub(crate) fn chain(error: &SettleError) -> Failure {
    let code = match error {
        SettleError::InsufficientGas { .. } | SettleError::InsufficientToken { .. } => Code::Funds,
        SettleError::BadUrl { .. } => Code::Usage,
        _ => Code::Chain,
    };
    let mut failure = Failure::new(code, Chain(error));
    failure.retryable = matches!(error.remedy(), Remedy::RetryAfter(_) | Remedy::PrepareAgain);
    failure
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are damaged or unreadable files")]
pub(crate) fn keystore(error: &KeystoreError) -> Failure {
    let code = match error {
        KeystoreError::Unknown { .. } => Code::NotFound,
        KeystoreError::Exists { .. } => Code::Conflict,
        KeystoreError::WrongPassword { .. } | KeystoreError::Exposed { .. } => Code::Denied,
        KeystoreError::BadName { .. }
        | KeystoreError::BadKey
        | KeystoreError::NoPassword { .. } => Code::Usage,
        _ => Code::Internal,
    };
    Failure::new(code, Chain(error))
}
