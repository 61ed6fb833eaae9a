//! The promise at work: which answers are checked, who is asked, and what a worker earns or loses when
//! a task is settled. The arithmetic is `credibility`'s; what waits is `holding`'s.
//!
//! Two ways of checking, which cost a replica each. A *canary* is a fresh task that goes to several
//! workers at once: nothing tells it from any other, neither its round nor its time. A *pressed* task
//! is one whose answer is there and held: somebody else is asked after all. Who gave the answer could
//! not know, because then it was not yet drawn; that is why accomplices who talk gain little by it.

use crate::{
    credibility::{Belief, Promise, Standing, can_check},
    deadline::Deadline,
    grid::Grid,
    record::{Lesson, Record},
    task::{Open, Replica, ReplicaState, Task},
};
use alloy_primitives::B256;
use quorate_common::{
    clock::Now,
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
};

/// A million, as settings count chances.
const MILLION: u64 = 1_000_000;
/// A worker that lacks checks is checked in every second answer at most: if all of its first tasks
/// were canaries, it would know them by that.
const SHARE_MAX: u64 = MILLION / 2;
/// One canary in so many has a place for a worker that was caught: a way back, at a price of one
/// replica for sixteen checks.
const MERCY: u64 = 16;
/// What the promise asks of one open task. Volatile: a restart forgets it, and draws anew what to
/// check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// A canary: it was drawn at its opening to go to several workers at once.
    pub wide: bool,
    /// Its answer was drawn to be checked by somebody else.
    pub pressed: bool,
    /// Its answer waits for its backers to earn credibility.
    pub held: bool,
    /// It has a place for a worker that was caught.
    pub mercy: bool,
    /// It calibrates its program, and nobody else came for long.
    pub alone: bool,
    /// Unix second until which results that differ are fetched.
    pub compare_until: Option<u64>,
}

/// Whom a draw is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Whoever there is: the pool promises nothing.
    Anyone,
    /// Those believed enough to check others.
    Able,
    /// All but those who were caught.
    Clean,
    /// Those who were caught.
    Barred,
}

impl Grid {
    /// What is known of a worker; of a newcomer, nothing.
    pub fn standing(&self, worker: WorkerIdx) -> Standing {
        self.durable.standings.get(&worker).cloned().unwrap_or_default()
    }

    /// The chance that an answer the worker gave in `lot` is wrong, or that one it gives now is.
    pub fn doubt(&self, promise: &Promise, worker: WorkerIdx, lot: Option<u32>) -> u64 {
        let Some(standing) = self.durable.standings.get(&worker) else {
            return promise.doubt(0, 0);
        };
        let needed = promise.needed(standing.caught);
        promise.doubt(standing.counts(lot.unwrap_or(standing.lot), needed), standing.caught)
    }

    /// What the revealed votes of a task are worth together, leaving out one voter.
    fn belief(&self, promise: &Promise, open: &Open, without: Option<WorkerIdx>) -> Belief {
        let mut belief = Belief::default();
        for replica in open.replicas.iter().filter(|r| Some(r.worker) != without) {
            if let ReplicaState::Revealed(vote) = &replica.state {
                let doubt = self.doubt(promise, replica.worker, Some(vote.lot));
                belief.add(vote.digest.word(), doubt);
            }
        }
        belief
    }

    /// The chance that a digest of a task is wrong, where the pool promises something.
    pub(crate) fn doubt_of(&self, open: &Open, digest: Digest) -> Option<u64> {
        let promise = self.policy.promise?;
        Some(self.belief(&promise, open, None).doubt(digest.word()))
    }

    /// Whether a result is as credible as the pool promises.
    pub(crate) fn keeps(&self, open: &Open, digest: Digest) -> bool {
        let Some(promise) = self.policy.promise else { return true };
        self.doubt_of(open, digest).is_some_and(|doubt| promise.keeps(doubt))
    }

    /// Whether the pool makes a promise at all.
    pub(crate) fn promises(&self) -> bool {
        self.policy.promise.is_some()
    }

    /// The chance that the result that leads by PoCo is wrong, where there is one and a promise.
    pub(crate) fn leading_doubt(&self, open: &Open) -> Option<u64> {
        let leader = open.tally(|worker| self.durable.ledger.score(worker)).leader()?;
        self.doubt_of(open, Digest::from(leader))
    }

    /// Whether a task about to end does so as promised; without a result, nothing was.
    pub(crate) fn is_kept(&self, key: TaskKey, winner: Option<Digest>) -> bool {
        let open = self.task(key).and_then(Task::open);
        open.zip(winner).is_none_or(|(open, digest)| self.keeps(open, digest))
    }

    /// Whether the result that leads by PoCo would be, if everybody who is still at it agreed. A first
    /// answer need not be: it can be held.
    pub(crate) fn would_keep(&self, open: &Open, leader: Option<B256>) -> bool {
        self.would_keep_with(open, leader, is_pending)
    }

    /// The same, if only those agreed that `joins` names.
    pub(crate) fn would_keep_with(
        &self,
        open: &Open,
        leader: Option<B256>,
        joins: impl Fn(&Replica) -> bool,
    ) -> bool {
        let Some(promise) = self.policy.promise else { return true };
        if open.sets.is_empty() && !open.watch.wide {
            return true;
        }
        let belief = self.belief(&promise, open, None);
        let joining = open.replicas.iter().filter(|r| joins(r));
        let hopes = joining.map(|r| self.doubt(&promise, r.worker, None));
        let alone = open.watch.wide && open.live() < 2;
        !alone && promise.keeps(belief.hoped(leader.unwrap_or_default(), hopes))
    }

    /// Whether the answer of a task, enough for PoCo, may wait for its backers to earn more: nobody
    /// contradicts, nobody is at it, and one of them can.
    pub(crate) fn may_wait(&self, open: &Open) -> bool {
        let Some(promise) = self.policy.promise else { return false };
        let watched = open.watch.wide || open.watch.pressed;
        let silent = open
            .replicas
            .iter()
            .any(|r| is_pending(r) || matches!(r.state, ReplicaState::Missed(_)));
        let agreed = self.belief(&promise, open, None).answers() == 1;
        let can_earn = |worker: WorkerIdx, lot: u32| {
            let standing = self.durable.standings.get(&worker);
            standing.is_none_or(|s| s.lot == lot && !s.barred)
        };
        !watched && !silent && agreed && backers(open).any(|(worker, lot)| can_earn(worker, lot))
    }

    /// Draws whether a task that has just got its first replica is a canary: so often that the worker
    /// has passed what it needs by the end of its lot.
    pub(crate) fn widen(&mut self, now: Now, key: TaskKey, first: WorkerIdx) {
        let Some(promise) = self.policy.promise else { return };
        if self.task(key).and_then(Task::open).is_some_and(|open| open.calibrates) {
            // It goes to several workers already.
            return;
        }
        let [draw, ..] = self.draws.draw();
        let until = (now.unix_s() + promise.hold_s).min(self.latest(key));
        let wide = until > now.unix_s() && draw % MILLION < self.share(&promise, first);
        if !wide {
            return;
        }
        let mercy = (draw / MILLION).is_multiple_of(MERCY);
        if let Some(watch) = self.watch_mut(key) {
            *watch = Watch { wide, mercy, ..Watch::default() };
        }
        self.watch(key, now, until, Deadline::Hold(key));
    }

    /// Nobody came to share a canary for long: those who have answered are heard.
    pub(crate) fn narrow(&mut self, now: Now, key: TaskKey) {
        if let Some(watch) = self.watch_mut(key) {
            *watch = Watch::default();
        }
        self.advance(now, key);
    }

    /// Among a million of a worker's next answers, how many are to be canaries.
    fn share(&self, promise: &Promise, worker: WorkerIdx) -> u64 {
        let standing = self.standing(worker);
        // Twice the checks are due before anything is known: in half a lot, or nobody would get a
        // result for long.
        let lot = u64::from(promise.lot.max(1)).div_ceil(if standing.lot == 0 { 2 } else { 1 });
        let left = lot.saturating_sub(standing.taken.into()).max(1);
        let check = promise.check(1).max(1);
        let coming = check.saturating_mul(self.canaries(worker));
        let lacking = self.lacking(promise, &standing).saturating_sub(coming);
        let share = lacking.saturating_mul(MILLION) / (check * left);
        share.max(promise.audit_ppm.into()).min(SHARE_MAX)
    }

    /// Canaries that a worker has a part in and that are not settled.
    fn canaries(&self, worker: WorkerIdx) -> u64 {
        let wide = |key: &&TaskKey| {
            self.task(**key).and_then(Task::open).is_some_and(|open| open.watch.wide)
        };
        let tasks = self.durable.fleet.get(worker).map(|member| &member.tasks);
        tasks.map_or(0, |tasks| tasks.iter().filter(wide).count() as u64)
    }

    /// Thousandths of checks a worker lacks in its lot.
    pub(crate) fn lacking(&self, promise: &Promise, standing: &Standing) -> u64 {
        let needed = promise.needed(standing.caught);
        needed.saturating_sub(standing.counts(standing.lot, needed))
    }

    /// Whom to draw for the next replica of a task, best first. Who was caught votes only beside
    /// others, and only where there is a place for that: being free more often than the others, it
    /// would otherwise get most of the work.
    pub(crate) fn ranks(&self, key: TaskKey) -> &'static [Rank] {
        if self.policy.promise.is_none() {
            return &[Rank::Anyone];
        }
        match self.task(key).and_then(Task::open) {
            None => &[Rank::Clean],
            Some(open) if open.watch.mercy => &[Rank::Barred, Rank::Able, Rank::Clean],
            Some(_) => &[Rank::Able, Rank::Clean],
        }
    }

    /// Whether a worker is of that rank.
    pub(crate) fn is_of(&self, rank: Rank, worker: WorkerIdx) -> bool {
        let barred = || self.durable.standings.get(&worker).is_some_and(|s| s.barred);
        match (rank, &self.policy.promise) {
            (Rank::Anyone, _) | (_, None) => true,
            (Rank::Barred, _) => barred(),
            (Rank::Clean, _) => !barred(),
            (Rank::Able, Some(promise)) => {
                !barred() && can_check(self.doubt(promise, worker, None))
            }
        }
    }

    /// A place for a worker that was caught is taken.
    pub(crate) fn note_mercy(&mut self, key: TaskKey, worker: WorkerIdx) {
        let barred = self.durable.standings.get(&worker).is_some_and(|s| s.barred);
        if let Some(watch) = self.watch_mut(key).filter(|_| barred) {
            watch.mercy = false;
        }
    }

    pub(crate) fn watch_mut(&mut self, key: TaskKey) -> Option<&mut Watch> {
        let deal = self.durable.deals.get_mut(&key.deal)?;
        let open = deal.tasks.get_mut(key.idx as usize)?.open_mut()?;
        Some(&mut open.watch)
    }

    /// What a task that ends with this result teaches of its voters. To be asked before it is
    /// settled.
    ///
    /// An answer of the first round that the others would have borne out without it is a check passed.
    /// Who is asked later can guess that it is to check somebody, so that teaches nothing. A vote
    /// against the result is being caught, and so is one that was never revealed.
    pub(crate) fn lessons(&self, key: TaskKey, winner: Option<Digest>) -> Vec<(WorkerIdx, Lesson)> {
        let Some(promise) = self.policy.promise else { return Vec::new() };
        let Some(open) = self.task(key).and_then(Task::open) else { return Vec::new() };
        let check = promise.check(open.replicas.len().saturating_sub(1));
        let passed = |worker: WorkerIdx, digest: Digest| {
            can_check(self.belief(&promise, open, Some(worker)).doubt(digest.word()))
        };
        let lesson = |replica: &Replica| match (&replica.state, winner) {
            (ReplicaState::Missed(_), _) => Some((replica.worker, Lesson::Caught)),
            (ReplicaState::Revealed(vote), Some(winner)) if vote.digest != winner => {
                Some((replica.worker, Lesson::Caught))
            }
            (ReplicaState::Revealed(vote), Some(winner)) => {
                let first = replica.attempt == 0 && passed(replica.worker, winner);
                first.then_some((replica.worker, Lesson::Passed { lot: vote.lot, check }))
            }
            (
                ReplicaState::Assigned
                | ReplicaState::Committed(_)
                | ReplicaState::Lost
                | ReplicaState::Revealed(_),
                _,
            ) => None,
        };
        open.replicas.iter().filter_map(lesson).collect()
    }

    /// Writes down what a settled task taught; the other answers of those it changed are looked at
    /// again.
    pub(crate) fn learn(&mut self, lessons: Vec<(WorkerIdx, Lesson)>) {
        let Some(promise) = self.policy.promise else { return };
        for (worker, lesson) in lessons {
            self.record(Record::Standing { worker, lesson });
            let believed = self.lacking(&promise, &self.standing(worker)) == 0;
            if believed {
                self.record(Record::Standing { worker, lesson: Lesson::Released });
            }
            if believed || lesson == Lesson::Caught {
                self.stirred.insert(worker);
            }
        }
    }

    /// Looks again at all open tasks of workers that are believed more, or less, than before.
    pub(crate) fn stir(&mut self, now: Now) {
        while let Some(worker) = self.stirred.pop_first() {
            let tasks = self.durable.fleet.get(worker).map(|member| member.tasks.clone());
            for key in tasks.unwrap_or_default() {
                self.advance(now, key);
            }
        }
    }
}

/// Whose result is still to come.
fn is_pending(replica: &Replica) -> bool {
    matches!(replica.state, ReplicaState::Assigned | ReplicaState::Committed(_))
}

/// Everybody who revealed, with the lot of the answer.
pub(crate) fn backers(open: &Open) -> impl Iterator<Item = (WorkerIdx, u32)> + '_ {
    open.replicas.iter().filter_map(|replica| match &replica.state {
        ReplicaState::Revealed(vote) => Some((replica.worker, vote.lot)),
        ReplicaState::Assigned
        | ReplicaState::Committed(_)
        | ReplicaState::Lost
        | ReplicaState::Missed(_) => None,
    })
}
