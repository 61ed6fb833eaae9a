//! What a publisher says about one version: `quorate.update/v1`.

use super::{Document, Refusal, VERSION_BYTES_MAX, document::malformed};
use quorate_common::digest::Digest;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes of a release document: notes, platforms and signatures, four times over.
pub const RELEASE_BYTES_MAX: usize = 64 << 10;
/// Bytes of one program. The worker has 30 MB; an engine more would double that.
pub const ARTEFACT_BYTES_MAX: u64 = 256 << 20;
/// Bytes of the notes: what fits on a screen.
const NOTES_BYTES_MAX: usize = 4 << 10;
/// Platforms of one release.
const PLATFORMS_MAX: usize = 32;
/// Longest life of one document: whoever is frozen out hears of it within a quarter.
const LIFE_S_MAX: u64 = 92 * 86_400;

/// One version of one product on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// `quorate.update/v1`.
    pub schema: String,
    /// `quorate-worker`.
    pub product: String,
    /// `stable`, or what the publisher calls it.
    pub channel: String,
    /// What it installs.
    pub version: Version,
    /// Counts the documents of a channel; never goes back.
    pub sequence: u64,
    /// Unix seconds it was made at.
    pub created_unix: u64,
    /// Unix seconds from which on it is refused.
    pub expires_unix: u64,
    /// How many in a thousand machines it is meant for so far. Each knows by a secret of its own whether it is
    /// one of them, and nobody else does.
    pub share: u16,
    /// The oldest version it may follow.
    pub from: Version,
    /// What it brings, for people.
    pub notes: String,
    /// The program by platform, as `x86_64-linux`.
    pub artefacts: BTreeMap<String, Artefact>,
}

/// One file. Its name at the source is its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// What its bytes must hash to.
    pub sha256: Digest,
    /// How many there are.
    pub bytes: u64,
}

impl Release {
    /// The only schema, and the context of signatures.
    pub const SCHEMA: &str = "quorate.update/v1";

    /// What the document says, if it makes sense, whoever signed it.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn read(document: &Document) -> Result<Self, Refusal> {
        let release: Self = document.read("release")?;
        match release.wrong() {
            Some(why) => Err(malformed("release", why)),
            None => Ok(release),
        }
    }

    fn wrong(&self) -> Option<String> {
        let life = self.expires_unix.checked_sub(self.created_unix);
        let bad = |field: &str, value: &dyn ToString, expected: &str| {
            Some(format!("{field} is {}; expected {expected}", value.to_string()))
        };
        if self.schema != Self::SCHEMA {
            bad("schema", &self.schema, Self::SCHEMA)
        } else if !is_name(&self.version) {
            bad("version", &self.version, "at most 32 characters, no build number")
        } else if self.share > 1000 {
            bad("share", &self.share, "0 to 1000")
        } else if self.notes.len() > NOTES_BYTES_MAX {
            bad("the notes' length", &self.notes.len(), "at most 4096 bytes")
        } else if life.is_none_or(|life| life > LIFE_S_MAX) {
            bad("expires_unix", &self.expires_unix, "at most 92 days after created_unix")
        } else if self.artefacts.len() > PLATFORMS_MAX {
            bad("the number of artefacts", &self.artefacts.len(), "at most 32")
        } else {
            let too_long = |file: &&Artefact| file.bytes > ARTEFACT_BYTES_MAX;
            let file = self.artefacts.values().find(too_long)?;
            bad("an artefact's size", &file.bytes, "at most 256 MiB")
        }
    }
}

/// A build number would make two folders of one version.
fn is_name(version: &Version) -> bool {
    version.build.is_empty() && version.to_string().len() <= VERSION_BYTES_MAX
}
