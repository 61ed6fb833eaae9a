//! Why a blob was not stored or read.

use std::io;
use std::path::Path;

use quorate_common::digest::Digest;

/// Why a blob was not stored or read. Reads after "blob NAME: " or "the upload: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// It is larger than this pool takes. Refuse the upload.
    #[error("it has over {limit} bytes, expected at most {limit}; split it, or ask the operator")]
    TooLarge {
        /// The cap on one blob, in bytes.
        limit: u64,
    },
    /// The store is full. Refuse the upload and tell the operator.
    #[error(
        "it needs {wanted} bytes, expected at most {} of {limit} left; try another pool, or ask \
         the operator for room",
        limit.saturating_sub(*total)
    )]
    Full {
        /// What was to be added, in bytes.
        wanted: u64,
        /// What is there, uploads on their way included.
        total: u64,
        /// The cap on the total.
        limit: u64,
    },
    /// The bytes are not the ones announced. Refuse the upload.
    #[error("its bytes have sha256 {found}, expected {expected}; send it again")]
    WrongDigest {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// It is not here.
    #[error("{digest} is not here; upload it first")]
    Missing {
        /// Its name.
        digest: Digest,
    },
    /// It is larger than the reader wants.
    #[error("{digest} has {bytes} bytes, expected at most {max} here; stream it instead")]
    OverMax {
        /// Its name.
        digest: Digest,
        /// Its size.
        bytes: u64,
        /// What the reader wants at most.
        max: u64,
    },
    /// Its bytes changed on disk. Uploading it again heals it.
    #[error("{digest} is damaged on disk; upload it again, and check the disk")]
    Damaged {
        /// Its name.
        digest: Digest,
    },
    /// Another process has the folder.
    #[error("{dir} is in use by another scheduler; stop that one, or give this one its own folder")]
    Locked {
        /// The folder.
        dir: String,
    },
    /// The disk refused.
    #[error("cannot {action} {path}; check the disk's space, rights and health")]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or folder it was done to.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier sync failed. Start again.
    #[error("an earlier error stopped the store ({cause}); start the scheduler again")]
    Poisoned {
        /// That error.
        cause: String,
    },
}

impl BlobError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.display().to_string(), source }
    }
}
