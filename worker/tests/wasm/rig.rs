//! What the tests share: one engine, one job, and programs as text in a frame with preview 1's functions.

use quorate_common::manifest::{Ended, Entry, Manifest};
use quorate_worker::engine::{Cancel, Engine, EngineConfig, Job, Limits, Module, Run};
use std::{path::Path, sync::LazyLock, time::Duration};

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn engine() -> &'static Engine {
    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(EngineConfig::default()).unwrap());
    &ENGINE
}

pub(crate) fn cached_engine(dir: &Path) -> Engine {
    Engine::new(EngineConfig { cache_dir: Some(dir.to_owned()), ..EngineConfig::default() })
        .unwrap()
}

pub(crate) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

pub(crate) fn job() -> Job {
    let wall = Duration::from_secs(60);
    let limits = Limits { fuel: 100_000_000, memory_bytes: 16 * MIB, output_bytes: MIB, wall };
    Job { seed: [7; 32], epoch_unix_s: 1_700_000_000, limits, ..Job::default() }
}

/// A program with `body`, which has `_start`.
pub(crate) fn program(body: &str) -> Module {
    engine().prepare(&program_bytes(body)).unwrap_or_else(|error| panic!("{error}\n{body}"))
}

/// `body` in a module with the functions of preview 1 that tests need.
pub(crate) fn program_bytes(body: &str) -> Vec<u8> {
    let imports: String = [
        ("proc_exit", "i32", ""),
        ("args_get", "i32 i32", "i32"),
        ("args_sizes_get", "i32 i32", "i32"),
        ("environ_sizes_get", "i32 i32", "i32"),
        ("clock_time_get", "i32 i64 i32", "i32"),
        ("random_get", "i32 i32", "i32"),
        ("poll_oneoff", "i32 i32 i32 i32", "i32"),
        ("fd_write", "i32 i32 i32 i32", "i32"),
        ("fd_read", "i32 i32 i32 i32", "i32"),
        ("fd_readdir", "i32 i32 i32 i64 i32", "i32"),
        ("fd_filestat_set_size", "i32 i64", "i32"),
        ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32", "i32"),
        ("path_create_directory", "i32 i32 i32", "i32"),
    ]
    .iter()
    .map(|(name, params, result)| {
        let result = if result.is_empty() { String::new() } else { format!("(result {result})") };
        format!(
            "(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} (param {params}) {result}))\n"
        )
    })
    .collect();
    // $print writes memory[ptr..ptr+len] to a descriptor; $exit leaves with a code if it is not 0.
    let text = format!(
        r#"(module {imports}
            (memory (export "memory") 2)
            (func $print (param $fd i32) (param $ptr i32) (param $len i32)
                (i32.store (i32.const 65536) (local.get $ptr))
                (i32.store (i32.const 65540) (local.get $len))
                (call $exit (call $fd_write
                    (local.get $fd) (i32.const 65536) (i32.const 1) (i32.const 65544))))
            (func $exit (param $code i32)
                (if (local.get $code) (then (call $proc_exit (local.get $code)))))
            (func $open (param $fd i32) (param $ptr i32) (param $len i32) (param $how i32) (result i32)
                (call $exit (call $path_open (local.get $fd) (i32.const 0) (local.get $ptr)
                    (local.get $len) (local.get $how) (i64.const -1) (i64.const -1) (i32.const 0)
                    (i32.const 65548)))
                (i32.load (i32.const 65548)))
            {body})"#
    );
    wasm(&text)
}

pub(crate) fn run(module: &Module, job: Job) -> Run {
    module.run(job, &Cancel::new()).unwrap()
}

pub(crate) fn stdout(run: &Run) -> &[u8] {
    run.manifest.stdout.as_ref().map_or(&[], |entry| blob(run, entry))
}

pub(crate) fn blob<'r>(run: &'r Run, entry: &Entry) -> &'r [u8] {
    let (_, bytes) = run.blobs.iter().find(|(digest, _)| *digest == entry.digest).unwrap();
    assert_eq!(Entry::of(bytes), *entry);
    bytes
}

/// Runs `body` and expects it to end like that.
#[track_caller]
pub(crate) fn ends(body: &str, ended: Ended) -> Run {
    let module = program(body);
    let first = run(&module, job());
    let run = run(&module, job());
    assert_eq!(run.manifest.ended, ended, "{body}");
    assert_eq!((&run.manifest, &run.blobs), (&first.manifest, &first.blobs), "{body}");
    // Whatever happens is a manifest that others can read.
    assert_eq!(Manifest::parse(run.manifest.encode().as_bytes()).unwrap(), run.manifest);
    run
}

/// Looks at clocks, randomness, listings and sleeps, and prints what it saw.
pub(crate) const CURIOUS: &str = r#"(data (i32.const 0) "b") (data (i32.const 1) "a") (data (i32.const 2) "c")
    (func (export "_start")
        (call $exit (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 8)))
        (call $exit (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 16)))
        (call $exit (call $random_get (i32.const 24) (i32.const 100)))
        (i64.store (i32.const 224) (i64.const 3600000000000))
        (call $exit (call $poll_oneoff (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 332)))
        (call $exit (call $clock_time_get (i32.const 3) (i64.const 0) (i32.const 340)))
        (drop (call $open (i32.const 5) (i32.const 0) (i32.const 1) (i32.const 1)))
        (drop (call $open (i32.const 5) (i32.const 1) (i32.const 1) (i32.const 1)))
        (drop (call $open (i32.const 5) (i32.const 2) (i32.const 1) (i32.const 1)))
        (call $exit (call $fd_readdir (i32.const 5) (i32.const 400) (i32.const 1000) (i64.const 0) (i32.const 348)))
        (call $exit (call $fd_readdir (i32.const 3) (i32.const 1400) (i32.const 1000) (i64.const 0) (i32.const 352)))
        (call $print (i32.const 1) (i32.const 0) (i32.const 2400)))"#;
