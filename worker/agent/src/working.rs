//! Work without a result: taken, fetched, run, sealed or given back.

use crate::{
    Agent, Effect, Output, Record, SealedJob, Signed, Ticket, Work, WorkStage,
    agent::{KEPT_MAX, WORK_PER_SLOT},
    effect::Warning,
    job::{Seal, Shown},
};
use quorate_common::{
    B256,
    bug::{self, Bug},
    clock::Now,
    ids::{TaskKey, WorkerIdx},
    wire::{AssignItem, DealInfo, GaveUp, GiveUpReason},
    word::{Said, Word},
};

impl Agent {
    pub(crate) fn on_assign(&mut self, now: Now, worker: WorkerIdx, assign: Signed<AssignItem>) {
        let Signed { item, proof } = assign;
        let Some(deal) = self.deals.get(&item.task.deal).cloned() else { return };
        if self.is_known(now, &item) {
            return;
        }
        match self.refusal(now, &item, &deal) {
            Some(reason) => self.give_up(item.task, item.attempt, reason),
            None => {
                let said = Said::Assign(item.message(self.config.pool, deal.id, worker));
                self.effect(Effect::Keep(Box::new(Word { said, proof })));
                self.take_work(item, deal);
            }
        }
    }

    pub(crate) fn on_fetched(
        &mut self,
        ticket: Ticket,
        task: TaskKey,
        outcome: Result<(), GiveUpReason>,
    ) {
        let Some(work) = self.work.get_mut(&task).filter(|work| work.ticket == ticket) else {
            return;
        };
        if work.stage != WorkStage::Fetching {
            return;
        }
        match outcome {
            Ok(()) => work.stage = WorkStage::Waiting,
            Err(reason) => self.drop_work(task, Some(reason)),
        }
    }

    pub(crate) fn on_finished(
        &mut self,
        now: Now,
        ticket: Ticket,
        task: TaskKey,
        outcome: Result<Output, GiveUpReason>,
        salt: B256,
    ) {
        if !self.running.remove(&ticket) {
            return;
        }
        if self.work.get(&task).is_none_or(|work| work.ticket != ticket) {
            // It was stopped, and nobody waits for it; its blobs are of no use.
            if let Ok(output) = outcome {
                self.effect(Effect::Forget { task, blobs: output.blobs, settled: None });
            }
            return;
        }
        match outcome {
            Ok(output) => self.seal(now, task, output, salt),
            Err(reason) => self.end_work(task, reason),
        }
    }

    pub(crate) fn on_offer(&mut self, slots: u16) {
        let before = self.offered();
        self.slots = slots.min(self.config.slots_max);
        self.rest = None;
        if self.offered() != before {
            self.say_slots();
        }
    }

    pub(crate) fn on_leave(&mut self) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        self.say_slots();
        let tasks: Vec<TaskKey> = self.work.keys().copied().collect();
        for task in tasks {
            self.drop_work(task, Some(GiveUpReason::Leaving));
        }
    }

    /// Fills free slots, oldest work first.
    pub(crate) fn start_waiting(&mut self, now: Now) {
        while self.rest.is_none() && self.running.len() < usize::from(self.slots) {
            let waiting = self.work.iter().filter(|(_, work)| work.stage == WorkStage::Waiting);
            let next = waiting.min_by_key(|(_, work)| work.ticket).map(|(task, _)| *task);
            let Some(task) = next else { return };
            self.start(now, task);
        }
    }

    /// Ends work without a result, and says why if somebody should know.
    pub(crate) fn drop_work(&mut self, task: TaskKey, reason: Option<GiveUpReason>) {
        let Some(work) = self.work.remove(&task) else { return };
        if work.stage != WorkStage::Waiting {
            self.effect(Effect::Stop { ticket: work.ticket });
        }
        if let Some(reason) = reason {
            self.give_up(task, work.attempt, reason);
        }
    }

    /// Takes work whose commit deadline is over, and gives it back.
    pub(crate) fn drop_late_work(&mut self, now: Now) {
        let is_late = |work: &Work| self.is_over(now, work.commit_deadline);
        let late: Vec<TaskKey> =
            self.work.iter().filter(|(_, work)| is_late(work)).map(|(task, _)| *task).collect();
        for task in late {
            self.drop_work(task, Some(GiveUpReason::Deadline));
        }
    }

    /// Whether an assignment repeats what we have; a repeated one may move the deadlines.
    fn is_known(&mut self, now: Now, item: &AssignItem) -> bool {
        if let Some(work) = self.work.get_mut(&item.task) {
            if work.attempt < item.attempt {
                // The scheduler thinks the earlier round lost; so shall it be.
                self.drop_work(item.task, None);
                return false;
            }
            if work.attempt == item.attempt {
                work.commit_deadline = item.commit_deadline;
                work.reveal_deadline = item.reveal_deadline;
            }
            return true;
        }
        let Some(job) = self.kept.get_mut(&item.task) else { return false };
        if job.attempt == item.attempt {
            if job.set().is_none() {
                job.commit_deadline = item.commit_deadline;
                job.reveal_deadline = item.reveal_deadline;
            }
            (job.sent, job.cancelled) = (None, false);
            self.send_vote(now, item.task);
            return true;
        }
        if job.attempt < item.attempt && job.shown == Shown::Sealed {
            // The commit never arrived, and its round is over: nobody will ever count it.
            self.forget(item.task);
            return false;
        }
        self.warn(Warning::SecondVote { task: item.task, attempt: item.attempt });
        self.give_up(item.task, item.attempt, GiveUpReason::Leaving);
        true
    }

    /// Why an assignment is given back at once, if it is.
    fn refusal(&mut self, now: Now, item: &AssignItem, deal: &DealInfo) -> Option<GiveUpReason> {
        if self.leaving || !self.take || self.rest.is_some() {
            return Some(GiveUpReason::Leaving);
        }
        if deal.unit_price < self.config.ask {
            return Some(GiveUpReason::Price);
        }
        if self.is_over(now, item.commit_deadline) {
            return Some(GiveUpReason::Deadline);
        }
        let is_over_slots = self.work.len() >= WORK_PER_SLOT * usize::from(self.slots);
        if is_over_slots || !self.make_room() {
            self.warn(Warning::OverSlots { task: item.task });
            return Some(GiveUpReason::Deadline);
        }
        None
    }

    /// Whether one more result can be kept when all work at hand is done.
    fn make_room(&mut self) -> bool {
        if self.kept.len() + self.work.len() < KEPT_MAX {
            return true;
        }
        let Some(task) = self.least_useful() else { return false };
        self.forget(task);
        true
    }

    /// The result whose loss costs least: a cancelled one, or the oldest the scheduler has.
    fn least_useful(&self) -> Option<TaskKey> {
        let cancelled = self.kept.iter().find(|(_, job)| job.cancelled).map(|(task, _)| *task);
        let revealed = self.kept.iter().filter(|(_, job)| matches!(job.shown, Shown::Revealed(_)));
        let oldest = revealed.min_by_key(|(_, job)| job.reveal_deadline).map(|(task, _)| *task);
        cancelled.or(oldest)
    }

    fn take_work(&mut self, item: AssignItem, deal: DealInfo) {
        let AssignItem { task, attempt, commit_deadline, reveal_deadline, .. } = item;
        let ticket = self.ticket();
        let stage = WorkStage::Fetching;
        self.effect(Effect::Fetch { ticket, task, attempt, deal: deal.clone() });
        let began_ms = None;
        let work =
            Work { ticket, attempt, deal, commit_deadline, reveal_deadline, stage, began_ms };
        self.work.insert(task, work);
    }

    fn start(&mut self, now: Now, task: TaskKey) {
        let now_ms = self.scheduler_ms(now);
        let Some(work) = self.work.get_mut(&task) else { return };
        work.stage = WorkStage::Running;
        work.began_ms = Some(now.mono_ms);
        let Work { ticket, attempt, ref deal, commit_deadline, .. } = *work;
        let left_ms = i128::from(commit_deadline) * 1000 - now_ms;
        let left_ms = u64::try_from(left_ms.max(0)).unwrap_or(u64::MAX);
        let wall_ms = left_ms.min(deal.max_task_time.saturating_mul(1000));
        let (deal, seed) = (deal.clone(), deal.id.task_id(task.idx));
        self.running.insert(ticket);
        self.effect(Effect::Start { ticket, task, attempt, deal, seed, wall_ms });
    }

    /// Binds a result to a commitment, for the index that the assignment was signed for.
    fn seal(&mut self, now: Now, task: TaskKey, output: Output, salt: B256) {
        let (Some(work), Some(worker)) = (self.work.get(&task), self.last_worker) else { return };
        if self.is_over(now, work.commit_deadline) {
            self.effect(Effect::Forget { task, blobs: output.blobs, settled: None });
            return self.end_work(task, GiveUpReason::Deadline);
        }
        let Work { attempt, commit_deadline, reveal_deadline, .. } = *work;
        let deal = work.deal.clone();
        let task_id = deal.id.task_id(task.idx);
        let seal = Seal::new(&self.separator, task_id, attempt, worker, output, salt);
        let job = SealedJob { task, attempt, deal, commit_deadline, reveal_deadline, seal };
        self.work.remove(&task);
        if bug::is(Bug::CommitUnsealed) {
            self.apply(&Record::Sealed(Box::new(job)));
        } else {
            self.record(Record::Sealed(Box::new(job)));
        }
        self.send_vote(now, task);
    }

    /// Gives back work whose run has ended by itself.
    fn end_work(&mut self, task: TaskKey, reason: GiveUpReason) {
        if let Some(work) = self.work.remove(&task) {
            self.give_up(task, work.attempt, reason);
        }
    }

    fn give_up(&mut self, task: TaskKey, attempt: u16, reason: GiveUpReason) {
        self.gave_up += 1;
        if self.is_up() {
            self.effect(Effect::GiveUp(GaveUp { task, attempt, reason }));
        }
    }
}
