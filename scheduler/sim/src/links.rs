//! Connections: ordered and whole while they stand, as QUIC gives them; slow, held up, broken with what
//! was on its way, and gone for one side before the other.

use crate::{
    law::Lawful,
    world::{Event, World},
};
use quorate_grid::{Input, input::SessionId};

/// Milliseconds without a frame after which a side gives a connection up.
const IDLE_MS: u64 = 10_000;

/// Who something is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The scheduler.
    Scheduler,
    /// The worker.
    Worker,
}

/// A connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) machine: usize,
    /// When it was made.
    pub(crate) since: u64,
    /// When the last frame of each direction arrives: none overtakes another.
    last: [u64; 2],
    /// Until when nothing gets through.
    pub(crate) held_until: u64,
    /// When it was last held up.
    pub(crate) rough_until: u64,
    broken: bool,
}

impl World {
    /// A new connection of a machine.
    pub(crate) fn link(&mut self, machine: usize) -> SessionId {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        let (since, held_until) = (self.t, self.cut_until);
        let (last, rough_until) = ([self.t; 2], self.t);
        let link = Link { machine, since, last, held_until, rough_until, broken: false };
        self.links.insert(session, link);
        session
    }

    /// Sends a frame's bytes.
    pub(crate) fn send(&mut self, to: Side, session: SessionId, bytes: Vec<u8>) {
        let Some(link) = self.links.get(&session).filter(|link| !link.broken) else { return };
        let far = self.machines[link.machine].person.far_ms;
        let mut way = far + self.dice.range(0, far / 2 + 1);
        let clog = self.plan.faults.clog;
        if !self.calm && self.dice.chance(clog) {
            way += self.dice.range(100, 5_000);
            self.tally.count("fault: frame held up");
        }
        let Some(link) = self.links.get_mut(&session) else { return };
        let last = &mut link.last[usize::from(to == Side::Worker)];
        let at = (self.t.max(link.held_until) + way).max(*last);
        *last = at;
        if way > 1_000 || link.held_until > self.t {
            link.rough_until = link.rough_until.max(at);
        }
        self.at(at, Event::Arrive(to, session, bytes));
    }

    pub(crate) fn arrive(&mut self, side: Side, session: SessionId, bytes: &[u8]) -> Lawful {
        let stands = self.links.get(&session).is_some_and(|link| !link.broken);
        if !stands {
            self.tally.count("fault: frames lost with their connection");
            return Ok(());
        }
        match side {
            Side::Scheduler => self.hear(session, bytes),
            Side::Worker => self.listen(session, bytes),
        }
    }

    /// A connection ends. Each side learns of it after so many milliseconds.
    pub(crate) fn break_link(&mut self, session: SessionId, scheduler_ms: u64, worker_ms: u64) {
        let Some(link) = self.links.get_mut(&session).filter(|link| !link.broken) else { return };
        link.broken = true;
        self.later(scheduler_ms, Event::Gone(Side::Scheduler, session));
        self.later(worker_ms, Event::Gone(Side::Worker, session));
    }

    /// The scheduler is gone, and with it every connection.
    pub(crate) fn drop_all_links(&mut self) {
        let sessions: Vec<SessionId> = self.links.keys().copied().collect();
        for session in sessions {
            let worker_ms = self.dice.range(5, 500);
            self.break_link(session, 0, worker_ms);
        }
    }

    pub(crate) fn gone(&mut self, side: Side, session: SessionId) -> Lawful {
        match side {
            Side::Scheduler => {
                let known = self.node.up.as_mut().and_then(|up| up.desks.remove(&session));
                if known.is_some() { self.tell(Input::Disconnected(session)) } else { Ok(()) }
            }
            Side::Worker => self.hung_up(session),
        }
    }

    /// Draws what happens to connections in a second.
    pub(crate) fn disturb_links(&mut self) {
        let faults = self.plan.faults.clone();
        let sessions: Vec<SessionId> =
            self.links.iter().filter(|(_, link)| !link.broken).map(|(id, _)| *id).collect();
        for session in sessions {
            if self.dice.chance(faults.reset) {
                self.reset(session);
            } else if self.dice.chance(faults.partition) {
                let ms = self.dice.range(500, 20_000);
                self.tally.count("fault: link partitioned");
                self.hold_link(session, ms);
            } else if self.dice.chance(faults.twice) {
                let machine = self.links[&session].machine;
                self.tally.count("fault: session duplicated");
                let life = self.machines[machine].life;
                self.later(1, Event::Dial(machine, life));
            }
        }
        if self.dice.chance(faults.cut_off) {
            self.cut_off();
        }
        self.links
            .retain(|_, link| !link.broken || link.last[0].max(link.last[1]) + 60_000 > self.t);
    }

    fn reset(&mut self, session: SessionId) {
        self.tally.count("fault: connection reset");
        let (mut scheduler_ms, mut worker_ms) = (self.dice.range(1, 50), self.dice.range(1, 50));
        let half_open = self.plan.faults.half_open;
        if self.dice.chance(half_open) {
            self.tally.count("fault: connection half open");
            let late = self.dice.range(1_000, IDLE_MS);
            let side = if self.dice.chance(500_000) { &mut scheduler_ms } else { &mut worker_ms };
            *side = late;
        }
        self.say(|| format!("connection {} breaks", session.0));
        self.break_link(session, scheduler_ms, worker_ms);
    }

    fn hold_link(&mut self, session: SessionId, ms: u64) {
        if ms >= IDLE_MS {
            return self.break_link(session, IDLE_MS, IDLE_MS);
        }
        let until = self.t + ms;
        if let Some(link) = self.links.get_mut(&session) {
            (link.held_until, link.rough_until) = (until, until + 1_000);
        }
    }

    fn cut_off(&mut self) {
        let ms = self.dice.range(1_000, 25_000);
        self.tally.count("fault: scheduler cut off");
        self.say(|| format!("nobody reaches the scheduler for {ms} ms"));
        self.cut_until = self.t + ms;
        let sessions: Vec<SessionId> = self.links.keys().copied().collect();
        for session in sessions {
            self.hold_link(session, ms);
        }
    }
}
