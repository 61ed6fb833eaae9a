// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ISettlement} from "../../src/ISettlement.sol";

/// @notice A contract account that accepts one signature of its own making (ERC-1271).
contract Wallet {
    bytes4 private constant VALID = 0x1626ba7e;
    bytes32 private _accepted;

    constructor(IERC20 token, ISettlement settlement) {
        token.approve(address(settlement), type(uint256).max);
    }

    function accept(bytes32 digest, bytes calldata sig) external {
        _accepted = keccak256(abi.encode(digest, sig));
    }

    function deposit(ISettlement settlement, uint128 amount) external {
        settlement.deposit(amount);
    }

    function isValidSignature(bytes32 digest, bytes calldata sig) external view returns (bytes4) {
        return keccak256(abi.encode(digest, sig)) == _accepted ? VALID : bytes4(0);
    }
}
