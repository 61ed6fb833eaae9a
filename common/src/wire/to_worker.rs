//! What a scheduler says.

use super::{FrameError, to_scheduler::MaybeWorker};
use crate::{
    digest::Digest,
    frame::FRAME_MESSAGES_MAX,
    ids::{DealId, DealSlot, PoolId, TaskKey, WorkerIdx},
    keys::Signature,
    merkle::SET_DEPTH,
    messages::{Assign, CommitAck, CommitSet, Domain, Message as _, RevealAck},
};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

/// Everything a scheduler says, on the control stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The answer to `Hello`.
    Welcome(Welcome),
    /// A deal, before its first assignment in this session.
    Deal(DealInfo),
    /// Assignments, acknowledgements and commit sets under one signature.
    Duties(Duties),
    /// Replicas whose result can no longer matter: stop, and forget them.
    Cancel(Vec<(TaskKey, u16)>),
    /// Upload the result of this task: yours was accepted and nobody sent the bytes yet.
    Fetch {
        /// Which task.
        task: TaskKey,
        /// Its result.
        digest: Digest,
    },
    /// What came of replicas. After this nothing of them need be kept but the money.
    Settled(Vec<SettledItem>),
    /// The session ends.
    Goodbye(Goodbye),
}

/// The pool, as the worker should find it on chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Which pool.
    pub pool: PoolId,
    /// Chain and contract.
    pub domain: Domain,
    /// Who signs duties and headers.
    pub signer: Address,
    /// The worker's index, once the contract knows its node key.
    pub worker: MaybeWorker,
    /// Token units at stake in this pool, less what was seized.
    pub stake: u128,
    /// The worker's score.
    pub score: u32,
    /// The scheduler's unix milliseconds: a worker's clock may be wrong.
    pub unix_ms: u64,
    /// What the operator has to say to this worker, as why it gets no work; empty: nothing.
    pub notice: String,
}

/// What a worker must know of a deal to run its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealInfo {
    /// How frames name it.
    pub slot: DealSlot,
    /// How the contract names it.
    pub id: DealId,
    /// The module.
    pub app: Digest,
    /// The bag.
    pub bag: Digest,
    /// The deal's task 0 is this one of the bag: tasks before it are earlier deals'.
    pub first: u32,
    /// Token units per task.
    pub unit_price: u128,
    /// Token units a replica puts at stake.
    pub stake: u128,
    /// Seconds a replica may take.
    pub max_task_time: u64,
    /// Unix seconds: the tasks' fixed clock starts here.
    pub deadline: u64,
}

/// Signed as a frame: leaves are the struct hashes of assigns, commit acks, sets, reveal acks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duties {
    /// Replicas to run.
    pub assigns: Vec<AssignItem>,
    /// Commits that are on disk.
    pub commit_acks: Vec<CommitAckItem>,
    /// Frozen sets: time to reveal.
    pub sets: Vec<CommitSetItem>,
    /// Reveals that are on disk.
    pub reveal_acks: Vec<RevealAckItem>,
    /// By the pool's signer over the frame.
    pub signature: Signature,
}

/// An [`Assign`] without what both sides know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignItem {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// Sortition epoch.
    pub seed_epoch: u64,
    /// Unix seconds.
    pub commit_deadline: u64,
    /// Unix seconds.
    pub reveal_deadline: u64,
}

/// A [`CommitAck`] without what both sides know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitAckItem {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// What was committed.
    pub commitment: B256,
    /// The pool's count.
    pub seq: u64,
}

/// A [`CommitSet`] with the proof that the receiver's commitment is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitSetItem {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// Root of the set.
    pub root: B256,
    /// Commitments in it.
    pub n: u8,
    /// Unix seconds.
    pub reveal_deadline: u64,
    /// The receiver's place in the set.
    pub position: u8,
    /// The path from it to the root.
    pub path: [B256; SET_DEPTH],
}

/// A [`RevealAck`] without what both sides know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevealAckItem {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// Struct hash of the reveal.
    pub vote_hash: B256,
    /// Every byte that the vote's result names is here.
    pub stored: bool,
    /// The pool's count.
    pub seq: u64,
}

/// What came of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledItem {
    /// Which task.
    pub task: TaskKey,
    /// 1 Consensus, 2 NoQuorum, 3 Expired.
    pub outcome: u8,
    /// Token units earned by this worker.
    pub earned: u128,
    /// Token units seized from this worker.
    pub slashed: u128,
    /// The worker's score after it.
    pub score: u32,
}

/// Why the scheduler ends a session, and whether to come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// One sentence for the worker's owner.
    pub reason: String,
    /// Come back after this many milliseconds; `None`: do not, something must be changed first.
    pub retry_ms: Option<u64>,
}

impl Duties {
    /// How many messages.
    pub fn count(&self) -> usize {
        self.assigns.len() + self.commit_acks.len() + self.sets.len() + self.reveal_acks.len()
    }

    /// Checks every bound a decoder cannot express.
    ///
    /// # Errors
    /// [`FrameError::Field`].
    pub fn check(&self) -> Result<(), FrameError> {
        let count = self.count();
        if (1..=FRAME_MESSAGES_MAX).contains(&count) {
            return Ok(());
        }
        let (field, expected) = ("duties", "1 to 256 messages");
        Err(FrameError::Field { field, value: count as u64, expected })
    }

    /// The leaves' struct hashes, given each deal's id; `None` if a deal is unknown.
    pub fn hashes(
        &self,
        pool: PoolId,
        worker: WorkerIdx,
        deal_id: impl Fn(TaskKey) -> Option<DealId>,
    ) -> Option<Vec<B256>> {
        let task_id = |task: TaskKey| Some(deal_id(task)?.task_id(task.idx));
        let mut hashes = Vec::with_capacity(self.count());
        for item in &self.assigns {
            hashes.push(item.message(pool, deal_id(item.task)?, worker).struct_hash());
        }
        for item in &self.commit_acks {
            hashes.push(item.message(pool, task_id(item.task)?, worker).struct_hash());
        }
        for item in &self.sets {
            hashes.push(item.message(pool, task_id(item.task)?).struct_hash());
        }
        for item in &self.reveal_acks {
            hashes.push(item.message(pool, task_id(item.task)?, worker).struct_hash());
        }
        Some(hashes)
    }
}

impl AssignItem {
    /// The signed message.
    pub fn message(&self, pool: PoolId, deal: DealId, worker: WorkerIdx) -> Assign {
        Assign {
            pool,
            deal,
            task_idx: self.task.idx,
            attempt: self.attempt,
            worker,
            seed_epoch: self.seed_epoch,
            commit_deadline: self.commit_deadline,
            reveal_deadline: self.reveal_deadline,
        }
    }
}

impl CommitAckItem {
    /// The signed message.
    pub fn message(&self, pool: PoolId, task_id: B256, worker: WorkerIdx) -> CommitAck {
        let Self { attempt, commitment, seq, .. } = *self;
        CommitAck { pool, task_id, attempt, worker, commitment, seq }
    }
}

impl CommitSetItem {
    /// The signed message.
    pub fn message(&self, pool: PoolId, task_id: B256) -> CommitSet {
        let Self { attempt, root, n, reveal_deadline, .. } = *self;
        CommitSet { pool, task_id, attempt, root, n, reveal_deadline }
    }
}

impl RevealAckItem {
    /// The signed message.
    pub fn message(&self, pool: PoolId, task_id: B256, worker: WorkerIdx) -> RevealAck {
        let Self { attempt, vote_hash, stored, seq, .. } = *self;
        RevealAck { pool, task_id, attempt, worker, vote_hash, stored, seq }
    }
}
