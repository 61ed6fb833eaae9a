//! Images from registries, without an account: what a reference means, and bytes by their digest.
//!
//! * [`Reference`] is what a requester writes; [`resolve()`] makes it the document that is signed.
//! * [`Registries`] are those that somebody lists, and nobody else is asked; [`Repository`] is one of theirs.
//! * `guard` keeps what they answer from leading into the owner's own network.
//!
//! A registry is a stranger: all it sends is bounded, counted and hashed, and its word counts for nothing else. It
//! learns the address of who asks. Absent: accounts, proxies, pushing, and what an image is, which is
//! `worker/docker`'s.
#![forbid(unsafe_code)]

mod error;
mod fetch;
mod guard;
mod reference;
mod registries;
mod repository;
mod resolve;
mod token;

pub use error::RegistryError;
pub use fetch::Pace;
pub use reference::Reference;
pub use registries::Registries;
pub use repository::Repository;
pub use resolve::{Resolved, resolve};
