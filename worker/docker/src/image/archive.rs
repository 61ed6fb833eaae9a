//! The outer archive: what is where in it, and which of it is the image. What a registry keeps in pieces is the same
//! without the tar around it.

use super::{ARCHIVE_BYTES_MAX, ImageError, Span};
use crate::tar::{Entry, Kind, Piece, Reader};
use quorate_common::image::{ImageRef, Part};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Take},
    path::Path,
    sync::Arc,
};

/// Entries of an outer archive: a layer has three at most, and some documents are shared.
const PARTS_MAX: usize = 1_024;
/// Bytes of a document in it: configurations grow with their history, to some hundred kilobytes.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Bytes read at a time.
const CHUNK: usize = 64 << 10;
/// Documents that may name one another: index, index of a platform, manifest.
const DEPTH_MAX: usize = 3;

/// An archive whose table is known and whose bytes are what its name says.
#[derive(Debug)]
pub(super) struct Archive {
    files: BTreeMap<String, Span>,
    links: BTreeMap<String, String>,
    /// What is known of it without looking.
    named: Option<Parts>,
}

/// What of an archive is the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) config: String,
    pub(super) layers: Vec<String>,
}

/// `manifest.json` of `docker save`.
#[derive(Debug, Deserialize)]
struct Saved {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// `index.json` of an OCI layout, and the manifests it leads to.
#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Named>,
    config: Option<Named>,
    #[serde(default)]
    layers: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    digest: String,
}

impl Archive {
    pub(super) fn open(path: &Path, digest: &[u8; 32]) -> Result<Self, ImageError> {
        let mut file = File::open(path).map_err(ImageError::Io)?;
        let len = file.metadata().map_err(ImageError::Io)?.len();
        if len > ARCHIVE_BYTES_MAX {
            let what = format!("{len} bytes");
            return Err(ImageError::TooLarge { what, most: ARCHIVE_BYTES_MAX });
        }
        let whole: Arc<Path> = path.into();
        let mut archive = Self { files: BTreeMap::new(), links: BTreeMap::new(), named: None };
        let (mut reader, mut hash) = (Reader::default(), Sha256::new());
        let (mut chunk, mut trouble) = (vec![0; CHUNK], None);
        loop {
            let read = file.read(&mut chunk).map_err(ImageError::Io)?;
            if read == 0 {
                break;
            }
            hash.update(&chunk[..read]);
            // The digest comes first: of a damaged file nothing else is worth saying.
            if trouble.is_none() {
                trouble =
                    reader.feed(&chunk[..read], &mut |piece| archive.note(piece, &whole)).err();
            }
        }
        if hash.finalize()[..] != digest[..] {
            let error = "its bytes are not those of its name; they must be fetched again";
            return Err(ImageError::Io(io::Error::other(error)));
        }
        trouble.map_or(Ok(()), Err)?;
        reader.finish()?;
        Ok(archive)
    }

    /// An image whose parts lie in `folder`, each named by its digest.
    pub(super) fn of_parts(image: &ImageRef, folder: &Path) -> Result<Self, ImageError> {
        let mut files = BTreeMap::new();
        let mut names = Vec::new();
        for part in image.parts()? {
            let file: Arc<Path> = folder.join(part.digest.to_string()).into();
            let name = format!("blobs/sha256/{}", part.digest);
            if !files.contains_key(&name) {
                check_part(&file, part).map_err(ImageError::Io)?;
                files.insert(name.clone(), Span { file, at: 0, size: part.bytes });
            }
            names.push(name);
        }
        let layers = names.split_off(1);
        let named = names.pop().map(|config| Parts { config, layers });
        Ok(Self { files, links: BTreeMap::new(), named })
    }

    fn note(&mut self, piece: Piece<'_>, whole: &Arc<Path>) -> Result<(), ImageError> {
        let Piece::Entry(Entry { path, link, kind, size, at }) = piece else { return Ok(()) };
        let path = plain(path);
        match kind {
            Kind::File => {
                let span = Span { file: whole.clone(), at: *at, size: *size };
                drop(self.files.insert(path, span));
            }
            Kind::Symlink => drop(self.links.insert(path.clone(), beside(&path, link))),
            Kind::HardLink => drop(self.links.insert(path, plain(link))),
            Kind::Folder => {}
            Kind::Device | Kind::Fifo => {
                return Err(ImageError::part(&path, "is neither a file nor a folder"));
            }
        }
        if self.files.len() + self.links.len() > PARTS_MAX {
            let what = "more parts".to_owned();
            return Err(ImageError::TooLarge { what, most: PARTS_MAX as u64 });
        }
        Ok(())
    }

    /// Where a file is, one link away at most: older engines write a layer that is there twice so.
    pub(super) fn span(&self, name: &str) -> Result<Span, ImageError> {
        let name = plain(name);
        let found = self.files.get(&name).or_else(|| self.files.get(self.links.get(&name)?));
        found
            .cloned()
            .ok_or_else(|| ImageError::part(&name, "is named by the image and not in the archive"))
    }

    pub(super) fn open_at(&self, span: &Span) -> Result<Take<File>, ImageError> {
        let mut file = File::open(&span.file).map_err(ImageError::Io)?;
        file.seek(SeekFrom::Start(span.at)).map_err(ImageError::Io)?;
        Ok(file.take(span.size))
    }

    /// A whole document.
    pub(super) fn small(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let span = self.span(name)?;
        if span.size > DOCUMENT_BYTES_MAX {
            let problem = format!("has {} bytes; expected at most {DOCUMENT_BYTES_MAX}", span.size);
            return Err(ImageError::part(name, problem));
        }
        let mut bytes = Vec::new();
        self.open_at(&span)?.read_to_end(&mut bytes).map_err(ImageError::Io)?;
        Ok(bytes)
    }

    /// The image, as either kind of archive names it.
    pub(super) fn parts(&self) -> Result<Parts, ImageError> {
        const SAVED: &str = "manifest.json";
        if let Some(named) = &self.named {
            return Ok(named.clone());
        }
        if self.span(SAVED).is_err() {
            return self.parts_of_layout("index.json", DEPTH_MAX);
        }
        let mut saved: Vec<Saved> = json(SAVED, &self.small(SAVED)?)?;
        match (saved.pop(), saved.len()) {
            (Some(Saved { config, layers }), 0) => Ok(Parts { config, layers }),
            (_, others) => {
                let problem = format!("names {others} images besides; expected exactly one image");
                Err(ImageError::part(SAVED, problem))
            }
        }
    }

    fn parts_of_layout(&self, name: &str, depth: usize) -> Result<Parts, ImageError> {
        let Document { mut manifests, config, layers } = json(name, &self.small(name)?)?;
        if let Some(config) = config {
            let layers = layers.iter().map(blob).collect();
            return Ok(Parts { config: blob(&config), layers });
        }
        match (manifests.pop(), manifests.len()) {
            (Some(manifest), 0) if depth > 0 => self.parts_of_layout(&blob(&manifest), depth - 1),
            (_, others) => {
                let problem = format!("names {others} manifests besides; expected one image");
                Err(ImageError::part(name, problem))
            }
        }
    }
}

/// Whether a file has a part's bytes: a damaged one must be fetched again, and says nothing about the image.
fn check_part(path: &Path, part: Part) -> io::Result<()> {
    let (mut file, mut hash, mut chunk) = (File::open(path)?, Sha256::new(), vec![0; CHUNK]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
    }
    let is_whole = file.metadata()?.len() == part.bytes && hash.finalize()[..] == part.digest.0[..];
    let error = "its bytes are not those of its name; they must be fetched again";
    if is_whole { Ok(()) } else { Err(io::Error::other(error)) }
}

fn json<T: for<'de> Deserialize<'de>>(name: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ImageError::part(name, format!("is not what it should be: {error}")))
}

fn blob(named: &Named) -> String {
    format!("blobs/{}", named.digest.replacen(':', "/", 1))
}

/// `./a` is `a`.
fn plain(path: &str) -> String {
    path.trim_start_matches("./").to_owned()
}

/// Where a link in an archive leads, from the folder it is in.
fn beside(path: &str, link: &str) -> String {
    let mut folders: Vec<&str> = path.split('/').collect();
    folders.pop();
    for segment in link.split('/') {
        match segment {
            ".." => drop(folders.pop()),
            "." | "" => {}
            name => folders.push(name),
        }
    }
    folders.join("/")
}
