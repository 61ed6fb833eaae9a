// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Bench} from "./court/Bench.sol";
import {Filing, Leaf, SignedSet} from "./court/Proofs.sol";
import {ICourt} from "./ICourt.sol";
import {Merkle} from "./Merkle.sol";
import {Messages} from "./Messages.sol";
import {Paths} from "./Paths.sol";
import {CommitSet, Vote} from "./Types.sol";

/// @title The court. ICourt.sol is its specification.
/// @dev Times, not block numbers: a later time is a later block on every chain, and block numbers
/// mean other things on some. Nothing here loops over people: shares are collected one by one.
contract Court is ICourt, Bench {
    // -----------------------------------------------------------------------------------------
    // Limits: every number with its reason
    // -----------------------------------------------------------------------------------------

    /// @notice Who had a proof ready before the first one was shown gets it onto the chain within
    /// this, fees and outages included; a share is then a fixed sum soon after.
    uint40 public constant JOIN_TIME = 6 hours;
    /// @notice Time to answer an ask: an operator's night and a congested chain.
    uint40 public constant ANSWER_TIME = 24 hours;
    /// @notice Asks end this long before the window does: ANSWER_TIME, and 12 hours for whoever asked
    /// to look at the answer and prove what is wrong with it, or that there was none.
    uint40 public constant ASK_END = 36 hours;
    /// @notice Replicas of one task, and rounds they can come in.
    uint256 private constant REPLICAS_MAX = 15;
    /// @notice Depth of the deepest frame.
    uint256 private constant FRAME_DEPTH = 8;

    address public immutable stepBench;
    address public immutable wordBench;
    address public immutable bookBench;

    mapping(bytes32 challenge => Challenge) private _challenges;
    mapping(uint32 poolId => Case) private _cases;
    mapping(bytes32 name => Ask) private _asks;

    constructor(address settlement, address stepBench_, address wordBench_, address bookBench_)
        Bench(settlement)
    {
        stepBench = stepBench_;
        wordBench = wordBench_;
        bookBench = bookBench_;
    }

    // -----------------------------------------------------------------------------------------
    // Proofs
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ICourt
    function commitChallenge(bytes32 challenge) external {
        uint40 at = _challenges[challenge].at;
        if (at != 0) revert AnnouncedBefore(challenge, at);
        _challenges[challenge].at = uint40(block.timestamp);
        emit Announced(challenge);
    }

    /// @inheritdoc ICourt
    function prove(address bench, bytes32 salt, bytes calldata proof) external {
        (uint32 poolId, uint32 index) = _hear(bench, proof);
        bytes32 challenge = keccak256(abi.encode(msg.sender, salt, keccak256(proof)));
        _rule(challenge, msg.sender, poolId, index);
    }

    /// @inheritdoc ICourt
    function share(bytes32 challenge) external returns (uint128 amount) {
        Challenge storage c = _challenges[challenge];
        (address winner, uint32 poolId) = (c.winner, c.poolId);
        if (winner == address(0)) revert NoShare(challenge);
        Case memory trial = _cases[poolId];
        uint256 readyAt = uint256(trial.openedAt) + JOIN_TIME;
        if (block.timestamp <= readyAt) revert TooEarly(readyAt + 1, block.timestamp);
        c.winner = address(0);
        amount = trial.pot / trial.winners;
        emit Shared(poolId, winner, amount);
        settlement.reward(winner, amount);
    }

    /// @dev A bench's verdict. It is a view and one of three, so asking it moves nothing.
    function _hear(address bench, bytes calldata proof)
        private
        view
        returns (uint32 poolId, uint32 index)
    {
        if (bench != stepBench && bench != wordBench && bench != bookBench) {
            revert UnknownBench(bench);
        }
        (bool fraud, bytes memory verdict) = bench.staticcall(proof);
        if (!fraud) {
            assembly ("memory-safe") {
                revert(add(verdict, 0x20), mload(verdict))
            }
        }
        if (verdict.length != 64) revert BadVerdict();
        return abi.decode(verdict, (uint32, uint32));
    }

    /// @dev Acts on a proven fraud. `index` zero is fraud in no batch: nothing is dropped for it.
    function _rule(bytes32 challenge, address prover, uint32 poolId, uint32 index) private {
        (, uint32 head, uint32 finalized) = settlement.progressOf(poolId);
        Case storage trial = _cases[poolId];
        uint40 openedAt = trial.openedAt;
        uint32 top = openedAt == 0 ? head : trial.top;
        if (index != 0 && (index <= finalized || index > top)) {
            revert NotPending(poolId, index, finalized, top);
        }
        if (openedAt == 0) {
            _count(challenge, prover, poolId, uint40(block.timestamp));
            (trial.openedAt, trial.top, trial.winners) = (uint40(block.timestamp), head, 1);
            emit Proven(poolId, index, prover, true);
            trial.pot = settlement.convict(poolId, index == 0 ? head + 1 : index);
            return;
        }
        bool drops = index != 0 && index <= head;
        bool counts = _joins(challenge, openedAt);
        if (!drops && !counts) revert NothingLeft(challenge);
        if (counts) {
            _count(challenge, prover, poolId, openedAt);
            trial.winners++;
        }
        emit Proven(poolId, index, prover, counts);
        // Also without a share: what is wrong must not become final because nobody is paid for it.
        if (drops) settlement.convict(poolId, index);
    }

    /// @dev Whether a proof has a share in a case that is open.
    function _joins(bytes32 challenge, uint40 openedAt) private view returns (bool) {
        Challenge storage c = _challenges[challenge];
        if (c.at == 0 || c.at >= openedAt || c.poolId != 0) return false;
        return block.timestamp <= uint256(openedAt) + JOIN_TIME;
    }

    /// @dev Gives a challenge its share. It was announced before the first proof was seen.
    function _count(bytes32 challenge, address prover, uint32 poolId, uint40 seenAt) private {
        Challenge storage c = _challenges[challenge];
        if (c.at == 0 || c.at >= seenAt) revert NotAnnounced(challenge, c.at);
        (c.poolId, c.winner) = (poolId, prover);
    }

    // -----------------------------------------------------------------------------------------
    // F7: data that is not shown
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ICourt
    function ask(Filing calldata filing, uint32 place) external {
        _checkFiling(filing);
        (uint32 poolId, uint32 index) = (filing.header.poolId, uint32(filing.header.index));
        if (place >= filing.header.count) revert PlaceOutOfRange(place, filing.header.count);
        (, uint32 head, uint32 finalized) = settlement.progressOf(poolId);
        if (index <= finalized || index > head) revert NotPending(poolId, index, finalized, head);
        uint256 end = uint256(filing.committedAt) + settlement.window();
        if (block.timestamp + ASK_END > end) revert TooLate(end - ASK_END, block.timestamp);
        Ask storage a = _asks[_name(poolId, index, place)];
        if (a.at != 0) revert AskedBefore(poolId, index, place);
        (a.asker, a.at) = (msg.sender, uint40(block.timestamp));
        emit Asked(poolId, index, place, uint64(block.timestamp) + ANSWER_TIME);
    }

    /// @inheritdoc ICourt
    function answer(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes32[] calldata sets,
        Vote[] calldata votes,
        SignedSet[] calldata signed
    ) external {
        (uint32 poolId, uint32 index) = (filing.header.poolId, uint32(filing.header.index));
        Ask storage a = _asks[_name(poolId, index, leaf.place)];
        if (a.at == 0 || a.answered) revert NotOpen(poolId, index, leaf.place);
        _checkFiling(filing);
        Paths.Empties table = Paths.empties();
        _checkLeaf(table, filing.header, leaf);
        _checkLengths(sets, votes);
        bytes32 votesHash = Merkle.votesHash(sets, votes);
        if (votesHash != leaf.rec.votesHash) {
            revert PreimageMismatch("votes", leaf.rec.votesHash, votesHash);
        }
        bytes32 taskId = Messages.taskId(leaf.rec.dealId, leaf.rec.taskIdx);
        _checkSets(table, poolId, taskId, sets, signed);
        a.answered = true;
        emit Answered(poolId, index, leaf.place, leaf.rec, votes, signed);
    }

    /// @inheritdoc ICourt
    function silence(uint32 poolId, uint32 index, uint32 place)
        external
        returns (bytes32 challenge)
    {
        challenge = _name(poolId, index, place);
        Ask memory a = _asks[challenge];
        if (a.at == 0 || a.answered) revert NotOpen(poolId, index, place);
        uint256 until = uint256(a.at) + ANSWER_TIME;
        if (block.timestamp <= until) revert TooEarly(until + 1, block.timestamp);
        // Set again, not only if it is zero: anybody may have announced this name, at any time.
        _challenges[challenge].at = a.at;
        _rule(challenge, a.asker, poolId, index);
    }

    /// @dev Longer lists could be shown and still not be proven wrong within a block.
    function _checkLengths(bytes32[] calldata sets, Vote[] calldata votes) private pure {
        if (sets.length > REPLICAS_MAX) revert TooLong("sets", REPLICAS_MAX, sets.length);
        if (votes.length > REPLICAS_MAX) revert TooLong("votes", REPLICAS_MAX, votes.length);
        for (uint256 i = 0; i < votes.length; i++) {
            uint256 length = votes[i].path.length;
            if (length > FRAME_DEPTH) revert TooLong("path", FRAME_DEPTH, length);
        }
    }

    /// @dev Every set was signed: their reveal deadlines are evidence that workers may lack.
    function _checkSets(
        Paths.Empties table,
        uint32 poolId,
        bytes32 taskId,
        bytes32[] calldata sets,
        SignedSet[] calldata signed
    ) private view {
        if (signed.length != sets.length) {
            revert LengthMismatch("signed", sets.length, signed.length);
        }
        for (uint256 i = 0; i < sets.length; i++) {
            CommitSet calldata set = signed[i].set;
            bool same = set.poolId == poolId && set.taskId == taskId && set.attempt == i;
            if (!same) revert OtherSubject("set", taskId, set.taskId);
            if (set.commitSetRoot != sets[i]) revert RootMismatch(sets[i], set.commitSetRoot);
            _checkSigned(table, poolId, Messages.hash(set), signed[i].proof);
        }
    }

    function _name(uint32 poolId, uint32 index, uint32 place) private pure returns (bytes32) {
        return keccak256(abi.encode(poolId, index, place));
    }

    // -----------------------------------------------------------------------------------------
    // Views
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ICourt
    function caseOf(uint32 poolId) external view returns (Case memory) {
        return _cases[poolId];
    }

    /// @inheritdoc ICourt
    function challengeOf(bytes32 challenge) external view returns (Challenge memory) {
        return _challenges[challenge];
    }

    /// @inheritdoc ICourt
    function askOf(uint32 poolId, uint32 index, uint32 place) external view returns (Ask memory) {
        return _asks[_name(poolId, index, place)];
    }
}
