//! What a node can do wrong, over real HTTP: lose a transaction, deny that it has it, answer with a
//! page, too much or nothing, and change its history. Money moves once or not at all.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/faulty.rs"]
mod faulty;
#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "support/scenario.rs"]
mod scenario;

use alloy::primitives::{B256, U256};
use faulty::{Fault, FaultyNode};
use quorate_chain::outbox::{Finality, OutboxConfig};
use quorate_chain::{Call, Follower, Outbox, Remedy, SettleError};
use scenario::{Stage, config, pauper, signer, whole_deal};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[tokio::test]
async fn a_whole_deal_over_http() {
    let node = FaultyNode::start().await;
    whole_deal(&node.chain, Finality::Finalized).await;
}

/// A sender that gives up soon.
async fn hasty(node: &FaultyNode) -> Outbox {
    let signer = signer(0x11);
    node.chain.set_balance(signer.address(), U256::from(u64::MAX)).await.unwrap();
    let config = OutboxConfig {
        mined_within: Duration::from_millis(100),
        final_within: Duration::from_secs(20),
        poll: Duration::from_millis(5),
        ..config(Finality::Finalized)
    };
    Outbox::new(node.chain.clone(), signer, config)
}

fn one_wei() -> Call {
    Call::transfer(pauper(), U256::ONE)
}

async fn paid(node: &FaultyNode) -> U256 {
    node.heal();
    node.chain.balance(pauper()).await.unwrap()
}

#[tokio::test]
async fn a_transaction_that_is_dropped_goes_out_again_at_a_higher_price() {
    let node = FaultyNode::start().await;
    let outbox = hasty(&node).await;
    let sent = Arc::new(AtomicU32::new(0));
    let seen = sent.clone();
    node.script(move |method, _| {
        if method != "eth_sendRawTransaction" {
            return None;
        }
        // The first two versions vanish, with a receipt for the sender's trust.
        let nth = seen.fetch_add(1, Ordering::SeqCst);
        (nth < 2).then(|| Fault::Result(json!(B256::repeat_byte(1))))
    });
    let receipt = outbox.send(one_wei()).await.unwrap();
    assert_eq!(sent.load(Ordering::SeqCst), 3);
    assert_eq!(receipt.block_number, 1);
    assert_eq!(paid(&node).await, U256::ONE);
}

#[tokio::test]
async fn a_transaction_that_nobody_mines_is_stuck_and_can_be_resumed() {
    let node = FaultyNode::start().await;
    let outbox = hasty(&node).await;
    let prepared = outbox.begin().await.prepare(one_wei()).await.unwrap();
    node.script(|method, _| {
        (method == "eth_sendRawTransaction").then(|| Fault::Result(json!(B256::repeat_byte(1))))
    });
    let error = outbox.resume(&prepared).await.unwrap_err();
    assert!(matches!(error, SettleError::TxStuck { nonce: 0, .. }), "{error}");
    assert!(matches!(error.remedy(), Remedy::RetryAfter(_)));
    node.heal();
    outbox.resume(&prepared).await.unwrap();
    assert_eq!(paid(&node).await, U256::ONE);
}

#[tokio::test]
async fn a_node_that_takes_it_and_denies_it_is_not_believed() {
    for words in ["already known", "nonce too low", "replacement transaction underpriced"] {
        let node = FaultyNode::start().await;
        let outbox = hasty(&node).await;
        node.script(move |method, _| {
            (method == "eth_sendRawTransaction").then_some(Fault::DoneButError(-32_000, words))
        });
        outbox.send(one_wei()).await.unwrap();
        assert_eq!(paid(&node).await, U256::ONE, "{words}");
    }
    let node = FaultyNode::start().await;
    let outbox = hasty(&node).await;
    node.script(|method, _| (method == "eth_sendRawTransaction").then_some(Fault::DoneButSilent));
    outbox.send(one_wei()).await.unwrap();
    assert_eq!(paid(&node).await, U256::ONE);
}

#[tokio::test]
async fn a_price_that_is_too_low_is_raised_at_once() {
    let node = FaultyNode::start().await;
    let outbox = hasty(&node).await;
    let mut refusals = 2;
    node.script(move |method, _| {
        if method != "eth_sendRawTransaction" || refusals == 0 {
            return None;
        }
        refusals -= 1;
        Some(Fault::Error(-32_000, "max fee per gas less than block base fee"))
    });
    outbox.send(one_wei()).await.unwrap();
    assert_eq!(paid(&node).await, U256::ONE);
}

#[tokio::test]
async fn a_refusal_for_good_ends_at_once_and_nothing_was_sent() {
    let node = FaultyNode::start().await;
    let outbox = hasty(&node).await;
    node.script(|method, _| {
        (method == "eth_sendRawTransaction").then_some(Fault::Error(-32_000, "we do not like you"))
    });
    let error = outbox.send(one_wei()).await.unwrap_err();
    assert!(error.to_string().contains("we do not like you (code -32000)"), "{error}");
    assert_eq!(paid(&node).await, U256::ZERO);
}

#[tokio::test]
async fn a_receipt_that_comes_and_goes_is_followed_until_it_stays() {
    let node = FaultyNode::start().await;
    let outbox = hasty(&node).await;
    let mut looks = 0;
    node.script(move |method, _| {
        if method != "eth_getTransactionReceipt" {
            return None;
        }
        looks += 1;
        // Seen, lost in a reorganisation, lost, then back.
        (looks == 2 || looks == 3).then_some(Fault::Result(Value::Null))
    });
    outbox.send(one_wei()).await.unwrap();
    assert_eq!(paid(&node).await, U256::ONE);
}

#[tokio::test]
async fn what_never_becomes_final_is_told() {
    let node = FaultyNode::start().await;
    let outbox = hasty(&node).await;
    let config =
        OutboxConfig { final_within: Duration::from_millis(50), ..config(Finality::Finalized) };
    let outbox = Outbox::new(node.chain.clone(), outbox.signer().clone(), config);
    node.script(|method, params| {
        let asked = method == "eth_getBlockByNumber" && params[0] == "finalized";
        asked.then_some(Fault::Result(Value::Null))
    });
    let error = outbox.send(one_wei()).await.unwrap_err();
    assert!(matches!(error, SettleError::NotFinal { block: 1, .. }), "{error}");
}

#[tokio::test]
async fn pages_nonsense_and_floods_are_told_apart() {
    let node = FaultyNode::start().await;
    let told = async |status, body: &[u8]| {
        let body = body.to_vec();
        node.script(move |_, _| Some(Fault::Body(status, body.clone())));
        node.chain.chain_id().await.unwrap_err()
    };
    let error = told(502, b"<html>Bad gateway</html>").await;
    assert!(matches!(error, SettleError::Unreachable { .. }), "{error}");
    let error = told(200, b"<html>Welcome</html>").await;
    assert!(matches!(error, SettleError::Nonsense { .. }), "{error}");
    let error = told(200, br#"{"jsonrpc":"2.0","id":0,"result":"a lot"}"#).await;
    assert!(matches!(error, SettleError::Nonsense { .. }), "{error}");
    let error = told(429, br#"{"jsonrpc":"2.0","id":0,"error":{"code":-32005,"message":"slow"}}"#);
    let error = error.await;
    assert!(matches!(error, SettleError::RpcError { code: -32_005, .. }), "{error}");
    let error = told(200, &vec![b' '; 40 << 20]).await;
    assert!(error.to_string().contains("longer than 33554432 bytes"), "{error}");
    node.script(|_, _| Some(Fault::Silent));
    let error = node.chain.chain_id().await.unwrap_err();
    assert!(matches!(error, SettleError::Unreachable { .. }), "{error}");
}

// The follower.

#[tokio::test]
async fn a_node_that_answers_only_short_ranges_is_asked_for_less() {
    let node = FaultyNode::start().await;
    let stage = Stage::set(&node.chain, Finality::Finalized).await;
    let honest = stage.all_events().await;
    node.script(|method, params| {
        let number = |name: &str| {
            let text = params[0][name].as_str()?;
            u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
        };
        let span = || Some(number("toBlock")? - number("fromBlock")?);
        (method == "eth_getLogs" && span()? >= 3)
            .then_some(Fault::Error(-32_005, "query exceeds max block range 3"))
    });
    assert_eq!(stage.all_events().await, honest);
}

#[tokio::test]
async fn a_reorganisation_below_the_cursor_is_told_and_nothing_is_skipped() {
    let node = FaultyNode::start().await;
    let stage = Stage::set(&node.chain, Finality::Finalized).await;
    let contract = stage.settlement.address();
    let mut follower =
        Follower::start(node.chain.clone(), contract, Finality::Finalized, 1).await.unwrap();
    while follower.next_batch().await.unwrap().is_some() {}
    let cursor = follower.cursor();
    assert_eq!(cursor.number, node.node.block_number());

    // Another process resumes from a cursor of a history that is not this one.
    node.chain.warp(1).await.unwrap();
    let mut other = cursor;
    other.hash = B256::repeat_byte(9);
    let mut lost = Follower::resume(node.chain.clone(), contract, Finality::Finalized, other);
    for _ in 0..2 {
        let error = lost.next_batch().await.unwrap_err();
        assert!(matches!(error, SettleError::Reorganised { .. }), "{error}");
        assert_eq!(error.remedy(), Remedy::ReadAgain);
        assert_eq!(lost.cursor(), other, "an error moves nothing");
    }
    assert!(follower.next_batch().await.unwrap().unwrap().events.is_empty());
}

#[tokio::test]
async fn logs_that_were_not_asked_for_are_refused() {
    let node = FaultyNode::start().await;
    let stage = Stage::set(&node.chain, Finality::Finalized).await;
    let filter = json!([{"address": stage.settlement.address(), "fromBlock": "0x0"}]);
    let logs = node.node.request("eth_getLogs", filter).unwrap();
    let changed = |change: fn(&mut Vec<Value>)| {
        let mut logs = logs.as_array().unwrap().clone();
        change(&mut logs);
        Value::Array(logs)
    };
    let lies: [(&str, Value); 5] = [
        ("out of order", changed(|logs| logs.swap(0, 1))),
        ("out of order", changed(|logs| logs.insert(0, logs[0].clone()))),
        ("not asked for", changed(|logs| logs[0]["address"] = json!(pauper()))),
        ("outside the range", changed(|logs| logs[0]["blockNumber"] = json!("0x0"))),
        ("without its place", changed(|logs| logs[0]["blockNumber"] = Value::Null)),
    ];
    for (words, lie) in lies {
        node.script(move |method, _| (method == "eth_getLogs").then(|| Fault::Result(lie.clone())));
        let chain = node.chain.clone();
        let address = stage.settlement.address();
        let mut follower = Follower::start(chain, address, Finality::Finalized, 1).await.unwrap();
        let error = follower.next_batch().await.unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}
