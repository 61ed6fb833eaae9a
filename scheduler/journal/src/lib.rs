//! The journal: the truth, as an append-only, hash-chained log in a folder of segments.
//!
//! An acknowledgement leaves the scheduler only after the record that justifies it went through
//! [`Journal::append`] and [`Journal::sync`]. Everything else on disk is implied by the journal and
//! rebuilt from it. Any write or sync error poisons a journal for ever: after a failed `fsync` the
//! system may have thrown the bytes away and call the next `fsync` a success, so the only safe step
//! is to stop and start again from what the disk really holds.
//!
//! A start goes: [`Journal::open`], [`snapshot::Snapshots::latest`], [`Journal::check_head`] of the
//! snapshot's head, [`Journal::replay`] from the record behind it, [`writer::Writer::spawn`].
//!
//! Records are opaque here; what they mean is for the grid. One thread owns a journal, usually
//! [`writer::Writer`]'s. Read `block` and `segment` for the bytes, `recovery` for what is cut
//! and what is refused, [`snapshot`] for what lets old segments go.

mod block;
pub mod copy;
pub mod disk;
mod error;
#[cfg(feature = "faulty-disk")]
pub mod faulty;
pub mod held;
mod recovery;
mod segment;
pub mod snapshot;
mod window;
pub mod writer;

use quorate_common::bug::{self, Bug};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, RealDisk, SECTOR_BYTES};
pub use crate::error::JournalError;
use crate::recovery::{Tail, UNBORN};
use crate::segment::{Block, Found, SegmentHeader, Walk, segment_name};

/// A sha256 hash of the chain through the records.
pub type Hash = [u8; 32];

/// Largest record, in bytes.
///
/// The largest honest one is a commit set of a full frame of votes, well under 256 KiB; bytes of
/// any size live in the blob store. A larger one is refused before anything is written.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// Largest body of one block, framing of 4 bytes per record included.
///
/// Four of the writer's 1 MiB groups, so that one append of several large records still goes in one
/// piece. Bounds what recovery and replay hold in memory. A larger one is refused.
pub const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The end of the journal: the number of its last record and the hash of the chain up to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of the last record. The first is 1; 0 before any.
    pub seq: u64,
    /// `sha256(hash before | seq | record)`, all zeros before any record.
    pub hash: Hash,
}

impl Head {
    /// The head of an empty journal.
    pub const GENESIS: Self = Self { seq: 0, hash: [0; 32] };
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.seq, segment::short(&self.hash))
    }
}

/// How a journal is laid out.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Length of a segment, in bytes. A block larger than that gets a segment of its own size.
    ///
    /// The default of 64 MiB makes a change of segment, which costs two syncs, rare (every 100,000
    /// records or so), and a pruned segment a useful amount of space.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 * 1024 * 1024 }
    }
}

/// What [`Journal::open`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The first record still there; one more than the head's if there is none.
    pub first_seq: u64,
    /// The last record. It and all before it are durable.
    pub head: Head,
    /// Number of segment files.
    pub segments: usize,
    /// What was taken off the end.
    pub cut: Option<Cut>,
}

/// A torn tail that was cut off: a block that was being written when the scheduler or the machine
/// died, and that nobody was told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Name of the segment file.
    pub segment: String,
    /// Where the cut is, in bytes from the file's start.
    pub offset: u64,
    /// How many bytes went, up to the last that was not zero.
    pub bytes: u64,
    /// What was wrong with them.
    pub why: &'static str,
}

/// An open journal, owned by one thread.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn Disk>,
    options: Options,
    /// First records of the segments, in order; never empty.
    segments: Vec<u64>,
    /// The last segment.
    file: Box<dyn DiskFile>,
    file_bytes: u64,
    header: SegmentHeader,
    /// Where the next block goes.
    offset: u64,
    head: Head,
    /// Is there a block that was not synced? There is never more than one.
    unsynced: bool,
    poison: Option<String>,
    /// The last block, kept for its allocation.
    block: Vec<u8>,
}

impl Journal {
    /// Opens the journal in `dir`, made if absent, checks all of it, and cuts a torn tail.
    ///
    /// Reads every segment once: about a second per gigabyte.
    ///
    /// # Errors
    /// [`JournalError::Locked`], or any sign that a record once durable is no longer readable.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Opened), JournalError> {
        let name = dir.display().to_string();
        let disk = RealDisk::claim(dir).map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                JournalError::Locked { dir: name }
            } else {
                JournalError::io("open", &name, error)
            }
        })?;
        Self::open_on(Arc::new(disk), options)
    }

    /// [`Journal::open`] on any disk, which the caller has claimed.
    ///
    /// # Errors
    /// Those of [`Journal::open`].
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<(Self, Opened), JournalError> {
        recovery::open(disk, options)
    }

    /// Checks every segment in `dir` but the last, which a running scheduler may be writing, and
    /// returns the head after them. For a nightly search for rot; claims and changes nothing.
    ///
    /// # Errors
    /// What [`Journal::open`] would say of them; [`JournalError::Io`] if one was pruned meanwhile.
    pub fn scrub(dir: &Path) -> Result<Head, JournalError> {
        let disk = RealDisk::open(dir)
            .map_err(|error| JournalError::io("open", &dir.display().to_string(), error))?;
        recovery::scrub(&disk)
    }

    /// The last record appended, durable or not.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The first record still there.
    pub fn first_seq(&self) -> u64 {
        self.segments[0]
    }

    /// Bytes the last append took on disk, framing and padding included.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block.len()
    }

    /// Writes `records` as one block, all or nothing, and returns the last record's number.
    ///
    /// Nothing is durable before [`Journal::sync`]. There is at most one unsynced block, on which
    /// recovery relies, so a second append syncs the first. No record, no write.
    ///
    /// # Errors
    /// [`JournalError::RecordTooLarge`] and [`JournalError::BlockTooLarge`] change nothing; every
    /// other error poisons the journal.
    pub fn append<'a>(
        &mut self,
        records: impl Iterator<Item = &'a [u8]>,
    ) -> Result<u64, JournalError> {
        self.sync()?;
        let mut block = std::mem::take(&mut self.block);
        let appended = self.append_block(records, &mut block);
        self.block = block;
        appended
    }

    /// Makes everything appended durable, with one `fdatasync`. Nothing new, no call.
    ///
    /// # Errors
    /// Every error poisons the journal.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.check_poison()?;
        if self.unsynced {
            let synced = if bug::is(Bug::SkipFsync) { Ok(()) } else { self.file.sync() };
            let swallowed = bug::is(Bug::SwallowSyncError);
            synced
                .or_else(|error| if swallowed { Ok(()) } else { Err(error) })
                .map_err(|error| self.poisoned("sync", error))?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Ends the last segment, so that [`Journal::prune_below`] can take it later, and begins the
    /// next. A segment without records is left as it is.
    ///
    /// # Errors
    /// Every error poisons the journal.
    pub fn rotate(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        if self.head.seq >= self.last_segment() { self.begin_segment(0) } else { Ok(()) }
    }

    /// Removes the segments all of whose records are below `seq`, oldest first, and returns how many
    /// went. The last segment stays.
    ///
    /// The caller vouches that nobody needs those records: they lie below the older snapshot kept,
    /// and what they settled is final.
    ///
    /// # Errors
    /// Every error poisons the journal.
    pub fn prune_below(&mut self, seq: u64) -> Result<usize, JournalError> {
        self.check_poison()?;
        let mut pruned = 0;
        while self.segments.get(1).is_some_and(|next| *next <= seq) {
            let name = segment_name(self.segments[0]);
            // Each removal is made durable before the next: names may come back in any subset, and
            // a hole in the middle would look like a lost segment.
            let removed = self.disk.remove(&name).and_then(|()| self.disk.sync_dir());
            removed.map_err(|error| self.poisoned("remove", error))?;
            self.segments.remove(0);
            pruned += 1;
        }
        Ok(pruned)
    }

    /// Hands every record from `from_seq` to the head to `visit`, in order, holding one block at a
    /// time. `from_seq` may be one beyond the head: nothing to visit.
    ///
    /// # Errors
    /// The first error of `visit`, or [`JournalError::OutOfRange`], or what reading meets.
    pub fn replay<E: From<JournalError>>(
        &self,
        from_seq: u64,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for first_seq in self.segments_from(from_seq)? {
            self.walk(*first_seq, |block| {
                let mut wanted = block.records().filter(|(seq, _)| *seq >= from_seq);
                wanted.try_for_each(|(seq, record)| visit(seq, record))
            })?;
        }
        Ok(())
    }

    /// The hash of the chain at `seq`, by which a snapshot is told from one of another history.
    ///
    /// Reads the segment that holds `seq`.
    ///
    /// # Errors
    /// [`JournalError::OutOfRange`], or what reading meets.
    pub fn hash_at(&self, seq: u64) -> Result<Hash, JournalError> {
        let segments = self.segments_from(seq.saturating_add(1))?;
        let mut hash = self.head.hash;
        if seq < self.head.seq {
            self.walk(segments[0], |block| {
                if block.before.seq <= seq && seq <= block.last_seq() {
                    let until = block.records().take_while(|(at, _)| *at <= seq);
                    hash = until.fold(block.before, |head, (_, record)| head.link(record)).hash;
                }
                Ok::<_, JournalError>(())
            })?;
        }
        Ok(hash)
    }

    /// Checks that the record somebody remembers, a snapshot for one, is in this journal.
    ///
    /// # Errors
    /// [`JournalError::OutOfRange`] if this journal ends before it or was pruned behind it,
    /// [`JournalError::OtherHistory`] if it has another record there. Either means that the folder
    /// is not the one that was written last: do not go on.
    pub fn check_head(&self, remembered: Head) -> Result<(), JournalError> {
        let hash = self.hash_at(remembered.seq)?;
        if hash == remembered.hash {
            return Ok(());
        }
        let (expected, found) = (segment::short(&remembered.hash), segment::short(&hash));
        Err(JournalError::OtherHistory { seq: remembered.seq, expected, found })
    }

    fn begin(disk: Arc<dyn Disk>, options: Options) -> Result<Self, JournalError> {
        let header = SegmentHeader::new(Head::GENESIS);
        let file = new_segment(&*disk, header, options.segment_bytes)
            .map_err(|error| JournalError::io("begin", &segment_name(1), error))?;
        let tail = Tail { file, header, head: Head::GENESIS, offset: segment::START, cut: None };
        Self::resume(disk, options, vec![1], tail)
    }

    fn resume(
        disk: Arc<dyn Disk>,
        options: Options,
        segments: Vec<u64>,
        tail: Tail,
    ) -> Result<Self, JournalError> {
        let Tail { file, header, head, offset, cut: _ } = tail;
        let name = segment_name(header.before.seq + 1);
        let file_bytes = file.bytes().map_err(|error| JournalError::io("measure", &name, error))?;
        Ok(Self {
            disk,
            options,
            segments,
            file,
            file_bytes,
            header,
            offset,
            head,
            unsynced: false,
            poison: None,
            block: Vec::new(),
        })
    }

    fn append_block<'a>(
        &mut self,
        records: impl Iterator<Item = &'a [u8]>,
        block: &mut Vec<u8>,
    ) -> Result<u64, JournalError> {
        let before = self.head;
        let after = block::fill(records, before, block)?;
        if after.seq == before.seq {
            return Ok(after.seq);
        }
        let disk_bytes = block.len().next_multiple_of(SECTOR_BYTES as usize) as u64;
        if self.offset.saturating_add(disk_bytes) > self.file_bytes {
            self.begin_segment(disk_bytes)?;
        }
        block::seal(self.header.salt, before, after, block);
        let written = self.file.write_at(self.offset, block);
        written.map_err(|error| self.poisoned("write", error))?;
        self.offset += disk_bytes;
        self.head = after;
        self.unsynced = true;
        Ok(after.seq)
    }

    /// Begins the segment after the head, with room for a block of `disk_bytes` at least. The last
    /// one must be synced.
    fn begin_segment(&mut self, disk_bytes: u64) -> Result<(), JournalError> {
        let bytes = self.options.segment_bytes.max(segment::START + disk_bytes);
        let header = SegmentHeader::new(self.head);
        let file = new_segment(&*self.disk, header, bytes);
        self.file = file.map_err(|error| self.poisoned("begin a segment after", error))?;
        self.file_bytes = bytes;
        self.header = header;
        self.offset = segment::START;
        // A block larger than an empty segment replaces it by one of the same name.
        if self.last_segment() <= self.head.seq {
            self.segments.push(self.head.seq + 1);
        }
        Ok(())
    }

    fn last_segment(&self) -> u64 {
        *self.segments.last().expect("a journal has a segment from its opening on")
    }

    /// The segments that hold `from_seq` and what follows.
    fn segments_from(&self, from_seq: u64) -> Result<&[u64], JournalError> {
        let (first, last) = (self.first_seq(), self.head.seq);
        if from_seq < first || from_seq > last + 1 {
            return Err(JournalError::OutOfRange { seq: from_seq, first, last });
        }
        let behind = self.segments.partition_point(|first_seq| *first_seq <= from_seq);
        Ok(&self.segments[behind - 1..])
    }

    /// Hands every block of a segment to `visit`. The chain was checked at opening; here the CRCs
    /// are, and that nothing is left out.
    fn walk<E: From<JournalError>>(
        &self,
        first_seq: u64,
        mut visit: impl FnMut(Block<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let name = segment_name(first_seq);
        let file = self.disk.open(&name).map_err(|error| JournalError::io("open", &name, error))?;
        let header = SegmentHeader::read(&name, &*file)?;
        let mut walk = Walk::new(&name, &*file, header, false)?;
        while let Found::Block(block) = walk.advance()? {
            visit(block)?;
        }
        let behind = self.segments.partition_point(|first| *first <= first_seq);
        let last = self.segments.get(behind).map_or(self.head.seq, |next| next - 1);
        if walk.head.seq != last {
            let (expected, found) = (format!("record {}", walk.head.seq + 1), "no whole block");
            return Err(segment::damaged(&name, walk.offset, &expected, found).into());
        }
        Ok(())
    }

    fn check_poison(&self) -> Result<(), JournalError> {
        match &self.poison {
            Some(cause) => Err(JournalError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// The error of a failed write, after which the journal does nothing any more.
    fn poisoned(&mut self, action: &'static str, source: io::Error) -> JournalError {
        let name = segment_name(self.last_segment());
        self.poison = Some(format!("cannot {action} {name}: {source}"));
        JournalError::io(action, &name, source)
    }
}

/// Makes a segment under another name, and gives it its own once its header is durable.
fn new_segment(
    disk: &dyn Disk,
    header: SegmentHeader,
    bytes: u64,
) -> io::Result<Box<dyn DiskFile>> {
    let name = segment_name(header.before.seq + 1);
    let unborn = format!("{:020}{UNBORN}", header.before.seq + 1);
    let file = disk.create(&unborn, bytes.max(segment::START))?;
    file.write_at(0, &header.encode())?;
    file.sync()?;
    disk.rename(&unborn, &name)?;
    if !bug::is(Bug::SkipDirSync) {
        disk.sync_dir()?;
    }
    Ok(file)
}
