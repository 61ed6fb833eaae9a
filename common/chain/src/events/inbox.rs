//! Entries of a pool's inbox (PROTOCOL.md section 7): what was said on chain because it was not heard, or
//! not shown, otherwise. Whether it counts is the rules' business.

use alloy::primitives::{B256, U256};
use quorate_common::frame::FrameProof;
use quorate_common::ids::{PoolId, WorkerIdx};
use quorate_common::keys::Signature;
use quorate_common::messages::{CommitSet, Reveal};
use serde::{Deserialize, Serialize};

const VOTE: u8 = 1;
const DEMAND: u8 = 2;
const SET: u8 = 3;
/// Hashes in a path: a frame has at most 2^8 messages.
const PATH_MAX: usize = 8;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// Whose inbox.
    pub pool: PoolId,
    /// 1 vote, 2 demand, 3 set.
    pub kind: u8,
    /// What it is.
    pub hash: B256,
    /// Unix seconds of its block.
    pub at: u64,
    /// The inbox before it.
    pub before: B256,
    /// The inbox after it.
    pub after: B256,
    /// The arguments of the call that made it, as the caller laid them out.
    pub entry: Vec<u8>,
}

/// A vote that was said on chain, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedVote {
    /// The vote.
    pub reveal: Reveal,
    /// Its place in the signed frame.
    pub proof: FrameProof,
}

/// A worker that was never shown its commit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Which task.
    pub task_id: B256,
    /// Which round.
    pub attempt: u16,
    /// Who.
    pub worker: WorkerIdx,
}

/// A set that was shown on chain, with somebody's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSet {
    /// The set.
    pub set: CommitSet,
    /// Its place in the signed frame.
    pub proof: FrameProof,
}

impl Forced {
    /// The vote it is, if it is one.
    pub fn vote(&self) -> Option<ForcedVote> {
        let words = self.arguments(VOTE)?;
        let reveal = Reveal {
            pool: PoolId(words.number(1)?),
            task_id: words.word(2)?,
            attempt: words.number(3)?,
            set_root: words.word(4)?,
            digest: words.word(5)?,
            salt: words.word(6)?,
        };
        Some(ForcedVote { reveal, proof: words.proof(7)? })
    }

    /// The demand it is, if it is one.
    pub fn demand(&self) -> Option<Demand> {
        let words = self.arguments(DEMAND)?;
        let worker = WorkerIdx(words.number(3)?);
        Some(Demand { task_id: words.word(1)?, attempt: words.number(2)?, worker })
    }

    /// The set it shows, if it shows one.
    pub fn set(&self) -> Option<ShownSet> {
        let words = self.arguments(SET)?;
        let set = CommitSet {
            pool: PoolId(words.number(1)?),
            task_id: words.word(2)?,
            attempt: words.number(3)?,
            root: words.word(4)?,
            n: words.number(5)?,
            reveal_deadline: words.number(6)?,
        };
        Some(ShownSet { set, proof: words.proof(7)? })
    }

    fn arguments(&self, kind: u8) -> Option<Words<'_>> {
        (self.kind == kind).then_some(Words(&self.entry))
    }
}

/// Arguments as the contract reads them. A caller may put a list anywhere behind the words, over
/// another, or at an odd byte, and add what it likes: the contract takes it, so a reader who does not
/// would be deaf to it.
#[derive(Clone, Copy)]
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn word(self, at: usize) -> Option<B256> {
        self.word_at_byte(at * 32)
    }

    fn word_at_byte(self, at: usize) -> Option<B256> {
        Some(B256::from_slice(self.0.get(at..at.checked_add(32)?)?))
    }

    /// A number; the contract has refused one with bits beyond its width.
    fn number<N: TryFrom<u64>>(self, at: usize) -> Option<N> {
        N::try_from(U256::from_be_bytes(self.word(at)?.0).try_into().ok()?).ok()
    }

    /// A frame proof from this word on: index, count, where the path is, `r`, `vs`.
    fn proof(self, at: usize) -> Option<FrameProof> {
        let path = self.path(self.number::<u64>(at + 2)?)?;
        let signature = Signature { r: self.word(at + 3)?, vs: self.word(at + 4)? };
        Some(FrameProof { index: self.number(at)?, count: self.number(at + 1)?, path, signature })
    }

    fn path(self, from: u64) -> Option<Vec<B256>> {
        let from = usize::try_from(from).ok()?;
        let length: u64 = Words(self.0.get(from..)?).number(0)?;
        // No frame is deeper, and what is longer proves nothing.
        let length = usize::try_from(length).ok().filter(|length| *length <= PATH_MAX)?;
        (1..=length).map(|at| self.word_at_byte(from + at * 32)).collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::abi::Settlement as Abi;
    use alloy::sol_types::SolCall as _;

    fn vote() -> (Reveal, FrameProof) {
        let reveal = Reveal {
            pool: PoolId(7),
            task_id: B256::repeat_byte(1),
            attempt: 2,
            set_root: B256::repeat_byte(3),
            digest: B256::repeat_byte(4),
            salt: B256::repeat_byte(5),
        };
        let path = vec![B256::repeat_byte(6), B256::repeat_byte(7)];
        let signature = Signature { r: B256::repeat_byte(8), vs: B256::repeat_byte(9) };
        (reveal, FrameProof { index: 1, count: 3, path, signature })
    }

    fn entry(kind: u8, arguments: Vec<u8>) -> Forced {
        let word = B256::ZERO;
        let pool = PoolId(7);
        Forced { pool, kind, hash: word, at: 1, before: word, after: word, entry: arguments }
    }

    fn plain() -> Vec<u8> {
        let (vote, proof) = vote();
        let call = Abi::forceVoteCall {
            poolId: 7,
            vote: (&vote).into(),
            frameIndex: proof.index,
            frameCount: proof.count,
            path: proof.path,
            r: proof.signature.r,
            vs: proof.signature.vs,
        };
        call.abi_encode()[4..].to_vec()
    }

    fn expected() -> Option<ForcedVote> {
        let (reveal, proof) = vote();
        Some(ForcedVote { reveal, proof })
    }

    #[test]
    fn every_kind_is_read_back() {
        assert_eq!(entry(VOTE, plain()).vote(), expected());
        let call = Abi::demandSetCall {
            poolId: 7,
            taskId: B256::repeat_byte(1),
            attempt: 2,
            workerIdx: 9,
        };
        let found = entry(DEMAND, call.abi_encode()[4..].to_vec()).demand().unwrap();
        assert_eq!((found.task_id, found.attempt, found.worker.0), (call.taskId, 2, 9));
        let (_, proof) = vote();
        let set = CommitSet { pool: PoolId(7), n: 3, reveal_deadline: 77, ..CommitSet::default() };
        let call = Abi::answerSetCall {
            poolId: 7,
            set: (&set).into(),
            frameIndex: proof.index,
            frameCount: proof.count,
            path: proof.path.clone(),
            r: proof.signature.r,
            vs: proof.signature.vs,
        };
        let found = entry(SET, call.abi_encode()[4..].to_vec()).set();
        assert_eq!(found, Some(ShownSet { set, proof }));
        assert_eq!(entry(SET, plain()).vote(), None);
    }

    /// What the contract takes must be read, or an honest scheduler could be called deaf.
    #[test]
    fn a_list_may_lie_anywhere() {
        const OFFSET: usize = 9 * 32;
        let mut trailing = plain();
        trailing.extend([0xee; 45]);
        assert_eq!(entry(VOTE, trailing).vote(), expected());
        for gap in [1_usize, 31, 32, 1_000] {
            let mut odd = plain();
            let tail = odd.split_off(12 * 32);
            odd.extend(vec![0xab; gap]);
            odd.extend(tail);
            let offset = U256::from(12 * 32 + gap);
            odd[OFFSET..OFFSET + 32].copy_from_slice(&offset.to_be_bytes::<32>());
            assert_eq!(entry(VOTE, odd).vote(), expected(), "{gap} bytes between");
        }
    }

    #[test]
    fn what_is_cut_short_or_huge_is_nothing() {
        const OFFSET: usize = 9 * 32;
        let whole = plain();
        for length in 0..whole.len() {
            assert_eq!(entry(VOTE, whole[..length].to_vec()).vote(), None, "{length} bytes");
        }
        for at in [OFFSET, 12 * 32] {
            let mut huge = whole.clone();
            huge[at..at + 32].copy_from_slice(&[0xff; 32]);
            assert_eq!(entry(VOTE, huge).vote(), None);
        }
    }
}
