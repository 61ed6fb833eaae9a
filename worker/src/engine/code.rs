//! Machine code of a module or component: from the cache, or compiled and kept there.

use super::cache::Authentic;
use super::weight::{self, Scale};
use super::{PrepareError, Shared, load, sentence};
use std::borrow::Cow;
use wasmtime::{Engine, Module, component::Component};

/// What wasmtime compiles to.
pub(super) trait Code: Sized {
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self>;
    /// What [`Code::load`] takes back.
    fn bytes(&self) -> wasmtime::Result<Vec<u8>>;
    /// Fails for another engine's code, and for code of another kind.
    fn load(engine: &Engine, code: Authentic) -> wasmtime::Result<Self>;
}

impl Code for Module {
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self> {
        Self::from_binary(engine, wasm)
    }

    fn bytes(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    fn load(engine: &Engine, code: Authentic) -> wasmtime::Result<Self> {
        load::module(engine, code)
    }
}

impl Code for Component {
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self> {
        Self::from_binary(engine, wasm)
    }

    fn bytes(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    fn load(engine: &Engine, code: Authentic) -> wasmtime::Result<Self> {
        load::component(engine, code)
    }
}

impl Shared {
    /// Machine code from the cache, or compiled from what `wasm` gives and kept under `key`.
    pub(super) fn compiled<'w, C: Code, E: From<PrepareError>>(
        &self,
        key: &[u8; 32],
        scale: Scale,
        wasm: impl FnOnce() -> Result<Cow<'w, [u8]>, E>,
    ) -> Result<C, E> {
        if let Some(code) = self.cached(key) {
            return Ok(code);
        }
        let wasm = wasm()?;
        weight::check(&wasm, scale)?;
        let code = C::compile(&self.wasmtime, &wasm)
            .map_err(|error| PrepareError::Invalid { reason: sentence(&error) })?;
        if let Some(cache) = &self.cache {
            match code.bytes() {
                Ok(bytes) => cache.put(key, &bytes),
                Err(error) => tracing::warn!(%error, "a compiled module cannot be kept"),
            }
        }
        Ok(code)
    }

    fn cached<C: Code>(&self, key: &[u8; 32]) -> Option<C> {
        let code = self.cache.as_ref()?.get(key)?;
        match C::load(&self.wasmtime, code) {
            Ok(code) => Some(code),
            Err(error) => {
                tracing::warn!(%error, "a cached module is of another engine");
                None
            }
        }
    }
}
