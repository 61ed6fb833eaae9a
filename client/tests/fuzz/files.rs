//! What is read back from a disk that somebody may have damaged: records, state, segments, snapshots,
//! packs of blobs.

use super::{
    harness::{Said, fuzz, said},
    samples,
};
use quorate_common::wire::{decode, to_bytes};
use quorate_grid::{Durable, Record, audit::Books, evidence::Seal};
use quorate_scheduler::{
    blobs::Blobs,
    journal::{Journal, JournalError, Options, snapshot::Snapshots},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn a_record() {
    fuzz("record", &samples::records(), |bytes| {
        let Ok(record) = decode::<Record>(bytes) else { return Said::Refused };
        assert_eq!(decode::<Record>(&to_bytes(&record)).unwrap(), record);
        Said::Taken
    });
}

#[test]
fn a_state() {
    fuzz("state", &[samples::durable()], |bytes| {
        let Ok(state) = decode::<Durable>(bytes) else { return Said::Refused };
        let again = to_bytes(&state);
        assert_eq!(to_bytes(&decode::<Durable>(&again).unwrap()), again);
        Said::Taken
    });
}

#[test]
fn signatures_and_books() {
    let books = Books::new(quorate_common::ids::PoolId(1));
    fuzz("books", &[to_bytes(&books)], |bytes| {
        let seal = decode::<Seal>(bytes).is_ok();
        said(decode::<Books>(bytes).is_ok() || seal)
    });
}

/// The only file below a folder whose name has this in it.
fn file(dir: &Path, name: &str) -> PathBuf {
    let mut found = files(dir);
    found.retain(|path| path.file_name().unwrap().to_str().unwrap().contains(name));
    assert_eq!(found.len(), 1, "{name} in {}: {found:?}", dir.display());
    found.remove(0)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn written(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(end.next_multiple_of(4096));
    bytes
}

const SEGMENT: Options = Options { segment_bytes: 1 << 20 };

#[test]
fn a_segment_of_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let records: Vec<Vec<u8>> = samples::records();
    let (mut journal, _) = Journal::open(dir.path(), SEGMENT).unwrap();
    for record in &records {
        journal.append(std::iter::once(record.as_slice())).unwrap();
    }
    journal.sync().unwrap();
    drop(journal);
    let path = file(dir.path(), ".log");
    fuzz("segment", &[written(&path)], |bytes| {
        fs::write(&path, bytes).unwrap();
        let Ok((journal, _)) = Journal::open(dir.path(), SEGMENT) else { return Said::Refused };
        let mut at = 0;
        let read = journal.replay(journal.first_seq(), |_, bytes| {
            // Checksums and hashes: what comes back is a record that was written, or nothing.
            assert_eq!(bytes, records[at]);
            at += 1;
            Ok::<_, JournalError>(())
        });
        said(read.is_ok())
    });
}

#[test]
fn a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(&dir.path().join("journal"), SEGMENT).unwrap();
    journal.append(std::iter::once(b"a record".as_slice())).unwrap();
    journal.sync().unwrap();
    let folder = dir.path().join("snapshots");
    let snapshots = Snapshots::open(&folder).unwrap();
    let state = samples::durable();
    snapshots.write(journal.head(), &state).unwrap();
    let path = file(&folder, "0000");
    fuzz("snapshot", &[fs::read(&path).unwrap()], |bytes| {
        fs::write(&path, bytes).unwrap();
        let Ok(latest) = snapshots.latest() else { return Said::Refused };
        assert!(latest.snapshot.as_ref().is_none_or(|snapshot| snapshot.bytes == state));
        said(latest.snapshot.is_some())
    });
}

#[test]
fn a_pack_of_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Blobs::open(dir.path(), 1 << 20, 1 << 24);
    let blobs = open().unwrap().blobs;
    let text = [b"a small result".to_vec(), b"another".to_vec(), vec![7; 300]];
    let digests: Vec<_> = text.iter().map(|blob| blobs.put_small(blob).unwrap()).collect();
    blobs.sync_small().unwrap();
    drop(blobs);
    let path = file(dir.path(), ".pack");
    fuzz("pack", &[fs::read(&path).unwrap()], |bytes| {
        fs::write(&path, bytes).unwrap();
        let Ok(opened) = open() else { return Said::Refused };
        for (digest, text) in digests.iter().zip(&text) {
            if let Ok(read) = opened.blobs.read(digest, 1 << 20) {
                assert_eq!(read, *text, "a blob is what its name says, or it is not there");
            }
        }
        Said::Taken
    });
}
