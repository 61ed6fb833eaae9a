//! Results in the blob store: a manifest and the blobs it names.

use crate::blobs::Blobs;
use quorate_common::{
    digest::Digest,
    manifest::{MANIFEST_BYTES_MAX, Manifest},
};

/// Whether the manifest and every blob it names are here.
pub(crate) fn is_whole(blobs: &Blobs, digest: &Digest) -> bool {
    let Ok(bytes) = blobs.read(digest, MANIFEST_BYTES_MAX as u64) else { return false };
    let Ok(manifest) = Manifest::parse(&bytes) else { return false };
    let entries = manifest.stdout.iter().chain(manifest.files.iter().map(|(_, entry)| entry));
    entries.into_iter().all(|entry| blobs.len(&Digest(entry.digest)) == Some(entry.len))
}
