// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarket} from "../src/IMarket.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {Merkle} from "../src/Merkle.sol";
import {Anchor, ClaimItem, DealAccount, DealTerms, Header, WorkerAccount} from "../src/Types.sol";
import {more} from "./court/World.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice Claims of workers and refunds of requesters, against honest and dishonest roots.
contract PayoutsTest is Fixture {
    /// From a deal's deadline until refunds open: GRACE and REFUND_SLACK.
    uint64 private constant REFUND_TIME = 9 days;

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
        vm.assertEq(this.claimOut(grid, good, account, path, 1), 1287, "paid");
        vm.assertEq(token.balanceOf(owner), 1287, "in hand");
        vm.assertEq(settlement.seatOf(poolId, good).claimed, 1287, "claimed");
        vm.assertEq(settlement.poolOf(poolId).owed, 13, "owed: the fees");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 1287));
        this.claimOut(grid, good, account, path, 1);
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
        this.claimOut(grid, good, account, path, 2); // an old root strands and pays nothing
    }

    function test_winners_share_by_weight_and_dust_goes_to_the_scheduler() public {
        grid.settle(deal, list(good, bad, newWorker(2)), list());
        finalizeAll();
        vm.assertEq(claim(good, 1), 330, "a third of 990");
        vm.assertEq(claim(bad, 1), 330, "a third of 990");
        vm.assertEq(claim(3, 1), 330, "a third of 990");
        vm.assertEq(settlement.poolOf(poolId).owed, 10, "the rest");
    }

    function test_a_claim_applies_slashes_once() public {
        grid.settle(deal, list(good), list(bad));
        finalizeAll();
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, bad);
        vm.expectEmit(address(settlement));
        emit ISettlement.Slashed(poolId, bad, 300, 0);
        vm.assertEq(this.claimOut(grid, bad, account, path, 1), 0, "nothing earned");
        vm.assertEq(settlement.seatOf(poolId, bad).stake, 700, "stake");
        vm.assertEq(settlement.seatOf(poolId, bad).slashed, 300, "slashed");
        vm.assertEq(settlement.poolOf(poolId).staked, 700, "staked");
        vm.assertEq(settlement.poolOf(poolId).unapplied, 0, "applied");
        checkMoney(0, 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        this.claimOut(grid, bad, account, path, 1);
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
        this.claimOut(grid, good, account, path, 1);
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(header.index);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 0, 1, 1));
        this.claimOut(grid, good, account, path, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 2, 1, 1));
        this.claimOut(grid, good, account, path, 2);

        // An anchor is good for its own batch only, and a batch is remembered for so long.
        grid.tamper(1, 0, 0);
        finalizeAll();
        Anchor memory anchor = grid.anchorAt(1);
        vm.expectPartialRevert(ISettlement.BatchMismatch.selector);
        settlement.claim(poolId, good, account, path, 2, anchor);
        for (uint256 i = 2; i <= REMEMBERED; i++) {
            grid.tamper(1, 0, 0);
            finalizeAll();
        }
        uint64 newest = REMEMBERED + 1;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 1, 2, newest));
        this.claimOut(grid, good, account, path, 1);
        vm.assertEq(claim(good, 2), 990, "the oldest remembered");
    }

    function test_claims_need_the_right_proof_and_the_right_person() public {
        grid.settle(deal, list(good), list());
        finalizeAll();
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, good);

        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownWorker.selector, 9));
        this.claimOut(grid, 9, account, path, 1);
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        this.claimOut(grid, bad, account, path, 1);
        uint32 foreign = newWorker(stranger, VOTE_KEY + 5);
        vm.expectPartialRevert(ISettlement.AccountMismatch.selector);
        this.claimOut(grid, foreign, account, path, 1);
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 20, 0));
        this.claimOut(grid, good, account, new bytes32[](0), 1);
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        this.claimOut(grid, good, account, new bytes32[](19), 1);
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 20, 21));
        this.claimOut(grid, good, account, new bytes32[](21), 1);
        account.cumEarned++;
        bytes32 root = grid.rootAt(1);
        bytes32 leaf = hashes.workerLeaf(account);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.ProofMismatch.selector, root, hashes.rootOfState(leaf, good, path)
            )
        );
        this.claimOut(grid, good, account, path, 1);

        // An account that was never touched has nothing to claim, so it is nobody's.
        WorkerAccount memory none;
        vm.expectPartialRevert(ISettlement.AccountMismatch.selector);
        this.claimOut(grid, good, none, path, 1);
    }

    function testFuzz_no_change_of_a_proof_goes_through(uint256 level, uint256 bit) public {
        grid.settle(deal, list(good), list(bad));
        finalizeAll();
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, good);
        // Each sibling that is sent, or each that is left out, as empty as it is.
        if (level % 2 == 0) path = widened(path);
        uint256 at = level / 2 % path.length;
        path[at] ^= bytes32(uint256(1) << (bit % 256));
        // An empty subtree is sent as zero, so a changed sibling is never zero.
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        this.claimOut(grid, good, account, path, 1);
    }

    function test_what_a_proof_leaves_out_may_be_written_out() public {
        grid.settle(deal, list(good), list());
        finalizeAll();
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, good);
        vm.assertLe(path.length, 3, "most of a path is left out");
        uint256 snapshot = more.snapshotState();
        vm.assertEq(this.claimOut(grid, good, account, path, 1), 990, "left out");
        more.revertToState(snapshot);
        path = widened(path);
        vm.assertEq(this.claimOut(grid, good, account, path, 1), 990, "zero");
        more.revertToState(snapshot);
        for (uint256 i = 0; i < 20; i++) {
            if (path[i] == 0) path[i] = Merkle.zero(i);
        }
        vm.assertEq(this.claimOut(grid, good, account, path, 1), 990, "empty subtrees");
    }

    // ---- claims for many ----

    function test_many_are_claimed_at_once_and_who_has_nothing_is_passed_over() public {
        grid.settle(deal, list(good), list(bad));
        uint32 idle = newWorker(2);
        grid.settle(deal, list(idle), list());
        finalizeAll();
        claim(idle, 1);
        uint32[] memory all = list(good, idle, bad);
        vm.assertEq(this.claimAll(all, 1), 1287, "the good one's");
        vm.assertEq(settlement.seatOf(poolId, bad).stake, 700, "the bad one's slash");
        vm.assertEq(this.claimAll(all, 1), 0, "nothing is left");
    }

    function test_one_wrong_proof_ends_a_claim_for_many() public {
        grid.settle(deal, list(good), list());
        finalizeAll();
        ClaimItem[] memory items = itemsOf(list(good, good), 1);
        items[1].account.cumEarned++;
        Anchor memory anchor = grid.anchorAt(1);
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        settlement.claimMany(poolId, 1, anchor, items);
        items[1].workerIdx = 99;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownWorker.selector, 99));
        settlement.claimMany(poolId, 1, anchor, items);
    }

    // ---- earnings left as stake ----

    function test_earnings_can_be_left_as_stake() public {
        vm.prank(owner);
        settlement.setRestake(good, true);
        grid.settle(deal, list(good), list());
        finalizeAll();
        vm.expectEmit(address(settlement));
        emit ISettlement.Claimed(poolId, good, owner, 990, 990);
        vm.expectEmit(address(settlement));
        emit ISettlement.Staked(poolId, good, 990, 990);
        vm.assertEq(claim(good, 1), 990, "counted");
        vm.assertEq(token.balanceOf(owner), 0, "not sent");
        vm.assertEq(settlement.seatOf(poolId, good).stake, 990, "stake");
        vm.assertEq(settlement.poolOf(poolId).staked, 1990, "staked");
        checkMoney(0, 1);
    }

    function test_who_is_leaving_is_paid_out() public {
        vm.startPrank(owner);
        settlement.setRestake(good, true);
        settlement.requestExit(good);
        vm.stopPrank();
        grid.settle(deal, list(good), list());
        finalizeAll();
        claim(good, 1);
        vm.assertEq(token.balanceOf(owner), 990, "in hand");
    }

    function test_nothing_is_left_as_stake_in_a_pool_that_ends() public {
        vm.prank(owner);
        settlement.setRestake(good, true);
        grid.settle(deal, list(good), list());
        finalizeAll();
        grid.settle(deal, list(good), list());
        finalizeAll();
        vm.prank(operator);
        settlement.requestBondExit(poolId);
        claim(good, 1);
        vm.assertEq(token.balanceOf(owner), 990, "a leaving pool");
        vm.prank(escape);
        settlement.abandon(poolId);
        claim(good, 2);
        vm.assertEq(token.balanceOf(owner), 1980, "a dead pool");
    }

    // ---- royalties ----

    function test_owners_are_paid_for_each_task_that_succeeded() public {
        bytes32 full = newFullDeal(poolId, 5);
        grid.settle(full, list(good), list());
        grid.settle(full, list(good), list());
        grid.settle(full, list(), list());
        finalizeAll();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, full);
        vm.expectEmit(address(settlement));
        emit ISettlement.RoyaltiesPaid(full, 140, 60);
        vm.assertEq(this.royaltiesOut(full, account, path, 1), 200, "of two tasks");
        vm.assertEq(settlement.freeOf(appOwner), 140, "application");
        vm.assertEq(settlement.freeOf(datasetOwner), 60, "dataset");
        vm.assertEq(settlement.royaltiesOf(full).app, 140, "counted");
        vm.assertEq(settlement.royaltiesOf(full).dataset, 60, "counted");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 200));
        this.royaltiesOut(full, account, path, 1);

        grid.settle(full, list(good), list());
        finalizeAll();
        (account, path) = grid.dealProof(2, full);
        vm.assertEq(this.royaltiesOut(full, account, path, 2), 100, "the third alone");
        vm.assertEq(refund(full, 2), 1100, "the failed one, royalties and all");
        checkMoney(200 + 100 + 1100, 1);
    }

    function test_a_free_deal_owes_no_royalties() public {
        grid.settle(deal, list(good), list());
        finalizeAll();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, deal);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        this.royaltiesOut(deal, account, path, 1);
    }

    function test_royalties_need_the_deals_own_account_and_terms() public {
        bytes32 full = newFullDeal(poolId, 5);
        grid.settle(full, list(good), list());
        finalizeAll();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, full);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountMismatch.selector, deal, full));
        this.royaltiesOut(deal, account, path, 1);
        DealTerms memory terms = book.get(full);
        terms.appOwner = stranger;
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.UnknownDeal.selector, keccak256(abi.encode(terms)))
        );
        settlement.claimRoyalties(terms, account, path, 1, Anchor(0, 0));
    }

    function test_a_lie_about_royalties_takes_what_the_pool_owes() public {
        bytes32 full = newFullDeal(poolId, 5);
        uint32 slot = settlement.dealOf(full).slot;
        grid.forgeDeal(slot, DealAccount(full, 0, 5, 5500, 0));
        grid.tamper(20, 0, 0);
        grid.tamperRoyalties(60);
        finalizeAll();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, full);
        vm.assertEq(this.royaltiesOut(full, account, path, 1), 80, "all there is");
        vm.assertEq(settlement.freeOf(appOwner), 80, "application first");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolDrained.selector, poolId, 420));
        this.royaltiesOut(full, account, path, 1);
    }

    function test_a_sponsor_gets_back_what_was_not_spent() public {
        fund(sponsor, 5000);
        IMarket.Match memory m = fullMatch(poolId, 2);
        m.sponsor = sponsorOrder(5000);
        sign(m);
        bytes32 full = open(m);
        grid.settle(full, list(good), list());
        grid.settle(full, list(), list());
        finalizeAll();
        vm.assertEq(refund(full, 1), 1100, "returned");
        vm.assertEq(settlement.freeOf(sponsor), 5000 - 1100, "to the sponsor");
        vm.assertEq(settlement.freeOf(requester), 0, "not to the requester");
    }

    // ---- claims on a dishonest pool ----

    function test_a_root_pays_no_more_than_its_pool_owes() public {
        // Another pool's money is there to be had, if it could be.
        Grid other = newGrid(30_000);
        bytes32 otherDeal = newDeal(other.poolId(), 5);
        other.settle(otherDeal, list(good), list());
        other.commit();
        vm.warp(block.timestamp + WINDOW);
        other.finalize(1);

        WorkerAccount memory lie = accountOf(good);
        lie.cumEarned = 5000;
        grid.forgeWorker(good, lie);
        grid.tamper(100, 0, 0);
        finalizeAll();
        vm.assertEq(claim(good, 1), 100, "all the pool owes");
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, good);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolDrained.selector, poolId, 4900));
        this.claimOut(grid, good, account, path, 1);
        vm.assertEq(settlement.poolOf(other.poolId()).owed, 1000, "the other pool's is there");
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
        this.claimOut(grid, bad, account, path, 1);
        checkMoney(0, 1);
    }

    function test_what_stake_and_bond_cannot_cover_stays_unapplied() public {
        // The bond covers 1,000 pending; the liar slashes 1,000 of a worker who has staked nothing.
        Grid liar = newGrid(1500);
        uint32 liarId = liar.poolId();
        stakeOn(liarId, bad, 3000);
        WorkerAccount memory lie = accountOf(good);
        for (uint64 i = 1; i <= 2; i++) {
            lie.cumSlashed = 1000 * i;
            liar.forgeWorker(good, lie);
            liar.tamper(0, 0, 1000);
            liar.commit();
            vm.warp(block.timestamp + WINDOW);
            liar.finalize(i);
        }
        (WorkerAccount memory account, bytes32[] memory path) = liar.workerProof(2, good);
        vm.expectEmit(address(settlement));
        emit ISettlement.Slashed(liarId, good, 0, 1500);
        this.claimOut(liar, good, account, path, 2);
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
        vm.assertEq(this.refundOut(deal, account, path, 1), 1300, "returned");
        vm.assertEq(settlement.freeOf(requester), 1300, "free");
        vm.assertEq(settlement.poolOf(poolId).locked, 9000, "locked");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 1300));
        this.refundOut(deal, account, path, 1);
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

    function test_a_silent_pool_gives_everything_back_two_days_after_grace() public {
        uint64 end = book.get(deal).deadline + REFUND_TIME;
        (DealAccount memory none, bytes32[] memory path) = grid.dealProof(0, deal);
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        this.refundOut(deal, none, path, 0);
        vm.warp(end);
        vm.expectEmit(address(settlement));
        emit ISettlement.Refunded(deal, requester, 10_000, 10_000, true);
        this.refundOut(deal, none, path, 0);
        vm.assertTrue(settlement.dealOf(deal).closed, "closed");
        vm.assertEq(settlement.poolOf(poolId).locked, 0, "locked");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 10_000));
        this.refundOut(deal, none, path, 0);
    }

    function test_a_deal_never_touched_comes_back_although_others_were_settled() public {
        bytes32 other = newDeal(poolId, 4);
        grid.settle(deal, list(good), list());
        finalizeAll();
        vm.warp(book.get(other).deadline + REFUND_TIME);
        vm.assertEq(refund(other, 1), 4000, "all of it");
        vm.assertEq(refund(deal, 1), 9000, "all but one");
    }

    function test_a_half_done_deal_returns_failed_and_unsettled_tasks() public {
        grid.settle(deal, list(good), list());
        grid.settle(deal, list(), list());
        finalizeAll();
        vm.assertEq(refund(deal, 1), 1000, "the failed one");
        vm.warp(book.get(deal).deadline + REFUND_TIME);
        vm.assertEq(refund(deal, 1), 8000, "the eight never settled");
        vm.assertEq(settlement.poolOf(poolId).locked, 0, "nothing is left");
    }

    function test_unsettled_tasks_wait_for_what_is_pending() public {
        uint64 end = book.get(deal).deadline + REFUND_TIME;
        finalizeAfterTask();
        vm.warp(end - 1 hours);
        grid.settle(deal, list(good), list());
        Header memory late = grid.commit();
        vm.warp(end);
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, deal);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        this.refundOut(deal, account, path, 1); // batch 2 may hold more, and does
        vm.warp(end + WINDOW);
        grid.finalize(late.index);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        this.refundOut(deal, account, path, 1); // no longer the newest
        vm.assertEq(refund(deal, 2), 8000, "ten less two");
    }

    function test_a_pool_that_never_rests_cannot_hold_a_refund_back() public {
        uint64 end = book.get(deal).deadline + REFUND_TIME;
        bytes32 other = newDeal(poolId, 10);
        vm.warp(end + 1);
        grid.settle(other, list(good), list());
        Header memory header = grid.commit();
        grid.settle(other, list(good), list());
        grid.commit();
        vm.warp(end + 1 + WINDOW);
        grid.finalize(header.index);
        grid.settle(other, list(good), list());
        grid.commit();
        vm.assertEq(refund(deal, 1), 10_000, "batch 1 came after the end");
    }

    function test_a_batch_at_the_very_end_is_not_yet_after_it() public {
        vm.warp(book.get(deal).deadline + REFUND_TIME);
        bytes32 other = newDeal(poolId, 10);
        grid.settle(other, list(good), list());
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(header.index);
        grid.settle(other, list(good), list());
        grid.commit();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, deal);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        this.refundOut(deal, account, path, 1);
    }

    // ---- refunds and bad proofs ----

    function test_refunds_need_the_deals_own_account() public {
        bytes32 other = newDeal(poolId, 1);
        grid.settle(deal, list(), list());
        grid.settle(other, list(), list());
        finalizeAll();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, other);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountMismatch.selector, deal, other));
        this.refundOut(deal, account, path, 1);
        account.dealId = deal;
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        this.refundOut(deal, account, path, 1);
        account.dealId = 0;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.EmptyAccountNotZero.selector));
        this.refundOut(deal, account, path, 1);
        DealAccount memory none;
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        this.refundOut(deal, none, path, 1);
        vm.expectRevert(unknown("x"));
        this.refundOut("x", none, path, 1);
    }

    function test_the_empty_state_counts_only_before_the_first_batch() public {
        finalizeAfterTask();
        vm.warp(book.get(deal).deadline + REFUND_TIME);
        (DealAccount memory none, bytes32[] memory path) = grid.dealProof(0, deal);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 0, 1, 1));
        this.refundOut(deal, none, path, 0);
    }

    function test_a_lying_root_refunds_no_more_than_its_pool_holds() public {
        Grid other = newGrid(0);
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
        this.refundOut(deal, account, path, 1);
        vm.assertEq(settlement.poolOf(other.poolId()).locked, 50_000, "the other pool's is there");
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(2);
    }

    // ---- helpers ----

    /// Sent as this contract, so that a test's expectation meets the call itself.
    function claimOut(
        Grid g,
        uint32 workerIdx,
        WorkerAccount memory account,
        bytes32[] memory path,
        uint64 index
    ) external returns (uint128) {
        return settlement.claim(g.poolId(), workerIdx, account, path, index, g.anchorAt(index));
    }

    function refundOut(
        bytes32 dealId,
        DealAccount memory account,
        bytes32[] memory path,
        uint64 index
    ) external returns (uint128) {
        return settlement.refundUnsettled(
            book.get(dealId), account, path, index, grid.openingAt(index)
        );
    }

    function royaltiesOut(
        bytes32 dealId,
        DealAccount memory account,
        bytes32[] memory path,
        uint64 index
    ) external returns (uint128) {
        DealTerms memory terms = book.get(dealId);
        return settlement.claimRoyalties(terms, account, path, index, grid.anchorAt(index));
    }

    /// Terms that the book does not have are all zero.
    function unknown(bytes32 dealId) private view returns (bytes memory) {
        bytes32 id = keccak256(abi.encode(book.get(dealId)));
        return abi.encodeWithSelector(ISettlement.UnknownDeal.selector, id);
    }

    function finalizeAll() private {
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(header.index);
    }

    function finalizeAfterTask() private {
        grid.settle(deal, list(good), list());
        finalizeAll();
    }

    function claimAll(uint32[] memory workers, uint64 index) external returns (uint128) {
        ClaimItem[] memory items = itemsOf(workers, index);
        return settlement.claimMany(poolId, index, grid.anchorAt(index), items);
    }

    function itemsOf(uint32[] memory workers, uint64 index)
        private
        view
        returns (ClaimItem[] memory items)
    {
        items = new ClaimItem[](workers.length);
        for (uint256 i = 0; i < workers.length; i++) {
            items[i].workerIdx = workers[i];
            (items[i].account, items[i].proof) = grid.workerProof(index, workers[i]);
        }
    }

    function claim(uint32 workerIdx, uint64 index) private returns (uint128) {
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(index, workerIdx);
        return this.claimOut(grid, workerIdx, account, path, index);
    }

    function refund(bytes32 dealId, uint64 index) private returns (uint128) {
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(index, dealId);
        return this.refundOut(dealId, account, path, index);
    }

    function accountOf(uint32 workerIdx) private view returns (WorkerAccount memory account) {
        account.owner = settlement.workerOf(workerIdx).owner;
        account.voteKey = settlement.workerOf(workerIdx).voteKey;
    }

    /// The path of 20 that a proof is short for.
    function widened(bytes32[] memory proof) private pure returns (bytes32[] memory path) {
        path = new bytes32[](20);
        uint256 last = proof.length - 1;
        for (uint256 i = 0; i < last; i++) {
            path[i] = proof[i];
        }
        path[19] = proof[last];
    }
}
