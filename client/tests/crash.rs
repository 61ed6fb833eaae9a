//! `kill -9`, with the real programs on a real node (`QUORATE_ANVIL` names the binary): the scheduler
//! twenty times while it works on one bag, and every worker once, at random moments. Then every task
//! has ended once and is paid once, to the last unit, nobody who was promised something is forgotten,
//! and the results are those of a market that nobody disturbed.
//!
//! The seed is printed; `QUORATE_CRASH_SEED` plays its pauses again.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[path = "market/anvil.rs"]
mod anvil;
#[path = "crash/chaos.rs"]
mod chaos;
#[path = "crash/dice.rs"]
mod dice;
#[path = "crash/evidence.rs"]
mod evidence;
#[path = "market/home.rs"]
mod home;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/operator.rs"]
mod operator;
#[path = "market/patience.rs"]
mod patience;
#[path = "crash/promises.rs"]
mod promises;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/requester.rs"]
mod requester;
#[path = "market/site.rs"]
mod site;
#[path = "crash/stage.rs"]
mod stage;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;

use anvil::{Anvil, WINDOW_S};
use dice::Dice;
use evidence::Evidence;
use operator::UNIT_PRICE;
use requester::amount;
use site::Site;
use stage::Stage;
use std::fs;

/// Batches of a few tasks, closed after a second; leases so short that a worker that is away over two
/// restarts is replaced.
const SETTINGS: [&str; 4] =
    ["batch.tasks=16", "batch.age_s=1", "grid.lease_ms=1000", "pool.scheduler_ratio=10"];
/// Slots of the workers that are killed.
const CROWD: [&str; 6] = ["1", "1", "1", "1", "2", "2"];
/// Slots of those that are not.
const CALM: [&str; 5] = ["1", "1", "1", "1", "1"];
/// Tasks in the bag.
const TASKS: usize = 160;

#[tokio::test]
async fn killed_at_random_moments_a_market_loses_nothing() {
    let mut dice = Dice::new();
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let bag = bag();

    // The two share machine and chain, and nothing else.
    let (mut stage, calm) = tokio::join!(
        Stage::set(&site, &anvil, "crash", &SETTINGS, &CROWD),
        Stage::set(&site, &anvil, "calm", &SETTINGS, &CALM),
    );
    let order = tokio::join!(disturbed(&mut stage, &bag, &mut dice), undisturbed(&calm, &bag)).0;
    assert_eq!(stage.results().len(), TASKS);
    assert_eq!(stage.results(), calm.results(), "results differ from an undisturbed run's");

    every_task_ended_once(&stage, &order).await;
    let evidence = Evidence::read(&stage.operator).await;
    everything_is_paid_once(&stage, &anvil, &evidence).await;
    nobody_is_forgotten(&mut stage, &evidence).await;
}

/// Runs the bag while everybody is killed. Returns the order's id.
async fn disturbed(stage: &mut Stage, bag: &str, dice: &mut Dice) -> String {
    let (running, order) = stage.order(bag).await;
    chaos::play(stage, order.parse().unwrap(), dice).await;
    assert_eq!(running.code().await, 0, "{}", stage.requester.home.said());
    order
}

async fn undisturbed(stage: &Stage, bag: &str) {
    let (running, _) = stage.order(bag).await;
    assert_eq!(running.code().await, 0, "{}", stage.requester.home.said());
}

/// Prime exponents that take a worker some ten milliseconds each, one a line.
fn bag() -> String {
    let is_prime = |n: &u32| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    let primes = (2_000..).filter(is_prime).step_by(2).take(TASKS);
    primes.map(|prime| format!("{prime}\n")).collect()
}

async fn every_task_ended_once(stage: &Stage, order: &str) {
    let shown = stage.requester.run(&["order", "show", order, "--json"]).await.expect(0).json();
    for field in ["tasks", "settled", "accepted"] {
        assert_eq!(shown[field], TASKS, "{field}: {shown}");
    }
    assert_eq!(shown["phase"], "done", "{shown}");
    assert_eq!(amount(&shown["spent"]), UNIT_PRICE * TASKS as u128);
    assert_eq!(amount(&shown["refunded"]), 0);
    let report = stage.requester.run(&["verify", "out", "--json"]).await.expect(0).json();
    assert_eq!((&report["receipts"], &report["accepted"]), (&TASKS.into(), &TASKS.into()));
    assert_eq!(report["dissents"], 0, "{report}");
}

async fn everything_is_paid_once(stage: &Stage, anvil: &Anvil, evidence: &Evidence) {
    let price = UNIT_PRICE * TASKS as u128;
    assert!(evidence.tasks.keys().copied().eq(0..TASKS as u32), "each task is in one batch");
    let (payout, fees) = (evidence.sum(|header| header.payout), evidence.sum(|header| header.fees));
    assert_eq!(evidence.sum(|header| header.slashed), 0, "to be killed is no fault");
    assert_eq!(payout + fees, price);
    let deals: Vec<_> = evidence.books.deals().collect();
    let [(_, deal)] = deals[..] else { panic!("there is one deal: {deals:?}") };
    let settled = deal.account.settled_count as usize;
    assert_eq!((deal.account.spent, deal.account.refunded, settled), (price, 0, TASKS));
    for (idx, (batch, task)) in &evidence.tasks {
        let receipt = stage.requester.receipt("out", *idx);
        assert_eq!(receipt.rec, task.rec, "the receipt of task {idx} is the evidence's");
        assert_eq!(receipt.header.index, *batch);
    }

    anvil.chain().warp(WINDOW_S).await.unwrap();
    stage.operator.batches_are("final").await;
    let mut paid = 0;
    for volunteer in &stage.volunteers {
        let before = stage.operator.tokens_of(&volunteer.owner).await;
        volunteer.run(&["claim"]).await.expect(0);
        let got = stage.operator.tokens_of(&volunteer.owner).await - before;
        assert_eq!(got, evidence.earned(volunteer.worker), "{volunteer:?}");
        paid += got;
    }
    assert_eq!((paid, stage.operator.free().await), (payout, fees));
    let money = stage.operator.money().await;
    assert_eq!((money.locked, money.owed, money.unapplied), (0, 0, 0), "{money:?}");
    stage.requester.run(&["order", "refund", &stage.requester.newest().await]).await.expect(3);
}

async fn nobody_is_forgotten(stage: &mut Stage, evidence: &Evidence) {
    for volunteer in &mut stage.volunteers {
        assert_eq!(volunteer.end("TERM").await, 0);
        let status = volunteer.status().await;
        assert_eq!((&status["broken"], &status["ended"]), (&().into(), &().into()), "{status}");
        let earned = evidence.earned(volunteer.worker);
        let counted = status["view"]["totals"]["earned"].as_u64().map_or(0, u128::from);
        eprintln!(
            "worker {}: earned {earned}, counted {counted}; still kept: {}",
            volunteer.worker, status["view"]["jobs"]
        );
        assert!(counted <= earned, "it may miss what came of a vote, and never makes it up");
        let kept = fs::read_dir(volunteer.home.path().join("worker/evidence"));
        assert_eq!(kept.map_or(0, Iterator::count), 0, "nothing to accuse the scheduler of");
        let said = volunteer.home.said();
        let trouble: Vec<&str> = said
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
            .collect();
        assert!(trouble.is_empty(), "{trouble:#?}");
    }
    let promises = promises::are_kept(&stage.volunteers, evidence);
    eprintln!("{promises} acknowledgements, all kept");
    assert!(promises >= 4 * TASKS, "a task takes two commits and two reveals at least");
    let said = stage.operator.home.said();
    let trouble: Vec<&str> =
        said.lines().filter(|line| line.contains(" ERROR ") || line.contains("panicked")).collect();
    assert!(trouble.is_empty(), "{trouble:#?}");
}
