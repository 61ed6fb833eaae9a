//! A pool whose scheduler is gone for good after its workers have voted and before anything was settled: by
//! commands alone, and by what they and the chain have kept, the workers are paid.

use super::{
    anvil::{Anvil, WINDOW_S},
    operator::UNIT_PRICE,
    patience::until,
    requester::amount,
    site::Site,
    stage::{Stage, TASKS},
};
use quorate_chain::settlement::PoolState;
use serde_json::Value;
use std::time::Duration;

/// No batch is closed by itself.
const SETTINGS: [&str; 3] = ["batch.tasks=1000", "batch.age_s=86400", "pool.scheduler_ratio=10"];
const PATIENCE: Duration = Duration::from_secs(60);
const DAY_S: u64 = 24 * 3600;
/// The deal's deadline, and the time a pool has after it.
const NEGLECTED_S: u64 = (3 + 7) * DAY_S + 60;

/// Tasks of a document with this outcome.
fn count(document: &Value, act: &str, outcome: &str) -> usize {
    let tasks = document["tasks"].as_array().unwrap().iter();
    tasks.filter(|task| task["act"] == act && task["outcome"] == outcome).count()
}

#[tokio::test]
async fn a_pool_is_gone_for_good_and_its_workers_are_paid() {
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let mut stage = Stage::with(&site, &anvil, "", &SETTINGS).await;
    stage.place("bag").await;
    let order = stage.requester.newest().await;
    until("every task to be over", PATIENCE, async || {
        let order = stage.operator.get(&format!("/v1/orders/{order}")).await;
        (order["accepted"] == TASKS).then_some(())
    })
    .await;
    stage.operator.kill().await;
    for volunteer in &mut stage.volunteers {
        volunteer.kill().await;
    }

    // Nobody is paid before the pool has had its time.
    let neglect = ["neglect", "--json"];
    stage.volunteers[0].run(&neglect).await.refused(8, &["TooEarly", "nothing was sent"]);
    let claim = ["claim-abandoned", "--json"];
    stage.volunteers[0].run(&claim).await.refused(8, &["TooEarly"]);
    stage.volunteers[0].run(&["settle", "--json"]).await.refused(8, &["PoolLive"]);
    anvil.chain().warp(NEGLECTED_S).await.unwrap();
    the_pool_is_ended(&stage).await;

    let mut standby = 0;
    for volunteer in &stage.volunteers[..2] {
        let dry = volunteer.run(&["claim-abandoned", "--dry-run", "--json"]).await.expect(0).json();
        let paid = volunteer.run(&claim).await.expect(0).json();
        assert_eq!(count(&dry, "claim", "would"), count(&paid, "claim", "done"));
        assert_eq!((&dry["paid"], &dry["dry_run"]), (&paid["paid"], &true.into()));
        let fee = UNIT_PRICE * 30 / 100;
        assert_eq!(amount(&paid["paid"]), fee * count(&paid, "claim", "done") as u128);
        standby += amount(&paid["paid"]);
        volunteer.run(&claim).await.refused(8, &["PaidBefore"]);
    }
    assert!(standby > 0 && standby <= stage.bond / 10);

    let mut shown = 0;
    for volunteer in &stage.volunteers {
        let said = volunteer.run(&["settle", "--json"]).await.expect(0).json();
        shown += count(&said, "show", "done");
    }
    assert!(shown >= 2 * TASKS as usize, "{shown} votes shown");
    anvil.chain().warp(WINDOW_S + 3 * DAY_S + 60).await.unwrap();
    let settled = on_chain(&stage, &["pool", "settle", "1", "--json"]).await.expect(0).json();
    // The scheduler decided its last tasks by scores that no final batch has: here they are earned again.
    assert_eq!(count(&settled, "settle", "done"), TASKS as usize, "{settled}");

    // Winners have nine tenths of each price, whichever way it came; who stood by has his fee besides.
    let settled = amount(&settled["paid"]);
    let mut free = 0;
    for volunteer in &stage.volunteers {
        free += stage.settlement.free_of(volunteer.owner.parse().unwrap()).await.unwrap();
    }
    assert_eq!(free, standby + settled);
    let dust = u128::from(TASKS) * 15;
    assert!(free + dust >= UNIT_PRICE * u128::from(TASKS) * 9 / 10, "{free}");
    stage.nobody_else_loses().await;
    let again = stage.volunteers[3].run(&["settle"]).await.expect(0);
    assert!(again.out.contains("done before"), "{again}");
}

/// Anybody may, with what some worker has kept.
async fn the_pool_is_ended(stage: &Stage) {
    let words = stage.volunteers[1].home.path().join("worker/words").display().to_string();
    let neglect = ["pool", "neglect", "1", "--words", &words, "--json"];
    let dry = on_chain(stage, &[&neglect[..], &["--dry-run"]].concat()).await.expect(0).json();
    assert_eq!(count(&dry, "neglect", "would"), 1, "{dry}");
    let state = async || stage.settlement.pool(quorate_common::ids::PoolId(1)).await.unwrap().state;
    assert_eq!(state().await, PoolState::Live, "a dry run sends nothing");
    let done = on_chain(stage, &neglect).await.expect(0).json();
    assert_eq!(count(&done, "neglect", "done"), 1, "{done}");
    assert!(matches!(state().await, PoolState::Abandoned(_)));
    let none = ["pool", "neglect", "1", "--words", "nowhere", "--json"];
    on_chain(stage, &none).await.refused(3, &["no word in --words"]);
}

/// The requester's program, told which chain and contract, since no scheduler is there to say it.
async fn on_chain(stage: &Stage, args: &[&str]) -> super::home::Ran {
    let contract = format!("chain.contract={}", stage.operator.contract);
    let set = ["--set", "chain.id=31337", "--set", &contract];
    stage.requester.run(&[args, &set].concat()).await
}
