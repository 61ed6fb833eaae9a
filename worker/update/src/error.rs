//! Why an update did not go on. What runs goes on running.

use crate::rules::Refusal;
use quorate_common::digest::Digest;
use std::{io, path::PathBuf};

/// Nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Not believed, or not possible.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk failed.
    #[error("{path}: cannot be {verb}")]
    Disk {
        /// Which file.
        path: PathBuf,
        /// `read`, `written`…
        verb: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else could have written it, or did.
    #[error("{path}: {why}; nothing is started from it")]
    Unsafe {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The source does not answer, or not in time.
    #[error("{place}: {why}")]
    Unreachable {
        /// Which document or file.
        place: String,
        /// What happened.
        why: String,
    },
    /// The source has not what it should.
    #[error("{0} is not there")]
    Missing(String),
    /// Other bytes than the ones that were signed.
    #[error("{place} has other bytes than the release says: expected sha256 {expected}, got {got}")]
    WrongBytes {
        /// Which file.
        place: String,
        /// What was signed.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// A value of the owner's makes no sense.
    #[error("`{field}` is `{value}`; expected {expected}")]
    Setting {
        /// Which.
        field: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        expected: &'static str,
    },
}

impl UpdateError {
    pub(crate) fn disk(path: impl Into<PathBuf>, verb: &'static str, source: io::Error) -> Self {
        Self::Disk { path: path.into(), verb, source }
    }

    /// Whether the same may succeed later by itself.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Missing(_) | Self::Disk { .. })
    }
}
