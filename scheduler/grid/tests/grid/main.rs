//! The grid in a small world: real keys and real frames, no sockets, no disk, and a clock that only
//! the test moves. Everything around the grid that needs one of those is tested with the scheduler.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod calibration;
mod census;
mod decoders;
mod explain;
mod fake;
mod headcount;
mod idle;
mod inbox;
mod late;
mod matching;
mod mutations;
mod poco;
mod promise;
mod random;
mod receipts;
mod restraint;
mod scenarios;
mod shadow;
mod world;
