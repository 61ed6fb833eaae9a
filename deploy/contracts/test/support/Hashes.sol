// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Merkle} from "../../src/Merkle.sol";
import {Messages} from "../../src/Messages.sol";
import {Paths} from "../../src/Paths.sol";
import "../../src/Types.sol";

/// @notice The libraries' internal functions, made callable with memory arguments.
contract Hashes {
    function hashAssign(Assign calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashCommit(Commit calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashCommitAck(CommitAck calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashCommitSet(CommitSet calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashReveal(Reveal calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashRevealAck(RevealAck calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashFrame(Frame calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashHeader(Header calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashReqOrder(ReqOrder calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashPoolOrder(PoolOrder calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashAppOrder(AppOrder calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashDatasetOrder(DatasetOrder calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashSponsorOrder(SponsorOrder calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashOrderOp(OrderOp calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function hashWorkerOp(WorkerOp calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function dealId(DealTerms calldata terms) external pure returns (bytes32) {
        return Messages.dealId(terms);
    }

    function hashBindWorker(BindWorker calldata m) external pure returns (bytes32) {
        return Messages.hash(m);
    }

    function frameRoot(bytes32 structHash, uint32 index, uint32 count, bytes32[] calldata path)
        external
        pure
        returns (bytes32)
    {
        return Messages.frameRoot(structHash, index, count, path);
    }

    function recover64(bytes32 digest, bytes calldata sig) external pure returns (address) {
        return Messages.recover64(digest, sig);
    }

    function recoverAny(bytes32 digest, bytes calldata sig) external pure returns (address) {
        return Messages.recoverAny(digest, sig);
    }

    function climbBoth(bytes32 before, bytes32 later, uint256 index, bytes32[] calldata path)
        external
        pure
        returns (bytes32, bytes32)
    {
        uint256 at;
        assembly ("memory-safe") {
            at := path.offset
        }
        return Paths.climbBoth(Paths.empties(), before, later, index, at, path.length);
    }

    function root(bytes32 leaf, uint256 index, bytes32[] calldata path, uint256 depth)
        external
        pure
        returns (bytes32)
    {
        return Merkle.root(leaf, index, path, depth);
    }

    function rootOfState(bytes32 leaf, uint256 position, bytes32[] calldata proof)
        external
        pure
        returns (bytes32)
    {
        return Merkle.rootOfState(leaf, position, proof);
    }

    function taskLeaf(TaskRec calldata rec) external pure returns (bytes32) {
        return Merkle.taskLeaf(rec);
    }

    function workerLeaf(WorkerAccount calldata account) external pure returns (bytes32) {
        return Merkle.workerLeaf(account);
    }

    function dealLeaf(DealAccount calldata account) external pure returns (bytes32) {
        return Merkle.dealLeaf(account);
    }

    function votesHash(bytes32[] calldata sets, Vote[] calldata votes)
        external
        pure
        returns (bytes32)
    {
        return Merkle.votesHash(sets, votes);
    }
}
