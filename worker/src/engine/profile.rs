//! How wasmtime is set up, and the hash that names it.
//!
//! Everything that could make two machines differ is off. Whoever changes a line here, a limit
//! that a guest can feel, a fuel price or a function of the host changes what tasks result in,
//! and must change [`DESCRIPTION`] too.

use sha2::{Digest as _, Sha256};
use wasmtime::{
    Collector, Config, Inlining, OptLevel, Strategy, WasmBacktraceDetails, WasmFeatures,
};

/// Bytes of machine stack a guest gets. C keeps its arrays in linear memory, so a megabyte is
/// some ten thousand nested calls. Overflow is never voted on: frames differ between machines.
pub const STACK_BYTES: usize = 1 << 20;

/// Bytes of machine stack a runtime pack's guest gets: CPython nests its own calls as deep as its memory
/// lets it, and gives up by itself before this is used up.
pub(super) const PACK_STACK_BYTES: usize = 8 << 20;

/// What [`hash`] hashes. The version is that in `Cargo.lock`: fuel prices may change with it.
const DESCRIPTION: &str = "quorate-engine/1
wasmtime 48.0.8 cranelift
fuel default-costs
nan canonical
wasm 2.0 extended-const tail-call
host wasi_snapshot_preview1/1
pack wasi-python/1 exceptions
weight 2
component wasi-0.2/2
";

/// The deterministic profile.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config
        // Not Winch: three of its advisories of 2026 were escapes.
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .compiler_inlining(Inlining::No)
        .parallel_compilation(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(STACK_BYTES)
        // One reservation that never moves, so that growth is decided by the meter alone.
        .memory_may_move(false)
        .memory_init_cow(true)
        .wasm_backtrace_max_frames(None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.wasm_features(WasmFeatures::all(), false).wasm_features(features(), true);
    config.wasm_component_model(true);
    config
}

/// The same profile for runtime packs: C++ throws exceptions, and an interpreter needs a deep stack.
/// Nothing else differs, so that a pack's fuel is counted as any other program's.
pub(super) fn pack_config() -> Config {
    let mut config = config();
    // Nothing here is asynchronous, but wasmtime wants that stack to be no smaller.
    config.async_stack_size(PACK_STACK_BYTES).max_wasm_stack(PACK_STACK_BYTES);
    // An exception is an object that is collected, when its last reference goes, by counting.
    let exceptions = WasmFeatures::EXCEPTIONS | WasmFeatures::GC_TYPES;
    config.wasm_features(exceptions, true).collector(Collector::DeferredReferenceCounting);
    config
}

/// WebAssembly 2.0 and what compilers add to it. Named one by one, so that a new wasmtime does
/// not bring a new feature unseen: threads, relaxed SIMD, 64-bit and multiple memories, garbage
/// collection, exceptions are off with all that is to come.
fn features() -> WasmFeatures {
    let features = WasmFeatures::WASM2 | WasmFeatures::EXTENDED_CONST | WasmFeatures::TAIL_CALL;
    // `externref` needs a collector, which is not compiled in; tables of functions do not.
    features - WasmFeatures::GC_TYPES
}

/// What components and the modules in them may use, for whoever only looks: the same, and components.
pub(super) fn features_of_components() -> wasmparser::WasmFeatures {
    use wasmparser::WasmFeatures;
    let features = WasmFeatures::WASM2 | WasmFeatures::EXTENDED_CONST | WasmFeatures::TAIL_CALL;
    (features | WasmFeatures::COMPONENT_MODEL) - WasmFeatures::GC_TYPES
}

/// sha256 of [`DESCRIPTION`].
pub(super) fn hash() -> [u8; 32] {
    Sha256::digest(DESCRIPTION).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lock file of the workspace decides which wasmtime is linked.
    const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));

    #[test]
    fn the_description_names_the_wasmtime_that_is_linked() {
        let (_, entry) = LOCK.split_once("name = \"wasmtime\"\n").expect("wasmtime is locked");
        let version = entry.lines().next().expect("a version follows the name");
        let version = version.trim_start_matches("version = ").trim_matches('"');
        assert!(DESCRIPTION.contains(&format!("wasmtime {version} ")), "{version} is linked");
    }
}
