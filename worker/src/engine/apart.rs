//! Compiling in a process of its own: nothing stops Cranelift once it runs but the end of its process. So a compile
//! bomb lasts as long as somebody waits for it, waits where it is while its owner wants the machine, has an end to its
//! memory and processor time, takes nobody along when it crashes, and dies with the worker.
//!
//! [`Apart`] is the worker's side, [`serve()`] the process's, which is this same program (`quorate-worker compile`).
//! What it hands over is machine code that the worker will run. That is no more trust than compiling here takes: the
//! process is this very program, started by us with a module that passed the same checks, and what it says comes
//! through a pipe that nobody else has an end of, whole and after exit code 0, or not at all. The code then goes the
//! way of all code, through the cache's MAC. What a process says when it dies (no memory, killed, crashed) is this
//! machine's trouble, never a property of the module.

mod serve;

use super::{
    Cancel, PackError, PrepareError, Shared,
    cache::CODE_BYTES_MAX,
    code::{Code, Compile},
    weight::Scale,
};
use crate::brake::Turn;
use rustix::process::{Pid, Signal};
pub use serve::serve;
use std::{
    io::{self, Read, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// What a module may weigh to be compiled here: a second of a core at worst, which may be late by for any deadline.
/// A process with its engine and pipes costs 40 ms: what is lighter would wait for it more than for its compiler.
/// Figures: `worker/docs/wasm.md`.
const HERE_WEIGHT_MAX: u64 = 1 << 26;
/// How late a cancellation or a pause may be noticed.
const TICK: Duration = Duration::from_millis(20);
/// What the answer begins with.
const CODE: u8 = 0;
const INVALID: u8 = 1;
/// The command that makes a program a compiler.
const COMMAND: &str = "compile";

/// What came of a module.
enum Compiled {
    /// Machine code, as `serialize` writes it.
    Code(Vec<u8>),
    /// What is wrong with the module: everybody says the same.
    Invalid(String),
}

/// Compiles in processes of this program.
#[derive(Clone, Debug)]
pub(super) struct Apart {
    program: PathBuf,
}

/// Compiles heavy modules apart if that can be had, all others here.
pub(super) struct Within<'a> {
    pub(super) apart: Option<&'a Apart>,
    pub(super) scale: Scale,
    pub(super) cancel: &'a Cancel,
}

/// A process under way, not waited for yet: so its number is its own.
struct Process {
    child: Child,
}

impl Compile<PackError> for Within<'_> {
    fn compile<C: Code>(
        &self,
        shared: &Shared,
        key: &[u8; 32],
        wasm: &[u8],
        weight: u64,
    ) -> Result<C, PackError> {
        let (Some(apart), Some(cache), true) =
            (self.apart, &shared.cache, weight > HERE_WEIGHT_MAX)
        else {
            return Ok(shared.compile_here(key, wasm)?);
        };
        match apart.compile(wasm, self.scale, self.cancel)? {
            Compiled::Invalid(reason) => Err(PrepareError::Invalid { reason }.into()),
            Compiled::Code(code) => {
                cache.put(key, &code);
                let lost = || machine("the cache did not keep it".to_owned());
                shared.cached(key).ok_or_else(lost)
            }
        }
    }
}

impl Apart {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Compiles a module, until `cancel` says otherwise; while its turn is held, the process stands still.
    fn compile(&self, wasm: &[u8], scale: Scale, cancel: &Cancel) -> Result<Compiled, PackError> {
        let failed = |error: io::Error| machine(format!("no compiler could be started: {error}"));
        let mut process = self.start(scale).map_err(failed)?;
        let (stdin, stdout) = (process.child.stdin.take(), process.child.stdout.take());
        let (sender, answer) = channel();
        thread::scope(|scope| {
            // Whoever does not read to the end says why by its answer.
            let write = || drop(stdin.map(|mut stdin| stdin.write_all(wasm)));
            let read = move || drop(sender.send(stdout.map_or(Ok(Vec::new()), read_all)));
            let named = |name: &str| thread::Builder::new().name(name.into());
            let writing = named("compile-in").spawn_scoped(scope, write);
            let reading = named("compile-out").spawn_scoped(scope, read);
            let both = writing.and(reading).map_err(failed);
            let answer = both.and_then(|_| process.wait_for(&answer, cancel));
            // Only one that has not answered is alive; with it the threads end.
            if answer.is_err() {
                drop(process.child.kill());
            }
            let ended = process.child.wait();
            understood(answer?, ended)
        })
    }

    /// Nothing of the worker goes along: no environment, and of descriptors these three alone.
    fn start(&self, scale: Scale) -> io::Result<Process> {
        let mut command = Command::new(&self.program);
        command.arg(COMMAND).arg(scale.name()).arg(std::process::id().to_string());
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn()?;
        Ok(Process { child })
    }
}

impl Process {
    /// All that it says, unless it is cancelled before.
    fn wait_for(
        &self,
        answer: &Receiver<io::Result<Vec<u8>>>,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, PackError> {
        let mut since = Instant::now();
        loop {
            if cancel.is_cancelled() {
                return Err(PackError::Stopped);
            }
            if let Some(turn) = cancel.turn()
                && self.rest(turn, since.elapsed(), cancel)
            {
                since = Instant::now();
                continue;
            }
            match answer.recv_timeout(TICK) {
                Ok(bytes) => return bytes.map_err(|error| machine(format!("no answer: {error}"))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(machine("nobody reads its answer".to_owned()));
                }
            }
        }
    }

    /// Whether it was to wait, or to rest after so long, and has.
    fn rest(&self, turn: &Turn, ran: Duration, cancel: &Cancel) -> bool {
        let owes = turn.owes(ran);
        if owes.is_none() && !turn.is_held() {
            return false;
        }
        self.stand(true);
        turn.wait(|| cancel.is_cancelled());
        owes.into_iter().for_each(|rest| turn.rest(rest, || cancel.is_cancelled()));
        self.stand(false);
        true
    }

    fn stand(&self, still: bool) {
        let signal = if still { Signal::STOP } else { Signal::CONT };
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| rustix::process::kill_process(pid, signal)) {
            tracing::debug!(%error, "a compiler hears no signal");
        }
    }
}

/// This machine has no answer; the next task may get one.
fn machine(reason: String) -> PackError {
    PackError::Missing { what: "its machine code", reason }
}

/// An answer that is longer than any code is none.
fn read_all(from: impl Read) -> io::Result<Vec<u8>> {
    let (mut bytes, most) = (Vec::new(), CODE_BYTES_MAX + 1);
    from.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("more than {most} bytes")));
    }
    Ok(bytes)
}

/// What a process says counts if it ended well after it.
fn understood(mut answer: Vec<u8>, ended: io::Result<ExitStatus>) -> Result<Compiled, PackError> {
    let ended =
        ended.map_err(|error| machine(format!("its compiler was not seen to end: {error}")))?;
    if !ended.success() {
        let is_late = ended.signal() == Some(Signal::XCPU.as_raw());
        let reason = format!("its compiler ended with {ended}");
        return Err(PackError::Bound { reason, is_late });
    }
    match answer.first() {
        Some(&CODE) => Ok(Compiled::Code(answer.split_off(1))),
        Some(&INVALID) => Ok(Compiled::Invalid(String::from_utf8_lossy(&answer[1..]).into_owned())),
        _ => Err(machine("its compiler said nothing".to_owned())),
    }
}
