//! From what is wrong with a batch to the calls that may convince the Court, most telling first. Which
//! of them does is the Court's to say: it is asked before anything is announced.

use quorate_chain::court::{Court, Filing, Leaf, Proof, Step};
use quorate_common::{B256, anchor::Opening, messages::Header};
use quorate_grid::audit::{Accusation, LeafProof, StepProof};
use serde::{Deserialize, Serialize};

/// A batch that was committed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Committed {
    /// Its header.
    pub header: Header,
    /// What the contract's word of it holds besides.
    pub opening: Opening,
}

/// A batch, the one before it, and what is wrong.
#[derive(Debug)]
pub struct Brief<'a> {
    /// The batch.
    pub batch: &'a Committed,
    /// The batch before; `None` before the first.
    pub before: Option<&'a Committed>,
    /// What is wrong with it.
    pub accusation: &'a Accusation,
}

impl Brief<'_> {
    /// The calls to try.
    pub fn proofs(&self, court: &Court) -> Vec<Proof> {
        let filing = self.batch.filing();
        let before = self.before.map(Committed::filing);
        let mut proofs = match self.accusation {
            Accusation::Hidden(_) => Vec::new(),
            Accusation::UnknownDeal(leaf) => vec![court.unknown_deal(&filing, &leaf_of(leaf))],
            Accusation::Step(_, step) => self.step(court, step),
            Accusation::Header { last, odd } => {
                let last = last.iter().map(|leaf| court.totals(&filing, &leaf_of(leaf)));
                let odd = odd.iter();
                let odd = odd.map(|(place, leaf, path)| court.count(&filing, *place, *leaf, path));
                last.chain(odd).collect()
            }
        };
        proofs.push(court.parent(&filing, before.as_ref()));
        proofs
    }

    fn step(&self, court: &Court, proof: &StepProof) -> Vec<Proof> {
        let halves = halves(self.before);
        let step = step_of(self.batch, &halves, proof);
        vec![court.step(&step), court.expired_early(&step.filing, &step.leaf, &proof.terms)]
    }
}

/// The two halves of the word of the batch before, from which a batch's first task starts.
pub(super) fn halves(before: Option<&Committed>) -> Vec<B256> {
    let anchor = before.map(|before| before.opening.anchor());
    anchor.map(|anchor| vec![anchor.state_root, anchor.rest]).unwrap_or_default()
}

/// A step as the Court takes it.
pub(super) fn step_of<'a>(
    batch: &'a Committed,
    halves: &'a [B256],
    proof: &'a StepProof,
) -> Step<'a> {
    Step {
        filing: batch.filing(),
        leaf: leaf_of(&proof.leaf),
        terms: &proof.terms,
        deal: proof.deal.as_ref(),
        deal_path: &proof.deal_path,
        word: proof.word,
        word_path: &proof.word_path,
        before: proof.before.as_ref(),
        link: if proof.leaf.place == 0 { halves } else { &proof.link },
        voters: &proof.voters,
        votes: &proof.votes,
    }
}

impl Committed {
    /// As the Court takes it.
    pub fn filing(&self) -> Filing<'_> {
        Filing { header: &self.header, opening: &self.opening }
    }
}

fn leaf_of(leaf: &LeafProof) -> Leaf<'_> {
    Leaf { place: leaf.place, rec: &leaf.rec, path: &leaf.path }
}
