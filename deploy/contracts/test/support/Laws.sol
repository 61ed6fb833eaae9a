// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Deal, Pool, Royalties, Seat} from "../../src/Types.sol";
import {Handler} from "./Handler.sol";
import {vm} from "./Vm.sol";

/// @notice What must hold after every call, whoever made it. Each law says one thing and, where that
/// is possible, compares the contract with the ledger and not with itself, so that one mistake breaks
/// one law (README.md lists a mistake for each).
/// @dev All laws look at one snapshot: reading the world is what a check costs.
contract Laws is Handler {
    /// The world as it is; pools at 1 and 2, workers from 1.
    struct Snapshot {
        Pool[3] pools;
        Seat[6][3] seats;
        Deal[] deals;
        uint256[] free;
        uint256 burnt;
    }

    /// @notice The names of all broken laws, and not just of the first, so that a mistake can be told
    /// from its neighbours.
    function broken() public view returns (string memory names) {
        Snapshot memory w = look();
        names = ask("", invariant_money_is_conserved(w), "money_is_conserved");
        names = ask(
            names, invariant_pools_do_not_pay_for_each_other(w), "pools_do_not_pay_for_each_other"
        );
        names = ask(
            names, invariant_locked_is_what_deals_have_left(w), "locked_is_what_deals_have_left"
        );
        names = ask(names, invariant_owed_is_what_is_unclaimed(w), "owed_is_what_is_unclaimed");
        names = ask(names, invariant_staked_is_the_sum_of_stakes(w), "staked_is_the_sum_of_stakes");
        names = ask(
            names, invariant_unapplied_is_what_is_not_taken(w), "unapplied_is_what_is_not_taken"
        );
        names = ask(names, invariant_what_is_burnt_stays_burnt(w), "what_is_burnt_stays_burnt");
        names = ask(names, invariant_nothing_is_claimed_twice(w), "nothing_is_claimed_twice");
        names = ask(names, invariant_a_task_is_settled_once(w), "a_task_is_settled_once");
        names = ask(names, invariant_reservations_fit(w), "reservations_fit");
        names = ask(names, invariant_only_its_owner_moves_a_timer(), "only_its_owner_moves_a_timer");
        names = ask(names, invariant_only_owners_move_money(w), "only_owners_move_money");
        names = ask(
            names,
            invariant_no_conviction_makes_an_operator_richer(),
            "no_conviction_makes_an_operator_richer"
        );
        names =
            ask(names, invariant_cumulative_numbers_never_fall(w), "cumulative_numbers_never_fall");
        names = ask(names, invariant_a_final_root_never_changes(w), "a_final_root_never_changes");
        names = ask(names, invariant_an_inbox_grows_by_rule(w), "an_inbox_grows_by_rule");
        names = ask(names, invariant_a_pool_ends_once(w), "a_pool_ends_once");
    }

    // ---- money ----

    /// balance = Σ free, the burnt with it, + Σ stake + Σ bond + Σ locked + Σ owed − Σ unapplied, to the unit.
    function invariant_money_is_conserved(Snapshot memory w) internal view returns (bool) {
        int256 sum = net(w.pools[1]) + net(w.pools[2]) + signed(w.burnt);
        for (uint256 i = 0; i < w.free.length; i++) {
            sum += signed(w.free[i]);
        }
        return signed(token.balanceOf(address(settlement))) == sum;
    }

    /// Each pool has what was brought into it less what was taken out of it.
    function invariant_pools_do_not_pay_for_each_other(Snapshot memory w)
        internal
        view
        returns (bool)
    {
        return net(w.pools[1]) == signed(netModel[1]) && net(w.pools[2]) == signed(netModel[2]);
    }

    /// Deal by deal: what was locked, less what was spent and what was returned.
    function invariant_locked_is_what_deals_have_left(Snapshot memory w)
        internal
        view
        returns (bool)
    {
        int256 locked;
        for (uint256 i = 0; i < w.deals.length; i++) {
            Promise storage d = dealModel[i];
            locked += (d.tasks - d.settled) * d.price + d.refunded - signed(w.deals[i].returned);
        }
        return signed(w.pools[1].locked) == locked;
    }

    /// All that was earned, less all that anybody got.
    function invariant_owed_is_what_is_unclaimed(Snapshot memory w) internal view returns (bool) {
        int256 owed = feesModel - signed(feesPaidModel);
        for (uint32 i = 1; i <= WORKERS; i++) {
            owed += earnedModel[i].cumEarned - signed(paidModel[i]);
        }
        for (uint256 i = 0; i < w.deals.length; i++) {
            Promise storage d = dealModel[i];
            owed += d.royalties - signed(royaltyModel[d.id]);
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
        view
        returns (bool)
    {
        int256 unapplied = signed(w.pools[1].unapplied);
        for (uint32 i = 1; i <= WORKERS; i++) {
            unapplied -= earnedModel[i].cumSlashed - signed(w.seats[1][i].slashed);
        }
        return unapplied == 0;
    }

    /// Half of each convicted pool's bond, to the unit: no more, for the rest is its victims' and its
    /// provers', and never less than it was.
    function invariant_what_is_burnt_stays_burnt(Snapshot memory w) internal view returns (bool) {
        return w.burnt == burntModel;
    }

    /// What a worker got counts, and is no more than it has earned.
    function invariant_nothing_is_claimed_twice(Snapshot memory w)
        internal
        view
        returns (bool held)
    {
        held = true;
        for (uint32 i = 1; i <= WORKERS; i++) {
            uint256 paid = paidModel[i];
            held = held && w.seats[1][i].claimed == paid && signed(paid) <= earnedModel[i].cumEarned;
        }
    }

    /// A task is spent, failed or never settled, and its price leaves `locked` once: nothing comes
    /// back of what a final state has spent.
    function invariant_a_task_is_settled_once(Snapshot memory w) internal view returns (bool held) {
        held = true;
        for (uint256 i = 0; i < w.deals.length; i++) {
            Promise storage d = dealModel[i];
            int256 most = d.refunded + (d.tasks - d.settled) * d.price;
            held = held && d.settled <= d.tasks && signed(w.deals[i].returned) <= most;
        }
    }

    /// What pending batches will move is set aside, and there; the honest pool sets no more aside.
    function invariant_reservations_fit(Snapshot memory w) internal view returns (bool held) {
        held = true;
        for (uint32 p = 1; p <= 2; p++) {
            Pool memory pool = w.pools[p];
            Move memory sum = pendingOf(p, pool);
            held = held && sum.value <= pool.pendingValue && sum.draw <= pool.pendingDraw
                && sum.slashed <= pool.pendingSlashed && pool.pendingDraw <= pool.locked
                && sum.slashed + pool.unapplied <= pool.staked
                && (p == 2 || sum.value == pool.pendingValue);
        }
    }

    // ---- people ----

    function invariant_only_its_owner_moves_a_timer() internal view returns (bool held) {
        held = true;
        for (uint32 i = 1; i <= WORKERS; i++) {
            held = held && settlement.workerOf(i).exitAt == exitModel[i];
        }
    }

    /// Free balances and stakes are what their owners did, and what calls said they were given.
    function invariant_only_owners_move_money(Snapshot memory w) internal view returns (bool held) {
        held = true;
        for (uint256 i = 0; i < w.free.length; i++) {
            held = held && w.free[i] == freeModel[people[i]];
        }
        for (uint32 i = 1; i <= WORKERS; i++) {
            held = held && w.seats[1][i].stake == stakeModel[1][i]
                && w.seats[2][i].stake == stakeModel[2][i];
        }
    }

    function invariant_no_conviction_makes_an_operator_richer() internal view returns (bool) {
        return gained == 0;
    }

    // ---- history ----

    /// What an operator has collected is the sum of what it was paid.
    function invariant_cumulative_numbers_never_fall(Snapshot memory w)
        internal
        view
        returns (bool held)
    {
        held = w.pools[1].collected == feesPaidModel;
        for (uint32 p = 1; p <= 2; p++) {
            Heights storage seen = heights[p];
            Pool memory pool = w.pools[p];
            held = held && pool.deals >= seen.deals && pool.finalized >= seen.finalized
                && pool.collected >= seen.collected;
            for (uint32 i = 1; i <= WORKERS; i++) {
                (Seat memory seat, SeatHeights storage saw) = (w.seats[p][i], seatHeights[p][i]);
                held = held && seat.claimed >= saw.claimed && seat.slashed >= saw.slashed;
            }
        }
        for (uint256 i = 0; i < w.deals.length; i++) {
            bytes32 id = dealModel[i].id;
            Deal storage saw = dealHeights[id];
            held = held && w.deals[i].returned >= saw.returned && (w.deals[i].closed || !saw.closed)
                && royaltiesNeverFall(id);
        }
    }

    /// The words of final batches are what they were when they were committed: the newest one, and
    /// the one that the liar last tried to write again.
    function invariant_a_final_root_never_changes(Snapshot memory w)
        internal
        view
        returns (bool held)
    {
        held = true;
        for (uint32 p = 1; p <= 2; p++) {
            uint64 last = w.pools[p].finalized;
            if (last == 0) continue;
            held = held && sameWord(p, last) && (p == 1 || probed == 0 || sameWord(p, probed));
        }
    }

    /// An inbox is the running hash of what was posted to it and of nothing else.
    function invariant_an_inbox_grows_by_rule(Snapshot memory w) internal view returns (bool) {
        return w.pools[1].inbox == inboxModel[1] && w.pools[2].inbox == inboxModel[2];
    }

    /// A dead pool takes no batch and no deal, and does not die again.
    function invariant_a_pool_ends_once(Snapshot memory w) internal view returns (bool held) {
        held = true;
        for (uint32 p = 1; p <= 2; p++) {
            (Pool memory pool, End storage end) = (w.pools[p], ends[p]);
            bool same =
                pool.deadAt == end.deadAt && pool.head == end.head && pool.deals == end.deals;
            held = held && pool.state == end.state && (pool.state == 0 || same);
        }
    }

    // ---- looking ----

    function askLaws() internal view override {
        vm.assertEq(broken(), "", "broken laws");
    }

    function look() private view returns (Snapshot memory w) {
        for (uint32 p = 1; p <= 2; p++) {
            w.pools[p] = settlement.poolOf(p);
            for (uint32 i = 1; i <= WORKERS; i++) {
                w.seats[p][i] = settlement.seatOf(p, i);
            }
        }
        w.deals = new Deal[](dealModel.length);
        for (uint256 i = 0; i < w.deals.length; i++) {
            w.deals[i] = settlement.dealOf(dealModel[i].id);
        }
        w.free = new uint256[](people.length);
        for (uint256 i = 0; i < w.free.length; i++) {
            w.free[i] = settlement.freeOf(people[i]);
        }
        w.burnt = settlement.freeOf(BURNT);
    }

    function net(Pool memory p) private pure returns (int256) {
        return signed(uint256(p.locked) + p.owed + p.bond + p.staked) - signed(p.unapplied);
    }

    function pendingOf(uint32 poolId, Pool memory pool) private view returns (Move memory sum) {
        for (uint64 i = pool.finalized + 1; i <= pool.head; i++) {
            Move storage move = moveModel[poolId][i];
            sum.value += move.value;
            sum.draw += move.draw;
            sum.slashed += move.slashed;
        }
    }

    function royaltiesNeverFall(bytes32 dealId) private view returns (bool) {
        Royalties storage seen = royaltyHeights[dealId];
        if (seen.app == 0 && seen.dataset == 0) return true;
        Royalties memory had = settlement.royaltiesOf(dealId);
        return had.app >= seen.app && had.dataset >= seen.dataset;
    }

    function sameWord(uint32 poolId, uint64 index) private view returns (bool) {
        return settlement.batchOf(poolId, index) == wordModel[poolId][index];
    }

    function ask(string memory names, bool holds, string memory name)
        private
        pure
        returns (string memory)
    {
        return holds ? names : string.concat(names, "invariant_", name, " ");
    }
}
