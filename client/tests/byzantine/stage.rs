//! A pool that may misbehave, its workers, and a requester.

use super::{
    anvil::{Anvil, WINDOW_S},
    chain,
    operator::{Operator, UNIT_PRICE},
    patience::until,
    requester::{Requester, lucas_lehmer},
    site::Site,
    volunteer::Volunteer,
};
use quorate_chain::{
    ChainEvent, Settlement,
    court::{Court, Filing},
    settlement::{PoolState, PoolView},
};
use quorate_common::{
    anchor::Opening,
    ids::{PoolId, WorkerIdx},
    merkle::{STATE_DEPTH, zero},
};
use std::time::Duration;

/// Tasks of an order, and of a batch: three replicas of each are more than the fifty commits of which a
/// scheduler drops one.
pub(crate) const TASKS: u32 = 20;
/// A batch for each order. Tasks whose commit was dropped wait for the time limit first.
const SETTINGS: [&str; 3] = ["batch.tasks=20", "batch.age_s=3600", "pool.scheduler_ratio=10"];
/// Workers: one more than a task asks for, so that one can be replaced, or be a friend.
const WORKERS: usize = 4;
/// Token units each has at stake.
const STAKE: u128 = 1_000_000_000_000_000_000;
/// Longest wait for an order's batch on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long after a pool's end its tasks may still be settled by force, a window and a week; then they are
/// refunded.
const ESCAPE_TIME_S: u64 = WINDOW_S + 7 * 24 * 3600;

/// Everybody but the watcher.
pub(crate) struct Stage {
    pub(crate) operator: Operator,
    pub(crate) volunteers: Vec<Volunteer>,
    pub(crate) requester: Requester,
    pub(crate) settlement: Settlement,
    pub(crate) bond: u128,
}

impl Stage {
    pub(crate) async fn set(site: &Site, anvil: &Anvil, misdeed: &str) -> Self {
        Self::with(site, anvil, misdeed, &SETTINGS).await
    }

    /// The same, with other settings of the pool.
    pub(crate) async fn with(site: &Site, anvil: &Anvil, misdeed: &str, settings: &[&str]) -> Self {
        let mut operator = Operator::init(site, anvil, "operator", settings).await;
        if !misdeed.is_empty() {
            operator.home = operator.home.clone().with("QUORATE_MISBEHAVE", misdeed);
        }
        operator.serve().await;
        let invite = operator.invite().await;
        let mut volunteers = Vec::new();
        for n in 1..=WORKERS {
            let mut volunteer = Volunteer::new(site, &format!("volunteer-{n}"));
            let terms = ["--slots", "2", "--stake", "1.0"];
            volunteer.join_with_key(&operator, anvil, &invite, &terms).await;
            volunteer.start();
            volunteers.push(volunteer);
        }
        let requester = Requester::new(site, &operator, "requester", &anvil.url).await;
        requester.run(&["wallet", "deposit", "5 QTT"]).await.expect(0);
        operator.has_workers(WORKERS).await;
        let domain = operator.api().pool().await.unwrap().domain;
        let settlement = Settlement::connect(anvil.chain().clone(), domain).await.unwrap();
        let bond = operator.money().await.bond;
        Self { operator, volunteers, requester, settlement, bond }
    }

    /// Orders a batch's worth of tasks, and waits until it is on chain.
    pub(crate) async fn order(&self, name: &str) {
        let before = self.operator.money().await.head;
        self.place(name).await;
        until("the order's batch", PATIENCE, async || {
            let pool = self.operator.money().await;
            // A watcher may be so quick that the batch is dropped already.
            let over = pool.head > before || pool.state != PoolState::Live;
            over.then_some(())
        })
        .await;
    }

    /// Orders a batch's worth of tasks.
    pub(crate) async fn place(&self, name: &str) {
        let app = lucas_lehmer().display().to_string();
        let numbers = format!("1-{TASKS}");
        let run = ["run", &app, "--array", &numbers, "--detach", "--name", name];
        // Long enough for an honest replica on a busy machine, short for one that was forgotten.
        let limits = ["--trust", "5", "--time-limit", "5s", "--deadline", "3d"];
        let run = [&run[..], &limits, &["--", "{task.index}"]].concat();
        self.requester.run(&run).await.expect(0);
    }

    pub(crate) async fn is_live(&self) -> bool {
        self.operator.money().await.state == PoolState::Live
    }

    /// The pool is dead, half of its bond is burnt, and a quarter is the provers'.
    pub(crate) async fn is_convicted(&self) -> PoolView {
        let pool = self.operator.money().await;
        assert!(matches!(pool.state, PoolState::Convicted(_)), "{pool:?}");
        assert_eq!(pool.head, pool.finalized, "what was wrong is dropped");
        assert_eq!(pool.bond, self.bond - self.bond / 2 - self.bond / 4);
        PoolView { bond: self.bond, ..pool }
    }

    /// Asks on chain for a task of a pending batch, and waits for the answer there.
    pub(crate) async fn shows_when_asked(&self, anvil: &Anvil, index: u64, place: u32) {
        let pool = self.operator.api().pool().await.unwrap().pool;
        let court = Court::connect(&self.settlement).await.unwrap();
        let committed = self.settlement.committed(pool, index).await.unwrap();
        let (header, opening) = committed.unwrap();
        let filing = Filing { header: &header, opening: &opening };
        chain::rich(anvil).await.send(court.ask(&filing, place)).await.unwrap();
        let index = u32::try_from(index).unwrap();
        until("the answer", PATIENCE, async || {
            let ask = court.ask_of(pool, index, place).await.unwrap().unwrap();
            ask.answered.then_some(())
        })
        .await;
    }

    /// Every worker, started anew, fetches its account of the newest final batch.
    pub(crate) async fn workers_keep_tickets(&mut self) {
        for volunteer in &mut self.volunteers {
            volunteer.kill().await;
            volunteer.start();
        }
        for volunteer in &self.volunteers {
            let file = volunteer.home.path().join("worker/ticket.json");
            until("a claim ticket", PATIENCE, async || file.exists().then_some(())).await;
        }
        self.operator.has_workers(WORKERS).await;
    }

    /// No worker's stake is touched.
    pub(crate) async fn nobody_else_loses(&self) {
        // The first of its contract; its scheduler may be gone.
        let pool = PoolId(1);
        for volunteer in &self.volunteers {
            let seat = self.settlement.seat(pool, WorkerIdx(volunteer.worker)).await.unwrap();
            assert_eq!((seat.stake, seat.slashed), (STAKE, 0));
        }
    }

    /// What batches before had made final is still paid.
    pub(crate) async fn workers_are_paid(&self) {
        let mut paid = 0;
        for volunteer in &self.volunteers {
            let ran = volunteer.run(&["--json", "claim"]).await;
            if !ran.out.is_empty() {
                paid += super::requester::amount(&ran.json()["paid"]);
            }
        }
        let expected = UNIT_PRICE * u128::from(TASKS) * 9 / 10;
        assert_eq!(paid, expected, "nine tenths of the first batch");
    }

    /// When nobody may settle anything any more, the requester has back what was not spent.
    pub(crate) async fn requester_is_refunded(&self, anvil: &Anvil, tasks: u32) {
        anvil.chain().warp(ESCAPE_TIME_S).await.unwrap();
        let free = self.requester.free().await;
        let outbox = chain::rich(anvil).await;
        for event in chain::events(anvil, &self.settlement).await {
            let ChainEvent::DealOpened(deal) = event else { continue };
            let proof: Vec<_> = (0..STATE_DEPTH).map(zero).collect();
            let opening = Opening { state_root: zero(STATE_DEPTH), ..Opening::default() };
            let call = self.settlement.refund_unsettled(&deal.terms, None, &proof, 0, &opening);
            outbox.send(call).await.unwrap();
        }
        let refunded = self.requester.free().await - free;
        assert_eq!(refunded, UNIT_PRICE * u128::from(tasks));
    }
}
