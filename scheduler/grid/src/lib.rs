//! The grid: everything a scheduler decides, and nothing it does.
//!
//! `handle(now, input)` changes the state and leaves records and effects to be taken with
//! `take_ready`; `apply(record)` is the only code that changes durable state, in life and in replay;
//! `next_deadline` says when to call again. No clock, no randomness, no socket, no disk, no async.
//!
//! In reading order: [`input`], [`effect`], [`record`] are the three closed lists. [`poco`] is the
//! arithmetic of trust and pay, [`credibility`] of how far a worker is believed and [`calibration`] of how
//! far a program in a container, [`task`] a task's life,
//! [`deal`] and [`fleet`] who wants and who can, [`fair`], [`quota`] and [`timings`] whose turn it is, who
//! gets how much and how long it takes, [`ledger`] the books, [`evidence`] and [`audit`] what a stranger
//! needs to check them.

mod apply;
pub mod audit;
pub mod calibration;
mod canary;
pub mod census;
mod check;
pub mod company;
pub mod credibility;
pub mod deadline;
pub mod deal;
pub mod effect;
pub mod evidence;
mod explain;
pub mod fair;
pub mod fleet;
mod grid;
pub mod headcount;
mod holding;
mod idle;
mod inbox;
pub mod input;
pub mod ledger;
mod matching;
mod obstacle;
pub mod poco;
pub mod policy;
mod progress;
pub mod quota;
pub mod record;
pub mod restraint;
mod running;
mod sessions;
mod spared;
pub mod sponsor;
mod stragglers;
pub mod task;
pub mod timings;
mod verdicts;
mod view;
mod votes;

pub use effect::{Effect, Ready};
pub use explain::{Ahead, OrderExplanation, Reason, WaitingTasks, WorkerExplanation};
pub use grid::{Durable, Grid};
pub use idle::PoolExplanation;
pub use input::Input;
pub use obstacle::{Obstacle, Waiting};
pub use record::Record;
pub use view::{Explanation, WorkerView};
