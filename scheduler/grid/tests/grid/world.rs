//! The builder, the clock, the loop and the printed trace; and the check of the whole state after
//! each input: cross-references, money, and that replaying the records gives the same grid.

use crate::{
    fake::{Fake, Habit, digest_of},
    shadow::Shadow,
};
use alloy_primitives::{Address, B256};
use quorate_common::{
    clock::Now,
    digest::Digest,
    frame::{self, FrameTree},
    ids::{DealSlot, PoolId, TaskKey, WorkerIdx},
    keys::VoteKey,
    messages::{Domain, Header, Message as _, PoolOrder, ReqOrder, Reveal, Separator},
    terms::DealTerms,
    wire::{self, ToScheduler, Votes},
};
use quorate_grid::{
    Effect, Grid, Input, Record,
    audit::{self, Anchor, Books},
    deal::Opened,
    effect::ToSession,
    evidence::{BatchFile, Receipt, Seal},
    input::{ChainInput, CommitVote, ForcedVote, RevealVote, SessionId, SignedVotes},
    ledger::BatchState,
    poco::Outcome,
    policy::{Genesis, Policy},
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
};

/// Token units of a task, unless a test says otherwise.
pub(crate) const PRICE: u128 = 1_000;
const STAKE: u128 = 1_000_000;
/// Records kept before a snapshot takes their place: each check replays them all.
const RECORDS_MAX: usize = 64;
const START_UNIX_MS: u64 = 1_700_000_000_000;

/// A sealed batch.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) header: Header,
    pub(crate) file: BatchFile,
    pub(crate) seal: Seal,
}

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) grid: Grid,
    pub(crate) now: Now,
    pub(crate) policy: Policy,
    pub(crate) genesis: Genesis,
    pub(crate) separator: Separator,
    pub(crate) signer: VoteKey,
    pub(crate) fakes: BTreeMap<u32, Fake>,
    pub(crate) batches: BTreeMap<u64, Batch>,
    pub(crate) books: Books,
    /// Frames on their way.
    pub(crate) up: VecDeque<(SessionId, ToScheduler)>,
    pub(crate) down: VecDeque<(SessionId, ToSession)>,
    /// Whether each check replays the records; off where a story is long.
    pub(crate) replays: bool,
    /// Whether the chain is read as time passes.
    pub(crate) chain: bool,
    /// Judges each settled result anew, where the pool makes a promise.
    shadow: Option<Shadow>,
    trace: String,
    snapshot: Vec<u8>,
    records: Vec<Vec<u8>>,
    sessions: u64,
    deals: u32,
}

/// What a deal asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks {
    pub(crate) tasks: u32,
    pub(crate) trust: u32,
    pub(crate) replicas: u8,
    pub(crate) price: u128,
    pub(crate) deadline_s: u64,
    pub(crate) task_s: u64,
    /// Prices of application and dataset.
    pub(crate) royalties: (u128, u128),
    /// Who asks.
    pub(crate) requester: u8,
    /// What it needs.
    pub(crate) tag: B256,
}

impl Default for Asks {
    fn default() -> Self {
        Self {
            tasks: 1,
            trust: 5,
            replicas: 7,
            price: PRICE,
            deadline_s: 3_600,
            task_s: 60,
            royalties: (0, 0),
            requester: 0xee,
            tag: B256::ZERO,
        }
    }
}

pub(crate) fn task(deal: u32, idx: u32) -> TaskKey {
    TaskKey { deal: DealSlot(deal), idx }
}

/// The name of a result by its digest.
fn name(digest: Digest) -> String {
    let known = ["right", "wrong", "bytes"].map(str::to_owned).into_iter();
    let lies = (1..20).map(|idx| format!("lie of {}", WorkerIdx(idx)));
    let found = known.chain(lies).find(|result| digest_of(result) == digest);
    found.unwrap_or_else(|| digest.to_string()[..8].to_owned())
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Policy::default())
    }

    pub(crate) fn with(policy: Policy) -> Self {
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xc0) };
        let genesis = Genesis { pool: PoolId(1), domain };
        let grid = Grid::new(genesis, policy, [7; 32]);
        Self {
            snapshot: wire::to_bytes(grid.durable()),
            grid,
            now: Now { mono_ms: 0, unix_ms: START_UNIX_MS },
            policy,
            genesis,
            separator: domain.separator(),
            signer: VoteKey::from_bytes(&[0x55; 32]).unwrap(),
            fakes: BTreeMap::new(),
            batches: BTreeMap::new(),
            books: Books::new(PoolId(1)),
            up: VecDeque::new(),
            down: VecDeque::new(),
            replays: true,
            chain: true,
            shadow: policy
                .promise
                .map(|promise| Shadow::new(Grid::new(genesis, policy, [8; 32]), promise)),
            trace: String::new(),
            records: Vec::new(),
            sessions: 0,
            deals: 0,
        }
    }

    /// A worker of an owner of its own, staked and connected, for each habit.
    pub(crate) fn workers(mut self, habits: &[Habit]) -> Self {
        for habit in habits {
            let idx = u8::try_from(self.fakes.len() + 1).unwrap();
            self.worker(Fake::new(idx.into(), idx, *habit));
        }
        self.trace.clear();
        self
    }

    /// Registers, stakes and connects a worker.
    pub(crate) fn worker(&mut self, fake: Fake) {
        let idx = fake.worker.0;
        self.register(fake);
        self.connect(idx);
    }

    /// Registers and stakes a worker.
    pub(crate) fn register(&mut self, fake: Fake) {
        let (worker, owner, vote_key, node_key) =
            (fake.worker, fake.owner, fake.key.address(), fake.node_key);
        self.fakes.insert(worker.0, fake);
        self.input(Input::Chain(ChainInput::Worker { worker, owner, vote_key, node_key }));
        self.stake(worker.0, STAKE);
    }

    pub(crate) fn stake(&mut self, idx: u32, stake: u128) {
        let worker = WorkerIdx(idx);
        self.input(Input::Chain(ChainInput::Stake { worker, stake, exiting: false }));
    }

    /// A deal; the same seed of names gives the same ids.
    pub(crate) fn deal(&mut self, asks: Asks) -> DealSlot {
        let opened = self.terms(asks);
        let slot = opened.slot;
        self.input(Input::Chain(ChainInput::Deal {
            opened: Box::new(opened),
            work: Some(Default::default()),
        }));
        slot
    }

    pub(crate) fn terms(&mut self, asks: Asks) -> Opened {
        let (req, offer) = self.orders(asks);
        let slot = DealSlot(self.deals);
        self.deals += 1;
        let mut terms = DealTerms::of(&req, &offer, 0, asks.tasks);
        (terms.app_price, terms.dataset_price) = asks.royalties;
        Opened { slot, terms }
    }

    /// The orders of the next deal.
    pub(crate) fn orders(&self, asks: Asks) -> (ReqOrder, PoolOrder) {
        let salt = B256::left_padding_from(&self.deals.to_be_bytes());
        let end = self.now.unix_s() + asks.deadline_s;
        let offer = PoolOrder {
            pool: PoolId(1),
            unit_price: asks.price,
            tasks: 1 << 16,
            trust: 1 << 20,
            stake_ratio: 30,
            scheduler_ratio: 1,
            tag: asks.tag,
            max_task_time: 1 << 20,
            expiry: end,
            salt,
            ..PoolOrder::default()
        };
        let req = ReqOrder {
            requester: Address::repeat_byte(asks.requester),
            app: B256::repeat_byte(0xa0),
            params: B256::repeat_byte(0xb0),
            pool_restrict: PoolId(1).restrict(),
            max_unit_price: asks.price,
            tasks: asks.tasks,
            trust: asks.trust,
            replicas: asks.replicas,
            max_task_time: asks.task_s,
            tag: asks.tag,
            expiry: end,
            deadline: end,
            salt,
            ..ReqOrder::default()
        };
        (req, offer)
    }

    /// A new connection of a worker, which repeats what it was not told.
    pub(crate) fn connect(&mut self, idx: u32) -> SessionId {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        let fake = self.fakes.get_mut(&idx).unwrap();
        fake.session = Some(session);
        (fake.commits, fake.reveals) = (Vec::new(), Vec::new());
        let (node_key, vote_key) = (fake.node_key, fake.key.address());
        let Fake { slots, net, engine, ask, .. } = *fake;
        let holding = fake.holding();
        fake.repeat(&self.separator);
        self.input(Input::Connected {
            session,
            node_key,
            vote_key,
            slots,
            net,
            engine,
            ask,
            holding,
        });
        session
    }

    pub(crate) fn disconnect(&mut self, idx: u32) {
        let session = self.fakes.get_mut(&idx).unwrap().session.take();
        if let Some(session) = session {
            self.up.retain(|(of, _)| *of != session);
            self.down.retain(|(of, _)| *of != session);
            self.input(Input::Disconnected(session));
        }
    }

    /// Hands an input to the grid, does what it asks for, checks everything.
    pub(crate) fn input(&mut self, input: Input) {
        self.grid.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        let ready = self.grid.take_ready();
        if let Some(shadow) = &mut self.shadow {
            let broken = |effect: &&Effect| matches!(effect, Effect::Settled(done) if !done.kept);
            shadow.read(&ready.records, ready.effects.iter().filter(broken).count());
        }
        self.records.extend(ready.records.iter().map(wire::to_bytes));
        for effect in ready.effects {
            self.perform(effect);
        }
        self.check();
        if self.records.len() > RECORDS_MAX {
            self.write_snapshot();
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send(session, message) => {
                self.trace_down(session, &message);
                if self.fake_of(session).is_some() {
                    self.down.push_back((session, message));
                }
            }
            Effect::Answer(set) => {
                let in_s = set.reveal_deadline - self.now.unix_s();
                self.say(&format!("answer on chain: a set of {}, {in_s} s to reveal", set.n));
            }
            Effect::Seal(header, file) => self.seal(header, *file),
            Effect::Settled(done) => {
                let result = if done.outcome == Outcome::Consensus {
                    let kept = if done.kept { "" } else { ", not as promised" };
                    format!(" on {}{kept}", name(done.digest))
                } else {
                    String::new()
                };
                let (task, outcome) = (done.task, done.outcome);
                let (replicas, dissents) = (done.replicas, done.dissents);
                self.say(&format!(
                    "{task} {outcome}{result}: {replicas} replicas, {dissents} dissents"
                ));
            }
            Effect::OpenDeal { order, .. } => {
                self.say(&format!("open deal of {}", &order.to_string()[..10]))
            }
            Effect::Reply(ticket, reply) => self.say(&format!("reply to {}: {reply:?}", ticket.0)),
            Effect::DealKnown(_) => {}
        }
    }

    fn trace_down(&mut self, session: SessionId, message: &ToSession) {
        let who = self
            .fake_of(session)
            .map_or_else(|| format!("session {}", session.0), |idx| WorkerIdx(idx).to_string());
        let text = match message {
            ToSession::Welcome { worker, stake, score, notice } => {
                let known = worker.map_or("unknown".into(), |w| w.to_string());
                let notice = if notice.is_empty() { String::new() } else { format!(": {notice}") };
                format!("welcome {known}, stake {stake}, score {score}{notice}")
            }
            ToSession::Deal(_) => return,
            ToSession::Assign(item) => format!("assign {} round {}", item.task, item.attempt),
            ToSession::CommitAck(item) => format!("ack commit {} #{}", item.task, item.seq),
            ToSession::Set(item) => format!("set {} of {}", item.task, item.n),
            ToSession::RevealAck(item) => {
                let bytes = if item.stored { "" } else { ", bytes to come" };
                format!("ack reveal {} #{}{bytes}", item.task, item.seq)
            }
            ToSession::Cancel(task, _) => format!("cancel {task}"),
            ToSession::Fetch(task, digest) => format!("fetch {task} {}", name(*digest)),
            ToSession::Settled(item) => {
                let (earned, slashed, score) = (item.earned, item.slashed, item.score);
                format!("settled {}: +{earned} -{slashed} score {score}", item.task)
            }
            ToSession::Goodbye(goodbye) => format!("goodbye: {}", goodbye.reason),
        };
        self.say(&format!("{who} < {text}"));
    }

    fn say(&mut self, line: &str) {
        writeln!(self.trace, "{line}").unwrap();
    }

    /// The trace so far, which begins anew.
    pub(crate) fn take_trace(&mut self) -> String {
        std::mem::take(&mut self.trace)
    }

    pub(crate) fn fake_of(&self, session: SessionId) -> Option<u32> {
        let found = self.fakes.iter().find(|(_, fake)| fake.session == Some(session));
        found.map(|(idx, _)| *idx)
    }

    /// Delivers every frame, in order, until nobody has anything to say.
    pub(crate) fn run(&mut self) {
        loop {
            while let Some((session, message)) = self.down.pop_front() {
                self.deliver_down(session, &message);
            }
            let fakes: Vec<u32> = self.fakes.keys().copied().collect();
            for idx in fakes {
                self.collect(idx);
            }
            let Some((session, message)) = self.up.pop_front() else { return };
            self.deliver_up(session, message);
        }
    }

    pub(crate) fn deliver_down(&mut self, session: SessionId, message: &ToSession) {
        let Some(idx) = self.fake_of(session) else { return };
        if matches!(message, ToSession::Goodbye(_)) {
            self.fakes.get_mut(&idx).unwrap().session = None;
            return self.input(Input::Disconnected(session));
        }
        self.fakes.get_mut(&idx).unwrap().hear(&self.separator, message);
    }

    /// Puts on the wire what a worker has to say.
    pub(crate) fn collect(&mut self, idx: u32) {
        let fake = self.fakes.get_mut(&idx).unwrap();
        let Some(session) = fake.session else { return };
        if let Some(votes) = fake.frame(&self.separator, self.genesis.pool) {
            self.up.push_back((session, ToScheduler::Votes(votes)));
        }
        for gave_up in std::mem::take(&mut fake.gave_up) {
            self.up.push_back((session, ToScheduler::GaveUp(gave_up)));
        }
        for (task, digest) in std::mem::take(&mut fake.uploads) {
            self.input(Input::Stored(task, digest));
        }
    }

    /// What a session does with a frame: decode, bound, verify, hand over.
    pub(crate) fn deliver_up(&mut self, session: SessionId, message: ToScheduler) {
        let message: ToScheduler = wire::decode(&wire::to_bytes(&message)).unwrap();
        match message {
            ToScheduler::Votes(votes) => {
                if let Some(signed) = self.open_frame(session, votes) {
                    self.input(Input::Votes(session, signed));
                }
            }
            ToScheduler::GaveUp(gave_up) => self.input(Input::GaveUp(session, gave_up)),
            ToScheduler::Slots(slots) => self.input(Input::Slots(session, slots)),
            ToScheduler::Containers(engine) => self.input(Input::Containers(session, engine)),
            ToScheduler::Heartbeat => {}
        }
    }

    /// Runs until a worker would reveal, and keeps what it says from the scheduler.
    pub(crate) fn run_until_reveal(&mut self) -> (SessionId, Votes) {
        loop {
            while let Some((session, message)) = self.down.pop_front() {
                self.deliver_down(session, &message);
            }
            let fakes: Vec<u32> = self.fakes.keys().copied().collect();
            for idx in fakes {
                self.collect(idx);
            }
            match self.up.pop_front().expect("somebody reveals") {
                (session, ToScheduler::Votes(votes)) if !votes.reveals.is_empty() => {
                    return (session, votes);
                }
                (session, message) => self.deliver_up(session, message),
            }
        }
    }

    /// The reveals of a frame, as if its worker had said them on chain at `at_unix_s`.
    pub(crate) fn force(&mut self, session: SessionId, votes: Votes, at_unix_s: u64) {
        let signer = self.fakes[&self.fake_of(session).unwrap()].key.address();
        let signed = self.open_frame(session, votes).unwrap();
        for vote in signed.reveals {
            let reveal = Reveal {
                pool: self.genesis.pool,
                task_id: self.grid.deals()[&vote.task.deal].id.task_id(vote.task.idx),
                attempt: vote.attempt,
                set_root: vote.set_root,
                digest: vote.digest.word(),
                salt: vote.salt,
            };
            let forced = ForcedVote { reveal, signer, proof: vote.proof, at_unix_s };
            self.input(Input::Chain(ChainInput::Forced(Box::new(forced))));
        }
    }

    /// A worker says on chain, at this time, that it was never shown its set of round 0.
    pub(crate) fn demand(&mut self, worker: u32, task: TaskKey, at_unix_s: u64) {
        let task_id = self.grid.deals()[&task.deal].id.task_id(task.idx);
        let worker = WorkerIdx(worker);
        let demand = ChainInput::Demand { task_id, attempt: 0, worker, at_unix_s };
        self.input(Input::Chain(demand));
    }

    /// The answer to a demand was mined now.
    pub(crate) fn answered(&mut self, task: TaskKey) {
        let task_id = self.grid.deals()[&task.deal].id.task_id(task.idx);
        let (reveal_deadline, at_unix_s) = (self.set_ends(task), self.now.unix_s());
        self.input(Input::Chain(ChainInput::Answered { task_id, reveal_deadline, at_unix_s }));
    }

    /// The chain was read to a block of this time.
    pub(crate) fn hears(&mut self, at_unix_s: u64) {
        self.input(Input::Chain(ChainInput::Heard { at_unix_s }));
    }

    /// When the last frozen set of an open task ends.
    pub(crate) fn set_ends(&self, task: TaskKey) -> u64 {
        let open = self.grid.task(task).unwrap().open().unwrap();
        open.sets.last().unwrap().reveal_deadline
    }

    fn open_frame(&self, session: SessionId, votes: Votes) -> Option<SignedVotes> {
        votes.check().unwrap();
        let deal_id = |task: TaskKey| self.grid.deals().get(&task.deal).map(|deal| deal.id);
        let hashes = votes.hashes(self.genesis.pool, deal_id)?;
        let signer = frame::signer(&self.separator, &hashes, &votes.signature)?;
        let fake = &self.fakes[&self.fake_of(session)?];
        assert_eq!(signer, fake.key.address(), "a fake worker signs with its own key");
        let tree = FrameTree::new(&hashes);
        let proof = |index: usize| {
            let index = u32::try_from(index).unwrap();
            tree.proof(index, votes.signature)
        };
        let commits = votes.commits.iter().enumerate().map(|(at, item)| CommitVote {
            task: item.task,
            attempt: item.attempt,
            commitment: item.commitment,
            proof: proof(at),
        });
        let reveals =
            votes.reveals.iter().zip(votes.commits.len()..).map(|(item, at)| RevealVote {
                task: item.task,
                attempt: item.attempt,
                set_root: item.set_root,
                digest: item.digest,
                salt: item.salt,
                vote_hash: hashes[at],
                inline: item.inline.clone(),
                proof: proof(at),
            });
        Some(SignedVotes { commits: commits.collect(), reveals: reveals.collect() })
    }

    /// Moves the clock, stopping at each deadline of the grid; nothing is delivered.
    pub(crate) fn pass_quietly_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while let Some(due) = self.grid.next_deadline().filter(|due| *due <= end.mono_ms) {
            self.now = self.now.plus_ms(due.saturating_sub(self.now.mono_ms));
            self.input(Input::Tick);
        }
        self.now = end;
    }

    /// Moves the clock, stopping at each deadline of the grid, and runs in between.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while let Some(due) = self.grid.next_deadline().filter(|due| *due <= end.mono_ms) {
            self.now = self.now.plus_ms(due.saturating_sub(self.now.mono_ms));
            if self.chain {
                self.hears(self.now.unix_s());
            }
            self.input(Input::Tick);
            self.run();
        }
        self.now = end;
    }

    pub(crate) fn finish(&mut self, idx: u32, task: TaskKey, result: &str) {
        self.fakes.get_mut(&idx).unwrap().finish(&self.separator, task, result);
    }

    fn seal(&mut self, header: Header, file: BatchFile) {
        let parsed = BatchFile::parse(&file.to_bytes()).unwrap();
        assert_eq!(parsed, file, "an evidence file reads back as it was");
        let sign = |hashes: &Vec<B256>| frame::sign(&self.signer, &self.separator, hashes);
        let sets = audit::seal_hashes(&file).iter().map(sign).collect();
        let seal =
            Seal { header: self.signer.sign(self.separator.digest(header.struct_hash())), sets };
        let index = header.index;
        if let Some(known) = self.batches.get(&index) {
            assert_eq!(known.header, header, "a batch is sealed a second time, as it was");
            return;
        }
        self.say(&format!("seal batch {index} of {}", header.count));
        let signer = Some(self.signer.address());
        self.books
            .replay(&self.separator, signer, &header, &file, Some(&seal))
            .unwrap_or_else(|fault| panic!("batch {index} does not replay: {fault}"));
        self.batches.insert(index, Batch { header, file, seal });
    }

    /// What was judged of settled results.
    pub(crate) fn shadowed(&self) -> &Shadow {
        self.shadow.as_ref().expect("the pool makes a promise")
    }

    /// What the records say, with nothing else known.
    pub(crate) fn replayed(&self) -> Grid {
        let durable = wire::decode(&self.snapshot).unwrap();
        let mut grid = Grid::with(durable, self.policy, [9; 32]);
        for record in &self.records {
            let record: Record = wire::decode(record).unwrap();
            grid.apply(&record);
        }
        grid
    }

    /// Writes the whole state down in place of the records that led to it.
    pub(crate) fn write_snapshot(&mut self) {
        self.snapshot = wire::to_bytes(self.grid.durable());
        self.records.clear();
    }

    /// The scheduler ends and comes back: every connection is gone, the clock begins anew.
    pub(crate) fn restart(&mut self) {
        self.grid = self.replayed();
        self.now.mono_ms = 0;
        for fake in self.fakes.values_mut() {
            fake.session = None;
        }
        self.up.clear();
        self.down.clear();
        self.grid.resume(self.now);
        self.say("restart");
        self.drain();
    }

    /// The whole state, after each input.
    fn check(&self) {
        self.grid.check();
        crate::census::check(&self.grid, self.now);
        self.check_money();
        if self.replays {
            let live = wire::to_bytes(self.grid.durable());
            let replayed = wire::to_bytes(self.replayed().durable());
            assert!(live == replayed, "records replayed give another grid");
        }
    }

    /// Not a unit is made or lost: what was paid, kept and owed back is what was locked and seized.
    fn check_money(&self) {
        let ledger = self.grid.ledger();
        let (earned, slashed, spent, refunded) = ledger.sums();
        let open = ledger.open().tasks.last().map_or(0, |task| task.rec.run_fees);
        let fees = ledger.closed.values().map(|c| c.header.fees).sum::<u128>() + open;
        let locked: u128 = self
            .grid
            .deals()
            .values()
            .map(|deal| deal.terms.price() * u128::from(deal.settled))
            .sum();
        let open = ledger.open().tasks.last().map_or(0, |task| task.rec.run_royalties);
        let royalties = ledger.closed.values().map(|c| c.header.royalties).sum::<u128>() + open;
        assert_eq!(earned + fees + royalties + refunded, locked + slashed, "money");
        let owed_of_seized = refunded - (locked - spent);
        assert!(owed_of_seized <= slashed, "more was owed back than seized");
        for closed in ledger.closed.values() {
            let kept = closed.state == BatchState::Closed;
            assert_eq!(closed.file.is_some(), kept, "evidence is kept until it is on chain");
        }
    }

    /// Closes the open batch; the books that repeated it end where the ledger is.
    pub(crate) fn close(&mut self) {
        self.input(Input::CloseBatch);
        assert_eq!(self.books.state_root(), self.grid.ledger().state_root());
    }

    /// The receipts of a batch.
    pub(crate) fn receipts(&self, index: u64) -> Vec<Receipt> {
        let Batch { header, file, seal } = &self.batches[&index];
        let domain = &self.genesis.domain;
        audit::receipts(domain, header, file, seal).unwrap().map(Result::unwrap).collect()
    }

    /// What a verifier knows of a batch.
    pub(crate) fn anchor(&self, index: u64) -> Anchor {
        let header_hash = self.batches[&index].header.struct_hash();
        Anchor { domain: self.genesis.domain, header_hash, signer: Some(self.signer.address()) }
    }
}
