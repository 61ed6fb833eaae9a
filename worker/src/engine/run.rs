//! One run of a module, from a job to a manifest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::brake::Turn;
use quorate_common::manifest::{Ended, Entry, Manifest, TrapKind};
use thiserror::Error;
use wasmtime::{OutOfMemory, Store, Trap, UpdateDeadline, WasmtimeBug, component as p2};

use super::meter::{Halt, Meter};
use super::ticker::Breaks;
use super::tree::Tree;
use super::wasi::Host;
use super::wasi::clock::Clock;
use super::wasi::fds::Fds;
use super::wasi::preview2;
use super::wasi::random::Random;
use super::{Module, PackProgram, Program, Shared, sentence};

/// Stack of a pack's thread beyond the guest's: for the host's calls, which need a fraction of it.
const HOST_STACK_BYTES: usize = 2 << 20;

/// Everything a run depends on. Equal jobs have equal results, on every machine.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// What follows the program's name in `argv`; the name itself is always `task`.
    pub args: Vec<String>,
    /// Environment, names without `=`.
    pub env: Vec<(String, String)>,
    /// Standard input.
    pub stdin: Vec<u8>,
    /// Files below `/in`, by their path relative to it, in any order.
    pub inputs: Vec<(String, Vec<u8>)>,
    /// Where randomness comes from: something that names the task.
    pub seed: [u8; 32],
    /// Where the clock starts, in seconds since 1970.
    pub epoch_unix_s: u64,
    /// What the run may use.
    pub limits: Limits,
}

/// What a run may use. The first three are part of the task, since reaching them is a result;
/// the last is this machine's patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Fuel: about one unit an instruction, one a byte moved by the host.
    pub fuel: u64,
    /// Bytes of linear memory, tables and `/tmp` together.
    pub memory_bytes: u64,
    /// Bytes of standard output and `/out` together.
    pub output_bytes: u64,
    /// Time until the run is given up; never a result.
    pub wall: Duration,
}

impl Default for Limits {
    /// 10^12 fuel (some ten minutes), 256 MiB of memory, 64 MiB of output, one hour. A guess at
    /// what a volunteer's desktop can spare; orders name their own.
    fn default() -> Self {
        Self {
            fuel: 1_000_000_000_000,
            memory_bytes: 256 << 20,
            output_bytes: 64 << 20,
            wall: Duration::from_secs(3_600),
        }
    }
}

/// Stops a run from another thread, and holds it where it has a turn. Clones stop the same run.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    stop: Arc<AtomicBool>,
    turn: Option<Arc<Turn>>,
}

impl Cancel {
    /// A handle that has not stopped anything yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for a run that takes its turn among others.
    #[must_use]
    pub fn of(turn: Turn) -> Self {
        Self { turn: Some(Arc::new(turn)), ..Self::default() }
    }

    /// The run's turn, if it has one.
    #[must_use]
    pub fn turn(&self) -> Option<&Turn> {
        self.turn.as_deref()
    }

    /// Stops the run within milliseconds, and every later run with this handle at once.
    pub fn cancel(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // Whoever is held looks again.
        self.turn.iter().for_each(|turn| turn.nudge());
    }

    /// The flag itself, for an engine that looks at it in its own way.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Whether [`Cancel::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a run resulted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is voted on. A run that did not exit has the output it had written until then. After
    /// a trap its fuel is what was counted when a function was last called or left: a count up to
    /// the instruction would cost a store at each.
    pub manifest: Manifest,
    /// The blobs that the manifest names, by sha256, each once.
    pub blobs: Vec<([u8; 32], Vec<u8>)>,
    /// The end of standard error, for a person to read. Not part of the result.
    pub stderr_tail: String,
    /// How long it took on this machine.
    pub wall: Duration,
}

/// Why a run has no result. Reads after "could not run the task: ". Never a vote.
#[derive(Debug, Error)]
pub enum RunError {
    /// The scheduler sent something that no engine runs; give the replica back.
    #[error("the job is malformed: {0}")]
    Job(String),
    /// Part of a runtime pack is not here; give the replica back.
    #[error("the runtime pack is not ready: {0}")]
    Missing(String),
    /// The guest used up the machine stack, whose size in calls differs between machines.
    #[error("the call stack is exhausted, expected at most {max} bytes of it to be used")]
    StackOverflow {
        /// [`super::STACK_BYTES`].
        max: usize,
    },
    /// A container used up its memory or was killed: where that happens depends on the kernel.
    #[error("its container ended from outside: {0}")]
    Killed(String),
    /// The wall limit is over; this machine is too slow for the task.
    #[error("it ran for {0:?} without ending, longer than its limit")]
    DeadlineExceeded(Duration),
    /// [`Cancel::cancel`] was called.
    #[error("it was cancelled")]
    Cancelled,
    /// The engine or the machine failed; another machine may do better.
    #[error("the engine failed: {0}")]
    Engine(String),
}

/// Why the epoch callback stopped a run.
#[derive(Debug, Clone, Copy, Error)]
enum Stop {
    #[error("the deadline has passed")]
    Deadline,
    #[error("the run was cancelled")]
    Cancelled,
}

impl Module {
    /// Runs the program once and blocks until it ends.
    ///
    /// # Errors
    /// Whatever has no place in a result; see [`RunError`].
    pub fn run(&self, job: Job, cancel: &Cancel) -> Result<Run, RunError> {
        match &self.program {
            Program::Command(_) | Program::Component(..) => self.run_here(job, cancel),
            Program::Pack(_) => self.run_on_a_deep_stack(job, cancel),
        }
    }

    /// An interpreter nests deeper than the stack of a thread that nobody asked for one.
    fn run_on_a_deep_stack(&self, job: Job, cancel: &Cancel) -> Result<Run, RunError> {
        let failed = |what: &str| RunError::Engine(format!("the thread of a pack's run {what}"));
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("pack".into())
                .stack_size(super::profile::PACK_STACK_BYTES + HOST_STACK_BYTES)
                .spawn_scoped(scope, || self.run_here(job, cancel))
                .map_err(|error| failed(&format!("could not be started: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(failed("panicked")))
        })
    }

    fn run_here(&self, job: Job, cancel: &Cancel) -> Result<Run, RunError> {
        let start = Instant::now();
        if cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        let limits = job.limits;
        let host = host(job, self.pack())?;
        let mut store = self.shared.store(host, &limits, cancel.clone(), start)?;
        let running = self.shared.ticker.running();
        let outcome = self.call(&mut store, limits.fuel);
        drop(running);
        let ended = match outcome {
            Ok(code) => Ended::Exit(code),
            Err(error) => ended(&error, limits.wall)?,
        };
        let left = store.get_fuel().map_err(|error| RunError::Engine(sentence(&error)))?;
        let fuel = if ended == Ended::Fuel { limits.fuel } else { limits.fuel - left };
        Ok(result(ended, fuel, store.into_data(), start))
    }

    fn pack(&self) -> Option<&PackProgram> {
        match &self.program {
            Program::Command(_) | Program::Component(..) => None,
            Program::Pack(pack) => Some(pack),
        }
    }

    fn call(&self, store: &mut Store<Host>, fuel: u64) -> wasmtime::Result<i32> {
        match &self.program {
            Program::Command(linked) => {
                let instance = linked.instantiate(&mut *store)?;
                instance.get_typed_func::<(), ()>(&mut *store, "_start")?.call(store, ())?;
                Ok(0)
            }
            Program::Component(linked, run) => {
                // Programs in it may begin with a call, which may break rules as any other.
                let instance = linked.instantiate(&mut *store).map_err(misuse)?;
                call_run(store, &instance, run).map_err(misuse)
            }
            Program::Pack(pack) => pack.call(store, fuel),
        }
    }
}

/// Calls a component's `run`, which says no more than whether it went well.
fn call_run(
    store: &mut Store<Host>,
    instance: &p2::Instance,
    run: &p2::ComponentExportIndex,
) -> wasmtime::Result<i32> {
    let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, run)?;
    let (done,) = run.call(store, ())?;
    Ok(i32::from(done.is_err()))
}

/// wasmtime has no kind for most of what breaks the component model's rules (a handle that was dropped, a list
/// out of bounds). It depends on nothing but the guest, so it is a result: whatever is neither our own doing, nor
/// a trap of code, nor this machine's trouble.
fn misuse(error: wasmtime::Error) -> wasmtime::Error {
    let ours = error.is::<Halt>() || error.is::<Stop>();
    let trouble = error.is::<OutOfMemory>() || error.is::<WasmtimeBug>() || is_systems(&error);
    match error.downcast_ref::<Trap>() {
        Some(
            Trap::CannotEnterComponent
            | Trap::CannotLeaveComponent
            | Trap::InvalidChar
            | Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidDiscriminant
            | Trap::UnalignedPointer,
        ) => Halt::Misuse.into(),
        Some(_) => error,
        None if ours || trouble => error,
        None => {
            tracing::debug!(error = sentence(&error), "a component broke a rule");
            Halt::Misuse.into()
        }
    }
}

/// What the kernel refused: memory for an instance, as a rule.
fn is_systems(error: &wasmtime::Error) -> bool {
    error.is::<rustix::io::Errno>() || error.is::<std::io::Error>()
}

impl Shared {
    /// A store that keeps to `limits`, and looks at `cancel` and at the time since `start`.
    pub(super) fn store(
        &self,
        host: Host,
        limits: &Limits,
        cancel: Cancel,
        start: Instant,
    ) -> Result<Store<Host>, RunError> {
        let mut store = Store::new(&self.wasmtime, host);
        store.limiter(|host| &mut host.meter);
        store.set_fuel(limits.fuel).map_err(|error| RunError::Engine(sentence(&error)))?;
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(preview2::CALL_BYTES_MAX);
        store.set_max_component_handles(preview2::held::COUNTED_HANDLES_MAX);
        let mut pace = Pace::new(cancel, self.ticker.breaks(), start, limits.wall);
        store.epoch_deadline_callback(move |_| match pace.look() {
            Ok(()) => Ok(UpdateDeadline::Continue(1)),
            Err(stop) => Err(stop.into()),
        });
        Ok(store)
    }
}

/// What a run looks at each time an epoch has passed.
struct Pace {
    cancel: Cancel,
    breaks: Breaks,
    start: Instant,
    wall: Duration,
    /// How long it was held: time that is not its own.
    held: Duration,
    /// What its thread had of a processor when it rested last.
    rested_at: Duration,
}

impl Pace {
    fn new(cancel: Cancel, breaks: Breaks, start: Instant, wall: Duration) -> Self {
        Self { cancel, breaks, start, wall, held: Duration::ZERO, rested_at: thread_time() }
    }

    fn look(&mut self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if self.start.elapsed().saturating_sub(self.held) > self.wall {
            return Err(Stop::Deadline);
        }
        self.keep_its_turn();
        if self.cancel.is_cancelled() { Err(Stop::Cancelled) } else { Ok(()) }
    }

    fn keep_its_turn(&mut self) {
        let Some(turn) = self.cancel.turn() else { return };
        let is_cancelled = || self.cancel.is_cancelled();
        if turn.is_held() {
            self.held += self.breaks.during(|| turn.wait(is_cancelled));
        }
        if turn.percent() < 100
            && let Some(rest) = turn.owes(thread_time().saturating_sub(self.rested_at))
        {
            self.breaks.during(|| turn.rest(rest, is_cancelled));
            self.rested_at = thread_time();
        }
    }
}

/// What this thread has had of a processor.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The host's state before the first instruction.
pub(super) fn host(mut job: Job, pack: Option<&PackProgram>) -> Result<Host, RunError> {
    let args = match pack {
        None => std::iter::once("task".to_owned()).chain(std::mem::take(&mut job.args)).collect(),
        Some(_) => super::pack::invocation(&mut job),
    };
    let env: Vec<String> =
        job.env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    if let Some(bad) = args.iter().chain(&env).find(|text| text.contains('\0')) {
        return Err(RunError::Job(format!("{bad:?} has a NUL character, expected none")));
    }
    let mut inputs = job.inputs;
    inputs.sort_by(|(a, _), (b, _)| a.cmp(b));
    let library = pack.map_or(&[][..], PackProgram::library);
    let mut tree = Tree::new(library, inputs).map_err(RunError::Job)?;
    Ok(Host {
        memory: None,
        meter: Meter::new(job.limits.memory_bytes, job.limits.output_bytes),
        fds: Fds::new(&mut tree),
        handles: Default::default(),
        tree,
        args,
        env,
        stdin: job.stdin,
        stdout: Vec::new(),
        stderr: Default::default(),
        clock: Clock::new(job.epoch_unix_s),
        random: Random::new(job.seed),
    })
}

/// What an error of the engine says about the guest, if anything.
pub(super) fn ended(error: &wasmtime::Error, wall: Duration) -> Result<Ended, RunError> {
    if let Some(halt) = error.downcast_ref::<Halt>() {
        return match halt {
            Halt::Exit(code) => Ok(Ended::Exit(*code)),
            Halt::Fuel => Ok(Ended::Fuel),
            Halt::Memory => Ok(Ended::Memory),
            Halt::Output => Ok(Ended::Output),
            Halt::Misuse => Ok(Ended::Trap(TrapKind::ComponentRules)),
            Halt::Host => Err(RunError::Engine(halt.to_string())),
        };
    }
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return Err(match stop {
            Stop::Deadline => RunError::DeadlineExceeded(wall),
            Stop::Cancelled => RunError::Cancelled,
        });
    }
    let kind = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return Ok(Ended::Fuel),
        Some(Trap::StackOverflow) => {
            return Err(RunError::StackOverflow { max: super::STACK_BYTES });
        }
        Some(Trap::UnreachableCodeReached) => TrapKind::Unreachable,
        Some(Trap::MemoryOutOfBounds) => TrapKind::MemoryOutOfBounds,
        Some(Trap::TableOutOfBounds) => TrapKind::TableOutOfBounds,
        Some(Trap::IndirectCallToNull) => TrapKind::IndirectCallToNull,
        Some(Trap::BadSignature) => TrapKind::BadSignature,
        Some(Trap::IntegerOverflow) => TrapKind::IntegerOverflow,
        Some(Trap::IntegerDivisionByZero) => TrapKind::IntegerDivisionByZero,
        Some(Trap::BadConversionToInteger) => TrapKind::BadConversionToInteger,
        // Traps of features that are off, and of wasmtime's own checks.
        Some(_) | None => return Err(RunError::Engine(sentence(error))),
    };
    Ok(Ended::Trap(kind))
}

/// Names and gathers what the guest left behind.
fn result(ended: Ended, fuel: u64, host: Host, start: Instant) -> Run {
    let mut blobs = BTreeMap::new();
    let mut keep = |bytes: Vec<u8>| {
        let entry = Entry::of(&bytes);
        blobs.insert(entry.digest, bytes);
        entry
    };
    let stdout = (!host.stdout.is_empty()).then(|| keep(host.stdout));
    let files: Vec<(String, Entry)> =
        host.tree.into_results().into_iter().map(|(path, bytes)| (path, keep(bytes))).collect();
    Run {
        manifest: Manifest { ended, fuel, stdout, files },
        blobs: blobs.into_iter().collect(),
        stderr_tail: host.stderr.into_text(),
        wall: start.elapsed(),
    }
}
