// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Merkle} from "../Merkle.sol";
import {Messages} from "../Messages.sol";
import {Paths} from "../Paths.sol";
import {
    Assign,
    CommitAck,
    CommitSet,
    DealTerms,
    Header,
    Reveal,
    RevealAck,
    Vote,
    Worker
} from "../Types.sol";
import {Bench} from "./Bench.sol";
import {Entry, Filing, FrameProof, Leaf, SignedSet} from "./Proofs.sol";

/// @title F1, F3, F5 and F6: a scheduler that breaks its word.
/// @notice What the pool's signer has signed, against something else it has signed, against what the
/// batch shows, and against what workers have said on chain.
/// @dev F4, a vote that came after the set was frozen, needs no proof of its own. A leaf whose votes
/// are not those of its `sets` is a faulty step (F2). If the leaf's `sets` are made to fit the late
/// vote, they are not the set that was signed (`setDenied`). If a second set was signed for the late
/// vote, there are two (`twoSets`). And a worker reveals only for a signed set that holds its own
/// commitment, so whoever could copy a result already has the evidence.
contract WordBench is Bench {
    using Paths for Paths.Empties;

    /// @notice A chain's finality and a retry: what is posted this long before it is needed has
    /// been seen, and a scheduler waits as long after a deadline before it says that it has passed.
    uint64 public constant SLACK = 15 minutes;
    /// @notice How long an honest scheduler may take to learn that a worker wants to leave. Longer
    /// than SLACK: it follows from nothing the scheduler waits for, so its node may lag.
    uint64 public constant EXIT_NOTICE = 1 hours;
    /// @notice Settlement's exit timer without the window: MAX_TASK_TIME + COMMIT_SLACK.
    uint64 public constant EXIT_SLACK = 2 days;

    /// @notice Kinds of inbox entries (common/PROTOCOL.md section 7).
    uint8 private constant VOTE = 1;
    uint8 private constant DEMAND = 2;
    uint8 private constant SET = 3;

    /// @dev A task with its votes opened.
    struct Task {
        Paths.Empties table;
        uint32 poolId;
        bytes32 taskId;
        bytes32[] sets;
        Vote[] votes;
    }

    constructor(address settlement) Bench(settlement) {}

    // -----------------------------------------------------------------------------------------
    // F1: one thing signed twice
    // -----------------------------------------------------------------------------------------

    /// @notice Two headers of one batch. Neither need have been committed.
    /// @return poolId The pool it is against.
    /// @return index The batch, if it is pending; zero if there is nothing to drop.
    function twoHeaders(
        Header calldata a,
        bytes32[2] calldata sigA,
        Header calldata b,
        bytes32[2] calldata sigB
    ) external view returns (uint32 poolId, uint32 index) {
        _checkSame("poolId", bytes32(uint256(a.poolId)), bytes32(uint256(b.poolId)));
        _checkSame("index", bytes32(uint256(a.index)), bytes32(uint256(b.index)));
        (bytes32 hashA, bytes32 hashB) = (Messages.hash(a), Messages.hash(b));
        if (hashA == hashB) revert NoFraud();
        (address signer, uint32 head, uint32 finalized) = settlement.progressOf(a.poolId);
        _checkHeaderSigned(signer, hashA, sigA);
        _checkHeaderSigned(signer, hashB, sigB);
        bool pending = a.index > finalized && a.index <= head;
        return (a.poolId, pending ? uint32(a.index) : 0);
    }

    /// @notice Two commit sets of one attempt that differ in root or number. The same set may be
    /// signed again with a later deadline; one with an earlier deadline than its workers were
    /// promised is `shortSet`.
    /// @return poolId The pool it is against.
    /// @return index Zero: no batch is wrong for it.
    function twoSets(SignedSet calldata a, SignedSet calldata b)
        external
        view
        returns (uint32 poolId, uint32 index)
    {
        _checkSame("poolId", bytes32(uint256(a.set.poolId)), bytes32(uint256(b.set.poolId)));
        _checkSame("taskId", a.set.taskId, b.set.taskId);
        _checkSame("attempt", bytes32(uint256(a.set.attempt)), bytes32(uint256(b.set.attempt)));
        bool same = a.set.commitSetRoot == b.set.commitSetRoot && a.set.n == b.set.n;
        if (same) revert NoFraud();
        (bytes32 hashA, bytes32 hashB) = (Messages.hash(a.set), Messages.hash(b.set));
        _checkBothSigned(a.set.poolId, hashA, a.proof, hashB, b.proof);
        return (a.set.poolId, 0);
    }

    /// @notice A commit set that ends before a worker of its attempt was promised.
    /// @return poolId The pool it is against.
    /// @return index Zero: no batch is wrong for it.
    function shortSet(Assign calldata assign, FrameProof calldata proof, SignedSet calldata signed)
        external
        view
        returns (uint32 poolId, uint32 index)
    {
        CommitSet calldata set = signed.set;
        bytes32 taskId = Messages.taskId(assign.dealId, assign.taskIdx);
        _checkSame("poolId", bytes32(uint256(assign.poolId)), bytes32(uint256(set.poolId)));
        _checkSame("taskId", taskId, set.taskId);
        _checkSame("attempt", bytes32(uint256(assign.attempt)), bytes32(uint256(set.attempt)));
        if (set.revealDeadline >= assign.revealDeadline) revert NoFraud();
        Paths.Empties table = Paths.empties();
        _checkSigned(table, assign.poolId, Messages.hash(assign), proof);
        _checkSigned(table, assign.poolId, Messages.hash(set), signed.proof);
        return (assign.poolId, 0);
    }

    /// @notice Two assignments of one replica.
    /// @return poolId The pool it is against.
    /// @return index Zero: no batch is wrong for it.
    function twoAssigns(
        Assign calldata a,
        FrameProof calldata proofA,
        Assign calldata b,
        FrameProof calldata proofB
    ) external view returns (uint32 poolId, uint32 index) {
        _checkSame("poolId", bytes32(uint256(a.poolId)), bytes32(uint256(b.poolId)));
        _checkSame("dealId", a.dealId, b.dealId);
        _checkSame("taskIdx", bytes32(uint256(a.taskIdx)), bytes32(uint256(b.taskIdx)));
        _checkSame("attempt", bytes32(uint256(a.attempt)), bytes32(uint256(b.attempt)));
        _checkSame("workerIdx", bytes32(uint256(a.workerIdx)), bytes32(uint256(b.workerIdx)));
        _checkBothSigned(a.poolId, Messages.hash(a), proofA, Messages.hash(b), proofB);
        return (a.poolId, 0);
    }

    /// @notice A signed commit set that the task's leaf denies: by another set for its attempt, by
    /// none, or by another number of commitments.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function setDenied(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        SignedSet calldata signed
    ) external view returns (uint32 poolId, uint32 index) {
        Task memory task = _openTask(filing, leaf, votes);
        _checkSet(task, signed);
        uint256 attempt = signed.set.attempt;
        if (attempt < task.sets.length && task.sets[attempt] == signed.set.commitSetRoot) {
            uint256 n = 0;
            for (uint256 i = 0; i < task.votes.length; i++) {
                if (task.votes[i].attempt <= attempt) n++;
            }
            if (n == signed.set.n) revert NoFraud();
        }
        return _against(filing);
    }

    // -----------------------------------------------------------------------------------------
    // F3: an acknowledged vote left out
    // -----------------------------------------------------------------------------------------

    /// @notice A commit that was acknowledged, for an attempt whose set was frozen, and the worker
    /// is not among the voters, or with another commitment.
    /// @dev Before the set is frozen a task may end without the commits that are waiting (too few
    /// replicas are allowed, or the deal's time is up); their workers are not judged.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function commitOmitted(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        CommitAck calldata ack,
        FrameProof calldata proof
    ) external view returns (uint32 poolId, uint32 index) {
        Task memory task = _openTask(filing, leaf, votes);
        _checkAbout(task, ack.poolId, ack.taskId);
        _checkAcknowledged(task, ack.attempt, Messages.hash(ack), proof);
        (bool found, Vote memory vote) = _find(task, ack.workerIdx);
        if (found && _commitment(task.taskId, vote) == ack.commitment) revert NoFraud();
        return _against(filing);
    }

    /// @notice A reveal that was acknowledged, and the worker is not among the voters, or with
    /// another vote, or as one who never revealed.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function revealOmitted(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        RevealAck calldata ack,
        FrameProof calldata proof
    ) external view returns (uint32 poolId, uint32 index) {
        Task memory task = _openTask(filing, leaf, votes);
        _checkAbout(task, ack.poolId, ack.taskId);
        _checkAcknowledged(task, ack.attempt, Messages.hash(ack), proof);
        (bool found, Vote memory vote) = _find(task, ack.workerIdx);
        if (found && vote.resultDigest != 0 && vote.attempt < task.sets.length) {
            bytes32 set = task.sets[vote.attempt];
            if (_voteHash(task.poolId, task.taskId, set, vote) == ack.voteHash) revert NoFraud();
        }
        return _against(filing);
    }

    // -----------------------------------------------------------------------------------------
    // F5: a worker who had asked to leave
    // -----------------------------------------------------------------------------------------

    /// @notice A voter of the task was given it after asking to leave. An assignment says nothing of
    /// when it was made, but its commit deadline is at most the deal's task time later; one that is
    /// later than that (and EXIT_NOTICE) after the request was made after it.
    /// @dev Not provable: an assignment with a short commit deadline, and one whose worker has
    /// cancelled its exit since.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function assignedLeaver(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        DealTerms calldata terms,
        Assign calldata assign,
        FrameProof calldata proof
    ) external view returns (uint32 poolId, uint32 index) {
        Task memory task = _openTask(filing, leaf, votes);
        _checkAbout(task, assign.poolId, Messages.taskId(assign.dealId, assign.taskIdx));
        _checkSame("dealId", assign.dealId, keccak256(abi.encode(terms)));
        _checkSigned(task.table, task.poolId, Messages.hash(assign), proof);
        (bool found,) = _find(task, assign.workerIdx);
        Worker memory worker = settlement.workerOf(assign.workerIdx);
        if (!found || worker.exitAt == 0) revert NoFraud();
        uint256 askedAt = worker.exitAt - settlement.window() - EXIT_SLACK;
        uint256 latest = askedAt + EXIT_NOTICE + terms.maxTaskTime;
        if (assign.commitDeadline <= latest) revert NoFraud();
        return _against(filing);
    }

    // -----------------------------------------------------------------------------------------
    // F6: silence that was none
    // -----------------------------------------------------------------------------------------

    /// @notice A voter is shown as one who never revealed, in a batch that was committed before its
    /// time to reveal, and to say so on chain, was over.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function closedEarly(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        SignedSet calldata signed,
        uint32 workerIdx
    ) external view returns (uint32 poolId, uint32 index) {
        Task memory task = _openTask(filing, leaf, votes);
        _checkSilent(task, signed, workerIdx);
        if (filing.committedAt >= uint256(signed.set.revealDeadline) + SLACK) revert NoFraud();
        return _against(filing);
    }

    /// @notice A voter is shown as one who never revealed, and had revealed on chain, in time.
    /// @param digest,salt What it revealed.
    /// @param proof The frame that was posted with it: an entry binds it, so that a scheduler is
    /// never blamed for a vote whose signature it was not given.
    /// @param before The pool's inbox before the first of `entries`.
    /// @param entries From the vote's on, up to what the batch is bound to.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function voteIgnored(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        SignedSet calldata signed,
        uint32 workerIdx,
        bytes32 digest,
        bytes32 salt,
        FrameProof calldata proof,
        bytes32 before,
        Entry[] calldata entries
    ) external view returns (uint32 poolId, uint32 index) {
        Task memory task = _openTask(filing, leaf, votes);
        Vote memory vote = _checkSilent(task, signed, workerIdx);
        _checkInbox(filing, before, entries);
        bytes32 commitment = vote.salt;
        (vote.resultDigest, vote.salt) = (digest, salt);
        // The zero digest means "never revealed" and is no result.
        if (digest == 0) revert NoFraud();
        _checkSame("commitment", commitment, _commitment(task.taskId, vote));
        bytes32 voteHash = _voteHash(task.poolId, task.taskId, signed.set.commitSetRoot, vote);
        _checkSame("entry", entries[0].hash, _posted(voteHash, proof));
        address signer = _frameSigner(task.table, voteHash, proof);
        address expected = settlement.workerOf(workerIdx).voteKey;
        if (signer != expected || signer == address(0)) revert NotSigned(expected, signer);
        bool inTime = entries[0].at <= signed.set.revealDeadline;
        if (entries[0].kind != VOTE || !inTime) revert NoFraud();
        return _against(filing);
    }

    /// @notice A voter is shown as one who never revealed, had asked on chain for its commit set, and
    /// no set was posted after that in time for it to reveal.
    /// @dev Its time to ask ends SLACK after its assignment's reveal deadline, so that it can wait for
    /// the set until then; and SLACK before the commit, so that the pool has seen the demand. A
    /// pool that sees one late signs the set again with a later deadline, and commits later.
    /// @param assign The worker's assignment, in the attempt of its vote.
    /// @param before The pool's inbox before the first of `entries`.
    /// @param entries From the demand's on, up to what the batch is bound to.
    /// @param answers What the sets among the later ones are, all of them, in their order.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function demandIgnored(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        Assign calldata assign,
        FrameProof calldata proof,
        bytes32 before,
        Entry[] calldata entries,
        SignedSet[] calldata answers
    ) external view returns (uint32 poolId, uint32 index) {
        Task memory task = _openTask(filing, leaf, votes);
        _checkSilentReplica(task, assign, proof);
        _checkInbox(filing, before, entries);
        _checkDemand(task, assign, filing.committedAt, entries[0]);
        _checkUnanswered(task, assign.attempt, entries, answers);
        return _against(filing);
    }

    // -----------------------------------------------------------------------------------------
    // Parts
    // -----------------------------------------------------------------------------------------

    function _openTask(Filing calldata filing, Leaf calldata leaf, bytes calldata votes)
        private
        view
        returns (Task memory task)
    {
        _checkFiling(filing);
        task.table = Paths.empties();
        _checkLeaf(task.table, filing.header, leaf);
        task.poolId = filing.header.poolId;
        task.taskId = Messages.taskId(leaf.rec.dealId, leaf.rec.taskIdx);
        (task.sets, task.votes) = _openVotes(leaf.rec.votesHash, votes);
    }

    /// @dev The acknowledgement is signed, and of an attempt whose set was frozen.
    function _checkAcknowledged(
        Task memory task,
        uint16 attempt,
        bytes32 ackHash,
        FrameProof calldata proof
    ) private view {
        _checkSigned(task.table, task.poolId, ackHash, proof);
        if (attempt >= task.sets.length) revert NoFraud();
    }

    /// @dev A worker's vote, if there is one.
    function _find(Task memory task, uint32 workerIdx)
        private
        pure
        returns (bool found, Vote memory vote)
    {
        for (uint256 i = 0; i < task.votes.length; i++) {
            if (task.votes[i].workerIdx == workerIdx) return (true, task.votes[i]);
        }
    }

    /// @dev The set is the task's, and signed.
    function _checkSet(Task memory task, SignedSet calldata signed) private view {
        _checkAbout(task, signed.set.poolId, signed.set.taskId);
        _checkSigned(task.table, task.poolId, Messages.hash(signed.set), signed.proof);
    }

    /// @dev The worker is in the task's set of that attempt, and shown as one who never revealed.
    function _checkSilent(Task memory task, SignedSet calldata signed, uint32 workerIdx)
        private
        view
        returns (Vote memory)
    {
        _checkSet(task, signed);
        return _findSilent(task, workerIdx, signed.set.attempt);
    }

    /// @dev As above, by the assignment that the worker was given.
    function _checkSilentReplica(
        Task memory task,
        Assign calldata assign,
        FrameProof calldata proof
    ) private view {
        _checkAbout(task, assign.poolId, Messages.taskId(assign.dealId, assign.taskIdx));
        _checkSigned(task.table, task.poolId, Messages.hash(assign), proof);
        _findSilent(task, assign.workerIdx, assign.attempt);
    }

    function _findSilent(Task memory task, uint32 workerIdx, uint16 attempt)
        private
        pure
        returns (Vote memory vote)
    {
        bool found;
        (found, vote) = _find(task, workerIdx);
        if (!found || vote.resultDigest != 0) revert NoFraud();
        _checkSame("attempt", bytes32(uint256(vote.attempt)), bytes32(uint256(attempt)));
    }

    /// @dev The entries lead to the inbox that the batch is bound to.
    function _checkInbox(Filing calldata filing, bytes32 before, Entry[] calldata entries)
        private
        pure
    {
        bytes32 inbox = before;
        for (uint256 i = 0; i < entries.length; i++) {
            inbox = Merkle.inboxAfter(inbox, entries[i].at, entries[i].kind, entries[i].hash);
        }
        if (inbox != filing.inbox) revert RootMismatch(filing.inbox, inbox);
    }

    function _checkAbout(Task memory task, uint32 poolId, bytes32 taskId) private pure {
        _checkSame("poolId", bytes32(uint256(task.poolId)), bytes32(uint256(poolId)));
        _checkSame("taskId", task.taskId, taskId);
    }

    /// @dev The entry is the worker's demand, in time for worker and pool.
    function _checkDemand(
        Task memory task,
        Assign calldata assign,
        uint64 committedAt,
        Entry calldata entry
    ) private pure {
        bytes32 demand = keccak256(abi.encode(task.taskId, assign.attempt, assign.workerIdx));
        _checkSame("entry", entry.hash, demand);
        bool inTime = entry.at <= uint256(assign.revealDeadline) + SLACK
            && uint256(entry.at) + SLACK <= committedAt;
        if (entry.kind != DEMAND || !inTime) revert NoFraud();
    }

    /// @dev No later entry is an answer. All sets are opened, so that none can be left out.
    function _checkUnanswered(
        Task memory task,
        uint16 attempt,
        Entry[] calldata entries,
        SignedSet[] calldata answers
    ) private view {
        uint256 n = 0;
        (address signer,,) = settlement.progressOf(task.poolId);
        for (uint256 i = 1; i < entries.length; i++) {
            if (entries[i].kind != SET) continue;
            SignedSet calldata answer = answers[n++];
            bytes32 structHash = Messages.hash(answer.set);
            _checkSame("answer", entries[i].hash, _posted(structHash, answer.proof));
            if (!_isAnswer(task, attempt, answer.set, entries[i].at)) continue;
            if (_frameSigner(task.table, structHash, answer.proof) == signer) revert NoFraud();
        }
    }

    /// @dev Whether a set posted `at` shows a worker of that attempt what it needs, in time.
    function _isAnswer(Task memory task, uint16 attempt, CommitSet calldata set, uint64 at)
        private
        pure
        returns (bool)
    {
        if (attempt >= task.sets.length || uint256(at) + SLACK > set.revealDeadline) {
            return false;
        }
        return set.poolId == task.poolId && set.taskId == task.taskId && set.attempt == attempt
            && set.commitSetRoot == task.sets[attempt];
    }

    function _posted(bytes32 structHash, FrameProof calldata p) private pure returns (bytes32) {
        return Messages.posted(structHash, p.index, p.count, p.path, p.r, p.vs);
    }

    /// @dev Two messages that differ, both signed.
    function _checkBothSigned(
        uint32 poolId,
        bytes32 hashA,
        FrameProof calldata proofA,
        bytes32 hashB,
        FrameProof calldata proofB
    ) private view {
        if (hashA == hashB) revert NoFraud();
        Paths.Empties table = Paths.empties();
        _checkSigned(table, poolId, hashA, proofA);
        _checkSigned(table, poolId, hashB, proofB);
    }

    function _checkHeaderSigned(address signer, bytes32 structHash, bytes32[2] calldata sig)
        private
        view
    {
        address recovered = Messages.recover(_digest(structHash), sig[0], sig[1]);
        if (recovered != signer || signer == address(0)) revert NotSigned(signer, recovered);
    }

    function _checkSame(string memory field, bytes32 expected, bytes32 actual) private pure {
        if (expected != actual) revert OtherSubject(field, expected, actual);
    }

    function _against(Filing calldata filing) private pure returns (uint32, uint32) {
        return (filing.header.poolId, uint32(filing.header.index));
    }
}
