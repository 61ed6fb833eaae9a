//! What happened, counted: faults, people, results. A fault that never happened was not tested, so a
//! long run fails for the lack of one.

use std::collections::BTreeMap;

/// Counts by name. Names are `group: what`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u64>);

/// What must have happened at least once in [`ENOUGH_SEEDS`] seeds.
pub const EXPECTED: &[&str] = &[
    "fault: connection reset",
    "fault: connection half open",
    "fault: session duplicated",
    "fault: link partitioned",
    "fault: scheduler cut off",
    "fault: frames lost with their connection",
    "fault: frame held up",
    "fault: scheduler killed",
    "fault: scheduler lost power",
    "fault: power lost in a disk call",
    "fault: worker killed",
    "fault: record torn",
    "fault: sync failed (EIO)",
    "fault: disk full (ENOSPC)",
    "fault: disk stalled",
    "fault: clock jumped",
    "fault: reorganisation",
    "fault: transaction dropped",
    "fault: RPC error",
    "fault: old disk restored",
    "person: honest",
    "person: slow",
    "person: flapping",
    "person: lazy",
    "person: lying",
    "person: colluding",
    "person: copying",
    "person: withholding",
    "person: late",
    "person: oversize",
    "person: milking",
    "person: equivocating",
    "person: replaying",
    "person: twins on one key",
    "person: leaving",
    "person: hoarding bytes",
    "person: spamming requester",
    "person: scheduler showing false sets",
    "program: sound",
    "program: flaky",
    "program: erratic",
    "act: frame refused by the scheduler",
    "act: vote said on chain",
    "act: demand said on chain",
    "act: demand answered",
    "act: snapshot read at a start",
    "act: operator drained a worker",
    "act: operator banned a worker",
    "act: operator freed a worker",
    "act: operator closed a batch",
    "outcome: consensus",
    "outcome: no quorum",
    "outcome: expired",
    "outcome: votes of a program that differ",
    "outcome: batch final",
];

/// Seeds after which everything in [`EXPECTED`] must have happened.
pub const ENOUGH_SEEDS: u64 = 500;

impl Tally {
    /// One more.
    pub fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    /// So many more.
    pub fn add(&mut self, name: &'static str, count: u64) {
        *self.0.entry(name).or_default() += count;
    }

    /// How often.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Takes another's counts in.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            self.add(name, *count);
        }
    }

    /// Everything counted, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(name, count)| (*name, *count))
    }

    /// What should have happened and did not.
    pub fn missing(&self) -> Vec<&'static str> {
        EXPECTED.iter().copied().filter(|name| self.get(name) == 0).collect()
    }
}
