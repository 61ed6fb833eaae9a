//! Random deals, accounts and tasks: what honest batches are made of. Weighted towards where rules turn:
//! prices of nothing, one and far beyond any supply; every ratio's ends; scores where a vote's weight is
//! just what a trust asks for; scores so high that a few of them saturate a group.

use super::{
    arena::{Arena, CREW, NOW, Operator, TWINS},
    dice::Dice,
};
use quorate_chain::settlement::{Orders, Signed};
use quorate_common::{
    Address, B256, U256,
    accounts::WorkerAccount,
    ids::{DealId, DealSlot, TASKS_MAX},
    keccak256,
    messages::{AppOrder, DatasetOrder, Message as _, PoolOrder, ReqOrder},
    terms::DealTerms,
};
use quorate_grid::{
    deal::Opened,
    ledger::{DealBook, place},
    poco::Terms,
};
use quorate_scheduler::dev;
use std::collections::{BTreeMap, BTreeSet};

/// What a batch is mostly about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything.
    Plain,
    /// Weights that are just what a trust asks for, or just not.
    Ties,
    /// Groups that saturate.
    Full,
    /// One deal at a price that no bond covers: its header says nothing of its totals.
    Wide,
}

/// A deal of the pool.
#[derive(Clone, Debug)]
pub(crate) struct Deal {
    pub(crate) opened: Opened,
    pub(crate) id: DealId,
    /// Its end has come, so its tasks may be given up.
    pub(crate) over: bool,
}

/// The accounts a batch starts from.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) workers: BTreeMap<u32, WorkerAccount>,
    pub(crate) deals: BTreeMap<u32, DealBook>,
    pub(crate) cum_fees: u128,
}

/// A task to be settled.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Which of the deals.
    pub(crate) deal: usize,
    pub(crate) task_idx: u32,
    pub(crate) votes: Vec<Said>,
    pub(crate) rounds: u16,
}

/// A vote to be signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) worker: u32,
    pub(crate) attempt: u16,
    /// `None`: never revealed.
    pub(crate) digest: Option<B256>,
    pub(crate) salt: B256,
}

/// Opens the deals of a batch.
pub(crate) fn deals(arena: &Arena, pool: &Operator, kind: Kind, dice: &mut Dice) -> Vec<Deal> {
    let requester = arena.requester(pool.id);
    let open = |n: u8, dice: &mut Dice| {
        let wide = kind == Kind::Wide && n == 0;
        let over = dice.chance(50);
        let price = |dice: &mut Dice| if wide { far(dice) } else { price(dice) };
        let (app, dataset) = (dice.chance(40), dice.chance(40));
        // As many far prices as 128 bits have room for.
        let bits = dice.below(16);
        let tasks = if wide { 7 } else { 300 + dice.small(1 << bits) };
        let tasks = tasks.min(TASKS_MAX);
        let salt = B256::repeat_byte(n);
        let trust = trust(kind, dice);
        let deadline = NOW + if over { 600 } else { 3_600 };
        let order = |n, given: bool, price: u128| {
            let owner = if given { dev::account(n).address() } else { Address::ZERO };
            (owner, if given { price } else { 0 })
        };
        let (app_owner, app_price) = order(5, app, price(dice));
        let (dataset_owner, dataset_price) = order(6, dataset, price(dice));
        let dataset_hash = if dataset { keccak256("dataset") } else { B256::ZERO };
        let req = ReqOrder {
            requester: requester.address(),
            app: keccak256("app"),
            app_owner,
            app_max_price: app_price,
            dataset: dataset_hash,
            dataset_owner,
            dataset_max_price: dataset_price,
            params: keccak256("bag"),
            max_unit_price: u128::MAX,
            tasks,
            trust,
            replicas: if dice.chance(30) { 15 } else { 1 + dice.small(15) as u8 },
            max_task_time: 60,
            expiry: deadline,
            deadline,
            salt,
            ..ReqOrder::default()
        };
        let offer = PoolOrder {
            pool: pool.id,
            unit_price: price(dice),
            tasks,
            trust: u32::MAX,
            stake_ratio: percent(dice),
            scheduler_ratio: percent(dice),
            max_task_time: 60,
            expiry: deadline,
            salt,
            ..PoolOrder::default()
        };
        let app = AppOrder {
            owner: app_owner,
            app: req.app,
            price: app_price,
            tasks,
            expiry: deadline,
            salt,
            ..AppOrder::default()
        };
        let data = DatasetOrder {
            owner: dataset_owner,
            dataset: dataset_hash,
            price: dataset_price,
            tasks,
            expiry: deadline,
            salt,
            ..DatasetOrder::default()
        };
        let digest = |hash: B256| arena.separator.digest(hash);
        let req_signature = requester.sign(digest(req.struct_hash())).to_bytes();
        let offer_signature = pool.signer.sign(digest(offer.struct_hash())).to_bytes();
        let app_signature = dev::account(5).sign(digest(app.struct_hash())).to_bytes();
        let data_signature = dev::account(6).sign(digest(data.struct_hash())).to_bytes();
        let orders = Orders {
            req: Signed { order: &req, signature: &req_signature },
            offer: Signed { order: &offer, signature: &offer_signature },
            app: (!app_owner.is_zero())
                .then_some(Signed { order: &app, signature: &app_signature }),
            dataset: (!dataset_owner.is_zero())
                .then_some(Signed { order: &data, signature: &data_signature }),
            sponsor: None,
        };
        arena.open_deal(&orders, tasks);
        let terms = DealTerms {
            app_owner,
            app_price,
            dataset_owner,
            dataset_price,
            ..DealTerms::of(&req, &offer, 0, tasks)
        };
        let opened = Opened { slot: DealSlot(n.into()), terms };
        Deal { id: opened.id(), opened, over }
    };
    (0..5).map(|n| open(n, dice)).collect()
}

fn price(dice: &mut Dice) -> u128 {
    match dice.below(8) {
        0 => 0,
        1 => 1,
        2 => dice.pick(&[2, 3, 99, 100, 101, 199, 1_000_003]),
        3 => dice.wide(20),
        4 => (1 << 82) - 1,
        _ => dice.wide(82),
    }
}

/// Beyond what can be bonded, up to all that a price can be.
fn far(dice: &mut Dice) -> u128 {
    let max = Terms::UNIT_PRICE_MAX;
    if dice.chance(50) { max - dice.wide(60) } else { max >> 1 | dice.wide(119) }
}

fn percent(dice: &mut Dice) -> u8 {
    let any = u8::try_from(dice.below(101)).unwrap();
    dice.pick(&[0, 1, 33, 99, 100, any, any, any])
}

fn trust(kind: Kind, dice: &mut Dice) -> u32 {
    let any = 1 + dice.small(10_000);
    match kind {
        Kind::Plain | Kind::Wide => {
            let end = dice.pick(&[0, 1, 2, 10_000, u32::MAX]);
            dice.pick(&[end, 2, 3, 5, 100, any, any])
        }
        // A weight of one less than the trust is from four on.
        Kind::Ties => {
            let most = dice.pick(&[12, 3_000]);
            4 + dice.small(most)
        }
        Kind::Full => dice.pick(&[1, 2, 3, any, u32::MAX, u32::MAX - 1]),
    }
}

impl Start {
    pub(crate) fn random(arena: &Arena, deals: &[Deal], kind: Kind, dice: &mut Dice) -> Self {
        let mut workers = BTreeMap::new();
        for (worker, identity) in (1..).zip(&arena.crew) {
            if dice.chance(20) {
                continue;
            }
            let account = WorkerAccount {
                owner: identity.owner,
                vote_key: identity.vote_key,
                cum_earned: dice.wide(100),
                cum_slashed: dice.wide(100),
                score: score(deals, kind, dice),
                last_task_seq: 1 << 16 | dice.below(1 << 16),
            };
            workers.insert(worker, account);
        }
        let mut books = BTreeMap::new();
        for deal in deals {
            if dice.chance(50) {
                books.insert(deal.opened.slot.0, book(deal, dice));
            }
        }
        Self { workers, deals: books, cum_fees: dice.wide(100) }
    }
}

fn score(deals: &[Deal], kind: Kind, dice: &mut Dice) -> u32 {
    let trust = deals[dice.place(deals.len())].opened.terms.trust;
    let near = |weight: u32, dice: &mut Dice| {
        // max(floor(score / 3), 3) - 1 is this weight for three scores in a row.
        weight.saturating_add(1).saturating_mul(3).saturating_add(dice.small(5)).saturating_sub(1)
    };
    match (kind, dice.below(4)) {
        (Kind::Ties, 0 | 1) => near(trust - 1, dice),
        // Against one dissenting newcomer.
        (Kind::Ties, 2) => near(3 * (trust - 1), dice),
        (Kind::Full, 0..3) => u32::MAX - dice.wide32() / (1 << dice.below(30)),
        (_, 0) => dice.small(20),
        (_, 1) => near(trust.saturating_sub(1), dice),
        _ => dice.wide32(),
    }
}

/// A deal some tasks of which were settled before. One task of each word at most: most must be left.
fn book(deal: &Deal, dice: &mut Dice) -> DealBook {
    let mut book = DealBook::fresh(deal.id);
    for _ in 0..dice.below(4) {
        let (at, bit) = place(dice.small(deal.opened.terms.tasks));
        book.words.entry(at).or_insert(U256::ZERO).set_bit(bit, true);
    }
    let count: usize = book.words.values().map(U256::count_ones).sum();
    book.account.settled_count = u32::try_from(count).unwrap();
    book.account.settled_root = book.bitmap().root();
    (book.account.spent, book.account.refunded) = (dice.wide(100), dice.wide(100));
    book
}

/// The tasks of a batch.
pub(crate) fn plans(deals: &[Deal], start: &Start, count: usize, dice: &mut Dice) -> Vec<Plan> {
    let mut taken = BTreeSet::new();
    let mut plans = Vec::with_capacity(count);
    while plans.len() < count {
        let deal = dice.place(deals.len());
        let task_idx = dice.small(deals[deal].opened.terms.tasks);
        let (at, bit) = place(task_idx);
        let book = start.deals.get(&deals[deal].opened.slot.0);
        let settled = book.and_then(|book| book.words.get(&at)).is_some_and(|word| word.bit(bit));
        if !settled && taken.insert((deal, task_idx)) {
            let most = deals[deal].opened.terms.replicas;
            plans.push(plan(deal, task_idx, most.into(), dice));
        }
    }
    plans
}

fn plan(deal: usize, task_idx: u32, most: usize, dice: &mut Dice) -> Plan {
    let wanted = match dice.below(100) {
        0..3 => 0,
        3..15 => 1,
        15..90 => 1 + dice.place(7),
        _ => 1 + dice.place(15),
    };
    let count = wanted.min(most);
    let voters = voters(count, dice);
    let rounds = if count == 0 { 0 } else { 1 + dice.place(count.min(4)) };
    let rounds = if dice.chance(60) { rounds.min(1) } else { rounds };
    let attempts = attempts(count, rounds, dice);
    let (results, silent) = (1 + dice.below(3), dice.pick(&[0, 0, 10, 40]));
    let one_sided = dice.chance(50);
    let said = |(worker, attempt): (u32, u16)| {
        let lead = one_sided && dice.chance(80);
        let result = if lead { 0 } else { dice.below(results) };
        let digest = keccak256(format!("result {result} of {task_idx}"));
        let digest = (!dice.chance(silent)).then_some(digest);
        Said { worker, attempt, digest, salt: dice.word() }
    };
    let votes = voters.into_iter().zip(attempts).map(said).collect();
    Plan { deal, task_idx, votes, rounds: u16::try_from(rounds).unwrap() }
}

/// Different workers of different owners.
fn voters(count: usize, dice: &mut Dice) -> Vec<u32> {
    let (mut owners, mut voters) = (BTreeSet::new(), Vec::new());
    while voters.len() < count {
        let worker = 1 + dice.small(CREW);
        let owner = if worker > CREW - TWINS { worker - (CREW - TWINS) } else { worker };
        if owners.insert(owner) {
            voters.push(worker);
        }
    }
    voters
}

/// In the order of rounds, and none is empty.
fn attempts(count: usize, rounds: usize, dice: &mut Dice) -> Vec<u16> {
    let mut attempts: Vec<usize> =
        (0..count).map(|n| if n < rounds { n } else { dice.place(rounds) }).collect();
    attempts.sort_unstable();
    attempts.into_iter().map(|attempt| u16::try_from(attempt).unwrap()).collect()
}
