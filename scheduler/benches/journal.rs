//! What the journal and what stands behind it cost, against the bare system calls, in one run.
//!
//! `cargo bench -p quorate-scheduler --bench journal [-- FOLDER]`. The folder should be on the disk
//! the scheduler will use; the default is a temporary one under `target`. Prints, judges nothing.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use quorate_scheduler::blobs::Blobs;
use quorate_scheduler::journal::writer::{Append, Writer, WriterOptions};
use quorate_scheduler::journal::{Journal, JournalError, Options};
use quorate_scheduler::store::writer::{Change, StoreWriter};
use quorate_scheduler::store::{Keyspace, Op, Span, Store};

/// Bytes of a record: about what a vote or an assignment takes.
const RECORD_BYTES: usize = 256;
const RECORDS: u64 = 400_000;
const PUTS: u64 = 200_000;
const SMALL_BLOBS: u64 = 50_000;

fn main() {
    // Cargo hands `--bench` to every bench.
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let folder = folder.map_or_else(|| Path::new("target").join("bench-journal"), PathBuf::from);
    fs::create_dir_all(&folder).unwrap();
    let dir = tempfile::tempdir_in(&folder).unwrap();
    bare(&dir.path().join("bare"));
    for records in [1, 16] {
        journal(&dir.path().join(format!("journal-{records}")), records);
    }
    store(&dir.path().join("store"));
    blobs(&dir.path().join("blobs"));
}

/// The floor: the same bytes, one write and one fdatasync at a time, and nothing else.
fn bare(path: &Path) {
    for (records, groups) in [(1, 200), (256, 200), (4096, 100)] {
        let mut file = File::create(path).unwrap();
        let group = vec![7; RECORD_BYTES * records];
        let watch = Watch::start();
        for _ in 0..groups {
            file.write_all(&group).unwrap();
            file.sync_data().unwrap();
        }
        let count = (records * groups) as u64;
        watch.print(
            &format!("bare write + fdatasync, {records} records a group"),
            count,
            groups as u64,
        );
    }
}

/// Appends of `records` records each, as fast as the writer takes them; then opening and replay.
fn journal(dir: &Path, records: u64) {
    let (journal, _) = Journal::open(dir, Options::default()).unwrap();
    let fatal = |error: JournalError| panic!("{error}");
    let writer = Writer::spawn(journal, WriterOptions::default(), |_| (), fatal).unwrap();
    let counters = writer.counters();
    let watch = Watch::start();
    for first_seq in (1..=RECORDS).step_by(records as usize) {
        let records = vec![vec![7; RECORD_BYTES]; records as usize];
        writer.append(Append { first_seq, records, ends_group: false }).unwrap();
    }
    drop(writer.close().unwrap());
    let title = format!("journal, appends of {records}");
    watch.print(&title, RECORDS, counters.fsyncs.load(Relaxed));

    let watch = Watch::start();
    let (journal, _) = Journal::open(dir, Options::default()).unwrap();
    watch.print("  open: check every CRC and the chain", RECORDS, 0);
    let watch = Watch::start();
    let mut bytes = 0;
    journal
        .replay(1, |_, record| {
            bytes += record.len();
            Ok::<_, JournalError>(())
        })
        .unwrap();
    assert_eq!(bytes as u64, RECORDS * RECORD_BYTES as u64);
    watch.print("  replay", RECORDS, 0);
}

/// Puts of 100 bytes under 8-byte keys, two to a change; then a restart.
fn store(dir: &Path) {
    const TASKS: Keyspace = Keyspace::new("task");
    let span = |head_seq| Span { first_seq: 1, head_seq };
    let store = Arc::new(Store::open(dir, span(0)).unwrap().store);
    let writer = StoreWriter::spawn(Arc::clone(&store), |error| panic!("{error}")).unwrap();
    let counters = writer.counters();
    let put = |key: u64| Op::Put {
        keyspace: TASKS,
        key: key.to_be_bytes().to_vec(),
        value: vec![7; 100],
    };
    let watch = Watch::start();
    for seq in 1..=PUTS / 2 {
        let ops = vec![put(2 * seq), put(2 * seq + 1)];
        writer.apply(Change { seq, ops }).unwrap();
    }
    writer.close();
    let title = format!("store, {} batches of sled", counters.batches.load(Relaxed));
    watch.print(&title, PUTS, 0);
    println!("  bytes on disk per byte put: {:.1}", {
        store.size_on_disk().unwrap() as f64 / (PUTS * 108) as f64
    });
    drop(store);
    let watch = Watch::start();
    let opened = Store::open(dir, span(PUTS / 2)).unwrap();
    assert!(opened.rebuild.is_none());
    watch.print("  open: read it through", PUTS, 0);
}

/// Results of 100 bytes, synced in groups of 256.
fn blobs(dir: &Path) {
    let blobs = Blobs::open(dir, 1 << 20, 1 << 40).unwrap().blobs;
    let watch = Watch::start();
    for number in 0..SMALL_BLOBS {
        let mut bytes = [7; 100];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        blobs.put_small(&bytes).unwrap();
        if number % 256 == 255 {
            blobs.sync_small().unwrap();
        }
    }
    blobs.sync_small().unwrap();
    watch.print("blobs, small", SMALL_BLOBS, SMALL_BLOBS / 256 + 1);
    drop(blobs);
    let watch = Watch::start();
    Blobs::open(dir, 1 << 20, 1 << 40).unwrap();
    watch.print("  open: index the packs", SMALL_BLOBS, 0);
}

/// Wall and CPU time of a stretch.
struct Watch {
    wall: Instant,
    cpu: Duration,
}

impl Watch {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    fn print(self, title: &str, items: u64, syncs: u64) {
        let (wall, cpu) = (self.wall.elapsed(), cpu() - self.cpu);
        let per_item = |time: Duration| time.as_secs_f64() * 1e6 / items as f64;
        println!(
            "{title:<52} {:>9.0}/s  {:>6.2} µs cpu each  {syncs:>6} syncs  {:>7.1} ms",
            items as f64 / wall.as_secs_f64(),
            per_item(cpu),
            wall.as_secs_f64() * 1e3,
        );
    }
}

/// CPU time of this process, to a hundredth of a second; zero where the system does not say.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse().unwrap_or(0));
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
