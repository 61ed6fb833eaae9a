// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Campaign} from "./support/Campaign.sol";
import {OrderLaws} from "./support/OrderLaws.sol";
import {vm} from "./support/Vm.sol";

/// @notice Random worlds of orders; OrderLaws.sol says who does what in them and what must hold.
contract OrderInvariantsTest is Campaign {
    OrderLaws private laws;

    function setUp() public {
        laws = new OrderLaws();
        _handler = address(laws);
        _actions = [
            OrderLaws.give.selector,
            OrderLaws.take.selector,
            OrderLaws.open.selector,
            OrderLaws.open.selector,
            OrderLaws.open.selector,
            OrderLaws.cancel.selector
        ];
    }

    function invariant_laws_of_orders() public view {
        vm.assertEq(laws.broken(), "", "broken laws");
    }
}
