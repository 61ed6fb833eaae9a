//! What may run, and why no more.

use crate::reason::Reason;
use serde::{Deserialize, Serialize};

/// The network as it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Network {
    /// Bytes a second in, at most; 0: any.
    pub down_bytes_s: u64,
    /// Bytes a second out, at most; 0: any.
    pub up_bytes_s: u64,
    /// Bytes that are left of the month's, both ways; none: any.
    pub left_bytes: Option<u64>,
}

/// What may run until the next decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Tasks that may run at once. Those beyond it are held in memory.
    pub slots: u16,
    /// Whether new work may be taken.
    pub take: bool,
    /// The share of a core a task may take, in percent; at least 1.
    pub cpu_percent: u8,
    /// How much of the line may be used.
    pub network: Network,
    /// Whether containers may run besides modules.
    pub containers: bool,
    /// The least pay of a task, in token units: the owner's price, or what its electricity costs.
    pub ask: u128,
    /// Why nothing runs, or nothing new is taken. There is one exactly then.
    pub reason: Option<Reason>,
    /// Why less runs than the owner offers at best.
    pub limited: Option<Reason>,
    /// Unix milliseconds at which the reason ends, where that is certain.
    pub until_unix_ms: Option<u64>,
}

impl Decision {
    /// Whether anything may run.
    pub fn works(&self) -> bool {
        self.slots > 0
    }
}
