//! What the contract did, in order, as plain values.
//!
//! [`Follower`] reads events by ranges of blocks up to where the chain does not change any more,
//! and remembers the hash of the last block it has read: if that block is another one now, it says
//! so instead of going on over a gap. It keeps nothing on disk; whoever applies a batch keeps its
//! cursor with it, and starts the next follower there.

mod follower;

use crate::abi::Settlement as Abi;
use alloy::primitives::{Address, B256, Log};
use alloy::sol_types::SolEventInterface;
use quorate_common::ids::{DealId, DealSlot, PoolId, WorkerIdx};
use quorate_common::messages::Header;
use serde::{Deserialize, Serialize};

pub use follower::{Cursor, EventBatch, Follower, Located};

/// Something the contract did. Money in token units, times in unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainEvent {
    /// Tokens came in.
    Deposited {
        /// Whose free balance grew.
        account: Address,
        /// By how much.
        amount: u128,
    },
    /// Tokens went out.
    Withdrawn {
        /// Whose free balance shrank.
        account: Address,
        /// By how much.
        amount: u128,
    },
    /// A worker exists.
    WorkerRegistered {
        /// Its index.
        worker: WorkerIdx,
        /// Who owns it.
        owner: Address,
        /// Its ed25519 identity.
        node_key: B256,
        /// Who signs its votes.
        vote_key: Address,
    },
    /// A worker's stake in a pool changed, by its owner's doing.
    StakeChanged {
        /// Where.
        pool: PoolId,
        /// Whose.
        worker: WorkerIdx,
        /// How much there is now.
        stake: u128,
    },
    /// A final slash was taken.
    Slashed {
        /// Where.
        pool: PoolId,
        /// Whose.
        worker: WorkerIdx,
        /// From its stake, which is that much less now.
        from_stake: u128,
        /// From the pool's bond, because the stake had left.
        from_bond: u128,
    },
    /// A worker must get no more work; its stakes may leave later.
    ExitRequested {
        /// Who leaves.
        worker: WorkerIdx,
        /// When its stakes may.
        exit_at: u64,
    },
    /// A worker stays after all.
    ExitCancelled {
        /// Who stays.
        worker: WorkerIdx,
    },
    /// A pool exists.
    PoolRegistered {
        /// Its id.
        pool: PoolId,
        /// Who owns its bond and fees.
        operator: Address,
        /// Who signs its orders and headers.
        signer: Address,
        /// Its scheduler's ed25519 identity.
        node_key: B256,
    },
    /// A pool's bond grew.
    BondAdded {
        /// Whose.
        pool: PoolId,
        /// How much there is now.
        bond: u128,
    },
    /// A pool takes nothing new any more.
    BondExitRequested {
        /// Who closes.
        pool: PoolId,
        /// When its bond may leave.
        exit_at: u64,
    },
    /// A pool's bond left.
    BondWithdrawn {
        /// Whose.
        pool: PoolId,
        /// How much.
        amount: u128,
    },
    /// Two orders were matched and the money locked.
    DealOpened(DealOpened),
    /// No more deals will be made of an order.
    OrderCancelled {
        /// Its struct hash.
        order: B256,
    },
    /// A batch is pending.
    BatchCommitted {
        /// Struct hash of the header.
        header_hash: B256,
        /// All of it, so that anyone can finalize it.
        header: Header,
    },
    /// A batch is final.
    Finalized {
        /// Whose.
        pool: PoolId,
        /// Which.
        index: u64,
        /// Struct hash of its header.
        header_hash: B256,
        /// What can be claimed against.
        state_root: B256,
    },
    /// A worker's owner was paid.
    Claimed {
        /// By which pool.
        pool: PoolId,
        /// For which worker.
        worker: WorkerIdx,
        /// Who was paid.
        owner: Address,
        /// How much, this time.
        paid: u128,
        /// How much in all.
        claimed: u128,
    },
    /// The token refused to pay somebody; the contract keeps it as free balance.
    PayoutKept {
        /// Whose free balance grew.
        account: Address,
        /// By how much.
        amount: u128,
    },
    /// A requester got back what a deal did not spend.
    DealRefunded {
        /// Which deal.
        deal: DealId,
        /// Who got it.
        requester: Address,
        /// How much, this time.
        amount: u128,
        /// How much in all.
        returned: u128,
        /// Nothing more comes back.
        closed: bool,
    },
}

/// A deal as its event tells it: all a scheduler needs to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealOpened {
    /// Its id.
    pub deal: DealId,
    /// Who works.
    pub pool: PoolId,
    /// Who pays.
    pub requester: Address,
    /// Its place in the pool's state tree.
    pub slot: DealSlot,
    /// Struct hash of the request order.
    pub req_hash: B256,
    /// Struct hash of the pool order.
    pub pool_hash: B256,
    /// Tasks of the request order that earlier deals took.
    pub filled_before: u32,
    /// sha256 of the application.
    pub app: B256,
    /// sha256 of the bag.
    pub params: B256,
    /// Token units per task.
    pub unit_price: u128,
    /// How many tasks.
    pub tasks: u32,
    /// 1 / (chance of a wrong result) asked for.
    pub trust: u32,
    /// Most replicas a task may take.
    pub replicas: u8,
    /// Percent of the unit price a vote puts at stake.
    pub stake_ratio: u8,
    /// Percent of a reward that is the scheduler's.
    pub scheduler_ratio: u8,
    /// Seconds one replica may take.
    pub max_task_time: u64,
    /// Unix seconds; work ends here.
    pub deadline: u64,
}

impl ChainEvent {
    /// Reads a log of the contract. Nothing for a log that is not one of its interface's events
    /// (inherited ones like `EIP712DomainChanged` say nothing about money).
    pub(crate) fn decode(log: &Log) -> Option<Self> {
        type Events = Abi::SettlementEvents;
        Some(match Events::decode_log(log).ok()?.data {
            Events::Deposited(e) => Self::Deposited { account: e.account, amount: e.amount },
            Events::Withdrawn(e) => Self::Withdrawn { account: e.account, amount: e.amount },
            Events::WorkerRegistered(e) => Self::WorkerRegistered {
                worker: WorkerIdx(e.workerIdx),
                owner: e.owner,
                node_key: e.nodeKey,
                vote_key: e.voteKey,
            },
            Events::Staked(e) => Self::StakeChanged {
                pool: PoolId(e.poolId),
                worker: WorkerIdx(e.workerIdx),
                stake: e.stake,
            },
            Events::Unstaked(e) => Self::StakeChanged {
                pool: PoolId(e.poolId),
                worker: WorkerIdx(e.workerIdx),
                stake: e.stake,
            },
            Events::Slashed(e) => Self::Slashed {
                pool: PoolId(e.poolId),
                worker: WorkerIdx(e.workerIdx),
                from_stake: e.fromStake,
                from_bond: e.fromBond,
            },
            Events::ExitRequested(e) => {
                Self::ExitRequested { worker: WorkerIdx(e.workerIdx), exit_at: e.exitAt }
            }
            Events::ExitCancelled(e) => Self::ExitCancelled { worker: WorkerIdx(e.workerIdx) },
            Events::PoolRegistered(e) => Self::PoolRegistered {
                pool: PoolId(e.poolId),
                operator: e.operator,
                signer: e.signer,
                node_key: e.nodeKey,
            },
            Events::BondAdded(e) => Self::BondAdded { pool: PoolId(e.poolId), bond: e.bond },
            Events::BondExitRequested(e) => {
                Self::BondExitRequested { pool: PoolId(e.poolId), exit_at: e.exitAt }
            }
            Events::BondWithdrawn(e) => {
                Self::BondWithdrawn { pool: PoolId(e.poolId), amount: e.amount }
            }
            Events::DealOpened(e) => Self::DealOpened(e.into()),
            Events::OrderCancelled(e) => Self::OrderCancelled { order: e.orderHash },
            Events::BatchCommitted(e) => {
                Self::BatchCommitted { header_hash: e.headerHash, header: e.header.into() }
            }
            Events::Finalized(e) => Self::Finalized {
                pool: PoolId(e.poolId),
                index: e.index,
                header_hash: e.headerHash,
                state_root: e.stateRoot,
            },
            Events::Claimed(e) => Self::Claimed {
                pool: PoolId(e.poolId),
                worker: WorkerIdx(e.workerIdx),
                owner: e.owner,
                paid: e.paid,
                claimed: e.claimed,
            },
            Events::PayoutKept(e) => Self::PayoutKept { account: e.account, amount: e.amount },
            Events::Refunded(e) => Self::DealRefunded {
                deal: DealId(e.dealId),
                requester: e.requester,
                amount: e.amount,
                returned: e.returned,
                closed: e.closed,
            },
            Events::EIP712DomainChanged(_) => return None,
        })
    }
}

impl From<Abi::DealOpened> for DealOpened {
    fn from(event: Abi::DealOpened) -> Self {
        let Abi::DealTerms {
            slot,
            reqHash,
            poolHash,
            filledBefore,
            app,
            params,
            unitPrice,
            tasks,
            trust,
            replicas,
            stakeRatio,
            schedulerRatio,
            maxTaskTime,
            deadline,
        } = event.terms;
        Self {
            deal: DealId(event.dealId),
            pool: PoolId(event.poolId),
            requester: event.requester,
            slot: DealSlot(slot),
            req_hash: reqHash,
            pool_hash: poolHash,
            filled_before: filledBefore,
            app,
            params,
            unit_price: unitPrice,
            tasks,
            trust,
            replicas,
            stake_ratio: stakeRatio,
            scheduler_ratio: schedulerRatio,
            max_task_time: maxTaskTime,
            deadline,
        }
    }
}
