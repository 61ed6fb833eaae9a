//! What the command line asks of a running scheduler through the socket in its folder: one JSON line in, one
//! out. Whoever may open that socket owns the data folder, keys and all, so no password is asked for.

use crate::{
    acts::{self, Act, Actor},
    explain::{self, Question, Told},
    http::{State, error::ApiError},
};
use quorate_common::{
    exit::{Code, Failure},
    ids::WorkerIdx,
};
use quorate_grid::headcount::{Among, Search};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Workers of one answer.
const WORKERS_MAX: usize = 1_000;

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// Which workers are there?
    Workers {
        /// In which state.
        among: String,
        /// Number, name, owner or node key.
        text: String,
        /// Skip so many.
        from: usize,
    },
    /// What is known of one?
    Worker {
        /// Its number.
        worker: u32,
    },
    /// Do something about one.
    Act {
        /// `drain`, `ban`, `unban`.
        act: String,
        /// Its number.
        worker: u32,
        /// Why.
        reason: String,
    },
    /// Why?
    Explain {
        /// `pool`, `worker`, `order`, `settlement`, `cost`.
        what: String,
        /// Which worker, or which order.
        of: String,
    },
}

/// Answers a line.
pub(crate) async fn answer(state: &State, line: &str) -> Value {
    let ask = serde_json::from_str(line);
    let answered = match ask {
        Ok(ask) => answer_one(state, ask).await,
        Err(error) => {
            let text = format!("the scheduler does not understand its command line: {error}");
            Err(Failure::new(Code::Conflict, text).hint("are both of one version?"))
        }
    };
    answered.unwrap_or_else(|failure| json!({ "error": failure, "exit": failure.exit }))
}

async fn answer_one(state: &State, ask: Ask) -> Result<Value, Failure> {
    match ask {
        Ask::Workers { among, text, from } => workers(state, &among, &text, from).await,
        Ask::Worker { worker } => worker_of(state, WorkerIdx(worker)).await,
        Ask::Act { act, worker, reason } => {
            let known = Act::of(&act)
                .ok_or_else(|| Failure::new(Code::Usage, format!("no act `{act}`")))?;
            acts::restrain(state, &Actor::local(), known, WorkerIdx(worker), &reason).await?;
            worker_of(state, WorkerIdx(worker)).await
        }
        Ask::Explain { what, of } => {
            let (document, told) = explain::answer(state, &question(&what, &of)?).await?;
            Ok(json!({ "document": document, "told": told }))
        }
    }
}

fn question(what: &str, of: &str) -> Result<Question, Failure> {
    Ok(match what {
        "pool" => Question::Pool,
        "worker" => Question::Worker(of.to_owned()),
        "order" => Question::Order(of.parse().map_err(|_| {
            let shown: String = of.chars().take(80).collect();
            Failure::new(Code::Usage, format!("order `{shown}`: expected 0x and 64 hex digits"))
        })?),
        "settlement" => Question::Settlement,
        "cost" => Question::Cost,
        _ => return Err(Failure::new(Code::Usage, format!("nothing is known of `{what}`"))),
    })
}

async fn workers(state: &State, among: &str, text: &str, from: usize) -> Result<Value, Failure> {
    let among: Among = serde_json::from_value(json!(among)).map_err(|_| {
        let text = format!(
            "state `{among}`: expected all, online, working, idle, offline, restrained or dissenting"
        );
        Failure::new(Code::Usage, text)
    })?;
    let search = search(state, among, text);
    let found = state.read(move |grid| grid.find_workers(&search, from, WORKERS_MAX)).await;
    let found = found.map_err(|ApiError(failure)| failure)?;
    let named = |view: &quorate_grid::WorkerView| {
        let mut row = json!(view);
        row["name"] = state.shared.visitors.name(view.node_key).into();
        row
    };
    let rows: Vec<Value> = found.workers.iter().map(named).collect();
    let document =
        json!({ "schema": "quorate.pool-workers/v1", "workers": rows, "total": found.total });
    Ok(json!({ "document": document }))
}

/// A search; names are the shell's, so whoever has one that fits is looked up by its key.
pub(crate) fn search(state: &State, among: Among, text: &str) -> Search {
    let visitors = &state.shared.visitors;
    let named = if text.is_empty() { Vec::new() } else { visitors.find(text) };
    let text = text.to_lowercase();
    let text = text.strip_prefix("worker-").or(text.strip_prefix("0x")).unwrap_or(&text);
    Search { among, text: text.to_owned(), named: named.into_iter().collect() }
}

async fn worker_of(state: &State, worker: WorkerIdx) -> Result<Value, Failure> {
    let look = move |grid: &quorate_grid::Grid| {
        Some((grid.worker(worker)?, grid.explain_worker(worker)?, grid.company().tally(worker)))
    };
    let found = state.read(look).await.map_err(|ApiError(failure)| failure)?;
    let (view, why, tally) = found.ok_or_else(|| {
        Failure::new(Code::NotFound, format!("{worker} is not registered in this pool's contract"))
            .hint("`worker ls` lists those that are")
    })?;
    let reasons: Vec<Told> = explain::worker_reasons(&why);
    let name = state.shared.visitors.name(view.node_key);
    let document = json!({
        "schema": "quorate.pool-worker/v1", "worker": view, "name": name, "why": why, "votes": tally,
    });
    Ok(json!({ "document": document, "reasons": reasons }))
}
