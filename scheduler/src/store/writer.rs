//! The thread that fills the store: takes the changes of durable records, applies them in batches.
//!
//! sled takes 14 µs of CPU for a lone put of 100 bytes, 10 µs in a batch of a thousand, and 3 to 6
//! bytes of disk for each of ours. So puts are gathered: whatever waits goes into one batch, in which
//! only the last change of a key counts. The thread runs behind the journal's writer and may lag; a
//! full queue makes the caller wait. On an error it calls `on_fatal` once and ends; production aborts
//! there, and the next start fills the store anew.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};

use super::{Op, Store, StoreError};

/// Changes that may wait. Each is one append's worth; 1,024 are some 100 ms of a busy scheduler.
pub const QUEUE_CHANGES_MAX: usize = 1024;

/// Puts and deletions after which a batch takes no more changes: about 10 ms of sled, during which
/// readers wait.
pub const BATCH_OPS_MAX: usize = 1024;

/// What the records up to `seq` change. Send it only once they are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The last record it reflects.
    pub seq: u64,
    /// The changes, possibly none.
    pub ops: Vec<Op>,
}

/// Why a change was not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChangeError {
    /// sled does not keep up. The change comes back; try again.
    #[error("the store's queue is full; slow down until more is applied")]
    Full(Change),
    /// The writer ended on an error, which `on_fatal` was told.
    #[error("the store's writer has stopped; start the scheduler again")]
    Stopped,
}

/// What the writer did since it started, for metrics. Each only grows.
#[derive(Debug, Default)]
pub struct StoreCounters {
    /// Batches applied.
    pub batches: AtomicU64,
    /// Puts and deletions asked for.
    pub ops: AtomicU64,
    /// The last record applied.
    pub applied_seq: AtomicU64,
}

/// The handle of the writer thread. Dropping it lets the thread apply what waits and end.
#[derive(Debug)]
pub struct StoreWriter {
    queue: SyncSender<Change>,
    counters: Arc<StoreCounters>,
    thread: JoinHandle<()>,
}

impl StoreWriter {
    /// Starts the thread `store` on `store`, which others may go on reading.
    ///
    /// # Errors
    /// What the system says about a new thread.
    pub fn spawn(
        store: Arc<Store>,
        on_fatal: impl FnOnce(StoreError) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, changes) = mpsc::sync_channel(QUEUE_CHANGES_MAX);
        let counters = Arc::new(StoreCounters::default());
        let counted = Arc::clone(&counters);
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            if let Err(error) = run(&store, &changes, &counted) {
                on_fatal(error);
            }
        })?;
        Ok(Self { queue, counters, thread })
    }

    /// Queues `change`, waiting while the queue is full. Not for an async thread.
    ///
    /// # Errors
    /// [`ChangeError::Stopped`].
    pub fn apply(&self, change: Change) -> Result<(), ChangeError> {
        self.queue.send(change).map_err(|_| ChangeError::Stopped)
    }

    /// Queues `change`, or gives it back if the queue is full.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn try_apply(&self, change: Change) -> Result<(), ChangeError> {
        self.queue.try_send(change).map_err(|error| match error {
            TrySendError::Full(change) => ChangeError::Full(change),
            TrySendError::Disconnected(_) => ChangeError::Stopped,
        })
    }

    /// The counters, which outlive the writer.
    pub fn counters(&self) -> Arc<StoreCounters> {
        Arc::clone(&self.counters)
    }

    /// Applies what waits and ends the thread.
    pub fn close(self) {
        drop(self.queue);
        // A panic there was one of `on_fatal`, whose author has heard of it.
        let _ = self.thread.join();
    }
}

fn run(
    store: &Store,
    changes: &Receiver<Change>,
    counters: &StoreCounters,
) -> Result<(), StoreError> {
    while let Ok(Change { mut seq, mut ops }) = changes.recv() {
        while ops.len() < BATCH_OPS_MAX {
            let Ok(next) = changes.try_recv() else { break };
            seq = next.seq;
            ops.extend(next.ops);
        }
        store.apply(seq, &ops)?;
        counters.batches.fetch_add(1, Ordering::Relaxed);
        counters.ops.fetch_add(ops.len() as u64, Ordering::Relaxed);
        counters.applied_seq.store(seq, Ordering::Relaxed);
    }
    Ok(())
}
