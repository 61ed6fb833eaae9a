//! Limits of memory and output: where they are reached, and that they are the same everywhere.

use crate::rig::{MIB, ends, engine, job, run, stdout, wasm};
use quorate_common::manifest::Ended;

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
