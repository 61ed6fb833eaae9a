//! What no adapter does: handles that are gone, lists out of memory, more of everything than there is. Each end is
//! one that replicas agree on, or no result at all.

use crate::frame::{MIB, component, ends, fails, job, main, program, run, stdout};
use quorate_common::manifest::{Ended, TrapKind};
use quorate_worker::engine::{Cancel, RunError};
use std::time::{Duration, Instant};

const BROKEN: Ended = Ended::Trap(TrapKind::ComponentRules);

#[test]
fn a_run_that_returns_went_well_or_did_not() {
    ends(&main(""), Ended::Exit(0));
    ends(&program(r#"(func (export "run") (result i32) (i32.const 1))"#), Ended::Exit(1));
    ends(&main("(call $exit (i32.const 0)) unreachable"), Ended::Exit(0));
    ends(&main("(call $exit (i32.const 1)) unreachable"), Ended::Exit(1));
    // A result has two cases.
    ends(&program(r#"(func (export "run") (result i32) (i32.const 7))"#), BROKEN);
    ends(&main("(call $exit (i32.const 7))"), BROKEN);
    ends(&main("unreachable"), Ended::Trap(TrapKind::Unreachable));
}

#[test]
fn a_handle_is_good_until_it_is_dropped_and_for_its_own_kind() {
    ends(&main("(call $drop-output (call $stdout))"), Ended::Exit(0));
    for broken in [
        "(local.set $h (call $stdout)) (call $drop-output (local.get $h)) (call $drop-output (local.get $h))",
        "(local.set $h (call $stdout)) (call $drop-output (local.get $h))
            (call $write (local.get $h) (i32.const 0) (i32.const 1) (i32.const 64))",
        "(call $drop-pollable (call $stdout))",
        "(drop (call $ready (call $stdout)))",
        "(call $drop-output (i32.const 0))",
        "(call $drop-output (i32.const 1))",
        "(call $drop-output (i32.const -1))",
    ] {
        ends(&main(broken), BROKEN);
    }
}

/// What a program does before it is called is done by the same rules.
#[test]
fn a_start_function_ends_as_any_other() {
    let begins = |inside: &str| {
        program(&format!(
            r#"(func $begin (local $h i32) {inside}) (start $begin)
               (func (export "run") (result i32) (i32.const 0))"#
        ))
    };
    ends(&begins("(call $drop-output (call $stdout))"), Ended::Exit(0));
    ends(&begins("(call $drop-output (i32.const 7))"), BROKEN);
    ends(
        &begins("(call $write (call $stdout) (i32.const -1) (i32.const 9) (i32.const 64))"),
        BROKEN,
    );
    ends(&begins("(call $exit (i32.const 1))"), Ended::Exit(1));
    ends(&begins("unreachable"), Ended::Trap(TrapKind::Unreachable));
}

/// The host takes a path over before it looks at it, so it costs what it is long, whatever comes of it.
#[test]
fn a_path_is_paid_for_where_it_leads_to_nothing() {
    let linked = |len: u32| {
        let link = format!(
            "(call $roots (i32.const 64))
             (call $symlink (i32.load (i32.load (i32.const 64))) (i32.const 0) (i32.const {len})
                (i32.const 0) (i32.const {len}) (i32.const 80))
             (if (i32.ne (i32.load8_u (i32.const 80)) (i32.const 1)) (then unreachable))"
        );
        ends(&main(&link), Ended::Exit(0)).manifest.fuel
    };
    assert!(linked(100_000) - linked(1) >= 2 * 99_999, "both paths");
}

#[test]
fn handles_are_so_many_and_come_back_when_they_are_dropped() {
    let take = "(loop (drop (call $sleep (i64.const 1)))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const MANY))))";
    ends(&main(&take.replace("MANY", "4096")), Ended::Exit(0));
    ends(&main(&take.replace("MANY", "4097")), BROKEN);
    let give_back = take.replace("(drop (call", "(call $drop-pollable (call");
    ends(&main(&give_back.replace("MANY", "20000")), Ended::Exit(0));
}

#[test]
fn lists_are_in_memory_and_not_too_long() {
    let write = |ptr: i32, len: u32| {
        format!("(call $write (call $stdout) (i32.const {ptr}) (i32.const {len}) (i32.const 64))")
    };
    let written = ends(&main(&write(0, 100)), Ended::Exit(0));
    assert_eq!(stdout(&written).len(), 100);
    for (ptr, len) in [(-1, 1), (3 * 65_536, 1), (0, 3 * 65_536 + 1), (0, u32::MAX), (-1, u32::MAX)]
    {
        ends(&main(&write(ptr, len)), BROKEN);
    }
    // The answer does not fit into memory, or would lie at an odd place.
    let answer = |ptr: i32| {
        format!("(call $write (call $stdout) (i32.const 0) (i32.const 1) (i32.const {ptr}))")
    };
    ends(&main(&answer(65)), BROKEN);
    ends(&main(&answer(-4)), BROKEN);
    // More than 16 MiB at once, all of it there.
    let mut roomy = job();
    roomy.limits.memory_bytes = 64 * MIB;
    let body = format!("(drop (memory.grow (i32.const 300))) {}", write(0, (16 << 20) + 1));
    let large = main(&body).run(roomy, &Cancel::new()).unwrap();
    assert_eq!(large.manifest.ended, BROKEN);
}

#[test]
fn polling_nothing_or_too_much_breaks_a_rule_and_sleeping_takes_no_time() {
    ends(&main("(call $poll (i32.const 0) (i32.const 0) (i32.const 64))"), BROKEN);
    ends(&main("(call $poll (i32.const 0) (i32.const 1025) (i32.const 64))"), BROKEN);
    ends(&main("(call $poll (i32.const 0) (i32.const 4) (i32.const 64))"), BROKEN);
    let start = Instant::now();
    let slept = ends(
        &main(
            "(i32.store (i32.const 0) (call $sleep (i64.const 3600000000000)))
             (i32.store (i32.const 4) (call $sleep (i64.const 7200000000000)))
             (call $poll (i32.const 0) (i32.const 2) (i32.const 64))
             (i64.store (i32.const 0) (call $now))
             (i32.store (i32.const 8) (i32.load (i32.load (i32.const 64))))
             (i32.store (i32.const 12) (i32.load (i32.const 68)))
             (call $write (call $stdout) (i32.const 0) (i32.const 16) (i32.const 64))",
        ),
        Ended::Exit(0),
    );
    assert!(start.elapsed() < Duration::from_secs(60));
    let seen = stdout(&slept);
    // The look that polling takes, the hour, and the look after it; the first of two is ready.
    assert_eq!(seen[..8], 3_600_002_000_000_u64.to_le_bytes());
    assert_eq!(seen[8..], [0, 0, 0, 0, 1, 0, 0, 0]);
}

#[test]
fn randomness_is_the_tasks_and_a_mebibyte_at_once() {
    let look = "(call $random (i64.const 40) (i32.const 64))
        (call $write (call $stdout) (i32.load (i32.const 64)) (i32.load (i32.const 68)) (i32.const 64))";
    let module = main(look);
    let seen = run(&module);
    assert_eq!(stdout(&seen).len(), 40);
    let mut other = job();
    other.seed = [8; 32];
    let other = module.run(other, &Cancel::new()).unwrap();
    assert_ne!(stdout(&other), stdout(&seen), "another task has other randomness");
    ends(&main("(call $random (i64.const 1048576) (i32.const 64))"), Ended::Exit(0));
    ends(&main("(call $random (i64.const 1048577) (i32.const 64))"), BROKEN);
    ends(&main("(call $random (i64.const -1) (i32.const 64))"), BROKEN);
}

#[test]
fn sockets_are_refused() {
    let seen = ends(
        &main(
            "(call $socket (i32.const 0) (i32.const 64))
             (call $write (call $stdout) (i32.const 64) (i32.const 8) (i32.const 80))",
        ),
        Ended::Exit(0),
    );
    // An error, and it is not-supported.
    assert_eq!((stdout(&seen)[0], stdout(&seen)[4]), (1, 2));
}

#[test]
fn calls_use_up_fuel_and_one_that_cannot_be_paid_does_nothing() {
    let ended = ends(&main("(loop (drop (call $now)) (br 0))"), Ended::Fuel);
    assert_eq!(ended.manifest.fuel, job().limits.fuel);
    let start = Instant::now();
    let random = "(loop (call $random (i64.const 1048576) (i32.const 64)) (br 0))";
    assert!(matches!(run(&main(random)).manifest.ended, Ended::Fuel | Ended::Memory));
    assert!(start.elapsed() < Duration::from_secs(40), "host work was nearly free");
    let write = "(call $write (call $stdout) (i32.const 0) (i32.const 60000) (i32.const 64))";
    let mut little = job();
    little.limits.fuel = 50_000;
    let run = main(write).run(little, &Cancel::new()).unwrap();
    assert_eq!((run.manifest.ended, run.manifest.fuel), (Ended::Fuel, 50_000));
    assert_eq!(run.manifest.stdout, None);
}

#[test]
fn limits_of_memory_and_output_end_the_run_as_a_modules() {
    ends(&main("(loop (drop (memory.grow (i32.const 1))) (br 0))"), Ended::Memory);
    let run = ends(
        &main(
            "(local.set $h (call $stdout)) (loop
                (call $write (local.get $h) (i32.const 0) (i32.const 60000) (i32.const 64)) (br 0))",
        ),
        Ended::Output,
    );
    assert_eq!(stdout(&run).len() as u64, MIB / 60_000 * 60_000);
}

#[test]
fn stack_deadline_and_cancellation_are_never_results() {
    let deep = program(
        r#"(func $deep (call $deep) (call $deep)) (func (export "run") (result i32) (call $deep) (i32.const 0))"#,
    );
    let error = fails(&deep, job());
    assert!(matches!(error, RunError::StackOverflow { .. }), "{error}");
    let mut patient = job();
    patient.limits.fuel = u64::MAX;
    patient.limits.wall = Duration::from_millis(30);
    for endless in ["(loop (br 0))", "(loop (drop (call $now)) (br 0))"] {
        let error = fails(&main(endless), patient.clone());
        assert!(matches!(error, RunError::DeadlineExceeded(_)), "{error}");
    }
    let cancel = Cancel::new();
    cancel.cancel();
    let error = main("").run(job(), &cancel).unwrap_err();
    assert!(matches!(error, RunError::Cancelled), "{error}");
}

#[test]
fn an_allocator_that_misbehaves_harms_only_itself() {
    let with = |realloc: &str| {
        let allocator = format!(
            r#"(memory (export "memory") 3)
               (func $deep (result i32) (i32.add (call $deep) (call $deep)))
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc})"#
        );
        let body = r#"(func (export "run") (result i32)
            (call $random (i64.const 40) (i32.const 64)) (i32.const 0))"#;
        crate::frame::ENGINE.prepare(&component(&allocator, body)).unwrap()
    };
    ends(&with("(i32.const 128)"), Ended::Exit(0));
    ends(&with("(i32.const -1)"), BROKEN);
    ends(&with("(i32.const 196600)"), BROKEN);
    ends(&with("unreachable"), Ended::Trap(TrapKind::Unreachable));
    ends(&with("(loop (br 0)) (i32.const 0)"), Ended::Fuel);
    let error = fails(&with("(call $deep)"), job());
    assert!(matches!(error, RunError::StackOverflow { .. }), "{error}");
}
