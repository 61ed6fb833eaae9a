//! Money: what is locked, pending, earned and left, in the contract's words and the grid's.

use super::{
    Ui,
    error::PageError,
    overview::Tile,
    page::{Frame, html},
    session::Who,
    show,
};
use crate::{
    explain::{self, Told},
    money::Look,
    sealed::Batches,
};
use actix_web::{HttpResponse, get, web, web::Data};
use askama::Template;
use quorate_common::messages::{Header, Message as _};
use quorate_grid::{Grid, ledger::BatchState};

/// Batches that are shown: the newest.
const BATCHES_SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "money.html")]
struct Page {
    frame: Frame,
    answer: String,
    /// Why the chain says nothing; empty: it does.
    silent: String,
    tiles: Vec<Tile>,
    batches: Vec<Row>,
    settlement: Told,
    cost: Told,
}

struct Row {
    batch: u64,
    state: String,
    tone: &'static str,
    tasks: String,
    payout: String,
    fees: String,
    slashed: String,
    due: String,
    hash: String,
}

/// Money.
#[get("/ui/money")]
pub(super) async fn page(ui: Data<Ui>, who: Who) -> Result<HttpResponse, PageError> {
    let state = &ui.state;
    let (headcount, look) = (ui.headcount().await?, state.money.look().await);
    let settlement = explain::settlement(state).await?.told();
    let cost = explain::cost(state).await?.told();
    let newest = state.read(newest).await?;
    let (window_s, now_s) = (state.settlement.window_s(), state.shared.now().unix_s());
    let batches = state.batches.clone();
    let rows = move || newest.into_iter().map(|it| row(&batches, it, window_s, now_s)).collect();
    let batches = web::block(rows).await.map_err(|_| crate::http::stopping())?;
    let (silent, tiles) = match &look {
        Ok(look) => (String::new(), tiles(look, headcount.escrow)),
        Err(why) => (why.clone(), Vec::new()),
    };
    let answer = format!("{} {}", settlement.answer, cost.answer);
    let frame = Frame::new(&ui, &who, "/ui/money", "Money").live();
    html(&Page { frame, answer, silent, tiles, batches, settlement, cost })
}

fn newest(grid: &Grid) -> Vec<(Header, BatchState)> {
    let closed = grid.ledger().closed.values().rev().take(BATCHES_SHOWN);
    closed.map(|closed| (closed.header.clone(), closed.state)).collect()
}

fn tiles(look: &Look, escrow: u128) -> Vec<Tile> {
    let pool = &look.pool;
    let cap = pool.bond / 3 * 2;
    let tile = |name, value, note| Tile { name, value, note, link: "" };
    vec![
        tile(
            "Escrow",
            show::tokens(pool.locked),
            format!("locked in the contract; {} for tasks not settled", show::tokens(escrow)),
        ),
        tile(
            "Pending batches",
            show::tokens(pool.pending_value),
            open_batches(pool.finalized, pool.head),
        ),
        tile(
            "Bond headroom",
            show::tokens(cap.saturating_sub(pool.pending_value)),
            format!(
                "of {}: two thirds of a bond of {}",
                show::tokens(cap),
                show::tokens(pool.bond)
            ),
        ),
        tile("Gas account", show::coins(look.gas_wei), look.gas_account.to_string()),
        tile(
            "Not claimed by workers",
            show::tokens(pool.owed),
            "final earnings that they can take whenever they like".into(),
        ),
        tile(
            "Fees collected",
            show::tokens(pool.collected),
            format!("{} of yours are free in the contract", show::tokens(look.operator_free)),
        ),
    ]
}

/// Batches `finalized + 1` to `head`, on chain and not final.
fn open_batches(finalized: u64, head: u64) -> String {
    match head.saturating_sub(finalized) {
        0 => "none is open to challenge".into(),
        1 => format!("batch {head} is open to challenge"),
        _ => format!("batches {} to {head} are open to challenge", finalized + 1),
    }
}

fn row(batches: &Batches, (header, state): (Header, BatchState), window_s: u64, now_s: u64) -> Row {
    let opening = batches.opening(header.index).ok().flatten();
    let due = match (state, opening) {
        (BatchState::Final, _) => "it is".into(),
        (_, Some(opening)) => show::ago(now_s, opening.committed_at + window_s),
        (_, None) => "once it is on chain".into(),
    };
    let (state, tone) = stage(batches, header.index, state);
    Row {
        batch: header.index,
        state,
        tone,
        tasks: show::count(header.count.into()),
        payout: show::tokens(header.payout),
        fees: show::tokens(header.fees),
        slashed: show::tokens(header.slashed),
        due,
        hash: header.struct_hash().to_string(),
    }
}

/// A batch's state in the words that all pages use, never just "done".
pub(super) fn stage(batches: &Batches, index: u64, state: BatchState) -> (String, &'static str) {
    match state {
        BatchState::Closed => ("accepted, closed".into(), "warn"),
        BatchState::Committed => ("committed".into(), "info"),
        BatchState::Final => match batches.final_at(index) {
            Some(block) => (format!("final@{block}"), "ok"),
            None => ("final".into(), "ok"),
        },
    }
}
