//! The outbox as the scheduler keeps it: opened in the data folder, looked after, and shown to the
//! operator. What it does is `quorate_chain::outbox`; what is sent is the settler's.

use crate::{
    cli::chain::outbox_config,
    config::{ChainAt, Config},
    failure,
    shared::Shared,
};
use quorate_chain::{
    keystore::Signer,
    outbox::{Outbox, Standing},
    transport::Chain,
};
use quorate_common::{exit::Failure, report::Chain as Report};
use std::{sync::Arc, time::Duration};

/// How often what nobody waits for is looked after, and whether anything stands against sending:
/// soon enough for an operator who has just sent gas money, five questions to the nodes each time.
const TEND_EVERY: Duration = Duration::from_secs(30);

/// The gas account's outbox, kept in the data folder.
///
/// # Errors
/// Another scheduler has it, or a file is damaged.
pub(crate) fn open(config: &Config, chain: Chain, gas: Signer) -> Result<Outbox, Failure> {
    let dir = config.data.join("outbox");
    let outbox = Outbox::open(chain, gas, outbox_config(config), &dir).map_err(failure::chain)?;
    if outbox.chain().nodes() == 1 && config.chain != ChainAt::Embedded {
        tracing::info!(
            "one chain node: its word is taken; with three in chain.url, one may fail or lie"
        );
    }
    if let Some(cap) = config.max_fee_wei_per_gas {
        outbox.cap_fees(cap);
    }
    Ok(outbox)
}

/// Carries on what a crash or an impatient caller left, for ever.
pub(crate) async fn tend(outbox: Outbox) {
    loop {
        if let Err(error) = outbox.recover().await {
            tracing::warn!(error = %Report(&error), "a transaction that was left is not final yet");
        }
        // What is wrong is told by the standing.
        drop(outbox.check().await);
        tokio::time::sleep(TEND_EVERY).await;
    }
}

/// Shows how the outbox stands, whenever that changes, for ever.
pub(crate) async fn show(outbox: Outbox, shared: Arc<Shared>) {
    let mut standing = outbox.standing();
    let mut troubled = false;
    loop {
        let now = standing.borrow_and_update().clone();
        let gauges = &shared.metrics.outbox;
        for label in Standing::LABELS {
            gauges.with_label_values(&[label]).set(f64::from(u8::from(label == now.label())));
        }
        match (troubled, now.is_trouble()) {
            (_, true) => tracing::warn!(state = now.label(), "outbox: {now}"),
            (true, false) => tracing::info!(state = now.label(), "outbox: {now}"),
            (false, false) => {}
        }
        troubled = now.is_trouble();
        if standing.changed().await.is_err() {
            return;
        }
    }
}
