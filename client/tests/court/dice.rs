//! Chance from a seed, so that a failure can be played again.

use quorate_common::B256;

/// A stream of numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `count`.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }

    /// As [`Dice::below`], of 32 bits.
    pub(crate) fn small(&mut self, count: u32) -> u32 {
        u32::try_from(self.below(count.into())).unwrap()
    }

    /// An index of a list of this length.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// Yes in so many cases of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of a list.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.place(of.len())]
    }

    /// 32 bytes.
    pub(crate) fn word(&mut self) -> B256 {
        let words: [[u8; 8]; 4] = std::array::from_fn(|_| self.next().to_be_bytes());
        B256::from_slice(words.as_flattened())
    }

    /// A number of any length up to so many bits, each length as likely as the others.
    pub(crate) fn wide(&mut self, bits: u64) -> u128 {
        let word = u128::from(self.next()) << 64 | u128::from(self.next());
        let length = self.below(bits + 1);
        if length == 0 { 0 } else { word >> (128 - length) }
    }

    /// As [`Dice::wide`], of 32 bits.
    pub(crate) fn wide32(&mut self) -> u32 {
        u32::try_from(self.wide(32)).unwrap()
    }
}
