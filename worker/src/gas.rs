//! Transactions of a worker or its owner. One counts as done when it is mined: if a reorganisation takes it
//! back, the same command does what is missing.

use quorate_chain::{Finality, Outbox, OutboxConfig, Settlement, Signer, presets::PRESETS};

/// An outbox for `signer` on the contract's chain.
pub(crate) fn outbox(settlement: &Settlement, signer: Signer) -> Outbox {
    let chain_id = settlement.domain().chain_id;
    let preset = PRESETS.iter().find(|preset| preset.chain_id == chain_id).unwrap_or(&PRESETS[1]);
    let config = OutboxConfig { chain_id, finality: Finality::Latest, ..OutboxConfig::of(preset) };
    Outbox::new(settlement.chain().clone(), signer, config)
}
