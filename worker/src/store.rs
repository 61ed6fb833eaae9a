//! What was sealed and not yet settled, on disk: the one file that names sled.
//!
//! A record is two dozen to a few thousand bytes, and a worker writes three per task. sled's flush
//! survives the death of the process, not that of the machine's power; a volunteer's lost seal costs
//! one stake, so that is enough here (the scheduler's journal does more).
//!
//! Keys: `j` task kind → record, `t` → totals, `f` → format, `p` → whose store it is. A batch is
//! applied whole or not at all.

use quorate_agent::{Record, Totals, record::FORMAT};
use quorate_common::{
    ids::{PoolId, TaskKey},
    lock,
    messages::Domain,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::mpsc::{self, SyncSender},
    thread,
    time::{Duration, Instant},
};

/// Bytes of sled's page cache: all of an ordinary worker's store, ten times over.
const CACHE_BYTES: u64 = 16 << 20;
/// How long what was written may wait to be synced to the disk: what a loss of power costs. sled has a thread for
/// it that wakes twice a second for ever; ours sleeps while nothing is written.
const SYNC: Duration = Duration::from_millis(500);
/// Bytes of each of the two score buffers that sled keeps for its log: its own default of half a megabyte makes
/// 25 MB of zeros, most of what an idle worker would take. Half of that is as far as is sensible: smaller ones are
/// for sled's own tests.
const SEGMENT_BYTES: usize = 256 << 10;
/// The file in which sled remembers that size.
const CONF: &str = "conf";
/// The file that has sled's log.
const LOG: &str = "db";

const FORMAT_KEY: &[u8] = b"f";
const OWNER_KEY: &[u8] = b"p";
const TOTALS_KEY: &[u8] = b"t";
const JOB_PREFIX: &[u8] = b"j";

/// A worker's records.
#[derive(Debug)]
pub struct Store {
    db: sled::Db,
    path: PathBuf,
    /// Told of every write; one word is as good as many.
    written: SyncSender<()>,
}

/// Everything a store brings back.
#[derive(Debug, Default)]
pub struct Memory {
    /// What all closed jobs brought.
    pub totals: Totals,
    /// The records of all open jobs, each job's in order.
    pub records: Vec<Record>,
}

/// Why the store cannot be used. Nothing is repaired silently: it may hold sealed votes, and a vote
/// that is never opened costs its stake.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be opened, or the disk failed.
    #[error(
        "store {path} cannot be {verb}; if it is damaged, move it away: votes sealed in it are then lost"
    )]
    Failed {
        /// Which.
        path: PathBuf,
        /// "opened", "read" or "written".
        verb: &'static str,
        /// Why.
        #[source]
        source: sled::Error,
    },
    /// A value does not read.
    #[error("store {path} is damaged at key {key}; move it away: votes sealed in it are then lost")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where, in hex.
        key: String,
    },
    /// Written by another version.
    #[error(
        "store {path} has format {found}, expected {FORMAT}; use the quorate-worker that wrote it until its votes are settled"
    )]
    Format {
        /// Which.
        path: PathBuf,
        /// What it has.
        found: u16,
    },
    /// Another pool's votes.
    #[error("store {path} belongs to {found:?}; give this pool a data folder of its own")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        found: (PoolId, Domain),
    },
}

impl Store {
    /// Opens the store at `path`, or makes one for this pool, chain and contract.
    ///
    /// # Errors
    /// Damaged, of another format, or another pool's.
    pub fn open(path: &Path, pool: PoolId, domain: Domain) -> Result<(Self, Memory), StoreError> {
        let failed = |source| StoreError::Failed { path: path.into(), verb: "opened", source };
        let db = open_sled(path).map_err(failed)?;
        let written = sync_after_writes(path).map_err(|error| failed(error.into()))?;
        let store = Self { db, path: path.into(), written };
        match store.get::<u16>(FORMAT_KEY)? {
            None => store.found(pool, domain)?,
            Some(FORMAT) => store.check_owner(pool, domain)?,
            Some(found) => return Err(StoreError::Format { path: path.into(), found }),
        }
        let memory = store.read()?;
        Ok((store, memory))
    }

    /// Makes `records` durable, all or none, with the totals after them.
    ///
    /// # Errors
    /// The disk failed; nobody may then hear of what the records say.
    pub fn append(&self, records: &[Record], totals: Totals) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut batch = sled::Batch::default();
        for record in records {
            if let Record::Closed { task, .. } = record {
                KINDS.iter().for_each(|kind| batch.remove(job_key(*task, *kind)));
                batch.insert(TOTALS_KEY, bytes(&totals));
            } else {
                batch.insert(job_key(record.task(), kind(record)), bytes(record));
            }
        }
        self.write(batch)
    }

    fn found(&self, pool: PoolId, domain: Domain) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        batch.insert(FORMAT_KEY, bytes(&FORMAT));
        batch.insert(OWNER_KEY, bytes(&(pool, domain)));
        self.write(batch)
    }

    fn check_owner(&self, pool: PoolId, domain: Domain) -> Result<(), StoreError> {
        let found: (PoolId, Domain) =
            self.get(OWNER_KEY)?.ok_or_else(|| self.damaged(OWNER_KEY))?;
        if found == (pool, domain) {
            return Ok(());
        }
        Err(StoreError::Foreign { path: self.path.clone(), found })
    }

    fn read(&self) -> Result<Memory, StoreError> {
        let totals = self.get(TOTALS_KEY)?.unwrap_or_default();
        let mut records = Vec::new();
        for entry in self.db.scan_prefix(JOB_PREFIX) {
            let (key, value) = entry.map_err(|error| self.failed("read", error))?;
            records.push(decode(&value).ok_or_else(|| self.damaged(&key))?);
        }
        Ok(Memory { totals, records })
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        let value = self.db.get(key).map_err(|error| self.failed("read", error))?;
        value.map(|value| decode(&value).ok_or_else(|| self.damaged(key))).transpose()
    }

    fn write(&self, batch: sled::Batch) -> Result<(), StoreError> {
        self.db.apply_batch(batch).map_err(|error| self.failed("written", error))?;
        self.db.flush().map_err(|error| self.failed("written", error))?;
        // It is told already, or its thread is gone with the disk it could not sync.
        let _ = self.written.try_send(());
        Ok(())
    }

    fn failed(&self, verb: &'static str, source: sled::Error) -> StoreError {
        StoreError::Failed { path: self.path.clone(), verb, source }
    }

    fn damaged(&self, key: &[u8]) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), key: hex::encode(key) }
    }
}

/// Syncs the log a moment after something was written, until the store is dropped.
fn sync_after_writes(path: &Path) -> io::Result<SyncSender<()>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let log = path.join(LOG);
    let work = move || {
        while receiver.recv().is_ok() {
            // Whatever is written within this time goes with it.
            let due = Instant::now() + SYNC;
            while receiver.recv_timeout(due.saturating_duration_since(Instant::now())).is_ok() {}
            if let Err(error) = File::open(&log).and_then(|file| file.sync_all()) {
                tracing::warn!(%error, path = %log.display(), "the store is not synced to the disk");
            }
        }
    };
    thread::Builder::new().name("store-sync".into()).spawn(work)?;
    Ok(sender)
}

fn open_sled(path: &Path) -> sled::Result<sled::Db> {
    lock::wait_for(|| open_sled_once(path), is_locked)
}

fn open_sled_once(path: &Path) -> sled::Result<sled::Db> {
    sled::Config::new()
        .path(path)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(CACHE_BYTES)
        .segment_size(segment_bytes(path))
        .flush_every_ms(None)
        .open()
}

/// A store keeps the size it was made with.
fn segment_bytes(path: &Path) -> usize {
    let conf = fs::read(path.join(CONF)).unwrap_or_default();
    let text = String::from_utf8_lossy(&conf);
    let told = text.lines().find_map(|line| line.strip_prefix("segment_size: "));
    told.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(SEGMENT_BYTES)
}

/// Whether another handle has the files. It is one that was dropped in this process: sled 0.34 keeps its
/// lock until its last background job is done. Two workers never meet here, for a data folder has a
/// lock of its own. sled has no other mark for it than these words.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// The kinds of a job's stored records, in the order they are applied.
const KINDS: [u8; 3] = [0, 1, 2];

fn kind(record: &Record) -> u8 {
    match record {
        Record::Sealed(_) => 0,
        Record::Acked { .. } => 1,
        Record::Revealed { .. } | Record::Closed { .. } => 2,
    }
}

/// Big-endian, so that a scan goes job by job.
fn job_key(task: TaskKey, kind: u8) -> Vec<u8> {
    let mut key = JOB_PREFIX.to_vec();
    key.extend_from_slice(&task.deal.0.to_be_bytes());
    key.extend_from_slice(&task.idx.to_be_bytes());
    key.push(kind);
    key
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("records always encode")
}

/// A value and nothing behind it.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes)
        .ok()
        .filter(|(_, rest)| rest.is_empty())
        .map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_agent::{Closing, Seal, SealedJob};
    use quorate_common::{
        Address, B256,
        digest::Digest,
        ids::{DealId, DealSlot, WorkerIdx},
        wire::DealInfo,
    };

    const POOL: PoolId = PoolId(1);

    fn domain() -> Domain {
        Domain { chain_id: 5, contract: Address::repeat_byte(1) }
    }

    fn sealed(idx: u32) -> Record {
        let digest = Digest::of(b"x");
        let deal = DealInfo {
            slot: DealSlot(0),
            id: DealId::default(),
            app: digest,
            bag: digest,
            first: 0,
            unit_price: 1,
            stake: 1,
            max_task_time: 1,
            deadline: 1,
        };
        let word = B256::repeat_byte(2);
        let seal = Seal {
            worker: WorkerIdx(1),
            digest,
            salt: word,
            commitment: word,
            blobs: vec![digest],
            inline: None,
        };
        Record::Sealed(Box::new(SealedJob {
            task: TaskKey { deal: DealSlot(0), idx },
            attempt: 0,
            deal,
            commit_deadline: 1,
            reveal_deadline: 2,
            seal,
        }))
    }

    #[test]
    fn records_come_back_in_order_and_closed_jobs_are_gone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let totals = Totals { settled: 1, earned: 9, ..Totals::default() };
        let (store, memory) = Store::open(dir.path(), POOL, domain()).expect("new");
        assert!(memory.records.is_empty());
        let batch = [sealed(700), sealed(2), sealed(1)];
        store.append(&batch, Totals::default()).expect("written");
        let closed = Record::Closed { task: batch[1].task(), closing: Closing::Forgotten };
        store.append(&[closed], totals).expect("written");
        drop(store);
        let (_, memory) = Store::open(dir.path(), POOL, domain()).expect("there");
        assert_eq!(memory.totals, totals);
        assert_eq!(memory.records, [sealed(1), sealed(700)]);
    }

    /// Without the wait for a dropped store's lock, a few in a hundred of these fail.
    #[test]
    fn a_store_can_be_opened_again_at_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for round in 0..300 {
            let (store, memory) = Store::open(dir.path(), POOL, domain()).expect("there");
            assert_eq!(memory.totals.settled, round);
            let closed = Record::Closed { task: sealed(1).task(), closing: Closing::Forgotten };
            let totals = Totals { settled: round + 1, ..Totals::default() };
            store.append(&[sealed(1), closed], totals).expect("written");
        }
    }

    #[test]
    fn who_opens_while_another_still_holds_the_files_waits() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (held, _) = Store::open(dir.path(), POOL, domain()).expect("new");
        let (opening, is_opening) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                opening.send(open_sled_once(dir.path()).is_err()).expect("heard");
                Store::open(dir.path(), POOL, domain()).map(|_| ())
            });
            assert!(is_opening.recv().expect("said"), "the files are held");
            drop(held);
            second.join().expect("no panic").expect("opened once the first was gone");
        });
    }

    #[test]
    fn what_is_damaged_old_or_foreign_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (store, _) = Store::open(dir.path(), POOL, domain()).expect("new");
        store.db.insert(job_key(sealed(1).task(), 0), &b"\xff"[..]).expect("inserted");
        drop(store);
        let error = Store::open(dir.path(), POOL, domain()).expect_err("damaged").to_string();
        assert!(error.contains("is damaged at key 6a0000000000000001"), "{error}");
        let error = Store::open(dir.path(), PoolId(2), domain()).expect_err("foreign").to_string();
        assert!(error.contains("belongs to (PoolId(1), Domain"), "{error}");
        let db = open_sled(dir.path()).expect("opened");
        db.insert(FORMAT_KEY, bytes(&9_u16)).expect("inserted");
        drop(db);
        let error = Store::open(dir.path(), POOL, domain()).expect_err("newer").to_string();
        assert!(error.contains(&format!("has format 9, expected {FORMAT}")), "{error}");
    }
}
