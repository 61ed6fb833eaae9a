//! What a transaction may use and pays for it. Pure arithmetic, and one question to the node.

use crate::error::SettleError;
use crate::transport::Chain;
use serde::{Deserialize, Serialize};

/// Tip that is paid at most, before raises: 5 gwei, several times what a busy mainnet asks. A node
/// that names more is wrong or lies, and must not drain the gas money; the base fee cannot be
/// lied about to our cost, since what is paid of it is what the block says.
const TIP_WEI_MAX: u128 = 5_000_000_000;

/// EIP-1559 prices, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fees {
    /// The most that is paid, base fee included.
    pub max_fee: u128,
    /// What the block's producer gets of it.
    pub tip: u128,
}

impl Fees {
    /// What the chain asks now: twice the base fee, which can grow by an eighth a block, so that
    /// six full blocks in a row do not price the transaction out.
    pub(super) async fn now(chain: &Chain) -> Result<Self, SettleError> {
        let (head, tip) = tokio::join!(chain.head(), chain.priority_fee());
        Ok(Self::from_base(head?.base_fee, tip?))
    }

    fn from_base(base: u64, tip: u128) -> Self {
        let tip = tip.min(TIP_WEI_MAX);
        Self { max_fee: (u128::from(base) * 2).saturating_add(tip), tip }
    }

    /// A quarter more of both: nodes replace a transaction for a tenth or more.
    pub(super) fn raised(self) -> Self {
        Self { max_fee: raised(self.max_fee), tip: raised(self.tip) }
    }

    /// The same, but never above the operator's cap. A transaction at the cap waits for the price
    /// to fall, it does not overpay.
    pub(super) fn capped(self, cap: u128) -> Self {
        let max_fee = self.max_fee.min(cap);
        Self { max_fee, tip: self.tip.min(max_fee) }
    }

    /// Whether nodes would take it in the place of `other`: a tenth more of both.
    pub(super) fn replaces(self, other: Self) -> bool {
        let enough = |new: u128, old: u128| new >= old.saturating_add(old.div_ceil(10).max(1));
        enough(self.max_fee, other.max_fee) && (enough(self.tip, other.tip) || other.tip == 0)
    }

    /// The dearer of two, price by price.
    pub(super) fn max(self, other: Self) -> Self {
        Self { max_fee: self.max_fee.max(other.max_fee), tip: self.tip.max(other.tip) }
    }
}

fn raised(price: u128) -> u128 {
    price.saturating_add(price.div_ceil(4))
}

/// A fifth more gas than estimated, because the state moves between estimate and block, up to the
/// most the call may take, which is the cap of a transaction or less.
pub(super) fn with_margin(what: &str, estimate: u64, most: u64) -> Result<u64, SettleError> {
    if estimate > most {
        return Err(SettleError::TooMuchGas { what: what.to_owned(), gas: estimate, cap: most });
    }
    Ok((estimate + estimate.div_ceil(5)).min(most))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::outbox::TX_GAS_CAP;

    #[test]
    fn the_gas_limit_has_a_margin_and_a_cap() {
        assert_eq!(with_margin("x", 100_000, TX_GAS_CAP).unwrap(), 120_000);
        assert_eq!(with_margin("x", 16_000_000, TX_GAS_CAP).unwrap(), TX_GAS_CAP);
        assert_eq!(with_margin("x", TX_GAS_CAP, TX_GAS_CAP).unwrap(), TX_GAS_CAP);
        assert_eq!(with_margin("x", 900, 1_000).unwrap(), 1_000, "a cap of its own");
        assert!(with_margin("x", 1_001, 1_000).is_err());
        let error = with_margin("commit batch 7", TX_GAS_CAP + 1, TX_GAS_CAP).unwrap_err();
        assert!(error.to_string().contains("commit batch 7 needs 16777217 gas"), "{error}");
    }

    #[test]
    fn a_raised_price_is_a_quarter_more_and_never_equal() {
        let fees = Fees::from_base(100, 4);
        assert_eq!(fees, Fees { max_fee: 204, tip: 4 });
        assert_eq!(fees.raised(), Fees { max_fee: 255, tip: 5 });
        assert_eq!(Fees { max_fee: 1, tip: 0 }.raised(), Fees { max_fee: 2, tip: 0 });
        assert_eq!(Fees { max_fee: u128::MAX, tip: 1 }.raised().max_fee, u128::MAX);
        assert_eq!(Fees::from_base(0, u128::MAX).max_fee, TIP_WEI_MAX);
        assert_eq!(fees.max(Fees { max_fee: 3, tip: 9 }), Fees { max_fee: 204, tip: 9 });
    }

    #[test]
    fn the_ladder_ends_at_the_cap() {
        let mut fees = Fees::from_base(100, 4);
        let mut steps = 0;
        while fees.raised().capped(1_000).replaces(fees) {
            fees = fees.raised().capped(1_000);
            steps += 1;
        }
        assert!((900..=1_000).contains(&fees.max_fee), "{fees:?}");
        assert_eq!(steps, 7);
        assert_eq!(Fees { max_fee: 9, tip: 9 }.capped(3), Fees { max_fee: 3, tip: 3 });
    }
}
