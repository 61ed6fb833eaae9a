//! The map of the protocol between scheduler and worker: versions, limits, and the two enums.
//!
//! ```text
//! worker                                         scheduler
//!   Hello ─────────────────────────────────────────► who, how many slots
//!         ◄───────────────────────────────── Welcome  pool, domain, signer, index
//!         ◄───────────────────────────────────── Deal  once per deal, before its first Assign
//!         ◄──────────────────────────────────── Duties  Assign (signed as a frame)
//!   Get ─► bag, module, inputs, on streams of their own
//!   Votes ─────────────────────────────────────────► Commit (signed as a frame)
//!         ◄──────────────────────────────────── Duties  CommitAck, CommitSet
//!   Votes ─────────────────────────────────────────► Reveal, small results inline
//!         ◄──────────────────────────────────── Duties  RevealAck
//!         ◄───────────────────────────────────── Fetch  a bigger result, from one backer
//!   Put ─► manifest and files
//!         ◄────────────────────────────────── Settled  what came of it
//! ```
//!
//! Everything is idempotent: a worker repeats what was not acknowledged, a scheduler repeats what was
//! not committed, and both ignore what they have seen.

mod codec;
mod to_scheduler;
mod to_worker;

pub use codec::{FrameError, decode, encode, frame_len, to_bytes};
pub use to_scheduler::{
    CommitItem, EngineInfo, GaveUp, GiveUpReason, Hello, Inline, Open, RevealItem, ToScheduler,
    Votes, hello_version,
};
pub use to_worker::{
    AssignItem, CommitAckItem, CommitSetItem, DealInfo, Duties, Goodbye, RevealAckItem,
    SettledItem, ToWorker, Welcome,
};

/// The protocol's version; both sides must speak it.
///
/// 2: a hello names the worker's price, and a deal its first task of the bag. 3: a blob is asked for from a
/// byte on, and a worker says whether it runs containers. 4: a welcome carries what the pool's operator has to say. 5: a worker says
/// which deals are none of its.
pub const VERSION: u16 = 5;

/// Largest frame, in bytes, checked before allocation. The largest honest one is `Duties` with 256
/// commit sets of about 200 bytes.
pub const FRAME_BYTES_MAX: usize = 64 << 10;

/// Results up to this size travel inside the reveal: one round trip less for small answers. At 2 KiB
/// a frame still holds thirty of them.
pub const INLINE_BYTES_MAX: usize = 2 << 10;

/// Slots a worker may offer: a big server's threads, doubled.
pub const SLOTS_MAX: u16 = 1024;

/// Replicas a worker takes per offered slot: one that runs and one that fetches or waits, so that a slot
/// never waits for the network. More are given back.
pub const WORK_PER_SLOT: u16 = 2;

/// Context of the node key's signature over its vote key; see [`Hello::binding`].
pub const BINDING_CONTEXT: &str = "quorate/1 vote key";
