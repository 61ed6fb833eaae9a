//! The command line: many seeds and what came of them, one seed and its story, mistakes and who found them.

use crate::{
    bugs::{self, Found},
    plan::PATIENT,
    regress,
    run::{self, Failure, Order, Report},
    tally::{ENOUGH_SEEDS, Tally},
};
use clap::Args;
use quorate_common::bug::Bug;
use std::{
    fs,
    process::ExitCode,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Lines of a failing seed's story that are shown.
const TAIL: usize = 40;
/// Seeds between two lines of progress.
const PROGRESS: u64 = 50;
/// Clock ticks a second in `/proc/self/stat`: 100 on every Linux.
const TICKS: u64 = 100;

/// What to run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// How many seeds.
    #[arg(long, default_value_t = ENOUGH_SEEDS)]
    pub seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..PATIENT))]
    pub from: u64,
    /// Only this seed, with its story.
    #[arg(long, conflicts_with_all = ["seeds", "from", "hours"])]
    pub seed: Option<u64>,
    /// Worlds that wait for a chain as long as production does, a quarter of an hour for each word said
    /// there; their tasks may end as much later.
    #[arg(long, conflicts_with = "seed")]
    pub patient: bool,
    /// As many seeds as fit into so many hours: `--hours 8` is a night.
    #[arg(long, conflicts_with = "seeds")]
    pub hours: Option<f64>,
    /// Threads; a thread for each core is the default.
    #[arg(long)]
    pub threads: Option<usize>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Writes failing seeds to `regress/seeds.toml`, which a test runs for ever.
    #[arg(long)]
    pub keep: bool,
}

/// Which mistakes to make.
#[derive(Debug, Args)]
pub struct BugArgs {
    /// Mistakes by name; without, their list.
    pub names: Vec<String>,
    /// Every one.
    #[arg(long)]
    pub all: bool,
    /// Five, drawn from this number.
    #[arg(long)]
    pub five: Option<u64>,
    /// The first seed each is looked for in.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// Threads; a thread for each core is the default.
    #[arg(long)]
    pub threads: Option<usize>,
}

/// Threads to use, unless told.
pub fn threads(told: Option<usize>) -> usize {
    told.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Runs seeds. Fails if one does, or if a long run did not see everything it should.
pub fn run(args: &RunArgs) -> ExitCode {
    if let Some(seed) = args.seed {
        return one(seed, args.json);
    }
    run::keep_panics();
    let started = Instant::now();
    let until = args.hours.map(|hours| started + Duration::from_secs_f64(hours * 3_600.0));
    let from = if args.patient { args.from + PATIENT } else { args.from };
    let seeds = if until.is_some() { u64::MAX - from } else { args.seeds };
    let threads = threads(args.threads);
    let order = Order { from, seeds, threads, bug: None, first: false };
    let go_on = || until.is_none_or(|until| Instant::now() < until);
    let report = run::run(order, go_on, |done| progress(done, started, args.json));
    let speed = Speed::of(&report.tally, started.elapsed());
    if args.json {
        print_json(&report, &speed)
    } else {
        print_report(&report, &speed)
    }
    if args.keep {
        keep(&report.failures);
    }
    let enough = report.seeds >= ENOUGH_SEEDS;
    let missing = if enough { report.tally.missing() } else { Vec::new() };
    for name in &missing {
        eprintln!("never happened: {name}; a fault that does not occur is not tested");
    }
    if report.failures.is_empty() && missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn progress(done: u64, started: Instant, quiet: bool) {
    if !quiet && done.is_multiple_of(PROGRESS) {
        eprintln!("{done} seeds in {} s", started.elapsed().as_secs());
    }
}

/// How fast a run was.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Simulated hours.
    pub hours: f64,
    /// Seconds on the wall.
    pub wall_s: f64,
    /// Seconds of CPU of this whole program, where the system tells.
    pub cpu_s: Option<f64>,
}

impl Speed {
    /// The speed of a run that took `wall`.
    pub fn of(tally: &Tally, wall: Duration) -> Self {
        let hours = tally.get("sum: simulated ms") as f64 / 3_600_000.0;
        Self { hours, wall_s: wall.as_secs_f64(), cpu_s: cpu_s() }
    }

    /// In one line.
    pub fn line(&self) -> String {
        let Self { hours, wall_s, cpu_s } = self;
        let cpu = cpu_s.map_or("no CPU time known".to_owned(), |cpu_s| {
            format!("{cpu_s:.0} s of CPU, {:.2} simulated hours per CPU second", hours / cpu_s)
        });
        format!("{hours:.0} simulated hours in {wall_s:.0} s; {cpu}")
    }
}

/// Seconds of CPU this program has taken.
fn cpu_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses and may hold spaces; the times are 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS as f64)
}

fn print_report(report: &Report, speed: &Speed) {
    for (name, count) in report.tally.iter() {
        println!("{count:>10}  {name}");
    }
    for failure in &report.failures {
        print_failure(failure);
    }
    let (seeds, failed) = (report.seeds, report.failures.len());
    println!("{seeds} seeds, {failed} failed; {}", speed.line());
}

fn print_failure(failure: &Failure) {
    let Failure { seed, violation, at_ms } = failure;
    println!("\nseed {seed} fails after {} s: {}", at_ms / 1_000, violation.law);
    println!("    {}", violation.what);
    let story = run::seed(*seed, true, None).story;
    for line in story.iter().skip(story.len().saturating_sub(TAIL)) {
        println!("{line}");
    }
    println!("again: cargo sim --seed {seed}");
}

fn print_json(report: &Report, speed: &Speed) {
    let failure = |failure: &Failure| {
        serde_json::json!({
            "seed": failure.seed,
            "at_ms": failure.at_ms,
            "law": failure.violation.law,
            "what": failure.violation.what,
        })
    };
    let tally: serde_json::Map<String, serde_json::Value> =
        report.tally.iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    let json = serde_json::json!({
        "seeds": report.seeds,
        "failures": report.failures.iter().map(failure).collect::<Vec<_>>(),
        "tally": tally,
        "simulated_hours": speed.hours,
        "wall_s": speed.wall_s,
        "cpu_s": speed.cpu_s,
    });
    println!("{json}");
}

/// One seed, told from its beginning.
fn one(seed: u64, json: bool) -> ExitCode {
    run::keep_panics();
    let ending = run::seed(seed, true, None);
    for line in ending.story.iter().filter(|_| !json) {
        println!("{line}");
    }
    for (name, count) in ending.tally.iter().filter(|_| !json) {
        println!("{count:>10}  {name}");
    }
    match ending.violation {
        None => {
            println!("seed {seed}: every law held");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("seed {seed}: {}: {}", violation.law, violation.what);
            ExitCode::FAILURE
        }
    }
}

fn keep(failures: &[Failure]) {
    for failure in failures {
        match regress::keep(failure.seed, failure.violation.law) {
            Ok(path) => println!("kept seed {} in {}", failure.seed, path.display()),
            Err(error) => eprintln!("seed {} is not kept: {error}", failure.seed),
        }
    }
}

/// Looks for mistakes. Fails if one is not found.
pub fn bugs(args: &BugArgs) -> ExitCode {
    run::keep_panics();
    let chosen = match choose(args) {
        Ok(chosen) => chosen,
        Err(name) => {
            eprintln!("{name}: no such mistake; `cargo sim bugs` lists them");
            return ExitCode::FAILURE;
        }
    };
    if chosen.is_empty() {
        Bug::ALL.iter().for_each(|bug| println!("{:<18} {}", bug.name(), bug.sentence()));
        return ExitCode::SUCCESS;
    }
    let mut missed = 0;
    for bug in chosen {
        let found = bugs::hunt(bug, args.from, threads(args.threads));
        missed += usize::from(found.by.is_none());
        println!("{}", line(&found));
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A row of the README's table.
pub fn line(found: &Found) -> String {
    let (name, tries) = (found.bug.name(), found.tries);
    match &found.by {
        Some(Failure { seed, violation, .. }) => {
            let what = violation.what.lines().nth(1).unwrap_or("");
            let what = what.split_once(": ").map_or(what, |(what, _)| what);
            let law = if violation.law == run::ASSERTION { what } else { violation.law };
            format!("| {name} | {} | {seed} | {tries} | {law} |", found.bug.sentence())
        }
        None => format!("| {name} | {} | - | {tries} | NOT FOUND |", found.bug.sentence()),
    }
}

fn choose(args: &BugArgs) -> Result<Vec<Bug>, String> {
    if args.all {
        return Ok(Bug::ALL.to_vec());
    }
    if let Some(seed) = args.five {
        return Ok(bugs::draw(seed, 5));
    }
    let find = |name: &String| {
        let found = Bug::ALL.iter().find(|bug| bug.name().eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| name.clone())
    };
    args.names.iter().map(find).collect()
}

/// The second's number: what a test draws its mistakes from, so that each run has others.
#[expect(clippy::disallowed_methods, reason = "which mistakes a run tries depends on when it runs")]
pub fn fresh_draw() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
