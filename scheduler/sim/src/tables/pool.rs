//! A pool at work on one long deal: the production grid decides everything, a crowd answers. Nothing is
//! signed, for the grid checks no signatures; nobody fails or leaves, for that is the simulator's part.

use super::{
    Score,
    crowd::{Crowd, Mob, RIGHT},
};
use alloy_primitives::{Address, B256, keccak256};
use quorate_common::{
    clock::Now,
    digest::Digest,
    frame::FrameProof,
    ids::{DealId, DealSlot, PoolId, TaskKey, WorkerIdx},
    keys::Signature,
    messages::{Domain, PoolOrder, ReqOrder, Separator},
    terms::DealTerms,
    wire::{AssignItem, CommitSetItem, Inline},
};
use quorate_grid::{
    Effect, Grid, Input,
    deal::Opened,
    effect::ToSession,
    input::{ChainInput, CommitVote, RevealVote, SessionId, SignedVotes},
    poco::Outcome,
    policy::{Genesis, Policy},
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Token units of a task.
const PRICE: u128 = 1_000;
/// Token units at stake: enough never to be in the way.
const STAKE: u128 = 1 << 60;
/// Milliseconds of a task: this at least, and as much again at most besides.
const TASK_MS: u32 = 40_000;
/// When it begins, in unix milliseconds.
const START_UNIX_MS: u64 = 1_700_000_000_000;
/// Seconds the deal lasts: a hundred times what the longest run takes.
const DEAL_S: u64 = 100_000_000;

/// Who had a task, and what each said.
type Votes = Vec<(u32, Option<u32>)>;

/// A pool.
struct Pool {
    grid: Grid,
    mob: Mob,
    now: Now,
    separator: Separator,
    deal: DealId,
    inbox: VecDeque<Input>,
    /// Who finishes when, with the count of the assignment.
    at_work: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// What each worker is at, with the count of the assignment.
    jobs: Vec<Option<(u64, AssignItem)>>,
    votes: Vec<Votes>,
    assigned: u64,
    score: Score,
    /// Milliseconds that answers waited to be final, added up over tasks.
    waited_ms: u64,
    first_answer_ms: Vec<u64>,
}

/// Lets a crowd do `tasks` tasks under a policy, and counts.
pub(super) fn run(policy: Policy, trust: u32, crowd: Crowd, tasks: u32, seed: u64) -> Score {
    let mut pool = Pool::new(policy, trust, crowd, tasks, seed);
    while pool.score.tasks < tasks {
        pool.drain();
        assert!(
            pool.step() || pool.score.tasks == tasks,
            "the pool stands still: {:?}",
            pool.score
        );
    }
    let task_ms = u64::from(TASK_MS) * 3 / 2;
    Score {
        replicas: pool.assigned,
        wait_tasks: pool.waited_ms as f64 / f64::from(tasks) / task_ms as f64,
        ..pool.score
    }
}

impl Pool {
    fn new(policy: Policy, trust: u32, crowd: Crowd, tasks: u32, seed: u64) -> Self {
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xc0) };
        let genesis = Genesis { pool: PoolId(1), domain };
        // No batch is closed: what the chain hears of it is not measured here.
        let policy = Policy { batch_tasks: u32::MAX, batch_ms: u64::MAX / 4, ..policy };
        let draws = keccak256(seed.to_be_bytes()).0;
        let now = Now { mono_ms: 0, unix_ms: START_UNIX_MS };
        let opened = deal(now, trust, tasks);
        let mut pool = Self {
            grid: Grid::new(genesis, policy, draws),
            mob: Mob::new(crowd, seed),
            now,
            separator: domain.separator(),
            deal: opened.id(),
            inbox: VecDeque::new(),
            at_work: BinaryHeap::new(),
            jobs: vec![None; crowd.workers as usize],
            votes: vec![Votes::new(); tasks as usize],
            assigned: 0,
            score: Score::default(),
            waited_ms: 0,
            first_answer_ms: vec![0; tasks as usize],
        };
        (0..crowd.workers).for_each(|worker| pool.enlist(worker));
        pool.inbox.push_back(Input::Chain(ChainInput::Deal {
            opened: Box::new(opened),
            work: Some(Default::default()),
        }));
        pool
    }

    fn enlist(&mut self, worker: u32) {
        let node_key = B256::left_padding_from(&(worker + 1).to_be_bytes());
        let owner = Address::from_word(node_key);
        let (idx, vote_key) = (WorkerIdx(worker + 1), owner);
        let known = ChainInput::Worker { worker: idx, owner, vote_key, node_key };
        let stake = ChainInput::Stake { worker: idx, stake: STAKE, exiting: false };
        self.inbox.extend([Input::Chain(known), Input::Chain(stake)]);
        self.inbox.push_back(Input::Connected {
            session: SessionId(worker.into()),
            node_key,
            vote_key,
            slots: 1,
            net: None,
            engine: Digest::ZERO,
            ask: 0,
            holding: Vec::new(),
        });
    }

    /// Hands over all that was said, and hears what follows.
    fn drain(&mut self) {
        while let Some(input) = self.inbox.pop_front() {
            self.grid.handle(self.now, input);
            for effect in self.grid.take_ready().effects {
                self.perform(effect);
            }
        }
    }

    /// The next thing that happens by itself: a deadline, or somebody has finished.
    fn step(&mut self) -> bool {
        let finish = self.at_work.peek().map(|Reverse((at, ..))| *at);
        let due = self.grid.next_deadline().filter(|due| finish.is_none_or(|at| *due <= at));
        if let Some(due) = due {
            self.now = self.now.plus_ms(due.saturating_sub(self.now.mono_ms));
            self.inbox.push_back(Input::Tick);
            return true;
        }
        let Some(Reverse((at, count, worker))) = self.at_work.pop() else { return false };
        self.now = self.now.plus_ms(at.saturating_sub(self.now.mono_ms));
        let job = self.jobs[worker as usize].take_if(|(known, _)| *known == count);
        if let Some((_, item)) = job {
            self.commit(worker, &item);
        }
        true
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send(session, message) => {
                let worker = u32::try_from(session.0).expect("sessions are workers");
                self.hear(worker, message);
            }
            Effect::Settled(done) => {
                let said = done.digest == digest(RIGHT);
                self.score.tasks += 1;
                match done.outcome {
                    Outcome::Consensus => self.score.wrong += u32::from(!said),
                    Outcome::NoQuorum | Outcome::Expired => self.score.none += 1,
                }
                let task = done.task.idx as usize;
                self.waited_ms += self.now.mono_ms - self.first_answer_ms[task];
                self.votes[task] = Votes::new();
            }
            Effect::Reply(..)
            | Effect::OpenDeal { .. }
            | Effect::DealKnown(_)
            | Effect::Answer(_)
            | Effect::Seal(..) => {}
        }
    }

    fn hear(&mut self, worker: u32, message: ToSession) {
        match message {
            ToSession::Assign(item) => {
                self.assigned += 1;
                let extra = self.mob.dice().below(TASK_MS + 1);
                let at = self.now.mono_ms + u64::from(TASK_MS + extra);
                self.votes[item.task.idx as usize].push((worker, None));
                self.jobs[worker as usize] = Some((self.assigned, item));
                self.at_work.push(Reverse((at, self.assigned, worker)));
            }
            ToSession::Set(item) => self.reveal(worker, &item),
            ToSession::Cancel(task, _) => {
                self.jobs[worker as usize].take_if(|(_, job)| job.task == task);
            }
            ToSession::Welcome { .. }
            | ToSession::Deal(_)
            | ToSession::CommitAck(_)
            | ToSession::RevealAck(_)
            | ToSession::Fetch(..)
            | ToSession::Settled(_)
            | ToSession::Goodbye(_) => {}
        }
    }

    fn commit(&mut self, worker: u32, item: &AssignItem) {
        let idx = item.task.idx as usize;
        let answer = self.mob.says(worker, item.task.idx, &self.votes[idx]);
        let vote = self.votes[idx].iter_mut().find(|(known, _)| *known == worker);
        vote.expect("who finishes was asked").1 = Some(answer);
        if self.first_answer_ms[idx] == 0 {
            self.first_answer_ms[idx] = self.now.mono_ms;
        }
        let commitment = self.commitment(worker, item.task, item.attempt, answer);
        let commit =
            CommitVote { task: item.task, attempt: item.attempt, commitment, proof: proof() };
        self.say(worker, SignedVotes { commits: vec![commit], reveals: Vec::new() });
    }

    fn reveal(&mut self, worker: u32, item: &CommitSetItem) {
        let votes = &self.votes[item.task.idx as usize];
        let said = votes.iter().find(|(known, _)| *known == worker).and_then(|(_, said)| *said);
        let digest = digest(said.expect("who is in a set has committed"));
        let reveal = RevealVote {
            task: item.task,
            attempt: item.attempt,
            set_root: item.root,
            digest,
            salt: B256::ZERO,
            vote_hash: digest.word(),
            inline: Some(Inline { blobs: Vec::new() }),
            proof: proof(),
        };
        self.say(worker, SignedVotes { commits: Vec::new(), reveals: vec![reveal] });
    }

    fn say(&mut self, worker: u32, votes: SignedVotes) {
        self.inbox.push_back(Input::Votes(SessionId(worker.into()), votes));
    }

    fn commitment(&self, worker: u32, task: TaskKey, attempt: u16, answer: u32) -> B256 {
        let (id, worker) = (self.deal.task_id(task.idx), WorkerIdx(worker + 1));
        self.separator.commitment(id, attempt, worker, digest(answer).word(), B256::ZERO)
    }
}

/// The digest of an answer; zero would be none.
fn digest(answer: u32) -> Digest {
    Digest::from(B256::left_padding_from(&(answer + 1).to_be_bytes()))
}

/// Nobody looks at it here.
fn proof() -> FrameProof {
    let signature = Signature { r: B256::ZERO, vs: B256::ZERO };
    FrameProof { index: 0, count: 1, path: Vec::new(), signature }
}

fn deal(now: Now, trust: u32, tasks: u32) -> Opened {
    let end = now.unix_s() + DEAL_S;
    let offer = PoolOrder {
        pool: PoolId(1),
        unit_price: PRICE,
        tasks,
        trust,
        stake_ratio: 30,
        scheduler_ratio: 1,
        max_task_time: 3_600,
        expiry: end,
        ..PoolOrder::default()
    };
    let req = ReqOrder {
        pool_restrict: PoolId(1).restrict(),
        max_unit_price: PRICE,
        tasks,
        trust,
        replicas: 15,
        max_task_time: 3_600,
        expiry: end,
        deadline: end,
        ..ReqOrder::default()
    };
    Opened { slot: DealSlot(0), terms: DealTerms::of(&req, &offer, 0, tasks) }
}
