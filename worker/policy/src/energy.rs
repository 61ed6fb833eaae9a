//! The guard against working at a loss: what a task costs in electricity, in the units it is paid in.

use serde::{Deserialize, Serialize};

/// Milliseconds of an hour, times the watts of a kilowatt.
const WATT_SECONDS_PER_KWH: u128 = 3_600 * 1_000;

/// What electricity costs. Nothing is guarded while either number is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Energy {
    /// Token units a kilowatt hour costs.
    pub units_per_kwh: u128,
    /// Watts that a busy core takes more than an idle one: some 10 on a desktop, 4 on a laptop.
    pub watts: u16,
}

impl Energy {
    /// The least pay at which a task of so many seconds on one core costs nothing, rounded up.
    pub fn break_even(self, task_s: u64) -> u128 {
        let watt_seconds = u128::from(self.watts) * u128::from(task_s);
        watt_seconds.saturating_mul(self.units_per_kwh).div_ceil(WATT_SECONDS_PER_KWH)
    }

    /// What the electricity of so many core milliseconds cost.
    pub fn spent(self, core_ms: u64) -> u128 {
        let watt_ms = u128::from(self.watts) * u128::from(core_ms);
        watt_ms.saturating_mul(self.units_per_kwh) / (WATT_SECONDS_PER_KWH * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_costs_its_seconds_times_watts() {
        let energy = Energy { units_per_kwh: 3_600_000, watts: 10 };
        assert_eq!(energy.break_even(60), 600);
        assert_eq!(energy.break_even(0), 0);
        assert_eq!(Energy { units_per_kwh: 1, watts: 1 }.break_even(1), 1, "rounded up");
        assert_eq!(energy.spent(60_000), 600);
        assert_eq!(Energy::default().break_even(u64::MAX), 0);
    }
}
