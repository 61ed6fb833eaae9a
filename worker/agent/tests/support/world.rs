//! A world of one agent: a scheduler's hand that signs, a disk that remembers, a clock that is
//! turned, and a trace of what was asked for.

use quorate_agent::{
    Agent, Config, Effect, Input, LinkView, Output, Ready, Record, Ticket, Totals, Warning,
};
use quorate_common::{
    Address, B256,
    anchor::SLACK_S,
    clock::Now,
    digest::Digest,
    frame,
    ids::{DealId, DealSlot, PoolId, TaskKey, WorkerIdx},
    keccak256,
    keys::VoteKey,
    merkle::{SET_DEPTH, Tree},
    messages::{Domain, Separator, Word as _},
    wire::{
        AssignItem, CommitAckItem, CommitItem, CommitSetItem, DealInfo, Duties, GiveUpReason,
        RevealAckItem, RevealItem, SettledItem, ToWorker, Welcome,
    },
    word::{KeptVote, Said},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

pub(crate) const POOL: PoolId = PoolId(1);
pub(crate) const ME: WorkerIdx = WorkerIdx(7);
/// Unix second at which every world begins.
pub(crate) const START_S: u64 = 1_000_000;

pub(crate) fn domain() -> Domain {
    Domain { chain_id: 31_337, contract: Address::repeat_byte(0xcc) }
}

pub(crate) fn key(n: u8) -> VoteKey {
    VoteKey::from_bytes(&[n; 32]).expect("a valid key")
}

pub(crate) fn task(deal: u32, idx: u32) -> TaskKey {
    TaskKey { deal: DealSlot(deal), idx }
}

pub(crate) fn deal(slot: u32) -> DealInfo {
    DealInfo {
        slot: DealSlot(slot),
        id: DealId(keccak256(slot.to_be_bytes())),
        app: Digest::of(b"app"),
        bag: Digest::of(b"bag"),
        first: 0,
        unit_price: 100,
        stake: 30,
        max_task_time: 60,
        deadline: START_S + 86_400,
    }
}

pub(crate) struct World {
    pub agent: Agent,
    pub now: Now,
    pub trace: String,
    pub signer: VoteKey,
    /// What is on disk: the records of each open job, and the totals.
    pub disk: BTreeMap<TaskKey, Vec<Record>>,
    pub totals: Totals,
    slots: u16,
    /// The least price of a task it works for, from the next restart on; a deal here pays 100.
    pub ask: u128,
    /// What the agent asked for last, by task.
    pub tickets: BTreeMap<TaskKey, Ticket>,
    pub commits: BTreeMap<TaskKey, CommitItem>,
    pub reveals: BTreeMap<TaskKey, RevealItem>,
    /// Every (task, commitment, root) that a signed set has proven.
    pub proven: BTreeSet<(TaskKey, B256, B256)>,
    /// The root each commitment was opened to.
    pub opened: BTreeMap<B256, B256>,
    salts: u64,
    /// What was kept of the scheduler's words.
    pub words: Vec<Said>,
    /// What was kept of our own votes.
    pub votes: Vec<KeptVote>,
    /// Off while a test builds a large world, whose checks cost as much as it is large.
    pub checks_each_step: bool,
}

impl World {
    pub(crate) fn new(slots: u16) -> Self {
        let now = Now { mono_ms: 500, unix_ms: START_S * 1000 };
        Self {
            agent: Agent::new(config(slots, 0), now),
            now,
            trace: String::new(),
            signer: key(9),
            words: Vec::new(),
            votes: Vec::new(),
            disk: BTreeMap::new(),
            totals: Totals::default(),
            slots,
            ask: 0,
            tickets: BTreeMap::new(),
            commits: BTreeMap::new(),
            reveals: BTreeMap::new(),
            proven: BTreeSet::new(),
            opened: BTreeMap::new(),
            salts: 0,
            checks_each_step: true,
        }
    }

    /// Connected and welcomed, with deals 0 to 2 described.
    pub(crate) fn connected(slots: u16) -> Self {
        let mut world = Self::new(slots);
        world.connect();
        world.trace.clear();
        world
    }

    pub(crate) fn connect(&mut self) {
        self.input("link up", Input::LinkUp);
        self.welcome(0);
        (0..3).for_each(|slot| self.frame("", ToWorker::Deal(deal(slot))));
    }

    pub(crate) fn later(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    /// Turns the clock to the next deadline, and ticks.
    pub(crate) fn next_tick(&mut self) {
        let due = self.agent.next_deadline().expect("nothing is due");
        self.now = self.now.plus_ms(due.saturating_sub(self.now.mono_ms));
        self.input("tick", Input::Tick);
        assert!(self.agent.next_deadline().is_none_or(|next| next > due), "a deadline stays due");
    }

    /// Turns the clock to a unix second, ticking at each deadline on the way.
    pub(crate) fn pass_to(&mut self, unix_s: u64) {
        let end = self.now.plus_ms(unix_s * 1000 - self.now.unix_ms);
        while self.agent.next_deadline().is_some_and(|due| due <= end.mono_ms) {
            self.next_tick();
        }
        self.now = end;
    }

    /// From now on the task may be revealed to this set, which was shown on chain.
    pub(crate) fn expect_reveal(&mut self, task: TaskKey, root: B256) {
        self.proven.insert((task, self.commits[&task].commitment, root));
    }

    pub(crate) fn welcome(&mut self, ahead_ms: u64) {
        let welcome = Welcome {
            pool: POOL,
            domain: domain(),
            signer: self.signer.address(),
            worker: Some(ME),
            stake: 1000,
            score: 3,
            unix_ms: self.now.unix_ms + ahead_ms,
            notice: String::new(),
        };
        self.frame("welcome", ToWorker::Welcome(welcome));
    }

    pub(crate) fn assign(&mut self, task: TaskKey, attempt: u16) {
        self.assign_until(task, attempt, 60, 120);
    }

    pub(crate) fn assign_until(
        &mut self,
        task: TaskKey,
        attempt: u16,
        commit_s: u64,
        reveal_s: u64,
    ) {
        let now_s = self.now.unix_s();
        let item = AssignItem {
            task,
            attempt,
            seed_epoch: 0,
            commit_deadline: now_s + commit_s,
            reveal_deadline: now_s + reveal_s,
        };
        let duties = Duties { assigns: vec![item], ..nothing() };
        self.duties(&format!("assign {}", name(task, attempt)), duties);
    }

    pub(crate) fn fetched(&mut self, task: TaskKey, outcome: Result<(), GiveUpReason>) {
        let Some(&ticket) = self.tickets.get(&task) else { return };
        let label = format!("fetched {}", short(task));
        self.input(&label, Input::Fetched { ticket, task, outcome });
    }

    pub(crate) fn finished(&mut self, task: TaskKey, outcome: Result<&[u8], GiveUpReason>) {
        let Some(&ticket) = self.tickets.get(&task) else { return };
        self.salts += 1;
        let salt = keccak256(self.salts.to_be_bytes());
        let outcome = outcome.map(|manifest| {
            let digest = Digest::of(manifest);
            Output { digest, blobs: vec![digest], inline: None }
        });
        let label = format!("finished {}", short(task));
        self.input(&label, Input::Finished { ticket, task, outcome, salt });
    }

    /// From assignment to a sealed result.
    pub(crate) fn work(&mut self, task: TaskKey) {
        self.assign(task, 0);
        self.fetched(task, Ok(()));
        self.finished(task, Ok(b"result"));
    }

    pub(crate) fn ack(&mut self, task: TaskKey) {
        let Some(commit) = self.commits.get(&task).copied() else { return };
        let CommitItem { attempt, commitment, .. } = commit;
        let item = CommitAckItem { task, attempt, commitment, seq: 1 };
        let duties = Duties { commit_acks: vec![item], ..nothing() };
        self.duties(&format!("ack {}", short(task)), duties);
    }

    /// A set in which our commitment stands second, beside `others`; every `others` is another set.
    pub(crate) fn set_item(&self, task: TaskKey, others: u8) -> Option<CommitSetItem> {
        let commit = self.commits.get(&task)?;
        let leaf = |worker: WorkerIdx, commitment: B256| {
            keccak256([worker.word(), commitment.0].as_flattened())
        };
        let stranger = leaf(WorkerIdx(1), B256::repeat_byte(others));
        let tree = Tree::new(SET_DEPTH, vec![stranger, leaf(ME, commit.commitment)]);
        let path = tree.path(1).try_into().expect("depth 4");
        Some(CommitSetItem {
            task,
            attempt: commit.attempt,
            root: tree.root(),
            n: 2,
            reveal_deadline: self.now.unix_s() + 120,
            position: 1,
            path,
        })
    }

    pub(crate) fn set(&mut self, task: TaskKey, others: u8) {
        let Some(item) = self.set_item(task, others) else { return };
        let commitment = self.commits[&task].commitment;
        self.proven.insert((task, commitment, item.root));
        self.send_set(item, &format!("set {}", short(task)));
    }

    pub(crate) fn send_set(&mut self, item: CommitSetItem, label: &str) {
        self.duties(label, Duties { sets: vec![item], ..nothing() });
    }

    pub(crate) fn reveal_ack(&mut self, task: TaskKey) {
        let Some(reveal) = self.reveals.get(&task).cloned() else { return };
        let vote_hash = self.reveal_hash(&reveal);
        let item = RevealAckItem { task, attempt: reveal.attempt, vote_hash, stored: true, seq: 2 };
        let duties = Duties { reveal_acks: vec![item], ..nothing() };
        self.duties(&format!("reveal ack {}", short(task)), duties);
    }

    pub(crate) fn settled(&mut self, task: TaskKey, earned: u128) {
        let item = SettledItem { task, outcome: 1, earned, slashed: 0, score: 4 };
        self.frame(&format!("settled {}", short(task)), ToWorker::Settled(vec![item]));
    }

    pub(crate) fn cancel(&mut self, task: TaskKey, attempt: u16) {
        let label = format!("cancel {}", name(task, attempt));
        self.frame(&label, ToWorker::Cancel(vec![(task, attempt)]));
    }

    pub(crate) fn fetch(&mut self, task: TaskKey, digest: Digest) {
        self.frame(&format!("fetch {}", short(task)), ToWorker::Fetch { task, digest });
    }

    /// Forgets everything that is not on disk.
    pub(crate) fn restart(&mut self) {
        let records: Vec<&Record> = self.disk.values().flatten().collect();
        // A new process begins its monotonic clock anew.
        self.now.mono_ms = 0;
        self.agent = Agent::restore(config(self.slots, self.ask), self.now, self.totals, records);
        self.tickets.clear();
        writeln!(self.trace, "restart").expect("a string");
        self.agent.check();
    }

    /// Signs duties as the pool and delivers them.
    pub(crate) fn duties(&mut self, label: &str, duties: Duties) {
        let signer = self.signer.clone();
        self.duties_by(&signer, label, duties);
    }

    pub(crate) fn duties_by(&mut self, signer: &VoteKey, label: &str, mut duties: Duties) {
        let id = |task: TaskKey| Some(deal(task.deal.0).id);
        let hashes = duties.hashes(POOL, ME, id).expect("all deals are known");
        duties.signature = frame::sign(signer, &separator(), &hashes);
        self.frame(label, ToWorker::Duties(duties));
    }

    pub(crate) fn frame(&mut self, label: &str, frame: ToWorker) {
        self.input(label, Input::Frame(Box::new(frame)));
    }

    /// One input, one drain, every check.
    pub(crate) fn input(&mut self, label: &str, input: Input) {
        self.agent.handle(self.now, input);
        if self.checks_each_step {
            self.agent.check();
        }
        let Ready { records, effects } = self.agent.take_ready();
        let mut said: Vec<String> = Vec::new();
        for record in records {
            said.push(format!("[{}]", record_name(&record)));
            self.store(record);
        }
        for effect in effects {
            // Kept words are looked at by themselves.
            let name = effect_name(&effect);
            said.extend((!name.is_empty()).then_some(name));
            self.perform(effect);
        }
        if self.checks_each_step {
            self.check_disk();
        }
        if !label.is_empty() {
            let at_s = self.now.unix_s() - START_S;
            let line = format!("{at_s:>3}s {label:<15} {}", said.join(", "));
            writeln!(self.trace, "{}", line.trim_end()).expect("a string");
        }
    }

    pub(crate) fn link(&self) -> LinkView {
        self.agent.view().link
    }

    fn store(&mut self, record: Record) {
        if let Record::Closed { task, .. } = record {
            self.disk.remove(&task);
            self.totals = self.agent.totals();
        } else {
            self.disk.entry(record.task()).or_default().push(record);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Fetch { ticket, task, .. } | Effect::Start { ticket, task, .. } => {
                self.tickets.insert(task, ticket);
            }
            Effect::Commit { item, .. } => {
                self.must_be_sealed(item.task, item.commitment);
                self.commits.insert(item.task, item);
            }
            Effect::Reveal { item, .. } => self.on_reveal(item),
            Effect::KeepVote(vote) => self.votes.push(*vote),
            Effect::Keep(word) => {
                assert_eq!(word.signer(&separator()), Some(self.signer.address()));
                self.words.push(word.said);
            }
            Effect::Demand { .. }
            | Effect::Force { .. }
            | Effect::Hello { .. }
            | Effect::Stop { .. }
            | Effect::GiveUp(_)
            | Effect::Slots(_)
            | Effect::Upload { .. }
            | Effect::Forget { .. }
            | Effect::HangUp(_)
            | Effect::Parted { .. }
            | Effect::Warn(_) => {}
        }
    }

    /// The heart of the matter: a reveal answers a proven set, and one set only.
    fn on_reveal(&mut self, item: RevealItem) {
        let commitment = separator().commitment(
            deal(item.task.deal.0).id.task_id(item.task.idx),
            item.attempt,
            ME,
            item.digest.word(),
            item.salt,
        );
        self.must_be_sealed(item.task, commitment);
        let set = (item.task, commitment, item.set_root);
        assert!(self.proven.contains(&set), "revealed to a set that was never proven: {item:?}");
        let first = *self.opened.entry(commitment).or_insert(item.set_root);
        assert_eq!(first, item.set_root, "one commitment was opened to two sets");
        self.reveals.insert(item.task, item);
    }

    fn must_be_sealed(&self, task: TaskKey, commitment: B256) {
        let is_sealed = |record: &Record| match record {
            Record::Sealed(job) => job.seal.commitment == commitment,
            Record::Acked { .. } | Record::Revealed { .. } | Record::Closed { .. } => false,
        };
        let on_disk = self.disk.get(&task).is_some_and(|records| records.iter().any(is_sealed));
        assert!(on_disk, "{task} left the machine before it was on disk");
    }

    /// What a restart would bring back is what there is.
    fn check_disk(&self) {
        let records = self.disk.values().flatten();
        let restored = Agent::restore(config(self.slots, self.ask), self.now, self.totals, records);
        let durable = |agent: &Agent| -> Vec<_> {
            agent.kept().map(|(task, job)| (task, job.seal.clone(), job.set().cloned())).collect()
        };
        assert_eq!(durable(&restored), durable(&self.agent));
        assert_eq!(restored.totals(), self.agent.totals());
    }

    fn reveal_hash(&self, item: &RevealItem) -> B256 {
        use quorate_common::messages::Message as _;
        item.message(POOL, deal(item.task.deal.0).id.task_id(item.task.idx)).struct_hash()
    }
}

pub(crate) fn nothing() -> Duties {
    let signature = quorate_common::keys::Signature { r: B256::ZERO, vs: B256::ZERO };
    Duties {
        assigns: Vec::new(),
        commit_acks: Vec::new(),
        sets: Vec::new(),
        reveal_acks: Vec::new(),
        signature,
    }
}

fn config(slots_max: u16, ask: u128) -> Config {
    Config { pool: POOL, domain: domain(), slots_max, ask, slack_s: SLACK_S }
}

pub(crate) fn separator() -> Separator {
    domain().separator()
}

fn short(task: TaskKey) -> String {
    format!("{}/{}", task.deal.0, task.idx)
}

fn name(task: TaskKey, attempt: u16) -> String {
    if attempt == 0 { short(task) } else { format!("{}#{attempt}", short(task)) }
}

fn record_name(record: &Record) -> &'static str {
    match record {
        Record::Sealed(_) => "sealed",
        Record::Acked { .. } => "acked",
        Record::Revealed { .. } => "revealed",
        Record::Closed { .. } => "closed",
    }
}

fn effect_name(effect: &Effect) -> String {
    match effect {
        Effect::Hello { slots, holding } => {
            let holding: Vec<String> = holding.iter().map(|(t, a)| name(*t, *a)).collect();
            format!("hello slots={slots} holding=[{}]", holding.join(" "))
        }
        Effect::Fetch { task, .. } => format!("fetch {}", short(*task)),
        Effect::Start { task, wall_ms, .. } => format!("start {} {wall_ms}ms", short(*task)),
        Effect::Stop { ticket } => format!("stop #{}", ticket.0),
        Effect::Commit { item, .. } => format!("commit {}", short(item.task)),
        Effect::Reveal { item, .. } => format!("reveal {}", short(item.task)),
        Effect::GiveUp(gone) => {
            format!("give up {} {:?}", name(gone.task, gone.attempt), gone.reason)
        }
        Effect::Slots(slots) => format!("slots {slots}"),
        Effect::Upload { task, .. } => format!("upload {}", short(*task)),
        Effect::Forget { task, .. } => format!("forget {}", short(*task)),
        Effect::Keep(_) | Effect::KeepVote(_) => String::new(),
        Effect::Demand { attempt, .. } => format!("demand set of round {attempt}"),
        Effect::Force { reveal, .. } => format!("force reveal of round {}", reveal.attempt),
        Effect::HangUp(breach) => format!("hang up: {breach}"),
        Effect::Parted { reason, retry_ms } => format!("parted: {reason} {retry_ms:?}"),
        Effect::Warn(warning) => format!("warn {}", warning_name(warning)),
    }
}

fn warning_name(warning: &Warning) -> &'static str {
    match warning {
        Warning::Equivocation { .. } => "equivocation",
        Warning::NotInSet { .. } => "not in set",
        Warning::LateSet { .. } => "late set",
        Warning::WrongAck { .. } => "wrong ack",
        Warning::WrongRevealAck { .. } => "wrong reveal ack",
        Warning::WrongFetch { .. } => "wrong fetch",
        Warning::OverSlots { .. } => "over slots",
        Warning::SecondVote { .. } => "second vote",
        Warning::Renumbered { .. } => "renumbered",
        Warning::NeverSettled { .. } => "never settled",
    }
}
