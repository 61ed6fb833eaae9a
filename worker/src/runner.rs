//! Who runs a job: the WASM engine, or whatever a test or the demo puts in front of it.

use crate::{
    blobs::Blobs,
    engine::{Cancel, Engine, Job, Module, PackError, PrepareError, Run, RunError},
};
use quorate_common::{
    bag::AppKind,
    digest::Digest,
    ids::TaskKey,
    image::ImageRef,
    manifest::{Ended, Manifest},
    pack::Pack,
    report::Chain,
    wire::GiveUpReason,
};
use quorate_docker::iexec::Place;
use quorate_registry::Registries;
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
    /// sha256 of the module or image, or of the document that names a pack or an image.
    pub app: Digest,
    /// What is run.
    pub code: Program,
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

/// What an order runs.
#[derive(Clone, Debug)]
pub enum Program {
    /// A module of its own.
    Module(Arc<Vec<u8>>),
    /// A runtime that other orders share.
    Pack(Arc<Packed>),
    /// An image, as one archive: its bytes stay where they are.
    Archive,
    /// An image whose parts came from a registry and lie in this folder, each named by its sha256.
    Image(Arc<ImageRef>, PathBuf),
}

/// A runtime pack on this machine.
#[derive(Debug)]
pub struct Packed {
    /// Its document.
    pub pack: Pack,
    /// What is imported before a task begins.
    pub with: Vec<String>,
    /// Where its pieces are.
    pub blobs: Arc<Blobs>,
}

impl Program {
    /// What it needs of the blob folder besides its app.
    pub(crate) fn blobs(&self) -> Vec<Digest> {
        match self {
            Self::Module(_) | Self::Archive => Vec::new(),
            Self::Pack(packed) => packed.pack.pieces().collect(),
            Self::Image(image, _) => {
                image.parts().unwrap_or_default().iter().map(|part| part.digest).collect()
            }
        }
    }

    /// What apart from the app's digest decides how it starts.
    fn with(&self) -> &[String] {
        match self {
            Self::Module(_) | Self::Archive | Self::Image(..) => &[],
            Self::Pack(packed) => &packed.with,
        }
    }
}

/// Something that runs jobs. Calls block, and come from several threads at once.
pub trait Runner: Send + Sync {
    /// Names its behaviour: two runners with one hash give the same results.
    fn engine_hash(&self) -> Digest;

    /// The same for containers, if it runs any.
    fn containers(&self) -> Option<Digest> {
        None
    }

    /// Whether it works on runtime packs: compiling one takes minutes and gigabytes that nobody pays for.
    fn packs(&self) -> bool {
        true
    }

    /// The registries that may be asked for images, if it runs any from there.
    fn registries(&self) -> Option<&Registries> {
        None
    }

    /// Makes an image ready before its first job.
    ///
    /// # Errors
    /// Why the deal's tasks go back: this machine's fault. What is the image's own fault is a result.
    fn prepare_image(
        &self,
        _app: Digest,
        _code: &Program,
        _archive: &Path,
    ) -> Result<(), RunError> {
        Err(no_containers())
    }

    /// Makes code ready before its first job, until `cancel` says otherwise.
    ///
    /// # Errors
    /// [`PackError::Bad`] is of no use to anybody, and its jobs end as [`Ended::Module`]; all others are this
    /// machine's trouble, and its jobs are given back.
    fn prepare(&self, app: Digest, code: &Program, cancel: &Cancel) -> Result<(), PackError>;

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
    modules: Mutex<VecDeque<(Key, Module)>>,
    /// Held while a pack is made ready: compiling one takes minutes and gigabytes, so nobody does it
    /// twice at once.
    packs: Mutex<()>,
    takes_packs: bool,
}

/// An app, and what it has imported before it starts.
type Key = (Digest, Vec<String>);

impl EngineRunner {
    /// Runs jobs on `engine`.
    pub fn new(engine: Engine) -> Self {
        let (modules, packs) = (Mutex::default(), Mutex::default());
        Self { engine, modules, packs, takes_packs: true }
    }

    /// The same, but tasks of runtime packs are given back before anything of a pack is fetched.
    #[must_use]
    pub fn without_packs(self) -> Self {
        Self { takes_packs: false, ..self }
    }

    /// The compiled module, from here or from the engine. Two threads may compile the same one;
    /// that costs time, and nothing else.
    fn module(&self, app: Digest, code: &Program, cancel: &Cancel) -> Result<Module, PackError> {
        let key = (app, code.with().to_vec());
        if let Some(module) = self.ready(&key) {
            return Ok(module);
        }
        let module = match code {
            Program::Module(bytes) => self.engine.prepare_within(bytes, cancel)?,
            Program::Archive | Program::Image(..) => {
                let reason = "an image is not run as a module".to_owned();
                return Err(PackError::Missing { what: "a module", reason });
            }
            Program::Pack(packed) => {
                let _turn = self.packs.lock().unwrap_or_else(PoisonError::into_inner);
                match self.ready(&key) {
                    Some(module) => return Ok(module),
                    None => self.pack(packed, cancel)?,
                }
            }
        };
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if modules.len() >= MODULES_MAX {
            modules.pop_front();
        }
        modules.push_back((key, module.clone()));
        Ok(module)
    }

    fn pack(&self, packed: &Packed, cancel: &Cancel) -> Result<Module, PackError> {
        let piece = |digest| packed.blobs.read(digest).map_err(|error| Chain(&error).to_string());
        self.engine.prepare_pack(&packed.pack, &packed.with, &piece, cancel)
    }

    fn ready(&self, key: &Key) -> Option<Module> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let at = modules.iter().position(|(known, _)| known == key)?;
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

    fn packs(&self) -> bool {
        self.takes_packs
    }

    fn prepare(&self, app: Digest, code: &Program, cancel: &Cancel) -> Result<(), PackError> {
        self.module(app, code, cancel).map(drop)
    }

    fn run(&self, spec: &JobSpec) -> Result<Run, RunError> {
        if !spec.kind.is_wasm() {
            return Err(no_containers());
        }
        match self.module(spec.app, &spec.code, &spec.cancel) {
            Ok(module) => module.run(spec.job.clone(), &spec.cancel),
            Err(PackError::Bad(error)) => Ok(never_began(&error)),
            Err(PackError::Stopped) => Err(RunError::Cancelled),
            Err(PackError::Bound { reason, .. }) => Err(RunError::Engine(reason)),
            Err(error @ PackError::Missing { .. }) => {
                Err(RunError::Missing(Chain(&error).to_string()))
            }
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
        RunError::Job(_) | RunError::Missing(_) => GiveUpReason::Input,
        RunError::StackOverflow { .. } => GiveUpReason::Stack,
        RunError::Killed(_) => GiveUpReason::Memory,
        RunError::DeadlineExceeded(_) => GiveUpReason::Deadline,
        RunError::Cancelled => GiveUpReason::Leaving,
        RunError::Engine(_) => GiveUpReason::Engine,
    }
}
