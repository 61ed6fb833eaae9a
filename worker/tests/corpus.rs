//! The corpus of traps: programs that come out differently wherever determinism has a hole. What each
//! of them results in, fuel included, is written down in `corpus/golden.txt`, so that a debug and a
//! release build, two machines, and one engine and the next are all held against the same bytes.
//!
//! It is played twice: as it stands, for preview 1, and in preview 2's dress, with the real adapter, where a program
//! calls this worker's preview 2 instead (`corpus/components.txt`).
//!
//! `QUORATE_CORPUS=write` writes the files anew; whoever does that changes what tasks result in, and
//! changes the engine's description with it. Overflow of the machine stack is never a result.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "component/dress.rs"]
mod dress;

use dress::dressed;
use quorate_common::digest::Digest;
use quorate_worker::engine::{
    Cancel, Engine, EngineConfig, Job, Limits, Module, PrepareError, Run, RunError,
};
use std::{fmt::Write as _, fs, path::Path, sync::LazyLock, time::Duration};

const GOLDEN: &str = "corpus/golden.txt";
const GOLDEN_COMPONENTS: &str = "corpus/components.txt";

/// Programs that see something else through the adapter, and what. All others write the same bytes and end alike.
const SEEN_OTHERWISE: [(&str, &str); 5] = [
    ("bulk-memory", "what lies behind its memory is the adapter's own page"),
    ("clocks", "two of four clocks are refused"),
    ("directory-order", "what goes on from where is counted, not named by numbers"),
    ("growth-of-its-own", "the adapter's page counts"),
    ("growth-over-the-limit", "the adapter's page counts"),
];

/// Programs, as text. Each writes what it finds, in binary, to standard output.
const PROGRAMS: [(&str, &str); 13] = [
    ("bulk-memory", include_str!("corpus/bulk-memory.wat")),
    ("clocks", include_str!("corpus/clocks.wat")),
    ("conversions", include_str!("corpus/conversions.wat")),
    ("denormals", include_str!("corpus/denormals.wat")),
    ("directory-order", include_str!("corpus/directory-order.wat")),
    ("endless", include_str!("corpus/endless.wat")),
    ("growth-of-its-own", include_str!("corpus/growth-of-its-own.wat")),
    ("growth-over-the-limit", include_str!("corpus/growth-over-the-limit.wat")),
    ("nan-payloads", include_str!("corpus/nan-payloads.wat")),
    ("nan-payloads-simd", include_str!("corpus/nan-payloads-simd.wat")),
    ("random", include_str!("corpus/random.wat")),
    ("rounding", include_str!("corpus/rounding.wat")),
    ("wrong-signature", include_str!("corpus/wrong-signature.wat")),
];

/// What is refused before it begins: each would let machines differ.
const REFUSED: [(&str, &str); 5] = [
    (
        "relaxed SIMD",
        "(func (export \"_start\") (drop (f32x4.relaxed_madd (v128.const i32x4 0 0 0 0)
            (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0))))",
    ),
    ("shared memory", "(memory 1 1 shared) (func (export \"_start\"))"),
    ("atomics", "(memory 1) (func (export \"_start\") (drop (i32.atomic.load (i32.const 0))))"),
    ("a second memory", "(memory 1) (memory 1) (func (export \"_start\"))"),
    ("exceptions", "(tag $t) (func (export \"_start\") (throw $t))"),
];

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineConfig::default()).unwrap());

#[test]
fn every_program_results_in_what_is_written_down() {
    compare(GOLDEN, module);
}

#[test]
fn every_program_results_in_what_is_written_down_as_a_component_too() {
    compare(GOLDEN_COMPONENTS, component);
}

/// Runs every program twice and holds what it comes to against a file.
fn compare(golden: &str, prepare: impl Fn(&str, &str) -> Module) {
    let mut text = String::new();
    for (name, program) in PROGRAMS {
        let module = prepare(name, program);
        let run = module.run(job(), &Cancel::new()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = module.run(job(), &Cancel::new()).unwrap();
        assert_eq!((&run.manifest, &run.blobs), (&again.manifest, &again.blobs), "{name}");
        writeln!(text, "{}", line(name, &run)).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(golden);
    if std::env::var("QUORATE_CORPUS").as_deref() == Ok("write") {
        fs::write(&golden, &text).unwrap();
    }
    let golden = fs::read_to_string(&golden).unwrap_or_default();
    assert!(golden == text, "expected\n{golden}found\n{text}");
}

fn line(name: &str, run: &Run) -> String {
    let digest = Digest::of(run.manifest.encode().as_bytes());
    let stdout = run.manifest.stdout.as_ref().map_or(0, |entry| entry.len);
    let (ended, fuel) = (run.manifest.ended, run.manifest.fuel);
    format!("{name}: {ended}, fuel {fuel}, {stdout} bytes, {digest}")
}

#[test]
fn programs_see_the_same_through_preview_2_but_for_what_the_adapter_decides() {
    let mut otherwise = Vec::new();
    for (name, program) in PROGRAMS {
        let plain = module(name, program).run(job(), &Cancel::new()).unwrap();
        let dressed = component(name, program).run(job(), &Cancel::new()).unwrap();
        let seen = |run: &Run| (run.manifest.ended, run.manifest.stdout);
        if seen(&plain) != seen(&dressed) {
            otherwise.push(name);
        }
    }
    assert_eq!(otherwise, SEEN_OTHERWISE.map(|(name, _)| name));
}

#[test]
fn a_second_engine_comes_to_the_same() {
    let other = Engine::new(EngineConfig::default()).unwrap();
    for (name, program) in PROGRAMS {
        let bytes = wat::parse_str(program).unwrap();
        for bytes in [dressed(&bytes), bytes] {
            let run = ENGINE.prepare(&bytes).unwrap().run(job(), &Cancel::new()).unwrap();
            let theirs = other.prepare(&bytes).unwrap().run(job(), &Cancel::new()).unwrap();
            assert_eq!((run.manifest, run.blobs), (theirs.manifest, theirs.blobs), "{name}");
        }
    }
}

#[test]
fn what_could_differ_is_refused() {
    for (what, body) in REFUSED {
        let bytes = wat::parse_str(format!("(module {body})")).unwrap();
        let error = ENGINE.prepare(&bytes).expect_err(what);
        assert!(matches!(error, PrepareError::Invalid { .. }), "{what}: {error}");
    }
}

#[test]
fn a_stack_that_overflows_is_never_a_result() {
    let text = "(module (memory (export \"memory\") 1) (func $f (param i64) (result i64) (i64.add (i64.const 1)
        (call $f (i64.add (local.get 0) (i64.const 1)))))
        (func (export \"_start\") (drop (call $f (i64.const 0)))))";
    for module in [module("recursion", text), component("recursion", text)] {
        let error = module.run(job(), &Cancel::new()).unwrap_err();
        assert!(matches!(error, RunError::StackOverflow { .. }), "{error}");
    }
}

fn module(name: &str, text: &str) -> Module {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    ENGINE.prepare(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The same program as a component. An adapter wants a memory.
fn component(name: &str, text: &str) -> Module {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    ENGINE.prepare(&dressed(&bytes)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn job() -> Job {
    let wall = Duration::from_secs(60);
    let limits = Limits { fuel: 50_000_000, memory_bytes: 4 << 20, output_bytes: 1 << 20, wall };
    let inputs = ["b", "a/z", "a/y", "c"].map(|path| (path.to_owned(), path.as_bytes().to_vec()));
    let (seed, inputs) = ([7; 32], inputs.to_vec());
    Job { seed, inputs, epoch_unix_s: 1_700_000_000, limits, ..Job::default() }
}
