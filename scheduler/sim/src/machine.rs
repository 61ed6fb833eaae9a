//! A worker's machine: its agent, its store, its connection, and an engine that only pretends: a result
//! follows from the task, and from what its owner is like.

mod mouth;

use crate::{
    desk::body,
    law::{Lawful, hold},
    mischief::Trick,
    plan::{Habit, Person, Plan},
    programs::Program,
    world::{Event, POOL, World, key},
};
use alloy_primitives::{Address, B256, keccak256};
use quorate_agent::{Agent, Config, Effect, Input, Output, Ready, Record, Ticket, Totals};
use quorate_common::{
    clock::Now,
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
    keys::VoteKey,
    wire::{self, CommitItem, GiveUpReason, Inline, RevealItem, ToScheduler, ToWorker},
    word::Word,
};
use quorate_grid::{
    input::{ChainInput, SessionId},
    policy::Genesis,
};
use std::collections::{BTreeMap, BTreeSet};

/// Inputs between two whole checks of an agent, whose every kept result costs a hash.
const LOOK_EVERY: u64 = 8;

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) person: Person,
    pub(crate) worker: WorkerIdx,
    pub(crate) node_key: B256,
    pub(crate) key: VoteKey,
    config: Config,
    /// Counts starts.
    pub(crate) life: u64,
    boot_ms: u64,
    pub(crate) agent: Option<Agent>,
    /// The disk: records of open jobs, and the totals.
    store: BTreeMap<TaskKey, Vec<Record>>,
    totals: Totals,
    pub(crate) session: Option<SessionId>,
    wake: Option<u64>,
    backoff: u32,
    inputs: u64,
    commits: Vec<(CommitItem, B256)>,
    reveals: Vec<(RevealItem, B256)>,
    /// What the scheduler signed for it.
    pub(crate) words: Vec<Word>,
    /// The set each commitment was opened to.
    opened: BTreeMap<B256, B256>,
    /// Results it has computed, by digest.
    results: BTreeSet<Digest>,
    /// When each result was sealed.
    pub(crate) sealed_at: BTreeMap<TaskKey, u64>,
    /// Frames it sent, for those who send them again.
    pub(crate) frames: Vec<Vec<u8>>,
    /// Sets that were shown on chain and read already.
    pub(crate) chain_read: u64,
}

/// What the chain says of every worker from the beginning.
pub(crate) fn registrations(world: &World) -> Vec<ChainInput> {
    let mut known = BTreeSet::new();
    let mut inputs = Vec::new();
    for machine in &world.machines {
        if known.insert(machine.worker) {
            let (worker, owner, node_key) = (machine.worker, machine.owner(), machine.node_key);
            let (vote_key, stake) = (machine.key.address(), machine.person.stake);
            inputs.push(ChainInput::Worker { worker, owner, vote_key, node_key });
            inputs.push(ChainInput::Stake { worker, stake, exiting: false });
        }
    }
    inputs
}

impl Machine {
    /// Everybody's machines; twins have two.
    pub(crate) fn all(plan: &Plan, dice: &mut crate::dice::Dice, genesis: Genesis) -> Vec<Self> {
        let mut machines = Vec::new();
        for (at, person) in plan.people.iter().enumerate() {
            let count = if person.habit == Habit::Twins { 2 } else { 1 };
            for _ in 0..count {
                machines.push(Self::new(at, person.clone(), genesis, plan.policy.slack_s));
            }
        }
        dice.roll();
        machines
    }

    fn new(at: usize, person: Person, genesis: Genesis, slack_s: u64) -> Self {
        let slots_max = person.slots;
        Self {
            worker: WorkerIdx(at as u32 + 1),
            node_key: keccak256(format!("node {at}")),
            key: key("worker", at),
            config: Config {
                pool: POOL,
                domain: genesis.domain,
                slots_max,
                ask: person.ask,
                slack_s,
            },
            person,
            life: 0,
            boot_ms: 0,
            agent: None,
            store: BTreeMap::new(),
            totals: Totals::default(),
            session: None,
            wake: None,
            backoff: 0,
            inputs: 0,
            commits: Vec::new(),
            reveals: Vec::new(),
            words: Vec::new(),
            opened: BTreeMap::new(),
            results: BTreeSet::new(),
            sealed_at: BTreeMap::new(),
            frames: Vec::new(),
            chain_read: 0,
        }
    }

    /// Who owns it.
    pub(crate) fn owner(&self) -> Address {
        Address::from_word(keccak256(format!("owner {}", self.person.owner)))
    }

    fn restored(&self, now: Now) -> Agent {
        Agent::restore(self.config, now, self.totals, self.store.values().flatten())
    }

    /// As the worker's store: a closed job is gone, and counted.
    fn keep(&mut self, record: Record, totals: Totals) {
        if let Record::Closed { task, .. } = record {
            self.store.remove(&task);
            self.totals = totals;
        } else {
            self.store.entry(record.task()).or_default().push(record);
        }
    }

    fn sealed(&self, task: TaskKey) -> Option<&quorate_agent::SealedJob> {
        self.store.get(&task)?.iter().find_map(|record| match record {
            Record::Sealed(job) => Some(&**job),
            _ => None,
        })
    }

    /// Unix second until which a vote about the task counts: its commit, and its reveal.
    pub(crate) fn deadlines(&self, task: TaskKey) -> Option<(u64, u64)> {
        let job = self.sealed(task)?;
        let set = self.store.get(&task)?.iter().rev().find_map(|record| match record {
            Record::Revealed { set, .. } => Some(set.item.reveal_deadline),
            _ => None,
        });
        Some((job.commit_deadline, set.unwrap_or(job.reveal_deadline)))
    }
}

impl World {
    fn machine_now(&self, machine: usize) -> Now {
        Now { mono_ms: self.t - self.machines[machine].boot_ms, unix_ms: self.unix_ms() }
    }

    pub(crate) fn start(&mut self, at: usize) -> Lawful {
        let t = self.t;
        let machine = &mut self.machines[at];
        machine.life += 1;
        (machine.boot_ms, machine.session, machine.wake) = (t, None, None);
        (machine.commits, machine.reveals) = (Vec::new(), Vec::new());
        let now = self.machine_now(at);
        let machine = &mut self.machines[at];
        machine.agent = Some(machine.restored(now));
        let life = machine.life;
        self.set_machine_wake(at);
        self.later(1, Event::Dial(at, life));
        Ok(())
    }

    /// A machine dies; what it wrote down is still there.
    pub(crate) fn kill_machine(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        if machine.agent.take().is_none() {
            return;
        }
        machine.life += 1;
        let (session, who) = (machine.session.take(), machine.worker);
        self.tally.count("fault: worker killed");
        self.say(|| format!("{who} dies"));
        if let Some(session) = session {
            let learns = self.dice.range(5, 3_000);
            self.break_link(session, learns, 0);
        }
        let pause = self.dice.range(300, 10_000);
        self.later(pause, Event::Start(at));
    }

    pub(crate) fn dial(&mut self, at: usize, life: u64) -> Lawful {
        if self.machines[at].life != life || self.machines[at].agent.is_none() {
            return Ok(());
        }
        if self.node.up.is_none() || self.cut_until > self.t {
            self.dial_again(at);
            return Ok(());
        }
        let older = self.machines[at].session.take();
        if let Some(older) = older {
            let learns = self.dice.range(5, 2_000);
            self.break_link(older, learns, 0);
            self.input(at, Input::LinkDown)?;
        }
        self.machines[at].session = Some(self.link(at));
        self.machines[at].backoff = 0;
        self.input(at, Input::LinkUp)
    }

    fn dial_again(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        machine.backoff = (machine.backoff + 1).min(6);
        let (life, most) = (machine.life, 200_u64 << machine.backoff);
        let pause = self.dice.range(100, most.min(5_000));
        self.later(pause, Event::Dial(at, life));
    }

    /// The machine learns that its connection is gone.
    pub(crate) fn hung_up(&mut self, session: SessionId) -> Lawful {
        let Some(at) = self.links.get(&session).map(|link| link.machine) else { return Ok(()) };
        if self.machines[at].session != Some(session) {
            return Ok(());
        }
        self.machines[at].session = None;
        self.dial_again(at);
        self.input(at, Input::LinkDown)
    }

    /// A frame of the scheduler.
    pub(crate) fn listen(&mut self, session: SessionId, bytes: &[u8]) -> Lawful {
        let Some(at) = self.links.get(&session).map(|link| link.machine) else { return Ok(()) };
        if self.machines[at].session != Some(session) {
            return Ok(());
        }
        let frame = body(bytes)
            .and_then(|body| wire::decode::<ToWorker>(body).map_err(|error| error.to_string()));
        match frame {
            Ok(frame) => self.input(at, Input::Frame(Box::new(frame))),
            Err(why) => hold(false, "what the scheduler sends is a frame", || why),
        }
    }

    pub(crate) fn wake(&mut self, at: usize, life: u64) -> Lawful {
        let due = self.machines[at].life == life && self.machines[at].wake == Some(self.t);
        if due {
            self.machines[at].wake = None;
            self.input(at, Input::Tick)?;
        }
        Ok(())
    }

    pub(crate) fn fetched(
        &mut self,
        at: usize,
        life: u64,
        ticket: Ticket,
        task: TaskKey,
    ) -> Lawful {
        if self.machines[at].life != life {
            return Ok(());
        }
        let fails = !self.calm && self.dice.chance(5_000);
        let outcome = if fails { Err(GiveUpReason::Input) } else { Ok(()) };
        self.input(at, Input::Fetched { ticket, task, outcome })
    }

    pub(crate) fn finished(
        &mut self,
        at: usize,
        life: u64,
        ticket: Ticket,
        task: TaskKey,
    ) -> Lawful {
        if self.machines[at].life != life {
            return Ok(());
        }
        let salt = self.dice.word();
        let fails = !self.calm && self.dice.chance(5_000);
        let outcome = if fails { Err(GiveUpReason::Engine) } else { Ok(self.result(at, task)) };
        self.input(at, Input::Finished { ticket, task, outcome, salt })
    }

    /// What this machine's owner makes of a task.
    fn result(&mut self, at: usize, task: TaskKey) -> Output {
        let machine = &self.machines[at];
        let score = machine.agent.as_ref().map_or(0, |agent| agent.view().score);
        let right = format!("{task} by engine {}", machine.person.engine);
        let program = self.node.law.deal_id(task.deal).and_then(Program::of);
        let right = match program {
            Some(program) => program.run(task, machine.worker, right),
            None => right,
        };
        let text = match machine.person.habit {
            Habit::Lazy => "42".to_owned(),
            Habit::Lying => format!("{task} as {} likes it", machine.worker),
            Habit::Colluding => format!("{task} as agreed"),
            Habit::Milking if score >= 5 => format!("{task} as agreed"),
            _ => right,
        };
        let digest = Digest::of(text.as_bytes());
        let inline = machine.person.inline && machine.person.habit != Habit::Hoarding;
        let inline = inline.then(|| Inline { blobs: vec![text.into_bytes()] });
        self.machines[at].results.insert(digest);
        Output { digest, blobs: vec![digest], inline }
    }

    /// One input, one drain: records to disk, then effects out.
    pub(crate) fn input(&mut self, at: usize, input: Input) -> Lawful {
        let now = self.machine_now(at);
        let machine = &mut self.machines[at];
        let Some(agent) = &mut machine.agent else { return Ok(()) };
        agent.handle(now, input);
        let Ready { records, effects } = agent.take_ready();
        let totals = agent.totals();
        for record in records {
            if let Record::Sealed(job) = &record {
                machine.sealed_at.insert(job.task, self.t);
            }
            machine.keep(record, totals);
        }
        self.look_at(at, now)?;
        for effect in effects {
            self.act(at, effect)?;
        }
        self.send_votes(at);
        self.set_machine_wake(at);
        Ok(())
    }

    /// The agent's own check, and that a restart would bring back what there is.
    fn look_at(&mut self, at: usize, now: Now) -> Lawful {
        let machine = &mut self.machines[at];
        machine.inputs += 1;
        let Some(agent) =
            machine.agent.as_ref().filter(|_| machine.inputs.is_multiple_of(LOOK_EVERY))
        else {
            return Ok(());
        };
        agent.check();
        let restored = machine.restored(now);
        let durable = |agent: &Agent| -> Vec<_> {
            agent.kept().map(|(task, job)| (task, job.seal.clone(), job.set().cloned())).collect()
        };
        hold(
            durable(&restored) == durable(agent),
            "a worker's restart brings back its votes",
            || format!("{}", machine.worker),
        )
    }

    fn act(&mut self, at: usize, effect: Effect) -> Lawful {
        match effect {
            Effect::Hello { slots, holding } => {
                self.greet(at, slots, holding);
                Ok(())
            }
            Effect::Fetch { ticket, task, .. } => {
                let (life, pause) = (self.machines[at].life, self.dice.range(5, 300));
                self.later(pause, Event::Fetched(at, life, ticket, task));
                Ok(())
            }
            Effect::Start { ticket, task, wall_ms, .. } => {
                let (life, pause) = (self.machines[at].life, self.work_ms(at, wall_ms));
                self.later(pause, Event::Finished(at, life, ticket, task));
                Ok(())
            }
            Effect::Commit { item, hash } => self.commits(at, item, hash),
            Effect::Reveal { item, hash } => self.reveals(at, item, hash),
            Effect::GiveUp(gone) => {
                let cheap = gone.reason == GiveUpReason::Price;
                hold(!cheap, "nobody is asked for less than its price", || format!("{gone:?}"))?;
                self.tell_scheduler(at, &ToScheduler::GaveUp(gone));
                Ok(())
            }
            Effect::Slots(slots) => {
                self.tell_scheduler(at, &ToScheduler::Slots(slots));
                Ok(())
            }
            Effect::Upload { blobs, .. } => {
                self.upload(at, &blobs);
                Ok(())
            }
            Effect::Keep(word) => self.keep_word(at, *word),
            Effect::Demand { task_id, attempt, worker } => {
                self.demand(at, task_id, attempt, worker);
                Ok(())
            }
            Effect::Force { reveal, hash } => {
                self.force(at, reveal, hash);
                Ok(())
            }
            Effect::HangUp(_) | Effect::Parted { .. } => self.part(at),
            Effect::Stop { .. } | Effect::Forget { .. } | Effect::KeepVote(_) | Effect::Warn(_) => {
                Ok(())
            }
        }
    }

    fn work_ms(&mut self, at: usize, wall_ms: u64) -> u64 {
        let person = &self.machines[at].person;
        let (mean, slow) = (person.work_ms, person.habit == Habit::Slow);
        if slow {
            return self.dice.range(wall_ms / 2, wall_ms + 500);
        }
        self.dice.range(mean / 2, mean * 2).min(wall_ms)
    }

    fn set_machine_wake(&mut self, at: usize) {
        let (now, machine) = (self.t, &mut self.machines[at]);
        let Some(agent) = &machine.agent else { return };
        let Some(due) = agent.next_deadline() else { return };
        let due = (machine.boot_ms + due).max(now + 1);
        if machine.wake.is_some_and(|set| set <= due && set > now) {
            return;
        }
        machine.wake = Some(due);
        let life = machine.life;
        self.at(due, Event::Wake(at, life));
    }

    /// Sets that were shown on chain reach those who asked.
    pub(crate) fn read_answers(&mut self, at: usize) -> Lawful {
        let head = self.chain.head().number;
        let from = std::mem::replace(&mut self.machines[at].chain_read, head);
        let blocks = self.chain.blocks_after(from.min(head), true);
        let shown: Vec<_> = blocks
            .iter()
            .flat_map(|block| block.events.iter())
            .filter_map(|event| match event {
                crate::chain::Event::Set(set, _) => Some((**set).clone()),
                _ => None,
            })
            .collect();
        for (set, proof) in shown {
            self.input(at, Input::SetShown { set, proof })?;
        }
        Ok(())
    }

    /// A bad person plans something.
    pub(crate) fn plan_trick(&mut self, at: usize, after_ms: u64, trick: Trick) {
        let life = self.machines[at].life;
        self.later(after_ms, Event::Mischief(at, life, trick));
    }
}
