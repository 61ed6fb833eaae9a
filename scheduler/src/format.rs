//! The version of what a data folder holds: records, snapshots, batches. The journal's own framing has one in
//! each segment; this one says whether the records in it mean what this release takes them for.
//!
//! The rule of upgrades: a release reads every format up to its own, and raises the folder to its own when it
//! first serves it. From then on an older release refuses the folder; before, nothing has changed. Releases of
//! one format may follow each other in any order. Nothing is ever converted here: old records stay as they are.

use quorate_common::exit::{Code, Failure};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// What this release writes: the grid's, which is raised whenever a record or a snapshot would be misread by the
/// release before.
pub const FORMAT: u32 = quorate_grid::record::FORMAT as u32;
/// The oldest that this release reads. What was written before has no release that anybody runs.
const OLDEST: u32 = FORMAT;

/// The file's name in the data folder.
const FILE: &str = "format.json";

/// What a folder says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// `quorate.format/v1`.
    pub schema: String,
    /// The format.
    pub format: u32,
    /// The release that raised it.
    pub release: String,
}

/// The folder's format; nothing if it holds no journal yet.
///
/// # Errors
/// It is newer than this release, or cannot be read.
pub fn check(data: &Path) -> Result<Option<Format>, Failure> {
    let Some(found) = read(data)? else {
        // The file is younger than the first format.
        let has_journal =
            fs::read_dir(data.join("journal")).is_ok_and(|mut dir| dir.next().is_some());
        return Ok(has_journal.then(|| of(OLDEST, "0.1.0")));
    };
    match found.format {
        OLDEST..=FORMAT => Ok(Some(found)),
        ..OLDEST => Err(older(data, &found)),
        _ => Err(newer(data, &found)),
    }
}

fn older(data: &Path, found: &Format) -> Failure {
    let text = format!(
        "{}: `format` is {}, written by release {}; expected {OLDEST} to {FORMAT}",
        path(data).display(),
        found.format,
        found.release
    );
    Failure::new(Code::Conflict, text).hint(
        "run the releases in between first, each once: what they read and write is in their notes",
    )
}

fn newer(data: &Path, found: &Format) -> Failure {
    let text = format!(
        "{}: `format` is {}, written by release {}; expected at most {FORMAT}, which is what this release {} reads",
        path(data).display(),
        found.format,
        found.release,
        env!("CARGO_PKG_VERSION")
    );
    Failure::new(Code::Conflict, text).hint(format!(
        "run release {} or later on this folder. A backup from before the upgrade serves only if nothing was \
         signed since: the anti-rollback fence refuses it otherwise (quorate-scheduler help backup)",
        found.release
    ))
}

/// Raises a folder to this release's format, durably, before its first record of it.
///
/// # Errors
/// As [`check`]; the disk's.
pub fn raise(data: &Path) -> Result<(), Failure> {
    check(data)?;
    if read(data)?.is_some_and(|found| found.format >= FORMAT) {
        return Ok(());
    }
    let path = path(data);
    let text = serde_json::to_vec(&of(FORMAT, env!("CARGO_PKG_VERSION"))).expect("plain data");
    write(&path, &text)
        .map_err(|error| Failure::new(Code::Internal, format!("{}: {error}", path.display())))
}

fn of(format: u32, release: &str) -> Format {
    Format { schema: "quorate.format/v1".into(), format, release: release.into() }
}

fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

fn read(data: &Path) -> Result<Option<Format>, Failure> {
    let path = path(data);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::new(Code::Internal, format!("{}: {error}", path.display())));
        }
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let text = format!("{}: {error}; expected a quorate.format/v1 document", path.display());
        Failure::new(Code::Internal, text).hint("restore the file from a backup")
    })
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let unborn = path.with_extension("json.new");
    let mut file = File::create(&unborn)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&unborn, path)?;
    crate::journal::disk::sync_dir(path.parent().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_folder_is_refused_with_its_release() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(check(dir.path()).expect("nothing there"), None);
        raise(dir.path()).expect("written");
        assert_eq!(check(dir.path()).expect("ours").map(|found| found.format), Some(FORMAT));
        let newer = Format { release: "9.9.9".into(), ..of(FORMAT + 1, "") };
        let text = serde_json::to_vec(&newer).expect("plain data");
        fs::write(path(dir.path()), text).expect("written");
        let failure = check(dir.path()).expect_err("newer");
        assert_eq!(failure.exit, Code::Conflict as u8);
        assert!(failure.message.contains("written by release 9.9.9"), "{failure}");
        assert!(failure.to_string().contains("run release 9.9.9"), "{failure}");
        raise(dir.path()).expect_err("not lowered either");
    }
}
