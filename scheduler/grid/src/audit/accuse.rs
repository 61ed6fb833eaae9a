//! From a batch that does not hold to what the contract needs to see it: the first task whose step
//! comes to something else, with every account it starts from, each proven against the tree with the
//! changes before it. Whether the contract agrees is asked of the contract, before anything is sent.
//!
//! Nothing here trusts the evidence file but for what it cannot lie about: its tasks' leaves are those
//! of the header, its votes those of the leaves. Accounts come from [`Books`], deals and workers from
//! the chain.

use super::{
    books::Books,
    fault::{Fault, ensure, fault, same},
    step::{After, Signers, Step, Totals, VoterBefore},
    walk::check_sums,
};
use crate::{
    deal::{Opened, money},
    evidence::{BatchFile, TaskEvidence},
    ledger::{DealBook, Identity, deal_leaf, place as bitmap_place, worker_leaf},
    poco::{Ballot, Outcome, decided, judge},
};
use alloy_primitives::{B256, U256};
use quorate_common::{
    accounts::{DealAccount, TaskRec, WorkerAccount, task_seq, votes_bytes},
    ids::{DealId, DealSlot, WORKERS_MAX, WorkerIdx},
    merkle::{Sparse, TASKS_DEPTH, Tree},
    messages::{Header, Separator},
    terms::DealTerms,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the chain says of who and what a pool's batches may name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Every worker, by index.
    pub workers: BTreeMap<u32, Identity>,
    /// Every deal of the pool.
    pub deals: BTreeMap<DealId, Opened>,
}

/// A task in its batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafProof {
    /// Its place.
    pub place: u32,
    /// The task.
    pub rec: TaskRec,
    /// From its leaf to the header's tasks root.
    pub path: Vec<B256>,
}

/// A voter's account, if it has one, and its path.
pub type VoterProof = (Option<WorkerAccount>, Vec<B256>);

/// A task and all that its step starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepProof {
    /// The task.
    pub leaf: LeafProof,
    /// Its deal.
    pub terms: DealTerms,
    /// The deal's account before; `None`: empty.
    pub deal: Option<DealAccount>,
    /// From the deal's leaf to the root after all voters were changed.
    pub deal_path: Vec<B256>,
    /// The bitmap word the task's bit is in.
    pub word: U256,
    /// From the word to the deal's settled root.
    pub word_path: Vec<B256>,
    /// The task before it in the batch.
    pub before: Option<TaskRec>,
    /// From that task's leaf up to where both paths meet.
    pub link: Vec<B256>,
    /// The voters' accounts before, each with its path to the root after those before it were changed.
    pub voters: Vec<VoterProof>,
    /// `abi.encode(bytes32[] sets, Vote[] votes)`.
    pub votes: Vec<u8>,
}

/// What is wrong with a batch, and where.
#[derive(Clone, Debug)]
pub enum Accusation {
    /// The file's tasks are not the header's: what the tasks are must be asked for.
    Hidden(Fault),
    /// A task is of no deal of the pool.
    UnknownDeal(LeafProof),
    /// A task's step comes to something else.
    Step(Fault, Box<StepProof>),
    /// Every step holds: the header itself must be wrong.
    Header {
        /// The last task the header counts, if there is one at that place.
        last: Option<LeafProof>,
        /// A place that the header miscounts: it, its leaf, and its path.
        odd: Option<(u32, B256, Vec<B256>)>,
    },
}

impl Books {
    /// Finds what is wrong with the next batch. Costs a copy of the books.
    pub fn accuse(
        &self,
        separator: &Separator,
        registry: &Registry,
        header: &Header,
        file: &BatchFile,
    ) -> Accusation {
        let tree = match tasks_tree(header, file) {
            Ok(tree) => tree,
            Err(fault) => return Accusation::Hidden(fault),
        };
        let mut mirror = Mirror::new(self, separator, registry, header, &tree);
        mirror.take_all(file).unwrap_or_else(|| mirror.header(file))
    }

    /// Repeats the next batch by its tasks alone: of the evidence file only what its leaves bind is
    /// looked at, accounts are the books' own, deals and workers the registry's. Slower than
    /// [`Books::replay`], and right where the rest of a file is not.
    ///
    /// # Errors
    /// What is wrong; the books are then as before.
    pub fn advance(
        &mut self,
        separator: &Separator,
        registry: &Registry,
        header: &Header,
        file: &BatchFile,
    ) -> Result<(), Box<Accusation>> {
        let tree = tasks_tree(header, file).map_err(Accusation::Hidden)?;
        let mut mirror = Mirror::new(self, separator, registry, header, &tree);
        if let Some(found) = mirror.take_all(file) {
            return Err(Box::new(found));
        }
        if self.check_header(header, file, &mirror).is_err() {
            return Err(Box::new(mirror.header(file)));
        }
        let Mirror { workers, deals, state, .. } = mirror;
        self.adopt(header, workers, deals, state);
        Ok(())
    }

    /// Tasks of the next batch that were given up as expired although their votes decide, with all that
    /// their steps start from: wrong, if their result was acknowledged as stored. Honest batches have such
    /// a task only where bytes never came, so looking costs a copy of the books for few of them.
    pub fn given_up(
        &self,
        separator: &Separator,
        registry: &Registry,
        header: &Header,
        file: &BatchFile,
    ) -> Vec<StepProof> {
        let voted = |task: &TaskEvidence| task.votes.iter().any(|vote| !vote.digest.is_zero());
        let expired = |task: &TaskEvidence| task.rec.outcome == Outcome::Expired as u8;
        if !file.tasks.iter().any(|task| expired(task) && voted(task)) {
            return Vec::new();
        }
        let Ok(tree) = tasks_tree(header, file) else { return Vec::new() };
        let mut mirror = Mirror::new(self, separator, registry, header, &tree);
        let mut found = Vec::new();
        for (task, place) in file.tasks.iter().zip(0..) {
            let opened = registry.deals.get(&task.rec.deal_id).filter(|_| expired(task));
            let decided = opened.filter(|opened| mirror.decides(task, opened));
            found.extend(decided.map(|opened| mirror.proof(task, place, opened)));
            if mirror.take(task, place).is_some() {
                break;
            }
        }
        found
    }

    fn check_header(
        &self,
        header: &Header,
        file: &BatchFile,
        mirror: &Mirror<'_>,
    ) -> Result<(), Fault> {
        self.check_continues(header)?;
        same(Fault::Count, file.tasks.len(), header.count as usize)?;
        same(Fault::StateRoot, mirror.state.root(), header.state_root)?;
        check_sums(&mirror.totals, header)
    }
}

/// The tree of a batch's tasks, if it is the header's.
fn tasks_tree(header: &Header, file: &BatchFile) -> Result<Tree, Fault> {
    let leaves: Vec<B256> = file.tasks.iter().map(|task| task.rec.leaf()).collect();
    let possible = (1..=1 << TASKS_DEPTH).contains(&leaves.len());
    ensure(possible, Fault::Count, "1 to 65536 tasks", leaves.len())?;
    let tree = Tree::new(TASKS_DEPTH, leaves);
    same(Fault::TasksRoot, header.tasks_root, tree.root())?;
    Ok(tree)
}

/// The books in the middle of a batch.
struct Mirror<'a> {
    separator: &'a Separator,
    registry: &'a Registry,
    header: &'a Header,
    tree: &'a Tree,
    state: Sparse,
    workers: BTreeMap<u32, WorkerAccount>,
    deals: BTreeMap<u32, DealBook>,
    totals: Totals,
    before: Option<TaskRec>,
    signers: Signers,
}

impl<'a> Mirror<'a> {
    fn new(
        books: &Books,
        separator: &'a Separator,
        registry: &'a Registry,
        header: &'a Header,
        tree: &'a Tree,
    ) -> Self {
        let workers = books.workers().map(|(idx, account)| (idx.0, account.clone())).collect();
        let deals = books.deals().map(|(slot, book)| (slot.0, book.clone())).collect();
        let (totals, before) = (Totals::default(), None);
        let (state, signers) = (books.tree().clone(), Signers::default());
        Self { separator, registry, header, tree, state, workers, deals, totals, before, signers }
    }

    fn leaf(&self, task: &TaskEvidence, place: u32) -> LeafProof {
        LeafProof { place, rec: task.rec.clone(), path: self.tree.path(place.into()) }
    }

    /// Takes every step; the first that is wrong, if one is.
    fn take_all(&mut self, file: &BatchFile) -> Option<Accusation> {
        file.tasks.iter().zip(0..).find_map(|(task, place)| self.take(task, place))
    }

    /// What shows that a header is not that of its tasks.
    fn header(&self, file: &BatchFile) -> Accusation {
        let counted = self.header.count;
        let count = u32::try_from(file.tasks.len()).unwrap_or(u32::MAX);
        let last = counted.wrapping_sub(1);
        let last = file.tasks.get(last as usize).map(|task| self.leaf(task, last));
        let place = counted.min(count);
        let leaf = file.tasks.get(place as usize).map_or(B256::ZERO, |task| task.rec.leaf());
        let odd = (counted != count).then(|| (place, leaf, self.tree.path(place.into())));
        Accusation::Header { last, odd }
    }

    /// Takes one step; what is wrong with it, if something is.
    fn take(&mut self, task: &TaskEvidence, place: u32) -> Option<Accusation> {
        let registry = self.registry;
        let Some(opened) = registry.deals.get(&task.rec.deal_id) else {
            return Some(Accusation::UnknownDeal(self.leaf(task, place)));
        };
        match self.step(task, place, opened) {
            Ok(after) => {
                self.enter(task, opened.slot, after);
                None
            }
            Err(fault) => {
                let proof = self.proof(task, place, opened);
                Some(Accusation::Step(fault, Box::new(proof)))
            }
        }
    }

    fn step(&mut self, task: &TaskEvidence, place: u32, opened: &Opened) -> Result<After, Fault> {
        let voters = self.voters(task)?;
        let book = self.deals.get(&opened.slot.0);
        let (word, word_path) = word_of(book, opened, task.rec.task_idx);
        let step = Step {
            separator: self.separator,
            pool: self.header.pool,
            terms: &opened.terms,
            deal_id: task.rec.deal_id,
            rec: &task.rec,
            sets: &task.sets,
            votes: &task.votes,
            voters: &voters,
            deal: book.map(|book| &book.account),
            word,
            word_path: &word_path,
            seq: task_seq(self.header.index, place),
            totals: self.totals,
        };
        let after = step.take()?;
        step.check_signatures(&mut self.signers)?;
        let later = leaves_after(opened, &after);
        let earlier = later.keys().map(|at| (*at, self.state.leaf(*at))).collect();
        self.state.set(&later);
        let same = same(Fault::PostState, self.state.root(), task.rec.post_state_root);
        if same.is_err() {
            self.state.set(&earlier);
        }
        same.map(|()| after)
    }

    fn ballots(&self, task: &TaskEvidence) -> Vec<Ballot> {
        let ballot = |vote: &quorate_common::accounts::Vote| Ballot {
            score: self.workers.get(&vote.worker).map_or(0, |account| account.score),
            digest: (!vote.digest.is_zero()).then_some(vote.digest),
        };
        task.votes.iter().map(ballot).collect()
    }

    fn decides(&self, task: &TaskEvidence, opened: &Opened) -> bool {
        decided(&money(&opened.terms), &self.ballots(task)).is_some()
    }

    fn voters(&self, task: &TaskEvidence) -> Result<Vec<VoterBefore>, Fault> {
        let voter = |vote: &quorate_common::accounts::Vote| {
            let identity = self.registry.workers.get(&vote.worker).copied();
            let identity = identity
                .ok_or_else(|| fault(Fault::Identity, "a registered worker", vote.worker))?;
            let account = self.workers.get(&vote.worker).cloned();
            Ok(VoterBefore { identity, account })
        };
        task.votes.iter().map(voter).collect()
    }

    /// Takes over what a step changed; the tree is changed already.
    fn enter(&mut self, task: &TaskEvidence, slot: DealSlot, after: After) {
        let (at, _) = bitmap_place(task.rec.task_idx);
        let book = self.deals.entry(slot.0);
        let book = book.or_insert_with(|| DealBook::fresh(task.rec.deal_id));
        book.words.insert(at, after.word);
        book.account = after.deal;
        for (worker, account) in after.workers {
            self.workers.insert(worker.0, account);
        }
        self.totals = Totals::of(&task.rec);
        self.before = Some(task.rec.clone());
    }

    fn proof(&self, task: &TaskEvidence, place: u32, opened: &Opened) -> StepProof {
        let sets: Vec<B256> = task.sets.iter().map(|set| set.root).collect();
        let (voters, state) = self.changed_voters(task, place, opened);
        let book = self.deals.get(&opened.slot.0);
        let (word, word_path) = word_of(book, opened, task.rec.task_idx);
        StepProof {
            leaf: self.leaf(task, place),
            terms: opened.terms.clone(),
            deal: book.map(|book| book.account.clone()),
            deal_path: state.path(deal_leaf(opened.slot)),
            word,
            word_path,
            before: self.before.clone(),
            link: self.link(place),
            voters,
            votes: votes_bytes(&sets, &task.votes),
        }
    }

    /// Neighbours meet where the later one's place has its lowest bit set.
    fn link(&self, place: u32) -> Vec<B256> {
        let Some(before) = place.checked_sub(1) else { return Vec::new() };
        let mut path = self.tree.path(before.into());
        path.truncate(place.trailing_zeros() as usize);
        path
    }

    /// Every voter's account with its path, and the tree after all were changed as the task's claimed
    /// winner leads to, credible or not: so does the contract.
    fn changed_voters(
        &self,
        task: &TaskEvidence,
        place: u32,
        opened: &Opened,
    ) -> (Vec<VoterProof>, Sparse) {
        let account = |worker: u32| self.workers.get(&worker);
        let ballots = self.ballots(task);
        let winner = (!task.rec.winner_digest.is_zero()).then_some(task.rec.winner_digest);
        let judgement = judge(&money(&opened.terms), winner, &ballots);
        let mut state = self.state.clone();
        let mut voters = Vec::with_capacity(task.votes.len());
        for (vote, verdict) in task.votes.iter().zip(&judgement.verdicts) {
            // The contract refuses such a voter before it looks at accounts.
            let at = worker_leaf(WorkerIdx(vote.worker % WORKERS_MAX));
            voters.push((account(vote.worker).cloned(), state.path(at)));
            let fresh = || {
                let identity = self.registry.workers.get(&vote.worker);
                identity.map(|identity| identity.fresh_account())
            };
            let Some(mut after) = account(vote.worker).cloned().or_else(fresh) else { continue };
            after.cum_earned = after.cum_earned.wrapping_add(verdict.earned);
            after.cum_slashed = after.cum_slashed.wrapping_add(verdict.slashed);
            after.score = verdict.score;
            after.last_task_seq = task_seq(self.header.index, place);
            state.set(&BTreeMap::from([(at, after.leaf())]));
        }
        (voters, state)
    }
}

fn leaves_after(opened: &Opened, after: &After) -> BTreeMap<u64, B256> {
    let workers = after.workers.iter().map(|(idx, account)| (worker_leaf(*idx), account.leaf()));
    let deal = (deal_leaf(opened.slot), after.deal.leaf());
    workers.chain(std::iter::once(deal)).collect()
}

/// The bitmap word of a task before its step, with its path.
fn word_of(book: Option<&DealBook>, opened: &Opened, task_idx: u32) -> (U256, Vec<B256>) {
    let fresh = || DealBook::fresh(opened.id());
    let book = book.cloned().unwrap_or_else(fresh);
    // A task the deal has not got is refused before its word is looked at.
    let (at, _) = bitmap_place(task_idx.min(quorate_common::ids::TASKS_MAX - 1));
    let word = book.words.get(&at).copied().unwrap_or_default();
    (word, book.bitmap().path(at.into()))
}
