//! Three real workers of one person: paired by codes, asked and commanded by each other.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use program::{Running, command, ends, start};
use scheduler::{Scheduler, Session, soon};
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

/// The row of a machine.
fn row<'a>(told: &'a Value, name: &str) -> &'a Value {
    let rows = told["machines"].as_array().expect("machines");
    rows.iter().find(|row| row["name"] == name).expect("its row")
}

/// A tower and an attic that run, and a laptop that knows both.
struct Household {
    laptop: TempDir,
    tower: TempDir,
    attic: TempDir,
    workers: Vec<Running>,
    _scheduler: Scheduler,
    _sessions: Vec<Session>,
}

impl Household {
    async fn new() -> Self {
        let mut scheduler = Scheduler::start();
        let [laptop, tower, attic] =
            ["laptop", "tower", "attic"].map(|name| joined(&scheduler, name));
        let (tower_port, attic_port) = (free_port(), free_port());
        pair(tower.path(), tower_port, laptop.path());
        pair(attic.path(), attic_port, laptop.path());
        let workers = vec![runs(tower.path(), tower_port), runs(attic.path(), attic_port)];
        let mut sessions = Vec::new();
        for _ in 0..2 {
            let mut session = scheduler.session().await;
            session.welcome().await;
            sessions.push(session);
        }
        let all_answer = || {
            let told = asked(laptop.path(), &["status"]);
            let machines = told["machines"].as_array().cloned().unwrap_or_default();
            machines.iter().filter(|row| row["report"]["name"] == row["name"]).count() == 2
        };
        until("both answer", all_answer).await;
        Self { laptop, tower, attic, workers, _scheduler: scheduler, _sessions: sessions }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_of_one_person_ask_and_command_each_other() {
    let mut home = Household::new().await;
    let (laptop, tower, attic) = (home.laptop.path(), home.tower.path(), home.attic.path());
    let (out, _) = ends(laptop, &["machines", "ls"], 0);
    assert!(out.contains("tower") && out.contains("attic"), "{out}");
    let (out, _) = ends(tower, &["machines", "ls"], 0);
    assert!(out.contains("laptop") && out.contains("listens nowhere"), "{out}");

    // One command for all; each says that it is so, and it is.
    let told = asked(laptop, &["pause", "ALL"]);
    for name in ["tower", "attic"] {
        assert_eq!(row(&told, name)["report"]["reason"], "paused", "{told}");
    }
    let (out, _) = ends(tower, &["--json", "status"], 0);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["why"]["reason"], "paused", "{status}");
    let told = asked(laptop, &["resume", "attic"]);
    assert_ne!(row(&told, "attic")["report"]["reason"], "paused", "{told}");
    assert_eq!(row(&asked(laptop, &["status", "tower"]), "tower")["report"]["reason"], "paused");
    // A pause with an end has it there too.
    let told = asked(laptop, &["pause", "attic", "--for", "2h"]);
    assert!(row(&told, "attic")["report"]["words"].to_string().contains("until "), "{told}");

    // Removed there, it is a stranger; one that is off is said to be, and when it was there.
    ends(attic, &["machines", "remove", "laptop"], 0);
    let (_, err) = ends(laptop, &["machines", "resume", "attic"], 4);
    assert!(err.contains("not every machine"), "{err}");
    let told = asked(laptop, &["status", "attic"]);
    let error = row(&told, "attic")["error"].as_str().unwrap();
    assert!(error.contains("not paired with this machine"), "{error}");
    let (_, err) = ends(laptop, &["machines", "finish", "cellar"], 3);
    assert!(err.contains("no machine is called `cellar`"), "{err}");
    for worker in &mut home.workers {
        worker.signal("TERM");
        assert_eq!(soon("the end", worker.code()).await, Some(0));
    }
    // Everything at once, this machine too, whose worker does not run either.
    let told: Value = serde_json::from_str(&ends(laptop, &["--json", "machines"], 0).0).unwrap();
    assert_eq!(row(&told, "laptop")["own"], true);
    for name in ["laptop", "tower", "attic"] {
        assert!(row(&told, name)["report"].is_null(), "{told}");
    }
    assert!(row(&told, "tower")["error"].as_str().unwrap().contains("no answer"), "{told}");
    assert!(row(&told, "tower")["seen_unix_ms"].as_u64().unwrap() > 0, "{told}");
    let (out, _) = ends(laptop, &["machines"], 0);
    assert!(out.contains("last seen "), "{out}");
    // What is left behind by `uninstall` knows nobody.
    ends(laptop, &["uninstall"], 0);
    assert!(!laptop.join("machines.json").exists() && !laptop.join("machines.lock").exists());
}
