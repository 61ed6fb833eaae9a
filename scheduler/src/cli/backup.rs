//! `backup create`, `verify`, `restore`.

use super::{BackupCommand, output::Output};
use crate::{
    backup::{self, Manifest, Verified},
    config::Config,
};
use quorate_common::exit::Failure;
use serde_json::json;
use std::path::Path;

/// `backup …`.
pub(super) fn run(config: &Config, command: &BackupCommand, output: Output) -> Result<(), Failure> {
    match command {
        BackupCommand::Create { into } => {
            let made = backup::create(config, into)?;
            tell("created", into, &made, output)
        }
        BackupCommand::Verify { backup: from } => {
            let Verified { manifest, standing } = backup::verify(from)?;
            output.note(format!("state {} after record {}", standing.state, standing.seq));
            tell("good", from, &manifest, output)
        }
        BackupCommand::Restore { backup: from } => {
            let Verified { manifest, .. } = backup::restore(from, &config.data)?;
            output.note(
                "before you start it: is the old machine stopped for good? Two schedulers with one key cost the \
                 bond. If the old one signed anything after this backup was made, the chain or a worker shows \
                 it, and serve refuses with `an old disk was restored`: then only a newer copy will do",
            );
            tell("restored", &config.data, &manifest, output)
        }
    }
}

fn tell(what: &str, place: &Path, manifest: &Manifest, output: Output) -> Result<(), Failure> {
    let bytes: u64 = manifest.files.values().map(|entry| entry.bytes).sum();
    let (files, seq) = (manifest.files.len(), manifest.seq);
    let document = json!({
        "schema": "quorate.backup-result/v1", "result": what, "folder": place, "files": files,
        "bytes": bytes, "seq": seq, "hash": manifest.hash, "unix_s": manifest.unix_s,
        "release": manifest.release, "format": manifest.format,
    });
    output.either(&document, || {
        format!(
            "{what}: {}, {files} files, {bytes} bytes, journal to record {seq}",
            place.display()
        )
    })
}
