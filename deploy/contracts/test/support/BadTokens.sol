// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice Keeps one unit of every transfer for itself.
contract FeeToken is ERC20("Fee", "FEE") {
    constructor() {
        _mint(msg.sender, 1_000_000_000);
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
        _mint(msg.sender, 1_000_000_000);
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
        _mint(msg.sender, 1_000_000_000);
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

/// @notice A token that is honest until it is told to be something else.
contract HostileToken is ERC20("Hostile", "HST") {
    enum Mode {
        Honest,
        /// Fails without a word, or with far too many.
        Reverts,
        RevertsLong,
        /// Moves nothing, and says so, says something else, says half a word, or says that it did.
        ReturnsFalse,
        ReturnsGarbage,
        ReturnsShort,
        MovesNothing,
        /// Moves what it was asked to, and says nothing.
        ReturnsNothing,
        /// Moves less, or more.
        TakesFee,
        AddsMore,
        /// Refuses transfers to one account.
        Blocks
    }

    Mode public mode;
    address public blocked;

    constructor() {
        _mint(msg.sender, 1_000_000_000);
    }

    function become(Mode mode_, address blocked_) external {
        (mode, blocked) = (mode_, blocked_);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return act(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _spendAllowance(from, msg.sender, amount);
        return act(from, to, amount);
    }

    function act(address from, address to, uint256 amount) private returns (bool) {
        Mode now_ = mode;
        if (now_ == Mode.Reverts || (now_ == Mode.Blocks && to == blocked)) answer(false, 0, 0);
        if (now_ == Mode.RevertsLong) answer(false, 0, 50_000);
        if (now_ == Mode.ReturnsFalse) return false;
        if (now_ == Mode.ReturnsGarbage) answer(true, 2, 32);
        if (now_ == Mode.ReturnsShort) answer(true, type(uint256).max, 1);
        if (now_ == Mode.MovesNothing) return true;
        _transfer(from, to, amount);
        if (now_ == Mode.TakesFee) _burn(to, 1);
        if (now_ == Mode.AddsMore) _mint(to, 1);
        if (now_ == Mode.ReturnsNothing) answer(true, 0, 0);
        return true;
    }

    /// Ends the call with so many bytes.
    function answer(bool well, uint256 word, uint256 size) private pure {
        assembly {
            mstore(0, word)
            switch well
            case 1 { return(0, size) }
            default { revert(0, size) }
        }
    }
}
