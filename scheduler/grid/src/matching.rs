//! Who is asked for which replica: queues of tasks, draws among the workers that may take one, and
//! what of it a restart rebuilds. What a task wants is `progress`'s.

use crate::{
    deadline::Deadline,
    effect::Effect,
    fleet::Member,
    grid::Grid,
    progress::Next,
    record::Record,
    sessions::assign,
    task::{Open, ReplicaState, Task},
};
use quorate_common::{
    clock::Now,
    ids::{DealSlot, TaskKey, WorkerIdx},
};
use std::ops::Bound;

/// Seconds a task must still have before its deal ends, to be worth a replica.
const TAIL_S: u64 = 2;

impl Grid {
    /// Gives free slots to tasks: first to those that want one more replica, then to new ones, deal by
    /// deal: a deal nobody free can take must not hold up the next.
    pub(crate) fn assign(&mut self, now: Now) {
        if self.durable.fleet.none_free() {
            return;
        }
        for key in self.scan() {
            if self.durable.fleet.none_free() {
                return;
            }
            self.ask(now, key);
        }
        let mut scanned = 0;
        let fresh: Vec<DealSlot> = self.fresh.iter().take(self.policy.scan_max).copied().collect();
        for slot in fresh {
            while let Some(key) = self.next_fresh(now, slot) {
                if self.durable.fleet.none_free() || scanned >= self.policy.scan_max {
                    return;
                }
                if !self.ask(now, key) {
                    break;
                }
                scanned += usize::from(self.wanting.contains(&key));
            }
        }
    }

    /// The tasks that want a replica and are looked at this time: the oldest, or where there are more
    /// than one look takes in, those after the last look's, so that each has its turn.
    fn scan(&mut self) -> Vec<TaskKey> {
        let most = self.policy.scan_max;
        if self.wanting.len() <= most {
            return self.wanting.iter().copied().collect();
        }
        let from = self.scanned_to;
        let later = self.wanting.range((Bound::Excluded(from), Bound::Unbounded));
        let turn: Vec<TaskKey> =
            later.chain(self.wanting.range(..=from)).take(most).copied().collect();
        self.scanned_to = turn.last().copied().unwrap_or(from);
        turn
    }

    /// The deal's first task that was never opened, if there is time for it.
    fn next_fresh(&self, now: Now, slot: DealSlot) -> Option<TaskKey> {
        let deal = self.durable.deals.get(&slot)?;
        let in_time = now.unix_s() + TAIL_S < deal.terms.deadline;
        let queued = matches!(deal.tasks.get(deal.next as usize), Some(Task::Queued));
        (in_time && queued).then_some(TaskKey { deal: slot, idx: deal.next })
    }

    /// Asks workers for replicas of a task until it has enough. False if nobody could be asked.
    fn ask(&mut self, now: Now, key: TaskKey) -> bool {
        let mut asked = false;
        loop {
            let wants = match self.task(key) {
                Some(Task::Open(open)) => matches!(self.next(key, open), Next::Ask),
                Some(Task::Queued) => true,
                Some(Task::Done(_)) | None => false,
            };
            if !wants {
                // Scores change with other tasks: what stands may suffice by now.
                self.wanting.remove(&key);
                self.advance(now, key);
                return true;
            }
            let Some(worker) = self.draw(key) else {
                if matches!(self.task(key), Some(Task::Open(_))) {
                    self.wanting.insert(key);
                }
                return asked;
            };
            self.assign_to(now, key, worker);
            asked = true;
        }
    }

    /// A worker that may take a replica: free, staked, of an owner and a network that has none, and
    /// with the engine of the replicas there are, because engines may differ in honest results. A task
    /// whose every replica was lost is free to begin anew with another engine.
    fn draw(&mut self, key: TaskKey) -> Option<WorkerIdx> {
        let draw = self.draws.draw();
        let deal = &self.durable.deals[&key.deal];
        let open = self.task(key).and_then(Task::open);
        let others: Vec<&Member> = open
            .map(|open| {
                open.replicas.iter().filter_map(|r| self.durable.fleet.get(r.worker)).collect()
            })
            .unwrap_or_default();
        let engine = open.and_then(Open::engine);
        let may = |member: &Member| engine.is_none() || engine == member.engine();
        self.durable.fleet.draw(draw, |worker, member| {
            let apart = others.iter().all(|other| apart(other, member));
            may(member) && apart && self.has_stake(worker, member, deal.stake)
        })
    }

    pub(crate) fn has_stake(&self, worker: WorkerIdx, member: &Member, stake: u128) -> bool {
        let slashed = self.durable.ledger.worker(worker).map_or(0, |account| account.cum_slashed);
        member.stake.saturating_sub(slashed).saturating_sub(member.held) >= stake
    }

    fn assign_to(&mut self, now: Now, key: TaskKey, worker: WorkerIdx) {
        let terms = &self.durable.deals[&key.deal].terms;
        // The deal's last moment is for the reveal: a commit must leave room for it.
        let latest = terms.deadline.saturating_sub(1);
        let commit_deadline = (now.unix_s() + terms.max_task_time).min(latest);
        let reveal_deadline = (commit_deadline + self.policy.reveal_s).min(terms.deadline);
        let member = self.durable.fleet.get(worker);
        let engine = member.and_then(Member::engine).unwrap_or_default();
        let task = key;
        self.record(Record::Assigned { task, worker, engine, commit_deadline, reveal_deadline });
        self.durable.fleet.occupy(worker, 1);
        self.watch(key, now, commit_deadline, Deadline::Commit(key));
        let Some(session) = self.durable.fleet.session(worker) else { return };
        self.tell_deal(worker, session, key);
        let replica = self.task(key).and_then(Task::open).and_then(|open| open.replica(worker));
        if let Some(message) = replica.map(|replica| assign(key, replica)) {
            self.effect(Effect::Send(session, message));
        }
    }

    /// Rebuilds queues, holds and deadlines from durable state, after a restart.
    pub(crate) fn rebuild(&mut self, now: Now) {
        self.wanting.clear();
        self.fresh.clear();
        let slots: Vec<DealSlot> = self.durable.deals.keys().copied().collect();
        for slot in slots {
            let deal = &self.durable.deals[&slot];
            if deal.ready && deal.next < deal.terms.tasks && !deal.finished() {
                self.fresh.insert(slot);
            }
            self.watch_deal(now, slot);
        }
        let workers: Vec<WorkerIdx> = self.durable.fleet.iter().map(|(worker, _)| worker).collect();
        for worker in workers {
            if let Some(member) = self.durable.fleet.get_mut(worker) {
                member.held = 0;
                member.tasks.clear();
            }
        }
        let tasks: Vec<TaskKey> = self.open_tasks().collect();
        for key in tasks {
            self.rebuild_task(now, key);
        }
    }

    fn rebuild_task(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let stake = self.durable.deals[&key.deal].stake;
        let replicas = open.replicas.clone();
        let reveal = open.sets.last().filter(|_| open.revealing()).map(|set| set.reveal_deadline);
        for replica in &replicas {
            if matches!(replica.state, ReplicaState::Lost) {
                continue;
            }
            if let Some(member) = self.durable.fleet.get_mut(replica.worker)
                && member.tasks.insert(key)
            {
                member.held += stake;
            }
            if matches!(replica.state, ReplicaState::Assigned) {
                self.watch(key, now, replica.commit_deadline, Deadline::Commit(key));
            }
        }
        if let Some(reveal) = reveal {
            self.watch(key, now, reveal, Deadline::Reveal(key));
        }
    }
}

/// Whether two workers may vote on one task: another owner, and another network where that is known.
fn apart(one: &Member, other: &Member) -> bool {
    let net = |member: &Member| member.link.as_ref().and_then(|link| link.net);
    let same_net = net(one).is_some() && net(one) == net(other);
    one.owner != other.owner && !same_net
}
