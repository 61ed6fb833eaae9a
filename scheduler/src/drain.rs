//! Draining: finishing before a stop. No new orders are taken, open tasks come to their end, the open batch is
//! closed whatever its age, and every closed batch is brought on chain. What is on chain needs nobody here any
//! more: anybody may finalize it after its window.
//!
//! Not refused are deals that requesters open on chain by themselves with this pool's offer: they are the
//! pool's word, and are worked on too.

use crate::{
    actors::grid::{Arrived, GridActor, Query},
    http::orders::phase_of_order,
    shared::Shared,
};
use actix::Addr;
use quorate_common::{
    api::OrderPhase,
    exit::{Code, Failure},
};
use quorate_grid::{Grid, Input, ledger::BatchState};
use serde::{Deserialize, Serialize};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::sync::oneshot;

/// How often it is looked whether all is done: soon enough for people, and a look costs a query.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// What is still to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remaining {
    /// Orders whose deals are being opened.
    pub orders: usize,
    /// Tasks of open deals that are not over.
    pub tasks: u64,
    /// Tasks that are over, in no batch yet.
    pub unbatched: usize,
    /// Batches that are not on chain.
    pub batches: usize,
}

impl Remaining {
    /// Whether nothing is left to do.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn of(grid: &Grid) -> Self {
        let opening = |order: &&_| phase_of_order(grid, order) == OrderPhase::Opening;
        let open = grid.deals().values().filter(|deal| !deal.finished());
        let closed = grid.ledger().closed.values();
        Self {
            orders: grid.orders().values().filter(opening).count(),
            tasks: open.map(|deal| u64::from(deal.terms.tasks.saturating_sub(deal.settled))).sum(),
            unbatched: grid.ledger().open().tasks.len(),
            batches: closed.filter(|batch| batch.state == BatchState::Closed).count(),
        }
    }
}

/// Refuses a new order while draining.
///
/// # Errors
/// It drains.
pub fn not_draining(shared: &Shared) -> Result<(), Failure> {
    if !shared.draining.load(Ordering::Acquire) {
        return Ok(());
    }
    let text = "this pool finishes what it has and takes no new orders";
    let mut failure = Failure::new(Code::Conflict, text).hint("try again later, or another pool");
    failure.retryable = true;
    Err(failure)
}

/// What is left; nothing known while the grid does not answer.
pub(crate) async fn remaining(grid: &Addr<GridActor>) -> Option<Remaining> {
    let (tell, hear) = oneshot::channel();
    let look = move |grid: &Grid| {
        // Who asked may be gone.
        let _ = tell.send(Remaining::of(grid));
    };
    grid.do_send(Query(Box::new(look)));
    hear.await.ok()
}

/// One step of a drain: closes the open batch once nothing more comes into it. True when all is done.
pub(crate) async fn step(grid: &Addr<GridActor>) -> bool {
    let Some(left) = remaining(grid).await else { return false };
    if left.orders == 0 && left.tasks == 0 && left.unbatched > 0 {
        grid.do_send(Arrived(Input::CloseBatch));
    }
    left.is_nothing()
}
