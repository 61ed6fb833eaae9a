//! What the programs have no command for: a contract with a longer window, and everything that happened.

use super::{anvil::Anvil, operator::Operator, site::Site};
use quorate_chain::{
    Address, ChainEvent, Finality, Follower, Outbox, OutboxConfig, Settlement, Signer, U256,
    preset,
    settlement::{deploy_settlement, deploy_token},
};

/// Two days: long enough for a task to be asked for, unlike the shortest window there is.
const WINDOW_S: u64 = 48 * 3600;
/// Coins: enough gas for any test.
const COINS: u64 = 100;
/// Token units an operator begins with: its bond and what everybody else is funded from.
const PURSE: u128 = 2_000_000_000_000_000_000_000_000;

/// A contract, and who deployed it.
pub(crate) struct Contract {
    settlement: Settlement,
    outbox: Outbox,
}

/// An account with coins.
pub(crate) async fn rich(anvil: &Anvil) -> Outbox {
    let signer = Signer::from_secret(&quorate_common::keys::random32().unwrap()).unwrap();
    let wei = U256::from(COINS) * U256::from(10).pow(U256::from(18));
    anvil.chain().set_balance(signer.address(), wei).await.unwrap();
    let config = OutboxConfig::of(preset("anvil").unwrap());
    let config = OutboxConfig { finality: Finality::Latest, ..config };
    Outbox::new(anvil.chain().clone(), signer, config)
}

/// Deploys a token and a contract with a long window.
pub(crate) async fn deploy(_: &Site, anvil: &Anvil) -> Contract {
    let outbox = rich(anvil).await;
    let token = deploy_token(&outbox, outbox.account()).await.unwrap();
    let settlement = deploy_settlement(&outbox, token, WINDOW_S).await.unwrap();
    Contract { settlement, outbox }
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

impl Contract {
    /// An operator with a pool here.
    pub(crate) async fn operator(&self, site: &Site, anvil: &Anvil, settings: &[&str]) -> Operator {
        let address = self.settlement.address();
        let fund = async |account: Address| {
            let call = self.settlement.token_transfer(account, U256::from(PURSE));
            self.outbox.send(call).await.unwrap();
        };
        Operator::init_at(site, anvil, "operator", settings, address, fund).await
    }
}
