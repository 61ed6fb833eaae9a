//! Reading one blob, verified as it streams.

use std::fs::File;
use std::io::{self, Cursor, Read};

use quorate_common::digest::Digest;
use sha2::{Digest as _, Sha256};

use super::BlobError;

/// Streams a blob and verifies it on the way: instead of the last bytes of a blob that is not what
/// its name says, it returns an error of [`io::ErrorKind::InvalidData`].
#[derive(Debug)]
pub struct BlobReader {
    digest: Digest,
    source: Source,
    hasher: Sha256,
    bytes: u64,
    left: u64,
}

#[derive(Debug)]
pub(super) enum Source {
    Small(Cursor<Vec<u8>>),
    Large(File),
}

impl BlobReader {
    pub(super) fn new(digest: Digest, source: Source, bytes: u64) -> Self {
        Self { digest, source, hasher: Sha256::new(), bytes, left: bytes }
    }

    /// Size of the blob in bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Is it the empty blob?
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn damaged(&self) -> io::Error {
        let text = BlobError::Damaged { digest: self.digest }.to_string();
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..most];
        let count = match &mut self.source {
            Source::Small(bytes) => bytes.read(buffer)?,
            Source::Large(file) => file.read(buffer)?,
        };
        self.hasher.update(&buffer[..count]);
        self.left -= count as u64;
        let done = self.left == 0;
        if count == 0 || (done && self.hasher.finalize_reset()[..] != self.digest.0) {
            return Err(self.damaged());
        }
        Ok(count)
    }
}
