//! Compiled modules on disk.
//!
//! What is loaded from here is run as machine code, so a file counts only if it ends in a MAC
//! under the random key that lies beside it: that tells apart files this engine wrote from damage
//! and from files somebody put there. It is no defence against somebody who can read the key; the
//! folder is this user's alone for that. Anything wrong with a file is as if it were not there.
//!
//! A pack's code has hundreds of megabytes, so files are mapped, not read, and checked by all cores
//! at once ([`seal`]). The code stands first in a file, since a mapping begins at a page.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::seal;

/// What stands before the MAC: format and version.
const MAGIC: &[u8; 16] = b"quorate-module/2";

const KEY_FILE: &str = "key";
/// Bytes of it that are looked at: more than a key has, so that a longer file is no key.
const KEY_FILE_BYTES_MAX: u64 = 64;
const EXTENSION: &str = "module";

/// Bytes of one file: machine code is some four times its WebAssembly, which for a pack has up to 256 MiB.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Bytes of machine code in one.
pub(super) const CODE_BYTES_MAX: u64 = FILE_BYTES_MAX - TAIL_BYTES as u64;

/// Bytes of all files. A guess at what nobody misses on a desktop; beyond it the files that were
/// written first go first.
const TOTAL_BYTES_MAX: u64 = 4 << 30;

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

/// A file of machine code that has passed the MAC.
pub(super) struct Authentic {
    file: File,
}

impl Authentic {
    /// The file itself, the code at its beginning.
    pub(super) fn into_file(self) -> File {
        self.file
    }
}

const TAIL_BYTES: usize = MAGIC.len() + 32;

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
        match self.check(&path, module) {
            Ok(Some(authentic)) => Some(authentic),
            Ok(None) => {
                tracing::warn!(?path, "a cached module is damaged or foreign; compiling it again");
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, ?path, "a cached module cannot be read; compiling it again");
                None
            }
        }
    }

    fn check(&self, path: &Path, module: &[u8; 32]) -> io::Result<Option<Authentic>> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let code = len.checked_sub(TAIL_BYTES as u64).filter(|_| len <= FILE_BYTES_MAX);
        let Some(code) = code else { return Ok(None) };
        let mut tail = [0; TAIL_BYTES];
        seal::read_exact_at(&file, &mut tail, code)?;
        let right = self.tail(module, &seal::of_file(&self.key, &file, code)?);
        // What is compared is no secret's: who can write here can read the key.
        Ok((tail == right).then_some(Authentic { file }))
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
        let len = (code.len() + TAIL_BYTES) as u64;
        if len > FILE_BYTES_MAX {
            return Ok(());
        }
        self.make_room(len)?;
        let tail = self.tail(module, &seal::of_bytes(&self.key, code));
        // Written aside and renamed, so that nobody sees half of it.
        let aside = path.with_extension(format!("{:016x}", random::<8>().map(u64::from_le_bytes)?));
        let written = create_private(&aside).and_then(|mut to| {
            to.write_all(code)?;
            to.write_all(&tail)
        });
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

    /// Magic and MAC: over engine, module and the code's seal, all of fixed length.
    fn tail(&self, module: &[u8; 32], seal: &[u8; 32]) -> [u8; TAIL_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&self.engine).update(module).update(seal);
        let mut tail = [0; TAIL_BYTES];
        tail[..MAGIC.len()].copy_from_slice(MAGIC);
        tail[MAGIC.len()..].copy_from_slice(hasher.finalize().as_bytes());
        tail
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

/// Reads a small file.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(KEY_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
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

#[cfg(test)]
mod tests {
    use super::super::profile;
    use super::*;

    /// A file counts for the engine that wrote it: neither by its name nor under the other's.
    #[test]
    fn what_an_engine_of_other_settings_wrote_is_foreign() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = |config: &wasmtime::Config| {
            let engine = wasmtime::Engine::new(config).expect("an engine");
            Cache::open(dir.path().join("modules"), &engine).expect("a cache")
        };
        let (one, other) = (open(&profile::config()), open(&profile::pack_config()));
        let module = [7; 32];
        one.put(&module, b"machine code");
        assert!(one.get(&module).is_some() && other.get(&module).is_none());
        fs::copy(one.path(&module), other.path(&module)).expect("a copy");
        assert!(other.get(&module).is_none(), "the MAC is over the engine too");
    }
}
