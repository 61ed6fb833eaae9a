// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../src/ISettlement.sol";
import {Merkle} from "../src/Merkle.sol";
import {DealAccount, Header, WorkerAccount} from "../src/Types.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice Claims of workers and refunds of requesters, against honest and dishonest roots.
contract PayoutsTest is Fixture {
    uint64 private constant GRACE = 7 days;

    Grid private grid;
    uint32 private poolId;
    bytes32 private deal;
    uint32 private good;
    uint32 private bad;

    function setUp() public override {
        super.setUp();
        grid = newGrid(30_000);
        poolId = grid.poolId();
        deal = newDeal(poolId, 10);
        (good, bad) = (newWorker(0), newWorker(1));
        stakeOn(poolId, bad, 1000);
    }

    // ---- claim ----

    function test_anyone_may_claim_and_the_owner_is_paid() public {
        grid.settle(deal, list(good), list(bad));
        finalizeAll();
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, good);
        vm.expectEmit(address(settlement));
        emit ISettlement.Claimed(poolId, good, owner, 1287, 1287);
        vm.prank(stranger);
        vm.assertEq(settlement.claim(poolId, good, account, path, 1), 1287, "paid");
        vm.assertEq(token.balanceOf(owner), 1287, "in hand");
        vm.assertEq(settlement.seatOf(poolId, good).claimed, 1287, "claimed");
        vm.assertEq(settlement.poolOf(poolId).owed, 0, "owed");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 1287));
        settlement.claim(poolId, good, account, path, 1);
    }

    function test_claims_are_cumulative_over_batches() public {
        grid.settle(deal, list(good), list());
        finalizeAll();
        grid.settle(deal, list(good), list());
        finalizeAll();
        grid.settle(deal, list(good), list());
        finalizeAll();
        vm.assertEq(claim(good, 1), 990, "first");
        vm.assertEq(claim(good, 3), 1980, "second and third at once");
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(2, good);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 2970));
        settlement.claim(poolId, good, account, path, 2); // an old root strands and pays nothing
    }

    function test_winners_share_by_weight_and_dust_goes_to_the_scheduler() public {
        grid.settle(deal, list(good, bad, newWorker(2)), list());
        finalizeAll();
        vm.assertEq(claim(good, 1), 330, "a third of 990");
        vm.assertEq(claim(bad, 1), 330, "a third of 990");
        vm.assertEq(claim(3, 1), 330, "a third of 990");
        vm.assertEq(settlement.freeOf(operator), 10, "the rest");
    }

    function test_a_claim_applies_slashes_once() public {
        grid.settle(deal, list(good), list(bad));
        finalizeAll();
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, bad);
        vm.expectEmit(address(settlement));
        emit ISettlement.Slashed(poolId, bad, 300, 0);
        vm.assertEq(settlement.claim(poolId, bad, account, path, 1), 0, "nothing earned");
        vm.assertEq(settlement.seatOf(poolId, bad).stake, 700, "stake");
        vm.assertEq(settlement.seatOf(poolId, bad).slashed, 300, "slashed");
        vm.assertEq(settlement.poolOf(poolId).staked, 700, "staked");
        vm.assertEq(settlement.poolOf(poolId).unapplied, 0, "applied");
        checkMoney(3 + 10, 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        settlement.claim(poolId, bad, account, path, 1);
    }

    function test_a_claim_pays_and_slashes_together() public {
        grid.settle(deal, list(good), list(bad));
        grid.settle(deal, list(bad), list(good));
        stakeOn(poolId, good, 300);
        finalizeAll();
        vm.assertEq(claim(bad, 1), 1287, "paid");
        vm.assertEq(settlement.seatOf(poolId, bad).stake, 700, "and slashed");
    }

    function test_claims_need_a_finalized_batch_that_is_remembered() public {
        grid.settle(deal, list(good), list());
        Header memory header = grid.commit();
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, good);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 1, 1, 0));
        settlement.claim(poolId, good, account, path, 1);
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(header);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 0, 1, 1));
        settlement.claim(poolId, good, account, path, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 2, 1, 1));
        settlement.claim(poolId, good, account, path, 2);

        for (uint256 i = 0; i < 1024; i++) {
            grid.tamper(1, 0, 0);
            finalizeAll();
        }
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 1, 2, 1025));
        settlement.claim(poolId, good, account, path, 1);
        vm.assertEq(claim(good, 2), 990, "the oldest remembered");
    }

    function test_claims_need_the_right_proof_and_the_right_person() public {
        grid.settle(deal, list(good), list());
        finalizeAll();
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, good);

        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownWorker.selector, 9));
        settlement.claim(poolId, 9, account, path, 1);
        vm.expectPartialRevert(ISettlement.AccountMismatch.selector);
        settlement.claim(poolId, bad, account, path, 1);
        bytes32[] memory short = new bytes32[](19);
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 20, 19));
        settlement.claim(poolId, good, account, short, 1);
        bytes32[] memory long = new bytes32[](21);
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 20, 21));
        settlement.claim(poolId, good, account, long, 1);
        account.cumEarned++;
        bytes32 root = grid.rootAt(1);
        bytes32 leaf = hashes.workerLeaf(account);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.ProofMismatch.selector, root, hashes.root(leaf, good, path, 20)
            )
        );
        settlement.claim(poolId, good, account, path, 1);

        // An account that was never touched has nothing to claim, so it is nobody's.
        WorkerAccount memory none;
        vm.expectPartialRevert(ISettlement.AccountMismatch.selector);
        settlement.claim(poolId, good, none, path, 1);
    }

    function testFuzz_no_change_of_a_proof_goes_through(uint256 level, uint256 bit) public {
        grid.settle(deal, list(good), list(bad));
        finalizeAll();
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, good);
        path[level % 20] ^= bytes32(uint256(1) << (bit % 256));
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        settlement.claim(poolId, good, account, path, 1);
    }

    // ---- claims on a dishonest pool ----

    function test_a_root_pays_no_more_than_its_pool_owes() public {
        // Another pool's money is there to be had, if it could be.
        Grid other = new Grid(settlement, newPool(30_000), SIGNER_KEY);
        bytes32 otherDeal = newDeal(other.poolId(), 5);
        other.settle(otherDeal, list(good), list());
        Header memory header = other.commit();
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(header);

        WorkerAccount memory lie = accountOf(good);
        lie.cumEarned = 5000;
        grid.forgeWorker(good, lie);
        grid.tamper(100, 0, 0);
        finalizeAll();
        vm.assertEq(claim(good, 1), 100, "all the pool owes");
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, good);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolDrained.selector, poolId, 4900));
        settlement.claim(poolId, good, account, path, 1);
        vm.assertEq(settlement.poolOf(other.poolId()).owed, 990, "the other pool's is there");
    }

    function test_a_root_seizes_no_more_than_its_headers_declared() public {
        WorkerAccount memory lie = accountOf(bad);
        lie.cumSlashed = 900;
        grid.forgeWorker(bad, lie);
        grid.tamper(0, 0, 200);
        finalizeAll();
        vm.assertEq(claim(bad, 1), 0, "nothing earned");
        vm.assertEq(settlement.seatOf(poolId, bad).stake, 800, "only what was declared");
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, bad);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        settlement.claim(poolId, bad, account, path, 1);
        checkMoney(0, 1);
    }

    function test_what_stake_and_bond_cannot_cover_stays_unapplied() public {
        // The bond covers 1,000 pending; the liar slashes 1,000 of a worker who has staked nothing.
        Grid liar = new Grid(settlement, newPool(1500), SIGNER_KEY);
        uint32 liarId = liar.poolId();
        stakeOn(liarId, bad, 3000);
        WorkerAccount memory lie = accountOf(good);
        for (uint64 i = 1; i <= 2; i++) {
            lie.cumSlashed = 1000 * i;
            liar.forgeWorker(good, lie);
            liar.tamper(0, 0, 1000);
            Header memory header = liar.commit();
            vm.warp(block.timestamp + WINDOW);
            settlement.finalize(header);
        }
        (WorkerAccount memory account, bytes32[] memory path) = liar.workerProof(2, good);
        vm.expectEmit(address(settlement));
        emit ISettlement.Slashed(liarId, good, 0, 1500);
        settlement.claim(liarId, good, account, path, 2);
        vm.assertEq(settlement.poolOf(liarId).bond, 0, "bond gone");
        vm.assertEq(settlement.poolOf(liarId).unapplied, 500, "the rest");
        vm.assertEq(settlement.seatOf(liarId, good).slashed, 1500, "counted once");
        checkMoney(0, 2);
    }

    // ---- refunds of failed tasks ----

    function test_failed_tasks_come_back_at_once_with_the_liars_stake() public {
        grid.settle(deal, list(), list(bad));
        finalizeAll();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, deal);
        vm.expectEmit(address(settlement));
        emit ISettlement.Refunded(deal, requester, 1300, 1300, false);
        vm.prank(stranger);
        vm.assertEq(settlement.refundUnsettled(deal, account, path, 1), 1300, "returned");
        vm.assertEq(settlement.freeOf(requester), 1300, "free");
        vm.assertEq(settlement.poolOf(poolId).locked, 9000, "locked");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 1300));
        settlement.refundUnsettled(deal, account, path, 1);
        checkMoney(1300, 1);
    }

    function test_refunds_are_cumulative() public {
        for (uint64 i = 1; i <= 3; i++) {
            grid.settle(deal, list(), list());
            finalizeAll();
        }
        vm.assertEq(refund(deal, 2), 2000, "two");
        vm.assertEq(refund(deal, 3), 1000, "one more");
    }

    // ---- refunds of what was never settled ----

    function test_a_dead_pool_gives_everything_back_after_grace() public {
        uint64 end = settlement.dealOf(deal).deadline + GRACE;
        (DealAccount memory none, bytes32[] memory path) = grid.dealProof(0, deal);
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        settlement.refundUnsettled(deal, none, path, 0);
        vm.warp(end);
        vm.expectEmit(address(settlement));
        emit ISettlement.Refunded(deal, requester, 10_000, 10_000, true);
        settlement.refundUnsettled(deal, none, path, 0);
        vm.assertTrue(settlement.dealOf(deal).closed, "closed");
        vm.assertEq(settlement.poolOf(poolId).locked, 0, "locked");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 10_000));
        settlement.refundUnsettled(deal, none, path, 0);
    }

    function test_a_deal_never_touched_comes_back_although_others_were_settled() public {
        bytes32 other = newDeal(poolId, 4);
        grid.settle(deal, list(good), list());
        finalizeAll();
        vm.warp(settlement.dealOf(other).deadline + GRACE);
        vm.assertEq(refund(other, 1), 4000, "all of it");
        vm.assertEq(refund(deal, 1), 9000, "all but one");
    }

    function test_a_half_done_deal_returns_failed_and_unsettled_tasks() public {
        grid.settle(deal, list(good), list());
        grid.settle(deal, list(), list());
        finalizeAll();
        vm.assertEq(refund(deal, 1), 1000, "the failed one");
        vm.warp(settlement.dealOf(deal).deadline + GRACE);
        vm.assertEq(refund(deal, 1), 8000, "the eight never settled");
        vm.assertEq(settlement.poolOf(poolId).locked, 0, "nothing is left");
    }

    function test_unsettled_tasks_wait_for_what_is_pending() public {
        uint64 end = settlement.dealOf(deal).deadline + GRACE;
        finalizeAfterTask();
        vm.warp(end - 1 hours);
        grid.settle(deal, list(good), list());
        Header memory late = grid.commit();
        vm.warp(end);
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, deal);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        settlement.refundUnsettled(deal, account, path, 1); // batch 2 may hold more, and does
        vm.warp(end + WINDOW);
        settlement.finalize(late);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        settlement.refundUnsettled(deal, account, path, 1); // no longer the newest
        vm.assertEq(refund(deal, 2), 8000, "ten less two");
    }

    function test_a_pool_that_never_rests_cannot_hold_a_refund_back() public {
        uint64 end = settlement.dealOf(deal).deadline + GRACE;
        bytes32 other = newDeal(poolId, 10);
        vm.warp(end + 1);
        grid.settle(other, list(good), list());
        Header memory header = grid.commit();
        grid.settle(other, list(good), list());
        grid.commit();
        vm.warp(end + 1 + WINDOW);
        settlement.finalize(header);
        grid.settle(other, list(good), list());
        grid.commit();
        vm.assertEq(refund(deal, 1), 10_000, "batch 1 came after the end");
    }

    function test_a_batch_at_the_very_end_is_not_yet_after_it() public {
        vm.warp(settlement.dealOf(deal).deadline + GRACE);
        bytes32 other = newDeal(poolId, 10);
        grid.settle(other, list(good), list());
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(header);
        grid.settle(other, list(good), list());
        grid.commit();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, deal);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        settlement.refundUnsettled(deal, account, path, 1);
    }

    // ---- refunds and bad proofs ----

    function test_refunds_need_the_deals_own_account() public {
        bytes32 other = newDeal(poolId, 1);
        grid.settle(deal, list(), list());
        grid.settle(other, list(), list());
        finalizeAll();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, other);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountMismatch.selector, deal, other));
        settlement.refundUnsettled(deal, account, path, 1);
        account.dealId = deal;
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        settlement.refundUnsettled(deal, account, path, 1);
        account.dealId = 0;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.EmptyAccountNotZero.selector));
        settlement.refundUnsettled(deal, account, path, 1);
        DealAccount memory none;
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        settlement.refundUnsettled(deal, none, path, 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownDeal.selector, bytes32("x")));
        settlement.refundUnsettled("x", none, path, 1);
    }

    function test_the_empty_state_counts_only_before_the_first_batch() public {
        finalizeAfterTask();
        vm.warp(settlement.dealOf(deal).deadline + GRACE);
        (DealAccount memory none, bytes32[] memory path) = grid.dealProof(0, deal);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 0, 1, 1));
        settlement.refundUnsettled(deal, none, path, 0);
    }

    function test_a_lying_root_refunds_no_more_than_its_pool_holds() public {
        Grid other = new Grid(settlement, newPool(0), SIGNER_KEY);
        newDeal(other.poolId(), 50);
        DealAccount memory lie = DealAccount({
            dealId: deal, settledRoot: 0, settledCount: 99, spent: 0, refunded: 50_000
        });
        grid.forgeDeal(settlement.dealOf(deal).slot, lie);
        grid.tamper(1, 0, 0);
        finalizeAll();
        // What a pending batch will move is not there to be refunded.
        grid.tamper(999, 0, 0);
        grid.commit();
        vm.assertEq(refund(deal, 1), 9000, "all the pool holds");
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, deal);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolDrained.selector, poolId, 41_000));
        settlement.refundUnsettled(deal, account, path, 1);
        vm.assertEq(settlement.poolOf(other.poolId()).locked, 50_000, "the other pool's is there");
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(grid.headerAt(2));
    }

    // ---- helpers ----

    function finalizeAll() private {
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(header);
    }

    function finalizeAfterTask() private {
        grid.settle(deal, list(good), list());
        finalizeAll();
    }

    function claim(uint32 workerIdx, uint64 index) private returns (uint128) {
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(index, workerIdx);
        return settlement.claim(poolId, workerIdx, account, path, index);
    }

    function refund(bytes32 dealId, uint64 index) private returns (uint128) {
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(index, dealId);
        return settlement.refundUnsettled(dealId, account, path, index);
    }

    function accountOf(uint32 workerIdx) private view returns (WorkerAccount memory account) {
        account.owner = settlement.workerOf(workerIdx).owner;
        account.voteKey = settlement.workerOf(workerIdx).voteKey;
    }
}
