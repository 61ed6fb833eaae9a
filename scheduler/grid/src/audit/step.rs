//! One settled task, repeated: the only implementation of the step there is outside the ledger that
//! made it and the contract. Knows nothing of where its inputs were proven.

use super::fault::{Fault, ensure, fault, same, who};
use crate::{
    apply::set_leaf,
    deal::{Opened, money},
    ledger::{DealBook, Identity, deal_leaf, place, worker_leaf},
    poco::{Ballot, Judgement, Outcome, Terms, judge, tally},
    task::SetRec,
};
use alloy_primitives::{Address, B256, U256};
use quorate_common::{
    accounts::{DealAccount, TaskRec, Vote, WorkerAccount, votes_hash},
    frame,
    ids::{DEALS_MAX, DealId, DealSlot, PoolId, REPLICAS_MAX, TASKS_MAX, WORKERS_MAX, WorkerIdx},
    keys::{Signature, recover},
    merkle::{BITMAP_DEPTH, Partial, SET_DEPTH, Tree, proves, root_of},
    messages::{Commit, Message as _, Reveal, Separator},
    terms::DealTerms,
};
use std::collections::BTreeMap;

/// Running totals of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) payout: u128,
    pub(super) fees: u128,
    pub(super) royalties: u128,
    pub(super) slashed: u128,
}

/// A voter before the step.
#[derive(Clone, Debug)]
pub(super) struct VoterBefore {
    pub(super) identity: Identity,
    pub(super) account: Option<WorkerAccount>,
}

/// A task and everything its step starts from. The accounts are proven by whoever builds this, the
/// terms checked by [`check_terms`].
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) separator: &'a Separator,
    pub(super) pool: PoolId,
    pub(super) terms: &'a DealTerms,
    /// `terms.id()`.
    pub(super) deal_id: DealId,
    pub(super) rec: &'a TaskRec,
    pub(super) sets: &'a [SetRec],
    pub(super) votes: &'a [Vote],
    pub(super) voters: &'a [VoterBefore],
    pub(super) deal: Option<&'a DealAccount>,
    /// The bitmap word of the task before the step, and its path in the deal's bitmap.
    pub(super) word: U256,
    pub(super) word_path: &'a [B256],
    /// What the accounts that change are marked with; see [`task_seq`](quorate_common::accounts::task_seq).
    pub(super) seq: u64,
    /// Totals before the step.
    pub(super) totals: Totals,
}

/// What a step comes to.
#[derive(Debug)]
pub(super) struct After {
    pub(super) judgement: Judgement,
    pub(super) workers: Vec<(WorkerIdx, WorkerAccount)>,
    pub(super) deal: DealAccount,
    pub(super) word: U256,
}

/// Whether a deal makes sense for `pool`, within the ranges the arithmetic needs.
pub(super) fn check_terms(pool: PoolId, opened: &Opened) -> Result<(), Fault> {
    let Opened { slot, terms } = opened;
    let ranges = [
        ("slot", u128::from(slot.0), 0, u128::from(DEALS_MAX) - 1),
        ("tasks", terms.tasks.into(), 1, TASKS_MAX.into()),
        ("pool", terms.pool.0.into(), pool.0.into(), pool.0.into()),
        ("unit price", terms.unit_price, 0, Terms::UNIT_PRICE_MAX),
        ("app price", terms.app_price, 0, Terms::UNIT_PRICE_MAX),
        ("dataset price", terms.dataset_price, 0, Terms::UNIT_PRICE_MAX),
        ("stake ratio", terms.stake_ratio.into(), 0, 100),
        ("scheduler ratio", terms.scheduler_ratio.into(), 0, 100),
        ("replicas", terms.replicas.into(), 1, REPLICAS_MAX as u128),
    ];
    for (field, value, least, most) in ranges {
        let expected = format_args!("{field} from {least} to {most}");
        ensure((least..=most).contains(&value), Fault::Terms, expected, value)?;
    }
    Ok(())
}

/// Who signed the frames that were looked at already: a frame's votes are spread over a batch, and to
/// recover a signer costs as much as two hundred hashes.
#[derive(Debug, Default)]
pub(super) struct Signers(BTreeMap<(B256, B256, B256), Option<Address>>);

impl Signers {
    fn of(&mut self, digest: B256, signature: Signature) -> Option<Address> {
        let known = self.0.entry((digest, signature.r, signature.vs));
        *known.or_insert_with(|| recover(digest, &signature))
    }
}

impl Step<'_> {
    /// Repeats the step, all but signatures and the state tree.
    ///
    /// # Errors
    /// The first check that fails.
    pub(super) fn take(&self) -> Result<After, Fault> {
        self.check_deal()?;
        self.check_voters()?;
        self.check_sets()?;
        let judgement = self.judge()?;
        self.check_totals(&judgement)?;
        let roots: Vec<B256> = self.sets.iter().map(|set| set.root).collect();
        same(Fault::VotesHash, votes_hash(&roots, self.votes), self.rec.votes_hash)?;
        self.after(judgement)
    }

    /// Checks every vote's signature: one recovery each, by far the dearest part of a step.
    pub(super) fn check_signatures(&self, signers: &mut Signers) -> Result<(), Fault> {
        for (vote, voter) in self.votes.iter().zip(self.voters) {
            let expected = Some(voter.identity.vote_key);
            let found = self.signer(vote, signers);
            ensure(found == expected, Fault::VoteSignature, who(expected), who(found))?;
        }
        Ok(())
    }

    fn signer(&self, vote: &Vote, signers: &mut Signers) -> Option<Address> {
        let set = self.sets.get(usize::from(vote.attempt))?;
        let (pool, task_id, attempt) = (self.pool, self.task_id(), vote.attempt);
        let hash = if vote.digest.is_zero() {
            Commit { pool, task_id, attempt, commitment: vote.salt }.struct_hash()
        } else {
            let (set_root, digest, salt) = (set.root, vote.digest, vote.salt);
            Reveal { pool, task_id, attempt, set_root, digest, salt }.struct_hash()
        };
        let (index, count) = (vote.frame_index, vote.frame_count);
        let digest = frame::digest_by_one(self.separator, hash, index, count, &vote.path)?;
        signers.of(digest, Signature { r: vote.r, vs: vote.vs })
    }

    fn task_id(&self) -> B256 {
        self.deal_id.task_id(self.rec.task_idx)
    }

    fn check_deal(&self) -> Result<(), Fault> {
        let Self { rec, terms, .. } = self;
        same(Fault::DealId, self.deal_id, rec.deal_id)?;
        let known = rec.task_idx < terms.tasks;
        ensure(known, Fault::TaskIdx, format_args!("below {}", terms.tasks), rec.task_idx)?;
        let deal = self.deal_before();
        same(Fault::DealId, self.deal_id, deal.deal_id)?;
        let (at, bit) = place(rec.task_idx);
        let (leaf, path) = (B256::from(self.word), self.word_path);
        let in_bitmap = proves(deal.settled_root, BITMAP_DEPTH, leaf, at.into(), path);
        ensure(
            in_bitmap,
            Fault::BitmapPath,
            format_args!("a path to {}", deal.settled_root),
            leaf,
        )?;
        ensure(!self.word.bit(bit), Fault::BitmapBit, "not settled before", "settled before")
    }

    fn deal_before(&self) -> DealAccount {
        self.deal.cloned().unwrap_or_else(|| DealBook::fresh(self.deal_id).account)
    }

    fn check_voters(&self) -> Result<(), Fault> {
        let (votes, most) = (self.votes.len(), usize::from(self.terms.replicas));
        ensure(votes <= most, Fault::VoteCount, format_args!("at most {most}"), votes)?;
        same(Fault::Voters, votes, self.voters.len())?;
        let mut round = 0;
        for (at, (vote, voter)) in self.votes.iter().zip(self.voters).enumerate() {
            let possible = (1..WORKERS_MAX).contains(&vote.worker);
            ensure(possible, Fault::WorkerIdx, "1 to 2^19 - 1", vote.worker)?;
            let again = self.votes[..at].iter().any(|other| other.worker == vote.worker);
            ensure(!again, Fault::WorkerTwice, "each worker once", WorkerIdx(vote.worker))?;
            let owner = voter.identity.owner;
            let again = self.voters[..at].iter().any(|other| other.identity.owner == owner);
            ensure(!again, Fault::OwnerTwice, "each owner once", owner)?;
            let fits = (round..self.sets.len()).contains(&usize::from(vote.attempt));
            let rounds = format_args!("{round} to below {}", self.sets.len());
            ensure(fits, Fault::VoteAttempt, rounds, vote.attempt)?;
            round = usize::from(vote.attempt);
            voter.check_identity()?;
        }
        Ok(())
    }

    fn check_sets(&self) -> Result<(), Fault> {
        let last = self.sets.last().map_or(B256::ZERO, |set| set.root);
        let attempt = self.sets.len().saturating_sub(1);
        same(Fault::Attempt, attempt, usize::from(self.rec.attempt))?;
        same(Fault::SetRoot, last, self.rec.commit_set_root)?;
        let leaves: Vec<B256> = self.votes.iter().map(|vote| self.set_leaf(vote)).collect();
        let mut before = 0;
        for (round, set) in self.sets.iter().enumerate() {
            let n = self.votes.iter().filter(|vote| usize::from(vote.attempt) <= round).count();
            ensure(n > before, Fault::SetSize, "a new commitment in each round", n)?;
            same(Fault::SetSize, n, usize::from(set.n))?;
            // Votes are in the order of rounds and at most fifteen: both checked with the voters.
            same(Fault::Set, Tree::new(SET_DEPTH, leaves[..n].to_vec()).root(), set.root)?;
            before = n;
        }
        Ok(())
    }

    fn set_leaf(&self, vote: &Vote) -> B256 {
        let worker = WorkerIdx(vote.worker);
        let commitment = if vote.digest.is_zero() {
            vote.salt
        } else {
            let (digest, salt) = (vote.digest, vote.salt);
            self.separator.commitment(self.task_id(), vote.attempt, worker, digest, salt)
        };
        set_leaf(worker, commitment)
    }

    /// Takes the vote again. Consensus needs a credible winner, "no quorum" that there is none.
    /// Expired says nothing of the votes: a winner whose bytes never came expires too.
    fn judge(&self) -> Result<Judgement, Fault> {
        let Self { rec, terms, .. } = self;
        let outcome = Outcome::from_number(rec.outcome)
            .ok_or_else(|| fault(Fault::Outcome, "1, 2 or 3", rec.outcome))?;
        let ballots: Vec<Ballot> = self.ballots().collect();
        let tally = tally(&ballots);
        let trust = terms.trust;
        let decided = || tally.decided(trust).map_or("no result".into(), |d| d.to_string());
        let claimed = rec.winner_digest;
        let winner = match outcome {
            Outcome::Consensus => {
                ensure(tally.holds(claimed, trust), Fault::Decision, decided(), claimed)?;
                Some(claimed)
            }
            Outcome::NoQuorum => {
                let open = tally.decided(trust).is_none();
                ensure(open, Fault::Decision, decided(), "no quorum")?;
                None
            }
            Outcome::Expired => None,
        };
        if winner.is_none() {
            ensure(claimed.is_zero(), Fault::Decision, "no result", claimed)?;
        }
        Ok(judge(&money(terms), winner, &ballots))
    }

    fn ballots(&self) -> impl Iterator<Item = Ballot> {
        self.votes.iter().zip(self.voters).map(|(vote, voter)| Ballot {
            score: voter.account.as_ref().map_or(0, |account| account.score),
            digest: (!vote.digest.is_zero()).then_some(vote.digest),
        })
    }

    fn check_totals(&self, judgement: &Judgement) -> Result<(), Fault> {
        let (rec, totals) = (self.rec, &self.totals);
        same(Fault::Reward, judgement.reward, rec.reward)?;
        let sums: [(fn(_) -> Fault, _, _, _); 4] = [
            (Fault::RunPayout, totals.payout, judgement.payout, rec.run_payout),
            (Fault::RunFees, totals.fees, judgement.fees, rec.run_fees),
            (Fault::RunRoyalties, totals.royalties, judgement.royalties, rec.run_royalties),
            (Fault::RunSlash, totals.slashed, judgement.slashed, rec.run_slash),
        ];
        for (check, before, more, found) in sums {
            let expected = add(before, more)?;
            same(check, expected, found)?;
        }
        Ok(())
    }

    fn after(&self, judgement: Judgement) -> Result<After, Fault> {
        let mut workers = Vec::with_capacity(self.votes.len());
        for ((vote, voter), verdict) in self.votes.iter().zip(self.voters).zip(&judgement.verdicts)
        {
            let mut account =
                voter.account.clone().unwrap_or_else(|| voter.identity.fresh_account());
            account.cum_earned = add(account.cum_earned, verdict.earned)?;
            account.cum_slashed = add(account.cum_slashed, verdict.slashed)?;
            account.score = verdict.score;
            account.last_task_seq = self.seq;
            workers.push((WorkerIdx(vote.worker), account));
        }
        let (at, bit) = place(self.rec.task_idx);
        let mut word = self.word;
        word.set_bit(bit, true);
        let mut deal = self.deal_before();
        deal.settled_root = root_of(B256::from(word), at.into(), self.word_path);
        deal.settled_count = deal
            .settled_count
            .checked_add(1)
            .ok_or_else(|| fault(Fault::Overflow, "a count below 2^32", deal.settled_count))?;
        deal.spent = add(deal.spent, judgement.spent)?;
        deal.refunded = add(deal.refunded, judgement.refunded)?;
        Ok(After { judgement, workers, deal, word })
    }
}

impl After {
    /// Changes `tree`, which must know the deal's and the voters' leaves, and compares its root.
    ///
    /// # Errors
    /// A leaf that is not known, or another root. `tree` is then of no use any more.
    pub(super) fn apply(
        &self,
        tree: &mut Partial,
        slot: DealSlot,
        rec: &TaskRec,
    ) -> Result<(), Fault> {
        for (worker, account) in &self.workers {
            let known = tree.set(worker_leaf(*worker), account.leaf());
            ensure(known, Fault::VoterPath, "every voter's account", "an unknown one")?;
        }
        let known = tree.set(deal_leaf(slot), self.deal.leaf());
        ensure(known, Fault::DealPath, "the deal's account", "an unknown one")?;
        same(Fault::PostState, tree.root(), rec.post_state_root)
    }
}

impl VoterBefore {
    fn check_identity(&self) -> Result<(), Fault> {
        let Some(account) = &self.account else { return Ok(()) };
        same(Fault::Identity, account.owner, self.identity.owner)?;
        same(Fault::Identity, account.vote_key, self.identity.vote_key)
    }
}

impl Totals {
    pub(super) fn of(rec: &TaskRec) -> Self {
        Self {
            payout: rec.run_payout,
            fees: rec.run_fees,
            royalties: rec.run_royalties,
            slashed: rec.run_slash,
        }
    }
}

fn add(sum: u128, more: u128) -> Result<u128, Fault> {
    let width = "a sum below 2^128";
    sum.checked_add(more)
        .ok_or_else(|| fault(Fault::Overflow, width, format_args!("{sum} + {more}")))
}
