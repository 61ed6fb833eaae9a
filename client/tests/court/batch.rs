//! One random pool with one random honest batch, judged, and lies about it.

use super::{
    arena::{Arena, NOW, Operator, Verdict},
    dice::Dice,
    lies::{self, Forgery},
    random::{self, Deal, Kind, Start},
    round::{self, Figures, Ready, Scribe},
};
use quorate_chain::court::{Filing, Leaf, Proof};
use quorate_client::watch::brief::{Brief, Committed};
use quorate_common::{
    B256,
    anchor::Opening,
    merkle::{TASKS_DEPTH, Tree},
    messages::{Header, Message as _},
};
use quorate_grid::{
    audit::{Books, Registry, StepProof},
    evidence::BatchFile,
    ledger::Ledger,
};
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

/// See the module.
pub(crate) struct Batch<'a> {
    pub(crate) arena: &'a Arena,
    pub(crate) pool: Operator,
    pub(crate) kind: Kind,
    pub(crate) deals: Vec<Deal>,
    pub(crate) tasks: Vec<Ready>,
    pub(crate) start: Start,
    pub(crate) first: Committed,
    pub(crate) registry: Registry,
    pub(crate) books: Books,
    /// As it is committed.
    pub(crate) header: Header,
    pub(crate) file: BatchFile,
    pub(crate) figures: Figures,
    steps: Vec<StepProof>,
}

/// Where time went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) made: Duration,
    pub(crate) lied: Duration,
    pub(crate) judged: Duration,
    pub(crate) encoded: Duration,
}

impl Times {
    pub(crate) fn add(&mut self, more: &Self) {
        self.made += more.made;
        self.lied += more.lied;
        self.judged += more.judged;
        self.encoded += more.encoded;
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(arena: &'a mut Arena, count: usize, dice: &mut Dice) -> Self {
        let kind = dice.pick(&[Kind::Plain, Kind::Plain, Kind::Ties, Kind::Full, Kind::Wide]);
        let pool = arena.pool();
        let arena = &*arena;
        let deals = random::deals(arena, &pool, kind, dice);
        let mut start = Start::random(arena, &deals, kind, dice);
        let mut plans = random::plans(&deals, &start, count, dice);
        if kind == Kind::Full {
            // While the scores are as given.
            let first = plans.iter().position(|plan| plan.deal == 0);
            plans.swap(0, first.unwrap_or_default());
            if plans[0].deal == 0 {
                start.brink(arena, &mut plans[0], dice);
            }
        }
        let first = committed(start.header(pool.id));
        arena.commit(&pool, &first.header);
        let tasks = round::sign(arena, pool.id, &deals, plans, dice);
        let mut figures = Figures::default();
        let (whole, file, steps) =
            settled(arena, &deals, &start, &first.header, &tasks, &mut figures, dice);
        let books = start.books(&first.header);
        let replayed = books.clone().replay(&arena.separator, None, &whole, &file, None);
        assert_eq!(replayed, Ok(()), "the auditor's own rules");
        let registry = Registry {
            workers: (1..).zip(arena.crew.iter().copied()).collect(),
            deals: deals.iter().map(|deal| (deal.id, deal.opened.clone())).collect(),
        };
        let header = if kind == Kind::Wide { silent(whole) } else { whole };
        Self {
            arena,
            pool,
            kind,
            deals,
            tasks,
            start,
            first,
            registry,
            books,
            header,
            file,
            figures,
            steps,
        }
    }

    /// Lies about the batch, none of which may stand.
    pub(crate) fn lie(
        &self,
        lies: usize,
        dice: &mut Dice,
        told: &mut lies::Told,
    ) -> Result<(), String> {
        for _ in 0..lies {
            let forgery = lies::forge(self, dice);
            *told.entry(forgery.name).or_default() += 1;
            self.convict(&forgery)?;
        }
        Ok(())
    }

    /// Some proof convinces of a forgery: what the watcher finds.
    fn convict(&self, forgery: &Forgery) -> Result<(), String> {
        let batch = committed(forgery.header.clone());
        let file = &forgery.file;
        let separator = &self.arena.separator;
        let accusation = self.books.accuse(separator, &self.registry, &forgery.header, file);
        let before = Some(&self.first);
        let brief = Brief { batch: &batch, before, accusation: &accusation };
        let mut proofs = brief.proofs(&self.arena.court);
        proofs.extend(forgery.proof(self, &batch));
        let mut answers = format!("{} at {}: {accusation:.300?}", forgery.name, forgery.place);
        for proof in &proofs {
            match self.arena.judge(&self.pool, &batch.header, proof) {
                Verdict::Fraud { pool, index } if (pool, index) == (self.pool.id.0, 2) => {
                    return Ok(());
                }
                other @ (Verdict::Fraud { .. } | Verdict::NoFraud | Verdict::Refused(_)) => {
                    write!(answers, "\n  {}: {other:?}", proof.what).unwrap()
                }
            }
        }
        Err(format!("nothing convinces of {answers}"))
    }

    /// The batch is committed, and nothing convinces a bench of it.
    pub(crate) fn judge(mut self, times: &mut Times) -> Result<(), String> {
        let batch = committed(self.header.clone());
        self.arena.commit(&self.pool, &self.header);
        let steps = std::mem::take(&mut self.steps);
        for (place, step) in steps.into_iter().enumerate() {
            let now = Instant::now();
            let (leaf, terms) = (step.leaf.clone(), step.terms.clone());
            let mut proofs = round::proofs(&self.arena.court, &batch, &self.first, step);
            let leaf = Leaf { place: leaf.place, rec: &leaf.rec, path: &leaf.path };
            proofs.push(self.arena.court.unknown_deal(&batch.filing(), &leaf));
            times.encoded += now.elapsed();
            let now = Instant::now();
            // The step is what differs; the rest is asked now and then.
            proofs.truncate(if place % 4 == 0 { 4 } else { 1 });
            for proof in &proofs {
                self.stands(proof, Verdict::NoFraud, || {
                    format!("place {place}, {:?}, {terms:?}", self.tasks[place])
                })?;
            }
            times.judged += now.elapsed();
        }
        self.judge_header(&batch.filing())
    }

    fn judge_header(&self, filing: &Filing<'_>) -> Result<(), String> {
        let court = &self.arena.court;
        let leaves: Vec<B256> = self.file.tasks.iter().map(|task| task.rec.leaf()).collect();
        let tree = Tree::new(TASKS_DEPTH, leaves.clone());
        let count = u32::try_from(leaves.len()).unwrap();
        for place in [0, count - 1, count, count + 1, (1 << TASKS_DEPTH) - 1] {
            let leaf = leaves.get(place as usize).copied().unwrap_or_default();
            let proof = court.count(filing, place, leaf, &tree.path(place.into()));
            self.stands(&proof, Verdict::NoFraud, || format!("count at {place}"))?;
        }
        let (last, path) = (&self.file.tasks.last().unwrap().rec, tree.path(u64::from(count) - 1));
        let totals = court.totals(filing, &Leaf { place: count - 1, rec: last, path: &path });
        // A header that says nothing of what its tasks cost.
        let silent = (last.run_payout, last.run_fees, last.run_royalties, last.run_slash);
        let wrong = self.kind == Kind::Wide && silent != (0, 0, 0, 0);
        let expected = Verdict::Fraud { pool: self.pool.id.0, index: 2 };
        let expected = if wrong { expected } else { Verdict::NoFraud };
        self.stands(&totals, expected, || "the header's totals".to_owned())
    }

    fn stands(
        &self,
        proof: &Proof,
        expected: Verdict,
        what: impl Fn() -> String,
    ) -> Result<(), String> {
        let verdict = self.arena.ask(proof);
        if verdict == expected {
            return Ok(());
        }
        Err(format!(
            "{} says {verdict:?} of an honest batch ({:?}): {}",
            proof.what,
            self.kind,
            what()
        ))
    }
}

/// An honest batch of these tasks.
fn settled(
    arena: &Arena,
    deals: &[Deal],
    start: &Start,
    first: &Header,
    tasks: &[Ready],
    figures: &mut Figures,
    dice: &mut Dice,
) -> (Header, BatchFile, Vec<StepProof>) {
    let (mut ledger, mut scribe) = (start.ledger(first), Scribe::new(start));
    for task in tasks {
        let deal = &deals[task.plan.deal];
        let ballots = round::ballots(&ledger, task);
        let ending = round::ending(deal, &ballots, dice);
        figures.count(deal, &ballots, ending.0);
        scribe.watch(&mut ledger, deal, task, |l| round::settle(arena, l, deal, task, ending));
    }
    let (header, file) = closed(ledger);
    (header, file, scribe.steps())
}

/// A header as it is found on a chain where no time passes and nobody posts to an inbox.
pub(crate) fn committed(header: Header) -> Committed {
    let (state_root, header_hash) = (header.state_root, header.struct_hash());
    let opening = Opening { state_root, header_hash, committed_at: NOW, inbox: B256::ZERO };
    Committed { header, opening }
}

/// Closes the second batch.
pub(crate) fn closed(mut ledger: Ledger) -> (Header, BatchFile) {
    ledger.close();
    ledger.unsealed_at(2).unwrap()
}

/// The header without its totals.
pub(crate) fn silent(header: Header) -> Header {
    let cum_fees = header.cum_fees - header.fees;
    Header { payout: 0, fees: 0, royalties: 0, slashed: 0, cum_fees, ..header }
}
