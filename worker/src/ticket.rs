//! The claim ticket: this worker's account in the newest final batch, with its path, on this disk. Whoever
//! has it is paid, whatever becomes of the scheduler. When no ticket can be had for long, the scheduler is
//! asked on chain to show its data, and can be proven silent.

use crate::{api, escape::EscapeOptions, gas};
use quorate_chain::{
    Chain, ChainUrl, Settlement,
    court::{Court, Filing},
    error::SettleError,
};
use quorate_common::{
    api::WorkerProof,
    ids::{PoolId, WorkerIdx},
    keys::random32,
    merkle,
    messages::Domain,
    report::Chain as Report,
};
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
    pub(crate) node_key: quorate_common::B256,
    pub(crate) chain: Vec<ChainUrl>,
    pub(crate) api: String,
    pub(crate) escape: Option<EscapeOptions>,
}

/// Reads the ticket that is on disk.
pub(crate) fn read(file: &Path) -> Option<WorkerProof> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Whether a proof leads to the state of a final batch, as the contract has it.
pub(crate) async fn is_proven(
    settlement: &Settlement,
    pool: PoolId,
    worker: WorkerIdx,
    proof: &WorkerProof,
) -> Result<bool, SettleError> {
    let finalized = settlement.pool(pool).await?.finalized;
    let word = match settlement.batch(pool, proof.index).await {
        Err(error) if error.revert_name() == Some("UnknownBatch") => return Ok(false),
        word => word?,
    };
    let anchor = proof.opening.anchor();
    let (leaf, index) = (proof.account.leaf(), u64::from(worker.0));
    let leads = merkle::proves(anchor.state_root, merkle::STATE_DEPTH, leaf, index, &proof.path);
    Ok(leads && word == anchor.word() && proof.index <= finalized)
}

impl Keeper {
    /// Keeps the ticket fresh for as long as the worker lives.
    pub(crate) async fn run(self) {
        let mut failing_since = None;
        let mut asked = 0;
        loop {
            let pause = match self.refresh().await {
                Ok(()) => {
                    failing_since = None;
                    PAUSE
                }
                Err(reason) => {
                    let since = *failing_since.get_or_insert_with(Instant::now);
                    tracing::debug!(reason, "no claim ticket yet");
                    if since.elapsed() >= PATIENCE {
                        tracing::warn!(reason, "the scheduler shows no claim ticket");
                        self.ask(&mut asked).await;
                    }
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
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
        let path = format!("/v1/workers/{}/proof", worker.0);
        let proof: WorkerProof = match api::get(&self.api, &path).await {
            Ok(proof) => proof,
            // It has had no task in a final batch.
            Err(failure) if failure.exit == quorate_common::exit::Code::NotFound as u8 => {
                return Ok(());
            }
            Err(failure) => return Err(failure.to_string()),
        };
        if !is_proven(settlement, self.pool, worker, &proof).await.map_err(text)? {
            return Err(format!("its proof does not fit batch {} on chain", proof.index));
        }
        write(&self.file, &proof).map_err(|error| format!("{}: {error}", self.file.display()))
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
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use quorate_chain::{
        EmbeddedConfig, EmbeddedNode, Signer, U256,
        settlement::{deploy_settlement, deploy_token},
    };
    use quorate_common::{
        B256,
        keys::VoteKey,
        messages::{Header, Message as _},
    };

    const NOW: u64 = 1_800_000_000;

    async fn funded(chain: &Chain, byte: u8) -> Signer {
        let signer = Signer::from_secret(&[byte; 32]).unwrap();
        let wei = U256::from(10).pow(U256::from(19));
        chain.set_balance(signer.address(), wei).await.unwrap();
        signer
    }

    /// A pool with a batch that nobody shows.
    async fn pool(chain: &Chain) -> Settlement {
        let operator = funded(chain, 0x10).await;
        let config = quorate_chain::OutboxConfig {
            finality: quorate_chain::Finality::Latest,
            ..quorate_chain::OutboxConfig::of(quorate_chain::preset("dev").unwrap())
        };
        let outbox = quorate_chain::Outbox::new(chain.clone(), operator, config);
        let token = deploy_token(&outbox, outbox.account()).await.unwrap();
        let settlement = deploy_settlement(&outbox, token, 3 * 86_400).await.unwrap();
        let key = VoteKey::from_bytes(&[4; 32]).unwrap();
        let header = Header { pool: PoolId(1), index: 1, count: 7, ..Header::default() };
        let signature = key.sign(settlement.separator().digest(header.struct_hash()));
        for call in [
            settlement.approve(U256::from(1_000)),
            settlement.deposit(1_000),
            settlement.register_pool(key.address(), B256::repeat_byte(3), 1_000),
            settlement.commit_batch(&header, &signature),
        ] {
            outbox.send(call).await.unwrap();
        }
        settlement
    }

    #[tokio::test]
    async fn who_gets_no_ticket_asks_on_chain_once_for_each_batch() {
        let node = EmbeddedNode::new(EmbeddedConfig::new(31_337, NOW)).unwrap();
        let url = ChainUrl::Embedded(node);
        let chain = Chain::connect(&url).unwrap();
        let settlement = pool(&chain).await;
        let escape = EscapeOptions { chain: vec![url.clone()], signer: funded(&chain, 0x20).await };
        let keeper = Keeper {
            file: "ticket.json".into(),
            pool: PoolId(1),
            domain: settlement.domain(),
            node_key: B256::repeat_byte(9),
            chain: vec![url],
            api: "http://127.0.0.1:1".into(),
            escape: Some(escape.clone()),
        };
        assert_eq!(keeper.ask_with(&escape, 0).await.unwrap(), Some(1));
        assert_eq!(keeper.ask_with(&escape, 1).await.unwrap(), None, "it was asked for");
        let court = Court::connect(&settlement).await.unwrap();
        let mut asked = 0;
        for place in 0..7 {
            asked += u32::from(court.ask_of(PoolId(1), 1, place).await.unwrap().is_some());
        }
        assert_eq!(asked, 1);
    }
}
