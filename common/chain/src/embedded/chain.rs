//! The chain itself: state, blocks and time, and the few ways they change.
//!
//! Every change is checked, then written to the log (if there is one), then applied, so that what
//! a caller was told to have happened is on disk, and what failed has changed nothing.

use crate::embedded::block::{Block, Place};
use crate::embedded::chain_log::{ChainLog, OpenError, Record};
use crate::embedded::raw_tx::{self, SignedTx};
use crate::embedded::{BASE_FEE_WEI, Clock, EmbeddedConfig, RpcError, evm};
use alloy::primitives::{Address, B256, U256, keccak256};
use revm::context::result::ResultAndState;
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::database::InMemoryDB;
use revm::state::AccountInfo;
use revm::{DatabaseCommit, DatabaseRef};
use std::collections::HashMap;
use std::io;

/// How far `evm_increaseTime` and `evm_mine` may run ahead of the clock: a century, so that no
/// sum of times comes near `u64::MAX`. More is refused.
const AHEAD_S_MAX: u64 = 100 * 365 * 86_400;

/// See the module.
pub(super) struct ChainState {
    cfg: CfgEnv,
    block_gas_limit: u64,
    clock: Clock,
    /// How far block timestamps run ahead of the clock.
    offset_s: u64,
    db: InMemoryDB,
    /// Block `n` at index `n`; never empty.
    blocks: Vec<Block>,
    number_of_block: HashMap<B256, u64>,
    number_of_tx: HashMap<B256, u64>,
    log: Option<ChainLog>,
}

impl ChainState {
    pub(super) fn open(config: EmbeddedConfig) -> Result<Self, OpenError> {
        let settings = settings_hash(&config);
        let mut chain = Self::genesis(&config);
        if let Some(path) = &config.state_path {
            let log = ChainLog::open(path, settings, |record| chain.replay(record))?;
            chain.log = Some(log);
        }
        Ok(chain)
    }

    fn genesis(config: &EmbeddedConfig) -> Self {
        let genesis = Block::empty(Place {
            parent: B256::ZERO,
            number: 0,
            timestamp: config.genesis_unix_s,
            gas_limit: config.block_gas_limit,
        });
        let mut chain = Self {
            cfg: evm::rules(config.chain_id),
            block_gas_limit: config.block_gas_limit,
            clock: config.clock.clone(),
            offset_s: 0,
            db: InMemoryDB::default(),
            blocks: Vec::new(),
            number_of_block: HashMap::new(),
            number_of_tx: HashMap::new(),
            log: None,
        };
        for (account, wei) in &config.accounts {
            chain.put_balance(*account, *wei);
        }
        chain.push(genesis);
        chain
    }

    // What is there.

    pub(super) const fn chain_id(&self) -> u64 {
        self.cfg.chain_id
    }

    pub(super) const fn block_gas_limit(&self) -> u64 {
        self.block_gas_limit
    }

    pub(super) fn head(&self) -> &Block {
        self.blocks.last().expect("block 0 is pushed in genesis() and none is ever removed")
    }

    pub(super) fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    pub(super) fn block_by_hash(&self, hash: B256) -> Option<&Block> {
        self.block(*self.number_of_block.get(&hash)?)
    }

    pub(super) fn block_of_tx(&self, hash: B256) -> Option<&Block> {
        self.block(*self.number_of_tx.get(&hash)?)
    }

    pub(super) fn account(&self, who: Address) -> AccountInfo {
        let Ok(found) = self.db.basic_ref(who);
        found.unwrap_or_default()
    }

    pub(super) fn code(&self, who: Address) -> alloy::primitives::Bytes {
        let account = self.account(who);
        let Ok(code) = self.db.code_by_hash_ref(account.code_hash);
        code.original_bytes()
    }

    pub(super) fn storage(&self, who: Address, slot: U256) -> U256 {
        let Ok(value) = self.db.storage_ref(who, slot);
        value
    }

    /// Runs `tx` as if it were alone in the next block, and forgets it. The next block and not
    /// the last, because that is where a transaction sent now would run: an answer about a
    /// deadline is then the answer the transaction gets.
    pub(super) fn simulate(&self, tx: TxEnv) -> Result<ResultAndState, RpcError> {
        let mut cfg = self.cfg.clone();
        // A call has no signature, so what only protects signers is off, as in geth.
        cfg.disable_nonce_check = true;
        cfg.disable_eip3607 = true;
        cfg.tx_gas_limit_cap = Some(self.block_gas_limit);
        let mut block = self.next_env(self.next_timestamp());
        if tx.gas_price == 0 {
            block.basefee = 0;
        }
        evm::run(&self.db, &cfg, &block, tx.clone())
            .map_err(|error| evm::refusal(&error, &tx, &block))
    }

    // What changes it.

    /// Mines one raw transaction into a block of its own.
    pub(super) fn submit(&mut self, raw: &[u8]) -> Result<B256, RpcError> {
        let tx = raw_tx::decode(raw, self.chain_id())?;
        if self.number_of_tx.contains_key(&tx.hash) {
            return Err(RpcError::refused("already known"));
        }
        let hash = tx.hash;
        self.mine(tx, raw, self.next_timestamp())?;
        Ok(hash)
    }

    /// Mines an empty block, at `timestamp` if one is given; time then goes on from there.
    pub(super) fn mine_empty(&mut self, timestamp: Option<u64>) -> Result<(), RpcError> {
        if let Some(at) = timestamp {
            let lead = self.checked_timestamp(at)?.saturating_sub((self.clock)());
            self.set_offset(lead)?;
        }
        let timestamp = timestamp.unwrap_or_else(|| self.next_timestamp());
        let block = Block::empty(self.next_place(timestamp));
        self.log(&Record::EmptyBlock { timestamp, block_hash: block.hash() })?;
        self.push(block);
        Ok(())
    }

    /// Moves the chain's time `seconds` on from where the next block would stand, which is later
    /// than the clock's if blocks ran ahead; answers the whole lead.
    pub(super) fn increase_time(&mut self, seconds: u64) -> Result<u64, RpcError> {
        let then = self.next_timestamp().saturating_add(seconds);
        let lead = then.saturating_sub((self.clock)());
        if lead > AHEAD_S_MAX {
            return Err(RpcError::bad_params(format!(
                "time would run {lead} s ahead, expected at most {AHEAD_S_MAX} s"
            )));
        }
        self.set_offset(lead)?;
        Ok(lead)
    }

    fn set_offset(&mut self, seconds: u64) -> Result<(), RpcError> {
        self.log(&Record::Offset { seconds })?;
        self.offset_s = seconds;
        Ok(())
    }

    /// Gives an account a balance out of nothing.
    pub(super) fn set_balance(&mut self, account: Address, wei: U256) -> Result<(), RpcError> {
        self.log(&Record::SetBalance { account, wei })?;
        self.put_balance(account, wei);
        Ok(())
    }

    /// Applies what the log holds; an error says why it cannot be this chain's.
    fn replay(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Transaction { timestamp, block_hash, raw } => {
                let tx = raw_tx::decode(&raw, self.chain_id()).map_err(|error| error.message)?;
                self.mine(tx, &raw, timestamp).map_err(|error| error.message)?;
                self.expect_head(block_hash)
            }
            Record::EmptyBlock { timestamp, block_hash } => {
                self.push(Block::empty(self.next_place(timestamp)));
                self.expect_head(block_hash)
            }
            Record::SetBalance { account, wei } => {
                self.put_balance(account, wei);
                Ok(())
            }
            Record::Offset { seconds } => {
                self.offset_s = seconds;
                Ok(())
            }
        }
    }

    fn expect_head(&self, expected: B256) -> Result<(), String> {
        let found = self.head().hash();
        if found == expected {
            return Ok(());
        }
        Err(format!("block {} is {found}, expected {expected}", self.head().number()))
    }

    /// Runs, logs, applies. Fails without a trace.
    fn mine(&mut self, tx: SignedTx, raw: &[u8], timestamp: u64) -> Result<(), RpcError> {
        let env = self.next_env(timestamp);
        let call = evm::from_envelope(&tx.envelope, tx.sender);
        let ran = evm::run(&self.db, &self.cfg, &env, call.clone())
            .map_err(|error| evm::refusal(&error, &call, &env))?;
        let block = Block::with_transaction(self.next_place(timestamp), tx, &ran.result);
        if self.log.is_some() {
            let block_hash = block.hash();
            self.log(&Record::Transaction { timestamp, block_hash, raw: raw.to_vec() })?;
        }
        self.db.commit(ran.state);
        self.push(block);
        Ok(())
    }

    fn push(&mut self, block: Block) {
        let (number, hash) = (block.number(), block.hash());
        self.db.cache.block_hashes.insert(U256::from(number), hash);
        self.number_of_block.insert(hash, number);
        if let Some(tx) = block.tx_hash() {
            self.number_of_tx.insert(tx, number);
        }
        self.blocks.push(block);
    }

    fn put_balance(&mut self, who: Address, wei: U256) {
        let info = AccountInfo { balance: wei, ..self.account(who) };
        self.db.insert_account_info(who, info);
    }

    fn log(&mut self, record: &Record) -> Result<(), RpcError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        log.append(record).map_err(|error: io::Error| {
            RpcError::new(-32_603, format!("could not write the chain file: {error}"))
        })
    }

    // Where the next block stands.

    /// The clock's time, never before the last block's. Blocks may share a second, as on Arbitrum:
    /// were each a second later, a thousand transactions would carry the chain a quarter of an
    /// hour away from the clock that everybody else's deadlines are read from.
    fn next_timestamp(&self) -> u64 {
        let now = (self.clock)().saturating_add(self.offset_s);
        now.max(self.head().timestamp())
    }

    fn checked_timestamp(&self, at: u64) -> Result<u64, RpcError> {
        let least = self.head().timestamp();
        let most = (self.clock)().saturating_add(AHEAD_S_MAX);
        if (least..=most).contains(&at) {
            return Ok(at);
        }
        Err(RpcError::bad_params(format!("timestamp {at}, expected {least} to {most}")))
    }

    fn next_place(&self, timestamp: u64) -> Place {
        let head = self.head();
        Place {
            parent: head.hash(),
            number: head.number() + 1,
            timestamp,
            gas_limit: self.block_gas_limit,
        }
    }

    fn next_env(&self, timestamp: u64) -> BlockEnv {
        BlockEnv {
            number: U256::from(self.head().number() + 1),
            timestamp: U256::from(timestamp),
            gas_limit: self.block_gas_limit,
            basefee: BASE_FEE_WEI,
            ..BlockEnv::default()
        }
    }
}

/// Everything that makes two chains different before their first transaction.
fn settings_hash(config: &EmbeddedConfig) -> B256 {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&config.chain_id.to_be_bytes());
    bytes.extend_from_slice(&config.genesis_unix_s.to_be_bytes());
    bytes.extend_from_slice(&config.block_gas_limit.to_be_bytes());
    bytes.extend_from_slice(&BASE_FEE_WEI.to_be_bytes());
    for (account, wei) in &config.accounts {
        bytes.extend_from_slice(account.as_slice());
        bytes.extend_from_slice(&wei.to_be_bytes::<32>());
    }
    keccak256(bytes)
}
