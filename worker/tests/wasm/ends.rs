//! How runs end: exits, traps, fuel, and what is never a result.

use crate::rig::{ends, engine, job, program, run, stdout, wasm};
use quorate_common::manifest::{Ended, TrapKind};
use quorate_worker::engine::{Cancel, RunError};
use std::time::{Duration, Instant};

#[test]
fn a_program_that_returns_has_exited_with_0() {
    let run = ends(r#"(func (export "_start"))"#, Ended::Exit(0));
    assert_eq!((run.manifest.stdout, run.manifest.files.len(), run.blobs.len()), (None, 0, 0));
    assert!(run.manifest.fuel > 0 && run.manifest.fuel < 10);
}

#[test]
fn exit_codes_are_kept_whole() {
    for code in [0, 1, 42, 255, 256, -1, i32::MIN] {
        let body =
            format!(r#"(func (export "_start") (call $proc_exit (i32.const {code})) unreachable)"#);
        ends(&body, Ended::Exit(code));
    }
}

#[test]
fn every_trap_has_its_kind() {
    for (body, kind) in [
        ("unreachable", TrapKind::Unreachable),
        ("(drop (i32.load (i32.const -4)))", TrapKind::MemoryOutOfBounds),
        ("(memory.fill (i32.const -9) (i32.const 1) (i32.const 10))", TrapKind::MemoryOutOfBounds),
        ("(drop (i32.div_u (i32.const 1) (local.get $zero)))", TrapKind::IntegerDivisionByZero),
        ("(drop (i64.rem_s (i64.const 1) (i64.const 0)))", TrapKind::IntegerDivisionByZero),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", TrapKind::IntegerOverflow),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", TrapKind::BadConversionToInteger),
        ("(call_indirect $table (i32.const 0))", TrapKind::IndirectCallToNull),
        ("(call_indirect $table (i32.const 9))", TrapKind::TableOutOfBounds),
        ("(call_indirect $table (param i32) (i32.const 0) (i32.const 1))", TrapKind::BadSignature),
    ] {
        let body = format!(
            r#"(table $table 2 funcref) (elem (i32.const 1) func $nothing) (func $nothing)
               (func (export "_start") (local $zero i32) {body})"#
        );
        ends(&body, Ended::Trap(kind));
    }
}

#[test]
fn what_was_written_before_a_trap_is_part_of_the_result() {
    let run = ends(
        r#"(data (i32.const 0) "so far")
           (func (export "_start") (call $print (i32.const 1) (i32.const 0) (i32.const 6)) unreachable)"#,
        Ended::Trap(TrapKind::Unreachable),
    );
    assert_eq!(stdout(&run), b"so far");
}

#[test]
fn an_endless_loop_ends_with_the_fuel_it_was_given() {
    let run = ends(r#"(func (export "_start") (loop br 0))"#, Ended::Fuel);
    assert_eq!(run.manifest.fuel, job().limits.fuel);
}

#[test]
fn host_calls_use_up_fuel_too() {
    // A loop of some ten instructions a turn, each turn with 64 KiB of randomness.
    let body = r#"(func (export "_start")
        (loop (drop (call $random_get (i32.const 0) (i32.const 65536))) (br 0)))"#;
    let start = Instant::now();
    ends(body, Ended::Fuel);
    assert!(start.elapsed() < Duration::from_secs(20), "host work was nearly free");
    // One call that costs more than there is: refused before the work, with the fuel gone.
    let body =
        r#"(func (export "_start") (drop (call $random_get (i32.const 0) (i32.const 65536))))"#;
    let mut little = job();
    little.limits.fuel = 1_000;
    let run = run(&program(body), little);
    assert_eq!((run.manifest.ended, run.manifest.fuel), (Ended::Fuel, 1_000));
}

#[test]
fn what_happens_before_start_counts_too() {
    // Data that does not fit, and a start function that prints, traps or never ends.
    for (body, ended, printed) in [
        (r#"(data (i32.const 65535) "xx")"#, Ended::Trap(TrapKind::MemoryOutOfBounds), &b""[..]),
        ("(func $s unreachable) (start $s)", Ended::Trap(TrapKind::Unreachable), b""),
        ("(func $s (loop br 0)) (start $s)", Ended::Fuel, b""),
        (
            r#"(data (i32.const 0) "\08\00\00\00\02\00\00\00hi") (func $s (drop (call $fd_write
                (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))) (start $s)"#,
            Ended::Exit(0),
            b"hi",
        ),
    ] {
        let text = format!(
            r#"(module (import "wasi_snapshot_preview1" "fd_write"
                (func $fd_write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1) {body} (func (export "_start")))"#
        );
        let run = run(&engine().prepare(&wasm(&text)).unwrap(), job());
        assert_eq!((run.manifest.ended, stdout(&run)), (ended, printed), "{body}");
    }
}

#[test]
fn a_stack_overflow_is_never_a_result() {
    let module =
        program(r#"(func $deep (call $deep) (call $deep)) (func (export "_start") (call $deep))"#);
    let error = module.run(job(), &Cancel::new()).unwrap_err();
    assert!(matches!(error, RunError::StackOverflow { .. }), "{error}");
}

#[test]
fn a_deadline_is_never_a_result() {
    let module = program(r#"(func (export "_start") (loop br 0))"#);
    let mut patient = job();
    patient.limits.fuel = u64::MAX;
    patient.limits.wall = Duration::from_millis(30);
    let start = Instant::now();
    let error = module.run(patient, &Cancel::new()).unwrap_err();
    assert!(matches!(error, RunError::DeadlineExceeded(_)), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_cancelled_run_stops_promptly() {
    let module = program(r#"(func (export "_start") (loop br 0))"#);
    let mut endless = job();
    endless.limits.fuel = u64::MAX;
    let cancel = Cancel::new();
    let theirs = cancel.clone();
    let runner = std::thread::spawn(move || {
        let error = module.run(endless, &theirs).unwrap_err();
        (error, Instant::now())
    });
    let cancelled = Instant::now();
    cancel.cancel();
    let (error, ended) = runner.join().unwrap();
    assert!(matches!(error, RunError::Cancelled), "{error}");
    assert!(ended.duration_since(cancelled) < Duration::from_secs(1));
    // The handle stays cancelled.
    let module = program(r#"(func (export "_start"))"#);
    assert!(matches!(module.run(job(), &cancel), Err(RunError::Cancelled)));
}
