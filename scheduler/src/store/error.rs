//! Why a store is filled anew, and why it did not do something.

use std::io;
use std::path::{Path, PathBuf};

use super::{KEY_BYTES_MAX, Keyspace, OPEN_BUDGET, VALUE_BYTES_MAX};

/// A store that could not be used.
#[derive(Debug)]
pub struct Rebuild {
    /// Why.
    pub reason: Reason,
    /// Where its files went, if there were any.
    pub moved_to: Option<PathBuf>,
}

/// Why a store is filled anew. Reads after "the store is filled anew: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// There is none.
    #[error("it is missing")]
    Missing,
    /// It says nothing about its state, so somebody else put it there.
    #[error("its state file is missing or unreadable")]
    Unknown,
    /// The process died while sled was reading its files, presumably of them.
    #[error("the last start died while opening it")]
    DiedOpening,
    /// sled panicked while it was in use.
    #[error("sled panicked: {0}")]
    Suspect(String),
    /// The machine went down while it was open, and sled does not survive that dependably.
    #[error("the machine went down while it was open")]
    PowerCut,
    /// sled refused, panicked or failed to read its files.
    #[error("sled cannot read it: {0}")]
    Unreadable(String),
    /// sled did not come back in time.
    #[error("sled took over {} s to open it", OPEN_BUDGET.as_secs())]
    TooSlow,
    /// It was closed in order, and is not what it was: its files changed.
    #[error("it reflects record {applied_seq}, but {closed_seq} when it was closed")]
    WentBack {
        /// The last record it reflects.
        applied_seq: u64,
        /// The last record it reflected when it was closed.
        closed_seq: u64,
    },
    /// It reflects records that the journal does not have. Beside a journal that was cut or put
    /// back from an old copy this is a warning: those records were acknowledged.
    #[error("it reflects record {applied_seq}, but the journal ends at {head_seq}")]
    Ahead {
        /// The last record it reflects.
        applied_seq: u64,
        /// The journal's last record.
        head_seq: u64,
    },
    /// The journal does not go back to where it ends.
    #[error("it ends at record {applied_seq}, but the journal starts at {first_seq}")]
    Behind {
        /// The last record it reflects.
        applied_seq: u64,
        /// The journal's first record.
        first_seq: u64,
    },
}

/// Why the store did not do something. Reads after "the store in FOLDER: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder refused. Check space and rights, then start again.
    #[error("cannot {action} {path}; check the disk's space, rights and health, then start again")]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or folder it was done to.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Even an empty one does not open.
    #[error("an empty sled does not open in {path} ({why}); check the disk, then start again")]
    Hopeless {
        /// The folder.
        path: String,
        /// What sled said.
        why: String,
    },
    /// sled failed on a store that was open. Start again: it is set aside and filled anew.
    #[error("sled failed ({0}); start the scheduler again, which fills the store anew")]
    Failed(String),
    /// A key is over its cap. Nothing was written.
    #[error("a key in {keyspace} has {bytes} bytes, expected at most {KEY_BYTES_MAX}")]
    KeyTooLarge {
        /// Where it was to go.
        keyspace: Keyspace,
        /// Its size.
        bytes: usize,
    },
    /// A value is over its cap. Nothing was written.
    #[error(
        "a value in {keyspace} has {bytes} bytes, expected at most {VALUE_BYTES_MAX}; put it in a \
         blob"
    )]
    ValueTooLarge {
        /// Where it was to go.
        keyspace: Keyspace,
        /// Its size.
        bytes: usize,
    },
    /// The changes belong before what is already there: a fault in the program.
    #[error("changes of record {seq} come after those of {applied_seq}; this is a fault of ours")]
    OutOfOrder {
        /// Their record.
        seq: u64,
        /// The record the store reflects.
        applied_seq: u64,
    },
}

pub(super) fn io_error(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { action, path: path.display().to_string(), source }
}
