//! The WASM engine: runs a stranger's program so that every honest machine gets the same result.
//!
//! [`Engine::prepare`] compiles a module (or loads it from the cache), [`Module::run`] runs it
//! once and returns a [`Manifest`](quorate_common::manifest::Manifest) with the blobs it names.
//! What a program did wrong (trap, exit code, too much fuel, memory or output) is part of the
//! result, since replicas can agree on it; what went wrong on this machine (deadline,
//! cancellation, stack) is a [`RunError`] and never becomes a vote.
//!
//! Deliberately absent: threads, sockets, the machine's files, clocks and randomness. Calls block
//! the thread they are made on, which needs [`STACK_BYTES`] and some: a default thread has that.
//! wasmtime is named in this module and nowhere else.

mod apart;
mod cache;
mod code;
mod component;
mod load;
mod meter;
mod outline;
mod pack;
#[cfg(test)]
mod parity;
mod profile;
mod run;
mod seal;
mod ticker;
mod tree;
mod wasi;
mod weight;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmtime::{ExternType, InstancePre, Linker, component as p2};

pub use self::apart::serve as compile_for;
use self::apart::{Apart, Within};
use self::cache::Cache;
pub use self::cache::CacheError;
use self::code::{Compile, Here};
use self::pack::PackProgram;
pub use self::pack::{PackError, Pieces, without_custom_sections};
pub use self::profile::STACK_BYTES;
pub use self::run::{Cancel, Job, Limits, Run, RunError};
use self::ticker::Ticker;
use self::wasi::Host;
use self::weight::Scale;

/// Bytes of a module. CPython with its standard library frozen in has some 30 MB; compiling takes
/// memory and time in proportion. More is refused.
pub const MODULE_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// What wasm binaries begin with.
const MAGIC: &[u8] = b"\0asm";

/// How to set up an engine.
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// Where compiled modules are kept between starts; a folder of the engine's own, created if
    /// missing. `None` compiles every time.
    pub cache_dir: Option<PathBuf>,
    /// The program whose command `compile` compiles strangers' modules, in a process of its own: the worker's. It
    /// needs a cache. `None` compiles in this process, where nothing stops it: for tests, and for who brings the
    /// modules himself.
    pub compiler: Option<PathBuf>,
}

/// Compiles modules. Cheap to clone; all clones are one engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    /// The same for runtime packs, which need more of wasmtime; set up when the first one comes.
    packs: Arc<OnceLock<Arc<Shared>>>,
    cache_dir: Option<PathBuf>,
    apart: Option<Apart>,
}

/// A module that can be run. Cheap to clone, and keeps its engine alive.
#[derive(Clone)]
pub struct Module {
    shared: Arc<Shared>,
    program: Program,
}

/// What there is to run.
#[derive(Clone)]
enum Program {
    Command(InstancePre<Host>),
    /// And the function in it to call.
    Component(p2::InstancePre<Host>, p2::ComponentExportIndex),
    Pack(Arc<PackProgram>),
}

struct Shared {
    wasmtime: wasmtime::Engine,
    linker: Linker<Host>,
    components: p2::Linker<Host>,
    cache: Option<Cache>,
    ticker: Ticker,
}

/// Why there is no engine. Reads after "could not start the engine: ".
#[derive(Debug, Error)]
pub enum EngineError {
    /// The processor or system lacks something; no task can be run here.
    #[error("this machine cannot run it")]
    Unsupported(#[source] wasmtime::Error),
    /// The thread that keeps deadlines could not be started; try again when there is memory.
    #[error("the thread that keeps deadlines could not be started")]
    Thread(#[source] std::io::Error),
    /// The cache folder cannot be used; name another one.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Why a module cannot be run by anybody. Reads after "could not prepare the module: ".
///
/// Every variant is a property of the module, so a retry is of no use.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// Refused before reading.
    #[error("it has {len} bytes, expected at most {max}")]
    TooLarge {
        /// Bytes of the module.
        len: usize,
        /// [`MODULE_BYTES_MAX`].
        max: usize,
    },
    /// Not a WebAssembly binary at all.
    #[error(
        "it does not begin with \"\\0asm\", expected a WebAssembly binary (compile with --target=wasm32-wasi)"
    )]
    NotWasm,
    /// Broken, or using a feature that is off.
    #[error("it is not valid WebAssembly for this engine: {reason}")]
    Invalid {
        /// What the validator or compiler says, with the offset.
        reason: String,
    },
    /// A component that is no program for preview 2, or more than one.
    #[error("it is a component that {reason}")]
    Component {
        /// What is wrong with it.
        reason: String,
    },
    /// Compiling it could take this machine down.
    #[error(
        "it is too much work to compile: {what} weighs {weight}, expected at most {max} (bytes \
         times values alive, and nesting; split the function or optimise for size)"
    )]
    TooHeavy {
        /// A function, counted from 0 without the imports, or the whole module.
        what: String,
        /// Bytes times values alive there, and nesting.
        weight: u64,
        /// How much is accepted.
        max: u64,
    },
    /// Needs something that no task gets.
    #[error("it imports {module}.{name}, expected functions of wasi_snapshot_preview1 only")]
    Import {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// Calls a function of preview 1 or 2 with other types.
    #[error("an import has another signature than WASI gives it: {reason}")]
    Signature {
        /// The import and the two signatures.
        reason: String,
    },
    /// A library, not a program.
    #[error(
        "it exports no function _start without parameters and results, expected a command (link it as a program, not as a library or reactor)"
    )]
    NoStart,
}

impl Engine {
    /// Sets up the engine and starts the thread that keeps deadlines; it rests while nothing runs.
    ///
    /// # Errors
    /// The machine cannot run it, or the cache folder cannot be used.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let EngineConfig { cache_dir, compiler } = config;
        let shared = Arc::new(Shared::new(&profile::config(), cache_dir.clone())?);
        let apart = compiler.filter(|_| cache_dir.is_some()).map(Apart::new);
        Ok(Self { shared, packs: Arc::default(), cache_dir, apart })
    }

    /// Names the engine's behaviour: two engines with one hash give the same results and count
    /// the same fuel. It goes into an order, since fuel is part of a result.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        profile::hash()
    }

    /// What [`Engine::prepare`] would say of a binary, without compiling it and without an engine:
    /// milliseconds a megabyte. Only the types of its imports are not looked at.
    ///
    /// # Errors
    /// What is wrong with the module.
    pub fn check(wasm: &[u8]) -> Result<(), PrepareError> {
        check_form(wasm)?;
        if component::is_component(wasm) {
            component::check_form(wasm)?;
            weight::check(wasm, Scale::Command)?;
            return component::validate(wasm, profile::features_of_components());
        }
        weight::check(wasm, Scale::Command)?;
        let invalid = |error| PrepareError::Invalid { reason: sentence(&error) };
        let wasmtime = wasmtime::Engine::new(&profile::config()).map_err(invalid)?;
        wasmtime::Module::validate(&wasmtime, wasm).map_err(invalid)?;
        outline::check(wasm)
    }

    /// Checks and compiles a binary in this process, or takes it from the cache. Blocks: a megabyte takes about a
    /// second per core to compile, milliseconds from the cache.
    ///
    /// # Errors
    /// What is wrong with the module. Trouble with the cache is logged and gone around.
    pub fn prepare(&self, wasm: &[u8]) -> Result<Module, PrepareError> {
        self.module(wasm, &Here)
    }

    /// The same, in a process of its own if it is heavy and there is a program for it, until `cancel` says otherwise.
    ///
    /// # Errors
    /// [`PackError::Bad`] as above. All others are this machine's, and never votes.
    pub fn prepare_within(&self, wasm: &[u8], cancel: &Cancel) -> Result<Module, PackError> {
        self.module(wasm, &self.within(Scale::Command, cancel))
    }

    fn within<'a>(&'a self, scale: Scale, cancel: &'a Cancel) -> Within<'a> {
        Within { apart: self.apart.as_ref(), scale, cancel }
    }

    fn module<E: From<PrepareError>>(
        &self,
        wasm: &[u8],
        how: &impl Compile<E>,
    ) -> Result<Module, E> {
        check_form(wasm)?;
        let key: [u8; 32] = Sha256::digest(wasm).into();
        let program = match component::is_component(wasm) {
            true => self.component(&key, wasm, how)?,
            false => self.command(&key, wasm, how)?,
        };
        Ok(Module { shared: self.shared.clone(), program })
    }

    fn command<E: From<PrepareError>>(
        &self,
        key: &[u8; 32],
        wasm: &[u8],
        how: &impl Compile<E>,
    ) -> Result<Program, E> {
        let bytes = || Ok::<_, E>(Cow::Borrowed(wasm));
        let compiled = self.shared.compiled(key, Scale::Command, bytes, how)?;
        check_imports(&compiled)?;
        check_start(&compiled)?;
        let linked = self.shared.linker.instantiate_pre(&compiled).map_err(signature)?;
        Ok(Program::Command(linked))
    }

    fn component<E: From<PrepareError>>(
        &self,
        key: &[u8; 32],
        wasm: &[u8],
        how: &impl Compile<E>,
    ) -> Result<Program, E> {
        let bytes = || Ok::<_, E>(component::check_form(wasm).map(|()| Cow::Borrowed(wasm))?);
        let compiled = self.shared.compiled(key, Scale::Command, bytes, how)?;
        let run = component::run_of(&compiled)?;
        let linked = self.shared.components.instantiate_pre(&compiled).map_err(signature)?;
        Ok(Program::Component(linked, run))
    }
}

impl Shared {
    fn new(config: &wasmtime::Config, cache_dir: Option<PathBuf>) -> Result<Self, EngineError> {
        let wasmtime = wasmtime::Engine::new(config).map_err(EngineError::Unsupported)?;
        let mut linker = Linker::new(&wasmtime);
        wasi::define(&mut linker).map_err(EngineError::Unsupported)?;
        let mut components = p2::Linker::new(&wasmtime);
        wasi::preview2::define(&mut components).map_err(EngineError::Unsupported)?;
        let cache = cache_dir.map(|dir| Cache::open(dir, &wasmtime)).transpose()?;
        let ticker = Ticker::start(wasmtime.clone()).map_err(EngineError::Thread)?;
        Ok(Self { wasmtime, linker, components, cache, ticker })
    }
}

fn check_form(wasm: &[u8]) -> Result<(), PrepareError> {
    if wasm.len() > MODULE_BYTES_MAX {
        return Err(PrepareError::TooLarge { len: wasm.len(), max: MODULE_BYTES_MAX });
    }
    if wasm.starts_with(MAGIC) { Ok(()) } else { Err(PrepareError::NotWasm) }
}

fn check_imports(module: &wasmtime::Module) -> Result<(), PrepareError> {
    for import in module.imports() {
        let function = matches!(import.ty(), ExternType::Func(_));
        if import.module() != wasi::MODULE || !wasi::offers(import.name()) || !function {
            let (module, name) = (quoted(import.module()), quoted(import.name()));
            return Err(PrepareError::Import { module, name });
        }
    }
    Ok(())
}

fn check_start(module: &wasmtime::Module) -> Result<(), PrepareError> {
    match module.get_export("_start") {
        Some(ExternType::Func(ty)) if ty.params().len() == 0 && ty.results().len() == 0 => Ok(()),
        _ => Err(PrepareError::NoStart),
    }
}

/// A name from a stranger's module: short and without control characters.
fn quoted(name: &str) -> String {
    const CHARS_MAX: usize = 64;
    name.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect()
}

fn signature(error: wasmtime::Error) -> PrepareError {
    PrepareError::Signature { reason: sentence(&error) }
}

/// An error with its causes on one line.
fn sentence(error: &wasmtime::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    one_line(&causes.join(": "))
}

/// Short and without control characters, since it may quote a stranger's module.
fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("cache", &self.shared.cache).finish_non_exhaustive()
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut module = f.debug_struct("Module");
        match &self.program {
            Program::Command(linked) => module.field("name", &linked.module().name()),
            Program::Component(..) => module.field("form", &"component"),
            Program::Pack(pack) => module.field("pack", pack),
        };
        module.finish_non_exhaustive()
    }
}
