//! Who is asked: equal chances, no two of one kind, asks, fair shares, quotas, buffers.

use crate::{
    fake::{Fake, Habit::*},
    world::{Asks, PRICE, World, task},
};
use alloy_primitives::{Address, B256};
use quorate_common::digest::Digest;
use quorate_common::ids::{DealSlot, WorkerIdx};
use quorate_grid::{
    fleet::{Draws, Fleet, Link, Room},
    input::SessionId,
    policy::Policy,
    task::{ReplicaState, Task},
};
use std::collections::BTreeMap;

/// `sum (seen - expected)^2 / expected`, times a thousand.
fn chi_square(seen: &[u64]) -> u64 {
    let total: u64 = seen.iter().sum();
    let expected = total / seen.len() as u64;
    seen.iter().map(|n| n.abs_diff(expected).pow(2) * 1_000 / expected).sum()
}

fn fleet(workers: u32) -> Fleet {
    let mut fleet = Fleet::default();
    fleet.rebuild(2);
    for idx in 1..=workers {
        let word = B256::left_padding_from(&idx.to_be_bytes());
        let worker = WorkerIdx(idx);
        fleet.register(worker, Address::from_word(word), Address::from_word(word), word);
        fleet.connect(worker, Link::new(SessionId(idx.into()), 1, None, Digest::ZERO, 0));
    }
    fleet
}

/// With chance 0.999 a fair draw stays below 27.9 with ten, below 16.3 with four.
#[test]
fn everybody_eligible_is_drawn_with_the_same_chance() {
    let mut draws = Draws::new([1; 32]);
    for (workers, eligible, bound) in
        [(10, 1..=10, 27_900), (100, 1..=10, 27_900), (16, 13..=16, 16_300), (4, 1..=4, 16_300)]
    {
        let fleet = fleet(workers);
        let mut seen = BTreeMap::new();
        for _ in 0..20_000 {
            let drawn = fleet.draw(Room::Slot, draws.draw(), |w, _| eligible.contains(&w.0));
            *seen.entry(drawn.expect("somebody may").0).or_insert(0) += 1;
        }
        let seen: Vec<u64> = seen.into_values().collect();
        assert_eq!(seen.len(), eligible.count(), "everybody was drawn");
        assert!(chi_square(&seen) < bound, "{workers} workers: {seen:?}");
    }
    assert_eq!(fleet(3).draw(Room::Slot, draws.draw(), |_, _| false), None);
    assert_eq!(fleet(3).draw(Room::Buffer, draws.draw(), |_, _| true), None);
}

/// Neither who came first, nor who asks least, nor who offers most slots is drawn more often.
#[test]
fn neither_arrival_nor_price_nor_size_buys_votes() {
    let mut world = World::new();
    world.replays = false;
    for idx in [7, 3, 10, 1, 5, 8, 2, 9, 4, 6] {
        let mut fake = Fake::new(idx, u8::try_from(idx).unwrap(), Honest);
        fake.ask = u128::from(idx) * 100;
        fake.slots = u16::try_from(idx).unwrap();
        world.worker(fake);
    }
    world.take_trace();
    let mut seen = [0; 10];
    for _ in 0..2_000 {
        world.deal(Asks { trust: 1, ..Asks::default() });
        world.run();
        let trace = world.take_trace();
        let asked = trace.lines().find_map(|line| line.split_once(" < assign")).unwrap().0;
        let idx: usize = asked.trim_start_matches("worker-").parse().unwrap();
        seen[idx - 1] += 1;
    }
    assert!(chi_square(&seen) < 27_900, "{seen:?}");
}

#[test]
fn a_network_stays_taken_when_its_worker_moves_leaves_or_the_scheduler_restarts() {
    let mut world = World::new();
    let at = |idx: u32, net, habit| {
        let mut fake = Fake::new(idx, u8::try_from(idx).unwrap(), habit);
        fake.net = Some(net);
        fake
    };
    let replicas = |world: &World| world.grid.task(task(0, 0)).unwrap().open().unwrap().live();
    world.worker(at(1, 10, Slow));
    world.deal(Asks { trust: 3, ..Asks::default() });
    world.run();
    world.disconnect(1);
    world.worker(at(2, 10, Honest));
    world.run();
    assert_eq!(replicas(&world), 1, "its network is taken while it is away");
    world.fakes.get_mut(&1).unwrap().net = Some(20);
    world.connect(1);
    world.worker(at(3, 20, Honest));
    world.run();
    assert_eq!(replicas(&world), 1, "both networks are taken once it moved");
    world.restart();
    world.connect(2);
    world.run();
    assert_eq!(replicas(&world), 1, "and after a restart, before it is back");
    world.worker(at(4, 30, Honest));
    world.run();
    assert_eq!(replicas(&world), 2);
}

#[test]
fn nobody_works_below_its_price() {
    let mut world = World::new();
    for (idx, ask) in [(1, PRICE + 1), (2, PRICE)] {
        let mut fake = Fake::new(idx, u8::try_from(idx).unwrap(), Honest);
        fake.ask = ask;
        world.worker(fake);
    }
    world.deal(Asks { tasks: 20, trust: 1, ..Asks::default() });
    world.run();
    let trace = world.take_trace();
    assert!(world.grid.deals()[&DealSlot(0)].finished());
    assert!(!trace.contains("worker-1 < assign"), "{trace}");
    world.deal(Asks { price: PRICE + 1, trust: 3, ..Asks::default() });
    world.run();
    assert!(world.take_trace().contains("worker-1 < assign deal-1/0"));
}

/// Deals in the order in which their replicas were assigned.
fn turns(world: &mut World) -> Vec<u32> {
    let deal = |line: &str| {
        let (_, task) = line.split_once(" < assign deal-")?;
        task.split_once('/').map(|(deal, _)| deal.parse().unwrap())
    };
    world.take_trace().lines().filter_map(deal).collect()
}

#[test]
fn ten_tasks_are_not_starved_by_thousands() {
    let mut world = World::new();
    world.replays = false;
    let asks = Asks { trust: 1, ..Asks::default() };
    world.deal(Asks { tasks: 500, requester: 1, ..asks });
    world.deal(Asks { tasks: 10, requester: 2, ..asks });
    world.worker(Fake::new(1, 1, Honest));
    world.run();
    let turns = turns(&mut world);
    let last = turns.iter().rposition(|deal| *deal == 1).unwrap();
    assert!(last < 24, "the last of ten was at turn {last}");
    assert_eq!(turns.len(), 510);
}

/// threats.md, I1: what costs nothing is ordered without end.
#[test]
fn a_hundred_deals_have_one_share() {
    let mut world = World::new();
    world.replays = false;
    let asks = Asks { trust: 1, price: 0, ..Asks::default() };
    for _ in 0..100 {
        world.deal(Asks { tasks: 3, requester: 1, ..asks });
    }
    world.deal(Asks { tasks: 20, requester: 2, price: 1_000, ..asks });
    world.worker(Fake::new(1, 1, Honest));
    world.run();
    let turns = turns(&mut world);
    let last = turns.iter().rposition(|deal| *deal == 100).unwrap();
    assert!(last < 44, "the last of twenty was at turn {last}");
    assert_eq!(turns.len(), 320);
}

#[test]
fn deals_of_one_requester_take_turns() {
    let mut world = World::new();
    let asks = Asks { trust: 1, tasks: 6, ..Asks::default() };
    world.deal(asks);
    world.deal(asks);
    world.worker(Fake::new(1, 1, Honest));
    world.run();
    let turns = turns(&mut world);
    let early = turns[..8].iter().filter(|deal| **deal == 1).count();
    assert!((3..=5).contains(&early), "{turns:?}");
}

/// A task nobody free can take must not hold up others, however many there are of it.
#[test]
fn a_flood_that_nobody_serves_holds_up_nobody() {
    let mut world = World::with(Policy { scan_max: 4, ..Policy::default() });
    world.replays = false;
    for n in 0..50 {
        world.deal(Asks { trust: 1, price: 10, requester: n % 5, ..Asks::default() });
    }
    world.deal(Asks { trust: 1, tasks: 5, requester: 9, ..Asks::default() });
    let mut fake = Fake::new(1, 1, Honest);
    fake.ask = 100;
    world.worker(fake);
    for _ in 0..40 {
        world.pass_ms(100);
        world.input(quorate_grid::Input::Tick);
        world.run();
    }
    assert!(
        world.grid.deals()[&DealSlot(50)].finished(),
        "{:?}",
        world.grid.deals()[&DealSlot(50)]
    );
}

fn running(world: &World, worker: u32) -> usize {
    let running = |task: &Task| {
        let replica = task.open().and_then(|open| open.replica(WorkerIdx(worker)));
        replica.is_some_and(|replica| matches!(replica.state, ReplicaState::Assigned))
    };
    world.grid.deals().values().flat_map(|deal| &deal.tasks).filter(|task| running(task)).count()
}

/// threats.md, I2: a worker that takes whatever it can get and never gives it back.
#[test]
fn who_hoards_ends_up_with_one_replica_now_and_then() {
    let mut world = World::new();
    world.replays = false;
    let mut hole = Fake::new(1, 1, Slow);
    hole.slots = 64;
    world.worker(hole);
    world.deal(Asks { tasks: 400, trust: 1, task_s: 60, deadline_s: 7_200, ..Asks::default() });
    world.run();
    assert_eq!(running(&world, 1), 16, "a stranger is not trusted with all it offers");
    world.pass_ms(62_000);
    world.take_trace();
    let (mut taken, mut most) = (0, 0);
    for _ in 0..60 {
        world.pass_ms(60_000);
        most = most.max(running(&world, 1));
        taken += world.take_trace().matches("worker-1 < assign").count();
    }
    assert_eq!(most, 1);
    assert!(taken <= 12, "it took {taken} more in an hour");
    world.worker(Fake::new(2, 2, Honest));
    world.run();
    let deal = &world.grid.deals()[&DealSlot(0)];
    assert!(deal.accepted >= 399, "an honest worker did the rest: {}", deal.accepted);
}

#[test]
fn trust_is_lost_by_halves_and_regained_one_by_one() {
    let mut world = World::with(Policy { work_per_slot: 1, ..Policy::default() });
    world.replays = false;
    let mut fake = Fake::new(1, 1, Slow);
    fake.slots = 8;
    world.worker(fake);
    world.deal(Asks { tasks: 100, trust: 1, task_s: 60, ..Asks::default() });
    world.run();
    assert_eq!(running(&world, 1), 8);
    world.disconnect(1);
    world.pass_ms(5_000);
    world.connect(1);
    world.run();
    assert_eq!(running(&world, 1), 4, "eight are lost, and one absence is one failure");
    world.disconnect(1);
    world.pass_ms(5_000);
    world.connect(1);
    world.run();
    assert_eq!(running(&world, 1), 2, "reconnecting mends nothing");
    for expected in [3, 4, 5, 6, 7, 8, 8] {
        let held = &world.fakes[&1].held;
        let working = held.iter().filter(|(task, held)| {
            held.stage == crate::fake::Stage::Working
                && world.grid.task(**task).and_then(Task::open).is_some_and(|o| o.running() > 0)
        });
        let task = *working.map(|(task, _)| task).next_back().unwrap();
        world.finish(1, task, "right");
        world.run();
        assert_eq!(running(&world, 1), expected);
    }
}

/// threats.md, D1: identities are cheap, stakes and owners are not.
#[test]
fn a_swarm_of_one_owner_votes_once_a_task_and_without_stake_never() {
    let mut world = World::new();
    world.replays = false;
    for idx in 1..=40 {
        let owner = if idx <= 30 { 200 } else { u8::try_from(idx).unwrap() };
        let habit = if idx <= 30 { Colluder } else { Honest };
        world.worker(Fake::new(idx, owner, habit));
        if idx > 20 && idx <= 30 {
            world.stake(idx, 0);
        }
    }
    world.take_trace();
    world.deal(Asks { tasks: 200, trust: 3, ..Asks::default() });
    world.run();
    let trace = world.take_trace();
    for idx in 21..=30 {
        assert!(!trace.contains(&format!("worker-{idx} < assign")), "worker-{idx} has no stake");
    }
    let of_swarm = |task: u32| {
        let asked =
            |idx: &u32| trace.contains(&format!("worker-{idx} < assign deal-0/{task} round"));
        (1..=20).filter(asked).count()
    };
    for task in 0..200 {
        assert!(of_swarm(task) <= 1, "task {task} was given to the swarm {} times", of_swarm(task));
    }
    assert!(world.grid.deals()[&DealSlot(0)].finished());
}

/// Where all are busy, who becomes free draws from several open tasks, and is not given the one that
/// another has just begun.
#[test]
fn timing_does_not_bring_two_friends_together() {
    let mut world = World::with(Policy { work_per_slot: 1, ..Policy::default() });
    world.replays = false;
    for idx in 1..=40 {
        world.worker(Fake::new(idx, u8::try_from(idx).unwrap(), Slow));
    }
    world.deal(Asks { tasks: 2_000, trust: 3, task_s: 3_000, ..Asks::default() });
    world.run();
    let mut together = 0;
    for turn in 0..300_u32 {
        // Two friends finish one right after the other; everybody else works on, a few at a time.
        for friend in [1, 2] {
            finish_one(&mut world, friend);
        }
        let tasks = |idx: u32| working(&world, idx);
        together += u32::from(tasks(1) == tasks(2) && tasks(1).is_some());
        for n in 0..4 {
            finish_one(&mut world, 3 + (turn * 4 + n) % 38);
        }
    }
    assert!(together <= 75, "two friends met in {together} of 300 tasks");
}

fn working(world: &World, idx: u32) -> Option<quorate_common::ids::TaskKey> {
    let mut held = world.fakes[&idx].held.iter();
    held.find(|(_, held)| held.stage == crate::fake::Stage::Working).map(|(task, _)| *task)
}

fn finish_one(world: &mut World, idx: u32) {
    if let Some(task) = working(world, idx) {
        world.finish(idx, task, "right");
        world.run();
    }
}
