//! What the contract's reads return, as plain types. Money in token units, times in unix seconds.

use crate::abi::Settlement as Abi;
use alloy::primitives::{Address, B256};
use quorate_common::ids::{DealSlot, PoolId};

/// A worker's registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// Who owns stake and earnings.
    pub owner: Address,
    /// Who signs votes.
    pub vote_key: Address,
    /// Its ed25519 identity.
    pub node_key: B256,
    /// When its stakes may leave, if it has asked to.
    pub exit_at: Option<u64>,
}

impl From<Abi::Worker> for WorkerView {
    fn from(worker: Abi::Worker) -> Self {
        Self {
            owner: worker.owner,
            vote_key: worker.voteKey,
            node_key: worker.nodeKey,
            exit_at: (worker.exitAt != 0).then_some(worker.exitAt),
        }
    }
}

/// A worker's money in one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatView {
    /// Stake at the pool's risk, applied slashes taken off.
    pub stake: u128,
    /// How much of its `cum_slashed` has been applied.
    pub slashed: u128,
    /// How much of its `cum_earned` has been paid.
    pub claimed: u128,
}

impl From<Abi::Seat> for SeatView {
    fn from(seat: Abi::Seat) -> Self {
        Self { stake: seat.stake, slashed: seat.slashed, claimed: seat.claimed }
    }
}

/// A pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// The hot key that signs orders and headers.
    pub signer: Address,
    /// The account that owns bond and fees.
    pub operator: Address,
    /// Its scheduler's ed25519 identity.
    pub node_key: B256,
    /// When the bond may leave, if the operator has asked to; then the pool takes nothing new.
    pub exit_at: Option<u64>,
    /// Deals opened so far; the next one's slot.
    pub deals: u32,
    /// Newest committed batch, 0 for none.
    pub head: u64,
    /// Newest finalized batch, 0 for none.
    pub finalized: u64,
    /// payout + fees + slashed of pending batches; two thirds of the bond cap it.
    pub pending_value: u128,
    /// What pending batches will take out of `locked`.
    pub pending_draw: u128,
    /// What pending batches will slash.
    pub pending_slashed: u128,
    /// Requesters' money in this pool's deals.
    pub locked: u128,
    /// Final slashes not yet taken from stakes.
    pub unapplied: u128,
    /// Final earnings not yet claimed.
    pub owed: u128,
    /// The operator's bond.
    pub bond: u128,
    /// All stakes at this pool's risk.
    pub staked: u128,
}

impl From<Abi::Pool> for PoolView {
    fn from(pool: Abi::Pool) -> Self {
        Self {
            signer: pool.signer,
            operator: pool.operator,
            node_key: pool.nodeKey,
            exit_at: (pool.exitAt != 0).then_some(pool.exitAt),
            deals: pool.deals,
            head: pool.head,
            finalized: pool.finalized,
            pending_value: pool.pendingValue,
            pending_draw: pool.pendingDraw,
            pending_slashed: pool.pendingSlashed,
            locked: pool.locked,
            unapplied: pool.unapplied,
            owed: pool.owed,
            bond: pool.bond,
            staked: pool.staked,
        }
    }
}

/// A deal's fixed terms, and what went back of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DealView {
    /// Who pays.
    pub requester: Address,
    /// Who works.
    pub pool: PoolId,
    /// Its place in the pool's state tree.
    pub slot: DealSlot,
    /// How many tasks.
    pub tasks: u32,
    /// Token units per task.
    pub unit_price: u128,
    /// Returned to the requester so far.
    pub returned: u128,
    /// Unix seconds; work ends here.
    pub deadline: u64,
    /// Seconds one replica may take.
    pub max_task_time: u64,
    /// 1 / (chance of a wrong result) asked for.
    pub trust: u32,
    /// Most replicas a task may take.
    pub replicas: u8,
    /// Percent of the unit price a vote puts at stake.
    pub stake_ratio: u8,
    /// Percent of a reward that is the scheduler's.
    pub scheduler_ratio: u8,
    /// Nothing more can be returned.
    pub closed: bool,
}

impl From<Abi::Deal> for DealView {
    fn from(deal: Abi::Deal) -> Self {
        Self {
            requester: deal.requester,
            pool: PoolId(deal.poolId),
            slot: DealSlot(deal.slot),
            tasks: deal.tasks,
            unit_price: deal.unitPrice,
            returned: deal.returned,
            deadline: deal.deadline,
            max_task_time: deal.maxTaskTime,
            trust: deal.trust,
            replicas: deal.replicas,
            stake_ratio: deal.stakeRatio,
            scheduler_ratio: deal.schedulerRatio,
            closed: deal.closed,
        }
    }
}

/// A remembered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchView {
    /// Struct hash of its header.
    pub header_hash: B256,
    /// Its state root once it is final.
    pub state_root: Option<B256>,
    /// When it was committed.
    pub committed_at: u64,
    /// payout + fees + slashed.
    pub value: u128,
    /// What it slashes.
    pub slashed: u128,
}

impl From<Abi::Batch> for BatchView {
    fn from(batch: Abi::Batch) -> Self {
        Self {
            header_hash: batch.headerHash,
            state_root: (!batch.stateRoot.is_zero()).then_some(batch.stateRoot),
            committed_at: batch.committedAt,
            value: batch.value.to(),
            slashed: batch.slashed.to(),
        }
    }
}
