//! A program on its way: what came is kept, counted and hashed, and is nothing before it is whole.

use super::{Folder, Step, checks::CHUNK_BYTES};
use crate::{
    UpdateError,
    rules::{Artefact, Refusal},
};
use quorate_common::digest::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::PathBuf,
};

/// A file on its way, and the hash of what came so far.
#[derive(Debug)]
pub struct Part {
    pub(super) path: PathBuf,
    pub(super) file: File,
    wanted: Artefact,
    hash: Sha256,
    len: u64,
    folder: Folder,
}

impl Part {
    pub(super) fn resume(
        path: PathBuf,
        mut file: File,
        wanted: Artefact,
        folder: Folder,
    ) -> Result<Self, UpdateError> {
        let mut part = Self {
            path,
            len: 0,
            hash: Sha256::new(),
            wanted,
            folder,
            file: file.try_clone().map_err(|error| UpdateError::disk("incoming", "read", error))?,
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => return Ok(part),
                Ok(n) => {
                    part.hash.update(&chunk[..n]);
                    part.len += n as u64;
                }
                Err(error) => return Err(UpdateError::disk(part.path, "read", error)),
            }
        }
    }

    /// How many bytes are here.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is here.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether more must come.
    pub fn is_short(&self) -> bool {
        self.len < self.wanted.bytes
    }

    /// Takes what came; never more than was signed for. A full disk gives back what the file took of it.
    ///
    /// # Errors
    /// The disk failed, or the source does not end.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), UpdateError> {
        let len = self.len + bytes.len() as u64;
        if len > self.wanted.bytes {
            self.drop_file();
            let most = self.wanted.bytes;
            return Err(Refusal::TooLong { what: "the program", most }.into());
        }
        let written = self.file.write_all(bytes).and_then(|()| self.folder.at(Step::Received));
        if let Err(error) = written {
            if matches!(
                error.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::FileTooLarge
            ) {
                self.drop_file();
            }
            return Err(UpdateError::disk(&self.path, "written", error));
        }
        self.hash.update(bytes);
        self.len = len;
        Ok(())
    }

    /// Everything is here: is it what was signed?
    ///
    /// # Errors
    /// [`UpdateError::WrongBytes`]; what came is gone then.
    pub fn verify(&self) -> Result<(), UpdateError> {
        let got = Digest(self.hash.clone().finalize().into());
        if got != self.wanted.sha256 || self.len != self.wanted.bytes {
            self.drop_file();
            let place = self.wanted.sha256.to_string();
            return Err(UpdateError::WrongBytes { place, expected: self.wanted.sha256, got });
        }
        let sync = self.file.sync_all().and_then(|()| self.folder.at(Step::Verified));
        sync.map_err(|error| UpdateError::disk(&self.path, "written", error))
    }

    /// It is of no use; if it cannot be removed now, the next sweep does.
    fn drop_file(&self) {
        drop(fs::remove_file(&self.path));
    }
}
