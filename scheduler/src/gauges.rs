//! What the grid counts, as gauges: set at each scrape.

use crate::shared::Shared;
use quorate_grid::census::Census;
use quorate_monitoring::SchedulerMetrics;
use std::{
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Instant,
};

/// When the first batch that is not on chain was first seen, so that its age can be told.
#[derive(Debug, Default)]
pub struct Unsettled(Mutex<Option<(u64, Instant)>>);

/// Sets every gauge that follows from the grid.
pub(crate) fn set(shared: &Shared, census: &Census) {
    let metrics = &shared.metrics;
    counts(metrics, census);
    metrics.oldest_waiting.set(census.oldest_waiting_ms as f64 / 1e3);
    metrics.canaries.set(census.canaries as f64);
    metrics.batch_index.set(census.batch as f64);
    metrics.batch_tasks.set(census.batch_tasks as f64);
    metrics.unsettled.set(shared.unsettled.seconds(shared, census));
    let decimals = shared.token_decimals.load(Ordering::Relaxed);
    for (to, units) in ["payout", "fees", "royalties", "slashed"].iter().zip(census.booked) {
        metrics.earned.with_label_values(&[to]).set(tokens(units, decimals));
    }
    metrics.blob_bytes.set(shared.blobs.total() as f64);
}

fn counts(metrics: &SchedulerMetrics, census: &Census) {
    metrics.workers.set_all(&census.workers);
    metrics.worker_slots.set_all(&census.slots);
    metrics.standings.set_all(&census.standings);
    metrics.orders.set_all(&census.orders);
    metrics.tasks.set_all(&census.tasks);
    metrics.tasks_open.set_all(&census.open);
    metrics.unschedulable.set_all(&census.waiting);
    metrics.batches.set_all(&census.batches);
}

/// Token units as whole tokens, for people: a float is exact enough to look at, and nothing is paid by it.
pub(crate) fn tokens(units: u128, decimals: u8) -> f64 {
    units as f64 / 10_f64.powi(decimals.into())
}

impl Unsettled {
    /// Seconds that the oldest settled task waits for the chain: in a closed batch, or else in the open
    /// one. A closed batch does not say when it began, so what was seen of it counts.
    fn seconds(&self, shared: &Shared, census: &Census) -> f64 {
        let oldest = census.first_closed.or(census.batch_since_ms.map(|_| census.batch));
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(oldest) = oldest else {
            *seen = None;
            return 0.0;
        };
        // Batches follow each other without a pause: the one seen open goes on to be the oldest.
        let since = match *seen {
            Some((index, since)) if index == oldest => since,
            Some(_) | None => Instant::now(),
        };
        *seen = Some((oldest, since));
        let open_ms = census.batch_since_ms.filter(|_| census.first_closed.is_none());
        let open_ms = open_ms.map_or(0, |since| shared.now().unix_ms.saturating_sub(since));
        since.elapsed().as_secs_f64().max(open_ms as f64 / 1e3)
    }
}
