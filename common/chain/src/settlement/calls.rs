//! What the contract can be told, as unsigned calls. Who may send which, and when it is refused,
//! stands in `deploy/contracts/src/ISettlement.sol`.

use crate::abi::{Settlement as Abi, TestToken};
use crate::outbox::Call;
use crate::settlement::Settlement;
use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolCall;
use quorate_common::accounts::{DealAccount, WorkerAccount};
use quorate_common::ids::{DealId, PoolId, WorkerIdx};
use quorate_common::keys::Signature;
use quorate_common::messages::{BindWorker, Header, PoolOrder, ReqOrder};

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
    /// settled a task of the worker; the proof is then of the empty leaf.
    pub fn unstake(
        &self,
        pool: PoolId,
        worker: WorkerIdx,
        account: Option<&WorkerAccount>,
        proof: &[B256],
    ) -> Call {
        let call = Abi::unstakeCall {
            poolId: pool.0,
            workerIdx: worker.0,
            account: account.map_or_else(no_worker, Into::into),
            proof: proof.to_vec(),
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

    /// Matches `tasks` tasks of two signed orders. `req_signature` is 64 or 65 bytes, or what an
    /// ERC-1271 account accepts.
    pub fn open_deal(
        &self,
        req: &ReqOrder,
        req_signature: &[u8],
        offer: &PoolOrder,
        offer_signature: &Signature,
        tasks: u32,
    ) -> Call {
        let call = Abi::openDealCall {
            req: req.into(),
            reqSig: req_signature.to_vec().into(),
            offer: offer.into(),
            offerSig: offer_signature.to_bytes().into(),
            n: tasks,
        };
        self.tell(format!("open a deal of {tasks} tasks in {}", offer.pool), &call)
    }

    /// Ends a request order; deals made of it stand.
    pub fn cancel_req_order(&self, order: &ReqOrder) -> Call {
        let call = Abi::cancelReqOrderCall { order: order.into() };
        self.tell("cancel a request order".to_owned(), &call)
    }

    /// Ends a pool order; deals made of it stand.
    pub fn cancel_pool_order(&self, order: &PoolOrder) -> Call {
        let call = Abi::cancelPoolOrderCall { order: order.into() };
        self.tell(format!("cancel an order of {}", order.pool), &call)
    }

    /// Puts a batch up for its window, with the header's signature by the pool's signer.
    pub fn commit_batch(&self, header: &Header, signature: &Signature) -> Call {
        let call = Abi::commitBatchCall { header: header.into(), r: signature.r, vs: signature.vs };
        self.tell(format!("commit batch {} of {}", header.index, header.pool), &call)
    }

    /// After its window, makes the oldest pending batch final.
    pub fn finalize(&self, header: &Header) -> Call {
        let call = Abi::finalizeCall { header: header.into() };
        self.tell(format!("finalize batch {} of {}", header.index, header.pool), &call)
    }

    /// Pays a worker's owner what is earned and not yet paid, as of the final batch `index`.
    pub fn claim(
        &self,
        pool: PoolId,
        worker: WorkerIdx,
        account: &WorkerAccount,
        proof: &[B256],
        index: u64,
    ) -> Call {
        let call = Abi::claimCall {
            poolId: pool.0,
            workerIdx: worker.0,
            account: account.into(),
            proof: proof.to_vec(),
            index,
        };
        self.tell(format!("claim for {worker} from {pool}, batch {index}"), &call)
    }

    /// Returns to a requester what a deal did not spend, as of the final batch `index`. Without an
    /// account, if no task of the deal was ever settled; the proof is then of the empty leaf.
    pub fn refund_unsettled(
        &self,
        deal: DealId,
        account: Option<&DealAccount>,
        proof: &[B256],
        index: u64,
    ) -> Call {
        let call = Abi::refundUnsettledCall {
            dealId: deal.0,
            account: account.map_or_else(no_deal, Into::into),
            proof: proof.to_vec(),
            index,
        };
        self.tell(format!("refund deal {deal}"), &call)
    }

    fn tell(&self, what: String, call: &impl SolCall) -> Call {
        to(self.address(), what, call)
    }
}

fn to(contract: Address, what: String, call: &impl SolCall) -> Call {
    Call { what, to: Some(contract), value: U256::ZERO, data: call.abi_encode().into() }
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
