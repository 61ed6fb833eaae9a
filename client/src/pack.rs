//! Runtime packs on the requester's side: made from a module and its files (`pack make`), looked at
//! (`pack show`), found for `run SCRIPT --with …`. A pack's folder holds its document and its pieces,
//! each named by its digest; nothing here runs it.

use crate::{
    cli::PackCommand,
    config, failure,
    output::{Output, facts},
    plan::FileBlob,
    units,
};
use quorate_common::{
    B256,
    digest::Digest,
    exit::{Code, Failure},
    keys,
    pack::{
        Convention, DOCUMENT_BYTES_MAX, PART_BYTES_MAX, PIECE_BYTES, Pack, PackFile, Part, SCHEMA,
    },
};
use quorate_worker::engine;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The document in a pack's folder.
const DOCUMENT: &str = "pack.json";
/// The folder that `run` looks in, below the user's state folder.
const PYTHON: &str = "packs/python";

/// A pack in a folder.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its document.
    pub pack: Pack,
    /// Its document as a blob: the app of an order.
    pub document: FileBlob,
    /// Its pieces.
    pub pieces: BTreeMap<Digest, FileBlob>,
}

/// `pack`.
///
/// # Errors
/// Files that cannot be read or written, and what is no pack.
pub fn run(command: &PackCommand, output: Output) -> Result<(), Failure> {
    match command {
        PackCommand::Make { .. } => {
            let pack = make(command)?;
            show(&pack, output)
        }
        PackCommand::Show { folder } => show(&find(folder.as_deref())?.pack, output),
    }
}

/// The pack in `folder`, by default the user's Python.
///
/// # Errors
/// There is none, it is not what it says, or a piece is not there.
pub fn find(folder: Option<&Path>) -> Result<Found, Failure> {
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => config::state_dir()?.join(PYTHON),
    };
    let path = folder.join(DOCUMENT);
    let bytes = fs::read(&path).map_err(|error| {
        failure::file("read", &path, &error)
            .hint("make the pack first: deploy/packs/python/build; or name its folder with --pack")
    })?;
    let pack = Pack::parse(&bytes)
        .map_err(|error| Failure::new(Code::Usage, format!("{}: {error}", path.display())))?;
    let document = FileBlob { path, len: bytes.len() as u64, digest: Digest::of(&bytes) };
    let parts = std::iter::once(&pack.module).chain(pack.files.iter().map(|file| &file.part));
    let mut pieces = BTreeMap::new();
    for (digest, len) in parts.flat_map(pieces_of) {
        let path = folder.join(digest.to_string());
        let found = fs::metadata(&path).map_err(|error| failure::file("read", &path, &error))?;
        if found.len() != len {
            let text = format!("{} has {} bytes, expected {len}", path.display(), found.len());
            return Err(Failure::new(Code::Usage, text).hint("make the pack again"));
        }
        pieces.insert(digest, FileBlob { path, len, digest });
    }
    Ok(Found { pack, document, pieces })
}

/// A part's pieces with their lengths.
fn pieces_of(part: &Part) -> impl Iterator<Item = (Digest, u64)> {
    let begins = (0..part.bytes).step_by(PIECE_BYTES as usize);
    part.pieces.iter().copied().zip(begins.map(|at| (part.bytes - at).min(PIECE_BYTES)))
}

fn make(command: &PackCommand) -> Result<Pack, Failure> {
    let PackCommand::Make { module, files, offers, name, version, key, output } = command else {
        unreachable!("`run` asks for it with `make` only")
    };
    fs::create_dir_all(output).map_err(|error| failure::file("make", output, &error))?;
    let key = keys::node_key_at(key).map_err(|error| Failure::new(Code::Usage, error))?;
    let module = engine::without_custom_sections(&read_part(module)?)
        .map_err(|error| Failure::new(Code::Usage, format!("{}: {error}", module.display())))?;
    let mut offers = offers.clone();
    offers.sort();
    offers.dedup();
    let pack = Pack {
        schema: SCHEMA.into(),
        name: name.clone(),
        version: version.clone(),
        convention: Convention::WasiPython1,
        module: write_part(&module, output)?,
        files: files.iter().map(|file| write_file(file, output)).collect::<Result<_, _>>()?,
        offers,
        publisher: B256::ZERO,
        signature: String::new(),
    };
    let pack = pack.signed(&key);
    let bytes = pack.to_bytes();
    // The same check that everybody else makes.
    Pack::parse(&bytes).map_err(|error| Failure::new(Code::Usage, error))?;
    debug_assert!(bytes.len() <= DOCUMENT_BYTES_MAX, "parse refuses a longer one");
    write(&output.join(DOCUMENT), &bytes)?;
    Ok(pack)
}

/// `FILE` or `FILE:PATH`.
fn write_file(text: &str, folder: &Path) -> Result<PackFile, Failure> {
    let (file, path) = text.rsplit_once(':').unwrap_or((text, text));
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path);
    let path = if path == file { name } else { path };
    let bytes = read_part(Path::new(file))?;
    Ok(PackFile { path: path.to_owned(), part: write_part(&bytes, folder)? })
}

fn read_part(path: &Path) -> Result<Vec<u8>, Failure> {
    let bad = |error| failure::file("read", path, &error);
    let len = fs::metadata(path).map_err(bad)?.len();
    if len > PART_BYTES_MAX {
        let text = format!("{} has {len} bytes, expected at most {PART_BYTES_MAX}", path.display());
        return Err(Failure::new(Code::Usage, text));
    }
    fs::read(path).map_err(bad)
}

fn write_part(bytes: &[u8], folder: &Path) -> Result<Part, Failure> {
    let part = Part::of(bytes);
    for (digest, piece) in part.pieces.iter().zip(bytes.chunks(PIECE_BYTES as usize)) {
        write(&folder.join(digest.to_string()), piece)?;
    }
    Ok(part)
}

fn write(path: &PathBuf, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| failure::file("write", path, &error))
}

fn show(pack: &Pack, output: Output) -> Result<(), Failure> {
    let digest = Digest::of(&pack.to_bytes());
    let document = json!({
        "schema": "quorate.pack-summary/v1",
        "pack": digest,
        "name": pack.name,
        "version": pack.version,
        "publisher": pack.publisher,
        "module": pack.module.digest,
        "files": pack.files.iter().map(|file| (&file.path, file.part.digest)).collect::<BTreeMap<_, _>>(),
        "bytes": pack.bytes(),
        "offers": pack.offers,
    });
    output.either(&document, || {
        let mut rows = vec![
            ("pack", format!("{} {}, {digest}", pack.name, pack.version)),
            ("publisher", pack.publisher.to_string()),
            ("module", pack.module.digest.to_string()),
        ];
        for file in &pack.files {
            rows.push(("file", format!("{} {}", file.part.digest, file.path)));
        }
        rows.push(("size", units::show_bytes(pack.bytes())));
        rows.push(("offers", pack.offers.join(", ")));
        facts(&rows)
    })
}
