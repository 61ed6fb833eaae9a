// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Messages} from "../src/Messages.sol";
import {FrameProof, Step} from "../src/court/Proofs.sol";
import {Commit, Reveal, RevealAck, TaskRec, Vote, WorkerAccount} from "../src/Types.sol";
import {Benches} from "./court/Benches.sol";
import {World, more} from "./court/World.sol";
import {vm} from "./support/Vm.sol";

/// @notice F2: every field of a task's record, of a vote and of an account, changed where the pool
/// commits it, is fraud; changed where only the prover says it, it is no proof. Place 1 of the batch
/// has everything: agreement, dissent, a second round, old accounts.
contract CourtStepsTest is World {
    string private constant ROOT = "RootMismatch(bytes32,bytes32)";
    string private constant PREIMAGE = "PreimageMismatch(string,bytes32,bytes32)";

    function setUp() public override {
        super.setUp();
        Batch memory b = _play(_mixed(0));
        _commit(b);
        for (uint256 place = 0; place < b.tasks.length; place++) {
            _innocent(stepBench, _stepCall(b, place), "the first batch of all");
        }
    }

    // ---- honest pools ----

    function test_no_step_of_an_honest_batch_is_fraud() public {
        for (uint32 round = 1; round < 5; round++) {
            Batch memory b = _play(_mixed(round * 1000));
            _commit(b);
            for (uint256 place = 0; place < b.tasks.length; place++) {
                _innocent(stepBench, _stepCall(b, place), "honest");
            }
        }
    }

    function test_expired_and_empty_tasks_are_no_fraud() public {
        Plan[] memory plans = new Plan[](3);
        plans[0] = Plan(0, 500, EXPIRED, 0, new PlannedVote[](0));
        plans[1] = Plan(0, 501, NO_QUORUM, 0, new PlannedVote[](0));
        // Decided, but the bytes never came: Expired makes no claim about votes.
        plans[2] = _agreed(502, 7);
        (plans[2].outcome, plans[2].winner) = (EXPIRED, 0);
        Batch memory b = _play(plans);
        _commit(b);
        for (uint256 place = 0; place < 3; place++) {
            _innocent(stepBench, _stepCall(b, place), "honest");
        }
    }

    function test_frames_of_any_depth_prove() public {
        for (uint256 depth = 0; depth <= 8; depth += 4) {
            frameDepth = depth;
            Batch memory b = _play(_plans(_agreed(uint32(600 + depth), 7)));
            _commit(b);
            _innocent(stepBench, _stepCall(b, 0), "honest");
        }
    }

    /// Whatever bit of a proof is changed, an honest batch is not convicted.
    function testFuzz_no_changed_proof_convicts_an_honest_batch(uint256 place, uint256 bit) public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        bytes memory proof = _stepCall(b, place % b.tasks.length);
        uint256 at = 4 + (bit >> 8) % (proof.length - 4);
        proof[at] ^= bytes1(uint8(1 << (bit % 8)));
        (bool fraud,) = stepBench.staticcall(proof);
        vm.assertFalse(fraud, "a changed proof");
    }

    /// A call that runs out of gas on the way must not look like a bad signature or an unknown
    /// worker: whoever proves chooses the gas.
    function testFuzz_too_little_gas_convicts_nobody(uint256 place, uint256 gas) public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        bytes memory proof = _stepCall(b, place % b.tasks.length);
        (bool fraud,) = stepBench.staticcall{gas: 5000 + gas % 300_000}(proof);
        vm.assertFalse(fraud, "out of gas");
    }

    // ---- expired, though decided and stored ----

    function test_a_decided_task_whose_bytes_came_is_not_expired() public {
        Plan memory plan = _agreed(1000, 9);
        plan.votes[8].digest = NO;
        (plan.outcome, plan.winner) = (EXPIRED, 0);
        Batch memory b = _play(_plans(plan));
        _commit(b);
        for (uint256 i = 0; i < 8; i++) {
            _guilty(stepBench, _storedCall(b, _storedAck(b, i)), 2, "stored and decided");
        }
        _innocent(stepBench, _stepCall(b, 0), "as a step it is none");
        RevealAck memory ack = _storedAck(b, 0);
        ack.stored = false;
        _innocent(stepBench, _storedCall(b, ack), "the bytes never came");
        _innocent(stepBench, _storedCall(b, _storedAck(b, 8)), "those of the loser came");
        ack = _storedAck(b, 0);
        ack.voteHash = "other";
        _innocent(stepBench, _storedCall(b, ack), "another vote: revealOmitted");
        ack = _storedAck(b, 0);
        ack.workerIdx = 50;
        _innocent(stepBench, _storedCall(b, ack), "no voter: revealOmitted");
        ack.workerIdx = 2;
        _innocent(stepBench, _storedCall(b, ack), "of one worker, in another's name");
    }

    /// Trust 50: 64 * 50 > 65 * 49, and 32 * 50 < 33 * 49.
    function test_what_is_not_decided_expires_whatever_came() public {
        for (uint256 k = 5; k < 7; k++) {
            uint256 before = more.snapshotState();
            Plan memory plan = _agreed(1000, k);
            (plan.outcome, plan.winner) = (EXPIRED, 0);
            Batch memory b = _play(_plans(plan));
            _commit(b);
            bytes memory proof = _storedCall(b, _storedAck(b, 0));
            if (k == 5) _innocent(stepBench, proof, "five");
            else _guilty(stepBench, proof, 2, "six");
            more.revertToState(before);
        }
    }

    function test_a_vote_never_revealed_was_not_stored() public {
        Plan memory plan = _agreed(1000, 8);
        plan.votes[7].digest = 0;
        (plan.outcome, plan.winner) = (EXPIRED, 0);
        Batch memory b = _play(_plans(plan));
        _commit(b);
        // Its hash is that of a Commit, which no acknowledgement of a Reveal names; even so.
        RevealAck memory ack = _storedAck(b, 7);
        Vote memory v = b.tasks[0].votes[7];
        ack.voteHash = keccak256(
            abi.encode(
                Messages.COMMIT_TYPE, Commit(poolId, _taskId(b.tasks[0].rec), v.attempt, v.salt)
            )
        );
        _innocent(stepBench, _storedCall(b, ack), "silent");
    }

    function test_what_was_settled_otherwise_is_not_expired() public {
        Plan[] memory plans = new Plan[](2);
        (plans[0], plans[1]) = (_agreed(1000, 7), _failed(1001));
        Batch memory b = _play(plans);
        _commit(b);
        _innocent(stepBench, _storedCall(b, _storedAck(b, 0)), "consensus");
        RevealAck memory ack = _ackAt(b, 1, 0);
        bytes memory proof =
            abi.encodeCall(Benches.expiredStored, (_step(b, 1), ack, _signedAck(SIGNER_KEY, ack)));
        _innocent(stepBench, proof, "no quorum");
    }

    function test_an_acknowledgement_of_something_else() public {
        Batch memory b = _expired();
        string memory other = "OtherSubject(string,bytes32,bytes32)";
        RevealAck memory ack = _storedAck(b, 0);
        ack.poolId++;
        _refused(stepBench, _storedCall(b, ack), other, "another pool");
        ack = _storedAck(b, 0);
        ack.taskId = "other";
        _refused(stepBench, _storedCall(b, ack), other, "another task");
        ack = _storedAck(b, 0);
        FrameProof memory p = _signedAck(VOTE_KEY, ack);
        bytes memory proof = abi.encodeCall(Benches.expiredStored, (_step(b, 0), ack, p));
        _refused(stepBench, proof, "NotSigned(address,address)", "not the pool's");
        ack.stored = false;
        p = _signedAck(SIGNER_KEY, ack);
        ack.stored = true;
        proof = abi.encodeCall(Benches.expiredStored, (_step(b, 0), ack, p));
        _refused(stepBench, proof, "NotSigned(address,address)", "made to say stored");
    }

    /// Whoever says that an undecided task was decided would have to lie about the voters.
    function test_scores_are_proven_where_the_decision_hangs_on_them() public {
        Plan memory plan = _agreed(1000, 5);
        (plan.outcome, plan.winner) = (EXPIRED, 0);
        Batch memory b = _play(_plans(plan));
        _commit(b);
        RevealAck memory ack = _storedAck(b, 0);
        for (uint256 i = 0; i < 5; i++) {
            Step memory s = _step(b, 0);
            s.voters[i].account.score = 1000;
            bytes memory proof =
                abi.encodeCall(Benches.expiredStored, (s, ack, _signedAck(SIGNER_KEY, ack)));
            _refused(stepBench, proof, ROOT, "a score made up");
        }
        Step memory t = _step(b, 0);
        t.terms.trust = 1;
        bytes memory lie =
            abi.encodeCall(Benches.expiredStored, (t, ack, _signedAck(SIGNER_KEY, ack)));
        _refused(stepBench, lie, PREIMAGE, "another trust");
    }

    /// A step that is wrong anyway stays fraud.
    function test_a_faulty_step_is_fraud_here_too() public {
        Batch memory b = _play(_plans(_agreed(1000, 7)));
        b.tasks[0].rec.reward++;
        _sealTree(b);
        _commit(b);
        _guilty(stepBench, _storedCall(b, _storedAck(b, 0)), 2, "a wrong reward");
    }

    /// Undecided and stored, and decided and never stored, whatever bit is changed.
    function testFuzz_no_changed_receipt_convicts_an_honest_batch(uint256 which, uint256 bit)
        public
    {
        Plan memory plan = _agreed(1000, which % 3 == 0 ? 5 : 7);
        if (which % 3 != 2) (plan.outcome, plan.winner) = (EXPIRED, 0);
        Batch memory b = _play(_plans(plan));
        _commit(b);
        RevealAck memory ack = _storedAck(b, which % 5);
        ack.stored = which % 3 != 1;
        bytes memory proof = _storedCall(b, ack);
        _innocent(stepBench, proof, "honest");
        proof[4 + (bit >> 8) % (proof.length - 4)] ^= bytes1(uint8(1 << (bit % 8)));
        (bool fraud,) = stepBench.staticcall(proof);
        vm.assertFalse(fraud, "a changed proof");
    }

    function testFuzz_too_little_gas_expires_nobody(uint256 gas) public {
        Plan memory plan = _agreed(1000, 5);
        (plan.outcome, plan.winner) = (EXPIRED, 0);
        Batch memory b = _play(_plans(plan));
        _commit(b);
        bytes memory proof = _storedCall(b, _storedAck(b, 0));
        (bool fraud,) = stepBench.staticcall{gas: 5000 + gas % 300_000}(proof);
        vm.assertFalse(fraud, "out of gas");
    }

    function _expired() private returns (Batch memory b) {
        Plan memory plan = _agreed(1000, 7);
        (plan.outcome, plan.winner) = (EXPIRED, 0);
        b = _play(_plans(plan));
        _commit(b);
    }

    function _storedAck(Batch memory b, uint256 i) private view returns (RevealAck memory) {
        return _ackAt(b, 0, i);
    }

    function _ackAt(Batch memory b, uint256 place, uint256 i)
        private
        view
        returns (RevealAck memory)
    {
        Task memory t = b.tasks[place];
        Vote memory v = t.votes[i];
        bytes32 taskId = _taskId(t.rec);
        Reveal memory reveal =
            Reveal(poolId, taskId, v.attempt, t.sets[v.attempt], v.resultDigest, v.salt);
        bytes32 voteHash = keccak256(abi.encode(Messages.REVEAL_TYPE, reveal));
        return RevealAck(poolId, taskId, v.attempt, v.workerIdx, voteHash, true, 8);
    }

    function _signedAck(uint256 key, RevealAck memory ack)
        private
        view
        returns (FrameProof memory)
    {
        return _frame(key, keccak256(abi.encode(Messages.REVEAL_ACK_TYPE, ack)));
    }

    function _storedCall(Batch memory b, RevealAck memory ack) private view returns (bytes memory) {
        return
            abi.encodeCall(Benches.expiredStored, (_step(b, 0), ack, _signedAck(SIGNER_KEY, ack)));
    }

    // ---- the record ----

    function test_every_field_of_a_record() public {
        Batch memory b = _play(_mixed(1000));
        for (uint256 place = 0; place < 3; place++) {
            for (uint256 field = 0; field < 16; field++) {
                // Another winner moves other money: see the tests of decisions below.
                if (field == 8 && place != 2 || field == 7 && place == 2) continue;
                Batch memory m = _copy(b);
                _changeRecord(m.tasks[place].rec, field);
                _sealTree(m);
                _convicts(m, place, "record", field);
            }
        }
    }

    function _changeRecord(TaskRec memory rec, uint256 field) private pure {
        if (field == 0) rec.taskIdx++;
        if (field == 1) rec.taskIdx = 60_000;
        if (field == 2) rec.attempt++;
        if (field == 3) rec.outcome = 0;
        if (field == 4) rec.outcome = rec.outcome == NO_QUORUM ? CONSENSUS : NO_QUORUM;
        if (field == 5) rec.outcome = 4;
        if (field == 6) rec.commitSetRoot ^= bytes32(uint256(1));
        if (field == 7) rec.winnerDigest = 0;
        if (field == 8) rec.winnerDigest = "nobody's";
        if (field == 9) rec.reward++;
        if (field == 10) rec.runPayout--;
        if (field == 11) rec.runFees++;
        if (field == 12) rec.runRoyalties++;
        if (field == 13) rec.runSlash++;
        if (field == 14) rec.postStateRoot ^= bytes32(uint256(1));
        if (field == 15) (rec.outcome, rec.winnerDigest) = (EXPIRED, YES);
    }

    function test_a_task_under_another_deal() public {
        uint256 other = _newDeal(9, 50);
        Batch memory b = _play(_mixed(1000));
        b.tasks[1].rec.dealId = dealIds[other];
        _sealTree(b);
        _commit(b);
        _refused(stepBench, _stepCall(b, 1), PREIMAGE, "other terms");
        b.tasks[1].terms = deals[other];
        _guilty(stepBench, _stepCall(b, 1), 2, "its votes are for another task");
    }

    function test_a_deal_of_another_pool() public {
        Batch memory b = _play(_mixed(1000));
        poolId = _newPool();
        uint256 other = _newDeal(9, 50);
        poolId--;
        b.tasks[1].rec.dealId = dealIds[other];
        b.tasks[1].terms = deals[other];
        _sealTree(b);
        _commit(b);
        _guilty(stepBench, _stepCall(b, 1), 2, "another pool's deal");
    }

    // ---- votes and sets ----

    function test_every_field_of_a_vote() public {
        Batch memory b = _play(_mixed(1000));
        for (uint256 i = 0; i < 9; i += 4) {
            for (uint256 field = 0; field < 11; field++) {
                Batch memory m = _copy(b);
                _changeVote(m.tasks[1].votes[i], field);
                _seal(m);
                _convicts(m, 1, "vote", field);
            }
        }
    }

    function test_every_field_of_a_silent_vote() public {
        Batch memory b = _play(_mixed(1000));
        for (uint256 field = 0; field < 11; field++) {
            if (field == 2) continue; // see below: a digest makes it a revealed one
            Batch memory m = _copy(b);
            _changeVote(m.tasks[3].votes[2], field);
            _seal(m);
            _convicts(m, 3, "silent vote", field);
        }
        b.tasks[3].votes[2].resultDigest = YES;
        _seal(b);
        _convicts(b, 3, "silent vote made to speak", 2);
    }

    function _changeVote(Vote memory v, uint256 field) private pure {
        if (field == 0) v.workerIdx = 2 ** 19;
        if (field == 1) v.attempt = v.attempt == 0 ? 1 : 0;
        if (field == 2) v.resultDigest = v.resultDigest == YES ? NO : YES;
        if (field == 3) v.salt ^= bytes32(uint256(1));
        if (field == 4) v.frameIndex ^= 1;
        if (field == 5) v.frameCount--;
        if (field == 6) v.path[0] ^= bytes32(uint256(1));
        if (field == 7) v.r ^= bytes32(uint256(1));
        if (field == 8) v.vs ^= bytes32(uint256(1));
        if (field == 9) v.path = new bytes32[](9);
        if (field == 10) v.workerIdx = 0;
    }

    function test_a_signature_in_the_upper_half() public {
        Batch memory b = _play(_mixed(1000));
        Vote memory v = b.tasks[1].votes[0];
        // The other s of the same signature: n - s, and the other parity.
        uint256 n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        uint256 s = uint256(v.vs) & (type(uint256).max >> 1);
        v.vs = bytes32((n - s) | (~uint256(v.vs) & (1 << 255)));
        _seal(b);
        _convicts(b, 1, "high s", 0);
    }

    function test_votes_left_out_added_or_swapped() public {
        Batch memory b = _play(_mixed(1000));
        Batch memory m = _copy(b);
        _pop(m.tasks[1]);
        _seal(m);
        _convicts(m, 1, "left out", 0);
        m = _copy(b);
        (m.tasks[1].votes[0], m.tasks[1].votes[1]) = (m.tasks[1].votes[1], m.tasks[1].votes[0]);
        (m.tasks[1].voters[0], m.tasks[1].voters[1]) = (m.tasks[1].voters[1], m.tasks[1].voters[0]);
        _seal(m);
        _convicts(m, 1, "swapped", 0);
        m = _copy(b);
        m.tasks[1].votes[1] = m.tasks[1].votes[0];
        _seal(m);
        _convicts(m, 1, "twice", 0);
    }

    function _pop(Task memory t) private pure {
        (Vote[] memory votes, uint256 n) = (t.votes, t.votes.length - 1);
        assembly ("memory-safe") {
            mstore(votes, n)
        }
        _popVoter(t, n);
    }

    function _popVoter(Task memory t, uint256 n) private pure {
        uint256 voters;
        assembly ("memory-safe") {
            voters := mload(add(t, 0x80))
            mstore(voters, n)
        }
    }

    function test_sets() public {
        Batch memory b = _play(_mixed(1000));
        for (uint256 i = 0; i < 4; i++) {
            Batch memory m = _copy(b);
            bytes32[] memory sets = m.tasks[1].sets;
            if (i == 0) sets[0] ^= bytes32(uint256(1));
            if (i == 1) (m.tasks[1].sets, m.tasks[1].rec.attempt) = (_three(sets), 2);
            if (i == 2) m.tasks[1].sets = _one(sets[1]);
            if (i == 3) (m.tasks[1].sets, m.tasks[1].rec.commitSetRoot) = (new bytes32[](0), 0);
            _seal(m);
            _convicts(m, 1, "sets", i);
        }
    }

    function _three(bytes32[] memory sets) private pure returns (bytes32[] memory all) {
        all = new bytes32[](3);
        (all[0], all[1], all[2]) = (sets[0], sets[1], sets[1]);
    }

    function _one(bytes32 set) private pure returns (bytes32[] memory all) {
        all = new bytes32[](1);
        all[0] = set;
    }

    // ---- what the votes come to ----

    function test_a_winner_that_is_not_credible() public {
        Batch memory b = _play(_plans(_agreed(1000, 4)));
        _convicts(b, 0, "16 * 50 against 17 * 49", 0);
    }

    function test_a_credible_result_denied() public {
        Plan memory plan = _agreed(1000, 7);
        (plan.outcome, plan.winner) = (NO_QUORUM, 0);
        _convicts(_play(_plans(plan)), 0, "128 * 50 against 129 * 49", 0);
    }

    function test_a_winner_nobody_voted_for() public {
        Plan memory plan = _agreed(1000, 7);
        plan.winner = NO;
        _convicts(_play(_plans(plan)), 0, "no votes", 0);
    }

    function test_more_replicas_than_allowed() public {
        uint256 deal = _newDeal(6, 5);
        Plan memory plan = _agreed(1000, 7);
        plan.deal = deal;
        _convicts(_play(_plans(plan)), 0, "seven of six", 0);
    }

    function test_a_winner_with_too_few_votes() public {
        Plan memory plan = _contested(1000);
        plan.winner = NO;
        _convicts(_play(_plans(plan)), 0, "one of nine", 0);
    }

    function test_one_owner_twice() public {
        _newWorkerOf(_ownerOf(1), 10);
        Plan memory plan = _agreed(1000, 8);
        plan.votes[7].worker = 10;
        _convicts(_play(_plans(plan)), 0, "two of one owner", 0);
    }

    function test_a_worker_that_is_not_registered() public {
        Plan memory plan = _agreed(1000, 8);
        plan.votes[7].worker = 50;
        _convicts(_play(_plans(plan)), 0, "nobody", 0);
    }

    function test_a_new_account_with_an_identity_that_is_not_the_registrys() public {
        _newWorkerOf(address(0xF00), 10);
        Plan memory plan = _agreed(1000, 8);
        plan.votes[7].worker = 10;
        _innocentThen(plan);
        for (uint8 field = 0; field < 2; field++) {
            uint256 before = more.snapshotState();
            lie = Lie(true, 10, field);
            _convicts(_play(_plans(plan)), 0, "another identity", field);
            more.revertToState(before);
        }
    }

    function _innocentThen(Plan memory plan) private {
        uint256 before = more.snapshotState();
        Batch memory b = _play(_plans(plan));
        _commit(b);
        _innocent(stepBench, _stepCall(b, 0), "without the lie");
        more.revertToState(before);
    }

    function test_a_task_settled_twice() public {
        Plan[] memory plans = new Plan[](2);
        (plans[0], plans[1]) = (_agreed(1000, 7), _agreed(1000, 7));
        _convicts(_play(plans), 1, "twice", 0);
    }

    function test_sums_that_do_not_fit_are_fraud_and_no_panic() public {
        Batch memory b = _play(_plans(_agreed(1000, 7)));
        WorkerAccount memory rich = accounts[tree.leafAt(state, 1)];
        rich.cumEarned = type(uint128).max;
        _put(1, rich);
        b.header.stateRoot = state;
        // Nobody looked, and the next batch starts from there.
        _commit(b);
        _convicts(_play(_plans(_agreed(1001, 7))), 0, "overflow", 0);
    }

    // ---- accounts ----

    function test_every_field_of_a_workers_account() public {
        _everyLie(1, 6);
    }

    function test_every_field_of_a_deals_account() public {
        _everyLie(DEALS, 5);
    }

    function _everyLie(uint32 position, uint8 fields) private {
        for (uint8 field = 0; field < fields; field++) {
            uint256 before = more.snapshotState();
            lie = Lie(true, position, field);
            Batch memory b = _play(_plans(_contested(1000)));
            _convicts(b, 0, "account", field);
            more.revertToState(before);
        }
    }

    function test_what_the_prover_says_of_accounts_must_be_proven() public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        for (uint256 i = 0; i < 12; i++) {
            Step memory s = _step(b, 1);
            if (i == 0) s.voters[8].account.score++;
            if (i == 1) s.voters[0].account.cumEarned++;
            if (i == 2) s.voters[0].account.owner = address(0xBAD);
            if (i == 3) s.voters[0].account.voteKey = address(0xBAD);
            if (i == 4) s.voters[3].path[0] = "bad";
            if (i == 5) s.deal.account.spent++;
            if (i == 6) s.deal.account.dealId = "bad";
            if (i == 7) s.deal.word = 0;
            if (i == 8) s.deal.wordPath[0] = "bad";
            if (i == 9) s.deal.path[0] = "bad";
            if (i == 10) s.before[0].postStateRoot = "bad";
            if (i == 11) s.leaf.path[15] = "bad";
            _refused(stepBench, abi.encodeCall(Benches.step, (s)), ROOT, "unproven");
        }
    }

    function test_what_else_the_prover_says_must_be_so() public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        Step memory s = _step(b, 1);
        s.filing.committedAt++;
        _refusedStep(s, "WordMismatch(bytes32,bytes32)");
        s = _step(b, 0);
        s.link[1] = "bad";
        _refusedStep(s, "WordMismatch(bytes32,bytes32)");
        s = _step(b, 1);
        s.terms.unitPrice++;
        _refusedStep(s, PREIMAGE);
        s = _step(b, 1);
        s.votes[100] ^= 0x01;
        _refusedStep(s, PREIMAGE);
        s = _step(b, 1);
        delete s.voters[0].account.owner;
        _refusedStep(s, "EmptyAccountNotZero()");
        s = _step(b, 1);
        s.leaf.place = 65_537;
        _refusedStep(s, "PlaceOutOfRange(uint256,uint256)");
        s = _step(b, 1);
        s.link = new bytes32[](1);
        _refusedStep(s, "LengthMismatch(string,uint256,uint256)");
    }

    function _refusedStep(Step memory s, string memory error) private view {
        _refused(stepBench, abi.encodeCall(Benches.step, (s)), error, error);
    }

    /// Commits a batch, has its step at `place` proven wrong, and takes the commit back.
    function _convicts(Batch memory b, uint256 place, string memory what, uint256 field) private {
        uint256 before = more.snapshotState();
        _commit(b);
        _guilty(
            stepBench,
            _stepCall(b, place),
            b.header.index,
            string.concat(what, " ", vm.toString(field), " at ", vm.toString(place))
        );
        more.revertToState(before);
    }
}
