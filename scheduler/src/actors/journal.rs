//! JournalActor: turns records into bytes on disk and says when they are there. Behind that it fills
//! the index and writes snapshots. On its own thread, because it waits for disks.

use crate::{
    blobs::Blobs,
    index,
    journal::{
        Head,
        snapshot::Snapshots,
        writer::{self, Writer},
    },
    store::writer::{Change, StoreWriter},
};
use actix::{Actor, Context, Handler, Message};
use quorate_common::wire::to_bytes;
use quorate_grid::Record;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Records to be made durable.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Append {
    /// The number of the first.
    pub first_seq: u64,
    /// In order.
    pub records: Vec<Record>,
    /// The state after the last of them, to be kept as a snapshot.
    pub snapshot: Option<Vec<u8>>,
}

/// Snapshots that wait for their record to be durable.
pub type Pending = Arc<Mutex<VecDeque<(u64, Vec<u8>)>>>;

/// See the module.
#[derive(Debug)]
pub struct JournalActor {
    writer: Writer,
    store: StoreWriter,
    blobs: Arc<Blobs>,
    pending: Pending,
    index: index::Builder,
}

impl JournalActor {
    /// Takes over the journal's and the store's writers.
    pub fn new(writer: Writer, store: StoreWriter, blobs: Arc<Blobs>, pending: Pending) -> Self {
        Self { writer, store, blobs, pending, index: index::Builder::default() }
    }

    /// Small results are kept before the record that accepts them, so that whoever hears of the task
    /// can read its result. They become durable with the record that carries them.
    fn keep(&self, records: &[Record]) {
        for record in records {
            let Record::Revealed { inline: Some(inline), .. } = record else { continue };
            for blob in &inline.blobs {
                if let Err(error) = self.blobs.put_small(blob) {
                    die("the blob store", &error);
                }
            }
        }
    }
}

impl Actor for JournalActor {
    type Context = Context<Self>;
}

impl Handler<Append> for JournalActor {
    type Result = ();

    fn handle(&mut self, append: Append, _: &mut Context<Self>) {
        let Append { first_seq, records, snapshot } = append;
        self.keep(&records);
        let last = first_seq + records.len() as u64 - 1;
        let ends_group = snapshot.is_some();
        if let Some(bytes) = snapshot {
            lock(&self.pending).push_back((last, bytes));
        }
        let bytes = records.iter().map(to_bytes).collect();
        let append = writer::Append { first_seq, records: bytes, ends_group };
        if let Err(error) = self.writer.append(append) {
            die("the journal", &error);
        }
        let ops = self.index.ops(&records);
        if !ops.is_empty()
            && let Err(error) = self.store.apply(Change { seq: last, ops })
        {
            die("the index", &error);
        }
    }
}

/// Writes the snapshot whose record is the last durable one, if there is one, on a thread of its own:
/// the next group commit does not wait for tens of megabytes. Called by the journal's thread.
pub fn write_snapshots(pending: &Pending, blobs: Arc<Blobs>, snapshots: Snapshots, head: Head) {
    let due = {
        let mut pending = lock(pending);
        let due = pending.front().is_some_and(|(seq, _)| *seq == head.seq);
        due.then(|| pending.pop_front()).flatten()
    };
    let Some((_, bytes)) = due else { return };
    let write = move || {
        // Results up to the snapshot are no longer replayed from the journal.
        if let Err(error) = blobs.sync_small() {
            die("the blob store", &error);
        }
        if let Err(error) = snapshots.write(head, &bytes) {
            tracing::warn!(error = %quorate_common::report::Chain(&error), "snapshot not written");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("snapshot".into()).spawn(write) {
        tracing::warn!(%error, "snapshot not written");
    }
}

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, VecDeque<(u64, Vec<u8>)>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fail-stop: a disk that failed once is not asked again. The supervisor restarts, the journal
/// replays.
pub fn die(what: &str, error: &dyn std::error::Error) -> ! {
    tracing::error!(error = %quorate_common::report::Chain(error), "{what} failed; stopping");
    eprintln!("{what} failed, stopping: {}", quorate_common::report::Chain(error));
    std::process::abort()
}
