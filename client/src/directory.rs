//! The folder a requester keeps: which files there are, what they are called, and how the small
//! documents in it are written. `results` fills it, `verify` checks it; both read this.
//!
//! ```text
//! DIR/order.json              what was ordered, signed by the requester
//! DIR/bag.json                every task's arguments; its sha256 is in the order
//! DIR/anchor.json             the batches the receipts lead to
//! DIR/receipts/00000.json     one receipt per settled task
//! DIR/results/00000/manifest  what was voted for; its sha256 is in the receipt
//! DIR/results/00000/stdout    its standard output, if it wrote any
//! DIR/results/00000/files/…   what it wrote below /out
//! ```
//! Every document has exactly one spelling: compact JSON, fields in the order below, a line break at
//! the end. Another spelling of the same values is refused, so that no byte is without meaning.

use quorate_common::{
    B256,
    digest::Digest,
    manifest::{Entry, Manifest},
    messages::{Domain, ReqOrder},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What was ordered.
pub const ORDER: &str = "order.json";
/// The bag.
pub const BAG: &str = "bag.json";
/// The batches.
pub const ANCHOR: &str = "anchor.json";
/// One file per settled task.
pub const RECEIPTS: &str = "receipts";
/// One folder per accepted result.
pub const RESULTS: &str = "results";
/// Files on their way; gone when a fetch is complete.
pub const PARTIAL: &str = ".partial";
/// A result's manifest.
pub const MANIFEST: &str = "manifest";
/// A result's standard output.
pub const STDOUT: &str = "stdout";
/// What a task wrote below `/out`.
pub const FILES: &str = "files";
/// Largest `order.json` or `anchor.json` read, in bytes: 65,536 batches of 120 bytes.
pub const DOCUMENT_BYTES_MAX: u64 = 8 << 20;

/// `order.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderFile {
    /// [`OrderFile::SCHEMA`].
    pub schema: String,
    /// Chain and contract it was signed for.
    pub domain: Domain,
    /// Struct hash of `req`.
    pub order: B256,
    /// The order.
    pub req: ReqOrder,
    /// Hex of the requester's 64 bytes (EIP-2098); absent where the folder was filled on a machine
    /// that did not place the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl OrderFile {
    /// The only schema there is.
    pub const SCHEMA: &'static str = "quorate.order-file/v1";
}

/// `anchor.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorFile {
    /// [`AnchorFile::SCHEMA`].
    pub schema: String,
    /// Chain and contract.
    pub domain: Domain,
    /// Every batch a receipt is of, by index, none twice.
    pub batches: Vec<AnchorBatch>,
}

impl AnchorFile {
    /// The only schema there is.
    pub const SCHEMA: &'static str = "quorate.anchor/v1";
}

/// One batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorBatch {
    /// Its index.
    pub index: u64,
    /// Struct hash of its header.
    pub hash: B256,
    /// How far it was when the folder was written.
    pub state: BatchState,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// The scheduler signed it.
    Closed,
    /// It is on chain and can be challenged.
    Committed,
    /// It cannot change any more.
    Final,
}

impl BatchState {
    /// From the API's word; what is unknown is the least.
    pub fn of(word: &str) -> Self {
        match word {
            "final" => Self::Final,
            "committed" => Self::Committed,
            _ => Self::Closed,
        }
    }
}

/// A document's one spelling.
pub fn encode(document: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(document).expect("documents hold nothing JSON cannot say");
    bytes.push(b'\n');
    bytes
}

/// Why bytes are not a document.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DocumentError {
    /// Not JSON of this shape.
    #[error("it is not a document of this kind: {0}")]
    Malformed(String),
    /// The right values, differently written.
    #[error("it is not in its one spelling from byte {0} on")]
    Spelling(usize),
}

/// Reads a document in its one spelling and no other.
///
/// # Errors
/// [`DocumentError`].
pub fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, DocumentError> {
    let document: T = serde_json::from_slice(bytes)
        .map_err(|error| DocumentError::Malformed(error.to_string()))?;
    let expected = encode(&document);
    if expected == bytes {
        return Ok(document);
    }
    let same = expected.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    Err(DocumentError::Spelling(same))
}

/// `receipts/00007.json`.
pub fn receipt(idx: u32) -> String {
    format!("{RECEIPTS}/{idx:05}.json")
}

/// `results/00007`.
pub fn result(idx: u32) -> String {
    format!("{RESULTS}/{idx:05}")
}

/// Every file of a result but its manifest, with what it must hold, as paths below its folder.
pub fn entries(manifest: &Manifest) -> impl Iterator<Item = (String, Entry)> {
    let stdout = manifest.stdout.iter().map(|entry| (STDOUT.to_owned(), *entry));
    let files = manifest.files.iter().map(|(path, entry)| (format!("{FILES}/{path}"), *entry));
    stdout.chain(files)
}

/// The digest an entry names.
pub fn digest_of(entry: &Entry) -> Digest {
    Digest(entry.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_common::Address;

    #[test]
    fn a_document_has_one_spelling() {
        let batch =
            AnchorBatch { index: 7, hash: B256::repeat_byte(0xab), state: BatchState::Final };
        let anchor = AnchorFile {
            schema: AnchorFile::SCHEMA.into(),
            domain: Domain { chain_id: 31_337, contract: Address::repeat_byte(0xcd) },
            batches: vec![batch],
        };
        let bytes = encode(&anchor);
        assert_eq!(decode::<AnchorFile>(&bytes), Ok(anchor.clone()));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert_ne!(
                    decode::<AnchorFile>(&flipped),
                    Ok(anchor.clone()),
                    "bit {bit} of byte {at}"
                );
            }
        }
        let spaced = String::from_utf8_lossy(&bytes).replace(',', ", ").into_bytes();
        assert!(matches!(decode::<AnchorFile>(&spaced), Err(DocumentError::Spelling(_))));
    }

    #[test]
    fn names_sort_as_the_tasks_do() {
        assert_eq!(receipt(7), "receipts/00007.json");
        assert_eq!(result(65_535), "results/65535");
    }
}
