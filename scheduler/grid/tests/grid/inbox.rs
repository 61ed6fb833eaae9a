//! What workers say on chain: votes by the time of their block, demands that are answered, and when
//! silence is taken for silence.

use crate::{
    fake::{Fake, Habit::*},
    scenarios::check,
    world::{Asks, World, task},
};
use quorate_common::anchor::SLACK_S;
use quorate_grid::policy::Policy;

/// What a scheduler on a real chain waits: the time for demands, and half a minute to hear of them.
const HEAR_S: u64 = SLACK_S + 30;

/// The set is said once more with more time, to the worker and on chain.
const SAID_AGAIN: &str = "worker-1 < set deal-0/0 of 1
     answer on chain: a set of 1, 1800 s to reveal";

fn world() -> World {
    World::with(Policy { hear_s: HEAR_S, ..Policy::default() })
}

#[test]
fn a_vote_said_on_chain_counts_by_the_time_of_its_block() {
    for (late_s, wait_s, end) in [
        (
            0,
            30,
            "worker-1 < ack reveal deal-0/0 #2, bytes to come
             worker-1 < fetch deal-0/0 right
             worker-1 < ack reveal deal-0/0 #2
             worker-1 < settled deal-0/0: +990 -0 score 0
             deal-0/0 consensus on right: 1 replicas, 0 dissents",
        ),
        (
            1,
            HEAR_S,
            "worker-1 < settled deal-0/0: +0 -300 score 0
             deal-0/0 no quorum: 1 replicas, 1 dissents",
        ),
    ] {
        let mut world = world().workers(&[Honest]);
        world.deal(Asks { trust: 1, replicas: 1, ..Asks::default() });
        let (session, votes) = world.run_until_reveal();
        let deadline = world.set_ends(task(0, 0));
        // The deadline is over, and nobody is judged yet.
        world.pass_quietly_ms((deadline - world.now.unix_s() + 10) * 1_000);
        world.take_trace();
        world.force(session, votes, deadline + late_s);
        world.pass_ms(wait_s * 1_000);
        check(&mut world, end);
    }
}

#[test]
fn no_set_ends_before_the_assignments_said() {
    let mut world = world().workers(&[Mute]);
    world.deal(Asks { trust: 1, replicas: 1, ..Asks::default() });
    let assigned_at = world.now.unix_s();
    world.run();
    // It committed at once; it was given 60 s to commit and 120 s to reveal.
    assert_eq!(world.set_ends(task(0, 0)), assigned_at + 180);
}

/// A mute worker of a task of one replica, its set frozen and shown to nobody.
fn mute() -> (World, u64) {
    let mut world = world().workers(&[Mute]);
    world.deal(Asks { trust: 1, replicas: 1, ..Asks::default() });
    world.run();
    world.take_trace();
    let ends = world.set_ends(task(0, 0));
    (world, ends)
}

#[test]
fn a_demand_is_answered_on_chain_with_time_to_reveal() {
    let (mut world, ends) = mute();
    world.pass_ms(200_000);
    world.demand(1, task(0, 0), world.now.unix_s());
    let extended = world.now.unix_s() + 2 * SLACK_S;
    assert_eq!(world.set_ends(task(0, 0)), extended);
    // The same demand is heard a second time, where it is final.
    world.demand(1, task(0, 0), world.now.unix_s());
    check(&mut world, SAID_AGAIN);
    world.answered(task(0, 0));
    // Past the first deadline nobody is judged; past the second it is.
    world.pass_ms((extended - world.now.unix_s() + HEAR_S) * 1_000);
    assert!(world.now.unix_s() > ends + HEAR_S);
    check(&mut world, "");
    world.pass_ms(1_000);
    check(
        &mut world,
        "worker-1 < settled deal-0/0: +0 -300 score 0
         deal-0/0 no quorum: 1 replicas, 1 dissents",
    );
}

#[test]
fn an_early_demand_shortens_nothing() {
    let mut world = world().workers(&[Mute]);
    let asks = Asks { trust: 1, replicas: 1, task_s: 3_600, deadline_s: 9_000, ..Asks::default() };
    world.deal(asks);
    world.run();
    world.take_trace();
    let ends = world.set_ends(task(0, 0));
    world.demand(1, task(0, 0), world.now.unix_s());
    assert_eq!(world.set_ends(task(0, 0)), ends, "an hour and two minutes, as was promised");
    check(&mut world, "answer on chain: a set of 1, 3720 s to reveal");
}

#[test]
fn a_demand_that_waits_for_the_set_is_answered_with_it() {
    let mut world = world().workers(&[Mute, Honest, Slow]);
    world.deal(Asks::default());
    world.run();
    world.take_trace();
    world.demand(1, task(0, 0), world.now.unix_s());
    check(&mut world, "");
    world.finish(3, task(0, 0), "right");
    world.run();
    let trace = world.take_trace();
    assert!(trace.contains("answer on chain: a set of 3, 1800 s to reveal"), "{trace}");
}

#[test]
fn a_demand_too_late_of_a_stranger_or_after_the_reveal_is_none() {
    let (mut world, ends) = mute();
    world.demand(1, task(0, 0), ends + SLACK_S + 1);
    world.demand(2, task(0, 0), ends);
    check(&mut world, "");
    assert_eq!(world.set_ends(task(0, 0)), ends);
    world.demand(1, task(0, 0), ends + SLACK_S);
    check(&mut world, SAID_AGAIN);
}

#[test]
fn an_answer_that_was_mined_too_late_is_given_again_and_survives_a_restart() {
    let (mut world, _) = mute();
    world.demand(1, task(0, 0), world.now.unix_s());
    world.take_trace();
    world.pass_ms(1_000_000);
    world.answered(task(0, 0));
    check(&mut world, SAID_AGAIN);
    world.restart();
    let trace = world.take_trace();
    assert!(trace.contains("answer on chain: a set of 1, 1800 s to reveal"), "{trace}");
}

/// An outage of the node, or a clock put forward, is not the worker's silence.
#[test]
fn nobody_is_judged_by_the_clock_before_the_chain_was_read() {
    let (mut world, ends) = mute();
    world.chain = false;
    world.pass_ms(100 * HEAR_S * 1_000);
    world.hears(ends + SLACK_S);
    world.run();
    check(&mut world, "");
    world.hears(ends + SLACK_S + 1);
    world.run();
    let trace = world.take_trace();
    assert!(trace.contains("deal-0/0 expired: 1 replicas, 1 dissents"), "{trace}");
}

/// A demand whose answer never came onto the chain is answered again, for as long as it takes.
#[test]
fn nobody_is_judged_who_demanded_and_was_not_answered() {
    let (mut world, _) = mute();
    world.demand(1, task(0, 0), world.now.unix_s());
    world.take_trace();
    for _ in 0..3 {
        world.pass_ms((world.set_ends(task(0, 0)) - world.now.unix_s() + HEAR_S + 1) * 1_000);
        check(&mut world, SAID_AGAIN);
    }
    world.answered(task(0, 0));
    world.pass_ms((world.set_ends(task(0, 0)) - world.now.unix_s() + HEAR_S + 1) * 1_000);
    let trace = world.take_trace();
    assert!(trace.contains("deal-0/0 expired: 1 replicas, 1 dissents"), "{trace}");
}

#[test]
fn what_is_decided_without_the_silent_does_not_expire() {
    let mut world = world().workers(&[Honest, Honest, Mute]);
    world.deal(Asks { deadline_s: 100, ..Asks::default() });
    world.run();
    world.disconnect(3);
    world.worker(Fake::new(4, 4, Honest));
    // Two of them come to weigh enough for the task that still waits for the third.
    world.deal(Asks { tasks: 15, ..Asks::default() });
    world.run();
    world.take_trace();
    world.pass_ms((100 + HEAR_S) * 1_000);
    assert!(!world.take_trace().contains("deal-0/0"), "nobody is judged before all could be heard");
    world.pass_ms(1_000);
    let trace = world.take_trace();
    assert!(trace.contains("deal-0/0 consensus on right: 3 replicas, 1 dissents"), "{trace}");
}
