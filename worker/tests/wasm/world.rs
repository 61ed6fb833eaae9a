//! What a program sees: arguments, input, files, clocks, randomness, and nothing else.

use crate::rig::{CURIOUS, ends, engine, job, program, run, stdout, wasm};
use quorate_common::manifest::Ended;
use quorate_worker::engine::{Cancel, Job};
use std::time::Duration;

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
