//! The one tree rule of the protocol: `node = keccak256(left ‖ right)`, positions from 0, the lowest
//! bit of the index picks the side at the lowest level, empty leaf = zero (PROTOCOL.md section 3).
//! The same bytes as `Merkle.sol`. Which leaf stands where is `accounts`' and `frame`'s business.

use alloy_primitives::{B256, keccak256};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Depth of the tree over a task's commitments: 15 replicas at most.
pub const SET_DEPTH: usize = 4;
/// Depth of the tree over a batch's tasks: 65,536 at most.
pub const TASKS_DEPTH: usize = 16;
/// Depth of a deal's settled bitmap: 256 words.
pub const BITMAP_DEPTH: usize = 8;
/// Depth of the state tree: 2^19 workers and 2^19 deals.
pub const STATE_DEPTH: usize = 20;

/// Hashes two nodes into their parent.
pub fn node(left: B256, right: B256) -> B256 {
    let mut preimage = [0_u8; 64];
    preimage[..32].copy_from_slice(left.as_slice());
    preimage[32..].copy_from_slice(right.as_slice());
    keccak256(preimage)
}

/// The root of an empty subtree of height `height`, up to [`STATE_DEPTH`].
pub fn zero(height: usize) -> B256 {
    static ZEROS: LazyLock<[B256; STATE_DEPTH + 1]> = LazyLock::new(|| {
        let mut zeros = [B256::ZERO; STATE_DEPTH + 1];
        for height in 0..STATE_DEPTH {
            zeros[height + 1] = node(zeros[height], zeros[height]);
        }
        zeros
    });
    ZEROS[height]
}

/// Where `path` leads from `leaf` at `index`. The caller checks that the path has the right length
/// and that `index` fits it; [`proves`] does both.
pub fn root_of(leaf: B256, index: u64, path: &[B256]) -> B256 {
    path.iter().enumerate().fold(leaf, |here, (height, sibling)| {
        if index >> height & 1 == 0 { node(here, *sibling) } else { node(*sibling, here) }
    })
}

/// Whether `path`, of exactly `depth` hashes, leads from `leaf` at `index` to `root`.
pub fn proves(root: B256, depth: usize, leaf: B256, index: u64, path: &[B256]) -> bool {
    path.len() == depth && index >> depth == 0 && root_of(leaf, index, path) == root
}

/// A path of the state tree as `Settlement` takes it, 1 to [`STATE_DEPTH`] hashes: zero for each
/// empty subtree, and between the highest sibling that is not empty and the topmost one, nothing.
///
/// Workers fill one half of the tree from below and deals the other, so a pool's paths are mostly that
/// gap, and a word of it costs 128 gas in each claim. A path of another length is given back as it is:
/// the contract says what it expected.
pub fn short(path: &[B256]) -> Vec<B256> {
    let Some((topmost, below)) = path.split_last() else { return Vec::new() };
    if path.len() != STATE_DEPTH {
        return path.to_vec();
    }
    let bare = |(height, sibling): (usize, &B256)| {
        if *sibling == zero(height) { B256::ZERO } else { *sibling }
    };
    let mut short: Vec<B256> = below.iter().enumerate().map(bare).collect();
    let used = short.iter().rposition(|sibling| !sibling.is_zero()).map_or(0, |last| last + 1);
    short.truncate(used);
    short.push(bare((STATE_DEPTH - 1, topmost)));
    short
}

/// A full tree over a list of leaves, padded with empty ones to its depth.
///
/// Costs one hash per inner node that has a leaf below it; keeps all of them for proofs.
#[derive(Clone, Debug)]
pub struct Tree {
    /// `levels[0]` are the leaves; each level holds only nodes with a leaf below them.
    levels: Vec<Vec<B256>>,
}

impl Tree {
    /// Builds the tree.
    ///
    /// # Panics
    /// If there are more than `2^depth` leaves: the caller's limit is wrong.
    pub fn new(depth: usize, leaves: Vec<B256>) -> Self {
        assert!(leaves.len() <= 1 << depth, "{} leaves in a tree of depth {depth}", leaves.len());
        let mut levels = vec![leaves];
        for height in 0..depth {
            let below = &levels[height];
            let above = below
                .chunks(2)
                .map(|pair| node(pair[0], pair.get(1).copied().unwrap_or_else(|| zero(height))))
                .collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The root.
    pub fn root(&self) -> B256 {
        let depth = self.levels.len() - 1;
        self.levels[depth].first().copied().unwrap_or_else(|| zero(depth))
    }

    /// The path of the leaf at `index`.
    pub fn path(&self, index: u64) -> Vec<B256> {
        let depth = self.levels.len() - 1;
        (0..depth)
            .map(|height| {
                let sibling = (index >> height ^ 1) as usize;
                self.levels[height].get(sibling).copied().unwrap_or_else(|| zero(height))
            })
            .collect()
    }
}

/// A sparse tree of fixed depth that changes leaf by leaf.
///
/// Nodes live in one dense vector per level, grown to the highest index used in each half of the
/// tree, because indices are handed out densely from both ends of the protocol (workers from 0,
/// deals from `2^19`): a look-up is an array access, not a map search.
#[derive(Clone, Debug)]
pub struct Sparse {
    depth: usize,
    levels: Vec<Halves>,
}

/// One level: nodes of the left and of the right half of the tree.
#[derive(Clone, Debug, Default)]
struct Halves([Vec<B256>; 2]);

impl Halves {
    fn get(&self, half: usize, at: usize) -> Option<B256> {
        self.0[half].get(at).copied()
    }

    fn set(&mut self, half: usize, at: usize, empty: B256, value: B256) {
        let nodes = &mut self.0[half];
        if nodes.len() <= at {
            nodes.resize(at + 1, empty);
        }
        nodes[at] = value;
    }
}

impl Sparse {
    /// An empty tree.
    ///
    /// # Panics
    /// If `depth` is zero or above [`STATE_DEPTH`].
    pub fn new(depth: usize) -> Self {
        assert!((1..=STATE_DEPTH).contains(&depth), "depth {depth}");
        Self { depth, levels: vec![Halves::default(); depth] }
    }

    /// The root.
    pub fn root(&self) -> B256 {
        let top = self.depth - 1;
        node(self.at(top, 0), self.at(top, 1))
    }

    /// Sets several leaves and recomputes each touched node once.
    ///
    /// # Panics
    /// If an index does not fit the depth.
    pub fn set(&mut self, changes: &BTreeMap<u64, B256>) {
        let mut touched: Vec<u64> = Vec::with_capacity(changes.len());
        for (&index, &leaf) in changes {
            assert!(index >> self.depth == 0, "leaf {index} in a tree of depth {}", self.depth);
            self.put(0, index, leaf);
            touched.push(index);
        }
        for height in 0..self.depth - 1 {
            for index in &mut touched {
                *index >>= 1;
            }
            touched.dedup();
            for &index in &touched {
                let above = node(self.at(height, index * 2), self.at(height, index * 2 + 1));
                self.put(height + 1, index, above);
            }
        }
    }

    /// The leaf at `index`.
    pub fn leaf(&self, index: u64) -> B256 {
        self.at(0, index)
    }

    /// The path of the leaf at `index`, set or empty.
    pub fn path(&self, index: u64) -> Vec<B256> {
        (0..self.depth).map(|height| self.at(height, index >> height ^ 1)).collect()
    }

    fn at(&self, height: usize, index: u64) -> B256 {
        let (half, at) = self.place(height, index);
        self.levels[height].get(half, at).unwrap_or_else(|| zero(height))
    }

    fn put(&mut self, height: usize, index: u64, value: B256) {
        let (half, at) = self.place(height, index);
        self.levels[height].set(half, at, zero(height), value);
    }

    fn place(&self, height: usize, index: u64) -> (usize, usize) {
        let half_bit = self.depth - 1 - height;
        ((index >> half_bit) as usize & 1, (index & ((1 << half_bit) - 1)) as usize)
    }
}

/// The part of a tree that some proven leaves span: enough to change those leaves and to know the
/// new root, and nothing more. What a verifier holds in place of the whole tree.
#[derive(Clone, Debug)]
pub struct Partial {
    depth: usize,
    nodes: BTreeMap<(usize, u64), B256>,
}

impl Partial {
    /// Starts from `root`, knowing no leaf.
    pub fn new(depth: usize, root: B256) -> Self {
        Self { depth, nodes: BTreeMap::from([((depth, 0), root)]) }
    }

    /// Learns `leaf` at `index`; false, and nothing learned, if `path` does not prove it. All leaves
    /// are learned before the first [`Partial::set`].
    pub fn learn(&mut self, index: u64, leaf: B256, path: &[B256]) -> bool {
        if !proves(self.root(), self.depth, leaf, index, path) {
            return false;
        }
        let mut here = leaf;
        for (height, sibling) in path.iter().enumerate() {
            let at = index >> height;
            self.nodes.insert((height, at), here);
            self.nodes.insert((height, at ^ 1), *sibling);
            here = if at & 1 == 0 { node(here, *sibling) } else { node(*sibling, here) };
        }
        true
    }

    /// The root.
    pub fn root(&self) -> B256 {
        self.nodes[&(self.depth, 0)]
    }

    /// Changes a known leaf; false, and nothing changed, if it is not known.
    pub fn set(&mut self, index: u64, leaf: B256) -> bool {
        if !self.nodes.contains_key(&(0, index)) {
            return false;
        }
        self.nodes.insert((0, index), leaf);
        for height in 0..self.depth {
            let at = index >> height;
            let (left, right) = (self.nodes[&(height, at & !1)], self.nodes[&(height, at | 1)]);
            self.nodes.insert((height + 1, at >> 1), node(left, right));
        }
        true
    }

    /// The path of a known leaf.
    pub fn path(&self, index: u64) -> Option<Vec<B256>> {
        (0..self.depth).map(|h| self.nodes.get(&(h, index >> h ^ 1)).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(n: u64) -> B256 {
        keccak256(n.to_be_bytes())
    }

    proptest! {
        #[test]
        fn every_leaf_of_a_tree_is_proven_and_no_other(count in 0_u64..40, extra in 0_usize..3) {
            let depth = 6 + extra;
            let leaves: Vec<B256> = (0..count).map(leaf).collect();
            let tree = Tree::new(depth, leaves);
            for index in 0..count {
                let path = tree.path(index);
                prop_assert!(proves(tree.root(), depth, leaf(index), index, &path));
                prop_assert!(!proves(tree.root(), depth, leaf(index), index ^ 1, &path));
                prop_assert!(!proves(tree.root(), depth, leaf(index + 1), index, &path));
                prop_assert!(!proves(tree.root(), depth, leaf(index), index, &path[1..]));
                prop_assert!(!proves(tree.root(), depth, leaf(index), index | 1 << depth, &path));
            }
        }

        #[test]
        fn a_partial_tree_follows_the_full_one(
            known in proptest::collection::btree_set(0_u64..64, 1..8),
            changes in proptest::collection::vec((0_u64..64, 0_u64..9), 0..30),
        ) {
            let mut full = Sparse::new(6);
            full.set(&(0..64).step_by(3).map(|i| (i, leaf(i))).collect());
            let mut partial = Partial::new(6, full.root());
            for &index in &known {
                prop_assert!(!partial.learn(index, leaf(99), &full.path(index)));
                prop_assert!(partial.learn(index, full.leaf(index), &full.path(index)));
            }
            for (index, n) in changes {
                if partial.set(index, leaf(n)) {
                    full.set(&BTreeMap::from([(index, leaf(n))]));
                } else {
                    prop_assert!(!known.contains(&index));
                }
                prop_assert_eq!(partial.root(), full.root());
                for &index in &known {
                    prop_assert_eq!(partial.path(index), Some(full.path(index)));
                }
            }
        }

        #[test]
        fn a_sparse_tree_equals_the_full_one(
            changes in proptest::collection::vec((0_u64..64, 0_u64..9), 0..80),
        ) {
            let mut sparse = Sparse::new(6);
            let mut leaves = vec![B256::ZERO; 64];
            for chunk in changes.chunks(3) {
                let step: BTreeMap<u64, B256> = chunk.iter().map(|&(i, n)| (i, leaf(n))).collect();
                for (&index, &value) in &step {
                    leaves[index as usize] = value;
                }
                sparse.set(&step);
                let full = Tree::new(6, leaves.clone());
                prop_assert_eq!(sparse.root(), full.root());
                for index in 0..64 {
                    prop_assert_eq!(sparse.path(index), full.path(index));
                    prop_assert_eq!(sparse.leaf(index), leaves[index as usize]);
                }
            }
        }
    }

    /// The path that a short proof stands for, by the contract's rule.
    fn widened(short: &[B256]) -> Vec<B256> {
        let (topmost, lowest) = short.split_last().expect("never empty");
        let mut path: Vec<B256> = (0..STATE_DEPTH).map(zero).collect();
        for (height, sibling) in lowest.iter().enumerate().filter(|(_, s)| !s.is_zero()) {
            path[height] = *sibling;
        }
        if !topmost.is_zero() {
            path[STATE_DEPTH - 1] = *topmost;
        }
        path
    }

    proptest! {
        #[test]
        fn a_short_proof_is_its_path_without_the_empty_levels(
            workers in proptest::collection::btree_set(0_u64..1 << 19, 0..6),
            few in 0_u64..40,
            deals in 0_u64..5,
            asked in 0_u64..1 << 20,
        ) {
            let low = (1..=few).chain((0..deals).map(|slot| (1 << 19) + slot));
            let used: BTreeMap<u64, B256> = low.chain(workers).map(|i| (i, leaf(i))).collect();
            let mut tree = Sparse::new(STATE_DEPTH);
            tree.set(&used);
            for &index in used.keys().chain([&asked]) {
                let path = tree.path(index);
                let short = short(&path);
                prop_assert!((1..=STATE_DEPTH).contains(&short.len()));
                prop_assert!(short.len() < 2 || !short[short.len() - 2].is_zero(), "no shorter");
                prop_assert_eq!(widened(&short), path);
            }
        }
    }

    #[test]
    fn a_small_pools_claims_bring_as_many_hashes_as_its_numbers_have_bits() {
        let mut tree = Sparse::new(STATE_DEPTH);
        tree.set(&(1..=1000).chain([1 << 19]).map(|i| (i, leaf(i))).collect());
        assert_eq!(short(&tree.path(1)).len(), 10 + 1);
        assert_eq!(short(&tree.path(1 << 19)), vec![tree.path(1 << 19)[STATE_DEPTH - 1]]);
        assert_eq!(short(&Sparse::new(STATE_DEPTH).path(5)), vec![B256::ZERO]);
        assert_eq!(short(&[leaf(1), B256::ZERO]), vec![leaf(1), B256::ZERO]);
        assert_eq!(short(&[]), Vec::<B256>::new());
    }

    #[test]
    fn empty_trees_have_the_zero_roots() {
        assert_eq!(Sparse::new(STATE_DEPTH).root(), zero(STATE_DEPTH));
        assert_eq!(Tree::new(TASKS_DEPTH, Vec::new()).root(), zero(TASKS_DEPTH));
    }
}
