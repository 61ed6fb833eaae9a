//! The two actors of a worker, and who tells whom what. Both live on one thread of their own, so
//! that several workers in one process do not slow each other.
//!
//! ```text
//!            frames                         effects                       threads
//! scheduler ◄──────► LinkActor ──► AgentActor ──────► Jobs ──► fetches, runs, uploads
//!                       ▲              │  ▲                          │
//!                       └── frames ────┘  └── Fetched, Finished ─────┘
//!                                      │
//!                                    Store: records first, effects after
//! ```
//! The actors carry. Every rule is `quorate-agent`'s.

pub mod agent;
pub mod link;
