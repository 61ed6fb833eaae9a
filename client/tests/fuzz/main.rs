//! Every decoder of bytes that a stranger may have written, with real samples spoiled in every way: it
//! answers, allocates no more than a bound, and what it takes it writes again as it was.
//!
//! A second each; `QUORATE_FUZZ_SECONDS` gives them more. Seeds are printed, `QUORATE_FUZZ_SEED` plays one
//! again; what breaks a decoder is printed in hex.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

mod archives;
mod chain;
mod documents;
mod files;
mod frames;
mod harness;
mod modules;
mod samples;
