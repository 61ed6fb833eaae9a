//! How a transaction gets mined, exactly once: one signer, one nonce at a time, and no trust in
//! what a node says about a transaction it may have forgotten.
//!
//! The nonce is the account's confirmed count, or follows on what is under way, so there is never
//! a gap; a mutex makes the account's transactions wait for each other until mined (not until
//! final). A transaction is done when its receipt stands in a block beyond which the chain does not
//! change; a reorganisation before that sends the same signed bytes again. Everything is polled
//! with deadlines; alloy's fillers and watchers are not used, because the one hands out nonces that
//! a failed send leaves as gaps and the other can wait for ever.
//!
//! **Crashes.** An outbox opened with a folder ([`Outbox::open`]) keeps on disk what it is about to
//! send, before it sends it, until it is final, every dearer version included. After a crash
//! [`Outbox::recover`] carries it on, and nothing new is sent before what was left is mined. Who
//! may ask again for the same thing after a crash gives it a key ([`Outbox::send_once`]) and gets
//! what came of it the first time. The key is the caller's, not a hash of the call: two equal
//! payments may both be meant, and one payment signed anew is still one.
//! [`Outbox::new`] has no folder and forgets; its keys are as good as the process.
//!
//! **Roles.** One account for each: the *gas account* sends a scheduler's transactions (deals,
//! batches, fees) and holds nothing but gas money; the pool's *signer* signs headers and offers and
//! never sends; the *operator* owns the bond and sends only by hand; a *watcher* challenges from
//! an account of its own, so that a stuck commit cannot hold up a challenge. Two outboxes with
//! folders for one account are refused ([`SettleError::AccountBusy`]).
//!
//! Left out on purpose: blobs and access lists, replacing one call by another at the same nonce,
//! cancelling, several accounts for one role, and any guess at what a damaged file may have held.

mod fees;
mod intents;
mod standing;
mod wait;

use crate::error::SettleError;
use crate::events::ChainEvent;
use crate::keystore::Signer;
use crate::presets::{Preset, fee_cap};
use crate::transport::{BlockRef, CallRequest, Chain};
use alloy::consensus::transaction::SignableTransaction;
use alloy::consensus::{TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy::rpc::types::{Log, TransactionReceipt};
use intents::{Intent, Intents};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::{Instant, sleep};

pub use fees::Fees;
pub use standing::{Standing, StuckWhy};

/// Gas of one transaction at most: EIP-7825. A call that needs more is refused before it is sent.
pub const TX_GAS_CAP: u64 = 16_777_216;

/// Versions of one transaction at most, each a quarter dearer: the last pays six times the first.
/// After it, [`SettleError::TxStuck`] goes to the caller: a price war is an operator's decision.
const VERSIONS_MAX: usize = 9;

/// How long a transaction at the fee cap rests before it is handed to the nodes again, in looks:
/// about four blocks.
const CAPPED_LOOKS: u32 = 4;

/// Gas the account should be able to pay for at any time: a commit or two.
const RESERVE_GAS: u64 = 500_000;

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
    /// Gas it may take at most, where it runs code of strangers; without, [`TX_GAS_CAP`]. A call that
    /// needs more is refused before it is sent.
    #[serde(default)]
    pub gas_max: Option<u64>,
}

impl Call {
    /// A plain payment of wei.
    pub fn transfer(to: Address, wei: U256) -> Self {
        let what = format!("transfer to {to}");
        Self { what, to: Some(to), value: wei, data: Bytes::new(), gas_max: None }
    }

    /// A key of what the call does: for [`Outbox::send_once`], where an equal call is never meant
    /// twice because the contract would refuse it.
    pub fn content_key(&self) -> B256 {
        let to = self.to.map_or_else(Vec::new, |to| to.to_vec());
        let parts: [&[u8]; 4] =
            [&[to.len() as u8], &to, &self.value.to_be_bytes::<32>(), &self.data];
        alloy::primitives::keccak256(parts.concat())
    }

    fn request(&self, from: Address) -> CallRequest {
        let Self { to, value, ref data, gas_max: gas, .. } = *self;
        CallRequest { from: Some(from), to, value, data: data.clone(), gas }
    }
}

/// A signed transaction, ready to be written down and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// What it does.
    pub call: Call,
    /// By which its caller knows it again.
    #[serde(default)]
    pub key: Option<B256>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The transactions of one account on one chain. Clones share the account's turn. Two outboxes for
/// one account take each other's nonces ([`SettleError::NonceTaken`]); those with folders are
/// refused before.
#[derive(Clone, Debug)]
pub struct Outbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    chain: Chain,
    signer: Signer,
    config: OutboxConfig,
    /// Wei per gas.
    fee_cap: AtomicU64,
    turn: Mutex<()>,
    intents: Arc<Intents>,
    standing: watch::Sender<Standing>,
}

impl Outbox {
    /// An outbox for `signer` on `chain` that forgets in a crash. Sends nothing.
    pub fn new(chain: Chain, signer: Signer, config: OutboxConfig) -> Self {
        let intents = Intents::in_memory(config.chain_id, signer.address());
        Self::over(chain, signer, config, intents)
    }

    /// An outbox that keeps in `dir` what it is about to send. Sends nothing; let
    /// [`Self::recover`] run beside whatever else is done.
    ///
    /// # Errors
    /// [`SettleError::AccountBusy`] if another outbox has this account's folder,
    /// [`SettleError::OutboxFile`] for a file that cannot be read.
    pub fn open(
        chain: Chain,
        signer: Signer,
        config: OutboxConfig,
        dir: &Path,
    ) -> Result<Self, SettleError> {
        let intents = Intents::open(dir, config.chain_id, signer.address())?;
        Ok(Self::over(chain, signer, config, intents))
    }

    fn over(chain: Chain, signer: Signer, config: OutboxConfig, intents: Intents) -> Self {
        let fee_cap = fee_cap(config.chain_id).into();
        let (turn, intents) = (Mutex::new(()), Arc::new(intents));
        let standing = watch::Sender::new(Standing::Ready);
        Self { inner: Arc::new(Inner { chain, signer, config, fee_cap, turn, intents, standing }) }
    }

    /// From now on no transaction pays more than this for its gas, in wei per gas. Before, it is
    /// the preset's cap for the chain.
    pub fn cap_fees(&self, max_fee_wei_per_gas: u64) {
        self.inner.fee_cap.store(max_fee_wei_per_gas, Ordering::Relaxed);
    }

    /// How it stands, now and whenever that changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.inner.standing.subscribe()
    }

    /// Wei per gas that its next transaction would offer at most.
    ///
    /// # Errors
    /// The node's.
    pub async fn price(&self) -> Result<u128, SettleError> {
        let fees = Fees::now(&self.inner.chain).await?;
        Ok(fees.capped(self.inner.fee_cap()).max_fee)
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

    /// What was sent or is about to be, and is not final.
    pub fn unfinished(&self) -> Vec<Prepared> {
        self.inner.intents.unfinished()
    }

    /// Sends a call and waits until it is final, raising the price while it is stuck.
    ///
    /// For a caller that does not ask again after a crash, or may do so at no harm; else
    /// [`Self::send_once`].
    ///
    /// # Errors
    /// [`SettleError::Reverted`] if the contract refuses (nothing is sent if it does so at once;
    /// told when that is final), [`SettleError::InsufficientGas`], [`SettleError::TxStuck`] after
    /// the dearest version, [`SettleError::FeeCapped`], and the node's. After any but the first it
    /// may still be mined; nothing else of the account is sent before.
    pub async fn send(&self, call: Call) -> Result<Receipt, SettleError> {
        let (prepared, mined) = self.mine(call).await?;
        self.finish(&prepared, mined).await
    }

    /// As [`Self::send`], but once for a key: if a call with this key was sent before, perhaps by a
    /// process that crashed, what came of that is returned and nothing else is sent. What it was
    /// is not compared: the key says that it is the same. One that failed may be sent anew.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_once(&self, key: B256, call: Call) -> Result<Receipt, SettleError> {
        let (prepared, mined) = self.mine_once(key, call).await?;
        self.finish(&prepared, mined).await
    }

    /// The first half of [`Self::send`]: until it is mined. [`Self::finish`] is the second.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn mine(&self, call: Call) -> Result<(Prepared, Receipt), SettleError> {
        self.mine_as(None, call).await
    }

    /// The first half of [`Self::send_once`]. [`Self::finish`] is the second.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn mine_once(
        &self,
        key: B256,
        call: Call,
    ) -> Result<(Prepared, Receipt), SettleError> {
        self.mine_as(Some(key), call).await
    }

    async fn mine_as(
        &self,
        key: Option<B256>,
        call: Call,
    ) -> Result<(Prepared, Receipt), SettleError> {
        let turn = self.begin().await;
        turn.settle_left().await?;
        let known = key.and_then(|key| self.inner.intents.keyed(key));
        let mut prepared = match known {
            Some(Intent { prepared, done: Some(receipt), .. }) => return Ok((prepared, receipt)),
            Some(Intent { prepared, done: None, .. }) => prepared,
            None => Prepared { key, ..turn.prepare(call).await? },
        };
        let mined = turn.carry(&mut prepared).await?;
        drop(turn);
        if mined.status() {
            let mined = self.inner.receipt_of(&mined)?;
            return Ok((prepared, mined));
        }
        // A refusal counts when it is final, as a success does.
        let mined = self.inner.wait_final(&prepared).await?;
        Ok((prepared, mined))
    }

    /// Sends again what was prepared before a crash and waits until it is final. Harmless if it
    /// was sent, mined or final already. For callers that keep it themselves; what an outbox with
    /// a folder keeps is [`Self::recover`]'s.
    ///
    /// # Errors
    /// [`SettleError::NonceTaken`] if another transaction took its place; else as [`Self::send`].
    pub async fn resume(&self, prepared: &Prepared) -> Result<Receipt, SettleError> {
        let mined = self.begin().await.submit(prepared).await?;
        self.finish(prepared, mined).await
    }

    /// Carries on what a crash or a caller that gave up left, until all of it is final. Returns how
    /// many there were. Run it at the start, and now and then.
    ///
    /// # Errors
    /// As [`Self::send`], but for [`SettleError::Reverted`] and [`SettleError::NonceTaken`], which
    /// end a transaction as well; whoever has its key may send it anew.
    pub async fn recover(&self) -> Result<usize, SettleError> {
        let left = self.inner.intents.unwatched();
        if left.is_empty() {
            return Ok(0);
        }
        self.begin().await.settle_left().await?;
        let watch = |prepared: &Prepared| self.inner.intents.watch(prepared.nonce);
        let _watched: Vec<_> = left.iter().map(watch).collect();
        for prepared in &left {
            let what = &prepared.call.what;
            match self.inner.wait_final(prepared).await {
                Ok(receipt) => tracing::info!(tx = %receipt.tx, "outbox: {what}: final"),
                Err(error) if is_over(&error) => tracing::warn!("outbox: {what}: {error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(left.len())
    }

    /// Looks whether something would stand against sending, while nothing is on its way: the
    /// nodes, the chain's id, the gas money. [`Self::standing`] tells.
    ///
    /// # Errors
    /// What stands against it.
    pub async fn check(&self) -> Result<(), SettleError> {
        let Ok(turn) = self.inner.turn.try_lock() else { return Ok(()) };
        let checked = self.inner.check().await;
        // What is stuck is stuck however well the nodes are.
        let stuck = matches!(*self.inner.standing.borrow(), Standing::Stuck { .. });
        if checked.is_err() || !stuck || self.inner.intents.count() == 0 {
            self.inner.tell_outcome(&checked);
        }
        drop(turn);
        checked
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
    /// [`SettleError::Reverted`] if a reorganisation made it fail, [`SettleError::NonceTaken`] if
    /// one gave its place to another.
    pub async fn finish(
        &self,
        prepared: &Prepared,
        mined: Receipt,
    ) -> Result<Receipt, SettleError> {
        if self.inner.config.finality == Finality::Latest {
            self.inner.intents.finished(prepared, &mined).await;
            return Ok(mined);
        }
        self.inner.wait_final(prepared).await
    }
}

/// Whether nothing of a transaction is left to wait for.
fn is_over(error: &SettleError) -> bool {
    matches!(error, SettleError::Reverted(_) | SettleError::NonceTaken { .. })
        || matches!(error, SettleError::InsufficientToken { .. })
}

/// The right to send the account's next transaction, until dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    outbox: &'a Inner,
    _held: MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Estimates, prices and signs a call with the account's next nonce. Sends nothing, and keeps
    /// nothing on disk: [`Self::submit`] does, before it sends.
    ///
    /// # Errors
    /// [`SettleError::Reverted`] if the contract would refuse, [`SettleError::TooMuchGas`],
    /// [`SettleError::InsufficientGas`], [`SettleError::InvalidChainId`],
    /// [`SettleError::TooManyUnfinished`], and the node's.
    pub async fn prepare(&self, call: Call) -> Result<Prepared, SettleError> {
        let prepared = self.outbox.prepare(call).await;
        if let Err(error) = &prepared {
            self.outbox.tell_error(error);
        }
        prepared
    }

    /// Adds a version that pays a quarter more, or what the chain asks now if that is more, but
    /// never more than the cap.
    ///
    /// # Errors
    /// [`SettleError::FeeCapped`] if the cap leaves no room, [`SettleError::InsufficientGas`] if
    /// the account cannot pay it, and the node's.
    pub async fn raise(&self, prepared: &mut Prepared) -> Result<(), SettleError> {
        let asks = Fees::now(&self.outbox.chain).await?;
        let (last, cap) = (prepared.latest().fees, self.outbox.fee_cap());
        let fees = last.raised().max(asks).capped(cap);
        if !fees.replaces(last) {
            let Prepared { nonce, .. } = *prepared;
            let (tx, asks) = (prepared.latest().hash, asks.max_fee.max(last.raised().max_fee));
            return Err(SettleError::FeeCapped { tx, nonce, cap, asks });
        }
        self.outbox.check_funds(prepared, fees).await?;
        prepared.versions.push(self.outbox.sign(prepared, fees));
        Ok(())
    }

    /// Keeps it on disk, sends the latest version and waits until any version is mined. Sending
    /// twice does no harm.
    ///
    /// # Errors
    /// [`SettleError::TxStuck`] at the deadline, [`SettleError::NonceTaken`],
    /// [`SettleError::Reverted`] if it was mined, failed, and that is final,
    /// [`SettleError::OutboxFile`] if it cannot be kept, and the node's. After any but
    /// [`SettleError::NonceTaken`] and [`SettleError::Reverted`] it may still be mined.
    pub async fn submit(&self, prepared: &Prepared) -> Result<Receipt, SettleError> {
        let mined = self.outbox.submit(prepared).await?;
        if mined.status() {
            return self.outbox.receipt_of(&mined);
        }
        self.outbox.wait_final(prepared).await
    }

    /// Gets mined what was left: its nonces come before the next one. What nobody waits for must
    /// show its receipt, what somebody does only that its nonce is used.
    async fn settle_left(&self) -> Result<(), SettleError> {
        if self.outbox.intents.count() == 0 {
            return Ok(());
        }
        let used = self.outbox.chain.nonce(self.outbox.signer.address()).await;
        let used = used.inspect_err(|error| self.outbox.tell_error(error))?;
        for mut prepared in self.outbox.intents.left(used) {
            match self.carry(&mut prepared).await {
                Err(error) if !is_over(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Sends until it is mined, dearer and dearer. At the cap it waits for the price to fall.
    async fn carry(&self, prepared: &mut Prepared) -> Result<TransactionReceipt, SettleError> {
        let began = Instant::now();
        loop {
            let stuck = match self.outbox.submit(prepared).await {
                Err(error @ SettleError::TxStuck { .. }) => error,
                outcome => return outcome,
            };
            let more = prepared.versions.len() < VERSIONS_MAX;
            let raised = if more { self.raise(prepared).await } else { Err(stuck) };
            let Err(error) = raised else { continue };
            self.outbox.tell_error(&error);
            let capped = matches!(error, SettleError::FeeCapped { .. });
            if !capped || began.elapsed() >= self.outbox.config.final_within {
                return Err(error);
            }
            sleep(self.outbox.config.poll * CAPPED_LOOKS).await;
        }
    }
}

impl Inner {
    async fn prepare(&self, call: Call) -> Result<Prepared, SettleError> {
        let Self { chain, config, .. } = self;
        let account = self.signer.address();
        if self.intents.is_full() {
            return Err(SettleError::TooManyUnfinished { account, count: self.intents.count() });
        }
        // Asked together, because a public node is a tenth of a second away; judged in this order.
        let (right_chain, nonce, estimate, fees, have) = tokio::join!(
            chain.expect_chain(config.chain_id),
            chain.nonce(account),
            chain.estimate_gas(&call.what, call.request(account)),
            Fees::now(chain),
            chain.balance(account),
        );
        right_chain?;
        let (nonce, fees) = (nonce?, fees?.capped(self.fee_cap()));
        // What a reorganisation took back has its nonce still, and is being sent again.
        let nonce = nonce.max(self.intents.next_nonce());
        let gas_max = call.gas_max.unwrap_or(TX_GAS_CAP).min(TX_GAS_CAP);
        let gas_limit = fees::with_margin(&call.what, estimate?, gas_max)?;
        let mut prepared = Prepared { call, key: None, nonce, gas_limit, versions: Vec::new() };
        self.can_pay(&prepared, fees, have?)?;
        prepared.versions.push(self.sign(&prepared, fees));
        Ok(prepared)
    }

    async fn check(&self) -> Result<(), SettleError> {
        let account = self.signer.address();
        self.chain.expect_chain(self.config.chain_id).await?;
        let (fees, have) = tokio::join!(Fees::now(&self.chain), self.chain.balance(account));
        let price = fees?.capped(self.fee_cap()).max_fee;
        let (have, want) = (have?, U256::from(RESERVE_GAS).saturating_mul(U256::from(price)));
        if have < want {
            return Err(SettleError::InsufficientGas { account, have, want });
        }
        Ok(())
    }

    fn fee_cap(&self) -> u128 {
        self.fee_cap.load(Ordering::Relaxed).into()
    }

    fn tell(&self, standing: Standing) {
        self.standing.send_if_modified(|now| {
            let changed = *now != standing;
            *now = standing;
            changed
        });
    }

    fn tell_error(&self, error: &SettleError) {
        if let Some(standing) = Standing::of(error) {
            self.tell(standing);
        }
    }

    fn tell_outcome<T>(&self, outcome: &Result<T, SettleError>) {
        match outcome {
            Ok(_) => self.tell(Standing::Ready),
            Err(error) => self.tell_error(error),
        }
    }

    /// A transaction waits. One that is known to be stuck stays so until it is mined.
    fn tell_in_flight(&self, prepared: &Prepared) {
        let (tx, nonce) = (prepared.latest().hash, prepared.nonce);
        let stuck = |now: &Standing| matches!(now, Standing::Stuck { nonce: n, .. } if *n == nonce);
        if !stuck(&self.standing.borrow()) {
            self.tell(Standing::InFlight { tx, nonce });
        }
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
