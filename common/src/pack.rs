//! The runtime pack: an interpreter that is too large to travel as one module, named by the sha256 of
//! the document read here. The document says which pieces make up the module and the files beside it,
//! how the module is called, and who vouches for it. Pieces are blobs like any other: fetched once,
//! checked against their names. What is done with them is the worker's engine's.

use crate::{
    digest::Digest,
    keys::{NodeKey, node_signed},
    manifest,
};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// The only schema there is.
pub const SCHEMA: &str = "quorate.pack/v1";
/// Largest document, in bytes: two parts of 256 MiB take 5 KiB, a thousand offered names 20 KiB.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 10;
/// Bytes of every piece but a part's last: a broken line costs at most so much again.
pub const PIECE_BYTES: u64 = 8 << 20;
/// Bytes of one part: CPython with SciPy inside has 90 MB of code, its library 53 MB.
pub const PART_BYTES_MAX: u64 = 256 << 20;
/// Files beside the module: a standard library and some data.
pub const FILES_MAX: usize = 16;
/// Names a pack may offer.
pub const OFFERS_MAX: usize = 1_024;
/// Bytes of an offered or wanted name, as `sklearn.linear_model`.
pub const NAME_BYTES_MAX: usize = 64;
/// What a publisher's signature is under, so that it serves no other purpose.
const CONTEXT: &str = "quorate-pack/1";

/// A runtime pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// [`SCHEMA`].
    pub schema: String,
    /// For people: `python`.
    pub name: String,
    /// For people: `3.15.0`.
    pub version: String,
    /// How the module is called.
    pub convention: Convention,
    /// The WASM module.
    pub module: Part,
    /// Read-only files that the module finds in its library folder.
    pub files: Vec<PackFile>,
    /// What may be asked for before a script begins (`--with`), sorted.
    pub offers: Vec<String>,
    /// ed25519 key of who vouches for it.
    pub publisher: B256,
    /// Over the document with an empty signature, in hex.
    pub signature: String,
}

/// How a pack's module is called. Closed: an engine knows it or refuses the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Convention {
    /// A reactor: `run() -> i32` reads the arguments of WASI preview 1 and runs a script;
    /// `turn(ptr, len) -> i32` runs source text that `host_alloc` made room for.
    #[serde(rename = "wasi-python/1")]
    WasiPython1,
}

/// Bytes in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How many in all, 1 to [`PART_BYTES_MAX`].
    pub bytes: u64,
    /// sha256 of all of them.
    pub digest: Digest,
    /// sha256 of each [`PIECE_BYTES`] of them; the last piece is shorter.
    pub pieces: Vec<Digest>,
}

/// A file beside the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackFile {
    /// Its path below the library folder.
    pub path: String,
    /// Its bytes.
    pub part: Part,
}

/// Why a document is no pack. A property of the document, the same for everybody.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PackError {
    /// The blob is too large.
    #[error("pack document has {0} bytes; expected at most {DOCUMENT_BYTES_MAX}")]
    TooLarge(usize),
    /// Not JSON of this shape.
    #[error("it is not a `{SCHEMA}` document: {0}")]
    Malformed(String),
    /// The right content, spelled otherwise: one pack has one digest.
    #[error("pack document is not written as `quorate pack make` writes it; make it again")]
    Spelling,
    /// A value is out of range.
    #[error("pack field `{field}` is {value}; expected {expected}")]
    Field {
        /// Its path.
        field: String,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: String,
    },
    /// Nobody vouches for it.
    #[error("pack signature is not publisher {0}'s; fetch the pack again or ask its publisher")]
    Signature(B256),
}

impl Pack {
    /// Reads and checks a document, signature included.
    ///
    /// # Errors
    /// [`PackError`], naming field, value and expectation.
    pub fn parse(bytes: &[u8]) -> Result<Self, PackError> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(PackError::TooLarge(bytes.len()));
        }
        let pack: Self = serde_json::from_slice(bytes)
            .map_err(|error| PackError::Malformed(error.to_string()))?;
        if pack.to_bytes() != bytes {
            return Err(PackError::Spelling);
        }
        pack.check()?;
        if pack.is_signed() { Ok(pack) } else { Err(PackError::Signature(pack.publisher)) }
    }

    /// The document as its blob.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a pack holds nothing JSON cannot say")
    }

    /// The same pack, vouched for by `key`.
    #[must_use]
    pub fn signed(self, key: &NodeKey) -> Self {
        let unsigned = Self { publisher: key.public(), signature: String::new(), ..self };
        let signature = hex::encode(key.sign(CONTEXT, &unsigned.to_bytes()));
        Self { signature, ..unsigned }
    }

    /// All pieces, module first.
    pub fn pieces(&self) -> impl Iterator<Item = Digest> {
        let files = self.files.iter().flat_map(|file| &file.part.pieces);
        self.module.pieces.iter().chain(files).copied()
    }

    /// Bytes of module and files.
    pub fn bytes(&self) -> u64 {
        self.module.bytes + self.files.iter().map(|file| file.part.bytes).sum::<u64>()
    }

    /// Whether `name`, or a package it lies in, may be asked for.
    pub fn offers(&self, name: &str) -> bool {
        let top = name.split('.').next().unwrap_or(name);
        self.offers.binary_search_by(|offer| offer.as_str().cmp(top)).is_ok()
    }

    /// What the signature is over does not include the signature.
    fn is_signed(&self) -> bool {
        let mut signature = [0; 64];
        if hex::decode_to_slice(&self.signature, &mut signature).is_err() {
            return false;
        }
        let unsigned = Self { signature: String::new(), ..self.clone() };
        node_signed(self.publisher, CONTEXT, &unsigned.to_bytes(), &signature)
    }

    fn check(&self) -> Result<(), PackError> {
        if self.schema != SCHEMA {
            return Err(field("schema", &self.schema, SCHEMA));
        }
        for (name, text) in [("name", &self.name), ("version", &self.version)] {
            if text.is_empty() || text.len() > NAME_BYTES_MAX || text.contains(char::is_control) {
                return Err(field(
                    name,
                    format!("{text:?}"),
                    format!("1 to {NAME_BYTES_MAX} bytes"),
                ));
            }
        }
        self.module.check("module")?;
        if self.files.len() > FILES_MAX {
            return Err(field("files", self.files.len(), format!("at most {FILES_MAX}")));
        }
        for (at, file) in self.files.iter().enumerate() {
            if manifest::check_path(&file.path).is_err() {
                let name = format!("files[{at}].path");
                return Err(field(&name, format!("{:?}", file.path), "a relative path"));
            }
            file.part.check(&format!("files[{at}].part"))?;
        }
        check_names("offers", &self.offers, OFFERS_MAX)
            .map_err(|(name, value, expected)| field(&name, value, expected))
    }
}

impl Part {
    /// The part that `bytes` are.
    pub fn of(bytes: &[u8]) -> Self {
        let pieces = bytes.chunks(PIECE_BYTES as usize).map(Digest::of).collect();
        Self { bytes: bytes.len() as u64, digest: Digest::of(bytes), pieces }
    }

    fn check(&self, name: &str) -> Result<(), PackError> {
        if self.bytes == 0 || self.bytes > PART_BYTES_MAX {
            let expected = format!("1 to {PART_BYTES_MAX} bytes");
            return Err(field(&format!("{name}.bytes"), self.bytes, expected));
        }
        let pieces = self.bytes.div_ceil(PIECE_BYTES);
        if self.pieces.len() as u64 != pieces {
            let expected = format!("{pieces}, of {PIECE_BYTES} bytes each but the last");
            return Err(field(&format!("{name}.pieces"), self.pieces.len(), expected));
        }
        Ok(())
    }
}

/// Whether names are dotted identifiers, sorted, each once, and at most `max` of them; else the field,
/// the value and what was expected.
pub(crate) fn check_names(
    name: &str,
    names: &[String],
    max: usize,
) -> Result<(), (String, String, String)> {
    if names.len() > max {
        return Err((name.into(), names.len().to_string(), format!("at most {max}")));
    }
    if let Some(at) = names.iter().position(|name| !is_dotted(name)) {
        let expected = format!("a module's name of at most {NAME_BYTES_MAX} bytes");
        return Err((format!("{name}[{at}]"), format!("{:?}", names[at]), expected));
    }
    match names.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err((name.into(), format!("{pair:?}"), "sorted, each name once".into())),
        None => Ok(()),
    }
}

/// `a.b_1`: what can stand behind `import` and nothing else.
fn is_dotted(name: &str) -> bool {
    let is_identifier = |part: &str| {
        let starts = part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        starts && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    name.len() <= NAME_BYTES_MAX && name.split('.').all(is_identifier)
}

fn field(name: &str, value: impl ToString, expected: impl ToString) -> PackError {
    PackError::Field {
        field: name.into(),
        value: value.to_string(),
        expected: expected.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack() -> Pack {
        Pack {
            schema: SCHEMA.into(),
            name: "python".into(),
            version: "3.15.0".into(),
            convention: Convention::WasiPython1,
            module: Part::of(&vec![1; PIECE_BYTES as usize + 1]),
            files: vec![PackFile { path: "python315.zip".into(), part: Part::of(b"zip") }],
            offers: vec!["numpy".into(), "scipy".into()],
            publisher: B256::ZERO,
            signature: String::new(),
        }
    }

    fn key() -> NodeKey {
        NodeKey::from_bytes(&[7; 32])
    }

    #[test]
    fn a_signed_pack_is_read_and_nothing_else_is() {
        let pack = pack().signed(&key());
        let bytes = pack.to_bytes();
        assert_eq!(Pack::parse(&bytes), Ok(pack.clone()));
        assert_eq!((pack.pieces().count(), pack.bytes()), (3, PIECE_BYTES + 4));
        let spaced = [&bytes[..1], b" ", &bytes[1..]].concat();
        assert_eq!(Pack::parse(&spaced), Err(PackError::Spelling));
        let other = Pack { version: "3.15.1".into(), ..pack.clone() };
        assert_eq!(Pack::parse(&other.to_bytes()), Err(PackError::Signature(pack.publisher)));
        let stolen = Pack { publisher: NodeKey::from_bytes(&[8; 32]).public(), ..pack };
        let error = Pack::parse(&stolen.to_bytes()).expect_err("another key's");
        assert!(error.to_string().starts_with("pack signature is not publisher 0x"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_named() {
        let refused = |change: fn(&mut Pack), expected: &str| {
            let mut pack = pack();
            change(&mut pack);
            let error = Pack::parse(&pack.signed(&key()).to_bytes()).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        };
        refused(|pack| pack.schema = "x".into(), "`schema` is x; expected quorate.pack/v1");
        refused(|pack| pack.module.bytes = 0, "`module.bytes` is 0");
        refused(|pack| pack.module.pieces.truncate(1), "`module.pieces` is 1; expected 2, of");
        refused(|pack| pack.files[0].path = "../x".into(), "`files[0].path`");
        refused(|pack| pack.offers.reverse(), "sorted, each name once");
        refused(|pack| pack.offers[0] = "os; x".into(), "`offers[0]` is \"os; x\"");
    }

    #[test]
    fn a_package_is_offered_with_what_lies_in_it() {
        let pack = pack();
        assert!(pack.offers("numpy") && pack.offers("scipy.optimize"));
        assert!(!pack.offers("torch") && !pack.offers("nump"));
    }
}
