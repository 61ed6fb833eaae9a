//! `quorate order explain`: why a task is where it is. What is under way, the scheduler knows; what is
//! over, its receipt tells, and the votes are counted here once more by the scheduler's own code.

use super::task_phase;
use crate::{
    amount,
    api::Api,
    context::Context,
    output::{facts, table},
    results,
};
use quorate_common::{
    B256,
    api::{OrderPhase, TaskPhase, TaskView},
    digest::Digest,
    exit::{Code, Failure},
};
use quorate_grid::{
    evidence::Receipt,
    poco::{self, Ballot, Tally},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Unfinished tasks explained where none is named.
const TASKS_SHOWN: usize = 3;
/// Digits of a digest in a table.
const DIGEST_DIGITS: usize = 12;

/// The scheduler's `quorate.explanation/v1`, as far as tables show it.
#[derive(Debug, Deserialize)]
struct Explanation {
    state: String,
    replicas: Vec<Replica>,
    groups: Vec<(String, String)>,
    total: String,
    trust: u32,
    doubt_ppb: Option<u64>,
    held: Option<String>,
    waiting: Option<Waiting>,
    ahead: Option<Ahead>,
    runtime_ms: Option<u64>,
}

/// The scheduler's `quorate.order-explanation/v1`, as far as tables show it.
#[derive(Debug, Deserialize)]
struct OrderExplanation {
    tasks: BTreeMap<String, usize>,
    waiting: Vec<WaitingTasks>,
    ahead: Ahead,
    runtime_ms: Option<u64>,
    #[serde(default)]
    calibration: Option<String>,
    connected: usize,
    slots: u64,
}

#[derive(Debug, Deserialize)]
struct WaitingTasks {
    tasks: usize,
    example: u32,
    workers: Waiting,
}

#[derive(Debug, Deserialize)]
struct Ahead {
    of_others: u64,
    requesters: usize,
}

#[derive(Debug, Deserialize)]
struct Replica {
    worker: u32,
    attempt: u16,
    weight: u32,
    state: String,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    known: usize,
    eligible: usize,
    hint: String,
    /// How many each obstacle keeps out; a newer scheduler may know more obstacles.
    #[serde(flatten)]
    kept_out: BTreeMap<String, Value>,
}

/// Obstacles in the words of people.
const OBSTACLES: [(&str, &str); 18] = [
    ("busy", "busy"),
    ("quota", "trusted with no more for now"),
    ("paused", "paused for their failures"),
    ("closed", "paused by their owners"),
    ("stake", "short of stake"),
    ("price", "asking for more"),
    ("engine", "with another engine"),
    ("registry", "not asking the image's registry"),
    ("pack", "taking no runtime packs"),
    ("room", "offering less memory for a task"),
    ("sealed", "unable to read its inputs"),
    ("aside", "not asked any more about this program"),
    ("related", "of an owner who votes already"),
    ("network", "of a network that votes already"),
    ("untrusted", "caught before, and heard only beside others"),
    ("restrained", "kept from work by the operator"),
    ("exiting", "leaving"),
    ("offline", "offline"),
];

/// Explains one task, or an order's first unfinished ones.
pub(super) async fn run(
    context: &Context,
    api: &Api,
    order: B256,
    task: Option<u32>,
) -> Result<(), Failure> {
    let view = api.order(order).await?;
    if let Some(reason) = &view.reason {
        let document =
            json!({ "schema": "quorate.explanation/v1", "state": "refused", "reason": reason });
        return context.output.either(&document, || format!("the order was refused: {reason}"));
    }
    if let (Some(disagreement), None) = (&view.disagreement, task) {
        let document = json!({
            "schema": "quorate.explanation/v1", "state": "ended", "disagreement": disagreement,
        });
        return context.output.either(&document, || disagreement.to_string());
    }
    if task.is_none() && view.phase == OrderPhase::Running {
        return whole(context, api, order).await;
    }
    let tasks = results::all_tasks(api, order).await?;
    let chosen = choose(&tasks, task)?;
    if chosen.is_empty() {
        let document =
            json!({ "schema": "quorate.explanation/v1", "state": super::phase(view.phase) });
        let text = "the order's deal is being opened on chain; no task can start before";
        return context.output.either(&document, || text.to_owned());
    }
    for task in chosen {
        explain(context, api, order, task).await?;
    }
    Ok(())
}

/// Explains an order that is under way.
async fn whole(context: &Context, api: &Api, order: B256) -> Result<(), Failure> {
    let document = api.explain_order(order).await?;
    let explanation: OrderExplanation = understood(&document)?;
    context.output.either(&document, || under_way_in_all(&explanation))
}

fn understood<'a, T: Deserialize<'a>>(document: &'a Value) -> Result<T, Failure> {
    T::deserialize(document).map_err(|error| {
        Failure::new(
            Code::Conflict,
            format!("the scheduler explains what this client does not know: {error}"),
        )
    })
}

fn under_way_in_all(explanation: &OrderExplanation) -> String {
    let OrderExplanation { tasks, waiting, ahead, runtime_ms, calibration, connected, slots } =
        explanation;
    let tasks: Vec<String> = tasks.iter().map(|(stage, n)| format!("{n} {stage}")).collect();
    let mut rows = vec![
        ("tasks", tasks.join(", ")),
        ("pool", format!("{connected} workers connected, {slots} slots")),
    ];
    rows.extend(calibration.as_deref().and_then(calibration_row));
    rows.extend(run_row(*runtime_ms));
    rows.extend(ahead_row(ahead));
    for WaitingTasks { tasks, example, workers } in waiting {
        rows.push(("waits", format!("{tasks} tasks, as task {example}: {}", workers.hint)));
        rows.push(("workers", kept_out(workers)));
    }
    facts(&rows)
}

/// Only a program that is new, or was torn, keeps tasks waiting.
fn calibration_row(state: &str) -> Option<(&'static str, String)> {
    let text =
        "the program is new here: a few tasks at a time go to several workers, until enough agree";
    (state == "calibrating").then(|| ("calibration", text.to_owned()))
}

fn run_row(runtime_ms: Option<u64>) -> Option<(&'static str, String)> {
    let ms = runtime_ms?;
    Some(("a replica", format!("takes {}.{:03} s, as the median goes", ms / 1_000, ms % 1_000)))
}

fn ahead_row(ahead: &Ahead) -> Option<(&'static str, String)> {
    let Ahead { of_others, requesters } = ahead;
    (*requesters > 0).then(|| {
        ("queue", format!("about {of_others} tasks of {requesters} other requesters come first"))
    })
}

fn kept_out(waiting: &Waiting) -> String {
    let Waiting { known, eligible, kept_out, .. } = waiting;
    let count = |name: &str| kept_out.get(name).and_then(Value::as_u64).unwrap_or(0);
    let obstacles = OBSTACLES.iter().filter(|(name, _)| count(name) > 0);
    let obstacles: String =
        obstacles.map(|(name, words)| format!(", {} {words}", count(name))).collect();
    format!("{known} known: {eligible} eligible{obstacles}")
}

fn choose(tasks: &[TaskView], task: Option<u32>) -> Result<Vec<&TaskView>, Failure> {
    if let Some(idx) = task {
        let found = tasks.iter().find(|task| task.idx == idx);
        return found.map(|task| vec![task]).ok_or_else(|| {
            let last = tasks.len().saturating_sub(1);
            Failure::new(Code::NotFound, format!("no task {idx}; expected 0 to {last}"))
        });
    }
    let open = |task: &&TaskView| matches!(task.phase, TaskPhase::Queued | TaskPhase::Open);
    let unfinished: Vec<&TaskView> = tasks.iter().filter(open).take(TASKS_SHOWN).collect();
    // All over: the first one stands for the rest.
    Ok(if unfinished.is_empty() { tasks.first().into_iter().collect() } else { unfinished })
}

async fn explain(
    context: &Context,
    api: &Api,
    order: B256,
    task: &TaskView,
) -> Result<(), Failure> {
    if task.batch.is_some()
        && let Some(bytes) = api.receipt(order, task.idx).await?
    {
        let receipt = Receipt::parse_canonical(&bytes).map_err(|error| {
            Failure::new(Code::Failed, format!("receipt of task {}: {error}", task.idx))
        })?;
        let document = over_json(&receipt);
        return context.output.either(&document, || over(task, &receipt));
    }
    let document = api.explain(order, task.idx).await?;
    let explanation: Explanation = understood(&document)?;
    context.output.either(&document, || under_way(task, &explanation))
}

fn under_way(task: &TaskView, explanation: &Explanation) -> String {
    let groups: Vec<String> = explanation
        .groups
        .iter()
        .map(|(digest, group)| format!("{}={group}", cut(digest)))
        .collect();
    let groups = if groups.is_empty() { "none revealed".to_owned() } else { groups.join(" ") };
    let mut rows = vec![
        ("task", task.idx.to_string()),
        ("state", explanation.state.clone()),
        ("trust", explanation.trust.to_string()),
        ("groups", format!("{groups}; total {}", explanation.total)),
    ];
    rows.extend(explanation.doubt_ppb.map(|ppb| ("doubt", doubt(ppb))));
    rows.extend(explanation.held.as_ref().map(|why| ("held", why.clone())));
    if let Some(waiting) = &explanation.waiting {
        rows.push(("waits", waiting.hint.clone()));
        rows.push(("workers", kept_out(waiting)));
    }
    rows.extend(run_row(explanation.runtime_ms));
    rows.extend(explanation.ahead.as_ref().and_then(ahead_row));
    let text = facts(&rows);
    if explanation.replicas.is_empty() {
        return text;
    }
    let line = |replica: &Replica| {
        let Replica { worker, attempt, weight, state } = replica;
        vec![worker.to_string(), attempt.to_string(), weight.to_string(), state.clone()]
    };
    let replicas =
        table(&["WORKER", "ROUND", "WEIGHT", "STATE"], explanation.replicas.iter().map(line));
    format!("{text}\n{replicas}")
}

/// The chance that the leading result is wrong, by what its voters have passed.
fn doubt(ppb: u64) -> String {
    format!("{}.{:04} % that the leading result is wrong", ppb / 10_000_000, ppb / 1_000 % 10_000)
}

/// The votes of a receipt one after the other: what each weighed and what the sum was after it.
struct Counted {
    worker: u32,
    attempt: u16,
    score: u32,
    digest: Option<B256>,
    weight: u32,
    group: u128,
    total: String,
    decided: bool,
    verdict: poco::Verdict,
}

fn count(receipt: &Receipt) -> Vec<Counted> {
    let terms = quorate_grid::deal::money(&receipt.deal.terms);
    let score =
        |voter: &quorate_grid::evidence::Voter| voter.account.as_ref().map_or(0, |a| a.score);
    let scored = || receipt.votes.iter().zip(receipt.voters.iter().map(score));
    let digest = |word: B256| (!word.is_zero()).then_some(word);
    let ballots: Vec<Ballot> =
        scored().map(|(vote, score)| Ballot { score, digest: digest(vote.digest) }).collect();
    let judged = poco::judge(&terms, digest(receipt.rec.winner_digest), &ballots);
    let mut tally = Tally::default();
    let counted =
        |((vote, score), verdict): ((&quorate_common::accounts::Vote, u32), &poco::Verdict)| {
            let (weight, digest) = (poco::weight(score), digest(vote.digest));
            if let Some(digest) = digest {
                tally.add(digest, weight);
            }
            Counted {
                worker: vote.worker,
                attempt: vote.attempt,
                score,
                digest,
                weight,
                group: digest.map_or(0, |digest| tally.group(digest)),
                total: tally.total().to_string(),
                decided: digest.is_some() && tally.decided(terms.trust) == digest,
                verdict: *verdict,
            }
        };
    scored().zip(&judged.verdicts).map(counted).collect()
}

fn over(task: &TaskView, receipt: &Receipt) -> String {
    let text = facts(&[
        ("task", task.idx.to_string()),
        ("state", task_phase(task.phase).to_owned()),
        ("trust", receipt.deal.terms.trust.to_string()),
        ("batch", format!("{}, place {}", receipt.header.index, receipt.place)),
        ("reward", amount::show(receipt.rec.reward)),
    ]);
    let line = |vote: &Counted| {
        let voted = vote.digest.map(|digest| cut(&Digest::from(digest).to_string()).to_owned());
        vec![
            vote.worker.to_string(),
            vote.attempt.to_string(),
            vote.score.to_string(),
            vote.weight.to_string(),
            voted.unwrap_or_else(|| "never revealed".to_owned()),
            format!("{}/{}", vote.group, vote.total),
            (if vote.decided { "yes" } else { "no" }).to_owned(),
            vote.verdict.earned.to_string(),
            vote.verdict.slashed.to_string(),
        ]
    };
    let header = [
        "WORKER",
        "ROUND",
        "SCORE",
        "WEIGHT",
        "RESULT",
        "GROUP/TOTAL",
        "DECIDED",
        "EARNED",
        "SLASHED",
    ];
    format!("{text}\n{}", table(&header, count(receipt).iter().map(line)))
}

fn over_json(receipt: &Receipt) -> Value {
    let vote = |vote: &Counted| {
        json!({
            "worker": vote.worker, "attempt": vote.attempt, "score": vote.score,
            "weight": vote.weight, "digest": vote.digest.map(Digest::from),
            "group": vote.group.to_string(), "total": vote.total, "decided": vote.decided,
            "earned": vote.verdict.earned.to_string(), "slashed": vote.verdict.slashed.to_string(),
        })
    };
    json!({
        "schema": "quorate.explanation/v1",
        "task": receipt.rec.task_idx,
        "state": "over",
        "outcome": receipt.rec.outcome,
        "trust": receipt.deal.terms.trust,
        "batch": receipt.header.index,
        "place": receipt.place,
        "reward": receipt.rec.reward.to_string(),
        "votes": count(receipt).iter().map(vote).collect::<Vec<_>>(),
    })
}

fn cut(digest: &str) -> &str {
    digest.get(..DIGEST_DIGITS).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_is_said_in_percent() {
        assert_eq!(doubt(9_196_000), "0.9196 % that the leading result is wrong");
        assert_eq!(doubt(200_000_000), "20.0000 % that the leading result is wrong");
        assert_eq!(doubt(1_000_000_000), "100.0000 % that the leading result is wrong");
    }
}
