// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Messages} from "../src/Messages.sol";
import {Entry, FrameProof, SignedSet} from "../src/court/Proofs.sol";
import {Assign, CommitAck, CommitSet, Header, Reveal, RevealAck, Vote} from "../src/Types.sol";
import {Benches} from "./court/Benches.sol";
import {World, more} from "./court/World.sol";
import {vm} from "./support/Vm.sol";

/// @notice F1, F3, F5 and F6: what a scheduler has signed against what it has signed or committed,
/// and against what workers have said on chain. Place 1 of the batch has two rounds, place 3 a
/// worker who was silent.
contract CourtWordsTest is World {
    string private constant OTHER = "OtherSubject(string,bytes32,bytes32)";
    string private constant UNSIGNED = "NotSigned(address,address)";
    uint32 private constant SILENT = 3;

    /// The inbox before `_entries`.
    bytes32 private _before;
    Entry[] private _entries;
    SignedSet[] private _answers;

    // ---- F1: one thing signed twice ----

    function test_two_headers() public {
        Batch memory b = _play(_mixed(0));
        _commit(b);
        Header memory other = _copy(b).header;
        other.evidence = "other";
        _guilty(wordBench, _twoHeaders(b.header, other), 1, "pending");
        _innocent(wordBench, _twoHeaders(b.header, b.header), "the same twice");
        other.index = 2;
        _refused(wordBench, _twoHeaders(b.header, other), OTHER, "of two batches");
        other.index = 1;
        other.poolId = 2;
        _refused(wordBench, _twoHeaders(b.header, other), OTHER, "of two pools");
    }

    function test_two_headers_of_a_batch_that_is_not_pending() public {
        Batch memory b = _play(_mixed(0));
        Header memory other = _copy(b).header;
        other.evidence = "other";
        _guilty(wordBench, _twoHeaders(b.header, other), 0, "never committed");
        _commit(b);
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(b.header, b.committedAt, b.inbox);
        _guilty(wordBench, _twoHeaders(b.header, other), 0, "final");
    }

    function test_a_header_somebody_else_signed() public {
        Batch memory b = _play(_mixed(0));
        Header memory other = _copy(b).header;
        other.evidence = "other";
        bytes32[2] memory good = _headerSig(SIGNER_KEY, b.header);
        bytes32[2] memory bad = _headerSig(VOTE_KEY, other);
        bytes memory proof = abi.encodeCall(Benches.twoHeaders, (b.header, good, other, bad));
        _refused(wordBench, proof, UNSIGNED, "second");
        proof = abi.encodeCall(Benches.twoHeaders, (other, bad, b.header, good));
        _refused(wordBench, proof, UNSIGNED, "first");
        delete bad;
        proof = abi.encodeCall(Benches.twoHeaders, (b.header, good, other, bad));
        _refused(wordBench, proof, UNSIGNED, "none");
    }

    function test_two_sets() public {
        Batch memory b = _play(_mixed(0));
        CommitSet memory a = _set(b, 1, 0, 100);
        CommitSet memory c = _set(b, 1, 0, 101);
        _innocent(wordBench, _twoSets(a, a), "the same twice");
        _innocent(wordBench, _twoSets(a, c), "signed again with a later deadline");
        c.n++;
        _guilty(wordBench, _twoSets(a, c), 0, "two numbers");
        (c.n, c.commitSetRoot) = (a.n, "other");
        _guilty(wordBench, _twoSets(a, c), 0, "two roots");
        c.revealDeadline = a.revealDeadline;
        _guilty(wordBench, _twoSets(a, c), 0, "two roots, one deadline");
        c.attempt = 1;
        _refused(wordBench, _twoSets(a, c), OTHER, "of two rounds");
        (c.attempt, c.taskId) = (0, "other");
        _refused(wordBench, _twoSets(a, c), OTHER, "of two tasks");
        c = _set(b, 1, 0, 101);
        c.commitSetRoot = "other";
        c.poolId++;
        _refused(wordBench, _twoSets(a, c), OTHER, "of two pools");
        c.poolId--;
        SignedSet memory forged = _signed(c);
        forged.proof = _frame(VOTE_KEY, keccak256(abi.encode(Messages.COMMIT_SET_TYPE, c)));
        bytes memory proof = abi.encodeCall(Benches.twoSets, (_signed(a), forged));
        _refused(wordBench, proof, UNSIGNED, "by somebody else");
    }

    function test_a_set_that_ends_before_its_workers_were_promised() public {
        Batch memory b = _play(_mixed(0));
        CommitSet memory set = _set(b, 1, 0, 2000);
        Assign memory a = _assignOf(b, 1, 5, 2000);
        _innocent(wordBench, _short(a, set), "to the second");
        a.revealDeadline = 1999;
        _innocent(wordBench, _short(a, set), "longer than promised");
        a.revealDeadline = 2001;
        _guilty(wordBench, _short(a, set), 0, "a second short");
        a.workerIdx = 77;
        _guilty(wordBench, _short(a, set), 0, "also a worker that never committed");
        for (uint256 field = 0; field < 4; field++) {
            Assign memory other = _assignOf(b, 1, 5, 2001);
            if (field == 0) other.poolId++;
            if (field == 1) other.dealId = "other";
            if (field == 2) other.taskIdx++;
            if (field == 3) other.attempt++;
            _refused(wordBench, _short(other, set), OTHER, "another task or round");
        }
    }

    function test_a_short_set_that_somebody_else_signed() public {
        Batch memory b = _play(_mixed(0));
        SignedSet memory signed = _signed(_set(b, 1, 0, 2000));
        Assign memory a = _assignOf(b, 1, 5, 2001);
        FrameProof memory forged = _frame(VOTE_KEY, keccak256(abi.encode(Messages.ASSIGN_TYPE, a)));
        bytes memory proof = abi.encodeCall(Benches.shortSet, (a, forged, signed));
        _refused(wordBench, proof, UNSIGNED, "the assignment");
        signed.proof = _frame(VOTE_KEY, keccak256(abi.encode(Messages.COMMIT_SET_TYPE, signed.set)));
        proof = abi.encodeCall(Benches.shortSet, (a, _signedAssign(a), signed));
        _refused(wordBench, proof, UNSIGNED, "the set");
    }

    function test_two_assigns() public view {
        Assign memory a = Assign(poolId, dealIds[0], 5, 1, 3, 0, 1000, 2000);
        for (uint256 field = 0; field < 8; field++) {
            Assign memory c = Assign(poolId, dealIds[0], 5, 1, 3, 0, 1000, 2000);
            if (field == 0) c.poolId++;
            if (field == 1) c.dealId = "other";
            if (field == 2) c.taskIdx++;
            if (field == 3) c.attempt++;
            if (field == 4) c.workerIdx++;
            if (field == 5) c.seedEpoch++;
            if (field == 6) c.commitDeadline++;
            if (field == 7) c.revealDeadline++;
            bytes memory proof = _twoAssigns(a, c);
            if (field < 5) _refused(wordBench, proof, OTHER, "two replicas");
            else _guilty(wordBench, proof, 0, "one replica, two words");
        }
        _innocent(wordBench, _twoAssigns(a, a), "the same twice");
    }

    function test_a_set_that_the_leaf_denies() public {
        Batch memory b = _play(_mixed(0));
        _commit(b);
        _innocent(wordBench, _denied(b, 1, _set(b, 1, 0, 100)), "round 0 as it is");
        _innocent(wordBench, _denied(b, 1, _set(b, 1, 1, 100)), "round 1 as it is");
        CommitSet memory set = _set(b, 1, 0, 100);
        set.commitSetRoot = "other";
        _guilty(wordBench, _denied(b, 1, set), 1, "another root: a vote was added late");
        set = _set(b, 1, 0, 100);
        set.n++;
        _guilty(wordBench, _denied(b, 1, set), 1, "another number");
        set = _set(b, 1, 1, 100);
        set.attempt = 2;
        _guilty(wordBench, _denied(b, 1, set), 1, "a round left out");
        set = _set(b, 2, 0, 100);
        _refused(wordBench, _denied(b, 1, set), OTHER, "another task's");
        set = _set(b, 1, 0, 100);
        set.poolId++;
        _refused(wordBench, _denied(b, 1, set), OTHER, "another pool's");
    }

    // ---- F3: acknowledged and left out ----

    function test_an_acknowledged_commit() public {
        Batch memory b = _play(_mixed(0));
        _commit(b);
        for (uint32 i = 0; i < 9; i++) {
            _innocent(wordBench, _committed(b, 1, _ack(b, 1, i)), "there");
        }
        _innocent(wordBench, _committed(b, 3, _ack(b, 3, 2)), "there, silent");
        CommitAck memory ack = _ack(b, 1, 0);
        ack.workerIdx = 50;
        _guilty(wordBench, _committed(b, 1, ack), 1, "left out");
        ack = _ack(b, 1, 0);
        ack.commitment = "other";
        _guilty(wordBench, _committed(b, 1, ack), 1, "another commitment");
        ack = _ack(b, 3, 2);
        ack.commitment = "other";
        _guilty(wordBench, _committed(b, 3, ack), 1, "another commitment, silent");
        ack = _ack(b, 1, 0);
        (ack.workerIdx, ack.attempt) = (50, 2);
        _innocent(wordBench, _committed(b, 1, ack), "no set was frozen for it");
        ack.taskId = "other";
        _refused(wordBench, _committed(b, 1, ack), OTHER, "another task");
    }

    function test_an_acknowledged_reveal() public {
        Batch memory b = _play(_mixed(0));
        _commit(b);
        for (uint32 i = 0; i < 9; i++) {
            RevealAck memory good = _revealAck(b, 1, i);
            _innocent(wordBench, _revealed(b, 1, good), "there");
            good.stored = true;
            _innocent(wordBench, _revealed(b, 1, good), "there, and its bytes");
        }
        _guilty(wordBench, _revealed(b, 3, _revealAck(b, 3, 2)), 1, "shown as silent");
        RevealAck memory ack = _revealAck(b, 1, 0);
        ack.workerIdx = 50;
        _guilty(wordBench, _revealed(b, 1, ack), 1, "left out");
        ack = _revealAck(b, 1, 0);
        ack.voteHash = "other";
        _guilty(wordBench, _revealed(b, 1, ack), 1, "another vote");
        ack.attempt = 2;
        _innocent(wordBench, _revealed(b, 1, ack), "no set was frozen for it");
        ack = _revealAck(b, 1, 0);
        ack.poolId++;
        _refused(wordBench, _revealed(b, 1, ack), OTHER, "another pool");
    }

    // ---- F5: assigned though it had asked to leave ----

    function test_a_worker_assigned_after_asking_to_leave() public {
        uint64 askedAt = uint64(block.timestamp);
        vm.prank(_ownerOf(1));
        settlement.requestExit(1);
        Batch memory b = _play(_mixed(0));
        _commit(b);
        uint64 latest = askedAt + 1 hours + deals[0].maxTaskTime;
        _innocent(wordBench, _assigned(b, 1, latest), "may have been before");
        _guilty(wordBench, _assigned(b, 1, latest + 1), 1, "must have been after");
        _innocent(wordBench, _assigned(b, 2, latest + 1), "never asked");
        vm.prank(_ownerOf(1));
        settlement.cancelExit(1);
        _innocent(wordBench, _assigned(b, 1, latest + 1), "stays");
    }

    function test_a_leaver_that_did_not_vote() public {
        _newWorkerOf(address(0xF00), 10);
        vm.prank(address(0xF00));
        settlement.requestExit(10);
        Batch memory b = _play(_mixed(0));
        _commit(b);
        _innocent(wordBench, _assigned(b, 10, type(uint64).max), "no vote of it counted");
    }

    // ---- F6: silence that was none ----

    function test_closed_early() public {
        Batch memory b = _play(_mixed(0));
        uint64 deadline = uint64(block.timestamp) - SLACK;
        _commit(b);
        _innocent(wordBench, _early(b, deadline, SILENT), "in time");
        _guilty(wordBench, _early(b, deadline + 1, SILENT), 1, "a second early");
        _innocent(wordBench, _early(b, deadline + 1, 2), "not silent");
        _innocent(wordBench, _early(b, deadline + 1, 50), "not there");
    }

    function test_a_forced_vote_ignored() public {
        Batch memory b = _play(_mixed(0));
        _post(3);
        FrameProof memory p = _force(b, YES, _saltOf(b));
        uint64 at = uint64(block.timestamp);
        _post(2);
        vm.warp(block.timestamp + 1 hours);
        _commit(b);
        bytes32 salt = _saltOf(b);
        _guilty(wordBench, _ignored(b, at, YES, salt, p), 1, "in time");
        _innocent(wordBench, _ignored(b, at - 1, YES, salt, p), "late");
        _refused(wordBench, _ignored(b, at, NO, salt, p), OTHER, "not what it had committed to");
        _innocent(wordBench, _ignored(b, at, 0, salt, p), "zero is no result");
        frameDepth = 3;
        _refused(wordBench, _ignored(b, at, YES, salt, _frameOf(b)), OTHER, "another frame");
    }

    /// Who posts a vote with a signature that is none cannot blame the pool later with a good one.
    function test_a_forced_vote_without_its_signature() public {
        Batch memory b = _play(_mixed(0));
        FrameProof memory p = _frameOf(b);
        (bytes32 good, uint64 at) = (p.r, uint64(block.timestamp));
        p.r = "bad";
        _forceWith(b, YES, _saltOf(b), p);
        vm.warp(block.timestamp + 1 hours);
        _commit(b);
        _refused(wordBench, _ignored(b, at, YES, _saltOf(b), p), UNSIGNED, "bad");
        p.r = good;
        _refused(wordBench, _ignored(b, at, YES, _saltOf(b), p), OTHER, "not what was posted");
    }

    function test_the_inbox_of_a_proof_is_the_batchs() public {
        Batch memory b = _play(_mixed(0));
        FrameProof memory p = _force(b, YES, _saltOf(b));
        uint64 at = uint64(block.timestamp);
        vm.warp(block.timestamp + 1 hours);
        _commit(b);
        _post(2); // after the commit: not the batch's
        string memory error = "RootMismatch(bytes32,bytes32)";
        _refused(wordBench, _ignored(b, at, YES, _saltOf(b), p), error, "one too many");
    }

    function test_a_demand_ignored() public {
        Batch memory b = _play(_mixed(0));
        uint64 at = uint64(block.timestamp);
        _demand(b);
        _post(2);
        uint256 before = more.snapshotState();
        vm.warp(at + SLACK - 1);
        _commit(b);
        _innocent(wordBench, _demanded(b, at), "committed before it could be seen");
        more.revertToState(before);
        vm.warp(at + SLACK);
        _commit(b);
        _guilty(wordBench, _demanded(b, at), 1, "no answer");
        _guilty(wordBench, _demanded(b, at - SLACK), 1, "asked at the last moment");
        _innocent(wordBench, _demanded(b, at - SLACK - 1), "asked too late");
        _guilty(wordBench, _demanded(b, type(uint64).max), 1, "asked early");
    }

    function test_a_demand_is_of_the_silent_voter_by_its_own_assignment() public {
        Batch memory b = _play(_mixed(0));
        uint64 at = uint64(block.timestamp);
        _demand(b);
        vm.warp(at + SLACK);
        _commit(b);
        Assign memory a = _assignOf(b, 3, SILENT, at);
        a.workerIdx = 2;
        _innocent(wordBench, _demandedBy(b, a), "not silent");
        a.workerIdx = 50;
        _innocent(wordBench, _demandedBy(b, a), "not there");
        for (uint256 field = 0; field < 4; field++) {
            a = _assignOf(b, 3, SILENT, at);
            if (field == 0) a.poolId++;
            if (field == 1) a.dealId = "other";
            if (field == 2) a.taskIdx++;
            if (field == 3) a.attempt++;
            _refused(wordBench, _demandedBy(b, a), OTHER, "another replica");
        }
        a = _assignOf(b, 3, SILENT, at);
        FrameProof memory forged = _frame(VOTE_KEY, keccak256(abi.encode(Messages.ASSIGN_TYPE, a)));
        _refused(wordBench, _demandedWith(b, a, forged), UNSIGNED, "by somebody else");
        _entries[0].hash = "other";
        string memory error = "RootMismatch(bytes32,bytes32)";
        _refused(wordBench, _demandedBy(b, a), error, "not what was posted");
    }

    /// What begins the entries is the worker's own demand and no other's, and no set.
    function test_somebody_elses_demand_is_not_the_workers() public {
        Batch memory b = _play(_mixed(0));
        uint64 at = uint64(block.timestamp);
        _post(2);
        vm.warp(at + SLACK);
        _commit(b);
        _refused(wordBench, _demanded(b, at), OTHER, "another's");
        delete _entries;
        _before = b.inbox;
        (bool fraud,) = wordBench.staticcall(_demanded(b, at));
        vm.assertFalse(fraud, "no entry at all");
    }

    function test_a_demand_answered() public {
        for (uint64 early = 0; early < 2; early++) {
            uint256 before = more.snapshotState();
            Batch memory b = _play(_mixed(0));
            uint64 at = uint64(block.timestamp);
            _demand(b);
            vm.warp(at + 100);
            // The same set, signed again: whatever its deadline was before.
            CommitSet memory set = _set(b, 3, 0, at + 100 + SLACK - early);
            _answer(set, _signed(set).proof);
            vm.warp(at + SLACK);
            _commit(b);
            if (early == 0) _innocent(wordBench, _demanded(b, at), "in time");
            else _guilty(wordBench, _demanded(b, at), 1, "a second too late to reveal");
            more.revertToState(before);
        }
    }

    function test_an_answer_counts_for_what_was_asked_before_it() public {
        Batch memory b = _play(_mixed(0));
        uint64 at = uint64(block.timestamp);
        CommitSet memory set = _set(b, 3, 0, at + 10 hours);
        _demand(b);
        _answer(set, _signed(set).proof);
        bytes32 between = settlement.poolOf(poolId).inbox;
        _demand(b);
        vm.warp(at + SLACK);
        _commit(b);
        _innocent(wordBench, _demanded(b, at), "answered");
        // Asked again, it has not been answered again: the pool is held to each demand.
        _entries[0] = _entries[2];
        _entries.pop();
        _entries.pop();
        _answers.pop();
        _before = between;
        _guilty(wordBench, _demanded(b, at), 1, "the second");
    }

    function test_what_is_no_answer() public {
        for (uint256 field = 0; field < 6; field++) {
            uint256 before = more.snapshotState();
            Batch memory b = _play(_mixed(0));
            uint64 at = uint64(block.timestamp);
            CommitSet memory set = _set(b, 3, 0, at + 10 hours);
            _demand(b);
            if (field == 0) set.taskId = "other";
            if (field == 1) set.attempt++;
            if (field == 2) set.commitSetRoot = "other";
            bytes32 structHash = keccak256(abi.encode(Messages.COMMIT_SET_TYPE, set));
            FrameProof memory p = _frame(field == 3 ? VOTE_KEY : SIGNER_KEY, structHash);
            if (field == 4) p.path[0] = "other";
            if (field == 5) p.r = 0;
            _answer(set, p);
            vm.warp(at + SLACK);
            _commit(b);
            _guilty(wordBench, _demanded(b, at), 1, string.concat("no answer ", vm.toString(field)));
            more.revertToState(before);
        }
    }

    /// A prover can neither leave an answer out nor say that it was something else.
    function test_all_sets_after_a_demand_are_opened() public {
        Batch memory b = _play(_mixed(0));
        uint64 at = uint64(block.timestamp);
        CommitSet memory set = _set(b, 3, 0, at + 10 hours);
        _demand(b);
        CommitSet memory other = CommitSet(poolId, "other", 0, "root", 1, 0);
        _answer(other, _signed(other).proof);
        _answer(set, _signed(set).proof);
        vm.warp(at + SLACK);
        _commit(b);
        _innocent(wordBench, _demanded(b, at), "the second answers");
        SignedSet memory last = _answers[1];
        _answers.pop();
        _refused(wordBench, _demanded(b, at), "Panic(uint256)", "one left out");
        _answers.push(_answers[0]);
        _refused(wordBench, _demanded(b, at), OTHER, "one shown twice");
        _answers[1] = last;
        _answers[1].set.revealDeadline = 0;
        _refused(wordBench, _demanded(b, at), OTHER, "with another deadline");
        _answers[1] = last;
        _answers[1].proof.r = 0;
        _refused(wordBench, _demanded(b, at), OTHER, "without its signature");
    }

    /// The whole trip: the worker waits for its set, asks, is shown it with a later deadline, and
    /// reveals on chain. Nothing of it convicts a pool that counts the vote; leaving it out does.
    function test_a_set_signed_again_for_who_asked() public {
        Batch memory b = _play(_mixed(0));
        uint64 promised = uint64(block.timestamp);
        CommitSet memory first = _set(b, 3, 0, promised);
        vm.warp(promised + SLACK);
        _demand(b);
        vm.warp(promised + 2 * SLACK);
        uint64 later = promised + 4 * SLACK;
        CommitSet memory again = _set(b, 3, 0, later);
        _answer(again, _signed(again).proof);
        _innocent(wordBench, _twoSets(first, again), "one set");
        _innocent(wordBench, _short(_assignOf(b, 3, SILENT, promised), again), "not short");
        vm.warp(later);
        bytes32 before = settlement.poolOf(poolId).inbox;
        (Entry memory demand, Entry memory answer) = (_entries[0], _entries[1]);
        FrameProof memory p = _force(b, YES, _saltOf(b));
        vm.warp(later + SLACK);
        _commit(b);
        _innocent(wordBench, _early(b, later, SILENT), "it waited");
        _guilty(wordBench, _ignored(b, later, YES, _saltOf(b), p), 1, "and did not count the vote");
        vm.assertEq(_before, before, "inbox");
        Entry memory vote = _entries[0];
        (_entries[0], _before) = (demand, 0);
        _entries.push(answer);
        _entries.push(vote);
        _innocent(wordBench, _demanded(b, promised), "it had answered");
    }

    // ---- all of them ----

    /// Whatever bit of a proof is changed, an honest pool is not convicted. (Signatures are only
    /// ever of what was said.)
    function testFuzz_no_changed_proof_convicts_an_honest_pool(uint256 which, uint256 bit) public {
        Batch memory b = _play(_mixed(0));
        Batch memory c = _copy(b);
        vm.warp(block.timestamp + 1 hours);
        _commit(b);
        bytes memory proof;
        which %= 10;
        uint64 past = uint64(block.timestamp - SLACK);
        if (which == 0) proof = _twoHeaders(b.header, c.header);
        if (which == 1) proof = _twoSets(_set(b, 1, 0, past), _set(b, 1, 0, past));
        if (which == 2) proof = _denied(b, 1, _set(b, 1, 0, past));
        if (which == 3) proof = _committed(b, 1, _ack(b, 1, 8));
        if (which == 4) proof = _revealed(b, 1, _revealAck(b, 1, 3));
        if (which == 5) proof = _assigned(b, 1, past);
        if (which == 6) proof = _early(b, past, SILENT);
        if (which == 7) {
            Assign memory a = Assign(poolId, dealIds[0], 5, 1, 3, 0, 1000, 2000);
            proof = _twoAssigns(a, a);
        }
        if (which == 8) proof = _short(_assignOf(b, 1, 5, past), _set(b, 1, 0, past));
        if (which == 9) proof = _twoSets(_set(b, 1, 0, past), _set(b, 1, 0, past + 1));
        proof[4 + (bit >> 8) % (proof.length - 4)] ^= bytes1(uint8(1 << (bit % 8)));
        (bool fraud,) = wordBench.staticcall(proof);
        vm.assertFalse(fraud, "a changed proof");
    }

    /// Nor by anything about a demand that was answered.
    function testFuzz_no_changed_demand_convicts_an_honest_pool(uint256 bit) public {
        Batch memory b = _play(_mixed(0));
        uint64 at = uint64(block.timestamp);
        CommitSet memory set = _set(b, 3, 0, at + 10 hours);
        _demand(b);
        _post(2);
        _answer(set, _signed(set).proof);
        vm.warp(at + SLACK);
        _commit(b);
        bytes memory proof = _demanded(b, at);
        _innocent(wordBench, proof, "answered");
        proof[4 + (bit >> 8) % (proof.length - 4)] ^= bytes1(uint8(1 << (bit % 8)));
        (bool fraud,) = wordBench.staticcall(proof);
        vm.assertFalse(fraud, "a changed proof");
    }

    // ---- the inbox ----

    /// An entry about something else.
    function _post(uint8 kind) private {
        if (kind == 2) {
            settlement.demandSet(poolId, "other", 0, 1);
            _entries.push(
                Entry(
                    uint64(block.timestamp),
                    2,
                    keccak256(abi.encode(bytes32("other"), uint16(0), uint32(1)))
                )
            );
            return;
        }
        CommitSet memory set = CommitSet(poolId, "other", 0, "root", 1, 0);
        FrameProof memory p = _signed(set).proof;
        settlement.answerSet(poolId, set, p.index, p.count, p.path, p.r, p.vs);
    }

    function _force(Batch memory b, bytes32 digest, bytes32 salt)
        private
        returns (FrameProof memory p)
    {
        p = _frameOf(b);
        _forceWith(b, digest, salt, p);
    }

    function _frameOf(Batch memory b) private view returns (FrameProof memory) {
        return _frame(VOTE_KEY + SILENT, _revealHash(_reveal(b, YES, _saltOf(b))));
    }

    function _forceWith(Batch memory b, bytes32 digest, bytes32 salt, FrameProof memory p) private {
        delete _entries;
        _before = settlement.poolOf(poolId).inbox;
        Reveal memory reveal = _reveal(b, digest, salt);
        settlement.forceVote(poolId, reveal, p.index, p.count, p.path, p.r, p.vs);
        bytes32 entry =
            keccak256(abi.encode(_revealHash(reveal), p.index, p.count, p.path, p.r, p.vs));
        _entries.push(Entry(uint64(block.timestamp), 1, entry));
    }

    function _reveal(Batch memory b, bytes32 digest, bytes32 salt)
        private
        view
        returns (Reveal memory)
    {
        bytes32 set = b.tasks[3].sets[0];
        return Reveal(poolId, _taskId(b.tasks[3].rec), 0, set, digest, salt);
    }

    function _revealHash(Reveal memory reveal) private pure returns (bytes32) {
        return keccak256(abi.encode(Messages.REVEAL_TYPE, reveal));
    }

    /// What World gave the silent worker to commit with.
    function _saltOf(Batch memory b) private pure returns (bytes32) {
        return keccak256(abi.encode("salt", _taskId(b.tasks[3].rec), SILENT));
    }

    function _demand(Batch memory b) private {
        bytes32 taskId = _taskId(b.tasks[3].rec);
        settlement.demandSet(poolId, taskId, 0, SILENT);
        bytes32 entry = keccak256(abi.encode(taskId, uint16(0), SILENT));
        _entries.push(Entry(uint64(block.timestamp), 2, entry));
    }

    function _answer(CommitSet memory set, FrameProof memory p) private {
        settlement.answerSet(poolId, set, p.index, p.count, p.path, p.r, p.vs);
        bytes32 structHash = keccak256(abi.encode(Messages.COMMIT_SET_TYPE, set));
        bytes32 entry = keccak256(abi.encode(structHash, p.index, p.count, p.path, p.r, p.vs));
        _entries.push(Entry(uint64(block.timestamp), 3, entry));
        _answers.push(SignedSet(set, p));
    }

    // ---- proofs ----

    function _headerSig(uint256 key, Header memory header)
        private
        view
        returns (bytes32[2] memory sig)
    {
        (sig[0], sig[1]) = _sign(key, _hash(header));
    }

    function _twoHeaders(Header memory a, Header memory b) private view returns (bytes memory) {
        return abi.encodeCall(
            Benches.twoHeaders, (a, _headerSig(SIGNER_KEY, a), b, _headerSig(SIGNER_KEY, b))
        );
    }

    function _twoSets(CommitSet memory a, CommitSet memory b) private view returns (bytes memory) {
        return abi.encodeCall(Benches.twoSets, (_signed(a), _signed(b)));
    }

    function _twoAssigns(Assign memory a, Assign memory b) private view returns (bytes memory) {
        return abi.encodeCall(Benches.twoAssigns, (a, _signedAssign(a), b, _signedAssign(b)));
    }

    function _signedAssign(Assign memory a) private view returns (FrameProof memory) {
        return _frame(SIGNER_KEY, keccak256(abi.encode(Messages.ASSIGN_TYPE, a)));
    }

    function _denied(Batch memory b, uint256 place, CommitSet memory set)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(
            Benches.setDenied, (_filing(b), _leaf(b, place), _votesOf(b, place), _signed(set))
        );
    }

    function _ack(Batch memory b, uint256 place, uint256 i)
        private
        view
        returns (CommitAck memory)
    {
        Task memory t = b.tasks[place];
        Vote memory v = t.votes[i];
        bytes32 commitment =
            v.resultDigest == 0 ? v.salt : _commitment(_taskId(t.rec), v, v.resultDigest, v.salt);
        return CommitAck(poolId, _taskId(t.rec), v.attempt, v.workerIdx, commitment, 7);
    }

    function _committed(Batch memory b, uint256 place, CommitAck memory ack)
        private
        view
        returns (bytes memory)
    {
        FrameProof memory p =
            _frame(SIGNER_KEY, keccak256(abi.encode(Messages.COMMIT_ACK_TYPE, ack)));
        return abi.encodeCall(
            Benches.commitOmitted, (_filing(b), _leaf(b, place), _votesOf(b, place), ack, p)
        );
    }

    function _revealAck(Batch memory b, uint256 place, uint256 i)
        private
        view
        returns (RevealAck memory)
    {
        Task memory t = b.tasks[place];
        Vote memory v = t.votes[i];
        Reveal memory reveal =
            Reveal(poolId, _taskId(t.rec), v.attempt, t.sets[v.attempt], v.resultDigest, v.salt);
        bytes32 voteHash = _revealHash(reveal);
        return RevealAck(poolId, reveal.taskId, v.attempt, v.workerIdx, voteHash, false, 8);
    }

    function _revealed(Batch memory b, uint256 place, RevealAck memory ack)
        private
        view
        returns (bytes memory)
    {
        FrameProof memory p =
            _frame(SIGNER_KEY, keccak256(abi.encode(Messages.REVEAL_ACK_TYPE, ack)));
        return abi.encodeCall(
            Benches.revealOmitted, (_filing(b), _leaf(b, place), _votesOf(b, place), ack, p)
        );
    }

    function _assigned(Batch memory b, uint32 workerIdx, uint64 commitDeadline)
        private
        view
        returns (bytes memory)
    {
        uint32 taskIdx = b.tasks[1].rec.taskIdx;
        Assign memory a = Assign(poolId, dealIds[0], taskIdx, 0, workerIdx, 0, commitDeadline, 0);
        return abi.encodeCall(
            Benches.assignedLeaver,
            (_filing(b), _leaf(b, 1), _votesOf(b, 1), deals[0], a, _signedAssign(a))
        );
    }

    function _early(Batch memory b, uint64 deadline, uint32 workerIdx)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(
            Benches.closedEarly,
            (_filing(b), _leaf(b, 3), _votesOf(b, 3), _signed(_set(b, 3, 0, deadline)), workerIdx)
        );
    }

    function _ignored(
        Batch memory b,
        uint64 deadline,
        bytes32 digest,
        bytes32 salt,
        FrameProof memory p
    ) private view returns (bytes memory) {
        return bytes.concat(
            Benches.voteIgnored.selector,
            abi.encode(
                _filing(b),
                _leaf(b, 3),
                _votesOf(b, 3),
                _signed(_set(b, 3, 0, deadline)),
                SILENT,
                digest,
                salt,
                p,
                _before,
                _entries
            )
        );
    }

    function _short(Assign memory a, CommitSet memory set) private view returns (bytes memory) {
        return abi.encodeCall(Benches.shortSet, (a, _signedAssign(a), _signed(set)));
    }

    function _assignOf(Batch memory b, uint256 place, uint32 workerIdx, uint64 revealDeadline)
        private
        view
        returns (Assign memory)
    {
        uint32 taskIdx = b.tasks[place].rec.taskIdx;
        return Assign(poolId, dealIds[0], taskIdx, 0, workerIdx, 0, 0, revealDeadline);
    }

    function _demanded(Batch memory b, uint64 revealDeadline) private view returns (bytes memory) {
        return _demandedBy(b, _assignOf(b, 3, SILENT, revealDeadline));
    }

    function _demandedBy(Batch memory b, Assign memory a) private view returns (bytes memory) {
        return _demandedWith(b, a, _signedAssign(a));
    }

    function _demandedWith(Batch memory b, Assign memory a, FrameProof memory p)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(
            Benches.demandIgnored,
            (_filing(b), _leaf(b, 3), _votesOf(b, 3), a, p, _before, _entries, _answers)
        );
    }
}
