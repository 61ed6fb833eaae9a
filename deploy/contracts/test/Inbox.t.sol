// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../src/ISettlement.sol";
import {Merkle} from "../src/Merkle.sol";
import {Messages} from "../src/Messages.sol";
import {CommitSet, Header, Reveal} from "../src/Types.sol";
import {Fixture} from "./support/Fixture.sol";
import {Grid} from "./support/Grid.sol";
import {vm} from "./support/Vm.sol";

/// @notice What a scheduler will not hear, said on chain (PROTOCOL.md section 7).
contract InboxTest is Fixture {
    uint32 private poolId;

    function setUp() public override {
        super.setUp();
        poolId = newPool(10_000);
    }

    function test_a_forced_vote_is_in_the_log_whole_and_in_the_running_hash() public {
        bytes32 hash = posted(hashes.hashReveal(reveal()), 1, 3, path(2));
        bytes memory entry = abi.encode(
            poolId, reveal(), uint32(1), uint32(3), path(2), bytes32("r"), bytes32("vs")
        );
        uint64 at = uint64(block.timestamp);
        bytes32 inbox = keccak256(abi.encode(bytes32(0), at, uint8(1), hash));
        vm.expectEmit(address(settlement));
        emit ISettlement.Forced(poolId, 1, hash, at, 0, inbox, entry);
        vm.prank(stranger);
        settlement.forceVote(poolId, reveal(), 1, 3, path(2), "r", "vs");
        vm.assertEq(settlement.poolOf(poolId).inbox, inbox, "inbox");
    }

    function test_entries_of_all_kinds_follow_one_another() public {
        settlement.forceVote(poolId, reveal(), 0, 1, path(0), "r", "vs");
        bytes32 first = settlement.poolOf(poolId).inbox;
        vm.warp(block.timestamp + 5);
        bytes32 hash = keccak256(abi.encode(bytes32("task"), uint16(2), uint32(7)));
        bytes32 second = link(first, 2, hash);
        vm.expectEmit(address(settlement));
        emit ISettlement.Forced(
            poolId,
            2,
            hash,
            uint64(block.timestamp),
            first,
            second,
            abi.encode(poolId, bytes32("task"), uint16(2), uint32(7))
        );
        settlement.demandSet(poolId, "task", 2, 7);
        hash = posted(hashes.hashCommitSet(set()), 5, 6, path(3));
        bytes32 third = link(second, 3, hash);
        // Whole, so that whoever proves a demand ignored can open every set from logs.
        bytes memory entry =
            abi.encode(poolId, set(), uint32(5), uint32(6), path(3), bytes32("r"), bytes32("vs"));
        uint64 at = uint64(block.timestamp);
        vm.expectEmit(address(settlement));
        emit ISettlement.Forced(poolId, 3, hash, at, second, third, entry);
        settlement.answerSet(poolId, set(), 5, 6, path(3), "r", "vs");
        vm.assertEq(settlement.poolOf(poolId).inbox, third, "inbox");
    }

    function test_pools_have_an_inbox_each() public {
        uint32 other = newPool(0);
        settlement.demandSet(poolId, "task", 0, 1);
        vm.assertEq(settlement.poolOf(other).inbox, 0, "the other's is empty");
    }

    function test_a_batch_is_bound_to_the_inbox_of_its_moment() public {
        Grid grid = gridOf(poolId, SIGNER_KEY);
        settlement.demandSet(poolId, "task", 0, 1);
        bytes32 then = settlement.poolOf(poolId).inbox;
        grid.tamper(0, 0, 0);
        Header memory header = grid.draft();
        (bytes32 r, bytes32 vs) = grid.sign(header);
        vm.expectEmit(address(settlement));
        emit ISettlement.BatchCommitted(
            poolId, 1, hashes.hashHeader(header), header, uint64(block.timestamp), then
        );
        settlement.commitBatch(header, r, vs);
        grid.seal();
        settlement.demandSet(poolId, "task", 0, 2);
        vm.warp(block.timestamp + WINDOW);
        grid.finalize(1); // with the inbox as it was, whatever came since
        vm.assertEq(settlement.poolOf(poolId).finalized, 1, "final");
    }

    function test_only_ranges_are_checked_of_a_vote() public {
        vm.expectRevert(abi.encodeWithSelector(Messages.FrameCountOutOfRange.selector, 0, 256));
        settlement.forceVote(poolId, reveal(), 0, 0, path(0), "r", "vs");
        vm.expectRevert(abi.encodeWithSelector(Messages.FrameCountOutOfRange.selector, 257, 256));
        settlement.forceVote(poolId, reveal(), 0, 257, path(9), "r", "vs");
        vm.expectRevert(abi.encodeWithSelector(Messages.FrameIndexOutOfRange.selector, 3, 3));
        settlement.forceVote(poolId, reveal(), 3, 3, path(2), "r", "vs");
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 2, 1));
        settlement.forceVote(poolId, reveal(), 2, 3, path(1), "r", "vs");
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 3, 4));
        settlement.answerSet(poolId, set(), 5, 6, path(4), "r", "vs");
    }

    /// One comparison stands for three rules, so it is held to them as they are written elsewhere.
    function testFuzz_what_fits_is_a_place_in_a_frame(uint32 index, uint32 count, uint8 length)
        public
    {
        count = count % 4 == 0 ? count : count % 260;
        index = index % 4 == 0 ? index : index % 260;
        length %= 11;
        bytes memory call = abi.encodeCall(
            ISettlement.forceVote,
            (poolId, reveal(), index, count, path(length), bytes32("r"), bytes32("vs"))
        );
        (bool fits,) = address(settlement).call(call);
        bool good = count != 0 && count <= 256 && index < count;
        vm.assertTrue(fits == (good && length == Messages.frameDepth(count)), "fits");
    }

    function test_entries_are_for_the_pool_they_are_sent_to() public {
        uint32 other = newPool(0);
        bytes memory refusal =
            abi.encodeWithSelector(ISettlement.PoolMismatch.selector, other, poolId);
        vm.expectRevert(refusal);
        settlement.forceVote(other, reveal(), 0, 1, path(0), "r", "vs");
        vm.expectRevert(refusal);
        settlement.answerSet(other, set(), 0, 1, path(0), "r", "vs");
        // A pool that is not there yet must find its inbox empty when it is.
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownPool.selector, 9));
        settlement.demandSet(9, "task", 0, 1);
    }

    /// Bits beyond a field's type would make entries that no reader can decode.
    function test_stray_bits_are_refused() public {
        bytes memory call = abi.encodeCall(
            ISettlement.forceVote, (poolId, reveal(), 0, 1, path(0), bytes32("r"), bytes32("vs"))
        );
        call[4 + 32 * 3] = 0x01; // the attempt's word
        (bool done,) = address(settlement).call(call);
        vm.assertFalse(done, "a vote");
        call = abi.encodeCall(
            ISettlement.answerSet, (poolId, set(), 0, 1, path(0), bytes32("r"), bytes32("vs"))
        );
        call[4 + 32 * 6] = 0x01; // the deadline's word
        (done,) = address(settlement).call(call);
        vm.assertFalse(done, "a set");
    }

    // ---- helpers ----

    function link(bytes32 before, uint8 kind, bytes32 hash) private view returns (bytes32) {
        return keccak256(abi.encode(before, uint64(block.timestamp), kind, hash));
    }

    /// A signed message is in the inbox with its frame: what was posted, not what might have been.
    function posted(bytes32 structHash, uint32 index, uint32 count, bytes32[] memory siblings)
        private
        pure
        returns (bytes32)
    {
        return
            keccak256(abi.encode(structHash, index, count, siblings, bytes32("r"), bytes32("vs")));
    }

    function reveal() private view returns (Reveal memory) {
        return Reveal(poolId, "task", 2, "set", "result", "salt");
    }

    function set() private view returns (CommitSet memory) {
        return CommitSet(poolId, "task", 2, "root", 3, uint64(block.timestamp));
    }

    function path(uint256 length) private pure returns (bytes32[] memory siblings) {
        siblings = new bytes32[](length);
        for (uint256 i = 0; i < length; i++) {
            siblings[i] = keccak256(abi.encode(i));
        }
    }
}
