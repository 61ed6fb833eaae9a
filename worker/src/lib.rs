//! A Quorate worker: takes tasks from one pool's scheduler, runs them in a WASM sandbox, votes with
//! their results and is paid for it.
//!
//! Code map, in reading order:
//! * `quorate-agent` holds every rule: what to run, when to commit, to whom a result may be shown.
//! * [`options`] and [`start`](mod@start): what a worker is given, and how several live in one process.
//! * [`actors`]: who owns what. [`actors::agent`] writes before it speaks; [`actors::link`] keeps the line.
//! * [`jobs`](mod@runner) under way: [`deals`] fetches bags, modules and inputs over [`transfer`] into
//!   [`blobs`]; [`runner`] runs them, by default on the [`engine`], or as [`containers`].
//! * [`escape`]: what is said on chain when the scheduler does not listen; `words`, `ticket`: what is kept to
//!   prove and to claim without it.
//! * `page`: what its owner sees in a browser; it asks and shows, through the socket's commands ([`control`]).
//! * `companions`: the owner's other machines: asked, answered, remembered.
//! * [`remains`]: what a pool leaves when its scheduler is gone for good, and how to be paid out of it.
//! * [`store`]: what was sealed and is not settled. [`evidence`]: what a scheduler should not have signed.
//!
//! What always holds:
//! * Nothing leaves before the record that justifies it is on disk.
//! * No frame makes a worker hold more than a fixed amount of memory, disk or threads.
//! * A failed job is never a failed worker, and a result that may differ between honest machines is
//!   never a vote.

pub mod actors;
pub mod allowance;
mod api;
pub mod blobs;
pub mod brake;
pub mod bundle;
pub mod cgroup;
#[doc(hidden)]
pub mod cli;
mod companions;
pub mod containers;
pub mod control;
pub mod deals;
mod dial;
pub mod engine;
pub mod escape;
pub mod evidence;
pub mod footprint;
mod gas;
pub mod governor;
mod jobs;
mod ledger;
mod metrics;
pub mod options;
pub mod pace;
mod page;
pub mod remains;
pub mod runner;
pub mod start;
pub mod status;
pub mod store;
pub mod team;
mod ticket;
mod trace;
pub mod transfer;
mod void;
pub mod why;
mod wish;
mod words;

pub use allowance::Allowance;
pub use containers::Containers;
pub use options::{CACHE_BYTES, Hook, StartError, Whim, WorkerOptions};
pub use runner::{EngineRunner, JobSpec, Program, Runner};
pub use start::{Company, Reins, WorkerHandle, start, start_under};
pub use status::Status;
