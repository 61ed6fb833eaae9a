//! A lid is closed: the machine itself is put to sleep, with a worker of the real program on it that runs a task, and
//! the kernel's clocks do what they do then. `deploy/vm` starts a virtual machine that may sleep and runs this there
//! (`QUORATE_TEST_SLEEP=yes`); elsewhere the test says so and ends. What only looks like sleep, a stopped process, a
//! line that is gone, a clock that jumps, is `client/tests/week.rs`.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use program::{ends, start};
use quorate_common::{
    bag::Task,
    wire::{AssignItem, Duties},
};
use scheduler::{Scheduler, Session, nothing, soon, task};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

/// Never ends by itself.
const SPIN: &str = r#"(module (memory (export "memory") 1)
  (func (export "_start") (loop $again (br $again))))"#;
/// The machine sleeps for so long, seconds.
const NIGHT_S: u64 = 30;
/// And the task should have been committed long before it wakes.
const COMMIT_S: u64 = 15;
/// Heartbeats of a worker that has a job are two seconds apart; this machine is emulated.
const NOTICED: Duration = Duration::from_secs(8);

#[test]
fn a_worker_notices_that_its_machine_slept() {
    if std::env::var_os("QUORATE_TEST_SLEEP").is_none() {
        return eprintln!("not run: this machine is not to be put to sleep; see deploy/vm");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut scheduler = Scheduler::start();
        let dir = tempfile::tempdir().unwrap();
        let invite = scheduler.invite().to_string();
        ends(dir.path(), &["join", &invite, "--offline", "--slots", "1"], 0);
        let _worker = start(dir.path(), &["run"]);
        let mut session = scheduler.session().await;
        has_a_task(&scheduler, &mut session).await;
        until_it_runs(dir.path()).await;

        let slept = sleep(Duration::from_secs(NIGHT_S));
        assert!(slept.wall > slept.awake + Duration::from_secs(NIGHT_S / 2), "{slept:?}");

        let woke = Instant::now();
        let said = session.ended().await;
        assert!(said.starts_with("this machine slept for "), "{said}");
        let again = scheduler.session().await;
        assert!(woke.elapsed() < NOTICED, "{:?}", woke.elapsed());
        assert!(again.hello.holding.is_empty(), "its time is over: {:?}", again.hello.holding);
        eprintln!("{slept:?}; `{said}`, connected anew {:?} after it woke", woke.elapsed());
    });
}

async fn has_a_task(scheduler: &Scheduler, session: &mut Session) {
    let deal = scheduler.deal(0, &wat::parse_str(SPIN).unwrap(), vec![Task::default()]);
    session.welcome().await;
    session.describe(&deal).await;
    let now_s = session.welcome_message().unix_ms / 1_000;
    let assign = AssignItem {
        task: task(0, 0),
        attempt: 0,
        seed_epoch: 0,
        commit_deadline: now_s + COMMIT_S,
        reveal_deadline: now_s + 2 * COMMIT_S,
    };
    session.duties(Duties { assigns: vec![assign], ..nothing() }).await;
}

async fn until_it_runs(dir: &Path) {
    let runs = async {
        loop {
            let (out, _) = ends(dir, &["--json", "status"], 0);
            let status: Value = serde_json::from_str(&out).unwrap();
            if status["view"]["running"] == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("the task to run", runs).await;
}

/// How long a sleep was, by the clock on the wall and by one that sleeps as well.
#[derive(Debug)]
struct Slept {
    wall: Duration,
    awake: Duration,
}

/// Suspends the machine to memory; its clock wakes it.
#[expect(clippy::disallowed_methods, reason = "both clocks are what is looked at")]
fn sleep(duration: Duration) -> Slept {
    let (wall, awake) = (SystemTime::now(), Instant::now());
    let alarm = "/sys/class/rtc/rtc0/wakealarm";
    fs::write(alarm, "0").unwrap();
    fs::write(alarm, format!("+{}", duration.as_secs())).unwrap();
    fs::write("/sys/power/state", "mem").unwrap();
    Slept { wall: wall.elapsed().unwrap(), awake: awake.elapsed() }
}
