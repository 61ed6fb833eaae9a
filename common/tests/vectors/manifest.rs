//! Result manifests: one text for one result.

use crate::{golden, json::Json};
use quorate_common::{
    digest::Digest,
    manifest::{Ended, Entry, Manifest, TrapKind},
};

fn entry(bytes: &str) -> Entry {
    Entry { len: bytes.len() as u64, digest: Digest::of(bytes.as_bytes()).0 }
}

fn manifests() -> Vec<Manifest> {
    let bare = |ended| Manifest { ended, fuel: 1_234_567, stdout: None, files: Vec::new() };
    let traps = TrapKind::ALL.into_iter().map(|kind| bare(Ended::Trap(kind)));
    let ended = [
        Ended::Exit(0),
        Ended::Exit(-1),
        Ended::Exit(255),
        Ended::Fuel,
        Ended::Memory,
        Ended::Output,
        Ended::Module,
    ];
    let full = Manifest {
        ended: Ended::Exit(0),
        fuel: u64::MAX,
        stdout: Some(entry("M521 is prime\n")),
        files: ["a/b.txt", "a b.txt", "z/äö.bin", "empty"]
            .map(|path| (path.to_owned(), entry(if path == "empty" { "" } else { path })))
            .into_iter()
            .collect(),
    };
    let mut full = full;
    full.files.sort_by(|one, other| one.0.as_bytes().cmp(other.0.as_bytes()));
    traps.chain(ended.map(bare)).chain([full]).collect()
}

/// Second spellings of results, and things that are none.
fn refused() -> Vec<String> {
    let good = Manifest {
        ended: Ended::Exit(0),
        fuel: 7,
        stdout: Some(entry("x")),
        files: vec![("a".into(), entry("1")), ("b".into(), entry("2"))],
    }
    .encode();
    let lines: Vec<&str> = good.lines().collect();
    let swapped = [lines[0], lines[1], lines[2], lines[3], lines[5], lines[4], ""].join("\n");
    vec![
        String::new(),
        good.trim_end().to_owned(),
        good.replace('\n', "\r\n"),
        format!("{good}\n"),
        good.replace("quorate-result/1", "quorate-result/2"),
        good.replace("exit 0", "exit 00"),
        good.replace("exit 0", "exit +0"),
        good.replace("exit 0", "trap stack-overflow"),
        good.replace("fuel 7", "fuel 07"),
        good.replace("fuel 7", "fuel 7 "),
        good.replace("stdout 1", "stdout 0"),
        good.replace(" a\n", " ../a\n"),
        good.replace(" a\n", " /a\n"),
        good.replace(" a\n", " b\n"),
        swapped,
    ]
}

#[test]
fn manifest() {
    let case = |manifest: &Manifest| {
        let text = manifest.encode();
        assert_eq!(Manifest::parse(text.as_bytes()).as_ref(), Ok(manifest));
        let digest = Digest(manifest.digest());
        assert_eq!(digest, Digest::of(text.as_bytes()));
        Json::Object(vec![("text", text.into()), ("digest", digest.to_string().into())])
    };
    let refused = refused();
    for text in &refused {
        assert!(Manifest::parse(text.as_bytes()).is_err(), "accepted: {text:?}");
    }
    golden(
        "manifest.json",
        &Json::Object(vec![
            ("manifests", manifests().iter().map(case).collect::<Vec<Json>>().into()),
            ("refused", refused.into()),
        ]),
    );
}
