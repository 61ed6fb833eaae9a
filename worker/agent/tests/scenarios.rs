//! The life of a replica as printed traces: `[…]` is on disk before what follows it leaves.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "scenarios/escape.rs"]
mod escape;
#[path = "scenarios/rest.rs"]
mod rest;
#[path = "support/world.rs"]
mod world;

use quorate_agent::{Input, LinkView};
use quorate_common::{
    B256,
    digest::Digest,
    ids::{DealSlot, TaskKey},
    wire::{CommitAckItem, Duties, GiveUpReason, Goodbye, RevealAckItem, ToWorker, Welcome},
};
use world::{ME, POOL, World, deal, domain, key, nothing, task};

/// Compares a trace with what the rules say, line by line.
#[track_caller]
fn check(world: &World, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let got: Vec<&str> = world.trace.lines().map(str::trim).collect();
    assert_eq!(got, expected, "\ngot:\n{}", world.trace);
}

#[test]
fn a_replica_goes_from_assignment_to_money() {
    let mut world = World::connected(1);
    let t = task(0, 1);
    world.assign(t, 0);
    world.fetched(t, Ok(()));
    world.later(2_000);
    world.finished(t, Ok(b"result"));
    world.ack(t);
    world.set(t, 1);
    world.reveal_ack(t);
    world.fetch(t, Digest::of(b"result"));
    world.settled(t, 55);
    check(
        &world,
        "
        0s assign 0/1      fetch 0/1
        0s fetched 0/1     start 0/1 60000ms
        2s finished 0/1    [sealed], commit 0/1
        2s ack 0/1         [acked]
        2s set 0/1         [revealed], reveal 0/1
        2s reveal ack 0/1
        2s fetch 0/1       upload 0/1
        2s settled 0/1     [closed], forget 0/1
        ",
    );
    let view = world.agent.view();
    assert_eq!((view.totals.settled, view.totals.earned, view.score), (1, 55, 4));
    assert!(view.jobs.is_empty() && world.disk.is_empty());
}

#[test]
fn nothing_is_shown_without_a_set_that_proves_our_own_commitment() {
    let mut world = World::connected(1);
    let t = task(0, 1);
    world.work(t);
    world.ack(t);
    world.trace.clear();
    let good = world.set_item(t, 1).unwrap();
    let mut other_root = good;
    other_root.root = B256::repeat_byte(1);
    world.send_set(other_root, "other root");
    let mut moved = good;
    moved.position = 0;
    world.send_set(moved, "moved");
    let mut too_small = good;
    too_small.n = 1;
    world.send_set(too_small, "too small");
    let mut far = good;
    far.position = 17;
    far.n = 18;
    world.send_set(far, "beyond the tree");
    let mut other_round = good;
    other_round.attempt = 1;
    world.send_set(other_round, "other round");
    let mut late = good;
    late.reveal_deadline = world.now.unix_s();
    world.send_set(late, "late");
    world.fetch(t, Digest::of(b"result"));
    world.set(t, 1);
    check(
        &world,
        "
        0s other root      warn not in set
        0s moved           warn not in set
        0s too small       warn not in set
        0s beyond the tree warn not in set
        0s other round
        0s late            warn late set
        0s fetch 0/1       warn wrong fetch
        0s set 0/1         [revealed], reveal 0/1
        ",
    );
}

#[test]
fn a_second_set_is_evidence_and_never_answered_not_even_after_a_restart() {
    let mut world = World::connected(1);
    let t = task(0, 1);
    world.work(t);
    world.ack(t);
    world.set(t, 1);
    world.trace.clear();
    world.set(t, 2);
    world.restart();
    world.connect();
    world.set(t, 2);
    world.set(t, 1);
    check(
        &world,
        "
        0s set 0/1         warn equivocation
        restart
        0s link up         hello slots=1 holding=[0/1]
        0s welcome         reveal 0/1
        0s set 0/1         warn equivocation
        0s set 0/1         reveal 0/1
        ",
    );
}

#[test]
fn what_is_not_acknowledged_is_said_again_after_five_seconds_and_after_a_reconnection() {
    let mut world = World::connected(1);
    let t = task(0, 1);
    world.work(t);
    world.trace.clear();
    world.next_tick();
    world.input("link down", Input::LinkDown);
    world.later(1_000);
    world.connect();
    world.ack(t);
    world.set(t, 1);
    world.next_tick();
    world.connect();
    world.reveal_ack(t);
    world.connect();
    check(
        &world,
        "
        5s tick            commit 0/1
        5s link down
        6s link up         hello slots=1 holding=[0/1]
        6s welcome         commit 0/1
        6s ack 0/1         [acked]
        6s set 0/1         [revealed], reveal 0/1
        11s tick            reveal 0/1
        11s link up         hello slots=1 holding=[0/1]
        11s welcome         reveal 0/1
        11s reveal ack 0/1
        11s link up         hello slots=1 holding=[0/1]
        11s welcome
        ",
    );
}

#[test]
fn sealed_work_survives_a_restart_at_every_stage() {
    let mut world = World::connected(4);
    let (sealed, acked, shown) = (task(0, 1), task(0, 2), task(1, 3));
    [sealed, acked, shown].into_iter().for_each(|t| world.work(t));
    [acked, shown].into_iter().for_each(|t| world.ack(t));
    world.set(shown, 1);
    world.assign(task(2, 4), 0);
    world.trace.clear();
    world.restart();
    world.connect();
    world.ack(sealed);
    world.set(sealed, 1);
    world.set(acked, 1);
    world.settled(shown, 7);
    check(
        &world,
        "
        restart
        0s link up         hello slots=4 holding=[0/1 0/2 1/3]
        0s welcome         commit 0/1, reveal 1/3
        0s ack 0/1         [acked]
        0s set 0/1         [revealed], reveal 0/1
        0s set 0/2         [revealed], reveal 0/2
        0s settled 1/3     [closed], forget 1/3
        ",
    );
    assert_eq!(world.agent.view().totals.earned, 7);
}

#[test]
fn a_result_that_ends_while_the_link_is_down_is_committed_after_it() {
    let mut world = World::connected(1);
    let t = task(0, 1);
    world.assign(t, 0);
    world.fetched(t, Ok(()));
    world.trace.clear();
    world.input("link down", Input::LinkDown);
    world.finished(t, Ok(b"result"));
    world.connect();
    check(
        &world,
        "
        0s link down
        0s finished 0/1    [sealed]
        0s link up         hello slots=1 holding=[0/1]
        0s welcome         commit 0/1
        ",
    );
}

#[test]
fn slots_are_filled_oldest_first_and_what_is_too_much_goes_back() {
    let mut world = World::connected(1);
    (1..=3).for_each(|idx| world.assign(task(0, idx), 0));
    world.fetched(task(0, 2), Ok(()));
    world.fetched(task(0, 1), Ok(()));
    world.finished(task(0, 2), Err(GiveUpReason::Stack));
    world.fetched(task(0, 9), Ok(()));
    world.input("offer 0", Input::Offer(0));
    world.assign(task(0, 4), 0);
    check(
        &world,
        "
        0s assign 0/1      fetch 0/1
        0s assign 0/2      fetch 0/2
        0s assign 0/3      warn over slots, give up 0/3 Deadline
        0s fetched 0/2     start 0/2 60000ms
        0s fetched 0/1
        0s finished 0/2    give up 0/2 Stack, start 0/1 60000ms
        0s offer 0         slots 0
        0s assign 0/4      warn over slots, give up 0/4 Deadline
        ",
    );
    assert_eq!(world.agent.view().gave_up, 3);
}

#[test]
fn work_below_its_price_is_given_back() {
    let mut world = World::new(1);
    for ask in [100, 101] {
        world.ask = ask;
        world.restart();
        world.connect();
        world.trace.clear();
        world.assign(task(0, 1), 0);
        let told = if ask == 100 { "fetch 0/1" } else { "give up 0/1 Price" };
        check(&world, &format!("0s assign 0/1      {told}"));
    }
}

#[test]
fn work_that_cannot_make_its_deadline_is_given_back() {
    let mut world = World::connected(2);
    world.assign_until(task(0, 1), 0, 0, 60);
    world.assign_until(task(0, 2), 0, 10, 60);
    world.fetched(task(0, 2), Ok(()));
    world.assign_until(task(0, 3), 0, 20, 60);
    world.next_tick();
    world.finished(task(0, 2), Ok(b"too late"));
    world.next_tick();
    check(
        &world,
        "
        0s assign 0/1      give up 0/1 Deadline
        0s assign 0/2      fetch 0/2
        0s fetched 0/2     start 0/2 10000ms
        0s assign 0/3      fetch 0/3
        10s tick            stop #1, give up 0/2 Deadline
        10s finished 0/2    forget 0/2
        20s tick            stop #2, give up 0/3 Deadline
        ",
    );
}

#[test]
fn the_clock_that_counts_is_the_schedulers() {
    let mut world = World::connected(1);
    // The scheduler is 50 s ahead, so that of 60 s to the deadline 10 are left.
    world.welcome(50_000);
    world.assign(task(0, 1), 0);
    world.fetched(task(0, 1), Ok(()));
    world.next_tick();
    check(
        &world,
        "
        0s welcome
        0s assign 0/1      fetch 0/1
        0s fetched 0/1     start 0/1 10000ms
        10s tick            stop #1, give up 0/1 Deadline
        ",
    );
}

#[test]
fn late_commits_and_reveals_are_not_sent() {
    let mut world = World::connected(1);
    world.work(task(0, 1));
    world.work(task(0, 2));
    world.set(task(0, 2), 1);
    world.trace.clear();
    world.input("link down", Input::LinkDown);
    world.later(120_000);
    world.connect();
    // What could have been said on chain is too late as well.
    world.next_tick();
    assert!(world.agent.next_deadline().unwrap() > world.now.mono_ms + 3_600_000);
    world.next_tick();
    check(
        &world,
        "
        0s link down
        120s link up         hello slots=1 holding=[0/1 0/2]
        120s welcome
        120s tick
        86520s tick            [closed], [closed], warn never settled, forget 0/1, warn never settled, forget 0/2
        ",
    );
}

#[test]
fn a_cancel_stops_work_and_sets_a_commitment_aside() {
    let mut world = World::connected(2);
    world.assign(task(0, 1), 0);
    world.fetched(task(0, 1), Ok(()));
    world.cancel(task(0, 1), 1);
    world.cancel(task(0, 1), 0);
    world.finished(task(0, 1), Err(GiveUpReason::Leaving));
    world.work(task(0, 2));
    world.cancel(task(0, 2), 0);
    world.connect();
    // The set was on its way: not to answer it would cost the stake.
    world.set(task(0, 2), 1);
    world.cancel(task(0, 2), 0);
    world.set(task(0, 2), 1);
    world.reveal_ack(task(0, 2));
    world.cancel(task(0, 2), 0);
    world.work(task(0, 3));
    world.cancel(task(0, 3), 0);
    world.next_tick();
    check(
        &world,
        "
        0s assign 0/1      fetch 0/1
        0s fetched 0/1     start 0/1 60000ms
        0s cancel 0/1#1
        0s cancel 0/1      stop #1
        0s finished 0/1
        0s assign 0/2      fetch 0/2
        0s fetched 0/2     start 0/2 60000ms
        0s finished 0/2    [sealed], commit 0/2
        0s cancel 0/2
        0s link up         hello slots=2 holding=[]
        0s welcome
        0s set 0/2         [revealed], reveal 0/2
        0s cancel 0/2
        0s set 0/2         reveal 0/2
        0s reveal ack 0/2
        0s cancel 0/2      [closed], forget 0/2
        0s assign 0/3      fetch 0/3
        0s fetched 0/3     start 0/3 60000ms
        0s finished 0/3    [sealed], commit 0/3
        0s cancel 0/3
        120s tick            [closed], forget 0/3
        ",
    );
}

#[test]
fn one_vote_a_task_whatever_the_round() {
    let mut world = World::connected(2);
    let t = task(0, 1);
    world.assign(t, 0);
    world.assign(t, 0);
    world.assign(t, 1);
    world.assign(t, 0);
    world.fetched(t, Ok(()));
    world.finished(t, Ok(b"result"));
    world.assign(t, 1);
    world.assign(t, 2);
    world.fetched(t, Ok(()));
    world.finished(t, Ok(b"result"));
    world.ack(t);
    world.assign(t, 3);
    check(
        &world,
        "
        0s assign 0/1      fetch 0/1
        0s assign 0/1
        0s assign 0/1#1    stop #1, fetch 0/1
        0s assign 0/1
        0s fetched 0/1     start 0/1 60000ms
        0s finished 0/1    [sealed], commit 0/1
        0s assign 0/1#1    commit 0/1
        0s assign 0/1#2    [closed], forget 0/1, fetch 0/1
        0s fetched 0/1     start 0/1 60000ms
        0s finished 0/1    [sealed], commit 0/1
        0s ack 0/1         [acked]
        0s assign 0/1#3    warn second vote, give up 0/1#3 Leaving
        ",
    );
}

#[test]
fn leaving_gives_back_what_is_unfinished_and_still_shows_what_is_sealed() {
    let mut world = World::connected(2);
    world.work(task(0, 1));
    world.assign(task(0, 2), 0);
    world.trace.clear();
    world.input("leave", Input::Leave);
    world.input("leave", Input::Leave);
    world.assign(task(0, 3), 0);
    world.ack(task(0, 1));
    world.set(task(0, 1), 1);
    check(
        &world,
        "
        0s leave           slots 0, stop #2, give up 0/2 Leaving
        0s leave
        0s assign 0/3      give up 0/3 Leaving
        0s ack 0/1         [acked]
        0s set 0/1         [revealed], reveal 0/1
        ",
    );
    assert_eq!(world.agent.view().unacked, 1);
    world.reveal_ack(task(0, 1));
    assert_eq!(world.agent.view().unacked, 0);
}

#[test]
fn acknowledgements_of_what_was_never_said_are_reported() {
    let mut world = World::connected(1);
    let t = task(0, 1);
    world.work(t);
    world.trace.clear();
    let ack = CommitAckItem { task: t, attempt: 0, commitment: B256::repeat_byte(1), seq: 1 };
    world.duties("wrong ack", Duties { commit_acks: vec![ack], ..nothing() });
    let ack = RevealAckItem { task: t, attempt: 0, vote_hash: B256::ZERO, stored: false, seq: 1 };
    world.duties("wrong reveal", Duties { reveal_acks: vec![ack], ..nothing() });
    let ack = RevealAckItem {
        task: task(0, 2),
        attempt: 0,
        vote_hash: B256::ZERO,
        stored: false,
        seq: 1,
    };
    world.duties("of no job", Duties { reveal_acks: vec![ack], ..nothing() });
    check(
        &world,
        "
        0s wrong ack       warn wrong ack
        0s wrong reveal    warn wrong reveal ack
        0s of no job
        ",
    );
}

fn welcome() -> Welcome {
    let (signer, unix_ms) = (key(9).address(), world::START_S * 1000);
    let (worker, notice) = (Some(ME), String::new());
    Welcome { pool: POOL, domain: domain(), signer, worker, stake: 0, score: 0, unix_ms, notice }
}

/// What a hostile or broken scheduler hears, whether before or after a good welcome.
#[track_caller]
fn breach(is_up: bool, expected: &str, say: impl FnOnce(&mut World)) {
    let mut world = if is_up { World::connected(1) } else { World::new(1) };
    if !is_up {
        world.input("", Input::LinkUp);
    }
    say(&mut world);
    assert!(world.trace.contains(&format!("hang up: {expected}")), "{}", world.trace);
    assert_eq!(world.link(), LinkView::Down);
    world.trace.clear();
    world.assign(task(0, 8), 0);
    check(&world, "0s assign 0/8");
}

#[test]
fn a_scheduler_that_breaks_the_protocol_is_left() {
    breach(false, "the scheduler sent `Deal` before `Welcome`", |world| {
        world.frame("deal", ToWorker::Deal(deal(0)));
    });
    breach(false, "the scheduler runs pool-2, the invitation is for pool-1", |world| {
        let pool = quorate_common::ids::PoolId(2);
        world.frame("welcome", ToWorker::Welcome(Welcome { pool, ..welcome() }));
    });
    breach(false, "the scheduler settles on chain 1 with 0x", |world| {
        let domain = quorate_common::messages::Domain { chain_id: 1, ..domain() };
        world.frame("welcome", ToWorker::Welcome(Welcome { domain, ..welcome() }));
    });
    breach(false, "the scheduler sent duties, but this worker is not registered", |world| {
        world.frame("welcome", ToWorker::Welcome(Welcome { worker: None, ..welcome() }));
        assert_eq!(world.link(), LinkView::Unregistered);
        world.assign(task(0, 1), 0);
    });
    breach(true, "the scheduler changed its mind about `signer`", |world| {
        let signer = key(8).address();
        world.frame("welcome", ToWorker::Welcome(Welcome { signer, ..welcome() }));
    });
    breach(true, "duties are signed by 0x", |world| {
        let ack = CommitAckItem { task: task(0, 1), attempt: 0, commitment: B256::ZERO, seq: 1 };
        world.duties_by(&key(8), "duties", Duties { commit_acks: vec![ack], ..nothing() });
    });
    breach(true, "duties are signed by nobody", |world| {
        let ack = CommitAckItem { task: task(0, 1), attempt: 0, commitment: B256::ZERO, seq: 1 };
        let duties = Duties { commit_acks: vec![ack], ..nothing() };
        world.frame("duties", ToWorker::Duties(duties));
    });
    breach(true, "the scheduler named deal-5, which it never described", |world| {
        world.assign(task(5, 1), 0);
    });
    breach(true, "frame field `duties.task` is 65536", |world| world.assign(task(0, 65_536), 0));
    breach(true, "frame field `duties` is 0", |world| {
        world.frame("duties", ToWorker::Duties(nothing()));
    });
    breach(true, "the scheduler described deal-0 twice, differently", |world| {
        let deal = quorate_common::wire::DealInfo { slot: DealSlot(0), ..deal(1) };
        world.frame("deal", ToWorker::Deal(deal));
    });
}

#[test]
fn a_goodbye_says_whether_to_come_back() {
    let mut world = World::connected(1);
    let goodbye = Goodbye { reason: "restarting".into(), retry_ms: Some(900) };
    world.frame("goodbye", ToWorker::Goodbye(goodbye));
    check(&world, "0s goodbye         parted: restarting Some(900)");
    assert_eq!(world.link(), LinkView::Down);
}

#[test]
fn a_stranger_says_hello_again_until_it_is_registered() {
    let mut world = World::new(1);
    world.input("link up", Input::LinkUp);
    world.frame("welcome", ToWorker::Welcome(Welcome { worker: None, ..welcome() }));
    world.next_tick();
    world.input("link down", Input::LinkDown);
    world.connect();
    check(
        &world,
        "
        0s link up         hello slots=1 holding=[]
        0s welcome
        1s tick            parted: this worker is not registered with the pool's contract yet Some(0)
        1s link down
        1s link up         hello slots=1 holding=[]
        1s welcome
        ",
    );
    assert_eq!(world.link(), LinkView::Up);
}

#[test]
fn a_new_worker_index_voids_what_was_sealed_for_the_old_one() {
    let mut world = World::connected(2);
    world.work(task(0, 1));
    world.assign(task(0, 2), 0);
    world.trace.clear();
    world.input("link up", Input::LinkUp);
    let worker = Some(quorate_common::ids::WorkerIdx(8));
    world.frame("welcome", ToWorker::Welcome(Welcome { worker, ..welcome() }));
    check(
        &world,
        "
        0s link up         hello slots=2 holding=[0/1 0/2]
        0s welcome         [closed], stop #2, warn renumbered, forget 0/1
        ",
    );
}

#[test]
fn kept_results_are_bounded_and_the_least_useful_goes_first() {
    let mut world = World::connected(1);
    let most = u32::try_from(quorate_agent::KEPT_MAX).unwrap();
    let at = |n: u32| TaskKey { deal: DealSlot(n % 3), idx: n };
    world.checks_each_step = false;
    for n in 0..most {
        world.work(at(n));
    }
    world.trace.clear();
    world.checks_each_step = true;
    world.assign(task(0, 60_000), 0);
    world.set(at(5), 1);
    world.reveal_ack(at(5));
    world.assign(task(0, 60_000), 0);
    world.fetched(task(0, 60_000), Ok(()));
    world.finished(task(0, 60_000), Ok(b"result"));
    world.cancel(at(7), 0);
    world.assign(task(0, 60_001), 0);
    check(
        &world,
        "
        0s assign 0/60000  warn over slots, give up 0/60000 Deadline
        0s set 2/5         [revealed], reveal 2/5
        0s reveal ack 2/5
        0s assign 0/60000  [closed], forget 2/5, fetch 0/60000
        0s fetched 0/60000 start 0/60000 60000ms
        0s finished 0/60000 [sealed], commit 0/60000
        0s cancel 1/7
        0s assign 0/60001  [closed], forget 1/7, fetch 0/60001
        ",
    );
}
