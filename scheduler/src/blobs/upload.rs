//! One upload: bytes come in piece by piece, are hashed, capped, and put under their digest.
//!
//! Up to [`SMALL_BYTES_MAX`] bytes stay in memory and go into a pack; a file in `tmp` is begun with
//! the first byte beyond. An upload that is dropped leaves nothing behind.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use quorate_common::digest::Digest;
use sha2::{Digest as _, Sha256};

use super::packs::SMALL_BYTES_MAX;
use super::{BlobError, Inner, Poison, Reserved, sync_dir};

/// A blob on its way in. Blocks on the disk; use it off the async threads.
#[derive(Debug)]
pub struct Upload {
    inner: Arc<Inner>,
    hasher: Sha256,
    bytes: u64,
    reserved: Option<Reserved>,
    guarded: bool,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Small(Vec<u8>),
    Large(Unfinished),
}

/// A file in `tmp`, removed when dropped.
#[derive(Debug)]
struct Unfinished {
    file: File,
    path: PathBuf,
    poison: Poison,
}

impl Upload {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        let body = Body::Small(Vec::new());
        Self { inner, hasher: Sha256::new(), bytes: 0, reserved: None, guarded: false, body }
    }

    /// Has the blob kept from everybody without a reason to read it, until somebody who has the bytes as
    /// well stores them openly. One that is here openly stays open: nobody can hide what is everybody's.
    #[must_use]
    pub fn guarded(self) -> Self {
        Self { guarded: true, ..self }
    }

    /// Adds the next piece. After an error the upload is of no use any more.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`], [`BlobError::Full`], before a byte of the piece is written;
    /// [`BlobError::Io`], [`BlobError::Poisoned`].
    pub fn write(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        self.inner.poison.check()?;
        let bytes = self.bytes.saturating_add(piece.len() as u64);
        if bytes > self.inner.blob_bytes_max {
            return Err(BlobError::TooLarge { limit: self.inner.blob_bytes_max });
        }
        match &mut self.reserved {
            Some(reserved) => reserved.grow(piece.len() as u64)?,
            None => self.reserved = Some(self.inner.room.reserve(piece.len() as u64)?),
        }
        self.hasher.update(piece);
        self.bytes = bytes;
        self.store(piece)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts the blob under its digest, durable on return. A blob that is there already is replaced
    /// by itself, which heals one that was damaged.
    ///
    /// # Errors
    /// [`BlobError::WrongDigest`] if it is not the one `expected`; [`BlobError::Io`] and
    /// [`BlobError::Poisoned`].
    pub fn finish(self, expected: Option<Digest>) -> Result<Digest, BlobError> {
        self.inner.poison.check()?;
        let Self { inner, hasher, bytes: _, reserved, guarded, body } = self;
        let digest = Digest(hasher.finalize().into());
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(BlobError::WrongDigest { expected, found: digest });
        }
        if !guarded {
            inner.guards.clear(&digest)?;
        } else if inner.len(&digest).is_none() {
            inner.guards.set(&digest)?;
        }
        match body {
            Body::Small(bytes) => {
                // It reserves for itself, and only if it is new.
                drop(reserved);
                inner.put_small(digest, &bytes)?;
                inner.packs.sync()?;
            }
            Body::Large(unfinished) => {
                if unfinished.publish(&inner, &digest)?
                    && let Some(reserved) = reserved
                {
                    reserved.keep();
                }
            }
        }
        Ok(digest)
    }

    fn store(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        if let Body::Small(start) = &mut self.body {
            if start.len() + piece.len() <= SMALL_BYTES_MAX {
                start.extend_from_slice(piece);
                return Ok(());
            }
            let unfinished = Unfinished::new(&self.inner)?;
            unfinished.write(start)?;
            self.body = Body::Large(unfinished);
        }
        match &self.body {
            Body::Large(unfinished) => unfinished.write(piece),
            Body::Small(_) => Ok(()),
        }
    }
}

impl Unfinished {
    fn new(inner: &Inner) -> Result<Self, BlobError> {
        let number = inner.uploads.fetch_add(1, Ordering::Relaxed);
        let path = inner.dir.join("tmp").join(number.to_string());
        let file = File::create_new(&path).map_err(|error| BlobError::io("make", &path, error))?;
        Ok(Self { file, path, poison: inner.poison.clone() })
    }

    /// A failed write is this upload's own affair: its bytes were nobody's yet.
    fn write(&self, bytes: &[u8]) -> Result<(), BlobError> {
        let mut file = &self.file;
        file.write_all(bytes).map_err(|error| BlobError::io("write", &self.path, error))
    }

    /// Gives the file its name, durably; says whether the name is new.
    ///
    /// The new name is a second link, and the one in `tmp` goes only when the new one is durable.
    /// So after a crash `tmp` tells whether a name that is seen may not be.
    fn publish(&self, inner: &Inner, digest: &Digest) -> Result<bool, BlobError> {
        let synced = self.file.sync_data();
        synced.map_err(|error| self.poison.with("sync", &self.path, error))?;
        let path = inner.path(digest);
        let new = self.link(&path).map_err(|error| BlobError::io("name", &path, error))?;
        let synced = sync_dir(path.parent().expect("a blob's path has a folder"));
        synced.map_err(|error| self.poison.with("sync the folder of", &path, error))?;
        Ok(new)
    }

    fn link(&self, path: &Path) -> io::Result<bool> {
        match fs::hard_link(&self.path, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::rename(&self.path, path).map(|()| false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a failed sync it stays, to tell the next start that a name may not be durable. Absent
        // if it was renamed; else opening sweeps what this fails to remove.
        if self.poison.check().is_ok() {
            let _ = fs::remove_file(&self.path);
        }
    }
}
