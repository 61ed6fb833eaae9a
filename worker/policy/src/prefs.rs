//! What an owner may say: names, units, defaults and the reason for each default.
//!
//! Where BOINC or Folding@home are named, the number is their shipped default, and what their users say of it.

use crate::{energy::Energy, schedule::Schedule};
use serde::{Deserialize, Serialize};

/// Bytes of a mebibyte.
pub const MIB: u64 = 1 << 20;

/// Everything an owner may say, with [`Preferences::default`] for a desktop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferences {
    /// Tasks at once, a core each, when nobody is there. Default 1; whoever knows the machine says its cores.
    pub slots: u16,
    /// How many of them while somebody is there, in percent, rounded up. Default 50: half of the cores keep
    /// a desktop smooth. (BOINC: 100; its users ask for less.)
    pub in_use_percent: u8,
    /// The share of each core a task may take, in percent of its time. Default 100. (World Community Grid
    /// ships 60, for noise.)
    pub cpu_percent: u8,
    /// Rest while other programs take more than so many percent of all cores; 0: never. Default 50.
    /// (BOINC: 25 without hysteresis, which flaps.)
    pub load_percent: u8,
    /// Memory set aside for a slot, in bytes: a task that may take more is given back. Default 512 MiB.
    pub slot_memory_bytes: u64,
    /// How much of the machine's memory all slots may have while somebody is there, in percent. Default 50.
    pub memory_in_use_percent: u8,
    /// The same when nobody is there. Default 90. (BOINC: 50 and 90 as well.)
    pub memory_idle_percent: u8,
    /// Bytes the disk keeps free: below, nothing new is taken. Default 5 GiB. (BOINC: 1 GB, felt as full.)
    pub disk_free_bytes: u64,
    /// Bytes a second from the network, at most; 0: any. Default 0: tasks are small beside a line.
    pub down_bytes_s: u64,
    /// Bytes a second to the network, at most; 0: any. Default 0.
    pub up_bytes_s: u64,
    /// Bytes a calendar month both ways, at most; 0: any. Default 0.
    pub month_bytes: u64,
    /// Whether a line paid by the byte may be used. Default no.
    pub metered: bool,
    /// Work only when nobody is there. Default no: half of the cores are not noticed.
    pub only_idle: bool,
    /// Milliseconds without a key or mouse movement after which nobody is there. Default 3 minutes.
    /// (BOINC: 3; Folding@home on Linux: 15 s, found too short.)
    pub idle_ms: u64,
    /// Whether to work on battery. Default no. (Folding@home: yes, to its users' anger.)
    pub on_battery: bool,
    /// While charging, wait until the battery holds so many percent. Default 90: a laptop that is charged and
    /// heated at once does neither well. (BOINC on Android: 90.)
    pub charge_percent: u8,
    /// Rest while processor or board are hotter than so many degrees Celsius; 0: never. Default 85: makers
    /// throttle from 95 to 100.
    pub heat_c: u8,
    /// Rest while a window fills the screen: a film, a game, a talk. Default yes.
    pub full_screen: bool,
    /// When to work, by the half hour. Default always.
    pub schedule: Schedule,
    /// Whether containers may run, besides WASM modules. Default no: they share the machine's kernel.
    pub containers: bool,
    /// The least pay of a task, in token units. Default 0.
    pub price: u128,
    /// What electricity costs, for the guard against working at a loss. Default: not known.
    pub energy: Energy,
}

impl Default for Preferences {
    fn default() -> Self {
        Self::desktop()
    }
}

impl Preferences {
    /// The defaults, for a desktop or laptop that somebody uses.
    pub const fn desktop() -> Self {
        Self {
            slots: 1,
            in_use_percent: 50,
            cpu_percent: 100,
            load_percent: 50,
            slot_memory_bytes: 512 * MIB,
            memory_in_use_percent: 50,
            memory_idle_percent: 90,
            disk_free_bytes: 5 << 30,
            down_bytes_s: 0,
            up_bytes_s: 0,
            month_bytes: 0,
            metered: false,
            only_idle: false,
            idle_ms: 3 * 60_000,
            on_battery: false,
            charge_percent: 90,
            heat_c: 85,
            full_screen: true,
            schedule: Schedule::always(),
            containers: false,
            price: 0,
            energy: Energy { units_per_kwh: 0, watts: 0 },
        }
    }
}
