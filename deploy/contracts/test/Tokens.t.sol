// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {Anchor, WorkerAccount} from "../src/Types.sol";
import {CallbackToken, FalseToken, FeeToken} from "./support/BadTokens.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice Tokens that take fees, call back, or answer false.
contract TokensTest is Fixture {
    /// The pool of the token under test.
    Grid private last;

    function test_a_fee_on_transfer_is_refused() public {
        FeeToken fee = new FeeToken();
        ISettlement s = deploy(address(fee), WINDOW);
        fee.approve(address(s), 100);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TransferMismatch.selector, 100, 99));
        s.deposit(100);
    }

    function test_a_token_that_answers_false_is_refused() public {
        FalseToken no = new FalseToken();
        ISettlement s = deploy(address(no), WINDOW);
        no.approve(address(s), 100);
        s.deposit(60);
        no.refuse();
        bytes memory refusal =
            abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(no));
        vm.expectRevert(refusal);
        s.deposit(40);
        vm.expectRevert(refusal);
        s.withdraw(60);
        vm.assertEq(s.freeOf(address(this)), 60, "nothing changed");
    }

    function test_no_token_call_gets_back_in() public {
        CallbackToken evil = new CallbackToken();
        settlement = deploy(address(evil), WINDOW);
        evil.approve(address(settlement), 1000);
        bytes[5] memory calls = [
            abi.encodeCall(ISettlement.withdraw, (1)),
            abi.encodeCall(ISettlement.deposit, (1)),
            abi.encodeCall(ISettlement.depositFor, (stranger, 1)),
            abi.encodeCall(
                ISettlement.depositWithPermit, (address(this), 1, type(uint256).max, 27, 0, 0)
            ),
            claimCall()
        ];
        for (uint256 i = 0; i < calls.length; i++) {
            evil.arm(address(settlement), calls[i]);
            settlement.deposit(100);
            checkRefused(evil);
            evil.arm(address(settlement), calls[i]);
            settlement.withdraw(50);
            checkRefused(evil);
        }
        vm.assertEq(settlement.freeOf(address(this)), 250, "free");
        vm.assertEq(evil.balanceOf(address(settlement)), 250, "held");
    }

    function test_a_claim_paid_in_an_evil_token_pays_once() public {
        CallbackToken evil = new CallbackToken();
        (WorkerAccount memory account, bytes32[] memory path) = earn400(evil);
        evil.arm(
            address(settlement),
            abi.encodeCall(ISettlement.claim, (1, 1, account, path, 1, last.anchorAt(1)))
        );
        vm.assertEq(settlement.claim(1, 1, account, path, 1, last.anchorAt(1)), 400, "paid");
        checkRefused(evil);
        vm.assertEq(evil.balanceOf(owner), 400, "once");
        vm.assertEq(settlement.poolOf(1).owed, 100, "owed");
    }

    /// An owner on the token's block list must not keep slashes from being applied.
    function test_a_claim_the_token_refuses_is_kept_for_the_owner() public {
        FalseToken no = new FalseToken();
        (WorkerAccount memory account, bytes32[] memory path) = earn400(no);
        no.refuse();
        Anchor memory anchor = last.anchorAt(1);
        vm.expectEmit(address(settlement));
        emit ISettlement.PayoutKept(owner, 400);
        vm.assertEq(settlement.claim(1, 1, account, path, 1, anchor), 400, "counted");
        vm.assertEq(settlement.freeOf(owner), 400, "kept");
        vm.assertEq(settlement.poolOf(1).owed, 100, "owed");
    }

    /// A settlement in `unit` where worker 1 has 400 to claim from pool 1, out of the stake that a
    /// tampered batch took from worker 2.
    function earn400(IERC20 unit)
        private
        returns (WorkerAccount memory account, bytes32[] memory path)
    {
        settlement = deploy(address(unit), WINDOW);
        unit.approve(address(settlement), 100_000);
        settlement.deposit(100_000);
        settlement.registerPool(signer, "node", 50_000);
        Grid grid = gridOf(1, SIGNER_KEY);
        last = grid;
        newWorker(0);
        settlement.stake(1, newWorker(address(this), VOTE_KEY + 1), 500);
        account.owner = owner;
        account.voteKey = vm.addr(VOTE_KEY);
        account.cumEarned = 400;
        grid.forgeWorker(1, account);
        grid.tamper(500, 0, 500);
        grid.commit();
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(1);
        return grid.workerProof(1, 1);
    }

    function checkRefused(CallbackToken evil) private view {
        vm.assertFalse(evil.done(), "the call back failed");
        vm.assertEq(
            bytes32(evil.answer()),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "because of the guard"
        );
    }

    function claimCall() private pure returns (bytes memory) {
        WorkerAccount memory account;
        return
            abi.encodeCall(ISettlement.claim, (1, 1, account, new bytes32[](20), 1, Anchor(0, 0)));
    }
}
