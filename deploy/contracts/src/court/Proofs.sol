// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {
    Anchor,
    CommitSet,
    DealAccount,
    DealTerms,
    Header,
    TaskRec,
    Vote,
    WorkerAccount
} from "../Types.sol";

// What proofs are made of. All but a few parts are structs of fixed size: in calldata they cost no
// offsets and no lengths. A sibling of zero stands for the empty subtree of its height.

/// @notice A committed batch, opened in full.
struct Filing {
    Header header;
    /// The block's time when it was committed.
    uint64 committedAt;
    /// The pool's inbox then.
    bytes32 inbox;
}

/// @notice A task of a batch.
struct Leaf {
    uint32 place;
    TaskRec rec;
    bytes32[16] path;
}

/// @notice A message's place in a signed frame.
struct FrameProof {
    uint32 index;
    uint32 count;
    bytes32[] path;
    bytes32 r;
    bytes32 vs;
}

/// @notice A commit set as its scheduler signed it.
struct SignedSet {
    CommitSet set;
    FrameProof proof;
}

/// @notice A voter's account before the task, all zero if the pool never touched it.
struct Voter {
    WorkerAccount account;
    /// Against the tree after the voters before this one were changed.
    bytes32[20] path;
}

/// @notice The deal's account before the task, all zero if no task of it was settled.
struct DealBefore {
    DealAccount account;
    /// Against the tree after all voters were changed.
    bytes32[20] path;
    /// The word of the settled bitmap that the task's bit is in.
    uint256 word;
    bytes32[8] wordPath;
}

/// @notice One task, and all that its step starts from.
struct Step {
    Filing filing;
    Leaf leaf;
    DealTerms terms;
    DealBefore deal;
    /// The record of the task before; none at place 0.
    TaskRec[] before;
    /// At a later place, the path of the task before up to where it meets the task's own. At place
    /// 0, the two halves of the word of the batch before; none in batch 1.
    bytes32[] link;
    Voter[] voters;
    /// abi.encode(bytes32[] sets, Vote[] votes).
    bytes votes;
}

/// @notice An entry of a pool's inbox.
struct Entry {
    uint64 at;
    uint8 kind;
    bytes32 hash;
}

/// @notice A task that the newest final state does not know as settled.
struct Unsettled {
    DealTerms terms;
    uint32 taskIdx;
    /// Of the newest final batch; not looked at while there is none.
    Anchor anchor;
    /// Against that state.
    DealBefore deal;
}

/// @notice A revealed vote, and its commitment's place in the set that it was revealed for.
struct SetVote {
    Vote vote;
    uint8 place;
    bytes32[4] path;
}
