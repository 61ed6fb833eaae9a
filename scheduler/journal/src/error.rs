//! Why the journal cannot be opened, read or written.

use std::io;

use crate::segment;
use crate::{BLOCK_BYTES_MAX, RECORD_BYTES_MAX};

/// Why the journal cannot be opened, read or written. Reads after "the journal in FOLDER: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The disk refused. Free space or replace it, then start again.
    #[error("cannot {action} {file}; check the disk's space, rights and health, then start again")]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file it was done to.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("{dir} is in use by another scheduler; stop that one, or give this one its own folder")]
    Locked {
        /// The folder.
        dir: String,
    },
    /// Records that were durable are no longer readable. Needs an operator.
    #[error(
        "{segment} is damaged at offset {offset}: expected {expected}, found {found}; records that \
         were acknowledged are lost here, so restore the folder from a copy, or move it away and \
         start from a snapshot taken after them"
    )]
    Damaged {
        /// Name of the segment file.
        segment: String,
        /// Where, in bytes from the file's start.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
    },
    /// A whole segment is gone. Needs an operator.
    #[error(
        "{segment} is missing: expected records {first} to {last} before {before}; put the file \
         back from a copy, with no other file changed"
    )]
    Missing {
        /// Name of the segment file that should be there.
        segment: String,
        /// The segment that is there instead.
        before: String,
        /// The first missing record.
        first: u64,
        /// The last missing record.
        last: u64,
    },
    /// The folder was written by another release.
    #[error(
        "{segment} has format version {found}, expected {}; run the release that wrote it",
        segment::VERSION
    )]
    Version {
        /// Name of the segment file.
        segment: String,
        /// The version it says.
        found: u32,
    },
    /// A record is over the cap. Nothing was written; the journal goes on.
    #[error("a record has {bytes} bytes, expected at most {RECORD_BYTES_MAX}; put it in a blob")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// An append is over the cap. Nothing was written; the journal goes on.
    #[error("an append has over {BLOCK_BYTES_MAX} bytes, expected at most that; split it")]
    BlockTooLarge,
    /// The records asked for are not here (any more). Start from a snapshot.
    #[error("record {seq} is not here, expected {first} to {last}; start from a snapshot")]
    OutOfRange {
        /// The record asked for.
        seq: u64,
        /// The first record there.
        first: u64,
        /// The last record there.
        last: u64,
    },
    /// Something remembers a record that this journal does not have. Needs an operator.
    #[error(
        "record {seq} is not the one remembered: expected hash {expected}.., found {found}..; this \
         folder has another history, so put back the one that belongs to the snapshot"
    )]
    OtherHistory {
        /// The record.
        seq: u64,
        /// The start of its remembered hash, in hex.
        expected: String,
        /// The start of its hash here.
        found: String,
    },
    /// The writer was given records out of order: a fault in the program.
    #[error("records from {found} were appended, expected {expected}; this is a fault of ours")]
    OutOfStep {
        /// The number given.
        found: u64,
        /// The number that is next.
        expected: u64,
    },
    /// An earlier write or sync failed. Start again.
    #[error("an earlier error stopped it ({cause}); start the scheduler again")]
    Poisoned {
        /// That error.
        cause: String,
    },
}

impl JournalError {
    pub(super) fn io(action: &'static str, file: &str, source: io::Error) -> Self {
        Self::Io { action, file: file.to_owned(), source }
    }
}
