//! An EVM node inside the process: JSON-RPC in, JSON out, no socket, no second program.
//!
//! It exists so that `quorate dev` and the tests run the real contract bytecode behind the very
//! alloy code that talks to a real node. It mines one block per transaction at once, so that
//! latest, safe and finalized are always the same block and there is never a reorganisation.
//!
//! Left out on purpose: a transaction pool (a nonce ahead of its account is refused, not queued),
//! peers, subscriptions, state of past blocks, blob transactions, and Merkle-Patricia state roots
//! (`stateRoot` is zero; transaction and receipt roots are real). It keeps every block for ever:
//! a development chain's life is short, about 3 KB a transaction.

mod block;
mod chain;
mod chain_log;
mod evm;
mod gas;
mod logs;
mod raw_tx;
mod rpc;

use crate::embedded::chain::ChainState;
pub use crate::embedded::chain_log::OpenError;
use alloy::primitives::{Address, U256};
use quorate_common::clock::SystemClock;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Gas in one block, and so in one transaction of this chain unless EIP-7825 is lower: mainnet's
/// block limit of 2026. A larger transaction is refused with "exceeds block gas limit".
pub const BLOCK_GAS_LIMIT: u64 = 60_000_000;

/// Base fee of every block, in wei: Arbitrum One's floor, 0.01 gwei. Fixed, because a fee market
/// with one block per transaction would only decay to nothing and hide fee bugs.
pub const BASE_FEE_WEI: u64 = 10_000_000;

/// What the chain calls "now", in unix seconds. A closure, so that a test owns the clock.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How an embedded chain starts. Two chains with equal settings and equal transactions at equal
/// times have equal block hashes.
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Timestamp of block 0, unix seconds.
    pub genesis_unix_s: u64,
    /// Who starts with how much wei.
    pub accounts: Vec<(Address, U256)>,
    /// Gas in one block. [`BLOCK_GAS_LIMIT`] unless a test wants less.
    pub block_gas_limit: u64,
    /// Where the chain is kept, if it is to survive the process: a log of raw transactions that
    /// is executed again on opening.
    pub state_path: Option<PathBuf>,
    /// The clock blocks are stamped with.
    pub clock: Clock,
}

impl EmbeddedConfig {
    /// A chain in memory, on the system's clock, with nobody rich.
    pub fn new(chain_id: u64, genesis_unix_s: u64) -> Self {
        let clock = SystemClock::start();
        Self {
            chain_id,
            genesis_unix_s,
            accounts: Vec::new(),
            block_gas_limit: BLOCK_GAS_LIMIT,
            state_path: None,
            clock: Arc::new(move || clock.now().unix_s()),
        }
    }

    /// Adds an account with a starting balance in wei.
    #[must_use]
    pub fn with_account(mut self, who: Address, wei: U256) -> Self {
        self.accounts.push((who, wei));
        self
    }

    /// Keeps the chain in a file.
    #[must_use]
    pub fn with_state_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_path = Some(path.into());
        self
    }

    /// Replaces the system's clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl fmt::Debug for EmbeddedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedConfig")
            .field("chain_id", &self.chain_id)
            .field("genesis_unix_s", &self.genesis_unix_s)
            .field("accounts", &self.accounts)
            .field("block_gas_limit", &self.block_gas_limit)
            .field("state_path", &self.state_path)
            .finish_non_exhaustive()
    }
}

/// A JSON-RPC error, with the codes geth uses.
///
/// | code | meaning |
/// |---|---|
/// | -32602 | the parameters are not what the method takes |
/// | -32601 | no such method |
/// | -32005 | asked for too much at once |
/// | -32000 | refused: a bad transaction, an unknown block |
/// | 3 | the call reverted; `data` holds what it reverted with |
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// See the table above.
    pub code: i64,
    /// For people, in geth's words where geth has them.
    pub message: String,
    /// Revert data as a hex string, or nothing.
    pub data: Option<Value>,
}

impl RpcError {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(-32_000, message)
    }

    pub(crate) fn bad_params(message: impl Into<String>) -> Self {
        Self::new(-32_602, message)
    }
}

/// A handle on an embedded chain. Clones share the chain; the last one to go takes it along.
#[derive(Clone)]
pub struct EmbeddedNode {
    chain: Arc<Mutex<ChainState>>,
}

impl EmbeddedNode {
    /// Starts a chain, or opens the one at `state_path` and executes its transactions again.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be read or written, is another process's, belongs to a
    /// chain with other settings, or is damaged anywhere but in its last record. (A torn last
    /// record, what a killed process leaves, is cut off with a warning.)
    pub fn new(config: EmbeddedConfig) -> Result<Self, OpenError> {
        Ok(Self { chain: Arc::new(Mutex::new(ChainState::open(config)?)) })
    }

    /// Answers one JSON-RPC call. Blocks for as long as the EVM runs, and for one `fdatasync` if
    /// the chain is kept in a file; never panics on what `params` holds.
    ///
    /// # Errors
    /// What the node would put in the `error` member of its answer.
    pub fn request(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        rpc::dispatch(&mut self.lock(), method, params)
    }

    /// EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        self.lock().chain_id()
    }

    /// Number of the last block.
    pub fn block_number(&self) -> u64 {
        self.lock().head().number()
    }

    fn lock(&self) -> MutexGuard<'_, ChainState> {
        // Every change is made whole or not at all (see `ChainState::mine`), so a panic elsewhere
        // while the lock was held leaves nothing half done.
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for EmbeddedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = self.lock();
        f.debug_struct("EmbeddedNode")
            .field("chain_id", &chain.chain_id())
            .field("block", &chain.head().number())
            .finish()
    }
}
