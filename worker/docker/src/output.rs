//! What a container may leave as its result: files with plain names in folders, few and small enough.
//!
//! Everything else (links, devices, pipes, names that lead elsewhere) ends the task as one without a
//! result, with the same sentence on every machine, so that replicas agree on that too.

use crate::tar::{Entry, Kind, Piece, Reader, TarError};
use quorate_common::manifest::{FILES_MAX, PathError, check_path};
use std::collections::BTreeMap;

/// Entries of an archive, folders included: no result needs more folders than files.
const ENTRIES_MAX: usize = 2 * FILES_MAX;

/// Files by their path below the output folder.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why what a container left is no result. The sentences are part of results, so no machine's own
/// figures may be in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// Too many files.
    #[error("the output has more than {ENTRIES_MAX} files and folders")]
    Entries,
    /// Too many bytes.
    #[error("the output has more than {most} bytes")]
    Bytes {
        /// What the task may write.
        most: u64,
    },
    /// A name no result can have.
    #[error("the output has a file that no result can have: {0}")]
    Path(#[from] PathError),
    /// A link, device or pipe.
    #[error("the output has {what} at {path:?}; expected files and folders only")]
    Kind {
        /// What it is.
        what: &'static str,
        /// Where.
        path: String,
    },
    /// The engine's archive makes no sense.
    #[error(transparent)]
    Tar(#[from] TarError),
}

/// Collects the files of an archive that an engine sends.
#[derive(Debug)]
pub struct Collector {
    reader: Reader,
    kept: Kept,
}

#[derive(Debug)]
struct Kept {
    files: Files,
    current: Option<String>,
    entries: usize,
    bytes: u64,
    most: u64,
}

impl Collector {
    /// Takes up to `most` bytes of files.
    pub fn new(most: u64) -> Self {
        let kept = Kept { files: Files::new(), current: None, entries: 0, bytes: 0, most };
        Self { reader: Reader::default(), kept }
    }

    /// The next bytes of the archive.
    ///
    /// # Errors
    /// What makes it no result; the rest need not be read.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        let Self { reader, kept } = self;
        reader.feed(bytes, &mut |piece| kept.take(piece))
    }

    /// All files.
    ///
    /// # Errors
    /// The archive was cut.
    pub fn finish(self) -> Result<Files, OutputError> {
        self.reader.finish()?;
        if self.kept.files.len() > FILES_MAX {
            return Err(OutputError::Entries);
        }
        Ok(self.kept.files)
    }
}

impl Kept {
    fn take(&mut self, piece: Piece<'_>) -> Result<(), OutputError> {
        match piece {
            Piece::Entry(entry) => self.begin(entry),
            Piece::Bytes(bytes) => {
                let file = self.current.as_ref().and_then(|path| self.files.get_mut(path));
                if let Some(file) = file {
                    file.extend_from_slice(bytes);
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), OutputError> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(OutputError::Entries);
        }
        // The archive's first name is the folder's own.
        let path = entry.path.trim_end_matches('/');
        let below = path.split_once('/').map(|(_, below)| below);
        self.current = None;
        match (entry.kind, below) {
            (Kind::Folder, None) => Ok(()),
            (Kind::Folder, Some(below)) => Ok(check_path(below)?),
            (Kind::File, below) => self.file(below.unwrap_or_default(), entry.size),
            (Kind::HardLink, _) => Err(strange("a hard link", entry)),
            (Kind::Symlink, _) => Err(strange("a symbolic link", entry)),
            (Kind::Device, _) => Err(strange("a device", entry)),
            (Kind::Fifo, _) => Err(strange("a pipe", entry)),
        }
    }

    fn file(&mut self, path: &str, size: u64) -> Result<(), OutputError> {
        check_path(path)?;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.most {
            return Err(OutputError::Bytes { most: self.most });
        }
        self.files.insert(path.to_owned(), Vec::new());
        self.current = Some(path.to_owned());
        Ok(())
    }
}

fn strange(what: &'static str, entry: &Entry) -> OutputError {
    const CHARS_MAX: usize = 100;
    OutputError::Kind { what, path: entry.path.chars().take(CHARS_MAX).collect() }
}
