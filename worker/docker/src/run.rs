//! One run of a container, from an image and its inputs to files.

use crate::{
    engine::{CALL, Engine, EngineError, failed, status, within},
    held::{Folders, Held},
    output::{Files, OutputError},
    profile::{Command, Limits},
};
use bollard::{
    container::LogOutput,
    errors::Error,
    models::ContainerState,
    query_parameters::{
        AttachContainerOptionsBuilder, KillContainerOptionsBuilder, WaitContainerOptionsBuilder,
    },
};
use futures_util::{Stream, StreamExt as _};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Bytes of standard error that are kept: its end, for a person to read.
const STDERR_BYTES: usize = 64 << 10;
/// How often it is looked whether a run is to be stopped.
const LOOK: Duration = Duration::from_millis(50);
/// How long a killed container takes to be gone, at worst: its memory must be given back.
const DYING: Duration = Duration::from_secs(60);
/// How long the last output takes to arrive behind the end.
const TAIL: Duration = Duration::from_secs(10);
/// An engine learns of memory's end by another way than of the process's: this often it is asked again.
const OOM_LOOKS: u32 = 10;
/// What a process says that was killed by a signal nobody here sent.
const KILLED: i64 = 137;

/// A run, with everything it depends on.
#[derive(Clone, Debug)]
pub struct Task {
    /// The image's digest, as it was loaded.
    pub image: String,
    /// In place of the image's own command, if there are any.
    pub args: Vec<String>,
    /// `NAME=value`, besides the image's own.
    pub env: Vec<String>,
    /// Standard input.
    pub stdin: Vec<u8>,
    /// Files below the input folder, by their path relative to it.
    pub inputs: Vec<(String, Vec<u8>)>,
    /// Where it finds its folders.
    pub folders: Folders,
    /// What it may use.
    pub limits: Limits,
    /// While it is set, the container is frozen in memory, and its time does not count.
    pub hold: Arc<AtomicBool>,
}

/// Stops a run from another thread. Clones stop the same run.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Stops when somebody else's flag is set.
    pub fn when(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Stops the run within a second or so.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The program's exit code.
    pub code: i32,
    /// Standard output; what was written until then, where there was too much.
    pub stdout: Vec<u8>,
    /// The end of standard error.
    pub stderr_tail: String,
    /// What lies in the output folder, or why that is no result.
    pub files: Result<Files, OutputError>,
    /// How long it took.
    pub wall: Duration,
}

/// Why a run has no outcome. Never a vote: honest machines may differ in each.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Memory was used up: where exactly that happens depends on the kernel.
    #[error("it used up its {most} bytes of memory")]
    OutOfMemory {
        /// What it had.
        most: u64,
    },
    /// It was killed, and not by us.
    #[error("it was killed from outside, or killed itself with SIGKILL")]
    Killed,
    /// The wall limit is over.
    #[error("it ran for {0:?} without ending, longer than its limit")]
    Deadline(Duration),
    /// [`Stop::stop`] was called.
    #[error("it was cancelled")]
    Cancelled,
    /// The engine failed; another machine may do better.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What ended the watch over a run.
enum End {
    Exited,
    Deadline,
    Cancelled,
    Flood,
}

struct Watched {
    end: End,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

impl Engine {
    /// Runs a container and blocks until it and everything it had is gone.
    ///
    /// # Errors
    /// [`RunError`]
    pub fn run(&self, task: Task, stop: Stop) -> Result<Outcome, RunError> {
        let engine = self.clone();
        self.block(async move {
            let mut held = Held::new(engine.clone(), task.folders);
            let outcome = run(&engine, &mut held, task, &stop).await;
            held.clear().await;
            Ok(outcome)
        })?
    }
}

async fn run(
    engine: &Engine,
    held: &mut Held,
    task: Task,
    stop: &Stop,
) -> Result<Outcome, RunError> {
    let Task { image, args, env, stdin, inputs, limits, hold, .. } = task;
    held.set_up(&limits, &inputs).await?;
    drop(inputs);
    let command = Command { image, args, env, stdin: !stdin.is_empty() };
    let id = held.create_task(command, &limits).await?;
    let options = AttachContainerOptionsBuilder::default()
        .stdin(!stdin.is_empty())
        .stdout(true)
        .stderr(true)
        .stream(true)
        .build();
    let attached = within("listen", CALL, engine.docker.attach_container(&id, Some(options)));
    let attached = attached.await?;
    if stop.is_asked() {
        return Err(RunError::Cancelled);
    }
    held.start(&id).await?;
    let began = Instant::now();
    if !stdin.is_empty() {
        tokio::spawn(tell(attached.input, stdin));
    }
    let freezer = Freezer { engine, id: &id, hold, frozen: None };
    let watched = watch(freezer, attached.output, &limits, stop).await?;
    let wall = began.elapsed();
    match watched.end {
        End::Deadline => return Err(RunError::Deadline(limits.wall)),
        End::Cancelled => return Err(RunError::Cancelled),
        End::Exited | End::Flood => {}
    }
    let flooded = matches!(watched.end, End::Flood);
    let code = if flooded { 0 } else { exit_code(engine, &id, &limits).await? };
    let left = limits.output_bytes.saturating_sub(watched.stdout.len() as u64);
    let files = match flooded {
        true => Err(OutputError::Bytes { most: limits.output_bytes }),
        // What counts together is said together.
        false => match held.collect(left).await? {
            Err(OutputError::Bytes { .. }) => Err(OutputError::Bytes { most: limits.output_bytes }),
            outcome => outcome,
        },
    };
    let Watched { stdout, stderr, .. } = watched;
    let stderr_tail = String::from_utf8_lossy(&stderr).into_owned();
    Ok(Outcome { code, stdout, stderr_tail, files, wall })
}

/// Writes what the program reads, then ends it. A program need not read it.
async fn tell(mut input: Pin<Box<dyn AsyncWrite + Send>>, bytes: Vec<u8>) {
    if let Err(error) = input.write_all(&bytes).await {
        tracing::debug!(%error, "standard input was not read to its end");
    }
    drop(input.shutdown().await);
}

/// Reads what is written and waits for the end, whichever it is; then the container is dead.
async fn watch(
    mut freezer: Freezer<'_>,
    mut output: Output,
    limits: &Limits,
    stop: &Stop,
) -> Result<Watched, RunError> {
    let (engine, id) = (freezer.engine, freezer.id);
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut exit = std::pin::pin!(engine.docker.wait_container(id, Some(options)));
    let deadline = tokio::time::sleep(limits.wall);
    let mut deadline = std::pin::pin!(deadline);
    let mut look = tokio::time::interval(LOOK);
    let mut heard = Watched { end: End::Exited, stdout: Vec::new(), stderr: Vec::new() };
    let mut silent = false;
    loop {
        tokio::select! {
            said = output.next(), if !silent => match said {
                Some(said) => heard.note(said.map_err(|error| failed("listen", error))?),
                None => silent = true,
            },
            over = exit.next() => {
                ended(over)?;
                break;
            }
            () = &mut deadline, if !freezer.is_frozen() => heard.end = End::Deadline,
            _ = look.tick() => {
                if stop.is_asked() {
                    heard.end = End::Cancelled;
                } else if let Some(held) = freezer.look().await? {
                    let until = deadline.deadline() + held;
                    deadline.as_mut().reset(until);
                }
            }
        }
        if heard.stdout.len() as u64 > limits.output_bytes {
            heard.end = End::Flood;
        }
        if !matches!(heard.end, End::Exited) {
            let dying = async {
                // What is frozen would not die.
                freezer.thaw().await?;
                kill(engine, id).await?;
                let over = tokio::time::timeout(DYING, exit.next()).await;
                let what = "see a killed container end";
                ended(over.map_err(|_| EngineError::Silent { what, limit: DYING })?)
            };
            meanwhile(dying, output).await?;
            return Ok(heard);
        }
    }
    let tail = async {
        while let Some(Ok(said)) = output.next().await {
            heard.note(said);
        }
    };
    if !silent && tokio::time::timeout(TAIL, tail).await.is_err() {
        let what = "hear the end of the output";
        return Err(EngineError::Silent { what, limit: TAIL }.into());
    }
    if heard.stdout.len() as u64 > limits.output_bytes {
        heard.end = End::Flood;
    }
    Ok(heard)
}

/// Freezes a container while its run is held.
struct Freezer<'a> {
    engine: &'a Engine,
    id: &'a str,
    hold: Arc<AtomicBool>,
    frozen: Option<tokio::time::Instant>,
}

impl Freezer<'_> {
    fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Does as the flag says; when a container goes on, says how long it was frozen.
    async fn look(&mut self) -> Result<Option<Duration>, EngineError> {
        let is_held = self.hold.load(Ordering::Relaxed);
        match (is_held, self.is_frozen()) {
            (true, false) => self.freeze().await.map(|()| None),
            (false, true) => self.thaw().await,
            (true, true) | (false, false) => Ok(None),
        }
    }

    async fn freeze(&mut self) -> Result<(), EngineError> {
        let call = self.engine.docker.pause_container(self.id);
        or_ended(within("freeze a container", CALL, call).await)?;
        self.frozen = Some(tokio::time::Instant::now());
        Ok(())
    }

    async fn thaw(&mut self) -> Result<Option<Duration>, EngineError> {
        let Some(since) = self.frozen.take() else { return Ok(None) };
        let call = self.engine.docker.unpause_container(self.id);
        or_ended(within("thaw a container", CALL, call).await)?;
        Ok(Some(since.elapsed()))
    }
}

/// A container that ended by itself meanwhile cannot be asked anything, and need not.
fn or_ended(outcome: Result<(), EngineError>) -> Result<(), EngineError> {
    match outcome {
        Err(EngineError::Call { source, .. }) if is_conflict(&source) => Ok(()),
        outcome => outcome,
    }
}

/// Reads on while something happens: an engine does not see the end of a container that nobody listens to.
async fn meanwhile(
    happening: impl Future<Output = Result<(), EngineError>>,
    mut output: Output,
) -> Result<(), EngineError> {
    let mut happening = std::pin::pin!(happening);
    loop {
        tokio::select! {
            outcome = &mut happening => return outcome,
            Some(_) = output.next() => {}
        }
    }
}

impl Watched {
    fn note(&mut self, said: LogOutput) {
        match said {
            LogOutput::StdOut { message } => self.stdout.extend_from_slice(&message),
            LogOutput::StdErr { message } => {
                self.stderr.extend_from_slice(&message);
                let surplus = self.stderr.len().saturating_sub(STDERR_BYTES);
                self.stderr.drain(..surplus);
            }
            LogOutput::StdIn { .. } | LogOutput::Console { .. } => {}
        }
    }
}

/// The client calls every exit code but 0 an error.
fn ended<T>(over: Option<Result<T, Error>>) -> Result<(), EngineError> {
    match over {
        Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => Ok(()),
        Some(Err(error)) => Err(failed("wait for a container", error)),
        None => Err(EngineError::Strange("it stopped telling whether a container runs".to_owned())),
    }
}

async fn kill(engine: &Engine, id: &str) -> Result<(), EngineError> {
    let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
    let call = engine.docker.kill_container(id, Some(options));
    or_ended(within("kill a container", CALL, call).await)
}

fn is_conflict(error: &Error) -> bool {
    matches!(status(error), Some(404 | 409))
}

/// How it ended. A deadline's kill and memory's end have one exit code, so the engine is asked.
async fn exit_code(engine: &Engine, id: &str, limits: &Limits) -> Result<i32, RunError> {
    let mut looks = tokio::time::interval(2 * LOOK);
    for look in 1.. {
        looks.tick().await;
        let found = within("see how it ended", CALL, engine.docker.inspect_container(id, None));
        let state: ContainerState = found.await?.state.unwrap_or_default();
        let code = state.exit_code.unwrap_or_default();
        if state.oom_killed == Some(true) {
            return Err(RunError::OutOfMemory { most: limits.container_bytes() });
        }
        if code != KILLED {
            return Ok(i32::try_from(code).unwrap_or(i32::MAX));
        }
        if look == OOM_LOOKS {
            break;
        }
    }
    Err(RunError::Killed)
}
