//! Whom this machine knows: names, keys, addresses. Losing the file means pairing again, nothing else.

use crate::lock::{lock, replace};
use quorate_common::B256;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Machines of one person: a small computer room.
pub(crate) const MACHINES_MAX: usize = 64;
/// What means every machine, so that none is called so.
pub const ALL: &str = "ALL";

/// Another machine of the same person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// As it called itself; unique here.
    pub name: String,
    /// Who it is.
    pub key: B256,
    /// Where it listens, if it does; one that does not can still ask.
    pub address: Option<SocketAddr>,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    schema: String,
    machines: Vec<Machine>,
}

/// Why the book was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The disk failed, or it is damaged.
    #[error("{path}: {source}")]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No room.
    #[error("this machine knows {MACHINES_MAX} others already; remove one")]
    Full,
    /// Two machines of one name.
    #[error(
        "another machine is called `{0}`; set another `name` on one of them, or remove the other"
    )]
    Name(String),
}

const SCHEMA: &str = "quorate.machines/v1";

impl Book {
    /// Reads the book; there is none before the first pairing.
    ///
    /// # Errors
    /// [`BookError::Disk`].
    pub fn read(path: &Path) -> Result<Self, BookError> {
        let disk = |source| BookError::Disk { path: path.into(), source };
        match fs::read(path) {
            Ok(bytes) => parse(&bytes).map_err(disk),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self { schema: SCHEMA.into(), machines: Vec::new() })
            }
            Err(error) => Err(disk(error)),
        }
    }

    /// Changes the book, alone: of two programs that change it at once none undoes what the other did, so that who
    /// was removed does not come back.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn change<T>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, BookError>,
    ) -> Result<T, BookError> {
        let disk = |source| BookError::Disk { path: path.into(), source };
        let _lock = lock(path).map_err(disk)?;
        let mut book = Self::read(path)?;
        let changed = change(&mut book)?;
        let text = serde_json::to_vec_pretty(&book).map_err(|error| disk(error.into()))?;
        replace(path, &text, true).map_err(disk)?;
        Ok(changed)
    }

    /// All of them, by the time they were met.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// Who has this key.
    pub fn by_key(&self, key: B256) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.key == key)
    }

    /// Who is called so.
    pub fn by_name(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name == name)
    }

    /// Writes one down; one that is known already gets its new name and address.
    ///
    /// # Errors
    /// [`BookError::Full`], [`BookError::Name`].
    pub fn add(&mut self, machine: Machine) -> Result<(), BookError> {
        let is_taken = |known: &Machine| known.name == machine.name && known.key != machine.key;
        if self.machines.iter().any(is_taken) {
            return Err(BookError::Name(machine.name));
        }
        self.machines.retain(|known| known.key != machine.key);
        if self.machines.len() >= MACHINES_MAX {
            return Err(BookError::Full);
        }
        self.machines.push(machine);
        Ok(())
    }

    /// Forgets one; it is not heard any more from then on.
    pub fn remove(&mut self, key: B256) -> Option<Machine> {
        let at = self.machines.iter().position(|machine| machine.key == key)?;
        Some(self.machines.remove(at))
    }
}

fn parse(bytes: &[u8]) -> io::Result<Book> {
    let book: Book = serde_json::from_slice(bytes)?;
    if book.schema == SCHEMA {
        return Ok(book);
    }
    let text = format!("schema `{}`; expected {SCHEMA}", book.schema);
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}
