//! The compiler's process: its bounds, then a module in, machine code out. It opens no file, and knows neither key
//! nor cache.

use super::{CODE, INVALID};
use crate::engine::{MAGIC, component, sentence, weight::Scale};
use quorate_common::pack::PART_BYTES_MAX;
use rustix::process::{Resource, Rlimit};
use std::io::{self, Read as _, Write as _};

/// Of Linux's priorities the lowest, as runs have it.
const LAST: i32 = 19;

impl Scale {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Pack => "pack",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Command, Self::Pack].into_iter().find(|it| it.name() == name)
    }

    /// Bytes of address space: three times what the heaviest module that is accepted was seen to take (1.9 GB), and the
    /// Python pack (4.4 GB on two cores, of which 2.5 GB were used). Where more cores work at once it takes more.
    const fn memory_bytes(self) -> u64 {
        match self {
            Self::Command => 6 << 30,
            Self::Pack => 12 << 30,
        }
    }

    /// Seconds of processors, five times what the heaviest module may take, and twenty times what the Python pack
    /// does: a compiler that is caught in an endless loop has an end.
    const fn cpu_seconds(self) -> u64 {
        match self {
            Self::Command => 600,
            Self::Pack => 6_000,
        }
    }
}

/// What `quorate-worker compile` does: reads a module, says its machine code, and nothing else. `parent` is who
/// started it, and whose death is its own.
///
/// # Errors
/// Why there is no answer.
pub fn serve(what: &str, parent: u32) -> Result<(), String> {
    let what = Scale::named(what).ok_or("the first argument is command or pack")?;
    bound(what, parent).map_err(|error| format!("its bounds cannot be set: {error}"))?;
    let mut wasm = Vec::new();
    let read = io::stdin().take(PART_BYTES_MAX + 1).read_to_end(&mut wasm);
    read.map_err(|error| format!("the module cannot be read: {error}"))?;
    let (kind, said) = compiled(what, &wasm)?;
    let mut to = io::stdout().lock();
    let written = to.write_all(&[kind]).and_then(|()| to.write_all(&said));
    written.and_then(|()| to.flush()).map_err(|error| format!("nobody listens: {error}"))
}

fn compiled(what: Scale, wasm: &[u8]) -> Result<(u8, Vec<u8>), String> {
    // Text would be taken too.
    if !wasm.starts_with(MAGIC) {
        return Err("it is no binary".to_owned());
    }
    let engine = wasmtime::Engine::new(&what.config()).map_err(|error| sentence(&error))?;
    let code = match component::is_component(wasm) {
        true => engine.precompile_component(wasm),
        false => engine.precompile_module(wasm),
    };
    match code {
        Ok(code) => Ok((CODE, code)),
        Err(error) if error.is::<wasmtime::OutOfMemory>() => Err(sentence(&error)),
        Err(error) => Ok((INVALID, sentence(&error).into_bytes())),
    }
}

/// Before a stranger's byte is read.
fn bound(what: Scale, parent: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // It may have died before that.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if now.and_then(|pid| u32::try_from(pid).ok()) != Some(parent) {
        return Err(io::Error::other("who started it is gone"));
    }
    limit(Resource::As, what.memory_bytes())?;
    limit(Resource::Cpu, what.cpu_seconds())?;
    limit(Resource::Core, 0)?;
    // Not a byte to any file: what it says goes through a pipe.
    limit(Resource::Fsize, 0)?;
    rustix::process::setpriority_process(None, LAST)?;
    Ok(())
}

/// Never more than it has already.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let most = rustix::process::getrlimit(resource).maximum.map_or(most, |now| now.min(most));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}
