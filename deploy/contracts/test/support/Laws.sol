// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../../src/ISettlement.sol";
import {
    Deal,
    DealAccount,
    DealTerms,
    Header,
    Opening,
    Pool,
    Royalties,
    Seat,
    WorkerAccount
} from "../../src/Types.sol";
import {Grid} from "./Grid.sol";
import {Handler} from "./Handler.sol";
import {Ledger} from "./Ledger.sol";

/// @notice What must hold after every call, whoever made it. Each law says one thing and, where that
/// is possible, compares the contract with the ledger and not with itself, so that one mistake breaks
/// one law (README.md lists a mistake for each).
/// @dev All laws look at one snapshot: reading the world is what a check costs.
contract Laws {
    uint32 private constant WORKERS = 5;

    Handler private immutable _h;
    ISettlement private immutable _s;
    Grid private immutable _honest;
    Grid private immutable _liar;

    /// One of the honest pool's deals, and its account in the newest final state.
    struct Seen {
        bytes32 id;
        int256 price;
        int256 tasks;
        int256 settled;
        int256 refunded;
        int256 royalties;
        int256 returned;
    }

    /// The world as it is; pools at 1 and 2, workers from 1.
    struct Snapshot {
        Pool[3] pools;
        Seat[6][3] seats;
        WorkerAccount[6] accounts;
        Seen[] deals;
        int256 cumFees;
    }

    constructor(Handler handler) {
        _h = handler;
        _s = handler.settlementOf();
        (_honest, _liar) = (handler.honest(), handler.liar());
    }

    /// @notice The names of all broken laws, and not just of the first, so that a mistake can be told
    /// from its neighbours.
    function broken() external view returns (string memory names) {
        Snapshot memory w = look();
        names = ask("", invariant_money_is_conserved(w), "money_is_conserved");
        names = ask(names, invariant_pools_do_not_pay_for_each_other(w), "pools_do_not_pay_for_each_other");
        names = ask(names, invariant_locked_is_what_deals_have_left(w), "locked_is_what_deals_have_left");
        names = ask(names, invariant_owed_is_what_is_unclaimed(w), "owed_is_what_is_unclaimed");
        names = ask(names, invariant_staked_is_the_sum_of_stakes(w), "staked_is_the_sum_of_stakes");
        names = ask(names, invariant_unapplied_is_what_is_not_taken(w), "unapplied_is_what_is_not_taken");
        names = ask(names, invariant_nothing_is_claimed_twice(w), "nothing_is_claimed_twice");
        names = ask(names, invariant_a_task_is_settled_once(w), "a_task_is_settled_once");
        names = ask(names, invariant_reservations_fit(w), "reservations_fit");
        names = ask(names, invariant_only_its_owner_moves_a_timer(), "only_its_owner_moves_a_timer");
        names = ask(names, invariant_only_owners_move_money(w), "only_owners_move_money");
        names = ask(names, invariant_no_conviction_makes_an_operator_richer(), "no_conviction_makes_an_operator_richer");
        names = ask(names, invariant_cumulative_numbers_never_fall(w), "cumulative_numbers_never_fall");
        names = ask(names, invariant_a_final_root_never_changes(w), "a_final_root_never_changes");
        names = ask(names, invariant_an_inbox_grows_by_rule(w), "an_inbox_grows_by_rule");
        names = ask(names, invariant_a_pool_ends_once(w), "a_pool_ends_once");
    }

    // ---- money ----

    /// balance = Σ free + Σ stake + Σ bond + Σ locked + Σ owed − Σ unapplied, to the unit.
    function invariant_money_is_conserved(Snapshot memory w) internal view returns (bool) {
        int256 sum = net(w.pools[1]) + net(w.pools[2]);
        uint256 n = _h.peopleCount();
        for (uint256 i = 0; i < n; i++) {
            sum += signed(_s.freeOf(_h.people(i)));
        }
        return signed(_h.held()) == sum;
    }

    /// Each pool has what was brought into it less what was taken out of it.
    function invariant_pools_do_not_pay_for_each_other(Snapshot memory w)
        internal
        view
        returns (bool)
    {
        return net(w.pools[1]) == signed(_h.netModel(1)) && net(w.pools[2]) == signed(_h.netModel(2));
    }

    /// Deal by deal: what was locked, less what was spent and what was returned.
    function invariant_locked_is_what_deals_have_left(Snapshot memory w)
        internal
        pure
        returns (bool)
    {
        int256 locked;
        for (uint256 i = 0; i < w.deals.length; i++) {
            Seen memory d = w.deals[i];
            locked += (d.tasks - d.settled) * d.price + d.refunded - d.returned;
        }
        return signed(w.pools[1].locked) == locked;
    }

    /// All that was earned, less all that anybody got.
    function invariant_owed_is_what_is_unclaimed(Snapshot memory w) internal view returns (bool) {
        int256 owed = w.cumFees - signed(w.pools[1].collected);
        for (uint32 i = 1; i <= WORKERS; i++) {
            owed += signed(w.accounts[i].cumEarned) - signed(_h.paidModel(i));
        }
        for (uint256 i = 0; i < w.deals.length; i++) {
            owed += w.deals[i].royalties - signed(_h.royaltyModel(w.deals[i].id));
        }
        return signed(w.pools[1].owed) == owed;
    }

    function invariant_staked_is_the_sum_of_stakes(Snapshot memory w)
        internal
        pure
        returns (bool held)
    {
        held = true;
        for (uint256 p = 1; p <= 2; p++) {
            int256 staked = signed(w.pools[p].staked);
            for (uint256 i = 1; i <= WORKERS; i++) {
                staked -= signed(w.seats[p][i].stake);
            }
            held = held && staked == 0;
        }
    }

    /// What final states slashed and no stake record has felt yet.
    function invariant_unapplied_is_what_is_not_taken(Snapshot memory w)
        internal
        pure
        returns (bool)
    {
        int256 unapplied = signed(w.pools[1].unapplied);
        for (uint256 i = 1; i <= WORKERS; i++) {
            unapplied -= signed(w.accounts[i].cumSlashed) - signed(w.seats[1][i].slashed);
        }
        return unapplied == 0;
    }

    /// What a worker got counts, and is no more than it has earned.
    function invariant_nothing_is_claimed_twice(Snapshot memory w)
        internal
        view
        returns (bool held)
    {
        held = true;
        for (uint32 i = 1; i <= WORKERS; i++) {
            uint256 paid = _h.paidModel(i);
            held = held && w.seats[1][i].claimed == paid && paid <= w.accounts[i].cumEarned;
        }
    }

    /// A task is spent, failed or never settled, and its price leaves `locked` once: nothing comes
    /// back of what a final state has spent.
    function invariant_a_task_is_settled_once(Snapshot memory w) internal pure returns (bool held) {
        held = true;
        for (uint256 i = 0; i < w.deals.length; i++) {
            Seen memory d = w.deals[i];
            int256 most = d.refunded + (d.tasks - d.settled) * d.price;
            held = held && d.settled <= d.tasks && d.returned <= most;
        }
    }

    /// What pending batches will move is set aside, and there; the honest pool sets no more aside.
    function invariant_reservations_fit(Snapshot memory w) internal view returns (bool held) {
        held = true;
        for (uint32 p = 1; p <= 2; p++) {
            Pool memory pool = w.pools[p];
            (uint256 value, uint256 draw, uint256 slashed) = pendingOf(p, pool);
            held = held && value <= pool.pendingValue && draw <= pool.pendingDraw
                && slashed <= pool.pendingSlashed && pool.pendingDraw <= pool.locked
                && slashed + pool.unapplied <= pool.staked
                && (p == 2 || value == pool.pendingValue);
        }
    }

    // ---- people ----

    function invariant_only_its_owner_moves_a_timer() internal view returns (bool held) {
        held = true;
        for (uint32 i = 1; i <= WORKERS; i++) {
            held = held && _s.workerOf(i).exitAt == _h.exitModel(i);
        }
    }

    /// Free balances and stakes are what their owners did, and what calls said they were given.
    function invariant_only_owners_move_money(Snapshot memory w) internal view returns (bool held) {
        held = true;
        uint256 n = _h.peopleCount();
        for (uint256 i = 0; i < n; i++) {
            address person = _h.people(i);
            held = held && _s.freeOf(person) == _h.freeModel(person);
        }
        for (uint32 i = 1; i <= WORKERS; i++) {
            held = held && w.seats[1][i].stake == _h.stakeModel(1, i)
                && w.seats[2][i].stake == _h.stakeModel(2, i);
        }
    }

    function invariant_no_conviction_makes_an_operator_richer() internal view returns (bool) {
        return _h.gained() == 0;
    }

    // ---- history ----

    function invariant_cumulative_numbers_never_fall(Snapshot memory w)
        internal
        view
        returns (bool held)
    {
        held = true;
        for (uint32 p = 1; p <= 2; p++) {
            Ledger.Heights memory seen = _h.heightsOf(p);
            Pool memory pool = w.pools[p];
            held = held && pool.deals >= seen.deals && pool.finalized >= seen.finalized
                && pool.collected >= seen.collected;
            for (uint32 i = 1; i <= WORKERS; i++) {
                (uint256 claimed, uint256 slashed) = _h.seatSeen(p, i);
                Seat memory seat = w.seats[p][i];
                held = held && seat.claimed >= claimed && seat.slashed >= slashed;
            }
        }
        for (uint256 i = 0; i < w.deals.length; i++) {
            held = held && dealNeverFalls(w.deals[i].id);
        }
    }

    /// The words of final batches are what they were when they were committed: the newest two, and one
    /// of the others.
    function invariant_a_final_root_never_changes(Snapshot memory w)
        internal
        view
        returns (bool held)
    {
        held = true;
        for (uint32 p = 1; p <= 2; p++) {
            uint64 last = w.pools[p].finalized;
            if (last == 0) continue;
            held = held && sameRoot(p, last) && sameRoot(p, uint64(block.timestamp) % last + 1);
            if (last > 1) held = held && sameRoot(p, last - 1);
        }
    }

    /// An inbox is the running hash of what was posted to it and of nothing else.
    function invariant_an_inbox_grows_by_rule(Snapshot memory w) internal view returns (bool) {
        return w.pools[1].inbox == _h.inboxModel(1) && w.pools[2].inbox == _h.inboxModel(2);
    }

    /// A dead pool takes no batch and no deal, and does not die again.
    function invariant_a_pool_ends_once(Snapshot memory w) internal view returns (bool held) {
        held = true;
        for (uint32 p = 1; p <= 2; p++) {
            (Pool memory pool, Ledger.End memory end) = (w.pools[p], _h.endOf(p));
            bool same = pool.deadAt == end.deadAt && pool.head == end.head && pool.deals == end.deals;
            held = held && pool.state == end.state && (pool.state == 0 || same);
        }
    }

    // ---- looking ----

    function look() private view returns (Snapshot memory w) {
        for (uint32 p = 1; p <= 2; p++) {
            w.pools[p] = _s.poolOf(p);
            for (uint32 i = 1; i <= WORKERS; i++) {
                w.seats[p][i] = _s.seatOf(p, i);
            }
        }
        uint64 last = w.pools[1].finalized;
        bytes32 state = _honest.rootAt(last);
        for (uint32 i = 1; i <= WORKERS; i++) {
            w.accounts[i] = _honest.workerAt(state, i);
        }
        if (last != 0) w.cumFees = signed(_honest.headerAt(last).cumFees);
        bytes32[] memory ids = _h.dealsOf(false);
        w.deals = new Seen[](ids.length);
        for (uint256 i = 0; i < ids.length; i++) {
            w.deals[i] = lookAt(state, ids[i]);
        }
    }

    function lookAt(bytes32 state, bytes32 dealId) private view returns (Seen memory d) {
        DealTerms memory t = _h.termsOf(dealId);
        Deal memory deal = _s.dealOf(dealId);
        DealAccount memory a = _honest.dealAt(state, deal.slot);
        d.id = dealId;
        d.price = signed(t.unitPrice) + signed(t.appPrice) + signed(t.datasetPrice);
        d.tasks = signed(t.tasks);
        d.settled = signed(a.settledCount);
        d.refunded = signed(a.refunded);
        d.royalties = signed(a.spent) / d.price * (d.price - signed(t.unitPrice));
        d.returned = signed(deal.returned);
    }

    function net(Pool memory p) private pure returns (int256) {
        return signed(uint256(p.locked) + p.owed + p.bond + p.staked) - signed(p.unapplied);
    }

    function pendingOf(uint32 poolId, Pool memory pool)
        private
        view
        returns (uint256 value, uint256 draw, uint256 slashed)
    {
        Grid grid = poolId == 1 ? _honest : _liar;
        for (uint64 i = pool.finalized + 1; i <= pool.head; i++) {
            Header memory h = grid.headerAt(i);
            uint256 out = uint256(h.payout) + h.fees + h.royalties;
            value += out + h.slashed;
            draw += out > h.slashed ? out - h.slashed : 0;
            slashed += h.slashed;
        }
    }

    function dealNeverFalls(bytes32 dealId) private view returns (bool) {
        (Deal memory deal, Deal memory seen) = (_s.dealOf(dealId), _h.dealSeen(dealId));
        (Royalties memory had, Royalties memory saw) =
            (_s.royaltiesOf(dealId), _h.royaltiesSeen(dealId));
        return deal.returned >= seen.returned && (deal.closed || !seen.closed)
            && had.app >= saw.app && had.dataset >= saw.dataset;
    }

    function sameRoot(uint32 poolId, uint64 index) private view returns (bool) {
        Opening memory b = (poolId == 1 ? _honest : _liar).openingAt(index);
        bytes32 rest = keccak256(abi.encode(b.headerHash, b.committedAt, b.inbox));
        return _s.batchOf(poolId, index) == keccak256(abi.encode(b.stateRoot, rest));
    }

    function signed(uint256 amount) private pure returns (int256) {
        return int256(amount);
    }

    function ask(string memory names, bool held, string memory name)
        private
        pure
        returns (string memory)
    {
        return held ? names : string.concat(names, "invariant_", name, " ");
    }
}
