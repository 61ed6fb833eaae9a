//! A second grid that only reads the records. Before a result is settled in it, it is judged anew from
//! what was said until then: whatever decided in the first grid, PoCo and the promise must both bear
//! it out.

use quorate_common::ids::TaskKey;
use quorate_grid::{
    Grid, Record,
    credibility::{Belief, Promise},
    poco::Outcome,
    task::{Open, ReplicaState, Task},
};

#[derive(Debug)]
pub(crate) struct Shadow {
    grid: Grid,
    promise: Promise,
    /// Results that were settled as promised.
    pub(crate) kept: usize,
    /// Results that were settled all the same.
    pub(crate) broken: Vec<Broken>,
}

/// A result that was settled with more doubt than promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) task: TaskKey,
    /// Whether all the replicas that there may be were used up.
    pub(crate) of_all: bool,
    pub(crate) at_unix_ms: u64,
}

impl Shadow {
    pub(crate) fn new(grid: Grid, promise: Promise) -> Self {
        Self { grid, promise, kept: 0, broken: Vec::new() }
    }

    /// Reads what one drain wrote, and told of as not kept to the promise. Each must have a reason: its
    /// deal is over or ended early, or it has all its replicas.
    pub(crate) fn read(&mut self, records: &[Record], told: usize) {
        let before = self.broken.len();
        records.iter().for_each(|record| self.see(record));
        let broken = &self.broken[before..];
        assert_eq!(broken.len(), told, "not kept, and not told of: {broken:?}");
        for Broken { task, of_all, at_unix_ms } in broken {
            // So many seconds before its end no set is frozen any more.
            let over = *at_unix_ms / 1000 + 5 > self.grid.deals()[&task.deal].terms.deadline;
            let ended = self.grid.deals()[&task.deal].erratic.is_some();
            assert!(over || *of_all || ended, "{task} was not kept to the promise without need");
        }
    }

    fn see(&mut self, record: &Record) {
        if let Record::Settled { task, outcome: Outcome::Consensus, winner, at_unix_ms } = record {
            let open = self.grid.task(*task).and_then(Task::open).unwrap();
            let trust = self.grid.deals()[&task.deal].terms.trust;
            let winner = winner.unwrap().word();
            let tally = open.tally(|worker| self.grid.ledger().score(worker));
            let doubt = self.belief(open).doubt(winner);
            assert!(tally.holds(winner, trust), "{task} was settled before PoCo: {open:?}");
            self.kept += usize::from(self.promise.keeps(doubt));
            if !self.promise.keeps(doubt) {
                let of_all = open.live() >= self.grid.deals()[&task.deal].replicas_max();
                self.broken.push(Broken { task: *task, of_all, at_unix_ms: *at_unix_ms });
            }
        }
        self.grid.apply(record);
    }

    fn belief(&self, open: &Open) -> Belief {
        let mut belief = Belief::default();
        for replica in &open.replicas {
            if let ReplicaState::Revealed(vote) = &replica.state {
                let standing = self.grid.standing(replica.worker);
                let counts = standing.counts(vote.lot, self.promise.needed(standing.caught));
                belief.add(vote.digest.word(), self.promise.doubt(counts, standing.caught));
            }
        }
        belief
    }
}
