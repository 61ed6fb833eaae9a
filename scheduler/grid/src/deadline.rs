//! Every deadline the grid can have, each with its meaning, in one ordered table.

use quorate_common::ids::{DealSlot, TaskKey, WorkerIdx};
use std::collections::BTreeSet;

/// What ends when its time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deadline {
    /// A worker was away too long: its unfinished replicas are lost.
    Lease(WorkerIdx),
    /// Replicas of a task that should have committed are lost.
    Commit(TaskKey),
    /// Replicas of a task that should have revealed are losers.
    Reveal(TaskKey),
    /// The backer asked for the winning bytes was too slow: ask the next.
    Fetch(TaskKey),
    /// An answer waited long enough for its backers to earn credibility: it is checked.
    Hold(TaskKey),
    /// The deal's work ends: what is not settled is expired.
    Deal(DealSlot),
    /// The open batch is old enough.
    Batch,
    /// A worker that only failed may try again.
    Pause(WorkerIdx),
    /// Few tasks of a deal are left: look for replicas that are late.
    Tail(DealSlot),
}

/// Deadlines by time.
#[derive(Clone, Debug, Default)]
pub struct Deadlines(BTreeSet<(u64, Deadline)>);

impl Deadlines {
    /// Adds a deadline at `mono_ms`. Several for one subject may stand: each is checked against
    /// the state when it is due.
    pub fn set(&mut self, mono_ms: u64, deadline: Deadline) {
        self.0.insert((mono_ms, deadline));
    }

    /// Takes one out whose subject is gone: ten thousand tasks a second with deadlines minutes away
    /// would otherwise pile up by the million.
    pub fn clear(&mut self, mono_ms: u64, deadline: Deadline) {
        self.0.remove(&(mono_ms, deadline));
    }

    /// Whether this one stands.
    pub fn contains(&self, mono_ms: u64, deadline: Deadline) -> bool {
        self.0.contains(&(mono_ms, deadline))
    }

    /// The earliest.
    pub fn first(&self) -> Option<u64> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the earliest if it is due.
    pub fn pop_due(&mut self, mono_ms: u64) -> Option<Deadline> {
        if self.first()? > mono_ms {
            return None;
        }
        self.0.pop_first().map(|(_, deadline)| deadline)
    }
}
