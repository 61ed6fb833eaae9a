//! Whatever pools and their work do: never more slots than there are, never a pool forgotten, shares in the long run.

use proptest::prelude::*;
use quorate_policy::shares::{Member, Shares};

proptest! {
    #[test]
    fn there_are_never_more_slots_than_there_are(
        pools in 1..6_usize,
        steps in proptest::collection::vec((0..200_000_u64, 0..20_u16, any::<u8>(), 0..=100_u16), 1..80),
    ) {
        let (mut shares, mut now) = (Shares::default(), 0);
        for (passed, slots, work, share) in steps {
            now += passed;
            let member = |at: usize| Member { share: share / (at as u16 + 1), has_work: work >> at & 1 == 1 };
            let members: Vec<Member> = (0..pools).map(member).collect();
            let parts = shares.divide(now, slots, &members);
            let all: u32 = parts.iter().map(|part| u32::from(*part)).sum();
            prop_assert_eq!(all, u32::from(slots), "{:?}", parts);
            // Each can be given work whenever there is a slot for each.
            prop_assert!(usize::from(slots) < pools || parts.iter().all(|part| *part > 0), "{:?}", parts);
        }
    }

    /// Pools that always have work: in a day each has had its share of all slot time, to a twentieth.
    #[test]
    fn in_the_long_run_shares_are_kept(
        slots in 4..33_u16,
        first in 10..=100_u16,
        second in 10..=100_u16,
        third in 10..=100_u16,
    ) {
        let members = [first, second, third].map(|share| Member { share, has_work: true });
        let (mut shares, mut had) = (Shares::default(), [0_u64; 3]);
        for step in 0..1_440_u64 {
            let parts = shares.divide(step * 60_000, slots, &members);
            (0..3).for_each(|at| had[at] += u64::from(parts[at]));
        }
        let (all, weights) = (had.iter().sum::<u64>() as f64, f64::from(first + second + third));
        // A pool has one slot at least, which may be more than its share.
        let least = 1.0 / f64::from(slots);
        for (had, member) in had.into_iter().zip(members) {
            let (has, due) = (had as f64 / all, f64::from(member.share) / weights);
            prop_assert!(has > due - 0.05 - least && has < due.max(least) + 0.05, "{has} of {due}");
        }
    }
}
