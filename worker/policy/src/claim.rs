//! When a worker has its earnings paid out by itself: when enough is due, and the gas takes little of it.

use serde::{Deserialize, Serialize};

/// Wei of a coin.
const COIN: u128 = 10_u128.pow(18);
/// Gas may take one part in so many of what is paid: a twentieth is what money transfers cost elsewhere.
const GAS_PART: u128 = 20;

/// What the owner says about claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Claims {
    /// Token units that must be due; none: never by itself.
    pub least: Option<u128>,
    /// Token units that a coin costs; 0: not known, and gas is not compared.
    pub units_per_coin: u128,
}

/// Whether to claim now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// Now.
    Claim,
    /// The owner wants to do it.
    Off,
    /// Less is due than the owner said.
    Little {
        /// Token units due.
        due: u128,
        /// Token units waited for.
        least: u128,
    },
    /// The gas would take too much of it.
    Dear {
        /// Token units due.
        due: u128,
        /// What the gas costs, in token units.
        gas: u128,
    },
}

impl Claims {
    /// Whether it is worth asking what gas costs.
    pub fn wants(self, due: u128) -> Verdict {
        match self.least {
            None => Verdict::Off,
            Some(least) if due < least.max(1) => Verdict::Little { due, least },
            Some(_) => Verdict::Claim,
        }
    }

    /// Whether to claim what is due for so many wei of gas.
    pub fn judge(self, due: u128, gas_wei: u128) -> Verdict {
        let gas = self.gas_units(gas_wei);
        match self.wants(due) {
            Verdict::Claim if gas > due / GAS_PART => Verdict::Dear { due, gas },
            verdict @ (Verdict::Claim
            | Verdict::Off
            | Verdict::Little { .. }
            | Verdict::Dear { .. }) => verdict,
        }
    }

    /// Wei as token units.
    fn gas_units(self, wei: u128) -> u128 {
        let exact = wei.checked_mul(self.units_per_coin).map(|product| product / COIN);
        let half = COIN / 1_000_000_000;
        exact.unwrap_or_else(|| (wei / 1_000_000_000).saturating_mul(self.units_per_coin / half))
    }
}

impl Verdict {
    /// A sentence without its dot.
    pub fn words(self, amount: impl Fn(u128) -> String) -> String {
        match self {
            Self::Claim => "it is worth claiming".into(),
            Self::Off => "you claim it yourself (`claim.when` is off)".into(),
            Self::Little { due, least } => {
                format!("{} is due, and `claim.when` waits for {}", amount(due), amount(least))
            }
            Self::Dear { due, gas } => format!(
                "gas would take {} of {}; it waits until that is a twentieth",
                amount(gas),
                amount(due)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: u128 = COIN;

    fn claims(units_per_coin: u128) -> Claims {
        Claims { least: Some(TOKEN), units_per_coin }
    }

    #[test]
    fn enough_must_be_due() {
        assert_eq!(Claims::default().judge(u128::MAX, 0), Verdict::Off);
        let little = Verdict::Little { due: TOKEN - 1, least: TOKEN };
        assert_eq!(claims(0).judge(TOKEN - 1, 0), little);
        assert_eq!(claims(0).judge(TOKEN, u128::MAX), Verdict::Claim, "no price, no comparison");
        let nothing = Claims { least: Some(0), units_per_coin: 0 };
        assert_eq!(nothing.judge(0, 0), Verdict::Little { due: 0, least: 0 }, "nothing is due");
        assert_eq!(nothing.judge(1, 0), Verdict::Claim);
    }

    #[test]
    fn gas_may_take_a_twentieth() {
        // 3000 tokens a coin; 100,000 gas at a gwei are 10^14 wei: 0.3 tokens.
        let (dear, wei) = (claims(3_000 * TOKEN), 10_u128.pow(14));
        let gas = 3 * TOKEN / 10;
        assert_eq!(dear.judge(5 * TOKEN, wei), Verdict::Dear { due: 5 * TOKEN, gas });
        assert_eq!(dear.judge(6 * TOKEN, wei), Verdict::Claim);
        assert_eq!(dear.judge(6 * TOKEN, wei * 2), Verdict::Dear { due: 6 * TOKEN, gas: gas * 2 });
        assert!(matches!(dear.judge(TOKEN, u128::MAX), Verdict::Dear { .. }), "no overflow");
        let said = dear.judge(5 * TOKEN, wei).words(|units| (units / 10_u128.pow(17)).to_string());
        assert_eq!(said, "gas would take 3 of 50; it waits until that is a twentieth");
    }
}
