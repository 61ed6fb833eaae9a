// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @notice A list of ids, asked as ERC-734 asks.
contract Group {
    mapping(bytes32 key => mapping(uint256 purpose => bool)) public keyHasPurpose;

    function add(bytes32 key, uint256 purpose) external {
        keyHasPurpose[key][purpose] = true;
    }
}

/// @notice Answers in one of the ways that are no answer.
contract BrokenGroup {
    uint256 private immutable _way;

    constructor(uint256 way) {
        _way = way;
    }

    fallback() external {
        uint256 way = _way;
        assembly {
            if eq(way, 0) { revert(0, 0) }
            if eq(way, 1) { return(0, 0) }
            mstore(0, 2)
            mstore(0x20, 1)
            if eq(way, 2) { return(0, 0x20) } // a word that is neither true nor false
            return(0x20, 0x40) // two words
        }
    }
}
