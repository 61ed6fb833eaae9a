//! Proof of Contribution, the arithmetic: weights, groups, the decision, pay, stake and score.
//! Integers only, so that the contract can repeat every step to the last unit (PROTOCOL.md
//! section 4). Who is asked to vote, and when, is `matching`'s and `grid`'s business.

use alloy_primitives::{B256, U256};
use quorate_common::bug::{self, Bug};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The weight of a vote by a worker with `score`: `max(floor(score / 3), 3) - 1`, never below 2.
///
/// # Source
/// iExec PoCo, `IexecPoco2Facet.contribute`.
pub fn weight(score: u32) -> u32 {
    (score / 3).max(3) - 1
}

/// The votes of one task, by digest.
///
/// ```text
/// group(d) = product of the weights behind d, saturating at 2^128 - 1
/// total    = 1 + sum of all groups                     (the 1 is "every vote is wrong")
/// decided  ⇔ group(d) · T > total · (T - 1)            T = max(trust, 1)
/// ```
///
/// Order does not matter. `1 / T` bounds the chance that the accepted vote is wrong.
///
/// # Source
/// iExec PoCo, `IexecPoco2Facet.checkConsensus`, after Sarmenta, "Sabotage-tolerance mechanisms
/// for volunteer computing systems" (FGCS 2002). Judged over revealed votes: `poco.md`, point 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    groups: Vec<(B256, u128)>,
}

impl Tally {
    /// Puts `weight` behind `digest`.
    pub fn add(&mut self, digest: B256, weight: u32) {
        let weight = u128::from(weight);
        match self.groups.iter_mut().find(|(known, _)| *known == digest) {
            Some((_, group)) => *group = group.saturating_mul(weight),
            None => self.groups.push((digest, weight)),
        }
    }

    /// Every group, in the order of its first vote.
    pub fn groups(&self) -> &[(B256, u128)] {
        &self.groups
    }

    /// The product behind `digest`; 0 where nobody voted for it.
    pub fn group(&self, digest: B256) -> u128 {
        self.groups.iter().find(|(known, _)| *known == digest).map_or(0, |(_, group)| *group)
    }

    /// One plus the sum of all groups. Exact: at most 15 groups of 128 bits.
    pub fn total(&self) -> U256 {
        self.groups.iter().fold(U256::from(1), |sum, (_, group)| sum + U256::from(*group))
    }

    /// The digest that is credible at `trust`, if one is. There is never more than one, except at
    /// trust 1, where the first voted for counts.
    pub fn decided(&self, trust: u32) -> Option<B256> {
        let total = self.total();
        let holds = |group: u128| decides(U256::from(group), total, trust);
        self.groups.iter().find(|(_, group)| holds(*group)).map(|(digest, _)| *digest)
    }

    /// Whether `digest` is credible at `trust`; at trust 1 that is every digest voted for.
    pub fn holds(&self, digest: B256, trust: u32) -> bool {
        let group = self.group(digest);
        group > 0 && decides(U256::from(group), self.total(), trust)
    }

    /// The digest with the largest group, the earliest among equals.
    pub fn leader(&self) -> Option<B256> {
        let best = self.groups.iter().rev().max_by_key(|(_, group)| *group)?;
        Some(best.0)
    }

    /// Whether the leader would be decided if votes of `weights` joined it: how many replicas to
    /// ask for. Without any vote yet, the weights form the first group.
    pub fn would_decide(&self, trust: u32, weights: impl Iterator<Item = u32>) -> bool {
        let mut hoped = self.clone();
        let leader = self.leader().unwrap_or_default();
        for weight in weights {
            hoped.add(leader, weight);
        }
        hoped.decided(trust).is_some()
    }
}

fn decides(group: U256, total: U256, trust: u32) -> bool {
    let trust = U256::from(trust.max(1));
    let (for_it, needed) = (group * trust, total * (trust - U256::from(1)));
    for_it > needed || (bug::is(Bug::LooseQuorum) && for_it == needed)
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// One result is credible.
    Consensus = 1,
    /// Votes were in, and no result was credible with the replicas allowed.
    NoQuorum = 2,
    /// The deal's deadline came first.
    Expired = 3,
}

impl Outcome {
    /// From its number on chain.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Consensus, Self::NoQuorum, Self::Expired].into_iter().find(|o| *o as u8 == number)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consensus => "consensus",
            Self::NoQuorum => "no quorum",
            Self::Expired => "expired",
        })
    }
}

/// What a deal says about money and trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Token units per task, at most [`Terms::UNIT_PRICE_MAX`].
    pub unit_price: u128,
    /// Token units per task to owners of application and dataset, at most twice as many.
    pub royalty: u128,
    /// Whole percent of the unit price at stake per vote, at most 100.
    pub stake_ratio: u8,
    /// Whole percent of a reward that is the scheduler's, at most 100.
    pub scheduler_ratio: u8,
    /// 1 / (chance of a wrong result).
    pub trust: u32,
}

impl Terms {
    /// 2^120: a reward with fifteen stakes and both royalties added still fits 128 bits.
    pub const UNIT_PRICE_MAX: u128 = 1 << 120;

    /// Token units one vote puts at stake: `floor(unit_price · stake_ratio / 100)`.
    pub fn stake(&self) -> u128 {
        percent(self.unit_price, self.stake_ratio)
    }
}

/// One committed vote, as it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The worker's score before the task.
    pub score: u32,
    /// What it revealed; `None`: nothing.
    pub digest: Option<B256>,
}

/// What a ballot comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Token units earned.
    pub earned: u128,
    /// Token units seized.
    pub slashed: u128,
    /// The score after the task.
    pub score: u32,
    /// Whether it was against the accepted result, or never revealed.
    pub lost: bool,
}

/// What a task comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Token units shared.
    pub reward: u128,
    /// Token units to workers.
    pub payout: u128,
    /// Token units to the scheduler.
    pub fees: u128,
    /// Token units to owners of application and dataset.
    pub royalties: u128,
    /// Token units seized.
    pub slashed: u128,
    /// Token units of the deal's lock spent.
    pub spent: u128,
    /// Token units owed back to the requester, seized stakes of a failed task included.
    pub refunded: u128,
    /// One per ballot, in order.
    pub verdicts: Vec<Verdict>,
}

/// The digest that is credible among revealed ballots.
pub fn decided(terms: &Terms, ballots: &[Ballot]) -> Option<B256> {
    tally(ballots).decided(terms.trust)
}

/// The tally of the revealed ballots.
pub fn tally(ballots: &[Ballot]) -> Tally {
    let mut tally = Tally::default();
    for ballot in ballots {
        if let Some(digest) = ballot.digest {
            tally.add(digest, weight(ballot.score));
        }
    }
    tally
}

/// Pays, seizes and scores (PROTOCOL.md section 4). `winner` is `Some` for consensus.
///
/// Conservation, exactly: `payout + fees + royalties + refunded = unit_price + royalty + slashed`.
pub fn judge(terms: &Terms, winner: Option<B256>, ballots: &[Ballot]) -> Judgement {
    let stake = terms.stake();
    let loses = |ballot: &Ballot| match (ballot.digest, winner) {
        (Some(digest), Some(winner)) => digest != winner,
        (None, _) => !bug::is(Bug::SparedSilence),
        (Some(_), None) => false,
    };
    let losers = ballots.iter().filter(|ballot| loses(ballot)).count() as u128;
    let slashed = losers * stake;
    let pot = terms.unit_price + slashed;
    let (reward, royalties, refunded) = match winner {
        Some(_) => (pot, terms.royalty, 0),
        None => (0, 0, pot + terms.royalty),
    };
    let spent = winner.map_or(0, |_| terms.unit_price + terms.royalty);
    let workers_reward = percent(reward, 100 - terms.scheduler_ratio.min(100));
    let log = |ballot: &Ballot| u128::from(weight(ballot.score).ilog2());
    let wins = |ballot: &Ballot| winner.is_some() && !loses(ballot);
    let logs: u128 = ballots.iter().filter(|b| wins(b)).map(log).sum();
    let winners = ballots.iter().filter(|b| wins(b)).count();
    let verdict = |ballot: &Ballot| {
        if wins(ballot) {
            let score = if winners > 1 || bug::is(Bug::LonePoint) {
                ballot.score.saturating_add(1)
            } else {
                ballot.score
            };
            Verdict {
                earned: share(workers_reward, log(ballot), logs),
                slashed: 0,
                score,
                lost: false,
            }
        } else if loses(ballot) {
            let score = u32::try_from(u64::from(ballot.score) * 2 / 3).expect("two thirds fit");
            Verdict { earned: 0, slashed: stake, score, lost: true }
        } else {
            Verdict { earned: 0, slashed: 0, score: ballot.score, lost: false }
        }
    };
    let verdicts: Vec<Verdict> = ballots.iter().map(verdict).collect();
    let payout = verdicts.iter().map(|verdict| verdict.earned).sum();
    let fees = reward - payout;
    Judgement { reward, payout, fees, royalties, slashed, spent, refunded, verdicts }
}

/// `floor(amount · percent / 100)`, without a wider product.
fn percent(amount: u128, percent: u8) -> u128 {
    let percent = u128::from(percent);
    amount / 100 * percent + amount % 100 * percent / 100
}

/// `floor(amount · part / whole)`, without a wider product; part and whole are below 2^10.
fn share(amount: u128, part: u128, whole: u128) -> u128 {
    if whole == 0 {
        return 0;
    }
    if bug::is(Bug::PayTwice) {
        return amount;
    }
    let rest = amount % whole * part;
    let rest = if bug::is(Bug::RoundUp) { rest.div_ceil(whole) } else { rest / whole };
    amount / whole * part + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    #[test]
    fn the_example_of_the_rules() {
        let mut tally = Tally::default();
        let mut rows = Vec::new();
        for (score, vote) in [(12, 1), (100, 2), (300, 2)] {
            tally.add(digest(vote), weight(score));
            let decided = tally.decided(100) == Some(digest(vote));
            rows.push((tally.group(digest(vote)), tally.total(), decided));
        }
        let expected = [(3_u128, 4_u64, false), (32, 36, false), (3168, 3172, true)];
        assert_eq!(rows, expected.map(|(g, t, d)| (g, U256::from(t), d)));
    }

    #[test]
    fn one_worker_suffices_from_three_times_trust_plus_one() {
        for trust in [2_u32, 5, 100, 10_000] {
            let alone =
                |score| Tally::default().would_decide(trust, std::iter::once(weight(score)));
            let enough = 3 * (trust + 1);
            assert!(enough < 12 || alone(enough), "trust {trust}");
            assert!(!alone(enough - 1) || trust == 2, "trust {trust}");
        }
    }

    #[test]
    fn new_workers_needed_without_opposition() {
        for (trust, needed) in [(5_u32, 3_usize), (100, 7)] {
            let votes = |n| Tally::default().would_decide(trust, std::iter::repeat_n(2, n));
            assert!(votes(needed) && !votes(needed - 1), "trust {trust}");
        }
    }

    #[test]
    fn saturated_groups_do_not_both_win() {
        let mut tally = Tally::default();
        for vote in [1, 2] {
            for _ in 0..7 {
                tally.add(digest(vote), u32::MAX / 3);
            }
        }
        assert_eq!(tally.group(digest(1)), u128::MAX);
        assert_eq!(tally.decided(2), None);
    }

    proptest! {
        #[test]
        fn nothing_is_made_and_nothing_lost(
            price in 0..=Terms::UNIT_PRICE_MAX,
            royalty in 0..=2 * Terms::UNIT_PRICE_MAX,
            stake_ratio in 0_u8..=100,
            scheduler_ratio in 0_u8..=100,
            votes in proptest::collection::vec((any::<u32>(), proptest::option::of(1_u8..4)), 0..16),
            winner in proptest::option::of(1_u8..4),
        ) {
            let terms = Terms { unit_price: price, royalty, stake_ratio, scheduler_ratio, trust: 5 };
            let ballots: Vec<Ballot> = votes
                .into_iter()
                .map(|(score, vote)| Ballot { score, digest: vote.map(digest) })
                .collect();
            let j = judge(&terms, winner.map(digest), &ballots);
            prop_assert_eq!(j.payout + j.fees + j.royalties + j.refunded, price + royalty + j.slashed);
            prop_assert_eq!(j.spent + j.refunded - if winner.is_none() { j.slashed } else { 0 }, price + royalty);
            prop_assert_eq!(j.verdicts.iter().map(|v| v.slashed).sum::<u128>(), j.slashed);
        }

        #[test]
        fn the_order_of_votes_does_not_matter(
            mut votes in proptest::collection::vec((2_u32..50, 1_u8..4), 1..15),
            trust in 1_u32..1000,
        ) {
            let count = |votes: &[(u32, u8)]| {
                let mut tally = Tally::default();
                for &(weight, vote) in votes {
                    tally.add(digest(vote), weight);
                }
                (tally.total(), if trust > 1 { tally.decided(trust) } else { None })
            };
            let before = count(&votes);
            votes.reverse();
            prop_assert_eq!(before, count(&votes));
        }
    }
}
