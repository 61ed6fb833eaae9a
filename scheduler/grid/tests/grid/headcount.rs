//! Counts and searches: right, and cheap enough for a page in a busy pool.

use crate::{
    fake::Habit::{Honest, Liar},
    world::{Asks, World},
};
use alloy_primitives::{Address, B256};
use quorate_common::ids::WorkerIdx;
use quorate_grid::{
    Grid, Record,
    headcount::{Among, Search},
    policy::Policy,
    restraint::{Keep, Restraint},
    task::Task,
};

#[test]
fn everybody_and_everything_is_counted_once() {
    let mut world = World::new().workers(&[Honest, Honest, Honest, Liar]);
    world.deal(Asks { tasks: 3, ..Asks::default() });
    world.run();
    world.disconnect(2);
    let headcount = world.grid.headcount();
    assert_eq!((headcount.known, headcount.connected, headcount.working), (4, 3, 0));
    let deals = || world.grid.deals().values();
    let tasks = deals().flat_map(|deal| &deal.tasks);
    let open = tasks.filter(|task| matches!(task, Task::Open(_))).count() as u64;
    assert_eq!((headcount.queued, headcount.open, headcount.settled), (0, open, 3 - open));
    let price = deals().next().unwrap().terms.price();
    assert_eq!(
        (headcount.escrow, headcount.batch_tasks),
        (price * u128::from(open), 3 - open as usize)
    );
    let count = |among| world.grid.find_workers(&Search { among, ..Search::default() }, 0, 9).total;
    assert_eq!([Among::All, Among::Online, Among::Offline].map(count), [4, 3, 1]);
    let liar = world.grid.company().tally(WorkerIdx(4));
    assert_eq!(liar.votes, liar.lost);
    // What it said where nothing is settled yet is not held against it.
    assert_eq!(count(Among::Dissenting), usize::from(liar.lost > 0));
}

#[test]
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the grid is timed, it does not look"
)]
fn a_look_at_ten_thousand_workers_is_quick() {
    let world = World::new();
    let mut grid = Grid::new(world.grid.genesis(), Policy::default(), [7; 32]);
    for worker in 1..=10_000_u32 {
        let node_key = B256::left_padding_from(&worker.to_be_bytes());
        let owner = Address::left_padding_from(&worker.to_be_bytes());
        let vote_key = owner;
        grid.apply(&Record::Worker { worker: WorkerIdx(worker), owner, vote_key, node_key });
    }
    let restraint =
        Restraint { keep: Keep::Banned, reason: "spam".into(), by: "ada".into(), at_unix_ms: 1 };
    let (worker, restraint) = (WorkerIdx(9_999), Some(restraint));
    grid.apply(&Record::Restrained { worker, restraint });
    let search = |text: &str| Search { text: text.into(), ..Search::default() };
    let began = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(grid.headcount().banned, 1);
        assert_eq!(grid.find_workers(&search(""), 9_990, 50).workers.len(), 10);
        assert_eq!(grid.find_workers(&search("9999"), 0, 50).workers[0].worker, worker);
    }
    // Optimised it is a millisecond each; the rest is for a test build on a busy machine.
    let each = began.elapsed() / 30;
    assert!(each.as_millis() < 100, "{each:?} a look");
}

#[test]
fn a_page_of_workers_is_where_it_says() {
    let world = World::new().workers(&[Honest, Honest, Honest]);
    let page = world.grid.find_workers(&Search::default(), 1, 1);
    assert_eq!((page.total, page.workers[0].worker), (3, WorkerIdx(2)));
    let found = Search {
        named: [page.workers[0].node_key].into(),
        text: "ada".into(),
        ..Search::default()
    };
    assert_eq!(world.grid.find_workers(&found, 0, 9).workers[0].worker, WorkerIdx(2));
}
