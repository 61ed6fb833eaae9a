//! One signature over many messages: a busy peer signs once per frame, and whoever checks recovers
//! once per frame (200 µs in the slowest library), not once per vote. Which messages belong into a
//! frame is `wire`'s business.

use crate::{
    keys::{Signature, VoteKey, recover},
    merkle::{self, Tree},
    messages::{Frame, Message, Separator},
};
use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

/// Messages one signature may cover.
///
/// 256 makes the path at most 8 hashes, which a fraud proof carries once per vote; larger frames
/// save nothing, since at 256 the signature already costs less than one hash per message.
pub const FRAME_MESSAGES_MAX: usize = 256;

/// A message's place in a signed frame: what shows to others who signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameProof {
    /// Its position.
    pub index: u32,
    /// Messages in the frame.
    pub count: u32,
    /// From the message to the root.
    pub path: Vec<B256>,
    /// Over the frame.
    pub signature: Signature,
}

impl FrameProof {
    /// Who signed the frame that holds a message of this struct hash; `None` if nobody can have.
    pub fn signer(&self, separator: &Separator, hash: B256) -> Option<Address> {
        signer_of_one(separator, hash, self.index, self.count, &self.path, &self.signature)
    }
}

/// The struct hashes of a frame, in order, and the tree over them.
#[derive(Clone, Debug)]
pub struct FrameTree {
    count: u32,
    tree: Tree,
}

impl FrameTree {
    /// Builds the tree over `hashes`.
    ///
    /// # Panics
    /// If there are none or more than [`FRAME_MESSAGES_MAX`]: decoders refuse such frames earlier.
    pub fn new(hashes: &[B256]) -> Self {
        assert!((1..=FRAME_MESSAGES_MAX).contains(&hashes.len()), "{} messages", hashes.len());
        let count = u32::try_from(hashes.len()).expect("at most 256");
        let leaves = hashes.iter().map(|hash| leaf(*hash)).collect();
        Self { count, tree: Tree::new(depth(count), leaves) }
    }

    /// What is signed, before the domain is mixed in.
    pub fn struct_hash(&self) -> B256 {
        Frame { root: self.tree.root(), count: self.count }.struct_hash()
    }

    /// The path of the message at `index`.
    pub fn path(&self, index: u32) -> Vec<B256> {
        self.tree.path(u64::from(index))
    }

    /// What shows that the message at `index` is in the frame that was signed.
    pub fn proof(&self, index: u32, signature: Signature) -> FrameProof {
        FrameProof { index, count: self.count, path: self.path(index), signature }
    }

    /// How many messages.
    pub fn count(&self) -> u32 {
        self.count
    }
}

/// Signs `hashes` as one frame.
pub fn sign(key: &VoteKey, separator: &Separator, hashes: &[B256]) -> Signature {
    key.sign(separator.digest(FrameTree::new(hashes).struct_hash()))
}

/// Who signed a frame of `hashes`; `None` if nobody can have.
pub fn signer(separator: &Separator, hashes: &[B256], signature: &Signature) -> Option<Address> {
    if hashes.is_empty() || hashes.len() > FRAME_MESSAGES_MAX {
        return None;
    }
    recover(separator.digest(FrameTree::new(hashes).struct_hash()), signature)
}

/// Who signed the frame that holds `hash` at `index`, by its path alone.
pub fn signer_of_one(
    separator: &Separator,
    hash: B256,
    index: u32,
    count: u32,
    path: &[B256],
    signature: &Signature,
) -> Option<Address> {
    recover(digest_by_one(separator, hash, index, count, path)?, signature)
}

/// What was signed for the frame that holds `hash` at `index`, by its path alone; `None` if no frame
/// has such a place. Every message of a frame gives the same.
pub fn digest_by_one(
    separator: &Separator,
    hash: B256,
    index: u32,
    count: u32,
    path: &[B256],
) -> Option<B256> {
    let whole = count as usize;
    if index >= count || whole > FRAME_MESSAGES_MAX || path.len() != depth(count) {
        return None;
    }
    let root = merkle::root_of(leaf(hash), u64::from(index), path);
    Some(separator.digest(Frame { root, count }.struct_hash()))
}

/// The leaf of a struct hash: hashed once more, so that a leaf's preimage has 32 bytes and a node's 64.
fn leaf(hash: B256) -> B256 {
    keccak256(hash)
}

fn depth(count: u32) -> usize {
    count.next_power_of_two().trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_and_each_of_its_messages_name_the_signer() {
        let key = VoteKey::from_bytes(&[7; 32]).expect("a valid key");
        let separator = Separator(keccak256("domain"));
        for count in [1_u32, 2, 3, 64, 65, 256] {
            let hashes: Vec<B256> = (0..count).map(|n| keccak256(n.to_be_bytes())).collect();
            let signature = sign(&key, &separator, &hashes);
            assert_eq!(signer(&separator, &hashes, &signature), Some(key.address()));
            let tree = FrameTree::new(&hashes);
            for (index, hash) in (0..count).zip(&hashes) {
                let path = tree.path(index);
                let one = |i, c| signer_of_one(&separator, *hash, i, c, &path, &signature);
                assert_eq!(one(index, count), Some(key.address()));
                assert_ne!(one(index ^ 1, count), Some(key.address()));
                assert_ne!(one(index, count + 1), Some(key.address()));
            }
        }
    }
}
