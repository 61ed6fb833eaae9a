//! Random worlds: whatever is lost, repeated, reordered or restarted, every task ends exactly once,
//! money adds up, the records tell the whole story, and strangers can check all of it.

use crate::{
    fake::{Fake, Habit, Stage, digest_of},
    world::{Asks, World},
};
use alloy_primitives::B256;
use proptest::prelude::*;
use quorate_common::{
    ids::{TaskKey, WorkerIdx},
    wire::CommitItem,
};
use quorate_grid::{
    Input, audit::verify, calibration::Work, credibility::Promise, evidence::Receipt,
    input::ChainInput, policy::Policy,
};

/// Steps of one world: enough for a few deals to end in every way there is.
const STEPS: usize = 400;
/// Worlds in one run of the tests; `PROPTEST_CASES` asks for another number.
const WORLDS: u32 = 40;

fn config() -> ProptestConfig {
    let plain = ProptestConfig::default();
    // 256 is what the library does when nobody asks.
    let cases = if plain.cases == 256 { WORLDS } else { plain.cases };
    ProptestConfig { cases, max_shrink_iters: 0, failure_persistence: None, ..plain }
}

/// A small generator, so that a seed is the whole story.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.roll(count as u64)).unwrap()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn settle_the_world(dice: &mut Dice, promise: Option<Promise>) -> World {
    let policy = Policy {
        promise,
        reveal_s: 10,
        fetch_ms: 2_000,
        batch_tasks: 4,
        batch_ms: 20_000,
        scan_max: 2,
        ..Policy::default()
    };
    let mut world = World::with(policy);
    for idx in 1..=dice.roll(8) + 2 {
        let idx = u32::try_from(idx).unwrap();
        let habits = [
            Habit::Honest,
            Habit::Honest,
            Habit::Honest,
            Habit::Slow,
            Habit::Liar,
            Habit::Colluder,
            Habit::Mute,
            Habit::Quitter,
        ];
        let owner = if dice.roll(6) == 0 { 1 } else { u8::try_from(idx).unwrap() };
        let mut fake = Fake::new(idx, owner, dice.one_of(&habits));
        fake.slots = u16::try_from(dice.roll(3) + 1).unwrap();
        fake.net = (dice.roll(3) == 0).then(|| dice.roll(3));
        (fake.inline, fake.brings) = (dice.roll(2) == 0, dice.roll(4) != 0);
        fake.ask = dice.one_of(&[0, 0, 0, 1, 500]);
        world.worker(fake);
    }
    world
}

fn open_a_deal(world: &mut World, dice: &mut Dice) {
    let asks = Asks {
        tag: alloy_primitives::B256::ZERO,
        tasks: u32::try_from(dice.roll(5) + 1).unwrap(),
        trust: dice.one_of(&[0, 1, 2, 3, 5, 20]),
        replicas: dice.one_of(&[1, 2, 3, 5, 7, 15]),
        price: dice.one_of(&[0, 1, 7, 1_000, 1_000_003]),
        deadline_s: dice.roll(120) + 5,
        task_s: dice.roll(40) + 1,
        royalties: (dice.one_of(&[0, 0, 3, 1_000]), dice.one_of(&[0, 0, 5])),
        requester: dice.one_of(&[0xee, 0xef, 0xf0]),
    };
    // Some are of programs that need not agree with themselves.
    let program = dice.one_of(&[None, None, Some("one"), Some("other")]).map(digest_of);
    let (opened, work) = (Box::new(world.terms(asks)), Some(Work { program, ..Work::default() }));
    if dice.roll(4) == 0 {
        let opened = opened.clone();
        world.input(Input::Chain(ChainInput::Deal { opened, work: None }));
        world.pass_quietly_ms(dice.roll(8_000));
    }
    world.input(Input::Chain(ChainInput::Deal { opened, work }));
}

fn step(world: &mut World, dice: &mut Dice) {
    let workers = world.fakes.len() as u64;
    let idx = u32::try_from(dice.roll(workers) + 1).unwrap();
    match dice.roll(105) {
        0..25 => {
            if !world.down.is_empty() {
                let at = dice.below(world.down.len());
                let (session, message) = world.down.remove(at).unwrap();
                world.deliver_down(session, &message);
            }
        }
        25..50 => {
            if !world.up.is_empty() {
                let at = dice.below(world.up.len());
                let (session, message) = world.up.remove(at).unwrap();
                world.deliver_up(session, message);
            }
        }
        50..68 => world.collect(idx),
        68..70 => {
            let at = dice.below(world.up.len() + 1);
            world.up.remove(at);
            let at = dice.below(world.down.len() + 1);
            world.down.remove(at);
        }
        70..75 => {
            if !world.up.is_empty() {
                let again = world.up[dice.below(world.up.len())].clone();
                world.up.push_back(again);
            }
        }
        75..80 => {
            let separator = world.separator;
            world.fakes.get_mut(&idx).unwrap().repeat(&separator);
        }
        80..85 => finish_something(world, idx),
        85..89 => world.pass_quietly_ms(dice.roll(4_000)),
        89..91 => world.disconnect(idx),
        91..94 => {
            if world.fakes[&idx].session.is_none() || dice.roll(4) == 0 {
                world.connect(idx);
            }
        }
        94 => world.restart(),
        95 => world.write_snapshot(),
        96 => world.input(Input::CloseBatch),
        97 => {
            let index = dice.roll(5);
            world.input(Input::Committed { index });
            world.input(Input::Finalized { index: dice.roll(5) });
        }
        98 => say_nonsense(world, dice, idx),
        99 => {
            if let Some(session) = world.fakes[&idx].session {
                world.input(Input::Slots(session, u16::try_from(dice.roll(4)).unwrap()));
            }
        }
        100 => {
            let (worker, stake) = (WorkerIdx(idx), u128::from(dice.roll(3)) * 400_000);
            let exiting = dice.roll(4) == 0;
            world.input(Input::Chain(ChainInput::Stake { worker, stake, exiting }));
        }
        101 => world.now.unix_ms += dice.roll(20_000),
        102 => world.now.unix_ms -= dice.roll(5_000),
        _ => open_a_deal(world, dice),
    }
}

fn finish_something(world: &mut World, idx: u32) {
    let held = &world.fakes[&idx].held;
    let working = held.iter().find(|(_, held)| held.stage == Stage::Working);
    if let Some(task) = working.map(|(task, _)| *task) {
        world.finish(idx, task, "right");
    }
}

/// Commits nobody asked for, and reveals that open nothing, signed all the same.
fn say_nonsense(world: &mut World, dice: &mut Dice, idx: u32) {
    let slots: Vec<_> = world.grid.deals().iter().map(|(slot, deal)| (*slot, deal.id)).collect();
    if slots.is_empty() {
        return;
    }
    let (deal, id) = slots[dice.below(slots.len())];
    let task = TaskKey { deal, idx: u32::try_from(dice.roll(6)).unwrap() };
    let fake = world.fakes.get_mut(&idx).unwrap();
    fake.deals.insert(deal, id);
    fake.raves = true;
    let attempt = u16::try_from(dice.roll(3)).unwrap();
    fake.commits.push(CommitItem { task, attempt, commitment: B256::repeat_byte(7) });
    if fake.held.contains_key(&task) {
        fake.say_reveal(task, B256::repeat_byte(1));
    }
}

/// Everything is delivered and every deadline passes.
fn end(world: &mut World) {
    let idxs: Vec<u32> = world.fakes.keys().copied().collect();
    for idx in idxs {
        world.connect(idx);
    }
    world.run();
    world.pass_ms(600_000);
    for (slot, deal) in world.grid.deals() {
        assert!(
            deal.finished(),
            "{slot} has {} of {} tasks settled",
            deal.settled,
            deal.terms.tasks
        );
    }
    world.close();
}

fn check_what_strangers_see(world: &World) {
    let mut tasks = 0;
    for index in world.batches.keys() {
        let mut anchor = world.anchor(*index);
        for receipt in world.receipts(*index) {
            tasks += 1;
            let read = Receipt::parse_canonical(receipt.to_json().as_bytes()).unwrap();
            assert_eq!(read, receipt);
            let verified = verify(&read, &anchor).unwrap();
            assert_eq!(verified.winner.is_some(), verified.outcome as u8 == 1);
            anchor.signer = None;
            assert_eq!(verify(&read, &anchor).unwrap(), verified);
        }
    }
    let settled: u32 = world.grid.deals().values().map(|deal| deal.settled).sum();
    assert_eq!(tasks, settled, "every task ends exactly once");
    for (worker, account) in world.books.workers() {
        let (same, path) = world.books.worker_proof(worker).unwrap();
        assert_eq!(&same, account);
        let proof = world.grid.ledger().worker_proof(WorkerIdx(worker.0)).unwrap();
        assert_eq!(proof, (same, path));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_random_world_ends_well(seed in any::<u64>()) {
        live(seed, None);
    }

    /// The same with a promise: besides, a result is settled as promised, or told of as one that is not
    /// (see `shadow`).
    #[test]
    fn a_random_world_keeps_its_promise(seed in any::<u64>()) {
        let promise = Promise {
            error_ppm: 50_000,
            faulty_ppm: 250_000,
            lot: 6,
            audit_ppm: 100_000,
            hold_s: 20,
        };
        live(seed, Some(promise));
    }
}

/// A whole life of one world.
fn live(seed: u64, promise: Option<Promise>) {
    let mut dice = Dice(seed);
    let mut world = settle_the_world(&mut dice, promise);
    open_a_deal(&mut world, &mut dice);
    for _ in 0..STEPS {
        step(&mut world, &mut dice);
    }
    end(&mut world);
    check_what_strangers_see(&world);
}
