//! The WASM engine from outside: what programs result in, and that it is always the same.
//!
//! Programs are WebAssembly text, so that a test shows all there is to it; the last tests run the
//! committed Lucas-Lehmer application over its default input.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use quorate_common::manifest::{Ended, Entry, Manifest, TrapKind};
use quorate_worker::engine::{
    Cancel, Engine, EngineConfig, Job, Limits, MODULE_BYTES_MAX, Module, PrepareError, Run,
    RunError,
};

const MIB: u64 = 1 << 20;

fn engine() -> &'static Engine {
    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(EngineConfig::default()).unwrap());
    &ENGINE
}

fn cached_engine(dir: &Path) -> Engine {
    Engine::new(EngineConfig { cache_dir: Some(dir.to_owned()) }).unwrap()
}

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn job() -> Job {
    let wall = Duration::from_secs(60);
    let limits = Limits { fuel: 100_000_000, memory_bytes: 16 * MIB, output_bytes: MIB, wall };
    Job { seed: [7; 32], epoch_unix_s: 1_700_000_000, limits, ..Job::default() }
}

/// A program with `body`, which has `_start`.
fn program(body: &str) -> Module {
    engine().prepare(&program_bytes(body)).unwrap_or_else(|error| panic!("{error}\n{body}"))
}

/// `body` in a module with the functions of preview 1 that tests need.
fn program_bytes(body: &str) -> Vec<u8> {
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

fn run(module: &Module, job: Job) -> Run {
    module.run(job, &Cancel::new()).unwrap()
}

fn stdout(run: &Run) -> &[u8] {
    run.manifest.stdout.as_ref().map_or(&[], |entry| blob(run, entry))
}

fn blob<'r>(run: &'r Run, entry: &Entry) -> &'r [u8] {
    let (_, bytes) = run.blobs.iter().find(|(digest, _)| *digest == entry.digest).unwrap();
    assert_eq!(Entry::of(bytes), *entry);
    bytes
}

/// Runs `body` and expects it to end like that.
#[track_caller]
fn ends(body: &str, ended: Ended) -> Run {
    let module = program(body);
    let first = run(&module, job());
    let run = run(&module, job());
    assert_eq!(run.manifest.ended, ended, "{body}");
    assert_eq!((&run.manifest, &run.blobs), (&first.manifest, &first.blobs), "{body}");
    // Whatever happens is a manifest that others can read.
    assert_eq!(Manifest::parse(run.manifest.encode().as_bytes()).unwrap(), run.manifest);
    run
}

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
fn memory_ends_at_the_limit_and_not_before() {
    let grow = |pages: u32| {
        format!(r#"(func (export "_start") (call $exit (memory.grow (i32.const {pages}))))"#)
    };
    // 256 pages are 16 MiB, two are there from the start; exit code 2 is the old size.
    ends(&grow(254), Ended::Exit(2));
    ends(&grow(255), Ended::Memory);
    ends(&grow(65_534), Ended::Memory);
    // More than 4 GiB no 32-bit memory can have: that fails in the program, as specified.
    ends(&grow(65_535), Ended::Exit(-1));
    ends(
        r#"(func (export "_start") (loop (drop (memory.grow (i32.const 1))) (br 0)))"#,
        Ended::Memory,
    );
    ends(
        r#"(table 1 funcref) (func (export "_start")
        (loop (drop (table.grow 0 (ref.null func) (i32.const 1000))) (br 0)))"#,
        Ended::Memory,
    );
}

#[test]
fn memory_a_module_begins_with_is_counted_too() {
    for text in [
        r#"(module (memory (export "memory") 65536) (func (export "_start")))"#,
        r#"(module (table 9000000 funcref) (func (export "_start")))"#,
    ] {
        let module = engine().prepare(&wasm(text)).unwrap();
        assert_eq!(run(&module, job()).manifest.ended, Ended::Memory, "{text}");
    }
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
fn growth_beyond_the_modules_own_maximum_fails_in_the_program() {
    let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1 2)
        (func (export "_start") (call $exit (memory.grow (i32.const 5000)))))"#;
    let module = engine().prepare(&wasm(text)).unwrap();
    assert_eq!(run(&module, job()).manifest.ended, Ended::Exit(-1));
}

#[test]
fn scratch_files_count_as_memory() {
    // /tmp is descriptor 5; 100 MiB of zeros do not fit in 16 MiB.
    ends(
        r#"(data (i32.const 0) "f") (func (export "_start")
        (call $exit (call $fd_filestat_set_size
            (call $open (i32.const 5) (i32.const 0) (i32.const 1) (i32.const 1)) (i64.const 104857600))))"#,
        Ended::Memory,
    );
    // Empty folders are not free either.
    ends(
        r#"(func (export "_start") (local $n i32)
        (loop (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (i32.store (i32.const 0) (i32.add (i32.const 0x21212121) (local.get $n)))
            (drop (call $path_create_directory (i32.const 5) (i32.const 0) (i32.const 4)))
            (br 0)))"#,
        Ended::Memory,
    );
}

#[test]
fn too_much_output_ends_the_run_and_keeps_what_fitted() {
    let run = ends(
        r#"(func (export "_start")
        (loop (call $print (i32.const 1) (i32.const 0) (i32.const 60000)) (br 0)))"#,
        Ended::Output,
    );
    assert_eq!(stdout(&run).len(), (MIB / 60_000 * 60_000) as usize);
    // The same for a file, and for a hole in one.
    let run = ends(
        r#"(data (i32.const 70000) "f") (func (export "_start") (local $f i32)
        (local.set $f (call $open (i32.const 4) (i32.const 70000) (i32.const 1) (i32.const 1)))
        (loop (call $print (local.get $f) (i32.const 0) (i32.const 60000)) (br 0)))"#,
        Ended::Output,
    );
    assert_eq!(run.manifest.files[0].1.len, MIB / 60_000 * 60_000);
    ends(
        r#"(data (i32.const 0) "f") (func (export "_start")
        (call $exit (call $fd_filestat_set_size
            (call $open (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 1)) (i64.const -1))))"#,
        Ended::Output,
    );
    // 4,096 files are the most a manifest can name.
    let run = ends(
        r#"(func (export "_start") (local $n i32)
        (loop (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (i32.store (i32.const 0) (i32.add (i32.const 0x30303030) (local.get $n)))
            (drop (call $path_create_directory (i32.const 4) (i32.const 0) (i32.const 4)))
            (br 0)))"#,
        Ended::Output,
    );
    assert_eq!(run.manifest.files, vec![]);
}

#[test]
fn standard_error_is_kept_at_its_end_and_is_no_result() {
    let run = ends(
        r#"(data (i32.const 59996) "END!") (func (export "_start") (local $n i32)
        (loop (call $print (i32.const 2) (i32.const 0) (i32.const 60000))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 50)))))"#,
        Ended::Exit(0),
    );
    assert_eq!(run.manifest.stdout, None);
    assert_eq!(run.stderr_tail.len(), 65_536);
    assert!(run.stderr_tail.ends_with("END!"));
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

#[test]
fn malformed_jobs_are_refused_with_the_reason() {
    let module = program(r#"(func (export "_start"))"#);
    let refuse = |job: Job| module.run(job, &Cancel::new()).unwrap_err().to_string();
    let inputs = |paths: &[&str]| Job {
        inputs: paths.iter().map(|path| ((*path).to_owned(), vec![])).collect(),
        ..job()
    };
    assert_eq!(
        refuse(inputs(&["../etc/passwd"])),
        "the job is malformed: the path \"../etc/passwd\" has the segment \"..\", expected names separated by single slashes"
    );
    for paths in [&["/a"][..], &["a/"], &["a", "a"], &["a", "a/b"], &["a/b", "a"], &[""], &["a\nb"]]
    {
        assert!(refuse(inputs(paths)).starts_with("the job is malformed: the path "), "{paths:?}");
    }
    assert!(refuse(Job { args: vec!["a\0b".into()], ..job() }).contains("NUL"));
}

#[test]
fn arguments_input_and_environment_reach_the_program_and_nothing_else_does() {
    // Prints the arguments as args_get lays them out, and the number of environment variables.
    let module = program(
        r#"(func (export "_start")
        (call $exit (call $args_sizes_get (i32.const 0) (i32.const 4)))
        (call $exit (call $args_get (i32.const 100) (i32.const 200)))
        (call $print (i32.const 1) (i32.const 200) (i32.load (i32.const 4)))
        (call $exit (call $environ_sizes_get (i32.const 0) (i32.const 4)))
        (call $exit (i32.load (i32.const 0))))"#,
    );
    let run1 = run(&module, Job { args: vec!["7".into(), "ü".into()], ..job() });
    assert_eq!(stdout(&run1), "task\x007\0ü\0".as_bytes());
    assert_eq!(run1.manifest.ended, Ended::Exit(0), "the environment is not empty");
    let run2 = run(&module, Job { env: vec![("A".into(), "1".into())], ..job() });
    assert_eq!(run2.manifest.ended, Ended::Exit(1));
}

#[test]
fn standard_input_is_read_to_its_end() {
    let module = program(
        r#"(func (export "_start")
        (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 7))
        (loop
            (call $exit (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (call $print (i32.const 1) (i32.const 100) (i32.load (i32.const 8)))
            (br_if 0 (i32.load (i32.const 8)))))"#,
    );
    let stdin = b"twenty bytes of input".to_vec();
    assert_eq!(stdout(&run(&module, Job { stdin: stdin.clone(), ..job() })), stdin);
}

/// Looks at clocks, randomness, listings and sleeps, and prints what it saw.
const CURIOUS: &str = r#"(data (i32.const 0) "b") (data (i32.const 1) "a") (data (i32.const 2) "c")
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

#[test]
fn the_same_job_has_the_same_result() {
    let module = program(CURIOUS);
    let inputs: Vec<(String, Vec<u8>)> =
        ["z", "a/b", "a/a"].map(|path| (path.to_owned(), path.into())).to_vec();
    let mut reversed = inputs.clone();
    reversed.reverse();
    let first = run(&module, Job { inputs, ..job() });
    let second = run(&program(CURIOUS), Job { inputs: reversed, ..job() });
    assert_eq!(first.manifest.ended, Ended::Exit(0));
    assert_eq!((&first.manifest, &first.blobs), (&second.manifest, &second.blobs));
    let seen = stdout(&first);
    let word = |at: usize| u64::from_le_bytes(seen[at..at + 8].try_into().unwrap());
    assert_eq!(word(8), 1_700_000_000_001_000_000, "the wall clock starts at the deal's epoch");
    assert_eq!(word(16), 2_000_000, "the monotonic clock advances a millisecond a look");
    assert_eq!(word(340), 3_600_004_000_000, "an hour's sleep moved the clock, not the wall");
    assert!(first.wall < Duration::from_secs(60));
    let other = run(&module, Job { seed: [8; 32], ..job() });
    assert_ne!(stdout(&other)[24..124], seen[24..124], "another task has other randomness");
}

#[test]
fn inputs_list_sorted_and_without_a_trace_of_the_machine() {
    let module = program(CURIOUS);
    let inputs = ["z", "a", "m/x"].map(|path| (path.to_owned(), vec![])).to_vec();
    let run = run(&module, Job { inputs, ..job() });
    let seen = stdout(&run);
    assert_eq!(names(&seen[400..1400]), [".", "..", "b", "a", "c"], "in the order of creation");
    assert_eq!(names(&seen[1400..2400]), [".", "..", "a", "m", "z"]);
}

/// The names in a listing of `fd_readdir`, up to the zeros behind it.
fn names(mut listing: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while listing[0] != 0 {
        let len = u32::from_le_bytes(listing[16..20].try_into().unwrap()) as usize;
        names.push(String::from_utf8(listing[24..24 + len].to_vec()).unwrap());
        listing = &listing[24 + len..];
    }
    names
}

#[test]
fn paths_do_not_lead_out() {
    const NOTCAPABLE: i32 = 76;
    for (path, code) in [
        ("../x", NOTCAPABLE),
        ("..", NOTCAPABLE),
        ("d/../../x", NOTCAPABLE),
        ("/etc/passwd", NOTCAPABLE),
        ("/out/x", NOTCAPABLE),
        ("x/y", 44),
        ("a\u{7}", 28),
        ("d/../ok", 0),
    ] {
        let body = format!(
            r#"(data (i32.const 0) "d") (data (i32.const 16) "{}")
            (func (export "_start")
                (call $exit (call $path_create_directory (i32.const 4) (i32.const 0) (i32.const 1)))
                (drop (call $open (i32.const 4) (i32.const 16) (i32.const {}) (i32.const 1))))"#,
            path.replace('\u{7}', "\\07"),
            path.len()
        );
        ends(&body, Ended::Exit(code));
    }
    // Nothing can be made in /in.
    ends(
        r#"(data (i32.const 0) "d") (func (export "_start")
        (call $exit (call $path_create_directory (i32.const 3) (i32.const 0) (i32.const 1))))"#,
        Ended::Exit(69),
    );
}

#[test]
fn pointers_outside_of_memory_are_refused() {
    const EFAULT: i32 = 21;
    for call in [
        "(call $random_get (i32.const -1) (i32.const 10))",
        "(call $random_get (i32.const 131071) (i32.const 2))",
        "(call $fd_write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 0))",
        "(call $fd_write (i32.const 1) (i32.const 0) (i32.const 1024) (i32.const -1))",
        "(call $fd_read (i32.const 0) (i32.const 131068) (i32.const 1) (i32.const 0))",
        "(call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 131065))",
        "(call $args_get (i32.const -4) (i32.const 0))",
        "(call $poll_oneoff (i32.const -48) (i32.const 0) (i32.const 2) (i32.const 0))",
        "(call $path_create_directory (i32.const 4) (i32.const -1) (i32.const 4))",
    ] {
        ends(&format!(r#"(func (export "_start") (call $exit {call}))"#), Ended::Exit(EFAULT));
    }
    // Without a memory, no pointer is valid; nothing else is wrong with such a module.
    let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (func (export "_start") (call $exit (call $random (i32.const 0) (i32.const 1)))))"#;
    let module = engine().prepare(&wasm(text)).unwrap();
    assert_eq!(run(&module, job()).manifest.ended, Ended::Exit(EFAULT));
}

#[test]
fn nan_is_always_the_same_nan() {
    let run = ends(
        r#"(func (export "_start") (local $x f64)
        (f64.store (i32.const 0) (f64.div (local.get $x) (local.get $x)))
        (f64.store (i32.const 8) (f64.sqrt (f64.const -1)))
        (f32.store (i32.const 16) (f32.add (f32.const nan:0x200001) (f32.const 1)))
        (call $print (i32.const 1) (i32.const 0) (i32.const 20)))"#,
        Ended::Exit(0),
    );
    let seen = stdout(&run);
    assert_eq!(seen[..8], 0x7ff8_0000_0000_0000_u64.to_le_bytes());
    assert_eq!(seen[8..16], 0x7ff8_0000_0000_0000_u64.to_le_bytes());
    assert_eq!(seen[16..], 0x7fc0_0000_u32.to_le_bytes());
}

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
        "an import has another signature than wasi_snapshot_preview1 gives it: ",
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

#[test]
fn a_cached_module_is_loaded_and_a_damaged_one_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("modules");
    let bytes = LUCAS_LEHMER;
    let task = || Job { args: vec!["127".into()], ..job() };
    let direct = run(&engine().prepare(bytes).unwrap(), task());
    let cached = || run(&cached_engine(&cache).prepare(bytes).unwrap(), task()).manifest;
    assert_eq!(cached(), direct.manifest);
    let file = compiled_file(&cache);
    let good = std::fs::read(&file).unwrap();

    // Loaded, not written again: the file keeps its inode time even when it is checked.
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(cached(), direct.manifest);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written);

    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&flipped[..], &good[..good.len() / 2], &good[..10], b""] {
        std::fs::write(&file, bad).unwrap();
        assert_eq!(cached(), direct.manifest);
        assert_eq!(std::fs::read(&file).unwrap().len(), good.len(), "it was not written again");
    }

    // Another module's authentic file under this module's name is foreign too.
    let other = wasm(r#"(module (func (export "_start") unreachable))"#);
    cached_engine(&cache).prepare(&other).unwrap();
    let theirs = compiled_files(&cache).into_iter().find(|path| *path != file).unwrap();
    std::fs::copy(&theirs, &file).unwrap();
    assert_eq!(cached(), direct.manifest);

    // A new key makes every file foreign.
    std::fs::write(cache.join("key"), b"short").unwrap();
    assert_eq!(cached(), direct.manifest);
    assert_eq!(std::fs::read(cache.join("key")).unwrap().len(), 32);
}

fn compiled_files(cache: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "module")).collect()
}

fn compiled_file(cache: &Path) -> std::path::PathBuf {
    let files = compiled_files(cache);
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

#[cfg(unix)]
#[test]
fn the_cache_is_this_users_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("new/modules");
    cached_engine(&cache).prepare(&wasm(r#"(module (func (export "_start")))"#)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    assert_eq!(mode(&cache.join("key")), 0o600);
    assert_eq!(mode(&compiled_file(&cache)), 0o600);
    // A folder that others can write to is refused, and left as it is.
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
    let config = EngineConfig { cache_dir: Some(cache.clone()) };
    let error = Engine::new(config).unwrap_err().to_string();
    assert!(error.ends_with("others may write to it, expected mode 0700"), "{error}");
    assert_eq!(mode(&cache), 0o777);
}

#[test]
fn a_cache_that_is_no_folder_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = EngineConfig { cache_dir: Some(file.path().to_owned()) };
    let error = Engine::new(config).unwrap_err().to_string();
    assert!(
        error.contains(&format!("the cache folder {:?} cannot be used", file.path())),
        "{error}"
    );
}

#[test]
fn runs_share_an_engine_side_by_side() {
    let module = program(CURIOUS);
    let alone = run(&module, job()).manifest;
    let runners: Vec<_> = (0..8)
        .map(|_| {
            let module = module.clone();
            std::thread::spawn(move || run(&module, job()).manifest)
        })
        .collect();
    for runner in runners {
        assert_eq!(runner.join().unwrap(), alone);
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

/// A C program that asks everything of its host that C programs may expect; see its source.
const PROBE: &[u8] = include_bytes!("wasm/probe.wasm");

fn probe() -> Run {
    let inputs = [("sub/b", "x"), ("a.txt", "first line\n")];
    let inputs = inputs.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).to_vec();
    let stdin = b"line one\nline two\n".to_vec();
    let job = Job { args: vec!["1".into()], stdin, inputs, ..job() };
    run(&engine().prepare(PROBE).unwrap(), job)
}

#[test]
fn a_c_program_finds_what_it_may_expect() {
    let run = probe();
    let said = String::from_utf8_lossy(stdout(&run));
    assert!(said.ends_with("\n0 failed\n"), "{said}");
    assert_eq!(run.manifest.ended, Ended::Exit(0));
    assert_eq!(run.stderr_tail, "for a person to read\n");
}

/// Workers of two versions vote together as long as their engines have one hash. So either all of
/// this stays as it is, or all of it changes, and the description in `engine/profile.rs` with it.
#[test]
fn results_change_only_when_the_engines_hash_does() {
    assert_eq!(
        hex::encode(engine().hash()),
        "57c20f1260a665f50e0ab0f9eec4321fd2b386f51000a16cc853519a70228e26"
    );
    assert_eq!(
        probe().manifest.encode(),
        "\
         quorate-result/1\n\
         ended exit 0\n\
         fuel 6828588\n\
         stdout 229 ce6da734dcd85f9f51740ff7f904b5e1e306e3b462d19ca83b757a5c98a85fd2\n\
         file 8 d2d9e1f13413d3e07064d629ac3341a6e1d6a5eb0895e76a3c66df19307a56f0 e/relative\n\
         file 14 1e396fa6f137cd4f06c67d05b92c25a4de78a2b0515bd6cb44eb01058b54ddba e/y\n"
    );
    let module = engine().prepare(LUCAS_LEHMER).unwrap();
    assert_eq!(
        lucas_lehmer(&module, &["127"]).manifest.encode(),
        "\
         quorate-result/1\n\
         ended exit 0\n\
         fuel 134064\n\
         stdout 10 d0739168f46291c03856c9a47d2a144e3a488bce3c47bfe69f2d43bb0d64addc\n"
    );
    let trap = program(r#"(func (export "_start") (drop (i32.load (i32.const -1))))"#);
    assert_eq!(
        run(&trap, job()).manifest.encode(),
        "\
         quorate-result/1\n\
         ended trap memory-out-of-bounds\n\
         fuel 0\n"
    );
}

const LUCAS_LEHMER: &[u8] = include_bytes!("../../deploy/apps/lucas-lehmer/lucas_lehmer.wasm");
const EXPONENTS: &str = include_str!("../../deploy/apps/lucas-lehmer/exponents.txt");

fn lucas_lehmer(module: &Module, args: &[&str]) -> Run {
    let mut job = Job { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..job() };
    job.limits.fuel = 10_000_000_000;
    run(module, job)
}

fn answer(module: &Module, exponent: &str) -> String {
    let run = lucas_lehmer(module, &[exponent]);
    assert_eq!(run.manifest.ended, Ended::Exit(0), "{}", run.stderr_tail);
    String::from_utf8(stdout(&run).to_vec()).unwrap()
}

#[test]
fn lucas_lehmer_finds_every_mersenne_prime_of_its_input_and_no_other() {
    let module = engine().prepare(LUCAS_LEHMER).unwrap();
    let start = Instant::now();
    let mut found = Vec::new();
    for exponent in EXPONENTS.lines() {
        let answer = answer(&module, exponent);
        match answer.strip_suffix(" prime\n") {
            Some(prime) => found.push(prime.to_owned()),
            None => assert!(answer.starts_with(&format!("{exponent} composite ")), "{answer}"),
        }
    }
    let known = [2, 3, 5, 7, 13, 17, 19, 31, 61, 89, 107, 127, 521, 607, 1279, 2203, 2281];
    assert_eq!(found, known.map(|exponent| exponent.to_string()));
    println!("{} exponents in {:?}", EXPONENTS.lines().count(), start.elapsed());
}

#[test]
fn lucas_lehmer_prints_the_residue_others_check() {
    let module = engine().prepare(LUCAS_LEHMER).unwrap();
    // 4, 14, 194, 788, 701, 119, 1877, 240, 282, 1736: each is the square of the one before,
    // less 2, modulo 2047; 1736 is 6c8.
    assert_eq!(answer(&module, "11"), "11 composite 00000000000006c8\n");
    assert_eq!(answer(&module, "67"), "67 composite 677d24ee8ae3b2c2\n");
    assert_eq!(answer(&module, "15"), "15 composite exponent\n");
}

#[test]
fn lucas_lehmer_explains_itself_to_whoever_calls_it_wrongly() {
    let module = engine().prepare(LUCAS_LEHMER).unwrap();
    for args in
        [&[][..], &["x"], &["-3"], &["0"], &["1"], &["007"], &["3 "], &["100001"], &["3", "5"]]
    {
        let run = lucas_lehmer(&module, args);
        assert_eq!((run.manifest.ended, run.manifest.stdout), (Ended::Exit(2), None), "{args:?}");
        assert!(run.stderr_tail.starts_with("usage: "), "{}", run.stderr_tail);
    }
}
