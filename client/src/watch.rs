//! Watching pools: every batch is repeated from its evidence with the grid's own code, and what does not
//! hold is brought before the Court. The rules are `quorate_grid`'s, the proofs the contract's.
//!
//! In reading order: `known` (what the chain has said), `sources` and `mirror` (evidence, and our copy of
//! it), `check` and `words` (what is wrong), [`brief`] (what shows it), `docket` (bringing it), `silence`
//! (asking for what is not shown) and `shown` (the answers), `pool` (all of it, for one pool), `say` (what is told).

pub mod brief;
mod check;
mod docket;
mod files;
mod known;
mod mirror;
mod pool;
mod say;
mod shown;
mod silence;
mod sources;
#[cfg(test)]
mod tests;
mod words;

use crate::{chain, cli::WatchArgs, config, context::Context, failure, wallet};
use known::Known;
use pool::{News, PoolWatch, Shared, Tally};
use quorate_chain::{Follower, Outbox, Settlement, court::Court, preset};
use quorate_common::{
    exit::{Code, Failure},
    ids::PoolId,
};
use sources::Sources;
use std::{
    collections::BTreeSet,
    fs::{File, TryLockError},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinSet, LocalSet},
};

/// How often a chain without preset is asked for news.
const POLL: Duration = Duration::from_secs(1);
/// Pause before a node that failed is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// How often what the chain has said goes to disk: what is lost is read again.
const SAVE: Duration = Duration::from_secs(5);
/// How long pools may take to end when the program does.
const END: Duration = Duration::from_secs(5);

/// Runs the command. The exit status is 0 if nothing is wrong, 10 if a fraud was found, and 4 if something
/// could not be checked; without `--once` it runs until it is ended.
///
/// # Errors
/// The configuration's, the wallet's, the disk's; the chain's at the start. [`Code::TimedOut`] when
/// `--timeout` is over, unless a fraud was found by then.
pub async fn run(context: &Context, args: &WatchArgs) -> Result<u8, Failure> {
    // Pools wait for the network side by side, on one thread; replays have threads of their own.
    LocalSet::new().run_until(run_here(context, args)).await
}

async fn run_here(context: &Context, args: &WatchArgs) -> Result<u8, Failure> {
    let mut watcher = Watcher::open(context, args).await?;
    let ended = tokio::select! {
        outcome = watcher.follow() => outcome,
        failure = context.interrupted() => Err(failure),
        failure = timed_out(context.timeout) => Err(failure),
    };
    let tally = watcher.end().await;
    let out_of_time = ended.as_ref().is_err_and(|failure| failure.exit == Code::TimedOut as u8);
    // What was found says more than that the time is over.
    if !(tally.fraud && out_of_time) {
        ended?;
    }
    Ok(match tally {
        Tally { fraud: true, .. } => Code::Failed as u8,
        Tally { unchecked: true, .. } => Code::Unreachable as u8,
        Tally { .. } => Code::Ok as u8,
    })
}

/// Ends when `--timeout` is over; never without.
async fn timed_out(timeout: Option<Duration>) -> Failure {
    let Some(timeout) = timeout else { return std::future::pending().await };
    tokio::time::sleep(timeout).await;
    let text = format!("watched for {timeout:?}, as long as --timeout says");
    Failure::new(Code::TimedOut, text)
        .hint("what was learned is kept: the same command goes on there")
}

/// The chain's reader, and the pools it tells.
struct Watcher {
    shared: Shared,
    follower: Follower,
    only: BTreeSet<u32>,
    watched: BTreeSet<u32>,
    pools: JoinSet<Tally>,
    news: watch::Sender<News>,
    poll: Duration,
    path: PathBuf,
    saved: Instant,
    #[expect(dead_code, reason = "held: one watcher to a folder")]
    lock: File,
}

impl Watcher {
    async fn open(context: &Context, args: &WatchArgs) -> Result<Self, Failure> {
        let (config, output) = (&context.config, context.output);
        let settlement = chain::connect(config, chain::domain(config).await?).await?;
        let court = Court::connect(&settlement).await.map_err(|error| failure::chain(&error))?;
        let outbox = if args.dry_run { None } else { Some(outbox(context, &settlement)?) };
        let data = folder(args, &settlement)?;
        let lock = lock(&data)?;
        let path = data.join("chain");
        let known: Known = files::get_encoded(&path)?.unwrap_or_default();
        let follower = follower(context, args, &settlement, &known).await?;
        let evidence =
            if args.evidence.is_empty() { vec![config.api()?] } else { args.evidence.clone() };
        let shared = Shared {
            known: Arc::new(RwLock::new(known)),
            court,
            outbox,
            sources: Arc::new(Sources::parse(&evidence)?),
            words: args.words.clone(),
            data,
            asking: silence::Settings { patience: args.patience, asks_max: args.asks },
            output,
            desk: Arc::new(Semaphore::new(1)),
            once: args.once,
        };
        let chain_id = settlement.domain().chain_id;
        let poll = preset(&chain_id.to_string()).map_or(POLL, |preset| preset.poll);
        Ok(Self {
            shared,
            follower,
            only: args.pools.iter().copied().collect(),
            watched: BTreeSet::new(),
            pools: JoinSet::new(),
            news: watch::channel(News::default()).0,
            poll,
            path,
            saved: Instant::now(),
            lock,
        })
    }

    /// Reads events and tells the pools; with `--once` until all pools are done.
    async fn follow(&mut self) -> Result<(), Failure> {
        loop {
            match self.follower.next_batch().await {
                Ok(Some(batch)) => {
                    let mut known =
                        self.shared.known.write().unwrap_or_else(PoisonError::into_inner);
                    batch.events.into_iter().for_each(|located| known.hear(located));
                    known.cursor = Some(batch.cursor);
                    drop(known);
                    self.meet()?;
                    self.news.send_modify(|news| news.ranges += 1);
                    self.save(false)?;
                }
                Ok(None) => {
                    self.meet()?;
                    self.news
                        .send_if_modified(|news| !std::mem::replace(&mut news.caught_up, true));
                    if self.shared.once {
                        return self.known_pools();
                    }
                    self.save(false)?;
                    tokio::time::sleep(self.poll).await;
                }
                Err(error @ quorate_chain::SettleError::Reorganised { .. }) => {
                    let folder = self.shared.data.display();
                    let hint = format!("delete {folder}/chain; evidence and challenges are kept");
                    return Err(failure::chain(&error).hint(hint));
                }
                Err(error) => {
                    tracing::warn!("{}", failure::chain(&error));
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Whoever asked for a pool that is not there has the number wrong.
    fn known_pools(&self) -> Result<(), Failure> {
        match self.only.difference(&self.watched).next() {
            None => Ok(()),
            Some(pool) => Err(Failure::new(Code::NotFound, format!("there is no pool {pool}"))),
        }
    }

    /// Begins to watch pools that are new.
    fn meet(&mut self) -> Result<(), Failure> {
        let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = |id: &u32| self.only.is_empty() || self.only.contains(id);
        let fresh = known.pools.keys().filter(|id| wanted(id) && !self.watched.contains(id));
        let fresh: Vec<u32> = fresh.copied().collect();
        drop(known);
        for id in fresh {
            let pool = PoolId(id);
            if !self.shared.sources.has(pool) {
                self.shared.output.warn(format!("{pool}: no --evidence URL is for it"));
            }
            let watch = PoolWatch::open(pool, &self.shared)?;
            self.pools.spawn_local(watch.run(self.news.subscribe()));
            self.watched.insert(id);
        }
        Ok(())
    }

    /// Lets every pool end: with `--once` when it is done, else at once.
    async fn end(&mut self) -> Tally {
        let caught_up = self.news.borrow().caught_up;
        if !(self.shared.once && caught_up) {
            self.news.send_modify(|news| news.stop = true);
        }
        let mut sum = Tally::default();
        let deadline = tokio::time::sleep(END);
        tokio::pin!(deadline);
        loop {
            let stopping = self.news.borrow().stop;
            tokio::select! {
                ended = self.pools.join_next() => match ended {
                    None => break,
                    Some(Ok(tally)) => {
                        sum.fraud |= tally.fraud;
                        sum.unchecked |= tally.unchecked;
                    }
                    Some(Err(error)) => {
                        self.shared.output.warn(format!("a pool's watch ended: {error}"));
                        sum.unchecked = true;
                    }
                },
                () = &mut deadline, if stopping => break,
            }
        }
        if let Err(failure) = self.save(true) {
            self.shared.output.warn(failure.to_string());
        }
        sum
    }

    fn save(&mut self, now: bool) -> Result<(), Failure> {
        if !now && self.saved.elapsed() < SAVE {
            return Ok(());
        }
        self.saved = Instant::now();
        let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
        files::put_encoded(&self.path, &*known)
    }
}

fn outbox(context: &Context, settlement: &Settlement) -> Result<Outbox, Failure> {
    let signer = wallet::open(&context.config).map_err(|failure| match failure.hint {
        Some(_) => failure,
        None => failure.hint("--dry-run watches without an account and sends nothing"),
    })?;
    chain::outbox(&context.config, settlement, signer)
}

/// A folder for each contract: what one has said is nothing to another.
fn folder(args: &WatchArgs, settlement: &Settlement) -> Result<PathBuf, Failure> {
    let data = match &args.data {
        Some(data) => data.clone(),
        None => config::state_dir()?.join("watch"),
    };
    let domain = settlement.domain();
    let dir = data.join(format!("{}-{}", domain.chain_id, domain.contract));
    files::folder(&dir)?;
    Ok(dir)
}

fn lock(dir: &std::path::Path) -> Result<File, Failure> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|error| failure::file("write", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text = format!("another watcher uses {}", dir.display());
            Err(Failure::new(Code::Conflict, text)
                .hint("--data gives this one a folder of its own"))
        }
        Err(TryLockError::Error(error)) => Err(failure::file("lock", &path, &error)),
    }
}

async fn follower(
    context: &Context,
    args: &WatchArgs,
    settlement: &Settlement,
    known: &Known,
) -> Result<Follower, Failure> {
    let (chain, contract) = (settlement.chain().clone(), settlement.address());
    let finality = context.config.finality()?;
    match known.cursor {
        Some(cursor) => Ok(Follower::resume(chain, contract, finality, cursor)),
        None => Follower::start(chain, contract, finality, args.from_block.max(1))
            .await
            .map_err(|error| failure::chain(&error)),
    }
}
