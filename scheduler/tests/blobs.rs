//! The blob store: caps, digests, torn packs, rotten bytes, unfinished uploads, many threads.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use quorate_common::digest::Digest;
use quorate_scheduler::blobs::{BlobError, Blobs, Opened, SMALL_BYTES_MAX};

const BLOB_MAX: u64 = 1 << 20;
const TOTAL_MAX: u64 = 64 << 20;

// ---- putting and reading

#[test]
fn every_size_comes_back_in_every_way_and_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = [0, 1, 100, SMALL_BYTES_MAX - 1, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1, 1 << 20];
    let put = {
        let blobs = open(dir.path()).blobs;
        sizes.map(|size| {
            let bytes = vec![size as u8; size];
            let digest = blobs.put_bytes(&bytes).unwrap();
            check(&blobs, &digest, &bytes);
            (digest, bytes)
        })
    };
    let opened = open(dir.path());
    assert_eq!((opened.count, opened.swept, opened.damage.len()), (7, 0, 0));
    assert_eq!(opened.blobs.total(), sizes.iter().sum::<usize>() as u64);
    for (digest, bytes) in put {
        check(&opened.blobs, &digest, &bytes);
    }
}

/// sha256("abc") by the standard; large blobs lie under its first two digits and the rest.
#[test]
fn names_are_sha256_and_paths_are_names() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).blobs;
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(blobs.put_bytes(b"abc").unwrap().to_string(), abc);
    let hex = blobs.put_bytes(&[7; 5000]).unwrap().to_string();
    assert_eq!(fs::read(dir.path().join(&hex[..2]).join(&hex[2..])).unwrap(), [7; 5000]);
}

#[test]
fn pieces_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).blobs;
    let piece = prop::collection::vec(any::<u8>(), 0..3000);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(100));
    let run = runner.run(&prop::collection::vec(piece, 0..6), |pieces| {
        let mut upload = blobs.begin();
        for piece in &pieces {
            upload.write(piece).unwrap();
        }
        let whole = pieces.concat();
        prop_assert_eq!(upload.bytes(), whole.len() as u64);
        let digest = upload.finish(Some(Digest::of(&whole))).unwrap();
        check(&blobs, &digest, &whole);
        Ok(())
    });
    run.unwrap();
}

#[test]
fn a_blob_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).blobs;
    for bytes in [vec![1; 100], vec![1; 10_000]] {
        for _ in 0..3 {
            blobs.put_bytes(&bytes).unwrap();
        }
    }
    blobs.put_small(&[1; 100]).unwrap();
    blobs.sync_small().unwrap();
    assert_eq!(blobs.total(), 10_100);
    drop(blobs);
    let opened = open(dir.path());
    assert_eq!((opened.count, opened.blobs.total()), (2, 10_100));
}

#[test]
fn what_is_not_there_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).blobs;
    let digest = Digest::of(b"never put");
    assert!(!blobs.has(&digest) && blobs.len(&digest).is_none());
    let missing = blobs.read(&digest, 10).unwrap_err();
    assert_eq!(missing.to_string(), format!("{digest} is not here; upload it first"));
}

#[test]
fn a_reader_says_how_much_it_wants_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).blobs;
    for bytes in [vec![1; 100], vec![1; 10_000]] {
        let digest = blobs.put_bytes(&bytes).unwrap();
        let max = bytes.len() as u64 - 1;
        let refused = blobs.read(&digest, max).unwrap_err();
        assert!(matches!(refused, BlobError::OverMax { max: m, .. } if m == max), "{refused}");
    }
}

// ---- refusals

#[test]
fn the_wrong_bytes_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).blobs;
    for size in [10, 10_000] {
        let mut upload = blobs.begin();
        upload.write(&vec![1; size]).unwrap();
        let expected = Digest::of(b"something else");
        let refused = upload.finish(Some(expected)).unwrap_err();
        let found = Digest::of(&vec![1; size]);
        assert_eq!(
            refused.to_string(),
            format!("its bytes have sha256 {found}, expected {expected}; send it again")
        );
        assert!(!blobs.has(&found) && !blobs.has(&expected));
    }
    assert_eq!((blobs.total(), unfinished(dir.path())), (0, 0));
}

#[test]
fn a_blob_over_the_cap_is_refused_at_the_byte_that_passes_it() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path(), 6000, TOTAL_MAX).unwrap().blobs;
    let mut upload = blobs.begin();
    upload.write(&[0; 6000]).unwrap();
    let refused = upload.write(&[0]).unwrap_err();
    assert!(matches!(refused, BlobError::TooLarge { limit: 6000 }), "{refused}");
    drop(upload);
    assert_eq!((blobs.total(), unfinished(dir.path())), (0, 0));
    assert!(matches!(blobs.put_small(&[0; 4097]), Err(BlobError::TooLarge { limit: 4096 })));
}

#[test]
fn a_full_store_refuses_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path(), BLOB_MAX, 20_000).unwrap().blobs;
    let first = blobs.put_bytes(&[1; 12_000]).unwrap();
    // Uploads on their way count, so that two cannot both take the last bytes.
    let mut upload = blobs.begin();
    upload.write(&[2; 5000]).unwrap();
    let refused = blobs.put_small(&[3; 3001]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "it needs 3001 bytes, expected at most 3000 of 20000 left; try another pool, or ask the \
         operator for room"
    );
    assert!(matches!(upload.write(&[2; 3001]), Err(BlobError::Full { total: 17_000, .. })));
    drop(upload);
    assert_eq!(blobs.total(), 12_000);
    // What is there already needs no room.
    assert_eq!(blobs.put_bytes(&[4; 4000]).unwrap(), Digest::of(&[4; 4000]));
    assert_eq!(blobs.put_small(&[4; 4000]).unwrap(), Digest::of(&[4; 4000]));
    blobs.put_small(&[5; 4000]).unwrap();
    blobs.sync_small().unwrap();
    assert!(matches!(blobs.put_small(b"x"), Err(BlobError::Full { wanted: 1, .. })));
    check(&blobs, &first, &[1; 12_000]);
}

#[test]
fn two_schedulers_never_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let refused = Blobs::open(dir.path(), BLOB_MAX, TOTAL_MAX).unwrap_err();
    assert!(matches!(refused, BlobError::Locked { .. }), "{refused}");
    drop(first);
    open(dir.path());
}

// ---- crashes and rot

#[test]
fn unfinished_uploads_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let mut upload = open(dir.path()).blobs.begin();
    upload.write(&[1; 5000]).unwrap();
    assert_eq!(unfinished(dir.path()), 1);
    drop(upload);
    assert_eq!(unfinished(dir.path()), 0);
    fs::write(dir.path().join("tmp").join("77"), "left by a crash").unwrap();
    let opened = open(dir.path());
    assert_eq!((opened.swept, opened.count, opened.blobs.total()), (1, 0, 0));
    assert_eq!(unfinished(dir.path()), 0);
    opened.blobs.put_bytes(&[1; 5000]).unwrap();
}

/// Every length a torn write can leave the last pack with.
#[test]
fn a_torn_pack_loses_its_last_entry_only() {
    let dir = tempfile::tempdir().unwrap();
    let (pack, bytes, entries) = three_entries(dir.path());
    for end in 0..bytes.len() {
        fs::write(&pack, &bytes[..end]).unwrap();
        let opened = open(dir.path());
        let whole = entries.iter().filter(|entry| entry.end <= end).count();
        assert_eq!(opened.count, whole as u64, "{end}");
        for entry in &entries[..whole] {
            check(&opened.blobs, &entry.digest, &entry.bytes);
        }
        let start = whole.checked_sub(1).map_or(0, |last| entries[last].end);
        let torn: Vec<_> = opened.damage.iter().map(|d| (d.offset, d.bytes, d.torn)).collect();
        let expected = (start < end).then_some((start as u64, (end - start) as u64, true));
        assert_eq!(torn, Vec::from_iter(expected), "{end}");
        // What was cut is cut for good, and what comes next is found again.
        opened.blobs.put_bytes(b"next").unwrap();
        drop(opened);
        let opened = open(dir.path());
        assert_eq!((opened.count, opened.damage.len()), (whole as u64 + 1, 0), "{end}");
    }
}

/// Every byte of a pack: flipped, it costs the entry it is in, and no other.
#[test]
fn rot_in_a_pack_costs_one_entry() {
    let dir = tempfile::tempdir().unwrap();
    let (pack, bytes, entries) = three_entries(dir.path());
    for at in 0..bytes.len() {
        let mut rotten = bytes.clone();
        rotten[at] ^= 0x20;
        fs::write(&pack, rotten).unwrap();
        let opened = open(dir.path());
        assert_eq!((opened.count, opened.damage.len()), (2, 1), "byte {at}");
        for entry in &entries {
            if entry.end - entry.bytes.len() - 44 <= at && at < entry.end {
                assert!(!opened.blobs.has(&entry.digest), "byte {at}");
            } else {
                check(&opened.blobs, &entry.digest, &entry.bytes);
            }
        }
    }
}

/// A blob may contain what looks like an entry. It is found, if at all, under its true digest.
#[test]
fn an_entry_inside_an_entry_is_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let (pack, bytes, entries) = three_entries(dir.path());
    let outer = {
        let blobs = open(dir.path()).blobs;
        fs::write(&pack, b"").unwrap(); // only what follows counts
        drop(blobs);
        let blobs = open(dir.path()).blobs;
        blobs.put_bytes(&bytes).unwrap()
    };
    check(&open(dir.path()).blobs, &outer, &bytes);
    assert_eq!(open(dir.path()).count, 1);
    let mut rotten = fs::read(&pack).unwrap();
    rotten[0] ^= 1; // the outer entry is gone, so reading goes on inside it
    fs::write(&pack, rotten).unwrap();
    let opened = open(dir.path());
    assert_eq!(opened.count, 3);
    assert!(!opened.blobs.has(&outer));
    for entry in &entries {
        check(&opened.blobs, &entry.digest, &entry.bytes);
    }
}

#[test]
fn a_rotten_blob_is_never_handed_out_and_heals_when_put_again() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).blobs;
    for size in [100, 10_000] {
        let bytes = vec![9; size];
        let digest = blobs.put_bytes(&bytes).unwrap();
        let hex = digest.to_string();
        let file = match size {
            100 => pack(dir.path()),
            _ => dir.path().join(&hex[..2]).join(&hex[2..]),
        };
        for harm in 0..2 {
            let mut rotten = fs::read(&file).unwrap();
            match harm {
                0 => *rotten.last_mut().unwrap() ^= 1,
                _ => rotten.truncate(size / 2),
            }
            fs::write(&file, rotten).unwrap();
            let refused = blobs.read(&digest, TOTAL_MAX).unwrap_err();
            assert!(matches!(refused, BlobError::Damaged { .. }), "{size} {harm}: {refused}");
            assert_eq!(blobs.put_bytes(&bytes).unwrap(), digest);
            check(&blobs, &digest, &bytes);
        }
    }
}

/// A stream that has begun cannot take bytes back, so the last ones are what it withholds.
#[test]
fn a_stream_of_a_rotten_blob_ends_in_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).blobs;
    let hex = blobs.put_bytes(&[9; 10_000]).unwrap().to_string();
    let file = dir.path().join(&hex[..2]).join(&hex[2..]);
    fs::write(&file, [8; 10_000]).unwrap();
    let mut reader = blobs.reader(&hex.parse().unwrap()).unwrap();
    let mut buffer = [0; 6000];
    assert_eq!(reader.read(&mut buffer).unwrap(), 6000);
    let error = reader.read(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}

// ---- many small ones

#[test]
fn packs_fill_up_and_all_of_them_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).blobs;
    let blob = |n: u64| n.to_le_bytes().repeat(500);
    let count = 11_000; // of 4,000 bytes: two packs of 16 MiB and a bit
    for n in 0..count {
        blobs.put_small(&blob(n)).unwrap();
        if n.is_multiple_of(1000) {
            blobs.sync_small().unwrap();
        }
    }
    let every_seventh = |blobs: &Blobs| {
        for n in (0..count).step_by(7) {
            check(blobs, &Digest::of(&blob(n)), &blob(n));
        }
    };
    every_seventh(&blobs); // written ones, and some that wait
    blobs.sync_small().unwrap();
    drop(blobs);
    let opened = open(dir.path());
    assert_eq!((opened.count, opened.damage.len()), (count, 0));
    assert_eq!(fs::read_dir(dir.path().join("pack")).unwrap().count(), 3);
    every_seventh(&opened.blobs);
}

#[test]
fn threads_put_sync_and_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).blobs;
    let blob = |thread: usize, n: usize| format!("{} {n}", thread / 2).repeat(1 + n % 50);
    thread::scope(|scope| {
        for thread in 0..6 {
            let blobs = &blobs;
            scope.spawn(move || {
                for n in 0..200 {
                    let bytes = blob(thread, n);
                    let digest = blobs.put_small(bytes.as_bytes()).unwrap();
                    assert_eq!(blobs.read(&digest, 4096).unwrap(), bytes.as_bytes());
                    if n.is_multiple_of(20) {
                        blobs.sync_small().unwrap();
                        blobs.put_bytes(&bytes.repeat(200).into_bytes()).unwrap();
                    }
                }
                blobs.sync_small().unwrap();
            });
        }
    });
    let mut expected = BTreeMap::new();
    for (thread, n) in (0..6).flat_map(|thread| (0..200).map(move |n| (thread, n))) {
        let small = blob(thread, n).into_bytes();
        if n.is_multiple_of(20) {
            let large = small.repeat(200);
            expected.insert(Digest::of(&large), large);
        }
        expected.insert(Digest::of(&small), small);
    }
    let total: usize = expected.values().map(Vec::len).sum();
    assert_eq!(blobs.total(), total as u64);
    drop(blobs);
    let opened = open(dir.path());
    assert_eq!((opened.count, opened.blobs.total()), (expected.len() as u64, total as u64));
    for (digest, bytes) in &expected {
        check(&opened.blobs, digest, bytes);
    }
}

// ---- helpers

fn open(dir: &Path) -> Opened {
    Blobs::open(dir, BLOB_MAX, TOTAL_MAX).unwrap()
}

/// The one place that knows every way to ask for a blob.
#[track_caller]
fn check(blobs: &Blobs, digest: &Digest, bytes: &[u8]) {
    assert_eq!(*digest, Digest::of(bytes));
    assert!(blobs.has(digest));
    assert_eq!(blobs.len(digest), Some(bytes.len() as u64));
    assert!(blobs.read(digest, bytes.len() as u64).unwrap() == bytes);
    let mut streamed = Vec::new();
    let mut reader = blobs.reader(digest).unwrap();
    assert_eq!(reader.len(), bytes.len() as u64);
    reader.read_to_end(&mut streamed).unwrap();
    assert!(streamed == bytes);
}

struct Entry {
    digest: Digest,
    bytes: Vec<u8>,
    /// Where it ends in the pack.
    end: usize,
}

/// A store with three small blobs in one pack, closed: the pack, its bytes, and what is in it.
fn three_entries(dir: &Path) -> (PathBuf, Vec<u8>, Vec<Entry>) {
    let blobs = open(dir).blobs;
    let mut end = 0;
    let entries = [&b"the first"[..], b"", b"QJP1 and the third"].map(|bytes| {
        let digest = blobs.put_bytes(bytes).unwrap();
        end += 44 + bytes.len();
        Entry { digest, bytes: bytes.to_vec(), end }
    });
    let pack = pack(dir);
    let bytes = fs::read(&pack).unwrap();
    assert_eq!(bytes.len(), end);
    (pack, bytes, Vec::from(entries))
}

fn pack(dir: &Path) -> PathBuf {
    dir.join("pack").join("0000000001.pack")
}

fn unfinished(dir: &Path) -> usize {
    fs::read_dir(dir.join("tmp")).unwrap().count()
}
