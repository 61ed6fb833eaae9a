//! What a chain node says and what comes through a contract: logs, calldata of the inbox, JSON-RPC.

use super::harness::{Said, fuzz, said};
use quorate_chain::{
    ChainUrl,
    abi::{Court, Settlement},
    court::CourtEvent,
    events::{ChainEvent, Forced},
};
use quorate_common::{Address, B256, ids::PoolId};
use quorate_scheduler::{dev::DevChain, http::rpc};
use serde_json::{Value, json};

/// A log as a node would say it: which event, three topics, data.
fn log(selectors: &[[u8; 32]], bytes: &[u8]) -> Option<Value> {
    let (which, rest) = bytes.split_first()?;
    let (topics, data) = rest.split_at_checked(96)?;
    let selector = selectors[usize::from(*which) % selectors.len()];
    let mut all = vec![B256::from(selector)];
    let count = usize::from(which >> 6);
    all.extend(topics.chunks(32).take(count).map(B256::from_slice));
    let data = format!("0x{}", hex::encode(data));
    Some(json!({ "address": Address::ZERO, "topics": all, "data": data }))
}

/// One input per event and count of topics, of zeros.
fn logs(selectors: usize) -> Vec<Vec<u8>> {
    let first = (0..selectors).flat_map(|n| (0..4).map(move |count| (n, count << 6)));
    let first = first.filter_map(|(n, count)| Some(u8::try_from(n).ok()? | count));
    first.map(|first| [vec![first], vec![0; 96 + 32 * 24]].concat()).collect()
}

#[test]
fn an_event_of_the_contract() {
    let selectors = Settlement::SettlementEvents::SELECTORS;
    let samples = logs(selectors.len());
    let decode = |bytes: &[u8]| {
        let log = serde_json::from_value(log(selectors, bytes)?).ok()?;
        ChainEvent::decode(&log)
    };
    let taken: Vec<Vec<u8>> = samples.into_iter().filter(|one| decode(one).is_some()).collect();
    assert!(!taken.is_empty(), "no event is read from zeros");
    fuzz("event", &taken, |bytes| said(decode(bytes).is_some()));
}

#[test]
fn an_event_of_the_court() {
    let selectors = Court::CourtEvents::SELECTORS;
    let samples = logs(selectors.len());
    let decode = |bytes: &[u8]| {
        let log = serde_json::from_value(log(selectors, bytes)?).ok()?;
        CourtEvent::decode(&log)
    };
    let taken: Vec<Vec<u8>> = samples.into_iter().filter(|one| decode(one).is_some()).collect();
    assert!(!taken.is_empty(), "no event is read from zeros");
    fuzz("court event", &taken, |bytes| said(decode(bytes).is_some()));
}

#[test]
fn an_entry_of_the_inbox() {
    let words = |words: &[u16]| -> Vec<u8> {
        words.iter().flat_map(|word| B256::left_padding_from(&word.to_be_bytes()).0).collect()
    };
    let demand = words(&[1, 2, 3, 4]);
    // The path lies behind the twelve words: one sibling.
    let vote = words(&[1, 1, 2, 0, 4, 5, 6, 0, 2, 12 * 32, 8, 9, 1, 7]);
    fuzz("inbox", &[demand, vote], |bytes| {
        let (hash, before, after) = (B256::ZERO, B256::ZERO, B256::ZERO);
        let entry = |kind| Forced {
            pool: PoolId(1),
            kind,
            hash,
            at: 7,
            before,
            after,
            entry: bytes.to_vec(),
        };
        let vote = entry(1).vote().is_some();
        let demand = entry(2).demand().is_some();
        said(entry(3).set().is_some() || demand || vote)
    });
}

#[test]
fn the_url_of_a_node() {
    fuzz("chain url", &[b"https://node.example/key".to_vec()], |bytes| {
        said(ChainUrl::parse(&String::from_utf8_lossy(bytes)).is_ok())
    });
}

#[test]
fn a_call_of_the_development_chain() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dev = runtime.block_on(DevChain::start(None)).unwrap();
    let calls = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{"to": dev.settlement.address(), "data": "0x8da5cb5b"}, "latest"]}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{"fromBlock": "0x0", "toBlock": "0x2"}]}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x02f86c827a6980"]}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", false]}),
    ];
    let samples: Vec<Vec<u8>> =
        calls.iter().map(|call| serde_json::to_vec(call).unwrap()).collect();
    fuzz("json-rpc", &samples, |bytes| {
        let Ok(body) = serde_json::from_slice(bytes) else { return Said::Refused };
        drop(rpc::answer(&dev.node, body));
        Said::Taken
    });
}
