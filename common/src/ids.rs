//! The registry of ids. An id is a type, so that a worker never stands where a deal was meant.

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! define_ids {
    ($($(#[$doc:meta])* $name:ident => $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    )*};
}

define_ids! {
    /// A pool in the contract, from 1.
    PoolId => "pool-";
    /// A worker in the contract, from 1, below [`WORKERS_MAX`]; also its leaf in the state tree.
    WorkerIdx => "worker-";
    /// A deal's place among its pool's deals, from 0, below [`DEALS_MAX`]. Dense, never reused.
    DealSlot => "deal-";
}

/// Workers one contract can hold: half the leaves of the depth-20 state tree.
pub const WORKERS_MAX: u32 = 1 << 19;
/// Deals one pool can ever hold: the other half. A pool that used them up registers anew.
pub const DEALS_MAX: u32 = 1 << 19;
/// Tasks in one deal: the settled bitmap has 2^8 words of 2^8 bits. A bigger bag is several deals.
pub const TASKS_MAX: u32 = 1 << 16;
/// Replicas of one task that can ever commit: the commit set tree has depth 4, and 15 votes keep
/// a fraud proof inside one transaction (threats.md E12).
pub const REPLICAS_MAX: usize = 15;

/// A deal as the contract knows it: the hash of its [`DealTerms`](crate::terms::DealTerms).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct DealId(pub B256);

impl fmt::Display for DealId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl PoolId {
    /// The restriction to this pool, as orders say it.
    pub fn restrict(self) -> B256 {
        B256::left_padding_from(&self.0.to_be_bytes())
    }
}

impl DealId {
    /// The id signed messages use: `keccak256(abi.encode(dealId, uint256(taskIdx)))`.
    pub fn task_id(&self, idx: u32) -> B256 {
        let mut preimage = [0_u8; 64];
        preimage[..32].copy_from_slice(self.0.as_slice());
        preimage[60..].copy_from_slice(&idx.to_be_bytes());
        keccak256(preimage)
    }
}

/// A task inside one pool: short enough for every frame and record.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct TaskKey {
    /// The deal's slot.
    pub deal: DealSlot,
    /// The task's index in its deal, below [`TASKS_MAX`].
    pub idx: u32,
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.deal, self.idx)
    }
}
