//! Strange images: refused with a reason before an engine sees them, or made harmless.

use crate::place::{Place, busybox, platform, read, read_as, saved};
use flate2::{Compression, write::GzEncoder};
use quorate_common::{digest::Digest, image::ImageRef};
use quorate_docker::{
    Platform, Stop, image,
    tar::{Item, Writer},
};
use std::{fs, io::Write as _};

#[test]
fn what_is_no_image_is_refused_with_the_reason() {
    let refused = |archive: &[u8], expected: &str| {
        let error = read(archive).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.is_its_own(), "{error}");
    };
    refused(b"hello", "ends in the middle");
    refused(&[7; 2_048], "byte 0 of the archive begins no header");
    refused(&Writer::default().finish(), "index.json is named by the image and not in the archive");
    let good = saved(&busybox(), "{}");
    let at = |needle: &[u8]| good.windows(needle.len()).position(|w| w == needle).expect("there");
    let mut other = good.clone();
    let place = at(b"\"linux\"");
    other[place + 1..place + 6].copy_from_slice(b"plan9");
    refused(&other, "it is for plan9/");
    let mut other = good.clone();
    let place = at(b"a/layer.tar\"]");
    other[place] = b'b';
    refused(&other, "b/layer.tar is named by the image and not in the archive");
    let mut other = good.clone();
    let place = at(b"exec /bin/busybox");
    other[place] = b'E';
    refused(&other, "the configuration names sha256:");
    refused(&saved(&busybox(), r#"{"WorkingDir":"/proc/self/fd/8"}"#), "working folder");
}

#[test]
fn layers_that_would_harm_a_disk_are_refused() {
    let refused = |layer: Vec<u8>, expected: &str| {
        let error = read(&saved(&layer, "{}")).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    };
    let with = |kind: u8, path: &str| {
        let mut writer = Writer::default();
        writer.add(Item::File(path), b"");
        let sum = writer.bytes[148..154].to_vec();
        let sum = u64::from_str_radix(std::str::from_utf8(&sum).expect("digits"), 8).expect("sum");
        writer.bytes[156] = kind;
        let sum = format!("{:06o}", sum + u64::from(kind) - u64::from(b'0'));
        writer.bytes[148..154].copy_from_slice(sum.as_bytes());
        writer.finish()
    };
    refused(with(b'4', "dev/sda"), "dev/sda is a device, in a layer");
    refused(with(b'S', "hole"), "an entry of type 'S'");
    refused(with(b'0', "a/../../b"), "leads out of its layer");
    let mut many = Writer::default();
    (0..=quorate_docker::image::ENTRIES_MAX)
        .for_each(|n| many.add(Item::File(&n.to_string()), &[]));
    refused(many.finish(), "more files and folders in its layers; expected at most 200000");
}

/// What `docker buildx` and `skopeo` write: a layout, an index that names the manifest, compressed layers.
#[test]
fn a_layout_with_compressed_layers_is_an_image_too() {
    let layer = busybox();
    let archive = layout(&layer, &gzip(&layer));
    let image = read(&archive).expect("an image");
    let plain = read(&saved(&layer, "{}")).expect("an image");
    assert_eq!(image.id, plain.id, "compressed or not, it is the same image");
    for place in Place::all("layout") {
        let image = read_as(&archive, &place.worker).expect("an image");
        place.engine.prepare(&image).expect("it loads");
        let mut task = place.task("echo fine");
        task.image = image.id;
        let outcome = place.engine.run(task, Stop::default()).expect("an outcome");
        assert_eq!((outcome.code, outcome.stdout.as_slice()), (0, b"fine\n".as_slice()));
    }
}

#[test]
fn a_layout_that_is_not_what_it_says_is_refused() {
    let layer = busybox();
    let refused = |packed: &[u8], expected: &str| {
        let error = read(&layout(&layer, packed)).expect_err(expected);
        assert!(error.to_string().contains(expected) && error.is_its_own(), "{error}");
    };
    let packed = gzip(&layer);
    refused(&packed[..packed.len() / 2], "cannot be unpacked");
    let mut other = packed.clone();
    other[packed.len() / 2] ^= 1;
    refused(&other, "");
    let mut changed = layer.clone();
    // In busybox, not in a header.
    changed[5_000] ^= 1;
    refused(&gzip(&changed), "the configuration names sha256:");
    refused(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0], "is compressed with zstd; expected gzip, or nothing");
    // A part of it is missing, and an index leads in circles.
    let parts = |index: &str| {
        let mut writer = Writer::default();
        writer.add(Item::File("index.json"), index.as_bytes());
        writer.add(Item::File("blobs/sha256/a"), index.as_bytes());
        read(&writer.finish()).expect_err(index).to_string()
    };
    let circle = parts(r#"{"manifests":[{"digest":"sha256:a"}]}"#);
    assert!(circle.contains("expected one image"), "{circle}");
    let missing = parts(r#"{"manifests":[{"digest":"sha256:b"}]}"#);
    assert!(missing.contains("blobs/sha256/b is named by the image and not in"), "{missing}");
    let two = parts(r#"{"manifests":[{"digest":"sha256:a"},{"digest":"sha256:b"}]}"#);
    assert!(two.contains("names 1 manifests besides"), "{two}");
}

/// An image for another processor is refused by whoever looks at it: the requester's own program first.
#[test]
fn an_image_for_another_processor_is_refused() {
    let archive = saved(&busybox(), "{}");
    let path = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&path, &archive).expect("written");
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&archive).into();
    let source = image::Source::Archive { path: path.path(), digest: &digest };
    for other in [Platform::Amd64, Platform::Arm64].into_iter().filter(|it| *it != platform()) {
        let error = image::read(source, other, &[]).expect_err("another processor");
        let expected = format!("it is for {}; expected {other}", platform());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

/// The real limit: two gigabytes of zeros travel as two megabytes.
#[test]
fn a_layer_that_unpacks_to_more_than_a_disk_may_lose_is_refused() {
    const MEMBER: usize = 16 << 20;
    let mut head = Writer::default();
    head.head(Item::File("zeros"), 4 * image::UNPACKED_BYTES_MAX);
    // A file of gzip may have several members, which are one after the other.
    let zeros = gzip(&vec![0; MEMBER]);
    let members = image::UNPACKED_BYTES_MAX as usize / MEMBER;
    let bomb = [gzip(&head.bytes), zeros.repeat(members)].concat();
    assert!(bomb.len() < 16 << 20, "{} bytes", bomb.len());
    let began = std::time::Instant::now();
    let error = read(&layout(b"whatever it hashes to", &bomb)).expect_err("a bomb");
    let expected = "it has more bytes in its layers; expected at most 2147483648";
    assert_eq!((error.to_string().as_str(), error.is_its_own()), (expected, true));
    eprintln!("refused after {:?}", began.elapsed());
}

/// What a registry keeps in pieces is the image that the same pieces are in an archive.
#[test]
fn parts_in_files_of_their_own_are_the_same_image() {
    let layer = busybox();
    let packed = gzip(&layer);
    let whole = read(&layout(&layer, &packed)).expect("an image");
    let folder = tempfile::tempdir().expect("a folder");
    let config = config_of(&layer);
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(folder.path().join(digest.to_string()), bytes).expect("written");
        format!(r#"{{"digest":"sha256:{digest}","size":{}}}"#, bytes.len())
    };
    let rows = (put(config.as_bytes()), put(&packed));
    let manifest = format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, rows.0, rows.1);
    let document = ImageRef::new("registry.example", "app", &manifest).expect("a document");
    let source = image::Source::Parts { image: &document, folder: folder.path() };
    let parts = image::read(source, platform(), &[("quorate.worker", "test")]).expect("an image");
    assert_eq!(parts.id, whole.id, "however it came");
    for place in Place::all("parts") {
        let image = image::read(source, platform(), &[("quorate.worker", &place.worker)]);
        let image = image.expect("an image");
        place.engine.prepare(&image).expect("it loads");
        let mut task = place.task("echo fine");
        task.image = image.id;
        let outcome = place.engine.run(task, Stop::default()).expect("an outcome");
        assert_eq!((outcome.code, outcome.stdout.as_slice()), (0, b"fine\n".as_slice()));
    }
    // A damaged or missing part is this machine's trouble: nobody votes on it.
    let part = folder.path().join(Digest::of(&packed).to_string());
    for damage in [Some(&packed[..packed.len() - 1]), None] {
        match damage {
            Some(bytes) => fs::write(&part, bytes).expect("written"),
            None => fs::remove_file(&part).expect("removed"),
        }
        let error = image::read(source, platform(), &[]).expect_err("damaged");
        assert!(!error.is_its_own(), "{error}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("memory");
    packed.finish().expect("memory")
}

/// The configuration of an image of one layer.
fn config_of(layer: &[u8]) -> String {
    format!(
        "{{\"architecture\":\"{}\",\"os\":\"linux\",\"config\":{{}},\
         \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:{}\"]}}}}",
        platform().architecture(),
        Digest::of(layer)
    )
}

/// An archive of an OCI layout, whose layer is `layer` as `packed`.
fn layout(layer: &[u8], packed: &[u8]) -> Vec<u8> {
    let hash = |bytes: &[u8]| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes));
    let config = config_of(layer);
    let manifest = format!(
        "{{\"schemaVersion\":2,\"config\":{{\"digest\":\"sha256:{}\"}},\
         \"layers\":[{{\"digest\":\"sha256:{}\"}}]}}",
        hash(config.as_bytes()),
        hash(packed)
    );
    let named = hash(manifest.as_bytes());
    let index =
        format!("{{\"schemaVersion\":2,\"manifests\":[{{\"digest\":\"sha256:{named}\"}}]}}");
    let mut writer = Writer::default();
    writer.add(Item::File("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#);
    writer.add(Item::File("index.json"), index.as_bytes());
    for blob in [config.as_bytes(), manifest.as_bytes(), packed] {
        writer.add(Item::File(&format!("blobs/sha256/{}", hash(blob))), blob);
    }
    writer.finish()
}

/// Volumes would be disk without a size, a tag would be somebody else's, a user might be root.
#[test]
fn what_an_image_asks_for_besides_is_not_granted() {
    let config = r#"{"User":"0","Volumes":{"/data":{}},"Env":["A=b","PATH=/bin"],
        "Entrypoint":["/bin/busybox","sh","-c"],"Cmd":["echo $A; id -u; echo x > /data/x"],
        "Healthcheck":{"Test":["CMD","/bin/guest","spin"]},"OnBuild":["RUN rm -rf /"]}"#;
    for place in Place::all("asks") {
        let image = read_as(&saved(&busybox(), config), &place.worker).expect("an image");
        place.engine.prepare(&image).expect("it loads");
        let mut task = place.task("");
        (task.image, task.args, task.env) = (image.id, Vec::new(), Vec::new());
        let outcome = place.engine.run(task, Stop::default()).expect("an outcome");
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), "b\n65534\n", "{}", place.name);
        assert!(outcome.stderr_tail.contains("can't create /data/x"), "{}", outcome.stderr_tail);
    }
}
