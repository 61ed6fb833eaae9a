//! Time: what is known of it, who is late at the end of a bag, and what waiting behind a slot gains.

use crate::{
    fake::{Habit::*, Stage},
    scenarios::check,
    world::{Asks, World},
};
use quorate_common::{
    ids::{DealSlot, TaskKey, WorkerIdx},
    wire::ToScheduler,
};
use quorate_grid::{effect::ToSession, input::SessionId, policy::Policy};
use std::collections::BTreeMap;

fn unbuffered() -> World {
    World::with(Policy { work_per_slot: 1, ..Policy::default() })
}

fn working(world: &World, idx: u32) -> Option<TaskKey> {
    let mut held = world.fakes[&idx].held.iter();
    held.find(|(_, held)| held.stage == Stage::Working).map(|(task, _)| *task)
}

/// A bag of ten, of which worker 1 keeps one and worker 2 does the others, a second each. The task that is
/// kept, and what was said.
fn a_straggler(asks: Asks) -> (World, TaskKey, String) {
    let mut world = unbuffered().workers(&[Slow, Slow]);
    world.deal(Asks { tasks: 10, trust: 1, ..asks });
    world.run();
    let kept = working(&world, 1).unwrap();
    while let Some(task) = working(&world, 2) {
        world.pass_ms(1_000);
        world.finish(2, task, "right");
        world.run();
        if world.grid.deals()[&DealSlot(0)].settled == 9 {
            break;
        }
    }
    let trace = world.take_trace();
    (world, kept, trace)
}

#[test]
fn who_is_late_at_the_end_of_a_bag_is_overtaken() {
    let (mut world, kept, trace) = a_straggler(Asks::default());
    // It is at it for nine seconds, and others take one: worker 2 is asked once it has nothing else.
    assert!(trace.contains(&format!("worker-2 < assign {kept} round 0\n")), "{trace}");
    world.finish(2, kept, "right");
    check(
        &mut world,
        &format!(
            "worker-2 < ack commit {kept} #19
             worker-1 < cancel {kept}
             worker-2 < set {kept} of 1
             worker-2 < ack reveal {kept} #20
             worker-2 < settled {kept}: +990 -0 score 0
             {kept} consensus on right: 2 replicas, 0 dissents"
        ),
    );
    let explained = world.grid.explain_worker(WorkerIdx(1)).unwrap();
    assert_eq!((explained.failures, explained.busy), (0, 0), "slow is not wrong");
}

#[test]
fn who_is_late_and_first_after_all_is_paid() {
    let (mut world, kept, _) = a_straggler(Asks::default());
    world.finish(1, kept, "right");
    world.run();
    let trace = world.take_trace();
    assert!(trace.contains(&format!("worker-1 < settled {kept}: +990")), "{trace}");
    assert!(trace.contains(&format!("worker-2 < cancel {kept}")), "{trace}");
}

#[test]
fn nobody_is_hurried_beyond_the_deals_replicas() {
    let (mut world, kept, trace) = a_straggler(Asks { replicas: 1, ..Asks::default() });
    world.pass_ms(5_000);
    let trace = trace + &world.take_trace();
    assert!(!trace.contains(&format!("worker-2 < assign {kept}")), "{trace}");
}

#[test]
fn nobody_is_hurried_while_votes_are_revealed() {
    let (mut world, kept, _) = a_straggler(Asks::default());
    world.fakes.get_mut(&1).unwrap().habit = Mute;
    world.finish(1, kept, "right");
    check(
        &mut world,
        &format!(
            "worker-1 < ack commit {kept} #19
             worker-2 < cancel {kept}
             worker-1 < set {kept} of 1"
        ),
    );
    world.pass_ms(20_000);
    assert_eq!(world.take_trace(), "");
}

#[test]
fn paces_are_known_by_worker_and_application() {
    let (world, ..) = a_straggler(Asks::default());
    let explained = world.grid.explain_worker(WorkerIdx(2)).unwrap();
    let [pace] = explained.paces[..] else { panic!("{:?}", explained.paces) };
    assert_eq!((pace.runtime_ms, pace.turnaround_ms, pace.done), (1_000, 1_000, 9));
    assert_eq!(pace.median_ms, Some(1_000));
    let order = world.grid.explain_order(&[DealSlot(0)]).unwrap();
    assert_eq!(order.runtime_ms, Some(1_000));
}

/// Milliseconds of a message's way, one direction.
const WAY_MS: u64 = 50;
/// Milliseconds a task takes.
const RUN_MS: u64 = 200;

/// What is on its way to somebody, or runs.
enum Event {
    Down(SessionId, ToSession),
    Up(SessionId, ToScheduler),
    Finished(u32, TaskKey),
}

/// Events by time, and by their order where they come at the same.
#[derive(Default)]
struct Events {
    by_time: BTreeMap<(u64, u64), Event>,
    count: u64,
}

impl Events {
    fn add(&mut self, at_ms: u64, event: Event) {
        self.count += 1;
        self.by_time.insert((at_ms, self.count), event);
    }
}

/// Eight workers with one slot each, a tenth of a second from the scheduler and back: how many of their
/// milliseconds they work, in percent, until the bag is done.
fn utilisation(work_per_slot: u16) -> u64 {
    let mut world = World::with(Policy { work_per_slot, ..Policy::default() }).workers(&[Slow; 8]);
    world.replays = false;
    world.deal(Asks { tasks: 800, trust: 1, task_s: 60, ..Asks::default() });
    let (mut events, mut queues) = (Events::default(), BTreeMap::<u32, Vec<TaskKey>>::new());
    let (began, mut busy_ms) = (world.now.mono_ms, 0);
    while !world.grid.deals()[&DealSlot(0)].finished() {
        let now = world.now.mono_ms;
        for (session, message) in std::mem::take(&mut world.down) {
            events.add(now + WAY_MS, Event::Down(session, message));
        }
        (1..=8).for_each(|idx| world.collect(idx));
        for (session, message) in std::mem::take(&mut world.up) {
            events.add(now + WAY_MS, Event::Up(session, message));
        }
        let ((due, _), event) = events.by_time.pop_first().expect("something is on its way");
        world.pass_quietly_ms(due - now);
        match event {
            Event::Up(session, message) => world.deliver_up(session, message),
            Event::Down(session, message) => {
                let idx = world.fake_of(session).unwrap();
                world.deliver_down(session, &message);
                if let ToSession::Assign(item) = message {
                    let queue = queues.entry(idx).or_default();
                    queue.push(item.task);
                    if queue.len() == 1 {
                        events.add(due + RUN_MS, Event::Finished(idx, item.task));
                    }
                }
            }
            Event::Finished(idx, done) => {
                busy_ms += RUN_MS;
                let queue = queues.get_mut(&idx).unwrap();
                queue.retain(|task| *task != done);
                if let Some(next) = queue.first() {
                    events.add(due + RUN_MS, Event::Finished(idx, *next));
                }
                world.finish(idx, done, "right");
            }
        }
    }
    busy_ms * 100 / (8 * (world.now.mono_ms - began))
}

#[test]
fn a_slot_does_not_wait_for_the_network_while_work_is_plenty() {
    let (without, with) = (utilisation(1), utilisation(2));
    assert!((60..=70).contains(&without), "{without} % of the time without a buffer");
    assert!(with >= 97, "{with} % with one");
}

#[test]
fn nothing_waits_behind_a_slot_at_the_end_of_a_bag_or_where_tasks_are_long() {
    let most_held = |task_ms: u64, tasks: u32| {
        let mut world = World::new().workers(&[Slow; 4]);
        world.replays = false;
        world.deal(Asks { tasks, trust: 1, task_s: 600, ..Asks::default() });
        world.run();
        let mut most = Vec::new();
        while !world.grid.deals()[&DealSlot(0)].finished() {
            world.pass_ms(task_ms);
            for idx in 1..=4 {
                if let Some(task) = working(&world, idx) {
                    world.finish(idx, task, "right");
                }
            }
            world.run();
            let busy = world.grid.workers().iter().map(|worker| worker.busy).max();
            most.push(busy.unwrap());
        }
        most
    };
    let short = most_held(1_000, 40);
    assert!(short.contains(&2), "{short:?}");
    let last: Vec<u16> = short.iter().rev().take(2).copied().collect();
    assert_eq!(last, [0, 1], "{short:?}");
    assert!(!most_held(11_000, 40).contains(&2));
}
