//! How the slots of one machine are divided among several pools: by shares over time, nothing wasted on a pool that
//! has no work, and no flapping. Pure, like all of the policy: whoever asks brings the time.
//!
//! A pool counts as working from its first task until a minute after its last. Among those that work, slots follow
//! the shares; what does not divide goes to whoever is owed most, and moves on only when another is owed
//! clearly more. A pool without work keeps one slot, or it could never be given any; with fewer slots than pools
//! they take turns of ten minutes, those that work and are owed most first.

/// How long a pool without a task is still taken for one that works: a bag's last tasks are settled, the next ones
/// come, and its slots do not go and come back meanwhile.
const LINGER_MS: u64 = 60_000;
/// How much more slot time another must be owed before a slot moves: each move holds a task in memory.
const MOVE_MS: i128 = 300_000;
/// How long a pool has its turn where there are fewer slots than pools.
const TURN_MS: u64 = 600_000;
/// What a pool may be owed, or owe, at most: four hours of a slot. Who was away for a week does not come back to a
/// machine of its own.
const OWED_MAX_MS: i128 = 4 * 3_600_000;

/// The largest share: percents are fine enough.
pub const SHARE_MAX: u16 = 100;

/// A pool at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its share, against those of others; 0 gets what nobody else wants.
    pub share: u16,
    /// Whether a task of it is here.
    pub has_work: bool,
}

/// What is remembered of a pool.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Milliseconds of slots it should have had and has not, or the other way round.
    owed: i128,
    worked_ms: Option<u64>,
    has: u16,
}

/// The division, as it was last.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    now_ms: u64,
    turned_ms: Option<u64>,
    accounts: Vec<Account>,
}

impl Shares {
    /// Divides `slots` among `members`, who are the same as the last time, in the same order. `now_ms` never
    /// goes back. The parts are never more than `slots` together.
    pub fn divide(&mut self, now_ms: u64, slots: u16, members: &[Member]) -> Vec<u16> {
        self.accounts.resize(members.len(), Account::default());
        self.count(now_ms.saturating_sub(self.now_ms), members);
        self.now_ms = now_ms;
        for (account, member) in self.accounts.iter_mut().zip(members) {
            if member.has_work {
                account.worked_ms = Some(now_ms);
            }
        }
        let parts = match usize::from(slots) >= members.len() {
            true => self.by_share(slots, members),
            false => self.by_turns(usize::from(slots), members),
        };
        for (account, part) in self.accounts.iter_mut().zip(&parts) {
            account.has = *part;
        }
        parts
    }

    /// Until a division may come out differently, with nobody's work changing.
    pub fn look_again_ms(&self) -> u64 {
        LINGER_MS.min(TURN_MS)
    }

    /// What was due since the last time, and what was had. Who does not work is owed nothing.
    fn count(&mut self, passed_ms: u64, members: &[Member]) {
        let works: Vec<bool> = (0..members.len()).map(|at| self.works(at)).collect();
        let had: u32 = self.of(&works, |account, _| u32::from(account.has), members);
        let all: u32 = self.of(&works, |_, member| weight(member), members);
        let passed = i128::from(passed_ms);
        for ((account, member), works) in self.accounts.iter_mut().zip(members).zip(works) {
            if !works {
                account.owed = 0;
                continue;
            }
            let due =
                passed * i128::from(had) * i128::from(weight(member)) / i128::from(all.max(1));
            let owed = account.owed + due - passed * i128::from(account.has);
            account.owed = owed.clamp(-OWED_MAX_MS, OWED_MAX_MS);
        }
    }

    fn of(
        &self,
        works: &[bool],
        what: impl Fn(&Account, &Member) -> u32,
        members: &[Member],
    ) -> u32 {
        let working = self.accounts.iter().zip(members).zip(works).filter(|(_, works)| **works);
        working.map(|((account, member), _)| what(account, member)).sum()
    }

    fn works(&self, at: usize) -> bool {
        let worked = self.accounts[at].worked_ms;
        worked.is_some_and(|worked| self.now_ms.saturating_sub(worked) < LINGER_MS)
    }

    /// Everybody has one slot at least; the rest goes to those that work, by share.
    fn by_share(&mut self, slots: u16, members: &[Member]) -> Vec<u16> {
        self.turned_ms = None;
        let works: Vec<bool> = (0..members.len()).map(|at| self.works(at)).collect();
        let nobody = !works.contains(&true);
        let counts = |at: usize| nobody || works[at];
        let all: u32 =
            (0..members.len()).filter(|at| counts(*at)).map(|at| weight(&members[at])).sum();
        let idle = (0..members.len()).filter(|at| !counts(*at)).count();
        let rest = u32::from(slots) - u32::try_from(idle).unwrap_or(0);
        let mut parts: Vec<u16> = (0..members.len())
            .map(|at| {
                let part = rest * weight(&members[at]) / all.max(1);
                let part = u16::try_from(part).unwrap_or(slots);
                if counts(at) { part.max(1) } else { 1 }
            })
            .collect();
        self.even_out(slots, &mut parts, &counts);
        parts
    }

    /// The smallest part is one, so there may be too much; rounding leaves some over.
    fn even_out(&self, slots: u16, parts: &mut [u16], counts: &impl Fn(usize) -> bool) {
        while parts.iter().sum::<u16>() > slots {
            let largest = (0..parts.len()).max_by_key(|at| (parts[*at], usize::MAX - at));
            let Some(largest) = largest else { return };
            parts[largest] -= 1;
        }
        let mut bonus = vec![0_u16; parts.len()];
        while parts.iter().sum::<u16>() < slots {
            let most = (0..parts.len()).filter(|at| counts(*at)).max_by_key(|at| {
                let account = &self.accounts[*at];
                // Who has it keeps it, unless another is owed clearly more.
                let keeps = if account.has > parts[*at] { MOVE_MS } else { 0 };
                let given = i128::from(bonus[*at]) * 2 * OWED_MAX_MS;
                (account.owed + keeps - given, usize::MAX - at)
            });
            let Some(most) = most else { return };
            parts[most] += 1;
            bonus[most] += 1;
        }
    }

    /// Fewer slots than pools: whoever is owed most, for a while each.
    fn by_turns(&mut self, slots: usize, members: &[Member]) -> Vec<u16> {
        let has = |account: &Account| account.has > 0;
        let since = self.turned_ms.map_or(u64::MAX, |turned| self.now_ms.saturating_sub(turned));
        let as_many = self.accounts.iter().filter(|account| has(account)).count() == slots;
        let asleep = (0..members.len()).any(|at| has(&self.accounts[at]) && !self.works(at));
        let awake = (0..members.len()).any(|at| !has(&self.accounts[at]) && self.works(at));
        let is_over = since >= TURN_MS || (asleep && awake && since >= LINGER_MS);
        if as_many && !is_over {
            return self.accounts.iter().map(|account| u16::from(has(account))).collect();
        }
        self.turned_ms = Some(self.now_ms);
        let mut order: Vec<usize> = (0..members.len()).collect();
        // Who had the last turn comes last among equals, so that an idle pool is asked once in a while, too.
        order.sort_by_key(|at| {
            let account = &self.accounts[*at];
            (!self.works(*at), std::cmp::Reverse(account.owed), has(account), *at)
        });
        let mut parts = vec![0; members.len()];
        order.into_iter().take(slots).for_each(|at| parts[at] = 1);
        parts
    }
}

/// A share of zero is a hundredth of a share of one: it counts only where nobody else does.
fn weight(member: &Member) -> u32 {
    if member.share == 0 { 1 } else { u32::from(member.share.min(SHARE_MAX)) * 100 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: fn(u16) -> Member = |share| Member { share, has_work: true };
    const IDLE: fn(u16) -> Member = |share| Member { share, has_work: false };

    #[test]
    fn slots_follow_shares_and_idle_ones_are_lent() {
        let mut shares = Shares::default();
        assert_eq!(shares.divide(0, 8, &[IDLE(50), IDLE(50)]), [4, 4]);
        assert_eq!(shares.divide(1_000, 8, &[BUSY(50), IDLE(50)]), [7, 1]);
        assert_eq!(shares.divide(2_000, 8, &[BUSY(50), BUSY(50)]), [4, 4]);
        assert_eq!(shares.divide(3_000, 8, &[BUSY(75), BUSY(25)]), [6, 2]);
        // A pause between two bags moves nothing; a minute does.
        assert_eq!(shares.divide(60_000, 8, &[BUSY(75), IDLE(25)]), [6, 2]);
        assert_eq!(shares.divide(64_000, 8, &[BUSY(75), IDLE(25)]), [7, 1]);
    }

    #[test]
    fn what_does_not_divide_moves_seldom_and_evens_out() {
        let mut shares = Shares::default();
        let (mut had, mut moves, mut before) = ([0_u64; 2], 0, Vec::new());
        for second in 0..7_200 {
            let parts = shares.divide(second * 1_000, 3, &[BUSY(50), BUSY(50)]);
            moves += usize::from(!before.is_empty() && before != parts);
            (0..2).for_each(|at| had[at] += u64::from(parts[at]));
            before = parts;
        }
        assert!(had[0].abs_diff(had[1]) < 700, "{had:?} seconds of slots");
        assert!((5..40).contains(&moves), "{moves} moves in two hours");
    }

    #[test]
    fn one_slot_is_shared_by_turns() {
        let mut shares = Shares::default();
        let (mut had, mut moves, mut before) = ([0_u64; 3], 0, Vec::new());
        for second in 0..86_400 {
            let parts = shares.divide(second * 1_000, 1, &[BUSY(60), BUSY(30), BUSY(10)]);
            moves += usize::from(before != parts);
            (0..3).for_each(|at| had[at] += u64::from(parts[at]));
            before = parts;
        }
        let percent = had.map(|seconds| seconds * 100 / 86_400);
        assert!(percent[0].abs_diff(60) < 4 && percent[1].abs_diff(30) < 4, "{percent:?}");
        assert!(moves <= 145, "{moves} moves in a day of 144 turns");
        // Nobody has work: each is asked in turn. One has: it keeps the slot for its turn.
        let mut shares = Shares::default();
        let asked: std::collections::BTreeSet<usize> = (0..6)
            .map(|turn| {
                let parts = shares.divide(turn * TURN_MS, 1, &[IDLE(60), IDLE(30)]);
                parts.iter().position(|part| *part == 1).unwrap_or(9)
            })
            .collect();
        assert_eq!(asked.len(), 2);
    }

    #[test]
    fn a_share_of_nothing_gets_what_nobody_wants() {
        let mut shares = Shares::default();
        assert_eq!(shares.divide(0, 8, &[BUSY(100), BUSY(0)]), [7, 1]);
        assert_eq!(shares.divide(LINGER_MS, 8, &[IDLE(100), BUSY(0)]), [1, 7]);
    }
}
