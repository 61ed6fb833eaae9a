//! stub
pub mod blobs;
pub mod journal;
pub mod store;
