//! Components: preview 2's dress of a program for preview 1, as `wasm-tools component new --adapt` and the tools
//! around it put on. The program inside is run, over the same files, clock and randomness as any other, with
//! the same fuel: the adapter beside it would only translate calls there and back.
//!
//! Absent: programs that call preview 2's interfaces themselves. Their imports are refused by name.

use super::{PrepareError, quoted, weight::invalid};
use std::ops::Range;
use wasmparser::{
    ComponentExternalKind, Encoding, Export, ExternalKind, Parser, Payload, SectionLimited,
};

/// Packages whose interfaces an adapter may want: what preview 1 has is made of them.
const PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];
/// What a command exports, whatever release of preview 2 it is for.
const RUN: &str = "wasi:cli/run@0.2.";

/// What a component has that matters here.
#[derive(Default)]
struct Outline {
    /// Its own modules; those of components inside of it are not its own.
    modules: Vec<Range<usize>>,
    runs: bool,
}

/// The program in `wasm`: itself, unless it is a component.
pub(super) fn program(wasm: &[u8]) -> Result<&[u8], PrepareError> {
    if !Parser::is_component(wasm) {
        return Ok(wasm);
    }
    let Outline { modules, runs } = outline(wasm)?;
    if !runs {
        return Err(refused("exports no wasi:cli/run@0.2, expected a command"));
    }
    let mut programs = Vec::new();
    for range in modules {
        let module = wasm.get(range).ok_or_else(|| refused("is cut short"))?;
        if is_program(module)? {
            programs.push(module);
        }
    }
    match programs[..] {
        [program] => Ok(program),
        _ => Err(refused(&format!(
            "has {} modules with a function _start, expected one (a program for preview 1 and its adapter)",
            programs.len()
        ))),
    }
}

fn outline(wasm: &[u8]) -> Result<Outline, PrepareError> {
    let mut outline = Outline::default();
    // How deep this place lies: the component itself is 1.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "how it is put together is its own affair"
        )]
        match payload.map_err(invalid)? {
            Payload::Version { encoding, range, .. } => {
                depth += 1;
                if depth == 1 && encoding != Encoding::Component {
                    return Err(refused(&format!("begins no component at byte {}", range.start)));
                }
            }
            Payload::End(_) => depth -= 1,
            Payload::ModuleSection { unchecked_range, .. } if depth == 1 => {
                outline.modules.push(unchecked_range);
            }
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    check_import(import.map_err(invalid)?.name.name)?;
                }
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    let export = export.map_err(invalid)?;
                    let is_run = export.name.name.starts_with(RUN);
                    outline.runs |= is_run && export.kind == ComponentExternalKind::Instance;
                }
            }
            _ => {}
        }
    }
    Ok(outline)
}

fn check_import(name: &str) -> Result<(), PrepareError> {
    let package = name.strip_prefix("wasi:").and_then(|rest| rest.split_once('/'));
    match package {
        Some((package, rest)) if PACKAGES.contains(&package) && rest.contains("@0.2.") => Ok(()),
        _ => Err(refused(&format!(
            "imports {}, expected interfaces of wasi:cli, clocks, filesystem, io, random or sockets, 0.2",
            quoted(name)
        ))),
    }
}

/// Whether a module exports a function of this name; what it is like is looked at with the module.
fn is_program(module: &[u8]) -> Result<bool, PrepareError> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ExportSection(exports) = payload.map_err(invalid)? {
            return has_start(exports);
        }
    }
    Ok(false)
}

fn has_start(exports: SectionLimited<'_, Export<'_>>) -> Result<bool, PrepareError> {
    for export in exports {
        let export = export.map_err(invalid)?;
        if export.name == "_start" && export.kind == ExternalKind::Func {
            return Ok(true);
        }
    }
    Ok(false)
}

fn refused(reason: &str) -> PrepareError {
    PrepareError::Component { reason: reason.to_owned() }
}
