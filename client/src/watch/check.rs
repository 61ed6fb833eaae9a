//! What is checked of a batch, without waiting for anything: the replay, and what a replay cannot see
//! (deadlines, and votes that were said on chain). Nothing here decides that a pool is guilty: it says
//! what to ask the Court.

use super::{
    brief::{Committed, halves, step_of},
    known::PoolKnown,
    words::Words,
};
use quorate_chain::{
    B256,
    court::{Court, Entry, Leaf, Proof, SignedSet, Silent},
    events::Forced,
};
use quorate_common::{
    accounts::{Vote, votes_bytes},
    anchor::SLACK_S,
    frame::FrameProof,
    ids::WorkerIdx,
    merkle::{TASKS_DEPTH, Tree},
    messages::{CommitSet, Message as _, Reveal, Separator},
};
use quorate_grid::{
    audit::{Accusation, Books, Registry, SealedSets, StepProof},
    evidence::{BatchFile, Seal, TaskEvidence},
    ledger::Identity,
    poco::Outcome,
};
use std::collections::BTreeMap;

/// What a worker may take after asking to leave, besides the window: two days (the contract's).
const EXIT_SLACK_S: u64 = 2 * 24 * 3600;
/// What a scheduler may take to learn of it: an hour (the contract's).
const EXIT_NOTICE_S: u64 = 3600;

/// Of the registry what a batch names, so that nothing larger has to be copied.
pub(super) fn registry(
    file: &BatchFile,
    workers: &BTreeMap<u32, Identity>,
    pool: &PoolKnown,
) -> Registry {
    let voters = file.tasks.iter().flat_map(|task| &task.votes).map(|vote| vote.worker);
    let workers = voters.filter_map(|worker| Some((worker, *workers.get(&worker)?))).collect();
    let deals = file.tasks.iter().map(|task| task.rec.deal_id);
    let deals = deals.filter_map(|deal| Some((deal, pool.deals.get(&deal)?.clone()))).collect();
    Registry { workers, deals }
}

/// Repeats a batch and takes it into the books.
///
/// # Errors
/// What is wrong with it, and the fault in words.
pub(super) fn replay(
    books: &mut Books,
    separator: &Separator,
    registry: &Registry,
    batch: &Committed,
    file: &BatchFile,
) -> Result<(), (String, Box<Accusation>)> {
    let header = &batch.header;
    let first = if is_of(registry, file) {
        // The quick way, which believes what the file proves of the accounts before.
        match books.replay(separator, None, header, file, None) {
            Ok(()) => return Ok(()),
            Err(fault) => fault.to_string(),
        }
    } else {
        "a worker or a deal that the chain does not know so".to_owned()
    };
    match books.advance(separator, registry, header, file) {
        Ok(()) => {
            tracing::info!(pool = %header.pool, index = header.index, "tasks hold, the rest of the file does not: {first}");
            Ok(())
        }
        Err(accusation) => Err((words(&accusation, first), accusation)),
    }
}

/// Whether voters and deals are those of the chain.
fn is_of(registry: &Registry, file: &BatchFile) -> bool {
    let known = |task: &TaskEvidence| {
        let deal = registry.deals.get(&task.rec.deal_id);
        let voters = task.votes.iter().map(|vote| registry.workers.get(&vote.worker));
        deal.is_some_and(|deal| deal.slot == task.slot)
            && voters.eq(task.identities.iter().map(Some))
    };
    let same_terms = file.terms.iter().all(|opened| {
        registry.deals.get(&opened.id()).is_some_and(|known| known.terms == opened.terms)
    });
    same_terms && file.tasks.iter().all(known)
}

fn words(accusation: &Accusation, first: String) -> String {
    match accusation {
        Accusation::Hidden(fault) => fault.to_string(),
        Accusation::UnknownDeal(leaf) => {
            format!("task at place {}: deal {} is not the pool's", leaf.place, leaf.rec.deal_id)
        }
        Accusation::Step(fault, step) => format!("task at place {}: {fault}", step.leaf.place),
        Accusation::Header { .. } => first,
    }
}

/// A batch that was repeated, and all that is known besides.
pub(super) struct Known<'a> {
    /// The batch.
    pub(super) batch: &'a Committed,
    /// The batch before it.
    pub(super) before: Option<&'a Committed>,
    /// Its tasks that were given up although their votes decide.
    pub(super) given_up: &'a [StepProof],
    /// Its evidence.
    pub(super) file: &'a BatchFile,
    /// Its signatures, checked; without them some things cannot be shown.
    pub(super) seal: Option<&'a Seal>,
    /// The pool.
    pub(super) pool: &'a PoolKnown,
    /// Workers that have asked to leave, and when their stakes may.
    pub(super) leaving: &'a BTreeMap<u32, u64>,
    /// What its scheduler has said.
    pub(super) words: &'a Words,
    /// Keys of the workers the batch names.
    pub(super) registry: &'a Registry,
    /// For signatures.
    pub(super) separator: &'a Separator,
    /// The challenge window.
    pub(super) window_s: u64,
}

impl Known<'_> {
    /// What to ask the Court about a batch whose steps hold.
    pub(super) fn proofs(&self, court: &Court) -> Vec<Proof> {
        let leaves = self.file.tasks.iter().map(|task| task.rec.leaf()).collect();
        let tree = Tree::new(TASKS_DEPTH, leaves);
        let sets = self.seal.map(|seal| SealedSets::new(self.file, seal));
        let mut proofs = Vec::new();
        for (place, task) in (0..).zip(&self.file.tasks) {
            let asked = About { all: self, court, task, place, sets: sets.as_ref() };
            if asked.is_odd() {
                let path = tree.path(place.into());
                asked.proofs(&Leaf { place, rec: &task.rec, path: &path }, &mut proofs);
            }
        }
        proofs
    }
}

/// One task of it.
struct About<'a> {
    all: &'a Known<'a>,
    court: &'a Court,
    task: &'a TaskEvidence,
    place: u32,
    sets: Option<&'a SealedSets<'a>>,
}

impl About<'_> {
    fn task_id(&self) -> B256 {
        self.task.rec.deal_id.task_id(self.task.rec.task_idx)
    }

    /// Whether there is anything to ask: for most tasks there is not, and a path costs hashing.
    fn is_odd(&self) -> bool {
        let expired = self.task.rec.outcome == Outcome::Expired as u8;
        let silent = self.task.votes.iter().any(|vote| vote.digest.is_zero());
        expired || silent || !self.all.words.about(self.task_id()).is_empty()
    }

    fn proofs(&self, leaf: &Leaf<'_>, proofs: &mut Vec<Proof>) {
        let (court, batch) = (self.court, self.all.batch);
        proofs.extend(self.expired_early(leaf));
        proofs.extend(self.all.words.against(court, batch, leaf, self.task));
        proofs.extend(self.leavers(leaf));
        proofs.extend(self.stored());
        for vote in self.task.votes.iter().filter(|vote| vote.digest.is_zero()) {
            self.silent(leaf, vote, proofs);
        }
    }

    fn expired_early(&self, leaf: &Leaf<'_>) -> Option<Proof> {
        let expired = self.task.rec.outcome == Outcome::Expired as u8;
        let opened = self.all.registry.deals.get(&self.task.rec.deal_id)?;
        let committed_at = self.all.batch.opening.committed_at;
        let early = committed_at + SLACK_S < opened.terms.deadline;
        let filing = self.all.batch.filing();
        (expired && early).then(|| self.court.expired_early(&filing, leaf, &opened.terms))
    }

    /// The task was given up, its votes decide, and the bytes were acknowledged.
    fn stored(&self) -> Vec<Proof> {
        let mut given_up = self.all.given_up.iter();
        let Some(step) = given_up.find(|step| step.leaf.place == self.place) else {
            return Vec::new();
        };
        let halves = halves(self.all.before);
        let step = step_of(self.all.batch, &halves, step);
        let acks = self.all.words.reveals(self.task_id()).into_iter();
        let stored = acks.filter(|(ack, _)| ack.stored);
        stored.map(|ack| self.court.expired_stored(&step, ack)).collect()
    }

    /// Voters that were given the task after they had asked to leave.
    fn leavers(&self, leaf: &Leaf<'_>) -> Vec<Proof> {
        let Some(opened) = self.all.registry.deals.get(&self.task.rec.deal_id) else {
            return Vec::new();
        };
        let votes = self.votes();
        let filing = self.all.batch.filing();
        let assigns = self.all.words.assigns(self.task_id()).into_iter();
        let late = assigns.filter(|(assign, _)| {
            let exit_at = self.all.leaving.get(&assign.worker.0);
            exit_at.is_some_and(|exit_at| {
                let asked_at = exit_at.saturating_sub(self.all.window_s + EXIT_SLACK_S);
                assign.commit_deadline > asked_at + EXIT_NOTICE_S + opened.terms.max_task_time
            })
        });
        let proof =
            |assign| self.court.assigned_leaver(&filing, leaf, &votes, &opened.terms, assign);
        late.map(proof).collect()
    }

    /// A vote shown as never revealed: was its worker shown the set, was its time over, and was it not
    /// said on chain?
    fn silent(&self, leaf: &Leaf<'_>, vote: &Vote, proofs: &mut Vec<Proof>) {
        proofs.extend(self.ignored_demands(leaf, vote));
        let Some(signed) = self.latest_set(vote.attempt) else { return };
        let (filing, votes) = (self.all.batch.filing(), self.votes());
        let worker = WorkerIdx(vote.worker);
        let silent = Silent { filing: &filing, leaf, votes: &votes, signed: &signed, worker };
        let until = signed.set.reveal_deadline;
        if self.all.batch.opening.committed_at < until + SLACK_S {
            proofs.push(self.court.closed_early(&silent));
        }
        for (at, forced, reveal, posted) in self.posted(vote) {
            if forced.at <= until {
                let entries = entries(self.all.pool, at, self.all.batch.opening.inbox);
                let said = (reveal.digest, reveal.salt);
                proofs.push(self.court.vote_ignored(
                    &silent,
                    said,
                    &posted,
                    forced.before,
                    &entries,
                ));
            }
        }
    }

    /// Demands of the vote's worker that came in time, as its assignment has it. Whether one of the sets
    /// shown since is an answer is the Court's to say.
    fn ignored_demands(&self, leaf: &Leaf<'_>, vote: &Vote) -> Vec<Proof> {
        let (task_id, inbox) = (self.task_id(), &self.all.pool.inbox);
        let (filing, votes) = (self.all.batch.filing(), self.votes());
        let until = self.all.batch.opening.inbox;
        let is_its = |forced: &Forced| {
            forced.demand().is_some_and(|demand| {
                let about = demand.task_id == task_id && demand.attempt == vote.attempt;
                about && demand.worker.0 == vote.worker
            })
        };
        let demands = inbox.iter().enumerate().filter(|(_, forced)| is_its(forced));
        let assigns = self.all.words.assigns(task_id).into_iter();
        let assigns: Vec<_> = assigns
            .filter(|(assign, _)| assign.worker.0 == vote.worker && assign.attempt == vote.attempt)
            .collect();
        let mut proofs = Vec::new();
        for (at, forced) in demands {
            let entries = entries(self.all.pool, at, until);
            let Some(answers) = answers(self.all.pool, at, entries.len()) else { continue };
            for assign in &assigns {
                let shown = (entries.as_slice(), answers.as_slice());
                let before = forced.before;
                let court = self.court;
                proofs.push(court.demand_ignored(&filing, leaf, &votes, *assign, before, shown));
            }
        }
        proofs
    }

    /// The set of a round with the latest deadline of all that were signed.
    fn latest_set(&self, attempt: u16) -> Option<SignedSet> {
        let root = self.task.sets.get(usize::from(attempt))?.root;
        let sealed = self.sealed_set(attempt);
        let heard = self.all.words.sets(self.task_id(), attempt);
        let shown = self.shown_sets(attempt);
        let all = sealed.into_iter().chain(heard).chain(shown);
        let fit = all.filter(|signed| signed.set.root == root);
        fit.max_by_key(|signed| signed.set.reveal_deadline)
    }

    fn sealed_set(&self, attempt: u16) -> Option<SignedSet> {
        let sealed = self.sets?.of(self.place).into_iter().nth(attempt.into())?;
        let (pool, task_id) = (self.all.file.pool, self.task_id());
        let quorate_grid::task::SetRec { root, n, reveal_deadline } = sealed.set;
        let set = CommitSet { pool, task_id, attempt, root, n, reveal_deadline };
        Some(SignedSet { set, proof: sealed.proof })
    }

    /// Sets that were shown on chain.
    fn shown_sets(&self, attempt: u16) -> Vec<SignedSet> {
        let (task_id, signer) = (self.task_id(), self.all.pool.signer);
        let shown = self.all.pool.inbox.iter().filter_map(Forced::set);
        let about = shown.filter(|shown| {
            let hash = shown.set.struct_hash();
            shown.set.task_id == task_id
                && shown.set.attempt == attempt
                && shown.proof.signer(self.all.separator, hash) == Some(signer)
        });
        about.map(|shown| SignedSet { set: shown.set, proof: shown.proof }).collect()
    }

    /// Times the vote was said on chain, with the right signature, as far as the batch knows.
    fn posted(&self, vote: &Vote) -> Vec<(usize, &Forced, Reveal, FrameProof)> {
        let (task_id, inbox) = (self.task_id(), &self.all.pool.inbox);
        let key = self.all.registry.workers.get(&vote.worker).map(|identity| identity.vote_key);
        let until = inbox.iter().position(|f| f.after == self.all.batch.opening.inbox);
        let seen = inbox.iter().enumerate().take(until.map_or(0, |at| at + 1));
        let said = seen.filter_map(|(at, forced)| {
            let said = forced.vote()?;
            let signer = said.proof.signer(self.all.separator, said.reveal.struct_hash());
            let fits = said.reveal.task_id == task_id && signer.is_some() && signer == key;
            fits.then_some((at, forced, said.reveal, said.proof))
        });
        said.collect()
    }

    fn votes(&self) -> Vec<u8> {
        let roots: Vec<B256> = self.task.sets.iter().map(|set| set.root).collect();
        votes_bytes(&roots, &self.task.votes)
    }
}

/// The inbox from an entry on, up to what a batch is bound to.
fn entries(pool: &PoolKnown, from: usize, until: B256) -> Vec<Entry> {
    let mut entries = Vec::new();
    for forced in pool.inbox.iter().skip(from) {
        entries.push(Entry { at: forced.at, kind: forced.kind, hash: forced.hash });
        if forced.after == until {
            break;
        }
    }
    entries
}

/// Every set among the entries after the first; nothing if one of them cannot be read.
fn answers(pool: &PoolKnown, from: usize, count: usize) -> Option<Vec<SignedSet>> {
    const SET: u8 = 3;
    let later = pool.inbox.iter().skip(from + 1).take(count.saturating_sub(1));
    let sets = later.filter(|forced| forced.kind == SET);
    sets.map(|forced| forced.set().map(|shown| SignedSet { set: shown.set, proof: shown.proof }))
        .collect()
}
