//! Why something did not come from a registry.

use quorate_common::image::ImageRefError;
use std::{io, path::PathBuf};

/// Never a property of the image, since a registry may answer each of us differently: never anybody's vote.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A list that cannot be read.
    #[error("`{0}` names no registry; expected HOST or HOST:PORT, or http://HOST:PORT without TLS")]
    Setting(String),
    /// What a requester wrote.
    #[error("`{0}` names no image; expected REGISTRY/REPOSITORY, then :TAG or @sha256:DIGEST")]
    Reference(String),
    /// Nobody agreed to ask it.
    #[error("the registry {0} is not in the list of those that may be asked")]
    Unlisted(String),
    /// It leads where nobody may be led.
    #[error("{place} leads to {target}: {why}")]
    Forbidden {
        /// What was asked for.
        place: String,
        /// Where it leads, without what might be a secret.
        target: String,
        /// Why not.
        why: &'static str,
    },
    /// No answer, or a broken one; another try may do better.
    #[error("{place} cannot be fetched: {why}")]
    Unreachable {
        /// What was asked for.
        place: String,
        /// Why not.
        why: String,
    },
    /// Not there.
    #[error("{0} is not there")]
    Missing(String),
    /// Not for everybody.
    #[error("{0} is not for everybody: the registry asks for an account; expected a public image")]
    Account(String),
    /// More than it may be.
    #[error("{place} has more than {most} bytes")]
    TooLong {
        /// What was asked for.
        place: String,
        /// What it may have.
        most: u64,
    },
    /// Other bytes than were asked for.
    #[error("what came for {0} are not its bytes")]
    WrongBytes(String),
    /// Something else than it should be.
    #[error("{place} {problem}")]
    Strange {
        /// What was asked for.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No image that an order could name.
    #[error(transparent)]
    Image(#[from] ImageRefError),
    /// Own disk.
    #[error("{path} cannot be written")]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No client for HTTP here.
    #[error("no HTTP client could be set up: {0}")]
    Client(String),
}

impl RegistryError {
    /// Whether the same question may be answered in a while.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(crate) fn unreachable(place: &str, why: impl ToString) -> Self {
        Self::Unreachable { place: place.to_owned(), why: why.to_string() }
    }
}
