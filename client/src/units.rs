//! The units people write: durations (`10m`), byte sizes (`256MiB`), fuel (`5G`). Money is
//! `amount`'s. Every parser's error says what would have done.

use std::time::Duration;

/// Seconds of a duration's units.
const DURATIONS: [(&str, u64); 6] =
    [("s", 1), ("m", 60), ("min", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)];

/// Bytes of a size's units. `K`, `M` and `G` are powers of 1024, as in `docker` and `java`.
const SIZES: [(&str, u64); 13] = [
    ("B", 1),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("KB", 1_000),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("T", 1 << 40),
    ("TiB", 1 << 40),
];

/// Powers of ten for counts.
const COUNTS: [(&str, u64); 4] =
    [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000)];

/// Reads a duration: `90`, `90s`, `10m`, `1h30m`, `7d`. A bare number is seconds.
///
/// # Errors
/// What was read and what was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || {
        format!(
            "`{text}` is not a duration: expected a number with s, m, h, d or w, as `10m` or `1h30m`"
        )
    };
    let mut rest = text.trim();
    let mut seconds = 0_u64;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let (number, unit, tail) = number_and_unit(rest).ok_or_else(bad)?;
        if unit.is_empty() && !(tail.is_empty() && number.len() == text.trim().len()) {
            return Err(bad());
        }
        let part = scaled(number, if unit.is_empty() { "s" } else { unit }, &DURATIONS);
        seconds = part.and_then(|part| seconds.checked_add(part)).ok_or_else(bad)?;
        rest = tail;
    }
    Ok(Duration::from_secs(seconds))
}

/// Reads a size in bytes: `65536`, `256MiB`, `1.5G`.
///
/// # Errors
/// What was read and what was expected.
pub fn size(text: &str) -> Result<u64, String> {
    one(text, "B", &SIZES).ok_or_else(|| {
        format!(
            "`{text}` is not a size: expected bytes, or a number with KiB, MiB or GiB, as `256MiB`"
        )
    })
}

/// Reads a count: `1000000`, `5G`, `2.5T` (powers of ten).
///
/// # Errors
/// What was read and what was expected.
pub fn count(text: &str) -> Result<u64, String> {
    let units: Vec<(&str, u64)> = COUNTS.iter().copied().chain([("", 1)]).collect();
    one(text, "", &units).ok_or_else(|| {
        format!(
            "`{text}` is not a count: expected a whole number, or one with k, M, G or T, as `5G`"
        )
    })
}

/// Seconds for people: `42s`, `3m 05s`, `2h 10m`.
pub fn show_seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Bytes for people: `812 B`, `1.4 MiB`.
pub fn show_bytes(bytes: u64) -> String {
    const STEPS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match STEPS.iter().find(|(_, step)| bytes >= *step) {
        Some((unit, step)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*step);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

fn one(text: &str, bare: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit, tail) = number_and_unit(text.trim())?;
    let unit = if unit.is_empty() { bare } else { unit };
    if tail.is_empty() { scaled(number, unit, units) } else { None }
}

/// Splits `10m30s` into `10`, `m`, `30s`. Spaces between number and unit are fine.
fn number_and_unit(text: &str) -> Option<(&str, &str, &str)> {
    let number_len = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, rest) = text.split_at(number_len);
    let rest = rest.trim_start();
    let unit_len = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (unit, tail) = rest.split_at(unit_len);
    (number_len > 0).then_some((number, unit, tail.trim_start()))
}

/// `number · unit`, exactly: `1.5` of a unit must be a whole number of its base.
fn scaled(number: &str, unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    let scale = units.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u128 = whole.parse().ok()?;
    if fraction.is_empty() {
        return u64::try_from(whole.checked_mul(u128::from(scale))?).ok();
    }
    // Nine digits are enough for any unit here and keep the product within 128 bits.
    let denominator =
        10_u128.checked_pow(u32::try_from(fraction.len()).ok().filter(|n| *n <= 9)?)?;
    let part = fraction.parse::<u128>().ok()?.checked_mul(u128::from(scale))?;
    let total = whole.checked_mul(u128::from(scale))?.checked_add(part / denominator)?;
    (part % denominator == 0).then(|| u64::try_from(total).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let cases = [
            ("90", 90),
            ("90s", 90),
            ("10m", 600),
            ("1h30m", 5400),
            ("1h 30min", 5400),
            ("7d", 604_800),
            ("1.5h", 5400),
        ];
        for (text, seconds) in cases {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "10x", "-1s", "1h30", "1.0000000001s", "99999999999999999999w"] {
            let error = duration(text).expect_err(text);
            assert!(error.contains("is not a duration"), "{error}");
        }
    }

    #[test]
    fn sizes_and_counts_are_read() {
        assert_eq!(size("65536"), Ok(65_536));
        assert_eq!(size("256MiB"), Ok(256 << 20));
        assert_eq!(size("1.5 G"), Ok(3 << 29));
        assert_eq!(size("2MB"), Ok(2_000_000));
        assert_eq!(count("5G"), Ok(5_000_000_000));
        assert_eq!(count("17"), Ok(17));
        for text in ["", "MiB", "1XiB", "0.3B", "1 M 2", "99999999999T"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(count("1KiB").is_err());
    }

    #[test]
    fn figures_are_shown() {
        assert_eq!(
            [show_seconds(5), show_seconds(185), show_seconds(7800)],
            ["5s", "3m 05s", "2h 10m"]
        );
        assert_eq!([show_bytes(812), show_bytes(1_500_000)], ["812 B", "1.4 MiB"]);
    }
}
