//! Several machines of one person: paired by a short code, known to each other by their node keys from then
//! on, and nobody between them, no account anywhere.
//!
//! * [`code`]: what one screen shows and the other keyboard types.
//! * [`pair`](mod@pair): SPAKE2 over TCP. The code never travels, and a listener or somebody in the middle learns nothing
//!   to try codes with; each try costs one talk, and three spoil a code.
//! * [`book`]: whom this machine knows. [`seen`]: when and where each was seen last.
//! * [`link`](mod@link): questions and commands over QUIC, each side pinned to the other's key. [`report`]: the answer.
//!
//! Left out: a relay. Machines reach each other on one network, or at an address and port that their owner
//! opens; two machines behind two routers that forward nothing do not find each other.

#![forbid(unsafe_code)]

pub mod book;
pub mod code;
pub mod frame;
pub mod link;
mod lock;
pub mod pair;
pub mod report;
pub mod seen;

pub use book::{Book, BookError, Machine};
pub use code::Code;
pub use link::{Answer, Command, LinkError};
pub use pair::{Card, PairError};
pub use report::{Report, Tone};
pub use seen::{Seen, Sight};
