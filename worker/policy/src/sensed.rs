//! What is known of the machine, its owner and its place. Whatever nobody can tell is said to be unknown.

use serde::{Deserialize, Serialize};

/// A moment by three clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Moment {
    /// Milliseconds that never go back: hysteresis counts in them.
    pub mono_ms: u64,
    /// Unix milliseconds: pauses end by them.
    pub unix_ms: u64,
    /// Minutes since Monday 00:00 where the machine stands: schedules go by them.
    pub week_minute: u16,
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Nobody can tell. It counts as if somebody were.
    #[default]
    Unknown,
    /// There is no session anybody could sit at: a server.
    NoSession,
    /// The last key or mouse movement of any session was so many milliseconds ago.
    Idle(u64),
}

/// Where the electricity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// No battery, or none that is told of.
    #[default]
    Mains,
    /// A battery, with what it holds in percent, if it says.
    Battery(Option<u8>),
    /// Mains, while a battery is charged that holds so many percent.
    Charging(u8),
}

/// The machine at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sensed {
    /// Whether somebody is there.
    pub presence: Presence,
    /// How busy everybody else keeps the processors, in percent of all of them.
    pub other_load_percent: Option<u8>,
    /// Bytes of memory the machine has.
    pub memory_bytes: Option<u64>,
    /// Bytes free on the disk that holds the worker's folder.
    pub disk_free_bytes: Option<u64>,
    /// Where the electricity comes from.
    pub power: Power,
    /// The hottest of processor and board, in degrees Celsius.
    pub heat_c: Option<u8>,
    /// Whether the window in front fills a screen.
    pub full_screen: bool,
    /// A running program the owner named.
    pub program: Option<String>,
    /// Whether the line is paid by the byte.
    pub metered: Option<bool>,
    /// Bytes moved over the network since the month began.
    pub month_bytes: u64,
    /// Seconds a task took here of late, on average.
    pub task_s: Option<u64>,
    /// Tasks at hand without a result.
    pub at_hand: usize,
}
