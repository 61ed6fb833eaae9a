// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Paths} from "./Paths.sol";
import {DealAccount, TaskRec, Vote, WorkerAccount} from "./Types.sol";

/// @title Positional Merkle trees and their leaves (common/PROTOCOL.md section 3).
/// @notice One rule for all trees: node = keccak256(left ‖ right), the lowest bit of the index picks
/// the side at the lowest level, an empty leaf is zero. Depth is fixed by the tree's kind, never by
/// the proof, so that a short proof cannot pass an inner node for a leaf. Held to the Rust side by
/// common/vectors/merkle.json.
library Merkle {
    using Paths for Paths.Empties;

    /// @notice Depth of the state tree: workers in the lower half, deals in the upper.
    uint256 internal constant STATE_DEPTH = 20;
    /// @notice Depth of a batch's tree of task leaves.
    uint256 internal constant TASKS_DEPTH = 16;
    /// @notice Depth of a task's commit set tree, for at most 15 replicas.
    uint256 internal constant COMMIT_SET_DEPTH = 4;
    /// @notice Depth of a deal's settled bitmap, in 256-bit words.
    uint256 internal constant SETTLED_DEPTH = 8;
    /// @notice Root of the empty state tree, Z[20]. `zero(20)` says the same and costs 20 hashes.
    bytes32 internal constant EMPTY_STATE =
        0xc65e9645644786b620e2dd2ad648ddfcbf4a7e5b1a3a4ecfe7f64667a3f0b7e2;

    /// @notice A proof has as many hashes as its tree is deep. Of the state tree it may be shorter, but not
    /// empty.
    error ProofLengthMismatch(uint256 expected, uint256 actual);
    /// @notice A position lies below 2^depth.
    error IndexOutOfRange(uint256 index, uint256 limit);

    /// @notice The root that a leaf, its position and its path lead to.
    /// @param path Exactly `depth` sibling hashes, lowest first. Zero stands for the empty subtree of
    /// its height: no node is zero, and zero bytes cost a quarter.
    function root(bytes32 leaf, uint256 index, bytes32[] calldata path, uint256 depth)
        internal
        pure
        returns (bytes32 node)
    {
        if (path.length != depth) revert ProofLengthMismatch(depth, path.length);
        if (index >> depth != 0) revert IndexOutOfRange(index, uint256(1) << depth);
        uint256 at;
        assembly ("memory-safe") {
            at := path.offset
        }
        return Paths.empties().climb(leaf, index, at, depth);
    }

    /// @notice The root of the state tree that a leaf, its position and its proof lead to.
    ///
    /// A pool's workers are the low leaves of one half and its deals those of the other, so that a path
    /// is empty between what is used and the top. A proof may leave that out: of `n` hashes the first
    /// `n - 1` are the lowest siblings and the last is the topmost one, and every level between is an empty
    /// subtree. Whatever is left out, a leaf climbs all 20 levels: no inner node passes for one.
    /// @param proof 1 to 20 hashes. Zero stands for an empty subtree, as in `root`.
    function rootOfState(bytes32 leaf, uint256 position, bytes32[] calldata proof)
        internal
        pure
        returns (bytes32 node)
    {
        uint256 n = proof.length;
        if (n == 0 || n > STATE_DEPTH) revert ProofLengthMismatch(STATE_DEPTH, n);
        if (position >> STATE_DEPTH != 0) {
            revert IndexOutOfRange(position, uint256(1) << STATE_DEPTH);
        }
        uint256 at;
        assembly ("memory-safe") {
            at := proof.offset
        }
        return Paths.empties().climbShort(leaf, position, at, n, STATE_DEPTH);
    }

    /// @notice A batch's word, from the two halves of its anchor.
    function wordOf(bytes32 stateRoot, bytes32 rest) internal pure returns (bytes32) {
        return pair(stateRoot, rest);
    }

    /// @notice The half of an anchor that is not the state.
    function restOf(bytes32 headerHash, uint64 committedAt, bytes32 inbox)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(headerHash, committedAt, inbox));
    }

    /// @notice A pool's inbox after one more entry.
    function inboxAfter(bytes32 before, uint256 at, uint256 kind, bytes32 entry)
        internal
        pure
        returns (bytes32 later)
    {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, before)
            mstore(add(p, 0x20), at)
            mstore(add(p, 0x40), kind)
            mstore(add(p, 0x60), entry)
            later := keccak256(p, 0x80)
        }
    }

    /// @notice Root of an empty subtree of the given height, Z[height].
    function zero(uint256 height) internal pure returns (bytes32 node) {
        for (uint256 i = 0; i < height; i++) {
            node = pair(node, node);
        }
    }

    /// @notice keccak256 of 64 bytes, in scratch space: it is the hot loop of every proof.
    function pair(bytes32 left, bytes32 right) internal pure returns (bytes32 node) {
        assembly ("memory-safe") {
            mstore(0x00, left)
            mstore(0x20, right)
            node := keccak256(0x00, 0x40)
        }
    }

    /// @notice Leaf of a frame tree.
    function frameLeaf(bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(structHash));
    }

    /// @notice Leaf of a commit set tree.
    function commitLeaf(uint32 workerIdx, bytes32 commitment) internal pure returns (bytes32) {
        return keccak256(abi.encode(workerIdx, commitment));
    }

    /// @notice Leaf of a batch's tree of tasks.
    function taskLeaf(TaskRec calldata rec) internal pure returns (bytes32) {
        return keccak256(abi.encode(uint8(1), rec));
    }

    // Accounts are hashed as they lie in calldata: stray bits in a word make another leaf, which no
    // step of a pool leads to.

    /// @notice Leaf of a worker in the state tree.
    function workerLeaf(WorkerAccount calldata account) internal pure returns (bytes32 leaf) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, 0)
            calldatacopy(add(p, 0x20), account, 0xc0) // 6 words
            leaf := keccak256(p, 0xe0)
        }
    }

    /// @notice Leaf of a deal in the state tree.
    function dealLeaf(DealAccount calldata account) internal pure returns (bytes32 leaf) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, 2)
            calldatacopy(add(p, 0x20), account, 0xa0) // 5 words
            leaf := keccak256(p, 0xc0)
        }
    }

    /// @notice All votes of a task and the commit sets they were frozen in.
    function votesHash(bytes32[] calldata sets, Vote[] calldata votes)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(sets, votes));
    }
}
