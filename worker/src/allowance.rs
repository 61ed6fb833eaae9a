//! What an owner's preferences let a worker do right now: the policy's decision, as far as work is concerned.

use crate::jobs::Rule;
use quorate_agent::Input;
use quorate_policy::Decision;

/// What may be done until the next word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Runs that may go on; 0 holds all of them in memory.
    pub slots: u16,
    /// Those of all pools together: what the kernel keeps, it keeps for all.
    pub of_slots: u16,
    /// Whether new work is taken.
    pub take: bool,
    /// The share of a core each run may take, in percent.
    pub cpu_percent: u8,
    /// The least price of a task, in token units.
    pub ask: u128,
    /// Unix second at which a rest ends, where that is certain.
    pub until_s: Option<u64>,
}

impl From<&Decision> for Allowance {
    fn from(decision: &Decision) -> Self {
        let Decision { slots, take, cpu_percent, ask, until_unix_ms, .. } = *decision;
        let until_s = until_unix_ms.map(|ms| ms.div_ceil(1_000));
        Self { slots, of_slots: slots, take, cpu_percent, ask, until_s }
    }
}

impl Allowance {
    /// One pool's part of it.
    pub(crate) fn part(self, slots: u16) -> Self {
        Self { slots, ..self }
    }

    /// What the agent hears of it.
    pub(crate) fn inputs(self) -> [Input; 3] {
        let Self { slots, take, ask, until_s, .. } = self;
        let runs = if slots == 0 { Input::Rest { until_s } } else { Input::Offer(slots) };
        [Input::Ask(ask), Input::Take(take || slots == 0), runs]
    }
}

impl Rule {
    /// Holds, slows or lets go what runs.
    pub(crate) fn apply(&self, allowance: Allowance) {
        let Allowance { slots, of_slots, cpu_percent, .. } = allowance;
        let percent = u32::from(cpu_percent) * u32::from(of_slots.max(1));
        let quota = (cpu_percent < 100).then_some(percent);
        let by_kernel = self.group.as_ref().is_some_and(|group| match group.allow(quota) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the kernel does not keep the share of runs; they rest instead");
                false
            }
        });
        self.brake.slow(if by_kernel { 100 } else { cpu_percent });
        self.brake.allow(slots.into());
    }
}
