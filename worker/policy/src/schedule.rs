//! A week by the half hour: `Mon-Fri 19:00-07:00, Sat-Sun`. A span that ends before it begins ends next day.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Half hours of a day and of a week.
const DAY: usize = 48;
const WEEK: usize = 7 * DAY;
/// Minutes of a half hour.
const STEP: u16 = 30;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// When to work.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    on: [bool; WEEK],
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A day nobody knows.
    #[error("`{0}` is no day; expected Mon, Tue, Wed, Thu, Fri, Sat, Sun or a span as Mon-Fri")]
    Day(String),
    /// A time that is not on the half hour.
    #[error("`{0}` is no time; expected a half hour of a day, as 19:00, 07:30 or 24:00")]
    Time(String),
    /// Neither days nor hours.
    #[error("`{0}` is no part of a schedule; expected days and hours, as `Mon-Fri 19:00-07:00`")]
    Part(String),
    /// Nothing is left.
    #[error("the schedule never works; expected at least one half hour, or use `pause`")]
    Never,
}

impl Schedule {
    /// Every half hour.
    pub const fn always() -> Self {
        Self { on: [true; WEEK] }
    }

    /// Of each half hour of the week from Monday 00:00 on.
    ///
    /// # Errors
    /// None of them is on, or there are not as many as a week has.
    pub fn of(half_hours: &[bool]) -> Result<Self, ScheduleError> {
        let wrong = || ScheduleError::Part(format!("{} half hours", half_hours.len()));
        let on: [bool; WEEK] = half_hours.try_into().map_err(|_| wrong())?;
        if on.contains(&true) { Ok(Self { on }) } else { Err(ScheduleError::Never) }
    }

    /// Whether it is time to work, this many minutes into the week.
    pub fn is_on(&self, week_minute: u16) -> bool {
        self.on[usize::from(week_minute / STEP) % WEEK]
    }

    /// Minutes until it changes; `None`: it never does.
    pub fn changes_in(&self, week_minute: u16) -> Option<u16> {
        let at = usize::from(week_minute / STEP) % WEEK;
        let steps = (1..WEEK).find(|step| self.on[(at + step) % WEEK] != self.on[at])?;
        let steps = u16::try_from(steps).ok()?;
        Some(steps * STEP - week_minute % STEP)
    }

    /// Each half hour of the week from Monday 00:00 on, for a page that shows them as boxes.
    pub fn half_hours(&self) -> &[bool] {
        &self.on
    }

    fn add(&mut self, part: &str) -> Result<(), ScheduleError> {
        let wrong = || ScheduleError::Part(part.to_owned());
        let mut words = part.split_whitespace();
        let first = words.next().ok_or_else(wrong)?;
        let (days, hours) = match words.next() {
            Some(hours) => (days(first)?, hours),
            None if first.contains(':') => ((0..7).collect(), first),
            None => (days(first)?, "00:00-24:00"),
        };
        if words.next().is_some() {
            return Err(wrong());
        }
        let (from, to) = hours.split_once('-').ok_or_else(wrong)?;
        let (from, to) = (time(from)?, time(to)?);
        let len = if to > from { to - from } else { to + DAY - from };
        for day in days {
            (0..len).for_each(|step| self.on[(day * DAY + from + step) % WEEK] = true);
        }
        Ok(())
    }
}

fn days(text: &str) -> Result<Vec<usize>, ScheduleError> {
    let day = |name: &str| {
        let found = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
        found.ok_or_else(|| ScheduleError::Day(name.to_owned()))
    };
    let Some((from, to)) = text.split_once('-') else { return Ok(vec![day(text)?]) };
    let (from, to) = (day(from)?, day(to)?);
    let len = (to + 7 - from) % 7;
    Ok((0..=len).map(|step| (from + step) % 7).collect())
}

/// Half hours since midnight.
fn time(text: &str) -> Result<usize, ScheduleError> {
    let wrong = || ScheduleError::Time(text.to_owned());
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let (hour, minute): (usize, usize) =
        (hour.parse().map_err(|_| wrong())?, minute.parse().map_err(|_| wrong())?);
    let at = hour * 2 + minute / 30;
    if minute % 30 == 0 && minute < 60 && at <= DAY { Ok(at) } else { Err(wrong()) }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::always()
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        if text.is_empty() || text.eq_ignore_ascii_case("always") {
            return Ok(Self::always());
        }
        let mut schedule = Self { on: [false; WEEK] };
        text.split([',', ';']).try_for_each(|part| schedule.add(part))?;
        if schedule.on.contains(&true) { Ok(schedule) } else { Err(ScheduleError::Never) }
    }
}

/// A day and hours per span; days are not joined, so that every schedule has one text.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.on.contains(&false) {
            return f.write_str("always");
        }
        let mut parts = Vec::new();
        for (name, day) in DAYS.iter().zip(self.on.chunks(DAY)) {
            let mut at = 0;
            while at < DAY {
                let len = day[at..].iter().take_while(|on| **on == day[at]).count();
                if day[at] {
                    parts.push(format!("{name} {}-{}", clock(at), clock(at + len)));
                }
                at += len;
            }
        }
        f.write_str(&parts.join(", "))
    }
}

fn clock(half_hours: usize) -> String {
    format!("{:02}:{:02}", half_hours / 2, half_hours % 2 * 30)
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

impl TryFrom<String> for Schedule {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u16 = 60;

    #[test]
    fn nights_and_weekends() {
        let schedule: Schedule = "Mon-Fri 19:00-07:00, Sat-Sun".parse().expect("it is one");
        let on = |day: u16, hour: u16| schedule.is_on((day * 24 + hour) * HOUR);
        assert!(!on(0, 6), "Sunday's night is not Friday's");
        assert!(on(0, 19) && on(1, 6) && !on(1, 7) && on(5, 12) && on(6, 23));
        assert_eq!(schedule.changes_in(7 * HOUR), Some(12 * HOUR));
        assert_eq!(schedule.changes_in(18 * HOUR + 45), Some(15));
        assert_eq!(schedule.to_string().parse::<Schedule>().as_ref(), Ok(&schedule));
        assert_eq!(Schedule::always().changes_in(0), None);
        assert_eq!("always".parse(), Ok(Schedule::always()));
        let boxes = Schedule::of(schedule.half_hours()).expect("a week");
        assert_eq!(boxes, schedule);
        assert_eq!(Schedule::of(&[false; WEEK]), Err(ScheduleError::Never));
        assert!(Schedule::of(&[true; DAY]).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let says = |text: &str| text.parse::<Schedule>().expect_err("it is none").to_string();
        assert!(says("Mun 1:00-2:00").contains("`Mun` is no day"));
        assert!(says("Mon 1:15-2:00").contains("`1:15` is no time"));
        assert!(says("Mon 1:00-25:00").contains("`25:00` is no time"));
        assert!(says("Mon 1:00").contains("no part of a schedule"));
        assert!(says("Mon,").contains("no part of a schedule"));
    }
}
