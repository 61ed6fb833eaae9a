// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {
    Batch,
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

/// @title Settlement: the specification.
/// @notice Holds requesters' money, workers' stakes and pools' bonds in one ERC-20 token, and moves
/// them as batches of settled tasks say, after a window in which a batch can be challenged. There is
/// no owner, no upgrade and no pause. Payouts are pulled: nothing here loops over people.
///
/// What a pool's roots promise is paid out of that pool's money alone. An honest pool's promises
/// are always covered to the last unit; those of a dishonest one are paid first come, first served,
/// until its money is gone, and never out of another pool's.
///
/// The money equation, true after every call:
/// balance = Σ free + Σ stake + Σ bond + Σ locked + Σ owed − Σ unapplied
///
/// @dev Challenges (fraud proofs) are not in this version; slots keep what they will need.
interface ISettlement {
    // -----------------------------------------------------------------------------------------
    // Events
    // -----------------------------------------------------------------------------------------

    /// @notice `amount` came in from `account` and was added to its free balance.
    event Deposited(address indexed account, uint128 amount);
    /// @notice `amount` of `account`'s free balance went out to it.
    event Withdrawn(address indexed account, uint128 amount);

    /// @notice A worker exists. `workerIdx` is its place in every pool's state tree.
    event WorkerRegistered(
        uint32 indexed workerIdx, address indexed owner, bytes32 nodeKey, address voteKey
    );
    /// @notice The owner put `amount` at a pool's risk, which makes `stake` in all.
    event Staked(uint32 indexed poolId, uint32 indexed workerIdx, uint128 amount, uint128 stake);
    /// @notice No pool may give this worker work any more; its stakes may leave at `exitAt`.
    event ExitRequested(uint32 indexed workerIdx, uint64 exitAt);
    /// @notice The worker stays.
    event ExitCancelled(uint32 indexed workerIdx);
    /// @notice `amount` of stake went to the owner's free balance; `stake` is left, not zero only
    /// where a dishonest pool has promised it away.
    event Unstaked(uint32 indexed poolId, uint32 indexed workerIdx, uint128 amount, uint128 stake);
    /// @notice A finalized slash was taken: `fromStake` from the worker's stake and, where that had
    /// already left, `fromBond` from the pool that slashed too late.
    event Slashed(
        uint32 indexed poolId, uint32 indexed workerIdx, uint128 fromStake, uint128 fromBond
    );

    /// @notice A pool exists.
    event PoolRegistered(
        uint32 indexed poolId, address indexed operator, address signer, bytes32 nodeKey
    );
    /// @notice The operator added `amount` to the bond, which is now `bond`.
    event BondAdded(uint32 indexed poolId, uint128 amount, uint128 bond);
    /// @notice The pool takes no deals and commits no batches any more; its bond may leave at
    /// `exitAt`.
    event BondExitRequested(uint32 indexed poolId, uint64 exitAt);
    /// @notice The bond went to the operator's free balance.
    event BondWithdrawn(uint32 indexed poolId, uint128 amount);

    /// @notice A requester's and a pool's order were matched and the money locked.
    event DealOpened(
        bytes32 indexed dealId, uint32 indexed poolId, address indexed requester, DealTerms terms
    );
    /// @notice No further deal can be made of this order.
    event OrderCancelled(bytes32 indexed orderHash, address by);

    /// @notice A batch is pending. The whole header is here so that anyone can finalize it.
    event BatchCommitted(
        uint32 indexed poolId, uint64 indexed index, bytes32 indexed headerHash, Header header
    );
    /// @notice A batch is final: its root can be claimed against.
    event Finalized(
        uint32 indexed poolId, uint64 indexed index, bytes32 headerHash, bytes32 stateRoot
    );
    /// @notice `paid` went to the worker's owner, who has now had `claimed` from this pool.
    event Claimed(
        uint32 indexed poolId,
        uint32 indexed workerIdx,
        address indexed owner,
        uint128 paid,
        uint128 claimed
    );
    /// @notice The token refused to pay `account`; `amount` is in its free balance instead.
    event PayoutKept(address indexed account, uint128 amount);
    /// @notice `amount` went back to the requester's free balance, `returned` in all. After
    /// `closed` nothing more comes back.
    event Refunded(
        bytes32 indexed dealId,
        address indexed requester,
        uint128 amount,
        uint128 returned,
        bool closed
    );

    // -----------------------------------------------------------------------------------------
    // Errors: each carries what would have been right, where there is such a thing
    // -----------------------------------------------------------------------------------------

    /// @notice The window must lie in the stated bounds (construction).
    error WindowOutOfRange(uint64 min, uint64 max, uint64 actual);
    /// @notice An amount must not be zero.
    error ZeroAmount();
    /// @notice A key or address must not be zero; `field` names it.
    error ZeroKey(string field);
    /// @notice The account's free balance does not cover the amount: deposit first.
    error FreeTooLow(address account, uint256 free, uint256 needed);
    /// @notice The token delivered another amount than it was asked to; such tokens are refused.
    error TransferMismatch(uint256 expected, uint256 received);

    /// @notice No such worker is registered.
    error UnknownWorker(uint32 workerIdx);
    /// @notice No such pool is registered.
    error UnknownPool(uint32 poolId);
    /// @notice No such deal was opened.
    error UnknownDeal(bytes32 dealId);
    /// @notice Only `expected` may do this.
    error NotAllowed(address expected, address actual);
    /// @notice `expected` did not make this signature; `recovered` did, or nobody (zero).
    error BadSignature(address expected, address recovered);
    /// @notice The signature was good until `deadline`.
    error SignatureExpired(uint64 deadline, uint256 timestamp);

    /// @notice The vote key already belongs to a worker: bind a fresh one.
    error VoteKeyBound(address voteKey, uint32 workerIdx);
    /// @notice The node key already belongs to a worker: bind a fresh one.
    error NodeKeyBound(bytes32 nodeKey, uint32 workerIdx);
    /// @notice The state tree has no more places for workers.
    error WorkersFull(uint32 max);
    /// @notice The worker has asked to leave: cancel the exit first.
    error WorkerExiting(uint32 workerIdx, uint64 exitAt);
    /// @notice The worker has not asked to leave: request the exit first.
    error WorkerNotExiting(uint32 workerIdx);
    /// @notice The timer still runs.
    error TooEarly(uint256 readyAt, uint256 timestamp);
    /// @notice A batch is past its window: finalize it first, so that its slashes count.
    error FinalizeFirst(uint32 poolId, uint64 index);

    /// @notice The pool has asked to leave.
    error PoolExiting(uint32 poolId, uint64 exitAt);
    /// @notice The pool has not asked to leave: request the exit first.
    error PoolNotExiting(uint32 poolId);
    /// @notice A bond may not exceed `max`, which no token's supply is near.
    error BondTooLarge(uint256 max, uint256 actual);
    /// @notice The bond stays while batches are pending, requesters' money is locked or finalized
    /// slashes are not applied (`claim` applies them).
    error PoolBusy(uint64 pendingBatches, uint128 locked, uint128 unapplied);

    /// @notice The order was good until `expiry`.
    error OrderExpired(bytes32 orderHash, uint64 expiry, uint256 timestamp);
    /// @notice The order has `left` tasks left, zero if cancelled.
    error OrderFilled(bytes32 orderHash, uint256 left, uint32 needed);
    /// @notice The request order names another pool.
    error PoolMismatch(uint32 expected, uint32 actual);
    /// @notice The pool asks more than the requester will pay.
    error PriceTooHigh(uint128 max, uint128 actual);
    /// @notice The requester asks for more trust than the pool offers.
    error TrustTooHigh(uint32 max, uint32 actual);
    /// @notice The field `field` must lie in the stated bounds.
    error OutOfRange(string field, uint256 min, uint256 max, uint256 actual);
    /// @notice The pool's part of the state tree has no more places for deals.
    error DealsFull(uint32 poolId, uint32 max);

    /// @notice Batches are committed one by one.
    error IndexMismatch(uint64 expected, uint64 actual);
    /// @notice A batch names the one before it.
    error ParentMismatch(bytes32 expected, bytes32 actual);
    /// @notice The batch must take in the pool's inbox of forced votes (empty in this version).
    error RingRootMismatch(bytes32 expected, bytes32 actual);
    /// @notice Too many batches wait for their window: finalize some.
    error RingFull(uint64 max);
    /// @notice The bond allows `room` more of payout + fees + slashed: add bond or finalize.
    error BondTooLow(uint256 room, uint256 needed);
    /// @notice The pool holds `available` of requesters' money that no batch has spent.
    error LockedTooLow(uint256 available, uint256 needed);
    /// @notice The pool holds `available` of stake that no batch has slashed.
    error StakeTooLow(uint256 available, uint256 needed);
    /// @notice No batch is pending.
    error NothingPending(uint32 poolId);
    /// @notice The header is not the one committed.
    error HeaderMismatch(bytes32 expected, bytes32 actual);

    /// @notice Batch `index` is not a final one that is still remembered; those are
    /// `oldest` to `newest`. Index 0, the empty state, counts only while `newest` is 0.
    error NotFinal(uint32 poolId, uint64 index, uint64 oldest, uint64 newest);
    /// @notice Batch `index` is not one that is still remembered.
    error UnknownBatch(uint32 poolId, uint64 index);
    /// @notice The proof leads to another root than the finalized one.
    error ProofMismatch(bytes32 expected, bytes32 actual);
    /// @notice The account proven belongs to somebody else.
    error AccountMismatch(bytes32 expected, bytes32 actual);
    /// @notice An account that was never touched has every field zero.
    error EmptyAccountNotZero();
    /// @notice Everything proven was paid before: `total` so far.
    error NothingDue(uint128 total);
    /// @notice The pool's money for this is gone; only a dishonest pool gets here.
    error PoolDrained(uint32 poolId, uint128 due);

    // -----------------------------------------------------------------------------------------
    // Escrow
    // -----------------------------------------------------------------------------------------

    /// @notice Moves `amount` tokens of the caller into its free balance. Needs an allowance.
    /// @dev Refuses tokens that take a fee: TransferMismatch.
    function deposit(uint128 amount) external;

    /// @notice As `deposit`, for `owner`, with its ERC-2612 permit. Anyone may relay it; the money
    /// can only ever reach `owner`'s own free balance.
    /// @dev A permit that fails is ignored, since somebody may have put it through first; what then
    /// counts is the allowance, and the token refuses if there is none.
    function depositWithPermit(
        address owner,
        uint128 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Sends `amount` of the caller's free balance to the caller. Never paused.
    function withdraw(uint128 amount) external;

    /// @notice What `account` can withdraw, lock, stake or bond.
    function freeOf(address account) external view returns (uint128);

    // -----------------------------------------------------------------------------------------
    // Workers
    // -----------------------------------------------------------------------------------------

    /// @notice Registers a worker owned by the caller.
    /// @param nodeKey The worker's ed25519 identity. That it agrees is checked off chain, when it
    /// says hello; a key can be bound once.
    /// @param voteKey The secp256k1 key that will sign its commits and reveals; bound once.
    /// @param deadline Last second at which the signature counts.
    /// @param r,vs EIP-2098 signature of BindWorker{owner: caller, nodeKey, voteKey, deadline} by
    /// `voteKey`, so that nobody can bind a key that is not theirs.
    /// @return workerIdx From 1, one by one.
    function registerWorker(
        bytes32 nodeKey,
        address voteKey,
        uint64 deadline,
        bytes32 r,
        bytes32 vs
    ) external returns (uint32 workerIdx);

    /// @notice Puts `amount` of the caller's free balance at one pool's risk. Only the owner, and
    /// not while the worker or the pool is leaving.
    function stake(uint32 poolId, uint32 workerIdx, uint128 amount) external;

    /// @notice Starts the exit timer: window + MAX_TASK_TIME + COMMIT_SLACK. Only the owner. From
    /// here on no pool may give the worker work, so that what it did before is final by then.
    function requestExit(uint32 workerIdx) external;

    /// @notice Stops the exit timer. Only the owner.
    function cancelExit(uint32 workerIdx) external;

    /// @notice After the exit timer, takes the worker's slashes out of its stake and frees the rest.
    /// Only the owner.
    /// @param account The worker's account in the pool's newest finalized state, or all zero if the
    /// pool never settled a task of it.
    /// @param proof 20 hashes from the leaf at `workerIdx`.
    /// @dev FinalizeFirst while a batch is past its window, so that no slash that could count is
    /// left out.
    function unstake(
        uint32 poolId,
        uint32 workerIdx,
        WorkerAccount calldata account,
        bytes32[] calldata proof
    ) external;

    /// @notice A worker's registration.
    function workerOf(uint32 workerIdx) external view returns (Worker memory);

    /// @notice A worker's stake, slashes and claims in one pool.
    function seatOf(uint32 poolId, uint32 workerIdx) external view returns (Seat memory);

    /// @notice The worker a vote key is bound to, zero for none.
    function workerOfVoteKey(address voteKey) external view returns (uint32);

    /// @notice The worker a node key is bound to, zero for none.
    function workerOfNodeKey(bytes32 nodeKey) external view returns (uint32);

    // -----------------------------------------------------------------------------------------
    // Pools
    // -----------------------------------------------------------------------------------------

    /// @notice Registers a pool operated by the caller.
    /// @param signer The hot key that signs pool orders and headers. It can move no money.
    /// @param nodeKey The scheduler's ed25519 identity, by which workers recognise it.
    /// @param bond From the caller's free balance; caps what may be pending. May be zero.
    /// @return poolId From 1, one by one.
    function registerPool(address signer, bytes32 nodeKey, uint128 bond)
        external
        returns (uint32 poolId);

    /// @notice Adds to the bond from the caller's free balance. Only the operator.
    function addBond(uint32 poolId, uint128 amount) external;

    /// @notice Closes the pool for good: no deals and no commits from here on. Settle every deal
    /// first: what is not committed goes back to requesters. Only the operator.
    function requestBondExit(uint32 poolId) external;

    /// @notice After window + BOND_SLACK, with nothing pending, locked or unapplied, frees the bond.
    /// Only the operator.
    function withdrawBond(uint32 poolId) external;

    /// @notice A pool's keys, progress and money.
    function poolOf(uint32 poolId) external view returns (Pool memory);

    // -----------------------------------------------------------------------------------------
    // Deals
    // -----------------------------------------------------------------------------------------

    /// @notice Matches `n` tasks of two signed orders and locks n * unitPrice of the requester's
    /// free balance. Anyone may call.
    /// @param req The requester's order.
    /// @param reqSig Its EIP-712 signature: 64 bytes (EIP-2098), 65 bytes, or whatever an ERC-1271
    /// account accepts.
    /// @param offer The pool's order.
    /// @param offerSig Its EIP-2098 signature by the pool's signer, 64 bytes.
    /// @param n 1 to 65,536 tasks, at most what either order has left.
    /// @return dealId keccak256(abi.encode(reqHash, poolHash, filledBefore, n)).
    function openDeal(
        ReqOrder calldata req,
        bytes calldata reqSig,
        PoolOrder calldata offer,
        bytes calldata offerSig,
        uint32 n
    ) external returns (bytes32 dealId);

    /// @notice Ends a request order. Only its requester; deals made of it stand.
    function cancelReqOrder(ReqOrder calldata order) external;

    /// @notice Ends a pool order. Only the pool's signer or operator; deals made of it stand.
    function cancelPoolOrder(PoolOrder calldata order) external;

    /// @notice Tasks taken of an order, by its struct hash; 2^32 - 1 if cancelled.
    function filledOf(bytes32 orderHash) external view returns (uint32);

    /// @notice A deal's terms.
    function dealOf(bytes32 dealId) external view returns (Deal memory);

    // -----------------------------------------------------------------------------------------
    // Batches
    // -----------------------------------------------------------------------------------------

    /// @notice Puts a batch up for its window. Anyone may submit what the pool's signer signed.
    /// @param header Next in line, with the hash of the one before it.
    /// @param r,vs EIP-2098 signature of `header` by the pool's signer.
    function commitBatch(Header calldata header, bytes32 r, bytes32 vs) external;

    /// @notice After the window, moves what the oldest pending batch says: slashes into, and payout
    /// and fees out of, the pool's locked money; fees to the operator's free balance. Anyone.
    function finalize(Header calldata header) external;

    /// @notice A remembered batch, pending or final.
    function batchOf(uint32 poolId, uint64 index) external view returns (Batch memory);

    // -----------------------------------------------------------------------------------------
    // Payouts
    // -----------------------------------------------------------------------------------------

    /// @notice Pays a worker's owner everything earned in a pool and not yet paid, and applies the
    /// worker's slashes to its stake there. Anyone may call; only the owner is paid, or, if the
    /// token refuses that, credited.
    /// @param account The worker's account in the state after batch `index`.
    /// @param proof 20 hashes from the leaf at `workerIdx`.
    /// @param index A finalized batch that is still remembered.
    /// @return paid What the owner got; zero if there were only slashes to apply.
    function claim(
        uint32 poolId,
        uint32 workerIdx,
        WorkerAccount calldata account,
        bytes32[] calldata proof,
        uint64 index
    ) external returns (uint128 paid);

    /// @notice Returns to the requester what failed tasks refunded and, once `deadline` + GRACE has
    /// passed, the price of every task that was never settled, which closes the deal. Anyone may
    /// call; the money goes to the requester's free balance.
    /// @param account The deal's account after batch `index`, all zero if it was never touched.
    /// @param proof 20 hashes from the leaf at 2^19 + the deal's slot.
    /// @param index A finalized batch that is still remembered; 0 while there is none. For unsettled
    /// tasks it must be one committed after `deadline` + GRACE, or the newest with none pending:
    /// then no batch that may still settle tasks of this deal is on its way.
    /// @return amount What was returned.
    function refundUnsettled(
        bytes32 dealId,
        DealAccount calldata account,
        bytes32[] calldata proof,
        uint64 index
    ) external returns (uint128 amount);

    // -----------------------------------------------------------------------------------------
    // Parameters
    // -----------------------------------------------------------------------------------------

    /// @notice Workers registered so far; the newest one's number.
    function workers() external view returns (uint32);

    /// @notice Pools registered so far; the newest one's number.
    function pools() external view returns (uint32);

    /// @notice The only token; fixed at construction.
    function token() external view returns (address);

    /// @notice Seconds a batch can be challenged; fixed at construction, 24 hours to 10 days.
    function window() external view returns (uint64);

    /// @notice The EIP-712 domain separator in force; follows the chain id after a fork.
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}
