//! The file a durable embedded chain lives in: every change, in order, checked and synced.
//!
//! ```text
//! record = u32 body length · u32 crc32c(length) · u32 crc32c(body) · body      little-endian
//! body   = u8 kind · fields
//! ```
//!
//! The first record names the chain's settings. State is never written: it is executed again on
//! opening, so the file cannot disagree with itself, and each block's hash is checked on the way.
//! Opening costs one EVM run per transaction; there are no snapshots, a development chain is short.

use crate::embedded::raw_tx::RAW_TX_BYTES_MAX;
use alloy::primitives::{Address, B256, U256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Bytes before a record's body.
const HEAD_BYTES: usize = 12;

/// Bytes of a body at most: a transaction and its block's time and hash. A longer one in the file
/// is damage, and is never allocated.
const BODY_BYTES_MAX: usize = RAW_TX_BYTES_MAX + 64;

/// Why a durable chain did not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file system refused.
    #[error("could not {action} the chain file {path}; check the folder's owner and free space")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Two nodes on one file would tear each other's records.
    #[error("the chain file {path} is in use by another process; stop that one first")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// The file's chain started differently.
    #[error(
        "the chain file {path} belongs to a chain with other settings (chain id, genesis time, \
         accounts or gas limit); name another file, or delete this one to start over"
    )]
    OtherChain {
        /// Which file.
        path: PathBuf,
    },
    /// A record that is not the last one is damaged.
    #[error(
        "the chain file {path} is damaged at byte {offset}: {what}; restore a copy, or delete the \
         file to start over"
    )]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where the bad record starts.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// One change of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// A block with one transaction.
    Transaction { timestamp: u64, block_hash: B256, raw: Vec<u8> },
    /// A block without any.
    EmptyBlock { timestamp: u64, block_hash: B256 },
    /// `anvil_setBalance`.
    SetBalance { account: Address, wei: U256 },
    /// The clock runs this many seconds ahead from here on.
    Offset { seconds: u64 },
}

/// The open file, positioned at its end.
#[derive(Debug)]
pub(super) struct ChainLog {
    file: File,
    /// After a failed write nobody knows what is on disk, so nothing more is written (fsyncgate).
    failed: bool,
}

impl ChainLog {
    /// Opens or creates the file and hands every record to `replay`, in order. `settings` is the
    /// hash of what the chain started with.
    pub(super) fn open(
        path: &Path,
        settings: B256,
        mut replay: impl FnMut(Record) -> Result<(), String>,
    ) -> Result<Self, OpenError> {
        let io = |action| {
            let path = path.to_owned();
            move |source| OpenError::Io { action, path, source }
        };
        let (mut file, created) = open_locked(path)?;
        let mut scan = Scan::new(&file, path).map_err(io("read"))?;
        match scan.next_body()? {
            None => {}
            Some(body) if body == genesis_body(settings) => {
                while let Some(body) = scan.next_body()? {
                    let record = Record::decode(&body).ok_or_else(|| scan.corrupt("bad body"))?;
                    replay(record).map_err(|what| scan.corrupt(&what))?;
                }
            }
            Some(_) => return Err(OpenError::OtherChain { path: path.to_owned() }),
        }
        let end = scan.good_end;
        scan.warn_if_torn();
        file.set_len(end).map_err(io("truncate"))?;
        file.seek(SeekFrom::Start(end)).map_err(io("seek in"))?;
        let mut log = Self { file, failed: false };
        if end == 0 {
            log.write_body(&genesis_body(settings)).map_err(io("write"))?;
        }
        if created {
            sync_folder(path).map_err(io("sync the folder of"))?;
        }
        Ok(log)
    }

    /// Appends one record; it is on disk when this returns.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        self.write_body(&record.encode())
    }

    fn write_body(&mut self, body: &[u8]) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed; restart the node"));
        }
        let written = self.file.write_all(&frame(body)).and_then(|()| self.file.sync_data());
        self.failed = written.is_err();
        written
    }
}

/// Opens the file for this process alone, creating it and its folder if need be.
fn open_locked(path: &Path) -> Result<(File, bool), OpenError> {
    let io = |action| {
        let path = path.to_owned();
        move |source| OpenError::Io { action, path, source }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(io("create the folder of"))?;
    }
    let created = !path.exists();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io("open"))?;
    match file.try_lock() {
        Ok(()) => Ok((file, created)),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(io("lock")(source)),
    }
}

/// Makes a new file's name durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Reads records until the end, a torn last one, or damage.
struct Scan<'a> {
    reader: BufReader<&'a File>,
    path: &'a Path,
    file_bytes: u64,
    /// Where the record being read starts.
    offset: u64,
    /// End of the last whole record.
    good_end: u64,
}

impl<'a> Scan<'a> {
    fn new(file: &'a File, path: &'a Path) -> io::Result<Self> {
        let file_bytes = file.metadata()?.len();
        Ok(Self { reader: BufReader::new(file), path, file_bytes, offset: 0, good_end: 0 })
    }

    /// The next whole body; nothing at the end or at a torn last record.
    fn next_body(&mut self) -> Result<Option<Vec<u8>>, OpenError> {
        self.offset = self.good_end;
        let left = self.file_bytes - self.offset;
        if left < HEAD_BYTES as u64 {
            return Ok(None);
        }
        let mut head = [0; HEAD_BYTES];
        self.read(&mut head)?;
        let [length, length_crc, body_crc] = head_words(head);
        if crc32c::crc32c(&length.to_le_bytes()) != length_crc {
            // A power cut can leave a tail of zeros: the file was extended, its bytes were not
            // written. Anything else in place of a length is damage.
            return if head == [0; HEAD_BYTES] && self.rest_is_zero()? {
                Ok(None)
            } else {
                Err(self.corrupt("bad length checksum"))
            };
        }
        if length as usize > BODY_BYTES_MAX {
            return Err(self.corrupt("record longer than any transaction"));
        }
        let end = self.offset + HEAD_BYTES as u64 + u64::from(length);
        if end > self.file_bytes {
            return Ok(None);
        }
        let mut body = vec![0; length as usize];
        self.read(&mut body)?;
        if crc32c::crc32c(&body) != body_crc {
            return if end == self.file_bytes {
                Ok(None)
            } else {
                Err(self.corrupt("bad body checksum"))
            };
        }
        self.good_end = end;
        Ok(Some(body))
    }

    fn rest_is_zero(&mut self) -> Result<bool, OpenError> {
        let mut chunk = [0; 4096];
        loop {
            match self.reader.read(&mut chunk) {
                Ok(0) => return Ok(true),
                Ok(n) if chunk[..n].iter().all(|byte| *byte == 0) => {}
                Ok(_) => return Ok(false),
                Err(source) => return Err(self.io(source)),
            }
        }
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), OpenError> {
        self.reader.read_exact(into).map_err(|source| OpenError::Io {
            action: "read",
            path: self.path.to_owned(),
            source,
        })
    }

    fn io(&self, source: io::Error) -> OpenError {
        OpenError::Io { action: "read", path: self.path.to_owned(), source }
    }

    fn corrupt(&self, what: &str) -> OpenError {
        OpenError::Corrupt {
            path: self.path.to_owned(),
            offset: self.offset,
            what: what.to_owned(),
        }
    }

    fn warn_if_torn(&self) {
        let torn = self.file_bytes - self.good_end;
        if torn > 0 {
            tracing::warn!(
                path = %self.path.display(),
                offset = self.good_end,
                bytes = torn,
                "the last record of the chain file was torn by a crash and is cut off"
            );
        }
    }
}

fn head_words(head: [u8; HEAD_BYTES]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = head;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_le_bytes)
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a body is below BODY_BYTES_MAX").to_le_bytes();
    let mut record = Vec::with_capacity(HEAD_BYTES + body.len());
    record.extend_from_slice(&length);
    record.extend_from_slice(&crc32c::crc32c(&length).to_le_bytes());
    record.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    record.extend_from_slice(body);
    record
}

fn genesis_body(settings: B256) -> Vec<u8> {
    [b"\0quorate-chain/1\n".as_slice(), settings.as_slice()].concat()
}

impl Record {
    const TRANSACTION: u8 = 1;
    const EMPTY_BLOCK: u8 = 2;
    const SET_BALANCE: u8 = 3;
    const OFFSET: u8 = 4;

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Transaction { timestamp, block_hash, raw } => {
                [&[Self::TRANSACTION], &timestamp.to_le_bytes()[..], &block_hash[..], raw].concat()
            }
            Self::EmptyBlock { timestamp, block_hash } => {
                [&[Self::EMPTY_BLOCK], &timestamp.to_le_bytes()[..], &block_hash[..]].concat()
            }
            Self::SetBalance { account, wei } => {
                [&[Self::SET_BALANCE], &account[..], &wei.to_le_bytes::<32>()[..]].concat()
            }
            Self::Offset { seconds } => [&[Self::OFFSET], &seconds.to_le_bytes()[..]].concat(),
        }
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let (&kind, rest) = body.split_first()?;
        match kind {
            Self::TRANSACTION => {
                let (timestamp, rest) = rest.split_first_chunk()?;
                let (block_hash, raw) = rest.split_first_chunk()?;
                Some(Self::Transaction {
                    timestamp: u64::from_le_bytes(*timestamp),
                    block_hash: B256::new(*block_hash),
                    raw: raw.to_vec(),
                })
            }
            Self::EMPTY_BLOCK => {
                let (timestamp, rest) = rest.split_first_chunk()?;
                Some(Self::EmptyBlock {
                    timestamp: u64::from_le_bytes(*timestamp),
                    block_hash: B256::new(rest.try_into().ok()?),
                })
            }
            Self::SET_BALANCE => {
                let (account, wei) = rest.split_first_chunk()?;
                Some(Self::SetBalance {
                    account: Address::new(*account),
                    wei: U256::from_le_bytes::<32>(wei.try_into().ok()?),
                })
            }
            Self::OFFSET => {
                Some(Self::Offset { seconds: u64::from_le_bytes(rest.try_into().ok()?) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn samples() -> Vec<Record> {
        vec![
            Record::Transaction {
                timestamp: 1,
                block_hash: B256::repeat_byte(1),
                raw: vec![2, 0xc0],
            },
            Record::SetBalance { account: Address::repeat_byte(3), wei: U256::from(7) },
            Record::Offset { seconds: 86_400 },
            Record::EmptyBlock { timestamp: 9, block_hash: B256::repeat_byte(2) },
        ]
    }

    /// A file with the samples in it; the folder lives as long as the first value.
    fn written() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/chain.log");
        let mut log = ChainLog::open(&path, B256::ZERO, |_| Ok(())).unwrap();
        for record in samples() {
            log.append(&record).unwrap();
        }
        (folder, path)
    }

    fn read(path: &Path) -> Result<Vec<Record>, OpenError> {
        let mut seen = Vec::new();
        ChainLog::open(path, B256::ZERO, |record| {
            seen.push(record);
            Ok(())
        })?;
        Ok(seen)
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let (_folder, path) = written();
        assert_eq!(read(&path).unwrap(), samples());
    }

    #[test]
    fn a_file_cut_anywhere_loses_only_its_torn_record() {
        let (_folder, path) = written();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let seen = read(&path).unwrap();
            assert!(seen.len() < samples().len(), "cut at {cut}");
            assert_eq!(seen[..], samples()[..seen.len()], "cut at {cut}");
            // The torn bytes are gone, so that the next record does not land behind them.
            assert_eq!(read(&path).unwrap(), seen, "cut at {cut}, opened twice");
        }
    }

    #[test]
    fn a_tail_of_zeros_is_a_torn_record() {
        let (_folder, path) = written();
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend([0; 5000]);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap(), samples());
    }

    #[test]
    fn a_flipped_byte_before_the_last_record_stops_the_opening() {
        let (_folder, path) = written();
        let whole = fs::read(&path).unwrap();
        let last = HEAD_BYTES + samples().last().unwrap().encode().len();
        for at in 0..whole.len() - last {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            fs::write(&path, &bytes).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, OpenError::Corrupt { .. }), "byte {at}: {error}");
        }
    }

    #[test]
    fn other_settings_and_a_second_process_are_refused() {
        let (_folder, path) = written();
        let error = ChainLog::open(&path, B256::repeat_byte(1), |_| Ok(())).unwrap_err();
        assert!(matches!(error, OpenError::OtherChain { .. }), "{error}");
        let _held = ChainLog::open(&path, B256::ZERO, |_| Ok(())).unwrap();
        assert!(matches!(read(&path).unwrap_err(), OpenError::InUse { .. }));
    }
}
