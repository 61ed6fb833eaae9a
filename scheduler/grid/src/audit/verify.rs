//! Checking one receipt, offline, against nothing but the hash of a finalized header.

use super::{
    fault::{Fault, ensure, fault, same, who},
    step::{After, Signers, Step, Totals, VoterBefore, check_terms},
    walk::check_sums,
};
use crate::{
    deal::Opened,
    evidence::{Before, Receipt},
    ledger::{Identity, deal_leaf, worker_leaf},
    poco::{Outcome, Verdict},
    task::SetRec,
};
use alloy_primitives::{Address, B256};
use quorate_common::{
    accounts::{DealAccount, TaskRec, WorkerAccount, task_seq},
    digest::Digest,
    frame,
    ids::{DealId, PoolId, WorkerIdx},
    keys::recover,
    merkle::{Partial, STATE_DEPTH, TASKS_DEPTH, proves, zero},
    messages::{CommitSet, Domain, Header, Message as _, Separator},
};
use std::collections::BTreeMap;

/// What a verifier must know from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Chain and contract.
    pub domain: Domain,
    /// The finalized header's struct hash, as the contract holds it.
    pub header_hash: B256,
    /// The pool's signer, if the chain told it. Without, the receipt's own word is taken for it:
    /// the header's hash already says that the contract accepted it.
    pub signer: Option<Address>,
}

/// What a receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Which pool.
    pub pool: PoolId,
    /// Which batch.
    pub batch: u64,
    /// The task's place in it.
    pub place: u32,
    /// Who signed header and commit sets.
    pub signer: Address,
    /// What both sides agreed on.
    pub terms: Opened,
    /// Whose task.
    pub deal: DealId,
    /// Which task.
    pub task_idx: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// The accepted result, for consensus.
    pub winner: Option<Digest>,
    /// Token units shared by winners and scheduler.
    pub reward: u128,
    /// Token units of that to the scheduler.
    pub fees: u128,
    /// Rounds of voting.
    pub rounds: usize,
    /// Who voted for what and what it brought, in the order of the commits.
    pub voters: Vec<VerifiedVote>,
}

/// One vote a receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedVote {
    /// Who.
    pub worker: WorkerIdx,
    /// Its keys.
    pub identity: Identity,
    /// Its score before.
    pub score_before: u32,
    /// For what; `None`: never revealed.
    pub digest: Option<Digest>,
    /// What it brought.
    pub verdict: Verdict,
}

/// Checks everything a receipt says, signatures last since they are dearest.
///
/// # Errors
/// The first check that fails.
pub fn verify(receipt: &Receipt, anchor: &Anchor) -> Result<Verified, Fault> {
    let separator = anchor.domain.separator();
    same(Fault::Schema, Receipt::SCHEMA, receipt.schema.as_str())?;
    let domain = |domain: &Domain| format!("{} on chain {}", domain.contract, domain.chain_id);
    same(Fault::Domain, domain(&anchor.domain), domain(&receipt.domain))?;
    same(Fault::HeaderHash, anchor.header_hash, receipt.header.struct_hash())?;
    check_place(receipt)?;
    let (root, totals) = check_before(receipt)?;
    check_terms(receipt.header.pool, &receipt.deal)?;
    let mut tree = check_accounts(receipt, root)?;
    let voters: Vec<VoterBefore> = receipt.voters.iter().map(VoterBefore::from).collect();
    let sets: Vec<SetRec> = receipt.sets.iter().map(|signed| signed.set.clone()).collect();
    let step = Step {
        separator: &separator,
        pool: receipt.header.pool,
        terms: &receipt.deal.terms,
        deal_id: receipt.deal.id(),
        rec: &receipt.rec,
        sets: &sets,
        votes: &receipt.votes,
        voters: &voters,
        deal: receipt.deal_account.as_ref(),
        word: receipt.word,
        word_path: &receipt.word_path,
        seq: task_seq(receipt.header.index, receipt.place),
        totals,
    };
    let after = step.take()?;
    after.apply(&mut tree, receipt.deal.slot, &receipt.rec)?;
    step.check_signatures(&mut Signers::default())?;
    check_scheduler(receipt, anchor, &separator)?;
    Ok(verified(receipt, after))
}

/// The hashes of `headers`, oldest first and without gaps, by index, if they lead to the header whose
/// hash is `head`: one finalized hash anchors the receipts of every batch before it.
///
/// # Errors
/// A header of another pool or index than the one before it calls for, or that does not lead on.
pub fn ancestors(head: B256, headers: &[Header]) -> Result<BTreeMap<u64, B256>, Fault> {
    let mut hashes = BTreeMap::new();
    for pair in headers.windows(2) {
        let (parent, header) = (&pair[0], &pair[1]);
        same(Fault::Pool, parent.pool, header.pool)?;
        same(Fault::Index, parent.index.saturating_add(1), header.index)?;
        let hash = parent.struct_hash();
        same(Fault::Parent, hash, header.parent)?;
        hashes.insert(parent.index, hash);
    }
    if let Some(last) = headers.last() {
        same(Fault::HeaderHash, head, last.struct_hash())?;
        hashes.insert(last.index, head);
    }
    Ok(hashes)
}

/// The task stands where the receipt says, and the last task's sums are the header's.
fn check_place(receipt: &Receipt) -> Result<(), Fault> {
    let Receipt { header, place, rec, path, .. } = receipt;
    ensure(*place < header.count, Fault::Place, format_args!("below {}", header.count), place)?;
    let proven = proves(header.tasks_root, TASKS_DEPTH, rec.leaf(), (*place).into(), path);
    ensure(proven, Fault::TaskPath, format_args!("a path to {}", header.tasks_root), rec.leaf())?;
    if place + 1 == header.count {
        same(Fault::StateRoot, rec.post_state_root, header.state_root)?;
        check_sums(&Totals::of(rec), header)?;
    }
    Ok(())
}

/// The state root and the totals the step starts from.
fn check_before(receipt: &Receipt) -> Result<(B256, Totals), Fault> {
    let Receipt { header, place, before, .. } = receipt;
    let wrong = |expected: &str| fault(Fault::Before, expected, "something else");
    match (before, place.checked_sub(1)) {
        (Before::Nothing, None) => {
            same(Fault::Index, 1, header.index)?;
            same(Fault::Parent, B256::ZERO, header.parent)?;
            Ok((zero(STATE_DEPTH), Totals::default()))
        }
        (Before::Parent(parent), None) => {
            same(Fault::Parent, header.parent, parent.struct_hash())?;
            same(Fault::Pool, header.pool, parent.pool)?;
            same(Fault::Index, parent.index.saturating_add(1), header.index)?;
            Ok((parent.state_root, Totals::default()))
        }
        (Before::Task { rec, path }, Some(before)) => {
            let proven = proves(header.tasks_root, TASKS_DEPTH, rec.leaf(), before.into(), path);
            ensure(proven, Fault::Before, "the task before it", rec.leaf())?;
            Ok((rec.post_state_root, Totals::of(rec)))
        }
        (Before::Nothing | Before::Parent(_), Some(_)) => Err(wrong("the task before it")),
        (Before::Task { .. }, None) => Err(wrong("the parent header, or nothing")),
    }
}

/// The accounts the step starts from are in the state before.
fn check_accounts(receipt: &Receipt, root: B256) -> Result<Partial, Fault> {
    let mut tree = Partial::new(STATE_DEPTH, root);
    let leaf = receipt.deal_account.as_ref().map_or(B256::ZERO, DealAccount::leaf);
    let proven = tree.learn(deal_leaf(receipt.deal.slot), leaf, &receipt.deal_path);
    ensure(proven, Fault::DealPath, format_args!("a path to {root}"), leaf)?;
    same(Fault::Voters, receipt.votes.len(), receipt.voters.len())?;
    for (vote, voter) in receipt.votes.iter().zip(&receipt.voters) {
        same(Fault::Voters, WorkerIdx(vote.worker), voter.worker)?;
        let leaf = voter.account.as_ref().map_or(B256::ZERO, WorkerAccount::leaf);
        let proven = tree.learn(worker_leaf(voter.worker), leaf, &voter.path);
        ensure(proven, Fault::VoterPath, format_args!("a path to {root}"), leaf)?;
    }
    Ok(tree)
}

/// One signer, and the right one if it is known, signed header and sets.
fn check_scheduler(receipt: &Receipt, anchor: &Anchor, separator: &Separator) -> Result<(), Fault> {
    let signer = anchor.signer.unwrap_or(receipt.signer);
    same(Fault::HeaderSignature, signer, receipt.signer)?;
    let digest = separator.digest(receipt.header.struct_hash());
    let found = recover(digest, &receipt.header_signature);
    ensure(found == Some(signer), Fault::HeaderSignature, signer, who(found))?;
    let TaskRec { deal_id, task_idx, .. } = receipt.rec;
    let (pool, task_id) = (receipt.header.pool, deal_id.task_id(task_idx));
    for (attempt, signed) in (0_u16..).zip(&receipt.sets) {
        let SetRec { root, n, reveal_deadline } = signed.set;
        let hash = CommitSet { pool, task_id, attempt, root, n, reveal_deadline }.struct_hash();
        let proof = &signed.proof;
        let (index, count, path) = (proof.index, proof.count, &proof.path);
        let found = frame::signer_of_one(separator, hash, index, count, path, &proof.signature);
        ensure(found == Some(signer), Fault::SetSignature, signer, who(found))?;
    }
    Ok(())
}

fn verified(receipt: &Receipt, after: After) -> Verified {
    let Receipt { header, rec, voters, votes, .. } = receipt;
    let outcome = Outcome::from_number(rec.outcome).expect("the step checked it");
    let digest = |word: B256| (!word.is_zero()).then(|| Digest::from(word));
    let votes = voters.iter().zip(votes).zip(after.judgement.verdicts);
    Verified {
        pool: header.pool,
        batch: header.index,
        place: receipt.place,
        signer: receipt.signer,
        terms: receipt.deal.clone(),
        deal: rec.deal_id,
        task_idx: rec.task_idx,
        outcome,
        winner: digest(rec.winner_digest),
        reward: rec.reward,
        fees: after.judgement.fees,
        rounds: receipt.sets.len(),
        voters: votes
            .map(|((voter, vote), verdict)| VerifiedVote {
                worker: voter.worker,
                identity: voter.identity,
                score_before: voter.account.as_ref().map_or(0, |account| account.score),
                digest: digest(vote.digest),
                verdict,
            })
            .collect(),
    }
}

impl From<&crate::evidence::Voter> for VoterBefore {
    fn from(voter: &crate::evidence::Voter) -> Self {
        Self { identity: voter.identity, account: voter.account.clone() }
    }
}
