//! The pool's operator, in one world of four: keeps workers from new work, bans them, thinks better of it, and
//! closes a batch early. When the faults end everybody is let in again, or tasks could wait for ever.
//! Draws from a stream of its own, so that a world without an operator is the one it always was.

use crate::{dice::Dice, law::Lawful, world::World};
use quorate_common::ids::WorkerIdx;
use quorate_grid::{
    Input,
    input::Ticket,
    restraint::{Keep, Restraint},
};

/// Of a million worlds: there is an operator who cannot leave it alone.
const WORLDS: u64 = 250_000;
/// Of a million seconds: it does something. Twenty times in ten minutes.
const ACTS: u64 = 33_000;
/// Workers that are never banned: the honest ones that every world has, without whom little can end.
const NEEDED: usize = 4;

/// Who runs the pool.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    dice: Dice,
    acts: bool,
}

impl Operator {
    /// The operator of a seed's world.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ u64::from_be_bytes(*b"operator"));
        let acts = dice.chance(WORLDS);
        Self { dice, acts }
    }
}

impl World {
    /// A second of the operator's.
    pub(crate) fn operate(&mut self) -> Lawful {
        if !self.operator.acts || self.node.up.is_none() {
            return Ok(());
        }
        if self.calm {
            return self.let_everybody_in();
        }
        if self.operator.dice.chance(ACTS) {
            return self.interfere();
        }
        Ok(())
    }

    fn interfere(&mut self) -> Lawful {
        let people = self.plan.people.len() as u64;
        let at = (self.operator.dice.roll() % people) as usize;
        let worker = WorkerIdx(at as u32 + 1);
        let kept = self.is_kept(worker);
        match self.operator.dice.range(0, 3) {
            0 => {
                self.tally.count("act: operator closed a batch");
                self.tell(Input::CloseBatch)
            }
            1 | 2 if kept => self.restrain(worker, None),
            1 if at >= NEEDED => self.restrain(worker, Some(Keep::Banned)),
            _ => self.restrain(worker, Some(Keep::Drained)),
        }
    }

    fn let_everybody_in(&mut self) -> Lawful {
        for at in 1..=self.plan.people.len() as u32 {
            if self.is_kept(WorkerIdx(at)) {
                self.restrain(WorkerIdx(at), None)?;
            }
        }
        Ok(())
    }

    fn is_kept(&self, worker: WorkerIdx) -> bool {
        let up = self.node.up.as_ref();
        up.and_then(|up| up.grid.worker(worker)).is_some_and(|view| view.restraint.is_some())
    }

    fn restrain(&mut self, worker: WorkerIdx, keep: Option<Keep>) -> Lawful {
        let (name, line) = match keep {
            None => ("act: operator freed a worker", "freed"),
            Some(Keep::Drained) => ("act: operator drained a worker", "drained"),
            Some(Keep::Banned) => ("act: operator banned a worker", "banned"),
        };
        self.tally.count(name);
        self.say(|| format!("{worker} is {line} by the operator"));
        let at_unix_ms = self.node_now().unix_ms;
        let restraint = keep.map(|keep| Restraint {
            keep,
            reason: "a mood".into(),
            by: "operator".into(),
            at_unix_ms,
        });
        self.tell(Input::Restrain { ticket: Ticket(0), worker, restraint })
    }
}
