//! Every metric of scheduler and worker, declared once: name, help, unit, buckets.
//! Dashboards and alerts refer to these names; nothing else registers a metric. No label here is
//! unbounded: per-worker and per-order figures belong to the API.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// Buckets of a task's life from assignment to settlement, in seconds.
const TURNAROUND_S: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0, 86_400.0];
/// Buckets of one group commit, in seconds: from a good SSD to a failing disk.
const FSYNC_S: &[f64] =
    &[0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0];

/// A scheduler's metrics and the registry they are in.
#[derive(Clone, Debug)]
pub struct SchedulerMetrics {
    registry: Registry,
    /// Tasks settled, by outcome.
    pub tasks_completed: IntCounterVec,
    /// Replicas assigned.
    pub task_attempts: IntCounter,
    /// Votes for something else than the accepted result, or never revealed.
    pub dissents: IntCounter,
    /// Tasks that ended with a result less credible than the pool promises.
    pub unpromised: IntCounter,
    /// Deal opened to task settled.
    pub turnaround: Histogram,
    /// Open control streams.
    pub connections: IntGauge,
    /// Sessions that ended, by reason.
    pub sessions_ended: IntCounterVec,
    /// Frames that were refused.
    pub frames_refused: IntCounter,
    /// Group commits.
    pub fsyncs: IntCounter,
    /// How long they took.
    pub fsync_seconds: Histogram,
    /// Records written.
    pub records: IntCounter,
    /// Tasks by state.
    pub tasks: IntGaugeVec,
    /// Orders by state.
    pub orders: IntGaugeVec,
    /// Workers by state.
    pub workers: IntGaugeVec,
    /// Batches by state.
    pub batches: IntGaugeVec,
    /// Transactions, by kind and outcome.
    pub transactions: IntCounterVec,
    /// Gas used, by kind.
    pub gas: IntCounterVec,
    /// How the outbox stands: one for the state it is in, zero for the others.
    pub outbox: IntGaugeVec,
    /// Bytes of blobs moved, by direction.
    pub transfer_bytes: IntCounterVec,
}

macro_rules! register {
    ($registry:expr, $metric:expr) => {{
        let metric = $metric.expect("names and labels are valid constants");
        $registry.register(Box::new(metric.clone())).expect("each name is declared once");
        metric
    }};
}

impl Default for SchedulerMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl SchedulerMetrics {
    /// Declares everything, with every label value at zero so that rates work from the first event.
    pub fn new() -> Self {
        let registry = Registry::new();
        let r = &registry;
        let counter = |name: &str, help: &str| register!(r, IntCounter::new(name, help));
        let counters = |name: &str, help: &str, label: &[&str]| {
            register!(r, IntCounterVec::new(Opts::new(name, help), label))
        };
        let gauges = |name: &str, help: &str, label: &str| {
            register!(r, IntGaugeVec::new(Opts::new(name, help), &[label]))
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            register!(r, Histogram::with_opts(options))
        };
        let metrics = Self {
            tasks_completed: counters(
                "quorate_tasks_completed_total",
                "Tasks settled.",
                &["outcome"],
            ),
            task_attempts: counter("quorate_task_attempts_total", "Replicas assigned."),
            dissents: counter("quorate_dissents_total", "Losing votes, or never revealed."),
            unpromised: counter(
                "quorate_tasks_unpromised_total",
                "Results accepted that are less credible than grid.promise_ppm says.",
            ),
            turnaround: histogram(
                "quorate_task_turnaround_seconds",
                "From a deal's opening to its task's settlement.",
                TURNAROUND_S,
            ),
            connections: register!(
                r,
                IntGauge::new("quorate_quic_connections", "Workers' open control streams.")
            ),
            sessions_ended: counters(
                "quorate_worker_sessions_ended_total",
                "Sessions that ended.",
                &["reason"],
            ),
            frames_refused: counter("quorate_frames_refused_total", "Frames that were refused."),
            fsyncs: counter("quorate_journal_fsyncs_total", "Group commits of the journal."),
            fsync_seconds: histogram(
                "quorate_journal_fsync_seconds",
                "How long a group commit took.",
                FSYNC_S,
            ),
            records: counter("quorate_journal_records_total", "Records written."),
            tasks: gauges("quorate_tasks", "Tasks by state.", "state"),
            orders: gauges("quorate_orders", "Orders by state.", "state"),
            workers: gauges("quorate_workers", "Workers by state.", "state"),
            batches: gauges("quorate_batches", "Batches by state.", "state"),
            transactions: counters(
                "quorate_chain_transactions_total",
                "Transactions sent.",
                &["kind", "outcome"],
            ),
            gas: counters("quorate_chain_gas_used_total", "Gas used.", &["kind"]),
            outbox: gauges(
                "quorate_chain_outbox",
                "How the gas account's outbox stands; 1 for the state it is in.",
                "state",
            ),
            transfer_bytes: counters(
                "quorate_transfer_bytes_total",
                "Blob bytes moved.",
                &["direction"],
            ),
            registry,
        };
        metrics.start_at_zero();
        metrics
    }

    fn start_at_zero(&self) {
        for outcome in ["consensus", "no_quorum", "expired"] {
            self.tasks_completed.with_label_values(&[outcome]);
        }
        for reason in ["closed", "bad_frame", "slow", "refused"] {
            self.sessions_ended.with_label_values(&[reason]);
        }
        for kind in ["open_deal", "commit", "finalize"] {
            self.gas.with_label_values(&[kind]);
            for outcome in ["ok", "failed"] {
                self.transactions.with_label_values(&[kind, outcome]);
            }
        }
        for direction in ["in", "out"] {
            self.transfer_bytes.with_label_values(&[direction]);
        }
    }

    /// The exposition text.
    pub fn text(&self) -> String {
        let mut bytes = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut bytes);
        encoded.expect("gathered metrics always encode");
        String::from_utf8(bytes).expect("the exposition format is text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_follows_the_convention() {
        let text = SchedulerMetrics::new().text();
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut count = 0;
        for line in names {
            let (name, kind) = line.split_once(' ').expect("a name and a kind");
            assert!(name.starts_with("quorate_"), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            count += 1;
        }
        assert!(count >= 8, "{count} families have samples at start");
    }
}
