//! Modules that cannot be run, and that whoever only looks says the same of them as whoever compiles.

use crate::rig::{CURIOUS, engine, job, program_bytes, wasm};
use proptest::prelude::*;
use quorate_common::manifest::Manifest;
use quorate_worker::engine::{Cancel, Engine, MODULE_BYTES_MAX, PrepareError, RunError};

#[track_caller]
fn refused(bytes: &[u8], message: &str) {
    let error = engine().prepare(bytes).unwrap_err();
    assert!(error.to_string().starts_with(message), "{error}");
    // Whoever only looks comes to the same, but for the types of imports.
    match Engine::check(bytes) {
        Ok(()) => assert!(matches!(error, PrepareError::Signature { .. }), "{error}"),
        Err(error) => assert!(error.to_string().starts_with(message), "{error}"),
    }
}

#[test]
fn modules_that_cannot_be_run_are_refused_with_the_reason() {
    let start = r#"(func (export "_start"))"#;
    let import = |import: &str| wasm(&format!("(module (import {import}) {start})"));
    refused(b"", "it does not begin with \"\\0asm\"");
    refused(b"(module)", "it does not begin with \"\\0asm\"");
    refused(b"\0asm", "it is not valid WebAssembly for this engine: ");
    refused(&vec![0; MODULE_BYTES_MAX + 1], "it has 67108865 bytes, expected at most 67108864");
    refused(&wasm("(module)"), "it exports no function _start");
    refused(
        &wasm(r#"(module (func (export "_start") (param i32)))"#),
        "it exports no function _start",
    );
    refused(&wasm(r#"(module (memory (export "_start") 1))"#), "it exports no function _start");
    refused(
        &import(r#""env" "system" (func)"#),
        "it imports env.system, expected functions of wasi_snapshot_preview1 only",
    );
    refused(
        &import(r#""wasi_snapshot_preview1" "fd_steal" (func)"#),
        "it imports wasi_snapshot_preview1.fd_steal, ",
    );
    refused(
        &import(r#""wasi_snapshot_preview1" "fd_read" (memory 1)"#),
        "it imports wasi_snapshot_preview1.fd_read, ",
    );
    refused(
        &import(r#""wasi_snapshot_preview1" "fd_read" (func)"#),
        "an import has another signature than WASI gives it: ",
    );
    refused(&import("\"\\0a\" \"b\" (func)"), "it imports \\n.b, ");
    // A component that is no command.
    refused(b"\0asm\x0d\0\x01\0", "it is a component that exports no wasi:cli/run@0.2");
}

#[test]
fn modules_that_would_take_the_compiler_down_are_refused_before() {
    let heavy = format!("(func (local {}) {})", "i64 ".repeat(40_000), "nop ".repeat(7_000));
    let many = format!("(type (func (param {})))", "i32 ".repeat(1_000)) + &"(func)".repeat(40_000);
    for (body, what) in [(heavy, "function 0 of its code weighs "), (many, "the module weighs ")] {
        let bytes = wasm(&format!(r#"(module {body} (func (export "_start")))"#));
        refused(&bytes, &format!("it is too much work to compile: {what}"));
    }
}

#[test]
fn features_that_differ_between_machines_are_refused() {
    for body in [
        "(memory 1 1 shared)",
        "(memory i64 1)",
        "(memory 1) (memory 1)",
        "(func (param v128 v128 v128) (result v128) (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))",
        "(type (struct))",
        "(tag)",
        "(type $t (func)) (func (param (ref null $t)))",
        "(func (drop (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0))) drop)",
        "(memory 1 (pagesize 1))",
        "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))",
    ] {
        let bytes = wasm(&format!(r#"(module {body} (func (export "_start")))"#));
        let error = engine().prepare(&bytes).unwrap_err();
        assert!(matches!(error, PrepareError::Invalid { .. }), "{body}: {error}");
        let error = Engine::check(&bytes).unwrap_err();
        assert!(matches!(error, PrepareError::Invalid { .. }), "{body}: {error}");
    }
}

#[test]
fn features_that_compilers_use_are_there() {
    for body in [
        "(func (result i32 i32) i32.const 1 i32.const 2)",
        "(func (param i32) (result i32) (i32.extend8_s (local.get 0)))",
        "(func (param f64) (result i32) (i32.trunc_sat_f64_s (local.get 0)))",
        "(func (param v128) (result v128) (f64x2.sqrt (local.get 0)))",
        "(func $f (return_call $f))",
        "(table 1 funcref) (func (result i32) (table.size))",
        "(memory 1) (func (memory.copy (i32.const 0) (i32.const 1) (i32.const 2)))",
        "(global (mut i32) (i32.add (i32.const 1) (i32.const 2)))",
    ] {
        engine().prepare(&wasm(&format!(r#"(module {body} (func (export "_start")))"#))).unwrap();
    }
}

proptest! {
    #[test]
    fn random_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let headed = [b"\0asm\x01\0\0\0", &bytes[..]].concat();
        prop_assert!(engine().prepare(&bytes).is_err());
        // An empty module is valid but has no _start, so everything here is refused.
        prop_assert!(engine().prepare(&headed).is_err());
    }

    /// Most mutants are refused; those that are not must run into one of the known ends.
    #[test]
    fn mutated_modules_neither_panic_nor_escape(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = program_bytes(CURIOUS);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let prepared = engine().prepare(&bytes);
        if !matches!(prepared, Err(PrepareError::Signature { .. })) {
            prop_assert_eq!(Engine::check(&bytes).is_ok(), prepared.is_ok());
        }
        if let Ok(module) = prepared {
            let mut short = job();
            short.limits.fuel = 1_000_000;
            match module.run(short, &Cancel::new()) {
                Ok(run) => {
                    let text = run.manifest.encode();
                    prop_assert_eq!(Manifest::parse(text.as_bytes()), Ok(run.manifest));
                }
                Err(error) => prop_assert!(matches!(error, RunError::StackOverflow { .. }), "{error}"),
            }
        }
    }
}
