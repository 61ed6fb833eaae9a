//! Time as an argument: rules take [`Now`], shells ask the one [`SystemClock`].

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Now {
    /// Milliseconds since the process began; never goes back. Leases and timers use it.
    pub mono_ms: u64,
    /// Unix milliseconds, as the chain counts (a development chain may be ahead of the wall).
    pub unix_ms: u64,
}

impl Now {
    /// Unix seconds, as signed messages count.
    pub fn unix_s(&self) -> u64 {
        self.unix_ms / 1000
    }

    /// The reading `ms` later.
    #[must_use]
    pub fn plus_ms(&self, ms: u64) -> Self {
        Self { mono_ms: self.mono_ms + ms, unix_ms: self.unix_ms + ms }
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    began: Instant,
}

impl SystemClock {
    /// Starts counting now.
    pub fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// Both clocks. A wall clock before 1970 reads as 1970.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks for the date")]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { mono_ms: millis(self.began.elapsed()), unix_ms: millis(wall) }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
