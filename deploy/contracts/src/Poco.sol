// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title Proof of Contribution, the arithmetic (common/PROTOCOL.md section 4).
/// @notice Weights, groups, the decision, pay, stake and score, in integers, to the last unit what
/// `scheduler/grid/src/poco.rs` computes. Knows nothing of trees, signatures or money that moves.
/// @dev Everything is computed in 256 bits. The widest numbers are a total times a trust, below
/// 2^(132 + 32), and a reward times a percentage, below 2^(132 + 7), so nothing here can overflow,
/// and the caller compares with the narrower fields it was given.
library Poco {
    /// @notice One result is credible.
    uint8 internal constant CONSENSUS = 1;
    /// @notice Votes were in, and no result was credible with the replicas allowed.
    uint8 internal constant NO_QUORUM = 2;
    /// @notice The deal's deadline came first.
    uint8 internal constant EXPIRED = 3;

    /// @notice Groups saturate here, so that fifteen of them and a trust fit 256 bits.
    uint256 internal constant GROUP_MAX = type(uint128).max;
    /// @notice Scores saturate here: their field's width.
    uint256 internal constant SCORE_MAX = type(uint32).max;

    /// @notice What a deal says about money and trust.
    struct Terms {
        /// For workers and scheduler, a task.
        uint256 unitPrice;
        /// For owners of application and dataset, a task.
        uint256 royalty;
        /// Whole percent of the unit price at stake per vote.
        uint256 stakeRatio;
        /// Whole percent of a reward that is the scheduler's.
        uint256 schedulerRatio;
        /// 1 / (chance of a wrong result).
        uint256 trust;
    }

    /// @notice The committed votes of one task, as they are judged. Lists of numbers and no structs:
    /// a proof's gas goes into looking things up.
    struct Ballots {
        /// What was revealed; zero: nothing.
        bytes32[] digests;
        /// The workers' scores before the task.
        uint256[] scores;
    }

    /// @notice What a task comes to.
    struct Judgement {
        /// Shared by workers and scheduler.
        uint256 reward;
        uint256 payout;
        uint256 fees;
        uint256 royalties;
        uint256 slashed;
        /// Of the deal's lock.
        uint256 spent;
        /// Back to the payer, seized stakes of a failed task included.
        uint256 refunded;
        /// What one loser loses.
        uint256 stake;
        /// What each earns.
        uint256[] earned;
        /// Whether each loses.
        bool[] lost;
        /// Scores after the task.
        uint256[] scores;
    }

    /// @notice The votes of one task by digest, in the order of first votes.
    struct Tally {
        bytes32[] digests;
        /// Products of the weights behind each.
        uint256[] groups;
        /// How many of the above are in use.
        uint256 size;
        /// One plus the sum of all groups: the one is "every vote is wrong".
        uint256 total;
    }

    /// @notice max(floor(score / 3), 3) - 1, never below 2.
    function weight(uint256 score) internal pure returns (uint256) {
        unchecked {
            uint256 third = score / 3;
            return (third > 3 ? third : 3) - 1;
        }
    }

    /// @notice floor(log2(weight)), from 1 to 30.
    function log(uint256 score) internal pure returns (uint256 n) {
        unchecked {
            uint256 w = weight(score);
            if (w >= 1 << 16) (w, n) = (w >> 16, 16);
            if (w >= 1 << 8) (w, n) = (w >> 8, n + 8);
            if (w >= 1 << 4) (w, n) = (w >> 4, n + 4);
            if (w >= 1 << 2) (w, n) = (w >> 2, n + 2);
            if (w >= 1 << 1) n++;
        }
    }

    /// @notice Groups of the revealed ballots and their total.
    function tally(Ballots memory b) internal pure returns (Tally memory t) {
        (bytes32[] memory digests, uint256[] memory scores) = (b.digests, b.scores);
        t.digests = new bytes32[](digests.length);
        t.groups = new uint256[](digests.length);
        t.total = 1;
        unchecked {
            for (uint256 i = 0; i < digests.length; i++) {
                if (digests[i] != 0) _add(t, digests[i], weight(scores[i]));
            }
            for (uint256 i = 0; i < t.size; i++) {
                t.total += t.groups[i];
            }
        }
    }

    /// @notice Whether `digest` is credible at `trust`; at trust 1 that is every digest voted for.
    function holds(Tally memory t, bytes32 digest, uint256 trust) internal pure returns (bool) {
        unchecked {
            for (uint256 i = 0; i < t.size; i++) {
                if (t.digests[i] == digest) return _decides(t.groups[i], t.total, trust);
            }
            return false;
        }
    }

    /// @notice Whether any digest is credible at `trust`.
    function isDecided(Tally memory t, uint256 trust) internal pure returns (bool) {
        unchecked {
            for (uint256 i = 0; i < t.size; i++) {
                if (_decides(t.groups[i], t.total, trust)) return true;
            }
            return false;
        }
    }

    /// @notice Pays, seizes and scores. `winner` is zero without consensus.
    /// @dev Conservation, exactly:
    /// payout + fees + royalties + refunded = unitPrice + royalty + slashed.
    function judge(Terms memory terms, bytes32 winner, Ballots memory b)
        internal
        pure
        returns (Judgement memory j)
    {
        (uint256 losers, uint256 logs) = _sort(j, winner, b);
        unchecked {
            j.stake = terms.unitPrice * terms.stakeRatio / 100;
            j.slashed = losers * j.stake;
            uint256 price = terms.unitPrice + terms.royalty;
            if (winner == 0) {
                j.refunded = price + j.slashed;
                return j;
            }
            j.reward = terms.unitPrice + j.slashed;
            (j.royalties, j.spent) = (terms.royalty, price);
            j.payout = _share(j.earned, j.reward, terms.schedulerRatio, logs);
            j.fees = j.reward - j.payout;
        }
    }

    /// @dev Finds who loses, and scores. Each winner's share is left in `earned`, as a logarithm.
    function _sort(Judgement memory j, bytes32 winner, Ballots memory b)
        private
        pure
        returns (uint256 losers, uint256 logs)
    {
        uint256 n = b.digests.length;
        (bytes32[] memory digests, uint256[] memory scores) = (b.digests, b.scores);
        bool[] memory lost = new bool[](n);
        uint256[] memory earned = new uint256[](n);
        uint256[] memory later = new uint256[](n);
        (j.lost, j.earned, j.scores) = (lost, earned, later);
        unchecked {
            for (uint256 i = 0; i < n; i++) {
                bytes32 digest = digests[i];
                uint256 score = scores[i];
                // A vote against the accepted result, or one that was never revealed.
                if (digest == 0 || (winner != 0 && digest != winner)) {
                    (lost[i], later[i]) = (true, score * 2 / 3);
                    losers++;
                } else {
                    later[i] = score;
                    if (winner == 0) continue;
                    logs += (earned[i] = log(score));
                }
            }
            // A lone winner proves nothing about itself.
            if (winner == 0 || n - losers < 2) return (losers, logs);
            for (uint256 i = 0; i < n; i++) {
                if (!lost[i]) later[i] = _min(later[i] + 1, SCORE_MAX);
            }
        }
    }

    /// @dev Shares a reward among winners, by the logarithms in `earned`.
    function _share(uint256[] memory earned, uint256 reward, uint256 schedulerRatio, uint256 logs)
        private
        pure
        returns (uint256 payout)
    {
        unchecked {
            uint256 shared = reward * (100 - _min(schedulerRatio, 100)) / 100;
            for (uint256 i = 0; i < earned.length; i++) {
                if (earned[i] == 0) continue;
                payout += (earned[i] = shared * earned[i] / logs);
            }
        }
    }

    function _add(Tally memory t, bytes32 digest, uint256 w) private pure {
        unchecked {
            uint256 at = 0;
            while (at < t.size && t.digests[at] != digest) at++;
            if (at == t.size) {
                (t.digests[at], t.groups[at], t.size) = (digest, w, at + 1);
            } else {
                t.groups[at] = _min(t.groups[at] * w, GROUP_MAX);
            }
        }
    }

    function _decides(uint256 group, uint256 total, uint256 trust) private pure returns (bool) {
        unchecked {
            uint256 t = trust == 0 ? 1 : trust;
            return group * t > total * (t - 1);
        }
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
