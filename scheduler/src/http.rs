//! The HTTP API under /v1: orders, tasks, results, receipts, blobs, events. Reads are queries between
//! two inputs of the grid; nothing here decides.

pub mod batches;
pub mod blobs;
pub mod counted;
pub mod error;
pub mod events;
pub mod explain;
pub mod orders;
pub mod pool;
pub mod rpc;
pub mod sponsor;

use crate::{
    actors::grid::{GridActor, Query},
    finals::Finals,
    logbook::Logbook,
    money::Money,
    sealed::Batches,
    shared::Shared,
    sponsor::Sponsor,
};
use actix::Addr;
use actix_web::web;
use error::ApiError;
use quorate_chain::{embedded::EmbeddedNode, outbox::Outbox, settlement::Settlement};
use quorate_common::exit::{Code, Failure};
use quorate_grid::Grid;
use std::{sync::Arc, time::Instant};
use tokio::sync::oneshot;
use utoipa::OpenApi;

/// Largest JSON body: four orders of a kilobyte, each with 8 KiB of hex for the longest signature.
pub const JSON_BYTES_MAX: usize = 48 << 10;
/// Connections at once: browsers, clients, Prometheus; beyond it new ones wait.
pub const CONNECTIONS_MAX: usize = 4096;

/// What handlers work with.
#[derive(Clone, Debug)]
pub struct State {
    /// Keys, clocks, blobs.
    pub shared: Arc<Shared>,
    /// The grid.
    pub grid: Addr<GridActor>,
    /// Sealed batches.
    pub batches: Batches,
    /// The state as of the newest final batch.
    pub finals: Finals,
    /// The contract.
    pub settlement: Settlement,
    /// The development chain, if it is in this process.
    pub node: Option<EmbeddedNode>,
    /// Where workers connect.
    pub quic: String,
    /// Orders one requester may have under way.
    pub open_orders_max: u32,
    /// What goes to the chain.
    pub outbox: Outbox,
    /// What the chain says of the pool, remembered for a moment.
    pub money: Arc<Money>,
    /// What operators did.
    pub logbook: Arc<Logbook>,
    /// What is paid for workers.
    pub sponsor: Arc<Sponsor>,
}

impl State {
    /// Reads the grid.
    ///
    /// # Errors
    /// When the scheduler is stopping.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Grid) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let (tell, hear) = oneshot::channel();
        let asked = Instant::now();
        self.grid.do_send(Query(Box::new(move |grid| drop(tell.send(read(grid))))));
        let answer = hear.await.map_err(|_| ApiError(stopping()));
        self.shared.metrics.grid_seconds.observe(asked.elapsed().as_secs_f64());
        answer
    }
}

/// The answer while the process ends.
pub fn stopping() -> Failure {
    Failure::new(Code::Unreachable, "the scheduler is stopping").hint("try again in a moment")
}

/// The API's description.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Quorate scheduler",
        description = "A pool's API. Amounts are decimal strings of token units."
    ),
    paths(
        pool::show_pool,
        pool::health,
        pool::exposition,
        pool::worker_list,
        pool::worker_proof,
        pool::explain_worker,
        pool::deal_proof,
        pool::batch_list,
        batches::sealed_batch,
        orders::place_order,
        orders::list_orders,
        orders::show_order,
        orders::task_list,
        orders::explain_task,
        orders::explain_order,
        orders::task_receipt,
        explain::pool,
        explain::settlement,
        explain::cost,
        sponsor::terms,
        sponsor::carry,
        sponsor::help,
        events::watch,
        blobs::put_blob,
        blobs::get_blob,
    )
)]
pub struct Description;

/// Every route.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::JsonConfig::default().limit(JSON_BYTES_MAX).error_handler(error::bad_json))
        .service(pool::show_pool)
        .service(pool::health)
        .service(pool::exposition)
        .service(pool::worker_list)
        .service(pool::worker_proof)
        .service(pool::explain_worker)
        .service(pool::deal_proof)
        .service(pool::batch_list)
        .service(batches::sealed_batch)
        .service(pool::openapi)
        .service(rpc::rpc)
        .service(orders::place_order)
        .service(orders::list_orders)
        .service(orders::show_order)
        .service(orders::task_list)
        .service(orders::explain_task)
        .service(orders::explain_order)
        .service(orders::task_receipt)
        .service(explain::pool)
        .service(explain::settlement)
        .service(explain::cost)
        .service(sponsor::terms)
        .service(sponsor::carry)
        .service(sponsor::help)
        .service(events::watch)
        .service(blobs::head_blob)
        .service(blobs::get_blob)
        .service(blobs::put_blob)
        .default_service(web::to(error::no_route));
}
