//! What a worker tells its owner, and the file through which `status` reads it.

use quorate_agent::View;
use quorate_common::{Address, B256};
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

/// A worker at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `quorate.worker-status/v1`.
    pub schema: String,
    /// Its name, for people.
    pub name: String,
    /// Who it is.
    pub node_key: B256,
    /// How it votes.
    pub vote_key: Address,
    /// Where it works.
    pub scheduler: String,
    /// Sessions, jobs, money.
    pub view: View,
    /// Bytes in the blob folder.
    pub cache_bytes: u64,
    /// What went wrong last, until it goes well again.
    pub note: Option<String>,
    /// Why it will not connect again by itself: the scheduler, or the invitation, says no.
    pub ended: Option<String>,
    /// What broke on this machine; the worker has stopped.
    pub broken: Option<String>,
}

/// The only schema there is.
pub const SCHEMA: &str = "quorate.worker-status/v1";

impl Status {
    /// Replaces the file at `path` as a whole, so that no reader ever sees half of it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let temporary = path.with_extension("json.tmp");
        fs::write(&temporary, text)?;
        fs::rename(temporary, path)
    }

    /// Reads what a worker wrote.
    ///
    /// # Errors
    /// Not there, or not a status.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}
