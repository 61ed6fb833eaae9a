//! Read-only pictures for people and programs: why a task waits, what a worker is worth.

use crate::{
    deal::Deal,
    explain::Ahead,
    grid::Grid,
    input::SessionId,
    ledger::Ledger,
    obstacle::Waiting,
    poco::weight,
    task::{ReplicaState, Task},
};
use alloy_primitives::{Address, B256};
use quorate_common::{
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A worker, for tables.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerView {
    /// Its index.
    pub worker: WorkerIdx,
    /// Who owns it.
    pub owner: Address,
    /// Who it is.
    pub node_key: B256,
    /// Whether it is connected.
    pub connected: bool,
    /// Replicas at once, and those it is at.
    pub slots: u16,
    /// Replicas it is at.
    pub busy: u16,
    /// Its score.
    pub score: u32,
    /// The weight of its vote.
    pub weight: u32,
    /// Token units earned in all.
    pub earned: u128,
    /// Token units seized in all.
    pub slashed: u128,
    /// Token units at stake, less what was seized.
    pub stake: u128,
    /// Token units of it held by live replicas.
    pub held: u128,
    /// Whether and why an operator keeps it from work.
    pub restraint: Option<crate::restraint::Restraint>,
}

/// Why a task is where it is.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Which task.
    pub task: TaskKey,
    /// `queued`, `running`, `revealing`, `waiting`, or how it ended.
    pub state: String,
    /// One row per replica, oldest first.
    pub replicas: Vec<ReplicaView>,
    /// Groups of the revealed votes: digest and product of weights.
    pub groups: Vec<(String, String)>,
    /// One plus their sum.
    pub total: String,
    /// Trust asked for.
    pub trust: u32,
    /// The chance that the leading result is wrong, in billionths, where the pool makes a promise.
    pub doubt_ppb: Option<u64>,
    /// What its answer waits for, if it is held.
    pub held: Option<String>,
    /// What it waits for, if it waits for workers.
    pub waiting: Option<Waiting>,
    /// What comes before its deal, if it waits for workers.
    pub ahead: Option<Ahead>,
    /// Median milliseconds a replica of its application takes, once a few are known.
    pub runtime_ms: Option<u64>,
}

/// One replica, for tables.
#[derive(Clone, Debug, Serialize)]
pub struct ReplicaView {
    /// Whose.
    pub worker: WorkerIdx,
    /// In which round.
    pub attempt: u16,
    /// The weight its vote has now.
    pub weight: u32,
    /// Where it stands.
    pub state: &'static str,
}

impl Grid {
    /// Whose books these are.
    pub fn genesis(&self) -> crate::policy::Genesis {
        self.durable.genesis
    }

    /// The books.
    pub fn ledger(&self) -> &Ledger {
        &self.durable.ledger
    }

    /// Every order, by hash.
    pub fn orders(&self) -> &BTreeMap<B256, crate::deal::Order> {
        &self.durable.orders
    }

    /// Every deal, by slot.
    pub fn deals(&self) -> &BTreeMap<DealSlot, Deal> {
        &self.durable.deals
    }

    /// Block up to which the chain was read.
    pub fn cursor(&self) -> Option<(u64, B256)> {
        self.durable.cursor
    }

    /// Acknowledgements given: the pool's count.
    pub fn acknowledged(&self) -> u64 {
        self.durable.seq
    }

    /// Who voted how, beside whom.
    pub fn company(&self) -> &crate::company::Company {
        &self.durable.company
    }

    /// The worker of a connection.
    pub fn worker_of(&self, session: SessionId) -> Option<WorkerIdx> {
        self.durable.fleet.by_session(session)
    }

    /// Whether the worker of a connection works on a task of a deal that pays for this dataset.
    pub fn reads(&self, session: SessionId, dataset: Digest) -> bool {
        let member = self.worker_of(session).and_then(|worker| self.durable.fleet.get(worker));
        let pays = |task: &TaskKey| {
            self.durable
                .deals
                .get(&task.deal)
                .is_some_and(|deal| deal.terms.dataset == dataset.word())
        };
        member.is_some_and(|member| member.tasks.iter().any(pays))
    }

    /// Every worker.
    pub fn workers(&self) -> Vec<WorkerView> {
        self.durable.fleet.iter().filter_map(|(worker, _)| self.worker(worker)).collect()
    }

    /// One worker.
    pub fn worker(&self, worker: WorkerIdx) -> Option<WorkerView> {
        let member = self.durable.fleet.get(worker)?;
        let account = self.durable.ledger.worker(worker);
        let score = account.map_or(0, |account| account.score);
        let slashed = account.map_or(0, |account| account.cum_slashed);
        Some(WorkerView {
            worker,
            owner: member.owner,
            node_key: member.node_key,
            connected: member.link.is_some(),
            slots: member.link.as_ref().map_or(0, |link| link.slots),
            busy: member.link.as_ref().map_or(0, |link| link.busy),
            score,
            weight: weight(score),
            earned: account.map_or(0, |account| account.cum_earned),
            slashed,
            stake: member.stake.saturating_sub(slashed),
            held: member.held,
            restraint: member.restraint.clone(),
        })
    }

    /// Why a task is where it is.
    pub fn explain(&self, key: TaskKey) -> Option<Explanation> {
        let task = self.task(key)?;
        let trust = self.durable.deals.get(&key.deal)?.terms.trust;
        let score = |worker| self.durable.ledger.score(worker);
        let tally = task.open().map(|open| open.tally(score)).unwrap_or_default();
        let groups = tally.groups().iter().map(|(d, g)| (hex(*d), g.to_string())).collect();
        let (state, waits) = self.state_of(key, task);
        Some(Explanation {
            task: key,
            state,
            replicas: self.replica_views(task),
            groups,
            total: tally.total().to_string(),
            trust,
            doubt_ppb: task.open().and_then(|open| self.leading_doubt(open)),
            held: task.open().and_then(|open| self.why_held(open)),
            waiting: waits.then(|| self.waiting(key)),
            ahead: waits.then(|| self.ahead(key.deal)),
            runtime_ms: self.timings.runtime_ms(self.durable.deals[&key.deal].app()),
        })
    }

    fn state_of(&self, key: TaskKey, task: &Task) -> (String, bool) {
        match task {
            Task::Queued => ("queued".into(), true),
            Task::Done(done) => (done.outcome.to_string(), false),
            Task::Open(open) if open.revealing() => ("revealing".into(), false),
            Task::Open(open) if open.watch.held => ("held".into(), false),
            Task::Open(_) if self.wanting.contains(&key) => ("waiting".into(), true),
            Task::Open(_) => ("running".into(), false),
        }
    }

    fn replica_views(&self, task: &Task) -> Vec<ReplicaView> {
        let view = |replica: &crate::task::Replica| ReplicaView {
            worker: replica.worker,
            attempt: replica.attempt,
            weight: weight(self.durable.ledger.score(replica.worker)),
            state: match replica.state {
                ReplicaState::Assigned => "running",
                ReplicaState::Committed(_) => "committed",
                ReplicaState::Revealed(_) => "revealed",
                ReplicaState::Lost => "lost",
                ReplicaState::Missed(_) => "never revealed",
            },
        };
        task.open().map(|open| open.replicas.iter().map(view).collect()).unwrap_or_default()
    }
}

fn hex(word: B256) -> String {
    quorate_common::digest::Digest::from(word).to_string()
}
