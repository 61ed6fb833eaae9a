//! One segment file: its name, its header, and a walk over its blocks that tells whole from torn.
//!
//! ```text
//! segment  magic "QJS1" | crc32c of the next 52 bytes | version u32 | salt u64 | first seq u64
//!          | hash before the first record [32] | zeros up to 512 | blocks | zeros to the end
//! ```
//!
//! A segment gets its name only once its header is durable, so a bad header is never a torn write.
//! What to do about damage is decided in [`crate::recovery`], not here.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

use crate::block::{self, HEADER_BYTES};
use crate::disk::{DiskFile, SECTOR_BYTES};
use crate::window::Window;
use crate::{BLOCK_BYTES_MAX, Hash, Head, JournalError};

/// Bytes before the first block.
pub(crate) const START: u64 = SECTOR_BYTES;
/// Version of the format of segments and blocks.
pub(crate) const VERSION: u32 = 1;
const MAGIC: [u8; 4] = *b"QJS1";
const FIELDS_BYTES: usize = 60;
const SUFFIX: &str = ".log";

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) salt: u64,
    /// The head before the segment's first record.
    pub(crate) before: Head,
}

impl SegmentHeader {
    /// The header of a new segment after `before`, with a salt nobody outside can guess.
    pub(crate) fn new(before: Head) -> Self {
        // The standard library seeds this from the operating system's random numbers.
        Self { salt: RandomState::new().build_hasher().finish(), before }
    }

    pub(crate) fn encode(&self) -> [u8; SECTOR_BYTES as usize] {
        let mut bytes = [0; SECTOR_BYTES as usize];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.salt.to_le_bytes());
        bytes[20..28].copy_from_slice(&(self.before.seq + 1).to_le_bytes());
        bytes[28..FIELDS_BYTES].copy_from_slice(&self.before.hash);
        let crc = crc32c::crc32c(&bytes[8..FIELDS_BYTES]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of the segment called `name`.
    pub(crate) fn read(name: &str, file: &dyn DiskFile) -> Result<Self, JournalError> {
        let mut bytes = [0; START as usize];
        match file.read_at(0, &mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged(name, 0, "a segment header", "the end of the file"));
            }
            read => read.map_err(|error| JournalError::io("read", name, error))?,
        }
        Self::decode(name, &bytes)
    }

    fn decode(name: &str, bytes: &[u8; START as usize]) -> Result<Self, JournalError> {
        let u32_at = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("inside"));
        let u64_at = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("inside"));
        let (fields, padding) = bytes.split_at(FIELDS_BYTES);
        if fields[..4] != MAGIC || crc32c::crc32c(&fields[8..]) != u32_at(4) || !is_blank(padding) {
            return Err(damaged(name, 0, "a segment header", "other bytes"));
        }
        if u32_at(8) != VERSION {
            return Err(JournalError::Version { segment: name.to_owned(), found: u32_at(8) });
        }
        let Some(seq) = u64_at(20).checked_sub(1).filter(|seq| segment_name(seq + 1) == name)
        else {
            let found = format!("a header for record {}", u64_at(20));
            return Err(damaged(name, 0, "the header that belongs to the name", &found));
        };
        let hash: Hash = *bytes[28..].first_chunk().expect("32 of the 60 bytes of fields are left");
        Ok(Self { salt: u64_at(12), before: Head { seq, hash } })
    }
}

/// The name of the segment whose first record is `first_seq`.
pub(crate) fn segment_name(first_seq: u64) -> String {
    format!("{first_seq:020}{SUFFIX}")
}

/// The first record of the segment called `name`, if it is the name of a segment.
pub(crate) fn first_seq(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let seq = digits.parse().ok()?;
    (seq > 0 && segment_name(seq) == name).then_some(seq)
}

/// Goes over the blocks of one segment, in order, holding one window of it in memory.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    name: &'a str,
    window: Window<'a>,
    salt: u64,
    /// Recompute the chain? Costs more than reading; a walk without it checks the CRCs alone.
    chained: bool,
    /// The last record seen. Its hash is meaningless unless `chained`.
    pub(crate) head: Head,
    /// Where the next block starts.
    pub(crate) offset: u64,
}

/// What a [`Walk`] finds next.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A whole block that follows the one before.
    Block(Block<'a>),
    /// A sector of zeros, or the end of the file.
    Blank,
    /// Something that is not a whole block.
    Bad(&'static str),
}

/// One whole block.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// The head before its first record.
    pub(crate) before: Head,
    pub(crate) offset: u64,
    pub(crate) disk_bytes: u64,
    records: u32,
    body: &'a [u8],
}

impl<'a> Block<'a> {
    /// The records with their numbers, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        (self.before.seq + 1..).zip(block::records(self.body).flatten())
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.before.seq + u64::from(self.records)
    }
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        name: &'a str,
        file: &'a dyn DiskFile,
        header: SegmentHeader,
        chained: bool,
    ) -> Result<Self, JournalError> {
        let window = Window::new(name, file)?;
        Ok(Self { name, window, salt: header.salt, chained, head: header.before, offset: START })
    }

    /// Reads on.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] for a block that is whole but does not follow the one before,
    /// which no torn write can leave behind.
    pub(crate) fn advance(&mut self) -> Result<Found<'_>, JournalError> {
        let header = match self.header_at(self.offset)? {
            Sector::Header(header) => header,
            Sector::Blank => return Ok(Found::Blank),
            Sector::Other => return Ok(Found::Bad("no whole block header of this segment")),
        };
        let disk_bytes = header.disk_bytes();
        if header.body_bytes as usize > BLOCK_BYTES_MAX
            || disk_bytes > self.window.file_bytes() - self.offset
        {
            return Ok(Found::Bad("a block that ends beyond its segment"));
        }
        self.check_link(&header)?;
        let offset = self.offset;
        let before = Head { seq: self.head.seq, hash: header.hash_before };
        let block = self.window.get(offset, disk_bytes)?;
        let (body, padding) = block[HEADER_BYTES..].split_at(header.body_bytes as usize);
        if crc32c::crc32c(body) != header.body_crc || !is_blank(padding) {
            return Ok(Found::Bad("a block whose bytes do not match its CRC"));
        }
        let Some(head) = follow(before, &header, body, self.chained) else {
            let found = "lengths that do not add up";
            return Err(damaged(self.name, offset, "a block of whole records", found));
        };
        self.head = head;
        self.offset += disk_bytes;
        Ok(Found::Block(Block { before, offset, disk_bytes, records: header.records, body }))
    }

    /// The first whole block header of this segment behind `offset` that announces records beyond
    /// the head.
    pub(crate) fn later_header(&mut self, offset: u64) -> Result<Option<u64>, JournalError> {
        let mut at = offset + SECTOR_BYTES;
        while at + SECTOR_BYTES <= self.window.file_bytes() {
            match self.header_at(at)? {
                Sector::Header(header) if header.first_seq > self.head.seq => return Ok(Some(at)),
                Sector::Header(_) | Sector::Blank | Sector::Other => at += SECTOR_BYTES,
            }
        }
        Ok(None)
    }

    /// Where the last byte that is not zero ends, at or behind `offset`; `offset` if all are zero.
    pub(crate) fn written_end(&mut self, offset: u64) -> Result<u64, JournalError> {
        let (mut at, mut end) = (offset, offset);
        while at < self.window.file_bytes() {
            let bytes = SECTOR_BYTES.min(self.window.file_bytes() - at);
            if let Some(last) = self.window.get(at, bytes)?.iter().rposition(|byte| *byte != 0) {
                end = at + last as u64 + 1;
            }
            at += bytes;
        }
        Ok(end)
    }

    fn header_at(&mut self, offset: u64) -> Result<Sector, JournalError> {
        if offset + SECTOR_BYTES > self.window.file_bytes() {
            return Ok(Sector::Blank);
        }
        let sector = self.window.get(offset, SECTOR_BYTES)?;
        let header = block::Header::decode(sector).filter(|header| header.salt == self.salt);
        Ok(match header {
            Some(header) => Sector::Header(header),
            None if is_blank(sector) => Sector::Blank,
            None => Sector::Other,
        })
    }

    fn check_link(&self, header: &block::Header) -> Result<(), JournalError> {
        let expected = self.head.seq + 1;
        if header.first_seq != expected {
            let found = format!("record {}", header.first_seq);
            return Err(damaged(self.name, self.offset, &format!("record {expected}"), &found));
        }
        if self.chained && header.hash_before != self.head.hash {
            let expected = format!("a block that follows hash {}", short(&self.head.hash));
            let found = format!("one that follows {}", short(&header.hash_before));
            return Err(damaged(self.name, self.offset, &expected, &found));
        }
        Ok(())
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

enum Sector {
    Header(block::Header),
    Blank,
    Other,
}

/// The head after the block, or `None` if its records are not as many as it says.
fn follow(before: Head, header: &block::Header, body: &[u8], chained: bool) -> Option<Head> {
    let mut head = before;
    for record in block::records(body) {
        let record = record?;
        head = if chained { head.link(record) } else { Head { seq: head.seq + 1, ..head } };
    }
    (head.seq - before.seq == u64::from(header.records) && header.records > 0).then_some(head)
}

pub(crate) fn damaged(segment: &str, offset: u64, expected: &str, found: &str) -> JournalError {
    let (segment, expected, found) = (segment.to_owned(), expected.to_owned(), found.to_owned());
    JournalError::Damaged { segment, offset, expected, found }
}

/// Enough of a hash to tell two apart in a message.
pub(crate) fn short(hash: &Hash) -> String {
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
