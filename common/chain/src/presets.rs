//! The chains Quorate knows by name: id, how final is final, how often to look.
//!
//! A preset is where a configuration starts; every value can be set otherwise in `quorate.toml`.
//! Contract addresses are not here: nothing is deployed for everybody yet.

use crate::outbox::Finality;
use std::time::Duration;

/// What the word for the in-process chain is, where a URL could stand.
pub const EMBEDDED: &str = "embedded";

/// A chain by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What operators write.
    pub name: &'static str,
    /// EIP-155 chain id; every transaction is pinned to it.
    pub chain_id: u64,
    /// A public endpoint, or [`EMBEDDED`]. Public ones limit rates; a pool wants its own.
    pub url: &'static str,
    /// When a transaction counts as done.
    pub finality: Finality,
    /// How often to ask for new blocks and receipts: about one block.
    pub poll: Duration,
    /// What a transaction pays at most, in wei per gas: far above what the chain has asked on its
    /// worst days, far below what would empty the gas account.
    pub max_fee_wei_per_gas: u64,
}

/// The cap where no preset says another: Ethereum has rarely asked more than 500 gwei.
pub const MAX_FEE_WEI_PER_GAS: u64 = 500_000_000_000;

/// The cap of a chain by its id.
pub(crate) fn fee_cap(chain_id: u64) -> u64 {
    let found = PRESETS.iter().find(|preset| preset.chain_id == chain_id);
    found.map_or(MAX_FEE_WEI_PER_GAS, |preset| preset.max_fee_wei_per_gas)
}

/// Every preset, the default first.
pub const PRESETS: [Preset; 4] = [
    Preset {
        name: "dev",
        chain_id: 31_337,
        url: EMBEDDED,
        finality: Finality::Finalized,
        poll: Duration::from_millis(50),
        // Its coins are worth nothing, so only a runaway matters.
        max_fee_wei_per_gas: 10_000_000_000_000,
    },
    Preset {
        name: "anvil",
        chain_id: 31_337,
        url: "http://127.0.0.1:8545",
        // anvil calls a block finalized 64 blocks later, which on an idle chain is never.
        finality: Finality::Latest,
        poll: Duration::from_millis(200),
        max_fee_wei_per_gas: 10_000_000_000_000,
    },
    Preset {
        name: "arbitrum-sepolia",
        chain_id: 421_614,
        url: "https://sepolia-rollup.arbitrum.io/rpc",
        finality: Finality::Finalized,
        poll: Duration::from_secs(2),
        // 10 gwei, a thousand times the floor of 0.01: a commit of 100,000 gas then costs a
        // thousandth of a coin, and batches can wait for hours before that is worth it.
        max_fee_wei_per_gas: 10_000_000_000,
    },
    Preset {
        name: "arbitrum",
        chain_id: 42_161,
        url: "https://arb1.arbitrum.io/rpc",
        finality: Finality::Finalized,
        poll: Duration::from_secs(2),
        // 10 gwei, a thousand times the floor of 0.01: a commit of 100,000 gas then costs a
        // thousandth of a coin, and batches can wait for hours before that is worth it.
        max_fee_wei_per_gas: 10_000_000_000,
    },
];

/// The preset of that name, or of that chain id written as a number.
pub fn preset(name: &str) -> Option<&'static Preset> {
    let id = name.parse::<u64>().ok();
    PRESETS.iter().find(|preset| preset.name == name || Some(preset.chain_id) == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_name_and_id() {
        assert_eq!(preset("arbitrum").map(|found| found.chain_id), Some(42_161));
        assert_eq!(preset("421614").map(|found| found.name), Some("arbitrum-sepolia"));
        assert_eq!(preset("31337").map(|found| found.url), Some(EMBEDDED));
        assert_eq!(preset("mainnet"), None);
        assert_eq!((fee_cap(42_161), fee_cap(1)), (10_000_000_000, MAX_FEE_WEI_PER_GAS));
    }
}
