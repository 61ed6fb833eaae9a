//! The journal against a disk that forgets, tears and fails, and against bytes that changed.
//!
//! What is tested is one promise: what was reported durable is there after any crash, in order, and
//! nothing else but more of what was appended. Damage that is not a crash is refused by name.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;
use quorate_journal::disk::Disk as _;
use quorate_journal::faulty::{Fault, FaultyDisk};
use quorate_journal::snapshot::{SNAPSHOTS_KEPT, Snapshots};
use quorate_journal::writer::{Append, AppendError, Durable, Writer, WriterOptions};
use quorate_journal::{
    BLOCK_BYTES_MAX, Cut, Head, Journal, JournalError, Opened, Options, RECORD_BYTES_MAX,
};

const SMALL: Options = Options { segment_bytes: 4096 };
const FIRST: &str = "00000000000000000001.log";

// ---- what it does when nothing goes wrong

#[test]
fn records_come_back_in_order_over_segments_and_starts() {
    let disk = FaultyDisk::new(1);
    let mut expected = Vec::new();
    for start in 0..3 {
        let (mut journal, opened) = open(&disk).unwrap();
        assert_eq!((opened.head.seq, opened.cut), (expected.len() as u64, None));
        for record in 0..20 {
            let record = vec![start; record * 61];
            journal.append(once(&record)).unwrap();
            expected.push(record);
        }
        journal.sync().unwrap();
    }
    let (journal, opened) = open(&disk).unwrap();
    assert!(opened.segments > 5, "{opened:?}");
    assert_eq!(records(&journal, 1), expected);
    assert_eq!(records(&journal, 31), expected[30..]);
    assert_eq!(records(&journal, 61), expected[60..]);
}

/// The chain is part of the format: computed here by its definition, with the numbers spelled out.
#[test]
fn the_hash_at_any_record_does_not_depend_on_the_blocks() {
    let records: Vec<Vec<u8>> = (0..10).map(|n| vec![n; usize::from(n)]).collect();
    let mut one_block = open(&FaultyDisk::new(1)).unwrap().0;
    one_block.append(records.iter().map(Vec::as_slice)).unwrap();
    let mut many = open(&FaultyDisk::new(2)).unwrap().0;
    for record in &records {
        many.append(once(record)).unwrap();
        many.rotate().unwrap();
    }
    assert_eq!(one_block.head(), many.head());
    assert_eq!(one_block.hash_at(0).unwrap(), Head::GENESIS.hash);
    for seq in 0..=10 {
        assert_eq!(one_block.hash_at(seq).unwrap(), many.hash_at(seq).unwrap(), "{seq}");
    }
    // sha256(32 zero bytes | 01 00 00 00 00 00 00 00 | nothing)
    assert_eq!(
        hex(&many.hash_at(1).unwrap()),
        "19ea44be89eece0fd4ec7482049f472a11af19384bffb38a88e77b3b1dd54c19"
    );
    // sha256(that | 02 00 00 00 00 00 00 00 | 01)
    assert_eq!(
        hex(&many.hash_at(2).unwrap()),
        "c69468192a43d5e9ba496968565644e6235438145df8d0f4e8f2279f3a2208c9"
    );
}

#[test]
fn an_append_larger_than_a_segment_gets_a_segment_of_its_size() {
    let disk = FaultyDisk::new(1);
    let large = vec![7; RECORD_BYTES_MAX];
    let mut journal = open(&disk).unwrap().0;
    journal.append(once(&large)).unwrap();
    journal.append(once(b"small")).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let (journal, opened) = open(&disk).unwrap();
    assert_eq!((opened.segments, opened.head.seq), (2, 2));
    assert_eq!(records(&journal, 1), [large, b"small".to_vec()]);
}

#[test]
fn too_large_is_refused_and_the_journal_goes_on() {
    let mut journal = open(&FaultyDisk::new(1)).unwrap().0;
    let too_large = vec![0; RECORD_BYTES_MAX + 1];
    let refused = journal.append(once(&too_large)).unwrap_err();
    assert!(matches!(refused, JournalError::RecordTooLarge { bytes: 1_048_577 }), "{refused}");
    let large = vec![0; RECORD_BYTES_MAX];
    let refused = journal.append(std::iter::repeat_n(&large[..], 4)).unwrap_err();
    assert!(matches!(refused, JournalError::BlockTooLarge), "{refused}");
    assert_eq!(journal.append(once(b"fits")).unwrap(), 1);
    assert_eq!(
        journal.append(std::iter::repeat_n(&large[..], BLOCK_BYTES_MAX >> 20).skip(1)).unwrap(),
        4
    );
    assert_eq!(records(&journal, 1)[0], b"fits");
}

#[test]
fn what_is_not_there_is_out_of_range() {
    let mut journal = open(&FaultyDisk::new(1)).unwrap().0;
    assert!(records(&journal, 1).is_empty());
    journal.append(once(b"one")).unwrap();
    for seq in [0, 3, u64::MAX] {
        let refused = journal.replay(seq, |_, _| Ok::<_, JournalError>(())).unwrap_err();
        assert!(matches!(refused, JournalError::OutOfRange { first: 1, last: 1, .. }), "{refused}");
    }
    assert!(journal.hash_at(u64::MAX).is_err());
}

#[test]
fn a_head_that_is_remembered_must_be_there() {
    let mut journal = open(&FaultyDisk::new(1)).unwrap().0;
    journal.append([&b"a"[..], b"b", b"c"].into_iter()).unwrap();
    let two = Head { seq: 2, hash: journal.hash_at(2).unwrap() };
    journal.check_head(two).unwrap();
    journal.check_head(journal.head()).unwrap();
    let beyond = journal.check_head(Head { seq: 4, ..two }).unwrap_err();
    assert!(matches!(beyond, JournalError::OutOfRange { last: 3, .. }), "{beyond}");
    let other = journal.check_head(Head { seq: 3, ..two }).unwrap_err();
    assert!(matches!(other, JournalError::OtherHistory { seq: 3, .. }), "{other}");
}

#[test]
fn a_scrub_finds_rot_under_a_running_scheduler() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), SMALL).unwrap().0;
    for n in 0..20 {
        journal.append(once(&[n; 500])).unwrap();
    }
    let scrubbed = Journal::scrub(dir.path()).unwrap();
    assert_eq!(scrubbed.hash, journal.hash_at(scrubbed.seq).unwrap());
    assert_eq!(scrubbed.seq, 18, "all but the last segment");
    let first = dir.path().join(FIRST);
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[1100] ^= 1;
    std::fs::write(first, bytes).unwrap();
    let rot = Journal::scrub(dir.path()).unwrap_err();
    assert!(matches!(rot, JournalError::Damaged { offset: 512, .. }), "{rot}");
    journal.append(once(b"unimpressed")).unwrap();
    journal.sync().unwrap();
}

#[test]
fn two_schedulers_never_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let first = Journal::open(dir.path(), SMALL).unwrap();
    let refused = Journal::open(dir.path(), SMALL).unwrap_err();
    assert!(refused.to_string().contains("in use by another scheduler"), "{refused}");
    drop(first);
    assert!(Journal::open(dir.path(), SMALL).is_ok());
}

#[test]
fn a_real_folder_works_like_the_faulty_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made").join("on the way");
    let mut journal = Journal::open(&dir, SMALL).unwrap().0;
    let written: Vec<Vec<u8>> = (0..100).map(|n| vec![n; 200]).collect();
    for record in &written {
        journal.append(once(record)).unwrap();
    }
    journal.sync().unwrap();
    assert_eq!(journal.prune_below(50).unwrap(), 7);
    drop(journal);
    let (journal, opened) = Journal::open(&dir, SMALL).unwrap();
    assert_eq!((opened.first_seq, opened.head.seq, opened.cut), (50, 100, None));
    assert_eq!(records(&journal, 50), written[49..]);
}

// ---- damage

/// Every single byte, from the first header to beyond the last block: flipped, it is noticed, and
/// what is still said to be there is what was written.
#[test]
fn a_flipped_byte_is_never_believed() {
    let disk = FaultyDisk::new(1);
    let mut journal = open(&disk).unwrap().0;
    let written: Vec<Vec<u8>> = (1..=4).map(|n| vec![n; 300]).collect();
    for record in &written {
        journal.append(once(record)).unwrap();
    }
    journal.sync().unwrap();
    drop(journal);
    for at in 0..512 * 6 {
        let disk = disk.copy();
        disk.edit(FIRST, |bytes| bytes[at] ^= 0x10);
        match (at / 512, open(&disk)) {
            (0, Err(JournalError::Damaged { offset: 0, .. })) => {}
            (block @ 1..=3, Err(JournalError::Damaged { offset, .. })) => {
                assert_eq!(offset, 512 * block as u64, "byte {at}");
            }
            (4 | 5, Ok((journal, Opened { cut: Some(cut), head, .. }))) => {
                assert_eq!(cut.offset, if at < 5 * 512 { 4 * 512 } else { 5 * 512 });
                assert_eq!(records(&journal, 1), written[..head.seq as usize], "byte {at}");
            }
            (_, other) => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn damage_names_the_file_the_offset_and_the_way_out() {
    let disk = two_segments();
    disk.edit(FIRST, |bytes| bytes[512 + 100] ^= 1);
    let refused = open(&disk).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "00000000000000000001.log is damaged at offset 512: expected a whole block or the blank \
         end, found a block whose bytes do not match its CRC; records that were acknowledged are \
         lost here, so restore the folder from a copy, or move it away and start from a snapshot \
         taken after them"
    );
}

#[test]
fn zeros_in_place_of_a_block_are_no_end() {
    let disk = two_segments();
    disk.edit(FIRST, |bytes| bytes[512..1024].fill(0));
    assert!(matches!(open(&disk), Err(JournalError::Damaged { offset: 512, .. })));
    // The same at the very end of an older segment: only the next one knows that more was there.
    let disk = two_segments();
    disk.edit(FIRST, |bytes| bytes[1024..1536].fill(0));
    assert!(matches!(open(&disk), Err(JournalError::Missing { first: 2, last: 2, .. })));
}

#[test]
fn a_missing_segment_is_named() {
    let disk = FaultyDisk::new(1);
    let mut journal = open(&disk).unwrap().0;
    for _ in 0..3 {
        journal.append([&b"a"[..], b"b"].into_iter()).unwrap();
        journal.rotate().unwrap();
    }
    drop(journal);
    disk.remove("00000000000000000003.log").unwrap();
    assert_eq!(
        open(&disk).unwrap_err().to_string(),
        "00000000000000000003.log is missing: expected records 3 to 4 before \
         00000000000000000005.log; put the file back from a copy, with no other file changed"
    );
}

/// A folder patched together from two copies with different pasts: every CRC is right.
#[test]
fn a_segment_of_another_history_breaks_the_chain() {
    let (ours, theirs) = (two_segments(), FaultyDisk::new(5));
    let mut journal = open(&theirs).unwrap().0;
    journal.append([&b"other"[..], b"past"].into_iter()).unwrap();
    journal.rotate().unwrap();
    drop(journal);
    let second = "00000000000000000003.log";
    let foreign = theirs.edit(second, |bytes| bytes.clone());
    ours.edit(second, |bytes| *bytes = foreign);
    let refused = open(&ours).unwrap_err();
    assert!(refused.to_string().contains("expected a segment that follows hash"), "{refused}");
}

#[test]
fn a_segment_under_another_name_is_refused() {
    let disk = two_segments();
    disk.rename("00000000000000000003.log", "00000000000000000004.log").unwrap();
    let refused = open(&disk).unwrap_err();
    assert!(matches!(refused, JournalError::Damaged { offset: 0, .. }), "{refused}");
}

#[test]
fn a_torn_tail_is_cut_and_reported_once() {
    let disk = two_segments();
    let last = "00000000000000000003.log";
    disk.edit(last, |bytes| bytes[512 + 68 + 4 + 250..].fill(0));
    let (mut journal, opened) = open(&disk).unwrap();
    let why = "a block whose bytes do not match its CRC";
    let cut = Cut { segment: last.to_owned(), offset: 512, bytes: 322, why };
    assert_eq!((opened.cut, opened.head.seq), (Some(cut), 2));
    journal.append(once(b"instead")).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let (journal, opened) = open(&disk).unwrap();
    assert_eq!((opened.cut, opened.head.seq), (None, 3));
    assert_eq!(records(&journal, 3), [b"instead"]);
}

/// A record that looks like a block of this very journal, written where a block would start, does
/// not turn a torn tail into damage: it cannot know the segment's salt.
#[test]
fn a_record_cannot_pass_for_a_block() {
    let disk = FaultyDisk::new(1);
    let forged = two_segments().edit(FIRST, |bytes| {
        let mut block = bytes[1024..1536].to_vec();
        block[24 - 8] = 9; // a first seq beyond everything, CRC repaired
        let crc = crc32c::crc32c(&block[8..68]).to_le_bytes();
        block[4..8].copy_from_slice(&crc);
        block
    });
    let mut record = vec![0; 512 - 68 - 4];
    record.extend(forged);
    let mut journal = open(&disk).unwrap().0;
    journal.append(once(b"before")).unwrap();
    journal.append(once(&record)).unwrap();
    journal.sync().unwrap();
    drop(journal);
    disk.edit(FIRST, |bytes| bytes[1024..1536].fill(0)); // the sector with the header is lost
    let (_, opened) = open(&disk).unwrap();
    assert_eq!((opened.head.seq, opened.cut.unwrap().offset), (1, 1024));
}

// ---- crashes

/// One step of a scheduler's life.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u16>),
    Sync,
    Rotate,
    Prune,
    /// From the n-th disk call on, during whatever comes next, recovery included.
    Fault(u8, FaultKind),
    Kill,
}

#[derive(Debug, Clone, Copy)]
enum FaultKind {
    PowerOff,
    Eio,
    NoSpace,
}

/// A journal on a faulty disk, and what must be true of it.
struct World {
    disk: FaultyDisk,
    journal: Option<Journal>,
    /// Every record appended and not lost in a crash, from 1 on.
    written: Vec<Vec<u8>>,
    /// Records that were reported durable.
    durable: usize,
    /// Lengths of `written` at which an append ended.
    ends: Vec<usize>,
    next: u64,
    power_off: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = FaultyDisk::new(seed);
        let mut world = Self {
            disk,
            journal: None,
            written: Vec::new(),
            durable: 0,
            ends: vec![0],
            next: 0,
            power_off: false,
        };
        world.start();
        world
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append(lengths) => self.append(lengths),
            Step::Sync => self.sync(),
            Step::Rotate => self.rotate(),
            Step::Prune => self.prune(),
            Step::Fault(call, kind) => self.fault(*call, *kind),
            Step::Kill => self.crash(false),
        }
    }

    fn append(&mut self, lengths: &[u16]) {
        let mut batch = Vec::new();
        for length in lengths {
            self.next += 1;
            let mut record = self.next.to_le_bytes().to_vec();
            record.resize(8 + usize::from(*length), self.next as u8);
            batch.push(record);
        }
        let before = self.written.len();
        self.written.extend(batch.iter().cloned());
        self.ends.push(self.written.len());
        let appended = self.journal().append(batch.iter().map(Vec::as_slice));
        match appended {
            Ok(seq) => {
                assert_eq!(seq as usize, self.written.len());
                // A second append syncs the first.
                self.durable = if batch.is_empty() { self.written.len() } else { before };
            }
            Err(error) => self.failed(&error),
        }
    }

    fn sync(&mut self) {
        match self.journal().sync() {
            Ok(()) => self.durable = self.written.len(),
            Err(error) => self.failed(&error),
        }
    }

    fn rotate(&mut self) {
        match self.journal().rotate() {
            Ok(()) => self.durable = self.written.len(),
            Err(error) => self.failed(&error),
        }
    }

    fn prune(&mut self) {
        let seq = self.durable as u64;
        if let Err(error) = self.journal().prune_below(seq) {
            self.failed(&error);
        }
    }

    fn fault(&mut self, call: u8, kind: FaultKind) {
        let fault = match kind {
            FaultKind::PowerOff => Fault::PowerOff,
            FaultKind::Eio => Fault::Error(io::ErrorKind::Other),
            FaultKind::NoSpace => Fault::Error(io::ErrorKind::StorageFull),
        };
        self.power_off = matches!(kind, FaultKind::PowerOff);
        self.disk.fail_at(u64::from(call), fault);
    }

    /// After an error: nothing works any more, and the process stops.
    fn failed(&mut self, error: &JournalError) {
        assert!(matches!(error, JournalError::Io { .. }), "{error}");
        let calls = self.disk.calls();
        let journal = self.journal();
        assert!(matches!(journal.append(once(b"x")), Err(JournalError::Poisoned { .. })));
        assert!(matches!(journal.sync(), Err(JournalError::Poisoned { .. })));
        assert!(matches!(journal.rotate(), Err(JournalError::Poisoned { .. })));
        assert!(matches!(journal.prune_below(9), Err(JournalError::Poisoned { .. })));
        assert_eq!(self.disk.calls(), calls, "a poisoned journal touches the disk");
        self.crash(self.power_off);
    }

    fn crash(&mut self, power: bool) {
        self.journal = None;
        if power {
            self.disk.power_cycle();
        } else {
            self.disk.restart();
        }
        self.start();
    }

    /// Opens, as often as it takes, and checks what is there.
    fn start(&mut self) {
        let (journal, opened) = loop {
            match open(&self.disk) {
                Ok(opened) => break opened,
                Err(JournalError::Io { .. }) if self.power_off => self.disk.power_cycle(),
                Err(JournalError::Io { .. }) => self.disk.restart(),
                Err(error) => panic!("refused to start: {error}"),
            }
        };
        let there = opened.head.seq as usize;
        assert!(self.durable <= there, "lost {} of {}", self.durable - there, self.durable);
        assert!(self.ends.contains(&there), "half an append: {there} of {:?}", self.ends);
        let first = opened.first_seq as usize - 1;
        assert!(first <= self.durable, "pruned beyond what was asked");
        assert_eq!(read(&journal, opened.first_seq, self), self.written[first..there]);
        self.written.truncate(there);
        self.ends.retain(|end| *end <= there);
        self.durable = there;
        self.journal = Some(journal);
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().unwrap()
    }
}

/// Reads past a fault that hits the reading: reading poisons nothing.
fn read(journal: &Journal, from: u64, world: &World) -> Vec<Vec<u8>> {
    loop {
        let mut found = Vec::new();
        let visited = journal.replay(from, |_, record| {
            found.push(record.to_vec());
            Ok::<_, JournalError>(())
        });
        match visited {
            Ok(()) => return found,
            Err(JournalError::Io { .. }) => world.disk.restart(),
            Err(error) => panic!("cannot read: {error}"),
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = prop::collection::vec(prop_oneof![0u16..100, 0u16..1500], 0..6);
    let kind = prop_oneof![
        4 => Just(FaultKind::PowerOff),
        1 => Just(FaultKind::Eio),
        1 => Just(FaultKind::NoSpace)
    ];
    let step = prop_oneof![
        6 => append.prop_map(Step::Append),
        4 => Just(Step::Sync),
        1 => Just(Step::Rotate),
        1 => Just(Step::Prune),
        3 => (0u8..30, kind).prop_map(|(call, kind)| Step::Fault(call, kind)),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_durable_survives_every_crash(seed: u64, steps in steps()) {
        let mut world = World::new(seed);
        for step in &steps {
            world.run(step);
        }
        world.sync();
        world.crash(true);
    }
}

/// One life, cut off at each of its disk calls in turn, by each kind of fault.
#[test]
fn every_single_disk_call_may_be_the_last() {
    let life: Vec<Step> = (0..6)
        .flat_map(|n| {
            let append = Step::Append(vec![n * 90, 700, 3]);
            [append, Step::Sync, Step::Append(vec![1200; usize::from(n)]), Step::Prune]
        })
        .collect();
    let calls = {
        let mut world = World::new(0);
        let before = world.disk.calls();
        life.iter().for_each(|step| world.run(step));
        u8::try_from(world.disk.calls() - before).unwrap()
    };
    assert!(calls > 60, "a life of {calls} calls");
    for call in 0..calls {
        for kind in [FaultKind::PowerOff, FaultKind::Eio, FaultKind::NoSpace] {
            for seed in 0..8 {
                let mut world = World::new(seed);
                world.fault(call, kind);
                life.iter().for_each(|step| world.run(step));
                world.crash(true);
            }
        }
    }
}

/// fsync fails, the system marks the pages clean, the process starts again and reads them happily
/// from the cache. They must be written once more before anybody relies on them.
#[test]
fn a_block_read_from_the_cache_after_a_failed_sync_is_written_again() {
    for seed in 0..50 {
        let disk = FaultyDisk::new(seed);
        let mut journal = open(&disk).unwrap().0;
        journal.append(once(&[5; 3000])).unwrap();
        disk.fail_at(0, Fault::Error(io::ErrorKind::Other));
        assert!(journal.sync().is_err());
        drop(journal);
        disk.restart();
        assert_eq!(open(&disk).unwrap().1.head.seq, 1);
        disk.power_cycle();
        let (journal, opened) = open(&disk).unwrap();
        assert_eq!((opened.head.seq, opened.cut), (1, None));
        assert_eq!(records(&journal, 1), [[5; 3000]]);
    }
}

// ---- the writer thread

#[test]
fn the_writer_groups_what_waits_and_reports_in_order() {
    let (durable, reports) = mpsc::channel();
    let (gate, opened) = mpsc::sync_channel::<()>(0);
    let journal = open(&FaultyDisk::new(1)).unwrap().0;
    let on_durable = move |group: Durable| {
        durable.send(group).unwrap();
        let _ = opened.recv(); // the first report holds the thread until the rest waits
    };
    let writer = Writer::spawn(journal, WriterOptions::default(), on_durable, no_error).unwrap();
    writer.append(append(1, 1)).unwrap();
    assert_eq!(reports.recv().unwrap().head.seq, 1);
    for first_seq in (2..302).step_by(3) {
        writer.append(append(first_seq, 3)).unwrap();
    }
    writer.append(Append { ends_group: true, ..append(302, 1) }).unwrap();
    writer.append(append(303, 0)).unwrap();
    drop(gate);
    let counters = writer.counters();
    let journal = writer.close().unwrap();
    let groups: Vec<_> = reports.iter().map(|group| (group.head.seq, group.appends)).collect();
    assert_eq!(groups, [(302, 101), (302, 1)]);
    assert_eq!(journal.head().seq, 302);
    use std::sync::atomic::Ordering::Relaxed;
    assert_eq!((counters.fsyncs.load(Relaxed), counters.records.load(Relaxed)), (2, 302));
    assert_eq!((counters.appends.load(Relaxed), counters.bytes.load(Relaxed) % 512), (103, 0));
}

#[test]
fn a_group_keeps_to_its_caps() {
    let (durable, reports) = mpsc::channel();
    let (gate, opened) = mpsc::sync_channel::<()>(0);
    let options = WriterOptions { group_appends_max: 4, ..WriterOptions::default() };
    let journal = open(&FaultyDisk::new(1)).unwrap().0;
    let on_durable = move |group: Durable| {
        durable.send(group.appends).unwrap();
        let _ = opened.recv();
    };
    let writer = Writer::spawn(journal, options, on_durable, no_error).unwrap();
    writer.append(append(1, 1)).unwrap();
    assert_eq!(reports.recv().unwrap(), 1);
    for first_seq in 2..=8 {
        writer.append(append(first_seq, 1)).unwrap();
    }
    // Below the bytes that fill a group, and the next would burst the block: it waits for the next.
    let large = |first_seq, count| {
        let records = vec![vec![0; RECORD_BYTES_MAX - 4]; count];
        Append { first_seq, records, ends_group: false }
    };
    writer.append(large(9, 4)).unwrap();
    drop(gate);
    assert!(writer.close().is_some());
    assert_eq!(reports.iter().collect::<Vec<_>>(), [4, 3, 1]);
}

#[test]
fn a_linger_waits_for_more() {
    let (durable, reports) = mpsc::channel();
    let linger = Duration::from_secs(3600);
    let options = WriterOptions { group_appends_max: 2, linger, ..WriterOptions::default() };
    let journal = open(&FaultyDisk::new(1)).unwrap().0;
    let on_durable = move |group: Durable| durable.send(group.appends).unwrap();
    let writer = Writer::spawn(journal, options, on_durable, no_error).unwrap();
    writer.append(append(1, 1)).unwrap();
    writer.append(append(2, 1)).unwrap();
    assert_eq!(reports.recv().unwrap(), 2);
    // Nobody is left to wait for, so the rest goes at once.
    writer.append(append(3, 1)).unwrap();
    assert!(writer.close().is_some());
    assert_eq!(reports.recv().unwrap(), 1);
}

#[test]
fn a_full_queue_gives_the_append_back() {
    let (gate, opened) = mpsc::sync_channel::<()>(0);
    let (entered, inside) = mpsc::channel();
    let options = WriterOptions { queue_appends_max: 1, ..WriterOptions::default() };
    let journal = open(&FaultyDisk::new(1)).unwrap().0;
    let on_durable = move |_| {
        entered.send(()).unwrap();
        let _ = opened.recv();
    };
    let writer = Writer::spawn(journal, options, on_durable, no_error).unwrap();
    writer.append(append(1, 1)).unwrap();
    inside.recv().unwrap();
    writer.try_append(append(2, 1)).unwrap();
    assert_eq!(writer.try_append(append(3, 1)), Err(AppendError::Full(append(3, 1))));
    drop(gate);
    assert_eq!(writer.close().unwrap().head().seq, 2);
}

#[test]
fn an_error_is_reported_once_and_stops_the_writer() {
    let disk = FaultyDisk::new(1);
    let journal = open(&disk).unwrap().0;
    disk.fail_at(1, Fault::Error(io::ErrorKind::Other)); // the sync behind the first write
    let (fatal, errors) = mpsc::channel();
    let (durable, reports) = mpsc::channel();
    let writer = Writer::spawn(
        journal,
        WriterOptions::default(),
        move |group| durable.send(group).unwrap(),
        move |error| fatal.send(error.to_string()).unwrap(),
    )
    .unwrap();
    writer.append(append(1, 1)).unwrap();
    assert!(errors.recv().unwrap().starts_with("cannot sync 00000000000000000001.log"));
    assert!(errors.recv().is_err(), "reported twice");
    assert!(reports.recv().is_err(), "something was called durable");
    while writer.append(append(2, 1)).is_ok() {}
    assert_eq!(writer.append(append(2, 1)), Err(AppendError::Stopped));
    assert!(writer.close().is_none());
}

#[test]
fn a_gap_in_the_numbers_is_fatal() {
    let (fatal, errors) = mpsc::channel();
    let journal = open(&FaultyDisk::new(1)).unwrap().0;
    let on_fatal = move |error| fatal.send(error).unwrap();
    let writer = Writer::spawn(journal, WriterOptions::default(), |_| (), on_fatal).unwrap();
    writer.append(append(2, 1)).unwrap();
    let error = errors.recv().unwrap();
    assert!(matches!(error, JournalError::OutOfStep { found: 2, expected: 1 }), "{error}");
}

// ---- snapshots

#[test]
fn the_last_two_snapshots_are_kept_and_say_what_the_journal_may_drop() {
    let snapshots = Snapshots::on(Arc::new(FaultyDisk::new(1)));
    assert!(snapshots.latest().unwrap().snapshot.is_none());
    for (seq, keep_from) in [(10, None), (20, Some(11)), (30, Some(21))] {
        snapshots.write(head(seq), &[seq as u8; 1000]).unwrap();
        assert_eq!(snapshots.keep_from().unwrap(), keep_from);
        let latest = snapshots.latest().unwrap().snapshot.unwrap();
        assert_eq!((latest.head, latest.bytes), (head(seq), vec![seq as u8; 1000]));
    }
}

/// Every byte of the newest: flipped, the one before is taken, and the operator hears of it.
#[test]
fn a_rotten_snapshot_is_passed_over() {
    let disk = FaultyDisk::new(1);
    let snapshots = Snapshots::on(Arc::new(disk.clone()));
    snapshots.write(head(10), b"ten").unwrap();
    snapshots.write(head(20), b"twenty").unwrap();
    let name = "snapshot-00000000000000000020";
    for at in 0..88 + 6 {
        let rotten = disk.copy();
        rotten.edit(name, |bytes| bytes[at] ^= 1);
        let latest = Snapshots::on(Arc::new(rotten)).latest().unwrap();
        assert_eq!(latest.snapshot.unwrap().bytes, b"ten", "byte {at}");
        assert_eq!(latest.skipped[0].file, name);
    }
    for end in 0..88 + 6 {
        let short = disk.copy();
        short.edit(name, |bytes| bytes.truncate(end));
        let latest = Snapshots::on(Arc::new(short)).latest().unwrap();
        assert_eq!(latest.snapshot.unwrap().bytes, b"ten", "{end} bytes");
    }
}

#[test]
fn a_crash_while_writing_a_snapshot_leaves_the_one_before() {
    for call in 0..10 {
        for seed in 0..20 {
            let disk = FaultyDisk::new(seed);
            let snapshots = Snapshots::on(Arc::new(disk.clone()));
            for seq in 1..=SNAPSHOTS_KEPT as u64 {
                snapshots.write(head(seq), &[seq as u8; 2000]).unwrap();
            }
            disk.fail_at(call, Fault::PowerOff);
            let written = snapshots.write(head(3), &[3; 2000]);
            disk.power_cycle();
            let latest = snapshots.latest().unwrap();
            let found = latest.snapshot.unwrap();
            assert!(latest.skipped.is_empty(), "{latest:?}", latest = latest.skipped);
            assert!(found.head == head(3) || (written.is_err() && found.head == head(2)));
            assert_eq!(found.bytes, [found.head.seq as u8; 2000]);
            snapshots.write(head(4), b"next").unwrap();
            assert_eq!(disk.list().unwrap().len(), SNAPSHOTS_KEPT, "leavings");
        }
    }
}

// ---- helpers

fn open(disk: &FaultyDisk) -> Result<(Journal, Opened), JournalError> {
    Journal::open_on(Arc::new(disk.clone()), SMALL)
}

/// Records 1 and 2 in a block each in one segment, record 3 in another.
fn two_segments() -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    let mut journal = open(&disk).unwrap().0;
    for seq in 1..=3 {
        journal.append(once(&[seq; 300])).unwrap();
        if seq == 2 {
            journal.rotate().unwrap();
        }
    }
    journal.sync().unwrap();
    disk
}

fn records(journal: &Journal, from: u64) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut expected = from;
    journal
        .replay(from, |seq, record| {
            assert_eq!(seq, expected);
            expected += 1;
            found.push(record.to_vec());
            Ok::<_, JournalError>(())
        })
        .unwrap();
    found
}

fn once(record: &[u8]) -> std::iter::Once<&[u8]> {
    std::iter::once(record)
}

fn append(first_seq: u64, count: u64) -> Append {
    let numbers: Range<u64> = first_seq..first_seq + count;
    let records = numbers.map(|seq| seq.to_le_bytes().to_vec()).collect();
    Append { first_seq, records, ends_group: false }
}

fn no_error(error: JournalError) {
    panic!("the writer died: {error}");
}

fn head(seq: u64) -> Head {
    Head { seq, hash: [seq as u8; 32] }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
