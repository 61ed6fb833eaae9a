//! One line in the log for each thing a worker does for a task. All carry `task`, as the scheduler's lines do:
//! one word finds a task's whole trip. `debug`, so `-v` shows them. Salts and results are not shown.

use quorate_agent::{Effect, Record};
use tracing::debug;

/// Logs what is on disk: from here on a vote survives whatever happens.
pub(crate) fn record(record: &Record) {
    if let Record::Sealed(job) = record {
        debug!(task = %job.task, attempt = job.attempt, "sealed");
    }
}

/// Logs what is about to be done.
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not of a task")]
pub(crate) fn effect(effect: &Effect) {
    match effect {
        Effect::Fetch { task, attempt, .. } => debug!(%task, attempt, "fetching inputs"),
        Effect::Start { task, attempt, .. } => debug!(%task, attempt, "running"),
        Effect::Commit { item, .. } => {
            debug!(task = %item.task, attempt = item.attempt, "committing")
        }
        Effect::Reveal { item, .. } => {
            debug!(task = %item.task, attempt = item.attempt, "revealing")
        }
        Effect::GiveUp(gone) => debug!(task = %gone.task, reason = ?gone.reason, "giving up"),
        Effect::Upload { task, .. } => debug!(%task, "bringing the result"),
        Effect::Forget { task, .. } => debug!(%task, "over"),
        _ => {}
    }
}
