//! Many seeds, on every core: what failed, what happened, how fast it was.

use crate::{
    law::Violation,
    tally::Tally,
    world::{Ending, World},
};
use quorate_common::bug::{self, Bug};
use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

/// The law that stands for every assertion in the rules themselves.
pub const ASSERTION: &str = "the rules' own assertions";

thread_local! {
    /// What the last panic of this thread said: rules assert, and an assertion is a law as well.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs one seed.
pub fn seed(seed: u64, told: bool, made: Option<Bug>) -> Ending {
    bug::make(made);
    let caught = panic::catch_unwind(AssertUnwindSafe(|| World::new(seed, told).run()));
    bug::make(None);
    caught.unwrap_or_else(|_| {
        let what = PANIC.take().unwrap_or_else(|| "no message".into());
        let violation = Some(Violation { law: ASSERTION, what });
        Ending { violation, at_ms: 0, tally: Tally::default(), story: Vec::new() }
    })
}

/// Has panics kept instead of printed: in a simulation they are findings.
pub fn keep_panics() {
    panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        PANIC.set(Some(text));
    }));
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// What it broke.
    pub violation: Violation,
    /// When, in milliseconds.
    pub at_ms: u64,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seeds that ran.
    pub seeds: u64,
    /// Those that failed, by number.
    pub failures: Vec<Failure>,
    /// What happened, counted.
    pub tally: Tally,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// On how many threads.
    pub threads: usize,
    /// With which mistake.
    pub bug: Option<Bug>,
    /// Whether to stop at the first failure.
    pub first: bool,
}

/// Runs the seeds of `order`, telling `progress` after each how many are done. `go_on` is asked before each.
pub fn run(order: Order, go_on: impl Fn() -> bool + Sync, progress: impl Fn(u64) + Sync) -> Report {
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let (stop, report) = (AtomicBool::new(false), Mutex::new(Report::default()));
    let work = || {
        while !stop.load(Ordering::Relaxed) && go_on() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= order.seeds {
                return;
            }
            let number = order.from + at;
            let ending = seed(number, false, order.bug);
            if ending.violation.is_some() && order.first {
                stop.store(true, Ordering::Relaxed);
            }
            take(&report, number, ending);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    thread::scope(|scope| {
        for _ in 0..order.threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.failures.sort_by_key(|failure| failure.seed);
    report
}

fn take(report: &Mutex<Report>, seed: u64, ending: Ending) {
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    report.seeds += 1;
    report.tally.merge(&ending.tally);
    if let Some(violation) = ending.violation {
        report.failures.push(Failure { seed, violation, at_ms: ending.at_ms });
    }
}
