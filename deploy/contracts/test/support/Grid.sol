// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../../src/ISettlement.sol";
import {Merkle} from "../../src/Merkle.sol";
import {
    Anchor,
    DealAccount,
    DealTerms,
    Header,
    Opening,
    Seat,
    Worker,
    WorkerAccount
} from "../../src/Types.sol";
import {Book} from "./Book.sol";
import {Hashes} from "./Hashes.sol";
import {StateTree} from "./StateTree.sol";
import {vm} from "./Vm.sol";

/// @notice A pool's scheduler as the tests need one: applies PoCo steps (PROTOCOL.md section 4) to a
/// real state tree, seals batches and answers with proofs. It takes who won and who lost as given,
/// since Settlement never sees votes.
contract Grid {
    ISettlement public immutable settlement;
    uint32 public immutable poolId;
    uint256 private immutable _signerKey;
    Hashes private immutable _hashes;
    StateTree private immutable _tree;
    Book private immutable _book;

    /// The state after everything settled, sealed or not.
    bytes32 public state = Merkle.EMPTY_STATE;
    uint64 public taskSeq;
    /// The batch being filled.
    Header private _open;
    Header[] private _sealed;
    Opening[] private _openings;
    mapping(bytes32 leaf => WorkerAccount) private _workers;
    mapping(bytes32 leaf => DealAccount) private _deals;

    constructor(ISettlement settlement_, uint32 poolId_, uint256 signerKey, Book book) {
        settlement = settlement_;
        poolId = poolId_;
        _signerKey = signerKey;
        _hashes = new Hashes();
        _tree = new StateTree();
        _book = book;
    }

    // ---- what was settled ----

    /// @notice Settles one task. No winners means it failed (NoQuorum or Expired).
    function settle(bytes32 dealId, uint32[] memory winners, uint32[] memory losers) external {
        DealTerms memory terms = _book.get(dealId);
        uint32 slot = settlement.dealOf(dealId).slot;
        uint128 stakeEach = terms.unitPrice * terms.stakeRatio / 100;
        uint128 seized = stakeEach * uint128(losers.length);
        uint128 royalty = terms.appPrice + terms.datasetPrice;
        taskSeq++;
        DealAccount memory account = dealAt(state, slot);
        account.dealId = dealId;
        account.settledCount++;
        // Stands in for the bitmap's root, which only fraud proofs read.
        account.settledRoot = keccak256(abi.encode(account.settledRoot, account.settledCount));
        if (winners.length == 0) {
            account.refunded += terms.unitPrice + royalty + seized;
        } else {
            account.spent += terms.unitPrice + royalty;
            _open.royalties += royalty;
            _pay(winners, terms.unitPrice + seized, terms.schedulerRatio);
        }
        for (uint256 i = 0; i < losers.length; i++) {
            _slash(losers[i], stakeEach);
        }
        _putDeal(account, slot);
        _open.count++;
        _open.slashed += seized;
    }

    /// @notice Changes the running batch at will: what an honest scheduler never does.
    function tamper(uint128 payout, uint128 fees, uint128 slashed) external {
        _open.payout = payout;
        _open.fees = fees;
        _open.slashed = slashed;
        _open.royalties = 0;
        if (_open.count == 0) _open.count = 1;
    }

    /// @notice The root of the open batch's tasks; a made-up one unless this is called.
    function setTasksRoot(bytes32 root) external {
        _open.tasksRoot = root;
    }

    /// @notice As `tamper`, for royalties.
    function tamperRoyalties(uint128 royalties) external {
        _open.royalties = royalties;
        if (_open.count == 0) _open.count = 1;
    }

    /// @notice Puts any worker account into the state: what an honest scheduler never does.
    function forgeWorker(uint32 workerIdx, WorkerAccount memory account) external {
        _putWorker(workerIdx, account);
    }

    /// @notice Puts any deal account into the state: what an honest scheduler never does.
    function forgeDeal(uint32 slot, DealAccount memory account) external {
        _putDeal(account, slot);
    }

    // ---- batches ----

    /// @notice The batch that `seal` would make.
    function draft() public view returns (Header memory header) {
        header = _open;
        header.poolId = poolId;
        header.index = uint64(_sealed.length) + 1;
        header.parent = _sealed.length == 0 ? bytes32(0) : hashOf(header.index - 1);
        header.cumFees = header.fees;
        if (_sealed.length != 0) header.cumFees += _sealed[_sealed.length - 1].cumFees;
        if (header.tasksRoot == 0) header.tasksRoot = keccak256(abi.encode("tasks", header.index));
        header.stateRoot = state;
        header.evidence = keccak256(abi.encode("evidence", header.index));
    }

    /// @notice Closes the batch as it is committed in this block.
    function seal() public returns (Header memory header) {
        header = draft();
        _sealed.push(header);
        _openings.push(
            Opening({
                stateRoot: header.stateRoot,
                headerHash: _hashes.hashHeader(header),
                committedAt: uint64(block.timestamp),
                inbox: settlement.poolOf(poolId).inbox
            })
        );
        delete _open;
    }

    /// @notice Seals and commits in one go.
    function commit() external returns (Header memory header) {
        header = draft();
        (bytes32 r, bytes32 vs) = sign(header);
        settlement.commitBatch(header, r, vs);
        seal();
    }

    /// @notice Finalizes a batch, whoever may.
    function finalize(uint64 index) external {
        Opening memory batch = openingAt(index);
        settlement.finalize(headerAt(index), batch.committedAt, batch.inbox);
    }

    /// @notice Forgets the batches from `index` on, as the Court has dropped them.
    function drop(uint64 index) external {
        while (_sealed.length >= index) {
            _sealed.pop();
            _openings.pop();
        }
        state = rootAt(uint64(_sealed.length));
        delete _open;
    }

    function sign(Header memory header) public view returns (bytes32 r, bytes32 vs) {
        bytes32 digest = keccak256(
            abi.encodePacked("\x19\x01", settlement.DOMAIN_SEPARATOR(), _hashes.hashHeader(header))
        );
        return vm.signCompact(_signerKey, digest);
    }

    function openCount() external view returns (uint32) {
        return _open.count;
    }

    function headerAt(uint64 index) public view returns (Header memory) {
        return _sealed[index - 1];
    }

    function hashOf(uint64 index) public view returns (bytes32) {
        return _hashes.hashHeader(_sealed[index - 1]);
    }

    /// @notice What the word of a batch holds; before the first, the empty state and nothing else.
    function openingAt(uint64 index) public view returns (Opening memory batch) {
        if (index > _openings.length) return batch;
        if (index != 0) return _openings[index - 1];
        batch.stateRoot = Merkle.EMPTY_STATE;
    }

    /// @notice The oldest pending batch, or nothing.
    function nextOpening() external view returns (Opening memory batch) {
        uint64 next = settlement.poolOf(poolId).finalized + 1;
        if (next <= _openings.length) return _openings[next - 1];
    }

    function anchorAt(uint64 index) public view returns (Anchor memory) {
        Opening memory b = openingAt(index);
        bytes32 rest = keccak256(abi.encode(b.headerHash, b.committedAt, b.inbox));
        return Anchor(b.stateRoot, rest);
    }

    /// @notice State after batch `index`, the empty one for 0.
    function rootAt(uint64 index) public view returns (bytes32) {
        return index == 0 ? Merkle.EMPTY_STATE : _sealed[index - 1].stateRoot;
    }

    // ---- accounts and proofs ----

    function workerProof(uint64 index, uint32 workerIdx)
        external
        view
        returns (WorkerAccount memory account, bytes32[] memory path)
    {
        return (workerAt(rootAt(index), workerIdx), _tree.shortPath(rootAt(index), workerIdx));
    }

    function dealProof(uint64 index, bytes32 dealId)
        external
        view
        returns (DealAccount memory account, bytes32[] memory path)
    {
        uint32 slot = settlement.dealOf(dealId).slot;
        bytes32 root = rootAt(index);
        return (dealAt(root, slot), _tree.shortPath(root, dealPosition(slot)));
    }

    /// @notice A worker's account in a state; all zero if the pool never touched it.
    function workerAt(bytes32 root, uint32 workerIdx) public view returns (WorkerAccount memory) {
        return _workers[_tree.leafAt(root, workerIdx)];
    }

    /// @notice A deal's account in a state; all zero if the pool never touched it.
    function dealAt(bytes32 root, uint32 slot) public view returns (DealAccount memory) {
        return _deals[_tree.leafAt(root, dealPosition(slot))];
    }

    function dealPosition(uint32 slot) public pure returns (uint256) {
        return 2 ** 19 + uint256(slot);
    }

    /// @notice Stake an honest scheduler may still put at risk: nothing slashed twice, nobody who
    /// is leaving.
    function atRisk(uint32 workerIdx) external view returns (uint128) {
        if (settlement.workerOf(workerIdx).exitAt != 0) return 0;
        Seat memory seat = settlement.seatOf(poolId, workerIdx);
        return seat.stake - (workerAt(state, workerIdx).cumSlashed - seat.slashed);
    }

    // ---- the PoCo step ----

    function weight(uint32 score) public pure returns (uint256) {
        uint256 third = score / 3;
        return (third > 3 ? third : 3) - 1;
    }

    function log2(uint256 x) public pure returns (uint256 n) {
        while (x > 1) {
            x >>= 1;
            n++;
        }
    }

    function _pay(uint32[] memory winners, uint128 reward, uint8 schedulerRatio) private {
        uint256 share = uint256(reward) * (100 - schedulerRatio) / 100;
        uint256 sum;
        for (uint256 i = 0; i < winners.length; i++) {
            sum += log2(weight(workerAt(state, winners[i]).score));
        }
        uint128 paid;
        for (uint256 i = 0; i < winners.length; i++) {
            WorkerAccount memory account = workerAt(state, winners[i]);
            uint128 part = uint128(share * log2(weight(account.score)) / sum);
            account.cumEarned += part;
            if (winners.length > 1) account.score++;
            paid += part;
            _putWorker(winners[i], account);
        }
        _open.payout += paid;
        _open.fees += reward - paid;
    }

    function _slash(uint32 workerIdx, uint128 amount) private {
        WorkerAccount memory account = workerAt(state, workerIdx);
        account.cumSlashed += amount;
        account.score = account.score * 2 / 3;
        _putWorker(workerIdx, account);
    }

    function _putWorker(uint32 workerIdx, WorkerAccount memory account) private {
        if (account.owner == address(0)) {
            Worker memory worker = settlement.workerOf(workerIdx);
            account.owner = worker.owner;
            account.voteKey = worker.voteKey;
        }
        account.lastTaskSeq = taskSeq;
        bytes32 leaf = _hashes.workerLeaf(account);
        _workers[leaf] = account;
        state = _tree.put(state, workerIdx, leaf);
    }

    function _putDeal(DealAccount memory account, uint32 slot) private {
        bytes32 leaf = _hashes.dealLeaf(account);
        _deals[leaf] = account;
        state = _tree.put(state, dealPosition(slot), leaf);
    }
}
