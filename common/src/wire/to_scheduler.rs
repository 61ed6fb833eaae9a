//! What a worker says.

use super::{FrameError, INLINE_BYTES_MAX, SLOTS_MAX};
use crate::{
    digest::Digest,
    frame::FRAME_MESSAGES_MAX,
    ids::{DealId, PoolId, TaskKey, WorkerIdx},
    keys::Signature,
    messages::{Commit, Message as _, Reveal},
    word::Word,
};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

/// The first frame of every stream a worker opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Open {
    /// The control stream, once per connection, first.
    Control(Hello),
    /// Asks for a blob, or for the rest of one. Answer: `u64` little-endian length of the whole
    /// (`u64::MAX`: not here, or not for this worker), then the bytes from `from` on.
    Get {
        /// Its sha256.
        digest: Digest,
        /// Bytes that came before a connection broke, and are here; 0 at first.
        from: u64,
    },
    /// Brings a blob. Its bytes follow; answer: one byte, 0 stored, 1 refused.
    Put {
        /// Its sha256.
        digest: Digest,
        /// Its length in bytes.
        len: u64,
    },
}

/// Who connects, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`super::VERSION`].
    pub version: u16,
    /// The pool the worker means to join.
    pub pool: PoolId,
    /// The key that will sign votes.
    pub vote_key: Address,
    /// The node key's signature over the vote key's 20 bytes, context [`super::BINDING_CONTEXT`].
    pub binding: [[u8; 32]; 2],
    /// Replicas it will run at once; 0 pauses.
    pub slots: u16,
    /// Memory for all replicas, in bytes.
    pub memory_bytes: u64,
    /// What it can run.
    pub engine: EngineInfo,
    /// The least it works for: token units, compared with a deal's price of one task. What it earns of
    /// that is its share among those who agree.
    pub ask: u128,
    /// A name for people, at most 64 bytes; shown as text only.
    pub name: String,
    /// Replicas it still works on or holds sealed, from before a reconnection.
    pub holding: Vec<(TaskKey, u16)>,
    /// The acknowledgement with the highest count that the pool's signer ever gave it: a scheduler
    /// whose journal does not reach so far was set back to an old disk, and stops.
    pub newest: Option<Box<Word>>,
}

/// An engine by kind and exact build: replicas that could differ never vote against each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// sha256 over engine version and configuration.
    pub hash: Digest,
}

/// Everything a worker says after [`Hello`], on the control stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToScheduler {
    /// Commits and reveals under one signature.
    Votes(Votes),
    /// A replica that will not be finished. Never a vote.
    GaveUp(GaveUp),
    /// The worker's slots changed; 0 pauses.
    Slots(u16),
    /// Still here. Volatile.
    Heartbeat,
    /// It also runs containers, with an engine of this hash; `None`: no more. Volatile: said again after each
    /// hello.
    Containers(Option<Digest>),
}

/// Commits and reveals under one signature: leaves are the commits' struct hashes, then the reveals'.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Votes {
    /// In order.
    pub commits: Vec<CommitItem>,
    /// In order.
    pub reveals: Vec<RevealItem>,
    /// By the vote key over the frame.
    pub signature: Signature,
}

/// A [`Commit`] without what both sides know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitItem {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// The salted commitment.
    pub commitment: B256,
}

/// A [`Reveal`] without what both sides know, and perhaps the result itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevealItem {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// The set the worker was shown.
    pub set_root: B256,
    /// sha256 of the manifest.
    pub digest: Digest,
    /// Opens the commitment.
    pub salt: B256,
    /// The result's blobs, if they are small.
    pub inline: Option<Inline>,
}

/// A whole result: its manifest first, then its blobs in the manifest's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inline {
    /// At most [`INLINE_BYTES_MAX`] together.
    pub blobs: Vec<Vec<u8>>,
}

/// A replica given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GaveUp {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// Why.
    pub reason: GiveUpReason,
}

/// Why a replica ended without a result. None of these is ever a vote, because two honest machines
/// may differ in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GiveUpReason {
    /// The owner wants the machine back, or the program is leaving.
    Leaving,
    /// The commit deadline would be missed.
    Deadline,
    /// An input could not be fetched or had the wrong digest.
    Input,
    /// The native stack ended: its depth differs between machines.
    Stack,
    /// The engine failed.
    Engine,
    /// The deal pays less than the worker asks for.
    Price,
    /// Memory was used up, or the program was killed from outside: where that happens depends on the kernel.
    Memory,
    /// The program lies in a registry that the worker's owner does not list.
    Registry,
    /// The program is a runtime pack, and the worker's owner wants none.
    Pack,
    /// The deal's tasks may take more memory than the worker offers for one.
    Room,
}

impl Votes {
    /// Checks every bound a decoder cannot express.
    ///
    /// # Errors
    /// [`FrameError::Field`].
    pub fn check(&self) -> Result<(), FrameError> {
        let count = self.commits.len() + self.reveals.len();
        if !(1..=FRAME_MESSAGES_MAX).contains(&count) {
            return Err(out_of_range("votes", count, "1 to 256 messages"));
        }
        for reveal in &self.reveals {
            let inline = reveal.inline.as_ref().map_or(0, Inline::len);
            if inline > INLINE_BYTES_MAX {
                return Err(out_of_range("reveal.inline", inline, "at most 2048 bytes"));
            }
        }
        Ok(())
    }

    /// The leaves' struct hashes, given each deal's id; `None` if a deal is unknown.
    pub fn hashes(
        &self,
        pool: PoolId,
        deal_id: impl Fn(TaskKey) -> Option<DealId>,
    ) -> Option<Vec<B256>> {
        let task_id = |task: TaskKey| Some(deal_id(task)?.task_id(task.idx));
        let mut hashes = Vec::with_capacity(self.commits.len() + self.reveals.len());
        for item in &self.commits {
            hashes.push(item.message(pool, task_id(item.task)?).struct_hash());
        }
        for item in &self.reveals {
            hashes.push(item.message(pool, task_id(item.task)?).struct_hash());
        }
        Some(hashes)
    }
}

impl CommitItem {
    /// The signed message.
    pub fn message(&self, pool: PoolId, task_id: B256) -> Commit {
        Commit { pool, task_id, attempt: self.attempt, commitment: self.commitment }
    }
}

impl RevealItem {
    /// The signed message.
    pub fn message(&self, pool: PoolId, task_id: B256) -> Reveal {
        Reveal {
            pool,
            task_id,
            attempt: self.attempt,
            set_root: self.set_root,
            digest: self.digest.word(),
            salt: self.salt,
        }
    }
}

impl Inline {
    /// Bytes in all blobs.
    pub fn len(&self) -> usize {
        self.blobs.iter().map(Vec::len).sum()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Hello {
    /// Bytes of a worker's name, at most.
    pub const NAME_BYTES_MAX: usize = 64;
    /// Replicas a worker may hold over a reconnection: both kinds of each slot.
    pub const HOLDING_MAX: usize = 2 * SLOTS_MAX as usize;

    /// Checks every bound a decoder cannot express.
    ///
    /// # Errors
    /// [`FrameError::Field`].
    pub fn check(&self) -> Result<(), FrameError> {
        if self.version != super::VERSION {
            return Err(out_of_range("hello.version", self.version.into(), "2"));
        }
        if self.slots > SLOTS_MAX {
            return Err(out_of_range("hello.slots", self.slots.into(), "at most 1024"));
        }
        if self.name.len() > Self::NAME_BYTES_MAX || self.name.chars().any(char::is_control) {
            let expected = "at most 64 bytes without control characters";
            return Err(out_of_range("hello.name", self.name.len(), expected));
        }
        if self.holding.len() > Self::HOLDING_MAX {
            return Err(out_of_range("hello.holding", self.holding.len(), "at most 2048"));
        }
        Ok(())
    }

    /// What the node key signs to bind itself to a vote key, on one chain, contract and pool.
    pub fn binding_message(
        separator: &crate::messages::Separator,
        pool: PoolId,
        vote_key: Address,
    ) -> Vec<u8> {
        [separator.0.as_slice(), &pool.0.to_be_bytes(), vote_key.as_slice()].concat()
    }

    /// The binding signature's 64 bytes.
    pub fn binding_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.binding[0]);
        bytes[32..].copy_from_slice(&self.binding[1]);
        bytes
    }

    /// The other way.
    pub fn binding_halves(bytes: [u8; 64]) -> [[u8; 32]; 2] {
        let (mut left, mut right) = ([0; 32], [0; 32]);
        left.copy_from_slice(&bytes[..32]);
        right.copy_from_slice(&bytes[32..]);
        [left, right]
    }
}

/// The version of a hello, of this protocol's version or of any other: it stands first in all of them.
/// `None` for anything else.
pub fn hello_version(body: &[u8]) -> Option<u16> {
    // `Open::Control` is the first kind there is, and `version` its first field.
    let ((kind, version), _): ((u32, u16), _) = postcard::take_from_bytes(body).ok()?;
    (kind == 0).then_some(version)
}

/// The index a worker would have; absent until the contract knows its node key.
pub(super) type MaybeWorker = Option<WorkerIdx>;

fn out_of_range(field: &'static str, value: usize, expected: &'static str) -> FrameError {
    FrameError::Field { field, value: value as u64, expected }
}
