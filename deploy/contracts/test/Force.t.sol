// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IEscape} from "../src/IEscape.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {Messages} from "../src/Messages.sol";
import {FrameProof, SetVote, SignedSet, Unsettled, Voter} from "../src/court/Proofs.sol";
import {Assign, CommitAck, CommitSet, Pool, Vote, WorkerAccount} from "../src/Types.sol";
import {Leftover} from "./court/Leftover.sol";
import {more} from "./court/World.sol";
import {vm} from "./support/Vm.sol";

/// @notice What a dead pool left, settled by the votes that everybody has shown. The pool dies when
/// its only batch is final.
contract ForceTest is Leftover {
    bytes4 private constant OTHER = bytes4(keccak256("OtherSubject(string,bytes32,bytes32)"));
    bytes4 private constant ROOT = bytes4(keccak256("RootMismatch(bytes32,bytes32)"));
    bytes4 private constant UNSIGNED = bytes4(keccak256("NotSigned(address,address)"));
    uint64 private _end;
    /// Last second to show, and first second of refunds.
    uint64 private _until;
    uint64 private _refunds;
    uint256 private _alive;

    function setUp() public override {
        super.setUp();
        _alive = more.snapshotState();
        _die();
    }

    // ---- the whole story ----

    /// Eight of nine agree, in two rounds; one dissents.
    function test_what_a_dead_pool_left_is_settled_by_its_votes() public {
        Task memory t = _cast(_contested(LEFT));
        vm.expectEmit(address(escape));
        emit IEscape.Shown(poolId, _idOf(LEFT), 1, YES);
        vm.assertEq(_show(t, 0), 8, "the first round");
        vm.assertEq(_show(t, 1), 1, "the second");
        IEscape.Ballot[] memory shown = escape.shownFor(_idOf(LEFT));
        vm.assertEq(shown.length, 9, "all");
        vm.assertEq(shown[3].digest, NO, "in their order");
        vm.assertEq(shown[8].owner, _ownerOf(9), "with their owners");

        vm.warp(_until + 1);
        uint128 locked = settlement.poolOf(poolId).locked;
        uint128 cost = 8 * 123 + 70;
        vm.expectEmit(address(escape));
        emit IEscape.ForceSettled(poolId, _idOf(LEFT), YES, cost);
        vm.expectEmit(address(settlement));
        emit ISettlement.ForcedPaid(dealIds[0], cost);
        vm.assertEq(_settle(LEFT), cost, "an eighth of 990 each, and royalties");
        for (uint256 i = 1; i <= 9; i++) {
            uint256 earned = i == 4 ? 0 : 123;
            vm.assertEq(settlement.freeOf(_ownerOf(i)), earned, "a winner's share");
        }
        vm.assertEq(settlement.freeOf(address(0xA99)), 50, "the application's owner");
        vm.assertEq(settlement.freeOf(address(0xDA7A)), 20, "the dataset's");
        vm.assertEq(settlement.poolOf(poolId).locked, locked - cost, "out of the deal's lock");
        vm.assertEq(settlement.seatOf(poolId, 4).stake, 1_000_000, "nobody is slashed");
        vm.assertEq(escape.winnerOf(_idOf(LEFT)), YES, "for all to see");
        _checkMoney();

        vm.warp(_refunds);
        uint128 all = (60_000 - SETTLED) * (PRICE + 70) + PRICE + 70 + STAKE;
        vm.assertEq(_refund(), all - cost, "the payer has the rest, the scheduler's part with it");
        vm.assertTrue(settlement.dealOf(dealIds[0]).closed, "closed");
        _checkMoney();
    }

    function test_a_task_is_settled_once() public {
        _showAgreed(0, LEFT, 7);
        vm.warp(_until + 1);
        _settle(LEFT);
        bytes memory before =
            abi.encodeWithSelector(IEscape.SettledBefore.selector, _idOf(LEFT), YES);
        vm.expectRevert(before);
        this.settle(LEFT);
        vm.expectRevert(before);
        this.claim(0, 9);
        _checkMoney();
    }

    function test_as_many_tasks_as_were_left() public {
        for (uint32 i = 0; i < 3; i++) {
            _showAgreed(0, LEFT + i, 7);
        }
        vm.warp(_refunds - 1);
        for (uint32 i = 0; i < 3; i++) {
            vm.assertEq(_settle(LEFT + i), 7 * 141 + 70, "a seventh of 990 each");
        }
        vm.assertEq(settlement.freeOf(_ownerOf(1)), 3 * 141, "thrice");
        _checkMoney();
    }

    // ---- when ----

    function test_not_while_the_pool_lives() public {
        poolId = _newPool();
        uint256 deal = _newDeal(9, 50);
        Task memory t = _cast(_planOf(deal, LEFT, 7));
        vm.expectRevert(abi.encodeWithSelector(IEscape.PoolLive.selector, poolId));
        this.show(t, 0);
        vm.expectRevert(abi.encodeWithSelector(IEscape.PoolLive.selector, poolId));
        this.settleOf(deal, LEFT);
    }

    function test_the_time_to_show_votes() public {
        Task memory t = _cast(_planOf(0, LEFT, 7));
        vm.warp(_until + 1);
        vm.expectRevert(abi.encodeWithSelector(IEscape.TooLate.selector, _until, _until + 1));
        this.show(t, 0);
        vm.warp(_until);
        vm.assertEq(_show(t, 0), 7, "at the last moment");
    }

    function test_the_time_to_settle() public {
        _showAgreed(0, LEFT, 7);
        vm.warp(_until);
        vm.expectRevert(abi.encodeWithSelector(IEscape.TooEarly.selector, _until + 1, _until));
        this.settle(LEFT);
        vm.warp(_refunds);
        vm.expectRevert(abi.encodeWithSelector(IEscape.TooLate.selector, _refunds - 1, _refunds));
        this.settle(LEFT);
        vm.assertEq(_refund(), (60_000 - SETTLED + 1) * (PRICE + 70) + STAKE, "refunds are open");
    }

    function test_no_refund_comes_before_the_time_to_settle_is_over() public {
        vm.warp(_refunds - 1);
        vm.assertEq(_refund(), PRICE + 70 + STAKE, "only the failed one's");
        _afterwards();
    }

    function _afterwards() private {
        vm.expectPartialRevert(ISettlement.NothingDue.selector);
        this.refund();
    }

    /// A conviction after the pool's end can drop what was pending until then: there is time to show
    /// the votes of those tasks all the same.
    function test_what_a_conviction_drops_is_left_too() public {
        _revive();
        Batch memory b = _play(_plans(_planOf(0, 50, 7)));
        _commit(b);
        _die();
        vm.warp(block.timestamp + WINDOW - 1);
        vm.prank(address(court));
        settlement.convict(poolId, 2);
        vm.assertEq(settlement.poolOf(poolId).deadAt, _end, "it ended before that");
        _showAgreed(0, 50, 7);
        vm.warp(_until + 1);
        vm.assertEq(_settleWith(_stateBefore(50), _votersOf(_idOf(50))), 7 * 141 + 70, "settled");
        _checkMoney();
    }

    function test_what_is_pending_may_still_settle_it() public {
        _revive();
        _commit(_play(_plans(_planOf(0, 50, 7))));
        _die();
        _showAgreed(0, 50, 7);
        vm.warp(_until + 1);
        Unsettled memory task = _stateBefore(50);
        Voter[] memory voters = _votersOf(_idOf(50));
        vm.expectRevert(abi.encodeWithSelector(IEscape.Pending.selector, poolId, 2, 1));
        escape.settle(task, voters);
        settlement.finalize(lastFiling.header, lastFiling.committedAt, lastFiling.inbox);
        vm.expectPartialRevert(bytes4(keccak256("WordMismatch(bytes32,bytes32)")));
        escape.settle(task, voters);
        _anchor.stateRoot = lastLink[0];
        _anchor.rest = lastLink[1];
        vm.expectRevert(abi.encodeWithSelector(IEscape.Settled.selector, dealIds[0], 50));
        this.settle(50);
    }

    // ---- which votes ----

    function test_what_was_settled_in_the_final_state_is_not_settled_again() public {
        Plan memory plan = _planOf(0, 1, 7);
        vm.assertEq(_show(_cast(plan), 0), 7, "can be shown");
        vm.warp(_until + 1);
        vm.expectRevert(abi.encodeWithSelector(IEscape.Settled.selector, dealIds[0], 1));
        this.settle(1);
        Unsettled memory task = _task(1);
        Voter[] memory voters = _votersOf(_idOf(1));
        task.deal.word = 0;
        vm.expectPartialRevert(ROOT);
        escape.settle(task, voters);
    }

    function test_no_such_task() public {
        Task memory t = _cast(_planOf(0, 60_000, 7));
        vm.expectRevert(abi.encodeWithSelector(IEscape.NoSuchTask.selector, dealIds[0], 60_000));
        this.show(t, 0);
        t = _cast(_planOf(0, LEFT, 7));
        t.terms.unitPrice++;
        vm.expectPartialRevert(IEscape.NoSuchTask.selector);
        this.show(t, 0);
        vm.warp(_until + 1);
        vm.expectRevert(abi.encodeWithSelector(IEscape.NoSuchTask.selector, dealIds[0], 60_000));
        this.settleNothing(60_000);
    }

    function test_only_sets_that_the_pool_signed_for_this_task() public {
        Task memory t = _cast(_planOf(0, LEFT, 7));
        for (uint256 field = 0; field < 4; field++) {
            CommitSet memory set = _setOf(t, 0);
            if (field == 0) set.poolId++;
            if (field == 1) set.taskId = _idOf(LEFT + 1);
            SignedSet memory signed = _signed(set);
            if (field == 2) signed.proof = _frame(VOTE_KEY, keccak256("set"));
            if (field == 3) signed.set.n++;
            vm.expectPartialRevert(field < 2 ? OTHER : UNSIGNED);
            escape.show(t.terms, LEFT, signed, _votesOf(t, 0));
        }
    }

    /// A worker that has seen the others' results can copy one, but not into the set.
    function test_a_vote_whose_commitment_is_not_in_the_set() public {
        Task memory all = _cast(_planOf(0, LEFT, 8));
        Task memory t = _cast(_planOf(0, LEFT, 7));
        SetVote[] memory late = _votesOf(all, 0);
        late[0] = late[7];
        // It reveals for the set of the others, wherever it says that it stands in it.
        late[0].vote = _voteFor(all, 7, t.sets[0]);
        SignedSet memory signed = _signed(_setOf(t, 0));
        for (uint8 place = 0; place < 7; place++) {
            late[0].place = place;
            vm.expectPartialRevert(ROOT);
            escape.show(t.terms, LEFT, signed, late);
        }
        for (uint8 place = 7; place < 23; place += 15) {
            late[0].place = place;
            vm.expectRevert(
                abi.encodeWithSignature("PlaceOutOfRange(uint256,uint256)", uint256(place), 7)
            );
            escape.show(t.terms, LEFT, signed, late);
        }
    }

    /// A set may say that it holds more than its tree has room for.
    function test_a_place_beyond_the_tree() public {
        Task memory t = _cast(_planOf(0, LEFT, 7));
        CommitSet memory set = _setOf(t, 0);
        set.n = 255;
        SetVote[] memory votes = _votesOf(t, 0);
        votes[0].place = 16;
        vm.expectRevert(abi.encodeWithSignature("PlaceOutOfRange(uint256,uint256)", 16, 255));
        escape.show(t.terms, LEFT, _signed(set), votes);
    }

    function test_every_field_of_a_vote() public {
        Task memory t = _cast(_planOf(0, LEFT, 7));
        SignedSet memory signed = _signed(_setOf(t, 0));
        for (uint256 field = 0; field < 10; field++) {
            SetVote[] memory votes = _votesOf(_cast(_planOf(0, LEFT, 7)), 0);
            Vote memory v = votes[2].vote;
            bytes4 error = ROOT;
            if (field == 0) v.workerIdx = 9; // another's vote in one's own name
            if (field == 1) v.resultDigest = NO;
            if (field == 2) v.salt = "other";
            if (field == 3) votes[2].place = 3;
            if (field == 4) votes[2].path[0] = "other";
            if (field == 5) (v.attempt, error) = (1, OTHER);
            if (field == 6) (v.r, error) = (0, UNSIGNED);
            if (field == 7) (v.path[0], error) = ("other", UNSIGNED);
            if (field == 8) (v.frameIndex, error) = (v.frameIndex ^ 1, UNSIGNED);
            if (field == 9) (v.resultDigest, error) = (0, IEscape.NotRevealed.selector);
            vm.expectPartialRevert(error);
            escape.show(t.terms, LEFT, signed, votes);
        }
    }

    function test_a_vote_of_the_wrong_key() public {
        Task memory t = _cast(_planOf(0, LEFT, 7));
        SetVote[] memory votes = _votesOf(t, 0);
        Vote memory v = votes[6].vote;
        bytes32 structHash = keccak256(
            abi.encode(
                Messages.REVEAL_TYPE,
                poolId,
                _idOf(LEFT),
                uint16(0),
                t.sets[0],
                v.resultDigest,
                v.salt
            )
        );
        FrameProof memory p = _frame(VOTE_KEY + 8, structHash);
        (v.frameIndex, v.frameCount, v.path, v.r, v.vs) = (p.index, p.count, p.path, p.r, p.vs);
        vm.expectRevert(
            abi.encodeWithSelector(UNSIGNED, vm.addr(VOTE_KEY + 7), vm.addr(VOTE_KEY + 8))
        );
        escape.show(t.terms, LEFT, _signed(_setOf(t, 0)), votes);
    }

    function test_a_worker_that_is_not_registered() public {
        Task memory t = _cast(_planOf(0, LEFT, 7));
        SetVote[] memory votes = _votesOf(t, 0);
        votes[0].vote.workerIdx = 50;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownWorker.selector, 50));
        escape.show(t.terms, LEFT, _signed(_setOf(t, 0)), votes);
    }

    /// Who shows a vote of somebody's call just before it must not make it fail.
    function test_votes_shown_before_are_passed_over() public {
        Task memory t = _cast(_planOf(0, LEFT, 7));
        SetVote[] memory one = new SetVote[](1);
        one[0] = _votesOf(t, 0)[4];
        vm.prank(watcher);
        escape.show(t.terms, LEFT, _signed(_setOf(t, 0)), one);
        vm.assertEq(_show(t, 0), 6, "the others");
        vm.expectRevert(abi.encodeWithSelector(IEscape.NothingShown.selector, _idOf(LEFT)));
        this.show(t, 0);
        vm.assertEq(escape.shownFor(_idOf(LEFT)).length, 7, "each once");
        vm.assertEq(escape.shownFor(_idOf(LEFT))[0].workerIdx, 5, "the first of all");
    }

    function test_one_vote_an_owner() public {
        _revive();
        _newWorkerOf(_ownerOf(1), 10);
        _die();
        Plan memory plan = _planOf(0, LEFT, 8);
        plan.votes[7].worker = 10;
        Task memory t = _cast(plan);
        vm.assertEq(_show(t, 0), 7, "the eighth is the first one's");
    }

    /// Nobody can stake on a dead pool, so nobody can make up voters for it.
    function test_only_workers_with_a_stake_from_before_the_end() public {
        _revive();
        _register(address(0xF00), 10);
        _register(address(0xF01), 11);
        _fund(address(0xF00), STAKE);
        _fund(address(0xF01), STAKE - 1);
        vm.prank(address(0xF00));
        settlement.stake(poolId, 10, STAKE);
        vm.prank(address(0xF01));
        settlement.stake(poolId, 11, STAKE - 1);
        _die();
        _register(address(0xF02), 12);
        Plan memory plan = _planOf(0, LEFT, 9);
        for (uint32 i = 0; i < 3; i++) {
            plan.votes[6 + i].worker = 10 + i;
        }
        vm.assertEq(_show(_cast(plan), 0), 7, "with a stake that covers the deal's");
        vm.assertEq(escape.shownFor(_idOf(LEFT))[6].workerIdx, 10, "to the unit");
    }

    function test_as_many_votes_as_replicas() public {
        uint256 deal = _otherDeal(3, 5);
        Task memory t = _cast(_planOf(deal, LEFT, 5));
        vm.assertEq(_show(t, 0), 3, "of five");
        Task memory again = _cast(_planOf(deal, LEFT, 6));
        vm.expectPartialRevert(IEscape.NothingShown.selector);
        this.show(again, 0);
    }

    // ---- what they decide ----

    function test_undecided_votes_settle_nothing() public {
        _showAgreed(0, LEFT, 5);
        vm.warp(_until + 1);
        vm.expectRevert(abi.encodeWithSelector(IEscape.Undecided.selector, _idOf(LEFT)));
        this.settle(LEFT);
        vm.expectRevert(abi.encodeWithSelector(IEscape.Undecided.selector, _idOf(LEFT + 1)));
        this.settle(LEFT + 1);
    }

    /// Six of six decide (64 * 50 > 65 * 49), and with the seventh against they do not: which is why
    /// everybody shows first.
    function test_a_vote_against_counts() public {
        for (uint256 n = 6; n < 8; n++) {
            uint256 before = more.snapshotState();
            Plan memory plan = _planOf(0, LEFT, n);
            if (n == 7) plan.votes[6].digest = NO;
            vm.assertEq(_show(_cast(plan), 0), n, "shown");
            vm.warp(_until + 1);
            if (n == 6) {
                _settle(LEFT);
            } else {
                vm.expectPartialRevert(IEscape.Undecided.selector);
                this.settle(LEFT);
            }
            more.revertToState(before);
        }
    }

    function test_scores_are_those_of_the_newest_final_state() public {
        _revive();
        Batch memory b = _play(_plans(_planOf(0, 50, 7)));
        WorkerAccount memory trusted = accounts[tree.leafAt(state, 2)];
        trusted.score = 300; // weight 99: 99 * 50 > 100 * 49
        _put(2, trusted);
        b.header.stateRoot = state;
        _finalize(b);
        _die();
        Plan memory plan = _planOf(0, LEFT, 1);
        plan.votes[0].worker = 2;
        vm.assertEq(_show(_cast(plan), 0), 1, "one vote");
        _showAgreed(0, LEFT + 1, 1);
        vm.warp(_until + 1);
        vm.assertEq(_settle(LEFT), 990 + 70, "decides alone");
        vm.expectPartialRevert(IEscape.Undecided.selector);
        this.settle(LEFT + 1);
        // And cannot be said to be another's.
        Voter[] memory voters = _votersOf(_idOf(LEFT + 1));
        Unsettled memory task = _task(LEFT + 1);
        voters[0].account.score = 300;
        vm.expectPartialRevert(ROOT);
        escape.settle(task, voters);
        delete voters[0].account;
        vm.expectPartialRevert(ROOT);
        escape.settle(task, voters);
        voters = new Voter[](0);
        vm.expectPartialRevert(bytes4(keccak256("LengthMismatch(string,uint256,uint256)")));
        escape.settle(task, voters);
    }

    /// A pool decides by what it has just learnt of its workers, and so does what is done in its stead:
    /// four of weight 2 do not decide (16 * 50 < 17 * 49), four of weight 3 do (81 * 50 > 82 * 49).
    function test_scores_go_on_from_the_newest_final_state() public {
        _scoreAll(_scoresOf(7, 11));
        _showAgreed(0, LEFT, 4);
        Plan memory plan = _planOf(0, LEFT + 1, 7);
        plan.votes[6].digest = NO;
        for (uint32 i = 0; i < 7; i++) {
            plan.votes[i].worker = i + 1;
        }
        vm.assertEq(_show(_cast(plan), 0), 7, "shown");
        _showAgreed(0, LEFT + 2, 6);
        vm.warp(_until + 1);
        vm.expectPartialRevert(IEscape.Undecided.selector);
        this.settle(LEFT);
        vm.expectPartialRevert(IEscape.Undecided.selector);
        this.settle(LEFT + 1);
        _settle(LEFT + 2);
        _settle(LEFT);
        // Six of weight 3 against one of weight 2: 729 * 50 > 732 * 49.
        _settle(LEFT + 1);
    }

    /// A loser's score is two thirds of what it was: 36 are 24, and a weight of 11 is one of 7.
    function test_who_loses_counts_less_in_the_next_task() public {
        uint32[] memory scores = _scoresOf(8, 36);
        scores[7] = 21; // weight 6
        _scoreAll(scores);
        Plan memory plan = _planOf(0, LEFT, 7);
        plan.votes[6].digest = NO;
        vm.assertEq(_show(_cast(plan), 0), 7, "shown");
        plan = _planOf(0, LEFT + 1, 2);
        (plan.votes[0].worker, plan.votes[1].worker) = (7, 8);
        vm.assertEq(_show(_cast(plan), 0), 2, "shown");
        vm.warp(_until + 1);
        uint256 before = more.snapshotState();
        _settle(LEFT + 1); // 11 * 6 * 50 > 67 * 49
        more.revertToState(before);
        _settle(LEFT);
        vm.expectPartialRevert(IEscape.Undecided.selector);
        this.settle(LEFT + 1); // 7 * 6 * 50 < 43 * 49
    }

    function _scoresOf(uint256 n, uint32 score) private pure returns (uint32[] memory scores) {
        scores = new uint32[](n);
        for (uint256 i = 0; i < n; i++) {
            scores[i] = score;
        }
    }

    /// Gives the pool's first workers their scores in its newest final state.
    function _scoreAll(uint32[] memory scores) private {
        _revive();
        Batch memory b = _play(_plans(_planOf(0, 50, 7)));
        for (uint32 i = 0; i < scores.length; i++) {
            WorkerAccount memory account = accounts[tree.leafAt(state, i + 1)];
            account.score = scores[i];
            _put(i + 1, account);
        }
        b.header.stateRoot = state;
        _finalize(b);
        _die();
    }

    /// Weights make shares, too: the logarithm of 99 is 6, of 2 it is 1.
    function test_winners_share_by_weight() public {
        _revive();
        Batch memory b = _play(_plans(_planOf(0, 50, 7)));
        WorkerAccount memory trusted = accounts[tree.leafAt(state, 2)];
        trusted.score = 300;
        _put(2, trusted);
        b.header.stateRoot = state;
        _finalize(b);
        _die();
        _showAgreed(0, LEFT, 2);
        vm.warp(_until + 1);
        vm.assertEq(_settle(LEFT), 141 + 848 + 70, "one and six sevenths of 990");
        vm.assertEq(settlement.freeOf(_ownerOf(2)), 848, "six");
        vm.assertEq(settlement.freeOf(_ownerOf(1)), 141, "one");
        _checkMoney();
    }

    function test_a_worker_that_the_pool_never_touched_has_no_score() public {
        _revive();
        _newWorkerOf(address(0xF00), 10);
        _die();
        Plan memory plan = _planOf(0, LEFT, 6);
        plan.votes[5].worker = 10;
        _show(_cast(plan), 0);
        vm.warp(_until + 1);
        vm.assertEq(_settle(LEFT), 6 * 165 + 70, "six of six");
        vm.assertEq(settlement.freeOf(address(0xF00)), 165, "with the rest");
    }

    function test_a_pool_that_never_committed_anything() public {
        (uint32 old, uint256 deal) = (poolId, _otherDeal(3, 5));
        vm.assertTrue(old != poolId, "another pool");
        delete _anchor;
        _showAgreed(deal, LEFT, 3);
        vm.warp(_until + 1);
        Unsettled memory task;
        (task.terms, task.taskIdx) = (deals[deal], LEFT);
        vm.assertEq(_settleWith(task, new Voter[](3)), 3 * 330 + 70, "against the empty state");
    }

    /// At trust 1 every result voted for is credible.
    function test_at_trust_one_most_weight_wins_and_then_who_was_first() public {
        uint256 deal = _otherDeal(3, 1);
        for (uint32 i = 0; i < 2; i++) {
            Plan memory plan = _planOf(deal, LEFT + i, 2 + i);
            plan.votes[0].digest = NO;
            _show(_cast(plan), 0);
        }
        vm.warp(_until + 1);
        delete _anchor;
        for (uint32 i = 0; i < 2; i++) {
            Unsettled memory task;
            (task.terms, task.taskIdx) = (deals[deal], LEFT + i);
            _settleWith(task, new Voter[](2 + i));
        }
        vm.assertEq(escape.winnerOf(_idOf(deal, LEFT)), NO, "one against one: the first");
        vm.assertEq(escape.winnerOf(_idOf(deal, LEFT + 1)), YES, "two against one");
    }

    // ---- paid once ----

    function test_who_was_paid_for_standing_by_gets_the_rest() public {
        uint256 deal = _otherDeal(3, 5);
        delete _anchor;
        vm.assertEq(_claim(deal, 2), 300, "out of the bond");
        _showAgreed(deal, LEFT, 3);
        vm.warp(_until + 1);
        Unsettled memory task;
        (task.terms, task.taskIdx) = (deals[deal], LEFT);
        vm.assertEq(_settleWith(task, new Voter[](3)), 330 + 30 + 330 + 70, "less what it had");
        vm.assertEq(settlement.freeOf(_ownerOf(2)), 330, "as the others, in all");
        vm.assertEq(settlement.freeOf(_ownerOf(1)), 330, "an other");
        _checkMoney();
    }

    function test_who_got_more_for_standing_by_gets_no_more() public {
        vm.assertEq(_claim(0, 2), 300, "more than a seventh");
        _showAgreed(0, LEFT, 7);
        vm.warp(_until + 1);
        vm.assertEq(_settle(LEFT), 6 * 141 + 70, "the six others");
        vm.assertEq(settlement.freeOf(_ownerOf(2)), 300, "what it had");
        _checkMoney();
    }

    // ---- all of it, at random ----

    /// Whatever was voted: never more than the task's price, never twice, and the books add up.
    function testFuzz_no_task_costs_more_than_its_price(uint256 votes, uint256 stoodBy) public {
        Plan memory plan = _planOf(0, LEFT, 1 + votes % 9);
        for (uint256 i = 0; i < plan.votes.length; i++) {
            uint256 kind = (votes >> (8 * i + 8)) % 8;
            if (kind == 0) plan.votes[i].digest = NO;
        }
        for (uint32 i = 1; i <= 9; i++) {
            if ((stoodBy >> i) & 1 == 1) _claim(0, i);
        }
        _show(_cast(plan), 0);
        vm.warp(_until + 1);
        try this.settle(LEFT) {
            uint128 returned = settlement.dealOf(dealIds[0]).returned;
            vm.assertLe(returned, PRICE + 70, "a task's price");
            vm.assertGe(returned, 70, "royalties");
        } catch {
            vm.assertEq(escape.winnerOf(_idOf(LEFT)), 0, "nothing");
        }
        _checkMoney();
        vm.warp(_refunds);
        _refund();
        vm.assertTrue(
            settlement.dealOf(dealIds[0]).closed, "all of the deal's money is accounted for"
        );
        vm.assertEq(settlement.poolOf(poolId).locked, 0, "none is left");
        _checkMoney();
    }

    // ---- helpers ----

    function show(Task memory t, uint16 attempt) external {
        _show(t, attempt);
    }

    function settle(uint32 taskIdx) external {
        _settle(taskIdx);
    }

    function settleOf(uint256 deal, uint32 taskIdx) external {
        _settleWith(_taskOf(deal, taskIdx), new Voter[](0));
    }

    function settleNothing(uint32 taskIdx) external {
        Unsettled memory task = _task(LEFT);
        task.taskIdx = taskIdx;
        _settleWith(task, new Voter[](0));
    }

    function claim(uint256 deal, uint32 worker) external {
        _claim(deal, worker);
    }

    function _show(Task memory t, uint16 attempt) private returns (uint256) {
        SignedSet memory signed = _signed(_setOf(t, attempt));
        return escape.show(t.terms, t.rec.taskIdx, signed, _votesOf(t, attempt));
    }

    function _showAgreed(uint256 deal, uint32 taskIdx, uint256 n) private {
        vm.assertEq(_show(_cast(_planOf(deal, taskIdx, n)), 0), n, "all new");
    }

    function _settle(uint32 taskIdx) private returns (uint128) {
        return _settleWith(_task(taskIdx), _votersOf(_idOf(taskIdx)));
    }

    function _settleWith(Unsettled memory task, Voter[] memory voters) private returns (uint128) {
        return escape.settle(task, voters);
    }

    function _planOf(uint256 deal, uint32 taskIdx, uint256 n) private pure returns (Plan memory p) {
        p = _agreed(taskIdx, n);
        p.deal = deal;
    }

    /// The task as the first batch left it, whatever the pool has played since.
    function _stateBefore(uint32 taskIdx) private view returns (Unsettled memory task) {
        task = _task(taskIdx);
        task.deal.word &= ~(uint256(1) << taskIdx);
    }

    /// A vote of `t`, for another set than its own.
    function _voteFor(Task memory t, uint256 i, bytes32 set) private view returns (Vote memory) {
        t = abi.decode(abi.encode(t), (Task));
        t.sets[0] = set;
        _signVote(t, t.votes[i]);
        return t.votes[i];
    }

    function _claim(uint256 deal, uint32 worker) private returns (uint128) {
        Assign memory a = Assign(poolId, dealIds[deal], LEFT, 0, worker, 0, 100, 100);
        CommitAck memory c = CommitAck(poolId, _idOf(deal, LEFT), 0, worker, "commitment", 5);
        FrameProof memory pa = _frame(SIGNER_KEY, keccak256(abi.encode(Messages.ASSIGN_TYPE, a)));
        FrameProof memory pc =
            _frame(SIGNER_KEY, keccak256(abi.encode(Messages.COMMIT_ACK_TYPE, c)));
        Unsettled memory task;
        if (deal == 0) task = _task(LEFT);
        (task.terms, task.taskIdx) = (deals[deal], LEFT);
        return escape.claimAbandoned(task, a, pa, c, pc);
    }

    function _die() private {
        vm.prank(address(escape));
        settlement.abandon(poolId);
        _end = uint64(block.timestamp);
        _until = _end + WINDOW + 3 days;
        _refunds = _end + WINDOW + 7 days;
    }

    /// As before it died.
    function _revive() private {
        more.revertToState(_alive);
    }

    /// A dead pool with a deal of its own, that never committed anything.
    function _otherDeal(uint8 replicas, uint32 trust) private returns (uint256 deal) {
        poolId = _newPool();
        deal = _newDeal(replicas, trust);
        for (uint32 i = 1; i <= 9; i++) {
            _fund(_ownerOf(i), STAKE);
            vm.prank(_ownerOf(i));
            settlement.stake(poolId, i, STAKE);
        }
        _die();
    }

    /// Everything of the balance has a place.
    function _checkMoney() private view {
        uint256 sum = settlement.freeOf(requester) + settlement.freeOf(operator);
        sum += settlement.freeOf(address(0xdEaD)); // what a conviction burnt
        sum += settlement.freeOf(address(court)) + settlement.freeOf(address(0xA99));
        sum += settlement.freeOf(address(0xDA7A)) + settlement.freeOf(address(0xF00));
        for (uint256 i = 1; i <= 9; i++) {
            sum += settlement.freeOf(_ownerOf(i));
        }
        for (uint32 id = 1; id <= settlement.pools(); id++) {
            Pool memory pool = settlement.poolOf(id);
            sum += uint256(pool.bond) + pool.staked + pool.locked + pool.owed;
            sum -= pool.unapplied;
        }
        vm.assertEq(token.balanceOf(address(settlement)), sum, "the money equation");
    }
}
