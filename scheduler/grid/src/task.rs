//! Where a task is in its life. A variant holds what is true in that state and nothing else.

use crate::{
    canary::Watch,
    deadline::Deadline,
    poco::{Ballot, Outcome, Tally, weight},
};
use alloy_primitives::B256;
use quorate_common::{
    accounts::Vote, digest::Digest, frame::FrameProof, ids::WorkerIdx, merkle::Tree,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Task {
    /// No replica was ever assigned.
    Queued,
    /// Being worked on and voted on.
    Open(Box<Open>),
    /// Over. Kept so that late frames get the same answer as early ones.
    Done(Done),
}

/// A task with replicas.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Open {
    /// Every replica ever assigned, in order. Lost ones stay: their worker is not asked again.
    pub replicas: Vec<Replica>,
    /// Frozen commit sets, one per round.
    pub sets: Vec<SetRec>,
    /// Digests whose bytes are here.
    pub stored: BTreeSet<Digest>,
    /// Those of them whose backers were given no receipt, because nobody shall be judged by the votes.
    pub withheld: BTreeSet<Digest>,
    /// Whether it was opened to calibrate its program: nobody loses by an answer to it.
    pub calibrates: bool,
    /// Whether its votes were found to differ while its program was not proven.
    pub torn: bool,
    /// The trees of the frozen sets, while they are at hand: each member is shown its path. Derived.
    #[serde(skip)]
    pub trees: Vec<Tree>,
    /// Who was asked for the winning bytes, in turn. Volatile: after a restart all are asked again.
    #[serde(skip)]
    pub asked: Vec<WorkerIdx>,
    /// Whether the task stands in the queue of those that want replicas. Derived.
    #[serde(skip)]
    pub queued: bool,
    /// Whether somebody was asked because another was late: then the first commits that suffice count.
    /// Volatile: after a restart the late one has its time anew.
    #[serde(skip)]
    pub hurried: bool,
    /// What the pool's promise asks of it. Volatile.
    #[serde(skip)]
    pub watch: Watch,
    /// Deadlines standing for it, to be taken out when it is settled. Derived.
    #[serde(skip)]
    pub deadlines: Vec<(u64, Deadline)>,
}

/// One attempt of one worker at one task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Replica {
    /// Who.
    pub worker: WorkerIdx,
    /// In which round.
    pub attempt: u16,
    /// Hash of the engine it runs with.
    pub engine: Digest,
    /// The network its worker was in when it was asked, where that is known.
    pub net: Option<u64>,
    /// Unix seconds.
    pub commit_deadline: u64,
    /// Unix seconds.
    pub reveal_deadline: u64,
    /// When it last asked on chain for its set, in unix seconds of the block; zero: never.
    pub demanded_at: u64,
    /// Where it stands.
    pub state: ReplicaState,
    /// Its time so far. Volatile.
    #[serde(skip)]
    pub run: Run,
}

/// A replica's time, while it is under way. Nothing is known of one from before a restart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Monotonic milliseconds of its assignment.
    pub assigned_ms: Option<u64>,
    /// Monotonic milliseconds when a slot was free for it.
    pub began_ms: Option<u64>,
    /// Milliseconds its requester was charged for it.
    pub charged_ms: u64,
}

/// Where a replica stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ReplicaState {
    /// The worker is at it.
    Assigned,
    /// Bound to a result that nobody has seen.
    Committed(Committed),
    /// Voted.
    Revealed(Revealed),
    /// Gone before it committed: replaced, not punished.
    Lost,
    /// Committed, and silent when the reveal was due: a loser.
    Missed(Committed),
}

/// A commit on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Committed {
    /// The salted commitment.
    pub commitment: B256,
    /// The pool's count of acknowledgements; gives the set its order.
    pub seq: u64,
    /// The signed frame it came in.
    pub proof: FrameProof,
}

/// A reveal on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revealed {
    /// What had been committed.
    pub commitment: B256,
    /// The commit's count.
    pub commit_seq: u64,
    /// The result.
    pub digest: Digest,
    /// Opens the commitment.
    pub salt: B256,
    /// Struct hash of the reveal.
    pub vote_hash: B256,
    /// The reveal's count.
    pub seq: u64,
    /// The signed frame it came in.
    pub proof: FrameProof,
    /// The worker's lot it belongs to (see [`Standing`]): the one it was in when this came, so that
    /// nobody gains by waiting.
    ///
    /// [`Standing`]: crate::credibility::Standing
    pub lot: u32,
}

/// A frozen commit set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRec {
    /// Root over all commitments so far.
    pub root: B256,
    /// Commitments in it.
    pub n: u8,
    /// Unix seconds.
    pub reveal_deadline: u64,
}

/// A settled task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// How it ended.
    pub outcome: Outcome,
    /// The accepted result; zero without consensus.
    pub digest: Digest,
    /// The batch it is in.
    pub batch: u64,
    /// Its place there.
    pub place: u32,
    /// Replicas it took.
    pub replicas: u8,
}

impl Task {
    /// The open task, if it is open.
    pub fn open(&self) -> Option<&Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Queued | Self::Done(_) => None,
        }
    }

    /// The open task, if it is open.
    pub fn open_mut(&mut self) -> Option<&mut Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Queued | Self::Done(_) => None,
        }
    }
}

impl Open {
    /// The engine of its replicas; none before the first, and when all were lost.
    pub fn engine(&self) -> Option<Digest> {
        let live = |replica: &&Replica| !matches!(replica.state, ReplicaState::Lost);
        self.replicas.iter().find(live).map(|replica| replica.engine)
    }

    /// Whether backers of a result may have the receipt for its bytes.
    pub fn is_receipted(&self, digest: Digest) -> bool {
        self.stored.contains(&digest) && !self.withheld.contains(&digest)
    }

    /// The worker's latest replica.
    pub fn replica(&self, worker: WorkerIdx) -> Option<&Replica> {
        self.replicas.iter().rev().find(|replica| replica.worker == worker)
    }

    /// The worker's latest replica.
    pub fn replica_mut(&mut self, worker: WorkerIdx) -> Option<&mut Replica> {
        self.replicas.iter_mut().rev().find(|replica| replica.worker == worker)
    }

    /// The round new replicas belong to: the first whose set is not frozen.
    pub fn attempt(&self) -> u16 {
        u16::try_from(self.sets.len()).expect("at most fifteen rounds")
    }

    /// Whether somebody in a frozen set has still to reveal.
    pub fn revealing(&self) -> bool {
        self.replicas.iter().any(|r| {
            usize::from(r.attempt) < self.sets.len()
                && matches!(r.state, ReplicaState::Committed(_))
        })
    }

    /// Replicas that count against the deal's limit: all but the lost ones.
    pub fn live(&self) -> usize {
        self.replicas.iter().filter(|r| !matches!(r.state, ReplicaState::Lost)).count()
    }

    /// Replicas the worker is still at.
    pub fn running(&self) -> usize {
        self.replicas.iter().filter(|r| matches!(r.state, ReplicaState::Assigned)).count()
    }

    /// Commitments in the order they were acknowledged, with their workers: the commit set's leaves.
    pub fn commitments(&self) -> Vec<(u64, WorkerIdx, B256)> {
        let commitment = |replica: &Replica| match &replica.state {
            ReplicaState::Committed(c) | ReplicaState::Missed(c) => {
                Some((c.seq, replica.worker, c.commitment))
            }
            ReplicaState::Revealed(r) => Some((r.commit_seq, replica.worker, r.commitment)),
            ReplicaState::Assigned | ReplicaState::Lost => None,
        };
        let mut all: Vec<_> = self.replicas.iter().filter_map(commitment).collect();
        all.sort_unstable_by_key(|(seq, ..)| *seq);
        all
    }

    /// The revealed votes, weighed by `score`.
    pub fn tally(&self, score: impl Fn(WorkerIdx) -> u32) -> Tally {
        let mut tally = Tally::default();
        for replica in &self.replicas {
            if let ReplicaState::Revealed(revealed) = &replica.state {
                tally.add(revealed.digest.word(), weight(score(replica.worker)));
            }
        }
        tally
    }

    /// Weights of committed replicas that may still join the leader.
    pub fn committed(&self, score: impl Fn(WorkerIdx) -> u32) -> Vec<u32> {
        let committed = |r: &&Replica| matches!(r.state, ReplicaState::Committed(_));
        self.replicas.iter().filter(committed).map(|r| weight(score(r.worker))).collect()
    }

    /// Weights of replicas that may still join the leader.
    pub fn hopes(&self, score: impl Fn(WorkerIdx) -> u32) -> Vec<u32> {
        let pending = |replica: &&Replica| {
            matches!(replica.state, ReplicaState::Assigned | ReplicaState::Committed(_))
        };
        self.replicas.iter().filter(pending).map(|r| weight(score(r.worker))).collect()
    }

    /// Committed votes as evidence, in the order of the commit set, and as ballots beside them.
    /// Only those in a frozen set count.
    pub fn votes(&self, score: impl Fn(WorkerIdx) -> u32) -> Vec<(WorkerIdx, Vote, Ballot)> {
        let frozen = self.sets.len();
        let mut votes: Vec<(u64, WorkerIdx, Vote, Ballot)> = Vec::new();
        for replica in &self.replicas {
            if usize::from(replica.attempt) >= frozen {
                continue;
            }
            if let Some((seq, vote, digest)) = replica.vote() {
                let ballot = Ballot { score: score(replica.worker), digest };
                votes.push((seq, replica.worker, vote, ballot));
            }
        }
        votes.sort_unstable_by_key(|(seq, ..)| *seq);
        votes.into_iter().map(|(_, worker, vote, ballot)| (worker, vote, ballot)).collect()
    }
}

impl Replica {
    /// The committed vote: count of its commit, evidence, and what it revealed.
    fn vote(&self) -> Option<(u64, Vote, Option<B256>)> {
        let vote = |digest: B256, salt: B256, proof: &FrameProof| Vote {
            worker: self.worker.0,
            attempt: self.attempt,
            digest,
            salt,
            frame_index: proof.index,
            frame_count: proof.count,
            path: proof.path.clone(),
            r: proof.signature.r,
            vs: proof.signature.vs,
        };
        match &self.state {
            ReplicaState::Revealed(r) => {
                let digest = r.digest.word();
                Some((r.commit_seq, vote(digest, r.salt, &r.proof), Some(digest)))
            }
            ReplicaState::Committed(c) | ReplicaState::Missed(c) => {
                Some((c.seq, vote(B256::ZERO, c.commitment, &c.proof), None))
            }
            ReplicaState::Assigned | ReplicaState::Lost => None,
        }
    }
}
