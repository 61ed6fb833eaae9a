//! What a scheduler signed and should not have: kept as JSON files, for whoever asks later.

use quorate_agent::Warning;
use quorate_common::digest::Digest;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Files kept. Evidence of one kind repeats; the first few prove as much as thousands would.
const FILES_MAX: usize = 256;

/// Evidence could not be written.
#[derive(Debug, thiserror::Error)]
#[error("evidence folder {path} cannot be written")]
pub struct EvidenceError {
    path: PathBuf,
    source: io::Error,
}

/// Keeps a warning that proves something; one file for each, named by its own digest.
///
/// # Errors
/// The disk failed.
pub fn keep(dir: &Path, warning: &Warning) -> Result<(), EvidenceError> {
    if !is_proof(warning) {
        return Ok(());
    }
    let failed = |source| EvidenceError { path: dir.into(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    if fs::read_dir(dir).map_err(failed)?.count() >= FILES_MAX {
        return Ok(());
    }
    let text = serde_json::to_vec_pretty(warning).map_err(|error| failed(error.into()))?;
    let name = Digest::of(&text).to_string();
    fs::write(dir.join(&name[..16]).with_extension("json"), text).map_err(failed)
}

fn is_proof(warning: &Warning) -> bool {
    match warning {
        Warning::Equivocation { .. }
        | Warning::NotInSet { .. }
        | Warning::LateSet { .. }
        | Warning::WrongAck { .. } => true,
        Warning::WrongRevealAck { .. }
        | Warning::WrongFetch { .. }
        | Warning::OverSlots { .. }
        | Warning::SecondVote { .. }
        | Warning::Renumbered { .. }
        | Warning::NeverSettled { .. } => false,
    }
}
