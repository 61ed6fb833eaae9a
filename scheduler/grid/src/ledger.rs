//! The pool's books: accounts of workers and deals, the state tree over them, and the open batch.
//! One settled task is one step; a batch is what the chain will hear of. Money moves here and
//! nowhere else in the grid.

use crate::{
    deal::{Opened, money},
    evidence::{BatchFile, PreDeal, PreWorker, TaskEvidence},
    poco::{Ballot, Judgement, Outcome, judge},
    task::SetRec,
};
use alloy_primitives::{Address, B256, U256};
use quorate_common::{
    accounts::{DealAccount, TaskRec, Vote, WorkerAccount, task_seq, votes_hash},
    bug::{self, Bug},
    ids::{DealId, DealSlot, PoolId, WORKERS_MAX, WorkerIdx},
    merkle::{BITMAP_DEPTH, STATE_DEPTH, Sparse, TASKS_DEPTH, Tree, zero},
    messages::{Header, Message as _},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A deal's account with the bitmap behind its `settled_root`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealBook {
    /// The leaf.
    pub account: DealAccount,
    /// Words of the bitmap that have a bit set.
    pub words: BTreeMap<u8, U256>,
}

/// The open batch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OpenBatch {
    /// Unix milliseconds of its first task.
    pub opened_unix_ms: u64,
    /// Its tasks, in order.
    pub tasks: Vec<TaskEvidence>,
    /// Deals its tasks belong to.
    terms: BTreeMap<u32, Opened>,
    /// Touched workers as they were before the batch.
    workers: BTreeMap<u32, Option<WorkerAccount>>,
    /// Touched deals as they were before the batch.
    deals: BTreeMap<u32, Option<DealBook>>,
    payout: u128,
    fees: u128,
    royalties: u128,
    slashed: u128,
}

/// A batch that takes no more tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// What is signed and sent.
    pub header: Header,
    /// Where it stands.
    pub state: BatchState,
    /// Its evidence, kept here until the batch is on chain: then it is surely in the blob store.
    pub file: Option<BatchFile>,
}

/// Where a closed batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Not on chain yet.
    Closed,
    /// On chain, open to challenge.
    Committed,
    /// Final: its root pays.
    Final,
}

/// Who a worker is, for an account made on its first task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Owns stake and earnings.
    pub owner: Address,
    /// Signs votes.
    pub vote_key: Address,
}

/// A task about to be settled.
#[derive(Debug)]
pub struct Settling {
    /// Its deal.
    pub deal: Opened,
    /// The deal's id: `deal.id()`, which costs a long hash.
    pub deal_id: DealId,
    /// Which task.
    pub task_idx: u32,
    /// Its last round.
    pub attempt: u16,
    /// How it ends.
    pub outcome: Outcome,
    /// The accepted result, for consensus.
    pub winner: Option<B256>,
    /// Its frozen sets.
    pub sets: Vec<SetRec>,
    /// Its committed votes in the order of the set.
    pub votes: Vec<(WorkerIdx, Identity, Vote, Ballot)>,
}

/// The books.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ledger {
    pool: PoolId,
    workers: BTreeMap<u32, WorkerAccount>,
    deals: BTreeMap<u32, DealBook>,
    /// The open batch's index.
    index: u64,
    parent: B256,
    /// The operator's earnings in all closed batches.
    cum_fees: u128,
    open: OpenBatch,
    /// Closed batches, by index; old ones are kept for receipts.
    pub closed: BTreeMap<u64, Closed>,
    #[serde(skip, default = "empty_state")]
    tree: Sparse,
    /// Trees behind the settled roots of unfinished deals, built when first needed: hashing all 256
    /// words again for each task would cost more than all its signatures.
    #[serde(skip)]
    bitmaps: BTreeMap<u32, Sparse>,
}

fn empty_state() -> Sparse {
    Sparse::new(STATE_DEPTH)
}

/// The leaf of a worker in the state tree.
pub fn worker_leaf(worker: WorkerIdx) -> u64 {
    u64::from(worker.0)
}

/// The leaf of a deal in the state tree.
pub fn deal_leaf(deal: DealSlot) -> u64 {
    u64::from(WORKERS_MAX) + u64::from(deal.0)
}

impl Identity {
    /// The worker's account before its first task: nothing earned, nothing lost, score zero.
    pub fn fresh_account(self) -> WorkerAccount {
        WorkerAccount {
            owner: self.owner,
            vote_key: self.vote_key,
            cum_earned: 0,
            cum_slashed: 0,
            score: 0,
            last_task_seq: 0,
        }
    }
}

impl DealBook {
    /// A deal before its first settled task.
    pub fn fresh(deal_id: DealId) -> Self {
        let account = DealAccount {
            deal_id,
            settled_root: zero(BITMAP_DEPTH),
            settled_count: 0,
            spent: 0,
            refunded: 0,
        };
        Self { account, words: BTreeMap::new() }
    }

    /// The tree behind `settled_root`.
    pub fn bitmap(&self) -> Sparse {
        let mut tree = Sparse::new(BITMAP_DEPTH);
        tree.set(
            &self.words.iter().map(|(at, word)| (u64::from(*at), B256::from(*word))).collect(),
        );
        tree
    }

    /// Marks a task and books its money. False if it was marked before.
    fn settle(&mut self, bitmap: &mut Sparse, task_idx: u32, judgement: &Judgement) -> bool {
        let (at, bit) = place(task_idx);
        let word = self.words.entry(at).or_default();
        if word.bit(bit) {
            return false;
        }
        word.set_bit(bit, true);
        bitmap.set(&BTreeMap::from([(at.into(), B256::from(*word))]));
        self.account.settled_root = bitmap.root();
        self.account.settled_count += 1;
        self.account.spent += judgement.spent;
        self.account.refunded += judgement.refunded;
        true
    }
}

/// The bitmap word and bit of a task.
pub fn place(task_idx: u32) -> (u8, usize) {
    let word = u8::try_from(task_idx / 256).expect("a deal has at most 2^16 tasks");
    (word, (task_idx % 256) as usize)
}

impl OpenBatch {
    /// What its tasks come to: payout, fees, royalties, slashed.
    pub fn values(&self) -> [u128; 4] {
        [self.payout, self.fees, self.royalties, self.slashed]
    }

    /// Leaves of the touched accounts as they were before the batch.
    fn leaves_before(&self) -> BTreeMap<u64, B256> {
        let workers = self.workers.iter().map(|(idx, before)| {
            let leaf = before.as_ref().map_or(B256::ZERO, WorkerAccount::leaf);
            (worker_leaf(WorkerIdx(*idx)), leaf)
        });
        let deals = self.deals.iter().map(|(slot, before)| {
            let leaf = before.as_ref().map_or(B256::ZERO, |book| book.account.leaf());
            (deal_leaf(DealSlot(*slot)), leaf)
        });
        workers.chain(deals).collect()
    }
}

impl Ledger {
    /// Empty books.
    pub fn new(pool: PoolId) -> Self {
        Self {
            pool,
            workers: BTreeMap::new(),
            deals: BTreeMap::new(),
            index: 1,
            parent: B256::ZERO,
            cum_fees: 0,
            open: OpenBatch::default(),
            closed: BTreeMap::new(),
            tree: empty_state(),
            bitmaps: BTreeMap::new(),
        }
    }

    /// Rebuilds what a snapshot leaves out.
    pub fn rebuild(&mut self) {
        let workers = self.workers.iter().map(|(idx, a)| (u64::from(*idx), a.leaf()));
        let deals =
            self.deals.iter().map(|(slot, book)| (deal_leaf(DealSlot(*slot)), book.account.leaf()));
        let leaves = workers.chain(deals).collect();
        self.tree = empty_state();
        self.tree.set(&leaves);
    }

    /// A worker's account, once it has one.
    pub fn worker(&self, worker: WorkerIdx) -> Option<&WorkerAccount> {
        self.workers.get(&worker.0)
    }

    /// A worker's score; 0 before its first task.
    pub fn score(&self, worker: WorkerIdx) -> u32 {
        self.workers.get(&worker.0).map_or(0, |account| account.score)
    }

    /// A deal's book, once it has one.
    pub fn deal(&self, deal: DealSlot) -> Option<&DealBook> {
        self.deals.get(&deal.0)
    }

    /// Root of the state tree now, the open batch included.
    pub fn state_root(&self) -> B256 {
        self.tree.root()
    }

    /// The open batch's index.
    pub fn open_index(&self) -> u64 {
        self.index
    }

    /// The open batch.
    pub fn open(&self) -> &OpenBatch {
        &self.open
    }

    /// Settles one task: judges it, books it, appends it to the open batch.
    ///
    /// # Panics
    /// If the task was settled before: the grid's own mistake, and money.
    pub fn settle(&mut self, now_unix_ms: u64, settling: Settling) -> (Judgement, u32) {
        if self.open.tasks.is_empty() {
            self.open.opened_unix_ms = now_unix_ms;
        }
        let ballots: Vec<Ballot> = settling.votes.iter().map(|(.., ballot)| *ballot).collect();
        let judgement = judge(&money(&settling.deal.terms), settling.winner, &ballots);
        let place = u32::try_from(self.open.tasks.len()).expect("a batch has at most 2^16 tasks");
        let mut changes = BTreeMap::new();
        self.book_workers(&settling, &judgement, place, &mut changes);
        self.book_deal(&settling, &judgement, &mut changes);
        self.tree.set(&changes);
        self.open.payout += judgement.payout;
        self.open.fees += judgement.fees;
        self.open.royalties += judgement.royalties;
        self.open.slashed += judgement.slashed;
        let evidence = self.evidence(settling, &judgement);
        self.open.tasks.push(evidence);
        (judgement, place)
    }

    fn book_workers(
        &mut self,
        settling: &Settling,
        judgement: &Judgement,
        place: u32,
        changes: &mut BTreeMap<u64, B256>,
    ) {
        let seq = task_seq(self.index, place);
        for ((worker, identity, ..), verdict) in settling.votes.iter().zip(&judgement.verdicts) {
            let before = self.workers.get(&worker.0).cloned();
            let account = self.workers.entry(worker.0).or_insert_with(|| identity.fresh_account());
            account.cum_earned += verdict.earned;
            account.cum_slashed += verdict.slashed;
            account.score = verdict.score;
            account.last_task_seq = seq;
            changes.insert(worker_leaf(*worker), account.leaf());
            self.open.workers.entry(worker.0).or_insert(before);
        }
    }

    fn book_deal(
        &mut self,
        settling: &Settling,
        judgement: &Judgement,
        changes: &mut BTreeMap<u64, B256>,
    ) {
        let slot = settling.deal.slot;
        let before =
            (!self.open.deals.contains_key(&slot.0)).then(|| self.deals.get(&slot.0).cloned());
        if let Some(before) = before {
            self.open.deals.insert(slot.0, before);
            self.open.terms.insert(slot.0, settling.deal.clone());
        }
        let book = self.deals.entry(slot.0).or_insert_with(|| DealBook::fresh(settling.deal_id));
        let bitmap = self.bitmaps.entry(slot.0).or_insert_with(|| book.bitmap());
        let first = book.settle(bitmap, settling.task_idx, judgement);
        if book.account.settled_count == settling.deal.terms.tasks {
            self.bitmaps.remove(&slot.0);
        }
        assert!(first, "task {} of {slot} was settled twice", settling.task_idx);
        changes.insert(deal_leaf(slot), book.account.leaf());
    }

    fn evidence(&self, settling: Settling, judgement: &Judgement) -> TaskEvidence {
        let roots: Vec<B256> = settling.sets.iter().map(|set| set.root).collect();
        let identities = settling.votes.iter().map(|(_, identity, ..)| *identity).collect();
        let votes: Vec<Vote> = settling.votes.into_iter().map(|(_, _, vote, _)| vote).collect();
        let rec = TaskRec {
            deal_id: settling.deal_id,
            task_idx: settling.task_idx,
            attempt: settling.attempt,
            outcome: settling.outcome as u8,
            commit_set_root: roots.last().copied().unwrap_or_default(),
            winner_digest: settling.winner.unwrap_or_default(),
            reward: judgement.reward,
            run_payout: self.open.payout,
            run_fees: self.open.fees,
            run_royalties: self.open.royalties,
            run_slash: self.open.slashed,
            votes_hash: votes_hash(&roots, &votes),
            post_state_root: self.tree.root(),
        };
        TaskEvidence { slot: settling.deal.slot, rec, sets: settling.sets, votes, identities }
    }

    /// Closes the open batch, if it has tasks: its header, and the file with everything needed to
    /// repeat it, stay in [`Ledger::closed`].
    pub fn close(&mut self) {
        if self.open.tasks.is_empty() {
            return;
        }
        let open = std::mem::take(&mut self.open);
        let leaves = open.tasks.iter().map(|task| task.rec.leaf()).collect();
        // The tree goes back to where the batch began, for the paths, and comes forward again: a copy
        // would cost a pool's whole size each time.
        let before = open.leaves_before();
        let after = before.keys().map(|at| (*at, self.tree.leaf(*at))).collect();
        self.tree.set(&before);
        let file = self.batch_file(open);
        self.tree.set(&after);
        let last = &file.tasks.last().expect("checked above").rec;
        let header = Header {
            pool: self.pool,
            index: self.index,
            parent: self.parent,
            tasks_root: Tree::new(TASKS_DEPTH, leaves).root(),
            state_root: last.post_state_root,
            evidence: file.digest().word(),
            count: u32::try_from(file.tasks.len()).expect("at most 2^16"),
            payout: last.run_payout,
            fees: last.run_fees,
            royalties: last.run_royalties,
            slashed: last.run_slash,
            cum_fees: if bug::is(Bug::FeesForgotten) { 0 } else { self.cum_fees } + last.run_fees,
        };
        self.parent = header.struct_hash();
        self.cum_fees = header.cum_fees;
        let closed = Closed { header, state: BatchState::Closed, file: Some(file) };
        self.closed.insert(self.index, closed);
        self.index += 1;
    }

    /// Notes where a closed batch stands. On chain, its evidence need not be kept here.
    pub fn advance_batch(&mut self, index: u64, state: BatchState) {
        if let Some(closed) = self.closed.get_mut(&index) {
            closed.state = state;
            closed.file = None;
        }
    }

    /// Batches that are closed and not known to be on chain.
    pub fn unsealed(&self) -> Vec<(Header, BatchFile)> {
        self.closed.keys().filter_map(|index| self.unsealed_at(*index)).collect()
    }

    /// The batch at `index`, if it is closed and not known to be on chain.
    pub fn unsealed_at(&self, index: u64) -> Option<(Header, BatchFile)> {
        let closed = self.closed.get(&index)?;
        Some((closed.header.clone(), closed.file.clone()?))
    }

    /// The file of a batch, while the tree stands where it began.
    fn batch_file(&self, open: OpenBatch) -> BatchFile {
        let worker = |(idx, account): (u32, Option<WorkerAccount>)| PreWorker {
            worker: WorkerIdx(idx),
            account,
            path: self.tree.path(u64::from(idx)),
        };
        let deal = |(slot, book): (u32, Option<DealBook>)| PreDeal {
            slot: DealSlot(slot),
            book,
            path: self.tree.path(deal_leaf(DealSlot(slot))),
        };
        let parent = self.closed.get(&(self.index - 1)).map(|closed| closed.header.clone());
        BatchFile {
            pool: self.pool,
            index: self.index,
            parent,
            pre_state_root: self.tree.root(),
            terms: open.terms.into_values().collect(),
            workers: open.workers.into_iter().map(worker).collect(),
            deals: open.deals.into_iter().map(deal).collect(),
            tasks: open.tasks,
        }
    }

    /// A worker's account with its path to the state root now.
    pub fn worker_proof(&self, worker: WorkerIdx) -> Option<(WorkerAccount, Vec<B256>)> {
        let account = self.workers.get(&worker.0)?;
        Some((account.clone(), self.tree.path(worker_leaf(worker))))
    }

    /// A deal's account with its path to the state root now.
    pub fn deal_proof(&self, deal: DealSlot) -> Option<(DealAccount, Vec<B256>)> {
        let book = self.deals.get(&deal.0)?;
        Some((book.account.clone(), self.tree.path(deal_leaf(deal))))
    }

    /// Sums over all accounts: earned, seized, and each deal's spent and refunded.
    pub fn sums(&self) -> (u128, u128, u128, u128) {
        let earned = self.workers.values().map(|a| a.cum_earned).sum();
        let slashed = self.workers.values().map(|a| a.cum_slashed).sum();
        let spent = self.deals.values().map(|book| book.account.spent).sum();
        let refunded = self.deals.values().map(|book| book.account.refunded).sum();
        (earned, slashed, spent, refunded)
    }
}
