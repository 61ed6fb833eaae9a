//! Opening: checks every segment, cuts a torn tail, refuses everything else.
//!
//! What a crash can leave behind is narrow, because at most one block is ever unsynced and a new
//! segment is begun only after the last one was synced. So:
//!
//! * a bad block with *nothing* whole behind it in the last segment was being written: it was never
//!   acknowledged, and is cut;
//! * a bad block with a whole block header, or another segment, behind it was durable once: the
//!   disk lost it. Records somebody relied on are gone, so the start is refused.
//!
//! A block that was durable, is the very last, and rots, looks like a torn one. The cut says how
//! many bytes went; whoever remembers a later head (a snapshot, the store, the chain) finds out.

use std::sync::Arc;

use crate::disk::{Disk, DiskFile, SECTOR_BYTES};
use crate::segment::{self, Found, SegmentHeader, Walk, damaged, segment_name};
use crate::{Cut, Head, Journal, JournalError, Opened, Options};

/// Suffix of a segment whose header is not durable yet.
pub(crate) const UNBORN: &str = ".log.new";

pub(crate) fn open(
    disk: Arc<dyn Disk>,
    options: Options,
) -> Result<(Journal, Opened), JournalError> {
    let names = disk.list().map_err(|error| JournalError::io("list", "the folder", error))?;
    sweep(&*disk, &names)?;
    let segments = segments(&names);
    let Some((&last, older)) = segments.split_last() else {
        let journal = Journal::begin(disk, options)?;
        let opened = Opened { first_seq: 1, head: Head::GENESIS, segments: 1, cut: None };
        return Ok((journal, opened));
    };
    let tail = open_last(&*disk, last, check_all(&*disk, older)?)?;
    // A name that came back with the power may have been on its way out, and a new one on its way
    // in. From here on the folder is what it was found to be.
    disk.sync_dir().map_err(|error| JournalError::io("sync", "the folder", error))?;
    let (head, cut) = (tail.head, tail.cut.clone());
    let opened = Opened { first_seq: segments[0], head, segments: segments.len(), cut };
    Ok((Journal::resume(disk, options, segments, tail)?, opened))
}

/// Checks every segment but the last, and returns the head after them.
pub(crate) fn scrub(disk: &dyn Disk) -> Result<Head, JournalError> {
    let names = disk.list().map_err(|error| JournalError::io("list", "the folder", error))?;
    let segments = segments(&names);
    let older = segments.split_last().map_or(&[][..], |(_, older)| older);
    Ok(check_all(disk, older)?.unwrap_or(Head::GENESIS))
}

/// The last segment, ready to be written on.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) header: SegmentHeader,
    pub(crate) head: Head,
    pub(crate) offset: u64,
    pub(crate) cut: Option<Cut>,
}

/// Removes segments that were being begun.
fn sweep(disk: &dyn Disk, names: &[String]) -> Result<(), JournalError> {
    for name in names.iter().filter(|name| name.ends_with(UNBORN)) {
        disk.remove(name).map_err(|error| JournalError::io("remove", name, error))?;
    }
    Ok(())
}

/// The first records of the segments among `names`, in order.
fn segments(names: &[String]) -> Vec<u64> {
    let mut segments: Vec<u64> = names.iter().filter_map(|name| segment::first_seq(name)).collect();
    segments.sort_unstable();
    segments
}

/// Checks segments that are not the last, in order, and returns the head after them.
fn check_all(disk: &dyn Disk, segments: &[u64]) -> Result<Option<Head>, JournalError> {
    segments.iter().try_fold(None, |head, first_seq| check_older(disk, *first_seq, head).map(Some))
}

/// Checks a segment that is not the last, and returns the head after it.
fn check_older(
    disk: &dyn Disk,
    first_seq: u64,
    before: Option<Head>,
) -> Result<Head, JournalError> {
    let name = segment_name(first_seq);
    let file = disk.open(&name).map_err(|error| JournalError::io("open", &name, error))?;
    let header = read_header(&name, &*file, before)?;
    let mut walk = Walk::new(&name, &*file, header, true)?;
    match walk_to_end(&mut walk)?.bad {
        Some(why) => Err(damaged(&name, walk.offset, "a whole block or the blank end", why)),
        None => Ok(walk.head),
    }
}

/// Checks the last segment, cuts its torn tail and makes durable what is left.
fn open_last(disk: &dyn Disk, first_seq: u64, before: Option<Head>) -> Result<Tail, JournalError> {
    let name = segment_name(first_seq);
    let file = disk.open(&name).map_err(|error| JournalError::io("open", &name, error))?;
    let header = read_header(&name, &*file, before)?;
    let mut walk = Walk::new(&name, &*file, header, true)?;
    let end = walk_to_end(&mut walk)?;
    let (head, offset) = (walk.head, walk.offset);
    let cut = match end.bad {
        Some(why) => Some(torn(&name, &mut walk, why)?),
        None => None,
    };
    make_durable(&name, &*file, end.last, cut.as_ref())?;
    Ok(Tail { file, header, head, offset, cut })
}

/// Reads a header and checks that it follows the segment before it.
pub(crate) fn read_header(
    name: &str,
    file: &dyn DiskFile,
    before: Option<Head>,
) -> Result<SegmentHeader, JournalError> {
    let header = SegmentHeader::read(name, file)?;
    let Some(before) = before else {
        return Ok(header);
    };
    if header.before.seq != before.seq {
        let (first, last) = (before.seq + 1, header.before.seq);
        return Err(JournalError::Missing {
            segment: segment_name(first),
            before: name.to_owned(),
            first,
            last,
        });
    }
    if header.before.hash != before.hash {
        let expected = format!("a segment that follows hash {}", segment::short(&before.hash));
        let found = format!("one that follows {}", segment::short(&header.before.hash));
        return Err(damaged(name, 0, &expected, &found));
    }
    Ok(header)
}

/// Where the whole blocks of a segment end.
struct End {
    /// Offset and bytes of the last whole block; the segment's header if there is none.
    last: (u64, u64),
    /// What stands behind it, if not zeros to the end.
    bad: Option<&'static str>,
}

fn walk_to_end(walk: &mut Walk<'_>) -> Result<End, JournalError> {
    let mut last = (0, SECTOR_BYTES);
    loop {
        match walk.advance()? {
            Found::Block(block) => last = (block.offset, block.disk_bytes),
            Found::Bad(why) => return Ok(End { last, bad: Some(why) }),
            Found::Blank => break,
        }
    }
    // The sector with the header may be the one that was lost.
    let blank = walk.written_end(walk.offset)? == walk.offset;
    Ok(End { last, bad: (!blank).then_some("zeros, and more bytes behind them") })
}

/// The cut that takes the bad bytes at the end of `walk` away.
///
/// # Errors
/// [`JournalError::Damaged`] if they are not the end.
fn torn(name: &str, walk: &mut Walk<'_>, why: &'static str) -> Result<Cut, JournalError> {
    let offset = walk.offset;
    if let Some(later) = walk.later_header(offset)? {
        let found = format!("{why}, although a later block stands at offset {later}");
        return Err(damaged(name, offset, "a whole block", &found));
    }
    let bytes = walk.written_end(offset)? - offset;
    Ok(Cut { segment: name.to_owned(), offset, bytes, why })
}

/// Writes zeros over what was cut, and the last whole block over itself, and syncs.
///
/// The last block may be whole in the system's cache only: its sync failed or never came before the
/// scheduler died. A failed sync also marks the cache clean, so that syncing again would write
/// nothing. Writing the same bytes again makes the next sync carry them.
fn make_durable(
    name: &str,
    file: &dyn DiskFile,
    (offset, bytes): (u64, u64),
    cut: Option<&Cut>,
) -> Result<(), JournalError> {
    let rewrite = || {
        let mut block = vec![0; usize::try_from(bytes).expect("a block fits in memory")];
        file.read_at(offset, &mut block)?;
        file.write_at(offset, &block)?;
        if let Some(cut) = cut {
            zero(file, cut.offset, cut.bytes)?;
        }
        file.sync()
    };
    rewrite().map_err(|error| JournalError::io("repair the end of", name, error))
}

fn zero(file: &dyn DiskFile, offset: u64, bytes: u64) -> std::io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut done = 0;
    while done < bytes {
        let step = (bytes - done).min(ZEROS.len() as u64);
        file.write_at(offset + done, &ZEROS[..step as usize])?;
        done += step;
    }
    Ok(())
}
