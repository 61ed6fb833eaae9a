//! The WASM engine from outside: what programs result in, and that it is always the same.
//!
//! Programs are WebAssembly text, so that a test shows all there is to it; [`programs`] runs what
//! compilers made, the committed Lucas-Lehmer application over its default input among them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "wasm/cache.rs"]
mod cache;
#[path = "wasm/ends.rs"]
mod ends;
#[path = "wasm/limits.rs"]
mod limits;
#[path = "wasm/programs.rs"]
mod programs;
#[path = "wasm/refusals.rs"]
mod refusals;
#[path = "wasm/rig.rs"]
mod rig;
#[path = "wasm/world.rs"]
mod world;
