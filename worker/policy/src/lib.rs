//! Whether a volunteer's machine may work right now, how much of it, and if not, why not.
//!
//! ```text
//! Preferences ──┐
//! Sensed ───────┼─► Policy::decide(now) ─► Decision { slots, CPU share, network, kinds, price, reason }
//! Wish, Moment ─┘
//! ```
//! Read [`prefs`] first: what an owner may say. Then [`sensed`], what is known of the machine; [`gate`], why
//! nothing flaps; [`policy`], the one function that decides; [`reason`], the words everybody uses for it.
//!
//! The rules this crate exists for:
//! * The owner comes first: a pause that was asked for wins over everything, at once.
//! * What is not known counts as if the owner were there.
//! * Nothing resumes sooner than its hysteresis; a limit is never exceeded, not even for a moment.
//! * Whoever does not work has exactly one reason, in the same words everywhere.
//!
//! Not here: clocks, sensors, files, the engine. `quorate-worker` carries what this crate decides.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod claim;
pub mod decision;
pub mod energy;
pub mod gate;
pub mod policy;
pub mod prefs;
pub mod reason;
pub mod schedule;
pub mod sensed;
pub mod shares;
pub mod wish;

pub use claim::{Claims, Verdict};
pub use decision::{Decision, Network};
pub use energy::Energy;
pub use policy::Policy;
pub use prefs::Preferences;
pub use reason::Reason;
pub use schedule::{Schedule, ScheduleError};
pub use sensed::{Moment, Power, Presence, Sensed};
pub use wish::{Asked, Wish};
