//! Where the week stands, by the machine's own time zone.

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// Minutes since Monday 00:00 of the machine's time zone at a moment in unix milliseconds. Without a zone it is
/// UTC, as everything else on such a machine.
pub fn week_minute(unix_ms: u64) -> u16 {
    let local = local(unix_ms);
    let day = u16::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0);
    let minutes = u16::from(local.hour().unsigned_abs()) * 60;
    day * 24 * 60 + minutes + u16::from(local.minute().unsigned_abs())
}

/// `2026-11`: the month a byte belongs to.
pub fn month(unix_ms: u64) -> String {
    local(unix_ms).strftime("%Y-%m").to_string()
}

/// `2026-11-23`: the day something belongs to.
pub fn day(unix_ms: u64) -> String {
    local(unix_ms).strftime("%Y-%m-%d").to_string()
}

/// `Mon 19:00`: a moment as people say it.
pub fn clock(unix_ms: u64) -> String {
    local(unix_ms).strftime("%a %H:%M").to_string()
}

fn local(unix_ms: u64) -> Zoned {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(TimeZone::system())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_was_a_thursday() {
        // Wherever this runs, it is within 14 hours of it.
        let thursday = 3 * 24 * 60;
        assert!(i32::from(week_minute(0)).abs_diff(thursday) <= 14 * 60);
        assert_eq!(month(1_763_900_000_000), "2025-11");
    }
}
