//! Who owns what, who starts whom. Actors carry messages; the grid decides.
//!
//! ```text
//!  transport ──frames──► SessionActor × worker ◄──Deliver── GridActor ──Append──► JournalActor
//!  http ──Order, Query──────────────────────────────────────►   ▲  ▲                │
//!  SettlerActor ──chain events, batches─────────────────────────┘  └────Durable─────┘
//!       ▲────────────────OpenDeal, Seal──────────────────────── GridActor
//! ```
//!
//! | actor | owns | may await | if it panics |
//! |---|---|---|---|
//! | GridActor | `Grid`, held effects | no | process aborts; the journal replays |
//! | JournalActor | the journal's writer, the store's writer | blocks on its own thread | process aborts |
//! | SessionActor | one outbox | no (reader and writer are plain tasks) | process aborts |
//! | SettlerActor | the outbox to the chain | yes | process aborts; restart asks the grid again |

pub mod grid;
pub mod journal;
pub mod session;
pub mod settler;
