//! F7: what a pool shows nobody is asked for on chain: first one task, its place chosen at random, because
//! most pools that are silent here are silent there, and are convicted for it. One that answers is asked
//! for every other task of the batch: then there is nothing left that it could hide.

use super::{
    docket::{Docket, chain_time, unix_s},
    files,
    known::OnChain,
    mirror::Mirror,
    say::Said,
    shown::Answers,
};
use crate::{failure, output::Output};
use quorate_chain::{
    SettleError,
    court::{ANSWER_TIME_S, ASK_END_S, name_of},
};
use quorate_common::{
    exit::{Code, Failure},
    ids::PoolId,
    keys,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Asks sent in one go, before others have their turn: a quarter of an hour where a block takes a minute.
const ASKS_AT_ONCE: usize = 16;
/// Seconds before the end of asking from which on nothing is waited for any more.
const HURRY_S: u64 = 12 * 3600;

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
    /// Somebody else has asked: the share is theirs.
    theirs: bool,
    /// Answered, or proven silent.
    over: bool,
}

/// One pool's missing batches.
pub(super) struct Silence {
    pool: PoolId,
    mirror: Mirror,
    path: PathBuf,
    settings: Settings,
    output: Output,
    missing: BTreeMap<u64, Missing>,
}

/// When to ask, and how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// How long something may be missing.
    pub(super) patience: Duration,
    /// Tasks asked for of one batch.
    pub(super) asks_max: u32,
}

impl Silence {
    /// What is on disk.
    pub(super) fn open(
        pool: PoolId,
        mirror: &Mirror,
        settings: Settings,
        output: Output,
    ) -> Result<Self, Failure> {
        let path = mirror.path("missing.json");
        let bytes = files::get(&path)?.unwrap_or_default();
        let missing = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Self { pool, mirror: mirror.clone(), path, settings, output, missing })
    }

    /// Something of a batch cannot be had.
    pub(super) fn note(&mut self, index: u64, what: &str, why: &str) -> Result<(), Failure> {
        if self.missing.contains_key(&index) {
            return Ok(());
        }
        let missing = Missing { since: unix_s(), ..Missing::default() };
        self.missing.insert(index, missing);
        self.save()?;
        let text = format!(
            "{what} cannot be had ({why}); asked for on chain in {:?}",
            self.settings.patience
        );
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
        let Some(missing) = self.missing.get(&index) else { return Ok(()) };
        if unix_s() < missing.since + self.settings.patience.as_secs() || missing.given_up {
            return Ok(());
        }
        let answers = self.hear(batch, docket).await?;
        let open = self.entry(index).asks.iter().position(|ask| !ask.over);
        if let Some(at) = open {
            self.follow(index, at, docket).await?;
        }
        self.ask_on(batch, window_s, &answers, docket).await?;
        self.save()
    }

    /// What was shown by now, whoever asked for it.
    async fn hear(&mut self, batch: &OnChain, docket: &Docket) -> Result<Answers, Failure> {
        let header = &batch.batch.header;
        let mut answers = Answers::open(&self.mirror, header.index)?;
        if answers.read(docket.court(), &self.mirror, batch).await? > 0 {
            let asks = self.entry(header.index).asks.iter_mut();
            asks.filter(|ask| answers.has(ask.place)).for_each(|ask| ask.over = true);
            let (shown, count) = (answers.count(), header.count);
            let text = format!("{shown} of {count} tasks were shown on chain");
            self.say("shown", header.index, &text)?;
        }
        Ok(answers)
    }

    /// Asks for one task; once it was shown, or when there is no time to wait for it, for all the others.
    async fn ask_on(
        &mut self,
        batch: &OnChain,
        window_s: u64,
        answers: &Answers,
        docket: &Docket,
    ) -> Result<(), Failure> {
        let committed = &batch.batch;
        let (index, count) = (committed.header.index, committed.header.count);
        let now = chain_time(docket.court()).await.map_err(|error| failure::chain(&error))?;
        let end = committed.opening.committed_at + window_s - ASK_END_S;
        let all = answers.count() > 0 || now + HURRY_S > end;
        let most = if all { self.settings.asks_max.min(count) } else { 1 } as usize;
        for _ in 0..ASKS_AT_ONCE {
            let Some(place) = self.next_place(index, count, answers)? else { break };
            if self.entry(index).asks.len() >= most {
                break;
            }
            if now > end {
                self.entry(index).given_up = answers.count() == 0;
                let text = "too late to ask for a task on chain: the window is almost over";
                return self.say("too_late", index, text);
            }
            if !self.ask(batch, place, docket).await? {
                break;
            }
        }
        Ok(())
    }

    /// A task that was neither asked for nor shown: any, and after the first the others in order.
    fn next_place(
        &mut self,
        index: u64,
        count: u32,
        answers: &Answers,
    ) -> Result<Option<u32>, Failure> {
        let asked = &self.entry(index).asks;
        if asked.is_empty() && answers.count() == 0 {
            return random_below(count).map(Some);
        }
        let is_open =
            |place: &u32| !answers.has(*place) && !asked.iter().any(|ask| ask.place == *place);
        Ok((0..count).find(is_open))
    }

    /// Asks for a task. Whether more can be asked for now.
    async fn ask(&mut self, batch: &OnChain, place: u32, docket: &Docket) -> Result<bool, Failure> {
        let index = batch.batch.header.index;
        let Some(outbox) = docket.outbox() else {
            self.entry(index).given_up = true;
            self.say("would_ask", index, &format!("would ask for task {place} on chain"))?;
            return Ok(false);
        };
        // Known before it is sent: a restart must not ask, and pay, twice.
        self.entry(index).asks.push(Asked { place, theirs: false, over: false });
        self.save()?;
        match outbox.mine(docket.court().ask(&batch.batch.filing(), place)).await {
            Ok(_) => {
                self.say("asked", index, &format!("asked for task {place} on chain"))?;
                Ok(true)
            }
            Err(error) if error.revert_name() == Some("AskedBefore") => {
                self.last_ask(index, |ask| ask.theirs = true);
                Ok(true)
            }
            Err(error) => {
                self.entry(index).asks.pop();
                Err(failure::chain(&error))
            }
        }
    }

    /// Goes on about an ask that was not answered: the oldest, since all have the same time.
    async fn follow(&mut self, index: u64, at: usize, docket: &mut Docket) -> Result<(), Failure> {
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
        let over = chain_time(&court).await.map_err(chain)? > found.at + ANSWER_TIME_S;
        let Some(outbox) = docket.outbox() else { return Ok(()) };
        if found.answered || !over {
            return Ok(());
        }
        match outbox.mine(court.silence(self.pool, short, asked.place)).await {
            Ok(_) => {
                self.entry(index).asks[at].over = true;
                self.say("proven", index, "a silence: proven, the pool is convicted")?;
                if asked.theirs {
                    return Ok(());
                }
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

/// The bias of the remainder does not matter: a pool cannot know the draw.
fn random_below(count: u32) -> Result<u32, Failure> {
    let random = keys::random32().map_err(|error| Failure::new(Code::Internal, error))?;
    let word = u32::from_le_bytes([random[0], random[1], random[2], random[3]]);
    Ok(word % count.max(1))
}
