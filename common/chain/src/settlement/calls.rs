//! What the contract can be told, as unsigned calls. Who may send which, and when it is refused,
//! stands in `deploy/contracts/src/ISettlement.sol`.

use crate::abi::{Market, Settlement as Abi, TestToken};
use crate::error::SettleError;
use crate::outbox::Call;
use crate::settlement::Settlement;
use crate::transport::CallRequest;
use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolCall;
use quorate_common::accounts::{DealAccount, WorkerAccount};
use quorate_common::anchor::{Anchor, Opening};
use quorate_common::api::WorkerProof;
use quorate_common::ids::{PoolId, WorkerIdx};
use quorate_common::keys::Signature;
use quorate_common::merkle;
use quorate_common::messages::{
    AppOrder, BindWorker, DatasetOrder, Header, PoolOrder, ReqOrder, SponsorOrder, WorkerOp,
};
use quorate_common::orders::{self, Sides};
use quorate_common::permit::{self, Act, PermitError};
use quorate_common::terms::DealTerms;

/// Gas of matching orders at most: nine times what four signed orders take (227,136). Contract accounts
/// check their own signatures, and group contracts their members, with code that anybody wrote: what
/// they may burn is the scheduler's gas money and its node's time. A wallet of many signers checks them
/// for some 10,000 gas each.
pub const OPEN_DEAL_GAS_MAX: u64 = 2_000_000;

/// Gas of a carried permit at most: five times what the dearest, a registration, takes, because roll-ups charge for
/// a transaction's bytes in gas, too. The owner may be a contract whose own code checks the signature, and whoever
/// carries it pays for that.
pub const CARRIED_GAS_MAX: u64 = 1_000_000;

/// A token owner's ERC-2612 permission, signed for the token's own domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Whose tokens.
    pub owner: Address,
    /// Token units.
    pub amount: u128,
    /// Unix seconds; not to be used later.
    pub deadline: u64,
    /// The owner's signature.
    pub signature: Signature,
}

/// An order with its signature: 64 or 65 bytes, what an ERC-1271 account accepts, or nothing where it
/// was presigned.
#[derive(Debug)]
pub struct Signed<'a, Order> {
    /// The order.
    pub order: &'a Order,
    /// See above.
    pub signature: &'a [u8],
}

// Not derived: an order need not be `Copy` for its reference to be.
impl<Order> Clone for Signed<'_, Order> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Order> Copy for Signed<'_, Order> {}

/// Orders to match.
#[derive(Clone, Copy, Debug)]
pub struct Orders<'a> {
    /// Who asks.
    pub req: Signed<'a, ReqOrder>,
    /// Who works.
    pub offer: Signed<'a, PoolOrder>,
    /// Where the request names an owner of its application.
    pub app: Option<Signed<'a, AppOrder>>,
    /// Where the request names an owner of its dataset.
    pub dataset: Option<Signed<'a, DatasetOrder>>,
    /// Where somebody else pays.
    pub sponsor: Option<Signed<'a, SponsorOrder>>,
}

impl<'a, Order> From<&'a orders::Signed<Order>> for Signed<'a, Order> {
    fn from(signed: &'a orders::Signed<Order>) -> Self {
        Self { order: &signed.order, signature: &signed.signature }
    }
}

impl<'a> Orders<'a> {
    /// A request and an offer, with what came with the request.
    pub fn with_sides(
        req: Signed<'a, ReqOrder>,
        offer: Signed<'a, PoolOrder>,
        sides: &'a Sides,
    ) -> Self {
        Self {
            req,
            offer,
            app: sides.app.as_ref().map(Into::into),
            dataset: sides.dataset.as_ref().map(Into::into),
            sponsor: sides.sponsor.as_ref().map(Into::into),
        }
    }

    fn to_match(self, tasks: u32) -> Market::Match {
        let (app, app_sig) = or_none(self.app);
        let (dataset, dataset_sig) = or_none(self.dataset);
        let (sponsor, sponsor_sig) = or_none(self.sponsor);
        Market::Match {
            req: self.req.order.into(),
            reqSig: self.req.signature.to_vec().into(),
            offer: self.offer.order.into(),
            offerSig: self.offer.signature.to_vec().into(),
            app: (&app).into(),
            appSig: app_sig.into(),
            dataset: (&dataset).into(),
            datasetSig: dataset_sig.into(),
            sponsor: (&sponsor).into(),
            sponsorSig: sponsor_sig.into(),
            n: tasks,
        }
    }
}

/// An order that is not given has every field zero and no signature.
fn or_none<Order: Clone + Default>(signed: Option<Signed<'_, Order>>) -> (Order, Vec<u8>) {
    signed.map_or_else(Default::default, |s| (s.order.clone(), s.signature.to_vec()))
}

impl Settlement {
    /// Lets the contract take `amount` token units from the sender; comes before a deposit.
    pub fn approve(&self, amount: U256) -> Call {
        let call = TestToken::approveCall { spender: self.address(), value: amount };
        to(self.token(), format!("approve {amount} token units"), &call)
    }

    /// Gives token units to somebody, outside the contract.
    pub fn token_transfer(&self, to_whom: Address, amount: U256) -> Call {
        let call = TestToken::transferCall { to: to_whom, value: amount };
        to(self.token(), format!("send {amount} token units to {to_whom}"), &call)
    }

    /// Moves tokens of the sender into its free balance. Needs an allowance.
    pub fn deposit(&self, amount: u128) -> Call {
        self.tell(format!("deposit {amount}"), &Abi::depositCall { amount })
    }

    /// Deposits for whoever signed the permit; anyone may send it.
    pub fn deposit_with_permit(&self, permit: &Permit) -> Call {
        let Permit { owner, amount, deadline, signature } = *permit;
        // ERC-2612 wants the old three-part form.
        let mut s = signature.vs;
        s.0[0] &= 0x7f;
        let v = 27 + (signature.vs.0[0] >> 7);
        let deadline = U256::from(deadline);
        let call = Abi::depositWithPermitCall { owner, amount, deadline, v, r: signature.r, s };
        self.tell(format!("deposit {amount} for {owner}"), &call)
    }

    /// Sends free balance out to the sender.
    pub fn withdraw(&self, amount: u128) -> Call {
        self.tell(format!("withdraw {amount}"), &Abi::withdrawCall { amount })
    }

    /// Registers a worker. `binding.owner` must be the sender; the vote key signs it.
    pub fn register_worker(&self, binding: &BindWorker, signature: &Signature) -> Call {
        let call = Abi::registerWorkerCall {
            nodeKey: binding.node_key,
            voteKey: binding.vote_key,
            deadline: binding.deadline,
            r: signature.r,
            vs: signature.vs,
        };
        self.tell(format!("register worker with vote key {}", binding.vote_key), &call)
    }

    /// Registers a worker for an owner that has signed the binding too; anyone may send it.
    pub fn register_worker_for(
        &self,
        binding: &BindWorker,
        vote: &Signature,
        owner: &Signature,
    ) -> Call {
        let call = Abi::registerWorkerForCall {
            owner: binding.owner,
            nodeKey: binding.node_key,
            voteKey: binding.vote_key,
            deadline: binding.deadline,
            r: vote.r,
            vs: vote.vs,
            ownerSig: owner.to_bytes().to_vec().into(),
        };
        let call = self.tell(format!("register a worker of {}", binding.owner), &call);
        Call { gas_max: Some(CARRIED_GAS_MAX), ..call }
    }

    /// What a worker's owner wants, by its signature; anyone may send it.
    pub fn operate_worker(&self, op: &WorkerOp, owner: &Signature) -> Call {
        let WorkerOp { worker, op: number, nonce, deadline } = *op;
        let call = Abi::operateWorkerCall {
            op: Abi::WorkerOp { workerIdx: worker.0, op: number, nonce, deadline },
            ownerSig: owner.to_bytes().to_vec().into(),
        };
        let call = self.tell(format!("operation {number} of {worker}'s owner"), &call);
        Call { gas_max: Some(CARRIED_GAS_MAX), ..call }
    }

    /// What a permit is for; anyone may send it.
    ///
    /// # Errors
    /// [`PermitError`]: it is no good, or for another contract.
    pub fn carry(&self, permit: &permit::Permit) -> Result<Call, PermitError> {
        permit.check(self.domain())?;
        Ok(match &permit.act {
            Act::Register { binding, vote_signature, owner_signature } => {
                self.register_worker_for(binding, vote_signature, owner_signature)
            }
            Act::Operate { op, signature, .. } => self.operate_worker(op, signature),
            Act::Claim { pool, proof } => {
                let WorkerProof { worker, index, ref path, ref opening, .. } = *proof;
                let account = proof.account.as_ref().ok_or(PermitError::NoAccount(worker))?;
                let call = self.claim(*pool, worker, account, path, index, &opening.anchor());
                Call { gas_max: Some(CARRIED_GAS_MAX), ..call }
            }
        })
    }

    /// Puts free balance at a pool's risk.
    pub fn stake(&self, pool: PoolId, worker: WorkerIdx, amount: u128) -> Call {
        let call = Abi::stakeCall { poolId: pool.0, workerIdx: worker.0, amount };
        self.tell(format!("stake {amount} of {worker} in {pool}"), &call)
    }

    /// Starts a worker's exit timer.
    pub fn request_exit(&self, worker: WorkerIdx) -> Call {
        self.tell(
            format!("request exit of {worker}"),
            &Abi::requestExitCall { workerIdx: worker.0 },
        )
    }

    /// Stops a worker's exit timer.
    pub fn cancel_exit(&self, worker: WorkerIdx) -> Call {
        self.tell(format!("cancel exit of {worker}"), &Abi::cancelExitCall { workerIdx: worker.0 })
    }

    /// After the exit timer, frees a stake less its slashes. Without an account, if the pool never
    /// settled a task of the worker; the proof is then of the empty leaf. `newest` is the newest final
    /// batch, `next` the oldest pending one, if there is one.
    pub fn unstake(
        &self,
        pool: PoolId,
        worker: WorkerIdx,
        account: Option<&WorkerAccount>,
        proof: &[B256],
        newest: &Anchor,
        next: &Opening,
    ) -> Call {
        let call = Abi::unstakeCall {
            poolId: pool.0,
            workerIdx: worker.0,
            account: account.map_or_else(no_worker, Into::into),
            proof: merkle::short(proof),
            anchor: newest.into(),
            next: next.into(),
        };
        self.tell(format!("unstake {worker} from {pool}"), &call)
    }

    /// Registers a pool operated by the sender, with a bond from its free balance.
    pub fn register_pool(&self, signer: Address, node_key: B256, bond: u128) -> Call {
        let call = Abi::registerPoolCall { signer, nodeKey: node_key, bond };
        self.tell(format!("register pool with bond {bond}"), &call)
    }

    /// Adds to a pool's bond from the operator's free balance.
    pub fn add_bond(&self, pool: PoolId, amount: u128) -> Call {
        let call = Abi::addBondCall { poolId: pool.0, amount };
        self.tell(format!("add {amount} to the bond of {pool}"), &call)
    }

    /// Closes a pool for good and starts its bond's timer.
    pub fn request_bond_exit(&self, pool: PoolId) -> Call {
        self.tell(format!("close {pool}"), &Abi::requestBondExitCall { poolId: pool.0 })
    }

    /// After the timer, frees a pool's bond.
    pub fn withdraw_bond(&self, pool: PoolId) -> Call {
        self.tell(format!("withdraw the bond of {pool}"), &Abi::withdrawBondCall { poolId: pool.0 })
    }

    /// Matches `tasks` tasks of these orders.
    pub fn open_deal(&self, orders: &Orders<'_>, tasks: u32) -> Call {
        let call = Market::openDealCall { m: orders.to_match(tasks) };
        let what = format!("open a deal of {tasks} tasks in {}", orders.offer.order.pool);
        Call { gas_max: Some(OPEN_DEAL_GAS_MAX), ..to(self.market(), what, &call) }
    }

    /// Whether the contract would match `tasks` tasks of these orders now. Nobody in particular asks, so
    /// a sponsor must have signed.
    ///
    /// # Errors
    /// [`SettleError::Reverted`] with the rule that refuses, [`SettleError::InsufficientToken`] with who
    /// lacks money, and the node's.
    pub async fn would_open(&self, orders: &Orders<'_>, tasks: u32) -> Result<(), SettleError> {
        let call = Market::openDealCall { m: orders.to_match(tasks) };
        let data = call.abi_encode().into();
        let (to, gas) = (Some(self.market()), Some(OPEN_DEAL_GAS_MAX));
        let request = CallRequest { to, data, gas, ..CallRequest::default() };
        self.chain().call("openDeal", request).await.map(drop)
    }

    /// Signs an order of the sender's on chain, by its struct hash.
    pub fn presign_order(&self, order: B256) -> Call {
        let call = Market::presignCall { orderHash: order };
        to(self.market(), format!("presign order {order}"), &call)
    }

    /// Ends an order of the sender's, by its struct hash; deals made of it stand.
    pub fn cancel_order(&self, order: B256) -> Call {
        to(self.market(), "cancel an order".to_owned(), &Market::cancelCall { orderHash: order })
    }

    /// Ends an order of a pool, by its struct hash; deals made of it stand.
    pub fn cancel_pool_order(&self, pool: PoolId, order: B256) -> Call {
        let call = Market::cancelPoolOrderCall { poolId: pool.0, orderHash: order };
        to(self.market(), format!("cancel an order of {pool}"), &call)
    }

    /// Puts a batch up for its window, with the header's signature by the pool's signer.
    pub fn commit_batch(&self, header: &Header, signature: &Signature) -> Call {
        let call = Abi::commitBatchCall { header: header.into(), r: signature.r, vs: signature.vs };
        self.tell(format!("commit batch {} of {}", header.index, header.pool), &call)
    }

    /// After its window, makes the oldest pending batch final.
    pub fn finalize(&self, header: &Header, opening: &Opening) -> Call {
        let call = Abi::finalizeCall {
            header: header.into(),
            committedAt: opening.committed_at,
            inbox: opening.inbox,
        };
        self.tell(format!("finalize batch {} of {}", header.index, header.pool), &call)
    }

    /// Pays the operator the fees of all batches up to a final one.
    pub fn collect_fees(&self, header: &Header, opening: &Opening) -> Call {
        let call = Abi::collectFeesCall {
            header: header.into(),
            committedAt: opening.committed_at,
            inbox: opening.inbox,
        };
        self.tell(format!("collect the fees of {}", header.pool), &call)
    }

    /// Pays a worker's owner what is earned and not yet paid, as of the final batch `index`.
    pub fn claim(
        &self,
        pool: PoolId,
        worker: WorkerIdx,
        account: &WorkerAccount,
        proof: &[B256],
        index: u64,
        anchor: &Anchor,
    ) -> Call {
        let call = Abi::claimCall {
            poolId: pool.0,
            workerIdx: worker.0,
            account: account.into(),
            proof: merkle::short(proof),
            index,
            anchor: anchor.into(),
        };
        self.tell(format!("claim for {worker} from {pool}, batch {index}"), &call)
    }

    /// Pays the owners of a deal's application and dataset, as of the final batch `index`.
    pub fn claim_royalties(
        &self,
        terms: &DealTerms,
        account: &DealAccount,
        proof: &[B256],
        index: u64,
        anchor: &Anchor,
    ) -> Call {
        let call = Abi::claimRoyaltiesCall {
            terms: terms.into(),
            account: account.into(),
            proof: merkle::short(proof),
            index,
            anchor: anchor.into(),
        };
        self.tell(format!("claim the royalties of deal {}", terms.id()), &call)
    }

    /// Returns to the payer what a deal did not spend, as of the final batch `index`. Without an
    /// account, if no task of the deal was ever settled; the proof is then of the empty leaf.
    pub fn refund_unsettled(
        &self,
        terms: &DealTerms,
        account: Option<&DealAccount>,
        proof: &[B256],
        index: u64,
        opening: &Opening,
    ) -> Call {
        let call = Abi::refundUnsettledCall {
            terms: terms.into(),
            account: account.map_or_else(no_deal, Into::into),
            proof: merkle::short(proof),
            index,
            batch: opening.into(),
        };
        self.tell(format!("refund deal {}", terms.id()), &call)
    }

    fn tell(&self, what: String, call: &impl SolCall) -> Call {
        to(self.address(), what, call)
    }
}

pub(super) fn to(contract: Address, what: String, call: &impl SolCall) -> Call {
    let data = call.abi_encode().into();
    Call { what, to: Some(contract), value: U256::ZERO, data, gas_max: None }
}

/// The account of a worker that was never touched: every field zero.
fn no_worker() -> Abi::WorkerAccount {
    Abi::WorkerAccount {
        owner: Address::ZERO,
        voteKey: Address::ZERO,
        cumEarned: 0,
        cumSlashed: 0,
        score: 0,
        lastTaskSeq: 0,
    }
}

/// The account of a deal that was never touched: every field zero.
fn no_deal() -> Abi::DealAccount {
    Abi::DealAccount {
        dealId: B256::ZERO,
        settledRoot: B256::ZERO,
        settledCount: 0,
        spent: 0,
        refunded: 0,
    }
}
