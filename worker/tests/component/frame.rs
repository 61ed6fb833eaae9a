//! A component by hand: the imports that tests need, a memory with an allocator, and a program between them.

use quorate_common::manifest::{Ended, Manifest};
use quorate_worker::engine::{Cancel, Engine, EngineConfig, Job, Limits, Module, Run, RunError};
use std::{sync::LazyLock, time::Duration};

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(EngineConfig::default()).unwrap());

/// What is imported: types first, then functions of each interface, by the name that programs call them by.
const IMPORTS: &str = r#"
    (import "wasi:io/error@0.2.3" (instance $errors (export "error" (type (sub resource)))))
    (alias export $errors "error" (type $error))
    (import "wasi:io/poll@0.2.3" (instance $polls
        (export "pollable" (type $pollable (sub resource)))
        (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result bool)))
        (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
    (alias export $polls "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clocks
        (alias outer 1 $pollable (type $outer))
        (export "pollable" (type $pollable (eq $outer)))
        (export "now" (func (result u64)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
    (import "wasi:random/random@0.2.3" (instance $randoms
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
    (import "wasi:io/streams@0.2.3" (instance $streams
        (alias outer 1 $error (type $outer-error))
        (export "error" (type $error (eq $outer-error)))
        (type $failed-shape (variant (case "last-operation-failed" (own $error)) (case "closed")))
        (export "stream-error" (type $failed (eq $failed-shape)))
        (export "output-stream" (type $output (sub resource)))
        (export "[method]output-stream.write"
            (func (param "self" (borrow $output)) (param "contents" (list u8)) (result (result (error $failed)))))))
    (alias export $streams "output-stream" (type $output))
    (import "wasi:cli/stdout@0.2.3" (instance $stdout
        (alias outer 1 $output (type $outer))
        (export "output-stream" (type $output (eq $outer)))
        (export "get-stdout" (func (result (own $output))))))
    (import "wasi:cli/exit@0.2.3" (instance $exits
        (export "exit" (func (param "status" (result))))))
    (import "wasi:sockets/network@0.2.3" (instance $networks
        (export "network" (type (sub resource)))
        (type $family-shape (enum "ipv4" "ipv6"))
        (export "ip-address-family" (type (eq $family-shape)))
        (type $code-shape (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory"
            "timeout" "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
            "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset"
            "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
            "permanent-resolver-failure"))
        (export "error-code" (type (eq $code-shape)))))
    (alias export $networks "ip-address-family" (type $family))
    (alias export $networks "error-code" (type $code))
    (import "wasi:sockets/tcp@0.2.3" (instance $tcp (export "tcp-socket" (type (sub resource)))))
    (alias export $tcp "tcp-socket" (type $socket))
    (import "wasi:sockets/tcp-create-socket@0.2.3" (instance $sockets
        (alias outer 1 $family (type $outer-family))
        (export "ip-address-family" (type $family (eq $outer-family)))
        (alias outer 1 $code (type $outer-code))
        (export "error-code" (type $code (eq $outer-code)))
        (alias outer 1 $socket (type $outer-socket))
        (export "tcp-socket" (type $socket (eq $outer-socket)))
        (export "create-tcp-socket"
            (func (param "address-family" $family) (result (result (own $socket) (error $code)))))))
    (import "wasi:filesystem/types@0.2.3" (instance $files
        (export "descriptor" (type $descriptor (sub resource)))
        (type $code-shape (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist" "file-too-large"
            "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop" "too-many-links"
            "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
            "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty"
            "no-such-device" "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy"
            "cross-device"))
        (export "error-code" (type $code (eq $code-shape)))
        (export "[method]descriptor.symlink-at"
            (func (param "self" (borrow $descriptor)) (param "old-path" string) (param "new-path" string)
                (result (result (error $code)))))))
    (alias export $files "descriptor" (type $descriptor))
    (import "wasi:filesystem/preopens@0.2.3" (instance $preopens
        (alias outer 1 $descriptor (type $outer))
        (export "descriptor" (type $descriptor (eq $outer)))
        (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
"#;

/// Adapted functions: name in the program, the instance they are of, their name there, their core type.
const FUNCTIONS: [(&str, &str, &str, &str); 11] = [
    ("ready", "polls", "[method]pollable.ready", "(param i32) (result i32)"),
    ("poll", "polls", "poll", "(param i32 i32 i32)"),
    ("now", "clocks", "now", "(result i64)"),
    ("sleep", "clocks", "subscribe-duration", "(param i64) (result i32)"),
    ("random", "randoms", "get-random-bytes", "(param i64 i32)"),
    ("write", "streams", "[method]output-stream.write", "(param i32 i32 i32 i32)"),
    ("stdout", "stdout", "get-stdout", "(result i32)"),
    ("exit", "exits", "exit", "(param i32)"),
    ("socket", "sockets", "create-tcp-socket", "(param i32 i32)"),
    ("roots", "preopens", "get-directories", "(param i32)"),
    ("symlink", "files", "[method]descriptor.symlink-at", "(param i32 i32 i32 i32 i32 i32)"),
];

/// What drops handles: name in the program, and the type.
const DROPS: [(&str, &str); 2] = [("drop-pollable", "pollable"), ("drop-output", "output")];

/// Takes from a heap that begins at 64 KiB and is never given back.
pub(crate) const ALLOCATOR: &str = r#"
    (memory (export "memory") 3)
    (global $free (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
        (global.set $free (i32.add (local.get $at) (local.get 3)))
        (block (loop
            (br_if 1 (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
            (drop (memory.grow (i32.const 16)))
            (br 0)))
        (local.get $at))"#;

/// A component whose `run` is `body`; it may name the functions above, and `libc`'s memory is its own.
pub(crate) fn component(allocator: &str, body: &str) -> Vec<u8> {
    let mut lowered = String::new();
    let mut imported = String::new();
    let mut given = String::new();
    for (name, instance, function, ty) in FUNCTIONS {
        lowered += &format!(
            "(alias export ${instance} \"{function}\" (func ${name}))
             (core func ${name} (canon lower (func ${name}) (memory (core memory $libc \"memory\")) (realloc (core func $libc \"realloc\"))))\n"
        );
        imported += &format!("(import \"host\" \"{name}\" (func ${name} {ty}))\n");
        given += &format!("(export \"{name}\" (func ${name}))\n");
    }
    for (name, ty) in DROPS {
        lowered += &format!("(core func ${name} (canon resource.drop ${ty}))\n");
        imported += &format!("(import \"host\" \"{name}\" (func ${name} (param i32)))\n");
        given += &format!("(export \"{name}\" (func ${name}))\n");
    }
    wat::parse_str(format!(
        r#"(component {IMPORTS}
            (core module $libc {allocator})
            (core instance $libc (instantiate $libc))
            {lowered}
            (core module $main {imported}
                (import "libc" "memory" (memory 1))
                {body})
            (core instance $main (instantiate $main
                (with "libc" (instance $libc)) (with "host" (instance {given}))))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $command (export "run" (func $run)))
            (export "wasi:cli/run@0.2.3" (instance $command)))"#
    ))
    .unwrap()
}

/// The component with the usual allocator, ready to run.
pub(crate) fn program(body: &str) -> Module {
    let bytes = component(ALLOCATOR, body);
    Engine::check(&bytes).unwrap_or_else(|error| panic!("{error}\n{body}"));
    ENGINE.prepare(&bytes).unwrap_or_else(|error| panic!("{error}\n{body}"))
}

/// `(func (export "run") (result i32) …)` with `body` in it, and 0 behind: it went well.
pub(crate) fn main(body: &str) -> Module {
    program(&format!(
        r#"(func (export "run") (result i32) (local $n i32) (local $h i32) {body} (i32.const 0))"#
    ))
}

pub(crate) fn job() -> Job {
    let wall = Duration::from_secs(60);
    let limits = Limits { fuel: 100_000_000, memory_bytes: 16 * MIB, output_bytes: MIB, wall };
    Job { seed: [7; 32], epoch_unix_s: 1_700_000_000, limits, ..Job::default() }
}

/// Runs twice, since everything must be the same again, fuel included.
pub(crate) fn run(module: &Module) -> Run {
    let first = module.run(job(), &Cancel::new()).unwrap();
    let second = module.run(job(), &Cancel::new()).unwrap();
    assert_eq!((&first.manifest, &first.blobs), (&second.manifest, &second.blobs));
    assert_eq!(Manifest::parse(first.manifest.encode().as_bytes()).unwrap(), first.manifest);
    first
}

#[track_caller]
pub(crate) fn ends(module: &Module, ended: Ended) -> Run {
    let run = run(module);
    assert_eq!(run.manifest.ended, ended, "{}", run.stderr_tail);
    run
}

pub(crate) fn fails(module: &Module, job: Job) -> RunError {
    module.run(job, &Cancel::new()).unwrap_err()
}

pub(crate) fn stdout(run: &Run) -> &[u8] {
    let Some(entry) = &run.manifest.stdout else { return &[] };
    let (_, bytes) = run.blobs.iter().find(|(digest, _)| *digest == entry.digest).unwrap();
    bytes
}
