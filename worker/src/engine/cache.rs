//! Compiled modules on disk.
//!
//! What is loaded from here is run as machine code, so a file counts only if it carries a MAC
//! under the random key that lies beside it: that tells apart files this engine wrote from damage
//! and from files somebody put there. It is no defence against somebody who can read the key; the
//! folder is this user's alone for that. Anything wrong with a file is as if it were not there.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// What a file begins with: format and version.
const MAGIC: &[u8; 16] = b"quorate-module/1";

const KEY_FILE: &str = "key";
const EXTENSION: &str = "module";

/// Bytes of one file: machine code is some four times its WebAssembly, which has at most 64 MiB.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Bytes of all files. A guess at what nobody misses on a desktop; beyond it the files that were
/// written first go first.
const TOTAL_BYTES_MAX: u64 = 2 << 30;

/// Why the cache folder cannot be used. Name another folder, or mend this one.
#[derive(Debug, Error)]
#[error(
    "the cache folder {dir:?} cannot be used, expected a folder that this user can write to: {source}"
)]
pub struct CacheError {
    /// The folder.
    pub dir: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Machine code that has passed the MAC.
pub(super) struct Authentic {
    file: Vec<u8>,
}

impl Authentic {
    /// The code itself.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.file[HEAD_BYTES..]
    }
}

const HEAD_BYTES: usize = MAGIC.len() + 32;

/// The folder and its key.
pub(super) struct Cache {
    dir: PathBuf,
    key: [u8; 32],
    /// Sets apart code of other versions, settings and processors.
    engine: [u8; 32],
}

impl Cache {
    pub(super) fn open(dir: PathBuf, engine: &wasmtime::Engine) -> Result<Self, CacheError> {
        let mut hasher = Fingerprint(Sha256::new_with_prefix(super::profile::hash()));
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = hasher.0.finalize().into();
        match private_dir(&dir).and_then(|()| key(&dir)) {
            Ok(key) => Ok(Self { dir, key, engine }),
            Err(source) => Err(CacheError { dir, source }),
        }
    }

    /// The machine code of a module, if it is here and authentic.
    pub(super) fn get(&self, module: &[u8; 32]) -> Option<Authentic> {
        let path = self.path(module);
        let file = match read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, ?path, "a cached module cannot be read; compiling it again");
                return None;
            }
        };
        if file.len() < HEAD_BYTES || file[..HEAD_BYTES] != self.head(module, &file) {
            tracing::warn!(?path, "a cached module is damaged or foreign; compiling it again");
            return None;
        }
        Some(Authentic { file })
    }

    /// Keeps the machine code of a module. A cache that cannot be written to costs time only, so
    /// trouble is logged.
    pub(super) fn put(&self, module: &[u8; 32], code: &[u8]) {
        let path = self.path(module);
        if let Err(error) = self.write(&path, module, code) {
            tracing::warn!(%error, ?path, "a compiled module cannot be kept");
        }
    }

    fn write(&self, path: &Path, module: &[u8; 32], code: &[u8]) -> io::Result<()> {
        let len = (HEAD_BYTES + code.len()) as u64;
        if len > FILE_BYTES_MAX {
            return Ok(());
        }
        self.make_room(len)?;
        let mut file = vec![0; HEAD_BYTES];
        file.extend_from_slice(code);
        let head = self.head(module, &file);
        file[..HEAD_BYTES].copy_from_slice(&head);
        // Written aside and renamed, so that nobody sees half of it.
        let aside = path.with_extension(format!("{:016x}", random::<8>().map(u64::from_le_bytes)?));
        let written = create_private(&aside).and_then(|mut to| to.write_all(&file));
        let done = written.and_then(|()| fs::rename(&aside, path));
        if done.is_err() {
            let _ = fs::remove_file(&aside);
        }
        done
    }

    /// Removes the oldest files until `len` more bytes fit.
    fn make_room(&self, len: u64) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_file() && entry.file_name() != KEY_FILE {
                files.push((meta.modified()?, meta.len(), entry.path()));
            }
        }
        files.sort();
        let mut total: u64 = len + files.iter().map(|(_, len, _)| len).sum::<u64>();
        for (_, len, path) in files {
            if total <= TOTAL_BYTES_MAX {
                break;
            }
            fs::remove_file(path)?;
            total -= len;
        }
        Ok(())
    }

    fn path(&self, module: &[u8; 32]) -> PathBuf {
        let (module, engine) = (hex::encode(module), hex::encode(&self.engine[..8]));
        self.dir.join(format!("{module}-{engine}.{EXTENSION}"))
    }

    /// Magic and MAC: sha256 of key, engine, module and the code's own sha256. A keyed hash over
    /// an input of fixed length needs no HMAC.
    fn head(&self, module: &[u8; 32], file: &[u8]) -> [u8; HEAD_BYTES] {
        let code = Sha256::digest(&file[HEAD_BYTES..]);
        let mac = Sha256::new()
            .chain_update(self.key)
            .chain_update(self.engine)
            .chain_update(module)
            .chain_update(code)
            .finalize();
        let mut head = [0; HEAD_BYTES];
        head[..MAGIC.len()].copy_from_slice(MAGIC);
        head[MAGIC.len()..].copy_from_slice(&mac);
        head
    }
}

impl fmt::Debug for Cache {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Feeds `Hash` into sha256, which unlike the standard hasher is the same in every process.
struct Fingerprint(Sha256);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
    }
}

/// The folder's key; made when the folder is new. A key of another length is replaced, which
/// makes every file foreign.
fn key(dir: &Path) -> io::Result<[u8; 32]> {
    let path = dir.join(KEY_FILE);
    if let Some(key) = read(&path).ok().and_then(|bytes| bytes.try_into().ok()) {
        return Ok(key);
    }
    let key = random::<32>()?;
    let aside = dir.join(format!("{KEY_FILE}.{:016x}", u64::from_le_bytes(random::<8>()?)));
    create_private(&aside)?.write_all(&key)?;
    fs::rename(&aside, &path)?;
    // Somebody else may have been faster; what lies there now is the key.
    read(&path)?.try_into().map_err(|_| io::Error::other("its key file has another length"))
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Reads a file of at most [`FILE_BYTES_MAX`].
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    if len > FILE_BYTES_MAX {
        return Err(io::Error::other("it is too large to be one of this engine's files"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Creates the folder if it is missing. One that others may write to is refused: they could put a
/// key and modules of their own there. It is not closed to them here, since it might be `/tmp`.
#[cfg(unix)]
fn private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    const OTHERS_WRITE: u32 = 0o022;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if fs::metadata(dir)?.permissions().mode() & OTHERS_WRITE != 0 {
        return Err(io::Error::other("others may write to it, expected mode 0700"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}
