//! Random deals, accounts and tasks: what honest batches are made of. Weighted towards where rules turn:
//! prices of nothing, one and far beyond any supply; every ratio's ends; scores where a vote's weight is
//! just what a trust asks for; scores so high that a few of them saturate a group.

use super::{
    arena::{Arena, CREW, NOW, Operator, TWINS},
    dice::Dice,
};
use quorate_chain::{
    Signer,
    settlement::{Orders, Signed},
};
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

/// The orders of a deal.
struct Draft {
    over: bool,
    req: ReqOrder,
    offer: PoolOrder,
    app: Option<AppOrder>,
    dataset: Option<DatasetOrder>,
}

/// Who sells applications, and who sells datasets.
const APP_OWNER: u32 = 5;
const DATASET_OWNER: u32 = 6;

/// Weights of two groups whose products together are 2^128 - 3, and 2^128 - 2. Against them a group that
/// saturates at 2^128 - 1 is credible at a trust of two by one unit, and not at all.
const BRINK: [[[u32; 5]; 2]; 2] = [
    [
        [8_737_917, 12_755_397, 5_849_042, 16_689_096, 408_300_999],
        [28_109, 31_834_303, 1_342_671_127, 282_169_411, 990_631_859],
    ],
    [
        [9_225_190, 5_884_753, 8_028_907, 12_717_361, 212_999_327],
        [612_929, 3_999_623, 184_335_688, 902_264_228, 831_682_473],
    ],
];

/// Opens the deals of a batch.
pub(crate) fn deals(arena: &Arena, pool: &Operator, kind: Kind, dice: &mut Dice) -> Vec<Deal> {
    let requester = arena.requester(pool.id);
    let open = |n: u8| {
        let mut draft = Draft::random(n, kind, dice);
        (draft.req.requester, draft.offer.pool) = (requester.address(), pool.id);
        // Owners sell to every pool, and no order twice.
        draft.salt(keccak256([pool.id.0.to_be_bytes(), u32::from(n).to_be_bytes()].concat()));
        draft.name_owners();
        if n == 5 {
            // Of no task ever: its money makes room for totals that are lies.
            draft.offer.unit_price = 1 << 100;
        }
        draft.open(arena, pool, &requester);
        let opened = Opened { slot: DealSlot(n.into()), terms: draft.terms() };
        Deal { id: opened.id(), opened, over: draft.over }
    };
    let mut deals: Vec<Deal> = (0..6).map(open).collect();
    deals.pop();
    deals
}

impl Draft {
    fn random(n: u8, kind: Kind, dice: &mut Dice) -> Self {
        let wide = kind == Kind::Wide && n == 0;
        let price = if wide { far } else { price };
        let (over, bits) = (dice.chance(50), dice.below(16));
        let expiry = NOW + if over { 600 } else { 3_600 };
        // As many far prices as 128 bits have room for.
        let tasks = if wide { 7 } else { (300 + dice.small(1 << bits)).min(TASKS_MAX) };
        let replicas = dice.pick(&[15, 15, 15, 1, 2, 3, 4, 5, 6, 7]);
        let brink = kind == Kind::Full && n == 0;
        let replicas = if brink { 15 } else { replicas };
        let trust = if brink { 2 } else { trust(kind, dice) };
        let app = dice.chance(40).then(|| app_order(price(dice)));
        let dataset = dice.chance(40).then(|| dataset_order(price(dice)));
        let req = ReqOrder {
            app: keccak256("app"),
            params: keccak256("bag"),
            max_unit_price: u128::MAX,
            trust,
            max_task_time: 60,
            deadline: expiry,
            ..ReqOrder::default()
        };
        let offer = PoolOrder {
            unit_price: price(dice),
            trust: u32::MAX,
            stake_ratio: percent(dice),
            scheduler_ratio: percent(dice),
            max_task_time: 60,
            ..PoolOrder::default()
        };
        Self {
            over,
            req: ReqOrder { tasks, replicas, expiry, ..req },
            offer: PoolOrder { tasks, expiry, ..offer },
            app: app.map(|app| AppOrder { tasks, expiry, ..app }),
            dataset: dataset.map(|dataset| DatasetOrder { tasks, expiry, ..dataset }),
        }
    }

    fn salt(&mut self, salt: B256) {
        (self.req.salt, self.offer.salt) = (salt, salt);
        self.app.iter_mut().for_each(|app| app.salt = salt);
        self.dataset.iter_mut().for_each(|dataset| dataset.salt = salt);
    }

    /// The request names whom it buys from.
    fn name_owners(&mut self) {
        let req = &mut self.req;
        if let Some(app) = &self.app {
            (req.app_owner, req.app_max_price) = (app.owner, app.price);
        }
        if let Some(dataset) = &self.dataset {
            (req.dataset_owner, req.dataset_max_price) = (dataset.owner, dataset.price);
            req.dataset = dataset.dataset;
        }
    }

    fn open(&self, arena: &Arena, pool: &Operator, requester: &Signer) {
        let digest = |hash: B256| arena.separator.digest(hash);
        let sold = |n: u32, hash: B256| dev::account(n).sign(digest(hash)).to_bytes();
        let req = requester.sign(digest(self.req.struct_hash())).to_bytes();
        let offer = pool.signer.sign(digest(self.offer.struct_hash())).to_bytes();
        let app = self.app.as_ref().map(|app| (app, sold(APP_OWNER, app.struct_hash())));
        let dataset = self.dataset.as_ref();
        let dataset = dataset.map(|order| (order, sold(DATASET_OWNER, order.struct_hash())));
        let orders = Orders {
            req: Signed { order: &self.req, signature: &req },
            offer: Signed { order: &self.offer, signature: &offer },
            app: app.as_ref().map(|(order, signature)| Signed { order: *order, signature }),
            dataset: dataset.as_ref().map(|(order, signature)| Signed { order: *order, signature }),
            sponsor: None,
        };
        arena.open_deal(&orders, self.req.tasks);
    }

    fn terms(&self) -> DealTerms {
        let app = self.app.as_ref().map_or((Address::ZERO, 0), |app| (app.owner, app.price));
        let dataset = self.dataset.as_ref();
        let dataset = dataset.map_or((Address::ZERO, 0), |dataset| (dataset.owner, dataset.price));
        DealTerms {
            app_owner: app.0,
            app_price: app.1,
            dataset_owner: dataset.0,
            dataset_price: dataset.1,
            ..DealTerms::of(&self.req, &self.offer, 0, self.req.tasks)
        }
    }
}

fn app_order(price: u128) -> AppOrder {
    let owner = dev::account(APP_OWNER).address();
    AppOrder { owner, app: keccak256("app"), price, ..AppOrder::default() }
}

fn dataset_order(price: u128) -> DatasetOrder {
    let owner = dev::account(DATASET_OWNER).address();
    DatasetOrder { owner, dataset: keccak256("dataset"), price, ..DatasetOrder::default() }
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

impl Start {
    /// Gives the first fifteen workers the weights of [`BRINK`], and has them vote so in the first
    /// deal, which asks for a trust of two.
    pub(crate) fn brink(&mut self, arena: &Arena, plan: &mut Plan, dice: &mut Dice) {
        let weights = dice.pick(&BRINK);
        let most = [u32::MAX; 5];
        let scores = most.into_iter().chain(weights.into_iter().flatten().map(|w| 3 * (w + 1)));
        let mut votes = Vec::new();
        for (worker, score) in (1..).zip(scores) {
            let fresh = || arena.crew[worker as usize - 1].fresh_account();
            self.workers.entry(worker).or_insert_with(fresh).score = score;
            let digest = Some(keccak256(format!("side {}", (worker - 1) / 5)));
            votes.push(Said { worker, attempt: 0, digest, salt: dice.word() });
        }
        (plan.votes, plan.rounds) = (votes, 1);
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
