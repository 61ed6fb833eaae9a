//! What WebAssembly can be made to do to a machine: a table of programs, each with what becomes of it.

use crate::{
    binary,
    fate::{
        Fate::{self, Ends, GivenUp},
        Hostile, Work,
    },
};
use quorate_common::{
    manifest::{
        Ended::{Exit, Fuel, Memory, Module, Output, Trap},
        TrapKind::MemoryOutOfBounds,
    },
    wire::GiveUpReason::{Deadline, Stack},
};

/// What all programs of text begin with: calls, and what to make of their answers. A call that succeeds
/// where it must not ends the program with 66.
const PRELUDE: &str = r#"
  (memory (export "memory") 2)
  (data (i32.const 0) "a")
  (func $must (param i32) (if (local.get 0) (then (call $proc_exit (local.get 0)))))
  (func $must_not (param i32) (if (i32.eqz (local.get 0)) (then (call $proc_exit (i32.const 66)))))
  (func $print (param $fd i32) (param $ptr i32) (param $len i32)
    (i32.store (i32.const 65536) (local.get $ptr))
    (i32.store (i32.const 65540) (local.get $len))
    (call $must (call $fd_write
      (local.get $fd) (i32.const 65536) (i32.const 1) (i32.const 65544))))
  (func $open (param $fd i32) (param $ptr i32) (param $len i32) (param $how i32) (result i32)
    (call $path_open (local.get $fd) (i32.const 0) (local.get $ptr) (local.get $len)
      (local.get $how) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 65548)))
  (func $opened (result i32) (i32.load (i32.const 65548)))
  (func $name (param $n i32) (result i32)
    (i64.store (i32.const 100) (i64.or (i64.const 0x4040404040404040) (i64.or (i64.or
      (i64.extend_i32_u (i32.and (local.get $n) (i32.const 15)))
      (i64.extend_i32_u (i32.shl (i32.and (local.get $n) (i32.const 0xf0)) (i32.const 4))))
      (i64.or
      (i64.shl (i64.extend_i32_u (i32.and (local.get $n) (i32.const 0xf00))) (i64.const 8))
      (i64.shl (i64.extend_i32_u (i32.shr_u (local.get $n) (i32.const 12))) (i64.const 32))))))
    (i32.const 100))
"#;

/// Functions of preview 1 that the programs use, with their parameters.
const IMPORTS: [(&str, &str); 23] = [
    ("environ_sizes_get", "i32 i32"),
    ("fd_close", "i32"),
    ("fd_filestat_set_size", "i32 i64"),
    ("fd_pwrite", "i32 i32 i32 i64 i32"),
    ("fd_read", "i32 i32 i32 i32"),
    ("fd_readdir", "i32 i32 i32 i64 i32"),
    ("fd_renumber", "i32 i32"),
    ("fd_write", "i32 i32 i32 i32"),
    ("path_create_directory", "i32 i32 i32"),
    ("path_link", "i32 i32 i32 i32 i32 i32 i32"),
    ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
    ("path_readlink", "i32 i32 i32 i32 i32 i32"),
    ("path_rename", "i32 i32 i32 i32 i32 i32"),
    ("path_symlink", "i32 i32 i32 i32 i32"),
    ("poll_oneoff", "i32 i32 i32 i32"),
    ("proc_raise", "i32"),
    ("random_get", "i32 i32"),
    ("sched_yield", ""),
    ("sock_accept", "i32 i32 i32"),
    ("sock_recv", "i32 i32 i32 i32 i32 i32"),
    ("sock_send", "i32 i32 i32 i32 i32"),
    ("sock_shutdown", "i32 i32"),
    ("clock_time_get", "i32 i64 i32"),
];

const START: &str = "(func (export \"_start\")";

/// Programs in text: name, what stands before `_start`, what is in it, fate.
const TEXTS: [(&str, &str, &str, Fate); 44] = [
    ("endless loop", "", "(loop (br 0))", Ends(Fuel)),
    ("time bomb", "", "(loop (br 0))", GivenUp(Deadline)),
    ("start function that never ends", "(func $s (loop (br 0))) (start $s)", "", Ends(Fuel)),
    (
        "start function as a time bomb",
        "(func $s (loop (br 0))) (start $s)",
        "",
        GivenUp(Deadline),
    ),
    ("host-call burn", "", "(loop (drop (call $sched_yield)) (br 0))", Ends(Fuel)),
    (
        "host-call burn past the deadline",
        "",
        "(loop (call $must (call $random_get (i32.const 0) (i32.const 65000))) (br 0))",
        GivenUp(Deadline),
    ),
    (
        "gigabytes in one host call",
        // 1,024 buffers that are all the whole memory.
        "",
        "(local $n i32) (loop
            (i32.store (i32.add (i32.const 1000) (local.get $n)) (i32.const 0))
            (i32.store (i32.add (i32.const 1004) (local.get $n)) (i32.const 131072))
            (local.set $n (i32.add (local.get $n) (i32.const 8)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 8192))))
        (loop (call $must (call $fd_write
            (i32.const 2) (i32.const 1000) (i32.const 1024) (i32.const 65544))) (br 0))",
        GivenUp(Deadline),
    ),
    (
        "huge memory copies",
        "",
        "(drop (memory.grow (i32.const 230))) (loop (memory.copy
            (i32.const 1) (i32.const 0) (i32.const 15000000)) (br 0))",
        Ends(Fuel),
    ),
    (
        "huge memory copies past the deadline",
        "",
        "(drop (memory.grow (i32.const 230))) (loop (memory.copy
            (i32.const 1) (i32.const 0) (i32.const 15000000)) (br 0))",
        GivenUp(Deadline),
    ),
    (
        "huge memory fills",
        "",
        "(drop (memory.grow (i32.const 230))) (loop (memory.fill
            (i32.const 0) (i32.const 7) (i32.const 15000000)) (br 0))",
        Ends(Fuel),
    ),
    (
        "huge table fills",
        "(table 500000 funcref)",
        "(loop (table.fill (i32.const 0) (ref.null func) (i32.const 500000)) (br 0))",
        Ends(Fuel),
    ),
    (
        "huge table copies",
        "(table 500000 funcref)",
        "(loop (table.copy (i32.const 1) (i32.const 0) (i32.const 499999)) (br 0))",
        Ends(Fuel),
    ),
    ("infinite recursion", "(func $f (call $f) (call $f))", "(call $f)", GivenUp(Stack)),
    (
        "infinite recursion through a table",
        "(table 1 funcref) (elem (i32.const 0) func $f)
         (func $f (call_indirect (i32.const 0)) (call_indirect (i32.const 0)))",
        "(call $f)",
        GivenUp(Stack),
    ),
    ("endless tail calls", "(func $f (return_call $f))", "(call $f)", Ends(Fuel)),
    (
        "memory to the limit",
        "",
        "(loop (drop (memory.grow (i32.const 1))) (br 0))",
        Ends(Memory),
    ),
    ("memory beyond 4 GiB", "", "(drop (memory.grow (i32.const 65534)))", Ends(Memory)),
    (
        "tables to the limit",
        "(table 1 funcref)",
        "(loop (drop (table.grow (ref.null func) (i32.const 1000))) (br 0))",
        Ends(Memory),
    ),
    ("a huge table to begin with", "(table 9000000 funcref)", "", Ends(Memory)),
    (
        "reads beyond memory",
        "",
        "(drop (i32.load (i32.const -4)))",
        Ends(Trap(MemoryOutOfBounds)),
    ),
    (
        "million files",
        "",
        "(local $n i32) (loop (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (call $must (call $open (i32.const 4) (call $name (local.get $n)) (i32.const 8) (i32.const 1)))
            (call $must (call $fd_close (call $opened))) (br 0))",
        Ends(Output),
    ),
    (
        "million files in /tmp",
        "",
        "(local $n i32) (loop (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (call $must (call $open (i32.const 5) (call $name (local.get $n)) (i32.const 8) (i32.const 1)))
            (call $must (call $fd_close (call $opened))) (br 0))",
        Ends(Memory),
    ),
    (
        "million folders",
        "",
        "(local $n i32) (loop (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (call $must (call $path_create_directory
                (i32.const 4) (call $name (local.get $n)) (i32.const 8))) (br 0))",
        Ends(Output),
    ),
    (
        "folders in folders",
        // Ends where no manifest could name what is in them.
        "",
        "(local $fd i32) (local.set $fd (i32.const 4)) (loop
            (call $must (call $path_create_directory (local.get $fd) (i32.const 0) (i32.const 1)))
            (call $must (call $open (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 2)))
            (local.set $fd (call $opened)) (br 0))",
        Ends(Exit(37)),
    ),
    (
        "descriptors without end",
        "",
        "(loop (call $must (call $open (i32.const 5) (i32.const 0) (i32.const 1) (i32.const 1))) (br 0))",
        Ends(Exit(33)),
    ),
    (
        "path tricks",
        r#"(data (i32.const 200) "../../../../etc/passwd/etc/passwda/../../../../../proc/self/mem/../a")"#,
        "(call $must (call $path_create_directory (i32.const 4) (i32.const 0) (i32.const 1)))
        (call $must_not (call $open (i32.const 4) (i32.const 200) (i32.const 22) (i32.const 0)))
        (call $must_not (call $open (i32.const 4) (i32.const 222) (i32.const 11) (i32.const 0)))
        (call $must_not (call $open (i32.const 4) (i32.const 233) (i32.const 30) (i32.const 0)))
        (call $must_not (call $open (i32.const 4) (i32.const 200) (i32.const 2) (i32.const 2)))
        (call $must_not (call $open (i32.const 4) (i32.const 263) (i32.const 5) (i32.const 1)))
        (call $must_not (call $path_create_directory (i32.const 3) (i32.const 0) (i32.const 1)))
        (call $must_not (call $open (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 1)))",
        Ends(Exit(0)),
    ),
    (
        "links",
        r#"(data (i32.const 200) "/etc/passwd")"#,
        "(call $must (call $open (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 1)))
        (call $must_not (call $path_symlink
            (i32.const 200) (i32.const 11) (i32.const 4) (i32.const 201) (i32.const 1)))
        (call $must_not (call $path_link (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 1)
            (i32.const 4) (i32.const 201) (i32.const 1)))
        (call $must_not (call $path_readlink (i32.const 4) (i32.const 0) (i32.const 1)
            (i32.const 300) (i32.const 100) (i32.const 400)))",
        Ends(Exit(0)),
    ),
    (
        "renames out of its folders",
        r#"(data (i32.const 200) "a/ba/../../b")"#,
        "(call $must (call $path_create_directory (i32.const 4) (i32.const 0) (i32.const 1)))
        (call $must_not (call $path_rename (i32.const 4) (i32.const 0) (i32.const 1)
            (i32.const 3) (i32.const 0) (i32.const 1)))
        (call $must_not (call $path_rename (i32.const 4) (i32.const 0) (i32.const 1)
            (i32.const 5) (i32.const 0) (i32.const 1)))
        (call $must_not (call $path_rename (i32.const 4) (i32.const 0) (i32.const 1)
            (i32.const 4) (i32.const 200) (i32.const 3)))
        (call $must_not (call $path_rename (i32.const 4) (i32.const 0) (i32.const 1)
            (i32.const 4) (i32.const 203) (i32.const 9)))",
        Ends(Exit(0)),
    ),
    (
        "closes what it was given",
        "",
        "(call $must (call $fd_renumber (i32.const 4) (i32.const 3)))
        (call $must (call $fd_close (i32.const 5)))
        (call $must_not (call $open (i32.const 5) (i32.const 0) (i32.const 1) (i32.const 1)))
        (call $must_not (call $open (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 1)))
        (call $must_not (call $open (i32.const -1) (i32.const 0) (i32.const 1) (i32.const 1)))",
        Ends(Exit(0)),
    ),
    (
        "standard output without end",
        "",
        "(loop (call $print (i32.const 1) (i32.const 0) (i32.const 60000)) (br 0))",
        Ends(Output),
    ),
    (
        "standard error without end",
        "",
        "(loop (call $print (i32.const 2) (i32.const 0) (i32.const 60000)) (br 0))",
        Ends(Fuel),
    ),
    (
        "sparse file of a terabyte",
        "",
        "(call $must (call $open (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 1)))
        (call $must (call $fd_filestat_set_size (call $opened) (i64.const 1099511627776)))",
        Ends(Output),
    ),
    (
        "sparse file in /tmp",
        "",
        "(call $must (call $open (i32.const 5) (i32.const 0) (i32.const 1) (i32.const 1)))
        (call $must (call $fd_filestat_set_size (call $opened) (i64.const -1)))",
        Ends(Memory),
    ),
    (
        "writes behind the end of the world",
        "",
        "(call $must (call $open (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 1)))
        (i32.store (i32.const 304) (i32.const 1))
        (call $must_not (call $fd_pwrite (call $opened) (i32.const 300) (i32.const 1)
            (i64.const -1) (i32.const 400)))
        (drop (call $fd_pwrite (call $opened) (i32.const 300) (i32.const 1)
            (i64.const 0x3fffffffffffffff) (i32.const 400)))",
        Ends(Output),
    ),
    (
        "writes and removes for ever",
        "",
        "(loop (call $must (call $open (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 9)))
            (call $print (call $opened) (i32.const 0) (i32.const 60000))
            (call $must (call $fd_close (call $opened))) (br 0))",
        Ends(Fuel),
    ),
    (
        "lists for ever",
        "",
        "(loop (call $must (call $fd_readdir (i32.const 4) (i32.const 1000) (i32.const 60000)
            (i64.const 0) (i32.const 400))) (br 0))",
        Ends(Fuel),
    ),
    (
        "sleeps for centuries",
        "",
        "(i64.store (i32.const 224) (i64.const 0x3fffffffffffffff))
        (call $must (call $poll_oneoff
            (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 332)))",
        Ends(Exit(0)),
    ),
    (
        "sleeps for ever",
        "",
        "(loop (i64.store (i32.const 224) (i64.const 1000000000))
            (call $must (call $poll_oneoff
                (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 332))) (br 0))",
        Ends(Fuel),
    ),
    (
        "waits for input that never comes",
        "",
        "(i32.store (i32.const 204) (i32.const 10)) (loop (call $must (call $fd_read
            (i32.const 0) (i32.const 200) (i32.const 1) (i32.const 300))) (br 0))",
        Ends(Fuel),
    ),
    (
        "signals",
        "",
        "(local $n i32) (loop (call $must_not (call $proc_raise (local.get $n)))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 64))))",
        Ends(Exit(0)),
    ),
    (
        "sockets",
        "",
        "(local $n i32) (loop
            (call $must_not (call $sock_accept (local.get $n) (i32.const 0) (i32.const 300)))
            (call $must_not (call $sock_send (local.get $n)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 300)))
            (call $must_not (call $sock_recv (local.get $n)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 300) (i32.const 304)))
            (call $must_not (call $sock_shutdown (local.get $n) (i32.const 3)))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 4096))))",
        Ends(Exit(0)),
    ),
    (
        "looks for the owner's secrets",
        "",
        "(call $must (call $environ_sizes_get (i32.const 300) (i32.const 304)))
        (if (i32.load (i32.const 300)) (then (call $proc_exit (i32.const 66))))",
        Ends(Exit(0)),
    ),
    (
        "pointers that lead nowhere",
        "",
        "(call $must_not (call $random_get (i32.const -1) (i32.const 10)))
        (call $must_not (call $fd_write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 0)))
        (call $must_not (call $fd_read (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0)))
        (call $must_not (call $poll_oneoff (i32.const -48) (i32.const 0) (i32.const -1) (i32.const 0)))
        (call $must_not (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const -4)))
        (call $must_not (call $open (i32.const 4) (i32.const -1) (i32.const -1) (i32.const 1)))",
        Ends(Exit(0)),
    ),
    ("looks at the clock for ever", "", "(loop
            (call $must (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 300))) (br 0))",
        Ends(Fuel)),
];

/// Bombs for the compiler, and what is no program: name, module, fate. Where a bomb is just small enough to
/// be compiled, it is done within seconds.
#[expect(clippy::type_complexity, reason = "a row of a table")]
const MODULES: [(&str, fn() -> Vec<u8>, Fate); 33] = [
    ("ten thousand functions", || binary::functions(10_000), Ends(Exit(0))),
    // As heavy as may be: each keeps a compiler busy for half a minute and longer.
    ("compile bomb past the deadline", || binary::functions(125_000), GivenUp(Deadline)),
    (
        "compile bomb in a table past the deadline",
        || binary::functions_in_tables(125_000),
        GivenUp(Deadline),
    ),
    ("types to compile past the deadline", || binary::types(1_350, 500), GivenUp(Deadline)),
    ("hundred and forty thousand functions", || binary::functions(140_000), Ends(Module)),
    ("million functions in a table", || binary::functions_in_tables(999_000), Ends(Module)),
    ("jump tables of 65,520 targets", || binary::jump_table(65_520, 70), Ends(Exit(0))),
    ("jump table of 100,000 targets", || binary::jump_table(100_000, 1), Ends(Module)),
    ("jump table out of thousands of blocks", || binary::jump_table_outwards(5_000), Ends(Module)),
    ("jump tables full of values", || binary::wide_jump_tables(30_000, 1_000, 20), Ends(Module)),
    ("twenty thousand blocks in blocks", || binary::nested_blocks(20_000), Ends(Exit(0))),
    ("million blocks in blocks", || binary::nested_blocks(1_000_000), Ends(Module)),
    ("twenty thousand loops in loops", || binary::nested_loops(20_000), Ends(Module)),
    ("loops that jump to all others", || binary::far_jumps(5_000), Ends(Module)),
    ("loops over all locals", || binary::loops_over_locals(900, 7_000), Ends(Module)),
    ("locals that change in turn", || binary::diagonal(2_000), Ends(Module)),
    ("the same, just small enough", || binary::diagonal(400), Ends(Exit(0))),
    ("blocks with a thousand results", || binary::wide_blocks(1_000, 20), Ends(Exit(0))),
    ("fifty thousand values on the stack", || binary::deep_stack(50_000, 50_000), Ends(Module)),
    ("fifty thousand locals", || binary::locals(50_000), Ends(Exit(0))),
    ("types with hundreds of parameters", || binary::types(20_000, 500), Ends(Module)),
    ("imports with types of their own", || binary::strange_imports(100, 32), Ends(Module)),
    ("hundred thousand imports", || binary::strange_imports(99_000, 17), Ends(Module)),
    ("hundred thousand pieces of data", || binary::data(99_000, 10), Ends(Exit(0))),
    ("30 MB of data", || binary::data(0, 30_000_000), Ends(Memory)),
    ("30 MiB of nothing", binary::custom_section, Ends(Exit(0))),
    ("a module of 65 MiB", || vec![0; 65 << 20], Ends(Module)),
    ("half a module", binary::cut, Ends(Module)),
    ("no module", || b"#!/bin/sh\nrm -rf /\n".to_vec(), Ends(Module)),
    (
        "imports the machine",
        || text("(module (import \"env\" \"system\" (func)) (func (export \"_start\")))"),
        Ends(Module),
    ),
    ("threads", || text("(module (memory 1 1 shared) (func (export \"_start\")))"), Ends(Module)),
    (
        "4 GiB to begin with",
        || text("(module (memory 65536) (func (export \"_start\")))"),
        Ends(Memory),
    ),
    ("no beginning", || text("(module (func (export \"main\")))"), Ends(Module)),
];

/// All of them.
pub(crate) fn programs() -> Vec<Hostile> {
    let texts = TEXTS.into_iter().map(|(name, before, inside, fate)| {
        let imports = IMPORTS.map(|(name, parameters)| {
            format!(
                "(import \"wasi_snapshot_preview1\" \"{name}\"
                   (func ${name} (param {parameters}) (result i32)))"
            )
        });
        let exit =
            "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $proc_exit (param i32)))";
        let imports = imports.concat();
        let module =
            text(&format!("(module {imports} {exit} {PRELUDE} {before} {START} {inside}))"));
        Hostile { name, work: Work::Module(module), fate }
    });
    let modules = MODULES.into_iter().map(|(name, module, fate)| Hostile {
        name,
        work: Work::Module(module()),
        fate,
    });
    texts.chain(modules).collect()
}

fn text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}
