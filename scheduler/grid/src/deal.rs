//! A deal: both signed orders, what follows from them, and its tasks.

use crate::{poco::Terms, task::Task};
use quorate_common::{
    digest::Digest,
    ids::{DealId, DealSlot, REPLICAS_MAX},
    keys::Signature,
    messages::{Message as _, PoolOrder, ReqOrder, deal_id},
    wire::DealInfo,
};
use serde::{Deserialize, Serialize};

/// What the contract and both signed orders say. Never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DealTerms {
    /// Its place in the pool's state tree.
    pub slot: DealSlot,
    /// The requester's order.
    pub req: ReqOrder,
    /// The pool's order.
    pub pool: PoolOrder,
    /// Volume of the requester's order filled before.
    pub filled_before: u32,
    /// Tasks in this deal.
    pub tasks: u32,
}

impl DealTerms {
    /// The contract's id.
    pub fn id(&self) -> DealId {
        let (req, pool) = (self.req.struct_hash(), self.pool.struct_hash());
        deal_id(req, pool, self.filled_before, self.tasks)
    }

    /// Money and trust.
    pub fn terms(&self) -> Terms {
        Terms {
            unit_price: self.pool.unit_price,
            stake_ratio: self.pool.stake_ratio,
            scheduler_ratio: self.pool.scheduler_ratio,
            trust: self.req.trust,
        }
    }
}

/// A signed order of a requester, as it came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The order.
    pub req: ReqOrder,
    /// The requester's signature: 64 bytes, or what its contract wallet takes.
    pub signature: Vec<u8>,
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
    /// What was agreed.
    pub terms: DealTerms,
    /// `terms.id()`, kept because it costs four hashes.
    pub id: DealId,
    /// Token units one replica puts at stake.
    pub stake: u128,
    /// Whether module and bag are here and fit the order; without them nothing is assigned.
    pub ready: bool,
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
    pub fn new(terms: DealTerms, ready: bool, opened_unix_ms: u64) -> Self {
        let (id, stake) = (terms.id(), terms.terms().stake());
        let tasks = vec![Task::Queued; terms.tasks as usize];
        Self {
            terms,
            id,
            stake,
            ready,
            opened_unix_ms,
            tasks,
            next: 0,
            settled: 0,
            accepted: 0,
            replicas: 0,
            dissents: 0,
        }
    }

    /// What a worker must know.
    pub fn info(&self) -> DealInfo {
        DealInfo {
            slot: self.terms.slot,
            id: self.id,
            app: Digest::from(self.terms.req.app),
            bag: Digest::from(self.terms.req.params),
            unit_price: self.terms.pool.unit_price,
            stake: self.stake,
            max_task_time: self.terms.req.max_task_time,
            deadline: self.terms.req.deadline,
        }
    }

    /// Most replicas one of its tasks may take.
    pub fn replicas_max(&self) -> usize {
        usize::from(self.terms.req.replicas).min(REPLICAS_MAX)
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
