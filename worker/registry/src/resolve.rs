//! From a name to what is signed: the manifest of one image for one platform, and its configuration to look at.

use crate::{Reference, Registries, RegistryError, Repository};
use quorate_common::{digest::Digest, image::ImageRef};
use serde::Deserialize;

/// What a name stands for today.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What is signed.
    pub image: ImageRef,
    /// The image's configuration, as its manifest names it.
    pub config: Vec<u8>,
}

/// What of an index matters here.
#[derive(Deserialize)]
struct Index {
    manifests: Option<Vec<Row>>,
}

#[derive(Deserialize)]
struct Row {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

impl Platform {
    fn name(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }
}

/// Asks a registry what `reference` stands for on `platform`, as `linux/amd64`.
///
/// # Errors
/// [`RegistryError`]; there is none for that platform.
pub async fn resolve(
    registries: &Registries,
    reference: &Reference,
    platform: &str,
) -> Result<Resolved, RegistryError> {
    let Reference { registry, repository, name, digest } = reference;
    let from = registries.open(registry, repository)?;
    let mut manifest = from.manifest(name).await?;
    check(*digest, &manifest, name)?;
    if let Some(one) = one_of(&manifest, platform, name)? {
        manifest = by_digest(&from, one).await?;
    }
    let strange = |problem: &str| RegistryError::Strange {
        place: format!("manifest {name} of {repository}"),
        problem: problem.to_owned(),
    };
    let manifest = String::from_utf8(manifest).map_err(|_| strange("is not UTF-8"))?;
    let image = ImageRef::new(registry, repository, &manifest)?;
    let parts = image.parts()?;
    let config =
        from.small(*parts.first().ok_or_else(|| strange("names no configuration"))?).await?;
    Ok(Resolved { image, config })
}

async fn by_digest(from: &Repository, digest: Digest) -> Result<Vec<u8>, RegistryError> {
    let name = format!("sha256:{digest}");
    let manifest = from.manifest(&name).await?;
    check(Some(digest), &manifest, &name)?;
    Ok(manifest)
}

fn check(digest: Option<Digest>, bytes: &[u8], name: &str) -> Result<(), RegistryError> {
    match digest {
        Some(digest) if digest != Digest::of(bytes) => {
            Err(RegistryError::WrongBytes(format!("manifest {name}")))
        }
        _ => Ok(()),
    }
}

/// The manifest for `platform`, if `document` is an index of several.
fn one_of(document: &[u8], platform: &str, name: &str) -> Result<Option<Digest>, RegistryError> {
    let strange =
        |problem: String| RegistryError::Strange { place: format!("manifest {name}"), problem };
    let index: Index = serde_json::from_slice(document)
        .map_err(|error| strange(format!("is no manifest: {error}")))?;
    let Some(rows) = index.manifests else { return Ok(None) };
    let is_wanted = |row: &&Row| row.platform.as_ref().is_some_and(|it| it.name() == platform);
    let Some(row) = rows.iter().find(is_wanted) else {
        let there: Vec<_> =
            rows.iter().filter_map(|row| Some(row.platform.as_ref()?.name())).collect();
        let there: String = there.join(", ").escape_debug().take(200).collect();
        return Err(strange(format!("is for {there}; expected {platform}")));
    };
    let digest = row.digest.strip_prefix("sha256:").and_then(|digest| digest.parse().ok());
    digest.map(Some).ok_or_else(|| strange("names a manifest without a sha256".to_owned()))
}
