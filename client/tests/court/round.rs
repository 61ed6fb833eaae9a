//! Random tasks, signed and settled by the scheduler's own ledger, with what a prover needs to have
//! each step taken again, collected on the way from the accounts before and after.

use super::{
    arena::Arena,
    dice::Dice,
    random::{Deal, Plan, Said, Start},
};
use quorate_chain::court::{Court, Proof};
use quorate_client::watch::brief::{Brief, Committed};
use quorate_common::{
    B256, U256,
    accounts::{Vote, WorkerAccount, votes_bytes},
    frame::FrameTree,
    ids::{DealSlot, PoolId, WorkerIdx},
    keccak256,
    merkle::{SET_DEPTH, STATE_DEPTH, Sparse, TASKS_DEPTH, Tree},
    messages::{Commit, Header, Message as _, Reveal, Word as _},
    wire,
};
use quorate_grid::{
    audit::{Accusation, Books, Fault, LeafProof, Mismatch, StepProof},
    evidence::TaskEvidence,
    ledger::{
        BatchState, Closed, DealBook, Identity, Ledger, OpenBatch, Settling, deal_leaf, place,
        worker_leaf,
    },
    poco::{Ballot, Outcome, tally},
    task::SetRec,
};
use std::collections::BTreeMap;

/// A task whose votes are signed.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) plan: Plan,
    pub(crate) sets: Vec<SetRec>,
    pub(crate) votes: Vec<Vote>,
}

/// How many of what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) consensus: u64,
    pub(crate) no_quorum: u64,
    pub(crate) expired: u64,
    /// Groups that came to all that 128 bits hold.
    pub(crate) saturated: u64,
    /// Groups that had exactly what is not yet enough.
    pub(crate) ties: u64,
    pub(crate) votes: u64,
}

/// What a ledger is made of, as it is written down: here a test may lie in it.
pub(crate) type Parts = (
    PoolId,
    BTreeMap<u32, WorkerAccount>,
    BTreeMap<u32, DealBook>,
    u64,
    B256,
    u128,
    OpenBatch,
    BTreeMap<u64, Closed>,
);

impl Start {
    pub(crate) fn tree(&self) -> Sparse {
        let mut tree = Sparse::new(STATE_DEPTH);
        let workers = self.workers.iter().map(|(n, a)| (worker_leaf(WorkerIdx(*n)), a.leaf()));
        let deals = self.deals.iter().map(|(n, b)| (deal_leaf(DealSlot(*n)), b.account.leaf()));
        tree.set(&workers.chain(deals).collect());
        tree
    }

    /// A first batch that ends with these accounts. How it came to them nobody asks.
    pub(crate) fn header(&self, pool: PoolId) -> Header {
        Header {
            pool,
            index: 1,
            tasks_root: B256::repeat_byte(1),
            state_root: self.tree().root(),
            count: 1,
            cum_fees: self.cum_fees,
            ..Header::default()
        }
    }

    /// The scheduler's books after that batch.
    pub(crate) fn ledger(&self, first: &Header) -> Ledger {
        let closed = Closed { header: first.clone(), state: BatchState::Committed, file: None };
        let (workers, deals) = (self.workers.clone(), self.deals.clone());
        let closed = BTreeMap::from([(1, closed)]);
        let hash = first.struct_hash();
        let open = OpenBatch::default();
        ledger(&(first.pool, workers, deals, 2, hash, self.cum_fees, open, closed))
    }

    /// The watcher's.
    pub(crate) fn books(&self, first: &Header) -> Books {
        let head = (1_u64, first.struct_hash(), self.cum_fees);
        wire::decode(&wire::to_bytes(&(first.pool, head, &self.workers, &self.deals))).unwrap()
    }
}

pub(crate) fn ledger(parts: &Parts) -> Ledger {
    let mut ledger: Ledger = wire::decode(&wire::to_bytes(parts)).unwrap();
    ledger.rebuild();
    ledger
}

pub(crate) fn parts(ledger: &Ledger) -> Parts {
    wire::decode(&wire::to_bytes(ledger)).unwrap()
}

/// Signs all votes of some tasks, each worker's in frames of any size.
pub(crate) fn sign(
    arena: &Arena,
    pool: PoolId,
    deals: &[Deal],
    plans: Vec<Plan>,
    dice: &mut Dice,
) -> Vec<Ready> {
    let mut said: BTreeMap<u32, Vec<(usize, usize, B256)>> = BTreeMap::new();
    let mut ready = Vec::with_capacity(plans.len());
    for (at, plan) in plans.into_iter().enumerate() {
        let (task, hashes) = frozen(arena, pool, &deals[plan.deal], plan);
        for (n, (vote, hash)) in task.votes.iter().zip(hashes).enumerate() {
            said.entry(vote.worker).or_default().push((at, n, hash));
        }
        ready.push(task);
    }
    for (worker, mut said) in said {
        while !said.is_empty() {
            let size = dice.pick(&[1, 2, 3, 17, 64, 256, 256]).min(said.len());
            let frame: Vec<_> = said.drain(..size).collect();
            sign_frame(arena, worker, &frame, &mut ready);
        }
    }
    ready
}

fn sign_frame(arena: &Arena, worker: u32, frame: &[(usize, usize, B256)], ready: &mut [Ready]) {
    let hashes: Vec<B256> = frame.iter().map(|(.., hash)| *hash).collect();
    let tree = FrameTree::new(&hashes);
    let signature = arena.key(worker).sign(arena.separator.digest(tree.struct_hash()));
    for (index, (at, n, _)) in (0..).zip(frame) {
        let vote = &mut ready[*at].votes[*n];
        (vote.frame_index, vote.frame_count, vote.path) = (index, tree.count(), tree.path(index));
        (vote.r, vote.vs) = (signature.r, signature.vs);
    }
}

/// A task's sets and its votes but for their signatures, and what these are over.
pub(crate) fn frozen(arena: &Arena, pool: PoolId, deal: &Deal, plan: Plan) -> (Ready, Vec<B256>) {
    let task_id = deal.id.task_id(plan.task_idx);
    let commitment = |said: &Said| {
        let (digest, worker) = (said.digest.unwrap_or_default(), WorkerIdx(said.worker));
        arena.separator.commitment(task_id, said.attempt, worker, digest, said.salt)
    };
    let leaf = |said: &Said| keccak256([said.worker.word(), commitment(said).0].as_flattened());
    let leaves: Vec<B256> = plan.votes.iter().map(leaf).collect();
    let set = |round: u16| {
        let n = plan.votes.iter().filter(|said| said.attempt <= round).count();
        let root = Tree::new(SET_DEPTH, leaves[..n].to_vec()).root();
        SetRec { root, n: u8::try_from(n).unwrap(), reveal_deadline: 1 }
    };
    let sets: Vec<SetRec> = (0..plan.rounds).map(set).collect();
    let vote = |said: &Said| {
        let (salt, attempt, commitment) = (said.salt, said.attempt, commitment(said));
        let set_root = sets[usize::from(attempt)].root;
        let (hash, salt) = match said.digest {
            Some(digest) => {
                let reveal = Reveal { pool, task_id, attempt, set_root, digest, salt };
                (reveal.struct_hash(), salt)
            }
            None => (Commit { pool, task_id, attempt, commitment }.struct_hash(), commitment),
        };
        let vote = Vote {
            worker: said.worker,
            attempt,
            digest: said.digest.unwrap_or_default(),
            salt,
            frame_index: 0,
            frame_count: 1,
            path: Vec::new(),
            r: B256::ZERO,
            vs: B256::ZERO,
        };
        (vote, hash)
    };
    let (votes, hashes) = plan.votes.iter().map(vote).unzip();
    (Ready { plan, sets, votes }, hashes)
}

/// The votes of a task as they stand now.
pub(crate) fn ballots(ledger: &Ledger, task: &Ready) -> Vec<Ballot> {
    let ballot =
        |said: &Said| Ballot { score: ledger.score(WorkerIdx(said.worker)), digest: said.digest };
    task.plan.votes.iter().map(ballot).collect()
}

/// How a task may honestly end.
pub(crate) fn ending(deal: &Deal, ballots: &[Ballot], dice: &mut Dice) -> (Outcome, Option<B256>) {
    let (tally, trust) = (tally(ballots), deal.opened.terms.trust);
    let holds = |(digest, _): &(B256, u128)| tally.holds(*digest, trust).then_some(*digest);
    let credible: Vec<B256> = tally.groups().iter().filter_map(holds).collect();
    assert!(credible.len() < 2 || trust < 2, "two results are credible");
    assert_eq!(tally.decided(trust), credible.first().copied());
    if deal.over && dice.chance(15) {
        return (Outcome::Expired, None);
    }
    match credible.is_empty() {
        true => (Outcome::NoQuorum, None),
        false => (Outcome::Consensus, Some(dice.pick(&credible))),
    }
}

/// Settles a task.
pub(crate) fn settle(
    arena: &Arena,
    ledger: &mut Ledger,
    deal: &Deal,
    task: &Ready,
    ending: (Outcome, Option<B256>),
) {
    settle_of(ledger, deal, task, ending, |worker| arena.crew[worker as usize - 1]);
}

/// Settles a task of any workers.
pub(crate) fn settle_of(
    ledger: &mut Ledger,
    deal: &Deal,
    task: &Ready,
    (outcome, winner): (Outcome, Option<B256>),
    who: impl Fn(u32) -> Identity,
) {
    let ballots = ballots(ledger, task);
    let vote = |(vote, ballot): (&Vote, Ballot)| {
        let identity = who(vote.worker);
        (WorkerIdx(vote.worker), identity, vote.clone(), ballot)
    };
    let settling = Settling {
        deal: deal.opened.clone(),
        deal_id: deal.id,
        task_idx: task.plan.task_idx,
        attempt: task.plan.rounds.saturating_sub(1),
        outcome,
        winner,
        sets: task.sets.clone(),
        votes: task.votes.iter().zip(ballots).map(vote).collect(),
    };
    ledger.settle(1, settling);
}

impl Figures {
    pub(crate) fn count(&mut self, deal: &Deal, ballots: &[Ballot], outcome: Outcome) {
        let of = match outcome {
            Outcome::Consensus => &mut self.consensus,
            Outcome::NoQuorum => &mut self.no_quorum,
            Outcome::Expired => &mut self.expired,
        };
        *of += 1;
        self.votes += ballots.len() as u64;
        let (tally, trust) = (tally(ballots), U256::from(deal.opened.terms.trust.max(1)));
        for (_, group) in tally.groups() {
            self.saturated += u64::from(*group == u128::MAX);
            let even = U256::from(*group) * trust == tally.total() * (trust - U256::from(1));
            self.ties += u64::from(even);
        }
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.consensus += more.consensus;
        self.no_quorum += more.no_quorum;
        self.expired += more.expired;
        self.saturated += more.saturated;
        self.ties += more.ties;
        self.votes += more.votes;
    }
}

/// Collects the steps of a batch while it is settled.
pub(crate) struct Scribe {
    tree: Sparse,
    steps: Vec<StepProof>,
}

impl Scribe {
    pub(crate) fn new(start: &Start) -> Self {
        Self { tree: start.tree(), steps: Vec::new() }
    }

    /// Writes down where a task's step starts, and follows it. `settle` settles it.
    pub(crate) fn watch(
        &mut self,
        ledger: &mut Ledger,
        deal: &Deal,
        task: &Ready,
        settle: impl FnOnce(&mut Ledger),
    ) {
        let (at, _) = place(task.plan.task_idx);
        let book = ledger.deal(deal.opened.slot).cloned();
        let fresh = book.clone().unwrap_or_else(|| DealBook::fresh(deal.id));
        let account = |ledger: &Ledger, vote: &Vote| ledger.worker(WorkerIdx(vote.worker)).cloned();
        let before: Vec<_> = task.votes.iter().map(|vote| account(ledger, vote)).collect();
        settle(ledger);
        let mut voters = Vec::with_capacity(before.len());
        for (vote, before) in task.votes.iter().zip(before) {
            let leaf = worker_leaf(WorkerIdx(vote.worker));
            voters.push((before, self.tree.path(leaf)));
            let after = account(ledger, vote).unwrap().leaf();
            self.tree.set(&BTreeMap::from([(leaf, after)]));
        }
        let leaf = deal_leaf(deal.opened.slot);
        let deal_path = self.tree.path(leaf);
        let after = ledger.deal(deal.opened.slot).unwrap().account.leaf();
        self.tree.set(&BTreeMap::from([(leaf, after)]));
        assert_eq!(self.tree.root(), ledger.state_root(), "the tree of all changed accounts");
        let rec = ledger.open().tasks.last().unwrap().rec.clone();
        let sets: Vec<B256> = task.sets.iter().map(|set| set.root).collect();
        self.steps.push(StepProof {
            leaf: LeafProof { place: 0, rec, path: Vec::new() },
            terms: deal.opened.terms.clone(),
            deal: book.map(|book| book.account),
            deal_path,
            word: fresh.words.get(&at).copied().unwrap_or_default(),
            word_path: fresh.bitmap().path(at.into()),
            before: None,
            link: Vec::new(),
            voters,
            votes: votes_bytes(&sets, &task.votes),
        });
    }

    /// Every step, once all tasks are known.
    pub(crate) fn steps(mut self) -> Vec<StepProof> {
        let leaves = self.steps.iter().map(|step| step.leaf.rec.leaf()).collect();
        let tree = Tree::new(TASKS_DEPTH, leaves);
        let mut before = None;
        for (place, step) in (0_u32..).zip(&mut self.steps) {
            (step.leaf.place, step.leaf.path) = (place, tree.path(place.into()));
            if place > 0 {
                step.link = tree.path(u64::from(place) - 1);
                step.link.truncate(place.trailing_zeros() as usize);
            }
            step.before = before.replace(step.leaf.rec.clone());
        }
        self.steps
    }
}

/// The calls that would show a step wrong.
pub(crate) fn proofs(
    court: &Court,
    batch: &Committed,
    before: &Committed,
    step: StepProof,
) -> Vec<Proof> {
    let unsaid = Mismatch { expected: String::new(), found: String::new() };
    let accusation = Accusation::Step(Fault::PostState(unsaid), Box::new(step));
    Brief { batch, before: Some(before), accusation: &accusation }.proofs(court)
}

/// The root over these tasks.
pub(crate) fn tasks_root(tasks: &[TaskEvidence]) -> B256 {
    Tree::new(TASKS_DEPTH, tasks.iter().map(|task| task.rec.leaf()).collect()).root()
}
