//! Updates of the worker: signed by two of three, staged, tried, and taken back by themselves if they do
//! not come up. Never forced: what happens without the owner is the owner's choice, and by default only
//! a notice.
//!
//! * [`rules`]: what is believed and what runs next, pure.
//! * [`folder`]: `versions/` in the worker's folder; the state first, everything else follows from it.
//! * [`source`]: a folder or web server that nobody has to trust.
//! * [`updater`]: asks a source, fetches, verifies; [`launch`] starts what the rules say, and [`line`](mod@line)
//!   is how a started version tells that it has come up.
//! * [`publish`]: the other side: `quorate-release`.

pub mod error;
pub mod folder;
pub mod launch;
pub mod line;
pub mod publish;
pub mod rules;
pub mod source;
pub mod updater;

pub use error::UpdateError;
pub use folder::{Folder, Step};
pub use launch::{Ended, Launcher};
pub use line::Line;
pub use source::Source;
pub use updater::Updater;

/// The program's name in every version's folder.
pub const PROGRAM: &str = "quorate-worker";

/// What this machine can run, as releases call it.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
