//! Orders and their tasks: place, list, show, explain, receipt.

use super::{State, error::ApiError};
use crate::{actors::grid::Place, orders};
use actix_web::{HttpResponse, get, post, web};
use quorate_common::{
    B256,
    api::{Amount, OrderPhase, OrderView, PlaceOrder, TaskPage, TaskPhase, TaskView},
    digest::Digest,
    exit::{Code, Failure},
    ids::TaskKey,
    messages::Message as _,
};
use quorate_grid::{Explanation, Grid, audit, deal::OrderState, poco::Outcome, task::Task};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Tasks in one page at most.
const PAGE_MAX: u32 = 1_000;

/// A signed order in JSON. (A name of its own, because the description shows it as text.)
type Body = web::Json<PlaceOrder>;

/// Takes a signed order.
#[utoipa::path(post, path = "/v1/orders", request_body(content = String, content_type = "application/json", description = "PlaceOrder: the order's fields and its signature"), responses(
    (status = 202, description = "quorate.order/v1: on disk, its deal is being opened"),
    (status = 400, description = "a field is out of range"), (status = 402, description = "price or funds"),
    (status = 403, description = "bad signature"), (status = 404, description = "app, bag or input is not here")))]
#[post("/v1/orders")]
pub(crate) async fn place_order(
    state: web::Data<State>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let place = body.into_inner();
    let hash = place.req.struct_hash();
    let known = state.read(move |grid| grid.orders().contains_key(&hash)).await?;
    let checked = {
        let (shared, place) = (std::sync::Arc::clone(&state.shared), place.clone());
        let checked = web::block(move || orders::check(&shared, &place)).await;
        checked.map_err(|_| ApiError(super::stopping()))??
    };
    if !known {
        funds(&state, &place).await?;
    }
    let (reply, hear) = oneshot::channel();
    state.grid.do_send(Place { order: place.req, signature: checked, reply });
    hear.await.map_err(|_| ApiError(super::stopping()))?;
    let order = find(&state, hash).await?;
    Ok(HttpResponse::Accepted().json(order))
}

async fn funds(state: &State, place: &PlaceOrder) -> Result<(), ApiError> {
    let req = &place.req;
    let cost = state.shared.offer.order.unit_price.saturating_mul(u128::from(req.tasks));
    let free = state
        .settlement
        .free_of(req.requester)
        .await
        .map_err(|error| Failure::new(Code::Chain, quorate_common::report::Chain(&error)))?;
    if free >= cost {
        return Ok(());
    }
    let message = format!(
        "free balance of {} is {free} token units; expected at least {cost} for {} tasks",
        req.requester, req.tasks
    );
    let hint = format!("deposit {} more: quorate wallet deposit", cost - free);
    Err(Failure::new(Code::Funds, message).hint(hint).into())
}

/// Every order.
#[utoipa::path(get, path = "/v1/orders", responses((status = 200, description = "quorate.orders/v1")))]
#[get("/v1/orders")]
pub(crate) async fn list_orders(state: web::Data<State>) -> Result<web::Json<Value>, ApiError> {
    let orders = state
        .read(|grid| {
            let hashes: Vec<B256> = grid.orders().keys().copied().collect();
            hashes.into_iter().filter_map(|hash| view(grid, hash)).collect::<Vec<_>>()
        })
        .await?;
    Ok(web::Json(json!({ "schema": "quorate.orders/v1", "orders": orders })))
}

/// One order.
#[utoipa::path(get, path = "/v1/orders/{order}", params(("order" = String, Path)),
    responses((status = 200, description = "quorate.order/v1"), (status = 404, description = "no such order")))]
#[get("/v1/orders/{order}")]
pub(crate) async fn show_order(
    state: web::Data<State>,
    path: web::Path<String>,
) -> Result<web::Json<OrderView>, ApiError> {
    Ok(web::Json(find(&state, parse_hash(&path)?).await?))
}

/// A page's place.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Page {
    #[serde(default)]
    offset: u32,
    limit: Option<u32>,
}

/// A page of an order's tasks.
#[utoipa::path(get, path = "/v1/orders/{order}/tasks",
    params(("order" = String, Path), ("offset" = Option<u32>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, description = "quorate.tasks/v1"), (status = 404, description = "no such order")))]
#[get("/v1/orders/{order}/tasks")]
pub(crate) async fn task_list(
    state: web::Data<State>,
    path: web::Path<String>,
    page: web::Query<Page>,
) -> Result<web::Json<TaskPage>, ApiError> {
    let hash = parse_hash(&path)?;
    let (offset, limit) = (page.offset, page.limit.unwrap_or(PAGE_MAX).min(PAGE_MAX));
    let page = state.read(move |grid| task_page(grid, hash, offset, limit)).await?;
    Ok(web::Json(page.ok_or_else(|| no_order(&path))?))
}

fn task_page(grid: &Grid, hash: B256, offset: u32, limit: u32) -> Option<TaskPage> {
    let order = grid.orders().get(&hash)?;
    let tasks: &[Task] = match &order.state {
        OrderState::Deal(slot) => &grid.deals().get(slot)?.tasks,
        OrderState::Opening | OrderState::Refused(_) => &[],
    };
    let rows = tasks.iter().zip(0_u32..).skip(offset as usize).take(limit as usize);
    let rows: Vec<TaskView> = rows.map(|(task, idx)| task_view(task, idx)).collect();
    let end = offset + u32::try_from(rows.len()).ok()?;
    let next = ((end as usize) < tasks.len()).then_some(end);
    Some(TaskPage { schema: "quorate.tasks/v1".into(), tasks: rows, next })
}

fn task_view(task: &Task, idx: u32) -> TaskView {
    match task {
        Task::Queued => row(idx, TaskPhase::Queued, 0),
        Task::Open(open) => row(idx, TaskPhase::Open, open.replicas.len()),
        Task::Done(done) => TaskView {
            result: (done.digest != Digest::ZERO).then_some(done.digest),
            batch: Some(done.batch),
            ..row(idx, phase(done.outcome), done.replicas.into())
        },
    }
}

fn row(idx: u32, phase: TaskPhase, replicas: usize) -> TaskView {
    let replicas = u8::try_from(replicas.min(255)).expect("capped");
    TaskView { idx, phase, result: None, replicas, batch: None }
}

/// The API's word for an outcome.
pub fn phase(outcome: Outcome) -> TaskPhase {
    match outcome {
        Outcome::Consensus => TaskPhase::Consensus,
        Outcome::NoQuorum => TaskPhase::NoQuorum,
        Outcome::Expired => TaskPhase::Expired,
    }
}

/// Why a task is where it is.
#[utoipa::path(get, path = "/v1/orders/{order}/tasks/{task}/explain",
    params(("order" = String, Path), ("task" = u32, Path)),
    responses((status = 200, description = "quorate.explanation/v1"), (status = 404, description = "no such task")))]
#[get("/v1/orders/{order}/tasks/{task}/explain")]
pub(crate) async fn explain_task(
    state: web::Data<State>,
    path: web::Path<(String, u32)>,
) -> Result<web::Json<Value>, ApiError> {
    let (hash, idx) = (parse_hash(&path.0)?, path.1);
    let found: Option<Explanation> =
        state.read(move |grid| grid.explain(key(grid, hash, idx)?)).await?;
    let explanation = found.ok_or_else(|| no_task(&path.0, idx))?;
    let mut value =
        serde_json::to_value(explanation).map_err(|error| Failure::new(Code::Internal, error))?;
    value["schema"] = json!("quorate.explanation/v1");
    Ok(web::Json(value))
}

/// One task's receipt, once its batch is sealed.
#[utoipa::path(get, path = "/v1/orders/{order}/tasks/{task}/receipt",
    params(("order" = String, Path), ("task" = u32, Path)),
    responses((status = 200, description = "quorate.receipt/v1"), (status = 404, description = "no such task"),
        (status = 409, description = "its batch is not sealed yet: try again")))]
#[get("/v1/orders/{order}/tasks/{task}/receipt")]
pub(crate) async fn task_receipt(
    state: web::Data<State>,
    path: web::Path<(String, u32)>,
) -> Result<HttpResponse, ApiError> {
    let (hash, idx) = (parse_hash(&path.0)?, path.1);
    let found = state
        .read(move |grid| {
            let task = grid.task(key(grid, hash, idx)?)?.clone();
            match task {
                Task::Done(done) => Some(Some((done.batch, done.place))),
                Task::Queued | Task::Open(_) => Some(None),
            }
        })
        .await?;
    let place = found.ok_or_else(|| no_task(&path.0, idx))?;
    let (batch, place) = place.ok_or_else(|| not_yet("the task is not settled yet"))?;
    let state = state.into_inner();
    let cut = web::block(move || cut_receipt(&state, batch, place)).await;
    let bytes = cut.map_err(|_| ApiError(super::stopping()))??;
    Ok(HttpResponse::Ok().content_type("application/json").body(bytes))
}

fn cut_receipt(state: &State, batch: u64, place: u32) -> Result<Vec<u8>, Failure> {
    let internal = |error: &dyn std::error::Error| {
        Failure::new(Code::Internal, quorate_common::report::Chain(error))
    };
    let sealed = state.batches.read(batch).map_err(|error| internal(&error))?;
    let sealed = sealed.ok_or_else(|| not_yet("the task's batch is not sealed yet").0)?;
    let file = state.batches.evidence(&sealed.header).map_err(|error| internal(&error))?;
    let domain = state.shared.domain;
    let receipt = audit::receipt(&domain, &sealed.header, &file, &sealed.seal, place);
    Ok(receipt.map_err(|error| internal(&error))?.to_json().into_bytes())
}

fn not_yet(message: &str) -> ApiError {
    let mut failure = Failure::new(Code::Conflict, message).hint("try again in a moment");
    failure.retryable = true;
    failure.into()
}

fn key(grid: &Grid, hash: B256, idx: u32) -> Option<TaskKey> {
    match grid.orders().get(&hash)?.state {
        OrderState::Deal(deal) => Some(TaskKey { deal, idx }),
        OrderState::Opening | OrderState::Refused(_) => None,
    }
}

async fn find(state: &State, hash: B256) -> Result<OrderView, ApiError> {
    let found = state.read(move |grid| view(grid, hash)).await?;
    found.ok_or_else(|| no_order(&hash.to_string()))
}

/// An order as the API shows it.
pub fn view(grid: &Grid, hash: B256) -> Option<OrderView> {
    let order = grid.orders().get(&hash)?;
    let deal = match order.state {
        OrderState::Deal(slot) => grid.deals().get(&slot),
        OrderState::Opening | OrderState::Refused(_) => None,
    };
    let phase = match (&order.state, deal) {
        (OrderState::Refused(_), _) => OrderPhase::Refused,
        (_, Some(deal)) if deal.finished() => OrderPhase::Done,
        (_, Some(_)) => OrderPhase::Running,
        _ => OrderPhase::Opening,
    };
    let reason = match &order.state {
        OrderState::Refused(reason) => Some(reason.clone()),
        OrderState::Opening | OrderState::Deal(_) => None,
    };
    let book = deal.and_then(|deal| grid.ledger().deal(deal.slot));
    Some(OrderView {
        schema: "quorate.order/v1".into(),
        order: hash,
        phase,
        reason,
        deal: deal.map(|deal| deal.slot),
        requester: order.req.requester,
        app: Digest::from(order.req.app),
        bag: Digest::from(order.req.params),
        tasks: order.req.tasks,
        settled: deal.map_or(0, |deal| deal.settled),
        accepted: deal.map_or(0, |deal| deal.accepted),
        replicas: deal.map_or(0, |deal| deal.replicas),
        dissents: deal.map_or(0, |deal| deal.dissents),
        trust: order.req.trust,
        unit_price: Amount(deal.map_or(order.req.max_unit_price, |d| d.terms.unit_price)),
        spent: Amount(book.map_or(0, |book| book.account.spent)),
        refunded: Amount(book.map_or(0, |book| book.account.refunded)),
        deadline: order.req.deadline,
        placed_unix_ms: order.at_unix_ms,
        req: order.req.clone(),
    })
}

/// An order's struct hash in a path.
pub fn parse_hash(text: &str) -> Result<B256, ApiError> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        let message = format!("order `{shown}`: expected 0x and 64 hex digits");
        ApiError(Failure::new(Code::Usage, message))
    })
}

fn no_order(hash: &str) -> ApiError {
    Failure::new(Code::NotFound, format!("no order {hash} was placed here"))
        .hint("was it another scheduler's? `quorate order ls` names yours")
        .into()
}

fn no_task(hash: &str, idx: u32) -> ApiError {
    Failure::new(Code::NotFound, format!("no task {idx} of order {hash}")).into()
}
