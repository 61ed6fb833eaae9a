//! For tests and the simulator, behind the feature `faulty-disk`: a disk in memory that loses power, tears sectors, forgets names and fails at the n-th call.
//!
//! It promises what POSIX promises and breaks everything else it may: of what was not synced, any
//! subset of sectors reaches the platter, some of them torn; of the names not synced, any subset of
//! the creations, renamings and removals happens; a failed sync writes any subset and marks the
//! cache clean, so that the next sync does nothing. It models no bit rot: tests flip bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, SECTOR_BYTES};

const SECTOR: usize = SECTOR_BYTES as usize;

/// What happens at a chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call does part of its work and fails; later calls work.
    Error(io::ErrorKind),
    /// The same, and every later call fails too: the machine is going down.
    PowerOff,
}

/// A handle on the disk; clones are the same disk.
#[derive(Debug, Clone)]
pub struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    inodes: Vec<Inode>,
    /// The names as running programs see them, and as they are on the platter.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<NameChange>,
    calls: u64,
    fault: Option<(u64, Fault)>,
    off: bool,
    random: u64,
}

#[derive(Debug, Default)]
struct Inode {
    cache: Vec<u8>,
    platter: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Create(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

impl FaultyDisk {
    /// An empty disk; `seed` decides what is torn.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            calls: 0,
            fault: None,
            off: false,
            random: seed,
        })))
    }

    /// Makes the `call`-th call from now on (0 is the next) go wrong. Reading counts too.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.calls + call, fault));
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Cuts the power and gives it back: only what reached the platter is left. Handles from before
    /// must not be used any more.
    pub fn power_cycle(&self) {
        self.state().power_cycle();
    }

    /// Ends the process only: the system keeps its cache.
    pub fn restart(&self) {
        let mut state = self.state();
        (state.fault, state.off) = (None, false);
    }

    /// The bytes of a file, for a test to look at or to rot.
    pub fn edit<R>(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut state = self.state();
        let inode = state.names[name];
        let inode = &mut state.inodes[inode];
        let result = edit(&mut inode.cache);
        inode.platter = inode.cache.clone();
        inode.dirty.clear();
        result
    }

    /// A disk of its own with the same contents.
    pub fn copy(&self) -> Self {
        let copy = Self::new(1);
        let state = self.state();
        for (name, inode) in &state.names {
            let bytes = state.inodes[*inode].cache.clone();
            let mut copied = copy.state();
            let at = copied.inodes.len();
            copied.inodes.push(Inode {
                cache: bytes.clone(),
                platter: bytes,
                dirty: BTreeSet::new(),
            });
            copied.names.insert(name.clone(), at);
            copied.durable_names.insert(name.clone(), at);
        }
        copy
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for FaultyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.call()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.call()?;
        let inode = state.inodes.len();
        // The length is metadata: on the platter the file stays empty until it is synced.
        state.inodes.push(Inode { cache: vec![0; bytes as usize], ..Inode::default() });
        state.names.insert(name.to_owned(), inode);
        state.unsynced_names.push(NameChange::Create(name.to_owned(), inode));
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.call()?;
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        state.unsynced_names.push(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.unsynced_names.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        if let Err(error) = state.call() {
            state.settle_some_names();
            return Err(error);
        }
        state.durable_names = state.names.clone();
        state.unsynced_names.clear();
        Ok(())
    }
}

impl FaultyDisk {
    fn file(&self, inode: usize) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { disk: self.clone(), inode })
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    inode: usize,
}

impl DiskFile for FaultyFile {
    fn bytes(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.call()?;
        Ok(state.inodes[self.inode].cache.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call()?;
        let bytes = state.inodes[self.inode].cache.get(offset as usize..);
        let bytes = bytes.and_then(|bytes| bytes.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let called = state.call();
        let count = if called.is_ok() { bytes.len() } else { state.below(bytes.len() + 1) };
        state.inodes[self.inode].write(offset as usize, &bytes[..count]);
        called
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let called = state.call();
        if called.is_err() {
            let mut random = state.random;
            state.inodes[self.inode].settle(&mut random);
            state.random = random;
        } else {
            state.inodes[self.inode].sync();
        }
        called
    }
}

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
    }

    fn sync(&mut self) {
        self.platter.resize(self.cache.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector_range(sector, self.cache.len());
            self.platter[range.clone()].copy_from_slice(&self.cache[range]);
        }
    }

    /// Any subset of the dirty sectors reaches the platter, some torn; none is dirty any more.
    fn settle(&mut self, random: &mut u64) {
        if next(random).is_multiple_of(2) {
            self.platter.resize(self.cache.len(), 0);
        }
        // Often all or none, sometimes a mixture: those are where bugs hide.
        let mood = next(random) % 4;
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector_range(sector, self.platter.len());
            if mood == 0 || (mood > 1 && next(random).is_multiple_of(2)) {
                let count = range.len();
                let whole = !next(random).is_multiple_of(4);
                let torn = if whole { count } else { next(random) as usize % (count + 1) };
                let written = range.start..range.start + torn;
                self.platter[written.clone()].copy_from_slice(&self.cache[written]);
            }
        }
    }
}

impl State {
    /// Counts the call and fails it if it is the one.
    fn call(&mut self) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        if self.off {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match self.fault {
            Some((at, fault)) if at == call => {
                self.off = fault == Fault::PowerOff;
                Err(match fault {
                    Fault::Error(kind) => kind.into(),
                    Fault::PowerOff => io::ErrorKind::BrokenPipe.into(),
                })
            }
            _ => Ok(()),
        }
    }

    fn power_cycle(&mut self) {
        let mut random = self.random;
        for inode in &mut self.inodes {
            inode.settle(&mut random);
            inode.cache = inode.platter.clone();
        }
        self.random = random;
        self.settle_some_names();
        self.names = self.durable_names.clone();
        (self.fault, self.off) = (None, false);
    }

    /// Any subset of the unsynced changes of names happens, in order.
    fn settle_some_names(&mut self) {
        let all = self.below(3) == 0;
        for change in std::mem::take(&mut self.unsynced_names) {
            if !all && self.below(2) == 0 {
                continue;
            }
            match change {
                NameChange::Create(name, inode) => {
                    self.durable_names.insert(name, inode);
                }
                NameChange::Rename(from, to, inode) => {
                    self.durable_names.remove(&from);
                    self.durable_names.insert(to, inode);
                }
                NameChange::Remove(name) => {
                    self.durable_names.remove(&name);
                }
            }
        }
    }

    fn below(&mut self, end: usize) -> usize {
        next(&mut self.random) as usize % end
    }
}

fn sector_range(sector: usize, end: usize) -> std::ops::Range<usize> {
    (sector * SECTOR).min(end)..((sector + 1) * SECTOR).min(end)
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
