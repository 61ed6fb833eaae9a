//! The one function that decides: from preferences, what is sensed and what was asked to what may run.

use crate::{
    decision::{Decision, Network},
    gate::{Gate, Seen},
    prefs::Preferences,
    reason::Reason,
    sensed::{Moment, Power, Presence, Sensed},
    wish::{Asked, Wish},
};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
/// Milliseconds of trouble before a load counts, and of peace after: a compiler's burst is no reason to stop,
/// and its next file none to start.
const LOAD_MS: (u64, u64) = (10 * SECOND, MINUTE);
/// Percent below the limit at which other programs are quiet.
const LOAD_QUIET: u8 = 10;
/// Sensors jump by a few degrees; metal cools in a minute.
const HEAT_MS: (u64, u64) = (10 * SECOND, MINUTE);
/// Degrees below the limit at which it is cool.
const HEAT_COOL: u8 = 10;
/// A plug that is moved costs a pause, not a flicker.
const BATTERY_MS: (u64, u64) = (0, MINUTE);
/// A charge that wavers about its mark.
const CHARGE_MS: (u64, u64) = (MINUTE, 5 * MINUTE);
/// Percent by which a charge must fall again before it is waited for once more.
const CHARGE_FALL: u8 = 5;
/// A window may fill the screen for a moment while it opens; between two films there is a menu.
const SCREEN_MS: (u64, u64) = (2 * SECOND, 30 * SECOND);
/// A named program that restarts itself.
const PROGRAM_MS: (u64, u64) = (0, 30 * SECOND);
/// The idle time is long already; this much more lets a hand that only passed by go.
const USE_MS: (u64, u64) = (0, 5 * SECOND);
/// A disk that is being written to and emptied.
const DISK_MS: (u64, u64) = (0, MINUTE);
/// A laptop that changes networks.
const METERED_MS: (u64, u64) = (0, MINUTE);

/// Preferences, and what must be remembered between two decisions.
#[derive(Clone, Debug)]
pub struct Policy {
    prefs: Preferences,
    in_use: Gate,
    load: Gate,
    heat: Gate,
    battery: Gate,
    charge: Gate,
    screen: Gate,
    program: Gate,
    /// The program that shut its gate, named until the gate opens.
    named: Option<String>,
    disk: Gate,
    metered: Gate,
}

/// Which gates are shut.
#[derive(Clone, Copy, Debug)]
struct Shut {
    in_use: bool,
    load: bool,
    heat: bool,
    battery: bool,
    charge: bool,
    screen: bool,
    program: bool,
    disk: bool,
    metered: bool,
}

impl Policy {
    /// A machine of which nothing is known yet: somebody may be there.
    pub fn new(prefs: Preferences) -> Self {
        let open = |(shut, open): (u64, u64)| Gate::open(shut, open);
        Self {
            prefs,
            in_use: Gate::shut(USE_MS.0, USE_MS.1),
            load: open(LOAD_MS),
            heat: open(HEAT_MS),
            battery: open(BATTERY_MS),
            charge: open(CHARGE_MS),
            screen: open(SCREEN_MS),
            program: open(PROGRAM_MS),
            named: None,
            disk: open(DISK_MS),
            metered: open(METERED_MS),
        }
    }

    /// What the owner prefers.
    pub fn preferences(&self) -> &Preferences {
        &self.prefs
    }

    /// Takes other preferences; what is remembered stays.
    pub fn prefer(&mut self, prefs: Preferences) {
        self.prefs = prefs;
    }

    /// What may run from now on. Ask again when something changed, and after [`Policy::look_again_ms`].
    pub fn decide(&mut self, now: Moment, sensed: &Sensed, wish: Wish) -> Decision {
        let shut = self.see(now, sensed);
        let asked = wish.at(now.unix_ms);
        let slots = self.slots(sensed, shut);
        let stop = self.stop(now, sensed, asked, shut, slots);
        let reason = stop.clone().or_else(|| self.nothing_new(sensed, asked, shut));
        let slots = if stop.is_some() { 0 } else { slots };
        let until_unix_ms = self.until(now, wish, reason.as_ref());
        let Preferences { cpu_percent, containers, .. } = self.prefs;
        Decision {
            slots,
            take: reason.is_none(),
            cpu_percent: cpu_percent.clamp(1, 100),
            network: self.network(sensed),
            containers,
            ask: self.ask(sensed),
            limited: self.limited(slots, sensed.presence),
            reason,
            until_unix_ms,
        }
    }

    /// Milliseconds until a gate or the schedule would change by itself; `None`: not before something else does.
    pub fn look_again_ms(&self, now: Moment) -> Option<u64> {
        let minutes = self.prefs.schedule.changes_in(now.week_minute);
        let edge = minutes.map(|minutes| minute_ms(now, minutes).saturating_sub(now.unix_ms));
        self.gates().into_iter().filter_map(|gate| gate.changes_in(now)).chain(edge).min()
    }

    fn network(&self, sensed: &Sensed) -> Network {
        let Preferences { down_bytes_s, up_bytes_s, month_bytes, .. } = self.prefs;
        let left_bytes = (month_bytes > 0).then(|| month_bytes.saturating_sub(sensed.month_bytes));
        Network { down_bytes_s, up_bytes_s, left_bytes }
    }

    fn gates(&self) -> [&Gate; 9] {
        let Self { in_use, load, heat, battery, charge, screen, program, disk, metered, .. } = self;
        [in_use, load, heat, battery, charge, screen, program, disk, metered]
    }

    fn see(&mut self, now: Moment, sensed: &Sensed) -> Shut {
        let program = self.program.see(now, Seen::when(sensed.program.is_some()));
        if program && sensed.program.is_some() {
            self.named.clone_from(&sensed.program);
        }
        let (on_battery, charge) = (self.sees_battery(sensed), self.sees_charge(sensed));
        Shut {
            in_use: self.in_use.see(now, self.prefs.sees_use(sensed.presence)),
            load: self.load.see(now, self.prefs.sees_load(sensed.other_load_percent)),
            heat: self.heat.see(now, self.prefs.sees_heat(sensed.heat_c)),
            battery: self.battery.see(now, on_battery),
            charge: self.charge.see(now, charge),
            screen: self.screen.see(now, Seen::when(self.prefs.full_screen && sensed.full_screen)),
            program,
            disk: self.disk.see(now, self.prefs.sees_disk(sensed.disk_free_bytes)),
            metered: self
                .metered
                .see(now, Seen::when(!self.prefs.metered && sensed.metered == Some(true))),
        }
    }

    fn sees_battery(&self, sensed: &Sensed) -> Seen {
        Seen::when(!self.prefs.on_battery && matches!(sensed.power, Power::Battery(_)))
    }

    /// A battery that is not charged is waited for only at the plug.
    fn sees_charge(&self, sensed: &Sensed) -> Seen {
        let Power::Charging(percent) = sensed.power else { return Seen::Peace };
        let wanted = self.prefs.charge_percent;
        match percent {
            percent if percent >= wanted => Seen::Peace,
            percent if percent < wanted.saturating_sub(CHARGE_FALL) => Seen::Trouble,
            _ => Seen::Between,
        }
    }

    /// Slots that fit: the cores offered, and the memory.
    fn slots(&self, sensed: &Sensed, shut: Shut) -> u16 {
        let Preferences { slots, in_use_percent, slot_memory_bytes, .. } = self.prefs;
        let share = u32::from(in_use_percent.min(100));
        let cores = match shut.in_use {
            true => u16::try_from((u32::from(slots) * share).div_ceil(100)).unwrap_or(slots),
            false => slots,
        };
        let Some(memory) = sensed.memory_bytes else { return cores };
        let percent = match shut.in_use {
            true => self.prefs.memory_in_use_percent,
            false => self.prefs.memory_idle_percent,
        };
        let allowed = memory / 100 * u64::from(percent.min(100));
        let fit = allowed / slot_memory_bytes.max(1);
        cores.min(u16::try_from(fit).unwrap_or(u16::MAX))
    }

    /// Why nothing may run. The order is that of [`Reason`].
    fn stop(
        &self,
        now: Moment,
        sensed: &Sensed,
        asked: Asked,
        shut: Shut,
        slots: u16,
    ) -> Option<Reason> {
        let prefs = &self.prefs;
        let unknown = sensed.presence == Presence::Unknown;
        let (percent, until_percent) = (charge_of(sensed.power), prefs.charge_percent);
        let name = || self.named.clone().unwrap_or_default();
        let found = [
            (asked == Asked::Pause, Reason::Paused),
            (asked == Asked::Finish && sensed.at_hand == 0, Reason::Finished),
            (!prefs.schedule.is_on(now.week_minute), Reason::Schedule),
            (shut.battery, Reason::Battery),
            (shut.charge, Reason::Charging { percent, until_percent }),
            (shut.screen, Reason::FullScreen),
            (shut.program, Reason::Program { name: name() }),
            (prefs.only_idle && shut.in_use && unknown, Reason::CannotTell),
            (prefs.only_idle && shut.in_use, Reason::InUse { idle_ms: prefs.idle_ms }),
            (shut.heat, Reason::Hot { limit_c: prefs.heat_c }),
            (shut.load, Reason::Load { limit_percent: prefs.load_percent }),
            (slots == 0 && shut.in_use && prefs.in_use_percent == 0, self.why_in_use(unknown)),
            (slots == 0, Reason::Memory),
        ];
        found.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
    }

    fn why_in_use(&self, unknown: bool) -> Reason {
        if unknown { Reason::CannotTell } else { Reason::InUse { idle_ms: self.prefs.idle_ms } }
    }

    /// Why nothing new is taken, while what is here may run on.
    fn nothing_new(&self, sensed: &Sensed, asked: Asked, shut: Shut) -> Option<Reason> {
        let Preferences { month_bytes, disk_free_bytes: keep_bytes, .. } = self.prefs;
        let used_up = month_bytes > 0 && sensed.month_bytes >= month_bytes;
        let found = [
            (asked == Asked::Finish, Reason::Finishing),
            (shut.disk, Reason::Disk { keep_bytes }),
            (shut.metered, Reason::Metered),
            (used_up, Reason::MonthBytes),
        ];
        found.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
    }

    /// Why fewer run than at best: somebody is there, or memory is short.
    fn limited(&self, slots: u16, presence: Presence) -> Option<Reason> {
        let Preferences { slots: most, in_use_percent, .. } = self.prefs;
        if slots == 0 || slots >= most {
            return None;
        }
        let by_use = (u32::from(most) * u32::from(in_use_percent)).div_ceil(100);
        let is_use = u32::from(slots) == by_use;
        let unknown = presence == Presence::Unknown;
        Some(if is_use { self.why_in_use(unknown) } else { Reason::Memory })
    }

    fn until(&self, now: Moment, wish: Wish, reason: Option<&Reason>) -> Option<u64> {
        let reason = reason?;
        if *reason == Reason::Paused {
            return wish.until_unix_ms;
        }
        let changes_in = self.prefs.schedule.changes_in(now.week_minute);
        let minutes = changes_in.filter(|_| *reason == Reason::Schedule)?;
        Some(minute_ms(now, minutes))
    }

    /// The owner's price, or what a task's electricity costs if that is more.
    fn ask(&self, sensed: &Sensed) -> u128 {
        let cost = sensed.task_s.map_or(0, |task_s| self.prefs.energy.break_even(task_s));
        self.prefs.price.max(cost)
    }
}

impl Preferences {
    /// What is not known counts as use.
    fn sees_use(&self, presence: Presence) -> Seen {
        match presence {
            Presence::Unknown => Seen::Trouble,
            Presence::NoSession => Seen::Peace,
            Presence::Idle(ms) => Seen::when(ms < self.idle_ms),
        }
    }

    fn sees_load(&self, percent: Option<u8>) -> Seen {
        let limit = self.load_percent;
        let Some(percent) = percent.filter(|_| limit > 0) else { return Seen::Peace };
        // A small limit has a small margin.
        let quiet = limit.saturating_sub(LOAD_QUIET).max(limit / 2);
        Seen::above(percent.into(), u64::from(limit) + 1, quiet.into())
    }

    fn sees_heat(&self, heat_c: Option<u8>) -> Seen {
        let limit = self.heat_c;
        let Some(heat) = heat_c.filter(|_| limit > 0) else { return Seen::Peace };
        Seen::above(heat.into(), u64::from(limit) + 1, limit.saturating_sub(HEAT_COOL).into())
    }

    /// A tenth more than what is kept free is enough.
    fn sees_disk(&self, free: Option<u64>) -> Seen {
        let keep = self.disk_free_bytes;
        match free {
            Some(free) if free < keep => Seen::Trouble,
            Some(free) if free < keep.saturating_add(keep / 10) => Seen::Between,
            Some(_) | None => Seen::Peace,
        }
    }
}

/// Unix milliseconds at which the minute begins that is so many minutes from now.
fn minute_ms(now: Moment, minutes: u16) -> u64 {
    (now.unix_ms / MINUTE + u64::from(minutes)) * MINUTE
}

fn charge_of(power: Power) -> u8 {
    match power {
        Power::Charging(percent) | Power::Battery(Some(percent)) => percent,
        Power::Battery(None) | Power::Mains => 0,
    }
}
