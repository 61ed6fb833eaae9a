//! Kind to the machine: what the real program takes while it is connected and has nothing to do, with boinc-client
//! beside it where that is installed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use program::{ends, start};
use quorate_worker::footprint::{Bounds, Footprint, IDLE};
use scheduler::Scheduler;
use serde_json::Value;
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// What comes after a start settles within this.
const SETTLE: Duration = Duration::from_secs(5);
/// Seconds it is watched. `quorate-worker measure` does so for a minute unless told.
const WATCH_S: &str = "15";

/// BOINC's client, idle and without a project, as its package has it.
struct Boinc {
    child: Child,
    _dir: TempDir,
}

impl Boinc {
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("boinc");
        command.arg("--dir").arg(dir.path()).arg("--no_gui_rpc");
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Self { child: quiet.spawn().ok()?, _dir: dir })
    }
}

impl Drop for Boinc {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What `measure` tells of the worker, and of another process over the same while.
async fn measured(dir: PathBuf, beside: Option<String>) -> Vec<Footprint> {
    let watching = tokio::task::spawn_blocking(move || {
        let mut arguments = vec!["--json", "measure", "--seconds", WATCH_S];
        arguments.extend(beside.iter().flat_map(|pid| ["--beside", pid]));
        ends(&dir, &arguments, 0).0
    });
    let told: Value = serde_json::from_str(&watching.await.unwrap()).unwrap();
    let processes = told["processes"].as_array().unwrap().iter();
    processes.map(|seen| serde_json::from_value(seen["footprint"].clone()).unwrap()).collect()
}

fn line(name: &str, seen: &Footprint) {
    eprintln!(
        "{name:8} {:5.1} MB in memory, {:5.1} MB data, {:.3} % of a core, {:.1} wakeups/s, {} bytes written in {:.0} s, {} threads",
        seen.resident_bytes as f64 / 1e6,
        seen.data_bytes as f64 / 1e6,
        seen.milli_percent as f64 / 1e3,
        seen.wakeups_per_s,
        seen.written_bytes,
        seen.seconds,
        seen.threads,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_is_hardly_there() {
    let mut scheduler = Scheduler::start();
    let dir = tempfile::tempdir().unwrap();
    ends(dir.path(), &["join", &scheduler.invite().to_string(), "--offline"], 0);
    let worker = start(dir.path(), &["run"]);
    let boinc = Boinc::start();
    let mut session = scheduler.session().await;
    session.welcome().await;
    let hearing = tokio::spawn(async move {
        loop {
            session.hear().await;
        }
    });
    tokio::time::sleep(SETTLE).await;
    let beside = boinc.as_ref().map(|boinc| boinc.child.id().to_string());
    let seen = measured(dir.path().into(), beside).await;
    line("quorate", &seen[0]);
    match seen.get(1) {
        Some(seen) => line("boinc", seen),
        None => eprintln!("boinc-client is not installed: nothing is compared"),
    }
    let seen = seen[0].clone();
    drop(worker);
    hearing.abort();
    let wakeups = seen.wakeups_per_s;
    // A build for tests has its program's pages several times as large (40 MB of 133 are in memory): there its own
    // data is judged, by what a release leaves for it.
    let (judged, bounds) = if cfg!(debug_assertions) {
        (
            Footprint { resident_bytes: seen.data_bytes, ..seen },
            Bounds { memory_bytes: 20_000_000, ..IDLE },
        )
    } else {
        (seen, IDLE)
    };
    assert_eq!(judged.over(bounds), Vec::<String>::new());
    // A wakeup each for a look, a heartbeat, its answer and QUIC's own: four in ten seconds, and some to spare.
    assert!(wakeups < 4.0, "{wakeups} wakeups a second");
}
