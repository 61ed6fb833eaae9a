//! Frames on a stream: `u32` little-endian length, then postcard. Every way a frame can be wrong.

use super::FRAME_BYTES_MAX;
use serde::{Serialize, de::DeserializeOwned};

/// Why a frame is refused. It ends the session that sent it, and nothing else.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// Nothing in it.
    #[error("frame length is 0; expected 1 to {FRAME_BYTES_MAX}")]
    Empty,
    /// Refused before a byte of it is read.
    #[error("frame length is {0}; expected at most {FRAME_BYTES_MAX}")]
    TooLarge(usize),
    /// Not the message expected here.
    #[error("frame does not decode: {0}")]
    Malformed(String),
    /// A message with something behind it.
    #[error("frame has {0} bytes behind its message; expected none")]
    Trailing(usize),
    /// A value is out of range.
    #[error("frame field `{field}` is {value}; expected {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it holds.
        value: u64,
        /// What it may hold.
        expected: &'static str,
    },
}

/// Appends `message` as a frame to `out`.
///
/// # Panics
/// If the frame is larger than [`FRAME_BYTES_MAX`]: who builds frames bounds them.
pub fn encode(message: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut body = postcard::to_extend(message, std::mem::take(out)).expect("frames always encode");
    let len = body.len() - start - 4;
    assert!(len <= FRAME_BYTES_MAX, "a frame of {len} bytes was built");
    let len = u32::try_from(len).expect("checked above");
    body[start..start + 4].copy_from_slice(&len.to_le_bytes());
    *out = body;
}

/// The length a frame announces, checked.
///
/// # Errors
/// [`FrameError::Empty`] and [`FrameError::TooLarge`].
pub fn frame_len(prefix: [u8; 4]) -> Result<usize, FrameError> {
    match u32::from_le_bytes(prefix) as usize {
        0 => Err(FrameError::Empty),
        len if len > FRAME_BYTES_MAX => Err(FrameError::TooLarge(len)),
        len => Ok(len),
    }
}

/// The message in a frame's body, all of it.
///
/// # Errors
/// [`FrameError::Malformed`], [`FrameError::Trailing`].
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(body)
        .map_err(|error| FrameError::Malformed(error.to_string()))?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::Trailing(rest.len())) }
}

/// `message` as bare postcard, for files and records rather than streams.
pub fn to_bytes(message: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(message).expect("plain data always encodes")
}
