//! How long a pause lasts, as people say it: `2h`, `90m`, `tomorrow`, `19:00`.

use quorate_senses::calendar;
use std::str::FromStr;

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u64 = 24 * 60;
/// Minutes into the day at which `tomorrow` begins: when people get up.
const MORNING: u64 = 7 * 60;
/// The longest pause with an end: a month. Longer ones have none.
const LONGEST_MINUTES: u64 = 31 * DAY_MINUTES;

/// The end of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// So many minutes from now.
    After(u64),
    /// The next time the clock says so many minutes past midnight.
    Clock(u64),
    /// Tomorrow morning, at seven.
    Tomorrow,
}

impl Until {
    /// Unix milliseconds, from now.
    pub(crate) fn unix_ms(self, now_ms: u64) -> u64 {
        let today = u64::from(calendar::week_minute(now_ms)) % DAY_MINUTES;
        let minutes = match self {
            Self::After(minutes) => return now_ms + minutes * MINUTE_MS,
            Self::Clock(at) if at > today => at - today,
            Self::Clock(at) => at + DAY_MINUTES - today,
            Self::Tomorrow => MORNING + DAY_MINUTES - today,
        };
        (now_ms / MINUTE_MS + minutes) * MINUTE_MS
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!("`{text}` is no time: expected 30m, 2h, 3d, 19:00 or tomorrow, a month at most")
        };
        if text == "tomorrow" {
            return Ok(Self::Tomorrow);
        }
        if let Some((hour, minute)) = text.split_once(':') {
            let number = |digits: &str| digits.parse::<u64>().map_err(|_| expected());
            let (hour, minute) = (number(hour)?, number(minute)?);
            let is_time = hour < 24 && minute < 60;
            return is_time.then_some(Self::Clock(hour * 60 + minute)).ok_or_else(expected);
        }
        let unit = text.char_indices().next_back().ok_or_else(expected)?;
        let minutes = match unit.1 {
            'm' => 1,
            'h' => 60,
            'd' => DAY_MINUTES,
            _ => return Err(expected()),
        };
        let count: u64 = text[..unit.0].parse().map_err(|_| expected())?;
        let minutes = count.saturating_mul(minutes);
        let fits = (1..=LONGEST_MINUTES).contains(&minutes);
        fits.then_some(Self::After(minutes)).ok_or_else(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_say() {
        assert_eq!("2h".parse(), Ok(Until::After(120)));
        assert_eq!("90m".parse(), Ok(Until::After(90)));
        assert_eq!("19:00".parse(), Ok(Until::Clock(1_140)));
        for bad in ["", "h", "0m", "2", "25:00", "40d", "2 h", "-1h"] {
            assert!(bad.parse::<Until>().is_err(), "{bad}");
        }
        let now = 1_763_900_012_345;
        assert_eq!(Until::After(2).unix_ms(now), now + 120_000);
        for until in [Until::Clock(0), Until::Clock(1_140), Until::Tomorrow] {
            let at = until.unix_ms(now);
            assert!(at > now && at <= now + 2 * DAY_MINUTES * MINUTE_MS, "{until:?}");
            assert_eq!(at % MINUTE_MS, 0);
        }
    }
}
