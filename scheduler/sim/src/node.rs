//! The scheduler's machine: disks, clock, and the program on it while it runs. The program is the grid,
//! the journal and the rule that holds effects back, as production has them; beside it stands what the
//! simulator remembers of them, so that it can tell what was lost.

mod memory;

use self::memory::{Copy, Trouble};
use crate::{
    law::{Law, Lawful, Moment, Violation, hold},
    plan::FAULTS_MS,
    settler::Settler,
    world::{Event, World},
};
use alloy_primitives::Address;
use quorate_common::{
    clock::{Floor, Now},
    digest::Digest,
    ids::{DealId, DealSlot, TaskKey, WorkerIdx},
    wire,
};
use quorate_grid::{
    Effect, Grid, Input, Ready, Record,
    audit::Books,
    input::{ChainInput, SessionId},
    policy::{Genesis, Policy},
};
use quorate_journal::{
    Journal, JournalError, Options,
    faulty::{Fault, FaultyDisk},
    held::Held,
    snapshot::Snapshots,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::ErrorKind,
    sync::Arc,
};

/// Small segments, so that one world has many.
const OPTIONS: Options = Options { segment_bytes: 32 << 10 };
/// Records after which a snapshot is due.
const SNAPSHOT_RECORDS: u64 = 400;
/// Inputs between two looks at the whole grid, which cost as much as a hundred inputs.
const LOOK_EVERY: u64 = 16;

/// The machine.
#[derive(Debug)]
pub(crate) struct Node {
    /// Counts starts, so that what belongs to an earlier one is told from the present.
    pub(crate) life: u64,
    seed: u64,
    genesis: Genesis,
    policy: Policy,
    disk: FaultyDisk,
    /// Sealed batches.
    pub(crate) vault: FaultyDisk,
    /// The books after the last batch that was checked.
    pub(crate) books: Books,
    /// Results whose bytes are here.
    pub(crate) blobs: BTreeSet<Digest>,
    boot_ms: u64,
    /// What its clock is ahead of the true one.
    pub(crate) ahead_ms: i64,
    /// What the chain said the time is at least, to the program that runs.
    pub(crate) floor: Floor,
    /// When its clock was last wrong, in true milliseconds.
    pub(crate) wrong_until: u64,
    /// When its disk was last slow or it was down.
    pub(crate) slow_until: u64,
    /// The program.
    pub(crate) up: Option<Box<Up>>,
    /// Why it must not be started again.
    pub(crate) halted: Option<String>,
    /// Every record it made, from number 1, with the moment.
    history: Vec<(Vec<u8>, Moment)>,
    /// What the durable ones come to.
    pub(crate) law: Law,
    /// How many are durable for sure.
    synced: u64,
    /// A state that was checked, and its number.
    checked: (u64, Vec<u8>),
    /// A copy of its disks, and when to take and to restore one.
    copy: Option<Box<Copy>>,
    pub(crate) copy_at: Option<u64>,
    pub(crate) restore_at: Option<u64>,
    /// Whether it runs on an old disk, and has broken its word without knowing it.
    pub(crate) rolled_back: bool,
    inputs: u64,
}

/// The program.
#[derive(Debug)]
pub(crate) struct Up {
    pub(crate) grid: Grid,
    journal: Journal,
    held: Held<(u64, Vec<Effect>)>,
    /// The last record made.
    seq: u64,
    queue: VecDeque<Vec<u8>>,
    syncing: bool,
    wake: Option<u64>,
    /// The last record in a snapshot, and one that waits for its record.
    snapshot_seq: u64,
    snapshot: Option<(u64, Vec<u8>)>,
    /// Connections that said hello, and the key each votes with.
    pub(crate) desks: BTreeMap<SessionId, Desk>,
    pub(crate) deals: BTreeMap<DealSlot, DealId>,
    pub(crate) fetching: BTreeMap<Digest, Vec<TaskKey>>,
    pub(crate) settler: Settler,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Desk {
    /// Who signs its votes.
    pub(crate) vote_key: Address,
    /// Who it is, once welcomed.
    pub(crate) worker: Option<WorkerIdx>,
}

impl Node {
    /// A machine with empty disks.
    pub(crate) fn new(seed: u64, genesis: Genesis, policy: Policy) -> Self {
        let empty = Grid::new(genesis, policy, [0; 32]);
        Self {
            life: 1,
            seed,
            genesis,
            policy,
            disk: FaultyDisk::new(seed),
            vault: FaultyDisk::new(seed ^ 1),
            books: Books::new(genesis.pool),
            blobs: BTreeSet::new(),
            boot_ms: 0,
            ahead_ms: 0,
            floor: Floor::default(),
            wrong_until: 0,
            slow_until: 0,
            up: None,
            halted: None,
            history: Vec::new(),
            law: Law::new(genesis.separator(), policy.hear_s),
            synced: 0,
            checked: (0, wire::to_bytes(empty.durable())),
            copy: None,
            copy_at: None,
            restore_at: None,
            rolled_back: false,
            inputs: 0,
        }
    }

    /// A state from bytes and the records after it.
    fn replay(&self, from: &(u64, Vec<u8>), to: u64) -> Result<Grid, Violation> {
        let decoded = wire::decode(&from.1);
        let broken =
            |error: wire::FrameError| Violation { law: "a state decodes", what: error.to_string() };
        let mut grid = Grid::with(decoded.map_err(broken)?, self.policy, [9; 32]);
        for (bytes, _) in &self.history[from.0 as usize..to as usize] {
            grid.apply(&wire::decode(bytes).map_err(broken)?);
        }
        Ok(grid)
    }

    /// Judges the records up to `to`, which are durable.
    fn judge(&mut self, from: u64, to: u64) -> Result<Vec<Record>, Violation> {
        let mut records = Vec::new();
        for (bytes, moment) in &self.history[from as usize..to as usize] {
            let record: Record = wire::decode(bytes)
                .map_err(|error| Violation { law: "a record decodes", what: error.to_string() })?;
            self.law.fold(&record, *moment)?;
            records.push(record);
        }
        Ok(records)
    }
}

impl World {
    /// The scheduler's clocks.
    pub(crate) fn node_now(&self) -> Now {
        let unix_ms = self.unix_ms().saturating_add_signed(self.node.ahead_ms);
        self.node.floor.lift(Now { mono_ms: self.t - self.node.boot_ms, unix_ms })
    }

    /// The scheduler's machine starts its program, if it may.
    pub(crate) fn boot(&mut self, life: u64) -> Lawful {
        if life != self.node.life || self.node.halted.is_some() {
            return Ok(());
        }
        self.node.boot_ms = self.t;
        // Production asks the chain for its time, and does not start without an answer.
        self.node.floor = Floor::default();
        self.node.floor.raise(self.node_now(), self.chain.head().time_s);
        let opened = match self.open_memory() {
            Ok(opened) => opened,
            Err(Trouble::Disk(error)) => {
                return hold(false, "what was durable is found again", || error.to_string());
            }
            Err(Trouble::Law(violation)) => return Err(violation),
        };
        let (grid, journal, seq) = opened;
        self.remember(&grid, seq)?;
        let settler = Settler::open(self, &grid)?;
        self.node.up = Some(Box::new(Up {
            grid,
            journal,
            held: Held::new(seq),
            seq,
            queue: VecDeque::new(),
            syncing: false,
            wake: None,
            snapshot_seq: seq,
            snapshot: None,
            desks: BTreeMap::new(),
            deals: BTreeMap::new(),
            fetching: BTreeMap::new(),
            settler,
        }));
        self.say(|| format!("the scheduler starts at record {seq}"));
        let (now, settle) = (self.node_now(), Event::Settle(life));
        if let Some(up) = &mut self.node.up {
            up.grid.resume(now);
        }
        self.drain(None)?;
        self.introduce()?;
        self.later(200, settle);
        Ok(())
    }

    /// The chain's workers are known from its first blocks, which this world leaves out.
    fn introduce(&mut self) -> Lawful {
        let known = self.node.up.as_ref().is_some_and(|up| !up.grid.workers().is_empty());
        if known {
            return Ok(());
        }
        for input in crate::machine::registrations(self) {
            self.tell(Input::Chain(input))?;
        }
        Ok(())
    }

    /// Hands an input to the grid and takes out what follows.
    pub(crate) fn tell(&mut self, input: Input) -> Lawful {
        let now = self.node_now();
        let Some(up) = &mut self.node.up else { return Ok(()) };
        let cause = Cause::of(&input);
        up.grid.handle(now, input);
        self.drain(Some(cause))
    }

    fn drain(&mut self, cause: Option<Cause>) -> Lawful {
        let now = self.node_now();
        let Some(up) = &mut self.node.up else { return Ok(()) };
        let Ready { records, effects } = up.grid.take_ready();
        check_addressees(up, &effects)?;
        up.seq += records.len() as u64;
        if !effects.is_empty() {
            up.held.push(up.seq, (up.seq, effects));
        }
        for record in &records {
            let bytes = wire::to_bytes(record);
            self.node.history.push((bytes.clone(), moment(&up.grid, now, record, cause)));
            up.queue.push_back(bytes);
        }
        if up.seq - up.snapshot_seq >= SNAPSHOT_RECORDS && up.snapshot.is_none() {
            up.snapshot_seq = up.seq;
            up.snapshot = Some((up.seq, wire::to_bytes(up.grid.durable())));
        }
        self.look()?;
        self.release()?;
        self.start_sync();
        self.set_wake();
        Ok(())
    }

    /// The whole state, now and then.
    fn look(&mut self) -> Lawful {
        self.node.inputs += 1;
        if self.node.inputs.is_multiple_of(LOOK_EVERY)
            && let Some(up) = &self.node.up
        {
            up.grid.check();
            crate::watch::check_money(&up.grid)?;
        }
        Ok(())
    }

    fn release(&mut self) -> Lawful {
        let mut mail = BTreeMap::new();
        while let Some((seq, effects)) = self.node.up.as_mut().and_then(|up| up.held.release()) {
            let synced = self.node.synced;
            hold(seq <= synced, "nothing leaves before its record is durable", || {
                format!("record {seq}, durable {synced}: {effects:?}")
            })?;
            for effect in effects {
                self.perform(effect, &mut mail)?;
            }
        }
        for (session, items) in mail {
            self.deliver(session, items)?;
        }
        Ok(())
    }

    /// The journal's thread takes a group when the last one is done.
    fn start_sync(&mut self) {
        let life = self.node.life;
        let Some(up) = &mut self.node.up else { return };
        if up.syncing || up.queue.is_empty() {
            return;
        }
        up.syncing = true;
        let mut took = self.dice.range(1, 12);
        let stall = self.plan.faults.stall;
        if !self.calm && self.dice.chance(stall) {
            took = self.dice.range(500, 10_000);
            self.tally.count("fault: disk stalled");
            self.node.slow_until = self.node.slow_until.max(self.t + took);
        }
        self.later(took, Event::Synced(life));
    }

    /// A group is written and synced, if the disk is willing.
    pub(crate) fn synced(&mut self, life: u64) -> Lawful {
        if life != self.node.life || self.node.up.is_none() {
            return Ok(());
        }
        let armed = self.arm_disk();
        let written = self.write_group();
        self.node.disk.restart();
        match written {
            Ok(to) => {
                self.made_durable(to)?;
                self.start_sync();
                Ok(())
            }
            Err(error) => {
                let expected = armed.is_some();
                hold(expected, "a healthy disk does not fail", || error.to_string())?;
                self.say(|| format!("the disk fails: {error}"));
                self.die(armed == Some(Fault::PowerOff));
                Ok(())
            }
        }
    }

    fn arm_disk(&mut self) -> Option<Fault> {
        if self.calm {
            return None;
        }
        let faults = &self.plan.faults;
        let (torn, eio, enospc) = (faults.torn, faults.eio, faults.enospc);
        let (fault, name) = if self.dice.chance(torn) {
            (Fault::PowerOff, "fault: power lost in a disk call")
        } else if self.dice.chance(eio) {
            (Fault::Error(ErrorKind::Other), "fault: sync failed (EIO)")
        } else if self.dice.chance(enospc) {
            (Fault::Error(ErrorKind::StorageFull), "fault: disk full (ENOSPC)")
        } else {
            return None;
        };
        let call = self.dice.range(0, 6);
        self.node.disk.fail_at(call, fault);
        self.tally.count(name);
        Some(fault)
    }

    fn write_group(&mut self) -> Result<u64, JournalError> {
        let Some(up) = &mut self.node.up else { return Ok(self.node.synced) };
        up.syncing = false;
        let first = up.seq + 1 - up.queue.len() as u64;
        let most = match &up.snapshot {
            Some((seq, _)) => (seq + 1).saturating_sub(first) as usize,
            None => up.queue.len(),
        };
        let most = if most == 0 { up.queue.len() } else { most };
        let group: Vec<Vec<u8>> = up.queue.drain(..most.min(up.queue.len())).collect();
        up.journal.append(group.iter().map(Vec::as_slice))?;
        up.journal.sync()?;
        let head = up.journal.head();
        if let Some((_, bytes)) = up.snapshot.take_if(|(seq, _)| *seq == head.seq) {
            // As in production, a snapshot that cannot be written is only a longer replay.
            drop(Snapshots::on(Arc::new(self.node.disk.clone())).write(head, &bytes));
        }
        Ok(head.seq)
    }

    fn made_durable(&mut self, to: u64) -> Lawful {
        let from = self.node.synced;
        let records = self.node.judge(from, to)?;
        self.node.synced = to;
        for record in &records {
            self.tell_record(record)?;
        }
        let Some(up) = &mut self.node.up else { return Ok(()) };
        up.held.durable(to);
        if up.seq == to {
            self.node.law.agrees(&up.grid)?;
            if to - self.node.checked.0 > SNAPSHOT_RECORDS {
                self.check_replay()?;
            }
        }
        self.release()
    }

    /// What the records say is what there is.
    fn check_replay(&mut self) -> Lawful {
        let node = &self.node;
        let Some(up) = &node.up else { return Ok(()) };
        let live = wire::to_bytes(up.grid.durable());
        let again = wire::to_bytes(node.replay(&node.checked, up.seq)?.durable());
        hold(live == again, "records replayed give the same grid", || {
            format!("records {} to {}", node.checked.0, up.seq)
        })?;
        // Only what is durable is a place to start from.
        if up.seq == node.synced {
            self.node.checked = (up.seq, live);
        }
        Ok(())
    }

    fn set_wake(&mut self) {
        let (life, boot, now) = (self.node.life, self.node.boot_ms, self.t);
        let Some(up) = &mut self.node.up else { return };
        let Some(at) = up.grid.next_deadline() else { return };
        let at = (boot + at).max(now + 1);
        if up.wake.is_some_and(|set| set <= at && set > now) {
            return;
        }
        up.wake = Some(at);
        self.at(at, Event::Deadline(life));
    }

    pub(crate) fn deadline(&mut self, life: u64) -> Lawful {
        let now = self.t;
        let due = match &mut self.node.up {
            Some(up) if life == self.node.life && up.wake == Some(now) => {
                up.wake = None;
                true
            }
            Some(_) | None => false,
        };
        if due { self.tell(Input::Tick) } else { Ok(()) }
    }

    /// The program ends, and starts again in a while; with the power goes what was not synced.
    pub(crate) fn die(&mut self, power: bool) {
        if self.node.up.take().is_none() {
            return;
        }
        if power {
            self.node.disk.power_cycle();
            self.node.vault.power_cycle();
        } else {
            self.node.disk.restart();
            self.node.vault.restart();
        }
        self.node.life += 1;
        let pause = if self.t >= FAULTS_MS { 300 } else { self.dice.range(300, 8_000) };
        self.node.slow_until = self.t + pause + 2_000;
        self.say(|| {
            if power { "the scheduler loses power".into() } else { "the scheduler dies".into() }
        });
        let life = self.node.life;
        self.later(pause, Event::Boot(life));
        self.drop_all_links();
    }

    /// A last check before a death that is drawn: what is remembered is what there was.
    pub(crate) fn kill(&mut self, power: bool) -> Lawful {
        if self.node.up.is_some() {
            self.check_replay()?;
            self.tally.count(if power {
                "fault: scheduler lost power"
            } else {
                "fault: scheduler killed"
            });
            self.die(power);
        }
        Ok(())
    }
}

/// The grid speaks to nobody who is gone. What waits for the disk may be for one who left meanwhile.
fn check_addressees(up: &Up, effects: &[Effect]) -> Lawful {
    let gone = effects.iter().find_map(|effect| match effect {
        Effect::Send(session, item) => (!up.desks.contains_key(session)).then_some((session, item)),
        _ => None,
    });
    hold(gone.is_none(), "nobody speaks to the gone", || format!("{gone:?}"))
}

/// Why an input changed something, as far as the laws ask.
#[derive(Clone, Copy, Debug, Default)]
struct Cause {
    gave_up: bool,
    said_s: Option<u64>,
}

impl Cause {
    fn of(input: &Input) -> Self {
        let gave_up = matches!(input, Input::GaveUp(..));
        let said_s = if let Input::Chain(ChainInput::Forced(vote)) = input {
            Some(vote.at_unix_s)
        } else {
            None
        };
        Self { gave_up, said_s }
    }
}

fn moment(grid: &Grid, now: Now, record: &Record, cause: Option<Cause>) -> Moment {
    let Cause { gave_up, said_s } = cause.unwrap_or_default();
    let connected = if let Record::Lost { worker, .. } = record {
        grid.worker(*worker).is_some_and(|worker| worker.connected)
    } else {
        false
    };
    Moment { now_s: now.unix_s(), said_s, connected, gave_up }
}
