// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Merkle} from "./Merkle.sol";
import {
    AppOrder,
    Assign,
    BindWorker,
    Commit,
    CommitAck,
    CommitSet,
    DatasetOrder,
    DealTerms,
    Frame,
    Header,
    OrderOp,
    PoolOrder,
    ReqOrder,
    Reveal,
    RevealAck,
    SponsorOrder,
    WorkerOp
} from "./Types.sol";

/// @title EIP-712 struct hashes, derived ids, frames and signatures (common/PROTOCOL.md section 2).
/// @notice Pure arithmetic over bytes: no storage, no rule about who may do what. Held to the Rust side by common/vectors/eip712.json.
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
        "RevealAck(uint32 poolId,bytes32 taskId,uint16 attempt,uint32 workerIdx,bytes32 voteHash,bool stored,uint64 seq)"
    );
    bytes32 internal constant FRAME_TYPE = keccak256("Frame(bytes32 root,uint32 count)");
    bytes32 internal constant HEADER_TYPE = keccak256(
        "Header(uint32 poolId,uint64 index,bytes32 parent,bytes32 tasksRoot,bytes32 stateRoot,bytes32 evidence,uint32 count,uint128 payout,uint128 fees,uint128 royalties,uint128 slashed,uint128 cumFees)"
    );
    bytes32 internal constant APP_ORDER_TYPE = keccak256(
        "AppOrder(address owner,bytes32 app,uint128 price,uint32 tasks,bytes32 tag,bytes32 datasetRestrict,bytes32 poolRestrict,bytes32 requesterRestrict,uint64 expiry,bytes32 salt)"
    );
    bytes32 internal constant DATASET_ORDER_TYPE = keccak256(
        "DatasetOrder(address owner,bytes32 dataset,uint128 price,uint32 tasks,bytes32 tag,bytes32 appRestrict,bytes32 poolRestrict,bytes32 requesterRestrict,uint64 expiry,bytes32 salt)"
    );
    bytes32 internal constant POOL_ORDER_TYPE = keccak256(
        "PoolOrder(uint32 poolId,uint128 unitPrice,uint32 tasks,bytes32 tag,uint16 category,uint32 trust,uint8 stakeRatio,uint8 schedulerRatio,uint64 maxTaskTime,bytes32 appRestrict,bytes32 datasetRestrict,bytes32 requesterRestrict,uint64 expiry,bytes32 salt)"
    );
    bytes32 internal constant REQ_ORDER_TYPE = keccak256(
        "ReqOrder(address requester,address beneficiary,address callback,bytes32 app,address appOwner,uint128 appMaxPrice,bytes32 dataset,address datasetOwner,uint128 datasetMaxPrice,bytes32 params,bytes32 poolRestrict,uint128 maxUnitPrice,uint32 tasks,bytes32 tag,uint16 category,uint32 trust,uint8 replicas,uint64 maxTaskTime,uint64 expiry,uint64 deadline,bytes32 salt)"
    );
    bytes32 internal constant SPONSOR_ORDER_TYPE = keccak256(
        "SponsorOrder(address sponsor,bytes32 reqHash,uint128 maxCost,uint64 expiry,bytes32 salt)"
    );
    bytes32 internal constant ORDER_OP_TYPE =
        keccak256("OrderOp(address account,bytes32 orderHash,uint8 op,uint64 deadline)");
    bytes32 internal constant WORKER_OP_TYPE =
        keccak256("WorkerOp(uint32 workerIdx,uint8 op,uint64 nonce,uint64 deadline)");
    bytes32 internal constant BIND_WORKER_TYPE =
        keccak256("BindWorker(address owner,bytes32 nodeKey,address voteKey,uint64 deadline)");

    bytes32 internal constant DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 internal constant NAME = keccak256("Quorate");
    bytes32 internal constant VERSION = keccak256("1");

    /// @notice Most messages one signature may cover: eight hashes of proof, and a worker's
    /// busiest second still fits a frame.
    uint32 internal constant FRAME_MAX = 256;

    /// @notice A frame holds 1 to `max` messages.
    error FrameCountOutOfRange(uint256 count, uint256 max);
    /// @notice The message's place must lie inside its frame.
    error FrameIndexOutOfRange(uint256 index, uint256 count);

    // A struct of static fields encodes to the concatenation of its words, which is exactly what
    // EIP-712 hashes for it; hence one abi.encode each. It refuses bits beyond a field's type, and so
    // do the two that are hashed as they lie in calldata: what a proof shows must be readable.

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
        uint256 at;
        assembly ("memory-safe") {
            at := m
            let stray := or(shr(32, calldataload(at)), shr(16, calldataload(add(at, 0x40))))
            stray := or(stray, shr(8, calldataload(add(at, 0x80))))
            stray := or(stray, shr(64, calldataload(add(at, 0xa0))))
            if stray { revert(0, 0) }
        }
        return _hashWords(COMMIT_SET_TYPE, at, 6);
    }

    /// @notice The struct hash of a Reveal is the worker's `voteHash`.
    function hash(Reveal calldata m) internal pure returns (bytes32) {
        uint256 at;
        assembly ("memory-safe") {
            at := m
            if or(shr(32, calldataload(at)), shr(16, calldataload(add(at, 0x40)))) {
                revert(0, 0)
            }
        }
        return _hashWords(REVEAL_TYPE, at, 6);
    }

    function hash(RevealAck calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(REVEAL_ACK_TYPE, m));
    }

    function hash(Frame memory m) internal pure returns (bytes32) {
        return keccak256(abi.encode(FRAME_TYPE, m));
    }

    // The big ones are hashed as they lie in calldata. Their encoding is that of the struct; words
    // with bits beyond their type are no encoding of any struct, and hash to what nobody signed.

    function hash(Header calldata m) internal pure returns (bytes32) {
        uint256 at;
        assembly ("memory-safe") {
            at := m
        }
        return _hashWords(HEADER_TYPE, at, 12);
    }

    function hash(AppOrder calldata m) internal pure returns (bytes32) {
        uint256 at;
        assembly ("memory-safe") {
            at := m
        }
        return _hashWords(APP_ORDER_TYPE, at, 10);
    }

    function hash(DatasetOrder calldata m) internal pure returns (bytes32) {
        uint256 at;
        assembly ("memory-safe") {
            at := m
        }
        return _hashWords(DATASET_ORDER_TYPE, at, 10);
    }

    function hash(PoolOrder calldata m) internal pure returns (bytes32) {
        uint256 at;
        assembly ("memory-safe") {
            at := m
        }
        return _hashWords(POOL_ORDER_TYPE, at, 14);
    }

    function hash(ReqOrder calldata m) internal pure returns (bytes32) {
        uint256 at;
        assembly ("memory-safe") {
            at := m
        }
        return _hashWords(REQ_ORDER_TYPE, at, 21);
    }

    function _hashWords(bytes32 typeHash, uint256 at, uint256 words)
        private
        pure
        returns (bytes32 h)
    {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 0x20), at, shl(5, words))
            h := keccak256(p, shl(5, add(words, 1)))
        }
    }

    function hash(SponsorOrder calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(SPONSOR_ORDER_TYPE, m));
    }

    function hash(OrderOp calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(ORDER_OP_TYPE, m));
    }

    function hash(WorkerOp calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(WORKER_OP_TYPE, m));
    }

    function hash(BindWorker memory m) internal pure returns (bytes32) {
        return keccak256(abi.encode(BIND_WORKER_TYPE, m));
    }

    /// @notice A deal's id is the hash of its terms: known before it is mined, unchanged by a
    /// reorganisation.
    function dealId(DealTerms calldata terms) internal pure returns (bytes32 id) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            calldatacopy(p, terms, 0x300) // 24 words
            id := keccak256(p, 0x300)
        }
    }

    /// @notice The domain that every signature is for, whichever contract of the four checks it.
    /// @param settlement The contract that holds the money.
    function domainSeparator(address settlement) internal view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, NAME, VERSION, block.chainid, settlement));
    }

    /// @notice What a key signs for a struct.
    function toSign(bytes32 separator, bytes32 structHash) internal pure returns (bytes32 d) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, hex"1901")
            mstore(add(p, 0x02), separator)
            mstore(add(p, 0x22), structHash)
            d := keccak256(p, 0x42)
        }
    }

    /// @notice A task's id.
    function taskId(bytes32 deal, uint32 taskIdx) internal pure returns (bytes32) {
        return keccak256(abi.encode(deal, uint256(taskIdx)));
    }

    /// @notice What a worker commits to before anyone may see its result. The worker and the domain
    /// are inside, so that a copied commitment opens for nobody else and on no other chain.
    function commitment(
        bytes32 separator,
        bytes32 task,
        uint16 attempt,
        uint32 workerIdx,
        bytes32 resultDigest,
        bytes32 salt
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(separator, task, attempt, workerIdx, resultDigest, salt));
    }

    /// @notice What a pool's inbox holds for a signed message: the message and its frame. Both, so
    /// that nobody can post a vote without its signature and blame the pool for leaving it out, or
    /// a set without one and call that an answer.
    function posted(
        bytes32 structHash,
        uint32 frameIndex,
        uint32 frameCount,
        bytes32[] calldata path,
        bytes32 r,
        bytes32 vs
    ) internal pure returns (bytes32 h) {
        // keccak256(abi.encode(structHash, frameIndex, frameCount, path, r, vs)), for a third of it.
        assembly ("memory-safe") {
            let p := mload(0x40)
            let size := shl(5, path.length)
            mstore(p, structHash)
            mstore(add(p, 0x20), frameIndex)
            mstore(add(p, 0x40), frameCount)
            mstore(add(p, 0x60), 0xc0) // where the path begins
            mstore(add(p, 0x80), r)
            mstore(add(p, 0xa0), vs)
            mstore(add(p, 0xc0), path.length)
            calldatacopy(add(p, 0xe0), path.offset, size)
            h := keccak256(p, add(size, 0xe0))
        }
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
        checkFrame(index, count);
        return Merkle.root(Merkle.frameLeaf(structHash), index, path, frameDepth(count));
    }

    /// @notice That a frame's numbers fit.
    function checkFrame(uint32 index, uint32 count) internal pure {
        if (count == 0 || count > FRAME_MAX) revert FrameCountOutOfRange(count, FRAME_MAX);
        if (index >= count) revert FrameIndexOutOfRange(index, count);
    }

    /// @notice ceil(log2(count)) for count from 1 to 256.
    function frameDepth(uint32 count) internal pure returns (uint256 depth) {
        assembly ("memory-safe") {
            for {} lt(shl(depth, 1), count) { depth := add(depth, 1) } {}
        }
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
