//! What is said on chain when the scheduler does not take it, with the gas of an account the owner set
//! aside for that. Which, and when, is the agent's to decide.

use crate::{
    actors::agent::{AgentActor, SetShown},
    gas,
};
use actix::Addr;
use quorate_chain::{
    Chain, ChainUrl, Finality, Outbox, Settlement, Signer,
    error::SettleError,
    events::{ChainEvent, Follower},
    outbox::Call,
};
use quorate_common::{
    B256,
    anchor::SLACK_S,
    frame::FrameProof,
    ids::{PoolId, WorkerIdx},
    messages::{Domain, Message as _, Reveal},
    report::Chain as Report,
};
use quorate_policy::Claims;
use std::time::Duration;
use tokio::{sync::mpsc, time::Instant};

/// Things to say that may wait: a reveal each of all slots of a large machine. More are not said.
const WAITING_MAX: usize = 1024;
/// Pause before a failed call is tried again, and between two looks for an answer.
const PAUSE: Duration = Duration::from_secs(2);
/// Tries of one call: with the pause and the node's own deadlines a few minutes, after which a reveal is
/// too late.
const TRIES: u32 = 20;
/// An answer gives at least one slack to reveal, and may take one to come.
const ANSWER: Duration = Duration::from_secs(2 * SLACK_S);

/// The owner's means to be heard.
#[derive(Clone, Debug)]
pub struct EscapeOptions {
    /// Nodes of the contract's chain.
    pub chain: Vec<ChainUrl>,
    /// Pays the gas; needs no other rights.
    pub signer: Signer,
    /// When earnings are paid out with it.
    pub claims: Claims,
}

/// Something to say.
#[derive(Debug)]
pub(crate) enum Saying {
    /// The set was never shown.
    Demand { task_id: B256, attempt: u16, worker: WorkerIdx },
    /// A reveal, signed.
    Vote { reveal: Reveal, proof: FrameProof },
}

/// Where to say it.
#[derive(Debug)]
pub(crate) struct Escapes(Option<mpsc::Sender<Saying>>);

impl Escapes {
    /// Starts the task that speaks, if the owner gave it means.
    pub(crate) fn start(
        options: Option<EscapeOptions>,
        pool: PoolId,
        domain: Domain,
        agent: Addr<AgentActor>,
    ) -> Self {
        Self(options.map(|options| {
            let (sender, queue) = mpsc::channel(WAITING_MAX);
            actix::spawn(speak(Speaker { options, pool, domain, agent }, queue));
            sender
        }))
    }

    pub(crate) fn say(&self, saying: Saying) {
        match &self.0 {
            Some(sender) if sender.try_send(saying).is_ok() => {}
            Some(_) => tracing::error!("too much waits to be said on chain; a vote may be lost"),
            None => tracing::warn!(
                "the scheduler does not answer for a task, and this worker has no account to say so on \
                 chain: set `escape.key_file` to one with a little gas, or a vote may cost its stake"
            ),
        }
    }
}

struct Speaker {
    options: EscapeOptions,
    pool: PoolId,
    domain: Domain,
    agent: Addr<AgentActor>,
}

async fn speak(speaker: Speaker, mut queue: mpsc::Receiver<Saying>) {
    let mut line: Option<(Settlement, Outbox)> = None;
    while let Some(saying) = queue.recv().await {
        let mut tries = 0;
        loop {
            match speaker.say(&mut line, &saying).await {
                Ok(()) => break,
                Err(error) => {
                    tries += 1;
                    line = None;
                    tracing::warn!(error = %Report(&error), "not said on chain yet");
                    let refused = matches!(error, SettleError::Reverted(_));
                    if refused || tries >= TRIES {
                        tracing::error!("not said on chain: {saying:?}");
                        break;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Speaker {
    async fn say(
        &self,
        line: &mut Option<(Settlement, Outbox)>,
        saying: &Saying,
    ) -> Result<(), SettleError> {
        let (settlement, outbox) = match line.take() {
            Some(line) => line,
            None => self.connect().await?,
        };
        let from = settlement.chain().head().await?.number;
        let (_, receipt) = outbox.mine(self.call(&settlement, saying)).await?;
        tracing::info!(tx = %receipt.tx, gas = receipt.gas_used, "said on chain: {saying:?}");
        if let Saying::Demand { task_id, attempt, .. } = *saying {
            let agent = self.agent.clone();
            actix::spawn(hear(settlement.clone(), self.pool, agent, from, (task_id, attempt)));
        }
        *line = Some((settlement, outbox));
        Ok(())
    }

    fn call(&self, settlement: &Settlement, saying: &Saying) -> Call {
        match saying {
            Saying::Demand { task_id, attempt, worker } => {
                settlement.demand_set(self.pool, *task_id, *attempt, *worker)
            }
            Saying::Vote { reveal, proof } => settlement.force_vote(reveal, proof),
        }
    }

    async fn connect(&self) -> Result<(Settlement, Outbox), SettleError> {
        let chain = Chain::connect_all(&self.options.chain)?;
        let settlement = Settlement::connect(chain, self.domain).await?;
        let outbox = gas::outbox(&settlement, self.options.signer.clone());
        Ok((settlement, outbox))
    }
}

/// Waits for the set that answers a demand, and hands it to the agent.
async fn hear(
    settlement: Settlement,
    pool: PoolId,
    agent: Addr<AgentActor>,
    from: u64,
    wanted: (B256, u16),
) {
    let until = Instant::now() + ANSWER;
    let mut follower = None;
    while Instant::now() < until {
        match answers(&settlement, pool, from, &mut follower).await {
            Ok(sets) => {
                for SetShown { set, proof } in sets {
                    if (set.task_id, set.attempt) == wanted {
                        agent.do_send(SetShown { set, proof });
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::debug!(error = %Report(&error), "inbox not read");
                follower = None;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    tracing::warn!(task = %wanted.0, "the scheduler did not answer a demand: this can be proven");
}

/// The next sets that the pool's signer showed on chain.
async fn answers(
    settlement: &Settlement,
    pool: PoolId,
    from: u64,
    follower: &mut Option<Follower>,
) -> Result<Vec<SetShown>, SettleError> {
    let (chain, contract) = (settlement.chain().clone(), settlement.address());
    let reader = match follower {
        Some(reader) => reader,
        None => follower.insert(Follower::start(chain, contract, Finality::Latest, from).await?),
    };
    let Some(batch) = reader.next_batch().await? else { return Ok(Vec::new()) };
    let signer = settlement.pool(pool).await?.signer;
    let separator = settlement.separator();
    let shown = batch.events.into_iter().filter_map(|located| {
        let ChainEvent::Forced(forced) = located.event else { return None };
        let shown = forced.set().filter(|_| forced.pool == pool)?;
        let by = shown.proof.signer(&separator, shown.set.struct_hash());
        (by == Some(signer)).then_some(SetShown { set: shown.set, proof: shown.proof })
    });
    Ok(shown.collect())
}
