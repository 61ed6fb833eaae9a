//! The store against folders that are missing, behind, ahead, cut short, or full of garbage.
//!
//! What is tested is one promise: open, apply what the journal has beyond `applied_seq`, and the
//! content is what the journal implies, whatever happened to sled's files.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use quorate_scheduler::store::writer::{Change, StoreWriter};
use quorate_scheduler::store::{
    KEY_BYTES_MAX, Keyspace, Op, Opened, Reason, Span, Store, StoreError, VALUE_BYTES_MAX,
};

const TASKS: Keyspace = Keyspace::new("task");
const TASKS_BY_OWNER: Keyspace = Keyspace::new("task-by-owner");

#[test]
fn keyspaces_do_not_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 0).store;
    let ops = [put(TASKS, b"a", b"1"), put(TASKS_BY_OWNER, b"a", b"2"), put(TASKS, b"", b"3")];
    store.apply(1, &ops).unwrap();
    assert_eq!(store.get(TASKS, b"a").unwrap().unwrap(), b"1");
    assert_eq!(store.get(TASKS_BY_OWNER, b"a").unwrap().unwrap(), b"2");
    assert_eq!(store.get(TASKS, b"-by-owner\0a").unwrap(), None);
    let pairs = |keyspace| store.scan_prefix(keyspace, b"", None, 10).unwrap();
    assert_eq!(pairs(TASKS), [pair(b"", b"3"), pair(b"a", b"1")]);
    assert_eq!(pairs(TASKS_BY_OWNER), [pair(b"a", b"2")]);
}

#[test]
fn a_scan_goes_on_behind_a_key_and_ends_with_its_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 0).store;
    let keys = ["a1", "a2", "a3", "a4", "b1"];
    let ops: Vec<Op> = keys.iter().map(|key| put(TASKS, key.as_bytes(), b"")).collect();
    store.apply(1, &ops).unwrap();
    let scan = |prefix: &[u8], after: Option<&[u8]>, limit| -> Vec<String> {
        let found = store.scan_prefix(TASKS, prefix, after, limit).unwrap();
        found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    };
    assert_eq!(scan(b"a", None, 3), ["a1", "a2", "a3"]);
    assert_eq!(scan(b"a", Some(b"a3"), 3), ["a4"]);
    assert_eq!(scan(b"a", Some(b"a25"), 1), ["a3"]);
    assert_eq!(scan(b"b", Some(b"a1"), 3), ["b1"]);
    assert!(scan(b"c", None, 3).is_empty());
}

#[test]
fn in_a_batch_the_last_change_of_a_key_counts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 0).store;
    let gone = Op::Delete { keyspace: TASKS, key: b"gone".to_vec() };
    let ops = [put(TASKS, b"gone", b"x"), gone, put(TASKS, b"k", b"1"), put(TASKS, b"k", b"2")];
    store.apply(1, &ops).unwrap();
    assert_eq!(store.get(TASKS, b"gone").unwrap(), None);
    assert_eq!(store.get(TASKS, b"k").unwrap().unwrap(), b"2");
}

#[test]
fn what_is_too_large_or_too_late_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 0).store;
    store.apply(5, &[put(TASKS, b"k", &[7; VALUE_BYTES_MAX])]).unwrap();
    let refusals = [
        (6, put(TASKS, b"k", &[0; VALUE_BYTES_MAX + 1])),
        (6, put(TASKS, &[0; KEY_BYTES_MAX + 1], b"")),
        (4, put(TASKS, b"k", b"older")),
    ];
    let expected = [
        "a value in task has 65537 bytes, expected at most 65536; put it in a blob",
        "a key in task has 257 bytes, expected at most 256",
        "changes of record 4 come after those of 5; this is a fault of ours",
    ];
    for ((seq, op), expected) in refusals.into_iter().zip(expected) {
        let refused = store.apply(seq, &[put(TASKS, b"other", b""), op]).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
    assert_eq!(store.applied_seq().unwrap(), 5);
    assert_eq!(store.get(TASKS, b"k").unwrap().unwrap(), [7; VALUE_BYTES_MAX]);
    assert_eq!(store.get(TASKS, b"other").unwrap(), None);
}

// ---- starts

#[test]
fn a_first_start_is_no_rebuild_and_a_restart_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), 0);
    assert!(first.rebuild.is_none() && first.applied_seq == 0);
    catch_up(&first, 100);
    drop(first);
    let again = open(dir.path(), 120);
    assert!(again.rebuild.is_none(), "{:?}", again.rebuild);
    assert_eq!(again.applied_seq, 100);
    catch_up(&again, 120);
    assert_eq!(content(&again.store), truth(120));
}

#[test]
fn a_store_opened_again_at_once_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    catch_up(&open(dir.path(), 1), 1);
    for round in 1..300 {
        let opened = open(dir.path(), round);
        assert!(opened.rebuild.is_none(), "round {round}: {:?}", opened.rebuild);
        assert_eq!(opened.applied_seq, round);
        catch_up(&opened, round + 1);
    }
}

/// Without the wait the store would be set aside at once.
#[test]
fn a_store_whose_last_holder_is_not_gone_yet_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    catch_up(&open(dir.path(), 5), 5);
    let files = fs::File::open(dir.path().join("sled/db")).unwrap();
    files.lock().unwrap();
    let (done, opened) = mpsc::channel();
    let path = dir.path().to_owned();
    std::thread::spawn(move || done.send(open(&path, 5)).unwrap());
    let early = opened.recv_timeout(Duration::from_millis(300));
    assert!(early.is_err(), "it did not wait: {:?}", early.unwrap().rebuild);
    files.unlock().unwrap();
    let opened = opened.recv().unwrap();
    assert!(opened.rebuild.is_none(), "{:?}", opened.rebuild);
    assert_eq!(opened.applied_seq, 5);
}

#[test]
fn a_killed_process_leaves_a_store_that_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(&dir.path().join("live"), 0);
    let mut most = 0;
    for head in (0..2000).step_by(100) {
        catch_up(&opened, head);
        // What a kill at this moment leaves: files without the rest of the process.
        let killed = dir.path().join(format!("killed-{head}"));
        copy(&dir.path().join("live"), &killed);
        let again = open(&killed, head);
        let survived = again.applied_seq;
        most = most.max(survived);
        assert_eq!(content(&again.store), truth(survived), "at {head}, {:?}", again.rebuild);
        catch_up(&again, head);
        assert_eq!(content(&again.store), truth(head));
    }
    assert!(most > 0, "nothing ever survived a kill");
}

#[test]
fn a_store_that_cannot_be_built_upon_is_set_aside() {
    type Case = (&'static str, fn(&Path), Span, Reason);
    let cases: [Case; 7] = [
        (
            "missing",
            |dir| fs::remove_dir_all(dir.join("sled")).unwrap(),
            span(1, 100),
            Reason::Missing,
        ),
        ("ahead", |_| (), span(1, 99), Reason::Ahead { applied_seq: 100, head_seq: 99 }),
        ("behind", |_| (), span(102, 200), Reason::Behind { applied_seq: 100, first_seq: 102 }),
        (
            "died while opening",
            |dir| fs::write(dir.join("standing"), "opening\n").unwrap(),
            span(1, 100),
            Reason::DiedOpening,
        ),
        (
            "panicked",
            |dir| fs::write(dir.join("standing"), "suspect a page\n").unwrap(),
            span(1, 100),
            Reason::Suspect("a page".to_owned()),
        ),
        (
            "power cut",
            |dir| fs::write(dir.join("standing"), "open another-boot\n").unwrap(),
            span(1, 100),
            Reason::PowerCut,
        ),
        (
            "put there by somebody",
            |dir| fs::remove_file(dir.join("standing")).unwrap(),
            span(1, 100),
            Reason::Unknown,
        ),
    ];
    for (name, harm, span, reason) in cases {
        let dir = tempfile::tempdir().unwrap();
        catch_up(&open(dir.path(), 0), 100);
        harm(dir.path());
        let opened = Store::open(dir.path(), span).unwrap();
        let rebuild = opened.rebuild.as_ref().unwrap();
        assert_eq!(rebuild.reason, reason, "{name}");
        assert_eq!(rebuild.moved_to.is_some(), reason != Reason::Missing, "{name}");
        assert_eq!((opened.applied_seq, content(&opened.store).len()), (0, 0), "{name}");
        catch_up(&opened, 100);
        drop(opened);
        let again = open(dir.path(), 100);
        assert!(again.rebuild.is_none(), "{name}: {:?}", again.rebuild);
        assert_eq!(content(&again.store), truth(100), "{name}");
    }
}

#[test]
fn two_bad_stores_are_kept_for_an_inquest() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        catch_up(&open(dir.path(), 100), 100);
        fs::remove_file(dir.path().join("standing")).unwrap();
    }
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut bad: Vec<_> = names.filter(|name| name.to_string_lossy().contains("bad")).collect();
    bad.sort();
    assert_eq!(bad, ["sled.bad-3", "sled.bad-4"]);
}

/// Every kind of harm to every file of sled's, of a store that was closed and of one that was not.
/// sled's panics stay on a thread of ours here, since tests unwind.
#[test]
fn garbage_in_sleds_files_costs_a_rebuild_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let [live, killed, closed] = ["live", "killed", "closed"].map(|name| dir.path().join(name));
    // Several lives leave a log that was recovered, snapshotted and overwritten in places.
    for head in [300, 600] {
        catch_up(&open(&live, 600), head);
    }
    let opened = open(&live, 1000);
    catch_up(&opened, 1000);
    copy(&live, &killed);
    drop(opened);
    fs::rename(&live, &closed).unwrap();
    let (mut cases, mut rebuilt) = (0, 0);
    for (good, every) in [(&killed, 2), (&closed, 1)] {
        for file in files(&good.join("sled")) {
            for harm in (0..HARMS).step_by(every) {
                let bad = dir.path().join("bad");
                copy(good, &bad);
                do_harm(&bad.join(file.strip_prefix(good).unwrap()), harm);
                let opened = open(&bad, 1000);
                let what = format!("{} harm {harm}: {:?}", file.display(), opened.rebuild);
                catch_up(&opened, 1000);
                assert_eq!(content(&opened.store), truth(1000), "{what}");
                rebuilt += u32::from(opened.rebuild.is_some());
                cases += 1;
                drop(opened);
                fs::remove_dir_all(&bad).unwrap();
            }
        }
    }
    assert!(cases > 40 && rebuilt > cases / 4, "{rebuilt} of {cases} were noticed");
}

// ---- the writer

#[test]
fn the_writer_applies_everything_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path(), 0).store);
    let writer = StoreWriter::spawn(Arc::clone(&store), |error| panic!("{error}")).unwrap();
    for seq in 1..=5000 {
        writer.apply(Change { seq, ops: ops_of(seq) }).unwrap();
    }
    let counters = writer.counters();
    writer.close();
    assert_eq!(content(&store), truth(5000));
    assert_eq!(counters.applied_seq.load(Relaxed), 5000);
    assert_eq!(
        counters.ops.load(Relaxed),
        (1..=5000).map(|seq| ops_of(seq).len() as u64).sum::<u64>()
    );
    assert!(counters.batches.load(Relaxed) < 5000, "nothing was gathered");
}

#[test]
fn the_writer_reports_an_error_once_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path(), 0).store);
    store.apply(10, &[]).unwrap();
    let (fatal, errors) = mpsc::channel();
    let writer = StoreWriter::spawn(store, move |error| fatal.send(error).unwrap()).unwrap();
    writer.apply(Change { seq: 9, ops: Vec::new() }).unwrap();
    assert!(matches!(errors.recv().unwrap(), StoreError::OutOfOrder { seq: 9, applied_seq: 10 }));
    while writer.apply(Change { seq: 11, ops: Vec::new() }).is_ok() {}
    assert!(errors.recv().is_err(), "reported twice");
}

// ---- helpers

fn open(dir: &Path, head_seq: u64) -> Opened {
    Store::open(dir, span(1, head_seq)).unwrap()
}

const fn span(first_seq: u64, head_seq: u64) -> Span {
    Span { first_seq, head_seq }
}

/// What record `seq` changes: a put, an overwrite, and now and then a deletion or a large value.
fn ops_of(seq: u64) -> Vec<Op> {
    let key = (seq % 700).to_be_bytes();
    let value = seq.to_be_bytes().repeat(if seq.is_multiple_of(97) { 900 } else { 5 });
    let mut ops = vec![put(TASKS, &key, &value), put(TASKS_BY_OWNER, &seq.to_be_bytes(), b"")];
    if seq.is_multiple_of(3) {
        let key = (seq / 3).to_be_bytes().to_vec();
        ops.push(Op::Delete { keyspace: TASKS_BY_OWNER, key });
    }
    ops
}

/// What the caller does after opening: applies what the store does not reflect yet.
fn catch_up(opened: &Opened, head: u64) {
    let mut next = opened.store.applied_seq().unwrap() + 1;
    while next <= head {
        let last = head.min(next + 9);
        let ops: Vec<Op> = (next..=last).flat_map(ops_of).collect();
        opened.store.apply(last, &ops).unwrap();
        next = last + 1;
    }
}

type Content = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

fn content(store: &Store) -> Content {
    let mut content = Content::new();
    for (name, keyspace) in [("task", TASKS), ("task-by-owner", TASKS_BY_OWNER)] {
        for (key, value) in store.scan_prefix(keyspace, b"", None, usize::MAX).unwrap() {
            content.insert((name, key), value);
        }
    }
    content
}

/// The content after the records up to `head`, without a store.
fn truth(head: u64) -> Content {
    let mut content = Content::new();
    let name = |keyspace| if keyspace == TASKS { "task" } else { "task-by-owner" };
    for op in (1..=head).flat_map(ops_of) {
        match op {
            Op::Put { keyspace, key, value } => content.insert((name(keyspace), key), value),
            Op::Delete { keyspace, key } => content.remove(&(name(keyspace), key)),
        };
    }
    content
}

const HARMS: u64 = 12;

/// Ruins a file in one of [`HARMS`] ways.
fn do_harm(file: &Path, harm: u64) {
    let mut bytes = fs::read(file).unwrap();
    let end = bytes.len();
    match harm {
        0 => bytes.clear(),
        1 => bytes.truncate(end / 2),
        2 => bytes.truncate(end.saturating_sub(1)),
        3 => bytes.fill(0),
        4 => bytes.fill(0xff),
        5 => bytes.extend([0xab; 5000]),
        6 => bytes[end / 2..].fill(0),
        7 => return fs::remove_file(file).unwrap(),
        _ => {
            // Some bytes here and there; the seed is the harm.
            let mut at = harm;
            for _ in 0..1 + end / 100_000 {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if end > 0 {
                    bytes[(at >> 33) as usize % end] ^= 0x41;
                }
            }
        }
    }
    fs::write(file, bytes).unwrap();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

fn put(keyspace: Keyspace, key: &[u8], value: &[u8]) -> Op {
    Op::Put { keyspace, key: key.to_vec(), value: value.to_vec() }
}

fn pair(key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}
