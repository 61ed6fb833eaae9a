//! Calibration: whether a program in a container says the same on every machine. A module does by its
//! engine; a container need not, and then honest workers contradict each other. Until a program has shown
//! that it agrees with itself, a task of it that is answered in two ways ends without a loser.
//!
//! Here: what is known of a program, and how that changes. What a task does with it is `spared`'s.

use crate::{
    deal::Deal,
    task::{Open, ReplicaState},
};
use alloy_primitives::B256;
use quorate_common::{
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Workers that a task of a new program goes to, of different owners and networks: as many as threats.md
/// asks for. A program that differs on one machine in two is let through by five with a chance of 1/16.
pub const CALIBRATORS: usize = 5;
/// Fewer are enough where nobody else is here: two that differ do not say which of them is odd.
pub const CALIBRATORS_LEAST: usize = 3;
/// Votes that must have borne out another one: two tasks of five workers, or four of three.
pub const AGREEMENTS: u32 = 8;
/// Tasks of a new program under way at once: what an erratic one can waste before it is known for one, and
/// just enough to prove it if all agree.
pub const OPEN_MAX: u32 = 2;
/// Tasks in which a minority differed, or proofs that were lost, until it is the program and not the
/// workers: each time it were others, for who differed is not asked again.
pub const TORN_MAX: u32 = 3;

/// What the bag of a deal says that decides who works on it, and how far answers are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// What runs, if it is a container: all deals of one program share its calibration.
    pub program: Option<Digest>,
    /// Node keys of those who can read its inputs, if they are sealed; else nobody is named.
    pub readers: BTreeSet<B256>,
}

/// Two votes of one task for different results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The task.
    pub task: TaskKey,
    /// One of those that more workers voted for, and another.
    pub votes: [(WorkerIdx, Digest); 2],
}

/// Where a program stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// New, or it differed once after it was proven: nobody loses by it.
    #[default]
    Calibrating,
    /// Enough workers agreed: who differs is wrong.
    Proven,
    /// It disagrees with itself. A new deal begins its calibration anew.
    Erratic,
}

/// What is known of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Where it stands.
    pub state: Calibration,
    /// Votes that bore out another since it was last torn by so many that it began anew.
    pub agreements: u32,
    /// Tasks in which a minority differed since.
    pub torn: u32,
    /// How often it was proven and differed after all.
    pub relapses: u32,
    /// Tasks under way that calibrate it.
    pub open: u32,
    /// Workers that differed from a majority: they get no more of it. Either they lie, or their machine
    /// is not what it was made for.
    pub aside: BTreeSet<WorkerIdx>,
}

/// How the votes of a task fell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// Voters by result.
    groups: BTreeMap<Digest, Vec<WorkerIdx>>,
}

impl Work {
    /// Whether a node can read the inputs.
    pub(crate) fn is_read_by(&self, node: B256) -> bool {
        self.readers.is_empty() || self.readers.contains(&node)
    }
}

impl Program {
    /// Whether who differs is wrong.
    pub fn is_proven(&self) -> bool {
        self.state == Calibration::Proven
    }

    /// Whether another task of so many workers is to calibrate it: not if those under way are enough.
    pub(crate) fn wants(&self, workers: usize) -> bool {
        let each = u32::try_from(workers.saturating_sub(1)).expect("at most five");
        let hoped = self.agreements + self.open * each;
        self.open == 0 || (self.open < OPEN_MAX && hoped < AGREEMENTS)
    }

    /// A new deal of it: what was erratic may have been mended, or was made to look so.
    pub(crate) fn meet(&mut self) {
        if self.state == Calibration::Erratic {
            (self.state, self.agreements, self.torn) = (Calibration::Calibrating, 0, 0);
            self.relapses = 0;
        }
    }

    /// All voters of a task agreed.
    pub(crate) fn agree(&mut self, voters: usize) {
        let borne_out = voters.min(CALIBRATORS).saturating_sub(1);
        self.agreements += u32::try_from(borne_out).expect("at most five");
        if self.state == Calibration::Calibrating && self.agreements >= AGREEMENTS {
            (self.state, self.torn) = (Calibration::Proven, 0);
        }
    }

    /// The voters of a task did not agree.
    pub(crate) fn tear(&mut self, split: &Split) {
        self.aside.extend(split.minority());
        let relapses = self.is_proven();
        if relapses {
            (self.state, self.agreements) = (Calibration::Calibrating, 0);
            self.relapses += 1;
        } else {
            self.torn += 1;
        }
        let scattered = !relapses && split.is_scattered();
        if scattered || self.torn >= TORN_MAX || self.relapses >= TORN_MAX {
            self.state = Calibration::Erratic;
        }
    }
}

impl Split {
    /// How a task's revealed votes fell.
    pub(crate) fn of(open: &Open) -> Self {
        let mut split = Self::default();
        for replica in &open.replicas {
            if let ReplicaState::Revealed(vote) = &replica.state {
                split.groups.entry(vote.digest).or_default().push(replica.worker);
            }
        }
        split
    }

    /// Whether there are two answers.
    pub(crate) fn differs(&self) -> bool {
        self.groups.len() > 1
    }

    pub(crate) fn voters(&self) -> usize {
        self.groups.values().map(Vec::len).sum()
    }

    /// Those who differ from more than half; where there is no such half, nobody is known to be odd.
    fn minority(&self) -> Vec<WorkerIdx> {
        let most = |voters: &Vec<WorkerIdx>| voters.len() * 2 > self.voters();
        if !self.groups.values().any(most) {
            return Vec::new();
        }
        self.groups.values().filter(|voters| !most(voters)).flatten().copied().collect()
    }

    /// Whether at least three voted and no answer has more than half of them: one liar cannot do that.
    fn is_scattered(&self) -> bool {
        self.voters() >= CALIBRATORS_LEAST && self.minority().is_empty()
    }

    /// Two votes that differ: of the largest group, and of the next.
    pub(crate) fn pair(&self) -> Option<[(WorkerIdx, Digest); 2]> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(_, voters)| std::cmp::Reverse(voters.len()));
        let [one, other, ..] = groups.as_slice() else { return None };
        let vote = |(digest, voters): &(&Digest, &Vec<WorkerIdx>)| {
            voters.iter().min().map(|worker| (*worker, **digest))
        };
        Some([vote(one)?, vote(other)?])
    }
}

impl Deal {
    /// Replicas that a task of it goes to first while its program is not proven. Where one vote is
    /// enough for the requester nobody can contradict it, so nobody needs to be spared.
    pub(crate) fn calibrators(&self) -> usize {
        if self.terms.trust <= 1 { 1 } else { CALIBRATORS.min(self.replicas_max()) }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn split(votes: &[u8]) -> Split {
        let mut split = Split::default();
        for (vote, worker) in votes.iter().zip(1..) {
            split.groups.entry(Digest([*vote; 32])).or_default().push(WorkerIdx(worker));
        }
        split
    }

    #[test]
    fn two_tasks_of_five_or_four_of_three_prove_it() {
        for (voters, tasks) in [(5, 2), (7, 2), (3, 4), (2, 8)] {
            let mut program = Program::default();
            for task in 1..=tasks {
                assert!(!program.is_proven(), "{voters} voters, {task} tasks");
                program.agree(voters);
            }
            assert!(program.is_proven(), "{voters} voters, {tasks} tasks");
        }
    }

    #[test]
    fn a_lone_voter_bears_nobody_out() {
        let mut program = Program::default();
        (0..100).for_each(|_| program.agree(1));
        assert_eq!(program, Program::default());
    }

    #[test]
    fn what_scatters_is_erratic_at_once() {
        for votes in [&[1, 2, 3][..], &[1, 1, 2, 2], &[1, 2, 3, 4, 5], &[1, 1, 2, 3]] {
            let mut program = Program::default();
            program.tear(&split(votes));
            assert_eq!(program.state, Calibration::Erratic, "{votes:?}");
            assert!(program.aside.is_empty(), "nobody of {votes:?} is known to be odd");
        }
    }

    #[test]
    fn a_minority_is_set_aside_and_three_make_it_the_program() {
        let mut program = Program::default();
        for torn in 1..TORN_MAX {
            program.tear(&split(&[1, 1, 1, 2]));
            assert_eq!((program.state, program.torn), (Calibration::Calibrating, torn));
            assert_eq!(program.aside, [WorkerIdx(4)].into());
        }
        program.tear(&split(&[1, 1, 1, 2]));
        assert_eq!(program.state, Calibration::Erratic);
        program.meet();
        assert_eq!((program.state, program.torn), (Calibration::Calibrating, 0));
        assert_eq!(program.aside, [WorkerIdx(4)].into(), "who differed is not asked again");
    }

    #[test]
    fn what_differs_after_it_was_proven_is_calibrated_again() {
        let mut program = Program::default();
        for relapses in 1..TORN_MAX {
            (0..2).for_each(|_| program.agree(5));
            assert!(program.is_proven());
            program.tear(&split(&[1, 2, 3]));
            assert_eq!((program.state, program.agreements), (Calibration::Calibrating, 0));
            assert_eq!(program.relapses, relapses);
        }
        (0..2).for_each(|_| program.agree(5));
        program.tear(&split(&[1, 1, 2]));
        assert_eq!(program.state, Calibration::Erratic);
    }

    #[test]
    fn the_pair_is_of_the_two_largest_groups() {
        let pair = split(&[3, 1, 2, 1, 2, 1]).pair().unwrap();
        assert_eq!(pair, [(WorkerIdx(2), Digest([1; 32])), (WorkerIdx(3), Digest([2; 32]))]);
        assert_eq!(split(&[1, 1]).pair(), None);
    }
}
