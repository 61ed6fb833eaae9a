// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ISettlement} from "../../src/ISettlement.sol";

/// @notice A contract account that accepts signatures of its own making (ERC-1271).
contract Wallet {
    error Broken();

    bytes4 private constant VALID = 0x1626ba7e;
    mapping(bytes32 accepted => bool) private _accepted;
    bool private _failing;

    constructor(IERC20 token, ISettlement settlement) {
        token.approve(address(settlement), type(uint256).max);
    }

    function accept(bytes32 digest, bytes calldata sig) external {
        _accepted[keccak256(abi.encode(digest, sig))] = true;
    }

    function fail(bool failing) external {
        _failing = failing;
    }

    function deposit(ISettlement settlement, uint128 amount) external {
        settlement.deposit(amount);
    }

    function isValidSignature(bytes32 digest, bytes calldata sig) external view returns (bytes4) {
        if (_failing) revert Broken();
        return _accepted[keccak256(abi.encode(digest, sig))] ? VALID : bytes4(0);
    }
}
