//! F7: a pool is asked to show a task, shows it, or does not.

use super::{Court, Filing, Leaf, SignedSet};
use crate::abi::Court as Abi;
use crate::error::SettleError;
use crate::outbox::Call;
use alloy::primitives::{Address, B256};
use quorate_common::accounts::{TaskRec, Vote};
use quorate_common::frame::FrameProof;
use quorate_common::ids::{DealId, PoolId};
use quorate_common::keys::Signature;
use quorate_common::messages::CommitSet;
use serde::{Deserialize, Serialize};

/// A question for a task's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who asked, and has the share if there is no answer.
    pub asker: Address,
    /// Unix seconds, by the chain's clock.
    pub at: u64,
    /// Whether it was answered.
    pub answered: bool,
}

/// A task that was shown on chain: the contract has checked it against its batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its place in the batch.
    pub place: u32,
    /// Its leaf.
    pub rec: TaskRec,
    /// Its frozen sets, as the scheduler signed them.
    pub sets: Vec<SignedSet>,
    /// Its votes.
    pub votes: Vec<Vote>,
}

impl Court {
    /// Asks the pool to show a task of a pending batch.
    pub fn ask(&self, filing: &Filing<'_>, place: u32) -> Call {
        let call = Abi::askCall { filing: filing.into(), place };
        self.tell("ask for a task", &call)
    }

    /// Shows a task that was asked for: its frozen sets, its votes, and each set signed.
    pub fn answer(
        &self,
        filing: &Filing<'_>,
        leaf: &Leaf<'_>,
        sets: &[B256],
        votes: &[Vote],
        signed: &[SignedSet],
    ) -> Call {
        let call = Abi::answerCall {
            filing: filing.into(),
            leaf: leaf.into(),
            sets: sets.to_vec(),
            votes: votes.iter().map(Into::into).collect(),
            signed: signed.iter().map(Into::into).collect(),
        };
        self.tell("show a task", &call)
    }

    /// Proves that an ask was not answered in time.
    pub fn silence(&self, pool: PoolId, index: u32, place: u32) -> Call {
        let call = Abi::silenceCall { poolId: pool.0, index, place };
        self.tell("prove a silence", &call)
    }

    /// A question, if it was asked.
    ///
    /// # Errors
    /// The node's.
    pub async fn ask_of(
        &self,
        pool: PoolId,
        index: u32,
        place: u32,
    ) -> Result<Option<Ask>, SettleError> {
        let call = Abi::askOfCall { poolId: pool.0, index, place };
        let ask = self.settlement.read_from(self.address, call).await?;
        let Abi::Ask { asker, at, answered } = ask;
        Ok((!at.is_zero()).then(|| Ask { asker, at: at.to(), answered }))
    }
}

impl From<Abi::Answered> for Shown {
    fn from(event: Abi::Answered) -> Self {
        Self {
            place: event.place,
            rec: event.rec.into(),
            sets: event.signed.into_iter().map(SignedSet::from).collect(),
            votes: event.votes.into_iter().map(Vote::from).collect(),
        }
    }
}

impl From<Abi::SignedSet> for SignedSet {
    fn from(Abi::SignedSet { set, proof }: Abi::SignedSet) -> Self {
        let set = CommitSet {
            pool: PoolId(set.poolId),
            task_id: set.taskId,
            attempt: set.attempt,
            root: set.commitSetRoot,
            n: set.n,
            reveal_deadline: set.revealDeadline,
        };
        let Abi::FrameProof { index, count, path, r, vs } = proof;
        Self { set, proof: FrameProof { index, count, path, signature: Signature { r, vs } } }
    }
}

impl From<Abi::Vote> for Vote {
    fn from(vote: Abi::Vote) -> Self {
        Self {
            worker: vote.workerIdx,
            attempt: vote.attempt,
            digest: vote.resultDigest,
            salt: vote.salt,
            frame_index: vote.frameIndex,
            frame_count: vote.frameCount,
            path: vote.path,
            r: vote.r,
            vs: vote.vs,
        }
    }
}

impl From<Abi::TaskRec> for TaskRec {
    fn from(rec: Abi::TaskRec) -> Self {
        Self {
            deal_id: DealId(rec.dealId),
            task_idx: rec.taskIdx,
            attempt: rec.attempt,
            outcome: rec.outcome,
            commit_set_root: rec.commitSetRoot,
            winner_digest: rec.winnerDigest,
            reward: rec.reward,
            run_payout: rec.runPayout,
            run_fees: rec.runFees,
            run_royalties: rec.runRoyalties,
            run_slash: rec.runSlash,
            votes_hash: rec.votesHash,
            post_state_root: rec.postStateRoot,
        }
    }
}

/// The name of an ask, which is also its share's.
pub fn name_of(pool: PoolId, index: u32, place: u32) -> B256 {
    use alloy::primitives::{U256, keccak256};
    let word = |number: u32| U256::from(number).to_be_bytes::<32>();
    keccak256([word(pool.0), word(index), word(place)].as_flattened())
}
