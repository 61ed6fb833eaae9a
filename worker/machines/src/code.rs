//! The code of one pairing: eight digits, good for three tries and ten minutes. A stranger who reaches the
//! port in that time guesses it with a chance of three in a hundred million.

use std::{fmt, str::FromStr, time::Duration};

/// How long a code is good: to walk from one machine to the other.
pub const LIFE: Duration = Duration::from_secs(600);
/// Tries for one code: typing goes wrong twice.
pub const TRIES: u8 = 3;
/// How many codes there are.
const CODES: u64 = 100_000_000;

/// Eight digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code(u32);

/// No random bytes from the operating system.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes from the operating system: {0}")]
pub struct NoChance(String);

/// That is no code.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a code has eight digits, as 1234-5678")]
pub struct BadCode;

impl Code {
    /// A new one.
    ///
    /// # Errors
    /// [`NoChance`].
    pub fn new() -> Result<Self, NoChance> {
        let chance = getrandom::u64().map_err(|error| NoChance(error.to_string()))?;
        // Of so many, what is left over from 2^64 makes no difference that counts.
        Ok(Self(u32::try_from(chance % CODES).unwrap_or(0)))
    }

    pub(crate) fn secret(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

impl FromStr for Code {
    type Err = BadCode;

    fn from_str(text: &str) -> Result<Self, BadCode> {
        let digits: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
        if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadCode);
        }
        digits.parse().map(Self).map_err(|_| BadCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_as_it_is_shown() {
        assert_eq!(Code(12_345).to_string(), "0001-2345");
        for text in ["0001-2345", "00012345", "0001 2345"] {
            assert_eq!(text.parse(), Ok(Code(12_345)));
        }
        for text in ["", "1234-567", "1234-56789", "1234-567x", "+1234567"] {
            assert_eq!(text.parse::<Code>(), Err(BadCode));
        }
    }
}
