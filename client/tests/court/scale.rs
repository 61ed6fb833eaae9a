//! Many random batches, each in a thread's own chain.

use super::{
    arena::Arena,
    batch::{Batch, Times},
    dice::Dice,
    lies::Told,
    random::{self, Kind},
    round::Figures,
};
use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Batches, and the first one's seed: the next one's is one more.
const BATCHES: &str = "QUORATE_BATCHES";
const SEED: &str = "QUORATE_SEED";
const TASKS: usize = 200;
const LIES: usize = 4;

#[derive(Default)]
struct Report {
    figures: Figures,
    told: Told,
    times: Times,
    started: Duration,
    failures: Vec<String>,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// The whole of it; see `court.rs`.
pub(crate) fn run() {
    let batches = number(BATCHES, 100);
    let seed = number(SEED, 1);
    let (next, report) = (AtomicU64::new(0), Mutex::new(Report::default()));
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&next, batches, seed, &report));
        }
    });
    let report = report.into_inner().unwrap();
    let told: u64 = report.told.values().sum();
    let tasks = batches * TASKS as u64;
    println!(
        "{SEED}={seed} {BATCHES}={batches}: {tasks} tasks, {told} mutations of {} kinds, {} s",
        report.told.len(),
        begun.elapsed().as_secs()
    );
    println!("{:?}", report.figures);
    println!("{:?}, chains {:?}, {threads} threads", report.times, report.started);
    println!("{:?}", report.told);
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
}

fn work(next: &AtomicU64, batches: u64, seed: u64, report: &Mutex<Report>) {
    let begun = Instant::now();
    let mut arena = Arena::start();
    let pool = arena.pool();
    arena.foreign = Some(random::deals(&arena, &pool, Kind::Plain, &mut Dice::new(0))[0].id);
    report.lock().unwrap().started += begun.elapsed();
    loop {
        let batch = next.fetch_add(1, Ordering::Relaxed);
        if batch >= batches || report.lock().unwrap().failures.len() > 5 {
            return;
        }
        let seed = seed + batch;
        // A panic does not say by itself what brings it back.
        let again = format!("{SEED}={seed} {BATCHES}=1");
        let one = panic::catch_unwind(AssertUnwindSafe(|| one(&mut arena, seed)));
        let one = one.unwrap_or_else(|_| panic!("again: {again}"));
        let mut report = report.lock().unwrap();
        report.figures.add(&one.figures);
        report.times.add(&one.times);
        for (name, times) in one.told {
            *report.told.entry(name).or_default() += times;
        }
        report.failures.extend(one.failures.iter().map(|why| format!("{again}: {why}")));
    }
}

fn one(arena: &mut Arena, seed: u64) -> Report {
    let mut report = Report::default();
    let (mut dice, begun) = (Dice::new(seed), Instant::now());
    let batch = Batch::new(arena, TASKS, &mut dice);
    report.figures = batch.figures;
    report.times.made = begun.elapsed();
    let begun = Instant::now();
    let lied = batch.lie(LIES, &mut dice, &mut report.told);
    report.times.lied = begun.elapsed();
    report.failures.extend(lied.err());
    report.failures.extend(batch.judge(&mut report.times).err());
    report
}
