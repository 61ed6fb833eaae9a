// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "./ISettlement.sol";
import {Merkle} from "./Merkle.sol";
import {Messages} from "./Messages.sol";
import {DealTerms, Header, Pool, TaskRec} from "./Types.sol";

/// @notice Who is told results (EIP-1154).
interface IOracleConsumer {
    function receiveResult(bytes32 id, bytes calldata result) external;
}

/// @title Pushes final results to contracts that asked for them, and keeps them for those that ask.
/// @notice Anyone delivers: a task's record is proven against a final batch. What is delivered is the
/// agreed digest of the result (PROTOCOL.md section 6), a sha256 of a manifest, since the bytes
/// themselves were never on chain; a consumer that needs them is given them with their proof by
/// whoever has them. Holds no money, and Settlement does not know it.
contract Oracle {
    /// @notice Gas a consumer gets, as others in this field give it.
    uint256 public constant CALLBACK_GAS = 200_000;
    /// @notice What must be left before the call so that a 64th kept back does not cut into it.
    uint256 public constant GAS_NEEDED = CALLBACK_GAS * 64 / 63 + 10_000;

    ISettlement public immutable settlement;

    mapping(bytes32 taskId => bytes32 digest) private _results;

    /// @notice The task's result is known here; `received` if its consumer took it without failing.
    event Delivered(
        bytes32 indexed taskId, address indexed callback, bytes32 digest, bool received
    );

    /// @notice The deal asked for no callback.
    error NoCallback(bytes32 dealId);
    /// @notice A failed task has no result: outcome 1 is consensus.
    error NoResult(uint8 outcome);
    /// @notice Once is enough.
    error AlreadyDelivered(bytes32 taskId);
    /// @notice The task is not known here.
    error NotDelivered(bytes32 taskId);
    /// @notice The consumer must get all its gas: send more.
    error GasTooLow(uint256 needed, uint256 left);

    constructor(ISettlement settlement_) {
        if (address(settlement_) == address(0)) revert ISettlement.ZeroKey("settlement");
        settlement = settlement_;
    }

    /// @notice Tells a deal's callback one task's digest, as `receiveResult(taskId,
    /// abi.encode(digest))`. A consumer that fails is not told again; it can still ask.
    /// @param header,committedAt,inbox A finalized batch that Settlement still remembers.
    /// @param place,path Where `rec` is in the batch, and 16 hashes from its leaf.
    function deliver(
        Header calldata header,
        uint64 committedAt,
        bytes32 inbox,
        TaskRec calldata rec,
        uint32 place,
        bytes32[] calldata path,
        DealTerms calldata terms
    ) external {
        _checkFinal(header, committedAt, inbox);
        bytes32 root = Merkle.root(Merkle.taskLeaf(rec), place, path, Merkle.TASKS_DEPTH);
        if (root != header.tasksRoot) revert ISettlement.ProofMismatch(header.tasksRoot, root);
        bytes32 dealId = Messages.dealId(terms);
        if (rec.dealId != dealId) revert ISettlement.AccountMismatch(dealId, rec.dealId);
        if (terms.callback == address(0)) revert NoCallback(dealId);
        if (rec.outcome != 1 || rec.winnerDigest == 0) revert NoResult(rec.outcome);

        bytes32 taskId = Messages.taskId(dealId, rec.taskIdx);
        if (_results[taskId] != 0) revert AlreadyDelivered(taskId);
        _results[taskId] = rec.winnerDigest;
        bool received = _tell(terms.callback, taskId, rec.winnerDigest);
        emit Delivered(taskId, terms.callback, rec.winnerDigest, received);
    }

    /// @notice The pull side of EIP-1154.
    function resultFor(bytes32 id) external view returns (bytes memory result) {
        bytes32 digest = _results[id];
        if (digest == 0) revert NotDelivered(id);
        return abi.encode(digest);
    }

    function _checkFinal(Header calldata header, uint64 committedAt, bytes32 inbox) private view {
        Pool memory pool = settlement.poolOf(header.poolId);
        if (header.index > pool.finalized) {
            revert ISettlement.NotFinal(header.poolId, header.index, 1, pool.finalized);
        }
        bytes32 rest = Merkle.restOf(Messages.hash(header), committedAt, inbox);
        bytes32 word = Merkle.wordOf(header.stateRoot, rest);
        bytes32 expected = settlement.batchOf(header.poolId, header.index);
        if (word != expected) revert ISettlement.BatchMismatch(expected, word);
    }

    /// @dev Whatever the consumer does or answers, none of it is read and none of it fails the call.
    function _tell(address callback, bytes32 taskId, bytes32 digest) private returns (bool done) {
        bytes memory data =
            abi.encodeCall(IOracleConsumer.receiveResult, (taskId, abi.encode(digest)));
        uint256 left = gasleft();
        if (left < GAS_NEEDED) revert GasTooLow(GAS_NEEDED, left);
        uint256 budget = CALLBACK_GAS;
        assembly ("memory-safe") {
            done := call(budget, callback, 0, add(data, 0x20), mload(data), 0, 0)
        }
    }
}
