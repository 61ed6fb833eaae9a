//! What a worker tells its owner, and the file through which `status` reads it.

use quorate_agent::{LinkView, View};
use quorate_common::{Address, B256, ids::WorkerIdx};
use quorate_policy::Reason;
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

/// A worker at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `quorate.worker-status/v1`.
    pub schema: String,
    /// Its name, for people.
    pub name: String,
    /// Who it is.
    pub node_key: B256,
    /// How it votes.
    pub vote_key: Address,
    /// Where it works.
    pub scheduler: String,
    /// Sessions, jobs, money.
    pub view: View,
    /// What it may do, and why no more; absent while it is not governed.
    #[serde(default)]
    pub mood: Option<Mood>,
    /// Every pool it works for, this one first; empty if there is no other.
    #[serde(default)]
    pub pools: Vec<PoolStatus>,
    /// Bytes in the blob folder.
    pub cache_bytes: u64,
    /// What went wrong last, until it goes well again.
    pub note: Option<String>,
    /// Why it will not connect again by itself: the scheduler, or the invitation, says no.
    pub ended: Option<String>,
    /// What broke on this machine; the worker has stopped.
    pub broken: Option<String>,
    /// How often the scheduler did what it should not, since the program began.
    #[serde(default)]
    pub warnings: u64,
    /// The last of it.
    #[serde(default)]
    pub warned: Vec<Warned>,
}

/// Something the scheduler did that it should not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warned {
    /// Unix milliseconds.
    pub at_ms: u64,
    /// What.
    pub sentence: String,
}

/// One pool of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// What its owner calls it; empty for the first.
    pub name: String,
    /// Where its scheduler is.
    pub scheduler: String,
    /// Its part of the slots, against those of others.
    pub share: u16,
    /// Slots it has now.
    pub slots: u16,
    /// Tasks of it that run.
    pub running: usize,
    /// The talk with its scheduler.
    pub link: LinkView,
    /// The worker's number in its contract.
    pub worker: Option<WorkerIdx>,
    /// Tasks settled.
    pub settled: u64,
    /// Token units, by the worker's own count.
    pub earned: u128,
    /// Token units at stake.
    pub stake: u128,
    /// Its score there.
    pub score: u32,
    /// Why it does not connect again by itself.
    pub ended: Option<String>,
}

/// What a worker may do right now, and the one reason why it does no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mood {
    /// Tasks that may run at once.
    pub slots: u16,
    /// Tasks the owner offers at best.
    pub of_slots: u16,
    /// The share of a core each may take, in percent.
    pub cpu_percent: u8,
    /// Whether new work is taken.
    pub take: bool,
    /// The least pay of a task, in token units.
    pub ask: u128,
    /// Why nothing runs, or nothing new is taken.
    pub reason: Option<Reason>,
    /// Why less runs than at best.
    pub limited: Option<Reason>,
    /// Unix milliseconds at which the reason ends, where that is certain.
    pub until_unix_ms: Option<u64>,
    /// What is sensed of the machine, to the minute: it changes all the time, and this is written down.
    pub senses: Vec<String>,
}

/// The only schema there is.
pub const SCHEMA: &str = "quorate.worker-status/v1";

/// Warnings that are shown; the folder `evidence` has more.
const WARNED_MAX: usize = 16;

impl Status {
    pub(crate) fn warn(&mut self, warned: Warned) {
        self.warnings += 1;
        if self.warned.len() >= WARNED_MAX {
            self.warned.remove(0);
        }
        self.warned.push(warned);
    }

    /// Replaces the file at `path` as a whole, so that no reader ever sees half of it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let temporary = path.with_extension("json.tmp");
        fs::write(&temporary, text)?;
        fs::rename(temporary, path)
    }

    /// Reads what a worker wrote.
    ///
    /// # Errors
    /// Not there, or not a status.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}
