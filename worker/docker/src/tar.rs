//! Archives as engines speak them, read in pieces and written byte for byte the same each time.
//!
//! Deliberately absent: any opinion about what may be in one (that is `output`'s and `image`'s), sparse
//! files (a terabyte of nothing in a kilobyte), and everything older than ustar.

mod reader;
mod writer;

pub use reader::{Entry, Kind, Piece, Reader, TarError};
pub use writer::{Item, Writer};

/// Headers and padding come in blocks of this many bytes.
pub const BLOCK: usize = 512;
