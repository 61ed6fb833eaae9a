//! Replicas under way: when one begins and how it ends, and what that means for the worker's slots and
//! quota, for what is known of its pace, and for its requester's share.

use crate::{
    deadline::Deadline,
    fleet::Room,
    grid::Grid,
    quota::Quota,
    task::{Replica, Run, Task},
};
use quorate_common::{
    clock::Now,
    ids::{TaskKey, WorkerIdx},
};

/// How a replica's work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a commit.
    Done,
    /// Lost, late or given back.
    Failed,
    /// Nobody needs it any more.
    Moot,
}

impl Grid {
    /// A worker connects. Who is new begins with little, unless it has a score from before.
    pub(crate) fn meet(&mut self, worker: WorkerIdx) {
        let scored = self.durable.ledger.score(worker) > 0;
        let first = if scored { Quota::MOST } else { self.policy.quota_first };
        self.durable.fleet.trust(worker, |quota| quota.begin(first));
    }

    /// A replica was assigned: it takes a slot, or waits behind the slots for the next that is free.
    pub(crate) fn begin(&mut self, now: Now, key: TaskKey, worker: WorkerIdx) {
        let member = self.durable.fleet.get(worker);
        let waits = member.and_then(|m| self.durable.fleet.room(m)) == Some(Room::Buffer);
        self.durable.fleet.occupy(worker, 1);
        if waits && let Some(member) = self.durable.fleet.get_mut(worker) {
            member.buffered.push_back(key);
        }
        let charged_ms = self.expected_ms(key);
        if let Some(replica) = self.replica_mut(key, worker) {
            let assigned_ms = Some(now.mono_ms);
            let began_ms = assigned_ms.filter(|_| !waits);
            replica.run = Run { assigned_ms, began_ms, charged_ms };
        }
        let requester = self.durable.deals[&key.deal].terms.requester;
        self.shares.charge(requester, key.deal, charged_ms);
    }

    /// A replica's work is over.
    pub(crate) fn end(&mut self, now: Now, key: TaskKey, worker: WorkerIdx, end: End) {
        let run = self.replica_mut(key, worker).map(|replica| replica.run).unwrap_or_default();
        self.durable.fleet.occupy(worker, -1);
        self.begin_next(now, key, worker);
        let deal = &self.durable.deals[&key.deal];
        let (app, requester) = (deal.app(), deal.terms.requester);
        let most_ms = deal.terms.max_task_time.saturating_mul(1_000);
        let since =
            |from: Option<u64>| from.map(|from| now.mono_ms.saturating_sub(from).min(most_ms));
        let (runtime, turnaround) = (since(run.began_ms), since(run.assigned_ms));
        match (end, runtime, turnaround) {
            (End::Done, Some(runtime), Some(turnaround)) => {
                self.timings.done(worker, app, runtime, turnaround);
            }
            (End::Failed, ..) => self.timings.failed(worker, app, most_ms),
            (End::Done | End::Moot, ..) => {}
        }
        if end == End::Done {
            self.durable.fleet.trust(worker, Quota::succeed);
        }
        // What a worker lost, its requester need not pay for with its turn; what was too quick for the
        // clock took a turn all the same.
        let taken = if end == End::Failed { 0 } else { runtime.unwrap_or_default().max(1) };
        self.shares.correct(requester, key.deal, run.charged_ms, taken);
    }

    /// Trusts a worker with less, and with nothing for a while if it only fails.
    pub(crate) fn distrust(&mut self, now: Now, worker: WorkerIdx) {
        let offered = self.durable.fleet.get(worker).map_or(0, |member| member.offered);
        let pause_ms = self.durable.fleet.trust(worker, |quota| quota.fail(offered));
        if let Some(pause_ms) = pause_ms.flatten() {
            let until = now.mono_ms.saturating_add(pause_ms);
            self.deadlines.set(until, Deadline::Pause(worker));
            if let Some(member) = self.durable.fleet.get_mut(worker) {
                member.paused_until_ms = until;
            }
        }
    }

    pub(crate) fn on_pause_over(&mut self, now: Now, worker: WorkerIdx) {
        // It may have failed again since: then a later pause stands.
        if self.durable.fleet.get(worker).is_some_and(|m| m.paused_until_ms <= now.mono_ms) {
            self.durable.fleet.trust(worker, Quota::resume);
        }
    }

    /// Milliseconds of a slot a replica is expected to take, at least one; as long as nothing is known,
    /// what its requester said it may take. (So nobody gains by a new name for an old application: the
    /// charge is corrected when the replica ends.)
    pub(crate) fn expected_ms(&self, key: TaskKey) -> u64 {
        let deal = &self.durable.deals[&key.deal];
        let most_ms = deal.terms.max_task_time.saturating_mul(1_000);
        self.timings.runtime_ms(deal.app()).map_or(most_ms, |ms| ms.min(most_ms)).max(1)
    }

    /// The oldest replica behind the worker's slots begins, now that one is free.
    fn begin_next(&mut self, now: Now, ended: TaskKey, worker: WorkerIdx) {
        let Some(member) = self.durable.fleet.get_mut(worker) else { return };
        if let Some(at) = member.buffered.iter().position(|key| *key == ended) {
            member.buffered.remove(at);
            return;
        }
        let Some(next) = member.buffered.pop_front() else { return };
        if let Some(replica) = self.replica_mut(next, worker) {
            replica.run.began_ms = Some(now.mono_ms);
        }
    }

    fn replica_mut(&mut self, key: TaskKey, worker: WorkerIdx) -> Option<&mut Replica> {
        let deal = self.durable.deals.get_mut(&key.deal)?;
        let open = deal.tasks.get_mut(key.idx as usize).and_then(Task::open_mut)?;
        open.replica_mut(worker)
    }
}
