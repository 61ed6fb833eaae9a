//! A task's life, told by what the scheduler says. One story per test.

use crate::{
    fake::{
        Fake,
        Habit::{Colluder, Honest, Liar, Mute, Quitter, Slow},
        Held, Stage, digest_of,
    },
    world::{Asks, World, task},
};
use alloy_primitives::B256;
use quorate_common::{
    bag::AppKind,
    digest::Digest,
    ids::{DealSlot, WorkerIdx},
    messages::AppOrder,
    orders::{Sides, Signed},
};
use quorate_grid::{
    Input,
    input::{ChainInput, Ticket},
    policy::Policy,
    task::Task,
};

/// Runs the world to its end and compares what was said.
#[track_caller]
pub(crate) fn check(world: &mut World, expected: &str) {
    world.run();
    let lines = expected.lines().map(str::trim).filter(|line| !line.is_empty());
    let expected: String = lines.map(|line| format!("{line}\n")).collect();
    assert_eq!(world.take_trace(), expected);
}

#[test]
fn one_replica_suffices_at_trust_one() {
    let mut world = World::new().workers(&[Honest]);
    world.deal(Asks { trust: 1, ..Asks::default() });
    check(
        &mut world,
        "worker-1 < assign deal-0/0 round 0
         worker-1 < ack commit deal-0/0 #1
         worker-1 < set deal-0/0 of 1
         worker-1 < ack reveal deal-0/0 #2
         worker-1 < settled deal-0/0: +990 -0 score 0
         deal-0/0 consensus on right: 1 replicas, 0 dissents",
    );
}

#[test]
fn three_newcomers_agree() {
    let mut world = World::new().workers(&[Honest, Honest, Honest]);
    world.deal(Asks::default());
    check(
        &mut world,
        "worker-1 < assign deal-0/0 round 0
         worker-3 < assign deal-0/0 round 0
         worker-2 < assign deal-0/0 round 0
         worker-1 < ack commit deal-0/0 #1
         worker-2 < ack commit deal-0/0 #2
         worker-3 < ack commit deal-0/0 #3
         worker-1 < set deal-0/0 of 3
         worker-3 < set deal-0/0 of 3
         worker-2 < set deal-0/0 of 3
         worker-1 < ack reveal deal-0/0 #4
         worker-2 < ack reveal deal-0/0 #5
         worker-3 < ack reveal deal-0/0 #6
         worker-1 < settled deal-0/0: +330 -0 score 1
         worker-2 < settled deal-0/0: +330 -0 score 1
         worker-3 < settled deal-0/0: +330 -0 score 1
         deal-0/0 consensus on right: 3 replicas, 0 dissents",
    );
}

#[test]
fn engines_that_may_differ_never_vote_together() {
    let mut world = World::new();
    let with = |idx: u32, engine: &str| Fake::with_engine(idx, engine, Honest);
    world.worker(with(1, "old"));
    world.deal(Asks::default());
    for idx in 2..5 {
        world.worker(with(idx, "new"));
    }
    world.worker(with(5, "old"));
    world.run();
    assert!(
        matches!(world.grid.task(task(0, 0)), Some(Task::Open(open)) if open.replicas.len() == 2)
    );
    world.worker(with(6, "old"));
    world.run();
    let trace = world.take_trace();
    assert!(trace.contains("deal-0/0 consensus on right: 3 replicas"), "{trace}");
    assert!(trace.contains("worker-6 < settled"), "{trace}");
}

#[test]
fn containers_go_to_those_who_offer_them_and_vote_by_their_engine() {
    let mut world = World::new().workers(&[Honest; 6]);
    world.deal(Asks { tag: AppKind::Docker.tag(), ..Asks::default() });
    world.run();
    assert!(!world.take_trace().contains("assign"), "nobody offers containers");
    let offer = |world: &mut World, idx: u32, engine: Option<&str>| {
        let session = world.fakes[&idx].session.unwrap();
        world.input(Input::Containers(session, engine.map(digest_of)));
    };
    offer(&mut world, 1, Some("one"));
    offer(&mut world, 2, Some("one"));
    offer(&mut world, 3, Some("other"));
    offer(&mut world, 4, Some("one"));
    world.run();
    let trace = world.take_trace();
    assert!(!trace.contains("worker-3 <") && !trace.contains("worker-5 <"), "{trace}");
    assert!(trace.contains("deal-0/0 consensus on right: 3 replicas"), "{trace}");
    // Whoever takes its offer back is not asked.
    offer(&mut world, 4, None);
    world.deal(Asks { tag: AppKind::Iexec.tag(), ..Asks::default() });
    world.run();
    assert!(!world.take_trace().contains("worker-4 < assign"), "it takes none any more");
}

#[test]
fn an_engine_that_left_before_it_voted_binds_nobody() {
    let mut world = World::new();
    world.worker(Fake::with_engine(1, "old", Quitter));
    world.deal(Asks::default());
    for idx in 2..5 {
        world.worker(Fake::with_engine(idx, "new", Honest));
    }
    world.run();
    let trace = world.take_trace();
    assert!(trace.contains("deal-0/0 consensus on right: 4 replicas"), "{trace}");
}

#[test]
fn one_liar_costs_two_replicas_more() {
    let mut world = World::new().workers(&[Honest, Liar, Honest]);
    world.deal(Asks::default());
    check(
        &mut world,
        "worker-1 < assign deal-0/0 round 0
         worker-3 < assign deal-0/0 round 0
         worker-2 < assign deal-0/0 round 0
         worker-1 < ack commit deal-0/0 #1
         worker-2 < ack commit deal-0/0 #2
         worker-3 < ack commit deal-0/0 #3
         worker-1 < set deal-0/0 of 3
         worker-3 < set deal-0/0 of 3
         worker-2 < set deal-0/0 of 3
         worker-1 < ack reveal deal-0/0 #4
         worker-2 < ack reveal deal-0/0 #5
         worker-3 < ack reveal deal-0/0 #6",
    );
    world.worker(Fake::new(4, 4, Honest));
    world.worker(Fake::new(5, 5, Honest));
    check(
        &mut world,
        "worker-4 < welcome worker-4, stake 1000000, score 0
         worker-4 < assign deal-0/0 round 1
         worker-5 < welcome worker-5, stake 1000000, score 0
         worker-5 < assign deal-0/0 round 1
         worker-4 < ack commit deal-0/0 #7
         worker-5 < ack commit deal-0/0 #8
         worker-4 < set deal-0/0 of 5
         worker-5 < set deal-0/0 of 5
         worker-4 < ack reveal deal-0/0 #9
         worker-5 < ack reveal deal-0/0 #10
         worker-1 < settled deal-0/0: +321 -0 score 1
         worker-2 < settled deal-0/0: +0 -300 score 0
         worker-3 < settled deal-0/0: +321 -0 score 1
         worker-4 < settled deal-0/0: +321 -0 score 1
         worker-5 < settled deal-0/0: +321 -0 score 1
         deal-0/0 consensus on right: 5 replicas, 1 dissents",
    );
}

#[test]
fn a_majority_of_newcomers_loses_against_one_with_a_name() {
    let mut world = World::new().workers(&[Honest; 5]);
    world.replays = false;
    world.deal(Asks { tasks: 150, trust: 30, ..Asks::default() });
    world.run();
    assert!(world.grid.deals()[&DealSlot(0)].finished());
    let veteran = world.grid.workers().into_iter().max_by_key(|worker| worker.score).unwrap();
    assert!(veteran.weight >= 21, "a veteran's weight is {}", veteran.weight);
    for idx in 1..=5 {
        world.disconnect(idx);
    }
    world.worker(Fake::new(6, 6, Colluder));
    world.worker(Fake::new(7, 7, Colluder));
    world.deal(Asks::default());
    world.run();
    world.take_trace();
    world.connect(veteran.worker.0);
    check(
        &mut world,
        "worker-3 < welcome worker-3, stake 1000000, score 73
         worker-3 < assign deal-1/0 round 0
         worker-3 < ack commit deal-1/0 #729
         worker-6 < set deal-1/0 of 3
         worker-7 < set deal-1/0 of 3
         worker-3 < set deal-1/0 of 3
         worker-3 < ack reveal deal-1/0 #730
         worker-6 < ack reveal deal-1/0 #731
         worker-7 < ack reveal deal-1/0 #732
         worker-6 < settled deal-1/0: +0 -300 score 0
         worker-7 < settled deal-1/0: +0 -300 score 0
         worker-3 < settled deal-1/0: +1584 -0 score 73
         deal-1/0 consensus on right: 3 replicas, 2 dissents",
    );
}

#[test]
fn a_lost_worker_is_replaced_at_once() {
    let mut world = World::new().workers(&[Slow]);
    world.deal(Asks { trust: 1, ..Asks::default() });
    world.run();
    world.worker(Fake::new(2, 2, Honest));
    world.disconnect(1);
    world.pass_ms(2_999);
    check(
        &mut world,
        "worker-1 < assign deal-0/0 round 0
         worker-2 < welcome worker-2, stake 1000000, score 0",
    );
    world.pass_ms(1);
    check(
        &mut world,
        "worker-2 < assign deal-0/0 round 0
         worker-2 < ack commit deal-0/0 #1
         worker-2 < set deal-0/0 of 1
         worker-2 < ack reveal deal-0/0 #2
         worker-2 < settled deal-0/0: +990 -0 score 0
         deal-0/0 consensus on right: 2 replicas, 0 dissents",
    );
}

#[test]
fn a_replica_given_back_goes_to_another() {
    let mut world = World::new().workers(&[Quitter, Honest]);
    world.deal(Asks { trust: 1, tasks: 2, ..Asks::default() });
    check(
        &mut world,
        "worker-2 < assign deal-0/0 round 0
         worker-1 < assign deal-0/1 round 0
         worker-2 < ack commit deal-0/0 #1
         worker-2 < set deal-0/0 of 1
         worker-2 < assign deal-0/1 round 0
         worker-2 < ack commit deal-0/1 #2
         worker-2 < set deal-0/1 of 1
         worker-2 < ack reveal deal-0/0 #3
         worker-2 < settled deal-0/0: +990 -0 score 0
         deal-0/0 consensus on right: 1 replicas, 0 dissents
         worker-2 < ack reveal deal-0/1 #4
         worker-2 < settled deal-0/1: +990 -0 score 0
         deal-0/1 consensus on right: 2 replicas, 0 dissents",
    );
}

#[test]
fn a_commit_after_the_lease_still_counts() {
    let mut world = World::new().workers(&[Slow]);
    world.deal(Asks { trust: 1, ..Asks::default() });
    world.run();
    world.disconnect(1);
    world.pass_ms(10_000);
    world.connect(1);
    world.finish(1, task(0, 0), "right");
    check(
        &mut world,
        "worker-1 < assign deal-0/0 round 0
         worker-1 < welcome worker-1, stake 1000000, score 0
         worker-1 < ack commit deal-0/0 #1
         worker-1 < set deal-0/0 of 1
         worker-1 < ack reveal deal-0/0 #2
         worker-1 < settled deal-0/0: +990 -0 score 0
         deal-0/0 consensus on right: 1 replicas, 0 dissents",
    );
}

#[test]
fn a_second_absence_has_a_lease_of_its_own() {
    let mut world = World::new().workers(&[Slow]);
    world.deal(Asks { trust: 1, ..Asks::default() });
    world.run();
    world.disconnect(1);
    world.pass_ms(2_000);
    world.connect(1);
    world.run();
    world.disconnect(1);
    world.take_trace();
    world.pass_ms(2_900);
    world.worker(Fake::new(2, 2, Honest));
    check(&mut world, "worker-2 < welcome worker-2, stake 1000000, score 0");
    world.pass_ms(100);
    check(
        &mut world,
        "worker-2 < assign deal-0/0 round 0
         worker-2 < ack commit deal-0/0 #1
         worker-2 < set deal-0/0 of 1
         worker-2 < ack reveal deal-0/0 #2
         worker-2 < settled deal-0/0: +990 -0 score 0
         deal-0/0 consensus on right: 2 replicas, 0 dissents",
    );
}

#[test]
fn no_owner_has_two_replicas_of_a_task() {
    let mut world = World::new().workers(&[Honest, Honest]);
    world.worker(Fake::new(3, 2, Honest));
    world.take_trace();
    world.deal(Asks::default());
    check(
        &mut world,
        "worker-1 < assign deal-0/0 round 0
         worker-3 < assign deal-0/0 round 0
         worker-1 < ack commit deal-0/0 #1
         worker-3 < ack commit deal-0/0 #2",
    );
    world.worker(Fake::new(4, 4, Honest));
    check(
        &mut world,
        "worker-4 < welcome worker-4, stake 1000000, score 0
         worker-4 < assign deal-0/0 round 0
         worker-4 < ack commit deal-0/0 #3
         worker-1 < set deal-0/0 of 3
         worker-3 < set deal-0/0 of 3
         worker-4 < set deal-0/0 of 3
         worker-1 < ack reveal deal-0/0 #4
         worker-3 < ack reveal deal-0/0 #5
         worker-4 < ack reveal deal-0/0 #6
         worker-1 < settled deal-0/0: +330 -0 score 1
         worker-3 < settled deal-0/0: +330 -0 score 1
         worker-4 < settled deal-0/0: +330 -0 score 1
         deal-0/0 consensus on right: 3 replicas, 0 dissents",
    );
}

#[test]
fn no_network_has_two_replicas_of_a_task() {
    let mut world = World::new();
    for idx in 1..=3 {
        let mut fake = Fake::new(idx, u8::try_from(idx).unwrap(), Honest);
        fake.net = Some(if idx == 1 { 1 } else { 2 });
        world.worker(fake);
    }
    world.take_trace();
    world.deal(Asks { trust: 3, ..Asks::default() });
    world.run();
    let Some(Task::Done(done)) = world.grid.task(task(0, 0)) else { panic!("settled by two") };
    assert_eq!(done.replicas, 2);
    world.deal(Asks::default());
    world.run();
    let open = world.grid.task(task(1, 0)).unwrap().open().unwrap();
    assert_eq!(open.live(), 2, "a third replica would be of a network that has one");
}

#[test]
fn who_commits_and_never_reveals_is_a_loser() {
    let mut world = World::new().workers(&[Honest, Mute, Honest]);
    world.deal(Asks::default());
    world.run();
    world.worker(Fake::new(4, 4, Honest));
    world.run();
    world.take_trace();
    world.pass_ms(181_000);
    check(
        &mut world,
        "worker-4 < assign deal-0/0 round 1
         worker-4 < ack commit deal-0/0 #6
         worker-4 < set deal-0/0 of 4
         worker-4 < ack reveal deal-0/0 #7
         worker-1 < settled deal-0/0: +429 -0 score 1
         worker-2 < settled deal-0/0: +0 -300 score 0
         worker-3 < settled deal-0/0: +429 -0 score 1
         worker-4 < settled deal-0/0: +429 -0 score 1
         deal-0/0 consensus on right: 4 replicas, 1 dissents",
    );
}

/// One was away, the other's connection broke over the last word: both learn of it when they return, however
/// they ask, and once they know it they ask no more.
#[test]
fn what_came_of_a_task_is_said_again_to_who_missed_it() {
    let mut world = World::new().workers(&[Honest, Mute, Honest]);
    world.deal(Asks::default());
    world.run();
    world.worker(Fake::new(4, 4, Honest));
    world.run();
    world.disconnect(2);
    let unheard = world.fakes[&1].held[&task(0, 0)].clone();
    world.pass_ms(181_000);
    world.run();
    world.take_trace();
    world.connect(2);
    check(
        &mut world,
        "worker-2 < welcome worker-2, stake 999700, score 0
         worker-2 < settled deal-0/0: +0 -300 score 0",
    );
    world.fakes.get_mut(&1).unwrap().held.insert(task(0, 0), unheard.clone());
    world.restart();
    world.take_trace();
    world.connect(1);
    check(
        &mut world,
        "worker-1 < welcome worker-1, stake 1000000, score 1
         worker-1 < settled deal-0/0: +429 -0 score 1",
    );
    let Stage::Revealed { set_root, .. } = unheard.stage else { panic!("{unheard:?}") };
    let fake = world.fakes.get_mut(&1).unwrap();
    fake.held.insert(task(0, 0), unheard);
    fake.say_reveal(task(0, 0), set_root);
    world.collect(1);
    check(&mut world, "worker-1 < settled deal-0/0: +429 -0 score 1");
    world.connect(1);
    check(
        &mut world,
        "session 6 < goodbye: the same node connected again
         worker-1 < welcome worker-1, stake 1000000, score 1",
    );
}

#[test]
fn no_quorum_with_all_replicas_there_may_be() {
    let mut world = World::new().workers(&[Honest, Liar, Honest]);
    world.deal(Asks { replicas: 3, ..Asks::default() });
    check(
        &mut world,
        "worker-1 < assign deal-0/0 round 0
         worker-3 < assign deal-0/0 round 0
         worker-2 < assign deal-0/0 round 0
         worker-1 < ack commit deal-0/0 #1
         worker-2 < ack commit deal-0/0 #2
         worker-3 < ack commit deal-0/0 #3
         worker-1 < set deal-0/0 of 3
         worker-3 < set deal-0/0 of 3
         worker-2 < set deal-0/0 of 3
         worker-1 < ack reveal deal-0/0 #4
         worker-2 < ack reveal deal-0/0 #5
         worker-3 < ack reveal deal-0/0 #6
         worker-1 < settled deal-0/0: +0 -0 score 0
         worker-2 < settled deal-0/0: +0 -0 score 0
         worker-3 < settled deal-0/0: +0 -0 score 0
         deal-0/0 no quorum: 3 replicas, 0 dissents",
    );
}

#[test]
fn who_committed_where_agreement_is_out_of_reach_is_told() {
    let mut world = World::new().workers(&[Honest, Honest]);
    world.deal(Asks { replicas: 2, ..Asks::default() });
    check(
        &mut world,
        "worker-2 < assign deal-0/0 round 0
         worker-1 < assign deal-0/0 round 0
         worker-1 < ack commit deal-0/0 #1
         worker-2 < ack commit deal-0/0 #2
         worker-2 < cancel deal-0/0
         worker-1 < cancel deal-0/0
         deal-0/0 no quorum: 2 replicas, 0 dissents",
    );
    assert!(world.fakes[&1].held.is_empty() && world.fakes[&2].held.is_empty());
}

#[test]
fn what_is_not_settled_at_the_deadline_expires() {
    let mut world = World::new().workers(&[Honest, Slow]);
    world.deal(Asks { tasks: 3, deadline_s: 30, ..Asks::default() });
    world.run();
    world.take_trace();
    world.pass_ms(30_000);
    check(
        &mut world,
        "worker-2 < cancel deal-0/0
         worker-1 < cancel deal-0/0
         deal-0/0 expired: 2 replicas, 0 dissents
         worker-1 < cancel deal-0/1
         deal-0/1 expired: 1 replicas, 0 dissents
         worker-1 < cancel deal-0/2
         deal-0/2 expired: 1 replicas, 0 dissents",
    );
}

#[test]
fn a_deal_that_becomes_ready_after_its_end_stays_expired() {
    let mut world = World::new().workers(&[Honest]);
    let opened = world.terms(Asks { deadline_s: 30, ..Asks::default() });
    world.input(Input::Chain(ChainInput::Deal { opened: Box::new(opened.clone()), work: None }));
    world.pass_ms(31_000);
    world.input(Input::Chain(ChainInput::Deal {
        opened: Box::new(opened),
        work: Some(Default::default()),
    }));
    world.pass_ms(31_000);
    check(&mut world, "deal-0/0 expired: 0 replicas, 0 dissents");
}

#[test]
fn a_deal_nobody_can_afford_does_not_hold_up_the_next() {
    let mut world = World::new().workers(&[Honest]);
    world.deal(Asks { price: 1 << 100, trust: 1, ..Asks::default() });
    world.deal(Asks { trust: 1, ..Asks::default() });
    check(
        &mut world,
        "worker-1 < assign deal-1/0 round 0
         worker-1 < ack commit deal-1/0 #1
         worker-1 < set deal-1/0 of 1
         worker-1 < ack reveal deal-1/0 #2
         worker-1 < settled deal-1/0: +990 -0 score 0
         deal-1/0 consensus on right: 1 replicas, 0 dissents",
    );
}

#[test]
fn the_second_backer_is_asked_when_the_first_fails() {
    let mut world = World::new();
    for idx in 1..=3 {
        let mut fake = Fake::new(idx, u8::try_from(idx).unwrap(), Honest);
        fake.inline = false;
        fake.brings = idx == 2;
        world.worker(fake);
    }
    world.deal(Asks::default());
    world.run();
    let fetches = |world: &mut World| -> Vec<String> {
        let trace = world.take_trace();
        let told = |line: &&str| line.contains("fetch") || line.contains("consensus");
        trace.lines().filter(told).map(str::to_owned).collect()
    };
    assert_eq!(fetches(&mut world), ["worker-1 < fetch deal-0/0 right"]);
    world.pass_ms(15_000);
    assert_eq!(fetches(&mut world), ["worker-3 < fetch deal-0/0 right"]);
    world.pass_ms(15_000);
    assert_eq!(
        fetches(&mut world),
        ["worker-2 < fetch deal-0/0 right", "deal-0/0 consensus on right: 3 replicas, 0 dissents",]
    );
}

#[test]
fn bytes_are_asked_for_again_as_soon_as_a_backer_is_back() {
    let mut world = World::new();
    let mut fake = Fake::new(1, 1, Honest);
    (fake.inline, fake.brings) = (false, false);
    world.worker(fake);
    world.deal(Asks { trust: 1, ..Asks::default() });
    world.run();
    world.disconnect(1);
    world.restart();
    world.take_trace();
    world.fakes.get_mut(&1).unwrap().brings = true;
    world.connect(1);
    check(
        &mut world,
        "worker-1 < welcome worker-1, stake 1000000, score 0
         worker-1 < fetch deal-0/0 right
         worker-1 < ack reveal deal-0/0 #2
         worker-1 < settled deal-0/0: +990 -0 score 0
         deal-0/0 consensus on right: 1 replicas, 0 dissents",
    );
}

#[test]
fn repeated_frames_are_acknowledged_again_and_change_nothing() {
    let mut world = World::new().workers(&[Honest, Honest, Slow]);
    world.deal(Asks::default());
    let mut frames = Vec::new();
    while let Some((session, message)) = world.down.pop_front() {
        world.deliver_down(session, &message);
    }
    for idx in 1..=2 {
        world.collect(idx);
    }
    frames.extend(world.up.iter().cloned());
    world.run();
    world.take_trace();
    for (session, message) in frames.clone() {
        world.deliver_up(session, message);
    }
    check(
        &mut world,
        "worker-1 < ack commit deal-0/0 #1
         worker-2 < ack commit deal-0/0 #2",
    );
    world.finish(3, task(0, 0), "right");
    world.run();
    world.take_trace();
    for (session, message) in frames {
        world.deliver_up(session, message);
    }
    check(
        &mut world,
        "worker-1 < settled deal-0/0: +330 -0 score 1
         worker-2 < settled deal-0/0: +330 -0 score 1",
    );
}

#[test]
fn foreign_late_and_senseless_votes_are_ignored() {
    let mut world = World::new().workers(&[Slow, Slow]);
    world.deal(Asks { trust: 1, task_s: 10, ..Asks::default() });
    let (mine, other) = (assigned(&world), 3 - assigned(&world));
    world.run();
    world.take_trace();
    // Somebody who was not asked commits, and reveals.
    let known = world.fakes[&mine].deals.clone();
    let held = Held {
        attempt: 0,
        result: "right".into(),
        salt: B256::repeat_byte(9),
        stage: Stage::Committed { acked: false },
    };
    let fake = world.fakes.get_mut(&other).unwrap();
    fake.deals = known;
    fake.held.insert(task(0, 0), held.clone());
    fake.say_commit(&world.separator, task(0, 0));
    fake.say_reveal(task(0, 0), B256::repeat_byte(1));
    // Who was asked votes in another round, for a task that is not, and reveals before the set.
    let fake = world.fakes.get_mut(&mine).unwrap();
    fake.held.insert(task(0, 0), Held { attempt: 7, ..held.clone() });
    fake.say_commit(&world.separator, task(0, 0));
    fake.held.insert(task(0, 0), held);
    fake.say_reveal(task(0, 0), B256::repeat_byte(1));
    check(&mut world, "");
    // And then too late.
    world.pass_quietly_ms(11_000);
    world.finish(mine, task(0, 0), "right");
    check(
        &mut world,
        "worker-2 < cancel deal-0/0
         worker-1 < assign deal-0/0 round 0
         worker-2 < cancel deal-0/0",
    );
}

fn assigned(world: &World) -> u32 {
    world.grid.task(task(0, 0)).unwrap().open().unwrap().replicas[0].worker.0
}

#[test]
fn a_second_commit_does_not_replace_the_first() {
    let mut world = World::new().workers(&[Honest, Slow]);
    world.deal(Asks { trust: 3, ..Asks::default() });
    world.run();
    world.take_trace();
    let first = world.fakes[&1].held[&task(0, 0)].clone();
    world.finish(1, task(0, 0), "wrong");
    check(&mut world, "");
    world.fakes.get_mut(&1).unwrap().held.insert(task(0, 0), first);
    world.finish(2, task(0, 0), "right");
    check(
        &mut world,
        "worker-2 < ack commit deal-0/0 #2
         worker-2 < set deal-0/0 of 2
         worker-1 < set deal-0/0 of 2
         worker-1 < ack reveal deal-0/0 #3
         worker-2 < ack reveal deal-0/0 #4
         worker-1 < settled deal-0/0: +495 -0 score 1
         worker-2 < settled deal-0/0: +495 -0 score 1
         deal-0/0 consensus on right: 2 replicas, 0 dissents",
    );
}

#[test]
fn a_reveal_that_does_not_open_the_commitment_is_ignored() {
    let mut world = World::new().workers(&[Mute]);
    world.deal(Asks { trust: 1, ..Asks::default() });
    world.run();
    world.take_trace();
    let set = world.grid.task(task(0, 0)).unwrap().open().unwrap().sets[0].root;
    let fake = world.fakes.get_mut(&1).unwrap();
    fake.held.get_mut(&task(0, 0)).unwrap().result = "wrong".into();
    fake.say_reveal(task(0, 0), set);
    check(&mut world, "");
    let fake = world.fakes.get_mut(&1).unwrap();
    fake.held.get_mut(&task(0, 0)).unwrap().result = "right".into();
    fake.say_reveal(task(0, 0), B256::repeat_byte(1));
    check(&mut world, "");
    world.fakes.get_mut(&1).unwrap().say_reveal(task(0, 0), set);
    check(
        &mut world,
        "worker-1 < ack reveal deal-0/0 #2
         worker-1 < settled deal-0/0: +990 -0 score 0
         deal-0/0 consensus on right: 1 replicas, 0 dissents",
    );
}

#[test]
fn a_restart_in_the_middle_loses_nothing() {
    let mut world = World::new().workers(&[Honest, Slow, Mute]);
    world.deal(Asks { tasks: 2, ..Asks::default() });
    world.run();
    world.write_snapshot();
    world.finish(2, task(0, 0), "right");
    world.run();
    world.restart();
    world.take_trace();
    world.fakes.get_mut(&3).unwrap().habit = Honest;
    for idx in 1..=3 {
        world.connect(idx);
    }
    check(
        &mut world,
        "worker-1 < welcome worker-1, stake 1000000, score 0
         worker-2 < welcome worker-2, stake 1000000, score 0
         worker-3 < welcome worker-3, stake 1000000, score 0
         worker-3 < set deal-0/0 of 3
         worker-3 < ack reveal deal-0/0 #8
         worker-1 < settled deal-0/0: +330 -0 score 1
         worker-3 < settled deal-0/0: +330 -0 score 1
         worker-2 < settled deal-0/0: +330 -0 score 1
         deal-0/0 consensus on right: 3 replicas, 0 dissents",
    );
    world.finish(2, task(0, 1), "right");
    world.run();
    assert!(world.grid.deals()[&DealSlot(0)].finished());
}

#[test]
fn a_batch_closes_by_count_and_by_age() {
    let policy = Policy { batch_tasks: 2, batch_ms: 60_000, ..Policy::default() };
    let mut world = World::with(policy).workers(&[Honest]);
    world.deal(Asks { tasks: 5, trust: 1, ..Asks::default() });
    let seals = |world: &mut World| -> Vec<String> {
        world.run();
        let trace = world.take_trace();
        trace.lines().filter(|line| line.contains("seal")).map(str::to_owned).collect()
    };
    assert_eq!(seals(&mut world), ["seal batch 1 of 2", "seal batch 2 of 2"]);
    world.pass_ms(30_000);
    world.restart();
    world.pass_ms(29_999);
    assert_eq!(seals(&mut world), [""; 0]);
    world.pass_ms(1);
    assert_eq!(seals(&mut world), ["seal batch 3 of 1"]);
    for index in 1..=3 {
        world.input(Input::Committed { index });
        world.input(Input::Finalized { index });
    }
    world.restart();
    let files = world.grid.ledger().unsealed();
    assert!(files.is_empty(), "a batch on chain is not sealed again");
}

#[test]
fn an_expiring_crowd_fills_many_batches() {
    let policy = Policy { batch_tasks: 100, ..Policy::default() };
    let mut world = World::with(policy);
    world.replays = false;
    world.deal(Asks { tasks: 1_250, deadline_s: 30, ..Asks::default() });
    world.pass_ms(31_000);
    world.close();
    let sizes: Vec<u32> = world.batches.values().map(|batch| batch.header.count).collect();
    assert_eq!(sizes, [vec![100; 12], vec![50]].concat());
}

/// Its requester opened the deal, or this scheduler did before its disk was set back to an old one.
#[test]
fn an_order_whose_deal_is_there_already_is_not_opened_again() {
    let mut world = World::new();
    let (req, _) = world.orders(Asks::default());
    let opened = world.terms(Asks::default());
    world.input(Input::Chain(ChainInput::Deal {
        opened: Box::new(opened),
        work: Some(Default::default()),
    }));
    let (req, signature) = (Box::new(req), vec![1; 64]);
    world.input(Input::Order { ticket: Ticket(1), req, signature, sides: Box::default() });
    world.restart();
    let trace = world.take_trace();
    assert!(trace.contains("deal: Some(DealSlot(0)) }"), "{trace}");
    assert!(!trace.contains("open deal of"), "{trace}");
}

#[test]
fn an_order_is_opened_once_and_answered_always() {
    let mut world = World::new();
    let (req, _) = world.orders(Asks::default());
    let opened = world.terms(Asks::default());
    let sold = Signed { order: AppOrder { price: 3, ..AppOrder::default() }, signature: vec![2] };
    let sides = Sides { app: Some(sold), ..Sides::default() };
    let order = |ticket| {
        let (req, signature) = (Box::new(req.clone()), vec![1; 64]);
        Input::Order { ticket: Ticket(ticket), req, signature, sides: Box::new(sides.clone()) }
    };
    world.input(order(1));
    world.input(order(2));
    world.restart();
    let (hash, kept) = world.grid.orders().iter().next().unwrap();
    assert_eq!(kept.sides, sides, "what came with it is as durable as the order");
    let hash = *hash;
    world.input(Input::OpenFailed { order: hash, reason: "no money".into() });
    world.input(order(3));
    world.input(Input::Chain(ChainInput::Deal {
        opened: Box::new(opened),
        work: Some(Default::default()),
    }));
    world.input(order(4));
    let trace = world
        .take_trace()
        .replace(&hash.to_string(), "HASH")
        .replace(&hash.to_string()[..10], "HASH");
    assert_eq!(
        trace.lines().collect::<Vec<_>>(),
        [
            "open deal of HASH",
            "reply to 1: Accepted { order: HASH, deal: None }",
            "reply to 2: Accepted { order: HASH, deal: None }",
            "restart",
            "open deal of HASH",
            "open deal of HASH",
            "reply to 3: Accepted { order: HASH, deal: None }",
            "reply to 4: Accepted { order: HASH, deal: Some(DealSlot(0)) }",
        ]
    );
}

#[test]
fn strangers_and_double_connections_are_shown_the_door() {
    let mut world = World::new().workers(&[Slow]);
    let (node_key, slots) = (B256::repeat_byte(1), 1);
    let session = quorate_grid::input::SessionId(77);
    let vote_key = world.fakes[&1].key.address();
    let hello = |node_key, vote_key| Input::Connected {
        session,
        node_key,
        vote_key,
        slots,
        net: None,
        engine: Digest::ZERO,
        ask: 0,
        holding: Vec::new(),
    };
    world.input(hello(node_key, vote_key));
    world.input(hello(world.fakes[&1].node_key, alloy_primitives::Address::ZERO));
    assert_eq!(world.grid.worker_of(session), None);
    let older = world.fakes[&1].session.unwrap();
    world.connect(1);
    world.input(Input::Disconnected(older));
    check(
        &mut world,
        "session 77 < welcome unknown, stake 0, score 0
         session 77 < goodbye: this vote key is not the one registered for the node
         session 1 < goodbye: the same node connected again
         worker-1 < welcome worker-1, stake 1000000, score 0",
    );
    assert!(world.grid.worker(WorkerIdx(1)).unwrap().connected);
}

#[test]
fn a_wall_clock_put_forward_brings_deadlines_nearer() {
    let mut world = World::new();
    let opened = world.terms(Asks { deadline_s: 100, ..Asks::default() });
    // The clock is ten minutes behind when the deal is heard of, and right again soon after.
    world.now.unix_ms -= 600_000;
    world.input(Input::Chain(ChainInput::Deal {
        opened: Box::new(opened),
        work: Some(Default::default()),
    }));
    world.now.unix_ms += 600_000;
    world.input(Input::Tick);
    world.pass_ms(99_000);
    check(&mut world, "");
    world.pass_ms(2_000);
    check(&mut world, "deal-0/0 expired: 0 replicas, 0 dissents");
}

/// Workers count by the scheduler's clock: one that was told a wrong time would give its work up as late.
#[test]
fn who_is_here_is_told_when_the_wall_clock_was_set() {
    for step_ms in [600_000_i64, -600_000] {
        let mut world = World::new().workers(&[Slow]);
        world.run();
        world.take_trace();
        world.now.unix_ms = world.now.unix_ms.checked_add_signed(999 * step_ms.signum()).unwrap();
        world.input(Input::Tick);
        world.run();
        check(&mut world, "");
        world.now.unix_ms = world.now.unix_ms.checked_add_signed(step_ms).unwrap();
        world.input(Input::Tick);
        world.run();
        check(&mut world, "worker-1 < welcome worker-1, stake 1000000, score 0");
    }
}

#[test]
fn at_trust_1_bytes_that_are_here_are_not_given_up_for_bytes_that_do_not_come() {
    let mut world = World::new().workers(&[Slow]);
    world.deal(Asks { trust: 1, ..Asks::default() });
    world.run();
    // Its lease ends, another is asked, and it comes back: both vote, each for something else.
    world.disconnect(1);
    world.pass_ms(10_000);
    world.worker(Fake::new(2, 2, Slow));
    world.run();
    let first = world.fakes.get_mut(&1).unwrap();
    (first.inline, first.brings) = (false, false);
    world.connect(1);
    world.finish(1, task(0, 0), "right");
    world.finish(2, task(0, 0), "wrong");
    world.take_trace();
    check(
        &mut world,
        "worker-1 < ack commit deal-0/0 #1
         worker-2 < ack commit deal-0/0 #2
         worker-1 < set deal-0/0 of 2
         worker-2 < set deal-0/0 of 2
         worker-1 < ack reveal deal-0/0 #3, bytes to come
         worker-2 < ack reveal deal-0/0 #4
         worker-1 < settled deal-0/0: +0 -300 score 0
         worker-2 < settled deal-0/0: +1287 -0 score 0
         deal-0/0 consensus on wrong: 2 replicas, 1 dissents",
    );
}
