//! Programs in containers: what some deals run, which need not agree with itself; and the law that nobody
//! loses by one before it was proven, from the records alone and by a count of its own.

use crate::law::{Lawful, hold};
use quorate_common::{
    digest::Digest,
    ids::{DealId, DealSlot, TaskKey, WorkerIdx},
};
use quorate_grid::{Record, calibration::Work};
use std::collections::{BTreeMap, BTreeSet};

/// Votes that must have borne out another, as PROTOCOL.md section 4 has it.
const AGREEMENTS: usize = 8;
/// Of one task, so many count.
const OF_A_TASK: usize = 4;

/// What a program is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// It says the same everywhere.
    Sound,
    /// On one machine in eight it says something of its own.
    Flaky,
    /// It prints the time.
    Erratic,
}

impl Program {
    /// What a deal runs, by its id: most run modules.
    pub(crate) fn of(deal: DealId) -> Option<Self> {
        match deal.0[1] % 16 {
            11 | 12 => Some(Self::Sound),
            13 => Some(Self::Flaky),
            14 | 15 => Some(Self::Erratic),
            _ => None,
        }
    }

    /// What the scheduler reads in the bag.
    pub(crate) fn work(deal: DealId) -> Work {
        let program = Self::of(deal).map(|program| Digest::of(program.name().as_bytes()));
        Work { program, ..Work::default() }
    }

    /// Its line of the tally.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sound => "program: sound",
            Self::Flaky => "program: flaky",
            Self::Erratic => "program: erratic",
        }
    }

    /// What an honest machine makes of it.
    pub(crate) fn run(self, task: TaskKey, worker: WorkerIdx, right: String) -> String {
        let own = format!("{right}, on {worker}");
        let odd = Digest::of(format!("{task} {worker}").as_bytes()).0[0].is_multiple_of(8);
        match self {
            Self::Erratic => own,
            Self::Flaky if odd => own,
            Self::Sound | Self::Flaky => right,
        }
    }
}

/// How far a program is known to agree with itself. Records do not say whether it was found erratic, and a new
/// deal of one that was begins anew: so there are two counts, and the law holds by whichever is lenient.
#[derive(Clone, Debug, Default)]
struct Proof {
    /// Agreements that count in any case.
    least: usize,
    /// Agreements that count if it never was.
    most: usize,
}

impl Proof {
    fn may_be_proven(&self) -> bool {
        self.most >= AGREEMENTS
    }

    /// Its votes differed: what was proven begins anew, what was not goes on.
    fn tear(&mut self) {
        if self.least >= AGREEMENTS {
            *self = Self::default();
        } else if self.may_be_proven() {
            self.least = 0;
        }
    }
}

/// What the records say of programs and the tasks that calibrate them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proofs {
    programs: BTreeMap<Digest, Proof>,
    deals: BTreeMap<DealSlot, Digest>,
    opened: BTreeSet<TaskKey>,
    /// Tasks that were opened while their program was not proven.
    spared: BTreeSet<TaskKey>,
    torn: BTreeSet<TaskKey>,
}

impl Proofs {
    /// Takes the next record.
    pub(crate) fn fold(&mut self, record: &Record) {
        match record {
            Record::Deal { opened, work: Some(work), .. } => {
                self.deals.extend(work.program.map(|program| (opened.slot, program)));
                let proof = work.program.and_then(|program| self.programs.get_mut(&program));
                proof.into_iter().for_each(|proof| proof.least = 0);
            }
            Record::Assigned { task, .. } if self.opened.insert(*task) => {
                let proof = self.deals.get(&task.deal).map(|id| self.programs.get(id));
                if proof.is_some_and(|proof| proof.is_none_or(|proof| !proof.may_be_proven())) {
                    self.spared.insert(*task);
                }
            }
            Record::Torn(difference) => {
                self.torn.insert(difference.task);
                let id = self.deals.get(&difference.task.deal);
                if let Some(proof) = id.and_then(|id| self.programs.get_mut(id)) {
                    proof.tear();
                }
            }
            _ => {}
        }
    }

    /// Whether no vote of a task may cost anything.
    pub(crate) fn spares(&self, task: TaskKey) -> bool {
        self.spared.contains(&task)
    }

    /// Whether a task's backers may lack the receipt for bytes that are here.
    pub(crate) fn withholds(&self, task: TaskKey) -> bool {
        self.spares(task) || self.torn.contains(&task)
    }

    /// A task ended: `shown` are the votes that were revealed, `lost` those of them that cost something.
    pub(crate) fn settled(&mut self, key: TaskKey, shown: usize, lost: usize) -> Lawful {
        if !self.spares(key) {
            return Ok(());
        }
        hold(lost == 0, "nobody loses by a program that is not proven", || {
            format!("{key}: {lost} of {shown} votes")
        })?;
        let Some(id) = self.deals.get(&key.deal).filter(|_| !self.torn.contains(&key)) else {
            return Ok(());
        };
        let proof = self.programs.entry(*id).or_default();
        let agreements = shown.saturating_sub(1).min(OF_A_TASK);
        proof.least += agreements;
        proof.most += agreements;
        Ok(())
    }
}
