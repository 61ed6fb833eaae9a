//! Numbers as people read them: with units, no more digits than mean something.

/// A token's smallest units in one.
const ONE: u128 = 10_u128.pow(18);
const MILLIONTH: u128 = ONE / 1_000_000;

/// Token units as tokens, to a millionth: `1234.5 tokens`; less than that says so.
pub(crate) fn tokens(units: u128) -> String {
    if units > 0 && units < MILLIONTH {
        return "< 0.000001 tokens".into();
    }
    let (whole, millionths) = (units / ONE, units % ONE / MILLIONTH);
    if millionths == 0 {
        return format!("{whole} tokens");
    }
    let fraction = format!("{millionths:06}");
    format!("{whole}.{} tokens", fraction.trim_end_matches('0'))
}

/// `12.3 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.iter().find(|(size, _)| bytes >= *size) {
        Some((size, name)) => format!("{}.{} {name}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_digits_as_mean_something() {
        assert_eq!(tokens(0), "0 tokens");
        assert_eq!(tokens(1_500_000_000_000_000_000), "1.5 tokens");
        assert_eq!(tokens(1), "< 0.000001 tokens");
        assert_eq!(bytes(1_234_567), "1.2 MB");
        assert_eq!(bytes(12), "12 B");
    }
}
