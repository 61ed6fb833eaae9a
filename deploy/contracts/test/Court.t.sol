// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ICourt} from "../src/ICourt.sol";
import {Filing, SignedSet} from "../src/court/Proofs.sol";
import {CommitSet, Pool, Vote} from "../src/Types.sol";
import {Benches} from "./court/Benches.sol";
import {World} from "./court/World.sol";
import {vm} from "./support/Vm.sol";

/// @notice The court: who is paid for a proof, what a conviction does, and data that is not shown.
contract CourtTest is World {
    address private constant COPIER = address(0xC0B1);
    address private constant SECOND = address(0x5EC0);
    bytes32 private constant SALT = "salt";

    /// Batches 1 and 2.
    Filing private _first;
    Filing private _second;
    /// A proof against batch 3.
    bytes private _third;

    function setUp() public override {
        super.setUp();
        Batch memory b = _play(_mixed(0));
        _commit(b);
        _first = _filing(b);
    }

    // ---- announcing ----

    function test_a_proof_is_announced_and_drops_its_batch_and_all_after_it() public {
        bytes memory proof = _wrong();
        bytes32 challenge = _announce(watcher, proof);
        vm.assertEq(court.challengeOf(challenge).at, block.timestamp, "when");
        vm.warp(block.timestamp + 12);
        vm.expectEmit(address(court));
        emit ICourt.Proven(poolId, 2, watcher, true);
        _prove(watcher, proof);

        Pool memory pool = settlement.poolOf(poolId);
        vm.assertEq(pool.head, 1, "batches 2 and 3 are gone, batch 1 stands");
        vm.assertEq(pool.state, 2, "convicted");
        vm.assertEq(pool.bond, BOND / 4, "half burnt, a quarter given, a quarter left");
        vm.assertEq(settlement.freeOf(address(0xdEaD)), BOND / 2, "burnt");
        vm.assertEq(settlement.freeOf(address(court)), BOND / 4, "the court's");
        ICourt.Case memory trial = court.caseOf(poolId);
        vm.assertEq(trial.openedAt, block.timestamp, "opened");
        vm.assertEq(trial.top, 3, "newest");
        vm.assertEq(trial.winners, 1, "winners");
        vm.assertEq(trial.pot, BOND / 4, "pot");
    }

    function test_an_announcement_counts_from_the_next_block() public {
        bytes memory proof = _wrong();
        bytes32 challenge = _name(watcher, proof);
        _refusedProof(watcher, proof, _notAnnounced(challenge, 0));
        _announce(watcher, proof);
        _refusedProof(watcher, proof, _notAnnounced(challenge, block.timestamp));
        vm.warp(block.timestamp + 1);
        _prove(watcher, proof);
    }

    function test_an_announcement_is_its_makers() public {
        bytes memory proof = _wrong();
        _announce(watcher, proof);
        vm.warp(block.timestamp + 1);
        _refusedProof(COPIER, proof, _notAnnounced(_name(COPIER, proof), 0));
    }

    function test_nothing_is_announced_twice() public {
        bytes32 challenge = _announce(watcher, "proof");
        vm.expectRevert(
            abi.encodeWithSelector(
                ICourt.AnnouncedBefore.selector, challenge, uint40(block.timestamp)
            )
        );
        court.commitChallenge(challenge);
    }

    function test_a_copied_proof_earns_nothing() public {
        bytes memory proof = _wrong();
        _announce(watcher, proof);
        vm.warp(block.timestamp + 1);
        // In the block of the first proof, seen in the mempool: as early as a copy can be.
        bytes32 copy = _announce(COPIER, proof);
        _prove(watcher, proof);
        bytes memory nothing = abi.encodeWithSelector(ICourt.NothingLeft.selector, copy);
        _refusedProof(COPIER, proof, nothing);
        vm.warp(block.timestamp + 1);
        _refusedProof(COPIER, proof, nothing);
        vm.assertEq(court.caseOf(poolId).winners, 1, "the watcher alone");
    }

    function test_only_the_courts_benches_are_asked() public {
        bytes memory proof = abi.encodeCall(this.verdict, ());
        vm.expectRevert(abi.encodeWithSelector(ICourt.UnknownBench.selector, address(this)));
        court.prove(address(this), SALT, proof);
        // A bench's other functions say nothing about batches.
        proof = abi.encodeWithSignature("settlement()");
        vm.expectRevert(abi.encodeWithSelector(ICourt.BadVerdict.selector));
        court.prove(stepBench, SALT, proof);
    }

    function verdict() external view returns (uint32, uint32) {
        return (poolId, 2);
    }

    function test_no_fraud_moves_nothing() public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        bytes memory proof = _stepCall(b, 1);
        _announce(watcher, proof);
        vm.warp(block.timestamp + 1);
        _refusedProof(watcher, proof, abi.encodeWithSignature("NoFraud()"));
        vm.assertEq(settlement.poolOf(poolId).state, 0, "live");
        vm.assertEq(court.caseOf(poolId).openedAt, 0, "no case");
    }

    // ---- sharing ----

    function test_several_winners_share_equally() public {
        bytes memory first = _wrong();
        bytes memory second = _third;
        bytes32 a = _announce(watcher, first);
        bytes32 b = _announce(SECOND, second);
        vm.warp(block.timestamp + 1);
        _prove(watcher, first);
        vm.warp(block.timestamp + 6 hours);
        _proveAt(bookBench, SECOND, second);
        vm.assertEq(court.caseOf(poolId).winners, 2, "two");

        bytes memory early =
            abi.encodeWithSelector(ICourt.TooEarly.selector, block.timestamp + 1, block.timestamp);
        vm.expectRevert(early);
        court.share(a);
        vm.warp(block.timestamp + 1);
        vm.expectEmit(address(court));
        emit ICourt.Shared(poolId, watcher, BOND / 8);
        court.share(a);
        court.share(b);
        vm.assertEq(settlement.freeOf(watcher), BOND / 8, "half");
        vm.assertEq(settlement.freeOf(SECOND), BOND / 8, "half");
        vm.assertEq(settlement.freeOf(address(court)), 0, "nothing left");
        vm.expectRevert(abi.encodeWithSelector(ICourt.NoShare.selector, a));
        court.share(a);
    }

    function test_the_operator_never_gains() public {
        uint128 before = settlement.freeOf(operator);
        bytes memory proof = _wrong();
        bytes32 challenge = _announce(operator, proof);
        vm.warp(block.timestamp + 1);
        _prove(operator, proof);
        vm.warp(block.timestamp + 6 hours + 1);
        court.share(challenge);
        uint128 gain = settlement.freeOf(operator) - before;
        vm.assertEq(gain, BOND / 4, "a quarter of what it has lost");
    }

    function test_one_proof_counts_once() public {
        bytes memory proof = _wrong();
        bytes32 challenge = _announce(watcher, proof);
        vm.warp(block.timestamp + 1);
        _prove(watcher, proof);
        bytes memory nothing = abi.encodeWithSelector(ICourt.NothingLeft.selector, challenge);
        _refusedProof(watcher, proof, nothing);
    }

    function test_after_six_hours_nobody_joins() public {
        bytes memory first = _wrong();
        bytes memory second = _third;
        _announce(watcher, first);
        bytes32 late = _announce(SECOND, second);
        vm.warp(block.timestamp + 1);
        _prove(watcher, first);
        vm.warp(block.timestamp + 6 hours + 1);
        vm.prank(SECOND);
        vm.expectRevert(abi.encodeWithSelector(ICourt.NothingLeft.selector, late));
        court.prove(bookBench, SALT, second);
        vm.expectRevert(abi.encodeWithSelector(ICourt.NoShare.selector, late));
        court.share(late);
    }

    /// An operator who convicts itself over a late batch must not save an earlier one by it.
    function test_an_earlier_batch_can_be_dropped_at_any_time_for_no_share() public {
        bytes memory first = _wrong();
        bytes memory last = _third;
        _announce(watcher, last);
        vm.warp(block.timestamp + 1);
        _proveAt(bookBench, watcher, last);
        vm.assertEq(settlement.poolOf(poolId).head, 2, "batch 2 still stands");
        vm.warp(block.timestamp + 7 hours);
        vm.expectEmit(address(court));
        emit ICourt.Proven(poolId, 2, SECOND, false);
        _prove(SECOND, first);
        vm.assertEq(settlement.poolOf(poolId).head, 1, "and falls");
        vm.assertEq(court.caseOf(poolId).winners, 1, "for no share");
        vm.assertEq(settlement.poolOf(poolId).bond, BOND / 4, "the bond is seized once");
    }

    function test_a_final_batch_stands() public {
        bytes memory proof = _wrong();
        _announce(watcher, proof);
        vm.warp(block.timestamp + WINDOW);
        settlement.finalize(_first.header, _first.committedAt, _first.inbox);
        settlement.finalize(_second.header, _second.committedAt, _second.inbox);
        bytes memory late = abi.encodeWithSelector(ICourt.NotPending.selector, poolId, 2, 2, 3);
        _refusedProof(watcher, proof, late);
    }

    function test_fraud_in_no_batch_drops_none() public {
        Batch memory b = _play(_mixed(1000));
        CommitSet memory set = _set(b, 0, 0, 100);
        SignedSet memory a = _signed(set);
        set = _set(b, 0, 0, 100);
        set.n++;
        bytes memory proof = abi.encodeCall(Benches.twoSets, (a, _signed(set)));
        _announce(watcher, proof);
        vm.warp(block.timestamp + 1);
        _proveAt(wordBench, watcher, proof);
        vm.assertEq(settlement.poolOf(poolId).head, 1, "batch 1 stands");
        vm.assertEq(settlement.poolOf(poolId).state, 2, "convicted");
        vm.assertEq(court.caseOf(poolId).pot, BOND / 4, "pot");
    }

    // ---- data ----

    function test_a_task_that_is_asked_for_is_shown() public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        vm.prank(watcher);
        vm.expectEmit(address(court));
        emit ICourt.Asked(poolId, 2, 1, uint64(block.timestamp) + 24 hours);
        court.ask(_filing(b), 1);
        vm.assertEq(court.askOf(poolId, 2, 1).asker, watcher, "asker");
        vm.warp(block.timestamp + 24 hours + 1);
        // Late, but nobody has said so.
        court.answer(_filing(b), _leaf(b, 1), b.tasks[1].sets, b.tasks[1].votes, _sets(b, 1));
        vm.expectRevert(abi.encodeWithSelector(ICourt.NotOpen.selector, poolId, 2, 1));
        court.silence(poolId, 2, 1);
        vm.expectRevert(abi.encodeWithSelector(ICourt.AskedBefore.selector, poolId, 2, 1));
        court.ask(_filing(b), 1);
    }

    function test_silence_is_fraud_and_the_askers_share() public {
        Batch memory b = _play(_mixed(1000));
        b.header.tasksRoot = "nobody knows";
        _commit(b);
        vm.prank(watcher);
        court.ask(_filing(b), 3);
        uint256 until = block.timestamp + 24 hours;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(ICourt.TooEarly.selector, until + 1, until));
        court.silence(poolId, 2, 3);
        vm.warp(until + 1);
        // Anybody may announce the ask's name, in this very block; the ask itself has announced it.
        court.commitChallenge(keccak256(abi.encode(poolId, uint32(2), uint32(3))));
        vm.prank(COPIER);
        bytes32 challenge = court.silence(poolId, 2, 3);
        vm.assertEq(settlement.poolOf(poolId).head, 1, "dropped");
        vm.warp(block.timestamp + 6 hours + 1);
        court.share(challenge);
        vm.assertEq(settlement.freeOf(watcher), BOND / 4, "the asker's");
        vm.assertEq(settlement.freeOf(COPIER), 0, "not the caller's");
    }

    function test_when_and_what_can_be_asked() public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        vm.expectRevert(abi.encodeWithSignature("PlaceOutOfRange(uint256,uint256)", 4, 4));
        court.ask(_filing(b), 4);
        uint256 end = block.timestamp + WINDOW - 36 hours;
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(ICourt.TooLate.selector, end, end + 1));
        court.ask(_filing(b), 0);
        vm.warp(end);
        court.ask(_filing(b), 0);
        vm.expectRevert(abi.encodeWithSelector(ICourt.NotOpen.selector, poolId, 2, 1));
        court.answer(_filing(b), _leaf(b, 1), b.tasks[1].sets, b.tasks[1].votes, _sets(b, 1));
        vm.expectRevert(abi.encodeWithSelector(ICourt.NotOpen.selector, poolId, 2, 1));
        court.silence(poolId, 2, 1);
    }

    function test_an_answer_is_the_task_with_its_signed_sets() public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        court.ask(_filing(b), 1);
        SignedSet[] memory sets = _sets(b, 1);
        Batch memory m = _copy(b);
        m.tasks[1].votes[0].salt = "other";
        _refusedAnswer(m, b, sets, "PreimageMismatch(string,bytes32,bytes32)");
        _refusedAnswer(b, b, _sets(b, 0), "LengthMismatch(string,uint256,uint256)");
        sets[0].proof.r = "other";
        _refusedAnswer(b, b, sets, "NotSigned(address,address)");
        sets = _sets(b, 1);
        (sets[0], sets[1]) = (sets[1], sets[0]);
        _refusedAnswer(b, b, sets, "OtherSubject(string,bytes32,bytes32)");
        m.tasks[1].votes[0].path = new bytes32[](9);
        _refusedAnswer(m, b, sets, "TooLong(string,uint256,uint256)");
    }

    /// More votes than a proof could take again cannot be shown, so they are as good as withheld.
    function test_more_than_fifteen_votes_cannot_be_shown() public {
        Batch memory b = _play(_mixed(1000));
        Vote memory vote = b.tasks[1].votes[0];
        b.tasks[1].votes = new Vote[](16);
        for (uint256 i = 0; i < 16; i++) {
            b.tasks[1].votes[i] = vote;
        }
        _seal(b);
        _commit(b);
        court.ask(_filing(b), 1);
        _refusedAnswer(b, b, _sets(b, 0), "TooLong(string,uint256,uint256)");
    }

    function _refusedAnswer(
        Batch memory shown,
        Batch memory b,
        SignedSet[] memory sets,
        string memory error
    ) private {
        vm.expectPartialRevert(bytes4(keccak256(bytes(error))));
        court.answer(_filing(b), _leaf(b, 1), shown.tasks[1].sets, shown.tasks[1].votes, sets);
    }

    function _sets(Batch memory b, uint256 place) private view returns (SignedSet[] memory sets) {
        sets = new SignedSet[](b.tasks[place].sets.length);
        for (uint16 a = 0; a < sets.length; a++) {
            sets[a] = _signed(_set(b, place, a, 100));
        }
    }

    // ---- helpers ----

    /// Batch 2 with a wrong reward in task 1, and batch 3 after it. The proof against batch 2.
    function _wrong() private returns (bytes memory) {
        Batch memory b = _play(_mixed(1000));
        b.tasks[1].rec.reward++;
        _sealTree(b);
        _commit(b);
        _second = _filing(b);
        Batch memory c = _play(_mixed(2000));
        c.header.payout++;
        _commit(c);
        _third = abi.encodeCall(Benches.totals, (_filing(c), _leaf(c, 3)));
        return _stepCall(b, 1);
    }

    function _name(address who, bytes memory proof) private pure returns (bytes32) {
        return keccak256(abi.encode(who, SALT, keccak256(proof)));
    }

    function _announce(address who, bytes memory proof) private returns (bytes32 challenge) {
        challenge = _name(who, proof);
        court.commitChallenge(challenge);
    }

    function _prove(address who, bytes memory proof) private {
        _proveAt(stepBench, who, proof);
    }

    function _proveAt(address bench, address who, bytes memory proof) private {
        vm.prank(who);
        court.prove(bench, SALT, proof);
    }

    function _refusedProof(address who, bytes memory proof, bytes memory error) private {
        vm.prank(who);
        vm.expectRevert(error);
        court.prove(stepBench, SALT, proof);
    }

    function _notAnnounced(bytes32 challenge, uint256 at) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ICourt.NotAnnounced.selector, challenge, uint40(at));
    }
}
