//! What `quorate-worker engines` says of a real container engine, and what `run` makes of one whose limits do not hold.
//! A worker that requires containers does not start without. `QUORATE_TEST_DOCKER` and `QUORATE_TEST_PODMAN` name the
//! sockets; `deploy/test` starts both.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use quorate_common::{B256, ids::PoolId, invite::Invite, messages::Domain};
use std::{
    path::Path,
    process::{Command, Output},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_quorate-worker");

/// The socket that `name` names.
fn socket(name: &str) -> Option<String> {
    let socket = std::env::var(name).ok();
    assert!(socket.is_some() || std::env::var_os("CI").is_none(), "{name} names no engine");
    if socket.is_none() {
        eprintln!("NOT TESTED: {name} names no engine; deploy/test starts one");
    }
    socket
}

/// Runs the worker's program with a key of its own on the engine at `socket`.
fn run(socket: &str, args: &[&str]) -> Output {
    run_in(tempfile::tempdir().unwrap().path(), socket, args)
}

fn run_in(dir: &Path, socket: &str, args: &[&str]) -> Output {
    let path = format!("docker.socket={socket}");
    let mut command = Command::new(PROGRAM);
    command.arg("--data-dir").arg(dir).args(["--set", &path]).args(args);
    command.env_remove("DOCKER_HOST").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_engine_whose_limits_hold_is_offered_with_the_table_of_them() {
    let Some(socket) = socket("QUORATE_TEST_DOCKER") else { return };
    let ran = run(&socket, &["engines"]);
    let out = text(&ran.stdout);
    assert!(ran.status.success(), "{out}{}", text(&ran.stderr));
    let offers = out.lines().find_map(|line| line.strip_prefix("containers  "));
    assert!(offers.is_some_and(|hash| hash.len() == 64), "{out}");
    for limit in ["memory", "processes", "processors", "standard output", "deadline", "network"] {
        let is_shown = |line: &str| line.starts_with("holds  ") && line.contains(limit);
        assert!(out.lines().any(is_shown), "{limit}: {out}");
    }
    assert!(!out.contains("FAILS"), "{out}");
}

/// Podman 4 as root on control groups of version 1 does not say that memory was used up.
#[test]
fn an_engine_whose_limits_do_not_hold_is_shown_and_never_offered() {
    let Some(socket) = socket("QUORATE_TEST_PODMAN") else { return };
    let out = text(&run(&socket, &["engines"]).stdout);
    if out.contains("control groups v2") {
        return assert!(out.contains("containers  "), "{out}");
    }
    assert!(out.contains("containers  none: not all limits hold"), "{out}");
    let is_found = |line: &str| line.starts_with("FAILS  memory");
    assert!(out.lines().any(is_found), "{out}");
}

/// What `run` says where `docker.use` is `require` and the engine at `socket` will not do.
fn refused(socket: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let invite = Invite {
        address: "127.0.0.1:7421".into(),
        node_key: B256::repeat_byte(7),
        pool: PoolId(1),
        domain: Domain { chain_id: 31_337, contract: [9; 20].into() },
        rpc: None,
        api: None,
    };
    let joined = run_in(dir.path(), socket, &["join", &invite.to_string(), "--offline"]);
    assert!(joined.status.success(), "{}", text(&joined.stderr));
    let ran = run_in(dir.path(), socket, &["--set", "docker.use=require", "run"]);
    let err = text(&ran.stderr);
    assert_eq!(ran.status.code().map(|code| code != 0 && code < 128), Some(true), "{err}");
    assert!(err.contains("`docker.use` is `require`"), "{err}");
    assert!(err.contains("with docker.use=auto it works without containers"), "{err}");
    err
}

#[test]
fn a_worker_that_requires_containers_does_not_start_without_an_engine() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("docker.sock").display().to_string();
    let err = refused(&nowhere);
    assert!(err.contains("the container engine") && err.contains(&nowhere), "{err}");
}

/// As above: an engine that keeps its limits here has nothing to be refused for.
#[test]
fn a_worker_that_requires_containers_does_not_start_with_an_engine_that_fails_the_gate() {
    let Some(socket) = socket("QUORATE_TEST_PODMAN") else { return };
    if text(&run(&socket, &["engines"]).stdout).contains("control groups v2") {
        return eprintln!("NOT TESTED: this Podman keeps its limits");
    }
    let err = refused(&socket);
    assert!(err.contains("does not keep its limits: memory"), "{err}");
}
