// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../src/ISettlement.sol";
import {Anchor, DealAccount, Header, Opening, Pool, WorkerAccount} from "../src/Types.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice Registration, bonds and how a pool closes.
contract PoolsTest is Fixture {
    function test_pools_are_numbered_from_one_and_keep_their_keys() public {
        fund(operator, 100);
        vm.startPrank(operator);
        vm.expectEmit(address(settlement));
        emit ISettlement.PoolRegistered(1, operator, signer, "node");
        vm.expectEmit(address(settlement));
        emit ISettlement.BondAdded(1, 60, 60);
        vm.assertEq(settlement.registerPool(signer, "node", 60), 1, "first");
        vm.assertEq(settlement.registerPool(signer, "node 2", 0), 2, "second");
        Pool memory pool = settlement.poolOf(1);
        vm.assertEq(pool.operator, operator, "operator");
        vm.assertEq(pool.signer, signer, "signer");
        vm.assertEq(pool.nodeKey, "node", "node key");
        vm.assertEq(pool.bond, 60, "bond");
        vm.assertEq(settlement.freeOf(operator), 40, "free");
        checkMoney(40, 2);
    }

    function test_zero_keys_are_refused() public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroKey.selector, "signer"));
        settlement.registerPool(address(0), "node", 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroKey.selector, "nodeKey"));
        settlement.registerPool(signer, 0, 0);
    }

    function test_bond_comes_from_the_operators_free_balance() public {
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.FreeTooLow.selector, operator, 0, 1));
        settlement.registerPool(signer, "node", 1);

        uint32 poolId = newPool(50);
        fund(operator, 10);
        vm.prank(operator);
        vm.expectEmit(address(settlement));
        emit ISettlement.BondAdded(poolId, 10, 60);
        settlement.addBond(poolId, 10);
        vm.assertEq(settlement.poolOf(poolId).bond, 60, "bond");

        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NotAllowed.selector, operator, address(this))
        );
        settlement.addBond(poolId, 1);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroAmount.selector));
        settlement.addBond(poolId, 0);
    }

    function test_a_bond_has_a_limit() public {
        // More than the test token's supply: give the operator a free balance by storage. Its
        // mapping is the second storage word.
        bytes32 slot = keccak256(abi.encode(operator, FREE_SLOT));
        uint128 max = type(uint96).max;
        vm.store(address(settlement), slot, bytes32(uint256(max) + 1));
        vm.startPrank(operator);
        uint32 poolId = settlement.registerPool(signer, "node", max);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.BondTooLarge.selector, max, uint256(max) + 1)
        );
        settlement.addBond(poolId, 1);
    }

    function test_a_leaving_pool_takes_no_deals_and_commits_nothing() public {
        Grid grid = newGrid(10_000);
        uint32 poolId = grid.poolId();
        bytes32 deal = newDeal(poolId, 1);
        grid.settle(deal, list(newWorker(0)), list());
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NotAllowed.selector, operator, address(this))
        );
        settlement.requestBondExit(poolId);

        uint64 exitAt = uint64(block.timestamp) + WINDOW + 7 days;
        vm.startPrank(operator);
        vm.expectEmit(address(settlement));
        emit ISettlement.BondExitRequested(poolId, exitAt);
        settlement.requestBondExit(poolId);
        bytes memory refusal =
            abi.encodeWithSelector(ISettlement.PoolExiting.selector, poolId, exitAt);
        vm.expectRevert(refusal);
        settlement.requestBondExit(poolId);
        vm.expectRevert(refusal);
        settlement.addBond(poolId, 1);
        vm.stopPrank();

        Header memory header = grid.draft();
        (bytes32 r, bytes32 vs) = grid.sign(header);
        vm.expectRevert(refusal);
        settlement.commitBatch(header, r, vs);
    }

    function test_the_bond_leaves_when_nothing_needs_it() public {
        Grid grid = newGrid(10_000);
        uint32 poolId = grid.poolId();
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolNotExiting.selector, poolId));
        settlement.withdrawBond(poolId);

        (uint32 good, uint32 bad) = (newWorker(0), newWorker(1));
        stakeOn(poolId, bad, 300);
        bytes32 deal = newDeal(poolId, 2);
        grid.settle(deal, list(good), list(bad));
        Header memory header = grid.commit();
        vm.prank(operator);
        settlement.requestBondExit(poolId);
        uint64 exitAt = settlement.poolOf(poolId).exitAt;

        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NotAllowed.selector, operator, address(this))
        );
        settlement.withdrawBond(poolId);
        vm.startPrank(operator);
        vm.warp(exitAt - 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooEarly.selector, exitAt, exitAt - 1));
        settlement.withdrawBond(poolId);
        vm.warp(exitAt);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolBusy.selector, 1, 2000, 0));
        settlement.withdrawBond(poolId);
        grid.finalize(header.index);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolBusy.selector, 0, 1000, 300));
        settlement.withdrawBond(poolId);

        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, bad);
        settlement.claim(poolId, bad, account, path, 1, grid.anchorAt(1));
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolBusy.selector, 0, 1000, 0));
        settlement.withdrawBond(poolId);
        vm.warp(book.get(deal).deadline + 9 days);
        DealAccount memory rest;
        (rest, path) = grid.dealProof(1, deal);
        settlement.refundUnsettled(book.get(deal), rest, path, 1, grid.openingAt(1));

        vm.expectEmit(address(settlement));
        emit ISettlement.BondWithdrawn(poolId, 10_000);
        settlement.withdrawBond(poolId);
        vm.assertEq(settlement.freeOf(operator), 10_000, "bond");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        settlement.withdrawBond(poolId);
    }

    function test_unknown_pools_are_refused_everywhere() public {
        bytes memory refusal = abi.encodeWithSelector(ISettlement.UnknownPool.selector, 9);
        Header memory header;
        header.poolId = 9;
        WorkerAccount memory account;
        bytes32[] memory path = new bytes32[](20);
        uint32 worker = newWorker(0);
        vm.startPrank(owner);
        settlement.requestExit(worker);
        vm.warp(settlement.workerOf(worker).exitAt);
        Anchor memory anchor;
        Opening memory none;
        vm.expectRevert(refusal);
        settlement.unstake(9, worker, account, path, anchor, none);
        vm.expectRevert(refusal);
        settlement.addBond(9, 1);
        vm.expectRevert(refusal);
        settlement.requestBondExit(9);
        vm.expectRevert(refusal);
        settlement.withdrawBond(9);
        vm.expectRevert(refusal);
        settlement.poolOf(9);
        vm.expectRevert(refusal);
        settlement.poolKeys(9);
        vm.expectRevert(refusal);
        settlement.batchOf(9, 1);
        vm.expectRevert(refusal);
        settlement.commitBatch(header, 0, 0);
        vm.expectRevert(refusal);
        settlement.collectFees(header, 0, 0);
        vm.expectRevert(refusal);
        settlement.demandSet(9, 0, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingPending.selector, 9));
        settlement.finalize(header, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotFinal.selector, 9, 1, 1, 0));
        settlement.claim(9, worker, account, path, 1, anchor);
        vm.stopPrank();
        vm.prank(court);
        vm.expectRevert(refusal);
        settlement.convict(9, 1);
        vm.startPrank(escape);
        vm.expectRevert(refusal);
        settlement.abandon(9);
        vm.expectRevert(refusal);
        settlement.payFromBond(9, owner, 1);
    }
}
