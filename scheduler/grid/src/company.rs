//! Who votes how, and beside whom: counts for people who look for accomplices. Nothing is decided by it.
//!
//! Only *contested* tasks say something of a pair: where everybody agrees, honest workers and accomplices look
//! the same. Of those, a pair that stood together against others is remembered, and how often it lost together:
//! honest workers seldom are wrong in the same way twice.

use quorate_common::{digest::Digest, ids::WorkerIdx};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Pairs that are remembered: those of a hundred workers that only ever lie together, in 200 KiB. When there
/// are more, the pair that lost together least often makes room.
pub const PAIRS_MAX: usize = 4_096;

/// How a worker voted, over all settled tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Commitments that counted.
    pub votes: u64,
    /// Of these, for another result than the accepted one, or where none was.
    pub lost: u64,
    /// Of these, never revealed.
    pub missed: u64,
    /// Tasks on which the revealed votes differed.
    pub contested: u64,
}

/// Two workers on contested tasks where both said the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// How often.
    pub together: u64,
    /// How often that lost.
    pub lost: u64,
}

/// Counts of votes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Company {
    tallies: BTreeMap<WorkerIdx, Tally>,
    pairs: BTreeMap<(WorkerIdx, WorkerIdx), Pair>,
    /// Pairs that made room for others.
    forgotten: u64,
}

/// One vote of a settled task: who, for what (`None`: never revealed), and whether it lost.
pub type Cast = (WorkerIdx, Option<Digest>, bool);

impl Company {
    /// Counts a settled task.
    pub fn note(&mut self, votes: &[Cast]) {
        let answers: BTreeSet<Digest> = votes.iter().filter_map(|(_, digest, _)| *digest).collect();
        let contested = answers.len() > 1;
        for (worker, digest, lost) in votes {
            let tally = self.tallies.entry(*worker).or_default();
            tally.votes += 1;
            tally.lost += u64::from(*lost);
            tally.missed += u64::from(digest.is_none());
            tally.contested += u64::from(contested && digest.is_some());
        }
        if contested {
            self.note_pairs(votes);
        }
    }

    fn note_pairs(&mut self, votes: &[Cast]) {
        for (at, (one, digest, lost)) in votes.iter().enumerate() {
            let Some(digest) = digest else { continue };
            let same = votes[at + 1..].iter().filter(|(_, other, _)| *other == Some(*digest));
            for (other, ..) in same {
                let pair = self.pairs.entry((*one.min(other), *one.max(other))).or_default();
                pair.together += 1;
                pair.lost += u64::from(*lost);
            }
        }
        while self.pairs.len() > PAIRS_MAX {
            let least = self.pairs.iter().min_by_key(|(_, pair)| (pair.lost, pair.together));
            let Some(least) = least.map(|(pair, _)| *pair) else { return };
            self.pairs.remove(&least);
            self.forgotten += 1;
        }
    }

    /// How a worker voted; nothing of one that never did.
    pub fn tally(&self, worker: WorkerIdx) -> Tally {
        self.tallies.get(&worker).copied().unwrap_or_default()
    }

    /// Everybody who voted.
    pub fn tallies(&self) -> impl Iterator<Item = (WorkerIdx, Tally)> + '_ {
        self.tallies.iter().map(|(worker, tally)| (*worker, *tally))
    }

    /// The pairs to look at, the most suspicious first: those that lost together, then those that stood
    /// together most often.
    pub fn closest(&self, most: usize) -> Vec<((WorkerIdx, WorkerIdx), Pair)> {
        let mut pairs: Vec<_> = self.pairs.iter().map(|(who, pair)| (*who, *pair)).collect();
        pairs.sort_by_key(|(who, pair)| (std::cmp::Reverse((pair.lost, pair.together)), *who));
        pairs.truncate(most);
        pairs
    }

    /// Pairs that made room for others: what is shown is not all then.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(worker: u32, answer: u8, lost: bool) -> Cast {
        (WorkerIdx(worker), (answer > 0).then(|| Digest([answer; 32])), lost)
    }

    #[test]
    fn agreement_of_all_says_nothing_of_a_pair() {
        let mut company = Company::default();
        company.note(&[cast(1, 7, false), cast(2, 7, false)]);
        assert!(company.closest(9).is_empty());
        assert_eq!(company.tally(WorkerIdx(1)), Tally { votes: 1, ..Tally::default() });
    }

    #[test]
    fn who_loses_together_comes_first() {
        let mut company = Company::default();
        for _ in 0..3 {
            company.note(&[cast(1, 7, false), cast(2, 7, false), cast(3, 8, true)]);
        }
        company.note(&[cast(4, 9, true), cast(3, 9, true), cast(1, 7, false), cast(5, 0, true)]);
        let pairs: Vec<_> = company.closest(9).into_iter().map(|(who, pair)| (who, pair)).collect();
        let pair = |a, b| (WorkerIdx(a), WorkerIdx(b));
        assert_eq!(pairs[0], (pair(3, 4), Pair { together: 1, lost: 1 }));
        assert_eq!(pairs[1], (pair(1, 2), Pair { together: 3, lost: 0 }));
        let silent = company.tally(WorkerIdx(5));
        assert_eq!((silent.votes, silent.missed, silent.contested), (1, 1, 0));
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_worst() {
        let mut company = Company::default();
        company.note(&[cast(1, 1, true), cast(2, 1, true), cast(3, 2, false)]);
        let pairs = u32::try_from(PAIRS_MAX).expect("small");
        for other in 10..10 + pairs {
            company.note(&[cast(9, 1, false), cast(other, 1, false), cast(3, 2, true)]);
        }
        assert_eq!(company.closest(usize::MAX).len(), PAIRS_MAX);
        assert_eq!(company.forgotten(), 1);
        assert_eq!(company.closest(1)[0].0, (WorkerIdx(1), WorkerIdx(2)));
    }
}
