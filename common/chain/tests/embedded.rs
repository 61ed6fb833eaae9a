//! The embedded node, reached as everybody reaches it: the whole scenario through alloy, what it
//! refuses and in which words, its file, and the outbox's hard cases.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/scenario.rs"]
mod scenario;

use alloy::primitives::{Address, B256, Bytes, U256};
use quorate_chain::embedded::{EmbeddedConfig, EmbeddedNode, RpcError};
use quorate_chain::outbox::{Finality, OutboxConfig};
use quorate_chain::transport::{BlockRef, Chain, ChainUrl};
use quorate_chain::{Call, Outbox, Remedy, SettleError, preset};
use scenario::{Stage, config, funded, must, pauper, signer, whole_deal};
use serde_json::{Value, json};
use std::fs;

const GENESIS_S: u64 = 1_800_000_000;

fn settings() -> EmbeddedConfig {
    EmbeddedConfig::new(31_337, GENESIS_S).with_clock(|| GENESIS_S)
}

fn node() -> EmbeddedNode {
    EmbeddedNode::new(settings()).unwrap()
}

fn chain_of(node: &EmbeddedNode) -> Chain {
    Chain::connect(&ChainUrl::Embedded(node.clone())).unwrap()
}

#[tokio::test]
async fn a_whole_deal_on_the_embedded_node() {
    whole_deal(&chain_of(&node()), Finality::Finalized).await;
}

#[tokio::test]
async fn a_whole_deal_with_confirmations() {
    whole_deal(&chain_of(&node()), Finality::Confirmations(1)).await;
}

// The node's file.

#[tokio::test]
async fn a_durable_chain_comes_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.log");
    let durable = || settings().with_state_path(&path);

    let first = EmbeddedNode::new(durable()).unwrap();
    let chain = chain_of(&first);
    let stage = Stage::set(&chain, Finality::Finalized).await;
    let (req, offer) = stage.orders(1).await;
    let opened = must(&stage.requester, stage.open_call(&req, &offer)).await;
    chain.warp(1_000_000).await.unwrap();
    let head = chain.head().await.unwrap();
    let pool = stage.settlement.pool(stage.pool).await.unwrap();
    let events = stage.all_events().await;
    let contract = stage.settlement.address();
    drop((stage, chain, first));
    // The process dies while it writes one more record.
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[9, 0, 0, 0, 1, 2, 3]);
    fs::write(&path, bytes).unwrap();

    let second = EmbeddedNode::new(durable()).unwrap();
    let chain = chain_of(&second);
    assert_eq!(chain.head().await.unwrap(), head);
    let receipt = chain.receipt(opened.tx).await.unwrap().unwrap();
    assert_eq!(receipt.block_hash, Some(opened.block_hash));
    let stage = Stage::again(&chain, contract, Finality::Finalized).await;
    assert_eq!(stage.settlement.pool(stage.pool).await.unwrap(), pool);
    assert_eq!(stage.all_events().await, events);
    // The clock's lead is remembered, and the next deal follows on.
    let (mut req, mut offer) = stage.orders(2).await;
    (req.tasks, offer.tasks) = (1, 1);
    must(&stage.requester, stage.open_call(&req, &offer)).await;
    assert!(chain.head().await.unwrap().timestamp >= head.timestamp);
}

#[test]
fn a_durable_chain_with_other_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.log");
    drop(EmbeddedNode::new(settings().with_state_path(&path)).unwrap());
    let other = settings().with_account(Address::ZERO, U256::from(1)).with_state_path(&path);
    let error = EmbeddedNode::new(other).unwrap_err();
    assert!(error.to_string().contains("other settings"), "{error}");
}

#[test]
fn a_chain_file_that_lies_is_refused() {
    // A record with a good checksum that this chain cannot have written: its block's hash is off.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.log");
    let node = EmbeddedNode::new(settings().with_state_path(&path)).unwrap();
    node.request("evm_mine", json!([])).unwrap();
    drop(node);
    let mut bytes = fs::read(&path).unwrap();
    let body = bytes.len() - 41;
    bytes[body + 40] ^= 1;
    let crc = crc32c::crc32c(&bytes[body..]).to_le_bytes();
    bytes[body - 4..body].copy_from_slice(&crc);
    fs::write(&path, bytes).unwrap();
    let error = EmbeddedNode::new(settings().with_state_path(&path)).unwrap_err();
    assert!(error.to_string().contains("block 1 is 0x"), "{error}");
}

// What the node refuses.

/// Calls the node as JSON text would.
fn ask(node: &EmbeddedNode, method: &str, params: Value) -> Result<Value, RpcError> {
    node.request(method, params)
}

#[test]
fn malformed_requests_are_answered_with_errors() {
    let node = node();
    let bad: [(&str, Value, i64); 24] = [
        ("eth_nothing", json!([]), -32_601),
        ("", json!([]), -32_601),
        ("eth_getBalance", json!([]), -32_602),
        ("eth_getBalance", json!({"address": "0x"}), -32_602),
        ("eth_getBalance", json!(["0x12"]), -32_602),
        ("eth_getBalance", json!([42]), -32_602),
        ("eth_getBalance", json!([Address::ZERO, "yesterday"]), -32_602),
        ("eth_getBalance", json!([Address::ZERO, "0x7"]), -32_000),
        ("eth_call", json!(["0x"]), -32_602),
        ("eth_call", json!([{"to": "0x1"}]), -32_602),
        ("eth_call", json!([{"value": "-1"}]), -32_602),
        ("eth_estimateGas", json!([null]), -32_602),
        ("eth_sendRawTransaction", json!(["0xzz"]), -32_602),
        ("eth_sendRawTransaction", json!(["0x"]), -32_000),
        ("eth_sendRawTransaction", json!(["0x00"]), -32_000),
        ("eth_getBlockByNumber", json!(["0x", true]), -32_602),
        ("eth_getBlockByHash", json!(["0x00", true]), -32_602),
        ("eth_getTransactionReceipt", json!([[]]), -32_602),
        ("eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "0x5"}]), -32_602),
        ("eth_getLogs", json!([{"blockHash": B256::ZERO}]), -32_000),
        ("eth_feeHistory", json!(["0x1", "0x9", []]), -32_000),
        ("eth_feeHistory", json!(["0x1", "latest", vec![1.0; 200]]), -32_602),
        ("evm_increaseTime", json!([u64::MAX]), -32_602),
        ("evm_mine", json!([GENESIS_S - 1]), -32_602),
    ];
    for (method, params, code) in bad {
        let error = ask(&node, method, params.clone()).unwrap_err();
        assert_eq!(error.code, code, "{method} {params}: {error}");
    }
    assert_eq!(node.block_number(), 0, "no refusal mined a block");
}

#[test]
fn deep_and_random_json_never_panics() {
    let node = node();
    let methods = [
        "eth_call",
        "eth_estimateGas",
        "eth_getLogs",
        "eth_feeHistory",
        "eth_getStorageAt",
        "eth_getBlockByNumber",
        "eth_sendRawTransaction",
        "anvil_setBalance",
        "evm_mine",
    ];
    let mut random = Random(7);
    for round in 0..2_000 {
        let method = methods[round % methods.len()];
        let params = Value::Array((0..3).map(|_| random.json(4)).collect());
        let _answered = ask(&node, method, params);
    }
}

#[test]
fn random_and_mutated_transactions_never_panic() {
    let node = node();
    let sender = signer(1);
    let _ = ask(&node, "anvil_setBalance", json!([sender.address(), "0xffffffffffffffff"]));
    let good = raw_transfer(31_337, 0, 21_000, 100_000_000);
    let mut random = Random(3);
    let mut refused = 0;
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.to_vec();
            bad[at] ^= 1 << bit;
            // A flipped bit is another transaction, by a stranger without money.
            refused += usize::from(send(&node, &bad).is_err());
        }
        assert!(send(&node, &good[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(refused, good.len() * 8);
    for _ in 0..2_000 {
        let bytes = random.bytes(200);
        assert!(send(&node, &bytes).is_err());
    }
    assert!(send(&node, &vec![2; 200_000]).unwrap_err().message.starts_with("oversized data"));
    assert_eq!(node.block_number(), 0);
    send(&node, &good).unwrap();
    assert_eq!(send(&node, &good).unwrap_err().message, "already known");
}

#[test]
fn bad_transactions_are_refused_in_geths_words() {
    let node = node();
    let enough = 100_000_000;
    let refusal = |raw: &[u8]| send(&node, raw).unwrap_err().message;
    let poor = refusal(&raw_transfer(31_337, 0, 21_000, enough));
    assert!(poor.starts_with("insufficient funds for gas * price + value"), "{poor}");
    fund(&node, &signer(1).address());
    send(&node, &raw_transfer(31_337, 0, 21_000, enough)).unwrap();
    for (raw, words) in [
        (raw_transfer(31_337, 0, 22_000, enough), "nonce too low"),
        (raw_transfer(31_337, 5, 21_000, enough), "nonce too high"),
        (raw_transfer(1, 1, 21_000, enough), "invalid chain id for signer: have 1 want 31337"),
        (raw_transfer(31_337, 1, 20_999, enough), "intrinsic gas too low: have 20999, want 21000"),
        (raw_transfer(31_337, 1, 21_000, 1), "max fee per gas less than block base fee"),
        (raw_transfer(31_337, 1, 16_777_217, enough), "transaction gas limit too high"),
    ] {
        let message = refusal(&raw);
        assert!(message.starts_with(words), "{message}");
    }
    let mut small = settings().with_account(signer(1).address(), U256::from(u64::MAX));
    small.block_gas_limit = 100_000;
    let node = EmbeddedNode::new(small).unwrap();
    let message = send(&node, &raw_transfer(31_337, 0, 100_001, enough)).unwrap_err().message;
    assert_eq!(message, "exceeds block gas limit: have 100001, limit 100000");
}

#[test]
fn a_revert_is_code_3_with_its_data() {
    let node = node();
    // Reverts with 32 bytes: CALLDATALOAD(0), MSTORE(0), REVERT(0, 32).
    let code = "0x60003560005260206000fd";
    let error = ask(&node, "eth_call", json!([{"data": code}])).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (3, "execution reverted"));
    assert_eq!(error.data.unwrap().as_str().unwrap().len(), 2 + 64);
    let error = ask(&node, "eth_estimateGas", json!([{"data": code}])).unwrap_err();
    assert_eq!(error.code, 3);
    let error = ask(&node, "eth_call", json!([{"data": "0xfe"}])).unwrap_err();
    assert_eq!(error.code, -32_000, "an invalid opcode halts: {error}");
}

#[test]
fn reads_agree_with_each_other() {
    let node = node();
    fund(&node, &signer(1).address());
    let hash = send(&node, &raw_transfer(31_337, 0, 21_000, 100_000_000)).unwrap();
    let receipt = ask(&node, "eth_getTransactionReceipt", json!([hash])).unwrap();
    let block = ask(&node, "eth_getBlockByHash", json!([receipt["blockHash"], false])).unwrap();
    assert_eq!(block["transactions"], json!([hash]));
    for tag in ["latest", "safe", "finalized", "pending", "0x1"] {
        let same = ask(&node, "eth_getBlockByNumber", json!([tag, false])).unwrap();
        assert_eq!(same, block, "{tag}");
    }
    let full = ask(&node, "eth_getBlockByNumber", json!(["latest", true])).unwrap();
    let tx = ask(&node, "eth_getTransactionByHash", json!([hash])).unwrap();
    assert_eq!(full["transactions"], json!([tx]));
    assert_eq!(tx["from"], json!(signer(1).address()));
    let sent = ask(&node, "eth_getBalance", json!([pauper(), "latest"])).unwrap();
    assert_eq!(sent, json!("0x1"));
    let count = ask(&node, "eth_getTransactionCount", json!([signer(1).address()])).unwrap();
    assert_eq!(count, json!("0x1"));
    let fees = ask(&node, "eth_feeHistory", json!(["0x5", "latest", [50.0]])).unwrap();
    assert_eq!(fees["baseFeePerGas"].as_array().unwrap().len(), 3);
    assert_eq!(ask(&node, "eth_getBlockByNumber", json!(["0x2", false])).unwrap(), Value::Null);
    assert_eq!(ask(&node, "eth_getTransactionReceipt", json!([B256::ZERO])).unwrap(), Value::Null);
}

#[test]
fn time_runs_forward_only() {
    let node = node();
    let timestamp = || {
        let block = ask(&node, "eth_getBlockByNumber", json!(["latest", false])).unwrap();
        block["timestamp"].as_str().map(str::to_owned).unwrap()
    };
    let hex = |seconds: u64| format!("{seconds:#x}");
    ask(&node, "evm_mine", json!([])).unwrap();
    assert_eq!(timestamp(), hex(GENESIS_S), "the clock stands, and so does the chain's");
    ask(&node, "evm_increaseTime", json!([1_000])).unwrap();
    ask(&node, "evm_mine", json!([])).unwrap();
    assert_eq!(timestamp(), hex(GENESIS_S + 1_000));
    ask(&node, "evm_mine", json!([hex(GENESIS_S + 5_000)])).unwrap();
    ask(&node, "evm_mine", json!([])).unwrap();
    assert_eq!(timestamp(), hex(GENESIS_S + 5_000));
    ask(&node, "evm_increaseTime", json!(["0x1"])).unwrap();
    ask(&node, "evm_mine", json!([])).unwrap();
    assert_eq!(timestamp(), hex(GENESIS_S + 5_001));
}

#[test]
fn logs_are_bounded() {
    let node = node();
    for _ in 0..10_001 {
        ask(&node, "evm_mine", json!([])).unwrap();
    }
    let query = |from: &str| ask(&node, "eth_getLogs", json!([{"fromBlock": from}]));
    assert_eq!(query("0x2").unwrap(), json!([]));
    assert_eq!(query("0x1").unwrap_err().code, -32_005);
}

// The outbox's hard cases.

#[tokio::test]
async fn many_at_once_get_one_nonce_each() {
    let chain = chain_of(&node());
    let outbox = funded(&chain, 0x11, Finality::Finalized).await;
    let sends = (0..20).map(|n| {
        let outbox = outbox.clone();
        async move { outbox.send(Call::transfer(pauper(), U256::from(n))).await }
    });
    let receipts = futures_util::future::join_all(sends).await;
    let mut blocks: Vec<u64> = receipts.into_iter().map(|r| r.unwrap().block_number).collect();
    blocks.sort_unstable();
    assert_eq!(blocks, (1..=20).collect::<Vec<u64>>());
    assert_eq!(chain.balance(pauper()).await.unwrap(), U256::from((0..20).sum::<u64>()));
}

#[tokio::test]
async fn what_was_prepared_can_be_sent_any_number_of_times() {
    let chain = chain_of(&node());
    let outbox = funded(&chain, 0x11, Finality::Finalized).await;
    let prepared = outbox.begin().await.prepare(Call::transfer(pauper(), U256::ONE)).await.unwrap();
    // The caller's journal: what comes back from disk is what was prepared.
    let bytes = serde_json::to_vec(&prepared).unwrap();
    let mut prepared = serde_json::from_slice(&bytes).unwrap();
    let first = outbox.resume(&prepared).await.unwrap();
    assert_eq!(outbox.resume(&prepared).await.unwrap(), first);
    // A dearer version made after the cheaper one was mined changes nothing.
    outbox.begin().await.raise(&mut prepared).await.unwrap();
    assert_eq!(prepared.versions.len(), 2);
    assert_eq!(outbox.resume(&prepared).await.unwrap(), first);
    assert_eq!(chain.balance(pauper()).await.unwrap(), U256::ONE);
}

#[tokio::test]
async fn a_nonce_taken_by_another_sender_is_told() {
    let chain = chain_of(&node());
    let outbox = funded(&chain, 0x11, Finality::Finalized).await;
    let prepared = outbox.begin().await.prepare(Call::transfer(pauper(), U256::ONE)).await.unwrap();
    let rival = Outbox::new(chain.clone(), signer(0x11), config(Finality::Finalized));
    must(&rival, Call::transfer(pauper(), U256::from(2))).await;
    let error = outbox.resume(&prepared).await.unwrap_err();
    assert!(matches!(error, SettleError::NonceTaken { nonce: 0, .. }), "{error}");
    assert_eq!(error.remedy(), Remedy::PrepareAgain);
}

/// Wei that the pauper was paid.
async fn paid(chain: &Chain) -> u64 {
    chain.balance(pauper()).await.unwrap().to()
}

#[tokio::test]
async fn what_has_a_key_is_sent_once_whoever_asks_and_however_often() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain_of(&node());
    funded(&chain, 0x11, Finality::Finalized).await;
    let open =
        || Outbox::open(chain.clone(), signer(0x11), config(Finality::Finalized), folder.path());
    let (key, call) = (B256::repeat_byte(1), || Call::transfer(pauper(), U256::ONE));
    let outbox = open().unwrap();
    let (first, second) =
        tokio::join!(outbox.send_once(key, call()), outbox.send_once(key, call()));
    let first = first.unwrap();
    assert_eq!(first, second.unwrap());
    assert_eq!(paid(&chain).await, 1);
    let error = open().unwrap_err();
    assert!(matches!(error, SettleError::AccountBusy { .. }), "{error}");
    drop(outbox);
    let outbox = open().unwrap();
    assert_eq!(outbox.send_once(key, call()).await.unwrap(), first);
    assert_eq!(paid(&chain).await, 1);
    outbox.send_once(B256::repeat_byte(2), call()).await.unwrap();
    outbox.send(call()).await.unwrap();
    outbox.send(call()).await.unwrap();
    assert_eq!(paid(&chain).await, 4, "another key, or none, is another payment");
    assert!(outbox.unfinished().is_empty());
    assert_eq!(call().content_key(), call().content_key());
    assert_ne!(call().content_key(), Call::transfer(pauper(), U256::ZERO).content_key());
}

#[tokio::test]
async fn two_calls_prepared_for_one_nonce_do_not_both_get_it() {
    let chain = chain_of(&node());
    let outbox = funded(&chain, 0x11, Finality::Finalized).await;
    let call = |wei: u64| Call::transfer(pauper(), U256::from(wei));
    let first = outbox.begin().await.prepare(call(1)).await.unwrap();
    let second = outbox.begin().await.prepare(call(2)).await.unwrap();
    assert_eq!(first.nonce, second.nonce, "nothing was sent in between");
    outbox.resume(&second).await.unwrap();
    let error = outbox.resume(&first).await.unwrap_err();
    assert!(matches!(error, SettleError::NonceTaken { .. }), "{error}");
    assert_eq!(paid(&chain).await, 2);
}

#[tokio::test]
async fn what_a_crash_left_is_sent_before_anything_new_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain_of(&node());
    funded(&chain, 0x11, Finality::Finalized).await;
    let open =
        || Outbox::open(chain.clone(), signer(0x11), config(Finality::Finalized), folder.path());
    // Kept, and then the process ends before the node hears of it: as if cut off in the middle.
    let outbox = open().unwrap();
    let turn = outbox.begin().await;
    let left = turn.prepare(Call::transfer(pauper(), U256::from(10))).await.unwrap();
    let submit = turn.submit(&left);
    let cut = tokio::time::timeout(std::time::Duration::ZERO, submit).await;
    assert!(cut.is_err(), "cut off at the first wait");
    drop(turn);
    drop(outbox);
    // The write goes on without its caller, and holds the lock until it is through.
    let outbox = loop {
        match open() {
            Ok(outbox) if outbox.unfinished().is_empty() => drop(outbox),
            Ok(outbox) => break outbox,
            Err(error) => assert!(matches!(error, SettleError::AccountBusy { .. }), "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(outbox.unfinished(), std::slice::from_ref(&left));
    outbox.send(Call::transfer(pauper(), U256::ONE)).await.unwrap();
    assert_eq!(paid(&chain).await, 11);
    assert_eq!(outbox.recover().await.unwrap(), 1);
    assert_eq!(outbox.recover().await.unwrap(), 0);
    assert_eq!(paid(&chain).await, 11);
    drop(outbox);
    let account = folder.path().join(format!("31337-{}", signer(0x11).address()));
    fs::write(account.join("00000000000000000007.intent"), "{}").unwrap();
    let error = open().unwrap_err();
    assert!(error.to_string().contains("00007.intent"), "{error}");
    assert_eq!(error.remedy(), Remedy::AlertOperator);
}

#[tokio::test]
async fn no_gas_money_the_wrong_chain_and_a_revert_are_told_before_anything_is_sent() {
    let chain = chain_of(&node());
    let poor = Outbox::new(chain.clone(), signer(0x99), config(Finality::Finalized));
    let error = poor.send(Call::transfer(Address::ZERO, U256::ZERO)).await.unwrap_err();
    assert!(matches!(error, SettleError::InsufficientGas { .. }), "{error}");
    assert!(error.to_string().contains("send it"), "{error}");

    let arbitrum = OutboxConfig::of(preset("arbitrum").unwrap());
    let lost = Outbox::new(chain.clone(), signer(0x11), arbitrum);
    let error = lost.send(Call::transfer(Address::ZERO, U256::ZERO)).await.unwrap_err();
    assert!(matches!(error, SettleError::InvalidChainId { expected: 42_161, .. }), "{error}");

    let rich = funded(&chain, 0x11, Finality::Finalized).await;
    let data = Bytes::from_static(&[0x60, 0, 0x60, 0, 0xfd]);
    let create = Call { what: "break".into(), to: None, value: U256::ZERO, data, gas_max: None };
    let error = rich.send(create).await.unwrap_err();
    assert!(matches!(&error, SettleError::Reverted(revert) if revert.tx.is_none()), "{error}");
    assert_eq!(chain.block(BlockRef::Latest).await.unwrap().unwrap().number, 0);
}

#[tokio::test]
async fn too_few_tokens_are_told_in_figures() {
    let chain = chain_of(&node());
    let stage = Stage::set(&chain, Finality::Finalized).await;
    let error = stage.requester.send(stage.settlement.withdraw(6_000)).await.unwrap_err();
    let SettleError::InsufficientToken { account, have, want } = error else { panic!("{error}") };
    assert_eq!(account, stage.requester.account());
    assert_eq!((have, want), (U256::from(5_000), U256::from(6_000)));
    assert_eq!(stage.requester.standing().borrow().label(), "insufficient_token");
}

#[tokio::test]
async fn a_contract_that_is_not_ours_is_refused() {
    let chain = chain_of(&node());
    let stage = Stage::set(&chain, Finality::Finalized).await;
    let token = stage.settlement.token();
    for (contract, words) in [(pauper(), "no code"), (token, "another domain")] {
        let domain = quorate_common::messages::Domain { chain_id: 31_337, contract };
        let error = quorate_chain::Settlement::connect(chain.clone(), domain).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

// Tools.

fn send(node: &EmbeddedNode, raw: &[u8]) -> Result<Value, RpcError> {
    ask(node, "eth_sendRawTransaction", json!([Bytes::copy_from_slice(raw)]))
}

fn fund(node: &EmbeddedNode, whom: &Address) {
    ask(node, "anvil_setBalance", json!([whom, "0xde0b6b3a7640000"])).unwrap();
}

/// A signed transfer of one wei from signer 1.
fn raw_transfer(chain_id: u64, nonce: u64, gas_limit: u64, max_fee: u128) -> Bytes {
    use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
    use alloy::eips::eip2718::Encodable2718;
    let tx = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas: max_fee,
        max_priority_fee_per_gas: 1,
        to: pauper().into(),
        value: U256::ONE,
        ..TxEip1559::default()
    };
    let signature = signer(1).sign(tx.signature_hash()).to_bytes();
    let signed = tx.into_signed(alloy::primitives::Signature::from_erc2098(&signature));
    TxEnvelope::from(signed).encoded_2718().into()
}

/// A small generator with a seed, so that a failure comes again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.next() % most).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn json(&mut self, depth: u32) -> Value {
        const WORDS: [&str; 8] =
            ["", "0x", "0x0", "latest", "0xffffffffffffffffff", "\u{0}", "blockHash", "topics"];
        let word = WORDS[(self.next() % 8) as usize];
        match self.next() % if depth == 0 { 5 } else { 8 } {
            0 => Value::Null,
            1 => json!(self.next()),
            2 => json!(-(self.next() as i32)),
            3 => json!(Bytes::from(self.bytes(80))),
            4 => json!(word),
            5 => (0..self.next() % 4).map(|_| self.json(depth - 1)).collect(),
            _ => {
                const KEYS: [&str; 10] = [
                    "to",
                    "from",
                    "data",
                    "value",
                    "gas",
                    "fromBlock",
                    "toBlock",
                    "address",
                    "topics",
                    "accessList",
                ];
                let pairs = (0..self.next() % 5).map(|_| {
                    let key = KEYS[(self.next() % 10) as usize];
                    (key.to_owned(), self.json(depth - 1))
                });
                Value::Object(pairs.collect())
            }
        }
    }
}
