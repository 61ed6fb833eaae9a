//! Every rule of an update, pure: what is believed, what is offered, what runs next, and what is never
//! tried again. No clock, no disk, no network; `common/tests/tidy.rs` holds it to that.
//!
//! The ideas are TUF's (The Update Framework, theupdateframework.io; Samuel et al., "Survivable key
//! compromise in software update systems", CCS 2010): a root of several keys of which a threshold must
//! sign, a root that names its successor, versions that only grow, metadata that expires. Left out of
//! it: separate snapshot and timestamp roles. One document names everything of a release, so there is
//! nothing to mix and match, and it is signed again whenever it would expire.

mod document;
mod life;
mod look;
mod refusal;
mod release;
mod root;
mod state;

pub use document::{Document, SIGNATURES_MAX, Signed};
pub use look::{Me, Mode, Offer};
pub use refusal::Refusal;
pub use release::{ARTEFACT_BYTES_MAX, Artefact, RELEASE_BYTES_MAX, Release};
pub use root::{ROOT_BYTES_MAX, Root};
pub use state::{Bad, Effect, Fault, Goal, Input, Kept, Notice, Seen, State, Trial};

/// Bytes of a version's text: it names a folder, and people read it.
pub const VERSION_BYTES_MAX: usize = 32;
