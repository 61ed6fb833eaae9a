// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {TaskRec, Vote} from "./Types.sol";
import {Filing, Leaf, SignedSet} from "./court/Proofs.sol";

/// @title Court: the specification.
/// @notice Where a pool's frauds are proven and those who prove them are paid. Three benches (F2 at
/// StepBench, F1, F3, F5 and F6 at WordBench, F5 and F8 at BookBench) look at a proof and say which
/// batch it is against; the court takes proofs in, has Settlement drop batches and seize the bond,
/// and shares the court's quarter of the bond. It holds no money: its balance is in Settlement.
///
/// A proof is worth money, so it is announced by its hash first. What counts is who announced before
/// the first proof of the case was seen by anyone: a proof copied from it earns nothing. Everybody
/// who had, and proves within six hours, has an equal share.
interface ICourt {
    /// @notice A pool's trial.
    struct Case {
        /// When the first proof was accepted; zero: no fraud is known.
        uint40 openedAt;
        /// Newest batch committed by then: those up to it can still be proven wrong.
        uint32 top;
        /// Shares.
        uint32 winners;
        /// What is shared.
        uint128 pot;
    }

    /// @notice An announced proof.
    struct Challenge {
        /// When it was announced; zero: never.
        uint40 at;
        /// Against which pool it counted; zero: it has not.
        uint32 poolId;
        /// Who has a share for it; zero: nobody, or it was paid.
        address winner;
    }

    /// @notice A question for a task's data.
    struct Ask {
        address asker;
        uint40 at;
        bool answered;
    }

    /// @notice Somebody will prove something.
    event Announced(bytes32 indexed challenge);
    /// @notice A fraud was proven in batch `index`, or, at zero, in something that is in no batch.
    /// `counts`: `prover` has a share.
    event Proven(uint32 indexed poolId, uint32 indexed index, address indexed prover, bool counts);
    /// @notice `amount` of a case's pot went to `winner`.
    event Shared(uint32 indexed poolId, address indexed winner, uint128 amount);
    /// @notice The task at `place` must be shown until `until`.
    event Asked(uint32 indexed poolId, uint32 indexed index, uint32 place, uint64 until);
    /// @notice It was: its leaf, its votes and its signed sets. In the log and not only in the
    /// transaction, because whoever answers through another contract would show it to nobody.
    event Answered(
        uint32 indexed poolId,
        uint32 indexed index,
        uint32 place,
        TaskRec rec,
        Vote[] votes,
        SignedSet[] signed
    );

    /// @notice There is no such bench.
    error UnknownBench(address bench);
    /// @notice What the bench answered is not a batch.
    error BadVerdict();
    /// @notice This proof was announced before.
    error AnnouncedBefore(bytes32 challenge, uint40 at);
    /// @notice The proof must be announced in an earlier block by the same account.
    error NotAnnounced(bytes32 challenge, uint40 at);
    /// @notice The batch is final, or was never committed.
    error NotPending(uint32 poolId, uint32 index, uint32 finalized, uint32 head);
    /// @notice The batch is dropped already, and the proof came too late, was announced too late or
    /// has been counted, so it does nothing.
    error NothingLeft(bytes32 challenge);
    /// @notice Not before `readyAt`.
    error TooEarly(uint256 readyAt, uint256 timestamp);
    /// @notice Not after `until`.
    error TooLate(uint256 until, uint256 timestamp);
    /// @notice This challenge has no share, or has had it.
    error NoShare(bytes32 challenge);
    /// @notice It was asked before.
    error AskedBefore(uint32 poolId, uint32 index, uint32 place);
    /// @notice It was not asked, or was answered.
    error NotOpen(uint32 poolId, uint32 index, uint32 place);
    /// @notice Longer than any honest task has it.
    error TooLong(string field, uint256 max, uint256 actual);

    /// @notice Announces a proof: keccak256(abi.encode(challenger, salt, keccak256(proof))).
    function commitChallenge(bytes32 challenge) external;

    /// @notice Proves a fraud. The first proof against a pool must have been announced in an earlier
    /// block; it drops the batch and all after it, ends the pool and seizes its bond. A later one
    /// drops what is left to drop and, if it was announced before the first was accepted and comes
    /// within JOIN_TIME of it, has an equal share.
    /// @param bench Which bench is asked.
    /// @param proof A call of one of its functions.
    function prove(address bench, bytes32 salt, bytes calldata proof) external;

    /// @notice After JOIN_TIME, pays a challenge's share of the pot into its prover's free balance in
    /// Settlement. Anyone may call.
    /// @return amount What was paid.
    function share(bytes32 challenge) external returns (uint128 amount);

    /// @notice Asks the pool to show a task of a pending batch, in the first part of its window.
    /// @dev No fee is taken: the court holds no money, and a fee that only covers the answer would
    /// not keep out who wants to cost the pool money. An ask costs its asker two fifths of what
    /// the answer costs the pool, and no pool that shows its evidence is asked.
    function ask(Filing calldata filing, uint32 place) external;

    /// @notice Shows the task: its record, votes and signed sets. Anyone may, within ANSWER_TIME, and
    /// later as long as nobody has called `silence`.
    function answer(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes32[] calldata sets,
        Vote[] calldata votes,
        SignedSet[] calldata signed
    ) external;

    /// @notice Proves that an ask was not answered in time: fraud in that batch. Anyone may call; the
    /// share is the asker's, whose ask announced it.
    /// @return challenge The ask's name, for `share`.
    function silence(uint32 poolId, uint32 index, uint32 place) external returns (bytes32 challenge);

    /// @notice A pool's trial.
    function caseOf(uint32 poolId) external view returns (Case memory);

    /// @notice An announced proof.
    function challengeOf(bytes32 challenge) external view returns (Challenge memory);

    /// @notice A question for a task's data.
    function askOf(uint32 poolId, uint32 index, uint32 place) external view returns (Ask memory);
}
