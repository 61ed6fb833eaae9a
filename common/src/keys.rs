//! The two keys of a node: ed25519 is who it is (TLS), secp256k1 is how it votes (EIP-712).
//! Files are text, mode 0600. Wallets (keystore V3) are `quorate-chain`'s.

use alloy_primitives::{Address, B256, keccak256};
use ed25519_dalek::{Signer as _, SigningKey, Verifier as _, VerifyingKey};
use secp256k1::{
    Message as EcMessage, SECP256K1, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use serde::{Deserialize, Serialize};
use std::{fmt, fs, io, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};
use zeroize::Zeroizing;

/// A 64-byte EIP-2098 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// First half.
    pub r: B256,
    /// Second half; its top bit is the parity of the recovery id.
    pub vs: B256,
}

impl Signature {
    /// `r ‖ vs`.
    pub fn to_bytes(self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(self.r.as_slice());
        bytes[32..].copy_from_slice(self.vs.as_slice());
        bytes
    }

    /// From `r ‖ vs`.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        Self { r: B256::from_slice(&bytes[..32]), vs: B256::from_slice(&bytes[32..]) }
    }
}

/// Half the order of secp256k1: the largest `s` that is accepted, so that a signature has one form.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// Who signed `digest`; `None` for anything the contract would refuse as well: a high `s`, a zero
/// half, no such point.
pub fn recover(digest: B256, signature: &Signature) -> Option<Address> {
    #[cfg(feature = "bugs")]
    if cheap::are_on() {
        return cheap::recover(digest, signature);
    }
    let mut compact = signature.to_bytes();
    let parity = i32::from(compact[32] >> 7);
    compact[32] &= 0x7f;
    if compact[32..] > HALF_ORDER[..] {
        return None;
    }
    let id = RecoveryId::try_from(parity).ok()?;
    let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
    let key = SECP256K1.recover_ecdsa(EcMessage::from_digest(digest.0), &signature).ok()?;
    Some(address_of(&key))
}

/// Signatures for the simulator that cost a hash instead of a curve, on the threads that ask for them.
/// Anybody can make anybody's; the simulator's liars sign with their own keys.
#[cfg(feature = "bugs")]
pub mod cheap {
    use super::{Address, B256, Signature, keccak256};
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<bool> = const { Cell::new(false) };
    }

    /// Whether this thread signs cheaply.
    pub fn are_on() -> bool {
        ON.get()
    }

    /// From now on this thread signs, and recovers, cheaply or for real.
    pub fn turn(on: bool) {
        ON.set(on);
    }

    pub(super) fn sign(digest: B256, signer: Address) -> Signature {
        let mut vs = keccak256([digest.as_slice(), signer.as_slice()].concat());
        vs.0[0] &= 0x7f;
        Signature { r: signer.into_word(), vs }
    }

    pub(super) fn recover(digest: B256, signature: &Signature) -> Option<Address> {
        let signer = Address::from_word(signature.r);
        (sign(digest, signer) == *signature).then_some(signer)
    }
}

fn address_of(key: &secp256k1::PublicKey) -> Address {
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}

/// The hot key that signs commits, reveals and a scheduler's frames and headers.
#[derive(Clone)]
pub struct VoteKey {
    secret: SecretKey,
    address: Address,
}

impl fmt::Debug for VoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoteKey({})", self.address)
    }
}

impl VoteKey {
    /// From 32 secret bytes; `None` for zero or beyond the curve's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let secret = SecretKey::from_byte_array(*bytes).ok()?;
        let address = address_of(&secp256k1::PublicKey::from_secret_key(SECP256K1, &secret));
        Some(Self { secret, address })
    }

    /// The address the contract recovers.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest: deterministic (RFC 6979), low `s`.
    pub fn sign(&self, digest: B256) -> Signature {
        #[cfg(feature = "bugs")]
        if cheap::are_on() {
            return cheap::sign(digest, self.address);
        }
        let message = EcMessage::from_digest(digest.0);
        let signature = SECP256K1.sign_ecdsa_recoverable(message, &self.secret);
        let (id, mut compact) = signature.serialize_compact();
        compact[32] |= u8::from(i32::from(id) & 1 == 1) << 7;
        Signature::from_bytes(&compact)
    }
}

/// A node's identity: the raw public key of its TLS connections.
#[derive(Clone)]
pub struct NodeKey(SigningKey);

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.public())
    }
}

impl NodeKey {
    /// From 32 secret bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// The public half, 32 bytes.
    pub fn public(&self) -> B256 {
        B256::new(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` under a `context`, so that no signature serves two purposes.
    pub fn sign(&self, context: &str, message: &[u8]) -> [u8; 64] {
        self.0.sign(&in_context(context, message)).to_bytes()
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.0
    }
}

/// Whether the node `public` signed `message` under `context`. Strict: no small-order keys.
pub fn node_signed(public: B256, context: &str, message: &[u8], signature: &[u8; 64]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(&public.0) else { return false };
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    !key.is_weak() && key.verify(&in_context(context, message), &signature).is_ok()
}

fn in_context(context: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(context.len() + 1 + message.len());
    bytes.extend_from_slice(context.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(message);
    bytes
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("key file {path}: cannot be {verb}")]
    Io {
        /// Which file.
        path: String,
        /// "read" or "written".
        verb: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file does not hold a key.
    #[error("key file {path}: expected 64 hex digits of a {kind} key; restore it from a backup")]
    Malformed {
        /// Which file.
        path: String,
        /// What it should hold.
        kind: &'static str,
    },
    /// Others may read the file.
    #[error("key file {path}: mode {mode:o} lets others read it; run `chmod 600 {path}`")]
    Exposed {
        /// Which file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(String),
}

/// Reads the node key at `path`, or makes one there.
pub fn node_key_at(path: &Path) -> Result<NodeKey, KeyError> {
    Ok(NodeKey::from_bytes(&*secret_at(path, "ed25519")?))
}

/// Reads the vote key at `path`, or makes one there.
pub fn vote_key_at(path: &Path) -> Result<VoteKey, KeyError> {
    let secret = secret_at(path, "secp256k1")?;
    VoteKey::from_bytes(&secret)
        .ok_or_else(|| KeyError::Malformed { path: path.display().to_string(), kind: "secp256k1" })
}

/// 32 random bytes from the operating system.
pub fn random32() -> Result<[u8; 32], KeyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

fn secret_at(path: &Path, kind: &'static str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    match fs::read(path) {
        Ok(text) => parse_secret(path, kind, &Zeroizing::new(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => new_secret(path),
        Err(source) => Err(io_error(path, "read", source)),
    }
}

fn parse_secret(
    path: &Path,
    kind: &'static str,
    text: &[u8],
) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).map_err(|source| io_error(path, "read", source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.display().to_string(), mode });
    }
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim_ascii(), &mut *secret)
        .map_err(|_| KeyError::Malformed { path: path.display().to_string(), kind })?;
    Ok(secret)
}

fn new_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let secret = Zeroizing::new(random32()?);
    let text = Zeroizing::new(hex::encode(*secret));
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|source| io_error(dir, "written", source))?;
    }
    let write = || -> io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(|source| io_error(path, "written", source))?;
    Ok(secret)
}

fn io_error(path: &Path, verb: &'static str, source: io::Error) -> KeyError {
    KeyError::Io { path: path.display().to_string(), verb, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_names_its_signer_and_has_one_form() {
        let key = VoteKey::from_bytes(&[1; 32]).expect("a valid key");
        for n in 0..50_u32 {
            let digest = keccak256(n.to_be_bytes());
            let signature = key.sign(digest);
            assert_eq!(recover(digest, &signature), Some(key.address()));
            assert_ne!(recover(keccak256(digest), &signature), Some(key.address()));
            let mut flipped = signature;
            flipped.vs.0[0] ^= 0x80;
            assert_ne!(recover(digest, &flipped), Some(key.address()));
        }
    }

    #[test]
    fn a_high_s_is_refused() {
        // Of the high halves, EIP-2098 has room for the few below 2^255: the first of them.
        let key = VoteKey::from_bytes(&[1; 32]).expect("a valid key");
        let digest = keccak256("x");
        let mut signature = key.sign(digest);
        signature.vs = B256::new(HALF_ORDER);
        assert!(recover(digest, &signature).is_some());
        signature.vs.0[31] += 1;
        assert_eq!(recover(digest, &signature), None);
        signature.vs = B256::ZERO;
        assert_eq!(recover(digest, &signature), None);
    }

    #[test]
    fn key_files_are_private_and_come_back() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("keys/vote.key");
        let made = vote_key_at(&path).expect("made");
        assert_eq!(vote_key_at(&path).expect("read").address(), made.address());
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(vote_key_at(&path), Err(KeyError::Exposed { mode: 0o644, .. })));
    }
}
