//! `monitoring export`: dashboards, rules, runbooks and provisioning, as this version's metrics need them.

use super::output::Output;
use quorate_common::exit::{Code, Failure};
use quorate_monitoring::files;
use serde_json::json;
use std::{fs, path::Path};

/// Writes every file below a folder; others there stay.
pub(super) fn export(folder: &Path, output: Output) -> Result<(), Failure> {
    let files = files::export();
    for file in &files {
        let path = folder.join(&file.path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = written.and_then(|()| fs::write(&path, &file.text));
        written.map_err(|error| {
            Failure::new(Code::Internal, format!("{}: {error}", path.display()))
                .hint("name a folder that you may write to")
        })?;
    }
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let document =
        json!({ "schema": "quorate.monitoring-export/v1", "folder": folder, "files": paths });
    output.either(&document, || {
        format!(
            "{} files in {}; README.md there says where they belong",
            files.len(),
            folder.display()
        )
    })
}
