//! Time as an argument: rules take [`Now`], shells ask the one [`SystemClock`].

use serde::{Deserialize, Serialize};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Now {
    /// Milliseconds since the process began, those included in which the machine slept; never goes back. Leases
    /// and timers use it.
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

/// The earliest that it can be: what the chain's time was when it was read, and what has passed since by the
/// clock that nobody sets. A wall clock that is put back, or a development chain that is put forward, would
/// have deadlines judged that the contract judges otherwise.
#[derive(Debug, Default)]
pub struct Floor {
    /// Unix milliseconds less monotonic ones; 0: nothing is known.
    ahead_ms: AtomicU64,
}

impl Floor {
    /// How far a chain's time may be ahead of the wall's without being believed: blocks are dated by
    /// somebody's clock.
    const SKEW_MS: u64 = 2_000;

    /// Notes the chain's time. `now` is what the clocks said after it was asked for.
    pub fn raise(&self, now: Now, unix_s: u64) {
        let unix_ms = unix_s.saturating_mul(1000);
        if unix_ms > self.lift(now).unix_ms + Self::SKEW_MS {
            self.ahead_ms.fetch_max(unix_ms.saturating_sub(now.mono_ms), Ordering::Relaxed);
        }
    }

    /// The reading, no earlier than can be.
    #[must_use]
    pub fn lift(&self, now: Now) -> Now {
        let least = now.mono_ms.saturating_add(self.ahead_ms.load(Ordering::Relaxed));
        Now { unix_ms: now.unix_ms.max(least), ..now }
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    began: Duration,
}

impl SystemClock {
    /// Starts counting now.
    pub fn start() -> Self {
        Self { began: lived() }
    }

    /// Both clocks. A wall clock before 1970 reads as 1970.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks for the date")]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { mono_ms: millis(lived().saturating_sub(self.began)), unix_ms: millis(wall) }
    }
}

/// Time since the machine was started. A deadline comes nearer while a lid is closed; `Instant` stands still then,
/// and so do the timers that are made of it.
#[cfg(target_os = "linux")]
fn lived() -> Duration {
    read(rustix::time::ClockId::Boottime)
}

/// How much of it the machine has slept. Whoever looks at it from time to time knows when it woke up.
#[cfg(target_os = "linux")]
pub fn slept() -> Duration {
    let awake = read(rustix::time::ClockId::Monotonic);
    lived().saturating_sub(awake)
}

#[cfg(target_os = "linux")]
fn read(clock: rustix::time::ClockId) -> Duration {
    let at = rustix::time::clock_gettime(clock);
    Duration::new(at.tv_sec.unsigned_abs(), u32::try_from(at.tv_nsec).unwrap_or(0))
}

/// Elsewhere the process' own time: what its system counts while it sleeps was not looked at.
#[cfg(not(target_os = "linux"))]
fn lived() -> Duration {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(std::time::Instant::now).elapsed()
}

/// Nobody can tell.
#[cfg(not(target_os = "linux"))]
pub fn slept() -> Duration {
    Duration::ZERO
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// The kernel's own clocks, in a time namespace whose machine has slept for nine hours.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_time_a_machine_slept_counts() {
        const NIGHT: Duration = Duration::from_secs(9 * 3600);
        const INSIDE: &str = "QUORATE_TEST_NIGHT";
        if let Some(lived_s) = std::env::var_os(INSIDE) {
            let before: u64 = lived_s.to_str().unwrap().parse().unwrap();
            assert!(slept() >= NIGHT, "{:?}", slept());
            assert!(lived() >= Duration::from_secs(before) + NIGHT, "{:?}", lived());
            return;
        }
        let mut command = std::process::Command::new("unshare");
        let night = NIGHT.as_secs().to_string();
        command.args(["--map-root-user", "--fork", "--time", "--boottime", &night]);
        command.arg(std::env::current_exe().unwrap());
        let name = "clock::tests::the_time_a_machine_slept_counts";
        command.args(["--exact", name, "--nocapture"]).env(INSIDE, lived().as_secs().to_string());
        let ran = command.output().expect("unshare is part of every Linux (util-linux)");
        assert!(ran.status.success(), "{ran:?}");
        assert!(String::from_utf8(ran.stdout).unwrap().contains("1 passed"));
    }

    #[test]
    fn it_is_never_earlier_than_the_chain_said() {
        let (floor, now) = (Floor::default(), Now { mono_ms: 5_000, unix_ms: 100_000_000 });
        floor.raise(now, 100_002);
        assert_eq!(floor.lift(now), now, "two seconds are somebody's clock");
        floor.raise(now, 100_252);
        assert_eq!(floor.lift(now).unix_ms, 100_252_000);
        // Ten seconds later the wall clock is right again, and counts again.
        let later = Now { mono_ms: 15_000, unix_ms: 100_262_500 };
        assert_eq!(floor.lift(later), later);
        let back = Now { mono_ms: 15_000, unix_ms: 1_000 };
        assert_eq!(floor.lift(back).unix_ms, 100_262_000);
    }
}
