//! Containers beside modules: images made ready, runs turned into manifests that replicas can agree on.
//!
//! A container's result is its exit code and its files, and for iExec's applications only what they call
//! deterministic. There is no fuel: what a container used cannot be measured the same twice. Memory's end, a
//! kill and a deadline are no results, for the same reason.

use crate::{
    brake::Turn,
    engine::{self, Cancel, PackError, Run, RunError},
    runner::{JobSpec, Program, Runner},
};
use quorate_common::{
    bag::AppKind,
    digest::Digest,
    manifest::{Ended, Entry, Manifest},
    report::Chain,
};
use quorate_docker::{
    Engine, EngineError, Folders, Image, ImageError, Limits, Outcome, Platform, Stop, Task, iexec,
    image::{self, Source},
    output::Files,
    profile::{LABEL, MILLI_CPUS},
    run,
};
use quorate_registry::Registries;
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Images kept on the engine; each takes two gigabytes of disk at most.
const IMAGES_MAX: usize = 4;
/// Where containers that are not iExec's find their folders: where modules do.
const FOLDERS: Folders = Folders { input: "/in", output: "/out" };
/// The file that says, in a result without one, what was wrong. Whoever ordered it finds it there.
const ERROR_FILE: &str = "error.txt";
/// What [`Runner::containers`] hashes, with the platform: whoever changes what containers feel or how their
/// results are written changes this.
const DESCRIPTION: &str = "quorate-containers/2 profile/1 registries/1";

/// Runs modules by another runner, and containers by itself.
pub struct Containers {
    modules: Arc<dyn Runner>,
    engine: Engine,
    worker: String,
    platform: Platform,
    registries: Registries,
    /// Most recently used last.
    images: Mutex<VecDeque<(Digest, Found)>>,
}

/// What an archive turned out to be: an image on the engine, or why it is none.
type Found = Result<Arc<Image>, String>;

impl Containers {
    /// Offers `engine`, whose limits were proven, beside `modules`; `worker` labels what is put there. Images come
    /// from `registries` besides the scheduler.
    pub fn new(
        modules: Arc<dyn Runner>,
        engine: Engine,
        worker: String,
        platform: Platform,
        registries: Registries,
    ) -> Self {
        Self { modules, engine, worker, platform, registries, images: Mutex::default() }
    }

    /// The image on the engine, or what is wrong with it, which everybody says of it.
    fn image(&self, app: Digest, code: &Program, archive: &Path) -> Result<Found, RunError> {
        // Held while an image is loaded: two jobs of a deal would load it twice.
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = images.iter().position(|(known, _)| *known == app)
            && let Some(known) = images.remove(at)
        {
            images.push_back(known.clone());
            return Ok(known.1);
        }
        let labels = [(LABEL, self.worker.as_str())];
        let source = match code {
            Program::Image(image, folder) => Source::Parts { image, folder },
            Program::Archive | Program::Module(_) | Program::Pack(_) => {
                Source::Archive { path: archive, digest: &app.0 }
            }
        };
        let image = match image::read(source, self.platform, &labels) {
            Ok(image) => {
                self.engine.prepare(&image).map_err(trouble)?;
                Ok(Arc::new(image))
            }
            Err(error @ ImageError::Io(_)) => return Err(RunError::Engine(sentence(&error))),
            Err(error) => Err(format!("the image cannot be run: {error}")),
        };
        if images.len() >= IMAGES_MAX
            && let Some((_, Ok(old))) = images.pop_front()
            && let Err(error) = self.engine.discard(&old.id)
        {
            // Something runs from it; the next start's sweep takes it away.
            tracing::debug!(id = old.id, error = %Chain(&error), "an image stays");
        }
        images.push_back((app, image.clone()));
        Ok(image)
    }

    fn run_image(&self, spec: &JobSpec, image: &Image) -> Result<Run, RunError> {
        let task = task(spec, image);
        if task.args.is_empty() && !image.has_command {
            let text = "the image names no command, and the task has no arguments: nothing to run";
            return Ok(no_result(Ended::Module, text, String::new(), Duration::ZERO));
        }
        let outcome = self.engine.run(task, Stop::when(spec.cancel.flag())).map_err(given_up)?;
        Ok(finished(spec.kind, outcome))
    }
}

impl Runner for Containers {
    fn engine_hash(&self) -> Digest {
        self.modules.engine_hash()
    }

    fn containers(&self) -> Option<Digest> {
        Some(Digest::of(format!("{DESCRIPTION} {}", self.platform).as_bytes()))
    }

    fn packs(&self) -> bool {
        self.modules.packs()
    }

    fn registries(&self) -> Option<&Registries> {
        Some(&self.registries)
    }

    fn prepare_image(&self, app: Digest, code: &Program, archive: &Path) -> Result<(), RunError> {
        self.image(app, code, archive).map(drop)
    }

    fn prepare(&self, app: Digest, code: &Program, cancel: &Cancel) -> Result<(), PackError> {
        self.modules.prepare(app, code, cancel)
    }

    fn run(&self, spec: &JobSpec) -> Result<Run, RunError> {
        if spec.kind.is_wasm() {
            return self.modules.run(spec);
        }
        match self.image(spec.app, &spec.code, &spec.archive)? {
            Ok(image) => self.run_image(spec, &image),
            Err(text) => Ok(no_result(Ended::Module, &text, String::new(), Duration::ZERO)),
        }
    }
}

fn task(spec: &JobSpec, image: &Image) -> Task {
    let engine::Job { args, stdin, inputs, limits, .. } = spec.job.clone();
    let (turn, is_iexec) = (spec.cancel.turn(), spec.kind == AppKind::Iexec);
    let paths: Vec<&str> = inputs.iter().map(|(path, _)| path.as_str()).collect();
    let env = if is_iexec { iexec::environment(&spec.place, &paths) } else { Vec::new() };
    Task {
        image: image.id.clone(),
        args,
        env,
        stdin,
        inputs,
        folders: if is_iexec { iexec::FOLDERS } else { FOLDERS },
        limits: Limits {
            memory_bytes: limits.memory_bytes,
            output_bytes: limits.output_bytes,
            milli_cpus: MILLI_CPUS * u64::from(turn.map_or(100, Turn::percent)) / 100,
            wall: limits.wall,
        },
        hold: turn.map(Turn::held).unwrap_or_default(),
    }
}

/// What replicas vote for.
fn finished(kind: AppKind, outcome: Outcome) -> Run {
    let Outcome { code, stdout, stderr_tail, files, wall } = outcome;
    let files = match files {
        Ok(files) => files,
        Err(error) => return no_result(Ended::Output, &error.to_string(), stderr_tail, wall),
    };
    if kind != AppKind::Iexec {
        return result(Ended::Exit(code), stdout, files, stderr_tail, wall);
    }
    // Its standard output is for people: it tells times and addresses.
    if code != 0 {
        return result(Ended::Exit(code), Vec::new(), Files::new(), stderr_tail, wall);
    }
    match iexec::result(files) {
        Ok(files) => result(Ended::Exit(0), Vec::new(), files, stderr_tail, wall),
        Err(error) => no_result(Ended::Output, &error.to_string(), stderr_tail, wall),
    }
}

fn no_result(ended: Ended, text: &str, stderr_tail: String, wall: Duration) -> Run {
    let files = Files::from([(ERROR_FILE.to_owned(), format!("{text}\n").into_bytes())]);
    result(ended, Vec::new(), files, stderr_tail, wall)
}

fn result(ended: Ended, stdout: Vec<u8>, files: Files, stderr_tail: String, wall: Duration) -> Run {
    let mut blobs = BTreeMap::new();
    let mut keep = |bytes: Vec<u8>| {
        let entry = Entry::of(&bytes);
        blobs.insert(entry.digest, bytes);
        entry
    };
    let stdout = (!stdout.is_empty()).then(|| keep(stdout));
    let files = files.into_iter().map(|(path, bytes)| (path, keep(bytes))).collect();
    let manifest = Manifest { ended, fuel: 0, stdout, files };
    Run { manifest, blobs: blobs.into_iter().collect(), stderr_tail, wall }
}

fn given_up(error: run::RunError) -> RunError {
    match error {
        run::RunError::OutOfMemory { .. } | run::RunError::Killed => {
            RunError::Killed(error.to_string())
        }
        run::RunError::Deadline(after) => RunError::DeadlineExceeded(after),
        run::RunError::Cancelled => RunError::Cancelled,
        run::RunError::Engine(error) => trouble(error),
    }
}

fn trouble(error: EngineError) -> RunError {
    RunError::Engine(sentence(&error))
}

fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    format!("the container engine: {}", Chain(error))
}

impl fmt::Debug for Containers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Containers").field("engine", &self.engine).finish_non_exhaustive()
    }
}
