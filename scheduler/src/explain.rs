//! Why things are as they are, for the operator: the same answer as a document, on a page and on the command
//! line. What follows from what is in pure functions ([`settlement::explain`], [`cost::explain`], and the grid's
//! own); here their facts are gathered.

pub mod cost;
pub mod settlement;

use crate::{
    http::{State, error::ApiError},
    refusals::Refusal,
};
use alloy_primitives::B256;
pub use cost::CostExplanation;
use cost::Usage;
use quorate_common::{
    exit::{Code, Failure},
    ids::WorkerIdx,
};
use quorate_grid::{PoolExplanation, WorkerExplanation, ledger::BatchState};
use serde::{Deserialize, Serialize};
use settlement::{Chain, Facts, Pending, SettlementExplanation};
use std::sync::atomic::Ordering;

/// How good an answer is: `ok`, `warn` or `bad`.
pub type Tone = std::borrow::Cow<'static, str>;

/// An explanation in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The answer, in a sentence.
    pub answer: String,
    /// What would change it; empty: nothing has to.
    pub hint: String,
    /// `ok`, `warn` or `bad`.
    pub tone: Tone,
    /// What it follows from: name, value.
    pub facts: Vec<(String, String)>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Why is nothing scheduled?
    Pool,
    /// Why was this worker refused, or has nothing to do? A number, a node key, or a name.
    Worker(String),
    /// Why does this order wait?
    Order(B256),
    /// Why is settlement late?
    Settlement,
    /// What does this pool cost me per day?
    Cost,
}

/// A worker's explanation, with what the door said to it.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// What was asked for.
    pub asked: String,
    /// The worker, if the contract knows it.
    pub worker: Option<WorkerExplanation>,
    /// What it was told at the door of late.
    pub refusals: Vec<Refusal>,
}

/// The answer to a question, as a document and in words.
///
/// # Errors
/// There is no such worker or order, or the scheduler is stopping.
pub async fn answer(
    state: &State,
    question: &Question,
) -> Result<(serde_json::Value, Told), Failure> {
    match question {
        Question::Pool => both("pool", &pool(state).await.map_err(inner)?, PoolExplanation::told),
        Question::Worker(who) => both("refusal", &worker(state, who).await?, Refused::told),
        Question::Order(order) => {
            let found = order_explanation(state, *order).await?;
            both("order", &found, order_told)
        }
        Question::Settlement => {
            let found = settlement(state).await.map_err(inner)?;
            both("settlement", &found, SettlementExplanation::told)
        }
        Question::Cost => both("cost", &cost(state).await.map_err(inner)?, CostExplanation::told),
    }
}

fn both<T: Serialize>(
    name: &str,
    found: &T,
    told: impl Fn(&T) -> Told,
) -> Result<(serde_json::Value, Told), Failure> {
    let document = serde_json::to_value(found);
    let mut document = document.map_err(|error| Failure::new(Code::Internal, error))?;
    document["schema"] = format!("quorate.{name}-explanation/v1").into();
    Ok((document, told(found)))
}

fn inner(ApiError(failure): ApiError) -> Failure {
    failure
}

/// Why nothing is scheduled.
///
/// # Errors
/// The scheduler is stopping.
pub async fn pool(state: &State) -> Result<PoolExplanation, ApiError> {
    state.read(quorate_grid::Grid::explain_pool).await
}

/// Why settlement is late, if it is.
///
/// # Errors
/// The scheduler is stopping.
pub async fn settlement(state: &State) -> Result<SettlementExplanation, ApiError> {
    let shared = &state.shared;
    let policy = shared.config.policy;
    let (open, open_since_ms, pending) = state.read(unfinished).await?;
    let openings = state.batches.clone();
    let pending = actix_web::web::block(move || with_openings(&openings, pending)).await;
    let standing = state.outbox.standing().borrow().clone();
    let chain = state.money.look().await.map(|look| Chain {
        block_unix_s: look.block_unix_s,
        head: look.pool.head,
        bond: look.pool.bond,
        pending_value: look.pool.pending_value,
    });
    Ok(settlement::explain(&Facts {
        now_unix_s: shared.now().unix_s(),
        open_tasks: open,
        open_since_s: open_since_ms / 1_000,
        batch_tasks: policy.batch_tasks,
        batch_s: policy.batch_ms / 1_000,
        window_s: state.settlement.window_s(),
        pending: pending.map_err(|_| ApiError(crate::http::stopping()))?,
        outbox: standing.is_trouble().then(|| standing.to_string()),
        chain,
    }))
}

/// The open batch, and those that are not final.
fn unfinished(grid: &quorate_grid::Grid) -> (usize, u64, Vec<Pending>) {
    let ledger = grid.ledger();
    let pending = |(index, closed): (&u64, &quorate_grid::ledger::Closed)| {
        let header = &closed.header;
        let silent = closed.file.as_ref().and_then(crate::actors::settler::silent_until);
        Pending {
            batch: *index,
            tasks: header.count,
            value: header.payout + header.fees + header.royalties + header.slashed,
            is_committed: closed.state == BatchState::Committed,
            committed_at: None,
            silent_until: silent,
        }
    };
    let unfinal = ledger.closed.iter().filter(|(_, closed)| closed.state != BatchState::Final);
    let pending = unfinal.map(pending).collect();
    (ledger.open().tasks.len(), ledger.open().opened_unix_ms, pending)
}

fn with_openings(batches: &crate::sealed::Batches, pending: Vec<Pending>) -> Vec<Pending> {
    let known = |batch: Pending| {
        let opening = batches.opening(batch.batch).ok().flatten();
        Pending { committed_at: opening.map(|opening| opening.committed_at), ..batch }
    };
    pending.into_iter().map(known).collect()
}

/// What the pool costs a day.
///
/// # Errors
/// The scheduler is stopping.
pub async fn cost(state: &State) -> Result<CostExplanation, ApiError> {
    let headcount = state.read(quorate_grid::Grid::headcount).await?;
    let (shared, look) = (&state.shared, state.money.look().await.ok());
    let (metrics, since) = (&shared.metrics, state.money.since());
    let gas = cost::counters(&metrics.gas);
    let moved = cost::counters(&metrics.transfer_bytes);
    let of = |label: &str| moved.iter().find(|(name, _)| name == label).map_or(0, |(_, n)| *n);
    Ok(cost::explain(&Usage {
        uptime_s: since.at.elapsed().as_secs(),
        gas,
        wei_per_gas: look.as_ref().map(|look| look.wei_per_gas),
        gas_wei: look.as_ref().map(|look| look.gas_wei),
        fees: headcount.fees.saturating_sub(since.fees),
        settled: headcount.settled.saturating_sub(since.settled),
        bond: look.as_ref().map(|look| look.pool.bond),
        bytes_in: of("in"),
        bytes_out: of("out"),
        blob_bytes: shared.blobs.total(),
        blob_bytes_before: since.blob_bytes,
        cpu_ms: cost::cpu_ms(),
        acknowledged: shared.acknowledged.load(Ordering::Acquire),
    }))
}

/// Why a worker was refused: what is known of it here, and what it was told at the door.
///
/// # Errors
/// Neither is there.
pub async fn worker(state: &State, who: &str) -> Result<Refused, Failure> {
    let visitors = &state.shared.visitors;
    let text = who.trim();
    let number = text.strip_prefix("worker-").unwrap_or(text).parse::<u32>().ok();
    let mut key = text.parse::<B256>().ok();
    if number.is_none() && key.is_none() {
        key = visitors.find(text).first().copied();
    }
    let find = move |grid: &quorate_grid::Grid| {
        let worker = number.map(WorkerIdx).or_else(|| grid.worker_by_node(key?))?;
        Some((grid.worker(worker)?.node_key, grid.explain_worker(worker)?))
    };
    let found = state.read(find).await.map_err(inner)?;
    let (key, explanation) = match found {
        Some((key, explanation)) => (Some(key), Some(explanation)),
        None => (key, None),
    };
    let refusals = key.map(|key| visitors.refusals(Some(key))).unwrap_or_default();
    if explanation.is_none() && refusals.is_empty() {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
        let text = format!("worker `{shown}` is not known here, and was not turned away of late");
        return Err(Failure::new(Code::NotFound, text).hint(
            "give its number, its node key (`quorate-worker status`), or the name it gave itself; \
             whoever cannot reach quic.listen is not seen here at all",
        ));
    }
    Ok(Refused { asked: who.to_owned(), worker: explanation, refusals })
}

async fn order_explanation(
    state: &State,
    order: B256,
) -> Result<quorate_grid::OrderExplanation, Failure> {
    let explain = move |grid: &quorate_grid::Grid| {
        let slots = crate::http::orders::slots_of(grid, order)?;
        Some(grid.explain_order(&slots))
    };
    let found = state.read(explain).await.map_err(inner)?;
    let found = found.ok_or_else(|| {
        Failure::new(Code::NotFound, format!("no order {order} was placed here"))
            .hint("the page of orders lists them")
    })?;
    found.ok_or_else(|| {
        let text = format!("order {order} has no deal yet, or was refused");
        Failure::new(Code::Conflict, text).hint("its page says which; no task can start before")
    })
}

/// An order's explanation in words.
pub fn order_told(explanation: &quorate_grid::OrderExplanation) -> Told {
    let count = |stage: &str| explanation.tasks.get(stage).copied().unwrap_or_default();
    let all: usize = explanation.tasks.values().sum();
    let waiting = explanation.waiting.iter().max_by_key(|waiting| waiting.tasks);
    let settled = count("settled");
    let answer = match waiting {
        _ if settled == all => format!("All {all} tasks are settled."),
        Some(waiting) => format!(
            "{settled} of {all} tasks are settled; {} wait: {}.",
            waiting.tasks, waiting.workers.hint
        ),
        None => format!("{settled} of {all} tasks are settled; the others are being worked on."),
    };
    let stuck = waiting.is_some_and(|w| !matches!(w.workers.reason, "turn" | "busy"));
    let mut facts: Vec<(String, String)> =
        explanation.tasks.iter().map(|(stage, n)| ((*stage).to_owned(), n.to_string())).collect();
    facts.extend(explanation.waiting.iter().map(|waiting| {
        let Some(w) = Some(&waiting.workers) else { return Default::default() };
        (format!("{} wait ({})", waiting.tasks, w.reason), w.hint.clone())
    }));
    let ahead = &explanation.ahead;
    facts.push((
        "ahead".into(),
        format!("{} tasks of {} requesters", ahead.of_others, ahead.requesters),
    ));
    Told { answer, hint: String::new(), tone: if stuck { "warn" } else { "ok" }.into(), facts }
}

/// What keeps a worker from work, each in words.
pub fn worker_reasons(explanation: &WorkerExplanation) -> Vec<Told> {
    let fine = |reason: &str| matches!(reason, "turn" | "busy" | "no_work");
    let told = |reason: &quorate_grid::Reason| Told {
        answer: reason.reason.to_owned(),
        hint: reason.hint.clone(),
        tone: if fine(reason.reason) { "ok" } else { "warn" }.into(),
        facts: Vec::new(),
    };
    explanation.reasons.iter().map(told).collect()
}

impl Refused {
    /// In words.
    pub fn told(&self) -> Told {
        let reasons = self.worker.as_ref().map(worker_reasons).unwrap_or_default();
        let refused = self.refusals.first();
        let (answer, tone) = match (reasons.first(), refused) {
            (Some(reason), _) if reason.tone != "ok" || refused.is_none() => {
                (format!("{}: {}", reason.answer, reason.hint), reason.tone.clone())
            }
            (_, Some(refusal)) => {
                (format!("it was turned away: {}", refusal.reason), "warn".into())
            }
            (_, None) => ("nothing keeps it out".to_owned(), "ok".into()),
        };
        let mut facts: Vec<(String, String)> =
            reasons.into_iter().map(|told| (told.answer, told.hint)).collect();
        facts.extend(self.refusals.iter().map(|refusal| {
            (format!("{} × from {}", refusal.times, refusal.from), refusal.reason.clone())
        }));
        Told { answer, hint: String::new(), tone, facts }
    }
}

/// The grid's own explanation, in words: an extension, since the grid speaks no sentences about itself.
pub trait Words {
    /// In words.
    fn told(&self) -> Told;
}

impl Words for PoolExplanation {
    fn told(&self) -> Told {
        let tone = if self.stuck { "warn" } else { "ok" }.into();
        let facts = self.waiting.iter().map(|waiting| {
            let (tasks, workers) = (waiting.tasks, &waiting.workers);
            (format!("{tasks} tasks wait ({})", workers.reason), workers.hint.clone())
        });
        let mut facts: Vec<(String, String)> = facts.collect();
        facts.push(("slots".into(), format!("{} of {} at work", self.busy, self.slots)));
        facts.push(("tasks".into(), format!("{} under way, {} waiting", self.open, self.queued)));
        Told { answer: self.hint.clone(), hint: String::new(), tone, facts }
    }
}
