// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {FrameProof, SignedSet, Unsettled} from "./court/Proofs.sol";
import {Assign, CommitAck} from "./Types.sol";

/// @title Escape: the specification.
/// @notice Ways out of a pool that has left its duties: to end it, and to be paid for standing by.
interface IEscape {
    /// @notice A pool left a task of this deal unsettled, and is abandoned for it.
    event Neglected(uint32 indexed poolId, bytes32 indexed dealId, uint32 taskIdx);
    /// @notice The worker had committed, and got `paid` of the pool's bond for it.
    event StoodBy(
        uint32 indexed poolId, bytes32 indexed taskId, uint32 indexed workerIdx, uint128 paid
    );

    /// @notice Batches are pending that may still settle the task: finalize them first.
    error Pending(uint32 poolId, uint32 head, uint32 finalized);
    /// @notice The task is settled.
    error Settled(bytes32 dealId, uint32 taskIdx);
    /// @notice The pool has no such deal, or the deal no such task.
    error NoSuchTask(bytes32 dealId, uint32 taskIdx);
    /// @notice The pool still has until `readyAt`.
    error TooEarly(uint256 readyAt, uint256 timestamp);
    /// @notice The worker was paid for this task, or as many were as the deal has replicas.
    error PaidBefore(bytes32 taskId, uint32 workerIdx);

    /// @notice Ends a live pool that froze a commit set and never settled the task, NEGLECT after both
    /// the set's reveal deadline and the deal's deadline. Anyone may call.
    /// @dev Not from the reveal deadline alone: an honest pool may look for one more replica until
    /// the deal's deadline.
    function neglect(Unsettled calldata task, SignedSet calldata signed) external;

    /// @notice Pays a worker whose commit was acknowledged, for a task that was never settled, the
    /// standby fee out of the pool's bond: STANDBY percent of the task's price. In a dead pool at
    /// once, in a live one when `neglect` could end it. Once per task and worker, and at most as
    /// often per task as the deal has replicas. Anyone may call; the worker's owner is credited.
    /// @return paid What the owner got: less than the fee where the bond is gone.
    function claimAbandoned(
        Unsettled calldata task,
        Assign calldata assign,
        FrameProof calldata assignProof,
        CommitAck calldata ack,
        FrameProof calldata ackProof
    ) external returns (uint128 paid);

    /// @notice Standby fees paid for a task.
    function paidFor(bytes32 taskId) external view returns (uint256);
}
