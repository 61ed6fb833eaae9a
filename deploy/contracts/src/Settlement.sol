// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ISettlement} from "./ISettlement.sol";
import {Merkle} from "./Merkle.sol";
import {Messages} from "./Messages.sol";
import {
    Batch,
    BindWorker,
    Deal,
    DealAccount,
    DealTerms,
    Header,
    Pool,
    PoolOrder,
    ReqOrder,
    Seat,
    Worker,
    WorkerAccount
} from "./Types.sol";

/// @title The settlement contract. ISettlement.sol is its specification, README.md its money map.
/// @dev Money moves in five purses per pool (locked, owed, bond, staked, unapplied) and one free
/// balance per account. Every function changes state, emits, and touches the token last; only
/// deposits must credit after the transfer, since they measure it, and they hold the guard.
/// Narrowing casts are of numbers that a check or a minimum just above has bounded.
contract Settlement is ISettlement, EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;
    using Math for uint256;

    // -----------------------------------------------------------------------------------------
    // Limits: every number with its reason
    // -----------------------------------------------------------------------------------------

    /// @notice A window shorter than a chain's force-inclusion delay (24 hours on the slowest
    /// rollups) lets whoever orders transactions hold back every challenge.
    uint64 public constant WINDOW_MIN = 24 hours;
    /// @notice A longer one would outlive the evidence: blobs are kept 18 days, and a challenge
    /// needs days to be answered.
    uint64 public constant WINDOW_MAX = 10 days;
    /// @notice Longest time a task may take. A worker who asks to leave can be in one that long.
    uint64 public constant MAX_TASK_TIME = 1 days;
    /// @notice Time for a pool to commit a task that has ended, for the exit timer. A slash that is
    /// committed later finds the stake gone and comes out of the pool's bond.
    uint64 public constant COMMIT_SLACK = 1 days;
    /// @notice After a deal's deadline a pool has this long to commit what it settled: the longest
    /// task, the commit slack and five days for a congested chain or an operator away for a weekend.
    uint64 public constant GRACE = 7 days;
    /// @notice On top of the window, before a bond may leave: the last batch's challenge may come
    /// on its last day and must still find the bond.
    uint64 public constant BOND_SLACK = 7 days;
    /// @notice Farthest deadline of a deal. Bounds how long a dead pool can hold money, and how long
    /// a deal opened just before a pool's exit can hold its bond.
    uint64 public constant MAX_DEAL_TIME = 365 days;
    /// @notice Tasks of one deal, and of one batch: a depth-16 tree. A bigger bag is several deals.
    uint32 public constant MAX_TASKS = 65_536;
    /// @notice Replicas of one task: what a fraud proof can re-execute within a block's gas.
    uint8 public constant MAX_REPLICAS = 15;
    /// @notice Workers in all and deals per pool: each has half of the depth-20 state tree.
    /// Position 0 stays empty, so workers are numbered from 1.
    uint32 public constant TREE_HALF = 2 ** 19;
    /// @notice Batches remembered per pool. At one batch in ten minutes: 3.5 days pending and at
    /// least as long final. Slots are paid for once and then reused.
    uint64 public constant RING = 1024;
    /// @notice Of those, batches that may be pending; the other half stays claimable.
    uint64 public constant MAX_PENDING = RING / 2;
    /// @notice `value` of a slot is packed into 96 bits, and the bond bounds it: 7.9e10 whole tokens
    /// of 18 decimals.
    uint128 public constant BOND_MAX = type(uint96).max;

    // -----------------------------------------------------------------------------------------
    // State
    // -----------------------------------------------------------------------------------------

    IERC20 private immutable _token;
    /// @inheritdoc ISettlement
    uint64 public immutable window;

    /// @inheritdoc ISettlement
    uint32 public workers;
    /// @inheritdoc ISettlement
    uint32 public pools;

    mapping(address account => uint128) private _free;
    mapping(uint32 workerIdx => Worker) private _workers;
    mapping(address voteKey => uint32) private _byVoteKey;
    mapping(bytes32 nodeKey => uint32) private _byNodeKey;
    mapping(uint32 poolId => mapping(uint32 workerIdx => Seat)) private _seats;
    mapping(uint32 poolId => Pool) private _pools;
    mapping(uint32 poolId => mapping(uint64 slot => Batch)) private _batches;
    mapping(bytes32 orderHash => uint32) private _filled;
    mapping(bytes32 dealId => Deal) private _deals;

    /// @param token_ The only token this contract will ever hold. It must not take fees on transfer
    /// and must not change balances by itself; a fee is detected and refused, a rebase cannot be.
    /// @param window_ Challenge window in seconds, WINDOW_MIN to WINDOW_MAX.
    constructor(IERC20 token_, uint64 window_) EIP712("Quorate", "1") {
        if (address(token_) == address(0)) revert ZeroKey("token");
        if (window_ < WINDOW_MIN || window_ > WINDOW_MAX) {
            revert WindowOutOfRange(WINDOW_MIN, WINDOW_MAX, window_);
        }
        _token = token_;
        window = window_;
    }

    // -----------------------------------------------------------------------------------------
    // Escrow
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function deposit(uint128 amount) external nonReentrant {
        _pull(msg.sender, amount);
    }

    /// @inheritdoc ISettlement
    function depositWithPermit(
        address owner,
        uint128 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        // Ignored on failure: if somebody put this permit through first, the allowance is there,
        // and if nobody did, the transfer below fails.
        try IERC20Permit(address(_token)).permit(owner, address(this), amount, deadline, v, r, s) {}
            catch {}
        _pull(owner, amount);
    }

    /// @inheritdoc ISettlement
    function withdraw(uint128 amount) external nonReentrant {
        _debit(msg.sender, amount);
        emit Withdrawn(msg.sender, amount);
        _token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc ISettlement
    function freeOf(address account) external view returns (uint128) {
        return _free[account];
    }

    // -----------------------------------------------------------------------------------------
    // Workers
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function registerWorker(
        bytes32 nodeKey,
        address voteKey,
        uint64 deadline,
        bytes32 r,
        bytes32 vs
    ) external returns (uint32 workerIdx) {
        if (nodeKey == 0) revert ZeroKey("nodeKey");
        if (voteKey == address(0)) revert ZeroKey("voteKey");
        if (block.timestamp > deadline) revert SignatureExpired(deadline, block.timestamp);
        if (_byVoteKey[voteKey] != 0) revert VoteKeyBound(voteKey, _byVoteKey[voteKey]);
        if (_byNodeKey[nodeKey] != 0) revert NodeKeyBound(nodeKey, _byNodeKey[nodeKey]);
        BindWorker memory binding = BindWorker(msg.sender, nodeKey, voteKey, deadline);
        _checkSigner(voteKey, Messages.recover(_digest(Messages.hash(binding)), r, vs));

        workerIdx = ++workers;
        if (workerIdx >= TREE_HALF) revert WorkersFull(TREE_HALF - 1);
        _workers[workerIdx] = Worker(msg.sender, 0, voteKey, nodeKey);
        _byVoteKey[voteKey] = workerIdx;
        _byNodeKey[nodeKey] = workerIdx;
        emit WorkerRegistered(workerIdx, msg.sender, nodeKey, voteKey);
    }

    /// @inheritdoc ISettlement
    function stake(uint32 poolId, uint32 workerIdx, uint128 amount) external {
        Worker storage worker = _ownWorker(workerIdx);
        if (worker.exitAt != 0) revert WorkerExiting(workerIdx, worker.exitAt);
        Pool storage pool = _livePool(poolId);
        _debit(msg.sender, amount);
        Seat storage seat = _seats[poolId][workerIdx];
        seat.stake += amount;
        pool.staked += amount;
        emit Staked(poolId, workerIdx, amount, seat.stake);
    }

    /// @inheritdoc ISettlement
    function requestExit(uint32 workerIdx) external {
        Worker storage worker = _ownWorker(workerIdx);
        if (worker.exitAt != 0) revert WorkerExiting(workerIdx, worker.exitAt);
        worker.exitAt = uint64(block.timestamp) + window + MAX_TASK_TIME + COMMIT_SLACK;
        emit ExitRequested(workerIdx, worker.exitAt);
    }

    /// @inheritdoc ISettlement
    function cancelExit(uint32 workerIdx) external {
        Worker storage worker = _ownWorker(workerIdx);
        if (worker.exitAt == 0) revert WorkerNotExiting(workerIdx);
        worker.exitAt = 0;
        emit ExitCancelled(workerIdx);
    }

    /// @inheritdoc ISettlement
    function unstake(
        uint32 poolId,
        uint32 workerIdx,
        WorkerAccount calldata account,
        bytes32[] calldata proof
    ) external {
        Worker storage worker = _ownWorker(workerIdx);
        if (worker.exitAt == 0) revert WorkerNotExiting(workerIdx);
        if (block.timestamp < worker.exitAt) revert TooEarly(worker.exitAt, block.timestamp);
        Pool storage pool = _pool(poolId);
        _checkNoneOverdue(pool, poolId);
        _checkProof(
            _stateRoot(pool, poolId, pool.finalized),
            _workerLeaf(worker, account, true),
            workerIdx,
            proof
        );
        Seat storage seat = _seats[poolId][workerIdx];
        _applySlash(pool, seat, poolId, workerIdx, account.cumSlashed);

        // What other batches have slashed stays, whatever is recorded: an honest pool only slashes
        // stake that is there, so this binds only where a dishonest one has promised too much.
        uint128 due = seat.stake;
        if (due == 0) revert NothingDue(0);
        uint256 reserved = uint256(pool.unapplied) + pool.pendingSlashed;
        uint128 amount = uint128(Math.min(due, uint256(pool.staked).saturatingSub(reserved)));
        if (amount == 0) revert PoolDrained(poolId, due);
        seat.stake = due - amount;
        pool.staked -= amount;
        _free[msg.sender] += amount;
        emit Unstaked(poolId, workerIdx, amount, due - amount);
    }

    /// @inheritdoc ISettlement
    function workerOf(uint32 workerIdx) external view returns (Worker memory) {
        return _worker(workerIdx);
    }

    /// @inheritdoc ISettlement
    function seatOf(uint32 poolId, uint32 workerIdx) external view returns (Seat memory) {
        return _seats[poolId][workerIdx];
    }

    /// @inheritdoc ISettlement
    function workerOfVoteKey(address voteKey) external view returns (uint32) {
        return _byVoteKey[voteKey];
    }

    /// @inheritdoc ISettlement
    function workerOfNodeKey(bytes32 nodeKey) external view returns (uint32) {
        return _byNodeKey[nodeKey];
    }

    // -----------------------------------------------------------------------------------------
    // Pools
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function registerPool(address signer, bytes32 nodeKey, uint128 bond)
        external
        returns (uint32 poolId)
    {
        if (signer == address(0)) revert ZeroKey("signer");
        if (nodeKey == 0) revert ZeroKey("nodeKey");
        poolId = ++pools;
        Pool storage pool = _pools[poolId];
        pool.signer = signer;
        pool.operator = msg.sender;
        pool.nodeKey = nodeKey;
        emit PoolRegistered(poolId, msg.sender, signer, nodeKey);
        if (bond != 0) _addBond(pool, poolId, bond);
    }

    /// @inheritdoc ISettlement
    function addBond(uint32 poolId, uint128 amount) external {
        _addBond(_ownLivePool(poolId), poolId, amount);
    }

    /// @inheritdoc ISettlement
    function requestBondExit(uint32 poolId) external {
        Pool storage pool = _ownLivePool(poolId);
        pool.exitAt = uint64(block.timestamp) + window + BOND_SLACK;
        emit BondExitRequested(poolId, pool.exitAt);
    }

    /// @inheritdoc ISettlement
    function withdrawBond(uint32 poolId) external {
        Pool storage pool = _pool(poolId);
        _checkSender(pool.operator);
        if (pool.exitAt == 0) revert PoolNotExiting(poolId);
        if (block.timestamp < pool.exitAt) revert TooEarly(pool.exitAt, block.timestamp);
        uint64 pending = pool.head - pool.finalized;
        // The bond answers for slashes that find the stake gone, hence `unapplied`.
        if (pending != 0 || pool.locked != 0 || pool.unapplied != 0) {
            revert PoolBusy(pending, pool.locked, pool.unapplied);
        }
        uint128 amount = pool.bond;
        if (amount == 0) revert NothingDue(0);
        pool.bond = 0;
        _free[msg.sender] += amount;
        emit BondWithdrawn(poolId, amount);
    }

    /// @inheritdoc ISettlement
    function poolOf(uint32 poolId) external view returns (Pool memory) {
        return _pool(poolId);
    }

    // -----------------------------------------------------------------------------------------
    // Deals
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function openDeal(
        ReqOrder calldata req,
        bytes calldata reqSig,
        PoolOrder calldata offer,
        bytes calldata offerSig,
        uint32 n
    ) external returns (bytes32 dealId) {
        Pool storage pool = _livePool(offer.poolId);
        _checkTerms(req, offer, n);
        bytes32 reqHash = Messages.hash(req);
        bytes32 poolHash = Messages.hash(offer);
        _checkRequester(req.requester, _digest(reqHash), reqSig);
        _checkSigner(pool.signer, Messages.recover64(_digest(poolHash), offerSig));

        uint32 filledBefore = _fill(reqHash, req.tasks, req.expiry, n);
        _fill(poolHash, offer.tasks, offer.expiry, n);
        dealId = Messages.dealId(reqHash, poolHash, filledBefore, n);

        DealTerms memory terms = DealTerms({
            slot: _takeSlot(pool, offer.poolId),
            reqHash: reqHash,
            poolHash: poolHash,
            filledBefore: filledBefore,
            app: req.app,
            params: req.params,
            unitPrice: offer.unitPrice,
            tasks: n,
            trust: req.trust,
            replicas: req.replicas,
            stakeRatio: offer.stakeRatio,
            schedulerRatio: offer.schedulerRatio,
            maxTaskTime: req.maxTaskTime,
            deadline: req.deadline
        });
        _lock(pool, req.requester, uint256(n) * offer.unitPrice);
        _store(dealId, req.requester, offer.poolId, terms);
        emit DealOpened(dealId, offer.poolId, req.requester, terms);
    }

    /// @inheritdoc ISettlement
    function cancelReqOrder(ReqOrder calldata order) external {
        _checkSender(order.requester);
        _cancel(Messages.hash(order));
    }

    /// @inheritdoc ISettlement
    function cancelPoolOrder(PoolOrder calldata order) external {
        Pool storage pool = _pool(order.poolId);
        if (msg.sender != pool.operator) _checkSender(pool.signer);
        _cancel(Messages.hash(order));
    }

    /// @inheritdoc ISettlement
    function filledOf(bytes32 orderHash) external view returns (uint32) {
        return _filled[orderHash];
    }

    /// @inheritdoc ISettlement
    function dealOf(bytes32 dealId) external view returns (Deal memory) {
        return _deal(dealId);
    }

    // -----------------------------------------------------------------------------------------
    // Batches
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function commitBatch(Header calldata header, bytes32 r, bytes32 vs) external {
        Pool storage pool = _livePool(header.poolId);
        _checkNext(pool, header);
        bytes32 headerHash = Messages.hash(header);
        _checkSigner(pool.signer, Messages.recover(_digest(headerHash), r, vs));

        uint256 value = _reserve(pool, header);
        pool.head = header.index;
        Batch storage batch = _batches[header.poolId][header.index % RING];
        batch.headerHash = headerHash;
        batch.committedAt = uint64(block.timestamp);
        batch.value = uint96(value); // at most the bond, and so at most BOND_MAX
        batch.slashed = uint96(header.slashed); // a part of value
        emit BatchCommitted(header.poolId, header.index, headerHash, header);
    }

    /// @inheritdoc ISettlement
    function finalize(Header calldata header) external {
        Pool storage pool = _pool(header.poolId);
        if (pool.finalized == pool.head) revert NothingPending(header.poolId);
        uint64 next = pool.finalized + 1;
        if (header.index != next) revert IndexMismatch(next, header.index);
        Batch storage batch = _batches[header.poolId][next % RING];
        bytes32 headerHash = Messages.hash(header);
        if (headerHash != batch.headerHash) revert HeaderMismatch(batch.headerHash, headerHash);
        uint256 readyAt = uint256(batch.committedAt) + window;
        if (block.timestamp < readyAt) revert TooEarly(readyAt, block.timestamp);

        _release(pool, header, batch.value);
        pool.finalized = next;
        batch.stateRoot = header.stateRoot;
        if (header.fees != 0) _free[pool.operator] += header.fees;
        emit Finalized(header.poolId, next, headerHash, header.stateRoot);
    }

    /// @inheritdoc ISettlement
    function batchOf(uint32 poolId, uint64 index) external view returns (Batch memory batch) {
        Pool storage pool = _pool(poolId);
        if (index > pool.head || index < _oldest(pool)) revert UnknownBatch(poolId, index);
        batch = _batches[poolId][index % RING];
        // A reused slot still holds the root of the batch that had it before.
        if (index > pool.finalized) batch.stateRoot = 0;
    }

    // -----------------------------------------------------------------------------------------
    // Payouts
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function claim(
        uint32 poolId,
        uint32 workerIdx,
        WorkerAccount calldata account,
        bytes32[] calldata proof,
        uint64 index
    ) external nonReentrant returns (uint128 paid) {
        Worker storage worker = _worker(workerIdx);
        Pool storage pool = _pool(poolId);
        _checkProof(
            _stateRoot(pool, poolId, index), _workerLeaf(worker, account, false), workerIdx, proof
        );
        Seat storage seat = _seats[poolId][workerIdx];
        bool slashed = _applySlash(pool, seat, poolId, workerIdx, account.cumSlashed);
        uint128 claimed = seat.claimed;
        uint128 due = account.cumEarned > claimed ? account.cumEarned - claimed : 0;
        paid = uint128(Math.min(due, pool.owed));
        if (paid == 0) {
            if (slashed) return 0;
            if (due == 0) revert NothingDue(claimed);
            revert PoolDrained(poolId, due);
        }
        seat.claimed = claimed + paid;
        pool.owed -= paid;
        emit Claimed(poolId, workerIdx, worker.owner, paid, claimed + paid);
        _pay(worker.owner, paid); // last: a re-entrant call already sees it paid
    }

    /// @inheritdoc ISettlement
    function refundUnsettled(
        bytes32 dealId,
        DealAccount calldata account,
        bytes32[] calldata proof,
        uint64 index
    ) external returns (uint128 amount) {
        Deal storage deal = _deal(dealId);
        if (deal.closed) revert NothingDue(deal.returned);
        uint32 poolId = deal.poolId;
        Pool storage pool = _pool(poolId);
        _checkProof(
            _stateRoot(pool, poolId, index),
            _dealLeaf(dealId, account),
            uint256(TREE_HALF) + deal.slot,
            proof
        );
        bool last = _isLast(pool, deal, index);
        uint256 total = account.refunded;
        if (last) {
            total += uint256(deal.tasks).saturatingSub(account.settledCount) * deal.unitPrice;
        }
        uint128 returned = deal.returned;
        if (total <= returned) revert NothingDue(returned);
        uint256 due = total - returned;
        amount = uint128(Math.min(due, pool.locked - pool.pendingDraw));
        if (amount == 0) revert PoolDrained(poolId, uint128(due));
        deal.returned = returned + amount;
        deal.closed = last && amount == due;
        pool.locked -= amount;
        _free[deal.requester] += amount;
        emit Refunded(dealId, deal.requester, amount, returned + amount, deal.closed);
    }

    // -----------------------------------------------------------------------------------------
    // Parameters
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function token() external view returns (address) {
        return address(_token);
    }

    /// @inheritdoc ISettlement
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // -----------------------------------------------------------------------------------------
    // Money
    // -----------------------------------------------------------------------------------------

    /// @dev Takes tokens in and credits what came, which must be what was asked for.
    function _pull(address from, uint128 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint256 before = _token.balanceOf(address(this));
        _token.safeTransferFrom(from, address(this), amount);
        uint256 received = _token.balanceOf(address(this)) - before;
        if (received != amount) revert TransferMismatch(amount, received);
        _free[from] += amount;
        emit Deposited(from, amount);
    }

    /// @dev Sends tokens out, or keeps them for `to` where the token refuses it (a block list):
    /// nobody's slash may go unapplied, and no bond stay, because its worker cannot be paid.
    function _pay(address to, uint128 amount) private {
        if (_token.trySafeTransfer(to, amount)) return;
        _free[to] += amount;
        emit PayoutKept(to, amount);
    }

    /// @dev Takes from a free balance; every use of money but a deposit begins here.
    function _debit(address account, uint128 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint128 free = _free[account];
        if (amount > free) revert FreeTooLow(account, free, amount);
        _free[account] = free - amount;
    }

    function _addBond(Pool storage pool, uint32 poolId, uint128 amount) private {
        _debit(msg.sender, amount);
        uint256 bond = uint256(pool.bond) + amount;
        if (bond > BOND_MAX) revert BondTooLarge(BOND_MAX, bond);
        pool.bond = uint128(bond);
        emit BondAdded(poolId, amount, uint128(bond));
    }

    /// @dev A deal of price zero locks nothing and is allowed: work can be given away.
    function _lock(Pool storage pool, address requester, uint256 cost) private {
        if (cost == 0) return;
        uint128 free = _free[requester];
        if (cost > free) revert FreeTooLow(requester, free, cost);
        _free[requester] = free - uint128(cost);
        pool.locked += uint128(cost);
    }

    /// @dev Reserves what a new batch will move, so that no later call can make finalizing fail:
    /// bond for its value, locked money for its draw, stake for its slashes.
    function _reserve(Pool storage pool, Header calldata header) private returns (uint256 value) {
        uint256 out = uint256(header.payout) + header.fees;
        value = out + header.slashed;
        uint256 room = (uint256(pool.bond) * 2 / 3).saturatingSub(pool.pendingValue);
        if (value > room) revert BondTooLow(room, value);
        pool.pendingValue += uint128(value);

        uint256 draw = out.saturatingSub(header.slashed);
        uint256 available = pool.locked - pool.pendingDraw;
        if (draw > available) revert LockedTooLow(available, draw);
        pool.pendingDraw += uint128(draw);

        if (header.slashed == 0) return value;
        uint256 taken = uint256(pool.unapplied) + pool.pendingSlashed;
        available = uint256(pool.staked).saturatingSub(taken);
        if (header.slashed > available) revert StakeTooLow(available, header.slashed);
        pool.pendingSlashed += header.slashed;
    }

    /// @dev Undoes the reservation and moves the money: slashes back the rewards, so they enter
    /// `locked`, and the stake records they will be taken from are `unapplied` until somebody proves
    /// them one by one.
    function _release(Pool storage pool, Header calldata header, uint256 value) private {
        uint256 out = uint256(header.payout) + header.fees;
        pool.pendingValue -= uint128(value);
        pool.pendingDraw -= uint128(out.saturatingSub(header.slashed));
        pool.locked = (uint256(pool.locked) + header.slashed - out).toUint128();
        pool.owed += header.payout;
        if (header.slashed == 0) return;
        pool.pendingSlashed -= header.slashed;
        pool.unapplied += header.slashed;
    }

    /// @dev Takes newly proven slashes from the stake record, and what has already left it from the
    /// bond. Never more than the pool's finalized batches declared: a root alone seizes nothing.
    function _applySlash(
        Pool storage pool,
        Seat storage seat,
        uint32 poolId,
        uint32 workerIdx,
        uint128 cumSlashed
    ) private returns (bool applied) {
        uint128 before = seat.slashed;
        if (cumSlashed <= before) return false;
        uint256 due = Math.min(cumSlashed - before, pool.unapplied);
        uint128 fromStake = uint128(Math.min(due, seat.stake));
        uint128 fromBond = uint128(Math.min(due - fromStake, pool.bond));
        if (fromStake + fromBond == 0) return false;
        seat.stake -= fromStake;
        seat.slashed = before + fromStake + fromBond;
        pool.staked -= fromStake;
        pool.bond -= fromBond;
        pool.unapplied -= fromStake + fromBond;
        emit Slashed(poolId, workerIdx, fromStake, fromBond);
        return true;
    }

    // -----------------------------------------------------------------------------------------
    // Orders
    // -----------------------------------------------------------------------------------------

    function _checkTerms(ReqOrder calldata req, PoolOrder calldata offer, uint32 n) private view {
        if (req.poolId != 0 && req.poolId != offer.poolId) {
            revert PoolMismatch(req.poolId, offer.poolId);
        }
        if (offer.unitPrice > req.maxUnitPrice) {
            revert PriceTooHigh(req.maxUnitPrice, offer.unitPrice);
        }
        if (req.trust > offer.trust) revert TrustTooHigh(offer.trust, req.trust);
        uint256 longest = Math.min(offer.maxTaskTime, MAX_TASK_TIME);
        _checkRange("maxTaskTime", 1, longest, req.maxTaskTime);
        _checkRange("replicas", 1, MAX_REPLICAS, req.replicas);
        _checkRange("n", 1, MAX_TASKS, n);
        _checkRange("stakeRatio", 0, 100, offer.stakeRatio);
        _checkRange("schedulerRatio", 0, 100, offer.schedulerRatio);
        _checkRange("deadline", block.timestamp + 1, block.timestamp + MAX_DEAL_TIME, req.deadline);
    }

    function _checkRange(string memory field, uint256 min, uint256 max, uint256 actual)
        private
        pure
    {
        if (actual < min || actual > max) revert OutOfRange(field, min, max, actual);
    }

    /// @dev Counts `n` tasks of an order that has not expired, and says how many were taken before.
    function _fill(bytes32 orderHash, uint32 volume, uint64 expiry, uint32 n)
        private
        returns (uint32 filled)
    {
        if (block.timestamp > expiry) {
            revert OrderExpired(orderHash, expiry, block.timestamp);
        }
        filled = _filled[orderHash];
        uint256 left = uint256(volume).saturatingSub(filled);
        if (n > left) revert OrderFilled(orderHash, left, n);
        _filled[orderHash] = filled + n;
    }

    function _cancel(bytes32 orderHash) private {
        _filled[orderHash] = type(uint32).max;
        emit OrderCancelled(orderHash, msg.sender);
    }

    function _takeSlot(Pool storage pool, uint32 poolId) private returns (uint32 slot) {
        slot = pool.deals;
        if (slot >= TREE_HALF) revert DealsFull(poolId, TREE_HALF);
        pool.deals = slot + 1;
    }

    function _store(bytes32 dealId, address requester, uint32 poolId, DealTerms memory terms)
        private
    {
        _deals[dealId] = Deal({
            requester: requester,
            poolId: poolId,
            slot: terms.slot,
            tasks: terms.tasks,
            unitPrice: terms.unitPrice,
            returned: 0,
            deadline: terms.deadline,
            maxTaskTime: terms.maxTaskTime,
            trust: terms.trust,
            replicas: terms.replicas,
            stakeRatio: terms.stakeRatio,
            schedulerRatio: terms.schedulerRatio,
            closed: false
        });
    }

    // -----------------------------------------------------------------------------------------
    // Batches and roots
    // -----------------------------------------------------------------------------------------

    function _checkNext(Pool storage pool, Header calldata header) private view {
        uint64 next = pool.head + 1;
        if (header.index != next) revert IndexMismatch(next, header.index);
        if (next - pool.finalized > MAX_PENDING) revert RingFull(MAX_PENDING);
        bytes32 parent =
            next == 1 ? bytes32(0) : _batches[header.poolId][pool.head % RING].headerHash;
        if (header.parent != parent) revert ParentMismatch(parent, header.parent);
        _checkRange("count", 1, MAX_TASKS, header.count);
        // There is no inbox of forced votes yet, so its root is that of an empty one.
        if (header.ringRoot != 0) revert RingRootMismatch(0, header.ringRoot);
    }

    /// @dev The state after finalized batch `index`; the empty state before the first.
    function _stateRoot(Pool storage pool, uint32 poolId, uint64 index)
        private
        view
        returns (bytes32)
    {
        uint64 newest = pool.finalized;
        uint64 oldest = _oldest(pool);
        if (newest == 0 && index == 0) return Merkle.EMPTY_STATE;
        if (index > newest || index < oldest) revert NotFinal(poolId, index, oldest, newest);
        return _batches[poolId][index % RING].stateRoot;
    }

    /// @dev The oldest batch whose slot has not been reused; 1 while the ring is not full.
    function _oldest(Pool storage pool) private view returns (uint64) {
        return pool.head > RING ? pool.head - RING + 1 : 1;
    }

    /// @dev Whether no batch that may still settle tasks of the deal can follow the state after
    /// `index`: a pool must commit what it settled before deadline + GRACE.
    function _isLast(Pool storage pool, Deal storage deal, uint64 index)
        private
        view
        returns (bool)
    {
        uint256 end = uint256(deal.deadline) + GRACE;
        if (block.timestamp < end) return false;
        if (index == pool.finalized && index == pool.head) return true;
        return index != 0 && _batches[deal.poolId][index % RING].committedAt > end;
    }

    function _checkNoneOverdue(Pool storage pool, uint32 poolId) private view {
        uint64 next = pool.finalized + 1;
        if (next > pool.head) return;
        uint256 readyAt = uint256(_batches[poolId][next % RING].committedAt) + window;
        if (block.timestamp >= readyAt) revert FinalizeFirst(poolId, next);
    }

    function _checkProof(bytes32 root, bytes32 leaf, uint256 position, bytes32[] calldata proof)
        private
        pure
    {
        bytes32 actual = Merkle.root(leaf, position, proof, Merkle.STATE_DEPTH);
        if (actual != root) revert ProofMismatch(root, actual);
    }

    /// @dev The leaf of an account that is this worker's. `emptyToo` lets an account that the pool
    /// never touched pass, as the empty leaf.
    function _workerLeaf(Worker storage worker, WorkerAccount calldata account, bool emptyToo)
        private
        view
        returns (bytes32)
    {
        if (emptyToo && account.owner == address(0)) {
            bool clean = account.voteKey == address(0) && account.cumEarned == 0
                && account.cumSlashed == 0 && account.score == 0 && account.lastTaskSeq == 0;
            if (!clean) revert EmptyAccountNotZero();
            return 0;
        }
        _checkSame(worker.owner, account.owner);
        _checkSame(worker.voteKey, account.voteKey);
        return Merkle.workerLeaf(account);
    }

    /// @dev The leaf of an account that is this deal's, or the empty leaf if it was never touched.
    function _dealLeaf(bytes32 dealId, DealAccount calldata account)
        private
        pure
        returns (bytes32)
    {
        if (account.dealId == 0) {
            bool clean = account.settledRoot == 0 && account.settledCount == 0 && account.spent == 0
                && account.refunded == 0;
            if (!clean) revert EmptyAccountNotZero();
            return 0;
        }
        if (account.dealId != dealId) revert AccountMismatch(dealId, account.dealId);
        return Merkle.dealLeaf(account);
    }

    function _checkSame(address expected, address actual) private pure {
        if (expected == actual) return;
        revert AccountMismatch(
            bytes32(uint256(uint160(expected))), bytes32(uint256(uint160(actual)))
        );
    }

    // -----------------------------------------------------------------------------------------
    // Who is who
    // -----------------------------------------------------------------------------------------

    function _digest(bytes32 structHash) private view returns (bytes32) {
        return _hashTypedDataV4(structHash);
    }

    function _checkSigner(address expected, address recovered) private pure {
        if (recovered != expected) revert BadSignature(expected, recovered);
    }

    /// @dev A key's own signature counts first, even where the account has code (EIP-7702); then
    /// whatever its code accepts.
    function _checkRequester(address requester, bytes32 digest, bytes calldata sig) private view {
        if (requester == address(0)) revert ZeroKey("requester");
        address recovered = Messages.recoverAny(digest, sig);
        if (recovered == requester) return;
        bool valid = requester.code.length != 0
            && SignatureChecker.isValidERC1271SignatureNowCalldata(requester, digest, sig);
        if (!valid) revert BadSignature(requester, recovered);
    }

    function _checkSender(address expected) private view {
        if (msg.sender != expected) revert NotAllowed(expected, msg.sender);
    }

    function _worker(uint32 workerIdx) private view returns (Worker storage worker) {
        worker = _workers[workerIdx];
        if (worker.owner == address(0)) revert UnknownWorker(workerIdx);
    }

    function _ownWorker(uint32 workerIdx) private view returns (Worker storage worker) {
        worker = _worker(workerIdx);
        _checkSender(worker.owner);
    }

    function _pool(uint32 poolId) private view returns (Pool storage pool) {
        pool = _pools[poolId];
        if (pool.signer == address(0)) revert UnknownPool(poolId);
    }

    function _livePool(uint32 poolId) private view returns (Pool storage pool) {
        pool = _pool(poolId);
        if (pool.exitAt != 0) revert PoolExiting(poolId, pool.exitAt);
    }

    function _ownLivePool(uint32 poolId) private view returns (Pool storage pool) {
        pool = _livePool(poolId);
        _checkSender(pool.operator);
    }

    function _deal(bytes32 dealId) private view returns (Deal storage deal) {
        deal = _deals[dealId];
        if (deal.requester == address(0)) revert UnknownDeal(dealId);
    }
}
