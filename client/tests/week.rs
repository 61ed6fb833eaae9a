//! A bag on a bad day: a laptop's week in a minute, between the real programs, on a real node (`QUORATE_ANVIL`
//! names the binary). Its lid is closed and opened elsewhere with another time on the clock, its line loses packets
//! and breaks, its worker is killed, its owner wants a pause and restarts it, the plug is pulled, the power fails
//! and takes the scheduler with it, its clock comes back three days ahead and is set, its disk is full. Then nothing
//! that was sealed is lost, no vote was late, nobody has lost stake, and whoever looked from outside all the time
//! saw the owner's limits kept.
//!
//! The seed is printed; `QUORATE_CRASH_SEED` plays its pauses again, `QUORATE_WEEKS` plays several weeks in a row.
//! What a loss of power takes of a disk is `worker/src/store/tests.rs`: here the system outlives its programs.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/anvil.rs"]
mod anvil;
#[path = "week/diary.rs"]
mod diary;
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
use diary::{Diary, SEALED};
use dice::Dice;
use evidence::Evidence;
use laptop::{CALM, Laptop};
use operator::{Operator, UNIT_PRICE};
use quorate_common::invite::Invite;
use requester::{Requester, lucas_lehmer};
use router::Weather;
use serde_json::Value;
use site::Site;
use std::{fs, time::Instant};
use volunteer::Volunteer;

/// Short batches, and little time to reveal, with [`TIME_LIMIT`]: half a minute, which is more than the laptop is ever
/// away. Whoever is away for longer than a lease, three seconds, is replaced.
const SETTINGS: [&str; 4] =
    ["batch.tasks=16", "batch.age_s=1", "grid.reveal_s=10", "pool.scheduler_ratio=10"];
const TIME_LIMIT: &str = "20s";
/// Trust asked for: five newcomers, or two workers that have proven themselves.
const TRUST: &str = "30";
/// Volunteers beside the laptop, who never stop, and are slow until its week is over: a task takes them a second or
/// two whatever the machine, and the bag lasts.
const OTHERS: usize = 4;
const SLOW: &str = "cpu.percent=5";
const QUICK: &str = "cpu.percent=100";
/// Tasks in the bag: more than are done in a week.
const TASKS: usize = 180;
/// Bytes that every task has as its input: more than the laptop's line may bring in two seconds.
const INPUT_BYTES: usize = 640 << 10;

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
    requester.home.file("noise", noise(dice));
    let app = lucas_lehmer().display().to_string();
    let run = ["run", &app, "--each-line", "bag.txt", "-i", "noise", "-o", "out", "--name", "bag"];
    let terms = ["--trust", TRUST, "--time-limit", TIME_LIMIT];
    let running = requester.start(&[&run[..], &terms].concat());
    let order = requester.has_order("bag").await;
    week(&mut laptop, &mut operator, dice).await;
    let view = operator.api().order(order.parse().unwrap()).await.unwrap();
    eprintln!("at the end of the week {} of {TASKS} tasks are settled", view.settled);
    assert!(view.settled < view.tasks, "the bag was empty before; make it larger");
    for volunteer in &others {
        volunteer.run(&["set", QUICK]).await.expect(0);
    }
    assert_eq!(running.code().await, 0, "{}", requester.home.said());

    results_are_right(&requester, &primes);
    let evidence = Evidence::read(&operator).await;
    assert!(evidence.tasks.keys().copied().eq(0..TASKS as u32), "each task is in one batch");
    assert_eq!(evidence.sum(|header| header.slashed), 0, "a bad week is no fault");
    let paid = evidence.sum(|header| header.payout) + evidence.sum(|header| header.fees);
    assert_eq!(paid, UNIT_PRICE * TASKS as u128);
    nothing_sealed_is_lost(&laptop).await;
    no_vote_is_late(&laptop, &evidence);
    let Laptop { volunteer, witness, .. } = laptop;
    let everybody: Vec<Volunteer> = others.into_iter().chain([volunteer]).collect();
    eprintln!("{} acknowledgements, all kept", promises::are_kept(&everybody, &evidence));
    witness.swears();
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
        volunteer.run(&["set", SLOW]).await.expect(0);
        volunteer.start();
        others.push(volunteer);
    }
    others
}

async fn week(laptop: &mut Laptop, operator: &mut Operator, dice: &mut Dice) {
    laptop.works("on Monday").await;

    laptop.goes();
    laptop.closed_for(dice.pause(3_500, 4_500)).await;
    laptop.returns("on Tuesday, elsewhere, nine hours later by the clock").await;

    laptop.goes();
    laptop.router.weather(Weather { loss: 30, ..CALM });
    laptop.works("on Wednesday, three tenths of it lost").await;
    laptop.router.weather(Weather { cut: true, ..CALM });
    tokio::time::sleep(dice.pause(1_000, 3_000)).await;
    laptop.router.weather(CALM);
    laptop.returns("after the line was cut").await;

    laptop.goes();
    tokio::time::sleep(dice.pause(0, 300)).await;
    laptop.runs_out_of_memory().await;
    laptop.returns("after it was killed").await;

    laptop.goes();
    laptop.paused_over_a_restart().await;
    laptop.returns("on Thursday, after a pause and a restart").await;

    laptop.goes();
    laptop.unplugged_until_a_restart().await;
    laptop.returns("on Thursday, plugged in again").await;

    laptop.goes();
    tokio::time::sleep(dice.pause(0, 300)).await;
    laptop.loses_power().await;
    operator.kill().await;
    // It is there before the pool is, and only its own clock tells the time.
    laptop.sets_clock("+3d");
    laptop.boots();
    tokio::time::sleep(dice.pause(500, 1_000)).await;
    operator.serve().await;
    laptop.returns("on Friday, after the power was out, three days ahead by the clock").await;
    laptop.sets_clock("+0");
    laptop.works("on Saturday, when its clock was set back").await;

    laptop.goes();
    laptop.fills_its_disk().await;
    laptop.returns("on Sunday, after the disk was full").await;
    laptop.goes();
    laptop.nearly_fills_its_disk().await;
}

/// Every seal the laptop has made is accounted for, over all its lives: settled, come to nothing, or still kept,
/// where nobody told it what came of it.
async fn nothing_sealed_is_lost(laptop: &Laptop) {
    let idle = |status: &Value| status["view"]["running"] == 0;
    let status = laptop.volunteer.shows("an end of its runs", idle).await;
    let diary = Diary::read(&laptop.volunteer.home);
    let (sealed, acked) = (diary.of(SEALED), diary.of(" commit acked "));
    let totals = &status["view"]["totals"];
    let number = |name: &str| usize::try_from(totals[name].as_u64().unwrap()).unwrap();
    let (settled, forgotten) = (number("settled"), number("forgotten"));
    let kept = status["view"]["jobs"].as_array().unwrap().len();
    eprintln!(
        "the laptop sealed {}, {} were acknowledged; {settled} settled, {forgotten} came to nothing, {kept} kept",
        sealed.len(),
        acked.len(),
    );
    assert!(acked.is_subset(&sealed), "acknowledged, and never sealed");
    assert!(settled + forgotten + kept >= sealed.len(), "a seal is lost: {status}");
}

/// What it committed to counts, since it revealed it in time; and what it sealed while its scheduler was in reach
/// was acknowledged.
fn no_vote_is_late(laptop: &Laptop, evidence: &Evidence) {
    let votes = evidence.tasks.values().flat_map(|(_, task)| &task.votes);
    let (mut mine, mut silent) = (0, 0);
    for vote in votes.filter(|vote| vote.worker == laptop.volunteer.worker) {
        mine += 1;
        silent += u32::from(vote.digest.is_zero());
    }
    let told = Diary::read(&laptop.volunteer.home).punctuality(&laptop.outages);
    eprintln!(
        "{mine} of its votes count, {silent} as never revealed; {} of its seals were made in reach of the scheduler, \
         {} never acknowledged, the slowest after {} ms",
        told.seals,
        told.late.len(),
        told.slowest_ms,
    );
    assert!(mine > 0 && silent == 0, "a vote was never revealed");
    assert!(told.seals > 0 && told.late.is_empty(), "sealed, in reach, and late: {:?}", told.late);
}

/// What does not compress.
fn noise(dice: &mut Dice) -> Vec<u8> {
    (0..INPUT_BYTES / 8).flat_map(|_| dice.below(u64::MAX).to_le_bytes()).collect()
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
