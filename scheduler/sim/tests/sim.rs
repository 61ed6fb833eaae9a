//! What CI runs of the simulator: many seeds, the kept ones, and five mistakes, others each time.

use quorate_sim::{
    bugs,
    cli::{self, Speed},
    plan::PATIENT,
    regress,
    run::{self, Order},
    tally::ENOUGH_SEEDS,
};
use std::time::Instant;

#[test]
fn five_hundred_seeds_keep_every_law() {
    run::keep_panics();
    let started = Instant::now();
    let threads = cli::threads(None);
    let order = Order { from: 0, seeds: ENOUGH_SEEDS, threads, bug: None, first: false };
    let report = run::run(order, || true, |_| {});
    println!("{}", Speed::of(&report.tally, started.elapsed()).line());
    for (name, count) in report.tally.iter() {
        println!("{count:>10}  {name}");
    }
    assert!(report.failures.is_empty(), "{:#?}; again: cargo sim --seed N", report.failures);
    assert_eq!(report.tally.missing(), Vec::<&str>::new(), "what never happened is not tested");
    assert_eq!(report.seeds, ENOUGH_SEEDS);
}

/// Production's own fifteen minutes for each word on chain, in worlds of their own.
#[test]
fn patient_worlds_keep_every_law() {
    run::keep_panics();
    let order =
        Order { from: PATIENT, seeds: 40, threads: cli::threads(None), bug: None, first: false };
    let report = run::run(order, || true, |_| {});
    assert!(report.failures.is_empty(), "{:#?}; again: cargo sim --seed N", report.failures);
    assert_eq!(report.seeds, order.seeds);
    assert!(
        report.tally.get("act: demand answered") > 0,
        "worlds in which nobody demands prove little"
    );
}

#[test]
fn kept_seeds_stay_right() {
    run::keep_panics();
    let kept = regress::kept().expect("regress/seeds.toml reads");
    assert!(!kept.is_empty(), "seeds that found something are kept");
    for kept in kept {
        let ending = run::seed(kept.seed, false, None);
        assert_eq!(ending.violation, None, "seed {}: {}", kept.seed, kept.why);
    }
}

#[test]
fn a_seed_tells_one_story() {
    let (first, second) = (run::seed(3, true, None), run::seed(3, true, None));
    assert_eq!(first.violation, None);
    assert_eq!(first.story, second.story);
    assert_eq!(first.tally, second.tally);
    assert!(first.story.len() > 1_000, "a story of {} lines", first.story.len());
}

/// `QUORATE_BUGS` plays a draw again, as the message says.
#[test]
fn five_mistakes_are_found() {
    run::keep_panics();
    let told = std::env::var("QUORATE_BUGS").ok().and_then(|number| number.parse().ok());
    let number = told.unwrap_or_else(cli::fresh_draw);
    println!("mistakes of draw {number}; again: QUORATE_BUGS={number}");
    for bug in bugs::draw(number, 5) {
        let found = bugs::hunt(bug, 0, cli::threads(None));
        println!("{}", cli::line(&found));
        assert!(found.by.is_some(), "{} is not found in {} seeds", bug.name(), found.tries);
    }
}
