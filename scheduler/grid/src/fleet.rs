//! The workers: what the contract knows of them, who is connected, and who could take a replica now.
//! Scores are the ledger's; which task gets whom is `matching`'s.

use crate::input::SessionId;
use alloy_primitives::{Address, B256, keccak256};
use quorate_common::{
    bug::{self, Bug},
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Who owns it.
    pub owner: Address,
    /// Who votes.
    pub vote_key: Address,
    /// Who it is.
    pub node_key: B256,
    /// Token units recorded in the contract for this pool.
    pub stake: u128,
    /// Whether it asked to leave: no new work.
    pub exiting: bool,
    /// Token units held by live replicas. Derived.
    #[serde(skip)]
    pub held: u128,
    /// Tasks with a live replica of it. Derived.
    #[serde(skip)]
    pub tasks: BTreeSet<TaskKey>,
    /// Monotonic milliseconds until which its replicas wait for it, while it is away. Volatile.
    #[serde(skip)]
    pub away_until_ms: u64,
    /// Its connection. Volatile.
    #[serde(skip)]
    pub link: Option<Link>,
}

/// A worker's connection.
#[derive(Clone, Debug)]
pub struct Link {
    /// Which.
    pub session: SessionId,
    /// Replicas at once.
    pub slots: u16,
    /// Replicas it is at.
    pub busy: u16,
    /// The network it comes from.
    pub net: Option<u64>,
    /// Hash of the engine it runs tasks with.
    pub engine: Digest,
    /// Deals it was told of in this session.
    pub told: BTreeSet<DealSlot>,
    /// Place in the list of free workers.
    place: Option<usize>,
}

/// All workers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fleet {
    members: BTreeMap<WorkerIdx, Member>,
    #[serde(skip)]
    by_node: BTreeMap<B256, WorkerIdx>,
    #[serde(skip)]
    by_session: BTreeMap<SessionId, WorkerIdx>,
    /// Connected workers with a free slot, in no order.
    #[serde(skip)]
    free: Vec<WorkerIdx>,
}

impl Member {
    /// What it runs tasks with, while it is connected.
    pub fn engine(&self) -> Option<Digest> {
        self.link.as_ref().map(|link| link.engine)
    }
}

impl Link {
    /// A fresh connection.
    pub fn new(session: SessionId, slots: u16, net: Option<u64>, engine: Digest) -> Self {
        Self { session, slots, busy: 0, net, engine, told: BTreeSet::new(), place: None }
    }
}

impl Fleet {
    /// Rebuilds what a snapshot leaves out.
    pub fn rebuild(&mut self) {
        self.by_node = self.members.iter().map(|(idx, m)| (m.node_key, *idx)).collect();
    }

    /// Adds a worker, or changes its keys.
    pub fn register(
        &mut self,
        worker: WorkerIdx,
        owner: Address,
        vote_key: Address,
        node_key: B256,
    ) {
        self.by_node.insert(node_key, worker);
        let member = self.members.entry(worker).or_insert_with(|| Member {
            owner,
            vote_key,
            node_key,
            stake: 0,
            exiting: false,
            held: 0,
            tasks: BTreeSet::new(),
            away_until_ms: 0,
            link: None,
        });
        (member.owner, member.vote_key, member.node_key) = (owner, vote_key, node_key);
    }

    /// A worker.
    pub fn get(&self, worker: WorkerIdx) -> Option<&Member> {
        self.members.get(&worker)
    }

    /// A worker.
    pub fn get_mut(&mut self, worker: WorkerIdx) -> Option<&mut Member> {
        self.members.get_mut(&worker)
    }

    /// All workers.
    pub fn iter(&self) -> impl Iterator<Item = (WorkerIdx, &Member)> {
        self.members.iter().map(|(idx, member)| (*idx, member))
    }

    /// The worker with this node key.
    pub fn by_node(&self, node_key: B256) -> Option<WorkerIdx> {
        self.by_node.get(&node_key).copied()
    }

    /// The worker of this connection.
    pub fn by_session(&self, session: SessionId) -> Option<WorkerIdx> {
        self.by_session.get(&session).copied()
    }

    /// The worker that votes with this key. Looks at all of them: nothing that happens often asks.
    pub fn by_vote_key(&self, vote_key: Address) -> Option<WorkerIdx> {
        let mut members = self.members.iter();
        members.find(|(_, member)| member.vote_key == vote_key).map(|(worker, _)| *worker)
    }

    /// The worker's connection.
    pub fn session(&self, worker: WorkerIdx) -> Option<SessionId> {
        Some(self.members.get(&worker)?.link.as_ref()?.session)
    }

    /// Connects a worker; an older connection of it, if any, is returned to be closed.
    pub fn connect(&mut self, worker: WorkerIdx, link: Link) -> Option<SessionId> {
        let older = self.session(worker);
        if let Some(session) = older {
            self.disconnect(session);
        }
        self.by_session.insert(link.session, worker);
        if let Some(member) = self.members.get_mut(&worker) {
            member.link = Some(link);
        }
        self.refresh(worker);
        older
    }

    /// Forgets a connection.
    pub fn disconnect(&mut self, session: SessionId) -> Option<WorkerIdx> {
        let worker = self.by_session.remove(&session)?;
        self.unlist(worker);
        self.members.get_mut(&worker)?.link = None;
        Some(worker)
    }

    /// A replica began (`+1`) or no longer needs a slot (`-1`).
    pub fn occupy(&mut self, worker: WorkerIdx, change: i32) {
        if let Some(link) = self.members.get_mut(&worker).and_then(|m| m.link.as_mut()) {
            link.busy = u16::try_from((i32::from(link.busy) + change).max(0)).unwrap_or(u16::MAX);
        }
        self.refresh(worker);
    }

    /// Lists or unlists the worker as free, as its link has it.
    pub fn refresh(&mut self, worker: WorkerIdx) {
        let free = self.members.get(&worker).is_some_and(|member| {
            let leaving = member.exiting && !bug::is(Bug::LeaverAsked);
            !leaving && member.link.as_ref().is_some_and(|link| link.busy < link.slots)
        });
        if free { self.list(worker) } else { self.unlist(worker) }
    }

    /// Whether nobody has a free slot.
    pub fn none_free(&self) -> bool {
        self.free.is_empty()
    }

    /// A free worker that `eligible` accepts, each with the same chance given `draw`.
    ///
    /// Walks from a drawn place; among many eligible workers that is a fair draw, and with few it
    /// ends after one round. (Sortition that a watcher can check is drawn from the seed epoch.)
    pub fn draw(
        &self,
        draw: u64,
        eligible: impl Fn(WorkerIdx, &Member) -> bool,
    ) -> Option<WorkerIdx> {
        let count = self.free.len();
        let start = if count == 0 { 0 } else { (draw % count as u64) as usize };
        (0..count)
            .map(|step| self.free[(start + step) % count])
            .find(|worker| self.members.get(worker).is_some_and(|member| eligible(*worker, member)))
    }

    fn list(&mut self, worker: WorkerIdx) {
        let place = self.free.len();
        let Some(link) = self.members.get_mut(&worker).and_then(|m| m.link.as_mut()) else {
            return;
        };
        if link.place.is_none() {
            link.place = Some(place);
            self.free.push(worker);
        }
    }

    fn unlist(&mut self, worker: WorkerIdx) {
        let link = self.members.get_mut(&worker).and_then(|m| m.link.as_mut());
        let Some(place) = link.and_then(|link| link.place.take()) else { return };
        self.free.swap_remove(place);
        let moved = self.free.get(place).and_then(|moved| self.members.get_mut(moved));
        if let Some(link) = moved.and_then(|member| member.link.as_mut()) {
            link.place = Some(place);
        }
    }

    /// Every cross-reference holds. Run by tests after each input.
    pub fn check(&self) {
        for (place, worker) in self.free.iter().enumerate() {
            let link = self.members[worker].link.as_ref().expect("a free worker is connected");
            assert_eq!(link.place, Some(place), "{worker} stands elsewhere in the list");
            assert!(link.busy < link.slots, "{worker} has no free slot");
        }
        for (session, worker) in &self.by_session {
            assert_eq!(self.session(*worker), Some(*session), "{worker} has another session");
        }
    }
}

/// A stream of draws from a seed: the same seed, the same draws.
#[derive(Clone, Debug)]
pub struct Draws {
    seed: [u8; 32],
    counter: u64,
}

impl Draws {
    /// Starts at the beginning.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// The next draw. Keccak, so that nobody who sees some assignments can tell the next.
    pub fn draw(&mut self) -> u64 {
        let mut preimage = [0; 40];
        preimage[..32].copy_from_slice(&self.seed);
        preimage[32..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        let hash = keccak256(preimage);
        u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"))
    }
}
