// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Merkle} from "../src/Merkle.sol";
import {Messages} from "../src/Messages.sol";
import {Paths} from "../src/Paths.sol";
import "../src/Types.sol";
import {Hashes} from "./support/Hashes.sol";
import {StateTree} from "./support/StateTree.sol";
import {vm} from "./support/Vm.sol";

/// @notice The two libraries by themselves: trees, frames and strict signatures. What they must
/// share with Rust byte for byte is in Vectors.t.sol.
contract MessagesTest {
    using Paths for Paths.Empties;

    /// Half of the order of secp256k1, and the order.
    uint256 private constant HALF_N =
        0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint256 private constant N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 private constant KEY = 0xA11CE;
    bytes32 private constant DIGEST = keccak256("digest");

    Hashes private hashes;

    function setUp() public {
        hashes = new Hashes();
    }

    // ---- trees ----

    function test_the_empty_state_is_z20() public pure {
        vm.assertEq(Merkle.EMPTY_STATE, Merkle.zero(20), "Z[20]");
        vm.assertEq(Merkle.zero(0), 0, "Z[0]");
        vm.assertEq(Merkle.zero(1), keccak256(new bytes(64)), "Z[1]");
    }

    function test_the_table_of_empty_subtrees() public pure {
        Paths.Empties table = Paths.empties();
        for (uint256 i = 0; i < 20; i++) {
            vm.assertEq(table.empty(i), Merkle.zero(i), "Z");
        }
    }

    /// Levels are climbed by fours, so every remainder and every number of rounds is tried, with
    /// siblings that are there and siblings that are not.
    function testFuzz_climbing_by_fours_is_climbing(bytes32 seed, uint256 index) public view {
        for (uint256 depth = 0; depth <= 20; depth++) {
            bytes32[] memory path = new bytes32[](depth);
            uint256 place = index % 2 ** depth;
            (bytes32 node, bytes32 other) = (seed, keccak256(abi.encode(seed)));
            (bytes32 leaf, bytes32 otherLeaf) = (node, other);
            for (uint256 i = 0; i < depth; i++) {
                bytes32 random = keccak256(abi.encode(seed, depth, i));
                path[i] = uint256(random) % 2 == 0 ? random : bytes32(0);
                bytes32 sibling = path[i] == 0 ? Merkle.zero(i) : path[i];
                bool right = (place >> i) & 1 == 1;
                node = right ? Merkle.pair(sibling, node) : Merkle.pair(node, sibling);
                other = right ? Merkle.pair(sibling, other) : Merkle.pair(other, sibling);
            }
            vm.assertEq(hashes.root(leaf, place, path, depth), node, "one leaf");
            (bytes32 before, bytes32 later) = hashes.climbBoth(leaf, otherLeaf, place, path);
            vm.assertEq(before, node, "before");
            vm.assertEq(later, other, "later");
        }
    }

    /// A proof of the state is as good as the path it leaves levels out of: each length, at each place,
    /// with siblings before the gap that are there and such that are not.
    function testFuzz_a_short_proof_is_its_path_with_the_empty_levels(
        bytes32 seed,
        uint256 position
    ) public view {
        position %= 2 ** 20;
        for (uint256 n = 1; n <= 20; n++) {
            (bytes32[] memory proof, bytes32[] memory path) = proofOf(seed, n);
            bytes32 want = hashes.root(seed, position, path, 20);
            vm.assertEq(hashes.rootOfState(seed, position, proof), want, "short");
            vm.assertEq(hashes.rootOfState(seed, position, path), want, "full");
            for (uint256 i = 0; i < 20; i++) {
                if (path[i] == 0) path[i] = Merkle.zero(i);
            }
            vm.assertEq(hashes.rootOfState(seed, position, path), want, "with its empty subtrees");
        }
    }

    /// One hash more or fewer, a changed one, a changed leaf, another place: each another root.
    function testFuzz_another_proof_is_of_another_root(bytes32 seed, uint256 position, uint256 bit)
        public
        view
    {
        position %= 2 ** 20;
        for (uint256 n = 2; n < 20; n++) {
            (bytes32[] memory proof,) = proofOf(seed, n);
            bytes32 root = hashes.rootOfState(seed, position, proof);
            bytes32[] memory other = new bytes32[](n - 1);
            for (uint256 i = 0; i < n - 1; i++) {
                other[i] = proof[i];
            }
            vm.assertTrue(hashes.rootOfState(seed, position, other) != root, "without its topmost");
            other[n - 2] = proof[n - 1];
            // Where the last of the others is empty, that is the same path.
            bool same = proof[n - 2] == 0;
            vm.assertTrue((hashes.rootOfState(seed, position, other) == root) == same, "one fewer");
            other = new bytes32[](n + 1);
            for (uint256 i = 0; i < n; i++) {
                other[i] = proof[i];
            }
            vm.assertTrue(hashes.rootOfState(seed, position, other) != root, "one more");
            bytes32 change = bytes32(uint256(1) << (bit % 256));
            vm.assertTrue(hashes.rootOfState(seed ^ change, position, proof) != root, "its leaf");
            proof[bit % n] ^= change;
            vm.assertTrue(hashes.rootOfState(seed, position, proof) != root, "its content");
            proof[bit % n] ^= change;
            position ^= 1 << (bit % 20);
            vm.assertTrue(hashes.rootOfState(seed, position, proof) != root, "its place");
        }
    }

    function test_a_proof_of_the_state_has_one_to_twenty_hashes() public {
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 20, 0));
        hashes.rootOfState("leaf", 1, new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 20, 21));
        hashes.rootOfState("leaf", 1, new bytes32[](21));
        vm.expectRevert(abi.encodeWithSelector(Merkle.IndexOutOfRange.selector, 2 ** 20, 2 ** 20));
        hashes.rootOfState("leaf", 2 ** 20, new bytes32[](20));
    }

    function test_the_lowest_bit_picks_the_side_at_the_lowest_level() public view {
        bytes32[] memory path = new bytes32[](2);
        (path[0], path[1]) = (bytes32("a"), bytes32("b"));
        bytes32 leaf = "leaf";
        vm.assertEq(
            hashes.root(leaf, 1, path, 2),
            Merkle.pair(Merkle.pair("a", leaf), "b"),
            "right, then left"
        );
        vm.assertEq(
            hashes.root(leaf, 2, path, 2),
            Merkle.pair("b", Merkle.pair(leaf, "a")),
            "left, then right"
        );
    }

    function test_paths_have_the_trees_length_and_positions_lie_inside() public {
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 2, 1));
        hashes.root("leaf", 0, new bytes32[](1), 2);
        vm.expectRevert(abi.encodeWithSelector(Merkle.IndexOutOfRange.selector, 4, 4));
        hashes.root("leaf", 4, new bytes32[](2), 2);
    }

    function testFuzz_a_leaf_is_proven_at_its_position_alone(uint256 position, uint256 other)
        public
    {
        position %= 2 ** 20;
        other %= 2 ** 20;
        if (other == position) return;
        StateTree tree = new StateTree();
        bytes32 root = tree.put(Merkle.EMPTY_STATE, position, "leaf");
        root = tree.put(root, other, "other");
        bytes32[] memory path = tree.path(root, position);
        vm.assertEq(hashes.root("leaf", position, path, 20), root, "here");
        vm.assertTrue(hashes.root("leaf", other, path, 20) != root, "not there");
        vm.assertEq(hashes.root("other", other, tree.path(root, other), 20), root, "the other");
    }

    function testFuzz_leaves_of_different_kinds_never_meet(bytes32 a, uint128 b) public view {
        // The same words under every tag that fits them.
        WorkerAccount memory worker;
        worker.cumEarned = b;
        DealAccount memory deal;
        deal.dealId = a;
        vm.assertTrue(hashes.workerLeaf(worker) != hashes.dealLeaf(deal), "tags differ");
    }

    // ---- frames ----

    function test_a_frame_of_one_is_its_leaf() public view {
        vm.assertEq(
            hashes.frameRoot("m", 0, 1, new bytes32[](0)),
            keccak256(abi.encode(bytes32("m"))),
            "no path"
        );
    }

    function test_frames_are_as_deep_as_they_must_be() public pure {
        uint32[9] memory counts = [uint32(1), 2, 3, 4, 5, 8, 9, 255, 256];
        uint8[9] memory depths = [0, 1, 2, 2, 3, 3, 4, 8, 8];
        for (uint256 i = 0; i < counts.length; i++) {
            vm.assertEq(Messages.frameDepth(counts[i]), depths[i], "depth");
        }
    }

    function test_frames_refuse_counts_places_and_paths_that_do_not_fit() public {
        vm.expectRevert(abi.encodeWithSelector(Messages.FrameCountOutOfRange.selector, 0, 256));
        hashes.frameRoot("m", 0, 0, new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(Messages.FrameCountOutOfRange.selector, 257, 256));
        hashes.frameRoot("m", 0, 257, new bytes32[](9));
        vm.expectRevert(abi.encodeWithSelector(Messages.FrameIndexOutOfRange.selector, 3, 3));
        hashes.frameRoot("m", 3, 3, new bytes32[](2));
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 2, 1));
        hashes.frameRoot("m", 0, 3, new bytes32[](1));
        vm.expectRevert(abi.encodeWithSelector(Merkle.ProofLengthMismatch.selector, 2, 3));
        hashes.frameRoot("m", 0, 3, new bytes32[](3));
    }

    // ---- signatures ----

    function test_a_good_signature_recovers_in_both_forms() public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, DIGEST);
        bytes32 vs = bytes32(uint256(s) | (uint256(v - 27) << 255));
        vm.assertEq(hashes.recover64(DIGEST, abi.encodePacked(r, vs)), vm.addr(KEY), "64");
        vm.assertEq(hashes.recoverAny(DIGEST, abi.encodePacked(r, vs)), vm.addr(KEY), "64");
        vm.assertEq(hashes.recoverAny(DIGEST, abi.encodePacked(r, s, v)), vm.addr(KEY), "65");
        vm.assertEq(hashes.recover64(DIGEST, abi.encodePacked(r, s, v)), address(0), "strict");
    }

    function test_malleable_and_degenerate_signatures_recover_to_nobody() public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, DIGEST);
        uint256 high = N - uint256(s);
        uint8 flipped = v == 27 ? 28 : 27;
        nobody(abi.encodePacked(r, high, flipped), "s in the upper half");
        nobody(abi.encodePacked(r, HALF_N + 1, v), "s just in the upper half");
        nobody(abi.encodePacked(r, s, v - 27), "v of 0 or 1");
        nobody(abi.encodePacked(r, s, uint8(29)), "v of 29");
        nobody(abi.encodePacked(bytes32(0), s, v), "r of zero");
        nobody(abi.encodePacked(r, bytes32(0), v), "s of zero");
        nobody(abi.encodePacked(N, s, v), "r of the order");
        nobody(abi.encodePacked(bytes32(0), s), "r of zero, 64");
        nobody(abi.encodePacked(r, bytes32(0)), "s of zero, 64");
        nobody(abi.encodePacked(r, HALF_N + 1), "s in the upper half, 64");
        nobody(abi.encodePacked(N, s), "r of the order, 64");
        nobody("", "nothing");
        nobody(new bytes(64), "zeros");
        nobody(new bytes(63), "too short");
        nobody(new bytes(66), "too long");
    }

    function testFuzz_a_flipped_bit_is_another_signature(uint256 bit) public view {
        (bytes32 r, bytes32 vs) = vm.signCompact(KEY, DIGEST);
        bytes memory sig = abi.encodePacked(r, vs);
        bit %= 512;
        sig[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        vm.assertTrue(hashes.recover64(DIGEST, sig) != vm.addr(KEY), "somebody else");
    }

    function nobody(bytes memory sig, string memory what) private view {
        vm.assertEq(hashes.recoverAny(DIGEST, sig), address(0), what);
    }

    /// A proof of `n` hashes, some of them zero but never the topmost, and the path of 20 it is short for.
    function proofOf(bytes32 seed, uint256 n)
        private
        pure
        returns (bytes32[] memory proof, bytes32[] memory path)
    {
        (proof, path) = (new bytes32[](n), new bytes32[](20));
        for (uint256 i = 0; i < n; i++) {
            bytes32 random = keccak256(abi.encode(seed, n, i));
            bool last = i == n - 1;
            if (last || uint256(random) % 4 != 0) proof[i] = random;
            path[last ? 19 : i] = proof[i];
        }
    }
}
