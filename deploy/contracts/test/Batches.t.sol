// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../src/ISettlement.sol";
import {Batch, DealAccount, Header, Pool} from "../src/Types.sol";
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
        emit ISettlement.BatchCommitted(poolId, 1, headerHash, header);
        vm.prank(stranger);
        settlement.commitBatch(header, r, vs);

        Batch memory batch = settlement.batchOf(poolId, 1);
        vm.assertEq(batch.headerHash, headerHash, "hash");
        vm.assertEq(batch.stateRoot, 0, "not final");
        vm.assertEq(batch.committedAt, block.timestamp, "when");
        vm.assertEq(batch.value, 1300 + 300, "value: the reward and the slash");
        vm.assertEq(batch.slashed, 300, "slashed");
        Pool memory pool = settlement.poolOf(poolId);
        vm.assertEq(pool.head, 1, "head");
        vm.assertEq(pool.finalized, 0, "finalized");
        vm.assertEq(pool.pendingValue, 1600, "pending value");
        vm.assertEq(pool.pendingDraw, 1000, "pending draw: the price, the slash backs the rest");
        vm.assertEq(pool.pendingSlashed, 300, "pending slashed");
        vm.assertEq(pool.locked, 10_000, "nothing moved");
    }

    function test_batches_follow_one_another() public {
        grid.settle(deal, list(good), list());
        Header memory header = grid.draft();
        header.index = 2;
        expectRefusal(abi.encodeWithSelector(ISettlement.IndexMismatch.selector, 1, 2), header);
        header.index = 0;
        expectRefusal(abi.encodeWithSelector(ISettlement.IndexMismatch.selector, 1, 0), header);
        header = grid.draft();
        header.parent = "x";
        expectRefusal(
            abi.encodeWithSelector(ISettlement.ParentMismatch.selector, bytes32(0), bytes32("x")),
            header
        );
        header = grid.commit();
        expectRefusal(abi.encodeWithSelector(ISettlement.IndexMismatch.selector, 2, 1), header);
        grid.settle(deal, list(good), list());
        header = grid.draft();
        header.parent = 0;
        expectRefusal(
            abi.encodeWithSelector(ISettlement.ParentMismatch.selector, grid.hashOf(1), bytes32(0)),
            header
        );
        grid.commit();
        vm.assertEq(settlement.poolOf(poolId).head, 2, "head");
    }

    function test_a_batch_has_tasks_and_no_inbox() public {
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
        header.count = 65_536;
        header.ringRoot = "x";
        expectRefusal(
            abi.encodeWithSelector(ISettlement.RingRootMismatch.selector, bytes32(0), bytes32("x")),
            header
        );
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
        // The fields that are not checked before the signature: the roots, evidence and the sums.
        uint8[6] memory words = [3, 4, 5, 7, 8, 9];
        uint256 at = 4 + 32 * uint256(words[field % 6]) + 31 - (bit % 128) / 8;
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
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(header);
        header = grid.draft();
        header.parent = grid.hashOf(1);
        expectRefusal(abi.encodeWithSelector(ISettlement.StakeTooLow.selector, 400, 401), header);
    }

    function test_sums_of_a_header_do_not_wrap() public {
        grid.tamper(type(uint128).max, type(uint128).max, type(uint128).max);
        expectRefusal(
            abi.encodeWithSelector(
                ISettlement.BondTooLow.selector, BOND * 2 / 3, 3 * uint256(type(uint128).max)
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
        vm.prank(stranger);
        settlement.finalize(header);

        Pool memory pool = settlement.poolOf(poolId);
        vm.assertEq(pool.owed, 1287, "owed to workers");
        vm.assertEq(settlement.freeOf(operator), 13, "fees");
        vm.assertEq(pool.locked, 8000 + 1300, "eight tasks and a refund");
        vm.assertEq(pool.unapplied, 600, "slashes to take");
        vm.assertEq(pool.finalized, 1, "finalized");
        vm.assertEq(pool.pendingValue + pool.pendingDraw + pool.pendingSlashed, 0, "no reserve");
        vm.assertEq(settlement.batchOf(poolId, 1).stateRoot, header.stateRoot, "root");
        checkMoney(13, 1);
    }

    function test_finalizing_waits_for_the_window_and_takes_its_turn() public {
        grid.settle(deal, list(good), list());
        Header memory first = grid.draft();
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingPending.selector, poolId));
        settlement.finalize(first);
        grid.commit();
        uint256 readyAt = block.timestamp + WINDOW;
        vm.warp(block.timestamp + 1);
        grid.settle(deal, list(good), list());
        Header memory second = grid.commit();

        vm.warp(readyAt - 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooEarly.selector, readyAt, readyAt - 1));
        settlement.finalize(first);
        vm.warp(readyAt);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.IndexMismatch.selector, 1, 2));
        settlement.finalize(second);
        Header memory forged = grid.headerAt(1);
        forged.payout++;
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.HeaderMismatch.selector, grid.hashOf(1), hashes.hashHeader(forged)
            )
        );
        settlement.finalize(forged);
        settlement.finalize(first);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooEarly.selector, readyAt + 1, readyAt));
        settlement.finalize(second);
        vm.warp(readyAt + 1);
        settlement.finalize(second);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingPending.selector, poolId));
        settlement.finalize(second);
    }

    /// A refund between commit and finalize takes only what no pending batch will move: the stake
    /// that the second batch slashes must not be counted before the first has spent the rest.
    function test_nothing_makes_a_committed_batch_unfinalizable() public {
        grid.settle(deal, list(), list());
        vm.warp(block.timestamp + WINDOW);
        Header memory failed = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(failed);

        for (uint256 i = 0; i < 9; i++) {
            grid.settle(deal, list(good), list());
        }
        Header memory spent = grid.commit();
        grid.tamper(0, 0, 1000);
        Header memory slashed = grid.commit();
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(1, deal);
        settlement.refundUnsettled(deal, account, path, 1);
        vm.assertEq(settlement.poolOf(poolId).locked, 9000, "what the pending batch spends");
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(spent);
        settlement.finalize(slashed);
        vm.assertEq(settlement.poolOf(poolId).locked, 1000, "the slash");
    }

    // ---- the ring ----

    function test_so_many_batches_may_be_pending() public {
        Header memory first;
        for (uint256 i = 0; i < 512; i++) {
            grid.tamper(1, 0, 0);
            Header memory header = grid.commit();
            if (i == 0) first = header;
        }
        grid.tamper(1, 0, 0);
        expectRefusal(abi.encodeWithSelector(ISettlement.RingFull.selector, 512), grid.draft());
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(first);
        grid.commit();
        vm.assertEq(settlement.poolOf(poolId).head, 513, "head");
    }

    function test_the_ring_is_reused_and_forgets_the_oldest() public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownBatch.selector, poolId, 0));
        settlement.batchOf(poolId, 0);
        for (uint64 i = 1; i <= 1030; i++) {
            grid.tamper(1, 0, 0);
            Header memory header = grid.commit();
            if (i == 1030) break;
            vm.warp(block.timestamp + WINDOW);
            settlement.finalize(header);
        }
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownBatch.selector, poolId, 6));
        settlement.batchOf(poolId, 6);
        vm.assertEq(settlement.batchOf(poolId, 7).headerHash, grid.hashOf(7), "oldest");
        vm.assertEq(settlement.batchOf(poolId, 1030).headerHash, grid.hashOf(1030), "newest");
        vm.assertEq(settlement.batchOf(poolId, 1030).stateRoot, 0, "pending in a used slot");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownBatch.selector, poolId, 1031));
        settlement.batchOf(poolId, 1031);
    }

    // ---- helpers ----

    function expectRefusal(bytes memory refusal, Header memory header) private {
        (bytes32 r, bytes32 vs) = grid.sign(header);
        vm.expectRevert(refusal);
        settlement.commitBatch(header, r, vs);
    }
}
