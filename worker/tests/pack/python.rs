//! The Python pack, made ready once for all tests of a process.

use quorate_common::{digest::Digest, pack::Pack};
use quorate_worker::engine::{Cancel, Engine, EngineConfig, Job, Limits, Module, PackError, Run};
use std::{
    env, fs,
    path::PathBuf,
    sync::{LazyLock, Mutex},
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
    let cache_dir = env::var_os("QUORATE_PACK_CACHE").map(PathBuf::from);
    let engine = Engine::new(EngineConfig { cache_dir }).unwrap();
    let pack = Pack::parse(&fs::read(folder.join("pack.json")).unwrap()).unwrap();
    Some(Here { engine, pack, folder })
});

impl Python {
    /// The pack, if there is one.
    pub(crate) fn find(with: &[&str]) -> Option<Self> {
        HERE.as_ref()?;
        Some(Self::try_with(with).unwrap())
    }

    /// Makes the pack ready, one test after the other.
    pub(crate) fn try_with(with: &[&str]) -> Result<Self, PackError> {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap();
        let here = HERE.as_ref().unwrap();
        let with: Vec<String> = with.iter().map(|name| (*name).to_owned()).collect();
        let pieces = |digest: Digest| {
            fs::read(here.folder.join(digest.to_string())).map_err(|error| error.to_string())
        };
        let start = Instant::now();
        let module = here.engine.prepare_pack(&here.pack, &with, &pieces)?;
        eprintln!("{with:?} ready after {:?}", start.elapsed());
        Ok(Self { module })
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
