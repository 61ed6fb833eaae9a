//! What a seed draws before it begins: how bad the world is, who lives in it, what is asked for.

use crate::dice::Dice;
use quorate_common::anchor::SLACK_S;
use quorate_grid::{credibility::Promise, policy::Policy};

/// Milliseconds with faults. Afterwards everything heals, and every task must end.
pub const FAULTS_MS: u64 = 600_000;
/// Seconds in which every open task must have ended once the faults stopped.
pub const CALM_S: u64 = 120;
/// How long what is said on chain takes at most to be there, in seconds, in a world whose faults last ten
/// minutes: two of its slowest blocks and a retry. Production's fifteen minutes would hold a task up for longer than
/// faults and calm together; patient worlds have them all the same.
pub const FAST_SLACK_S: u64 = 10;
/// Seeds from here on are patient worlds.
pub const PATIENT: u64 = 1 << 32;

/// How bad the world is. Rates are per million: of frames, calls, seconds or blocks, as each says.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Of a link's seconds: its connection breaks.
    pub reset: u64,
    /// Of broken connections: one side learns of it late.
    pub half_open: u64,
    /// Of a link's seconds: a second connection of the same node.
    pub twice: u64,
    /// Of a link's seconds: nothing gets through for a while.
    pub partition: u64,
    /// Of the scheduler's seconds: nothing gets through to anybody.
    pub cut_off: u64,
    /// Of frames: held up, up to 5 s.
    pub clog: u64,
    /// Of the scheduler's seconds: it dies.
    pub crash: u64,
    /// Of its deaths: the power goes, and what was not synced with it.
    pub power: u64,
    /// Of disk groups: the power goes in the middle of one.
    pub torn: u64,
    /// Of disk groups: a call fails.
    pub eio: u64,
    /// Of disk groups: no space.
    pub enospc: u64,
    /// Of disk groups: the sync takes seconds.
    pub stall: u64,
    /// Of a worker's seconds: it dies.
    pub worker_crash: u64,
    /// Of the scheduler's seconds: its clock jumps.
    pub clock: u64,
    /// Of blocks: some before it are undone.
    pub reorg: u64,
    /// Of transactions: never mined.
    pub drop: u64,
    /// Of calls to the node: an error.
    pub rpc: u64,
    /// Whether the scheduler is restored once from an old copy of its disk.
    pub old_disk: bool,
    /// Whether the scheduler shows false sets beside the true ones.
    pub false_sets: bool,
}

/// What a worker's owner is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// Does what it is asked.
    Honest,
    /// Does it at the last moment, or too late.
    Slow,
    /// Comes and goes.
    Flapping,
    /// Returns the same rubbish for everything.
    Lazy,
    /// Makes something up.
    Lying,
    /// Makes the same up as its friends.
    Colluding,
    /// Commits to what another committed to, and shows what another showed.
    Copying,
    /// Commits and never reveals.
    Withholding,
    /// Sends every vote after its deadline, signed as if in time.
    Late,
    /// Sends what no frame may be.
    Oversize,
    /// Honest until it counts, then lies.
    Milking,
    /// Commits twice, reveals twice, opens what it never sealed.
    Equivocating,
    /// Sends old frames again, and other people's.
    Replaying,
    /// Two machines on one key.
    Twins,
    /// Asks for its stake back in the middle of work.
    Leaving,
    /// Reveals honestly and never sends the bytes.
    Hoarding,
}

impl Habit {
    /// All of them with how often each is drawn.
    const DRAWN: [(Self, u64); 16] = [
        (Self::Honest, 56),
        (Self::Slow, 7),
        (Self::Flapping, 7),
        (Self::Lazy, 2),
        (Self::Lying, 4),
        (Self::Colluding, 5),
        (Self::Copying, 2),
        (Self::Withholding, 3),
        (Self::Late, 3),
        (Self::Oversize, 1),
        (Self::Milking, 2),
        (Self::Equivocating, 2),
        (Self::Replaying, 1),
        (Self::Twins, 2),
        (Self::Leaving, 3),
        (Self::Hoarding, 2),
    ];

    fn draw(dice: &mut Dice) -> Self {
        let whole = Self::DRAWN.iter().map(|(_, share)| share).sum::<u64>();
        let mut at = dice.range(0, whole - 1);
        for (habit, share) in Self::DRAWN {
            if at < share {
                return habit;
            }
            at -= share;
        }
        Self::Honest
    }

    /// Whether it always plays by the rules, so that nothing may be held against it.
    pub fn is_honest(self) -> bool {
        matches!(self, Self::Honest | Self::Slow | Self::Flapping | Self::Leaving)
    }

    /// Its line of the tally.
    pub fn name(self) -> &'static str {
        match self {
            Self::Honest => "person: honest",
            Self::Slow => "person: slow",
            Self::Flapping => "person: flapping",
            Self::Lazy => "person: lazy",
            Self::Lying => "person: lying",
            Self::Colluding => "person: colluding",
            Self::Copying => "person: copying",
            Self::Withholding => "person: withholding",
            Self::Late => "person: late",
            Self::Oversize => "person: oversize",
            Self::Milking => "person: milking",
            Self::Equivocating => "person: equivocating",
            Self::Replaying => "person: replaying",
            Self::Twins => "person: twins on one key",
            Self::Leaving => "person: leaving",
            Self::Hoarding => "person: hoarding bytes",
        }
    }
}

/// A worker to be.
#[derive(Clone, Debug)]
pub struct Person {
    /// What it is like.
    pub habit: Habit,
    /// Whose it is: numbers of owners, most have one worker.
    pub owner: u64,
    /// Replicas at once.
    pub slots: u16,
    /// Whether its results fit into a reveal.
    pub inline: bool,
    /// Milliseconds a task takes it, about.
    pub work_ms: u64,
    /// Milliseconds to the scheduler, about.
    pub far_ms: u64,
    /// Token units of stake.
    pub stake: u128,
    /// The network it comes from, if that is known.
    pub net: Option<u64>,
    /// Which of two builds of the engine it has.
    pub engine: u8,
    /// Token units per task it asks for at least.
    pub ask: u128,
}

/// One order to be.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// Which of the two requesters.
    pub requester: u8,
    /// How many tasks.
    pub tasks: u32,
    /// Trust asked for.
    pub trust: u32,
    /// Most replicas.
    pub replicas: u8,
    /// Token units per task.
    pub price: u128,
    /// Seconds a replica may take.
    pub task_s: u64,
    /// Seconds the deal may take.
    pub deadline_s: u64,
    /// Whether the contract refuses it.
    pub unfunded: bool,
}

/// Everything drawn.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The world.
    pub faults: Faults,
    /// The workers, the first has index 1.
    pub people: Vec<Person>,
    /// The orders, by time.
    pub asks: Vec<Ask>,
    /// The scheduler's settings.
    pub policy: Policy,
    /// Whether signatures are real ones.
    pub real_signatures: bool,
    /// Milliseconds between blocks.
    pub block_ms: u64,
    /// Blocks after which one is final.
    pub finality: u64,
    /// Seconds of the challenge window.
    pub window_s: u64,
}

impl Plan {
    /// Draws a world; a patient one waits for a chain as long as production does.
    pub fn draw(dice: &mut Dice, patient: bool) -> Self {
        let faults = Faults::draw(dice);
        let people = people(dice);
        let spam = dice.chance(300_000);
        let real_signatures = dice.chance(125_000);
        Self {
            policy: policy(dice, patient),
            asks: asks(dice, spam),
            real_signatures,
            block_ms: dice.range(500, 4_000),
            finality: dice.range(2, 14),
            window_s: dice.range(60, 300),
            faults,
            people,
        }
    }

    /// Seconds from the last fault on in which every task must end: [`CALM_S`]. A patient world waits for
    /// silence besides, as long as its scheduler does.
    pub fn calm_s(&self) -> u64 {
        if self.is_patient() { CALM_S + self.policy.hear_s } else { CALM_S }
    }

    /// Whether it waits for a chain as long as production does.
    pub fn is_patient(&self) -> bool {
        self.policy.slack_s == SLACK_S
    }
}

impl Faults {
    /// Each world has some faults often, some rarely and some not at all.
    fn draw(dice: &mut Dice) -> Self {
        let mut rate = |often: u64| match dice.range(0, 3) {
            0 => 0,
            1 => often / 10,
            2 => often / 3,
            _ => often,
        };
        Self {
            reset: rate(20_000),
            half_open: rate(500_000),
            twice: rate(3_000),
            partition: rate(4_000),
            cut_off: rate(4_000),
            clog: rate(20_000),
            crash: rate(25_000),
            power: rate(700_000),
            torn: rate(8_000),
            eio: rate(2_000),
            enospc: rate(2_000),
            stall: rate(20_000),
            worker_crash: rate(8_000),
            clock: rate(6_000),
            reorg: rate(50_000),
            drop: rate(100_000),
            rpc: rate(200_000),
            old_disk: rate(100) == 100 && rate(100) == 100,
            false_sets: rate(100) == 100 && rate(100) == 100,
        }
    }
}

fn people(dice: &mut Dice) -> Vec<Person> {
    // Most worlds are small: they cost less, and what goes wrong goes wrong in them too.
    let count = if dice.chance(200_000) { dice.range(16, 50) } else { dice.range(5, 16) };
    // Two builds are two crowds: each must have the workers that a task may ask for.
    let builds = if dice.chance(150_000) && count >= 16 { 2 } else { 1 };
    let known_nets = dice.chance(200_000);
    let asking = dice.chance(200_000);
    (0..count)
        .map(|at| Person {
            habit: if at < 4 { Habit::Honest } else { Habit::draw(dice) },
            owner: if at > 4 && dice.chance(100_000) { dice.range(0, at) } else { at },
            slots: dice.pick(&[1, 1, 2, 4]),
            inline: dice.chance(600_000),
            work_ms: dice.pick(&[100, 500, 1_500, 4_000]),
            far_ms: dice.pick(&[5, 20, 80, 200]),
            stake: dice.pick(&[1_000_000, 1_000_000, 40_000, 2_000]),
            net: known_nets.then(|| dice.range(0, count * 2)),
            engine: (at % builds) as u8,
            ask: if asking { dice.pick(&[0, 0, 1, 500, 1_000_001]) } else { 0 },
        })
        .collect()
}

fn policy(dice: &mut Dice, patient: bool) -> Policy {
    let slack_s = if patient { SLACK_S } else { FAST_SLACK_S };
    let hear_s = dice.pick(&[0, 2, slack_s + 2, slack_s + 10]);
    Policy {
        lease_ms: dice.pick(&[1_000, 3_000, 8_000]),
        reveal_s: dice.pick(&[8, 15, 25]),
        hear_s,
        slack_s,
        fetch_ms: dice.pick(&[2_000, 5_000, 15_000]),
        batch_tasks: dice.pick(&[4, 16, 64]) as u32,
        batch_ms: dice.pick(&[10_000, 30_000, 60_000]),
        scan_max: dice.pick(&[2, 16, 64]) as usize,
        quota_first: dice.pick(&[1, 4, 16]) as u16,
        work_per_slot: dice.pick(&[1, 2]) as u16,
        promise: dice.chance(300_000).then(|| promise(dice)),
    }
}

/// Lots that a world of 200 tasks fills, and holds that end within it.
fn promise(dice: &mut Dice) -> Promise {
    Promise {
        error_ppm: dice.pick(&[1_000, 10_000, 100_000]) as u32,
        faulty_ppm: dice.pick(&[50_000, 200_000, 350_000]) as u32,
        lot: dice.pick(&[1, 4, 16]) as u32,
        audit_ppm: dice.pick(&[20_000, 300_000]) as u32,
        hold_s: dice.pick(&[0, 5, 30]),
    }
}

/// Orders for 200 tasks and more, spread over the time with faults.
fn asks(dice: &mut Dice, spam: bool) -> Vec<Ask> {
    let mut asks = Vec::new();
    let (mut tasks, mut at_ms) = (0, 1_000);
    while tasks < 200 || at_ms < 300_000 {
        let ask = ask(dice, at_ms, spam);
        tasks += if ask.unfunded { 0 } else { ask.tasks };
        at_ms = (at_ms + dice.range(500, 45_000)).min(FAULTS_MS - 120_000);
        asks.push(ask);
    }
    asks
}

fn ask(dice: &mut Dice, at_ms: u64, spam: bool) -> Ask {
    let spams = spam && dice.chance(400_000);
    // The last deals end in the calm, with a minute left for their last bytes.
    let latest_s = (FAULTS_MS + 55_000 - at_ms) / 1_000;
    Ask {
        at_ms,
        requester: u8::from(spams),
        tasks: if spams { dice.range(1, 40) as u32 } else { dice.range(5, 30) as u32 },
        trust: dice.pick(&[0, 1, 2, 3, 5, 5, 10, 20]),
        replicas: dice.pick(&[1, 3, 5, 7, 7, 9, 15]),
        price: if spams { 0 } else { dice.pick(&[1, 7, 1_000, 1_000, 1_000_003]) },
        task_s: dice.pick(&[10, 20, 40]),
        deadline_s: dice.range(60, 600).min(latest_s.max(60)),
        unfunded: spams && dice.chance(500_000),
    }
}
