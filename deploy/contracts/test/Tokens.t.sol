// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {IMarket} from "../src/IMarket.sol";
import {Anchor, ClaimItem, DealAccount, Opening, WorkerAccount} from "../src/Types.sol";
import {TestToken} from "../src/dev/TestToken.sol";
import {CallbackToken, FalseToken, FeeToken, HostileToken} from "./support/BadTokens.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice Tokens that take fees, call back, refuse, lie, or say nothing: by every way that tokens move.
/// A token that moves money and says it did not is a thief among its own holders, and not looked at.
contract TokensTest is Fixture {
    uint128 private constant BOND = 50_000;
    /// Half of what a task's two winners share: the price and a loser's stake less the scheduler's 1 %.
    uint128 private constant EARNED = 643;
    address private constant BURNT = address(0xdEaD);
    address private constant other = address(0x04E2);

    bytes32 private deal;
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

    // ---- every way in and out, in every kind of bad token ----

    function test_a_token_that_does_not_deliver_lets_nothing_in() public {
        HostileToken.Mode[8] memory modes = [
            HostileToken.Mode.Reverts,
            HostileToken.Mode.RevertsLong,
            HostileToken.Mode.ReturnsFalse,
            HostileToken.Mode.ReturnsGarbage,
            HostileToken.Mode.ReturnsShort,
            HostileToken.Mode.MovesNothing,
            HostileToken.Mode.TakesFee,
            HostileToken.Mode.AddsMore
        ];
        HostileToken bad = scene();
        for (uint256 i = 0; i < modes.length; i++) {
            bad.become(modes[i], address(0));
            for (uint256 way = 0; way < 4; way++) {
                vm.assertFalse(comesIn(way), "refused");
                checkBooks();
            }
        }
        bad.become(HostileToken.Mode.Honest, address(0));
        for (uint256 way = 0; way < 4; way++) {
            vm.assertTrue(comesIn(way), "taken");
            checkBooks();
        }
    }

    function test_a_token_that_says_nothing_is_as_good_as_any() public {
        HostileToken quiet = scene();
        quiet.become(HostileToken.Mode.ReturnsNothing, address(0));
        for (uint256 way = 0; way < 4; way++) {
            vm.assertTrue(comesIn(way), "in");
            checkBooks();
        }
        for (uint256 way = 0; way < 4; way++) {
            vm.assertTrue(goesOut(way), "out");
            checkBooks();
        }
        vm.assertEq(quiet.balanceOf(owner), EARNED, "claimed");
        vm.assertEq(quiet.balanceOf(other), EARNED, "claimed with others");
        vm.assertEq(settlement.freeOf(BURNT), BOND / 2, "burnt");
    }

    function test_what_a_token_will_not_send_stays_where_it_is() public {
        HostileToken.Mode[6] memory modes = refusals();
        for (uint256 i = 0; i < modes.length; i++) {
            HostileToken bad = scene();
            bad.become(modes[i], stranger);
            vm.assertFalse(goesOut(0), "withdraw fails");
            vm.assertEq(settlement.freeOf(stranger), 1000, "free");
            checkBooks();
        }
    }

    /// Claims do not fail for the token's sake, what it refuses is kept; a conviction asks no token.
    function test_what_a_token_will_not_pay_is_kept() public {
        HostileToken.Mode[6] memory modes = refusals();
        address[3] memory to = [owner, other, BURNT];
        uint256[3] memory amounts = [uint256(EARNED), EARNED, BOND / 2];
        for (uint256 i = 0; i < modes.length; i++) {
            HostileToken bad = scene();
            for (uint256 way = 1; way < 4; way++) {
                bad.become(modes[i], to[way - 1]);
                vm.assertTrue(goesOut(way), "goes through");
                vm.assertEq(uint256(settlement.freeOf(to[way - 1])), amounts[way - 1], "kept");
                checkBooks();
            }
        }
    }

    function test_one_owner_whom_the_token_blocks_stops_no_others_claim() public {
        HostileToken bad = scene();
        bad.become(HostileToken.Mode.Blocks, owner);
        ClaimItem[] memory items = new ClaimItem[](2);
        (items[0].workerIdx, items[1].workerIdx) = (1, 2);
        (items[0].account, items[0].proof) = last.workerProof(1, 1);
        (items[1].account, items[1].proof) = last.workerProof(1, 2);
        vm.assertEq(settlement.claimMany(1, 1, last.anchorAt(1), items), 2 * EARNED, "both");
        vm.assertEq(settlement.freeOf(owner), EARNED, "kept");
        vm.assertEq(bad.balanceOf(other), EARNED, "paid");
        checkBooks();
    }

    /// A fee that the token takes on the way out is the receiver's; nobody else pays for it.
    function test_a_token_that_takes_or_gives_on_the_way_out_changes_no_books() public {
        HostileToken.Mode[3] memory modes = [
            HostileToken.Mode.TakesFee, HostileToken.Mode.AddsMore, HostileToken.Mode.MovesNothing
        ];
        for (uint256 i = 0; i < modes.length; i++) {
            HostileToken bad = scene();
            bad.become(modes[i], address(0));
            for (uint256 way = 0; way < 4; way++) {
                vm.assertTrue(goesOut(way), "out");
                if (modes[i] != HostileToken.Mode.MovesNothing) checkBooks();
                else vm.assertGe(token.balanceOf(address(settlement)), books(), "never short");
            }
        }
    }

    function test_an_address_without_code_is_no_token() public {
        settlement = deploy(stranger, WINDOW);
        vm.expectRevert();
        settlement.deposit(1);
        vm.expectRevert();
        settlement.depositFor(owner, 1);
    }

    // ---- getting back in ----

    /// Whatever moves tokens, and whatever the token then calls of what moves tokens.
    function test_no_token_call_gets_back_in() public {
        CallbackToken evil = new CallbackToken();
        setScene(address(evil));
        bytes[6] memory calls = [
            abi.encodeCall(ISettlement.withdraw, (1)),
            abi.encodeCall(ISettlement.deposit, (1)),
            abi.encodeCall(ISettlement.depositFor, (stranger, 1)),
            abi.encodeCall(
                ISettlement.depositWithPermit, (address(this), 1, type(uint256).max, 27, 0, 0)
            ),
            claimCall(),
            abi.encodeCall(ISettlement.claimMany, (1, 1, Anchor(0, 0), new ClaimItem[](0)))
        ];
        for (uint256 i = 0; i < calls.length; i++) {
            for (uint256 way = 0; way < 5; way++) {
                evil.arm(address(settlement), calls[i]);
                vm.assertTrue(way < 4 ? comesIn(way) : goesOut(0), "goes through");
                checkRefused(evil);
                checkBooks();
            }
        }
        for (uint256 way = 1; way < 3; way++) {
            evil.arm(address(settlement), calls[way]);
            vm.assertTrue(goesOut(way), "goes through");
            checkRefused(evil);
            checkBooks();
        }
    }

    /// What moves no tokens may be called from within: every call has done its part before it sends.
    function test_what_moves_no_tokens_may_be_called_from_within() public {
        for (uint256 way = 0; way < 3; way++) {
            CallbackToken evil = new CallbackToken();
            setScene(address(evil));
            vm.warp(block.timestamp + WINDOW);
            Opening memory b = last.openingAt(2);
            within(
                evil,
                way,
                abi.encodeCall(ISettlement.finalize, (last.headerAt(2), b.committedAt, b.inbox))
            );
            b = last.openingAt(1);
            within(
                evil,
                0,
                abi.encodeCall(ISettlement.collectFees, (last.headerAt(1), b.committedAt, b.inbox))
            );
            (DealAccount memory account, bytes32[] memory path) = last.dealProof(2, deal);
            within(
                evil,
                0,
                abi.encodeCall(
                    ISettlement.refundUnsettled,
                    (book.get(deal), account, path, 2, last.openingAt(2))
                )
            );
        }
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

    // ---- one world for all ----

    /// Two workers have earned, a third was slashed; a failed task is pending.
    function scene() private returns (HostileToken bad) {
        bad = new HostileToken();
        setScene(address(bad));
    }

    function setScene(address unit) private {
        token = TestToken(unit);
        settlement = deploy(unit, WINDOW);
        last = newGrid(BOND);
        deal = newDeal(1, 10);
        newWorker(owner, VOTE_KEY);
        newWorker(other, VOTE_KEY + 1);
        stakeOn(1, newWorker(stranger, VOTE_KEY + 2), 500);
        last.settle(deal, list(1, 2), list(3));
        last.commit();
        vm.warp(block.timestamp + WINDOW);
        last.finalize(1);
        last.settle(deal, list(), list());
        last.commit();
        fund(stranger, 1000);
        token.transfer(stranger, 100_000);
        token.transfer(requester, 100_000);
        token.approve(address(settlement), 100_000);
        vm.prank(stranger);
        token.approve(address(settlement), 100_000);
    }

    /// The four ways in; whether the call went through.
    function comesIn(uint256 way) private returns (bool done) {
        IMarket.Match memory m;
        if (way == 3) {
            m = matchOf(reqOrder(), poolOrder(1), 1);
            token.approve(address(settlement), 0); // the requester's own is asked for
            vm.prank(requester);
            token.approve(address(settlement), PRICE);
        }
        vm.startPrank(stranger);
        if (way == 0) (done,) = address(settlement).call(abi.encodeCall(ISettlement.deposit, (1)));
        if (way == 1) {
            (done,) = address(settlement).call(abi.encodeCall(ISettlement.depositFor, (owner, 1)));
        }
        if (way == 2) {
            bytes memory call =
                abi.encodeCall(ISettlement.depositWithPermit, (stranger, 1, 1, 27, 0, 0));
            (done,) = address(settlement).call(call);
        }
        if (way == 3) {
            IMarket.Permit memory permit = IMarket.Permit(uint128(PRICE), 1, 27, 0, 0);
            (done,) = address(market).call(abi.encodeCall(IMarket.openDealWithPermit, (m, permit)));
        }
        vm.stopPrank();
    }

    /// The ways out, a withdrawal, a claim and a claim for many, and a bond that is burnt: that was a
    /// transfer of tokens once, and must go through with tokens of every kind.
    function goesOut(uint256 way) private returns (bool done) {
        bytes memory call;
        if (way == 0) call = abi.encodeCall(ISettlement.withdraw, (100));
        if (way == 1) {
            (WorkerAccount memory account, bytes32[] memory path) = last.workerProof(1, 1);
            call = abi.encodeCall(ISettlement.claim, (1, 1, account, path, 1, last.anchorAt(1)));
        }
        if (way == 2) {
            ClaimItem[] memory items = new ClaimItem[](1);
            items[0].workerIdx = 2;
            (items[0].account, items[0].proof) = last.workerProof(1, 2);
            call = abi.encodeCall(ISettlement.claimMany, (1, 1, last.anchorAt(1), items));
        }
        uint32 next = settlement.poolOf(1).finalized + 1;
        if (way == 3) call = abi.encodeCall(ISettlement.convict, (1, next));
        vm.prank(way == 3 ? court : stranger);
        (done,) = address(settlement).call(call);
    }

    /// A call that the token makes in the middle of another.
    function within(CallbackToken evil, uint256 way, bytes memory call) private {
        evil.arm(address(settlement), call);
        vm.assertTrue(goesOut(way), "goes through");
        vm.assertTrue(evil.done(), "and so does what is within");
        checkBooks();
    }

    /// What all purses come to.
    function books() private view returns (uint256 sum) {
        address[9] memory people =
            [requester, operator, owner, other, stranger, court, escape, BURNT, address(this)];
        for (uint256 i = 0; i < people.length; i++) {
            sum += settlement.freeOf(people[i]);
        }
        return sum + moneyOf(1) - settlement.poolOf(1).unapplied;
    }

    function checkBooks() private view {
        vm.assertEq(token.balanceOf(address(settlement)), books(), "books");
    }

    function refusals() private pure returns (HostileToken.Mode[6] memory) {
        return [
            HostileToken.Mode.Reverts,
            HostileToken.Mode.RevertsLong,
            HostileToken.Mode.ReturnsFalse,
            HostileToken.Mode.ReturnsGarbage,
            HostileToken.Mode.ReturnsShort,
            HostileToken.Mode.Blocks
        ];
    }

    function claimCall() private pure returns (bytes memory) {
        WorkerAccount memory account;
        return
            abi.encodeCall(ISettlement.claim, (1, 1, account, new bytes32[](20), 1, Anchor(0, 0)));
    }
}
