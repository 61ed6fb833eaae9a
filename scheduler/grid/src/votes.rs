//! Commits and reveals: what is accepted, what is only acknowledged again, what is ignored.
//! A peer's mistake never changes the grid and never stops it.

use crate::{
    effect::{Effect, ToSession},
    grid::Grid,
    input::{CommitVote, RevealVote, SessionId, SignedVotes},
    record::Record,
    running::End,
    task::{Open, ReplicaState, Task},
};
use alloy_primitives::B256;
use quorate_common::{
    bug::{self, Bug},
    clock::Now,
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
    wire::{CommitAckItem, RevealAckItem},
};

/// What to do with a vote.
enum Verdict {
    /// New and valid.
    Accept,
    /// Known: the acknowledgement got lost.
    Again(u64),
    /// It can no longer matter.
    Cancel,
    /// Not what was asked for.
    Ignore,
}

impl Grid {
    pub(crate) fn on_votes(&mut self, now: Now, session: SessionId, votes: SignedVotes) {
        let Some(worker) = self.durable.fleet.by_session(session) else { return };
        for commit in votes.commits {
            self.on_commit(now, session, worker, commit);
        }
        for reveal in votes.reveals {
            self.on_reveal(now, session, worker, reveal);
        }
    }

    fn on_commit(&mut self, now: Now, session: SessionId, worker: WorkerIdx, vote: CommitVote) {
        let CommitVote { task, attempt, commitment, proof } = vote;
        match self.judge_commit(now, worker, task, attempt, commitment) {
            Verdict::Accept => {
                let seq = self.durable.seq + u64::from(!bug::is(Bug::SeqReused));
                let running = self.is_running(task, worker);
                self.record(Record::Committed { task, worker, commitment, seq, proof });
                if running {
                    self.end(now, task, worker, End::Done);
                }
                self.ack_commit(session, CommitAckItem { task, attempt, commitment, seq });
                self.advance(now, task);
            }
            Verdict::Again(seq) => {
                self.ack_commit(session, CommitAckItem { task, attempt, commitment, seq });
                self.tell_set(task, worker);
            }
            Verdict::Cancel => {
                self.dismiss(session, worker, task, attempt);
            }
            Verdict::Ignore => {}
        }
    }

    fn judge_commit(
        &self,
        now: Now,
        worker: WorkerIdx,
        key: TaskKey,
        attempt: u16,
        commitment: B256,
    ) -> Verdict {
        let open = match self.task(key) {
            Some(Task::Open(open)) => open,
            Some(Task::Done(_)) => return Verdict::Cancel,
            Some(Task::Queued) | None => return Verdict::Ignore,
        };
        let Some(replica) = open.replica(worker) else { return Verdict::Ignore };
        if replica.attempt != attempt {
            return Verdict::Ignore;
        }
        let late = now.unix_s() > replica.commit_deadline && !bug::is(Bug::LateCommit);
        match &replica.state {
            ReplicaState::Assigned if late => Verdict::Cancel,
            ReplicaState::Assigned => Verdict::Accept,
            ReplicaState::Lost if late || !self.may_revive(key, worker) => Verdict::Cancel,
            ReplicaState::Lost => Verdict::Accept,
            ReplicaState::Committed(known) if known.commitment == commitment => {
                Verdict::Again(known.seq)
            }
            ReplicaState::Revealed(known) if known.commitment == commitment => {
                Verdict::Again(known.commit_seq)
            }
            // Too late to count, and it still waits to be told what that cost.
            ReplicaState::Missed(_) => Verdict::Ignore,
            ReplicaState::Committed(_) | ReplicaState::Revealed(_) => Verdict::Ignore,
        }
    }

    fn is_running(&self, key: TaskKey, worker: WorkerIdx) -> bool {
        let replica = self.task(key).and_then(Task::open).and_then(|open| open.replica(worker));
        replica.is_some_and(|replica| matches!(replica.state, ReplicaState::Assigned))
    }

    fn ack_commit(&mut self, session: SessionId, item: CommitAckItem) {
        self.effect(Effect::Send(session, ToSession::CommitAck(item)));
    }

    fn on_reveal(&mut self, now: Now, session: SessionId, worker: WorkerIdx, vote: RevealVote) {
        self.take_reveal(now, now.unix_s(), Some(session), worker, vote);
    }

    /// Takes a reveal that was said at `at_unix_s`, and answers where the worker can be reached.
    pub(crate) fn take_reveal(
        &mut self,
        now: Now,
        at_unix_s: u64,
        session: Option<SessionId>,
        worker: WorkerIdx,
        vote: RevealVote,
    ) {
        let (task, attempt, vote_hash) = (vote.task, vote.attempt, vote.vote_hash);
        match self.judge_reveal(at_unix_s, worker, &vote) {
            Verdict::Accept => {
                let seq = self.durable.seq + 1;
                let inline = vote.inline.filter(|_| !self.has_bytes(task, vote.digest));
                let RevealVote { digest, salt, proof, .. } = vote;
                self.record(Record::Revealed {
                    task,
                    worker,
                    digest,
                    salt,
                    vote_hash,
                    seq,
                    inline,
                    proof,
                });
                let stored = self.is_receipted(task, digest);
                self.ack_reveal(session, RevealAckItem { task, attempt, vote_hash, stored, seq });
                self.advance(now, task);
            }
            Verdict::Again(seq) => {
                let stored = self.is_receipted(task, vote.digest);
                self.ack_reveal(session, RevealAckItem { task, attempt, vote_hash, stored, seq });
            }
            Verdict::Cancel => {
                if let Some(session) = session {
                    self.dismiss(session, worker, task, attempt);
                }
            }
            Verdict::Ignore => {}
        }
    }

    fn judge_reveal(&self, at_unix_s: u64, worker: WorkerIdx, vote: &RevealVote) -> Verdict {
        let open = match self.task(vote.task) {
            Some(Task::Open(open)) => open,
            Some(Task::Done(_)) => return Verdict::Cancel,
            Some(Task::Queued) | None => return Verdict::Ignore,
        };
        let Some(replica) = open.replica(worker) else { return Verdict::Ignore };
        let Some(set) = open.sets.get(usize::from(replica.attempt)) else { return Verdict::Ignore };
        match &replica.state {
            ReplicaState::Revealed(known) if known.vote_hash == vote.vote_hash => {
                Verdict::Again(known.seq)
            }
            // Too late to count, and it still waits to be told what that cost.
            ReplicaState::Missed(_) => Verdict::Ignore,
            ReplicaState::Committed(known) => {
                let opens = self.opens(vote, worker, known.commitment);
                let in_time = at_unix_s <= set.reveal_deadline || bug::is(Bug::LateReveal);
                let same_set = vote.set_root == set.root || bug::is(Bug::SkipSetCheck);
                let fits = vote.attempt == replica.attempt && same_set;
                if opens && in_time && fits { Verdict::Accept } else { Verdict::Ignore }
            }
            ReplicaState::Assigned | ReplicaState::Lost | ReplicaState::Revealed(_) => {
                Verdict::Ignore
            }
        }
    }

    /// Whether a reveal opens the commitment. The zero digest stands for "never revealed" and is no
    /// result: no manifest hashes to it.
    fn opens(&self, vote: &RevealVote, worker: WorkerIdx, commitment: B256) -> bool {
        let deal = &self.durable.deals[&vote.task.deal];
        let task_id = deal.id.task_id(vote.task.idx);
        let (digest, salt) = (vote.digest.word(), vote.salt);
        let opened = self.separator.commitment(task_id, vote.attempt, worker, digest, salt);
        let opens = opened == commitment || bug::is(Bug::SkipOpening);
        vote.digest != Digest::ZERO && opens
    }

    fn has_bytes(&self, key: TaskKey, digest: Digest) -> bool {
        let open: Option<&Open> = self.task(key).and_then(Task::open);
        open.is_some_and(|open| open.stored.contains(&digest))
    }

    /// Whether who backs a result may have the receipt for its bytes.
    pub(crate) fn is_receipted(&self, key: TaskKey, digest: Digest) -> bool {
        let open = self.task(key).and_then(Task::open);
        open.is_some_and(|open| open.is_receipted(digest))
    }

    /// Whether its receipt was kept back until its task is settled.
    pub(crate) fn is_withheld(&self, key: TaskKey, digest: Digest) -> bool {
        self.has_bytes(key, digest) && !self.is_receipted(key, digest)
    }

    /// Tells the backers of a result that its bytes are here: the receipt for what they sent.
    pub(crate) fn ack_stored(&mut self, task: TaskKey, digest: Digest) {
        let Some(open) = self.task(task).and_then(Task::open) else { return };
        let mut acks = Vec::new();
        for replica in &open.replicas {
            let ReplicaState::Revealed(vote) = &replica.state else { continue };
            if vote.digest == digest {
                let (attempt, vote_hash, seq) = (replica.attempt, vote.vote_hash, vote.seq);
                let ack = RevealAckItem { task, attempt, vote_hash, stored: true, seq };
                acks.push((replica.worker, ack));
            }
        }
        for (worker, ack) in acks {
            self.ack_reveal(self.durable.fleet.session(worker), ack);
        }
    }

    fn ack_reveal(&mut self, session: Option<SessionId>, item: RevealAckItem) {
        let Some(session) = session else { return };
        self.effect(Effect::Send(session, ToSession::RevealAck(item)));
    }
}
