//! Sealed batches on disk: header, signatures, and where the evidence is, written before a batch goes on
//! chain; and, once it is there, what the contract's word of it holds. Read for receipts and proofs. The evidence itself is a blob, named in the header.

use crate::blobs::{BlobError, Blobs};
use quorate_common::{
    B256,
    anchor::Opening,
    digest::Digest,
    frame,
    keys::VoteKey,
    messages::{Header, Message as _, Separator},
    wire::{decode, to_bytes},
};
use quorate_grid::{
    audit,
    evidence::{BATCH_FILE_BYTES_MAX, BatchFile, Seal},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// What is kept of a sealed batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sealed {
    /// What went on chain.
    pub header: Header,
    /// The scheduler's signatures.
    pub seal: Seal,
}

/// The folder of sealed batches.
#[derive(Clone, Debug)]
pub struct Batches {
    dir: PathBuf,
    blobs: std::sync::Arc<Blobs>,
}

/// Why a sealed batch cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// The disk refused.
    #[error("batch file {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The evidence is not in the blob store, or is damaged.
    #[error("evidence {digest}")]
    Evidence {
        /// Its name.
        digest: Digest,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// Another header was signed at this place: a second one would be a second history.
    #[error(
        "batch {index} was signed as {known} before and is {found} now; do not start this scheduler \
         again, its journal is not the one that it signed from"
    )]
    SecondHeader {
        /// Which batch.
        index: u64,
        /// What was signed.
        known: B256,
        /// What was to be signed.
        found: B256,
    },
    /// The bytes do not decode.
    #[error("batch {index} is damaged on disk: {reason}; restore it from a mirror")]
    Damaged {
        /// Which batch.
        index: u64,
        /// Why.
        reason: String,
    },
}

impl Batches {
    /// The folder at `dir`, made if absent.
    pub fn open(dir: &Path, blobs: std::sync::Arc<Blobs>) -> Result<Self, SealedError> {
        fs::create_dir_all(dir).map_err(|source| SealedError::Io { path: dir.into(), source })?;
        Ok(Self { dir: dir.into(), blobs })
    }

    /// Signs a closed batch and makes its evidence and signatures durable. One that was signed before is
    /// given as it was; nothing else is ever signed in its place, whatever the contract said to it.
    pub fn seal(
        &self,
        key: &VoteKey,
        separator: &Separator,
        header: &Header,
        file: &BatchFile,
    ) -> Result<Sealed, SealedError> {
        if let Some(known) = self.read(header.index)? {
            return same_header(known, header);
        }
        let digest = Digest::from(header.evidence);
        let stored = self.blobs.put_bytes(&file.to_bytes());
        stored.map_err(|source| SealedError::Evidence { digest, source })?;
        let seal = Seal {
            header: key.sign(separator.digest(header.struct_hash())),
            sets: audit::seal_hashes(file)
                .iter()
                .map(|hashes| frame::sign(key, separator, hashes))
                .collect(),
        };
        let sealed = Sealed { header: header.clone(), seal };
        self.write(self.path(header.index), &to_bytes(&sealed))?;
        Ok(sealed)
    }

    /// A sealed batch; `None` if there is none at `index`.
    pub fn read(&self, index: u64) -> Result<Option<Sealed>, SealedError> {
        read_if_there(index, self.path(index))
    }

    /// The evidence of a sealed batch.
    pub fn evidence(&self, header: &Header) -> Result<BatchFile, SealedError> {
        let digest = Digest::from(header.evidence);
        let bytes = self.blobs.read(&digest, BATCH_FILE_BYTES_MAX as u64);
        let bytes = bytes.map_err(|source| SealedError::Evidence { digest, source })?;
        BatchFile::parse(&bytes).map_err(|error| SealedError::Damaged {
            index: header.index,
            reason: error.to_string(),
        })
    }

    /// Notes what the contract's word of a batch holds, as its event said.
    pub fn note(&self, index: u64, opening: &Opening) -> Result<(), SealedError> {
        self.write(self.opening_path(index), &to_bytes(opening))
    }

    /// What the contract's word of a batch holds; `None` if its event was not heard yet.
    pub fn opening(&self, index: u64) -> Result<Option<Opening>, SealedError> {
        read_if_there(index, self.opening_path(index))
    }

    /// Notes the block by which a batch was seen to be final.
    ///
    /// # Errors
    /// The disk's.
    pub fn note_final(&self, index: u64, block: u64) -> Result<(), SealedError> {
        if self.final_at(index).is_some() {
            return Ok(());
        }
        self.write(self.final_path(index), &to_bytes(&block))
    }

    /// The block by which a batch was seen to be final, for people.
    pub fn final_at(&self, index: u64) -> Option<u64> {
        read_if_there(index, self.final_path(index)).ok().flatten()
    }

    fn final_path(&self, index: u64) -> PathBuf {
        self.dir.join(format!("{index:012}.final"))
    }

    fn write(&self, path: PathBuf, bytes: &[u8]) -> Result<(), SealedError> {
        let unborn = path.with_extension("tmp");
        let write = || -> io::Result<()> {
            let mut file = File::create(&unborn)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unborn, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| SealedError::Io { path: path.clone(), source })
    }

    fn path(&self, index: u64) -> PathBuf {
        self.dir.join(format!("{index:012}.seal"))
    }

    fn opening_path(&self, index: u64) -> PathBuf {
        self.dir.join(format!("{index:012}.open"))
    }
}

fn same_header(known: Sealed, header: &Header) -> Result<Sealed, SealedError> {
    if known.header == *header {
        return Ok(known);
    }
    let (known, found) = (known.header.struct_hash(), header.struct_hash());
    Err(SealedError::SecondHeader { index: header.index, known, found })
}

fn read_if_there<T: DeserializeOwned>(index: u64, path: PathBuf) -> Result<Option<T>, SealedError> {
    match fs::read(&path) {
        Ok(bytes) => decode(&bytes)
            .map(Some)
            .map_err(|error| SealedError::Damaged { index, reason: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SealedError::Io { path, source }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use quorate_common::{Address, ids::PoolId, messages::Domain};
    use std::sync::Arc;

    #[test]
    fn a_second_header_is_never_signed_in_a_batchs_place() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs"), 1 << 20, 1 << 24).unwrap().blobs;
        let batches = Batches::open(&dir.path().join("batches"), Arc::new(blobs)).unwrap();
        let key = VoteKey::from_bytes(&[7; 32]).unwrap();
        let separator = Domain { chain_id: 5, contract: Address::repeat_byte(1) }.separator();
        let file = BatchFile {
            pool: PoolId(1),
            index: 1,
            parent: None,
            pre_state_root: B256::ZERO,
            terms: Vec::new(),
            workers: Vec::new(),
            deals: Vec::new(),
            tasks: Vec::new(),
        };
        let evidence = file.digest().word();
        let header = Header { pool: PoolId(1), index: 1, evidence, ..Header::default() };
        let first = batches.seal(&key, &separator, &header, &file).unwrap();
        let again = batches.seal(&key, &separator, &header, &file).unwrap();
        assert_eq!(first.seal, again.seal);
        let other = Header { payout: 1, ..header.clone() };
        let error = batches.seal(&key, &separator, &other, &file).unwrap_err();
        assert!(matches!(error, SealedError::SecondHeader { index: 1, .. }), "{error}");
        assert_eq!(batches.read(1).unwrap().unwrap().header, header);
    }
}
