// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Campaign} from "./support/Campaign.sol";
import {Handler} from "./support/Handler.sol";
import {Laws} from "./support/Laws.sol";
import {vm} from "./support/Vm.sol";

/// @notice Random worlds of two pools; Handler.sol says who does what in them, Laws.sol what must hold.
contract InvariantsTest is Campaign {
    Laws private laws;

    function setUp() public {
        laws = new Laws();
        _handler = address(laws);
        _actions = [
            Handler.deposit.selector,
            Handler.withdraw.selector,
            Handler.stake.selector,
            Handler.exit.selector,
            Handler.unstake.selector,
            Handler.openDeal.selector,
            Handler.openDeal.selector,
            Handler.work.selector,
            Handler.work.selector,
            Handler.work.selector,
            Handler.lie.selector,
            Handler.finalize.selector,
            Handler.finalize.selector,
            Handler.claim.selector,
            Handler.claimFromLiar.selector,
            Handler.refund.selector,
            Handler.refund.selector,
            Handler.refundFromLiar.selector,
            Handler.restake.selector,
            Handler.convict.selector,
            Handler.die.selector,
            Handler.collectFees.selector,
            Handler.collectFees.selector,
            Handler.claimRoyalties.selector,
            Handler.rewrite.selector,
            Handler.force.selector,
            Handler.standBy.selector,
            Handler.post.selector,
            Handler.meddle.selector,
            Handler.wait.selector
        ];
    }

    function invariant_laws_of_money() public view {
        vm.assertEq(laws.broken(), "", "broken laws");
    }

    /// The last law, invariant_everybody_gets_what_is_due, is asked here and in each honest call.
    function afterInvariant() public {
        laws.windDown();
    }
}
