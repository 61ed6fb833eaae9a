// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {FrameProof, SetVote, SignedSet, Unsettled, Voter} from "./court/Proofs.sol";
import {Assign, CommitAck, DealTerms} from "./Types.sol";

/// @title Escape: the specification.
/// @notice Ways out of a pool that has left its duties: to end it, to be paid for standing by, and to
/// have its last tasks settled by the votes that are there.
///
/// Settling takes two steps, since whoever could choose which votes are counted could choose the
/// result: until a window and SHOW_TIME after a pool's end everybody shows votes, and nobody can leave
/// one out; then anybody has a task judged by all that were shown, until refunds open.
interface IEscape {
    /// @notice A vote that was shown.
    struct Ballot {
        /// The worker's.
        address owner;
        uint32 workerIdx;
        /// What it is for.
        bytes32 digest;
    }

    /// @notice A pool left a task of this deal unsettled, and is abandoned for it.
    event Neglected(uint32 indexed poolId, bytes32 indexed dealId, uint32 taskIdx);
    /// @notice The worker had committed, and got `paid` of the pool's bond for it.
    event StoodBy(
        uint32 indexed poolId, bytes32 indexed taskId, uint32 indexed workerIdx, uint128 paid
    );
    /// @notice A vote of a task that a dead pool left was shown. They count in this order.
    event Shown(
        uint32 indexed poolId, bytes32 indexed taskId, uint32 indexed workerIdx, bytes32 digest
    );
    /// @notice The votes shown decided for `digest`; `cost` of what the deal had locked was paid.
    event ForceSettled(
        uint32 indexed poolId, bytes32 indexed taskId, bytes32 indexed digest, uint128 cost
    );

    /// @notice Batches are pending that may still settle the task: finalize them first.
    error Pending(uint32 poolId, uint32 head, uint32 finalized);
    /// @notice The task is settled.
    error Settled(bytes32 dealId, uint32 taskIdx);
    /// @notice The task was settled here, for `digest`.
    error SettledBefore(bytes32 taskId, bytes32 digest);
    /// @notice The pool has no such deal, or the deal no such task.
    error NoSuchTask(bytes32 dealId, uint32 taskIdx);
    /// @notice The pool has not ended: its tasks are its own to settle.
    error PoolLive(uint32 poolId);
    /// @notice Not before `readyAt`.
    error TooEarly(uint256 readyAt, uint256 timestamp);
    /// @notice Not after `until`.
    error TooLate(uint256 until, uint256 timestamp);
    /// @notice The worker was paid for this task, or as many were as the deal has replicas.
    error PaidBefore(bytes32 taskId, uint32 workerIdx);
    /// @notice The pool has paid all that it pays for standing by, `most`, or its bond is gone, or a
    /// fee of this deal is less than a unit of the token.
    error NothingLeft(uint32 poolId, uint128 most);
    /// @notice The vote was never revealed, and is for nothing.
    error NotRevealed(uint32 workerIdx);
    /// @notice No vote was added: their owners have one each or no stake, or there are as many as
    /// replicas.
    error NothingShown(bytes32 taskId);
    /// @notice The votes shown do not decide for any result by the scores there are now: unless other
    /// tasks raise them, the payer will be refunded.
    error Undecided(bytes32 taskId);

    /// @notice Ends a live pool that froze a commit set and never settled the task, NEGLECT after both
    /// the set's reveal deadline and the deal's deadline. Anyone may call.
    /// @dev Not from the reveal deadline alone: an honest pool may look for one more replica until
    /// the deal's deadline.
    function neglect(Unsettled calldata task, SignedSet calldata signed) external;

    /// @notice Pays a worker whose commit was acknowledged, for a task that was never settled, the
    /// standby fee out of the pool's bond: STANDBY percent of the task's price. In a dead pool at
    /// once, in a live one when `neglect` could end it. Once per task and worker, at most as often
    /// per task as the deal has replicas, and in all at most STANDBY_MAX percent of what the pool's
    /// bond was at the first such payment. Anyone may call; the worker's owner is credited.
    /// @return paid What the owner got: less than the fee where that is all that is left.
    function claimAbandoned(
        Unsettled calldata task,
        Assign calldata assign,
        FrameProof calldata assignProof,
        CommitAck calldata ack,
        FrameProof calldata ackProof
    ) external returns (uint128 paid);

    /// @notice Shows votes of a task of a dead pool, until a window (when it is known what the pool
    /// has left: a conviction may drop what was pending) and SHOW_TIME after its end. Each is a Reveal
    /// for a commit set that the pool's signer signed, with the worker's vote key's signature, and
    /// opens a commitment that is in the set. Votes of several attempts are shown with their
    /// sets, in several calls. Anyone may call.
    /// @dev Votes of owners that have one already are passed over, those beyond the deal's replicas,
    /// and those of workers whose stake in the pool is less than the deal asks for: a call must not
    /// fail because somebody has shown a vote of it, or had a slash applied, just before. Whether
    /// the task is unsettled is looked at in `settle`, when nothing is pending any more.
    /// @return added How many were new.
    function show(
        DealTerms calldata terms,
        uint32 taskIdx,
        SignedSet calldata signed,
        SetVote[] calldata votes
    ) external returns (uint256 added);

    /// @notice Settles a task that a dead pool left, by all the votes that were shown, when the time
    /// to show them is over and before refunds open. The winners are credited their shares of the unit price,
    /// the owners of application and dataset their prices, out of what the deal has locked. The
    /// scheduler's part stays with the payer, and so does what a winner got for standing by.
    /// Anyone may call.
    /// @dev Losers lose no stake: the books it is in are those of the dead pool. Scores go on here
    /// from the newest final state, by the same rule: a task that is undecided now may be decided
    /// when others of the pool are settled.
    /// @param task Unsettled in the newest final state, with no batch pending.
    /// @param voters Their accounts in that state, in the order of `shownFor`: all zero for a worker
    /// that the pool never touched.
    /// @return cost What was paid in all.
    function settle(Unsettled calldata task, Voter[] calldata voters)
        external
        returns (uint128 cost);

    /// @notice Standby fees paid for a task: how many.
    function paidFor(bytes32 taskId) external view returns (uint256);

    /// @notice What a task was settled for here; zero: it was not.
    function winnerOf(bytes32 taskId) external view returns (bytes32);

    /// @notice The votes of a task that were shown, in their order.
    function shownFor(bytes32 taskId) external view returns (Ballot[] memory);
}
