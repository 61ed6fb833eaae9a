//! Made-up time: it starts at the deal's epoch and advances by a step with every look.
//!
//! A clock that stands still would hang a program that waits for it; a real one would give every
//! replica another answer. All four clocks of preview 1 are this one.

/// How far one look advances time. A program that spins for a second then looks a thousand times.
pub(crate) const STEP_NS: u64 = 1_000_000;

pub(super) const NS_PER_S: u64 = 1_000_000_000;

/// Nanoseconds since 1970 and since the start of the run. Both stop at the end of `u64`.
#[derive(Debug)]
pub(crate) struct Clock {
    epoch_ns: u64,
    since_start_ns: u64,
}

impl Clock {
    pub(crate) fn new(epoch_unix_s: u64) -> Self {
        Self { epoch_ns: epoch_unix_s.saturating_mul(NS_PER_S), since_start_ns: 0 }
    }

    /// Looks at the monotonic clock.
    pub(super) fn monotonic_ns(&mut self) -> u64 {
        self.advance(STEP_NS);
        self.since_start_ns
    }

    /// What the last look saw, without another.
    pub(super) fn elapsed_ns(&self) -> u64 {
        self.since_start_ns
    }

    /// Looks at the wall clock.
    pub(super) fn wall_ns(&mut self) -> u64 {
        self.epoch_ns.saturating_add(self.monotonic_ns())
    }

    /// The wall clock at the start of the run.
    pub(super) fn epoch_ns(&self) -> u64 {
        self.epoch_ns
    }

    /// Sleeps without waiting.
    pub(super) fn advance(&mut self, ns: u64) {
        self.since_start_ns = self.since_start_ns.saturating_add(ns);
    }
}
