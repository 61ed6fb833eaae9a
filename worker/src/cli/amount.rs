//! Money as people write it: a whole number is token units, a decimal is whole tokens.

/// Digits behind the point of a token: the deployed token's, and every common one's.
const DECIMALS: usize = 18;

/// Reads `1500` (units) or `1.5` (tokens).
pub(crate) fn parse(text: &str) -> Result<u128, String> {
    let number = text.trim().replace('_', "");
    let units = match number.split_once('.') {
        Some((whole, fraction)) => decimal(whole, fraction),
        None if is_digits(&number) => number.parse().ok(),
        None => None,
    };
    units.ok_or_else(|| {
        format!(
            "`{text}` is not an amount: expected token units as `1500`, or a decimal as `1.5` \
             with at most {DECIMALS} digits behind the point"
        )
    })
}

/// Units and tokens: `1500000000000000000 units (1.5 tokens)`.
pub(crate) fn show(units: u128) -> String {
    let one = 10_u128.pow(u32::try_from(DECIMALS).unwrap_or(u32::MAX));
    let fraction = format!("{:018}", units % one);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{units} units ({}{point}{fraction} tokens)", units / one)
}

fn decimal(whole: &str, fraction: &str) -> Option<u128> {
    let whole = if whole.is_empty() { "0" } else { whole };
    if fraction.is_empty() || fraction.len() > DECIMALS || !is_digits(whole) || !is_digits(fraction)
    {
        return None;
    }
    format!("{whole}{fraction:0<DECIMALS$}").parse().ok()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_and_print() {
        assert_eq!(parse("1500"), Ok(1500));
        assert_eq!(parse("1.5"), Ok(1_500_000_000_000_000_000));
        assert_eq!(parse(".000000000000000001"), Ok(1));
        for bad in ["", "1.", "-1", "1e3", "1.0000000000000000001", "x", "1.+5"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(show(1_500_000_000_000_000_000), "1500000000000000000 units (1.5 tokens)");
        assert_eq!(show(0), "0 units (0 tokens)");
    }
}
