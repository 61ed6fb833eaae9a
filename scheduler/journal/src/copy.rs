//! A journal read and copied by who does not own it: for backups, while its scheduler writes on. Claims
//! nothing, changes nothing, and takes only what is whole: blocks before the end that this look found.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use crate::disk::{Disk, RealDisk, sync_dir};
use crate::recovery::read_header;
use crate::segment::{self, Found, Walk, damaged, segment_name};
use crate::{Head, JournalError};

/// What a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The first record in it.
    pub first_seq: u64,
    /// Its last record.
    pub head: Head,
}

/// Copies the journal in `from`, snapshots included, into the empty folder `into`, durable on return.
///
/// Snapshots go first: each must find its record in the segments copied after it. A segment that is
/// pruned meanwhile is an error, after which the copy is to be made anew.
///
/// # Errors
/// What the disks say, and damage.
pub fn copy(from: &Path, into: &Path) -> Result<Copied, JournalError> {
    let disk = open(from)?;
    for name in names(&disk)?.iter().filter(|name| is_snapshot(name)) {
        copy_bytes(&from.join(name), &into.join(name), u64::MAX)
            .map_err(|error| JournalError::io("copy", name, error))?;
    }
    let segments = segments(&disk)?;
    let mut before = None;
    for first_seq in &segments {
        let name = segment_name(*first_seq);
        let (head, end) = whole_part(&disk, &name, before, &mut |_, _| Ok::<_, JournalError>(()))?;
        copy_bytes(&from.join(&name), &into.join(&name), end)
            .map_err(|error| JournalError::io("copy", &name, error))?;
        before = Some(head);
    }
    sync_dir(into).map_err(|error| JournalError::io("sync", "the copy", error))?;
    let head = before.unwrap_or(Head::GENESIS);
    Ok(Copied { first_seq: segments.first().copied().unwrap_or(1), head })
}

/// Checks every segment in `dir`, the last included, and hands each record from `from_seq` on to `visit`.
/// For a journal at rest: nothing may stand behind the last whole block.
///
/// # Errors
/// The first error of `visit`, or what a start would say.
pub fn read<E: From<JournalError>>(
    dir: &Path,
    from_seq: u64,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<Copied, E> {
    let disk = open(dir)?;
    let segments = segments(&disk)?;
    let mut before = None;
    for first_seq in &segments {
        let name = segment_name(*first_seq);
        let mut chosen = |seq: u64, record: &[u8]| {
            if seq >= from_seq { visit(seq, record) } else { Ok(()) }
        };
        let (head, end) = whole_part(&disk, &name, before, &mut chosen)?;
        nothing_behind(&disk, &name, end)?;
        before = Some(head);
    }
    let head = before.unwrap_or(Head::GENESIS);
    Ok(Copied { first_seq: segments.first().copied().unwrap_or(1), head })
}

/// Where the whole blocks of a segment end, and the head there.
fn whole_part<E: From<JournalError>>(
    disk: &RealDisk,
    name: &str,
    before: Option<Head>,
    visit: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(Head, u64), E> {
    let file = disk.open(name).map_err(|error| JournalError::io("open", name, error))?;
    let header = read_header(name, &*file, before)?;
    let mut walk = Walk::new(name, &*file, header, true)?;
    while let Found::Block(block) = walk.advance()? {
        block.records().try_for_each(|(seq, record)| visit(seq, record))?;
    }
    Ok((walk.head, walk.offset))
}

fn nothing_behind(disk: &RealDisk, name: &str, end: u64) -> Result<(), JournalError> {
    let file = disk.open(name).map_err(|error| JournalError::io("open", name, error))?;
    let bytes = file.bytes().map_err(|error| JournalError::io("measure", name, error))?;
    let header = segment::SegmentHeader::read(name, &*file)?;
    let mut walk = Walk::new(name, &*file, header, false)?;
    if end >= bytes || walk.written_end(end)? == end {
        return Ok(());
    }
    Err(damaged(name, end, "a whole block or the blank end", "other bytes"))
}

fn open(dir: &Path) -> Result<RealDisk, JournalError> {
    RealDisk::read_only(dir)
        .map_err(|error| JournalError::io("open", &dir.display().to_string(), error))
}

fn names(disk: &RealDisk) -> Result<BTreeSet<String>, JournalError> {
    let names = disk.list().map_err(|error| JournalError::io("list", "the folder", error))?;
    Ok(names.into_iter().collect())
}

fn segments(disk: &RealDisk) -> Result<Vec<u64>, JournalError> {
    let mut segments: Vec<u64> =
        names(disk)?.iter().filter_map(|name| segment::first_seq(name)).collect();
    segments.sort_unstable();
    Ok(segments)
}

fn is_snapshot(name: &str) -> bool {
    name.strip_prefix("snapshot-").is_some_and(|seq| seq.bytes().all(|b| b.is_ascii_digit()))
}

/// Copies the first `bytes` of a file, or all of it, durably.
fn copy_bytes(from: &Path, into: &Path, bytes: u64) -> io::Result<()> {
    let mut source = File::open(from)?.take(bytes);
    let mut target = File::create_new(into)?;
    fs::set_permissions(into, fs::metadata(from)?.permissions())?;
    io::copy(&mut source, &mut target)?;
    target.flush()?;
    target.sync_all()
}
