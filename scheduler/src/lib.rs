//! stub
pub mod journal;
pub mod store;
