//! Watching pools: every batch is repeated from its evidence with the grid's own code, and what does not
//! hold is brought before the Court. The rules are `quorate_grid`'s, the proofs the contract's.

pub mod brief;
