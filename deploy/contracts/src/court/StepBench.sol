// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Merkle} from "../Merkle.sol";
import {Messages} from "../Messages.sol";
import {Paths} from "../Paths.sol";
import {Poco} from "../Poco.sol";
import {
    Deal,
    DealAccount,
    DealTerms,
    RevealAck,
    TaskRec,
    Vote,
    Worker,
    WorkerAccount
} from "../Types.sol";
import {Bench} from "./Bench.sol";
import {DealBefore, FrameProof, Step, Voter} from "./Proofs.sol";

/// @title F2: one settled task, taken again.
/// @notice Re-executes the step of one task from the state before it and finds fraud where the
/// batch says anything else: the same rules as `scheduler/grid/src/audit/step.rs`.
/// @dev What the prover brings (accounts, paths, bitmap word, terms, votes) must lead to what is
/// committed, or the call reverts. Accounts are proven one after the other, each against the tree
/// with the changes before it, so all of them are proven only at the end; a fault found on the way
/// is kept until then. Only faults that record, terms and votes show by themselves, which are proven
/// first, end the proof early. The changes are what the record's winner leads to, credible or not; a
/// sum that does not fit its field is left out above it. Sums are of 256 bits and compared with the narrower fields: one that
/// would not fit is a fault like any other, never a panic.
contract StepBench is Bench {
    using Paths for Paths.Empties;

    /// @notice Workers in all and deals per pool: half of the state tree each.
    uint256 private constant TREE_HALF = 1 << 19;
    /// @notice Depth of a deal's bitmap of settled tasks.
    uint256 private constant BITMAP_DEPTH = 8;

    /// @dev What the step computes on its way; in memory, since the stack is short.
    struct Work {
        Paths.Empties table;
        bytes32 taskId;
        /// Root of the state after the changes made so far.
        bytes32 root;
        uint32 slot;
        bool fault;
        bytes32[] sets;
        Vote[] votes;
    }

    constructor(address settlement) Bench(settlement) {}

    /// @notice Finds fraud in a task.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function step(Step calldata s) external view returns (uint32 poolId, uint32 index) {
        Work memory w = _open(s);
        if (!_isFaulty(w, s)) revert NoFraud();
        return _against(s);
    }

    /// @notice A task given up as expired although its votes decide for a result whose bytes the
    /// scheduler has acknowledged.
    /// @dev The votes decide by the scores that the step starts from, so all of the step is proven as
    /// in `step`; a fault in it is fraud of its own.
    /// @param ack An acknowledgement with `stored` of a vote for that result, as it is in the record.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function expiredStored(Step calldata s, RevealAck calldata ack, FrameProof calldata proof)
        external
        view
        returns (uint32 poolId, uint32 index)
    {
        Work memory w = _open(s);
        _checkAck(w, s, ack, proof);
        if (!_isFaulty(w, s) && !_isDecidedFor(w, s, ack)) revert NoFraud();
        return _against(s);
    }

    /// @dev Task, terms and votes are those of the batch.
    function _open(Step calldata s) private view returns (Work memory w) {
        w.table = Paths.empties();
        _checkFiling(s.filing);
        _checkLeaf(w.table, s.filing.header, s.leaf);
        bytes32 dealId = Messages.dealId(s.terms);
        if (dealId != s.leaf.rec.dealId) {
            revert PreimageMismatch("terms", s.leaf.rec.dealId, dealId);
        }
        w.taskId = Messages.taskId(dealId, s.leaf.rec.taskIdx);
        (w.sets, w.votes) = _openVotes(s.leaf.rec.votesHash, s.votes);
    }

    function _against(Step calldata s) private pure returns (uint32, uint32) {
        return (s.filing.header.poolId, uint32(s.filing.header.index));
    }

    // -----------------------------------------------------------------------------------------
    // Expired, though decided and stored
    // -----------------------------------------------------------------------------------------

    /// @dev The acknowledgement is of this task, and signed by the pool.
    function _checkAck(
        Work memory w,
        Step calldata s,
        RevealAck calldata ack,
        FrameProof calldata proof
    ) private view {
        uint32 poolId = s.filing.header.poolId;
        if (ack.poolId != poolId) {
            revert OtherSubject("poolId", bytes32(uint256(poolId)), bytes32(uint256(ack.poolId)));
        }
        if (ack.taskId != w.taskId) revert OtherSubject("taskId", w.taskId, ack.taskId);
        _checkSigned(w.table, poolId, Messages.hash(ack), proof);
    }

    /// @dev Whether an expired task's votes decide for what was acknowledged as stored. Only after
    /// `_isFaulty` has found nothing: by then votes are well-formed and accounts proven.
    function _isDecidedFor(Work memory w, Step calldata s, RevealAck calldata ack)
        private
        pure
        returns (bool)
    {
        if (s.leaf.rec.outcome != Poco.EXPIRED || !ack.stored) return false;
        bytes32 digest = _acknowledged(w, ack);
        if (digest == 0) return false;
        return Poco.holds(Poco.tally(_ballots(w, s)), digest, s.terms.trust);
    }

    /// @dev What the acknowledged vote is for; zero if the record holds no such vote.
    function _acknowledged(Work memory w, RevealAck calldata ack) private pure returns (bytes32) {
        for (uint256 i = 0; i < w.votes.length; i++) {
            Vote memory vote = w.votes[i];
            if (vote.workerIdx != ack.workerIdx) continue;
            bytes32 voteHash = _voteHash(ack.poolId, w.taskId, w.sets[vote.attempt], vote);
            return voteHash == ack.voteHash ? vote.resultDigest : bytes32(0);
        }
        return 0;
    }

    // -----------------------------------------------------------------------------------------
    // Faults
    // -----------------------------------------------------------------------------------------

    function _isFaulty(Work memory w, Step calldata s) private view returns (bool) {
        Deal memory deal = settlement.dealOf(s.leaf.rec.dealId);
        if (deal.poolId != s.filing.header.poolId) return true;
        w.slot = deal.slot;
        if (_isMisshapen(w, s.leaf.rec, s.terms)) return true;
        if (s.voters.length != w.votes.length) {
            revert LengthMismatch("voters", w.votes.length, s.voters.length);
        }
        if (_isAnyUnknown(w.votes, s)) return true;
        _takeVote(w, s);
        return w.fault || w.root != s.leaf.rec.postStateRoot;
    }

    // -----------------------------------------------------------------------------------------
    // What a task's record and votes show by themselves
    // -----------------------------------------------------------------------------------------

    function _isMisshapen(Work memory w, TaskRec calldata rec, DealTerms calldata terms)
        private
        view
        returns (bool)
    {
        if (rec.outcome < Poco.CONSENSUS || rec.outcome > Poco.EXPIRED) return true;
        if ((rec.outcome == Poco.CONSENSUS) == (rec.winnerDigest == 0)) return true;
        if (rec.taskIdx >= terms.tasks) return true;
        if (w.votes.length > terms.replicas) return true;
        return _areVotersWrong(w.votes, w.sets.length) || _areSetsWrong(w, rec);
    }

    /// @dev Whether a voter cannot be, or is there twice, or the votes are not in the order of
    /// rounds that have a set.
    function _areVotersWrong(Vote[] memory votes, uint256 rounds) private pure returns (bool) {
        uint256 round = 0;
        for (uint256 i = 0; i < votes.length; i++) {
            (uint256 worker, uint256 attempt) = (votes[i].workerIdx, votes[i].attempt);
            if (worker == 0 || worker >= TREE_HALF) return true;
            if (attempt < round || attempt >= rounds) return true;
            round = attempt;
            for (uint256 j = 0; j < i; j++) {
                if (votes[j].workerIdx == worker) return true;
            }
        }
        return false;
    }

    /// @dev Whether a voter that the prover says is new is no registered worker. One that is not new
    /// is proven by its account (BookBench.identity).
    function _isAnyUnknown(Vote[] memory votes, Step calldata s) private view returns (bool) {
        uint256 newest = 0;
        for (uint256 i = 0; i < votes.length; i++) {
            if (s.voters[i].account.owner != address(0)) continue;
            if (newest == 0) newest = settlement.workers();
            if (votes[i].workerIdx > newest) return true;
        }
        return false;
    }

    /// @dev Whether a set is not that of all commitments up to its round, or a round adds none, or
    /// the record names other sets.
    function _areSetsWrong(Work memory w, TaskRec calldata rec) private view returns (bool) {
        uint256 rounds = w.sets.length;
        // Each round adds a commitment, so there are at most as many rounds as votes.
        if (rounds > w.votes.length || (rounds == 0 && w.votes.length != 0)) return true;
        if (rec.attempt != (rounds == 0 ? 0 : rounds - 1)) return true;
        if (rec.commitSetRoot != (rounds == 0 ? bytes32(0) : w.sets[rounds - 1])) return true;
        bytes32[] memory leaves = new bytes32[](w.votes.length);
        for (uint256 i = 0; i < leaves.length; i++) {
            Vote memory vote = w.votes[i];
            leaves[i] = Merkle.commitLeaf(vote.workerIdx, _commitment(w.taskId, vote));
        }
        uint256 n = 0;
        for (uint256 round = 0; round < rounds; round++) {
            uint256 before = n;
            while (n < leaves.length && w.votes[n].attempt <= round) n++;
            if (n == before || w.table.setRoot(leaves, n) != w.sets[round]) return true;
        }
        return false;
    }

    // -----------------------------------------------------------------------------------------
    // The vote, taken again
    // -----------------------------------------------------------------------------------------

    function _takeVote(Work memory w, Step calldata s) private view {
        TaskRec calldata rec = s.leaf.rec;
        Poco.Ballots memory ballots = _ballots(w, s);
        if (_isUndecided(ballots, rec, s.terms.trust)) w.fault = true;
        Poco.Judgement memory j = Poco.judge(_money(s.terms), rec.winnerDigest, ballots);
        _startFrom(w, s, j);
        _changeVoters(w, s, j);
        _changeDeal(w, s, j);
    }

    function _ballots(Work memory w, Step calldata s)
        private
        pure
        returns (Poco.Ballots memory ballots)
    {
        uint256 n = w.votes.length;
        (ballots.digests, ballots.scores) = (new bytes32[](n), new uint256[](n));
        for (uint256 i = 0; i < n; i++) {
            ballots.digests[i] = w.votes[i].resultDigest;
            ballots.scores[i] = s.voters[i].account.score;
        }
    }

    /// @dev Consensus needs a credible winner, "no quorum" that there is none. Expired says nothing
    /// of the votes: a winner whose bytes never came expires too (`expiredStored` if they came).
    function _isUndecided(Poco.Ballots memory ballots, TaskRec calldata rec, uint256 trust)
        private
        pure
        returns (bool)
    {
        if (rec.outcome == Poco.EXPIRED) return false;
        Poco.Tally memory t = Poco.tally(ballots);
        if (rec.outcome == Poco.NO_QUORUM) return Poco.isDecided(t, trust);
        return !Poco.holds(t, rec.winnerDigest, trust);
    }

    function _money(DealTerms calldata terms) private pure returns (Poco.Terms memory) {
        return Poco.Terms({
            unitPrice: terms.unitPrice,
            royalty: uint256(terms.appPrice) + terms.datasetPrice,
            stakeRatio: terms.stakeRatio,
            schedulerRatio: terms.schedulerRatio,
            trust: terms.trust
        });
    }

    /// @dev State and running totals before the task, and the totals after it.
    function _startFrom(Work memory w, Step calldata s, Poco.Judgement memory j) private view {
        TaskRec calldata rec = s.leaf.rec;
        if (rec.reward != j.reward) w.fault = true;
        if (s.leaf.place == 0) {
            w.root = _stateBefore(s);
            _compareTotals(w, rec, j.payout, j.fees, j.royalties, j.slashed);
            return;
        }
        TaskRec calldata before = _recordBefore(w.table, s);
        w.root = before.postStateRoot;
        _compareTotals(
            w,
            rec,
            j.payout + before.runPayout,
            j.fees + before.runFees,
            j.royalties + before.runRoyalties,
            j.slashed + before.runSlash
        );
    }

    function _compareTotals(
        Work memory w,
        TaskRec calldata rec,
        uint256 payout,
        uint256 fees,
        uint256 royalties,
        uint256 slashed
    ) private pure {
        bool same = rec.runPayout == payout && rec.runFees == fees && rec.runRoyalties == royalties
            && rec.runSlash == slashed;
        if (!same) w.fault = true;
    }

    /// @dev The state the batch starts from: that of the batch before it.
    function _stateBefore(Step calldata s) private view returns (bytes32) {
        uint64 index = s.filing.header.index;
        if (index == 1) return Merkle.EMPTY_STATE;
        if (s.link.length != 2) revert LengthMismatch("link", 2, s.link.length);
        _checkWord(s.filing.header.poolId, index - 1, Merkle.wordOf(s.link[0], s.link[1]));
        return s.link[0];
    }

    /// @dev The record of the task before. Neighbours meet where the later one's place has its
    /// lowest bit set: from there up they have one path, below it only the earlier one's is needed.
    function _recordBefore(Paths.Empties table, Step calldata s)
        private
        pure
        returns (TaskRec calldata before)
    {
        if (s.before.length != 1) revert LengthMismatch("before", 1, s.before.length);
        uint256 place = s.leaf.place;
        uint256 level = 0;
        while ((place >> level) & 1 == 0) level++;
        if (s.link.length != level) revert LengthMismatch("link", level, s.link.length);
        before = s.before[0];
        bytes32 actual = table.climb(_taskLeaf(before), place - 1, _at(s.link), level);
        bytes32 expected = s.leaf.path[level];
        if (actual != expected) revert RootMismatch(expected, actual);
    }

    // -----------------------------------------------------------------------------------------
    // Accounts
    // -----------------------------------------------------------------------------------------

    function _changeVoters(Work memory w, Step calldata s, Poco.Judgement memory j) private view {
        uint32 poolId = s.filing.header.poolId;
        uint64 seq = (s.filing.header.index << 16) | s.leaf.place;
        address[] memory owners = new address[](w.votes.length);
        for (uint256 i = 0; i < owners.length; i++) {
            Vote memory vote = w.votes[i];
            WorkerAccount memory account = s.voters[i].account;
            bytes32 leaf = _voterLeaf(account, vote.workerIdx);
            owners[i] = account.owner;
            for (uint256 k = 0; k < i; k++) {
                if (owners[k] == account.owner) w.fault = true;
            }
            bytes32 set = w.sets[vote.attempt];
            address signer = _voteSigner(w.table, poolId, w.taskId, set, vote);
            if (signer != account.voteKey || signer == address(0)) w.fault = true;
            _credit(w, account, j, i, seq);
            _replace(w, leaf, _workerLeaf(account), vote.workerIdx, _at(s.voters[i].path));
        }
    }

    /// @dev The leaf of a voter's account as the prover gives it. A new voter's is empty, and its
    /// identity is what the registry says.
    function _voterLeaf(WorkerAccount memory account, uint32 workerIdx)
        private
        view
        returns (bytes32)
    {
        if (account.owner != address(0)) return _workerLeaf(account);
        bool clean = account.voteKey == address(0) && account.cumEarned == 0
            && account.cumSlashed == 0 && account.score == 0 && account.lastTaskSeq == 0;
        if (!clean) revert EmptyAccountNotZero();
        Worker memory worker = settlement.workerOf(workerIdx);
        (account.owner, account.voteKey) = (worker.owner, worker.voteKey);
        return 0;
    }

    function _credit(
        Work memory w,
        WorkerAccount memory account,
        Poco.Judgement memory j,
        uint256 i,
        uint64 seq
    ) private pure {
        account.cumEarned = _add(w, account.cumEarned, j.earned[i]);
        if (j.lost[i]) account.cumSlashed = _add(w, account.cumSlashed, j.stake);
        account.score = uint32(j.scores[i]);
        account.lastTaskSeq = seq;
    }

    function _changeDeal(Work memory w, Step calldata s, Poco.Judgement memory j) private pure {
        DealAccount memory account = s.deal.account;
        bytes32 leaf = _dealLeafBefore(w, account, s.leaf.rec.dealId);
        account.settledRoot =
            _settle(w, account.settledRoot, s.leaf.rec.taskIdx, s.deal.word, s.deal);
        if (account.settledCount == type(uint32).max) w.fault = true;
        unchecked {
            account.settledCount++;
        }
        account.spent = _add(w, account.spent, j.spent);
        account.refunded = _add(w, account.refunded, j.refunded);
        _replace(w, leaf, _dealLeaf(account), TREE_HALF + w.slot, _at(s.deal.path));
    }

    /// @dev The leaf of the deal's account as the prover gives it, and what a new one starts with.
    function _dealLeafBefore(Work memory w, DealAccount memory account, bytes32 dealId)
        private
        pure
        returns (bytes32 leaf)
    {
        if (account.dealId != 0) {
            if (account.dealId != dealId) w.fault = true;
            return _dealLeaf(account);
        }
        bool clean = account.settledRoot == 0 && account.settledCount == 0 && account.spent == 0
            && account.refunded == 0;
        if (!clean) revert EmptyAccountNotZero();
        account.dealId = dealId;
        account.settledRoot = w.table.empty(BITMAP_DEPTH);
    }

    /// @dev Sets the task's bit in the deal's bitmap.
    function _settle(
        Work memory w,
        bytes32 root,
        uint32 taskIdx,
        uint256 word,
        DealBefore calldata deal
    ) private pure returns (bytes32) {
        uint256 bit = uint256(1) << (taskIdx & 255);
        if (word & bit != 0) w.fault = true;
        bytes32[8] calldata wordPath = deal.wordPath;
        uint256 path;
        assembly ("memory-safe") {
            path := wordPath
        }
        (bytes32 before, bytes32 later) =
            w.table.climbBoth(bytes32(word), bytes32(word | bit), taskIdx >> 8, path, BITMAP_DEPTH);
        if (before != root) revert RootMismatch(root, before);
        return later;
    }

    /// @dev Puts a new leaf into the tree in place of a proven one.
    function _replace(Work memory w, bytes32 leaf, bytes32 later, uint256 index, uint256 path)
        private
        pure
    {
        bytes32 before;
        (before, later) = w.table.climbBoth(leaf, later, index, path, Merkle.STATE_DEPTH);
        if (before != w.root) revert RootMismatch(w.root, before);
        w.root = later;
    }

    /// @dev A sum in an account. One that does not fit is a fault, and what is left of it only
    /// serves to prove the accounts after it.
    function _add(Work memory w, uint128 sum, uint256 more) private pure returns (uint128) {
        uint256 total = sum + more;
        if (total > type(uint128).max) w.fault = true;
        return uint128(total);
    }

    // A struct of static fields lies in memory word by word, as it is encoded.

    function _workerLeaf(WorkerAccount memory account) private pure returns (bytes32 leaf) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, 0)
            mcopy(add(p, 0x20), account, 0xc0) // 6 words
            leaf := keccak256(p, 0xe0)
        }
    }

    function _dealLeaf(DealAccount memory account) private pure returns (bytes32 leaf) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, 2)
            mcopy(add(p, 0x20), account, 0xa0) // 5 words
            leaf := keccak256(p, 0xc0)
        }
    }
}
