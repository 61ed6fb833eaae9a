//! One deal from deployment to the last unit, through the same code whatever the chain.
//!
//! Pays one task by the PoCo step's arithmetic, slashes one dissenter, refunds one task that was
//! never settled, and at the end the contract's tokens add up. Who checks what the numbers must be
//! in general is the contract's and the grid's tests; here it is that we speak with the contract.

use alloy::primitives::{Address, B256, U256, keccak256};
use quorate_chain::events::Located;
use quorate_chain::outbox::{Finality, OutboxConfig};
use quorate_chain::settlement::{Orders, Signed, deploy_settlement, deploy_token};
use quorate_chain::transport::Chain;
use quorate_chain::{
    Call, ChainEvent, Follower, Outbox, Receipt, SettleError, Settlement, Signer, preset,
};
use quorate_common::accounts::{DealAccount, WorkerAccount, task_seq};
use quorate_common::anchor::Opening;
use quorate_common::ids::{PoolId, WorkerIdx};
use quorate_common::merkle::{STATE_DEPTH, Sparse};
use quorate_common::messages::{BindWorker, Domain, Header, Message, PoolOrder, ReqOrder};
use quorate_common::terms::DealTerms;
use std::collections::BTreeMap;

const DAY_S: u64 = 86_400;
/// Grace after a deal's deadline, and a second more than the contract asks.
const GRACE_S: u64 = 9 * DAY_S + 1;
/// The shortest window there may be.
const WINDOW_S: u64 = 2 * DAY_S;
const PRICE: u128 = 100;
const STAKE: u128 = 1_000;
const BOND: u128 = 10_000;
const FUNDS: u128 = 5_000;
/// Of the price: what a vote puts at stake, and what the scheduler keeps of a reward.
const STAKE_RATIO: u8 = 30;
const SCHEDULER_RATIO: u8 = 10;
/// The arithmetic of PROTOCOL.md section 4 for two winners of equal weight and one loser:
/// 100 + 30 to share, 117 of it for workers, 58 each, the rest is the scheduler's.
const EARNED: u128 = 58;
const SLASHED: u128 = 30;
const FEES: u128 = PRICE + SLASHED - 2 * EARNED;

/// A signer whose key is a byte, repeated.
pub(crate) fn signer(byte: u8) -> Signer {
    Signer::from_secret(&[byte; 32]).unwrap()
}

/// How the tests' outboxes behave on a chain without reorganisations.
pub(crate) fn config(finality: Finality) -> OutboxConfig {
    OutboxConfig { finality, ..OutboxConfig::of(preset("dev").unwrap()) }
}

/// A funded sender.
pub(crate) async fn funded(chain: &Chain, byte: u8, finality: Finality) -> Outbox {
    let signer = signer(byte);
    chain.set_balance(signer.address(), U256::from(10).pow(U256::from(19))).await.unwrap();
    Outbox::new(chain.clone(), signer, config(finality))
}

/// The stage: contracts, a pool, three workers with stakes, a requester with funds.
pub(crate) struct Stage {
    pub(crate) settlement: Settlement,
    pub(crate) operator: Outbox,
    pub(crate) requester: Outbox,
    pub(crate) owner: Outbox,
    pub(crate) pool: PoolId,
    pub(crate) workers: Vec<WorkerIdx>,
    pub(crate) first_block: u64,
    finality: Finality,
}

/// The pool's hot key.
fn pool_signer() -> Signer {
    signer(0x50)
}

/// The vote key of the n-th worker.
fn vote_signer(n: u8) -> Signer {
    signer(0x60 + n)
}

impl Stage {
    pub(crate) async fn set(chain: &Chain, finality: Finality) -> Self {
        let first_block = chain.head().await.unwrap().number + 1;
        let operator = funded(chain, 0x10, finality).await;
        let requester = funded(chain, 0x20, finality).await;
        let owner = funded(chain, 0x30, finality).await;
        let token = deploy_token(&operator, operator.account()).await.unwrap();
        let settlement = deploy_settlement(&operator, token, WINDOW_S).await.unwrap();
        let mut stage = Self {
            settlement,
            operator,
            requester,
            owner,
            pool: PoolId(0),
            workers: Vec::new(),
            first_block,
            finality,
        };
        stage.fund().await;
        stage.pool = stage.register_pool().await;
        for n in 0..3 {
            let worker = stage.register_worker(n).await;
            stage.workers.push(worker);
        }
        stage
    }

    /// The stage of a chain that another process has set.
    pub(crate) async fn again(chain: &Chain, contract: Address, finality: Finality) -> Self {
        let chain_id = chain.chain_id().await.unwrap();
        let domain = Domain { chain_id, contract };
        let outbox = |byte| Outbox::new(chain.clone(), signer(byte), config(finality));
        Self {
            settlement: Settlement::connect(chain.clone(), domain).await.unwrap(),
            operator: outbox(0x10),
            requester: outbox(0x20),
            owner: outbox(0x30),
            pool: PoolId(1),
            workers: (1..=3).map(WorkerIdx).collect(),
            first_block: 1,
            finality,
        }
    }

    /// Everybody's free balance: the operator by allowance, the others by permit.
    async fn fund(&self) {
        let s = &self.settlement;
        must(&self.operator, s.approve(U256::from(BOND))).await;
        must(&self.operator, s.deposit(BOND)).await;
        for (whom, amount) in [(&self.requester, FUNDS), (&self.owner, 3 * STAKE)] {
            must(&self.operator, s.token_transfer(whom.account(), U256::from(amount))).await;
            let deadline = s.chain().head().await.unwrap().timestamp + DAY_S;
            let permit = s.sign_permit(whom.signer(), amount, deadline).await.unwrap();
            // The operator relays it: its owner needs no gas for it.
            must(&self.operator, s.deposit_with_permit(&permit)).await;
            assert_eq!(s.free_of(whom.account()).await.unwrap(), amount);
        }
    }

    async fn register_pool(&self) -> PoolId {
        let call =
            self.settlement.register_pool(pool_signer().address(), B256::repeat_byte(7), BOND);
        let events = self.events_of(&must(&self.operator, call).await);
        let [ChainEvent::PoolRegistered { pool, signer, .. }, ChainEvent::BondAdded { .. }] =
            events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(signer, pool_signer().address());
        pool
    }

    async fn register_worker(&self, n: u8) -> WorkerIdx {
        let vote = vote_signer(n);
        let binding = BindWorker {
            owner: self.owner.account(),
            node_key: B256::repeat_byte(0x70 + n),
            vote_key: vote.address(),
            deadline: self.settlement.chain().head().await.unwrap().timestamp + DAY_S,
        };
        let signature = vote.sign(self.settlement.separator().digest(binding.struct_hash()));
        let call = self.settlement.register_worker(&binding, &signature);
        let events = self.events_of(&must(&self.owner, call).await);
        let [ChainEvent::WorkerRegistered { worker, vote_key, .. }] = events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(vote_key, vote.address());
        must(&self.owner, self.settlement.stake(self.pool, worker, STAKE)).await;
        worker
    }

    pub(crate) fn events_of(&self, receipt: &Receipt) -> Vec<ChainEvent> {
        receipt.events(self.settlement.address())
    }

    /// Both orders, with `salt` to tell them from others.
    pub(crate) async fn orders(&self, salt: u8) -> (ReqOrder, PoolOrder) {
        let now = self.settlement.chain().head().await.unwrap().timestamp;
        let req = ReqOrder {
            requester: self.requester.account(),
            app: keccak256("app"),
            params: keccak256("bag"),
            pool_restrict: self.pool.restrict(),
            max_unit_price: PRICE,
            tasks: 2,
            trust: 10,
            replicas: 5,
            max_task_time: 60,
            expiry: now + DAY_S,
            deadline: now + 2 * DAY_S,
            salt: B256::repeat_byte(salt),
            ..ReqOrder::default()
        };
        let offer = PoolOrder {
            pool: self.pool,
            unit_price: PRICE,
            tasks: 1_000,
            trust: 100,
            stake_ratio: STAKE_RATIO,
            scheduler_ratio: SCHEDULER_RATIO,
            max_task_time: 600,
            expiry: now + DAY_S,
            salt: B256::repeat_byte(salt),
            ..PoolOrder::default()
        };
        (req, offer)
    }

    /// The call that opens a deal of both orders, really signed.
    pub(crate) fn open_call(&self, req: &ReqOrder, offer: &PoolOrder) -> Call {
        let separator = self.settlement.separator();
        let req_signature = self.requester.signer().sign(separator.digest(req.struct_hash()));
        let offer_signature = pool_signer().sign(separator.digest(offer.struct_hash()));
        let (req_bytes, offer_bytes) = (req_signature.to_bytes(), offer_signature.to_bytes());
        let orders = Orders {
            req: Signed { order: req, signature: &req_bytes },
            offer: Signed { order: offer, signature: &offer_bytes },
            app: None,
            dataset: None,
            sponsor: None,
        };
        self.settlement.open_deal(&orders, req.tasks)
    }

    pub(crate) fn commit_call(&self, header: &Header) -> Call {
        let digest = self.settlement.separator().digest(header.struct_hash());
        self.settlement.commit_batch(header, &pool_signer().sign(digest))
    }

    /// All events since the contracts were deployed.
    pub(crate) async fn all_events(&self) -> Vec<Located> {
        let chain = self.settlement.chain().clone();
        let contract = self.settlement.address();
        let mut follower =
            Follower::start(chain, contract, self.finality, self.first_block).await.unwrap();
        let mut events = Vec::new();
        while let Some(batch) = follower.next_batch().await.unwrap() {
            events.extend(batch.events);
        }
        events
    }
}

/// Sends a call that must go through.
#[track_caller]
pub(crate) fn must(outbox: &Outbox, call: Call) -> impl Future<Output = Receipt> {
    let what = call.what.clone();
    async move {
        match outbox.send(call).await {
            Ok(receipt) => receipt,
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

/// The name of the error with which the contract refuses a call.
pub(crate) async fn refused(outbox: &Outbox, call: Call) -> String {
    match outbox.send(call).await {
        Err(SettleError::Reverted(revert)) => revert.name,
        other => panic!("{other:?}"),
    }
}

/// The state after the one settled task of [`whole_deal`], and its header.
struct Settled {
    accounts: Vec<WorkerAccount>,
    terms: DealTerms,
    deal: DealAccount,
    tree: Sparse,
    header: Header,
}

impl Settled {
    fn new(stage: &Stage, terms: &DealTerms, slot: u32) -> Self {
        let outcome = [(EARNED, 0), (EARNED, 0), (0, SLASHED)];
        let accounts: Vec<WorkerAccount> = (0..)
            .zip(outcome)
            .map(|(n, (cum_earned, cum_slashed))| WorkerAccount {
                owner: stage.owner.account(),
                vote_key: vote_signer(n).address(),
                cum_earned,
                cum_slashed,
                score: u32::from(cum_slashed == 0),
                last_task_seq: task_seq(1, 0),
            })
            .collect();
        let deal = DealAccount {
            deal_id: terms.id(),
            settled_root: keccak256("bitmap"),
            settled_count: 1,
            spent: PRICE,
            refunded: 0,
        };
        let mut leaves: BTreeMap<u64, B256> = stage
            .workers
            .iter()
            .zip(&accounts)
            .map(|(worker, account)| (u64::from(worker.0), account.leaf()))
            .collect();
        leaves.insert((1 << 19) + u64::from(slot), deal.leaf());
        let mut tree = Sparse::new(STATE_DEPTH);
        tree.set(&leaves);
        let header = Header {
            pool: stage.pool,
            index: 1,
            parent: B256::ZERO,
            tasks_root: keccak256("tasks"),
            state_root: tree.root(),
            evidence: keccak256("evidence"),
            count: 1,
            payout: 2 * EARNED,
            fees: FEES,
            royalties: 0,
            slashed: SLASHED,
            cum_fees: FEES,
        };
        Self { accounts, terms: terms.clone(), deal, tree, header }
    }
}

/// Deposit, register, deal, commit, wait, finalize, claim, refund, withdraw: everything.
pub(crate) async fn whole_deal(chain: &Chain, finality: Finality) {
    let stage = Stage::set(chain, finality).await;
    let s = &stage.settlement;

    let (req, offer) = stage.orders(1).await;
    let opened = must(&stage.requester, stage.open_call(&req, &offer)).await;
    let events = stage.events_of(&opened);
    let [ChainEvent::DealOpened(deal)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(deal.terms, DealTerms::of(&req, &offer, 0, 2));
    assert_eq!((deal.deal, deal.slot.0), (deal.terms.id(), 0));
    assert_eq!(s.pool(stage.pool).await.unwrap().locked, 2 * PRICE);
    let again = refused(&stage.requester, stage.open_call(&req, &offer)).await;
    assert_eq!(again, "OrderFilled");

    let settled = Settled::new(&stage, &deal.terms, deal.slot.0);
    let opening = commit_and_finalize(&stage, &settled.header).await;
    claim_all(&stage, &settled, &opening).await;
    refund_rest(&stage, &settled, &opening).await;
    must(&stage.requester, s.collect_fees(&settled.header, &opening)).await;
    check_sums(&stage).await;
    check_events(&stage).await;
}

async fn commit_and_finalize(stage: &Stage, header: &Header) -> Opening {
    let s = &stage.settlement;
    must(&stage.operator, stage.commit_call(header)).await;
    let error = stage.operator.send(stage.commit_call(header)).await.unwrap_err();
    assert!(error.to_string().ends_with("IndexMismatch(expected = 2, actual = 1)"), "{error}");
    let opening = s.opening(stage.pool, 1).await.unwrap().unwrap();
    assert_eq!(opening.state_root, header.state_root);
    assert_eq!(opening.header_hash, header.struct_hash());
    assert_eq!(s.opening(stage.pool, 2).await.unwrap(), None);
    let finalize = s.finalize(header, &opening);
    assert_eq!(refused(&stage.operator, finalize.clone()).await, "TooEarly");
    s.chain().warp(s.window_s()).await.unwrap();
    let late = Opening { committed_at: opening.committed_at + 1, ..opening };
    assert_eq!(refused(&stage.operator, s.finalize(header, &late)).await, "BatchMismatch");
    must(&stage.operator, finalize).await;
    assert_eq!(s.batch(stage.pool, 1).await.unwrap(), opening.anchor().word());
    opening
}

async fn claim_all(stage: &Stage, settled: &Settled, opening: &Opening) {
    let s = &stage.settlement;
    for (worker, account) in stage.workers.iter().zip(&settled.accounts) {
        let path = settled.tree.path(u64::from(worker.0));
        let claim = s.claim(stage.pool, *worker, account, &path, 1, &opening.anchor());
        must(&stage.operator, claim.clone()).await;
        assert_eq!(refused(&stage.operator, claim).await, "NothingDue");
        let seat = s.seat(stage.pool, *worker).await.unwrap();
        assert_eq!(seat.claimed, account.cum_earned);
        assert_eq!(seat.stake, STAKE - account.cum_slashed);
    }
    let paid = s.token_balance(stage.owner.account()).await.unwrap();
    assert_eq!(paid, U256::from(2 * EARNED));
}

async fn refund_rest(stage: &Stage, settled: &Settled, opening: &Opening) {
    let s = &stage.settlement;
    let slot = s.deal(settled.deal.deal_id).await.unwrap().unwrap().slot;
    let path = settled.tree.path((1 << 19) + u64::from(slot.0));
    let refund = s.refund_unsettled(&settled.terms, Some(&settled.deal), &path, 1, opening);
    assert_eq!(refused(&stage.requester, refund.clone()).await, "NothingDue");
    let now = s.chain().head().await.unwrap().timestamp;
    s.chain().warp(settled.terms.deadline + GRACE_S - now).await.unwrap();
    must(&stage.requester, refund).await;
    assert!(s.deal(settled.deal.deal_id).await.unwrap().unwrap().closed);
    assert_eq!(s.free_of(stage.requester.account()).await.unwrap(), FUNDS - PRICE);
    must(&stage.requester, s.withdraw(FUNDS - PRICE)).await;
}

/// balance = free + stake + bond + locked + owed - unapplied, to the unit.
async fn check_sums(stage: &Stage) {
    let s = &stage.settlement;
    let mut free = 0;
    for whom in [&stage.operator, &stage.requester, &stage.owner] {
        free += s.free_of(whom.account()).await.unwrap();
    }
    let pool = s.pool(stage.pool).await.unwrap();
    assert_eq!((pool.locked, pool.owed, pool.unapplied), (0, 0, 0));
    assert_eq!((free, pool.bond, pool.staked), (FEES, BOND, 3 * STAKE - SLASHED));
    let held = s.token_balance(s.address()).await.unwrap();
    assert_eq!(held, U256::from(free + pool.bond + pool.staked));
}

/// The follower tells the same story, in order.
async fn check_events(stage: &Stage) {
    let told: Vec<&str> = stage.all_events().await.iter().map(|at| name(&at.event)).collect();
    let expected = [
        "deposited",
        "deposited",
        "deposited",
        "pool",
        "bond",
        "worker",
        "stake",
        "worker",
        "stake",
        "worker",
        "stake",
        "deal",
        "committed",
        "finalized",
        "claimed",
        "claimed",
        "slashed",
        "refunded",
        "withdrawn",
        "fees",
    ];
    assert_eq!(told, expected);
}

fn name(event: &ChainEvent) -> &'static str {
    match event {
        ChainEvent::Deposited { .. } => "deposited",
        ChainEvent::Withdrawn { .. } => "withdrawn",
        ChainEvent::WorkerRegistered { .. } => "worker",
        ChainEvent::StakeChanged { .. } => "stake",
        ChainEvent::Slashed { .. } => "slashed",
        ChainEvent::ExitRequested { .. } => "exit",
        ChainEvent::ExitCancelled { .. } => "no exit",
        ChainEvent::PoolRegistered { .. } => "pool",
        ChainEvent::BondAdded { .. } => "bond",
        ChainEvent::BondExitRequested { .. } => "bond exit",
        ChainEvent::BondWithdrawn { .. } => "bond out",
        ChainEvent::DealOpened(_) => "deal",
        ChainEvent::BatchCommitted { .. } => "committed",
        ChainEvent::Finalized { .. } => "finalized",
        ChainEvent::Claimed { .. } => "claimed",
        ChainEvent::PayoutKept { .. } => "kept",
        ChainEvent::FeesCollected { .. } => "fees",
        ChainEvent::RoyaltiesPaid { .. } => "royalties",
        ChainEvent::RestakeSet { .. } => "restake",
        ChainEvent::Forced(_) => "forced",
        ChainEvent::Dropped { .. } => "dropped",
        ChainEvent::Convicted { .. } => "convicted",
        ChainEvent::Abandoned { .. } => "abandoned",
        ChainEvent::Rewarded { .. } => "rewarded",
        ChainEvent::ForcedPaid { .. } => "forced paid",
        ChainEvent::BondPaid { .. } => "bond paid",
        ChainEvent::DealRefunded { .. } => "refunded",
    }
}

/// Somebody without any wei.
pub(crate) fn pauper() -> Address {
    signer(0x99).address()
}
