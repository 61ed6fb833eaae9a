//! Which blobs are not for everybody: an empty file each, so that a restart knows. Who may read them all
//! the same is not known here.

use super::BlobError;
use crate::journal::disk::{make_durable_dir, sync_dir};
use quorate_common::digest::Digest;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Guards {
    dir: PathBuf,
    known: RwLock<BTreeSet<Digest>>,
}

impl Guards {
    /// Reads the folder, made if absent.
    pub(super) fn open(dir: &Path) -> Result<Self, BlobError> {
        make_durable_dir(dir).map_err(|error| BlobError::io("make", dir, error))?;
        let listed = list(dir).map_err(|error| BlobError::io("list", dir, error))?;
        Ok(Self { dir: dir.to_owned(), known: RwLock::new(listed) })
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    /// Durable on return.
    pub(super) fn set(&self, digest: &Digest) -> Result<(), BlobError> {
        let path = self.dir.join(digest.to_string());
        let made = File::create(&path).and_then(|_| sync_dir(&self.dir));
        made.map_err(|error| BlobError::io("make", &path, error))?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(*digest);
        Ok(())
    }

    /// Costs nothing for what is not guarded.
    pub(super) fn clear(&self, digest: &Digest) -> Result<(), BlobError> {
        if !self.has(digest) {
            return Ok(());
        }
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(digest);
        let path = self.dir.join(digest.to_string());
        fs::remove_file(&path).map_err(|error| BlobError::io("remove", &path, error))
    }
}

fn list(dir: &Path) -> io::Result<BTreeSet<Digest>> {
    let mut known = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        known.extend(entry?.file_name().to_str().and_then(|name| name.parse::<Digest>().ok()));
    }
    Ok(known)
}
