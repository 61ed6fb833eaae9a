//! Snapshots: the state at one point of the journal, so that a start need not replay all of it.
//!
//! ```text
//! snapshot-<seq>   magic "QJN1" | version u32 | seq u64 | hash of the chain at seq [32]
//!                  | bytes u64 | sha256 of all before and of the bytes [32] | bytes
//! ```
//!
//! Written under another name, synced, renamed, so that a crash leaves a whole one or none. The
//! last two are kept: should the newest rot, the one before and more of the journal do. A snapshot
//! is a shortcut and never the truth; the caller compares its hash with
//! [`Journal::hash_at`](crate::Journal::hash_at) and prunes the journal below
//! [`Snapshots::keep_from`], never on its own account.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::Head;
use crate::disk::{Disk, RealDisk};
use crate::segment::short;

/// Snapshots kept. Two, so that one may rot.
pub const SNAPSHOTS_KEPT: usize = 2;

/// Largest snapshot, in bytes, read or written.
///
/// It is held in memory whole. 100,000 open tasks take about 50 MB, so 1 GiB is a pool twenty times
/// the size we promise; beyond it writing is refused and the journal is kept longer.
pub const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const MAGIC: [u8; 4] = *b"QJN1";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 88;
/// Bytes of the header under the checksum.
const FIELDS_BYTES: usize = 56;
const PREFIX: &str = "snapshot-";
const UNBORN: &str = ".new";

/// The state at one point of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record it contains, and the chain up to it.
    pub head: Head,
    /// The state, opaque here.
    pub bytes: Vec<u8>,
}

/// What [`Snapshots::latest`] found.
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest that is whole, if any.
    pub snapshot: Option<Snapshot>,
    /// Newer ones that are not, newest first, for the operator to hear of.
    pub skipped: Vec<Skipped>,
}

/// A snapshot file that was passed over.
#[derive(Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its name.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// Why a snapshot was not written or looked for. Reads after "the snapshots in FOLDER: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The disk refused. The snapshots before are untouched; try again at the next occasion.
    #[error("cannot {action} {file}; check the disk's space, rights and health")]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file it was done to.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The state has outgrown its cap.
    #[error(
        "the state at record {seq} has {bytes} bytes, expected at most {SNAPSHOT_BYTES_MAX}; the \
         journal before it must be kept"
    )]
    TooLarge {
        /// The snapshot's last record.
        seq: u64,
        /// Its size.
        bytes: u64,
    },
}

/// The snapshots in a folder, which may be the journal's own.
#[derive(Debug, Clone)]
pub struct Snapshots {
    disk: Arc<dyn Disk>,
}

impl Snapshots {
    /// The snapshots in `dir`, made if absent. Claims nothing: the journal's lock guards both.
    ///
    /// # Errors
    /// [`SnapshotError::Io`] if the folder cannot be made.
    pub fn open(dir: &Path) -> Result<Self, SnapshotError> {
        let disk = RealDisk::open(dir).map_err(io_at("make", &dir.display().to_string()))?;
        Ok(Self::on(Arc::new(disk)))
    }

    /// The snapshots in a folder that is not written to.
    ///
    /// # Errors
    /// [`SnapshotError::Io`] if the folder cannot be listed.
    pub fn read_only(dir: &Path) -> Result<Self, SnapshotError> {
        let disk = RealDisk::read_only(dir).map_err(io_at("list", &dir.display().to_string()))?;
        Ok(Self::on(Arc::new(disk)))
    }

    /// The snapshots on any disk.
    pub fn on(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// Writes the state `bytes` at `head`, durable on return, then removes all but the last
    /// [`SNAPSHOTS_KEPT`]. What `head` names must be durable in the journal already.
    ///
    /// # Errors
    /// [`SnapshotError`]; what was there before is untouched.
    pub fn write(&self, head: Head, bytes: &[u8]) -> Result<(), SnapshotError> {
        if bytes.len() as u64 > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLarge { seq: head.seq, bytes: bytes.len() as u64 });
        }
        let name = file_name(head.seq);
        self.write_file(&name, &header(head, bytes), bytes).map_err(io_at("write", &name))?;
        self.prune()
    }

    /// The newest whole snapshot, past any that are damaged.
    ///
    /// # Errors
    /// [`SnapshotError::Io`] if the folder cannot be listed. A file that cannot be read is skipped.
    pub fn latest(&self) -> Result<Latest, SnapshotError> {
        let mut latest = Latest::default();
        for seq in seqs(&self.names()?).into_iter().rev() {
            match self.read(seq) {
                Ok(snapshot) => {
                    latest.snapshot = Some(snapshot);
                    break;
                }
                Err(why) => latest.skipped.push(Skipped { file: file_name(seq), why }),
            }
        }
        Ok(latest)
    }

    /// The first record that the snapshots kept still need from the journal, which may be pruned
    /// below it: the one after the oldest. `None` while there are fewer than [`SNAPSHOTS_KEPT`].
    ///
    /// # Errors
    /// [`SnapshotError::Io`] if the folder cannot be listed.
    pub fn keep_from(&self) -> Result<Option<u64>, SnapshotError> {
        let seqs = seqs(&self.names()?);
        let oldest = seqs.len().checked_sub(SNAPSHOTS_KEPT).and_then(|at| seqs.get(at));
        Ok(oldest.map(|seq| seq + 1))
    }

    fn write_file(&self, name: &str, header: &[u8], bytes: &[u8]) -> io::Result<()> {
        let unborn = format!("{name}{UNBORN}");
        let file = self.disk.create(&unborn, 0)?;
        file.write_at(0, header)?;
        file.write_at(header.len() as u64, bytes)?;
        file.sync()?;
        self.disk.rename(&unborn, name)?;
        self.disk.sync_dir()
    }

    /// Removes old snapshots, and what crashes left of unfinished ones.
    fn prune(&self) -> Result<(), SnapshotError> {
        let names = self.names()?;
        let seqs = seqs(&names);
        let old =
            seqs[..seqs.len().saturating_sub(SNAPSHOTS_KEPT)].iter().map(|seq| file_name(*seq));
        let unborn =
            names.iter().filter(|name| name.strip_suffix(UNBORN).and_then(seq_of).is_some());
        for name in old.chain(unborn.cloned()) {
            self.disk.remove(&name).map_err(io_at("remove", &name))?;
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        self.disk.list().map_err(io_at("list", "the folder"))
    }

    fn read(&self, seq: u64) -> Result<Snapshot, String> {
        let read = || -> io::Result<Result<Snapshot, String>> {
            let file = self.disk.open(&file_name(seq))?;
            let file_bytes = file.bytes()?;
            if file_bytes > SNAPSHOT_BYTES_MAX + HEADER_BYTES as u64 {
                return Ok(Err(format!("has {file_bytes} bytes, over {SNAPSHOT_BYTES_MAX}")));
            }
            if file_bytes < HEADER_BYTES as u64 {
                return Ok(Err(format!("has {file_bytes} bytes, less than its header")));
            }
            let mut head = [0; HEADER_BYTES];
            file.read_at(0, &mut head)?;
            let mut bytes = vec![0; (file_bytes - HEADER_BYTES as u64) as usize];
            file.read_at(HEADER_BYTES as u64, &mut bytes)?;
            Ok(check(seq, &head, bytes))
        };
        read().map_err(|error| error.to_string())?
    }
}

fn header(head: Head, bytes: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&VERSION.to_le_bytes());
    header[8..16].copy_from_slice(&head.seq.to_le_bytes());
    header[16..48].copy_from_slice(&head.hash);
    header[48..FIELDS_BYTES].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    let checksum = checksum(&header, bytes);
    header[FIELDS_BYTES..].copy_from_slice(&checksum);
    header
}

fn check(seq: u64, header: &[u8; HEADER_BYTES], bytes: Vec<u8>) -> Result<Snapshot, String> {
    if header[..4] != MAGIC {
        return Err("does not start like a snapshot".to_owned());
    }
    let version = u32::from_le_bytes(*header[4..].first_chunk().expect("inside the header"));
    if version != VERSION {
        return Err(format!("has format version {version}, expected {VERSION}"));
    }
    let (found, stored) = (checksum(header, &bytes), &header[FIELDS_BYTES..]);
    if found != stored {
        return Err(format!("its bytes have sha256 {}.., not the one it says", short(&found)));
    }
    let hash = *header[16..].first_chunk().expect("inside the header");
    let head = Head { seq: u64::from_le_bytes(*header[8..].first_chunk().expect("inside")), hash };
    if head.seq != seq {
        return Err(format!("is the snapshot of record {}", head.seq));
    }
    Ok(Snapshot { head, bytes })
}

fn checksum(header: &[u8; HEADER_BYTES], bytes: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(&header[..FIELDS_BYTES]);
    hasher.update(bytes);
    hasher.finalize().into()
}

/// The last records of the snapshots among `names`, in order.
fn seqs(names: &[String]) -> Vec<u64> {
    let mut seqs: Vec<u64> = names.iter().filter_map(|name| seq_of(name)).collect();
    seqs.sort_unstable();
    seqs
}

fn file_name(seq: u64) -> String {
    format!("{PREFIX}{seq:020}")
}

fn seq_of(name: &str) -> Option<u64> {
    let seq = name.strip_prefix(PREFIX)?.parse().ok()?;
    (file_name(seq) == name).then_some(seq)
}

fn io_at(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> SnapshotError {
    let file = file.to_owned();
    move |source| SnapshotError::Io { action, file, source }
}
