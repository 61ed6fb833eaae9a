//! Jobs under way: fetched by tasks, run on threads of their own, stopped by ticket. How many run
//! at once is the agent's decision; every one that was started ends with exactly one `Finished`.

use crate::{
    actors::agent::{AgentActor, Fetched, Finished},
    blobs::{BlobError, Blobs, Holder},
    brake::Brake,
    cgroup::JobGroup,
    deals::{Deals, PreparedDeal, task_of},
    engine::{self, Cancel, Job, Run},
    pace::Pace,
    runner::{JobSpec, Runner, give_up_reason},
    transfer::{self, Line},
};
use actix::Addr;
use quorate_agent::{Output, Ticket};
use quorate_common::{
    bag::{Bag, InputFile},
    digest::Digest,
    ids::TaskKey,
    keys::NodeKey,
    report::Chain,
    sealed::SealError,
    wire::{DealInfo, GiveUpReason, INLINE_BYTES_MAX, Inline},
};
use quorate_docker::iexec::Place;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::AbortHandle};

/// Uploads at once: they share one uplink, and two keep it full.
const UPLOADS_MAX: usize = 2;
/// Stack of a job's thread: the engine's own, and room for the host's calls.
const STACK_BYTES: usize = engine::STACK_BYTES + (2 << 20);

/// Starts and stops jobs for one worker.
pub(crate) struct Jobs {
    agent: Addr<AgentActor>,
    runner: Arc<dyn Runner>,
    blobs: Arc<Blobs>,
    rule: Rule,
    deals: Arc<Deals>,
    line: Line,
    uploads: Arc<Semaphore>,
    under_way: BTreeMap<Ticket, UnderWay>,
}

enum UnderWay {
    Fetching(AbortHandle),
    Ready(Arc<PreparedDeal>),
    Running(Cancel),
}

/// What holds and slows runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rule {
    /// Which of them go on.
    pub(crate) brake: Brake,
    /// How fast bytes may move.
    pub(crate) pace: Pace,
    /// Where the kernel keeps their share, if it does.
    pub(crate) group: Option<Arc<JobGroup>>,
    /// The least pay of a task in a container, in token units.
    pub(crate) docker_price: u128,
    /// Milliseconds a run took of late, on average; 0: none has ended.
    pub(crate) pace_ms: Arc<AtomicU64>,
    /// Processor time of runs that was not written down yet, in milliseconds.
    pub(crate) core_ms: Arc<AtomicU64>,
}

/// One replica to run.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) ticket: Ticket,
    pub(crate) task: TaskKey,
    pub(crate) attempt: u16,
    pub(crate) deal: DealInfo,
    pub(crate) seed: [u8; 32],
    pub(crate) wall_ms: u64,
}

impl Jobs {
    pub(crate) fn new(
        agent: Addr<AgentActor>,
        runner: Arc<dyn Runner>,
        blobs: Arc<Blobs>,
        line: Line,
        memory_bytes: u64,
        rule: Rule,
        node_key: NodeKey,
    ) -> Self {
        let deals = Deals::new(
            (line.clone(), rule.pace.clone()),
            blobs.clone(),
            runner.clone(),
            memory_bytes,
            rule.brake.clone(),
            node_key,
        );
        let uploads = Arc::new(Semaphore::new(UPLOADS_MAX));
        let deals = Arc::new(deals);
        Self { agent, runner, blobs, rule, deals, line, uploads, under_way: BTreeMap::new() }
    }

    /// Processor time of runs since it was asked last, in milliseconds.
    pub(crate) fn core_ms(&self) -> u64 {
        self.rule.core_ms.swap(0, Ordering::Relaxed)
    }

    /// Gets what a task needs; `Fetched` follows unless it is stopped.
    pub(crate) fn fetch(&mut self, ticket: Ticket, task: TaskKey, deal: DealInfo) {
        let (agent, deals) = (self.agent.clone(), self.deals.clone());
        let docker_price = self.rule.docker_price;
        let fetching = tokio::spawn(async move {
            let outcome = deals.fetch(Holder::Work(ticket), &deal, task.idx).await;
            let outcome = outcome.and_then(|ready| {
                let is_paid = ready.bag.kind.is_wasm() || deal.unit_price >= docker_price;
                if is_paid { Ok(ready) } else { Err(GiveUpReason::Price) }
            });
            agent.do_send(Fetched { ticket, task, outcome });
        });
        self.under_way.insert(ticket, UnderWay::Fetching(fetching.abort_handle()));
    }

    /// Everything a task needs is here, unless it was stopped meanwhile.
    pub(crate) fn fetched(
        &mut self,
        ticket: Ticket,
        outcome: &Result<Arc<PreparedDeal>, GiveUpReason>,
    ) {
        let Some(under_way) = self.under_way.get_mut(&ticket) else { return };
        match outcome {
            Ok(deal) => *under_way = UnderWay::Ready(deal.clone()),
            Err(_) => self.end(ticket),
        }
    }

    /// Runs a task on a thread of its own; `Finished` follows.
    pub(crate) fn start(&mut self, start: Start) {
        let ticket = start.ticket;
        let Some(UnderWay::Ready(deal)) = self.under_way.remove(&ticket) else {
            return self.agent.do_send(Finished::failed(&start, GiveUpReason::Engine));
        };
        let cancel = Cancel::of(self.rule.brake.turn());
        self.under_way.insert(ticket, UnderWay::Running(cancel.clone()));
        let (agent, blobs, runner) = (self.agent.clone(), self.blobs.clone(), self.runner.clone());
        let failed = Finished::failed(&start, GiveUpReason::Engine);
        let (group, pace_ms, core_ms) =
            (self.rule.group.clone(), self.rule.pace_ms.clone(), self.rule.core_ms.clone());
        let work = move || {
            step_back(group.as_deref());
            let began = Instant::now();
            let (task, outcome) = (start.task, run(&blobs, &*runner, &start, &deal, cancel));
            if outcome.is_ok() {
                note_pace(&pace_ms, began.elapsed());
            }
            let taken = if deal.bag.kind.is_wasm() { thread_time() } else { began.elapsed() };
            core_ms.fetch_add(millis(taken), Ordering::Relaxed);
            agent.do_send(Finished { ticket, task, outcome });
        };
        let name = format!("job {}", failed.task);
        let thread = thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(work);
        if let Err(error) = thread {
            tracing::error!(%error, "no thread for a job");
            self.agent.do_send(failed);
        }
    }

    /// Stops a job, whatever it does. A run ends within milliseconds and reports as usual.
    pub(crate) fn stop(&mut self, ticket: Ticket) {
        match self.under_way.get(&ticket) {
            Some(UnderWay::Running(cancel)) => cancel.cancel(),
            Some(UnderWay::Fetching(task)) => {
                task.abort();
                self.end(ticket);
            }
            Some(UnderWay::Ready(_)) => self.end(ticket),
            None => {}
        }
    }

    /// A job is over, and needs its inputs no longer.
    pub(crate) fn end(&mut self, ticket: Ticket) {
        self.under_way.remove(&ticket);
        self.blobs.release(Holder::Work(ticket));
    }

    /// Brings a result to the scheduler. If the connection breaks, the scheduler asks again.
    pub(crate) fn upload(&self, task: TaskKey, digests: Vec<Digest>) {
        let (blobs, uploads) = (self.blobs.clone(), self.uploads.clone());
        let pace = self.rule.pace.clone();
        let Some(connection) = self.line.borrow().clone() else { return };
        tokio::spawn(async move {
            let Ok(_permit) = uploads.acquire().await else { return };
            for digest in digests {
                if let Err(error) = transfer::put((&connection, &pace), &blobs, digest).await {
                    tracing::warn!(%task, error = %Chain(&error), "a result was not brought");
                    return;
                }
            }
        });
    }

    /// Stops everything, to end the program.
    pub(crate) fn stop_all(&mut self) {
        let tickets: Vec<Ticket> = self.under_way.keys().copied().collect();
        tickets.into_iter().for_each(|ticket| self.stop(ticket));
        self.deals.stop();
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("under_way", &self.under_way.len()).finish_non_exhaustive()
    }
}

/// Processor time this thread has had. A module runs on its job's own thread; of a container only the time that
/// passed is known.
fn thread_time() -> Duration {
    let had = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(had.tv_sec.unsigned_abs(), u32::try_from(had.tv_nsec).unwrap_or(0))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// An eighth of what is new: a few odd tasks do not move it far.
fn note_pace(pace_ms: &AtomicU64, took: Duration) {
    let took = millis(took).max(1);
    let before = pace_ms.load(Ordering::Relaxed);
    let pace = if before == 0 { took } else { before / 8 * 7 + before % 8 + took / 8 };
    pace_ms.store(pace, Ordering::Relaxed);
}

/// Has this thread come after everybody else's, and counted where the kernel counts runs.
fn step_back(group: Option<&JobGroup>) {
    // Of Linux's priorities the lowest; a thread has its own, and hands it on to those it starts.
    const LAST: i32 = 19;
    if let Err(error) = rustix::process::setpriority_process(None, LAST) {
        tracing::debug!(%error, "a run has everybody's priority");
    }
    if let Some(Err(error)) = group.map(JobGroup::enter) {
        tracing::warn!(%error, "a run is outside of its control group");
    }
}

fn run(
    blobs: &Blobs,
    runner: &dyn Runner,
    start: &Start,
    deal: &PreparedDeal,
    cancel: Cancel,
) -> Result<Output, GiveUpReason> {
    let spec = spec(blobs, start, deal, cancel).map_err(|error| {
        tracing::warn!(task = %start.task, error = %Chain(&error), "an input is gone");
        GiveUpReason::Input
    })?;
    let run = runner.run(&spec).map_err(|error| {
        tracing::info!(task = %start.task, error = %Chain(&error), "a run has no result");
        give_up_reason(&error)
    })?;
    tracing::debug!(
        task = %start.task,
        ended = ?run.manifest.ended,
        fuel = run.manifest.fuel,
        wall_ms = run.wall.as_millis(),
        stderr = run.stderr_tail,
        "a run ended"
    );
    keep(blobs, start.task, run).map_err(|error| {
        tracing::error!(task = %start.task, error = %Chain(&error), "a result cannot be kept");
        GiveUpReason::Engine
    })
}

/// Puts together what a run depends on.
fn spec(
    blobs: &Blobs,
    start: &Start,
    deal: &PreparedDeal,
    cancel: Cancel,
) -> Result<JobSpec, InputError> {
    let task = task_of(&deal.bag, start.deal.first, start.task.idx).expect("it was fetched");
    let mut inputs = Vec::new();
    for file in deal.bag.files.iter().chain(&task.files) {
        inputs.push((file.path.clone(), input(blobs, deal, file)?));
    }
    let limits = engine::Limits {
        fuel: deal.bag.limits.fuel,
        memory_bytes: deal.bag.limits.memory_bytes,
        output_bytes: deal.bag.limits.output_bytes,
        wall: Duration::from_millis(start.wall_ms),
    };
    let job = Job {
        args: task.args.clone(),
        env: Vec::new(),
        stdin: task.stdin.clone().into_bytes(),
        inputs,
        seed: start.seed,
        epoch_unix_s: start.deal.deadline,
        limits,
    };
    let (app, code, kind) = (deal.app, deal.code.clone(), deal.bag.kind);
    let (archive, place) = (blobs.path(app), place(start, &deal.bag));
    let (task, attempt) = (start.task, start.attempt);
    Ok(JobSpec { task, attempt, app, code, job, kind, archive, place, cancel })
}

/// Why an input file cannot be used.
#[derive(Debug, thiserror::Error)]
enum InputError {
    /// It is not here, or damaged.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// It cannot be opened.
    #[error(transparent)]
    Sealed(#[from] SealError),
}

/// A file's bytes. What is sealed lies sealed in the cache, and in the clear only where it is used.
fn input(blobs: &Blobs, deal: &PreparedDeal, file: &InputFile) -> Result<Vec<u8>, InputError> {
    let bytes = blobs.read(file.digest)?;
    match &deal.files {
        Some(key) if file.sealed => Ok(key.open(bytes)?),
        Some(_) | None => Ok(bytes),
    }
}

/// Counted over the whole bag, so that it is the same however an order is divided into deals.
fn place(start: &Start, bag: &Bag) -> Place {
    Place {
        task_id: start.deal.id.task_id(start.task.idx).0,
        index: start.deal.first.saturating_add(start.task.idx),
        tasks: u32::try_from(bag.tasks.len()).unwrap_or(u32::MAX),
        dataset: bag.dataset.clone(),
    }
}

/// Puts a result into the blob folder, to stay until its task is settled.
fn keep(blobs: &Blobs, task: TaskKey, run: Run) -> Result<Output, BlobError> {
    let manifest = run.manifest.encode().into_bytes();
    let digest = Digest::of(&manifest);
    let found: BTreeMap<Digest, Vec<u8>> =
        run.blobs.into_iter().map(|(digest, bytes)| (Digest(digest), bytes)).collect();
    let files = run.manifest.files.iter().map(|(_, entry)| entry);
    let named = run.manifest.stdout.iter().chain(files).map(|entry| Digest(entry.digest));
    let named: Vec<Digest> = named.collect();
    let inline = inline(&manifest, &named, &found);
    let mut seen = BTreeSet::new();
    let once = std::iter::once(digest).chain(named).filter(|name| seen.insert(*name));
    let digests: Vec<Digest> = once.collect();
    blobs.hold(Holder::Result(task), &digests);
    let stored = blobs.put(digest, &manifest);
    let stored = found
        .iter()
        .fold(stored, |stored, (digest, bytes)| stored.and_then(|()| blobs.put(*digest, bytes)));
    // What the seal does not have in it must be there as long as the seal.
    let stored = stored.and_then(|()| if inline.is_some() { Ok(()) } else { blobs.sync(&digests) });
    if let Err(error) = stored {
        blobs.release_some(Holder::Result(task), &digests);
        return Err(error);
    }
    Ok(Output { digest, blobs: digests, inline })
}

/// The whole result, if it is small: the manifest, then one blob for each of its lines.
fn inline(manifest: &[u8], named: &[Digest], found: &BTreeMap<Digest, Vec<u8>>) -> Option<Inline> {
    let mut len = manifest.len();
    let mut blobs = vec![manifest.to_vec()];
    for name in named {
        let blob = found.get(name)?;
        len += blob.len();
        if len > INLINE_BYTES_MAX {
            return None;
        }
        blobs.push(blob.clone());
    }
    (len <= INLINE_BYTES_MAX).then_some(Inline { blobs })
}
