//! The owner wants the machine: what is held, what goes back and when.

use super::{World, check, task};
use quorate_agent::Input;

#[test]
fn what_runs_is_held_and_what_waits_goes_back() {
    let mut world = World::connected(2);
    (1..=3).for_each(|idx| world.assign(task(0, idx), 0));
    (1..=3).for_each(|idx| world.fetched(task(0, idx), Ok(())));
    world.trace.clear();
    world.later(20_000);
    world.input("rest", Input::Rest { until_s: None });
    world.assign(task(0, 4), 0);
    world.input("offer 2", Input::Offer(2));
    world.finished(task(0, 1), Ok(b"result"));
    check(
        &world,
        "
        20s rest            slots 0, give up 0/3 Leaving
        20s assign 0/4      give up 0/4 Leaving
        20s offer 2         slots 2
        20s finished 0/1    [sealed], commit 0/1
        ",
    );
}

/// Tasks here are due after a minute. A run of twenty seconds is thought to need twenty more.
#[test]
fn who_cannot_be_on_time_is_told_of_before_the_deadline() {
    let mut world = World::connected(1);
    world.assign(task(0, 1), 0);
    world.fetched(task(0, 1), Ok(()));
    world.trace.clear();
    world.later(20_000);
    world.input("rest", Input::Rest { until_s: None });
    world.next_tick();
    check(
        &world,
        "
        20s rest            slots 0
        40s tick            stop #1, give up 0/1 Leaving
        ",
    );
}

#[test]
fn a_rest_that_is_known_to_be_too_long_gives_back_at_once() {
    let mut world = World::connected(1);
    world.assign(task(0, 1), 0);
    world.fetched(task(0, 1), Ok(()));
    world.trace.clear();
    let now_s = world.now.unix_s();
    world.input("rest a little", Input::Rest { until_s: Some(now_s + 5) });
    world.input("rest", Input::Rest { until_s: Some(now_s + 7_200) });
    check(
        &world,
        "
        0s rest a little   slots 0
        0s rest            stop #1, give up 0/1 Leaving
        ",
    );
}

#[test]
fn whoever_finishes_ends_what_is_here() {
    let mut world = World::connected(1);
    world.assign(task(0, 1), 0);
    world.input("finish", Input::Take(false));
    world.fetched(task(0, 1), Ok(()));
    world.assign(task(0, 2), 0);
    world.finished(task(0, 1), Ok(b"result"));
    world.input("resume", Input::Take(true));
    check(
        &world,
        "
        0s assign 0/1      fetch 0/1
        0s finish          slots 0
        0s fetched 0/1     start 0/1 60000ms
        0s assign 0/2      give up 0/2 Leaving
        0s finished 0/1    [sealed], commit 0/1
        0s resume          slots 1
        ",
    );
}
