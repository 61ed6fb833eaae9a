//! What a worker senses of its machine and of who sits at it, on Linux.
//!
//! Two programs look, because on a modern desktop one cannot: a service sees the machine (`/proc`, `/sys`,
//! logind, NetworkManager), and only a program within the user's session sees its display. The second tells the
//! first through a socket.
//! ```text
//! session agent: X11, Mutter ─► Report ─► unix socket ─► Ears ─┐
//! service:       Machine, System bus ──────────────────────────┴─► Sensed ─► policy
//! ```
//! [`machine`] looks at files, [`session`] at a desktop, [`system`] asks logind and NetworkManager, [`report`] is
//! what the agent says and [`ears`] who is listened to; [`tray`] is the icon that the agent shows.
//!
//! Not here: Windows and macOS; KDE's and wlroots' Wayland compositors, which tell nobody but their own
//! (`ext-idle-notify-v1` is not spoken yet); graphics processors. Where nothing can be told, that is said, and
//! the policy takes it for somebody's presence. zbus and x11rb are named in this crate and nowhere else.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod calendar;
pub mod ears;
pub mod machine;
pub mod report;
pub mod session;
pub mod socket;
pub mod system;
pub mod tray;

pub use calendar::week_minute;
pub use ears::{Ears, Heard};
pub use machine::Machine;
pub use report::Report;
pub use session::Session;
pub use system::SystemBus;
