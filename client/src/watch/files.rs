//! Files that are there whole or not at all: a watcher is killed as often as any other program, and
//! its salts and cursors must outlive it.

use crate::failure;
use quorate_common::{
    exit::Failure,
    wire::{decode, to_bytes},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// Writes a file in one go: whoever reads it finds the old or the new one.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let unborn = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = File::create(&unborn)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unborn, path)
    };
    write().map_err(|error| failure::file("write", path, &error))
}

/// Reads a file; nothing if there is none.
pub(super) fn get(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure::file("read", path, &error)),
    }
}

/// Makes a folder.
pub(super) fn folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| failure::file("make", path, &error))
}

/// Writes something in the wire's encoding.
pub(super) fn put_encoded(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    put(path, &to_bytes(value))
}

/// Reads what [`put_encoded`] wrote. What does not decode is of another version: it is as if it were not
/// there, because everything so written can be learned again.
pub(super) fn get_encoded<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Failure> {
    let Some(bytes) = get(path)? else { return Ok(None) };
    match decode(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "file is of another version; it is made anew");
            Ok(None)
        }
    }
}
