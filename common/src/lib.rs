//! What requester, scheduler, worker and watcher must agree on, to the byte.
//!
//! Read `PROTOCOL.md` beside this crate first; then [`ids`], [`messages`], [`merkle`], [`wire`].
//! No sockets, no tasks, no crate-wide state live here, and one feature flag, the simulator's ([`bug`]). It
//! reads a key or a configuration file, no more.

pub mod accounts;
pub mod anchor;
pub mod api;
pub mod backoff;
pub mod bag;
pub mod bug;
pub mod clock;
pub mod config;
pub mod digest;
pub mod disagreement;
pub mod doors;
pub mod exit;
pub mod frame;
pub mod ids;
pub mod image;
pub mod invite;
pub mod keys;
pub mod lock;
pub mod manifest;
pub mod merkle;
pub mod messages;
pub mod orders;
pub mod pack;
pub mod permit;
pub mod quic;
pub mod report;
pub mod sealed;
pub mod telemetry;
pub mod terms;
pub mod tls;
pub mod wire;
pub mod word;

pub use alloy_primitives::{Address, B256, U256, keccak256};
