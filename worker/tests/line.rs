//! What transfers take of the owner's line: the real program, its limits by the second and by the month.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use program::{Running, ends, start};
use quorate_common::{
    bag::{InputFile, Task},
    digest::Digest,
    wire::{DealInfo, GiveUpReason, ToScheduler},
};
use scheduler::{Scheduler, Session, soon, task};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The limit.
const KIB_S: u64 = 64;
/// A blob that takes three seconds at that.
const BYTES: usize = 192 << 10;

/// Writes [`BYTES`] to standard output.
const LARGE: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 196608))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
/// Does nothing.
const NOTHING: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

fn working(scheduler: &Scheduler, keys: &[&str]) -> (TempDir, Running) {
    let dir = tempfile::tempdir().unwrap();
    ends(dir.path(), &["join", &scheduler.invite().to_string(), "--offline"], 0);
    ends(dir.path(), &[&["set"], keys].concat(), 0);
    let worker = start(dir.path(), &["run"]);
    (dir, worker)
}

/// A task with an input file of so many bytes.
fn with_input(scheduler: &Scheduler, bytes: usize, fill: u8) -> Task {
    let noise =
        (0..bytes).map(|at| Digest::of(&[fill, (at >> 8) as u8, (at >> 16) as u8]).0[at % 32]);
    let digest = scheduler.shelve(noise.collect());
    let file = InputFile { path: "in".into(), digest, sealed: false };
    Task { files: vec![file], ..Task::default() }
}

async fn told(scheduler: &mut Scheduler, deal: &DealInfo, tasks: u32) -> Session {
    let mut session = scheduler.session().await;
    session.welcome().await;
    session.describe(deal).await;
    for idx in 0..tasks {
        session.assign(&[task(0, idx)]).await;
    }
    session
}

/// How many bytes a second went over the line towards the worker, at most, over any second.
async fn fastest(session: &Session, until: impl Future<Output = ()>) -> u64 {
    let sent = || session.connection.stats().udp_tx.bytes;
    let mut looks = vec![(Instant::now(), sent())];
    let mut until = std::pin::pin!(until);
    loop {
        tokio::select! {
            () = &mut until => break,
            () = tokio::time::sleep(Duration::from_millis(50)) => looks.push((Instant::now(), sent())),
        }
    }
    let over = |from: usize| {
        let (began, bytes) = looks[from];
        let within =
            looks[from..].iter().take_while(|(at, _)| *at - began <= Duration::from_secs(1));
        within.last().map_or(0, |(_, later)| later - bytes)
    };
    (0..looks.len()).map(over).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_keep_to_a_limit_by_the_second_both_ways() {
    let mut scheduler = Scheduler::start();
    let limits = [format!("network.down_kib_s={KIB_S}"), format!("network.up_kib_s={KIB_S}")];
    let (_dir, _worker) = working(&scheduler, &[&limits[0], &limits[1]]);
    let module = wat::parse_str(LARGE).unwrap();
    let input = with_input(&scheduler, BYTES, 1);
    let deal = scheduler.deal(0, &module, vec![input]);
    let began = Instant::now();
    let mut session = told(&mut scheduler, &deal, 1).await;
    let brought = scheduler.brought.clone();
    let fetched = {
        let mut hearing = scheduler.brought.clone();
        let session = &session;
        // Nothing is brought before the vote is asked for: this ends with the time it is given.
        let time = async {
            let given = Duration::from_secs(BYTES as u64 / (KIB_S << 10) + 1);
            drop(tokio::time::timeout(given, hearing.changed()).await);
        };
        fastest(session, time).await
    };
    let commit = session.one_commit().await;
    let down = began.elapsed();
    assert!(down >= Duration::from_millis(2_700), "192 KiB at 64 KiB/s were here after {down:?}");
    // What a second has, what a window had before, and heads of packets.
    let most = 2 * (KIB_S << 10) * 11 / 10;
    assert!(fetched <= most, "{fetched} bytes came within a second, expected {most} at most");

    session.ack(&commit).await;
    session.freeze(&commit).await;
    let began = Instant::now();
    let _reveal = session.one_reveal().await;
    let mut bringing = brought;
    soon("the result", bringing.wait_for(|brought| *brought >= 2)).await.unwrap();
    let up = began.elapsed();
    assert!(up >= Duration::from_millis(2_700), "192 KiB at 64 KiB/s were there after {up:?}");
    eprintln!("down {down:?}, up {up:?}, at most {fetched} bytes within a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_ends_before_what_is_larger_than_its_rest() {
    let mut scheduler = Scheduler::start();
    let (dir, _worker) = working(&scheduler, &["network.month_mib=1", "slots=1"]);
    let module = wat::parse_str(NOTHING).unwrap();
    let sizes = [600 << 10, 600 << 10, 100 << 10].into_iter().zip(1..);
    let tasks = sizes.map(|(bytes, fill)| with_input(&scheduler, bytes, fill)).collect();
    let deal = scheduler.deal(0, &module, tasks);
    let mut session = told(&mut scheduler, &deal, 1).await;
    let commit = session.one_commit().await;
    assert_eq!(commit.task, task(0, 0));
    session.assign(&[task(0, 1)]).await;
    let ToScheduler::GaveUp(gone) = session.hear().await else { panic!("it was fetched") };
    assert_eq!((gone.task, gone.reason), (task(0, 1), GiveUpReason::Leaving));
    let moved = session.connection.stats().udp_tx.bytes + session.connection.stats().udp_rx.bytes;
    assert!(moved < 1 << 20, "{moved} bytes were moved");
    session.assign(&[task(0, 2)]).await;
    assert_eq!(session.one_commit().await.task, task(0, 2), "what fits is fetched");
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("(network.month_mib)"), "{log}");
}
