//! How an outbox stands, for operators: what they would have to do something about, as states.
//!
//! The newest word wins; nothing is remembered or counted here.

use crate::error::SettleError;
use alloy::primitives::{Address, B256, U256};
use std::fmt;

/// Why a transaction does not get mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StuckWhy {
    /// The chain asks more than the operator's cap.
    FeeCap {
        /// Wei per gas, as configured.
        cap: u128,
        /// Wei per gas that would get it mined soon.
        asks: u128,
    },
    /// It pays what the chain asks, and nobody mines it.
    NotMined,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is on its way, and nothing stands against sending.
    Ready,
    /// A transaction waits to be mined.
    InFlight {
        /// Its latest version.
        tx: B256,
        /// Its nonce.
        nonce: u64,
    },
    /// The account cannot pay for gas.
    InsufficientGas {
        /// Who would pay.
        account: Address,
        /// Its balance in wei.
        have: U256,
        /// What it takes.
        want: U256,
    },
    /// The account's tokens do not cover an amount.
    InsufficientToken {
        /// Whose tokens.
        account: Address,
        /// What is there.
        have: U256,
        /// What is asked for.
        want: U256,
    },
    /// A transaction does not get mined; it stays valid and is sent again and again.
    Stuck {
        /// Its latest version.
        tx: B256,
        /// Its nonce.
        nonce: u64,
        /// Why.
        why: StuckWhy,
    },
    /// The nodes serve another chain.
    WrongChain {
        /// Who says so.
        node: String,
        /// The configured chain.
        expected: u64,
        /// The nodes'.
        found: u64,
    },
    /// No two nodes say the same.
    RpcDisagreement {
        /// About what.
        what: String,
        /// One node and what it says.
        a: String,
        /// Another one and what it says.
        b: String,
    },
    /// Too few nodes answer, or not usefully.
    Unreachable {
        /// Which, or the last of them.
        node: String,
        /// What was asked.
        method: &'static str,
    },
}

impl Standing {
    /// Every label there is: what a metric starts at zero.
    pub const LABELS: [&'static str; 9] = [
        "ready",
        "in_flight",
        "insufficient_gas",
        "insufficient_token",
        "stuck",
        "stuck_fee_cap",
        "wrong_chain",
        "rpc_disagreement",
        "unreachable",
    ];

    /// The state in one word, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::InFlight { .. } => "in_flight",
            Self::InsufficientGas { .. } => "insufficient_gas",
            Self::InsufficientToken { .. } => "insufficient_token",
            Self::Stuck { why: StuckWhy::NotMined, .. } => "stuck",
            Self::Stuck { why: StuckWhy::FeeCap { .. }, .. } => "stuck_fee_cap",
            Self::WrongChain { .. } => "wrong_chain",
            Self::RpcDisagreement { .. } => "rpc_disagreement",
            Self::Unreachable { .. } => "unreachable",
        }
    }

    /// Whether an operator must look.
    pub fn is_trouble(&self) -> bool {
        !matches!(self, Self::Ready | Self::InFlight { .. })
    }

    /// The state an error stands for, if it is one of the account or the nodes rather than of what
    /// was asked.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest concerns one call only")]
    pub(super) fn of(error: &SettleError) -> Option<Self> {
        Some(match error {
            SettleError::InsufficientGas { account, have, want } => {
                Self::InsufficientGas { account: *account, have: *have, want: *want }
            }
            SettleError::InsufficientToken { account, have, want } => {
                Self::InsufficientToken { account: *account, have: *have, want: *want }
            }
            SettleError::TxStuck { tx, nonce, .. } => {
                Self::Stuck { tx: *tx, nonce: *nonce, why: StuckWhy::NotMined }
            }
            SettleError::FeeCapped { tx, nonce, cap, asks } => {
                let why = StuckWhy::FeeCap { cap: *cap, asks: *asks };
                Self::Stuck { tx: *tx, nonce: *nonce, why }
            }
            SettleError::InvalidChainId { node, expected, found } => {
                Self::WrongChain { node: node.clone(), expected: *expected, found: *found }
            }
            SettleError::RpcDisagreement { what, a, b } => {
                Self::RpcDisagreement { what: what.clone(), a: a.clone(), b: b.clone() }
            }
            SettleError::Unreachable { node, method, .. }
            | SettleError::Nonsense { node, method, .. }
            | SettleError::RpcError { node, method, .. } => {
                Self::Unreachable { node: node.clone(), method }
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::InFlight { tx, nonce } => write!(f, "transaction {tx} (nonce {nonce}) is sent"),
            Self::InsufficientGas { account, have, want } => {
                write!(f, "account {account} has {have} wei for gas and needs {want}: send it some")
            }
            Self::InsufficientToken { account, have, want } => {
                write!(f, "account {account} has {have} token units and needs {want}: fund it")
            }
            Self::Stuck { tx, nonce, why: StuckWhy::NotMined } => {
                write!(f, "transaction {tx} (nonce {nonce}) is not mined though it pays enough")
            }
            Self::Stuck { tx, nonce, why: StuckWhy::FeeCap { cap, asks } } => write!(
                f,
                "transaction {tx} (nonce {nonce}) is stuck (fee cap): the chain asks {asks} wei \
                 per gas, the cap is {cap}"
            ),
            Self::WrongChain { node, expected, found } => {
                write!(f, "{node} serves chain {found}, expected {expected}")
            }
            Self::RpcDisagreement { what, a, b } => {
                write!(f, "the chain nodes disagree about {what} ({a}; {b})")
            }
            Self::Unreachable { node, method } => write!(f, "{node} does not answer {method}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_label_and_words() {
        let (tx, nonce) = (B256::ZERO, 7);
        let stuck = Standing::Stuck { tx, nonce, why: StuckWhy::FeeCap { cap: 1, asks: 2 } };
        assert!(stuck.is_trouble());
        assert!(stuck.to_string().contains("stuck (fee cap)"), "{stuck}");
        for standing in [Standing::Ready, Standing::InFlight { tx, nonce }, stuck] {
            assert!(Standing::LABELS.contains(&standing.label()));
        }
        let error = SettleError::InvalidChainId { node: "n".into(), expected: 1, found: 2 };
        assert_eq!(Standing::of(&error).map(|standing| standing.label()), Some("wrong_chain"));
        let error = SettleError::NonceTaken { account: Address::ZERO, nonce };
        assert_eq!(Standing::of(&error), None);
    }
}
