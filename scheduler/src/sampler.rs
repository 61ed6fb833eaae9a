//! What has to be asked for: money and height from the chain, sizes from the disk. Every half a minute,
//! because it costs five questions to a node; figures of the grid are set at each scrape (`gauges`).

use crate::{
    actors::grid::{GridActor, Query},
    backup,
    gauges::tokens,
    shared::Shared,
};
use actix::Addr;
use quorate_chain::{error::SettleError, outbox::Outbox, settlement::Settlement};
use quorate_common::report::Chain as Report;
use quorate_grid::census::Census;
use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::oneshot;

/// Between two samples: an operator does not act faster, and a public node's quota is not for this.
const SAMPLE_EVERY: Duration = Duration::from_secs(30);
/// Of a bond, what pending batches may come to: two of three parts, as the contract has it.
const BOND_PARTS: (u128, u128) = (2, 3);
/// Wei of a coin.
const COIN: f64 = 1e18;

/// Where money is.
#[derive(Clone, Debug)]
pub(crate) struct Money {
    /// The contract.
    pub(crate) settlement: Settlement,
    /// The account that pays the gas.
    pub(crate) outbox: Outbox,
}

/// Samples for ever.
pub(crate) async fn sample(shared: Arc<Shared>, money: Money, grid: Addr<GridActor>) {
    observe_chain(&shared, &money);
    loop {
        // What cannot be read keeps its last value; that nodes fail is counted where they are asked.
        if let Err(error) = sample_chain(&shared, &money, &grid).await {
            tracing::debug!(error = %Report(&error), "no sample of the chain");
        }
        let own = Arc::clone(&shared);
        // Walking the journal's folder may wait for a busy disk.
        drop(tokio::task::spawn_blocking(move || sample_disk(&own)).await);
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
}

/// Counts every question to a chain node from now on.
fn observe_chain(shared: &Arc<Shared>, money: &Money) {
    let shared = Arc::clone(shared);
    money.settlement.chain().observe(Arc::new(move |call| {
        let metrics = &shared.metrics;
        metrics.chain_requests.with_label_values(&[call.method, call.outcome]).inc();
        metrics.chain_seconds.observe(call.took.as_secs_f64());
    }));
}

async fn sample_chain(
    shared: &Shared,
    money: &Money,
    grid: &Addr<GridActor>,
) -> Result<(), SettleError> {
    let (metrics, chain) = (&shared.metrics, money.outbox.chain());
    metrics.unfinished.set(money.outbox.unfinished().len() as f64);
    let head = chain.head().await?;
    metrics.head.set(head.number as f64);
    metrics.chain_clock.set(head.timestamp as f64 - shared.own_clock_s());
    let account = money.outbox.account();
    let wei: u128 = chain.balance(account).await?.saturating_to();
    metrics.gas_balance.set(wei as f64 / COIN);
    metrics.nonce.set(chain.nonce(account).await? as f64);
    let decimals = money.settlement.token_decimals().await?;
    shared.token_decimals.store(decimals, Ordering::Relaxed);
    let view = money.settlement.pool(shared.pool).await?;
    for (account, units) in [
        ("bond", view.bond),
        ("locked", view.locked),
        ("pending", view.pending_value),
        ("owed", view.owed),
        ("staked", view.staked),
        ("collected", view.collected),
    ] {
        metrics.pool_tokens.with_label_values(&[account]).set(tokens(units, decimals));
    }
    let Some((census, read)) = census(shared, grid).await else { return Ok(()) };
    metrics.read.set(read as f64);
    let cap = view.bond / BOND_PARTS.1 * BOND_PARTS.0;
    let booked = view.pending_value.saturating_add(census.unsent);
    let headroom = tokens(cap, decimals) - tokens(booked, decimals);
    metrics.headroom.set(headroom);
    Ok(())
}

/// What the grid counts, and the block up to which it has read; nothing while everything ends.
async fn census(shared: &Shared, grid: &Addr<GridActor>) -> Option<(Census, u64)> {
    let (tell, hear) = oneshot::channel();
    let now = shared.now();
    let look = move |grid: &quorate_grid::Grid| {
        let read = grid.cursor().map_or(0, |(block, _)| block);
        drop(tell.send((grid.census(now), read)));
    };
    grid.do_send(Query(Box::new(look)));
    hear.await.ok()
}

fn sample_disk(shared: &Shared) {
    let (metrics, config) = (&shared.metrics, &shared.config);
    metrics.journal_bytes.set(size(&config.data.join("journal")) as f64);
    metrics.index_bytes.set(size(&config.data.join("index")) as f64);
    metrics.blob_limit.set(config.total_bytes_max as f64);
    if let Ok(disk) = rustix::fs::statvfs(&config.data) {
        metrics.disk_free.set(disk.f_bavail as f64 * disk.f_frsize as f64);
    }
    metrics.backup.set(backup::last(&config.data).unwrap_or(0) as f64);
}

/// Bytes of all files below a folder. What is gone by the time it is looked at counts nothing.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let each = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(each).sum()
}
