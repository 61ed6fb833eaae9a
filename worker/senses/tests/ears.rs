//! Who may tell the service of sessions, and how much: real sockets, bad manners.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use quorate_policy::{Presence, Sensed};
use quorate_senses::{Ears, Heard, Machine, Report, machine::Roots};
use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

const SOON: Duration = Duration::from_secs(10);

fn ears() -> (Ears, PathBuf, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session.sock");
    (Ears::listen(&path, 0o600).unwrap(), path, dir)
}

fn report(idle_ms: Option<u64>, full_screen: bool) -> Vec<u8> {
    Report { v: 1, idle_ms, full_screen }.line().into_bytes()
}

async fn agent(path: &PathBuf, line: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(line).await.unwrap();
    stream
}

async fn until(ears: &mut Ears, what: impl Fn(Heard) -> bool) {
    let waiting = async {
        while !what(ears.heard()) {
            ears.changed().await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap();
}

#[tokio::test]
async fn the_busiest_session_counts() {
    let (mut ears, path, _dir) = ears();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let _away = agent(&path, &report(Some(900_000), false)).await;
    until(&mut ears, |heard| heard.idle_ms.is_some_and(|ms| ms >= 900_000)).await;
    let here = agent(&path, &report(Some(5), true)).await;
    until(&mut ears, |heard| heard.full_screen && heard.idle_ms.is_some_and(|ms| ms < 60_000))
        .await;
    drop(here);
    until(&mut ears, |heard| !heard.full_screen && heard.idle_ms.is_some_and(|ms| ms >= 900_000))
        .await;
    let _blind = agent(&path, &report(None, false)).await;
    until(&mut ears, |heard| heard.idle_ms.is_some_and(|ms| ms < 60_000)).await;
}

#[tokio::test]
async fn bad_manners_end_the_talk_and_change_nothing() {
    let (ears, path, _dir) = ears();
    for words in [&[b'x'; 100_000][..], b"{}\n", b"{\"v\":9,\"idle_ms\":1,\"full_screen\":true}\n"]
    {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        // The service may hang up before all is said.
        drop(stream.write_all(words).await);
        let read = tokio::time::timeout(SOON, stream.read_u8()).await.unwrap();
        assert!(read.is_err(), "nothing is ever answered");
    }
    assert_eq!(ears.heard(), Heard::default());
    assert_eq!(ears.heard().presence(Presence::Unknown), Presence::Unknown);
}

#[tokio::test]
async fn this_machine_has_memory_and_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let init = std::fs::read_to_string("/proc/self/comm").unwrap().trim().to_owned();
    let mut machine =
        Machine::new(Roots::default(), dir.path().into(), std::slice::from_ref(&init));
    machine.look(0);
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(600) {
        std::hint::black_box(began);
    }
    let Sensed { memory_bytes, disk_free_bytes, other_load_percent, program, .. } = machine.look(0);
    assert!(memory_bytes.unwrap() > 1 << 27 && disk_free_bytes.is_some());
    assert!(other_load_percent.is_some());
    assert_eq!(program, Some(init));
}
