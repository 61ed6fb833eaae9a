//! Volunteers without a single coin, as they would begin: a pool that pays registers one of them, gives it its first
//! stake, has its earnings become more of it, pays its claims and its way out; and stops where its operator has said,
//! in words. The second joins in a browser; and everybody is asked why nothing happens. (`QUORATE_ANVIL` names the node's binary; without it the test says so and ends.)
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[path = "market/anvil.rs"]
mod anvil;
#[path = "sponsor/browser.rs"]
mod browser;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/home.rs"]
mod home;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/operator.rs"]
mod operator;
#[path = "../../worker/tests/support/browser.rs"]
mod page;
#[path = "market/patience.rs"]
mod patience;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/requester.rs"]
mod requester;
#[path = "market/site.rs"]
mod site;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;
#[path = "sponsor/why.rs"]
mod why;

use anvil::{Anvil, WINDOW_S};
use operator::{Operator, UNIT_PRICE};
use quorate_chain::U256;
use requester::{Requester, amount};
use serde_json::Value;
use site::Site;
use volunteer::Volunteer;

/// Half of what one slot's stake should be: 16 votes at 30 % of the price.
const ADVANCE: u128 = UNIT_PRICE * 30 / 100 * 8;
/// Longest wait for a process that was left behind to begin.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
/// A charity, or whoever the operator named.
const DONATION: &str = "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a";

#[tokio::test]
async fn nobody_needs_coins_to_begin() {
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let (advance, donation) =
        (format!("sponsor.advance={ADVANCE}"), format!("sponsor.donation={DONATION}"));
    let settings = ["batch.age_s=1", "sponsor.gas=on", &advance, &donation];
    let mut operator = Operator::init(&site, &anvil, "operator", &settings).await;
    operator.pay_tokens(operator.gas_account(), "1 QTT").await;
    operator.serve().await;
    let invite = operator.invite().await;

    let mut volunteer = begins(&site, &operator, &anvil, &invite).await;
    works(&site, &operator, &anvil, "requester").await;
    assert_eq!(volunteer.end("TERM").await, 0);
    earns_a_stake(&operator, &anvil, &volunteer).await;
    leaves(&operator, &anvil, &volunteer).await;
    joins_in_a_browser(&site, &operator, &anvil, &invite).await;
    limits_are_told(&site, &mut operator, &invite).await;
}

/// From nothing to a worker at work, without a transaction of its own but those the pool gave it gas for.
async fn begins(site: &Site, operator: &Operator, anvil: &Anvil, invite: &str) -> Volunteer {
    let mut volunteer = Volunteer::new(site, "newcomer");
    let join = ["--json", "join", invite, "--slots", "1", "--donate"];
    let ran = volunteer.run(&join).await.expect(0);
    for words in ["asking the pool to pay for it: register a worker", "what the stake is for"] {
        assert!(ran.err.contains(words), "expected `{words}`: {ran}");
    }
    let joined = ran.json();
    assert_eq!(amount(&joined["stake"]), ADVANCE, "{ran}");
    volunteer.worker = u32::try_from(joined["worker"].as_u64().unwrap()).unwrap();
    volunteer.owner = joined["owner"].as_str().unwrap().to_owned();
    let payout = volunteer.run(&["get", "payout"]).await.expect(0);
    assert!(payout.out.to_lowercase().contains(DONATION), "{payout}");
    // Again: nothing is asked for twice.
    let again = volunteer.run(&join[..2]).await.expect(0);
    assert!(!again.err.contains("asking the pool"), "{again}");
    penniless(anvil, &volunteer).await;
    let again = volunteer.run(&join[..2]).await.expect(0);
    assert!(!again.err.contains("asking the pool"), "{again}");
    volunteer.start();
    operator.has_workers(1).await;
    volunteer
}

/// Takes away what is left of the gas that was given.
async fn penniless(anvil: &Anvil, volunteer: &Volunteer) {
    let owner = volunteer.owner.parse().unwrap();
    anvil.chain().set_balance(owner, U256::ZERO).await.unwrap();
}

async fn works(site: &Site, operator: &Operator, anvil: &Anvil, name: &str) -> Requester {
    let requester = Requester::new(site, operator, name, &anvil.url).await;
    requester.run(&["wallet", "deposit", "1 QTT"]).await.expect(0);
    requester.home.file("exponents.txt", "2\n3\n5\n7\n11\n13\n");
    let module = requester::lucas_lehmer();
    let module = module.to_str().unwrap();
    let run = ["run", module, "--each-line", "exponents.txt", "-o", "out", "--trust", "1"];
    requester.run(&run).await.expect(0);
    operator.batches_are("committed").await;
    anvil.chain().warp(WINDOW_S).await.unwrap();
    operator.batches_are("final").await;
    requester
}

/// The same from a browser, to a worker that works, and is asked why it does not.
async fn joins_in_a_browser(site: &Site, operator: &Operator, anvil: &Anvil, invite: &str) {
    let joined = browser::joins(site, operator, invite).await;
    let requester = works(site, operator, anvil, "requester-2").await;
    browser::has_worked(&joined, 6).await;
    let order = why::nothing_is_scheduled(operator, &joined, &requester).await;
    why::settlement_is_late(operator, anvil, &joined, (&requester, &order)).await;
    why::the_pool_costs(operator).await;
    browser::ends(joined).await;
}

async fn earns_a_stake(operator: &Operator, anvil: &Anvil, volunteer: &Volunteer) {
    penniless(anvil, volunteer).await;
    let due = amount(&volunteer.run(&["--json", "earnings"]).await.expect(0).json()["due"]);
    assert!(due > 0);
    let claimed = volunteer.run(&["--json", "claim"]).await.expect(0).json();
    assert_eq!((amount(&claimed["paid"]), &claimed["sponsored"]), (due, &true.into()));
    assert_eq!((&claimed["restaked"], &claimed["gas"]), (&true.into(), &Value::Null));
    let earnings = volunteer.run(&["--json", "earnings"]).await.expect(0).json();
    assert_eq!(amount(&earnings["stake"]), ADVANCE + due, "what it earned is at stake");
    assert_eq!(operator.tokens_of(&volunteer.owner).await, 0);
    // It is enough now: from here on earnings are paid out.
    assert!(ADVANCE + due >= ADVANCE * 2, "six tasks earn more than half a stake");
    let joined = volunteer.run(&["--json", "join"]).await.expect(0);
    assert!(joined.err.contains("have earnings paid out"), "{joined}");
}

/// The exit by permit, and after days the stake, to where donations go.
async fn leaves(operator: &Operator, anvil: &Anvil, volunteer: &Volunteer) {
    let left = volunteer.run(&["--json", "leave"]).await.expect(0);
    assert!(left.err.contains("asking the pool to pay for it"), "{left}");
    let (exit_at, stake) =
        (left.json()["exit_at"].as_u64().unwrap(), amount(&left.json()["stake"]));
    assert_eq!(left.json()["out"], Value::Null);
    // What waits is another process, which has the log; here nobody waits for days.
    let lock = volunteer.home.path().join("worker/leaving.lock");
    let pid = patience::until("somebody who waits", PATIENCE, async || {
        std::fs::read_to_string(&lock).ok().filter(|pid| pid.ends_with('\n'))
    });
    let pid = pid.await;
    let waits = volunteer.run(&["leave", "--wait"]).await.expect(0);
    assert!(waits.out.contains("another `leave` waits for the stake already"), "{waits}");
    let again = volunteer.run(&["--json", "leave", "--once"]).await.expect(0).json();
    assert_eq!((&again["out"], again["exit_at"].as_u64()), (&Value::Null, Some(exit_at)));
    let now = anvil.chain().head().await.unwrap().timestamp;
    anvil.chain().warp(exit_at - now + 1).await.unwrap();
    let out = volunteer.run(&["--json", "leave", "--once"]).await.expect(0);
    assert!(out.err.contains("gas to take the stake out"), "{out}");
    assert_eq!(amount(&out.json()["out"]), stake, "all of it");
    assert_eq!(operator.tokens_of(DONATION).await, stake);
    let ended = std::process::Command::new("kill").arg(pid.trim()).status().unwrap();
    assert!(ended.success(), "it had waited all the time");
    let removed = volunteer.run(&["--json", "uninstall", "--purge"]).await.expect(0).json();
    assert_eq!(removed["purged"], true);
}

/// Each limit, where a flood of strangers would meet it; and that anybody else can carry what the pool does not.
async fn limits_are_told(site: &Site, operator: &mut Operator, invite: &str) {
    let limits = [("ADVANCE", "0"), ("NETWORK_DAY", "2"), ("DONATION", "")];
    restart(operator, &limits).await;
    for n in 1..=2 {
        let volunteer = Volunteer::new(site, &format!("quick-{n}"));
        let ran = volunteer.run(&["--json", "join", invite, "--slots", "1"]).await.expect(0);
        assert!(ran.err.contains("no task of this pool is for a worker without stake"), "{ran}");
        assert_eq!(amount(&ran.json()["stake"]), 0);
    }
    let volunteer = Volunteer::new(site, "late");
    let join = ["join", invite, "--slots", "1"];
    let refused = volunteer.run(&join).await;
    refused.refused(7, &["your network has had what 2 newcomers may have", "wallet carry FILE"]);
    let donate = volunteer.run(&[&join[..], &["--donate"]].concat()).await;
    donate.refused(3, &["names no address for donations"]);
    let permit = volunteer.home.path().join("permit.json");
    let permit = permit.to_str().unwrap();
    volunteer.run(&[&join[..], &["--permit", permit]].concat()).await.expect(0);
    operator.bank.run("quorate", &["wallet", "carry", permit]).await.expect(0);
    let twice = operator.bank.run("quorate", &["wallet", "carry", permit]).await;
    twice.refused(9, &["KeyBound"]);
    let joined = volunteer.run(&[&["--json"], &join[..]].concat()).await.expect(0).json();
    assert_eq!(joined["worker"], 5);

    restart(operator, &[("BUDGET_WEI", "1"), ("NETWORK_DAY", "9")]).await;
    let volunteer = Volunteer::new(site, "too-late");
    volunteer.run(&join).await.refused(7, &["today's budget for newcomers' gas is spent"]);
    restart(operator, &[("GAS", "off")]).await;
    volunteer.run(&join).await.refused(7, &["needs coins", "This pool pays for nobody's gas"]);
}

async fn restart(operator: &mut Operator, settings: &[(&str, &str)]) {
    assert_eq!(operator.end("TERM").await, 0);
    for (key, value) in settings {
        operator.home = operator.home.clone().with(&format!("QUORATE_SPONSOR__{key}"), value);
    }
    operator.serve().await;
}
