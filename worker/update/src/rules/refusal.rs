//! Why something that a source showed is not believed, or cannot be done. One list, closed.

use semver::Version;

/// Nothing was installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not what it should be.
    #[error("{what} does not read: {why}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Endless data ends here.
    #[error("{what} is longer than {most} bytes")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// What it may have.
        most: u64,
    },
    /// One stolen key is not enough.
    #[error("{what} is signed by {have} of the root's keys; expected {need}")]
    TooFew {
        /// Which part.
        what: &'static str,
        /// Good signatures of known keys.
        have: usize,
        /// The threshold.
        need: usize,
    },
    /// A root that does not follow the one that is trusted.
    #[error("root {offered} does not follow root {trusted}; expected {}", trusted + 1)]
    Succession {
        /// The root's version that was shown.
        offered: u64,
        /// The one that is trusted.
        trusted: u64,
    },
    /// A document for something else.
    #[error("the release is for {field} `{value}`; expected `{expected}`")]
    Other {
        /// `product` or `channel`.
        field: &'static str,
        /// What it says.
        value: String,
        /// What this worker follows.
        expected: String,
    },
    /// A release older than one that was seen before.
    #[error(
        "the source shows release number {shown} of channel `{channel}`, but number {seen} was seen before: \
         somebody may be rolling it back; ask the publisher"
    )]
    Rollback {
        /// Of which channel.
        channel: String,
        /// What was shown.
        shown: u64,
        /// What was seen.
        seen: u64,
    },
    /// Two releases with one number.
    #[error(
        "release number {sequence} of channel `{channel}` was another one before: the publisher's keys sign two \
         different releases under one number; install neither, ask the publisher"
    )]
    TwoFaced {
        /// Of which channel.
        channel: String,
        /// Which number.
        sequence: u64,
    },
    /// Nothing fresh: the publisher signs again before a document expires.
    #[error(
        "the {what} expired {days} days ago: the source may be frozen by somebody, or the publisher has stopped; \
         nothing is installed from it"
    )]
    Expired {
        /// `root` or `release`.
        what: &'static str,
        /// Whole days since.
        days: u64,
    },
    /// The clock says less than it said before.
    #[error(
        "the clock is {days} days behind what it said before; expiry is judged by the later reading. If the clock \
         was wrong then, say `quorate-worker update check --trust-clock`"
    )]
    ClockBack {
        /// Whole days.
        days: u64,
    },
    /// There is nothing to install or to go back to.
    #[error("there is nothing to {verb}: {why}")]
    Nothing {
        /// `apply` or `roll back to`.
        verb: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A new version is being tried.
    #[error("version {0} is being tried; wait until it has come up or was given up")]
    Busy(Version),
}
