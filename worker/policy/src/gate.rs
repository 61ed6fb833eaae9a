//! One condition with its hysteresis: shut after so long of trouble, open after so long of peace.

use crate::sensed::Moment;

/// What is seen of a condition at one moment. Between the two thresholds nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// There is trouble.
    Trouble,
    /// There is neither.
    Between,
    /// There is peace.
    Peace,
}

/// A condition that keeps work away while it is shut.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    shut: bool,
    shut_after_ms: u64,
    open_after_ms: u64,
    /// Since when the other state is called for, without a break.
    called_ms: Option<u64>,
}

impl Seen {
    /// Trouble from `bad` on upwards, peace up to `good`.
    pub fn above(value: u64, bad: u64, good: u64) -> Self {
        match value {
            value if value >= bad => Self::Trouble,
            value if value <= good => Self::Peace,
            _ => Self::Between,
        }
    }

    /// Trouble or peace.
    pub fn when(trouble: bool) -> Self {
        if trouble { Self::Trouble } else { Self::Peace }
    }
}

impl Gate {
    /// An open gate.
    pub const fn open(shut_after_ms: u64, open_after_ms: u64) -> Self {
        Self { shut: false, shut_after_ms, open_after_ms, called_ms: None }
    }

    /// A gate that must be opened first.
    pub const fn shut(shut_after_ms: u64, open_after_ms: u64) -> Self {
        Self { shut: true, ..Self::open(shut_after_ms, open_after_ms) }
    }

    /// Takes what is seen and says whether the gate is shut now.
    pub fn see(&mut self, now: Moment, seen: Seen) -> bool {
        let calls = match seen {
            Seen::Trouble => !self.shut,
            Seen::Peace => self.shut,
            Seen::Between => false,
        };
        if !calls {
            self.called_ms = None;
            return self.shut;
        }
        let since = *self.called_ms.get_or_insert(now.mono_ms);
        let wait = if self.shut { self.open_after_ms } else { self.shut_after_ms };
        if now.mono_ms.saturating_sub(since) >= wait {
            (self.shut, self.called_ms) = (!self.shut, None);
        }
        self.shut
    }

    /// Milliseconds until it would change if what is seen stayed; `None`: nothing calls for it.
    pub fn changes_in(&self, now: Moment) -> Option<u64> {
        let wait = if self.shut { self.open_after_ms } else { self.shut_after_ms };
        let passed = now.mono_ms.saturating_sub(self.called_ms?);
        Some(wait.saturating_sub(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Moment {
        Moment { mono_ms, ..Moment::default() }
    }

    #[test]
    fn it_shuts_and_opens_after_its_times() {
        let mut gate = Gate::open(10, 60);
        assert!(!gate.see(at(0), Seen::Trouble));
        assert!(!gate.see(at(9), Seen::Trouble));
        assert!(gate.see(at(10), Seen::Trouble));
        assert!(gate.see(at(20), Seen::Peace));
        assert_eq!(gate.changes_in(at(30)), Some(50));
        assert!(gate.see(at(50), Seen::Between), "a doubt begins the wait anew");
        assert!(gate.see(at(60), Seen::Peace));
        assert!(gate.see(at(119), Seen::Peace));
        assert!(!gate.see(at(120), Seen::Peace));
    }
}
