//! A keyed hash of a large file that all cores share: of chunks first, then of the chunks' hashes.
//!
//! One core hashes some gigabytes a second with blake3, whatever instructions it lacks; reading from
//! the system's cache costs about as much, so chunks are read by the threads that hash them.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Bytes of a chunk: small enough to stay in a core's cache between reading and hashing.
const CHUNK_BYTES: u64 = 1 << 20;

/// Threads at most: beyond it memory is what is waited for.
const THREADS_MAX: usize = 8;

/// What one thread has hashed: chunks by their number.
type Hashed = io::Result<Vec<(u64, [u8; 32])>>;

/// The seal of bytes in memory.
pub(super) fn of_bytes(key: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let hashes =
        bytes.chunks(CHUNK_BYTES as usize).map(|chunk| *blake3::keyed_hash(key, chunk).as_bytes());
    of_hashes(key, bytes.len() as u64, hashes)
}

/// The seal of the first `len` bytes of a file.
pub(super) fn of_file(key: &[u8; 32], file: &File, len: u64) -> io::Result<[u8; 32]> {
    let next = AtomicU64::new(0);
    let chunks = usize::try_from(len.div_ceil(CHUNK_BYTES)).unwrap_or(usize::MAX);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut hashes = thread::scope(|scope| -> Hashed {
        let helpers = (1..cores.min(chunks).min(THREADS_MAX))
            .map(|_| scope.spawn(|| hash_chunks(key, file, len, &next)));
        let helpers: Vec<_> = helpers.collect();
        let mut hashes = hash_chunks(key, file, len, &next)?;
        for helper in helpers {
            let theirs =
                helper.join().map_err(|_| io::Error::other("a hashing thread panicked"))?;
            hashes.extend(theirs?);
        }
        Ok(hashes)
    })?;
    hashes.sort_unstable();
    Ok(of_hashes(key, len, hashes.into_iter().map(|(_, hash)| hash)))
}

/// Hashes one chunk after the other that nobody else has taken.
fn hash_chunks(key: &[u8; 32], file: &File, len: u64, next: &AtomicU64) -> Hashed {
    let mut hashes = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES as usize];
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let at = index.saturating_mul(CHUNK_BYTES);
        if at >= len {
            return Ok(hashes);
        }
        let chunk = &mut chunk[..(len - at).min(CHUNK_BYTES) as usize];
        read_exact_at(file, chunk, at)?;
        hashes.push((index, *blake3::keyed_hash(key, chunk).as_bytes()));
    }
}

fn of_hashes(key: &[u8; 32], len: u64, hashes: impl Iterator<Item = [u8; 32]>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&len.to_le_bytes());
    hashes.for_each(|hash| {
        hasher.update(&hash);
    });
    hasher.finalize().into()
}

/// Fills `buffer` from `at` on, wherever the file's own position is.
#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

/// Fills `buffer` from `at` on, wherever the file's own position is.
#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        at += read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_file_has_the_seal_of_its_bytes_however_many_hash_it() {
        let bytes: Vec<u8> = (0..3 * CHUNK_BYTES + 5).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&bytes).expect("written");
        let key = [3; 32];
        for len in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, bytes.len() as u64] {
            let sealed = of_file(&key, &file, len).expect("read");
            assert_eq!(sealed, of_bytes(&key, &bytes[..len as usize]), "{len}");
        }
        assert!(of_file(&key, &file, bytes.len() as u64 + 1).is_err(), "it ends before");
    }

    #[test]
    fn every_byte_the_length_and_the_key_count() {
        let mut bytes = vec![0; 2 * CHUNK_BYTES as usize];
        let seal = of_bytes(&[1; 32], &bytes);
        assert_ne!(seal, of_bytes(&[2; 32], &bytes));
        assert_ne!(seal, of_bytes(&[1; 32], &bytes[1..]));
        for at in [0, CHUNK_BYTES as usize, bytes.len() - 1] {
            bytes[at] ^= 1;
            assert_ne!(seal, of_bytes(&[1; 32], &bytes), "{at}");
            bytes[at] ^= 1;
        }
    }
}
