// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {
    Anchor,
    Deal,
    DealAccount,
    DealTerms,
    Header,
    Pool,
    Royalties,
    Seat,
    WorkerAccount
} from "../../src/Types.sol";
import {Fixture} from "./Fixture.sol";
import {Grid} from "./Grid.sol";

/// @notice What ought to be: books that are kept beside the contract, from what people asked for and
/// what calls answered, never from what the contract has written. The laws compare the two.
abstract contract Ledger is Fixture {
    /// Each account's free balance.
    mapping(address account => uint256) internal freeModel;
    /// Each worker's stake in each pool.
    mapping(uint32 poolId => mapping(uint32 worker => uint256)) internal stakeModel;
    /// What went into a pool less what came out of it, by any door.
    mapping(uint32 poolId => uint256) internal netModel;
    /// What each worker got from the honest pool, as tokens or as stake.
    mapping(uint32 worker => uint256) internal paidModel;
    /// What the owners of a deal's application and dataset got.
    mapping(bytes32 dealId => uint256) internal royaltyModel;
    /// Timers as owners have set them.
    mapping(uint32 worker => uint64) internal exitModel;
    /// Running hashes of what was posted.
    mapping(uint32 poolId => bytes32) internal inboxModel;
    /// Words of batches as they were committed.
    mapping(uint32 poolId => mapping(uint64 index => bytes32)) internal wordModel;
    /// Halves of the bonds of convicted pools.
    uint256 internal burntModel;
    /// What convictions made operators richer by.
    uint256 internal gained;

    /// What a batch moves.
    struct Move {
        uint256 value;
        uint256 draw;
        uint256 slashed;
    }

    /// What the honest pool's newest final state says of a worker.
    struct Earned {
        int256 cumEarned;
        int256 cumSlashed;
    }

    /// One of the honest pool's deals, and what the newest final state says of it.
    struct Promise {
        bytes32 id;
        uint32 slot;
        int256 price;
        int256 royalty;
        int256 tasks;
        int256 settled;
        int256 refunded;
        int256 royalties;
    }

    /// What a pool was when it ended.
    struct End {
        uint8 state;
        uint40 deadAt;
        uint32 head;
        uint32 deals;
    }

    /// The highest that was ever seen of what must never fall.
    struct Heights {
        uint32 deals;
        uint32 finalized;
        uint128 collected;
    }

    /// The same of a worker's seat.
    struct SeatHeights {
        uint128 claimed;
        uint128 slashed;
    }

    mapping(uint32 poolId => mapping(uint64 index => Move)) internal moveModel;
    mapping(uint32 worker => Earned) internal earnedModel;
    /// What the honest operator has earned by then, and what it got.
    int256 internal feesModel;
    uint256 internal feesPaidModel;
    Promise[] internal dealModel;
    mapping(uint32 poolId => End) internal ends;
    mapping(uint32 poolId => Heights) internal heights;
    mapping(uint32 poolId => mapping(uint32 worker => SeatHeights)) internal seatHeights;
    mapping(bytes32 dealId => Deal) internal dealHeights;
    mapping(bytes32 dealId => Royalties) internal royaltyHeights;

    // ---- money that moves between purses ----

    function intoPool(address from, uint32 poolId, uint256 amount) internal {
        freeModel[from] -= amount;
        netModel[poolId] += amount;
    }

    function outOfPool(uint32 poolId, address to, uint256 amount) internal {
        netModel[poolId] -= amount;
        freeModel[to] += amount;
    }

    /// A slash is taken from the stake as far as that goes, and the bond has the rest.
    function slashModel(uint32 poolId, uint32 worker, uint256 slashed) internal {
        uint256 stake = stakeModel[poolId][worker];
        stakeModel[poolId][worker] = slashed < stake ? stake - slashed : 0;
    }

    // ---- what pools promise ----

    /// A batch was committed.
    function noteBatch(Grid grid, Header memory header) internal {
        uint256 out = uint256(header.payout) + header.fees + header.royalties;
        uint256 draw = out > header.slashed ? out - header.slashed : 0;
        moveModel[header.poolId][header.index] = Move(out + header.slashed, draw, header.slashed);
        Anchor memory anchor = grid.anchorAt(header.index);
        wordModel[header.poolId][header.index] =
            keccak256(abi.encode(anchor.stateRoot, anchor.rest));
    }

    function noteDeal(bytes32 dealId) internal {
        DealTerms memory t = book.get(dealId);
        Promise memory b;
        (b.id, b.slot, b.tasks) = (dealId, settlement.dealOf(dealId).slot, signed(t.tasks));
        b.royalty = signed(t.appPrice) + signed(t.datasetPrice);
        b.price = signed(t.unitPrice) + b.royalty;
        dealModel.push(b);
    }

    /// The honest pool has a new final state.
    function noteFinal(Grid grid, uint64 index, uint32 workers) internal {
        bytes32 state = grid.rootAt(index);
        feesModel = signed(grid.headerAt(index).cumFees);
        for (uint32 i = 1; i <= workers; i++) {
            WorkerAccount memory a = grid.workerAt(state, i);
            earnedModel[i] = Earned(signed(a.cumEarned), signed(a.cumSlashed));
        }
        for (uint256 i = 0; i < dealModel.length; i++) {
            Promise storage b = dealModel[i];
            DealAccount memory a = grid.dealAt(state, b.slot);
            (b.settled, b.refunded) = (signed(a.settledCount), signed(a.refunded));
            b.royalties = signed(a.spent) / b.price * b.royalty;
        }
    }

    function signed(uint256 amount) internal pure returns (int256) {
        return int256(amount);
    }

    // ---- what was seen: kept at its highest, so that a fall shows ----

    function seePool(uint32 poolId) internal {
        Pool memory pool = settlement.poolOf(poolId);
        Heights storage seen = heights[poolId];
        if (pool.deals > seen.deals) seen.deals = pool.deals;
        if (pool.finalized > seen.finalized) seen.finalized = pool.finalized;
        if (pool.collected > seen.collected) seen.collected = pool.collected;
    }

    function seeSeat(uint32 poolId, uint32 worker) internal {
        Seat memory seat = settlement.seatOf(poolId, worker);
        SeatHeights storage seen = seatHeights[poolId][worker];
        if (seat.claimed > seen.claimed) seen.claimed = seat.claimed;
        if (seat.slashed > seen.slashed) seen.slashed = seat.slashed;
    }

    function seeDeal(bytes32 dealId) internal {
        Deal memory deal = settlement.dealOf(dealId);
        Deal storage seen = dealHeights[dealId];
        if (deal.returned > seen.returned) seen.returned = deal.returned;
        if (deal.closed) seen.closed = true;
        Royalties memory had = settlement.royaltiesOf(dealId);
        Royalties storage most = royaltyHeights[dealId];
        if (had.app > most.app) most.app = had.app;
        if (had.dataset > most.dataset) most.dataset = had.dataset;
    }

    /// What a pool is when its first end came.
    function seeEnd(uint32 poolId) internal {
        Pool memory pool = settlement.poolOf(poolId);
        End storage end = ends[poolId];
        if (end.state == 0) (end.deadAt, end.deals) = (pool.deadAt, pool.deals);
        (end.state, end.head) = (pool.state, pool.head);
    }
}
