// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title Climbing trees in proofs (common/PROTOCOL.md section 3).
/// @notice For Merkle.sol and for proofs of many leaves: one table of empty subtrees serves all of them,
/// and a leaf and what it becomes climb together. Depths are given by the caller, never by a proof.
library Paths {
    /// @notice Z[0] to Z[19], somewhere in memory: what a sibling of zero stands for at its level.
    type Empties is uint256;

    /// @notice Writes the table, once per proof. Its hashes are constants: to compute them takes five
    /// times the gas (`test_the_table_of_empty_subtrees` does).
    function empties() internal pure returns (Empties table) {
        assembly ("memory-safe") {
            table := mload(0x40)
            mstore(0x40, add(table, 0x280))
            mstore(table, 0)
            let t := table // Z[height] is 32 * height from here
            mstore(add(t, 32), 0xad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5)
            mstore(add(t, 64), 0xb4c11951957c6f8f642c4af61cd6b24640fec6dc7fc607ee8206a99e92410d30)
            mstore(add(t, 96), 0x21ddb9a356815c3fac1026b6dec5df3124afbadb485c9ba5a3e3398a04b7ba85)
            mstore(add(t, 128), 0xe58769b32a1beaf1ea27375a44095a0d1fb664ce2dd358e7fcbfb78c26a19344)
            mstore(add(t, 160), 0x0eb01ebfc9ed27500cd4dfc979272d1f0913cc9f66540d7e8005811109e1cf2d)
            mstore(add(t, 192), 0x887c22bd8750d34016ac3c66b5ff102dacdd73f6b014e710b51e8022af9a1968)
            mstore(add(t, 224), 0xffd70157e48063fc33c97a050f7f640233bf646cc98d9524c6b92bcf3ab56f83)
            mstore(add(t, 256), 0x9867cc5f7f196b93bae1e27e6320742445d290f2263827498b54fec539f756af)
            mstore(add(t, 288), 0xcefad4e508c098b9a7e1d8feb19955fb02ba9675585078710969d3440f5054e0)
            mstore(add(t, 320), 0xf9dc3e7fe016e050eff260334f18a5d4fe391d82092319f5964f2e2eb7c1c3a5)
            mstore(add(t, 352), 0xf8b13a49e282f609c317a833fb8d976d11517c571d1221a265d25af778ecf892)
            mstore(add(t, 384), 0x3490c6ceeb450aecdc82e28293031d10c7d73bf85e57bf041a97360aa2c5d99c)
            mstore(add(t, 416), 0xc1df82d9c4b87413eae2ef048f94b4d3554cea73d92b0f7af96e0271c691e2bb)
            mstore(add(t, 448), 0x5c67add7c6caf302256adedf7ab114da0acfe870d449a3a489f781d659e8becc)
            mstore(add(t, 480), 0xda7bce9f4e8618b6bd2f4132ce798cdc7a60e7e1460a7299e3c6342a579626d2)
            mstore(add(t, 512), 0x2733e50f526ec2fa19a22b31e8ed50f23cd1fdf94c9154ed3a7609a2f1ff981f)
            mstore(add(t, 544), 0xe1d3b5c807b281e4683cc6d6315cf95b9ade8641defcb32372f1c126e398ef7a)
            mstore(add(t, 576), 0x5a2dce0a8a7f68bb74560f8f71837c2c2ebbcbf7fffb42ae1896f13f7c7479a0)
            mstore(add(t, 608), 0xb46a28b6f55540f89444f63de0378e3d121be09e06cc9ded1c20e65876d36aa0)
        }
    }

    /// @notice Z[height], for heights below the deepest tree's.
    function empty(Empties table, uint256 height) internal pure returns (bytes32 node) {
        assembly ("memory-safe") {
            node := mload(add(table, shl(5, height)))
        }
    }

    // Climbing is most of what a proof costs, and a loop's own steps a quarter of that: hence four
    // levels in a round (two where two leaves climb: the stack is short), after those that this does not
    // divide. A sibling is chosen without a jump.

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
            let end := add(path, shl(5, depth))
            for { let few := add(path, shl(5, and(depth, 3))) } lt(path, few) {
                path := add(path, 0x20)
            } {
                let sibling := calldataload(path)
                sibling := or(sibling, mul(iszero(sibling), mload(table)))
                let side := and(index, 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), sibling)
                node := keccak256(0x00, 0x40)
                index := shr(1, index)
                table := add(table, 0x20)
            }
            for {} lt(path, end) { path := add(path, 0x80) } {
                let sibling := calldataload(path)
                sibling := or(sibling, mul(iszero(sibling), mload(table)))
                let side := and(index, 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), sibling)
                node := keccak256(0x00, 0x40)

                sibling := calldataload(add(path, 0x20))
                sibling := or(sibling, mul(iszero(sibling), mload(add(table, 0x20))))
                side := and(shr(1, index), 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), sibling)
                node := keccak256(0x00, 0x40)

                sibling := calldataload(add(path, 0x40))
                sibling := or(sibling, mul(iszero(sibling), mload(add(table, 0x40))))
                side := and(shr(2, index), 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), sibling)
                node := keccak256(0x00, 0x40)

                sibling := calldataload(add(path, 0x60))
                sibling := or(sibling, mul(iszero(sibling), mload(add(table, 0x60))))
                side := and(shr(3, index), 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), sibling)
                node := keccak256(0x00, 0x40)
                index := shr(4, index)
                table := add(table, 0x80)
            }
        }
    }

    /// @notice As `climb`, where a path is empty from its `length`th sibling up to the topmost one, which
    /// comes last.
    /// @param length Siblings from calldata, 1 to `depth`.
    function climbShort(
        Empties table,
        bytes32 leaf,
        uint256 index,
        uint256 path,
        uint256 length,
        uint256 depth
    ) internal pure returns (bytes32 node) {
        assembly ("memory-safe") {
            node := leaf
            index := shl(5, index)
            let last := add(path, shl(5, sub(length, 1)))
            let top := add(table, shl(5, sub(depth, 1)))
            for {} lt(path, last) { path := add(path, 0x20) } {
                let sibling := calldataload(path)
                sibling := or(sibling, mul(iszero(sibling), mload(table)))
                let side := and(index, 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), sibling)
                node := keccak256(0x00, 0x40)
                index := shr(1, index)
                table := add(table, 0x20)
            }
            // The gap is most of a pool's path: two of its levels in a round, after an odd one.
            if and(sub(top, table), 0x20) {
                let side := and(index, 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), mload(table))
                node := keccak256(0x00, 0x40)
                index := shr(1, index)
                table := add(table, 0x20)
            }
            for {} lt(table, top) { table := add(table, 0x40) } {
                let side := and(index, 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), mload(table))
                node := keccak256(0x00, 0x40)

                side := and(shr(1, index), 0x20)
                mstore(side, node)
                mstore(xor(side, 0x20), mload(add(table, 0x20)))
                node := keccak256(0x00, 0x40)
                index := shr(2, index)
            }
            let sibling := calldataload(last)
            sibling := or(sibling, mul(iszero(sibling), mload(top)))
            let side := and(index, 0x20)
            mstore(side, node)
            mstore(xor(side, 0x20), sibling)
            node := keccak256(0x00, 0x40)
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
            let end := add(path, shl(5, depth))
            if and(depth, 1) {
                let sibling := calldataload(path)
                sibling := or(sibling, mul(iszero(sibling), mload(table)))
                let side := and(index, 0x20)
                mstore(xor(side, 0x20), sibling)
                mstore(side, before)
                before := keccak256(0x00, 0x40)
                mstore(side, later)
                later := keccak256(0x00, 0x40)
                index := shr(1, index)
                table := add(table, 0x20)
                path := add(path, 0x20)
            }
            for {} lt(path, end) { path := add(path, 0x40) } {
                let sibling := calldataload(path)
                sibling := or(sibling, mul(iszero(sibling), mload(table)))
                let side := and(index, 0x20)
                mstore(xor(side, 0x20), sibling)
                mstore(side, before)
                before := keccak256(0x00, 0x40)
                mstore(side, later)
                later := keccak256(0x00, 0x40)

                sibling := calldataload(add(path, 0x20))
                sibling := or(sibling, mul(iszero(sibling), mload(add(table, 0x20))))
                side := and(shr(1, index), 0x20)
                mstore(xor(side, 0x20), sibling)
                mstore(side, before)
                before := keccak256(0x00, 0x40)
                mstore(side, later)
                later := keccak256(0x00, 0x40)
                index := shr(2, index)
                table := add(table, 0x40)
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
