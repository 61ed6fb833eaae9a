// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Deal, Pool, Royalties, Seat} from "../../src/Types.sol";
import {Fixture} from "./Fixture.sol";

/// @notice What ought to be: books that are kept beside the contract, from what people asked for and
/// what calls answered, never from what the contract has written. The laws compare the two.
abstract contract Ledger is Fixture {
    /// Each account's free balance.
    mapping(address account => uint256) public freeModel;
    /// Each worker's stake in each pool.
    mapping(uint32 poolId => mapping(uint32 worker => uint256)) public stakeModel;
    /// What went into a pool less what came out of it, by any door.
    mapping(uint32 poolId => uint256) public netModel;
    /// What each worker got from the honest pool, as tokens or as stake.
    mapping(uint32 worker => uint256) public paidModel;
    /// What the owners of a deal's application and dataset got.
    mapping(bytes32 dealId => uint256) public royaltyModel;
    /// Timers as owners have set them.
    mapping(uint32 worker => uint64) public exitModel;
    /// Running hashes of what was posted.
    mapping(uint32 poolId => bytes32) public inboxModel;
    /// What convictions made operators richer by.
    uint256 public gained;

    /// What a pool was when it ended.
    struct End {
        uint8 state;
        uint40 deadAt;
        uint32 head;
        uint32 deals;
    }

    mapping(uint32 poolId => End) internal _ends;

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

    mapping(uint32 poolId => Heights) internal _heights;
    mapping(uint32 poolId => mapping(uint32 worker => SeatHeights)) public seatSeen;
    mapping(bytes32 dealId => Deal) internal _dealSeen;
    mapping(bytes32 dealId => Royalties) internal _royaltiesSeen;

    function endOf(uint32 poolId) external view returns (End memory) {
        return _ends[poolId];
    }

    function heightsOf(uint32 poolId) external view returns (Heights memory) {
        return _heights[poolId];
    }

    function dealSeen(bytes32 dealId) external view returns (Deal memory) {
        return _dealSeen[dealId];
    }

    function royaltiesSeen(bytes32 dealId) external view returns (Royalties memory) {
        return _royaltiesSeen[dealId];
    }

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

    // ---- what was seen: kept at its highest, so that a fall shows ----

    function seePool(uint32 poolId) internal {
        Pool memory pool = settlement.poolOf(poolId);
        Heights storage seen = _heights[poolId];
        if (pool.deals > seen.deals) seen.deals = pool.deals;
        if (pool.finalized > seen.finalized) seen.finalized = pool.finalized;
        if (pool.collected > seen.collected) seen.collected = pool.collected;
    }

    function seeSeat(uint32 poolId, uint32 worker) internal {
        Seat memory seat = settlement.seatOf(poolId, worker);
        SeatHeights storage seen = seatSeen[poolId][worker];
        if (seat.claimed > seen.claimed) seen.claimed = seat.claimed;
        if (seat.slashed > seen.slashed) seen.slashed = seat.slashed;
    }

    function seeDeal(bytes32 dealId) internal {
        Deal memory deal = settlement.dealOf(dealId);
        Deal storage seen = _dealSeen[dealId];
        if (deal.returned > seen.returned) seen.returned = deal.returned;
        if (deal.closed) seen.closed = true;
        Royalties memory had = settlement.royaltiesOf(dealId);
        Royalties storage most = _royaltiesSeen[dealId];
        if (had.app > most.app) most.app = had.app;
        if (had.dataset > most.dataset) most.dataset = had.dataset;
    }

    /// What a pool is when its first end came.
    function seeEnd(uint32 poolId) internal {
        Pool memory pool = settlement.poolOf(poolId);
        End storage end = _ends[poolId];
        if (end.state == 0) (end.deadAt, end.deals) = (pool.deadAt, pool.deals);
        (end.state, end.head) = (pool.state, pool.head);
    }
}
