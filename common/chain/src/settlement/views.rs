//! What the contract's reads return, as plain types. Money in token units, times in unix seconds.

use crate::abi::{Market, Settlement as Abi};
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
    /// Whether its earnings are left as stake.
    pub restake: bool,
}

impl From<Abi::Worker> for WorkerView {
    fn from(worker: Abi::Worker) -> Self {
        Self {
            owner: worker.owner,
            vote_key: worker.voteKey,
            node_key: worker.nodeKey,
            exit_at: (worker.exitAt != 0).then_some(worker.exitAt),
            restake: worker.restake,
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
    /// Whether it works.
    pub state: PoolState,
    /// Deals opened so far; the next one's slot.
    pub deals: u32,
    /// Newest committed batch, 0 for none.
    pub head: u64,
    /// Newest finalized batch, 0 for none.
    pub finalized: u64,
    /// payout + fees + royalties + slashed of pending batches; two thirds of the bond cap it.
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
    /// Fees the operator has collected.
    pub collected: u128,
    /// Running hash of the forced entries.
    pub inbox: B256,
}

/// Whether a pool works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolState {
    /// It does.
    Live,
    /// It neglected a duty, and is closed for good since this time.
    Abandoned(u64),
    /// A fraud was proven, and it is closed for good since this time.
    Convicted(u64),
}

impl From<Abi::Pool> for PoolView {
    fn from(pool: Abi::Pool) -> Self {
        Self {
            signer: pool.signer,
            operator: pool.operator,
            node_key: pool.nodeKey,
            exit_at: (!pool.exitAt.is_zero()).then(|| pool.exitAt.to()),
            state: match pool.state {
                0 => PoolState::Live,
                1 => PoolState::Abandoned(pool.deadAt.to()),
                _ => PoolState::Convicted(pool.deadAt.to()),
            },
            deals: pool.deals,
            head: pool.head.into(),
            finalized: pool.finalized.into(),
            pending_value: pool.pendingValue.to(),
            pending_draw: pool.pendingDraw.to(),
            pending_slashed: pool.pendingSlashed,
            locked: pool.locked.to(),
            unapplied: pool.unapplied,
            owed: pool.owed.to(),
            bond: pool.bond,
            staked: pool.staked,
            collected: pool.collected,
            inbox: pool.inbox,
        }
    }
}

/// What is kept of a deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DealView {
    /// Who works.
    pub pool: PoolId,
    /// Its place in the pool's state tree.
    pub slot: DealSlot,
    /// Returned to the payer so far.
    pub returned: u128,
    /// Nothing more can be returned.
    pub closed: bool,
}

impl From<Abi::Deal> for DealView {
    fn from(deal: Abi::Deal) -> Self {
        Self {
            pool: PoolId(deal.poolId),
            slot: DealSlot(deal.slot),
            returned: deal.returned,
            closed: deal.closed,
        }
    }
}

/// How far an order is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UseView {
    /// Tasks taken.
    pub filled: u32,
    /// It needs no signature.
    pub presigned: bool,
    /// No more deals are made of it.
    pub cancelled: bool,
    /// Token units a sponsor has paid of it.
    pub paid: u128,
}

impl From<Market::OrderUse> for UseView {
    fn from(of: Market::OrderUse) -> Self {
        let Market::OrderUse { filled, presigned, cancelled, paid } = of;
        Self { filled, presigned, cancelled, paid }
    }
}
