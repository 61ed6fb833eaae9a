//! Money as people write it. A whole number is token units (the token's smallest unit, what the
//! contract counts); a number with a point, or with the token's name behind it, is whole tokens.
//! Both forms are printed side by side, so that nobody has to count zeros.

use std::fmt;

/// Digits behind the point of a token: the deployed token's, and every common one's.
pub const DECIMALS: u32 = 18;
/// The token's name behind an amount.
pub const SYMBOL: &str = "QTT";
/// The native coin's name behind an amount, where gas money is meant.
pub const NATIVE: &str = "ETH";

const ONE: u128 = 10_u128.pow(DECIMALS);

/// Reads an amount of tokens: `1500` units, `1.5` tokens, `2 QTT`.
///
/// # Errors
/// What was read and what was expected.
pub fn parse(text: &str) -> Result<u128, String> {
    parse_as(text, SYMBOL)
}

/// Reads an amount of the chain's own coin: `1500` wei, `0.1`, `2 ETH`.
///
/// # Errors
/// What was read and what was expected.
pub fn parse_native(text: &str) -> Result<u128, String> {
    parse_as(text, NATIVE)
}

/// Units and tokens: `1500000000000000000 units (1.5 QTT)`.
pub fn show(units: u128) -> String {
    format!("{units} units ({})", Tokens(units, SYMBOL))
}

/// Wei and coins: `1500 wei (0.0000000000000015 ETH)`.
pub fn show_native(wei: u128) -> String {
    format!("{wei} wei ({})", Tokens(wei, NATIVE))
}

/// Tokens alone, exactly: `1.5 QTT`. For tables.
pub fn tokens(units: u128) -> String {
    Tokens(units, SYMBOL).to_string()
}

/// An amount as a decimal of a named coin.
struct Tokens(u128, &'static str);

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / ONE, self.0 % ONE);
        if fraction == 0 {
            return write!(f, "{whole} {}", self.1);
        }
        let digits = format!("{fraction:018}");
        write!(f, "{whole}.{} {}", digits.trim_end_matches('0'), self.1)
    }
}

fn parse_as(text: &str, symbol: &'static str) -> Result<u128, String> {
    let bad = || {
        format!(
            "`{text}` is not an amount: expected smallest units as `1500`, \
             or a decimal as `1.5` or `2 {symbol}`, with at most {DECIMALS} digits behind the point"
        )
    };
    let trimmed = text.trim();
    let (number, named) = match strip_symbol(trimmed, symbol) {
        Some(number) => (number.trim_end(), true),
        None => (trimmed, false),
    };
    let number = number.replace('_', "");
    let parsed = match number.split_once('.') {
        Some((whole, fraction)) => decimal(whole, fraction),
        None if named => decimal(&number, ""),
        None => digits(&number),
    };
    parsed.ok_or_else(bad)
}

fn strip_symbol<'a>(text: &'a str, symbol: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(symbol.len())?;
    let (number, tail) = text.split_at_checked(at)?;
    tail.eq_ignore_ascii_case(symbol).then_some(number)
}

fn decimal(whole: &str, fraction: &str) -> Option<u128> {
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let len = u32::try_from(fraction.len()).ok().filter(|len| *len <= DECIMALS)?;
    let whole = if whole.is_empty() { 0 } else { digits(whole)? };
    let fraction = if fraction.is_empty() { 0 } else { digits(fraction)? };
    whole.checked_mul(ONE)?.checked_add(fraction * 10_u128.pow(DECIMALS - len))
}

fn digits(text: &str) -> Option<u128> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_decimals_are_read() {
        let cases = [
            ("1500", 1500),
            ("1_000", 1000),
            ("1.5", 15 * 10_u128.pow(17)),
            (".5", 5 * 10_u128.pow(17)),
            ("0.000000000000000001", 1),
            ("2 QTT", 2 * ONE),
            ("2qtt", 2 * ONE),
            ("0.002QTT", 2 * 10_u128.pow(15)),
            ("340282366920938463463374607431768211455", u128::MAX),
        ];
        for (text, units) in cases {
            assert_eq!(parse(text), Ok(units), "{text}");
        }
        for text in [
            "",
            ".",
            "QTT",
            "-1",
            "+1",
            "1e18",
            "1.0000000000000000001",
            "1.2.3",
            "1 ETH",
            "340282366920938463463374607431768211456",
            "340282366920938463464 QTT",
            "1 5",
            "é",
        ] {
            assert!(parse(text).expect_err(text).contains("is not an amount"));
        }
        assert_eq!(parse_native("1 ETH"), Ok(ONE));
    }

    #[test]
    fn both_forms_are_shown() {
        assert_eq!(show(15 * 10_u128.pow(17)), "1500000000000000000 units (1.5 QTT)");
        assert_eq!(show(0), "0 units (0 QTT)");
        assert_eq!(tokens(u128::MAX), "340282366920938463463.374607431768211455 QTT");
        assert_eq!(show_native(1), "1 wei (0.000000000000000001 ETH)");
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for units in [1, 999, ONE, ONE + 1, 123_456_789_012_345_678_901_234, u128::MAX] {
            assert_eq!(parse(&tokens(units)), Ok(units));
        }
    }
}
