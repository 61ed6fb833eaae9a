//! What the store holds: the index that queries need and the journal implies. Keys are big-endian so
//! that a prefix scan is in order. The grid never reads it.

use crate::store::{Keyspace, Op};
use alloy_primitives::B256;
use quorate_common::{digest::Digest, ids::TaskKey};
use quorate_grid::Record;
use serde::{Deserialize, Serialize};

/// Orders by struct hash: unix milliseconds of arrival.
pub const ORDERS: Keyspace = Keyspace::new("orders");
/// Settled tasks: deal slot, first record, → [`Row`]s. Grouped per append, because a put costs the
/// store 14 µs however small it is.
pub const RESULTS: Keyspace = Keyspace::new("results");

/// Rows in one value, so that it stays far below the store's 64 KiB.
const ROWS_MAX: usize = 1_000;

/// A settled task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its index.
    pub idx: u32,
    /// How it ended: 1 Consensus, 2 NoQuorum, 3 Expired.
    pub outcome: u8,
    /// The accepted result.
    pub digest: Digest,
}

/// Turns records into changes of the store.
#[derive(Debug, Default)]
pub struct Builder {
    groups: u64,
}

impl Builder {
    /// The changes of one append.
    #[expect(clippy::wildcard_enum_match_arm, reason = "queries need no other record")]
    pub fn ops(&mut self, records: &[Record]) -> Vec<Op> {
        let mut ops = Vec::new();
        let mut settled: Vec<(TaskKey, Row)> = Vec::new();
        for record in records {
            match record {
                Record::Order { hash, order } => ops.push(order_op(*hash, order.at_unix_ms)),
                Record::Settled { task, outcome, winner, .. } => {
                    let digest = winner.unwrap_or_default();
                    settled.push((*task, Row { idx: task.idx, outcome: *outcome as u8, digest }));
                }
                _ => {}
            }
        }
        self.results(settled, &mut ops);
        ops
    }

    fn results(&mut self, settled: Vec<(TaskKey, Row)>, ops: &mut Vec<Op>) {
        for chunk in settled.chunk_by(|a, b| a.0.deal == b.0.deal).flat_map(|c| c.chunks(ROWS_MAX))
        {
            let rows: Vec<Row> = chunk.iter().map(|(_, row)| *row).collect();
            let first = chunk[0].0;
            let mut key = first.deal.0.to_be_bytes().to_vec();
            key.extend_from_slice(&first.idx.to_be_bytes());
            self.groups += 1;
            ops.push(Op::Put {
                keyspace: RESULTS,
                key,
                value: quorate_common::wire::to_bytes(&rows),
            });
        }
    }
}

fn order_op(hash: B256, at_unix_ms: u64) -> Op {
    Op::Put { keyspace: ORDERS, key: hash.to_vec(), value: at_unix_ms.to_be_bytes().to_vec() }
}
