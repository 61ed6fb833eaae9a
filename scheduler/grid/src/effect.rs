//! Everything the grid can ask for, and the order contract: what a drain returns leaves only when the
//! drain's records are on disk, in the order given.

use crate::{
    deal::{Opened, Order},
    evidence::BatchFile,
    input::{SessionId, Ticket},
    poco::Outcome,
    record::Record,
};
use alloy_primitives::B256;
use quorate_common::{
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
    messages::{CommitSet, Header},
    wire::{
        AssignItem, CommitAckItem, CommitSetItem, DealInfo, Goodbye, RevealAckItem, SettledItem,
    },
};

/// What one drain of the grid gives.
#[derive(Debug, Default)]
pub struct Ready {
    /// To be made durable, in order, before any effect is performed.
    pub records: Vec<Record>,
    /// To be performed, in order, after that.
    pub effects: Vec<Effect>,
}

/// What the grid asks for.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Something for a worker.
    Send(SessionId, ToSession),
    /// An answer for a waiting caller.
    Reply(Ticket, Reply),
    /// Bring the order's deal on chain.
    OpenDeal {
        /// Struct hash of the order.
        order: B256,
        /// The order and what came with it.
        signed: Box<Order>,
    },
    /// A deal is known: frames may name it from now on.
    DealKnown(Opened),
    /// Sign this set again and show it on chain, within the deadline less [`SLACK_S`].
    ///
    /// [`SLACK_S`]: quorate_common::anchor::SLACK_S
    Answer(CommitSet),
    /// Sign the batch, write its evidence, bring it on chain.
    Seal(Header, Box<BatchFile>),
    /// A task is settled: tell who watches.
    Settled(TaskSettled),
}

/// A settled task, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSettled {
    /// Which task.
    pub task: TaskKey,
    /// How it ended.
    pub outcome: Outcome,
    /// The accepted result.
    pub digest: Digest,
    /// Whether it is as credible as the pool promises; false where its deal ended before, or all its
    /// replicas were not enough.
    pub kept: bool,
    /// Replicas it took.
    pub replicas: u8,
    /// Votes for something else, or never revealed.
    pub dissents: u8,
    /// Milliseconds since its deal was opened.
    pub age_ms: u64,
    /// Tasks of its deal that are settled now.
    pub deal_settled: u32,
}

/// Something for a worker. Signing and framing is the session's business.
#[derive(Clone, Debug)]
pub enum ToSession {
    /// The answer to hello.
    Welcome {
        /// The worker's index, if the contract knows its node key.
        worker: Option<WorkerIdx>,
        /// Token units at stake, less what was seized.
        stake: u128,
        /// Its score.
        score: u32,
        /// What the operator has to say to it; empty: nothing.
        notice: String,
    },
    /// A deal, before its first assignment in this session.
    Deal(DealInfo),
    /// A replica to run.
    Assign(AssignItem),
    /// A commit is on disk.
    CommitAck(CommitAckItem),
    /// Time to reveal.
    Set(CommitSetItem),
    /// A reveal is on disk.
    RevealAck(RevealAckItem),
    /// Stop this replica.
    Cancel(TaskKey, u16),
    /// Send the bytes of this result.
    Fetch(TaskKey, Digest),
    /// What came of a replica.
    Settled(SettledItem),
    /// The session ends.
    Goodbye(Goodbye),
}

/// An answer for a waiting caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The order is on disk and its deal is being opened, or was.
    Accepted {
        /// Struct hash of the order.
        order: B256,
        /// The deal, if it is open already.
        deal: Option<DealSlot>,
    },
    /// What an operator said of a worker is on disk.
    Restrained,
    /// The contract knows no such worker.
    UnknownWorker,
}
