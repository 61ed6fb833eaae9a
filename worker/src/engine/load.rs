//! The unsafe lines of the product: machine code from the cache.
#![expect(unsafe_code, reason = "compiling a large module takes seconds; loading it, milliseconds")]

use super::cache::Authentic;
use std::io::Read as _;
use wasmtime::{Engine, Module, component::Component};

/// Loads a module's machine code that this engine wrote.
pub(super) fn module(engine: &Engine, code: Authentic) -> wasmtime::Result<Module> {
    // SAFETY: `deserialize_open_file` must be given what `serialize` returned, and the file must not
    // change while it is mapped. An `Authentic` has passed a MAC under a key that only this user can
    // read and that signs nothing but `serialize`'s output, with the MAC behind it where no section of
    // it reaches. What a process of our own serialized counts as that: see `apart`, through whose pipe
    // nobody else can speak. The engine never writes to a file it has renamed into its private folder.
    unsafe { Module::deserialize_open_file(engine, code.into_file()) }
}

/// Loads a component's machine code that this engine wrote. wasmtime maps open files of modules only, so
/// it is read: the cache has checked this file, not this path.
pub(super) fn component(engine: &Engine, code: Authentic) -> wasmtime::Result<Component> {
    let mut bytes = Vec::new();
    code.into_file().read_to_end(&mut bytes)?;
    // SAFETY: `deserialize` must be given what `serialize` returned: as above.
    unsafe { Component::deserialize(engine, bytes) }
}
