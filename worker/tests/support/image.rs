//! Images from nothing: busybox and a command, as `docker save` would write them.

use quorate_common::digest::Digest;
use quorate_docker::{
    Platform,
    tar::{Item, Writer},
};
use std::fs;

/// Where the guest lies.
const DOCKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../worker/docker");

/// An application in the way of iExec's own examples: it counts the words of its dataset and inputs.
pub(crate) const IEXEC_APP: &str = r#"
date
n=0
if [ -n "$IEXEC_DATASET_FILENAME" ]; then
    n=$(busybox wc -w < "$IEXEC_IN/$IEXEC_DATASET_FILENAME")
fi
i=1
while [ $i -le $IEXEC_INPUT_FILES_NUMBER ]; do
    eval file=\$IEXEC_INPUT_FILE_NAME_$i
    n=$((n + $(busybox wc -w < "$IEXEC_INPUT_FILES_FOLDER/$file")))
    i=$((i + 1))
done
busybox date > $IEXEC_OUT/log.txt
echo "task $IEXEC_BOT_TASK_INDEX of $IEXEC_BOT_SIZE: $n words, $*" > $IEXEC_OUT/result.txt
echo "{\"deterministic-output-path\": \"$IEXEC_OUT/result.txt\"}" > $IEXEC_OUT/computed.json
"#;

/// An archive whose image runs this command, with the order's arguments behind it.
pub(crate) fn archive(command: &[&str]) -> Vec<u8> {
    saved(command, busybox())
}

/// The same with what hostile scripts need: the worker's own program, and busybox by its usual names.
pub(crate) fn toolbox(command: &[&str]) -> Vec<u8> {
    let mut layer = busybox();
    let guest = format!("{}/guest/guest-{}", DOCKER, std::env::consts::ARCH);
    let guest = fs::read(guest).expect("the guest is committed");
    layer.add(Item::Program("bin/guest"), &guest);
    let shell = "#!/bin/busybox sh\nexec /bin/busybox \"${0##*/}\" \"$@\"\n";
    for name in ["cat", "dd", "ls", "ln", "mkdir", "mkfifo", "mknod", "sleep", "truncate", "yes"] {
        layer.add(Item::Program(&format!("bin/{name}")), shell.as_bytes());
    }
    saved(command, layer)
}

fn busybox() -> Writer {
    let program = fs::read("/bin/busybox").expect("apt-get install busybox-static");
    let mut layer = Writer::default();
    layer.add(Item::Folder("bin"), &[]);
    layer.add(Item::Program("bin/busybox"), &program);
    layer
}

/// The same in pieces: its configuration and its only layer.
pub(crate) fn parts(command: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let layer = busybox().finish();
    (config(command, &layer), layer)
}

fn config(command: &[&str], layer: &[u8]) -> Vec<u8> {
    let diff_id = format!("sha256:{}", Digest::of(layer));
    let architecture = Platform::here().expect("a processor for containers").architecture();
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux",
        "config": { "Entrypoint": command, "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    config.to_string().into_bytes()
}

/// As `docker save` would write it.
fn saved(command: &[&str], layer: Writer) -> Vec<u8> {
    let layer = layer.finish();
    let config = config(command, &layer);
    let mut all = Writer::default();
    let manifest = br#"[{"Config":"c.json","RepoTags":["a:latest"],"Layers":["l.tar"]}]"#;
    all.add(Item::File("manifest.json"), manifest);
    all.add(Item::File("c.json"), &config);
    all.add(Item::File("l.tar"), &layer);
    all.finish()
}
