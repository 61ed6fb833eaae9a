//! `explain`: why this worker has no more work than it has: first what is known here, then what the
//! scheduler says.

use super::{
    Global, amount,
    config::Config,
    control,
    output::{Output, facts},
    show::STATUS_FILE,
};
use crate::{api, start, status::Status, why::why};
use quorate_common::exit::{Code, Failure};
use serde::Deserialize;
use serde_json::{Value, json};

/// Digits of an application's name in a table.
const APP_DIGITS: usize = 12;

/// The scheduler's `quorate.worker-explanation/v1`, as far as tables show it.
#[derive(Debug, Deserialize)]
struct Explanation {
    busy: u16,
    slots: u16,
    quota: u16,
    failures: u32,
    ask: String,
    reasons: Vec<Reason>,
    paces: Vec<Pace>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    reason: String,
    deals: usize,
    hint: String,
}

#[derive(Debug, Deserialize)]
struct Pace {
    app: String,
    runtime_ms: u64,
    turnaround_ms: u64,
    median_ms: Option<u64>,
    done: u32,
    failed: u32,
}

/// `explain`.
pub(super) async fn run(global: Global, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    let invite = config.invite()?;
    let told = control::status(&config).await.map(|(status, _)| status);
    let status = told.or_else(|| Status::read(&config.path(STATUS_FILE)).ok());
    let is_running = start::is_running(&config.data_dir);
    // What only the pool knows is asked there.
    if let Some(why) =
        why(status.as_ref(), is_running).filter(|why| *why != quorate_policy::Reason::NoWork)
    {
        let (reason, words, hint) = (why.code(), why.words(), why.hint());
        let document = json!({
            "schema": "quorate.worker-explanation/v1",
            "reasons": [{ "reason": reason, "deals": 0, "words": words, "hint": hint }],
        });
        return output.either(&document, || facts(&[(reason, format!("{words}; {hint}"))]));
    }
    let worker = status.and_then(|status| status.view.worker).ok_or_else(|| {
        Failure::new(Code::NotFound, "the scheduler has not told this worker its number yet")
            .hint("try again in a moment")
    })?;
    let base = config.api(&invite).ok_or_else(|| {
        Failure::new(Code::Usage, "neither the invitation nor the configuration names the API")
            .hint("set the key `api`, as --set api=https://pool.example")
    })?;
    let path = format!("/v1/workers/{}/explain", worker.0);
    let document: Value = api::get(&base, &path).await?;
    let explanation = Explanation::deserialize(&document).map_err(|error| {
        let text = format!("the scheduler explains what this worker does not know: {error}");
        Failure::new(Code::Conflict, text)
    })?;
    output.either(&document, || text(&explanation))
}

fn text(explanation: &Explanation) -> String {
    let Explanation { busy, slots, quota, failures, ask, reasons, paces } = explanation;
    let ask = ask.parse().map_or_else(|_| ask.clone(), amount::show);
    let rows = [
        ("replicas", format!("{busy} of {slots} slots; trusted with {quota} at once")),
        ("failures", format!("{failures} since the last success")),
        ("price", format!("{ask} a task, at least")),
    ];
    let reasons = reasons.iter().map(|reason| {
        let Reason { reason, deals, hint } = reason;
        let concerns = if *deals == 0 { String::new() } else { format!("{deals} deals: ") };
        (reason.as_str(), format!("{concerns}{hint}"))
    });
    let paces =
        paces.iter().map(|pace| (pace.app.get(..APP_DIGITS).unwrap_or(&pace.app), pace_line(pace)));
    let rows: Vec<(&str, String)> = rows.into_iter().chain(reasons).chain(paces).collect();
    facts(&rows)
}

fn pace_line(pace: &Pace) -> String {
    let Pace { runtime_ms, turnaround_ms, median_ms, done, failed, .. } = pace;
    let median = median_ms.map_or_else(String::new, |ms| format!(" (median of all: {ms})"));
    format!(
        "runs {runtime_ms} ms, turnaround {turnaround_ms} ms{median}; {done} done, {failed} failed"
    )
}
