//! The load program with the real scheduler program, small: that it measures, not how much.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

fn bench(flags: &[&str]) -> Value {
    let done = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(["--json", "--quiet", "bench"])
        .args(flags)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{words} (run `cargo build --workspace` first)");
    serde_json::from_slice(&done.stdout).unwrap()
}

fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or_else(|| panic!("`{key}` is no number in {of}"))
}

/// What a pool exports does not grow with it: no label is a worker.
#[test]
fn five_thousand_workers_cost_no_series() {
    let report = bench(&["--only", "idle", "--idle", "5000"]);
    assert_eq!(report["idle"]["workers"], 5_000, "{report}");
    let series = number(&report["idle"], "series");
    assert!((300.0..=2_000.0).contains(&series), "{series} series with 5,000 workers");
}

#[test]
fn every_figure_is_measured() {
    let small = ["--workers", "15", "--slots", "8", "--requesters", "2", "--tasks", "150"];
    let sizes = ["--replication", "1,3", "--idle", "40", "--open", "500", "--samples", "5"];
    let report = bench(&[small.as_slice(), &sizes].concat());
    assert_eq!(report["schema"], "quorate.bench/v1");
    for key in ["tasks_per_second", "scheduler_cpu_us_per_task", "fsyncs_per_task"] {
        assert!(number(&report, key) > 0.0, "{key} of {report}");
    }
    assert!(number(&report, "restart_seconds") > 0.0, "{report}");
    // So few connections may cost less than the allocator had at hand.
    assert!(number(&report, "rss_bytes_per_idle_worker") >= 0.0, "{report}");
    let latency = &report["latency_ms"];
    assert!(number(latency, "p50") > 0.0 && number(latency, "p99") >= number(latency, "p50"));
    let runs = report["runs"].as_array().unwrap();
    let replicas: Vec<f64> = runs.iter().map(|run| number(run, "replicas")).collect();
    assert!((replicas[0] - 1.0).abs() < 1e-9, "{replicas:?}");
    assert!((3.0..3.5).contains(&replicas[1]), "{replicas:?}");
    assert!(runs.iter().all(|run| number(run, "tasks") >= 150.0));
    let restart = &report["restart"];
    assert_eq!(restart["open"], restart["recovered"]);
    assert!(number(restart, "open") >= 500.0);
    assert_eq!(report["idle"]["workers"], 40);
}

/// Whoever stops it is rid of its scheduler too.
#[test]
fn who_ends_it_ends_its_scheduler() {
    let quorate = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(["--quiet", "bench", "--only", "load", "--tasks", "1000000"])
        .stdout(Stdio::null())
        .spawn();
    let mut quorate = quorate.unwrap();
    let scheduler = soon(|| serving(quorate.id()));
    let term = Command::new("kill").args(["-s", "TERM", &quorate.id().to_string()]).status();
    assert!(term.unwrap().success());
    assert_eq!(quorate.wait().unwrap().code(), Some(143));
    assert!(!Path::new("/proc").join(&scheduler).exists(), "process {scheduler} is left");
}

/// The child that has become a scheduler which serves.
fn serving(parent: u32) -> Option<String> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten();
    let children = threads.map(|thread| fs::read_to_string(thread.path().join("children")));
    let children: Vec<String> = children.flatten().collect();
    let serves = |child: &&str| {
        let words = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        words.split('\0').any(|word| word == "serve")
    };
    let mut pids = children.iter().flat_map(|pids| pids.split_whitespace());
    pids.find(serves).map(ToOwned::to_owned)
}

fn soon<T>(look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
