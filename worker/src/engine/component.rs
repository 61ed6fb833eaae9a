//! What a component must look like to be a task: one program for preview 2 (`wasi:cli/run`), of as many core modules as
//! its toolchain made, that imports nothing but interfaces this worker has.
//!
//! Its form is looked at first, without validating it: what comes after (weighing, validating, compiling) is then
//! linear in its bytes. So there are no programs in components of their own, which could multiply each other, pass
//! each other lists without fuel, and need glue that is compiled for every pair; and no resources of its own.
//! Components inside are what toolchains put around an export: types and names, no code.

use super::meter::{INSTANCES_MAX, MEMORIES_MAX};
use super::wasi::preview2;
use super::{PrepareError, quoted, weight::invalid};
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, ComponentTypeRef, Encoding, Instance,
    InstanceTypeDeclaration, Parser, Payload, Validator, WasmFeatures,
};
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex};

/// What a command exports, whatever release of preview 2 it is for.
const RUN: &str = "wasi:cli/run@0.2.";
/// The same for looking it up, which takes any release of 0.2.
const RUN_ANY: &str = "wasi:cli/run@0.2.0";

/// Types, aliases, instances, imports, exports and adapted functions of a component. A C program with its adapter
/// has some 400; each costs microseconds, and the types of functions may be large.
const ITEMS_MAX: usize = 20_000;

/// Components around exports; each is gone through whenever it is instantiated.
const SHELLS_MAX: usize = 64;

/// Types written inside of each other in one section: as many as may be valid. Whoever reads one goes into all of
/// them before anybody counts, and a megabyte of them is more than a stack holds.
const NESTED_TYPES_MAX: usize = 100;

/// What was found so far.
#[derive(Default)]
struct Form {
    /// Where this place lies, from the outside in.
    inside: Vec<Encoding>,
    /// Memories that each core module of the component makes.
    memories_of: Vec<usize>,
    instances: usize,
    memories: usize,
    shells: usize,
    items: usize,
    runs: bool,
}

pub(super) fn is_component(wasm: &[u8]) -> bool {
    Parser::is_component(wasm)
}

/// Refuses what is no such program.
pub(super) fn check_form(wasm: &[u8]) -> Result<(), PrepareError> {
    let mut form = Form::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(invalid)?;
        if let Payload::ComponentTypeSection(types) = &payload {
            check_nesting(wasm.get(types.range()).unwrap_or_default())?;
        }
        form.look(&payload)?;
    }
    if form.runs { Ok(()) } else { Err(refused("exports no wasi:cli/run@0.2, expected a command")) }
}

/// Each type of a component or instance within another begins with these two bytes, which seldom mean anything
/// else: a section that has more of them than types may nest is refused unread.
fn check_nesting(section: &[u8]) -> Result<(), PrepareError> {
    const DECLARED_TYPE: u8 = 0x01;
    const COMPONENT_TYPE: u8 = 0x41;
    const INSTANCE_TYPE: u8 = 0x42;
    let begins = |pair: &&[u8]| matches!(pair, [DECLARED_TYPE, COMPONENT_TYPE | INSTANCE_TYPE]);
    let found = section.windows(2).filter(begins).count();
    limited("types within types in one section", found, NESTED_TYPES_MAX)
}

/// Refuses a component that is not valid; its form was checked, and it was weighed.
pub(super) fn validate(wasm: &[u8], features: WasmFeatures) -> Result<(), PrepareError> {
    Validator::new_with_features(features).validate_all(wasm).map(drop).map_err(invalid)
}

/// The function to call, or why there is none.
pub(super) fn run_of(component: &Component) -> Result<ComponentExportIndex, PrepareError> {
    let instance = component.get_export_index(None, RUN_ANY);
    let run = instance.and_then(|instance| component.get_export(Some(&instance), "run"));
    match run {
        Some((ComponentItem::ComponentFunc(ty), index))
            if ty.params().len() == 0 && ty.results().all(|ty| is_bare_result(&ty)) =>
        {
            Ok(index)
        }
        _ => Err(refused("exports a wasi:cli/run without run: func() -> result")),
    }
}

fn is_bare_result(ty: &Type) -> bool {
    matches!(ty, Type::Result(ty) if ty.ok().is_none() && ty.err().is_none())
}

impl Form {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is inside of modules is weighed")]
    fn look(&mut self, payload: &Payload<'_>) -> Result<(), PrepareError> {
        match payload {
            Payload::Version { encoding, range, .. } => self.enter(*encoding, range.start),
            Payload::End(_) => {
                self.inside.pop();
                Ok(())
            }
            Payload::MemorySection(memories) => {
                if let Some(last) = self.memories_of.last_mut() {
                    *last += memories.count() as usize;
                }
                Ok(())
            }
            _ if self.inside.last() != Some(&Encoding::Component) => Ok(()),
            _ if self.inside.len() == 1 => self.look_outside(payload),
            _ => self.look_at_a_shell(payload),
        }
    }

    fn enter(&mut self, encoding: Encoding, at: usize) -> Result<(), PrepareError> {
        match (&self.inside[..], encoding) {
            ([], Encoding::Component) => {}
            ([], Encoding::Module) => {
                return Err(refused(&format!("begins no component at byte {at}")));
            }
            ([_], Encoding::Module) => self.memories_of.push(0),
            ([_], Encoding::Component) => {}
            _ => return Err(nested()),
        }
        self.inside.push(encoding);
        Ok(())
    }

    /// A section of the component itself.
    #[expect(clippy::wildcard_enum_match_arm, reason = "names and the like")]
    fn look_outside(&mut self, payload: &Payload<'_>) -> Result<(), PrepareError> {
        match payload {
            Payload::ComponentImportSection(imports) => {
                self.add(imports.count())?;
                for import in imports.clone() {
                    let import = import.map_err(invalid)?;
                    check_import(import.name.name, import.ty)?;
                }
                Ok(())
            }
            Payload::ComponentExportSection(exports) => {
                self.add(exports.count())?;
                for export in exports.clone() {
                    let export = export.map_err(invalid)?;
                    let is_run = export.name.name.starts_with(RUN);
                    self.runs |= is_run && export.kind == ComponentExternalKind::Instance;
                }
                Ok(())
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    self.core_instance(&instance.map_err(invalid)?)?;
                }
                Ok(())
            }
            Payload::ComponentCanonicalSection(functions) => {
                self.add(functions.count())?;
                for function in functions.clone() {
                    check_function(&function.map_err(invalid)?)?;
                }
                Ok(())
            }
            _ => self.look_at_glue(payload),
        }
    }

    /// A section of a component inside: it may have no code.
    fn look_at_a_shell(&mut self, payload: &Payload<'_>) -> Result<(), PrepareError> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is judged as outside")]
        match payload {
            Payload::InstanceSection(_) | Payload::ComponentCanonicalSection(_) => Err(nested()),
            Payload::ComponentImportSection(imports) => self.add(imports.count()),
            Payload::ComponentExportSection(exports) => self.add(exports.count()),
            _ => self.look_at_glue(payload),
        }
    }

    /// What may stand anywhere: types, and names for what is there.
    #[expect(clippy::wildcard_enum_match_arm, reason = "names and the like")]
    fn look_at_glue(&mut self, payload: &Payload<'_>) -> Result<(), PrepareError> {
        match payload {
            Payload::ComponentTypeSection(types) => {
                for ty in types.clone() {
                    self.ty(&ty.map_err(invalid)?)?;
                }
                Ok(())
            }
            Payload::CoreTypeSection(types) => self.add(types.count()),
            Payload::ComponentAliasSection(aliases) => {
                self.add(aliases.count())?;
                for alias in aliases.clone() {
                    check_alias(&alias.map_err(invalid)?)?;
                }
                Ok(())
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.clone() {
                    self.instance(&instance.map_err(invalid)?)?;
                }
                Ok(())
            }
            Payload::ComponentStartSection { .. } => Err(refused("has a start function")),
            _ => Ok(()),
        }
    }

    fn core_instance(&mut self, instance: &Instance<'_>) -> Result<(), PrepareError> {
        match instance {
            Instance::FromExports(exports) => self.add(exports.len() as u32 + 1),
            Instance::Instantiate { module_index, args } => {
                self.instances += 1;
                let index = *module_index as usize;
                self.memories += self.memories_of.get(index).copied().unwrap_or(0);
                limited("instances of modules", self.instances, INSTANCES_MAX)?;
                limited("memories", self.memories, MEMORIES_MAX)?;
                self.add(args.len() as u32 + 1)
            }
        }
    }

    fn instance(&mut self, instance: &ComponentInstance<'_>) -> Result<(), PrepareError> {
        match instance {
            ComponentInstance::FromExports(exports) => self.add(exports.len() as u32 + 1),
            ComponentInstance::Instantiate { args, .. } => {
                self.shells += 1;
                limited("instances of components", self.shells, SHELLS_MAX)?;
                self.add(args.len() as u32 + 1)
            }
        }
    }

    fn ty(&mut self, ty: &ComponentType<'_>) -> Result<(), PrepareError> {
        match ty {
            ComponentType::Resource { .. } => Err(refused("has resources of its own")),
            ComponentType::Component(_) => Err(nested()),
            ComponentType::Instance(declarations) => {
                self.add(declarations.len() as u32 + 1)?;
                declarations.iter().try_for_each(|declaration| match declaration {
                    InstanceTypeDeclaration::Type(ty) => self.ty(ty),
                    InstanceTypeDeclaration::CoreType(_)
                    | InstanceTypeDeclaration::Alias(_)
                    | InstanceTypeDeclaration::Export { .. } => Ok(()),
                })
            }
            ComponentType::Func(ty) => self.add(ty.params.len() as u32 + 1),
            ComponentType::Defined(_) => self.add(1),
        }
    }

    fn add(&mut self, items: u32) -> Result<(), PrepareError> {
        self.items = self.items.saturating_add(items as usize);
        limited("types, aliases, instances, imports, exports and functions", self.items, ITEMS_MAX)
    }
}

fn check_import(name: &str, ty: ComponentTypeRef) -> Result<(), PrepareError> {
    if matches!(ty, ComponentTypeRef::Instance(_)) && preview2::offers(name) {
        return Ok(());
    }
    Err(refused(&format!(
        "imports {}, expected interfaces of wasi:cli, clocks, filesystem, io, random or sockets, 0.2",
        quoted(name)
    )))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "threads, streams, futures and more to come")]
fn check_function(function: &CanonicalFunction) -> Result<(), PrepareError> {
    match function {
        CanonicalFunction::Lift { .. }
        | CanonicalFunction::Lower { .. }
        | CanonicalFunction::ResourceDrop { .. } => Ok(()),
        _ => Err(refused("needs more of its host than calls and handles")),
    }
}

/// Modules and components are used where they stand, so that it is known how often.
fn check_alias(alias: &ComponentAlias<'_>) -> Result<(), PrepareError> {
    match alias {
        ComponentAlias::Outer { kind, .. } => match kind {
            ComponentOuterAliasKind::Type | ComponentOuterAliasKind::CoreType => Ok(()),
            ComponentOuterAliasKind::CoreModule | ComponentOuterAliasKind::Component => {
                Err(nested())
            }
        },
        ComponentAlias::InstanceExport { kind, .. } => match kind {
            ComponentExternalKind::Module | ComponentExternalKind::Component => Err(nested()),
            ComponentExternalKind::Func
            | ComponentExternalKind::Value
            | ComponentExternalKind::Type
            | ComponentExternalKind::Instance => Ok(()),
        },
        ComponentAlias::CoreInstanceExport { .. } => Ok(()),
    }
}

fn limited(what: &str, found: usize, max: usize) -> Result<(), PrepareError> {
    if found <= max {
        return Ok(());
    }
    Err(refused(&format!("has {found} {what} or more, expected at most {max}")))
}

fn nested() -> PrepareError {
    refused(
        "has code or types in components of its own, expected one program (link it as one, instead of composing it)",
    )
}

fn refused(reason: &str) -> PrepareError {
    PrepareError::Component { reason: reason.to_owned() }
}
