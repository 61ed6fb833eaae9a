//! One line in the log for each thing that became of a task: all carry `task`, its deal's slot and its index,
//! which the worker's lines carry too, so that one word finds a task's whole trip on every machine it touched.
//! A deal's line ties the slot to the order that a requester knows. Task lines are `debug` (`serve -v`): a
//! busy pool makes thousands a second. Nothing here is secret: votes, salts and results are not shown.

use quorate_grid::Record;
use tracing::{Level, debug, enabled, info};

/// Logs what was just decided. What is said here is on its way to the disk.
pub(crate) fn records(records: &[Record]) {
    let is_fine = enabled!(Level::DEBUG);
    for record in records {
        whole(record);
        if is_fine {
            task(record);
        }
    }
}

/// Orders, deals, batches: some a minute.
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is of single tasks, or of the chain")]
fn whole(record: &Record) {
    match record {
        Record::Order { hash, order } => {
            info!(order = %hash, tasks = order.req.tasks, "order taken")
        }
        Record::Refused { hash, reason } => info!(order = %hash, reason, "order refused"),
        Record::Deal { opened, work, .. } => {
            let (terms, ready) = (&opened.terms, work.is_some());
            info!(order = %terms.req_hash, deal = %opened.slot, tasks = terms.tasks, ready, "deal opened");
        }
        Record::Closed => info!("batch closed"),
        Record::BatchCommitted { index } => info!(batch = index, "batch committed"),
        Record::BatchFinal { index } => info!(batch = index, "batch final"),
        Record::Restrained { worker, restraint } => {
            info!(%worker, ?restraint, "worker restrained by the operator");
        }
        _ => {}
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not of a task")]
fn task(record: &Record) {
    match record {
        Record::Assigned { task, worker, .. } => debug!(%task, %worker, "assigned"),
        Record::Lost { task, worker } => debug!(%task, %worker, "replica lost"),
        Record::Committed { task, worker, seq, .. } => debug!(%task, %worker, seq, "commit heard"),
        Record::Frozen { task, .. } => debug!(%task, "commit set frozen"),
        Record::Demanded { task, worker, .. } => debug!(%task, %worker, "set demanded on chain"),
        Record::Extended { task, attempt, .. } => debug!(%task, attempt, "reveal deadline moved"),
        Record::Revealed { task, worker, seq, .. } => debug!(%task, %worker, seq, "reveal heard"),
        Record::Missed { task, worker } => debug!(%task, %worker, "reveal missed"),
        Record::Stored { task, .. } => debug!(%task, "result stored"),
        Record::Settled { task, outcome, .. } => debug!(%task, ?outcome, "settled"),
        _ => {}
    }
}
