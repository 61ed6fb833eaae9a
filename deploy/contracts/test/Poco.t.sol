// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Poco} from "../src/Poco.sol";
import {vm} from "./support/Vm.sol";

/// @notice The arithmetic of PoCo: the examples and properties that `scheduler/grid/src/poco.rs` is
/// tested with, and a second implementation, the plain way, that must agree on random tasks.
contract PocoTest {
    bytes32 private constant A = bytes32(uint256(1));
    bytes32 private constant B = bytes32(uint256(2));

    function test_weights() public pure {
        uint32[7] memory scores = [uint32(0), 11, 12, 14, 15, 100, type(uint32).max];
        uint32[7] memory weights = [uint32(2), 2, 3, 3, 4, 32, type(uint32).max / 3 - 1];
        uint8[7] memory logs = [1, 1, 1, 1, 2, 5, 30];
        for (uint256 i = 0; i < scores.length; i++) {
            vm.assertEq(Poco.weight(scores[i]), weights[i], "weight");
            vm.assertEq(Poco.log(scores[i]), logs[i], "log");
        }
    }

    function test_the_example_of_the_rules() public pure {
        Poco.Ballots memory all = _alike(3, B, 12);
        all.digests[0] = A;
        (all.scores[1], all.scores[2]) = (100, 300);
        uint256[3] memory groups = [uint256(3), 32, 3168];
        uint256[3] memory totals = [uint256(4), 36, 3172];
        for (uint256 n = 1; n <= 3; n++) {
            Poco.Tally memory t = Poco.tally(_first(all, n));
            vm.assertEq(t.groups[n == 1 ? 0 : 1], groups[n - 1], "group");
            vm.assertEq(t.total, totals[n - 1], "total");
            vm.assertTrue(Poco.holds(t, n == 1 ? A : B, 100) == (n == 3), "decided");
        }
    }

    function test_new_workers_needed_without_opposition() public pure {
        uint32[2] memory trusts = [uint32(5), 100];
        uint256[2] memory needed = [uint256(3), 7];
        for (uint256 i = 0; i < 2; i++) {
            Poco.Ballots memory all = _alike(needed[i], A, 0);
            vm.assertTrue(Poco.isDecided(Poco.tally(all), trusts[i]), "enough");
            all = _alike(needed[i] - 1, A, 0);
            vm.assertFalse(Poco.isDecided(Poco.tally(all), trusts[i]), "one too few");
        }
    }

    function test_saturated_groups_do_not_both_win() public pure {
        Poco.Ballots memory all = _alike(14, A, type(uint32).max);
        for (uint256 i = 7; i < 14; i++) {
            all.digests[i] = B;
        }
        Poco.Tally memory t = Poco.tally(all);
        vm.assertEq(t.groups[0], type(uint128).max, "saturated");
        vm.assertEq(t.total, 2 * uint256(type(uint128).max) + 1, "exact");
        vm.assertFalse(Poco.isDecided(t, 2), "neither");
    }

    function test_at_trust_one_any_vote_counts_and_none_does_not() public pure {
        Poco.Ballots memory all = _alike(3, A, 0);
        all.digests[2] = B;
        for (uint256 trust = 0; trust < 2; trust++) {
            vm.assertTrue(Poco.holds(Poco.tally(all), B, trust), "voted for");
            vm.assertFalse(Poco.holds(Poco.tally(all), bytes32("C"), trust), "not voted for");
            vm.assertFalse(Poco.isDecided(Poco.tally(_alike(3, 0, 0)), trust), "all silent");
        }
    }

    /// payout + fees + royalties + refunded = unitPrice + royalty + slashed, to the last unit.
    function testFuzz_nothing_is_made_and_nothing_lost(
        uint128 price,
        uint128 royalty,
        uint8 ratios,
        uint256 seed
    ) public pure {
        Poco.Terms memory terms =
            Poco.Terms(price, royalty, ratios % 101, uint256(ratios) * 7 % 101, 5);
        Poco.Ballots memory all = _random(seed);
        Poco.Judgement memory j = Poco.judge(terms, bytes32(seed % 4), all);
        uint256 out = j.payout + j.fees + j.royalties + j.refunded;
        vm.assertEq(out, uint256(price) + royalty + j.slashed, "conservation");
        (uint256 earned, uint256 slashed) = (0, 0);
        for (uint256 i = 0; i < all.digests.length; i++) {
            earned += j.earned[i];
            if (j.lost[i]) slashed += j.stake;
        }
        vm.assertEq(earned, j.payout, "payout");
        vm.assertEq(slashed, j.slashed, "slashed");
        uint256 spent = seed % 4 == 0 ? 0 : uint256(price) + royalty;
        vm.assertEq(j.spent, spent, "spent");
    }

    /// Written again, as PROTOCOL.md says it and no more cleverly than that.
    function testFuzz_a_second_implementation_agrees(uint96 price, uint8 ratios, uint256 seed)
        public
        pure
    {
        Poco.Terms memory terms =
            Poco.Terms(price, 7, ratios % 101, uint256(ratios) * 7 % 101, 1 + seed % 300);
        Poco.Ballots memory all = _random(seed);
        bytes32 winner = bytes32(seed % 4);
        Poco.Judgement memory j = Poco.judge(terms, winner, all);
        (uint256 winners, uint256 losers, uint256 logs) = (0, 0, 0);
        for (uint256 i = 0; i < all.digests.length; i++) {
            if (all.digests[i] == 0 || (winner != 0 && all.digests[i] != winner)) losers++;
            else if (winner != 0) (winners, logs) = (winners + 1, logs + _log(all.scores[i]));
        }
        uint256 stake = uint256(price) * terms.stakeRatio / 100;
        uint256 reward = winner == 0 ? 0 : price + losers * stake;
        vm.assertEq(j.reward, reward, "reward");
        vm.assertEq(j.stake, stake, "stake");
        vm.assertEq(j.refunded, winner == 0 ? uint256(price) + 7 + losers * stake : 0, "refunded");
        uint256 shared = reward * (100 - terms.schedulerRatio) / 100;
        for (uint256 i = 0; i < all.digests.length; i++) {
            (uint256 score, uint256 earned) = (all.scores[i], 0);
            bool loses = all.digests[i] == 0 || (winner != 0 && all.digests[i] != winner);
            if (loses) {
                score = score * 2 / 3;
            } else if (winner != 0) {
                earned = shared * _log(score) / logs;
                if (winners > 1 && score < type(uint32).max) score++;
            }
            vm.assertEq(j.earned[i], earned, "earned");
            vm.assertEq(j.scores[i], score, "score");
            vm.assertTrue(j.lost[i] == loses, "lost");
        }
        _checkDecision(all, winner, terms.trust);
    }

    function _checkDecision(Poco.Ballots memory all, bytes32 winner, uint256 trust) private pure {
        (uint256 total, uint256 mine) = (1, 0);
        for (uint256 d = 1; d < 4; d++) {
            (uint256 group, bool any) = (1, false);
            for (uint256 i = 0; i < all.digests.length; i++) {
                if (uint256(all.digests[i]) != d) continue;
                (group, any) = (group * _weight(all.scores[i]), true);
                if (group > type(uint128).max) group = type(uint128).max;
            }
            if (any) total += group;
            if (any && bytes32(d) == winner) mine = group;
        }
        bool decided = mine != 0 && mine * trust > total * (trust - 1);
        vm.assertTrue(Poco.holds(Poco.tally(all), winner, trust) == decided, "decided");
        if (decided) vm.assertTrue(Poco.isDecided(Poco.tally(all), trust), "by somebody");
    }

    function _weight(uint256 score) private pure returns (uint256) {
        return score < 12 ? 2 : score / 3 - 1;
    }

    function _log(uint256 score) private pure returns (uint256 n) {
        while (2 ** (n + 1) <= _weight(score)) n++;
    }

    /// Up to fifteen ballots for three digests or nothing, with scores of all sizes.
    function _random(uint256 seed) private pure returns (Poco.Ballots memory all) {
        all = _alike((seed >> 8) % 16, 0, 0);
        for (uint256 i = 0; i < all.digests.length; i++) {
            uint256 x = uint256(keccak256(abi.encode(seed, i)));
            (all.digests[i], all.scores[i]) = (bytes32(x % 4), uint32(x >> 8) >> (x >> 40) % 32);
        }
    }

    function _alike(uint256 n, bytes32 digest, uint256 score)
        private
        pure
        returns (Poco.Ballots memory all)
    {
        (all.digests, all.scores) = (new bytes32[](n), new uint256[](n));
        for (uint256 i = 0; i < n; i++) {
            (all.digests[i], all.scores[i]) = (digest, score);
        }
    }

    function _first(Poco.Ballots memory all, uint256 n)
        private
        pure
        returns (Poco.Ballots memory some)
    {
        some = _alike(n, 0, 0);
        for (uint256 i = 0; i < n; i++) {
            (some.digests[i], some.scores[i]) = (all.digests[i], all.scores[i]);
        }
    }
}
