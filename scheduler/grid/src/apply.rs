//! The fold: the only code that changes durable state, in life and in replay.
//! It decides nothing; whatever is in a record was decided before it was written.

use crate::{
    deal::{Deal, Order, OrderState},
    grid::Grid,
    ledger::{BatchState, Identity, Settling},
    poco::{Judgement, Outcome},
    record::{Lesson, Record},
    task::{Committed, Done, Open, Replica, ReplicaState, Revealed, Run, SetRec, Task},
    verdicts::Said,
};
use alloy_primitives::B256;
use quorate_common::{
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
    merkle::{SET_DEPTH, Tree},
    messages::Word as _,
};

/// The leaf of a commitment in its set: `keccak256(abi.encode(uint32 workerIdx, bytes32 commitment))`.
pub(crate) fn set_leaf(worker: WorkerIdx, commitment: B256) -> B256 {
    alloy_primitives::keccak256([worker.word(), commitment.0].as_flattened())
}

impl Open {
    /// The tree over all commitments so far.
    pub(crate) fn set_tree(&self) -> Tree {
        let leaves = self.commitments().into_iter().map(|(_, w, c)| set_leaf(w, c)).collect();
        Tree::new(SET_DEPTH, leaves)
    }
}

impl Grid {
    /// Applies one record. Records come in the order they were written.
    ///
    /// # Panics
    /// If a record does not fit the state: the journal's chain of hashes was checked, so this is the
    /// grid's own mistake, and it must not go on with money on a guess.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Worker { worker, owner, vote_key, node_key } => {
                self.durable.fleet.register(*worker, *owner, *vote_key, *node_key);
            }
            Record::Stake { worker, stake, exiting } => self.apply_stake(*worker, *stake, *exiting),
            Record::Order { hash, order } => {
                self.durable.orders.insert(*hash, Order::clone(order));
            }
            Record::Refused { hash, reason } => {
                let order =
                    self.durable.orders.get_mut(hash).expect("an order is refused once taken");
                order.state = OrderState::Refused(reason.clone());
            }
            Record::Deal { opened, work, at_unix_ms } => {
                self.apply_deal(Deal::new(opened.clone(), work.as_deref().cloned(), *at_unix_ms));
            }
            Record::Assigned { .. } => self.apply_assigned(record),
            Record::Lost { task, worker } => {
                self.change(*task, *worker, |_| ReplicaState::Lost);
                self.release(*task, *worker);
            }
            Record::Committed { task, worker, commitment, seq, proof } => {
                let (commitment, seq, proof) = (*commitment, *seq, proof.clone());
                let revived = matches!(self.replica_state(*task, *worker), ReplicaState::Lost);
                if revived {
                    self.hold(*task, *worker);
                }
                self.change(*task, *worker, |_| {
                    ReplicaState::Committed(Committed { commitment, seq, proof })
                });
                self.durable.seq = seq;
            }
            Record::Frozen { task, reveal_deadline } => self.apply_frozen(*task, *reveal_deadline),
            Record::Demanded { task, worker, at_unix_s } => {
                let replica = self.open_mut(*task).replica_mut(*worker);
                replica.expect("who demands has a replica").demanded_at = *at_unix_s;
            }
            Record::Extended { task, attempt, reveal_deadline } => {
                let set = self.open_mut(*task).sets.get_mut(usize::from(*attempt));
                set.expect("a set is frozen once").reveal_deadline = *reveal_deadline;
            }
            Record::Revealed { .. } => self.apply_revealed(record),
            Record::Missed { task, worker } => self.change(*task, *worker, |state| match state {
                ReplicaState::Committed(committed) => ReplicaState::Missed(committed),
                other @ (ReplicaState::Assigned
                | ReplicaState::Revealed(_)
                | ReplicaState::Lost
                | ReplicaState::Missed(_)) => {
                    panic!("a replica in state {other:?} cannot miss its reveal")
                }
            }),
            Record::Stored { task, digest } => {
                self.apply_stored(*task, *digest);
            }
            Record::Torn(difference) => self.apply_torn(*difference),
            Record::Settled { task, outcome, winner, at_unix_ms } => {
                self.apply_settled(*task, *outcome, *winner, *at_unix_ms);
            }
            Record::Standing { worker, lesson } => self.apply_lesson(*worker, *lesson),
            Record::Closed => self.durable.ledger.close(),
            Record::BatchCommitted { index } => {
                self.durable.ledger.advance_batch(*index, BatchState::Committed);
            }
            Record::BatchFinal { index } => {
                self.durable.ledger.advance_batch(*index, BatchState::Final);
            }
            Record::Cursor { block, hash } => self.durable.cursor = Some((*block, *hash)),
            Record::Restrained { worker, restraint } => {
                self.durable.fleet.restrain(*worker, restraint.clone());
            }
        }
    }

    fn apply_stake(&mut self, worker: WorkerIdx, stake: u128, exiting: bool) {
        self.durable.fleet.stake(worker, stake, exiting);
    }

    /// A deal that is known already has only become ready: its tasks may have ended by then.
    fn apply_deal(&mut self, deal: Deal) {
        let slot = deal.slot;
        let order = deal.terms.req_hash;
        if let Some(order) = self.durable.orders.get_mut(&order) {
            order.state = OrderState::Deal(slot);
        }
        let (ready, work) = (deal.ready, deal.work.clone());
        let known = self.durable.deals.entry(slot).or_insert(deal);
        (known.ready, known.work) = (ready, work);
        if let Some(program) = known.work.program {
            self.durable.programs.entry(program).or_default().meet();
        }
        if ready && !known.finished() {
            self.fresh.set(slot, known.terms.tasks - known.next);
            self.wanting.wake(slot);
        }
    }

    fn apply_lesson(&mut self, worker: WorkerIdx, lesson: Lesson) {
        let standing = self.durable.standings.entry(worker).or_default();
        match lesson {
            Lesson::Passed { lot, check } => standing.pass(lot, check),
            Lesson::Released => standing.release(),
            Lesson::Caught => standing.catch(),
        }
    }

    fn apply_assigned(&mut self, record: &Record) {
        let &Record::Assigned { task, worker, engine, net, commit_deadline, reveal_deadline } =
            record
        else {
            return;
        };
        let key = task;
        let deal = self.durable.deals.get_mut(&key.deal).expect("a deal comes before its tasks");
        deal.replicas += 1;
        deal.next = deal.next.max(key.idx + 1);
        if self.fresh.contains(key.deal) {
            self.fresh.set(key.deal, deal.terms.tasks - deal.next);
        }
        let task = &mut deal.tasks[key.idx as usize];
        if matches!(task, Task::Queued) {
            let program = deal.work.program.and_then(|id| self.durable.programs.get_mut(&id));
            let program = program.filter(|program| !program.is_proven());
            let calibrates = program.is_some();
            if let Some(program) = program {
                program.open += 1;
            }
            *task = Task::Open(Box::new(Open { calibrates, ..Open::default() }));
        }
        let open = task.open_mut().expect("a settled task gets no replicas");
        let (attempt, state) = (open.attempt(), ReplicaState::Assigned);
        open.replicas.push(Replica {
            worker,
            attempt,
            engine,
            net,
            commit_deadline,
            reveal_deadline,
            demanded_at: 0,
            state,
            run: Run::default(),
        });
        self.hold(key, worker);
    }

    fn apply_frozen(&mut self, key: TaskKey, reveal_deadline: u64) {
        let open = self.open_mut(key);
        let tree = open.set_tree();
        let n = u8::try_from(open.commitments().len()).expect("at most fifteen replicas");
        open.sets.push(SetRec { root: tree.root(), n, reveal_deadline });
        open.trees.push(tree);
    }

    fn apply_revealed(&mut self, record: &Record) {
        let Record::Revealed { task, worker, digest, salt, vote_hash, seq, inline, proof } = record
        else {
            return;
        };
        let standing = self.durable.standings.entry(*worker).or_default();
        standing.answer();
        let lot = standing.lot;
        self.change(*task, *worker, |state| match state {
            ReplicaState::Committed(committed) => ReplicaState::Revealed(Revealed {
                commitment: committed.commitment,
                commit_seq: committed.seq,
                digest: *digest,
                salt: *salt,
                vote_hash: *vote_hash,
                seq: *seq,
                proof: proof.clone(),
                lot,
            }),
            other @ (ReplicaState::Assigned
            | ReplicaState::Revealed(_)
            | ReplicaState::Lost
            | ReplicaState::Missed(_)) => panic!("a replica in state {other:?} cannot reveal"),
        });
        if inline.is_some() {
            self.apply_stored(*task, *digest);
        }
        self.durable.seq = *seq;
    }

    /// Books a settled task. Returns what it came to, and who voted.
    pub(crate) fn apply_settled(
        &mut self,
        key: TaskKey,
        outcome: Outcome,
        winner: Option<Digest>,
        at_unix_ms: u64,
    ) -> (Judgement, Vec<WorkerIdx>) {
        let settling = self.settling(key, outcome, winner);
        let voters: Vec<WorkerIdx> = settling.votes.iter().map(|(worker, ..)| *worker).collect();
        let cast: Vec<(WorkerIdx, Option<Digest>)> =
            settling.votes.iter().map(|(w, .., b)| (*w, b.digest.map(Digest::from))).collect();
        self.apply_calibrated(key, winner.is_some());
        let batch = self.durable.ledger.open_index();
        let (judgement, place) = self.durable.ledger.settle(at_unix_ms, settling);
        let lost = judgement.verdicts.iter().map(|verdict| verdict.lost);
        let cast: Vec<_> = cast.into_iter().zip(lost).map(|((w, d), lost)| (w, d, lost)).collect();
        self.durable.company.note(&cast);
        for (worker, verdict) in voters.iter().zip(&judgement.verdicts) {
            let said = Said { outcome, earned: verdict.earned, slashed: verdict.slashed };
            self.durable.verdicts.note(*worker, key, said);
        }
        self.forget(key);
        let deal = self.durable.deals.get_mut(&key.deal).expect("a deal outlives its tasks");
        let task = &mut deal.tasks[key.idx as usize];
        let replicas = task.open().map_or(0, |open| open.replicas.len().min(255));
        let replicas = u8::try_from(replicas).expect("at most 255");
        let digest = winner.unwrap_or_default();
        *task = Task::Done(Done { outcome, digest, batch, place, replicas });
        deal.settled += 1;
        deal.accepted += u32::from(winner.is_some());
        deal.dissents += judgement.verdicts.iter().filter(|v| v.lost).count() as u64;
        if deal.finished() {
            self.fresh.set(key.deal, 0);
        }
        (judgement, voters)
    }

    fn settling(&self, key: TaskKey, outcome: Outcome, winner: Option<Digest>) -> Settling {
        let deal = &self.durable.deals[&key.deal];
        let score = |worker| self.durable.ledger.score(worker);
        let open = deal.tasks[key.idx as usize].open();
        let identity = |worker: WorkerIdx| {
            let member = self.durable.fleet.get(worker).expect("a voter is registered");
            Identity { owner: member.owner, vote_key: member.vote_key }
        };
        let votes = open.map(|open| open.votes(score)).unwrap_or_default();
        let sets = open.map(|open| open.sets.clone()).unwrap_or_default();
        Settling {
            deal: deal.opened(),
            deal_id: deal.id,
            task_idx: key.idx,
            attempt: u16::try_from(sets.len().saturating_sub(1)).expect("at most fifteen"),
            outcome,
            winner: winner.map(|digest| digest.word()),
            sets,
            votes: votes
                .into_iter()
                .map(|(w, vote, ballot)| (w, identity(w), vote, ballot))
                .collect(),
        }
    }

    /// Takes an open task out of every derived index.
    fn forget(&mut self, key: TaskKey) {
        let Some(open) = self.task(key).and_then(Task::open) else { return };
        let workers: Vec<WorkerIdx> = open
            .replicas
            .iter()
            .filter(|replica| !matches!(replica.state, ReplicaState::Lost))
            .map(|replica| replica.worker)
            .collect();
        for (at, deadline) in open.deadlines.clone() {
            self.deadlines.clear(at, deadline);
        }
        for worker in workers {
            self.release(key, worker);
        }
        self.wanting.remove(&key);
        self.let_go(key);
    }

    /// A live replica holds part of the worker's stake.
    fn hold(&mut self, key: TaskKey, worker: WorkerIdx) {
        let stake = self.durable.deals[&key.deal].stake;
        if let Some(member) = self.durable.fleet.get_mut(worker)
            && member.tasks.insert(key)
        {
            member.held += stake;
        }
    }

    fn release(&mut self, key: TaskKey, worker: WorkerIdx) {
        let stake = self.durable.deals[&key.deal].stake;
        if let Some(member) = self.durable.fleet.get_mut(worker)
            && member.tasks.remove(&key)
        {
            member.held -= stake;
        }
    }

    fn change(
        &mut self,
        key: TaskKey,
        worker: WorkerIdx,
        next: impl FnOnce(ReplicaState) -> ReplicaState,
    ) {
        let replica =
            self.open_mut(key).replica_mut(worker).expect("a replica comes before its votes");
        let state = std::mem::replace(&mut replica.state, ReplicaState::Lost);
        replica.state = next(state);
    }

    fn replica_state(&self, key: TaskKey, worker: WorkerIdx) -> &ReplicaState {
        let open = self.task(key).and_then(Task::open).expect("the task is open");
        &open.replica(worker).expect("a replica comes before its votes").state
    }

    pub(crate) fn open_mut(&mut self, key: TaskKey) -> &mut Open {
        let deal = self.durable.deals.get_mut(&key.deal).expect("a deal comes before its tasks");
        deal.tasks[key.idx as usize].open_mut().expect("the task is open")
    }

    /// A task, if there is one.
    pub fn task(&self, key: TaskKey) -> Option<&Task> {
        self.durable.deals.get(&key.deal)?.tasks.get(key.idx as usize)
    }

    /// Every open task.
    pub(crate) fn open_tasks(&self) -> impl Iterator<Item = TaskKey> + '_ {
        self.durable.deals.iter().flat_map(|(slot, deal)| open_of(*slot, deal))
    }
}

fn open_of(slot: DealSlot, deal: &Deal) -> impl Iterator<Item = TaskKey> + '_ {
    let opened = deal.tasks[..deal.next as usize].iter().zip(0_u32..);
    opened
        .filter(|(task, _)| task.open().is_some())
        .map(move |(_, idx)| TaskKey { deal: slot, idx })
}
