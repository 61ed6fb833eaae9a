//! How a transaction gets mined: one signer, one nonce at a time, and no trust in what a node
//! says about a transaction it may have forgotten.
//!
//! The nonce is the account's confirmed count, so there is never a gap; a mutex makes the account's
//! transactions wait for each other until mined (not until final). A transaction is done when its
//! receipt stands in a block beyond which the chain does not change. Everything is polled with
//! deadlines; alloy's fillers and watchers are not used, because the one hands out nonces that a
//! failed send leaves as gaps and the other can wait for ever.
//!
//! What is to be sent is not kept on disk here: a caller that must survive a crash writes the
//! [`Prepared`] transaction down between [`Turn::prepare`] and [`Turn::submit`], and after the
//! crash hands it to [`Outbox::resume`], which does no harm however far it had come.

mod fees;
mod wait;

use crate::error::SettleError;
use crate::events::ChainEvent;
use crate::keystore::Signer;
use crate::presets::Preset;
use crate::transport::{BlockRef, CallRequest, Chain};
use alloy::consensus::transaction::SignableTransaction;
use alloy::consensus::{TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy::rpc::types::Log;
use fees::Fees;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// Gas of one transaction at most: EIP-7825. A call that needs more is refused before it is sent.
pub const TX_GAS_CAP: u64 = 16_777_216;

/// Versions of one transaction at most, each a quarter dearer: the last pays six times the first.
/// After it, [`SettleError::TxStuck`] goes to the caller: a price war is an operator's decision.
const VERSIONS_MAX: usize = 9;

/// When a transaction counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finality {
    /// When its block is finalized: for money on a real chain.
    Finalized,
    /// As soon as it is mined: for chains that do not reorganise.
    Latest,
    /// When so many blocks, its own included, stand on it.
    Confirmations(u64),
}

impl Finality {
    /// The newest block that does not change any more; nothing if there is none yet.
    ///
    /// # Errors
    /// The node's.
    pub async fn boundary(self, chain: &Chain) -> Result<Option<u64>, SettleError> {
        match self {
            Self::Finalized => {
                Ok(chain.block(BlockRef::Finalized).await?.map(|block| block.number))
            }
            Self::Latest => Ok(Some(chain.head().await?.number)),
            Self::Confirmations(count) => {
                let head = chain.head().await?.number;
                Ok((head + 1).checked_sub(count.max(1)))
            }
        }
    }
}

/// What is to be sent, unsigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// For people: "commit batch 7 of pool-1".
    pub what: String,
    /// The contract; nothing to create one.
    pub to: Option<Address>,
    /// Wei to send along.
    pub value: U256,
    /// Selector and arguments, or creation code.
    pub data: Bytes,
}

impl Call {
    /// A plain payment of wei.
    pub fn transfer(to: Address, wei: U256) -> Self {
        Self { what: format!("transfer to {to}"), to: Some(to), value: wei, data: Bytes::new() }
    }

    fn request(&self, from: Address) -> CallRequest {
        CallRequest { from: Some(from), to: self.to, value: self.value, data: self.data.clone() }
    }
}

/// A signed transaction, ready to be written down and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// What it does.
    pub call: Call,
    /// The account's nonce it takes.
    pub nonce: u64,
    /// Gas it may use.
    pub gas_limit: u64,
    /// The same transaction at rising prices, the last being the one to send. At most one of them
    /// can be mined, since they share the nonce.
    pub versions: Vec<Version>,
}

/// One price of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// EIP-2718 bytes, as `eth_sendRawTransaction` takes them.
    pub raw: Bytes,
    /// Its hash.
    pub hash: B256,
    /// What it pays.
    pub fees: Fees,
}

impl Prepared {
    fn latest(&self) -> &Version {
        self.versions.last().expect("prepare() signs the first version and none is removed")
    }
}

/// A transaction that was mined and went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which transaction.
    pub tx: B256,
    /// Height of its block.
    pub block_number: u64,
    /// Name of its block.
    pub block_hash: B256,
    /// Gas it used.
    pub gas_used: u64,
    /// Wei it cost, sent value excluded.
    pub fee_wei: U256,
    /// The contract it created.
    pub contract: Option<Address>,
    pub(crate) logs: Vec<Log>,
}

impl Receipt {
    /// What it made the Settlement contract at `contract` say, in order.
    pub fn events(&self, contract: Address) -> Vec<ChainEvent> {
        let ours = self.logs.iter().filter(|log| log.address() == contract);
        ours.filter_map(|log| ChainEvent::decode(&log.inner)).collect()
    }
}

/// How an outbox behaves.
#[derive(Clone, Copy, Debug)]
pub struct OutboxConfig {
    /// EIP-155 chain id; nothing is signed for another.
    pub chain_id: u64,
    /// When a transaction counts as done.
    pub finality: Finality,
    /// How often to ask, once a first quick look found nothing.
    pub poll: Duration,
    /// How long one version may wait to be mined before it counts as stuck: some dozen blocks.
    pub mined_within: Duration,
    /// How long a mined transaction may wait to be final: Arbitrum takes 20 minutes.
    pub final_within: Duration,
}

impl OutboxConfig {
    /// What suits a preset.
    pub const fn of(preset: &Preset) -> Self {
        Self {
            chain_id: preset.chain_id,
            finality: preset.finality,
            poll: preset.poll,
            mined_within: Duration::from_secs(60),
            final_within: Duration::from_secs(60 * 60),
        }
    }
}

/// The transactions of one account on one chain. Clones share the account's turn; two outboxes for
/// one account, in one process or two, take each other's nonces ([`SettleError::NonceTaken`]).
#[derive(Clone, Debug)]
pub struct Outbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    chain: Chain,
    signer: Signer,
    config: OutboxConfig,
    turn: Mutex<()>,
}

impl Outbox {
    /// An outbox for `signer` on `chain`. Sends nothing.
    pub fn new(chain: Chain, signer: Signer, config: OutboxConfig) -> Self {
        Self { inner: Arc::new(Inner { chain, signer, config, turn: Mutex::new(()) }) }
    }

    /// Who sends, and pays the gas.
    pub fn account(&self) -> Address {
        self.inner.signer.address()
    }

    /// The account's key.
    pub fn signer(&self) -> &Signer {
        &self.inner.signer
    }

    /// Where it sends to.
    pub fn chain(&self) -> &Chain {
        &self.inner.chain
    }

    /// Sends a call and waits until it is final, raising the price while it is stuck.
    ///
    /// For a caller that may forget it in a crash; otherwise take a turn and write down what is
    /// prepared.
    ///
    /// # Errors
    /// [`SettleError::Reverted`] if the contract refuses (nothing is sent if it does so at once),
    /// [`SettleError::InsufficientGas`], [`SettleError::TxStuck`] after the dearest version, and
    /// the node's.
    pub async fn send(&self, call: Call) -> Result<Receipt, SettleError> {
        let (prepared, mined) = self.mine(call).await?;
        self.finish(&prepared, mined).await
    }

    /// The first half of [`Self::send`]: until it is mined. [`Self::finish`] is the second.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn mine(&self, call: Call) -> Result<(Prepared, Receipt), SettleError> {
        let turn = self.begin().await;
        let mut prepared = turn.prepare(call).await?;
        let mined = loop {
            match turn.submit(&prepared).await {
                Err(SettleError::TxStuck { .. }) if prepared.versions.len() < VERSIONS_MAX => {
                    turn.raise(&mut prepared).await?;
                }
                outcome => break outcome?,
            }
        };
        Ok((prepared, mined))
    }

    /// Sends again what was prepared before a crash and waits until it is final. Harmless if it
    /// was sent, mined or final already.
    ///
    /// # Errors
    /// [`SettleError::NonceTaken`] if another transaction took its place; else as [`Self::send`].
    pub async fn resume(&self, prepared: &Prepared) -> Result<Receipt, SettleError> {
        let mined = self.begin().await.submit(prepared).await?;
        self.finish(prepared, mined).await
    }

    /// Waits for the account's turn. Whoever holds it is the only one to send.
    pub async fn begin(&self) -> Turn<'_> {
        Turn { outbox: &self.inner, _held: self.inner.turn.lock().await }
    }

    /// Waits until a mined transaction is final, sending it again if a reorganisation lost it.
    /// Needs no turn: the next transaction may be mined meanwhile.
    ///
    /// # Errors
    /// [`SettleError::NotFinal`] at the deadline; it may still become final.
    pub async fn finish(
        &self,
        prepared: &Prepared,
        mined: Receipt,
    ) -> Result<Receipt, SettleError> {
        self.inner.wait_final(prepared, mined).await
    }
}

/// The right to send the account's next transaction, until dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    outbox: &'a Inner,
    _held: MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Estimates, prices and signs a call with the account's next nonce. Sends nothing.
    ///
    /// # Errors
    /// [`SettleError::Reverted`] if the contract would refuse, [`SettleError::TooMuchGas`],
    /// [`SettleError::InsufficientGas`], [`SettleError::InvalidChainId`], and the node's.
    pub async fn prepare(&self, call: Call) -> Result<Prepared, SettleError> {
        let Inner { chain, config, .. } = self.outbox;
        let account = self.outbox.signer.address();
        // Asked together, because a public node is a tenth of a second away; judged in this order.
        let (right_chain, nonce, estimate, fees, have) = tokio::join!(
            chain.expect_chain(config.chain_id),
            chain.nonce(account),
            chain.estimate_gas(&call.what, call.request(account)),
            Fees::now(chain),
            chain.balance(account),
        );
        right_chain?;
        let (nonce, fees) = (nonce?, fees?);
        let gas_limit = fees::with_margin(&call.what, estimate?)?;
        let mut prepared = Prepared { call, nonce, gas_limit, versions: Vec::new() };
        self.outbox.can_pay(&prepared, fees, have?)?;
        prepared.versions.push(self.outbox.sign(&prepared, fees));
        Ok(prepared)
    }

    /// Adds a version that pays a quarter more, or what the chain asks now if that is more.
    ///
    /// # Errors
    /// [`SettleError::InsufficientGas`] if the account cannot pay it, and the node's.
    pub async fn raise(&self, prepared: &mut Prepared) -> Result<(), SettleError> {
        let now = Fees::now(&self.outbox.chain).await?;
        let fees = prepared.latest().fees.raised().max(now);
        self.outbox.check_funds(prepared, fees).await?;
        prepared.versions.push(self.outbox.sign(prepared, fees));
        Ok(())
    }

    /// Sends the latest version and waits until any version is mined. Sending twice does no harm.
    ///
    /// # Errors
    /// [`SettleError::TxStuck`] at the deadline, [`SettleError::NonceTaken`],
    /// [`SettleError::Reverted`] if it was mined and failed, and the node's. After any but
    /// [`SettleError::NonceTaken`] and [`SettleError::Reverted`] it may still be mined.
    pub async fn submit(&self, prepared: &Prepared) -> Result<Receipt, SettleError> {
        self.outbox.submit(prepared).await
    }
}

impl Inner {
    fn sign(&self, prepared: &Prepared, fees: Fees) -> Version {
        let tx = TxEip1559 {
            chain_id: self.config.chain_id,
            nonce: prepared.nonce,
            gas_limit: prepared.gas_limit,
            max_fee_per_gas: fees.max_fee,
            max_priority_fee_per_gas: fees.tip,
            to: prepared.call.to.map_or(TxKind::Create, TxKind::Call),
            value: prepared.call.value,
            input: prepared.call.data.clone(),
            ..TxEip1559::default()
        };
        let bytes = self.signer.sign(tx.signature_hash()).to_bytes();
        let signature = Signature::from_erc2098(&bytes);
        let envelope: TxEnvelope = tx.into_signed(signature).into();
        Version { raw: envelope.encoded_2718().into(), hash: *envelope.tx_hash(), fees }
    }

    /// The node would refuse a transaction that the account cannot pay in full; say so in figures.
    async fn check_funds(&self, prepared: &Prepared, fees: Fees) -> Result<(), SettleError> {
        self.can_pay(prepared, fees, self.chain.balance(self.signer.address()).await?)
    }

    fn can_pay(&self, prepared: &Prepared, fees: Fees, have: U256) -> Result<(), SettleError> {
        let account = self.signer.address();
        let gas = U256::from(prepared.gas_limit).saturating_mul(U256::from(fees.max_fee));
        let want = gas.saturating_add(prepared.call.value);
        if have < want {
            return Err(SettleError::InsufficientGas { account, have, want });
        }
        Ok(())
    }
}
