// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../src/ISettlement.sol";
import {DealAccount, Header, PoolOrder, ReqOrder, WorkerAccount} from "../src/Types.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice What each call costs as a transaction of its own: intrinsic cost and calldata included,
/// cold storage, refunds taken off. "first" writes storage that was zero; "steady" is what a pool
/// pays day after day. The figures are in snapshots/gas.json, and a change of one fails `./test`.
/// forge-config: default.isolate = true
contract GasTest is Fixture {
    string private constant GROUP = "gas";

    Grid private grid;
    uint32 private poolId;
    uint32 private good;
    uint32 private bad;

    function setUp() public override {
        super.setUp();
        grid = newGrid(100_000_000);
        poolId = grid.poolId();
        (good, bad) = (newWorker(0), newWorker(1));
        stakeOn(poolId, bad, 10_000);
        stakeOn(poolId, good, 10_000);
    }

    function test_gas_escrow() public {
        token.transfer(requester, 100);
        vm.prank(requester);
        token.approve(address(settlement), 100);
        vm.prank(requester);
        settlement.deposit(50);
        vm.snapshotGasLastCall(GROUP, "deposit first");
        vm.prank(requester);
        settlement.deposit(50);
        vm.snapshotGasLastCall(GROUP, "deposit steady");
        vm.prank(requester);
        settlement.withdraw(10);
        vm.snapshotGasLastCall(GROUP, "withdraw");
    }

    function test_gas_people() public {
        newWorker(2);
        vm.snapshotGasLastCall(GROUP, "registerWorker");
        fund(owner, 100);
        vm.prank(owner);
        settlement.stake(poolId, 3, 100);
        vm.snapshotGasLastCall(GROUP, "stake first");
        newPool(0);
        vm.snapshotGasLastCall(GROUP, "registerPool");
    }

    function test_gas_open_deal() public {
        fund(requester, 1_000_000_000);
        ReqOrder memory req = reqOrder();
        PoolOrder memory offer = poolOrder(poolId);
        open(req, offer, 1000);
        vm.snapshotGasLastCall(GROUP, "openDeal first, 1000 tasks");
        open(reqOrder(), poolOrder(poolId), 1000);
        vm.snapshotGasLastCall(GROUP, "openDeal new orders, 1000 tasks");
        open(req, offer, 1000);
        vm.snapshotGasLastCall(GROUP, "openDeal same orders, 1000 tasks");
    }

    function test_gas_batches_and_claims() public {
        bytes32 deal = newDeal(poolId, 60_000);
        batch(deal);
        vm.snapshotGasLastCall(GROUP, "finalize first");
        claim(good, 1);
        vm.snapshotGasLastCall(GROUP, "claim first");
        claim(bad, 1);
        vm.snapshotGasLastCall(GROUP, "claim first, with a slash");

        // Once around the ring, so that slots are reused.
        for (uint256 i = 0; i < 1023; i++) {
            grid.tamper(1, 1, 0);
            finalizeAll();
        }
        batch(deal);
        vm.snapshotGasLastCall(GROUP, "finalize steady, with slashes");
        grid.settle(deal, list(good, bad), list());
        commit("commitBatch steady");
        finalizeLast();
        vm.snapshotGasLastCall(GROUP, "finalize steady");
        claim(good, 1026);
        vm.snapshotGasLastCall(GROUP, "claim steady");
        refund(deal, 1026);
        vm.snapshotGasLastCall(GROUP, "refundUnsettled");
    }

    function test_gas_commit_first() public {
        grid.settle(newDeal(poolId, 10), list(good, bad), list());
        commit("commitBatch first");
    }

    // ---- helpers ----

    /// One of each: agreed, with a loser, failed.
    function batch(bytes32 deal) private {
        grid.settle(deal, list(good, bad), list());
        grid.settle(deal, list(good), list(bad));
        grid.settle(deal, list(), list(bad));
        finalizeAll();
    }

    function finalizeAll() private {
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(header);
    }

    /// The test itself makes the call, so that it is a transaction of its own.
    function commit(string memory name) private {
        Header memory header = grid.draft();
        (bytes32 r, bytes32 vs) = grid.sign(header);
        settlement.commitBatch(header, r, vs);
        vm.snapshotGasLastCall(GROUP, name);
        grid.seal();
    }

    function finalizeLast() private {
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(grid.headerAt(settlement.poolOf(poolId).head));
    }

    function claim(uint32 workerIdx, uint64 index) private {
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(index, workerIdx);
        settlement.claim(poolId, workerIdx, account, path, index);
    }

    function refund(bytes32 dealId, uint64 index) private {
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(index, dealId);
        settlement.refundUnsettled(dealId, account, path, index);
    }
}
