//! Whether a backup would bring the pool back: every file is what the list says, the journal's chain holds from
//! its first record to its last, the newest snapshot stands in it, and all of it replays to a state. Nothing is
//! written, so a backup on a read-only disk is verified like any other.

use super::{Manifest, copy, manifest};
use crate::{
    journal::{self, JournalError, snapshot::Snapshots},
    replay::Standing,
};
use quorate_common::{
    exit::{Code, Failure},
    report::Chain as Report,
    wire::decode,
};
use quorate_grid::{Grid, Record, policy::Policy};
use std::{collections::BTreeSet, fs, fs::File, io, path::Path};

/// What a good backup comes to.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says about itself.
    pub manifest: Manifest,
    /// The state that its journal replays to.
    pub standing: Standing,
}

/// Checks all of it.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn verify(from: &Path) -> Result<Verified, Failure> {
    let manifest = manifest(from)?;
    files(from, &manifest)?;
    let standing = replayed(from, &manifest)?;
    if standing.seq != manifest.seq {
        let text = format!(
            "{}: the journal ends at record {}; expected {}",
            from.display(),
            standing.seq,
            manifest.seq
        );
        return Err(bad(text));
    }
    Ok(Verified { manifest, standing })
}

fn files(from: &Path, manifest: &Manifest) -> Result<(), Failure> {
    for (path, listed) in &manifest.files {
        let is_inside = Path::new(path)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_inside {
            return Err(bad(format!("{path}: expected a path inside of the backup")));
        }
        let wrong = |what: &dyn std::fmt::Display| bad(format!("{path}: {what}"));
        let mut file = File::open(from.join(path)).map_err(|error| wrong(&error))?;
        let found = copy::entry(&mut file, &mut io::sink()).map_err(|error| wrong(&error))?;
        if found != *listed {
            let (is, expected) = (found.sha256, &listed.sha256);
            return Err(wrong(&format!("sha256 is {is}; expected {expected}")));
        }
    }
    no_stranger(from, "", manifest)
}

/// A file that the list does not have would be restored unseen.
fn no_stranger(from: &Path, below: &str, manifest: &Manifest) -> Result<(), Failure> {
    let listed: BTreeSet<&str> = manifest.files.keys().map(String::as_str).collect();
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(from.join(&folder)).map_err(|error| bad(format!("{folder}: {error}")))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if entry.path().is_dir() {
                folders.push(path);
            } else if path != super::MANIFEST && !listed.contains(path.as_str()) {
                return Err(bad(format!("{path}: is not in the backup's list")));
            }
        }
    }
    Ok(())
}

/// The state at the end of the journal, from its beginning or from the newest snapshot.
fn replayed(from: &Path, manifest: &Manifest) -> Result<Standing, Failure> {
    let dir = from.join("journal");
    let (mut grid, start) = begin(&dir, manifest)?;
    let read = journal::copy::read(&dir, start + 1, |seq, bytes| {
        let record: Record = decode(bytes).map_err(|error| Bad::Record(seq, error.to_string()))?;
        grid.apply(&record);
        Ok(())
    });
    let copied = read.map_err(|error: Bad| bad(format!("journal: {}", Report(&error))))?;
    Ok(Standing::of(&grid, copied.head.seq))
}

/// What a replay of it begins with: nothing, or the newest snapshot's state.
fn begin(dir: &Path, manifest: &Manifest) -> Result<(Grid, u64), Failure> {
    let latest = Snapshots::read_only(dir).and_then(|snapshots| snapshots.latest());
    let latest = latest.map_err(|error| bad(format!("snapshots: {}", Report(&error))))?;
    if let Some(skipped) = latest.skipped.first() {
        return Err(bad(format!("snapshot {}: {}", skipped.file, skipped.why)));
    }
    // Who only folds records draws nothing, and decides by no policy.
    let (policy, seed) = (Policy::default(), [0; 32]);
    if manifest.first_seq <= 1 {
        return Ok((Grid::new(manifest.genesis, policy, seed), 0));
    }
    let snapshot = latest.snapshot.ok_or_else(|| {
        bad(format!("the journal begins at record {}, and no snapshot is here", manifest.first_seq))
    })?;
    let durable = decode(&snapshot.bytes).map_err(|error| bad(format!("snapshot: {error}")))?;
    Ok((Grid::with(durable, policy, seed), snapshot.head.seq))
}

fn bad(text: String) -> Failure {
    Failure::new(Code::Failed, text)
        .hint("this backup is not good: take another, and check its disk")
}

/// What can go wrong in a replay.
#[derive(Debug, thiserror::Error)]
enum Bad {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("record {0} does not decode ({1})")]
    Record(u64, String),
}
