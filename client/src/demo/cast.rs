//! The six workers: real worker libraries with real keys, stakes and engines. Only the liar's engine and
//! the broken line are put on.

use crate::api::Api;
use quorate_chain::{keystore::Signer, settlement::Settlement};
use quorate_common::{
    digest::Digest,
    exit::{Code, Failure},
    ids::{PoolId, WorkerIdx},
    keys::{NodeKey, VoteKey, random32},
    manifest::Entry,
};
use quorate_grid::WorkerView;
use quorate_scheduler::{
    actors::grid::Query,
    dev::{self, DevChain},
    system::Running,
};
use quorate_worker::{
    EngineRunner, Hook, JobSpec, Program, Runner, Whim, WorkerHandle, WorkerOptions,
    engine::{Cancel, Engine, EngineConfig, PackError, Run, RunError},
    start,
};
use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Token units every worker stakes: enough for a liar to lose many votes.
const STAKE: u128 = 100_000_000_000_000_000;
/// Runs the liar does honestly before it begins to lie: it has a score to lose by then.
const HONEST_RUNS: u32 = 8;
/// How often the demo looks whether a stake was heard of, and for how long: ten seconds.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 1_000;

/// Who a worker is in the play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Does the work.
    Honest,
    /// Does it for a while, then reports the contrary every other time.
    Liar,
    /// Does the work, but its line breaks every few tasks.
    BrokenLine,
}

/// The cast, in order.
pub(super) const ROLES: [Role; 6] =
    [Role::Honest, Role::Honest, Role::Honest, Role::Honest, Role::Liar, Role::BrokenLine];

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Honest => "honest",
            Self::Liar => "liar",
            Self::BrokenLine => "broken line",
        })
    }
}

/// One worker on stage.
struct Actor {
    role: Role,
    owner: Signer,
    worker: WorkerIdx,
    handle: WorkerHandle,
    peak: Arc<AtomicU32>,
    cuts: Arc<AtomicU32>,
}

/// All of them.
pub(super) struct Cast {
    actors: Vec<Actor>,
}

/// What a worker came to.
#[derive(Clone, Debug)]
pub(super) struct Reckoning {
    /// Who it was.
    pub role: Role,
    /// Its books.
    pub view: WorkerView,
    /// The highest score it had.
    pub peak: u32,
    /// How often its line broke.
    pub cuts: u32,
}

/// What a worker's owner was paid.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// Who.
    pub worker: WorkerIdx,
    /// Token units.
    pub paid: u128,
    /// Gas of the transaction.
    pub gas: u64,
}

impl Cast {
    /// Registers, stakes and starts everybody.
    pub(super) async fn start(
        chain: &DevChain,
        running: &Running,
        data: &Path,
    ) -> Result<Self, Failure> {
        let engine = Engine::new(EngineConfig {
            cache_dir: Some(data.join("modules")),
            ..EngineConfig::default()
        })
        .map_err(|error| Failure::new(Code::Internal, error))?;
        let mut parts = Vec::new();
        for (role, n) in ROLES.into_iter().zip(1_u32..) {
            parts.push(Part::register(role, n, chain, running.shared.pool).await?);
        }
        // A worker that connects before its registration is final is sent away for a while.
        for part in &parts {
            part.wait_known(running).await?;
        }
        let mut actors = Vec::new();
        for part in parts {
            actors.push(part.enter(running, data, &engine).await?);
        }
        Ok(Self { actors })
    }

    /// Claims everybody's earnings against the newest final batch.
    pub(super) async fn claim(
        &self,
        chain: &DevChain,
        api: &Api,
        pool: PoolId,
    ) -> Result<Vec<Claim>, Failure> {
        let mut claims = Vec::new();
        for actor in &self.actors {
            claims.push(actor.claim(chain, api, pool).await?);
        }
        Ok(claims)
    }

    /// What everybody came to.
    pub(super) async fn reckon(&self, running: &Running) -> Result<Vec<Reckoning>, Failure> {
        let (tell, hear) = tokio::sync::oneshot::channel();
        running.grid.do_send(Query(Box::new(|grid| drop(tell.send(grid.workers())))));
        let views = hear.await.map_err(|_| Failure::new(Code::Internal, "the grid is gone"))?;
        let reckon = |actor: &Actor| {
            let view = views.iter().find(|view| view.worker == actor.worker)?.clone();
            let peak = actor.peak.load(Ordering::Relaxed).max(view.score);
            Some(Reckoning {
                role: actor.role,
                view,
                peak,
                cuts: actor.cuts.load(Ordering::Relaxed),
            })
        };
        Ok(self.actors.iter().filter_map(reckon).collect())
    }

    /// The owners' accounts.
    pub(super) fn owners(&self) -> impl Iterator<Item = (&Signer, WorkerIdx)> {
        self.actors.iter().map(|actor| (&actor.owner, actor.worker))
    }

    /// Sends everybody home.
    pub(super) async fn stop(self) {
        for actor in self.actors {
            actor.handle.stop().await;
        }
    }
}

/// A worker with keys and a stake, before its entrance.
struct Part {
    role: Role,
    n: u32,
    owner: Signer,
    node_key: NodeKey,
    vote_key: VoteKey,
    worker: WorkerIdx,
}

impl Part {
    async fn register(role: Role, n: u32, chain: &DevChain, pool: PoolId) -> Result<Self, Failure> {
        let owner = dev::account(10 + n);
        chain.fund(&owner, STAKE).await?;
        let secret = || random32().map_err(|error| Failure::new(Code::Internal, error));
        let node_key = NodeKey::from_bytes(&secret()?);
        let vote_key = VoteKey::from_bytes(&secret()?)
            .ok_or_else(|| Failure::new(Code::Internal, "a random key was none; run it again"))?;
        let worker = chain.register_worker(&owner, &node_key, &vote_key).await?;
        chain.stake(&owner, pool, worker, STAKE).await?;
        Ok(Self { role, n, owner, node_key, vote_key, worker })
    }

    /// Waits until the scheduler has read the stake from the chain.
    async fn wait_known(&self, running: &Running) -> Result<(), Failure> {
        let worker = self.worker;
        for _ in 0..LOOKS {
            let (tell, hear) = tokio::sync::oneshot::channel();
            let query = move |grid: &quorate_grid::Grid| drop(tell.send(grid.worker(worker)));
            running.grid.do_send(Query(Box::new(query)));
            if hear.await.ok().flatten().is_some_and(|view| view.stake >= STAKE) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        let text = format!("the scheduler does not hear of {worker} from the chain");
        Err(Failure::new(Code::TimedOut, text))
    }

    async fn enter(
        self,
        running: &Running,
        data: &Path,
        engine: &Engine,
    ) -> Result<Actor, Failure> {
        let Self { role, n, owner, node_key, vote_key, worker } = self;
        let cuts = Arc::new(AtomicU32::new(0));
        let handle = start(WorkerOptions {
            invite: running.invite.clone(),
            node_key,
            vote_key,
            data_dir: data.join(format!("worker-{n}")),
            slots: 1,
            ask: 0,
            memory_bytes: 1 << 30,
            cache_bytes: 64 << 20,
            name: format!("{role} {n}"),
            runner: runner(role, engine),
            hook: hook(role, Arc::clone(&cuts)),
            chain: Vec::new(),
            escape: None,
        })
        .await
        .map_err(|error| Failure::new(Code::Internal, quorate_common::report::Chain(&error)))?;
        let peak = watch_peak(&handle);
        Ok(Actor { role, owner, worker, handle, peak, cuts })
    }
}

impl Actor {
    async fn claim(&self, chain: &DevChain, api: &Api, pool: PoolId) -> Result<Claim, Failure> {
        let worker = self.worker;
        let proof = api.worker_proof(worker).await?;
        let Some(account) = proof.account.filter(|account| account.cum_earned > 0) else {
            return Ok(Claim { worker, paid: 0, gas: 0 });
        };
        let settlement = &chain.settlement;
        let before = balance(settlement, &self.owner).await?;
        let anchor = proof.opening.anchor();
        let call = settlement.claim(pool, worker, &account, &proof.path, proof.index, &anchor);
        let receipt = chain.outbox(self.owner.clone()).send(call).await.map_err(chain_failure)?;
        let paid = balance(settlement, &self.owner).await? - before;
        Ok(Claim { worker, paid, gas: receipt.gas_used })
    }
}

/// Keeps the highest score a worker was told of.
fn watch_peak(handle: &WorkerHandle) -> Arc<AtomicU32> {
    let peak = Arc::new(AtomicU32::new(0));
    let (mut status, seen) = (handle.watch(), Arc::clone(&peak));
    actix::spawn(async move {
        while status.changed().await.is_ok() {
            seen.fetch_max(status.borrow().view.score, Ordering::Relaxed);
        }
    });
    peak
}

async fn balance(settlement: &Settlement, who: &Signer) -> Result<u128, Failure> {
    let balance = settlement.token_balance(who.address()).await.map_err(chain_failure)?;
    Ok(u128::try_from(balance).unwrap_or(u128::MAX))
}

fn runner(role: Role, engine: &Engine) -> Arc<dyn Runner> {
    let honest = EngineRunner::new(engine.clone());
    match role {
        Role::Honest | Role::BrokenLine => Arc::new(honest),
        Role::Liar => Arc::new(Liar { honest, runs: AtomicU32::new(0) }),
    }
}

fn hook(role: Role, cuts: Arc<AtomicU32>) -> Option<Hook> {
    let runs = AtomicU32::new(0);
    let cut: Hook = Arc::new(move |_, _| {
        if runs.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            cuts.fetch_add(1, Ordering::Relaxed);
            Whim::CutTheLine
        } else {
            Whim::Work
        }
    });
    (role == Role::BrokenLine).then_some(cut)
}

/// Runs the real engine, and after a while reports the contrary of what it says, every other time.
struct Liar {
    honest: EngineRunner,
    runs: AtomicU32,
}

impl Runner for Liar {
    fn engine_hash(&self) -> Digest {
        self.honest.engine_hash()
    }

    fn prepare(&self, app: Digest, program: &Program, cancel: &Cancel) -> Result<(), PackError> {
        self.honest.prepare(app, program, cancel)
    }

    fn run(&self, spec: &JobSpec) -> Result<Run, RunError> {
        let run = self.honest.run(spec)?;
        let count = self.runs.fetch_add(1, Ordering::Relaxed);
        Ok(if count >= HONEST_RUNS && count.is_multiple_of(2) { contrary(run) } else { run })
    }
}

/// The run with another answer, as well made as a lie can be: its manifest and blobs agree.
fn contrary(mut run: Run) -> Run {
    let text = run.blobs.first().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
    let exponent = text.as_deref().and_then(|text| text.split(' ').next()).unwrap_or("2");
    let said_prime = text.as_deref().is_some_and(|text| text.ends_with("prime\n"));
    let lie = if said_prime {
        format!("{exponent} composite 0000000000000bad\n")
    } else {
        format!("{exponent} prime\n")
    };
    let bytes = lie.into_bytes();
    let digest = Digest::of(&bytes).0;
    run.manifest.stdout = Some(Entry { len: bytes.len() as u64, digest });
    run.blobs = vec![(digest, bytes)];
    run
}

fn chain_failure(error: quorate_chain::error::SettleError) -> Failure {
    crate::failure::chain(&error)
}
