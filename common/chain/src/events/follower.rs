//! Reading a contract's events without gaps, twice, or out of order.

use crate::error::SettleError;
use crate::events::ChainEvent;
use crate::outbox::Finality;
use crate::transport::{BlockInfo, BlockRef, Chain};
use alloy::primitives::{Address, B256};
use alloy::rpc::types::Log;
use serde::{Deserialize, Serialize};

/// Blocks read at once: what the stingiest common providers allow. Halved when a node refuses,
/// doubled again when it does not.
const SPAN_BLOCKS_MAX: u64 = 2_000;

/// The last block that was read, by height and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// An event, and where it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// Height of its block.
    pub block: u64,
    /// Its transaction.
    pub tx: B256,
    /// Its place among the block's logs.
    pub log_index: u64,
    /// What happened.
    pub event: ChainEvent,
}

/// All events of a range of blocks, perhaps none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch {
    /// The range's last block. Keep it with what the events changed.
    pub cursor: Cursor,
    /// When that block was made, in unix seconds.
    pub timestamp: u64,
    /// In the order of the chain.
    pub events: Vec<Located>,
}

/// Follows one contract.
#[derive(Clone, Debug)]
pub struct Follower {
    chain: Chain,
    contract: Address,
    finality: Finality,
    cursor: Cursor,
    span: u64,
}

impl Follower {
    /// Goes on after `cursor`, up to what `finality` calls unchangeable.
    pub fn resume(chain: Chain, contract: Address, finality: Finality, cursor: Cursor) -> Self {
        Self { chain, contract, finality, cursor, span: SPAN_BLOCKS_MAX }
    }

    /// Begins with block `first`, for instance the one the contract was deployed in.
    ///
    /// # Errors
    /// [`SettleError::Nonsense`] if the chain has no block before it yet, and the node's.
    pub async fn start(
        chain: Chain,
        contract: Address,
        finality: Finality,
        first: u64,
    ) -> Result<Self, SettleError> {
        let number = first.saturating_sub(1);
        let Some(block) = chain.block(BlockRef::Number(number)).await? else {
            let what = format!("there is no block {number} to start from");
            return Err(chain.nonsense("eth_getBlockByNumber", what));
        };
        let cursor = Cursor { number, hash: block.hash };
        Ok(Self::resume(chain, contract, finality, cursor))
    }

    /// A second follower of the same contract, from where this one stands, up to the newest block. For
    /// what may be heard and forgotten again.
    #[must_use]
    pub fn at_head(mut self) -> Self {
        self.finality = Finality::Latest;
        self
    }

    /// The same follower, back at an earlier cursor.
    #[must_use]
    pub fn again_from(mut self, cursor: Cursor) -> Self {
        self.cursor = cursor;
        self
    }

    /// Where it stands.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The next range's events; nothing if everything final has been read. After an error the
    /// cursor stands where it stood, so it can be asked again.
    ///
    /// # Errors
    /// [`SettleError::Reorganised`] if the cursor's block is not in the chain any more: start
    /// again from an earlier cursor. [`SettleError::Nonsense`] for logs that are not what was
    /// asked for. Else the node's.
    pub async fn next_batch(&mut self) -> Result<Option<EventBatch>, SettleError> {
        let boundary = self.finality.boundary(&self.chain).await?;
        let Some(boundary) = boundary.filter(|number| *number > self.cursor.number) else {
            return Ok(None);
        };
        let from = self.cursor.number + 1;
        let (block, logs) = self.read_range(from, boundary).await?;
        let cursor = Cursor { number: block.number, hash: block.hash };
        let events = self.locate(&logs, from, cursor)?;
        // The range was read while its first block still stood on the cursor's.
        self.check_continuity().await?;
        self.cursor = cursor;
        Ok(Some(EventBatch { cursor, timestamp: block.timestamp, events }))
    }

    async fn check_continuity(&self) -> Result<(), SettleError> {
        let Cursor { number, hash: expected } = self.cursor;
        let block = self.chain.block(BlockRef::Number(number)).await?;
        let found = block.map_or(B256::ZERO, |block| block.hash);
        if found == expected {
            return Ok(());
        }
        Err(SettleError::Reorganised { number, expected, found })
    }

    /// Asks for as long a range as the node will answer, from `from` to at most `boundary`.
    async fn read_range(
        &mut self,
        from: u64,
        boundary: u64,
    ) -> Result<(BlockInfo, Vec<Log>), SettleError> {
        loop {
            let to = boundary.min(from + self.span - 1);
            match self.chain.logs_up_to(self.contract, from, to).await {
                Ok(Some((block, _))) if block.number != to => {
                    return Err(self.nonsense("another block than was asked for"));
                }
                Ok(Some(found)) => {
                    self.span = (self.span * 2).min(SPAN_BLOCKS_MAX);
                    return Ok(found);
                }
                Ok(None) => {
                    let (expected, found) = (B256::ZERO, B256::ZERO);
                    return Err(SettleError::Reorganised { number: to, expected, found });
                }
                // Whom to believe does not depend on the length of the range.
                Err(error @ SettleError::RpcDisagreement { .. }) => return Err(error),
                // A node that does not answer at all will not answer half the question either;
                // but a time-out is how some refuse, so the next try asks for less.
                Err(error @ SettleError::Unreachable { .. }) => {
                    self.span = (self.span / 2).max(1);
                    return Err(error);
                }
                Err(error) if to == from => return Err(error),
                Err(_) => self.span = (to - from).div_ceil(2),
            }
        }
    }

    /// Checks order and place of every log and reads it.
    fn locate(&self, logs: &[Log], from: u64, cursor: Cursor) -> Result<Vec<Located>, SettleError> {
        let mut events = Vec::with_capacity(logs.len());
        let mut last = None;
        for log in logs {
            let (place, tx) = self.check(log, from, cursor)?;
            if last.is_some_and(|last| last >= place) {
                return Err(self.nonsense("logs out of order"));
            }
            last = Some(place);
            let (block, log_index) = place;
            if let Some(event) = ChainEvent::decode(&log.inner) {
                events.push(Located { block, tx, log_index, event });
            }
        }
        Ok(events)
    }

    /// A log's (block, index) and transaction, if it is one we asked for.
    fn check(
        &self,
        log: &Log,
        from: u64,
        cursor: Cursor,
    ) -> Result<((u64, u64), B256), SettleError> {
        let (Some(block), Some(index), Some(hash), Some(tx)) =
            (log.block_number, log.log_index, log.block_hash, log.transaction_hash)
        else {
            return Err(self.nonsense("a log without its place"));
        };
        if log.removed || log.address() != self.contract {
            return Err(self.nonsense("a log that was not asked for"));
        }
        if !(from..=cursor.number).contains(&block) {
            return Err(self.nonsense("a log outside the range"));
        }
        if block == cursor.number && hash != cursor.hash {
            let (number, expected, found) = (block, hash, cursor.hash);
            return Err(SettleError::Reorganised { number, expected, found });
        }
        Ok(((block, index), tx))
    }

    fn nonsense(&self, what: &str) -> SettleError {
        self.chain.nonsense("eth_getLogs", what)
    }
}
