//! `quorate order`: what was ordered, where it stands, and what came out of it.

mod explain;
mod place;
mod refund;

use crate::{
    amount,
    api::Api,
    cli::OrderCommand,
    context::Context,
    follow::{follow, within},
    history::{Entry, History, short},
    output::{facts, table},
    progress::Progress,
    results::{self, Want},
    run::royalty,
    units,
};
pub(crate) use refund::check as check_proof;

use futures_util::{StreamExt as _, stream};
use quorate_common::{
    Address, B256,
    api::{DealPart, OrderPhase, OrderView, TaskPhase, TaskView},
    clock::SystemClock,
    exit::{Code, Failure},
};
use serde_json::json;
use std::{path::Path, time::Duration};

/// Orders listed without `--all`.
const LISTED: usize = 20;
/// Orders asked about at once.
const ASKED_AT_ONCE: usize = 8;
/// Longest wait for a scheduler in a list; its orders then show no state.
const LIST_PATIENCE: Duration = Duration::from_secs(3);

/// Runs an order command.
///
/// # Errors
/// The scheduler's; [`Code::Failed`] where a followed order had failed tasks.
pub async fn run(context: &Context, command: &OrderCommand) -> Result<(), Failure> {
    match command {
        OrderCommand::Ls { all, offline } => list(context, *all, *offline).await,
        OrderCommand::Show { order, tasks } => show(context, order, *tasks).await,
        OrderCommand::Place { file, app_order, dataset_order, sponsor_order, name } => {
            let beside = place::Beside { app_order, dataset_order, sponsor_order };
            place::run(context, file, &beside, name.clone()).await
        }
        OrderCommand::Watch { order } => within(context, watch(context, order)).await,
        OrderCommand::Results { order, output, no_receipts } => {
            within(context, fetch(context, order, output, !no_receipts)).await
        }
        OrderCommand::Explain { order, task } => {
            let (api, order, _) = open(context, order)?;
            explain::run(context, &api, order, *task).await
        }
        OrderCommand::Refund { order } => {
            let (api, order, entry) = open(context, order)?;
            refund::run(context, &api, order, entry.as_ref()).await
        }
        OrderCommand::Receipt { order, task } => receipt(context, order, *task).await,
    }
}

/// A refused order ends the program.
///
/// # Errors
/// [`Code::Chain`] with the refusal.
pub fn not_refused(order: &OrderView) -> Result<(), Failure> {
    if order.phase != OrderPhase::Refused {
        return Ok(());
    }
    let reason = order.reason.as_deref().unwrap_or("no reason was given");
    let mut failure =
        Failure::new(Code::Chain, format!("order {} was refused: {reason}", short(order.order)));
    failure.retryable = false;
    Err(failure)
}

/// An order with failed tasks ends the program.
///
/// # Errors
/// [`Code::Failed`] with how many.
pub fn not_failed(order: &OrderView) -> Result<(), Failure> {
    if let Some(disagreement) = &order.disagreement {
        return Err(Failure::new(Code::Failed, disagreement).hint(
            "make its output depend on its input alone (no clock, chance, addresses or thread order), \
             then order again; what was not spent comes back by quorate order refund",
        ));
    }
    let failed = order.settled.saturating_sub(order.accepted);
    if failed == 0 {
        return Ok(());
    }
    let text =
        format!("{failed} of {} tasks failed: their votes did not suffice in time", order.tasks);
    let short = short(order.order);
    Err(Failure::new(Code::Failed, text).hint(format!(
        "quorate order show {short} --tasks; their price comes back by quorate order refund {short}"
    )))
}

/// An order's figures, for people.
pub fn figures(order: &OrderView) -> Vec<(&'static str, String)> {
    let failed = order.settled.saturating_sub(order.accepted);
    let per_task = match order.settled {
        0 => String::new(),
        settled => {
            let hundredths = order.replicas * 100 / u64::from(settled);
            format!(" ({}.{:02} per task)", hundredths / 100, hundredths % 100)
        }
    };
    vec![
        ("state", phase(order.phase).to_owned()),
        (
            "tasks",
            format!(
                "{} of {} over, {} accepted, {failed} failed",
                order.settled, order.tasks, order.accepted
            ),
        ),
        ("replicas", format!("{}{per_task}, {} dissenting", order.replicas, order.dissents)),
        ("spent", amount::show(order.spent.0)),
        ("refunded", amount::show(order.refunded.0)),
    ]
}

/// The order a text means, and the scheduler it was placed at.
fn open(context: &Context, text: &str) -> Result<(Api, B256, Option<Entry>), Failure> {
    let (order, entry) = History::of_user()?.find(text)?;
    context.is_about(order);
    let base = match &entry {
        // A flag is meant; what the configuration says may have changed since.
        Some(entry) if !context.api_was_asked_for() => entry.api.clone(),
        _ => context.config.api()?,
    };
    Ok((Api::new(&base)?, order, entry))
}

async fn list(context: &Context, all: bool, offline: bool) -> Result<(), Failure> {
    let mut entries = History::of_user()?.entries()?;
    entries.reverse();
    if !all {
        entries.truncate(LISTED);
    }
    let states = entries
        .iter()
        .map(|entry| async move { if offline { State::Unknown } else { state(entry).await } });
    let states: Vec<State> = stream::iter(states).buffered(ASKED_AT_ONCE).collect().await;
    let listed = || entries.iter().zip(&states);
    let rows: Vec<_> = listed()
        .map(|(entry, state)| {
            json!({
                "order": entry.order, "name": entry.name, "api": entry.api,
                "placed_unix_ms": entry.placed_unix_ms, "tasks": entry.placed.req.tasks,
                "known": !matches!(state, State::Absent), "state": state.view(),
            })
        })
        .collect();
    let document = json!({ "schema": "quorate.order-list/v1", "orders": rows });
    let now = SystemClock::start().now().unix_ms;
    context.output.either(&document, || {
        let line = |(entry, state): (&Entry, &State)| {
            let age = units::show_seconds(now.saturating_sub(entry.placed_unix_ms) / 1000);
            let figure = |of: fn(&OrderView) -> String| match state {
                State::Known(order) => of(order),
                State::Absent => "-".into(),
                State::Unknown => "?".into(),
            };
            vec![
                short(entry.order),
                entry.name.clone().unwrap_or_default(),
                match state {
                    State::Absent => "not taken".into(),
                    State::Known(_) | State::Unknown => {
                        figure(|order| phase(order.phase).to_owned())
                    }
                },
                entry.placed.req.tasks.to_string(),
                figure(|order| order.accepted.to_string()),
                figure(|order| order.settled.saturating_sub(order.accepted).to_string()),
                format!("{age} ago"),
            ]
        };
        table(
            &["ORDER", "NAME", "STATE", "TASKS", "ACCEPTED", "FAILED", "PLACED"],
            listed().map(line),
        )
    })
}

/// What a scheduler says of an order that was sent to it.
#[expect(clippy::large_enum_variant, reason = "a list holds a few dozen")]
enum State {
    Known(OrderView),
    /// It was never placed: refused at the door.
    Absent,
    /// Nobody answers.
    Unknown,
}

impl State {
    fn view(&self) -> Option<&OrderView> {
        match self {
            Self::Known(order) => Some(order),
            Self::Absent | Self::Unknown => None,
        }
    }
}

async fn state(entry: &Entry) -> State {
    let Ok(api) = Api::new(&entry.api) else { return State::Unknown };
    match tokio::time::timeout(LIST_PATIENCE, api.order(entry.order)).await {
        Ok(Ok(order)) => State::Known(order),
        Ok(Err(failure)) if failure.exit == Code::NotFound as u8 => State::Absent,
        Ok(Err(failure)) => {
            tracing::debug!(order = %entry.order, %failure, "no state");
            State::Unknown
        }
        Err(_) => State::Unknown,
    }
}

async fn show(context: &Context, text: &str, tasks: bool) -> Result<(), Failure> {
    let (api, id, _) = open(context, text)?;
    let order = api.order(id).await?;
    let tasks = if tasks { Some(results::all_tasks(&api, id).await?) } else { None };
    let mut document = serde_json::to_value(&order)
        .map_err(|error| Failure::new(Code::Internal, format!("order: {error}")))?;
    if let Some(tasks) = &tasks {
        document["task_list"] = json!(tasks);
    }
    context.output.either(&document, || {
        let mut rows = vec![("order", order.order.to_string())];
        rows.extend(order.reason.as_ref().map(|reason| ("refused", reason.clone())));
        rows.extend(order.disagreement.as_ref().map(|why| ("ended", why.to_string())));
        rows.extend(figures(&order));
        rows.push(("trust", order.trust.to_string()));
        rows.push(("price", format!("{} per task", amount::show(order.unit_price.0))));
        let prices = [
            ("app owner", order.req.app_owner, order.app_price),
            ("dataset owner", order.req.dataset_owner, order.dataset_price),
        ];
        for (who, owner, price) in prices {
            if !owner.is_zero() {
                rows.push((who, paid(owner, price.0, order.accepted)));
            }
        }
        rows.push(("requester", order.requester.to_string()));
        rows.extend(order.payer.map(|payer| ("paid by", payer.to_string())));
        if order.deals.len() > 1 {
            rows.push(("deals", deals(&order.deals)));
        }
        rows.push(("app", order.app.to_string()));
        rows.push(("bag", order.bag.to_string()));
        let text = facts(&rows);
        match &tasks {
            Some(tasks) => format!("{text}\n\n{}", task_table(tasks)),
            None => text,
        }
    })
}

fn paid(owner: Address, price: u128, accepted: u32) -> String {
    let sum = amount::tokens(price.saturating_mul(accepted.into()));
    format!("{}: {sum} so far", royalty(owner, price))
}

fn deals(deals: &[DealPart]) -> String {
    let one = |part: &DealPart| {
        let last = part.first + part.tasks.saturating_sub(1);
        format!("{} (tasks {} to {last}, {} over)", part.deal, part.first, part.settled)
    };
    deals.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn task_table(tasks: &[TaskView]) -> String {
    let line = |task: &TaskView| {
        vec![
            task.idx.to_string(),
            task_phase(task.phase).to_owned(),
            task.replicas.to_string(),
            task.batch.map_or_else(|| "-".to_owned(), |batch| batch.to_string()),
            task.result.map_or_else(|| "-".to_owned(), |result| result.to_string()),
        ]
    };
    table(&["TASK", "STATE", "REPLICAS", "BATCH", "RESULT"], tasks.iter().map(line))
}

async fn watch(context: &Context, text: &str) -> Result<(), Failure> {
    let (api, id, _) = open(context, text)?;
    let mut progress = Progress::new(context.output, context.output.json);
    let order = follow(&api, id, &mut progress).await?;
    if !context.output.json && !context.output.quiet {
        let rows: Vec<_> = [("order", short(id))].into_iter().chain(figures(&order)).collect();
        context.output.line(facts(&rows))?;
    }
    not_refused(&order)?;
    not_failed(&order)
}

async fn fetch(context: &Context, text: &str, dir: &Path, receipts: bool) -> Result<(), Failure> {
    let (api, id, entry) = open(context, text)?;
    let domain = match &entry {
        Some(entry) => entry.domain,
        None => api.pool().await?.domain,
    };
    let placed = entry.map(|entry| (&entry.placed).into());
    let want = Want { order: id, placed, domain, receipts };
    let fetched = results::write(&api, dir, &want, context.output).await?;
    let document = json!({
        "schema": "quorate.results/v1", "order": id, "output": dir, "results": fetched,
    });
    context.output.either(&document, || {
        facts(&[
            (
                "results",
                format!(
                    "{} ({} new), {}",
                    fetched.results,
                    fetched.new_results,
                    units::show_bytes(fetched.bytes)
                ),
            ),
            ("receipts", fetched.receipts.to_string()),
            ("failed", fetched.failed.to_string()),
            ("open", fetched.open.to_string()),
            ("folder", dir.display().to_string()),
        ])
    })?;
    if fetched.failed > 0 {
        let text = format!("{} tasks failed: their votes did not suffice in time", fetched.failed);
        return Err(Failure::new(Code::Failed, text));
    }
    Ok(())
}

async fn receipt(context: &Context, text: &str, task: u32) -> Result<(), Failure> {
    let (api, id, _) = open(context, text)?;
    let bytes = api.receipt(id, task).await?.ok_or_else(|| {
        let mut failure = Failure::new(Code::Conflict, format!("task {task} has no receipt yet"));
        failure.retryable = true;
        failure.hint("it is there once the task's batch is sealed; try again in a moment")
    })?;
    context.output.line(String::from_utf8_lossy(&bytes))
}

fn phase(phase: OrderPhase) -> &'static str {
    match phase {
        OrderPhase::Opening => "opening",
        OrderPhase::Running => "running",
        OrderPhase::Done => "done",
        OrderPhase::Refused => "refused",
    }
}

pub(crate) fn task_phase(phase: TaskPhase) -> &'static str {
    match phase {
        TaskPhase::Queued => "queued",
        TaskPhase::Open => "open",
        TaskPhase::Consensus => "consensus",
        TaskPhase::NoQuorum => "no quorum",
        TaskPhase::Expired => "expired",
    }
}
