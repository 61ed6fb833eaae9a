// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../src/ISettlement.sol";
import {Merkle} from "../src/Merkle.sol";
import {
    Anchor,
    BindWorker,
    Header,
    Opening,
    Worker,
    WorkerAccount,
    WorkerOp
} from "../src/Types.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice Registration, stakes and the exit timer.
contract WorkersTest is Fixture {
    uint64 private constant EXIT_TIME = WINDOW + 1 days + 1 days;

    // ---- registration ----

    function test_workers_are_numbered_from_one_and_keep_their_keys() public {
        bytes32 nodeKey = keccak256(abi.encode("node", VOTE_KEY));
        vm.expectEmit(address(settlement));
        emit ISettlement.WorkerRegistered(1, owner, nodeKey, vm.addr(VOTE_KEY));
        vm.assertEq(newWorker(0), 1, "first");
        vm.assertEq(newWorker(1), 2, "second");
        Worker memory worker = settlement.workerOf(1);
        vm.assertEq(worker.owner, owner, "owner");
        vm.assertEq(worker.voteKey, vm.addr(VOTE_KEY), "vote key");
        vm.assertEq(worker.nodeKey, nodeKey, "node key");
        vm.assertEq(worker.exitAt, 0, "not leaving");
        vm.assertEq(settlement.workerOfVoteKey(vm.addr(VOTE_KEY)), 1, "by vote key");
        vm.assertEq(settlement.workerOfNodeKey(nodeKey), 1, "by node key");
    }

    function test_a_binding_for_another_owner_is_refused() public {
        uint64 deadline = uint64(block.timestamp);
        (bytes32 r, bytes32 vs) = signBinding(owner, "node", VOTE_KEY, deadline);
        vm.prank(stranger);
        vm.expectPartialRevert(ISettlement.BadSignature.selector);
        settlement.registerWorker("node", vm.addr(VOTE_KEY), deadline, r, vs);
    }

    function test_a_binding_by_another_key_is_refused() public {
        uint64 deadline = uint64(block.timestamp);
        bytes32 structHash = bindingHash("node", vm.addr(VOTE_KEY), deadline);
        (bytes32 r, bytes32 vs) = vm.signCompact(VOTE_KEY + 1, digestOf(structHash));
        vm.prank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.BadSignature.selector, vm.addr(VOTE_KEY), vm.addr(VOTE_KEY + 1)
            )
        );
        settlement.registerWorker("node", vm.addr(VOTE_KEY), deadline, r, vs);
    }

    function test_a_late_binding_is_refused() public {
        uint64 deadline = uint64(block.timestamp - 1);
        (bytes32 r, bytes32 vs) = signBinding(owner, "node", VOTE_KEY, deadline);
        vm.prank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.SignatureExpired.selector, deadline, block.timestamp)
        );
        settlement.registerWorker("node", vm.addr(VOTE_KEY), deadline, r, vs);
    }

    function test_keys_are_bound_once() public {
        newWorker(0);
        bytes32 nodeKey = settlement.workerOf(1).nodeKey;
        uint64 deadline = uint64(block.timestamp);
        (bytes32 r, bytes32 vs) = signBinding(owner, "other", VOTE_KEY, deadline);
        vm.startPrank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.VoteKeyBound.selector, vm.addr(VOTE_KEY), 1)
        );
        settlement.registerWorker("other", vm.addr(VOTE_KEY), deadline, r, vs);
        (r, vs) = signBinding(owner, nodeKey, VOTE_KEY + 1, deadline);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NodeKeyBound.selector, nodeKey, 1));
        settlement.registerWorker(nodeKey, vm.addr(VOTE_KEY + 1), deadline, r, vs);
    }

    function test_zero_keys_are_refused() public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroKey.selector, "nodeKey"));
        settlement.registerWorker(0, vm.addr(VOTE_KEY), type(uint64).max, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroKey.selector, "voteKey"));
        settlement.registerWorker("node", address(0), type(uint64).max, 0, 0);
    }

    function test_the_tree_has_room_for_so_many_workers() public {
        uint32 last = 2 ** 19 - 1;
        setWorkers(last - 1);
        vm.assertEq(newWorker(0), last, "the last place");
        uint64 deadline = uint64(block.timestamp);
        (bytes32 r, bytes32 vs) = signBinding(owner, "node", VOTE_KEY + 1, deadline);
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WorkersFull.selector, last));
        settlement.registerWorker("node", vm.addr(VOTE_KEY + 1), deadline, r, vs);
    }

    function test_an_owner_registers_by_signature_alone() public {
        address boss = vm.addr(0xB055);
        uint64 deadline = uint64(block.timestamp);
        (bytes32 r, bytes32 vs) = signBinding(boss, "node", VOTE_KEY, deadline);
        bytes memory ownerSig = bindBy(0xB055, boss, deadline);
        vm.prank(stranger);
        uint32 worker = settlement.registerWorkerFor(
            boss, "node", vm.addr(VOTE_KEY), deadline, r, vs, ownerSig
        );
        vm.assertEq(settlement.workerOf(worker).owner, boss, "owner");
    }

    function test_nobody_is_registered_without_having_signed() public {
        address boss = vm.addr(0xB055);
        uint64 deadline = uint64(block.timestamp);
        (bytes32 r, bytes32 vs) = signBinding(boss, "node", VOTE_KEY, deadline);
        bytes memory ownerSig = bindBy(0xB056, boss, deadline);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.BadSignature.selector, boss, vm.addr(0xB056))
        );
        settlement.registerWorkerFor(boss, "node", vm.addr(VOTE_KEY), deadline, r, vs, ownerSig);
        ownerSig = bindBy(0xB055, boss, deadline);
        vm.expectPartialRevert(ISettlement.BadSignature.selector); // the vote key's
        settlement.registerWorkerFor(boss, "node", vm.addr(VOTE_KEY), deadline, vs, r, ownerSig);
    }

    // ---- stake ----

    function test_stake_moves_free_money_to_one_pools_risk() public {
        uint32 poolId = newPool(0);
        uint32 other = newPool(0);
        uint32 worker = newWorker(0);
        fund(owner, 500);
        vm.startPrank(owner);
        settlement.stake(poolId, worker, 100);
        vm.expectEmit(address(settlement));
        emit ISettlement.Staked(poolId, worker, 200, 300);
        settlement.stake(poolId, worker, 200);
        vm.assertEq(settlement.seatOf(poolId, worker).stake, 300, "seat");
        vm.assertEq(settlement.poolOf(poolId).staked, 300, "pool");
        vm.assertEq(settlement.seatOf(other, worker).stake, 0, "no other pool");
        checkMoney(200, 2);
    }

    function test_stake_refuses_whoever_and_whatever_it_should() public {
        uint32 poolId = newPool(0);
        uint32 worker = newWorker(0);
        fund(owner, 100);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NotAllowed.selector, owner, address(this))
        );
        settlement.stake(poolId, worker, 1);

        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownWorker.selector, worker + 1));
        settlement.stake(poolId, worker + 1, 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownPool.selector, poolId + 1));
        settlement.stake(poolId + 1, worker, 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroAmount.selector));
        settlement.stake(poolId, worker, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.FreeTooLow.selector, owner, 100, 101));
        settlement.stake(poolId, worker, 101);

        settlement.requestExit(worker);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.WorkerExiting.selector, worker, block.timestamp + EXIT_TIME
            )
        );
        settlement.stake(poolId, worker, 1);
        settlement.cancelExit(worker);
        vm.stopPrank();

        vm.prank(operator);
        settlement.requestBondExit(poolId);
        vm.prank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.PoolExiting.selector, poolId, block.timestamp + WINDOW + 7 days
            )
        );
        settlement.stake(poolId, worker, 1);
    }

    // ---- the exit timer ----

    function test_only_the_owner_starts_and_stops_the_timer() public {
        uint32 worker = newWorker(0);
        bytes memory refusal =
            abi.encodeWithSelector(ISettlement.NotAllowed.selector, owner, stranger);
        vm.startPrank(stranger);
        vm.expectRevert(refusal);
        settlement.requestExit(worker);
        vm.expectRevert(refusal);
        settlement.cancelExit(worker);
        vm.stopPrank();

        uint64 exitAt = uint64(block.timestamp) + EXIT_TIME;
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WorkerNotExiting.selector, worker));
        settlement.cancelExit(worker);
        vm.expectEmit(address(settlement));
        emit ISettlement.ExitRequested(worker, exitAt);
        settlement.requestExit(worker);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WorkerExiting.selector, worker, exitAt));
        settlement.requestExit(worker);
        vm.expectEmit(address(settlement));
        emit ISettlement.ExitCancelled(worker);
        settlement.cancelExit(worker);
        vm.assertEq(settlement.workerOf(worker).exitAt, 0, "stays");
    }

    function test_an_owner_operates_its_worker_by_signature() public {
        (uint32 worker, address boss) = bossWorker();
        uint64 exitAt = uint64(block.timestamp) + EXIT_TIME;
        vm.expectEmit(address(settlement));
        emit ISettlement.ExitRequested(worker, exitAt);
        operate(worker, 1, 0);
        vm.assertEq(settlement.workerOf(worker).exitAt, exitAt, "leaves");
        operate(worker, 2, 1);
        vm.assertEq(settlement.workerOf(worker).exitAt, 0, "stays");
        vm.expectEmit(address(settlement));
        emit ISettlement.RestakeSet(worker, true);
        operate(worker, 3, 2);
        vm.assertTrue(settlement.workerOf(worker).restake, "restakes");
        operate(worker, 4, 3);
        vm.assertFalse(settlement.workerOf(worker).restake, "no more");
        vm.assertEq(settlement.nonceOf(boss), 4, "four operations");
    }

    function test_an_operation_is_done_once_in_its_turn_and_in_time() public {
        (uint32 worker,) = bossWorker();
        (WorkerOp memory op, bytes memory sig) = opOf(worker, 3, 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NonceMismatch.selector, 0, 1));
        settlement.operateWorker(op, sig);
        (op, sig) = opOf(worker, 3, 0);
        settlement.operateWorker(op, sig);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NonceMismatch.selector, 1, 0));
        settlement.operateWorker(op, sig);
        (op, sig) = opOf(worker, 5, 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownOp.selector, 5));
        settlement.operateWorker(op, sig);
        (op, sig) = opOf(worker, 1, 1);
        vm.warp(op.deadline + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.SignatureExpired.selector, op.deadline, block.timestamp
            )
        );
        settlement.operateWorker(op, sig);
    }

    /// Neither a stranger's signature nor a change of a signed operation moves a timer.
    function test_nobody_else_operates_a_worker() public {
        (uint32 worker, address boss) = bossWorker();
        uint32 other = newWorker(1);
        (WorkerOp memory op, bytes memory sig) = opOf(worker, 4, 0);
        op.op = 1;
        vm.expectPartialRevert(ISettlement.BadSignature.selector);
        settlement.operateWorker(op, sig);
        (op, sig) = opOf(other, 1, 0); // signed by the owner of another worker
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BadSignature.selector, owner, boss));
        settlement.operateWorker(op, sig);
        vm.assertEq(settlement.workerOf(worker).exitAt, 0, "unmoved");
        vm.assertEq(settlement.workerOf(other).exitAt, 0, "unmoved");
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NotAllowed.selector, boss, address(this))
        );
        settlement.setRestake(worker, true);
    }

    /// Livepeer's bug class: nothing that a third party can call moves a timer.
    function test_no_call_of_others_moves_the_timer() public {
        (Grid grid, uint32 worker) = oneWorker(300);
        vm.prank(owner);
        settlement.requestExit(worker);
        uint64 exitAt = settlement.workerOf(worker).exitAt;

        bytes32 deal = newDeal(grid.poolId(), 1);
        grid.settle(deal, list(worker), list());
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(header.index);
        fund(stranger, 1);
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, worker);
        (uint32 poolId, Anchor memory anchor) = (grid.poolId(), grid.anchorAt(1));
        vm.prank(stranger);
        settlement.claim(poolId, worker, account, path, 1, anchor);
        vm.assertEq(settlement.workerOf(worker).exitAt, exitAt, "unmoved");
    }

    // ---- unstake ----

    function test_a_worker_no_pool_ever_touched_gets_its_stake_back() public {
        (Grid grid, uint32 worker) = oneWorker(300);
        leave(worker);
        vm.expectEmit(address(settlement));
        emit ISettlement.Unstaked(grid.poolId(), worker, 300, 0);
        this.unstake(grid, worker, 0);
        vm.assertEq(settlement.freeOf(owner), 300, "free");
        vm.assertEq(settlement.poolOf(grid.poolId()).staked, 0, "pool");
        checkMoney(300, 1);
    }

    function test_a_worker_never_touched_proves_it_against_later_states_too() public {
        (Grid grid, uint32 worker) = oneWorker(300);
        uint32 busy = newWorker(1);
        finalizeOne(grid, newDeal(grid.poolId(), 1), list(busy), list());
        leave(worker);
        this.unstake(grid, worker, 1);
        vm.assertEq(settlement.freeOf(owner), 300, "free");
    }

    function test_slashes_are_taken_before_the_stake_leaves() public {
        (Grid grid, uint32 worker) = oneWorker(1000);
        uint32 honest = newWorker(1);
        finalizeOne(grid, newDeal(grid.poolId(), 1), list(honest), list(worker));
        leave(worker);
        vm.expectEmit(address(settlement));
        emit ISettlement.Slashed(grid.poolId(), worker, 300, 0);
        this.unstake(grid, worker, 1);
        vm.assertEq(settlement.freeOf(owner), 700, "free");
        vm.assertEq(settlement.poolOf(grid.poolId()).unapplied, 0, "applied");
    }

    function test_unstake_waits_for_the_timer_and_for_overdue_batches() public {
        (Grid grid, uint32 worker) = oneWorker(300);
        uint32 poolId = grid.poolId();
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WorkerNotExiting.selector, worker));
        this.unstake(grid, worker, 0);
        vm.prank(owner);
        settlement.requestExit(worker);
        uint64 exitAt = settlement.workerOf(worker).exitAt;
        vm.warp(exitAt - 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooEarly.selector, exitAt, exitAt - 1));
        this.unstake(grid, worker, 0);

        bytes32 deal = newDeal(poolId, 1);
        grid.settle(deal, list(newWorker(1)), list(worker));
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.FinalizeFirst.selector, poolId, 1));
        this.unstake(grid, worker, 0);
        grid.finalize(header.index);
        vm.expectPartialRevert(ISettlement.BatchMismatch.selector);
        this.unstake(grid, worker, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingDue.selector, 0));
        this.unstake(grid, worker, 1); // all of it was slashed
    }

    /// Who would rather not be slashed cannot pass over a pending batch by misstating its time.
    function test_unstake_needs_the_true_time_of_what_is_pending() public {
        (Grid grid, uint32 worker) = oneWorker(300);
        uint32 poolId = grid.poolId();
        bytes32 deal = newDeal(poolId, 1);
        vm.prank(owner);
        settlement.requestExit(worker);
        grid.settle(deal, list(newWorker(1)), list(worker));
        grid.commit();
        vm.warp(settlement.workerOf(worker).exitAt);
        (WorkerAccount memory none, bytes32[] memory path) = grid.workerProof(0, worker);
        Opening memory next = grid.nextOpening();
        next.committedAt = uint64(block.timestamp);
        Anchor memory anchor = grid.anchorAt(0);
        vm.prank(owner);
        vm.expectPartialRevert(ISettlement.BatchMismatch.selector);
        settlement.unstake(poolId, worker, none, path, anchor, next);
    }

    function test_unstake_refuses_other_peoples_accounts() public {
        (Grid grid, uint32 worker) = oneWorker(300);
        uint32 poolId = grid.poolId();
        finalizeOne(grid, newDeal(poolId, 1), list(worker), list());
        leave(worker);
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, worker);
        (Anchor memory anchor, Opening memory none) = (grid.anchorAt(1), grid.nextOpening());

        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NotAllowed.selector, owner, address(this))
        );
        settlement.unstake(poolId, worker, account, path, anchor, none);

        vm.startPrank(owner);
        WorkerAccount memory wrong = copy(account);
        wrong.owner = stranger;
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.AccountMismatch.selector, word(owner), word(stranger)
            )
        );
        settlement.unstake(poolId, worker, wrong, path, anchor, none);
        wrong = copy(account);
        wrong.voteKey = stranger;
        vm.expectPartialRevert(ISettlement.ProofMismatch.selector);
        settlement.unstake(poolId, worker, wrong, path, anchor, none);
        wrong = copy(account);
        wrong.owner = address(0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.EmptyAccountNotZero.selector));
        settlement.unstake(poolId, worker, wrong, path, anchor, none);
    }

    function test_a_slash_committed_too_late_is_paid_by_the_bond() public {
        (Grid grid, uint32 worker) = oneWorker(300);
        uint32 honest = newWorker(1);
        stakeOn(grid.poolId(), honest, 300);
        uint32 poolId = grid.poolId();
        bytes32 deal = newDeal(poolId, 1);
        leave(worker);
        grid.settle(deal, list(honest), list(worker));
        Header memory header = grid.commit();
        this.unstake(grid, worker, 0);
        vm.assertEq(settlement.freeOf(owner), 300, "left in full");

        vm.warp(block.timestamp + WINDOW);
        grid.finalize(header.index);
        uint128 bond = settlement.poolOf(poolId).bond;
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(1, worker);
        Anchor memory anchor = grid.anchorAt(1);
        vm.expectEmit(address(settlement));
        emit ISettlement.Slashed(poolId, worker, 0, 300);
        settlement.claim(poolId, worker, account, path, 1, anchor);
        vm.assertEq(settlement.poolOf(poolId).bond, bond - 300, "bond pays");
        vm.assertEq(settlement.poolOf(poolId).staked, 300, "others' stake does not");
    }

    function test_pending_slashes_keep_stake_from_leaving_last() public {
        (Grid grid, uint32 worker) = oneWorker(200);
        uint32 other = newWorker(1);
        stakeOn(grid.poolId(), other, 100);
        // A dishonest pool slashes 300 without saying whom, while the worker's timer has run out.
        leave(worker);
        grid.tamper(0, 0, 300);
        grid.commit();
        uint32 poolId = grid.poolId();
        vm.expectRevert(abi.encodeWithSelector(ISettlement.PoolDrained.selector, poolId, 200));
        this.unstake(grid, worker, 0);
    }

    function test_what_a_dishonest_pool_leaves_can_be_taken_in_parts() public {
        (Grid grid, uint32 worker) = oneWorker(200);
        leave(worker);
        grid.tamper(0, 0, 150);
        grid.commit();
        vm.expectEmit(address(settlement));
        emit ISettlement.Unstaked(grid.poolId(), worker, 50, 150);
        this.unstake(grid, worker, 0);
        vm.assertEq(settlement.freeOf(owner), 50, "what is left");
        checkMoney(50, 1);
    }

    // ---- helpers ----

    function oneWorker(uint128 amount) private returns (Grid grid, uint32 worker) {
        grid = newGrid(10_000);
        worker = newWorker(0);
        stakeOn(grid.poolId(), worker, amount);
    }

    function leave(uint32 worker) private {
        vm.prank(owner);
        settlement.requestExit(worker);
        vm.warp(settlement.workerOf(worker).exitAt);
    }

    /// Sent as this contract, so that a test's expectation meets the call itself.
    function unstake(Grid grid, uint32 worker, uint64 index) external {
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(index, worker);
        uint32 poolId = grid.poolId();
        (Anchor memory anchor, Opening memory next) = (grid.anchorAt(index), grid.nextOpening());
        vm.prank(owner);
        settlement.unstake(poolId, worker, account, path, anchor, next);
    }

    function finalizeOne(Grid grid, bytes32 deal, uint32[] memory winners, uint32[] memory losers)
        private
    {
        grid.settle(deal, winners, losers);
        Header memory header = grid.commit();
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(header.index);
    }

    function bossWorker() private returns (uint32 worker, address boss) {
        boss = vm.addr(0xB055);
        worker = newWorker(boss, VOTE_KEY + 9);
    }

    function opOf(uint32 worker, uint8 op, uint64 nonce)
        private
        view
        returns (WorkerOp memory made, bytes memory sig)
    {
        made = WorkerOp(worker, op, nonce, uint64(block.timestamp + 1 hours));
        sig = sign64(0xB055, hashes.hashWorkerOp(made));
    }

    function operate(uint32 worker, uint8 op, uint64 nonce) private {
        (WorkerOp memory made, bytes memory sig) = opOf(worker, op, nonce);
        vm.prank(stranger);
        settlement.operateWorker(made, sig);
    }

    function bindBy(uint256 key, address boss, uint64 deadline)
        private
        view
        returns (bytes memory)
    {
        BindWorker memory binding = BindWorker(boss, "node", vm.addr(VOTE_KEY), deadline);
        return sign64(key, hashes.hashBindWorker(binding));
    }

    function bindingHash(bytes32 nodeKey, address voteKey, uint64 deadline)
        private
        view
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                keccak256(
                    "BindWorker(address owner,bytes32 nodeKey,address voteKey,uint64 deadline)"
                ),
                owner,
                nodeKey,
                voteKey,
                deadline
            )
        );
    }

    /// The counter of workers is the low end of the first storage word.
    function setWorkers(uint32 count) private {
        vm.store(address(settlement), bytes32(COUNTERS_SLOT), bytes32(uint256(count)));
    }

    function copy(WorkerAccount memory a) private pure returns (WorkerAccount memory) {
        return WorkerAccount(a.owner, a.voteKey, a.cumEarned, a.cumSlashed, a.score, a.lastTaskSeq);
    }

    function word(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
