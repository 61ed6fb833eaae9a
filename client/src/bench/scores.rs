//! Which trust makes k replicas decide a task. The benchmark wants a fixed k, but trust is what an order
//! asks for, and the weight of a vote grows with every task: so trust is chosen by the weights at hand.
//! The rules are `poco.md`'s: without opposition a group decides if its product exceeds T - 1.

use quorate_common::api::WorkerRow;

/// The weights of all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weights {
    /// The least, and its score.
    pub least: (u64, u32),
    /// The greatest, and its score.
    pub most: (u64, u32),
}

impl Weights {
    /// Of these workers; new ones weigh 2.
    pub(super) fn of(rows: &[WorkerRow]) -> Self {
        let pair = |row: &WorkerRow| (u64::from(row.weight), row.score);
        let least = rows.iter().map(pair).min().unwrap_or((2, 0));
        let most = rows.iter().map(pair).max().unwrap_or((2, 0));
        Self { least, most }
    }

    /// The highest trust that `k` of the lightest votes decide.
    pub(super) fn trust(&self, k: u8) -> u32 {
        let product = self.least.0.saturating_pow(k.into());
        u32::try_from(product).unwrap_or(u32::MAX)
    }

    /// A trust that fewer than `k` votes never decide; some tasks may need more than `k`.
    pub(super) fn trust_at_least(&self, k: u8) -> u32 {
        let product = self.most.0.saturating_pow(u32::from(k) - 1).saturating_add(1);
        u32::try_from(product).unwrap_or(u32::MAX).max(self.trust(k))
    }

    /// Points every worker may win before fewer than `k` votes could decide at [`Self::trust`].
    pub(super) fn room(&self, k: u8) -> u32 {
        if k == 1 {
            // A sole contributor's score stays what it is.
            return u32::MAX;
        }
        let trust = u64::from(self.trust(k));
        let mut heaviest = 1_u64;
        while (heaviest + 1).saturating_pow(u32::from(k) - 1) < trust {
            heaviest += 1;
        }
        // Weight w is reached at score 3 (w + 1), and left at the next multiple of three.
        let score = u32::try_from(3 * (heaviest + 2) - 1).unwrap_or(u32::MAX);
        score.saturating_sub(self.most.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_grid::poco::weight;

    fn weights(least: u32, most: u32) -> Weights {
        let of = |score| (u64::from(weight(score)), score);
        Weights { least: of(least), most: of(most) }
    }

    #[test]
    fn as_many_as_wanted_decide_and_no_fewer() {
        for (k, least, most) in [(1, 0, 0), (3, 0, 11), (3, 200, 240), (5, 300, 330)] {
            let weights = weights(least, most);
            let trust = u64::from(weights.trust(k));
            assert!(weights.least.0.pow(k.into()) > trust - 1, "{k} of the lightest decide");
            let fewer = weights.most.0.pow(u32::from(k) - 1);
            assert!(fewer < trust, "{} of the heaviest do not", k - 1);
        }
    }

    #[test]
    fn the_room_is_used_to_the_last_point() {
        for (k, least, most) in [(3, 200, 240), (5, 300, 330)] {
            let all = weights(least, most);
            let last = weight(most + all.room(k));
            let trust = u64::from(all.trust(k));
            assert!(u64::from(last).pow(u32::from(k) - 1) < trust);
            let next = weight(most + all.room(k) + 1);
            assert!(u64::from(next).pow(u32::from(k) - 1) >= trust);
        }
    }
}
