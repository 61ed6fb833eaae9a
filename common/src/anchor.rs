//! What the contract keeps of a batch: one word. Whoever proves something against a batch's state opens
//! it, in halves (to claim) or whole (to finalize). PROTOCOL.md section 3, "Anchor".

use crate::messages::Word as _;
use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

/// Seconds after a reveal deadline before a batch may say on chain that a vote was never revealed: a
/// chain's finality and a retry. The contract's benches hold a scheduler to it.
pub const SLACK_S: u64 = 15 * 60;

/// A committed batch, opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The state after the batch.
    pub state_root: B256,
    /// Struct hash of its header.
    pub header_hash: B256,
    /// Unix seconds: the time of the block that committed it.
    pub committed_at: u64,
    /// The pool's inbox of forced entries at that moment.
    pub inbox: B256,
}

/// A batch's word in its two halves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The state after the batch.
    pub state_root: B256,
    /// `keccak256(abi.encode(headerHash, committedAt, inbox))`.
    pub rest: B256,
}

impl Opening {
    /// In halves.
    pub fn anchor(&self) -> Anchor {
        let words = [self.header_hash.0, self.committed_at.word(), self.inbox.0];
        Anchor { state_root: self.state_root, rest: keccak256(words.as_flattened()) }
    }
}

impl Anchor {
    /// The contract's word.
    pub fn word(&self) -> B256 {
        keccak256([self.state_root.0, self.rest.0].as_flattened())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_in_the_word() {
        let opening = Opening {
            state_root: B256::repeat_byte(1),
            header_hash: B256::repeat_byte(2),
            committed_at: 3,
            inbox: B256::repeat_byte(4),
        };
        let word = |change: fn(&mut Opening)| {
            let mut other = opening;
            change(&mut other);
            other.anchor().word()
        };
        let changes: [fn(&mut Opening); 5] = [
            |_| {},
            |o| o.state_root.0[0] ^= 1,
            |o| o.header_hash.0[0] ^= 1,
            |o| o.committed_at += 1,
            |o| o.inbox.0[0] ^= 1,
        ];
        let words: std::collections::BTreeSet<B256> = changes.map(word).into_iter().collect();
        assert_eq!(words.len(), 5);
    }
}
