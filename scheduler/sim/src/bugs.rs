//! That the simulator can fail: each mistake is made on purpose and looked for.

use crate::{
    dice::Dice,
    run::{self, Order},
};
use quorate_common::bug::Bug;

/// Seeds in which each mistake must be found.
pub const SEEDS_MAX: u64 = 500;

/// How a mistake was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which.
    pub bug: Bug,
    /// The seed, the law that broke, and what broke it; `None`: not found.
    pub by: Option<run::Failure>,
    /// Seeds it took.
    pub tries: u64,
}

/// Looks for a mistake from seed `from` on.
pub fn hunt(bug: Bug, from: u64, threads: usize) -> Found {
    let order = Order { from, seeds: SEEDS_MAX, threads, bug: Some(bug), first: true };
    let report = run::run(order, || true, |_| {});
    Found { bug, by: report.failures.into_iter().next(), tries: report.seeds }
}

/// So many different mistakes, drawn from a number.
pub fn draw(number: u64, count: usize) -> Vec<Bug> {
    let (mut dice, mut left) = (Dice::new(number), Bug::ALL.to_vec());
    let mut drawn = Vec::new();
    while drawn.len() < count && !left.is_empty() {
        let at = dice.range(0, left.len() as u64 - 1) as usize;
        drawn.push(left.swap_remove(at));
    }
    drawn
}
