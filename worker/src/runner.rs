//! Who runs a job: the WASM engine, or whatever a test or the demo puts in front of it.

use crate::engine::{Cancel, Engine, Job, Module, PrepareError, Run, RunError};
use quorate_common::{
    bag::AppKind,
    digest::Digest,
    ids::TaskKey,
    manifest::{Ended, Manifest},
    report::Chain,
    wire::GiveUpReason,
};
use quorate_docker::iexec::Place;
use std::{
    collections::VecDeque,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Compiled modules kept ready. A worker rarely works on more deals at once; another one costs
/// milliseconds from the engine's cache on disk.
const MODULES_MAX: usize = 8;

/// One run, with everything it depends on.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// Whose task, for messages. A result depends on `job` alone.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// sha256 of the module.
    pub app: Digest,
    /// The module.
    pub module: Arc<Vec<u8>>,
    /// Arguments, inputs, seed, clock and limits.
    pub job: Job,
    /// What the application is.
    pub kind: AppKind,
    /// Where the application lies: an image is not read into memory.
    pub archive: PathBuf,
    /// Which task it is of which bag, for applications that ask.
    pub place: Place,
    /// Stops it.
    pub cancel: Cancel,
}

/// Something that runs jobs. Calls block, and come from several threads at once.
pub trait Runner: Send + Sync {
    /// Names its behaviour: two runners with one hash give the same results.
    fn engine_hash(&self) -> Digest;

    /// The same for containers, if it runs any.
    fn containers(&self) -> Option<Digest> {
        None
    }

    /// Makes an image ready before its first job.
    ///
    /// # Errors
    /// Why the deal's tasks go back: this machine's fault. What is the image's own fault is a result.
    fn prepare_image(&self, _app: Digest, _archive: &Path) -> Result<(), RunError> {
        Err(no_containers())
    }

    /// Makes a module ready before its first job.
    ///
    /// # Errors
    /// The module is of no use to anybody; its jobs end as [`Ended::Module`].
    fn prepare(&self, app: Digest, module: &[u8]) -> Result<(), PrepareError>;

    /// Runs a job until it ends.
    ///
    /// # Errors
    /// Whatever has no place in a result.
    fn run(&self, spec: &JobSpec) -> Result<Run, RunError>;
}

/// The real thing.
pub struct EngineRunner {
    engine: Engine,
    /// Most recently used last.
    modules: Mutex<VecDeque<(Digest, Module)>>,
}

impl EngineRunner {
    /// Runs jobs on `engine`.
    pub fn new(engine: Engine) -> Self {
        Self { engine, modules: Mutex::default() }
    }

    /// The compiled module, from here or from the engine. Two threads may compile the same one;
    /// that costs time, and nothing else.
    fn module(&self, app: Digest, bytes: &[u8]) -> Result<Module, PrepareError> {
        if let Some(module) = self.ready(app) {
            return Ok(module);
        }
        let module = self.engine.prepare(bytes)?;
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if modules.len() >= MODULES_MAX {
            modules.pop_front();
        }
        modules.push_back((app, module.clone()));
        Ok(module)
    }

    fn ready(&self, app: Digest) -> Option<Module> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let at = modules.iter().position(|(known, _)| *known == app)?;
        let entry = modules.remove(at)?;
        let module = entry.1.clone();
        modules.push_back(entry);
        Some(module)
    }
}

impl Runner for EngineRunner {
    fn engine_hash(&self) -> Digest {
        Digest(self.engine.hash())
    }

    fn prepare(&self, app: Digest, module: &[u8]) -> Result<(), PrepareError> {
        self.module(app, module).map(drop)
    }

    fn run(&self, spec: &JobSpec) -> Result<Run, RunError> {
        if !spec.kind.is_wasm() {
            return Err(no_containers());
        }
        match self.module(spec.app, &spec.module) {
            Ok(module) => module.run(spec.job.clone(), &spec.cancel),
            Err(error) => Ok(never_began(&error)),
        }
    }
}

impl fmt::Debug for EngineRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineRunner").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// The result of a job whose module cannot be run: the same for everybody with this engine.
fn never_began(error: &PrepareError) -> Run {
    let manifest = Manifest { ended: Ended::Module, fuel: 0, stdout: None, files: Vec::new() };
    let stderr_tail = Chain(error).to_string();
    Run { manifest, blobs: Vec::new(), stderr_tail, wall: Duration::ZERO }
}

/// A scheduler assigns containers only to who offered them.
fn no_containers() -> RunError {
    RunError::Engine("containers are not offered here".to_owned())
}

/// What the scheduler is told of a run without a result.
pub fn give_up_reason(error: &RunError) -> GiveUpReason {
    match error {
        RunError::Job(_) => GiveUpReason::Input,
        RunError::StackOverflow { .. } => GiveUpReason::Stack,
        RunError::Killed(_) => GiveUpReason::Memory,
        RunError::DeadlineExceeded(_) => GiveUpReason::Deadline,
        RunError::Cancelled => GiveUpReason::Leaving,
        RunError::Engine(_) => GiveUpReason::Engine,
    }
}
