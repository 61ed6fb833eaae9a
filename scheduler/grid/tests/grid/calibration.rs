//! Programs in containers: the first tasks go to several workers, nobody loses by them, and what differs
//! from itself ends with the two votes that show it.

use crate::{
    fake::{
        Fake,
        Habit::{self, Colluder, Honest, Liar, Slow},
        digest_of,
    },
    world::{Asks, World, task},
};
use quorate_common::{
    bag::AppKind,
    ids::{DealSlot, WorkerIdx},
};
use quorate_grid::{
    Input,
    calibration::{CALIBRATORS, Calibration, OPEN_MAX, Work},
    input::ChainInput,
    poco::Outcome,
    task::Task,
};

const TASKS: u32 = 6;

fn asks(tasks: u32) -> Asks {
    Asks { tag: AppKind::Docker.tag(), tasks, ..Asks::default() }
}

/// Workers that all run containers.
fn world(habits: &[Habit]) -> World {
    let mut world = World::new().workers(habits);
    let all: Vec<u32> = world.fakes.keys().copied().collect();
    all.into_iter().for_each(|idx| offer(&mut world, idx));
    world
}

fn offer(world: &mut World, idx: u32) {
    let session = world.fakes[&idx].session.unwrap();
    world.input(Input::Containers(session, Some(digest_of("containers"))));
}

/// A deal of a program.
fn deal(world: &mut World, name: &str, asks: Asks) -> DealSlot {
    let opened = world.terms(asks);
    let (slot, work) = (opened.slot, Work { program: Some(digest_of(name)), ..Work::default() });
    world.input(Input::Chain(ChainInput::Deal { opened: Box::new(opened), work: Some(work) }));
    slot
}

/// How a task ended, and how many replicas it took.
fn done(world: &World, deal: u32, idx: u32) -> (Outcome, u8) {
    match world.grid.task(task(deal, idx)) {
        Some(Task::Done(done)) => (done.outcome, done.replicas),
        other => panic!("deal-{deal}/{idx} is not over: {other:?}"),
    }
}

fn outcomes(world: &World, deal: u32, tasks: u32) -> Vec<(Outcome, u8)> {
    (0..tasks).map(|idx| done(world, deal, idx)).collect()
}

fn slashed(world: &World) -> Vec<u128> {
    world.grid.workers().iter().map(|worker| worker.slashed).collect()
}

fn open(world: &World, deal: u32, tasks: u32) -> usize {
    let is_open = |idx: &u32| matches!(world.grid.task(task(deal, *idx)), Some(Task::Open(_)));
    (0..tasks).filter(is_open).count()
}

#[test]
fn a_new_program_is_proven_by_five_workers_in_two_tasks_and_then_is_like_any_other() {
    let mut world = world(&[Honest; 7]);
    deal(&mut world, "good", asks(TASKS));
    assert_eq!(open(&world, 0, TASKS), OPEN_MAX as usize, "the rest waits for its proof");
    world.run();
    let three = (Outcome::Consensus, 3);
    let five = (Outcome::Consensus, u8::try_from(CALIBRATORS).unwrap());
    assert_eq!(outcomes(&world, 0, TASKS), [five, five, three, three, three, three]);
    assert_eq!(world.grid.calibration(DealSlot(0)), Some(Calibration::Proven));
    let earned: u128 = world.grid.workers().iter().map(|worker| worker.earned).sum();
    assert_eq!(earned, 6 * 990 - earned_dust(&world), "calibration is paid from each task's price");
    deal(&mut world, "good", asks(TASKS));
    world.run();
    assert_eq!(outcomes(&world, 1, TASKS), [three; 6], "a proven program is not calibrated again");
    deal(&mut world, "another", asks(1));
    world.run();
    assert_eq!(done(&world, 2, 0), five, "each program is its own");
}

/// What rounding leaves to the scheduler.
fn earned_dust(world: &World) -> u128 {
    let account = world.grid.ledger().deal(DealSlot(0)).unwrap().account.clone();
    let earned: u128 = world.grid.workers().iter().map(|worker| worker.earned).sum();
    account.spent * 99 / 100 - earned
}

#[test]
fn a_program_that_scatters_ends_its_deals_and_nobody_loses() {
    let mut world = world(&[Liar; 7]);
    deal(&mut world, "clock", asks(2_000));
    deal(&mut world, "clock", asks(3));
    deal(&mut world, "good", asks(3));
    world.run();
    (0..8).for_each(|_| world.pass_ms(10));
    let deals = world.grid.deals();
    let (first, second) = (&deals[&DealSlot(0)], &deals[&DealSlot(1)]);
    assert!(first.finished() && second.finished(), "{} and {}", first.settled, second.settled);
    assert_eq!((first.accepted, second.accepted), (0, 0));
    let asked = first.replicas + second.replicas;
    // Two of the first deal, and one of the second.
    let most = u64::from(OPEN_MAX + 1) * CALIBRATORS as u64;
    assert!(asked <= most, "{asked} worked for nothing");
    assert_eq!(slashed(&world), [0; 7]);
    assert!(world.grid.workers().iter().all(|worker| worker.score == 0 && worker.held == 0));
    let difference = first.erratic.unwrap();
    let [(one, a), (other, b)] = difference.votes;
    assert_ne!((one, a), (other, b));
    assert_eq!([a, b], [one, other].map(|worker| digest_of(&format!("lie of {worker}"))));
    let account = &world.grid.ledger().deal(DealSlot(0)).unwrap().account;
    assert_eq!((account.spent, account.refunded), (0, 2_000_000), "all of it is the requester's");
    world.close();
}

/// Four of five agree, and PoCo has decided for them: the contract takes no other end before the deal's.
#[test]
fn who_differs_alone_loses_nothing_and_is_not_asked_again() {
    let mut world = world(&[Liar, Honest, Honest, Honest, Honest]);
    deal(&mut world, "good", asks(1));
    world.run();
    assert!(matches!(world.grid.task(task(0, 0)), Some(Task::Open(open)) if open.torn));
    let trace = world.take_trace();
    assert!(!trace.lines().any(|line| line.contains("ack reveal") && !line.ends_with("to come")));
    assert!(!trace.contains("settled"), "{trace}");
    deal(&mut world, "good", asks(3));
    world.run();
    let four = (Outcome::Consensus, 4);
    let three = (Outcome::Consensus, 3);
    assert_eq!(outcomes(&world, 1, 3), [four, four, four], "nobody else is here: four are enough");
    deal(&mut world, "good", asks(1));
    world.run();
    assert_eq!(done(&world, 2, 0), three);
    assert!(!world.take_trace().contains("worker-1 < assign"), "it differed from most");
    world.pass_ms(3_700_000);
    assert_eq!(done(&world, 0, 0), (Outcome::Expired, 5));
    assert_eq!(slashed(&world), [0; 5]);
    world.close();
}

#[test]
fn three_minorities_are_the_program() {
    // Each of them differs in one task.
    let mut world = world(&[Honest; 5]);
    for (deal_idx, idx) in [(0, 6), (1, 7), (2, 8)] {
        world.worker(Fake::new(idx, u8::try_from(idx).unwrap(), Liar));
        offer(&mut world, idx);
        world.disconnect(idx - 5);
        deal(&mut world, "good", asks(1));
        world.run();
        world.connect(idx - 5);
        offer(&mut world, idx - 5);
        let erratic = world.grid.deals()[&DealSlot(deal_idx)].erratic;
        assert_eq!(erratic.is_some(), deal_idx == 2, "after {idx}");
    }
    assert_eq!(world.grid.calibration(DealSlot(0)), Some(Calibration::Erratic));
    deal(&mut world, "good", asks(3));
    assert_eq!(world.grid.calibration(DealSlot(0)), Some(Calibration::Calibrating));
    world.run();
    assert_eq!(world.grid.deals()[&DealSlot(3)].accepted, 3, "a new order begins it anew");
    assert_eq!(slashed(&world), [0; 8]);
}

#[test]
fn who_lies_of_a_proven_program_loses_and_it_is_calibrated_again() {
    let mut world = world(&[Honest; 5]);
    deal(&mut world, "good", asks(2));
    world.run();
    assert_eq!(world.grid.calibration(DealSlot(0)), Some(Calibration::Proven));
    world.worker(Fake::new(6, 6, Liar));
    offer(&mut world, 6);
    (1..=3).for_each(|idx| world.disconnect(idx));
    deal(&mut world, "good", asks(1));
    world.run();
    for idx in 1..=3 {
        world.connect(idx);
        offer(&mut world, idx);
    }
    world.run();
    assert_eq!(done(&world, 1, 0).0, Outcome::Consensus);
    assert_eq!(slashed(&world), [0, 0, 0, 0, 0, 300]);
    assert_eq!(world.grid.calibration(DealSlot(0)), Some(Calibration::Calibrating));
    deal(&mut world, "good", asks(2));
    world.run();
    assert_eq!(outcomes(&world, 2, 2), [(Outcome::Consensus, 5); 2]);
    assert_eq!(world.grid.calibration(DealSlot(0)), Some(Calibration::Proven));
}

/// A program that is found erratic while votes on another task of it are under way: those who vote there
/// lose nothing either.
#[test]
fn votes_under_way_are_spared_too() {
    let mut world = world(&[Slow; 5]);
    deal(&mut world, "clock", asks(2));
    world.run();
    for idx in 1..=5 {
        world.finish(idx, task(0, 0), &format!("lie of {}", WorkerIdx(idx)));
    }
    world.run();
    assert!(world.grid.deals()[&DealSlot(0)].erratic.is_some());
    world.pass_ms(10);
    assert_eq!(done(&world, 0, 0), (Outcome::NoQuorum, 5));
    assert_eq!(done(&world, 0, 1), (Outcome::NoQuorum, 5), "nobody needs to finish it");
    assert_eq!(slashed(&world), [0; 5]);
    assert!(world.grid.workers().iter().all(|worker| worker.held == 0 && worker.busy == 0));
}

/// Bytes that differ are fetched before anybody is told where; who never sends them holds that up for a
/// minute only.
#[test]
fn both_results_are_fetched_before_a_program_is_called_erratic() {
    let mut world = World::new();
    for idx in 1..=3 {
        let mut fake = Fake::new(idx, u8::try_from(idx).unwrap(), Liar);
        (fake.inline, fake.brings) = (false, idx != 3);
        world.worker(fake);
        offer(&mut world, idx);
    }
    deal(&mut world, "clock", asks(1));
    world.run();
    let trace = world.take_trace();
    assert!(trace.contains("worker-1 < fetch") || trace.contains("worker-2 < fetch"), "{trace}");
    world.pass_ms(70_000);
    assert_eq!(done(&world, 0, 0).0, Outcome::NoQuorum);
    assert!(world.grid.deals()[&DealSlot(0)].erratic.is_some());
}

#[test]
fn who_is_alone_is_heard_after_a_minute() {
    let mut world = world(&[Honest]);
    deal(&mut world, "good", Asks { trust: 2, ..asks(1) });
    world.run();
    assert_eq!(open(&world, 0, 1), 1, "others may come");
    world.pass_ms(62_000);
    world.run();
    assert_eq!(done(&world, 0, 0), (Outcome::Consensus, 1));
    assert_eq!(world.grid.calibration(DealSlot(0)), Some(Calibration::Calibrating));
}

#[test]
fn sealed_inputs_go_to_their_readers_only() {
    let mut world = world(&[Honest; 5]);
    let opened = world.terms(asks(3));
    let readers = [2, 4].map(|idx| world.fakes[&idx].node_key).into();
    let work = Some(Work { readers, ..Work::default() });
    world.input(Input::Chain(ChainInput::Deal { opened: Box::new(opened), work }));
    world.run();
    let waiting = world.grid.explain(task(0, 0)).unwrap().waiting.unwrap();
    assert_eq!((waiting.sealed, waiting.related), (3, 2), "trust 5 takes three: {waiting:?}");
    let trace = world.take_trace();
    for idx in 1..=5 {
        let asked = trace.contains(&format!("worker-{idx} < assign"));
        assert_eq!(asked, [2, 4].contains(&idx), "worker-{idx}");
    }
}

#[test]
fn one_vote_is_enough_where_the_requester_says_so() {
    let mut world = world(&[Honest, Colluder]);
    deal(&mut world, "any", Asks { trust: 1, ..asks(20) });
    world.run();
    assert_eq!(outcomes(&world, 0, 20), [(Outcome::Consensus, 1); 20]);
    assert_eq!(slashed(&world), [0, 0]);
}

#[test]
fn a_restart_forgets_nothing_of_it() {
    let mut world = world(&[Liar, Honest, Honest, Honest, Honest]);
    deal(&mut world, "good", asks(6));
    world.run();
    world.restart();
    for idx in 1..=5 {
        world.connect(idx);
        offer(&mut world, idx);
    }
    world.run();
    world.pass_ms(3_700_000);
    assert_eq!(slashed(&world), [0; 5]);
    let deal = &world.grid.deals()[&DealSlot(0)];
    assert!(deal.finished() && deal.accepted >= 2, "{}", deal.accepted);
    assert_eq!(world.grid.calibration(DealSlot(0)), Some(Calibration::Proven));
}
