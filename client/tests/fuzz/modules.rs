//! Programs: modules and components that a stranger orders are read, weighed and validated by whoever runs them.

use super::harness::{fuzz, said};
use quorate_worker::engine::Engine;

/// The application of the demo.
const MODULE: &[u8] = include_bytes!("../../../deploy/apps/lucas-lehmer/lucas_lehmer.wasm");
/// `(module (func (export "_start")))`.
const SMALL: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

#[test]
fn a_program() {
    fuzz("program", &[SMALL.to_vec(), MODULE.to_vec(), component()], |bytes| {
        said(Engine::check(bytes).is_ok())
    });
}

/// The small module in preview 2's dress.
fn component() -> Vec<u8> {
    const RUN: &[u8] = b"wasi:cli/run@0.2.3";
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    let mut section = |id: u8, parts: &[&[u8]]| {
        let inside = parts.concat();
        bytes.extend([id, inside.len() as u8]);
        bytes.extend(inside);
    };
    section(1, &[SMALL]);
    // An instance of nothing, exported as what commands export.
    section(5, &[&[1, 1, 0]]);
    section(11, &[&[1, 0, RUN.len() as u8], RUN, &[5, 0, 0]]);
    bytes
}
