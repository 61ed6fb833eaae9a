// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice Keeps one unit of every transfer for itself.
contract FeeToken is ERC20("Fee", "FEE") {
    constructor() {
        _mint(msg.sender, 1_000_000);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0) && to != address(0)) super._update(to, address(this), 1);
    }
}

/// @notice Calls whoever it is told to in the middle of a transfer, and remembers the answer.
contract CallbackToken is ERC20("Callback", "CBK") {
    address public target;
    bytes public call;
    bytes public answer;
    bool public done;

    constructor() {
        _mint(msg.sender, 1_000_000);
    }

    function arm(address target_, bytes calldata call_) external {
        (target, call) = (target_, call_);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (target == address(0)) return;
        address once = target;
        target = address(0);
        (done, answer) = once.call(call);
    }
}

/// @notice Refuses, by answering false, every transfer once it is told to.
contract FalseToken is ERC20("False", "FLS") {
    bool public refusing;

    constructor() {
        _mint(msg.sender, 1_000_000);
    }

    function refuse() external {
        refusing = true;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return !refusing && super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return !refusing && super.transferFrom(from, to, amount);
    }
}
