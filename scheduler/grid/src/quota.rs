//! How many replicas a worker is trusted with at once: fewer after each failure, one more after each
//! success, and a pause for who only fails. Who hoards (takes and never gives back) ends up with one
//! replica at a time, and later with one now and then. Nothing here is punished: a score moves by votes
//! alone, since only votes can be proven.

use quorate_common::wire::{SLOTS_MAX, WORK_PER_SLOT};

/// Failures in a row before a worker gets nothing for a while: two may be a bad task, or a bad moment.
const PAUSE_AFTER: u32 = 3;
/// The first pause, in milliseconds: a replica that is lost costs a task about as long.
const PAUSE_FIRST_MS: u64 = 5_000;
/// The longest pause, in milliseconds: then it may show once in ten minutes that it is well again.
const PAUSE_MOST_MS: u64 = 600_000;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    cap: u16,
    /// Failures since the last success.
    failures: u32,
    paused: bool,
    begun: bool,
}

impl Default for Quota {
    fn default() -> Self {
        Self::new(Self::MOST)
    }
}

impl Quota {
    /// What the greatest machine may have: all slots and all buffers.
    pub const MOST: u16 = SLOTS_MAX * WORK_PER_SLOT;

    /// Begins with `cap` replicas, at least one.
    pub fn new(cap: u16) -> Self {
        Self { cap: cap.clamp(1, Self::MOST), failures: 0, paused: false, begun: false }
    }

    /// It is met for the first time, and begins with so many: whatever it does later, it never begins anew.
    pub fn begin(&mut self, cap: u16) {
        if !self.begun {
            *self = Self { begun: true, ..Self::new(cap) };
        }
    }

    /// Replicas it may have at once, 1 to [`Quota::MOST`].
    pub fn cap(&self) -> u16 {
        self.cap
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it gets nothing for a while.
    pub fn paused(&self) -> bool {
        self.paused
    }

    /// It committed in time.
    pub fn succeed(&mut self) {
        self.cap = self.cap.saturating_add(1).min(Self::MOST);
        self.failures = 0;
    }

    /// It lost replicas, was late, or gave one back. Half of what it could have had remains: of `offered`
    /// (slots and buffer), where that is less than it was trusted with. Returns for how long it gets
    /// nothing, in milliseconds, if it has failed too often in a row.
    pub fn fail(&mut self, offered: u16) -> Option<u64> {
        self.cap = (self.cap.min(offered) / 2).max(1);
        self.failures = self.failures.saturating_add(1);
        let pauses = self.failures.checked_sub(PAUSE_AFTER)?;
        self.paused = true;
        Some((PAUSE_FIRST_MS << pauses.min(10)).min(PAUSE_MOST_MS))
    }

    /// The pause is over: it may try once more.
    pub fn resume(&mut self) {
        self.paused = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_lost_at_once_and_regained_one_by_one() {
        let mut quota = Quota::new(16);
        let caps: Vec<u16> = (0..5).map(|_| (quota.fail(64), quota.cap()).1).collect();
        assert_eq!(caps, [8, 4, 2, 1, 1]);
        quota.resume();
        let caps: Vec<u16> = (0..3).map(|_| (quota.succeed(), quota.cap()).1).collect();
        assert_eq!(caps, [2, 3, 4]);
    }

    #[test]
    fn half_is_of_what_it_offers() {
        let mut quota = Quota::default();
        quota.fail(4);
        assert_eq!(quota.cap(), 2);
    }

    #[test]
    fn pauses_grow_until_a_success() {
        let mut quota = Quota::new(1);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            pauses.push(quota.fail(1));
        }
        let in_s = |ms: Option<u64>| ms.map(|ms| ms / 1000);
        let expected = [5, 10, 20, 40, 80, 160, 320, 600, 600, 600].map(Some);
        assert_eq!(pauses[..2], [None, None]);
        assert_eq!(pauses[2..].iter().copied().map(in_s).collect::<Vec<_>>(), expected);
        assert!(quota.paused());
        quota.resume();
        quota.succeed();
        assert_eq!((quota.fail(1), quota.paused()), (None, false));
    }

    #[test]
    fn nothing_grows_beyond_what_a_machine_may_offer() {
        let mut quota = Quota::default();
        quota.succeed();
        assert_eq!(quota.cap(), Quota::MOST);
    }
}
