//! Chance from a seed: the same seed, the same tables, on every machine.

/// A stream of numbers (SplitMix64: small, fast, and good enough for a crowd).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to `sides - 1`.
    pub(super) fn below(&mut self, sides: u32) -> u32 {
        u32::try_from(self.roll() % u64::from(sides.max(1))).expect("below a u32")
    }

    /// True in `ppm` of a million cases.
    pub(super) fn happens(&mut self, ppm: u32) -> bool {
        self.below(MILLION) < ppm
    }
}

/// A million.
pub(super) const MILLION: u32 = 1_000_000;

/// Whether something happens to this task in `ppm` of a million cases: the same for all who ask.
pub(super) fn happens_to(seed: u64, task: u32, ppm: u32) -> bool {
    let drawn = mix(seed ^ mix(u64::from(task).wrapping_add(0x632b_e59b_d9b4_e019)));
    drawn % u64::from(MILLION) < u64::from(ppm)
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
