//! The blob store: bytes by their sha256, on disk, verified whenever they are read.
//!
//! ```text
//! blobs/ab/cdef…       a blob of over 4 KiB: the digest in hex, split after two digits
//! blobs/pack/N.pack    the smaller ones, one behind the other, with an index in memory
//! blobs/guarded/…      an empty file for each blob that is not for everybody, by its digest
//! blobs/tmp/N          uploads on their way; swept at opening
//! ```
//!
//! Names are digests, so no name from outside ever reaches a path. A large blob costs two syncs; of
//! small ones a whole group costs one, because results of 100 bytes come by the thousand: call
//! [`Blobs::put_small`] for each and [`Blobs::sync_small`] once before anyone is told.
//!
//! After a failed sync nothing is written any more (see [`crate::journal`] for why). Nothing here
//! knows who may read or write what (only that a blob is guarded), and nothing is ever removed yet: the cap on the total is what
//! bounds the folder.

mod error;
mod guards;
mod packs;
mod reader;
mod upload;

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use quorate_common::digest::Digest;

pub use self::error::BlobError;
use self::guards::Guards;
use self::packs::Packs;
pub use self::packs::{Damage, SMALL_BYTES_MAX};
pub use self::reader::BlobReader;
use self::reader::Source;
pub use self::upload::Upload;
use crate::journal::disk::{lock_file, make_durable_dir, sync_dir};

/// What [`Blobs::open`] found.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub blobs: Blobs,
    /// How many blobs there are.
    pub count: u64,
    /// Unfinished uploads that were swept away.
    pub swept: usize,
    /// Stretches of packs that hold no whole blob: a torn tail, or bytes that rotted.
    pub damage: Vec<Damage>,
}

/// The blob store. Clones are the same store; every method may be called from any thread, and
/// blocks on the disk.
#[derive(Debug, Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    blob_bytes_max: u64,
    room: Arc<Room>,
    packs: Packs,
    guards: Guards,
    poison: Poison,
    /// Names the next file in `tmp`.
    uploads: AtomicU64,
    /// Held for its lock, which the system releases when the process ends, however it ends.
    _lock: File,
}

impl Blobs {
    /// Opens the store in `dir`, made if absent.
    ///
    /// Reads the packs and stats the large blobs: a second for some hundred thousand of either.
    ///
    /// | argument | unit | what happens beyond |
    /// |---|---|---|
    /// | `blob_bytes_max` | bytes of one blob | [`BlobError::TooLarge`] as soon as it is passed |
    /// | `total_bytes_max` | bytes of all blobs and uploads | [`BlobError::Full`]; nothing is lost |
    ///
    /// # Errors
    /// [`BlobError::Locked`] and [`BlobError::Io`]. Damage is reported, not refused: a blob lost
    /// can be uploaded again.
    pub fn open(
        dir: &Path,
        blob_bytes_max: u64,
        total_bytes_max: u64,
    ) -> Result<Opened, BlobError> {
        make_durable_dir(dir).map_err(|error| BlobError::io("make", dir, error))?;
        let lock = claim(dir)?;
        make_dirs(dir).map_err(|error| BlobError::io("make the folders in", dir, error))?;
        let swept = sweep(dir).map_err(|error| BlobError::io("sweep", dir, error))?;
        let large = count_large(dir).map_err(|error| BlobError::io("list", dir, error))?;
        let poison = Poison::default();
        let (packs, small, damage) = Packs::open(&dir.join("pack"), poison.clone())?;
        let guards = Guards::open(&dir.join("guarded"))?;
        let room =
            Room { total: AtomicU64::new(large.bytes + small.bytes), limit: total_bytes_max };
        let inner = Inner {
            dir: dir.to_owned(),
            blob_bytes_max,
            room: Arc::new(room),
            packs,
            guards,
            poison,
            uploads: AtomicU64::new(0),
            _lock: lock,
        };
        let (blobs, count) = (Self { inner: Arc::new(inner) }, large.count + small.count);
        Ok(Opened { blobs, count, swept, damage })
    }

    /// Begins an upload, to be written piece by piece. Dropping it forgets it.
    pub fn begin(&self) -> Upload {
        Upload::new(Arc::clone(&self.inner))
    }

    /// Stores `bytes`, durable on return.
    ///
    /// # Errors
    /// Those of [`Upload::write`] and [`Upload::finish`].
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let mut upload = self.begin();
        upload.write(bytes)?;
        upload.finish(None)
    }

    /// Stores up to [`SMALL_BYTES_MAX`] bytes; durable once [`Blobs::sync_small`] returns, readable
    /// at once. A larger blob is [`Blobs::put_bytes`].
    ///
    /// # Errors
    /// [`BlobError::TooLarge`], [`BlobError::Full`], [`BlobError::Poisoned`].
    pub fn put_small(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let limit = self.inner.blob_bytes_max.min(SMALL_BYTES_MAX as u64);
        if bytes.len() as u64 > limit {
            return Err(BlobError::TooLarge { limit });
        }
        let digest = Digest::of(bytes);
        self.inner.guards.clear(&digest)?;
        self.inner.put_small(digest, bytes)?;
        Ok(digest)
    }

    /// Makes durable every small blob put before the call, by any thread, with one `fdatasync`.
    /// Threads that call at the same time share it.
    ///
    /// # Errors
    /// Every error poisons the store.
    pub fn sync_small(&self) -> Result<(), BlobError> {
        self.inner.packs.sync()
    }

    /// Whether it is kept from those without a reason.
    pub fn is_guarded(&self, digest: &Digest) -> bool {
        self.inner.guards.has(digest)
    }

    /// Is it here?
    pub fn has(&self, digest: &Digest) -> bool {
        self.len(digest).is_some()
    }

    /// Its size in bytes, if it is here.
    pub fn len(&self, digest: &Digest) -> Option<u64> {
        self.inner.len(digest)
    }

    /// The whole blob, verified, if it has at most `max` bytes.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::OverMax`], [`BlobError::Damaged`], [`BlobError::Io`].
    pub fn read(&self, digest: &Digest, max: u64) -> Result<Vec<u8>, BlobError> {
        let mut reader = self.reader(digest)?;
        let bytes = reader.len();
        if bytes > max {
            return Err(BlobError::OverMax { digest: *digest, bytes, max });
        }
        let mut read = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
        match reader.read_to_end(&mut read) {
            Ok(_) => Ok(read),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(BlobError::Damaged { digest: *digest })
            }
            Err(error) => Err(BlobError::io("read", &self.inner.path(digest), error)),
        }
    }

    /// A reader of the blob, for streaming it out.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Io`]; [`BlobError::Damaged`] for a small one.
    pub fn reader(&self, digest: &Digest) -> Result<BlobReader, BlobError> {
        if let Some(bytes) = self.inner.packs.get(digest)? {
            let left = bytes.len() as u64;
            return Ok(BlobReader::new(*digest, Source::Small(Cursor::new(bytes)), left));
        }
        let path = self.inner.path(digest);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((bytes, file)) => Ok(BlobReader::new(*digest, Source::Large(file), bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(BlobError::Missing { digest: *digest })
            }
            Err(error) => Err(BlobError::io("open", &path, error)),
        }
    }

    /// Bytes of all blobs and of the uploads on their way.
    pub fn total(&self) -> u64 {
        self.inner.room.total.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn len(&self, digest: &Digest) -> Option<u64> {
        let small = self.packs.len(digest);
        small.or_else(|| Some(fs::metadata(self.path(digest)).ok()?.len()))
    }

    fn put_small(&self, digest: Digest, bytes: &[u8]) -> Result<(), BlobError> {
        self.poison.check()?;
        if self.packs.len(&digest).is_none() {
            let reserved = self.room.reserve(bytes.len() as u64)?;
            if self.packs.put(digest, bytes)? {
                reserved.keep();
            }
        }
        Ok(())
    }

    /// Where a large blob lives. Hex digits only, whatever was asked for.
    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.dir.join(&hex[..2]).join(&hex[2..])
    }
}

/// The bytes taken, and the cap on them.
#[derive(Debug)]
struct Room {
    total: AtomicU64,
    limit: u64,
}

impl Room {
    /// Takes `bytes` for something on its way.
    fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Reserved, BlobError> {
        let taken = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
            total.checked_add(bytes).filter(|total| *total <= self.limit)
        });
        match taken {
            Ok(_) => Ok(Reserved { room: Arc::clone(self), bytes }),
            Err(total) => Err(BlobError::Full { wanted: bytes, total, limit: self.limit }),
        }
    }
}

/// Room taken, given back when dropped.
#[derive(Debug)]
struct Reserved {
    room: Arc<Room>,
    bytes: u64,
}

impl Reserved {
    fn grow(&mut self, bytes: u64) -> Result<(), BlobError> {
        let mut more = self.room.reserve(bytes)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }

    /// What it was taken for is there to stay.
    fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.room.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The first error after which nothing may be written any more.
#[derive(Debug, Clone, Default)]
struct Poison(Arc<OnceLock<String>>);

impl Poison {
    fn check(&self) -> Result<(), BlobError> {
        match self.0.get() {
            Some(cause) => Err(BlobError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Poisons the store with a failed write or sync.
    fn with(&self, action: &'static str, path: &Path, source: io::Error) -> BlobError {
        // Only the first counts.
        let _ = self.0.set(format!("cannot {action} {}: {source}", path.display()));
        BlobError::io(action, path, source)
    }
}

/// Blobs counted.
#[derive(Debug, Default)]
struct Tally {
    count: u64,
    bytes: u64,
}

fn claim(dir: &Path) -> Result<File, BlobError> {
    lock_file(&dir.join("lock")).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            BlobError::Locked { dir: dir.display().to_string() }
        } else {
            BlobError::io("lock", dir, error)
        }
    })
}

/// Makes every folder there will ever be, so that no upload has to.
fn make_dirs(dir: &Path) -> io::Result<()> {
    for name in large_dirs().chain(["pack".to_owned(), "tmp".to_owned()]) {
        match fs::create_dir(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    // Always: a start that died right here may have made them.
    sync_dir(dir)
}

/// The folders of the large blobs: `00` to `ff`.
fn large_dirs() -> impl Iterator<Item = String> {
    (0..=u8::MAX).map(|first| format!("{first:02x}"))
}

/// Removes unfinished uploads.
///
/// An upload leaves `tmp` only after its new name is durable, so a file here may mean a blob that
/// is seen and not durable yet. Syncing all folders takes a second, and only after such a crash.
fn sweep(dir: &Path) -> io::Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(dir.join("tmp"))? {
        let path = entry?.path();
        if swept == 0 {
            large_dirs().try_for_each(|name| sync_dir(&dir.join(name)))?;
        }
        fs::remove_file(path)?;
        swept += 1;
    }
    Ok(swept)
}

fn count_large(dir: &Path) -> io::Result<Tally> {
    let mut tally = Tally::default();
    for name in large_dirs() {
        for entry in fs::read_dir(dir.join(name))? {
            tally.bytes += entry?.metadata()?.len();
            tally.count += 1;
        }
    }
    Ok(tally)
}
