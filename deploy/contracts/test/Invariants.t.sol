// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Handler} from "./support/Handler.sol";

/// @notice Random worlds, checked after every step; Handler.sol says who does what in them.
contract InvariantsTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Handler private handler;

    function setUp() public {
        handler = new Handler();
    }

    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_money_equation() public view {
        handler.checkEquation();
        handler.checkCovered();
        handler.checkReserved();
    }

    function afterInvariant() public {
        handler.windDown();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory all = new bytes4[](18);
        all[0] = Handler.deposit.selector;
        all[1] = Handler.withdraw.selector;
        all[2] = Handler.stake.selector;
        all[3] = Handler.exit.selector;
        all[4] = Handler.unstake.selector;
        all[5] = Handler.openDeal.selector;
        all[6] = Handler.work.selector;
        all[7] = Handler.lie.selector;
        all[8] = Handler.finalize.selector;
        all[9] = Handler.claim.selector;
        all[10] = Handler.claimFromLiar.selector;
        all[11] = Handler.refund.selector;
        all[12] = Handler.refundFromLiar.selector;
        all[13] = Handler.restake.selector;
        all[14] = Handler.convict.selector;
        all[15] = Handler.die.selector;
        all[16] = Handler.collectFees.selector;
        all[17] = Handler.claimRoyalties.selector;
        targets = new FuzzSelector[](2);
        targets[0] = FuzzSelector(address(handler), all);
        targets[1] = FuzzSelector(address(handler), new bytes4[](1));
        targets[1].selectors[0] = Handler.wait.selector;
    }
}
