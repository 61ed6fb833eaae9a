//! A signed text: the body as it was signed, byte for byte, and signatures beside it (after in-toto's
//! DSSE), so that no two programs can disagree about what was signed. What a body means is said
//! elsewhere.

use super::Refusal;
use quorate_common::{
    B256,
    keys::{NodeKey, node_signed},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;

/// The only schema there is.
const SCHEMA: &str = "quorate.signed/v1";
/// Signatures read in one document: twice the most keys a root may have, for a rotation.
pub const SIGNATURES_MAX: usize = 32;

/// A body and who signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// `quorate.signed/v1`.
    pub schema: String,
    /// JSON, as text: what was signed.
    pub body: String,
    /// By whom.
    pub signatures: Vec<Signed>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The ed25519 key.
    pub key: B256,
    /// 128 hex digits.
    pub signature: String,
}

impl Document {
    /// A body nobody has signed yet.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]: it cannot be written as JSON.
    pub fn new(body: &impl Serialize) -> Result<Self, Refusal> {
        let body = serde_json::to_string(body).map_err(|error| malformed("body", error))?;
        Ok(Self { schema: SCHEMA.into(), body, signatures: Vec::new() })
    }

    /// Reads what a source shows; nothing is believed yet.
    ///
    /// # Errors
    /// [`Refusal::TooLong`], [`Refusal::Malformed`].
    pub fn parse(bytes: &[u8], most: usize) -> Result<Self, Refusal> {
        if bytes.len() > most {
            return Err(Refusal::TooLong { what: "document", most: most as u64 });
        }
        let read = serde_json::from_slice(bytes);
        let document: Self = read.map_err(|error| malformed("document", error))?;
        if document.schema != SCHEMA || document.signatures.len() > SIGNATURES_MAX {
            let why = format!("expected schema `{SCHEMA}` and at most {SIGNATURES_MAX} signatures");
            return Err(malformed("document", why));
        }
        Ok(document)
    }

    /// The body, whoever signed it.
    pub(super) fn read<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, Refusal> {
        serde_json::from_str(&self.body).map_err(|error| malformed(what, error))
    }

    /// The keys that did sign this body for this purpose, each once.
    pub fn signers(&self, context: &str) -> BTreeSet<B256> {
        let is_good = |signed: &&Signed| {
            let mut bytes = [0; 64];
            hex::decode_to_slice(&signed.signature, &mut bytes).is_ok()
                && node_signed(signed.key, context, self.body.as_bytes(), &bytes)
        };
        self.signatures.iter().filter(is_good).map(|signed| signed.key).collect()
    }

    /// Adds a signature, once for each key.
    pub fn sign(&mut self, context: &str, key: &NodeKey) {
        let signature = hex::encode(key.sign(context, self.body.as_bytes()));
        self.add(Signed { key: key.public(), signature });
    }

    /// Takes over the signatures that somebody else made of the same body.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]: it is another body.
    pub fn combine(&mut self, other: Self) -> Result<(), Refusal> {
        if other.body != self.body {
            return Err(malformed("document", "the two documents have different bodies"));
        }
        other.signatures.into_iter().for_each(|signed| self.add(signed));
        Ok(())
    }

    fn add(&mut self, signed: Signed) {
        self.signatures.retain(|known| known.key != signed.key);
        self.signatures.push(signed);
    }
}

pub(super) fn malformed(what: &'static str, why: impl ToString) -> Refusal {
    Refusal::Malformed { what, why: why.to_string() }
}
