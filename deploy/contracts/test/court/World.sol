// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ICourt} from "../../src/ICourt.sol";
import {IEscape} from "../../src/IEscape.sol";
import {ISettlement} from "../../src/ISettlement.sol";
import {Merkle} from "../../src/Merkle.sol";
import {Messages} from "../../src/Messages.sol";
import {
    DealBefore,
    Filing,
    FrameProof,
    Leaf,
    SignedSet,
    Step,
    Voter
} from "../../src/court/Proofs.sol";
import {TestToken} from "../../src/dev/TestToken.sol";
import "../../src/Types.sol";
import {StateTree} from "../support/StateTree.sol";
import {vm} from "../support/Vm.sol";
import {Benches} from "./Benches.sol";
import {Trees} from "./Trees.sol";

/// @notice More cheat codes.
interface MoreVm {
    function getNonce(address account) external view returns (uint64);
    function snapshotState() external returns (uint256);
    function snapshotValue(string calldata group, string calldata name, uint256 value) external;
    function revertToState(uint256 id) external returns (bool);
}

MoreVm constant more = MoreVm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

/// @notice A pool that really works, in a few hundred lines: real votes in real frames, sets, steps,
/// trees and headers, written from PROTOCOL.md and not from the contracts that are tested. It can
/// be told to lie in one account of a state; everything else a test changes in what `play` returns,
/// before it is sealed and committed.
abstract contract World {
    uint64 internal constant WINDOW = 72 hours;
    uint64 internal constant SLACK = 15 minutes;
    uint256 internal constant START = 1_800_000_000;
    uint128 internal constant PRICE = 1000;
    uint128 internal constant STAKE = 300;
    uint128 internal constant BOND = 400_000_000;
    uint256 internal constant SIGNER_KEY = 0x51613;
    uint256 internal constant VOTE_KEY = 0xB0B000;
    uint32 internal constant DEALS = 2 ** 19;

    uint8 internal constant CONSENSUS = 1;
    uint8 internal constant NO_QUORUM = 2;
    uint8 internal constant EXPIRED = 3;

    bytes32 internal constant YES = keccak256("yes");
    bytes32 internal constant NO = keccak256("no");

    address internal immutable operator = address(0x0FE7A);
    address internal immutable requester = address(0xA11CE);
    address internal immutable watcher = address(0x3A7C4);

    /// @notice One replica that committed.
    struct PlannedVote {
        uint32 worker;
        uint16 attempt;
        /// Zero: never revealed.
        bytes32 digest;
    }

    /// @notice One task to settle.
    struct Plan {
        uint256 deal;
        uint32 taskIdx;
        uint8 outcome;
        bytes32 winner;
        PlannedVote[] votes;
    }

    /// @notice A settled task with all that its step starts from.
    struct Task {
        TaskRec rec;
        DealTerms terms;
        bytes32[] sets;
        Vote[] votes;
        Voter[] voters;
        DealBefore deal;
    }

    struct Batch {
        Header header;
        uint64 committedAt;
        bytes32 inbox;
        Task[] tasks;
        /// The two halves of the word before, or nothing.
        bytes32[] link;
    }

    /// @notice A lie about one account: a field of it, in the state after the next task.
    struct Lie {
        bool armed;
        /// A worker's place in the tree, or a deal's.
        uint32 position;
        uint8 field;
    }

    TestToken internal token;
    ISettlement internal settlement;
    ICourt internal court;
    IEscape internal escape;
    address internal stepBench;
    address internal wordBench;
    address internal bookBench;

    uint32 internal poolId;
    bytes32 internal separator;
    DealTerms[] internal deals;
    bytes32[] internal dealIds;
    Lie internal lie;
    mapping(uint32 workerIdx => address) internal owners;
    /// Hashes on the way up from a vote to its frame's root.
    uint256 internal frameDepth = 2;

    StateTree internal tree;
    bytes32 internal state = Merkle.EMPTY_STATE;
    mapping(bytes32 leaf => WorkerAccount) internal accounts;
    mapping(bytes32 leaf => DealAccount) internal dealAccounts;
    mapping(bytes32 dealId => bytes32[]) private _bitmaps;
    bytes32[] internal lastLink;
    Filing internal lastFiling;
    uint64 internal nextIndex = 1;

    function setUp() public virtual {
        vm.warp(START);
        token = new TestToken(address(this));
        tree = new StateTree();
        _deploy();
        separator = settlement.DOMAIN_SEPARATOR();
        poolId = _newPool();
        for (uint256 i = 1; i <= 9; i++) {
            _newWorker(i);
        }
        _newDeal(9, 50);
    }

    // -----------------------------------------------------------------------------------------
    // People
    // -----------------------------------------------------------------------------------------

    /// @dev Everybody is given the address that Settlement is going to have.
    function _deploy() private {
        address predicted = _predict(5);
        stepBench = vm.deployCode("StepBench.sol:StepBench", abi.encode(predicted));
        wordBench = vm.deployCode("WordBench.sol:WordBench", abi.encode(predicted));
        bookBench = vm.deployCode("BookBench.sol:BookBench", abi.encode(predicted));
        bytes memory args = abi.encode(predicted, stepBench, wordBench, bookBench);
        court = ICourt(vm.deployCode("Court.sol:Court", args));
        escape = IEscape(vm.deployCode("Escape.sol:Escape", abi.encode(predicted)));
        // The test itself is the market.
        args = abi.encode(token, WINDOW, address(this), address(court), address(escape));
        settlement = ISettlement(vm.deployCode("Settlement.sol:Settlement", args));
        vm.assertEq(address(settlement), predicted, "predicted address");
    }

    /// @dev The address of the contract that this one creates after `skip` others.
    function _predict(uint256 skip) private view returns (address) {
        uint256 nonce = uint256(more.getNonce(address(this))) + skip;
        bytes memory rlp = abi.encodePacked(hex"d694", address(this), uint8(nonce));
        return address(uint160(uint256(keccak256(rlp))));
    }

    function _fund(address account, uint128 amount) internal {
        token.approve(address(settlement), amount);
        settlement.depositFor(account, amount);
    }

    function _newPool() internal returns (uint32 id) {
        _fund(operator, BOND);
        vm.prank(operator);
        id = settlement.registerPool(vm.addr(SIGNER_KEY), keccak256("pool node"), BOND);
    }

    function _ownerOf(uint256 workerIdx) internal pure returns (address) {
        return address(uint160(0x03137000 + workerIdx));
    }

    function _newWorker(uint256 workerIdx) internal {
        _newWorkerOf(_ownerOf(workerIdx), workerIdx);
    }

    function _newWorkerOf(address owner, uint256 workerIdx) internal {
        _register(owner, workerIdx);
        _fund(owner, 1_000_000);
        vm.prank(owner);
        settlement.stake(poolId, uint32(workerIdx), 1_000_000);
    }

    function _register(address owner, uint256 workerIdx) internal {
        owners[uint32(workerIdx)] = owner;
        uint256 key = VOTE_KEY + workerIdx;
        bytes32 nodeKey = keccak256(abi.encode("node", key));
        BindWorker memory b =
            BindWorker(owner, nodeKey, vm.addr(key), uint64(block.timestamp + 1 hours));
        (bytes32 r, bytes32 vs) = _sign(key, keccak256(abi.encode(Messages.BIND_WORKER_TYPE, b)));
        vm.prank(owner);
        settlement.registerWorker(b.nodeKey, b.voteKey, b.deadline, r, vs);
    }

    function _newDeal(uint8 replicas, uint32 trust) internal returns (uint256) {
        return _newDealAt(replicas, trust, PRICE, 60_000);
    }

    function _newDealAt(uint8 replicas, uint32 trust, uint128 unitPrice, uint32 tasks)
        internal
        returns (uint256)
    {
        DealTerms memory terms;
        (terms.requester, terms.payer, terms.poolId) = (requester, requester, poolId);
        (terms.app, terms.appOwner, terms.appPrice) = (keccak256("app"), address(0xA99), 50);
        (terms.dataset, terms.datasetOwner, terms.datasetPrice) =
        (keccak256("data"), address(0xDA7A), 20);
        (terms.params, terms.unitPrice, terms.tasks) = (keccak256("params"), unitPrice, tasks);
        (terms.trust, terms.replicas, terms.stakeRatio, terms.schedulerRatio) =
        (trust, replicas, 30, 1);
        (terms.maxTaskTime, terms.deadline) = (1 hours, uint64(block.timestamp + 30 days));
        terms.reqHash = keccak256(abi.encode("req", deals.length));
        _fund(requester, tasks * (unitPrice + 70));
        (bytes32 dealId,) = settlement.openDeal(terms);
        vm.assertEq(dealId, keccak256(abi.encode(terms)), "a deal's id is the hash of its terms");
        deals.push(terms);
        dealIds.push(dealId);
        _bitmaps[dealId] = new bytes32[](256);
        return deals.length - 1;
    }

    // -----------------------------------------------------------------------------------------
    // Plans
    // -----------------------------------------------------------------------------------------

    /// @dev `k` workers agree.
    function _agreed(uint32 taskIdx, uint256 k) internal pure returns (Plan memory plan) {
        plan = Plan(0, taskIdx, CONSENSUS, YES, new PlannedVote[](k));
        for (uint256 i = 0; i < k; i++) {
            plan.votes[i] = PlannedVote(uint32(i + 1), 0, YES);
        }
    }

    /// @dev Seven agree, one dissents, and in a second round one more agrees.
    function _contested(uint32 taskIdx) internal pure returns (Plan memory plan) {
        plan = _agreed(taskIdx, 9);
        plan.votes[3].digest = NO;
        plan.votes[8].attempt = 1;
    }

    /// @dev Two disagree, one is silent, and nobody wins.
    function _failed(uint32 taskIdx) internal pure returns (Plan memory plan) {
        plan = _agreed(taskIdx, 3);
        (plan.outcome, plan.winner) = (NO_QUORUM, 0);
        (plan.votes[1].digest, plan.votes[2].digest) = (NO, 0);
    }

    function _plans(Plan memory a) internal pure returns (Plan[] memory all) {
        all = new Plan[](1);
        all[0] = a;
    }

    /// @dev A batch with everything in it: agreement, dissent, two rounds, silence, failure.
    function _mixed(uint32 first) internal pure returns (Plan[] memory all) {
        all = new Plan[](4);
        all[0] = _agreed(first, 7);
        all[1] = _contested(first + 1);
        all[2] = _failed(first + 300);
        all[3] = _agreed(first + 2, 8);
        all[3].votes[2].digest = 0;
    }

    // -----------------------------------------------------------------------------------------
    // Playing a batch
    // -----------------------------------------------------------------------------------------

    /// @notice Settles tasks from the present state on. Nothing is sealed yet.
    function _play(Plan[] memory plans) internal returns (Batch memory b) {
        b.tasks = new Task[](plans.length);
        b.link = lastLink;
        b.header.poolId = poolId;
        b.header.index = nextIndex;
        b.header.evidence = keccak256(abi.encode("evidence", nextIndex));
        if (nextIndex != 1) {
            b.header.parent = _hash(lastFiling.header);
            b.header.cumFees = lastFiling.header.cumFees;
        }
        for (uint256 i = 0; i < plans.length; i++) {
            TaskRec memory before;
            if (i != 0) before = b.tasks[i - 1].rec;
            b.tasks[i] = _settle(plans[i], before, (nextIndex << 16) | uint64(i));
        }
        TaskRec memory last = b.tasks[plans.length - 1].rec;
        (b.header.payout, b.header.fees) = (last.runPayout, last.runFees);
        (b.header.royalties, b.header.slashed) = (last.runRoyalties, last.runSlash);
        b.header.cumFees += last.runFees;
        b.header.count = uint32(plans.length);
        _seal(b);
    }

    /// @notice Makes roots and votes' hashes say what the tasks now say.
    function _seal(Batch memory b) internal pure {
        for (uint256 i = 0; i < b.tasks.length; i++) {
            Task memory t = b.tasks[i];
            t.rec.votesHash = keccak256(abi.encode(t.sets, t.votes));
        }
        _sealTree(b);
        b.header.stateRoot = b.tasks[b.tasks.length - 1].rec.postStateRoot;
    }

    function _sealTree(Batch memory b) internal pure {
        b.header.tasksRoot = Trees.root(_leaves(b), 16);
    }

    /// @notice Commits it as it is.
    function _commit(Batch memory b) internal {
        (bytes32 r, bytes32 vs) = _sign(SIGNER_KEY, _hash(b.header));
        b.committedAt = uint64(block.timestamp);
        b.inbox = settlement.poolOf(poolId).inbox;
        settlement.commitBatch(b.header, r, vs);
        nextIndex++;
        lastLink = new bytes32[](2);
        lastLink[0] = b.header.stateRoot;
        lastLink[1] = keccak256(abi.encode(_hash(b.header), b.committedAt, b.inbox));
        lastFiling = _filing(b);
    }

    function _leaves(Batch memory b) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](b.tasks.length);
        for (uint256 i = 0; i < leaves.length; i++) {
            leaves[i] = keccak256(abi.encode(uint8(1), b.tasks[i].rec));
        }
    }

    // -----------------------------------------------------------------------------------------
    // One step, the plain way
    // -----------------------------------------------------------------------------------------

    function _settle(Plan memory plan, TaskRec memory before, uint64 seq)
        private
        returns (Task memory t)
    {
        t.terms = deals[plan.deal];
        t.rec.dealId = dealIds[plan.deal];
        t.rec.taskIdx = plan.taskIdx;
        (t.rec.outcome, t.rec.winnerDigest) = (plan.outcome, plan.winner);
        _vote(t, plan.votes);
        (uint128[] memory earned, uint128 losers) = _pay(t, plan);
        uint128 slashed = losers * STAKE;
        _total(t.rec, before, earned, slashed);
        t.voters = new Voter[](plan.votes.length);
        for (uint256 i = 0; i < plan.votes.length; i++) {
            t.voters[i] = _change(plan, i, earned[i], seq);
        }
        _changeDeal(t, plan, slashed);
        if (lie.armed) _tellLie();
        t.rec.postStateRoot = state;
        t.rec.votesHash = keccak256(abi.encode(t.sets, t.votes));
    }

    /// @dev Commits, sets and reveals.
    function _vote(Task memory t, PlannedVote[] memory planned) internal view {
        bytes32 taskId = _taskId(t.rec);
        uint256 rounds = planned.length == 0 ? 0 : planned[planned.length - 1].attempt + 1;
        t.votes = new Vote[](planned.length);
        bytes32[] memory leaves = new bytes32[](planned.length);
        for (uint256 i = 0; i < planned.length; i++) {
            Vote memory v = t.votes[i];
            (v.workerIdx, v.attempt) = (planned[i].worker, planned[i].attempt);
            bytes32 salt = keccak256(abi.encode("salt", taskId, v.workerIdx));
            bytes32 digest = planned[i].digest;
            // A silent worker has committed to something all the same.
            bytes32 commitment = _commitment(taskId, v, digest == 0 ? YES : digest, salt);
            leaves[i] = keccak256(abi.encode(v.workerIdx, commitment));
            (v.resultDigest, v.salt) = (digest, digest == 0 ? commitment : salt);
        }
        t.sets = new bytes32[](rounds);
        for (uint256 a = 0; a < rounds; a++) {
            t.sets[a] = Trees.root(_firstOf(leaves, planned, a), 4);
        }
        for (uint256 i = 0; i < planned.length; i++) {
            _signVote(t, t.votes[i]);
        }
        t.rec.attempt = rounds == 0 ? 0 : uint16(rounds - 1);
        t.rec.commitSetRoot = rounds == 0 ? bytes32(0) : t.sets[rounds - 1];
    }

    function _firstOf(bytes32[] memory leaves, PlannedVote[] memory planned, uint256 attempt)
        private
        pure
        returns (bytes32[] memory first)
    {
        uint256 n;
        while (n < planned.length && planned[n].attempt <= attempt) n++;
        first = new bytes32[](n);
        for (uint256 i = 0; i < n; i++) {
            first[i] = leaves[i];
        }
    }

    function _signVote(Task memory t, Vote memory v) internal view {
        bytes32 taskId = _taskId(t.rec);
        bytes32 structHash = v.resultDigest == 0
            ? keccak256(abi.encode(Messages.COMMIT_TYPE, Commit(poolId, taskId, v.attempt, v.salt)))
            : keccak256(
                abi.encode(
                    Messages.REVEAL_TYPE,
                    Reveal(poolId, taskId, v.attempt, t.sets[v.attempt], v.resultDigest, v.salt)
                )
            );
        FrameProof memory p = _frame(VOTE_KEY + v.workerIdx, structHash);
        (v.frameIndex, v.frameCount, v.path, v.r, v.vs) = (p.index, p.count, p.path, p.r, p.vs);
    }

    function _commitment(bytes32 taskId, Vote memory v, bytes32 digest, bytes32 salt)
        internal
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(separator, taskId, v.attempt, v.workerIdx, digest, salt));
    }

    /// @dev What each vote earns, and how many lose.
    function _pay(Task memory t, Plan memory plan)
        private
        view
        returns (uint128[] memory earned, uint128 losers)
    {
        uint256 n = plan.votes.length;
        earned = new uint128[](n);
        uint256 sum;
        for (uint256 i = 0; i < n; i++) {
            if (_wins(plan, i)) sum += _log(_scoreOf(plan.votes[i].worker));
            if (_loses(plan, i)) losers++;
        }
        if (plan.winner == 0) return (earned, losers);
        t.rec.reward = PRICE + losers * STAKE;
        uint256 shared = uint256(t.rec.reward) * 99 / 100;
        for (uint256 i = 0; i < n; i++) {
            if (_wins(plan, i)) {
                earned[i] = uint128(shared * _log(_scoreOf(plan.votes[i].worker)) / sum);
            }
        }
    }

    function _wins(Plan memory plan, uint256 i) private pure returns (bool) {
        return plan.winner != 0 && plan.votes[i].digest == plan.winner;
    }

    function _loses(Plan memory plan, uint256 i) private pure returns (bool) {
        if (plan.votes[i].digest == 0) return true;
        return plan.winner != 0 && plan.votes[i].digest != plan.winner;
    }

    function _total(
        TaskRec memory rec,
        TaskRec memory before,
        uint128[] memory earned,
        uint128 slashed
    ) private pure {
        uint128 payout;
        for (uint256 i = 0; i < earned.length; i++) {
            payout += earned[i];
        }
        rec.runPayout = before.runPayout + payout;
        rec.runFees = before.runFees + rec.reward - payout;
        rec.runRoyalties = before.runRoyalties + (rec.winnerDigest == 0 ? 0 : 70);
        rec.runSlash = before.runSlash + slashed;
    }

    function _change(Plan memory plan, uint256 i, uint128 earned, uint64 seq)
        private
        returns (Voter memory voter)
    {
        uint32 workerIdx = plan.votes[i].worker;
        voter.account = accounts[tree.leafAt(state, workerIdx)];
        voter.path = _fixed20(Trees.compact(tree.path(state, workerIdx)));
        WorkerAccount memory a = _copy(voter.account);
        if (a.owner == address(0)) {
            (a.owner, a.voteKey) = (owners[workerIdx], vm.addr(VOTE_KEY + workerIdx));
        }
        unchecked {
            a.cumEarned += earned; // wraps where a test has forged an account
        }
        if (_loses(plan, i)) {
            a.cumSlashed += STAKE;
            a.score = a.score * 2 / 3;
        } else if (_wins(plan, i) && _winners(plan) > 1) {
            a.score++;
        }
        a.lastTaskSeq = seq;
        _put(workerIdx, a);
    }

    function _winners(Plan memory plan) private pure returns (uint256 n) {
        for (uint256 i = 0; i < plan.votes.length; i++) {
            if (_wins(plan, i)) n++;
        }
    }

    function _changeDeal(Task memory t, Plan memory plan, uint128 slashed) private {
        bytes32 dealId = t.rec.dealId;
        uint32 position = DEALS + uint32(plan.deal);
        t.deal.account = dealAccounts[tree.leafAt(state, position)];
        t.deal.path = _fixed20(Trees.compact(tree.path(state, position)));
        uint256 at = t.rec.taskIdx >> 8;
        bytes32[] memory words = _bitmaps[dealId];
        t.deal.word = uint256(words[at]);
        t.deal.wordPath = _fixed8(Trees.compact(Trees.path(words, at, 8)));
        words[at] = bytes32(t.deal.word | (1 << (t.rec.taskIdx & 255)));
        _bitmaps[dealId] = words;
        DealAccount memory a = _copy(t.deal.account);
        (a.dealId, a.settledRoot) = (dealId, Trees.root(words, 8));
        a.settledCount++;
        if (plan.winner == 0) a.refunded += PRICE + 70 + slashed;
        else a.spent += PRICE + 70;
        _put(position, a);
    }

    function _tellLie() private {
        lie.armed = false;
        bytes32 leaf = tree.leafAt(state, lie.position);
        if (lie.position < DEALS) {
            WorkerAccount memory worker = accounts[leaf];
            _lieAbout(worker);
            _put(lie.position, worker);
        } else {
            DealAccount memory deal = dealAccounts[leaf];
            _lieAbout(deal);
            _put(lie.position, deal);
        }
    }

    /// @dev A word of a deal's bitmap as it now is, and its path.
    function _wordOf(uint256 deal, uint32 taskIdx)
        internal
        view
        returns (uint256, bytes32[8] memory)
    {
        bytes32[] memory words = _bitmaps[dealIds[deal]];
        uint256 at = taskIdx >> 8;
        return (uint256(words[at]), _fixed8(Trees.compact(Trees.path(words, at, 8))));
    }

    function _lieAbout(WorkerAccount memory a) private view {
        if (lie.field == 0) a.owner = address(0xBAD);
        if (lie.field == 1) a.voteKey = address(0xBAD);
        if (lie.field == 2) a.cumEarned++;
        if (lie.field == 3) a.cumSlashed++;
        if (lie.field == 4) a.score++;
        if (lie.field == 5) a.lastTaskSeq--;
    }

    function _lieAbout(DealAccount memory a) private view {
        if (lie.field == 0) a.dealId = "bad";
        if (lie.field == 1) a.settledRoot = "bad";
        if (lie.field == 2) a.settledCount--;
        if (lie.field == 3) a.spent--;
        if (lie.field == 4) a.refunded++;
    }

    function _put(uint32 position, WorkerAccount memory a) internal {
        bytes32 leaf = keccak256(abi.encode(uint8(0), a));
        accounts[leaf] = a;
        state = tree.put(state, position, leaf);
    }

    function _put(uint32 position, DealAccount memory a) internal {
        bytes32 leaf = keccak256(abi.encode(uint8(2), a));
        dealAccounts[leaf] = a;
        state = tree.put(state, position, leaf);
    }

    function _scoreOf(uint32 workerIdx) internal view returns (uint32) {
        return accounts[tree.leafAt(state, workerIdx)].score;
    }

    function _log(uint256 score) internal pure returns (uint256 n) {
        uint256 weight = score / 3 > 3 ? score / 3 - 1 : 2;
        while (2 ** (n + 1) <= weight) n++;
    }

    // -----------------------------------------------------------------------------------------
    // Proofs
    // -----------------------------------------------------------------------------------------

    function _filing(Batch memory b) internal pure returns (Filing memory) {
        return Filing(b.header, b.committedAt, b.inbox);
    }

    function _leaf(Batch memory b, uint256 place) internal pure returns (Leaf memory leaf) {
        leaf.place = uint32(place);
        leaf.rec = b.tasks[place].rec;
        leaf.path = _fixed16(Trees.path(_leaves(b), place, 16));
    }

    function _votesOf(Batch memory b, uint256 place) internal pure returns (bytes memory) {
        return abi.encode(b.tasks[place].sets, b.tasks[place].votes);
    }

    function _step(Batch memory b, uint256 place) internal pure returns (Step memory) {
        // A copy: what a test changes in a proof is not to change the batch.
        return abi.decode(abi.encode(_stepOf(b, place)), (Step));
    }

    function _stepOf(Batch memory b, uint256 place) private pure returns (Step memory s) {
        Task memory t = b.tasks[place];
        s.filing = _filing(b);
        s.leaf = _leaf(b, place);
        (s.terms, s.deal, s.voters) = (t.terms, t.deal, t.voters);
        s.votes = _votesOf(b, place);
        if (place == 0) {
            s.link = b.link;
            return s;
        }
        s.before = new TaskRec[](1);
        s.before[0] = b.tasks[place - 1].rec;
        uint256 level;
        while ((place >> level) & 1 == 0) level++;
        bytes32[] memory path = Trees.path(_leaves(b), place - 1, 16);
        s.link = new bytes32[](level);
        for (uint256 i = 0; i < level; i++) {
            s.link[i] = path[i];
        }
    }

    function _stepCall(Batch memory b, uint256 place) internal pure returns (bytes memory) {
        return abi.encodeCall(Benches.step, (_step(b, place)));
    }

    function _set(Batch memory b, uint256 place, uint16 attempt, uint64 revealDeadline)
        internal
        view
        returns (CommitSet memory set)
    {
        Task memory t = b.tasks[place];
        (set.poolId, set.taskId, set.attempt) = (poolId, _taskId(t.rec), attempt);
        (set.commitSetRoot, set.revealDeadline) = (t.sets[attempt], revealDeadline);
        for (uint256 i = 0; i < t.votes.length; i++) {
            if (t.votes[i].attempt <= attempt) set.n++;
        }
    }

    function _signed(CommitSet memory set) internal view returns (SignedSet memory) {
        bytes32 structHash = keccak256(abi.encode(Messages.COMMIT_SET_TYPE, set));
        return SignedSet(set, _frame(SIGNER_KEY, structHash));
    }

    // -----------------------------------------------------------------------------------------
    // Verdicts
    // -----------------------------------------------------------------------------------------

    /// @dev The bench finds fraud in batch `index`.
    function _guilty(address bench, bytes memory proof, uint64 index, string memory what)
        internal
        view
    {
        (bool fraud, bytes memory verdict) = bench.staticcall(proof);
        vm.assertTrue(fraud, what);
        vm.assertEq(verdict, abi.encode(poolId, uint32(index)), what);
    }

    /// @dev The bench refuses the proof with this error.
    function _refused(address bench, bytes memory proof, string memory error, string memory what)
        internal
        view
    {
        (bool fraud, bytes memory answer) = bench.staticcall(proof);
        vm.assertFalse(fraud, what);
        vm.assertEq(bytes32(bytes4(answer)), bytes32(bytes4(keccak256(bytes(error)))), what);
    }

    function _innocent(address bench, bytes memory proof, string memory what) internal view {
        _refused(bench, proof, "NoFraud()", what);
    }

    // -----------------------------------------------------------------------------------------
    // Signatures
    // -----------------------------------------------------------------------------------------

    function _taskId(TaskRec memory rec) internal pure returns (bytes32) {
        return keccak256(abi.encode(rec.dealId, uint256(rec.taskIdx)));
    }

    function _hash(Header memory header) internal pure returns (bytes32) {
        return keccak256(abi.encode(Messages.HEADER_TYPE, header));
    }

    function _sign(uint256 key, bytes32 structHash) internal view returns (bytes32 r, bytes32 vs) {
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", separator, structHash));
        if (separator == 0) {
            digest =
                keccak256(abi.encodePacked("\x19\x01", settlement.DOMAIN_SEPARATOR(), structHash));
        }
        return vm.signCompact(key, digest);
    }

    /// @dev A message among others that nobody will ask for: their hashes are made up.
    function _frame(uint256 key, bytes32 structHash) internal view returns (FrameProof memory p) {
        p.count = uint32(2 ** frameDepth);
        p.index = uint32(uint256(structHash) % p.count);
        p.path = new bytes32[](frameDepth);
        bytes32 node = keccak256(abi.encode(structHash));
        for (uint256 h = 0; h < frameDepth; h++) {
            p.path[h] = keccak256(abi.encode("other", structHash, h));
            node = (p.index >> h) & 1 == 0
                ? Merkle.pair(node, p.path[h])
                : Merkle.pair(p.path[h], node);
        }
        (p.r, p.vs) = _sign(key, keccak256(abi.encode(Messages.FRAME_TYPE, Frame(node, p.count))));
    }

    // -----------------------------------------------------------------------------------------
    // Copies
    // -----------------------------------------------------------------------------------------

    function _copy(WorkerAccount memory a) private pure returns (WorkerAccount memory) {
        return abi.decode(abi.encode(a), (WorkerAccount));
    }

    function _copy(DealAccount memory a) private pure returns (DealAccount memory) {
        return abi.decode(abi.encode(a), (DealAccount));
    }

    function _copy(Batch memory b) internal pure returns (Batch memory) {
        return abi.decode(abi.encode(b), (Batch));
    }

    function _fixed8(bytes32[] memory list) private pure returns (bytes32[8] memory all) {
        for (uint256 i = 0; i < 8; i++) {
            all[i] = list[i];
        }
    }

    function _fixed16(bytes32[] memory list) internal pure returns (bytes32[16] memory all) {
        for (uint256 i = 0; i < 16; i++) {
            all[i] = list[i];
        }
    }

    function _fixed20(bytes32[] memory list) internal pure returns (bytes32[20] memory all) {
        for (uint256 i = 0; i < 20; i++) {
            all[i] = list[i];
        }
    }
}
