// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Merkle} from "./Merkle.sol";
import {
    Assign,
    BindWorker,
    Commit,
    CommitAck,
    CommitSet,
    Frame,
    Header,
    PoolOrder,
    ReqOrder,
    Reveal,
    RevealAck
} from "./Types.sol";

/// @title EIP-712 struct hashes, derived ids, frames and signatures (common/PROTOCOL.md section 2).
/// @notice Pure arithmetic over bytes: no storage, no rule about who may do what. The domain
/// separator is the contract's affair. Held to the Rust side by common/vectors/eip712.json.
library Messages {
    bytes32 internal constant ASSIGN_TYPE = keccak256(
        "Assign(uint32 poolId,bytes32 dealId,uint32 taskIdx,uint16 attempt,uint32 workerIdx,uint64 seedEpoch,uint64 commitDeadline,uint64 revealDeadline)"
    );
    bytes32 internal constant COMMIT_TYPE =
        keccak256("Commit(uint32 poolId,bytes32 taskId,uint16 attempt,bytes32 commitment)");
    bytes32 internal constant COMMIT_ACK_TYPE = keccak256(
        "CommitAck(uint32 poolId,bytes32 taskId,uint16 attempt,uint32 workerIdx,bytes32 commitment,uint64 seq)"
    );
    bytes32 internal constant COMMIT_SET_TYPE = keccak256(
        "CommitSet(uint32 poolId,bytes32 taskId,uint16 attempt,bytes32 commitSetRoot,uint8 n,uint64 revealDeadline)"
    );
    bytes32 internal constant REVEAL_TYPE = keccak256(
        "Reveal(uint32 poolId,bytes32 taskId,uint16 attempt,bytes32 commitSetRoot,bytes32 resultDigest,bytes32 salt)"
    );
    bytes32 internal constant REVEAL_ACK_TYPE = keccak256(
        "RevealAck(uint32 poolId,bytes32 taskId,uint16 attempt,uint32 workerIdx,bytes32 voteHash,uint64 seq)"
    );
    bytes32 internal constant FRAME_TYPE = keccak256("Frame(bytes32 root,uint32 count)");
    bytes32 internal constant HEADER_TYPE = keccak256(
        "Header(uint32 poolId,uint64 index,bytes32 parent,bytes32 tasksRoot,bytes32 stateRoot,bytes32 evidence,uint32 count,uint128 payout,uint128 fees,uint128 slashed,bytes32 ringRoot)"
    );
    bytes32 internal constant REQ_ORDER_TYPE = keccak256(
        "ReqOrder(address requester,bytes32 app,bytes32 params,uint32 poolId,uint128 maxUnitPrice,uint32 tasks,uint32 trust,uint8 replicas,uint64 maxTaskTime,uint64 expiry,uint64 deadline,bytes32 salt)"
    );
    bytes32 internal constant POOL_ORDER_TYPE = keccak256(
        "PoolOrder(uint32 poolId,uint128 unitPrice,uint32 tasks,uint32 trust,uint8 stakeRatio,uint8 schedulerRatio,uint64 maxTaskTime,uint64 expiry,bytes32 salt)"
    );
    bytes32 internal constant BIND_WORKER_TYPE =
        keccak256("BindWorker(address owner,bytes32 nodeKey,address voteKey,uint64 deadline)");

    /// @notice Most messages one signature may cover: eight hashes of proof, and a worker's
    /// busiest second still fits a frame.
    uint32 internal constant FRAME_MAX = 256;

    /// @notice A frame holds 1 to `max` messages.
    error FrameCountOutOfRange(uint256 count, uint256 max);
    /// @notice The message's place must lie inside its frame.
    error FrameIndexOutOfRange(uint256 index, uint256 count);

    // A struct of static fields encodes to the concatenation of its words, which is exactly what
    // EIP-712 hashes for it; hence one abi.encode each.

    function hash(Assign calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(ASSIGN_TYPE, m));
    }

    function hash(Commit calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(COMMIT_TYPE, m));
    }

    function hash(CommitAck calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(COMMIT_ACK_TYPE, m));
    }

    function hash(CommitSet calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(COMMIT_SET_TYPE, m));
    }

    /// @notice The struct hash of a Reveal is the worker's `voteHash`.
    function hash(Reveal calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(REVEAL_TYPE, m));
    }

    function hash(RevealAck calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(REVEAL_ACK_TYPE, m));
    }

    function hash(Frame memory m) internal pure returns (bytes32) {
        return keccak256(abi.encode(FRAME_TYPE, m));
    }

    function hash(Header calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(HEADER_TYPE, m));
    }

    function hash(ReqOrder calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(REQ_ORDER_TYPE, m));
    }

    function hash(PoolOrder calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(POOL_ORDER_TYPE, m));
    }

    function hash(BindWorker memory m) internal pure returns (bytes32) {
        return keccak256(abi.encode(BIND_WORKER_TYPE, m));
    }

    /// @notice A deal's id: known before it is mined, unchanged by a reorganisation.
    /// @param filledBefore Tasks of the request order taken by earlier deals.
    /// @param n Tasks of this deal.
    function dealId(bytes32 reqHash, bytes32 poolHash, uint32 filledBefore, uint32 n)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(reqHash, poolHash, filledBefore, n));
    }

    /// @notice A task's id.
    function taskId(bytes32 deal, uint32 taskIdx) internal pure returns (bytes32) {
        return keccak256(abi.encode(deal, uint256(taskIdx)));
    }

    /// @notice What a worker commits to before anyone may see its result. The worker and the domain
    /// are inside, so that a copied commitment opens for nobody else and on no other chain.
    function commitment(
        bytes32 domainSeparator,
        bytes32 task,
        uint16 attempt,
        uint32 workerIdx,
        bytes32 resultDigest,
        bytes32 salt
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(domainSeparator, task, attempt, workerIdx, resultDigest, salt));
    }

    /// @notice Root of the frame that holds a message, from the message and its proof.
    /// @param structHash The message's EIP-712 struct hash. It is hashed once more for the leaf: a
    /// leaf's preimage then has 32 bytes and a node's 64, and neither passes for the other.
    /// @param index The message's place, from 0.
    /// @param count Messages in the frame.
    /// @param path Exactly ceil(log2(count)) sibling hashes, lowest first.
    function frameRoot(bytes32 structHash, uint32 index, uint32 count, bytes32[] calldata path)
        internal
        pure
        returns (bytes32)
    {
        if (count == 0 || count > FRAME_MAX) revert FrameCountOutOfRange(count, FRAME_MAX);
        if (index >= count) revert FrameIndexOutOfRange(index, count);
        return Merkle.root(Merkle.frameLeaf(structHash), index, path, frameDepth(count));
    }

    /// @notice ceil(log2(count)) for count from 1 to 256.
    function frameDepth(uint32 count) internal pure returns (uint256 depth) {
        while ((uint256(1) << depth) < count) depth++;
    }

    /// @notice The address that made an EIP-2098 signature, or zero if there is none such: `s` in
    /// the upper half, `r` or `s` zero or out of range, and recovery to zero all give zero.
    function recover(bytes32 digest, bytes32 r, bytes32 vs) internal pure returns (address signer) {
        (signer,,) = ECDSA.tryRecover(digest, r, vs);
    }

    /// @notice As above, for a signature in one piece: 64 bytes (EIP-2098) and nothing else.
    function recover64(bytes32 digest, bytes calldata sig) internal pure returns (address) {
        if (sig.length != 64) return address(0);
        return recover(digest, bytes32(sig[:32]), bytes32(sig[32:]));
    }

    /// @notice As above, and also the 65 bytes (`r`, `s`, `v` of 27 or 28) that wallets produce.
    function recoverAny(bytes32 digest, bytes calldata sig) internal pure returns (address signer) {
        if (sig.length == 64) return recover64(digest, sig);
        (signer,,) = ECDSA.tryRecoverCalldata(digest, sig);
    }
}
