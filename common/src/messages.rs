//! Every EIP-712 struct of the protocol, and its struct hash.
//!
//! Hand-laid words instead of a generated encoder: these hashes are the hottest code of the
//! scheduler (six per replica), and a stack buffer is four times as fast as an encoder that
//! allocates. `tests/vectors.rs` holds them to alloy's own encoder and to the Solidity side.

use crate::{
    bug::{self, Bug},
    ids::{DealId, PoolId, WorkerIdx},
};
use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// A value that fills one 32-byte ABI word.
pub trait Word {
    /// The word, big-endian and left-padded, as `abi.encode` lays it out.
    fn word(&self) -> [u8; 32];
}

macro_rules! integer_words {
    ($($int:ty),*) => {$(
        impl Word for $int {
            fn word(&self) -> [u8; 32] {
                let mut word = [0; 32];
                let bytes = self.to_be_bytes();
                word[32 - bytes.len()..].copy_from_slice(&bytes);
                word
            }
        }
    )*};
}
integer_words!(u8, u16, u32, u64, u128);

impl Word for bool {
    fn word(&self) -> [u8; 32] {
        u8::from(*self).word()
    }
}

impl Word for B256 {
    fn word(&self) -> [u8; 32] {
        self.0
    }
}

impl Word for Address {
    fn word(&self) -> [u8; 32] {
        self.into_word().0
    }
}

impl Word for PoolId {
    fn word(&self) -> [u8; 32] {
        self.0.word()
    }
}

impl Word for WorkerIdx {
    fn word(&self) -> [u8; 32] {
        self.0.word()
    }
}

impl Word for DealId {
    fn word(&self) -> [u8; 32] {
        self.0.0
    }
}

impl Word for crate::digest::Digest {
    fn word(&self) -> [u8; 32] {
        self.0
    }
}

/// A struct with an EIP-712 hash.
pub trait Message {
    /// The type string, exactly as the contract has it.
    const TYPE: &'static str;
    /// `keccak256(typeHash ‖ words)`.
    fn struct_hash(&self) -> B256;
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident $sol_name:literal : $rust:ty = $sol:literal,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $rust,)* }

        impl Message for $name {
            const TYPE: &'static str =
                messages!(@type $name, $($sol $sol_name),*);

            fn struct_hash(&self) -> B256 {
                static TYPE_HASH: LazyLock<B256> = LazyLock::new(|| keccak256($name::TYPE));
                const WORDS: usize = 1 $(+ messages!(@one $field))*;
                let mut words = [[0_u8; 32]; WORDS];
                words[0] = TYPE_HASH.0;
                let mut at = 0;
                $(at += 1; words[at] = self.$field.word();)*
                debug_assert_eq!(at + 1, WORDS);
                keccak256(words.as_flattened())
            }
        }
    )*};
    (@one $field:ident) => { 1 };
    (@type $name:ident, $sol:literal $field:literal $(, $sols:literal $fields:literal)*) => {
        concat!(stringify!($name), "(", $sol, " ", $field, $(",", $sols, " ", $fields,)* ")")
    };
}

messages! {
    /// The scheduler asks one worker for one replica.
    Assign {
        /// Which pool asks.
        pool "poolId": PoolId = "uint32",
        /// Whose task.
        deal "dealId": DealId = "bytes32",
        /// Which task of the deal.
        task_idx "taskIdx": u32 = "uint32",
        /// Which round of the task.
        attempt "attempt": u16 = "uint16",
        /// Who is asked.
        worker "workerIdx": WorkerIdx = "uint32",
        /// The sortition epoch the choice was drawn from; 0 until epochs exist.
        seed_epoch "seedEpoch": u64 = "uint64",
        /// Unix seconds; a later commit does not count.
        commit_deadline "commitDeadline": u64 = "uint64",
        /// Unix seconds; a later reveal does not count.
        reveal_deadline "revealDeadline": u64 = "uint64",
    }
    /// A worker binds itself to a result without showing it.
    Commit {
        /// Which pool.
        pool "poolId": PoolId = "uint32",
        /// `keccak256(dealId, taskIdx)`.
        task_id "taskId": B256 = "bytes32",
        /// Which round of the task.
        attempt "attempt": u16 = "uint16",
        /// See [`Separator::commitment`].
        commitment "commitment": B256 = "bytes32",
    }
    /// The scheduler has the commit on disk.
    CommitAck {
        /// Which pool.
        pool "poolId": PoolId = "uint32",
        /// `keccak256(dealId, taskIdx)`.
        task_id "taskId": B256 = "bytes32",
        /// Which round of the task.
        attempt "attempt": u16 = "uint16",
        /// Whose commit.
        worker "workerIdx": WorkerIdx = "uint32",
        /// What was committed.
        commitment "commitment": B256 = "bytes32",
        /// The pool's count of acknowledgements.
        seq "seq": u64 = "uint64",
    }
    /// The frozen set of commitments. Nobody reveals before it, nobody joins after it.
    CommitSet {
        /// Which pool.
        pool "poolId": PoolId = "uint32",
        /// `keccak256(dealId, taskIdx)`.
        task_id "taskId": B256 = "bytes32",
        /// Which round of the task.
        attempt "attempt": u16 = "uint16",
        /// Root of the depth-4 tree over all commitments so far.
        root "commitSetRoot": B256 = "bytes32",
        /// How many commitments are in it.
        n "n": u8 = "uint8",
        /// Unix seconds.
        reveal_deadline "revealDeadline": u64 = "uint64",
    }
    /// A worker opens its commitment, bound to the frozen set it saw.
    Reveal {
        /// Which pool.
        pool "poolId": PoolId = "uint32",
        /// `keccak256(dealId, taskIdx)`.
        task_id "taskId": B256 = "bytes32",
        /// Which round of the task.
        attempt "attempt": u16 = "uint16",
        /// The set the worker was shown.
        set_root "commitSetRoot": B256 = "bytes32",
        /// sha256 of the result manifest.
        digest "resultDigest": B256 = "bytes32",
        /// 32 random bytes.
        salt "salt": B256 = "bytes32",
    }
    /// The scheduler has the reveal on disk.
    RevealAck {
        /// Which pool.
        pool "poolId": PoolId = "uint32",
        /// `keccak256(dealId, taskIdx)`.
        task_id "taskId": B256 = "bytes32",
        /// Which round of the task.
        attempt "attempt": u16 = "uint16",
        /// Whose reveal.
        worker "workerIdx": WorkerIdx = "uint32",
        /// Struct hash of the reveal.
        vote_hash "voteHash": B256 = "bytes32",
        /// Every byte that the vote's result names is here.
        stored "stored": bool = "bool",
        /// The pool's count of acknowledgements.
        seq "seq": u64 = "uint64",
    }
    /// One signature over many messages; see [`crate::frame`].
    Frame {
        /// Root of the frame tree.
        root "root": B256 = "bytes32",
        /// Leaves in it, 1 to 256.
        count "count": u32 = "uint32",
    }
    /// A batch, as it stands on chain.
    Header {
        /// Which pool.
        pool "poolId": PoolId = "uint32",
        /// From 1, without gaps.
        index "index": u64 = "uint64",
        /// Struct hash of the previous header, zero for the first.
        parent "parent": B256 = "bytes32",
        /// Root of the depth-16 tree of task leaves.
        tasks_root "tasksRoot": B256 = "bytes32",
        /// Root of the depth-20 state tree after the batch.
        state_root "stateRoot": B256 = "bytes32",
        /// sha256 of the evidence file.
        evidence "evidence": B256 = "bytes32",
        /// Settled tasks in the batch.
        count "count": u32 = "uint32",
        /// Token units to workers.
        payout "payout": u128 = "uint128",
        /// Token units to the pool's operator.
        fees "fees": u128 = "uint128",
        /// Token units to owners of applications and datasets.
        royalties "royalties": u128 = "uint128",
        /// Token units seized from stakes.
        slashed "slashed": u128 = "uint128",
        /// The parent's `cum_fees` plus `fees`.
        cum_fees "cumFees": u128 = "uint128",
    }
    /// An application owner's offer. Restrictions: zero for anybody, an id as a word, or the address
    /// of a group contract.
    AppOrder {
        /// Who sells it.
        owner "owner": Address = "address",
        /// sha256 of the application.
        app "app": B256 = "bytes32",
        /// Token units per task.
        price "price": u128 = "uint128",
        /// How many tasks.
        tasks "tasks": u32 = "uint32",
        /// What it needs of a pool, a bit each.
        tag "tag": B256 = "bytes32",
        /// Only with these datasets.
        dataset_restrict "datasetRestrict": B256 = "bytes32",
        /// Only on these pools.
        pool_restrict "poolRestrict": B256 = "bytes32",
        /// Only for these requesters.
        requester_restrict "requesterRestrict": B256 = "bytes32",
        /// Unix seconds; no deal is opened later.
        expiry "expiry": u64 = "uint64",
        /// Makes equal offers different.
        salt "salt": B256 = "bytes32",
    }
    /// A dataset owner's offer.
    DatasetOrder {
        /// Who sells it.
        owner "owner": Address = "address",
        /// sha256 of the dataset.
        dataset "dataset": B256 = "bytes32",
        /// Token units per task.
        price "price": u128 = "uint128",
        /// How many tasks.
        tasks "tasks": u32 = "uint32",
        /// What it needs of a pool, a bit each.
        tag "tag": B256 = "bytes32",
        /// Only with these applications.
        app_restrict "appRestrict": B256 = "bytes32",
        /// Only on these pools.
        pool_restrict "poolRestrict": B256 = "bytes32",
        /// Only for these requesters.
        requester_restrict "requesterRestrict": B256 = "bytes32",
        /// Unix seconds; no deal is opened later.
        expiry "expiry": u64 = "uint64",
        /// Makes equal offers different.
        salt "salt": B256 = "bytes32",
    }
    /// A requester's order.
    ReqOrder {
        /// Who asks, and pays unless a sponsor does.
        requester "requester": Address = "address",
        /// Whose key results are encrypted for; zero: the requester's.
        beneficiary "beneficiary": Address = "address",
        /// EIP-1154 consumer that results can be pushed to, or zero.
        callback "callback": Address = "address",
        /// sha256 of the application (a WASM module).
        app "app": B256 = "bytes32",
        /// Who sells it; zero: it is free.
        app_owner "appOwner": Address = "address",
        /// Token units per task at most for the application.
        app_max_price "appMaxPrice": u128 = "uint128",
        /// sha256 of the dataset, or zero for none.
        dataset "dataset": B256 = "bytes32",
        /// Who sells it; zero: it is free.
        dataset_owner "datasetOwner": Address = "address",
        /// Token units per task at most for the dataset.
        dataset_max_price "datasetMaxPrice": u128 = "uint128",
        /// sha256 of the bag: what each task is given. See [`crate::bag`].
        params "params": B256 = "bytes32",
        /// Only these pools; see [`PoolId::restrict`].
        pool_restrict "poolRestrict": B256 = "bytes32",
        /// Token units per task at most for the pool.
        max_unit_price "maxUnitPrice": u128 = "uint128",
        /// How many tasks.
        tasks "tasks": u32 = "uint32",
        /// What a pool must have, a bit each.
        tag "tag": B256 = "bytes32",
        /// The class of work; a pool's price is for one.
        category "category": u16 = "uint16",
        /// 1 / (chance of a wrong result) asked for.
        trust "trust": u32 = "uint32",
        /// Most replicas a task may take, 1 to 15.
        replicas "replicas": u8 = "uint8",
        /// Seconds one replica may take.
        max_task_time "maxTaskTime": u64 = "uint64",
        /// Unix seconds; no deal is opened later.
        expiry "expiry": u64 = "uint64",
        /// Unix seconds; the deal's work ends here.
        deadline "deadline": u64 = "uint64",
        /// Makes equal orders different.
        salt "salt": B256 = "bytes32",
    }
    /// A pool's offer.
    PoolOrder {
        /// Which pool.
        pool "poolId": PoolId = "uint32",
        /// Token units per task.
        unit_price "unitPrice": u128 = "uint128",
        /// How many tasks it takes.
        tasks "tasks": u32 = "uint32",
        /// What the pool has, a bit each.
        tag "tag": B256 = "bytes32",
        /// The class of work this price is for.
        category "category": u16 = "uint16",
        /// The highest trust it serves.
        trust "trust": u32 = "uint32",
        /// Whole percent of the unit price a vote puts at stake.
        stake_ratio "stakeRatio": u8 = "uint8",
        /// Whole percent of a reward that is the scheduler's.
        scheduler_ratio "schedulerRatio": u8 = "uint8",
        /// Seconds one replica may take at most.
        max_task_time "maxTaskTime": u64 = "uint64",
        /// Only these applications.
        app_restrict "appRestrict": B256 = "bytes32",
        /// Only these datasets.
        dataset_restrict "datasetRestrict": B256 = "bytes32",
        /// Only for these requesters.
        requester_restrict "requesterRestrict": B256 = "bytes32",
        /// Unix seconds; no deal is opened later.
        expiry "expiry": u64 = "uint64",
        /// Makes equal offers different.
        salt "salt": B256 = "bytes32",
    }
    /// Who pays for a requester.
    SponsorOrder {
        /// Who pays.
        sponsor "sponsor": Address = "address",
        /// Struct hash of the request.
        req_hash "reqHash": B256 = "bytes32",
        /// Token units the sponsor pays at most, over all deals of the request.
        max_cost "maxCost": u128 = "uint128",
        /// Unix seconds; no deal is opened later.
        expiry "expiry": u64 = "uint64",
        /// Makes equal offers different.
        salt "salt": B256 = "bytes32",
    }
    /// Presigns or cancels an order, by a signature that anybody may carry to the chain.
    OrderOp {
        /// Whose order.
        account "account": Address = "address",
        /// Its struct hash.
        order_hash "orderHash": B256 = "bytes32",
        /// 1 presign, 2 cancel.
        op "op": u8 = "uint8",
        /// Unix seconds; no good later.
        deadline "deadline": u64 = "uint64",
    }
    /// What a worker's owner wants, by a signature that anybody may carry to the chain.
    WorkerOp {
        /// Which worker.
        worker "workerIdx": WorkerIdx = "uint32",
        /// 1 exit, 2 cancel the exit, 3 leave earnings as stake, 4 do not.
        op "op": u8 = "uint8",
        /// The owner's count of these.
        nonce "nonce": u64 = "uint64",
        /// Unix seconds; no good later.
        deadline "deadline": u64 = "uint64",
    }
    /// Proof that the holder of a vote key agrees to vote for an owner and a node.
    BindWorker {
        /// The account that owns stake and earnings.
        owner "owner": Address = "address",
        /// ed25519 public key of the node.
        node_key "nodeKey": B256 = "bytes32",
        /// The key that signs votes.
        vote_key "voteKey": Address = "address",
        /// Unix seconds; not to be registered later.
        deadline "deadline": u64 = "uint64",
    }
}

/// The EIP-712 domain of one contract on one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The settlement contract.
    pub contract: Address,
}

impl Domain {
    /// The domain's name.
    pub const NAME: &'static str = "Quorate";
    /// The domain's version: the protocol's.
    pub const VERSION: &'static str = "1";
    const TYPE: &'static str =
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";

    /// The domain separator of EIP-712.
    pub fn separator(&self) -> Separator {
        let words = [
            keccak256(Self::TYPE).0,
            keccak256(Self::NAME).0,
            keccak256(Self::VERSION).0,
            self.chain_id.word(),
            self.contract.word(),
        ];
        Separator(keccak256(words.as_flattened()))
    }
}

/// A domain separator, computed once and passed to whoever signs or checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Separator(pub B256);

impl Separator {
    /// What is signed for a struct hash: `keccak256(0x1901 ‖ separator ‖ structHash)`.
    pub fn digest(&self, struct_hash: B256) -> B256 {
        let mut preimage = [0_u8; 66];
        preimage[..2].copy_from_slice(&[0x19, 0x01]);
        preimage[2..34].copy_from_slice(self.0.as_slice());
        preimage[34..].copy_from_slice(struct_hash.as_slice());
        keccak256(preimage)
    }

    /// A salted commitment to a result, bound to chain, contract, task, round and worker.
    pub fn commitment(
        &self,
        task_id: B256,
        attempt: u16,
        worker: WorkerIdx,
        digest: B256,
        salt: B256,
    ) -> B256 {
        let worker = if bug::is(Bug::UnboundCommit) { WorkerIdx(0) } else { worker };
        let salt = if bug::is(Bug::UnsaltedCommit) { B256::ZERO } else { salt };
        let words = [self.0.0, task_id.0, attempt.word(), worker.word(), digest.0, salt.0];
        keccak256(words.as_flattened())
    }
}
