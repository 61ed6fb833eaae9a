//! Backups of a data folder: made while its scheduler runs, verified without it, restored into an empty one.
//!
//! A backup is a folder: the data folder's files, the journal up to a whole record, and `backup.json` with the
//! sha256 of each, written last. The order makes it consistent without stopping anybody: the journal first, then
//! what it refers to, which only ever grows (blobs, sealed batches, what was sent). The index is left out, since it is
//! rebuilt from the journal. Keys are in it: guard it like the machine itself.
//!
//! **A backup is for a disk that died, not for turning back.** Whatever the scheduler signed after it was made is
//! known to the chain and to workers, and signing it a second time costs the bond: see [`crate::fence`].

mod copy;
mod verify;

use crate::{config::Config, format, replay};
use copy::Copier;
use quorate_common::{
    clock::SystemClock,
    exit::{Code, Failure},
    report::Chain as Report,
};
use quorate_grid::policy::Genesis;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

pub use verify::{Verified, verify};

/// The list of what is in a backup.
const MANIFEST: &str = "backup.json";
const SCHEMA: &str = "quorate.backup/v1";
/// In the data folder: when the newest complete backup was begun, in unix seconds; for monitoring.
const LAST: &str = "last-backup";
/// What a data folder holds that a backup does not: the index is rebuilt, the rest is of a running process.
const LEFT_OUT: [&str; 6] = ["index", "control.sock", "journal", "said.log", MANIFEST, LAST];
/// How often a copy of the journal is begun anew because a segment was pruned under it: pruning comes every
/// 200,000 records, so twice in a row means that the disk is too slow for the pool.
const TRIES: usize = 3;

/// What a backup says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `quorate.backup/v1`.
    pub schema: String,
    /// When it was begun.
    pub unix_s: u64,
    /// The release that made it.
    pub release: String,
    /// The format of what is in it.
    pub format: u32,
    /// The pool, the chain and the contract it is of.
    pub genesis: Genesis,
    /// The first record of the journal.
    pub first_seq: u64,
    /// The last one.
    pub seq: u64,
    /// The hash of the chain up to it, in hex.
    pub hash: String,
    /// Every file with length and sha256.
    pub files: BTreeMap<String, Entry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its length.
    pub bytes: u64,
    /// Of its bytes, in hex.
    pub sha256: String,
}

/// Makes a backup of a pool's data folder in `into`, which must not be there.
///
/// # Errors
/// What the disks say; a folder that is no pool's, or a newer one's.
pub fn create(config: &Config, into: &Path) -> Result<Manifest, Failure> {
    let data = config.data.as_path();
    let Some(found) = format::check(data)? else {
        let text =
            format!("{}: expected a pool's data folder; no journal is there", data.display());
        return Err(Failure::new(Code::NotFound, text).hint("name it with --data"));
    };
    let genesis = replay::genesis(config)?;
    let unix_s = SystemClock::start().now().unix_s();
    make(into)?;
    let journal = copy_journal(&data.join("journal"), &into.join("journal"))?;
    let mut copier = Copier::new(data, into);
    let files = copier.all(&LEFT_OUT).and_then(|()| copier.add_copied("journal"));
    files.map_err(|error| disk(into, &error))?;
    let manifest = Manifest {
        schema: SCHEMA.into(),
        unix_s,
        release: env!("CARGO_PKG_VERSION").into(),
        format: found.format,
        genesis,
        first_seq: journal.first_seq,
        seq: journal.head.seq,
        hash: hex::encode(journal.head.hash),
        files: copier.files,
    };
    let text = serde_json::to_vec_pretty(&manifest).expect("plain data");
    copy::write_durably(&into.join(MANIFEST), &text).map_err(|error| disk(into, &error))?;
    if let Err(error) = fs::write(data.join(LAST), unix_s.to_string()) {
        tracing::warn!(%error, "the backup is complete; that it was made could not be noted for monitoring");
    }
    Ok(manifest)
}

/// When the newest complete backup of a data folder was begun, if that was noted there.
pub fn last(data: &Path) -> Option<u64> {
    fs::read_to_string(data.join(LAST)).ok()?.trim().parse().ok()
}

/// Puts a verified backup into the empty or absent folder `data`. Nothing of it is started.
///
/// # Errors
/// As [`verify()`]; a folder with something in it.
pub fn restore(from: &Path, data: &Path) -> Result<Verified, Failure> {
    let verified = verify(from)?;
    let is_empty = fs::read_dir(data).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty {
        let text =
            format!("{}: expected an empty or absent folder; there is something", data.display());
        return Err(Failure::new(Code::Conflict, text).hint(
            "move it away first, and keep it: it may be newer than the backup, and the newest copy is the only \
             one that may sign",
        ));
    }
    if !data.is_dir() {
        make(data)?;
    }
    let mut copier = Copier::new(from, data);
    copier.all(&[MANIFEST]).map_err(|error| disk(data, &error))?;
    if copier.files != verified.manifest.files {
        let text = format!("{}: the copy differs from the backup", data.display());
        return Err(Failure::new(Code::Internal, text).hint("check both disks, and restore again"));
    }
    Ok(verified)
}

fn copy_journal(from: &Path, into: &Path) -> Result<quorate_journal::copy::Copied, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        make(into)?;
        match quorate_journal::copy::copy(from, into) {
            Err(_) if tries < TRIES => {
                fs::remove_dir_all(into).map_err(|error| disk(into, &error))?;
            }
            copied => {
                return copied.map_err(|error| {
                    let text = format!("the journal in {}: {}", from.display(), Report(&error));
                    Failure::new(Code::Internal, text)
                });
            }
        }
    }
}

/// A folder that was not there, for its owner only.
#[expect(clippy::wildcard_enum_match_arm, reason = "the system has forty kinds of error")]
fn make(dir: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().mode(0o700).create(dir);
    made.map_err(|error| {
        let text = format!("{}: cannot be made: {error}", dir.display());
        let code = match error.kind() {
            io::ErrorKind::AlreadyExists => Code::Conflict,
            io::ErrorKind::NotFound => Code::NotFound,
            _ => Code::Internal,
        };
        Failure::new(code, text).hint("name a folder that is not there yet, in one that is")
    })
}

fn disk(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Internal, format!("{}: {error}", path.display()))
        .hint("check the disk's room, rights and health")
}

/// The manifest of a backup.
fn manifest(from: &Path) -> Result<Manifest, Failure> {
    let path: PathBuf = from.join(MANIFEST);
    let text = fs::read(&path).map_err(|error| {
        let text = format!("{}: {error}; expected a whole backup", path.display());
        Failure::new(Code::NotFound, text)
            .hint("a backup without its list was never finished: take another")
    })?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
        Failure::new(Code::Failed, format!("{}: {error}; expected {SCHEMA}", path.display()))
    })?;
    if manifest.schema == SCHEMA && manifest.format <= format::FORMAT {
        return Ok(manifest);
    }
    let Manifest { schema, format, release, .. } = manifest;
    let text = format!(
        "{}: {schema} of format {format}, made by release {release}; expected {SCHEMA} of at most format {}",
        path.display(),
        format::FORMAT
    );
    Err(Failure::new(Code::Conflict, text).hint(format!("use release {release} or later")))
}
