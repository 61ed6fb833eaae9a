//! The Python pack, made ready once for all tests of a process.

use quorate_common::{
    B256,
    digest::Digest,
    keys::NodeKey,
    pack::{Convention, Pack, Part, SCHEMA},
};
use quorate_worker::engine::{Cancel, Engine, EngineConfig, Job, Limits, Module, PackError, Run};
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

const MIB: u64 = 1 << 20;

/// A pack with some packages imported.
pub(crate) struct Python {
    module: Module,
}

struct Here {
    engine: Engine,
    pack: Pack,
    folder: PathBuf,
}

static HERE: LazyLock<Option<Here>> = LazyLock::new(|| {
    let Some(folder) = env::var_os("QUORATE_PYTHON_PACK").map(PathBuf::from) else {
        eprintln!("QUORATE_PYTHON_PACK names no folder: no runtime pack is tested");
        return None;
    };
    // As a worker has it: in a process of its own.
    let compiler = Some(env!("CARGO_BIN_EXE_quorate-worker").into());
    let engine = Engine::new(EngineConfig { cache_dir: cache_dir(), compiler }).unwrap();
    let pack = Pack::parse(&fs::read(folder.join("pack.json")).unwrap()).unwrap();
    Some(Here { engine, pack, folder })
});

impl Here {
    fn ready(&self, engine: &Engine, with: &[&str]) -> Result<Python, PackError> {
        let with: Vec<String> = with.iter().map(|name| (*name).to_owned()).collect();
        let pieces = |digest: Digest| {
            fs::read(self.folder.join(digest.to_string())).map_err(|error| error.to_string())
        };
        Ok(Python { module: engine.prepare_pack(&self.pack, &with, &pieces, &Cancel::new())? })
    }
}

/// How long an engine that has just started takes, with the cache of the others.
pub(crate) fn restarted(with: &[&str]) -> Duration {
    let here = HERE.as_ref().unwrap();
    let start = Instant::now();
    let engine =
        Engine::new(EngineConfig { cache_dir: cache_dir(), ..EngineConfig::default() }).unwrap();
    here.ready(&engine, with).unwrap();
    start.elapsed()
}

/// The pack on an engine that has the compiled code of the others, if they keep it, and no image.
pub(crate) fn with_images_of_its_own(with: &[&str]) -> Python {
    /// The code has hundreds of megabytes, an image has tens.
    const IMAGE_BYTES_MAX: u64 = 200 << 20;
    let here = HERE.as_ref().unwrap();
    let own = tempfile::tempdir().unwrap();
    for entry in cache_dir().iter().flat_map(|dir| fs::read_dir(dir).unwrap()) {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if name == "key" || fs::metadata(&path).unwrap().len() > IMAGE_BYTES_MAX {
            fs::copy(path, own.path().join(name)).unwrap();
        }
    }
    let engine = Engine::new(EngineConfig {
        cache_dir: Some(own.path().to_owned()),
        ..EngineConfig::default()
    })
    .unwrap();
    here.ready(&engine, with).unwrap()
}

/// What is said of a pack whose pieces are not here.
pub(crate) fn without_pieces() -> Result<Module, PackError> {
    let here = HERE.as_ref().unwrap();
    let evicted = |_| Err("it was evicted".to_owned());
    here.engine.prepare_pack(&here.pack, &[], &evicted, &Cancel::new())
}

fn cache_dir() -> Option<PathBuf> {
    env::var_os("QUORATE_PACK_CACHE").map(PathBuf::from)
}

impl Python {
    /// The pack, if there is one.
    pub(crate) fn find(with: &[&str]) -> Option<Self> {
        HERE.as_ref()?;
        Some(Self::try_with(with).unwrap())
    }

    /// Makes the pack ready, one test after the other.
    pub(crate) fn try_with(with: &[&str]) -> Result<Self, PackError> {
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed with the turn in its hands has said so.
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let here = HERE.as_ref().unwrap();
        let start = Instant::now();
        let python = here.ready(&here.engine, with)?;
        eprintln!("{with:?} ready after {:?}", start.elapsed());
        Ok(python)
    }

    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    /// A job for a script, with what it takes and no more.
    pub(crate) fn job(&self, script: &str, args: &[&str]) -> Job {
        let wall = Duration::from_secs(600);
        let limits =
            Limits { fuel: 20_000_000_000, memory_bytes: 512 * MIB, output_bytes: MIB, wall };
        let args = std::iter::once("/in/script.py").chain(args.iter().copied());
        Job {
            args: args.map(str::to_owned).collect(),
            inputs: vec![("script.py".into(), script.as_bytes().to_vec())],
            seed: [7; 32],
            epoch_unix_s: 1_800_000_000,
            limits,
            ..Job::default()
        }
    }

    pub(crate) fn run(&self, job: Job) -> Run {
        self.module.run(job, &Cancel::new()).unwrap()
    }
}

/// What a run wrote to standard output.
pub(crate) fn stdout(run: &Run) -> String {
    let Some(entry) = &run.manifest.stdout else { return String::new() };
    let (_, bytes) = run.blobs.iter().find(|(digest, _)| *digest == entry.digest).unwrap();
    String::from_utf8(bytes.clone()).unwrap()
}

/// A pack of one module, on an engine of its own.
pub(crate) fn of_module(text: &str, with: &[&str], cache: &Path) -> Module {
    let module = wat::parse_str(text).unwrap();
    let pack = Pack {
        schema: SCHEMA.into(),
        name: "small".into(),
        version: "1".into(),
        convention: Convention::WasiPython1,
        module: Part::of(&module),
        files: Vec::new(),
        offers: vec!["numpy".into()],
        publisher: B256::ZERO,
        signature: String::new(),
    };
    let pack = pack.signed(&NodeKey::from_bytes(&[1; 32]));
    let pack = Pack::parse(&pack.to_bytes()).unwrap();
    let engine =
        Engine::new(EngineConfig { cache_dir: Some(cache.to_owned()), ..EngineConfig::default() })
            .unwrap();
    let with: Vec<String> = with.iter().map(|name| (*name).to_owned()).collect();
    engine.prepare_pack(&pack, &with, &|_| Ok(module.clone()), &Cancel::new()).unwrap()
}

/// A job for it.
pub(crate) fn small_job() -> Job {
    let wall = Duration::from_secs(60);
    let limits = Limits { fuel: 1_000_000, memory_bytes: MIB, output_bytes: MIB, wall };
    Job { seed: [7; 32], epoch_unix_s: 1_800_000_000, limits, ..Job::default() }
}
