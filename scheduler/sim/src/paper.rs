//! The arithmetic of trust and pay once more, as PROTOCOL.md section 4 has it, written from the page and
//! not from the grid's code: what both get wrong together is only found if they are two.

use alloy_primitives::{B256, U256, keccak256};
use quorate_common::ids::WorkerIdx;
use std::collections::BTreeMap;

/// A vote in a frozen set.
#[derive(Clone, Copy, Debug)]
pub struct Ballot {
    /// Who.
    pub worker: WorkerIdx,
    /// Its score before.
    pub score: u32,
    /// What it showed; `None`: nothing.
    pub shown: Option<B256>,
}

/// What a deal says about money and trust.
#[derive(Clone, Copy, Debug)]
pub struct Price {
    /// Token units per task for the work.
    pub work: u128,
    /// Token units per task for application and dataset.
    pub royalty: u128,
    /// Whole percent of `work`.
    pub stake_ratio: u8,
    /// Whole percent of a reward.
    pub scheduler_ratio: u8,
    /// Trust asked for.
    pub trust: u32,
}

/// What a vote came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Who.
    pub worker: WorkerIdx,
    /// Token units earned.
    pub earned: u128,
    /// Token units seized.
    pub seized: u128,
    /// The score after.
    pub score: u32,
}

/// What a task came to.
#[derive(Clone, Debug)]
pub struct Dues {
    /// One per ballot.
    pub votes: Vec<Due>,
    /// Token units of the lock that are spent.
    pub spent: u128,
    /// Token units owed back.
    pub refunded: u128,
}

impl Price {
    /// Token units a vote puts at stake.
    pub fn stake(&self) -> u128 {
        (U256::from(self.work) * U256::from(self.stake_ratio) / U256::from(100)).to()
    }
}

/// `max(floor(s / 3), 3) - 1`.
pub fn weight(score: u32) -> u128 {
    if score < 12 { 2 } else { u128::from(score / 3) - 1 }
}

/// Whether `digest` has the consensus of these ballots.
pub fn has_consensus(trust: u32, ballots: &[Ballot], digest: B256) -> bool {
    let mut groups: BTreeMap<B256, u128> = BTreeMap::new();
    for ballot in ballots {
        let Some(shown) = ballot.shown else { continue };
        let group = groups.entry(shown).or_insert(1);
        *group = group.saturating_mul(weight(ballot.score));
    }
    let total = groups.values().fold(U256::from(1), |sum, group| sum + U256::from(*group));
    let Some(group) = groups.get(&digest) else { return false };
    let trust = U256::from(trust.max(1));
    U256::from(*group) * trust > total * (trust - U256::from(1))
}

/// Whether anything has.
pub fn is_decided(trust: u32, ballots: &[Ballot]) -> bool {
    ballots.iter().filter_map(|ballot| ballot.shown).any(|d| has_consensus(trust, ballots, d))
}

/// Pays, seizes and scores.
pub fn settle(price: &Price, winner: Option<B256>, ballots: &[Ballot]) -> Dues {
    let wins = |ballot: &&Ballot| winner.is_some() && ballot.shown == winner;
    let loses = |ballot: &&Ballot| match ballot.shown {
        None => true,
        Some(shown) => winner.is_some_and(|winner| winner != shown),
    };
    let (stake, losers) = (price.stake(), ballots.iter().filter(loses).count() as u128);
    let winners = ballots.iter().filter(wins).count();
    let reward = U256::from(price.work + losers * stake);
    let pot = reward * U256::from(100 - price.scheduler_ratio) / U256::from(100);
    let share = |ballot: &Ballot| U256::from(weight(ballot.score).ilog2());
    let shares = ballots.iter().filter(wins).map(share).fold(U256::ZERO, |a, b| a + b);
    let due = |ballot: &Ballot| {
        let (worker, score) = (ballot.worker, ballot.score);
        if wins(&ballot) {
            let score = score.saturating_add(u32::from(winners > 1));
            Due { worker, earned: (pot * share(ballot) / shares).to(), seized: 0, score }
        } else if loses(&ballot) {
            let score = (u64::from(score) * 2 / 3) as u32;
            Due { worker, earned: 0, seized: stake, score }
        } else {
            Due { worker, earned: 0, seized: 0, score }
        }
    };
    let whole = price.work + price.royalty;
    Dues {
        votes: ballots.iter().map(due).collect(),
        spent: if winner.is_some() { whole } else { 0 },
        refunded: if winner.is_some() { 0 } else { whole + losers * stake },
    }
}

/// `keccak256(abi.encode(separator, taskId, attempt, workerIdx, resultDigest, salt))`.
pub fn commitment(
    separator: B256,
    task_id: B256,
    attempt: u16,
    worker: WorkerIdx,
    digest: B256,
    salt: B256,
) -> B256 {
    let mut bytes = [0; 192];
    bytes[..32].copy_from_slice(&separator.0);
    bytes[32..64].copy_from_slice(&task_id.0);
    bytes[94..96].copy_from_slice(&attempt.to_be_bytes());
    bytes[124..128].copy_from_slice(&worker.0.to_be_bytes());
    bytes[128..160].copy_from_slice(&digest.0);
    bytes[160..].copy_from_slice(&salt.0);
    keccak256(bytes)
}
