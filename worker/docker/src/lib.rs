//! Containers as an engine for strangers' work: through Docker's interface, which Podman speaks too. The only
//! place that names bollard.
//!
//! * [`engine`] is the line: which socket, how long to wait. [`sweep`] clears what a crash left.
//! * [`profile`] is what every container gets; nothing of a stranger's gets into it but a few numbers.
//! * [`gate`] proves each limit on this machine before any stranger's work comes, and says what holds.
//! * [`image`] reads a stranger's image and writes it anew; [`output`] reads what a container left; both rest
//!   on [`tar`].
//! * [`run`] is one task's life; [`held`] what it has on the engine meanwhile. `guest` is our own program.
//! * [`iexec`] is what an application written for iExec finds, and says with `computed.json`.
//!
//! Deliberately absent: networks, registries (`worker/registry` brings what is in them), devices, and whatever is decided about results elsewhere.
#![forbid(unsafe_code)]

pub mod engine;
pub mod gate;
mod guest;
pub mod held;
pub mod iexec;
pub mod image;
pub mod output;
pub mod profile;
pub mod run;
mod seccomp;
pub mod sweep;
pub mod tar;

pub use engine::{About, Engine, EngineError};
pub use gate::Report;
pub use held::Folders;
pub use image::{Image, ImageError, Platform};
pub use profile::Limits;
pub use run::{Outcome, RunError, Stop, Task};
