// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarket} from "../../src/IMarket.sol";
import {
    Anchor,
    Deal,
    DealAccount,
    DealTerms,
    Header,
    Opening,
    Pool,
    Seat,
    WorkerAccount
} from "../../src/Types.sol";
import {Fixture} from "./Fixture.sol";
import {Grid} from "./Grid.sol";
import {vm} from "./Vm.sol";

/// @notice What people do, in any order, for the invariants: one honest pool, one that lies as it
/// pleases, workers and a requester who deal with both. Honest people's calls must never revert and
/// must pay in full; the liar's may do either, as long as the money equation holds.
contract Handler is Fixture {
    uint64 public constant GRACE = 7 days;
    /// And payers wait this much longer for what was never settled.
    uint64 public constant REFUND_SLACK = 2 days;
    uint32 public constant WORKERS = 5;
    /// How long Escape has in a dead pool before refunds.
    uint64 public constant ESCAPE_TIME = 7 days;
    uint256 private constant LIAR_KEY = 0x11A4;

    Grid public honest;
    Grid public liar;
    bytes32[] private _honestDeals;
    bytes32[] private _liarDeals;
    address[] public people;
    address private constant OTHER_OWNER = address(0x04E2);
    address private constant LIAR = address(0x11A4);

    /// What ought to be, kept beside: timers as their owners set them, and what claims have paid.
    mapping(uint32 worker => uint64) private _exitAt;
    mapping(uint32 worker => uint128) private _paid;
    mapping(bytes32 dealId => uint128) private _royalties;

    constructor() {
        setUp();
        honest = newGrid(1_000_000);
        liar = gridOf(newPool(LIAR, LIAR_KEY, 500_000), LIAR_KEY);
        for (uint32 i = 0; i < WORKERS; i++) {
            uint32 worker = newWorker(i % 2 == 0 ? owner : OTHER_OWNER, VOTE_KEY + i);
            stakeOn(honest.poolId(), worker, 10_000);
            stakeOn(liar.poolId(), worker, 10_000);
        }
        people.push(requester);
        people.push(operator);
        people.push(owner);
        people.push(OTHER_OWNER);
        people.push(LIAR);
        people.push(appOwner);
        people.push(datasetOwner);
        people.push(court);
    }

    // ---- actions ----

    function deposit(uint256 who, uint128 amount) external {
        fund(people[who % people.length], uint128(bound(amount, 1, 100_000)));
    }

    function withdraw(uint256 who, uint128 amount) external {
        address person = people[who % people.length];
        uint128 free = settlement.freeOf(person);
        if (free == 0) return;
        vm.prank(person);
        settlement.withdraw(uint128(bound(amount, 1, free)));
    }

    function stake(uint32 worker, bool lying, uint128 amount) external {
        worker = pick(worker);
        uint32 poolId = (lying ? liar : honest).poolId();
        if (settlement.workerOf(worker).exitAt != 0 || dead(poolId)) return;
        stakeOn(poolId, worker, uint128(bound(amount, 1, 5000)));
    }

    function exit(uint32 worker) external {
        worker = pick(worker);
        bool staying = settlement.workerOf(worker).exitAt == 0;
        vm.prank(settlement.workerOf(worker).owner);
        if (staying) settlement.requestExit(worker);
        else settlement.cancelExit(worker);
        _exitAt[worker] = staying ? uint64(block.timestamp) + WINDOW + 2 days : 0;
    }

    function restake(uint32 worker, bool on) external {
        worker = pick(worker);
        vm.prank(settlement.workerOf(worker).owner);
        settlement.setRestake(worker, on);
    }

    function unstake(uint32 worker, bool lying) external {
        worker = pick(worker);
        uint64 exitAt = settlement.workerOf(worker).exitAt;
        if (exitAt == 0) return;
        if (block.timestamp < exitAt) vm.warp(exitAt);
        takeStake(lying ? liar : honest, worker);
    }

    function openDeal(bool lying, uint32 n, uint128 price, uint8 stakeRatio, uint64 lasts)
        external
    {
        Grid grid = lying ? liar : honest;
        if (dead(grid.poolId())) return;
        IMarket.Match memory m = fullMatch(grid.poolId(), uint32(bound(n, 1, 20)));
        m.offer.unitPrice = uint128(bound(price, 1, 999));
        m.offer.stakeRatio = uint8(bound(stakeRatio, 0, 100));
        m.offer.schedulerRatio = stakeRatio % 7;
        m.req.deadline = uint64(block.timestamp + bound(lasts, 1 hours, 20 days));
        sign(m);
        m.offerSig = sign64(lying ? LIAR_KEY : SIGNER_KEY, hashes.hashPoolOrder(m.offer));
        fund(requester, m.n * (m.offer.unitPrice + 100));
        bytes32 dealId = open(m);
        if (lying) _liarDeals.push(dealId);
        else _honestDeals.push(dealId);
    }

    /// The honest pool settles some tasks and commits them.
    function work(uint256 seed, uint256 tasks) external {
        if (dead(honest.poolId())) return;
        tasks = bound(tasks, 1, 6);
        for (uint256 i = 0; i < tasks; i++) {
            seed = uint256(keccak256(abi.encode(seed, i)));
            settleOne(seed);
        }
        if (honest.openCount() > 0) honest.commit();
    }

    /// The liar writes what it likes into accounts and header.
    function lie(uint256 seed, uint128 earned, uint128 slashed, uint128 payout, uint128 fees)
        external
    {
        WorkerAccount memory account;
        uint32 worker = pick(uint32(seed));
        account.owner = settlement.workerOf(worker).owner;
        account.voteKey = settlement.workerOf(worker).voteKey;
        (account.cumEarned, account.cumSlashed) = (earned % 50_000, slashed % 50_000);
        liar.forgeWorker(worker, account);
        if (_liarDeals.length > 0) {
            bytes32 dealId = _liarDeals[seed % _liarDeals.length];
            DealAccount memory forged;
            forged.dealId = dealId;
            forged.settledCount = uint32(seed >> 32);
            forged.refunded = earned % 50_000;
            liar.forgeDeal(settlement.dealOf(dealId).slot, forged);
        }
        liar.tamper(payout % 3000, fees % 300, slashed % 3000);
        liar.tamperRoyalties(earned % 200);
        try liar.commit() {} catch {}
    }

    /// The Court drops some of what the liar has pending. Nobody but the Court is richer for it.
    function convict(uint256 index) external {
        Pool memory pool = settlement.poolOf(liar.poolId());
        if (pool.head == pool.finalized || index % 4 != 0) return;
        index = bound(index, pool.finalized + 1, pool.head);
        uint256 had = settlement.freeOf(LIAR) + token.balanceOf(LIAR);
        uint32 poolId = liar.poolId();
        vm.prank(court);
        settlement.convict(poolId, uint32(index));
        liar.drop(uint64(index));
        vm.assertEq(settlement.freeOf(LIAR) + token.balanceOf(LIAR), had, "a liar gains nothing");
        vm.assertEq(settlement.poolOf(liar.poolId()).head, index - 1, "dropped");
    }

    /// The honest pool's operator may die, too: it has neglected something.
    function die(uint256 seed) external {
        if (dead(honest.poolId()) || seed % 16 != 0) return;
        uint32 poolId = honest.poolId();
        vm.prank(escape);
        settlement.abandon(poolId);
    }

    function collectFees(uint64 index, bool lying) external {
        Grid grid = lying ? liar : honest;
        index = someFinal(grid, index);
        if (index == 0) return;
        Header memory header = grid.headerAt(index);
        Opening memory batch = grid.openingAt(index);
        uint128 had = settlement.poolOf(grid.poolId()).collected;
        try settlement.collectFees(header, batch.committedAt, batch.inbox) returns (uint128 paid) {
            vm.assertTrue(lying || paid == header.cumFees - had, "in full");
        } catch {
            vm.assertTrue(lying || header.cumFees <= had, "only what was collected before");
        }
    }

    function claimRoyalties(uint256 deal, uint64 index) external {
        if (_honestDeals.length == 0) return;
        royaltiesInFull(_honestDeals[deal % _honestDeals.length], someFinal(honest, index));
    }

    function finalize(bool lying) external {
        finalizeOverdue(lying ? liar : honest);
    }

    function claim(uint32 worker, uint64 index) external {
        worker = pick(worker);
        index = someFinal(honest, index);
        if (index != 0) claimInFull(worker, index);
    }

    function claimFromLiar(uint32 worker, uint64 index) external {
        worker = pick(worker);
        index = someFinal(liar, index);
        (WorkerAccount memory account, bytes32[] memory path) = liar.workerProof(index, worker);
        uint128 owed = settlement.poolOf(liar.poolId()).owed;
        try settlement.claim(
            liar.poolId(), worker, account, path, index, liar.anchorAt(index)
        ) returns (
            uint128 paid
        ) {
            vm.assertLe(paid, owed, "no more than the liar owes");
        } catch {}
    }

    function refund(uint256 deal, uint64 index) external {
        if (_honestDeals.length == 0) return;
        refundInFull(_honestDeals[deal % _honestDeals.length], someFinal(honest, index));
    }

    function refundFromLiar(uint256 deal, uint64 index) external {
        if (_liarDeals.length == 0) return;
        bytes32 dealId = _liarDeals[deal % _liarDeals.length];
        index = someFinal(liar, index);
        (DealAccount memory account, bytes32[] memory path) = liar.dealProof(index, dealId);
        DealTerms memory terms = book.get(dealId);
        Opening memory batch = liar.openingAt(index);
        try settlement.refundUnsettled(terms, account, path, index, batch) {} catch {}
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1 minutes, 3 days));
    }

    // ---- what must hold after every action ----

    function checkEquation() external view {
        uint256 free;
        for (uint256 i = 0; i < people.length; i++) {
            free += settlement.freeOf(people[i]);
        }
        checkMoney(free, 2);
    }

    /// The honest pool's purses hold exactly what its finalized state promises.
    function checkCovered() external view {
        Pool memory pool = settlement.poolOf(honest.poolId());
        bytes32 state = honest.rootAt(pool.finalized);
        (uint256 owed, uint256 unapplied, uint256 staked) = (0, 0, 0);
        for (uint32 worker = 1; worker <= WORKERS; worker++) {
            Seat memory seat = settlement.seatOf(honest.poolId(), worker);
            WorkerAccount memory account = honest.workerAt(state, worker);
            vm.assertLe(seat.claimed, account.cumEarned, "no over-claim");
            vm.assertEq(seat.claimed, _paid[worker], "what was paid counts once");
            uint64 exitAt = settlement.workerOf(worker).exitAt;
            vm.assertEq(exitAt, _exitAt[worker], "only its owner moves a timer");
            owed += account.cumEarned - seat.claimed;
            unapplied += account.cumSlashed - seat.slashed;
            staked += seat.stake;
        }
        if (pool.finalized != 0) owed += honest.headerAt(pool.finalized).cumFees - pool.collected;
        vm.assertEq(pool.unapplied, unapplied, "unapplied is what is not taken");
        vm.assertEq(pool.staked, staked, "staked is the sum of stakes");
        uint256 locked;
        for (uint256 i = 0; i < _honestDeals.length; i++) {
            locked += lockedIn(state, _honestDeals[i]);
            owed += royaltiesIn(state, _honestDeals[i]) - _royalties[_honestDeals[i]];
        }
        vm.assertEq(pool.owed, owed, "owed is what is not claimed");
        vm.assertEq(pool.locked, locked, "locked is what deals have left");
    }

    /// Both pools: what pending batches reserved is there.
    function checkReserved() external view {
        for (uint32 poolId = 1; poolId <= 2; poolId++) {
            Pool memory pool = settlement.poolOf(poolId);
            vm.assertLe(pool.pendingDraw, pool.locked, "draws are locked");
            // What dropped batches had reserved is void when none is pending.
            uint256 pending = pool.head == pool.finalized ? 0 : pool.pendingSlashed;
            vm.assertLe(pending + pool.unapplied, pool.staked, "slashes are staked");
        }
    }

    /// Everybody leaves the honest pool with everything; nothing of it is left.
    function windDown() external {
        vm.warp(block.timestamp + WINDOW);
        finalizeOverdue(honest);
        uint64 newest = settlement.poolOf(honest.poolId()).finalized;
        for (uint32 worker = 1; worker <= WORKERS; worker++) {
            if (newest != 0) claimInFull(worker, newest);
            if (settlement.workerOf(worker).exitAt != 0) continue;
            vm.prank(settlement.workerOf(worker).owner);
            settlement.requestExit(worker);
            _exitAt[worker] = settlement.workerOf(worker).exitAt;
        }
        vm.warp(block.timestamp + 60 days); // past every deadline, grace and timer
        for (uint256 i = 0; i < _honestDeals.length; i++) {
            refundInFull(_honestDeals[i], newest);
            royaltiesInFull(_honestDeals[i], newest);
        }
        if (newest != 0) collectInFull(newest);
        for (uint32 worker = 1; worker <= WORKERS; worker++) {
            takeStake(honest, worker);
        }

        uint32 poolId = honest.poolId();
        uint128 bond = settlement.poolOf(poolId).bond;
        vm.assertEq(bond, 1_000_000, "an honest bond is never touched");
        vm.assertEq(moneyOf(poolId), bond, "nothing but the bond is left");
        takeBond(poolId);
        for (uint256 i = 0; i < people.length; i++) {
            uint128 free = settlement.freeOf(people[i]);
            if (free == 0) continue;
            vm.prank(people[i]);
            settlement.withdraw(free);
        }
        checkMoney(0, 2);
    }

    // ---- helpers ----

    /// A dead pool's bond stays for those it may have harmed.
    function takeBond(uint32 poolId) private {
        if (dead(poolId)) return;
        vm.startPrank(operator);
        settlement.requestBondExit(poolId);
        vm.warp(settlement.poolOf(poolId).exitAt);
        settlement.withdrawBond(poolId);
        vm.stopPrank();
    }

    /// A task of some deal that may still be settled, voted on by some workers.
    function settleOne(uint256 seed) private {
        if (_honestDeals.length == 0) return;
        bytes32 dealId = _honestDeals[seed % _honestDeals.length];
        Deal memory deal = settlement.dealOf(dealId);
        DealTerms memory terms = book.get(dealId);
        DealAccount memory account = honest.dealAt(honest.state(), deal.slot);
        bool over = block.timestamp >= terms.deadline + GRACE || account.settledCount == terms.tasks;
        if (over || deal.closed) return;
        uint128 stakeEach = terms.unitPrice * terms.stakeRatio / 100;
        (uint32[] memory winners, uint32[] memory losers) = vote(seed >> 16, stakeEach);
        uint128 value = terms.unitPrice + 100 + 2 * stakeEach * uint128(losers.length);
        if (!fits(value)) return;
        honest.settle(dealId, winners, losers);
    }

    /// Two bits a worker: absent, for, for, against (if its stake covers that).
    function vote(uint256 seed, uint128 stakeEach)
        private
        view
        returns (uint32[] memory winners, uint32[] memory losers)
    {
        uint32[] memory yes = new uint32[](WORKERS);
        uint32[] memory no = new uint32[](WORKERS);
        (uint256 y, uint256 n) = (0, 0);
        for (uint32 worker = 1; worker <= WORKERS; worker++) {
            uint256 choice = (seed >> (2 * worker)) & 3;
            bool staying = settlement.workerOf(worker).exitAt == 0;
            if (choice == 3 && staying && honest.atRisk(worker) >= stakeEach) no[n++] = worker;
            else if (choice == 1 || choice == 2) yes[y++] = worker;
        }
        if (seed & 3 == 0) y = 0; // one in four fails
        assembly ("memory-safe") {
            mstore(yes, y)
            mstore(no, n)
        }
        return (yes, no);
    }

    /// Whether the bond has room for one more task of this value in the open batch.
    function fits(uint128 value) private view returns (bool) {
        Pool memory pool = settlement.poolOf(honest.poolId());
        Header memory draft = honest.draft();
        uint256 used = uint256(pool.pendingValue) + draft.payout + draft.fees + draft.royalties
            + draft.slashed;
        return used + value <= uint256(pool.bond) * 2 / 3;
    }

    function finalizeOverdue(Grid grid) private {
        Pool memory pool = settlement.poolOf(grid.poolId());
        for (uint64 i = pool.finalized + 1; i <= pool.head; i++) {
            if (block.timestamp < grid.openingAt(i).committedAt + WINDOW) break;
            grid.finalize(i);
        }
    }

    function claimInFull(uint32 worker, uint64 index) private {
        (WorkerAccount memory account, bytes32[] memory path) = honest.workerProof(index, worker);
        Seat memory seat = settlement.seatOf(honest.poolId(), worker);
        bool earned = account.cumEarned > seat.claimed;
        if (!earned && account.cumSlashed <= seat.slashed) return;
        uint128 paid =
            settlement.claim(honest.poolId(), worker, account, path, index, honest.anchorAt(index));
        vm.assertEq(paid, earned ? account.cumEarned - seat.claimed : 0, "paid in full");
        _paid[worker] += paid;
    }

    function refundInFull(bytes32 dealId, uint64 index) private {
        (DealAccount memory account, bytes32[] memory path) = honest.dealProof(index, dealId);
        Deal memory deal = settlement.dealOf(dealId);
        DealTerms memory terms = book.get(dealId);
        uint128 due = account.refunded;
        if (isLast(terms, index)) {
            due += (terms.tasks - account.settledCount) * (terms.unitPrice + 100);
        }
        if (deal.closed || due <= deal.returned) return;
        uint128 amount =
            settlement.refundUnsettled(terms, account, path, index, honest.openingAt(index));
        vm.assertEq(amount, due - deal.returned, "returned in full");
    }

    function isLast(DealTerms memory terms, uint64 index) private view returns (bool) {
        Pool memory pool = settlement.poolOf(terms.poolId);
        if (pool.state != 0) {
            return pool.head == index
                && block.timestamp >= pool.deadAt + settlement.window() + ESCAPE_TIME;
        }
        uint256 end = terms.deadline + GRACE + REFUND_SLACK;
        if (block.timestamp < end) return false;
        if (pool.head == index) return true;
        return index != 0 && honest.openingAt(index).committedAt > end;
    }

    function royaltiesInFull(bytes32 dealId, uint64 index) private {
        if (index == 0) return;
        (DealAccount memory account, bytes32[] memory path) = honest.dealProof(index, dealId);
        DealTerms memory terms = book.get(dealId);
        uint256 due = royaltiesIn(honest.rootAt(index), dealId);
        if (due <= _royalties[dealId]) return;
        uint128 paid =
            settlement.claimRoyalties(terms, account, path, index, honest.anchorAt(index));
        vm.assertEq(paid, due - _royalties[dealId], "royalties in full");
        _royalties[dealId] += paid;
    }

    function collectInFull(uint64 index) private {
        Header memory header = honest.headerAt(index);
        if (header.cumFees == settlement.poolOf(honest.poolId()).collected) return;
        Opening memory batch = honest.openingAt(index);
        settlement.collectFees(header, batch.committedAt, batch.inbox);
    }

    function takeStake(Grid grid, uint32 worker) private {
        finalizeOverdue(grid);
        uint32 poolId = grid.poolId();
        uint64 newest = settlement.poolOf(poolId).finalized;
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(newest, worker);
        Seat memory seat = settlement.seatOf(poolId, worker);
        bool lying = poolId == liar.poolId();
        if (!lying && seat.stake == account.cumSlashed - seat.slashed) return; // nothing is left
        (Anchor memory anchor, Opening memory next) = (grid.anchorAt(newest), grid.nextOpening());
        vm.prank(settlement.workerOf(worker).owner);
        try settlement.unstake(poolId, worker, account, path, anchor, next) {
            bool all = settlement.seatOf(poolId, worker).stake == 0;
            vm.assertTrue(lying || all, "the honest pool frees it all");
        } catch {
            vm.assertTrue(lying, "the honest pool frees it");
        }
    }

    /// What a deal still has in the pool's locked purse, by a finalized state.
    function lockedIn(bytes32 state, bytes32 dealId) private view returns (uint256) {
        Deal memory deal = settlement.dealOf(dealId);
        if (deal.closed) return 0;
        DealTerms memory terms = book.get(dealId);
        DealAccount memory account = honest.dealAt(state, deal.slot);
        uint256 unsettled = uint256(terms.tasks - account.settledCount) * (terms.unitPrice + 100);
        return unsettled + account.refunded - deal.returned;
    }

    /// What a deal's owners have earned by a finalized state: 100 for each task that succeeded.
    function royaltiesIn(bytes32 state, bytes32 dealId) private view returns (uint256) {
        DealAccount memory account = honest.dealAt(state, settlement.dealOf(dealId).slot);
        return account.spent / (book.get(dealId).unitPrice + 100) * 100;
    }

    function dead(uint32 poolId) private view returns (bool) {
        return settlement.poolOf(poolId).state != 0;
    }

    function someFinal(Grid grid, uint64 index) private view returns (uint64) {
        uint64 newest = settlement.poolOf(grid.poolId()).finalized;
        uint64 oldest = newest > REMEMBERED ? newest - REMEMBERED + 1 : 1;
        return newest == 0 ? 0 : uint64(bound(index, oldest, newest));
    }

    function pick(uint32 worker) private pure returns (uint32) {
        return worker % WORKERS + 1;
    }
}
