//! Counts and searches for those who run the pool: each looks at every worker or at every deal once, touches no
//! task that is over, and copies a page of what it finds. With 10,000 workers and 100,000 tasks a look takes
//! about a millisecond (`tests/grid/headcount.rs` holds it to that).

use crate::{
    deal::OrderState, fleet::Member, grid::Grid, ledger::BatchState, restraint::Keep, task::Task,
    view::WorkerView,
};
use alloy_primitives::B256;
use quorate_common::ids::{TaskKey, WorkerIdx};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};

/// The pool in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Headcount {
    /// Workers that the contract knows.
    pub known: usize,
    /// Those that are connected.
    pub connected: usize,
    /// Those at work.
    pub working: usize,
    /// Those drained by an operator.
    pub drained: usize,
    /// Those banned.
    pub banned: usize,
    /// Slots of connected workers that may get work.
    pub slots: u64,
    /// Replicas under way.
    pub busy: u64,
    /// Tasks nobody was asked for yet.
    pub queued: u64,
    /// Tasks under way.
    pub open: u64,
    /// Tasks that are over.
    pub settled: u64,
    /// Of these, with an accepted result.
    pub accepted: u64,
    /// Replicas assigned so far.
    pub replicas: u64,
    /// Votes that lost.
    pub dissents: u64,
    /// Orders placed here.
    pub orders: usize,
    /// Orders whose deal is being opened.
    pub opening: usize,
    /// Orders that were refused.
    pub refused: usize,
    /// Deals with tasks left.
    pub running: usize,
    /// Deals that wait for their bytes.
    pub unready: usize,
    /// Token units that requesters have locked for tasks that are not over.
    pub escrow: u128,
    /// Tasks in the open batch.
    pub batch_tasks: usize,
    /// When it was opened, in unix milliseconds.
    pub batch_opened_ms: u64,
    /// Batches that are closed and not on chain.
    pub closed: usize,
    /// Batches on chain, open to challenge.
    pub committed: usize,
    /// Batches that are final.
    pub finals: usize,
    /// Token units of fees in closed batches.
    pub fees: u128,
    /// Token units paid to workers in closed batches.
    pub paid: u128,
    /// Token units seized in closed batches.
    pub seized: u128,
}

/// Which workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Among {
    /// All.
    #[default]
    All,
    /// Connected.
    Online,
    /// Connected and at work.
    Working,
    /// Connected, and nothing to do.
    Idle,
    /// Not connected.
    Offline,
    /// Drained or banned.
    Restrained,
    /// Caught voting wrong, or keeping a vote back.
    Dissenting,
}

/// What somebody looks for among workers.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// In which state.
    pub among: Among,
    /// Part of the owner's address in lower case without `0x`, or the number; empty: anything.
    pub text: String,
    /// Workers that fit the text by something that only the shell knows, as their names.
    pub named: BTreeSet<B256>,
}

/// A page of workers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Found {
    /// In order of their number.
    pub workers: Vec<WorkerView>,
    /// How many there are in all.
    pub total: usize,
}

impl Grid {
    /// The pool in numbers.
    pub fn headcount(&self) -> Headcount {
        let mut headcount = Headcount::default();
        self.tell_workers(&mut headcount);
        self.tell_deals(&mut headcount);
        for order in self.durable.orders.values() {
            headcount.opening += usize::from(order.state == OrderState::Opening);
            headcount.refused += usize::from(matches!(order.state, OrderState::Refused(_)));
        }
        headcount.orders = self.durable.orders.len();
        self.tell_batches(&mut headcount);
        headcount
    }

    fn tell_workers(&self, headcount: &mut Headcount) {
        for (_, member) in self.durable.fleet.iter() {
            headcount.known += 1;
            let keep = member.restraint.as_ref().map(|restraint| restraint.keep);
            headcount.drained += usize::from(keep == Some(Keep::Drained));
            headcount.banned += usize::from(keep == Some(Keep::Banned));
            if let Some(link) = &member.link {
                headcount.connected += 1;
                headcount.working += usize::from(link.busy > 0);
                headcount.busy += u64::from(link.busy);
            }
        }
        headcount.slots = self.durable.fleet.slots();
    }

    fn tell_deals(&self, headcount: &mut Headcount) {
        for deal in self.durable.deals.values() {
            headcount.settled += u64::from(deal.settled);
            headcount.accepted += u64::from(deal.accepted);
            headcount.replicas += deal.replicas;
            headcount.dissents += deal.dissents;
            if deal.finished() {
                continue;
            }
            headcount.running += 1;
            headcount.unready += usize::from(!deal.ready);
            let left = deal.terms.tasks - deal.settled;
            headcount.escrow += deal.terms.price() * u128::from(left);
            let open = deal.tasks[..deal.next as usize].iter();
            let open = open.filter(|task| matches!(task, Task::Open(_))).count() as u64;
            headcount.open += open;
            headcount.queued += u64::from(left).saturating_sub(open);
        }
    }

    fn tell_batches(&self, headcount: &mut Headcount) {
        let ledger = &self.durable.ledger;
        (headcount.batch_tasks, headcount.batch_opened_ms) =
            (ledger.open().tasks.len(), ledger.open().opened_unix_ms);
        for closed in ledger.closed.values() {
            *match closed.state {
                BatchState::Closed => &mut headcount.closed,
                BatchState::Committed => &mut headcount.committed,
                BatchState::Final => &mut headcount.finals,
            } += 1;
            headcount.fees += closed.header.fees;
            headcount.paid += closed.header.payout;
            headcount.seized += closed.header.slashed;
        }
    }

    /// A page of the workers that fit, `offset` of them skipped.
    pub fn find_workers(&self, search: &Search, offset: usize, limit: usize) -> Found {
        let mut found = Found::default();
        for (worker, member) in self.durable.fleet.iter() {
            if !self.is_among(search.among, worker, member) || !fits(search, worker, member) {
                continue;
            }
            if found.total >= offset && found.workers.len() < limit {
                found.workers.extend(self.worker(worker));
            }
            found.total += 1;
        }
        found
    }

    fn is_among(&self, among: Among, worker: WorkerIdx, member: &Member) -> bool {
        let busy = member.link.as_ref().map(|link| link.busy);
        match among {
            Among::All => true,
            Among::Online => busy.is_some(),
            Among::Working => busy.is_some_and(|busy| busy > 0),
            Among::Idle => busy == Some(0),
            Among::Offline => busy.is_none(),
            Among::Restrained => member.restraint.is_some(),
            Among::Dissenting => self.durable.company.tally(worker).lost > 0,
        }
    }

    /// The worker with this node key.
    pub fn worker_by_node(&self, node_key: B256) -> Option<WorkerIdx> {
        self.durable.fleet.by_node(node_key)
    }

    /// Tasks a worker has a live replica of, the oldest deals' first.
    pub fn tasks_of(&self, worker: WorkerIdx, most: usize) -> Vec<TaskKey> {
        let member = self.durable.fleet.get(worker);
        member.iter().flat_map(|member| member.tasks.iter().copied()).take(most).collect()
    }

    /// The hashes of the newest orders that `keep` takes, newest first, `offset` of them skipped, and how many
    /// there are.
    pub fn newest_orders(
        &self,
        keep: impl Fn(&B256, &crate::deal::Order) -> bool,
        offset: usize,
        limit: usize,
    ) -> (Vec<B256>, usize) {
        let mut newest = BinaryHeap::new();
        let mut total = 0;
        for (hash, order) in self.durable.orders.iter().filter(|(hash, order)| keep(hash, order)) {
            total += 1;
            newest.push(Reverse((order.at_unix_ms, *hash)));
            if newest.len() > offset.saturating_add(limit) {
                newest.pop();
            }
        }
        let sorted = newest.into_sorted_vec();
        let page = sorted.into_iter().skip(offset).map(|Reverse((_, hash))| hash);
        (page.collect(), total)
    }
}

fn fits(search: &Search, worker: WorkerIdx, member: &Member) -> bool {
    search.text.is_empty()
        || worker.0.to_string() == search.text
        || search.named.contains(&member.node_key)
        || search.text.len() >= 4 && hex(member.owner.as_slice()).contains(&search.text)
        || search.text.len() >= 4 && hex(member.node_key.as_slice()).contains(&search.text)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
