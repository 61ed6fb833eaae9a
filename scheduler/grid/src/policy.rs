//! The tunables of the rules: unit, bounds, reason. Where they come from is the shell's business.

use crate::credibility::Promise;
use quorate_common::{
    anchor::SLACK_S,
    ids::{PoolId, TASKS_MAX},
    messages::{Domain, Separator},
    wire::WORK_PER_SLOT,
};
use serde::{Deserialize, Serialize};

/// Fixed for the life of a journal: signatures and leaves depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Whose books these are.
    pub pool: PoolId,
    /// Chain and contract.
    pub domain: Domain,
}

impl Genesis {
    /// The domain separator.
    pub fn separator(&self) -> Separator {
        self.domain.separator()
    }
}

/// What an operator may change between two starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a worker may be away before its unfinished replicas go to others, in milliseconds.
    pub lease_ms: u64,
    /// How long a worker has to reveal once the set is frozen, in seconds.
    pub reveal_s: u64,
    /// How long after a reveal deadline silence is taken for silence, in seconds: as long as a worker
    /// may still demand its set (`slack_s`), and the chain takes to tell of it.
    pub hear_s: u64,
    /// How long what is said on chain takes to be there, in seconds: [`SLACK_S`], to which the contract
    /// holds a scheduler. Less only in a simulated world, whose contract has less too.
    pub slack_s: u64,
    /// How long a backer has to send the winning bytes before the next is asked, in milliseconds.
    pub fetch_ms: u64,
    /// A batch closes with this many tasks.
    pub batch_tasks: u32,
    /// A batch closes at this age, in milliseconds.
    pub batch_ms: u64,
    /// Tasks looked at in vain, before giving up until something changes.
    pub scan_max: usize,
    /// Replicas at once that a worker without a score begins with; it grows by one with each success.
    pub quota_first: u16,
    /// Replicas a worker may have per slot, 1 or 2: with 2 a slot need not wait for the network.
    pub work_per_slot: u16,
    /// What the pool promises of its results beyond what each deal's trust proves.
    pub promise: Option<Promise>,
}

impl Policy {
    /// Tasks expired in one go at a deal's deadline, so that no single input takes long.
    pub const EXPIRE_MAX: usize = 1_000;
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // A dropped connection is usually back within a second (backoff starts at 200 ms); a
            // task should not wait longer than that for a laptop that was closed.
            lease_ms: 3_000,
            // A worker that restarts, or roams to another network, is back well within two minutes;
            // only a task whose worker left waits this long.
            reveal_s: 120,
            // No chain at all; see the scheduler's settings for a real one.
            hear_s: 0,
            slack_s: SLACK_S,
            // 16 MiB at 10 Mbit/s.
            fetch_ms: 15_000,
            // settlement.md 2.7: 512 tasks or ten minutes.
            batch_tasks: 512,
            batch_ms: 600_000,
            // Guess: enough to look past tasks that all free workers voted on already.
            scan_max: 64,
            // A desktop's threads. Whoever takes as many and does nothing costs as many tasks a delay.
            quota_first: 16,
            // The worker's own limit.
            work_per_slot: WORK_PER_SLOT,
            // The floor that the contract repeats is all that a pool owes; more is the operator's word.
            promise: None,
        }
    }
}

const _: () = assert!(TASKS_MAX >= 512);
