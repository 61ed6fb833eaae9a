//! The owner's page of the real program: who is let in, what it says, and that it does what the commands do.
//! `client/tests/pages.rs` looks at it in a browser.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/browser.rs"]
mod browser;
#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use browser::{Browser, raw};
use program::{Running, command, ends, start};
use scheduler::{Scheduler, Session, soon};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// What strangers put where text is shown.
const HOSTILE: &str = "\"><svg onload=hit(1)><script>hit(2)</script>";
const INVITE: &str = "quorate://127.0.0.1:7421/\
    00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\
    ?pool=1&chain=31337&contract=0x5fbdb2315678afecb367f032d93f642f64180aa3";
const PAGES: [&str; 7] =
    ["/", "/preferences", "/schedule", "/machine", "/machines", "/log", "/no/such/page"];

/// A worker that is connected, with these keys set.
struct Worker {
    dir: TempDir,
    _running: Running,
    _scheduler: Scheduler,
    _session: Session,
}

impl Worker {
    async fn start(keys: &[&str]) -> Self {
        let mut scheduler = Scheduler::start();
        let dir = tempfile::tempdir().unwrap();
        let invite = scheduler.invite().to_string();
        ends(dir.path(), &["join", &invite, "--offline", "--slots", "2"], 0);
        // Tests run side by side: each has a port of the system's choice.
        ends(dir.path(), &[&["set", "page.listen=127.0.0.1:0"], keys].concat(), 0);
        let running = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        session.welcome().await;
        soon("the connection", async {
            while json(dir.path(), &["status"])["view"]["link"] != "up" {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        Self { dir, _running: running, _scheduler: scheduler, _session: session }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn url(&self) -> String {
        json(self.path(), &["open", "--print"])["url"].as_str().unwrap().to_owned()
    }

    fn browser(&self) -> Browser {
        Browser::enter(&self.url())
    }

    fn key(&self, name: &str) -> Value {
        json(self.path(), &["get", name])["keys"][0]["value"].clone()
    }
}

fn json(dir: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["--json"], arguments].concat();
    serde_json::from_str(&ends(dir, &arguments, 0).0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_see_nothing_and_other_sites_do_nothing() {
    let worker = Worker::start(&[]).await;
    let url = worker.url();
    let browser = Browser::enter(&url);
    let stranger = Browser { host: browser.host.clone(), cookie: String::new() };
    let again = url.strip_prefix(&format!("http://{}", browser.host)).unwrap();
    stranger.get(again).expect(403);
    let name = browser.cookie.split('=').next().unwrap();
    for cookie in ["", "quorate-page=1", &format!("{name}=1.2.3"), &format!("{name}=")] {
        let stranger = Browser { host: browser.host.clone(), cookie: cookie.into() };
        for path in PAGES {
            let got = stranger.get(path).expect(403);
            assert!(got.body.contains("quorate-worker open") && !got.body.contains("csrf"));
            let policy = got.header("content-security-policy").unwrap();
            assert!(
                policy.starts_with("default-src 'self'; ")
                    && policy.contains("frame-ancestors 'none'")
            );
            assert!(got.header("access-control-allow-origin").is_none());
        }
    }
    let host = &browser.host;
    let port = host.split(':').nth(1).unwrap();
    for evil in
        ["evil.example", &format!("evil.example:{port}"), "127.0.0.1", &format!("{host}.evil"), ""]
    {
        let request =
            format!("GET / HTTP/1.1\r\nHost: {evil}\r\nCookie: {}\r\n\r\n", browser.cookie);
        raw(host, &request).expect(421);
    }
    raw(host, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n")).expect(421);
    raw(host, &format!("PUT / HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect(405);
    raw(
        host,
        &format!("OPTIONS / HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\n\r\n"),
    )
    .expect(405);
    browser.get(&format!("/{}", "x".repeat(600))).expect(414);

    let (token, own) = (browser.get("/").token(), format!("http://{host}"));
    let pause = [("csrf", token.as_str()), ("do", "pause")];
    let https = format!("https://{host}");
    for origin in
        ["null", "http://evil.example", &https, &format!("{own}.evil"), "http://127.0.0.1"]
    {
        browser.form("/wish", &pause, &[("Origin", origin)]).expect(403);
    }
    browser.form("/wish", &pause, &[]).expect(403);
    browser.form("/wish", &pause, &[("Origin", &own), ("Origin", &own)]).expect(403);
    browser
        .form("/wish", &pause, &[("Origin", &own), ("Sec-Fetch-Site", "cross-site")])
        .expect(403);
    browser.form("/wish", &[("csrf", "0"), ("do", "pause")], &[("Origin", &own)]).expect(403);
    browser.form("/wish", &[("do", "pause")], &[("Origin", &own)]).expect(403);
    stranger.form("/wish", &pause, &[("Origin", &own)]).expect(403);
    let long = "x".repeat(40 << 10);
    browser.form("/wish", &[("csrf", &long)], &[("Origin", &own)]).expect(400);
    assert_eq!(json(worker.path(), &["status"])["why"]["reason"], "no_work", "nobody paused it");
    browser.form("/wish", &pause, &[("Origin", &own)]).expect(303);
    assert_eq!(json(worker.path(), &["status"])["why"]["reason"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_do_what_commands_do_in_the_same_words() {
    let worker = Worker::start(&[]).await;
    let browser = worker.browser();
    browser.post("/wish", &[("do", "pause"), ("for", "1h")]).expect(303);
    let (out, _) = ends(worker.path(), &["status"], 0);
    let said = out.lines().find_map(|line| line.strip_prefix("state ")).unwrap().trim();
    assert!(said.starts_with("not working: you paused it until "), "{said}");
    let page = browser.get("/").expect(200).body;
    assert!(page.contains(said), "{said} is not on the page: {page}");
    let log = fs::read_to_string(worker.path().join("log")).unwrap();
    assert!(log.contains(said), "{log}");

    browser.post("/wish", &[("do", "finish")]).expect(303);
    assert_eq!(json(worker.path(), &["status"])["why"]["reason"], "finished");
    browser.post("/wish", &[("do", "run")]).expect(303);
    assert_eq!(json(worker.path(), &["status"])["why"]["reason"], "no_work");
    browser.post("/wish", &[("do", "pause"), ("for", "never")]).expect(400);
    browser.post("/wish", &[("do", "sleep")]).expect(400);
    browser.post("/clear", &[]).expect(303);
    browser.post("/leave", &[]).expect(400);
    browser.get("/no/such/page").expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn preferences_are_those_of_the_command_line() {
    let worker = Worker::start(&[]).await;
    let browser = worker.browser();
    let page = browser.get("/preferences").expect(200).body;
    for row in json(worker.path(), &["get"])["keys"].as_array().unwrap() {
        let key = row["key"].as_str().unwrap();
        assert!(
            page.contains(&format!("<code>{key}</code>")) || key == "schedule",
            "{key} is not shown"
        );
    }
    let saved = browser.post("/preferences", &[("cpu.percent", "60"), ("slots", "1")]).expect(303);
    assert_eq!(saved.header("location"), Some("/preferences?saved=1&later=slots"));
    assert_eq!(worker.key("cpu.percent"), "60");
    let wrong = browser.post("/preferences", &[("cpu.percent", "600")]).expect(400).body;
    assert!(wrong.contains("600") && wrong.contains("1 to 100"), "{wrong}");
    assert_eq!(worker.key("cpu.percent"), "60");
    browser.post("/preferences", &[("name", HOSTILE)]).expect(303);
    let page = browser.get("/preferences").expect(200).body;
    assert!(
        page.contains("&#34;&#62;&#60;svg onload=hit(1)&#62;") && !page.contains("<svg onload"),
        "{page}"
    );

    // Where money goes, and what names files, is not for whoever has a cookie.
    let payout = "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a";
    browser
        .post("/preferences", &[("payout", payout), ("escape.key_file", "/etc/passwd")])
        .expect(303);
    assert_eq!(worker.key("payout"), Value::Null);
    assert_eq!(worker.key("escape.key_file"), Value::Null);

    browser.post("/schedule", &[("by", "text"), ("text", "Sat-Sun")]).expect(303);
    let text = worker.key("schedule");
    assert!(text.as_str().unwrap().contains("Sat-Sun"), "{text}");
    assert_eq!(browser.get("/schedule").body.matches(" checked").count(), 2 * 48);
    browser.post("/schedule", &[("by", "grid"), ("h", "0"), ("h", "1"), ("h", "335")]).expect(303);
    assert_eq!(worker.key("schedule"), "\"Mon 00:00-01:00, Sun 23:30-24:00\"");
    browser.post("/schedule", &[("by", "grid")]).expect(400);
    browser.post("/schedule", &[("by", "grid"), ("h", "336")]).expect(400);
    browser.post("/schedule", &[("by", "text"), ("text", HOSTILE)]).expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_no_end_and_no_page_is_one_word() {
    let first = Worker::start(&[]).await;
    let host = first.browser().host;
    let second = Worker::start(&[&format!("page.listen={host}")]).await;
    let browser = second.browser();
    assert_ne!(browser.host, host);
    // Cookies know no ports: each worker has its own.
    Browser { host, cookie: browser.cookie.clone() }.get("/").expect(403);
    browser.get("/").expect(200);

    let third = Worker::start(&["page.listen=off"]).await;
    let (_, error) = ends(third.path(), &["open", "--print"], 8);
    assert!(error.contains("`page.listen` is off"), "{error}");
    let (_, error) = ends(third.path(), &["set", "page.listen=0.0.0.0:7430"], 2);
    assert!(error.contains("a loopback address"), "{error}");
}

/// Killed when the test is over.
struct Asking(Child);

impl Drop for Asking {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn who_has_not_joined_is_asked_three_questions() {
    let dir = tempfile::tempdir().unwrap();
    let mut open = command(dir.path(), &["open", "--print"]);
    let mut asking = Asking(open.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut url = String::new();
    BufReader::new(asking.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let browser = Browser::enter(&url);
    let page = browser.get("/").expect(200).body;
    assert!(["1. ", "2. ", "3. "].iter().all(|number| page.contains(number)), "{page}");
    let wrong = browser.post("/join", &[("invite", HOSTILE), ("share", "quiet")]).expect(200).body;
    assert!(wrong.contains("role=\"alert\"") && !wrong.contains("<svg onload"), "{wrong}");
    assert!(wrong.contains("value=\"quiet\" checked"), "what was said before is kept");
    let charity = "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a";
    let nowhere = [("invite", INVITE), ("payout", charity), ("share", "quiet")];
    let failed = browser.post("/join", &nowhere).expect(200).body;
    assert!(failed.contains("how much to stake is not known"), "join's own words: {failed}");
    let key = |name: &str| json(dir.path(), &["get", name])["keys"][0]["value"].clone();
    assert_eq!((key("idle.only"), key("cpu.percent")), ("true".into(), "60".into()));
    assert!(key("payout").as_str().unwrap().to_lowercase().contains(charity));
}
