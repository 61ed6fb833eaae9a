//! What lies in the folder. Every file is asked for by name; what nobody asked for is a fault, and so
//! is anything that is neither file nor folder: a link could lead anywhere.

use super::Fault;
use crate::{directory::PARTIAL, failure};
use quorate_common::{digest::Digest, exit::Failure};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Folders in folders at most: a result's path has 255 bytes, so 128 levels.
const DEPTH_MAX: usize = 160;
/// Bytes hashed at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// A folder's files.
#[derive(Debug)]
pub(super) struct Tree {
    dir: PathBuf,
    /// Bytes of every file, by its path below the folder.
    files: BTreeMap<String, u64>,
    folders: BTreeSet<String>,
    asked: Mutex<BTreeSet<String>>,
}

impl Tree {
    /// Lists everything below `dir`.
    pub(super) fn read(dir: &Path, faults: &mut Vec<Fault>) -> Result<Self, Failure> {
        let (files, folders) = (BTreeMap::new(), BTreeSet::new());
        let mut tree = Self { dir: dir.to_owned(), files, folders, asked: Mutex::default() };
        tree.list(dir, "", DEPTH_MAX, faults)?;
        Ok(tree)
    }

    /// Whether there is anything at `path`. Does not count as asking for it.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.folders.contains(path)
    }

    /// A file's bytes; `None` if it is not there. One longer than `bytes_max` is a fault.
    pub(super) fn get(
        &self,
        path: &str,
        bytes_max: u64,
        faults: &mut Vec<Fault>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let Some(len) = self.ask(path) else { return Ok(None) };
        if len > bytes_max {
            let text = format!("has {len} bytes; expected at most {bytes_max}");
            faults.push(Fault::new(path, "length", text));
            return Ok(None);
        }
        let full = self.dir.join(path);
        let mut bytes = Vec::new();
        // A file that grows meanwhile is read no further than one byte too far, which its hash tells.
        let read =
            File::open(&full).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
        read.map_err(|error| failure::file("read", &full, &error))?;
        Ok(Some(bytes))
    }

    /// A file's length and sha256; `None` if it is not there.
    pub(super) fn hash(&self, path: &str) -> Result<Option<(u64, Digest)>, Failure> {
        if self.ask(path).is_none() {
            return Ok(None);
        }
        let full = self.dir.join(path);
        let bad = |error| failure::file("read", &full, &error);
        let mut file = File::open(&full).map_err(bad)?;
        let (mut hash, mut len, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
        loop {
            let read = file.read(&mut chunk).map_err(bad)?;
            if read == 0 {
                return Ok(Some((len, Digest(hash.finalize().into()))));
            }
            hash.update(&chunk[..read]);
            len += read as u64;
        }
    }

    /// Faults for everything nobody asked for.
    pub(super) fn check_nothing_else(&self, faults: &mut Vec<Fault>) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let needed: BTreeSet<&str> = asked.iter().flat_map(|path| parents(path)).collect();
        for path in self.files.keys().filter(|path| !asked.contains(*path)) {
            faults.push(unexpected(path));
        }
        for path in self.folders.iter().filter(|path| !needed.contains(path.as_str())) {
            faults.push(unexpected(path));
        }
    }

    fn ask(&self, path: &str) -> Option<u64> {
        let len = *self.files.get(path)?;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        Some(len)
    }

    fn list(
        &mut self,
        folder: &Path,
        below: &str,
        depth: usize,
        faults: &mut Vec<Fault>,
    ) -> Result<(), Failure> {
        let bad = |error| failure::file("list", folder, &error);
        for entry in fs::read_dir(folder).map_err(bad)? {
            let entry = entry.map_err(bad)?;
            let Ok(name) = entry.file_name().into_string() else {
                let shown = format!("{below}{}", entry.file_name().to_string_lossy());
                faults.push(Fault::new(shown, "name", "is not UTF-8"));
                continue;
            };
            let path = format!("{below}{name}");
            let metadata = entry.metadata().map_err(bad)?;
            if metadata.is_file() {
                self.files.insert(path, metadata.len());
            } else if metadata.is_dir() && depth > 0 {
                self.list(&entry.path(), &format!("{path}/"), depth - 1, faults)?;
                self.folders.insert(path);
            } else {
                faults.push(Fault::new(path, "kind", "is neither a file nor a folder"));
            }
        }
        Ok(())
    }
}

fn unexpected(path: &str) -> Fault {
    if path.split('/').next() == Some(PARTIAL) {
        let text = "a fetch was broken off; `quorate order results` continues it";
        return Fault::new(path, "unfinished", text);
    }
    Fault::new(path, "unexpected file", "nothing in the order or its receipts names it")
}

/// The folders a path is in: `a/b/c` is in `a` and `a/b`.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
