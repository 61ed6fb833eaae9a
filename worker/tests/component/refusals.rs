//! Components that are no tasks, and bombs: refused with the reason before anything is compiled, and whoever only
//! looks says the same.

use crate::dress::dressed;
use crate::frame::ENGINE;
use quorate_worker::engine::{Engine, PrepareError};
use std::time::{Duration, Instant};

/// What a command exports, as little as that can be.
const RUN: &str = r#"(core module $m (func (export "run") (result i32) (i32.const 0)))
    (core instance $m (instantiate $m))
    (func $run (result (result)) (canon lift (core func $m "run")))
    (instance $command (export "run" (func $run)))
    (export "wasi:cli/run@0.2.3" (instance $command))"#;

fn component(inside: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {inside})")).unwrap()
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let start = Instant::now();
    let error = ENGINE.prepare(bytes).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    assert_eq!(Engine::check(bytes).unwrap_err().to_string(), error, "without an engine");
}

#[test]
fn what_is_no_command_is_refused_by_what_it_lacks() {
    Engine::check(&component(RUN)).unwrap();
    ENGINE.prepare(&component(RUN)).unwrap();
    refused(
        &component(""),
        "it is a component that exports no wasi:cli/run@0.2, expected a command",
    );
    refused(
        &component(&RUN.replace("0.2.3", "0.3.0")),
        "it is a component that exports no wasi:cli/run@0.2",
    );
    let mut cut = dressed(include_bytes!("../wasm/probe.wasm"));
    cut.truncate(cut.len() / 2);
    refused(&cut, "it is not valid WebAssembly for this engine: ");
    // What it exports is looked at when it is compiled.
    let wrong = RUN.replace("(result (result))", "(result u32)");
    let error = ENGINE.prepare(&component(&wrong)).unwrap_err().to_string();
    assert!(error.contains("without run: func() -> result"), "{error}");
}

#[test]
fn imports_that_nobody_offers_are_refused_by_name() {
    for (import, named) in [
        (r#""wasi:http/types@0.2.0" (instance)"#, "imports wasi:http/types@0.2.0, expected"),
        (r#""wasi:cli/stdin@0.3.0" (instance)"#, "imports wasi:cli/stdin@0.3.0, expected"),
        (r#""wasi:cli/stdin@0.2.0-rc" (instance)"#, "imports wasi:cli/stdin@0.2.0-rc, expected"),
        (
            r#""wasi:clocks/timezone@0.2.0" (instance)"#,
            "imports wasi:clocks/timezone@0.2.0, expected",
        ),
        (r#""steal" (func)"#, "imports steal, expected interfaces of wasi:cli"),
        (r#""wasi:cli/stdin@0.2.0" (func)"#, "imports wasi:cli/stdin@0.2.0, expected"),
    ] {
        refused(&component(&format!("(import {import}) {RUN}")), named);
    }
    // A function that an interface does not have, or with other types, is found when it is linked.
    for inside in [r#"(export "steal" (func))"#, r#"(export "exit" (func (param "status" u64)))"#] {
        let import = format!(r#"(import "wasi:cli/exit@0.2.0" (instance {inside})) {RUN}"#);
        let error = ENGINE.prepare(&component(&import)).unwrap_err();
        assert!(matches!(error, PrepareError::Signature { .. }), "{error}");
        assert!(error.to_string().contains("wasi:cli/exit@0.2.0"), "{error}");
    }
}

#[test]
fn more_than_one_program_is_refused() {
    let nested = "has code or types in components of its own, expected one program";
    refused(&component(&format!("(component (core module)) {RUN}")), nested);
    refused(&component(&format!("(component (component)) {RUN}")), nested);
    let lifts = r#"(component (import "f" (func $f)) (core func (canon lower (func $f))))"#;
    refused(&component(&format!("{lifts} {RUN}")), nested);
    let outer = "(core module $a) (component (alias outer 1 $a (core module)))";
    refused(&component(&format!("{outer} {RUN}")), nested);
    refused(
        &component(&format!("(component $c) (component (alias outer 1 $c (component))) {RUN}")),
        nested,
    );
    refused(&component(&format!("(type (resource (rep i32))) {RUN}")), "has resources of its own");
    let many = "(core instance (instantiate $m))".repeat(64);
    refused(
        &component(&format!("{RUN} {many}")),
        "has 65 instances of modules or more, expected at most 64",
    );
    let memories = "(core module $w (memory 1) (memory 1))".to_owned()
        + &"(core instance (instantiate $w))".repeat(3);
    refused(&component(&format!("{RUN} {memories}")), "has 6 memories or more, expected at most 4");
    let shells = "(component $c)".to_owned() + &"(instance (instantiate $c))".repeat(65);
    refused(
        &component(&format!("{shells} {RUN}")),
        "has 65 instances of components or more, expected at most 64",
    );
}

#[test]
fn features_that_differ_between_machines_are_refused_inside_of_components_too() {
    for body in [
        "(memory 1 1 shared)",
        "(memory i64 1)",
        "(memory 1) (memory 1)",
        "(tag)",
        "(type (struct))",
    ] {
        let bytes = component(&format!("(core module {body}) {RUN}"));
        for error in [ENGINE.prepare(&bytes).unwrap_err(), Engine::check(&bytes).unwrap_err()] {
            assert!(matches!(error, PrepareError::Invalid { .. }), "{body}: {error}");
        }
    }
}

/// Each would multiply itself while it is read, validated or compiled.
#[test]
fn bombs_are_refused_or_cost_little() {
    // A hundred thousand names for one function.
    let names = "(func (alias export $command \"run\"))".repeat(25_000);
    refused(
        &component(&format!("{RUN} {names}")),
        "types, aliases, instances, imports, exports and functions or more",
    );
    // The heaviest function there is in each of sixty-four modules.
    let heavy =
        format!("(core module (func (local {}) {}))", "i64 ".repeat(25_000), "nop ".repeat(8_000));
    refused(
        &component(&format!("{} {RUN}", heavy.repeat(64))),
        "it is too much work to compile: the module weighs",
    );
    // Types that double, as many functions of them as there may be, and what all of it is good for.
    for doublings in [10, 18, 39] {
        let start = Instant::now();
        let error = ENGINE.prepare(&wide_and_many(doublings)).unwrap_err();
        println!("{doublings} doublings: after {:?}: {error}", start.elapsed());
        let known = matches!(error, PrepareError::Signature { .. } | PrepareError::Invalid { .. });
        assert!(known, "{error}");
        assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    }
}

/// A reader that goes into each of them would run out of stack, and end the program that it is part of.
#[test]
fn a_million_types_in_each_other_are_refused_unread() {
    for kind in [0x41, 0x42] {
        for depth in [101, 1_000_000] {
            refused(
                &nested_types(kind, depth),
                "types within types in one section or more, expected at most 100",
            );
        }
        // As deep as may be, and of no use; one alone may be of use.
        for depth in [1, 99] {
            let error = ENGINE.prepare(&nested_types(kind, depth)).unwrap_err().to_string();
            assert!(error.starts_with("it is a component that "), "{error}");
            assert!(!error.contains("types within types"), "{error}");
        }
    }
}

/// A section with one type, in which is one type, and so on: `instance { type instance { … } }`.
fn nested_types(kind: u8, depth: usize) -> Vec<u8> {
    let mut section = vec![1];
    (0..depth).for_each(|_| section.extend([kind, 1, 1]));
    section.extend([kind, 0]);
    let mut bytes = b"\0asm\x0d\0\x01\0\x07".to_vec();
    let mut len = section.len();
    while len > 0x7f {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend(section);
    bytes
}

/// Nine thousand functions made of one whose parameter has two to some power of parts.
fn wide_and_many(doublings: u32) -> Vec<u8> {
    let mut types = "(type $t0 (tuple u64 u64))".to_owned();
    for n in 1..=doublings {
        types += &format!("(type $t{n} (tuple $t{} $t{}))", n - 1, n - 1);
    }
    component(&format!(
        r#"(import "wasi:cli/exit@0.2.0" (instance $i {types}
               (export "exit" (func (param "status" $t{doublings})))))
           (alias export $i "exit" (func $f))
           (core module $n (memory (export "memory") 1)) (core instance $n (instantiate $n)) {} {RUN}"#,
        "(core func (canon lower (func $f) (memory (core memory $n \"memory\"))))".repeat(9_000),
    ))
}
