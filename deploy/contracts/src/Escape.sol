// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Bench} from "./court/Bench.sol";
import {FrameProof, SignedSet, Unsettled} from "./court/Proofs.sol";
import {IEscape} from "./IEscape.sol";
import {Merkle} from "./Merkle.sol";
import {Messages} from "./Messages.sol";
import {Paths} from "./Paths.sol";
import {Assign, CommitAck, Deal, DealAccount, DealTerms} from "./Types.sol";

/// @title Ways out of a pool that has left its duties. IEscape.sol is the specification.
/// @dev Checks proofs as the court's benches do, and asks Settlement to move the money.
contract Escape is IEscape, Bench {
    using Paths for Paths.Empties;

    /// @notice After the last moment at which a task can be worked on, a pool has this long to settle
    /// it: Settlement's GRACE, within which an honest one may still commit it.
    uint256 public constant NEGLECT = 7 days;
    /// @notice Percent of the unit price for a worker that committed and was left alone: what a
    /// deal's stake usually is.
    uint256 public constant STANDBY = 30;
    /// @notice First place of deals in the state tree.
    uint256 private constant DEALS = 1 << 19;
    /// @notice Depth of a deal's bitmap of settled tasks.
    uint256 private constant BITMAP_DEPTH = 8;
    /// @notice A pool's state while it has all its duties.
    uint8 private constant LIVE = 0;

    mapping(bytes32 taskId => mapping(uint32 workerIdx => bool)) private _paid;
    /// @inheritdoc IEscape
    mapping(bytes32 taskId => uint256) public paidFor;

    constructor(address settlement) Bench(settlement) {}

    /// @inheritdoc IEscape
    function neglect(Unsettled calldata task, SignedSet calldata signed) external {
        (uint32 poolId, bytes32 dealId) = (signed.set.poolId, Messages.dealId(task.terms));
        bytes32 taskId = Messages.taskId(dealId, task.taskIdx);
        if (taskId != signed.set.taskId) revert OtherSubject("taskId", taskId, signed.set.taskId);
        _checkLate(task.terms, signed.set.revealDeadline);
        _checkUnsettled(poolId, dealId, task);
        _checkSigned(Paths.empties(), poolId, Messages.hash(signed.set), signed.proof);
        emit Neglected(poolId, dealId, task.taskIdx);
        settlement.abandon(poolId);
    }

    /// @inheritdoc IEscape
    function claimAbandoned(
        Unsettled calldata task,
        Assign calldata assign,
        FrameProof calldata assignProof,
        CommitAck calldata ack,
        FrameProof calldata ackProof
    ) external returns (uint128 paid) {
        (uint32 poolId, bytes32 dealId) = (assign.poolId, Messages.dealId(task.terms));
        bytes32 taskId = Messages.taskId(dealId, task.taskIdx);
        _checkSameReplica(dealId, taskId, task.taskIdx, assign, ack);
        if (settlement.poolOf(poolId).state == LIVE) {
            _checkLate(task.terms, assign.revealDeadline);
        }
        _checkUnsettled(poolId, dealId, task);
        Paths.Empties table = Paths.empties();
        _checkSigned(table, poolId, Messages.hash(assign), assignProof);
        _checkSigned(table, poolId, Messages.hash(ack), ackProof);

        uint32 worker = ack.workerIdx;
        if (_paid[taskId][worker] || paidFor[taskId] >= task.terms.replicas) {
            revert PaidBefore(taskId, worker);
        }
        _paid[taskId][worker] = true;
        paidFor[taskId]++;
        address owner = settlement.workerOf(worker).owner;
        uint256 fee = uint256(task.terms.unitPrice) * STANDBY / 100;
        paid = settlement.payFromBond(poolId, owner, uint128(fee));
        emit StoodBy(poolId, taskId, worker, paid);
    }

    /// @dev Assignment and acknowledgement are of one replica of the task.
    function _checkSameReplica(
        bytes32 dealId,
        bytes32 taskId,
        uint32 taskIdx,
        Assign calldata assign,
        CommitAck calldata ack
    ) private pure {
        bool same = assign.dealId == dealId && assign.taskIdx == taskIdx && ack.taskId == taskId
            && ack.poolId == assign.poolId && ack.attempt == assign.attempt
            && ack.workerIdx == assign.workerIdx;
        if (!same) revert OtherSubject("replica", taskId, ack.taskId);
    }

    /// @dev The pool has had its time.
    function _checkLate(DealTerms calldata terms, uint64 revealDeadline) private view {
        uint256 last = revealDeadline > terms.deadline ? revealDeadline : terms.deadline;
        if (block.timestamp <= last + NEGLECT) {
            revert TooEarly(last + NEGLECT + 1, block.timestamp);
        }
    }

    /// @dev The task is one of the pool's, not settled in the newest final state, and nothing is on
    /// its way that could settle it.
    function _checkUnsettled(uint32 poolId, bytes32 dealId, Unsettled calldata task) private view {
        Deal memory deal = settlement.dealOf(dealId);
        if (deal.poolId != poolId || poolId == 0 || task.taskIdx >= task.terms.tasks) {
            revert NoSuchTask(dealId, task.taskIdx);
        }
        bytes32 root = _newestState(poolId, task);
        Paths.Empties table = Paths.empties();
        (bytes32 leaf, bytes32 settledRoot) = _account(table, dealId, task.deal.account);
        bytes32 actual =
            table.climb(leaf, DEALS + deal.slot, _at(task.deal.path), Merkle.STATE_DEPTH);
        if (actual != root) revert RootMismatch(root, actual);
        bytes32[8] calldata wordPath = task.deal.wordPath;
        uint256 path;
        assembly ("memory-safe") {
            path := wordPath
        }
        actual = table.climb(bytes32(task.deal.word), task.taskIdx >> 8, path, BITMAP_DEPTH);
        if (actual != settledRoot) revert RootMismatch(settledRoot, actual);
        bool settled = (task.deal.word >> (task.taskIdx & 255)) & 1 == 1;
        if (settled) revert Settled(dealId, task.taskIdx);
    }

    /// @dev The state after the newest final batch, with none pending.
    function _newestState(uint32 poolId, Unsettled calldata task) private view returns (bytes32) {
        (, uint32 head, uint32 finalized) = settlement.progressOf(poolId);
        if (head != finalized) revert Pending(poolId, head, finalized);
        if (finalized == 0) return Merkle.EMPTY_STATE;
        _checkWord(poolId, finalized, Merkle.wordOf(task.anchor.stateRoot, task.anchor.rest));
        return task.anchor.stateRoot;
    }

    /// @dev Leaf and bitmap of a deal's account; both empty if no task of it was settled.
    function _account(Paths.Empties table, bytes32 dealId, DealAccount calldata account)
        private
        pure
        returns (bytes32 leaf, bytes32 settledRoot)
    {
        if (account.dealId == dealId) {
            return (Merkle.dealLeaf(account), account.settledRoot);
        }
        bool clean = account.dealId == 0 && account.settledRoot == 0 && account.settledCount == 0
            && account.spent == 0 && account.refunded == 0;
        if (!clean) revert EmptyAccountNotZero();
        return (0, table.empty(BITMAP_DEPTH));
    }
}
