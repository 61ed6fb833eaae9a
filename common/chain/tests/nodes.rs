//! Several nodes of one chain, of which one lies, hangs, lags, refuses or talks nonsense: a whole
//! deal goes through as if it were not there. Two that contradict each other stop everything until
//! they agree. The chain is a real one.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "support/anvil.rs"]
mod anvil;
#[path = "support/proxy.rs"]
mod proxy;
#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "support/scenario.rs"]
mod scenario;

use alloy::primitives::{B256, U256};
use anvil::{Anvil, count_one, quick, signer, until, url_of};
use proxy::{Proxy, Twist};
use quorate_chain::transport::BlockRef;
use quorate_chain::{Chain, Finality, Outbox, OutboxConfig, SettleError};
use scenario::whole_deal;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A chain over so many proxies of one node. The first is the one that misbehaves.
async fn through(anvil: &Anvil, count: usize) -> (Chain, Proxy) {
    let (chain, mut proxies) = doors(anvil, count).await;
    (chain, proxies.swap_remove(0))
}

async fn doors(anvil: &Anvil, count: usize) -> (Chain, Vec<Proxy>) {
    let mut proxies = Vec::new();
    for _ in 0..count {
        proxies.push(Proxy::before(anvil.port).await);
    }
    let urls: Vec<_> = proxies.iter().map(|proxy| url_of(proxy.port)).collect();
    let chain = Chain::connect_all(&urls).unwrap().with_deadline(Duration::from_secs(2));
    (chain, proxies)
}

/// A whole deal through three nodes, the first of which misbehaves like this.
async fn survives(script: impl FnMut(&str, &Value) -> Option<Twist> + Send + 'static) {
    let Some(anvil) = Anvil::start(&[]).await else { return };
    let (chain, bad) = through(&anvil, 3).await;
    bad.script(script);
    whole_deal(&chain, Finality::Latest).await;
}

/// Tools of a development chain work on one node only, and are no part of what is tried.
fn is_tool(method: &str) -> bool {
    method.starts_with("evm_") || method.starts_with("anvil_")
}

fn set(object: &mut Value, key: &str, value: Value) {
    if object.is_object() {
        object[key] = value;
    }
}

#[tokio::test]
async fn one_that_lies_about_receipts() {
    survives(|method, _| {
        (method == "eth_getTransactionReceipt").then_some(Twist::Change(|receipt| {
            set(receipt, "blockHash", json!(B256::repeat_byte(6)));
            set(receipt, "status", json!("0x0"));
            set(receipt, "logs", json!([]));
        }))
    })
    .await;
}

#[tokio::test]
async fn one_that_shows_receipts_of_what_never_was() {
    let Some(anvil) = Anvil::start(&[]).await else { return };
    let (chain, bad) = through(&anvil, 3).await;
    let real = scenario::funded(&chain, 0x11, Finality::Latest).await;
    let call = || quorate_chain::Call::transfer(scenario::pauper(), U256::ONE);
    let receipt = real.send(call()).await.unwrap();
    let receipt = anvil.rpc("eth_getTransactionReceipt", json!([receipt.tx])).await;
    // Whatever is asked for, it was mined long ago. The sending itself is swallowed.
    bad.script(move |method, params| match method {
        "eth_getTransactionReceipt" => {
            let mut lie = receipt.clone();
            lie["transactionHash"] = params[0].clone();
            Some(Twist::Result(lie))
        }
        "eth_sendRawTransaction" => Some(Twist::Result(json!(B256::repeat_byte(1)))),
        _ => None,
    });
    assert_eq!(chain.receipt(B256::repeat_byte(2)).await.unwrap(), None);
    real.send(call()).await.unwrap();
    assert_eq!(anvil.chain.balance(scenario::pauper()).await.unwrap(), U256::from(2));
}

#[tokio::test]
async fn one_that_lies_about_blocks() {
    survives(|method, _| {
        (method == "eth_getBlockByNumber").then_some(Twist::Change(|block| {
            set(block, "number", json!("0xffffff"));
            set(block, "hash", json!(B256::repeat_byte(6)));
            set(block, "timestamp", json!("0xffffffff"));
            set(block, "baseFeePerGas", json!("0xffffffffff"));
        }))
    })
    .await;
}

#[tokio::test]
async fn one_that_lies_about_everything_else() {
    survives(|method, _| {
        Some(Twist::Result(match method {
            "eth_call" => json!(B256::repeat_byte(1)),
            "eth_estimateGas" | "eth_chainId" => json!("0x1"),
            "eth_maxPriorityFeePerGas" => json!("0xffffffffffff"),
            "eth_getTransactionCount" => json!("0x7777"),
            "eth_getBalance" => json!("0x0"),
            "eth_getLogs" => json!([]),
            "eth_getCode" => json!("0x"),
            _ => return None,
        }))
    })
    .await;
}

#[tokio::test]
async fn one_that_swallows_transactions_and_says_the_contract_refuses() {
    const REVERT: &[u8] =
        br#"{"jsonrpc":"2.0","id":0,"error":{"code":3,"message":"reverted","data":"0x"}}"#;
    survives(|method, _| match method {
        "eth_sendRawTransaction" => Some(Twist::Result(json!(B256::repeat_byte(1)))),
        "eth_call" | "eth_estimateGas" => Some(Twist::Body(200, REVERT)),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn one_that_hangs() {
    survives(|method, _| (!is_tool(method)).then_some(Twist::Hang)).await;
}

#[tokio::test]
async fn one_that_takes_transactions_and_hangs() {
    survives(|method, _| (method == "eth_sendRawTransaction").then_some(Twist::DoAndHang)).await;
}

#[tokio::test]
async fn one_that_lags() {
    survives(|method, params| {
        let tag = params[0].as_str().unwrap_or_default();
        match method {
            "eth_getBlockByNumber" if !tag.starts_with("0x") => {
                Some(Twist::Change(|block| set(block, "number", json!("0x0"))))
            }
            "eth_getBlockByNumber" | "eth_getTransactionReceipt" => {
                Some(Twist::Result(Value::Null))
            }
            "eth_getTransactionCount" | "eth_getBalance" => Some(Twist::Result(json!("0x0"))),
            "eth_getLogs" => Some(Twist::Result(json!([]))),
            _ => None,
        }
    })
    .await;
}

#[tokio::test]
async fn one_that_limits_rates() {
    survives(|method, _| (!is_tool(method)).then_some(Twist::Body(429, b"slow down"))).await;
}

#[tokio::test]
async fn one_that_talks_nonsense() {
    let mut turn = 0;
    survives(move |method, _| {
        turn += 1;
        let bodies: [&[u8]; 3] =
            [b"<html>Welcome</html>", b"", br#"{"jsonrpc":"2.0","id":0,"result":{"a":[]}}"#];
        (!is_tool(method)).then_some(Twist::Body(200, bodies[turn % 3]))
    })
    .await;
}

#[tokio::test]
async fn one_that_comes_and_goes() {
    let mut turn = 0_u32;
    survives(move |method, _| {
        turn += 1;
        let away = (turn / 5).is_multiple_of(2) && !is_tool(method);
        away.then_some(Twist::Body(502, b"<html>Bad gateway</html>"))
    })
    .await;
}

#[tokio::test]
async fn the_boundary_is_where_two_are() {
    let Some(anvil) = Anvil::start(&[]).await else { return };
    let (chain, bad) = through(&anvil, 3).await;
    anvil.mine(100).await;
    for lie in ["0x1", "0xffff"] {
        bad.script(move |method, params| {
            let asked = method == "eth_getBlockByNumber" && params[0] == "finalized";
            let (number, hash) = (json!(lie), json!(B256::repeat_byte(6)));
            asked.then(|| {
                let mut block = json!({});
                (block["number"], block["hash"]) = (number, hash);
                Twist::Result(block)
            })
        });
        assert_eq!(Finality::Finalized.boundary(&chain).await.unwrap(), Some(36), "{lie}");
    }
    bad.heal();
    assert_eq!(chain.block(BlockRef::Finalized).await.unwrap().unwrap().number, 36);
}

/// An outbox that gives up soon.
fn hasty(chain: &Chain, byte: u8) -> Outbox {
    let config = OutboxConfig {
        mined_within: Duration::from_millis(300),
        final_within: Duration::from_millis(300),
        finality: Finality::Confirmations(1),
        ..quick()
    };
    Outbox::new(chain.clone(), signer(byte), config)
}

#[tokio::test]
async fn two_that_contradict_each_other_stop_everything_until_they_agree() {
    let Some(anvil) = Anvil::start(&[]).await else { return };
    let counter = anvil.counter().await;
    anvil.fund(&signer(1)).await;
    let (chain, bad) = through(&anvil, 2).await;
    let outbox = hasty(&chain, 1);
    let key = B256::repeat_byte(9);
    bad.script(|method, _| {
        (method == "eth_getTransactionReceipt").then_some(Twist::Change(|receipt| {
            set(receipt, "blockHash", json!(B256::repeat_byte(6)));
        }))
    });
    let error = outbox.send_once(key, count_one(counter)).await.unwrap_err();
    assert!(matches!(error, SettleError::RpcDisagreement { .. }), "{error}");
    assert_eq!(outbox.standing().borrow().label(), "rpc_disagreement");
    assert_eq!(outbox.unfinished().len(), 1, "it is kept");
    let error = outbox.send(count_one(counter)).await.unwrap_err();
    assert!(matches!(error, SettleError::RpcDisagreement { .. }), "nothing else is sent: {error}");
    assert_eq!(outbox.unfinished().len(), 1);

    bad.script(|method, _| {
        (method == "eth_call").then(|| Twist::Result(json!(B256::repeat_byte(1))))
    });
    let view = quorate_chain::transport::CallRequest { to: Some(counter), ..Default::default() };
    let error = chain.call("look", view).await.unwrap_err();
    assert!(error.to_string().contains("disagree about look"), "{error}");

    bad.heal();
    outbox.send_once(key, count_one(counter)).await.unwrap();
    assert_eq!(anvil.count(counter).await, 1, "exactly once");
    assert_eq!(outbox.standing().borrow().label(), "ready");
}

#[tokio::test]
async fn a_liar_and_a_laggard_cannot_make_it_be_sent_twice() {
    const TOO_LOW: &[u8] =
        br#"{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"nonce too low"}}"#;
    let Some(anvil) = Anvil::start(&[]).await else { return };
    let counter = anvil.counter().await;
    anvil.fund(&signer(1)).await;
    let (chain, nodes) = doors(&anvil, 3).await;
    let outbox = hasty(&chain, 1);
    let key = B256::repeat_byte(9);
    // One takes it and says that the nonce was used, and that it has no receipt; the other really
    // has none yet. The third has it.
    nodes[0].script(|method, _| match method {
        "eth_sendRawTransaction" => Some(Twist::Body(200, TOO_LOW)),
        "eth_getTransactionReceipt" => Some(Twist::Result(Value::Null)),
        "eth_getTransactionCount" => Some(Twist::Result(json!("0x1"))),
        _ => None,
    });
    nodes[1].script(|method, _| {
        (method == "eth_getTransactionReceipt").then_some(Twist::Result(Value::Null))
    });
    let prepared = outbox.begin().await.prepare(count_one(counter)).await.unwrap();
    let error = outbox.resume(&prepared).await.unwrap_err();
    assert!(!matches!(error, SettleError::NonceTaken { .. }), "{error}");
    let error = outbox.send_once(key, count_one(counter)).await.unwrap_err();
    assert!(!matches!(error, SettleError::NonceTaken { .. }), "{error}");
    nodes.iter().for_each(Proxy::heal);
    assert_eq!(outbox.recover().await.unwrap(), 1);
    assert_eq!(anvil.count(counter).await, 1, "exactly once");
}

#[tokio::test]
async fn two_of_which_one_hangs_do_nothing_and_say_so() {
    let Some(anvil) = Anvil::start(&[]).await else { return };
    let counter = anvil.counter().await;
    anvil.fund(&signer(1)).await;
    let (chain, bad) = through(&anvil, 2).await;
    let outbox = hasty(&chain.clone().with_deadline(Duration::from_millis(200)), 1);
    bad.script(|_, _| Some(Twist::Hang));
    let error = outbox.send(count_one(counter)).await.unwrap_err();
    assert!(matches!(error, SettleError::Unreachable { .. }), "{error}");
    assert_eq!(outbox.standing().borrow().label(), "unreachable");
    assert_eq!(anvil.count(counter).await, 0);
    bad.heal();
    outbox.check().await.unwrap();
    assert_eq!(outbox.standing().borrow().label(), "ready");
    outbox.send(count_one(counter)).await.unwrap();
    assert_eq!(anvil.count(counter).await, 1);
}

#[tokio::test]
async fn one_that_fails_is_left_alone_and_asked_again_when_it_is_back() {
    let Some(anvil) = Anvil::start(&[]).await else { return };
    let (chain, bad) = through(&anvil, 3).await;
    let asked = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&asked);
    bad.script(move |_, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        Some(Twist::Body(500, b"broken"))
    });
    for _ in 0..50 {
        chain.balance(scenario::pauper()).await.unwrap();
    }
    assert!(asked.load(Ordering::SeqCst) <= 2, "fifty questions, one or two for the broken node");
    let seen = Arc::clone(&asked);
    bad.script(move |_, _| {
        seen.fetch_add(1_000, Ordering::SeqCst);
        None
    });
    until("the node to be asked again", async || {
        chain.balance(scenario::pauper()).await.unwrap();
        (asked.load(Ordering::SeqCst) >= 3_000).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_wrong_chain_and_an_empty_account_are_states() {
    let Some(anvil) = Anvil::start(&[]).await else { return };
    let poor = Outbox::new(anvil.chain.clone(), signer(0x99), quick());
    assert!(poor.check().await.is_err());
    assert_eq!(poor.standing().borrow().label(), "insufficient_gas");
    anvil.fund(&signer(0x99)).await;
    poor.check().await.unwrap();
    assert_eq!(poor.standing().borrow().label(), "ready");

    let elsewhere = OutboxConfig { chain_id: 1, ..quick() };
    let lost = Outbox::new(anvil.chain.clone(), signer(0x99), elsewhere);
    assert!(lost.check().await.is_err());
    assert_eq!(lost.standing().borrow().label(), "wrong_chain");
}
