//! F7: what a pool shows nobody is asked for on chain, a task at a time, its place chosen at random. A
//! pool that does not answer is convicted for it; one that answers has shown that task, and no more.

use super::{
    docket::{Docket, chain_time, unix_s},
    files,
    known::OnChain,
    mirror::Mirror,
    say::Said,
};
use crate::{failure, output::Output};
use quorate_chain::{
    SettleError,
    court::{ANSWER_TIME_S, ASK_END_S, Court, CourtEvent, name_of},
};
use quorate_common::{
    exit::{Code, Failure},
    ids::PoolId,
    keys,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Tasks asked for of one batch, one after the other. Each answer costs the pool two and a half times
/// what the ask costs us, and a pool that answers them all has less to hide with each.
const ASKS_MAX: usize = 8;

/// What is missing of a batch, and what was done about it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Missing {
    /// Unix seconds, by our clock.
    since: u64,
    /// Tasks asked for.
    asks: Vec<Asked>,
    /// It was said that it is too late to ask.
    given_up: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Asked {
    place: u32,
    /// Height of the ask's block; zero until it is mined.
    block: u64,
    /// Answered, or proven silent.
    over: bool,
}

/// One pool's missing batches.
pub(super) struct Silence {
    pool: PoolId,
    path: PathBuf,
    patience: Duration,
    output: Output,
    missing: BTreeMap<u64, Missing>,
}

impl Silence {
    /// What is on disk.
    pub(super) fn open(
        pool: PoolId,
        mirror: &Mirror,
        patience: Duration,
        output: Output,
    ) -> Result<Self, Failure> {
        let path = mirror.path("missing.json");
        let bytes = files::get(&path)?.unwrap_or_default();
        let missing = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Self { pool, path, patience, output, missing })
    }

    /// Something of a batch cannot be had.
    pub(super) fn note(&mut self, index: u64, what: &str, why: &str) -> Result<(), Failure> {
        if self.missing.contains_key(&index) {
            return Ok(());
        }
        let missing = Missing { since: unix_s(), ..Missing::default() };
        self.missing.insert(index, missing);
        self.save()?;
        let text =
            format!("{what} cannot be had ({why}); asked for on chain in {:?}", self.patience);
        Said::new("missing", self.pool, Some(index), text).with("what", what).say(self.output)
    }

    /// Whether something of a batch is known to be missing.
    pub(super) fn knows(&self, index: u64) -> bool {
        self.missing.contains_key(&index)
    }

    /// It is here now.
    pub(super) fn found(&mut self, index: u64) -> Result<(), Failure> {
        if self.missing.remove(&index).is_none() {
            return Ok(());
        }
        self.save()
    }

    /// Forgets batches that are not pending.
    pub(super) fn keep(&mut self, pending: impl Fn(u64) -> bool) -> Result<(), Failure> {
        let before = self.missing.len();
        self.missing.retain(|index, _| pending(*index));
        if self.missing.len() == before { Ok(()) } else { self.save() }
    }

    /// Asks for, and goes on about, what is missing of a batch.
    pub(super) async fn drive(
        &mut self,
        batch: &OnChain,
        window_s: u64,
        docket: &mut Docket,
    ) -> Result<(), Failure> {
        let index = batch.batch.header.index;
        let Some(missing) = self.missing.get(&index).cloned() else { return Ok(()) };
        if unix_s() < missing.since + self.patience.as_secs() || missing.given_up {
            return Ok(());
        }
        let step = match missing.asks.iter().position(|ask| !ask.over) {
            Some(at) => self.follow(batch, at, docket).await,
            None if missing.asks.len() < ASKS_MAX => self.ask(batch, window_s, docket).await,
            None => Ok(()),
        };
        step?;
        self.save()
    }

    async fn ask(
        &mut self,
        batch: &OnChain,
        window_s: u64,
        docket: &Docket,
    ) -> Result<(), Failure> {
        let committed = &batch.batch;
        let index = committed.header.index;
        let now = chain_time(docket.court()).await.map_err(|error| failure::chain(&error))?;
        if now + ASK_END_S > committed.opening.committed_at + window_s {
            self.entry(index).given_up = true;
            let text = "too late to ask for a task on chain: the window is almost over";
            return self.say("too_late", index, text);
        }
        let place = random_below(committed.header.count)?;
        let Some(outbox) = docket.outbox() else {
            self.entry(index).given_up = true;
            return self.say("would_ask", index, &format!("would ask for task {place} on chain"));
        };
        // Known before it is sent: a restart must not ask, and pay, twice.
        self.entry(index).asks.push(Asked { place, block: 0, over: false });
        self.save()?;
        match outbox.mine(docket.court().ask(&committed.filing(), place)).await {
            Ok((_, receipt)) => {
                self.last_ask(index, |ask| ask.block = receipt.block_number);
                self.say("asked", index, &format!("asked for task {place} on chain"))
            }
            // Somebody else did: the share is theirs, so another place next time.
            Err(error) if error.revert_name() == Some("AskedBefore") => {
                self.last_ask(index, |ask| ask.over = true);
                Ok(())
            }
            Err(error) => {
                self.entry(index).asks.pop();
                Err(failure::chain(&error))
            }
        }
    }

    async fn follow(
        &mut self,
        batch: &OnChain,
        at: usize,
        docket: &mut Docket,
    ) -> Result<(), Failure> {
        let index = batch.batch.header.index;
        let short = u32::try_from(index).unwrap_or(u32::MAX);
        let asked = self.entry(index).asks[at];
        let court = docket.court().clone();
        let chain = |error: SettleError| failure::chain(&error);
        let found = court.ask_of(self.pool, short, asked.place).await.map_err(chain)?;
        let Some(found) = found else {
            // Never mined, or lost by a reorganised chain.
            self.entry(index).asks.remove(at);
            return Ok(());
        };
        if found.answered {
            self.entry(index).asks[at].over = true;
            return self.answered(&court, index, asked).await;
        }
        if chain_time(&court).await.map_err(chain)? <= found.at + ANSWER_TIME_S {
            return Ok(());
        }
        let Some(outbox) = docket.outbox() else { return Ok(()) };
        match outbox.mine(court.silence(self.pool, short, asked.place)).await {
            Ok(_) => {
                self.entry(index).asks[at].over = true;
                self.say("proven", index, "a silence: proven, the pool is convicted")?;
                docket.proven_silent(index, name_of(self.pool, short, asked.place))
            }
            Err(error) if error.revert_name() == Some("TooEarly") => Ok(()),
            Err(error @ SettleError::Reverted(_)) => {
                self.entry(index).asks[at].over = true;
                self.say("closed", index, &format!("a silence: the Court refuses it: {error}"))
            }
            Err(error) => Err(failure::chain(&error)),
        }
    }

    /// What was shown is one task; the file is still missing.
    async fn answered(&self, court: &Court, index: u64, asked: Asked) -> Result<(), Failure> {
        let shown = shown(court, self.pool, index, asked).await;
        let votes = match shown.map_err(|error| failure::chain(&error))? {
            Some(shown) => format!("with {} votes in {} rounds", shown.votes, shown.sets.len()),
            None => "in a transaction that cannot be read here; it counts as shown".to_owned(),
        };
        let text = format!("task {} was shown on chain {votes}; the rest is missing", asked.place);
        self.say("shown", index, &text)
    }

    fn entry(&mut self, index: u64) -> &mut Missing {
        self.missing.entry(index).or_default()
    }

    fn last_ask(&mut self, index: u64, change: impl FnOnce(&mut Asked)) {
        if let Some(ask) = self.entry(index).asks.last_mut() {
            change(ask);
        }
    }

    fn say(&self, event: &'static str, index: u64, text: &str) -> Result<(), Failure> {
        Said::new(event, self.pool, Some(index), text).say(self.output)
    }

    fn save(&self) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(&self.missing)
            .map_err(|error| Failure::new(Code::Internal, error))?;
        files::put(&self.path, &text)
    }
}

/// The answer's transaction, read.
async fn shown(
    court: &Court,
    pool: PoolId,
    index: u64,
    asked: Asked,
) -> Result<Option<quorate_chain::court::Shown>, SettleError> {
    /// Blocks looked at together: what the stingiest common providers allow.
    const SPAN_BLOCKS: u64 = 2_000;
    let chain = court.settlement().chain();
    let head = chain.head().await?.number;
    let mut from = asked.block;
    while from <= head {
        let to = head.min(from + SPAN_BLOCKS - 1);
        let answer = court.events(from, to).await?.into_iter().find(|log| {
            let place = asked.place;
            matches!(log.event, CourtEvent::Answered { pool: p, index: i, place: q }
                if p == pool && u64::from(i) == index && q == place)
        });
        if let Some(answer) = answer {
            let data = chain.input(answer.tx).await?;
            return Ok(data.and_then(|data| Court::shown(&data)));
        }
        from = to + 1;
    }
    Ok(None)
}

/// The bias of the remainder does not matter: a pool cannot know the draw.
fn random_below(count: u32) -> Result<u32, Failure> {
    let random = keys::random32().map_err(|error| Failure::new(Code::Internal, error))?;
    let word = u32::from_le_bytes([random[0], random[1], random[2], random[3]]);
    Ok(word % count.max(1))
}
