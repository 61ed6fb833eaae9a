// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Benches} from "./court/Benches.sol";
import {World} from "./court/World.sol";
import {vm} from "./support/Vm.sol";

contract CourtStepsTest is World {
    function test_honest() public {
        Batch memory b = _play(_mixed(0));
        _commit(b);
        for (uint256 i = 0; i < 4; i++) {
            vm.expectRevert(bytes4(keccak256("NoFraud()")));
            Benches(stepBench).step(_step(b, i));
        }
    }
}
