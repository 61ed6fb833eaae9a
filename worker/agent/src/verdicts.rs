//! What ends a job from outside: cancelled, fetched, settled, renumbered.

use crate::{
    Agent, Closing, Effect, Record,
    effect::{Settlement, Warning},
    job::Shown,
};
use quorate_common::{
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
    wire::SettledItem,
};

impl Agent {
    /// Unfinished work stops and is forgotten, and so is a result the scheduler has. Anything between
    /// is set aside until its reveal deadline, but not sent again: its commitment may already stand in
    /// a set whose message is on its way, and not opening it would cost the stake.
    pub(crate) fn on_cancel(&mut self, task: TaskKey, attempt: u16) {
        if self.work.get(&task).is_some_and(|work| work.attempt == attempt) {
            self.drop_work(task, None);
        }
        if let Some(job) = self.kept.get_mut(&task).filter(|job| job.attempt == attempt) {
            match job.shown {
                Shown::Sealed | Shown::Acked(_) | Shown::Revealing(_) => job.cancelled = true,
                Shown::Revealed(_) => self.forget(task),
            }
        }
    }

    /// Only what was shown leaves, and only to whom it was shown.
    pub(crate) fn on_fetch(&mut self, task: TaskKey, digest: Digest) {
        let shown = self.kept.get(&task).filter(|job| job.set().is_some());
        match shown.filter(|job| job.seal.digest == digest) {
            Some(job) => {
                let blobs = job.seal.blobs.clone();
                self.effect(Effect::Upload { task, blobs });
            }
            None => self.warn(Warning::WrongFetch { task }),
        }
    }

    pub(crate) fn on_settled(&mut self, item: SettledItem) {
        self.score = item.score;
        self.drop_work(item.task, None);
        self.close(item.task, Closing::Settled(item));
    }

    /// Work and results of another index cannot be voted for any more.
    pub(crate) fn forget_renumbered(&mut self, worker: Option<WorkerIdx>) {
        let Some(worker) = worker else { return };
        if self.last_worker.replace(worker).is_some_and(|before| before != worker) {
            let work: Vec<TaskKey> = self.work.keys().copied().collect();
            work.into_iter().for_each(|task| self.drop_work(task, None));
        }
        let is_void = |task: &TaskKey| self.kept[task].seal.worker != worker;
        let void: Vec<TaskKey> = self.kept.keys().copied().filter(is_void).collect();
        for task in void {
            self.warn(Warning::Renumbered { task });
            self.forget(task);
        }
    }

    pub(crate) fn forget(&mut self, task: TaskKey) {
        self.close(task, Closing::Forgotten);
    }

    fn close(&mut self, task: TaskKey, closing: Closing) {
        let Some(job) = self.kept.get(&task) else { return };
        let (blobs, task_id) = (job.seal.blobs.clone(), job.deal.task_id(task.idx));
        let (attempt, app, price) = (job.attempt, job.app, job.price);
        let settled = match closing {
            Closing::Settled(item) => {
                Some(Box::new(Settlement { task_id, attempt, app, price, item }))
            }
            Closing::Forgotten => None,
        };
        self.record(Record::Closed { task, closing });
        self.effect(Effect::Forget { task, blobs, settled });
    }
}
