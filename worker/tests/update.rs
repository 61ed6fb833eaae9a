//! The real program is replaced while it works: by itself, by programs that die, that stay silent, and back
//! again, over a real line to a scheduler.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
mod program;
#[path = "../update/tests/support/publisher.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod publisher;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;
#[path = "../update/tests/support/site.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod site;

use program::{command, ends, start};
use quorate_common::{bag::Task, wire::ToScheduler};
use scheduler::{Scheduler, Session, soon, task};
use serde_json::Value;
use site::Site;
use std::{fs, os::unix::net::UnixDatagram, path::Path, time::Duration};
use tempfile::TempDir;

/// Counts for some seconds, then writes "ok".
const LONG: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "ok")
  (func (export "_start") (local $n i64)
    (loop $again
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      (br_if $again (i64.lt_u (local.get $n) (i64.const 3000000000))))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 2))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

/// A version that is the program under test, whatever its number: it only has to be told by its bytes.
fn itself(text: &str) -> Vec<u8> {
    let program = env!("CARGO_BIN_EXE_quorate-worker");
    format!("#!/bin/sh\n# {text}\nexec '{program}' \"$@\"\n").into_bytes()
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

/// A worker that has joined and follows this site.
fn joined(scheduler: &Scheduler, site: &Site, mode: &str, patience_s: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let invite = scheduler.invite().to_string();
    ends(dir.path(), &["join", &invite, "--offline", "--slots", "2"], 0);
    let (url, root) = (site.path(), site.root());
    let file = dir.path().join("quorate.toml");
    let text = fs::read_to_string(&file).unwrap();
    let update = format!(
        "[update]\nurl = {url:?}\nroot = {root:?}\nmode = {mode:?}\npatience_s = {patience_s}\n"
    );
    fs::write(file, text.replace("[update]\n", &update)).unwrap();
    dir
}

fn status(dir: &Path) -> Value {
    let (out, _) = ends(dir, &["--json", "update", "status"], 0);
    serde_json::from_str(&out).unwrap()
}

/// The updater's own state, once it says this.
async fn until(dir: &Path, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let read = async || loop {
        let status = status(dir);
        if is_so(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    soon(what, read()).await
}

async fn settled(dir: &Path, running: &str) -> Value {
    let is_so = |status: &Value| status["running"] == running && status["on_trial"] == false;
    until(dir, running, is_so).await
}

async fn welcomed(scheduler: &mut Scheduler) -> Session {
    let mut session = scheduler.session().await;
    session.welcome().await;
    session
}

#[test]
fn a_worker_is_replaced_while_it_works_and_loses_nothing() {
    in_runtime(async {
        let (mut scheduler, site) = (Scheduler::start(), Site::new());
        let dir = joined(&scheduler, &site, "tell", 60);
        let dir = dir.path();
        site.publish("0.2.0", 1, &itself("0.2.0"));
        let mut worker = start(dir, &["run"]);
        let mut session = welcomed(&mut scheduler).await;
        let deal = scheduler.deal(0, &wat::parse_str(LONG).unwrap(), vec![Task::default(); 2]);
        session.describe(&deal).await;
        session.assign(&[task(0, 0)]).await;
        until_running(dir).await;

        let (out, _) = ends(dir, &["update", "check"], 0);
        assert!(out.contains("version 0.2.0 is there (Faster.), 0.1.0 runs"), "{out}");
        let (out, _) = ends(dir, &["update", "apply"], 0);
        assert!(out.contains("runs when the worker has finished what runs"), "{out}");

        // It takes nothing new, finishes, and seals; only then it goes.
        assert_eq!(session.hear().await, ToScheduler::Slots(0));
        let commit = session.one_commit().await;
        assert_eq!(commit.task, task(0, 0));
        session.ack(&commit).await;
        let mut session = scheduler.session().await;
        assert_eq!(
            session.hello.holding,
            [(task(0, 0), 0)],
            "the next version has what was sealed"
        );
        session.welcome().await;
        let now = settled(dir, "0.2.0").await;
        assert_eq!((&now["newer"], &now["bad"]), (&Value::Null, &serde_json::json!({})));
        session.freeze(&commit).await;
        let reveal = session.one_reveal().await;
        session.ack_reveal(&reveal).await;
        session.settle(task(0, 0), 77).await;

        // The same process all along, and it ends in good order.
        worker.signal("TERM");
        assert_eq!(soon("the end", worker.code()).await, Some(0));
        // A new start runs the new version at once, and the owner can go back.
        let mut worker = start(dir, &["run"]);
        let _session = welcomed(&mut scheduler).await;
        assert_eq!(status(dir)["running"], "0.2.0");
        ends(dir, &["update", "rollback"], 0);
        let _session = welcomed(&mut scheduler).await;
        let now = settled(dir, "0.1.0").await;
        assert_eq!(now["bad"]["0.2.0"]["fault"], "owner");
        assert!(!dir.join("versions/current").exists());
        worker.signal("TERM");
        assert_eq!(soon("the end", worker.code()).await, Some(0));
    });
}

#[test]
fn versions_that_do_not_come_up_are_taken_back() {
    in_runtime(async {
        let (mut scheduler, site) = (Scheduler::start(), Site::new());
        let dir = joined(&scheduler, &site, "apply", 20);
        let dir = dir.path();
        let mut worker = start(dir, &["run"]);
        let _session = welcomed(&mut scheduler).await;
        up(dir).await;
        // By itself: the owner said so. The knock stands for the hours between two looks.
        site.publish("0.2.0", 1, &itself("0.2.0"));
        knock(dir).await;
        let _session = welcomed(&mut scheduler).await;
        settled(dir, "0.2.0").await;

        up(dir).await;
        site.publish("0.3.0", 2, b"#!/bin/sh\nexit 3\n");
        knock(dir).await;
        let _session = welcomed(&mut scheduler).await;
        let now = settled(dir, "0.2.0").await;
        assert_eq!(now["bad"]["0.3.0"]["fault"], "died", "{now}");

        up(dir).await;
        site.publish("0.4.0", 3, b"#!/bin/sh\nexec sleep 1000\n");
        knock(dir).await;
        let _session = welcomed(&mut scheduler).await;
        let now = settled(dir, "0.2.0").await;
        assert_eq!(now["bad"]["0.4.0"]["fault"], "silent", "{now}");

        // No program at all.
        up(dir).await;
        site.publish("0.5.0", 4, b"\x7fELF, it says");
        knock(dir).await;
        let _session = welcomed(&mut scheduler).await;
        let now = settled(dir, "0.2.0").await;
        assert_eq!(now["bad"]["0.5.0"]["fault"], "died", "{now}");
        let (out, _) = ends(dir, &["update", "status"], 0);
        assert!(out.contains("given up  0.3.0 ended before it had come up"), "{out}");
        let (out, _) = ends(dir, &["update", "check"], 0);
        assert!(out.contains("`update apply` tries it again"), "{out}");
        worker.signal("TERM");
        assert_eq!(soon("the end", worker.code()).await, Some(0));
        let log = fs::read_to_string(dir.join("log")).unwrap();
        assert!(log.contains("version 0.4.0 did not come up in time; 0.2.0 runs again"), "{log}");
    });
}

#[test]
fn a_program_changed_on_disk_is_not_started_and_the_installed_one_runs() {
    in_runtime(async {
        let (mut scheduler, site) = (Scheduler::start(), Site::new());
        let dir = joined(&scheduler, &site, "tell", 60);
        let dir = dir.path();
        site.publish("0.2.0", 1, &itself("0.2.0"));
        let (out, _) = ends(dir, &["update", "apply"], 0);
        assert!(out.contains("runs when the worker starts next"), "{out}");
        let mut worker = start(dir, &["run"]);
        let _session = welcomed(&mut scheduler).await;
        settled(dir, "0.2.0").await;
        // Another launcher beside it disturbs nothing.
        let (_, err) = ends(dir, &["run"], 8);
        assert!(err.contains("another worker runs in"), "{err}");
        worker.signal("TERM");
        assert_eq!(soon("the end", worker.code()).await, Some(0));

        fs::write(dir.join("versions/0.2.0/quorate-worker"), "#!/bin/sh\ntouch \"$HOME/owned\"\n")
            .unwrap();
        let mut worker = start(dir, &["run"]);
        let _session = welcomed(&mut scheduler).await;
        let now = settled(dir, "0.1.0").await;
        assert_eq!(now["bad"]["0.2.0"]["fault"], "tampered");
        assert!(!dir.join("owned").exists());
        worker.signal("TERM");
        assert_eq!(soon("the end", worker.code()).await, Some(0));
    });
}

#[test]
fn killed_launchers_leave_no_worker_behind_and_forget_no_trial() {
    in_runtime(async {
        let (mut scheduler, site) = (Scheduler::start(), Site::new());
        let dir = joined(&scheduler, &site, "tell", 60);
        let dir = dir.path();
        site.publish("0.2.0", 1, &itself("0.2.0"));
        ends(dir, &["update", "apply"], 0);
        // The power fails before the new version has reached the scheduler.
        let mut worker = start(dir, &["run"]);
        let session = scheduler.session().await;
        assert_eq!(status(dir)["on_trial"], true);
        worker.kill();
        // What it had started hears that its launcher is gone, and leaves.
        assert!(!session.ended().await.is_empty());
        until_free(dir).await;
        // An owner who ends it blames no version.
        let mut worker = start(dir, &["run"]);
        let _session = scheduler.session().await;
        ends(dir, &["stop"], 0);
        assert_eq!(soon("the end", worker.code()).await, Some(0));
        let now = status(dir);
        assert_eq!((&now["on_trial"], &now["bad"]), (&true.into(), &serde_json::json!({})));
        let mut worker = start(dir, &["run"]);
        let _session = welcomed(&mut scheduler).await;
        settled(dir, "0.2.0").await;
        worker.signal("TERM");
        assert_eq!(soon("the end", worker.code()).await, Some(0));
    });
}

#[test]
fn a_disk_that_is_full_for_real_leaves_everything_as_it_was() {
    let (site, dir) = (Site::new(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    site.publish("0.2.0", 1, &vec![7; 3 << 20]);
    let (url, root) = (site.path(), site.root().display().to_string());
    let program = env!("CARGO_BIN_EXE_quorate-worker");
    // The kernel lets no file of this shell's programs grow beyond a megabyte (in blocks of 1,024 bytes).
    let script = "trap '' XFSZ; ulimit -f 1024; exec \"$@\"";
    let output = std::process::Command::new("bash")
        .args(["-c", script, "bash", program, "--data-dir"])
        .arg(dir)
        .args(["--set", &format!("update.url={url}"), "--set", &format!("update.root={root}")])
        .args(["update", "apply"])
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("cannot be written: File too large"), "{err}");
    assert_eq!(fs::read_dir(dir.join("versions/incoming")).unwrap().count(), 0);
    let now = status(dir);
    assert_eq!((&now["running"], &now["wanted"]), (&"0.1.0".into(), &Value::Null));
}

#[test]
fn without_a_word_of_the_owner_nobody_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (out, _) = ends(dir, &["update", "status"], 0);
    assert!(out.contains("version 0.1.0, as it was installed"), "{out}");
    let (_, err) = ends(dir, &["update", "check"], 2);
    assert!(err.contains("`update.url` is not set"), "{err}");
    let (_, err) = ends(dir, &["--set", "update.url=/nowhere", "update", "check"], 2);
    assert!(err.contains("`update.root` is not set"), "{err}");
    let (_, err) = ends(dir, &["update", "rollback"], 8);
    assert!(err.contains("there is nothing to roll back to"), "{err}");
    let (_, err) = ends(dir, &["--set", "update.mode=force", "update", "status"], 2);
    assert!(
        err.contains("`update.mode` is \"force\"; expected off, tell, stage or apply"),
        "{err}"
    );
    assert!(!dir.join("versions").exists());
}

/// The owner's program is on the line, so that it may be replaced.
async fn up(dir: &Path) {
    let is_up = |out: &str| serde_json::from_str::<Value>(out).unwrap()["view"]["link"] == "up";
    worker_status(dir, is_up).await;
}

async fn until_running(dir: &Path) {
    let runs = |out: &str| serde_json::from_str::<Value>(out).unwrap()["view"]["running"] == 1;
    worker_status(dir, runs).await;
}

async fn until_free(dir: &Path) {
    worker_status(dir, |out| serde_json::from_str::<Value>(out).unwrap()["running"] == false).await;
}

async fn worker_status(dir: &Path, is_so: impl Fn(&str) -> bool) {
    let wait = async {
        loop {
            let output = command(dir, &["--json", "status"]).output().unwrap();
            let out = String::from_utf8(output.stdout).unwrap();
            if output.status.success() && is_so(&out) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("the worker's status", wait).await;
}

async fn knock(dir: &Path) {
    let path = dir.join("versions/knock");
    let wait = async {
        while UnixDatagram::unbound().unwrap().send_to(b"now", &path).is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("an ear at the knock", wait).await;
}
