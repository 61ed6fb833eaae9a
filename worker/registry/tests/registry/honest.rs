//! Debian's own registry: what is pushed there is what comes.

use crate::real::Registry;
use quorate_common::{digest::Digest, image::ImageRef};
use quorate_registry::{Reference, Registries, Resolved, resolve};
use std::time::Duration;

const CONFIG: &[u8] = br#"{"architecture":"amd64","os":"linux"}"#;

async fn resolved(registry: &Registry, name: &str) -> Result<Resolved, String> {
    let reference = Reference::parse(&format!("{}/team/app{name}", registry.name)).expect(name);
    let registries = Registries::one(&registry.name).expect("a list");
    resolve(&registries, &reference, "linux/amd64").await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_image_comes_by_its_digest_whatever_its_tag_is_moved_to() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(registry) = Registry::start(dir.path()) else { return };
    let first = registry.push("team/app", "1", CONFIG, &[vec![1; 200_000], vec![2; 10]]).await;
    let Resolved { image, config } = resolved(&registry, ":1").await.expect("an image");
    assert_eq!(image.name(), format!("{}/team/app@sha256:{first}", registry.name));
    assert_eq!(config, CONFIG);
    // The tag is another image now; the document that was signed is not.
    let second = registry.push("team/app", "1", CONFIG, &[vec![3; 10]]).await;
    assert_ne!(resolved(&registry, ":1").await.expect("an image").image, image);
    let signed = ImageRef::parse(&image.to_bytes()).expect("the document");
    let repository = Registries::one(&registry.name).expect("a list");
    let repository = repository.open(&signed.registry, &signed.repository).expect("it is listed");
    for part in signed.parts().expect("parts") {
        let file = dir.path().join(part.digest.to_string());
        repository.blob(part, &file, &mut |_| Duration::ZERO).await.expect("it is still there");
        assert_eq!(Digest::of(&std::fs::read(&file).expect("read")), part.digest);
    }
    let by_digest = resolved(&registry, &format!("@sha256:{first}")).await.expect("an image");
    assert_eq!(by_digest.image, image);
    // Behind an index, as images for several platforms are.
    let bytes = image.manifest.len();
    registry.push_index("team/app", "many", (first, bytes), ("linux", "amd64")).await;
    assert_eq!(resolved(&registry, ":many").await.expect("an image").image, image);
    registry.push_index("team/app", "other", (second, bytes), ("linux", "arm64")).await;
    let error = resolved(&registry, ":other").await.expect_err("for another processor");
    assert!(error.contains("is for linux/arm64; expected linux/amd64"), "{error}");
    let error = resolved(&registry, ":none").await.expect_err("no such tag");
    assert_eq!(error, "manifest none of team/app is not there");
}

/// From where it broke off: a registry that knows ranges sends the rest only.
#[tokio::test]
async fn a_layer_is_gone_on_with() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(registry) = Registry::start(dir.path()) else { return };
    let layer: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    registry.push("team/app", "1", CONFIG, std::slice::from_ref(&layer)).await;
    let Resolved { image, .. } = resolved(&registry, ":1").await.expect("an image");
    let part = image.parts().expect("parts")[1];
    let registries = Registries::one(&registry.name).expect("a list");
    let repository = registries.open(&image.registry, &image.repository).expect("listed");
    let file = dir.path().join("layer");
    for begun in [0, 1, 2_999_999, 3_000_000, 3_000_001] {
        let mut bytes = layer.clone();
        bytes.resize(begun, 0);
        std::fs::write(&file, bytes).expect("written");
        repository.blob(part, &file, &mut |_| Duration::ZERO).await.expect("the rest comes");
        assert_eq!(std::fs::read(&file).expect("read"), layer, "after {begun} bytes");
    }
    // What is there may be damaged, and is told from what came.
    std::fs::write(&file, vec![9; 1_000]).expect("written");
    let error = repository
        .blob(part, &file, &mut |_| Duration::ZERO)
        .await
        .expect_err("damaged")
        .to_string();
    assert!(error.contains("are not its bytes") && !file.exists(), "{error}");
}
