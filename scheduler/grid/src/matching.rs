//! Who is asked for which replica: whose turn it is, which of its tasks, which worker. And what of it a
//! restart rebuilds. What a task wants is `progress`'s.

use crate::{
    deadline::Deadline,
    effect::Effect,
    fleet::{Member, Room},
    grid::Grid,
    progress::Next,
    record::Record,
    sessions::assign,
    task::{Replica, ReplicaState, Task},
};
use alloy_primitives::Address;
use quorate_common::{
    bag::AppKind,
    bug::{self, Bug},
    clock::Now,
    ids::{DealSlot, TaskKey, WorkerIdx},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// Seconds a task must still have before its deal ends, to be worth a replica.
const TAIL_S: u64 = 2;

/// Replicas wait behind a worker's slots only where one takes no longer than this, in milliseconds: a
/// tenth of a second of the network is a hundredth of it, and no more is to be gained.
const BUFFER_RUN_MS: u64 = 10_000;

/// And only where so many of its application's runs fit into the time a replica may take: it has to wait
/// for another one first, and its deadline does not.
const BUFFER_RUNS: u64 = 4;

/// Tasks looked at in vain where nobody is idle.
const BUFFER_LOOKS: usize = 4;

/// One in so many connected workers: that many tasks of a deal are kept waiting for replicas, and who
/// becomes free draws from them. Where all are busy there is nobody to draw among: whoever finishes at
/// the right moment would else be given the very task its friend has just begun.
const MIX: usize = 4;

/// Open tasks that want another replica, oldest first, and the deals that have work since the last look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanting {
    tasks: BTreeSet<TaskKey>,
    woken: BTreeSet<DealSlot>,
}

impl Wanting {
    /// A task wants a replica.
    pub(crate) fn insert(&mut self, key: TaskKey) {
        self.tasks.insert(key);
        self.woken.insert(key.deal);
    }

    /// It wants none.
    pub(crate) fn remove(&mut self, key: &TaskKey) {
        self.tasks.remove(key);
    }

    /// A deal has tasks that were never opened.
    pub(crate) fn wake(&mut self, deal: DealSlot) {
        self.woken.insert(deal);
    }

    /// Whether it wants one.
    pub(crate) fn contains(&self, key: &TaskKey) -> bool {
        self.tasks.contains(key)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &TaskKey> {
        self.tasks.iter()
    }

    /// Those of one deal behind this one, and then the others of it.
    fn of(&self, deal: DealSlot, from: TaskKey) -> impl Iterator<Item = TaskKey> {
        let (first, last) = (TaskKey { deal, idx: 0 }, TaskKey { deal, idx: u32::MAX });
        let from = if from.deal == deal { from } else { last };
        let later = self.tasks.range((Bound::Excluded(from), Bound::Included(last)));
        later.chain(self.tasks.range(first..=from)).copied()
    }

    /// Those of one deal, oldest first.
    pub(crate) fn of_deal(&self, deal: DealSlot) -> impl Iterator<Item = TaskKey> {
        self.of(deal, TaskKey { deal, idx: u32::MAX })
    }

    /// How many a deal has.
    pub(crate) fn count(&self, deal: DealSlot) -> usize {
        self.of_deal(deal).count()
    }

    fn clear(&mut self) {
        self.tasks.clear();
        self.woken.clear();
    }
}

/// Deals with tasks that were never opened, and how many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fresh {
    left: BTreeMap<DealSlot, u32>,
    total: u64,
}

impl Fresh {
    /// A deal has so many of them.
    pub(crate) fn set(&mut self, deal: DealSlot, left: u32) {
        let before = if left == 0 { self.left.remove(&deal) } else { self.left.insert(deal, left) };
        self.total = self.total + u64::from(left) - u64::from(before.unwrap_or_default());
    }

    /// Whether a deal has any.
    pub(crate) fn contains(&self, deal: DealSlot) -> bool {
        self.left.contains_key(&deal)
    }

    /// How many there are in all.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

/// One look at what waits. What nobody could take is not looked at a second time: nobody became free.
struct Look {
    /// Tasks that may still be looked at in vain.
    left: usize,
    /// Deals of which nobody could take a task that waits.
    waiting: BTreeSet<DealSlot>,
    /// Deals of which nobody could take any.
    deals: BTreeSet<DealSlot>,
}

impl Grid {
    /// Gives room to tasks: to the requester whose turn it is, and to the one of its deals whose turn it
    /// is. Who can be served by nobody free must not hold up the next.
    ///
    /// A task that is open already has no other turn than its requester's: else who provokes dissent
    /// would be served first. Within a deal it comes before those that were never opened, because votes
    /// hold stakes until it is settled.
    pub(crate) fn assign(&mut self, now: Now) {
        for slot in std::mem::take(&mut self.wanting.woken) {
            if let Some(deal) = self.durable.deals.get(&slot) {
                self.shares.join(deal.terms.requester, slot);
            }
        }
        if self.is_full() {
            return;
        }
        self.hurry_idle();
        // What waits behind a slot in use gains little: not much is looked for.
        let few = if self.durable.fleet.none_idle() { BUFFER_LOOKS } else { usize::MAX };
        let left = self.policy.scan_max.min(few);
        self.serve_all(now, &mut Look { left, waiting: BTreeSet::new(), deals: BTreeSet::new() });
        if !self.hurried.is_empty() {
            self.hurry(now);
        }
    }

    fn serve_all(&mut self, now: Now, look: &mut Look) {
        let mut looked = self.shares.requesters.take_looked();
        while !self.is_full() {
            let Some((tag, requester)) = self.shares.requesters.after(looked) else { return };
            if look.left == 0 {
                self.shares.requesters.looked((tag, requester));
                return;
            }
            if !self.serve(now, requester, look) {
                looked = Some((tag, requester));
            }
        }
    }

    /// Serves the deal of a requester whose turn it is. False if nobody could be asked for any.
    fn serve(&mut self, now: Now, requester: Address, look: &mut Look) -> bool {
        let Some(deals) = self.shares.deals.get_mut(&requester) else { return false };
        let mut looked = deals.take_looked();
        while let Some(deals) = self.shares.deals.get_mut(&requester) {
            let Some((tag, slot)) = deals.after(looked) else { return false };
            if look.left == 0 {
                deals.looked((tag, slot));
                return false;
            }
            if !look.deals.contains(&slot) && self.serve_deal(now, slot, look) {
                return true;
            }
            look.deals.insert(slot);
            looked = Some((tag, slot));
        }
        false
    }

    fn serve_deal(&mut self, now: Now, slot: DealSlot, look: &mut Look) -> bool {
        let looked = look.waiting.contains(&slot);
        let waiting = if looked { Vec::new() } else { self.scan(slot) };
        let fresh = self.next_fresh(now, slot);
        if waiting.is_empty() && fresh.is_none() && !looked {
            let requester = self.durable.deals.get(&slot).map(|deal| deal.terms.requester);
            self.shares.leave(requester.unwrap_or_default(), slot);
            return false;
        }
        if self.durable.fleet.none_idle() && !self.buffers(slot) {
            look.left = look.left.saturating_sub(1);
            return false;
        }
        let mixing = waiting.len() < self.durable.fleet.connected() / MIX;
        if let Some(key) = fresh.filter(|_| mixing)
            && self.serve_task(now, key, look)
        {
            return true;
        }
        for key in waiting {
            if look.left == 0 {
                return false;
            }
            if self.serve_task(now, key, look) {
                return true;
            }
        }
        look.waiting.insert(slot);
        fresh.filter(|_| !mixing).is_some_and(|key| self.serve_task(now, key, look))
    }

    /// Asks for replicas of one task, and counts the look if it still wants some.
    fn serve_task(&mut self, now: Now, key: TaskKey, look: &mut Look) -> bool {
        let served = self.ask(now, key);
        if !served || self.wanting.contains(&key) {
            look.left = look.left.saturating_sub(1);
        }
        served
    }

    /// A deal's tasks that want a replica and are looked at this time, in the order in which they are
    /// served: the oldest, or where there are more than one look takes in, those after the last look's, so
    /// that each has its turn; of the first few one is drawn (see [`MIX`]).
    fn scan(&mut self, slot: DealSlot) -> Vec<TaskKey> {
        let most = self.policy.scan_max;
        let mut turn: Vec<TaskKey> =
            self.wanting.of(slot, self.scanned_to).take(most + 1).collect();
        if turn.len() > most {
            turn.pop();
            self.scanned_to = turn.last().copied().unwrap_or_default();
        } else if turn.len() > 1 {
            turn.sort_unstable();
        }
        let mixed = turn.len().min(self.durable.fleet.connected() / MIX);
        if mixed > 1 {
            let [draw, ..] = self.draws.draw();
            turn[..mixed].rotate_left(usize::try_from(draw % mixed as u64).unwrap_or(0));
        }
        turn
    }

    /// The deal's first task that was never opened, if there is time for it.
    fn next_fresh(&self, now: Now, slot: DealSlot) -> Option<TaskKey> {
        if !self.fresh.contains(slot) {
            return None;
        }
        let deal = self.durable.deals.get(&slot)?;
        if !self.may_open(slot) {
            return None;
        }
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
            let first = matches!(self.task(key), Some(Task::Queued));
            self.assign_to(now, key, worker);
            if first {
                self.watch_company(now, key);
                self.widen(now, key, worker);
            }
            self.note_mercy(key, worker);
            asked = true;
        }
    }

    /// A worker that may take a replica and has a free slot; where work is plenty, one that has all slots
    /// in use and room behind them. Of each, those first that the pool's promise wants first.
    fn draw(&mut self, key: TaskKey) -> Option<WorkerIdx> {
        let draw = self.draws.draw();
        let case = self.case(key);
        let of = |room: Room| {
            self.ranks(key).iter().find_map(|rank| {
                let fits = |worker, member: &Member| {
                    self.is_of(*rank, worker) && self.misfit(&case, worker, member).is_none()
                };
                self.durable.fleet.draw(room, draw, fits)
            })
        };
        of(Room::Slot).or_else(|| self.buffers(key.deal).then(|| of(Room::Buffer)).flatten())
    }

    /// Whether nobody can take a replica, whatever it is.
    fn is_full(&self) -> bool {
        let fleet = &self.durable.fleet;
        fleet.none_free() || fleet.none_idle() && !self.is_plenty()
    }

    /// Whether every slot will have another task: only then may some wait behind slots in use.
    fn is_plenty(&self) -> bool {
        self.fresh.total() >= self.durable.fleet.slots()
    }

    /// Whether replicas of a deal may wait behind a worker's slots: where work is plenty, and they are so
    /// short that the network would be felt.
    fn buffers(&self, slot: DealSlot) -> bool {
        let Some(deal) = self.durable.deals.get(&slot).filter(|_| self.is_plenty()) else {
            return false;
        };
        let most_ms = deal.terms.max_task_time.saturating_mul(1_000) / BUFFER_RUNS;
        let runtime_ms = self.timings.runtime_ms(deal.app());
        runtime_ms.is_some_and(|ms| ms <= most_ms.min(BUFFER_RUN_MS))
    }

    pub(crate) fn assign_to(&mut self, now: Now, key: TaskKey, worker: WorkerIdx) {
        let terms = &self.durable.deals[&key.deal].terms;
        // The deal's last moment is for the reveal: a commit must leave room for it.
        let latest = terms.deadline.saturating_sub(1);
        let commit_deadline = (now.unix_s() + terms.max_task_time).min(latest);
        let reveal_deadline = (commit_deadline + self.policy.reveal_s).min(terms.deadline);
        let member = self.durable.fleet.get(worker);
        let containers = AppKind::is_containers(terms.tag);
        let engine = member.and_then(|member| member.engine(containers)).unwrap_or_default();
        let net = member.and_then(|member| member.link.as_ref()).and_then(|link| link.net);
        let (task, last) = (key, self.is_last(key));
        self.record(Record::Assigned {
            task,
            worker,
            engine,
            net,
            commit_deadline,
            reveal_deadline,
        });
        self.begin(now, key, worker);
        self.watch(key, now, commit_deadline, Deadline::Commit(key));
        if last {
            self.watch_tail(now, key.deal);
        }
        let Some(session) = self.durable.fleet.session(worker) else { return };
        self.tell_deal(worker, session, key);
        let replica = self.task(key).and_then(Task::open).and_then(|open| open.replica(worker));
        if let Some(message) = replica.map(|replica| assign(key, replica)) {
            self.effect(Effect::Send(session, message));
        }
    }

    /// Whether this is the deal's last task, and was never opened.
    fn is_last(&self, key: TaskKey) -> bool {
        let tasks = self.durable.deals[&key.deal].terms.tasks;
        key.idx + 1 == tasks && matches!(self.task(key), Some(Task::Queued))
    }

    /// Rebuilds queues, holds and deadlines from durable state, after a restart.
    pub(crate) fn rebuild(&mut self, now: Now) {
        self.wanting.clear();
        self.fresh = Fresh::default();
        self.holdings.clear();
        let slots: Vec<DealSlot> = self.durable.deals.keys().copied().collect();
        for slot in slots {
            let deal = &self.durable.deals[&slot];
            let works = deal.ready && deal.erratic.is_none() && !deal.finished();
            if works && deal.next < deal.terms.tasks {
                self.fresh.set(slot, deal.terms.tasks - deal.next);
                self.wanting.wake(slot);
            }
            self.watch_deal(now, slot);
            self.watch_erratic(now, slot);
            self.watch_tail(now, slot);
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

    /// Sets every deadline of the wall clock anew. Those set before stay: each is checked when it is due.
    pub(crate) fn watch_all(&mut self, now: Now) {
        let slots: Vec<DealSlot> = self.durable.deals.keys().copied().collect();
        for slot in slots {
            self.watch_deal(now, slot);
        }
        let tasks: Vec<TaskKey> = self.open_tasks().collect();
        for key in tasks {
            self.watch_task(now, key);
        }
        self.watch_batch(now);
    }

    fn rebuild_task(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let stake = self.durable.deals[&key.deal].stake;
        let live = |replica: &&Replica| !matches!(replica.state, ReplicaState::Lost);
        let workers: Vec<WorkerIdx> = open.replicas.iter().filter(live).map(|r| r.worker).collect();
        for worker in workers {
            if let Some(member) = self.durable.fleet.get_mut(worker)
                && member.tasks.insert(key)
            {
                member.held += stake;
            }
        }
        if !bug::is(Bug::TimersForgotten) {
            self.watch_task(now, key);
        }
    }

    /// Watches what an open task's replicas have promised.
    fn watch_task(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let running = |replica: &&Replica| matches!(replica.state, ReplicaState::Assigned);
        let commits = open.replicas.iter().filter(running).map(|replica| replica.commit_deadline);
        let commits: BTreeSet<u64> = commits.collect();
        let reveal = open.sets.last().filter(|_| open.revealing()).map(|set| set.reveal_deadline);
        let held = open.watch.held;
        for commit in commits {
            self.watch(key, now, commit, Deadline::Commit(key));
        }
        if let Some(reveal) = reveal {
            self.watch(key, now, reveal + self.policy.hear_s, Deadline::Reveal(key));
        }
        if held {
            self.watch(key, now, self.latest(key), Deadline::Hold(key));
        }
        self.watch_company(now, key);
    }
}
