//! Answers that wait: decided by PoCo, and not settled before their backers have earned the pool's
//! promise. What ends the wait is a check passed elsewhere, time, or that nobody has anything better
//! to do. Whether an answer must wait is `canary`'s rule.

use crate::{
    canary::backers,
    credibility::CHECK,
    deadline::Deadline,
    grid::Grid,
    task::{Open, Task},
};
use quorate_common::{
    clock::Now,
    ids::{TaskKey, WorkerIdx},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// Rounds of work that a held task must leave before its deal ends: one to check it, one to settle a
/// dissent.
const ROUNDS_LEFT: u64 = 2;

/// Answers of one worker that wait for its credibility. Derived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holding {
    /// Tasks that are held.
    waiting: BTreeSet<TaskKey>,
    /// Tasks that were held and are being checked.
    pressed: BTreeSet<TaskKey>,
}

/// Everything held, by backer.
pub(crate) type Holdings = BTreeMap<WorkerIdx, Holding>;

impl Grid {
    /// Keeps an answer back until its backers have earned more, or until that takes too long.
    pub(crate) fn hold_back(&mut self, now: Now, key: TaskKey) {
        self.wanting.remove(&key);
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        if open.watch.held {
            return;
        }
        let backers: Vec<WorkerIdx> = backers(open).map(|(worker, _)| worker).collect();
        for worker in &backers {
            self.holdings.entry(*worker).or_default().waiting.insert(key);
        }
        if let Some(watch) = self.watch_mut(key) {
            watch.held = true;
        }
        self.wait_for_backers(now, key);
        if !self.fresh.contains(key.deal) {
            self.hurry_all(&backers);
        }
    }

    /// Sets the time by which a held answer is checked itself.
    fn wait_for_backers(&mut self, now: Now, key: TaskKey) {
        let Some(promise) = self.policy.promise else { return };
        let due = (now.unix_s() + promise.hold_s).min(self.latest(key));
        if due <= now.unix_s() {
            return self.press(key);
        }
        self.watch(key, now, due, Deadline::Hold(key));
    }

    /// The last moment at which checking a task still leaves its deal time enough.
    pub(crate) fn latest(&self, key: TaskKey) -> u64 {
        let terms = &self.durable.deals[&key.deal].terms;
        let round = terms.max_task_time.saturating_add(self.policy.reveal_s);
        terms.deadline.saturating_sub(round.saturating_mul(ROUNDS_LEFT))
    }

    /// A held answer has waited long: some of its backers' answers are checked, any of them, or this
    /// one if its deal is about to end.
    pub(crate) fn on_hold_over(&mut self, now: Now, key: TaskKey) {
        if self.go_on_alone(now, key) {
            return;
        }
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        if open.watch.wide && open.sets.is_empty() {
            return self.narrow(now, key);
        }
        if !open.watch.held {
            return;
        }
        let backers: Vec<WorkerIdx> = backers(open).map(|(worker, _)| worker).collect();
        self.hurry_all(&backers);
        let held = |task: &Task| task.open().is_some_and(|open| open.watch.held);
        if self.task(key).is_some_and(held) {
            self.wait_for_backers(now, key);
        }
    }

    /// Where somebody is free and no fresh task is left, held answers are checked at once.
    pub(crate) fn hurry_idle(&mut self) {
        if self.policy.promise.is_none() || self.fresh.total() > 0 {
            return;
        }
        let from = (Bound::Excluded(self.hurried_to), Bound::Unbounded);
        let later = self.holdings.range(from).map(|(worker, _)| *worker);
        let workers: Vec<WorkerIdx> = later.take(self.policy.scan_max).collect();
        let all = workers.len() < self.policy.scan_max;
        self.hurried_to = workers.last().copied().filter(|_| !all).unwrap_or_default();
        self.hurry_all(&workers);
    }

    fn hurry_all(&mut self, workers: &[WorkerIdx]) {
        for worker in workers {
            self.press_some(*worker);
        }
    }

    /// Draws as many of a worker's held answers as it lacks checks, less those being checked.
    fn press_some(&mut self, worker: WorkerIdx) {
        let Some(promise) = self.policy.promise else { return };
        let Some(holding) = self.holdings.get(&worker) else { return };
        let checks =
            self.lacking(&promise, &self.standing(worker)).div_ceil(promise.check(1).max(1));
        let wanted = checks.saturating_sub(holding.pressed.len() as u64);
        for _ in 0..wanted {
            let [draw, ..] = self.draws.draw();
            let Some(waiting) = self.holdings.get(&worker).map(|held| &held.waiting) else {
                return;
            };
            let Some(place) = draw.checked_rem(waiting.len() as u64) else { return };
            let drawn = usize::try_from(place).ok().and_then(|place| waiting.iter().nth(place));
            match drawn.copied() {
                Some(key) => self.press(key),
                None => return,
            }
        }
    }

    /// Has a held answer checked by somebody else.
    fn press(&mut self, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let backers: Vec<WorkerIdx> = backers(open).map(|(worker, _)| worker).collect();
        for worker in backers {
            let holding = self.holdings.entry(worker).or_default();
            holding.waiting.remove(&key);
            holding.pressed.insert(key);
        }
        if let Some(watch) = self.watch_mut(key) {
            (watch.held, watch.pressed) = (false, true);
        }
        self.wanting.insert(key);
    }

    /// A task that is no longer held, because it moves on by itself.
    pub(crate) fn unhold(&mut self, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        if open.watch.held {
            self.let_go(key);
            if let Some(watch) = self.watch_mut(key) {
                watch.held = false;
            }
        }
    }

    /// Takes a task out of what its backers have waiting.
    pub(crate) fn let_go(&mut self, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        if !open.watch.held && !open.watch.pressed {
            return;
        }
        let workers: Vec<WorkerIdx> = open.replicas.iter().map(|r| r.worker).collect();
        for worker in workers {
            let Some(holding) = self.holdings.get_mut(&worker) else { continue };
            holding.waiting.remove(&key);
            holding.pressed.remove(&key);
            if holding.waiting.is_empty() && holding.pressed.is_empty() {
                self.holdings.remove(&worker);
            }
        }
    }

    /// What a held answer waits for, in one sentence.
    pub(crate) fn why_held(&self, open: &Open) -> Option<String> {
        let promise = self.policy.promise.filter(|_| open.watch.held)?;
        let (worker, lot) = backers(open).next()?;
        let standing = self.standing(worker);
        let needed = promise.needed(standing.caught);
        let tenths = |millis: u64| format!("{}.{}", millis / CHECK, millis % CHECK * 10 / CHECK);
        let passed = tenths(standing.counts(lot, needed));
        let needed = tenths(needed);
        Some(format!(
            "{worker} has passed {passed} of {needed} checks; it is settled when the rest are \
             passed, or another worker agrees"
        ))
    }

    /// A held task stands with all who back it, a pressed one too, and nothing else does.
    ///
    /// # Panics
    /// At the first that does not.
    pub(crate) fn check_holdings(&self) {
        for (worker, holding) in &self.holdings {
            let open = |key: &TaskKey| self.task(*key).and_then(Task::open);
            let held = |key: &TaskKey| open(key).is_some_and(|open| open.watch.held);
            let pressed = |key: &TaskKey| open(key).is_some_and(|open| open.watch.pressed);
            assert!(holding.waiting.iter().all(held), "{worker} waits for {:?}", holding.waiting);
            assert!(holding.pressed.iter().all(pressed), "{worker} has {:?}", holding.pressed);
        }
        for key in self.open_tasks() {
            let Some(open) = self.task(key).and_then(Task::open) else { continue };
            let stands = |worker: WorkerIdx| {
                self.holdings.get(&worker).is_some_and(|held| held.waiting.contains(&key))
            };
            let all = backers(open).all(|(worker, _)| stands(worker));
            assert!(!open.watch.held || all, "{key} is held and its backers do not know");
        }
    }
}
