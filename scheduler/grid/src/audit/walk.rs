//! A batch, repeated task by task from its evidence file, knowing of the state before it only what
//! the file proves.

use super::{
    fault::{Fault, ensure, fault, same},
    step::{After, Signers, Step, Totals, VoterBefore, check_terms},
};
use crate::{
    deal::Opened,
    evidence::{BatchFile, PreDeal, TaskEvidence},
    ledger::{DealBook, deal_leaf, place, worker_leaf},
};
use alloy_primitives::{B256, U256};
use quorate_common::{
    accounts::{DealAccount, WorkerAccount, task_seq},
    ids::{DealId, TASKS_MAX, WORKERS_MAX, WorkerIdx},
    merkle::{BITMAP_DEPTH, Partial, STATE_DEPTH, Sparse},
    messages::{Header, Separator},
};
use std::collections::{BTreeMap, BTreeSet};

/// A batch and how far it is repeated.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    separator: Separator,
    file: &'a BatchFile,
    deals: BTreeMap<u32, DealNow<'a>>,
    workers: BTreeMap<u32, Option<WorkerAccount>>,
    tree: Partial,
    totals: Totals,
    signers: Signers,
    done: u32,
}

/// Accounts that a batch changed, as it left them.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) workers: Vec<(u32, WorkerAccount)>,
    pub(super) deals: Vec<(u32, DealBook)>,
}

/// A deal in the middle of a batch.
#[derive(Debug)]
pub(super) struct DealNow<'a> {
    pub(super) opened: &'a Opened,
    pub(super) id: DealId,
    pub(super) account: Option<DealAccount>,
    bitmap: Sparse,
}

impl<'a> Walk<'a> {
    /// Starts before the first task.
    ///
    /// # Errors
    /// If the accounts before the batch are not proven, or are others than its tasks touch.
    pub(super) fn new(separator: Separator, file: &'a BatchFile) -> Result<Self, Fault> {
        let range = 1..=TASKS_MAX as usize;
        let count = file.tasks.len();
        ensure(range.contains(&count), Fault::Count, "1 to 65536 tasks", count)?;
        let mut tree = Partial::new(STATE_DEPTH, file.pre_state_root);
        let workers = learn_workers(file, &mut tree)?;
        let deals = learn_deals(file, &mut tree)?;
        let (totals, signers, done) = (Totals::default(), Signers::default(), 0);
        Ok(Self { separator, file, deals, workers, tree, totals, signers, done })
    }

    /// The next task's place.
    pub(super) fn place(&self) -> u32 {
        self.done
    }

    /// The next task, if there is one.
    pub(super) fn task(&self) -> Option<&'a TaskEvidence> {
        self.file.tasks.get(self.done as usize)
    }

    /// Repeats the next task, its signatures too if asked.
    ///
    /// # Errors
    /// [`Fault::Task`] with the first check that fails. The walk is then of no use any more.
    pub(super) fn step(&mut self, signatures: bool) -> Result<(), Fault> {
        let place = self.done;
        let task = self.task().ok_or_else(|| fault(Fault::Place, "a task of the batch", place))?;
        let located = |fault| Fault::Task { place, fault: Box::new(fault) };
        let after = self.repeat(task, signatures).map_err(located)?;
        let (at, _) = crate::ledger::place(task.rec.task_idx);
        let deal = self.deals.get_mut(&task.slot.0).expect("the step found it");
        deal.bitmap.set(&BTreeMap::from([(at.into(), B256::from(after.word))]));
        deal.account = Some(after.deal);
        for (worker, account) in after.workers {
            self.workers.insert(worker.0, Some(account));
        }
        self.totals = Totals::of(&task.rec);
        self.done += 1;
        Ok(())
    }

    fn repeat(&mut self, task: &TaskEvidence, signatures: bool) -> Result<After, Fault> {
        // Out of `self` for as long as the step borrows from it.
        let mut signers = std::mem::take(&mut self.signers);
        let voters = self.voters(task)?;
        let deal = self.deal(task)?;
        let (word, word_path) = deal.word(task.rec.task_idx);
        let step = Step {
            separator: &self.separator,
            pool: self.file.pool,
            terms: &deal.opened.terms,
            deal_id: deal.id,
            rec: &task.rec,
            sets: &task.sets,
            votes: &task.votes,
            voters: &voters,
            deal: deal.account.as_ref(),
            word,
            word_path: &word_path,
            seq: task_seq(self.file.index, self.done),
            totals: self.totals,
        };
        let after = step.take()?;
        if signatures {
            step.check_signatures(&mut signers)?;
        }
        self.signers = signers;
        after.apply(&mut self.tree, task.slot, &task.rec)?;
        Ok(after)
    }

    /// The voters of a task as they are before it.
    pub(super) fn voters(&self, task: &TaskEvidence) -> Result<Vec<VoterBefore>, Fault> {
        same(Fault::Voters, task.votes.len(), task.identities.len())?;
        let voter = |(vote, identity): (&quorate_common::accounts::Vote, _)| {
            let account = self.workers.get(&vote.worker).cloned().flatten();
            VoterBefore { identity, account }
        };
        Ok(task.votes.iter().zip(task.identities.iter().copied()).map(voter).collect())
    }

    /// The deal of a task as it is before it.
    pub(super) fn deal(&self, task: &TaskEvidence) -> Result<&DealNow<'a>, Fault> {
        let found = self.deals.get(&task.slot.0);
        found.ok_or_else(|| fault(Fault::Terms, "orders of the task's deal", "none"))
    }

    /// From a worker's leaf to the state root before the next task.
    pub(super) fn worker_path(&self, worker: u32) -> Option<Vec<B256>> {
        self.tree.path(worker_leaf(WorkerIdx(worker)))
    }

    /// From the leaf of a task's deal to the state root before the next task.
    pub(super) fn deal_path(&self, task: &TaskEvidence) -> Option<Vec<B256>> {
        self.tree.path(deal_leaf(task.slot))
    }

    /// Whether the header's sums are those of the last task, once all are repeated.
    pub(super) fn check_header(&self, header: &Header) -> Result<(), Fault> {
        same(Fault::Count, self.file.tasks.len(), header.count as usize)?;
        same(Fault::StateRoot, self.tree.root(), header.state_root)?;
        check_sums(&self.totals, header)
    }

    /// Accounts after the tasks so far: what changed.
    pub(super) fn into_changes(self) -> Changes {
        let worker = |(idx, account): (u32, Option<WorkerAccount>)| Some((idx, account?));
        let deal = |(slot, deal): (u32, DealNow<'_>)| Some((slot, deal.book()?));
        let workers = self.workers.into_iter().filter_map(worker).collect();
        let deals = self.deals.into_iter().filter_map(deal).collect();
        Changes { workers, deals }
    }
}

impl DealNow<'_> {
    /// The bitmap word of a task with its path.
    pub(super) fn word(&self, task_idx: u32) -> (U256, Vec<B256>) {
        // A task the deal has not got is refused by the step; any word will do for it.
        let (at, _) = place(task_idx.min(TASKS_MAX - 1));
        (self.bitmap.leaf(at.into()).into(), self.bitmap.path(at.into()))
    }

    fn book(self) -> Option<DealBook> {
        let word = |at: u8| (at, U256::from_be_bytes(self.bitmap.leaf(at.into()).0));
        let words = (0..=u8::MAX).map(word).filter(|(_, word)| !word.is_zero()).collect();
        Some(DealBook { account: self.account?, words })
    }
}

/// Whether the header's money is that of its last task.
pub(super) fn check_sums(last: &Totals, header: &Header) -> Result<(), Fault> {
    same(Fault::Payout, last.payout, header.payout)?;
    same(Fault::Fees, last.fees, header.fees)?;
    same(Fault::Royalties, last.royalties, header.royalties)?;
    same(Fault::Slashed, last.slashed, header.slashed)
}

fn learn_workers(
    file: &BatchFile,
    tree: &mut Partial,
) -> Result<BTreeMap<u32, Option<WorkerAccount>>, Fault> {
    let votes = file.tasks.iter().flat_map(|task| &task.votes);
    let touched: BTreeSet<u32> = votes.map(|vote| vote.worker).collect();
    let listed = file.workers.iter().map(|pre| pre.worker.0);
    ensure(touched.into_iter().eq(listed), Fault::WorkerBefore, "the voters, in order", "others")?;
    for pre in &file.workers {
        let possible = (1..WORKERS_MAX).contains(&pre.worker.0);
        ensure(possible, Fault::WorkerIdx, "1 to 2^19 - 1", pre.worker)?;
        let leaf = pre.account.as_ref().map_or(B256::ZERO, WorkerAccount::leaf);
        let proven = tree.learn(worker_leaf(pre.worker), leaf, &pre.path);
        ensure(proven, Fault::WorkerBefore, "an account of the state before", pre.worker)?;
    }
    Ok(file.workers.iter().map(|pre| (pre.worker.0, pre.account.clone())).collect())
}

fn learn_deals<'a>(
    file: &'a BatchFile,
    tree: &mut Partial,
) -> Result<BTreeMap<u32, DealNow<'a>>, Fault> {
    let touched: BTreeSet<u32> = file.tasks.iter().map(|task| task.slot.0).collect();
    let listed = file.deals.iter().map(|pre| pre.slot.0);
    let same_deals = touched.iter().copied().eq(listed);
    ensure(same_deals, Fault::DealBefore, "the tasks' deals, in order", "others")?;
    let ordered = file.terms.iter().map(|opened| opened.slot.0);
    let same_terms = touched.into_iter().eq(ordered);
    ensure(same_terms, Fault::Terms, "the tasks' deals, in order", "others")?;
    let mut deals = BTreeMap::new();
    for (pre, opened) in file.deals.iter().zip(&file.terms) {
        check_terms(file.pool, opened)?;
        deals.insert(pre.slot.0, learn_deal(pre, opened, tree)?);
    }
    Ok(deals)
}

fn learn_deal<'a>(
    pre: &PreDeal,
    opened: &'a Opened,
    tree: &mut Partial,
) -> Result<DealNow<'a>, Fault> {
    let account = pre.book.as_ref().map(|book| book.account.clone());
    let leaf = account.as_ref().map_or(B256::ZERO, DealAccount::leaf);
    let proven = tree.learn(deal_leaf(pre.slot), leaf, &pre.path);
    ensure(proven, Fault::DealBefore, "an account of the state before", pre.slot)?;
    let bitmap = pre.book.as_ref().map_or_else(|| Sparse::new(BITMAP_DEPTH), DealBook::bitmap);
    if let Some(book) = &pre.book {
        same(Fault::DealBefore, book.account.settled_root, bitmap.root())?;
        let settled: usize = book.words.values().map(U256::count_ones).sum();
        same(Fault::DealBefore, book.account.settled_count as usize, settled)?;
        let whole = book.words.values().all(|word| !word.is_zero());
        ensure(whole, Fault::DealBefore, "bitmap words with a bit set", "an empty one")?;
    }
    Ok(DealNow { opened, id: opened.id(), account, bitmap })
}
