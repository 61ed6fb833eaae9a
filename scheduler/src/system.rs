//! Starts a scheduler: opens what it remembers, replays, then opens its doors.
//!
//! ```text
//! thread            runs
//! main (actix)      HTTP server, settler
//! grid              GridActor
//! journal-actor     JournalActor          encodes, fills the index
//! journal           the journal's writer  write + fdatasync
//! store             the index's writer    sled
//! sessions × 2      SessionActors         sign frames
//! quic × n          connections, readers and writers
//! ```

use crate::{
    actors::{
        grid::{Durable, GridActor, MeetSettler, Stand},
        journal::{JournalActor, Pending, die, write_snapshots},
        settler::{Parts as SettlerParts, SettlerActor},
    },
    blobs::Blobs,
    config::{Config, reachable},
    door::Door,
    drain::{self, Remaining},
    failure, fence,
    finals::Finals,
    format,
    http::{self, State},
    index,
    journal::{Journal, JournalError, Options, snapshot::Snapshots, writer::Writer},
    logbook::Logbook,
    money::{Money, Since},
    outbox, preflight,
    replay::Standing,
    reset, sampler,
    sealed::Batches,
    shared::{Event, Parts, Shared},
    sponsor::Sponsor,
    store::{self, Span, Store, writer::StoreWriter},
    transport::Transport,
    ui,
};
use actix::{Actor as _, Addr, Arbiter};
use actix_web::{App, HttpServer, dev::ServerHandle, web};
use quinn::Endpoint;
use quorate_chain::{
    embedded::EmbeddedNode,
    events::{Cursor, Follower},
    keystore::Signer,
    settlement::Settlement,
};
use quorate_common::{
    bag::AppKind,
    exit::{Code, Failure},
    ids::PoolId,
    invite::Invite,
    keys::{NodeKey, VoteKey, random32},
    messages::{Domain, Message as _, PoolOrder},
    quic::server_config,
    report::Chain as Report,
    wire::decode,
};
use quorate_grid::{Grid, Record, deal::SignedPoolOrder, policy::Genesis};
use std::{
    collections::VecDeque,
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// How long workers may take to hear that the doors close: two round trips around the world.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the last group commit may take at the end: a disk that is slower has failed.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// What a scheduler needs beside its settings: keys, and a chain that has its pool.
#[derive(Debug)]
pub struct Boot {
    /// The settings.
    pub config: Config,
    /// The scheduler's identity.
    pub node_key: NodeKey,
    /// Signs frames, headers and offers.
    pub signer: VoteKey,
    /// Pays the gas.
    pub gas: Signer,
    /// The contract.
    pub settlement: Settlement,
    /// The pool.
    pub pool: PoolId,
    /// The development chain, if it is in this process.
    pub node: Option<EmbeddedNode>,
}

/// A running scheduler.
#[derive(Debug)]
pub struct Running {
    /// The API's address.
    pub http: SocketAddr,
    /// The pages' address, if there are pages.
    pub ui: Option<SocketAddr>,
    /// Where workers connect.
    pub quic: SocketAddr,
    /// For workers.
    pub invite: Invite,
    /// The grid, for tools in the same process.
    pub grid: Addr<GridActor>,
    /// Keys, clocks, blobs.
    pub shared: Arc<Shared>,
    /// What handlers work with.
    pub(crate) state: State,
    server: ServerHandle,
    pages: Option<ServerHandle>,
    endpoint: Endpoint,
    /// Keeps the connections' threads alive.
    threads: Threads,
}

/// Threads of their own for connections. A runtime must not be dropped where others run on one, so
/// it is told to end without being waited for.
#[derive(Debug)]
struct Threads(Option<tokio::runtime::Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Running {
    /// What a drain still waits for.
    pub async fn remaining(&self) -> Option<Remaining> {
        drain::remaining(&self.grid).await
    }

    /// Closes the doors and lets what was heard become durable.
    pub async fn stop(self) {
        self.endpoint.close(quinn::VarInt::from_u32(0), b"stopping");
        // Whoever does not hear it, or pretends not to, is not waited for.
        drop(tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await);
        // Nobody watching is no error.
        drop(self.shared.events.send(Event::Stopping));
        if let Some(pages) = self.pages {
            pages.stop(false).await;
        }
        self.server.stop(true).await;
        drop(self.threads);
        if let Some(standing) = stands(&self.grid).await {
            let Standing { seq, state, acknowledged, .. } = standing;
            tracing::info!(seq, %state, acknowledged, "stopped");
        }
    }
}

/// What a grid holds once all of it is on disk; nothing if that takes longer than [`LAST_WRITE`].
async fn stands(grid: &Addr<GridActor>) -> Option<Standing> {
    let look = async {
        loop {
            match grid.send(Stand).await {
                Ok(Some(standing)) => return Some(standing),
                Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(_) => return None,
            }
        }
    };
    tokio::time::timeout(LAST_WRITE, look).await.ok().flatten()
}

/// Starts a scheduler. Must be called on an actix system's thread.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn start(boot: Boot) -> Result<Running, Failure> {
    let Boot { config, node_key, signer, gas, settlement, pool, node } = boot;
    let open_orders_max = config.open_orders_max;
    let memory = Memory::open(&config)?;
    let domain = settlement.domain();
    let offer = offer(&config, pool, &signer, domain, &memory)?;
    let blobs = Arc::clone(&memory.blobs);
    let parts = Parts { config, pool, domain, signer, node_key, offer, blobs };
    let shared = Arc::new(Shared::new(parts));
    let genesis = Genesis { pool, domain };
    let (grid, seq) = memory.grid(genesis, &shared)?;
    let chain = settlement.chain().clone();
    chain.expect_chain(domain.chain_id).await.map_err(failure::chain)?;
    // Before anything is judged: a machine may wake up with a clock of long ago.
    shared.chain_is_at(chain.head().await.map_err(failure::chain)?.timestamp);
    let follower = follower(&shared, &settlement, grid.cursor()).await?;
    let view = settlement.pool(pool).await.map_err(failure::chain)?;
    let batches = memory.batches.clone();
    fence::check_chain(&grid, &settlement, &batches, view.head).await?;
    shared.acknowledged.store(grid.acknowledged(), Ordering::Release);
    let finals = Finals::open(&shared, &batches, view.finalized);
    let count = grid.headcount();
    let (fees, settled, blob_bytes) = (count.fees, count.settled, shared.blobs.total());
    let since = Since { at: Instant::now(), fees, settled, blob_bytes };
    let grid = memory.start(grid, seq, &shared)?;
    let outbox = outbox::open(&shared.config, chain, gas)?;
    actix::spawn(outbox::tend(outbox.clone()));
    actix::spawn(outbox::show(outbox.clone(), Arc::clone(&shared)));
    let money = Arc::new(Money::new(pool, settlement.clone(), outbox.clone(), since));
    let logbook = Arc::new(Logbook::open(&shared.config.data)?);
    let sponsor = Sponsor::open(&shared.config.data, shared.config.sponsor)?;
    let sampled = sampler::Money { settlement: settlement.clone(), outbox: outbox.clone() };
    actix::spawn(sampler::sample(Arc::clone(&shared), sampled, grid.clone()));
    let settler = SettlerParts {
        shared: Arc::clone(&shared),
        grid: grid.clone(),
        settlement: settlement.clone(),
        outbox: outbox.clone(),
        batches: batches.clone(),
        finals: finals.clone(),
        news: Arc::default(),
    };
    let settler = SettlerActor::new(settler, follower).start();
    grid.do_send(MeetSettler(settler));
    let (endpoint, threads) = quic(&shared, &grid)?;
    let quic = endpoint.local_addr().map_err(|error| Failure::new(Code::Internal, error))?;
    let public = shared.config.quic_public.clone();
    let public = public.unwrap_or_else(|| reachable(quic).to_string());
    let state = State {
        shared: Arc::clone(&shared),
        grid: grid.clone(),
        batches,
        finals,
        settlement,
        node,
        quic: public.clone(),
        open_orders_max,
        outbox,
        money,
        logbook,
        sponsor: Arc::new(sponsor),
    };
    let kept = state.clone();
    let pages = ui::serve(state.clone(), shared.config.http_listen)?;
    let (http, server) = http_server(state)?;
    let invite = invite(&shared, public, http);
    let (ui, pages) = pages.unzip();
    Ok(Running {
        http,
        ui,
        quic,
        invite,
        grid,
        shared,
        state: kept,
        server,
        pages,
        endpoint,
        threads,
    })
}

fn invite(shared: &Shared, address: String, http: SocketAddr) -> Invite {
    let config = &shared.config;
    let api = config.http_public.clone().unwrap_or_else(|| format!("http://{}", reachable(http)));
    let rpc = match &config.chain {
        crate::config::ChainAt::Embedded => Some(format!("{api}/rpc")),
        crate::config::ChainAt::Url(_) => config.public_node(),
    };
    let node_key = shared.node_key.public();
    Invite { address, node_key, pool: shared.pool, domain: shared.domain, rpc, api: Some(api) }
}

/// The offer deals are opened with: kept in the data folder as long as it says what the settings say,
/// because deals are known by its hash.
fn offer(
    config: &Config,
    pool: PoolId,
    signer: &VoteKey,
    domain: Domain,
    memory: &Memory,
) -> Result<SignedPoolOrder, Failure> {
    let path = memory.dir.join("offer.json");
    let known = std::fs::read(&path).ok();
    let known: Option<SignedPoolOrder> = known.and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(known) = known.filter(|known| says(&known.order, config, pool)) {
        return Ok(known);
    }
    let order = PoolOrder {
        pool,
        unit_price: config.unit_price,
        tasks: u32::MAX,
        trust: config.trust_max,
        stake_ratio: config.stake_ratio,
        scheduler_ratio: config.scheduler_ratio,
        max_task_time: config.max_task_time,
        // Whether a worker takes them is for `explain` to say: that changes by the hour.
        tag: AppKind::all_tags(),
        expiry: u64::MAX >> 1,
        salt: random32().map_err(|error| Failure::new(Code::Internal, error))?.into(),
        ..PoolOrder::default()
    };
    let signature = signer.sign(domain.separator().digest(order.struct_hash()));
    let offer = SignedPoolOrder { order, signature };
    let text = serde_json::to_vec(&offer).expect("an offer is plain data");
    std::fs::write(&path, text)
        .map_err(|error| Failure::new(Code::Internal, format!("{}: {error}", path.display())))?;
    Ok(offer)
}

fn says(order: &PoolOrder, config: &Config, pool: PoolId) -> bool {
    order.pool == pool
        && order.unit_price == config.unit_price
        && order.trust == config.trust_max
        && order.stake_ratio == config.stake_ratio
        && order.scheduler_ratio == config.scheduler_ratio
        && order.max_task_time == config.max_task_time
        && order.tag == AppKind::all_tags()
}

/// What a scheduler remembers, opened.
struct Memory {
    dir: std::path::PathBuf,
    journal: Journal,
    snapshots: Snapshots,
    store: store::Opened,
    blobs: Arc<Blobs>,
    batches: Batches,
}

impl Memory {
    fn open(config: &Config) -> Result<Self, Failure> {
        let dir = config.data.clone();
        format::check(&dir)?;
        let journal_dir = dir.join("journal");
        let options = Options { segment_bytes: config.segment_bytes };
        let (journal, opened) = Journal::open(&journal_dir, options).map_err(|error| {
            if matches!(error, JournalError::Locked { .. }) {
                return Failure::new(Code::Conflict, error);
            }
            broken("journal", &error)
        })?;
        // The folder is ours from here on, and the first record of this release is yet to come.
        format::raise(&dir)?;
        preflight::serving(&dir);
        if let Some(cut) = &opened.cut {
            tracing::warn!(
                segment = cut.segment,
                offset = cut.offset,
                bytes = cut.bytes,
                "journal: torn tail cut at the last whole record ({})",
                cut.why
            );
        }
        let snapshots =
            Snapshots::open(&journal_dir).map_err(|error| broken("snapshots", &error))?;
        let span = Span { first_seq: opened.first_seq, head_seq: opened.head.seq };
        let store = Store::open(&dir.join("index"), span).map_err(|e| broken("index", &e))?;
        if let Some(rebuild) = &store.rebuild {
            tracing::warn!("index: filled anew from the journal: {}", rebuild.reason);
        } else if store.applied_seq == 0 && span.head_seq > 0 {
            // Killed before its first flush, or cut to nothing: sled takes both for a new one.
            tracing::warn!("index: filled anew from the journal: it holds nothing");
        }
        let blobs = Blobs::open(&dir.join("blobs"), config.blob_bytes_max, config.total_bytes_max)
            .map_err(|error| broken("blobs", &error))?;
        for damage in &blobs.damage {
            tracing::warn!(?damage, "blobs: bytes that hold no whole blob");
        }
        let blobs = Arc::new(blobs.blobs);
        let batches = Batches::open(&dir.join("batches"), Arc::clone(&blobs))
            .map_err(|error| broken("batches", &error))?;
        Ok(Self { dir, journal, snapshots, store, blobs, batches })
    }

    /// The grid as the newest snapshot and the records after it have it.
    fn grid(&self, genesis: Genesis, shared: &Shared) -> Result<(Grid, u64), Failure> {
        let latest = self.snapshots.latest().map_err(|error| broken("snapshots", &error))?;
        for skipped in &latest.skipped {
            tracing::warn!(file = skipped.file, "snapshot skipped: {}", skipped.why);
        }
        let seed = random32().map_err(|error| Failure::new(Code::Internal, error))?;
        let policy = shared.config.policy;
        let (mut grid, from) = match latest.snapshot {
            Some(snapshot) => {
                let known = self.journal.check_head(snapshot.head);
                known.map_err(|error| broken("snapshot", &error))?;
                let durable =
                    decode(&snapshot.bytes).map_err(|error| broken("snapshot", &error))?;
                (Grid::with(durable, policy, seed), snapshot.head.seq)
            }
            None => (Grid::new(genesis, policy, seed), 0),
        };
        if grid.genesis() != genesis {
            let message = "this data folder belongs to another pool, chain or contract";
            return Err(
                Failure::new(Code::Conflict, message).hint("point `data` at another folder")
            );
        }
        self.replay(&mut grid, from)?;
        Ok((grid, self.journal.head().seq))
    }

    /// Applies every record after `from` to the grid, and to the index what it lacks.
    fn replay(&self, grid: &mut Grid, from: u64) -> Result<(), Failure> {
        let (store, applied) = (&self.store.store, self.store.applied_seq);
        let mut builder = index::Builder::default();
        let first = from.min(applied).max(self.journal.first_seq().saturating_sub(1));
        let replayed = self.journal.replay(first + 1, |seq, bytes| {
            let record: Record =
                decode(bytes).map_err(|error| Bad::Record(seq, error.to_string()))?;
            if seq > applied {
                let ops = builder.ops(std::slice::from_ref(&record));
                if !ops.is_empty() {
                    store.apply(seq, &ops).map_err(Bad::Store)?;
                }
            }
            if seq > from {
                self.keep(&record);
                grid.apply(&record);
            }
            Ok(())
        });
        replayed.map_err(|error: Bad| broken("replay", &error))
    }

    /// Small results are durable by the record that carries them, until the next snapshot.
    fn keep(&self, record: &Record) {
        let Record::Revealed { inline: Some(inline), .. } = record else { return };
        for blob in &inline.blobs {
            if let Err(error) = self.blobs.put_small(blob) {
                die("the blob store", &error);
            }
        }
    }

    /// Hands everything to its thread.
    fn start(self, grid: Grid, seq: u64, shared: &Arc<Shared>) -> Result<Addr<GridActor>, Failure> {
        let Self { journal, snapshots, store, blobs, .. } = self;
        let internal = |error: std::io::Error| Failure::new(Code::Internal, error);
        let store = StoreWriter::spawn(Arc::new(store.store), |error| die("the index", &error))
            .map_err(internal)?;
        let pending: Pending = Arc::new(Mutex::new(VecDeque::new()));
        let (meet, met) = mpsc::channel::<Addr<GridActor>>();
        let on_durable = {
            let (pending, blobs) = (Arc::clone(&pending), Arc::clone(&blobs));
            let metrics = shared.metrics.clone();
            let mut grid: Option<Addr<GridActor>> = None;
            move |durable: crate::journal::writer::Durable| {
                metrics.fsyncs.inc();
                metrics.fsync_seconds.observe(durable.sync_took.as_secs_f64());
                let grid = grid.get_or_insert_with(|| met.recv().expect("sent at start"));
                grid.do_send(Durable { seq: durable.head.seq });
                let (pending, blobs) = (Arc::clone(&pending), Arc::clone(&blobs));
                write_snapshots(&pending, blobs, snapshots.clone(), durable.head);
            }
        };
        let writer = Writer::spawn(journal, shared.config.writer, on_durable, |error| {
            die("the journal", &error)
        });
        let actor = JournalActor::new(writer.map_err(internal)?, store, blobs, pending);
        let journal = JournalActor::start_in_arbiter(&Arbiter::new().handle(), |_| actor);
        let shared = Arc::clone(shared);
        let addr = GridActor::start_in_arbiter(&Arbiter::new().handle(), move |_| {
            GridActor::new(grid, shared, journal, seq)
        });
        drop(meet.send(addr.clone()));
        Ok(addr)
    }
}

/// What can go wrong in a replay.
#[derive(Debug, thiserror::Error)]
enum Bad {
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    #[error(transparent)]
    Store(store::StoreError),
    #[error("record {0} does not decode ({1}); is this program older than the journal?")]
    Record(u64, String),
}

fn broken(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(Code::Internal, format!("{what}: {}", Report(error)))
}

async fn follower(
    shared: &Shared,
    settlement: &Settlement,
    cursor: Option<(u64, quorate_common::B256)>,
) -> Result<Follower, Failure> {
    let (chain, contract) = (settlement.chain().clone(), settlement.address());
    let finality = shared.config.finality;
    match cursor {
        Some((number, hash)) => {
            Ok(Follower::resume(chain, contract, finality, Cursor { number, hash }))
        }
        None => {
            let first = shared.config.first_block;
            Follower::start(chain, contract, finality, first).await.map_err(failure::chain)
        }
    }
}

fn quic(shared: &Arc<Shared>, grid: &Addr<GridActor>) -> Result<(Endpoint, Threads), Failure> {
    let internal = |error: &dyn std::fmt::Display| Failure::new(Code::Internal, error.to_string());
    let config = server_config(&shared.node_key).map_err(|error| internal(&error))?;
    let listen = shared.config.quic_listen;
    let socket =
        UdpSocket::bind(listen).map_err(|error| taken(&shared.config, "quic.listen", &error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("quic")
        .worker_threads(thread_count())
        .enable_all()
        .build()
        .map_err(|error| internal(&error))?;
    let handle = runtime.handle().clone();
    let threads = Threads(Some(runtime));
    let endpoint = {
        let _inside = handle.enter();
        let tokio = Arc::new(quinn::TokioRuntime);
        Endpoint::new(reset::endpoint_config(&shared.node_key), Some(config), socket, tokio)
            .map_err(|error| internal(&error))?
    };
    let transport = Transport {
        shared: Arc::clone(shared),
        grid: grid.clone(),
        arbiters: (0..2).map(|_| Arbiter::new().handle()).collect(),
        door: Door::new(shared.config.address_rate),
        sessions: Arc::new(AtomicU64::new(1)),
    };
    handle.spawn(transport.serve(endpoint.clone()));
    Ok((endpoint, threads))
}

/// A door that cannot be had.
fn taken(config: &Config, key: &'static str, error: &std::io::Error) -> Failure {
    let place = config.layers.place(key);
    Failure::new(Code::Conflict, format!("{place}; expected an address to listen at: {error}"))
        .hint("is another scheduler running? `quorate-scheduler check` looks; choose another port")
}

/// Threads for connections: QUIC's cryptography is the largest part of a busy scheduler's work.
fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8)
}

fn http_server(state: State) -> Result<(SocketAddr, ServerHandle), Failure> {
    let config = state.shared.config.clone();
    let listen = config.http_listen;
    let state = web::Data::new(state);
    let server = HttpServer::new(move || {
        let counted = actix_web::middleware::from_fn(http::counted::count);
        App::new().app_data(state.clone()).configure(http::routes).wrap(counted)
    })
    .workers(2)
    // An event of an order is a small packet, and must not wait for the one before it.
    .tcp_nodelay(true)
    .max_connections(http::CONNECTIONS_MAX)
    .client_request_timeout(Duration::from_secs(10))
    .shutdown_timeout(5)
    .disable_signals()
    .bind(listen)
    .map_err(|error| taken(&config, "http.listen", &error))?;
    let addr = server.addrs().first().copied().unwrap_or(listen);
    let server = server.run();
    let handle = server.handle();
    actix::spawn(async move {
        if let Err(error) = server.await {
            die_of_http(&error);
        }
    });
    Ok((addr, handle))
}

/// A server that ends by itself is nobody's wish.
pub(crate) fn die_of_http(error: &std::io::Error) {
    die("the HTTP server", error)
}

/// The files of a data folder that hold keys.
pub fn key_paths(data: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    (data.join("keys/node.key"), data.join("keys/signer.key"))
}
