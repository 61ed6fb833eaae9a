//! Checking somebody else's work: what a watcher, `quorate verify`, a claim and the scheduler's own
//! self-check share. Every step of a batch is repeated from its evidence exactly as the contract
//! repeats it in a dispute.
//!
//! In reading order: `fault` is the list of checks, `step` one settled task, `walk` a batch task by
//! task, `books` a replica of the pool's accounts, `cut` makes receipts, `verify` checks one, `accuse` makes
//! of a batch that does not hold what the contract needs to see it.
//! Whether a deal, a worker or a stake exists at all is the chain's to say, not this module's.

mod accuse;
mod books;
mod cut;
mod fault;
mod step;
mod verify;
mod walk;

pub use accuse::{Accusation, LeafProof, Registry, StepProof, VoterProof};
pub use books::Books;
pub use cut::{Receipts, SealedSets, check_signatures, receipt, receipts, seal_hashes};
pub use fault::{Fault, Mismatch};
pub use verify::{Anchor, Verified, VerifiedVote, ancestors, verify};
