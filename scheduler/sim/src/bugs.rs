//! That the simulator can fail: each mistake is made on purpose and looked for.

use crate::run::{self, Order};
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
