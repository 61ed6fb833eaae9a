//! The census against a count of one's own, after each input of every test.

use quorate_common::clock::Now;
use quorate_grid::{Grid, census::Counts, task::Task};

/// Counts everything another way.
pub(crate) fn check(grid: &Grid, now: Now) {
    let census = grid.census(now);
    let sum = |counts: &Counts| counts.values().sum::<u64>();
    let of = |counts: &Counts, word: &str| counts.get(word).copied().unwrap_or(0);
    let workers = grid.workers();
    assert_eq!(sum(&census.workers), workers.len() as u64, "workers");
    assert_eq!(sum(&census.standings), workers.len() as u64, "workers by standing");
    let offline = workers.iter().filter(|worker| !worker.connected).count() as u64;
    assert_eq!(of(&census.workers, "offline"), offline, "workers that are offline");
    let slots: u64 = workers.iter().map(|worker| u64::from(worker.slots)).sum();
    assert_eq!(of(&census.slots, "offered"), slots, "slots");
    assert!(of(&census.slots, "busy") <= slots, "busy slots");
    assert_eq!(sum(&census.orders), grid.orders().len() as u64, "orders");
    let tasks = || grid.deals().values().flat_map(|deal| &deal.tasks);
    let open = tasks().filter(|task| matches!(task, Task::Open(_))).count() as u64;
    assert_eq!((of(&census.tasks, "open"), sum(&census.open)), (open, open), "open tasks");
    assert_eq!(sum(&census.tasks), tasks().count() as u64, "tasks");
    assert_eq!(sum(&census.batches), grid.ledger().closed.len() as u64, "batches");
    assert_eq!(census.batch_tasks, grid.ledger().open().tasks.len() as u64, "the open batch");
    assert!(sum(&census.waiting) <= sum(&census.tasks), "waiting tasks");
}
