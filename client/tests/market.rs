//! The separate programs, run as an operator, volunteers and a requester run them, against a real
//! node (`QUORATE_ANVIL` names the binary; without it the test says so and ends): one story from the
//! first `init` to the last claim. What each command says is looked at as its user would: exit code,
//! words, JSON. Crashes are `crash.rs`, rules are the grid's tests.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[path = "market/anvil.rs"]
mod anvil;
#[path = "market/ending.rs"]
mod ending;
#[path = "market/home.rs"]
mod home;
#[path = "market/joining.rs"]
mod joining;
#[path = "market/opening.rs"]
mod opening;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/operator.rs"]
mod operator;
#[path = "market/ordering.rs"]
mod ordering;
#[path = "market/patience.rs"]
mod patience;
#[path = "market/paying.rs"]
mod paying;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/requester.rs"]
mod requester;
#[path = "market/selling.rs"]
mod selling;
#[path = "market/site.rs"]
mod site;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;

use anvil::Anvil;
use operator::Operator;
use requester::Requester;
use site::Site;
use volunteer::Volunteer;

/// Exponents the requester has tested: prime ones, so that the test says which are Mersenne's.
const EXPONENTS: &str =
    "2\n3\n5\n7\n11\n13\n17\n19\n23\n29\n31\n37\n61\n67\n89\n101\n107\n127\n521\n";
/// Those of them that are.
const MERSENNE: [&str; 13] =
    ["2", "3", "5", "7", "13", "17", "19", "31", "61", "89", "107", "127", "521"];
/// Batches close after a second, so that receipts come soon; a worker that is away for a second and
/// a half is replaced.
const SETTINGS: [&str; 3] = ["batch.age_s=1", "grid.lease_ms=1500", "pool.scheduler_ratio=10"];

#[tokio::test]
async fn a_market_of_separate_programs() {
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let mut operator = Operator::init(&site, &anvil, "operator", &SETTINGS).await;
    opening::configuration_is_layered(&operator).await;
    opening::start_is_refused_in_words(&site, &operator).await;
    operator.serve().await;
    let invite = opening::doors_are_open(&operator, &anvil).await;

    let mut volunteers: Vec<Volunteer> =
        (1..=4).map(|n| Volunteer::new(&site, &format!("volunteer-{n}"))).collect();
    joining::joining_is_refused_in_words(&volunteers[0]).await;
    volunteers[0].join(&operator, &invite, "1").await;
    volunteers[0].start();
    for volunteer in &mut volunteers[1..] {
        volunteer.join_with_key(&operator, &anvil, &invite, &["--slots", "1"]).await;
        volunteer.start();
    }
    operator.has_workers(volunteers.len()).await;
    joining::workers_show_themselves(&volunteers).await;

    let requester = Requester::new(&site, &operator, "requester", &anvil.url).await;
    ordering::wallet_holds_money(&requester).await;
    ordering::orders_are_refused_in_words(&requester, &operator).await;
    let order = ordering::primes_are_found(&requester).await;
    ordering::orders_are_shown(&requester, &order).await;
    ordering::folders_are_verified(&requester, &operator, &anvil).await;
    ordering::one_task_is_printed(&requester).await;
    let market = selling::goods_are_sold(&site, &operator, &anvil, &requester).await;
    let failed = ordering::too_much_is_asked_for(&requester).await;

    ending::programs_end_and_go_on(&mut operator, &mut volunteers, &requester).await;
    paying::money_is_paid_out(&operator, &anvil, &volunteers, &requester, &failed).await;
    selling::owners_are_paid(&market).await;
    for volunteer in &mut volunteers {
        assert_eq!(volunteer.end("TERM").await, 0);
    }
    assert_eq!(operator.end("INT").await, 0);
}
