//! Everything that can happen to a worker.

use crate::job::Ticket;
use quorate_common::{
    B256,
    digest::Digest,
    frame::FrameProof,
    ids::TaskKey,
    messages::CommitSet,
    wire::{GiveUpReason, Inline, ToWorker},
};

/// One event. Every variant is harmless when it comes twice or late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A connection to the pinned scheduler stands; nothing was said on it yet.
    LinkUp,
    /// The connection is gone.
    LinkDown,
    /// The scheduler said something, decoded but not believed.
    Frame(Box<ToWorker>),
    /// Module, bag and input files of a job are here, or cannot be had.
    Fetched {
        /// Which job, as [`crate::Effect::Fetch`] named it.
        ticket: Ticket,
        /// Its task.
        task: TaskKey,
        /// Why it cannot run, if so.
        outcome: Result<(), GiveUpReason>,
    },
    /// A run ended, or was stopped.
    Finished {
        /// Which job, as [`crate::Effect::Start`] named it.
        ticket: Ticket,
        /// Its task.
        task: TaskKey,
        /// What it resulted in, or why there is no result.
        outcome: Result<Output, GiveUpReason>,
        /// 32 fresh random bytes: the salt of this result's commitment, if it gets one.
        salt: B256,
    },
    /// A commit set was shown on chain, signed by the pool's signer.
    SetShown {
        /// The set.
        set: CommitSet,
        /// That it was signed.
        proof: FrameProof,
    },
    /// The owner wants so many replicas at once, at most [`crate::Config::slots_max`]; 0 pauses.
    Offer(u16),
    /// Whether new work is taken; what is here goes on either way.
    Take(bool),
    /// The owner wants the machine: runs are held in memory until this unix second, or for nobody knows how
    /// long. What another worker can do as well is given back. An offer ends it.
    Rest {
        /// When it ends, if that is certain.
        until_s: Option<u64>,
    },
    /// The least price from now on, in token units.
    Ask(u128),
    /// The program is leaving: give back what is unfinished, show what is sealed.
    Leave,
    /// Time passed; see [`crate::Agent::next_deadline`].
    Tick,
}

/// A result whose blobs are already in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// sha256 of the manifest: what is voted for.
    pub digest: Digest,
    /// The manifest first, then each blob it names, once.
    pub blobs: Vec<Digest>,
    /// The same as bytes, if they fit into a reveal: the manifest, then one blob per line.
    pub inline: Option<Inline>,
}
