// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Domain} from "./Domain.sol";
import {ISettlement} from "./ISettlement.sol";
import {Merkle} from "./Merkle.sol";
import {Messages} from "./Messages.sol";
import {
    Anchor,
    BindWorker,
    ClaimItem,
    CommitSet,
    Deal,
    DealAccount,
    DealTerms,
    Header,
    Opening,
    Pool,
    Reveal,
    Royalties,
    Seat,
    Worker,
    WorkerAccount,
    WorkerOp
} from "./Types.sol";

/// @title The settlement contract. ISettlement.sol is its specification, README.md its money map.
/// @dev Money moves in five purses per pool (locked, owed, bond, staked, unapplied) and one free
/// balance per account. Every function changes state, emits, and touches the token last; only
/// deposits must credit after the transfer, since they measure it, and they hold the guard.
/// Narrowing casts and unchecked sums are of numbers that a check or a minimum just above has bounded.
contract Settlement is ISettlement, Domain, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using Math for uint256;

    // -----------------------------------------------------------------------------------------
    // Limits: every number with its reason
    // -----------------------------------------------------------------------------------------

    /// @notice The Court takes questions until 36 hours before a window's end (F7), and there must be
    /// time to ask: twelve hours. It is also twice a chain's force-inclusion delay (24 hours on the
    /// slowest rollups), within which whoever orders transactions could hold back every challenge.
    uint64 private constant WINDOW_MIN = 48 hours;
    /// @notice A longer one would outlive the evidence: blobs are kept 18 days, and a challenge
    /// needs days to be answered.
    uint64 private constant WINDOW_MAX = 10 days;
    /// @notice Longest time a task may take. A worker who asks to leave can be in one that long.
    uint64 private constant MAX_TASK_TIME = 1 days;
    /// @notice Time for a pool to commit a task that has ended, for the exit timer. A slash that is
    /// committed later finds the stake gone and comes out of the pool's bond.
    uint64 private constant COMMIT_SLACK = 1 days;
    /// @notice After a deal's deadline a pool has this long to commit what it settled: the longest
    /// task, the commit slack and five days for a congested chain or an operator away for a weekend.
    uint64 private constant GRACE = 7 days;
    /// @notice On top of GRACE, before tasks that were never settled are refunded: Escape can end the
    /// pool for them from GRACE on, and who worked on them has two days to have it do so. Without
    /// these the refund could always come first, and leave nothing to pay workers from.
    uint64 private constant REFUND_SLACK = 2 days;
    /// @notice On top of the window, before a bond may leave: the last batch's challenge may come
    /// on its last day and must still find the bond.
    uint64 private constant BOND_SLACK = 7 days;
    /// @notice What is unsettled in a dead pool stays a window, until all that was pending can be
    /// final, and this long for workers to settle by Escape: a pool's own time to commit (GRACE) is
    /// theirs now.
    uint64 private constant ESCAPE_TIME = 7 days;
    /// @notice Tasks of one deal, and of one batch: a depth-16 tree. A bigger bag is several deals.
    uint32 private constant MAX_TASKS = 65_536;
    /// @notice Workers in all and deals per pool: each has half of the depth-20 state tree.
    /// Position 0 stays empty, so workers are numbered from 1.
    uint32 private constant TREE_HALF = 2 ** 19;
    /// @notice Batches remembered per pool. At one batch in ten minutes: 3.5 days pending and
    /// 3.5 days final. Slots are paid for once and then reused.
    uint64 private constant RING = 1024;
    /// @notice Of those, batches that may be pending. The other half are the newest final ones: no
    /// batch that was ever committed, dropped ones included, can have taken their slots.
    uint64 private constant MAX_PENDING = RING / 2;
    /// @notice What batches may move is packed into 96 bits, and the bond bounds it: 7.9e10 whole
    /// tokens of 18 decimals.
    uint128 private constant BOND_MAX = type(uint96).max;
    /// @notice Whose free balance the burnt half of a convicted pool's bond is. Nobody has its key, so
    /// nobody withdraws or spends it, and no token is asked to take it.
    address private constant BURNT = 0x000000000000000000000000000000000000dEaD;
    /// @notice What a pool has locked is packed into 112 bits. Nobody has 2^112 units of a real token.
    uint256 private constant COST_MAX = type(uint112).max;

    uint8 private constant LIVE = 0;
    uint8 private constant ABANDONED = 1;
    uint8 private constant CONVICTED = 2;

    // -----------------------------------------------------------------------------------------
    // State
    // -----------------------------------------------------------------------------------------

    IERC20 private immutable _token;
    /// @inheritdoc ISettlement
    uint64 public immutable window;
    /// @inheritdoc ISettlement
    address public immutable market;
    /// @inheritdoc ISettlement
    address public immutable court;
    /// @inheritdoc ISettlement
    address public immutable escape;

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
    mapping(uint32 poolId => bytes32[RING]) private _batches;
    mapping(bytes32 dealId => Deal) private _deals;
    mapping(bytes32 dealId => Royalties) private _royalties;
    mapping(address owner => uint64) private _nonces;

    /// @param token_ The only token this contract will ever hold. It must not take fees on transfer
    /// and must not change balances by itself; a fee is detected and refused, a rebase cannot be.
    /// @param window_ Challenge window in seconds, WINDOW_MIN to WINDOW_MAX.
    /// @param market_,court_,escape_ The three that may do what nobody else may. They are created
    /// around this contract, each with the other's address computed before, so what is there is not
    /// looked at.
    constructor(IERC20 token_, uint64 window_, address market_, address court_, address escape_)
        Domain(address(this))
    {
        if (address(token_) == address(0)) revert ZeroKey("token");
        if (market_ == address(0)) revert ZeroKey("market");
        if (court_ == address(0)) revert ZeroKey("court");
        if (escape_ == address(0)) revert ZeroKey("escape");
        if (window_ < WINDOW_MIN || window_ > WINDOW_MAX) {
            revert WindowOutOfRange(WINDOW_MIN, WINDOW_MAX, window_);
        }
        _token = token_;
        window = window_;
        market = market_;
        court = court_;
        escape = escape_;
    }

    // -----------------------------------------------------------------------------------------
    // Escrow
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function deposit(uint128 amount) external nonReentrant {
        _pull(msg.sender, msg.sender, amount);
    }

    /// @inheritdoc ISettlement
    function depositFor(address account, uint128 amount) external nonReentrant {
        if (account == address(0)) revert ZeroKey("account");
        _pull(msg.sender, account, amount);
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
        _pull(owner, owner, amount);
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
        bytes32 binding = Messages.hash(BindWorker(msg.sender, nodeKey, voteKey, deadline));
        return _register(msg.sender, nodeKey, voteKey, deadline, binding, r, vs);
    }

    /// @inheritdoc ISettlement
    function registerWorkerFor(
        address owner,
        bytes32 nodeKey,
        address voteKey,
        uint64 deadline,
        bytes32 r,
        bytes32 vs,
        bytes calldata ownerSig
    ) external returns (uint32 workerIdx) {
        bytes32 binding = Messages.hash(BindWorker(owner, nodeKey, voteKey, deadline));
        _checkSigned(owner, binding, ownerSig);
        return _register(owner, nodeKey, voteKey, deadline, binding, r, vs);
    }

    /// @inheritdoc ISettlement
    function stake(uint32 poolId, uint32 workerIdx, uint128 amount) external {
        Worker storage worker = _ownWorker(workerIdx);
        if (worker.exitAt != 0) revert WorkerExiting(workerIdx, worker.exitAt);
        Pool storage pool = _livePool(poolId);
        _debit(msg.sender, amount);
        _addStake(pool, _seats[poolId][workerIdx], poolId, workerIdx, amount);
    }

    /// @inheritdoc ISettlement
    function requestExit(uint32 workerIdx) external {
        _requestExit(_ownWorker(workerIdx), workerIdx);
    }

    /// @inheritdoc ISettlement
    function cancelExit(uint32 workerIdx) external {
        _cancelExit(_ownWorker(workerIdx), workerIdx);
    }

    /// @inheritdoc ISettlement
    function setRestake(uint32 workerIdx, bool restake) external {
        _setRestake(_ownWorker(workerIdx), workerIdx, restake);
    }

    /// @inheritdoc ISettlement
    function operateWorker(WorkerOp calldata op, bytes calldata ownerSig) external {
        Worker storage worker = _worker(op.workerIdx);
        address owner = worker.owner;
        if (block.timestamp > op.deadline) revert SignatureExpired(op.deadline, block.timestamp);
        uint64 nonce = _nonces[owner];
        if (op.nonce != nonce) revert NonceMismatch(nonce, op.nonce);
        _nonces[owner] = nonce + 1;
        _checkSigned(owner, Messages.hash(op), ownerSig);
        if (op.op == 1) _requestExit(worker, op.workerIdx);
        else if (op.op == 2) _cancelExit(worker, op.workerIdx);
        else if (op.op == 3 || op.op == 4) _setRestake(worker, op.workerIdx, op.op == 3);
        else revert UnknownOp(op.op);
    }

    /// @inheritdoc ISettlement
    function nonceOf(address owner) external view returns (uint64) {
        return _nonces[owner];
    }

    /// @inheritdoc ISettlement
    function unstake(
        uint32 poolId,
        uint32 workerIdx,
        WorkerAccount calldata account,
        bytes32[] calldata proof,
        Anchor calldata anchor,
        Opening calldata next
    ) external {
        Worker storage worker = _ownWorker(workerIdx);
        if (worker.exitAt == 0) revert WorkerNotExiting(workerIdx);
        if (block.timestamp < worker.exitAt) revert TooEarly(worker.exitAt, block.timestamp);
        Pool storage pool = _pool(poolId);
        _checkFinal(pool, poolId, pool.finalized, anchor.stateRoot, anchor.rest);
        bool pending = _checkNoneOverdue(pool, poolId, next);
        _checkProof(anchor.stateRoot, _workerLeaf(msg.sender, account, true), workerIdx, proof);
        Seat storage seat = _seats[poolId][workerIdx];
        _applySlash(pool, seat, poolId, workerIdx, account.cumSlashed);

        // What other batches have slashed stays, whatever is recorded: an honest pool only slashes
        // stake that is there, so this binds only where a dishonest one has promised too much.
        uint128 due = seat.stake;
        if (due == 0) revert NothingDue(0);
        // With no batch pending nothing is reserved, whatever a dropped one has left behind.
        uint256 reserved = uint256(pool.unapplied) + (pending ? pool.pendingSlashed : 0);
        uint128 amount = uint128(Math.min(due, uint256(pool.staked).saturatingSub(reserved)));
        if (amount == 0) revert PoolDrained(poolId, due);
        seat.stake = due - amount;
        pool.staked -= amount;
        _free[msg.sender] += amount;
        emit Unstaked(poolId, workerIdx, amount, due - amount);
    }

    /// @inheritdoc ISettlement
    function workerOf(uint32 workerIdx) external view returns (Worker memory) {
        Worker memory worker = _worker(workerIdx);
        assembly ("memory-safe") {
            return(worker, 0xa0) // as in `poolOf`
        }
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
        pool.exitAt = uint40(block.timestamp + window + BOND_SLACK);
        emit BondExitRequested(poolId, pool.exitAt);
    }

    /// @inheritdoc ISettlement
    function withdrawBond(uint32 poolId) external {
        Pool storage pool = _pool(poolId);
        _checkSender(pool.operator);
        if (pool.state != LIVE) revert PoolDead(poolId, pool.state);
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
        Pool memory pool = _pool(poolId);
        // In memory these are the 19 words that encoding would write once more, each cleaned again.
        assembly ("memory-safe") {
            return(pool, 0x260)
        }
    }

    /// @inheritdoc ISettlement
    function poolKeys(uint32 poolId)
        external
        view
        returns (address signer, address operator, bool open)
    {
        Pool storage pool = _pool(poolId);
        open = pool.state == LIVE && pool.exitAt == 0 && pool.deals < TREE_HALF;
        return (pool.signer, pool.operator, open);
    }

    /// @inheritdoc ISettlement
    function progressOf(uint32 poolId) external view returns (address, uint32, uint32) {
        Pool storage pool = _pool(poolId);
        return (pool.signer, pool.head, pool.finalized);
    }

    // -----------------------------------------------------------------------------------------
    // Deals
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function openDeal(DealTerms calldata terms) external returns (bytes32 dealId, uint32 slot) {
        _checkSender(market);
        Pool storage pool = _livePool(terms.poolId);
        slot = pool.deals;
        if (slot >= TREE_HALF) revert DealsFull(terms.poolId, TREE_HALF);
        pool.deals = slot + 1;
        dealId = Messages.dealId(terms);
        if (_deals[dealId].poolId != 0) revert DealExists(dealId);
        _deals[dealId] = Deal(terms.poolId, slot, false, 0);
        _lock(pool, terms.payer, terms.tasks * _priceOf(terms));
        _emitDealOpened(dealId, terms, slot);
    }

    /// @inheritdoc ISettlement
    function dealOf(bytes32 dealId) external view returns (Deal memory) {
        return _deals[dealId];
    }

    /// @inheritdoc ISettlement
    function royaltiesOf(bytes32 dealId) external view returns (Royalties memory) {
        return _royalties[dealId];
    }

    // -----------------------------------------------------------------------------------------
    // Batches
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function commitBatch(Header calldata header, bytes32 r, bytes32 vs) external {
        uint32 poolId = header.poolId;
        Pool storage pool = _livePool(poolId);
        bytes32 headerHash = Messages.hash(header);
        _checkSigner(pool.signer, Messages.recover(_digest(headerHash), r, vs));
        _reserve(pool, header);

        uint64 committedAt = uint64(block.timestamp);
        bytes32 inbox = pool.inbox;
        _batches[poolId][header.index % RING] =
            _wordOf(header.stateRoot, headerHash, committedAt, inbox);
        _emitCommitted(header, headerHash, committedAt, inbox);
    }

    /// @inheritdoc ISettlement
    function finalize(Header calldata header, uint64 committedAt, bytes32 inbox) external {
        uint32 poolId = header.poolId;
        Pool storage pool = _pools[poolId];
        (uint32 next, uint32 head) = (pool.finalized + 1, pool.head);
        if (next > head) revert NothingPending(poolId);
        if (header.index != next) revert IndexMismatch(next, header.index);
        bytes32 headerHash = _checkHeader(header, committedAt, inbox);
        uint256 readyAt = uint256(committedAt) + window;
        if (block.timestamp < readyAt) revert TooEarly(readyAt, block.timestamp);
        _release(pool, header, next, next == head);
        emit Finalized(poolId, next, headerHash, header.stateRoot);
    }

    /// @inheritdoc ISettlement
    function collectFees(Header calldata header, uint64 committedAt, bytes32 inbox)
        external
        returns (uint128 paid)
    {
        uint32 poolId = header.poolId;
        Pool storage pool = _pool(poolId);
        _checkRemembered(pool, poolId, header.index);
        _checkHeader(header, committedAt, inbox);
        uint128 collected = pool.collected;
        if (header.cumFees <= collected) revert NothingDue(collected);
        unchecked {
            uint128 due = header.cumFees - collected;
            paid = uint128(Math.min(due, pool.owed));
            if (paid == 0) revert PoolDrained(poolId, due);
            collected += paid;
            pool.collected = collected;
            pool.owed -= uint112(paid);
        }
        _free[pool.operator] += paid;
        emit FeesCollected(poolId, pool.operator, paid, collected);
    }

    /// @inheritdoc ISettlement
    function batchOf(uint32 poolId, uint64 index) external view returns (bytes32) {
        Pool storage pool = _pool(poolId);
        uint256 newest =
            pool.state == LIVE ? uint256(pool.head) : uint256(pool.finalized) + MAX_PENDING;
        if (index > newest || index < _oldest(pool.finalized)) revert UnknownBatch(poolId, index);
        return _batches[poolId][index % RING];
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
        uint64 index,
        Anchor calldata anchor
    ) external nonReentrant returns (uint128 paid) {
        Pool storage pool = _pools[poolId];
        _checkFinal(pool, poolId, index, anchor.stateRoot, anchor.rest);
        (uint128 due, bool slashed) = (0, false);
        (paid, due, slashed) = _claim(pool, poolId, workerIdx, account, proof, anchor.stateRoot);
        if (paid != 0 || slashed) return paid;
        if (due == 0) revert NothingDue(_seats[poolId][workerIdx].claimed);
        revert PoolDrained(poolId, due);
    }

    /// @inheritdoc ISettlement
    function claimMany(
        uint32 poolId,
        uint64 index,
        Anchor calldata anchor,
        ClaimItem[] calldata items
    ) external nonReentrant returns (uint128 paid) {
        Pool storage pool = _pools[poolId];
        _checkFinal(pool, poolId, index, anchor.stateRoot, anchor.rest);
        for (uint256 i = 0; i < items.length; i++) {
            ClaimItem calldata item = items[i];
            (uint128 one,,) =
                _claim(pool, poolId, item.workerIdx, item.account, item.proof, anchor.stateRoot);
            paid += one;
        }
    }

    /// @inheritdoc ISettlement
    function claimRoyalties(
        DealTerms calldata terms,
        DealAccount calldata account,
        bytes32[] calldata proof,
        uint64 index,
        Anchor calldata anchor
    ) external returns (uint128 paid) {
        (bytes32 dealId, Deal storage deal, Pool storage pool) = _dealOf(terms);
        _checkFinal(pool, terms.poolId, index, anchor.stateRoot, anchor.rest);
        _checkDeal(anchor.stateRoot, dealId, deal.slot, account, proof);
        uint256 price = _priceOf(terms);
        uint256 done = price == 0 ? 0 : account.spent / price;
        Royalties storage had = _royalties[dealId];
        uint256 dueApp = (done * terms.appPrice).saturatingSub(had.app);
        uint256 dueDataset = (done * terms.datasetPrice).saturatingSub(had.dataset);
        if (dueApp + dueDataset == 0) revert NothingDue(had.app + had.dataset);
        uint128 owed = pool.owed;
        uint128 toApp = uint128(Math.min(dueApp, owed));
        uint128 toDataset = uint128(Math.min(dueDataset, owed - toApp));
        paid = toApp + toDataset;
        if (paid == 0) revert PoolDrained(terms.poolId, uint128(dueApp + dueDataset));
        pool.owed = uint112(owed - paid);
        (had.app, had.dataset) = (had.app + toApp, had.dataset + toDataset);
        if (toApp != 0) _free[terms.appOwner] += toApp;
        if (toDataset != 0) _free[terms.datasetOwner] += toDataset;
        emit RoyaltiesPaid(dealId, toApp, toDataset);
    }

    /// @inheritdoc ISettlement
    function refundUnsettled(
        DealTerms calldata terms,
        DealAccount calldata account,
        bytes32[] calldata proof,
        uint64 index,
        Opening calldata batch
    ) external returns (uint128 amount) {
        (bytes32 dealId, Deal storage deal, Pool storage pool) = _dealOf(terms);
        uint128 returned = deal.returned;
        if (deal.closed) revert NothingDue(returned);
        _checkFinal(pool, terms.poolId, index, batch.stateRoot, _restOf(batch));
        _checkDeal(batch.stateRoot, dealId, deal.slot, account, proof);
        bool last = _isLast(pool, terms.deadline, index, batch.committedAt);
        uint256 total = account.refunded;
        if (last) {
            total += uint256(terms.tasks).saturatingSub(account.settledCount) * _priceOf(terms);
        }
        if (total <= returned) revert NothingDue(returned);
        uint256 due = total - returned;
        amount = uint128(Math.min(due, pool.locked - pool.pendingDraw));
        if (amount == 0) {
            revert PoolDrained(terms.poolId, uint128(Math.min(due, type(uint128).max)));
        }
        bool closed = last && amount == due;
        (deal.returned, deal.closed) = (returned + amount, closed);
        pool.locked -= uint112(amount);
        _free[terms.payer] += amount;
        emit Refunded(dealId, terms.payer, amount, returned + amount, closed);
    }

    // -----------------------------------------------------------------------------------------
    // The inbox
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function forceVote(
        uint32 poolId,
        Reveal calldata vote,
        uint32 frameIndex,
        uint32 frameCount,
        bytes32[] calldata path,
        bytes32 r,
        bytes32 vs
    ) external {
        uint256 raw;
        assembly ("memory-safe") {
            raw := calldataload(vote) // whole: `hash` refuses stray bits once more
        }
        if (raw != poolId) revert PoolMismatch(poolId, vote.poolId);
        _post(poolId, 1, Messages.hash(vote), frameIndex, frameCount, path, r, vs);
    }

    /// @inheritdoc ISettlement
    function demandSet(uint32 poolId, bytes32 taskId, uint16 attempt, uint32 workerIdx) external {
        _force(poolId, 2, keccak256(abi.encode(taskId, attempt, workerIdx)));
    }

    /// @inheritdoc ISettlement
    function answerSet(
        uint32 poolId,
        CommitSet calldata set,
        uint32 frameIndex,
        uint32 frameCount,
        bytes32[] calldata path,
        bytes32 r,
        bytes32 vs
    ) external {
        if (set.poolId != poolId) revert PoolMismatch(poolId, set.poolId);
        _post(poolId, 3, Messages.hash(set), frameIndex, frameCount, path, r, vs);
    }

    // -----------------------------------------------------------------------------------------
    // For the Court and for Escape
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function convict(uint32 poolId, uint32 index) external returns (uint128 share) {
        _checkSender(court);
        Pool storage pool = _pool(poolId);
        uint32 finalized = pool.finalized;
        if (index <= finalized) revert AlreadyFinal(poolId, index, finalized);
        if (pool.head >= index) pool.head = index - 1;
        if (pool.head == finalized) (pool.pendingValue, pool.pendingDraw) = (0, 0);
        emit Dropped(poolId, index);
        if (pool.state == CONVICTED) return 0;
        _end(pool, CONVICTED);

        uint128 bond = pool.bond;
        share = bond / 4;
        // At most 2^32 pools bring less than 2^96 each, so nothing wraps; and no gift to either account
        // may stop a conviction.
        unchecked {
            uint128 burnt = bond / 2;
            bond -= burnt + share;
            pool.bond = bond;
            _free[court] += share;
            _free[BURNT] += burnt;
            emit Convicted(poolId, burnt, share, bond);
        }
    }

    /// @inheritdoc ISettlement
    function reward(address to, uint128 amount) external {
        _checkSender(court);
        _debit(court, amount);
        _free[to] += amount;
        emit Rewarded(to, amount);
    }

    /// @inheritdoc ISettlement
    function abandon(uint32 poolId) external {
        _checkSender(escape);
        Pool storage pool = _pool(poolId);
        if (pool.state != LIVE) revert PoolDead(poolId, pool.state);
        _end(pool, ABANDONED);
        emit Abandoned(poolId);
    }

    /// @inheritdoc ISettlement
    function payForced(
        DealTerms calldata terms,
        uint128 cost,
        address[] calldata to,
        uint128[] calldata amounts
    ) external {
        _checkSender(escape);
        (bytes32 dealId, Deal storage deal, Pool storage pool) = _dealOf(terms);
        if (deal.closed) revert DealClosed(dealId);
        if (to.length != amounts.length) revert SumMismatch(to.length, amounts.length);
        uint256 sum;
        for (uint256 i = 0; i < to.length; i++) {
            sum += amounts[i];
            _free[to[i]] += amounts[i];
        }
        if (sum != cost) revert SumMismatch(cost, sum);
        uint128 available = pool.locked - pool.pendingDraw;
        if (cost > available) revert LockedTooLow(available, cost);
        pool.locked -= uint112(cost);
        deal.returned += cost;
        emit ForcedPaid(dealId, cost);
    }

    /// @inheritdoc ISettlement
    function payFromBond(uint32 poolId, address to, uint128 amount)
        external
        returns (uint128 paid)
    {
        _checkSender(escape);
        Pool storage pool = _pool(poolId);
        paid = uint128(Math.min(amount, pool.bond));
        pool.bond -= paid;
        _free[to] += paid;
        emit BondPaid(poolId, to, paid);
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
        return _domainSeparator();
    }

    // -----------------------------------------------------------------------------------------
    // Money
    // -----------------------------------------------------------------------------------------

    /// @dev Takes tokens in and credits what came, which must be what was asked for.
    function _pull(address from, address to, uint128 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint256 before = _token.balanceOf(address(this));
        _token.safeTransferFrom(from, address(this), amount);
        uint256 received = _token.balanceOf(address(this)) - before;
        if (received != amount) revert TransferMismatch(amount, received);
        _free[to] += amount;
        emit Deposited(to, amount);
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
        unchecked {
            _free[account] = free - amount;
        }
    }

    function _addBond(Pool storage pool, uint32 poolId, uint128 amount) private {
        _debit(msg.sender, amount);
        uint256 bond = uint256(pool.bond) + amount;
        if (bond > BOND_MAX) revert BondTooLarge(BOND_MAX, bond);
        pool.bond = uint128(bond);
        emit BondAdded(poolId, amount, uint128(bond));
    }

    /// @dev A deal of price zero locks nothing and is allowed: work can be given away.
    function _lock(Pool storage pool, address payer, uint256 cost) private {
        if (cost == 0) return;
        if (cost > COST_MAX) revert DealTooLarge(COST_MAX, cost);
        uint128 free = _free[payer];
        if (cost > free) revert FreeTooLow(payer, free, cost);
        unchecked {
            _free[payer] = free - uint128(cost);
        }
        pool.locked += uint112(cost);
    }

    /// @dev What one task of a deal locks. Its parts are 128 bits, so nothing wraps.
    function _priceOf(DealTerms calldata terms) private pure returns (uint256) {
        return uint256(terms.unitPrice) + terms.appPrice + terms.datasetPrice;
    }

    /// @dev Makes a batch the head of its pool and reserves what it will move, so that no later call
    /// can make finalizing fail: bond for its value, locked money for its draw, stake for its slashes.
    function _reserve(Pool storage pool, Header calldata header) private {
        (uint32 head, uint32 finalized) = (pool.head + 1, pool.finalized);
        if (header.index != head) revert IndexMismatch(head, header.index);
        if (head - finalized > MAX_PENDING) revert RingFull(MAX_PENDING);
        uint32 count = header.count;
        if (count == 0 || count > MAX_TASKS) revert OutOfRange("count", 1, MAX_TASKS, count);
        if (header.cumFees < header.fees) {
            revert OutOfRange("cumFees", header.fees, type(uint128).max, header.cumFees);
        }

        (uint128 slashed, uint96 value, uint96 draw) =
            (header.slashed, pool.pendingValue, pool.pendingDraw);
        uint256 out = _outOf(header);
        uint256 room = (uint256(pool.bond) * 2 / 3).saturatingSub(value);
        if (out + slashed > room) revert BondTooLow(room, out + slashed);
        uint256 drawn = out.saturatingSub(slashed);
        uint256 available = pool.locked - draw;
        if (drawn > available) revert LockedTooLow(available, drawn);
        // Both are at most the bond, and so at most BOND_MAX.
        pool.head = head;
        pool.pendingValue = value + uint96(out + slashed);
        pool.pendingDraw = draw + uint96(drawn);

        if (slashed == 0) return;
        uint256 taken = uint256(pool.unapplied) + pool.pendingSlashed;
        available = uint256(pool.staked).saturatingSub(taken);
        if (slashed > available) revert StakeTooLow(available, slashed);
        pool.pendingSlashed += slashed;
    }

    /// @dev Undoes the reservation and moves the money: slashes back the rewards, so they enter
    /// `locked`, and the stake records they will be taken from are `unapplied` until somebody proves
    /// them one by one. With nothing pending nothing is reserved, which also clears what batches
    /// that the Court has dropped left behind.
    function _release(Pool storage pool, Header calldata header, uint32 index, bool last) private {
        (uint256 out, uint128 slashed) = (_outOf(header), header.slashed);
        pool.finalized = index;
        if (last) {
            (pool.pendingValue, pool.pendingDraw) = (0, 0);
        } else {
            pool.pendingValue -= uint96(out + slashed);
            pool.pendingDraw -= uint96(out.saturatingSub(slashed));
        }
        // The bond has bounded both. What a pool locks and what it owes are real money, and there is
        // not 2^112 of it: neither addition can stop a batch from becoming final.
        pool.locked = pool.locked + uint112(slashed) - uint112(out);
        pool.owed += uint112(out);
        if (slashed == 0) return;
        pool.pendingSlashed = last ? 0 : pool.pendingSlashed - slashed;
        pool.unapplied += slashed;
    }

    /// @dev What a batch moves out of `locked` in all.
    function _outOf(Header calldata header) private pure returns (uint256) {
        return uint256(header.payout) + header.fees + header.royalties;
    }

    /// @dev One worker's claim: slashes first, then what is due, as far as the pool owes it.
    function _claim(
        Pool storage pool,
        uint32 poolId,
        uint32 workerIdx,
        WorkerAccount calldata account,
        bytes32[] calldata proof,
        bytes32 stateRoot
    ) private returns (uint128 paid, uint128 due, bool slashed) {
        Worker storage worker = _worker(workerIdx);
        address owner = worker.owner;
        bool staying = worker.restake && worker.exitAt == 0;
        _checkProof(stateRoot, _workerLeaf(owner, account, false), workerIdx, proof);
        Seat storage seat = _seats[poolId][workerIdx];
        slashed = _applySlash(pool, seat, poolId, workerIdx, account.cumSlashed);
        (uint128 earned, uint128 claimed) = (account.cumEarned, seat.claimed);
        if (earned <= claimed) return (0, 0, slashed);
        unchecked {
            due = earned - claimed;
            uint112 owed = pool.owed;
            paid = due < owed ? due : owed;
            if (paid == 0) return (0, due, slashed);
            claimed += paid;
            seat.claimed = claimed;
            pool.owed = owed - uint112(paid);
        }
        emit Claimed(poolId, workerIdx, owner, paid, claimed);
        if (staying && pool.exitAt == 0 && pool.state == LIVE) {
            _addStake(pool, seat, poolId, workerIdx, paid);
        } else {
            _pay(owner, paid); // last: a re-entrant call already sees it paid
        }
    }

    function _addStake(
        Pool storage pool,
        Seat storage seat,
        uint32 poolId,
        uint32 workerIdx,
        uint128 amount
    ) private {
        uint128 total = seat.stake + amount;
        seat.stake = total;
        pool.staked += amount;
        emit Staked(poolId, workerIdx, amount, total);
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
        if (cumSlashed == 0) return false; // most workers: their seat's first word is not even read
        uint128 before = seat.slashed;
        if (cumSlashed <= before) return false;
        uint128 fromStake;
        uint128 fromBond;
        unchecked {
            uint256 due = Math.min(cumSlashed - before, pool.unapplied);
            fromStake = uint128(Math.min(due, seat.stake));
            fromBond = uint128(Math.min(due - fromStake, pool.bond));
            if (fromStake + fromBond == 0) return false;
            seat.stake -= fromStake;
            seat.slashed = before + fromStake + fromBond;
            pool.bond -= fromBond;
            pool.unapplied -= fromStake + fromBond;
        }
        pool.staked -= fromStake;
        emit Slashed(poolId, workerIdx, fromStake, fromBond);
        return true;
    }

    // -----------------------------------------------------------------------------------------
    // Batches and roots
    // -----------------------------------------------------------------------------------------

    function _wordOf(bytes32 stateRoot, bytes32 headerHash, uint64 committedAt, bytes32 inbox)
        private
        pure
        returns (bytes32)
    {
        return Merkle.wordOf(stateRoot, Merkle.restOf(headerHash, committedAt, inbox));
    }

    function _restOf(Opening calldata batch) private pure returns (bytes32) {
        return Merkle.restOf(batch.headerHash, batch.committedAt, batch.inbox);
    }

    /// @dev That the batch is what the ring holds in its place.
    function _checkHeader(Header calldata header, uint64 committedAt, bytes32 inbox)
        private
        view
        returns (bytes32 headerHash)
    {
        headerHash = Messages.hash(header);
        bytes32 word = _wordOf(header.stateRoot, headerHash, committedAt, inbox);
        _checkWord(_batches[header.poolId][header.index % RING], word);
    }

    /// @dev That the state is the one after finalized batch `index`, or the empty one before any.
    function _checkFinal(
        Pool storage pool,
        uint32 poolId,
        uint64 index,
        bytes32 stateRoot,
        bytes32 rest
    ) private view {
        if (index == 0 && pool.finalized == 0) {
            return _checkWord(Merkle.EMPTY_STATE, stateRoot);
        }
        _checkRemembered(pool, poolId, index);
        _checkWord(_batches[poolId][index % RING], Merkle.wordOf(stateRoot, rest));
    }

    function _checkWord(bytes32 expected, bytes32 actual) private pure {
        if (actual != expected) revert BatchMismatch(expected, actual);
    }

    function _checkRemembered(Pool storage pool, uint32 poolId, uint64 index) private view {
        uint64 newest = pool.finalized;
        uint64 oldest = _oldest(newest);
        if (index > newest || index < oldest) revert NotFinal(poolId, index, oldest, newest);
    }

    /// @dev The oldest batch whose slot no other can have taken; 1 while there are few. Counted from
    /// the newest final one, not from the head, which the Court can take back.
    function _oldest(uint64 newest) private pure returns (uint64) {
        unchecked {
            return newest > RING - MAX_PENDING ? newest - (RING - MAX_PENDING) + 1 : 1;
        }
    }

    /// @dev Whether no batch that may still settle tasks of the deal can follow the state after
    /// `index`. A pool must commit what it settled before deadline + GRACE; a dead one commits no
    /// more, and what it left is its workers' to settle for a window and ESCAPE_TIME.
    function _isLast(Pool storage pool, uint64 deadline, uint64 index, uint64 committedAt)
        private
        view
        returns (bool)
    {
        bool newest = index == pool.finalized && index == pool.head;
        if (pool.state != LIVE) {
            return newest && block.timestamp >= pool.deadAt + window + ESCAPE_TIME;
        }
        uint256 end = uint256(deadline) + GRACE + REFUND_SLACK;
        if (block.timestamp < end) return false;
        return newest || (index != 0 && committedAt > end);
    }

    function _checkNoneOverdue(Pool storage pool, uint32 poolId, Opening calldata next)
        private
        view
        returns (bool pending)
    {
        uint64 index = uint64(pool.finalized) + 1;
        if (index > pool.head) return false;
        bytes32 word = Merkle.wordOf(next.stateRoot, _restOf(next));
        _checkWord(_batches[poolId][index % RING], word);
        uint256 readyAt = uint256(next.committedAt) + window;
        if (block.timestamp >= readyAt) revert FinalizeFirst(poolId, index);
        return true;
    }

    function _checkProof(bytes32 root, bytes32 leaf, uint256 position, bytes32[] calldata proof)
        private
        pure
    {
        bytes32 actual = Merkle.rootOfState(leaf, position, proof);
        if (actual != root) revert ProofMismatch(root, actual);
    }

    /// @dev The leaf of an account that is this worker's, by its place and its owner; that its vote key
    /// is the worker's too is for the Court. `emptyToo` lets an account that the pool never touched
    /// pass, as the empty leaf.
    function _workerLeaf(address owner, WorkerAccount calldata account, bool emptyToo)
        private
        pure
        returns (bytes32)
    {
        if (emptyToo && account.owner == address(0)) {
            uint256 any = uint160(account.voteKey) | account.cumEarned | account.cumSlashed
                | account.score | account.lastTaskSeq;
            if (any != 0) revert EmptyAccountNotZero();
            return 0;
        }
        if (account.owner != owner) {
            revert AccountMismatch(_wordOf(owner), _wordOf(account.owner));
        }
        return Merkle.workerLeaf(account);
    }

    /// @dev That the account is this deal's in the state, or, all zero, that it was never touched.
    function _checkDeal(
        bytes32 root,
        bytes32 dealId,
        uint32 slot,
        DealAccount calldata account,
        bytes32[] calldata proof
    ) private pure {
        bytes32 leaf;
        if (account.dealId == 0) {
            uint256 any = uint256(account.settledRoot) | account.settledCount | account.spent
                | account.refunded;
            if (any != 0) revert EmptyAccountNotZero();
        } else {
            if (account.dealId != dealId) revert AccountMismatch(dealId, account.dealId);
            leaf = Merkle.dealLeaf(account);
        }
        _checkProof(root, leaf, uint256(TREE_HALF) + slot, proof);
    }

    function _wordOf(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    // -----------------------------------------------------------------------------------------
    // The inbox, and the end of a pool
    // -----------------------------------------------------------------------------------------

    /// @dev A signed message with its frame: both are bound by the entry.
    function _post(
        uint32 poolId,
        uint256 kind,
        bytes32 structHash,
        uint32 frameIndex,
        uint32 frameCount,
        bytes32[] calldata path,
        bytes32 r,
        bytes32 vs
    ) private {
        _checkFrame(frameIndex, frameCount, path.length);
        _force(poolId, kind, Messages.posted(structHash, frameIndex, frameCount, path, r, vs));
    }

    /// @dev The pool is there if its inbox has entries, which spares most calls a look.
    function _force(uint256 poolId, uint256 kind, bytes32 entryHash) private {
        Pool storage pool = _pools[uint32(poolId)];
        bytes32 before = pool.inbox;
        if (before == 0) _pool(uint32(poolId));
        bytes32 inbox = Merkle.inboxAfter(before, block.timestamp, kind, entryHash);
        pool.inbox = inbox;
        bytes32 topic = Forced.selector;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, kind)
            mstore(add(p, 0x20), entryHash)
            mstore(add(p, 0x40), timestamp())
            mstore(add(p, 0x60), before)
            mstore(add(p, 0x80), inbox)
            mstore(add(p, 0xa0), 0xc0) // where `entry` begins
            let size := sub(calldatasize(), 4)
            mstore(add(p, 0xc0), size)
            // Padded with zeros to whole words, as encoding would: beyond calldata there are none else.
            let padded := and(add(size, 0x1f), not(0x1f))
            calldatacopy(add(p, 0xe0), 4, padded)
            log2(p, add(0xe0, padded), topic, poolId)
        }
    }

    /// @dev One comparison for three rules: with 2 * count - 1 shifted by the path's length, one is left
    /// where the length is ceil(log2(count)) and nowhere else. Which rule it was is for who breaks one.
    function _checkFrame(uint256 index, uint256 count, uint256 length) private pure {
        bool fits;
        assembly ("memory-safe") {
            let bits := shr(length, sub(shl(1, count), 1))
            fits := and(eq(bits, 1), and(lt(index, count), lt(count, 257)))
        }
        if (fits) return;
        Messages.checkFrame(uint32(index), uint32(count));
        revert Merkle.ProofLengthMismatch(Messages.frameDepth(uint32(count)), length);
    }

    function _end(Pool storage pool, uint8 state) private {
        pool.state = state;
        if (pool.deadAt == 0) pool.deadAt = uint40(block.timestamp);
    }

    // The big events (Forced in `_force`) are written from calldata as it lies there, at a third of the code and gas
    // that encoding each field takes. Every field that has fewer bits than its word was read before,
    // which refuses stray bits.

    function _emitDealOpened(bytes32 dealId, DealTerms calldata terms, uint32 slot) private {
        bytes32 topic = DealOpened.selector;
        (uint256 poolId, uint256 requester) = (terms.poolId, uint160(terms.requester));
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, slot)
            calldatacopy(add(p, 0x20), terms, 0x300)
            log4(p, 0x320, topic, dealId, poolId, requester)
        }
    }

    function _emitCommitted(
        Header calldata header,
        bytes32 headerHash,
        uint64 committedAt,
        bytes32 inbox
    ) private {
        bytes32 topic = BatchCommitted.selector;
        (uint256 poolId, uint256 index) = (header.poolId, header.index);
        assembly ("memory-safe") {
            let p := mload(0x40)
            calldatacopy(p, header, 0x180)
            mstore(add(p, 0x180), committedAt)
            mstore(add(p, 0x1a0), inbox)
            log4(p, 0x1c0, topic, poolId, index, headerHash)
        }
    }

    // -----------------------------------------------------------------------------------------
    // Who is who
    // -----------------------------------------------------------------------------------------

    function _register(
        address owner,
        bytes32 nodeKey,
        address voteKey,
        uint64 deadline,
        bytes32 binding,
        bytes32 r,
        bytes32 vs
    ) private returns (uint32 workerIdx) {
        if (nodeKey == 0) revert ZeroKey("nodeKey");
        if (voteKey == address(0)) revert ZeroKey("voteKey");
        if (block.timestamp > deadline) revert SignatureExpired(deadline, block.timestamp);
        if (_byVoteKey[voteKey] != 0) revert VoteKeyBound(voteKey, _byVoteKey[voteKey]);
        if (_byNodeKey[nodeKey] != 0) revert NodeKeyBound(nodeKey, _byNodeKey[nodeKey]);
        _checkSigner(voteKey, Messages.recover(_digest(binding), r, vs));

        workerIdx = ++workers;
        if (workerIdx >= TREE_HALF) revert WorkersFull(TREE_HALF - 1);
        _workers[workerIdx] = Worker(owner, 0, false, voteKey, nodeKey);
        _byVoteKey[voteKey] = workerIdx;
        _byNodeKey[nodeKey] = workerIdx;
        emit WorkerRegistered(workerIdx, owner, nodeKey, voteKey);
    }

    function _requestExit(Worker storage worker, uint32 workerIdx) private {
        if (worker.exitAt != 0) revert WorkerExiting(workerIdx, worker.exitAt);
        uint64 exitAt = uint64(block.timestamp) + window + MAX_TASK_TIME + COMMIT_SLACK;
        worker.exitAt = exitAt;
        emit ExitRequested(workerIdx, exitAt);
    }

    function _cancelExit(Worker storage worker, uint32 workerIdx) private {
        if (worker.exitAt == 0) revert WorkerNotExiting(workerIdx);
        worker.exitAt = 0;
        emit ExitCancelled(workerIdx);
    }

    function _setRestake(Worker storage worker, uint32 workerIdx, bool restake) private {
        worker.restake = restake;
        emit RestakeSet(workerIdx, restake);
    }

    function _checkSigner(address expected, address recovered) private pure {
        if (recovered != expected) revert BadSignature(expected, recovered);
    }

    function _checkSigned(address account, bytes32 structHash, bytes calldata sig) private view {
        (bool signed, address recovered) = _isSigned(account, structHash, sig);
        if (!signed) revert BadSignature(account, recovered);
    }

    /// @dev The guard's word: this contract has no other transient one, and zero is the cheapest to name.
    function _reentrancyGuardStorageSlot() internal pure override returns (bytes32) {
        return 0;
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
        if (pool.state != LIVE) revert PoolDead(poolId, pool.state);
        if (pool.exitAt != 0) revert PoolExiting(poolId, pool.exitAt);
    }

    function _ownLivePool(uint32 poolId) private view returns (Pool storage pool) {
        pool = _livePool(poolId);
        _checkSender(pool.operator);
    }

    /// @dev A deal by its terms: whoever holds them can prove them.
    function _dealOf(DealTerms calldata terms)
        private
        view
        returns (bytes32 dealId, Deal storage deal, Pool storage pool)
    {
        dealId = Messages.dealId(terms);
        deal = _deals[dealId];
        if (deal.poolId == 0) revert UnknownDeal(dealId);
        pool = _pools[terms.poolId];
    }
}
