//! What workers were promised, held against what the scheduler says after its death, and against what it
//! settled.

use super::{
    stage::Program,
    worker::{Ack, Pool, answer},
};
use quorate_common::{
    accounts::Vote,
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
    messages::{Header, Message as _, Reveal},
};
use quorate_grid::evidence::{BatchFile, TaskEvidence};
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    by_seq: BTreeMap<u64, Ack>,
    /// By worker, task, round and kind.
    by_vote: BTreeMap<(WorkerIdx, TaskKey, u16, bool), u64>,
    /// Acknowledgements that were given once more, after a death.
    pub(crate) again: usize,
}

impl Promises {
    /// Takes one down.
    ///
    /// # Panics
    /// If it contradicts one that was given before.
    pub(crate) fn note(&mut self, ack: Ack) {
        let known = *self.by_seq.entry(ack.seq).or_insert(ack);
        assert_eq!(known, ack, "acknowledgement {} was given twice, for two votes", ack.seq);
        let vote = (ack.worker, ack.task, ack.attempt, ack.is_commit);
        let seq = *self.by_vote.entry(vote).or_insert(ack.seq);
        assert_eq!(seq, ack.seq, "one vote got two numbers: {ack:?}");
    }

    /// Whether this vote has one.
    pub(crate) fn has(&self, worker: WorkerIdx, task: TaskKey, attempt: u16, commit: bool) -> bool {
        self.by_vote.contains_key(&(worker, task, attempt, commit))
    }

    pub(crate) fn count(&self) -> usize {
        self.by_seq.len()
    }

    /// Waits until `tasks` are in batches, and finds every promise in their evidence.
    ///
    /// # Panics
    /// If one is not there, or a task is there twice.
    pub(crate) async fn are_kept(&self, program: &Program, pool: &Pool, tasks: usize) {
        let evidence = evidence(program, tasks).await;
        for (seq, ack) in &self.by_seq {
            let task = &evidence[&ack.task];
            let mine = |vote: &&Vote| (vote.worker, vote.attempt) == (ack.worker.0, ack.attempt);
            let vote = task.votes.iter().find(mine);
            let vote = vote.unwrap_or_else(|| panic!("acknowledgement {seq} is lost: {ack:?}"));
            assert_eq!(found(pool, ack, task, vote), ack.hash, "something else counts: {ack:?}");
            assert_eq!(vote.digest, answer(ack.task).0.word(), "shown as never revealed: {ack:?}");
        }
    }
}

/// What the evidence has where `ack` was given.
fn found(pool: &Pool, ack: &Ack, task: &TaskEvidence, vote: &Vote) -> quorate_common::B256 {
    let task_id = task.rec.deal_id.task_id(task.rec.task_idx);
    let (attempt, digest, salt) = (ack.attempt, vote.digest, vote.salt);
    if ack.is_commit {
        return pool.separator.commitment(task_id, attempt, ack.worker, digest, salt);
    }
    let set_root = task.sets[usize::from(attempt)].root;
    Reveal { pool: pool.pool, task_id, attempt, set_root, digest, salt }.struct_hash()
}

async fn evidence(program: &Program, tasks: usize) -> BTreeMap<TaskKey, TaskEvidence> {
    let headers = program.until("every task to be in a batch", async || {
        let list = program.get("/v1/batches").await.unwrap();
        let headers: Vec<Header> = list["batches"].as_array().unwrap().iter().map(header).collect();
        let count: usize = headers.iter().map(|header| header.count as usize).sum();
        (count == tasks).then_some(headers)
    });
    let mut found = BTreeMap::new();
    for header in headers.await {
        // The evidence is written when the batch is sealed, a moment after it is closed.
        let digest = Digest::from(header.evidence);
        let file = program.until("the evidence", async || program.blob(digest).await).await;
        for task in BatchFile::parse(&file).unwrap().tasks {
            let key = TaskKey { deal: task.slot, idx: task.rec.task_idx };
            assert!(found.insert(key, task).is_none(), "{key} is settled twice");
        }
    }
    found
}

fn header(batch: &serde_json::Value) -> Header {
    serde_json::from_value(batch["header"].clone()).unwrap()
}
