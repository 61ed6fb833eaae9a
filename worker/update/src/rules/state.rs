//! What an updater remembers, what it is told, and what it wants done. Written to disk after every input,
//! before any effect.

use super::{Artefact, Offer, Refusal, Root};
use quorate_common::digest::Digest;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Versions remembered as bad; the lowest goes first, which nobody offers again.
const BAD_MAX: usize = 16;

/// Everything that must survive a crash. The files on disk follow from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// `quorate.update-state/v1`.
    pub schema: String,
    /// The root document the owner trusts; another one begins from nothing.
    pub anchor: Digest,
    /// The root in force.
    pub root: Root,
    /// The newest release document seen, by channel.
    pub seen: BTreeMap<String, Seen>,
    /// Unix seconds no reading of the clock was later than.
    pub latest_unix: u64,
    /// Unix seconds at which a source last showed something in force.
    pub fresh_unix: u64,
    /// The newest version there is, and what is to be said of it.
    pub offer: Option<Offer>,
    /// Versions on disk, verified.
    pub kept: BTreeMap<Version, Kept>,
    /// What runs; none is the program as it was installed.
    pub current: Option<Version>,
    /// What ran before it, to go back to.
    pub previous: Option<Version>,
    /// Whether there is something before [`State::current`] at all.
    pub has_previous: bool,
    /// What is to run next.
    pub wanted: Option<Goal>,
    /// A version that has not come up yet.
    pub trial: Option<Trial>,
    /// Versions that are not tried by themselves again.
    pub bad: BTreeMap<Version, Bad>,
}

/// The newest document of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its number.
    pub sequence: u64,
    /// Its body.
    pub body: Digest,
}

/// A version on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The program file, checked again at each start.
    pub file: Artefact,
    /// It has run well here.
    pub came_up: bool,
}

/// Where to go next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// To this version, on trial.
    Version(Version),
    /// To what ran before.
    Back,
}

/// A version that has not come up yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Which.
    pub version: Version,
    /// What runs if it does not.
    pub back_to: Option<Version>,
    /// How often it was started.
    pub starts: u8,
}

/// A version not to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// Why.
    pub fault: Fault,
    /// Unix seconds from which on it may be tried again; none is never.
    pub until_unix: Option<u64>,
    /// How often.
    pub times: u8,
}

/// What can be wrong with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It ended before it came up.
    Died,
    /// It neither came up nor ended in time: perhaps the network's fault, so it gets another day.
    Silent,
    /// Its file is not what was verified, or others may write it.
    Tampered,
    /// The owner went back.
    Owner,
}

impl Fault {
    /// In words, after "version X".
    pub fn words(self) -> &'static str {
        match self {
            Self::Died => "ended before it had come up",
            Self::Silent => "did not come up in time",
            Self::Tampered => "is not the file that was verified",
            Self::Owner => "was rolled back by the owner",
        }
    }
}

/// What an updater is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The file of the offer is on disk, verified.
    Staged(Version),
    /// The offer is to run.
    Apply,
    /// What ran before is to run.
    RollBack,
    /// The launcher begins; it is this version itself.
    Start {
        /// The installed program's.
        own: Version,
    },
    /// What runs has come up.
    CameUp(Version),
    /// What runs, or should, has not.
    Failed(Version, Fault),
}

/// What an updater wants done, after its state is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Say it.
    Tell(Notice),
    /// Have the file of this version.
    Fetch(Version, Artefact),
    /// Finish the work and start again.
    Switch,
    /// Run this; none is the launcher itself.
    Run {
        /// Which.
        version: Option<Version>,
        /// It has to show that it comes up.
        on_trial: bool,
    },
}

/// What an owner should hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There is a newer version.
    Newer(Offer),
    /// A version was given up, and what runs instead.
    GivenUp(Version, Fault, Option<Version>),
    /// A version runs, and has come up.
    Up(Version),
    /// The clock was put back.
    Clock(Refusal),
}

impl State {
    /// The only schema.
    pub const SCHEMA: &str = "quorate.update-state/v1";

    /// Nothing but a root to trust.
    pub fn new(anchor: Digest, root: Root) -> Self {
        Self {
            schema: Self::SCHEMA.into(),
            anchor,
            root,
            seen: BTreeMap::new(),
            latest_unix: 0,
            fresh_unix: 0,
            offer: None,
            kept: BTreeMap::new(),
            current: None,
            previous: None,
            has_previous: false,
            wanted: None,
            trial: None,
            bad: BTreeMap::new(),
        }
    }

    /// Whether this version is not to be tried by itself now.
    pub fn is_bad(&self, now_unix: u64, version: &Version) -> bool {
        let bad = self.bad.get(version);
        bad.is_some_and(|bad| bad.until_unix.is_none_or(|until| now_unix < until))
    }

    /// Versions whose files are still of use; others are removed.
    pub fn is_needed(&self, version: &Version) -> bool {
        let goal = Some(Goal::Version(version.clone()));
        let offered = self.offer.as_ref().is_some_and(|offer| offer.version == *version);
        let back = self.trial.as_ref().and_then(|trial| trial.back_to.as_ref());
        [self.current.as_ref(), self.previous.as_ref(), back].contains(&Some(version))
            || self.wanted == goal
            || offered
    }

    pub(super) fn forget_unneeded(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        self.kept = kept.into_iter().filter(|(version, _)| self.is_needed(version)).collect();
    }

    pub(super) fn remember_bad(&mut self, version: Version, bad: Bad) {
        self.bad.insert(version, bad);
        while self.bad.len() > BAD_MAX {
            self.bad.pop_first();
        }
    }
}
