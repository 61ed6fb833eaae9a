//! What bad people do: to their own votes on the way out, and with frames nobody asked for.

use crate::{
    chain::Tx,
    desk::encoded,
    law::Lawful,
    plan::Habit,
    world::{Event, POOL, World},
};
use alloy_primitives::B256;
use quorate_common::{
    digest::Digest,
    frame,
    ids::{TaskKey, WorkerIdx},
    messages::Message as _,
    wire::{CommitItem, RevealItem, ToScheduler, Votes},
};

/// Milliseconds between two tricks of those who cannot stop.
const PAUSE_MS: u64 = 15_000;

/// Something planned.
#[derive(Clone, Debug)]
pub(crate) enum Trick {
    /// Sends garbage, or too much of it.
    Garbage,
    /// Sends an old frame, its own or another's.
    Replay,
    /// Sends votes it should have sent long ago, or not at all.
    Votes(Vec<CommitItem>, Vec<RevealItem>),
    /// Opens what it copied with what the other showed.
    Copy(TaskKey, u16, B256),
    /// Breaks its connection, or dies.
    Flap,
    /// Asks for its stake.
    Leave,
}

impl World {
    /// What a person does from time to time, from the beginning.
    pub(crate) fn plan_mischief(&mut self, at: usize) {
        let trick = match self.machines[at].person.habit {
            Habit::Oversize => Trick::Garbage,
            Habit::Replaying => Trick::Replay,
            Habit::Flapping => Trick::Flap,
            Habit::Leaving => Trick::Leave,
            _ => return,
        };
        let first = self.dice.range(5_000, 300_000);
        let first = if matches!(trick, Trick::Leave) { first } else { first / 10 };
        self.at(first, Event::Mischief(at, 0, trick));
    }

    pub(crate) fn mischief(&mut self, at: usize, life: u64, trick: Trick) -> Lawful {
        // Tricks from the beginning (life 0) are of every life, votes only of the one they are from.
        if life != 0 && life != self.machines[at].life {
            return Ok(());
        }
        match trick {
            Trick::Garbage => self.garbage(at),
            Trick::Replay => self.replay_frame(at),
            Trick::Votes(commits, reveals) => return self.vote_late(at, commits, reveals),
            Trick::Copy(task, attempt, commitment) => {
                return self.show_copy(at, task, attempt, commitment);
            }
            Trick::Flap => self.flap(at),
            Trick::Leave => {
                let worker = self.machines[at].worker;
                self.say(|| format!("{worker} asks for its stake"));
                self.submit(Tx::Exit(worker));
                return Ok(());
            }
        }
        if !self.calm {
            let pause = self.dice.range(PAUSE_MS / 2, PAUSE_MS * 2);
            self.later(pause, Event::Mischief(at, life, trick));
        }
        Ok(())
    }

    fn garbage(&mut self, at: usize) {
        let frame = match self.dice.range(0, 4) {
            0 => vec![0; 4],
            1 => vec![0xff; 64],
            2 => [&100_u32.to_le_bytes()[..], &[7; 100]].concat(),
            3 => [&200_000_u32.to_le_bytes()[..], &[1; 10]].concat(),
            _ => {
                let commit =
                    CommitItem { task: TaskKey::default(), attempt: 0, commitment: B256::ZERO };
                let signature = self.machines[at].key.sign(B256::ZERO);
                let votes = Votes { commits: vec![commit; 300], reveals: Vec::new(), signature };
                encoded(&ToScheduler::Votes(votes))
            }
        };
        self.send_frame(at, frame);
    }

    fn replay_frame(&mut self, at: usize) {
        let from = if self.dice.chance(500_000) { at } else { self.any_machine() };
        let frames = &self.machines[from].frames;
        if !frames.is_empty() {
            let pick = self.dice.roll() % frames.len() as u64;
            let frame = self.machines[from].frames[pick as usize].clone();
            self.send_frame(at, frame);
        }
    }

    fn any_machine(&mut self) -> usize {
        (self.dice.roll() % self.machines.len() as u64) as usize
    }

    fn flap(&mut self, at: usize) {
        if self.calm {
            return;
        }
        if self.dice.chance(400_000) {
            self.kill_machine(at);
        } else if let Some(session) = self.machines[at].session {
            let learns = self.dice.range(5, 4_000);
            self.break_link(session, learns, 5);
        }
    }

    /// Whether a commit does not go out as it is.
    pub(crate) fn twist_commit(&mut self, at: usize, item: &CommitItem) -> bool {
        match self.machines[at].person.habit {
            Habit::Late if self.dice.chance(300_000) => {
                let until = self.machines[at].deadlines(item.task).map_or(0, |(commit, _)| commit);
                let wait = self.until_after(until);
                self.plan_trick(at, wait, Trick::Votes(vec![*item], Vec::new()));
                true
            }
            Habit::Copying => {
                let Some(commitment) =
                    self.node.law.others_commit(item.task, self.machines[at].worker)
                else {
                    return false;
                };
                let copy = CommitItem { commitment, ..*item };
                self.plan_trick(at, 1, Trick::Votes(vec![copy], Vec::new()));
                for pause in [3_000, 9_000, 20_000] {
                    self.plan_trick(at, pause, Trick::Copy(item.task, item.attempt, commitment));
                }
                true
            }
            Habit::Equivocating if self.dice.chance(500_000) => {
                let other = CommitItem { commitment: self.dice.word(), ..*item };
                self.plan_trick(at, 300, Trick::Votes(vec![other], Vec::new()));
                // Now and then for a round that never was.
                let stray = CommitItem { attempt: item.attempt + 1, ..*item };
                self.plan_trick(at, 400, Trick::Votes(vec![stray], Vec::new()));
                false
            }
            _ => false,
        }
    }

    /// Whether a reveal does not go out as it is.
    pub(crate) fn twist_reveal(&mut self, at: usize, item: &RevealItem) -> bool {
        match self.machines[at].person.habit {
            Habit::Withholding => true,
            Habit::Late if self.dice.chance(700_000) => {
                let until = self.machines[at].deadlines(item.task).map_or(0, |(_, reveal)| reveal);
                let wait = self.until_after(until);
                self.plan_trick(at, wait, Trick::Votes(Vec::new(), vec![item.clone()]));
                true
            }
            Habit::Equivocating if self.dice.chance(700_000) => {
                self.false_reveals(at, item);
                true
            }
            _ => false,
        }
    }

    /// First for a set that never was, then with another result, then with another salt.
    fn false_reveals(&mut self, at: usize, item: &RevealItem) {
        let digest = Digest::of(b"something else");
        let false_ones = [
            RevealItem { set_root: self.dice.word(), ..item.clone() },
            RevealItem { digest, inline: None, ..item.clone() },
            RevealItem { salt: self.dice.word(), ..item.clone() },
        ];
        for (pause, reveal) in (1..).zip(false_ones) {
            self.plan_trick(at, pause * 20, Trick::Votes(Vec::new(), vec![reveal]));
        }
        self.plan_trick(at, 500, Trick::Votes(Vec::new(), vec![item.clone()]));
    }

    /// Milliseconds until a unix second is over for certain, by the scheduler's clock.
    fn until_after(&mut self, unix_s: u64) -> u64 {
        let spare = self.dice.range(1_100, 2_500);
        (unix_s * 1_000).saturating_sub(self.node_now().unix_ms) + spare
    }

    fn vote_late(
        &mut self,
        at: usize,
        commits: Vec<CommitItem>,
        reveals: Vec<RevealItem>,
    ) -> Lawful {
        let votes = Votes { commits, reveals, signature: self.machines[at].key.sign(B256::ZERO) };
        if let Some(votes) = self.signed(at, votes) {
            self.tell_scheduler(at, &ToScheduler::Votes(votes));
        }
        Ok(())
    }

    fn signed(&self, at: usize, mut votes: Votes) -> Option<Votes> {
        let hashes = votes.hashes(POOL, |task| self.deal_id(task))?;
        votes.signature = frame::sign(&self.machines[at].key, &self.separator, &hashes);
        Some(votes)
    }

    fn show_copy(&mut self, at: usize, task: TaskKey, attempt: u16, commitment: B256) -> Lawful {
        let opens = self.leaked.get(&commitment).copied();
        let set = self.node.law.set(task, attempt);
        let (Some((digest, salt)), Some((set_root, _))) = (opens, set) else { return Ok(()) };
        let copy = RevealItem { task, attempt, set_root, digest, salt, inline: None };
        self.vote_late(at, Vec::new(), vec![copy])
    }

    /// Dishonest people hear what is shown as soon as the scheduler has it.
    pub(crate) fn leak(&mut self, task: TaskKey, worker: WorkerIdx, digest: Digest, salt: B256) {
        if let Some(commitment) = self.node.law.commit(task, worker) {
            self.leaked.insert(commitment, (digest, salt));
        }
    }

    /// An order is sent, and again when nobody answered.
    pub(crate) fn order(&mut self, at: usize) -> Lawful {
        let ask = self.plan.asks[at];
        let req = self.request(at);
        let hash = req.struct_hash();
        let taken = self.node.up.as_ref().is_some_and(|up| up.grid.orders().contains_key(&hash));
        if ask.unfunded && !self.chain.unfunded.contains(&hash) {
            self.chain.unfunded.push(hash);
        }
        if ask.requester == 1 {
            self.tally.count("person: spamming requester");
        }
        if taken && !self.order_again(at) {
            return Ok(());
        }
        // A second hearing of an order is harmless; so the requester goes on until it is taken.
        if self.t < self.plan.asks[at].at_ms + 60_000 {
            self.later(4_000, Event::Order(at));
        }
        let ticket = quorate_grid::input::Ticket(at as u64);
        let (req, sides) = (Box::new(req), Box::default());
        self.tell(quorate_grid::Input::Order { ticket, req, signature: Vec::new(), sides })
    }

    /// The spammer sends what was taken once more.
    fn order_again(&mut self, at: usize) -> bool {
        self.plan.asks[at].requester == 1 && self.dice.chance(300_000)
    }

    fn request(&self, at: usize) -> quorate_common::messages::ReqOrder {
        let ask = self.plan.asks[at];
        let end = crate::chain::START_S + ask.at_ms / 1_000 + ask.deadline_s;
        quorate_common::messages::ReqOrder {
            requester: alloy_primitives::Address::repeat_byte(0xe0 + ask.requester),
            app: B256::repeat_byte(0xa0),
            params: B256::repeat_byte(0xb0),
            pool_restrict: POOL.restrict(),
            max_unit_price: ask.price,
            tasks: ask.tasks,
            trust: ask.trust,
            replicas: ask.replicas,
            max_task_time: ask.task_s,
            expiry: end,
            deadline: end,
            salt: B256::left_padding_from(&(at as u64).to_be_bytes()),
            ..Default::default()
        }
    }

    /// A second: faults are drawn.
    pub(crate) fn second(&mut self) -> Lawful {
        for at in 0..self.machines.len() {
            self.read_answers(at)?;
        }
        self.tend_copy()?;
        self.operate()?;
        if !self.calm {
            self.disturb_links();
            self.disturb_clock();
            let faults = self.plan.faults.clone();
            for at in 0..self.machines.len() {
                if self.dice.chance(faults.worker_crash) {
                    self.kill_machine(at);
                }
            }
            if self.dice.chance(faults.crash) {
                let power = self.dice.chance(faults.power);
                self.kill(power)?;
            }
        }
        let pause = if self.calm_for(300_000) { 10_000 } else { 1_000 };
        self.later(pause, Event::Second);
        Ok(())
    }

    fn disturb_clock(&mut self) {
        let clock = self.plan.faults.clock;
        if self.dice.chance(clock) {
            let ms = self.dice.range(0, 1_200_000) as i64 - 600_000;
            let ms = if self.node.ahead_ms == 0 { ms } else { 0 };
            self.tally.count("fault: clock jumped");
            self.say(|| format!("the scheduler's clock is {ms} ms ahead"));
            self.node.ahead_ms = ms;
            self.node.wrong_until = u64::MAX;
        }
    }

    /// The clock is right again, and the grid is asked at once, as its timer would within a while.
    pub(crate) fn mend_clock(&mut self) -> Lawful {
        self.node.ahead_ms = 0;
        self.tell(quorate_grid::Input::Tick)
    }
}
