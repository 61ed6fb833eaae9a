//! Ordinary runs: what a program is given, and what comes back.

use crate::place::{LIMITS, Place, label, sockets, wait_for};
use quorate_docker::{Engine, Limits, RunError, Stop, output::OutputError};
use std::{
    path::Path,
    process::Command,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

#[test]
fn a_program_gets_its_inputs_and_leaves_its_outputs() {
    for place in Place::all("inputs") {
        let script =
            "cat /in/a/b.txt; cat; echo oops >&2; mkdir /out/d; echo $X > /out/d/x; exit 3";
        let mut task = place.task(script);
        task.inputs = vec![("a/b.txt".into(), b"one\n".into()), ("c".into(), b"two".into())];
        task.stdin = b"three\n".into();
        task.env.push("X=four".into());
        let outcome = place.engine.run(task, Stop::default()).expect("an outcome");
        assert_eq!((outcome.code, outcome.stdout.as_slice()), (3, b"one\nthree\n".as_slice()));
        assert_eq!(outcome.stderr_tail, "oops\n");
        let files = outcome.files.expect("plain files");
        assert_eq!(files.into_iter().collect::<Vec<_>>(), [("d/x".into(), b"four\n".to_vec())]);
        assert_eq!(place.engine.left().expect("counted").containers, 0, "{}", place.name);
        assert_eq!(place.engine.left().expect("counted").volumes, 0, "{}", place.name);
    }
}

#[test]
fn ends_are_told_apart() {
    for place in Place::all("ends") {
        let run = |script: &str| place.run(script);
        assert_eq!(run("exit 0").expect("fine").code, 0);
        assert_eq!(run("exit 42").expect("its own code").code, 42);
        assert_eq!(run("kill -6 $$").expect("a signal's code").code, 134);
        assert_eq!(run("exec /no/such").expect("a shell's code").code, 127);
        assert!(matches!(run("kill -9 $$"), Err(RunError::Killed)), "{}", place.name);
        let error = run("dd if=/dev/zero of=/dev/null bs=300M count=1").expect_err("too much");
        let is_told = matches!(error, RunError::OutOfMemory { .. });
        // Podman on old control groups cannot tell; neither is ever a vote.
        let is_killed = place.is_podman() && matches!(error, RunError::Killed);
        assert!(is_told || is_killed, "{}: {error}", place.name);
        let mut slow = place.task("trap '' TERM INT HUP; sleep 100");
        slow.limits = Limits { wall: Duration::from_secs(2), ..LIMITS };
        let error = place.engine.run(slow, Stop::default()).expect_err("too long");
        assert!(matches!(error, RunError::Deadline(_)), "{}: {error}", place.name);
    }
}

#[test]
fn a_run_is_stopped_from_outside() {
    for place in Place::all("stop") {
        let stop = Stop::default();
        let (engine, task, stopped) = (place.engine.clone(), place.task("sleep 100"), stop.clone());
        let running = thread::spawn(move || engine.run(task, stopped));
        // It may be stopped wherever it is; the engine has its container sooner or later.
        wait_for("two containers", || place.engine.left().expect("counted").containers == 2);
        stop.stop();
        let error = running.join().expect("no panic").expect_err("no outcome");
        assert!(matches!(error, RunError::Cancelled), "{}: {error}", place.name);
        assert_eq!(place.engine.left().expect("counted").containers, 0, "{}", place.name);
    }
}

#[test]
fn too_much_is_no_result() {
    for place in Place::all("much") {
        let outcome = place.run("yes").expect("cut off");
        assert_eq!(outcome.files, Err(OutputError::Bytes { most: LIMITS.output_bytes }));
        let outcome = place.run("dd if=/dev/zero of=/out/a bs=1M count=9").expect("an outcome");
        assert_eq!(outcome.code, 1, "{}: no space left", place.name);
        assert_eq!(outcome.files.expect("what fitted")["a"].len(), 1 << 20);
    }
}

/// The worker's process is killed in the middle of a run: this test plays both, the one that is killed in a
/// process of its own.
#[test]
fn a_sweep_finds_what_a_crash_leaves() {
    const VICTIM: &str = "QUORATE_TEST_VICTIM";
    if std::env::var_os(VICTIM).is_some() {
        let place = Place::all("crash").pop().expect("the engine that was named");
        let error = place.run("sleep 1000").expect_err("nobody waits for it");
        panic!("the victim outlived its killer: {error}");
    }
    for (name, socket) in sockets() {
        let mut victim = Command::new(std::env::current_exe().expect("this test"));
        victim.args(["--exact", "runs::a_sweep_finds_what_a_crash_leaves"]).env(VICTIM, name);
        let mut victim = victim.spawn().expect("started");
        let label = label("crash", victim.id());
        let engine = Engine::connect(Some(Path::new(&socket)), &label).expect("an engine");
        wait_for("the victim's containers", || {
            assert!(victim.try_wait().expect("asked").is_none(), "{name}: the victim ended");
            engine.left().expect("counted").containers == 2
        });
        victim.kill().expect("killed");
        victim.wait().expect("dead");
        let swept = engine.sweep().expect("swept");
        assert_eq!((swept.containers, swept.volumes, swept.images), (2, 3, 2), "{name}");
        assert_eq!(engine.left().expect("counted"), Default::default(), "{name}");
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "what must not happen is given eight seconds to happen in"
)]
fn a_held_container_keeps_its_memory_and_takes_no_time() {
    for place in Place::all("hold") {
        let mut task =
            place.task("i=0; while [ $i -lt 40 ]; do i=$((i+1)); sleep 0.05; done; echo $i");
        // Twice what it needs; held for longer than that.
        task.limits = Limits { wall: Duration::from_secs(6), ..LIMITS };
        let (engine, hold) = (place.engine.clone(), task.hold.clone());
        let began = Instant::now();
        let running = thread::spawn(move || engine.run(task, Stop::default()));
        wait_for("two containers", || place.engine.left().expect("counted").containers == 2);
        hold.store(true, Ordering::Relaxed);
        thread::sleep(Duration::from_secs(8));
        assert!(!running.is_finished(), "{}: it ran on", place.name);
        hold.store(false, Ordering::Relaxed);
        let outcome = running.join().expect("no panic").expect("an outcome");
        assert_eq!(outcome.stdout, b"40\n", "{}", place.name);
        assert!(began.elapsed() > Duration::from_secs(8));
    }
}
