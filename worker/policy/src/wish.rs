//! What the owner asked for last. It is kept on disk by whoever carries it, so that a pause survives restarts.

use serde::{Deserialize, Serialize};

/// Work, finish or pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Work whenever the preferences allow.
    #[default]
    Run,
    /// Take nothing new, end what is here, then rest.
    Finish,
    /// Rest at once; what is here stays in memory.
    Pause,
}

/// The last word of the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wish {
    /// What is asked for.
    pub asked: Asked,
    /// Unix milliseconds at which a pause is over; `None`: when the owner says so.
    pub until_unix_ms: Option<u64>,
}

impl Wish {
    /// What is asked for at this moment: a pause that is over is no pause.
    pub fn at(self, unix_ms: u64) -> Asked {
        match (self.asked, self.until_unix_ms) {
            (Asked::Pause, Some(until)) if until <= unix_ms => Asked::Run,
            (asked, _) => asked,
        }
    }
}
