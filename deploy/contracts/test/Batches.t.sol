// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../src/ISettlement.sol";
import {DealAccount, Header, Opening, Pool} from "../src/Types.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice Committing, the reservations a commit makes, the ring, finalizing.
contract BatchesTest is Fixture {
    uint128 private constant BOND = 30_000;

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

    // ---- commit ----

    function test_a_committed_batch_is_pending_and_reserves_its_money() public {
        grid.settle(deal, list(good), list(bad));
        Header memory header = grid.draft();
        (bytes32 r, bytes32 vs) = grid.sign(header);
        bytes32 headerHash = hashes.hashHeader(header);
        vm.expectEmit(address(settlement));
        uint64 t = uint64(block.timestamp);
        emit ISettlement.BatchCommitted(poolId, 1, headerHash, header, t, 0);
        vm.prank(stranger);
        settlement.commitBatch(header, r, vs);

        bytes32 rest = keccak256(abi.encode(headerHash, t, bytes32(0)));
        bytes32 word = keccak256(abi.encode(header.stateRoot, rest));
        vm.assertEq(settlement.batchOf(poolId, 1), word, "word");
        Pool memory pool = settlement.poolOf(poolId);
        vm.assertEq(pool.head, 1, "head");
        vm.assertEq(pool.finalized, 0, "finalized");
        vm.assertEq(pool.pendingValue, 1600, "pending value");
        vm.assertEq(pool.pendingDraw, 1000, "pending draw: the price, the slash backs the rest");
        vm.assertEq(pool.pendingSlashed, 300, "pending slashed");
        vm.assertEq(pool.locked, 10_000, "nothing moved");
    }

    /// The event is written without encoding its fields one by one: it must still be exact.
    function testFuzz_the_event_shows_the_header_to_the_byte(uint64 seed) public {
        Header memory header = grid.draft();
        header.count = uint32(bound(seed, 1, 65_536));
        header.tasksRoot = keccak256(abi.encode(seed));
        (header.payout, header.fees, header.royalties, header.slashed) = (3, 2, 4, 1);
        header.cumFees = seed;
        if (header.cumFees < 2) header.cumFees = 2;
        (bytes32 r, bytes32 vs) = grid.sign(header);
        vm.recordLogs();
        settlement.commitBatch(header, r, vs);
        bytes memory data = vm.getRecordedLogs()[0].data;
        vm.assertEq(data, abi.encode(header, block.timestamp, bytes32(0)), "data");
    }

    function test_bits_beyond_a_fields_type_are_refused() public {
        grid.tamper(1, 1, 0);
        (bytes32 r, bytes32 vs) = grid.sign(grid.draft());
        uint8[8] memory fields = [0, 1, 6, 7, 8, 9, 10, 11];
        for (uint256 i = 0; i < fields.length; i++) {
            bytes memory call = abi.encodeCall(ISettlement.commitBatch, (grid.draft(), r, vs));
            call[4 + 32 * uint256(fields[i])] = 0x01;
            (bool done,) = address(settlement).call(call);
            vm.assertFalse(done, "refused");
        }
    }

    function test_batches_follow_one_another() public {
        grid.settle(deal, list(good), list());
        Header memory header = grid.draft();
        header.index = 2;
        expectRefusal(abi.encodeWithSelector(ISettlement.IndexMismatch.selector, 1, 2), header);
        header.index = 0;
        expectRefusal(abi.encodeWithSelector(ISettlement.IndexMismatch.selector, 1, 0), header);
        header = grid.commit();
        expectRefusal(abi.encodeWithSelector(ISettlement.IndexMismatch.selector, 2, 1), header);
        grid.settle(deal, list(good), list());
        grid.commit();
        vm.assertEq(settlement.poolOf(poolId).head, 2, "head");
    }

    function test_a_batch_has_tasks() public {
        grid.settle(deal, list(good), list());
        Header memory header = grid.draft();
        header.count = 0;
        expectRefusal(
            abi.encodeWithSelector(ISettlement.OutOfRange.selector, "count", 1, 65_536, 0), header
        );
        header.count = 65_537;
        expectRefusal(
            abi.encodeWithSelector(ISettlement.OutOfRange.selector, "count", 1, 65_536, 65_537),
            header
        );
    }

    function test_fees_do_not_run_backwards() public {
        grid.settle(deal, list(good), list());
        Header memory header = grid.draft();
        header.cumFees = header.fees - 1;
        expectRefusal(
            abi.encodeWithSelector(
                ISettlement.OutOfRange.selector, "cumFees", 10, type(uint128).max, 9
            ),
            header
        );
    }

    /// What names the batch before, and the sum of fees, is for the Court to judge.
    function test_parents_and_sums_are_not_looked_at() public {
        grid.settle(deal, list(good), list());
        Header memory header = grid.draft();
        (header.parent, header.cumFees) = ("x", 99);
        (bytes32 r, bytes32 vs) = grid.sign(header);
        settlement.commitBatch(header, r, vs);
        vm.assertEq(settlement.poolOf(poolId).head, 1, "head");
    }

    function test_only_the_pools_signer_makes_batches() public {
        grid.settle(deal, list(good), list());
        Header memory header = grid.draft();
        (bytes32 r, bytes32 vs) = vm.signCompact(REQUESTER_KEY, digestOf(hashes.hashHeader(header)));
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.BadSignature.selector, signer, requester)
        );
        settlement.commitBatch(header, r, vs);
    }

    /// Any change of any field breaks the signature, and nothing else is checked before it that
    /// such a change could hide behind.
    function testFuzz_a_signature_covers_every_field(uint256 field, uint256 bit) public {
        grid.settle(deal, list(good), list());
        Header memory header = grid.draft();
        (bytes32 r, bytes32 vs) = grid.sign(header);
        bytes memory call = abi.encodeCall(ISettlement.commitBatch, (header, r, vs));
        // All but the pool's number: that of no pool or of another one is refused before.
        uint8[11] memory widths = [8, 32, 32, 32, 32, 4, 16, 16, 16, 16, 16];
        field %= 11;
        uint256 at = 4 + 32 * (field + 1) + 31 - (bit / 8) % widths[field];
        call[at] ^= bytes1(uint8(1 << (bit % 8)));
        (bool done, bytes memory answer) = address(settlement).call(call);
        vm.assertFalse(done, "refused");
        vm.assertEq(bytes32(bytes4(answer)), bytes32(ISettlement.BadSignature.selector), "why");
    }

    // ---- reservations ----

    function test_the_bond_caps_what_is_pending() public {
        uint128 room = BOND * 2 / 3;
        newDeal(poolId, 100);
        grid.tamper(room - 1000, 990, 11);
        expectRefusal(
            abi.encodeWithSelector(ISettlement.BondTooLow.selector, room, room + 1), grid.draft()
        );
        grid.tamper(room - 1000, 990, 5);
        grid.commit();
        grid.tamper(3, 2, 1);
        expectRefusal(abi.encodeWithSelector(ISettlement.BondTooLow.selector, 5, 6), grid.draft());
        grid.tamper(3, 2, 0);
        grid.commit();

        fund(operator, 3);
        vm.prank(operator);
        settlement.addBond(poolId, 3);
        grid.tamper(2, 1, 0);
        expectRefusal(abi.encodeWithSelector(ISettlement.BondTooLow.selector, 2, 3), grid.draft());
        grid.tamper(2, 0, 0);
        grid.commit();
    }

    function test_a_batch_spends_no_more_than_the_pool_has_locked() public {
        grid.tamper(9999, 2, 0);
        expectRefusal(
            abi.encodeWithSelector(ISettlement.LockedTooLow.selector, 10_000, 10_001), grid.draft()
        );
        grid.tamper(9000, 500, 0);
        grid.commit();
        grid.tamper(499, 2, 0);
        expectRefusal(
            abi.encodeWithSelector(ISettlement.LockedTooLow.selector, 500, 501), grid.draft()
        );
        grid.tamper(499, 3, 2); // slashes back rewards
        grid.commit();
        vm.assertEq(settlement.poolOf(poolId).pendingDraw, 10_000, "all of it");
    }

    function test_a_batch_slashes_no_more_than_is_staked() public {
        grid.tamper(0, 0, 1001);
        expectRefusal(
            abi.encodeWithSelector(ISettlement.StakeTooLow.selector, 1000, 1001), grid.draft()
        );
        grid.tamper(0, 0, 600);
        Header memory header = grid.commit();
        grid.tamper(0, 0, 401);
        expectRefusal(
            abi.encodeWithSelector(ISettlement.StakeTooLow.selector, 400, 401), grid.draft()
        );
        finalizeAt(header);
        expectRefusal(
            abi.encodeWithSelector(ISettlement.StakeTooLow.selector, 400, 401), grid.draft()
        );
    }

    function test_sums_of_a_header_do_not_wrap() public {
        grid.tamper(type(uint128).max, type(uint128).max, type(uint128).max);
        grid.tamperRoyalties(type(uint128).max);
        expectRefusal(
            abi.encodeWithSelector(
                ISettlement.BondTooLow.selector, BOND * 2 / 3, 4 * uint256(type(uint128).max)
            ),
            grid.draft()
        );
    }

    // ---- finalize ----

    function test_finalizing_moves_the_money_where_the_header_says() public {
        grid.settle(deal, list(good), list(bad)); // pays 1287, fees 13, slashes 300
        grid.settle(deal, list(), list(bad)); // fails, refunds 1300
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        vm.expectEmit(address(settlement));
        emit ISettlement.Finalized(poolId, 1, grid.hashOf(1), header.stateRoot);
        Opening memory batch = grid.openingAt(1);
        vm.prank(stranger);
        settlement.finalize(header, batch.committedAt, batch.inbox);

        Pool memory pool = settlement.poolOf(poolId);
        vm.assertEq(pool.owed, 1287 + 13, "owed to workers and the operator");
        vm.assertEq(pool.locked, 8000 + 1300, "eight tasks and a refund");
        vm.assertEq(pool.unapplied, 600, "slashes to take");
        vm.assertEq(pool.finalized, 1, "finalized");
        vm.assertEq(pool.pendingValue + pool.pendingDraw + pool.pendingSlashed, 0, "no reserve");
        checkMoney(0, 1);
    }

    function test_royalties_are_reserved_and_owed_like_the_rest() public {
        bytes32 full = newFullDeal(poolId, 3);
        grid.settle(full, list(good), list());
        grid.commit();
        vm.assertEq(settlement.poolOf(poolId).pendingValue, 1100, "value");
        vm.assertEq(settlement.poolOf(poolId).pendingDraw, 1100, "draw");
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(1);
        vm.assertEq(settlement.poolOf(poolId).owed, 1100, "owed");
        vm.assertEq(settlement.poolOf(poolId).locked, 10_000 + 2200, "locked");
    }

    function test_the_operator_collects_its_fees_against_any_final_batch() public {
        grid.settle(deal, list(good), list());
        finalizeAt(grid.commit());
        grid.settle(deal, list(good), list());
        finalizeAt(grid.commit());
        vm.assertEq(collect(2), 20, "of both");
        vm.assertEq(settlement.freeOf(operator), 20, "free");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 20));
        this.collect(1);
        grid.settle(deal, list(good), list());
        grid.commit();
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, poolId, 3, 1, 2));
        this.collect(3);
        checkMoney(20, 1);
    }

    function test_fees_need_the_batch_that_was_committed() public {
        grid.settle(deal, list(good), list());
        finalizeAt(grid.commit());
        Header memory header = grid.headerAt(1);
        header.cumFees = 900;
        uint64 committedAt = grid.openingAt(1).committedAt;
        vm.expectPartialRevert(ISettlement.BatchMismatch.selector);
        settlement.collectFees(header, committedAt, 0);
    }

    /// A lie about fees that nobody proved takes what the pool owes, and no other pool's money.
    function test_fees_are_at_most_what_the_pool_owes() public {
        grid.tamper(30, 20, 0);
        Header memory header = grid.draft();
        header.cumFees = 500;
        (bytes32 r, bytes32 vs) = grid.sign(header);
        settlement.commitBatch(header, r, vs);
        uint64 t = uint64(block.timestamp);
        vm.warp(t + WINDOW);
        settlement.finalize(header, t, 0);
        vm.assertEq(settlement.collectFees(header, t, 0), 50, "all of it");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolDrained.selector, poolId, 450));
        settlement.collectFees(header, t, 0);
    }

    function test_finalizing_waits_for_the_window_and_takes_its_turn() public {
        grid.settle(deal, list(good), list());
        uint64 t = uint64(block.timestamp);
        Header memory first = grid.draft();
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingPending.selector, poolId));
        settlement.finalize(first, t, 0);
        grid.commit();
        uint256 readyAt = t + WINDOW;
        vm.warp(t + 1);
        grid.settle(deal, list(good), list());
        Header memory second = grid.commit();

        vm.warp(readyAt - 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooEarly.selector, readyAt, readyAt - 1));
        settlement.finalize(first, t, 0);
        vm.warp(readyAt);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.IndexMismatch.selector, 1, 2));
        settlement.finalize(second, t + 1, 0);
        settlement.finalize(first, t, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooEarly.selector, readyAt + 1, readyAt));
        settlement.finalize(second, t + 1, 0);
        vm.warp(readyAt + 1);
        settlement.finalize(second, t + 1, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingPending.selector, poolId));
        settlement.finalize(second, t + 1, 0);
    }

    /// Neither a header, nor a time, nor an inbox other than those committed gets through.
    function test_finalizing_needs_all_that_the_word_holds() public {
        grid.settle(deal, list(good), list());
        Header memory header = grid.commit();
        uint64 t = uint64(block.timestamp);
        vm.warp(t + WINDOW);
        bytes32 word = settlement.batchOf(poolId, 1);
        bytes32 wrong = wordOf(header, t - 1, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BatchMismatch.selector, word, wrong));
        settlement.finalize(header, t - 1, 0);
        wrong = wordOf(header, t, "x");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BatchMismatch.selector, word, wrong));
        settlement.finalize(header, t, "x");
        header.payout++;
        wrong = wordOf(header, t, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BatchMismatch.selector, word, wrong));
        settlement.finalize(header, t, 0);
    }

    /// A refund between commit and finalize takes only what no pending batch will move: the stake
    /// that the second batch slashes must not be counted before the first has spent the rest.
    function test_nothing_makes_a_committed_batch_unfinalizable() public {
        grid.settle(deal, list(), list());
        finalizeAt(grid.commit());

        for (uint256 i = 0; i < 9; i++) {
            grid.settle(deal, list(good), list());
        }
        grid.commit();
        grid.tamper(0, 0, 1000);
        grid.commit();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, deal);
        settlement.refundUnsettled(book.get(deal), account, path, 1, grid.openingAt(1));
        vm.assertEq(settlement.poolOf(poolId).locked, 9000, "what the pending batch spends");
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(2);
        grid.finalize(3);
        vm.assertEq(settlement.poolOf(poolId).locked, 1000, "the slash");
    }

    // ---- the ring ----

    function test_so_many_batches_may_be_pending() public {
        for (uint256 i = 0; i < 512; i++) {
            grid.tamper(1, 0, 0);
            grid.commit();
        }
        grid.tamper(1, 0, 0);
        expectRefusal(abi.encodeWithSelector(ISettlement.RingFull.selector, 512), grid.draft());
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(1);
        grid.commit();
        vm.assertEq(settlement.poolOf(poolId).head, 513, "head");
    }

    function test_the_ring_is_reused_and_forgets_the_oldest() public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownBatch.selector, poolId, 0));
        settlement.batchOf(poolId, 0);
        for (uint64 i = 1; i <= 1030; i++) {
            grid.tamper(1, 0, 0);
            Header memory header = grid.commit();
            if (i < 1030) finalizeAt(header);
        }
        uint64 oldest = 1029 - REMEMBERED + 1;
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.UnknownBatch.selector, poolId, oldest - 1)
        );
        settlement.batchOf(poolId, oldest - 1);
        vm.assertEq(settlement.batchOf(poolId, oldest), wordAt(oldest), "oldest");
        vm.assertEq(settlement.batchOf(poolId, 1030), wordAt(1030), "newest, pending");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownBatch.selector, poolId, 1031));
        settlement.batchOf(poolId, 1031);
    }

    // ---- helpers ----

    function collect(uint64 index) public returns (uint128) {
        Opening memory batch = grid.openingAt(index);
        return settlement.collectFees(grid.headerAt(index), batch.committedAt, batch.inbox);
    }

    function finalizeAt(Header memory header) private {
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(header.index);
    }

    function wordAt(uint64 index) private view returns (bytes32) {
        Opening memory batch = grid.openingAt(index);
        return wordOf(grid.headerAt(index), batch.committedAt, batch.inbox);
    }

    function wordOf(Header memory header, uint64 committedAt, bytes32 inbox)
        private
        view
        returns (bytes32)
    {
        bytes32 rest = keccak256(abi.encode(hashes.hashHeader(header), committedAt, inbox));
        return keccak256(abi.encode(header.stateRoot, rest));
    }

    function expectRefusal(bytes memory refusal, Header memory header) private {
        (bytes32 r, bytes32 vs) = grid.sign(header);
        vm.expectRevert(refusal);
        settlement.commitBatch(header, r, vs);
    }
}
