//! What a hostile program is, and what may become of it.

use quorate_common::{manifest::Ended, wire::GiveUpReason};

/// A program that means harm.
pub(crate) struct Hostile {
    pub name: &'static str,
    pub work: Work,
    pub fate: Fate,
}

/// What is run.
pub(crate) enum Work {
    /// A module, byte for byte.
    Module(Vec<u8>),
    /// A script for the shell of an image.
    Script(&'static str),
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A result that says so, and that replicas agree about.
    Ends(Ended),
    /// A result without files of the program's: `error.txt` says why, among other things this.
    NoResult(&'static str),
    /// No result, and so no vote.
    GivenUp(GiveUpReason),
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It has a result, and maybe an `error.txt`.
    Result(Ended, Option<String>),
    GivenUp(GiveUpReason),
}

impl Fate {
    pub(crate) fn is(self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Ends(ended), Outcome::Result(found, _)) => ended == *found,
            (Self::NoResult(why), Outcome::Result(Ended::Output, Some(text))) => text.contains(why),
            (Self::GivenUp(reason), Outcome::GivenUp(found)) => reason == *found,
            _ => false,
        }
    }
}

impl Outcome {
    pub(crate) fn told(&self) -> String {
        let text = match self {
            Self::Result(ended, Some(text)) => format!("{ended}: {}", text.trim_end()),
            Self::Result(ended, None) => ended.to_string(),
            Self::GivenUp(reason) => format!("given up: {reason:?}"),
        };
        text.chars().take(60).collect()
    }
}
