//! Made-up randomness: the same bytes for every replica of a task.
//!
//! Good enough to seed a Monte Carlo run or a hash map, and no secret: whoever knows the task
//! knows the bytes. A program must not make keys from it.

use sha2::{Digest as _, Sha256};

/// Sets this use of sha256 apart from all others.
const DOMAIN: &[u8] = b"quorate-random/1";

/// The stream `sha256(DOMAIN ‖ seed ‖ 0) ‖ sha256(DOMAIN ‖ seed ‖ 1) ‖ …`, counters as `u64`
/// little-endian.
#[derive(Debug)]
pub(crate) struct Random {
    seed: [u8; 32],
    next_block: u64,
    block: [u8; 32],
    used: usize,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, next_block: 0, block: [0; 32], used: 32 }
    }

    /// Fills `buffer` with the next bytes of the stream.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            if self.used == self.block.len() {
                self.refill();
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    fn refill(&mut self) {
        let hash = Sha256::new().chain_update(DOMAIN).chain_update(self.seed);
        self.block = hash.chain_update(self.next_block.to_le_bytes()).finalize().into();
        self.next_block += 1;
        self.used = 0;
    }
}
