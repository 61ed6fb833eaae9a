//! The owner comes first: the real program, its commands while a task runs, its word after a restart.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use program::{command, ends, start};
use quorate_common::{
    bag::Task,
    wire::{GiveUpReason, ToScheduler},
};
use scheduler::{Scheduler, Session, soon, task};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Never ends by itself.
const SPIN: &str = r#"(module (memory (export "memory") 1)
  (func (export "_start") (loop $again (br $again))))"#;

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

fn joined(scheduler: &Scheduler) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let invite = scheduler.invite().to_string();
    ends(dir.path(), &["join", &invite, "--offline", "--slots", "2"], 0);
    dir
}

/// What a command prints with `--json`.
fn json(dir: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["--json"], arguments].concat();
    serde_json::from_str(&ends(dir, &arguments, 0).0).unwrap()
}

async fn status(dir: &Path, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let read = async || loop {
        let status = json(dir, &["status"]);
        if is_so(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    soon(what, read()).await
}

async fn spinning(session: &mut Session, scheduler: &Scheduler, dir: &Path) {
    let deal = scheduler.deal(0, &wat::parse_str(SPIN).unwrap(), vec![Task::default(); 9]);
    session.welcome().await;
    session.describe(&deal).await;
    session.assign(&[task(0, 0)]).await;
    status(dir, "a run", |status| status["view"]["running"] == 1).await;
}

/// Milliseconds of a processor that a process has had.
fn had_ms(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = text.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|f| f.parse::<u64>().unwrap());
    ticks.sum::<u64>() * 10
}

async fn slots(session: &mut Session) -> u16 {
    let heard = session.hear().await;
    let ToScheduler::Slots(slots) = heard else { panic!("expected slots, heard {heard:?}") };
    slots
}

#[test]
fn a_pause_takes_effect_within_a_second_and_outlives_the_program() {
    in_runtime(async {
        let mut scheduler = Scheduler::start();
        let dir = joined(&scheduler);
        let mut worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        assert_eq!(session.hello.slots, 2);
        spinning(&mut session, &scheduler, dir.path()).await;
        assert_eq!(json(dir.path(), &["status"])["why"], Value::Null);

        let began = Instant::now();
        let told = json(dir.path(), &["pause", "--for", "2h"]);
        assert_eq!(told["why"]["reason"], "paused");
        assert_eq!(slots(&mut session).await, 0);
        loop {
            let before = had_ms(worker.pid());
            tokio::time::sleep(Duration::from_millis(100)).await;
            if had_ms(worker.pid()) == before {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(1), "it runs on");
        }
        // The task is due in a minute and the pause is two hours: somebody else is to have it.
        let ToScheduler::GaveUp(gone) = session.hear().await else { panic!("it is kept") };
        assert_eq!((gone.task, gone.reason), (task(0, 0), GiveUpReason::Leaving));

        // One answer everywhere.
        let (out, _) = ends(dir.path(), &["status"], 0);
        assert!(out.contains("not working: you paused it until "), "{out}");
        assert_eq!(json(dir.path(), &["explain"])["reasons"][0]["words"], "you paused it");
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(log.contains("not working: you paused it until "), "{log}");

        worker.kill();
        let _worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        assert_eq!(session.hello.slots, 0, "a pause is one after a restart");
        session.welcome().await;
        status(dir.path(), "the pause", |status| status["why"]["reason"] == "paused").await;
        assert_eq!(json(dir.path(), &["resume"])["why"]["reason"], "no_work");
        assert_eq!(slots(&mut session).await, 2);
    });
}

#[test]
fn a_pause_without_an_end_keeps_work_in_memory() {
    in_runtime(async {
        let mut scheduler = Scheduler::start();
        let dir = joined(&scheduler);
        let worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        spinning(&mut session, &scheduler, dir.path()).await;
        ends(dir.path(), &["pause"], 0);
        assert_eq!(slots(&mut session).await, 0);
        let paused = json(dir.path(), &["status"]);
        assert_eq!(paused["view"]["running"], 1, "it is kept");
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = had_ms(worker.pid());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let had = had_ms(worker.pid()) - before;
        assert!(had <= 50, "paused, it had {had} ms of a processor");
        ends(dir.path(), &["resume"], 0);
        assert_eq!(slots(&mut session).await, 2);
        let before = had_ms(worker.pid());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(had_ms(worker.pid()) > before + 50, "it goes on");
        // Told to end, it ends what it promised.
        ends(dir.path(), &["stop"], 0);
        let mut worker = worker;
        assert_eq!(soon("its end", worker.code()).await, Some(0));
    });
}

#[test]
fn finishing_takes_nothing_new_and_then_rests() {
    in_runtime(async {
        let mut scheduler = Scheduler::start();
        let dir = joined(&scheduler);
        let _worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        spinning(&mut session, &scheduler, dir.path()).await;
        assert_eq!(json(dir.path(), &["finish"])["why"]["reason"], "finishing");
        assert_eq!(slots(&mut session).await, 0);
        session.assign(&[task(0, 1)]).await;
        let ToScheduler::GaveUp(gone) = session.hear().await else { panic!("it was taken") };
        assert_eq!((gone.task, gone.reason), (task(0, 1), GiveUpReason::Leaving));
        session.cancel(task(0, 0)).await;
        status(dir.path(), "its end", |status| status["why"]["reason"] == "finished").await;
    });
}

#[test]
fn preferences_change_while_it_runs_all_or_nothing() {
    in_runtime(async {
        let mut scheduler = Scheduler::start();
        let dir = joined(&scheduler);
        let _worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        assert_eq!(session.hello.ask, 0);
        session.welcome().await;
        let (_, err) = ends(dir.path(), &["set", "price=7", "schedule=Mun"], 2);
        assert!(err.contains("`schedule` is") && err.contains("`Mun` is no day"), "{err}");
        assert_eq!(json(dir.path(), &["get", "price"])["keys"][0]["value"], "\"0\"");
        ends(dir.path(), &["set", "price=7", "cpu.percent=40"], 0);
        let session = scheduler.session().await;
        assert_eq!(session.hello.ask, 7, "a price is told with a hello");
        let now = json(dir.path(), &["status"]);
        assert_eq!((&now["mood"]["cpu_percent"], &now["mood"]["ask"]), (&40.into(), &7.into()));
        let (_, err) = ends(dir.path(), &["set", "slots=1"], 0);
        assert!(err.contains("takes effect when the worker starts next"), "{err}");
        let (_, err) = ends(dir.path(), &["get", "prize"], 3);
        assert!(err.contains("there is no key `prize`"), "{err}");
    });
}

#[test]
fn in_the_background_it_starts_once_and_stops() {
    in_runtime(async {
        let mut scheduler = Scheduler::start();
        let dir = joined(&scheduler);
        // Asked for while nothing runs, it is written down.
        let (_, err) = ends(dir.path(), &["pause"], 0);
        assert!(err.contains("written down for the next start"), "{err}");
        let starting = command(dir.path(), &["start"]).output();
        assert!(starting.unwrap().status.success());
        let session = scheduler.session().await;
        assert_eq!(session.hello.slots, 2, "a start ends a pause");
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        for socket in ["control.sock", "session.sock"] {
            assert_eq!(mode(socket) & 0o777, 0o600, "{socket}");
        }
        ends(dir.path(), &["start"], 0);
        let (_, err) = ends(dir.path(), &["run"], 8);
        assert!(err.contains("another worker runs"), "{err}");
        ends(dir.path(), &["stop"], 0);
        let (out, _) = ends(dir.path(), &["status"], 0);
        assert!(out.contains("not working: the worker is not running"), "{out}");
        assert!(!dir.path().join("control.sock").exists());
    });
}
