//! One layer: unpacked here, in passing, to know what it would put on the volunteer's disk.

use super::{ENTRIES_MAX, ImageError};
use crate::tar::{Entry, Kind, Piece, Reader};
use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use std::io::{self, Cursor, Read};

/// Bytes unpacked at a time.
const CHUNK: usize = 64 << 10;
/// What compressed layers begin with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What the layers of an image have used up.
#[derive(Debug)]
pub(super) struct Allowance {
    entries: u64,
    bytes: u64,
    bytes_max: u64,
}

/// Checks a layer and returns the digest of what is in it.
pub(super) fn check(
    mut packed: impl Read,
    name: &str,
    allowance: &mut Allowance,
) -> Result<String, ImageError> {
    let mut magic = [0; 4];
    let known = read_full(&mut packed, &mut magic).map_err(ImageError::Io)?;
    let whole = Cursor::new(magic[..known].to_vec()).chain(packed);
    if magic.starts_with(&GZIP) {
        return scan(MultiGzDecoder::new(whole), name, allowance);
    }
    if magic == ZSTD {
        return Err(ImageError::part(name, "is compressed with zstd; expected gzip, or nothing"));
    }
    scan(whole, name, allowance)
}

fn scan(mut layer: impl Read, name: &str, allowance: &mut Allowance) -> Result<String, ImageError> {
    let (mut reader, mut hash, mut chunk) = (Reader::default(), Sha256::new(), vec![0; CHUNK]);
    loop {
        let read = layer.read(&mut chunk);
        // The file's own bytes were hashed already: what fails now is their compression.
        let read =
            read.map_err(|error| ImageError::part(name, format!("cannot be unpacked: {error}")))?;
        if read == 0 {
            break;
        }
        allowance.take_bytes(read as u64)?;
        hash.update(&chunk[..read]);
        reader.feed(&chunk[..read], &mut |piece| match piece {
            Piece::Entry(entry) => allowance.take(entry),
            Piece::Bytes(_) => Ok(()),
        })?;
    }
    reader.finish()?;
    Ok(format!("sha256:{}", hex::encode(hash.finalize())))
}

impl Allowance {
    /// All layers together may unpack to so many bytes.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { entries: 0, bytes: 0, bytes_max }
    }

    fn take_bytes(&mut self, bytes: u64) -> Result<(), ImageError> {
        self.bytes += bytes;
        if self.bytes > self.bytes_max {
            let what = "more bytes in its layers".to_owned();
            return Err(ImageError::TooLarge { what, most: self.bytes_max });
        }
        Ok(())
    }

    fn take(&mut self, entry: &Entry) -> Result<(), ImageError> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            let what = "more files and folders in its layers".to_owned();
            return Err(ImageError::TooLarge { what, most: ENTRIES_MAX });
        }
        if entry.path.split('/').any(|segment| segment == "..") {
            return Err(ImageError::part(&entry.path, "leads out of its layer"));
        }
        match entry.kind {
            Kind::Device => Err(ImageError::part(&entry.path, "is a device, in a layer")),
            Kind::File | Kind::HardLink | Kind::Symlink | Kind::Folder | Kind::Fifo => Ok(()),
        }
    }
}

/// As many bytes as there are, up to the buffer's length.
fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut known = 0;
    while known < buffer.len() {
        match from.read(&mut buffer[known..])? {
            0 => break,
            read => known += read,
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::{Item, Writer};
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    fn layer(size: usize) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.add(Item::File("zeros"), &vec![0; size]);
        writer.finish()
    }

    /// What counts is what layers are unpacked, all of them together, however small they came.
    #[test]
    fn layers_share_an_allowance_of_unpacked_bytes() {
        let plain = layer(10_000);
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&plain).expect("memory");
        let packed = packed.finish().expect("memory");
        assert!(packed.len() < 200, "{}", packed.len());
        let all = plain.len() as u64;
        let mut allowance = Allowance::new(2 * all);
        for bytes in [&plain, &packed] {
            check(&bytes[..], "a layer", &mut allowance).expect("it fits");
        }
        let error = check(&packed[..], "a layer", &mut allowance).expect_err("too much");
        let expected = format!("it has more bytes in its layers; expected at most {}", 2 * all);
        assert_eq!(error.to_string(), expected);
        let mut allowance = Allowance::new(all - 1);
        assert!(check(&packed[..], "a layer", &mut allowance).is_err(), "one byte too many");
    }
}
