//! What an operator says of a worker: heard, kept over a restart, and nobody loses by it what he has earned.

use crate::{
    fake::Habit::{Honest, Slow},
    scenarios::check,
    world::{Asks, World, task},
};
use quorate_common::{ids::WorkerIdx, wire::ToScheduler};
use quorate_grid::{
    Input,
    input::Ticket,
    restraint::{Keep, Restraint},
};

fn restrain(world: &mut World, worker: u32, keep: Option<Keep>) {
    let (ticket, worker) = (Ticket(9), WorkerIdx(worker));
    let restraint = keep.map(|keep| Restraint {
        keep,
        reason: "too slow".into(),
        by: "ada".into(),
        at_unix_ms: 1_700_000_000_000,
    });
    world.input(Input::Restrain { ticket, worker, restraint });
}

#[test]
fn a_drained_worker_finishes_what_it_has_and_gets_no_more() {
    let mut world = World::new().workers(&[Slow]);
    world.deal(Asks { tasks: 2, trust: 1, ..Asks::default() });
    world.run();
    world.take_trace();
    restrain(&mut world, 1, Some(Keep::Drained));
    world.finish(1, task(0, 0), "right");
    check(
        &mut world,
        "worker-1 < welcome worker-1, stake 1000000, score 0: the pool's operator gives this worker no new work: \
         too slow; what it has may be finished
         reply to 9: Restrained
         worker-1 < ack commit deal-0/0 #1
         worker-1 < set deal-0/0 of 1
         worker-1 < ack reveal deal-0/0 #2
         worker-1 < settled deal-0/0: +990 -0 score 0
         deal-0/0 consensus on right: 1 replicas, 0 dissents",
    );
    let waiting = world.grid.explain(task(0, 1)).unwrap().waiting.unwrap();
    assert_eq!((waiting.restrained, waiting.reason), (1, "restrained"));
    restrain(&mut world, 1, None);
    check(
        &mut world,
        "worker-1 < welcome worker-1, stake 1000000, score 0
         reply to 9: Restrained
         worker-1 < assign deal-0/1 round 0",
    );
}

#[test]
fn what_a_banned_worker_has_not_committed_goes_to_others() {
    let mut world = World::new().workers(&[Slow]);
    world.deal(Asks { trust: 1, ..Asks::default() });
    world.run();
    world.take_trace();
    restrain(&mut world, 1, Some(Keep::Banned));
    check(
        &mut world,
        "worker-1 < welcome worker-1, stake 1000000, score 0: the pool's operator has banned this worker: too slow
         worker-1 < cancel deal-0/0
         worker-1 < goodbye: the pool's operator has banned this worker: too slow
         reply to 9: Restrained",
    );
    world.connect(1);
    check(&mut world, "worker-1 < goodbye: the pool's operator has banned this worker: too slow");
    let told = world.grid.explain_worker(WorkerIdx(1)).unwrap();
    assert_eq!(told.reasons[0].reason, "restrained");
    assert!(told.reasons[0].hint.contains("too slow"), "{}", told.reasons[0].hint);
}

#[test]
fn a_banned_worker_may_reveal_what_it_has_committed() {
    let mut world = World::new().workers(&[Honest]);
    world.deal(Asks { trust: 1, ..Asks::default() });
    let (session, votes) = world.run_until_reveal();
    world.take_trace();
    restrain(&mut world, 1, Some(Keep::Banned));
    world.disconnect(1);
    let back = world.connect(1);
    assert_ne!(back, session);
    world.deliver_up(back, ToScheduler::Votes(votes));
    world.run();
    let trace = world.take_trace();
    assert!(trace.contains("settled deal-0/0: +990 -0"), "{trace}");
    assert!(trace.trim_end().ends_with("has banned this worker: too slow"), "{trace}");
    assert!(!world.grid.worker(WorkerIdx(1)).unwrap().connected);
}

#[test]
fn a_restart_forgets_no_ban() {
    let mut world = World::new().workers(&[Honest]);
    restrain(&mut world, 1, Some(Keep::Banned));
    world.restart();
    world.take_trace();
    world.connect(1);
    check(&mut world, "worker-1 < goodbye: the pool's operator has banned this worker: too slow");
    let restraint = world.grid.worker(WorkerIdx(1)).unwrap().restraint.unwrap();
    assert_eq!((restraint.keep, restraint.by.as_str()), (Keep::Banned, "ada"));
    world.replayed();
}

#[test]
fn a_word_said_twice_is_one_record() {
    let mut world = World::new().workers(&[Honest]);
    restrain(&mut world, 1, Some(Keep::Drained));
    world.take_trace();
    restrain(&mut world, 1, Some(Keep::Drained));
    check(&mut world, "reply to 9: Restrained");
}
