// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Domain} from "./Domain.sol";
import {IMarket} from "./IMarket.sol";
import {ISettlement} from "./ISettlement.sol";
import {Messages} from "./Messages.sol";
import {
    AppOrder,
    DatasetOrder,
    DealTerms,
    OrderOp,
    OrderUse,
    PoolOrder,
    ReqOrder,
    SponsorOrder
} from "./Types.sol";

/// @notice A group of ids, as far as a restriction asks (ERC-734).
interface IGroup {
    function keyHasPurpose(bytes32 key, uint256 purpose) external view returns (bool);
}

/// @title The market. IMarket.sol is its specification.
/// @dev What one order says about another is checked before anything is counted, and everything is
/// counted before Settlement is called; other contracts are only asked by staticcall.
contract Market is IMarket, Domain {
    using Math for uint256;

    /// @notice Longest time a task may take; Settlement's exit timer of workers counts on it.
    uint64 public constant MAX_TASK_TIME = 1 days;
    /// @notice Farthest deadline of a deal. Bounds how long a dead pool can hold money, and how long
    /// a deal opened just before a pool's exit can hold its bond.
    uint64 public constant MAX_DEAL_TIME = 365 days;
    /// @notice Tasks of one deal: a depth-16 tree. A bigger bag is several deals.
    uint32 public constant MAX_TASKS = 65_536;
    /// @notice Replicas of one task: what a fraud proof can re-execute within a block's gas.
    uint8 public constant MAX_REPLICAS = 15;
    /// @notice The purpose for which a group contract is asked about its members, as others in this
    /// field ask.
    uint256 public constant GROUP_PURPOSE = 4;

    ISettlement private immutable _settlement;

    mapping(address account => mapping(bytes32 orderHash => OrderUse)) private _uses;

    /// Struct hashes of the orders given, and whose the pool's and the bill are.
    struct Parties {
        address operator;
        address payer;
        bool open;
        bytes32 reqHash;
        bytes32 poolHash;
        bytes32 appHash;
        bytes32 datasetHash;
        bytes32 sponsorHash;
    }

    /// @param settlement_ Holds the money and names this contract; it may be created later.
    constructor(address settlement_) Domain(settlement_) {
        if (settlement_ == address(0)) revert ISettlement.ZeroKey("settlement");
        _settlement = ISettlement(settlement_);
    }

    // -----------------------------------------------------------------------------------------
    // Deals
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc IMarket
    function openDeal(Match calldata m) external returns (bytes32 dealId) {
        return _open(m);
    }

    /// @inheritdoc IMarket
    function openDealWithPermit(Match calldata m, Permit calldata permit)
        external
        returns (bytes32 dealId)
    {
        _settlement.depositWithPermit(
            _payerOf(m), permit.amount, permit.deadline, permit.v, permit.r, permit.s
        );
        return _open(m);
    }

    /// @inheritdoc IMarket
    function checkMatch(Match calldata m, address caller) external view returns (uint32 most) {
        Parties memory p = _check(m, caller);
        if (!p.open) revert PoolClosed(m.offer.poolId); // Settlement itself says why in a match
        uint256 left = _left(m.req.requester, p.reqHash, m.req.tasks).min(MAX_TASKS);
        left = left.min(_left(p.operator, p.poolHash, m.offer.tasks));
        if (p.appHash != 0) left = left.min(_left(m.app.owner, p.appHash, m.app.tasks));
        if (p.datasetHash != 0) {
            left = left.min(_left(m.dataset.owner, p.datasetHash, m.dataset.tasks));
        }
        uint256 price = _priceOf(m);
        if (price == 0) return uint32(left);
        if (p.sponsorHash != 0) left = left.min(_sponsorLeft(m.sponsor, p.sponsorHash) / price);
        return uint32(left.min(_settlement.freeOf(p.payer) / price));
    }

    /// @inheritdoc IMarket
    function volumeOf(Match calldata m) external view returns (uint32 most) {
        // Asked of itself from outside, so that a refusal is an answer.
        try this.checkMatch(m, msg.sender) returns (uint32 volume) {
            return volume;
        } catch {
            return 0;
        }
    }

    // -----------------------------------------------------------------------------------------
    // Orders
    // -----------------------------------------------------------------------------------------

    /// @inheritdoc IMarket
    function presign(bytes32 orderHash) external {
        _presign(msg.sender, orderHash);
    }

    /// @inheritdoc IMarket
    function cancel(bytes32 orderHash) external {
        _cancel(msg.sender, orderHash);
    }

    /// @inheritdoc IMarket
    function cancelPoolOrder(uint32 poolId, bytes32 orderHash) external {
        (address signer, address operator,) = _settlement.poolKeys(poolId);
        if (msg.sender != signer && msg.sender != operator) {
            revert ISettlement.NotAllowed(signer, msg.sender);
        }
        _cancel(operator, orderHash);
    }

    /// @inheritdoc IMarket
    function operate(OrderOp calldata op, bytes calldata sig) external {
        if (block.timestamp > op.deadline) {
            revert ISettlement.SignatureExpired(op.deadline, block.timestamp);
        }
        _checkSigned(op.account, Messages.hash(op), sig);
        if (op.op == 1) _presign(op.account, op.orderHash);
        else if (op.op == 2) _cancel(op.account, op.orderHash);
        else revert UnknownOrderOp(op.op);
    }

    /// @inheritdoc IMarket
    function broadcast(uint8 kind, bytes calldata order, bytes calldata sig) external {
        _checkRange("kind", 1, 5, kind);
        emit OrderBroadcast(kind, msg.sender, order, sig);
    }

    /// @inheritdoc IMarket
    function useOf(address account, bytes32 orderHash) external view returns (OrderUse memory) {
        return _uses[account][orderHash];
    }

    /// @inheritdoc IMarket
    function settlement() external view returns (address) {
        return address(_settlement);
    }

    /// @notice The EIP-712 domain separator in force: Settlement's.
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparator();
    }

    // -----------------------------------------------------------------------------------------
    // A match
    // -----------------------------------------------------------------------------------------

    function _open(Match calldata m) private returns (bytes32 dealId) {
        Parties memory p = _check(m, msg.sender);
        _checkRange("n", 1, MAX_TASKS, m.n);
        uint32 filledBefore = _fill(m.req.requester, p.reqHash, m.req.tasks, m.n);
        _fill(p.operator, p.poolHash, m.offer.tasks, m.n);
        if (p.appHash != 0) _fill(m.app.owner, p.appHash, m.app.tasks, m.n);
        if (p.datasetHash != 0) _fill(m.dataset.owner, p.datasetHash, m.dataset.tasks, m.n);
        if (p.sponsorHash != 0) _charge(m.sponsor, p.sponsorHash, m.n * _priceOf(m));
        (dealId,) = _settlement.openDeal(_termsOf(m, p, filledBefore));
        emit OrdersMatched(
            dealId, p.reqHash, p.poolHash, p.appHash, p.datasetHash, p.sponsorHash, m.n
        );
    }

    /// @dev Every rule but volumes and money: those are counted, these only looked at.
    function _check(Match calldata m, address caller) private view returns (Parties memory p) {
        _checkTerms(m.req, m.offer);
        p.payer = _payerOf(m);
        p.reqHash = Messages.hash(m.req);
        if (m.req.requester == address(0)) revert ISettlement.ZeroKey("requester");
        _checkGood(m.req.requester, p.reqHash, m.req.expiry, m.reqSig);
        (p.poolHash, p.operator, p.open) = _checkOffer(m.offer, m.offerSig);
        p.appHash = _checkApp(m);
        p.datasetHash = _checkDataset(m);
        p.sponsorHash = _checkSponsor(m.sponsor, m.sponsorSig, p.reqHash, caller);
        bytes32 missing = (m.req.tag | m.app.tag | m.dataset.tag) & ~m.offer.tag;
        if (missing != 0) revert TagMissing(missing);
        _checkRestrictions(m);
    }

    function _checkTerms(ReqOrder calldata req, PoolOrder calldata offer) private view {
        if (req.category != offer.category) {
            revert OrderMismatch("category", _word(req.category), _word(offer.category));
        }
        _checkPrice("maxUnitPrice", req.maxUnitPrice, offer.unitPrice);
        if (req.trust > offer.trust) revert TrustTooHigh(offer.trust, req.trust);
        uint256 longest = Math.min(offer.maxTaskTime, MAX_TASK_TIME);
        _checkRange("maxTaskTime", 1, longest, req.maxTaskTime);
        _checkRange("replicas", 1, MAX_REPLICAS, req.replicas);
        _checkRange("stakeRatio", 0, 100, offer.stakeRatio);
        _checkRange("schedulerRatio", 0, 100, offer.schedulerRatio);
        _checkRange("deadline", block.timestamp + 1, block.timestamp + MAX_DEAL_TIME, req.deadline);
    }

    /// @dev A pool's order is its operator's; the hot key may sign for it.
    function _checkOffer(PoolOrder calldata offer, bytes calldata sig)
        private
        view
        returns (bytes32 orderHash, address operator, bool open)
    {
        address signer;
        (signer, operator, open) = _settlement.poolKeys(offer.poolId);
        orderHash = Messages.hash(offer);
        _checkTime(orderHash, offer.expiry);
        if (_uses[operator][orderHash].presigned) return (orderHash, operator, open);
        (bool signed, address recovered) = _isSigned(operator, orderHash, sig);
        if (!signed && recovered != signer) revert ISettlement.BadSignature(signer, recovered);
    }

    function _checkApp(Match calldata m) private view returns (bytes32 orderHash) {
        AppOrder calldata app = m.app;
        if (m.req.appOwner == address(0)) {
            if (!_isEmpty(_start(app), 10, m.appSig)) revert OrderNotEmpty("app");
            return 0;
        }
        _checkSame("app.owner", _word(m.req.appOwner), _word(app.owner));
        _checkSame("app.app", m.req.app, app.app);
        _checkPrice("appMaxPrice", m.req.appMaxPrice, app.price);
        orderHash = Messages.hash(app);
        _checkGood(app.owner, orderHash, app.expiry, m.appSig);
    }

    function _checkDataset(Match calldata m) private view returns (bytes32 orderHash) {
        DatasetOrder calldata dataset = m.dataset;
        if (m.req.datasetOwner == address(0)) {
            if (!_isEmpty(_start(dataset), 10, m.datasetSig)) revert OrderNotEmpty("dataset");
            return 0;
        }
        _checkSame("dataset.owner", _word(m.req.datasetOwner), _word(dataset.owner));
        _checkSame("dataset.dataset", m.req.dataset, dataset.dataset);
        _checkPrice("datasetMaxPrice", m.req.datasetMaxPrice, dataset.price);
        orderHash = Messages.hash(dataset);
        _checkGood(dataset.owner, orderHash, dataset.expiry, m.datasetSig);
    }

    /// @dev Who pays in its own transaction has agreed to it; others must have signed.
    function _checkSponsor(
        SponsorOrder calldata order,
        bytes calldata sig,
        bytes32 reqHash,
        address caller
    ) private view returns (bytes32 orderHash) {
        if (order.sponsor == address(0)) {
            if (!_isEmpty(_start(order), 5, sig)) {
                revert OrderNotEmpty("sponsor");
            }
            return 0;
        }
        _checkSame("sponsor.reqHash", reqHash, order.reqHash);
        orderHash = Messages.hash(order);
        _checkTime(orderHash, order.expiry);
        if (order.sponsor != caller) _checkPresigned(order.sponsor, orderHash, sig);
    }

    /// @dev All ten: what each order allows beside itself.
    function _checkRestrictions(Match calldata m) private view {
        ReqOrder calldata req = m.req;
        (bytes32 pool, bytes32 requester) = (_word(m.offer.poolId), _word(req.requester));
        _checkAllowed("req", "pool", req.poolRestrict, pool);
        _checkAllowed("pool", "app", m.offer.appRestrict, req.app);
        _checkAllowed("pool", "dataset", m.offer.datasetRestrict, req.dataset);
        _checkAllowed("pool", "requester", m.offer.requesterRestrict, requester);
        // Those of an order that is not given are zero, which allows all.
        _checkAllowed("app", "dataset", m.app.datasetRestrict, req.dataset);
        _checkAllowed("app", "pool", m.app.poolRestrict, pool);
        _checkAllowed("app", "requester", m.app.requesterRestrict, requester);
        _checkAllowed("dataset", "app", m.dataset.appRestrict, req.app);
        _checkAllowed("dataset", "pool", m.dataset.poolRestrict, pool);
        _checkAllowed("dataset", "requester", m.dataset.requesterRestrict, requester);
    }

    function _checkAllowed(string memory order, string memory field, bytes32 allowed, bytes32 id)
        private
        view
    {
        if (allowed == 0 || allowed == id || _isMember(allowed, id)) return;
        revert Restricted(order, field, allowed, id);
    }

    /// @dev A group that is no contract, fails or answers oddly has no members.
    function _isMember(bytes32 group, bytes32 id) private view returns (bool) {
        if (uint256(group) >> 160 != 0) return false;
        (bool done, bytes memory answer) = address(uint160(uint256(group)))
            .staticcall(abi.encodeCall(IGroup.keyHasPurpose, (id, GROUP_PURPOSE)));
        return done && answer.length == 32 && uint256(bytes32(answer)) == 1;
    }

    function _termsOf(Match calldata m, Parties memory p, uint32 filledBefore)
        private
        pure
        returns (DealTerms memory terms)
    {
        (ReqOrder calldata req, PoolOrder calldata offer) = (m.req, m.offer);
        terms.requester = req.requester;
        terms.payer = p.payer;
        terms.beneficiary = req.beneficiary;
        terms.callback = req.callback;
        terms.poolId = offer.poolId;
        terms.app = req.app;
        terms.appOwner = req.appOwner;
        terms.appPrice = m.app.price;
        terms.dataset = req.dataset;
        terms.datasetOwner = req.datasetOwner;
        terms.datasetPrice = m.dataset.price;
        terms.params = req.params;
        terms.unitPrice = offer.unitPrice;
        terms.tasks = m.n;
        terms.trust = req.trust;
        terms.replicas = req.replicas;
        terms.stakeRatio = offer.stakeRatio;
        terms.schedulerRatio = offer.schedulerRatio;
        terms.category = req.category;
        terms.tag = req.tag | m.app.tag | m.dataset.tag;
        terms.maxTaskTime = req.maxTaskTime;
        terms.deadline = req.deadline;
        terms.reqHash = p.reqHash;
        terms.filledBefore = filledBefore;
    }

    function _payerOf(Match calldata m) private pure returns (address) {
        return m.sponsor.sponsor == address(0) ? m.req.requester : m.sponsor.sponsor;
    }

    /// @dev What one task costs. Its parts are 128 bits, so nothing wraps.
    function _priceOf(Match calldata m) private pure returns (uint256) {
        return uint256(m.offer.unitPrice) + m.app.price + m.dataset.price;
    }

    // -----------------------------------------------------------------------------------------
    // The use of orders
    // -----------------------------------------------------------------------------------------

    /// @dev Counts `n` tasks of an order and says how many were taken before.
    function _fill(address account, bytes32 orderHash, uint32 volume, uint32 n)
        private
        returns (uint32 filled)
    {
        uint256 left = _left(account, orderHash, volume);
        if (n > left) revert OrderFilled(orderHash, left, n);
        OrderUse storage use = _uses[account][orderHash];
        filled = use.filled;
        use.filled = filled + n;
    }

    function _charge(SponsorOrder calldata order, bytes32 orderHash, uint256 cost) private {
        uint256 left = _sponsorLeft(order, orderHash);
        if (cost > left) revert SponsorSpent(orderHash, left, cost);
        _uses[order.sponsor][orderHash].paid += uint128(cost); // at most maxCost
    }

    function _left(address account, bytes32 orderHash, uint32 volume)
        private
        view
        returns (uint256)
    {
        OrderUse storage use = _uses[account][orderHash];
        return use.cancelled ? 0 : uint256(volume).saturatingSub(use.filled);
    }

    function _sponsorLeft(SponsorOrder calldata order, bytes32 orderHash)
        private
        view
        returns (uint256)
    {
        OrderUse storage use = _uses[order.sponsor][orderHash];
        return use.cancelled ? 0 : uint256(order.maxCost).saturatingSub(use.paid);
    }

    function _presign(address account, bytes32 orderHash) private {
        _uses[account][orderHash].presigned = true;
        emit OrderPresigned(account, orderHash);
    }

    function _cancel(address account, bytes32 orderHash) private {
        _uses[account][orderHash].cancelled = true;
        emit OrderCancelled(account, orderHash);
    }

    // -----------------------------------------------------------------------------------------
    // Small checks
    // -----------------------------------------------------------------------------------------

    function _checkGood(address account, bytes32 orderHash, uint64 expiry, bytes calldata sig)
        private
        view
    {
        _checkTime(orderHash, expiry);
        _checkPresigned(account, orderHash, sig);
    }

    function _checkPresigned(address account, bytes32 orderHash, bytes calldata sig) private view {
        if (!_uses[account][orderHash].presigned) _checkSigned(account, orderHash, sig);
    }

    function _checkSigned(address account, bytes32 structHash, bytes calldata sig) private view {
        (bool signed, address recovered) = _isSigned(account, structHash, sig);
        if (!signed) revert ISettlement.BadSignature(account, recovered);
    }

    function _checkTime(bytes32 orderHash, uint64 expiry) private view {
        if (block.timestamp > expiry) revert OrderExpired(orderHash, expiry, block.timestamp);
    }

    function _checkPrice(string memory field, uint128 max, uint128 actual) private pure {
        if (actual > max) revert PriceTooHigh(field, max, actual);
    }

    function _checkSame(string memory field, bytes32 expected, bytes32 actual) private pure {
        if (actual != expected) revert OrderMismatch(field, expected, actual);
    }

    function _checkRange(string memory field, uint256 min, uint256 max, uint256 actual)
        private
        pure
    {
        if (actual < min || actual > max) {
            revert ISettlement.OutOfRange(field, min, max, actual);
        }
    }

    /// @dev Whether an order of so many words, and its signature, were left out.
    function _isEmpty(uint256 start, uint256 words, bytes calldata sig)
        private
        pure
        returns (bool)
    {
        uint256 all = sig.length;
        for (uint256 i = 0; i < words; i++) {
            assembly ("memory-safe") {
                all := or(all, calldataload(add(start, shl(5, i))))
            }
        }
        return all == 0;
    }

    function _start(AppOrder calldata order) private pure returns (uint256 start) {
        assembly ("memory-safe") {
            start := order
        }
    }

    function _start(DatasetOrder calldata order) private pure returns (uint256 start) {
        assembly ("memory-safe") {
            start := order
        }
    }

    function _start(SponsorOrder calldata order) private pure returns (uint256 start) {
        assembly ("memory-safe") {
            start := order
        }
    }

    function _word(uint256 number) private pure returns (bytes32) {
        return bytes32(number);
    }

    function _word(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
