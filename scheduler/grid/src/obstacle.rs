//! Who may take a replica of a task, and what keeps the others out. One rule for those who draw and for
//! those who explain.

use crate::{
    fleet::Member,
    grid::Grid,
    task::{Open, Task},
};
use alloy_primitives::Address;
use quorate_common::{
    bag::AppKind,
    bug::{self, Bug},
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
    wire::GiveUpReason,
};
use serde::Serialize;

/// What keeps a worker from a replica, the most lasting first: a worker is counted once, by the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// It is not connected.
    Offline,
    /// It asked to leave the pool.
    Exiting,
    /// An operator keeps it from work.
    Restrained,
    /// It asks for more than the deal pays.
    Price,
    /// The task is for containers, and it runs none.
    Containers,
    /// The task's inputs are sealed, and not to it.
    Sealed,
    /// The program lies in a registry that its owner does not list.
    Registry,
    /// The program is a runtime pack, and its owner wants none.
    Pack,
    /// The tasks may take more memory than it offers for one.
    Room,
    /// It runs tasks with another engine than the task's replicas.
    Engine,
    /// It differed from a majority about the task's program.
    Aside,
    /// Its owner has a replica of the task.
    Owner,
    /// Somebody of its network has one.
    Network,
    /// Not enough of its stake is free.
    Stake,
    /// It was caught, and votes only beside others until it has passed checks anew.
    Untrusted,
    /// It offers no slot.
    Closed,
    /// It only failed of late, and gets nothing for a while.
    Paused,
    /// It failed of late, and has as many replicas as it is trusted with.
    Quota,
    /// All of its slots are in use.
    Busy,
}

impl Obstacle {
    /// What a replica that was given back says of its whole deal, if it does.
    pub(crate) fn of_deal(reason: GiveUpReason) -> Option<Self> {
        match reason {
            GiveUpReason::Registry => Some(Self::Registry),
            GiveUpReason::Pack => Some(Self::Pack),
            GiveUpReason::Room => Some(Self::Room),
            GiveUpReason::Leaving
            | GiveUpReason::Deadline
            | GiveUpReason::Input
            | GiveUpReason::Stack
            | GiveUpReason::Engine
            | GiveUpReason::Price
            | GiveUpReason::Memory => None,
        }
    }
}

/// A task as those who might take a replica of it see it.
#[derive(Debug)]
pub(crate) struct Case {
    stake: u128,
    price: u128,
    containers: bool,
    deal: DealSlot,
    engine: Option<Digest>,
    others: Vec<Other>,
}

/// Somebody who has a replica, or had one.
#[derive(Clone, Copy, Debug)]
struct Other {
    owner: Address,
    /// Where it was when it was asked, and where it is.
    nets: [Option<u64>; 2],
}

impl Grid {
    /// What the task asks of a worker.
    pub(crate) fn case(&self, key: TaskKey) -> Case {
        let deal = &self.durable.deals[&key.deal];
        let open = self.task(key).and_then(Task::open);
        let other = |replica: &crate::task::Replica| {
            let member = self.durable.fleet.get(replica.worker)?;
            let net = member.link.as_ref().and_then(|link| link.net);
            Some(Other { owner: member.owner, nets: [replica.net, net] })
        };
        Case {
            stake: deal.stake,
            price: deal.terms.unit_price,
            containers: AppKind::is_containers(deal.terms.tag),
            deal: key.deal,
            engine: open.and_then(Open::engine),
            others: open.into_iter().flat_map(|o| &o.replicas).filter_map(other).collect(),
        }
    }

    /// What about a connected worker does not fit the task, whether it has room or not: its ask, its
    /// engine (engines may differ in honest results; a task whose every replica was lost begins anew with
    /// any), an owner or a network that has a replica, its stake.
    pub(crate) fn misfit(
        &self,
        case: &Case,
        worker: WorkerIdx,
        member: &Member,
    ) -> Option<Obstacle> {
        let Some(link) = &member.link else { return Some(Obstacle::Offline) };
        let engine = link.engine(case.containers);
        let same_net = |other: &Other| link.net.is_some() && other.nets.contains(&link.net);
        let same_owner = |o: &Other| o.owner == member.owner && !bug::is(Bug::SameOwner);
        if link.ask > case.price {
            Some(Obstacle::Price)
        } else if engine.is_none() {
            Some(Obstacle::Containers)
        } else if !self.durable.deals[&case.deal].work.is_read_by(member.node_key) {
            Some(Obstacle::Sealed)
        } else if let Some(why) = link.unfit.get(&case.deal) {
            Some(*why)
        } else if case.engine.is_some() && case.engine != engine {
            Some(Obstacle::Engine)
        } else if self.is_aside(case.deal, worker) {
            Some(Obstacle::Aside)
        } else if case.others.iter().any(same_owner) {
            Some(Obstacle::Owner)
        } else if case.others.iter().any(same_net) {
            Some(Obstacle::Network)
        } else if !self.has_stake(worker, member, case.stake) {
            Some(Obstacle::Stake)
        } else {
            None
        }
    }

    pub(crate) fn has_stake(&self, worker: WorkerIdx, member: &Member, stake: u128) -> bool {
        let slashed = self.durable.ledger.worker(worker).map_or(0, |account| account.cum_slashed);
        let held = if bug::is(Bug::StakeReused) { 0 } else { member.held };
        member.stake.saturating_sub(slashed).saturating_sub(held) >= stake
    }

    /// What keeps a worker from a replica of the task now.
    pub(crate) fn obstacle(
        &self,
        case: &Case,
        worker: WorkerIdx,
        member: &Member,
    ) -> Option<Obstacle> {
        if member.link.is_some() && member.exiting {
            return Some(Obstacle::Exiting);
        }
        if member.link.is_some() && member.is_restrained() {
            return Some(Obstacle::Restrained);
        }
        let fresh = case.others.is_empty();
        let untrusted = fresh && self.promises() && self.standing(worker).barred;
        let misfit = self.misfit(case, worker, member);
        misfit.or_else(|| untrusted.then_some(Obstacle::Untrusted)).or_else(|| no_room(member))
    }

    /// Who could take a replica of a task, and what keeps the others out.
    pub(crate) fn waiting(&self, key: TaskKey) -> Waiting {
        let case = self.case(key);
        let mut waiting = Waiting::default();
        for (worker, member) in self.durable.fleet.iter() {
            waiting.add(self.obstacle(&case, worker, member));
        }
        waiting.explain(self.durable.deals[&key.deal].ready);
        waiting
    }
}

/// Why a connected worker has no free slot for more.
pub(crate) fn no_room(member: &Member) -> Option<Obstacle> {
    let link = member.link.as_ref()?;
    if link.slots == 0 {
        Some(Obstacle::Closed)
    } else if member.quota.paused() {
        Some(Obstacle::Paused)
    } else if link.busy >= link.slots {
        Some(Obstacle::Busy)
    } else if link.busy >= member.quota.cap() {
        Some(Obstacle::Quota)
    } else {
        None
    }
}

/// Who could take a replica, and what keeps the others out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Workers the contract knows.
    pub known: usize,
    /// Not connected.
    pub offline: usize,
    /// On their way out.
    pub exiting: usize,
    /// Kept from new work by an operator.
    pub restrained: usize,
    /// Asking for more than the deal pays.
    pub price: usize,
    /// Without an engine for containers, which the task needs.
    pub containers: usize,
    /// Unable to read the task's inputs.
    pub sealed: usize,
    /// Not asking the registry that the program lies in.
    pub registry: usize,
    /// Taking no runtime packs, which the program is.
    pub pack: usize,
    /// Offering less memory for a task than these may take.
    pub room: usize,
    /// With another engine than the task's replicas.
    pub engine: usize,
    /// Not asked any more about a program of which they said otherwise than most.
    pub aside: usize,
    /// Of an owner that has a replica already.
    pub related: usize,
    /// Of a network that has a replica already.
    pub network: usize,
    /// Without enough free stake.
    pub stake: usize,
    /// Caught, and not asked first until they have passed checks anew.
    pub untrusted: usize,
    /// Offering no slot.
    pub closed: usize,
    /// Getting nothing for a while, because they only failed.
    pub paused: usize,
    /// Trusted with no more at once, because they failed.
    pub quota: usize,
    /// Without a free slot.
    pub busy: usize,
    /// None of these.
    pub eligible: usize,
    /// What it waits for, in one word: `bytes`, `turn`, `nobody`, or an obstacle.
    pub reason: &'static str,
    /// What would change it.
    pub hint: String,
}

impl Waiting {
    fn add(&mut self, obstacle: Option<Obstacle>) {
        self.known += 1;
        *match obstacle {
            Some(Obstacle::Offline) => &mut self.offline,
            Some(Obstacle::Exiting) => &mut self.exiting,
            Some(Obstacle::Restrained) => &mut self.restrained,
            Some(Obstacle::Price) => &mut self.price,
            Some(Obstacle::Containers) => &mut self.containers,
            Some(Obstacle::Sealed) => &mut self.sealed,
            Some(Obstacle::Registry) => &mut self.registry,
            Some(Obstacle::Pack) => &mut self.pack,
            Some(Obstacle::Room) => &mut self.room,
            Some(Obstacle::Engine) => &mut self.engine,
            Some(Obstacle::Aside) => &mut self.aside,
            Some(Obstacle::Owner) => &mut self.related,
            Some(Obstacle::Network) => &mut self.network,
            Some(Obstacle::Stake) => &mut self.stake,
            Some(Obstacle::Untrusted) => &mut self.untrusted,
            Some(Obstacle::Closed) => &mut self.closed,
            Some(Obstacle::Paused) => &mut self.paused,
            Some(Obstacle::Quota) => &mut self.quota,
            Some(Obstacle::Busy) => &mut self.busy,
            None => &mut self.eligible,
        } += 1;
    }

    /// The reason that passes soonest, since that is what the task really waits for.
    fn explain(&mut self, deal_ready: bool) {
        let reasons = [
            (self.eligible, "turn", "it is next in line, or soon"),
            (self.busy, "busy", "a worker has to finish first; it waits for a free slot"),
            (self.quota, "quota", "workers that failed get one more with each success"),
            (self.paused, "paused", "workers that only failed may try again within ten minutes"),
            (self.closed, "closed", "workers are paused by their owners: more would help"),
            (
                self.stake,
                "stake",
                "workers lack free stake: they must add stake, or the price be lower",
            ),
            (
                self.untrusted,
                "untrusted",
                "workers were caught, and vote only beside others: it needs others",
            ),
            (
                self.price,
                "price",
                "workers ask for more than the deal pays: a higher price would do",
            ),
            (self.offline, "offline", "workers are offline; more would help"),
            (
                self.engine,
                "engine",
                "the task's replicas run with an engine that nobody else has: it needs workers of \
                 that version, or its replicas to be lost",
            ),
            (
                self.network,
                "network",
                "every network votes already: it needs workers elsewhere, or less trust",
            ),
            (
                self.related,
                "owner",
                "every worker's owner votes already: it needs more owners, or less trust",
            ),
            (
                self.aside,
                "aside",
                "every other worker differed from most about this program: it needs others",
            ),
            (
                self.room,
                "room",
                "its tasks may take more memory than the workers offer: a lower limit would do",
            ),
            (
                self.registry,
                "registry",
                "its image lies in a registry that the workers' owners do not list: an archive of it \
                 goes anywhere",
            ),
            (
                self.pack,
                "pack",
                "it is a runtime pack, and the workers' owners want none: it needs others",
            ),
            (
                self.sealed,
                "sealed",
                "its inputs are sealed to other workers: it needs one that can read them",
            ),
            (
                self.containers,
                "containers",
                "it is a container, and no worker runs containers: it needs one that does",
            ),
            (
                self.restrained,
                "restrained",
                "the pool's operator keeps all workers from new work: it needs others",
            ),
            (self.exiting, "exiting", "all workers are leaving the pool: it needs others"),
        ];
        let found = reasons.iter().find(|(count, ..)| *count > 0);
        let (reason, hint) = match found {
            _ if !deal_ready => {
                ("bytes", "the bag or the module is not here: upload both, then it starts")
            }
            Some((_, reason, hint)) => (*reason, *hint),
            None => ("nobody", "no worker is registered"),
        };
        (self.reason, self.hint) = (reason, hint.to_owned());
    }
}
