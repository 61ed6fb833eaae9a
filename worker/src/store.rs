//! What was sealed and not yet settled, on disk: a journal like the scheduler's, kept short.
//!
//! A seal, an acknowledgement and a reveal are a few hundred bytes each. They are synced before anything they
//! justify leaves, so that neither a crash nor a loss of power costs a stake; everything that waits in the
//! agent's mailbox shares one sync. When much more was written than is still of use, what is of use is said
//! again in a new file and the older ones go.
//!
//! It has no threads and no cache, and writes nothing while nothing is worked on. The scheduler's index, sled,
//! takes 25 MB and wakes several times a second for the same dozen records.

use quorate_agent::{Record, Totals, record::FORMAT};
use quorate_common::{
    ids::{PoolId, TaskKey},
    lock,
    messages::Domain,
};
use quorate_journal::{BLOCK_BYTES_MAX, Journal, JournalError, Options};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Bytes of a file of the journal: a thousand records or so.
const SEGMENT_BYTES: u64 = 1 << 20;
/// Bytes written after which it is worth saying again what is of use, if that is a quarter of them at most.
const SHORTEN_BYTES: u64 = 4 << 20;
/// Bytes that go to the disk at once: half of what a journal takes, since it frames each record.
const PIECE_BYTES: usize = BLOCK_BYTES_MAX / 2;
/// Bytes of the disk that a piece may take besides its own: a sector and a header.
const PADDING_BYTES: usize = 1 << 10;
/// A file that the stores of the first versions have, which were sled's.
const OLDER: &str = "db";

/// A worker's records.
#[derive(Debug)]
pub struct Store {
    journal: Journal,
    path: PathBuf,
    owner: (PoolId, Domain),
    live: Live,
    /// Bytes written since what is of use was said last.
    since: u64,
}

/// Everything a store brings back.
#[derive(Debug, Default)]
pub struct Memory {
    /// What all closed jobs brought.
    pub totals: Totals,
    /// The records of all open jobs, each job's in order.
    pub records: Vec<Record>,
}

/// What is of use.
#[derive(Debug, Default)]
struct Live {
    totals: Totals,
    jobs: BTreeMap<(TaskKey, u8), Record>,
}

/// What is written. The first record of a journal says whose it is.
#[derive(Debug, Serialize, Deserialize)]
enum Entry {
    Owner { format: u16, pool: PoolId, domain: Domain },
    Step(Record),
    Totals(Totals),
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
        source: JournalError,
    },
    /// A record does not read.
    #[error(
        "store {path} is damaged at record {seq}; move it away: votes sealed in it are then lost"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where.
        seq: u64,
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
    /// Written by a version that kept its records in sled.
    #[error(
        "store {0} is sled's, expected a journal; use the quorate-worker that wrote it until its votes are settled, then remove that folder"
    )]
    Older(PathBuf),
    /// Another pool's votes.
    #[error("store {path} belongs to {found:?}; give this pool a data folder of its own")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        found: (PoolId, Domain),
    },
}

/// Why a reading ends early.
enum Stop {
    Journal(JournalError),
    Store(StoreError),
}

impl Store {
    /// Opens the store at `path`, or makes one for this pool, chain and contract.
    ///
    /// # Errors
    /// Damaged, of another format, or another pool's.
    pub fn open(path: &Path, pool: PoolId, domain: Domain) -> Result<(Self, Memory), StoreError> {
        if path.join(OLDER).exists() {
            return Err(StoreError::Older(path.into()));
        }
        let options = Options { segment_bytes: SEGMENT_BYTES };
        // Two workers never meet here, for a data folder has a lock of its own; a program that was just started
        // by this one holds its files until it is itself.
        let is_held = |error: &JournalError| matches!(error, JournalError::Locked { .. });
        let journal = lock::wait_for(|| Journal::open(path, options), is_held);
        let failed = |source| StoreError::Failed { path: path.into(), verb: "opened", source };
        Self::on(journal.map_err(failed)?.0, path, (pool, domain))
    }

    fn on(
        journal: Journal,
        path: &Path,
        owner: (PoolId, Domain),
    ) -> Result<(Self, Memory), StoreError> {
        let mut store = Self { journal, path: path.into(), owner, live: Live::default(), since: 0 };
        if store.journal.head().seq == 0 {
            store.write(&[store.whose()])?;
        }
        store.read()?;
        let records = store.live.jobs.values().cloned().collect();
        let memory = Memory { totals: store.live.totals, records };
        Ok((store, memory))
    }

    /// Makes `records` durable, with the totals after them. If the power fails meanwhile, the first few may be.
    ///
    /// # Errors
    /// The disk failed; nobody may then hear of what the records say.
    pub fn append(&mut self, records: &[Record], totals: Totals) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut entries: Vec<Entry> = records.iter().cloned().map(Entry::Step).collect();
        if self.live.totals != totals {
            entries.push(Entry::Totals(totals));
        }
        self.write(&entries)?;
        entries.into_iter().for_each(|entry| self.live.apply(entry));
        self.shorten()
    }

    /// Says again what is of use, where that is little beside what was written, and lets the rest go.
    fn shorten(&mut self) -> Result<(), StoreError> {
        if self.since < SHORTEN_BYTES {
            return Ok(());
        }
        let (since, totals) = (self.since, Entry::Totals(self.live.totals));
        let steps = self.live.jobs.values().cloned().map(Entry::Step);
        let of_use: Vec<Entry> = [self.whose(), totals].into_iter().chain(steps).collect();
        if since < 4 * of_use.iter().map(|entry| bytes(entry).len() as u64).sum::<u64>() {
            return Ok(());
        }
        self.journal.rotate().map_err(|error| self.failed("written", error))?;
        let first = self.journal.head().seq + 1;
        self.write(&of_use)?;
        self.since = 0;
        // A crash may leave the last of the older ones: what they say is said again here.
        let pruned = self.journal.prune_below(first);
        pruned.map(drop).map_err(|error| self.failed("written", error))
    }

    fn read(&mut self) -> Result<(), StoreError> {
        let (owner, path, mut live) = (self.owner, self.path.clone(), Live::default());
        let first = self.journal.first_seq();
        let visited = self.journal.replay(first, |seq, written| {
            let entry = decode(written)
                .ok_or_else(|| Stop::Store(StoreError::Damaged { path: path.clone(), seq }))?;
            check(&entry, owner, &path).map_err(Stop::Store)?;
            live.apply(entry);
            Ok(())
        });
        self.live = live;
        visited.map_err(|stop| match stop {
            Stop::Journal(error) => self.failed("read", error),
            Stop::Store(error) => error,
        })
    }

    /// Writes all of it, in as few pieces as can be, and syncs.
    fn write(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut piece = Vec::new();
        let mut piece_bytes = 0;
        for written in entries.iter().map(bytes) {
            if piece_bytes + written.len() > PIECE_BYTES {
                self.write_piece(&std::mem::take(&mut piece))?;
                piece_bytes = 0;
            }
            piece_bytes += written.len();
            piece.push(written);
        }
        self.write_piece(&piece)
    }

    fn write_piece(&mut self, piece: &[Vec<u8>]) -> Result<(), StoreError> {
        let written = self.journal.append(piece.iter().map(Vec::as_slice));
        let synced = written.and_then(|_| self.journal.sync());
        self.since += (piece.iter().map(Vec::len).sum::<usize>() + PADDING_BYTES) as u64;
        synced.map_err(|error| self.failed("written", error))
    }

    fn whose(&self) -> Entry {
        let (pool, domain) = self.owner;
        Entry::Owner { format: FORMAT, pool, domain }
    }

    fn failed(&self, verb: &'static str, source: JournalError) -> StoreError {
        StoreError::Failed { path: self.path.clone(), verb, source }
    }
}

impl Live {
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Owner { .. } => {}
            Entry::Totals(totals) => self.totals = totals,
            Entry::Step(Record::Closed { task, .. }) => {
                let of_job: Vec<_> =
                    self.jobs.range((task, 0)..=(task, u8::MAX)).map(|(key, _)| *key).collect();
                of_job.iter().for_each(|key| drop(self.jobs.remove(key)));
            }
            Entry::Step(record) => drop(self.jobs.insert((record.task(), rank(&record)), record)),
        }
    }
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

fn check(entry: &Entry, owner: (PoolId, Domain), path: &Path) -> Result<(), StoreError> {
    match *entry {
        Entry::Owner { format, .. } if format != FORMAT => {
            Err(StoreError::Format { path: path.into(), found: format })
        }
        Entry::Owner { pool, domain, .. } if (pool, domain) != owner => {
            Err(StoreError::Foreign { path: path.into(), found: (pool, domain) })
        }
        Entry::Owner { .. } | Entry::Step(_) | Entry::Totals(_) => Ok(()),
    }
}

/// The order in which a job's records are applied.
fn rank(record: &Record) -> u8 {
    match record {
        Record::Sealed(_) => 0,
        Record::Acked { .. } => 1,
        Record::Revealed { .. } | Record::Closed { .. } => 2,
    }
}

fn bytes(entry: &Entry) -> Vec<u8> {
    postcard::to_allocvec(entry).expect("records always encode")
}

/// An entry and nothing behind it.
fn decode(bytes: &[u8]) -> Option<Entry> {
    postcard::take_from_bytes(bytes)
        .ok()
        .filter(|(_, rest)| rest.is_empty())
        .map(|(entry, _)| entry)
}

#[cfg(test)]
mod tests;
