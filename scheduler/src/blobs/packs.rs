//! The packs: small blobs one behind the other in append-only files, indexed in memory.
//!
//! ```text
//! entry   magic "QJP1" | crc32c of all that follows | bytes u32 | sha256 [32] | the bytes
//! ```
//!
//! Entries name themselves, so damage costs no more than the entries it hits: reading goes on at the
//! next whole one. The last pack is written anew at opening. That cuts a torn tail, and makes
//! durable what was only in the system's cache when a sync failed or the scheduler was killed.
//!
//! The index takes about 70 bytes of memory per blob. The CRC is for opening; whoever reads a blob
//! verifies its digest.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_common::digest::Digest;

use super::{BlobError, Poison, Tally};
use crate::journal::disk::{read_exact_at, sync_dir, write_all_at};

/// Largest blob that goes into a pack, in bytes: a page. Beyond it the two syncs of a file of its
/// own no longer dominate.
pub const SMALL_BYTES_MAX: usize = 4096;

/// Bytes after which a pack is full. Small, since a pack is read whole, and the last one written
/// anew, at opening.
const PACK_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes that may wait for a sync. Whoever puts beyond it syncs, so that memory stays bounded.
const PENDING_BYTES_MAX: usize = 4 * 1024 * 1024;

const MAGIC: [u8; 4] = *b"QJP1";
const HEADER_BYTES: usize = 44;

/// A stretch of a pack that holds no whole entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Name of the pack.
    pub pack: String,
    /// Where it starts, in bytes from the file's start.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Is it the end of the last pack, and so most likely a write that a crash cut short?
    pub torn: bool,
}

#[derive(Debug)]
pub(super) struct Packs {
    dir: PathBuf,
    poison: Poison,
    state: Mutex<State>,
    /// Held by the one thread that syncs.
    syncing: Mutex<()>,
}

#[derive(Debug)]
struct State {
    index: HashMap<Digest, Slot>,
    /// The last pack: its number, its file, and how much of it is written.
    pack: u32,
    file: Arc<File>,
    written: u64,
    /// Entries behind `written` that are not yet.
    pending: Vec<u8>,
    /// Bytes ever appended, and how many of those are durable.
    appended: u64,
    durable: u64,
}

/// Where a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    pack: u32,
    offset: u32,
    bytes: u32,
}

/// Where a blob's bytes are to be read.
enum Place {
    Memory(Vec<u8>),
    File(Arc<File>),
    Pack(PathBuf),
}

impl Packs {
    /// Opens the packs in `dir`, which exists.
    pub(super) fn open(
        dir: &Path,
        poison: Poison,
    ) -> Result<(Self, Tally, Vec<Damage>), BlobError> {
        let numbers = list(dir).map_err(|error| BlobError::io("list", dir, error))?;
        let last = numbers.last().copied();
        let mut found = Contents::default();
        for number in numbers {
            let path = pack_path(dir, number);
            let mut read = || {
                let bytes = fs::read(&path)?;
                if Some(number) == last {
                    let whole = found.take_last(number, &bytes);
                    replace(dir, number, &whole)
                } else {
                    found.take(number, &bytes);
                    Ok(())
                }
            };
            read().map_err(|error| BlobError::io("read", &path, error))?;
        }
        let number = last.unwrap_or(1);
        let state = State::open(dir, number, found.index)
            .map_err(|error| BlobError::io("open", &pack_path(dir, number), error))?;
        let (state, syncing) = (Mutex::new(state), Mutex::new(()));
        Ok((Self { dir: dir.to_owned(), poison, state, syncing }, found.tally, found.damage))
    }

    /// Appends a blob unless it is there; says whether it was new. Not durable yet.
    pub(super) fn put(&self, digest: Digest, bytes: &[u8]) -> Result<bool, BlobError> {
        if self.state().pending.len() > PENDING_BYTES_MAX {
            self.sync()?;
        }
        let mut state = self.state();
        if state.index.contains_key(&digest) {
            return Ok(false);
        }
        let slot = state.push(&digest, bytes);
        state.index.insert(digest, slot);
        Ok(true)
    }

    /// Makes durable what was put before the call.
    pub(super) fn sync(&self) -> Result<(), BlobError> {
        let wanted = self.state().appended;
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.poison.check()?;
        if self.state().durable >= wanted {
            return Ok(());
        }
        let mut state = self.state();
        let path = pack_path(&self.dir, state.pack);
        let written = state.write_pending();
        let upto = written.map_err(|error| self.poison.with("write", &path, error))?;
        let file = Arc::clone(&state.file);
        drop(state);
        file.sync_data().map_err(|error| self.poison.with("sync", &path, error))?;
        let mut state = self.state();
        state.durable = upto;
        if state.written >= PACK_BYTES_MAX {
            let begun = state.begin_pack(&self.dir);
            begun.map_err(|error| self.poison.with("begin the pack after", &path, error))?;
        }
        Ok(())
    }

    pub(super) fn len(&self, digest: &Digest) -> Option<u64> {
        Some(u64::from(self.state().index.get(digest)?.bytes))
    }

    /// The bytes of a blob, verified; `None` if it is not here.
    ///
    /// A damaged one is forgotten, so that putting it again heals it.
    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobError> {
        let Some((slot, place)) = self.state().find(digest, &self.dir) else {
            return Ok(None);
        };
        let read = read_slot(slot, place);
        let path = pack_path(&self.dir, slot.pack);
        match read {
            Ok(bytes) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(BlobError::io("read", &path, error))
            }
            Ok(_) | Err(_) => {
                self.state().forget(digest, slot);
                Err(BlobError::Damaged { digest: *digest })
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(dir: &Path, pack: u32, index: HashMap<Digest, Slot>) -> io::Result<Self> {
        let path = pack_path(dir, pack);
        if !path.exists() {
            replace(dir, pack, &[])?;
        }
        let file = File::options().read(true).write(true).open(path)?;
        let written = file.metadata()?.len();
        let (file, pending) = (Arc::new(file), Vec::new());
        let mut state = Self { index, pack, file, written, pending, appended: 0, durable: 0 };
        if written >= PACK_BYTES_MAX {
            state.begin_pack(dir)?;
        }
        Ok(state)
    }

    fn push(&mut self, digest: &Digest, bytes: &[u8]) -> Slot {
        let before = self.pending.len();
        let slot = Slot {
            pack: self.pack,
            offset: u32::try_from(self.written + before as u64).expect("a pack is capped"),
            bytes: u32::try_from(bytes.len()).expect("a small blob is"),
        };
        self.pending.extend_from_slice(&MAGIC);
        self.pending.extend_from_slice(&[0; 4]);
        self.pending.extend_from_slice(&slot.bytes.to_le_bytes());
        self.pending.extend_from_slice(&digest.0);
        self.pending.extend_from_slice(bytes);
        let crc = crc32c::crc32c(&self.pending[before + 8..]);
        self.pending[before + 4..before + 8].copy_from_slice(&crc.to_le_bytes());
        self.appended += (self.pending.len() - before) as u64;
        slot
    }

    /// Writes what waits, and returns how much was ever appended up to here.
    fn write_pending(&mut self) -> io::Result<u64> {
        write_all_at(&self.file, self.written, &self.pending)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(self.appended)
    }

    /// Begins the next pack. What waits was never written to this one, so its slots move over.
    fn begin_pack(&mut self, dir: &Path) -> io::Result<()> {
        let (before, written) = (self.pack, self.written);
        self.pack += 1;
        replace(dir, self.pack, &[])?;
        let file = File::options().read(true).write(true).open(pack_path(dir, self.pack))?;
        (self.file, self.written) = (Arc::new(file), 0);
        let mut at = 0;
        while let Some((digest, bytes)) = entry_at(&self.pending, at) {
            let offset = u32::try_from(at).expect("what waits is capped");
            let slot = Slot { pack: self.pack, offset, bytes };
            debug_assert!(self.index.get(&digest).is_some_and(|slot| {
                slot.pack == before && u64::from(slot.offset) == written + at as u64
            }));
            self.index.insert(digest, slot);
            at += HEADER_BYTES + bytes as usize;
        }
        Ok(())
    }

    /// Forgets a damaged blob, unless it was put again since it was read.
    fn forget(&mut self, digest: &Digest, damaged: Slot) {
        if self.index.get(digest) == Some(&damaged) {
            self.index.remove(digest);
        }
    }

    fn find(&self, digest: &Digest, dir: &Path) -> Option<(Slot, Place)> {
        let slot = *self.index.get(digest)?;
        let place = if slot.pack != self.pack {
            Place::Pack(pack_path(dir, slot.pack))
        } else if u64::from(slot.offset) < self.written {
            Place::File(Arc::clone(&self.file))
        } else {
            let start = (u64::from(slot.offset) - self.written) as usize + HEADER_BYTES;
            Place::Memory(self.pending[start..start + slot.bytes as usize].to_vec())
        };
        Some((slot, place))
    }
}

fn read_slot(slot: Slot, place: Place) -> io::Result<Vec<u8>> {
    let file = match place {
        Place::Memory(bytes) => return Ok(bytes),
        Place::File(file) => file,
        Place::Pack(path) => Arc::new(File::open(path)?),
    };
    let mut bytes = vec![0; slot.bytes as usize];
    read_exact_at(&file, u64::from(slot.offset) + HEADER_BYTES as u64, &mut bytes)?;
    Ok(bytes)
}

/// What the packs hold.
#[derive(Debug, Default)]
struct Contents {
    index: HashMap<Digest, Slot>,
    tally: Tally,
    damage: Vec<Damage>,
}

impl Contents {
    fn take(&mut self, pack: u32, bytes: &[u8]) {
        for stretch in stretches(bytes) {
            match stretch {
                Stretch::Entry { digest, offset, bytes } => {
                    self.insert(digest, slot(pack, offset, bytes));
                }
                Stretch::Damage { offset, bytes } => {
                    self.damage.push(damage(pack, offset, bytes, false));
                }
            }
        }
    }

    /// The same, for the pack that is going to be written anew: returns what to write.
    fn take_last(&mut self, pack: u32, bytes: &[u8]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(bytes.len());
        for stretch in stretches(bytes) {
            match stretch {
                Stretch::Entry { digest, offset, bytes: count } => {
                    self.insert(digest, slot(pack, whole.len(), count));
                    whole.extend_from_slice(&bytes[offset..offset + HEADER_BYTES + count as usize]);
                }
                Stretch::Damage { offset, bytes: count } => {
                    let torn = offset + count == bytes.len();
                    self.damage.push(damage(pack, offset, count, torn));
                }
            }
        }
        whole
    }

    /// A blob that was damaged and put again is there twice; the later one counts.
    fn insert(&mut self, digest: Digest, slot: Slot) {
        if self.index.insert(digest, slot).is_none() {
            self.tally.count += 1;
            self.tally.bytes += u64::from(slot.bytes);
        }
    }
}

enum Stretch {
    Entry { digest: Digest, offset: usize, bytes: u32 },
    Damage { offset: usize, bytes: usize },
}

/// Takes a pack apart, from its start to its end.
fn stretches(pack: &[u8]) -> impl Iterator<Item = Stretch> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == pack.len() {
            return None;
        }
        let offset = at;
        if let Some((digest, bytes)) = entry_at(pack, at) {
            at += HEADER_BYTES + bytes as usize;
            return Some(Stretch::Entry { digest, offset, bytes });
        }
        at = (at + 1..pack.len()).find(|at| entry_at(pack, *at).is_some()).unwrap_or(pack.len());
        Some(Stretch::Damage { offset, bytes: at - offset })
    })
}

/// The whole entry at `at`, if there is one: its digest and its length.
fn entry_at(pack: &[u8], at: usize) -> Option<(Digest, u32)> {
    let header: &[u8; HEADER_BYTES] = pack.get(at..)?.first_chunk()?;
    if header[..4] != MAGIC {
        return None;
    }
    let crc = u32::from_le_bytes(*header[4..].first_chunk()?);
    let bytes = u32::from_le_bytes(*header[8..].first_chunk()?);
    if bytes as usize > SMALL_BYTES_MAX {
        return None;
    }
    let covered = pack[at + 8..].get(..HEADER_BYTES - 8 + bytes as usize)?;
    let digest = Digest(*header[12..].first_chunk()?);
    (crc32c::crc32c(covered) == crc).then_some((digest, bytes))
}

fn slot(pack: u32, offset: usize, bytes: u32) -> Slot {
    Slot { pack, offset: u32::try_from(offset).expect("a pack is capped"), bytes }
}

fn damage(pack: u32, offset: usize, bytes: usize, torn: bool) -> Damage {
    Damage { pack: pack_name(pack), offset: offset as u64, bytes: bytes as u64, torn }
}

/// Puts a pack with these bytes in place of what is there, durably and in one step.
fn replace(dir: &Path, pack: u32, bytes: &[u8]) -> io::Result<()> {
    let unborn = dir.join("new");
    let mut file = File::create(&unborn)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(unborn, pack_path(dir, pack))?;
    sync_dir(dir)
}

/// The numbers of the packs, in order.
fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".pack")?.parse().ok());
        numbers.extend(number.filter(|number| *name == *pack_name(*number)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn pack_path(dir: &Path, pack: u32) -> PathBuf {
    dir.join(pack_name(pack))
}

fn pack_name(pack: u32) -> String {
    format!("{pack:010}.pack")
}
