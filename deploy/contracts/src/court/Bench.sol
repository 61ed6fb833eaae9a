// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Domain} from "../Domain.sol";
import {Merkle} from "../Merkle.sol";
import {Messages} from "../Messages.sol";
import {Paths} from "../Paths.sol";
import {Header, TaskRec, Vote} from "../Types.sol";
import {ISettlement} from "../ISettlement.sol";
import {Filing, FrameProof, Leaf} from "./Proofs.sol";

/// @title What all kinds of fraud proofs check first.
/// @notice A bench holds no state and no money: it looks at a proof and says which batch it is
/// against, or reverts. What a prover brings must lead to what the pool has committed or signed;
/// anything else reverts, so that no proof can be made up against an honest pool. What the *pool*
/// has committed may be anything, and must never make a bench revert where it should find fraud.
abstract contract Bench is Domain {
    using Paths for Paths.Empties;

    /// @notice Where batches, deals and workers are looked up.
    ISettlement public immutable settlement;

    /// @notice The proof shows nothing wrong.
    error NoFraud();
    /// @notice The batch is not the one that was committed.
    error WordMismatch(bytes32 expected, bytes32 actual);
    /// @notice The proof leads to another root than the pool's.
    error RootMismatch(bytes32 expected, bytes32 actual);
    /// @notice What was given hashes to something else; `field` names it.
    error PreimageMismatch(string field, bytes32 expected, bytes32 actual);
    /// @notice A list has another length.
    error LengthMismatch(string field, uint256 expected, uint256 actual);
    /// @notice A place lies outside its tree.
    error PlaceOutOfRange(uint256 place, uint256 limit);
    /// @notice An account that was never touched has every field zero.
    error EmptyAccountNotZero();
    /// @notice The pool's signer did not sign this; `recovered` did, or nobody (zero).
    error NotSigned(address signer, address recovered);
    /// @notice The message is not about this; `field` names what differs.
    error OtherSubject(string field, bytes32 expected, bytes32 actual);

    constructor(address settlement_) Domain(settlement_) {
        settlement = ISettlement(settlement_);
    }

    // -----------------------------------------------------------------------------------------
    // Batches and tasks
    // -----------------------------------------------------------------------------------------

    /// @dev The batch is one that the pool has committed.
    function _checkFiling(Filing calldata filing) internal view {
        Header calldata header = filing.header;
        bytes32 rest = Merkle.restOf(Messages.hash(header), filing.committedAt, filing.inbox);
        bytes32 actual = Merkle.wordOf(header.stateRoot, rest);
        _checkWord(header.poolId, header.index, actual);
    }

    function _checkWord(uint32 poolId, uint64 index, bytes32 actual) internal view {
        bytes32 expected = settlement.batchOf(poolId, index);
        if (actual != expected || actual == 0) revert WordMismatch(expected, actual);
    }

    /// @dev The task is in the batch.
    function _checkLeaf(Paths.Empties table, Header calldata header, Leaf calldata leaf)
        internal
        pure
    {
        if (leaf.place >> Merkle.TASKS_DEPTH != 0) {
            revert PlaceOutOfRange(leaf.place, 2 ** Merkle.TASKS_DEPTH);
        }
        bytes32 actual =
            table.climb(_taskLeaf(leaf.rec), leaf.place, _at(leaf.path), Merkle.TASKS_DEPTH);
        if (actual != header.tasksRoot) revert RootMismatch(header.tasksRoot, actual);
    }

    /// @dev Hashed as it lies in calldata. One with bits beyond a field's width cannot be read, so
    /// nobody can show it (F7).
    function _taskLeaf(TaskRec calldata rec) internal pure returns (bytes32 leaf) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, 1)
            calldatacopy(add(p, 0x20), rec, 0x1a0) // 13 words
            leaf := keccak256(p, 0x1c0)
        }
    }

    /// @dev The task's votes and the sets they were frozen in.
    function _openVotes(bytes32 votesHash, bytes calldata votes)
        internal
        pure
        returns (bytes32[] memory sets, Vote[] memory list)
    {
        bytes32 actual = keccak256(votes);
        if (actual != votesHash) revert PreimageMismatch("votes", votesHash, actual);
        return abi.decode(votes, (bytes32[], Vote[]));
    }

    function _at(bytes32[16] calldata path) internal pure returns (uint256 at) {
        assembly ("memory-safe") {
            at := path
        }
    }

    function _at(bytes32[20] calldata path) internal pure returns (uint256 at) {
        assembly ("memory-safe") {
            at := path
        }
    }

    function _at(bytes32[] calldata path) internal pure returns (uint256 at) {
        assembly ("memory-safe") {
            at := path.offset
        }
    }

    // -----------------------------------------------------------------------------------------
    // Messages and signatures
    // -----------------------------------------------------------------------------------------

    /// @dev The pool's signer has signed a message, in a frame.
    function _checkSigned(
        Paths.Empties table,
        uint32 poolId,
        bytes32 structHash,
        FrameProof calldata proof
    ) internal view {
        (address signer,,) = settlement.progressOf(poolId);
        address recovered = _frameSigner(table, structHash, proof);
        if (recovered != signer || signer == address(0)) revert NotSigned(signer, recovered);
    }

    /// @dev Who signed the frame that holds a message; nobody (zero) if no frame has such a place.
    function _frameSigner(Paths.Empties table, bytes32 structHash, FrameProof calldata proof)
        internal
        view
        returns (address)
    {
        if (!_isPlace(proof.index, proof.count, proof.path.length)) return address(0);
        bytes32 leaf = Merkle.frameLeaf(structHash);
        bytes32 root = table.climb(leaf, proof.index, _at(proof.path), proof.path.length);
        return _recoverFrame(root, proof.count, proof.r, proof.vs);
    }

    /// @dev Who signed a vote: its Reveal, or its Commit if it was never revealed.
    function _voteSigner(
        Paths.Empties table,
        uint32 poolId,
        bytes32 taskId,
        bytes32 set,
        Vote memory vote
    ) internal view returns (address) {
        if (!_isPlace(vote.frameIndex, vote.frameCount, vote.path.length)) {
            return address(0);
        }
        bytes32 leaf = Merkle.frameLeaf(_voteHash(poolId, taskId, set, vote));
        bytes32 root = table.climbMemory(leaf, vote.frameIndex, vote.path);
        return _recoverFrame(root, vote.frameCount, vote.r, vote.vs);
    }

    /// @dev Struct hash of what a vote's signature covers.
    function _voteHash(uint32 poolId, bytes32 taskId, bytes32 set, Vote memory vote)
        internal
        pure
        returns (bytes32 structHash)
    {
        (bytes32 digest, bytes32 salt, uint256 attempt) =
            (vote.resultDigest, vote.salt, vote.attempt);
        bytes32 typeHash = digest == 0 ? Messages.COMMIT_TYPE : Messages.REVEAL_TYPE;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            mstore(add(p, 0x20), poolId)
            mstore(add(p, 0x40), taskId)
            mstore(add(p, 0x60), attempt)
            // Commit { .., commitment } or Reveal { .., commitSetRoot, resultDigest, salt }
            switch digest
            case 0 {
                mstore(add(p, 0x80), salt)
                structHash := keccak256(p, 0xa0)
            }
            default {
                mstore(add(p, 0x80), set)
                mstore(add(p, 0xa0), digest)
                mstore(add(p, 0xc0), salt)
                structHash := keccak256(p, 0xe0)
            }
        }
    }

    /// @dev What the worker had committed to.
    function _commitment(bytes32 taskId, Vote memory vote)
        internal
        view
        returns (bytes32 commitment)
    {
        (bytes32 digest, bytes32 salt) = (vote.resultDigest, vote.salt);
        if (digest == 0) return salt;
        bytes32 separator = _domainSeparator();
        (uint256 attempt, uint256 worker) = (vote.attempt, vote.workerIdx);
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, separator)
            mstore(add(p, 0x20), taskId)
            mstore(add(p, 0x40), attempt)
            mstore(add(p, 0x60), worker)
            mstore(add(p, 0x80), digest)
            mstore(add(p, 0xa0), salt)
            commitment := keccak256(p, 0xc0)
        }
    }

    function _recoverFrame(bytes32 root, uint32 count, bytes32 r, bytes32 vs)
        private
        view
        returns (address signer)
    {
        bytes32 typeHash = Messages.FRAME_TYPE;
        bytes32 frame;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            mstore(add(p, 0x20), root)
            mstore(add(p, 0x40), count)
            frame := keccak256(p, 0x60)
        }
        (signer,,) = ECDSA.tryRecover(_digest(frame), r, vs);
    }

    /// @dev Whether a frame of `count` messages has a place `index` and paths of `length`.
    function _isPlace(uint32 index, uint32 count, uint256 length) private pure returns (bool) {
        if (count > Messages.FRAME_MAX || index >= count || length > 8) return false;
        unchecked {
            // The least power of two that is not below `count`.
            return count <= 2 ** length && (length == 0 || count > 2 ** (length - 1));
        }
    }
}
