//! What happens next to a task: more replicas, a frozen set, a fetch, an end. Who is asked is
//! `matching`'s.

use crate::{
    deadline::Deadline,
    effect::{Effect, TaskSettled, ToSession},
    grid::Grid,
    poco::{Outcome, Tally},
    record::Record,
    running::End,
    task::{Open, Replica, ReplicaState, Task},
};
use alloy_primitives::B256;
use quorate_common::{
    bug::{self, Bug},
    clock::Now,
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
};

/// Seconds a set must leave its workers to reveal, or it is not frozen any more before the deal ends:
/// who is away for a moment must not lose its stake for that.
const REVEAL_LEAST_S: u64 = 5;

/// Seconds after a deal's end in which a credible result's bytes may still come: reveals are taken to
/// the last moment, and a backer is given four tries of 15 s.
pub(crate) const LAST_BYTES_S: u64 = 60;

/// What a task waits for.
pub(crate) enum Next {
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
    /// PoCo has decided, and the pool's promise wants its backers to have earned more.
    Hold,
    /// There are two answers, and nobody shall lose by it: where they differ is looked for.
    Compare,
    /// The same, and PoCo has decided for one: only the deal's end ends it without a loser.
    Linger,
    /// No more replicas are allowed and the votes do not suffice.
    GiveUp,
}

impl Grid {
    /// Moves a task on as far as it goes.
    pub(crate) fn advance(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        if now.unix_s() >= self.durable.deals[&key.deal].terms.deadline {
            return self.conclude(now, key);
        }
        let next = self.next(key, open);
        if !matches!(next, Next::Hold) {
            self.unhold(key);
        }
        match next {
            Next::Wait | Next::Linger => {
                self.wanting.remove(&key);
            }
            Next::Compare => self.compare(now, key),
            Next::Ask => {
                self.wanting.insert(key);
            }
            Next::Freeze => self.freeze(now, key),
            Next::Accept(digest) => self.settle(now, key, Outcome::Consensus, Some(digest)),
            Next::Fetch(digest) => self.fetch(now, key, digest),
            Next::Hold => self.hold_back(now, key),
            Next::GiveUp => self.settle(now, key, Outcome::NoQuorum, None),
        }
    }

    /// After the deal's end nothing begins any more: what was said in time is heard, a credible
    /// result's bytes are waited for, the rest is expired.
    pub(crate) fn conclude(&mut self, now: Now, key: TaskKey) {
        let next = match self.task(key) {
            Some(Task::Open(open)) if open.revealing() => return,
            Some(Task::Open(open)) => self.at_the_end(key, open),
            Some(Task::Queued) => Next::GiveUp,
            Some(Task::Done(_)) | None => return,
        };
        let deadline = self.durable.deals[&key.deal].terms.deadline;
        match next {
            Next::Accept(digest) => self.settle(now, key, Outcome::Consensus, Some(digest)),
            Next::Fetch(digest) if now.unix_s() < deadline + LAST_BYTES_S => {
                self.fetch(now, key, digest);
            }
            Next::Wait
            | Next::Ask
            | Next::Freeze
            | Next::Fetch(_)
            | Next::Hold
            | Next::Compare
            | Next::Linger
            | Next::GiveUp => self.settle(now, key, Outcome::Expired, None),
        }
    }

    /// A task of an erratic program ends before its deal's time is over.
    pub(crate) fn end_early(&mut self, now: Now, key: TaskKey) {
        match self.task(key) {
            Some(Task::Queued) => self.settle(now, key, Outcome::NoQuorum, None),
            Some(Task::Open(_)) => self.advance(now, key),
            Some(Task::Done(_)) | None => {}
        }
    }

    /// Whether a task of a deal that is over waits for nothing any more.
    pub(crate) fn is_due(&self, now: Now, key: TaskKey) -> bool {
        let deadline = self.durable.deals[&key.deal].terms.deadline;
        match self.task(key) {
            Some(Task::Open(open)) if open.revealing() => false,
            Some(Task::Open(open)) => {
                let fetching = matches!(self.at_the_end(key, open), Next::Fetch(_));
                !fetching || now.unix_s() >= deadline + LAST_BYTES_S
            }
            Some(Task::Queued) => true,
            Some(Task::Done(_)) | None => false,
        }
    }

    pub(crate) fn next(&self, key: TaskKey, open: &Open) -> Next {
        let deal = &self.durable.deals[&key.deal];
        let trust = deal.terms.trust;
        let score = |worker| self.durable.ledger.score(worker);
        if open.revealing() {
            return Next::Wait;
        }
        if let Some(next) = self.spared(key, open) {
            return next;
        }
        let tally = open.tally(score);
        let decided = decided(open, &tally, trust, |digest| self.keeps(open, digest));
        if let Some(digest) = decided.filter(|digest| self.keeps(open, *digest)) {
            return take(open, digest);
        }
        if decided.is_some() && self.may_wait(open) {
            return Next::Hold;
        }
        let hopes = open.hopes(score);
        let waits = !hopes.is_empty();
        let agreed = tally.would_decide(trust, hopes.into_iter());
        let company = self.has_company(key, open);
        let enough = agreed && company && self.would_keep(open, tally.leader());
        let (running, room) = (open.running(), open.live() < deal.replicas_max());
        match (enough, running, room) {
            (true, 0, _) => Next::Freeze,
            (true, ..) if self.is_beaten(key, open) => Next::Freeze,
            (true, ..) => Next::Wait,
            (false, _, true) => Next::Ask,
            // The contract's trust is within reach, if not the promise.
            (false, 0, false) if agreed && waits => Next::Freeze,
            (false, 0, false) => self.unpromised(key, open).unwrap_or(Next::GiveUp),
            (false, _, false) => Next::Wait,
        }
    }

    /// What becomes of a task of a deal that is over.
    fn at_the_end(&self, key: TaskKey, open: &Open) -> Next {
        match self.next(key, open) {
            next @ (Next::Accept(_) | Next::Fetch(_)) => next,
            next @ (Next::Wait
            | Next::Ask
            | Next::Freeze
            | Next::Hold
            | Next::Compare
            | Next::Linger
            | Next::GiveUp) => self.unpromised(key, open).unwrap_or(next),
        }
    }

    /// The result PoCo has decided, kept to the promise or not: the contract wants it settled.
    fn unpromised(&self, key: TaskKey, open: &Open) -> Option<Next> {
        let decided = self.decided_of(key, open).filter(|_| !self.is_void(key, open));
        decided.map(|digest| take(open, digest))
    }

    /// The result PoCo has decided, whatever the pool promises.
    pub(crate) fn decided_of(&self, key: TaskKey, open: &Open) -> Option<Digest> {
        let trust = self.durable.deals[&key.deal].terms.trust;
        let tally = open.tally(|worker| self.durable.ledger.score(worker));
        decided(open, &tally, trust, |_| true)
    }

    /// The end of a task that could only be checked once more, and has no time for it.
    fn end_unfrozen(&mut self, now: Now, key: TaskKey) {
        let open = self.task(key).and_then(Task::open);
        match open.and_then(|open| self.unpromised(key, open)) {
            Some(Next::Accept(digest)) => self.settle(now, key, Outcome::Consensus, Some(digest)),
            Some(Next::Fetch(digest)) => self.fetch(now, key, digest),
            _ => self.settle(now, key, Outcome::Expired, None),
        }
    }

    fn freeze(&mut self, now: Now, key: TaskKey) {
        let deal_end = self.durable.deals[&key.deal].terms.deadline;
        if now.unix_s() + REVEAL_LEAST_S > deal_end {
            // Nobody is judged for a set that was never frozen.
            return self.end_unfrozen(now, key);
        }
        self.drop_beaten(now, key);
        let reveal_deadline = (now.unix_s() + self.policy.reveal_s).min(deal_end);
        let promised = if bug::is(Bug::ShortSet) { 0 } else { self.promised(key) };
        let reveal_deadline = reveal_deadline.max(promised);
        self.record(Record::Frozen { task: key, reveal_deadline });
        self.wanting.remove(&key);
        self.watch(key, now, reveal_deadline + self.policy.hear_s, Deadline::Reveal(key));
        self.tell_set_to_all(key);
        if self.owes_answer(key) {
            self.answer(now, key);
        }
    }

    /// Shows the newest set to everybody in it who has not revealed.
    pub(crate) fn tell_set_to_all(&mut self, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let waiting = |r: &&Replica| matches!(r.state, ReplicaState::Committed(_));
        let workers: Vec<WorkerIdx> =
            open.replicas.iter().filter(waiting).map(|r| r.worker).collect();
        for worker in workers {
            self.tell_set(key, worker);
        }
    }

    /// The latest reveal deadline that an assignment of this round named: no set may end before.
    fn promised(&self, key: TaskKey) -> u64 {
        let Some(open) = self.task(key).and_then(Task::open) else { return 0 };
        let ours = open.replicas.iter().filter(|r| r.attempt == open.attempt());
        ours.map(|r| r.reveal_deadline).max().unwrap_or(0)
    }

    /// Sets a deadline one second after `unix_s` has passed, and notes it in the task.
    pub(crate) fn watch(&mut self, key: TaskKey, now: Now, unix_s: u64, deadline: Deadline) {
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
        let running = |r: &&Replica| matches!(r.state, ReplicaState::Assigned);
        let replicas = open.replicas.iter().filter(running).map(|r| (r.worker, r.commit_deadline));
        let (late, early): (Vec<_>, Vec<_>) =
            replicas.partition(|(_, deadline)| *deadline < now.unix_s());
        for (worker, _) in late {
            self.stop(key, worker);
            if self.lose(now, key, worker) {
                self.distrust(now, worker);
            }
        }
        // The wall clock may have been set back since the deadline was set.
        for (_, deadline) in early {
            self.watch(key, now, deadline, Deadline::Commit(key));
        }
    }

    /// Tells a worker that its replica is of no use any more.
    pub(crate) fn stop(&mut self, key: TaskKey, worker: WorkerIdx) {
        let Some(session) = self.durable.fleet.session(worker) else { return };
        let open = self.task(key).and_then(Task::open);
        let attempt = open.and_then(|open| open.replica(worker)).map(|replica| replica.attempt);
        if let Some(attempt) = attempt {
            self.effect(Effect::Send(session, ToSession::Cancel(key, attempt)));
        }
    }

    pub(crate) fn on_reveal_over(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let due = |r: &Replica| {
            let set = open.sets.get(usize::from(r.attempt))?;
            let silent = matches!(r.state, ReplicaState::Committed(_));
            silent.then_some((r.worker, set.reveal_deadline))
        };
        let (late, early): (Vec<_>, Vec<_>) = open
            .replicas
            .iter()
            .filter_map(due)
            .partition(|(_, deadline)| self.is_silence(now, *deadline));
        for (_, deadline) in early {
            if deadline + self.patience() < now.unix_s() {
                self.to_hear.insert((deadline, key));
            } else {
                self.watch(key, now, deadline + self.policy.hear_s, Deadline::Reveal(key));
            }
        }
        if !late.is_empty() && self.owes_answer(key) && !self.answered.remove(&key) {
            // No answer is known to be there: whoever demanded it would prove us deaf.
            return self.answer(now, key);
        }
        let any = !late.is_empty();
        for (worker, _) in late {
            self.record(Record::Missed { task: key, worker });
        }
        if any {
            self.advance(now, key);
        }
    }

    /// Whether who has not revealed until `deadline` will be heard of no more. The clock alone does not
    /// tell: the chain may have been out of reach, or the clock put forward, and a vote that was
    /// said there in time and is shown as silence costs the pool its bond (F6).
    fn is_silence(&self, now: Now, deadline: u64) -> bool {
        deadline + self.patience() < now.unix_s() && self.has_heard(deadline)
    }

    /// Whether the chain was read far enough for a demand about this deadline to be known. A pool that
    /// does not wait for the chain has none worth the name.
    fn has_heard(&self, deadline: u64) -> bool {
        let slack_s = self.policy.slack_s;
        self.policy.hear_s < slack_s
            || deadline + slack_s < self.heard_s
            || bug::is(Bug::ClockAlone)
    }

    /// The chain was read on: silences that waited for it are judged.
    pub(crate) fn on_heard(&mut self, now: Now, at_unix_s: u64) {
        self.heard_s = self.heard_s.max(at_unix_s);
        while let Some((deadline, key)) = self.to_hear.first().copied() {
            if !self.has_heard(deadline) {
                return;
            }
            self.to_hear.pop_first();
            self.on_reveal_over(now, key);
        }
    }

    /// Seconds after a reveal deadline in which the chain may still tell of a reveal.
    fn patience(&self) -> u64 {
        if bug::is(Bug::EarlySilence) { 0 } else { self.policy.hear_s }
    }

    /// Asks one backer for the winning bytes: connected ones first, each once, then all again.
    pub(crate) fn fetch(&mut self, now: Now, key: TaskKey, digest: Digest) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let backs = |r: &&Replica| matches!(&r.state, ReplicaState::Revealed(revealed) if revealed.digest == digest);
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

    /// A backer is back: if nobody who was asked for the bytes is there any more, ask again now
    /// instead of at the deadline.
    pub(crate) fn fetch_from_any(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let pending = open.asked.iter().any(|w| self.durable.fleet.session(*w).is_some());
        if let (Next::Fetch(digest), false) = (self.next(key, open), pending) {
            self.fetch(now, key, digest);
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
            if self.is_receipted(key, digest) {
                self.ack_stored(key, digest);
            }
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
        self.note_dissent(now, key);
        if let Some(digest) = winner.filter(|digest| self.is_withheld(key, *digest)) {
            self.ack_stored(key, digest);
        }
        let lessons = self.lessons(key, winner);
        let kept = self.is_kept(key, winner);
        let first = self.durable.ledger.open().tasks.is_empty();
        let unheard = self.unheard(key);
        for (worker, ..) in unheard.iter().filter(|(.., running)| *running) {
            self.end(now, key, *worker, End::Moot);
        }
        self.answered.remove(&key);
        let at_unix_ms = now.unix_ms;
        let (judgement, voters) = self.apply_settled(key, outcome, winner, at_unix_ms);
        self.ready.records.push(Record::Settled { task: key, outcome, winner, at_unix_ms });
        self.learn(lessons);
        for (worker, attempt, _) in unheard {
            if let Some(session) = self.durable.fleet.session(worker) {
                self.effect(Effect::Send(session, ToSession::Cancel(key, attempt)));
            }
        }
        for worker in &voters {
            let told = self.durable.fleet.session(*worker).zip(self.verdict(*worker, key));
            if let Some((session, item)) = told {
                self.effect(Effect::Send(session, ToSession::Settled(item)));
            }
        }
        self.tell_settled(now, key, winner, outcome, kept, &judgement.verdicts);
        for worker in voters {
            self.send_away(worker);
        }
        if first {
            self.watch_batch(now);
        }
        if self.durable.ledger.open().tasks.len() >= self.policy.batch_tasks as usize {
            self.close_batch();
        }
    }

    fn tell_settled(
        &mut self,
        now: Now,
        key: TaskKey,
        winner: Option<Digest>,
        outcome: Outcome,
        kept: bool,
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
            kept,
            replicas,
            dissents: u8::try_from(dissents).expect("at most fifteen"),
            age_ms: now.unix_ms.saturating_sub(deal.opened_unix_ms),
            deal_settled: deal.settled,
        };
        self.effect(Effect::Settled(settled));
    }

    /// Replicas whose work no longer matters and that are told by nothing else: those still at it,
    /// and those that committed and were in no frozen set. The flag says whether it has a slot.
    fn unheard(&self, key: TaskKey) -> Vec<(WorkerIdx, u16, bool)> {
        let Some(open) = self.task(key).and_then(Task::open) else { return Vec::new() };
        let unheard = |r: &Replica| match r.state {
            ReplicaState::Assigned => Some((r.worker, r.attempt, true)),
            ReplicaState::Committed(_) if r.attempt >= open.attempt() => {
                Some((r.worker, r.attempt, false))
            }
            ReplicaState::Committed(_)
            | ReplicaState::Revealed(_)
            | ReplicaState::Lost
            | ReplicaState::Missed(_) => None,
        };
        open.replicas.iter().filter_map(unheard).collect()
    }
}

/// The result PoCo has decided. At trust 1 every result that was voted for is credible: one that fits comes
/// first, and of those one whose bytes are here, for others may never come.
fn decided(
    open: &Open,
    tally: &Tally,
    trust: u32,
    fits: impl Fn(Digest) -> bool,
) -> Option<Digest> {
    let holds = |word: &B256| tally.holds(*word, trust);
    let credible = tally.groups().iter().map(|(word, _)| *word).filter(holds).map(Digest::from);
    credible.rev().max_by_key(|digest| (fits(*digest), open.stored.contains(digest)))
}

/// A result that stands: its bytes are here, or are to be fetched.
pub(crate) fn take(open: &Open, digest: Digest) -> Next {
    let here = open.stored.contains(&digest) || bug::is(Bug::AcceptUnstored);
    if here { Next::Accept(digest) } else { Next::Fetch(digest) }
}
