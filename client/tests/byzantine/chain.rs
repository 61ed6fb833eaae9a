//! What the programs have no command for: everything that happened, and somebody to send what anybody
//! may.

use super::anvil::Anvil;
use quorate_chain::{
    ChainEvent, Finality, Follower, Outbox, OutboxConfig, Settlement, Signer, U256, preset,
};

/// Coins: enough gas for any test.
const COINS: u64 = 100;

/// An account with coins.
pub(crate) async fn rich(anvil: &Anvil) -> Outbox {
    let signer = Signer::from_secret(&quorate_common::keys::random32().unwrap()).unwrap();
    let wei = U256::from(COINS) * U256::from(10).pow(U256::from(18));
    anvil.chain().set_balance(signer.address(), wei).await.unwrap();
    let config = OutboxConfig::of(preset("anvil").unwrap());
    let config = OutboxConfig { finality: Finality::Latest, ..config };
    Outbox::new(anvil.chain().clone(), signer, config)
}

/// Everything the contract has said.
pub(crate) async fn events(anvil: &Anvil, settlement: &Settlement) -> Vec<ChainEvent> {
    let (chain, address) = (anvil.chain().clone(), settlement.address());
    let follower = Follower::start(chain, address, Finality::Latest, 1).await;
    let (mut follower, mut events) = (follower.unwrap(), Vec::new());
    while let Some(batch) = follower.next_batch().await.unwrap() {
        events.extend(batch.events.into_iter().map(|located| located.event));
    }
    events
}
