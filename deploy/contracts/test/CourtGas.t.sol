// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {CommitAck, Reveal, RevealAck, TaskRec, Vote} from "../src/Types.sol";
import {FrameProof, SignedSet} from "../src/court/Proofs.sol";
import {Messages} from "../src/Messages.sol";
import {Benches} from "./court/Benches.sol";
import {World, more} from "./court/World.sol";
import {vm} from "./support/Vm.sol";

/// @notice What proofs cost as transactions of their own, in a pool of a thousand workers and a
/// hundred deals, with batches of 512 tasks and frames of 256 messages. A transaction pays at least
/// 10 gas for a zero byte of calldata and 40 for another (EIP-7623); that floor is reckoned here, as
/// the rules that forge runs do not know it.
/// forge-config: default.isolate = true
contract CourtGasTest is World {
    string private constant GROUP = "court";
    bytes32 private constant SALT = keccak256("salt");
    uint256 private _three;

    function setUp() public override {
        super.setUp();
        frameDepth = 8;
        // Not the first conviction ever: the burnt and the court have something.
        _fund(address(0xdEaD), 1);
        _fund(address(court), 1);
        _three = _newDeal(3, 5);
        // As many siblings that are not empty as a full pool has.
        for (uint32 at = 10; at < 1024; at = at < 16 ? 16 : at * 2) {
            state = tree.put(state, at, keccak256(abi.encode(at)));
        }
        for (uint32 at = 2; at < 128; at *= 2) {
            state = tree.put(state, DEALS + at, keccak256(abi.encode(DEALS + at)));
        }
        Batch memory b = _play(_pair(0));
        _fill(b);
        _commit(b);
    }

    function test_gas_step_of_three() public {
        _measure("F2 step, k = 3", _wrongStep(_three, 3), 300_000);
    }

    function test_gas_step_of_seven() public {
        _measure("F2 step, k = 7", _wrongStep(0, 7), 480_000);
    }

    function test_gas_of_an_expired_task() public {
        Plan[] memory plans = _pair(1);
        plans[1] = _agreed(1001, 3);
        (plans[1].deal, plans[1].outcome, plans[1].winner) = (_three, EXPIRED, 0);
        Batch memory b = _play(plans);
        _fill(b);
        _commit(b);
        Vote memory v = b.tasks[1].votes[0];
        bytes32 taskId = _taskId(b.tasks[1].rec);
        Reveal memory reveal = Reveal(poolId, taskId, 0, b.tasks[1].sets[0], v.resultDigest, v.salt);
        bytes32 voteHash = keccak256(abi.encode(Messages.REVEAL_TYPE, reveal));
        RevealAck memory ack = RevealAck(poolId, taskId, 0, v.workerIdx, voteHash, true, 8);
        FrameProof memory p =
            _frame(SIGNER_KEY, keccak256(abi.encode(Messages.REVEAL_ACK_TYPE, ack)));
        bytes memory proof = abi.encodeCall(Benches.expiredStored, (_step(b, 1), ack, p));
        _measure("F2 expired though stored, k = 3", proof, 330_000);
    }

    function test_gas_of_joining() public {
        bytes memory proof = _wrongStep(_three, 3);
        address first = address(0xF1);
        court.commitChallenge(keccak256(abi.encode(first, SALT, keccak256(proof))));
        bytes32 mine = keccak256(abi.encode(address(this), SALT, keccak256(proof)));
        court.commitChallenge(mine);
        vm.snapshotGasLastCall(GROUP, "commitChallenge");
        vm.warp(block.timestamp + 1);
        vm.prank(first);
        court.prove(stepBench, SALT, proof);
        court.prove(stepBench, SALT, proof);
        vm.snapshotGasLastCall(GROUP, "F2 step, k = 3, joining");
        vm.warp(block.timestamp + 6 hours + 1);
        court.share(mine);
        vm.snapshotGasLastCall(GROUP, "share");
    }

    function test_gas_omitted() public {
        Batch memory b = _play(_pair(1));
        _fill(b);
        _commit(b);
        CommitAck memory ack =
            CommitAck(poolId, _taskId(b.tasks[1].rec), 0, 50, keccak256("commitment"), 99);
        bytes32 structHash = keccak256(abi.encode(Messages.COMMIT_ACK_TYPE, ack));
        FrameProof memory p = _frame(SIGNER_KEY, structHash);
        _proveAt(
            "F3 omitted commit, k = 7",
            wordBench,
            abi.encodeCall(
                Benches.commitOmitted, (_filing(b), _leaf(b, 1), _votesOf(b, 1), ack, p)
            ),
            400_000
        );
    }

    function test_gas_header() public {
        Batch memory b = _play(_pair(1));
        _fill(b);
        b.header.payout++;
        _commit(b);
        bytes memory proof = abi.encodeCall(Benches.totals, (_filing(b), _leaf(b, 511)));
        _proveAt("F8 totals", bookBench, proof, 280_000);
    }

    function test_gas_data() public {
        Batch memory b = _play(_pair(1));
        _fill(b);
        _commit(b);
        court.ask(_filing(b), 1);
        vm.snapshotGasLastCall(GROUP, "F7 ask");
        SignedSet[] memory sets = new SignedSet[](1);
        sets[0] = _signed(_set(b, 1, 0, 100));
        court.answer(_filing(b), _leaf(b, 1), b.tasks[1].sets, b.tasks[1].votes, sets);
        vm.snapshotGasLastCall(GROUP, "F7 answer, k = 7");
    }

    /// The task at place 1 of 512, with a wrong reward.
    function _wrongStep(uint256 deal, uint256 k) private returns (bytes memory) {
        Plan[] memory plans = _pair(1);
        plans[1] = _agreed(1001, k);
        plans[1].deal = deal;
        Batch memory b = _play(plans);
        b.tasks[1].rec.reward++;
        _fill(b);
        _commit(b);
        return _stepCall(b, 1);
    }

    function _pair(uint32 first) private view returns (Plan[] memory plans) {
        plans = new Plan[](2);
        plans[0] = _agreed(first * 1000 + 2, 3);
        plans[0].deal = _three;
        plans[1] = _agreed(first * 1000 + 3, 9);
    }

    /// More tasks, which nobody looks at.
    function _fill(Batch memory b) private pure {
        Task[] memory tasks = new Task[](512);
        TaskRec memory last = b.tasks[1].rec;
        for (uint256 i = 0; i < 512; i++) {
            if (i < 2) tasks[i] = b.tasks[i];
            else tasks[i].rec = abi.decode(abi.encode(last), (TaskRec));
            if (i >= 2) tasks[i].rec.taskIdx += uint32(i);
        }
        (b.tasks, b.header.count) = (tasks, 512);
        _sealTree(b);
    }

    function _measure(string memory name, bytes memory proof, uint256 most) private {
        _proveAt(name, stepBench, proof, most);
    }

    function _proveAt(string memory name, address bench, bytes memory proof, uint256 most) private {
        court.commitChallenge(keccak256(abi.encode(address(this), SALT, keccak256(proof))));
        vm.warp(block.timestamp + 1);
        court.prove(bench, SALT, proof);
        uint256 gas = vm.snapshotGasLastCall(GROUP, name);
        uint256 least = _floor(abi.encodeCall(court.prove, (bench, SALT, proof)));
        more.snapshotValue(GROUP, string.concat(name, ", floor"), least);
        vm.assertLe(gas, most, "executed");
        vm.assertLe(least, most, "calldata");
    }

    function _floor(bytes memory data) private pure returns (uint256 gas) {
        gas = 21_000;
        for (uint256 i = 0; i < data.length; i++) {
            gas += data[i] == 0 ? 10 : 40;
        }
    }
}
