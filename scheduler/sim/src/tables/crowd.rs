//! The crowd: so many workers, so many of them saboteurs, and what each says of a task. The same crowd
//! faces every policy.

use super::dice::{Dice, MILLION, happens_to};

/// The right answer.
pub(super) const RIGHT: u32 = 0;
/// What saboteurs say who collude.
const COMMON_LIE: u32 = 1;

/// How saboteurs go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ways {
    /// Each lies by itself, and no two lies are the same.
    Alone,
    /// All lie about the same tasks, and say the same.
    Together,
    /// As together; and they tell each other what they were given. Who holds a task that an accomplice
    /// has too says what that one said, or the truth if it said nothing yet.
    Talking,
    /// As together, after so many honest answers of each.
    Milking(u32),
}

/// A crowd.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    pub(super) workers: u32,
    /// Saboteurs among a million.
    pub(super) faulty_ppm: u32,
    /// Lies among a million answers of a saboteur.
    pub(super) lies_ppm: u32,
    pub(super) ways: Ways,
}

/// A crowd at work.
#[derive(Debug)]
pub(super) struct Mob {
    crowd: Crowd,
    seed: u64,
    dice: Dice,
    answered: Vec<u32>,
}

impl Crowd {
    /// How many saboteurs there are. They come first: who is drawn is the policy's business.
    pub(super) fn saboteurs(&self) -> u32 {
        let saboteurs = u64::from(self.workers) * u64::from(self.faulty_ppm) / u64::from(MILLION);
        u32::try_from(saboteurs).expect("no more than workers")
    }
}

impl Mob {
    pub(super) fn new(crowd: Crowd, seed: u64) -> Self {
        Self { crowd, seed, dice: Dice::new(seed), answered: vec![0; crowd.workers as usize] }
    }

    pub(super) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    pub(super) fn is_saboteur(&self, worker: u32) -> bool {
        worker < self.crowd.saboteurs()
    }

    /// What a worker says of a task, which `others` have as well: each with what it said, if it has.
    pub(super) fn says(&mut self, worker: u32, task: u32, others: &[(u32, Option<u32>)]) -> u32 {
        let answered = &mut self.answered[worker as usize];
        *answered += 1;
        let answered = *answered;
        if !self.is_saboteur(worker) {
            return RIGHT;
        }
        let together = happens_to(self.seed, task, self.crowd.lies_ppm);
        match self.crowd.ways {
            Ways::Alone => {
                let lies = self.dice.happens(self.crowd.lies_ppm);
                if lies { COMMON_LIE + 1 + worker } else { RIGHT }
            }
            Ways::Together => lie_if(together),
            Ways::Milking(honest) => lie_if(together && answered > honest),
            Ways::Talking => self.after_a_talk(worker, together, others),
        }
    }

    fn after_a_talk(&self, worker: u32, together: bool, others: &[(u32, Option<u32>)]) -> u32 {
        let mut accomplices = others
            .iter()
            .filter(|(other, _)| *other != worker && self.is_saboteur(*other))
            .peekable();
        if accomplices.peek().is_none() {
            return lie_if(together);
        }
        let lied = accomplices.any(|(_, said)| said.is_some_and(|said| said != RIGHT));
        lie_if(lied)
    }
}

fn lie_if(lies: bool) -> u32 {
    if lies { COMMON_LIE } else { RIGHT }
}
