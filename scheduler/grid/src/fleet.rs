//! The workers: what the contract knows of them, who is connected, and who could take a replica now.
//! Scores are the ledger's; which task gets whom is `matching`'s.

use crate::{input::SessionId, obstacle::Obstacle, quota::Quota, restraint::Restraint};
use alloy_primitives::{Address, B256, keccak256};
use quorate_common::{
    bug::{self, Bug},
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Workers drawn one by one before all of them are looked at: where half may take a replica, seven
/// draws of eight end here.
const TRIES: usize = 3;

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
    /// Whether and why an operator keeps it from work.
    pub restraint: Option<Restraint>,
    /// Token units held by live replicas. Derived.
    #[serde(skip)]
    pub held: u128,
    /// Tasks with a live replica of it. Derived.
    #[serde(skip)]
    pub tasks: BTreeSet<TaskKey>,
    /// Monotonic milliseconds until which its replicas wait for it, while it is away. Volatile.
    #[serde(skip)]
    pub away_until_ms: u64,
    /// How many replicas it is trusted with at once; kept over reconnections, or they would mend it.
    /// Volatile: a restarted scheduler learns it anew.
    #[serde(skip)]
    pub quota: Quota,
    /// Replicas it offered to take at once when it was here last, buffers included. Volatile.
    #[serde(skip)]
    pub offered: u16,
    /// Monotonic milliseconds until which it gets nothing, because it only failed. Volatile.
    #[serde(skip)]
    pub paused_until_ms: u64,
    /// Replicas it was given beyond its slots, which wait for one, oldest first. Volatile.
    #[serde(skip)]
    pub buffered: VecDeque<TaskKey>,
    /// Its connection. Volatile.
    #[serde(skip)]
    pub link: Option<Link>,
}

/// Deals that one worker may say it takes nothing of, in one session: more than are open in most pools, in 16 KB.
/// Beyond it a replica that is given back is a failure like any other.
const UNFIT_MAX: usize = 1_024;

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
    /// Hash of the engine it runs modules with.
    pub engine: Digest,
    /// Hash of the engine it runs containers with, if it does.
    pub containers: Option<Digest>,
    /// The least unit price it works for, in token units.
    pub ask: u128,
    /// Deals it was told of in this session.
    pub told: BTreeSet<DealSlot>,
    /// Deals that it takes nothing of, and why, as it said in this session.
    pub unfit: BTreeMap<DealSlot, Obstacle>,
    /// Which list of free workers it stands in, and where.
    place: Option<(Room, usize)>,
}

/// What a worker has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// A slot is free.
    Slot,
    /// All slots are in use; one more replica may wait there for the next.
    Buffer,
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
    idle: Vec<WorkerIdx>,
    /// Connected workers with room behind their slots only, in no order.
    #[serde(skip)]
    roomy: Vec<WorkerIdx>,
    /// Slots of all connected workers that are not leaving.
    #[serde(skip)]
    slots: u64,
    /// Replicas a worker may have per slot: 2 buffers, 1 does not.
    #[serde(skip)]
    per_slot: u16,
}

impl Member {
    /// Slots it offers to new work.
    fn offers(&self) -> u64 {
        if self.exiting || self.is_restrained() {
            0
        } else {
            self.link.as_ref().map_or(0, |link| link.slots.into())
        }
    }

    /// What it runs such tasks with, while it is connected.
    pub fn engine(&self, containers: bool) -> Option<Digest> {
        self.link.as_ref().and_then(|link| link.engine(containers))
    }
}

impl Link {
    /// A fresh connection.
    pub fn new(
        session: SessionId,
        slots: u16,
        net: Option<u64>,
        engine: Digest,
        ask: u128,
    ) -> Self {
        let (busy, containers, told, place) = (0, None, BTreeSet::new(), None);
        let unfit = BTreeMap::new();
        Self { session, slots, busy, net, engine, containers, ask, told, unfit, place }
    }

    /// Remembers that a deal is none of its; false if it said so of too many.
    pub fn note_unfit(&mut self, deal: DealSlot, why: Obstacle) -> bool {
        let room = self.unfit.len() < UNFIT_MAX || self.unfit.contains_key(&deal);
        if room {
            self.unfit.insert(deal, why);
        }
        room
    }

    /// What it runs such tasks with.
    pub fn engine(&self, containers: bool) -> Option<Digest> {
        if containers { self.containers } else { Some(self.engine) }
    }
}

impl Fleet {
    /// Rebuilds what a snapshot leaves out.
    pub fn rebuild(&mut self, per_slot: u16) {
        self.per_slot = per_slot;
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
            restraint: None,
            held: 0,
            tasks: BTreeSet::new(),
            away_until_ms: 0,
            quota: Quota::default(),
            offered: 0,
            paused_until_ms: 0,
            buffered: VecDeque::new(),
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
            member.offered = link.slots.saturating_mul(self.per_slot);
            member.link = Some(link);
            self.slots += member.offers();
        }
        self.refresh(worker);
        older
    }

    /// Forgets a connection.
    pub fn disconnect(&mut self, session: SessionId) -> Option<WorkerIdx> {
        let worker = self.by_session.remove(&session)?;
        self.unlist(worker);
        let member = self.members.get_mut(&worker)?;
        self.slots -= member.offers();
        member.link = None;
        Some(worker)
    }

    /// A worker offers another number of slots.
    pub fn offer(&mut self, worker: WorkerIdx, slots: u16) {
        let offered = slots.saturating_mul(self.per_slot);
        self.change(worker, |member| {
            if let Some(link) = &mut member.link {
                (link.slots, member.offered) = (slots, offered);
            }
        });
    }

    /// What the contract says of a worker's stake changed.
    pub fn stake(&mut self, worker: WorkerIdx, stake: u128, exiting: bool) {
        self.change(worker, |member| (member.stake, member.exiting) = (stake, exiting));
    }

    /// An operator's word about a worker.
    pub fn restrain(&mut self, worker: WorkerIdx, restraint: Option<Restraint>) {
        self.change(worker, |member| member.restraint = restraint);
    }

    fn change(&mut self, worker: WorkerIdx, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        self.slots -= member.offers();
        change(member);
        self.slots += member.offers();
        self.refresh(worker);
    }

    /// A replica began (`+1`) or no longer needs a slot (`-1`).
    pub fn occupy(&mut self, worker: WorkerIdx, change: i32) {
        if let Some(link) = self.members.get_mut(&worker).and_then(|m| m.link.as_mut()) {
            link.busy = u16::try_from((i32::from(link.busy) + change).max(0)).unwrap_or(u16::MAX);
        }
        self.refresh(worker);
    }

    /// Lists the worker where it has room, as its link and its quota have it.
    pub fn refresh(&mut self, worker: WorkerIdx) {
        let room = self.members.get(&worker).and_then(|member| self.room(member));
        let place = self.members.get(&worker).and_then(|m| m.link.as_ref()?.place);
        if place.map(|(listed, _)| listed) != room {
            self.unlist(worker);
            if let Some(room) = room {
                self.list(worker, room);
            }
        }
    }

    /// What a worker has room for.
    pub fn room(&self, member: &Member) -> Option<Room> {
        let leaving = member.exiting && !bug::is(Bug::LeaverAsked);
        let kept = member.is_restrained() && !bug::is(Bug::KeptAsked);
        let asked = !leaving && !kept && !member.quota.paused();
        let link = member.link.as_ref().filter(|_| asked)?;
        let most = member.quota.cap();
        let buffer = link.slots.saturating_mul(self.per_slot);
        if link.busy < link.slots.min(most) {
            Some(Room::Slot)
        } else if link.busy < buffer.min(most) {
            Some(Room::Buffer)
        } else {
            None
        }
    }

    /// Whether nobody has a free slot.
    pub fn none_idle(&self) -> bool {
        self.idle.is_empty()
    }

    /// Whether nobody has room, not even behind its slots.
    pub fn none_free(&self) -> bool {
        self.idle.is_empty() && self.roomy.is_empty()
    }

    /// Slots of all connected workers that are not leaving.
    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// Changes how much a worker is trusted with.
    pub fn trust<T>(
        &mut self,
        worker: WorkerIdx,
        change: impl FnOnce(&mut Quota) -> T,
    ) -> Option<T> {
        let changed = change(&mut self.members.get_mut(&worker)?.quota);
        self.refresh(worker);
        Some(changed)
    }

    /// How many workers are connected.
    pub fn connected(&self) -> usize {
        self.by_session.len()
    }

    /// A worker with that room whom `eligible` accepts, each of them with the same chance.
    ///
    /// A few are drawn from all that have room: whoever of them is accepted was drawn from the accepted
    /// ones alone. If none is, the draw is among those that are found by looking at all. (Walking on
    /// from a drawn place instead gives the first behind a run of others that run's chances.)
    ///
    /// Costs O(`TRIES`) where many may, O(workers with room) where few may. (Sortition that a watcher
    /// can check is drawn from the seed epoch.)
    pub fn draw(
        &self,
        room: Room,
        draw: [u64; TRIES + 1],
        eligible: impl Fn(WorkerIdx, &Member) -> bool,
    ) -> Option<WorkerIdx> {
        let list = match room {
            Room::Slot => &self.idle,
            Room::Buffer => &self.roomy,
        };
        let may =
            |worker: &WorkerIdx| self.members.get(worker).is_some_and(|m| eligible(*worker, m));
        let few = list.len() <= TRIES;
        let [tries @ .., last] = draw;
        let tries = tries.into_iter().filter(|_| !few).filter_map(|draw| one_of(list, draw));
        tries.into_iter().find(may).or_else(|| {
            let all: Vec<WorkerIdx> = list.iter().copied().filter(may).collect();
            one_of(&all, if few { draw[0] } else { last })
        })
    }

    fn list(&mut self, worker: WorkerIdx, room: Room) {
        let list = self.in_room(room);
        list.push(worker);
        let place = list.len() - 1;
        if let Some(link) = self.members.get_mut(&worker).and_then(|m| m.link.as_mut()) {
            link.place = Some((room, place));
        }
    }

    fn unlist(&mut self, worker: WorkerIdx) {
        let link = self.members.get_mut(&worker).and_then(|m| m.link.as_mut());
        let Some((room, place)) = link.and_then(|link| link.place.take()) else { return };
        let list = self.in_room(room);
        list.swap_remove(place);
        let moved = list.get(place).copied();
        let moved = moved.and_then(|moved| self.members.get_mut(&moved));
        if let Some(link) = moved.and_then(|member| member.link.as_mut()) {
            link.place = Some((room, place));
        }
    }

    fn in_room(&mut self, room: Room) -> &mut Vec<WorkerIdx> {
        match room {
            Room::Slot => &mut self.idle,
            Room::Buffer => &mut self.roomy,
        }
    }

    /// Every cross-reference holds. Run by tests after each input.
    pub fn check(&self) {
        for (room, list) in [(Room::Slot, &self.idle), (Room::Buffer, &self.roomy)] {
            for (place, worker) in list.iter().enumerate() {
                let member = &self.members[worker];
                let link = member.link.as_ref().expect("a free worker is connected");
                assert_eq!(
                    link.place,
                    Some((room, place)),
                    "{worker} stands elsewhere in the list"
                );
            }
        }
        for (worker, member) in &self.members {
            let listed = member.link.as_ref().and_then(|link| link.place).map(|(room, _)| room);
            assert_eq!(listed, self.room(member), "the room of {worker}");
        }
        let slots: u64 = self.members.values().map(Member::offers).sum();
        assert_eq!(self.slots, slots, "slots of all workers");
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

    /// The next draws, four at a time. Keccak, so that nobody who sees some assignments can tell the
    /// next.
    pub fn draw(&mut self) -> [u64; 4] {
        let mut preimage = [0; 40];
        preimage[..32].copy_from_slice(&self.seed);
        preimage[32..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        let hash = keccak256(preimage);
        let (words, _) = hash.as_chunks::<8>();
        std::array::from_fn(|at| u64::from_be_bytes(words[at]))
    }
}

/// The drawn one of several. (A remainder of 2^64 by their number favours nobody that could be
/// noticed.)
pub(crate) fn one_of<T: Copy>(list: &[T], draw: u64) -> Option<T> {
    let at = draw.checked_rem(list.len() as u64)?;
    list.get(usize::try_from(at).ok()?).copied()
}
