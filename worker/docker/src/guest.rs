//! The worker's own image: one static program that holds a task's folders, and that probes an engine. It is made
//! here, in memory, since a volunteer's machine may have no image and no registry.

use crate::{
    engine::{Engine, EngineError},
    image::Segment,
    profile::LABEL,
    tar::{Item, Writer},
};
use sha2::{Digest as _, Sha256};

/// `guest/guest.c`, compiled for this processor.
#[cfg(target_arch = "x86_64")]
const PROGRAM: &[u8] = include_bytes!("../guest/guest-x86_64");
#[cfg(target_arch = "aarch64")]
const PROGRAM: &[u8] = include_bytes!("../guest/guest-aarch64");
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const PROGRAM: &[u8] = &[];

/// What the engine calls the image.
pub(crate) fn id(worker: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(config(worker))))
}

/// Gives the image to an engine.
pub(crate) async fn load(engine: &Engine) -> Result<(), EngineError> {
    let worker = &engine.profile.worker;
    let (id, config) = (id(worker), config(worker));
    let name = format!("{}.json", id.trim_start_matches("sha256:"));
    let manifest =
        serde_json::json!([{ "Config": name, "RepoTags": null, "Layers": ["0.tar"] }]).to_string();
    let mut writer = Writer::default();
    writer.add(Item::File("manifest.json"), manifest.as_bytes());
    writer.add(Item::File(&name), &config);
    writer.add(Item::File("0.tar"), &layer());
    let segments = vec![Segment::Bytes(writer.finish())];
    engine.load_segments(&id, segments).await
}

fn config(worker: &str) -> Vec<u8> {
    let diff_id = format!("sha256:{}", hex::encode(Sha256::digest(layer())));
    let architecture = crate::Platform::here().map_or("unknown", crate::Platform::architecture);
    let config = serde_json::json!({
        "architecture": architecture,
        "config": { "Entrypoint": ["/guest"], "Labels": { LABEL: worker } },
        "created": "1970-01-01T00:00:00Z",
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    config.to_string().into_bytes()
}

fn layer() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.add(Item::Program("guest"), PROGRAM);
    writer.finish()
}
