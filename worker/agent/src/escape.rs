//! When a scheduler does not show a commit set, or does not take a reveal: what to say on chain, and when
//! (PROTOCOL.md section 7). Whether the owner pays for it is the shell's business.

use crate::{
    Agent, Effect, Signed,
    deadlines::RESEND_MS,
    job::{Kept, Shown},
};
use quorate_common::{
    B256,
    clock::Now,
    frame::FrameProof,
    ids::TaskKey,
    merkle::SET_DEPTH,
    messages::{CommitSet, Message as _},
    wire::CommitSetItem,
};

/// Seconds before its deadline at which a reveal that nobody acknowledged goes on chain: a few blocks of
/// the slowest chains, and a retry.
pub(crate) const FORCE_S: u64 = 60;

/// Stands for the place in a set that was shown on chain, where nobody shows a path. The commitment is
/// in it, or leaving it out can be proven by its acknowledgement.
pub(crate) const ON_CHAIN: u8 = u8::MAX;

impl Agent {
    /// Says on chain what is due there.
    pub(crate) fn escape(&mut self, now: Now) {
        let is_due = |job: &Kept| self.escape_at(job).is_some_and(|at| at <= now.mono_ms);
        let due: Vec<TaskKey> =
            self.kept.iter().filter(|(_, job)| is_due(job)).map(|(task, _)| *task).collect();
        for task in due {
            self.say_on_chain(now, task);
        }
    }

    /// When something of a job is to be said on chain, in monotonic milliseconds.
    pub(crate) fn escape_at(&self, job: &Kept) -> Option<u64> {
        match &job.shown {
            _ if job.cancelled => None,
            // The scheduler promised to count it, and its time is over.
            Shown::Acked(_) if !job.demanded => Some(self.mono_ms(job.reveal_deadline)),
            Shown::Revealing(set) if !job.forced => {
                let latest = self.mono_ms(set.item.reveal_deadline.saturating_sub(FORCE_S));
                Some(job.sent.map_or(latest, |sent| latest.max(sent + RESEND_MS)))
            }
            Shown::Sealed | Shown::Acked(_) | Shown::Revealing(_) | Shown::Revealed(_) => None,
        }
    }

    fn say_on_chain(&mut self, now: Now, task: TaskKey) {
        let pool = self.config.pool;
        let counts = self
            .kept
            .get(&task)
            .is_some_and(|job| !self.is_over(now, last_word(job, self.config.slack_s)));
        let Some(job) = self.kept.get_mut(&task) else { return };
        let (task_id, attempt, worker) = (job.deal.task_id(task.idx), job.attempt, job.seal.worker);
        let effect = match job.reveal(task) {
            None => {
                job.demanded = true;
                Effect::Demand { task_id, attempt, worker }
            }
            Some(item) => {
                job.forced = true;
                let reveal = item.message(pool, task_id);
                let hash = reveal.struct_hash();
                Effect::Force { reveal, hash }
            }
        };
        if counts {
            self.effect(effect);
        }
    }

    /// The answer to a demand: the reveal goes on chain as well, since the scheduler may not take it
    /// here.
    pub(crate) fn on_set_shown(&mut self, now: Now, set: CommitSet, proof: FrameProof) {
        let Some(task) = self.acked(&set) else { return };
        if self.is_over(now, set.reveal_deadline) {
            return;
        }
        let item = CommitSetItem {
            task,
            attempt: set.attempt,
            root: set.root,
            n: set.n,
            reveal_deadline: set.reveal_deadline,
            position: ON_CHAIN,
            path: [B256::ZERO; SET_DEPTH],
        };
        self.show(task, Signed { item, proof });
        self.say_on_chain(now, task);
        self.send_vote(now, task);
    }

    /// The job that waits for this set: acknowledged, demanded, and shown to nobody.
    fn acked(&self, set: &CommitSet) -> Option<TaskKey> {
        let waits = |task: TaskKey, job: &Kept| {
            let same = job.deal.task_id(task.idx) == set.task_id && job.attempt == set.attempt;
            same && job.demanded && matches!(job.shown, Shown::Acked(_))
        };
        let of_pool = set.pool == self.config.pool;
        let waiting = self.kept.iter().find(|(task, job)| waits(**task, job));
        waiting.filter(|_| of_pool).map(|(task, _)| *task)
    }
}

/// Unix second from which on what is said on chain for a job does not count any more.
fn last_word(job: &Kept, slack_s: u64) -> u64 {
    match job.set() {
        Some(set) => set.item.reveal_deadline,
        None => job.reveal_deadline + slack_s,
    }
}
