//! Blobs on disk, named by their sha256: inputs that came and results that may be asked for.
//!
//! Every blob is checked when it comes and again when it is read: a flipped bit in an input would
//! become a dissenting vote. The folder is capped; what nobody holds goes least recently used first.
//! Who holds what is told by its users ([`Blobs::hold`]); how blobs travel is `transfer`'s.

use quorate_agent::Ticket;
use quorate_common::{digest::Digest, ids::TaskKey};
use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};

/// Largest blob, in bytes: the largest output a bag may allow.
pub const BLOB_BYTES_MAX: u64 = quorate_common::bag::Limits::OUTPUT_MAX;

/// Blobs of which a part is kept at once: as many as a broken connection may have interrupted.
const PARTS_MAX: usize = 8;

/// Who needs blobs to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// Work that will read them.
    Work(Ticket),
    /// A result that may be asked for.
    Result(TaskKey),
}

/// Why a blob cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is not here.
    #[error("blob {0} is not here")]
    Missing(Digest),
    /// Its bytes are not those of its name. It was removed.
    #[error("blob {0} is damaged and was removed")]
    Damaged(Digest),
    /// All that could go is gone, and it still does not fit.
    #[error(
        "blob {digest} of {len} bytes does not fit: {held} of {cap} bytes are held; raise `cache_bytes`"
    )]
    Full {
        /// Which.
        digest: Digest,
        /// Its length.
        len: u64,
        /// Bytes that must stay.
        held: u64,
        /// Bytes that may be.
        cap: u64,
    },
    /// The disk said no.
    #[error("blob folder {path} failed")]
    Io {
        /// Which folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A capped folder of blobs. One process, one folder.
#[derive(Debug)]
pub struct Blobs {
    dir: PathBuf,
    cap: u64,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    files: BTreeMap<Digest, File>,
    holders: BTreeMap<Holder, Vec<Digest>>,
    bytes: u64,
    /// Counts uses; a file's last one is its place in the queue for removal.
    clock: u64,
    temporary: u64,
    /// Blobs that came in part, the latest last.
    parts: VecDeque<Digest>,
}

#[derive(Debug)]
struct File {
    len: u64,
    used: u64,
    holders: u32,
}

impl Blobs {
    /// Opens the folder, or makes it. Half-written files of an earlier life are removed.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(dir: &Path, cap: u64) -> Result<Self, BlobError> {
        let failed = |source| BlobError::Io { path: dir.into(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let metadata = entry.metadata().map_err(failed)?;
            match entry.file_name().to_str().and_then(|name| name.parse::<Digest>().ok()) {
                Some(digest) => {
                    let at = metadata.modified().unwrap_or(UNIX_EPOCH);
                    found.push((at, digest, metadata.len()));
                }
                None => fs::remove_file(entry.path()).map_err(failed)?,
            }
        }
        found.sort_unstable();
        let mut index = Index::default();
        for (_, digest, len) in found {
            index.add(digest, len);
        }
        Ok(Self { dir: dir.into(), cap, index: Mutex::new(index) })
    }

    /// Whether a blob is here.
    pub fn has(&self, digest: Digest) -> bool {
        self.lock().files.contains_key(&digest)
    }

    /// The bytes of a blob, checked.
    ///
    /// # Errors
    /// Not here, or not what its name says.
    pub fn read(&self, digest: Digest) -> Result<Vec<u8>, BlobError> {
        if self.lock().touch(digest).is_none() {
            return Err(BlobError::Missing(digest));
        }
        let bytes = fs::read(self.path(digest)).map_err(|source| self.failed(source))?;
        if Digest::of(&bytes) == digest {
            return Ok(bytes);
        }
        self.remove(digest);
        Err(BlobError::Damaged(digest))
    }

    /// Keeps bytes under their name.
    ///
    /// # Errors
    /// No room, or the disk failed.
    pub fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), BlobError> {
        if self.has(digest) {
            return Ok(());
        }
        let path = self.temporary(digest, bytes.len() as u64)?;
        fs::write(&path, bytes).map_err(|source| self.failed(source))?;
        self.adopt(digest, bytes.len() as u64, &path)
    }

    /// Makes blobs outlive a loss of power.
    ///
    /// # Errors
    /// One is gone, or the disk failed.
    pub fn sync(&self, digests: &[Digest]) -> Result<(), BlobError> {
        let sync = |path: &Path| fs::File::open(path)?.sync_all();
        let files = digests.iter().try_for_each(|digest| sync(&self.path(*digest)));
        files.and_then(|()| sync(&self.dir)).map_err(|source| self.failed(source))
    }

    /// A name for a file of `len` bytes that will be [`Blobs::adopt`]ed, once there is room for it.
    fn temporary(&self, digest: Digest, len: u64) -> Result<PathBuf, BlobError> {
        self.make_room(digest, len)?;
        let mut index = self.lock();
        index.temporary += 1;
        Ok(self.dir.join(format!("tmp-{}", index.temporary)))
    }

    /// The file of a blob of which a part may have come: what it holds was not checked. A restart removes it.
    pub fn part(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("part-{digest}"))
    }

    /// Keeps what came of a blob whose connection broke, as one of the last `PARTS_MAX`.
    pub fn keep_part(&self, digest: Digest) {
        let mut index = self.lock();
        index.parts.retain(|kept| *kept != digest);
        index.parts.push_back(digest);
        while index.parts.len() > PARTS_MAX {
            if let Some(oldest) = index.parts.pop_front() {
                drop(fs::remove_file(self.part(oldest)));
            }
        }
    }

    /// Takes over a finished file whose bytes were checked.
    ///
    /// # Errors
    /// The disk failed.
    pub fn adopt(&self, digest: Digest, len: u64, path: &Path) -> Result<(), BlobError> {
        fs::rename(path, self.path(digest)).map_err(|source| self.failed(source))?;
        self.lock().add(digest, len);
        Ok(())
    }

    /// Makes `digests` stay until [`Blobs::release`]; blobs that come later are held as well.
    pub fn hold(&self, holder: Holder, digests: &[Digest]) {
        let mut index = self.lock();
        for digest in digests {
            if let Some(file) = index.files.get_mut(digest) {
                file.holders += 1;
            }
        }
        index.holders.entry(holder).or_default().extend_from_slice(digests);
    }

    /// `holder` needs its blobs no longer.
    pub fn release(&self, holder: Holder) {
        let mut index = self.lock();
        for digest in index.holders.remove(&holder).unwrap_or_default() {
            index.let_go(digest);
        }
    }

    /// `holder` needs these blobs no longer, each as often as it is named.
    pub fn release_some(&self, holder: Holder, digests: &[Digest]) {
        let mut index = self.lock();
        for digest in digests {
            let Some(held) = index.holders.get_mut(&holder) else { return };
            let Some(at) = held.iter().position(|known| known == digest) else { continue };
            held.swap_remove(at);
            index.let_go(*digest);
        }
        if index.holders.get(&holder).is_some_and(Vec::is_empty) {
            index.holders.remove(&holder);
        }
    }

    /// Bytes of one blob; 0 if it is not here.
    pub fn len(&self, digest: Digest) -> u64 {
        self.lock().files.get(&digest).map_or(0, |file| file.len)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Where all of them are, each named by its digest.
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// The file of a blob that is here.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    /// Throws away what nobody holds until `len` bytes fit.
    ///
    /// # Errors
    /// All of it is held.
    pub fn make_room(&self, digest: Digest, len: u64) -> Result<(), BlobError> {
        loop {
            let mut index = self.lock();
            if index.bytes + len <= self.cap {
                return Ok(());
            }
            let Some(victim) = index.victim() else {
                let held = index.bytes;
                return Err(BlobError::Full { digest, len, held, cap: self.cap });
            };
            index.forget(victim);
            drop(index);
            fs::remove_file(self.path(victim)).map_err(|source| self.failed(source))?;
        }
    }

    /// Throws away everything that nobody holds.
    ///
    /// # Errors
    /// The disk failed.
    pub fn clear(&self) -> Result<(), BlobError> {
        loop {
            let mut index = self.lock();
            let Some(victim) = index.victim() else { return Ok(()) };
            index.forget(victim);
            drop(index);
            fs::remove_file(self.path(victim)).map_err(|source| self.failed(source))?;
        }
    }

    fn remove(&self, digest: Digest) {
        self.lock().forget(digest);
        // It is damaged or gone; whether the disk still shows it changes nothing.
        drop(fs::remove_file(self.path(digest)));
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, source: io::Error) -> BlobError {
        BlobError::Io { path: self.dir.clone(), source }
    }
}

impl Index {
    fn add(&mut self, digest: Digest, len: u64) {
        let holders = self.holders.values().flatten().filter(|held| **held == digest).count();
        let holders = u32::try_from(holders).unwrap_or(u32::MAX);
        self.clock += 1;
        let file = File { len, used: self.clock, holders };
        let before = self.files.insert(digest, file);
        self.bytes = self.bytes - before.map_or(0, |file| file.len) + len;
    }

    fn let_go(&mut self, digest: Digest) {
        if let Some(file) = self.files.get_mut(&digest) {
            file.holders = file.holders.saturating_sub(1);
        }
    }

    fn touch(&mut self, digest: Digest) -> Option<()> {
        self.clock += 1;
        self.files.get_mut(&digest)?.used = self.clock;
        Some(())
    }

    /// What to throw away next: free, and longest unused.
    fn victim(&self) -> Option<Digest> {
        let free = self.files.iter().filter(|(_, file)| file.holders == 0);
        free.min_by_key(|(_, file)| file.used).map(|(digest, _)| *digest)
    }

    fn forget(&mut self, digest: Digest) {
        if let Some(file) = self.files.remove(&digest) {
            self.bytes -= file.len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_common::ids::DealSlot;

    fn result(idx: u32) -> Holder {
        Holder::Result(TaskKey { deal: DealSlot(0), idx })
    }

    fn put(blobs: &Blobs, byte: u8) -> Result<Digest, BlobError> {
        let bytes = [byte; 10];
        let digest = Digest::of(&bytes);
        blobs.put(digest, &bytes).map(|()| digest)
    }

    #[test]
    fn the_least_recently_used_goes_and_what_is_held_stays() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let blobs = Blobs::open(dir.path(), 35).expect("opened");
        let [a, b, c] = [1, 2, 3].map(|byte| put(&blobs, byte).expect("fits"));
        blobs.hold(result(1), &[b]);
        blobs.read(a).expect("here");
        let d = put(&blobs, 4).expect("c goes");
        assert_eq!([a, b, c, d].map(|x| blobs.has(x)), [true, true, false, true]);
        blobs.hold(result(2), &[a, d]);
        let error = put(&blobs, 5).expect_err("all is held").to_string();
        assert!(error.contains("of 10 bytes does not fit: 30 of 35 bytes are held"), "{error}");
        blobs.hold(result(2), &[d]);
        blobs.release_some(result(2), &[d]);
        assert!(put(&blobs, 5).is_err(), "d is still held once");
        blobs.release(result(2));
        blobs.release(result(2));
        put(&blobs, 5).expect("a goes");
        assert_eq!([a, b, d].map(|x| blobs.has(x)), [false, true, true]);
        assert_eq!(blobs.bytes(), 30);
    }

    #[test]
    fn a_restart_finds_whole_blobs_and_removes_halves() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let blobs = Blobs::open(dir.path(), 100).expect("opened");
        let a = put(&blobs, 1).expect("fits");
        fs::write(dir.path().join("tmp-9"), b"half").expect("written");
        let blobs = Blobs::open(dir.path(), 100).expect("opened");
        assert!(blobs.has(a) && !dir.path().join("tmp-9").exists());
        assert_eq!(blobs.read(a).expect("whole"), [1; 10]);
    }

    #[test]
    fn a_damaged_blob_is_never_read() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let blobs = Blobs::open(dir.path(), 100).expect("opened");
        let a = put(&blobs, 1).expect("fits");
        fs::write(blobs.path(a), b"other bytes").expect("written");
        assert!(matches!(blobs.read(a), Err(BlobError::Damaged(_))));
        assert!(matches!(blobs.read(a), Err(BlobError::Missing(_))));
        assert_eq!(blobs.bytes(), 0);
    }
}
