// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Bench} from "./court/Bench.sol";
import {FrameProof, SetVote, SignedSet, Unsettled, Voter} from "./court/Proofs.sol";
import {IEscape} from "./IEscape.sol";
import {Merkle} from "./Merkle.sol";
import {Messages} from "./Messages.sol";
import {Paths} from "./Paths.sol";
import {Poco} from "./Poco.sol";
import {
    Assign,
    CommitAck,
    CommitSet,
    Deal,
    DealAccount,
    DealTerms,
    Pool,
    Vote,
    Worker,
    WorkerAccount
} from "./Types.sol";

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
    /// @notice Percent of its bond that a pool pays for standing by in all. An acknowledgement carries
    /// no time, so an operator could write them for workers of its own when its pool is lost, and
    /// take home what is there for the pool's victims.
    uint256 public constant STANDBY_MAX = 10;
    /// @notice A window after a pool's end, what was pending is final or dropped, and it is known what
    /// the pool has left. Until this long after that everybody can show votes: a weekend and a day.
    uint256 public constant SHOW_TIME = 3 days;
    /// @notice Settlement's: refunds open a window and this after a pool's end.
    uint256 public constant ESCAPE_TIME = 7 days;
    /// @notice First place of deals in the state tree.
    uint256 private constant DEALS = 1 << 19;
    /// @notice Depth of a deal's bitmap of settled tasks.
    uint256 private constant BITMAP_DEPTH = 8;
    /// @notice A pool's state while it has all its duties.
    uint8 private constant LIVE = 0;

    /// @dev What a pool has paid for standing by, and what it pays at most.
    struct Standby {
        uint128 most;
        uint128 paid;
    }

    mapping(uint32 poolId => Standby) private _standby;
    mapping(bytes32 taskId => mapping(uint32 workerIdx => uint128)) private _stoodBy;
    mapping(bytes32 taskId => Ballot[]) private _ballots;
    /// @dev What tasks settled here made of scores, plus one; zero: the newest final state's holds.
    mapping(uint32 poolId => mapping(uint32 workerIdx => uint256)) private _scores;
    /// @inheritdoc IEscape
    mapping(bytes32 taskId => uint256) public paidFor;
    /// @inheritdoc IEscape
    mapping(bytes32 taskId => bytes32) public winnerOf;

    constructor(address settlement) Bench(settlement) {}

    // -----------------------------------------------------------------------------------------
    // To end a pool, and to be paid for standing by
    // -----------------------------------------------------------------------------------------

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
        Pool memory pool = settlement.poolOf(poolId);
        if (pool.state == LIVE) _checkLate(task.terms, assign.revealDeadline);
        _checkOpen(taskId);
        _checkUnsettled(poolId, dealId, task);
        Paths.Empties table = Paths.empties();
        _checkSigned(table, poolId, Messages.hash(assign), assignProof);
        _checkSigned(table, poolId, Messages.hash(ack), ackProof);

        uint32 worker = ack.workerIdx;
        if (_stoodBy[taskId][worker] != 0 || paidFor[taskId] >= task.terms.replicas) {
            revert PaidBefore(taskId, worker);
        }
        paid = _payStandby(poolId, worker, task.terms.unitPrice, pool.bond);
        _stoodBy[taskId][worker] = paid;
        paidFor[taskId]++;
        emit StoodBy(poolId, taskId, worker, paid);
    }

    /// @dev Pays the fee, as far as the pool's share for it goes.
    function _payStandby(uint32 poolId, uint32 worker, uint256 unitPrice, uint256 bond)
        private
        returns (uint128 paid)
    {
        Standby memory all = _standby[poolId];
        if (all.most == 0) all.most = uint128(bond * STANDBY_MAX / 100);
        (uint256 fee, uint256 room) = (unitPrice * STANDBY / 100, all.most - all.paid);
        address owner = settlement.workerOf(worker).owner;
        paid = settlement.payFromBond(poolId, owner, uint128(fee < room ? fee : room));
        if (paid == 0) revert NothingLeft(poolId, all.most);
        all.paid += paid;
        _standby[poolId] = all;
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

    // -----------------------------------------------------------------------------------------
    // To settle what a dead pool left: first everybody shows votes
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc IEscape
    function show(
        DealTerms calldata terms,
        uint32 taskIdx,
        SignedSet calldata signed,
        SetVote[] calldata votes
    ) external returns (uint256 added) {
        CommitSet calldata set = signed.set;
        (uint32 poolId, bytes32 dealId) = (terms.poolId, Messages.dealId(terms));
        bytes32 taskId = Messages.taskId(dealId, taskIdx);
        _checkShowing(poolId);
        _slotOf(poolId, dealId, taskIdx, terms.tasks);
        if (set.poolId != poolId || set.taskId != taskId) {
            revert OtherSubject("set", taskId, set.taskId);
        }
        Paths.Empties table = Paths.empties();
        _checkSigned(table, poolId, Messages.hash(set), signed.proof);
        Ballot[] storage ballots = _ballots[taskId];
        uint256 stake = uint256(terms.unitPrice) * terms.stakeRatio / 100;
        for (uint256 i = 0; i < votes.length && ballots.length < terms.replicas; i++) {
            if (_showOne(table, ballots, set, votes[i], stake)) added++;
        }
        if (added == 0) revert NothingShown(taskId);
    }

    /// @dev Notes a vote, unless its owner has one there or its worker has no stake. Nobody can stake
    /// on a dead pool: a signer that makes up sets after the end finds no new workers for them.
    function _showOne(
        Paths.Empties table,
        Ballot[] storage ballots,
        CommitSet calldata set,
        SetVote calldata shown,
        uint256 stake
    ) private returns (bool) {
        uint32 workerIdx = shown.vote.workerIdx;
        Worker memory worker = settlement.workerOf(workerIdx);
        for (uint256 i = 0; i < ballots.length; i++) {
            if (ballots[i].owner == worker.owner) return false;
        }
        if (settlement.seatOf(set.poolId, workerIdx).stake < stake) return false;
        Vote memory vote = shown.vote;
        _checkInSet(table, set, shown, vote);
        address signer = _voteSigner(table, set.poolId, set.taskId, set.commitSetRoot, vote);
        if (signer != worker.voteKey || signer == address(0)) {
            revert NotSigned(worker.voteKey, signer);
        }
        ballots.push(Ballot(worker.owner, workerIdx, vote.resultDigest));
        emit Shown(set.poolId, set.taskId, workerIdx, vote.resultDigest);
        return true;
    }

    /// @dev The vote is a revealed one, and the set holds the commitment that it opens.
    function _checkInSet(
        Paths.Empties table,
        CommitSet calldata set,
        SetVote calldata shown,
        Vote memory vote
    ) private view {
        if (vote.resultDigest == 0) revert NotRevealed(vote.workerIdx);
        if (vote.attempt != set.attempt) {
            (uint256 expected, uint256 actual) = (set.attempt, vote.attempt);
            revert OtherSubject("attempt", bytes32(expected), bytes32(actual));
        }
        if (shown.place >= set.n || shown.place >> Merkle.COMMIT_SET_DEPTH != 0) {
            revert PlaceOutOfRange(shown.place, set.n);
        }
        bytes32 leaf = Merkle.commitLeaf(vote.workerIdx, _commitment(set.taskId, vote));
        bytes32[4] calldata path = shown.path;
        uint256 at;
        assembly ("memory-safe") {
            at := path
        }
        bytes32 root = table.climb(leaf, shown.place, at, Merkle.COMMIT_SET_DEPTH);
        if (root != set.commitSetRoot) revert RootMismatch(set.commitSetRoot, root);
    }

    /// @dev The pool is dead, and there is time to show votes.
    function _checkShowing(uint32 poolId) private view {
        uint256 until = _knownAt(poolId) + SHOW_TIME;
        if (block.timestamp > until) revert TooLate(until, block.timestamp);
    }

    // -----------------------------------------------------------------------------------------
    // Then they are judged
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc IEscape
    function settle(Unsettled calldata task, Voter[] calldata voters)
        external
        returns (uint128 cost)
    {
        (uint32 poolId, bytes32 dealId) = (task.terms.poolId, Messages.dealId(task.terms));
        bytes32 taskId = Messages.taskId(dealId, task.taskIdx);
        _checkSettling(poolId);
        _checkOpen(taskId);
        bytes32 root = _checkUnsettled(poolId, dealId, task);
        Ballot[] memory shown = _ballots[taskId];
        Poco.Ballots memory ballots = _weigh(poolId, root, shown, voters);
        bytes32 winner = _winner(Poco.tally(ballots), task.terms.trust);
        if (winner == 0) revert Undecided(taskId);
        winnerOf[taskId] = winner;
        Poco.Judgement memory j = Poco.judge(_money(task.terms), winner, ballots);
        _score(poolId, shown, ballots.scores, j.scores);
        address[] memory to;
        uint128[] memory amounts;
        (to, amounts, cost) = _shares(task.terms, taskId, shown, j.earned);
        emit ForceSettled(poolId, taskId, winner, cost);
        settlement.payForced(task.terms, cost, to, amounts);
    }

    /// @dev The time to show votes is over, and refunds have not begun.
    function _checkSettling(uint32 poolId) private view {
        uint256 knownAt = _knownAt(poolId);
        if (block.timestamp <= knownAt + SHOW_TIME) {
            revert TooEarly(knownAt + SHOW_TIME + 1, block.timestamp);
        }
        uint256 refunds = knownAt + ESCAPE_TIME;
        if (block.timestamp >= refunds) revert TooLate(refunds - 1, block.timestamp);
    }

    /// @dev The votes with the scores of those who cast them: as the newest final state has them, or
    /// what tasks settled here have made of them. A pool decides by what it has just learnt of its
    /// workers; without that, tasks which it had decided rightly would stay undecided here.
    function _weigh(uint32 poolId, bytes32 root, Ballot[] memory shown, Voter[] calldata voters)
        private
        view
        returns (Poco.Ballots memory ballots)
    {
        uint256 n = shown.length;
        if (voters.length != n) revert LengthMismatch("voters", n, voters.length);
        (ballots.digests, ballots.scores) = (new bytes32[](n), new uint256[](n));
        Paths.Empties table = Paths.empties();
        for (uint256 i = 0; i < n; i++) {
            bytes32 leaf = _leafOf(voters[i].account);
            uint256 path = _at(voters[i].path);
            bytes32 actual = table.climb(leaf, shown[i].workerIdx, path, Merkle.STATE_DEPTH);
            if (actual != root) revert RootMismatch(root, actual);
            ballots.digests[i] = shown[i].digest;
            uint256 later = _scores[poolId][shown[i].workerIdx];
            ballots.scores[i] = later == 0 ? voters[i].account.score : later - 1;
        }
    }

    /// @dev Keeps the scores that a task has changed for the next one.
    function _score(
        uint32 poolId,
        Ballot[] memory shown,
        uint256[] memory before,
        uint256[] memory later
    ) private {
        for (uint256 i = 0; i < shown.length; i++) {
            if (later[i] != before[i]) _scores[poolId][shown[i].workerIdx] = later[i] + 1;
        }
    }

    /// @dev A worker's leaf; that of one whom the pool never touched is empty.
    function _leafOf(WorkerAccount calldata account) private pure returns (bytes32) {
        bool empty = account.owner == address(0) && account.voteKey == address(0)
            && account.cumEarned == 0 && account.cumSlashed == 0 && account.score == 0
            && account.lastTaskSeq == 0;
        return empty ? bytes32(0) : Merkle.workerLeaf(account);
    }

    /// @dev The result that the votes decide for, or zero. From trust 2 on there is at most one; at
    /// trust 1 it is the one with most weight, and of equal ones that which was shown first.
    function _winner(Poco.Tally memory t, uint256 trust) private pure returns (bytes32 winner) {
        uint256 most = 0;
        for (uint256 i = 0; i < t.size; i++) {
            if (t.groups[i] > most) (winner, most) = (t.digests[i], t.groups[i]);
        }
        if (!Poco.holds(t, winner, trust)) return 0;
    }

    /// @dev No stake: what is left of losers' is in the books of the pool that is gone.
    function _money(DealTerms calldata terms) private pure returns (Poco.Terms memory) {
        return Poco.Terms({
            unitPrice: terms.unitPrice,
            royalty: 0,
            stakeRatio: 0,
            schedulerRatio: terms.schedulerRatio,
            trust: terms.trust
        });
    }

    /// @dev Who gets how much of what the deal has locked for the task. The scheduler's part stays
    /// with the payer, and so does what a winner has had out of the bond for standing by.
    function _shares(
        DealTerms calldata terms,
        bytes32 taskId,
        Ballot[] memory shown,
        uint256[] memory earned
    ) private view returns (address[] memory to, uint128[] memory amounts, uint128 cost) {
        uint256 n = shown.length;
        (to, amounts) = (new address[](n + 2), new uint128[](n + 2));
        for (uint256 i = 0; i < n; i++) {
            uint256 had = _stoodBy[taskId][shown[i].workerIdx];
            to[i] = shown[i].owner;
            if (earned[i] > had) amounts[i] = uint128(earned[i] - had);
            cost += amounts[i];
        }
        (to[n], amounts[n]) = (terms.appOwner, terms.appPrice);
        (to[n + 1], amounts[n + 1]) = (terms.datasetOwner, terms.datasetPrice);
        cost += terms.appPrice + terms.datasetPrice;
    }

    /// @inheritdoc IEscape
    function shownFor(bytes32 taskId) external view returns (Ballot[] memory) {
        return _ballots[taskId];
    }

    // -----------------------------------------------------------------------------------------
    // Parts
    // -----------------------------------------------------------------------------------------

    /// @dev When nothing that a dead pool has committed can be pending any more.
    function _knownAt(uint32 poolId) private view returns (uint256) {
        Pool memory pool = settlement.poolOf(poolId);
        if (pool.state == LIVE) revert PoolLive(poolId);
        return pool.deadAt + settlement.window();
    }

    /// @dev The task was not settled here.
    function _checkOpen(bytes32 taskId) private view {
        bytes32 winner = winnerOf[taskId];
        if (winner != 0) revert SettledBefore(taskId, winner);
    }

    /// @dev The place of the deal, which is the pool's and has such a task.
    function _slotOf(uint32 poolId, bytes32 dealId, uint32 taskIdx, uint32 tasks)
        private
        view
        returns (uint32)
    {
        Deal memory deal = settlement.dealOf(dealId);
        if (deal.poolId != poolId || poolId == 0 || taskIdx >= tasks) {
            revert NoSuchTask(dealId, taskIdx);
        }
        return deal.slot;
    }

    /// @dev The task is one of the pool's, not settled in the newest final state, and nothing is on
    /// its way that could settle it.
    function _checkUnsettled(uint32 poolId, bytes32 dealId, Unsettled calldata task)
        private
        view
        returns (bytes32 root)
    {
        uint256 slot = _slotOf(poolId, dealId, task.taskIdx, task.terms.tasks);
        root = _newestState(poolId, task);
        Paths.Empties table = Paths.empties();
        (bytes32 leaf, bytes32 settledRoot) = _account(table, dealId, task.deal.account);
        bytes32 actual = table.climb(leaf, DEALS + slot, _at(task.deal.path), Merkle.STATE_DEPTH);
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
