//! Recording and alert rules, their unit tests, and the YAML they are written as. Each alert has a page in
//! `runbooks/` of its name: what it means, what to look at, what to do.

mod alerts;
mod recording;
mod yaml;

pub use alerts::{ALERTS, Alert, Series, Severity};
pub use recording::{RECORDINGS, Recording};
pub use yaml::{alert_tests, alerts, recordings};

/// Divides every duration of an expression: a test cannot wait for hours. `[6h]` by 60 is `[360s]`; none
/// gets shorter than what two scrapes of a test take.
pub fn scaled(expr: &str, by: u64) -> String {
    const LEAST_S: u64 = 6;
    let mut out = String::new();
    let mut rest = expr;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((range, behind)) = after.split_once(']') else { break };
        let scaled = seconds(range).map(|range| (range / by).max(LEAST_S.min(range)));
        let range = scaled.map_or_else(|| range.to_owned(), |range| format!("{range}s"));
        out.push_str(&format!("{before}[{range}]"));
        rest = behind;
    }
    out + rest
}

/// Seconds of a duration as `5m`.
pub fn seconds(duration: &str) -> Option<u64> {
    let (number, unit) = duration.split_at_checked(duration.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_scaled_and_nothing_else() {
        assert_eq!(scaled("rate(a{b=\"c\"}[5m]) > 0.5", 60), "rate(a{b=\"c\"}[6s]) > 0.5");
        assert_eq!(scaled("x[6h] + y[1d]", 60), "x[360s] + y[1440s]");
        assert_eq!(scaled("x[5s]", 60), "x[5s]");
        assert_eq!(scaled("x > 3", 60), "x > 3");
    }
}
