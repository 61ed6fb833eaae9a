//! The arithmetic of trust against its source: recorded votes of iExec's contract, and the closed
//! form of its condition.

use alloy_primitives::{B256, U256};
use proptest::prelude::*;
use quorate_grid::poco::{Ballot, Outcome, Tally, Terms, decided, judge, weight};

fn digest(vote: u8) -> B256 {
    B256::repeat_byte(vote)
}

#[test]
fn the_example_of_the_rules_step_by_step() {
    let terms = Terms { unit_price: 0, royalty: 0, stake_ratio: 0, scheduler_ratio: 0, trust: 100 };
    let mut tally = Tally::default();
    let mut ballots = Vec::new();
    let mut printed = String::new();
    for (score, vote) in [(12, b'a'), (100, b'b'), (300, b'b')] {
        tally.add(digest(vote), weight(score));
        ballots.push(Ballot { score, digest: Some(digest(vote)) });
        let (group, total) = (tally.group(digest(vote)), tally.total());
        let winner = tally.decided(100);
        assert_eq!(winner, decided(&terms, &ballots));
        let end = winner.map_or("open", |winner| if winner == digest(b'b') { "b" } else { "a" });
        printed += &format!("{score}:{} {} {group}/{total} {end}\n", vote as char, weight(score));
    }
    assert_eq!(printed, "12:a 3 3/4 open\n100:b 32 32/36 open\n300:b 99 3168/3172 b\n");
}

/// iExec's own tests of its consensus (PoCo series, trust 0 to 4 and 15): workers without a score.
#[test]
fn newcomers_needed_for_each_trust() {
    let needed = |trust: u32| {
        let mut tally = Tally::default();
        let votes = (1..=15).find(|_| {
            tally.add(digest(1), weight(0));
            tally.decided(trust).is_some()
        });
        votes.unwrap_or(0)
    };
    let trusts = [0, 1, 2, 3, 4, 5, 10, 15, 30, 100, 1_000, 10_000, 100_000];
    assert_eq!(trusts.map(needed), [1, 1, 1, 2, 2, 3, 4, 4, 5, 7, 10, 14, 0]);
}

#[test]
fn pay_stake_and_score_to_the_unit() {
    let terms =
        Terms { unit_price: 1_000, royalty: 0, stake_ratio: 30, scheduler_ratio: 1, trust: 5 };
    let ballot = |score, vote: Option<u8>| Ballot { score, digest: vote.map(digest) };
    let ballots = [ballot(0, Some(1)), ballot(50, Some(1)), ballot(7, Some(2)), ballot(9, None)];
    let j = judge(&terms, Some(digest(1)), &ballots);
    // 1,000 and two stakes of 300; 99 % to workers of log-weights 1 and 3 (weight 2 and 15).
    assert_eq!((j.reward, j.payout, j.fees, j.slashed), (1_600, 1_584, 16, 600));
    let rows: Vec<_> = j.verdicts.iter().map(|v| (v.earned, v.slashed, v.score, v.lost)).collect();
    let expected =
        [(396, 0, 1, false), (1_188, 0, 51, false), (0, 300, 4, true), (0, 300, 6, true)];
    assert_eq!(rows, expected);
    let j = judge(&terms, None, &ballots);
    assert_eq!((j.reward, j.refunded, j.slashed, j.spent), (0, 1_300, 300, 0));
    let alone = judge(&terms, Some(digest(1)), &ballots[..1]);
    assert_eq!(alone.verdicts[0].score, 0, "who votes alone earns no score");
}

#[test]
fn outcomes_have_numbers() {
    let names = [0, 1, 2, 3, 4].map(|n| Outcome::from_number(n).map(|o| o.to_string()));
    let some = |name: &str| Some(name.to_owned());
    let expected = [None, some("consensus"), some("no quorum"), some("expired"), None];
    assert_eq!(names, expected);
}

proptest! {
    /// `G · T > (1 + sum) · (T - 1)` is `G > (T - 1) · (1 + the others)`.
    #[test]
    fn the_closed_form_says_the_same(
        votes in proptest::collection::vec((any::<u32>(), 1_u8..5), 1..15),
        trust in prop_oneof![0_u32..8, any::<u32>()],
    ) {
        let mut tally = Tally::default();
        for (score, vote) in &votes {
            tally.add(digest(*vote), weight(*score));
        }
        let t = U256::from(trust.max(1));
        for (candidate, group) in tally.groups() {
            let group = U256::from(*group);
            let others = tally.total() - group;
            let closed = group > (t - U256::from(1)) * others;
            prop_assert_eq!(tally.holds(*candidate, trust), closed);
        }
        let winners = tally.groups().iter().filter(|(d, _)| tally.holds(*d, trust)).count();
        prop_assert!(trust <= 1 || winners <= 1, "{} winners", winners);
        prop_assert_eq!(tally.decided(trust).is_some(), winners > 0);
        prop_assert!(!tally.holds(digest(99), trust), "nobody voted for it");
    }
}
