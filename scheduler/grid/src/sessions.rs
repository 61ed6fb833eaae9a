//! Workers come and go. A connection is volatile: only leases that end and replicas given back are
//! worth a record.

use crate::{
    deadline::Deadline,
    effect::{Effect, ToSession},
    fleet::{Link, Member},
    grid::Grid,
    input::SessionId,
    obstacle::Obstacle,
    record::Record,
    running::End,
    task::{Replica, ReplicaState, Task},
};
use alloy_primitives::{Address, B256};
use quorate_common::{
    bug::{self, Bug},
    clock::Now,
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
    merkle::{SET_DEPTH, Tree},
    wire::{AssignItem, CommitSetItem, GaveUp, Goodbye},
};

impl Grid {
    pub(crate) fn on_connected(
        &mut self,
        now: Now,
        node_key: B256,
        vote_key: Address,
        link: Link,
        holding: &[(TaskKey, u16)],
    ) {
        let session = link.session;
        let Some(worker) = self.durable.fleet.by_node(node_key) else {
            self.welcome(session, None);
            return;
        };
        let registered = self.durable.fleet.get(worker).map(|member| member.vote_key);
        if registered != Some(vote_key) {
            self.goodbye(session, "this vote key is not the one registered for the node", None);
            return;
        }
        if self.turns_away(session, worker) {
            return;
        }
        self.meet(worker);
        if let Some(older) = self.durable.fleet.connect(worker, link) {
            self.goodbye(older, "the same node connected again", None);
        }
        self.welcome(session, Some(worker));
        self.take_up(now, worker, session, holding);
    }

    /// Tells everybody here what time it is, which is part of a welcome: whoever counted by a clock that was
    /// wrong would take its work for late.
    pub(crate) fn welcome_all(&mut self) {
        let here = |(worker, member): (WorkerIdx, &Member)| {
            member.link.as_ref().map(|link| (link.session, worker))
        };
        let sessions: Vec<_> = self.durable.fleet.iter().filter_map(here).collect();
        for (session, worker) in sessions {
            self.welcome(session, Some(worker));
        }
    }

    pub(crate) fn welcome(&mut self, session: SessionId, worker: Option<WorkerIdx>) {
        let account = worker.and_then(|worker| self.durable.ledger.worker(worker));
        let slashed = account.map_or(0, |account| account.cum_slashed);
        let score = account.map_or(0, |account| account.score);
        let member = worker.and_then(|worker| self.durable.fleet.get(worker));
        let stake = member.map_or(0, |member| member.stake.saturating_sub(slashed));
        let notice = member.and_then(|member| member.restraint.as_ref());
        let notice = notice.map(|restraint| restraint.notice()).unwrap_or_default();
        let welcome = ToSession::Welcome { worker, stake, score, notice };
        self.effect(Effect::Send(session, welcome));
    }

    pub(crate) fn goodbye(&mut self, session: SessionId, reason: &str, retry_ms: Option<u64>) {
        let goodbye = Goodbye { reason: reason.into(), retry_ms };
        self.effect(Effect::Send(session, ToSession::Goodbye(goodbye)));
    }

    /// Repeats to a worker that came back what it may not have heard, and counts what it runs.
    fn take_up(
        &mut self,
        now: Now,
        worker: WorkerIdx,
        session: SessionId,
        holding: &[(TaskKey, u16)],
    ) {
        let tasks: Vec<TaskKey> = self
            .durable
            .fleet
            .get(worker)
            .map(|m| m.tasks.iter().copied().collect())
            .unwrap_or_default();
        for key in tasks {
            self.tell_deal(worker, session, key);
            let Some(open) = self.task(key).and_then(Task::open) else { continue };
            let Some(replica) = open.replica(worker).cloned() else { continue };
            match &replica.state {
                ReplicaState::Assigned => {
                    self.durable.fleet.occupy(worker, 1);
                    if !holding.contains(&(key, replica.attempt)) {
                        self.effect(Effect::Send(session, assign(key, &replica)));
                    }
                }
                ReplicaState::Committed(_) => self.tell_set(key, worker),
                ReplicaState::Revealed(_) => self.fetch_from_any(now, key),
                ReplicaState::Lost | ReplicaState::Missed(_) => {}
            }
        }
        for (key, attempt) in holding {
            let live = self.durable.fleet.get(worker).is_some_and(|m| m.tasks.contains(key));
            if !live && !self.may_revive(*key, worker) {
                self.effect(Effect::Send(session, ToSession::Cancel(*key, *attempt)));
            }
        }
    }

    /// Whether a lost replica's work still counts if it is committed now.
    pub(crate) fn may_revive(&self, key: TaskKey, worker: WorkerIdx) -> bool {
        let Some(open) = self.task(key).and_then(Task::open) else { return false };
        let Some(replica) = open.replica(worker) else { return false };
        let Some(member) = self.durable.fleet.get(worker) else { return false };
        let deal = &self.durable.deals[&key.deal];
        matches!(replica.state, ReplicaState::Lost)
            && (replica.attempt == open.attempt() || bug::is(Bug::LateJoin))
            && open.live() < deal.replicas_max()
            && (!open.revealing() || bug::is(Bug::LateJoin))
            && !member.is_banned()
            && self.has_stake(worker, member, deal.stake)
    }

    /// Names the task's deal to a worker once per session, before the first frame that uses it.
    pub(crate) fn tell_deal(&mut self, worker: WorkerIdx, session: SessionId, key: TaskKey) {
        let member = self.durable.fleet.get_mut(worker);
        let told = member.and_then(|member| member.link.as_mut()).map(|link| &mut link.told);
        if told.is_some_and(|told| told.insert(key.deal)) {
            let info = self.durable.deals[&key.deal].info();
            self.effect(Effect::Send(session, ToSession::Deal(info)));
        }
    }

    /// Shows a worker the frozen set its commitment is in, if it is frozen.
    pub(crate) fn tell_set(&mut self, key: TaskKey, worker: WorkerIdx) {
        let Some(session) = self.durable.fleet.session(worker) else { return };
        let Some(item) = self.set_item(key, worker) else { return };
        self.tell_deal(worker, session, key);
        self.effect(Effect::Send(session, ToSession::Set(item)));
    }

    fn set_item(&self, key: TaskKey, worker: WorkerIdx) -> Option<CommitSetItem> {
        let open = self.task(key)?.open()?;
        let replica = open.replica(worker)?;
        let set = open.sets.get(usize::from(replica.attempt))?;
        let members = open.commitments();
        let position = members.iter().position(|(_, member, _)| *member == worker)?;
        // A snapshot has no trees; those frozen after it come behind those it had.
        let first = open.sets.len() - open.trees.len();
        let tree = usize::from(replica.attempt).checked_sub(first).map(|at| &open.trees[at]);
        let path = match tree {
            Some(tree) => tree.path(position as u64),
            None => {
                let leaves = members[..usize::from(set.n)].iter();
                let leaves = leaves.map(|(_, w, c)| crate::apply::set_leaf(*w, *c)).collect();
                Tree::new(SET_DEPTH, leaves).path(position as u64)
            }
        };
        let path = path.try_into().ok()?;
        Some(CommitSetItem {
            task: key,
            attempt: replica.attempt,
            root: set.root,
            n: set.n,
            reveal_deadline: set.reveal_deadline,
            position: u8::try_from(position).ok()?,
            path,
        })
    }

    pub(crate) fn on_disconnected(&mut self, now: Now, session: SessionId) {
        if bug::is(Bug::SessionKept) {
            return;
        }
        if let Some(worker) = self.durable.fleet.disconnect(session) {
            self.watch_lease(now, worker);
        }
    }

    /// Gives a worker that is away until its lease ends to come back.
    pub(crate) fn watch_lease(&mut self, now: Now, worker: WorkerIdx) {
        let until = now.mono_ms + self.policy.lease_ms;
        if let Some(member) = self.durable.fleet.get_mut(worker) {
            member.away_until_ms = until;
        }
        self.deadlines.set(until, Deadline::Lease(worker));
    }

    pub(crate) fn on_lease_over(&mut self, now: Now, worker: WorkerIdx) {
        // It may have come back since, and even have left again: then a later lease stands.
        let back = |m: &Member| m.link.is_some() || m.away_until_ms > now.mono_ms;
        let over = |m: &Member| !back(m) || bug::is(Bug::StaleLease);
        if !self.durable.fleet.get(worker).is_some_and(over) {
            return;
        }
        let tasks: Vec<TaskKey> = self
            .durable
            .fleet
            .get(worker)
            .map(|m| m.tasks.iter().copied().collect())
            .unwrap_or_default();
        let lost = tasks.into_iter().filter(|key| self.lose(now, *key, worker)).count();
        if lost > 0 {
            // Closing a laptop is one event, however many replicas it had.
            self.distrust(now, worker);
        }
    }

    /// A replica is lost, if it has not committed yet: someone else is asked at once.
    pub(crate) fn lose(&mut self, now: Now, key: TaskKey, worker: WorkerIdx) -> bool {
        let open = self.task(key).and_then(Task::open);
        let replica = open.and_then(|open| open.replica(worker));
        let assigned = replica.is_some_and(|r| matches!(r.state, ReplicaState::Assigned));
        if assigned {
            if bug::is(Bug::Unrecorded) {
                self.apply(&Record::Lost { task: key, worker });
            } else {
                self.record(Record::Lost { task: key, worker });
            }
            self.end(now, key, worker, End::Failed);
            self.advance(now, key);
        }
        assigned
    }

    pub(crate) fn on_slots(&mut self, session: SessionId, slots: u16) {
        let Some(worker) = self.durable.fleet.by_session(session) else { return };
        self.durable.fleet.offer(worker, slots);
    }

    pub(crate) fn on_containers(&mut self, session: SessionId, engine: Option<Digest>) {
        let Some(worker) = self.durable.fleet.by_session(session) else { return };
        let member = self.durable.fleet.get_mut(worker);
        if let Some(link) = member.and_then(|member| member.link.as_mut()) {
            link.containers = engine;
        }
    }

    pub(crate) fn on_gave_up(&mut self, now: Now, session: SessionId, gave_up: GaveUp) {
        let Some(worker) = self.durable.fleet.by_session(session) else { return };
        let link = self.durable.fleet.get(worker).and_then(|member| member.link.as_ref());
        // Whoever leaves says first that it offers nothing any more.
        let leaves = link.is_none_or(|link| link.slots == 0);
        // Before somebody else is asked, who might be the same.
        let is_unfit = self.note_unfit(worker, gave_up);
        if self.lose(now, gave_up.task, worker) && !leaves && !is_unfit {
            self.distrust(now, worker);
        }
    }

    /// Whether the worker says that the task's deal is none of its: then it is asked for nothing more of it, and
    /// has failed at nothing.
    fn note_unfit(&mut self, worker: WorkerIdx, gave_up: GaveUp) -> bool {
        let deal = gave_up.task.deal;
        let Some(why) = Obstacle::of_deal(gave_up.reason) else { return false };
        let member = self.durable.fleet.get_mut(worker).filter(|m| m.tasks.contains(&gave_up.task));
        let link = member.and_then(|member| member.link.as_mut());
        link.is_some_and(|link| link.note_unfit(deal, why))
    }
}

/// The assignment of a replica.
pub(crate) fn assign(key: TaskKey, replica: &Replica) -> ToSession {
    ToSession::Assign(AssignItem {
        task: key,
        attempt: replica.attempt,
        seed_epoch: 0,
        commit_deadline: replica.commit_deadline,
        reveal_deadline: replica.reveal_deadline,
    })
}
