//! Chance from a seed, so that a failure can be played again.

/// The variable that holds a seed to play again.
const SEED: &str = "QUORATE_HOSTILE_SEED";

/// A stream of numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// From the variable, or from a fresh seed.
    pub(crate) fn new(what: &str) -> Self {
        let told = std::env::var(SEED).ok().map(|text| text.parse().expect("a seed is a number"));
        let random = quorate_common::keys::random32().unwrap();
        let seed = told.unwrap_or(u64::from_le_bytes(*random.first_chunk().unwrap()));
        eprintln!("{what}: {SEED}={seed}");
        Self { state: seed }
    }

    /// A number below `count`.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % count
    }
}
