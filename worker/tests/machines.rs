//! Three real workers of one person: paired by codes, asked and commanded by each other.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use program::{Running, command, ends, start};
use scheduler::{Scheduler, soon};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    net::UdpSocket,
    path::Path,
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;

fn joined(scheduler: &Scheduler, name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let invite = scheduler.invite().to_string();
    ends(dir.path(), &["join", &invite, "--offline", "--slots", "1", "--name", name], 0);
    dir
}

/// A port nobody has now, for both kinds.
fn free_port() -> u16 {
    loop {
        let port = UdpSocket::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn listening(port: u16) -> [String; 2] {
    ["--set".into(), format!("machines.listen=127.0.0.1:{port}")]
}

/// Pairs two folders: one shows a code, the other types it.
fn pair(host: &Path, port: u16, guest: &Path) {
    let [set, listen] = listening(port);
    let mut waiting = command(host, &["--json", "machines", "pair", &set, &listen])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(waiting.stdout.take().unwrap()).lines();
    let shown: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let code = shown["code"].as_str().unwrap();
    let address = format!("127.0.0.1:{port}");
    let (_, err) = ends(guest, &["machines", "pair", &address, "0000-000x"], 2);
    assert!(err.contains("a code has eight digits"), "{err}");
    let wrong = if code == "1234-5678" { "8765-4321" } else { "1234-5678" };
    let (_, err) = ends(guest, &["machines", "pair", &address, wrong], 6);
    assert!(err.contains("the codes differ"), "{err}");
    let (out, _) = ends(guest, &["machines", "pair", &address, code], 0);
    assert!(out.contains(&format!("it listens at {address}")), "{out}");
    assert!(waiting.wait().unwrap().success());
}

fn runs(dir: &Path, port: u16) -> Running {
    let [set, listen] = listening(port);
    start(dir, &["run", &set, &listen])
}

fn asked(dir: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["--json", "machines"][..], arguments].concat();
    let output = command(dir, &arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon(what, wait).await;
}

#[test]
fn machines_of_one_person_ask_and_command_each_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut scheduler = Scheduler::start();
        let [laptop, tower, attic] =
            ["laptop", "tower", "attic"].map(|name| joined(&scheduler, name));
        let (laptop, tower, attic) = (laptop.path(), tower.path(), attic.path());
        let (tower_port, attic_port) = (free_port(), free_port());
        pair(tower, tower_port, laptop);
        pair(attic, attic_port, laptop);
        let (out, _) = ends(laptop, &["machines", "ls"], 0);
        assert!(out.contains("tower") && out.contains("attic"), "{out}");
        let (out, _) = ends(tower, &["machines", "ls"], 0);
        assert!(out.contains("laptop") && out.contains("listens nowhere"), "{out}");

        let mut workers = [runs(tower, tower_port), runs(attic, attic_port)];
        for _ in 0..2 {
            let mut session = scheduler.session().await;
            session.welcome().await;
        }
        let all_hear = || {
            let told = asked(laptop, &["status"]);
            let machines = told["machines"].as_array().cloned().unwrap_or_default();
            machines.iter().filter(|machine| machine["status"]["name"] == machine["name"]).count()
                == 2
        };
        until("both answer", all_hear).await;

        // One command for all; each says that it is so, and it is.
        let told = asked(laptop, &["pause", "ALL"]);
        for machine in told["machines"].as_array().unwrap() {
            assert_eq!(machine["status"]["reason"], "paused", "{told}");
        }
        let (out, _) = ends(tower, &["--json", "status"], 0);
        let status: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(status["why"]["reason"], "paused", "{status}");
        let told = asked(laptop, &["resume", "attic"]);
        assert_ne!(told["machines"][0]["status"]["reason"], "paused", "{told}");
        assert_eq!(
            asked(laptop, &["status", "tower"])["machines"][0]["status"]["reason"],
            "paused"
        );

        // Removed there, it is a stranger; one that is off is said to be.
        ends(attic, &["machines", "remove", "laptop"], 0);
        let (_, err) = ends(laptop, &["machines", "resume", "attic"], 4);
        assert!(err.contains("not every machine"), "{err}");
        let told = asked(laptop, &["status", "attic"]);
        let error = told["machines"][0]["error"].as_str().unwrap();
        assert!(error.contains("not paired with this machine"), "{error}");
        let (_, err) = ends(laptop, &["machines", "finish", "cellar"], 3);
        assert!(err.contains("no machine is called `cellar`"), "{err}");
        for worker in &mut workers {
            worker.signal("TERM");
            assert_eq!(soon("the end", worker.code()).await, Some(0));
        }
    });
}
