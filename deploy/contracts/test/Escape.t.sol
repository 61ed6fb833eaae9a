// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IEscape} from "../src/IEscape.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {Messages} from "../src/Messages.sol";
import {FrameProof, SignedSet, Unsettled} from "../src/court/Proofs.sol";
import {Assign, CommitAck, CommitSet} from "../src/Types.sol";
import {Leftover} from "./court/Leftover.sol";
import {more} from "./court/World.sol";
import {vm} from "./support/Vm.sol";

/// @notice Pools that have left their duties: a task with a frozen set that was never settled, and
/// workers that had committed to it.
contract EscapeTest is Leftover {
    uint64 private _over;

    function setUp() public override {
        super.setUp();
        _over = deals[0].deadline + 7 days;
    }

    // ---- neglect ----

    function test_a_pool_that_leaves_a_task_is_ended() public {
        Unsettled memory task = _task(LEFT);
        SignedSet memory signed = _frozen(LEFT, deals[0].deadline);
        vm.warp(_over);
        vm.expectRevert(_early(_over));
        escape.neglect(task, signed);
        vm.warp(_over + 1);
        vm.expectEmit(address(escape));
        emit IEscape.Neglected(poolId, dealIds[0], LEFT);
        escape.neglect(task, signed);
        vm.assertEq(settlement.poolOf(poolId).state, 1, "abandoned");
        vm.assertEq(settlement.poolOf(poolId).bond, BOND, "its bond is not touched");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolDead.selector, poolId, 1));
        escape.neglect(task, signed);
    }

    function test_a_pool_that_never_committed_anything_is_ended() public {
        poolId = _newPool();
        uint256 deal = _newDeal(3, 5);
        Unsettled memory task;
        (task.terms, task.taskIdx) = (deals[deal], 4);
        CommitSet memory set;
        bytes32 taskId = keccak256(abi.encode(dealIds[deal], uint256(4)));
        (set.poolId, set.taskId, set.revealDeadline) = (poolId, taskId, deals[deal].deadline);
        vm.warp(deals[deal].deadline + 7 days + 1);
        escape.neglect(task, _signed(set));
        vm.assertEq(settlement.poolOf(poolId).state, 1, "abandoned");
    }

    /// Who would rather have the pool ended than its payers refunded has two days to be first.
    function test_refunds_open_two_days_after_neglect() public {
        Unsettled memory task = _task(LEFT);
        SignedSet memory signed = _frozen(LEFT, deals[0].deadline);
        uint256 before = more.snapshotState();
        vm.warp(_over + 2 days - 1);
        vm.assertEq(_refund(), PRICE + 70 + STAKE, "the failed one, and its liar's stake");
        vm.warp(_over + 2 days);
        vm.assertEq(_refund(), (60_000 - SETTLED) * (PRICE + 70), "those never settled");
        more.revertToState(before);
        vm.warp(_over + 1);
        escape.neglect(task, signed);
        _refund();
        vm.warp(_over + WINDOW + 7 days);
        vm.expectPartialRevert(ISettlement.NothingDue.selector);
        this.refund();
        vm.warp(_over + 1 + WINDOW + 7 days);
        vm.assertEq(
            _refund(), (60_000 - SETTLED) * (PRICE + 70), "a window and a week after its end"
        );
    }

    function test_a_set_that_ends_after_the_deal_counts_from_its_own_end() public {
        SignedSet memory signed = _frozen(LEFT, deals[0].deadline + 5);
        Unsettled memory task = _task(LEFT);
        vm.warp(_over + 5);
        vm.expectRevert(_early(_over + 5));
        escape.neglect(task, signed);
        vm.warp(_over + 6);
        escape.neglect(task, signed);
    }

    function test_what_is_settled_is_not_neglected() public {
        vm.warp(_over + 1);
        Unsettled memory task = _task(1);
        SignedSet memory signed = _frozen(1, 100);
        vm.expectRevert(abi.encodeWithSelector(IEscape.Settled.selector, dealIds[0], 1));
        escape.neglect(task, signed);
        // Nor can the prover say otherwise.
        task.deal.word = 0;
        vm.expectPartialRevert(bytes4(keccak256("RootMismatch(bytes32,bytes32)")));
        escape.neglect(task, signed);
        task = _task(LEFT);
        delete task.deal.account;
        vm.expectPartialRevert(bytes4(keccak256("RootMismatch(bytes32,bytes32)")));
        escape.neglect(task, _frozen(LEFT, 100));
        task = _task(LEFT);
        task.anchor.stateRoot = "other";
        vm.expectPartialRevert(bytes4(keccak256("WordMismatch(bytes32,bytes32)")));
        escape.neglect(task, _frozen(LEFT, 100));
    }

    function test_what_is_on_its_way_is_not_neglected() public {
        SignedSet memory signed = _frozen(LEFT, 100);
        Unsettled memory task = _task(LEFT);
        vm.warp(_over + 1);
        _commit(_play(_plans(_agreed(LEFT, 7))));
        vm.expectRevert(abi.encodeWithSelector(IEscape.Pending.selector, poolId, 2, 1));
        escape.neglect(task, signed);
    }

    function test_only_the_pools_own_set_of_that_task_counts() public {
        vm.warp(_over + 1);
        Unsettled memory task = _task(LEFT);
        SignedSet memory signed = _frozen(LEFT, 100);
        signed.proof = _frame(VOTE_KEY, keccak256("set"));
        vm.expectPartialRevert(bytes4(keccak256("NotSigned(address,address)")));
        escape.neglect(task, signed);
        signed = _frozen(LEFT + 1, 100);
        vm.expectPartialRevert(bytes4(keccak256("OtherSubject(string,bytes32,bytes32)")));
        escape.neglect(task, signed);
        signed = _frozen(60_000, 100);
        task.taskIdx = 60_000;
        vm.expectRevert(abi.encodeWithSelector(IEscape.NoSuchTask.selector, dealIds[0], 60_000));
        escape.neglect(task, signed);
    }

    // ---- standing by ----

    function test_a_worker_that_stood_by_is_paid_from_the_bond() public {
        vm.warp(_over + 1);
        vm.expectEmit(address(escape));
        emit IEscape.StoodBy(poolId, _idOf(LEFT), 3, STAKE);
        vm.assertEq(_claim(3, LEFT, deals[0].deadline), 300, "30 % of 1,000");
        vm.assertEq(settlement.freeOf(_ownerOf(3)), 300, "the owner's");
        vm.assertEq(settlement.poolOf(poolId).bond, BOND - 300, "the bond's");
        vm.assertEq(escape.paidFor(_idOf(LEFT)), 1, "one");
    }

    function test_in_a_live_pool_not_before_it_could_be_ended() public {
        vm.warp(_over);
        vm.expectRevert(_early(_over));
        this.claimFor(3, LEFT, deals[0].deadline);
    }

    function test_in_a_dead_pool_at_once() public {
        vm.prank(address(court));
        settlement.convict(poolId, 2);
        vm.assertEq(_claim(3, LEFT, type(uint64).max), 300, "at once");
    }

    function test_once_per_task_and_worker_and_no_more_than_replicas() public {
        vm.warp(_over + 1);
        for (uint32 i = 1; i <= 9; i++) {
            _claim(i, LEFT, 100);
            vm.expectRevert(abi.encodeWithSelector(IEscape.PaidBefore.selector, _idOf(LEFT), i));
            this.claimFor(i, LEFT, 100);
        }
        _newWorker(10);
        vm.expectRevert(abi.encodeWithSelector(IEscape.PaidBefore.selector, _idOf(LEFT), 10));
        this.claimFor(10, LEFT, 100);
        vm.assertEq(_claim(10, LEFT + 1, 100), 300, "another task");
    }

    /// Whoever has the signer's key can write acknowledgements for workers of its own.
    function test_standing_by_takes_a_tenth_of_the_bond_at_most() public {
        uint256 deal = _dear(BOND / 10);
        vm.warp(deals[deal].deadline + 7 days + 1);
        for (uint32 i = 1; i <= 3; i++) {
            vm.assertEq(_claimOf(deal, i), 3 * BOND / 100, "30 % of a tenth of the bond");
        }
        vm.assertEq(_claimOf(deal, 4), BOND / 100, "what is left of the tenth");
        bytes memory none = abi.encodeWithSelector(IEscape.NothingLeft.selector, poolId, BOND / 10);
        vm.expectRevert(none);
        this.claimOf(deal, 5);
        vm.expectRevert(none);
        this.claimFor(5, LEFT, 100);
        vm.assertEq(settlement.poolOf(poolId).bond, BOND - BOND / 10, "nine tenths stay");
        vm.assertEq(escape.paidFor(_idOf(deal, LEFT)), 4, "who got nothing does not count");
    }

    function test_the_tenth_is_of_the_bond_at_the_first_payment() public {
        uint256 deal = _dear(BOND / 10);
        vm.prank(address(court));
        settlement.convict(poolId, 2);
        vm.assertEq(_claimOf(deal, 1), BOND / 4 / 10, "a convicted pool has a quarter left");
        vm.expectRevert(abi.encodeWithSelector(IEscape.NothingLeft.selector, poolId, BOND / 4 / 10));
        this.claimOf(deal, 2);
    }

    function test_a_conviction_after_it_does_not_begin_it_anew() public {
        uint256 deal = _dear(BOND);
        vm.warp(deals[deal].deadline + 7 days + 1);
        vm.assertEq(_claimOf(deal, 1), BOND / 10, "all of it");
        vm.prank(address(court));
        settlement.convict(poolId, 2);
        vm.expectPartialRevert(IEscape.NothingLeft.selector);
        this.claimOf(deal, 2);
    }

    function test_nobody_stood_by_a_settled_task() public {
        vm.warp(_over + 1);
        vm.expectRevert(abi.encodeWithSelector(IEscape.Settled.selector, dealIds[0], 1));
        this.claimFor(3, 1, 100);
    }

    function test_assignment_and_acknowledgement_are_of_one_replica() public {
        vm.warp(_over + 1);
        for (uint256 field = 0; field < 7; field++) {
            (Assign memory a, CommitAck memory c) = _words(3, LEFT, 100);
            if (field == 0) a.dealId = "other";
            if (field == 1) a.taskIdx++;
            if (field == 2) a.attempt++;
            if (field == 3) a.workerIdx++;
            if (field == 4) c.poolId++;
            if (field == 5) c.taskId = "other";
            if (field == 6) c.workerIdx++;
            vm.expectPartialRevert(bytes4(keccak256("OtherSubject(string,bytes32,bytes32)")));
            this.claimWith(a, c, SIGNER_KEY, SIGNER_KEY);
        }
        (Assign memory assign, CommitAck memory ack) = _words(3, LEFT, 100);
        vm.expectPartialRevert(bytes4(keccak256("NotSigned(address,address)")));
        this.claimWith(assign, ack, SIGNER_KEY, VOTE_KEY);
        vm.expectPartialRevert(bytes4(keccak256("NotSigned(address,address)")));
        this.claimWith(assign, ack, VOTE_KEY, SIGNER_KEY);
    }

    // ---- helpers ----

    /// A deal of that price.
    function _dear(uint128 unitPrice) private returns (uint256) {
        return _newDealAt(9, 50, unitPrice, LEFT + 1);
    }

    function claimOf(uint256 deal, uint32 worker) external {
        _claimOf(deal, worker);
    }

    function _claimOf(uint256 deal, uint32 worker) private returns (uint128) {
        Assign memory a = Assign(poolId, dealIds[deal], LEFT, 0, worker, 0, 100, 100);
        CommitAck memory c = CommitAck(poolId, _idOf(deal, LEFT), 0, worker, "commitment", 5);
        FrameProof memory pa = _frame(SIGNER_KEY, keccak256(abi.encode(Messages.ASSIGN_TYPE, a)));
        FrameProof memory pc =
            _frame(SIGNER_KEY, keccak256(abi.encode(Messages.COMMIT_ACK_TYPE, c)));
        return escape.claimAbandoned(_taskOf(deal, LEFT), a, pa, c, pc);
    }

    function claimFor(uint32 worker, uint32 taskIdx, uint64 revealDeadline) external {
        _claim(worker, taskIdx, revealDeadline);
    }

    function claimWith(Assign memory a, CommitAck memory c, uint256 keyA, uint256 keyC) external {
        _claimWith(LEFT, a, c, keyA, keyC);
    }

    function _claim(uint32 worker, uint32 taskIdx, uint64 revealDeadline)
        private
        returns (uint128)
    {
        (Assign memory a, CommitAck memory c) = _words(worker, taskIdx, revealDeadline);
        return _claimWith(taskIdx, a, c, SIGNER_KEY, SIGNER_KEY);
    }

    function _words(uint32 worker, uint32 taskIdx, uint64 revealDeadline)
        private
        view
        returns (Assign memory a, CommitAck memory c)
    {
        a = Assign(poolId, dealIds[0], taskIdx, 0, worker, 0, 100, revealDeadline);
        c = CommitAck(poolId, _idOf(taskIdx), 0, worker, "commitment", 5);
    }

    function _claimWith(
        uint32 taskIdx,
        Assign memory a,
        CommitAck memory c,
        uint256 keyA,
        uint256 keyC
    ) private returns (uint128) {
        FrameProof memory pa = _frame(keyA, keccak256(abi.encode(Messages.ASSIGN_TYPE, a)));
        FrameProof memory pc = _frame(keyC, keccak256(abi.encode(Messages.COMMIT_ACK_TYPE, c)));
        return escape.claimAbandoned(_task(taskIdx), a, pa, c, pc);
    }

    function _frozen(uint32 taskIdx, uint64 revealDeadline)
        private
        view
        returns (SignedSet memory)
    {
        return _signed(CommitSet(poolId, _idOf(taskIdx), 0, "root", 3, revealDeadline));
    }

    function _early(uint256 at) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IEscape.TooEarly.selector, at + 1, at);
    }
}
