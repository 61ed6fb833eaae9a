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

/// How what was weighed becomes machine code that is kept under its key.
pub(super) trait Compile<E> {
    fn compile<C: Code>(
        &self,
        shared: &Shared,
        key: &[u8; 32],
        wasm: &[u8],
        weight: u64,
    ) -> Result<C, E>;
}

/// In this process, where nothing stops it.
pub(super) struct Here;

impl Compile<PrepareError> for Here {
    fn compile<C: Code>(
        &self,
        shared: &Shared,
        key: &[u8; 32],
        wasm: &[u8],
        _weight: u64,
    ) -> Result<C, PrepareError> {
        shared.compile_here(key, wasm)
    }
}

impl Shared {
    /// Machine code from the cache, or compiled from what `wasm` gives and kept under `key`.
    pub(super) fn compiled<'w, C: Code, E: From<PrepareError>>(
        &self,
        key: &[u8; 32],
        scale: Scale,
        wasm: impl FnOnce() -> Result<Cow<'w, [u8]>, E>,
        how: &impl Compile<E>,
    ) -> Result<C, E> {
        if let Some(code) = self.cached(key) {
            return Ok(code);
        }
        let wasm = wasm()?;
        let weight = weight::check(&wasm, scale)?;
        how.compile(self, key, &wasm, weight)
    }

    pub(super) fn compile_here<C: Code>(
        &self,
        key: &[u8; 32],
        wasm: &[u8],
    ) -> Result<C, PrepareError> {
        let code = C::compile(&self.wasmtime, wasm)
            .map_err(|error| PrepareError::Invalid { reason: sentence(&error) })?;
        if let Some(cache) = &self.cache {
            match code.bytes() {
                Ok(bytes) => cache.put(key, &bytes),
                Err(error) => tracing::warn!(%error, "a compiled module cannot be kept"),
            }
        }
        Ok(code)
    }

    pub(super) fn cached<C: Code>(&self, key: &[u8; 32]) -> Option<C> {
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
