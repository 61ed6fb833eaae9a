//! How many there are of everything, in one look: figures for monitoring. Costs a walk over workers and
//! unfinished deals, so it is for a scrape every few seconds; it changes nothing.

use crate::{
    deal::{Deal, OrderState},
    fleet::Member,
    grid::Grid,
    ledger::BatchState,
    task::{Open, Task},
};
use quorate_common::{
    clock::Now,
    ids::{TaskKey, WorkerIdx},
};
use std::collections::BTreeMap;

/// Deals whose waiting tasks are asked what they wait for: each question looks at every worker.
const DEALS_ASKED: usize = 8;

/// Numbers by a word of a closed list: that of the metric's label.
pub type Counts = BTreeMap<&'static str, u64>;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Workers by `offline`, `idle`, `busy`, `paused`, `restrained`, `leaving`.
    pub workers: Counts,
    /// Slots by `offered`, `busy`.
    pub slots: Counts,
    /// Workers by `new`, `checked`, `caught`, `barred`.
    pub standings: Counts,
    /// Orders by `opening`, `waiting`, `running`, `done`, `refused`.
    pub orders: Counts,
    /// Tasks by `queued`, `open`, `done`.
    pub tasks: Counts,
    /// Open tasks by `waiting`, `running`, `revealing`, `held`.
    pub open: Counts,
    /// Open tasks that were widened to check somebody.
    pub canaries: u64,
    /// Tasks that wait for a replica, by what for.
    pub waiting: Counts,
    /// Deals of such tasks that were asked.
    pub deals_asked: usize,
    /// Milliseconds since the oldest deal of such a task was opened.
    pub oldest_waiting_ms: u64,
    /// Closed batches by `closed`, `committed`, `final`.
    pub batches: Counts,
    /// The batch that is open.
    pub batch: u64,
    /// Tasks in it.
    pub batch_tasks: u64,
    /// When its first task was settled, in unix milliseconds.
    pub batch_since_ms: Option<u64>,
    /// The first batch that is not on chain yet.
    pub first_closed: Option<u64>,
    /// Token units that batches not on chain yet come to, the open one included: what they add to the
    /// contract's pending value.
    pub unsent: u128,
    /// Token units of all batches: payout, fees, royalties, slashed.
    pub booked: [u128; 4],
}

impl Grid {
    /// Counts everything.
    pub fn census(&self, now: Now) -> Census {
        let mut census = Census::default();
        for (worker, member) in self.durable.fleet.iter() {
            self.count_worker(worker, member, &mut census);
        }
        self.count_orders(&mut census);
        for deal in self.durable.deals.values() {
            self.count_deal(now, deal, &mut census);
        }
        self.count_batches(&mut census);
        census
    }

    fn count_worker(&self, worker: WorkerIdx, member: &Member, census: &mut Census) {
        let state = match &member.link {
            None => "offline",
            Some(_) if member.exiting => "leaving",
            Some(_) if member.is_restrained() => "restrained",
            Some(link) if link.slots == 0 || member.quota.paused() => "paused",
            Some(link) if link.busy > 0 => "busy",
            Some(_) => "idle",
        };
        add(&mut census.workers, state, 1);
        if let Some(link) = &member.link {
            add(&mut census.slots, "offered", link.slots.into());
            add(&mut census.slots, "busy", link.busy.min(link.slots).into());
        }
        let standing = match self.durable.standings.get(&worker) {
            Some(standing) if standing.barred => "barred",
            Some(standing) if standing.caught > 0 => "caught",
            Some(standing) if standing.passed.iter().any(|passed| *passed > 0) => "checked",
            Some(_) | None => "new",
        };
        add(&mut census.standings, standing, 1);
    }

    fn count_orders(&self, census: &mut Census) {
        for order in self.durable.orders.values() {
            let deal = match &order.state {
                OrderState::Opening => None,
                OrderState::Refused(_) => {
                    add(&mut census.orders, "refused", 1);
                    continue;
                }
                OrderState::Deal(slot) => self.durable.deals.get(slot),
            };
            let state = match deal {
                None => "opening",
                Some(deal) if deal.finished() => "done",
                Some(deal) if !deal.ready => "waiting",
                Some(_) => "running",
            };
            add(&mut census.orders, state, 1);
        }
    }

    fn count_deal(&self, now: Now, deal: &Deal, census: &mut Census) {
        add(&mut census.tasks, "done", deal.settled.into());
        if deal.finished() {
            return;
        }
        let opened = deal.tasks[..deal.next as usize].iter().filter_map(Task::open);
        let mut queued = u64::from(deal.terms.tasks - deal.settled);
        for open in opened {
            queued -= 1;
            add(&mut census.tasks, "open", 1);
            add(&mut census.open, stage(open), 1);
            census.canaries += u64::from(open.watch.wide);
        }
        // Not by how far the deal is handed out: at its deadline tasks end that nobody ever had.
        add(&mut census.tasks, "queued", queued);
        self.count_waiting(now, deal, queued, census);
    }

    fn count_waiting(&self, now: Now, deal: &Deal, queued: u64, census: &mut Census) {
        let wanting = self.wanting.of_deal(deal.slot).next();
        let next = || (queued > 0).then_some(TaskKey { deal: deal.slot, idx: deal.next });
        let Some(example) = wanting.or_else(next) else { return };
        let age_ms = now.unix_ms.saturating_sub(deal.opened_unix_ms);
        census.oldest_waiting_ms = census.oldest_waiting_ms.max(age_ms);
        if census.deals_asked < DEALS_ASKED {
            census.deals_asked += 1;
            let tasks = queued + self.wanting.count(deal.slot) as u64;
            add(&mut census.waiting, self.waiting(example).reason, tasks);
        }
    }

    fn count_batches(&self, census: &mut Census) {
        let ledger = &self.durable.ledger;
        for (index, closed) in &ledger.closed {
            let header = &closed.header;
            let values = [header.payout, header.fees, header.royalties, header.slashed];
            census.book(values, closed.state == BatchState::Closed);
            if closed.state == BatchState::Closed {
                census.first_closed = census.first_closed.or(Some(*index));
            }
            let state = match closed.state {
                BatchState::Closed => "closed",
                BatchState::Committed => "committed",
                BatchState::Final => "final",
            };
            add(&mut census.batches, state, 1);
        }
        let open = ledger.open();
        census.book(open.values(), true);
        (census.batch, census.batch_tasks) = (ledger.open_index(), open.tasks.len() as u64);
        census.batch_since_ms = (!open.tasks.is_empty()).then_some(open.opened_unix_ms);
    }
}

impl Census {
    fn book(&mut self, values: [u128; 4], unsent: bool) {
        for (sum, value) in self.booked.iter_mut().zip(values) {
            *sum = sum.saturating_add(value);
        }
        if unsent {
            self.unsent = values.into_iter().fold(self.unsent, u128::saturating_add);
        }
    }
}

fn stage(open: &Open) -> &'static str {
    if open.revealing() {
        "revealing"
    } else if open.watch.held {
        "held"
    } else if open.queued {
        "waiting"
    } else {
        "running"
    }
}

fn add(counts: &mut Counts, word: &'static str, count: u64) {
    *counts.entry(word).or_default() += count;
}
