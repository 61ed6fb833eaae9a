//! The owner wants the machine: what is kept in memory for later, and what is given back, so that nobody waits
//! for a worker that cannot be on time.

use crate::{Agent, Work, WorkStage};
use quorate_common::{clock::Now, ids::TaskKey, wire::GiveUpReason};

/// The least time a run is thought to need still.
const LEAST_LEFT_MS: u64 = 10_000;

impl Agent {
    pub(crate) fn on_take(&mut self, take: bool) {
        if self.take != take {
            self.take = take;
            self.say_slots();
        }
    }

    /// What has not begun is given back, for others can do it now; what runs is kept while it may still be on
    /// time.
    pub(crate) fn on_rest(&mut self, now: Now, until_s: Option<u64>) {
        if self.rest == Some(until_s) {
            return;
        }
        if self.rest.replace(until_s).is_none() {
            self.rest_began_ms = now.mono_ms;
            self.say_slots();
        }
        let not_begun = self.work.iter().filter(|(_, work)| work.stage != WorkStage::Running);
        let not_begun: Vec<TaskKey> = not_begun.map(|(task, _)| *task).collect();
        for task in not_begun {
            self.drop_work(task, Some(GiveUpReason::Leaving));
        }
        self.drop_rested_work(now);
    }

    /// Gives back held work that cannot be on time any more.
    pub(crate) fn drop_rested_work(&mut self, now: Now) {
        let Some(until_s) = self.rest else { return };
        let is_lost = |work: &Work| self.give_back_at(work, until_s) <= now.mono_ms;
        let lost: Vec<TaskKey> =
            self.work.iter().filter(|(_, work)| is_lost(work)).map(|(task, _)| *task).collect();
        for task in lost {
            self.drop_work(task, Some(GiveUpReason::Leaving));
        }
    }

    /// When the next held work is given back.
    pub(crate) fn rested_until(&self) -> Option<u64> {
        let until_s = self.rest?;
        self.work.values().map(|work| self.give_back_at(work, until_s)).min()
    }

    /// Monotonic milliseconds at which held work is given back: at once, if the rest is known to end too late;
    /// else when less time is left than it has run already, for it is about half way, as far as anybody knows.
    fn give_back_at(&self, work: &Work, until_s: Option<u64>) -> u64 {
        let deadline_ms = self.mono_ms(work.commit_deadline);
        let ran_ms = work.began_ms.map_or(0, |began| self.rest_began_ms.saturating_sub(began));
        let latest = deadline_ms.saturating_sub(ran_ms.max(LEAST_LEFT_MS));
        match until_s {
            Some(until_s) if self.mono_ms(until_s) > latest => 0,
            Some(_) | None => latest,
        }
    }
}
