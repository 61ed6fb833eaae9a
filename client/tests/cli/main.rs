//! The real program, run as people run it: exit codes, JSON, configuration, and a folder of results
//! that is checked and tampered with. What needs a running pool is tested by the demo and by
//! `deploy`'s tests; a scheduler that misbehaves is played here by a few lines of HTTP.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod config;
mod http;
mod poco;
mod program;
mod results;
mod verify;
mod wallet;
mod world;
