//! The end of a bag: where few tasks are left and one has been running for far longer than most, a fast
//! worker is asked for it too. The first commits that suffice count; whoever is late then is told to stop.
//!
//! Not where votes are being revealed: there deadlines do the hurrying.

use crate::{
    deadline::Deadline,
    deal::Deal,
    fleet::Room,
    grid::Grid,
    record::Record,
    running::End,
    task::{Open, Replica, ReplicaState, Task},
};
use quorate_common::{
    clock::Now,
    ids::{DealSlot, TaskKey, WorkerIdx},
};

/// Percent of a deal's tasks that are settled where its tail begins (as BOINC).
const TAIL_PERCENT: u64 = 85;
/// Or so few unsettled tasks (as BOINC).
const TAIL_TASKS: u32 = 20;
/// A replica is late after so many median turnarounds of its application.
const LATE_AFTER: u64 = 2;
/// Milliseconds between two looks at a tail, at least: each is a walk through the deal's tasks.
const LOOK_LEAST_MS: u64 = 1_000;
/// Milliseconds to the next look while nothing is known of the application: other deals may tell.
const LOOK_BLIND_MS: u64 = 10_000;
/// Tasks of one deal that are hurried at once. Each costs a replica, and what is left then has its turn.
const HURRIED_MAX: usize = 64;

impl Grid {
    /// The deal's last task was opened: from now on somebody may be late.
    pub(crate) fn watch_tail(&mut self, now: Now, slot: DealSlot) {
        let Some(deal) = self.durable.deals.get(&slot) else { return };
        if deal.next == deal.terms.tasks && !deal.finished() {
            let median = self.timings.turnaround_ms(deal.app());
            let in_ms = median.map_or(LOOK_BLIND_MS, |median| (median / 2).max(LOOK_LEAST_MS));
            let at = now.mono_ms.saturating_add(in_ms);
            self.deadlines.set(at, Deadline::Tail(slot));
        }
    }

    pub(crate) fn on_tail(&mut self, now: Now, slot: DealSlot) {
        let late = self.late_tasks(now, slot);
        self.hurried.extend(late);
        self.watch_tail(now, slot);
    }

    /// Asks a fast worker that is idle for each task that is late.
    pub(crate) fn hurry(&mut self, now: Now) {
        let tasks: Vec<TaskKey> = self.hurried.iter().copied().collect();
        for key in tasks {
            if self.durable.fleet.none_idle() {
                return;
            }
            if !self.may_hurry(key) {
                self.hurried.remove(&key);
            } else if let Some(worker) = self.draw_fast(key) {
                self.hurried.remove(&key);
                self.assign_to(now, key, worker);
                self.note_hurried(key);
            }
        }
    }

    /// Whether the commits there are suffice without those who are late, for PoCo and for the promise.
    /// Without any commit there is nothing to freeze.
    pub(crate) fn is_beaten(&self, key: TaskKey, open: &Open) -> bool {
        let trust = self.durable.deals[&key.deal].terms.trust;
        let score = |worker| self.durable.ledger.score(worker);
        let (tally, committed) = (open.tally(score), open.committed(score));
        let has_committed = |r: &Replica| matches!(r.state, ReplicaState::Committed(_));
        open.hurried
            && !committed.is_empty()
            && tally.would_decide(trust, committed.into_iter())
            && self.would_keep_with(open, tally.leader(), has_committed)
    }

    /// Tells those who were too late to stop, before the set is frozen without them.
    pub(crate) fn drop_beaten(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let running = open.replicas.iter().filter(|r| matches!(r.state, ReplicaState::Assigned));
        let late: Vec<WorkerIdx> = running.map(|replica| replica.worker).collect();
        for worker in late {
            self.stop(key, worker);
            self.record(Record::Lost { task: key, worker });
            self.end(now, key, worker, End::Moot);
        }
    }

    fn late_tasks(&self, now: Now, slot: DealSlot) -> Vec<TaskKey> {
        let Some(deal) = self.durable.deals.get(&slot).filter(|deal| is_tail(deal)) else {
            return Vec::new();
        };
        let Some(median) = self.timings.turnaround_ms(deal.app()) else { return Vec::new() };
        let late_ms = median.saturating_mul(LATE_AFTER);
        let keys = (0..deal.terms.tasks).map(|idx| TaskKey { deal: slot, idx });
        let late = |key: &TaskKey| {
            let open = self.task(*key).and_then(Task::open);
            open.is_some_and(|open| oldest_run_ms(now, open) > late_ms) && self.may_hurry(*key)
        };
        keys.filter(late).take(HURRIED_MAX).collect()
    }

    /// Whether one more replica may be asked for: once per task, not while votes are revealed, and
    /// within what the deal allows.
    fn may_hurry(&self, key: TaskKey) -> bool {
        let Some(open) = self.task(key).and_then(Task::open) else { return false };
        let room = open.live() < self.durable.deals[&key.deal].replicas_max();
        let may = !open.hurried && !open.calibrates;
        room && may && open.running() > 0 && !open.revealing()
    }

    fn draw_fast(&mut self, key: TaskKey) -> Option<WorkerIdx> {
        let draw = self.draws.draw();
        let app = self.durable.deals[&key.deal].app();
        let case = self.case(key);
        self.durable.fleet.draw(Room::Slot, draw, |worker, member| {
            self.timings.is_fast(worker, app) && self.misfit(&case, worker, member).is_none()
        })
    }

    fn note_hurried(&mut self, key: TaskKey) {
        let deal = self.durable.deals.get_mut(&key.deal);
        let task = deal.and_then(|deal| deal.tasks.get_mut(key.idx as usize));
        if let Some(open) = task.and_then(Task::open_mut) {
            open.hurried = true;
        }
    }
}

fn is_tail(deal: &Deal) -> bool {
    let (settled, tasks) = (u64::from(deal.settled), u64::from(deal.terms.tasks));
    settled * 100 >= tasks * TAIL_PERCENT || deal.terms.tasks - deal.settled < TAIL_TASKS
}

/// How long the task's oldest replica is at it.
fn oldest_run_ms(now: Now, open: &Open) -> u64 {
    let running = open.replicas.iter().filter(|r| matches!(r.state, ReplicaState::Assigned));
    let ages = running.filter_map(|r| r.run.began_ms).map(|at| now.mono_ms.saturating_sub(at));
    ages.max().unwrap_or(0)
}
