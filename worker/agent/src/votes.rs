//! Commits and reveals: when they leave, what must be proven first, and when they are repeated.

use crate::{
    Agent, Effect, Record, Signed,
    deadlines::{FORGET_AFTER_S, RESEND_MS},
    effect::Warning,
    job::{Kept, Shown},
};
use quorate_common::{
    bug::{self, Bug},
    clock::Now,
    ids::{PoolId, TaskKey, WorkerIdx},
    messages::{Message as _, Reveal},
    wire::{CommitAckItem, CommitSetItem, RevealAckItem},
    word::{KeptVote, Said, Word},
};

impl Agent {
    pub(crate) fn on_commit_ack(&mut self, worker: WorkerIdx, ack: Signed<CommitAckItem>) {
        let task = ack.item.task;
        let Some(job) = self.kept.get(&task).filter(|job| job.attempt == ack.item.attempt) else {
            return;
        };
        if ack.item.commitment != job.seal.commitment {
            return self.warn(Warning::WrongAck { task, ack });
        }
        if job.shown == Shown::Sealed {
            let task_id = job.deal.task_id(task.idx);
            let said = Said::CommitAck(ack.item.message(self.config.pool, task_id, worker));
            self.effect(Effect::Keep(Box::new(Word { said, proof: ack.proof.clone() })));
            self.record(Record::Acked { task, ack: Box::new(ack) });
        }
    }

    /// The moment of showing. Nothing is shown unless the set provably holds our own commitment,
    /// and whatever was shown to one set is never shown to another.
    pub(crate) fn on_commit_set(
        &mut self,
        now: Now,
        worker: WorkerIdx,
        set: Signed<CommitSetItem>,
    ) {
        let task = set.item.task;
        let Some(job) = self.kept.get_mut(&task).filter(|job| job.attempt == set.item.attempt)
        else {
            return;
        };
        if let Some(first) = job.set().cloned() {
            if bug::is(Bug::SecondSet) {
                self.show(task, set);
                return self.send_vote(now, task);
            }
            if (first.item.root, first.item.n) != (set.item.root, set.item.n) {
                return self.warn(Warning::Equivocation { task, first, second: set });
            }
            if first.item.reveal_deadline < set.item.reveal_deadline {
                // Said once more, with more time.
                self.show(task, set);
                return self.send_vote(now, task);
            }
            // The scheduler asks again, so it does not have the reveal, whatever it acknowledged.
            (job.shown, job.cancelled) = (Shown::Revealing(Box::new(first)), false);
            return self.send_vote(now, task);
        }
        let is_in = job.seal.is_in(&set.item) || bug::is(Bug::AnySet);
        if job.seal.worker != worker || !is_in {
            let ack = job.ack().cloned();
            return self.warn(Warning::NotInSet { task, set, ack });
        }
        if self.is_over(now, set.item.reveal_deadline) {
            return self.warn(Warning::LateSet { task, set });
        }
        self.show(task, set);
        self.send_vote(now, task);
    }

    /// From here on the result is shown to this set, and to no other.
    pub(crate) fn show(&mut self, task: TaskKey, set: Signed<CommitSetItem>) {
        let Some(job) = self.kept.get(&task) else { return };
        let task_id = job.deal.task_id(task.idx);
        let said = Said::CommitSet(set.item.message(self.config.pool, task_id));
        let vote = kept_vote(self.config.pool, task, job, &set.item);
        self.effect(Effect::Keep(Box::new(Word { said, proof: set.proof.clone() })));
        self.effect(Effect::KeepVote(Box::new(vote)));
        self.record(Record::Revealed { task, set: Box::new(set) });
    }

    pub(crate) fn on_reveal_ack(&mut self, worker: WorkerIdx, ack: Signed<RevealAckItem>) {
        let Signed { item, proof } = ack;
        let (task, pool) = (item.task, self.config.pool);
        let Some(job) = self.kept.get_mut(&task).filter(|job| job.attempt == item.attempt) else {
            return;
        };
        let ours = job.reveal(task).map(|reveal| {
            let task_id = job.deal.task_id(task.idx);
            reveal.message(pool, task_id).struct_hash()
        });
        if ours != Some(item.vote_hash) {
            return self.warn(Warning::WrongRevealAck { task });
        }
        if let Shown::Revealing(set) = &job.shown {
            job.shown = Shown::Revealed(set.clone());
        }
        let task_id = job.deal.task_id(task.idx);
        let said = Said::RevealAck(item.message(pool, task_id, worker));
        self.effect(Effect::Keep(Box::new(Word { said, proof })));
    }

    /// Sends the commit or reveal that is due for `task`, if one is and it can still count. One that
    /// cannot is not due again, or the next deadline would stay in the past.
    pub(crate) fn send_vote(&mut self, now: Now, task: TaskKey) {
        let Some(job) = self.kept.get(&task) else { return };
        let is_ours = self.worker() == Some(job.seal.worker);
        let is_in_time = job.vote_until().is_some_and(|until| !self.is_over(now, until));
        let vote = (is_ours && is_in_time).then(|| self.vote(task, job));
        let sent = vote.is_some().then_some(now.mono_ms);
        if let Some(vote) = vote {
            self.effect(vote);
        }
        if let Some(job) = self.kept.get_mut(&task) {
            job.sent = sent;
        }
    }

    /// Sends every vote that was not sent on this connection or not acknowledged for a while.
    pub(crate) fn send_due_votes(&mut self, now: Now) {
        let is_due = |job: &Kept| job.sent.is_none_or(|at| at + RESEND_MS <= now.mono_ms);
        let due: Vec<TaskKey> = self
            .kept
            .iter()
            .filter(|(_, job)| job.vote_until().is_some() && is_due(job))
            .map(|(task, _)| *task)
            .collect();
        for task in due {
            self.send_vote(now, task);
        }
    }

    /// Gives up results nobody asked about for so long that nobody will. A guess at the time is not enough for
    /// that: a calendar that is days ahead at a start would cost the stake of every vote.
    pub(crate) fn forget_old(&mut self, now: Now) {
        if !self.told_time {
            return;
        }
        let is_old = |job: &Kept| self.is_over(now, forget_at(job));
        let old: Vec<TaskKey> =
            self.kept.iter().filter(|(_, job)| is_old(job)).map(|(task, _)| *task).collect();
        for task in old {
            if self.kept.get(&task).is_some_and(|job| !job.cancelled) {
                self.warn(Warning::NeverSettled { task });
            }
            self.forget(task);
        }
    }

    fn vote(&self, task: TaskKey, job: &Kept) -> Effect {
        let (pool, task_id) = (self.config.pool, job.deal.task_id(task.idx));
        match job.reveal(task) {
            Some(item) => {
                let hash = item.message(pool, task_id).struct_hash();
                Effect::Reveal { item, hash }
            }
            None => {
                let item = job.commit(task);
                let hash = item.message(pool, task_id).struct_hash();
                Effect::Commit { item, hash }
            }
        }
    }
}

/// The vote as it can be shown on chain, long after its result was given up.
fn kept_vote(pool: PoolId, task: TaskKey, job: &Kept, set: &CommitSetItem) -> KeptVote {
    let task_id = job.deal.task_id(task.idx);
    let (attempt, set_root, salt) = (job.attempt, set.root, job.seal.salt);
    let digest = job.seal.digest.word();
    let reveal = Reveal { pool, task_id, attempt, set_root, digest, salt };
    KeptVote { worker: job.seal.worker, reveal, place: set.position, path: set.path }
}

/// Unix second of the scheduler at which a result is given up.
pub(crate) fn forget_at(job: &Kept) -> u64 {
    let grace = if job.cancelled { 0 } else { FORGET_AFTER_S };
    job.reveal_deadline.saturating_add(grace)
}
