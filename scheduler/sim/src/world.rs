//! The world: one queue of events by simulated time, everybody in it, and the loop. What each part does
//! with an event is in its own file; here is who is who and when it ends.

use crate::{
    chain::{Chain, START_S, Tx},
    dice::Dice,
    law::{Lawful, Violation, hold},
    links::{Link, Side},
    machine::Machine,
    node::Node,
    operator::Operator,
    plan::{FAULTS_MS, PATIENT, Plan},
    tally::Tally,
    watch::Watcher,
};
use alloy_primitives::{Address, B256, keccak256};
use quorate_agent::Ticket;
use quorate_common::{
    digest::Digest,
    ids::{PoolId, TaskKey},
    keys::{VoteKey, cheap},
    messages::{Domain, Separator},
};
use quorate_grid::{
    input::SessionId,
    ledger::{BatchState, Closed},
    policy::Genesis,
    task::Task,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// The pool's number.
pub const POOL: PoolId = PoolId(1);
/// Milliseconds of the last act, in which nothing happens but that batches reach their end.
const AFTERMATH_MS: u64 = 10_800_000;
/// Milliseconds between two looks at whether everything is over.
const OVER_MS: u64 = 60_000;
/// Events at one millisecond after which time stands still: an honest second has a few hundred.
const STUCK: u64 = 100_000;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The scheduler starts.
    Boot(u64),
    /// Its disk is done with a group.
    Synced(u64),
    /// A deadline of its grid.
    Deadline(u64),
    /// It looks at the chain.
    Settle(u64),
    /// A frame arrives.
    Arrive(Side, SessionId, Vec<u8>),
    /// A side learns that its connection is gone.
    Gone(Side, SessionId),
    /// A machine starts.
    Start(usize),
    /// A machine connects.
    Dial(usize, u64),
    /// A deadline of its agent.
    Wake(usize, u64),
    /// A job's inputs are there.
    Fetched(usize, u64, Ticket, TaskKey),
    /// A run ended.
    Finished(usize, u64, Ticket, TaskKey),
    /// The blobs of a result arrive at the scheduler.
    Uploaded(SessionId, Digest),
    /// A bad person does something it planned.
    Mischief(usize, u64, crate::mischief::Trick),
    /// A block is made.
    Block,
    /// An order is sent, for the first time or again.
    Order(usize),
    /// A second passed: faults are drawn.
    Second,
    /// Everything heals.
    Calm,
    /// Every open task has ended by now.
    Check,
    /// It is over, if every batch is final, or too late.
    Over,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) t: u64,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: BTreeMap<usize, Event>,
    count: u64,
    pub(crate) dice: Dice,
    pub(crate) genesis: Genesis,
    pub(crate) separator: Separator,
    pub(crate) signer: VoteKey,
    pub(crate) chain: Chain,
    pub(crate) node: Node,
    pub(crate) operator: Operator,
    pub(crate) machines: Vec<Machine>,
    pub(crate) links: BTreeMap<SessionId, Link>,
    pub(crate) sessions: u64,
    /// Until when nobody reaches the scheduler.
    pub(crate) cut_until: u64,
    pub(crate) calm: bool,
    pub(crate) watcher: Watcher,
    /// Evidence files that anybody can have, by their digest.
    pub(crate) mirror: BTreeMap<B256, Vec<u8>>,
    /// What the dishonest tell each other: what opens a commitment.
    pub(crate) leaked: BTreeMap<B256, (Digest, B256)>,
    pub(crate) tally: Tally,
    story: Option<Vec<String>>,
}

/// How a world ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The law that was broken, if one was.
    pub violation: Option<Violation>,
    /// When, in milliseconds.
    pub at_ms: u64,
    /// What happened, counted.
    pub tally: Tally,
    /// What happened, told.
    pub story: Vec<String>,
}

impl World {
    /// The world of a seed. `told`: whether its story is written down, which costs time.
    pub fn new(seed: u64, told: bool) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(&mut dice, seed >= PATIENT);
        cheap::turn(!plan.real_signatures);
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xc0) };
        let genesis = Genesis { pool: POOL, domain };
        let separator = domain.separator();
        let signer = key("signer", 0);
        let chain = Chain::new(separator, signer.address(), POOL, plan.finality, plan.window_s);
        let node = Node::new(dice.roll(), genesis, plan.policy);
        let machines = Machine::all(&plan, &mut dice, genesis);
        let mut world = Self {
            t: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            count: 0,
            dice,
            genesis,
            separator,
            signer,
            chain,
            node,
            operator: Operator::new(seed),
            machines,
            links: BTreeMap::new(),
            sessions: 0,
            cut_until: 0,
            calm: false,
            watcher: Watcher::new(POOL),
            mirror: BTreeMap::new(),
            leaked: BTreeMap::new(),
            tally: Tally::default(),
            story: told.then(Vec::new),
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for person in self.plan.people.clone() {
            self.tally.count(person.habit.name());
        }
        if self.plan.faults.false_sets {
            self.tally.count("person: scheduler showing false sets");
        }
        self.at(0, Event::Boot(self.node.life));
        self.at(100, Event::Block);
        self.at(1_000, Event::Second);
        for machine in 0..self.machines.len() {
            let at = self.dice.range(0, 3_000);
            self.at(at, Event::Start(machine));
            self.plan_mischief(machine);
        }
        for (order, ask) in self.plan.asks.clone().into_iter().enumerate() {
            self.at(ask.at_ms, Event::Order(order));
        }
        if self.plan.faults.old_disk {
            let at = self.dice.range(60_000, 400_000);
            self.node.copy_at = Some(at);
            self.node.restore_at = Some(at + self.dice.range(5_000, 120_000));
        }
        let check = FAULTS_MS + self.plan.calm_s() * 1_000;
        self.at(FAULTS_MS, Event::Calm);
        self.at(check, Event::Check);
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Ending {
        let mut violation = None;
        let (mut last, mut stuck) = (0, 0);
        while let Some(Reverse((at, _, id))) = self.queue.pop() {
            stuck = if at == last { stuck + 1 } else { 0 };
            (self.t, last) = (at, at);
            let event = self.events.remove(&id).expect("an event for each place in the queue");
            if matches!(event, Event::Over) && self.is_over() {
                break;
            }
            let done = hold(stuck < STUCK, "time goes on", || format!("{event:?}"));
            if let Err(found) = done.and_then(|()| self.take(event)) {
                violation = Some(found);
                break;
            }
        }
        if violation.is_none() {
            violation = self.last_look().err();
        }
        self.tally.add("sum: simulated ms", self.t);
        let story = self.story.take().unwrap_or_default();
        Ending { violation, at_ms: self.t, tally: self.tally, story }
    }

    fn take(&mut self, event: Event) -> Lawful {
        match event {
            Event::Boot(life) => self.boot(life),
            Event::Synced(life) => self.synced(life),
            Event::Deadline(life) => self.deadline(life),
            Event::Settle(life) => self.settle(life),
            Event::Arrive(side, session, bytes) => self.arrive(side, session, &bytes),
            Event::Gone(side, session) => self.gone(side, session),
            Event::Start(machine) => self.start(machine),
            Event::Dial(machine, life) => self.dial(machine, life),
            Event::Wake(machine, life) => self.wake(machine, life),
            Event::Fetched(machine, life, ticket, task) => {
                self.fetched(machine, life, ticket, task)
            }
            Event::Finished(machine, life, ticket, task) => {
                self.finished(machine, life, ticket, task)
            }
            Event::Uploaded(session, digest) => self.uploaded(session, digest),
            Event::Mischief(machine, life, trick) => self.mischief(machine, life, trick),
            Event::Block => self.block(),
            Event::Order(order) => self.order(order),
            Event::Second => self.second(),
            Event::Calm => self.heal(),
            Event::Check => self.check_calm(),
            Event::Over => Ok(()),
        }
    }

    /// Something will happen at `at`, or now if that is over.
    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.count += 1;
        let id = usize::try_from(self.count).expect("fewer events than memory");
        self.events.insert(id, event);
        self.queue.push(Reverse((at.max(self.t), self.count, id)));
    }

    /// Something will happen in `ms`.
    pub(crate) fn later(&mut self, ms: u64, event: Event) {
        self.at(self.t + ms, event);
    }

    /// Whether the faults ended so many milliseconds ago.
    pub(crate) fn calm_for(&self, ms: u64) -> bool {
        self.t > FAULTS_MS + ms
    }

    /// True unix milliseconds.
    pub(crate) fn unix_ms(&self) -> u64 {
        START_S * 1_000 + self.t
    }

    /// Writes a line of the story, if it is told.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        let t = self.t;
        if let Some(story) = &mut self.story {
            story.push(format!("{:>5}.{:03}s  {}", t / 1_000, t % 1_000, line()));
        }
    }

    /// Sends a transaction, which the network may lose.
    pub(crate) fn submit(&mut self, tx: Tx) {
        let drop = self.plan.faults.drop;
        if !self.calm && self.dice.chance(drop) {
            self.tally.count("fault: transaction dropped");
            return;
        }
        self.chain.submit(tx);
    }

    fn block(&mut self) -> Lawful {
        let reorg = self.plan.faults.reorg;
        if !self.calm && self.dice.chance(reorg) {
            let depth = self.dice.range(1, 12);
            let (dice, drop) = (&mut self.dice, self.plan.faults.drop);
            let slack_s = self.plan.policy.slack_s;
            self.chain.undo(depth, slack_s, || !dice.chance(drop));
            self.tally.count("fault: reorganisation");
            let head = self.chain.head().number;
            self.say(|| format!("the chain is undone to block {head}"));
            // Production's follower sees it by the blocks' names, and reads again.
            if let Some(up) = &mut self.node.up {
                up.settler.heard = up.settler.heard.min(head);
            }
        }
        let unix_s = self.unix_ms() / 1_000;
        self.chain.mine(unix_s, &mut self.dice);
        self.watch()?;
        self.later(self.plan.block_ms, Event::Block);
        Ok(())
    }

    /// The faults end, everything broken is repaired. People stay as they are.
    fn heal(&mut self) -> Lawful {
        self.calm = true;
        self.cut_until = self.t;
        for link in self.links.values_mut() {
            link.held_until = self.t;
        }
        self.say(|| "the faults end".into());
        self.mend_clock()
    }

    /// Whether nothing is left to come; asked again and again in the last act.
    fn is_over(&mut self) -> bool {
        let left = self.node.halted.is_none() && self.t < FAULTS_MS + AFTERMATH_MS;
        let is_final = |closed: &Closed| closed.state == BatchState::Final;
        let done = self.node.up.as_ref().is_some_and(|up| {
            let ledger = up.grid.ledger();
            let ended = up.grid.deals().values().all(quorate_grid::deal::Deal::finished);
            ended && ledger.open().tasks.is_empty() && ledger.closed.values().all(is_final)
        });
        if left && !done {
            self.later(OVER_MS, Event::Over);
        }
        done || !left
    }

    /// Every task has ended, two minutes after the last fault.
    fn check_calm(&mut self) -> Lawful {
        self.later(OVER_MS, Event::Over);
        if self.node.halted.is_some() {
            return Ok(());
        }
        let law = "every task ends in the calm";
        let Some(up) = &self.node.up else {
            return hold(false, law, || "the scheduler is down".into());
        };
        let now_s = self.node_now().unix_s();
        let mut held_up = 0;
        for (slot, deal) in up.grid.deals() {
            for (task, idx) in deal.tasks.iter().zip(0..) {
                let key = TaskKey { deal: *slot, idx };
                let done = matches!(task, Task::Done(_));
                // Who demands its set on chain may be waited for half an hour (PROTOCOL.md section 7).
                let patient = self.plan.is_patient();
                let asked = patient && !done && self.node.law.waits(key, now_s);
                held_up += u64::from(asked);
                hold(done || asked, law, || format!("{:?}", up.grid.explain(key)))?;
            }
        }
        let orders = up.grid.orders();
        let opening =
            orders.values().filter(|o| o.state == quorate_grid::deal::OrderState::Opening);
        hold(opening.count() == 0, "every order ends", || "one is still being opened".into())?;
        self.tally.add("act: task of a patient world held up by a demand", held_up);
        Ok(())
    }
}

/// A key of the world's own.
pub(crate) fn key(kind: &str, number: usize) -> VoteKey {
    let mut secret = keccak256(format!("{kind} {number}")).0;
    // Below the curve's order, and not zero.
    secret[0] = 1;
    VoteKey::from_bytes(&secret).expect("a valid key")
}
