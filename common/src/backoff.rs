//! Capped exponential delay with full jitter. The random bits come from the caller, so that a test
//! or a simulator repeats a week of reconnections from one seed.

/// How long to wait before the next try.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first delay at most, in milliseconds.
    pub first_ms: u64,
    /// No delay is longer, in milliseconds.
    pub cap_ms: u64,
    failures: u32,
}

impl Backoff {
    /// Starts without failures.
    pub fn new(first_ms: u64, cap_ms: u64) -> Self {
        Self { first_ms, cap_ms, failures: 0 }
    }

    /// Counts a failure and returns the delay in milliseconds: between half and all of
    /// `first · 2^failures`, capped. Half is kept so that a thousand workers that lost the same
    /// scheduler spread out, yet none of them returns at once.
    pub fn fail(&mut self, random: u64) -> u64 {
        let ceiling = self.first_ms.saturating_mul(1 << self.failures.min(20)).min(self.cap_ms);
        self.failures += 1;
        let half = ceiling / 2;
        half + random % (ceiling - half + 1)
    }

    /// Forgets the failures.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_start_again() {
        let mut backoff = Backoff::new(100, 1_000);
        let most: Vec<u64> = (0..6).map(|_| backoff.fail(u64::MAX / 51 * 50)).collect();
        assert!(most.iter().all(|ms| (50..=1_000).contains(ms)), "{most:?}");
        assert!(most[5] >= 500);
        backoff.succeed();
        assert!(backoff.fail(7) <= 100);
    }
}
