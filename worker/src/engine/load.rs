//! The one unsafe line of the product: machine code from the cache.
#![expect(unsafe_code, reason = "compiling a large module takes seconds; loading it, milliseconds")]

use super::cache::Authentic;

/// Loads machine code that this engine wrote.
pub(super) fn trusted(
    engine: &wasmtime::Engine,
    code: Authentic,
) -> wasmtime::Result<wasmtime::Module> {
    // SAFETY: `deserialize_open_file` must be given what `serialize` returned, and the file must not
    // change while it is mapped. An `Authentic` has passed a MAC under a key that only this user can
    // read and that signs nothing but `serialize`'s output, with the MAC behind it where no section of
    // it reaches. The engine never writes to a file it has renamed into its private folder.
    unsafe { wasmtime::Module::deserialize_open_file(engine, code.into_file()) }
}
