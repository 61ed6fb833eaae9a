//! Updates of the worker: signed by two of three, staged, tried, and taken back by themselves if they do
//! not come up. Never forced: what happens without the owner is the owner's choice, and by default only
//! a notice.

pub mod rules;
