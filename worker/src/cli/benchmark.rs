//! `benchmark`: how fast this machine runs modules, on one core and on all that are offered.
//!
//! What runs is the demonstration's application: its fuel is the same everywhere, only the time differs.

use super::{
    Global,
    config::Config,
    output::{Output, facts},
};
use crate::{
    brake::Brake,
    engine::{Cancel, Engine, EngineConfig, Job, Module},
};
use quorate_common::{
    exit::{Code, Failure},
    report::Chain,
};
use serde_json::json;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Tests a Mersenne number for primality; 9,941 takes a second or so on a desktop of today.
const MODULE: &[u8] = include_bytes!("../../../deploy/apps/lucas-lehmer/lucas_lehmer.wasm");
const EXPONENT: &str = "4423";
/// How long it is repeated, so that a clock that speeds up counts for what it keeps.
const TIME: Duration = Duration::from_secs(3);

/// `benchmark`.
pub(super) fn run(global: &Global, output: Output) -> Result<(), Failure> {
    let config = Config::load(global, &[])?;
    let slots = config.slots()?;
    output.note(format!("twice {} s: one core, then {slots} slots", TIME.as_secs()));
    let failed = |error: &dyn std::error::Error| Failure::new(Code::Internal, Chain(error));
    let engine = Engine::new(EngineConfig::default()).map_err(|error| failed(&error))?;
    let module = engine.prepare(MODULE).map_err(|error| failed(&error))?;
    let (one, all) = (millions(&module, 1)?, millions(&module, slots)?);
    let document = json!({
        "schema": "quorate.benchmark/v1", "slots": slots,
        "one_core_million_fuel_per_s": one, "all_slots_million_fuel_per_s": all,
    });
    output.either(&document, || {
        facts(&[
            ("one core", format!("{one} million units of fuel a second")),
            ("all slots", format!("{all} million, {slots} at once")),
        ])
    })
}

/// Millions of units of fuel a second, so many runs at once.
fn millions(module: &Module, at_once: u16) -> Result<u64, Failure> {
    let began = Instant::now();
    let fuel: Result<u64, Failure> = thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(|| burn(module))).collect();
        let gone = || Failure::new(Code::Internal, "a thread of the benchmark panicked");
        threads.into_iter().map(|thread| thread.join().map_err(|_| gone())?).sum()
    });
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    Ok(fuel? / ms / 1_000)
}

fn burn(module: &Module) -> Result<u64, Failure> {
    let (began, brake) = (Instant::now(), Brake::new());
    let mut fuel = 0;
    while began.elapsed() < TIME {
        let job = Job { args: vec![EXPONENT.to_owned()], ..Job::default() };
        let run = module.run(job, &Cancel::of(brake.turn()));
        let run = run.map_err(|error| Failure::new(Code::Internal, Chain(&error)))?;
        fuel += run.manifest.fuel;
    }
    Ok(fuel)
}
