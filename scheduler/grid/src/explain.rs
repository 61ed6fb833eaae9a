//! Why an order waits, and why a worker has nothing to do: pictures for people, in the same words that
//! decide. Looks at a bounded number of tasks and deals, since anybody may ask.

use crate::{
    calibration::Calibration,
    fleet::Member,
    grid::Grid,
    obstacle::{Obstacle, Waiting, no_room},
    task::Task,
};
use quorate_common::{
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Waiting tasks of a deal that are looked at: each look is at every worker.
const TASKS_MAX: usize = 8;
/// Deals with work that a worker's explanation looks at.
const DEALS_MAX: usize = 64;
/// Tasks of a deal that are looked at for one worker.
const TASKS_OF_DEAL_MAX: usize = 16;
/// Applications shown of a worker.
const APPS_SHOWN: usize = 16;

/// What comes before a deal's next task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ahead {
    /// Tasks of other requesters, about: those that can be served until the requester's turn.
    pub of_others: u64,
    /// Requesters whose turn comes first.
    pub requesters: usize,
}

/// Tasks that wait for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingTasks {
    /// How many.
    pub tasks: usize,
    /// One of them, by its place in the order's bag.
    pub example: u32,
    /// Who could take a replica of that one, and what keeps the others out.
    pub workers: Waiting,
}

/// Why an order's tasks are where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderExplanation {
    /// Tasks by where they stand: `queued`, `waiting`, `running`, `revealing`, `settled`.
    pub tasks: BTreeMap<&'static str, usize>,
    /// Those that wait for workers, by reason; of many of one deal, the oldest stand for all.
    pub waiting: Vec<WaitingTasks>,
    /// What comes first.
    pub ahead: Ahead,
    /// Median milliseconds a replica of the application takes, once a few are known.
    pub runtime_ms: Option<u64>,
    /// Where its program stands, if it is a container: a new one has a few tasks at a time.
    pub calibration: Option<Calibration>,
    /// Workers that are connected, and their slots.
    pub connected: usize,
    /// Slots of connected workers.
    pub slots: u64,
}

/// Why a worker has no more work than it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkerExplanation {
    /// Which.
    pub worker: WorkerIdx,
    /// Replicas it has.
    pub busy: u16,
    /// Slots it offers.
    pub slots: u16,
    /// Replicas it is trusted with at once.
    pub quota: u16,
    /// Failures since its last success.
    pub failures: u32,
    /// The least unit price it works for.
    pub ask: String,
    /// What keeps it from more work, each with how many deals it concerns.
    pub reasons: Vec<Reason>,
    /// What is known of its pace, by application.
    pub paces: Vec<PaceView>,
}

/// One thing that keeps a worker from work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// In one word: an obstacle, `no_work`, or `turn`.
    pub reason: &'static str,
    /// Deals it concerns; 0 where it is about the worker alone.
    pub deals: usize,
    /// What would change it.
    pub hint: String,
}

/// How long an application's replicas take on a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PaceView {
    /// The module.
    pub app: Digest,
    /// Averaged milliseconds of a slot.
    pub runtime_ms: u64,
    /// Averaged milliseconds from assignment to commit.
    pub turnaround_ms: u64,
    /// The median turnaround of all workers, once known.
    pub median_ms: Option<u64>,
    /// Replicas committed.
    pub done: u32,
    /// Replicas lost, late or given back.
    pub failed: u32,
}

impl Grid {
    /// Why the tasks of an order, given by its deals, are where they are. `None` for no deal.
    pub fn explain_order(&self, deals: &[DealSlot]) -> Option<OrderExplanation> {
        let first = self.durable.deals.get(deals.first()?)?;
        let mut explanation = OrderExplanation {
            tasks: BTreeMap::new(),
            waiting: Vec::new(),
            ahead: self.ahead(first.slot),
            runtime_ms: self.timings.runtime_ms(first.app()),
            calibration: self.calibration(first.slot),
            connected: self.durable.fleet.connected(),
            slots: self.durable.fleet.slots(),
        };
        for slot in deals {
            self.explain_deal(*slot, &mut explanation);
        }
        Some(explanation)
    }

    fn explain_deal(&self, slot: DealSlot, explanation: &mut OrderExplanation) {
        let Some(deal) = self.durable.deals.get(&slot) else { return };
        let keys = (0..deal.terms.tasks).map(|idx| TaskKey { deal: slot, idx });
        for key in keys {
            *explanation.tasks.entry(self.stage(key)).or_default() += 1;
        }
        let queued = TaskKey { deal: slot, idx: deal.next };
        if matches!(self.task(queued), Some(Task::Queued)) {
            let tasks = (deal.terms.tasks - deal.next) as usize;
            explanation.add(tasks, deal.terms.filled_before + deal.next, self.waiting(queued));
        }
        let count = self.wanting.count(slot);
        for (at, key) in self.wanting.of_deal(slot).take(TASKS_MAX).enumerate() {
            // The last one looked at stands for those that are not.
            let tasks = if at + 1 == TASKS_MAX { count - at } else { 1 };
            explanation.add(tasks, deal.terms.filled_before + key.idx, self.waiting(key));
        }
    }

    fn stage(&self, key: TaskKey) -> &'static str {
        match self.task(key) {
            Some(Task::Open(open)) if open.revealing() => "revealing",
            Some(Task::Open(_)) if self.wanting.contains(&key) => "waiting",
            Some(Task::Open(_)) => "running",
            Some(Task::Done(_)) => "settled",
            Some(Task::Queued) | None => "queued",
        }
    }

    /// What comes before a deal's next task.
    pub(crate) fn ahead(&self, slot: DealSlot) -> Ahead {
        let Some(deal) = self.durable.deals.get(&slot) else { return Ahead::default() };
        let requester = deal.terms.requester;
        let Some(own) = self.shares.requesters.tag(requester) else { return Ahead::default() };
        let mut ahead = Ahead::default();
        let mut looked = None;
        while let Some((tag, other)) = self.shares.requesters.after(looked) {
            if tag >= own {
                break;
            }
            looked = Some((tag, other));
            if other != requester {
                ahead.requesters += 1;
                ahead.of_others += self.tasks_until(other, own - tag);
            }
        }
        ahead
    }

    /// Tasks of a requester that fit into so much of its turn.
    fn tasks_until(&self, requester: alloy_primitives::Address, time_ms: u64) -> u64 {
        let Some(deals) = self.shares.deals.get(&requester) else { return 0 };
        let (mut tasks, mut each_ms, mut looked) = (0_u64, u64::MAX, None);
        while let Some((tag, slot)) = deals.after(looked) {
            looked = Some((tag, slot));
            let deal = &self.durable.deals[&slot];
            tasks += u64::from(deal.terms.tasks - deal.next) + self.wanting.count(slot) as u64;
            each_ms = each_ms.min(self.expected_ms(TaskKey { deal: slot, idx: 0 }));
        }
        tasks.min(time_ms.div_ceil(each_ms.max(1)))
    }

    /// Why a worker has no more work than it has. `None` for one the contract does not know.
    pub fn explain_worker(&self, worker: WorkerIdx) -> Option<WorkerExplanation> {
        let member = self.durable.fleet.get(worker)?;
        let link = member.link.as_ref();
        let paces = self.timings.paces(worker).take(APPS_SHOWN);
        Some(WorkerExplanation {
            worker,
            busy: link.map_or(0, |link| link.busy),
            slots: link.map_or(0, |link| link.slots),
            quota: member.quota.cap(),
            failures: member.quota.failures(),
            ask: link.map_or(0, |link| link.ask).to_string(),
            reasons: self.reasons(worker, member),
            paces: paces
                .map(|(app, pace)| PaceView {
                    app,
                    runtime_ms: pace.runtime_ms,
                    turnaround_ms: pace.turnaround_ms,
                    median_ms: self.timings.turnaround_ms(app),
                    done: pace.done,
                    failed: pace.failed,
                })
                .collect(),
        })
    }

    /// What is about the worker alone, or else what its deals lack for it.
    fn reasons(&self, worker: WorkerIdx, member: &Member) -> Vec<Reason> {
        let alone = match &member.link {
            None => Some(Obstacle::Offline),
            Some(_) if member.exiting => Some(Obstacle::Exiting),
            Some(_) => no_room(member),
        };
        if let Some(restraint) = &member.restraint {
            let hint = format!("{}; ask the operator, {}", restraint.notice(), restraint.by);
            return vec![Reason { reason: "restrained", deals: 0, hint }];
        }
        if let Some(obstacle) = alone {
            return vec![reason(obstacle, 0, None)];
        }
        let mut obstacles: BTreeMap<Obstacle, (usize, u128)> = BTreeMap::new();
        let (mut turns, mut deals) = (0, 0);
        for (slot, deal) in self.durable.deals.iter().filter(|(_, d)| d.ready && !d.finished()) {
            let Some(found) = self.first_obstacle(worker, member, *slot) else { continue };
            deals += 1;
            match found {
                Some(obstacle) => {
                    let (count, best) = obstacles.entry(obstacle).or_default();
                    (*count, *best) = (*count + 1, (*best).max(lacking(obstacle, deal)));
                }
                None => turns += 1,
            }
            if deals == DEALS_MAX {
                break;
            }
        }
        let mut reasons: Vec<Reason> =
            obstacles.into_iter().map(|(o, (count, best))| reason(o, count, Some(best))).collect();
        if turns > 0 {
            let hint = "there is work it may take: it is drawn for it, or soon".to_owned();
            reasons.insert(0, Reason { reason: "turn", deals: turns, hint });
        } else if deals == 0 {
            let hint = "no task waits for a replica: work comes when somebody places an order";
            reasons.push(Reason { reason: "no_work", deals: 0, hint: hint.to_owned() });
        }
        reasons
    }

    /// What keeps a worker from the deal's tasks that want replicas: nothing for one of them is nothing.
    /// The outer `None`: none of them wants one.
    fn first_obstacle(
        &self,
        worker: WorkerIdx,
        member: &Member,
        slot: DealSlot,
    ) -> Option<Option<Obstacle>> {
        let deal = &self.durable.deals[&slot];
        let queued = TaskKey { deal: slot, idx: deal.next };
        let queued = matches!(self.task(queued), Some(Task::Queued)).then_some(queued);
        let wanting = self.wanting.of_deal(slot).take(TASKS_OF_DEAL_MAX);
        let found = queued.into_iter().chain(wanting);
        let obstacles = found.map(|key| self.misfit(&self.case(key), worker, member));
        obstacles.min()
    }
}

impl OrderExplanation {
    /// Adds tasks to those that wait for the same reason.
    fn add(&mut self, tasks: usize, example: u32, workers: Waiting) {
        let known = self.waiting.iter_mut().find(|w| w.workers.reason == workers.reason);
        match known {
            Some(known) => known.tasks += tasks,
            None => self.waiting.push(WaitingTasks { tasks, example, workers }),
        }
    }
}

/// What a deal has, of what the worker would have to meet.
fn lacking(obstacle: Obstacle, deal: &crate::deal::Deal) -> u128 {
    if obstacle == Obstacle::Stake { deal.stake } else { deal.terms.unit_price }
}

fn reason(obstacle: Obstacle, deals: usize, best: Option<u128>) -> Reason {
    let best = best.unwrap_or_default();
    let (reason, hint) = match obstacle {
        Obstacle::Offline => {
            ("offline", "it is not connected: is it running, and can it reach the pool?".to_owned())
        }
        Obstacle::Exiting => {
            ("exiting", "it asked to leave the pool; its owner can cancel that on chain".to_owned())
        }
        Obstacle::Restrained => {
            ("restrained", "the pool's operator keeps it from new work".to_owned())
        }
        Obstacle::Price => (
            "price",
            format!("it asks for more than is paid, {best} at most: set a lower `price`, or wait"),
        ),
        Obstacle::Containers => (
            "containers",
            "they are containers, and it runs none: see `quorate-worker engines`".to_owned(),
        ),
        Obstacle::Sealed => (
            "sealed",
            "their inputs are sealed to other workers: their requesters name who can read them"
                .to_owned(),
        ),
        Obstacle::Registry => (
            "registry",
            "their images lie in registries that its owner does not list: see `docker.registries`"
                .to_owned(),
        ),
        Obstacle::Pack => {
            ("pack", "they are runtime packs, and its owner wants none: see `packs.use`".to_owned())
        }
        Obstacle::Room => (
            "room",
            "their tasks may take more memory than it offers: see `memory`, or fewer `slots`"
                .to_owned(),
        ),
        Obstacle::Engine => (
            "engine",
            "these tasks were begun with another version of the engine: new ones are not"
                .to_owned(),
        ),
        Obstacle::Aside => (
            "aside",
            "it differed from most other workers about these programs, and gets no more of them"
                .to_owned(),
        ),
        Obstacle::Owner => (
            "owner",
            "another worker of its owner votes on them already: wait for others".to_owned(),
        ),
        Obstacle::Network => {
            ("network", "a worker of its network votes on them already: wait for others".to_owned())
        }
        Obstacle::Stake => (
            "stake",
            format!("each replica holds {best} of its stake and less is free: add stake, or wait"),
        ),
        Obstacle::Untrusted => (
            "untrusted",
            "it was caught, and votes only beside others until it has passed checks anew"
                .to_owned(),
        ),
        Obstacle::Closed => ("closed", "it offers no slots: its owner paused it".to_owned()),
        Obstacle::Paused => (
            "paused",
            "it only failed of late, and may try again within ten minutes: look into its log"
                .to_owned(),
        ),
        Obstacle::Quota => {
            ("quota", "it failed of late: it gets one more at once with each success".to_owned())
        }
        Obstacle::Busy => ("busy", "all of its slots are at work".to_owned()),
    };
    Reason { reason, deals, hint }
}
