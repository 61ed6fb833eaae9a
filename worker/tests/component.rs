//! Components: programs that call preview 2 by themselves, over the world that preview 1 has.
//!
//! Real ones come from C programs and the real adapter, which turns each call of preview 1 into calls of preview 2:
//! they must see what the bare program sees. What no adapter does is written by hand ([`rules`], [`refusals`]).
//! The corpus of traps is played as components in `corpus.rs`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "component/dress.rs"]
mod dress;
#[path = "component/frame.rs"]
mod frame;
#[path = "component/refusals.rs"]
mod refusals;
#[path = "component/rules.rs"]
mod rules;

use dress::dressed;
use frame::{ENGINE, stdout};
use proptest::prelude::*;
use quorate_common::manifest::{Ended, Manifest};
use quorate_worker::engine::{Cancel, Engine, EngineConfig, Job, Limits, Run, RunError};
use std::{path::Path, time::Duration};

/// Looks at everything there is to see, from C: see its source beside it.
const PROBE: &[u8] = include_bytes!("wasm/probe.wasm");
/// The application of the demo.
const LUCAS_LEHMER: &[u8] = include_bytes!("../../deploy/apps/lucas-lehmer/lucas_lehmer.wasm");

fn job(args: &[&str]) -> Job {
    let wall = Duration::from_secs(60);
    let limits = Limits { wall, ..Limits::default() };
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let inputs = [("sub/b", "x"), ("a.txt", "first line\n")];
    let inputs = inputs.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).to_vec();
    let stdin = b"line one\nline two\n".to_vec();
    let env = vec![("A".to_owned(), "1".to_owned())];
    Job { args, env, stdin, inputs, seed: [7; 32], epoch_unix_s: 1_700_000_000, limits }
}

fn run(wasm: &[u8], args: &[&str]) -> Run {
    ENGINE.prepare(wasm).unwrap().run(job(args), &Cancel::new()).unwrap()
}

#[test]
fn a_component_comes_to_what_its_program_comes_to() {
    for args in [&["127"][..], &["15"], &["x"]] {
        let component = dressed(LUCAS_LEHMER);
        assert_ne!(component[4..8], LUCAS_LEHMER[4..8], "it is a component");
        Engine::check(&component).unwrap();
        let (plain, dressed) = (run(LUCAS_LEHMER, args), run(&component, args));
        assert_eq!(plain.manifest.stdout, dressed.manifest.stdout);
        assert_eq!((&plain.blobs, plain.stderr_tail), (&dressed.blobs, dressed.stderr_tail));
        assert!(dressed.manifest.fuel > plain.manifest.fuel, "the adapter works too");
        let again = run(&component, args);
        assert_eq!((again.manifest, again.blobs), (dressed.manifest, dressed.blobs));
    }
    assert_eq!(run(&dressed(LUCAS_LEHMER), &["127"]).manifest.ended, Ended::Exit(0));
    // Preview 2 has no other codes than these two: a usage error is 2 in preview 1.
    assert_eq!(run(&dressed(LUCAS_LEHMER), &["x"]).manifest.ended, Ended::Exit(1));
}

/// Expectations of the probe, by line, that the adapter does not meet whatever host is below it.
const ADAPTERS_OWN: [(&str, &str); 5] = [
    ("line 92", "a path that leads out is EPERM, not ENOTCAPABLE"),
    ("line 182", "preview 2 has nothing to allocate room in a file with"),
    ("line 201", "of several buffers it writes the first"),
    ("line 202", "and so reads back less"),
    ("line 203", "and ends earlier"),
];

#[test]
fn a_c_program_finds_what_it_may_expect_but_for_what_the_adapter_decides() {
    let (plain, dressed) = (run(PROBE, &["1"]), run(&dressed(PROBE), &["1"]));
    let lines = |run: &Run| -> Vec<String> {
        let text = String::from_utf8(stdout(run).to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let (mut seen, expected) = (lines(&dressed), lines(&plain));
    let missed: Vec<String> = seen.extract_if(.., |line| line.contains("not so:")).collect();
    let missed = missed.iter().filter_map(|line| line.split_once(':')).map(|(line, _)| line);
    assert_eq!(missed.collect::<Vec<_>>(), ADAPTERS_OWN.map(|(line, _)| line));
    // All that it looked at is the same to the letter: listings, times, randomness, arguments, input.
    assert_eq!(seen.pop().as_deref(), Some("5 failed"));
    assert_eq!(seen[..], expected[..expected.len() - 1]);
    assert_eq!(plain.manifest.files, dressed.manifest.files);
    assert_eq!(plain.stderr_tail, dressed.stderr_tail);
}

#[test]
fn a_cached_component_is_loaded_and_a_damaged_one_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let component = dressed(LUCAS_LEHMER);
    let direct = run(&component, &["127"]).manifest;
    let cached = || {
        let config =
            EngineConfig { cache_dir: Some(dir.path().join("code")), ..EngineConfig::default() };
        let module = Engine::new(config).unwrap().prepare(&component).unwrap();
        module.run(job(&["127"]), &Cancel::new()).unwrap().manifest
    };
    assert_eq!(cached(), direct);
    let file = compiled(&dir.path().join("code"));
    let good = std::fs::read(&file).unwrap();
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(cached(), direct);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written, "it was loaded");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bad in [&flipped[..], &good[..good.len() / 2], b""] {
        std::fs::write(&file, bad).unwrap();
        assert_eq!(cached(), direct);
        assert_eq!(std::fs::read(&file).unwrap().len(), good.len(), "it was written again");
    }
}

fn compiled(dir: &Path) -> std::path::PathBuf {
    let mut paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.find(|path| path.extension().is_some_and(|e| e == "module")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Most mutants are refused; those that are not must run into one of the known ends.
    #[test]
    fn mutated_components_neither_panic_nor_escape(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = frame::component(frame::ALLOCATOR, CURIOUS);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let prepared = ENGINE.prepare(&bytes);
        let _ = Engine::check(&bytes);
        if let Ok(module) = prepared {
            let mut short = frame::job();
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

/// Uses a little of everything.
const CURIOUS: &str = r#"(func (export "run") (result i32) (local $h i32)
    (i64.store (i32.const 0) (call $now))
    (call $random (i64.const 40) (i32.const 64))
    (i32.store (i32.const 80) (call $sleep (i64.const 1000)))
    (call $poll (i32.const 80) (i32.const 1) (i32.const 96))
    (call $drop-pollable (i32.load (i32.const 80)))
    (call $socket (i32.const 1) (i32.const 112))
    (local.set $h (call $stdout))
    (call $write (local.get $h) (i32.const 0) (i32.const 200) (i32.const 128))
    (call $drop-output (local.get $h))
    (i32.load8_u (i32.const 128)))"#;
