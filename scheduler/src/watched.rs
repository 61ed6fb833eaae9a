//! What the journal is about to hold, counted on its way: replicas, votes, lessons, and how long things
//! took. A few additions per record, on the grid's thread.

use crate::shared::Shared;
use quorate_common::ids::{TaskKey, WorkerIdx};
use quorate_grid::{Grid, Record, record::Lesson, task::Task};

/// Counts records that the grid has just applied.
pub(crate) fn count(shared: &Shared, grid: &Grid, records: &[Record]) {
    let metrics = &shared.metrics;
    metrics.records.inc_by(records.len() as u64);
    for record in records {
        one(shared, grid, record);
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is counted elsewhere, or not at all")]
fn one(shared: &Shared, grid: &Grid, record: &Record) {
    let metrics = &shared.metrics;
    let ended = |end: &str| metrics.replicas_ended.with_label_values(&[end]).inc();
    let learned = |outcome: &str| metrics.lessons.with_label_values(&[outcome]).inc();
    match record {
        Record::Assigned { task, .. } => {
            metrics.task_attempts.inc();
            waited(shared, grid, *task);
        }
        Record::Lost { .. } => ended("lost"),
        Record::Committed { task, worker, .. } => {
            ended("committed");
            ran(shared, grid, *task, *worker);
        }
        Record::Revealed { .. } => ended("revealed"),
        Record::Missed { .. } => ended("missed"),
        Record::Standing { lesson: Lesson::Passed { .. }, .. } => learned("passed"),
        Record::Standing { lesson: Lesson::Released, .. } => learned("believed"),
        Record::Standing { lesson: Lesson::Caught, .. } => learned("caught"),
        _ => {}
    }
}

/// A task has got its first replica.
fn waited(shared: &Shared, grid: &Grid, task: TaskKey) {
    let open = grid.task(task).and_then(Task::open);
    let deal = grid.deals().get(&task.deal);
    if let (Some(open), Some(deal)) = (open, deal)
        && open.replicas.len() == 1
    {
        let waited_ms = shared.now().unix_ms.saturating_sub(deal.opened_unix_ms);
        shared.metrics.queue_wait.observe(waited_ms as f64 / 1e3);
    }
}

/// A replica is done. Nothing is known of one from before a restart.
fn ran(shared: &Shared, grid: &Grid, task: TaskKey, worker: WorkerIdx) {
    let open = grid.task(task).and_then(Task::open);
    let began = open.and_then(|open| open.replica(worker)?.run.began_ms);
    if let Some(began_ms) = began {
        let ran_ms = shared.now().mono_ms.saturating_sub(began_ms);
        shared.metrics.run.observe(ran_ms as f64 / 1e3);
    }
}
