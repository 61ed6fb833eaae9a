//! The chain, seen from Quorate: the one crate that names alloy's providers and revm.
//!
//! Read in this order: [`presets`] (which chains), [`transport`] (how to reach one), [`embedded`]
//! (the one that needs no node), [`error`] (what goes wrong and what to do about it), [`keystore`]
//! (who signs), [`outbox`] (how a transaction gets mined), [`settlement`] (what the contract can
//! do), [`events`] (what it did), [`court`] (what proves a fraud) and [`escape`] (the ways out of a pool
//! that is gone).
//!
//! The same code talks to the in-process EVM and to a real node: only the transport differs. No
//! rule of the grid lives here, and nothing here keeps state on disk except keystore files, the
//! outbox's transactions that are not final, and the embedded node's log of transactions.

pub mod abi;
pub mod court;
pub mod embedded;
pub mod error;
pub mod escape;
pub mod events;
pub mod keystore;
pub mod outbox;
pub mod presets;
pub mod settlement;
pub mod transport;

pub use alloy::primitives::{Address, B256, Bytes, U256, address, b256};
pub use embedded::{EmbeddedConfig, EmbeddedNode};
pub use error::{Remedy, Revert, SettleError};
pub use events::{ChainEvent, Cursor, EventBatch, Follower};
pub use keystore::{Keystore, Password, PasswordSource, Signer};
pub use outbox::{Call, Finality, Outbox, OutboxConfig, Prepared, Receipt, Standing, StuckWhy};
pub use presets::{Preset, preset};
pub use settlement::Settlement;
pub use transport::{Chain, ChainUrl};
