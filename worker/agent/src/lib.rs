//! What a worker knows and decides: one synchronous state machine without I/O, clock or randomness.
//!
//! ```text
//! Input ──► Agent::handle ──► Agent::take_ready ──► records: to disk first
//!                                                    effects: then these
//! ```
//! Read [`input`], [`effect`] and [`record`] first: what can happen, what can be asked for, what is
//! remembered. Then [`agent`], the dispatcher; [`job`], what one replica can be; [`duties`], what a
//! scheduler's frame must prove; [`check`], what is always true.
//!
//! The rules this crate exists for:
//! * A result is shown only to a frozen, signed commit set that provably holds the worker's own
//!   commitment, and never to a second set.
//! * What was sealed and what was shown is on disk before anybody hears of it.
//! * Nobody can make a worker hold more than a fixed number of jobs.
//!
//! Not here: sockets, files, the engine, keys. `quorate-worker` carries what this crate decides.
#![warn(missing_docs)]

pub mod agent;
pub mod check;
pub mod duties;
pub mod effect;
mod escape;
pub mod input;
pub mod job;
pub mod record;
pub mod view;

mod deadlines;
mod rest;
mod session;
mod verdicts;
mod votes;
mod working;

pub use agent::{Agent, Config, KEPT_MAX, WORK_PER_SLOT};
pub use duties::{Breach, Signed};
pub use effect::{Effect, Ready, Settlement, Warning};
pub use input::{Input, Output};
pub use job::{Kept, Seal, Shown, Ticket, Work, WorkStage};
pub use record::{Closing, Record, SealedJob, Totals};
pub use view::{JobView, LinkView, StageName, View};
