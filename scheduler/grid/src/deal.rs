//! A deal: what its orders agreed on, what follows from that, and its tasks.

use crate::{
    calibration::{Difference, Work},
    poco::Terms,
    task::Task,
};
use quorate_common::{
    digest::Digest,
    ids::{DealId, DealSlot, REPLICAS_MAX},
    keys::Signature,
    messages::{PoolOrder, ReqOrder},
    orders::Sides,
    terms::DealTerms,
    wire::DealInfo,
};
use serde::{Deserialize, Serialize};

/// A deal as the contract opened it. Never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// Its place in the pool's state tree.
    pub slot: DealSlot,
    /// What was agreed.
    pub terms: DealTerms,
}

impl Opened {
    /// The contract's id.
    pub fn id(&self) -> DealId {
        self.terms.id()
    }
}

/// What a vote needs to know of a deal: money and trust.
pub fn money(terms: &DealTerms) -> Terms {
    Terms {
        unit_price: terms.unit_price,
        royalty: terms.royalty(),
        stake_ratio: terms.stake_ratio,
        scheduler_ratio: terms.scheduler_ratio,
        trust: terms.trust,
    }
}

/// A signed order of a requester, as it came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The order.
    pub req: ReqOrder,
    /// The requester's signature: 64 or 65 bytes, what its contract wallet takes, or nothing where it
    /// presigned on chain.
    pub signature: Vec<u8>,
    /// Who sells to it, and who pays.
    pub sides: Sides,
    /// Unix milliseconds of its arrival.
    pub at_unix_ms: u64,
    /// Where it stands.
    pub state: OrderState,
}

/// Where an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// The deal is being opened on chain.
    Opening,
    /// Work is possible, under way or done: see the deal.
    Deal(DealSlot),
    /// The contract or the pool refused.
    Refused(String),
}

/// A deal and its tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deal {
    /// Its place in the pool's state tree.
    pub slot: DealSlot,
    /// What was agreed.
    pub terms: DealTerms,
    /// `terms.id()`, kept because every message hashes it.
    pub id: DealId,
    /// Token units one replica puts at stake.
    pub stake: u128,
    /// Whether module and bag are here and fit the order; without them nothing is assigned.
    pub ready: bool,
    /// What its bag says; nothing until it is ready.
    pub work: Work,
    /// Why its remaining tasks end without a result: its program disagrees with itself.
    pub erratic: Option<Difference>,
    /// Unix milliseconds when it was opened.
    pub opened_unix_ms: u64,
    /// Dense, by index.
    pub tasks: Vec<Task>,
    /// The first task that was never opened; all before it were.
    pub next: u32,
    /// How many tasks are settled.
    pub settled: u32,
    /// Tasks with consensus among them.
    pub accepted: u32,
    /// Replicas assigned so far.
    pub replicas: u64,
    /// Votes for another result than the accepted one.
    pub dissents: u64,
}

impl Deal {
    /// A deal with all tasks queued.
    pub fn new(opened: Opened, work: Option<Work>, opened_unix_ms: u64) -> Self {
        let Opened { slot, terms } = opened;
        let (id, stake) = (terms.id(), money(&terms).stake());
        let tasks = vec![Task::Queued; terms.tasks as usize];
        Self {
            slot,
            terms,
            id,
            stake,
            ready: work.is_some(),
            work: work.unwrap_or_default(),
            erratic: None,
            opened_unix_ms,
            tasks,
            next: 0,
            settled: 0,
            accepted: 0,
            replicas: 0,
            dissents: 0,
        }
    }

    /// As the contract opened it.
    pub fn opened(&self) -> Opened {
        Opened { slot: self.slot, terms: self.terms.clone() }
    }

    /// What a worker must know.
    pub fn info(&self) -> DealInfo {
        DealInfo {
            slot: self.slot,
            id: self.id,
            app: Digest::from(self.terms.app),
            bag: Digest::from(self.terms.params),
            first: self.terms.filled_before,
            unit_price: self.terms.unit_price,
            stake: self.stake,
            max_task_time: self.terms.max_task_time,
            deadline: self.terms.deadline,
        }
    }

    /// The module its tasks run.
    pub fn app(&self) -> Digest {
        Digest::from(self.terms.app)
    }

    /// Most replicas one of its tasks may take.
    pub fn replicas_max(&self) -> usize {
        usize::from(self.terms.replicas).min(REPLICAS_MAX)
    }

    /// Whether every task is settled.
    pub fn finished(&self) -> bool {
        self.settled == self.terms.tasks
    }
}

/// The scheduler's own signature over an order it opens deals with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedPoolOrder {
    /// The order.
    pub order: PoolOrder,
    /// By the pool's signer.
    pub signature: Signature,
}
