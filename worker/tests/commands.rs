//! Commands an owner runs once in a while, each by the real program: `doctor`, `benchmark`, `uninstall`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;

use program::{ends, run};
use serde_json::Value;
use std::{fs, path::Path};

const INVITE: &str = "quorate://127.0.0.1:7421/\
    00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\
    ?pool=1&chain=31337&contract=0x5fbdb2315678afecb367f032d93f642f64180aa3";

fn joined() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    ends(dir.path(), &["join", INVITE, "--offline", "--slots", "2"], 0);
    dir
}

fn json(dir: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["--json"], arguments].concat();
    serde_json::from_str(&ends(dir, &arguments, 0).0).unwrap()
}

#[test]
fn the_doctor_says_what_is_missing_and_what_is_not() {
    let dir = joined();
    let verdicts = |dir: &Path| {
        let told = run(dir, &["--json", "doctor"]);
        let document: Value = serde_json::from_slice(&told.stdout).unwrap();
        let checks = document["checks"].as_array().unwrap().clone();
        let of = move |what: &str| {
            let found = checks.iter().find(|check| check["what"] == what);
            found.unwrap_or_else(|| panic!("{what} is not tried"))["verdict"].clone()
        };
        (told.status.code().unwrap(), of)
    };
    let (code, of) = verdicts(dir.path());
    assert_eq!((of("pool"), of("modules")), ("good".into(), "good".into()));
    assert!([0, 10].contains(&code), "warnings at most, on any machine: {code}");
    let nothing = tempfile::tempdir().unwrap();
    let (code, of) = verdicts(nothing.path());
    assert_eq!((code, of("pool")), (1, "error".into()), "no pool was joined");
}

#[test]
fn the_benchmark_measures_something() {
    let dir = joined();
    let told = json(dir.path(), &["benchmark"]);
    assert_eq!((&told["schema"], &told["slots"]), (&"quorate.benchmark/v1".into(), &2.into()));
    let speeds: Vec<f64> = told.as_object().unwrap().values().filter_map(Value::as_f64).collect();
    assert!(speeds.len() >= 3 && speeds.iter().all(|speed| *speed > 0.0), "{told}");
}

#[test]
fn uninstalling_keeps_keys_and_purging_keeps_nothing() {
    let dir = joined();
    let kept = dir.path().join("node.key");
    fs::create_dir_all(dir.path().join("blobs")).unwrap();
    fs::write(dir.path().join("blobs/some"), "bytes").unwrap();
    assert_eq!(json(dir.path(), &["uninstall"])["purged"], false);
    assert!(kept.exists() && !dir.path().join("blobs").exists());
    assert_eq!(json(dir.path(), &["uninstall", "--purge"])["purged"], true);
    assert!(!dir.path().exists());
    let (_, err) = ends(dir.path(), &["uninstall"], 3);
    assert!(err.contains("there is no worker in"), "{err}");
}
