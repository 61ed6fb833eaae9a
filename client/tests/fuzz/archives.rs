//! Archives: images that strangers upload, outputs that their programs leave behind.

use super::harness::{Said, fuzz, said};
use quorate_docker::{
    image as images,
    tar::{Item, Piece, Reader, TarError, Writer},
};

#[test]
fn a_tar_archive() {
    fuzz("tar", &[sample("a"), sample(&"long/".repeat(60))], |bytes| {
        let whole = read(bytes, bytes.len().max(1));
        // However it comes, it is the same archive.
        for pieces in [1, 511, 513] {
            assert_eq!(read(bytes, pieces), whole);
        }
        said(whole.is_ok())
    });
}

/// Found by the test above: a number in bytes where there is room for digits only.
#[test]
fn a_checksum_in_bytes_is_refused() {
    let mut bytes = sample("a");
    bytes[148] = 0x80;
    assert_eq!(read(&bytes, 512), Err(TarError::Checksum { at: 0 }));
}

#[test]
fn an_image() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    fuzz("image", &[image()], |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let digest = quorate_common::digest::Digest::of(bytes);
        let platform = quorate_docker::Platform::Amd64;
        let source = images::Source::Archive { path: &path, digest: &digest.0 };
        match images::read(source, platform, &[]) {
            Ok(_) => Said::Taken,
            Err(error) => {
                assert!(error.is_its_own(), "everybody says the same of it: {error}");
                Said::Refused
            }
        }
    });
}

/// What a reader sees, bytes of one file joined: how they come is no matter.
fn read(bytes: &[u8], pieces: usize) -> Result<Vec<(String, Vec<u8>)>, TarError> {
    let (mut reader, mut seen) = (Reader::default(), Vec::<(String, Vec<u8>)>::new());
    for piece in bytes.chunks(pieces) {
        reader.feed::<TarError>(piece, &mut |piece| {
            match piece {
                Piece::Entry(entry) => seen.push((format!("{entry:?}"), Vec::new())),
                Piece::Bytes(bytes) => seen.last_mut().unwrap().1.extend(bytes),
            }
            Ok(())
        })?;
    }
    reader.finish().map(|()| seen)
}

fn sample(name: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.add(Item::Folder(name.trim_end_matches('/')), &[]);
    writer.add(Item::File(&format!("{name}f")), &[7; 700]);
    writer.add(Item::Program("p"), b"");
    writer.finish()
}

fn image() -> Vec<u8> {
    let layer = sample("a");
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["p"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}}}}"#,
        quorate_common::digest::Digest::of(&layer)
    );
    let manifest = r#"[{"Config":"c.json","RepoTags":null,"Layers":["l.tar"]}]"#;
    let mut writer = Writer::default();
    writer.add(Item::File("manifest.json"), manifest.as_bytes());
    writer.add(Item::File("c.json"), config.as_bytes());
    writer.add(Item::File("l.tar"), &layer);
    writer.finish()
}
