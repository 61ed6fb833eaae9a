//! Schedulers that cheat, each in its own way, with the real programs on a real node (`QUORATE_ANVIL`
//! names the binary; without it the tests say so and end): a pool that was built to misbehave, workers
//! with stakes, a requester, and `quorate watch`, which must find it alone. Then the pool's bond is
//! seized, the requester gets back what was not spent, and no worker has lost anything.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[path = "byzantine/abandoned.rs"]
mod abandoned;
#[path = "market/anvil.rs"]
mod anvil;
#[path = "byzantine/chain.rs"]
mod chain;
#[path = "market/home.rs"]
mod home;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/operator.rs"]
mod operator;
#[path = "market/patience.rs"]
mod patience;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/requester.rs"]
mod requester;
#[path = "market/site.rs"]
mod site;
#[path = "byzantine/stage.rs"]
mod stage;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;
#[path = "byzantine/watcher.rs"]
mod watcher;

use anvil::{Anvil, WINDOW_S};
use quorate_common::ids::PoolId;
use site::Site;
use stage::{Stage, TASKS};
use watcher::Watcher;

/// What the pool does, the first batch it does it in, and the proof that convicts it.
async fn a_pool_is_convicted(misdeed: &str, proof: &str) {
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let stage = Stage::set(&site, &anvil, misdeed).await;
    let mut watcher = Watcher::start(&site, &stage, &anvil).await;
    stage.order("bag").await;
    watcher.hears("fraud", proof).await;
    watcher.proves(&anvil, proof).await;
    let money = stage.is_convicted().await;
    stage.nobody_else_loses().await;
    watcher.is_paid(&stage, &anvil, money.bond / 4).await;
    stage.requester_is_refunded(&anvil, TASKS).await;
    // Nothing was said of a pool that is not there, and nothing twice.
    assert_eq!(watcher.count("fraud"), 1, "{}", watcher.out());
    watcher.end().await;
}

#[tokio::test]
async fn a_dropped_vote() {
    a_pool_is_convicted("drop-votes", "an omitted commit").await;
}

#[tokio::test]
async fn a_late_vote() {
    a_pool_is_convicted("late-vote", "a step").await;
}

#[tokio::test]
async fn two_headers() {
    a_pool_is_convicted("two-headers", "two headers").await;
}

#[tokio::test]
async fn a_friend_is_paid() {
    a_pool_is_convicted("pay-friend", "a step").await;
}

#[tokio::test]
async fn a_task_is_settled_twice() {
    a_pool_is_convicted("settle-twice", "a step").await;
}

/// A scheduler that has gone wrong, by a mistake or a bad disk, finds out before anybody else: it stops
/// before it has signed what would cost it its bond. Nothing is lost by it: one that is in order takes the
/// same batch up, and everybody is paid.
#[tokio::test]
async fn nothing_that_is_provably_wrong_is_signed() {
    for misdeed in ["late-vote!", "pay-friend!", "settle-twice!"] {
        let site = Site::new();
        let Some(anvil) = Anvil::start(&site).await else { return };
        let mut stage = Stage::set(&site, &anvil, misdeed).await;
        stage.place("bag").await;
        assert_eq!(stage.operator.ends().await, 128 + 6, "{misdeed}: aborted");
        let said = stage.operator.home.said();
        assert!(said.contains("the check of our own batch failed"), "{misdeed}: {said}");
        let pool = stage.settlement.pool(PoolId(1)).await.unwrap();
        assert_eq!(pool.head, 0, "{misdeed}: something is on chain");
        let batches = stage.operator.home.path().join("pool/batches");
        let sealed = std::fs::read_dir(batches).map_or(0, Iterator::count);
        assert_eq!(sealed, 0, "{misdeed}: something is signed");

        stage.operator.home =
            stage.operator.home.clone().with("QUORATE_MISBEHAVE", "two-headers@99!");
        stage.operator.serve().await;
        stage.operator.batches_are("committed").await;
        anvil.chain().warp(WINDOW_S).await.unwrap();
        stage.operator.batches_are("final").await;
        stage.operator.has_workers(4).await;
        stage.workers_are_paid().await;
        stage.nobody_else_loses().await;
    }
}

/// A pool of an honest past: what became final stays its workers', and the watcher, killed in between,
/// takes up its books where they were.
#[tokio::test]
async fn what_was_final_before_stays_final() {
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let mut stage = Stage::set(&site, &anvil, "settle-twice@2").await;
    let mut watcher = Watcher::start(&site, &stage, &anvil).await;
    stage.order("first").await;
    watcher.hears("checked", "20 tasks, ok").await;
    watcher.end().await;
    let said = watcher.once(&[]).await.expect(0);
    assert!(!said.out.contains("fraud"), "{said}");
    anvil.chain().warp(WINDOW_S).await.unwrap();
    stage.operator.batches_are("final").await;
    stage.workers_keep_tickets().await;

    stage.order("second").await;
    watcher.once(&["--dry-run"]).await.expect(10);
    assert!(stage.is_live().await, "a dry run sends nothing");
    watcher.kill_after_announcing().await;
    watcher.go_on();
    watcher.proves(&anvil, "a step").await;
    stage.is_convicted().await;
    stage.nobody_else_loses().await;
    // The scheduler is gone for good; what is on the workers' own disks suffices.
    stage.operator.kill().await;
    stage.workers_are_paid().await;
}

/// Evidence nobody has is asked for on chain, and silence is fraud.
#[tokio::test]
async fn evidence_is_withheld() {
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let stage = Stage::set(&site, &anvil, "withhold").await;
    let mut watcher = Watcher::start(&site, &stage, &anvil).await;
    stage.order("bag").await;
    watcher.hears("missing", "evidence").await;
    watcher.hears("asked", "asked for task").await;
    anvil.chain().warp(24 * 3600 + 1).await.unwrap();
    watcher.hears("proven", "a silence").await;
    let money = stage.is_convicted().await;
    stage.nobody_else_loses().await;
    watcher.is_paid(&stage, &anvil, money.bond / 4).await;
    stage.requester_is_refunded(&anvil, TASKS).await;
    watcher.end().await;
}

/// Whoever answers every ask, and shows nobody else anything, is asked for everything.
#[tokio::test]
async fn evidence_is_shown_only_where_it_is_asked_for() {
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let stage = Stage::set(&site, &anvil, "show-bits").await;
    let mut watcher = Watcher::start(&site, &stage, &anvil).await;
    stage.order("bag").await;
    watcher.hears("shown", &format!("{TASKS} of {TASKS} tasks")).await;
    watcher.proves(&anvil, "a step").await;
    stage.is_convicted().await;
    stage.nobody_else_loses().await;
    watcher.end().await;
}

/// The same eyes on an honest pool.
#[tokio::test]
async fn an_honest_pool_is_never_accused() {
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let stage = Stage::set(&site, &anvil, "").await;
    let mut watcher = Watcher::start(&site, &stage, &anvil).await;
    stage.order("one").await;
    stage.order("two").await;
    watcher.hears_of_batch("checked", 2).await;
    watcher.end().await;
    stage.shows_when_asked(&anvil, 2, TASKS - 1).await;
    for event in ["fraud", "wrong", "announced", "asked"] {
        assert_eq!(watcher.count(event), 0, "{}", watcher.out());
    }
    assert!(stage.is_live().await);
    let batch = stage.operator.get("/v1/batches/2").await;
    assert_eq!(
        (&batch["schema"], &batch["header"]["index"]),
        (&"quorate.batch/v1".into(), &2.into())
    );
    assert!(batch["opening"].is_object() && batch["seal"]["sets"].is_array(), "{batch}");
    assert_eq!(stage.operator.get("/v1/batches/3").await["error"]["code"], "not_found");
    let described = stage.operator.get("/openapi.json").await;
    assert!(described["paths"]["/v1/batches/{index}"].is_object(), "{described}");
    // A batch is said to be checked before its signatures are fetched.
    watcher.once(&[]).await.expect(0);
    // Everything is in the mirror by now: nobody is asked for it again.
    let said = watcher.once(&["--evidence", "http://127.0.0.1:1"]).await.expect(0);
    assert_eq!(said.out, "", "{said}");
    // It watches for as long as it is told to.
    watcher.watches_for("1s").await.refused(5, &["as long as --timeout says"]);
}
