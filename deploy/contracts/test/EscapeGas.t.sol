// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {SetVote, SignedSet, Unsettled, Voter} from "../src/court/Proofs.sol";
import {Leftover} from "./court/Leftover.sol";
import {vm} from "./support/Vm.sol";

/// @notice What it costs to settle what a dead pool left, as transactions of their own, in a pool as
/// CourtGas has it: a thousand workers, a hundred deals, frames of 256 messages.
/// forge-config: default.isolate = true
contract EscapeGasTest is Leftover {
    string private constant GROUP = "court";
    uint256 private _three;

    function setUp() public override {
        frameDepth = 8;
        super.setUp();
        for (uint32 at = 10; at < 1024; at = at < 16 ? 16 : at * 2) {
            state = tree.put(state, at, keccak256(abi.encode(at)));
        }
        for (uint32 at = 2; at < 128; at *= 2) {
            state = tree.put(state, DEALS + at, keccak256(abi.encode(DEALS + at)));
        }
        _finalize(_play(_plans(_agreed(100, 7))));
        _three = _newDeal(3, 5);
        // Winners have free balances from before.
        for (uint256 i = 1; i <= 9; i++) {
            _fund(_ownerOf(i), 1);
        }
        vm.prank(address(escape));
        settlement.abandon(poolId);
    }

    function test_gas_of_three() public {
        _measure("3", _three, 3);
    }

    function test_gas_of_seven() public {
        _measure("7", 0, 7);
    }

    function _measure(string memory name, uint256 deal, uint256 k) private {
        Plan memory plan = _agreed(LEFT, k);
        plan.deal = deal;
        Task memory t = _cast(plan);
        (SignedSet memory signed, SetVote[] memory votes) = (_signed(_setOf(t, 0)), _votesOf(t, 0));
        escape.show(t.terms, LEFT, signed, votes);
        vm.snapshotGasLastCall(GROUP, string.concat("Escape.show, k = ", name));
        vm.warp(block.timestamp + WINDOW + 3 days + 1);
        (Unsettled memory task, Voter[] memory voters) =
            (_taskOf(deal, LEFT), _votersOf(_idOf(deal, LEFT)));
        escape.settle(task, voters);
        vm.snapshotGasLastCall(GROUP, string.concat("Escape.settle, k = ", name));
    }
}
