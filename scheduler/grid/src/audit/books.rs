//! A replica of a pool's accounts, kept by repeating its batches: what a watcher holds, what the
//! scheduler checks itself against, and where proofs for claims and refunds come from.

use super::{
    cut::check_seal,
    fault::{Fault, ensure, fault, same},
    walk::{Changes, Walk},
};
use crate::{
    evidence::{BatchFile, Seal},
    ledger::{DealBook, deal_leaf, worker_leaf},
};
use alloy_primitives::{Address, B256};
use quorate_common::{
    accounts::{DealAccount, WorkerAccount},
    ids::{DEALS_MAX, DealId, DealSlot, PoolId, WORKERS_MAX, WorkerIdx},
    merkle::{STATE_DEPTH, Sparse, TASKS_DEPTH, Tree},
    messages::{Header, Message as _, Separator},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The accounts of one pool after its batches so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Snapshot", try_from = "Snapshot")]
pub struct Books {
    pool: PoolId,
    head: Head,
    workers: BTreeMap<u32, WorkerAccount>,
    deals: BTreeMap<u32, DealBook>,
    /// Deals that have an account; one deal at two places could be paid twice.
    ids: BTreeSet<DealId>,
    tree: Sparse,
}

/// The last batch repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// Zero before the first.
    index: u64,
    hash: B256,
    cum_fees: u128,
}

/// What is written down of [`Books`]; the rest follows from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Snapshot {
    pool: PoolId,
    head: Head,
    workers: BTreeMap<u32, WorkerAccount>,
    deals: BTreeMap<u32, DealBook>,
}

impl Books {
    /// Before the first batch.
    pub fn new(pool: PoolId) -> Self {
        Self {
            pool,
            head: Head::default(),
            workers: BTreeMap::new(),
            deals: BTreeMap::new(),
            ids: BTreeSet::new(),
            tree: Sparse::new(STATE_DEPTH),
        }
    }

    /// Repeats the next batch, every step of it. `signer` is the pool's signer where the chain told
    /// it; without, whoever signed the header. Without a seal no signature of the scheduler is
    /// checked, those of the workers always are.
    ///
    /// # Errors
    /// The first check that fails; the books are then as before.
    pub fn replay(
        &mut self,
        separator: &Separator,
        signer: Option<Address>,
        header: &Header,
        file: &BatchFile,
        seal: Option<&Seal>,
    ) -> Result<(), Fault> {
        self.check_place(header, file)?;
        same(Fault::Evidence, file.digest().word(), header.evidence)?;
        if let Some(seal) = seal {
            check_seal(separator, signer, header, file, seal)?;
        }
        self.check_before(file)?;
        let mut walk = Walk::new(*separator, file)?;
        while walk.task().is_some() {
            walk.step(true)?;
        }
        let leaves = file.tasks.iter().map(|task| task.rec.leaf()).collect();
        same(Fault::TasksRoot, Tree::new(TASKS_DEPTH, leaves).root(), header.tasks_root)?;
        walk.check_header(header)?;
        self.take_over(walk);
        self.head =
            Head { index: header.index, hash: header.struct_hash(), cum_fees: header.cum_fees };
        assert_eq!(self.tree.root(), header.state_root, "both trees were given the same leaves");
        Ok(())
    }

    /// Index and hash of the last batch; zero before the first.
    pub fn head(&self) -> (u64, B256) {
        (self.head.index, self.head.hash)
    }

    /// The state tree after the last batch.
    pub(super) fn tree(&self) -> &Sparse {
        &self.tree
    }

    /// The state root after the last batch.
    pub fn state_root(&self) -> B256 {
        self.tree.root()
    }

    /// A worker's account with its path to the state root; `None` before its first task.
    pub fn worker_proof(&self, worker: WorkerIdx) -> Option<(WorkerAccount, Vec<B256>)> {
        let account = self.workers.get(&worker.0)?;
        Some((account.clone(), self.tree.path(worker_leaf(worker))))
    }

    /// A deal's account with its path to the state root; `None` before its first task.
    pub fn deal_proof(&self, deal: DealSlot) -> Option<(DealAccount, Vec<B256>)> {
        let book = self.deals.get(&deal.0)?;
        Some((book.account.clone(), self.tree.path(deal_leaf(deal))))
    }

    /// A worker's account, if it has one, and the path of its place either way.
    pub fn worker_place(&self, worker: WorkerIdx) -> (Option<&WorkerAccount>, Vec<B256>) {
        (self.workers.get(&worker.0), self.tree.path(worker_leaf(worker)))
    }

    /// A deal's account with its bitmap, if it has one, and the path of its place either way.
    pub fn deal_place(&self, deal: DealSlot) -> (Option<&DealBook>, Vec<B256>) {
        (self.deals.get(&deal.0), self.tree.path(deal_leaf(deal)))
    }

    /// Every worker's account.
    pub fn workers(&self) -> impl Iterator<Item = (WorkerIdx, &WorkerAccount)> {
        self.workers.iter().map(|(idx, account)| (WorkerIdx(*idx), account))
    }

    /// Every deal's account with its bitmap.
    pub fn deals(&self) -> impl Iterator<Item = (DealSlot, &DealBook)> {
        self.deals.iter().map(|(slot, book)| (DealSlot(*slot), book))
    }

    fn check_place(&self, header: &Header, file: &BatchFile) -> Result<(), Fault> {
        self.check_continues(header)?;
        same(Fault::Pool, self.pool, file.pool)?;
        same(Fault::Index, header.index, file.index)?;
        let parent = file.parent.as_ref().map_or(B256::ZERO, |parent| parent.struct_hash());
        same(Fault::Parent, header.parent, parent)?;
        same(Fault::StateBefore, self.tree.root(), file.pre_state_root)
    }

    /// The header is the pool's next.
    pub(super) fn check_continues(&self, header: &Header) -> Result<(), Fault> {
        same(Fault::Pool, self.pool, header.pool)?;
        same(Fault::Index, self.head.index + 1, header.index)?;
        same(Fault::Parent, self.head.hash, header.parent)?;
        let cum_fees = self.head.cum_fees.saturating_add(header.fees);
        same(Fault::CumFees, cum_fees, header.cum_fees)
    }

    /// Takes accounts over that a batch led to.
    pub(super) fn adopt(
        &mut self,
        header: &Header,
        workers: BTreeMap<u32, WorkerAccount>,
        deals: BTreeMap<u32, DealBook>,
        tree: Sparse,
    ) {
        self.ids = deals.values().map(|book| book.account.deal_id).collect();
        (self.workers, self.deals, self.tree) = (workers, deals, tree);
        self.head =
            Head { index: header.index, hash: header.struct_hash(), cum_fees: header.cum_fees };
    }

    /// The file's accounts are the books': the state root says so of the leaves, this of the bitmaps
    /// behind them, and that no deal comes up at a second place.
    fn check_before(&self, file: &BatchFile) -> Result<(), Fault> {
        for pre in &file.deals {
            let known = self.deals.get(&pre.slot.0) == pre.book.as_ref();
            ensure(known, Fault::DealBefore, "the deal as the last batch left it", pre.slot)?;
        }
        let mut fresh = BTreeSet::new();
        for opened in &file.terms {
            let (slot, id) = (opened.slot, opened.id());
            let first = self.deals.contains_key(&slot.0) || !self.ids.contains(&id);
            let once = first && fresh.insert(id);
            ensure(once, Fault::DealTwice, "each deal at one place", format_args!("{slot}: {id}"))?;
        }
        Ok(())
    }

    fn take_over(&mut self, walk: Walk<'_>) {
        let Changes { workers, deals } = walk.into_changes();
        let worker_leaves = workers.iter().map(|(idx, a)| (u64::from(*idx), a.leaf()));
        let deal_leaves =
            deals.iter().map(|(slot, b)| (deal_leaf(DealSlot(*slot)), b.account.leaf()));
        self.tree.set(&worker_leaves.chain(deal_leaves).collect());
        self.ids.extend(deals.iter().map(|(_, book)| book.account.deal_id));
        self.workers.extend(workers);
        self.deals.extend(deals);
    }
}

impl From<Books> for Snapshot {
    fn from(books: Books) -> Self {
        let Books { pool, head, workers, deals, .. } = books;
        Self { pool, head, workers, deals }
    }
}

impl TryFrom<Snapshot> for Books {
    type Error = Fault;

    fn try_from(snapshot: Snapshot) -> Result<Self, Fault> {
        let Snapshot { pool, head, workers, deals } = snapshot;
        if let Some(idx) = workers.keys().find(|idx| !(1..WORKERS_MAX).contains(*idx)) {
            return Err(fault(Fault::WorkerIdx, "1 to 2^19 - 1", idx));
        }
        if let Some(slot) = deals.keys().find(|slot| **slot >= DEALS_MAX) {
            return Err(fault(Fault::Terms, "a slot below 2^19", slot));
        }
        let worker_leaves = workers.iter().map(|(idx, a)| (u64::from(*idx), a.leaf()));
        let deal_leaves =
            deals.iter().map(|(slot, b)| (deal_leaf(DealSlot(*slot)), b.account.leaf()));
        let mut tree = Sparse::new(STATE_DEPTH);
        tree.set(&worker_leaves.chain(deal_leaves).collect());
        let ids = deals.values().map(|book| book.account.deal_id).collect();
        Ok(Self { pool, head, workers, deals, ids, tree })
    }
}
