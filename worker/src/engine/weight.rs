//! How much work a module is to compile, known before compiling it.
//!
//! A compiler has no fuel, and a hundred kilobytes of nested loops make it take minutes, for which it is stopped
//! on one machine and not on another. So a module is weighed first: every instruction by its bytes and the values alive there,
//! every block by how deep it lies, every type and import by what calling it takes. What was measured
//! of each kind of bomb is in `worker/docs/wasm.md`, the bombs are in `tests/hostile/binary.rs`. Whether a module is valid is
//! for wasmtime to judge: the validator here only knows how many values there are.

use wasmparser::{
    CompositeInnerType, FuncToValidate, FuncValidator, FuncValidatorAllocations, FunctionBody,
    ImportSectionReader, Operator, Parser, Payload, TypeRef, TypeSectionReader, ValidPayload,
    Validator, ValidatorResources, WasmFeatures,
};

use super::{PrepareError, profile};

/// Weight of one function: some five seconds of a core and some hundred megabytes at worst. CPython's
/// interpreter loop, among the largest functions there are, has a third of it.
const FUNCTION_WEIGHT_MAX: u64 = 1 << 28;

/// Weight of a whole module: two minutes of a core and two gigabytes at worst. CPython as a whole has
/// about a third of it.
const MODULE_WEIGHT_MAX: u64 = 1 << 33;

/// The same for the code of a runtime pack: CPython with NumPy, SciPy and scikit-learn inside has two
/// fifths of it, and takes five minutes of a core. A pack is signed and compiled once.
const PACK_WEIGHT_MAX: u64 = 1 << 36;

/// How much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// One order's own program.
    Command,
    /// A runtime that many orders share.
    Pack,
}

impl Scale {
    const fn weight_max(self) -> u64 {
        match self {
            Self::Command => MODULE_WEIGHT_MAX,
            Self::Pack => PACK_WEIGHT_MAX,
        }
    }

    /// The settings it is compiled with.
    pub(super) fn config(self) -> wasmtime::Config {
        match self {
            Self::Command => profile::config(),
            Self::Pack => profile::pack_config(),
        }
    }
}

/// What a function weighs before its first byte and its first local: an empty one still takes the
/// compiler a fraction of a millisecond and several kilobytes, twice that if a table names it, and a
/// module may have a million.
const BYTES_MIN: u64 = 4_096;
const VALUES_MIN: u64 = 16;

/// What a parameter or result weighs in a type, in bytes of code: every type gets code that calls it.
const TYPE_VALUE_BYTES: u64 = 16;

/// What a value costs that depends on the way by which a place was reached, for each block around it.
const MERGE_WEIGHT: u64 = 16;

/// Targets that the compiler takes in one jump table; what has more is refused there.
const TARGETS_MAX: u32 = 65_520;

/// What was put on the scales so far.
struct Scales {
    scale: Scale,
    /// Parameters and results of the type that has most. Blocks may have as many results.
    arity: u64,
    functions: u64,
    total: u64,
}

/// Refuses a module that is too much work, and says what any other weighs.
pub(super) fn check(wasm: &[u8], scale: Scale) -> Result<u64, PrepareError> {
    let mut scales = Scales { scale, arity: 0, functions: 0, total: 0 };
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut room = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(invalid)?;
        // Weighed before the validator looks, which takes its time for the same reasons.
        #[expect(clippy::wildcard_enum_match_arm, reason = "what is not code weighs nothing")]
        match &payload {
            Payload::TypeSection(types) => scales.types(types.clone())?,
            Payload::ImportSection(imports) => scales.imports(imports.clone())?,
            _ => {}
        }
        if let ValidPayload::Func(function, body) = validator.payload(&payload).map_err(invalid)? {
            room = scales.function(function, &body, room)?;
        }
    }
    Ok(scales.total)
}

impl Scales {
    fn types(&mut self, types: TypeSectionReader<'_>) -> Result<(), PrepareError> {
        for group in types {
            for ty in group.map_err(invalid)?.into_types() {
                if let CompositeInnerType::Func(ty) = &ty.composite_type.inner {
                    let arity = (ty.params().len() + ty.results().len()) as u64;
                    self.arity = self.arity.max(arity);
                    self.add(bare(TYPE_VALUE_BYTES * arity, arity))?;
                }
            }
        }
        Ok(())
    }

    fn imports(&mut self, imports: ImportSectionReader<'_>) -> Result<(), PrepareError> {
        for import in imports.into_imports() {
            if let TypeRef::Func(_) | TypeRef::FuncExact(_) = import.map_err(invalid)?.ty {
                self.add(bare(0, self.arity))?;
            }
        }
        Ok(())
    }

    fn function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
        room: FuncValidatorAllocations,
    ) -> Result<FuncValidatorAllocations, PrepareError> {
        let mut weigher = Weigher {
            function: function.into_validator(room),
            name: self.functions,
            weight: bare(0, self.arity),
            arity: self.arity,
            locals: 0,
            open: Vec::new(),
            loops: 0,
        };
        weigher.weigh(body)?;
        self.functions += 1;
        self.add(weigher.weight)?;
        Ok(weigher.function.into_allocations())
    }

    fn add(&mut self, weight: u64) -> Result<(), PrepareError> {
        self.total = self.total.saturating_add(weight);
        check_weight(|| "the module".to_owned(), self.total, self.scale.weight_max())
    }
}

/// What a function, import or type weighs that has only so many bytes and values.
const fn bare(bytes: u64, values: u64) -> u64 {
    (BYTES_MIN + bytes).saturating_mul(VALUES_MIN + values)
}

/// One function on the scales.
struct Weigher {
    function: FuncValidator<ValidatorResources>,
    /// Its number, without the imports.
    name: u64,
    weight: u64,
    arity: u64,
    locals: u64,
    /// Blocks around this place.
    open: Vec<Open>,
    /// How many of them are loops.
    loops: u64,
}

/// A block that was not closed yet.
struct Open {
    is_loop: bool,
    /// Times a local was set in it.
    sets: u64,
}

impl Weigher {
    fn weigh(&mut self, body: &FunctionBody<'_>) -> Result<(), PrepareError> {
        for locals in body.get_locals_reader().map_err(invalid)? {
            let (count, ty) = locals.map_err(invalid)?;
            self.function.define_locals(body.range().start, count, ty).map_err(invalid)?;
        }
        self.locals = u64::from(self.function.len_locals());
        let mut ops = body.get_operators_reader().map_err(invalid)?;
        while !ops.eof() {
            let at = ops.original_position();
            let op = ops.read().map_err(invalid)?;
            let bytes = ops.original_position() - at;
            self.add((bytes as u64).saturating_mul(self.values()))?;
            self.nest(&op)?;
            self.function.op(at, &op).map_err(invalid)?;
        }
        Ok(())
    }

    /// Values alive here, at most.
    fn values(&self) -> u64 {
        let height = u64::from(self.function.operand_stack_height());
        VALUES_MIN + self.arity + self.locals + height
    }

    /// What blocks cost beyond their bytes: compilers look from each at all around it, and at a loop from
    /// every loop around it at every other. Where ways meet, every local that was set on one has two values.
    fn nest(&mut self, op: &Operator<'_>) -> Result<(), PrepareError> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest opens and closes nothing")]
        match op {
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } => {
                self.open.push(Open { is_loop: false, sets: 0 });
                self.add(self.open.len() as u64)
            }
            Operator::Loop { .. } => {
                self.open.push(Open { is_loop: true, sets: 0 });
                self.loops += 1;
                let around = self.open.len() as u64;
                self.add(around.saturating_add(self.loops * self.loops))
            }
            Operator::LocalSet { .. } | Operator::LocalTee { .. } => {
                if let Some(open) = self.open.last_mut() {
                    open.sets += 1;
                }
                Ok(())
            }
            Operator::End => self.close(),
            Operator::BrTable { targets } if targets.len() > TARGETS_MAX => {
                let (found, name) = (targets.len(), self.name);
                let reason = format!(
                    "function {name} of its code has a jump table with {found} targets, expected at most {TARGETS_MAX}"
                );
                Err(PrepareError::Invalid { reason })
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), PrepareError> {
        let Some(Open { is_loop, sets }) = self.open.pop() else { return Ok(()) };
        self.loops -= u64::from(is_loop);
        if let Some(around) = self.open.last_mut() {
            around.sets += sets;
        }
        let merged = sets.min(self.locals).saturating_mul(MERGE_WEIGHT);
        self.add(merged.saturating_mul(1 + self.open.len() as u64))
    }

    fn add(&mut self, weight: u64) -> Result<(), PrepareError> {
        self.weight = self.weight.saturating_add(weight);
        let name = || format!("function {} of its code", self.name);
        check_weight(name, self.weight, FUNCTION_WEIGHT_MAX)
    }
}

fn check_weight(what: impl FnOnce() -> String, weight: u64, max: u64) -> Result<(), PrepareError> {
    if weight > max {
        return Err(PrepareError::TooHeavy { what: what(), weight, max });
    }
    Ok(())
}

pub(super) fn invalid(error: wasmparser::BinaryReaderError) -> PrepareError {
    PrepareError::Invalid { reason: super::one_line(&error.to_string()) }
}
