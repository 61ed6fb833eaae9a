//! The HTTP API's documents: what a scheduler answers and a client reads. Amounts are decimal strings,
//! because JSON readers round beyond 2^53. Changes inside `v1` only add.

use crate::{
    accounts::{DealAccount, WorkerAccount},
    anchor::Opening,
    digest::Digest,
    disagreement::Disagreement,
    ids::{DealSlot, PoolId, WorkerIdx},
    keys::{NodeKey, node_signed},
    messages::{AppOrder, DatasetOrder, Domain, Header, ReqOrder, SponsorOrder},
    orders::SignedOrder,
    terms::DealTerms,
};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

/// A whole amount of token units, as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub u128);

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| {
            serde::de::Error::custom(format!("amount `{text}`: expected whole token units"))
        })
    }
}

/// `GET /v1/pool`: what a requester and a worker must know of a pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolInfo {
    /// `quorate.pool/v1`.
    pub schema: String,
    /// The pool.
    pub pool: PoolId,
    /// Chain and contract.
    pub domain: Domain,
    /// The ERC-20 token all amounts are in.
    pub token: Address,
    /// Who signs for the pool.
    pub signer: Address,
    /// The key workers pin.
    pub node_key: B256,
    /// Where workers connect, `host:port`.
    pub quic: String,
    /// Token units per task.
    pub unit_price: Amount,
    /// The highest trust served.
    pub trust_max: u32,
    /// Percent of the unit price a vote puts at stake.
    pub stake_ratio: u8,
    /// Percent of a reward that is the scheduler's.
    pub scheduler_ratio: u8,
    /// Seconds one replica may take at most.
    pub max_task_time: u64,
    /// The chain's unix seconds: orders' deadlines are judged by it.
    pub unix_s: u64,
    /// The scheduler's version.
    pub version: String,
}

/// `GET /v1/sponsor`: what a pool pays for its workers, so that nobody needs coins to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SponsorInfo {
    /// `quorate.sponsor/v1`.
    pub schema: String,
    /// Whether it pays for anything.
    pub open: bool,
    /// Wei it spends in a day at most.
    pub budget_wei: Amount,
    /// Wei of that which are left today.
    pub left_wei: Amount,
    /// Transactions it carries for one owner in a day.
    pub owner_day: u32,
    /// Newcomers it takes from one network (/24, /48) in a day.
    pub network_day: u32,
    /// Token units it gives a newcomer to stake; zero: none.
    pub advance: Amount,
    /// Percent of the unit price a vote puts at stake: with 0 nobody needs a stake.
    pub stake_ratio: u8,
    /// Where those who want to give their earnings away may send them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub donation: Option<Donation>,
}

/// An address that a pool's operator names for donations, signed by the node key that invitations name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Donation {
    /// Who gets them.
    pub address: Address,
    /// Hex of the scheduler's ed25519 signature of the address under [`Donation::CONTEXT`].
    pub signature: String,
}

impl Donation {
    /// What the signature is for.
    pub const CONTEXT: &'static str = "quorate donation v1";

    /// Signed by the scheduler.
    pub fn signed(address: Address, key: &NodeKey) -> Self {
        let signature = hex::encode(key.sign(Self::CONTEXT, address.as_slice()));
        Self { address, signature }
    }

    /// Whether the scheduler with this node key named the address.
    pub fn is_signed_by(&self, node_key: B256) -> bool {
        let mut signature = [0; 64];
        hex::decode_to_slice(&self.signature, &mut signature).is_ok()
            && node_signed(node_key, Self::CONTEXT, self.address.as_slice(), &signature)
    }
}

/// What a pool helps a worker's owner with by coins, where no permit would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Help {
    /// The first stake: tokens, and gas for putting them at stake.
    Start,
    /// Gas for taking the stake out after the exit's timer.
    Exit,
    /// Gas for passing on what was paid out.
    PassOn,
}

/// `POST /v1/sponsor/help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskHelp {
    /// Whose owner.
    pub worker: WorkerIdx,
    /// What for.
    pub help: Help,
}

/// What became of a permit or of a call for help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// `quorate.carried/v1`.
    pub schema: String,
    /// The transactions, as far as they are mined; none: they are on their way.
    pub txs: Vec<B256>,
    /// Token units given.
    pub tokens: Amount,
}

/// `POST /v1/orders`: a signed order, and the orders of those who sell to it or pay for it. Answer:
/// [`OrderView`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// The order.
    pub req: ReqOrder,
    /// Hex, as in [`SignedOrder::signature`].
    pub signature: String,
    /// Where `req.app_owner` names who sells the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_order: Option<SignedOrder<AppOrder>>,
    /// Where `req.dataset_owner` names who sells the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_order: Option<SignedOrder<DatasetOrder>>,
    /// Where somebody else pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor_order: Option<SignedOrder<SponsorOrder>>,
}

impl PlaceOrder {
    /// An order that comes alone.
    pub fn alone(req: ReqOrder, signature: String) -> Self {
        Self { req, signature, app_order: None, dataset_order: None, sponsor_order: None }
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderPhase {
    /// Its deal is being opened on chain.
    Opening,
    /// Tasks are worked on.
    Running,
    /// Every task is settled.
    Done,
    /// It was refused; see `reason`.
    Refused,
}

/// `GET /v1/orders/{order}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OrderView {
    /// `quorate.order/v1`.
    pub schema: String,
    /// Struct hash of the order.
    pub order: B256,
    /// Where it stands.
    pub phase: OrderPhase,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why its remaining tasks end without results, if they do: what was ordered need not agree with
    /// itself, and does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disagreement: Option<Disagreement>,
    /// Its deal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deal: Option<DealSlot>,
    /// Who ordered, and pays unless `payer` says otherwise.
    pub requester: Address,
    /// Who pays; older schedulers do not say, and it is the requester.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Address>,
    /// sha256 of the module.
    pub app: Digest,
    /// sha256 of the bag.
    pub bag: Digest,
    /// Tasks ordered.
    pub tasks: u32,
    /// Tasks over.
    pub settled: u32,
    /// Of these, with consensus.
    pub accepted: u32,
    /// Replicas assigned so far.
    pub replicas: u64,
    /// Votes for something else than the accepted result, or never revealed.
    pub dissents: u64,
    /// Trust asked for.
    pub trust: u32,
    /// Token units per task.
    pub unit_price: Amount,
    /// Token units per task to the application's owner (`req.app_owner`), on top.
    #[serde(default)]
    pub app_price: Amount,
    /// Token units per task to the dataset's owner (`req.dataset_owner`), on top.
    #[serde(default)]
    pub dataset_price: Amount,
    /// Token units spent.
    pub spent: Amount,
    /// Token units owed back.
    pub refunded: Amount,
    /// The deals that were made of it in this pool, by first task: more than one where several matched a
    /// part. `deal` is the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deals: Vec<DealPart>,
    /// Unix seconds: the work ends here.
    pub deadline: u64,
    /// Unix milliseconds.
    pub placed_unix_ms: u64,
    /// The order itself.
    pub req: ReqOrder,
}

/// `GET /v1/orders`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OrderList {
    /// `quorate.orders/v1`.
    pub schema: String,
    /// Every order that was placed here.
    pub orders: Vec<OrderView>,
}

/// One deal of an order: tasks `first` to `first + tasks` of its bag. An order's task is named by its place in
/// the bag everywhere but in receipts and on chain, where it is named by its place in the deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealPart {
    /// Which.
    pub deal: DealSlot,
    /// Tasks of the order that earlier deals took.
    pub first: u32,
    /// Tasks of this one.
    pub tasks: u32,
    /// Tasks over.
    pub settled: u32,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskPhase {
    /// No replica yet.
    Queued,
    /// Worked on and voted on.
    Open,
    /// One result is credible.
    Consensus,
    /// The votes did not suffice.
    NoQuorum,
    /// The deal's deadline came first.
    Expired,
}

/// One row of `GET /v1/orders/{order}/tasks?offset=0&limit=1000` (`{"schema","tasks":[…],"next":offset|null}`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskView {
    /// Its place in the bag.
    pub idx: u32,
    /// Where it stands.
    pub phase: TaskPhase,
    /// sha256 of the accepted result's manifest, itself a blob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Digest>,
    /// Replicas it took.
    pub replicas: u8,
    /// The batch it is in; its receipt is there once the batch is sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<u64>,
}

/// A page of tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskPage {
    /// `quorate.tasks/v1`.
    pub schema: String,
    /// In order of index.
    pub tasks: Vec<TaskView>,
    /// Where the next page starts.
    pub next: Option<u32>,
}

/// One `event: task` of `GET /v1/orders/{order}/events` (server-sent events). The stream begins with one
/// `event: order` holding an [`OrderView`], repeats it whenever the phase changes, and ends after `done`
/// or `refused`. `event: lagged` says that events were dropped: read the order again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Its place in the bag.
    pub idx: u32,
    /// How it ended.
    pub phase: TaskPhase,
    /// The accepted result.
    pub result: Option<Digest>,
    /// Replicas it took.
    pub replicas: u8,
    /// Dissenting votes.
    pub dissents: u8,
    /// Tasks of the order settled so far.
    pub settled: u32,
    /// Milliseconds since the order's deal was opened.
    pub age_ms: u64,
}

/// One row of `GET /v1/batches` (`{"schema":"quorate.batches/v1","batches":[…]}`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchView {
    /// Its index.
    pub index: u64,
    /// Struct hash of the header: what a receipt is checked against.
    pub hash: B256,
    /// `closed`, `committed` or `final`.
    pub state: String,
    /// The header.
    pub header: Header,
}

/// A list of batches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchList {
    /// `quorate.batches/v1`.
    pub schema: String,
    /// Oldest first.
    pub batches: Vec<BatchView>,
}

/// `GET /v1/workers/{idx}/proof`: a worker's account in the newest finalized batch, for `claim`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerProof {
    /// `quorate.proof/v1`.
    pub schema: String,
    /// Who.
    pub worker: WorkerIdx,
    /// The batch.
    pub index: u64,
    /// The batch as the contract has it.
    pub opening: Opening,
    /// The account there; `None` if the worker has had no task that is in a final batch.
    pub account: Option<WorkerAccount>,
    /// To the header's state root, from the account's place if there is none: nobody can be told that
    /// he has earned nothing without a proof of it.
    pub path: Vec<B256>,
}

/// `GET /v1/deals/{slot}/proof`: a deal's account in the newest finalized batch, for `refundUnsettled`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DealProof {
    /// `quorate.proof/v1`.
    pub schema: String,
    /// Which.
    pub deal: DealSlot,
    /// The batch.
    pub index: u64,
    /// The batch as the contract has it.
    pub opening: Opening,
    /// What the deal is.
    pub terms: DealTerms,
    /// The account there.
    pub account: DealAccount,
    /// To the header's state root.
    pub path: Vec<B256>,
}

/// What every refusal looks like: `{"error":{"code","message","hint","retryable"}}`. Codes are those of
/// [`crate::exit::Failure`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorInfo,
}

/// See [`ErrorBody`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// Stable: `not_found`, `denied`, `funds`, …
    pub code: String,
    /// One sentence naming field, value and expectation.
    pub message: String,
    /// What to do next.
    #[serde(default)]
    pub hint: Option<String>,
    /// Whether the same call may succeed later.
    #[serde(default)]
    pub retryable: bool,
}

/// `quorate.workers/v1`: everybody the contract knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerList {
    /// Names the format.
    pub schema: String,
    /// By index.
    pub workers: Vec<WorkerRow>,
}

/// One worker, as the pool sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRow {
    /// Its index.
    pub worker: WorkerIdx,
    /// Who owns it.
    pub owner: Address,
    /// Its node key: inputs can be sealed to it.
    #[serde(default)]
    pub node_key: B256,
    /// Whether it has a session.
    pub connected: bool,
    /// Replicas it takes at once.
    pub slots: u16,
    /// Replicas it runs.
    pub busy: u16,
    /// Its score.
    pub score: u32,
    /// The weight of its vote.
    pub weight: u32,
    /// Token units earned in all.
    pub earned: Amount,
    /// Token units lost in all.
    pub slashed: Amount,
    /// Token units at stake, less what was lost.
    pub stake: Amount,
    /// Token units held by open replicas.
    pub held: Amount,
}
