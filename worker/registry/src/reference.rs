//! What a requester writes: `registry.example/team/app:1`, or the same with a digest.

use crate::RegistryError;
use quorate_common::{
    digest::Digest,
    image::{is_registry, is_repository},
};

/// Characters of a tag, as registries have it.
const TAG_CHARS_MAX: usize = 128;

/// A name of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `HOST` or `HOST:PORT`.
    pub registry: String,
    /// As `team/app`.
    pub repository: String,
    /// What it stands for there: a tag, or `sha256:…`.
    pub name: String,
    /// The digest, if it is one.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads one. The registry is never left out: a name that means one thing here and another there is no name.
    ///
    /// # Errors
    /// [`RegistryError::Reference`].
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let bad = || RegistryError::Reference(text.chars().take(200).collect());
        let (registry, rest) = text.split_once('/').ok_or_else(bad)?;
        let (rest, digest) = match rest.split_once("@sha256:") {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| bad())?)),
            None => (rest, None),
        };
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        let is_host = registry.contains(['.', ':']) || registry == "localhost";
        let is_good = is_host && is_registry(registry) && is_repository(repository);
        if !is_good || !tag.is_none_or(is_tag) {
            return Err(bad());
        }
        // One of Docker Hub's own lies in a folder that people leave out.
        let is_hubs = registry == "docker.io" && !repository.contains('/');
        let folder = if is_hubs { "library/" } else { "" };
        // A digest says it all; a tag beside it is for people.
        let name = digest.map_or_else(
            || tag.unwrap_or("latest").to_owned(),
            |digest: Digest| format!("sha256:{digest}"),
        );
        let (registry, repository) = (registry.to_owned(), format!("{folder}{repository}"));
        Ok(Self { registry, repository, name, digest })
    }
}

fn is_tag(tag: &str) -> bool {
    let is_char = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let begins = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    begins && tag.len() <= TAG_CHARS_MAX && tag.bytes().all(is_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_one_image_in_one_registry() {
        let read = |text: &str| {
            let Reference { registry, repository, name, .. } = Reference::parse(text).expect(text);
            (registry, repository, name)
        };
        let parts = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(read("docker.io/busybox"), parts("docker.io", "library/busybox", "latest"));
        assert_eq!(read("localhost:5000/a/b:1.2"), parts("localhost:5000", "a/b", "1.2"));
        let digest = format!("sha256:{}", Digest::of(b"x"));
        assert_eq!(read(&format!("r.example/a:1@{digest}")), parts("r.example", "a", &digest));
        for bad in [
            "busybox",
            "a/b",
            "r.example/",
            "r.example/A",
            "r.example/a:",
            "r.example/a@sha256:x",
            "r.example/a@sha512:00",
            "https://r.example/a",
            "r.example/a:1:2",
            "r.example/../a",
            "./a.tar",
        ] {
            let error = Reference::parse(bad).expect_err(bad).to_string();
            assert!(error.contains("expected REGISTRY/REPOSITORY"), "{error}");
        }
    }
}
