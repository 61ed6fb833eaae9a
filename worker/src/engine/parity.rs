//! Fuel is counted on WebAssembly's instructions, not on the machine's: however much the compiler does with
//! them, the corpus of traps comes to the same bytes and the same fuel, as modules and as components.

#[path = "../../tests/component/dress.rs"]
mod dress;

use super::{Cancel, Engine, Job, Limits, Run, Shared, profile};
use std::{fs, path::Path, sync::Arc, time::Duration};
use wasmtime::{Inlining, OptLevel};

/// An engine that compiles otherwise.
fn engine(change: impl FnOnce(&mut wasmtime::Config)) -> Engine {
    let mut config = profile::config();
    change(&mut config);
    let shared = Arc::new(Shared::new(&config, None).expect("an engine"));
    Engine { shared, packs: Arc::default(), cache_dir: None, apart: None }
}

fn run(engine: &Engine, wasm: &[u8]) -> Run {
    let wall = Duration::from_secs(60);
    let limits = Limits { fuel: 5_000_000, memory_bytes: 4 << 20, output_bytes: 1 << 20, wall };
    let module = engine.prepare(wasm).expect("a module");
    module.run(Job { limits, ..Job::default() }, &Cancel::new()).expect("a result")
}

#[test]
fn results_and_fuel_do_not_depend_on_how_much_is_optimised() {
    let usual = engine(|_| {});
    let others = [
        engine(|config| _ = config.cranelift_opt_level(OptLevel::None)),
        engine(|config| _ = config.cranelift_opt_level(OptLevel::SpeedAndSize)),
        engine(|config| _ = config.compiler_inlining(Inlining::Yes)),
    ];
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut programs = 0;
    for entry in fs::read_dir(corpus).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "wat") {
            continue;
        }
        let wasm = wat::parse_file(&path).expect("text");
        for wasm in [dress::dressed(&wasm), wasm] {
            let expected = run(&usual, &wasm);
            for other in &others {
                let found = run(other, &wasm);
                assert_eq!(
                    (found.manifest, found.blobs),
                    (expected.manifest.clone(), expected.blobs.clone()),
                    "{path:?}"
                );
            }
        }
        programs += 1;
    }
    assert!(programs >= 13, "the corpus has {programs} programs");
}
