//! `quorate-release` as three people use it, and what they publish as a worker sees it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use quorate_common::{digest::Digest, keys::NodeKey};
use quorate_update::{
    Folder, Source, Updater,
    rules::{Effect, Me, Mode},
};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn release(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate-release"))
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .output()
        .unwrap()
}

#[track_caller]
fn good(dir: &Path, arguments: &[&str]) -> String {
    let output = release(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[track_caller]
fn bad(dir: &Path, arguments: &[&str], why: &str) {
    let output = release(dir, arguments);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains(why), "{arguments:?}: {err}");
}

#[tokio::test]
async fn three_people_publish_and_a_worker_believes_two_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let keys = ["ann", "bob", "eve"].map(|name| good(dir, &["key", &format!("{name}.key")]));
    let [ann, bob, eve] = &keys;
    let root = ["root", "--key", ann, "--key", bob, "--key", eve, "-o", "root.json"];
    good(dir, &root);
    good(dir, &["sign", "root.json", "--key-file", "ann.key"]);
    bad(dir, &["verify", "root.json", "--root", "root.json"], "signed by 1 of the root's keys");
    good(dir, &["sign", "root.json", "--key-file", "bob.key"]);
    bad(dir, &["sign", "root.json", "--key-file", "zoe.key"], "no such key");
    assert_eq!(
        good(dir, &["verify", "root.json", "--root", "root.json"]),
        "signed by 2 keys; 2 are enough"
    );

    fs::write(dir.join("program"), b"a program").unwrap();
    let describe = ["release", "--version", "0.2.0", "--sequence", "1", "--notes", "Faster."];
    let rest = ["--program", "program", "--dir", "site", "-o", "stable.json"];
    bad(dir, &[&describe[..], &["--share", "1001"], &rest].concat(), "share is 1001");
    good(dir, &[&describe[..], &rest].concat());
    // Each signs alone, on a copy; somebody combines.
    fs::copy(dir.join("stable.json"), dir.join("eves.json")).unwrap();
    good(dir, &["sign", "stable.json", "--key-file", "bob.key"]);
    let show = ["show", "stable.json", "--root", "root.json", "--dir", "site"];
    bad(dir, &show, "signed by 1 of the root's keys; expected 2");
    good(dir, &["sign", "eves.json", "--key-file", "eve.key"]);
    good(dir, &["combine", "stable.json", "eves.json"]);
    bad(dir, &["combine", "stable.json", "root.json"], "different bodies");
    good(dir, &show);

    let me = Me {
        product: "quorate-worker".into(),
        channel: "stable".into(),
        platform: quorate_update::platform(),
        running: "0.1.0".parse().unwrap(),
        mode: Mode::Stage,
        secret: Me::secret(&NodeKey::from_bytes(&[1; 32])),
    };
    let folder = Folder::open(&dir.join("versions")).unwrap();
    let source = Source::parse(&dir.join("site").display().to_string()).unwrap();
    let updater = Updater::new(folder, source, &dir.join("root.json"), me).unwrap();
    let effects = updater.check().await.unwrap();
    let Effect::Fetch(version, file) = effects[1].clone() else { panic!("{effects:?}") };
    assert_eq!(file.sha256, Digest::of(b"a program"));
    updater.fetch(version, file).await.unwrap();
    let placed = fs::read(dir.join("versions/0.2.0/quorate-worker")).unwrap();
    assert_eq!(placed, b"a program");

    // Eve's key is lost: ann and bob hand over to a root without it, and the worker follows.
    let zoe = good(dir, &["key", "zoe.key"]);
    let next = ["root", "--number", "2", "--key", ann, "--key", bob, "--key", &zoe, "-o", "2.json"];
    good(dir, &next);
    good(dir, &["sign", "2.json", "--key-file", "ann.key"]);
    good(dir, &["sign", "2.json", "--key-file", "bob.key"]);
    good(dir, &["show", "2.json", "--root", "root.json", "--dir", "site"]);
    let refused = updater.check().await.unwrap_err();
    assert!(refused.to_string().contains("signed by 1 of the root's keys"), "{refused}");
    good(dir, &["sign", "stable.json", "--key-file", "zoe.key"]);
    good(dir, &["show", "stable.json", "--root", "2.json", "--dir", "site"]);
    updater.check().await.unwrap();
    assert_eq!(updater.state().unwrap().root.version, 2);
}
