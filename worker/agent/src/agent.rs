//! The agent: its state, its one dispatcher, and the fold over its records.

use crate::{
    effect::{Effect, Ready, Warning},
    input::Input,
    job::{Kept, Shown, Ticket, Work},
    record::{Record, SealedJob, Totals},
    session::Session,
};
use quorate_common::{
    bug::{self, Bug},
    clock::Now,
    ids::{DealSlot, PoolId, TaskKey, WorkerIdx},
    messages::{Domain, Separator},
    wire::{self, DealInfo, Hello, SLOTS_MAX},
};
use std::collections::{BTreeMap, BTreeSet};

/// Replicas without a result, per offered slot. More are given back at once.
pub const WORK_PER_SLOT: usize = wire::WORK_PER_SLOT as usize;

/// Results kept at once. As many as `Hello` can name; at 3 KB each they are 6 MB. At the limit the
/// least useful one is forgotten (cancelled first, then the oldest shown), or new work is refused.
pub const KEPT_MAX: usize = Hello::HOLDING_MAX - WORK_PER_SLOT;

/// What an agent must know before it starts.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The pool it was invited to.
    pub pool: PoolId,
    /// The chain and contract its votes are bound to.
    pub domain: Domain,
    /// Replicas it may ever run at once, up to [`SLOTS_MAX`].
    pub slots_max: u16,
    /// The least price of a task it works for, in token units.
    pub ask: u128,
    /// How long what is said on chain takes to be there, in seconds: `SLACK_S` of the protocol. Less only
    /// in a simulated world, whose contract has less too.
    pub slack_s: u64,
}

/// A worker's rules. See the crate's documentation.
#[derive(Debug)]
pub struct Agent {
    pub(crate) config: Config,
    pub(crate) separator: Separator,
    /// The scheduler's unix milliseconds less our monotonic ones: its clock is the one that counts.
    pub(crate) shift_ms: i128,
    /// Whether the scheduler has told it since the program began. Before that it is what this machine's calendar
    /// says, which may be days off after its battery was empty.
    pub(crate) told_time: bool,
    pub(crate) slots: u16,
    pub(crate) leaving: bool,
    /// Whether new work is taken.
    pub(crate) take: bool,
    /// Runs are held, until this unix second if that is certain.
    pub(crate) rest: Option<Option<u64>>,
    /// Monotonic milliseconds when that began.
    pub(crate) rest_began_ms: u64,
    pub(crate) session: Session,
    /// Welcomes in a row that were for a stranger.
    pub(crate) unknown: u32,
    /// The index of the latest session: what work done while the link is down is sealed for.
    pub(crate) last_worker: Option<WorkerIdx>,
    pub(crate) score: u32,
    pub(crate) notice: String,
    pub(crate) stake: u128,
    pub(crate) deals: BTreeMap<DealSlot, DealInfo>,
    pub(crate) work: BTreeMap<TaskKey, Work>,
    pub(crate) kept: BTreeMap<TaskKey, Kept>,
    /// Runs that hold a slot, stopped ones included until they have really ended.
    pub(crate) running: BTreeSet<Ticket>,
    pub(crate) next_ticket: u64,
    pub(crate) totals: Totals,
    pub(crate) gave_up: u64,
    ready: Ready,
}

impl Agent {
    /// A worker with no past. `now` gives the clock that counts until the scheduler says its own.
    ///
    /// # Panics
    /// If `slots_max` is above [`SLOTS_MAX`]: the configuration is checked before.
    pub fn new(config: Config, now: Now) -> Self {
        assert!(config.slots_max <= SLOTS_MAX, "{} slots", config.slots_max);
        Self {
            config,
            separator: config.domain.separator(),
            shift_ms: i128::from(now.unix_ms) - i128::from(now.mono_ms),
            told_time: false,
            slots: config.slots_max,
            leaving: false,
            take: true,
            rest: None,
            rest_began_ms: 0,
            session: Session::Down,
            unknown: 0,
            last_worker: None,
            score: 0,
            notice: String::new(),
            stake: 0,
            deals: BTreeMap::new(),
            work: BTreeMap::new(),
            kept: BTreeMap::new(),
            running: BTreeSet::new(),
            next_ticket: 0,
            totals: Totals::default(),
            gave_up: 0,
            ready: Ready::default(),
        }
    }

    /// A worker as its records left it. They are those of one store, each job's in order; the
    /// totals are those of all jobs that were closed.
    pub fn restore<'a>(
        config: Config,
        now: Now,
        totals: Totals,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Self {
        let mut agent = Self::new(config, now);
        agent.totals = totals;
        for record in records {
            let shown = matches!(record, Record::Revealed { .. });
            if shown && bug::is(Bug::ShownForgotten) {
                continue;
            }
            agent.apply(record);
        }
        agent
    }

    /// Takes one input. What follows from it waits in [`Agent::take_ready`].
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::LinkUp => self.on_link_up(),
            Input::LinkDown => self.on_link_down(),
            Input::Frame(frame) => self.on_frame(now, *frame),
            Input::Fetched { ticket, task, outcome } => self.on_fetched(ticket, task, outcome),
            Input::Finished { ticket, task, outcome, salt } => {
                self.on_finished(now, ticket, task, outcome, salt);
            }
            Input::SetShown { set, proof } => self.on_set_shown(now, set, proof),
            Input::Offer(slots) => self.on_offer(slots),
            Input::Take(take) => self.on_take(take),
            Input::Rest { until_s } => self.on_rest(now, until_s),
            Input::Ask(ask) => self.config.ask = ask,
            Input::Leave => self.on_leave(),
            Input::Tick => self.on_tick(now),
        }
        self.start_waiting(now);
    }

    /// Everything that must be written, and everything that must be done after that.
    pub fn take_ready(&mut self) -> Ready {
        std::mem::take(&mut self.ready)
    }

    /// The one place that changes what a restart brings back.
    ///
    /// A record that does not fit (its job is unknown) changes nothing: a store that lost a
    /// job's first record has lost the job.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Sealed(job) => self.apply_sealed(job),
            Record::Acked { task, ack } => {
                if let Some(job) = self.kept.get_mut(task) {
                    job.shown = Shown::Acked(ack.clone());
                    job.sent = None;
                }
            }
            Record::Revealed { task, set } => {
                if let Some(job) = self.kept.get_mut(task) {
                    job.reveal_deadline = set.item.reveal_deadline;
                    job.shown = Shown::Revealing(set.clone());
                    (job.sent, job.cancelled) = (None, false);
                }
            }
            Record::Closed { task, closing } => {
                if self.kept.remove(task).is_some() {
                    self.totals.add(closing);
                }
            }
        }
    }

    /// What all closed jobs brought; stored with each [`Record::Closed`].
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The blobs of all kept results: what the store must not throw away.
    pub fn kept(&self) -> impl Iterator<Item = (TaskKey, &Kept)> {
        self.kept.iter().map(|(task, job)| (*task, job))
    }

    fn apply_sealed(&mut self, job: &SealedJob) {
        self.deals.entry(job.deal.slot).or_insert_with(|| job.deal.clone());
        let kept = Kept {
            attempt: job.attempt,
            deal: job.deal.id,
            app: job.deal.app,
            price: job.deal.unit_price,
            commit_deadline: job.commit_deadline,
            reveal_deadline: job.reveal_deadline,
            seal: job.seal.clone(),
            shown: Shown::Sealed,
            sent: None,
            demanded: false,
            forced: false,
            cancelled: false,
        };
        self.kept.insert(job.task, kept);
    }

    pub(crate) fn record(&mut self, record: Record) {
        self.apply(&record);
        self.ready.records.push(record);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.ready.effects.push(effect);
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        self.effect(Effect::Warn(Box::new(warning)));
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Unix milliseconds as the scheduler counts them.
    pub(crate) fn scheduler_ms(&self, now: Now) -> i128 {
        i128::from(now.mono_ms) + self.shift_ms
    }

    /// Whether the scheduler's clock has reached this unix second.
    pub(crate) fn is_over(&self, now: Now, deadline_s: u64) -> bool {
        self.scheduler_ms(now) >= i128::from(deadline_s) * 1000
    }
}
