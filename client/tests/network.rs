//! Bad weather between the real programs, on a real node (`QUORATE_ANVIL` names the binary): packets are
//! lost, doubled, late and out of order, routers forget their ports, a worker is cut off and comes back,
//! the scheduler is cut off from its chain. The bag finishes, its results are those of arithmetic, and
//! every task is paid once.
//!
//! The seed is printed; `QUORATE_CRASH_SEED` plays its dice again.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/anvil.rs"]
mod anvil;
#[path = "network/cable.rs"]
mod cable;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "crash/dice.rs"]
mod dice;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "crash/evidence.rs"]
mod evidence;
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
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "network/router.rs"]
mod router;
#[path = "market/site.rs"]
mod site;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;

use anvil::Anvil;
use cable::{Cable, Line};
use dice::Dice;
use evidence::Evidence;
use operator::{Operator, UNIT_PRICE};
use quorate_common::invite::Invite;
use requester::{Requester, amount, lucas_lehmer};
use router::{Router, Weather};
use site::Site;
use std::{fs, time::Duration};
use volunteer::Volunteer;

const SETTINGS: [&str; 3] = ["batch.tasks=16", "batch.age_s=1", "pool.scheduler_ratio=10"];
/// Volunteers, each behind a router of its own.
const WORKERS: usize = 4;
/// Tasks in the bag: more than can be done before the weather has changed six times.
const TASKS: usize = 192;
/// Longest wait for the next tasks in bad weather: a lease, a handshake and a vote, each late.
const PATIENCE: Duration = Duration::from_secs(40);
/// Tasks that are settled in each weather before the next one comes.
const PROGRESS: u64 = 6;

const CALM: Weather = Weather { loss: 0, twice: 0, late: 0, late_ms: 0, cut: false };

#[tokio::test]
async fn a_bag_finishes_in_any_weather() {
    let mut dice = Dice::new();
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let chain = Cable::lay(&anvil.url).await;
    let url = format!("chain.url={}", chain.url);
    let settings = [&SETTINGS[..], &[url.as_str()]].concat();
    let mut operator = Operator::init(&site, &anvil, "pool", &settings).await;
    operator.serve().await;
    let (routers, volunteers) = connect(&site, &anvil, &operator, &mut dice).await;
    let requester = Requester::new(&site, &operator, "requester", &anvil.url).await;
    requester.run(&["wallet", "deposit", "5 QTT"]).await.expect(0);

    let primes = primes();
    requester
        .home
        .file("bag.txt", primes.iter().map(|prime| format!("{prime}\n")).collect::<String>());
    let app = lucas_lehmer().display().to_string();
    let run = ["run", &app, "--each-line", "bag.txt", "-o", "out", "--trust", "5", "--name", "bag"];
    let running = requester.start(&run);
    let order = requester.has_order("bag").await;
    weather_changes(&operator, &order, &routers, &chain).await;
    assert_eq!(running.code().await, 0, "{}", requester.home.said());

    results_are_right(&requester, &primes);
    everything_is_paid_once(&operator, &requester, &order).await;
    drop(volunteers);
}

/// Lets volunteers join, each with an invitation that leads through its router.
async fn connect(
    site: &Site,
    anvil: &Anvil,
    operator: &Operator,
    dice: &mut Dice,
) -> (Vec<Router>, Vec<Volunteer>) {
    let invite: Invite = operator.invite().await.parse().unwrap();
    let (mut routers, mut volunteers) = (Vec::new(), Vec::new());
    for n in 1..=WORKERS {
        let router = Router::plug(invite.address.parse().unwrap(), dice.below(u64::MAX)).await;
        let invite = Invite { address: router.front.to_string(), ..invite.clone() };
        let mut volunteer = Volunteer::new(site, &format!("volunteer-{n}"));
        let terms = ["--slots", "2", "--stake", "1.0"];
        volunteer.join_with_key(operator, anvil, &invite.to_string(), &terms).await;
        volunteer.start();
        routers.push(router);
        volunteers.push(volunteer);
    }
    operator.has_workers(WORKERS).await;
    (routers, volunteers)
}

/// Each weather stays until some tasks were settled in it.
async fn weather_changes(operator: &Operator, order: &str, routers: &[Router], chain: &Cable) {
    let all = |weather: Weather| routers.iter().for_each(|router| router.weather(weather));
    all(Weather { loss: 10, twice: 20, late: 20, late_ms: 200, ..CALM });
    progress(operator, order, "a tenth lost, a fifth doubled, a fifth out of order").await;
    all(Weather { loss: 30, ..CALM });
    progress(operator, order, "three tenths lost").await;
    all(Weather { late: 100, late_ms: 2_000, ..CALM });
    progress(operator, order, "up to two seconds late").await;
    all(CALM);
    routers.iter().for_each(Router::forget_ports);
    progress(operator, order, "every router has forgotten its ports").await;
    routers[0].weather(Weather { cut: true, ..CALM });
    progress(operator, order, "one worker is cut off").await;
    routers[0].weather(CALM);
    chain.set(Line::Refused);
    progress(operator, order, "the chain refuses").await;
    chain.set(Line::Silent);
    progress(operator, order, "the chain is silent").await;
    chain.set(Line::Open);
}

async fn progress(operator: &Operator, order: &str, weather: &str) {
    let order = order.parse().unwrap();
    let view = || async { operator.api().order(order).await.unwrap() };
    let before = view().await.settled;
    let began = std::time::Instant::now();
    patience::until(weather, PATIENCE, async || {
        let view = view().await;
        assert!(view.settled < view.tasks, "the bag is empty before the weather: {weather}");
        (u64::from(view.settled - before) >= PROGRESS).then_some(())
    })
    .await;
    eprintln!("{weather}: {PROGRESS} tasks in {:?}", began.elapsed());
}

/// Prime exponents below the largest known Mersenne prime of school books: which of them give primes is
/// no secret.
fn primes() -> Vec<u32> {
    let is_prime = |n: &u32| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (1_500..).filter(is_prime).take(TASKS).collect()
}

/// Exponents from there on that give Mersenne primes (OEIS A000043).
const MERSENNE: [u32; 2] = [2203, 2281];

fn results_are_right(requester: &Requester, primes: &[u32]) {
    for (n, prime) in primes.iter().enumerate() {
        let path = requester.home.path().join(format!("out/results/{n:05}/stdout"));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let is_right = match MERSENNE.contains(prime) {
            true => text == format!("{prime} prime\n"),
            false => text.starts_with(&format!("{prime} composite ")),
        };
        assert!(is_right, "2^{prime}-1: {text}");
    }
}

async fn everything_is_paid_once(operator: &Operator, requester: &Requester, order: &str) {
    let shown = requester.run(&["order", "show", order, "--json"]).await.expect(0).json();
    for field in ["tasks", "settled", "accepted"] {
        assert_eq!(shown[field], TASKS, "{field}: {shown}");
    }
    assert_eq!(amount(&shown["spent"]), UNIT_PRICE * TASKS as u128);
    let evidence = Evidence::read(operator).await;
    assert!(evidence.tasks.keys().copied().eq(0..TASKS as u32), "each task is in one batch");
    let paid = evidence.sum(|header| header.payout) + evidence.sum(|header| header.fees);
    assert_eq!(paid, UNIT_PRICE * TASKS as u128);
    assert_eq!(evidence.sum(|header| header.slashed), 0, "bad weather is no fault");
}
