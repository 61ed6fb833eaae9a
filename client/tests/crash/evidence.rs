//! What a pool has committed itself to: its batches with their evidence, repeated step by step, and
//! what they come to.

use super::operator::{Operator, UNIT_PRICE};
use quorate_common::{
    api::{BatchView, PoolInfo},
    digest::Digest,
    ids::WorkerIdx,
    messages::Header,
};
use quorate_grid::{
    audit::Books,
    evidence::{BatchFile, TaskEvidence},
};
use std::collections::BTreeMap;

/// Largest evidence of the test, in bytes.
const EVIDENCE_BYTES_MAX: u64 = 64 << 20;

/// Everything that was settled.
pub(crate) struct Evidence {
    pub(crate) pool: PoolInfo,
    pub(crate) books: Books,
    /// Each task of the one deal, with the batch it is in.
    pub(crate) tasks: BTreeMap<u32, (u64, TaskEvidence)>,
    pub(crate) headers: Vec<Header>,
}

impl Evidence {
    /// Reads every batch and repeats it, as a watcher would.
    ///
    /// # Panics
    /// If a step does not hold, or a task is in two batches.
    pub(crate) async fn read(operator: &Operator) -> Self {
        let api = operator.api();
        let pool = api.pool().await.unwrap();
        let (mut books, mut tasks) = (Books::new(pool.pool), BTreeMap::new());
        let mut headers = Vec::new();
        for BatchView { header, hash, .. } in operator.batches_are("committed").await {
            let bytes = api.blob(Digest::from(header.evidence), EVIDENCE_BYTES_MAX).await.unwrap();
            let file = BatchFile::parse(&bytes).unwrap();
            let replayed =
                books.replay(&pool.domain.separator(), Some(pool.signer), &header, &file, None);
            replayed.unwrap_or_else(|fault| panic!("batch {}: {fault}", header.index));
            assert_eq!(books.head(), (header.index, hash));
            adds_up(&header, &file);
            for task in file.tasks {
                let (idx, batch) = (task.rec.task_idx, header.index);
                if let Some((before, _)) = tasks.insert(idx, (batch, task)) {
                    panic!("task {idx} is in batch {before} and in batch {batch}");
                }
            }
            headers.push(header);
        }
        Self { pool, books, tasks, headers }
    }

    /// A sum over all headers.
    pub(crate) fn sum(&self, of: fn(&Header) -> u128) -> u128 {
        self.headers.iter().map(of).sum()
    }

    /// What a worker has earned.
    pub(crate) fn earned(&self, worker: u32) -> u128 {
        let account = self.books.worker_proof(WorkerIdx(worker));
        account.map_or(0, |(account, _)| account.cum_earned)
    }
}

/// A header's totals are its last task's, and every unit of the tasks' price is somebody's.
fn adds_up(header: &Header, file: &BatchFile) {
    let last = &file.tasks.last().expect("a batch has a task").rec;
    assert_eq!(
        (last.run_payout, last.run_fees, last.run_slash),
        (header.payout, header.fees, header.slashed)
    );
    assert_eq!(header.count as usize, file.tasks.len());
    assert_eq!(header.payout + header.fees, UNIT_PRICE * u128::from(header.count) + header.slashed);
}
