//! A stranger's image: an archive of `docker save`, an OCI layout in a tar, or the parts of one as a registry
//! names them. It is read and checked here, and what the engine is given is written anew: the same layers, and a
//! configuration of ours.
//!
//! So an image can neither take over a tag of the machine's owner, nor declare volumes (an anonymous one has
//! no size), health checks or users. [`read`] is a function of the source's bytes: requester and workers hear
//! the same of it. Deliberately absent: fetching, and anything the engine itself would have to be asked.

mod archive;
mod config;
mod layer;

use archive::Archive;
pub use config::Platform;
use config::{Config, Written};
use quorate_common::image::{ImageRef, ImageRefError};
use sha2::{Digest as _, Sha256};
use std::{io, path::Path, sync::Arc};

/// Bytes of an archive: as much as a blob may have.
pub const ARCHIVE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of all layers unpacked: what they take of the volunteer's disk.
pub const UNPACKED_BYTES_MAX: u64 = 2 << 30;
/// Files, folders and links of all layers: each takes an inode. A distribution with a scientific Python has
/// some sixty thousand.
pub const ENTRIES_MAX: u64 = 200_000;
/// Layers: what overlay file systems can stack.
pub const LAYERS_MAX: usize = quorate_common::image::LAYERS_MAX;

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
    /// A document that names no image.
    #[error(transparent)]
    Document(#[from] ImageRefError),
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
    /// The layers, lowest first.
    pub layers: Vec<Span>,
    /// Whether it says what to run.
    pub has_command: bool,
}

/// Some bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which file.
    pub file: Arc<Path>,
    /// Where they begin.
    pub at: u64,
    /// How many.
    pub size: u64,
}

/// Where an image's bytes are.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// In one archive.
    Archive {
        /// The file.
        path: &'a Path,
        /// What its bytes must hash to.
        digest: &'a [u8; 32],
    },
    /// In files of their own, in a folder where each is named by its sha256.
    Parts {
        /// Which they are.
        image: &'a ImageRef,
        /// The folder.
        folder: &'a Path,
    },
}

/// Reads and checks an image. Blocks: a hundred megabytes take about a second. `labels` is what the engine is to
/// know it by.
///
/// # Errors
/// [`ImageError`]
pub fn read(
    source: Source<'_>,
    platform: Platform,
    labels: &[(&str, &str)],
) -> Result<Image, ImageError> {
    read_within(source, platform, labels, UNPACKED_BYTES_MAX)
}

/// The same, of an image that unpacks to `unpacked` bytes at most.
fn read_within(
    source: Source<'_>,
    platform: Platform,
    labels: &[(&str, &str)],
    unpacked: u64,
) -> Result<Image, ImageError> {
    let archive = match source {
        Source::Archive { path, digest } => Archive::open(path, digest)?,
        Source::Parts { image, folder } => Archive::of_parts(image, folder)?,
    };
    let parts = archive.parts()?;
    let config = Config::read(&archive.small(&parts.config)?, &parts.config)?;
    config.check(platform)?;
    let layers = layers(&archive, &parts.layers, config.diff_ids(), unpacked)?;
    let has_command = config.has_command();
    let config = config.rewritten(labels);
    let id = format!("sha256:{}", hex::encode(Sha256::digest(&config)));
    Ok(Image { id, config, layers, has_command })
}

/// What [`read`] would say of an image's configuration alone: before its layers are anywhere near.
///
/// # Errors
/// [`ImageError`]
pub fn check_config(bytes: &[u8], layers: usize, platform: Platform) -> Result<(), ImageError> {
    const NAME: &str = "the image's configuration";
    let config = Config::read(bytes, NAME)?;
    config.check(platform)?;
    check_counts(layers, config.diff_ids().len())
}

fn check_counts(names: usize, diff_ids: usize) -> Result<(), ImageError> {
    if names == diff_ids && names <= LAYERS_MAX {
        return Ok(());
    }
    let problem = format!(
        "lists {names} layers and {diff_ids} digests; expected as many of both, at most {LAYERS_MAX}"
    );
    Err(ImageError::part("the image's configuration", problem))
}

fn layers(
    archive: &Archive,
    names: &[String],
    diff_ids: &[String],
    unpacked: u64,
) -> Result<Vec<Span>, ImageError> {
    check_counts(names.len(), diff_ids.len())?;
    let mut allowance = layer::Allowance::new(unpacked);
    let mut spans = Vec::with_capacity(names.len());
    for (name, diff_id) in names.iter().zip(diff_ids) {
        let span = archive.span(name)?;
        let found = layer::check(archive.open_at(&span)?, name, &mut allowance)?;
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
            segments.push(Segment::Layer(span.clone()));
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
    /// These bytes of a file.
    Layer(Span),
}
