//! Everything worth remembering. `Grid::apply` folds it, in life and in replay.

use crate::{
    calibration::{Difference, Work},
    deal::{Opened, Order},
    poco::Outcome,
    restraint::Restraint,
};
use alloy_primitives::{Address, B256};
use quorate_common::{
    digest::Digest,
    frame::FrameProof,
    ids::{TaskKey, WorkerIdx},
    wire::Inline,
};
use serde::{Deserialize, Serialize};

/// The format of records and snapshots. A reader refuses another one.
pub const FORMAT: u16 = 7;

/// What a settled task taught about a worker (see [`Standing`]). Written where the pool makes a
/// promise; what follows from it then is its policy's business, which may change between two starts.
///
/// [`Standing`]: crate::credibility::Standing
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lesson {
    /// It passed a check.
    Passed {
        /// The lot of its answer.
        lot: u32,
        /// Thousandths of a check that it counts.
        check: u64,
    },
    /// What it answered in its lot is believed.
    Released,
    /// It was wrong, or kept back what it had bound itself to.
    Caught,
}

/// Something that happened and must not be forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The contract knows a worker.
    Worker {
        /// Its index.
        worker: WorkerIdx,
        /// Who owns it.
        owner: Address,
        /// Who votes.
        vote_key: Address,
        /// Who it is.
        node_key: B256,
    },
    /// A worker's stake in this pool.
    Stake {
        /// Which worker.
        worker: WorkerIdx,
        /// Token units.
        stake: u128,
        /// Whether it asked to leave.
        exiting: bool,
    },
    /// A requester's order was taken.
    Order {
        /// Struct hash.
        hash: B256,
        /// The order.
        order: Box<Order>,
    },
    /// Its deal could not be opened.
    Refused {
        /// The order.
        hash: B256,
        /// Why.
        reason: String,
    },
    /// A deal was opened.
    Deal {
        /// What was agreed.
        opened: Opened,
        /// What its bag says, once module and bag are here and fit.
        work: Option<Box<Work>>,
        /// Unix milliseconds.
        at_unix_ms: u64,
    },
    /// A replica was assigned.
    Assigned {
        /// Which task.
        task: TaskKey,
        /// To whom.
        worker: WorkerIdx,
        /// What it runs the task with.
        engine: Digest,
        /// The network it is in, where that is known.
        net: Option<u64>,
        /// Unix seconds.
        commit_deadline: u64,
        /// Unix seconds.
        reveal_deadline: u64,
    },
    /// A replica is lost before it committed.
    Lost {
        /// Which task.
        task: TaskKey,
        /// Whose.
        worker: WorkerIdx,
    },
    /// A commit was accepted.
    Committed {
        /// Which task.
        task: TaskKey,
        /// Whose.
        worker: WorkerIdx,
        /// What was committed.
        commitment: B256,
        /// The pool's count of acknowledgements.
        seq: u64,
        /// Its place in the signed frame.
        proof: FrameProof,
    },
    /// A commit set was frozen.
    Frozen {
        /// Which task.
        task: TaskKey,
        /// Unix seconds.
        reveal_deadline: u64,
    },
    /// A worker that committed says on chain that it was never shown its set.
    Demanded {
        /// Which task.
        task: TaskKey,
        /// Whose.
        worker: WorkerIdx,
        /// Unix seconds of its block.
        at_unix_s: u64,
    },
    /// A frozen set is signed again with a later deadline.
    Extended {
        /// Which task.
        task: TaskKey,
        /// Which round.
        attempt: u16,
        /// Unix seconds.
        reveal_deadline: u64,
    },
    /// A reveal was accepted.
    Revealed {
        /// Which task.
        task: TaskKey,
        /// Whose.
        worker: WorkerIdx,
        /// The result.
        digest: Digest,
        /// Opens the commitment.
        salt: B256,
        /// Struct hash of the reveal.
        vote_hash: B256,
        /// The pool's count of acknowledgements.
        seq: u64,
        /// The result's bytes, from the first that brought them.
        inline: Option<Inline>,
        /// Its place in the signed frame.
        proof: FrameProof,
    },
    /// A reveal was due and did not come.
    Missed {
        /// Which task.
        task: TaskKey,
        /// Whose.
        worker: WorkerIdx,
    },
    /// The bytes of a result are in the blob store.
    Stored {
        /// Which task.
        task: TaskKey,
        /// The result.
        digest: Digest,
    },
    /// A task's voters did not agree, in a program that need not agree with itself.
    Torn(Difference),
    /// A task is over.
    Settled {
        /// Which task.
        task: TaskKey,
        /// How.
        outcome: Outcome,
        /// The accepted result, for consensus.
        winner: Option<Digest>,
        /// Unix milliseconds.
        at_unix_ms: u64,
    },
    /// Something was learned about a worker.
    Standing {
        /// Which worker.
        worker: WorkerIdx,
        /// What.
        lesson: Lesson,
    },
    /// The open batch was closed.
    Closed,
    /// A batch is on chain.
    BatchCommitted {
        /// Which.
        index: u64,
    },
    /// A batch is final.
    BatchFinal {
        /// Which.
        index: u64,
    },
    /// The chain was read up to here.
    Cursor {
        /// Its number.
        block: u64,
        /// Its hash.
        hash: B256,
    },
    /// An operator keeps a worker from work, or does so no more.
    Restrained {
        /// Which worker.
        worker: WorkerIdx,
        /// How and why; `None`: it is free.
        restraint: Option<Restraint>,
    },
}
