//! The gate: what an engine promises is tried, limit by limit, before any stranger's work comes to it.
//!
//! A program of ours does what a hostile one would, in the containers that tasks get. An engine without the rights
//! it needs ignores limits without a word, so what is not proven does not hold. Whoever wants to know prints
//! [`Report`]; a worker offers containers only if all of it holds.

mod probes;
mod table;

pub use table::{Finding, Report};

use crate::{
    engine::{Engine, EngineError},
    held::Folders,
    profile::Limits,
    run::{Outcome, RunError, Stop, Task},
};
use std::{collections::BTreeMap, time::Duration};

/// What probes get: less than tasks, so that it is used up soon; half a processor, so that it can be told from
/// one on a machine that has no more.
const LIMITS: Limits = Limits {
    memory_bytes: 32 << 20,
    output_bytes: 1 << 20,
    milli_cpus: 500,
    wall: Duration::from_secs(30),
};
/// What the probe that never ends gets.
const SHORT: Duration = Duration::from_secs(2);
/// Where probes find their folders.
const FOLDERS: Folders = Folders { input: "/in", output: "/out" };

impl Engine {
    /// Tries everything. Blocks for some ten seconds, two of them with a processor kept busy.
    ///
    /// # Errors
    /// The engine fails where it should do nothing special: it cannot even be tried.
    pub fn gate(&self) -> Result<Report, EngineError> {
        let mut report = Report::default();
        let said = self.probe(&["facts"], LIMITS);
        // Where not one container runs, the rest would say the same over and over.
        let first = match said {
            Ok(outcome) => facts(&outcome),
            Err(RunError::Engine(error)) => return Err(error),
            Err(error) => return Err(EngineError::Strange(format!("the first probe: {error}"))),
        };
        probes::facts(&mut report, &first, &LIMITS);
        let pids = self.probe(&["pids"], LIMITS);
        probes::pids(&mut report, pids.as_ref().map(facts));
        let most = (2 * LIMITS.container_bytes()).to_string();
        probes::memory(&mut report, self.probe(&["memory", &most], LIMITS));
        let cpu = self.probe(&["cpu"], LIMITS);
        probes::cpu(&mut report, cpu.as_ref().map(facts), &LIMITS);
        probes::flood(&mut report, self.probe(&["flood"], LIMITS), &LIMITS);
        let short = Limits { wall: SHORT, ..LIMITS };
        probes::deadline(&mut report, self.probe(&["spin"], short));
        probes::orphan(&mut report, self.probe(&["orphan"], LIMITS));
        probes::nothing_left(&mut report, self.left()?);
        Ok(report)
    }

    fn probe(&self, args: &[&str], limits: Limits) -> Result<Outcome, RunError> {
        let task = Task {
            image: crate::guest::id(&self.profile.worker),
            args: args.iter().map(ToString::to_string).collect(),
            env: Vec::new(),
            stdin: Vec::new(),
            inputs: Vec::new(),
            folders: FOLDERS,
            hold: Default::default(),
            limits,
        };
        self.run(task, Stop::default())
    }
}

/// What a probe said, by name.
type Facts = BTreeMap<String, String>;

fn facts(outcome: &Outcome) -> Facts {
    let text = String::from_utf8_lossy(&outcome.stdout);
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
