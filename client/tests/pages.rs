//! The operator's pages and a worker's, with everything real: a node (`QUORATE_ANVIL`), a scheduler, workers with names that
//! nobody should have, a requester whose program writes the same, and a browser (`QUORATE_BROWSER` names
//! Chromium; `scheduler/tests/pages` what drives it, after `npm ci` there). Without either the test says so and
//! ends. What is looked at is in `pages.mjs` and `owner.mjs`; here is the market that they look at.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[path = "market/anvil.rs"]
mod anvil;
#[path = "market/home.rs"]
#[expect(dead_code, reason = "the other test uses the rest")]
mod home;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/operator.rs"]
mod operator;
#[path = "market/patience.rs"]
mod patience;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/requester.rs"]
mod requester;
#[path = "market/site.rs"]
mod site;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;

use anvil::{Anvil, free_port};
use operator::{Operator, SCHEDULER};
use patience::until;
use requester::Requester;
use serde_json::{Value, json};
use site::Site;
use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::Command;
use volunteer::Volunteer;

/// What strangers put where text is shown. Each would run, or make an element, where anything is not escaped.
const HOSTILE: [&str; 7] = [
    "<script>hit(1)</script>",
    "<img src=x onerror=hit(2)>",
    "\"><svg onload=hit(3)>",
    "'-hit(4)-'</title><iframe>",
    "{{7*7}}${7*7}<%=hit(5)%>",
    "<a href=javascript:hit(6)>worker-1</a>",
    "--><!--<style>*{display:none}",
];
const PASSWORD: &str = "correct horse battery staple";
const SETTINGS: [&str; 3] = ["batch.age_s=1", "grid.lease_ms=1500", "pool.scheduler_ratio=10"];
/// Tasks of the first order: a row of cells and a half.
const TASKS: usize = 150;
/// Longest run of the browser.
const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test]
async fn operators_pages_in_a_browser() {
    let Some(browser) = env::var_os("QUORATE_BROWSER") else {
        eprintln!("SKIPPED: QUORATE_BROWSER does not name a Chromium");
        return;
    };
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let mut operator = Operator::init(&site, &anvil, "operator", &SETTINGS).await;
    add_operators(&operator).await;
    operator.serve().await;
    let ui = operator.ready()["ui"].as_str().unwrap().to_owned();
    let invite = operator.invite().await;
    let mut volunteers = join(&site, &operator, &anvil, &invite).await;

    let requester = Requester::new(&site, &operator, "requester", &anvil.url).await;
    let orders = place(&requester).await;
    command_line(&operator, &volunteers).await;
    operator.batches_are("committed").await;
    anvil.chain().warp(anvil::WINDOW_S).await.unwrap();
    let finals = operator.batches_are("final").await;

    let market = json!({
        "ui": format!("http://{ui}"), "port": ui.rsplit(':').next(), "password": PASSWORD,
        "orders": orders, "hostile": HOSTILE, "tasks": TASKS, "batches": finals.len(),
        "worker": volunteers[0].worker, "idle": volunteers[HOSTILE.len() - 1].worker,
    });
    look(&site, &browser, "pages.mjs", &market).await;
    owners_page(&site, &browser, (&operator, &anvil), &mut volunteers).await;
    let log = std::fs::read_to_string(operator.home.path().join("pool/operators.log")).unwrap();
    assert!(log.contains("\"act\":\"ban\"") && !log.contains(PASSWORD), "{log}");
    assert_eq!(operator.end("INT").await, 0);
}

async fn add_operators(operator: &Operator) {
    let home = operator.home.clone().with("QUORATE_PASSWORD", PASSWORD);
    std::fs::create_dir_all(operator.home.path().join("pool")).unwrap();
    for (name, role) in [("ada", "act"), ("bob", "read")] {
        let add = ["--data", "pool", "operator", "add", name, "--role", role];
        home.run(SCHEDULER, &add).await.expect(0);
    }
    let weak = operator.home.clone().with("QUORATE_PASSWORD", "short");
    let add = ["--data", "pool", "operator", "add", "eve", "--role", "act"];
    weak.run(SCHEDULER, &add).await.refused(2, &["at least 12"]);
    let listed = operator.run(&["operator", "ls"]).await.expect(0);
    assert!(listed.out.contains("ada") && !listed.out.contains("argon2"), "{listed}");
}

async fn join(site: &Site, operator: &Operator, anvil: &Anvil, invite: &str) -> Vec<Volunteer> {
    let mut volunteers = Vec::new();
    for (n, name) in HOSTILE.iter().enumerate() {
        let mut volunteer = Volunteer::new(site, &format!("volunteer-{n}"));
        // With `=`: one of them begins like a flag.
        let name = format!("--name={name}");
        let terms = ["--slots", "2", &name];
        volunteer.join_with_key(operator, anvil, invite, &terms).await;
        volunteer.start();
        volunteers.push(volunteer);
    }
    operator.has_workers(volunteers.len()).await;
    volunteers
}

/// A program that writes hostile text, makes a file with a hostile name, and ends with a code.
fn program(exit: i32) -> Vec<u8> {
    let text: String = HOSTILE.join("\n");
    let name = HOSTILE[1].replace('/', "");
    let quoted: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let file: String = name.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let (len, name_len) = (text.len(), name.len());
    let wat = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 64) "{quoted}")
          (data (i32.const 4096) "{file}")
          (func (export "_start")
            (i32.store (i32.const 0) (i32.const 64))
            (i32.store (i32.const 4) (i32.const {len}))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (drop (call $open (i32.const 4) (i32.const 0) (i32.const 4096) (i32.const {name_len})
              (i32.const 1) (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 12)))
            (call $exit (i32.const {exit}))))"#
    );
    wat::parse_str(wat).unwrap()
}

/// Three orders: one that ends well, one whose program fails, one that nobody takes.
async fn place(requester: &Requester) -> Value {
    requester.run(&["wallet", "deposit", "10 QTT"]).await.expect(0);
    let mut placed = Vec::new();
    for (name, exit, tasks) in [("well", 0, TASKS), ("ill", 3, 4)] {
        let app = requester.home.file(&format!("{name}.wasm"), program(exit));
        let lines: String = (0..tasks).map(|n| format!("{n}\n")).collect();
        requester.home.file("lines.txt", lines);
        let app = app.display().to_string();
        let run =
            ["run", &app, "--each-line", "lines.txt", "-o", name, "--name", name, "--trust", "4"];
        let code = if exit == 0 { 0 } else { 10 };
        requester.run(&run).await.expect(code);
        placed.push(requester.newest().await);
    }
    json!({ "well": placed[0], "ill": placed[1] })
}

/// The same from the command line: words, JSON, refusals.
async fn command_line(operator: &Operator, volunteers: &[Volunteer]) {
    let listed = operator.run(&["worker", "ls"]).await.expect(0);
    assert!(listed.out.contains(HOSTILE[0]) && listed.out.contains("7 of 7 workers"), "{listed}");
    let worker = volunteers[1].worker.to_string();
    operator.run(&["worker", "ban", "99999", "spam"]).await.refused(3, &["not registered"]);
    let banned = operator.run(&["--json", "worker", "ban", &worker, "it", "is", "slow"]).await;
    let banned = banned.expect(0).json();
    assert_eq!(banned["worker"]["restraint"]["reason"], "it is slow");
    volunteers[1]
        .shows("that it was banned", |status| {
            status.to_string().contains("banned this worker: it is slow")
        })
        .await;
    let why = operator.run(&["explain", "worker", &worker]).await.expect(0);
    assert!(why.out.contains("it is slow"), "{why}");
    let drained = operator.run(&["worker", "drain", &worker, "a rest"]).await.expect(0);
    assert!(drained.out.contains("drained") && drained.out.contains("a rest"), "{drained}");
    operator.run(&["worker", "unban", &worker]).await.expect(0);
    for what in [&["explain"][..], &["explain", "settlement"], &["explain", "cost"]] {
        let told = operator.run(what).await.expect(0);
        assert!(!told.out.trim().is_empty(), "{told}");
        let document = operator.run(&[&["--json"], what].concat()).await.expect(0).json();
        assert!(document["schema"].as_str().unwrap().ends_with("-explanation/v1"), "{document}");
    }
    operator.run(&["explain", "worker", "nobody here"]).await.refused(3, &["not known here"]);
}

/// The page of a worker that has done tasks, claims by itself, and is told something by its pool's operator.
async fn owners_page(
    site: &Site,
    browser: &std::ffi::OsStr,
    (operator, anvil): (&Operator, &Anvil),
    volunteers: &mut [Volunteer],
) {
    let [owner, other, ..] = volunteers else { panic!("two volunteers at least") };
    assert_eq!(owner.end("TERM").await, 0);
    know_each_other(owner, other).await;
    let gas = format!("escape.key_file={}", anvil.account(&owner.home, "gas.hex").await);
    let keys = ["energy.watts=10", "energy.price_kwh=0.3", "claim.when=0.000001", &gas];
    owner.run(&[&["set"], &keys[..]].concat()).await.expect(0);
    owner.start();
    let earnings = until("a claim by itself", PATIENCE, async || {
        let ran = owner.run(&["--json", "earnings"]).await.expect(0).json();
        (ran["claimed"] != "0").then_some(ran)
    })
    .await;
    assert_eq!((&earnings["claimed"], &earnings["due"]), (&earnings["final"], &json!("0")));
    assert_eq!(earnings["today"]["earned"], earnings["counted"], "the ledger has all of it");
    assert!(earnings["today"]["net"].is_string(), "{earnings}");

    let worker = owner.worker.to_string();
    operator.run(&["worker", "drain", &worker, HOSTILE[1]]).await.expect(0);
    let status = owner.shows("the operator's reason", |status| {
        status["view"]["notice"].to_string().contains("onerror")
    });
    let status = status.await;
    let url =
        owner.run(&["--json", "open"]).await.expect(0).json()["url"].as_str().unwrap().to_owned();
    let host = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let market = json!({
        "ui": format!("http://{host}"), "port": host.rsplit(':').next(), "url": url,
        "name": status["name"], "notice": HOSTILE[1], "settled": status["view"]["totals"]["settled"],
        "companion": HOSTILE[1],
    });
    look(site, browser, "owner.mjs", &market).await;
}

/// Another machine of the owner's, and one that only asks. How a pairing comes about is played in
/// `worker/tests/machines.rs`; here is what it leaves behind.
async fn know_each_other(owner: &Volunteer, other: &mut Volunteer) {
    let known = |name: &str, key: &Value, address: Value| json!({ "name": name, "key": key, "address": address });
    let book = |machines: &[Value]| {
        json!({ "schema": "quorate.machines/v1", "machines": machines }).to_string()
    };
    let listen = format!("127.0.0.1:{}", free_port());
    let (own, others) =
        (owner.status().await["node_key"].clone(), other.status().await["node_key"].clone());
    let silent = known(HOSTILE[2], &json!(format!("0x{}", "11".repeat(32))), Value::Null);
    let heard = known(HOSTILE[1], &others, json!(listen));
    owner.home.file("worker/machines.json", book(&[heard, silent]));
    other.home.file("worker/machines.json", book(&[known("owner", &own, Value::Null)]));
    assert_eq!(other.end("TERM").await, 0);
    other.run(&["set", &format!("machines.listen={listen}")]).await.expect(0);
    other.start();
    other
        .shows("that it runs", |status| status["running"] == true && status["view"]["link"] == "up")
        .await;
}

/// Runs the browser; what it finds wrong is in its words.
async fn look(site: &Site, browser: &std::ffi::OsStr, script: &str, market: &Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scheduler/tests/pages");
    let shots =
        env::var_os("QUORATE_TEST_SHOTS").map_or_else(|| site.folder("shots"), PathBuf::from);
    let mut command = Command::new("node");
    command
        .arg(folder.join(script))
        .env("QUORATE_BROWSER", browser)
        .env("QUORATE_TEST_SHOTS", shots)
        .env("MARKET", market.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = tokio::time::timeout(PATIENCE, command.output()).await.expect("the browser ends");
    let ran = ran.expect("node is there");
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    eprintln!("{said}");
    assert!(ran.status.success(), "the pages are not well: see above");
    // It ends with a count; an empty run is no success.
    until("the browser's last word", Duration::from_secs(1), async || {
        said.contains("pages looked at").then_some(())
    })
    .await;
}
