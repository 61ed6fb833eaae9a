//! The command line as its users meet it: the real program, its texts, its exit codes, its files.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;

use program::{command, ends};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};
use tempfile::TempDir;

const INVITE: &str = "quorate://127.0.0.1:7421/\
    00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\
    ?pool=1&chain=31337&contract=0x5fbdb2315678afecb367f032d93f642f64180aa3";

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn joined() -> TempDir {
    let dir = folder();
    ends(dir.path(), &["join", INVITE, "--offline"], 0);
    dir
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn exit_codes_and_commands_are_explained() {
    let dir = folder();
    let (out, _) = ends(dir.path(), &["help", "exit-codes"], 0);
    assert!(out.contains("  8  conflict: already exists"), "{out}");
    let (out, _) = ends(dir.path(), &["help", "join"], 0);
    assert!(out.contains("--owner-key-file"), "{out}");
    let (_, err) = ends(dir.path(), &["help", "jion"], 2);
    assert!(err.contains("no help topic `jion`"), "{err}");
    let (_, err) = ends(dir.path(), &["runn"], 2);
    assert!(err.contains("unrecognized subcommand"), "{err}");
    let (_, err) = ends(dir.path(), &["--json", "runn"], 2);
    let error: Value = serde_json::from_str(&err).unwrap();
    assert_eq!(error["error"]["code"], "usage");
}

#[test]
fn a_worker_that_does_not_run_is_told_so_without_asking_anybody() {
    let dir = joined();
    let (out, _) = ends(dir.path(), &["explain"], 0);
    assert!(out.contains("not_running") && out.contains("quorate-worker run"), "{out}");
    let (out, _) = ends(dir.path(), &["--json", "explain"], 0);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["reasons"][0]["reason"], "not_running");
    let (_, err) = ends(dir.path(), &["--set", "price=1.2.3", "explain"], 2);
    assert!(err.contains("`price` is \"1.2.3\"; expected token units"), "{err}");
}

#[test]
fn joining_makes_everything_once() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let arguments = ["--json", "join", INVITE, "--offline", "--name", "ann", "--slots", "3"];
    let (out, err) = ends(dir.path(), &arguments, 0);
    assert!(err.contains("made the account 0x"), "{err}");
    let first: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(first["schema"], "quorate.join/v1");
    assert_eq!(first["worker"], Value::Null);
    for name in ["node.key", "vote.key", "wallets/owner.json", "wallets/owner.password"] {
        assert_eq!(mode(&at(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&at("wallets")), 0o700);
    let text = fs::read_to_string(at("quorate.toml")).unwrap();
    assert!(
        text.contains("# Replicas at once, up to 1024") && text.contains("slots = 3"),
        "{text}"
    );
    assert!(text.contains("# cache_mib = 2048"), "{text}");

    // Again, with nothing or with other flags: the same keys, the same account.
    let (out, _) = ends(dir.path(), &["--json", "join", "--offline", "--slots", "4"], 0);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), first);
    let text = fs::read_to_string(at("quorate.toml")).unwrap();
    assert!(text.contains("slots = 4") && text.contains("name = \"ann\""), "{text}");

    let other = INVITE.replace("pool=1", "pool=2");
    let (_, err) = ends(dir.path(), &["join", &other, "--offline"], 0);
    assert!(err.contains("belongs to several pools now"), "{err}");
    let (out, _) = ends(dir.path(), &["--json", "pools", "ls"], 0);
    let pools: Value = serde_json::from_str(&out).unwrap();
    let names: Vec<&Value> =
        pools["pools"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
    assert_eq!(names, ["home", "pool-2-31337-5fbdb231"]);
    let (_, err) = ends(dir.path(), &["pools", "share", "pool-2", "3"], 3);
    assert!(err.contains("there are home, pool-2-31337-5fbdb231"), "{err}");
    let (_, err) = ends(dir.path(), &["pools", "leave", "home"], 8);
    assert!(err.contains("is this worker's first pool"), "{err}");
    ends(dir.path(), &["pools", "share", "home", "20"], 0);
    let (out, _) = ends(dir.path(), &["get", "share"], 0);
    assert!(out.contains("20"), "{out}");
    let stranger = "0x00000000000000000000000000000000000000aa";
    let (_, err) = ends(dir.path(), &["join", "--offline", "--payout", stranger], 8);
    assert!(err.contains("the owner is 0x"), "{err}");
}

#[test]
fn an_owner_may_bring_a_key() {
    let dir = folder();
    let key = dir.path().join("owner.hex");
    fs::write(&key, "11".repeat(32)).unwrap();
    let path = key.to_str().unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, err) = ends(dir.path(), &["join", INVITE, "--offline", "--owner-key-file", path], 6);
    assert!(err.contains("mode 644 lets others read it") && err.contains("chmod 600"), "{err}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let arguments = ["--json", "join", INVITE, "--offline", "--owner-key-file", path];
    let (out, _) = ends(dir.path(), &arguments, 0);
    let joined: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(joined["owner"], "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a");
    assert!(!dir.path().join("wallets/owner.json").exists());
}

#[test]
fn what_is_wrong_with_an_invitation_is_named() {
    let dir = folder();
    let bad = INVITE.replace("pool=1", "pool=x");
    let (_, err) = ends(dir.path(), &["join", &bad, "--offline"], 2);
    assert!(err.contains("invitation field `pool` is `x`"), "{err}");
    let (_, err) = ends(dir.path(), &["join", "--offline"], 2);
    assert!(err.contains("this worker has not joined a pool"), "{err}");
    let (_, err) = ends(dir.path(), &["run"], 2);
    assert!(err.contains("this worker has not joined a pool"), "{err}");
    // Without a chain node there is nothing to register with, and that is said.
    let (_, err) = ends(dir.path(), &["join", INVITE, "--stake", "5"], 2);
    assert!(err.contains("neither the invitation nor `chain.url` names a JSON-RPC node"), "{err}");
    let (_, err) = ends(dir.path(), &["join", INVITE], 2);
    assert!(err.contains("how much to stake is not known"), "{err}");
}

#[test]
fn the_configuration_is_strict_and_knows_its_origins() {
    let dir = joined();
    let (out, _) = ends(dir.path(), &["config", "show", "--origin", "--set", "slots=7"], 0);
    assert!(out.contains("slots = 7    # flag --set"), "{out}");
    assert!(out.contains("cache_mib = 2048    # default"), "{out}");
    let file = dir.path().join("quorate.toml");
    assert!(out.contains(&format!("    # {}", file.display())), "{out}");
    let shown = command(dir.path(), &["config", "show", "--origin"])
        .env("QUORATE_CACHE_MIB", "512")
        .output()
        .unwrap();
    let out = String::from_utf8(shown.stdout).unwrap();
    assert!(out.contains("cache_mib = 512    # environment QUORATE_CACHE_MIB"), "{out}");

    let (_, err) = ends(dir.path(), &["run", "--set", "slot=7"], 2);
    assert!(err.contains("flag --set: unknown key `slot`; did you mean `slots`?"), "{err}");
    let (_, err) = ends(dir.path(), &["run", "--set", "slots=2000"], 2);
    assert!(err.contains("`slots` is 2000; expected a whole number from 0 to 1024"), "{err}");
    let (_, err) = ends(dir.path(), &["run", "--set", "name=\"a\\nb\""], 2);
    assert!(err.contains("`name`"), "{err}");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, before + "\ncache = 1\n").unwrap();
    let (_, err) = ends(dir.path(), &["--json", "status"], 2);
    let error: Value = serde_json::from_str(&err).unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("unknown key"), "{message}");
    fs::write(&file, "slots = ").unwrap();
    let (_, err) = ends(dir.path(), &["run"], 2);
    assert!(err.contains("is not TOML"), "{err}");
    let missing = ["--config", "/nowhere/worker.toml", "run"];
    let (_, err) = ends(dir.path(), &missing, 2);
    assert!(err.contains("/nowhere/worker.toml cannot be read"), "{err}");
}

#[test]
fn a_worker_that_never_ran_has_no_status() {
    let dir = joined();
    let (_, err) = ends(dir.path(), &["status"], 3);
    assert!(err.contains("no worker has run in"), "{err}");
    fs::set_permissions(dir.path().join("vote.key"), fs::Permissions::from_mode(0o640)).unwrap();
    let (_, err) = ends(dir.path(), &["run"], 6);
    assert!(err.contains("vote.key: mode 640 lets others read it"), "{err}");
}
