//! Random schedulers, honest, forgetful and hostile, with restarts at any moment. After every step
//! the whole agent is checked, and `World` checks that nothing is shown without a proven set, that
//! no commitment is opened to two sets, and that what leaves is on disk.

#[path = "support/world.rs"]
#[expect(dead_code, reason = "each test file uses its part of the world")]
mod world;

use proptest::prelude::*;
use quorate_agent::Input;
use quorate_common::{
    B256,
    digest::Digest,
    ids::{DealSlot, TaskKey},
    wire::{Duties, GiveUpReason, Goodbye, ToWorker},
};
use world::{World, deal, key, nothing};

#[derive(Clone, Copy, Debug)]
enum Step {
    LinkUp,
    LinkDown,
    Welcome { ahead_ms: u64 },
    Deal(u32),
    Assign { task: TaskKey, attempt: u16, commit_s: u64, reveal_s: u64 },
    Fetched { task: TaskKey, ok: bool },
    Finished { task: TaskKey, ok: bool },
    Work(TaskKey),
    Ack(TaskKey),
    Set { task: TaskKey, others: u8 },
    BadSet { task: TaskKey, how: u8 },
    RevealAck(TaskKey),
    Cancel { task: TaskKey, attempt: u16 },
    Fetch { task: TaskKey, right: bool },
    Settled(TaskKey),
    WrongSigner(TaskKey),
    Goodbye,
    Offer(u16),
    Rest(Option<u64>),
    Take(bool),
    Leave,
    Later(u64),
    Tick,
    Restart,
}

fn a_task() -> impl Strategy<Value = TaskKey> {
    (0_u32..3, 0_u32..3).prop_map(|(deal, idx)| TaskKey { deal: DealSlot(deal), idx })
}

fn a_step() -> impl Strategy<Value = Step> {
    let attempt = 0_u16..3;
    prop_oneof![
        1 => Just(Step::LinkUp),
        1 => Just(Step::LinkDown),
        2 => (0_u64..30_000).prop_map(|ahead_ms| Step::Welcome { ahead_ms }),
        2 => (0_u32..4).prop_map(Step::Deal),
        8 => (a_task(), attempt.clone(), 0_u64..90, 0_u64..120).prop_map(
            |(task, attempt, commit_s, reveal_s)| Step::Assign { task, attempt, commit_s, reveal_s }
        ),
        6 => (a_task(), any::<bool>()).prop_map(|(task, ok)| Step::Fetched { task, ok }),
        6 => (a_task(), any::<bool>()).prop_map(|(task, ok)| Step::Finished { task, ok }),
        8 => a_task().prop_map(Step::Work),
        6 => a_task().prop_map(Step::Ack),
        8 => (a_task(), 0_u8..3).prop_map(|(task, others)| Step::Set { task, others }),
        3 => (a_task(), 0_u8..5).prop_map(|(task, how)| Step::BadSet { task, how }),
        5 => a_task().prop_map(Step::RevealAck),
        3 => (a_task(), attempt).prop_map(|(task, attempt)| Step::Cancel { task, attempt }),
        2 => (a_task(), any::<bool>()).prop_map(|(task, right)| Step::Fetch { task, right }),
        2 => a_task().prop_map(Step::Settled),
        1 => a_task().prop_map(Step::WrongSigner),
        1 => Just(Step::Goodbye),
        1 => (0_u16..5).prop_map(Step::Offer),
        1 => prop::option::of(0_u64..5_000_000_000).prop_map(Step::Rest),
        1 => any::<bool>().prop_map(Step::Take),
        1 => Just(Step::Leave),
        4 => (0_u64..20_000).prop_map(Step::Later),
        4 => Just(Step::Tick),
        2 => Just(Step::Restart),
    ]
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::LinkUp => world.connect(),
        Step::LinkDown => world.input("down", Input::LinkDown),
        Step::Welcome { ahead_ms } => world.welcome(ahead_ms),
        Step::Deal(slot) => world.frame("deal", ToWorker::Deal(deal(slot))),
        Step::Assign { task, attempt, commit_s, reveal_s } => {
            world.assign_until(task, attempt, commit_s, reveal_s);
        }
        Step::Fetched { task, ok } => {
            world.fetched(task, if ok { Ok(()) } else { Err(GiveUpReason::Input) });
        }
        Step::Finished { task, ok } => {
            world.finished(task, if ok { Ok(b"result") } else { Err(GiveUpReason::Engine) });
        }
        Step::Work(task) => world.work(task),
        Step::Ack(task) => world.ack(task),
        Step::Set { task, others } => world.set(task, others),
        Step::BadSet { task, how } => bad_set(world, task, how),
        Step::RevealAck(task) => world.reveal_ack(task),
        Step::Cancel { task, attempt } => world.cancel(task, attempt),
        Step::Fetch { task, right } => {
            let digest = Digest::of(if right { b"result" } else { b"others" });
            world.fetch(task, digest);
        }
        Step::Settled(task) => world.settled(task, 1),
        Step::WrongSigner(task) => wrong_signer(world, task),
        Step::Goodbye => {
            let goodbye = Goodbye { reason: "later".into(), retry_ms: None };
            world.frame("goodbye", ToWorker::Goodbye(goodbye));
        }
        Step::Offer(slots) => world.input("offer", Input::Offer(slots)),
        Step::Rest(until_s) => world.input("rest", Input::Rest { until_s }),
        Step::Take(take) => world.input("take", Input::Take(take)),
        Step::Leave => world.input("leave", Input::Leave),
        Step::Later(ms) => world.later(ms),
        Step::Tick => world.input("tick", Input::Tick),
        Step::Restart => world.restart(),
    }
}

/// A signed set that proves nothing. `World` never notes it as proven.
fn bad_set(world: &mut World, task: TaskKey, how: u8) {
    let Some(mut item) = world.set_item(task, 9) else { return };
    match how {
        0 => item.root = B256::repeat_byte(9),
        1 => item.position ^= 1,
        2 => item.path[0] = B256::ZERO,
        3 => item.n = 1,
        _ => item.position = 16 + 1,
    }
    world.send_set(item, "bad set");
}

fn wrong_signer(world: &mut World, task: TaskKey) {
    let Some(item) = world.set_item(task, 0) else { return };
    world.duties_by(&key(8), "wrong signer", Duties { sets: vec![item], ..nothing() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_scheduler_makes_a_worker_break_its_rules(
        slots in 0_u16..4,
        steps in proptest::collection::vec(a_step(), 0..80),
    ) {
        let mut world = World::new(slots);
        world.connect();
        for step in steps {
            take(&mut world, step);
        }
    }

    #[test]
    fn every_deadline_passes(steps in proptest::collection::vec(a_step(), 0..40)) {
        let mut world = World::new(3);
        world.connect();
        for step in steps {
            take(&mut world, step);
        }
        // However it stands, once it was told the time waiting alone must bring it to rest: all is given back or
        // forgotten.
        world.connect();
        for _ in 0..200_000 {
            let Some(due) = world.agent.next_deadline() else { break };
            world.later(due.saturating_sub(world.now.mono_ms));
            world.input("", Input::Tick);
        }
        prop_assert_eq!(world.agent.next_deadline(), None);
        prop_assert!(world.agent.view().jobs.is_empty());
    }
}
