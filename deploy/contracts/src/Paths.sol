// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title Climbing trees in proofs (common/PROTOCOL.md section 3).
/// @notice As Merkle.sol, for proofs of many leaves: one table of empty subtrees serves all of them,
/// and a leaf and what it becomes climb together. Depths are given by the caller, never by a proof.
library Paths {
    /// @notice Z[0] to Z[19], somewhere in memory: what a sibling of zero stands for at its level.
    type Empties is uint256;

    /// @notice Levels of the deepest tree.
    uint256 private constant LEVELS = 20;

    /// @notice Computes the table: twenty hashes, once per proof.
    function empties() internal pure returns (Empties table) {
        uint256 levels = LEVELS;
        assembly ("memory-safe") {
            table := mload(0x40)
            let end := add(table, shl(5, levels))
            mstore(0x40, end)
            let node := 0
            for { let at := table } lt(at, end) { at := add(at, 0x20) } {
                mstore(at, node)
                mstore(0x00, node)
                mstore(0x20, node)
                node := keccak256(0x00, 0x40)
            }
        }
    }

    /// @notice Z[height], for heights below the deepest tree's.
    function empty(Empties table, uint256 height) internal pure returns (bytes32 node) {
        assembly ("memory-safe") {
            node := mload(add(table, shl(5, height)))
        }
    }

    /// @notice The root that a leaf leads to, with siblings from calldata, lowest first.
    /// @param path Where the first sibling lies; the caller knows that there are `depth` of them.
    function climb(Empties table, bytes32 leaf, uint256 index, uint256 path, uint256 depth)
        internal
        pure
        returns (bytes32 node)
    {
        assembly ("memory-safe") {
            node := leaf
            index := shl(5, index)
            for { let end := add(path, shl(5, depth)) } lt(path, end) { path := add(path, 0x20) } {
                let sibling := calldataload(path)
                if iszero(sibling) { sibling := mload(table) }
                table := add(table, 0x20)
                let side := and(index, 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), sibling)
                node := keccak256(0x00, 0x40)
                index := shr(1, index)
            }
        }
    }

    /// @notice The roots that two leaves lead to from one place: a tree before and after a change.
    function climbBoth(
        Empties table,
        bytes32 leafBefore,
        bytes32 leafAfter,
        uint256 index,
        uint256 path,
        uint256 depth
    ) internal pure returns (bytes32 before, bytes32 later) {
        assembly ("memory-safe") {
            before := leafBefore
            later := leafAfter
            index := shl(5, index)
            for { let end := add(path, shl(5, depth)) } lt(path, end) { path := add(path, 0x20) } {
                let sibling := calldataload(path)
                if iszero(sibling) { sibling := mload(table) }
                table := add(table, 0x20)
                let side := and(index, 0x20)
                mstore(xor(side, 0x20), sibling)
                mstore(side, before)
                before := keccak256(0x00, 0x40)
                mstore(side, later)
                later := keccak256(0x00, 0x40)
                index := shr(1, index)
            }
        }
    }

    /// @notice As `climb`, with the path in memory.
    function climbMemory(Empties table, bytes32 leaf, uint256 index, bytes32[] memory path)
        internal
        pure
        returns (bytes32 node)
    {
        assembly ("memory-safe") {
            node := leaf
            index := shl(5, index)
            let end := add(add(path, 0x20), shl(5, mload(path)))
            for { path := add(path, 0x20) } lt(path, end) { path := add(path, 0x20) } {
                let sibling := mload(path)
                if iszero(sibling) { sibling := mload(table) }
                table := add(table, 0x20)
                let side := and(index, 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), sibling)
                node := keccak256(0x00, 0x40)
                index := shr(1, index)
            }
        }
    }

    /// @notice Root of a commit set's tree (depth 4) over the first `n` of `leaves`.
    /// @param leaves At most sixteen; the rest of the tree is empty.
    function setRoot(Empties table, bytes32[] memory leaves, uint256 n)
        internal
        pure
        returns (bytes32 node)
    {
        assembly ("memory-safe") {
            // Rows of shrinking length, one over the other, past the free memory pointer.
            let row := mload(0x40)
            mcopy(row, add(leaves, 0x20), shl(5, n))
            for { let height := 0 } lt(height, 4) { height := add(height, 1) } {
                // An odd row ends in an empty subtree.
                mstore(add(row, shl(5, n)), mload(add(table, shl(5, height))))
                n := shr(1, add(n, 1))
                for { let i := 0 } lt(i, n) { i := add(i, 1) } {
                    mstore(add(row, shl(5, i)), keccak256(add(row, shl(6, i)), 0x40))
                }
            }
            node := mload(row)
        }
    }
}
