//! What happens next to a task: more replicas, a frozen set, a fetch, an end. And who is asked.

use crate::{
    deadline::Deadline,
    effect::{Effect, TaskSettled, ToSession},
    fleet::Member,
    grid::Grid,
    poco::Outcome,
    record::Record,
    sessions::assign,
    task::{Open, ReplicaState, Task},
};
use quorate_common::{
    clock::Now,
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
    wire::SettledItem,
};

/// Seconds a task must still have before its deal ends, to be worth a replica.
const TAIL_S: u64 = 2;

/// What a task waits for.
enum Next {
    /// Someone still runs it, or has still to reveal.
    Wait,
    /// One more replica.
    Ask,
    /// Everybody asked has committed, and agreement would be enough.
    Freeze,
    /// This result is credible and its bytes are here.
    Accept(Digest),
    /// This result is credible and its bytes are not here.
    Fetch(Digest),
    /// No more replicas are allowed and the votes do not suffice.
    GiveUp,
}

impl Grid {
    /// Moves a task on as far as it goes.
    pub(crate) fn advance(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        match self.next(key, open) {
            Next::Wait => {
                self.wanting.remove(&key);
            }
            Next::Ask => {
                self.wanting.insert(key);
            }
            Next::Freeze => self.freeze(now, key),
            Next::Accept(digest) => self.settle(now, key, Outcome::Consensus, Some(digest)),
            Next::Fetch(digest) => self.fetch(now, key, digest),
            Next::GiveUp => self.settle(now, key, Outcome::NoQuorum, None),
        }
    }

    fn next(&self, key: TaskKey, open: &Open) -> Next {
        let deal = &self.durable.deals[&key.deal];
        let trust = deal.terms.req.trust;
        let score = |worker| self.durable.ledger.score(worker);
        if open.revealing() {
            return Next::Wait;
        }
        let tally = open.tally(score);
        if let Some(word) = tally.decided(trust) {
            let digest = Digest::from(word);
            let stored = open.stored.contains(&digest);
            return if stored { Next::Accept(digest) } else { Next::Fetch(digest) };
        }
        let enough = tally.would_decide(trust, open.hopes(score).into_iter());
        let (running, room) = (open.running(), open.live() < deal.replicas_max());
        match (enough, running, room) {
            (true, 0, _) => Next::Freeze,
            (true, ..) => Next::Wait,
            (false, _, true) => Next::Ask,
            (false, 0, false) => Next::GiveUp,
            (false, _, false) => Next::Wait,
        }
    }

    fn freeze(&mut self, now: Now, key: TaskKey) {
        let deal_end = self.durable.deals[&key.deal].terms.req.deadline;
        let reveal_deadline = (now.unix_s() + self.policy.reveal_s).min(deal_end);
        self.record(Record::Frozen { task: key, reveal_deadline });
        self.wanting.remove(&key);
        self.watch(key, now, reveal_deadline, Deadline::Reveal(key));
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let waiting = |r: &&crate::task::Replica| matches!(r.state, ReplicaState::Committed(_));
        let workers: Vec<WorkerIdx> =
            open.replicas.iter().filter(waiting).map(|r| r.worker).collect();
        for worker in workers {
            self.tell_set(key, worker);
        }
    }

    /// Sets a deadline one second after `unix_s` has passed, and notes it in the task.
    fn watch(&mut self, key: TaskKey, now: Now, unix_s: u64, deadline: Deadline) {
        let in_ms = (unix_s + 1).saturating_mul(1000).saturating_sub(now.unix_ms);
        self.watch_in(key, now.mono_ms.saturating_add(in_ms), deadline);
    }

    fn watch_in(&mut self, key: TaskKey, at: u64, deadline: Deadline) {
        self.deadlines.set(at, deadline);
        let deal = self.durable.deals.get_mut(&key.deal);
        let task = deal.and_then(|deal| deal.tasks.get_mut(key.idx as usize));
        if let Some(open) = task.and_then(Task::open_mut) {
            open.deadlines.push((at, deadline));
        }
    }

    pub(crate) fn on_commit_over(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let late = |r: &&crate::task::Replica| {
            matches!(r.state, ReplicaState::Assigned) && r.commit_deadline < now.unix_s()
        };
        let workers: Vec<WorkerIdx> = open.replicas.iter().filter(late).map(|r| r.worker).collect();
        for worker in workers {
            self.lose(now, key, worker);
        }
    }

    pub(crate) fn on_reveal_over(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let late = |r: &&crate::task::Replica| {
            let set = open.sets.get(usize::from(r.attempt));
            let over = set.is_some_and(|set| set.reveal_deadline < now.unix_s());
            matches!(r.state, ReplicaState::Committed(_)) && over
        };
        let workers: Vec<WorkerIdx> = open.replicas.iter().filter(late).map(|r| r.worker).collect();
        for worker in workers {
            self.record(Record::Missed { task: key, worker });
        }
        self.advance(now, key);
    }

    /// Asks one backer for the winning bytes: connected ones first, each once, then all again.
    fn fetch(&mut self, now: Now, key: TaskKey, digest: Digest) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let backs = |r: &&crate::task::Replica| matches!(&r.state, ReplicaState::Revealed(revealed) if revealed.digest == digest);
        let backers: Vec<WorkerIdx> =
            open.replicas.iter().filter(backs).map(|r| r.worker).collect();
        let connected = |worker: &&WorkerIdx| self.durable.fleet.session(**worker).is_some();
        let fresh = backers.iter().filter(connected).find(|w| !open.asked.contains(w)).copied();
        let chosen = fresh.or_else(|| backers.iter().find(connected).copied());
        self.watch_in(key, now.mono_ms + self.policy.fetch_ms, Deadline::Fetch(key));
        let Some(worker) = chosen else { return };
        self.note_asked(key, worker);
        if let Some(session) = self.durable.fleet.session(worker) {
            self.effect(Effect::Send(session, ToSession::Fetch(key, digest)));
        }
    }

    fn note_asked(&mut self, key: TaskKey, worker: WorkerIdx) {
        let deal = self.durable.deals.get_mut(&key.deal);
        let task = deal.and_then(|deal| deal.tasks.get_mut(key.idx as usize));
        if let Some(open) = task.and_then(Task::open_mut) {
            open.asked.push(worker);
        }
    }

    pub(crate) fn on_fetch_over(&mut self, now: Now, key: TaskKey) {
        self.advance(now, key);
    }

    pub(crate) fn on_stored(&mut self, now: Now, key: TaskKey, digest: Digest) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let known = open.stored.contains(&digest);
        let voted = open.replicas.iter().any(
            |r| matches!(&r.state, ReplicaState::Revealed(revealed) if revealed.digest == digest),
        );
        if voted && !known {
            self.record(Record::Stored { task: key, digest });
            self.advance(now, key);
        }
    }

    /// Ends a task, tells its voters what came of it, and takes their hands off it.
    pub(crate) fn settle(
        &mut self,
        now: Now,
        key: TaskKey,
        outcome: Outcome,
        winner: Option<Digest>,
    ) {
        let first = self.durable.ledger.open().tasks.is_empty();
        let running = self.running(key);
        let at_unix_ms = now.unix_ms;
        let (judgement, voters) = self.apply_settled(key, outcome, winner, at_unix_ms);
        self.ready.records.push(Record::Settled { task: key, outcome, winner, at_unix_ms });
        for (worker, attempt) in running {
            self.durable.fleet.occupy(worker, -1);
            if let Some(session) = self.durable.fleet.session(worker) {
                self.effect(Effect::Send(session, ToSession::Cancel(key, attempt)));
            }
        }
        for (worker, verdict) in voters.iter().zip(&judgement.verdicts) {
            let item = SettledItem {
                task: key,
                outcome: outcome as u8,
                earned: verdict.earned,
                slashed: verdict.slashed,
                score: verdict.score,
            };
            if let Some(session) = self.durable.fleet.session(*worker) {
                self.effect(Effect::Send(session, ToSession::Settled(item)));
            }
        }
        self.tell_settled(now, key, winner, outcome, &judgement.verdicts);
        if first {
            self.watch_batch(now);
        }
    }

    fn tell_settled(
        &mut self,
        now: Now,
        key: TaskKey,
        winner: Option<Digest>,
        outcome: Outcome,
        verdicts: &[crate::poco::Verdict],
    ) {
        let deal = &self.durable.deals[&key.deal];
        let replicas = match &deal.tasks[key.idx as usize] {
            Task::Done(done) => done.replicas,
            Task::Queued | Task::Open(_) => 0,
        };
        let dissents = verdicts.iter().filter(|v| v.slashed > 0).count();
        let settled = TaskSettled {
            task: key,
            outcome,
            digest: winner.unwrap_or_default(),
            replicas,
            dissents: u8::try_from(dissents).expect("at most fifteen"),
            age_ms: now.unix_ms.saturating_sub(deal.opened_unix_ms),
            deal_settled: deal.settled,
        };
        self.effect(Effect::Settled(settled));
    }

    fn running(&self, key: TaskKey) -> Vec<(WorkerIdx, u16)> {
        let Some(open) = self.task(key).and_then(Task::open) else { return Vec::new() };
        let live = |r: &&crate::task::Replica| matches!(r.state, ReplicaState::Assigned);
        open.replicas.iter().filter(live).map(|r| (r.worker, r.attempt)).collect()
    }

    /// Gives free slots to tasks: first to those that want one more replica, then to new ones.
    pub(crate) fn assign(&mut self, now: Now) {
        let mut scanned = 0;
        let wanting: Vec<TaskKey> =
            self.wanting.iter().take(self.policy.scan_max).copied().collect();
        for key in wanting {
            if self.durable.fleet.none_free() {
                return;
            }
            self.ask(now, key);
        }
        while !self.durable.fleet.none_free() && scanned < self.policy.scan_max {
            let Some(key) = self.next_fresh(now) else { return };
            if !self.ask(now, key) {
                return;
            }
            scanned += usize::from(self.wanting.contains(&key));
        }
    }

    /// The first task that was never opened, of the oldest deal that still has time.
    fn next_fresh(&self, now: Now) -> Option<TaskKey> {
        self.fresh.iter().find_map(|slot| {
            let deal = &self.durable.deals[slot];
            let in_time = now.unix_s() + TAIL_S < deal.terms.req.deadline;
            let queued = matches!(deal.tasks.get(deal.next as usize), Some(Task::Queued));
            (in_time && queued).then_some(TaskKey { deal: *slot, idx: deal.next })
        })
    }

    /// Asks workers for replicas of a task until it has enough. False if nobody could be asked.
    fn ask(&mut self, now: Now, key: TaskKey) -> bool {
        let mut asked = false;
        loop {
            let wants = match self.task(key) {
                Some(Task::Open(open)) => matches!(self.next(key, open), Next::Ask),
                Some(Task::Queued) => true,
                Some(Task::Done(_)) | None => false,
            };
            if !wants {
                self.wanting.remove(&key);
                return true;
            }
            let Some(worker) = self.draw(key) else {
                if matches!(self.task(key), Some(Task::Open(_))) {
                    self.wanting.insert(key);
                }
                return asked;
            };
            self.assign_to(now, key, worker);
            asked = true;
        }
    }

    /// A worker that may take a replica: free, staked, and of an owner and a network that has none.
    fn draw(&mut self, key: TaskKey) -> Option<WorkerIdx> {
        let draw = self.draws.next();
        let deal = &self.durable.deals[&key.deal];
        let open = self.task(key).and_then(Task::open);
        let others: Vec<&Member> = open
            .map(|open| {
                open.replicas.iter().filter_map(|r| self.durable.fleet.get(r.worker)).collect()
            })
            .unwrap_or_default();
        self.durable.fleet.draw(draw, |worker, member| {
            self.has_stake(worker, member, deal.stake) && others.iter().all(|o| apart(o, member))
        })
    }

    fn has_stake(&self, worker: WorkerIdx, member: &Member, stake: u128) -> bool {
        let slashed = self.durable.ledger.worker(worker).map_or(0, |account| account.cum_slashed);
        member.stake.saturating_sub(slashed).saturating_sub(member.held) >= stake
    }

    fn assign_to(&mut self, now: Now, key: TaskKey, worker: WorkerIdx) {
        let req = &self.durable.deals[&key.deal].terms.req;
        // The deal's last moment is for the reveal: a commit must leave room for it.
        let latest = req.deadline.saturating_sub(1);
        let commit_deadline = (now.unix_s() + req.max_task_time).min(latest);
        let reveal_deadline = (commit_deadline + self.policy.reveal_s).min(req.deadline);
        self.record(Record::Assigned { task: key, worker, commit_deadline, reveal_deadline });
        self.durable.fleet.occupy(worker, 1);
        self.watch(key, now, commit_deadline, Deadline::Commit(key));
        let Some(session) = self.durable.fleet.session(worker) else { return };
        self.tell_deal(worker, session, key);
        let replica = self.task(key).and_then(Task::open).and_then(|open| open.replica(worker));
        if let Some(message) = replica.map(|replica| assign(key, replica)) {
            self.effect(Effect::Send(session, message));
        }
    }

    /// Rebuilds queues, holds and deadlines from durable state, after a restart.
    pub(crate) fn rebuild(&mut self, now: Now) {
        self.wanting.clear();
        self.fresh.clear();
        let slots: Vec<DealSlot> = self.durable.deals.keys().copied().collect();
        for slot in slots {
            let deal = &self.durable.deals[&slot];
            if deal.ready && deal.next < deal.terms.tasks && !deal.finished() {
                self.fresh.insert(slot);
            }
            self.watch_deal(now, slot);
        }
        let workers: Vec<WorkerIdx> = self.durable.fleet.iter().map(|(worker, _)| worker).collect();
        for worker in workers {
            if let Some(member) = self.durable.fleet.get_mut(worker) {
                member.held = 0;
                member.tasks.clear();
            }
        }
        let tasks: Vec<TaskKey> = self.open_tasks().collect();
        for key in tasks {
            self.rebuild_task(now, key);
        }
    }

    fn rebuild_task(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let stake = self.durable.deals[&key.deal].stake;
        let replicas = open.replicas.clone();
        let reveal = open.sets.last().filter(|_| open.revealing()).map(|set| set.reveal_deadline);
        for replica in &replicas {
            if matches!(replica.state, ReplicaState::Lost) {
                continue;
            }
            if let Some(member) = self.durable.fleet.get_mut(replica.worker) {
                if member.tasks.insert(key) {
                    member.held += stake;
                }
            }
            if matches!(replica.state, ReplicaState::Assigned) {
                self.watch(key, now, replica.commit_deadline, Deadline::Commit(key));
            }
        }
        if let Some(reveal) = reveal {
            self.watch(key, now, reveal, Deadline::Reveal(key));
        }
    }
}

/// Whether two workers may vote on one task: another owner, and another network where that is known.
fn apart(one: &Member, other: &Member) -> bool {
    let net = |member: &Member| member.link.as_ref().and_then(|link| link.net);
    let same_net = net(one).is_some() && net(one) == net(other);
    one.owner != other.owner && !same_net
}
