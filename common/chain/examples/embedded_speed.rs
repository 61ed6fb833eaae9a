//! How fast the embedded node is: `cargo run --release -p quorate-chain --example embedded_speed`.
//!
//! Transfers are signed beforehand and handed to the node as JSON-RPC, so that only the node is
//! measured; deals and batches go through the outbox as the scheduler sends them, estimate, fees,
//! signing, receipt and finality included. A batch per index, an order per deal, all durable.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program: it prints, and it may panic"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/scenario.rs"]
mod scenario;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{B256, Bytes, Signature, U256, keccak256};
use quorate_chain::Finality;
use quorate_chain::embedded::{EmbeddedConfig, EmbeddedNode};
use quorate_chain::transport::{Chain, ChainUrl};
use quorate_common::messages::{Header, Message};
use scenario::{Stage, must, pauper, signer};
use serde_json::json;
use std::time::Instant;

const TRANSFERS: u64 = 5_000;
const DEALS: u8 = 200;
const BATCHES: u64 = 200;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.log");
    let config = || EmbeddedConfig::new(31_337, 1_700_000_000);
    transfers("transfers, in memory", &EmbeddedNode::new(config()).unwrap());
    let durable = || config().with_state_path(&path);
    let node = EmbeddedNode::new(durable()).unwrap();
    transfers("transfers, durable", &node);
    let chain = Chain::connect(&ChainUrl::Embedded(node.clone())).unwrap();
    let stage = Stage::set(&chain, Finality::Finalized).await;
    deals(&stage).await;
    batches(&stage).await;
    let blocks = node.block_number();
    drop((node, chain, stage));
    let watch = Stopwatch::start();
    let node = EmbeddedNode::new(durable()).unwrap();
    watch.report("reopening", node.block_number());
    assert_eq!(node.block_number(), blocks);
}

/// Wall and CPU time since something began. The latter is what counts on a busy machine.
struct Stopwatch {
    wall: Instant,
    cpu_s: f64,
}

impl Stopwatch {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu_s: cpu_seconds() }
    }

    fn report(&self, what: &str, count: u64) {
        let each = |seconds: f64| seconds * 1e6 / count as f64;
        let wall = self.wall.elapsed().as_secs_f64();
        let cpu = cpu_seconds() - self.cpu_s;
        println!(
            "{what:24} {count:6} = {:6.0}/s, each {:6.0} us of wall, {:6.0} us of CPU",
            count as f64 / wall,
            each(wall),
            each(cpu)
        );
    }
}

/// User and system time of this process, all threads, in steps of 10 ms: fields 14 and 15 of
/// `/proc/self/stat`, counted behind the program's name.
fn cpu_seconds() -> f64 {
    const TICKS_PER_S: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 / TICKS_PER_S
}

fn transfers(what: &str, node: &EmbeddedNode) {
    let sender = signer(1);
    node.request("anvil_setBalance", json!([sender.address(), U256::MAX >> 8])).unwrap();
    let raws: Vec<Bytes> = (0..TRANSFERS)
        .map(|nonce| {
            let tx = TxEip1559 {
                chain_id: 31_337,
                nonce,
                gas_limit: 21_000,
                max_fee_per_gas: 100_000_000,
                to: pauper().into(),
                value: U256::ONE,
                ..TxEip1559::default()
            };
            let signature = sender.sign(tx.signature_hash()).to_bytes();
            TxEnvelope::from(tx.into_signed(Signature::from_erc2098(&signature)))
                .encoded_2718()
                .into()
        })
        .collect();
    let watch = Stopwatch::start();
    for raw in raws {
        node.request("eth_sendRawTransaction", json!([raw])).unwrap();
    }
    watch.report(what, TRANSFERS);
}

async fn deals(stage: &Stage) {
    let mut calls = Vec::new();
    for salt in 0..DEALS {
        let (mut req, offer) = stage.orders(salt).await;
        req.tasks = 1;
        req.max_unit_price = 1;
        let offer = quorate_common::messages::PoolOrder { unit_price: 1, ..offer };
        calls.push(stage.open_call(&req, &offer));
    }
    let watch = Stopwatch::start();
    for call in calls {
        must(&stage.requester, call).await;
    }
    watch.report("openDeal by outbox", u64::from(DEALS));
}

async fn batches(stage: &Stage) {
    let mut parent = B256::ZERO;
    let mut calls = Vec::new();
    for index in 1..=BATCHES {
        let header = Header {
            pool: stage.pool,
            index,
            parent,
            tasks_root: keccak256(index.to_be_bytes()),
            state_root: keccak256([1]),
            evidence: keccak256([2]),
            count: 1,
            payout: 0,
            fees: 0,
            royalties: 0,
            slashed: 0,
            cum_fees: 0,
        };
        parent = header.struct_hash();
        calls.push(stage.commit_call(&header));
    }
    let watch = Stopwatch::start();
    let mut gas = 0;
    for call in calls {
        gas = must(&stage.operator, call).await.gas_used;
    }
    watch.report("commitBatch by outbox", BATCHES);
    println!("a commitBatch used {gas} gas");
}
