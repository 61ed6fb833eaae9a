//! A module in preview 2's dress: what `wasm-tools component new --adapt` makes of it.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

/// The module with the adapter that turns its calls of preview 1 into those of preview 2.
pub(crate) fn dressed(module: &[u8]) -> Vec<u8> {
    let name = WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
    let encoder = ComponentEncoder::default().validate(true).module(module).expect("a module");
    let mut encoder =
        encoder.adapter(name, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER).expect("an adapter");
    encoder.encode().expect("a component")
}
