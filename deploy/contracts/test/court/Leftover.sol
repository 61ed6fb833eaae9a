// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IEscape} from "../../src/IEscape.sol";
import {SetVote, Unsettled, Voter} from "../../src/court/Proofs.sol";
import "../../src/Types.sol";
import {vm} from "../support/Vm.sol";
import {Trees} from "./Trees.sol";
import {World} from "./World.sol";

/// @notice A pool with one final batch, and tasks of its first deal that it has left: LEFT and more.
abstract contract Leftover is World {
    uint32 internal constant LEFT = 9;
    /// Tasks of the first deal that the batch has settled, of 60,000.
    uint128 internal constant SETTLED = 4;

    Anchor internal _anchor;

    function setUp() public virtual override {
        super.setUp();
        _finalize(_play(_mixed(0)));
    }

    /// @dev Makes it the newest final batch.
    function _finalize(Batch memory b) internal {
        _commit(b);
        _anchor = Anchor(lastLink[0], lastLink[1]);
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(b.header, b.committedAt, b.inbox);
    }

    function _task(uint32 taskIdx) internal view returns (Unsettled memory) {
        return _taskOf(0, taskIdx);
    }

    function _taskOf(uint256 deal, uint32 taskIdx) internal view returns (Unsettled memory task) {
        (task.terms, task.taskIdx, task.anchor) = (deals[deal], taskIdx, _anchor);
        (bytes32 root, uint32 position) = (_anchor.stateRoot, DEALS + uint32(deal));
        task.deal.account = dealAccounts[tree.leafAt(root, position)];
        task.deal.path = _fixed20(Trees.compact(tree.path(root, position)));
        (task.deal.word, task.deal.wordPath) = _wordOf(deal, taskIdx);
    }

    function _idOf(uint32 taskIdx) internal view returns (bytes32) {
        return _idOf(0, taskIdx);
    }

    function _idOf(uint256 deal, uint32 taskIdx) internal view returns (bytes32) {
        return keccak256(abi.encode(dealIds[deal], uint256(taskIdx)));
    }

    /// @dev Votes that were cast for a task, and the sets they were frozen in.
    function _cast(Plan memory plan) internal view returns (Task memory t) {
        t.terms = deals[plan.deal];
        (t.rec.dealId, t.rec.taskIdx) = (dealIds[plan.deal], plan.taskIdx);
        _vote(t, plan.votes);
    }

    /// @dev A round's set as the pool signed it.
    function _setOf(Task memory t, uint16 attempt) internal view returns (CommitSet memory set) {
        (set.poolId, set.taskId, set.attempt) = (poolId, _taskId(t.rec), attempt);
        (set.commitSetRoot, set.revealDeadline) = (t.sets[attempt], t.terms.deadline);
        set.n = uint8(_firstOf(t, attempt).length);
    }

    /// @dev A round's votes with their places in its set.
    function _votesOf(Task memory t, uint16 attempt)
        internal
        view
        returns (SetVote[] memory shown)
    {
        bytes32[] memory leaves = _firstOf(t, attempt);
        uint256 first = attempt == 0 ? 0 : _firstOf(t, attempt - 1).length;
        shown = new SetVote[](leaves.length - first);
        for (uint256 i = first; i < leaves.length; i++) {
            SetVote memory one = shown[i - first];
            (one.vote, one.place) = (t.votes[i], uint8(i));
            bytes32[] memory path = Trees.compact(Trees.path(leaves, i, 4));
            for (uint256 h = 0; h < 4; h++) {
                one.path[h] = path[h];
            }
        }
    }

    /// @dev The accounts of those whose votes were shown.
    function _votersOf(bytes32 taskId) internal view returns (Voter[] memory voters) {
        IEscape.Ballot[] memory shown = escape.shownFor(taskId);
        bytes32 root = _anchor.stateRoot;
        voters = new Voter[](shown.length);
        for (uint256 i = 0; i < shown.length; i++) {
            uint32 position = shown[i].workerIdx;
            voters[i].account = accounts[tree.leafAt(root, position)];
            voters[i].path = _fixed20(Trees.compact(tree.path(root, position)));
        }
    }

    /// @dev The leaves of the set of an attempt: all commitments up to it.
    function _firstOf(Task memory t, uint16 attempt)
        private
        view
        returns (bytes32[] memory leaves)
    {
        uint256 n;
        while (n < t.votes.length && t.votes[n].attempt <= attempt) n++;
        leaves = new bytes32[](n);
        for (uint256 i = 0; i < n; i++) {
            Vote memory v = t.votes[i];
            bytes32 commitment = v.resultDigest == 0
                ? v.salt
                : _commitment(_taskId(t.rec), v, v.resultDigest, v.salt);
            leaves[i] = keccak256(abi.encode(v.workerIdx, commitment));
        }
    }

    function _refund() internal returns (uint128) {
        bytes32 root = _anchor.stateRoot;
        DealAccount memory account = dealAccounts[tree.leafAt(root, DEALS)];
        uint64 index = lastFiling.header.index;
        Opening memory batch =
            Opening(root, _hash(lastFiling.header), lastFiling.committedAt, lastFiling.inbox);
        return settlement.refundUnsettled(deals[0], account, tree.path(root, DEALS), index, batch);
    }

    function refund() external {
        _refund();
    }
}
