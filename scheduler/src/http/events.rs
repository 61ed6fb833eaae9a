//! Server-sent events of one order: it first, then every task that settles, and the order again when its
//! phase changes. A listener that lags is told so and reads again; nobody waits for it.

use super::{State, error::ApiError, orders};
use crate::shared::Event;
use actix_web::{HttpResponse, get, web};
use futures_util::stream::unfold;
use quorate_common::{
    B256,
    api::{DealPart, OrderPhase, OrderView, TaskEvent, TaskPhase},
    digest::Digest,
    exit::{Code, Failure},
};
use quorate_grid::effect::TaskSettled;
use serde::Serialize;
use std::{collections::VecDeque, time::Duration};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// A comment line this often keeps proxies from closing an idle stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The stream.
#[utoipa::path(get, path = "/v1/orders/{order}/events", params(("order" = String, Path)),
    responses((status = 200, description = "text/event-stream of order, task and lagged events"),
        (status = 404, description = "no such order")))]
#[get("/v1/orders/{order}/events")]
pub(crate) async fn watch(
    state: web::Data<State>,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let hash = orders::parse_hash(&path)?;
    // Listening before reading: what happens in between is told twice rather than never.
    let events = state.shared.events.subscribe();
    let order = read(&state, hash).await?;
    let mut watch = Watch {
        state,
        hash,
        events,
        phase: order.phase,
        disagrees: false,
        deals: Vec::new(),
        out: VecDeque::new(),
    };
    watch.tell(&order);
    let body = unfold(watch, |mut watch| async move {
        let next = watch.next().await?;
        Some((Ok::<_, actix_web::Error>(web::Bytes::from(next)), watch))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-store"))
        .streaming(body))
}

async fn read(state: &State, hash: B256) -> Result<OrderView, ApiError> {
    let found = orders::whole_view(state, hash).await?;
    found.ok_or_else(|| Failure::new(Code::NotFound, format!("no order {hash}")).into())
}

struct Watch {
    state: web::Data<State>,
    hash: B256,
    events: Receiver<Event>,
    phase: OrderPhase,
    disagrees: bool,
    deals: Vec<DealPart>,
    out: VecDeque<String>,
}

impl Watch {
    fn tell(&mut self, order: &OrderView) {
        (self.phase, self.disagrees) = (order.phase, order.disagreement.is_some());
        self.deals.clone_from(&order.deals);
        self.out.push_back(event("order", order));
    }

    fn over(&self) -> bool {
        matches!(self.phase, OrderPhase::Done | OrderPhase::Refused)
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.out.pop_front() {
                return Some(text);
            }
            if self.over() {
                return None;
            }
            let heard = tokio::time::timeout(KEEP_ALIVE, self.events.recv()).await;
            match heard {
                Ok(Ok(heard)) => self.hear(heard).await?,
                Ok(Err(RecvError::Lagged(count))) => {
                    self.out.push_back(event("lagged", &count));
                    self.look().await?;
                }
                Ok(Err(RecvError::Closed)) => return None,
                // Also the moment to notice a refusal, which is no event.
                Err(_) => {
                    self.out.push_back(": still here\n\n".into());
                    self.look().await?;
                }
            }
        }
    }

    async fn hear(&mut self, heard: Event) -> Option<()> {
        match heard {
            Event::Task(settled) => {
                let Some(task) = self.task_event(&settled) else { return Some(()) };
                self.out.push_back(event("task", &task));
                let failed = task.phase != TaskPhase::Consensus && !self.disagrees;
                if failed || self.deals.iter().all(|deal| deal.settled == deal.tasks) {
                    self.look().await?;
                }
            }
            Event::Order => self.look().await?,
            Event::Stopping => return None,
        }
        Some(())
    }

    /// Reads the order again; tells it if its phase changed, or it ends for its program.
    async fn look(&mut self) -> Option<()> {
        let order = read(&self.state, self.hash).await.ok()?;
        if order.phase != self.phase || order.disagreement.is_some() != self.disagrees {
            self.tell(&order);
        }
        self.deals = order.deals;
        Some(())
    }

    /// What a settled task is to the order; nothing if it is another order's.
    fn task_event(&mut self, settled: &TaskSettled) -> Option<TaskEvent> {
        let deal = self.deals.iter_mut().find(|deal| deal.deal == settled.task.deal)?;
        deal.settled = deal.settled.max(settled.deal_settled);
        let idx = deal.first + settled.task.idx;
        Some(TaskEvent {
            idx,
            phase: orders::phase(settled.outcome),
            result: (settled.digest != Digest::ZERO).then_some(settled.digest),
            replicas: settled.replicas,
            dissents: settled.dissents,
            settled: self.deals.iter().map(|deal| deal.settled).sum(),
            age_ms: settled.age_ms,
        })
    }
}

fn event(name: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).expect("plain documents always serialise");
    format!("event: {name}\ndata: {data}\n\n")
}
