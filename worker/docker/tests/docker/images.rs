//! Strange images: refused with a reason before an engine sees them, or made harmless.

use crate::place::{Place, busybox, read, read_as, saved};
use quorate_docker::{
    Stop,
    tar::{Item, Writer},
};

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
