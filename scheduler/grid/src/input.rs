//! Everything that can happen to the grid. A new feature begins with a line here.

use crate::{calibration::Work, deal::Opened, restraint::Restraint};
use alloy_primitives::{Address, B256};
use quorate_common::{
    digest::Digest,
    frame::FrameProof,
    ids::{TaskKey, WorkerIdx},
    messages::{ReqOrder, Reveal},
    orders::Sides,
    wire::{GaveUp, Inline},
};

/// Names a caller that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What can happen.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed; see [`crate::Grid::next_deadline`].
    Tick,
    /// A requester's order, which the contract would take now, its bag read.
    Order {
        /// Who waits.
        ticket: Ticket,
        /// The order.
        req: Box<ReqOrder>,
        /// As it came in.
        signature: Vec<u8>,
        /// Who sells to it, and who pays.
        sides: Box<Sides>,
    },
    /// The order's deal could not be opened.
    OpenFailed {
        /// The order.
        order: B256,
        /// One sentence for the requester.
        reason: String,
    },
    /// What the chain says, once it is final.
    Chain(ChainInput),
    /// A worker said hello, with a key that the transport proved.
    Connected {
        /// The connection.
        session: SessionId,
        /// The node key.
        node_key: B256,
        /// The vote key it will use, bound by the node key.
        vote_key: Address,
        /// Replicas at once.
        slots: u16,
        /// The network it comes from (/24, /48), where that means something.
        net: Option<u64>,
        /// Hash of the engine it runs tasks with.
        engine: Digest,
        /// The least unit price it works for, in token units.
        ask: u128,
        /// Replicas it still has.
        holding: Vec<(TaskKey, u16)>,
    },
    /// The connection is gone.
    Disconnected(SessionId),
    /// The worker's slots changed.
    Slots(SessionId, u16),
    /// The worker runs containers too, with an engine of this hash, or does no more.
    Containers(SessionId, Option<Digest>),
    /// A frame of votes whose signature is the session's vote key's.
    Votes(SessionId, SignedVotes),
    /// A replica was given back.
    GaveUp(SessionId, GaveUp),
    /// All bytes of a result are in the blob store.
    Stored(TaskKey, Digest),
    /// The batch's evidence and signatures are on disk and it is on chain, final.
    Committed {
        /// The batch.
        index: u64,
    },
    /// The batch's window is over and its root pays.
    Finalized {
        /// The batch.
        index: u64,
    },
    /// Close the open batch now.
    CloseBatch,
    /// An operator keeps a worker from work, or does so no more.
    Restrain {
        /// Who waits.
        ticket: Ticket,
        /// Which worker.
        worker: WorkerIdx,
        /// How and why; `None`: it is free.
        restraint: Option<Restraint>,
    },
}

/// What the chain says.
#[derive(Clone, Debug)]
pub enum ChainInput {
    /// A worker was registered.
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
        /// Token units recorded, not less what was seized.
        stake: u128,
        /// Whether it asked to leave.
        exiting: bool,
    },
    /// A deal with this pool.
    Deal {
        /// What was agreed.
        opened: Box<Opened>,
        /// What its bag says, once module and bag are here and fit.
        work: Option<Work>,
    },
    /// A vote that a worker said on chain, because it was not heard otherwise.
    Forced(Box<ForcedVote>),
    /// A worker says on chain that it was never shown its commit set.
    Demand {
        /// Which task.
        task_id: B256,
        /// Which round.
        attempt: u16,
        /// Who.
        worker: WorkerIdx,
        /// Unix seconds of its block.
        at_unix_s: u64,
    },
    /// A set that was demanded is shown on chain.
    Answered {
        /// Which task.
        task_id: B256,
        /// The set's reveal deadline, as shown.
        reveal_deadline: u64,
        /// Unix seconds of its block.
        at_unix_s: u64,
    },
    /// Everything that was said to the pool up to this time was told: the chain was read to a block of
    /// that time, final or not.
    Heard {
        /// Unix seconds of the block.
        at_unix_s: u64,
    },
    /// Everything up to this block was told.
    Cursor {
        /// Its number.
        block: u64,
        /// Its hash.
        hash: B256,
    },
}

/// A vote from the chain, its frame's signature checked.
#[derive(Clone, Debug)]
pub struct ForcedVote {
    /// The vote.
    pub reveal: Reveal,
    /// Who signed it.
    pub signer: Address,
    /// Its place in the signed frame.
    pub proof: FrameProof,
    /// Unix seconds of its block.
    pub at_unix_s: u64,
}

/// A verified frame of votes.
#[derive(Clone, Debug)]
pub struct SignedVotes {
    /// The commits.
    pub commits: Vec<CommitVote>,
    /// The reveals.
    pub reveals: Vec<RevealVote>,
}

/// A commit with its place in the frame.
#[derive(Clone, Debug)]
pub struct CommitVote {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// What was committed.
    pub commitment: B256,
    /// Its place in the signed frame.
    pub proof: FrameProof,
}

/// A reveal with its place in the frame.
#[derive(Clone, Debug)]
pub struct RevealVote {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// The set the worker was shown.
    pub set_root: B256,
    /// The result.
    pub digest: Digest,
    /// Opens the commitment.
    pub salt: B256,
    /// Struct hash of the reveal.
    pub vote_hash: B256,
    /// The whole result, if small; its digests were checked.
    pub inline: Option<Inline>,
    /// Its place in the signed frame.
    pub proof: FrameProof,
}
