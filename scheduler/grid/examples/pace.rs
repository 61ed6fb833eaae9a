//! How fast the rules alone are: workers that answer at once, tasks until all are settled, and only the
//! time inside of the grid counted, so on an idle machine. `cargo run --release -p quorate-grid --example pace`
//!
//! No disk, no socket, no signature: what those cost `quorate bench` tells.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures time")]
#![expect(clippy::print_stdout, reason = "it is a program")]

use alloy_primitives::{Address, B256, keccak256};
use quorate_common::{
    clock::Now,
    digest::Digest,
    frame::FrameProof,
    ids::{DealId, DealSlot, PoolId, WorkerIdx},
    keys::Signature,
    messages::{Domain, PoolOrder, ReqOrder, Separator},
    terms::DealTerms,
    wire::{AssignItem, CommitSetItem},
};
use quorate_grid::{
    Effect, Grid, Input,
    deal::Opened,
    effect::ToSession,
    input::{ChainInput, CommitVote, RevealVote, SessionId, SignedVotes},
    policy::{Genesis, Policy},
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Tasks of one run.
const TASKS: u32 = 20_000;
/// Slots of each worker.
const SLOTS: u16 = 4;

fn main() {
    println!("workers  requesters  deals  trust  tasks/s  us/input");
    for (workers, requesters, deals, trust) in [
        (100, 1, 1, 1),
        (100, 1, 1, 5),
        (100, 100, 1_000, 5),
        (1_000, 100, 1_000, 5),
        (1_000, 1, 1, 5),
    ] {
        let mut run = Run::new(workers, requesters, deals, trust);
        run.go();
        let seconds = run.spent.as_secs_f64();
        let (rate, each) = (f64::from(TASKS) / seconds, seconds * 1e6 / run.inputs as f64);
        println!("{workers:7}  {requesters:10}  {deals:5}  {trust:5}  {rate:7.0}  {each:8.1}");
    }
}

/// A grid, and the workers' answers on their way to it.
struct Run {
    grid: Grid,
    now: Now,
    separator: Separator,
    deals: BTreeMap<DealSlot, DealId>,
    answers: VecDeque<(SessionId, SignedVotes)>,
    spent: Duration,
    inputs: u64,
}

impl Run {
    fn new(workers: u32, requesters: u32, deals: u32, trust: u32) -> Self {
        let domain = Domain { chain_id: 1, contract: Address::repeat_byte(1) };
        let genesis = Genesis { pool: PoolId(1), domain };
        let mut run = Self {
            grid: Grid::new(genesis, Policy::default(), [7; 32]),
            now: Now { mono_ms: 0, unix_ms: 1_700_000_000_000 },
            separator: domain.separator(),
            deals: BTreeMap::new(),
            answers: VecDeque::new(),
            spent: Duration::ZERO,
            inputs: 0,
        };
        for slot in 0..deals {
            run.deal(slot, slot % requesters, TASKS / deals, trust);
        }
        for worker in 1..=workers {
            run.worker(worker);
        }
        run
    }

    fn deal(&mut self, slot: u32, requester: u32, tasks: u32, trust: u32) {
        let end = self.now.unix_s() + 3_600;
        let salt = B256::left_padding_from(&slot.to_be_bytes());
        let requester = Address::left_padding_from(&(requester + 1).to_be_bytes());
        let (unit_price, max_unit_price) = (1_000, 1_000);
        let req = ReqOrder {
            requester,
            max_unit_price,
            tasks,
            trust,
            replicas: 15,
            max_task_time: 60,
            deadline: end,
            salt,
            ..ReqOrder::default()
        };
        let offer =
            PoolOrder { pool: PoolId(1), unit_price, scheduler_ratio: 1, ..PoolOrder::default() };
        let opened = Opened { slot: DealSlot(slot), terms: DealTerms::of(&req, &offer, 0, tasks) };
        self.deals.insert(opened.slot, opened.id());
        self.input(Input::Chain(ChainInput::Deal {
            opened: Box::new(opened),
            work: Some(Default::default()),
        }));
    }

    fn worker(&mut self, idx: u32) {
        let worker = WorkerIdx(idx);
        let word = keccak256(idx.to_be_bytes());
        let (owner, vote_key) = (Address::from_word(word), Address::from_word(keccak256(word)));
        let known = ChainInput::Worker { worker, owner, vote_key, node_key: word };
        self.input(Input::Chain(known));
        let stake = ChainInput::Stake { worker, stake: 1 << 60, exiting: false };
        self.input(Input::Chain(stake));
        self.input(Input::Connected {
            session: SessionId(idx.into()),
            node_key: word,
            vote_key,
            slots: SLOTS,
            net: None,
            engine: Digest::ZERO,
            ask: 0,
            holding: Vec::new(),
        });
    }

    fn go(&mut self) {
        (self.spent, self.inputs) = (Duration::ZERO, 0);
        while let Some((session, votes)) = self.answers.pop_front() {
            self.now = self.now.plus_ms(1);
            self.input(Input::Votes(session, votes));
        }
        assert!(self.grid.deals().values().all(|deal| deal.finished()), "all tasks are settled");
    }

    fn input(&mut self, input: Input) {
        let began = Instant::now();
        self.grid.handle(self.now, input);
        let ready = self.grid.take_ready();
        self.spent += began.elapsed();
        self.inputs += 1;
        for effect in ready.effects {
            if let Effect::Send(session, message) = effect {
                self.answer(session, &message);
            }
        }
    }

    fn answer(&mut self, session: SessionId, message: &ToSession) {
        let votes = match message {
            ToSession::Assign(item) => {
                SignedVotes { commits: vec![self.commit(session, item)], reveals: Vec::new() }
            }
            ToSession::Set(item) => {
                SignedVotes { commits: Vec::new(), reveals: vec![self.reveal(session, item)] }
            }
            ToSession::Welcome { .. }
            | ToSession::Deal(_)
            | ToSession::CommitAck(_)
            | ToSession::RevealAck(_)
            | ToSession::Cancel(..)
            | ToSession::Fetch(..)
            | ToSession::Settled(_)
            | ToSession::Goodbye(_) => return,
        };
        self.answers.push_back((session, votes));
    }

    fn commit(&self, session: SessionId, item: &AssignItem) -> CommitVote {
        let AssignItem { task, attempt, .. } = *item;
        let task_id = self.deals[&task.deal].task_id(task.idx);
        let worker = WorkerIdx(u32::try_from(session.0).expect("small"));
        let (digest, salt) = (Digest::of(b"right").word(), B256::repeat_byte(9));
        let commitment = self.separator.commitment(task_id, attempt, worker, digest, salt);
        CommitVote { task, attempt, commitment, proof: proof() }
    }

    fn reveal(&self, session: SessionId, item: &CommitSetItem) -> RevealVote {
        let mut preimage = [0; 16];
        preimage[..8].copy_from_slice(&session.0.to_be_bytes());
        preimage[8..12].copy_from_slice(&item.task.deal.0.to_be_bytes());
        preimage[12..].copy_from_slice(&item.task.idx.to_be_bytes());
        RevealVote {
            task: item.task,
            attempt: item.attempt,
            set_root: item.root,
            digest: Digest::of(b"right"),
            salt: B256::repeat_byte(9),
            vote_hash: keccak256(preimage),
            inline: Some(quorate_common::wire::Inline { blobs: Vec::new() }),
            proof: proof(),
        }
    }
}

/// The grid leaves signatures to its caller.
fn proof() -> FrameProof {
    let signature = Signature { r: B256::ZERO, vs: B256::ZERO };
    FrameProof { index: 0, count: 1, path: Vec::new(), signature }
}
