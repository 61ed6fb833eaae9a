//! Inputs that only some workers can read. A random key per order encrypts its input files
//! (XChaCha20-Poly1305, whole files, for they are held whole in memory anyhow); that key is sealed to each
//! reader's node key (HPKE, RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305).
//!
//! A sealed key is bound to the whole bag but the sealed keys themselves: whoever copies it into a bag of his
//! own, with a program that shows its inputs, finds that no worker can open it. Left out: arguments and
//! standard input, which stand in the bag for everybody, and results.

use crate::{
    bag::Bag,
    digest::Digest,
    keys::{self, KeyError, NodeKey},
};
use alloy_primitives::B256;
use chacha20poly1305::{
    AeadInOut as _, Key, KeyInit as _, XChaCha20Poly1305, XNonce, aead::inout::InOutBuf,
};
use ed25519_dalek::VerifyingKey;
use hpke::{
    Deserializable as _, OpModeR, OpModeS, Serializable as _, aead::ChaCha20Poly1305,
    kdf::HkdfSha256, kem::X25519HkdfSha256 as Kem, single_shot_open, single_shot_seal,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Readers of one bag: each is a row of some 230 bytes, and a pool of more has other worries.
pub const READERS_MAX: usize = 256;
/// Bytes by which a sealed file is longer: nonce and tag.
pub const OVERHEAD: usize = NONCE + TAG;

const NONCE: usize = 24;
const TAG: usize = 16;
/// An X25519 key, and 32 bytes with their tag.
const SEALED_KEY: usize = 32 + 32 + TAG;
/// What a sealed key is for, so that it opens nothing else.
const CONTEXT: &[u8] = b"quorate-inputs/1";

/// Somebody who can read a bag's sealed files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// The worker's node key.
    pub node: B256,
    /// The files' key, sealed to it: 80 bytes in hex.
    pub key: String,
}

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] KeyError),
    /// Not a public key.
    #[error("node key {0} is no ed25519 key; expected one that a worker has registered")]
    Node(B256),
    /// This node is not among the readers.
    #[error("the inputs are sealed to others; expected node {0} among the bag's readers")]
    NoReader(B256),
    /// Made for another bag or node, or spoiled.
    #[error("the sealed key of node {0} does not open: it was made for another bag, or spoiled")]
    Key(B256),
    /// The file was made with another key, or spoiled.
    #[error("a sealed input file of {0} bytes does not open: another key, or spoiled bytes")]
    File(usize),
}

/// What encrypts the files of one order.
#[derive(Clone)]
pub struct FilesKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for FilesKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FilesKey")
    }
}

impl FilesKey {
    /// A fresh one.
    ///
    /// # Errors
    /// No random bytes.
    pub fn random() -> Result<Self, SealError> {
        Ok(Self(Zeroizing::new(keys::random32()?)))
    }

    /// Encrypts a file: a random nonce, the bytes, a tag.
    ///
    /// # Errors
    /// No random bytes.
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let random = keys::random32()?;
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.extend_from_slice(&random[..NONCE]);
        sealed.extend_from_slice(plain);
        let (nonce, bytes) = sealed.split_at_mut(NONCE);
        let tag = self.cipher().encrypt_inout_detached(
            &XNonce::try_from(&*nonce).map_err(|_| SealError::File(plain.len()))?,
            CONTEXT,
            InOutBuf::from(bytes),
        );
        let tag = tag.map_err(|_| SealError::File(plain.len()))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Decrypts a file.
    ///
    /// # Errors
    /// [`SealError::File`].
    pub fn open(&self, mut sealed: Vec<u8>) -> Result<Vec<u8>, SealError> {
        let len = sealed.len();
        let bad = || SealError::File(len);
        let body = len.checked_sub(TAG).filter(|body| *body >= NONCE).ok_or_else(bad)?;
        let tag = sealed.split_off(body);
        let tag = tag.as_slice().try_into().map_err(|_| bad())?;
        let (nonce, bytes) = sealed.split_at_mut(NONCE);
        let nonce = XNonce::try_from(&*nonce).map_err(|_| bad())?;
        let opened =
            self.cipher().decrypt_inout_detached(&nonce, CONTEXT, InOutBuf::from(bytes), &tag);
        opened.map_err(|_| bad())?;
        sealed.drain(..NONCE);
        Ok(sealed)
    }

    /// Seals it to each of a bag's readers, for that bag.
    ///
    /// # Errors
    /// A node key that is none.
    pub fn seal_to(&self, bag: &mut Bag) -> Result<(), SealError> {
        let bag_digest = context_of(bag);
        for reader in &mut bag.readers {
            reader.key = self.sealed(reader.node, bag_digest)?;
        }
        Ok(())
    }

    fn sealed(&self, node: B256, bag: Digest) -> Result<String, SealError> {
        let to = public(node).ok_or(SealError::Node(node))?;
        let sealed = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Base,
            &to,
            CONTEXT,
            &*self.0,
            &bag.0,
        );
        let (share, bytes) = sealed.map_err(|_| SealError::Node(node))?;
        Ok(hex::encode([share.to_bytes().as_slice(), &bytes].concat()))
    }

    /// A bag's key, as this node can open it.
    ///
    /// # Errors
    /// [`SealError::NoReader`], [`SealError::Key`].
    pub fn open_from(bag: &Bag, node: &NodeKey) -> Result<Self, SealError> {
        let name = node.public();
        let reader = bag.readers.iter().find(|reader| reader.node == name);
        let reader = reader.ok_or(SealError::NoReader(name))?;
        let key = open_key(reader, node, context_of(bag)).ok_or(SealError::Key(name))?;
        Ok(Self(key))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0))
    }
}

fn open_key(reader: &Reader, node: &NodeKey, bag: Digest) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = [0; SEALED_KEY];
    hex::decode_to_slice(&reader.key, &mut bytes).ok()?;
    let (share, sealed) = bytes.split_at(32);
    let share = <Kem as hpke::Kem>::EncappedKey::from_bytes(share).ok()?;
    let secret = Zeroizing::new(node.signing_key().to_scalar_bytes());
    let secret = <Kem as hpke::Kem>::PrivateKey::from_bytes(&*secret).ok()?;
    let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        &secret,
        &share,
        CONTEXT,
        sealed,
        &bag.0,
    );
    let opened = Zeroizing::new(opened.ok()?);
    Some(Zeroizing::new(opened.as_slice().try_into().ok()?))
}

/// The X25519 half of a node's ed25519 key: one secret, two uses, as the same curve allows. Keys of small
/// order are nobody's.
fn public(node: B256) -> Option<<Kem as hpke::Kem>::PublicKey> {
    let key = VerifyingKey::from_bytes(&node.0).ok().filter(|key| !key.is_weak())?;
    <Kem as hpke::Kem>::PublicKey::from_bytes(key.to_montgomery().as_bytes()).ok()
}

/// What a sealed key is bound to: the bag without the sealed keys.
fn context_of(bag: &Bag) -> Digest {
    let mut bag = bag.clone();
    bag.readers.iter_mut().for_each(|reader| reader.key.clear());
    Digest::of(&bag.to_bytes())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::bag::{AppKind, InputFile, Limits, SCHEMA, Task};

    fn node(seed: u8) -> NodeKey {
        NodeKey::from_bytes(&[seed; 32])
    }

    fn bag(readers: &[&NodeKey]) -> Bag {
        let readers = readers.iter().map(|node| Reader { node: node.public(), key: String::new() });
        let file = InputFile { path: "a".into(), digest: Digest([1; 32]), sealed: true };
        Bag {
            schema: SCHEMA.into(),
            app: Digest([2; 32]),
            kind: AppKind::Wasm,
            with: Vec::new(),
            command: Vec::new(),
            readers: readers.collect(),
            dataset: None,
            limits: Limits::default(),
            files: vec![file],
            tasks: vec![Task::default()],
        }
    }

    #[test]
    fn its_readers_open_it_and_nobody_else() {
        let (one, other, stranger) = (node(1), node(2), node(3));
        let mut bag = bag(&[&one, &other]);
        let key = FilesKey::random().unwrap();
        key.seal_to(&mut bag).unwrap();
        let sealed = key.seal(b"secret").unwrap();
        assert_eq!(sealed.len(), 6 + OVERHEAD);
        for reader in [&one, &other] {
            let opened = FilesKey::open_from(&bag, reader).unwrap();
            assert_eq!(opened.open(sealed.clone()).unwrap(), b"secret");
        }
        let refused = FilesKey::open_from(&bag, &stranger).unwrap_err();
        assert!(matches!(refused, SealError::NoReader(who) if who == stranger.public()));
        assert_ne!(bag.readers[0].key, bag.readers[1].key);
        assert_ne!(key.seal(b"secret").unwrap(), sealed, "every file has its own nonce");
    }

    /// Else anybody who saw the bag could order its inputs shown.
    #[test]
    fn a_sealed_key_is_for_one_bag() {
        let one = node(1);
        let mut sealed = bag(&[&one]);
        FilesKey::random().unwrap().seal_to(&mut sealed).unwrap();
        assert!(FilesKey::open_from(&sealed, &one).is_ok());
        let changes: [fn(&mut Bag); 4] = [
            |bag| bag.app = Digest([9; 32]),
            |bag| bag.tasks[0].args = vec!["cat".into()],
            |bag| bag.files[0].path = "b".into(),
            |bag| bag.readers.push(Reader { node: node(7).public(), key: String::new() }),
        ];
        for change in changes {
            let mut bag = sealed.clone();
            change(&mut bag);
            let refused = FilesKey::open_from(&bag, &one).unwrap_err();
            assert!(matches!(refused, SealError::Key(_)), "{refused}");
        }
    }

    #[test]
    fn spoiled_files_and_keys_do_not_open() {
        let one = node(1);
        let mut bag = bag(&[&one]);
        let key = FilesKey::random().unwrap();
        key.seal_to(&mut bag).unwrap();
        let sealed = key.seal(b"some bytes").unwrap();
        for at in 0..sealed.len() {
            let mut spoiled = sealed.clone();
            spoiled[at] ^= 1;
            assert!(key.open(spoiled).is_err(), "byte {at}");
            assert!(key.open(sealed[..at].to_vec()).is_err(), "{at} bytes");
        }
        assert!(FilesKey::random().unwrap().open(sealed).is_err());
        bag.readers[0].key.replace_range(0..2, "00");
        assert!(FilesKey::open_from(&bag, &one).is_err());
        bag.readers[0].key.clear();
        assert!(FilesKey::open_from(&bag, &one).is_err());
        assert_eq!(key.open(key.seal(b"").unwrap()).unwrap(), b"");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let mut bag = bag(&[&node(1)]);
        let word = |y: u8| B256::new(std::array::from_fn(|at| if at == 0 { y } else { 0 }));
        // Half of all words are no point of the curve, and zero is one of small order.
        let off_curve = (2..50).map(word).find(|word| VerifyingKey::from_bytes(&word.0).is_err());
        for bad in [B256::ZERO, off_curve.unwrap()] {
            bag.readers[0].node = bad;
            let refused = FilesKey::random().unwrap().seal_to(&mut bag).unwrap_err();
            assert!(matches!(refused, SealError::Node(node) if node == bad), "{refused}");
        }
    }
}
