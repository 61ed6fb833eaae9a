//! Orders of those who sell and pay, at the door: every way to be wrong, then what only the chain knows
//! (contract accounts, presigned and used orders, groups, somebody else's money), then deals of them.

use super::pool::{MODULE, PURSE, Pool, on_system};
use quorate_chain::{
    Signer, U256,
    outbox::Call,
    settlement::{OPEN_DEAL_GAS_MAX, Orders as Matched, Signed},
};
use quorate_common::{
    Address, B256,
    api::{OrderView, PlaceOrder},
    bag::{Bag, InputFile, Limits, SCHEMA, Task},
    messages::{AppOrder, DatasetOrder, Message, ReqOrder, SponsorOrder},
    orders::SignedOrder,
    wire::{Open, ToWorker},
};
use quorate_scheduler::dev;
use serde_json::Value;
use std::time::Duration;

const DATASET: &[u8] = b"a dataset";
const APP_PRICE: u128 = 7;
const DATASET_PRICE: u128 = 5;
const TASKS: u32 = 3;

/// Everything that is given at once, before it is signed.
#[derive(Clone)]
struct Orders {
    req: ReqOrder,
    app: Option<AppOrder>,
    dataset: Option<DatasetOrder>,
    sponsor: Option<SponsorOrder>,
}

fn seller() -> Signer {
    dev::account(11)
}

fn owner() -> Signer {
    dev::account(12)
}

fn sponsor() -> Signer {
    dev::account(13)
}

impl Orders {
    /// Orders that fit each other.
    async fn good(pool: &Pool, salt: u8) -> Self {
        let plain = pool.order(TASKS).await;
        let (app, dataset) = (pool.put(MODULE).await, pool.put(DATASET).await);
        let bag = Bag {
            schema: SCHEMA.into(),
            kind: Default::default(),
            dataset: None,
            app,
            with: Vec::new(),
            command: Vec::new(),
            readers: Vec::new(),
            limits: Limits::default(),
            files: vec![InputFile { path: "dataset".into(), digest: dataset, sealed: false }],
            tasks: vec![Task::default(); TASKS as usize],
        };
        let expiry = plain.expiry;
        let req = ReqOrder {
            app_owner: seller().address(),
            app_max_price: APP_PRICE,
            dataset: dataset.word(),
            dataset_owner: owner().address(),
            dataset_max_price: DATASET_PRICE,
            params: pool.put(&bag.to_bytes()).await.word(),
            salt: B256::repeat_byte(salt),
            ..plain
        };
        let app = AppOrder {
            owner: seller().address(),
            app: app.word(),
            price: APP_PRICE,
            tasks: 100,
            expiry,
            salt: B256::repeat_byte(salt),
            ..AppOrder::default()
        };
        let dataset = DatasetOrder {
            owner: owner().address(),
            dataset: dataset.word(),
            price: DATASET_PRICE,
            tasks: 100,
            expiry,
            ..DatasetOrder::default()
        };
        let sponsor = SponsorOrder {
            sponsor: sponsor().address(),
            max_cost: PURSE,
            expiry,
            ..SponsorOrder::default()
        };
        Self { req, app: Some(app), dataset: Some(dataset), sponsor: Some(sponsor) }
    }

    /// Signed by those who should. A sponsor's order is for this request if it says nothing else.
    fn signed(&self, pool: &Pool) -> PlaceOrder {
        let separator = pool.running.shared.separator;
        let sign = |by: &Signer, hash| hex::encode(by.sign(separator.digest(hash)).to_bytes());
        let req = self.req.clone();
        let signature = sign(&pool.requester, req.struct_hash());
        let hash = req.struct_hash();
        let mut place = PlaceOrder::alone(req, signature);
        place.app_order = self.app.clone().map(|order| {
            let signature = sign(&seller(), order.struct_hash());
            SignedOrder { order, signature }
        });
        place.dataset_order = self.dataset.clone().map(|order| {
            let signature = sign(&owner(), order.struct_hash());
            SignedOrder { order, signature }
        });
        place.sponsor_order = self.sponsor.clone().map(|mut order| {
            if order.req_hash.is_zero() {
                order.req_hash = hash;
            }
            let signature = sign(&sponsor(), order.struct_hash());
            SignedOrder { order, signature }
        });
        place
    }

    fn app(&mut self) -> &mut AppOrder {
        self.app.as_mut().unwrap()
    }

    fn dataset(&mut self) -> &mut DatasetOrder {
        self.dataset.as_mut().unwrap()
    }

    fn sponsor(&mut self) -> &mut SponsorOrder {
        self.sponsor.as_mut().unwrap()
    }
}

/// What is changed, the status it gets, and what the answer must name.
type Case = (fn(&mut Orders), u16, &'static [&'static str]);

/// Refused before the chain is asked.
const LOCAL: [Case; 24] = [
    (|o| o.app = None, 400, &["order field `appOwner` is 0x", "expected zero (it is free)"]),
    (|o| o.req.app_owner = Address::ZERO, 400, &["order field `appOwner` is 0x0", "app order"]),
    (|o| o.app().owner = Address::repeat_byte(9), 400, &["app order field `owner` is 0x09"]),
    (|o| o.app().app = B256::repeat_byte(9), 400, &["app order field `app` is 0x09"]),
    (|o| o.app().price += 1, 402, &["app order field `price` is 8", "`appMaxPrice` 7"]),
    (|o| o.app().tasks = 2, 400, &["app order field `tasks` is 2; expected at least", "3"]),
    (|o| o.app().tag = B256::with_last_byte(4), 400, &["app order field `tag`", "this pool's"]),
    (|o| o.app().expiry = 1, 400, &["app order field `expiry` is 1; expected later than now"]),
    (
        |o| o.app().dataset_restrict = B256::repeat_byte(9),
        403,
        &["app order field `datasetRestrict` is 0x09", "expected zero (any) or"],
    ),
    (
        |o| o.app().pool_restrict = B256::with_last_byte(99),
        403,
        &["app order field `poolRestrict`", "63; expected zero (any) or"],
    ),
    (
        |o| o.app().requester_restrict = B256::repeat_byte(9),
        403,
        &["app order field `requesterRestrict` is 0x09"],
    ),
    (|o| o.dataset = None, 400, &["order field `datasetOwner` is 0x"]),
    (|o| o.req.dataset_owner = Address::ZERO, 400, &["order field `datasetOwner` is 0x0"]),
    (|o| o.dataset().owner = Address::repeat_byte(9), 400, &["dataset order field `owner`"]),
    (|o| o.dataset().dataset = B256::repeat_byte(9), 400, &["dataset order field `dataset`"]),
    (|o| o.dataset().price += 1, 402, &["dataset order field `price` is 6", "`datasetMaxPrice` 5"]),
    (|o| o.dataset().app_restrict = B256::repeat_byte(9), 403, &["dataset order", "`appRestrict`"]),
    (
        |o| {
            o.dataset().dataset = B256::repeat_byte(8);
            o.req.dataset = B256::repeat_byte(8);
        },
        400,
        &["order field `dataset` is 0808", "a file that all tasks of the bag share"],
    ),
    (
        |o| o.req.beneficiary = Address::repeat_byte(8),
        400,
        &["order field `beneficiary` is 0x08", "results are not encrypted"],
    ),
    (|o| o.sponsor().req_hash = B256::repeat_byte(9), 400, &["sponsor order field `reqHash`"]),
    (|o| o.sponsor().sponsor = Address::ZERO, 400, &["sponsor order field `sponsor` is 0x0"]),
    (|o| o.sponsor().expiry = 1, 400, &["sponsor order field `expiry` is 1"]),
    (|o| o.sponsor().max_cost = 36, 402, &["sponsor order field `maxCost` is 36", "at least"]),
    (|o| o.req.dataset_owner = Address::repeat_byte(3), 400, &["dataset order field `owner`"]),
];

/// Refused by the contract, in its words.
const ON_CHAIN: [Case; 3] = [
    (
        |o| o.app().requester_restrict = Address::repeat_byte(9).into_word(),
        403,
        &["Restricted(order = \"app\", field = \"requester\"", "0909"],
    ),
    (
        |o| o.dataset().pool_restrict = Address::repeat_byte(9).into_word(),
        403,
        &["Restricted(order = \"dataset\", field = \"pool\""],
    ),
    (|o| o.req.callback = Address::ZERO, 402, &["free balance of 0x", "is 0 token units"]),
];

async fn refused(pool: &Pool, what: &str, place: &PlaceOrder, status: u16, words: &[&str]) {
    let (found, body) = pool.place(place).await;
    let message =
        format!("{} {}", body["error"]["message"], body["error"]["hint"]).replace('\\', "");
    assert_eq!(found, status, "{what}: {body}");
    for word in words {
        assert!(message.contains(word), "{what}: `{word}` is not in {message}");
    }
}

#[test]
fn orders_of_sellers_and_sponsors_are_refused_by_field_value_and_expectation() {
    on_system(async {
        let data = tempfile::tempdir().unwrap();
        let pool = Pool::start(data.path()).await;
        let good = Orders::good(&pool, 1).await;
        for (at, (change, status, words)) in LOCAL.iter().chain(&ON_CHAIN).enumerate() {
            let mut orders = good.clone();
            change(&mut orders);
            let what = format!("case {at}, {}", words[0]);
            refused(&pool, &what, &orders.signed(&pool), *status, words).await;
        }
        signatures_are_refused(&pool, &good).await;
        let (_, list) = list(&pool).await;
        assert_eq!(list["orders"].as_array().unwrap().len(), 0, "nothing was taken: {list}");
        pool.running.stop().await;
    });
}

async fn signatures_are_refused(pool: &Pool, good: &Orders) {
    let change = |change: fn(&mut PlaceOrder)| {
        let mut place = good.signed(pool);
        change(&mut place);
        place
    };
    let long = change(|p| p.app_order.as_mut().unwrap().signature = "00".repeat(4097));
    let words = ["app order field `signature` has 4097 bytes; expected at most 4096"];
    refused(pool, "too long", &long, 400, &words).await;
    let no_hex = change(|p| p.sponsor_order.as_mut().unwrap().signature = "xyz".into());
    refused(pool, "no hex", &no_hex, 400, &["sponsor order field `signature` is xyz"]).await;
    let other = change(|p| p.dataset_order.as_mut().unwrap().signature = p.signature.clone());
    let words = ["BadSignature(expected = ", "sign for chain ", "order signature: "];
    refused(pool, "another's", &other, 403, &words).await;
    let none = change(|p| p.app_order.as_mut().unwrap().signature.clear());
    refused(pool, "not presigned", &none, 403, &words).await;
    // Who opens deals need not sign to sponsor them: nobody may say that it does.
    let mut ours = good.signed(pool);
    let sponsor = ours.sponsor_order.as_mut().unwrap();
    sponsor.order.sponsor = dev::gas().address();
    sponsor.signature.clear();
    refused(pool, "the scheduler's own account", &ours, 403, &words[..1]).await;
}

async fn list(pool: &Pool) -> (u16, Value) {
    let answer = reqwest::get(pool.url("/v1/orders")).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Places an order that is taken, and waits until all of it is matched.
pub(crate) async fn matched(pool: &Pool, place: &PlaceOrder) -> OrderView {
    let (status, body) = pool.place(place).await;
    assert_eq!(status, 202, "{body}");
    let url = pool.url(&format!("/v1/orders/{}", place.req.struct_hash()));
    let wait = async {
        loop {
            let order: OrderView = reqwest::get(&url).await.unwrap().json().await.unwrap();
            assert_eq!(order.reason, None);
            if order.deals.iter().map(|deal| deal.tasks).sum::<u32>() == order.tasks {
                return order;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap()
}

#[test]
fn a_sponsor_pays_for_an_app_and_a_dataset_that_are_sold() {
    on_system(async {
        let data = tempfile::tempdir().unwrap();
        let pool = Pool::start(data.path()).await;
        pool.chain.fund(&sponsor(), PURSE).await.unwrap();
        let good = Orders::good(&pool, 1).await;
        let before = pool.free(pool.requester.address()).await;
        let order = matched(&pool, &good.signed(&pool)).await;
        assert_eq!(order.payer, Some(sponsor().address()));
        assert_eq!((order.app_price.0, order.dataset_price.0), (APP_PRICE, DATASET_PRICE));
        let price = order.unit_price.0 + APP_PRICE + DATASET_PRICE;
        assert_eq!(pool.free(sponsor().address()).await, PURSE - price * u128::from(TASKS));
        assert_eq!(pool.free(pool.requester.address()).await, before, "who ordered paid nothing");
        // The same again is the same order; its sellers' volume is used once.
        assert_eq!(matched(&pool, &good.signed(&pool)).await.deal, order.deal);
        pool.running.stop().await;
    });
}

#[test]
fn what_only_the_chain_knows_of_orders() {
    on_system(async {
        let data = tempfile::tempdir().unwrap();
        let pool = Pool::start(data.path()).await;
        for signer in [sponsor(), seller()] {
            pool.chain.fund(&signer, PURSE).await.unwrap();
        }
        let settlement = &pool.chain.settlement;
        // Presigned: no signature is needed.
        let presigned = Orders::good(&pool, 1).await;
        let mut place = presigned.signed(&pool);
        place.app_order.as_mut().unwrap().signature.clear();
        refused(&pool, "too early", &place, 403, &["BadSignature"]).await;
        let hash = presigned.app.as_ref().unwrap().struct_hash();
        pool.send(seller(), settlement.presign_order(hash)).await;
        assert_eq!(matched(&pool, &place).await.deals.len(), 1);
        // Cancelled: no tasks are left.
        let cancelled = Orders::good(&pool, 2).await;
        let hash = cancelled.app.as_ref().unwrap().struct_hash();
        pool.send(seller(), settlement.cancel_order(hash)).await;
        let words = ["OrderFilled(", "left = 0, needed = 3"];
        refused(&pool, "cancelled", &cancelled.signed(&pool), 409, &words).await;
        // A group that has everybody as a member.
        let group = pool.deploy("69600160005260206000f3600052600a6016f3").await;
        let mut grouped = Orders::good(&pool, 3).await;
        grouped.app().requester_restrict = group.into_word();
        matched(&pool, &grouped.signed(&pool)).await;
        // A contract account that signs by any bytes: who orders, and who sells.
        let wallet = pool.deploy("6f631626ba7e60e01b60005260206000f360005260106010f3").await;
        let mut contract = Orders::good(&pool, 4).await;
        contract.req.requester = wallet;
        (contract.req.dataset_owner, contract.dataset().owner) = (wallet, wallet);
        let mut place = contract.signed(&pool);
        place.signature = "0xc0de".into();
        place.dataset_order.as_mut().unwrap().signature = "ab".repeat(1_950);
        let order = matched(&pool, &place).await;
        assert_eq!((order.requester, order.payer), (wallet, Some(sponsor().address())));
        pool.running.stop().await;
    });
}

/// A contract account runs code that anybody wrote, on the scheduler's node and for its gas money.
#[test]
fn an_account_that_never_ends_costs_no_more_than_an_order_may() {
    on_system(async {
        let data = tempfile::tempdir().unwrap();
        let pool = Pool::start(data.path()).await;
        pool.chain.fund(&sponsor(), PURSE).await.unwrap();
        let chain = pool.chain.settlement.chain().clone();
        let purse = async || chain.balance(dev::gas().address()).await.unwrap();
        // JUMPDEST PUSH1 0 JUMP: at the door it takes what it is given, and nothing was sent.
        let endless = pool.deploy("635b6000566000526004601cf3").await;
        let mut orders = Orders::good(&pool, 1).await;
        orders.req.requester = endless;
        let before = purse().await;
        refused(&pool, "endless", &orders.signed(&pool), 403, &["BadSignature"]).await;
        assert_eq!(purse().await, before);
        // This one signs whatever it is asked, as long as nobody pays for its gas.
        let runtime = "3a601457631626ba7e60e01b60005260206000f35b601456";
        let sly = pool.deploy(&format!("77{runtime}60005260186008f3")).await;
        let mut orders = Orders::good(&pool, 2).await;
        orders.req.requester = sly;
        let place = orders.signed(&pool);
        let (status, body) = pool.place(&place).await;
        assert_eq!(status, 202, "{body}");
        let reason = pool.refusal(&place).await;
        assert!(reason.contains("the contract refused"), "{reason}");
        let price = U256::from(pool.chain.settlement.chain().head().await.unwrap().base_fee);
        let most = U256::from(OPEN_DEAL_GAS_MAX) * price * U256::from(2);
        let spent = before - purse().await;
        assert!(spent > U256::ZERO && spent <= most, "{spent} wei, {most} at most");
        pool.running.stop().await;
    });
}

#[test]
fn the_rest_of_an_order_that_somebody_matched_in_part_is_a_deal_of_its_own() {
    on_system(async {
        let data = tempfile::tempdir().unwrap();
        let pool = Pool::start(data.path()).await;
        let place = pool.sign(pool.order(TASKS).await);
        part(&pool, &place, 1).await;
        let order = matched(&pool, &place).await;
        let parts: Vec<(u32, u32)> = order.deals.iter().map(|d| (d.first, d.tasks)).collect();
        assert_eq!(parts, [(0, 1), (1, 2)]);
        let tasks = reqwest::get(pool.url(&format!("/v1/orders/{}/tasks?offset=1", order.order)));
        let tasks: Value = tasks.await.unwrap().json().await.unwrap();
        let found: Vec<_> =
            tasks["tasks"].as_array().unwrap().iter().map(|task| task["idx"].as_u64()).collect();
        assert_eq!((found, tasks["next"].is_null()), (vec![Some(1), Some(2)], true), "{tasks}");
        assert_eq!(firsts(&pool).await, [0, 1], "workers are told where in the bag a deal begins");
        pool.running.stop().await;
    });
}

/// Somebody else matches so many tasks of an order.
pub(crate) async fn part(pool: &Pool, place: &PlaceOrder, tasks: u32) {
    let signature = hex::decode(place.signature.trim_start_matches("0x")).unwrap();
    let offer = &pool.running.shared.offer;
    let offer_signature = offer.signature.to_bytes();
    let orders = Matched {
        req: Signed { order: &place.req, signature: &signature },
        offer: Signed { order: &offer.order, signature: &offer_signature },
        app: None,
        dataset: None,
        sponsor: None,
    };
    let stranger = dev::account(14);
    pool.chain.fund(&stranger, 1).await.unwrap();
    pool.send(stranger, pool.chain.settlement.open_deal(&orders, tasks)).await;
}

/// Where the two deals of an order begin, as a worker with room for all their tasks is told.
async fn firsts(pool: &Pool) -> Vec<u32> {
    let worker = pool.worker(1).await;
    let owner = dev::account(101);
    pool.chain.fund(&owner, PURSE).await.unwrap();
    pool.chain.stake(&owner, pool.running.shared.pool, worker.index, PURSE).await.unwrap();
    let mut line = pool.connect(&worker).await;
    let mut hello = pool.hello(&worker);
    hello.slots = 8;
    line.say(&Open::Control(hello)).await;
    let mut firsts = Vec::new();
    while firsts.len() < 2 {
        if let ToWorker::Deal(deal) = line.hear().await {
            firsts.push(deal.first);
        }
    }
    firsts.sort_unstable();
    firsts
}

/// More of a pool that only these tests need.
impl Pool {
    async fn free(&self, account: Address) -> u128 {
        self.chain.settlement.free_of(account).await.unwrap()
    }

    pub(crate) async fn send(&self, by: Signer, call: Call) {
        self.chain.outbox(by).send(call).await.unwrap();
    }

    /// Waits until an order that was taken is refused; why.
    async fn refusal(&self, place: &PlaceOrder) -> String {
        let url = self.url(&format!("/v1/orders/{}", place.req.struct_hash()));
        let wait = async {
            loop {
                let order: OrderView = reqwest::get(&url).await.unwrap().json().await.unwrap();
                if let Some(reason) = order.reason {
                    return reason;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap()
    }

    /// Creates a contract from its creation code.
    async fn deploy(&self, code: &str) -> Address {
        let data = hex::decode(code).unwrap().into();
        let call =
            Call { what: "a contract".into(), to: None, value: U256::ZERO, data, gas_max: None };
        let receipt = self.chain.outbox(dev::bank()).send(call).await.unwrap();
        receipt.contract.unwrap()
    }
}
