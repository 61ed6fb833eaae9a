//! Numbers as people read them: with units, grouped, no more digits than mean something.

/// A coin's or a token's smallest units in one.
const ONE: u128 = 10_u128.pow(18);

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Token units as tokens, to a millionth: `1,234.5 QTT`; less than that says so.
pub(crate) fn tokens(units: u128) -> String {
    amount(units, "QTT")
}

/// Wei as coins.
pub(crate) fn coins(wei: u128) -> String {
    amount(wei, "ETH")
}

fn amount(units: u128, symbol: &str) -> String {
    let (whole, rest) = (units / ONE, units % ONE);
    let millionths = rest / (ONE / 1_000_000);
    let whole = grouped(&whole.to_string());
    if units > 0 && units < ONE / 1_000_000 {
        return format!("< 0.000001 {symbol}");
    }
    if millionths == 0 {
        return format!("{whole} {symbol}");
    }
    let fraction = format!("{millionths:06}");
    format!("{whole}.{} {symbol}", fraction.trim_end_matches('0'))
}

/// `2 h 5 min`; the two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let at = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(3);
    let (size, name) = units[at];
    let first = format!("{} {name}", seconds / size);
    let rest = seconds % size;
    match units.get(at + 1) {
        Some((size, name)) if rest >= *size => format!("{first} {} {name}", rest / size),
        _ => first,
    }
}

/// `5 min ago`, or `in 5 min`.
pub(crate) fn ago(now_s: u64, at_s: u64) -> String {
    match (now_s.checked_sub(at_s), at_s.saturating_sub(now_s)) {
        (Some(0), _) => "just now".into(),
        (Some(passed), _) => format!("{} ago", span(passed)),
        (None, left) => format!("in {}", span(left)),
    }
}

/// `2026-11-23 17:09 UTC`.
pub(crate) fn time(unix_s: u64) -> String {
    let (days, seconds) = (unix_s / 86_400, unix_s % 86_400);
    // Howard Hinnant's days-to-civil: years begin in March, so that leap days are at the end.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3_600, seconds % 3_600 / 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// `12.3 GB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.iter().find(|(size, _)| bytes >= *size) {
        Some((size, name)) => format!("{}.{} {name}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

/// `12.3 %`; of nothing, a dash.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".into();
    }
    let tenths = u128::from(part) * 1_000 / u128::from(whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// The beginning and the end of something long: `0x1234…cdef`.
pub(crate) fn short(text: &str) -> String {
    let chars = text.chars().count();
    if chars <= 14 {
        return text.to_owned();
    }
    let head: String = text.chars().take(8).collect();
    let tail: String = text.chars().skip(chars - 4).collect();
    format!("{head}…{tail}")
}

/// `1 worker`, `2 workers`.
pub(crate) fn plural(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_as_many_digits_as_mean_something() {
        assert_eq!(tokens(0), "0 QTT");
        assert_eq!(tokens(1_500_000_000_000_000_000), "1.5 QTT");
        assert_eq!(tokens(1), "< 0.000001 QTT");
        assert_eq!(tokens(12_345 * ONE + ONE / 2), "12,345.5 QTT");
        assert_eq!(coins(990_000_000_000_000), "0.00099 ETH");
    }

    #[test]
    fn times_are_civil() {
        assert_eq!(time(0), "1970-01-01 00:00 UTC");
        assert_eq!(time(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(time(1_795_453_740), "2026-11-23 17:09 UTC");
        assert_eq!(span(7_500), "2 h 5 min");
        assert_eq!(span(59), "59 s");
        assert_eq!(ago(100, 40), "1 min ago");
        assert_eq!(ago(40, 100), "in 1 min");
    }

    #[test]
    fn the_rest_is_readable() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(1_234_567_890), "1.2 GB");
        assert_eq!(share(1, 8), "12.5 %");
        assert_eq!(share(0, 0), "–");
        assert_eq!(short("0x0123456789abcdef"), "0x012345…cdef");
        assert_eq!(plural(1, "task"), "1 task");
    }
}
