//! Everything a worker remembers over a restart. `Agent::apply` is the only reader.

use crate::{duties::Signed, job::Seal};
use quorate_common::{
    ids::TaskKey,
    wire::{CommitAckItem, CommitSetItem, DealInfo, SettledItem},
};
use serde::{Deserialize, Serialize};

/// Version of the stored form. A store of another version is not read.
pub const FORMAT: u16 = 2;

/// One durable step of a job. Applied in the order they were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A result is bound to a commitment. On disk before the commit leaves: whoever forgets the
    /// salt cannot open the commitment and loses the stake.
    Sealed(Box<SealedJob>),
    /// The scheduler has the commit, and signed that it has.
    Acked {
        /// Which task.
        task: TaskKey,
        /// What it signed.
        ack: Box<Signed<CommitAckItem>>,
    },
    /// The result is shown to this set and to no other. On disk before the reveal leaves.
    Revealed {
        /// Which task.
        task: TaskKey,
        /// The set, with its signature: evidence if there is ever a second one.
        set: Box<Signed<CommitSetItem>>,
    },
    /// Nothing of the job is needed any more.
    Closed {
        /// Which task.
        task: TaskKey,
        /// Why.
        closing: Closing,
    },
}

/// A finished job, as much of it as a commit and a reveal need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedJob {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// Whose task.
    pub deal: DealInfo,
    /// Unix seconds of the scheduler.
    pub commit_deadline: u64,
    /// Unix seconds of the scheduler.
    pub reveal_deadline: u64,
    /// The result.
    pub seal: Seal,
}

/// How a sealed job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Closing {
    /// The scheduler said what came of it.
    Settled(SettledItem),
    /// It became worthless: cancelled, superseded, or silent for too long.
    Forgotten,
}

/// What all settled jobs brought, since the data folder was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Sealed jobs that were settled.
    pub settled: u64,
    /// Sealed jobs that came to nothing.
    pub forgotten: u64,
    /// Token units earned.
    pub earned: u128,
    /// Token units seized.
    pub slashed: u128,
}

impl Record {
    /// Whose record.
    pub fn task(&self) -> TaskKey {
        match self {
            Self::Sealed(job) => job.task,
            Self::Acked { task, .. } | Self::Revealed { task, .. } | Self::Closed { task, .. } => {
                *task
            }
        }
    }
}

impl Totals {
    pub(crate) fn add(&mut self, closing: &Closing) {
        match closing {
            Closing::Forgotten => self.forgotten += 1,
            Closing::Settled(item) => {
                self.settled += 1;
                self.earned = self.earned.saturating_add(item.earned);
                self.slashed = self.slashed.saturating_add(item.slashed);
            }
        }
    }
}
