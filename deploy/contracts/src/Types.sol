// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

// Every struct that crosses a border: what keys sign (EIP-712), what the trees hold, what storage
// keeps. Field order is part of the protocol (common/PROTOCOL.md sections 2 and 3): a change here is
// a change of protocol version. Hashing lives in Messages.sol and Merkle.sol, rules in Settlement.sol.
//
// Units everywhere: money in the token's smallest unit (uint128), times in unix seconds (uint64),
// ratios in whole percent (uint8), worker, pool and deal numbers uint32.

// ---------------------------------------------------------------------------------------------
// Signed messages (EIP-712)
// ---------------------------------------------------------------------------------------------

/// @notice The scheduler hands one replica of a task to one worker.
struct Assign {
    uint32 poolId;
    bytes32 dealId;
    uint32 taskIdx;
    uint16 attempt;
    uint32 workerIdx;
    uint64 seedEpoch;
    uint64 commitDeadline;
    uint64 revealDeadline;
}

/// @notice A worker binds itself to a result without showing it.
struct Commit {
    uint32 poolId;
    bytes32 taskId;
    uint16 attempt;
    bytes32 commitment;
}

/// @notice The scheduler's receipt for a Commit; `seq` counts a pool's receipts one by one.
struct CommitAck {
    uint32 poolId;
    bytes32 taskId;
    uint16 attempt;
    uint32 workerIdx;
    bytes32 commitment;
    uint64 seq;
}

/// @notice The scheduler freezes the commitments of an attempt, before any reveal.
struct CommitSet {
    uint32 poolId;
    bytes32 taskId;
    uint16 attempt;
    bytes32 commitSetRoot;
    uint8 n;
    uint64 revealDeadline;
}

/// @notice A worker opens its commitment, for the frozen set it has seen and for no other.
struct Reveal {
    uint32 poolId;
    bytes32 taskId;
    uint16 attempt;
    bytes32 commitSetRoot;
    bytes32 resultDigest;
    bytes32 salt;
}

/// @notice The scheduler's receipt for a Reveal.
struct RevealAck {
    uint32 poolId;
    bytes32 taskId;
    uint16 attempt;
    uint32 workerIdx;
    bytes32 voteHash;
    uint64 seq;
}

/// @notice What is really signed for the six messages above: the root of a tree of 1 to 256 of them.
struct Frame {
    bytes32 root;
    uint32 count;
}

/// @notice A batch of settled tasks. Its struct hash is the batch's name.
struct Header {
    uint32 poolId;
    /// From 1, one by one.
    uint64 index;
    /// Struct hash of the header before, zero for index 1.
    bytes32 parent;
    /// Depth-16 tree of task leaves.
    bytes32 tasksRoot;
    /// Depth-20 tree of accounts after the last task.
    bytes32 stateRoot;
    /// sha256 of the evidence file.
    bytes32 evidence;
    /// Settled tasks in the batch, 1 to 65,536.
    uint32 count;
    /// What winners earned in this batch.
    uint128 payout;
    /// What the pool's operator earned in this batch.
    uint128 fees;
    /// What losers lost of their stakes in this batch.
    uint128 slashed;
    /// Root of the forced-vote inbox the batch has taken in; zero until there is an inbox.
    bytes32 ringRoot;
}

/// @notice A requester's offer to buy work.
struct ReqOrder {
    address requester;
    /// Digest of the application.
    bytes32 app;
    /// Digest of its parameters and inputs.
    bytes32 params;
    /// The only pool that may take the order, or zero for any.
    uint32 poolId;
    uint128 maxUnitPrice;
    /// Volume, in tasks, over all deals made of this order.
    uint32 tasks;
    uint32 trust;
    uint8 replicas;
    uint64 maxTaskTime;
    /// Last second at which the order can be matched.
    uint64 expiry;
    /// Last second at which a result is worth anything to the requester.
    uint64 deadline;
    bytes32 salt;
}

/// @notice A pool's offer to sell work.
struct PoolOrder {
    uint32 poolId;
    uint128 unitPrice;
    /// Volume, in tasks, over all deals made of this order.
    uint32 tasks;
    /// The highest trust the pool will vote for.
    uint32 trust;
    uint8 stakeRatio;
    uint8 schedulerRatio;
    uint64 maxTaskTime;
    uint64 expiry;
    bytes32 salt;
}

/// @notice Proof that a vote key agrees to be bound to an owner and a node key.
struct BindWorker {
    address owner;
    bytes32 nodeKey;
    address voteKey;
    uint64 deadline;
}

// ---------------------------------------------------------------------------------------------
// Tree contents
// ---------------------------------------------------------------------------------------------

/// @notice One settled task. Running totals and the post-state root make it re-executable alone.
struct TaskRec {
    bytes32 dealId;
    uint32 taskIdx;
    uint16 attempt;
    /// 1 Consensus, 2 NoQuorum, 3 Expired.
    uint8 outcome;
    bytes32 commitSetRoot;
    bytes32 winnerDigest;
    uint128 reward;
    uint128 runPayout;
    uint128 runFees;
    uint128 runSlash;
    bytes32 votesHash;
    bytes32 postStateRoot;
}

/// @notice A worker's account in a pool's state tree, at position `workerIdx`.
struct WorkerAccount {
    address owner;
    address voteKey;
    uint128 cumEarned;
    uint128 cumSlashed;
    uint32 score;
    uint64 lastTaskSeq;
}

/// @notice A deal's account in its pool's state tree, at position `2^19 + dealSlot`.
struct DealAccount {
    bytes32 dealId;
    bytes32 settledRoot;
    uint32 settledCount;
    uint128 spent;
    uint128 refunded;
}

/// @notice One vote of a task, with the signature over its frame.
struct Vote {
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

// ---------------------------------------------------------------------------------------------
// Storage (fields in the order of their packing; a blank line ends a storage word)
// ---------------------------------------------------------------------------------------------

/// @notice A registered worker.
struct Worker {
    address owner;
    /// When its stakes may leave; zero while no exit is asked for.
    uint64 exitAt;

    address voteKey;

    bytes32 nodeKey;
}

/// @notice A worker's money in one pool. A pool can only ever seize what is recorded here.
struct Seat {
    /// Stake at this pool's risk, slashes already applied.
    uint128 stake;
    /// How much of the worker's `cumSlashed` has been applied.
    uint128 slashed;

    /// How much of the worker's `cumEarned` has been paid out.
    uint128 claimed;
}

/// @notice A pool and its money.
struct Pool {
    address signer;
    /// When the bond may leave; zero while no exit is asked for.
    uint64 exitAt;
    /// Deals opened so far; the next deal's slot.
    uint32 deals;

    address operator;

    bytes32 nodeKey;

    /// Index of the newest committed batch, zero for none.
    uint64 head;
    /// Index of the newest finalized batch, zero for none.
    uint64 finalized;
    /// Sum of `value` over pending batches; the bond caps it.
    uint128 pendingValue;

    /// Sum over pending batches of what each takes out of `locked`.
    uint128 pendingDraw;
    /// Requesters' money of this pool's deals: unsettled, or refunded and not yet collected.
    uint128 locked;

    /// Sum of `slashed` over pending batches.
    uint128 pendingSlashed;
    /// Slashes finalized but not yet taken from stake records.
    uint128 unapplied;

    /// Finalized earnings that workers have not claimed yet.
    uint128 owed;
    /// The operator's bond.
    uint128 bond;

    /// Sum of the stake records of this pool.
    uint128 staked;
}

/// @notice A deal's fixed terms and what has been given back of it.
struct Deal {
    address requester;
    uint32 poolId;
    uint32 slot;
    uint32 tasks;

    uint128 unitPrice;
    /// Returned to the requester so far, in all.
    uint128 returned;

    uint64 deadline;
    uint64 maxTaskTime;
    uint32 trust;
    uint8 replicas;
    uint8 stakeRatio;
    uint8 schedulerRatio;
    /// Nothing can be returned any more.
    bool closed;
}

/// @notice A committed batch, in a ring of 1,024.
struct Batch {
    bytes32 headerHash;

    /// Zero while the batch is pending.
    bytes32 stateRoot;

    uint64 committedAt;
    /// payout + fees + slashed: all that a bad batch could misdirect.
    uint96 value;
    uint96 slashed;
}

/// @notice What a scheduler needs to know of a new deal.
struct DealTerms {
    uint32 slot;
    bytes32 reqHash;
    bytes32 poolHash;
    /// Tasks of the request order that earlier deals took.
    uint32 filledBefore;
    bytes32 app;
    bytes32 params;
    uint128 unitPrice;
    uint32 tasks;
    uint32 trust;
    uint8 replicas;
    uint8 stakeRatio;
    uint8 schedulerRatio;
    uint64 maxTaskTime;
    uint64 deadline;
}
