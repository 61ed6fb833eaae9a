//! How far a worker is believed, and what votes of such workers are worth together: Sarmenta's
//! credibility in integers. Money knows nothing of it: PoCo alone pays, and the contract repeats that.
//! Who is asked is `canary`'s business, and what is held until its backers have earned more `holding`'s.
//!
//! # Source
//! Sarmenta, "Sabotage-tolerance mechanisms for volunteer computing systems" (FGCS 2002).

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// Certainty: chances here are whole billionths.
pub const ONE: u64 = 1_000_000_000;
/// One passed check with nobody who could have told the worker what others would say.
pub const CHECK: u64 = 1_000;
/// A million, as settings count chances.
const MILLION: u64 = 1_000_000;
/// Euler's number, in millionths: the worst lying rate against `k` checks is `1 / (k + 1)`.
const E_PPM: u128 = 2_718_282;
/// The chance at which somebody says as little as a coin.
const COIN: u64 = ONE / 2;
/// No group is believed further than a trillion to one: no later product overflows, and no promise
/// that a pool could make needs more.
const ODDS_MAX: u128 = ONE as u128 * 1_000_000_000_000;
/// Nor a single worker further than a million to one.
const ODDS_OF_ONE_MAX: u128 = ONE as u128 * 1_000_000;
/// Lots whose checks are remembered: each counts half of the next, so an older one counts nothing.
const LOTS_KEPT: usize = 8;
/// The rest of a group may be wrong with at most this chance, one in 16, to be a check of somebody.
const CHECK_DOUBT_MAX: u64 = ONE / 16;

/// What a pool promises of its settled results.
///
/// It can ask for more votes than a deal's trust, and for time; it cannot refuse what the votes decide:
/// the contract takes "no quorum" for false then, and "expired" too once a voter has the receipt for
/// its bytes. So what cannot be kept to the promise, by the end of the deal or with all its replicas,
/// ends as PoCo has it, and is counted ([`TaskSettled::kept`]).
///
/// [`TaskSettled::kept`]: crate::effect::TaskSettled::kept
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Wrong results among a million settled ones, at most; from 1 to 500,000.
    pub error_ppm: u32,
    /// Saboteurs among a million workers, at most: the assumption under which it holds; from 1 to
    /// 499,999, for no voting helps against a majority.
    pub faulty_ppm: u32,
    /// Answers of one worker over which its checks are spread, at least 1. Fewer: results are final
    /// sooner and cost more.
    pub lot: u32,
    /// Replicas among a million of a worker's answers that are checked whatever it has passed.
    pub audit_ppm: u32,
    /// Seconds a result waits for its backers to earn credibility before it is checked itself.
    pub hold_s: u64,
}

impl Promise {
    /// One wrong result in a hundred, with up to one worker in five a saboteur.
    pub const ONE_PERCENT: Self = Self {
        error_ppm: 10_000,
        faulty_ppm: 200_000,
        // Ten checks for a newcomer and five for a known worker, in 25 and 50 answers.
        lot: 50,
        // Where one check in a lot would do, chance must not let a whole lot pass without any.
        audit_ppm: 20_000,
        // About a lot of tasks of a minute each.
        hold_s: 3_600,
    };

    /// Thousandths of a check that leave no more doubt in a worker than the promise allows, which was
    /// caught `caught` times.
    pub fn needed(&self, caught: u32) -> u64 {
        let (part, whole) = self.suspicion(caught);
        let dividend = part * u128::from(CHECK * MILLION * MILLION);
        let divisor = whole * E_PPM * u128::from(self.error_ppm.max(1));
        u64::try_from(dividend.div_ceil(divisor)).unwrap_or(u64::MAX)
    }

    /// The chance that an answer of a worker is wrong, `passed` thousandths of checks after it was
    /// caught `caught` times.
    ///
    /// ```text
    /// no check passed     f                           caught before: 1/2
    /// k passed            f / ((1 - f) k e)           caught c times: 2^(c-1) / (k e)
    /// ```
    ///
    /// Whoever is caught is out until it has passed anew, hence the form with blacklisting. That it
    /// was a saboteur is then as likely as not, and likelier each time.
    pub fn doubt(&self, passed: u64, caught: u32) -> u64 {
        let before = if caught == 0 { scale(self.faulty_ppm) } else { COIN };
        if passed == 0 {
            return before;
        }
        let (part, whole) = self.suspicion(caught);
        let dividend = part * u128::from(CHECK * MILLION) * u128::from(ONE);
        let doubt = dividend.div_ceil(whole * E_PPM * u128::from(passed));
        u64::try_from(doubt).unwrap_or(u64::MAX).min(before)
    }

    /// `f / (1 - f)`, the odds that a worker nobody has checked is a saboteur.
    fn suspicion(&self, caught: u32) -> (u128, u128) {
        let faulty = u64::from(self.faulty_ppm).min(MILLION - 1);
        match caught {
            0 => (faulty.into(), (MILLION - faulty).into()),
            // Beyond 2^20 nobody earns anything any more.
            _ => (1 << (caught - 1).min(20), 1),
        }
    }

    /// What one check counts, in thousandths, with `others` who vote on the task too: the chance
    /// `(1 - f)^others` that none of them is an accomplice, who tells the worker that it is watched
    /// or says the same.
    pub fn check(&self, others: usize) -> u64 {
        let honest = MILLION - u64::from(self.faulty_ppm).min(MILLION);
        (0..others).fold(CHECK * MILLION, |chance, _| chance / MILLION * honest) / MILLION
    }

    /// Whether a chance of being wrong is within the promise.
    pub fn keeps(&self, doubt: u64) -> bool {
        doubt <= scale(self.error_ppm)
    }
}

/// Whether who is wrong with this chance can check somebody.
pub fn can_check(doubt: u64) -> bool {
    doubt <= CHECK_DOUBT_MAX
}

fn scale(ppm: u32) -> u64 {
    u64::from(ppm) * (ONE / MILLION)
}

/// What a worker has earned, beside its score: nothing that is paid depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The lot its answers belong to now.
    pub lot: u32,
    /// Answers in it.
    pub taken: u32,
    /// Thousandths of checks passed in each of the last lots, this one last.
    pub passed: Vec<u64>,
    /// How often it was caught.
    pub caught: u32,
    /// Whether it was caught and has not passed enough since: it votes only beside others.
    pub barred: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Self { lot: 0, taken: 0, passed: vec![0], caught: 0, barred: false }
    }
}

impl Standing {
    /// Thousandths of checks that count for an answer in `lot`: those passed in it, and half of what
    /// counted in the lot before, but never more than half of what is `needed` from there. So at least
    /// half of the evidence for an answer was drawn among its neighbours, whatever the worker did
    /// before: a name that was earned long ago does not pay for lies.
    pub fn counts(&self, lot: u32, needed: u64) -> u64 {
        let newest = self.lot.saturating_sub(lot) as usize;
        let Some(kept) = self.passed.len().checked_sub(newest) else { return 0 };
        self.passed[..kept].iter().fold(0, |before, passed| passed + (before / 2).min(needed / 2))
    }

    /// It answered.
    pub fn answer(&mut self) {
        self.taken += 1;
    }

    /// It passed `check` thousandths of a check in `lot`.
    pub fn pass(&mut self, lot: u32, check: u64) {
        let newest = self.lot.saturating_sub(lot) as usize;
        let place = self.passed.len().checked_sub(newest + 1);
        if let Some(passed) = place.and_then(|place| self.passed.get_mut(place)) {
            *passed = passed.saturating_add(check);
        }
    }

    /// Its lot is believed: what it answers from now on belongs to the next.
    pub fn release(&mut self) {
        (self.lot, self.taken, self.barred) = (self.lot + 1, 0, false);
        self.passed.push(0);
        if self.passed.len() > LOTS_KEPT {
            self.passed.remove(0);
        }
    }

    /// It was wrong, or bound itself to an answer and kept it back: all it passed counts for nothing.
    pub fn catch(&mut self) {
        *self = Self {
            lot: self.lot + 1,
            caught: self.caught.saturating_add(1),
            barred: true,
            ..Self::default()
        };
    }
}

/// Answers of one task with the odds that all who gave them are right.
///
/// ```text
/// odds(group)         = product of (1 - doubt) / doubt over its members
/// credibility(group)  = odds / (1 + sum of the odds of all groups)
/// ```
///
/// This is Bayes over "group a is right" for each a, and "all are wrong"; the same as
/// `P(a good) · prod P(others bad) / (prod P(bad) + sum over j of P(j good) · prod P(others bad))`,
/// divided by `prod P(bad)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Belief {
    groups: Vec<(B256, u128)>,
}

impl Belief {
    /// Somebody says `digest` and is wrong with this chance.
    pub fn add(&mut self, digest: B256, doubt: u64) {
        let odds = odds(doubt);
        match self.groups.iter_mut().find(|(known, _)| *known == digest) {
            Some((_, group)) => *group = (*group * odds / u128::from(ONE)).min(ODDS_MAX),
            None => self.groups.push((digest, odds)),
        }
    }

    /// The chance that `digest` is wrong; certain where nobody says it.
    pub fn doubt(&self, digest: B256) -> u64 {
        let said = self.groups.iter().find(|(known, _)| *known == digest);
        let Some((_, group)) = said else { return ONE };
        let total = self.groups.iter().fold(u128::from(ONE), |sum, (_, odds)| sum + odds);
        // At most fifteen groups of 10^21, times 10^9.
        let doubt = ((total - group) * u128::from(ONE)).div_ceil(total);
        u64::try_from(doubt).unwrap_or(ONE)
    }

    /// The chance that `digest` would be wrong if all of `hopes` joined it.
    pub fn hoped(&self, digest: B256, hopes: impl Iterator<Item = u64>) -> u64 {
        let mut hoped = self.clone();
        hopes.for_each(|doubt| hoped.add(digest, doubt));
        hoped.doubt(digest)
    }

    /// How many different answers there are.
    pub fn answers(&self) -> usize {
        self.groups.len()
    }
}

/// `(1 - doubt) / doubt`, in billionths.
fn odds(doubt: u64) -> u128 {
    let (doubt, one) = (u128::from(doubt.clamp(1, ONE)), u128::from(ONE));
    ((one - doubt) * one / doubt).min(ODDS_OF_ONE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROMISE: Promise = Promise::ONE_PERCENT;

    fn digest(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    fn belief(groups: &[&[u64]]) -> Belief {
        let mut belief = Belief::default();
        for (group, answer) in groups.iter().zip(1..) {
            group.iter().for_each(|doubt| belief.add(digest(answer), *doubt));
        }
        belief
    }

    #[test]
    fn the_check_value_of_the_rules() {
        let belief = belief(&[&[33_000_000, 2_000_000], &[67_000_000]]);
        let doubt = belief.doubt(digest(1));
        assert_eq!((ONE - doubt + 5_000) / 10_000, 99_898);
        assert!(belief.doubt(digest(2)) > ONE - 1_100_000);
        assert_eq!(belief.doubt(digest(3)), ONE);
    }

    #[test]
    fn ten_checks_make_one_answer_credible() {
        assert_eq!(PROMISE.needed(0), 9_197);
        assert_eq!(PROMISE.doubt(0, 0), 200_000_000);
        assert!(!PROMISE.keeps(PROMISE.doubt(9 * CHECK, 0)));
        assert!(PROMISE.keeps(PROMISE.doubt(10 * CHECK, 0)));
        assert_eq!(PROMISE.doubt(10 * CHECK, 0) / 1_000, 9_196, "0.2 / (0.8 · 10 · e)");
        assert_eq!(PROMISE.doubt(100, 0), 200_000_000, "never less than before any check");
    }

    #[test]
    fn newcomers_that_agree() {
        let newcomers = |n| belief(&[&vec![200_000_000; n]]).doubt(digest(1));
        assert!(!PROMISE.keeps(newcomers(3)) && PROMISE.keeps(newcomers(4)));
        assert_eq!([2, 3, 4].map(|n| newcomers(n) / 100_000), [588, 153, 38]);
        assert!(can_check(newcomers(2)) && !can_check(newcomers(1)));
    }

    #[test]
    fn who_was_caught_begins_below_a_newcomer() {
        let mut standing = Standing::default();
        standing.pass(0, 10 * CHECK);
        standing.catch();
        assert!(standing.barred);
        assert_eq!((standing.lot, standing.counts(1, 10 * CHECK)), (1, 0));
        assert_eq!(standing.counts(0, 10 * CHECK), 0, "what it said before counts no more either");
        assert_eq!(PROMISE.doubt(0, 1), COIN);
        assert_eq!(PROMISE.needed(1), 36_788);
        assert_eq!(PROMISE.needed(2), 2 * 36_788);
        standing.release();
        assert!(!standing.barred && standing.caught == 1);
    }

    #[test]
    fn a_coin_adds_nothing_to_a_group() {
        let alone = belief(&[&[10_000_000]]).doubt(digest(1));
        let beside = belief(&[&[10_000_000, COIN]]).doubt(digest(1));
        assert_eq!(alone, beside);
    }

    #[test]
    fn half_of_the_evidence_is_of_the_lot_itself() {
        let needed = PROMISE.needed(0);
        let mut standing = Standing::default();
        standing.pass(0, 10 * needed);
        assert_eq!(standing.counts(0, needed), 10 * needed);
        standing.release();
        assert_eq!(standing.counts(1, needed), needed / 2);
        standing.pass(1, needed / 2 + 1);
        assert!(standing.counts(1, needed) >= needed);
        standing.release();
        assert_eq!(standing.counts(2, needed), needed / 2, "a half of what counted before");
        standing.release();
        assert_eq!(standing.counts(3, needed), needed / 4, "and a half of that: it decays");
    }

    #[test]
    fn a_check_counts_less_the_more_accomplices_there_may_be() {
        assert_eq!([0, 1, 3].map(|others| PROMISE.check(others)), [1_000, 800, 512]);
    }

    #[test]
    fn old_lots_are_forgotten() {
        let mut standing = Standing::default();
        standing.pass(0, CHECK);
        (0..20).for_each(|_| standing.release());
        assert_eq!(standing.passed.len(), LOTS_KEPT);
        assert_eq!(standing.counts(0, CHECK), 0);
        standing.pass(0, CHECK);
        assert_eq!(standing.passed.iter().sum::<u64>(), 0);
    }

    proptest! {
        #[test]
        fn no_numbers_overflow(
            votes in proptest::collection::vec((1_u8..5, 0..=ONE), 0..16),
            (error_ppm, faulty_ppm) in (1_u32..=500_000, 1_u32..500_000),
            (passed, caught) in (any::<u64>(), any::<u32>()),
        ) {
            let promise = Promise { error_ppm, faulty_ppm, ..PROMISE };
            let mut belief = Belief::default();
            votes.iter().for_each(|(answer, doubt)| belief.add(digest(*answer), *doubt));
            for answer in 1..5 {
                prop_assert!(belief.doubt(digest(answer)) <= ONE);
            }
            let doubt = promise.doubt(passed, caught);
            prop_assert!(doubt <= COIN);
            prop_assert!(passed < promise.needed(caught) || promise.keeps(doubt));
        }

        #[test]
        fn enough_checks_keep_the_promise(
            (error_ppm, faulty_ppm) in (1_u32..=500_000, 1_u32..500_000),
            caught in 0_u32..30,
        ) {
            let promise = Promise { error_ppm, faulty_ppm, ..PROMISE };
            prop_assert!(promise.keeps(promise.doubt(promise.needed(caught).max(1), caught)));
        }
    }
}
