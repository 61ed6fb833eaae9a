//! Components: a program for preview 1 in preview 2's dress comes to what it comes to without, byte for byte and
//! fuel included, and whatever is something else is refused by name.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use quorate_common::manifest::Ended;
use quorate_worker::engine::{Cancel, Engine, EngineConfig, Job, Limits, Run};
use std::{sync::LazyLock, time::Duration};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

/// Looks at everything there is to see, from C: see its source beside it.
const PROBE: &[u8] = include_bytes!("wasm/probe.wasm");
/// The application of the demo.
const LUCAS_LEHMER: &[u8] = include_bytes!("../../deploy/apps/lucas-lehmer/lucas_lehmer.wasm");

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineConfig::default()).unwrap());

/// What `wasm-tools component new --adapt` makes.
fn dressed(module: &[u8]) -> Vec<u8> {
    let name = WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
    let encoder = ComponentEncoder::default().validate(true).module(module).unwrap();
    encoder.adapter(name, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER).unwrap().encode().unwrap()
}

fn run(wasm: &[u8], args: &[&str]) -> Run {
    let wall = Duration::from_secs(60);
    let limits = Limits { wall, ..Limits::default() };
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let inputs = vec![("b".to_owned(), b"two".to_vec()), ("a".to_owned(), b"one".to_vec())];
    let job = Job { args, inputs, seed: [7; 32], limits, ..Job::default() };
    ENGINE.prepare(wasm).unwrap().run(job, &Cancel::new()).unwrap()
}

#[test]
fn a_component_comes_to_what_its_program_comes_to() {
    for (program, args) in [(LUCAS_LEHMER, &["127"][..]), (PROBE, &[]), (PROBE, &["x"])] {
        let component = dressed(program);
        assert_ne!(component[4..8], program[4..8], "it is a component");
        Engine::check(&component).unwrap();
        let (plain, dressed) = (run(program, args), run(&component, args));
        assert_eq!((&plain.manifest, &plain.blobs), (&dressed.manifest, &dressed.blobs));
        assert!(plain.manifest.fuel > 1_000, "{:?}", plain.manifest);
    }
    let run = run(&dressed(LUCAS_LEHMER), &["127"]);
    assert_eq!(run.manifest.ended, Ended::Exit(0), "{}", run.stderr_tail);
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let error = ENGINE.prepare(bytes).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert_eq!(Engine::check(bytes).unwrap_err().to_string(), error, "without an engine");
}

#[test]
fn components_that_are_no_commands_are_refused_with_the_reason() {
    let component = |inside: &str| wat::parse_str(format!("(component {inside})")).unwrap();
    refused(&component(""), "it is a component that exports no wasi:cli/run@0.2");
    refused(
        &component(r#"(import "wasi:http/types@0.2.0" (instance))"#),
        "it is a component that imports wasi:http/types@0.2.0, expected interfaces of wasi:cli",
    );
    refused(&component(r#"(import "steal" (func))"#), "imports steal, expected");
    refused(
        &component(r#"(import "wasi:cli/stdin@0.3.0" (instance))"#),
        "imports wasi:cli/stdin@0.3.0",
    );
    let run = r#"(instance $run) (export "wasi:cli/run@0.2.3" (instance $run))"#;
    refused(&component(run), "has 0 modules with a function _start, expected one");
    let start = r#"(core module (func (export "_start")))"#;
    let two = format!("{start}{start}{run}");
    refused(&component(&two), "has 2 modules with a function _start, expected one");
    // A program that calls preview 2 by itself.
    let direct = r#"(core module (import "wasi:cli/exit@0.2.0" "exit" (func (param i32)))
        (func (export "_start")))"#;
    refused(
        &component(&format!("{direct}{run}")),
        "it imports wasi:cli/exit@0.2.0.exit, expected functions of wasi_snapshot_preview1 only",
    );
    // One inside of another component is not its own.
    let inner = format!("(component {start}){run}");
    refused(&component(&inner), "has 0 modules with a function _start, expected one");
    let mut cut = dressed(PROBE);
    cut.truncate(cut.len() / 2);
    refused(&cut, "it is not valid WebAssembly for this engine: ");
}
