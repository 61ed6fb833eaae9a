//! One market for one measurement: a pool of its own on the benchmark's chain, a scheduler with an empty
//! data folder, and registered workers with new keys, so that no measurement inherits another's scores.

use super::{
    crowd::{Crowd, Member},
    program::{self, Program},
    simulated::Mode,
};
use crate::{api::Api, cli::BenchArgs, output::Output};
use actix_web::{App, HttpServer, web};
use quorate_chain::{embedded::EmbeddedNode, keystore::Signer};
use quorate_common::{
    api::PoolInfo,
    exit::{Code, Failure},
    keys::{NodeKey, VoteKey, random32},
};
use quorate_scheduler::{
    dev::{self, DevChain},
    http::rpc,
};
use serde_json::Value;
use std::{
    net::TcpListener,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Token units a worker stakes: room for a thousand replicas in every stage.
const STAKE: u128 = 10_000_000_000_000_000;
/// Token units per task: little, so that no bond is too small.
const UNIT_PRICE: u128 = 1_000_000_000_000;
/// Token units a requester brings.
const PURSE: u128 = 1_000_000_000_000_000_000;
/// Tasks in one batch: what a pool sets that settles thousands a second.
pub(super) const BATCH_TASKS: u32 = 16_384;
/// The first development account that is nobody else's.
const FIRST_ACCOUNT: u32 = 1_000;
/// Bytes of one JSON-RPC request: the largest batch commitment is far smaller.
const RPC_BYTES_MAX: usize = 4 << 20;
/// How often the benchmark looks, and how long it waits for something that takes moments.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);

/// The chain of a benchmark: in this process, so that the scheduler's figures do not include it.
pub(super) struct LocalChain {
    dev: DevChain,
    url: String,
    accounts: AtomicU32,
}

impl LocalChain {
    /// Starts it and its JSON-RPC.
    pub(super) async fn start(_folder: &Path) -> Result<Self, Failure> {
        let dev = DevChain::start(None).await?;
        let node = web::Data::new(dev.node.clone());
        let app = move || {
            let limit = web::JsonConfig::default().limit(RPC_BYTES_MAX);
            App::new().app_data(limit).app_data(node.clone()).route("/", web::post().to(serve))
        };
        // The scheduler is the only caller, and may be busy for a while: nobody hangs up on it.
        let server = HttpServer::new(app)
            .workers(1)
            .tcp_nodelay(true)
            .keep_alive(actix_web::http::KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .disable_signals()
            .bind(("127.0.0.1", 0));
        let server = server.map_err(|error| Failure::new(Code::Internal, error))?;
        let address = server.addrs().first().copied();
        let address = address.ok_or_else(|| Failure::new(Code::Internal, "no JSON-RPC port"))?;
        actix::spawn(server.run());
        let accounts = AtomicU32::new(FIRST_ACCOUNT);
        Ok(Self { dev, url: format!("http://{address}/"), accounts })
    }

    /// An account with coins and a free balance.
    async fn account(&self, deposit: u128) -> Result<Signer, Failure> {
        let account = dev::account(self.accounts.fetch_add(1, Ordering::Relaxed));
        self.dev.fund(&account, deposit).await?;
        Ok(account)
    }
}

async fn serve(node: web::Data<EmbeddedNode>, body: web::Json<Value>) -> web::Json<Value> {
    let node = EmbeddedNode::clone(&node);
    let answer = web::block(move || rpc::answer(&node, body.into_inner())).await;
    web::Json(answer.unwrap_or(Value::Null))
}

/// See the module.
pub(super) struct Market<'a> {
    chain: &'a LocalChain,
    url: String,
    members: Vec<Member>,
    /// The scheduler.
    pub program: Program,
    /// Its API.
    pub api: Api,
    /// What it offers.
    pub pool: PoolInfo,
}

impl<'a> Market<'a> {
    /// Registers a pool and starts its scheduler.
    pub(super) async fn open(
        args: &BenchArgs,
        chain: &'a LocalChain,
        folder: &Path,
        name: &str,
        output: Output,
    ) -> Result<Self, Failure> {
        let binary = program::binary(args.scheduler.as_deref())?;
        let data = folder.join(name);
        let failed = |error| Failure::new(Code::Internal, format!("{}: {error}", data.display()));
        std::fs::create_dir_all(&data).map_err(failed)?;
        let operator = chain.account(dev::BOND / 10).await?;
        let key = data.join("operator.key");
        std::fs::write(&key, hex::encode(**operator.secret())).map_err(failed)?;
        let port = if args.port == 0 { free_port().map_err(failed)? } else { args.port };
        let (bond, key) = ((dev::BOND / 10).to_string(), key.display().to_string());
        let flags = ["--gas-key", key.as_str(), "--bond", bond.as_str()];
        let config = program::init(&binary, &data, &settings(chain, port, args), &flags)?;
        let url = format!("http://127.0.0.1:{port}");
        let mut program = Program::serve(binary, config)?;
        let api = program.ready(&url).await?;
        let pool = api.pool().await?;
        output.note(format!("a scheduler with pool {} in {}", pool.pool.0, data.display()));
        Ok(Self { chain, url, members: Vec::new(), program, api, pool })
    }

    /// Registers workers that may vote: each of an owner of its own, with a stake.
    pub(super) async fn register(&mut self, count: u32) -> Result<(), Failure> {
        for _ in 0..count {
            let owner = self.chain.account(STAKE).await?;
            let member = self.member(&owner).await?;
            let (pool, worker) = (self.pool.pool, member.worker);
            self.chain.dev.stake(&owner, pool, worker, STAKE).await?;
            self.members.push(member);
        }
        self.until("the scheduler knows every stake", async |market| {
            let staked = market.api.workers().await?.iter().filter(|w| w.stake.0 >= STAKE).count();
            Ok(staked >= market.members.len())
        })
        .await
    }

    /// Registers workers that only connect. One owner is enough for them.
    pub(super) async fn register_idle(&mut self, count: u32) -> Result<(), Failure> {
        let owner = self.chain.account(1).await?;
        for _ in 0..count {
            let member = self.member(&owner).await?;
            self.members.push(member);
        }
        let known: Vec<_> = self.members.iter().map(|member| member.worker).collect();
        self.until("the scheduler knows every worker", async |market| {
            let workers = market.api.workers().await?;
            Ok(workers.iter().filter(|row| known.binary_search(&row.worker).is_ok()).count()
                >= known.len())
        })
        .await
    }

    async fn member(&self, owner: &Signer) -> Result<Member, Failure> {
        let secret = || random32().map_err(|error| Failure::new(Code::Internal, error));
        let node_key = NodeKey::from_bytes(&secret()?);
        let vote_key = VoteKey::from_bytes(&secret()?)
            .ok_or_else(|| Failure::new(Code::Internal, "a random key was none; run it again"))?;
        let worker = self.chain.dev.register_worker(owner, &node_key, &vote_key).await?;
        Ok(Member { node_key, vote_key, worker })
    }

    /// Connects every registered worker.
    pub(super) async fn connect(&self, slots: u16, mode: Mode) -> Result<Crowd, Failure> {
        self.connect_with(slots, mode, 0).await
    }

    /// The same, the first of them lying.
    pub(super) async fn connect_with(
        &self,
        slots: u16,
        mode: Mode,
        liars: u32,
    ) -> Result<Crowd, Failure> {
        let mode = |at: usize| if at < liars as usize { Mode::Lies } else { mode };
        let modes = (0..self.members.len()).map(mode).collect();
        let crowd = Crowd::connect(&self.pool, &self.members, slots, modes).await?;
        self.until("every worker is connected", async |market| {
            Ok(market.connected().await? >= u64::try_from(market.members.len()).unwrap_or(0))
        })
        .await?;
        Ok(crowd)
    }

    /// A requester with money.
    pub(super) async fn requester(&self) -> Result<Signer, Failure> {
        self.chain.account(PURSE).await
    }

    /// Kills the scheduler, starts it again; how long until it serves.
    pub(super) async fn restart(&mut self) -> Result<Duration, Failure> {
        self.program.kill_and_serve()?;
        let began = Instant::now();
        self.api = self.program.ready(&self.url).await?;
        Ok(began.elapsed())
    }

    /// Open control streams.
    pub(super) async fn connected(&self) -> Result<u64, Failure> {
        self.metric("quorate_quic_connections").await
    }

    /// Tasks that are open, and tasks that are settled.
    pub(super) async fn open_tasks(&self) -> Result<(u64, u64), Failure> {
        let open = self.metric("quorate_tasks{state=\"open\"}").await?;
        Ok((open, self.metric("quorate_tasks{state=\"done\"}").await?))
    }

    /// Group commits so far.
    pub(super) async fn fsyncs(&self) -> Result<u64, Failure> {
        self.metric("quorate_journal_fsyncs_total").await
    }

    /// Series of `/metrics`.
    pub(super) async fn series(&self) -> Result<usize, Failure> {
        Ok(self.api.metrics().await?.lines().filter(|line| !line.starts_with('#')).count())
    }

    async fn metric(&self, name: &str) -> Result<u64, Failure> {
        let text = self.api.metrics().await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|rest| rest.trim().parse::<f64>().ok());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        value.map(|value| value as u64).ok_or_else(|| {
            Failure::new(
                Code::Conflict,
                format!("/metrics has no `{name}`; is it another version?"),
            )
        })
    }

    /// Looks until something is so.
    pub(super) async fn until(
        &self,
        what: &str,
        is_so: impl AsyncFn(&Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if is_so(self).await? {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(Failure::new(Code::TimedOut, format!("not after two minutes: {what}")))
    }
}

fn settings(chain: &LocalChain, port: u16, args: &BenchArgs) -> Vec<String> {
    let mut set = vec![
        "chain.preset=dev".to_owned(),
        format!("chain.url={}", chain.url),
        format!("chain.contract={}", chain.dev.settlement.address()),
        format!("http.listen=127.0.0.1:{port}"),
        "quic.listen=127.0.0.1:0".to_owned(),
        // Thousands come from this one address.
        "quic.address_rate=100000".to_owned(),
        format!("pool.unit_price={UNIT_PRICE}"),
        format!("pool.trust_max={}", u32::MAX),
        format!("batch.tasks={BATCH_TASKS}"),
        // All they offer, from the first moment on: it is not their beginnings that are measured.
        "grid.quota=2048".to_owned(),
    ];
    set.extend(args.set.iter().cloned());
    set
}

/// A port nobody listens on now.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
