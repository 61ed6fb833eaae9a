//! From the chain's errors to the one that ends the program, so that a cause always has the same exit
//! code. The texts are the chain's own.

use quorate_chain::{Remedy, SettleError};
use quorate_common::{
    exit::{Code, Failure},
    report::Chain,
};

/// What went wrong with the chain.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else a chain says is its fault")]
pub fn chain(error: SettleError) -> Failure {
    let (code, hint) = match &error {
        SettleError::InsufficientGas { .. } | SettleError::InsufficientToken { .. } => {
            (Code::Funds, None)
        }
        SettleError::BadUrl { .. } => (Code::Usage, None),
        SettleError::InvalidChainId { .. } => {
            (Code::Chain, Some("chain.url and chain.preset must be of one chain"))
        }
        SettleError::AccountBusy { .. } => (Code::Conflict, None),
        SettleError::OutboxFile { .. } => (Code::Internal, None),
        SettleError::NoContract { .. } => (Code::Chain, Some("check chain.contract")),
        SettleError::Unreachable { .. } => {
            (Code::Chain, Some("is chain.url right, and its node up?"))
        }
        _ => (Code::Chain, None),
    };
    let mut failure = Failure::new(code, Chain(&error));
    failure.retryable = matches!(error.remedy(), Remedy::RetryAfter(_) | Remedy::PrepareAgain);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
