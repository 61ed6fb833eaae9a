//! A chain for one machine: the embedded node with the real contracts, a pool with a bond, and accounts
//! with money. For `serve` with the `dev` preset, the demo and the load program. Keys here are public
//! knowledge: nothing of it is worth anything.

use crate::config::{ChainAt, Config};
use quorate_chain::{
    embedded::{EmbeddedConfig, EmbeddedNode},
    keystore::Signer,
    outbox::{Finality, Outbox, OutboxConfig},
    settlement::{Settlement, deploy_settlement, deploy_token},
    transport::{Chain, ChainUrl},
};
use quorate_common::{
    Address, B256, U256,
    exit::{Code, Failure},
    ids::{PoolId, WorkerIdx},
    keys::{NodeKey, VoteKey},
    messages::{BindWorker, Domain, Message as _},
    report::Chain as Report,
};
use std::{path::Path, time::Duration};

/// Challenge window of a development contract: the shortest it allows.
pub const WINDOW_S: u64 = 48 * 3600;
/// The id of every development chain.
pub const CHAIN_ID: u64 = 31_337;
/// Wei every development account starts with: 1,000 coins.
const WEI: u128 = 1_000_000_000_000_000_000_000;
/// The bond of the development pool: 1,000,000 tokens.
pub const BOND: u128 = 1_000_000_000_000_000_000_000_000;
/// Genesis of every development chain: 2026-01-01, so that equal transactions give equal chains.
const GENESIS_UNIX_S: u64 = 1_767_225_600;

/// A development chain with its contracts.
#[derive(Clone, Debug)]
pub struct DevChain {
    /// The node.
    pub node: EmbeddedNode,
    /// The contract.
    pub settlement: Settlement,
    /// Holds all tokens; deploys, operates the pool.
    pub bank: Signer,
}

/// The well-known account number `n`.
///
/// # Panics
/// Never: every such hash is a key.
pub fn account(n: u32) -> Signer {
    let secret = quorate_common::keccak256(format!("quorate development account {n}"));
    Signer::from_secret(&secret.0).expect("a keccak hash is a key but once in 2^128")
}

/// The bank: account 0.
pub fn bank() -> Signer {
    account(0)
}

/// Sends the scheduler's transactions. Not the bank: two senders on one account take each other's nonces.
pub fn gas() -> Signer {
    account(u32::MAX)
}

/// The contract of every development chain.
pub fn contract() -> Address {
    bank().address().create(7)
}

impl DevChain {
    /// Starts the chain, in memory or kept at `path`, and puts the contracts on it if they are not.
    ///
    /// # Errors
    /// What the node or the contracts say.
    pub async fn start(path: Option<&Path>) -> Result<Self, Failure> {
        let bank = bank();
        let mut config = EmbeddedConfig::new(CHAIN_ID, GENESIS_UNIX_S)
            .with_account(bank.address(), U256::from(WEI) * U256::from(1_000_000))
            .with_account(gas().address(), U256::from(WEI));
        if let Some(path) = path {
            config = config.with_state_path(path);
        }
        let node =
            EmbeddedNode::new(config).map_err(|error| Failure::new(Code::Chain, Report(&error)))?;
        let chain = Chain::connect(&ChainUrl::Embedded(node.clone())).map_err(failure)?;
        // The first transactions of the bank are the deployments, so their addresses are known.
        let token = bank.address().create(0);
        let contract = contract();
        let outbox = Outbox::new(chain.clone(), bank.clone(), outbox_config());
        if chain.code(token).await.map_err(failure)?.is_empty() {
            deploy_token(&outbox, bank.address()).await.map_err(failure)?;
        }
        let domain = Domain { chain_id: CHAIN_ID, contract };
        let settlement = if chain.code(contract).await.map_err(failure)?.is_empty() {
            deploy_settlement(&outbox, token, WINDOW_S).await.map_err(failure)?
        } else {
            Settlement::connect(chain, domain).await.map_err(failure)?
        };
        Ok(Self { node, settlement, bank })
    }

    /// An outbox for an account of this chain.
    pub fn outbox(&self, signer: Signer) -> Outbox {
        Outbox::new(self.settlement.chain().clone(), signer, outbox_config())
    }

    /// Gives an account coins and tokens, and puts `deposit` token units into its free balance.
    ///
    /// # Errors
    /// What the node or the contracts say.
    pub async fn fund(&self, who: &Signer, deposit: u128) -> Result<(), Failure> {
        let chain = self.settlement.chain();
        chain.set_balance(who.address(), U256::from(WEI)).await.map_err(failure)?;
        let bank = self.outbox(self.bank.clone());
        let transfer = self.settlement.token_transfer(who.address(), U256::from(deposit));
        bank.send(transfer).await.map_err(failure)?;
        let outbox = self.outbox(who.clone());
        let calls =
            [self.settlement.approve(U256::from(deposit)), self.settlement.deposit(deposit)];
        for call in calls {
            outbox.send(call).await.map_err(failure)?;
        }
        Ok(())
    }

    /// Registers a worker of `owner`, which has coins.
    ///
    /// # Errors
    /// What the node or the contracts say.
    pub async fn register_worker(
        &self,
        owner: &Signer,
        node_key: &NodeKey,
        vote_key: &VoteKey,
    ) -> Result<WorkerIdx, Failure> {
        let settlement = &self.settlement;
        let now = settlement.chain().head().await.map_err(failure)?.timestamp;
        let binding = BindWorker {
            owner: owner.address(),
            node_key: node_key.public(),
            vote_key: vote_key.address(),
            deadline: now + 3600,
        };
        let signature = vote_key.sign(settlement.separator().digest(binding.struct_hash()));
        let call = settlement.register_worker(&binding, &signature);
        self.outbox(owner.clone()).send(call).await.map_err(failure)?;
        let worker = settlement.worker_of_vote_key(vote_key.address()).await.map_err(failure)?;
        worker.ok_or_else(|| Failure::new(Code::Chain, "a worker was not registered"))
    }

    /// Stakes token units of `owner`'s free balance for its worker.
    ///
    /// # Errors
    /// What the node or the contracts say.
    pub async fn stake(
        &self,
        owner: &Signer,
        pool: PoolId,
        worker: WorkerIdx,
        stake: u128,
    ) -> Result<(), Failure> {
        let call = self.settlement.stake(pool, worker, stake);
        self.outbox(owner.clone()).send(call).await.map_err(failure).map(drop)
    }

    /// The pool of the bank with this signer and node key, registered with [`BOND`] if it is not.
    ///
    /// # Errors
    /// What the node or the contracts say.
    pub async fn pool(&self, signer: Address, node_key: B256) -> Result<PoolId, Failure> {
        let pools = self.settlement.pools().await.map_err(failure)?;
        for pool in (1..=pools).map(PoolId) {
            let view = self.settlement.pool(pool).await.map_err(failure)?;
            if view.signer == signer && view.node_key == node_key {
                return Ok(pool);
            }
        }
        let outbox = self.outbox(self.bank.clone());
        let calls = [
            self.settlement.approve(U256::from(BOND)),
            self.settlement.deposit(BOND),
            self.settlement.register_pool(signer, node_key, BOND),
        ];
        for call in calls {
            outbox.send(call).await.map_err(failure)?;
        }
        Ok(PoolId(pools + 1))
    }
}

/// How transactions are sent on a chain that mines at once and never reorganises.
pub fn outbox_config() -> OutboxConfig {
    OutboxConfig {
        chain_id: CHAIN_ID,
        finality: Finality::Finalized,
        poll: Duration::from_millis(5),
        mined_within: Duration::from_secs(10),
        final_within: Duration::from_secs(10),
    }
}

/// Settings for a scheduler on a development chain: any free ports, everything in `data`.
pub fn config(data: &Path) -> Config {
    let layers = quorate_common::config::Layers::new(crate::config::KEYS);
    let mut config = Config::from_layers(&layers).expect("the defaults hold, by test");
    config.data = data.into();
    config.chain = ChainAt::Embedded;
    config.quic_listen = ([127, 0, 0, 1], 0).into();
    config.http_listen = ([127, 0, 0, 1], 0).into();
    // Blocks are made and read at once here, and nobody makes demands of a scheduler of one's own.
    config.policy.hear_s = 2;
    config
}

fn failure(error: quorate_chain::error::SettleError) -> Failure {
    Failure::new(Code::Chain, Report(&error))
}
