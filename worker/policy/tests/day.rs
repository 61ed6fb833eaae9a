//! One day of a laptop as a table: what happens, what runs then, and why. Whoever changes a rule reads here what
//! it means to an owner.

use quorate_policy::{
    Asked, Energy, Moment, Policy, Power, Preferences, Presence, Reason, Sensed, Wish,
};
use std::fmt::Write as _;

const MINUTE: u64 = 60_000;
/// The policy is asked this often, as the worker does while somebody may come.
const LOOK_MS: u64 = 1_000;

/// Friday, by a machine of eight gigabytes and four cores.
struct Day {
    policy: Policy,
    now: Moment,
    sensed: Sensed,
    wish: Wish,
    /// When a key was touched last, if anybody is looked for.
    touched_ms: Option<u64>,
    hands_on: bool,
    table: String,
    last: String,
}

impl Day {
    fn new(prefs: Preferences) -> Self {
        let sensed = Sensed {
            memory_bytes: Some(8 << 30),
            disk_free_bytes: Some(100 << 30),
            other_load_percent: Some(3),
            heat_c: Some(50),
            task_s: Some(60),
            at_hand: 2,
            ..Sensed::default()
        };
        let policy = Policy::new(prefs);
        let now = Moment { mono_ms: 0, unix_ms: 0, week_minute: 4 * 24 * 60 };
        let (table, last) = (String::new(), String::new());
        let wish = Wish::default();
        Self { policy, now, sensed, wish, touched_ms: Some(0), hands_on: false, table, last }
    }

    /// Lets time pass until `hour:minute`, then lets something happen, and writes down what changes.
    fn at(&mut self, time: &str, what: &str, happen: impl FnOnce(&mut Self)) {
        let (hour, minute) = time.split_once(':').expect("hh:mm");
        let minute = hour.parse::<u64>().expect("hours") * 60 + minute.parse::<u64>().expect("min");
        while self.now.mono_ms < minute * MINUTE {
            self.look("");
            self.now.mono_ms += LOOK_MS;
            self.now.unix_ms += LOOK_MS;
            self.now.week_minute =
                u16::try_from(4 * 24 * 60 + self.now.mono_ms / MINUTE).expect("a week");
        }
        happen(self);
        self.look(what);
    }

    fn look(&mut self, what: &str) {
        if self.hands_on {
            self.touched_ms = Some(self.now.mono_ms);
        }
        self.sensed.presence = match self.touched_ms {
            Some(at) => Presence::Idle(self.now.mono_ms - at),
            None => Presence::Unknown,
        };
        let decision = self.policy.decide(self.now, &self.sensed, self.wish);
        let why = decision.reason.as_ref().or(decision.limited.as_ref());
        let why = why.map_or_else(String::new, Reason::words);
        let take = if decision.take { "yes" } else { "no" };
        let row = format!("{:>2} {take:>4}  {why}", decision.slots);
        if row == self.last && what.is_empty() {
            return;
        }
        let (s, m) = (self.now.mono_ms / 1_000, self.now.mono_ms / MINUTE);
        let time = format!("{:02}:{:02}:{:02}", m / 60, m % 60, s % 60);
        let line = format!("{time}  {what:<24} {row}");
        writeln!(self.table, "{}", line.trim_end()).expect("a string takes all");
        self.last = row;
    }
}

fn laptop() -> Preferences {
    Preferences {
        slots: 4,
        on_battery: false,
        schedule: "Fri 07:00-23:00".parse().expect("a schedule"),
        ..Preferences::default()
    }
}

#[test]
fn a_day_of_a_laptop() {
    let mut day = Day::new(laptop());
    day.at("00:00", "the machine starts", |_| {});
    day.at("07:30", "the owner arrives", |day| day.hands_on = true);
    day.at("08:00", "and goes to breakfast", |day| day.hands_on = false);
    day.at("08:30", "pulls the plug", |day| day.sensed.power = Power::Battery(Some(97)));
    day.at("09:00", "plugs in at 60 %", |day| day.sensed.power = Power::Charging(60));
    day.at("09:40", "it holds 90 %", |day| day.sensed.power = Power::Charging(90));
    day.at("10:00", "a compiler starts", |day| day.sensed.other_load_percent = Some(95));
    day.at("10:10", "and ends", |day| day.sensed.other_load_percent = Some(4));
    day.at("11:00", "a game starts", |day| {
        (day.hands_on, day.sensed.full_screen) = (true, true);
        day.sensed.program = Some("supertuxkart".into());
    });
    day.at("11:45", "the game ends", |day| {
        (day.hands_on, day.sensed.full_screen, day.sensed.program) = (false, false, None);
    });
    day.at("12:00", "pause for two hours", |day| {
        let until_unix_ms = Some(day.now.unix_ms + 120 * MINUTE);
        day.wish = Wish { asked: Asked::Pause, until_unix_ms };
    });
    day.at("15:00", "the sun shines on it", |day| day.sensed.heat_c = Some(91));
    day.at("15:20", "and goes", |day| day.sensed.heat_c = Some(74));
    day.at("16:00", "the disk fills", |day| day.sensed.disk_free_bytes = Some(4 << 30));
    day.at("16:30", "and is emptied", |day| day.sensed.disk_free_bytes = Some(50 << 30));
    day.at("17:00", "a phone lends its line", |day| day.sensed.metered = Some(true));
    day.at("17:30", "home again", |day| day.sensed.metered = Some(false));
    day.at("18:00", "the session agent dies", |day| day.touched_ms = None);
    day.at("18:01", "and is restarted", |day| day.touched_ms = Some(0));
    day.at("20:00", "finish", |day| day.wish.asked = Asked::Finish);
    day.at("20:10", "the last task is done", |day| day.sensed.at_hand = 0);
    day.at("21:00", "resume", |day| day.wish = Wish::default());
    day.at("23:30", "good night", |_| {});
    let expected = include_str!("day.txt");
    assert!(day.table == expected, "tests/day.txt should be:\n{}", day.table);
}

#[test]
fn who_works_only_when_nobody_is_there() {
    let mut day = Day::new(Preferences { slots: 4, only_idle: true, ..Preferences::default() });
    day.touched_ms = None;
    day.at("00:00", "no sensor", |_| {});
    day.at("01:00", "a sensor", |day| day.touched_ms = Some(day.now.mono_ms));
    day.at("02:00", "a hand passes by", |day| day.touched_ms = Some(day.now.mono_ms));
    day.at("03:00", "the sensor is gone", |day| day.touched_ms = None);
    day.at("04:00", "good night", |_| {});
    let expected = include_str!("idle.txt");
    assert!(day.table == expected, "tests/idle.txt should be:\n{}", day.table);
}

#[test]
fn nobody_works_at_a_loss() {
    let energy = Energy { units_per_kwh: 30_000_000, watts: 12 };
    let mut policy = Policy::new(Preferences { energy, price: 500, ..Preferences::default() });
    let mut ask = |task_s| {
        let sensed = Sensed { task_s, ..Sensed::default() };
        policy.decide(Moment::default(), &sensed, Wish::default()).ask
    };
    assert_eq!(ask(None), 500, "nothing is known of tasks yet");
    assert_eq!(ask(Some(1)), 500, "a second costs 100");
    assert_eq!(ask(Some(60)), 6_000, "a minute costs more than the owner's price");
}
