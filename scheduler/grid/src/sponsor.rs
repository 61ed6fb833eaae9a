//! What a pool pays for its workers in a day, and what it refuses: so that a volunteer needs no coins to begin, and
//! no stranger can empty the account that commits batches. Pure: whoever asks brings the time.
//!
//! A day is the chain's, from midnight to midnight in UTC. What was granted counts from then on, whatever becomes
//! of it: a call that fails costs its gas too.

use quorate_common::{Address, api::Help, ids::WorkerIdx};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const DAY_S: u64 = 86_400;

/// What the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wei in a day, for all.
    pub budget_wei: u128,
    /// Transactions in a day, for all: each takes the turn of the account that commits batches.
    pub acts: u32,
    /// Transactions in a day for one owner.
    pub owner: u32,
    /// Newcomers in a day of one network; it may have as many times an owner's transactions.
    pub network: u32,
    /// First stakes in a day.
    pub advances: u32,
}

/// Something that would be paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What it is.
    pub what: What,
    /// Whom it helps.
    pub owner: Address,
    /// Where the question came from; `None`: from this machine or a private network, which count as one.
    pub network: Option<u64>,
    /// Wei it may cost at most.
    pub cost_wei: u128,
    /// Transactions it takes.
    pub acts: u32,
}

/// Kinds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A stranger becomes a worker.
    Register,
    /// A worker's owner decides something, or is paid.
    Carry,
    /// Coins or tokens for a worker's owner.
    Help(WorkerIdx, Help),
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The day's money is spent, or would be.
    Budget {
        /// Wei left.
        left_wei: u128,
        /// Wei it may cost.
        cost_wei: u128,
    },
    /// The day's transactions are used up.
    Acts(u32),
    /// This owner's are.
    Owner(u32),
    /// This network has had its newcomers.
    Network(u32),
    /// The day's first stakes are given.
    Advances(u32),
    /// This worker has had this before.
    Again(Help),
}

impl Refusal {
    /// For people; the time until which it holds is said beside it.
    pub fn words(&self) -> String {
        match self {
            Self::Budget { left_wei, cost_wei } => format!(
                "today's budget for newcomers' gas is spent: {left_wei} wei are left, this may cost {cost_wei}"
            ),
            Self::Acts(most) => format!("today's {most} transactions for workers are used up"),
            Self::Owner(most) => format!("this owner has had its {most} transactions of today"),
            Self::Network(most) => {
                format!("your network has had what {most} newcomers may have in a day")
            }
            Self::Advances(most) => format!("today's {most} first stakes are given"),
            Self::Again(Help::Start) => "this worker was given its first stake before".into(),
            Self::Again(Help::Exit) => {
                "this worker's owner was given gas for its exit before".into()
            }
            Self::Again(Help::PassOn) => "this worker's owner was given gas before".into(),
        }
    }

    /// Whether tomorrow is another day.
    pub fn passes(&self) -> bool {
        !matches!(self, Self::Again(_))
    }
}

/// What was granted, today and ever. Kept on disk by whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    day: u64,
    spent_wei: u128,
    acts: u32,
    advances: u32,
    owners: BTreeMap<Address, u32>,
    /// Newcomers and transactions.
    networks: BTreeMap<u64, (u32, u32)>,
    /// For ever: nobody begins twice, nobody leaves twice.
    helped: BTreeSet<(WorkerIdx, Help)>,
}

/// Something that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what it did not cost goes back"]
pub struct Grant {
    day: u64,
    reserved_wei: u128,
}

impl Ledger {
    /// Grants it, and counts its highest cost as spent.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is counted then.
    pub fn ask(&mut self, limits: &Limits, unix_s: u64, ask: &Ask) -> Result<Grant, Refusal> {
        self.turn(unix_s);
        self.judge(limits, ask)?;
        self.spent_wei += ask.cost_wei;
        self.acts += ask.acts;
        *self.owners.entry(ask.owner).or_default() += ask.acts;
        let (newcomers, acts) = self.networks.entry(ask.network.unwrap_or(0)).or_default();
        *acts += ask.acts;
        match ask.what {
            What::Register => *newcomers += 1,
            What::Help(worker, help) => {
                self.advances += u32::from(help == Help::Start);
                self.helped.insert((worker, help));
            }
            What::Carry => {}
        }
        Ok(Grant { day: self.day, reserved_wei: ask.cost_wei })
    }

    /// It has cost this: the rest can be spent again, if it is still the same day.
    pub fn settle(&mut self, grant: Grant, spent_wei: u128) {
        if grant.day == self.day {
            self.spent_wei -= grant.reserved_wei.saturating_sub(spent_wei);
        }
    }

    /// Wei that are left today.
    pub fn left_wei(&self, limits: &Limits, unix_s: u64) -> u128 {
        let spent = if self.day == unix_s / DAY_S { self.spent_wei } else { 0 };
        limits.budget_wei.saturating_sub(spent)
    }

    /// When a new day begins.
    pub fn next_day_s(unix_s: u64) -> u64 {
        (unix_s / DAY_S + 1) * DAY_S
    }

    /// Days are not counted back: a clock that is set back wins nothing.
    fn turn(&mut self, unix_s: u64) {
        let day = unix_s / DAY_S;
        if day > self.day {
            let helped = std::mem::take(&mut self.helped);
            *self = Self { day, helped, ..Self::default() };
        }
    }

    fn judge(&self, limits: &Limits, ask: &Ask) -> Result<(), Refusal> {
        let left_wei = limits.budget_wei.saturating_sub(self.spent_wei);
        let of_owner = self.owners.get(&ask.owner).copied().unwrap_or(0);
        let of_network = self.networks.get(&ask.network.unwrap_or(0)).copied();
        let (newcomers, network_acts) = of_network.unwrap_or_default();
        if let What::Help(worker, help) = ask.what {
            if help != Help::PassOn && self.helped.contains(&(worker, help)) {
                return Err(Refusal::Again(help));
            }
            if help == Help::Start && self.advances >= limits.advances {
                return Err(Refusal::Advances(limits.advances));
            }
        }
        let network_most = limits.network.saturating_mul(limits.owner);
        let is_full = ask.what == What::Register && newcomers >= limits.network;
        if is_full || network_acts.saturating_add(ask.acts) > network_most {
            return Err(Refusal::Network(limits.network));
        }
        if of_owner.saturating_add(ask.acts) > limits.owner {
            return Err(Refusal::Owner(limits.owner));
        }
        if self.acts.saturating_add(ask.acts) > limits.acts {
            return Err(Refusal::Acts(limits.acts));
        }
        if ask.cost_wei > left_wei {
            return Err(Refusal::Budget { left_wei, cost_wei: ask.cost_wei });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits =
        Limits { budget_wei: 1_000, acts: 20, owner: 4, network: 3, advances: 2 };

    fn owner(n: u8) -> Address {
        Address::repeat_byte(n)
    }

    fn newcomer(n: u8, network: u64) -> Ask {
        let (owner, network) = (owner(n), Some(network));
        Ask { what: What::Register, owner, network, cost_wei: 10, acts: 1 }
    }

    #[test]
    fn a_flood_from_one_network_stops_at_its_limit_and_others_are_served() {
        let mut ledger = Ledger::default();
        let took = (0..50).filter(|n| ledger.ask(&LIMITS, 100, &newcomer(*n, 7)).is_ok()).count();
        assert_eq!(took, 3);
        assert_eq!(ledger.ask(&LIMITS, 100, &newcomer(60, 7)), Err(Refusal::Network(3)));
        assert!(ledger.ask(&LIMITS, 100, &newcomer(60, 8)).is_ok());
        assert!(ledger.ask(&LIMITS, 100 + DAY_S, &newcomer(61, 7)).is_ok(), "a new day");
    }

    #[test]
    fn a_flood_from_everywhere_stops_at_the_budget_and_what_was_not_spent_comes_back() {
        let mut ledger = Ledger::default();
        let limits = Limits { budget_wei: 35, ..LIMITS };
        let grants: Vec<Grant> =
            (0..9_u8).filter_map(|n| ledger.ask(&limits, 5, &newcomer(n, n.into())).ok()).collect();
        assert_eq!((grants.len(), ledger.left_wei(&limits, 5)), (3, 5));
        let refused = ledger.ask(&limits, 5, &newcomer(9, 9));
        assert_eq!(refused, Err(Refusal::Budget { left_wei: 5, cost_wei: 10 }));
        ledger.settle(grants[0], 4);
        assert_eq!(ledger.left_wei(&limits, 5), 11);
        assert!(ledger.ask(&limits, 5, &newcomer(9, 9)).is_ok());
        // What is settled tomorrow gives nothing back to tomorrow.
        assert!(ledger.ask(&limits, 5 + DAY_S, &newcomer(9, 9)).is_ok());
        ledger.settle(grants[1], 0);
        assert_eq!(ledger.left_wei(&limits, 5 + DAY_S), 25);
    }

    #[test]
    fn nobody_begins_twice_nor_on_another_day() {
        let mut ledger = Ledger::default();
        let start = |n: u32| Ask {
            what: What::Help(WorkerIdx(n), Help::Start),
            owner: owner(n as u8),
            network: None,
            cost_wei: 10,
            acts: 2,
        };
        assert!(ledger.ask(&LIMITS, 0, &start(1)).is_ok());
        assert_eq!(ledger.ask(&LIMITS, 0, &start(1)), Err(Refusal::Again(Help::Start)));
        assert!(ledger.ask(&LIMITS, 0, &start(2)).is_ok());
        assert_eq!(ledger.ask(&LIMITS, 0, &start(3)), Err(Refusal::Advances(2)));
        assert!(ledger.ask(&LIMITS, DAY_S, &start(3)).is_ok());
        assert_eq!(ledger.ask(&LIMITS, DAY_S, &start(1)), Err(Refusal::Again(Help::Start)));
        assert_eq!(ledger.ask(&LIMITS, 0, &start(1)), Err(Refusal::Again(Help::Start)));
        assert!(!Refusal::Again(Help::Start).passes() && Refusal::Owner(1).passes());
    }

    proptest! {
        /// Whoever asks, however often, whatever it costs in the end: no limit is ever passed on any day.
        #[test]
        fn no_limit_is_passed(
            asks in proptest::collection::vec((0..6_u8, 0..4_u64, 0..80_u128, 0..3_u8, 0..400_000_u64), 1..200)
        ) {
            let mut ledger = Ledger::default();
            let (mut day, mut spent, mut acts, mut owners) = (0, 0, 0, BTreeMap::<u8, u32>::new());
            let mut now = 0;
            for (who, network, cost_wei, kind, wait) in asks {
                now += wait / 8;
                let what = match kind {
                    0 => What::Register,
                    1 => What::Carry,
                    _ => What::Help(WorkerIdx(who.into()), Help::PassOn),
                };
                let ask = Ask { what, owner: owner(who), network: Some(network), cost_wei, acts: 1 };
                let granted = ledger.ask(&LIMITS, now, &ask);
                if now / DAY_S > day {
                    (day, spent, acts) = (now / DAY_S, 0, 0);
                    owners.clear();
                }
                if let Ok(grant) = granted {
                    let cost = cost_wei / 2;
                    ledger.settle(grant, cost);
                    (spent, acts) = (spent + cost, acts + 1);
                    *owners.entry(who).or_default() += 1;
                }
                prop_assert!(spent <= LIMITS.budget_wei && acts <= LIMITS.acts);
                prop_assert!(owners.values().all(|count| *count <= LIMITS.owner));
                prop_assert_eq!(ledger.left_wei(&LIMITS, now), LIMITS.budget_wei - spent);
            }
        }
    }
}
