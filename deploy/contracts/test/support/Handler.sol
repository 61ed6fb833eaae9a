// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarket} from "../../src/IMarket.sol";
import {
    Anchor,
    CommitSet,
    Deal,
    DealAccount,
    DealTerms,
    Header,
    Opening,
    Pool,
    Reveal,
    Seat,
    WorkerAccount,
    WorkerOp
} from "../../src/Types.sol";
import {Grid} from "./Grid.sol";
import {Ledger} from "./Ledger.sol";
import {vm} from "./Vm.sol";

/// @notice What people do, in any order, for the invariants: one honest pool, one that lies as it
/// pleases, workers and a requester who deal with both, and strangers who try what is not theirs.
/// Calls of honest people must never revert (the campaign fails on any revert) and must pay in full;
/// the liar's and the strangers' may do either, as long as the laws hold (Laws.sol).
abstract contract Handler is Ledger {
    uint64 private constant GRACE = 7 days;
    uint32 internal constant WORKERS = 5;
    /// By then after a deal's deadline, or a pool's end, what was never settled can be had back.
    uint64 private constant LATE = 14 days;
    uint256 private constant LIAR_KEY = 0x11A4;
    uint128 private constant HONEST_BOND = 1_000_000;
    uint128 private constant LIAR_BOND = 500_000;
    string private constant DUE = "invariant_everybody_gets_what_is_due";

    Grid internal honest;
    Grid internal liar;
    bytes32[] private _honestDeals;
    bytes32[] private _liarDeals;
    address[] internal people;
    /// Tasks of a deal that Escape has paid for.
    mapping(bytes32 dealId => uint32) private _forced;
    uint128 private _bondPaid;
    /// The final batch that the liar tried last to write again.
    uint64 internal probed;
    address private constant OTHER_OWNER = address(0x04E2);
    address private constant LIAR = address(0x11A4);
    address internal constant BURNT = address(0xdEaD);

    constructor() {
        setUp();
        people.push(requester);
        people.push(operator);
        people.push(owner);
        people.push(OTHER_OWNER);
        people.push(LIAR);
        people.push(appOwner);
        people.push(datasetOwner);
        people.push(court);
        people.push(stranger);
        people.push(address(this));
        honest = newGrid(HONEST_BOND);
        liar = gridOf(newPool(LIAR, LIAR_KEY, LIAR_BOND), LIAR_KEY);
        netModel[honest.poolId()] = HONEST_BOND;
        netModel[liar.poolId()] = LIAR_BOND;
        for (uint32 i = 0; i < WORKERS; i++) {
            uint32 worker = newWorker(i % 2 == 0 ? owner : OTHER_OWNER, VOTE_KEY + i);
            putStake(honest.poolId(), worker, 10_000);
            putStake(liar.poolId(), worker, 10_000);
        }
    }

    // ---- actions ----

    function deposit(uint256 who, uint128 amount) external {
        address person = people[who % people.length];
        amount = uint128(bound(amount, 1, 100_000));
        fund(person, amount);
        freeModel[person] += amount;
    }

    function withdraw(uint256 who, uint128 amount) external {
        address person = people[who % people.length];
        uint128 free = settlement.freeOf(person);
        if (free == 0) return;
        amount = uint128(bound(amount, 1, free));
        vm.prank(person);
        settlement.withdraw(amount);
        freeModel[person] -= amount;
    }

    function stake(uint32 worker, bool lying, uint128 amount) external {
        worker = pick(worker);
        uint32 poolId = (lying ? liar : honest).poolId();
        if (settlement.workerOf(worker).exitAt != 0 || dead(poolId)) return;
        putStake(poolId, worker, uint128(bound(amount, 1, 5000)));
    }

    function exit(uint32 worker) external {
        worker = pick(worker);
        bool staying = settlement.workerOf(worker).exitAt == 0;
        vm.prank(settlement.workerOf(worker).owner);
        if (staying) settlement.requestExit(worker);
        else settlement.cancelExit(worker);
        exitModel[worker] = staying ? uint64(block.timestamp) + WINDOW + 2 days : 0;
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
        IMarket.Match memory m = someMatch(lying, n, price, stakeRatio);
        m.req.deadline = uint64(block.timestamp + bound(lasts, 1 hours, 5 days));
        signFor(m, lying);
        uint128 cost = m.n * (m.offer.unitPrice + 100);
        fund(requester, cost);
        freeModel[requester] += cost;
        bytes32 dealId = open(m);
        intoPool(requester, grid.poolId(), cost);
        seePool(grid.poolId());
        keepDeal(dealId, lying);
    }

    /// The honest pool settles some tasks and commits them.
    function work(uint256 seed, uint256 tasks) external {
        if (dead(honest.poolId())) return;
        tasks = bound(tasks, 1, 6);
        for (uint256 i = 0; i < tasks; i++) {
            seed = uint256(keccak256(abi.encode(seed, i)));
            settleOne(seed);
        }
        if (honest.openCount() > 0) noteBatch(honest, honest.commit());
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
        try liar.commit() returns (Header memory header) {
            noteBatch(liar, header);
        } catch {}
    }

    /// The liar signs another header for an index that is final.
    function rewrite(uint64 index, bytes32 root) external {
        probed = someFinal(liar, index);
        if (probed == 0) return;
        Header memory header = liar.headerAt(probed);
        header.stateRoot = root;
        (bytes32 r, bytes32 vs) = liar.sign(header);
        try settlement.commitBatch(header, r, vs) {} catch {}
    }

    /// The Court drops some of what the liar has pending, and gives the reward to the liar itself, as
    /// the prover of its own fraud.
    function convict(uint256 index) external {
        Pool memory pool = settlement.poolOf(liar.poolId());
        if (pool.head == pool.finalized || (pool.state == 0 && index % 4 != 0)) return;
        index = bound(index, pool.finalized + 1, pool.head);
        uint256 had = wealthOf(LIAR, pool);
        uint32 poolId = liar.poolId();
        vm.startPrank(court);
        uint128 share = settlement.convict(poolId, uint32(index));
        if (pool.state != 2) burntModel += pool.bond / 2;
        if (share != 0) settlement.reward(LIAR, share);
        vm.stopPrank();
        freeModel[LIAR] += share;
        liar.drop(uint64(index));
        seeEnd(poolId);
        Pool memory later = settlement.poolOf(poolId);
        netModel[poolId] -= pool.bond - later.bond;
        uint256 has = wealthOf(LIAR, later);
        if (has > had) gained += has - had;
    }

    /// The honest pool's operator may die, too: it has neglected something.
    function die(uint256 seed) external {
        if (dead(honest.poolId()) || seed % 16 != 0) return;
        uint32 poolId = honest.poolId();
        vm.prank(escape);
        settlement.abandon(poolId);
        seeEnd(poolId);
    }

    /// Escape pays two owners for a task that the dead pool left.
    function force(uint256 deal) external {
        Pool memory pool = settlement.poolOf(honest.poolId());
        if (pool.state == 0 || pool.head != pool.finalized || _honestDeals.length == 0) return;
        bytes32 dealId = _honestDeals[deal % _honestDeals.length];
        DealTerms memory terms = book.get(dealId);
        uint32 slot = settlement.dealOf(dealId).slot;
        uint32 done = honest.dealAt(honest.rootAt(pool.finalized), slot).settledCount;
        if (settlement.dealOf(dealId).closed || done + _forced[dealId] >= terms.tasks) return;
        uint128 cost = terms.unitPrice + 100;
        if (pool.locked < cost) return; // a law that is broken says so itself
        _forced[dealId]++;
        (address[] memory to, uint128[] memory amounts) = (new address[](2), new uint128[](2));
        (to[0], to[1], amounts[0]) = (owner, OTHER_OWNER, cost / 3);
        amounts[1] = cost - amounts[0];
        vm.prank(escape);
        settlement.payForced(terms, cost, to, amounts);
        outOfPool(honest.poolId(), owner, amounts[0]);
        outOfPool(honest.poolId(), OTHER_OWNER, amounts[1]);
        seeDeal(dealId);
    }

    /// Escape pays one who stood by from the dead pool's bond.
    function standBy(uint128 amount) external {
        uint32 poolId = honest.poolId();
        if (!dead(poolId)) return;
        amount = uint128(bound(amount, 1, 1000));
        vm.prank(escape);
        uint128 paid = settlement.payFromBond(poolId, owner, amount);
        outOfPool(poolId, owner, paid);
        _bondPaid += paid;
    }

    /// Anyone posts anything into an inbox.
    function post(bool lying, uint8 kind, bytes32 word) external {
        uint32 poolId = (lying ? liar : honest).poolId();
        kind = uint8(bound(kind, 1, 3));
        bytes32 entry;
        bytes32[] memory none = new bytes32[](0);
        if (kind == 1) {
            Reveal memory shown = Reveal(poolId, word, 1, word, word, word);
            settlement.forceVote(poolId, shown, 0, 1, none, word, word);
            entry = keccak256(abi.encode(hashes.hashReveal(shown), 0, 1, none, word, word));
        } else if (kind == 2) {
            settlement.demandSet(poolId, word, 2, 3);
            entry = keccak256(abi.encode(word, 2, 3));
        } else {
            CommitSet memory set = CommitSet(poolId, word, 1, word, 3, 4);
            settlement.answerSet(poolId, set, 0, 1, none, word, word);
            entry = keccak256(abi.encode(hashes.hashCommitSet(set), 0, 1, none, word, word));
        }
        inboxModel[poolId] = keccak256(abi.encode(inboxModel[poolId], block.timestamp, kind, entry));
    }

    /// A stranger tries what only owners, operators, signers, Court, Escape and Market may do, and
    /// everybody what no dead pool takes.
    function meddle(uint256 what, uint32 worker, bool lying, uint128 amount) external {
        Grid grid = lying ? liar : honest;
        uint32 poolId = grid.poolId();
        worker = pick(worker);
        amount = uint128(bound(amount, 1, 1000));
        bool over = dead(poolId);
        vm.startPrank(stranger);
        what %= over ? 16 : 13;
        if (what == 0) {
            try settlement.requestExit(worker) {} catch {}
        } else if (what == 1) {
            try settlement.cancelExit(worker) {} catch {}
        } else if (what == 2) {
            try settlement.setRestake(worker, true) {} catch {}
        } else if (what == 3) {
            try settlement.stake(poolId, worker, amount) {} catch {}
        } else if (what == 4) {
            try settlement.addBond(poolId, amount) {} catch {}
        } else if (what == 5) {
            try settlement.requestBondExit(poolId) {} catch {}
        } else if (what == 6) {
            try settlement.withdrawBond(poolId) {} catch {}
        } else if (what == 7) {
            try settlement.abandon(poolId) {} catch {}
        } else if (what == 8) {
            try settlement.payFromBond(poolId, stranger, amount) {} catch {}
        } else if (what == 9) {
            try settlement.reward(stranger, amount) {} catch {}
        } else if (what == 10) {
            unstakeOfAnother(grid, worker);
        } else if (what == 11) {
            operateAnother(worker, amount);
        } else if (what == 12) {
            spendTheBurnt(lying, amount);
        }
        vm.stopPrank();
        if (what == 13) tryCommit(grid);
        else if (what == 14) tryDeal(grid, lying);
        else if (what == 15) tryStake(poolId, worker);
    }

    function collectFees(uint64 index, bool lying) external {
        Grid grid = lying ? liar : honest;
        index = someFinal(grid, index);
        if (index == 0) return;
        Header memory header = grid.headerAt(index);
        Opening memory batch = grid.openingAt(index);
        Pool memory pool = settlement.poolOf(grid.poolId());
        try settlement.collectFees(header, batch.committedAt, batch.inbox) returns (uint128 paid) {
            vm.assertTrue(lying || paid >= header.cumFees - pool.collected, DUE);
            outOfPool(grid.poolId(), pool.operator, paid);
            if (!lying) feesPaidModel += paid;
        } catch {
            vm.assertTrue(lying || header.cumFees <= pool.collected, DUE);
        }
        seePool(grid.poolId());
    }

    function claimRoyalties(uint256 deal, uint64 index) external {
        if (_honestDeals.length == 0) return;
        royaltiesInFull(_honestDeals[deal % _honestDeals.length], someFinal(honest, index));
    }

    /// Whoever finalizes has waited for it, half of the time.
    function finalize(bool lying, bool patient) external {
        Grid grid = lying ? liar : honest;
        Pool memory pool = settlement.poolOf(grid.poolId());
        if (patient && pool.head > pool.finalized) {
            uint256 readyAt = grid.openingAt(pool.finalized + 1).committedAt + WINDOW;
            if (block.timestamp < readyAt) vm.warp(readyAt);
        }
        finalizeOverdue(grid);
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
        uint32 poolId = liar.poolId();
        uint128 slashed = settlement.seatOf(poolId, worker).slashed;
        try settlement.claim(poolId, worker, account, path, index, liar.anchorAt(index)) returns (
            uint128 paid
        ) {
            countClaim(poolId, worker, paid, slashed);
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
        try settlement.refundUnsettled(terms, account, path, index, batch) returns (
            uint128 amount
        ) {
            outOfPool(liar.poolId(), requester, amount);
            seeDeal(dealId);
        } catch {}
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1 minutes, 3 days));
    }

    // ---- at the end of every world ----

    function windDown() external {
        invariant_everybody_gets_what_is_due();
    }

    /// Everybody leaves the honest pool with everything; nothing of it is left.
    function invariant_everybody_gets_what_is_due() internal {
        vm.warp(block.timestamp + WINDOW);
        finalizeOverdue(honest);
        uint64 newest = settlement.poolOf(honest.poolId()).finalized;
        for (uint32 worker = 1; worker <= WORKERS; worker++) {
            if (newest != 0) claimInFull(worker, newest);
            if (settlement.workerOf(worker).exitAt != 0) continue;
            vm.prank(settlement.workerOf(worker).owner);
            settlement.requestExit(worker);
            exitModel[worker] = uint64(block.timestamp) + WINDOW + 2 days;
        }
        vm.warp(block.timestamp + 60 days); // past every deadline, grace and timer
        for (uint256 i = 0; i < _honestDeals.length; i++) {
            refundInFull(_honestDeals[i], newest);
            royaltiesInFull(_honestDeals[i], newest);
            askLaws(); // before the next one finds the pool empty: who took too much is the news
        }
        if (newest != 0) collectInFull(newest);
        for (uint32 worker = 1; worker <= WORKERS; worker++) {
            takeStake(honest, worker);
        }

        uint32 poolId = honest.poolId();
        uint128 bond = settlement.poolOf(poolId).bond;
        vm.assertEq(bond, HONEST_BOND - _bondPaid, string.concat(DUE, ": an honest bond"));
        vm.assertEq(moneyOf(poolId), bond, string.concat(DUE, ": nothing but the bond is left"));
        takeBond(poolId);
        for (uint256 i = 0; i < people.length; i++) {
            uint128 free = settlement.freeOf(people[i]);
            if (free == 0) continue;
            vm.prank(people[i]);
            settlement.withdraw(free);
        }
        checkMoney(burntModel, 2);
    }

    /// All laws, in the middle of something.
    function askLaws() internal virtual;

    // ---- what strangers try ----

    function unstakeOfAnother(Grid grid, uint32 worker) private {
        uint64 newest = settlement.poolOf(grid.poolId()).finalized;
        (WorkerAccount memory account, bytes32[] memory path) = grid.workerProof(newest, worker);
        (Anchor memory anchor, Opening memory next) = (grid.anchorAt(newest), grid.nextOpening());
        try settlement.unstake(grid.poolId(), worker, account, path, anchor, next) {} catch {}
    }

    /// An operation that nobody signed, or a contract's answer that nobody gave.
    function operateAnother(uint32 worker, uint256 seed) private {
        WorkerOp memory op = WorkerOp(worker, uint8(seed % 4 + 1), 0, type(uint64).max);
        try settlement.operateWorker(op, new bytes(seed % 2 == 0 ? 64 : 0)) {} catch {}
    }

    /// A deal at the cost of what is burnt, which nobody signed for.
    function spendTheBurnt(bool lying, uint256 seed) private {
        IMarket.Match memory m = someMatch(lying, 1, 1, 0);
        m.req.requester = BURNT;
        signFor(m, lying);
        if (seed % 2 == 0) m.reqSig = new bytes(seed % 4 == 0 ? 64 : 65);
        try market.openDeal(m) {} catch {}
    }

    function tryCommit(Grid grid) private {
        grid.tamper(1, 1, 0);
        try grid.commit() returns (Header memory header) {
            noteBatch(grid, header);
        } catch {}
    }

    function tryDeal(Grid grid, bool lying) private {
        IMarket.Match memory m = someMatch(lying, 0, 1, 0);
        signFor(m, lying);
        fund(requester, 1000);
        freeModel[requester] += 1000;
        bytes32 dealId = book.put(termsOf(m));
        try market.openDeal(m) {
            intoPool(requester, grid.poolId(), 101);
            keepDeal(dealId, lying);
        } catch {}
    }

    function tryStake(uint32 poolId, uint32 worker) private {
        address person = settlement.workerOf(worker).owner;
        fund(person, 1);
        freeModel[person] += 1;
        vm.prank(person);
        try settlement.stake(poolId, worker, 1) {
            intoPool(person, poolId, 1);
            stakeModel[poolId][worker] += 1;
        } catch {}
    }

    // ---- helpers ----

    function keepDeal(bytes32 dealId, bool lying) private {
        if (lying) {
            _liarDeals.push(dealId);
        } else {
            _honestDeals.push(dealId);
            noteDeal(dealId);
        }
    }

    function putStake(uint32 poolId, uint32 worker, uint128 amount) private {
        stakeOn(poolId, worker, amount);
        stakeModel[poolId][worker] += amount;
        netModel[poolId] += amount;
    }

    /// Four orders, good for one deal of 1 to 20 tasks.
    function someMatch(bool lying, uint32 n, uint128 price, uint8 stakeRatio)
        private
        returns (IMarket.Match memory m)
    {
        m = fullMatch((lying ? liar : honest).poolId(), uint32(bound(n, 1, 20)));
        m.offer.unitPrice = uint128(bound(price, 1, 999));
        m.offer.stakeRatio = uint8(bound(stakeRatio, 0, 100));
        m.offer.schedulerRatio = stakeRatio % 7;
    }

    function signFor(IMarket.Match memory m, bool lying) private view {
        sign(m);
        m.offerSig = sign64(lying ? LIAR_KEY : SIGNER_KEY, hashes.hashPoolOrder(m.offer));
    }

    /// All that is a person's: a bond only while its pool lives.
    function wealthOf(address person, Pool memory pool) private view returns (uint256 sum) {
        sum = settlement.freeOf(person) + token.balanceOf(person);
        if (pool.state == 0) sum += pool.bond;
    }

    /// Who was paid, and from which purse a slash came.
    function countClaim(uint32 poolId, uint32 worker, uint128 paid, uint128 slashedBefore) private {
        slashModel(poolId, worker, settlement.seatOf(poolId, worker).slashed - slashedBefore);
        seeSeat(poolId, worker);
        Pool memory pool = settlement.poolOf(poolId);
        bool staying = settlement.workerOf(worker).restake && exitModel[worker] == 0;
        if (staying && pool.state == 0) stakeModel[poolId][worker] += paid;
        else netModel[poolId] -= paid;
        if (poolId == honest.poolId()) paidModel[worker] += paid;
    }

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
        uint64 next = pool.finalized + 1;
        for (; next <= pool.head; next++) {
            if (block.timestamp < grid.openingAt(next).committedAt + WINDOW) break;
            grid.finalize(next);
        }
        seePool(grid.poolId());
        bool moved = next > pool.finalized + 1;
        if (moved && grid.poolId() == honest.poolId()) noteFinal(honest, next - 1, WORKERS);
    }

    function claimInFull(uint32 worker, uint64 index) private {
        (WorkerAccount memory account, bytes32[] memory path) = honest.workerProof(index, worker);
        uint32 poolId = honest.poolId();
        uint128 slashed = settlement.seatOf(poolId, worker).slashed;
        uint256 due = account.cumEarned;
        due = due > paidModel[worker] ? due - paidModel[worker] : 0;
        if (due == 0 && account.cumSlashed <= slashed) return;
        Anchor memory anchor = honest.anchorAt(index);
        uint128 paid = settlement.claim(poolId, worker, account, path, index, anchor);
        vm.assertGe(paid, due, DUE);
        countClaim(poolId, worker, paid, slashed);
    }

    function refundInFull(bytes32 dealId, uint64 index) private {
        (DealAccount memory account, bytes32[] memory path) = honest.dealProof(index, dealId);
        Deal memory deal = settlement.dealOf(dealId);
        DealTerms memory terms = book.get(dealId);
        uint128 due = account.refunded;
        if (isLast(terms, index)) {
            due += (terms.tasks - account.settledCount) * (terms.unitPrice + 100);
        }
        uint128 left = due > deal.returned ? due - deal.returned : 0;
        Opening memory batch = honest.openingAt(index);
        try settlement.refundUnsettled(terms, account, path, index, batch) returns (
            uint128 amount
        ) {
            vm.assertGe(amount, left, DUE);
            outOfPool(honest.poolId(), requester, amount);
        } catch {
            vm.assertTrue(deal.closed || left == 0, DUE);
        }
        seeDeal(dealId);
    }

    /// Whether what was never settled must be given back by now, whatever the contract's own times
    /// are; that it is not given back too early shows when it is settled after all.
    function isLast(DealTerms memory terms, uint64 index) private view returns (bool) {
        Pool memory pool = settlement.poolOf(terms.poolId);
        if (pool.state != 0) return pool.head == index && block.timestamp >= pool.deadAt + LATE;
        uint256 end = terms.deadline + LATE;
        if (block.timestamp < end) return false;
        return pool.head == index || (index != 0 && honest.openingAt(index).committedAt > end);
    }

    function royaltiesInFull(bytes32 dealId, uint64 index) private {
        if (index == 0) return;
        (DealAccount memory account, bytes32[] memory path) = honest.dealProof(index, dealId);
        DealTerms memory terms = book.get(dealId);
        uint256 due = royaltiesIn(honest.rootAt(index), dealId);
        if (due <= royaltyModel[dealId]) return;
        uint128 paid =
            settlement.claimRoyalties(terms, account, path, index, honest.anchorAt(index));
        vm.assertGe(paid, due - royaltyModel[dealId], DUE);
        royaltyModel[dealId] += paid;
        outOfPool(honest.poolId(), appOwner, paid * 70 / 100);
        outOfPool(honest.poolId(), datasetOwner, paid * 30 / 100);
        seeDeal(dealId);
    }

    function collectInFull(uint64 index) private {
        Header memory header = honest.headerAt(index);
        uint128 collected = settlement.poolOf(honest.poolId()).collected;
        if (header.cumFees == collected) return;
        Opening memory batch = honest.openingAt(index);
        uint128 paid = settlement.collectFees(header, batch.committedAt, batch.inbox);
        vm.assertEq(paid, header.cumFees - collected, DUE);
        feesPaidModel += paid;
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
            uint128 kept = countUnstake(poolId, worker, seat.slashed);
            vm.assertTrue(lying || kept == 0, string.concat(DUE, ": stakes"));
        } catch {
            vm.assertTrue(lying, string.concat(DUE, ": stakes"));
        }
    }

    function countUnstake(uint32 poolId, uint32 worker, uint128 slashedBefore)
        private
        returns (uint128 kept)
    {
        Seat memory seat = settlement.seatOf(poolId, worker);
        slashModel(poolId, worker, seat.slashed - slashedBefore);
        uint256 left = stakeModel[poolId][worker] - seat.stake;
        outOfPool(poolId, settlement.workerOf(worker).owner, left);
        stakeModel[poolId][worker] = seat.stake;
        seeSeat(poolId, worker);
        return seat.stake;
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
        if (newest == 0) return 0;
        return index % 2 == 0 ? newest : uint64(bound(index, oldest, newest));
    }

    function pick(uint32 worker) private pure returns (uint32) {
        return worker % WORKERS + 1;
    }
}
