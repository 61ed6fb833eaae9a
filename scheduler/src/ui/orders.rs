//! Orders: the newest first, and one with all of its tasks as cells, its failures by cause, and why it waits.

use super::{
    Ui,
    error::PageError,
    page::{Frame, Pager, html, in_query},
    session::Who,
    show,
};
use crate::{
    blobs::Blobs,
    explain::{self, Told},
    http::orders::{deals_of, parse_hash, view},
    sealed::Batches,
};
use actix_web::{
    HttpResponse, get,
    web::{self, Data},
};
use askama::Template;
use quorate_common::{
    B256,
    api::{OrderPhase, OrderView},
    digest::Digest,
    exit::{Code, Failure},
    manifest::{Ended, Manifest},
};
use quorate_grid::{
    Grid,
    deal::OrderState,
    ledger::BatchState,
    poco::Outcome,
    task::{Done, Task},
};
use std::{collections::BTreeMap, fmt::Write as _};

/// Rows of a page.
const ROWS: usize = 50;
/// Cells of a row of the grid of tasks: hundreds are easy to count.
const CELLS_A_ROW: usize = 100;
/// Different results whose manifests are read to find causes. Most tasks of a broken order break alike.
const RESULTS_READ: usize = 256;
/// Bytes of a manifest that is read for that; one of thousands of files is no failure's.
const MANIFEST_BYTES: u64 = 64 << 10;

#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Query {
    #[serde(default)]
    q: String,
    #[serde(default)]
    show: String,
    #[serde(default)]
    from: usize,
}

#[derive(Template)]
#[template(path = "orders.html")]
struct List {
    frame: Frame,
    text: String,
    rows: Vec<Row>,
    pager: Pager,
    empty: bool,
}

struct Row {
    hash: String,
    short: String,
    requester: String,
    phase: &'static str,
    settled: String,
    failed: u32,
    price: String,
    when: String,
    done: u32,
    tasks: u32,
}

/// The list.
#[get("/ui/orders")]
pub(super) async fn list(
    ui: Data<Ui>,
    who: Who,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let Query { q, from, .. } = query.into_inner();
    let text: String = q.trim().chars().take(80).collect();
    let wanted = text.to_lowercase();
    let find = move |grid: &Grid| {
        let fits = |hash: &B256, order: &quorate_grid::deal::Order| {
            wanted.is_empty()
                || hash.to_string().starts_with(&wanted)
                || format!("{:#x}", order.req.requester).starts_with(&wanted)
        };
        let (hashes, total) = grid.newest_orders(fits, from, ROWS);
        let views: Vec<OrderView> =
            hashes.into_iter().filter_map(|hash| view(grid, hash)).collect();
        (views, total)
    };
    let (views, total) = ui.state.read(find).await?;
    let now_s = ui.state.shared.now().unix_s();
    html(&List {
        frame: Frame::new(&ui, &who, "/ui/orders", "Orders").live(),
        rows: views.iter().map(|view| row(view, now_s)).collect(),
        pager: Pager::new(from, views.len(), total, ROWS, &format!("q={}", in_query(&text))),
        empty: total == 0 && text.is_empty(),
        text,
    })
}

fn row(view: &OrderView, now_s: u64) -> Row {
    Row {
        hash: view.order.to_string(),
        short: show::short(&view.order.to_string()),
        requester: show::short(&view.requester.to_string()),
        phase: phase(view),
        settled: format!(
            "{} of {}",
            show::count(view.settled.into()),
            show::count(view.tasks.into())
        ),
        failed: view.settled - view.accepted,
        price: show::tokens(view.unit_price.0 + view.app_price.0 + view.dataset_price.0),
        when: show::ago(now_s, view.placed_unix_ms / 1_000),
        done: view.settled,
        tasks: view.tasks,
    }
}

/// An order's phase; what its tasks have come to is each task's own.
fn phase(view: &OrderView) -> &'static str {
    match view.phase {
        OrderPhase::Opening => "opening",
        OrderPhase::Running => "running",
        OrderPhase::Done => "settled",
        OrderPhase::Refused => "refused",
    }
}

#[derive(Template)]
#[template(path = "order.html")]
struct One {
    frame: Frame,
    hash: String,
    phase: &'static str,
    /// Why it was refused.
    refused: String,
    answer: String,
    facts: Vec<(&'static str, String)>,
    /// A path of strokes for each kind of cell: class, name, count, path.
    cells: Vec<Cells>,
    height: usize,
    width: usize,
    causes: Vec<Cause>,
    why: Option<Told>,
    tasks: Vec<TaskRow>,
    shown: String,
    pager: Pager,
}

struct Cells {
    class: &'static str,
    name: String,
    count: String,
    path: String,
}

struct Cause {
    what: String,
    tasks: u64,
    example: u32,
}

struct TaskRow {
    idx: u32,
    state: String,
    class: &'static str,
    replicas: u8,
    result: String,
}

/// A task as far as cells and rows need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    kind: Kind,
    batch: u64,
    replicas: u8,
    digest: Digest,
}

/// What a cell shows. Where the money is counts as much as what came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Queued,
    Open,
    Accepted,
    Committed,
    Final,
    Failed,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Queued, Self::Open, Self::Accepted, Self::Committed, Self::Final, Self::Failed];

    fn class(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Committed => "committed",
            Self::Final => "final",
            Self::Failed => "failed",
        }
    }
}

/// One order.
#[get("/ui/orders/{order}")]
pub(super) async fn one(
    ui: Data<Ui>,
    who: Who,
    path: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let hash = parse_hash(&path)?;
    let found = ui.state.read(move |grid| Some((view(grid, hash)?, cells(grid, hash)))).await?;
    let (order, cells) = found.ok_or_else(|| {
        Failure::new(Code::NotFound, format!("no order {hash} was placed here"))
            .hint("the list of orders has those that were")
    })?;
    let running = order.phase == OrderPhase::Running;
    let question = explain::Question::Order(hash);
    let why = if running { explain::answer(&ui.state, &question).await.ok() } else { None };
    let (blobs, known) = (std::sync::Arc::clone(&ui.state.shared.blobs), cells.clone());
    let causes = web::block(move || causes(&blobs, &known)).await;
    let causes = causes.map_err(|_| crate::http::stopping())?;
    let Query { show, from, .. } = query.into_inner();
    let (tasks, pager) = rows(&ui.state.batches, &cells, &show, from);
    html(&One {
        frame: Frame::new(&ui, &who, "/ui/orders", show::short(&hash.to_string())).live(),
        hash: hash.to_string(),
        phase: phase(&order),
        refused: order.reason.clone().unwrap_or_default(),
        answer: answer(&order, &causes),
        facts: facts(&order),
        height: cells.len().div_ceil(CELLS_A_ROW) * 6,
        width: CELLS_A_ROW * 6,
        cells: drawn(&cells),
        causes,
        why: why.map(|(_, told)| told),
        tasks,
        shown: show,
        pager,
    })
}

/// Every task of an order, by its place in the bag.
fn cells(grid: &Grid, hash: B256) -> Vec<Cell> {
    let Some(order) = grid.orders().get(&hash) else { return Vec::new() };
    if !matches!(order.state, OrderState::Deal(_)) {
        return Vec::new();
    }
    let none = Cell { kind: Kind::Queued, batch: 0, replicas: 0, digest: Digest::ZERO };
    let mut cells = vec![none; order.req.tasks as usize];
    for deal in deals_of(grid, order) {
        let first = deal.terms.filled_before as usize;
        for (place, task) in cells.iter_mut().skip(first).zip(&deal.tasks) {
            *place = cell(grid, task);
        }
    }
    cells
}

fn cell(grid: &Grid, task: &Task) -> Cell {
    let none = Cell { kind: Kind::Queued, batch: 0, replicas: 0, digest: Digest::ZERO };
    match task {
        Task::Queued => none,
        Task::Open(open) => {
            let replicas = u8::try_from(open.replicas.len()).unwrap_or(u8::MAX);
            Cell { kind: Kind::Open, replicas, ..none }
        }
        Task::Done(done) => {
            let state = grid.ledger().closed.get(&done.batch).map(|closed| closed.state);
            let kind = match (done.outcome, state) {
                (Outcome::NoQuorum | Outcome::Expired, _) => Kind::Failed,
                (Outcome::Consensus, Some(BatchState::Final)) => Kind::Final,
                (Outcome::Consensus, Some(BatchState::Committed)) => Kind::Committed,
                (Outcome::Consensus, Some(BatchState::Closed) | None) => Kind::Accepted,
            };
            let Done { batch, replicas, digest, .. } = *done;
            Cell { kind, batch, replicas, digest }
        }
    }
}

/// Strokes: each run of equal cells in a row is one line, dashed into cells by the style.
fn drawn(cells: &[Cell]) -> Vec<Cells> {
    let mut paths: BTreeMap<Kind, (u64, String)> = BTreeMap::new();
    for (row, line) in cells.chunks(CELLS_A_ROW).enumerate() {
        let mut at = 0;
        for run in line.chunk_by(|a, b| a.kind == b.kind) {
            let (count, path) = paths.entry(run[0].kind).or_default();
            *count += run.len() as u64;
            // Writing into a string cannot fail.
            let _ = write!(path, "M{} {}h{}", at * 6, row * 6 + 3, run.len() * 6);
            at += run.len();
        }
    }
    let drawn = |kind: Kind| {
        let (count, path) = paths.remove(&kind)?;
        let (class, name) = (kind.class(), kind.class().to_owned());
        Some(Cells { class, name, count: show::count(count), path })
    };
    Kind::ALL.into_iter().filter_map(drawn).collect()
}

/// Why tasks failed, or ended otherwise than well though everybody agrees: most first.
fn causes(blobs: &Blobs, cells: &[Cell]) -> Vec<Cause> {
    let mut by_digest: BTreeMap<Digest, (u64, u32)> = BTreeMap::new();
    let mut causes: BTreeMap<String, (u64, u32)> = BTreeMap::new();
    for (idx, cell) in (0_u32..).zip(cells) {
        if cell.kind == Kind::Failed {
            let what = "no result: the votes did not suffice, or the deal ended first".to_owned();
            causes.entry(what).or_insert((0, idx)).0 += 1;
        } else if cell.digest != Digest::ZERO {
            by_digest.entry(cell.digest).or_insert((0, idx)).0 += 1;
        }
    }
    let mut results: Vec<_> = by_digest.into_iter().collect();
    results.sort_by_key(|(digest, (tasks, _))| (std::cmp::Reverse(*tasks), *digest));
    for (digest, (tasks, example)) in results.into_iter().take(RESULTS_READ) {
        if let Some(what) = failed(blobs, &digest) {
            let cause = causes.entry(what).or_insert((0, example));
            (cause.0, cause.1) = (cause.0 + tasks, cause.1.min(example));
        }
    }
    let mut found: Vec<Cause> =
        causes.into_iter().map(|(what, (tasks, example))| Cause { what, tasks, example }).collect();
    found.sort_by_key(|cause| std::cmp::Reverse(cause.tasks));
    found
}

/// How a result ended, if not well.
fn failed(blobs: &Blobs, digest: &Digest) -> Option<String> {
    let bytes = blobs.read(digest, MANIFEST_BYTES).ok()?;
    let manifest = Manifest::parse(&bytes).ok()?;
    let well = manifest.ended == Ended::Exit(0);
    (!well).then(|| super::task::ended(&manifest.ended))
}

fn answer(order: &OrderView, causes: &[Cause]) -> String {
    let (settled, tasks) = (show::count(order.settled.into()), show::count(order.tasks.into()));
    let unwell: u64 = causes.iter().map(|cause| cause.tasks).sum();
    let end = match unwell {
        0 => "none failed".to_owned(),
        n => format!("{} did not end well", show::plural(n, "task")),
    };
    match order.phase {
        OrderPhase::Opening => "Its deal is being opened on chain.".into(),
        OrderPhase::Refused => "It was refused.".into(),
        OrderPhase::Running | OrderPhase::Done => {
            format!("{settled} of {tasks} tasks are settled; {end}.")
        }
    }
}

fn facts(order: &OrderView) -> Vec<(&'static str, String)> {
    let amount = |amount: quorate_common::api::Amount| show::tokens(amount.0);
    let deals: Vec<String> = order.deals.iter().map(|part| part.deal.to_string()).collect();
    vec![
        ("Requester", order.requester.to_string()),
        ("Payer", order.payer.unwrap_or(order.requester).to_string()),
        ("Placed", show::time(order.placed_unix_ms / 1_000)),
        ("Deadline", show::time(order.deadline)),
        ("Trust", show::count(order.trust.into())),
        (
            "Price of a task",
            format!(
                "{} and {} to the application, {} to the dataset",
                amount(order.unit_price),
                amount(order.app_price),
                amount(order.dataset_price)
            ),
        ),
        ("Spent", amount(order.spent)),
        ("Owed back", amount(order.refunded)),
        (
            "Replicas",
            format!("{}; {} votes lost", show::count(order.replicas), show::count(order.dissents)),
        ),
        ("Deals", if deals.is_empty() { "none".into() } else { deals.join(", ") }),
        ("Application", order.app.to_string()),
        ("Bag", order.bag.to_string()),
    ]
}

fn rows(batches: &Batches, cells: &[Cell], only: &str, from: usize) -> (Vec<TaskRow>, Pager) {
    let kind = Kind::ALL.into_iter().find(|kind| kind.class() == only);
    let all = (0_u32..).zip(cells).filter(|(_, cell)| kind.is_none_or(|kind| cell.kind == kind));
    let total = all.clone().count();
    let shown: Vec<TaskRow> =
        all.skip(from).take(ROWS).map(|(idx, cell)| task_row(batches, idx, cell)).collect();
    let query = kind.map(|kind| format!("show={}", kind.class())).unwrap_or_default();
    let pager = Pager::new(from, shown.len(), total, ROWS, &query);
    (shown, pager)
}

fn task_row(batches: &Batches, idx: u32, cell: &Cell) -> TaskRow {
    let state = match cell.kind {
        Kind::Final => super::money::stage(batches, cell.batch, BatchState::Final).0,
        kind @ (Kind::Queued | Kind::Open | Kind::Accepted | Kind::Committed | Kind::Failed) => {
            kind.class().to_owned()
        }
    };
    let known = cell.digest != Digest::ZERO;
    let result = if known { show::short(&cell.digest.to_string()) } else { String::new() };
    TaskRow { idx, state, class: cell.kind.class(), replicas: cell.replicas, result }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(kind: Kind) -> Cell {
        Cell { kind, batch: 0, replicas: 0, digest: Digest::ZERO }
    }

    #[test]
    fn ten_thousand_tasks_are_a_few_strokes() {
        let mut cells = vec![cell(Kind::Final); 10_000];
        cells[250] = cell(Kind::Failed);
        let drawn = drawn(&cells);
        let names: Vec<&str> = drawn.iter().map(|cells| cells.class).collect();
        assert_eq!(names, ["final", "failed"]);
        assert_eq!(drawn[1].path, "M300 15h6");
        assert_eq!(drawn[0].count, "9,999");
        assert!(drawn[0].path.starts_with("M0 3h600M0 9h600M0 15h300M306 15h294"));
        assert!(drawn[0].path.len() < 2_000, "{} bytes", drawn[0].path.len());
    }
}
