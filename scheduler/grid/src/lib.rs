//! The grid: everything a scheduler decides, and nothing it does.
//!
//! `handle(now, input)` changes the state and leaves records and effects to be taken with
//! `take_ready`; `apply(record)` is the only code that changes durable state, in life and in replay;
//! `next_deadline` says when to call again. No clock, no randomness, no socket, no disk, no async.
//!
//! In reading order: [`input`], [`effect`], [`record`] are the three closed lists. [`poco`] is the
//! arithmetic of trust and pay, [`task`] a task's life, [`deal`] and [`fleet`] who wants and who can,
//! [`ledger`] the books, [`evidence`] and [`audit`] what a stranger needs to check them.

mod apply;
pub mod audit;
mod check;
pub mod deadline;
pub mod deal;
pub mod effect;
pub mod evidence;
pub mod fleet;
mod grid;
mod inbox;
pub mod input;
pub mod ledger;
mod matching;
pub mod poco;
pub mod policy;
mod progress;
pub mod record;
mod sessions;
pub mod task;
mod view;
mod votes;

pub use effect::{Effect, Ready};
pub use grid::{Durable, Grid};
pub use input::Input;
pub use record::Record;
pub use view::{Explanation, Waiting, WorkerView};
