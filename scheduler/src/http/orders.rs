//! Orders and their tasks: place, list, show, explain, receipt.

use super::{State, error::ApiError};
use crate::{actors::grid::Place, blobs::Blobs, drain, orders};
use actix_web::{HttpResponse, get, post, web};
use quorate_common::{
    Address, B256,
    accounts::DealAccount,
    api::{Amount, DealPart, OrderPhase, OrderView, PlaceOrder, TaskPage, TaskPhase, TaskView},
    digest::Digest,
    disagreement::{Disagreement, Part},
    exit::{Code, Failure},
    ids::TaskKey,
    manifest::{MANIFEST_BYTES_MAX, Manifest},
    messages::Message as _,
};
use quorate_grid::{
    Explanation, Grid, audit,
    calibration::Difference,
    deal::{Deal, Order, OrderState},
    poco::Outcome,
    task::Task,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Tasks in one page at most.
const PAGE_MAX: u32 = 1_000;

/// A signed order in JSON. (A name of its own, because the description shows it as text.)
type Body = web::Json<PlaceOrder>;

/// Takes a signed order.
#[utoipa::path(post, path = "/v1/orders", request_body(content = String, content_type = "application/json", description = "PlaceOrder: the order's fields and its signature; app, dataset and sponsor orders"), responses(
    (status = 202, description = "quorate.order/v1: on disk, its deal is being opened"),
    (status = 400, description = "a field is out of range"), (status = 402, description = "price or funds"),
    (status = 403, description = "bad signature, or restricted to others"), (status = 404, description = "app, bag or input is not here"),
    (status = 409, description = "used up, expired, or the pool is closed")))]
#[post("/v1/orders")]
pub(crate) async fn place_order(
    state: web::Data<State>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let place = body.into_inner();
    let hash = place.req.struct_hash();
    let requester = place.req.requester;
    let (taken, open) =
        state.read(move |grid| (is_taken(grid, hash), open_orders(grid, requester))).await?;
    if !taken {
        drain::not_draining(&state.shared)?;
        not_too_many(open, state.open_orders_max)?;
    }
    let checked = {
        let (shared, place) = (std::sync::Arc::clone(&state.shared), place.clone());
        let checked = web::block(move || orders::check(&shared, &place)).await;
        checked.map_err(|_| ApiError(super::stopping()))??
    };
    if !taken {
        orders::would_open(&state.settlement, &state.shared, &place.req, &checked).await?;
    }
    let (reply, hear) = oneshot::channel();
    let orders::Checked { signature, sides } = checked;
    state.grid.do_send(Place { order: place.req, signature, sides, reply });
    hear.await.map_err(|_| ApiError(super::stopping()))?;
    let order = find(&state, hash).await?;
    Ok(HttpResponse::Accepted().json(order))
}

/// Whether an order is placed and not refused: it is answered again without asking the contract, which
/// refuses what was matched.
fn is_taken(grid: &Grid, hash: B256) -> bool {
    let state = grid.orders().get(&hash).map(|order| &order.state);
    matches!(state, Some(OrderState::Opening | OrderState::Deal(_)))
}

/// Orders of a requester that are under way.
fn open_orders(grid: &Grid, requester: Address) -> usize {
    let of_it = grid.orders().values().filter(|order| order.req.requester == requester);
    let open = of_it.filter(|order| {
        matches!(phase_of(order, &deals_of(grid, order)), OrderPhase::Opening | OrderPhase::Running)
    });
    open.count()
}

fn not_too_many(open: usize, most: u32) -> Result<(), Failure> {
    if open < most as usize {
        return Ok(());
    }
    let message =
        format!("this requester has {open} orders under way here; expected at most {most}");
    let mut failure = Failure::new(Code::Conflict, message)
        .hint("wait until one is done, or put more tasks into one order");
    failure.retryable = true;
    Err(failure)
}

/// Why an order waits.
#[utoipa::path(get, path = "/v1/orders/{order}/explain", params(("order" = String, Path)),
    responses((status = 200, description = "quorate.order-explanation/v1"), (status = 404, description = "no such order"),
        (status = 409, description = "its deal is not open: try again")))]
#[get("/v1/orders/{order}/explain")]
pub(crate) async fn explain_order(
    state: web::Data<State>,
    path: web::Path<String>,
) -> Result<web::Json<Value>, ApiError> {
    let hash = parse_hash(&path)?;
    let explain = move |grid: &Grid| {
        let deals = deals_of(grid, grid.orders().get(&hash)?);
        let slots: Vec<_> = deals.iter().map(|deal| deal.slot).collect();
        Some(grid.explain_order(&slots))
    };
    let found = state.read(explain).await?.ok_or_else(|| no_order(&path))?;
    let explanation = found.ok_or_else(|| not_yet("the order has no deal here yet"))?;
    let mut value =
        serde_json::to_value(explanation).map_err(|error| Failure::new(Code::Internal, error))?;
    value["schema"] = json!("quorate.order-explanation/v1");
    value["order"] = json!(hash);
    Ok(web::Json(value))
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
    let deals = deals_of(grid, grid.orders().get(&hash)?);
    let rows = deals.iter().flat_map(|deal| (deal.terms.filled_before..).zip(&deal.tasks));
    let mut rows = rows.skip(offset as usize).map(|(idx, task)| task_view(task, idx));
    let tasks: Vec<TaskView> = rows.by_ref().take(limit as usize).collect();
    let end = offset.saturating_add(u32::try_from(tasks.len()).ok()?);
    let next = rows.next().map(|_| end);
    Some(TaskPage { schema: "quorate.tasks/v1".into(), tasks, next })
}

pub(crate) fn task_view(task: &Task, idx: u32) -> TaskView {
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

pub(crate) fn cut_receipt(state: &State, batch: u64, place: u32) -> Result<Vec<u8>, Failure> {
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

/// The deals of an order that are known here, by first task. Nearly always it is one, the whole order.
pub(crate) fn deals_of<'a>(grid: &'a Grid, order: &Order) -> Vec<&'a Deal> {
    let OrderState::Deal(slot) = order.state else { return Vec::new() };
    let Some(known) = grid.deals().get(&slot) else { return Vec::new() };
    if known.terms.tasks == order.req.tasks {
        return vec![known];
    }
    let hash = known.terms.req_hash;
    let mut deals: Vec<&Deal> =
        grid.deals().values().filter(|deal| deal.terms.req_hash == hash).collect();
    deals.sort_by_key(|deal| deal.terms.filled_before);
    deals
}

/// The slots of an order's deals; `None` for no such order.
pub(crate) fn slots_of(grid: &Grid, hash: B256) -> Option<Vec<quorate_common::ids::DealSlot>> {
    let deals = deals_of(grid, grid.orders().get(&hash)?);
    Some(deals.iter().map(|deal| deal.slot).collect())
}

/// The task at a place of the order's bag.
pub(crate) fn key(grid: &Grid, hash: B256, idx: u32) -> Option<TaskKey> {
    deals_of(grid, grid.orders().get(&hash)?).into_iter().find_map(|deal| {
        let idx = idx.checked_sub(deal.terms.filled_before)?;
        (idx < deal.terms.tasks).then_some(TaskKey { deal: deal.slot, idx })
    })
}

pub(crate) async fn find(state: &State, hash: B256) -> Result<OrderView, ApiError> {
    let found = whole_view(state, hash).await?;
    found.ok_or_else(|| no_order(&hash.to_string()))
}

/// An order as the API shows it, with where the results of its program differ if they do.
pub async fn whole_view(state: &State, hash: B256) -> Result<Option<OrderView>, ApiError> {
    let found = state.read(move |grid| Some((view(grid, hash)?, torn(grid, hash)))).await?;
    let Some((mut order, torn)) = found else { return Ok(None) };
    if let (Some(disagreement), Some(results)) = (&mut order.disagreement, torn) {
        let shared = std::sync::Arc::clone(&state.shared);
        let first = web::block(move || first_part(&shared.blobs, results)).await;
        disagreement.first = first.map_err(|_| ApiError(super::stopping()))?;
    }
    Ok(Some(order))
}

/// The results that made a deal of an order end early.
fn torn(grid: &Grid, hash: B256) -> Option<[Digest; 2]> {
    let deals = deals_of(grid, grid.orders().get(&hash)?);
    let difference = deals.into_iter().find_map(|deal| deal.erratic)?;
    Some(difference.votes.map(|(_, digest)| digest))
}

/// Where two results differ first, if both are here.
fn first_part(blobs: &Blobs, results: [Digest; 2]) -> Option<Part> {
    let [one, other] = results.map(|digest| {
        let bytes = blobs.read(&digest, MANIFEST_BYTES_MAX as u64).ok()?;
        Manifest::parse(&bytes).ok()
    });
    Part::first(&one?, &other?)
}

/// Why a deal's tasks end without results. Where its results differ is for who can read them.
fn disagreement(grid: &Grid, order: B256, deal: &Deal) -> Option<Disagreement> {
    let Difference { task, votes } = deal.erratic?;
    let of = grid.deals().get(&task.deal)?;
    let other_order = of.terms.req_hash != order;
    Some(Disagreement {
        task: of.terms.filled_before + task.idx,
        other_order,
        workers: votes.map(|(worker, _)| worker),
        results: (!other_order).then(|| votes.map(|(_, digest)| digest)),
        first: None,
    })
}

/// An order as the API shows it.
pub fn view(grid: &Grid, hash: B256) -> Option<OrderView> {
    let order = grid.orders().get(&hash)?;
    let deals = deals_of(grid, order);
    let first = deals.first();
    let reason = match &order.state {
        OrderState::Refused(reason) => Some(reason.clone()),
        OrderState::Opening | OrderState::Deal(_) => None,
    };
    let book = |of: fn(&DealAccount) -> u128| {
        let books = deals.iter().filter_map(|deal| grid.ledger().deal(deal.slot));
        Amount(books.map(|book| of(&book.account)).sum())
    };
    let (app, dataset) = (&order.sides.app, &order.sides.dataset);
    let (app, dataset) =
        (app.as_ref().map_or(0, |a| a.order.price), dataset.as_ref().map_or(0, |d| d.order.price));
    let sponsor = order.sides.sponsor.as_ref().map(|sponsor| sponsor.order.sponsor);
    let payer = first.map(|d| d.terms.payer).or(sponsor).unwrap_or(order.req.requester);
    Some(OrderView {
        schema: "quorate.order/v1".into(),
        order: hash,
        phase: phase_of(order, &deals),
        reason,
        disagreement: deals.iter().find_map(|deal| disagreement(grid, hash, deal)),
        deal: first.map(|deal| deal.slot),
        requester: order.req.requester,
        payer: Some(payer),
        app: Digest::from(order.req.app),
        bag: Digest::from(order.req.params),
        tasks: order.req.tasks,
        settled: deals.iter().map(|deal| deal.settled).sum(),
        accepted: deals.iter().map(|deal| deal.accepted).sum(),
        replicas: deals.iter().map(|deal| deal.replicas).sum(),
        dissents: deals.iter().map(|deal| deal.dissents).sum(),
        trust: order.req.trust,
        unit_price: Amount(first.map_or(order.req.max_unit_price, |d| d.terms.unit_price)),
        app_price: Amount(first.map_or(app, |d| d.terms.app_price)),
        dataset_price: Amount(first.map_or(dataset, |d| d.terms.dataset_price)),
        spent: book(|account| account.spent),
        refunded: book(|account| account.refunded),
        deals: deals.iter().map(|deal| part(deal)).collect(),
        deadline: order.req.deadline,
        placed_unix_ms: order.at_unix_ms,
        req: order.req.clone(),
    })
}

fn part(deal: &Deal) -> DealPart {
    let (first, tasks) = (deal.terms.filled_before, deal.terms.tasks);
    DealPart { deal: deal.slot, first, tasks, settled: deal.settled }
}

/// How far an order is.
pub(crate) fn phase_of_order(grid: &Grid, order: &Order) -> OrderPhase {
    phase_of(order, &deals_of(grid, order))
}

/// An order is done when all of its tasks are, not only those of the deals so far.
fn phase_of(order: &Order, deals: &[&Deal]) -> OrderPhase {
    let settled: u32 = deals.iter().map(|deal| deal.settled).sum();
    match order.state {
        OrderState::Refused(_) => OrderPhase::Refused,
        OrderState::Deal(_) if settled >= order.req.tasks => OrderPhase::Done,
        OrderState::Deal(_) if !deals.is_empty() => OrderPhase::Running,
        OrderState::Deal(_) | OrderState::Opening => OrderPhase::Opening,
    }
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
