//! Everything an operator sees of a pool in Prometheus and Grafana: every metric of scheduler and worker,
//! declared once, and what is made from the declarations: the reference, dashboards, rules, provisioning.
//!
//! Nothing else registers a metric. No label is unbounded: each has a closed list of values, so that five
//! thousand workers cost as many series as five; figures of one worker or order belong to the API.
//! [`files`] gives all generated files; `cargo run -p quorate-monitoring` writes them to this folder,
//! with `-- --check` it says which are not what the source says, and
//! `quorate-scheduler monitoring export DIR` writes them anywhere.
//!
//! Left out: where figures come from (that is the scheduler's `gauges.rs` and `sampler.rs`), and a server of our own.

#![forbid(unsafe_code)]

pub mod boards;
pub mod family;
pub mod files;
pub mod lint;
mod metrics;
mod reference;
pub mod rules;
pub mod runbooks;

pub use family::{Counters, Gauges, Timings};
pub use metrics::{scheduler::SchedulerMetrics, worker::WorkerMetrics};

/// Names under which what HTTP requests ask for is counted. A route that is on no list is a page.
pub use metrics::scheduler::{CHAIN_METHODS, HTTP_GROUPS};
