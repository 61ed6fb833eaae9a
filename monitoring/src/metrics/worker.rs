//! A worker's metrics, for its owner: what its status file says, as numbers.

use super::{VERSION, metrics};
use crate::family::Gauges;
use prometheus::{Gauge, IntCounter};

metrics! {
    /// A worker's metrics, and the registry they are in.
    WorkerMetrics;

    build_info: Gauges(Info, "quorate_worker_build_info",
        "1, with the program's version.", "version" => VERSION);
    link: Gauges(Count, "quorate_worker_link",
        "How the talk with the pool's scheduler stands; 1 for the state it is in.",
        "state" => &["down", "greeting", "unregistered", "up"]);
    slots: Gauge(Count, "quorate_worker_slots_offered", "Replicas offered at once.");
    running: Gauge(Count, "quorate_worker_running", "Replicas at work.");
    jobs: Gauge(Count, "quorate_worker_jobs", "Replicas at hand, sealed ones included.");
    unacked: Gauge(Count, "quorate_worker_votes_unacknowledged",
        "Votes that the scheduler has not acknowledged.");
    gave_up: IntCounter(Count, "quorate_worker_gave_up_total", "Replicas given back.");
    settled: Gauges(Count, "quorate_worker_settled",
        "Sealed replicas so far: settled, or forgotten because nothing came of them; kept over restarts.",
        "outcome" => &["settled", "forgotten"]);
    stake: Gauge(Tokens, "quorate_worker_stake_tokens", "What is at stake, as the scheduler says.");
    earned: Gauge(Tokens, "quorate_worker_earned_tokens",
        "What all settled replicas earned; kept over restarts.");
    slashed: Gauge(Tokens, "quorate_worker_slashed_tokens",
        "What all settled replicas lost; kept over restarts.");
    warnings: IntCounter(Count, "quorate_worker_warnings_total",
        "What the scheduler did and should not have; the worker's page and `evidence` say what.");
    score: Gauge(Count, "quorate_worker_score", "The worker's score, as the scheduler says.");
    cache: Gauge(Bytes, "quorate_worker_cache_bytes", "Bytes in the blob folder.");
}
