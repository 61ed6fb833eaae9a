//! What one replica can be: work, which a restart loses, or a kept seal, which it must not.

use crate::duties::Signed;
use quorate_common::{
    B256,
    digest::Digest,
    ids::{DealId, TaskKey, WorkerIdx},
    keccak256,
    merkle::{self, SET_DEPTH},
    messages::{Separator, Word as _},
    wire::{CommitAckItem, CommitItem, CommitSetItem, DealInfo, Inline, RevealItem},
};
use serde::{Deserialize, Serialize};

/// Names one piece of work within one life of the program, so that the end of a stopped run is
/// never taken for the end of a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A replica without a result. Volatile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Its name in this life.
    pub ticket: Ticket,
    /// Which round.
    pub attempt: u16,
    /// Whose task.
    pub deal: DealInfo,
    /// Unix seconds of the scheduler.
    pub commit_deadline: u64,
    /// Unix seconds of the scheduler.
    pub reveal_deadline: u64,
    /// How far it is.
    pub stage: WorkStage,
    /// Monotonic milliseconds when it began to run.
    pub began_ms: Option<u64>,
}

/// How far a replica without a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkStage {
    /// Module, bag or inputs are on their way.
    Fetching,
    /// Everything is here but a slot.
    Waiting,
    /// It runs.
    Running,
}

/// A result and what opens its commitment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The index the commitment was made for.
    pub worker: WorkerIdx,
    /// sha256 of the manifest.
    pub digest: Digest,
    /// 32 random bytes.
    pub salt: B256,
    /// What the scheduler sees first.
    pub commitment: B256,
    /// The manifest, then each blob it names, once.
    pub blobs: Vec<Digest>,
    /// The same as bytes, if they are small.
    pub inline: Option<Inline>,
}

/// A replica with a result. Durable, but for what a resend needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which round.
    pub attempt: u16,
    /// The deal's name in signatures.
    pub deal: DealId,
    /// The module, or the pack's document.
    pub app: Digest,
    /// Token units the deal pays for the task.
    pub price: u128,
    /// Unix seconds of the scheduler.
    pub commit_deadline: u64,
    /// Unix seconds of the scheduler; the set's own once there is one.
    pub reveal_deadline: u64,
    /// The result.
    pub seal: Seal,
    /// Who has seen what of it.
    pub shown: Shown,
    /// Monotonic milliseconds of the last commit or reveal sent on this connection. Volatile.
    pub sent: Option<u64>,
    /// It was said on chain that the set was never shown. Volatile.
    pub demanded: bool,
    /// The reveal was said on chain. Volatile.
    pub forced: bool,
    /// The scheduler does not want it any more. Volatile: after a restart it says so again.
    pub cancelled: bool,
}

/// Who has seen what of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nobody is known to have the commitment.
    Sealed,
    /// The scheduler has the commitment.
    Acked(Box<Signed<CommitAckItem>>),
    /// The result was shown to this set; the scheduler is not known to have it.
    Revealing(Box<Signed<CommitSetItem>>),
    /// The scheduler has the result's digest and salt.
    Revealed(Box<Signed<CommitSetItem>>),
}

impl Seal {
    /// Binds a result to a task, a round and a worker.
    pub fn new(
        separator: &Separator,
        task_id: B256,
        attempt: u16,
        worker: WorkerIdx,
        output: crate::Output,
        salt: B256,
    ) -> Self {
        let digest = output.digest;
        let commitment = separator.commitment(task_id, attempt, worker, digest.word(), salt);
        let crate::Output { blobs, inline, .. } = output;
        Self { worker, digest, salt, commitment, blobs, inline }
    }

    /// Whether `set` proves that this commitment is in it.
    pub fn is_in(&self, set: &CommitSetItem) -> bool {
        let leaf = keccak256([self.worker.word(), self.commitment.0].as_flattened());
        set.position < set.n
            && merkle::proves(set.root, SET_DEPTH, leaf, u64::from(set.position), &set.path)
    }
}

impl Kept {
    /// The commit that binds the worker to this result.
    pub fn commit(&self, task: TaskKey) -> CommitItem {
        CommitItem { task, attempt: self.attempt, commitment: self.seal.commitment }
    }

    /// The reveal that opens it to the set it was shown, if it was.
    pub fn reveal(&self, task: TaskKey) -> Option<RevealItem> {
        let set = self.set()?;
        let Seal { digest, salt, ref inline, .. } = self.seal;
        let (attempt, set_root, inline) = (self.attempt, set.item.root, inline.clone());
        Some(RevealItem { task, attempt, set_root, digest, salt, inline })
    }

    /// The set the result was shown to.
    pub fn set(&self) -> Option<&Signed<CommitSetItem>> {
        match &self.shown {
            Shown::Sealed | Shown::Acked(_) => None,
            Shown::Revealing(set) | Shown::Revealed(set) => Some(set),
        }
    }

    /// The scheduler's promise to count the commitment, if it is still worth keeping.
    pub fn ack(&self) -> Option<&Signed<CommitAckItem>> {
        match &self.shown {
            Shown::Acked(ack) => Some(ack),
            Shown::Sealed | Shown::Revealing(_) | Shown::Revealed(_) => None,
        }
    }

    /// Unix second until which the vote that is due now may be sent; `None` if none is.
    pub fn vote_until(&self) -> Option<u64> {
        match self.shown {
            Shown::Sealed if !self.cancelled => Some(self.commit_deadline),
            Shown::Revealing(_) if !self.cancelled => Some(self.reveal_deadline),
            Shown::Sealed | Shown::Acked(_) | Shown::Revealing(_) | Shown::Revealed(_) => None,
        }
    }
}
