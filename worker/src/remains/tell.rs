//! What came of [`acts`](super::acts), for scripts and for people, and what it means for the exit code.

use super::acts::{Outcome, Report, Sender};
use quorate_common::{
    exit::{Code, Failure},
    ids::PoolId,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The document of `--json`.
pub fn document(schema: &str, pool: PoolId, sender: &Sender, reports: &[Report]) -> Value {
    json!({
        "schema": schema,
        "pool": pool,
        "dry_run": matches!(sender, Sender::Nobody),
        "paid": paid(reports).to_string(),
        "tasks": reports,
    })
}

/// A line for each task that something was done about, then what the contract refused, then the sum.
pub fn lines(reports: &[Report], amount: impl Fn(u128) -> String) -> String {
    let mut lines: Vec<String> = reports.iter().filter_map(line).collect();
    let refused = refusals(reports);
    lines.extend(refused.iter().map(|(why, count)| format!("refused for {count} tasks: {why}")));
    let paid = paid(reports);
    if paid > 0 {
        lines.push(format!("paid in all: {}", amount(paid)));
    }
    lines.join("\n")
}

/// Tasks that were tried and none of which the contract takes are a failure, with its commonest reason.
///
/// # Errors
/// [`Code::Conflict`]; it may be tried again where something only has to pass.
pub fn verdict(reports: &[Report]) -> Result<(), Failure> {
    let refused = refusals(reports);
    let done = |report: &Report| !matches!(report.outcome, Outcome::Refused { .. });
    let most = refused.iter().max_by_key(|(_, count)| **count);
    let Some((why, _)) = most.filter(|_| !reports.iter().any(done)) else { return Ok(()) };
    let mut failure = Failure::new(Code::Conflict, format!("nothing was sent: {why}"));
    failure.retryable = reports.iter().any(|report| match &report.outcome {
        Outcome::Refused { error, .. } => ["TooEarly", "Pending"].contains(&error.as_str()),
        Outcome::Done { .. } | Outcome::Would { .. } | Outcome::Already => false,
    });
    Err(failure)
}

fn line(report: &Report) -> Option<String> {
    let Report { deal, task, act, outcome } = report;
    let what = match outcome {
        Outcome::Done { gas, .. } => format!("done, {gas} gas"),
        Outcome::Would { gas, .. } => format!("would be done, {gas} gas"),
        Outcome::Already => "done before".to_owned(),
        Outcome::Refused { .. } => return None,
    };
    Some(format!("{act} {deal} task {task}: {what}"))
}

fn paid(reports: &[Report]) -> u128 {
    let paid = reports.iter().filter_map(|report| match &report.outcome {
        Outcome::Done { paid, .. } | Outcome::Would { paid, .. } => *paid,
        Outcome::Already | Outcome::Refused { .. } => None,
    });
    paid.map(|amount| amount.0).sum()
}

/// The same refusals together: which, and how often.
fn refusals(reports: &[Report]) -> BTreeMap<&str, usize> {
    let mut count = BTreeMap::new();
    for report in reports {
        if let Outcome::Refused { why, .. } = &report.outcome {
            *count.entry(why.as_str()).or_insert(0) += 1;
        }
    }
    count
}
