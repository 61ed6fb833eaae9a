//! What the contract did, in order, as plain values.
//!
//! [`Follower`] reads events by ranges of blocks up to where the chain does not change any more,
//! and remembers the hash of the last block it has read: if that block is another one now, it says
//! so instead of going on over a gap. It keeps nothing on disk; whoever applies a batch keeps its
//! cursor with it, and starts the next follower there.

mod follower;
mod inbox;

use crate::abi::Settlement as Abi;
use alloy::primitives::{Address, B256, Log};
use alloy::sol_types::SolEventInterface;
use quorate_common::anchor::Opening;
use quorate_common::ids::{DealId, DealSlot, PoolId, WorkerIdx};
use quorate_common::messages::Header;
use quorate_common::terms::DealTerms;
use serde::{Deserialize, Serialize};

pub use follower::{Cursor, EventBatch, Follower, Located};
pub use inbox::{Demand, Forced, ForcedVote, ShownSet};

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
    DealOpened(Box<DealOpened>),
    /// A batch is pending.
    BatchCommitted {
        /// All of its header.
        header: Header,
        /// What the contract's word of it holds.
        opening: Opening,
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
    /// The operator was paid its fees.
    FeesCollected {
        /// Of which pool.
        pool: PoolId,
        /// How much, this time.
        paid: u128,
        /// How much in all.
        collected: u128,
    },
    /// The owners of a deal's application and dataset were paid.
    RoyaltiesPaid {
        /// Which deal.
        deal: DealId,
        /// For the application, this time.
        to_app: u128,
        /// For the dataset, this time.
        to_dataset: u128,
    },
    /// Whether a worker's earnings are left as stake.
    RestakeSet {
        /// Whose.
        worker: WorkerIdx,
        /// Whether.
        restake: bool,
    },
    /// A forced entry in a pool's inbox.
    Forced(Forced),
    /// Batches were dropped: this one and all later ones.
    Dropped {
        /// Whose.
        pool: PoolId,
        /// The first.
        index: u64,
    },
    /// A fraud was proven: the pool is dead.
    Convicted {
        /// Which.
        pool: PoolId,
        /// What is left of its bond, for victims.
        bond: u128,
    },
    /// A duty was neglected: the pool is dead.
    Abandoned {
        /// Which.
        pool: PoolId,
    },
    /// Somebody had a share of a conviction.
    Rewarded {
        /// Who.
        to: Address,
        /// How much.
        amount: u128,
    },
    /// Tasks of a dead pool's deal were settled by force.
    ForcedPaid {
        /// Which deal.
        deal: DealId,
        /// What they cost.
        cost: u128,
    },
    /// A pool's bond paid somebody.
    BondPaid {
        /// Whose bond.
        pool: PoolId,
        /// Who was paid.
        to: Address,
        /// How much.
        amount: u128,
    },
    /// The payer got back what a deal did not spend.
    DealRefunded {
        /// Which deal.
        deal: DealId,
        /// Who got it.
        payer: Address,
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
    /// Its id: the hash of its terms.
    pub deal: DealId,
    /// Its place in the pool's state tree.
    pub slot: DealSlot,
    /// All that it is.
    pub terms: DealTerms,
}

impl ChainEvent {
    /// What the contract's word of a committed batch holds.
    pub(crate) fn opening(event: &Abi::BatchCommitted) -> Opening {
        Opening {
            state_root: event.header.stateRoot,
            header_hash: event.headerHash,
            committed_at: event.committedAt,
            inbox: event.inbox,
        }
    }

    /// Reads a log of the contract. Nothing for a log that is not one of its interface's events
    /// (inherited ones like `EIP712DomainChanged` say nothing about money).
    pub fn decode(log: &Log) -> Option<Self> {
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
            Events::DealOpened(e) => Self::DealOpened(Box::new(e.into())),
            Events::BatchCommitted(e) => {
                Self::BatchCommitted { opening: Self::opening(&e), header: e.header.into() }
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
                payer: e.payer,
                amount: e.amount,
                returned: e.returned,
                closed: e.closed,
            },
            Events::FeesCollected(e) => {
                Self::FeesCollected { pool: PoolId(e.poolId), paid: e.paid, collected: e.collected }
            }
            Events::RoyaltiesPaid(e) => Self::RoyaltiesPaid {
                deal: DealId(e.dealId),
                to_app: e.toApp,
                to_dataset: e.toDataset,
            },
            Events::RestakeSet(e) => {
                Self::RestakeSet { worker: WorkerIdx(e.workerIdx), restake: e.restake }
            }
            Events::Forced(e) => Self::Forced(Forced {
                pool: PoolId(e.poolId),
                kind: e.kind,
                hash: e.hash,
                at: e.at,
                before: e.inboxBefore,
                after: e.inbox,
                entry: e.entry.to_vec(),
            }),
            Events::Dropped(e) => Self::Dropped { pool: PoolId(e.poolId), index: e.index },
            Events::Convicted(e) => Self::Convicted { pool: PoolId(e.poolId), bond: e.bond },
            Events::Abandoned(e) => Self::Abandoned { pool: PoolId(e.poolId) },
            Events::Rewarded(e) => Self::Rewarded { to: e.to, amount: e.amount },
            Events::ForcedPaid(e) => Self::ForcedPaid { deal: DealId(e.dealId), cost: e.cost },
            Events::BondPaid(e) => {
                Self::BondPaid { pool: PoolId(e.poolId), to: e.to, amount: e.amount }
            }
        })
    }
}

impl From<Abi::DealOpened> for DealOpened {
    fn from(event: Abi::DealOpened) -> Self {
        let (deal, slot) = (DealId(event.dealId), DealSlot(event.slot));
        Self { deal, slot, terms: event.terms.into() }
    }
}
