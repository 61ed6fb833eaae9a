//! The claim ticket: this worker's account in the newest final batch, with its path, on this disk. Whoever
//! has it is paid, whatever becomes of the scheduler. When no ticket can be had for long, the scheduler is
//! asked on chain to show its data, and can be proven silent.

use crate::{
    actors::agent::{AgentActor, Doubt},
    api,
    escape::EscapeOptions,
    gas, ledger,
};
use actix::Addr;
use quorate_chain::{
    Chain, ChainUrl, Settlement,
    court::{Court, Filing},
    error::SettleError,
};
use quorate_common::{
    B256,
    accounts::WorkerAccount,
    api::WorkerProof,
    clock::SystemClock,
    exit::{Code, Failure},
    ids::{PoolId, WorkerIdx},
    keys::random32,
    merkle,
    messages::Domain,
    report::Chain as Report,
};
use quorate_policy::Verdict;
use quorate_senses::calendar;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// The file in the worker's folder.
pub(crate) const FILE: &str = "ticket.json";
/// Pause between two looks at the chain: batches become final at most that often.
const PAUSE: Duration = Duration::from_secs(600);
/// Pause while something fails.
const RETRY: Duration = Duration::from_secs(60);
/// A scheduler that shows nothing for so long is asked on chain: longer than a restart with an upgrade,
/// short against a window of two days and the thirty-six hours before its end.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);

/// What the keeper needs.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) file: PathBuf,
    pub(crate) pool: PoolId,
    pub(crate) domain: Domain,
    /// The worker's node key, by which the contract knows it.
    pub(crate) node_key: B256,
    pub(crate) chain: Vec<ChainUrl>,
    pub(crate) api: String,
    pub(crate) escape: Option<EscapeOptions>,
    /// Who tells the owner.
    pub(crate) agent: Option<Addr<AgentActor>>,
}

/// Reads the ticket that is on disk.
pub(crate) fn read(file: &Path) -> Option<WorkerProof> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// What the scheduler shows of the worker's account, and whether the contract's own root agrees. Nothing
/// is believed without proof, not even that there is no account: who says so of a worker that has earned
/// would have it wait in silence.
pub(crate) async fn fetch(
    api: &str,
    settlement: &Settlement,
    pool: PoolId,
    worker: WorkerIdx,
) -> Result<WorkerProof, Failure> {
    let proof: WorkerProof = api::get(api, &format!("/v1/workers/{}/proof", worker.0)).await?;
    let proven = is_proven(settlement, pool, worker, &proof).await;
    if proven.map_err(|error| Failure::new(Code::Unreachable, Report(&error)))? {
        return Ok(proof);
    }
    let text = format!("the scheduler's proof does not fit batch {} on chain", proof.index);
    Err(Failure::new(Code::Failed, text).hint("nothing was sent; tell the pool's operator"))
}

/// Whether a proof leads to the state of a final batch, as the contract has it. Before the first batch
/// nobody has an account.
pub(crate) async fn is_proven(
    settlement: &Settlement,
    pool: PoolId,
    worker: WorkerIdx,
    proof: &WorkerProof,
) -> Result<bool, SettleError> {
    if proof.index == 0 {
        return Ok(proof.account.is_none());
    }
    let finalized = settlement.pool(pool).await?.finalized;
    let word = match settlement.batch(pool, proof.index).await {
        Err(error) if error.revert_name() == Some("UnknownBatch") => return Ok(false),
        word => word?,
    };
    let anchor = proof.opening.anchor();
    let leaf = proof.account.as_ref().map_or(B256::ZERO, WorkerAccount::leaf);
    let index = u64::from(worker.0);
    let leads = merkle::proves(anchor.state_root, merkle::STATE_DEPTH, leaf, index, &proof.path);
    Ok(leads && word == anchor.word() && proof.index <= finalized)
}

/// A batch may be sealed, and wait for its transaction, for so long before it is committed.
const DAY_S: u64 = 86_400;

/// For how long nothing was shown.
#[derive(Debug, Default)]
struct Patience {
    failing_since: Option<Instant>,
    /// The owner knows.
    told: bool,
    /// The newest batch that was asked for on chain.
    asked: u64,
}

impl Keeper {
    /// Keeps the ticket fresh for as long as the worker lives.
    pub(crate) async fn run(self) {
        let mut patience = Patience::default();
        loop {
            let pause = self.turn(&mut patience).await;
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks once, and asks on chain when nothing was shown for too long. How long to wait then.
    async fn turn(&self, patience: &mut Patience) -> Duration {
        let Err(reason) = self.refresh().await else {
            patience.failing_since = None;
            patience.told = false;
            self.claim().await;
            return PAUSE;
        };
        let since = *patience.failing_since.get_or_insert_with(Instant::now);
        tracing::debug!(reason, "no claim ticket yet");
        if since.elapsed() >= PATIENCE {
            if !std::mem::replace(&mut patience.told, true) {
                self.doubt(format!("the scheduler shows no claim ticket for hours: {reason}"));
            }
            self.ask(&mut patience.asked).await;
        }
        RETRY
    }

    /// Gets the ticket of the newest final batch, if the one at hand is older.
    async fn refresh(&self) -> Result<(), String> {
        let settlement = self.connect().await.map_err(|error| Report(&error).to_string())?;
        self.refresh_from(&settlement).await
    }

    async fn refresh_from(&self, settlement: &Settlement) -> Result<(), String> {
        let text = |error: SettleError| Report(&error).to_string();
        let finalized = settlement.pool(self.pool).await.map_err(text)?.finalized;
        let worker = settlement.worker_of_node_key(self.node_key).await.map_err(text)?;
        let Some(worker) = worker.filter(|_| finalized > 0) else { return Ok(()) };
        if read(&self.file).is_some_and(|ticket| ticket.index >= finalized) {
            return Ok(());
        }
        let proof = fetch(&self.api, settlement, self.pool, worker).await;
        let proof = proof.map_err(|failure| failure.to_string())?;
        if let Some(short) = self.short(&proof) {
            self.doubt(short);
        }
        self.keep(&proof)?;
        if proof.index < finalized {
            return Err(format!("it shows batch {}, and {finalized} is final", proof.index));
        }
        Ok(())
    }

    /// What is wrong with an account that a final batch proves: it must hold what was settled a day before the
    /// batch was committed, by this worker's own ledger.
    fn short(&self, proof: &WorkerProof) -> Option<String> {
        let now_s = SystemClock::start().now().unix_s();
        let until_s = proof.opening.committed_at.min(now_s).saturating_sub(DAY_S);
        let book = ledger::read(self.file.parent()?).ok()?;
        let counted = book.earned_before(&calendar::day(until_s * 1_000));
        let proven = proof.account.as_ref().map_or(0, |account| account.cum_earned);
        (proven < counted).then(|| {
            let index = proof.index;
            format!(
                "batch {index} holds {proven} token units for this worker; its ledger has {counted}"
            )
        })
    }

    fn doubt(&self, sentence: String) {
        match &self.agent {
            Some(agent) => agent.do_send(Doubt(sentence)),
            None => tracing::warn!("{sentence}"),
        }
    }

    /// Keeps a proof if it is newer than what is there.
    fn keep(&self, proof: &WorkerProof) -> Result<(), String> {
        if read(&self.file).is_some_and(|ticket| ticket.index >= proof.index) {
            return Ok(());
        }
        write(&self.file, proof).map_err(|error| format!("{}: {error}", self.file.display()))
    }

    /// Has paid out what is final, when that is worth its gas, with the account that the owner set aside for gas:
    /// the contract pays the worker's owner, whoever asks it to. What is not worth it yet is looked at again.
    async fn claim(&self) {
        let Some(escape) = &self.escape else { return };
        match self.claim_with(escape).await {
            Ok(Some(paid)) => tracing::info!(paid, "claimed by itself"),
            Ok(None) => {}
            Err(error) => tracing::warn!(error = %Report(&error), "could not claim by itself"),
        }
    }

    async fn claim_with(&self, escape: &EscapeOptions) -> Result<Option<u128>, SettleError> {
        let Some(ticket) = read(&self.file) else { return Ok(None) };
        let WorkerProof { worker, index, account: Some(account), path, opening, .. } = &ticket
        else {
            return Ok(None);
        };
        let settlement = self.connect().await?;
        let claimed = settlement.seat(self.pool, *worker).await?.claimed;
        let due = account.cum_earned.saturating_sub(claimed);
        if escape.claims.wants(due) != Verdict::Claim {
            return Ok(None);
        }
        let call = settlement.claim(self.pool, *worker, account, path, *index, &opening.anchor());
        let outbox = gas::outbox(&settlement, escape.signer.clone());
        let turn = outbox.begin().await;
        let prepared = turn.prepare(call).await?;
        // The most it may take: what is spent is about half.
        let fee = prepared.versions.last().map_or(0, |version| version.fees.max_fee);
        let verdict = escape.claims.judge(due, fee.saturating_mul(prepared.gas_limit.into()));
        if verdict != Verdict::Claim {
            tracing::debug!(?verdict, "not claimed yet");
            return Ok(None);
        }
        turn.submit(&prepared).await?;
        Ok(Some(due))
    }

    /// Asks the pool on chain to show a task of its newest pending batch, once for each batch.
    async fn ask(&self, asked: &mut u64) {
        let Some(escape) = &self.escape else { return };
        match self.ask_with(escape, *asked).await {
            Ok(Some(index)) => {
                *asked = index;
                tracing::warn!(index, "asked on chain for the pool's data");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(error = %Report(&error), "could not ask on chain"),
        }
    }

    async fn ask_with(
        &self,
        escape: &EscapeOptions,
        asked: u64,
    ) -> Result<Option<u64>, SettleError> {
        let settlement = self.connect().await?;
        let index = settlement.pool(self.pool).await?.head;
        let committed = settlement.committed(self.pool, index).await?;
        let Some((header, opening)) = committed.filter(|_| index > asked) else { return Ok(None) };
        let court = Court::connect(&settlement).await?;
        let place = random_below(header.count);
        let filing = Filing { header: &header, opening: &opening };
        let outbox = gas::outbox(&settlement, escape.signer.clone());
        outbox.mine(court.ask(&filing, place)).await?;
        Ok(Some(index))
    }

    async fn connect(&self) -> Result<Settlement, SettleError> {
        Settlement::connect(Chain::connect_all(&self.chain)?, self.domain).await
    }
}

/// A place that a scheduler cannot foresee. Without chance the first one serves as well.
fn random_below(count: u32) -> u32 {
    let bytes = random32().unwrap_or_default();
    let word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    word % count.max(1)
}

/// Whole or not at all, and on the disk before it counts.
fn write(file: &Path, proof: &WorkerProof) -> io::Result<()> {
    let temporary = file.with_extension("json.tmp");
    fs::write(&temporary, serde_json::to_vec_pretty(proof)?)?;
    fs::File::open(&temporary)?.sync_all()?;
    fs::rename(temporary, file)
}

#[cfg(test)]
mod tests;
