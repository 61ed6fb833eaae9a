//! Why a task waits and why a worker has nothing to do: every obstacle there is, made, and told in both
//! explanations.

use crate::{
    fake::{
        Fake,
        Habit::{Choosy, Honest, Quitter, Slow},
    },
    world::{Asks, PRICE, World, task},
};
use quorate_common::{
    ids::{DealSlot, WorkerIdx},
    wire::GiveUpReason,
};
use quorate_grid::{
    Input, Obstacle, Waiting,
    fleet::Link,
    input::{ChainInput, SessionId},
};

/// A world in which worker 2 cannot take a replica of a task that worker 1 has one of.
type Case = (&'static str, fn(&mut World), fn(&Waiting) -> usize);

fn second(change: impl FnOnce(&mut Fake)) -> Fake {
    let mut fake = Fake::new(2, 2, Slow);
    change(&mut fake);
    fake
}

/// Cases that are about what worker 2 has done, not about a task that worker 1 has begun.
const OWN: [&str; 3] = ["paused", "quota", "busy"];

const CASES: [Case; 11] = [
    ("offline", |world| world.register(second(|_| {})), |w| w.offline),
    (
        "exiting",
        |world| {
            world.register(second(|_| {}));
            let (worker, stake) = (WorkerIdx(2), 1_000_000);
            world.input(Input::Chain(ChainInput::Stake { worker, stake, exiting: true }));
            world.connect(2);
        },
        |w| w.exiting,
    ),
    ("price", |world| world.worker(second(|fake| fake.ask = PRICE + 1)), |w| w.price),
    (
        "engine",
        |world| world.worker(second(|fake| fake.engine = crate::fake::digest_of("other"))),
        |w| w.engine,
    ),
    (
        "owner",
        |world| {
            let owner = world.fakes[&1].owner;
            world.worker(second(|fake| fake.owner = owner));
        },
        // Worker 1 has one itself.
        |w| w.related - 1,
    ),
    ("network", |world| world.worker(second(|fake| fake.net = Some(5))), |w| w.network),
    (
        "stake",
        |world| {
            world.register(second(|_| {}));
            world.stake(2, 299);
            world.connect(2);
        },
        |w| w.stake,
    ),
    ("closed", |world| world.worker(second(|fake| fake.slots = 0)), |w| w.closed),
    (
        "paused",
        |world| {
            world.worker(Fake::new(2, 2, Quitter));
            world.deal(Asks { tasks: 5, trust: 1, ..Asks::default() });
            world.run();
        },
        |w| w.paused,
    ),
    (
        "quota",
        |world| {
            // Two absences: of two slots and their buffers one is left, and that one is in use.
            world.worker(second(|fake| fake.slots = 2));
            world.deal(Asks { tasks: 30, trust: 1, ..Asks::default() });
            for _ in 0..2 {
                world.run();
                world.disconnect(2);
                world.pass_ms(4_000);
                world.connect(2);
            }
        },
        |w| w.quota,
    ),
    (
        "busy",
        |world| {
            world.worker(second(|_| {}));
            world.deal(Asks { trust: 1, ..Asks::default() });
        },
        |w| w.busy,
    ),
];

#[test]
fn every_obstacle_is_told_to_both_sides() {
    for (reason, make, count) in CASES {
        let mut world = World::new();
        let key = if OWN.contains(&reason) {
            make(&mut world);
            world.run();
            task(world.deal(Asks { trust: 1, ..Asks::default() }).0, 0)
        } else {
            let mut first = Fake::new(1, 1, Slow);
            first.net = Some(5);
            world.worker(first);
            let deal = world.deal(Asks::default());
            make(&mut world);
            task(deal.0, 0)
        };
        world.run();
        let waiting = world.grid.explain(key).unwrap().waiting.unwrap();
        assert_eq!(count(&waiting), 1, "{reason}: {waiting:?}");
        let worker = world.grid.explain_worker(WorkerIdx(2)).unwrap();
        let told: Vec<&str> = worker.reasons.iter().map(|told| told.reason).collect();
        assert!(told.contains(&reason), "{reason}: {told:?}");
        assert!(worker.reasons.iter().all(|told| !told.hint.is_empty()));
    }
}

/// Whoever takes nothing of a deal is asked once, is told why it has nothing of it, and works on for others.
#[test]
fn a_deal_that_is_none_of_a_workers_is_not_given_to_it_again() {
    type Count = fn(&Waiting) -> usize;
    let cases: [(_, _, Count); 3] = [
        ("registry", GiveUpReason::Registry, |waiting| waiting.registry),
        ("pack", GiveUpReason::Pack, |waiting| waiting.pack),
        ("room", GiveUpReason::Room, |waiting| waiting.room),
    ];
    for (word, reason, count) in cases {
        let mut world = World::new().workers(&[Choosy(reason)]);
        world.deal(Asks { tasks: 40, trust: 1, ..Asks::default() });
        world.run();
        let trace = world.take_trace();
        assert!((1..=2).contains(&trace.matches("worker-1 < assign").count()), "{trace}");
        let told = world.grid.explain_order(&[DealSlot(0)]).unwrap();
        assert!(told.waiting.iter().all(|waiting| waiting.workers.reason == word), "{told:?}");
        assert_eq!(count(&told.waiting[0].workers), 1, "{told:?}");
        let worker = world.grid.explain_worker(WorkerIdx(1)).unwrap();
        assert_eq!((worker.failures, worker.reasons[0].reason), (0, word), "{worker:?}");
        // Nothing keeps it from other deals, nor others from this one.
        world.deal(Asks { trust: 1, ..Asks::default() });
        world.run();
        assert!(world.take_trace().contains("worker-1 < settled"), "it is trusted as before");
        // When it comes again its owner may have another list.
        world.disconnect(1);
        world.connect(1);
        world.run();
        assert!(world.take_trace().contains("worker-1 < assign deal-0"), "it is asked once more");
        world.worker(Fake::new(2, 2, Honest));
        world.run();
        assert!(world.take_trace().contains("worker-2 < settled"));
    }
}

/// A list that never ends is no list.
#[test]
fn a_worker_that_takes_nothing_of_anything_is_one_that_fails() {
    let mut link = Link::new(SessionId(1), 1, None, crate::fake::digest_of("engine"), 0);
    assert!((0..1_024).all(|deal| link.note_unfit(DealSlot(deal), Obstacle::Pack)));
    assert!(link.note_unfit(DealSlot(7), Obstacle::Room), "it is one of them");
    assert!(!link.note_unfit(DealSlot(1_024), Obstacle::Pack));
}

#[test]
fn what_a_task_waits_for_is_what_passes_first() {
    let mut world = World::new();
    let waits = |world: &World, deal| {
        let waiting = world.grid.explain(task(deal, 0)).unwrap().waiting.unwrap();
        (waiting.reason, waiting.hint)
    };
    world.deal(Asks { trust: 1, tasks: 2, ..Asks::default() });
    assert_eq!(waits(&world, 0).0, "nobody");
    world.register(Fake::new(1, 1, Slow));
    assert_eq!(waits(&world, 0).0, "offline");
    let mut dear = Fake::new(2, 2, Slow);
    dear.ask = PRICE + 1;
    world.worker(dear);
    let (reason, hint) = waits(&world, 0);
    assert_eq!(reason, "price");
    assert!(hint.contains("a higher price would do"), "{hint}");
    let opened = world.terms(Asks::default());
    world.input(Input::Chain(ChainInput::Deal { opened: Box::new(opened), work: None }));
    assert_eq!(waits(&world, 1).0, "bytes");
}

#[test]
fn a_whole_order_is_told_by_reasons() {
    let mut world = World::new().workers(&[Slow, Slow]);
    world.deal(Asks { tasks: 50, trust: 5, ..Asks::default() });
    world.run();
    let told = world.grid.explain_order(&[DealSlot(0)]).unwrap();
    let count = |stage| told.tasks.get(stage).copied().unwrap_or(0);
    assert_eq!(count("queued") + count("waiting"), 50, "{told:?}");
    assert_eq!(told.waiting.iter().map(|waiting| waiting.tasks).sum::<usize>(), 50);
    assert!(told.waiting.iter().any(|waiting| waiting.workers.reason == "busy"), "{told:?}");
    assert_eq!((told.connected, told.slots), (2, 2));
    assert!(world.grid.explain_order(&[]).is_none());
    assert!(world.grid.explain_order(&[DealSlot(9)]).is_none());
}

#[test]
fn the_place_in_the_queue_counts_others_only() {
    let mut world = World::new().workers(&[Slow]);
    let asks = Asks { trust: 1, task_s: 10, ..Asks::default() };
    world.deal(Asks { tasks: 30, requester: 1, ..asks });
    world.deal(Asks { tasks: 17, requester: 2, ..asks });
    world.run();
    let ahead = |world: &World, deal| world.grid.explain_order(&[DealSlot(deal)]).unwrap().ahead;
    let (first, second) = (ahead(&world, 0), ahead(&world, 1));
    assert_eq!((first.requesters, first.of_others), (1, 1), "one turn of the other comes first");
    assert_eq!((second.requesters, second.of_others), (0, 0));
}

#[test]
fn a_worker_without_obstacles_hears_of_its_turn_or_of_no_work() {
    let mut world = World::new().workers(&[Honest]);
    let reasons = |world: &World| {
        let told = world.grid.explain_worker(WorkerIdx(1)).unwrap();
        told.reasons.iter().map(|told| told.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons(&world), ["no_work"]);
    world.deal(Asks { trust: 1, ..Asks::default() });
    world.run();
    assert_eq!(reasons(&world), ["no_work"]);
    assert!(world.grid.explain_worker(WorkerIdx(9)).is_none());
}
