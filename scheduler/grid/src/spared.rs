//! Tasks of programs that are not proven: several workers are asked at once, and where their answers
//! differ nobody loses. What is known of a program is `calibration`'s.
//!
//! The contract takes "no quorum" where no answer is decided, and "expired" once the deal is over, if no
//! voter of the decided one has a receipt for its bytes. So such a receipt is given only together with the
//! settlement, and a torn task with a decided answer waits for its deal's end.

use crate::{
    calibration::{CALIBRATORS_LEAST, Calibration, Difference, Program, Split},
    deadline::Deadline,
    grid::Grid,
    progress::{Next, take},
    record::Record,
    task::{Open, ReplicaState, Task},
};
use quorate_common::{
    bug::{self, Bug},
    clock::Now,
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
};

/// Seconds in which others may still come to a task that calibrates: then those who answered are heard.
/// Twice a worker's slowest way back (30 s).
const COMPANY_S: u64 = 60;
/// Seconds in which two results that differ are fetched, to say where: four tries of 15 s, as for a
/// result that is accepted.
const COMPARE_S: u64 = 60;

impl Grid {
    /// Where the program of a deal stands, if it is one that need not agree with itself.
    pub fn calibration(&self, slot: DealSlot) -> Option<Calibration> {
        let program = self.durable.deals.get(&slot)?.work.program?;
        Some(self.durable.programs.get(&program)?.state)
    }

    fn is_proven(&self, slot: DealSlot) -> bool {
        self.calibration(slot).is_none_or(|state| state == Calibration::Proven)
    }

    /// Whether nobody may lose by an answer to this task.
    fn is_spared(&self, key: TaskKey, open: &Open) -> bool {
        (open.calibrates || !self.is_proven(key.deal)) && !bug::is(Bug::CalibrationSlashes)
    }

    /// What becomes of a task where that is not what its votes decide: it is answered in two ways by a
    /// program that is not proven, or its program was found erratic.
    pub(crate) fn spared(&self, key: TaskKey, open: &Open) -> Option<Next> {
        if !self.is_spared(key, open) {
            return None;
        }
        let ends = self.durable.deals[&key.deal].erratic.is_some();
        let decided = self.decided_of(key, open);
        let differs = Split::of(open).differs();
        match decided {
            _ if differs && !open.torn => Some(Next::Compare),
            // Its backers have the receipt for their bytes: they were promised to be judged.
            Some(digest) if differs && open.is_receipted(digest) => {
                ends.then_some(Next::Accept(digest))
            }
            Some(_) if differs => Some(Next::Linger),
            Some(digest) => ends.then(|| take(open, digest)),
            None => (differs || ends).then_some(Next::GiveUp),
        }
    }

    /// Whether a task that calibrates has all the workers it is to have in its first round.
    pub(crate) fn has_company(&self, key: TaskKey, open: &Open) -> bool {
        let live = open.live();
        !open.calibrates
            || !open.sets.is_empty()
            || open.watch.alone
            || live >= self.durable.deals[&key.deal].calibrators()
            || (live >= CALIBRATORS_LEAST && !self.could_come(key))
    }

    /// Whether somebody is here who has no part in the task and could, once there is room.
    fn could_come(&self, key: TaskKey) -> bool {
        let case = self.case(key);
        let mut here = self.durable.fleet.iter().filter(|(_, member)| !member.exiting);
        here.any(|(worker, member)| self.misfit(&case, worker, member).is_none())
    }

    /// Whether another task of the deal may be opened, as far as its program's calibration goes.
    pub(crate) fn may_open(&self, slot: DealSlot) -> bool {
        let deal = &self.durable.deals[&slot];
        let program = deal.work.program.and_then(|program| self.durable.programs.get(&program));
        let free = |program: &Program| {
            program.is_proven() || deal.terms.trust <= 1 || program.wants(deal.calibrators())
        };
        // One of its own each deal may have: else whoever places an order that nobody can finish holds up
        // all others of the program.
        let idle = deal.next <= deal.settled;
        deal.erratic.is_none() && (idle || program.is_none_or(free))
    }

    /// Whether a worker differed from a majority about a deal's program.
    pub(crate) fn is_aside(&self, slot: DealSlot, worker: WorkerIdx) -> bool {
        let program = self.durable.deals[&slot].work.program;
        let program = program.and_then(|program| self.durable.programs.get(&program));
        program.is_some_and(|program| program.aside.contains(&worker))
    }

    /// Sets the time by which a task that calibrates goes on with those it has.
    pub(crate) fn watch_company(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        if open.calibrates && open.sets.is_empty() {
            let until = (now.unix_s() + COMPANY_S).min(self.latest(key)).max(now.unix_s());
            self.watch(key, now, until, Deadline::Hold(key));
        }
    }

    /// Nobody else came for long. Whether that was about this task.
    pub(crate) fn go_on_alone(&mut self, now: Now, key: TaskKey) -> bool {
        let open = self.task(key).and_then(Task::open);
        let waits = open.is_some_and(|open| open.calibrates && open.sets.is_empty());
        if waits && let Some(watch) = self.watch_mut(key) {
            watch.alone = true;
            self.advance(now, key);
        }
        waits
    }

    /// Two answers: both results are fetched, so that the program's owner can be told where they differ.
    pub(crate) fn compare(&mut self, now: Now, key: TaskKey) {
        self.wanting.remove(&key);
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let Some(votes) = Split::of(open).pair() else { return };
        let missing = votes.map(|(_, digest)| digest);
        let missing: Vec<Digest> =
            missing.into_iter().filter(|digest| !open.stored.contains(digest)).collect();
        let until = open.watch.compare_until.unwrap_or(now.unix_s() + COMPARE_S);
        if let Some(watch) = self.watch_mut(key) {
            watch.compare_until = Some(until);
        }
        if missing.is_empty() || now.unix_s() >= until {
            return self.tear(now, Difference { task: key, votes });
        }
        for digest in missing {
            self.fetch(now, key, digest);
        }
    }

    /// The votes of a task differ, for good. Deals of a program that is erratic end.
    fn tear(&mut self, now: Now, difference: Difference) {
        self.record(Record::Torn(difference));
        self.end_erratic(now, difference.task.deal);
        self.advance(now, difference.task);
    }

    /// Has all deals of a program that is erratic ended, soon: there may be many tasks.
    fn end_erratic(&mut self, now: Now, slot: DealSlot) {
        let program = self.durable.deals[&slot].work.program;
        let ends = |deal: &&crate::deal::Deal| {
            deal.work.program == program && deal.erratic.is_some() && !deal.finished()
        };
        let slots: Vec<DealSlot> =
            self.durable.deals.values().filter(ends).map(|deal| deal.slot).collect();
        for slot in slots {
            self.deadlines.set(now.mono_ms, Deadline::Deal(slot));
        }
    }

    /// A task of a proven program is about to be judged: if its votes differ, that is written down first.
    pub(crate) fn note_dissent(&mut self, now: Now, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let known = open.torn || self.durable.deals[&key.deal].work.program.is_none();
        if let Some(votes) = Split::of(open).pair().filter(|_| !known) {
            self.record(Record::Torn(Difference { task: key, votes }));
            self.end_erratic(now, key.deal);
        }
    }

    /// Whether a task of an erratic program can end before its deal does.
    pub(crate) fn ends_early(&self, key: TaskKey) -> bool {
        match self.task(key) {
            Some(Task::Queued) => true,
            Some(Task::Open(open)) => {
                matches!(self.next(key, open), Next::GiveUp | Next::Accept(_))
            }
            Some(Task::Done(_)) | None => false,
        }
    }

    /// Whether a task is over as far as its votes go, whatever PoCo makes of them.
    pub(crate) fn is_void(&self, key: TaskKey, open: &Open) -> bool {
        let decided = self.decided_of(key, open);
        let receipted = decided.is_some_and(|digest| open.is_receipted(digest));
        self.is_spared(key, open) && Split::of(open).differs() && !receipted
    }
}

impl Grid {
    /// The bytes of a result are here. Their receipt waits for the settlement where no vote shall be judged.
    pub(crate) fn apply_stored(&mut self, key: TaskKey, digest: Digest) {
        let proven = self.is_proven(key.deal);
        let open = self.open_mut(key);
        let new = open.stored.insert(digest);
        if new && (open.calibrates || !proven) {
            open.withheld.insert(digest);
        }
    }

    /// A task's votes differ: what that says of its program, and of the deals that run it.
    pub(crate) fn apply_torn(&mut self, difference: Difference) {
        let key = difference.task;
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let (split, calibrated) = (Split::of(open), open.calibrates);
        self.open_mut(key).torn = true;
        let Some(id) = self.durable.deals[&key.deal].work.program else { return };
        let Some(program) = self.durable.programs.get_mut(&id) else { return };
        program.open -= u32::from(calibrated);
        program.tear(&split);
        if program.state == Calibration::Erratic {
            self.apply_erratic(id, difference);
        }
        self.wake_program(id);
    }

    fn apply_erratic(&mut self, program: Digest, difference: Difference) {
        for deal in self.durable.deals.values_mut() {
            if deal.work.program == Some(program) && !deal.finished() && deal.erratic.is_none() {
                deal.erratic = Some(difference);
                self.fresh.set(deal.slot, 0);
            }
        }
    }

    /// A task that calibrated its program is settled. To be asked while it is open.
    pub(crate) fn apply_calibrated(&mut self, key: TaskKey, agreed: bool) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let revealed = |r: &&crate::task::Replica| matches!(r.state, ReplicaState::Revealed(_));
        let voters = open.replicas.iter().filter(revealed).count();
        if !open.calibrates || open.torn {
            return;
        }
        let Some(id) = self.durable.deals[&key.deal].work.program else { return };
        let Some(program) = self.durable.programs.get_mut(&id) else { return };
        program.open -= 1;
        if agreed {
            program.agree(voters);
        }
        self.wake_program(id);
    }

    /// Tasks of a program may be opened that could not.
    fn wake_program(&mut self, program: Digest) {
        let waits = |deal: &&crate::deal::Deal| deal.work.program == Some(program);
        let slots: Vec<DealSlot> =
            self.durable.deals.values().filter(waits).map(|deal| deal.slot).collect();
        for slot in slots.into_iter().filter(|slot| self.fresh.contains(*slot)) {
            self.wanting.wake(slot);
        }
    }
}
