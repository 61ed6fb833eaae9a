//! A window over a file, so that a walk reads it in large steps and holds little of it.

use std::io;

use crate::JournalError;
use crate::disk::DiskFile;

/// Bytes read at once. A 64 MiB segment takes 256 reads; larger gains nothing measurable.
const STEP_BYTES: u64 = 256 * 1024;

/// The part of `file` that was read last.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    name: &'a str,
    file: &'a dyn DiskFile,
    file_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(name: &'a str, file: &'a dyn DiskFile) -> Result<Self, JournalError> {
        let file_bytes = file.bytes().map_err(|error| JournalError::io("measure", name, error))?;
        Ok(Self { name, file, file_bytes, start: 0, bytes: Vec::new() })
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The `count` bytes at `offset`, which must lie inside the file.
    pub(crate) fn get(&mut self, offset: u64, count: u64) -> Result<&[u8], JournalError> {
        if offset < self.start || offset + count > self.start + self.bytes.len() as u64 {
            self.read(offset, count).map_err(|error| JournalError::io("read", self.name, error))?;
        }
        Ok(&self.bytes[(offset - self.start) as usize..][..count as usize])
    }

    fn read(&mut self, offset: u64, count: u64) -> io::Result<()> {
        let bytes = count.max(STEP_BYTES).min(self.file_bytes.saturating_sub(offset));
        self.bytes.resize(bytes as usize, 0);
        self.start = offset;
        // A failed read must not leave bytes behind that pass for the file's.
        self.file.read_at(offset, &mut self.bytes).inspect_err(|_| self.bytes.clear())
    }
}
