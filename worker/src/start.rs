//! Starts a worker on a thread of its own, and hands out the strings to pull.

use crate::{
    actors::{
        agent::{AgentActor, Identity, Wish},
        link::{Begin, Cut, Leave, LinkActor},
    },
    allowance::Allowance,
    blobs::{Blobs, Holder},
    bundle::Bundle,
    cgroup::JobGroup,
    escape::Escapes,
    jobs::{Jobs, Rule},
    ledger::Ledger,
    options::{StartError, WorkerOptions},
    status::{self, Status},
    store::Store,
    ticket::{self, Keeper},
    transfer::Line,
    words::Words,
};
use actix::{Actor as _, Addr, Arbiter};
use quorate_agent::{Agent, Config, LinkView};
use quorate_common::{
    anchor::SLACK_S,
    clock::SystemClock,
    quic,
    report::Chain as Report,
    wire::{EngineInfo, Hello, SLOTS_MAX},
};
use quorate_policy::Network;
use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// How long a leaving worker waits for its votes to be acknowledged. What is not acknowledged then
/// is on disk, and is sent by the next start.
const ACKS: Duration = Duration::from_secs(5);
/// How long its store may take to close.
const CLOSE: Duration = Duration::from_secs(5);

/// The strings of a running worker. Dropping it lets the worker go on.
#[derive(Debug)]
pub struct WorkerHandle {
    status: watch::Receiver<Status>,
    agent: Addr<AgentActor>,
    link: Addr<LinkActor>,
    arbiter: Arbiter,
    closed: oneshot::Receiver<()>,
    reins: Reins,
}

/// What holds a worker back: clones hold the same one.
#[derive(Clone, Debug)]
pub struct Reins {
    agent: Addr<AgentActor>,
    rule: Rule,
    line: Line,
    blobs: Arc<Blobs>,
    /// What it may do otherwise, and whether it makes ready to go.
    last: Arc<Mutex<(Option<Allowance>, bool)>>,
}

/// Starts a worker. It connects by itself, and reconnects for as long as it lives.
///
/// Must be called inside an actix system; the worker gets a thread of its own.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start(options: WorkerOptions) -> Result<WorkerHandle, StartError> {
    begin(options, Rule::default(), None).await
}

/// What the agents of one machine share, each of which works for another pool.
#[derive(Clone, Debug, Default)]
pub struct Company(Rule);

impl Company {
    /// `group` counts their runs, where the kernel has one. A task in a container is taken for `docker_price` at
    /// least.
    pub fn new(group: Option<JobGroup>, docker_price: u128) -> Self {
        Self(Rule { group: group.map(Arc::new), docker_price, ..Rule::default() })
    }

    /// Keeps the transfers of all of them to this, from the first connection on: how much may be under way on a
    /// connection is settled when it is made.
    pub fn pace(&self, network: Network) {
        self.0.pace.follow(network);
    }
}

/// Starts a worker that does as it is allowed to, from its first moment on.
///
/// # Errors
/// As [`start`].
pub async fn start_under(
    options: WorkerOptions,
    first: Allowance,
    company: &Company,
) -> Result<WorkerHandle, StartError> {
    // Each has a brake, a pace of work and a ledger of its own.
    let own = Rule::default();
    let rule =
        Rule { brake: own.brake, pace_ms: own.pace_ms, core_ms: own.core_ms, ..company.0.clone() };
    begin(options, rule, Some(first)).await
}

async fn begin(
    options: WorkerOptions,
    rule: Rule,
    first: Option<Allowance>,
) -> Result<WorkerHandle, StartError> {
    check(&options)?;
    let lock = lock(&options.data_dir)?;
    let invite = &options.invite;
    let store_dir = options.data_dir.join("store");
    let (store, memory) = Store::open(&store_dir, invite.pool, invite.domain)?;
    let blobs = Arc::new(Blobs::open(&options.data_dir.join("blobs"), options.cache_bytes)?);
    let clock = SystemClock::start();
    let config = Config {
        pool: invite.pool,
        domain: invite.domain,
        slots_max: options.slots,
        ask: options.ask,
        slack_s: SLACK_S,
    };
    let mut agent = Agent::restore(config, clock.now(), memory.totals, &memory.records);
    if let Some(first) = first {
        rule.apply(first);
        first.inputs().into_iter().for_each(|input| agent.handle(clock.now(), input));
    }
    for (task, job) in agent.kept() {
        blobs.hold(Holder::Result(task), &job.seal.blobs);
    }
    let client = quic::client_config(&options.node_key, invite.node_key)?;
    let (line_sender, line) = watch::channel(None);
    let (status_sender, status) = watch::channel(first_status(&options, &agent, &blobs));
    let (closed_sender, closed) = oneshot::channel();
    let (ready_sender, ready) = oneshot::channel();
    let arbiter = Arbiter::new();
    let watched = status.clone();
    let (jobs_rule, pace, watched_line, held_blobs) =
        (rule.clone(), rule.pace.clone(), line.clone(), blobs.clone());
    arbiter.spawn_fn(move || {
        let address = options.invite.address.clone();
        let link = LinkActor::new(address, (client, pace), line_sender, watched).start();
        let agent = AgentActor::create(|ctx| AgentActor {
            agent,
            store,
            clock,
            identity: identity(&options),
            link: link.clone(),
            jobs: Jobs::new(
                actix::AsyncContext::address(ctx),
                options.runner.clone(),
                blobs.clone(),
                line,
                options.memory_bytes / u64::from(options.slots.max(1)),
                jobs_rule,
                options.node_key.clone(),
            ),
            blobs,
            hook: options.hook.clone(),
            escapes: Escapes::start(
                options.escape.clone(),
                options.invite.pool,
                options.invite.domain,
                actix::AsyncContext::address(ctx),
            ),
            words: Words::at(options.data_dir.join("words")),
            votes: Words::at(options.data_dir.join("votes")),
            evidence_dir: options.data_dir.join("evidence"),
            ledger: Ledger::within(&options.data_dir),
            status: status_sender,
            logged: None,
            bundle: Bundle::default(),
            session: 0,
            drain_asked: false,
            wake: None,
            lock,
            closed: Some(closed_sender),
        });
        link.do_send(Begin(agent.clone()));
        if let Some(keeper) = keeper(&options, agent.clone()) {
            actix::spawn(keeper.run());
        }
        // Who started the worker may have gone; then it lives on without strings.
        drop(ready_sender.send((agent, link)));
    });
    let (agent, link) = ready.await.map_err(|_| StartError::Thread)?;
    let last = Arc::new(Mutex::new((first, false)));
    let reins = Reins { agent: agent.clone(), rule, line: watched_line, blobs: held_blobs, last };
    Ok(WorkerHandle { status, agent, link, arbiter, closed, reins })
}

/// Whether a worker runs in this data folder.
pub fn is_running(data_dir: &Path) -> bool {
    matches!(lock(data_dir), Err(StartError::Running(_)))
}

impl WorkerHandle {
    /// The worker as it is now.
    pub fn view(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The worker as it changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Offers another number of slots, up to the one it was started with; 0 pauses.
    pub fn offer(&self, slots: u16) {
        self.agent.do_send(Wish::Offer(slots));
    }

    /// What holds it back.
    pub fn reins(&self) -> Reins {
        self.reins.clone()
    }

    /// Cuts the connection as a broken cable does: the scheduler is not told. The worker notices,
    /// and reconnects by itself.
    pub fn drop_connection(&self) {
        self.link.do_send(Cut);
    }

    /// Ends the worker in good order: gives back what is unfinished, shows what is sealed, waits up
    /// to five seconds for the answers, closes the connection and the store.
    pub async fn stop(mut self) {
        // An actor that is gone has left already.
        let _ = self.agent.send(Wish::Leave).await;
        let is_done = |status: &Status| {
            let is_over = status.ended.is_some() || status.broken.is_some();
            let is_clear = status.view.link == LinkView::Down || status.view.unacked == 0;
            // The agent shows that it leaves after its last words went to the link, not before.
            is_over || (status.view.leaving && is_clear)
        };
        drop(tokio::time::timeout(ACKS, self.status.wait_for(is_done)).await);
        let _ = self.link.send(Leave).await;
        self.halt().await;
    }

    /// Ends the worker at once. What was sealed is on disk.
    pub async fn halt(self) {
        self.agent.do_send(Wish::Stop);
        drop(tokio::time::timeout(CLOSE, self.closed).await);
        let arbiter = self.arbiter;
        arbiter.stop();
        let joined = tokio::task::spawn_blocking(move || arbiter.join());
        drop(tokio::time::timeout(CLOSE, joined).await);
    }
}

impl Reins {
    /// Lets it do what it is allowed to, from now on. What runs is held or let go before this returns.
    pub fn follow(&self, allowance: Allowance) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.0 = Some(allowance);
        let take = allowance.take && !last.1;
        self.rule.apply(allowance);
        self.agent.do_send(Wish::Follow(Allowance { take, ..allowance }));
    }

    /// Keeps transfers to what may be used of the line.
    pub fn pace(&self, network: Network) {
        self.rule.pace.follow(network);
    }

    /// Takes nothing new from now on, whatever else is allowed, so that it can go when nothing runs; or takes
    /// that back.
    pub fn finish(&self, finish: bool) {
        let allowance = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.1 = finish;
            last.0
        };
        if let Some(allowance) = allowance {
            self.follow(allowance);
        }
    }

    /// Seconds a task took of late, if any was done.
    pub fn task_s(&self) -> Option<u64> {
        let ms = self.rule.pace_ms.load(Ordering::Relaxed);
        (ms > 0).then(|| ms.div_ceil(1_000))
    }

    /// Throws away what can be fetched again and no task needs now.
    ///
    /// # Errors
    /// The disk failed.
    pub fn clear(&self) -> Result<(), String> {
        self.blobs.clear().map_err(|error| Report(&error).to_string())
    }

    /// Which connection stands, and the bytes moved over it both ways.
    pub fn moved(&self) -> Option<(usize, u64)> {
        let line = self.line.borrow();
        let connection = line.as_ref()?;
        let stats = connection.stats();
        Some((connection.stable_id(), stats.udp_rx.bytes + stats.udp_tx.bytes))
    }

    /// Bytes that came from elsewhere since the last call: images, from registries.
    pub fn moved_elsewhere(&self) -> u64 {
        self.rule.pace.take_elsewhere()
    }
}

fn check(options: &WorkerOptions) -> Result<(), StartError> {
    let name = &options.name;
    if name.len() > Hello::NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let expected = "at most 64 bytes without control characters";
        return Err(StartError::Option { field: "name", value: format!("{name:?}"), expected });
    }
    if options.slots > SLOTS_MAX {
        let (value, expected) = (options.slots.to_string(), "at most 1024");
        return Err(StartError::Option { field: "slots", value, expected });
    }
    Ok(())
}

/// One process, one folder. The lock goes with the process, however it ends.
fn lock(data_dir: &Path) -> Result<File, StartError> {
    let failed = |source: io::Error| StartError::Folder { path: data_dir.into(), source };
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    let path = data_dir.join("worker.lock");
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Running(data_dir.into())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn identity(options: &WorkerOptions) -> Identity {
    Identity {
        node_key: options.node_key.clone(),
        vote_key: options.vote_key.clone(),
        pool: options.invite.pool,
        separator: options.invite.domain.separator(),
        memory_bytes: options.memory_bytes,
        ask: options.ask,
        engine: EngineInfo { hash: options.runner.engine_hash() },
        containers: options.runner.containers(),
        name: options.name.clone(),
    }
}

/// Keeps the claim ticket, where the owner or the invitation names a node and the scheduler's API.
fn keeper(options: &WorkerOptions, agent: Addr<AgentActor>) -> Option<Keeper> {
    let invite = &options.invite;
    Some(Keeper {
        file: options.data_dir.join(ticket::FILE),
        pool: invite.pool,
        domain: invite.domain,
        node_key: options.node_key.public(),
        chain: Some(options.chain.clone()).filter(|nodes| !nodes.is_empty())?,
        api: invite.api.clone()?,
        escape: options.escape.clone(),
        agent: Some(agent),
    })
}

fn first_status(options: &WorkerOptions, agent: &Agent, blobs: &Blobs) -> Status {
    Status {
        schema: status::SCHEMA.into(),
        name: options.name.clone(),
        node_key: options.node_key.public(),
        vote_key: options.vote_key.address(),
        scheduler: options.invite.address.clone(),
        view: agent.view(),
        mood: None,
        pools: Vec::new(),
        cache_bytes: blobs.bytes(),
        note: None,
        ended: None,
        broken: None,
        warnings: 0,
        warned: Vec::new(),
    }
}
