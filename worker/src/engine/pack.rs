//! Runtime packs: an interpreter whose code is compiled once and started from images of its memory.
//!
//! [`Engine::prepare_pack`] splits the pack's module into code and image, makes a *warm* image by
//! importing what an order asks for, and keeps both in the cache. A run maps the image copy-on-write,
//! and calls the script. Nobody distributes warm images: every worker makes its own, and since the
//! engine is deterministic they are the same, to the byte, as the results that come of them.
//!
//! Of the convention `wasi-python/1` the host function `host.call` is offered and always says that
//! nobody is there. Sessions of several turns are used for warming only.

mod image;
mod split;
mod write;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use quorate_common::digest::Digest;
use quorate_common::pack::{Convention, NAME_BYTES_MAX, Pack, Part};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmtime::{Instance, InstancePre, Linker, Store};

use self::image::{IMAGE, Image};
use super::tree::{Area, Library};
use super::wasi::Host;
use super::weight::Scale;
use super::{
    Cancel, Engine, Job, Limits, Module, PrepareError, Program, RunError, Shared, profile, sentence,
};

/// What warming may use: several times what importing all of SciPy takes. More is a bad list.
const WARM_LIMITS: Limits = Limits {
    fuel: 1 << 38,
    memory_bytes: 2 << 30,
    output_bytes: 1 << 20,
    wall: Duration::from_secs(1_800),
};

/// The clock while warming, in seconds since 1970: the first second of 2026. What a script sees is
/// its own task's.
const WARM_EPOCH_UNIX_S: u64 = 1_767_225_600;

/// The part of a turn's status that is an exit code.
const EXIT_CODE: i32 = 0xff;

/// What the interpreter thinks it is called.
const ARGV0: &str = "/usr/local/bin/python.wasm";

/// What the environment says unless the task says otherwise: everything that is not a result goes to
/// `/tmp`, and time zones come from the pack, not from the machine.
const ENVIRONMENT: [(&str, &str); 3] = [("HOME", "/tmp"), ("PYTHONTZPATH", ""), ("TMPDIR", "/tmp")];

/// Where an engine gets pieces from, by their digest. The bytes are checked by whoever gives them.
pub type Pieces<'a> = &'a dyn Fn(Digest) -> Result<Vec<u8>, String>;

/// Why a pack is not ready. Reads after "could not prepare the pack: ".
#[derive(Debug, Error)]
pub enum PackError {
    /// This machine lacks something: give the replica back, others may do better. Never a vote.
    #[error("{what} is not to be had here: {reason}")]
    Missing {
        /// Which part of the pack, or of the machine.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Compiling it was stopped; the replica is being given back.
    #[error("compiling it was stopped")]
    Stopped,
    /// Compiling it came to a bound of this machine's, or took the compiler down: so it does here next time, and
    /// may not elsewhere. Never a vote.
    #[error("it cannot be compiled here: {reason}")]
    Bound {
        /// How its compiler ended.
        reason: String,
        /// Its time was up, not its memory.
        is_late: bool,
    },
    /// The pack, or the list of imports, is of no use to anybody; a result like any other.
    #[error(transparent)]
    Bad(#[from] PrepareError),
}

/// A pack's code and the image its runs start from.
pub(super) struct PackProgram {
    code: wasmtime::Module,
    image: InstancePre<Host>,
    linker: Linker<Host>,
    library: Library,
}

/// A store with the pack's two instances.
struct Started {
    image: Instance,
    code: Instance,
}

impl Engine {
    /// Makes a pack ready, with `with` imported; both come from the cache if they can. Blocks: the
    /// first time minutes, unless `cancel` says otherwise, afterwards less than a second.
    ///
    /// # Errors
    /// [`PackError::Bad`] is the pack's trouble, all others are this machine's.
    pub fn prepare_pack(
        &self,
        pack: &Pack,
        with: &[String],
        pieces: Pieces<'_>,
        cancel: &Cancel,
    ) -> Result<Module, PackError> {
        match pack.convention {
            Convention::WasiPython1 => {}
        }
        let (shared, how) = (self.packs()?, self.within(Scale::Pack, cancel));
        let parts = LazyLock::new(|| module_parts(pack, pieces));
        let code = || {
            let parts = (*parts).as_ref().map_err(PackError::again)?;
            Ok::<_, PackError>(Cow::Borrowed(&*parts.code))
        };
        let code: wasmtime::Module = shared.compiled(&code_key(pack), Scale::Pack, code, &how)?;
        let library = library(pack, pieces)?;
        let base = || {
            let parts = (*parts).as_ref().map_err(PackError::again)?;
            Ok::<_, PackError>(Cow::Owned(parts.image.module()))
        };
        let cold = || -> Result<PackProgram, PackError> {
            let image = shared.compiled(&image_key(pack, &[]), Scale::Pack, base, &how)?;
            PackProgram::new(&shared, code.clone(), &image, library.clone())
        };
        let program = if with.is_empty() {
            cold()?
        } else {
            let warm = || {
                let parts = (*parts).as_ref().map_err(PackError::again)?;
                cold()?.warmed(&shared, &parts.image, with, cancel).map(Cow::Owned)
            };
            let image = shared.compiled(&image_key(pack, with), Scale::Pack, warm, &how)?;
            PackProgram::new(&shared, code.clone(), &image, library.clone())?
        };
        Ok(Module { shared, program: Program::Pack(Arc::new(program)) })
    }

    /// The engine for packs, set up when the first one comes.
    fn packs(&self) -> Result<Arc<Shared>, PackError> {
        let missing = |reason| PackError::Missing { what: "an engine for runtime packs", reason };
        if let Some(shared) = self.packs.get() {
            return Ok(shared.clone());
        }
        let shared = Shared::new(&profile::pack_config(), self.cache_dir.clone())
            .map_err(|error| missing(error.to_string()))?;
        let mut linker = shared.linker.clone();
        offer_nobody(&mut linker).map_err(|error| missing(sentence(&error)))?;
        Ok(self.packs.get_or_init(|| Arc::new(Shared { linker, ..shared })).clone())
    }
}

impl PackError {
    /// The same error once more: parts are read once and asked for twice.
    fn again(&self) -> Self {
        match self {
            Self::Missing { what, reason } => Self::Missing { what, reason: reason.clone() },
            Self::Stopped => Self::Stopped,
            Self::Bound { reason, is_late } => {
                Self::Bound { reason: reason.clone(), is_late: *is_late }
            }
            Self::Bad(error) => {
                Self::Bad(PrepareError::Invalid { reason: super::one_line(&error.to_string()) })
            }
        }
    }
}

impl PackProgram {
    fn new(
        shared: &Shared,
        code: wasmtime::Module,
        image: &wasmtime::Module,
        library: Library,
    ) -> Result<Self, PackError> {
        let bad = |error| PrepareError::Signature { reason: sentence(&error) };
        let linker = shared.linker.clone();
        let image = linker.instantiate_pre(image).map_err(bad)?;
        Ok(Self { code, image, linker, library })
    }

    /// The files beside the module.
    pub(super) fn library(&self) -> &[(String, Arc<Vec<u8>>)] {
        &self.library
    }

    /// Runs a script to its end and says its exit code. Fuel counts from the script's start: what it
    /// costs to place an image depends on the machine.
    pub(super) fn call(&self, store: &mut Store<Host>, fuel: u64) -> wasmtime::Result<i32> {
        let started = self.start(store)?;
        store.set_fuel(fuel)?;
        let source = script_source(&store.data().args, &store.data().env);
        Ok(started.turn(store, &source)? & EXIT_CODE)
    }

    fn start(&self, store: &mut Store<Host>) -> wasmtime::Result<Started> {
        let image = self.image.instantiate(&mut *store)?;
        let mut linker = self.linker.clone();
        linker.instance(&mut *store, IMAGE, image)?;
        let code = linker.instantiate(&mut *store, &self.code)?;
        Ok(Started { image, code })
    }

    /// The image after importing `with`, as a module. `cold` is the image it starts from.
    fn warmed(
        &self,
        shared: &Arc<Shared>,
        cold: &Image,
        with: &[String],
        cancel: &Cancel,
    ) -> Result<Vec<u8>, PackError> {
        let job = Job { epoch_unix_s: WARM_EPOCH_UNIX_S, limits: WARM_LIMITS, ..Job::default() };
        let missing = |what, reason| PackError::Missing { what, reason };
        let machine = |error: RunError| {
            let is_stopped = matches!(error, RunError::Cancelled);
            if is_stopped { PackError::Stopped } else { missing("a warm start", error.to_string()) }
        };
        let host = super::run::host(job, Some(self)).map_err(machine)?;
        let start = std::time::Instant::now();
        let mut store = shared.store(host, &WARM_LIMITS, cancel.clone(), start).map_err(machine)?;
        let running = shared.ticker.running();
        let imported = self.import(&mut store, with);
        drop(running);
        let image = match imported {
            Ok((image, 0)) => image,
            Ok(_) => return Err(refused(with, &mut store).into()),
            Err(error) => {
                super::run::ended(&error, WARM_LIMITS.wall).map_err(machine)?;
                return Err(refused(with, &mut store).into());
            }
        };
        if !is_at_rest(store.data()) {
            return Err(refused(with, &mut store).into());
        }
        Ok(cold.capture(&mut store, &image)?.module())
    }

    /// Runs one turn that imports everything, and says with which status it ended.
    fn import(
        &self,
        store: &mut Store<Host>,
        with: &[String],
    ) -> wasmtime::Result<(Instance, i32)> {
        let started = self.start(store)?;
        store.set_fuel(WARM_LIMITS.fuel)?;
        let status = started.turn(store, &import_source(with))?;
        Ok((started.image, status))
    }
}

impl Started {
    /// Has the interpreter run source text; its status is an exit code, and [`EXIT_CODE`] + 1 more if
    /// the text asked to leave.
    fn turn(&self, store: &mut Store<Host>, source: &str) -> wasmtime::Result<i32> {
        let len = u32::try_from(source.len())?;
        let alloc = self.code.get_typed_func::<u32, u32>(&mut *store, "host_alloc")?;
        let at = alloc.call(&mut *store, len)?;
        let memory = self.image.get_memory(&mut *store, image::MEMORY);
        // Where there is no memory for it, the interpreter says so itself.
        let placed = memory.filter(|_| at != 0).is_some_and(|memory| {
            memory.write(&mut *store, at as usize, source.as_bytes()).is_ok()
        });
        let at = if placed { at } else { 0 };
        let turn = self.code.get_typed_func::<(u32, u32), i32>(&mut *store, "turn")?;
        turn.call(&mut *store, (at, len))
    }
}

/// The source that is run to warm an interpreter. Names were checked: they are dotted identifiers.
fn import_source(with: &[String]) -> String {
    debug_assert!(with.iter().all(|name| name.len() <= NAME_BYTES_MAX));
    let imports = with.iter().map(|name| format!("import {name}\n"));
    // What is there now stays for good: a task's collector need not look at it, nor copy its pages.
    imports.chain(["import gc\n".into(), "gc.collect()\n".into(), "gc.freeze()\n".into()]).collect()
}

/// The source that runs a script as `python` would: arguments and environment are the task's, and all
/// that was seeded or looked at while warming is seeded and looked at again.
fn script_source(args: &[String], env: &[String]) -> String {
    let args: Vec<String> = args.iter().map(|arg| literal(arg)).collect();
    let env = env.iter().filter_map(|entry| entry.split_once('='));
    let env: Vec<String> =
        env.map(|(name, value)| format!("{}: {}", literal(name), literal(value))).collect();
    let (args, env) = (args.join(", "), env.join(", "));
    format!("{LEAVE}leave([{args}], {{{env}}})")
}

/// Runs a script, then does what Python does last: handlers of `atexit`, what nobody refers to any more,
/// files that are still open. Taking the interpreter itself apart takes longer than many a task and shows in no
/// result.
const LEAVE: &str = "\
def leave(args, env):
    import _reactor, atexit, gc, io, sys
    def flush():
        for left in gc.get_objects():
            if issubclass(type(left), io.IOBase) and not left.closed:
                try:
                    left.flush()
                except (OSError, ValueError):
                    pass
    status = _reactor.run(args, env)
    atexit._run_exitfuncs()
    flush()
    for name in 'last_exc', 'last_type', 'last_value', 'last_traceback':
        vars(sys).pop(name, None)
    vars(sys.modules['__main__']).clear()
    gc.collect()
    flush()
    raise SystemExit(status)
";

/// A string of Python, in ASCII.
fn literal(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        ' '..='~' if c != '"' && c != '\\' => c.to_string(),
        other => format!("\\U{:08x}", u32::from(other)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// An image holds memory; what the host held beside it would be lost.
fn is_at_rest(host: &Host) -> bool {
    let is_empty = |area: Area| {
        host.tree.list(area.root(), 0).is_ok_and(|mut children| children.next().is_none())
    };
    host.fds.are_as_at_first() && is_empty(Area::Out) && is_empty(Area::Tmp)
}

fn refused(with: &[String], store: &mut Store<Host>) -> PrepareError {
    let said = std::mem::take(&mut store.data_mut().stderr).into_text();
    let last = said.lines().last().unwrap_or("it did not come to rest").to_owned();
    PrepareError::Import { module: with.join(", "), name: super::one_line(&last) }
}

/// The one import besides preview 1: a door to functions of the host, behind which nobody is.
fn offer_nobody(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const NOBODY: i32 = -1;
    linker.func_wrap("host", "call", |_: i32, _: i32, _: i32, _: i32| NOBODY).map(drop)
}

/// A pack's module, taken apart.
fn module_parts(pack: &Pack, pieces: Pieces<'_>) -> Result<split::Split, PackError> {
    let wasm = whole(&pack.module, "the pack's module", pieces)?;
    Ok(split::split(&wasm)?)
}

fn library(pack: &Pack, pieces: Pieces<'_>) -> Result<Library, PackError> {
    let files = pack.files.iter().map(|file| {
        let bytes = whole(&file.part, "a file of the pack", pieces)?;
        Ok((file.path.clone(), Arc::new(bytes)))
    });
    files.collect()
}

/// A part put together. Pieces that do not make up what the document says are the document's fault:
/// each piece has the digest it names.
fn whole(part: &Part, what: &'static str, pieces: Pieces<'_>) -> Result<Vec<u8>, PackError> {
    let mut bytes = Vec::with_capacity(usize::try_from(part.bytes).unwrap_or(0));
    for piece in &part.pieces {
        let piece = pieces(*piece).map_err(|reason| PackError::Missing { what, reason })?;
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() as u64 != part.bytes || Digest::of(&bytes) != part.digest {
        let reason = "the pieces of a pack are not the whole that it names".to_owned();
        return Err(PrepareError::Invalid { reason }.into());
    }
    Ok(bytes)
}

fn code_key(pack: &Pack) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"quorate-pack-code/1")
        .chain_update(pack.module.digest.0)
        .finalize()
        .into()
}

/// An image depends on the module, on the library it imports from and on what is imported.
fn image_key(pack: &Pack, with: &[String]) -> [u8; 32] {
    let mut hash = Sha256::new().chain_update(b"quorate-pack-image/2");
    hash.update(pack.module.digest.0);
    for file in pack.files.iter().filter(|_| !with.is_empty()) {
        hash.update(Sha256::digest(&file.path));
        hash.update(file.part.digest.0);
    }
    for name in with {
        hash.update(Sha256::digest(name));
    }
    hash.finalize().into()
}

/// A pack's module as it is published: without names and notes of tools, a seventh of its bytes.
///
/// # Errors
/// It is no WebAssembly.
pub fn without_custom_sections(wasm: &[u8]) -> Result<Vec<u8>, PrepareError> {
    split::without_custom_sections(wasm)
}

/// Arguments and environment as the interpreter expects them.
pub(super) fn invocation(job: &mut Job) -> Vec<String> {
    for (name, value) in ENVIRONMENT {
        if !job.env.iter().any(|(known, _)| known == name) {
            job.env.push((name.to_owned(), value.to_owned()));
        }
    }
    job.env.sort();
    std::iter::once(ARGV0.to_owned()).chain(std::mem::take(&mut job.args)).collect()
}

impl fmt::Debug for PackProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackProgram").field("files", &self.library.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_interpreter_as_they_are() {
        assert_eq!(literal("a b"), "\"a b\"");
        assert_eq!(literal("\"\\\n"), "\"\\U00000022\\U0000005c\\U0000000a\"");
        assert_eq!(literal("é🐍"), "\"\\U000000e9\\U0001f40d\"");
        let source = script_source(&["a".into(), "b".into()], &["A=1=2".into()]);
        assert!(source.ends_with("\nleave([\"a\", \"b\"], {\"A\": \"1=2\"})"), "{source}");
    }
}
