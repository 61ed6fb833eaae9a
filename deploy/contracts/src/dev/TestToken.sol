// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title A token for development chains and tests; worth nothing anywhere.
/// @notice Plain ERC-20 with permit and a fixed supply: no owner, no minting after construction.
contract TestToken is ERC20, ERC20Permit {
    /// @notice A thousand million tokens of 18 decimals, enough that no test runs dry.
    uint256 public constant SUPPLY = 1_000_000_000 ether;

    /// @param holder Receives the whole supply.
    constructor(address holder)
        ERC20("Quorate Test Token", "QTT")
        ERC20Permit("Quorate Test Token")
    {
        _mint(holder, SUPPLY);
    }
}
