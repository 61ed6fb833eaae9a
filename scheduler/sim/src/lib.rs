//! The simulator: production rules in a world made of one seed, hundreds of times faster than life.
//! `sim` runs whole pools under faults and checks what must never break; `tables` measures what trust
//! costs. Nothing here is in any program that is shipped.
//!
//! In reading order: [`plan`] is what a seed draws, [`world`] the loop. `node`, `desk` and `settler` are the
//! scheduler's shell around the production grid and journal, `machine` the worker's around the production
//! agent, `links` and [`chain`] what lies between them, `mischief` what bad people do, `operator`
//! what the pool's does. [`law`] and [`paper`]
//! judge what is written down, `watch` what is published. [`run`] takes many seeds, [`bugs`] shows that all
//! this can fail.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "who looks on asks of long closed lists for one or two things"
)]

pub mod bugs;
pub mod chain;
pub mod cli;
mod desk;
pub mod dice;
pub mod law;
mod links;
mod machine;
mod mischief;
mod node;
mod operator;
pub mod paper;
pub mod plan;
mod programs;
pub mod regress;
pub mod run;
mod settler;
pub mod tables;
pub mod tally;
mod watch;
pub mod world;
