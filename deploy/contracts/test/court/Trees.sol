// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Merkle} from "../../src/Merkle.sol";

/// @notice Small trees in memory, built the plain way: every layer, from the leaves up.
library Trees {
    /// @notice All layers; `layers[0]` are the leaves, the last one holds the root.
    function layers(bytes32[] memory leaves, uint256 depth)
        internal
        pure
        returns (bytes32[][] memory all)
    {
        all = new bytes32[][](depth + 1);
        all[0] = leaves;
        bytes32 empty;
        for (uint256 h = 0; h < depth; h++) {
            all[h + 1] = _above(all[h], empty);
            empty = Merkle.pair(empty, empty);
        }
        if (all[depth].length == 0) {
            all[depth] = new bytes32[](1);
            all[depth][0] = empty;
        }
    }

    function root(bytes32[] memory leaves, uint256 depth) internal pure returns (bytes32) {
        return layers(leaves, depth)[depth][0];
    }

    /// @notice The path of a leaf; a sibling with nothing below it is zero.
    function path(bytes32[] memory leaves, uint256 index, uint256 depth)
        internal
        pure
        returns (bytes32[] memory siblings)
    {
        bytes32[][] memory all = layers(leaves, depth);
        siblings = new bytes32[](depth);
        for (uint256 h = 0; h < depth; h++) {
            uint256 sibling = (index >> h) ^ 1;
            if (sibling < all[h].length) siblings[h] = all[h][sibling];
        }
    }

    /// @notice The same path with every empty subtree as zero.
    function compact(bytes32[] memory siblings) internal pure returns (bytes32[] memory) {
        bytes32 empty;
        for (uint256 h = 0; h < siblings.length; h++) {
            if (siblings[h] == empty) siblings[h] = 0;
            empty = Merkle.pair(empty, empty);
        }
        return siblings;
    }

    function _above(bytes32[] memory row, bytes32 empty)
        private
        pure
        returns (bytes32[] memory above)
    {
        above = new bytes32[]((row.length + 1) / 2);
        for (uint256 i = 0; i < above.length; i++) {
            bytes32 right = 2 * i + 1 < row.length ? row[2 * i + 1] : empty;
            above[i] = Merkle.pair(row[2 * i], right);
        }
    }
}
