//! Whose a file is, what kind it is, and who else could write it.

use crate::UpdateError;
use quorate_common::digest::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Bytes hashed at a time.
pub(super) const CHUNK_BYTES: usize = 64 << 10;

/// `O_NOFOLLOW` of Linux, by architecture: a link is never opened.
pub(super) const NO_FOLLOW: i32 =
    if cfg!(any(target_arch = "aarch64", target_arch = "arm")) { 0o100_000 } else { 0o400_000 };

pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path)
}

pub(super) fn new_file(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

pub(super) fn stat(path: &Path, file: &File) -> Result<Metadata, UpdateError> {
    file.metadata().map_err(|error| UpdateError::disk(path, "read", error))
}

/// A plain file of ours that nobody else can write, under one name.
pub(super) fn is_ours(path: &Path, metadata: &Metadata) -> Result<(), UpdateError> {
    let unsafe_ = |why: String| Err(UpdateError::Unsafe { path: path.into(), why });
    if !metadata.is_file() {
        return unsafe_("is not a plain file".into());
    }
    if metadata.nlink() != 1 {
        return unsafe_(format!("has {} names; expected one", metadata.nlink()));
    }
    is_private(path, metadata)
}

pub(super) fn is_own_dir(path: &Path, metadata: &Metadata) -> Result<(), UpdateError> {
    if !metadata.is_dir() {
        let why = "is a link or file where a folder is expected".into();
        return Err(UpdateError::Unsafe { path: path.into(), why });
    }
    is_private(path, metadata)
}

pub(super) fn is_private(path: &Path, metadata: &Metadata) -> Result<(), UpdateError> {
    let (owner, us) = (metadata.uid(), rustix::process::geteuid().as_raw());
    let mode = metadata.mode() & 0o7777;
    let why = if owner != us {
        format!("belongs to user {owner}; expected {us}")
    } else if mode & 0o022 != 0 {
        format!("mode {mode:o} lets others write it; run `chmod go-w` on it if they did not")
    } else {
        return Ok(());
    };
    Err(UpdateError::Unsafe { path: path.into(), why })
}

pub(super) fn make_dir(path: &Path) -> Result<(), UpdateError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    // A link to a folder passes for one here, and is refused below.
    made.map_err(|error| UpdateError::disk(path, "made", error))?;
    let metadata = path.symlink_metadata();
    is_own_dir(path, &metadata.map_err(|error| UpdateError::disk(path, "read", error))?)
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn hash(file: &File, most: u64) -> io::Result<Digest> {
    let (mut file, mut hash, mut chunk) = (file.take(most), Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Digest(hash.finalize().into())),
            n => hash.update(&chunk[..n]),
        }
    }
}
