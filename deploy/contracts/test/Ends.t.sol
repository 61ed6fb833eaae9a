// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarket} from "../src/IMarket.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {
    Anchor,
    DealAccount,
    DealTerms,
    Header,
    Opening,
    OrderOp,
    Pool,
    WorkerAccount
} from "../src/Types.sol";
import {FalseToken} from "./support/BadTokens.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice How pools end, by conviction or abandonment, and what still works after that. The Court's
/// and Escape's own reasons are not tested here: only what their word does.
contract EndsTest is Fixture {
    uint128 private constant BOND = 30_001; // odd, so that halves and quarters show who gets dust
    uint64 private constant ESCAPE_TIME = WINDOW + 7 days;
    address private constant BURNT = address(0xdEaD);

    Grid private grid;
    uint32 private poolId;
    bytes32 private deal;
    uint32 private good;
    uint32 private bad;

    function setUp() public override {
        super.setUp();
        grid = newGrid(BOND);
        poolId = grid.poolId();
        deal = newDeal(poolId, 10);
        (good, bad) = (newWorker(0), newWorker(1));
        stakeOn(poolId, bad, 1000);
    }

    // ---- who may ----

    function test_only_the_court_convicts_and_rewards() public {
        vm.expectRevert(notAllowed(court));
        settlement.convict(poolId, 1);
        vm.expectRevert(notAllowed(court));
        settlement.reward(address(this), 1);
    }

    function test_only_escape_abandons_and_pays() public {
        vm.expectRevert(notAllowed(escape));
        settlement.abandon(poolId);
        DealTerms memory terms = book.get(deal);
        vm.expectRevert(notAllowed(escape));
        settlement.payForced(terms, 0, new address[](0), new uint128[](0));
        vm.expectRevert(notAllowed(escape));
        settlement.payFromBond(poolId, address(this), 1);
    }

    // ---- conviction ----

    function test_a_conviction_drops_batches_and_divides_the_bond() public {
        commitTasks(3);
        vm.expectEmit(address(settlement));
        emit ISettlement.Dropped(poolId, 2);
        vm.expectEmit(address(settlement));
        emit ISettlement.Convicted(poolId, 15_000, 7500, 7501);
        vm.prank(court);
        vm.assertEq(settlement.convict(poolId, 2), 7500, "a quarter");

        Pool memory pool = settlement.poolOf(poolId);
        vm.assertEq(pool.head, 1, "head");
        vm.assertEq(pool.state, 2, "convicted");
        vm.assertEq(pool.deadAt, block.timestamp, "when");
        vm.assertEq(pool.bond, 7501, "for victims");
        vm.assertEq(settlement.freeOf(court), 7500, "to give");
        vm.assertEq(settlement.freeOf(BURNT), 15_000, "burnt");
        checkMoney(22_500, 1);
    }

    function test_the_court_gives_what_it_got() public {
        commitTasks(1);
        vm.startPrank(court);
        settlement.convict(poolId, 1);
        vm.expectEmit(address(settlement));
        emit ISettlement.Rewarded(stranger, 7000);
        settlement.reward(stranger, 7000);
        vm.assertEq(settlement.freeOf(stranger), 7000, "given");
        vm.expectRevert(tooLow(court, 500, 501));
        settlement.reward(stranger, 501);
    }

    function test_later_convictions_drop_more_and_take_nothing() public {
        commitTasks(4);
        vm.startPrank(court);
        settlement.convict(poolId, 4);
        vm.warp(block.timestamp + 1 hours);
        uint40 deadAt = settlement.poolOf(poolId).deadAt;
        vm.assertEq(settlement.convict(poolId, 2), 0, "no second quarter");
        vm.assertEq(settlement.poolOf(poolId).head, 1, "three of four dropped");
        vm.assertEq(settlement.convict(poolId, 3), 0, "was dropped");
        vm.assertEq(settlement.poolOf(poolId).head, 1, "stays");
        vm.assertEq(settlement.poolOf(poolId).deadAt, deadAt, "died once");
        vm.assertEq(settlement.poolOf(poolId).bond, 7501, "bond");
    }

    function test_final_batches_cannot_be_dropped() public {
        commitTasks(2);
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(1);
        vm.prank(court);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AlreadyFinal.selector, poolId, 1, 1));
        settlement.convict(poolId, 1);
    }

    /// Fraud in what was never committed, two sets for one task, ends a pool with nothing pending.
    function test_a_pool_with_nothing_pending_can_be_convicted() public {
        vm.prank(court);
        settlement.convict(poolId, 1);
        vm.assertEq(settlement.poolOf(poolId).state, 2, "convicted");
        vm.assertEq(settlement.poolOf(poolId).head, 0, "head");
    }

    function test_what_was_dropped_reserves_and_moves_nothing() public {
        grid.settle(deal, list(good), list());
        grid.commit();
        grid.settle(deal, list(good), list(bad));
        Header memory dropped = grid.commit();
        Opening memory batch = grid.openingAt(2);
        vm.prank(court);
        settlement.convict(poolId, 2);
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(1);
        Pool memory pool = settlement.poolOf(poolId);
        vm.assertEq(pool.pendingValue + pool.pendingDraw, 0, "no reserve");
        vm.assertEq(pool.locked, 9000, "only the first was moved");
        vm.assertEq(pool.unapplied, 0, "nobody was slashed");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingPending.selector, poolId));
        settlement.finalize(dropped, batch.committedAt, batch.inbox);
    }

    function test_with_all_dropped_nothing_is_reserved() public {
        commitTasks(2);
        vm.prank(court);
        settlement.convict(poolId, 1);
        Pool memory pool = settlement.poolOf(poolId);
        vm.assertEq(pool.pendingValue + pool.pendingDraw, 0, "no reserve");
    }

    /// The word of a dropped batch stays in the ring for proofs, but no final batch of the same place
    /// can be mistaken for it, however the numbers lie.
    function test_a_dropped_state_is_nobodys_final_state() public {
        for (uint256 i = 0; i < 1024; i++) {
            grid.tamper(1, 0, 0);
            grid.commit();
            vm.warp(block.timestamp + WINDOW);
            if (i < 1020) grid.finalize(uint64(i) + 1);
        }
        WorkerAccount memory lie;
        (lie.owner, lie.voteKey) = (owner, vm.addr(VOTE_KEY));
        lie.cumEarned = 1000;
        grid.forgeWorker(good, lie);
        grid.tamper(1, 0, 0);
        grid.commit(); // 1025, in the place of 1
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1025, good);
        Anchor memory anchor = grid.anchorAt(1025);
        bytes32 word = settlement.batchOf(poolId, 1025);
        vm.prank(court);
        settlement.convict(poolId, 1025);
        vm.assertEq(settlement.batchOf(poolId, 1025), word, "still there for later proofs");
        uint64 oldest = 1020 - REMEMBERED + 1;
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 1, oldest, 1020)
        );
        settlement.claim(poolId, good, account, path, 1, anchor);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 1025, oldest, 1020)
        );
        settlement.claim(poolId, good, account, path, 1025, anchor);
    }

    function test_a_token_that_refuses_everything_stops_no_conviction() public {
        FalseToken no = new FalseToken();
        settlement = deploy(address(no), WINDOW);
        no.approve(address(settlement), 1000);
        settlement.deposit(1000);
        settlement.registerPool(signer, "node", 1000);
        no.refuse();
        vm.prank(court);
        settlement.convict(1, 1);
        vm.assertEq(settlement.freeOf(BURNT), 500, "burnt");
    }

    // ---- what is burnt ----

    /// Every way out of a free balance is for its account, or for who has signed in its name.
    function test_nobody_signs_for_what_is_burnt() public {
        vm.prank(court);
        settlement.convict(poolId, 1);
        vm.assertEq(BURNT.code.length, 0, "no code that could accept a signature");
        bytes[4] memory sigs = [bytes(""), new bytes(64), new bytes(65), strangersSignature()];
        for (uint256 i = 0; i < sigs.length; i++) {
            IMarket.Match memory m = matchOf(reqOrder(), poolOrder(newPool(0)), 1);
            (m.req.requester, m.reqSig) = (BURNT, sigs[i]);
            refused(address(market), abi.encodeCall(IMarket.openDeal, (m)));
            m = matchOf(reqOrder(), m.offer, 1);
            m.sponsor = sponsorOrder(1000);
            (m.sponsor.sponsor, m.sponsor.reqHash) = (BURNT, hashes.hashReqOrder(m.req));
            m.sponsorSig = sigs[i];
            refused(address(market), abi.encodeCall(IMarket.openDeal, (m)));
            OrderOp memory op = OrderOp(BURNT, "order", 1, type(uint64).max);
            refused(address(market), abi.encodeCall(IMarket.operate, (op, sigs[i])));
            refused(address(settlement), registrationFor(BURNT, sigs[i]));
        }
    }

    /// Nor does anything that moves other people's money move this.
    function test_what_is_burnt_is_in_nobodys_reach() public {
        commitTasks(2);
        vm.startPrank(court);
        settlement.convict(poolId, 1);
        settlement.convict(poolId, 1);
        vm.expectRevert(tooLow(court, 7500, 7501));
        settlement.reward(stranger, 7501);
        settlement.reward(stranger, 7500);
        vm.startPrank(escape);
        vm.assertEq(settlement.payFromBond(poolId, stranger, 30_001), 7501, "the bond's rest");
        vm.startPrank(stranger);
        settlement.withdraw(15_001);
        vm.expectRevert(tooLow(stranger, 0, 1));
        settlement.withdraw(1);
        vm.stopPrank();
        token.transfer(BURNT, 5);
        bytes memory permit =
            abi.encodeCall(ISettlement.depositWithPermit, (BURNT, 5, type(uint256).max, 27, 0, 0));
        (bool done,) = address(settlement).call(permit);
        vm.assertFalse(done, "nobody allows it");
        vm.assertEq(settlement.freeOf(BURNT), 15_000, "still there");
        checkMoney(15_000, 1);
    }

    function test_a_pool_without_bond_is_convicted_all_the_same() public {
        uint32 bare = newPool(0);
        vm.prank(court);
        vm.assertEq(settlement.convict(bare, 1), 0, "nothing to give");
        vm.assertEq(settlement.poolOf(bare).state, 2, "convicted");
    }

    // ---- abandonment ----

    function test_an_abandoned_pool_keeps_its_batches_and_its_bond() public {
        commitTasks(1);
        vm.expectEmit(address(settlement));
        emit ISettlement.Abandoned(poolId);
        vm.prank(escape);
        settlement.abandon(poolId);
        Pool memory pool = settlement.poolOf(poolId);
        vm.assertEq(pool.state, 1, "abandoned");
        vm.assertEq(pool.deadAt, block.timestamp, "when");
        vm.assertEq(pool.bond, BOND, "bond");
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(1);
        vm.assertEq(claim(good, 1), 990, "paid");
    }

    function test_a_pool_ends_once_but_may_still_be_convicted() public {
        commitTasks(1);
        vm.startPrank(escape);
        settlement.abandon(poolId);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolDead.selector, poolId, 1));
        settlement.abandon(poolId);
        vm.stopPrank();
        uint40 deadAt = settlement.poolOf(poolId).deadAt;
        vm.warp(block.timestamp + 1 days);
        vm.prank(court);
        vm.assertEq(settlement.convict(poolId, 1), 7500, "its bond is divided");
        vm.assertEq(settlement.poolOf(poolId).deadAt, deadAt, "dead since");
        vm.prank(escape);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolDead.selector, poolId, 2));
        settlement.abandon(poolId);
    }

    // ---- what a dead pool refuses ----

    function test_a_dead_pool_takes_no_deals_commits_stakes_or_bond() public {
        for (uint8 state = 1; state <= 2; state++) {
            grid = newGrid(BOND);
            poolId = grid.poolId();
            end(state);
            bytes memory refusal =
                abi.encodeWithSelector(ISettlement.PoolDead.selector, poolId, state);
            grid.tamper(0, 0, 0);
            Header memory header = grid.draft();
            (bytes32 r, bytes32 vs) = grid.sign(header);
            vm.expectRevert(refusal);
            settlement.commitBatch(header, r, vs);
            DealTerms memory terms = termsOf(matchOf(reqOrder(), poolOrder(poolId), 1));
            vm.prank(address(market));
            vm.expectRevert(refusal);
            settlement.openDeal(terms);
            vm.prank(owner);
            vm.expectRevert(refusal);
            settlement.stake(poolId, bad, 1);
            vm.startPrank(operator);
            vm.expectRevert(refusal);
            settlement.addBond(poolId, 1);
            vm.expectRevert(refusal);
            settlement.requestBondExit(poolId);
            vm.expectRevert(refusal);
            settlement.withdrawBond(poolId);
            vm.stopPrank();
        }
    }

    /// An operator who has asked to leave just before its end does not get the rest either.
    function test_a_bond_on_its_way_out_stays_when_the_pool_dies() public {
        vm.prank(operator);
        settlement.requestBondExit(poolId);
        end(2);
        vm.warp(settlement.poolOf(poolId).exitAt);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolDead.selector, poolId, 2));
        settlement.withdrawBond(poolId);
    }

    // ---- who leaves a dead pool, with what ----

    function test_refunds_of_a_dead_pool_wait_for_escape() public {
        grid.settle(deal, list(good), list());
        grid.settle(deal, list(), list());
        finalizeAll();
        end(2);
        uint256 readyAt = block.timestamp + ESCAPE_TIME;
        vm.assertEq(refund(deal, 1), 1000, "a failed task comes back at once");
        vm.warp(readyAt - 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 1000));
        this.refund(deal, 1);
        vm.warp(readyAt);
        vm.assertEq(refund(deal, 1), 8000, "the rest");
        vm.assertTrue(settlement.dealOf(deal).closed, "closed");
        vm.assertEq(settlement.poolOf(poolId).locked, 0, "nothing is left");
    }

    /// Its workers have their time even where the deal's own was over.
    function test_a_deal_past_its_end_waits_for_escape_too() public {
        vm.warp(book.get(deal).deadline + 9 days);
        end(1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        this.refund(deal, 0);
        vm.warp(block.timestamp + ESCAPE_TIME);
        vm.assertEq(refund(deal, 0), 10_000, "all of it");
    }

    function test_refunds_of_a_dead_pool_wait_for_what_is_pending() public {
        finalizeTask();
        grid.settle(deal, list(good), list());
        grid.commit();
        end(1);
        vm.warp(block.timestamp + ESCAPE_TIME);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        this.refund(deal, 1);
        grid.finalize(2);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        this.refund(deal, 1); // not the newest any more
        vm.assertEq(refund(deal, 2), 8000, "ten less two");
    }

    /// Stakes that a dropped batch was about to slash are free, whatever it had reserved.
    function test_a_dropped_slash_holds_no_stake() public {
        vm.prank(owner);
        settlement.requestExit(bad);
        vm.warp(settlement.workerOf(bad).exitAt - 1);
        finalizeTask();
        grid.tamper(0, 0, 900);
        grid.commit();
        vm.prank(court);
        settlement.convict(poolId, 2);
        (WorkerAccount memory none, bytes32[] memory path) = grid.workerProof(1, bad);
        Anchor memory anchor = grid.anchorAt(1);
        Opening memory nothing;
        vm.prank(owner);
        settlement.unstake(poolId, bad, none, path, anchor, nothing);
        vm.assertEq(settlement.freeOf(owner), 1000, "all of it");
    }

    function test_fees_and_royalties_of_a_dead_pool_are_still_paid() public {
        bytes32 full = newFullDeal(poolId, 2);
        grid.settle(full, list(good), list());
        finalizeAll();
        end(1);
        (Header memory header, Opening memory batch) = (grid.headerAt(1), grid.openingAt(1));
        vm.assertEq(settlement.collectFees(header, batch.committedAt, 0), 10, "fees");
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, full);
        Anchor memory anchor = grid.anchorAt(1);
        uint128 paid = settlement.claimRoyalties(book.get(full), account, path, 1, anchor);
        vm.assertEq(paid, 100, "royalties");
        vm.assertEq(claim(good, 1), 990, "and the worker");
        vm.assertEq(settlement.poolOf(poolId).owed, 0, "nothing is owed");
    }

    // ---- what Escape pays ----

    function test_escape_pays_workers_out_of_what_the_deal_has_locked() public {
        finalizeTask();
        end(1);
        vm.expectEmit(address(settlement));
        emit ISettlement.ForcedPaid(deal, 1000);
        force(deal, 1000, owner, 600, stranger, 400);
        vm.assertEq(settlement.freeOf(owner), 600, "one");
        vm.assertEq(settlement.freeOf(stranger), 400, "other");
        vm.assertEq(settlement.poolOf(poolId).locked, 8000, "locked");
        vm.assertEq(settlement.dealOf(deal).returned, 1000, "counts as returned");
        vm.warp(block.timestamp + ESCAPE_TIME);
        vm.assertEq(refund(deal, 1), 8000, "ten less one settled, less one forced");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.DealClosed.selector, deal));
        this.force(deal, 1, owner, 1, stranger, 0);
        checkMoney(600 + 400 + 8000, 1);
    }

    function test_escape_pays_what_it_says_and_no_more_than_is_there() public {
        commitTasks(1); // 1,000 of 10,000 are about to be moved
        end(1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.SumMismatch.selector, 10, 9));
        this.force(deal, 10, owner, 5, stranger, 4);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.LockedTooLow.selector, 9000, 9001));
        this.force(deal, 9001, owner, 9001, stranger, 0);
        DealTerms memory terms = book.get(deal);
        vm.prank(escape);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.SumMismatch.selector, 1, 0));
        settlement.payForced(terms, 0, new address[](1), new uint128[](0));
        terms.unitPrice++;
        vm.prank(escape);
        vm.expectPartialRevert(ISettlement.UnknownDeal.selector);
        settlement.payForced(terms, 0, new address[](0), new uint128[](0));
    }

    function test_escape_pays_from_the_bond_as_far_as_it_goes() public {
        vm.expectEmit(address(settlement));
        emit ISettlement.BondPaid(poolId, owner, 30_000);
        vm.startPrank(escape);
        vm.assertEq(settlement.payFromBond(poolId, owner, 30_000), 30_000, "in full");
        vm.assertEq(settlement.payFromBond(poolId, owner, 30_000), 1, "the rest");
        vm.stopPrank();
        vm.assertEq(settlement.freeOf(owner), 30_001, "free");
        vm.assertEq(settlement.poolOf(poolId).bond, 0, "bond");
        checkMoney(30_001, 1);
    }

    // ---- helpers ----

    function force(bytes32 id, uint128 cost, address a, uint128 x, address b, uint128 y) public {
        (address[] memory to, uint128[] memory amounts) = (new address[](2), new uint128[](2));
        (to[0], to[1], amounts[0], amounts[1]) = (a, b, x, y);
        DealTerms memory terms = book.get(id);
        vm.prank(escape);
        settlement.payForced(terms, cost, to, amounts);
    }

    function refund(bytes32 id, uint64 index) public returns (uint128) {
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(index, id);
        Opening memory batch = grid.openingAt(index);
        return settlement.refundUnsettled(book.get(id), account, path, index, batch);
    }

    function end(uint8 state) private {
        uint32 next = settlement.poolOf(poolId).finalized + 1;
        vm.prank(state == 1 ? escape : court);
        if (state == 1) settlement.abandon(poolId);
        else settlement.convict(poolId, next);
    }

    /// One batch for each task.
    function commitTasks(uint256 n) private {
        for (uint256 i = 0; i < n; i++) {
            grid.settle(deal, list(good), list());
            grid.commit();
        }
    }

    function finalizeAll() private {
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(header.index);
    }

    function finalizeTask() private {
        grid.settle(deal, list(good), list());
        finalizeAll();
    }

    function claim(uint32 workerIdx, uint64 index) private returns (uint128) {
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(index, workerIdx);
        return settlement.claim(poolId, workerIdx, account, path, index, grid.anchorAt(index));
    }

    /// One that is good, for something else.
    function strangersSignature() private view returns (bytes memory) {
        return sign64(VOTE_KEY, keccak256("something else"));
    }

    function registrationFor(address owner_, bytes memory sig) private view returns (bytes memory) {
        (bytes32 nodeKey, uint64 deadline) = ("its node", uint64(block.timestamp));
        uint256 key = VOTE_KEY + 99;
        (bytes32 r, bytes32 vs) = signBinding(owner_, nodeKey, key, deadline);
        return abi.encodeCall(
            ISettlement.registerWorkerFor, (owner_, nodeKey, vm.addr(key), deadline, r, vs, sig)
        );
    }

    /// For want of the burnt account's signature and for nothing else.
    function refused(address to, bytes memory call) private {
        (bool done, bytes memory why) = to.call(call);
        vm.assertFalse(done, "refused");
        bytes memory want = abi.encodeWithSelector(ISettlement.BadSignature.selector, BURNT);
        assembly ("memory-safe") {
            mstore(why, 0x24) // whoever has signed is not looked at
        }
        vm.assertEq(why, want, "its signature is missing");
        vm.assertEq(settlement.freeOf(BURNT), 15_000, "still there");
    }

    function tooLow(address account, uint256 free, uint256 needed)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(ISettlement.FreeTooLow.selector, account, free, needed);
    }

    function notAllowed(address expected) private view returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.NotAllowed.selector, expected, address(this));
    }
}
