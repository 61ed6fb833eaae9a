//! Whom to believe: keys, how many of them must sign, and how one root hands over to the next.

use super::{
    Document, Refusal,
    document::{SIGNATURES_MAX, malformed},
};
use quorate_common::B256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Bytes of a root document: sixteen keys and thirty-two signatures, twice over.
pub const ROOT_BYTES_MAX: usize = 16 << 10;
/// Keys of one root: a handful of people, each with one.
const KEYS_MAX: usize = SIGNATURES_MAX / 2;
/// With one, a single stolen key would be a release.
const THRESHOLD_MIN: usize = 2;

/// The keys of a publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// `quorate.update-root/v1`.
    pub schema: String,
    /// One more than the root before.
    pub version: u64,
    /// Unix seconds after which a release under it is refused, and only a successor helps.
    pub expires_unix: u64,
    /// Who may sign.
    pub keys: BTreeSet<B256>,
    /// How many of them must.
    pub threshold: usize,
}

impl Root {
    /// The only schema, and the context of signatures.
    pub const SCHEMA: &str = "quorate.update-root/v1";

    /// The first root: the owner chose to trust it, but it must be whole, so it signs itself.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn first(document: &Document) -> Result<Self, Refusal> {
        let root = Self::read(document)?;
        root.check("root", Self::SCHEMA, document)?;
        Ok(root)
    }

    /// The next root: the old keys hand over, and the new ones show that they exist.
    ///
    /// # Errors
    /// [`Refusal`]; the old root stays in force.
    pub fn succeed(&self, document: &Document) -> Result<Self, Refusal> {
        self.check("successor root", Self::SCHEMA, document)?;
        let next = Self::first(document)?;
        if next.version != self.version + 1 {
            return Err(Refusal::Succession { offered: next.version, trusted: self.version });
        }
        Ok(next)
    }

    /// Whether enough of the keys signed the document for this purpose.
    ///
    /// # Errors
    /// [`Refusal::TooFew`].
    pub fn check(
        &self,
        what: &'static str,
        context: &str,
        document: &Document,
    ) -> Result<(), Refusal> {
        let have = document.signers(context).intersection(&self.keys).count();
        if have < self.threshold {
            return Err(Refusal::TooFew { what, have, need: self.threshold });
        }
        Ok(())
    }

    /// What the document says, if it makes sense, whoever signed it.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn read(document: &Document) -> Result<Self, Refusal> {
        let root: Self = document.read("root")?;
        if root.schema != Self::SCHEMA {
            let why = format!("schema is `{}`; expected `{}`", root.schema, Self::SCHEMA);
            return Err(malformed("root", why));
        }
        let (keys, threshold) = (root.keys.len(), root.threshold);
        if keys > KEYS_MAX || !(THRESHOLD_MIN..=keys).contains(&threshold) {
            let why = format!(
                "{threshold} of {keys} keys; expected at least {THRESHOLD_MIN} of at most {KEYS_MAX}"
            );
            return Err(malformed("root", why));
        }
        Ok(root)
    }
}
