//! The one unsafe line of the product: machine code from the cache.
#![expect(unsafe_code, reason = "compiling a large module takes seconds; loading it, milliseconds")]

use super::cache::Authentic;

/// Loads machine code that this engine wrote.
pub(super) fn trusted(
    engine: &wasmtime::Engine,
    code: &Authentic,
) -> wasmtime::Result<wasmtime::Module> {
    // SAFETY: `deserialize` must be given what `serialize` returned. An `Authentic` has passed a
    // MAC under a key that only this user can read and that signs nothing but `serialize`'s output.
    unsafe { wasmtime::Module::deserialize(engine, code.bytes()) }
}
