//! What workers say on chain because the scheduler did not hear them, or did not speak to them
//! (PROTOCOL.md section 7). The rules here keep an honest scheduler from ever being proven deaf.

use crate::{
    deadline::Deadline,
    effect::Effect,
    grid::Grid,
    input::{ForcedVote, RevealVote},
    record::Record,
    task::{Open, Replica, ReplicaState, SetRec, Task},
};
use alloy_primitives::B256;
use quorate_common::{
    bug::{self, Bug},
    clock::Now,
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
    messages::{CommitSet, Message as _},
};

impl Grid {
    /// A reveal that came by the chain counts like any other, by the time of its block.
    pub(crate) fn on_forced(&mut self, now: Now, forced: ForcedVote) {
        let ForcedVote { reveal, signer, proof, at_unix_s } = forced;
        let Some(worker) = self.durable.fleet.by_vote_key(signer) else { return };
        if bug::is(Bug::ForcedIgnored) {
            return;
        }
        let Some(task) = self.silent_task(reveal.task_id, worker) else { return };
        let vote = RevealVote {
            task,
            attempt: reveal.attempt,
            set_root: reveal.set_root,
            digest: Digest::from(reveal.digest),
            salt: reveal.salt,
            vote_hash: reveal.struct_hash(),
            inline: None,
            proof,
        };
        let session = self.durable.fleet.session(worker);
        self.take_reveal(now, at_unix_s, session, worker, vote);
    }

    /// The task of this id that waits for the worker's reveal.
    fn silent_task(&self, task_id: B256, worker: WorkerIdx) -> Option<TaskKey> {
        let waits = |task: &Task| {
            let replica = task.open().and_then(|open| open.replica(worker));
            replica.is_some_and(|replica| matches!(replica.state, ReplicaState::Committed(_)))
        };
        self.durable.deals.values().find_map(|deal| {
            let tasks = deal.tasks.iter().zip(0_u32..);
            let mut silent = tasks.filter(|(task, _)| waits(task)).map(|(_, idx)| idx);
            let idx = silent.find(|idx| deal.id.task_id(*idx) == task_id)?;
            Some(TaskKey { deal: deal.slot, idx })
        })
    }

    /// A worker was never shown its set. It is answered on chain, as soon as there is one.
    pub(crate) fn on_demand(
        &mut self,
        now: Now,
        task_id: B256,
        attempt: u16,
        worker: WorkerIdx,
        at_unix_s: u64,
    ) {
        let Some(task) = self.silent_task(task_id, worker) else { return };
        let Some(replica) = self.task(task).and_then(Task::open).and_then(|o| o.replica(worker))
        else {
            return;
        };
        let in_time = at_unix_s <= replica.reveal_deadline + self.policy.slack_s;
        // The chain is read twice, at its head and where it is final.
        let fresh = at_unix_s > replica.demanded_at;
        if replica.attempt == attempt && in_time && fresh {
            self.record(Record::Demanded { task, worker, at_unix_s });
            self.answered.remove(&task);
            if self.owes_answer(task) {
                self.answer(now, task);
            }
        }
    }

    /// An answer that came too late to count has to be given anew.
    pub(crate) fn on_answered(
        &mut self,
        now: Now,
        task_id: B256,
        reveal_deadline: u64,
        at_unix_s: u64,
    ) {
        let owing = self.open_tasks().find(|task| {
            self.durable.deals[&task.deal].id.task_id(task.idx) == task_id
                && self.owes_answer(*task)
        });
        let Some(task) = owing else { return };
        if at_unix_s + self.policy.slack_s <= reveal_deadline {
            self.answered.insert(task);
        } else {
            self.answer(now, task);
        }
    }

    /// Whether somebody in a frozen set asked for it and has not revealed.
    pub(crate) fn owes_answer(&self, key: TaskKey) -> bool {
        let Some(open) = self.task(key).and_then(Task::open) else { return false };
        let owed = |replica: &Replica| {
            let frozen = usize::from(replica.attempt) < open.sets.len();
            let silent = matches!(replica.state, ReplicaState::Committed(_));
            frozen && silent && replica.demanded_at > 0
        };
        open.replicas.iter().any(owed)
    }

    /// Has the last frozen set said once more, on chain, with time to reveal to it: one `slack_s` for
    /// the answer to get there, one for the worker. Never with less time than before: a set that ends
    /// before its assignments said is a broken word.
    pub(crate) fn answer(&mut self, now: Now, key: TaskKey) {
        if bug::is(Bug::DemandIgnored) {
            return;
        }
        let Some(attempt) = self.task(key).and_then(Task::open).and_then(last_round) else {
            return;
        };
        let reveal_deadline = now.unix_s() + 2 * self.policy.slack_s;
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        if open.sets[usize::from(attempt)].reveal_deadline < reveal_deadline {
            self.record(Record::Extended { task: key, attempt, reveal_deadline });
            self.watch(key, now, reveal_deadline + self.policy.hear_s, Deadline::Reveal(key));
            // Who is here and silent has the time as well, and does not read the chain for it.
            self.tell_set_to_all(key);
        }
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let SetRec { root, n, reveal_deadline } = open.sets[usize::from(attempt)];
        let task_id = self.durable.deals[&key.deal].id.task_id(key.idx);
        let pool = self.durable.genesis.pool;
        self.effect(Effect::Answer(CommitSet { pool, task_id, attempt, root, n, reveal_deadline }));
    }
}

fn last_round(open: &Open) -> Option<u16> {
    open.attempt().checked_sub(1)
}
