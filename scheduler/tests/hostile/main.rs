//! The real scheduler program against bad luck and bad people: killed and failed at every write of its
//! journal, its index damaged, its disk set back, its door besieged. Network trouble between the real
//! programs is the client's `network` test; what single frames and orders do is `strangers`.
//!
//! Chance comes from seeds, which are printed; `QUORATE_HOSTILE_SEED` plays one again.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

mod chain;
mod crash;
mod crowd;
mod dice;
mod disk;
mod operator;
mod promises;
mod rollback;
mod script;
mod stage;
mod worker;
