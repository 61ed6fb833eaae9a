//! The leaves of the batch and state trees: accounts of workers and deals, records of tasks, votes.
//! How they change is the PoCo step's business (`grid::poco`), not theirs.

use crate::{ids::DealId, messages::Word};
use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::{SolValue, sol};
use serde::{Deserialize, Serialize};

macro_rules! leaves {
    ($($(#[$doc:meta])* $name:ident = $tag:literal {
        $($(#[$field_doc:meta])* $field:ident: $rust:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $rust,)* }

        impl $name {
            /// `keccak256(abi.encode(uint8 tag, fields…))`.
            pub fn leaf(&self) -> B256 {
                const WORDS: usize = 1 $(+ leaves!(@one $field))*;
                let mut words = [[0_u8; 32]; WORDS];
                words[0][31] = $tag;
                let mut at = 0;
                $(at += 1; words[at] = self.$field.word();)*
                debug_assert_eq!(at + 1, WORDS);
                keccak256(words.as_flattened())
            }
        }
    )*};
    (@one $field:ident) => { 1 };
}

leaves! {
    /// What a pool knows of a worker.
    WorkerAccount = 0 {
        /// Who is paid.
        owner: Address,
        /// Who votes.
        vote_key: Address,
        /// Token units earned since the beginning.
        cum_earned: u128,
        /// Token units seized since the beginning.
        cum_slashed: u128,
        /// The PoCo score.
        score: u32,
        /// Where this last changed; see [`task_seq`].
        last_task_seq: u64,
    }
    /// A settled task in its batch.
    TaskRec = 1 {
        /// Whose task.
        deal_id: DealId,
        /// Which task of the deal.
        task_idx: u32,
        /// The last round.
        attempt: u16,
        /// 1 Consensus, 2 NoQuorum, 3 Expired.
        outcome: u8,
        /// The last frozen commit set; zero if none was.
        commit_set_root: B256,
        /// The accepted result; zero without consensus.
        winner_digest: B256,
        /// Token units shared by winners and scheduler.
        reward: u128,
        /// Paid to workers so far in this batch, this task included.
        run_payout: u128,
        /// Paid to the scheduler so far in this batch.
        run_fees: u128,
        /// Paid to owners of applications and datasets so far in this batch.
        run_royalties: u128,
        /// Seized so far in this batch.
        run_slash: u128,
        /// See [`votes_hash`].
        votes_hash: B256,
        /// The state root after this task.
        post_state_root: B256,
    }
    /// What a pool knows of a deal.
    DealAccount = 2 {
        /// Whose money.
        deal_id: DealId,
        /// Root of the depth-8 bitmap of settled tasks.
        settled_root: B256,
        /// Tasks settled.
        settled_count: u32,
        /// Token units spent on tasks with consensus.
        spent: u128,
        /// Token units owed back for tasks without.
        refunded: u128,
    }
}

/// What [`WorkerAccount::last_task_seq`] says: the task at `place` of the batch at `index`.
pub fn task_seq(index: u64, place: u32) -> u64 {
    (index << 16) + u64::from(place)
}

/// A vote as the contract can check it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// Who voted.
    pub worker: u32,
    /// In which round.
    pub attempt: u16,
    /// For what; zero if never revealed.
    pub digest: B256,
    /// The salt, or the commitment if never revealed.
    pub salt: B256,
    /// Position in the signed frame.
    pub frame_index: u32,
    /// Messages in the signed frame.
    pub frame_count: u32,
    /// Path from the message to the frame's root, at most 8.
    pub path: Vec<B256>,
    /// Signature over the frame, first half.
    pub r: B256,
    /// Signature over the frame, second half (EIP-2098).
    pub vs: B256,
}

sol! {
    struct AbiVote {
        uint32 workerIdx;
        uint16 attempt;
        bytes32 resultDigest;
        bytes32 salt;
        uint32 frameIndex;
        uint32 frameCount;
        bytes32[] path;
        bytes32 r;
        bytes32 vs;
    }
}

/// `keccak256(abi.encode(bytes32[] sets, Vote[] votes))`.
pub fn votes_hash(sets: &[B256], votes: &[Vote]) -> B256 {
    keccak256(votes_bytes(sets, votes))
}

/// What [`votes_hash`] hashes.
pub fn votes_bytes(sets: &[B256], votes: &[Vote]) -> Vec<u8> {
    let votes: Vec<AbiVote> = votes.iter().map(AbiVote::from).collect();
    (sets.to_vec(), votes).abi_encode_params()
}

impl From<&Vote> for AbiVote {
    fn from(vote: &Vote) -> Self {
        Self {
            workerIdx: vote.worker,
            attempt: vote.attempt,
            resultDigest: vote.digest,
            salt: vote.salt,
            frameIndex: vote.frame_index,
            frameCount: vote.frame_count,
            path: vote.path.clone(),
            r: vote.r,
            vs: vote.vs,
        }
    }
}
