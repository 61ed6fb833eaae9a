//! The publisher's side: the folder a source serves, made of signed documents and programs.

use crate::{
    UpdateError,
    rules::{Artefact, Document, Refusal, Release, Root},
};
use quorate_common::digest::Digest;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a program file is to a release.
///
/// # Errors
/// It cannot be read.
pub fn artefact(path: &Path) -> Result<Artefact, UpdateError> {
    let bytes = fs::read(path).map_err(|error| UpdateError::disk(path, "read", error))?;
    Ok(Artefact { sha256: Digest::of(&bytes), bytes: bytes.len() as u64 })
}

/// Lays a program into the folder, under its digest.
///
/// # Errors
/// The disk failed.
pub fn lay(dir: &Path, program: &Path) -> Result<Artefact, UpdateError> {
    let artefact = artefact(program)?;
    let bytes = fs::read(program).map_err(|error| UpdateError::disk(program, "read", error))?;
    write(&dir.join("blobs").join(artefact.sha256.to_string()), &bytes)?;
    Ok(artefact)
}

/// Shows a document: a root under its number, a release as what its channel shows. Whoever follows sees the old
/// one or the new one.
///
/// # Errors
/// Nobody could believe it, or the disk failed.
pub fn show(dir: &Path, root: &Root, document: &Document) -> Result<PathBuf, UpdateError> {
    let name = match context(document)? {
        Root::SCHEMA => {
            let shown = Root::first(document)?;
            if shown.version > root.version {
                root.succeed(document)?;
            }
            format!("root/{}.json", shown.version)
        }
        _ => {
            root.check("release", Release::SCHEMA, document)?;
            format!("{}.json", Release::read(document)?.channel)
        }
    };
    let path = dir.join(name);
    write(&path, &to_bytes(document)?)?;
    Ok(path)
}

/// What a document is signed as: its body's schema.
///
/// # Errors
/// Neither a root nor a release.
pub fn context(document: &Document) -> Result<&'static str, Refusal> {
    let body: Value = serde_json::from_str(&document.body).unwrap_or_default();
    match body["schema"].as_str() {
        Some(Root::SCHEMA) => Ok(Root::SCHEMA),
        Some(Release::SCHEMA) => Ok(Release::SCHEMA),
        _ => {
            let why = format!("its schema is neither `{}` nor `{}`", Root::SCHEMA, Release::SCHEMA);
            Err(Refusal::Malformed { what: "document", why })
        }
    }
}

/// As it is kept in files.
///
/// # Errors
/// It cannot be written as JSON.
pub fn to_bytes(document: &Document) -> Result<Vec<u8>, UpdateError> {
    serde_json::to_vec_pretty(document)
        .map_err(|error| Refusal::Malformed { what: "document", why: error.to_string() }.into())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), UpdateError> {
    let temporary = path.with_extension("new");
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        fs::write(&temporary, bytes)?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| UpdateError::disk(path, "written", error))
}
