// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarket} from "../src/IMarket.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {Merkle} from "../src/Merkle.sol";
import {DealTerms, Header, Opening, TaskRec} from "../src/Types.sol";
import {BrokenConsumer, Consumer} from "./support/Consumers.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice The Oracle's interface, as a consumer's developer would write it.
interface IOracle {
    event Delivered(
        bytes32 indexed taskId, address indexed callback, bytes32 digest, bool received
    );

    error NoCallback(bytes32 dealId);
    error NoResult(uint8 outcome);
    error AlreadyDelivered(bytes32 taskId);
    error NotDelivered(bytes32 taskId);
    error GasTooLow(uint256 needed, uint256 left);

    function deliver(
        Header calldata header,
        uint64 committedAt,
        bytes32 inbox,
        TaskRec calldata rec,
        uint32 place,
        bytes32[] calldata path,
        DealTerms calldata terms
    ) external;
    function resultFor(bytes32 id) external view returns (bytes memory);
}

/// @notice Results pushed to contracts, and kept for those that ask (EIP-1154).
contract OracleTest is Fixture {
    uint32 private constant PLACE = 3;

    IOracle private oracle;
    Grid private grid;
    Consumer private consumer;

    function setUp() public override {
        super.setUp();
        oracle = IOracle(vm.deployCode("Oracle.sol:Oracle", abi.encode(address(settlement))));
        grid = newGrid(10_000);
        consumer = new Consumer();
    }

    function test_a_final_result_is_pushed_once_and_can_be_asked_for() public {
        (TaskRec memory rec, bytes32 taskId) = finalTask(address(consumer), 1);
        vm.expectRevert(abi.encodeWithSelector(IOracle.NotDelivered.selector, taskId));
        oracle.resultFor(taskId);
        vm.expectEmit(address(oracle));
        emit IOracle.Delivered(taskId, address(consumer), "digest", true);
        vm.prank(stranger);
        this.deliver(rec);
        vm.assertEq(consumer.id(), taskId, "which");
        vm.assertEq(consumer.result(), abi.encode(bytes32("digest")), "what");
        vm.assertEq(oracle.resultFor(taskId), abi.encode(bytes32("digest")), "asked");
        vm.expectRevert(abi.encodeWithSelector(IOracle.AlreadyDelivered.selector, taskId));
        this.deliver(rec);
    }

    function test_a_consumer_that_fails_fails_nothing_else() public {
        for (uint256 way = 0; way < 3; way++) {
            address broken = way == 2 ? stranger : address(new BrokenConsumer(way));
            setUpAgain();
            (TaskRec memory rec, bytes32 taskId) = finalTask(broken, 1);
            vm.expectEmit(address(oracle));
            emit IOracle.Delivered(taskId, broken, "digest", way == 2);
            this.deliver(rec);
            vm.assertEq(oracle.resultFor(taskId), abi.encode(bytes32("digest")), "kept");
        }
    }

    /// A consumer gets all its gas or the call fails as a whole: nobody can starve it and have the
    /// result count as pushed.
    function test_too_little_gas_delivers_nothing() public {
        (TaskRec memory rec, bytes32 taskId) = finalTask(address(new BrokenConsumer(1)), 1);
        try this.deliver{gas: 250_000}(rec) {
            vm.assertTrue(false, "must fail");
        } catch (bytes memory refusal) {
            vm.assertEq(bytes32(bytes4(refusal)), bytes32(IOracle.GasTooLow.selector), "why");
        }
        vm.expectRevert(abi.encodeWithSelector(IOracle.NotDelivered.selector, taskId));
        oracle.resultFor(taskId);
        vm.assertEq(consumer.result(), "", "not told");
    }

    function test_only_final_batches_deliver() public {
        (TaskRec memory rec,) = committedTask(address(consumer), 1);
        vm.expectPartialRevert(ISettlement.NotFinal.selector);
        this.deliver(rec);
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(1);
        this.deliver(rec);
    }

    function test_only_what_the_batch_holds_is_delivered() public {
        (TaskRec memory rec,) = finalTask(address(consumer), 1);
        rec.winnerDigest = "lie";
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        this.deliver(rec);
        rec.winnerDigest = "digest";
        Header memory header = grid.headerAt(1);
        header.tasksRoot = "lie";
        DealTerms memory terms = book.get(rec.dealId);
        uint64 committedAt = grid.openingAt(1).committedAt;
        vm.expectPartialRevert(ISettlement.BatchMismatch.selector);
        oracle.deliver(header, committedAt, 0, rec, PLACE, pathOf(), terms);
        header = grid.headerAt(1);
        terms.callback = stranger;
        vm.expectPartialRevert(ISettlement.AccountMismatch.selector);
        oracle.deliver(header, committedAt, 0, rec, PLACE, pathOf(), terms);
    }

    function test_failed_tasks_have_no_result() public {
        (TaskRec memory rec,) = finalTask(address(consumer), 2);
        vm.expectRevert(abi.encodeWithSelector(IOracle.NoResult.selector, 2));
        this.deliver(rec);
    }

    function test_deals_without_a_callback_push_nothing() public {
        (TaskRec memory rec,) = finalTask(address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(IOracle.NoCallback.selector, rec.dealId));
        this.deliver(rec);
    }

    // ---- helpers ----

    function setUpAgain() private {
        grid = newGrid(10_000);
    }

    function deliver(TaskRec memory rec) external {
        Opening memory batch = grid.openingAt(1);
        Header memory header = grid.headerAt(1);
        DealTerms memory terms = book.get(rec.dealId);
        oracle.deliver(header, batch.committedAt, batch.inbox, rec, PLACE, pathOf(), terms);
    }

    function finalTask(address callback, uint8 outcome)
        private
        returns (TaskRec memory rec, bytes32 taskId)
    {
        (rec, taskId) = committedTask(callback, outcome);
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(1);
    }

    /// A batch whose tree of tasks has one leaf among others unknown.
    function committedTask(address callback, uint8 outcome)
        private
        returns (TaskRec memory rec, bytes32 taskId)
    {
        IMarket.Match memory m = matchOf(reqOrder(), poolOrder(grid.poolId()), 9);
        m.req.callback = callback;
        sign(m);
        fund(requester, 9 * PRICE);
        rec.dealId = open(m);
        (rec.taskIdx, rec.outcome, rec.winnerDigest) = (7, outcome, "digest");
        taskId = keccak256(abi.encode(rec.dealId, uint256(7)));
        grid.setTasksRoot(hashes.root(hashes.taskLeaf(rec), PLACE, pathOf(), 16));
        grid.settle(rec.dealId, list(newWorker(grid.poolId())), list());
        grid.commit();
    }

    function pathOf() private pure returns (bytes32[] memory siblings) {
        siblings = new bytes32[](Merkle.TASKS_DEPTH);
        siblings[0] = "sibling";
    }
}
