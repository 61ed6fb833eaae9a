//! An image in a registry, as an order names it: registry, repository, and the image's manifest itself, to the
//! byte. The app is the sha256 of this document. So what runs was signed, down to the digest of each layer;
//! a registry only carries bytes, and a tag that moves later moves nothing. Fetching is `worker/registry`'s.

use crate::{bag::Limits, digest::Digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The only schema there is.
pub const SCHEMA: &str = "quorate.image/v1";
/// Largest document, in bytes: a manifest with its quotes and line ends escaped, and two names.
pub const DOCUMENT_BYTES_MAX: usize = 2 * MANIFEST_BYTES_MAX + 1_024;
/// Largest manifest, in bytes: 120 layers with an annotation each have some 40 KiB.
pub const MANIFEST_BYTES_MAX: usize = 64 << 10;
/// Bytes of configuration and layers as they travel: what an uploaded archive may have.
pub const IMAGE_BYTES_MAX: u64 = Limits::OUTPUT_MAX;
/// Bytes of a configuration: with a long history some hundred kilobytes.
pub const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// Layers: what overlay file systems can stack.
pub const LAYERS_MAX: usize = 120;
/// Bytes of a registry's name, as of any host's, and of a repository's.
const NAME_BYTES_MAX: usize = 255;

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRef {
    /// [`SCHEMA`].
    pub schema: String,
    /// `HOST` or `HOST:PORT`.
    pub registry: String,
    /// As `team/app`.
    pub repository: String,
    /// The manifest of one image for one platform; its sha256 is the digest that people know the image by.
    pub manifest: String,
}

/// A blob of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its sha256.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
}

/// Why a document names no image. A property of the document, the same for everybody.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImageRefError {
    /// The blob is too large.
    #[error("image document has {0} bytes; expected at most {DOCUMENT_BYTES_MAX}")]
    TooLarge(usize),
    /// Not JSON of this shape.
    #[error("it is not a `{SCHEMA}` document: {0}")]
    Malformed(String),
    /// The right content, spelled otherwise: one image has one digest.
    #[error("image document is not written as `quorate run` writes it; order the image again")]
    Spelling,
    /// A value is out of range.
    #[error("image field `{field}` is {value}; expected {expected}")]
    Field {
        /// Its path.
        field: String,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: String,
    },
}

/// What of a manifest matters here. Whatever else it says, as other places to fetch a layer from, nobody asks.
#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(rename = "schemaVersion")]
    version: u32,
    config: Option<Row>,
    #[serde(default)]
    layers: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    digest: String,
    size: u64,
}

impl ImageRef {
    /// The document of an image.
    ///
    /// # Errors
    /// [`ImageRefError::Field`].
    pub fn new(registry: &str, repository: &str, manifest: &str) -> Result<Self, ImageRefError> {
        let (registry, repository) = (registry.to_owned(), repository.to_owned());
        let image =
            Self { schema: SCHEMA.into(), registry, repository, manifest: manifest.to_owned() };
        image.check().map(|()| image)
    }

    /// Whether some bytes mean to be such a document, whatever is wrong with them.
    pub fn is_meant(bytes: &[u8]) -> bool {
        bytes.starts_with(br#"{"schema":"quorate.image/"#)
    }

    /// Reads and checks a document.
    ///
    /// # Errors
    /// [`ImageRefError`], naming field, value and expectation.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageRefError> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(ImageRefError::TooLarge(bytes.len()));
        }
        let image: Self = serde_json::from_slice(bytes)
            .map_err(|error| ImageRefError::Malformed(error.to_string()))?;
        if image.to_bytes() != bytes {
            return Err(ImageRefError::Spelling);
        }
        image.check().map(|()| image)
    }

    /// The document as its blob.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts are JSON")
    }

    /// `registry.example/team/app@sha256:…`, as people name it.
    pub fn name(&self) -> String {
        let digest = Digest::of(self.manifest.as_bytes());
        format!("{}/{}@sha256:{digest}", self.registry, self.repository)
    }

    /// The configuration, then the layers, lowest first.
    ///
    /// # Errors
    /// [`ImageRefError::Field`]; none for a document that was read or made here.
    pub fn parts(&self) -> Result<Vec<Part>, ImageRefError> {
        let is_index = "an image's manifest for one platform, not an index of several";
        let manifest: Manifest = serde_json::from_str(&self.manifest)
            .map_err(|error| field("manifest", error, "an image's manifest"))?;
        if manifest.version != 2 {
            return Err(field("manifest.schemaVersion", manifest.version, "2"));
        }
        let config = manifest.config.ok_or_else(|| field("manifest", "without `config`", is_index));
        let config = config?.part("manifest.config", CONFIG_BYTES_MAX)?;
        if manifest.layers.len() > LAYERS_MAX {
            let expected = format!("at most {LAYERS_MAX}");
            return Err(field("manifest.layers", manifest.layers.len(), expected));
        }
        let mut parts = vec![config];
        for (at, row) in manifest.layers.iter().enumerate() {
            parts.push(row.part(&format!("manifest.layers[{at}]"), IMAGE_BYTES_MAX)?);
        }
        check_sizes(&parts)?;
        Ok(parts)
    }

    fn check(&self) -> Result<(), ImageRefError> {
        if self.schema != SCHEMA {
            return Err(field("schema", &self.schema, SCHEMA));
        }
        if !is_registry(&self.registry) {
            let expected = "a host in small letters, perhaps with a port, as registry.example:5000";
            return Err(field("registry", format!("{:?}", self.registry), expected));
        }
        if !is_repository(&self.repository) {
            let expected = "small letters, digits and . _ - between them, as team/app";
            return Err(field("repository", format!("{:?}", self.repository), expected));
        }
        let bytes = self.manifest.len();
        if bytes > MANIFEST_BYTES_MAX {
            return Err(field("manifest", format!("{bytes} bytes"), MANIFEST_BYTES_MAX));
        }
        self.parts().map(drop)
    }
}

impl Row {
    fn part(&self, name: &str, most: u64) -> Result<Part, ImageRefError> {
        let digest = self.digest.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
        let quoted = || self.digest.chars().take(80).collect::<String>();
        let digest = digest
            .ok_or_else(|| field(&format!("{name}.digest"), format!("{:?}", quoted()), "sha256:…"));
        if self.size == 0 || self.size > most {
            return Err(field(&format!("{name}.size"), self.size, format!("1 to {most}")));
        }
        Ok(Part { digest: digest?, bytes: self.size })
    }
}

/// All of them together, and no blob with two lengths.
fn check_sizes(parts: &[Part]) -> Result<(), ImageRefError> {
    let mut sizes = BTreeMap::new();
    for part in parts {
        let known = *sizes.entry(part.digest).or_insert(part.bytes);
        if known != part.bytes {
            let name = format!("size of sha256:{}", part.digest);
            return Err(field(&name, part.bytes, format!("{known}, as before")));
        }
    }
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    if bytes > IMAGE_BYTES_MAX {
        let expected = format!("at most {IMAGE_BYTES_MAX} bytes of configuration and layers");
        return Err(field("manifest", format!("{bytes} bytes"), expected));
    }
    Ok(())
}

/// A host as it is resolved, or an IPv4 address; what it resolves to is looked at when it is asked.
pub fn is_registry(name: &str) -> bool {
    let (host, port) = name.split_once(':').map_or((name, None), |(host, port)| (host, Some(port)));
    let is_port = |port: &str| {
        !port.starts_with('0')
            && port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok()
    };
    let is_label = |label: &str| {
        let letters =
            label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        !label.is_empty() && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= NAME_BYTES_MAX && port.is_none_or(is_port) && host.split('.').all(is_label)
}

/// As registries name repositories, but for which of `.`, `_` and `-` may stand together.
pub fn is_repository(name: &str) -> bool {
    let is_end =
        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_segment = |segment: &str| {
        let bytes = segment.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b);
        let ends = is_end(bytes.first()) && is_end(bytes.last());
        ends && bytes.iter().all(inner) && !segment.contains("..")
    };
    name.len() <= NAME_BYTES_MAX && name.split('/').all(is_segment)
}

fn field(name: &str, value: impl ToString, expected: impl ToString) -> ImageRefError {
    ImageRefError::Field {
        field: name.into(),
        value: value.to_string(),
        expected: expected.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn manifest(config: u64, layers: &[(&str, u64)]) -> String {
        let row = |(digest, size): &(&str, u64)| {
            format!(r#"{{"mediaType":"x","digest":"sha256:{digest}","size":{size}}}"#)
        };
        let layers: Vec<_> = layers.iter().map(row).collect();
        let (config, layers) = (row(&(A, config)), layers.join(","));
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#)
    }

    /// The bytes are what is signed: this one is here for ever.
    #[test]
    fn a_document_is_read_as_it_was_written() {
        let manifest = manifest(7, &[(B, 9), (B, 9)]);
        let image =
            ImageRef::new("registry.example:5000", "team/app", &manifest).expect("an image");
        let bytes = image.to_bytes();
        assert_eq!(ImageRef::parse(&bytes), Ok(image.clone()));
        assert!(ImageRef::is_meant(&bytes) && !ImageRef::is_meant(b"busybox"));
        assert_eq!(
            Digest::of(&bytes).to_string(),
            "16cfc99c3182880cf356523dff8b1b0451917d504ad6b1bfaff5e8c00e4daa43"
        );
        let digest = Digest::of(manifest.as_bytes());
        assert_eq!(image.name(), format!("registry.example:5000/team/app@sha256:{digest}"));
        let parts: Vec<_> = image.parts().expect("parts").iter().map(|part| part.bytes).collect();
        assert_eq!(parts, [7, 9, 9]);
        let spaced = [&bytes[..1], b" ", &bytes[1..]].concat();
        assert_eq!(ImageRef::parse(&spaced), Err(ImageRefError::Spelling));
    }

    #[test]
    fn what_no_worker_could_fetch_is_refused() {
        let refused = |manifest: &str, expected: &str| {
            let error = ImageRef::new("registry.example", "app", manifest).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        };
        refused("{}", "missing field `schemaVersion`");
        refused(r#"{"schemaVersion":1}"#, "`manifest.schemaVersion` is 1; expected 2");
        refused(r#"{"schemaVersion":2,"manifests":[]}"#, "not an index of several");
        refused(&manifest(0, &[]), "`manifest.config.size` is 0");
        refused(&manifest(1, &[("x", 1)]), r#"`manifest.layers[0].digest` is "sha256:x""#);
        refused(&manifest(1, &[(B, IMAGE_BYTES_MAX)]), "bytes of configuration and layers");
        refused(&manifest(1, &[(B, u64::MAX)]), "`manifest.layers[0].size` is");
        refused(&manifest(1, &[(B, 1), (B, 2)]), "expected 1, as before");
        refused(&manifest(1, &[(B, 1); LAYERS_MAX + 1]), "`manifest.layers` is 121");
        refused(&" ".repeat(MANIFEST_BYTES_MAX + 1), "`manifest` is 65537 bytes");
    }

    #[test]
    fn names_that_could_lead_elsewhere_are_refused() {
        for name in ["registry.example", "a", "10.0.0.1:5000", "r-1.example:443"] {
            assert!(is_registry(name), "{name}");
        }
        for name in
            ["", "R.example", "a..b", "a/b", "user@host", "a:0", "a:99999", "[::1]", "-a", "a?b"]
        {
            assert!(!is_registry(name), "{name}");
        }
        assert!(is_repository("library/busy-box_1.x"));
        for name in ["", "/", "a//b", "../v2", "a/..", "A", "a%2f", "a?b", "a/.b", "a b"] {
            assert!(!is_repository(name), "{name}");
        }
    }
}
