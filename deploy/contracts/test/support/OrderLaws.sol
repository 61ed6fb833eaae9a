// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarket} from "../../src/IMarket.sol";
import {
    AppOrder,
    DatasetOrder,
    OrderUse,
    Pool,
    PoolOrder,
    ReqOrder,
    SponsorOrder
} from "../../src/Types.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice A world of orders: few of each kind and of small volumes, matched by anybody in any
/// combination, cancelled, and never enough money. All are presigned, so that a call costs little.
contract OrderLaws is Fixture {
    uint256 private constant REQS = 3;
    uint256 private constant OTHERS = 2;

    /// What an order is, and what has become of it.
    struct Entry {
        address account;
        bytes32 id;
        uint256 volume;
        uint256 filled;
        bool cancelled;
        /// Of a sponsor's order: what it has paid.
        uint256 paid;
    }

    uint32 private _poolId;
    ReqOrder[] private _reqs;
    PoolOrder[] private _offers;
    AppOrder[] private _apps;
    DatasetOrder[] private _datasets;
    SponsorOrder private _sponsoring;
    /// Requests, offers, applications, datasets, and last the sponsor's order for the first request.
    Entry[] private _entries;
    mapping(address account => uint256) private _free;
    uint256 private _locked;
    bytes32[] private _deals;
    /// Matches that fit every order and the purse, and were refused.
    uint256 private _refused;

    constructor() {
        setUp();
        _poolId = newPool(0);
        for (uint256 i = 0; i < REQS; i++) {
            ReqOrder memory req = fullMatch(_poolId, 1).req;
            (req.tasks, req.trust) = (uint32(20 + 10 * i), 100);
            _reqs.push(req);
            enter(requester, hashes.hashReqOrder(req), req.tasks);
        }
        for (uint256 i = 0; i < OTHERS; i++) {
            PoolOrder memory offer = poolOrder(_poolId);
            (offer.tasks, offer.unitPrice) = (uint32(25 + 10 * i), uint128(10 + i));
            _offers.push(offer);
            enter(operator, hashes.hashPoolOrder(offer), offer.tasks);
        }
        for (uint256 i = 0; i < OTHERS; i++) {
            AppOrder memory app = appOrder();
            app.tasks = uint32(30 + 10 * i);
            _apps.push(app);
            enter(appOwner, hashes.hashAppOrder(app), app.tasks);
        }
        for (uint256 i = 0; i < OTHERS; i++) {
            DatasetOrder memory dataset = datasetOrder();
            dataset.tasks = uint32(30 + 10 * i);
            _datasets.push(dataset);
            enter(datasetOwner, hashes.hashDatasetOrder(dataset), dataset.tasks);
        }
        _sponsoring = sponsorOrder(1500);
        _sponsoring.reqHash = _entries[0].id;
        enter(sponsor, hashes.hashSponsorOrder(_sponsoring), _sponsoring.maxCost);
    }

    // ---- actions ----

    function give(bool toSponsor, uint128 amount) external {
        address to = toSponsor ? sponsor : requester;
        amount = uint128(bound(amount, 1, 4000));
        fund(to, amount);
        _free[to] += amount;
    }

    function take(bool fromSponsor, uint128 amount) external {
        address from = fromSponsor ? sponsor : requester;
        if (_free[from] == 0) return;
        amount = uint128(bound(amount, 1, _free[from]));
        vm.prank(from);
        settlement.withdraw(amount);
        _free[from] -= amount;
    }

    /// Anybody opens any combination.
    function open(uint256 seed, uint32 n) external {
        (IMarket.Match memory m, uint256[] memory used) = someMatch(seed);
        m.n = uint32(bound(n, 1, 12));
        uint256 cost = uint256(m.n) * (m.offer.unitPrice + 100);
        bytes32 dealId = book.put(termsOf(m));
        vm.prank(stranger);
        try market.openDeal(m) {
            count(used, m.n, cost);
            _free[payerOf(m)] -= cost;
            _locked += cost;
            _deals.push(dealId);
        } catch {
            if (fits(used, m.n, cost) && cost <= _free[payerOf(m)]) _refused++;
        }
    }

    /// One in eight orders is cancelled by its account; anybody else's try does nothing.
    function cancel(uint256 which, uint256 seed) external {
        Entry storage entry = _entries[which % _entries.length];
        bool own = seed % 8 == 0;
        vm.prank(own ? entry.account : stranger);
        market.cancel(entry.id);
        if (own) entry.cancelled = true;
    }

    // ---- laws ----

    function broken() external view returns (string memory names) {
        OrderUse[] memory uses = new OrderUse[](_entries.length);
        for (uint256 i = 0; i < uses.length; i++) {
            uses[i] = market.useOf(_entries[i].account, _entries[i].id);
        }
        names = ask(
            "", invariant_order_volumes_are_never_exceeded(uses), "order_volumes_are_never_exceeded"
        );
        names = ask(
            names,
            invariant_a_sponsor_pays_no_more_than_it_signed(uses),
            "a_sponsor_pays_no_more_than_it_signed"
        );
        names = ask(
            names,
            invariant_cancelled_orders_stay_cancelled(uses),
            "cancelled_orders_stay_cancelled"
        );
        names = ask(names, invariant_deals_cost_their_payer_alone(), "deals_cost_their_payer_alone");
        names = ask(names, invariant_deals_lock_their_price(), "deals_lock_their_price");
        names = ask(names, invariant_what_fits_is_opened(), "what_fits_is_opened");
    }

    /// Taken of each order: the tasks of the deals that were made of it, and no more than it offered.
    function invariant_order_volumes_are_never_exceeded(OrderUse[] memory uses)
        internal
        view
        returns (bool held)
    {
        held = true;
        for (uint256 i = 0; i < uses.length - 1; i++) {
            Entry storage entry = _entries[i];
            held = held && uses[i].filled <= entry.volume;
            held = held && (entry.cancelled || uses[i].filled == entry.filled);
        }
    }

    function invariant_a_sponsor_pays_no_more_than_it_signed(OrderUse[] memory uses)
        internal
        view
        returns (bool)
    {
        uint256 last = uses.length - 1;
        return uses[last].paid <= _entries[last].volume && uses[last].paid == _entries[last].paid;
    }

    /// What was taken of an order when it was cancelled is all that ever will be.
    function invariant_cancelled_orders_stay_cancelled(OrderUse[] memory uses)
        internal
        view
        returns (bool held)
    {
        held = true;
        for (uint256 i = 0; i < uses.length; i++) {
            Entry storage entry = _entries[i];
            held = held && uses[i].cancelled == entry.cancelled;
            held = held && (!entry.cancelled || uses[i].filled == entry.filled);
        }
    }

    function invariant_deals_cost_their_payer_alone() internal view returns (bool) {
        return settlement.freeOf(requester) == _free[requester]
            && settlement.freeOf(sponsor) == _free[sponsor] && settlement.freeOf(stranger) == 0;
    }

    /// And each has a place of its own.
    function invariant_deals_lock_their_price() internal view returns (bool) {
        Pool memory pool = settlement.poolOf(_poolId);
        uint256 n = _deals.length;
        return pool.locked == _locked && pool.deals == n
            && (n == 0 || settlement.dealOf(_deals[n - 1]).slot == n - 1);
    }

    function invariant_what_fits_is_opened() internal view returns (bool) {
        return _refused == 0;
    }

    // ---- helpers ----

    function enter(address account, bytes32 id, uint256 volume) private {
        vm.prank(account);
        market.presign(id);
        _entries.push(Entry(account, id, volume, 0, false, 0));
    }

    /// A match, and the places of its orders among the entries. Only the first request has a sponsor.
    function someMatch(uint256 seed)
        private
        view
        returns (IMarket.Match memory m, uint256[] memory used)
    {
        uint256[4] memory at = [seed % REQS, (seed >> 8) % OTHERS, (seed >> 16) % OTHERS, 0];
        at[3] = (seed >> 24) % OTHERS;
        (m.req, m.offer) = (_reqs[at[0]], _offers[at[1]]);
        (m.app, m.dataset) = (_apps[at[2]], _datasets[at[3]]);
        bool sponsored = at[0] == 0 && (seed >> 32) % 2 == 0;
        if (sponsored) m.sponsor = _sponsoring;
        used = new uint256[](sponsored ? 5 : 4);
        (used[0], used[1]) = (at[0], REQS + at[1]);
        (used[2], used[3]) = (REQS + OTHERS + at[2], REQS + 2 * OTHERS + at[3]);
        if (sponsored) used[4] = _entries.length - 1;
    }

    function payerOf(IMarket.Match memory m) private pure returns (address) {
        return m.sponsor.sponsor == address(0) ? m.req.requester : m.sponsor.sponsor;
    }

    function fits(uint256[] memory used, uint256 n, uint256 cost) private view returns (bool all) {
        all = true;
        for (uint256 i = 0; i < used.length; i++) {
            Entry storage entry = _entries[used[i]];
            uint256 sum = i == 4 ? entry.paid + cost : entry.filled + n;
            all = all && !entry.cancelled && sum <= entry.volume;
        }
    }

    /// A cancelled order's count stays what it was, so that its law sees it move.
    function count(uint256[] memory used, uint256 n, uint256 cost) private {
        for (uint256 i = 0; i < used.length; i++) {
            Entry storage entry = _entries[used[i]];
            if (i == 4) entry.paid += cost;
            else if (!entry.cancelled) entry.filled += n;
        }
    }

    function ask(string memory names, bool holds, string memory name)
        private
        pure
        returns (string memory)
    {
        return holds ? names : string.concat(names, "invariant_", name, " ");
    }
}
