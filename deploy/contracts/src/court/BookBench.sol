// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Merkle} from "../Merkle.sol";
import {Messages} from "../Messages.sol";
import {Paths} from "../Paths.sol";
import {Deal, DealAccount, DealTerms, Header, TaskRec, Worker, WorkerAccount} from "../Types.sol";
import {Poco} from "../Poco.sol";
import {Bench} from "./Bench.sol";
import {Filing, Leaf} from "./Proofs.sol";

/// @title F5 and F8: books that do not add up.
/// @notice What a batch's header says against its tasks and the batch before it, and what its state
/// holds against Settlement's registry of workers and deals.
contract BookBench is Bench {
    using Paths for Paths.Empties;

    /// @notice First place of deals in the state tree.
    uint32 private constant DEALS = 1 << 19;
    /// @notice How far ahead of the chain a scheduler's clock may be.
    uint64 public constant SLACK = 15 minutes;

    constructor(address settlement) Bench(settlement) {}

    // -----------------------------------------------------------------------------------------
    // F8: the header
    // -----------------------------------------------------------------------------------------

    /// @notice The header's totals or state are not those of its last task.
    /// @return poolId The pool it is against.
    /// @return index The batch.
    function totals(Filing calldata filing, Leaf calldata leaf)
        external
        view
        returns (uint32 poolId, uint32 index)
    {
        _checkFiling(filing);
        _checkLeaf(Paths.empties(), filing.header, leaf);
        (Header calldata header, TaskRec calldata rec) = (filing.header, leaf.rec);
        if (uint256(leaf.place) + 1 != header.count) {
            revert PlaceOutOfRange(leaf.place, header.count);
        }
        bool same = header.payout == rec.runPayout && header.fees == rec.runFees
            && header.royalties == rec.runRoyalties && header.slashed == rec.runSlash
            && header.stateRoot == rec.postStateRoot;
        if (same) revert NoFraud();
        return _against(filing);
    }

    /// @notice The header's count is wrong: a place below it is empty, or one from it on is not.
    /// @param leaf The hash at `place`, zero for empty.
    /// @return poolId The pool it is against.
    /// @return index The batch.
    function count(Filing calldata filing, uint32 place, bytes32 leaf, bytes32[16] calldata path)
        external
        view
        returns (uint32 poolId, uint32 index)
    {
        _checkFiling(filing);
        Header calldata header = filing.header;
        _checkPath(leaf, place, _at(path), Merkle.TASKS_DEPTH, header.tasksRoot);
        if ((leaf == 0) == (place >= header.count)) revert NoFraud();
        return _against(filing);
    }

    /// @notice The header does not continue the batch before it: another parent, or operator's
    /// earnings that are not the parent's and its own.
    /// @param before The batch before; not looked at for batch 1.
    /// @return poolId The pool it is against.
    /// @return index The batch.
    function parent(Filing calldata filing, Filing calldata before)
        external
        view
        returns (uint32 poolId, uint32 index)
    {
        _checkFiling(filing);
        Header calldata header = filing.header;
        bytes32 hash = 0;
        uint256 cumFees = header.fees;
        if (header.index != 1) {
            _checkFiling(before);
            if (before.header.poolId != header.poolId || before.header.index + 1 != header.index) {
                revert OtherSubject(
                    "index",
                    bytes32(uint256(header.index) - 1),
                    bytes32(uint256(before.header.index))
                );
            }
            hash = Messages.hash(before.header);
            cumFees += _cumFees(before.header);
        }
        if (header.parent == hash && _cumFees(header) == cumFees) revert NoFraud();
        return _against(filing);
    }

    // -----------------------------------------------------------------------------------------
    // F5: who and what is in the state
    // -----------------------------------------------------------------------------------------

    /// @notice The state after the batch holds a worker's account that is not the registry's: there
    /// is no such worker, or its owner or vote key is another. Identities never change, so it does
    /// not matter which batch brought it in.
    /// @return poolId The pool it is against.
    /// @return index The batch.
    function identity(
        Filing calldata filing,
        uint32 position,
        WorkerAccount calldata account,
        bytes32[20] calldata path
    ) external view returns (uint32 poolId, uint32 index) {
        _checkFiling(filing);
        bytes32 leaf = keccak256(abi.encode(uint8(0), account));
        _checkPath(leaf, position, _at(path), Merkle.STATE_DEPTH, filing.header.stateRoot);
        if (position != 0 && position <= settlement.workers()) {
            Worker memory worker = settlement.workerOf(position);
            bool same = account.owner == worker.owner && account.voteKey == worker.voteKey;
            if (same) revert NoFraud();
        }
        return _against(filing);
    }

    /// @notice The state after the batch holds a deal's account at a place that is not the deal's,
    /// or of a deal that is not the pool's: its tasks could be settled twice.
    /// @return poolId The pool it is against.
    /// @return index The batch.
    function dealPlace(
        Filing calldata filing,
        uint32 position,
        DealAccount calldata account,
        bytes32[20] calldata path
    ) external view returns (uint32 poolId, uint32 index) {
        _checkFiling(filing);
        bytes32 leaf = keccak256(abi.encode(uint8(2), account));
        _checkPath(leaf, position, _at(path), Merkle.STATE_DEPTH, filing.header.stateRoot);
        Deal memory deal = settlement.dealOf(account.dealId);
        bool same = deal.poolId == filing.header.poolId && position == DEALS + deal.slot;
        if (same) revert NoFraud();
        return _against(filing);
    }

    /// @notice A task is of no deal of this pool. As F2 would find, without the deal's terms, which
    /// need not exist.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function unknownDeal(Filing calldata filing, Leaf calldata leaf)
        external
        view
        returns (uint32 poolId, uint32 index)
    {
        _checkFiling(filing);
        _checkLeaf(Paths.empties(), filing.header, leaf);
        uint32 poolOfDeal = settlement.dealOf(leaf.rec.dealId).poolId;
        if (poolOfDeal == filing.header.poolId) revert NoFraud();
        return _against(filing);
    }

    /// @notice A task was given up as expired before its deal's deadline.
    /// @return poolId The pool it is against.
    /// @return index The batch the task is in.
    function expiredEarly(Filing calldata filing, Leaf calldata leaf, DealTerms calldata terms)
        external
        view
        returns (uint32 poolId, uint32 index)
    {
        _checkFiling(filing);
        _checkLeaf(Paths.empties(), filing.header, leaf);
        bytes32 dealId = keccak256(abi.encode(terms));
        if (dealId != leaf.rec.dealId) {
            revert PreimageMismatch("terms", leaf.rec.dealId, dealId);
        }
        bool early = uint256(filing.committedAt) + SLACK < terms.deadline;
        if (leaf.rec.outcome != Poco.EXPIRED || !early) revert NoFraud();
        return _against(filing);
    }

    // -----------------------------------------------------------------------------------------
    // Parts
    // -----------------------------------------------------------------------------------------

    function _checkPath(
        bytes32 leaf,
        uint256 position,
        uint256 path,
        uint256 depth,
        bytes32 expected
    ) private pure {
        if (position >> depth != 0) revert PlaceOutOfRange(position, 2 ** depth);
        bytes32 actual = Paths.empties().climb(leaf, position, path, depth);
        if (actual != expected) revert RootMismatch(expected, actual);
    }

    /// @dev Read as it lies there: Settlement does not look at this field when it takes a batch in,
    /// and one with bits beyond its width must not make the batch after it unprovable.
    function _cumFees(Header calldata header) private pure returns (uint256 cumFees) {
        assembly ("memory-safe") {
            cumFees := calldataload(add(header, 0x160))
        }
    }

    function _against(Filing calldata filing) private pure returns (uint32, uint32) {
        return (filing.header.poolId, uint32(filing.header.index));
    }
}
