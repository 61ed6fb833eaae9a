//! What goes wrong with a chain, and what to do about it.
//!
//! Variants differ by remedy, not by origin. The states are those an operator must be able to
//! read: out of gas money, out of tokens, the wrong chain, a key that cannot sign, a transaction
//! that does not get mined, a node that refuses or does not answer, a contract that says no.

use crate::keystore::KeystoreError;
use alloy::primitives::{Address, B256, Bytes, U256};
use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Wait before asking a node again that did not answer: long enough not to hammer a node that is
/// starting, short against a batch interval of minutes.
const RETRY_NODE: Duration = Duration::from_secs(2);

/// Wait before looking at a stuck transaction again: some blocks on every chain we know.
const RETRY_STUCK: Duration = Duration::from_secs(15);

/// Why something could not be done on the chain. Reads after "could not commit batch 7: ".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The URL is not one we can talk to.
    #[error("chain url {url:?}: {expected}")]
    BadUrl {
        /// What was given, without credentials.
        url: String,
        /// What would do.
        expected: &'static str,
    },
    /// The node did not answer, or not in JSON-RPC. Asking again can do no harm.
    #[error("the chain node {node} did not answer {method}")]
    Unreachable {
        /// Scheme and host of the node.
        node: String,
        /// What was asked.
        method: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The node answered with an error that is not a revert.
    #[error("the chain node {node} refused {method}: {message} (code {code})")]
    RpcError {
        /// Scheme and host of the node.
        node: String,
        /// What was asked.
        method: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// The node's words, cut to a line.
        message: String,
    },
    /// The node's answer is not what the method promises.
    #[error("the chain node {node} answered {method} with nonsense: {what}; use another node")]
    Nonsense {
        /// Scheme and host of the node.
        node: String,
        /// What was asked.
        method: &'static str,
        /// What is wrong with the answer.
        what: String,
    },
    /// Nodes contradict each other and no two agree. Nothing was done on either's word.
    #[error("the chain nodes disagree about {what} ({a}; {b}); if it lasts, replace the wrong one")]
    RpcDisagreement {
        /// What was asked.
        what: String,
        /// One node and what it says.
        a: String,
        /// Another one and what it says.
        b: String,
    },
    /// The contract refused. A retry is refused again.
    #[error("the contract refused {}: {}", .0.what, .0.text)]
    Reverted(Box<Revert>),
    /// The account cannot pay for the gas.
    #[error(
        "account {account} has {have} wei for gas, the transaction may cost {want}; send it {} wei",
        want.saturating_sub(*have)
    )]
    InsufficientGas {
        /// Who would pay.
        account: Address,
        /// Its balance in wei.
        have: U256,
        /// Gas limit times highest price, plus value, in wei.
        want: U256,
    },
    /// The account's tokens do not cover an amount.
    #[error("account {account} has {have} token units, needs {want}; fund or deposit first")]
    InsufficientToken {
        /// Whose tokens.
        account: Address,
        /// What is there.
        have: U256,
        /// What is asked for.
        want: U256,
    },
    /// The node serves another chain than configured. Nothing was sent.
    #[error(
        "the chain node {node} serves chain {found}, expected {expected}; correct url or chain id"
    )]
    InvalidChainId {
        /// Scheme and host of the node.
        node: String,
        /// The configured chain.
        expected: u64,
        /// The node's.
        found: u64,
    },
    /// The key cannot be used.
    #[error("cannot sign")]
    CantSign(#[from] KeystoreError),
    /// The call needs more gas than any transaction may have.
    #[error("{what} needs {gas} gas, more than the {cap} a transaction may have; make it smaller")]
    TooMuchGas {
        /// What was tried.
        what: String,
        /// Estimate, margin excluded.
        gas: u64,
        /// The cap.
        cap: u64,
    },
    /// The transaction was sent and is neither mined nor refused.
    #[error(
        "transaction {tx} with nonce {nonce} is not mined after {} s; it stays valid",
        waited.as_secs()
    )]
    TxStuck {
        /// Its latest version.
        tx: B256,
        /// Its nonce.
        nonce: u64,
        /// How long it has been waited for.
        waited: Duration,
    },
    /// The chain asks more than the operator allows. The transaction stays valid and is mined when
    /// the price falls.
    #[error(
        "transaction {tx} with nonce {nonce} may pay {cap} wei per gas at most, the chain asks \
         {asks}; wait until the price falls, or raise the cap (max_fee_wei_per_gas)"
    )]
    FeeCapped {
        /// Its latest version.
        tx: B256,
        /// Its nonce.
        nonce: u64,
        /// Wei per gas, as configured.
        cap: u128,
        /// Wei per gas that would get it mined soon.
        asks: u128,
    },
    /// What is to be sent cannot be kept on disk, or what was kept cannot be read. Nothing was
    /// sent.
    #[error("outbox file {}: {problem}", path.display())]
    OutboxFile {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Another outbox sends for this account.
    #[error(
        "another outbox, of this process or another, sends for account {account} ({} is locked); \
         stop the other, or give this role an account of its own",
        path.display()
    )]
    AccountBusy {
        /// Whose.
        account: Address,
        /// The lock.
        path: PathBuf,
    },
    /// Another transaction of the same account has the nonce; ours can never be mined.
    #[error("nonce {nonce} of account {account} was used by another transaction; prepare it again")]
    NonceTaken {
        /// Whose nonce.
        account: Address,
        /// Which.
        nonce: u64,
    },
    /// Mined, but not final within the deadline.
    #[error("transaction {tx} is in block {block} and not final after {} s", waited.as_secs())]
    NotFinal {
        /// Which.
        tx: B256,
        /// Where it is now.
        block: u64,
        /// How long it has been waited for.
        waited: Duration,
    },
    /// The chain has not made anything final for so long that no more is sent.
    #[error(
        "{count} transactions of account {account} wait to be final; none is sent until some are"
    )]
    TooManyUnfinished {
        /// Whose.
        account: Address,
        /// How many.
        count: usize,
    },
    /// A block that was read is not in the chain any more.
    #[error("block {number} was {expected}, is {found} now: the chain was reorganised")]
    Reorganised {
        /// Which block.
        number: u64,
        /// The hash that was read.
        expected: B256,
        /// The hash now; zero if the chain is shorter.
        found: B256,
    },
    /// There is no contract, or not ours, at the address.
    #[error("no Settlement contract at {address}: {what}; check address and chain")]
    NoContract {
        /// Where.
        address: Address,
        /// What is there instead.
        what: &'static str,
    },
}

/// How the contract refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revert {
    /// What was tried.
    pub what: String,
    /// The error's name in the contract, "Error" for a text, empty if unknown.
    pub name: String,
    /// Name, arguments and values, readable.
    pub text: String,
    /// The transaction that reverted, if it got as far as being mined.
    pub tx: Option<B256>,
    /// What the contract returned.
    pub data: Bytes,
}

/// What to do next, so that no caller matches on variants to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The same again after this long; it can do no harm.
    RetryAfter(Duration),
    /// Build the transaction anew, then as before.
    PrepareAgain,
    /// Forget what was read from the chain and read it again from an earlier block.
    ReadAgain,
    /// A retry is refused again: correct the request.
    Correct,
    /// A person must act: money, keys, configuration.
    AlertOperator,
}

impl SettleError {
    /// What to do next.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. } | Self::RpcError { .. } | Self::RpcDisagreement { .. } => {
                Remedy::RetryAfter(RETRY_NODE)
            }
            Self::TxStuck { .. }
            | Self::FeeCapped { .. }
            | Self::NotFinal { .. }
            | Self::TooManyUnfinished { .. } => Remedy::RetryAfter(RETRY_STUCK),
            Self::NonceTaken { .. } => Remedy::PrepareAgain,
            Self::Reorganised { .. } => Remedy::ReadAgain,
            Self::Reverted(_) | Self::TooMuchGas { .. } | Self::BadUrl { .. } => Remedy::Correct,
            Self::InsufficientGas { .. }
            | Self::InsufficientToken { .. }
            | Self::InvalidChainId { .. }
            | Self::CantSign(_)
            | Self::OutboxFile { .. }
            | Self::AccountBusy { .. }
            | Self::NoContract { .. }
            | Self::Nonsense { .. } => Remedy::AlertOperator,
        }
    }

    /// The contract error's name, if the contract refused.
    pub fn revert_name(&self) -> Option<&str> {
        if let Self::Reverted(revert) = self { Some(&revert.name) } else { None }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RetryAfter(wait) => write!(f, "retry after {} s", wait.as_secs()),
            Self::PrepareAgain => f.write_str("prepare the transaction again"),
            Self::ReadAgain => f.write_str("read the chain again from an earlier block"),
            Self::Correct => f.write_str("correct the request"),
            Self::AlertOperator => f.write_str("an operator must act"),
        }
    }
}
