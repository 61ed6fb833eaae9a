//! Seeds that found something once: a test runs them for ever. A seed tells the same story only as long as
//! `plan` draws the same world from it, so what it found is also a scenario test where the fix was made.

use serde::Deserialize;
use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// A kept seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The seed.
    pub seed: u64,
    /// What it found.
    pub why: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    seed: Vec<Kept>,
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regress/seeds.toml")
}

/// Every kept seed.
///
/// # Errors
/// The file cannot be read, or says something else.
pub fn kept() -> io::Result<Vec<Kept>> {
    let text = fs::read_to_string(path())?;
    let file: File = toml::from_str(&text).map_err(io::Error::other)?;
    Ok(file.seed)
}

/// Adds a seed.
///
/// # Errors
/// The file cannot be written.
pub fn keep(seed: u64, why: &str) -> io::Result<PathBuf> {
    let path = path();
    let mut file = fs::OpenOptions::new().append(true).open(&path)?;
    write!(file, "\n[[seed]]\nseed = {seed}\nwhy = {why:?}\n")?;
    Ok(path)
}
