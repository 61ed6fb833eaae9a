// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {
    AppOrder,
    DatasetOrder,
    OrderOp,
    OrderUse,
    PoolOrder,
    ReqOrder,
    SponsorOrder
} from "./Types.sol";

/// @title Market: the specification.
/// @notice Matches signed orders into deals and counts their use. Holds no money and has no owner:
/// whoever brings orders that fit may match them.
///
/// An order is good if its account has signed it (64 bytes of EIP-2098, 65 bytes, or whatever an
/// ERC-1271 account accepts) or presigned it here, has not cancelled it, it has not expired and has
/// tasks left. A pool's orders are its operator's, signed by operator or signer.
interface IMarket {
    /// @notice Orders to match. An application or a dataset without owner is free: its order is then
    /// all zero with an empty signature. The same for no sponsor; a sponsor who is the caller need not
    /// sign.
    struct Match {
        ReqOrder req;
        bytes reqSig;
        PoolOrder offer;
        bytes offerSig;
        AppOrder app;
        bytes appSig;
        DatasetOrder dataset;
        bytes datasetSig;
        SponsorOrder sponsor;
        bytes sponsorSig;
        uint32 n;
    }

    /// @notice The payer's ERC-2612 permit for the Settlement contract.
    struct Permit {
        uint128 amount;
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    // -----------------------------------------------------------------------------------------
    // Events
    // -----------------------------------------------------------------------------------------

    /// @notice `n` tasks of each of these orders were taken for a deal; zero for orders not given.
    event OrdersMatched(
        bytes32 indexed dealId,
        bytes32 reqHash,
        bytes32 poolHash,
        bytes32 appHash,
        bytes32 datasetHash,
        bytes32 sponsorHash,
        uint32 n
    );
    /// @notice The order needs no signature any more.
    event OrderPresigned(address indexed account, bytes32 indexed orderHash);
    /// @notice No further deal can be made of the order; deals made of it stand.
    event OrderCancelled(address indexed account, bytes32 indexed orderHash);
    /// @notice An order for all to see. Nothing about it was checked.
    event OrderBroadcast(uint8 indexed kind, address indexed sender, bytes order, bytes sig);

    // -----------------------------------------------------------------------------------------
    // Errors (others are ISettlement's)
    // -----------------------------------------------------------------------------------------

    /// @notice The order was good until `expiry`.
    error OrderExpired(bytes32 orderHash, uint64 expiry, uint256 timestamp);
    /// @notice The order has `left` tasks left, zero if cancelled.
    error OrderFilled(bytes32 orderHash, uint256 left, uint256 needed);
    /// @notice The sponsor pays `left` more for deals of this request, zero if cancelled.
    error SponsorSpent(bytes32 orderHash, uint256 left, uint256 needed);
    /// @notice An order is for something else than the request names in `field`.
    error OrderMismatch(string field, bytes32 expected, bytes32 actual);
    /// @notice The request names nobody who could sell this: `field` must be all zero, unsigned.
    error OrderNotEmpty(string field);
    /// @notice More is asked than the requester will pay; `field` names its limit.
    error PriceTooHigh(string field, uint128 max, uint128 actual);
    /// @notice The requester asks for more trust than the pool offers.
    error TrustTooHigh(uint32 max, uint32 actual);
    /// @notice What is needed and the pool does not have, a bit each.
    error TagMissing(bytes32 missing);
    /// @notice `order` allows in `field` neither `id` nor, by group `allowed`, does that.
    error Restricted(string order, string field, bytes32 allowed, bytes32 id);
    /// @notice The pool takes no deals any more: dead, leaving or full.
    error PoolClosed(uint32 poolId);
    /// @notice Presign is 1, cancel is 2.
    error UnknownOrderOp(uint8 op);

    // -----------------------------------------------------------------------------------------
    // Deals
    // -----------------------------------------------------------------------------------------

    /// @notice Matches `n` tasks, 1 to 65,536, and locks their price of the payer's free balance, who
    /// is the sponsor if there is one, else the requester. Anyone may call.
    /// @return dealId The hash of the deal's terms.
    function openDeal(Match calldata m) external returns (bytes32 dealId);

    /// @notice Deposits for the payer by its permit, then matches. Anyone may call: the money can only
    /// ever reach the payer's own free balance and this deal.
    function openDealWithPermit(Match calldata m, Permit calldata permit)
        external
        returns (bytes32 dealId);

    /// @notice The most tasks that `caller` could match now, whatever `n` says; reverts with the rule
    /// that refuses, if one does.
    function checkMatch(Match calldata m, address caller) external view returns (uint32 most);

    /// @notice The most tasks that the caller could match now; 0 where a rule refuses.
    function volumeOf(Match calldata m) external view returns (uint32 most);

    // -----------------------------------------------------------------------------------------
    // Orders
    // -----------------------------------------------------------------------------------------

    /// @notice Signs an order of the caller's here instead of by a key. Idle if it is cancelled.
    /// @param orderHash The order's EIP-712 struct hash.
    function presign(bytes32 orderHash) external;

    /// @notice Ends an order of the caller's for good.
    function cancel(bytes32 orderHash) external;

    /// @notice As `cancel`, for a pool's order. Only the pool's signer or operator.
    function cancelPoolOrder(uint32 poolId, bytes32 orderHash) external;

    /// @notice Presigns (1) or cancels (2) by the account's signature, which anyone may carry.
    function operate(OrderOp calldata op, bytes calldata sig) external;

    /// @notice Shows an order to everybody, where nobody can keep it out.
    /// @param kind 1 request, 2 pool, 3 application, 4 dataset, 5 sponsor.
    /// @param order The order, ABI-encoded.
    function broadcast(uint8 kind, bytes calldata order, bytes calldata sig) external;

    /// @notice How far an order of `account` is used; a pool's orders are its operator's.
    function useOf(address account, bytes32 orderHash) external view returns (OrderUse memory);

    /// @notice The contract that holds the money.
    function settlement() external view returns (address);
}
