//! What workers were promised: every acknowledgement they got, as their logs have it, held against
//! what was settled. A scheduler that answers before its disk has it breaks its word when it dies.

use super::{evidence::Evidence, volunteer::Volunteer};
use quorate_common::{
    B256,
    accounts::Vote,
    ids::WorkerIdx,
    messages::{Message as _, Reveal},
};
use std::collections::BTreeMap;

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Promise {
    worker: u32,
    is_commit: bool,
    task: u32,
    attempt: u16,
    /// The commitment, or the reveal's struct hash.
    hash: B256,
}

/// Reads every worker's log, and checks that each promise was kept. Returns how many there were.
///
/// # Panics
/// If one was not.
pub(crate) fn are_kept(volunteers: &[Volunteer], evidence: &Evidence) -> usize {
    let mut promises: BTreeMap<u64, Promise> = BTreeMap::new();
    for volunteer in volunteers {
        for (seq, promise) in read(volunteer) {
            // A number may be told twice, when the first time may not have arrived, but of one thing.
            let known = promises.entry(seq).or_insert_with(|| promise.clone());
            assert_eq!(*known, promise, "acknowledgement {seq} was forgotten, and given again");
        }
    }
    for (seq, promise) in &promises {
        is_kept(*seq, promise, evidence);
    }
    promises.len()
}

fn read(volunteer: &Volunteer) -> Vec<(u64, Promise)> {
    let said = volunteer.home.said();
    let lines = said.lines().filter_map(|line| {
        let (_, commit) = line.split_once(" commit acked ").unzip();
        let (_, reveal) = line.split_once(" reveal acked ").unzip();
        Some((commit.is_some(), commit.or(reveal)?))
    });
    lines.map(|(is_commit, fields)| parse(volunteer.worker, is_commit, fields)).collect()
}

/// `task=deal-0/12 attempt=0 seq=5 commitment=0x…`.
fn parse(worker: u32, is_commit: bool, fields: &str) -> (u64, Promise) {
    let fields: BTreeMap<&str, &str> =
        fields.split_whitespace().filter_map(|field| field.split_once('=')).collect();
    let (deal, task) = fields["task"].split_once('/').unwrap();
    assert_eq!(deal, "deal-0", "there is one deal");
    let hash = fields[if is_commit { "commitment" } else { "vote" }].parse().unwrap();
    let (task, attempt) = (task.parse().unwrap(), fields["attempt"].parse().unwrap());
    (fields["seq"].parse().unwrap(), Promise { worker, is_commit, task, attempt, hash })
}

/// A commit counts if its set was frozen (else the task ended without it, and the worker was told to
/// forget it); a reveal always does.
fn is_kept(seq: u64, promise: &Promise, evidence: &Evidence) {
    let (_, task) = &evidence.tasks[&promise.task];
    let mine = |vote: &&Vote| (vote.worker, vote.attempt) == (promise.worker, promise.attempt);
    let Some(vote) = task.votes.iter().find(mine) else {
        let was_frozen = usize::from(promise.attempt) < task.sets.len();
        assert!(promise.is_commit && !was_frozen, "acknowledgement {seq} of {promise:?} is lost");
        return;
    };
    assert!(!vote.digest.is_zero(), "{promise:?} was acknowledged and counts as never revealed");
    let task_id = task.rec.deal_id.task_id(promise.task);
    let (pool, attempt) = (evidence.pool.pool, promise.attempt);
    let found = if promise.is_commit {
        let separator = evidence.pool.domain.separator();
        let worker = WorkerIdx(promise.worker);
        separator.commitment(task_id, attempt, worker, vote.digest, vote.salt)
    } else {
        let set_root = task.sets[usize::from(attempt)].root;
        let (digest, salt) = (vote.digest, vote.salt);
        Reveal { pool, task_id, attempt, set_root, digest, salt }.struct_hash()
    };
    assert_eq!(found, promise.hash, "{promise:?} was acknowledged, and something else counts");
}
