//! A bag on a bad day: a laptop's week in a minute, between the real programs, on a real node (`QUORATE_ANVIL`
//! names the binary). Its lid is closed and opened elsewhere with another time on the clock, its line loses packets
//! and breaks, its owner wants a pause, the plug is pulled, the power fails and takes the scheduler with it, its
//! disk is full. Then nothing that was sealed is lost, nothing that was acknowledged is missing, nobody has lost
//! stake, and whoever looked from outside all the time saw the owner's limits kept.
//!
//! The seed is printed; `QUORATE_CRASH_SEED` plays its pauses again, `QUORATE_WEEKS` plays several weeks in a row.
//! What a loss of power takes of a disk is `worker/src/store/tests.rs`: here the system outlives its programs.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/anvil.rs"]
mod anvil;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "crash/dice.rs"]
mod dice;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "crash/evidence.rs"]
mod evidence;
#[path = "market/home.rs"]
mod home;
#[path = "week/laptop.rs"]
mod laptop;
#[path = "week/mounts.rs"]
mod mounts;
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
#[path = "network/router.rs"]
mod router;
#[path = "market/site.rs"]
mod site;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;
#[path = "week/witness.rs"]
mod witness;

use anvil::Anvil;
use dice::Dice;
use evidence::Evidence;
use laptop::{CALM, Laptop};
use operator::{Operator, UNIT_PRICE};
use quorate_common::invite::Invite;
use requester::{Requester, lucas_lehmer};
use router::Weather;
use serde_json::Value;
use site::Site;
use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};
use volunteer::Volunteer;

/// Short batches and leases: a laptop that is away for three seconds is replaced.
const SETTINGS: [&str; 4] =
    ["batch.tasks=16", "batch.age_s=1", "grid.lease_ms=2000", "pool.scheduler_ratio=10"];
/// Volunteers beside the laptop, who never stop.
const OTHERS: usize = 3;
/// Tasks in the bag: more than the others do in a week.
const TASKS: usize = 150;

#[test]
fn nothing_is_lost_and_nothing_overdone_in_a_laptops_week() {
    if mounts::apart("nothing_is_lost_and_nothing_overdone_in_a_laptops_week") {
        return;
    }
    let weeks = std::env::var("QUORATE_WEEKS").map_or(1, |weeks| weeks.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut dice = Dice::new();
    for week in 1..=weeks {
        let began = Instant::now();
        runtime.block_on(play(&mut dice));
        eprintln!("week {week}: {:?}", began.elapsed());
    }
}

async fn play(dice: &mut Dice) {
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let mut operator = Operator::init(&site, &anvil, "pool", &SETTINGS).await;
    operator.serve().await;
    let invite: Invite = operator.invite().await.parse().unwrap();
    let others = others(&site, &anvil, &operator, &invite).await;
    let mut laptop = Laptop::open(&site, &anvil, &operator, &invite, dice).await;
    let requester = Requester::new(&site, &operator, "requester", &anvil.url).await;
    requester.run(&["wallet", "deposit", "5 QTT"]).await.expect(0);
    operator.has_workers(OTHERS + 1).await;

    let primes = primes();
    let bag: String = primes.iter().map(|prime| format!("{prime}\n")).collect();
    requester.home.file("bag.txt", bag);
    let app = lucas_lehmer().display().to_string();
    let run = ["run", &app, "--each-line", "bag.txt", "-o", "out", "--trust", "5", "--name", "bag"];
    let running = requester.start(&run);
    let order = requester.has_order("bag").await;
    week(&mut laptop, &mut operator, dice).await;
    let view = operator.api().order(order.parse().unwrap()).await.unwrap();
    eprintln!("at the end of the week {} of {TASKS} tasks are settled", view.settled);
    assert!(view.settled < view.tasks, "the bag was empty before; make it larger");
    assert_eq!(running.code().await, 0, "{}", requester.home.said());

    results_are_right(&requester, &primes);
    nothing_sealed_is_lost(&laptop).await;
    let evidence = Evidence::read(&operator).await;
    assert!(evidence.tasks.keys().copied().eq(0..TASKS as u32), "each task is in one batch");
    assert_eq!(evidence.sum(|header| header.slashed), 0, "a bad week is no fault");
    let paid = evidence.sum(|header| header.payout) + evidence.sum(|header| header.fees);
    assert_eq!(paid, UNIT_PRICE * TASKS as u128);
    let everybody: Vec<Volunteer> = others.into_iter().chain([laptop.volunteer]).collect();
    eprintln!("{} acknowledgements, all kept", promises::are_kept(&everybody, &evidence));
    laptop.witness.swears().await;
}

async fn others(
    site: &Site,
    anvil: &Anvil,
    operator: &Operator,
    invite: &Invite,
) -> Vec<Volunteer> {
    let mut others = Vec::new();
    for n in 1..=OTHERS {
        let mut volunteer = Volunteer::new(site, &format!("volunteer-{n}"));
        let terms = ["--slots", "1", "--stake", "1.0"];
        volunteer.join_with_key(operator, anvil, &invite.to_string(), &terms).await;
        volunteer.start();
        others.push(volunteer);
    }
    others
}

async fn week(laptop: &mut Laptop, operator: &mut Operator, dice: &mut Dice) {
    laptop.works("on Monday").await;

    let until = dice.pause(2_500, 4_000);
    laptop.closed_for(until).await;
    laptop.works("on Tuesday, elsewhere, nine hours later by the clock").await;

    laptop.router.weather(Weather { loss: 30, ..CALM });
    laptop.works("on Wednesday, three tenths of it lost").await;
    laptop.router.weather(Weather { cut: true, ..CALM });
    tokio::time::sleep(dice.pause(1_000, 3_000)).await;
    laptop.router.weather(CALM);
    laptop.works("after the line was cut").await;

    laptop.paused_for(Duration::from_secs(3)).await;
    laptop.works("on Thursday, after a pause").await;

    laptop.unplugged_for(Duration::from_secs(3)).await;

    laptop.loses_power().await;
    operator.kill().await;
    tokio::time::sleep(dice.pause(100, 600)).await;
    operator.serve().await;
    laptop.boots();
    laptop.works("on Saturday, after the power was out").await;

    laptop.fills_its_disk().await;
    laptop.works("on Sunday, after the disk was full").await;
}

/// Every seal the laptop has made is accounted for, over all its lives: settled, come to nothing, or still kept,
/// where nobody told it what came of it.
async fn nothing_sealed_is_lost(laptop: &Laptop) {
    let idle = |status: &Value| status["view"]["running"] == 0;
    let status = laptop.volunteer.shows("an end of its runs", idle).await;
    let (sealed, acked) = (told(laptop, " committing "), told(laptop, " commit acked "));
    let totals = &status["view"]["totals"];
    let number = |name: &str| usize::try_from(totals[name].as_u64().unwrap()).unwrap();
    let (settled, forgotten) = (number("settled"), number("forgotten"));
    let kept = status["view"]["jobs"].as_array().unwrap().len();
    eprintln!(
        "the laptop sealed {}, {} were acknowledged; {settled} settled, {forgotten} came to nothing, {kept} kept",
        sealed.len(),
        acked.len(),
    );
    assert!(acked.is_subset(&sealed), "acknowledged, and never said");
    assert!(settled + forgotten + kept >= sealed.len(), "a seal is lost: {status}");
}

/// Tasks, with the attempt, of which the laptop's log says this.
fn told(laptop: &Laptop, what: &str) -> BTreeSet<(String, String)> {
    let said = laptop.volunteer.home.said();
    let field = |line: &str, name: &str| {
        let found = line.split_whitespace().find_map(|word| word.strip_prefix(name));
        found.unwrap_or_default().to_owned()
    };
    let lines = said.lines().filter(|line| line.contains(what));
    lines.map(|line| (field(line, "task="), field(line, "attempt="))).collect()
}

/// Prime exponents that take a tenth of a second each.
fn primes() -> Vec<u32> {
    let is_prime = |n: &u32| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (4_000..).filter(is_prime).take(TASKS).collect()
}

/// Exponents from there on that give Mersenne primes (OEIS A000043).
const MERSENNE: [u32; 2] = [4253, 4423];

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
