//! What a machine says of itself to its companions: a line of a list, in its own words.

use quorate_common::api::Amount;
use serde::{Deserialize, Serialize};

/// Characters of each text that are kept of another machine's.
const TEXT_CHARS_MAX: usize = 1_000;

/// A machine at one moment. Of another version it may have more in it, or less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Its name, for people.
    pub name: String,
    /// Its state in a word or three.
    pub title: String,
    /// How good that is.
    pub tone: Tone,
    /// Its state and the one reason, in the words of its own `status`.
    pub words: String,
    /// The reason's code, if there is one: `paused`, `no_work`.
    pub reason: Option<String>,
    /// Tasks that run.
    pub running: u64,
    /// Tasks that may run at once, now.
    pub slots: u64,
    /// Earned in all its pools, by its own count.
    pub earned: Amount,
    /// Earned today in its first pool, by its ledger.
    pub today: Option<Amount>,
    /// Of its program.
    pub version: String,
}

/// How good a state is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As it should be.
    Ok,
    /// It rests.
    #[default]
    Warn,
    /// It needs its owner.
    Bad,
}

impl Tone {
    /// As pages name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

impl Report {
    /// Without what a terminal would obey, and no longer than a person reads.
    pub(crate) fn plain(self) -> Self {
        let Self { name, title, words, reason, version, .. } = &self;
        Self {
            name: plain(name),
            title: plain(title),
            words: plain(words),
            reason: reason.as_deref().map(plain),
            version: plain(version),
            ..self
        }
    }
}

pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_machine_says_is_plain_and_short() {
        let report =
            Report { name: "a\u{1b}[2Jb\n".into(), words: "x".repeat(5_000), ..Report::default() };
        let plain = report.plain();
        assert_eq!(plain.name, "a[2Jb");
        assert_eq!(plain.words.len(), TEXT_CHARS_MAX);
    }

    #[test]
    fn another_version_is_understood() {
        let text =
            r#"{ "name": "tower", "earned": "340282366920938463463374607431768211455", "new": 1 }"#;
        let report: Report = serde_json::from_str(text).expect("it reads");
        assert_eq!((report.name.as_str(), report.earned), ("tower", Amount(u128::MAX)));
    }
}
