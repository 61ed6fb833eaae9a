//! The state a pack's code starts from: memory and globals, as a module of their own.
//!
//! wasmtime maps such a module's data copy-on-write, so that a start costs the pages that are touched,
//! not the image's size. [`Image::capture`] takes one from an instance at rest.

use wasmtime::{AsContextMut, Instance, Val};

use super::write;
use crate::engine::PrepareError;

/// Bytes of a page of WebAssembly.
pub(super) const PAGE_BYTES: u64 = 65_536;

/// The name the code imports an image by.
pub(super) const IMAGE: &str = "image";
/// And its memory.
pub(super) const MEMORY: &str = "memory";

const I32: u8 = 0x7f;
const I64: u8 = 0x7e;

/// A global and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Global {
    pub(super) value: Value,
    pub(super) mutable: bool,
}

/// A number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    I32(i32),
    I64(i64),
}

/// Memory and globals.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Image {
    pages: u64,
    maximum: Option<u64>,
    globals: Vec<Global>,
    /// Where the memory stops being zero, and what it holds from there on.
    start: usize,
    bytes: Vec<u8>,
}

impl Image {
    /// A memory of so many pages that holds `bytes` and then zeros.
    pub(super) fn new(
        pages: u64,
        maximum: Option<u64>,
        globals: Vec<Global>,
        bytes: &[u8],
    ) -> Self {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let bytes = bytes.get(start..end).unwrap_or_default().to_vec();
        Self { pages, maximum, globals, start, bytes }
    }

    /// What an instance's memory and globals hold now; `image` is the instance that has them.
    pub(super) fn capture(
        &self,
        mut store: impl AsContextMut,
        image: &Instance,
    ) -> Result<Self, PrepareError> {
        let lost = || PrepareError::Invalid { reason: "its image has no memory".to_owned() };
        let memory = image.get_memory(&mut store, MEMORY).ok_or_else(lost)?;
        let mut globals = Vec::with_capacity(self.globals.len());
        for (index, global) in self.globals.iter().enumerate() {
            let now = image.get_global(&mut store, &index.to_string()).ok_or_else(lost)?;
            let value = match (global.value, now.get(&mut store)) {
                (Value::I32(_), Val::I32(value)) => Value::I32(value),
                (Value::I64(_), Val::I64(value)) => Value::I64(value),
                _ => return Err(lost()),
            };
            globals.push(Global { value, ..*global });
        }
        let pages = memory.size(&store);
        Ok(Self::new(pages, self.maximum, globals, memory.data(&store)))
    }

    /// The image as a module that exports all it has.
    pub(super) fn module(&self) -> Vec<u8> {
        let mut wasm = write::HEADER.to_vec();
        let mut memory = vec![1];
        self.limits(&mut memory);
        write::section(&mut wasm, 5, &memory);
        let mut globals = Vec::new();
        write::number(&mut globals, self.globals.len() as u64);
        self.globals.iter().for_each(|global| global.define(&mut globals));
        write::section(&mut wasm, 6, &globals);
        write::section(&mut wasm, 7, &self.exports());
        let mut data = vec![1, 0, 0x41];
        write::signed(&mut data, i64::from((self.start as u32).cast_signed()));
        data.push(0x0b);
        write::number(&mut data, self.bytes.len() as u64);
        data.extend_from_slice(&self.bytes);
        write::section(&mut wasm, 11, &data);
        wasm
    }

    /// How many entries the code's import section gets, and they.
    pub(super) fn imports(&self) -> (u64, Vec<u8>) {
        let mut entries = Vec::new();
        write::name(&mut entries, IMAGE);
        write::name(&mut entries, MEMORY);
        entries.push(2);
        self.limits(&mut entries);
        for (index, global) in self.globals.iter().enumerate() {
            write::name(&mut entries, IMAGE);
            write::name(&mut entries, &index.to_string());
            entries.extend([3, global.value.kind(), u8::from(global.mutable)]);
        }
        (1 + self.globals.len() as u64, entries)
    }

    fn exports(&self) -> Vec<u8> {
        let mut exports = Vec::new();
        write::number(&mut exports, 1 + self.globals.len() as u64);
        write::name(&mut exports, MEMORY);
        exports.extend([2, 0]);
        for index in 0..self.globals.len() {
            write::name(&mut exports, &index.to_string());
            exports.push(3);
            write::number(&mut exports, index as u64);
        }
        exports
    }

    fn limits(&self, wasm: &mut Vec<u8>) {
        wasm.push(u8::from(self.maximum.is_some()));
        write::number(wasm, self.pages);
        if let Some(maximum) = self.maximum {
            write::number(wasm, maximum);
        }
    }
}

impl Global {
    fn define(&self, wasm: &mut Vec<u8>) {
        wasm.extend([self.value.kind(), u8::from(self.mutable)]);
        match self.value {
            Value::I32(value) => {
                wasm.push(0x41);
                write::signed(wasm, i64::from(value));
            }
            Value::I64(value) => {
                wasm.push(0x42);
                write::signed(wasm, value);
            }
        }
        wasm.push(0x0b);
    }
}

impl Value {
    fn kind(self) -> u8 {
        match self {
            Self::I32(_) => I32,
            Self::I64(_) => I64,
        }
    }
}
