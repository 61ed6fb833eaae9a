//! Several machines of one person: paired by a short code, known to each other by their node keys from then
//! on, and nobody between them, no account anywhere.
//!
//! * [`code`]: what one screen shows and the other keyboard types.
//! * [`pair`](mod@pair): SPAKE2 over TCP. The code never travels, and a listener or somebody in the middle learns nothing
//!   to try codes with; each try costs one talk, and three spoil a code.
//! * [`book`]: whom this machine knows.
//! * [`link`](mod@link): questions and commands over QUIC, each side pinned to the other's key.
//!
//! Left out: a relay. Machines reach each other on one network, or at an address and port that their owner
//! opens; two machines behind two routers that forward nothing do not find each other.

pub mod book;
pub mod code;
pub mod frame;
pub mod link;
pub mod pair;

pub use book::{Book, BookError, Machine};
pub use code::Code;
pub use link::{Answer, Command, LinkError};
pub use pair::{Card, PairError};
