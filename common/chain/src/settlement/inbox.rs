//! What is said on chain to a scheduler that will not hear, or not speak (PROTOCOL.md section 7).

use super::calls::to;
use crate::abi::Settlement as Abi;
use crate::outbox::Call;
use crate::settlement::Settlement;
use alloy::primitives::B256;
use quorate_common::frame::FrameProof;
use quorate_common::ids::{PoolId, WorkerIdx};
use quorate_common::messages::{CommitSet, Reveal};

impl Settlement {
    /// Says a reveal, with the frame it was signed in.
    pub fn force_vote(&self, vote: &Reveal, proof: &FrameProof) -> Call {
        let call = Abi::forceVoteCall {
            poolId: vote.pool.0,
            vote: vote.into(),
            frameIndex: proof.index,
            frameCount: proof.count,
            path: proof.path.clone(),
            r: proof.signature.r,
            vs: proof.signature.vs,
        };
        to(self.address(), format!("force a vote in {}", vote.pool), &call)
    }

    /// Says that a worker was never shown the commit set of its round.
    pub fn demand_set(&self, pool: PoolId, task_id: B256, attempt: u16, worker: WorkerIdx) -> Call {
        let call =
            Abi::demandSetCall { poolId: pool.0, taskId: task_id, attempt, workerIdx: worker.0 };
        to(self.address(), format!("demand a commit set of {pool}"), &call)
    }

    /// Shows a commit set.
    pub fn answer_set(&self, set: &CommitSet, proof: &FrameProof) -> Call {
        let call = Abi::answerSetCall {
            poolId: set.pool.0,
            set: set.into(),
            frameIndex: proof.index,
            frameCount: proof.count,
            path: proof.path.clone(),
            r: proof.signature.r,
            vs: proof.signature.vs,
        };
        to(self.address(), format!("show a commit set of {}", set.pool), &call)
    }
}
