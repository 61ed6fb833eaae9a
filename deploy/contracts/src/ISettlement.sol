// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {
    Anchor,
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

/// @title Settlement: the specification.
/// @notice Holds payers' money, workers' stakes and pools' bonds in one ERC-20 token, and moves them
/// as batches of settled tasks say, after a window in which a batch can be proven wrong. There is no
/// owner, no upgrade and no pause. Payouts are pulled: nothing here loops over people.
///
/// Three contracts beside it are named at construction and never again: the Market opens deals, the
/// Court drops batches of a pool it has convicted, Escape settles what an absent pool has left.
///
/// What a pool's roots promise is paid out of that pool's money alone. An honest pool's promises
/// are always covered to the last unit; those of a dishonest one that nobody has convicted are paid
/// first come, first served, until its money is gone, and never out of another pool's.
///
/// The money equation, true after every call:
/// balance = Σ free + Σ stake + Σ bond + Σ locked + Σ owed − Σ unapplied
interface ISettlement {
    // -----------------------------------------------------------------------------------------
    // Events
    // -----------------------------------------------------------------------------------------

    /// @notice `amount` came in and was added to `account`'s free balance.
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
    /// @notice Whether the worker's earnings are left as stake.
    event RestakeSet(uint32 indexed workerIdx, bool restake);
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

    /// @notice Orders were matched and the money locked. `terms` are all that the deal is.
    event DealOpened(
        bytes32 indexed dealId,
        uint32 indexed poolId,
        address indexed requester,
        uint32 slot,
        DealTerms terms
    );

    /// @notice A batch is pending. All that its word holds is here, so that anyone can prove it wrong
    /// or finalize it.
    event BatchCommitted(
        uint32 indexed poolId,
        uint64 indexed index,
        bytes32 indexed headerHash,
        Header header,
        uint64 committedAt,
        bytes32 inbox
    );
    /// @notice A batch is final: its root can be claimed against.
    event Finalized(
        uint32 indexed poolId, uint64 indexed index, bytes32 headerHash, bytes32 stateRoot
    );
    /// @notice `paid` went to the pool's operator, who has now had `collected` of its fees.
    event FeesCollected(
        uint32 indexed poolId, address indexed operator, uint128 paid, uint128 collected
    );
    /// @notice `paid` went to the worker's owner, or into its stake, who has now had `claimed` from
    /// this pool.
    event Claimed(
        uint32 indexed poolId,
        uint32 indexed workerIdx,
        address indexed owner,
        uint128 paid,
        uint128 claimed
    );
    /// @notice The owners of a deal's application and dataset were paid for more tasks of it.
    event RoyaltiesPaid(bytes32 indexed dealId, uint128 toApp, uint128 toDataset);
    /// @notice The token refused to pay `account`; `amount` is in its free balance instead.
    event PayoutKept(address indexed account, uint128 amount);
    /// @notice `amount` went back to the payer's free balance, `returned` in all. After `closed`
    /// nothing more comes back.
    event Refunded(
        bytes32 indexed dealId, address indexed payer, uint128 amount, uint128 returned, bool closed
    );

    /// @notice An entry of a pool's inbox. `entry` is the arguments of the call that made it, as they
    /// were sent, so that a proof needs nothing but logs.
    event Forced(
        uint32 indexed poolId,
        uint8 kind,
        bytes32 hash,
        uint64 at,
        bytes32 inboxBefore,
        bytes32 inbox,
        bytes entry
    );

    /// @notice A proof was accepted: batch `index` of the pool and all later ones are dropped.
    event Dropped(uint32 indexed poolId, uint64 index);
    /// @notice The pool is dead for fraud: `burnt` of its bond is gone for good, `reward` is the Court's
    /// to give, `bond` is left for victims.
    event Convicted(uint32 indexed poolId, uint128 burnt, uint128 reward, uint128 bond);
    /// @notice The pool is dead for a neglected duty.
    event Abandoned(uint32 indexed poolId);
    /// @notice The Court gave `amount` of a conviction's reward to `to`.
    event Rewarded(address indexed to, uint128 amount);
    /// @notice Escape settled tasks of a dead pool's deal for `cost` of what it had locked.
    event ForcedPaid(bytes32 indexed dealId, uint128 cost);
    /// @notice Escape paid `amount` of a pool's bond to `to`.
    event BondPaid(uint32 indexed poolId, address indexed to, uint128 amount);

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
    /// @notice The owner's operations are counted, and this is not the next one.
    error NonceMismatch(uint64 expected, uint64 actual);
    /// @notice There is no operation of that number.
    error UnknownOp(uint8 op);

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

    /// @notice The pool is dead: `state` 1 abandoned, 2 convicted.
    error PoolDead(uint32 poolId, uint8 state);
    /// @notice The pool has asked to leave.
    error PoolExiting(uint32 poolId, uint64 exitAt);
    /// @notice The pool has not asked to leave: request the exit first.
    error PoolNotExiting(uint32 poolId);
    /// @notice A bond may not exceed `max`, which no token's supply is near.
    error BondTooLarge(uint256 max, uint256 actual);
    /// @notice The bond stays while batches are pending, requesters' money is locked or finalized
    /// slashes are not applied (`claim` applies them).
    error PoolBusy(uint64 pendingBatches, uint128 locked, uint128 unapplied);

    /// @notice The field `field` must lie in the stated bounds.
    error OutOfRange(string field, uint256 min, uint256 max, uint256 actual);
    /// @notice The pool's part of the state tree has no more places for deals.
    error DealsFull(uint32 poolId, uint32 max);
    /// @notice A deal may not cost more than `max`, which no token's supply is near: match fewer tasks.
    error DealTooLarge(uint256 max, uint256 cost);
    /// @notice A deal of the same terms is there already.
    error DealExists(bytes32 dealId);
    /// @notice Everything of the deal was returned.
    error DealClosed(bytes32 dealId);

    /// @notice Batches are committed one by one.
    error IndexMismatch(uint64 expected, uint64 actual);
    /// @notice Too many batches wait for their window: finalize some.
    error RingFull(uint64 max);
    /// @notice The bond allows `room` more of payout + fees + royalties + slashed: add bond or finalize.
    error BondTooLow(uint256 room, uint256 needed);
    /// @notice The pool holds `available` of payers' money that no batch has spent.
    error LockedTooLow(uint256 available, uint256 needed);
    /// @notice The pool holds `available` of stake that no batch has slashed.
    error StakeTooLow(uint256 available, uint256 needed);
    /// @notice No batch is pending.
    error NothingPending(uint32 poolId);
    /// @notice What was opened is not the batch that was committed: `expected` is its word.
    error BatchMismatch(bytes32 expected, bytes32 actual);
    /// @notice The batch is final already: only those after `finalized` can be dropped.
    error AlreadyFinal(uint32 poolId, uint64 index, uint64 finalized);
    /// @notice The entry is for another pool.
    error PoolMismatch(uint32 expected, uint32 actual);
    /// @notice Amounts must add up to what they are said to cost.
    error SumMismatch(uint256 expected, uint256 actual);

    /// @notice Batch `index` is not a final one that is still remembered; those are
    /// `oldest` to `newest`. Index 0, the empty state, counts only while `newest` is 0.
    error NotFinal(uint32 poolId, uint64 index, uint64 oldest, uint64 newest);
    /// @notice Batch `index` was never committed or is no longer remembered.
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

    /// @notice As `deposit`, into the free balance of `account`: a gift.
    function depositFor(address account, uint128 amount) external;

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

    /// @notice What `account` can withdraw, lock, stake or bond. Of 0x…dEaD, which has no key: what is
    /// burnt.
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

    /// @notice As `registerWorker`, for an owner that need not send anything: it signs the same
    /// BindWorker (64 or 65 bytes, or as its contract accepts).
    function registerWorkerFor(
        address owner,
        bytes32 nodeKey,
        address voteKey,
        uint64 deadline,
        bytes32 r,
        bytes32 vs,
        bytes calldata ownerSig
    ) external returns (uint32 workerIdx);

    /// @notice Puts `amount` of the caller's free balance at one pool's risk. Only the owner, and
    /// not while the worker or the pool is leaving.
    function stake(uint32 poolId, uint32 workerIdx, uint128 amount) external;

    /// @notice Starts the exit timer: window + MAX_TASK_TIME + COMMIT_SLACK. Only the owner. From
    /// here on no pool may give the worker work, so that what it did before is final by then.
    function requestExit(uint32 workerIdx) external;

    /// @notice Stops the exit timer. Only the owner.
    function cancelExit(uint32 workerIdx) external;

    /// @notice Whether what the worker earns is left as stake where it was earned, without a transfer
    /// of tokens, as long as neither it nor the pool is leaving. Only the owner.
    function setRestake(uint32 workerIdx, bool restake) external;

    /// @notice `requestExit` (1), `cancelExit` (2) or `setRestake` to true (3) or false (4), by the
    /// owner's signature, which anyone may carry. Without one nobody else can move a timer.
    /// @param ownerSig 64 or 65 bytes, or as the owner's contract accepts.
    function operateWorker(WorkerOp calldata op, bytes calldata ownerSig) external;

    /// @notice Operations the owner has done by signature; the next one's nonce.
    function nonceOf(address owner) external view returns (uint64);

    /// @notice After the exit timer, takes the worker's slashes out of its stake and frees the rest.
    /// Only the owner.
    /// @param account The worker's account in the pool's newest finalized state, or all zero if the
    /// pool never settled a task of it.
    /// @param proof 1 to 20 hashes (`Merkle.rootOfState`) from the leaf at `workerIdx`.
    /// @param anchor The newest finalized batch's; before the first, any with the empty state.
    /// @param next The oldest pending batch, ignored if none is pending.
    /// @dev FinalizeFirst while a batch is past its window, so that no slash that could count is
    /// left out.
    function unstake(
        uint32 poolId,
        uint32 workerIdx,
        WorkerAccount calldata account,
        bytes32[] calldata proof,
        Anchor calldata anchor,
        Opening calldata next
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

    /// @notice The two who may answer for a pool's orders, and whether it takes deals: it is not
    /// dead, not leaving and has places left.
    function poolKeys(uint32 poolId)
        external
        view
        returns (address signer, address operator, bool open);

    /// @notice Who signs for a pool, and its newest committed and newest final batch: what a fraud
    /// proof needs of a pool, at the price of two words.
    function progressOf(uint32 poolId)
        external
        view
        returns (address signer, uint32 head, uint32 finalized);

    // -----------------------------------------------------------------------------------------
    // Deals
    // -----------------------------------------------------------------------------------------

    /// @notice Locks tasks * (unitPrice + appPrice + datasetPrice) of the payer's free balance for a
    /// deal and gives it its place. Only the Market, which has matched the orders.
    /// @return dealId The hash of the terms.
    /// @return slot The deal's place in the pool's state tree.
    function openDeal(DealTerms calldata terms) external returns (bytes32 dealId, uint32 slot);

    /// @notice What is kept of a deal; all zero if there is none.
    function dealOf(bytes32 dealId) external view returns (Deal memory);

    /// @notice What the owners of a deal's application and dataset have been paid.
    function royaltiesOf(bytes32 dealId) external view returns (Royalties memory);

    // -----------------------------------------------------------------------------------------
    // Batches
    // -----------------------------------------------------------------------------------------

    /// @notice Puts a batch up for its window. Anyone may submit what the pool's signer signed.
    /// @param header Next in line. Its index, its count and that its money is there are checked; all
    /// else is for the Court, if it is false.
    /// @param r,vs EIP-2098 signature of `header` by the pool's signer.
    function commitBatch(Header calldata header, bytes32 r, bytes32 vs) external;

    /// @notice After the window, moves what the oldest pending batch says: slashes into, and payout,
    /// fees and royalties out of, the pool's locked money into what it owes. Anyone.
    /// @param committedAt,inbox As in the batch's BatchCommitted.
    function finalize(Header calldata header, uint64 committedAt, bytes32 inbox) external;

    /// @notice Pays the operator all fees up to a finalized batch that is still remembered, into its
    /// free balance. Anyone.
    function collectFees(Header calldata header, uint64 committedAt, bytes32 inbox)
        external
        returns (uint128 paid);

    /// @notice The word of a remembered batch: keccak256(stateRoot, keccak256(abi.encode(headerHash,
    /// committedAt, inbox))). In a dead pool also of batches that were dropped; which those are, and
    /// that a place after the head holds one, is for the Court to remember.
    function batchOf(uint32 poolId, uint64 index) external view returns (bytes32);

    // -----------------------------------------------------------------------------------------
    // Payouts
    // -----------------------------------------------------------------------------------------

    /// @notice Pays a worker's owner everything earned in a pool and not yet paid, and applies the
    /// worker's slashes to its stake there. Anyone may call; only the owner is paid, or, if the
    /// token refuses that, credited.
    /// @param account The worker's account in the state after batch `index`.
    /// @param proof 1 to 20 hashes (`Merkle.rootOfState`) from the leaf at `workerIdx`.
    /// @param index A finalized batch that is still remembered.
    /// @param anchor That batch's.
    /// @return paid What the owner got; zero if there were only slashes to apply.
    function claim(
        uint32 poolId,
        uint32 workerIdx,
        WorkerAccount calldata account,
        bytes32[] calldata proof,
        uint64 index,
        Anchor calldata anchor
    ) external returns (uint128 paid);

    /// @notice As `claim`, for many workers against one batch. One that has nothing due is passed
    /// over; a wrong proof ends it all.
    /// @return paid What all of them got.
    function claimMany(
        uint32 poolId,
        uint64 index,
        Anchor calldata anchor,
        ClaimItem[] calldata items
    ) external returns (uint128 paid);

    /// @notice Pays the owners of a deal's application and dataset for the tasks that succeeded, into
    /// their free balances. Anyone.
    /// @param account The deal's account after batch `index`.
    /// @param proof 1 to 20 hashes (`Merkle.rootOfState`) from the leaf at 2^19 + the deal's slot.
    function claimRoyalties(
        DealTerms calldata terms,
        DealAccount calldata account,
        bytes32[] calldata proof,
        uint64 index,
        Anchor calldata anchor
    ) external returns (uint128 paid);

    /// @notice Returns to the payer what failed tasks refunded and, once no batch that may settle
    /// tasks of the deal can follow, the price of every task that was never settled, which closes
    /// the deal. Anyone may call; the money goes to the payer's free balance.
    ///
    /// That is the case when `deadline` + GRACE + REFUND_SLACK has passed and batch `index` was
    /// committed after it, or is the newest with none pending; in a dead pool, when a window and
    /// ESCAPE_TIME have passed since its end and batch `index` is the newest with none pending.
    /// @param account The deal's account after batch `index`, all zero if it was never touched.
    /// @param proof 1 to 20 hashes (`Merkle.rootOfState`) from the leaf at 2^19 + the deal's slot.
    /// @param index A finalized batch that is still remembered; 0 while there is none.
    /// @param batch Batch `index`; for 0 the empty state, the rest ignored.
    /// @return amount What was returned.
    function refundUnsettled(
        DealTerms calldata terms,
        DealAccount calldata account,
        bytes32[] calldata proof,
        uint64 index,
        Opening calldata batch
    ) external returns (uint128 amount);

    // -----------------------------------------------------------------------------------------
    // The inbox: what a scheduler will not hear (PROTOCOL.md section 7)
    // -----------------------------------------------------------------------------------------

    /// @notice Puts a vote into its pool's inbox. Only ranges are checked here: whether the frame and
    /// its signature are good matters in a proof alone.
    /// @param r,vs EIP-2098 signature of the frame by the worker's vote key.
    function forceVote(
        uint32 poolId,
        Reveal calldata vote,
        uint32 frameIndex,
        uint32 frameCount,
        bytes32[] calldata path,
        bytes32 r,
        bytes32 vs
    ) external;

    /// @notice Says that a worker was never shown the commit set of an attempt.
    function demandSet(uint32 poolId, bytes32 taskId, uint16 attempt, uint32 workerIdx) external;

    /// @notice Shows a commit set, with its frame proof and the signer's signature, for all to see.
    function answerSet(
        uint32 poolId,
        CommitSet calldata set,
        uint32 frameIndex,
        uint32 frameCount,
        bytes32[] calldata path,
        bytes32 r,
        bytes32 vs
    ) external;

    // -----------------------------------------------------------------------------------------
    // For the Court and for Escape
    // -----------------------------------------------------------------------------------------

    /// @notice Drops batch `index` and all later ones of a pool, which is dead from then on: no deals,
    /// no commits, no bond exit. The first time, half of the bond is burnt (it is 0x…dEaD's from
    /// then on) and a quarter given to the Court's free balance; the rest stays for victims. Only the
    /// Court.
    /// @param index After the newest final one. Nothing is dropped if it is after the head.
    /// @return share What the Court got; zero but for the first time.
    function convict(uint32 poolId, uint32 index) external returns (uint128 share);

    /// @notice Gives `amount` of the Court's free balance to `to`'s. Only the Court.
    function reward(address to, uint128 amount) external;

    /// @notice Ends a live pool for a neglected duty. Its pending batches stand. Only Escape.
    function abandon(uint32 poolId) external;

    /// @notice Pays people out of what a deal has locked in a dead pool, and counts that as returned.
    /// Only Escape, which has settled the tasks.
    /// @param cost The sum of `amounts`.
    function payForced(
        DealTerms calldata terms,
        uint128 cost,
        address[] calldata to,
        uint128[] calldata amounts
    ) external;

    /// @notice Pays up to `amount` of a pool's bond to `to`'s free balance. Only Escape.
    function payFromBond(uint32 poolId, address to, uint128 amount) external returns (uint128 paid);

    // -----------------------------------------------------------------------------------------
    // Parameters
    // -----------------------------------------------------------------------------------------

    /// @notice Workers registered so far; the newest one's number.
    function workers() external view returns (uint32);

    /// @notice Pools registered so far; the newest one's number.
    function pools() external view returns (uint32);

    /// @notice Who matches orders; fixed at construction.
    function market() external view returns (address);

    /// @notice Who judges fraud; fixed at construction.
    function court() external view returns (address);

    /// @notice Who settles what an absent pool has left; fixed at construction.
    function escape() external view returns (address);

    /// @notice The only token; fixed at construction.
    function token() external view returns (address);

    /// @notice Seconds a batch can be challenged; fixed at construction, 48 hours to 10 days.
    function window() external view returns (uint64);

    /// @notice The EIP-712 domain separator in force; follows the chain id after a fork.
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}
