// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarket} from "../src/IMarket.sol";
import {
    Anchor,
    ClaimItem,
    DealAccount,
    DealTerms,
    Header,
    Opening,
    PoolOrder,
    ReqOrder,
    Reveal,
    WorkerAccount
} from "../src/Types.sol";
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
        // What a claim pays to the token, and nobody but the token can save.
        token.transfer(requester, 1);
        vm.snapshotGasLastCall(GROUP, "a token's transfer alone");
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
        openMeasured(matchOf(req, offer, 1000), "openDeal two orders, first");
        openMeasured(matchOf(reqOrder(), poolOrder(poolId), 1000), "openDeal two orders, new");
        openMeasured(matchOf(req, offer, 1000), "openDeal two orders, again");
        IMarket.Match memory m = fullMatch(poolId, 1000);
        openMeasured(m, "openDeal four orders, new");
        openMeasured(m, "openDeal four orders, again");
        m.n = 1;
        openMeasured(m, "openDeal four orders, again, 1 task");
    }

    function test_gas_batches_and_claims() public {
        bytes32 deal = newFullDeal(poolId, 60_000);
        batch(deal);
        finalizeLast("finalize first");
        claim(good, 1, "claim first");
        claim(bad, 1, "claim first, with a slash");

        // Once around the ring, so that slots are reused.
        for (uint256 i = 0; i < 1023; i++) {
            grid.tamper(1, 1, 0);
            finalizeAll();
        }
        batch(deal);
        finalizeLast("finalize steady, with slashes");
        claim(good, 1025, "claim second");
        grid.settle(deal, list(good, bad), list());
        commit("commitBatch steady");
        finalizeLast("finalize steady");
        claim(good, 1026, "claim steady");
        royalties(deal, 1026, "claimRoyalties first");
        collect(1026, "collectFees first");
        grid.settle(deal, list(good, bad), list());
        finalizeAll();
        royalties(deal, 1027, "claimRoyalties steady");
        collect(1027, "collectFees steady");
        claimMany(1027);
        restake(deal);
        refund(deal, 1028);
    }

    function test_gas_inbox() public {
        Reveal memory vote = Reveal(
            poolId, keccak256("task"), 0, keccak256("set"), keccak256("result"), keccak256("salt")
        );
        bytes32[] memory deep = new bytes32[](8);
        for (uint256 i = 0; i < 8; i++) {
            deep[i] = keccak256(abi.encode(i));
        }
        bytes32[] memory flat = new bytes32[](4);
        for (uint256 i = 0; i < 4; i++) {
            flat[i] = deep[i];
        }
        settlement.forceVote(poolId, vote, 77, 256, deep, keccak256("r"), keccak256("vs"));
        vm.snapshotGasLastCall(GROUP, "forceVote first, frame of 256");
        settlement.forceVote(poolId, vote, 78, 256, deep, keccak256("r"), keccak256("vs"));
        vm.snapshotGasLastCall(GROUP, "forceVote steady, frame of 256");
        settlement.forceVote(poolId, vote, 7, 16, flat, keccak256("r"), keccak256("vs"));
        vm.snapshotGasLastCall(GROUP, "forceVote steady, frame of 16");
        settlement.demandSet(poolId, keccak256("task"), 0, good);
        vm.snapshotGasLastCall(GROUP, "demandSet steady");
    }

    function test_gas_ends() public {
        vm.prank(court);
        settlement.convict(poolId, 1);
        vm.snapshotGasLastCall(GROUP, "convict");
    }

    function test_gas_commit_first() public {
        grid.settle(newDeal(poolId, 10), list(good, bad), list());
        commit("commitBatch first");
    }

    // ---- helpers ----

    function openMeasured(IMarket.Match memory m, string memory name) private {
        market.openDeal(m);
        vm.snapshotGasLastCall(GROUP, name);
    }

    /// One of each: agreed, with a loser, failed.
    function batch(bytes32 deal) private {
        grid.settle(deal, list(good, bad), list());
        grid.settle(deal, list(good), list(bad));
        grid.settle(deal, list(), list(bad));
        grid.commit();
    }

    function finalizeAll() private {
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(header.index);
    }

    /// The test itself makes the call, so that it is a transaction of its own.
    function commit(string memory name) private {
        Header memory header = grid.draft();
        (bytes32 r, bytes32 vs) = grid.sign(header);
        settlement.commitBatch(header, r, vs);
        vm.snapshotGasLastCall(GROUP, name);
        grid.seal();
    }

    function finalizeLast(string memory name) private {
        vm.warp(block.timestamp + WINDOW);
        uint64 index = settlement.poolOf(poolId).head;
        (Header memory header, Opening memory b) = (grid.headerAt(index), grid.openingAt(index));
        settlement.finalize(header, b.committedAt, b.inbox);
        vm.snapshotGasLastCall(GROUP, name);
    }

    function claim(uint32 workerIdx, uint64 index, string memory name) private {
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(index, workerIdx);
        Anchor memory anchor = grid.anchorAt(index);
        settlement.claim(poolId, workerIdx, account, path, index, anchor);
        vm.snapshotGasLastCall(GROUP, name);
    }

    function claimMany(uint64 index) private {
        ClaimItem[] memory items = new ClaimItem[](2);
        (items[0].workerIdx, items[1].workerIdx) = (good, bad);
        (items[0].account, items[0].proof) = grid.workerProof(index, good);
        (items[1].account, items[1].proof) = grid.workerProof(index, bad);
        Anchor memory anchor = grid.anchorAt(index);
        settlement.claimMany(poolId, index, anchor, items);
        vm.snapshotGasLastCall(GROUP, "claimMany of 2, steady");
    }

    function restake(bytes32 deal) private {
        vm.prank(owner);
        settlement.setRestake(good, true);
        grid.settle(deal, list(good, bad), list());
        finalizeAll();
        claim(good, 1028, "claim steady, left as stake");
    }

    function royalties(bytes32 dealId, uint64 index, string memory name) private {
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(index, dealId);
        (DealTerms memory terms, Anchor memory anchor) = (book.get(dealId), grid.anchorAt(index));
        settlement.claimRoyalties(terms, account, path, index, anchor);
        vm.snapshotGasLastCall(GROUP, name);
    }

    function refund(bytes32 dealId, uint64 index) private {
        (DealAccount memory account, bytes32[] memory path) = grid.dealProof(index, dealId);
        (DealTerms memory terms, Opening memory b) = (book.get(dealId), grid.openingAt(index));
        settlement.refundUnsettled(terms, account, path, index, b);
        vm.snapshotGasLastCall(GROUP, "refundUnsettled");
    }

    function collect(uint64 index, string memory name) private {
        (Header memory header, Opening memory b) = (grid.headerAt(index), grid.openingAt(index));
        settlement.collectFees(header, b.committedAt, b.inbox);
        vm.snapshotGasLastCall(GROUP, name);
    }
}
