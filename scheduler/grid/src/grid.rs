//! The grid itself: its state, the one dispatcher, and the drain.

use crate::{
    calibration::{Program, Work},
    company::Company,
    credibility::Standing,
    deadline::{Deadline, Deadlines},
    deal::{Deal, Opened, Order, OrderState},
    effect::{Effect, Ready, Reply},
    fair::Shares,
    fleet::{Draws, Fleet, Link},
    holding::Holdings,
    input::{ChainInput, Input, Ticket},
    ledger::{BatchState, Ledger},
    matching::{Fresh, Wanting},
    policy::{Genesis, Policy},
    progress::LAST_BYTES_S,
    record::Record,
    timings::Timings,
    verdicts::Verdicts,
};
use alloy_primitives::B256;
use quorate_common::{
    bug::{self, Bug},
    clock::Now,
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
    messages::{Message as _, Separator},
    wire::WORK_PER_SLOT,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds by which the wall clock may run ahead of the timers before they are set anew: slewing and
/// rounding stay below, and no deadline is finer than a second.
const WALL_STEP_MS: i128 = 1_000;

/// What must survive a restart. Everything else follows from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Durable {
    pub(crate) genesis: Genesis,
    pub(crate) fleet: Fleet,
    pub(crate) orders: BTreeMap<B256, Order>,
    pub(crate) deals: BTreeMap<DealSlot, Deal>,
    pub(crate) ledger: Ledger,
    /// How far each worker is believed that ever answered.
    pub(crate) standings: BTreeMap<WorkerIdx, Standing>,
    /// Who voted how, beside whom.
    pub(crate) company: Company,
    /// What came of each worker's last replicas.
    pub(crate) verdicts: Verdicts,
    /// How far programs in containers are known to agree with themselves.
    pub(crate) programs: BTreeMap<Digest, Program>,
    /// The pool's count of acknowledgements.
    pub(crate) seq: u64,
    /// Block up to which the chain was read.
    pub(crate) cursor: Option<(u64, B256)>,
}

/// What a scheduler knows and decides.
#[derive(Debug)]
pub struct Grid {
    pub(crate) durable: Durable,
    pub(crate) policy: Policy,
    pub(crate) separator: Separator,
    pub(crate) draws: Draws,
    pub(crate) deadlines: Deadlines,
    /// Unix milliseconds less monotonic ones, as the last input had it: the wall clock can be set.
    wall_ms: Option<i128>,
    /// Unix second up to which everything said on chain was told.
    pub(crate) heard_s: u64,
    /// Tasks whose silent workers may have said something on chain that was not read yet, by the reveal's
    /// deadline.
    pub(crate) to_hear: BTreeSet<(u64, TaskKey)>,
    /// Tasks of which all who demanded their set were shown it on chain in time. After a restart everybody
    /// who waits is answered anew.
    pub(crate) answered: BTreeSet<TaskKey>,
    /// Open tasks that want another replica, oldest first.
    pub(crate) wanting: Wanting,
    /// Whose turn it is.
    pub(crate) shares: Shares,
    /// How long replicas take.
    pub(crate) timings: Timings,
    /// Open tasks with a replica that is late where few tasks are left.
    pub(crate) hurried: BTreeSet<TaskKey>,
    /// The last of them that was looked at, when there were too many for one look.
    pub(crate) scanned_to: TaskKey,
    /// Deals with tasks that were never opened.
    pub(crate) fresh: Fresh,
    /// Answers that wait for their backers to earn credibility.
    pub(crate) holdings: Holdings,
    /// The last of them that was hurried, when there were too many for one look.
    pub(crate) hurried_to: WorkerIdx,
    /// Workers whose open tasks are to be looked at again.
    pub(crate) stirred: BTreeSet<WorkerIdx>,
    pub(crate) ready: Ready,
}

impl Grid {
    /// An empty grid. `seed` drives every draw it makes.
    pub fn new(genesis: Genesis, policy: Policy, seed: [u8; 32]) -> Self {
        let durable = Durable {
            genesis,
            fleet: Fleet::default(),
            orders: BTreeMap::new(),
            deals: BTreeMap::new(),
            ledger: Ledger::new(genesis.pool),
            standings: BTreeMap::new(),
            company: Company::default(),
            verdicts: Verdicts::default(),
            programs: BTreeMap::new(),
            seq: 0,
            cursor: None,
        };
        Self::with(durable, policy, seed)
    }

    /// A grid from a snapshot; records after it are then applied one by one.
    pub fn with(mut durable: Durable, policy: Policy, seed: [u8; 32]) -> Self {
        durable.fleet.rebuild(policy.work_per_slot.clamp(1, WORK_PER_SLOT));
        durable.ledger.rebuild();
        Self {
            separator: durable.genesis.separator(),
            durable,
            policy,
            draws: Draws::new(seed),
            deadlines: Deadlines::default(),
            wall_ms: None,
            heard_s: 0,
            to_hear: BTreeSet::new(),
            answered: BTreeSet::new(),
            wanting: Wanting::default(),
            shares: Shares::default(),
            timings: Timings::default(),
            hurried: BTreeSet::new(),
            scanned_to: TaskKey::default(),
            fresh: Fresh::default(),
            holdings: BTreeMap::new(),
            hurried_to: WorkerIdx::default(),
            stirred: BTreeSet::new(),
            ready: Ready::default(),
        }
    }

    /// What a snapshot holds.
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    /// Takes up work after a restart, once every record was applied: rebuilds queues and deadlines,
    /// gives every worker a lease to come back, and repeats what may not have left.
    pub fn resume(&mut self, now: Now) {
        self.rebuild(now);
        let workers: Vec<_> = self.durable.fleet.iter().map(|(worker, _)| worker).collect();
        for worker in workers {
            self.watch_lease(now, worker);
        }
        if !bug::is(Bug::OpenForgotten) {
            self.open_again(now);
        }
        for deal in self.durable.deals.values() {
            self.ready.effects.push(Effect::DealKnown(deal.opened()));
        }
        for (header, file) in self.durable.ledger.unsealed() {
            if bug::is(Bug::SealForgotten) {
                break;
            }
            self.ready.effects.push(Effect::Seal(header, Box::new(file)));
        }
        let tasks: Vec<TaskKey> = self.open_tasks().collect();
        for task in tasks {
            if self.owes_answer(task) {
                self.answer(now, task);
            }
            self.advance(now, task);
        }
        self.stir(now);
        self.watch_batch(now);
    }

    /// Asks again for deals of orders that have none, or of which somebody else matched a part while this
    /// scheduler was about to open all of it. An order that expired since has none to come.
    fn open_again(&mut self, now: Now) {
        let mut matched: BTreeMap<B256, u32> = BTreeMap::new();
        for deal in self.durable.deals.values() {
            let tasks = matched.entry(deal.terms.req_hash).or_default();
            *tasks = tasks.saturating_add(deal.terms.tasks);
        }
        for (hash, order) in &self.durable.orders {
            let rest = || matched.get(hash).is_none_or(|tasks| *tasks < order.req.tasks);
            let wants = match order.state {
                OrderState::Opening => true,
                OrderState::Deal(_) => now.unix_s() < order.req.expiry && rest(),
                OrderState::Refused(_) => false,
            };
            if wants {
                let signed = Box::new(order.clone());
                self.ready.effects.push(Effect::OpenDeal { order: *hash, signed });
            }
        }
    }

    /// Deals that cannot be worked on, because something they need was not here when it was looked for,
    /// and that have not ended.
    pub fn deals_waiting(&self, now: Now) -> Vec<Opened> {
        let deals = self.durable.deals.values();
        let waits =
            |deal: &&Deal| !deal.ready && !deal.finished() && now.unix_s() < deal.terms.deadline;
        deals.filter(waits).map(Deal::opened).collect()
    }

    /// Takes something that happened. Afterwards [`Grid::take_ready`] must be called before the next.
    pub fn handle(&mut self, now: Now, input: Input) {
        let clock_was_set = self.follow_wall(now);
        match input {
            Input::Tick => self.on_tick(now),
            Input::Order { ticket, req, signature, sides } => {
                let (at_unix_ms, state) = (now.unix_ms, OrderState::Opening);
                let (req, sides) = (*req, *sides);
                self.on_order(ticket, Order { req, signature, sides, at_unix_ms, state });
            }
            Input::OpenFailed { order, reason } => self.on_open_failed(order, reason),
            Input::Chain(input) => self.on_chain(now, input),
            Input::Connected { session, node_key, vote_key, slots, net, engine, ask, holding } => {
                let link = Link::new(session, slots, net, engine, ask);
                self.on_connected(now, node_key, vote_key, link, &holding);
            }
            Input::Disconnected(session) => self.on_disconnected(now, session),
            Input::Slots(session, slots) => self.on_slots(session, slots),
            Input::Containers(session, engine) => self.on_containers(session, engine),
            Input::Votes(session, votes) => self.on_votes(now, session, votes),
            Input::GaveUp(session, gave_up) => self.on_gave_up(now, session, gave_up),
            Input::Stored(task, digest) => self.on_stored(now, task, digest),
            Input::Committed { index } => self.on_batch(index, BatchState::Committed),
            Input::Finalized { index } => self.on_batch(index, BatchState::Final),
            Input::CloseBatch => self.close_batch(),
            Input::Restrain { ticket, worker, restraint } => {
                self.on_restrain(now, ticket, worker, restraint);
            }
        }
        // Workers count by our clock. Not before: the input may be that one of them is gone.
        if clock_was_set {
            self.welcome_all();
        }
        self.stir(now);
        self.assign(now);
    }

    /// Timers count from when they were set. A wall clock that was put forward since brings deadlines
    /// nearer than their timers know, by minutes perhaps; put back, each is found early and set anew.
    /// Whether it was either.
    fn follow_wall(&mut self, now: Now) -> bool {
        let wall_ms = i128::from(now.unix_ms) - i128::from(now.mono_ms);
        let before = self.wall_ms.replace(wall_ms);
        let step_ms = before.map_or(0, |before| wall_ms - before);
        if step_ms > WALL_STEP_MS {
            self.watch_all(now);
        }
        step_ms.abs() > WALL_STEP_MS
    }

    /// Everything that has to be written and done, in order.
    pub fn take_ready(&mut self) -> Ready {
        std::mem::take(&mut self.ready)
    }

    /// When [`Grid::handle`] wants to be called with [`Input::Tick`], in milliseconds of the monotonic
    /// clock. May change after every call. Calling early is harmless.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first()
    }

    /// Writes a record down and applies it.
    pub(crate) fn record(&mut self, record: Record) {
        self.apply(&record);
        self.ready.records.push(record);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.ready.effects.push(effect);
    }

    fn on_tick(&mut self, now: Now) {
        while let Some(due) = self.deadlines.pop_due(now.mono_ms) {
            match due {
                Deadline::Lease(worker) => self.on_lease_over(now, worker),
                Deadline::Commit(task) => self.on_commit_over(now, task),
                Deadline::Reveal(task) => self.on_reveal_over(now, task),
                Deadline::Fetch(task) => self.on_fetch_over(now, task),
                Deadline::Hold(task) => self.on_hold_over(now, task),
                Deadline::Deal(deal) => self.on_deal_over(now, deal),
                Deadline::Batch => self.on_batch_due(now),
                Deadline::Pause(worker) => self.on_pause_over(now, worker),
                Deadline::Tail(deal) => self.on_tail(now, deal),
            }
        }
    }

    fn on_order(&mut self, ticket: Ticket, mut order: Order) {
        let hash = order.req.struct_hash();
        let known = self.durable.orders.get(&hash).map(|order| order.state.clone());
        let deal = match known {
            Some(OrderState::Deal(deal)) => Some(deal),
            Some(OrderState::Opening) => None,
            Some(OrderState::Refused(_)) | None => {
                let deal = self.deal_of_all(hash, order.req.tasks);
                order.state = deal.map_or(OrderState::Opening, OrderState::Deal);
                let signed = Box::new(order.clone());
                self.record(Record::Order { hash, order: Box::new(order) });
                if deal.is_none() {
                    self.effect(Effect::OpenDeal { order: hash, signed });
                }
                deal
            }
        };
        self.effect(Effect::Reply(ticket, Reply::Accepted { order: hash, deal }));
    }

    /// The last of the deals that have all tasks of an order, if somebody opened them before it came: the requester,
    /// or this scheduler before its disk was set back. Then nothing of it is left to be opened.
    fn deal_of_all(&self, order: B256, tasks: u32) -> Option<DealSlot> {
        let of_it = self.durable.deals.values().filter(|deal| deal.terms.req_hash == order);
        let (slot, matched) = of_it.fold((None, 0_u32), |(_, matched), deal| {
            (Some(deal.slot), matched.saturating_add(deal.terms.tasks))
        });
        slot.filter(|_| matched >= tasks)
    }

    fn on_open_failed(&mut self, order: B256, reason: String) {
        let opening =
            self.durable.orders.get(&order).is_some_and(|o| o.state == OrderState::Opening);
        if opening {
            self.record(Record::Refused { hash: order, reason });
        }
    }

    fn on_chain(&mut self, now: Now, input: ChainInput) {
        match input {
            ChainInput::Worker { worker, owner, vote_key, node_key } => {
                self.record(Record::Worker { worker, owner, vote_key, node_key });
            }
            ChainInput::Stake { worker, stake, exiting } => {
                self.record(Record::Stake { worker, stake, exiting });
            }
            ChainInput::Deal { opened, work } => self.on_deal(now, *opened, work),
            ChainInput::Forced(vote) => self.on_forced(now, *vote),
            ChainInput::Demand { task_id, attempt, worker, at_unix_s } => {
                self.on_demand(now, task_id, attempt, worker, at_unix_s);
            }
            ChainInput::Answered { task_id, reveal_deadline, at_unix_s } => {
                self.on_answered(now, task_id, reveal_deadline, at_unix_s);
            }
            ChainInput::Heard { at_unix_s } => self.on_heard(now, at_unix_s),
            ChainInput::Cursor { block, hash } => {
                self.record(Record::Cursor { block, hash });
            }
        }
    }

    fn on_deal(&mut self, now: Now, opened: crate::deal::Opened, work: Option<Work>) {
        let slot = opened.slot;
        let known = self.durable.deals.get(&slot).map(|deal| deal.ready);
        if known == Some(true) || (known == Some(false) && work.is_none()) {
            return;
        }
        let (work, at_unix_ms) = (work.map(Box::new), now.unix_ms);
        self.record(Record::Deal { opened: opened.clone(), work, at_unix_ms });
        self.effect(Effect::DealKnown(opened));
        self.watch_deal(now, slot);
    }

    /// Sets the deadline of a deal.
    pub(crate) fn watch_deal(&mut self, now: Now, slot: DealSlot) {
        let Some(deal) = self.durable.deals.get(&slot) else { return };
        if !deal.finished() {
            self.watch_deal_at(now, slot, deal.terms.deadline);
        }
    }

    /// After a restart: a deal whose program is erratic ends at once.
    pub(crate) fn watch_erratic(&mut self, now: Now, slot: DealSlot) {
        let deal = self.durable.deals.get(&slot);
        if deal.is_some_and(|deal| deal.erratic.is_some() && !deal.finished()) {
            self.deadlines.set(now.mono_ms, Deadline::Deal(slot));
        }
    }

    fn watch_deal_at(&mut self, now: Now, slot: DealSlot, unix_s: u64) {
        let in_ms = unix_s.saturating_sub(now.unix_s()).saturating_mul(1000);
        self.deadlines.set(now.mono_ms.saturating_add(in_ms), Deadline::Deal(slot));
    }

    fn on_deal_over(&mut self, now: Now, slot: DealSlot) {
        let Some(deal) = self.durable.deals.get(&slot) else { return };
        let (deadline, tasks, erratic) = (deal.terms.deadline, deal.terms.tasks, deal.erratic);
        let early = now.unix_s() < deadline;
        if early {
            // The wall clock was set back, for the deal ends by it and not by ours; or its program is
            // erratic.
            self.watch_deal(now, slot);
            if erratic.is_none() {
                return;
            }
        }
        let over = |idx: &u32| {
            let key = TaskKey { deal: slot, idx: *idx };
            if early { self.ends_early(key) } else { self.is_due(now, key) }
        };
        let late: Vec<u32> = (0..tasks).filter(over).take(Policy::EXPIRE_MAX).collect();
        let more = late.len() == Policy::EXPIRE_MAX;
        for idx in late {
            let key = TaskKey { deal: slot, idx };
            if early { self.end_early(now, key) } else { self.conclude(now, key) }
        }
        if more {
            // A millisecond later, so that this tick ends.
            self.deadlines.set(now.mono_ms + 1, Deadline::Deal(slot));
        } else if !early && now.unix_s() < deadline + LAST_BYTES_S {
            self.watch_deal_at(now, slot, deadline + LAST_BYTES_S);
        }
    }

    fn on_batch(&mut self, index: u64, state: BatchState) {
        let known = self.durable.ledger.closed.get(&index).map(|closed| closed.state);
        match (known, state) {
            (Some(BatchState::Closed), BatchState::Committed) => {
                self.record(Record::BatchCommitted { index });
            }
            (Some(BatchState::Closed | BatchState::Committed), BatchState::Final) => {
                self.record(Record::BatchFinal { index });
            }
            _ => {}
        }
    }

    /// Sets the age limit of the open batch, when it has its first task.
    pub(crate) fn watch_batch(&mut self, now: Now) {
        let open = self.durable.ledger.open();
        if !open.tasks.is_empty() {
            let due = open.opened_unix_ms + self.policy.batch_ms;
            let in_ms = due.saturating_sub(now.unix_ms);
            self.deadlines.set(now.mono_ms + in_ms, Deadline::Batch);
        }
    }

    fn on_batch_due(&mut self, now: Now) {
        let open = self.durable.ledger.open();
        if open.opened_unix_ms + self.policy.batch_ms <= now.unix_ms {
            self.close_batch();
        } else {
            self.watch_batch(now);
        }
    }

    pub(crate) fn close_batch(&mut self) {
        if self.durable.ledger.open().tasks.is_empty() {
            return;
        }
        let index = self.durable.ledger.open_index();
        self.record(Record::Closed);
        let closed = self.durable.ledger.unsealed_at(index);
        let (header, file) = closed.expect("the batch was closed a line ago");
        self.effect(Effect::Seal(header, Box::new(file)));
    }
}
