//! Why nothing runs, in one place: the word programs use, the sentence people read, and what would change it.

use serde::{Deserialize, Serialize};

/// The one reason. Those above others in this list win where several hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Reason {
    /// No worker runs on this folder.
    NotRunning,
    /// It broke on this machine.
    Broken {
        /// What.
        what: String,
    },
    /// The owner asked for a pause.
    Paused,
    /// The owner asked to finish, and it is finished.
    Finished,
    /// The owner asked to finish; what is here runs on.
    Finishing,
    /// The owner leaves the pool, or the program ends.
    Leaving,
    /// Not by the schedule.
    Schedule,
    /// On battery.
    Battery,
    /// The battery is not charged yet.
    Charging {
        /// What it holds, in percent.
        percent: u8,
        /// What is waited for.
        until_percent: u8,
    },
    /// A window fills the screen.
    FullScreen,
    /// A program runs that the owner named.
    Program {
        /// Which.
        name: String,
    },
    /// Somebody is there.
    InUse {
        /// Milliseconds without a key after which nobody is.
        idle_ms: u64,
    },
    /// Nobody can tell whether somebody is there.
    CannotTell,
    /// Too hot.
    Hot {
        /// Degrees Celsius allowed.
        limit_c: u8,
    },
    /// Others need the processors.
    Load {
        /// Percent allowed.
        limit_percent: u8,
    },
    /// The memory set aside is less than one slot's.
    Memory,
    /// The disk is nearly full.
    Disk {
        /// Bytes to keep free.
        keep_bytes: u64,
    },
    /// The line is paid by the byte.
    Metered,
    /// The month's bytes are used up.
    MonthBytes,
    /// The pool, or the invitation, says no.
    Ended {
        /// Its words.
        why: String,
    },
    /// No connection.
    NoConnection {
        /// What was noted last.
        note: String,
    },
    /// The contract does not know this worker.
    Unregistered,
    /// The pool's operator keeps new work from it.
    Restrained {
        /// The operator's words.
        notice: String,
    },
    /// All is well; the pool has no work for it now.
    NoWork,
}

impl Reason {
    /// One word, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotRunning => "not_running",
            Self::Broken { .. } => "broken",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Finishing => "finishing",
            Self::Leaving => "leaving",
            Self::Schedule => "schedule",
            Self::Battery => "battery",
            Self::Charging { .. } => "charging",
            Self::FullScreen => "full_screen",
            Self::Program { .. } => "program",
            Self::InUse { .. } => "in_use",
            Self::CannotTell => "cannot_tell",
            Self::Hot { .. } => "hot",
            Self::Load { .. } => "load",
            Self::Memory => "memory",
            Self::Disk { .. } => "disk",
            Self::Metered => "metered",
            Self::MonthBytes => "month_bytes",
            Self::Ended { .. } => "ended",
            Self::NoConnection { .. } => "no_connection",
            Self::Unregistered => "unregistered",
            Self::Restrained { .. } => "restrained",
            Self::NoWork => "no_work",
        }
    }

    /// A sentence without its dot.
    pub fn words(&self) -> String {
        match self {
            Self::NotRunning => "the worker is not running".into(),
            Self::Broken { what } => format!("the worker broke: {what}"),
            Self::Paused => "you paused it".into(),
            Self::Finished => "you asked it to finish, and it has".into(),
            Self::Finishing => "you asked it to finish; it ends what it has".into(),
            Self::Leaving => "it was told to stop, and takes nothing new".into(),
            Self::Schedule => "your schedule has it rest now".into(),
            Self::Battery => "the machine runs on battery".into(),
            Self::Charging { percent, until_percent } => {
                format!("the battery charges: {percent} of {until_percent} %")
            }
            Self::FullScreen => "a window fills the screen".into(),
            Self::Program { name } => format!("{name} is running"),
            Self::InUse { .. } => "you are using the computer".into(),
            Self::CannotTell => "nobody can tell whether you are using the computer".into(),
            Self::Hot { limit_c } => format!("the processor was hotter than {limit_c} °C"),
            Self::Load { limit_percent } => {
                format!("other programs took more than {limit_percent} % of the processors")
            }
            Self::Memory => "the memory you allow is less than one task's".into(),
            Self::Disk { keep_bytes } => {
                format!("the disk has less than {} MiB free", keep_bytes >> 20)
            }
            Self::Metered => "the network is paid by the byte".into(),
            Self::MonthBytes => "this month's network allowance is used up".into(),
            Self::Ended { why } => format!("it will not connect again by itself: {why}"),
            Self::NoConnection { note } => note.clone(),
            Self::Unregistered => "the pool's contract does not know this worker yet".into(),
            Self::Restrained { notice } => notice.clone(),
            Self::NoWork => "the pool has no work for this worker now".into(),
        }
    }

    /// What would change it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotRunning => {
                "start it with `quorate-worker start`, or `quorate-worker run` to watch it".into()
            }
            Self::Broken { .. } => {
                "mend it, then `quorate-worker start`; `doctor` says more".into()
            }
            Self::Paused => "`quorate-worker resume` ends the pause".into(),
            Self::Finished | Self::Finishing => {
                "`quorate-worker resume` has it take new work".into()
            }
            Self::Leaving => "`quorate-worker start` starts it again".into(),
            Self::Schedule => "`quorate-worker set schedule=always` removes the schedule".into(),
            Self::Battery => "plug it in, or `quorate-worker set battery.run=true`".into(),
            Self::Charging { .. } => {
                "it goes on when charged; `set battery.charge_percent=0` does not wait".into()
            }
            Self::FullScreen => {
                "it goes on half a minute after; `set screen.pause=false` ignores it".into()
            }
            Self::Program { .. } => {
                "it goes on half a minute after that ends; `set programs.pause=` names others"
                    .into()
            }
            Self::InUse { idle_ms } => format!(
                "it goes on after {} min without key or mouse; `set idle.only=false` does not wait",
                idle_ms.div_ceil(60_000)
            ),
            Self::CannotTell => {
                "start `quorate-worker session` in your desktop, or `set idle.only=false`".into()
            }
            Self::Hot { .. } => "it goes on when 10 °C cooler; the limit is `heat.limit_c`".into(),
            Self::Load { .. } => {
                "it goes on after a minute of less load; the limit is `load.limit_percent`".into()
            }
            Self::Memory => {
                "allow more with `memory.in_use_percent` and `memory.idle_percent`, or less a task \
                 with `memory_mib`"
                    .into()
            }
            Self::Disk { .. } => "free some, or lower `disk.keep_free_mib` or `cache_mib`".into(),
            Self::Metered => "`set network.metered=true` uses it all the same".into(),
            Self::MonthBytes => "it goes on next month; the limit is `network.month_mib`".into(),
            Self::Ended { .. } => "ask the pool's operator, then start the worker again".into(),
            Self::NoConnection { .. } => "it tries again by itself".into(),
            Self::Unregistered => "register and stake with `quorate-worker join`".into(),
            Self::Restrained { .. } => "only the pool's operator can change that".into(),
            Self::NoWork => "nothing is wrong here; `quorate-worker explain` asks the pool".into(),
        }
    }
}
