//! What came of each worker's last replicas, to be said again: a worker that was away when its task was settled,
//! or whose connection broke over the frame that said so, names the task when it returns, and would otherwise
//! count what it was paid as nothing. What a verdict is, is `poco`'s; the money is the ledger's.

use crate::poco::Outcome;
use quorate_common::ids::{TaskKey, WorkerIdx};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Verdicts that are remembered, over all workers: 16 MB, and at 1,000 settled tasks a second with three votes each
/// three quarters of a minute, which is longer than a broken connection or a restart takes. At the limit the oldest
/// makes room; who asks for it later is told `Cancel`, and finds the money in its account on chain.
pub(crate) const VERDICTS_MAX: usize = 1 << 17;

/// What came of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// How the task ended.
    pub(crate) outcome: Outcome,
    /// Token units earned.
    pub(crate) earned: u128,
    /// Token units seized.
    pub(crate) slashed: u128,
}

/// The last verdicts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdicts {
    said: BTreeMap<(WorkerIdx, TaskKey), Said>,
    order: VecDeque<(WorkerIdx, TaskKey)>,
}

impl Verdicts {
    /// Remembers one. A task is settled once, so a worker has one verdict about it.
    pub(crate) fn note(&mut self, worker: WorkerIdx, task: TaskKey, said: Said) {
        if self.said.insert((worker, task), said).is_none() {
            self.order.push_back((worker, task));
        }
        while self.order.len() > VERDICTS_MAX {
            let oldest = self.order.pop_front().expect("it is longer than that");
            self.said.remove(&oldest);
        }
    }

    /// What came of a worker's replica, if that is not long ago.
    pub(crate) fn of(&self, worker: WorkerIdx, task: TaskKey) -> Option<&Said> {
        self.said.get(&(worker, task))
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Said, VERDICTS_MAX, Verdicts};
    use quorate_common::ids::{DealSlot, TaskKey, WorkerIdx};

    fn task(idx: usize) -> TaskKey {
        TaskKey { deal: DealSlot(7), idx: u32::try_from(idx).expect("small") }
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut verdicts = Verdicts::default();
        let said = |earned| Said { outcome: Outcome::Consensus, earned, slashed: 0 };
        for idx in 0..=VERDICTS_MAX {
            verdicts.note(WorkerIdx(1), task(idx), said(idx as u128));
        }
        assert_eq!(verdicts.of(WorkerIdx(1), task(0)), None, "the first is one too many");
        assert_eq!(verdicts.of(WorkerIdx(1), task(1)), Some(&said(1)));
        assert_eq!(verdicts.of(WorkerIdx(2), task(1)), None, "and nobody else's");
        verdicts.note(WorkerIdx(1), task(1), said(3));
        assert_eq!(verdicts.said.len(), verdicts.order.len(), "once each");
    }
}
