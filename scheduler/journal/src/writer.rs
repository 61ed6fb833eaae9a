//! The thread that owns the journal: takes appends, commits them in groups, says what is durable.
//!
//! ```text
//! appends ──(bounded queue)──> one write + one fdatasync per group ──> on_durable(Durable)
//! ```
//!
//! A group is whatever waits when the last one is done, so it grows by itself with the load and
//! with the slowness of the disk, and a lone append waits for nobody. All journal I/O stays on this
//! one thread. On an error the thread calls `on_fatal` once and ends; production aborts there.
//! Nothing here decides anything.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{BLOCK_BYTES_MAX, Head, Journal, JournalError, block};

/// When a group is full, and how much may wait.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Appends that may wait. A full queue makes [`Writer::append`] wait, which is how a slow disk
    /// slows the grid down. Default 4,096: a group, of a kilobyte or so each.
    pub queue_appends_max: usize,
    /// Appends in one group. Default 4,096, so that bytes are what fills a group: at 256 appends a
    /// disk that takes 6 ms for a sync would do 40,000 a second however small they are.
    pub group_appends_max: usize,
    /// Bytes after which a group takes no further append. Default 1 MiB: at 64 KiB a disk is
    /// already mostly writing, at 1 MiB the write is some milliseconds of everybody's latency.
    pub group_bytes_max: usize,
    /// How long a group that is not full waits for more. Default zero: under load the sync itself
    /// is the wait, and without load it would be pure latency.
    pub linger: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            queue_appends_max: 4096,
            group_appends_max: 4096,
            group_bytes_max: 1024 * 1024,
            linger: Duration::ZERO,
        }
    }
}

/// Records to be written together: after a crash all of them are there, or none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Append {
    /// The number of the first, one more than the last one appended before. Checked, because the
    /// sender has already filed its effects under these numbers.
    pub first_seq: u64,
    /// The records, possibly none: then it only asks for a [`Durable`].
    pub records: Vec<Vec<u8>>,
    /// End the group here, so that a [`Durable`] names exactly this head. For a snapshot of the
    /// state at it.
    pub ends_group: bool,
}

/// One group is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable {
    /// The last record that is durable.
    pub head: Head,
    /// Appends in the group.
    pub appends: usize,
    /// How long its `fdatasync` took.
    pub sync_took: Duration,
}

/// What the writer did since it started, for metrics. Each only grows.
#[derive(Debug, Default)]
pub struct WriterCounters {
    /// Groups synced.
    pub fsyncs: AtomicU64,
    /// Bytes written, framing and padding included.
    pub bytes: AtomicU64,
    /// Records written.
    pub records: AtomicU64,
    /// Appends taken.
    pub appends: AtomicU64,
}

/// Why an append was not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AppendError {
    /// The disk does not keep up. The append comes back; try again when something is durable.
    #[error("the journal's queue is full; slow down until more is durable")]
    Full(Append),
    /// The writer ended on an error, which `on_fatal` was told.
    #[error("the journal's writer has stopped; start the scheduler again")]
    Stopped,
}

/// The handle of the writer thread. Dropping it lets the thread finish what waits and end.
#[derive(Debug)]
pub struct Writer {
    queue: SyncSender<Append>,
    counters: Arc<WriterCounters>,
    thread: JoinHandle<Option<Journal>>,
}

impl Writer {
    /// Starts the thread `journal` and gives it the journal.
    ///
    /// `on_durable` is called on that thread after each group, in order, and should be quick: the
    /// next group waits. `on_fatal` is called at most once, with the error that ends the thread.
    ///
    /// # Errors
    /// What the system says about a new thread.
    pub fn spawn(
        journal: Journal,
        options: WriterOptions,
        on_durable: impl FnMut(Durable) + Send + 'static,
        on_fatal: impl FnOnce(JournalError) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, appends) = mpsc::sync_channel(options.queue_appends_max);
        let counters = Arc::new(WriterCounters::default());
        let mut state = Committer {
            journal,
            options,
            appends,
            carried: None,
            group: Vec::new(),
            counters: Arc::clone(&counters),
        };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || {
            let ended = state.run(on_durable);
            match ended {
                Ok(()) => Some(state.journal),
                Err(error) => {
                    on_fatal(error);
                    None
                }
            }
        })?;
        Ok(Self { queue, counters, thread })
    }

    /// Queues `append`, waiting while the queue is full. Not for an async thread.
    ///
    /// # Errors
    /// [`AppendError::Stopped`].
    pub fn append(&self, append: Append) -> Result<(), AppendError> {
        self.queue.send(append).map_err(|_| AppendError::Stopped)
    }

    /// Queues `append`, or gives it back if the queue is full.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn try_append(&self, append: Append) -> Result<(), AppendError> {
        self.queue.try_send(append).map_err(|error| match error {
            TrySendError::Full(append) => AppendError::Full(append),
            TrySendError::Disconnected(_) => AppendError::Stopped,
        })
    }

    /// The counters, which go on counting after the writer is gone.
    pub fn counters(&self) -> Arc<WriterCounters> {
        Arc::clone(&self.counters)
    }

    /// Commits what waits, ends the thread, and returns the journal unless it died of an error.
    pub fn close(self) -> Option<Journal> {
        drop(self.queue);
        // A panic of the thread is a panic of its callbacks; the journal is gone with it.
        self.thread.join().ok().flatten()
    }
}

/// The thread's state.
struct Committer {
    journal: Journal,
    options: WriterOptions,
    appends: Receiver<Append>,
    /// Taken from the queue, but too much for the group that was being gathered.
    carried: Option<Append>,
    group: Vec<Append>,
    counters: Arc<WriterCounters>,
}

impl Committer {
    /// Commits group after group until every sender is gone.
    fn run(&mut self, mut on_durable: impl FnMut(Durable)) -> Result<(), JournalError> {
        while self.gather() {
            on_durable(self.commit()?);
        }
        Ok(())
    }

    /// Fills the group with what waits; false when there will never be more.
    fn gather(&mut self) -> bool {
        self.group.clear();
        let Some(first) = self.carried.take().or_else(|| self.appends.recv().ok()) else {
            return false;
        };
        let full_at = Instant::now() + self.options.linger;
        let mut bytes = body_bytes(&first);
        let mut open = !first.ends_group;
        self.group.push(first);
        while open
            && self.group.len() < self.options.group_appends_max
            && bytes < self.options.group_bytes_max
        {
            let Some(next) = self.next_before(full_at) else { break };
            bytes += body_bytes(&next);
            if bytes > BLOCK_BYTES_MAX {
                self.carried = Some(next);
                break;
            }
            open = !next.ends_group;
            self.group.push(next);
        }
        true
    }

    fn next_before(&self, full_at: Instant) -> Option<Append> {
        match self.options.linger {
            Duration::ZERO => self.appends.try_recv().ok(),
            _ => self.appends.recv_timeout(full_at.saturating_duration_since(Instant::now())).ok(),
        }
    }

    fn commit(&mut self) -> Result<Durable, JournalError> {
        let before = self.journal.head().seq;
        self.check_numbers(before)?;
        let records = self.group.iter().flat_map(|append| &append.records);
        let last = self.journal.append(records.map(Vec::as_slice))?;
        let sync_started = Instant::now();
        if last > before {
            self.journal.sync()?;
            self.counters.fsyncs.fetch_add(1, Ordering::Relaxed);
            self.counters.bytes.fetch_add(self.journal.block_bytes() as u64, Ordering::Relaxed);
        }
        self.counters.records.fetch_add(last - before, Ordering::Relaxed);
        self.counters.appends.fetch_add(self.group.len() as u64, Ordering::Relaxed);
        let (head, appends) = (self.journal.head(), self.group.len());
        Ok(Durable { head, appends, sync_took: sync_started.elapsed() })
    }

    /// Checks that the group goes on where the journal ends, without a gap.
    fn check_numbers(&self, before: u64) -> Result<(), JournalError> {
        let mut expected = before + 1;
        for append in &self.group {
            if append.first_seq != expected {
                return Err(JournalError::OutOfStep { found: append.first_seq, expected });
            }
            expected += append.records.len() as u64;
        }
        Ok(())
    }
}

/// What `append` adds to a block's body.
fn body_bytes(append: &Append) -> usize {
    append.records.iter().map(|record| block::LENGTH_BYTES + record.len()).sum()
}
