//! What the Court said.

use super::{Court, Shown};
use crate::abi::Court as Abi;
use crate::error::SettleError;
use alloy::primitives::{Address, B256, Log};
use alloy::sol_types::SolEventInterface as _;
use quorate_common::ids::PoolId;

/// Something the Court did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CourtEvent {
    /// Somebody will prove something.
    Announced {
        /// What.
        challenge: B256,
    },
    /// A fraud was proven.
    Proven {
        /// Whose.
        pool: PoolId,
        /// In which batch; zero: in none.
        index: u32,
        /// By whom.
        prover: Address,
        /// Whether the prover has a share.
        counts: bool,
    },
    /// A task must be shown.
    Asked {
        /// By which pool.
        pool: PoolId,
        /// Of which batch.
        index: u32,
        /// Which.
        place: u32,
        /// Until when, in unix seconds.
        until: u64,
    },
    /// It was.
    Answered {
        /// By which pool.
        pool: PoolId,
        /// Of which batch.
        index: u32,
        /// What it shows.
        shown: Box<Shown>,
    },
    /// Somebody was paid a share.
    Shared {
        /// Of which pool's bond.
        pool: PoolId,
        /// Who.
        winner: Address,
        /// Token units.
        amount: u128,
    },
}

/// An event, and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourtLog {
    /// Height of its block.
    pub block: u64,
    /// Its transaction.
    pub tx: B256,
    /// What happened.
    pub event: CourtEvent,
}

impl CourtEvent {
    /// Reads a log of the Court; nothing for one that is none of its events.
    pub fn decode(log: &Log) -> Option<Self> {
        type Events = Abi::CourtEvents;
        Some(match Events::decode_log(log).ok()?.data {
            Events::Announced(e) => Self::Announced { challenge: e.challenge },
            Events::Proven(e) => Self::Proven {
                pool: PoolId(e.poolId),
                index: e.index,
                prover: e.prover,
                counts: e.counts,
            },
            Events::Asked(e) => Self::Asked {
                pool: PoolId(e.poolId),
                index: e.index,
                place: e.place,
                until: e.until,
            },
            Events::Answered(e) => {
                let (pool, index) = (PoolId(e.poolId), e.index);
                Self::Answered { pool, index, shown: Box::new(e.into()) }
            }
            Events::Shared(e) => {
                Self::Shared { pool: PoolId(e.poolId), winner: e.winner, amount: e.amount }
            }
        })
    }
}

impl Court {
    /// What it said in a range of blocks, both ends included, in the order of the chain; nothing while
    /// the range's last block is not there. How long a range
    /// a node answers is the node's to say; [`crate::events::Follower`] asks for 2,000 blocks.
    ///
    /// # Errors
    /// The node's.
    pub async fn events(&self, from: u64, to: u64) -> Result<Vec<CourtLog>, SettleError> {
        let found = self.settlement.chain().logs_up_to(self.address, from, to).await?;
        let logs = found.map_or_else(Vec::new, |(_, logs)| logs);
        let read = logs.iter().filter_map(|log| {
            let (block, tx) = (log.block_number?, log.transaction_hash?);
            Some(CourtLog { block, tx, event: CourtEvent::decode(&log.inner)? })
        });
        Ok(read.collect())
    }
}
