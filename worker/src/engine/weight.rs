//! How much work a module is to compile, known before compiling it.
//!
//! Nothing stops a compiler once it runs: it has no fuel, and half a megabyte of nested branches
//! over a thousand locals makes it take gigabytes. So a module is weighed first. What a function
//! costs grows with its code and with the values alive in it, hence their product. Anything else
//! about a module is for the validator to judge.

use wasmparser::{CompositeInnerType, FunctionBody, Parser, Payload, TypeSectionReader};

use super::PrepareError;

/// Weight of one function: some gigabyte and some ten seconds of a core at worst. CPython's
/// interpreter loop, among the largest functions there are, has about a third of it.
const FUNCTION_WEIGHT_MAX: u64 = 1 << 28;

/// Weight of all functions: some minutes of a core at worst. CPython as a whole has about a
/// quarter of it.
const MODULE_WEIGHT_MAX: u64 = 1 << 33;

/// The same for the code of a runtime pack: CPython with NumPy, SciPy and scikit-learn inside has a
/// quarter of it, and takes some ten minutes of a core. A pack is signed and compiled once.
const PACK_WEIGHT_MAX: u64 = 1 << 35;

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
}

/// What a function weighs before its first byte and its first local: an empty one still takes the
/// compiler a fraction of a millisecond and several kilobytes, and a module may have a million.
const BYTES_MIN: u64 = 2_048;
const VALUES_MIN: u64 = 16;

/// Refuses a module that is too much work.
pub(super) fn check(wasm: &[u8], scale: Scale) -> Result<(), PrepareError> {
    // Blocks may have as many results as the largest type, each a value that is alive.
    let mut arity = 0;
    let mut functions = 0;
    let mut total = 0_u64;
    for payload in Parser::new(0).parse_all(wasm) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "what is not code weighs nothing")]
        match payload.map_err(invalid)? {
            Payload::TypeSection(types) => arity = largest(types).map_err(invalid)?.max(arity),
            Payload::CodeSectionEntry(body) => {
                let weight = weigh(&body, arity).map_err(invalid)?;
                let function = || format!("function {functions} of its code");
                check_weight(function, weight, FUNCTION_WEIGHT_MAX)?;
                total = total.saturating_add(weight);
                check_weight(|| "the module".to_owned(), total, scale.weight_max())?;
                functions += 1;
            }
            _ => {}
        }
    }
    Ok(())
}

fn weigh(body: &FunctionBody<'_>, arity: u64) -> wasmparser::Result<u64> {
    let bytes = BYTES_MIN + body.as_bytes().len() as u64;
    let mut values = VALUES_MIN + arity;
    for locals in body.get_locals_reader()? {
        values += u64::from(locals?.0);
    }
    Ok(bytes.saturating_mul(values))
}

/// Parameters and results of the type that has most.
fn largest(types: TypeSectionReader<'_>) -> wasmparser::Result<u64> {
    let mut arity = 0;
    for group in types {
        for ty in group?.into_types() {
            if let CompositeInnerType::Func(ty) = &ty.composite_type.inner {
                arity = arity.max(ty.params().len() + ty.results().len());
            }
        }
    }
    Ok(arity as u64)
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
