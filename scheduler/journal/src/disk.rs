//! The few disk operations the journal and its snapshots stand on, as a trait.
//!
//! A [`Disk`] is one flat folder. Tests put a disk under the journal that loses power, tears
//! sectors and fails at the n-th call; production uses [`RealDisk`]. What a call promises is what
//! POSIX promises and no more: nothing is durable before [`DiskFile::sync`], no name before
//! [`Disk::sync_dir`]. Nothing here retries, caches or knows what the bytes mean.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The unit in which a disk may lose or tear what was not synced, in bytes.
///
/// 512 is the smallest sector sold; a larger one is a multiple of it.
pub const SECTOR_BYTES: u64 = 512;

/// One flat folder of files.
pub trait Disk: Debug + Send + Sync {
    /// The names in the folder, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes `name` anew, `bytes` long and all zeros; whatever bore the name before is gone.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name, replacing what bore it, in one step.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes every creation, renaming and removal so far durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// One open file of a [`Disk`].
pub trait DiskFile: Debug + Send {
    /// Length in bytes.
    fn bytes(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset` on; an end of file in between is an error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes contents and length durable (`fdatasync`). After an error the file's unsynced bytes
    /// are in an unknown state for ever: a second call may succeed without having written them.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    dir: PathBuf,
    is_read_only: bool,
    /// Held for its lock, which the system releases when the process ends, however it ends.
    _lock: Option<File>,
}

impl RealDisk {
    /// Opens `dir`, made if absent, without claiming it. For snapshots and for readers.
    ///
    /// # Errors
    /// Whatever the system says about making the folder.
    pub fn open(dir: &Path) -> io::Result<Self> {
        make_durable_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), is_read_only: false, _lock: None })
    }

    /// Opens `dir`, which must be there, to look and not to touch: it may be a mounted backup.
    ///
    /// # Errors
    /// Whatever the system says about listing it.
    pub fn read_only(dir: &Path) -> io::Result<Self> {
        fs::read_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), is_read_only: true, _lock: None })
    }

    /// Opens `dir`, made if absent, and claims it for this process through the file `lock` in it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process holds the folder; else what the system says.
    pub fn claim(dir: &Path) -> io::Result<Self> {
        make_durable_dir(dir)?;
        let lock = lock_file(&dir.join("lock"))?;
        Ok(Self { dir: dir.to_owned(), is_read_only: false, _lock: Some(lock) })
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let path = self.dir.join(name);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(bytes)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file =
            OpenOptions::new().read(true).write(!self.is_read_only).open(self.dir.join(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_dir(&self.dir)
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        read_exact_at(&self.0, offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&self.0, offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Takes the exclusive lock of `path`, made if absent.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if another process holds it.
pub fn lock_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Makes `dir` and its parents; a folder made here survives a power cut.
pub fn make_durable_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_durable_dir(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    sync_dir(dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Makes the names in `dir` durable.
#[cfg(unix)]
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes the names in `dir` durable: nothing to do, since NTFS journals its names itself and a
/// folder cannot be opened as a file.
#[cfg(not(unix))]
pub fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
pub fn read_exact_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(unix)]
pub fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
pub fn read_exact_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut buffer[done..];
        match std::os::windows::fs::FileExt::seek_read(file, rest, offset + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => done += more,
        }
    }
    Ok(())
}

#[cfg(windows)]
pub fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        done +=
            std::os::windows::fs::FileExt::seek_write(file, &bytes[done..], offset + done as u64)?;
    }
    Ok(())
}
