//! What would be slow to ask each time somebody looks: sums over hours and days.

/// A rule, evaluated every minute.
#[derive(Clone, Copy, Debug)]
pub struct Recording {
    /// `level:what:how`, as Prometheus' convention has it.
    pub name: &'static str,
    /// What it is.
    pub expr: &'static str,
    /// Labels its series have beside job and instance.
    pub labels: &'static [&'static str],
}

/// All of them.
pub const RECORDINGS: &[Recording] = &[
    Recording {
        name: "quorate:booked_tokens:delta1d",
        expr: "delta(quorate_pool_booked_tokens[1d])",
        labels: &["to"],
    },
    Recording {
        name: "quorate:gas_used:increase1d",
        expr: "sum by (job, instance) (increase(quorate_chain_gas_used_total[1d]))",
        labels: &[],
    },
    Recording {
        name: "quorate:gas_balance_coins:deriv6h",
        expr: "deriv(quorate_gas_balance_coins[6h])",
        labels: &[],
    },
    Recording {
        name: "quorate:disk_free_bytes:predict1d",
        expr: "predict_linear(quorate_disk_free_bytes[6h], 86400)",
        labels: &[],
    },
    Recording {
        name: "quorate:votes_dissenting:ratio1h",
        expr: "rate(quorate_dissents_total[1h]) / on (job, instance) (sum by (job, instance) (rate(quorate_replicas_ended_total{end=~\"revealed|missed\"}[1h])) > 0)",
        labels: &[],
    },
    Recording {
        name: "quorate:replicas_per_task:ratio1h",
        expr: "rate(quorate_task_attempts_total[1h]) / on (job, instance) (sum by (job, instance) (rate(quorate_tasks_completed_total[1h])) > 0)",
        labels: &[],
    },
];
