//! The pool itself: what it offers, who works in it, its batches and proofs, health and metrics.

use super::{Description, State, error::ApiError};
use crate::gauges;
use actix_web::{HttpResponse, get, web};
use quorate_common::{
    api::{Amount, BatchList, BatchView, DealProof, PoolInfo, WorkerList, WorkerProof, WorkerRow},
    exit::{Code, Failure},
    ids::{DealSlot, WORKERS_MAX, WorkerIdx},
    messages::Message as _,
};
use quorate_grid::{Grid, WorkerView, ledger::BatchState};
use serde_json::{Value, json};
use utoipa::OpenApi as _;

/// What a requester and a worker must know.
#[utoipa::path(get, path = "/v1/pool", responses((status = 200, description = "quorate.pool/v1")))]
#[get("/v1/pool")]
pub(crate) async fn show_pool(state: web::Data<State>) -> web::Json<PoolInfo> {
    let shared = &state.shared;
    let offer = &shared.offer.order;
    web::Json(PoolInfo {
        schema: "quorate.pool/v1".into(),
        pool: shared.pool,
        domain: shared.domain,
        token: state.settlement.token(),
        signer: shared.signer.address(),
        node_key: shared.node_key.public(),
        quic: state.quic.clone(),
        unit_price: Amount(offer.unit_price),
        trust_max: offer.trust,
        stake_ratio: offer.stake_ratio,
        scheduler_ratio: offer.scheduler_ratio,
        max_task_time: offer.max_task_time,
        unix_s: shared.now().unix_s(),
        version: env!("CARGO_PKG_VERSION").into(),
    })
}

/// Alive: the grid answers.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "ok")))]
#[get("/healthz")]
pub(crate) async fn health(state: web::Data<State>) -> Result<&'static str, ApiError> {
    state.read(|_| ()).await?;
    Ok("ok\n")
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "exposition text")))]
#[get("/metrics")]
pub(crate) async fn exposition(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    let now = state.shared.now();
    let census = state.read(move |grid| grid.census(now)).await?;
    gauges::set(&state.shared, &census);
    let text = state.shared.metrics.text();
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text))
}

/// Every worker.
#[utoipa::path(get, path = "/v1/workers", responses((status = 200, description = "quorate.workers/v1")))]
#[get("/v1/workers")]
pub(crate) async fn worker_list(
    state: web::Data<State>,
) -> Result<web::Json<WorkerList>, ApiError> {
    let workers = state.read(Grid::workers).await?;
    let workers = workers.iter().map(worker_row).collect();
    Ok(web::Json(WorkerList { schema: "quorate.workers/v1".into(), workers }))
}

fn worker_row(view: &WorkerView) -> WorkerRow {
    WorkerRow {
        worker: view.worker,
        owner: view.owner,
        node_key: view.node_key,
        connected: view.connected,
        slots: view.slots,
        busy: view.busy,
        score: view.score,
        weight: view.weight,
        earned: Amount(view.earned),
        slashed: Amount(view.slashed),
        stake: Amount(view.stake),
        held: Amount(view.held),
    }
}

/// A worker's account in the newest final batch, or that it has none there, with the proof of either.
#[utoipa::path(get, path = "/v1/workers/{worker}/proof", params(("worker" = u32, Path)),
    responses((status = 200, description = "quorate.proof/v1"), (status = 404, description = "no worker can have such a number")))]
#[get("/v1/workers/{worker}/proof")]
pub(crate) async fn worker_proof(
    state: web::Data<State>,
    path: web::Path<u32>,
) -> Result<web::Json<WorkerProof>, ApiError> {
    let worker = WorkerIdx(*path);
    if worker.0 >= WORKERS_MAX {
        let message = format!("{worker}: expected a number below {WORKERS_MAX}");
        return Err(Failure::new(Code::NotFound, message).into());
    }
    let (index, opening, account, path) = state.finals.worker(worker);
    let schema = "quorate.proof/v1".into();
    Ok(web::Json(WorkerProof { schema, worker, index, opening, account, path }))
}

/// Why a worker has no more work than it has.
#[utoipa::path(get, path = "/v1/workers/{worker}/explain", params(("worker" = u32, Path)),
    responses((status = 200, description = "quorate.worker-explanation/v1"), (status = 404, description = "no such worker")))]
#[get("/v1/workers/{worker}/explain")]
pub(crate) async fn explain_worker(
    state: web::Data<State>,
    path: web::Path<u32>,
) -> Result<web::Json<Value>, ApiError> {
    let worker = WorkerIdx(*path);
    let found = state.read(move |grid| grid.explain_worker(worker)).await?;
    let explanation = found.ok_or_else(|| {
        Failure::new(Code::NotFound, format!("{worker} is not registered in this pool's contract"))
            .hint("was it registered a moment ago? it is known once its block is final")
    })?;
    let mut value =
        serde_json::to_value(explanation).map_err(|error| Failure::new(Code::Internal, error))?;
    value["schema"] = json!("quorate.worker-explanation/v1");
    Ok(web::Json(value))
}

/// A deal's account in the newest final batch.
#[utoipa::path(get, path = "/v1/deals/{slot}/proof", params(("slot" = u32, Path)),
    responses((status = 200, description = "quorate.proof/v1"), (status = 404, description = "no final batch has it")))]
#[get("/v1/deals/{slot}/proof")]
pub(crate) async fn deal_proof(
    state: web::Data<State>,
    path: web::Path<u32>,
) -> Result<web::Json<DealProof>, ApiError> {
    let deal = DealSlot(*path);
    let found = state.finals.deal(deal);
    let (index, opening, account, path) = found.ok_or_else(|| nothing_final(&deal.to_string()))?;
    let known = move |grid: &Grid| grid.deals().get(&deal).map(|deal| deal.terms.clone());
    let terms = state.read(known).await?.ok_or_else(|| nothing_final(&deal.to_string()))?;
    let schema = "quorate.proof/v1".into();
    Ok(web::Json(DealProof { schema, deal, index, opening, terms, account, path }))
}

fn nothing_final(what: &str) -> ApiError {
    let message = format!("{what} is in no final batch");
    Failure::new(Code::NotFound, message).hint("a batch is final after its window").into()
}

/// Every closed batch.
#[utoipa::path(get, path = "/v1/batches", responses((status = 200, description = "quorate.batches/v1")))]
#[get("/v1/batches")]
pub(crate) async fn batch_list(state: web::Data<State>) -> Result<web::Json<BatchList>, ApiError> {
    let batches = state.read(list_batches).await?;
    Ok(web::Json(BatchList { schema: "quorate.batches/v1".into(), batches }))
}

fn list_batches(grid: &Grid) -> Vec<BatchView> {
    let view = |(index, closed): (&u64, &quorate_grid::ledger::Closed)| BatchView {
        index: *index,
        hash: closed.header.struct_hash(),
        state: match closed.state {
            BatchState::Closed => "closed".into(),
            BatchState::Committed => "committed".into(),
            BatchState::Final => "final".into(),
        },
        header: closed.header.clone(),
    };
    grid.ledger().closed.iter().map(view).collect()
}

/// This description.
#[get("/openapi.json")]
pub(crate) async fn openapi() -> web::Json<utoipa::openapi::OpenApi> {
    web::Json(Description::openapi())
}
