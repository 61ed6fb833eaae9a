//! What a module imports and where it begins, read without compiling it: so that a requester hears
//! in milliseconds what every worker would say. Types of imports are left to the linker.

use super::{PrepareError, quoted, wasi, weight::invalid};
use wasmparser::{CompositeInnerType, ExternalKind, Parser, Payload, TypeRef};

/// Refuses a module that imports what no task gets, or is no program. It is valid already.
pub(super) fn check(wasm: &[u8]) -> Result<(), PrepareError> {
    // Whether the type with that index is of a function without parameters and results.
    let mut bare = Vec::new();
    let mut functions = Vec::new();
    let mut start = None;
    for payload in Parser::new(0).parse_all(wasm) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is the validator's")]
        match payload.map_err(invalid)? {
            Payload::TypeSection(types) => {
                for group in types {
                    for ty in group.map_err(invalid)?.into_types() {
                        let inner = ty.composite_type.inner;
                        bare.push(matches!(inner, CompositeInnerType::Func(ty)
                            if ty.params().is_empty() && ty.results().is_empty()));
                    }
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(invalid)?;
                    let TypeRef::Func(ty) = import.ty else {
                        return Err(strange(import.module, import.name));
                    };
                    if import.module != wasi::MODULE || !wasi::offers(import.name) {
                        return Err(strange(import.module, import.name));
                    }
                    functions.push(ty);
                }
            }
            Payload::FunctionSection(types) => {
                for ty in types {
                    functions.push(ty.map_err(invalid)?);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(invalid)?;
                    if export.name == "_start" && export.kind == ExternalKind::Func {
                        start = Some(export.index);
                    }
                }
            }
            _ => {}
        }
    }
    let ty = start.and_then(|start| functions.get(start as usize));
    let is_bare = ty.and_then(|ty| bare.get(*ty as usize));
    if is_bare == Some(&true) { Ok(()) } else { Err(PrepareError::NoStart) }
}

fn strange(module: &str, name: &str) -> PrepareError {
    PrepareError::Import { module: quoted(module), name: quoted(name) }
}
