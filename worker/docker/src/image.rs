//! A stranger's image: an archive of `docker save`, or an OCI layout in a tar. It is read and checked here,
//! and what the engine is given is written anew: the same layers, and a configuration of ours.
//!
//! So an image can neither take over a tag of the machine's owner, nor declare volumes (an anonymous one has
//! no size), health checks or users. [`read`] is a function of the archive's bytes: requester and workers hear
//! the same of it. Deliberately absent: registries, and anything the engine itself would have to be asked.

mod archive;
mod config;
mod layer;

use archive::Archive;
pub use config::Platform;
use config::{Config, Written};
use sha2::{Digest as _, Sha256};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Bytes of an archive: as much as a blob may have.
pub const ARCHIVE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of all layers unpacked: what they take of the volunteer's disk.
pub const UNPACKED_BYTES_MAX: u64 = 2 << 30;
/// Files, folders and links of all layers: each takes an inode. A distribution with a scientific Python has
/// some sixty thousand.
pub const ENTRIES_MAX: u64 = 200_000;
/// Layers: what overlay file systems can stack.
pub const LAYERS_MAX: usize = 120;

/// Why an archive is no image that can be run here. Reads after "the image cannot be run: ".
///
/// Everything but [`ImageError::Io`] is a property of the archive and the platform, the same for everybody.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Too large, in whatever sense.
    #[error("it has {what}; expected at most {most}")]
    TooLarge {
        /// What there is too much of.
        what: String,
        /// How much there may be.
        most: u64,
    },
    /// Not an archive.
    #[error("it is no tar archive, as `docker save` writes one: {0}")]
    Tar(#[from] crate::tar::TarError),
    /// An archive of something else.
    #[error("{name} {problem}")]
    Part {
        /// Which part.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// For other machines.
    #[error("it is for {found}; expected {expected} (docker build --platform {expected})")]
    Platform {
        /// What it is for.
        found: String,
        /// What this is.
        expected: String,
    },
    /// The file cannot be read, or is not what its name says.
    #[error("its archive cannot be read")]
    Io(#[source] io::Error),
}

impl ImageError {
    /// Whether everybody would say the same of the archive.
    pub fn is_its_own(&self) -> bool {
        !matches!(self, Self::Io(_))
    }

    fn part(name: &str, problem: impl Into<String>) -> Self {
        const CHARS_MAX: usize = 120;
        Self::Part { name: name.chars().take(CHARS_MAX).collect(), problem: problem.into() }
    }
}

/// An image that was checked, ready to be given to an engine.
#[derive(Clone, Debug)]
pub struct Image {
    /// What the engine must call it: the sha256 of [`Image::config`].
    pub id: String,
    /// The configuration as the engine gets it.
    pub config: Vec<u8>,
    /// Where the layers are.
    pub archive: PathBuf,
    /// The layers, lowest first.
    pub layers: Vec<Span>,
    /// Whether it says what to run.
    pub has_command: bool,
}

/// Some bytes of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where they begin.
    pub at: u64,
    /// How many.
    pub size: u64,
}

/// Reads and checks an archive. Blocks: a hundred megabytes take about a second.
///
/// `digest` is what the archive's bytes must hash to, and `labels` is what the engine is to know it by.
///
/// # Errors
/// [`ImageError`]
pub fn read(
    path: &Path,
    digest: &[u8; 32],
    platform: Platform,
    labels: &[(&str, &str)],
) -> Result<Image, ImageError> {
    let archive = Archive::open(path, digest)?;
    let parts = archive.parts()?;
    let config = Config::read(&archive.small(&parts.config)?, &parts.config)?;
    config.check(platform)?;
    let layers = layers(&archive, &parts.layers, config.diff_ids())?;
    let has_command = config.has_command();
    let config = config.rewritten(labels);
    let id = format!("sha256:{}", hex::encode(Sha256::digest(&config)));
    Ok(Image { id, config, archive: path.to_owned(), layers, has_command })
}

fn layers(
    archive: &Archive,
    names: &[String],
    diff_ids: &[String],
) -> Result<Vec<Span>, ImageError> {
    if names.len() != diff_ids.len() || names.len() > LAYERS_MAX {
        let problem = format!(
            "lists {} layers and {} digests; expected as many of both, at most {LAYERS_MAX}",
            names.len(),
            diff_ids.len()
        );
        return Err(ImageError::part("the image's configuration", problem));
    }
    let mut allowance = layer::Allowance::default();
    let mut spans = Vec::with_capacity(names.len());
    for (name, diff_id) in names.iter().zip(diff_ids) {
        let span = archive.span(name)?;
        let found = layer::check(archive.open_at(span)?, name, &mut allowance)?;
        if *diff_id != found {
            let problem = format!("hashes to {found} unpacked; the configuration names {diff_id}");
            return Err(ImageError::part(name, problem));
        }
        spans.push(span);
    }
    Ok(spans)
}

impl Image {
    /// What an engine loads: a beginning, then each layer's head, bytes and tail, then an end.
    pub fn heads(&self) -> Vec<Segment> {
        let config_name = format!("{}.json", self.id.trim_start_matches("sha256:"));
        let names: Vec<String> = (0..self.layers.len()).map(|n| format!("{n}.tar")).collect();
        let manifest = Written::manifest(&config_name, &names);
        let mut writer = crate::tar::Writer::default();
        writer.add(crate::tar::Item::File("manifest.json"), &manifest);
        writer.add(crate::tar::Item::File(&config_name), &self.config);
        let mut segments = Vec::new();
        for (name, span) in names.iter().zip(&self.layers) {
            writer.head(crate::tar::Item::File(name), span.size);
            segments.push(Segment::Bytes(std::mem::take(&mut writer.bytes)));
            segments.push(Segment::Layer(*span));
            writer.pad(span.size);
        }
        segments.push(Segment::Bytes(writer.finish()));
        segments
    }
}

/// A part of what an engine loads.
#[derive(Clone, Debug)]
pub enum Segment {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes of the archive.
    Layer(Span),
}
