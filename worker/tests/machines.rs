//! Three real workers of one person: paired by codes, asked and commanded by each other.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/browser.rs"]
mod browser;
#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use browser::Browser;
use program::{Running, command, ends, start};
use scheduler::{Scheduler, Session, soon};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Write as _},
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
    // As a person would: the code is on no command line.
    let mut joining = command(guest, &["machines", "pair", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    joining.stdin.take().unwrap().write_all(format!("{code}\n").as_bytes()).unwrap();
    let joined = joining.wait_with_output().unwrap();
    let out = String::from_utf8(joined.stdout).unwrap();
    assert!(joined.status.success(), "{out}");
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

#[tokio::test(flavor = "multi_thread")]
async fn one_page_shows_and_commands_all_of_them() {
    let mut home = Household::new().await;
    let (laptop, tower) = (home.laptop.path(), home.tower.path());
    ends(laptop, &["set", "page.listen=127.0.0.1:0"], 0);
    home.workers.push(start(laptop, &["run"]));
    until("the laptop's own page", || {
        command(laptop, &["open", "--print"]).output().unwrap().status.success()
    })
    .await;
    let (out, _) = ends(laptop, &["--json", "open", "--print"], 0);
    let told: Value = serde_json::from_str(&out).unwrap();
    let browser = Browser::enter(told["url"].as_str().unwrap());

    let page = browser.get("/machines").expect(200).body;
    for name in ["laptop", "tower", "attic"] {
        assert!(page.contains(&format!("aria-label=\"Pause {name}\"")), "{page}");
    }
    assert!(page.contains("(this machine)") && page.contains("Earned in all"), "{page}");
    let book: Value =
        serde_json::from_str(&std::fs::read_to_string(laptop.join("machines.json")).unwrap())
            .unwrap();
    let tower_key = row(&book, "tower")["key"].as_str().unwrap().to_owned();
    let reason = |dir: &Path| {
        let (out, _) = ends(dir, &["--json", "status"], 0);
        serde_json::from_str::<Value>(&out).unwrap()["why"]["reason"].clone()
    };
    // A stranger's browser sees and does nothing.
    let stranger = Browser { host: browser.host.clone(), cookie: String::new() };
    assert!(!stranger.get("/machines").expect(403).body.contains("tower"));
    let pause = [("machine", tower_key.as_str()), ("do", "pause")];
    let origin = format!("http://{}", browser.host);
    stranger.form("/machines", &pause, &[("Origin", &origin)]).expect(403);
    browser.form("/machines", &pause, &[("Origin", &origin)]).expect(403);
    assert_ne!(reason(tower), "paused", "nobody let in paused it");

    // One of them, from this page, end to end.
    browser.post("/machines", &pause).expect(303);
    assert_eq!(reason(tower), "paused");
    assert!(browser.get("/machines").body.contains("you paused it"));
    assert_ne!(reason(laptop), "paused");
    browser.post("/machines", &[("machine", "own"), ("do", "pause"), ("for", "1h")]).expect(303);
    assert_eq!(reason(laptop), "paused");
    browser.post("/machines", &[("machine", "ALL"), ("do", "run")]).expect(303);
    assert_ne!(reason(tower), "paused");
    assert_ne!(reason(laptop), "paused");
    for bad in [&[("machine", "0x00"), ("do", "run")], &[("machine", "tower"), ("do", "run")]] {
        browser.post("/machines", bad).expect(404);
    }
    browser.post("/machines", &[("machine", "own"), ("do", "leave")]).expect(400);

    // One that is off is shown as such, with when it was there, and what was to be done is said not to be.
    home.workers[0].signal("TERM");
    assert_eq!(soon("the tower's end", home.workers[0].code()).await, Some(0));
    let page = browser.get("/machines").expect(200).body;
    assert!(page.contains("Not reached") && page.contains("just now"), "{page}");
    assert!(!page.contains("aria-label=\"Pause tower\""), "{page}");
    let told = browser.post("/machines", &[("machine", "ALL"), ("do", "pause")]).expect(503).body;
    assert!(told.contains("not done by 1 of 2") && told.contains("tower"), "{told}");
    assert_eq!(reason(laptop), "paused", "the others have done it");
    // Forgotten, it is not there any more.
    browser.post("/machines/forget", &[("machine", &tower_key)]).expect(400);
    browser.post("/machines/forget", &[("machine", &tower_key), ("sure", "yes")]).expect(303);
    assert!(!browser.get("/machines").expect(200).body.contains("tower"));
}
