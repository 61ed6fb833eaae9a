//! One task's result: manifest first, then every file it names, each checked against length and
//! digest while it comes in. The manifest is written last, so a folder with one is complete.

use super::Folder;
use crate::{api::Api, directory, failure};
use quorate_common::{
    digest::Digest,
    exit::{Code, Failure},
    manifest::{Ended, Entry, MANIFEST_BYTES_MAX, Manifest},
};
use sha2::{Digest as _, Sha256};
use std::{fs::File, io::Read as _};
use tokio::io::AsyncWriteExt as _;

/// Bytes hashed at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// A result that is in the folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) ended: Ended,
    pub(super) bytes: u64,
    pub(super) is_new: bool,
}

/// Brings one task's result into the folder, unless it is there.
pub(super) async fn task(
    api: &Api,
    folder: &Folder,
    idx: u32,
    digest: Digest,
) -> Result<Task, Failure> {
    let below = directory::result(idx);
    let name = format!("{below}/{}", directory::MANIFEST);
    let known = folder.get(&name, MANIFEST_BYTES_MAX as u64)?;
    let known = known.filter(|bytes| Digest::of(bytes) == digest);
    let (manifest, mut is_new) = match known.and_then(|bytes| Manifest::parse(&bytes).ok()) {
        Some(manifest) => (manifest, false),
        None => (manifest_of(api, idx, digest).await?, true),
    };
    let mut bytes = 0;
    for (path, entry) in directory::entries(&manifest) {
        let path = format!("{below}/{path}");
        bytes += entry.len;
        if !is_there(folder, &path, &entry)? {
            download(api, folder, &path, &entry).await?;
            is_new = true;
        }
    }
    if is_new {
        folder.put(&name, manifest.encode().as_bytes())?;
    }
    Ok(Task { ended: manifest.ended, bytes, is_new })
}

/// The manifest with that digest.
pub(super) async fn manifest(api: &Api, digest: Digest) -> Result<Manifest, Failure> {
    let bytes = api.blob(digest, MANIFEST_BYTES_MAX as u64).await?;
    let found = Digest::of(&bytes);
    if found != digest {
        return Err(wrong(format!(
            "the scheduler sent a manifest with digest {found}; expected {digest}"
        )));
    }
    Manifest::parse(&bytes)
        .map_err(|error| wrong(format!("the voted manifest {digest} does not read: {error}")))
}

/// Whether bytes are what an entry says.
pub(super) fn check(bytes: &[u8], entry: &Entry, what: &str) -> Result<(), Failure> {
    let (len, digest) = (bytes.len() as u64, Digest::of(bytes));
    expect(what, len, digest, entry)
}

async fn manifest_of(api: &Api, idx: u32, digest: Digest) -> Result<Manifest, Failure> {
    manifest(api, digest).await.map_err(|mut failure| {
        failure.message = format!("task {idx}: {}", failure.message);
        failure
    })
}

async fn download(api: &Api, folder: &Folder, path: &str, entry: &Entry) -> Result<(), Failure> {
    let draft = folder.draft();
    let bad = |error| failure::file("write", &draft, &error);
    let mut file = tokio::fs::File::create(&draft).await.map_err(bad)?;
    let (mut hash, mut len) = (Sha256::new(), 0_u64);
    if entry.len > 0 {
        let mut response = api.blob_response(directory::digest_of(entry)).await?;
        while let Some(chunk) = response.chunk().await.map_err(|error| api.unreachable(&error))? {
            len += chunk.len() as u64;
            if len > entry.len {
                break;
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(bad)?;
        }
    }
    file.flush().await.map_err(bad)?;
    drop(file);
    expect(path, len, Digest(hash.finalize().into()), entry)?;
    folder.keep(&draft, path)
}

/// Whether the file is there with the right bytes.
fn is_there(folder: &Folder, path: &str, entry: &Entry) -> Result<bool, Failure> {
    let path = folder.path(path);
    let Ok(mut file) = File::open(&path) else { return Ok(false) };
    let bad = |error| failure::file("read", &path, &error);
    if file.metadata().map_err(bad)?.len() != entry.len {
        return Ok(false);
    }
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        let read = file.read(&mut chunk).map_err(bad)?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
    }
    Ok(<[u8; 32]>::from(hash.finalize()) == entry.digest)
}

fn expect(what: &str, len: u64, digest: Digest, entry: &Entry) -> Result<(), Failure> {
    let expected = directory::digest_of(entry);
    if len == entry.len && digest == expected {
        return Ok(());
    }
    Err(wrong(format!(
        "{what}: the scheduler sent {len} bytes with digest {digest}; expected {} with {expected}",
        entry.len
    )))
}

/// What came is not what was voted for.
fn wrong(text: String) -> Failure {
    Failure::new(Code::Failed, text).hint("run `quorate order results` again; the votes stand")
}
