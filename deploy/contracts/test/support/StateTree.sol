// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Merkle} from "../../src/Merkle.sol";

/// @notice Depth-20 state trees, every version of them: nodes are kept by their hash, so an old
/// root still gives its paths. Test side only: the contract never builds a tree.
contract StateTree {
    uint256 internal constant DEPTH = Merkle.STATE_DEPTH;

    struct Node {
        bytes32 left;
        bytes32 right;
    }

    mapping(bytes32 node => Node) private _nodes;

    constructor() {
        bytes32 node;
        for (uint256 i = 0; i < DEPTH; i++) {
            node = _keep(node, node);
        }
    }

    /// @notice The root after the leaf at `position` has become `leaf`.
    function put(bytes32 root, uint256 position, bytes32 leaf) external returns (bytes32 node) {
        bytes32[] memory siblings = path(root, position);
        node = leaf;
        for (uint256 i = 0; i < DEPTH; i++) {
            node = (position >> i) & 1 == 0 ? _keep(node, siblings[i]) : _keep(siblings[i], node);
        }
    }

    /// @notice As `path`, as people send it: zero for every empty subtree, and what is empty below the
    /// topmost sibling left out.
    function shortPath(bytes32 root, uint256 position)
        external
        view
        returns (bytes32[] memory siblings)
    {
        siblings = path(root, position);
        bytes32 empty;
        uint256 used;
        for (uint256 i = 0; i < DEPTH; i++) {
            if (siblings[i] == empty) siblings[i] = 0;
            else if (i < DEPTH - 1) used = i + 1;
            empty = Merkle.pair(empty, empty);
        }
        siblings[used] = siblings[DEPTH - 1];
        assembly ("memory-safe") {
            mstore(siblings, add(used, 1))
        }
    }

    /// @notice The proof for `position` under `root`, lowest first.
    function path(bytes32 root, uint256 position) public view returns (bytes32[] memory siblings) {
        siblings = new bytes32[](DEPTH);
        for (uint256 i = DEPTH; i > 0; i--) {
            Node memory node = _nodes[root];
            bool right = (position >> (i - 1)) & 1 == 1;
            siblings[i - 1] = right ? node.left : node.right;
            root = right ? node.right : node.left;
        }
    }

    /// @notice The leaf at `position` under `root`.
    function leafAt(bytes32 root, uint256 position) external view returns (bytes32) {
        for (uint256 i = DEPTH; i > 0; i--) {
            Node storage node = _nodes[root];
            root = (position >> (i - 1)) & 1 == 1 ? node.right : node.left;
        }
        return root;
    }

    function _keep(bytes32 left, bytes32 right) private returns (bytes32 node) {
        node = Merkle.pair(left, right);
        _nodes[node] = Node(left, right);
    }
}
