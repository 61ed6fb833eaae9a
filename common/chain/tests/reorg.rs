//! A real node whose history changes, which loses transactions, and whose price jumps: whatever
//! happens at whatever moment, every call is made exactly once. A contract counts.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[path = "support/anvil.rs"]
mod anvil;
#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "support/proxy.rs"]
mod proxy;
#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "support/scenario.rs"]
mod scenario;

use alloy::primitives::{Address, B256, U256};
use anvil::{Anvil, count_one, quick, remembering, signer, until, url_of};
use proxy::Proxy;
use quorate_chain::{
    Call, Chain, Finality, Follower, Outbox, OutboxConfig, Receipt, SettleError, Standing,
};
use serde_json::json;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How many of the newest blocks are replaced: every number up to what the presets' chains call final.
const DEPTHS: RangeInclusive<u64> = 1..=64;
/// Depths tried on one node. anvil forgets storage when it goes back after several hundred blocks, of which
/// each depth takes seventy to a hundred and forty.
const PER_NODE: u64 = 4;
/// Depths at which events are read: there is a whole market to set up before.
const DEPTHS_OF_EVENTS: [u64; 5] = [1, 2, 5, 16, 64];

/// A node that mines when told, a counter, and an outbox with a folder.
struct Stage {
    anvil: Anvil,
    counter: Address,
    outbox: Outbox,
    folder: tempfile::TempDir,
    /// How often the outbox has looked for a receipt.
    looks: Arc<AtomicU64>,
}

impl Stage {
    async fn set() -> Option<Self> {
        let anvil = Anvil::start(&["--no-mining"]).await?;
        // Before the counter, whose blocks put the money where no reorganisation reaches.
        anvil.fund(&signer(1)).await;
        let counter = anvil.counter().await;
        let folder = tempfile::tempdir().unwrap();
        let looks = Arc::new(AtomicU64::new(0));
        let (door, seen) = (Proxy::before(anvil.port).await, Arc::clone(&looks));
        door.script(move |method, _| {
            let look = u64::from(method == "eth_getTransactionReceipt");
            seen.fetch_add(look, Ordering::SeqCst);
            None
        });
        let chain = Chain::connect(&url_of(door.port)).unwrap();
        let outbox = remembering(&chain, 1, folder.path());
        Some(Self { anvil, counter, outbox, folder, looks })
    }

    /// Waits until the outbox has seen what there is now, and done what it does about it.
    async fn until_looked(&self) {
        let now = self.looks.load(Ordering::SeqCst);
        // The answer to the first may be from before, and a third means that the second is dealt with.
        let looked = async || (self.looks.load(Ordering::SeqCst) >= now + 3).then_some(());
        until("the outbox to look", looked).await;
    }

    fn call(&self) -> Call {
        count_one(self.counter)
    }

    /// Sends one, in the background.
    fn send(&self, key: u64) -> JoinHandle<Result<Receipt, SettleError>> {
        let (outbox, call) = (self.outbox.clone(), self.call());
        tokio::spawn(async move { outbox.send_once(key_of(key), call).await })
    }

    /// Mines until a task is done.
    async fn mine_until_done<T>(&self, task: JoinHandle<Result<T, SettleError>>) -> T {
        until("the end", async || {
            self.anvil.mine(8).await;
            task.is_finished().then_some(())
        })
        .await;
        task.await.unwrap().unwrap()
    }

    /// The transaction stands in the chain, `times` were made in all, and nothing is left over.
    async fn check(&self, receipt: &Receipt, times: u64) {
        let there = self.anvil.chain.receipt(receipt.tx).await.unwrap().unwrap();
        assert_eq!(there.block_hash, Some(receipt.block_hash));
        assert_eq!(self.anvil.count(self.counter).await, times, "exactly once");
        assert_eq!(self.anvil.chain.nonce(self.outbox.account()).await.unwrap(), times);
        assert!(self.outbox.unfinished().is_empty());
    }
}

/// Tries every depth, with how many were tried before on its node.
async fn at_every_depth(once: impl AsyncFn(&Stage, u64, u64)) {
    for first in DEPTHS.step_by(PER_NODE as usize) {
        let Some(stage) = Stage::set().await else { return };
        for n in 0..PER_NODE {
            once(&stage, first + n, n).await;
        }
    }
}

fn key_of(n: u64) -> B256 {
    B256::from(U256::from(n))
}

#[tokio::test]
async fn a_reorganisation_between_signing_and_sending() {
    at_every_depth(async |stage, depth, n| {
        let prepared = stage.outbox.begin().await.prepare(stage.call()).await.unwrap();
        stage.anvil.reorg(depth).await;
        let outbox = stage.outbox.clone();
        let task = tokio::spawn(async move { outbox.resume(&prepared).await });
        let receipt = stage.mine_until_done(task).await;
        stage.check(&receipt, n + 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_reorganisation_while_it_waits_to_be_mined() {
    at_every_depth(async |stage, depth, n| {
        let task = stage.send(depth);
        stage.anvil.until_pending().await;
        stage.anvil.reorg(depth).await;
        let receipt = stage.mine_until_done(task).await;
        stage.check(&receipt, n + 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_reorganisation_right_after_it_was_mined() {
    at_every_depth(async |stage, depth, n| {
        let task = stage.send(depth);
        stage.anvil.until_pending().await;
        stage.anvil.mine(1).await;
        assert_eq!(stage.anvil.count(stage.counter).await, n + 1);
        stage.anvil.reorg(depth).await;
        assert_eq!(stage.anvil.count(stage.counter).await, n, "the block is gone");
        let receipt = stage.mine_until_done(task).await;
        stage.check(&receipt, n + 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_reorganisation_while_it_waits_to_be_final() {
    at_every_depth(async |stage, depth, n| {
        let (outbox, call) = (stage.outbox.clone(), stage.call());
        let mining = tokio::spawn(async move { outbox.mine(call).await });
        stage.anvil.until_pending().await;
        stage.anvil.mine(1).await;
        let (prepared, mined) = mining.await.unwrap().unwrap();
        stage.anvil.mine(depth - 1).await;
        let (outbox, before) = (stage.outbox.clone(), mined.clone());
        let task = tokio::spawn(async move { outbox.finish(&prepared, mined).await });
        // Seen in its first block, and not final there, before that block goes.
        stage.until_looked().await;
        assert!(!task.is_finished(), "not final {depth} blocks later");
        stage.anvil.reorg(depth).await;
        let receipt = stage.mine_until_done(task).await;
        assert_eq!(receipt.tx, before.tx, "the same signed bytes");
        assert_ne!(receipt.block_hash, before.block_hash);
        stage.check(&receipt, n + 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_reorganisation_after_it_was_final_takes_nothing_back() {
    at_every_depth(async |stage, depth, n| {
        let task = stage.send(depth);
        let receipt = stage.mine_until_done(task).await;
        stage.anvil.reorg(depth).await;
        stage.check(&receipt, n + 1).await;
        let again = stage.outbox.send_once(key_of(depth), stage.call()).await.unwrap();
        assert_eq!(again, receipt, "who asks again gets what came of it");
        stage.check(&receipt, n + 1).await;
    })
    .await;
}

#[tokio::test]
async fn several_that_a_reorganisation_takes_back_all_return_and_the_next_follows_on() {
    let Some(stage) = Stage::set().await else { return };
    let mut finishing = Vec::new();
    for _ in 0..4 {
        let (outbox, call) = (stage.outbox.clone(), stage.call());
        let mining = tokio::spawn(async move { outbox.mine(call).await });
        stage.anvil.until_pending().await;
        stage.anvil.mine(3).await;
        let (prepared, mined) = mining.await.unwrap().unwrap();
        let outbox = stage.outbox.clone();
        finishing.push(tokio::spawn(async move { outbox.finish(&prepared, mined).await }));
    }
    assert_eq!(stage.outbox.unfinished().len(), 4);
    stage.anvil.reorg(16).await;
    assert_eq!(stage.anvil.count(stage.counter).await, 0);
    // Sent while the others have no block: it must not take the nonce of one of them.
    let fifth = stage.send(5);
    let last = stage.mine_until_done(fifth).await;
    for task in finishing {
        stage.mine_until_done(task).await;
    }
    stage.check(&last, 5).await;
}

#[tokio::test]
async fn one_that_failed_counts_as_failed_only_when_that_is_final() {
    let Some(stage) = Stage::set().await else { return };
    // Reverts while its balance is zero: SELFBALANCE, PUSH1 8, JUMPI, PUSH1 0, DUP1, REVERT,
    // JUMPDEST, STOP.
    let picky = Address::repeat_byte(0x55);
    stage.anvil.rpc("anvil_setCode", json!([picky, "0x47600857600080fd5b00"])).await;
    stage.anvil.mine(70).await;
    stage.anvil.chain.set_balance(picky, U256::ONE).await.unwrap();
    let (outbox, call) = (stage.outbox.clone(), count_one(picky));
    let task = tokio::spawn(async move { outbox.send_once(key_of(1), call).await });
    stage.anvil.until_pending().await;
    stage.anvil.chain.set_balance(picky, U256::ZERO).await.unwrap();
    stage.anvil.mine(5).await;
    stage.until_looked().await;
    assert!(!task.is_finished(), "a failure that may be taken back is not told");
    stage.anvil.chain.set_balance(picky, U256::ONE).await.unwrap();
    stage.anvil.reorg(5).await;
    stage.anvil.chain.set_balance(picky, U256::ONE).await.unwrap();
    let receipt = stage.mine_until_done(task).await;
    assert!(receipt.block_number > 0);
    assert_eq!(stage.anvil.chain.nonce(stage.outbox.account()).await.unwrap(), 1);
}

#[tokio::test]
async fn one_that_the_node_drops_goes_out_again() {
    let Some(stage) = Stage::set().await else { return };
    for n in 1..=3 {
        let task = stage.send(n);
        for _ in 0..2 {
            let tx = stage.anvil.until_pending().await;
            stage.anvil.rpc("anvil_dropTransaction", json!([tx])).await;
            assert!(stage.anvil.pending().await.is_empty());
        }
        stage.anvil.until_pending().await;
        let receipt = stage.mine_until_done(task).await;
        stage.check(&receipt, n).await;
    }
}

#[tokio::test]
async fn events_are_read_only_where_nothing_is_taken_back() {
    let Some(anvil) = Anvil::start(&[]).await else { return };
    let stage = scenario::Stage::set(&anvil.chain, Finality::Latest).await;
    let contract = stage.settlement.address();
    anvil.mine(70).await;
    let finality = Finality::Finalized;
    let mut follower = Follower::start(anvil.chain.clone(), contract, finality, 1).await.unwrap();
    let mut told = 0;
    while let Some(batch) = follower.next_batch().await.unwrap() {
        told += batch.events.len();
    }
    assert!(told > 5, "{told} events of the stage");
    for depth in DEPTHS_OF_EVENTS {
        scenario::must(&stage.requester, stage.settlement.withdraw(1)).await;
        anvil.mine(depth - 1).await;
        assert!(follower.next_batch().await.unwrap().is_none_or(|batch| batch.events.is_empty()));
        anvil.reorg(depth).await;
    }
    // None of them ever happened, as the chain has it now.
    anvil.mine(130).await;
    while let Some(batch) = follower.next_batch().await.unwrap() {
        assert_eq!(batch.events, []);
    }
    scenario::must(&stage.requester, stage.settlement.withdraw(1)).await;
    anvil.mine(64).await;
    let batch = follower.next_batch().await.unwrap().unwrap();
    assert_eq!(batch.events.len(), 1, "and the one that stays is told");
}

/// Wei per gas: a hundred times what the node begins with.
const SPIKE: u64 = 100_000_000_000;

/// Mines a block at this price.
async fn mine_at(anvil: &Anvil, base: u64) {
    anvil.rpc("anvil_setNextBlockBaseFeePerGas", json!([format!("{base:#x}")])).await;
    anvil.mine(1).await;
}

/// An outbox that soon finds what it pays too little, for an account with money.
async fn impatient(stage: &Stage, byte: u8) -> Outbox {
    let config = OutboxConfig {
        mined_within: Duration::from_millis(200),
        finality: Finality::Confirmations(3),
        ..quick()
    };
    stage.anvil.fund(&signer(byte)).await;
    let chain = stage.anvil.chain.clone();
    Outbox::open(chain, signer(byte), config, stage.folder.path()).unwrap()
}

#[tokio::test]
async fn a_price_a_hundred_times_higher_is_paid() {
    let Some(stage) = Stage::set().await else { return };
    let outbox = impatient(&stage, 2).await;
    let (own, call) = (outbox.clone(), stage.call());
    let task = tokio::spawn(async move { own.send(call).await });
    stage.anvil.until_pending().await;
    // The price stays where it is, however many empty blocks there are.
    until("the end", async || {
        mine_at(&stage.anvil, SPIKE).await;
        task.is_finished().then_some(())
    })
    .await;
    let receipt = task.await.unwrap().unwrap();
    assert!(receipt.fee_wei >= U256::from(SPIKE) * U256::from(receipt.gas_used));
    assert_eq!(stage.anvil.count(stage.counter).await, 1);
    assert_eq!(stage.anvil.chain.nonce(outbox.account()).await.unwrap(), 1);
}

#[tokio::test]
async fn one_that_is_taken_back_when_the_price_has_jumped_is_raised_by_the_next() {
    let Some(stage) = Stage::set().await else { return };
    let outbox = impatient(&stage, 2).await;
    let (own, call) = (outbox.clone(), stage.call());
    let mining = tokio::spawn(async move { own.mine(call).await });
    stage.anvil.until_pending().await;
    stage.anvil.mine(1).await;
    let (prepared, mined) = mining.await.unwrap().unwrap();
    assert_eq!(prepared.versions.len(), 1);
    stage.anvil.reorg(1).await;
    let own = outbox.clone();
    // It waits with the one version it knows.
    let first = tokio::spawn(async move { own.finish(&prepared, mined).await });
    let (own, call) = (outbox.clone(), stage.call());
    let second = tokio::spawn(async move { own.send(call).await });
    until("the end", async || {
        mine_at(&stage.anvil, SPIKE).await;
        (first.is_finished() && second.is_finished()).then_some(())
    })
    .await;
    let first = first.await.unwrap().unwrap();
    assert!(first.fee_wei >= U256::from(SPIKE) * U256::from(first.gas_used), "a dearer version");
    second.await.unwrap().unwrap();
    assert_eq!(stage.anvil.count(stage.counter).await, 2);
    assert_eq!(stage.anvil.chain.nonce(outbox.account()).await.unwrap(), 2);
    assert!(outbox.unfinished().is_empty());
}

#[tokio::test]
async fn at_the_cap_it_waits_until_the_price_falls_and_never_pays_more() {
    let Some(stage) = Stage::set().await else { return };
    let outbox = impatient(&stage, 3).await;
    let cap = 10_000_000_000_u64;
    outbox.cap_fees(cap);
    let standing = outbox.standing();
    let (own, call) = (outbox.clone(), stage.call());
    let task = tokio::spawn(async move { own.send(call).await });
    stage.anvil.until_pending().await;
    let told = until("the outbox to be stuck", async || {
        mine_at(&stage.anvil, SPIKE).await;
        let now: Standing = standing.borrow().clone();
        (now.label() == "stuck_fee_cap").then(|| now.to_string())
    })
    .await;
    assert!(told.contains("stuck (fee cap)"), "{told}");
    assert_eq!(stage.anvil.count(stage.counter).await, 0);
    let unfinished = outbox.unfinished();
    let mut prices = unfinished[0].versions.iter().map(|version| version.fees.max_fee);
    assert!(prices.all(|price| price <= u128::from(cap)), "never above the cap");
    mine_at(&stage.anvil, 1_000_000_000).await;
    let receipt = stage.mine_until_done(task).await;
    assert!(receipt.fee_wei <= U256::from(cap) * U256::from(receipt.gas_used));
    assert_eq!(stage.anvil.count(stage.counter).await, 1);
    assert_eq!(stage.anvil.chain.nonce(outbox.account()).await.unwrap(), 1);
    assert_eq!(outbox.standing().borrow().label(), "ready");
}
