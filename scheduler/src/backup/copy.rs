//! Copies a tree of files, durably, and notes what each holds. Files that vanish meanwhile were temporary, and
//! what a running process grows behind the length seen first is left for the next backup.

use super::Entry;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Endings of files on their way to another name, and locks, which mean nothing elsewhere.
const PASSING: [&str; 4] = [".new", ".tmp", ".unborn", "lock"];
/// Read at once.
const PIECE_BYTES: usize = 1 << 20;

/// A copy on its way.
pub(super) struct Copier<'a> {
    from: &'a Path,
    into: &'a Path,
    /// What was copied, by its path below.
    pub(super) files: BTreeMap<String, Entry>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(from: &'a Path, into: &'a Path) -> Self {
        Self { from, into, files: BTreeMap::new() }
    }

    /// Copies everything but what is named at the top.
    pub(super) fn all(&mut self, left_out: &[&str]) -> io::Result<()> {
        for name in names(self.from)? {
            if !left_out.contains(&name.as_str()) && !name.starts_with(".preflight") {
                self.one(&name)?;
            }
        }
        crate::journal::disk::sync_dir(self.into)
    }

    /// Notes files that are there already.
    pub(super) fn add_copied(&mut self, below: &str) -> io::Result<()> {
        for name in names(&self.into.join(below))? {
            let path = format!("{below}/{name}");
            let entry = entry(&mut File::open(self.into.join(&path))?, &mut io::sink())?;
            self.files.insert(path, entry);
        }
        Ok(())
    }

    fn one(&mut self, path: &str) -> io::Result<()> {
        let found = match fs::symlink_metadata(self.from.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        if found.is_dir() {
            return self.folder(path);
        }
        if !found.is_file() || PASSING.iter().any(|ending| path.ends_with(ending)) {
            return Ok(());
        }
        let mut source = match File::open(self.from.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?.take(found.len()),
        };
        let mode = found.permissions().mode() & 0o777;
        let mut options = OpenOptions::new();
        let target = options.write(true).create_new(true).mode(mode);
        let mut target = target.open(self.into.join(path))?;
        let entry = entry(&mut source, &mut target)?;
        target.sync_all()?;
        self.files.insert(path.to_owned(), entry);
        Ok(())
    }

    fn folder(&mut self, path: &str) -> io::Result<()> {
        // Unfinished uploads are swept at every start anyway.
        if path == "blobs/tmp" {
            return Ok(());
        }
        let into = self.into.join(path);
        fs::DirBuilder::new().mode(0o700).create(&into)?;
        for name in names(&self.from.join(path))? {
            self.one(&format!("{path}/{name}"))?;
        }
        crate::journal::disk::sync_dir(&into)
    }
}

/// Copies, and says what it was.
pub(super) fn entry(source: &mut impl io::Read, target: &mut impl io::Write) -> io::Result<Entry> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = source.read(&mut piece)?;
        if read == 0 {
            return Ok(Entry { bytes, sha256: hex::encode(hash.finalize()) });
        }
        hash.update(&piece[..read]);
        target.write_all(&piece[..read])?;
        bytes += read as u64;
    }
}

/// Writes a file, whole and durable or not at all.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unborn = path.with_extension("json.new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unborn)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unborn, path)?;
    crate::journal::disk::sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// The names in a folder, in order. One that is not UTF-8 is none of ours.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
