// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @notice Takes a result (EIP-1154).
contract Consumer {
    bytes32 public id;
    bytes public result;

    function receiveResult(bytes32 id_, bytes calldata result_) external {
        (id, result) = (id_, result_);
    }
}

/// @notice Reverts with a lot of data, or burns all the gas it is given.
contract BrokenConsumer {
    uint256 private immutable _way;

    constructor(uint256 way) {
        _way = way;
    }

    function receiveResult(bytes32, bytes calldata) external view {
        uint256 way = _way;
        assembly {
            if eq(way, 0) { revert(0, 50000) }
            for {} 1 {} {}
        }
    }
}
