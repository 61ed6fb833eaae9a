//! A pool's scheduler: the shell around the grid.
//!
//! In reading order: [`config`] is what an operator may set; [`system`] starts everything and is the map
//! of threads; [`actors`] says who owns what; [`transport`] (with [`door`] before it) and [`http`] are the two ways in, [`orders`] the
//! lock on the second; [`journal`], [`store`], [`blobs`] and [`sealed`] are the four ways to remember;
//! [`backup`] copies all of it while it runs; [`drain`] finishes what is open before a stop, and `socket` is how the program at the door is told to;
//! [`finals`] repeats our own batches as a stranger would; [`fence`] keeps an old disk from signing;
//! [`format`](mod@format) a newer one from being misread; [`preflight`] looks for trouble before it comes;
//! [`replay`] says what a journal comes to; [`gauges`] (with `sampler` and `watched`) what monitoring sees; [`dev`] is a chain for one machine.
//!
//! Invariants: nothing is acknowledged, assigned or paid before its record is on disk; a peer's mistake
//! ends its session and nothing else; our own mistake ends the process, and the journal replays.

pub mod actors;
pub mod acts;
mod asks;
pub mod backup;
pub mod blobs;
#[cfg(feature = "byzantine")]
pub mod byzantine;
pub mod cli;
pub mod config;
mod desk;
pub mod dev;
pub mod door;
pub mod drain;
pub mod explain;
pub mod failure;
pub mod fence;
pub mod finals;
pub mod format;
pub mod gauges;
pub mod http;
mod inbox;
pub mod index;
pub mod logbook;
pub mod money;
pub mod operators;
pub mod orders;
mod outbox;
pub mod preflight;
pub mod refusals;
pub mod replay;
mod reset;
mod results;
mod sampler;
pub mod sealed;
pub mod shared;
mod socket;
pub mod sponsor;
pub mod store;
pub mod system;
mod trace;
pub mod transport;
pub mod ui;
mod watched;

pub use quorate_journal as journal;

/// Whether this scheduler was asked to commit what it knows to be wrong, which only one built for tests of
/// watchers can be.
pub(crate) fn cheats() -> bool {
    #[cfg(feature = "byzantine")]
    return byzantine::is_unchecked();
    #[cfg(not(feature = "byzantine"))]
    false
}
