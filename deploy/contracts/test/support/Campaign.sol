// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @notice A campaign: random calls of one handler's actions, and all laws asked after each.
/// @dev Forge runs a campaign of its own for each public `invariant_*` function of a test: the same
/// worlds many times over. So a test has one such function, and the laws, `invariant_*` functions too,
/// are internal to another contract, which answers with the names of those that are broken.
abstract contract Campaign {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    address internal _handler;
    bytes4[] internal _actions;

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = _handler;
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(_handler, _actions);
    }
}
