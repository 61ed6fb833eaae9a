//! The Settlement contract as a typed client: what it says ([`Settlement::pool`] and the other
//! reads) and what it can be told ([`Settlement::open_deal`] and the other calls).
//!
//! A call is built here and sent by an [`Outbox`](crate::outbox::Outbox), so that whoever must
//! survive a crash can write it down in between. No rule of the contract is repeated here: it
//! refuses in its own words, and those are passed on.

mod calls;
mod code;
mod convert;
mod deploy;
mod inbox;
mod views;

use crate::abi::{Market, Settlement as Abi, TestToken};
use crate::error::SettleError;
use crate::events::ChainEvent;
use crate::keystore::Signer;
use crate::transport::{CallRequest, Chain};
use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::Log;
use alloy::sol_types::{SolCall, SolEvent as _, SolStruct};
use quorate_common::anchor::Opening;
use quorate_common::ids::{DealId, PoolId, WorkerIdx};
use quorate_common::messages::{Domain, Header, Separator};

pub use calls::{CARRIED_GAS_MAX, OPEN_DEAL_GAS_MAX, Orders, Permit, Signed};
pub use code::CodeView;
pub use deploy::{deploy_settlement, deploy_token};
pub use views::{DealView, PoolState, PoolView, SeatView, UseView, WorkerView};

/// Blocks asked for at once when an event is looked for: what the common providers allow.
const LOOK_BACK_BLOCKS: u64 = 10_000;

/// Batches remembered per pool, pending and final: the contract's ring.
pub const BATCH_RING: u64 = 1024;

/// The contract on its chain. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Settlement {
    chain: Chain,
    domain: Domain,
    separator: Separator,
    token: Address,
    market: Address,
    window_s: u64,
}

impl Settlement {
    /// The contract at `domain`, after checking that it is one and signs for this chain.
    ///
    /// # Errors
    /// [`SettleError::InvalidChainId`], [`SettleError::NoContract`], and the node's.
    pub async fn connect(chain: Chain, domain: Domain) -> Result<Self, SettleError> {
        let none = |what| SettleError::NoContract { address: domain.contract, what };
        chain.expect_chain(domain.chain_id).await?;
        if chain.code(domain.contract).await?.is_empty() {
            return Err(none("there is no code"));
        }
        let separator = domain.separator();
        let (token, market) = (Address::ZERO, Address::ZERO);
        let mut contract = Self { chain, domain, separator, token, market, window_s: 0 };
        let found = contract.read(Abi::DOMAIN_SEPARATORCall {}).await;
        if found.map_err(|error| not_ours(error, none))? != separator.0 {
            return Err(none("it signs for another domain"));
        }
        contract.token = contract.read(Abi::tokenCall {}).await?;
        contract.market = contract.read(Abi::marketCall {}).await?;
        contract.window_s = contract.read(Abi::windowCall {}).await?;
        Ok(contract)
    }

    /// The chain it is on.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.domain.contract
    }

    /// Chain id and address: what every signature is bound to.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// The domain separator, computed here and compared with the contract's.
    pub fn separator(&self) -> Separator {
        self.separator
    }

    /// The one token it holds.
    pub fn token(&self) -> Address {
        self.token
    }

    /// The contract that matches orders for it.
    pub fn market(&self) -> Address {
        self.market
    }

    /// The contract that judges frauds for it.
    ///
    /// # Errors
    /// The node's.
    pub async fn court(&self) -> Result<Address, SettleError> {
        self.read(Abi::courtCall {}).await
    }

    /// The contract with the ways out of a pool that has left its duties.
    ///
    /// # Errors
    /// The node's.
    pub async fn escape(&self) -> Result<Address, SettleError> {
        self.read(Abi::escapeCall {}).await
    }

    /// Seconds a batch waits before it can be final.
    pub fn window_s(&self) -> u64 {
        self.window_s
    }

    /// keccak256 of its code: what an operator pins.
    ///
    /// # Errors
    /// The node's.
    pub async fn code_hash(&self) -> Result<B256, SettleError> {
        self.chain.code_hash(self.address()).await
    }

    /// Token units an account can withdraw, lock, stake or bond.
    ///
    /// # Errors
    /// The node's, as for every read below; reads of what does not exist are
    /// [`SettleError::Reverted`] with the contract's `UnknownWorker`, `UnknownPool` and so on.
    pub async fn free_of(&self, account: Address) -> Result<u128, SettleError> {
        self.read(Abi::freeOfCall { account }).await
    }

    /// Workers registered so far; the newest one's index.
    pub async fn workers(&self) -> Result<u32, SettleError> {
        self.read(Abi::workersCall {}).await
    }

    /// Pools registered so far; the newest one's id.
    pub async fn pools(&self) -> Result<u32, SettleError> {
        self.read(Abi::poolsCall {}).await
    }

    /// A worker's registration.
    pub async fn worker(&self, worker: WorkerIdx) -> Result<WorkerView, SettleError> {
        Ok(self.read(Abi::workerOfCall { workerIdx: worker.0 }).await?.into())
    }

    /// Operations an owner has done by signature; the next one's nonce.
    pub async fn nonce_of(&self, owner: Address) -> Result<u64, SettleError> {
        self.read(Abi::nonceOfCall { owner }).await
    }

    /// A worker's money in one pool; all zero if it has none there.
    pub async fn seat(&self, pool: PoolId, worker: WorkerIdx) -> Result<SeatView, SettleError> {
        let call = Abi::seatOfCall { poolId: pool.0, workerIdx: worker.0 };
        Ok(self.read(call).await?.into())
    }

    /// The worker a vote key is bound to.
    pub async fn worker_of_vote_key(
        &self,
        vote_key: Address,
    ) -> Result<Option<WorkerIdx>, SettleError> {
        let index = self.read(Abi::workerOfVoteKeyCall { voteKey: vote_key }).await?;
        Ok((index != 0).then_some(WorkerIdx(index)))
    }

    /// The worker a node key is bound to.
    pub async fn worker_of_node_key(
        &self,
        node_key: B256,
    ) -> Result<Option<WorkerIdx>, SettleError> {
        let index = self.read(Abi::workerOfNodeKeyCall { nodeKey: node_key }).await?;
        Ok((index != 0).then_some(WorkerIdx(index)))
    }

    /// A pool's keys, progress and money.
    pub async fn pool(&self, pool: PoolId) -> Result<PoolView, SettleError> {
        Ok(self.read(Abi::poolOfCall { poolId: pool.0 }).await?.into())
    }

    /// How far an order is used, by its account (a pool's: its operator) and struct hash.
    pub async fn use_of(&self, account: Address, order: B256) -> Result<UseView, SettleError> {
        let call = Market::useOfCall { account, orderHash: order };
        Ok(self.read_from(self.market, call).await?.into())
    }

    /// What is kept of a deal; nothing if there is none.
    pub async fn deal(&self, deal: DealId) -> Result<Option<DealView>, SettleError> {
        let deal = self.read(Abi::dealOfCall { dealId: deal.0 }).await?;
        Ok((deal.poolId != 0).then(|| deal.into()))
    }

    /// The word of a remembered batch, pending or final: see [`quorate_common::anchor`].
    pub async fn batch(&self, pool: PoolId, index: u64) -> Result<B256, SettleError> {
        self.read(Abi::batchOfCall { poolId: pool.0, index }).await
    }

    /// What the contract's word of a batch holds; see [`Self::committed`].
    pub async fn opening(&self, pool: PoolId, index: u64) -> Result<Option<Opening>, SettleError> {
        Ok(self.committed(pool, index).await?.map(|(_, opening)| opening))
    }

    /// A remembered batch with its header, from the event of its commit; nothing if there is no such
    /// batch, or if it was dropped or its place has been taken since.
    pub async fn committed(
        &self,
        pool: PoolId,
        index: u64,
    ) -> Result<Option<(Header, Opening)>, SettleError> {
        let word = match self.batch(pool, index).await {
            Ok(word) => word,
            Err(error) if error.revert_name() == Some("UnknownBatch") => return Ok(None),
            Err(error) => return Err(error),
        };
        let of = |number: u64| B256::left_padding_from(&number.to_be_bytes());
        let event = Abi::BatchCommitted::SIGNATURE_HASH;
        let topics = [event, of(pool.0.into()), of(index)];
        let mut to = self.chain.head().await?.number;
        loop {
            let from = to.saturating_sub(LOOK_BACK_BLOCKS - 1);
            let logs = self.chain.logs_with(self.address(), topics, (from, to)).await?;
            let mut found = logs.iter().rev().filter_map(committed_in);
            if let Some(found) = found.find(|(_, opening)| opening.anchor().word() == word) {
                return Ok(Some(found));
            }
            let Some(before) = from.checked_sub(1) else { return Ok(None) };
            to = before;
        }
    }

    /// Token units an account holds outside the contract.
    pub async fn token_balance(&self, account: Address) -> Result<U256, SettleError> {
        self.read_from(self.token, TestToken::balanceOfCall { account }).await
    }

    /// Token units the contract may take from an account.
    pub async fn token_allowance(&self, owner: Address) -> Result<U256, SettleError> {
        let spender = self.address();
        self.read_from(self.token, TestToken::allowanceCall { owner, spender }).await
    }

    /// The token's decimals, for people: 18 means a unit is 10^-18 tokens.
    pub async fn token_decimals(&self) -> Result<u8, SettleError> {
        self.read_from(self.token, TestToken::decimalsCall {}).await
    }

    /// Signs a permission for the contract to take `amount` of the signer's tokens, for the token's
    /// own domain and the owner's next permit number. Anyone can then send the deposit.
    pub async fn sign_permit(
        &self,
        owner: &Signer,
        amount: u128,
        deadline: u64,
    ) -> Result<Permit, SettleError> {
        let domain = self.read_from(self.token, TestToken::DOMAIN_SEPARATORCall {}).await?;
        let nonces = TestToken::noncesCall { owner: owner.address() };
        let permit = erc2612::Permit {
            owner: owner.address(),
            spender: self.address(),
            value: U256::from(amount),
            nonce: self.read_from(self.token, nonces).await?,
            deadline: U256::from(deadline),
        };
        let digest = Separator(domain).digest(permit.eip712_hash_struct());
        let signature = owner.sign(digest);
        Ok(Permit { owner: owner.address(), amount, deadline, signature })
    }

    async fn read<C: SolCall>(&self, call: C) -> Result<C::Return, SettleError> {
        self.read_from(self.address(), call).await
    }

    pub(crate) async fn read_from<C: SolCall>(
        &self,
        to: Address,
        call: C,
    ) -> Result<C::Return, SettleError> {
        let what = C::SIGNATURE.split('(').next().unwrap_or(C::SIGNATURE);
        let data = call.abi_encode().into();
        let request = CallRequest { to: Some(to), data, ..CallRequest::default() };
        let answer = self.chain.call(what, request).await?;
        C::abi_decode_returns(&answer)
            .map_err(|error| self.chain.nonsense("eth_call", format!("{what}: {error}")))
    }
}

fn committed_in(log: &Log) -> Option<(Header, Opening)> {
    let event = Abi::BatchCommitted::decode_log(&log.inner).ok()?.data;
    let opening = ChainEvent::opening(&event);
    Some((event.header.into(), opening))
}

/// The type's name is part of the hash and must be `Permit`; ours is taken, hence the module.
mod erc2612 {
    alloy::sol! {
        /// What a permit signs.
        #[derive(Debug)]
        struct Permit {
            address owner;
            address spender;
            uint256 value;
            uint256 nonce;
            uint256 deadline;
        }
    }
}

/// Code that does not answer like the contract is not the contract.
fn not_ours(error: SettleError, none: impl Fn(&'static str) -> SettleError) -> SettleError {
    if matches!(error, SettleError::Reverted(_) | SettleError::Nonsense { .. }) {
        return none("the code there answers differently");
    }
    error
}
