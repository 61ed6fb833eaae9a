//! A scheduler's word: something its signer said in a frame, kept by whoever may have to prove it one
//! day. What makes a word a lie is the contract's and the watcher's business.

use crate::{
    frame::FrameProof,
    ids::{PoolId, WorkerIdx},
    merkle::SET_DEPTH,
    messages::{Assign, CommitAck, CommitSet, Message as _, Reveal, RevealAck, Separator},
};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

/// What a scheduler can be held to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It gave out a replica.
    Assign(Assign),
    /// It has a commit.
    CommitAck(CommitAck),
    /// It froze a set.
    CommitSet(CommitSet),
    /// It has a reveal.
    RevealAck(RevealAck),
}

/// Something said, and the proof that the pool's signer said it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// What.
    pub said: Said,
    /// Its place in the signed frame.
    pub proof: FrameProof,
}

/// A vote as its worker keeps it: what shows it on chain when its scheduler is gone. The signature is not
/// kept, for whoever shows it has the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptVote {
    /// Whose.
    pub worker: WorkerIdx,
    /// The vote.
    pub reveal: Reveal,
    /// Its commitment's place in the set it was shown to.
    pub place: u8,
    /// From there to the set's root.
    pub path: [B256; SET_DEPTH],
}

impl Said {
    /// The struct hash.
    pub fn struct_hash(&self) -> B256 {
        match self {
            Self::Assign(message) => message.struct_hash(),
            Self::CommitAck(message) => message.struct_hash(),
            Self::CommitSet(message) => message.struct_hash(),
            Self::RevealAck(message) => message.struct_hash(),
        }
    }

    /// The task it is about.
    pub fn task_id(&self) -> B256 {
        match self {
            Self::Assign(message) => message.deal.task_id(message.task_idx),
            Self::CommitAck(message) => message.task_id,
            Self::CommitSet(message) => message.task_id,
            Self::RevealAck(message) => message.task_id,
        }
    }
}

impl Word {
    /// The pool and its count of acknowledgements, if this is one.
    pub fn acknowledged(&self) -> Option<(PoolId, u64)> {
        match &self.said {
            Said::CommitAck(ack) => Some((ack.pool, ack.seq)),
            Said::RevealAck(ack) => Some((ack.pool, ack.seq)),
            Said::Assign(_) | Said::CommitSet(_) => None,
        }
    }

    /// Who said it; `None` if nobody can have.
    pub fn signer(&self, separator: &Separator) -> Option<Address> {
        self.proof.signer(separator, self.said.struct_hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::FrameTree,
        ids::{DealId, PoolId, WorkerIdx},
        keys::VoteKey,
        messages::Domain,
    };

    #[test]
    fn a_word_outlives_its_frame_and_names_its_signer() {
        let key = VoteKey::from_bytes(&[5; 32]).expect("a valid key");
        let separator = Domain { chain_id: 5, contract: Address::repeat_byte(9) }.separator();
        let deal = DealId(B256::repeat_byte(1));
        let assign = Assign { deal, task_idx: 3, pool: PoolId(1), ..Assign::default() };
        let ack =
            CommitAck { task_id: deal.task_id(3), worker: WorkerIdx(2), ..CommitAck::default() };
        let said = [Said::Assign(assign), Said::CommitAck(ack)];
        let hashes: Vec<B256> = said.iter().map(Said::struct_hash).collect();
        let tree = FrameTree::new(&hashes);
        let signature = key.sign(separator.digest(tree.struct_hash()));
        for (index, said) in (0..).zip(said) {
            assert_eq!(said.task_id(), deal.task_id(3));
            let word = Word { said, proof: tree.proof(index, signature) };
            let text = serde_json::to_string(&word).expect("plain data");
            let read: Word = serde_json::from_str(&text).expect("as it was written");
            assert_eq!(read, word);
            assert_eq!(read.signer(&separator), Some(key.address()));
        }
    }
}
