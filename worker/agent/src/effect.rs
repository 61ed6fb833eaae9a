//! Everything a worker's agent can ask for, and in which order it must happen.

use crate::{
    duties::{Breach, Signed},
    job::Ticket,
    record::Record,
};
use quorate_common::{
    B256,
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
    messages::Reveal,
    wire::{CommitAckItem, CommitItem, CommitSetItem, DealInfo, GaveUp, RevealItem, SettledItem},
    word::{KeptVote, Word},
};
use serde::Serialize;

/// What [`crate::Agent::take_ready`] hands out.
///
/// First every record is made durable, in order; then every effect is performed, in order. A
/// driver may take several inputs before it takes this once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// To disk, all of them, before any effect.
    pub records: Vec<Record>,
    /// Then these.
    pub effects: Vec<Effect>,
}

/// One request to the world. Unless it says otherwise a lost effect is asked for again.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Say `Hello` on the fresh connection. Volatile: a connection without it is useless and ends.
    Hello {
        /// Replicas offered.
        slots: u16,
        /// What is still worked on or held sealed.
        holding: Vec<(TaskKey, u16)>,
    },
    /// Get module, bag and input files; answer with [`crate::Input::Fetched`].
    Fetch {
        /// Which job.
        ticket: Ticket,
        /// Its task.
        task: TaskKey,
        /// Its round.
        attempt: u16,
        /// Whose task.
        deal: DealInfo,
    },
    /// Run it; answer with [`crate::Input::Finished`], even if it is stopped.
    Start {
        /// Which job.
        ticket: Ticket,
        /// Its task.
        task: TaskKey,
        /// Its round.
        attempt: u16,
        /// Whose task.
        deal: DealInfo,
        /// What seeds its randomness: equal for all replicas, since it names the task.
        seed: B256,
        /// Give up after so many milliseconds.
        wall_ms: u64,
    },
    /// Stop fetching or running it.
    Stop {
        /// Which job.
        ticket: Ticket,
    },
    /// Sign and send a commit.
    Commit {
        /// The item.
        item: CommitItem,
        /// Its struct hash: the frame's leaf.
        hash: B256,
    },
    /// Sign and send a reveal.
    Reveal {
        /// The item.
        item: RevealItem,
        /// Its struct hash: the frame's leaf.
        hash: B256,
    },
    /// Say that a replica will not be finished. Volatile: after a reconnection `Hello` says it.
    GiveUp(GaveUp),
    /// Say how many replicas are offered. Volatile: `Hello` says it again.
    Slots(u16),
    /// Bring the blobs of a result that was shown.
    Upload {
        /// Whose result.
        task: TaskKey,
        /// The manifest first.
        blobs: Vec<Digest>,
    },
    /// The result's blobs are needed no longer.
    Forget {
        /// Whose result.
        task: TaskKey,
        /// All of them.
        blobs: Vec<Digest>,
        /// What came of it, if the scheduler said.
        settled: Option<Box<Settlement>>,
    },
    /// Keep what the scheduler signed, for whoever may have to prove it. Volatile: the scheduler's
    /// word about a vote is repeated when the vote is.
    Keep(Box<Word>),
    /// Keep our own vote, for a time when only the chain listens. Volatile, as the scheduler's words are.
    KeepVote(Box<KeptVote>),
    /// Say on chain that the commit set was never shown. Volatile: after a restart it is said again.
    Demand {
        /// Which task.
        task_id: B256,
        /// Which round.
        attempt: u16,
        /// Who says so.
        worker: WorkerIdx,
    },
    /// Sign a reveal and say it on chain, before its deadline: the scheduler does not take it.
    /// Volatile: after a restart it is said again.
    Force {
        /// The message.
        reveal: Reveal,
        /// Its struct hash: the frame's leaf.
        hash: B256,
    },
    /// End the connection: the scheduler broke the protocol.
    HangUp(Breach),
    /// The scheduler ended the session.
    Parted {
        /// Its sentence for the owner.
        reason: String,
        /// Come back after so many milliseconds; `None`: something must be changed first.
        retry_ms: Option<u64>,
    },
    /// Tell the owner, and keep the evidence.
    Warn(Box<Warning>),
}

/// What came of a sealed job, and what it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// What the contract and every signed word call the task.
    pub task_id: B256,
    /// Which round was voted in.
    pub attempt: u16,
    /// The module, or the pack's document.
    pub app: Digest,
    /// Token units the deal pays for the task.
    pub price: u128,
    /// The scheduler's word.
    pub item: SettledItem,
}

/// Something the owner should know. Those with signed items can be proven to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "warning")]
pub enum Warning {
    /// The scheduler signed two sets for one round. Only the first was answered.
    Equivocation {
        /// Which task.
        task: TaskKey,
        /// The set that was answered.
        first: Signed<CommitSetItem>,
        /// The other one.
        second: Signed<CommitSetItem>,
    },
    /// A set came that does not hold this worker's commitment, or does not prove it.
    NotInSet {
        /// Which task.
        task: TaskKey,
        /// The set.
        set: Signed<CommitSetItem>,
        /// The scheduler's promise, if it had given one.
        ack: Option<Signed<CommitAckItem>>,
    },
    /// A set came after its own reveal deadline; this worker may be punished without guilt.
    LateSet {
        /// Which task.
        task: TaskKey,
        /// The set.
        set: Signed<CommitSetItem>,
    },
    /// A commitment was acknowledged that this worker never made.
    WrongAck {
        /// Which task.
        task: TaskKey,
        /// The acknowledgement.
        ack: Signed<CommitAckItem>,
    },
    /// A reveal was acknowledged that this worker never made.
    WrongRevealAck {
        /// Which task.
        task: TaskKey,
    },
    /// A result was asked for that this worker did not show.
    WrongFetch {
        /// Which task.
        task: TaskKey,
    },
    /// More replicas were assigned than slots are offered; the rest was given back.
    OverSlots {
        /// Which task.
        task: TaskKey,
    },
    /// Another round of a task was assigned while this worker's vote in an earlier one stands.
    SecondVote {
        /// Which task.
        task: TaskKey,
        /// The round that was asked for.
        attempt: u16,
    },
    /// Sealed work became worthless because the contract now knows this worker by another index.
    Renumbered {
        /// Which task.
        task: TaskKey,
    },
    /// Nothing was heard of a sealed result for so long that it was given up.
    NeverSettled {
        /// Which task.
        task: TaskKey,
    },
}

impl Warning {
    /// A sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Equivocation { task, .. } => {
                format!("task {task}: the scheduler signed two commit sets; the evidence is kept")
            }
            Self::NotInSet { task, .. } => {
                format!("task {task}: the commit set does not hold this worker's commitment")
            }
            Self::LateSet { task, .. } => {
                format!("task {task}: the commit set came after its reveal deadline")
            }
            Self::WrongAck { task, .. } => {
                format!("task {task}: a commitment was acknowledged that was never made here")
            }
            Self::WrongRevealAck { task } => {
                format!("task {task}: a reveal was acknowledged that was never made here")
            }
            Self::WrongFetch { task } => {
                format!("task {task}: a result was asked for that was not shown from here")
            }
            Self::OverSlots { task } => {
                format!("task {task}: assigned beyond the offered slots, given back")
            }
            Self::SecondVote { task, attempt } => {
                format!("task {task}: round {attempt} was assigned while an earlier vote stands")
            }
            Self::Renumbered { task } => {
                format!("task {task}: sealed under another worker index, given up")
            }
            Self::NeverSettled { task } => {
                format!("task {task}: sealed long ago and never settled, given up")
            }
        }
    }
}
