//! The promise: who is checked when, what is held and let go, and what is never settled.

use crate::{
    fake::{
        Fake,
        Habit::{self, Colluder, Honest, Liar, Mute, Slow},
    },
    scenarios::check,
    world::{Asks, World, task},
};
use quorate_common::ids::{DealSlot, WorkerIdx};
use quorate_grid::{
    credibility::{CHECK, Promise},
    poco::Outcome,
    policy::Policy,
    task::{Replica, ReplicaState, Task},
};

/// One vote is enough for PoCo: the promise alone asks for more.
const ASKS: Asks = Asks {
    tag: alloy_primitives::B256::ZERO,
    tasks: 1,
    trust: 2,
    replicas: 15,
    price: 1_000,
    deadline_s: 36_000,
    task_s: 60,
    royalties: (0, 0),
    requester: 0xee,
};

/// One percent, if one worker in five is a saboteur; every newcomer's second answer is a canary.
const PROMISE: Promise = Promise { hold_s: 600, ..Promise::ONE_PERCENT };

fn world(promise: Promise, habits: &[Habit]) -> World {
    World::with(Policy { promise: Some(promise), ..Policy::default() }).workers(habits)
}

/// Workers that have passed what they need, in a world where nothing is open.
fn known(promise: Promise, count: usize) -> World {
    let mut world = world(promise, &vec![Honest; count]);
    world.replays = false;
    world.deal(Asks { tasks: 30 * u32::try_from(count).unwrap(), ..ASKS });
    world.run();
    assert!(world.grid.deals()[&DealSlot(0)].finished());
    for idx in world.fakes.keys() {
        assert!(world.grid.standing(WorkerIdx(*idx)).lot > 0, "worker-{idx} was never believed");
    }
    world.replays = true;
    world.write_snapshot();
    world.take_trace();
    world
}

fn replicas(world: &World, idx: u32) -> Vec<Replica> {
    let open = world.grid.task(task(0, idx)).and_then(Task::open);
    open.map(|open| open.replicas.clone()).unwrap_or_default()
}

/// Who is asked several at once is asked in round 0, before anything is frozen.
#[test]
fn a_canary_looks_like_any_other_task() {
    let mut world = world(PROMISE, &[Slow; 12]);
    world.deal(Asks { tasks: 12, ..ASKS });
    world.run();
    let shapes: Vec<usize> = (0..12).map(|idx| replicas(&world, idx).len()).collect();
    assert!(shapes.contains(&1), "some tasks have one replica: {shapes:?}");
    assert!(
        shapes.contains(&4),
        "and some as many as newcomers must be to be credible: {shapes:?}"
    );
    let all = (0..12).flat_map(|idx| replicas(&world, idx));
    assert!(all.clone().all(|replica| replica.attempt == 0));
    assert!(all.clone().all(|replica| matches!(replica.state, ReplicaState::Assigned)));
}

#[test]
fn without_a_promise_nothing_is_held_and_nothing_drawn() {
    let mut world = World::new().workers(&[Honest; 2]);
    world.deal(Asks { tasks: 40, ..ASKS });
    world.run();
    let deal = &world.grid.deals()[&DealSlot(0)];
    assert_eq!((deal.settled, deal.replicas), (40, 40));
    let standing = world.grid.standing(WorkerIdx(1));
    assert_eq!((standing.lot, standing.passed.clone()), (0, vec![0]), "{standing:?}");
}

/// The only task of a newcomer waits, for nothing is known of it and its deal has no other: so others
/// are asked, until they are four that agree.
#[test]
fn a_lone_answer_of_a_newcomer_is_borne_out_by_three_others() {
    let mut world = world(Promise { audit_ppm: 0, ..PROMISE }, &[Honest]);
    world.deal(ASKS);
    world.run();
    for idx in 2..=5 {
        world.worker(Fake::new(idx, u8::try_from(idx).unwrap(), Honest));
        world.run();
    }
    let Some(Task::Done(done)) = world.grid.task(task(0, 0)) else { panic!("it is settled") };
    assert_eq!((done.outcome, done.replicas), (Outcome::Consensus, 4));
}

/// A worker whom nobody can check goes on working; its answers wait, and are let go together when it
/// has earned what they need.
#[test]
fn held_answers_are_let_go_when_their_worker_is_believed() {
    let mut world = known(PROMISE, 4);
    world.disconnect(1);
    world.disconnect(2);
    world.disconnect(3);
    world.pass_ms(4_000);
    world.deal(Asks { tasks: 200, ..ASKS });
    world.run();
    let held = |world: &World| {
        let open = |idx: &u32| matches!(world.grid.task(task(1, *idx)), Some(Task::Open(_)));
        (0..200).filter(open).count()
    };
    assert!(held(&world) > 50, "worker-4 answered alone: {} are held", held(&world));
    let explained = (0..200).filter_map(|idx| world.grid.explain(task(1, idx)));
    let explained = explained.into_iter().find(|task| task.state == "held").unwrap();
    assert!(explained.doubt_ppb.unwrap() > 10_000_000, "{explained:?}");
    let why = explained.held.unwrap();
    assert!(why.contains("worker-4 has passed 4.5 of 9.1 checks"), "{why}");
    (1..=3).for_each(|idx| {
        world.connect(idx);
    });
    world.run();
    let deal = &world.grid.deals()[&DealSlot(1)];
    assert!(deal.finished(), "{} of 200 are settled", deal.settled);
    assert!(deal.replicas < 240, "most were never asked again: {}", deal.replicas);
    assert_eq!(deal.accepted, 200);
}

/// Nobody comes to check: what was held long enough is asked again, and settled as soon as somebody
/// answers who may.
#[test]
fn what_is_held_too_long_is_checked_itself() {
    let mut world = known(Promise { hold_s: 60, ..PROMISE }, 4);
    for idx in 1..=3 {
        world.disconnect(idx);
    }
    world.pass_ms(4_000);
    // Another deal's fresh tasks, which nobody may take, keep the pool from being idle.
    world.deal(Asks { tasks: 1, price: 4_000_000, ..ASKS });
    world.deal(Asks { tasks: 20, ..ASKS });
    let mut quiet = Fake::new(9, 9, Slow);
    quiet.slots = 1;
    world.worker(quiet);
    world.run();
    world.pass_ms(59_000);
    let settled = world.grid.deals()[&DealSlot(2)].settled;
    world.connect(1);
    world.connect(2);
    world.pass_ms(5_000);
    let later = world.grid.deals()[&DealSlot(2)].settled;
    assert!(settled < later, "{settled} before the hold was over, {later} after it");
}

/// Who is caught loses what it had waiting: its answers are asked of others.
#[test]
fn who_is_caught_is_believed_no_more_and_its_held_answers_are_asked_again() {
    let mut world = known(PROMISE, 4);
    world.replays = false;
    world.worker(Fake::new(5, 5, Liar));
    world.take_trace();
    world.deal(Asks { tasks: 60, ..ASKS });
    world.run();
    let deal = &world.grid.deals()[&DealSlot(1)];
    assert!(deal.finished());
    assert_eq!(deal.accepted, 60);
    let trace = world.take_trace();
    assert!(!trace.contains("consensus on lie"), "{trace}");
    let standing = world.grid.standing(WorkerIdx(5));
    assert!(standing.barred && standing.caught > 0, "{standing:?}");
    let lost = trace.lines().filter(|line| line.starts_with("worker-5 < settled")).count();
    assert_eq!(u32::try_from(lost).unwrap(), standing.caught, "each of its answers was a loss");
    assert_eq!(trace.matches("worker-5 < settled").count(), trace.matches("+0 -300").count());
}

/// Caught, it is no more the first that is asked; beside others it may earn its way back.
#[test]
fn who_was_caught_votes_only_beside_others() {
    let mut world = known(PROMISE, 4);
    world.replays = false;
    world.worker(Fake::new(5, 5, Liar));
    world.deal(Asks { tasks: 60, ..ASKS });
    world.run();
    assert!(world.grid.standing(WorkerIdx(5)).barred);
    world.fakes.get_mut(&5).unwrap().habit = Honest;
    for idx in 1..=4 {
        world.disconnect(idx);
    }
    world.pass_ms(4_000);
    world.take_trace();
    world.deal(Asks { tasks: 600, ..ASKS });
    check(&mut world, "");
    let waiting = world.grid.explain(task(2, 0)).unwrap().waiting.unwrap();
    assert_eq!((waiting.eligible, waiting.untrusted), (0, 1));
    for idx in 1..=4 {
        world.connect(idx);
    }
    world.run();
    let trace = world.take_trace();
    let taken = trace.matches("worker-5 < assign").count();
    assert!((1..60).contains(&taken), "it had {taken} places beside others");
    assert!(
        !trace
            .lines()
            .any(|line| line.starts_with("worker-5 < assign") && !line.ends_with("round 0"))
    );
    assert!(world.grid.standing(WorkerIdx(5)).passed[0] >= CHECK / 2);
    assert!(world.grid.deals()[&DealSlot(2)].finished());
}

#[test]
fn never_revealing_is_being_caught() {
    let mut world = known(PROMISE, 4);
    world.worker(Fake::new(5, 5, Mute));
    world.deal(Asks { tasks: 40, ..ASKS });
    world.run();
    world.pass_ms(200_000);
    assert!(world.grid.standing(WorkerIdx(5)).barred);
    assert!(world.grid.deals()[&DealSlot(1)].finished());
}

/// Half of the evidence is of the lot itself: a name does not pay for lies.
#[test]
fn a_name_decays() {
    let world = known(PROMISE, 4);
    let needed = PROMISE.needed(0);
    let standing = world.grid.standing(WorkerIdx(1));
    let fresh = standing.passed.last().copied().unwrap();
    assert!(standing.counts(standing.lot, needed) <= fresh + needed / 2);
    assert!(standing.counts(standing.lot, needed) < needed);
}

/// PoCo weighs by score, the promise by checks: where they do not agree, nothing is settled until they
/// do.
#[test]
fn a_name_and_a_credible_group_that_differ_are_settled_by_more_votes() {
    let mut world = known(PROMISE, 6);
    world.replays = false;
    // Four newcomers that lie together are as credible as anybody; those with a name say otherwise.
    for idx in 7..=10 {
        world.worker(Fake::new(idx, u8::try_from(idx).unwrap(), Colluder));
    }
    world.deal(Asks { tasks: 80, ..ASKS });
    world.run();
    let deal = &world.grid.deals()[&DealSlot(1)];
    assert!(deal.finished());
    assert_eq!(world.shadowed().broken, []);
    assert!(world.shadowed().kept > 80);
}

/// The deal ends before the promise can be kept: the contract wants settled what the votes decide.
#[test]
fn what_cannot_be_kept_in_time_ends_as_poco_has_it() {
    let mut world = world(PROMISE, &[Honest]);
    world.deal(Asks { deadline_s: 30, ..ASKS });
    world.run();
    assert!(world.grid.task(task(0, 0)).and_then(Task::open).is_some(), "it is not believed");
    world.take_trace();
    world.pass_ms(31_000);
    check(
        &mut world,
        "worker-1 < settled deal-0/0: +990 -0 score 0
         deal-0/0 consensus on right, not as promised: 1 replicas, 0 dissents",
    );
}

/// All replicas that there may be do not keep the promise.
#[test]
fn what_cannot_be_kept_with_all_replicas_ends_as_poco_has_it() {
    let mut world = world(PROMISE, &[Honest; 3]);
    world.deal(Asks { replicas: 2, ..ASKS });
    world.run();
    let trace = world.take_trace();
    assert!(trace.contains("consensus on right, not as promised: 2 replicas"), "{trace}");
}

/// At trust 1 whatever was voted for is credible, the first above all: but the promise has the last word.
/// Without that the set was frozen again and again (the simulator's seed 200).
#[test]
fn at_trust_1_a_result_that_keeps_the_promise_comes_before_the_first() {
    let mut world = world(Promise { hold_s: 0, ..PROMISE }, &[Liar]);
    world.deal(Asks { trust: 1, ..ASKS });
    world.run();
    for idx in 2..=7 {
        world.worker(Fake::new(idx, u8::try_from(idx).unwrap(), Honest));
    }
    world.run();
    let trace = world.take_trace();
    assert!(trace.contains("deal-0/0 consensus on right: 6 replicas, 1 dissents"), "{trace}");
}

/// A check that comes when no set can be frozen any more takes nothing from what was decided before it
/// (the simulator's seed 158).
#[test]
fn what_is_decided_stands_when_its_check_comes_too_late() {
    let mut world = world(Promise { hold_s: 0, ..PROMISE }, &[Honest]);
    world.deal(Asks { deadline_s: 100, task_s: 99, replicas: 2, ..ASKS });
    world.run();
    world.worker(Fake::new(2, 2, Slow));
    world.run();
    world.pass_ms(96_000);
    world.take_trace();
    world.finish(2, task(0, 0), "right");
    check(
        &mut world,
        "worker-2 < ack commit deal-0/0 #3
         worker-2 < cancel deal-0/0
         worker-1 < settled deal-0/0: +990 -0 score 0
         deal-0/0 consensus on right, not as promised: 2 replicas, 0 dissents",
    );
}

/// A check that no longer matters is called off.
#[test]
fn a_running_check_is_cancelled_when_its_answer_is_believed_without_it() {
    let mut world = known(Promise { hold_s: 60, ..PROMISE }, 5);
    for idx in 2..=5 {
        world.disconnect(idx);
    }
    world.pass_ms(4_000);
    world.deal(Asks { tasks: 20, ..ASKS });
    world.run();
    world.pass_ms(61_000);
    // One that never ends takes a check; worker-1 passes others in the next deal, and is believed.
    world.fakes.get_mut(&2).unwrap().habit = Slow;
    world.connect(2);
    world.run();
    world.take_trace();
    for idx in 3..=5 {
        world.connect(idx);
    }
    world.deal(Asks { tasks: 60, ..ASKS });
    world.run();
    let trace = world.take_trace();
    assert!(trace.contains("worker-2 < cancel deal-1/"), "{trace}");
}

/// The books of who is believed are as durable as everything else.
#[test]
fn standings_survive_a_restart() {
    let mut world = known(PROMISE, 4);
    let before: Vec<_> = (1..=4).map(|idx| world.grid.standing(WorkerIdx(idx))).collect();
    world.deal(Asks { tasks: 20, ..ASKS });
    world.restart();
    let after: Vec<_> = (1..=4).map(|idx| world.grid.standing(WorkerIdx(idx))).collect();
    assert_eq!(before, after);
    for idx in 1..=4 {
        world.connect(idx);
    }
    world.run();
    world.pass_ms(700_000);
    assert!(world.grid.deals()[&DealSlot(1)].finished());
}
