//! Takes a module apart into its code, which is compiled once, and the state it starts from.
//!
//! The code imports its memory and its globals, so that any [`Image`] can be put under it: the one the
//! module came with, or one taken after an interpreter has started and imported what tasks need.
//! Custom sections are left behind. What the code does is the same, and so is its fuel.

use wasmparser::{
    BinaryReaderError, ConstExpr, DataKind, Operator, Parser, Payload, SectionLimited, TypeRef,
};

use super::image::{Global, Image, PAGE_BYTES, Value};
use super::write;
use crate::engine::PrepareError;
use crate::engine::weight::invalid;

/// Sections as the format numbers them.
const IMPORTS: u8 = 2;
const MEMORY: u8 = 5;
const GLOBALS: u8 = 6;
const DATA: u8 = 11;
const DATA_COUNT: u8 = 12;
const CUSTOM: u8 = 0;

/// A module in two.
#[derive(Debug)]
pub(super) struct Split {
    /// A module that imports its memory and globals.
    pub(super) code: Vec<u8>,
    /// What the module itself would start from.
    pub(super) image: Image,
}

/// Takes a module apart. It was not validated: the code will be when it is compiled.
pub(super) fn split(wasm: &[u8]) -> Result<Split, PrepareError> {
    let mut found = Found::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(invalid)?;
        if let Some((id, range)) = payload.as_section() {
            found.sections.push((id, wasm.get(range).unwrap_or_default()));
        }
        found.take(payload)?;
    }
    let image = found.image()?;
    let code = found.code(&image);
    Ok(Split { code, image })
}

/// A module without its custom sections: names and notes of tools, which no run looks at.
pub(in crate::engine) fn without_custom_sections(wasm: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let mut stripped = write::HEADER.to_vec();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(invalid)?.as_section() {
            None | Some((CUSTOM, _)) => {}
            Some((id, range)) => {
                write::section(&mut stripped, id, wasm.get(range).unwrap_or_default());
            }
        }
    }
    Ok(stripped)
}

/// What is read off a module.
#[derive(Default)]
struct Found<'w> {
    sections: Vec<(u8, &'w [u8])>,
    imports: u32,
    pages: Option<u64>,
    maximum: Option<u64>,
    globals: Vec<Global>,
    data: Vec<(usize, &'w [u8])>,
}

impl<'w> Found<'w> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest stays as it is")]
    fn take(&mut self, payload: Payload<'w>) -> Result<(), PrepareError> {
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    if !matches!(import.map_err(invalid)?.ty, TypeRef::Func(_)) {
                        return Err(refuse("it imports something else than functions"));
                    }
                    self.imports += 1;
                }
                Ok(())
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory.map_err(invalid)?;
                    if self.pages.is_some() || memory.memory64 || memory.shared {
                        return Err(refuse("it has another memory than one of 32 bits"));
                    }
                    (self.pages, self.maximum) = (Some(memory.initial), memory.maximum);
                }
                Ok(())
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let global = global.map_err(invalid)?;
                    let value = value(&global.init_expr).map_err(invalid)?;
                    let value = value.ok_or_else(|| refuse("a global is no plain number"))?;
                    self.globals.push(Global { value, mutable: global.ty.mutable });
                }
                Ok(())
            }
            Payload::DataSection(segments) => self.take_data(segments),
            Payload::StartSection { .. } => Err(refuse("it has a start function")),
            _ => Ok(()),
        }
    }

    fn take_data(
        &mut self,
        segments: SectionLimited<'w, wasmparser::Data<'w>>,
    ) -> Result<(), PrepareError> {
        for segment in segments {
            let segment = segment.map_err(invalid)?;
            let DataKind::Active { offset_expr, .. } = &segment.kind else {
                // Tools that take snapshots leave empty segments where there was data before.
                if segment.data.is_empty() {
                    continue;
                }
                return Err(refuse("it has data that its code places"));
            };
            let Some(Value::I32(start)) = value(offset_expr).map_err(invalid)? else {
                return Err(refuse("it has data at no plain address"));
            };
            self.data.push((start.cast_unsigned() as usize, segment.data));
        }
        Ok(())
    }

    /// The memory as it is after all data is placed, later data over earlier.
    fn image(&self) -> Result<Image, PrepareError> {
        let pages = self.pages.ok_or_else(|| refuse("it defines no memory"))?;
        let most = pages.saturating_mul(PAGE_BYTES);
        let ends = self.data.iter().map(|(start, data)| start + data.len());
        let end = ends.max().unwrap_or(0);
        if end as u64 > most {
            return Err(refuse("its data does not fit its memory"));
        }
        let mut bytes = vec![0; end];
        for (start, data) in &self.data {
            bytes[*start..][..data.len()].copy_from_slice(data);
        }
        Ok(Image::new(pages, self.maximum, self.globals.clone(), &bytes))
    }

    /// All sections but those that the image stands for.
    fn code(&self, image: &Image) -> Vec<u8> {
        let mut wasm = write::HEADER.to_vec();
        for (id, content) in &self.sections {
            match *id {
                IMPORTS => write::section(&mut wasm, IMPORTS, &self.with_image(content, image)),
                CUSTOM | MEMORY | GLOBALS | DATA | DATA_COUNT => {}
                id => write::section(&mut wasm, id, content),
            }
        }
        wasm
    }

    /// The imports there were, then those of the image: no number of a function or global changes.
    fn with_image(&self, content: &[u8], image: &Image) -> Vec<u8> {
        let entries = content.iter().position(|byte| byte & 0x80 == 0).map_or(0, |at| at + 1);
        let (count, more) = image.imports();
        let mut imports = Vec::with_capacity(content.len() + more.len());
        write::number(&mut imports, u64::from(self.imports) + count);
        imports.extend_from_slice(&content[entries..]);
        imports.extend_from_slice(&more);
        imports
    }
}

/// A constant's value, if it is one number.
fn value(expr: &ConstExpr<'_>) -> Result<Option<Value>, BinaryReaderError> {
    let mut operators = expr.get_operators_reader();
    #[expect(clippy::wildcard_enum_match_arm, reason = "anything else is refused")]
    let value = match operators.read()? {
        Operator::I32Const { value } => Value::I32(value),
        Operator::I64Const { value } => Value::I64(value),
        _ => return Ok(None),
    };
    let is_all = matches!(operators.read()?, Operator::End);
    Ok(is_all.then_some(value))
}

fn refuse(reason: &str) -> PrepareError {
    PrepareError::Invalid { reason: format!("as a pack's module, {reason}") }
}
