//! How long replicas take: per worker and application, and per application. For what a task is expected
//! to take, who is fast, and when one is late. Volatile: no record says when a replica began, and what
//! is forgotten at a restart is learned again within a few tasks.
//!
//! *Turnaround* is from the assignment to the commit, *runtime* from when a slot was free for it: the
//! scheduler sees no more.

use quorate_common::{digest::Digest, ids::WorkerIdx};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Pairs of worker and application remembered: ten applications each of six thousand workers, 150 bytes
/// a pair, 10 MB. At the limit one of those used longest ago is forgotten.
const PAIRS_MAX: usize = 65_536;
/// Applications remembered; the one used longest ago goes. 700 bytes each.
const APPS_MAX: usize = 1_024;
/// Uses after which it is noted once more that something is in use: an eighth of what is remembered, so
/// that what is used all the time is never among the oldest, and a use costs next to nothing.
const STALE_USES: u64 = PAIRS_MAX as u64 / 8;
/// Runs of an application its medians are over: enough that a fifth of freaks moves them little, so few
/// that a change shows within a moment.
const RUNS: usize = 31;
/// Runs before a median is one.
const RUNS_LEAST: usize = 3;

/// What is known of a worker with an application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Milliseconds of a slot, averaged: seven tenths of what it was, three of what came (as BOINC).
    pub runtime_ms: u64,
    /// Milliseconds from assignment to commit, averaged alike; a lost replica counts as long as it could
    /// have taken.
    pub turnaround_ms: u64,
    /// Replicas committed.
    pub done: u32,
    /// Replicas lost, late, or given back.
    pub failed: u32,
    used: u64,
}

/// What is known of an application.
#[derive(Clone, Debug, Default)]
struct App {
    runtimes: Median,
    turnarounds: Median,
    used: u64,
}

/// The median of the last few.
#[derive(Clone, Debug, Default)]
struct Median {
    last: VecDeque<u64>,
    sorted: Vec<u64>,
    is: Option<u64>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    pairs: BTreeMap<(WorkerIdx, Digest), Pace>,
    pairs_by_use: BTreeSet<(u64, (WorkerIdx, Digest))>,
    apps: BTreeMap<Digest, App>,
    apps_by_use: BTreeSet<(u64, Digest)>,
    uses: u64,
}

impl Timings {
    /// A replica was committed.
    pub fn done(&mut self, worker: WorkerIdx, app: Digest, runtime_ms: u64, turnaround_ms: u64) {
        let pace = self.touch(worker, app);
        pace.runtime_ms = averaged(pace.done, pace.runtime_ms, runtime_ms);
        pace.turnaround_ms = averaged(pace.done + pace.failed, pace.turnaround_ms, turnaround_ms);
        pace.done = pace.done.saturating_add(1);
        let known = self.touch_app(app);
        known.runtimes.add(runtime_ms);
        known.turnarounds.add(turnaround_ms);
    }

    /// A replica did not come to a commit; `lost_ms` is how long it could have taken.
    pub fn failed(&mut self, worker: WorkerIdx, app: Digest, lost_ms: u64) {
        let pace = self.touch(worker, app);
        pace.turnaround_ms = averaged(pace.done + pace.failed, pace.turnaround_ms, lost_ms);
        pace.failed = pace.failed.saturating_add(1);
    }

    /// What is known of a worker with an application.
    pub fn pace(&self, worker: WorkerIdx, app: Digest) -> Option<&Pace> {
        self.pairs.get(&(worker, app))
    }

    /// What is known of a worker, by application.
    pub fn paces(&self, worker: WorkerIdx) -> impl Iterator<Item = (Digest, &Pace)> {
        let (from, to) = ((worker, Digest::ZERO), (WorkerIdx(worker.0 + 1), Digest::ZERO));
        self.pairs.range(from..to).map(|((_, app), pace)| (*app, pace))
    }

    /// The median runtime of an application, in milliseconds, once a few are known.
    pub fn runtime_ms(&self, app: Digest) -> Option<u64> {
        self.apps.get(&app)?.runtimes.is
    }

    /// The median turnaround of an application, in milliseconds, once a few are known.
    pub fn turnaround_ms(&self, app: Digest) -> Option<u64> {
        self.apps.get(&app)?.turnarounds.is
    }

    /// Whether a worker is known to be no slower with an application than most.
    pub fn is_fast(&self, worker: WorkerIdx, app: Digest) -> bool {
        let pace = self.pace(worker, app).filter(|pace| pace.done > 0);
        let (Some(pace), Some(median)) = (pace, self.turnaround_ms(app)) else { return false };
        pace.turnaround_ms <= median
    }

    fn touch(&mut self, worker: WorkerIdx, app: Digest) -> &mut Pace {
        self.uses += 1;
        let pair = (worker, app);
        let pace = self.pairs.entry(pair).or_default();
        if pace.used == 0 || self.uses - pace.used > STALE_USES {
            self.pairs_by_use.remove(&(pace.used, pair));
            pace.used = self.uses;
            self.pairs_by_use.insert((pace.used, pair));
        }
        if self.pairs_by_use.len() > PAIRS_MAX
            && let Some((_, oldest)) = self.pairs_by_use.pop_first()
        {
            self.pairs.remove(&oldest);
        }
        self.pairs.entry(pair).or_default()
    }

    fn touch_app(&mut self, app: Digest) -> &mut App {
        let known = self.apps.entry(app).or_default();
        if known.used == 0 || self.uses - known.used > STALE_USES / 64 {
            self.apps_by_use.remove(&(known.used, app));
            known.used = self.uses;
            self.apps_by_use.insert((known.used, app));
        }
        if self.apps_by_use.len() > APPS_MAX
            && let Some((_, oldest)) = self.apps_by_use.pop_first()
        {
            self.apps.remove(&oldest);
        }
        self.apps.entry(app).or_default()
    }
}

impl Median {
    fn add(&mut self, value: u64) {
        if self.last.len() == RUNS
            && let Some(oldest) = self.last.pop_front()
        {
            let at = self.sorted.partition_point(|known| *known < oldest);
            self.sorted.remove(at);
        }
        self.last.push_back(value);
        let at = self.sorted.partition_point(|known| *known < value);
        self.sorted.insert(at, value);
        let median = self.sorted.get(self.sorted.len() / 2).copied();
        self.is = median.filter(|_| self.sorted.len() >= RUNS_LEAST);
    }
}

fn averaged(count: u32, old: u64, new: u64) -> u64 {
    if count == 0 {
        new
    } else {
        (old.saturating_mul(7)).saturating_add(new.saturating_mul(3)) / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(n: u32) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    #[test]
    fn averages_follow_what_comes() {
        let mut timings = Timings::default();
        let worker = WorkerIdx(1);
        for ms in [1_000, 2_000, 2_000] {
            timings.done(worker, app(0), ms / 2, ms);
        }
        let pace = timings.pace(worker, app(0)).expect("it is known");
        assert_eq!((pace.runtime_ms, pace.turnaround_ms, pace.done), (755, 1_510, 3));
        timings.failed(worker, app(0), 60_000);
        let pace = timings.pace(worker, app(0)).expect("it is known");
        assert_eq!((pace.runtime_ms, pace.turnaround_ms, pace.failed), (755, 19_057, 1));
        assert!(!timings.is_fast(worker, app(0)), "who loses replicas is not fast");
    }

    #[test]
    fn a_median_needs_three_and_forgets() {
        let mut timings = Timings::default();
        let mut medians = Vec::new();
        for ms in [100, 900, 200] {
            timings.done(WorkerIdx(1), app(0), ms, ms);
            medians.push(timings.turnaround_ms(app(0)));
        }
        assert_eq!(medians, [None, None, Some(200)]);
        (0..31).for_each(|_| timings.done(WorkerIdx(1), app(0), 7, 7));
        assert_eq!(timings.runtime_ms(app(0)), Some(7));
    }

    #[test]
    fn fast_is_who_is_known_to_be() {
        let mut timings = Timings::default();
        for (worker, ms) in [(1, 100), (2, 200), (3, 300)] {
            timings.done(WorkerIdx(worker), app(0), ms, ms);
        }
        let fast = (1..=4).map(|worker| timings.is_fast(WorkerIdx(worker), app(0)));
        assert_eq!(fast.collect::<Vec<_>>(), [true, true, false, false]);
    }

    #[test]
    fn what_was_used_longest_ago_is_forgotten() {
        let mut timings = Timings::default();
        let worker = |n: usize| WorkerIdx(u32::try_from(n).expect("small"));
        for n in 0..=PAIRS_MAX {
            timings.done(worker(n), app(0), 1, 1);
            timings.done(worker(0), app(0), 1, 1);
        }
        assert_eq!(timings.pairs.len(), PAIRS_MAX);
        assert!(timings.pace(worker(0), app(0)).is_some(), "it was used all the time");
        assert!(timings.pace(worker(1), app(0)).is_none(), "it was used once");
        for n in 0..=1_024 {
            timings.done(worker(0), app(n), 1, 1);
        }
        assert_eq!(timings.apps.len(), APPS_MAX);
        assert_eq!(timings.paces(worker(0)).count(), 1_025);
    }
}
