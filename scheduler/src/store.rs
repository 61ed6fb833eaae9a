//! The store: an index over what the journal implies, for queries and quick restarts.
//!
//! The only file that names sled. sled 0.34 never calls fsync on Linux, may lose what it called
//! flushed, may panic on its own files, and has no repair tool. So nothing here is the truth: every
//! batch carries the number of the journal record it reflects, and a store that is missing, behind
//! what the journal still has, ahead of it, unreadable, or that lived through a power cut is set
//! aside and filled anew by the caller, from snapshot and journal. A plain restart or a killed
//! process keeps it. See `standing` for how those are told apart.
//!
//! All keyspaces share one tree, told apart by a prefix, so that one `sled::Batch` with the
//! record's number in it is atomic without a multi-tree transaction. sled's `flush` and
//! `flush_async` are never called (the latter can deadlock); its own thread writes twice a second.
//!
//! Measured: see [`writer`].

mod error;
mod standing;
pub mod writer;

use std::any::Any;
use std::fmt;
use std::fs;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use quorate_common::lock;

use self::error::io_error;
pub use self::error::{Reason, Rebuild, StoreError};
use self::standing::{Standing, StandingFile};

/// Largest value, in bytes. Larger ones belong in a blob; sled would put them in files of its own,
/// which is where its durability is weakest. A larger one is refused.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Largest key within its keyspace, in bytes. Ours are ids and digests; a larger one is refused.
pub const KEY_BYTES_MAX: usize = 256;

/// Longest keyspace name, in bytes: it is part of every key.
pub const NAME_BYTES_MAX: usize = 16;

/// How long sled may take to open and read itself through before it is given up.
///
/// Half a gigabyte opens in 1.5 s from a cold disk. A minute is a disk thirty times slower, or sled
/// in the drift towards minutes that its users report; filling it anew is quicker.
pub const OPEN_BUDGET: Duration = Duration::from_secs(60);

/// Memory for sled's pages. Its default is a gigabyte; the pages we read often are few.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// How often sled writes what it holds. What a killed process loses is in the journal.
const FLUSH_EVERY_MS: u64 = 500;

/// Stores set aside that are kept for an inquest; older ones are removed.
const BAD_KEPT: usize = 2;

/// The key of the last record applied. No keyspace's name starts with a zero byte.
const APPLIED_KEY: &[u8] = b"\0applied";

/// A named part of the store. Names are part of the format: renaming one loses what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Keyspace(&'static str);

impl Keyspace {
    /// A keyspace called `name`: 1 to [`NAME_BYTES_MAX`] bytes, none of them zero. Meant for
    /// constants, where a bad name does not compile.
    ///
    /// # Panics
    /// On a bad name.
    pub const fn new(name: &'static str) -> Self {
        assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX, "1 to 16 bytes");
        let mut at = 0;
        while at < name.len() {
            assert!(name.as_bytes()[at] != 0, "no zero byte");
            at += 1;
        }
        Self(name)
    }

    /// The name, a zero, the key: no keyspace's keys are inside another's.
    fn key(self, key: &[u8]) -> Vec<u8> {
        [self.0.as_bytes(), &[0], key].concat()
    }

    fn prefix_bytes(self) -> usize {
        self.0.len() + 1
    }
}

impl fmt::Display for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A key within its keyspace, and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// One change to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets a key, new or not.
    Put {
        /// Where.
        keyspace: Keyspace,
        /// At most [`KEY_BYTES_MAX`].
        key: Vec<u8>,
        /// At most [`VALUE_BYTES_MAX`].
        value: Vec<u8>,
    },
    /// Removes a key, there or not.
    Delete {
        /// Where.
        keyspace: Keyspace,
        /// At most [`KEY_BYTES_MAX`].
        key: Vec<u8>,
    },
}

/// The records the journal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first one still there.
    pub first_seq: u64,
    /// The last one, 0 if there never was one.
    pub head_seq: u64,
}

/// A store and what the caller owes it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The last record it reflects. What comes after is for the caller to apply: from a snapshot
    /// first, if the journal does not go back that far.
    pub applied_seq: u64,
    /// Why it is empty although the journal is not, if so.
    pub rebuild: Option<Rebuild>,
}

/// An open store. Share it through an `Arc`; dropping the last one closes it in order.
pub struct Store {
    /// Taken by `drop` alone.
    db: Option<sled::Db>,
    standing: StandingFile,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // sled's own would print every page.
        f.debug_struct("Store").field("standing", &self.standing).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `dir`, made if absent, or an empty one in its place.
    ///
    /// Blocks for as long as sled reads, [`OPEN_BUDGET`] at most. In a build that aborts on panic,
    /// files on which sled panics end the process once; the next start sets them aside.
    ///
    /// # Errors
    /// [`StoreError::Io`] and [`StoreError::Hopeless`] only: a bad store is no error.
    pub fn open(dir: &Path, journal: Span) -> Result<Opened, StoreError> {
        crate::journal::disk::make_durable_dir(dir)
            .map_err(|error| io_error("make", dir, error))?;
        let standing = StandingFile::new(dir);
        let sled_dir = dir.join("sled");
        let usable = usable_store(&standing, &sled_dir, journal);
        let (db, applied_seq, rebuild) = match usable {
            Ok((db, applied_seq)) => (db, applied_seq, None),
            Err(reason) => {
                let moved_to = set_aside(dir, &sled_dir)?;
                let db = open_empty(&standing, &sled_dir)?;
                // A first start has nothing to fill it with.
                let first_start = reason == Reason::Missing && journal.head_seq == 0;
                (db, 0, (!first_start).then_some(Rebuild { reason, moved_to }))
            }
        };
        standing.write(&Standing::Open { boot: standing::boot_id() })?;
        Ok(Opened { store: Self { db: Some(db), standing }, applied_seq, rebuild })
    }

    /// Applies the changes that the records up to `seq` imply, all or none of them, in order.
    ///
    /// Not durable, nor need it be. Keeps readers out while it runs.
    ///
    /// # Errors
    /// [`StoreError::Failed`] means the store is to be filled anew at the next start; the others
    /// that nothing was written.
    pub fn apply(&self, seq: u64, ops: &[Op]) -> Result<(), StoreError> {
        let applied_seq = self.applied_seq()?;
        if seq < applied_seq {
            return Err(StoreError::OutOfOrder { seq, applied_seq });
        }
        let mut batch = sled::Batch::default();
        for op in ops {
            add(&mut batch, op)?;
        }
        batch.insert(APPLIED_KEY, &seq.to_be_bytes());
        self.guarded(|db| db.apply_batch(batch))
    }

    /// The last record the store reflects, 0 if none.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn applied_seq(&self) -> Result<u64, StoreError> {
        self.guarded(read_applied)
    }

    /// The value of `key`, copied.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.guarded(|db| db.get(keyspace.key(key)))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Up to `limit` pairs whose keys start with `prefix`, in the order of their keys, behind the
    /// key `after` if one is given. That key need not be there.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn scan_prefix(
        &self,
        keyspace: Keyspace,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let prefix = keyspace.key(prefix);
        let from = match after.map(|after| keyspace.key(after)) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix.clone()),
        };
        self.guarded(|db| {
            let mut found = Vec::new();
            for pair in db.range((from, Bound::Unbounded)).take(limit) {
                let (key, value) = pair?;
                if !key.starts_with(&prefix) {
                    break;
                }
                found.push((key[keyspace.prefix_bytes()..].to_vec(), value.to_vec()));
            }
            Ok(found)
        })
    }

    /// Bytes of sled's files, for metrics. Expect five times what is in them.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.guarded(sled::Db::size_on_disk)
    }

    /// Runs `work`, with a panic of sled's turned into an error and the store marked suspect. Where
    /// panics abort, the mark alone is left, for the next start.
    fn guarded<T>(&self, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        let db = self.db.as_ref().expect("only drop takes it");
        let _watch = standing::watch(&self.standing);
        match catch_unwind(AssertUnwindSafe(|| work(db))) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let failed = error.to_string();
                // Best effort: the error stops the scheduler either way.
                let _ = self.standing.write(&Standing::Suspect(failed.clone()));
                Err(StoreError::Failed(failed))
            }
            Err(panic) => Err(StoreError::Failed(panic_text(&*panic))),
        }
    }
}

impl Drop for Store {
    /// Closes sled, whose last handle writes everything and calls fsync, and says that it did.
    fn drop(&mut self) {
        let applied_seq = self.applied_seq();
        let flushed = catch_unwind(AssertUnwindSafe(|| drop(self.db.take())));
        if let (Ok(applied_seq), Ok(()), true) = (applied_seq, flushed, self.standing.is_open()) {
            // Should this fail, the store is trusted until the machine restarts. No harm done.
            let _ = self.standing.write(&Standing::Closed { applied_seq });
        }
    }
}

/// The store, if there is one that can be built upon.
fn usable_store(
    standing: &StandingFile,
    sled_dir: &Path,
    journal: Span,
) -> Result<(sled::Db, u64), Reason> {
    if !sled_dir.exists() {
        return Err(Reason::Missing);
    }
    let stood = standing.read().ok_or(Reason::Unknown)?;
    match &stood {
        Standing::Opening => return Err(Reason::DiedOpening),
        Standing::Suspect(why) => return Err(Reason::Suspect(why.clone())),
        Standing::Open { boot } if *boot != standing::boot_id() => return Err(Reason::PowerCut),
        Standing::Open { .. } | Standing::Closed { .. } => {}
    }
    standing.write(&Standing::Opening).map_err(|error| Reason::Unreadable(error.to_string()))?;
    let (db, applied_seq) = open_sled(standing, sled_dir)?;
    if let Standing::Closed { applied_seq: closed_seq } = stood
        && closed_seq != applied_seq
    {
        return Err(Reason::WentBack { applied_seq, closed_seq });
    }
    if applied_seq > journal.head_seq {
        return Err(Reason::Ahead { applied_seq, head_seq: journal.head_seq });
    }
    if applied_seq + 1 < journal.first_seq {
        return Err(Reason::Behind { applied_seq, first_seq: journal.first_seq });
    }
    Ok((db, applied_seq))
}

fn open_empty(standing: &StandingFile, sled_dir: &Path) -> Result<sled::Db, StoreError> {
    standing.write(&Standing::Opening)?;
    let opened = open_sled(standing, sled_dir).map_err(|reason| reason.to_string());
    let (db, _) =
        opened.map_err(|why| StoreError::Hopeless { path: sled_dir.display().to_string(), why })?;
    Ok(db)
}

/// Opens sled and reads it through, on a thread that may panic or hang without harm to ours.
fn open_sled(standing: &StandingFile, sled_dir: &Path) -> Result<(sled::Db, u64), Reason> {
    let (done, opened) = mpsc::sync_channel(1);
    let (standing, sled_dir) = (standing.clone(), sled_dir.to_owned());
    let opener = thread::Builder::new().name("store-open".to_owned()).spawn(move || {
        let _watch = standing::watch(&standing);
        // A receiver that gave up is the watchdog's business.
        let _ = done.send(try_open(&sled_dir));
    });
    let opener = opener.map_err(|error| Reason::Unreadable(error.to_string()))?;
    match opened.recv_timeout(OPEN_BUDGET) {
        Ok(opened) => opened.map_err(|error| Reason::Unreadable(error.to_string())),
        Err(RecvTimeoutError::Timeout) => Err(Reason::TooSlow),
        Err(RecvTimeoutError::Disconnected) => {
            let panic = opener.join().err();
            Err(Reason::Unreadable(panic.map_or_else(String::new, |panic| panic_text(&*panic))))
        }
    }
}

fn try_open(sled_dir: &Path) -> sled::Result<(sled::Db, u64)> {
    let config = sled::Config::default()
        .path(sled_dir)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .mode(sled::Mode::LowSpace);
    let db = lock::wait_for(|| config.open(), is_locked)?;
    // sled meets a bad page only when it reads it. Better here than in the middle of the day.
    for pair in db.iter() {
        pair?;
    }
    let applied_seq = read_applied(&db)?;
    Ok((db, applied_seq))
}

/// Whether another handle has the files. It is one that was dropped in this process: sled 0.34 keeps its
/// lock until its last background job is done, and a store would be set aside for it. Two schedulers
/// never meet here, for the journal has a lock of its own. sled has no other mark for it than these words.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

fn read_applied(db: &sled::Db) -> sled::Result<u64> {
    let Some(bytes) = db.get(APPLIED_KEY)? else {
        return Ok(0);
    };
    let bytes = bytes.as_ref().try_into().map_err(|_| {
        sled::Error::Unsupported(format!("the number of the last record has {} bytes", bytes.len()))
    })?;
    Ok(u64::from_be_bytes(bytes))
}

fn add(batch: &mut sled::Batch, op: &Op) -> Result<(), StoreError> {
    let (Op::Put { keyspace, key, .. } | Op::Delete { keyspace, key }) = op;
    if key.len() > KEY_BYTES_MAX {
        return Err(StoreError::KeyTooLarge { keyspace: *keyspace, bytes: key.len() });
    }
    match op {
        Op::Put { value, .. } if value.len() > VALUE_BYTES_MAX => {
            return Err(StoreError::ValueTooLarge { keyspace: *keyspace, bytes: value.len() });
        }
        Op::Put { value, .. } => batch.insert(keyspace.key(key), &value[..]),
        Op::Delete { .. } => batch.remove(keyspace.key(key)),
    }
    Ok(())
}

/// Renames the bad store, and removes the oldest of those before it.
fn set_aside(dir: &Path, sled_dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    let mut bad = bad_stores(dir).map_err(|error| io_error("list", dir, error))?;
    let moved_to = if sled_dir.exists() {
        let number = bad.last().map_or(1, |(number, _)| number + 1);
        let to = dir.join(format!("sled.bad-{number}"));
        fs::rename(sled_dir, &to).map_err(|error| io_error("move", sled_dir, error))?;
        bad.push((number, to.clone()));
        Some(to)
    } else {
        None
    };
    for (_, old) in &bad[..bad.len().saturating_sub(BAD_KEPT)] {
        fs::remove_dir_all(old).map_err(|error| io_error("remove", old, error))?;
    }
    Ok(moved_to)
}

/// The stores set aside, oldest first.
fn bad_stores(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut bad = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_prefix("sled.bad-")?.parse().ok());
        bad.extend(number.map(|number: u64| (number, path)));
    }
    bad.sort_unstable();
    Ok(bad)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or("a panic".to_owned())
}
