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

/// @notice The scheduler's receipt for a Reveal. A vote whose bytes come later gets a second one.
struct RevealAck {
    uint32 poolId;
    bytes32 taskId;
    uint16 attempt;
    uint32 workerIdx;
    bytes32 voteHash;
    /// Every byte that the vote's result names is with the scheduler.
    bool stored;
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
    /// What owners of applications and datasets earned in this batch.
    uint128 royalties;
    /// What losers lost of their stakes in this batch.
    uint128 slashed;
    /// The parent's `cumFees` plus `fees`.
    uint128 cumFees;
}

/// @notice An application owner's offer. Restrictions: zero for anybody, an id as a word, or a group
/// contract's address (ERC-734 `keyHasPurpose(id, 4)`).
struct AppOrder {
    address owner;
    bytes32 app;
    /// Per task.
    uint128 price;
    /// Volume, in tasks, over all deals made of this order.
    uint32 tasks;
    /// What it needs of a pool, a bit each.
    bytes32 tag;
    bytes32 datasetRestrict;
    bytes32 poolRestrict;
    bytes32 requesterRestrict;
    uint64 expiry;
    bytes32 salt;
}

/// @notice A dataset owner's offer.
struct DatasetOrder {
    address owner;
    bytes32 dataset;
    uint128 price;
    uint32 tasks;
    bytes32 tag;
    bytes32 appRestrict;
    bytes32 poolRestrict;
    bytes32 requesterRestrict;
    uint64 expiry;
    bytes32 salt;
}

/// @notice A requester's offer to buy work.
struct ReqOrder {
    address requester;
    /// Whose key results are encrypted for; zero for the requester's.
    address beneficiary;
    /// EIP-1154 consumer that results can be pushed to, or zero.
    address callback;
    /// Digest of the application.
    bytes32 app;
    /// Who sells it; zero: it is free.
    address appOwner;
    uint128 appMaxPrice;
    /// Digest of the dataset, or zero for none.
    bytes32 dataset;
    /// Who sells it; zero: it is free.
    address datasetOwner;
    uint128 datasetMaxPrice;
    /// Digest of the bag: what each task is given.
    bytes32 params;
    bytes32 poolRestrict;
    /// The pool's price per task at most.
    uint128 maxUnitPrice;
    /// Volume, in tasks, over all deals made of this order.
    uint32 tasks;
    bytes32 tag;
    uint16 category;
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
    /// What the pool has, a bit each.
    bytes32 tag;
    /// The class of work this price is for; requests name theirs.
    uint16 category;
    /// The highest trust the pool will vote for.
    uint32 trust;
    uint8 stakeRatio;
    uint8 schedulerRatio;
    uint64 maxTaskTime;
    bytes32 appRestrict;
    bytes32 datasetRestrict;
    bytes32 requesterRestrict;
    uint64 expiry;
    bytes32 salt;
}

/// @notice Who pays for a requester.
struct SponsorOrder {
    address sponsor;
    /// Struct hash of the request.
    bytes32 reqHash;
    /// Most the sponsor pays, over all deals of the request.
    uint128 maxCost;
    uint64 expiry;
    bytes32 salt;
}

/// @notice Presigns (1) or cancels (2) an order by a signature that anybody may carry.
struct OrderOp {
    address account;
    bytes32 orderHash;
    uint8 op;
    uint64 deadline;
}

/// @notice Proof that a vote key agrees to be bound to an owner and a node key.
struct BindWorker {
    address owner;
    bytes32 nodeKey;
    address voteKey;
    uint64 deadline;
}

/// @notice What an owner has done with its worker by a signature that anybody may carry.
struct WorkerOp {
    uint32 workerIdx;
    /// 1 request exit, 2 cancel exit, 3 leave earnings as stake, 4 pay earnings out.
    uint8 op;
    /// Counts the owner's operations, from 0.
    uint64 nonce;
    uint64 deadline;
}

/// @notice All that a deal is, fixed at the match; its hash is the deal's id.
struct DealTerms {
    address requester;
    /// Gets back what is not spent: the requester, or a sponsor.
    address payer;
    address beneficiary;
    address callback;
    uint32 poolId;
    bytes32 app;
    address appOwner;
    uint128 appPrice;
    bytes32 dataset;
    address datasetOwner;
    uint128 datasetPrice;
    bytes32 params;
    uint128 unitPrice;
    uint32 tasks;
    uint32 trust;
    uint8 replicas;
    uint8 stakeRatio;
    uint8 schedulerRatio;
    uint16 category;
    bytes32 tag;
    uint64 maxTaskTime;
    uint64 deadline;
    bytes32 reqHash;
    /// Tasks of the request order that earlier deals took.
    uint32 filledBefore;
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
    uint128 runRoyalties;
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
    /// index * 2^16 + place of the task that changed it last.
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
    /// Earnings are left as stake, where they were earned.
    bool restake;

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

/// @notice A pool and its money. Amounts of what batches move are 96 bits: 7.9e10 whole tokens of 18
/// decimals, which the bond's limit enforces. What a pool holds and owes is 112 bits, 5.1e15 whole
/// tokens, which the deal that would exceed it finds out.
struct Pool {
    address signer;
    /// When the bond may leave; zero while no exit is asked for.
    uint40 exitAt;
    /// Deals opened so far; the next deal's slot.
    uint32 deals;
    /// 0 live, 1 abandoned (a duty was neglected), 2 convicted (a fraud was proven).
    uint8 state;

    address operator;
    /// When it stopped being live; zero before.
    uint40 deadAt;

    bytes32 nodeKey;

    /// Index of the newest finalized batch, zero for none; with `owed`, so that a claim reads one word.
    uint32 finalized;
    /// Payers' money of this pool's deals: unsettled, or refunded and not yet collected.
    uint112 locked;
    /// Finalized earnings of workers, owners and operator, not claimed yet.
    uint112 owed;

    /// Index of the newest committed batch, zero for none.
    uint32 head;
    /// payout + fees + royalties + slashed of pending batches; the bond caps it.
    uint96 pendingValue;
    /// Sum over pending batches of what each takes out of `locked`.
    uint96 pendingDraw;

    /// The operator's bond.
    uint128 bond;
    /// Sum of the stake records of this pool.
    uint128 staked;

    /// Sum of `slashed` over pending batches.
    uint128 pendingSlashed;
    /// Slashes finalized but not yet taken from stake records.
    uint128 unapplied;

    /// How much of `cumFees` the operator has collected.
    uint128 collected;

    /// Running hash of forced entries (PROTOCOL.md section 7).
    bytes32 inbox;
}

/// @notice What is kept of a deal; its terms are in its id.
struct Deal {
    /// Zero: there is no such deal.
    uint32 poolId;
    uint32 slot;
    /// Nothing can be returned any more.
    bool closed;
    /// Returned to the payer so far, in all.
    uint128 returned;
}

/// @notice What the owners of a deal's application and dataset have collected.
struct Royalties {
    uint128 app;
    uint128 dataset;
}

/// @notice The two halves of a batch's word: a state to prove against, and what goes with it.
struct Anchor {
    bytes32 stateRoot;
    /// keccak256(abi.encode(headerHash, committedAt, inbox)).
    bytes32 rest;
}

/// @notice A batch's word opened in full, where its time counts.
struct Opening {
    bytes32 stateRoot;
    bytes32 headerHash;
    uint64 committedAt;
    bytes32 inbox;
}

/// @notice One worker of a claim for many.
struct ClaimItem {
    uint32 workerIdx;
    WorkerAccount account;
    bytes32[] proof;
}

/// @notice An order's use by the account that answers for it.
struct OrderUse {
    /// Tasks taken.
    uint32 filled;
    bool presigned;
    bool cancelled;
    /// Token units a sponsor has paid of it.
    uint128 paid;
}
