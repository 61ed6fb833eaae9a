//! The real program is killed at the worst moments and told to stop at ordinary ones.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
mod program;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use program::{ends, start};
use quorate_common::{bag::Task, wire::ToScheduler};
use scheduler::{Scheduler, Session, soon, task};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};
use tempfile::TempDir;

/// Writes "ok" to standard output.
const OK: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "ok")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 2))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

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

async fn working(session: &mut Session, scheduler: &Scheduler, module: &str) {
    let deal = scheduler.deal(0, &wat::parse_str(module).unwrap(), vec![Task::default(); 9]);
    session.welcome().await;
    session.describe(&deal).await;
    session.assign(&[task(0, 0)]).await;
}

/// The status file, once it says this.
async fn status(dir: &Path, is_so: impl Fn(&Value) -> bool) -> Value {
    let read = async || loop {
        let (out, _) = ends(dir, &["--json", "status"], 0);
        let status: Value = serde_json::from_str(&out).unwrap();
        if is_so(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    soon("the status", read()).await
}

#[test]
fn killed_at_every_stage_a_worker_still_keeps_its_word() {
    in_runtime(async {
        let mut scheduler = Scheduler::start();
        let dir = joined(&scheduler);
        let mut worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        working(&mut session, &scheduler, OK).await;
        let commit = session.one_commit().await;
        worker.kill();

        worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        assert_eq!(session.hello.holding, [(task(0, 0), 0)]);
        session.welcome().await;
        assert_eq!(session.one_commit().await, commit);
        session.ack(&commit).await;
        session.freeze(&commit).await;
        let reveal = session.one_reveal().await;
        worker.kill();

        worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        session.welcome().await;
        assert_eq!(session.one_reveal().await, reveal);
        session.ack_reveal(&reveal).await;
        session.settle(task(0, 0), 77).await;
        status(dir.path(), |status| status["view"]["totals"]["earned"] == 77).await;
        worker.kill();

        let _worker = start(dir.path(), &["run"]);
        let session = scheduler.session().await;
        assert!(session.hello.holding.is_empty());
        let now = status(dir.path(), |status| status["view"]["link"] == "greeting").await;
        assert_eq!((&now["view"]["totals"]["earned"], &now["running"]), (&77.into(), &true.into()));
    });
}

#[test]
fn killed_at_random_moments_it_never_says_two_things() {
    in_runtime(async {
        let mut scheduler = Scheduler::start();
        let dir = joined(&scheduler);
        let mut said = BTreeMap::new();
        for round in 0_u32..8 {
            let mut worker = start(dir.path(), &["run"]);
            let mut session = scheduler.session().await;
            working(&mut session, &scheduler, OK).await;
            session.assign(&[task(0, 1), task(0, 2), task(0, 3)]).await;
            let pause = Duration::from_millis(u64::from(round * 37 % 90));
            let talk = async {
                loop {
                    for commit in session.votes().await.commits {
                        let first = *said.entry(commit.task).or_insert(commit);
                        assert_eq!(first, commit, "one task, two commitments");
                    }
                }
            };
            drop(tokio::time::timeout(pause, talk).await);
            worker.kill();
        }
        // Undisturbed, it says all it ever said again, and the rest.
        let _worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        working(&mut session, &scheduler, OK).await;
        session.assign(&[task(0, 1), task(0, 2), task(0, 3)]).await;
        let mut again = BTreeSet::new();
        while again.len() < 4 {
            for commit in session.votes().await.commits {
                assert_eq!(*said.entry(commit.task).or_insert(commit), commit);
                again.insert(commit.task);
            }
        }
    });
}

#[test]
fn a_signal_ends_it_in_good_order_and_a_second_one_at_once() {
    in_runtime(async {
        let mut scheduler = Scheduler::start();
        let dir = joined(&scheduler);
        let mut worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        working(&mut session, &scheduler, SPIN).await;
        status(dir.path(), |status| status["view"]["running"] == 1).await;
        let (_, err) = ends(dir.path(), &["run"], 8);
        assert!(err.contains("another worker runs in"), "{err}");
        worker.signal("TERM");
        assert_eq!(session.hear().await, ToScheduler::Slots(0));
        let ToScheduler::GaveUp(gone) = session.hear().await else { panic!("expected GaveUp") };
        assert_eq!(gone.task, task(0, 0));
        assert_eq!(soon("the end", worker.code()).await, Some(0));
        let now = status(dir.path(), |_| true).await;
        assert_eq!(now["running"], false);

        // A commitment that nobody acknowledges makes it wait, and a second signal ends that.
        let mut worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        session.welcome().await;
        let deal = scheduler.deal(1, &wat::parse_str(OK).unwrap(), vec![Task::default()]);
        session.describe(&deal).await;
        session.assign(&[task(1, 0)]).await;
        session.one_commit().await;
        worker.signal("INT");
        assert_eq!(session.hear().await, ToScheduler::Slots(0));
        worker.signal("INT");
        assert_eq!(soon("the end", worker.code()).await, Some(130));
    });
}
