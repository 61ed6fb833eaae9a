//! What a component can be made to do besides: what it holds of its host, the lists it passes, and an allocator of
//! its own that the host calls in the middle of a call.

use crate::{
    fate::{
        Fate::{self, Ends, GivenUp},
        Hostile, Work,
    },
    frame::{ALLOCATOR, component},
};
use quorate_common::{
    manifest::{
        Ended::{Fuel, Module, Trap},
        TrapKind::ComponentRules,
    },
    wire::GiveUpReason::{Deadline, Stack},
};

/// Programs with the usual allocator: name, what is in `run`, fate.
const PROGRAMS: [(&str, &str, Fate); 8] = [
    (
        "component: handles without end",
        "(loop (drop (call $stdout)) (br 0))",
        Ends(Trap(ComponentRules)),
    ),
    (
        "component: a handle dropped twice",
        "(local.set $h (call $stdout)) (call $drop-output (local.get $h)) (call $drop-output (local.get $h))",
        Ends(Trap(ComponentRules)),
    ),
    (
        "component: a list of 4 GiB",
        "(call $write (call $stdout) (i32.const 0) (i32.const -1) (i32.const 64))",
        Ends(Trap(ComponentRules)),
    ),
    (
        "component: randomness without end",
        "(loop (call $random (i64.const 1048576) (i32.const 64)) (br 0))",
        Ends(Fuel),
    ),
    (
        "component: sleeps without end",
        "(i32.store (i32.const 0) (call $sleep (i64.const 3600000000000)))
         (loop (call $poll (i32.const 0) (i32.const 1) (i32.const 64)) (br 0))",
        Ends(Fuel),
    ),
    (
        "component: long paths without end",
        "(call $roots (i32.const 64))
         (loop (call $symlink (i32.load (i32.load (i32.const 64))) (i32.const 0) (i32.const 190000)
            (i32.const 0) (i32.const 190000) (i32.const 80)) (br 0))",
        Ends(Fuel),
    ),
    (
        "component: breaks a rule before it begins",
        "(i32.const 0) (return)) (start $begin) (func $begin (call $drop-output (i32.const 7))) (func (result i32)",
        Ends(Trap(ComponentRules)),
    ),
    ("component: time bomb", "(loop (drop (call $now)) (br 0))", GivenUp(Deadline)),
];

/// Allocators, called for the answer to a call: name, what `realloc` does, fate.
const ALLOCATORS: [(&str, &str, Fate); 3] = [
    ("component: an allocator that recurses", "(call $deep)", GivenUp(Stack)),
    (
        "component: an allocator that never returns",
        "(loop (br 0)) (i32.const 0)",
        GivenUp(Deadline),
    ),
    ("component: an allocator that lies", "(i32.const -16)", Ends(Trap(ComponentRules))),
];

/// A program inside of a program.
const COMPOSED: &str = r#"(component (component (core module (func (export "run")))))"#;

/// All of them.
pub(crate) fn programs() -> Vec<Hostile> {
    let hostile = |name, module, fate| Hostile { name, work: Work::Module(module), fate };
    let programs = PROGRAMS.into_iter().map(|(name, inside, fate)| {
        let run =
            format!(r#"(func (export "run") (result i32) (local $h i32) {inside} (i32.const 0))"#);
        hostile(name, component(ALLOCATOR, &run), fate)
    });
    let allocators = ALLOCATORS.into_iter().map(|(name, inside, fate)| {
        let allocator = format!(
            r#"(memory (export "memory") 3) (func $deep (result i32) (i32.add (call $deep) (call $deep)))
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) {inside})"#
        );
        let run = r#"(func (export "run") (result i32)
            (call $random (i64.const 40) (i32.const 64)) (i32.const 0))"#;
        hostile(name, component(&allocator, run), fate)
    });
    let composed = wat::parse_str(COMPOSED).expect("text");
    let composed = hostile("component: a program in a program", composed, Ends(Module));
    programs.chain(allocators).chain([composed]).collect()
}
