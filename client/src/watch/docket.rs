//! Proofs on their way through the Court: announced, brought in a later block, paid. Each is on disk
//! before anything of it is sent, its salt above all: without it what was announced is worth nothing.

use super::{files, mirror::Mirror, say::Said};
use crate::{failure, output::Output};
use quorate_chain::{
    Address, B256, Bytes, Call, Outbox, SettleError, U256,
    court::{self, Court, JOIN_TIME_S, Proof},
    settlement::{PoolState, PoolView},
};
use quorate_common::{
    clock::SystemClock,
    exit::{Code, Failure},
    ids::PoolId,
    keys,
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Challenges kept of one pool. One proof ends a pool; more are for batches that are left.
const CHALLENGES_MAX: usize = 64;

/// How often to look whether a share can be collected: it is for hours that it cannot.
const COLLECT: Duration = Duration::from_secs(3);

/// Seconds without a block after which a chain makes none by itself: more than a block of any chain that
/// has a preset.
const QUIET_S: u64 = 15;

/// How far a challenge is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// The Court would be convinced.
    Ready,
    /// Its hash is on chain.
    Announced,
    /// It was brought.
    Proven,
    /// Nothing is left to do.
    Closed(String),
}

/// A proof, and what has become of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Challenge {
    /// Its name in the Court.
    id: B256,
    /// In which batch the fraud is; zero: in none.
    index: u64,
    what: String,
    salt: B256,
    bench: Address,
    data: Bytes,
    stage: Stage,
}

/// One pool's challenges.
pub(super) struct Docket {
    pool: PoolId,
    path: std::path::PathBuf,
    court: Court,
    /// Without one nothing is sent.
    outbox: Option<Outbox>,
    output: Output,
    all: Vec<Challenge>,
    collected: Option<Instant>,
}

impl Docket {
    /// What is on disk.
    pub(super) fn open(
        pool: PoolId,
        mirror: &Mirror,
        court: &Court,
        outbox: Option<Outbox>,
        output: Output,
    ) -> Result<Self, Failure> {
        let path = mirror.path("challenges.json");
        let all = match files::get(&path)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let text = format!("{}: {error}", path.display());
                Failure::new(Code::Internal, text).hint("it holds salts: do not delete it")
            })?,
            None => Vec::new(),
        };
        let court = court.clone();
        Ok(Self { pool, path, court, outbox, output, all, collected: None })
    }

    /// The Court.
    pub(super) fn court(&self) -> &Court {
        &self.court
    }

    /// Who sends; nobody in a dry run.
    pub(super) fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_ref()
    }

    /// Whether something is to be sent as soon as possible.
    pub(super) fn is_busy(&self) -> bool {
        let busy = |one: &Challenge| matches!(one.stage, Stage::Ready | Stage::Announced);
        self.outbox.is_some() && self.all.iter().any(busy)
    }

    /// Whether a fraud in this batch is on its way already.
    fn has(&self, index: u64) -> bool {
        let open = self.all.iter().filter(|one| !matches!(one.stage, Stage::Closed(_)));
        let mut open = open.filter(|one| one.index != 0 || index == 0);
        open.any(|one| one.index <= index)
    }

    /// Asks the Court about each proof, and takes the first that convinces it. Says so, or why none did.
    pub(super) async fn bring(
        &mut self,
        index: u64,
        fault: &str,
        proofs: Vec<Proof>,
    ) -> Result<bool, Failure> {
        if self.has(index) {
            return Ok(true);
        }
        let mut why = Vec::new();
        for proof in proofs {
            // Brought before, and that is over.
            if self.all.iter().any(|one| one.data == proof.data) {
                return Ok(true);
            }
            match self.court.convinces(&proof).await.map_err(|error| failure::chain(&error))? {
                Ok(()) => return self.take(index, fault, &proof).map(|()| true),
                Err(reason) => why.push(format!("{}: {reason}", proof.what)),
            }
        }
        tracing::warn!(pool = %self.pool, index, "nothing convinces the Court: {}", why.join("; "));
        Ok(false)
    }

    fn take(&mut self, index: u64, fault: &str, proof: &Proof) -> Result<(), Failure> {
        let batch = (index != 0).then_some(index);
        let text = format!("FRAUD: {fault}; {} convinces the Court", proof.what);
        let said = Said::new("fraud", self.pool, batch, text).with("proof", proof.what);
        said.say(self.output)?;
        let salt = keys::random32().map_err(|error| Failure::new(Code::Internal, error))?.into();
        let account = self.outbox.as_ref().map_or(Address::ZERO, Outbox::account);
        let id = court::challenge(account, salt, proof);
        let Proof { what, bench, data } = proof.clone();
        let what = what.to_owned();
        self.all.push(Challenge { id, index, what, salt, bench, data, stage: Stage::Ready });
        if self.outbox.is_none() {
            // Known for this run, so that it is said once.
            return Ok(());
        }
        self.save()
    }

    /// The share of an ask that was not answered is collected like a proof's.
    pub(super) fn proven_silent(&mut self, index: u64, id: B256) -> Result<(), Failure> {
        let (what, stage) = ("a silence".to_owned(), Stage::Proven);
        let (salt, bench, data) = (B256::ZERO, Address::ZERO, Bytes::new());
        self.all.push(Challenge { id, index, what, salt, bench, data, stage });
        self.save()
    }

    /// Does the next step of every challenge, if its time has come.
    pub(super) async fn drive(&mut self) -> Result<(), Failure> {
        let collect = self.collected.is_none_or(|when| when.elapsed() >= COLLECT);
        if collect {
            self.collected = Some(Instant::now());
        }
        for at in 0..self.all.len() {
            let due = match self.all[at].stage {
                Stage::Ready | Stage::Announced => true,
                Stage::Proven => collect,
                Stage::Closed(_) => false,
            };
            if due {
                let stage = self.step(at).await;
                if let Some(stage) = stage.map_err(|error| failure::chain(&error))? {
                    self.enter(at, stage)?;
                }
            }
        }
        let excess = self.all.len().saturating_sub(CHALLENGES_MAX);
        if excess > 0 {
            self.all.retain(|one| !matches!(one.stage, Stage::Closed(_)));
            self.save()?;
        }
        Ok(())
    }

    fn enter(&mut self, at: usize, stage: Stage) -> Result<(), Failure> {
        let one = &mut self.all[at];
        let (event, text) = match &stage {
            Stage::Ready => ("again", format!("{}: to be announced again", one.what)),
            Stage::Announced => ("announced", format!("{}: announced", one.what)),
            Stage::Proven => ("proven", format!("{}: proven, the pool is convicted", one.what)),
            Stage::Closed(why) => ("closed", format!("{}: {why}", one.what)),
        };
        let batch = (one.index != 0).then_some(one.index);
        let said = Said::new(event, self.pool, batch, text);
        let said = said.with("challenge", one.id.to_string()).with("proof", one.what.clone());
        one.stage = stage;
        self.save()?;
        said.say(self.output)
    }

    async fn step(&self, at: usize) -> Result<Option<Stage>, SettleError> {
        let one = &self.all[at];
        let Some(outbox) = &self.outbox else { return Ok(None) };
        match one.stage {
            Stage::Ready => self.announce(one, outbox).await,
            Stage::Announced => self.prove(one, outbox).await,
            Stage::Proven => self.collect(one, outbox).await,
            Stage::Closed(_) => Ok(None),
        }
    }

    async fn announce(
        &self,
        one: &Challenge,
        outbox: &Outbox,
    ) -> Result<Option<Stage>, SettleError> {
        let view = self.court.settlement().pool(self.pool).await?;
        if !is_worth(&view, one.index) {
            let why = "the pool is convicted already, and the batch is dropped or final";
            return Ok(Some(Stage::Closed(why.to_owned())));
        }
        let call = self.court.announce(outbox.account(), one.salt, &one.proof());
        match outbox.mine(call).await {
            Ok(_) => Ok(Some(Stage::Announced)),
            // Sent before a restart.
            Err(error) if error.revert_name() == Some("AnnouncedBefore") => {
                Ok(Some(Stage::Announced))
            }
            Err(error) => Err(error),
        }
    }

    async fn prove(&self, one: &Challenge, outbox: &Outbox) -> Result<Option<Stage>, SettleError> {
        match outbox.mine(self.court.prove(one.salt, &one.proof())).await {
            Ok(_) => Ok(Some(Stage::Proven)),
            // The first proof must come in a later second than its announcement.
            Err(error) if error.revert_name() == Some("NotAnnounced") => {
                match self.court.announced_at(one.id).await? {
                    Some(at) => self.later_block(at, outbox).await.map(|()| None),
                    // A reorganised chain may have lost it.
                    None => Ok(Some(Stage::Ready)),
                }
            }
            Err(error @ SettleError::Reverted(_)) => {
                if self.court.has_share(one.id).await? {
                    // Proven before a restart.
                    return Ok(Some(Stage::Proven));
                }
                Ok(Some(Stage::Closed(format!("the Court refuses it: {error}"))))
            }
            Err(error) => Err(error),
        }
    }

    /// On a chain that makes blocks only for transactions, and where nobody else sends any, the block
    /// after an announcement is ours to make.
    async fn later_block(&self, announced_at: u64, outbox: &Outbox) -> Result<(), SettleError> {
        let head = self.court.settlement().chain().head().await?.timestamp;
        if head <= announced_at && unix_s() > announced_at + QUIET_S {
            outbox.mine(Call::transfer(outbox.account(), U256::ZERO)).await?;
        }
        Ok(())
    }

    async fn collect(
        &self,
        one: &Challenge,
        outbox: &Outbox,
    ) -> Result<Option<Stage>, SettleError> {
        let Some(opened_at) = self.court.convicted_at(self.pool).await? else {
            // A reorganised chain may have lost it.
            let again = if one.data.is_empty() { None } else { Some(Stage::Announced) };
            return Ok(again);
        };
        if !self.court.has_share(one.id).await? {
            return Ok(Some(Stage::Closed("no share is left to collect".to_owned())));
        }
        if chain_time(&self.court).await? <= opened_at + JOIN_TIME_S {
            return Ok(None);
        }
        match outbox.mine(self.court.share(one.id)).await {
            Ok(_) => Ok(Some(Stage::Closed("the share is paid".to_owned()))),
            Err(error) if error.revert_name() == Some("TooEarly") => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn save(&self) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(&self.all)
            .map_err(|error| Failure::new(Code::Internal, error))?;
        files::put(&self.path, &text)
    }
}

impl Challenge {
    fn proof(&self) -> Proof {
        Proof { what: "a fraud", bench: self.bench, data: self.data.clone() }
    }
}

/// Whether a proof still does something.
fn is_worth(view: &PoolView, index: u64) -> bool {
    let drops = view.finalized < index && index <= view.head;
    drops || !matches!(view.state, PoolState::Convicted(_))
}

/// The chain's clock, or ours on a chain that makes blocks only for transactions.
pub(super) async fn chain_time(court: &Court) -> Result<u64, SettleError> {
    let head = court.settlement().chain().head().await?.timestamp;
    Ok(head.max(unix_s()))
}

/// Our clock.
pub(super) fn unix_s() -> u64 {
    SystemClock::start().now().unix_s()
}
