// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Filing} from "../src/court/Proofs.sol";
import {DealAccount, DealTerms, WorkerAccount} from "../src/Types.sol";
import {Benches} from "./court/Benches.sol";
import {Trees} from "./court/Trees.sol";
import {World, more} from "./court/World.sol";
import {vm} from "./support/Vm.sol";

/// @notice F8, and the part of F5 that the state shows: headers that do not add up, accounts that
/// are nobody's, deals that are not the pool's. Each lie is proven, and the same proof against the
/// honest batch is none.
contract CourtBooksTest is World {
    Filing private _first;

    function setUp() public override {
        super.setUp();
        Batch memory b = _play(_mixed(0));
        _commit(b);
        _first = _filing(b);
    }

    // ---- the header ----

    function test_every_total_of_a_header() public {
        Batch memory b = _play(_mixed(1000));
        _judge(b, _totals(b), false, "honest");
        for (uint256 field = 0; field < 5; field++) {
            Batch memory m = _copy(b);
            if (field == 0) m.header.payout--;
            if (field == 1) m.header.fees++;
            if (field == 2) m.header.royalties++;
            if (field == 3) m.header.slashed++;
            if (field == 4) m.header.stateRoot = "bad";
            _judge(m, _totals(m), true, vm.toString(field));
        }
    }

    function test_totals_are_those_of_the_last_task() public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        bytes memory proof = abi.encodeCall(Benches.totals, (_filing(b), _leaf(b, 2)));
        _refused(bookBench, proof, "PlaceOutOfRange(uint256,uint256)", "not the last");
    }

    function test_the_count_of_a_header() public {
        Batch memory b = _play(_mixed(1000));
        for (uint256 place = 3; place < 5; place++) {
            _judge(b, _count(b, place), false, "honest");
        }
        b.header.count = 5;
        _judge(b, _count(b, 4), true, "one too many");
        _judge(b, _count(b, 3), false, "there is one");
        b.header.count = 3;
        _judge(b, _count(b, 3), true, "one too few");
        _judge(b, _count(b, 4), false, "there is none");
    }

    function test_the_count_is_of_places_that_exist() public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        bytes memory proof = abi.encodeCall(
            Benches.count, (_filing(b), 65_536, bytes32(0), _fixed16(Trees.path(_leaves(b), 0, 16)))
        );
        _refused(bookBench, proof, "PlaceOutOfRange(uint256,uint256)", "no such place");
    }

    function test_parent_and_cumulated_fees() public {
        Batch memory b = _play(_mixed(1000));
        _judge(b, _parent(b), false, "honest");
        Batch memory m = _copy(b);
        m.header.parent = "bad";
        _judge(m, _parent(m), true, "parent");
        m = _copy(b);
        m.header.cumFees++;
        _judge(m, _parent(m), true, "cumFees");
    }

    function test_parent_and_cumulated_fees_of_the_first_batch() public {
        Filing memory none;
        _innocent(bookBench, abi.encodeCall(Benches.parent, (_first, none)), "honest");
        poolId = _newPool();
        nextIndex = 1;
        Batch memory b = _lonely();
        b.header.parent = "bad";
        _judge(b, abi.encodeCall(Benches.parent, (_now(b), none)), true, "parent");
        b = _lonely();
        b.header.cumFees++;
        _judge(b, abi.encodeCall(Benches.parent, (_now(b), none)), true, "cumFees");
    }

    /// A first batch that only its header is looked at.
    function _lonely() private view returns (Batch memory b) {
        (b.header.poolId, b.header.index, b.header.count) = (poolId, 1, 1);
        b.header.stateRoot = "state";
    }

    function test_the_parent_is_the_batch_before() public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        Batch memory c = _play(_mixed(2000));
        _commit(c);
        bytes memory proof = abi.encodeCall(Benches.parent, (_filing(c), _first));
        _refused(bookBench, proof, "OtherSubject(string,bytes32,bytes32)", "the one before that");
    }

    // ---- the state ----

    function test_identities_in_the_state() public {
        Batch memory b = _play(_mixed(1000));
        for (uint32 i = 1; i <= 9; i++) {
            _judge(b, _identity(b, i), false, "honest");
        }
        for (uint8 field = 0; field < 2; field++) {
            uint256 before = more.snapshotState();
            lie = Lie(true, 3, field);
            b = _play(_plans(_contested(1000)));
            _judge(b, _identity(b, 3), true, vm.toString(field));
            _judge(b, _identity(b, 4), false, "another's");
            more.revertToState(before);
        }
    }

    function test_an_account_of_nobody() public {
        uint32[3] memory places = [uint32(0), 10, DEALS + 3];
        for (uint256 i = 0; i < places.length; i++) {
            uint256 before = more.snapshotState();
            WorkerAccount memory ghost = accounts[tree.leafAt(state, 1)];
            _put(places[i], ghost);
            Batch memory b = _play(_plans(_agreed(1000, 7)));
            _judge(b, _identity(b, places[i]), true, "nobody's");
            more.revertToState(before);
        }
    }

    function test_places_of_deals() public {
        Batch memory b = _play(_mixed(1000));
        _judge(b, _dealPlace(b, DEALS), false, "honest");
        uint256 before = more.snapshotState();
        _put(DEALS + 1, dealAccounts[tree.leafAt(state, DEALS)]);
        b = _play(_plans(_agreed(1001, 7)));
        _judge(b, _dealPlace(b, DEALS + 1), true, "the deal's twin");
        more.revertToState(before);
        lie = Lie(true, DEALS, 0);
        b = _play(_plans(_agreed(1001, 7)));
        _judge(b, _dealPlace(b, DEALS), true, "no deal");
    }

    function test_a_task_of_no_deal() public {
        Batch memory b = _play(_mixed(1000));
        _judge(b, _unknownDeal(b), false, "honest");
        b.tasks[1].rec.dealId = "none";
        _sealTree(b);
        _judge(b, _unknownDeal(b), true, "no such deal");
        poolId = _newPool();
        b.tasks[1].rec.dealId = dealIds[_newDeal(9, 50)];
        poolId--;
        _sealTree(b);
        _judge(b, _unknownDeal(b), true, "another pool's");
    }

    function test_expired_before_its_time() public {
        Plan memory plan = _agreed(1000, 7);
        (plan.outcome, plan.winner) = (EXPIRED, 0);
        Batch memory b = _play(_plans(plan));
        vm.warp(deals[0].deadline - SLACK - 1);
        _judge(b, _expired(b, deals[0]), true, "a second early");
        vm.warp(block.timestamp + 1);
        _judge(b, _expired(b, deals[0]), false, "within the slack of clocks");
        DealTerms memory later = deals[0];
        later.deadline++;
        vm.warp(block.timestamp - 1);
        _commit(b);
        string memory error = "PreimageMismatch(string,bytes32,bytes32)";
        _refused(bookBench, _expired(b, later), error, "other terms");
    }

    function test_only_expired_tasks_are_asked_for_their_deadline() public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        for (uint256 place = 0; place < 4; place++) {
            bytes memory proof =
                abi.encodeCall(Benches.expiredEarly, (_filing(b), _leaf(b, place), deals[0]));
            _innocent(bookBench, proof, "not expired");
        }
    }

    // ---- all of them ----

    /// Whatever bit of a proof is changed, an honest batch is not convicted.
    function testFuzz_no_changed_proof_convicts_an_honest_batch(uint256 which, uint256 bit) public {
        Batch memory b = _play(_mixed(1000));
        _commit(b);
        bytes memory proof;
        which %= 7;
        if (which == 0) proof = _totals(b);
        if (which == 1) proof = _count(b, 3);
        if (which == 2) proof = _parent(b);
        if (which == 3) proof = _identity(b, 3);
        if (which == 4) proof = _dealPlace(b, DEALS);
        if (which == 5) proof = _unknownDeal(b);
        if (which == 6) proof = _expired(b, deals[0]);
        proof[4 + (bit >> 8) % (proof.length - 4)] ^= bytes1(uint8(1 << (bit % 8)));
        (bool fraud,) = bookBench.staticcall(proof);
        vm.assertFalse(fraud, "a changed proof");
    }

    // ---- proofs ----

    /// As it will be when it is committed now.
    function _now(Batch memory b) private view returns (Filing memory) {
        return Filing(b.header, uint64(block.timestamp), settlement.poolOf(poolId).inbox);
    }

    function _totals(Batch memory b) private view returns (bytes memory) {
        return abi.encodeCall(Benches.totals, (_now(b), _leaf(b, b.tasks.length - 1)));
    }

    function _count(Batch memory b, uint256 place) private view returns (bytes memory) {
        bytes32[] memory leaves = _leaves(b);
        bytes32 leaf = place < leaves.length ? leaves[place] : bytes32(0);
        return abi.encodeCall(
            Benches.count, (_now(b), uint32(place), leaf, _fixed16(Trees.path(leaves, place, 16)))
        );
    }

    function _parent(Batch memory b) private view returns (bytes memory) {
        return abi.encodeCall(Benches.parent, (_now(b), _first));
    }

    function _identity(Batch memory b, uint32 position) private view returns (bytes memory) {
        bytes32 root = b.header.stateRoot;
        WorkerAccount memory account = accounts[tree.leafAt(root, position)];
        return abi.encodeCall(
            Benches.identity, (_now(b), position, account, _fixed20(tree.path(root, position)))
        );
    }

    function _dealPlace(Batch memory b, uint32 position) private view returns (bytes memory) {
        bytes32 root = b.header.stateRoot;
        DealAccount memory account = dealAccounts[tree.leafAt(root, position)];
        return abi.encodeCall(
            Benches.dealPlace, (_now(b), position, account, _fixed20(tree.path(root, position)))
        );
    }

    function _unknownDeal(Batch memory b) private view returns (bytes memory) {
        return abi.encodeCall(Benches.unknownDeal, (_now(b), _leaf(b, 1)));
    }

    function _expired(Batch memory b, DealTerms memory terms) private view returns (bytes memory) {
        return abi.encodeCall(Benches.expiredEarly, (_now(b), _leaf(b, 0), terms));
    }

    /// Commits a batch, asks the bench, and takes the commit back.
    function _judge(Batch memory b, bytes memory proof, bool fraud, string memory what) private {
        uint256 before = more.snapshotState();
        _commit(b);
        if (fraud) _guilty(bookBench, proof, b.header.index, what);
        else _innocent(bookBench, proof, what);
        more.revertToState(before);
    }
}
