//! The alerts: what wakes somebody, what can wait until morning, and when each of them is not to fire.

/// Who is to look, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Now: money, trust or all work is at stake.
    Page,
    /// In the morning.
    Ticket,
}

/// A rule with the test that it fires, and that it does not.
#[derive(Clone, Copy, Debug)]
pub struct Alert {
    /// Its name, and its runbook's.
    pub name: &'static str,
    /// Who looks.
    pub severity: Severity,
    /// For how long it must be so, as `5m`.
    pub wait: &'static str,
    /// What is so.
    pub expr: &'static str,
    /// One sentence, with `{{ $labels.instance }}`.
    pub summary: &'static str,
    /// The dashboard to look at.
    pub board: &'static str,
    /// Labels of the alert in its test, beside job and instance.
    pub labels: &'static [(&'static str, &'static str)],
    /// Series, a sample a minute, with which it fires at the time.
    pub fires: (&'static str, &'static [Series]),
    /// Series with which it does not.
    pub quiet: (&'static str, &'static [Series]),
}

/// A series' name with its own labels, and its values as promtool writes them.
pub type Series = (&'static str, &'static str);

const OVERVIEW: &str = "quorate-overview";
const SCHEDULING: &str = "quorate-scheduling";
const WORKERS: &str = "quorate-workers";
const MONEY: &str = "quorate-money";
const INTERNALS: &str = "quorate-internals";

/// All of them, the gravest first.
pub const ALERTS: &[Alert] = &[
    Alert {
        name: "QuorateSchedulerDown",
        severity: Severity::Page,
        wait: "2m",
        expr: "up{job=\"quorate-scheduler\"} == 0",
        summary: "The scheduler at {{ $labels.instance }} does not answer.",
        board: OVERVIEW,
        labels: &[],
        fires: ("5m", &[("up{}", "0x10")]),
        quiet: ("5m", &[("up{}", "1 1 0 1 1 1 1")]),
    },
    Alert {
        name: "QuorateConvicted",
        severity: Severity::Page,
        wait: "0m",
        expr: "quorate_disputes_total > 0",
        summary: "The contract has found against the pool at {{ $labels.instance }}: {{ $labels.outcome }}.",
        board: MONEY,
        labels: &[("outcome", "dropped")],
        fires: ("2m", &[("quorate_disputes_total{outcome=\"dropped\"}", "0 1 1 1")]),
        quiet: ("2m", &[("quorate_disputes_total{outcome=\"dropped\"}", "0x5")]),
    },
    Alert {
        name: "QuorateSettlementStuck",
        severity: Severity::Page,
        wait: "10m",
        expr: "quorate_settlement_oldest_seconds > 3600",
        summary: "Settled tasks at {{ $labels.instance }} wait for the chain for over an hour.",
        board: MONEY,
        labels: &[],
        fires: ("80m", &[("quorate_settlement_oldest_seconds{}", "0+60x100")]),
        quiet: ("80m", &[("quorate_settlement_oldest_seconds{}", "0+60x50 0+60x50")]),
    },
    Alert {
        name: "QuorateOutboxTrouble",
        severity: Severity::Page,
        wait: "5m",
        expr: "quorate_chain_outbox{state!~\"ready|in_flight\"} == 1",
        summary: "The account that sends transactions at {{ $labels.instance }} cannot: {{ $labels.state }}.",
        board: MONEY,
        labels: &[("state", "insufficient_gas")],
        fires: ("10m", &[("quorate_chain_outbox{state=\"insufficient_gas\"}", "0 1x15")]),
        quiet: (
            "10m",
            &[
                ("quorate_chain_outbox{state=\"in_flight\"}", "1x15"),
                ("quorate_chain_outbox{state=\"stuck\"}", "0 1 1 1 0x15"),
            ],
        ),
    },
    Alert {
        name: "QuorateBondHeadroomLow",
        severity: Severity::Page,
        wait: "10m",
        expr: "quorate_bond_headroom_tokens < on (job, instance) (0.2 * 2 / 3 * quorate_pool_tokens{account=\"bond\"})",
        summary: "The bond at {{ $labels.instance }} carries few more batches.",
        board: MONEY,
        labels: &[],
        fires: (
            "15m",
            &[
                ("quorate_bond_headroom_tokens{}", "10x20"),
                ("quorate_pool_tokens{account=\"bond\"}", "100x20"),
            ],
        ),
        quiet: (
            "15m",
            &[
                ("quorate_bond_headroom_tokens{}", "60x20"),
                ("quorate_pool_tokens{account=\"bond\"}", "100x20"),
            ],
        ),
    },
    Alert {
        name: "QuorateNoWorkers",
        severity: Severity::Page,
        wait: "10m",
        expr: "sum by (job, instance) (quorate_workers{state=~\"idle|busy\"}) == 0",
        summary: "No worker takes tasks at {{ $labels.instance }}.",
        board: WORKERS,
        labels: &[],
        fires: (
            "15m",
            &[
                ("quorate_workers{state=\"idle\"}", "1 0x20"),
                ("quorate_workers{state=\"busy\"}", "1 0x20"),
            ],
        ),
        quiet: (
            "15m",
            &[
                ("quorate_workers{state=\"idle\"}", "0x20"),
                ("quorate_workers{state=\"busy\"}", "1x20"),
            ],
        ),
    },
    Alert {
        name: "QuorateQueueStalled",
        severity: Severity::Page,
        wait: "5m",
        expr: "quorate_task_oldest_waiting_seconds > 900 and on (job, instance) quorate_workers{state=\"idle\"} > 0 and on (job, instance) rate(quorate_task_attempts_total[10m]) == 0",
        summary: "Tasks wait at {{ $labels.instance }} while workers are idle, and none is assigned.",
        board: SCHEDULING,
        labels: &[],
        fires: (
            "30m",
            &[
                ("quorate_task_oldest_waiting_seconds{}", "0+60x40"),
                ("quorate_workers{state=\"idle\"}", "3x40"),
                ("quorate_task_attempts_total{}", "5x40"),
            ],
        ),
        quiet: (
            "30m",
            &[
                ("quorate_task_oldest_waiting_seconds{}", "0+60x40"),
                ("quorate_workers{state=\"idle\"}", "3x40"),
                ("quorate_task_attempts_total{}", "5+1x40"),
            ],
        ),
    },
    Alert {
        name: "QuorateDissentHigh",
        severity: Severity::Page,
        wait: "10m",
        expr: "increase(quorate_dissents_total[30m]) > on (job, instance) (0.1 * sum by (job, instance) (increase(quorate_replicas_ended_total{end=~\"revealed|missed\"}[30m]))) and increase(quorate_dissents_total[30m]) > 10",
        summary: "More than a tenth of the votes at {{ $labels.instance }} are against the accepted result.",
        board: WORKERS,
        labels: &[],
        fires: (
            "45m",
            &[
                ("quorate_dissents_total{}", "0+2x60"),
                ("quorate_replicas_ended_total{end=\"revealed\"}", "0+10x60"),
                ("quorate_replicas_ended_total{end=\"lost\"}", "0+90x60"),
            ],
        ),
        quiet: (
            "45m",
            &[
                ("quorate_dissents_total{}", "0+2x60"),
                ("quorate_replicas_ended_total{end=\"revealed\"}", "0+100x60"),
            ],
        ),
    },
    Alert {
        name: "QuoratePromiseBroken",
        severity: Severity::Ticket,
        wait: "0m",
        expr: "increase(quorate_tasks_unpromised_total[1h]) > 0",
        summary: "Results were accepted at {{ $labels.instance }} that are less credible than the pool promises.",
        board: WORKERS,
        labels: &[],
        fires: ("30m", &[("quorate_tasks_unpromised_total{}", "0x20 1x20")]),
        quiet: ("30m", &[("quorate_tasks_unpromised_total{}", "3x60")]),
    },
    Alert {
        name: "QuorateWorkersComplain",
        severity: Severity::Page,
        wait: "0m",
        expr: "sum by (job, instance) (increase(quorate_chain_complaints_total[1h])) > 0",
        summary: "Workers say on chain what the scheduler at {{ $labels.instance }} did not hear.",
        board: MONEY,
        labels: &[],
        fires: (
            "30m",
            &[
                ("quorate_chain_complaints_total{kind=\"vote\"}", "0x20 2x20"),
                ("quorate_chain_complaints_total{kind=\"demand\"}", "0x60"),
            ],
        ),
        quiet: ("30m", &[("quorate_chain_complaints_total{kind=\"vote\"}", "2x60")]),
    },
    Alert {
        name: "QuorateFailureRatioHigh",
        severity: Severity::Ticket,
        wait: "10m",
        expr: "sum by (job, instance) (increase(quorate_tasks_completed_total{outcome!=\"consensus\"}[30m])) > 0.1 * sum by (job, instance) (increase(quorate_tasks_completed_total[30m]))",
        summary: "More than a tenth of the tasks at {{ $labels.instance }} end without a result.",
        board: SCHEDULING,
        labels: &[],
        fires: (
            "45m",
            &[
                ("quorate_tasks_completed_total{outcome=\"consensus\"}", "0+5x60"),
                ("quorate_tasks_completed_total{outcome=\"expired\"}", "0+1x60"),
            ],
        ),
        quiet: (
            "45m",
            &[
                ("quorate_tasks_completed_total{outcome=\"consensus\"}", "0+50x60"),
                ("quorate_tasks_completed_total{outcome=\"expired\"}", "0+1x60"),
            ],
        ),
    },
    Alert {
        name: "QuorateUnschedulable",
        severity: Severity::Ticket,
        wait: "15m",
        expr: "sum by (job, instance, reason) (quorate_tasks_waiting{reason!~\"turn|busy|quota|offline\"}) > 0",
        summary: "Tasks at {{ $labels.instance }} wait for something that does not come by itself: {{ $labels.reason }}.",
        board: SCHEDULING,
        labels: &[("reason", "price")],
        fires: ("20m", &[("quorate_tasks_waiting{reason=\"price\"}", "7x30")]),
        quiet: (
            "20m",
            &[
                ("quorate_tasks_waiting{reason=\"turn\"}", "700x30"),
                ("quorate_tasks_waiting{reason=\"price\"}", "0x30"),
            ],
        ),
    },
    Alert {
        name: "QuorateWorkerChurnHigh",
        severity: Severity::Ticket,
        wait: "10m",
        expr: "sum by (job, instance) (increase(quorate_worker_sessions_ended_total{reason=~\"closed|slow\"}[30m])) > 10 + 2 * quorate_quic_connections",
        summary: "Workers of {{ $labels.instance }} come and go: more sessions end in half an hour than twice the workers there are.",
        board: WORKERS,
        labels: &[],
        fires: (
            "45m",
            &[
                ("quorate_worker_sessions_ended_total{reason=\"closed\"}", "0+5x60"),
                ("quorate_quic_connections{}", "20x60"),
            ],
        ),
        quiet: (
            "45m",
            &[
                ("quorate_worker_sessions_ended_total{reason=\"closed\"}", "0+5x60"),
                ("quorate_quic_connections{}", "200x60"),
            ],
        ),
    },
    Alert {
        name: "QuorateGasRunwayLow",
        severity: Severity::Page,
        wait: "30m",
        expr: "predict_linear(quorate_gas_balance_coins[6h], 86400) < 0",
        summary: "The gas money at {{ $labels.instance }} is gone within a day at this pace.",
        board: MONEY,
        labels: &[],
        fires: ("3h", &[("quorate_gas_balance_coins{}", "1-0.004x200")]),
        quiet: ("3h", &[("quorate_gas_balance_coins{}", "1-0.0001x200")]),
    },
    Alert {
        name: "QuorateChainNodesFail",
        severity: Severity::Ticket,
        wait: "10m",
        expr: "sum by (job, instance) (rate(quorate_chain_rpc_requests_total{outcome=\"failed\"}[10m])) > 0.2 * sum by (job, instance) (rate(quorate_chain_rpc_requests_total[10m]))",
        summary: "A fifth of the questions of {{ $labels.instance }} to chain nodes fail.",
        board: MONEY,
        labels: &[],
        fires: (
            "25m",
            &[
                ("quorate_chain_rpc_requests_total{outcome=\"ok\"}", "0+6x40"),
                ("quorate_chain_rpc_requests_total{outcome=\"failed\"}", "0+3x40"),
            ],
        ),
        quiet: (
            "25m",
            &[
                ("quorate_chain_rpc_requests_total{outcome=\"ok\"}", "0+60x40"),
                ("quorate_chain_rpc_requests_total{outcome=\"failed\"}", "0+3x40"),
            ],
        ),
    },
    Alert {
        name: "QuorateChainSilent",
        severity: Severity::Ticket,
        wait: "10m",
        expr: "quorate_chain_clock_offset_seconds < -600 and on (job, instance) changes(quorate_chain_head_block[10m]) == 0",
        summary: "No new block at {{ $labels.instance }} for ten minutes: the chain, or the node, stands still.",
        board: MONEY,
        labels: &[],
        fires: (
            "30m",
            &[
                ("quorate_chain_clock_offset_seconds{}", "0-60x40"),
                ("quorate_chain_head_block{}", "7x40"),
            ],
        ),
        quiet: (
            "30m",
            &[
                ("quorate_chain_clock_offset_seconds{}", "-5x40"),
                ("quorate_chain_head_block{}", "7+1x40"),
            ],
        ),
    },
    Alert {
        name: "QuorateClockBehind",
        severity: Severity::Page,
        wait: "5m",
        expr: "quorate_chain_clock_offset_seconds > 30",
        summary: "The clock of {{ $labels.instance }} is slow: blocks come from its future.",
        board: MONEY,
        labels: &[],
        fires: ("10m", &[("quorate_chain_clock_offset_seconds{}", "45x20")]),
        quiet: ("10m", &[("quorate_chain_clock_offset_seconds{}", "2x20")]),
    },
    Alert {
        name: "QuorateTransactionsUnfinished",
        severity: Severity::Ticket,
        wait: "2h",
        expr: "quorate_chain_transactions_unfinished > 0 and on (job, instance) changes(quorate_chain_nonce[1h]) == 0",
        summary: "A transaction of {{ $labels.instance }} is not final after two hours, and no other is mined.",
        board: MONEY,
        labels: &[],
        fires: (
            "200m",
            &[
                ("quorate_chain_transactions_unfinished{}", "1x300"),
                ("quorate_chain_nonce{}", "9x300"),
            ],
        ),
        quiet: (
            "200m",
            &[
                ("quorate_chain_transactions_unfinished{}", "1x300"),
                ("quorate_chain_nonce{}", "9+1x300"),
            ],
        ),
    },
    Alert {
        name: "QuorateJournalSlow",
        severity: Severity::Page,
        wait: "10m",
        expr: "histogram_quantile(0.99, sum by (job, instance, le) (rate(quorate_journal_fsync_seconds_bucket[10m]))) > 0.1",
        summary: "The disk of {{ $labels.instance }} takes over 100 ms to make the journal durable.",
        board: INTERNALS,
        labels: &[],
        fires: (
            "25m",
            &[
                ("quorate_journal_fsync_seconds_bucket{le=\"0.1\"}", "0x40"),
                ("quorate_journal_fsync_seconds_bucket{le=\"0.5\"}", "0+9x40"),
                ("quorate_journal_fsync_seconds_bucket{le=\"+Inf\"}", "0+9x40"),
            ],
        ),
        quiet: (
            "25m",
            &[
                ("quorate_journal_fsync_seconds_bucket{le=\"0.001\"}", "0+9x40"),
                ("quorate_journal_fsync_seconds_bucket{le=\"0.5\"}", "0+9x40"),
                ("quorate_journal_fsync_seconds_bucket{le=\"+Inf\"}", "0+9x40"),
            ],
        ),
    },
    Alert {
        name: "QuorateGridSlow",
        severity: Severity::Ticket,
        wait: "10m",
        expr: "histogram_quantile(0.9, sum by (job, instance, le) (rate(quorate_grid_look_seconds_bucket[10m]))) > 0.5",
        summary: "Questions to the grid of {{ $labels.instance }} wait for half a second.",
        board: INTERNALS,
        labels: &[],
        fires: (
            "25m",
            &[
                ("quorate_grid_look_seconds_bucket{le=\"0.5\"}", "0x40"),
                ("quorate_grid_look_seconds_bucket{le=\"2\"}", "0+9x40"),
                ("quorate_grid_look_seconds_bucket{le=\"+Inf\"}", "0+9x40"),
            ],
        ),
        quiet: (
            "25m",
            &[
                ("quorate_grid_look_seconds_bucket{le=\"0.001\"}", "0+9x40"),
                ("quorate_grid_look_seconds_bucket{le=\"2\"}", "0+9x40"),
                ("quorate_grid_look_seconds_bucket{le=\"+Inf\"}", "0+9x40"),
            ],
        ),
    },
    Alert {
        name: "QuorateDiskRunwayLow",
        severity: Severity::Page,
        wait: "30m",
        expr: "quorate:disk_free_bytes:predict1d < 0 or quorate_disk_free_bytes < 1e9",
        summary: "The disk of {{ $labels.instance }} is full within a day at this pace, or has less than 1 GB left.",
        board: INTERNALS,
        labels: &[],
        fires: ("60m", &[("quorate_disk_free_bytes{}", "5e8x90")]),
        quiet: ("60m", &[("quorate_disk_free_bytes{}", "5e10x90")]),
    },
    Alert {
        name: "QuorateBlobStoreFull",
        severity: Severity::Ticket,
        wait: "15m",
        expr: "quorate_blob_store_bytes > 0.9 * quorate_blob_store_limit_bytes",
        summary: "The blobs of {{ $labels.instance }} take nine tenths of what they may.",
        board: INTERNALS,
        labels: &[],
        fires: (
            "20m",
            &[
                ("quorate_blob_store_bytes{}", "95x30"),
                ("quorate_blob_store_limit_bytes{}", "100x30"),
            ],
        ),
        quiet: (
            "20m",
            &[
                ("quorate_blob_store_bytes{}", "50x30"),
                ("quorate_blob_store_limit_bytes{}", "100x30"),
            ],
        ),
    },
    Alert {
        name: "QuorateFilesRunOut",
        severity: Severity::Page,
        wait: "5m",
        expr: "process_open_fds{job=\"quorate-scheduler\"} > 0.8 * process_max_fds{job=\"quorate-scheduler\"}",
        summary: "The scheduler at {{ $labels.instance }} has four fifths of the files open that it may.",
        board: INTERNALS,
        labels: &[],
        fires: ("10m", &[("process_open_fds{}", "900x20"), ("process_max_fds{}", "1024x20")]),
        quiet: ("10m", &[("process_open_fds{}", "90x20"), ("process_max_fds{}", "1024x20")]),
    },
    Alert {
        name: "QuorateRestarts",
        severity: Severity::Page,
        wait: "0m",
        expr: "changes(process_start_time_seconds{job=\"quorate-scheduler\"}[30m]) > 2",
        summary: "The scheduler at {{ $labels.instance }} has started three times within half an hour.",
        board: OVERVIEW,
        labels: &[],
        fires: ("20m", &[("process_start_time_seconds{}", "1x5 2x5 3x5 4x9")]),
        quiet: ("20m", &[("process_start_time_seconds{}", "1x10 2x20")]),
    },
    Alert {
        name: "QuorateHttpErrors",
        severity: Severity::Ticket,
        wait: "10m",
        expr: "sum by (job, instance) (rate(quorate_http_requests_total{class=\"5xx\"}[10m])) > 0.05 * sum by (job, instance) (rate(quorate_http_requests_total[10m]))",
        summary: "A twentieth of the HTTP answers of {{ $labels.instance }} are its own errors.",
        board: INTERNALS,
        labels: &[],
        fires: (
            "25m",
            &[
                ("quorate_http_requests_total{class=\"2xx\"}", "0+6x40"),
                ("quorate_http_requests_total{class=\"5xx\"}", "0+3x40"),
            ],
        ),
        quiet: (
            "25m",
            &[
                ("quorate_http_requests_total{class=\"2xx\"}", "0+6x40"),
                ("quorate_http_requests_total{class=\"4xx\"}", "0+30x40"),
                ("quorate_http_requests_total{class=\"5xx\"}", "0x40"),
            ],
        ),
    },
    Alert {
        name: "QuorateBackupStale",
        severity: Severity::Ticket,
        wait: "1h",
        expr: "time() - quorate_backup_timestamp_seconds > 172800",
        summary: "The newest backup of {{ $labels.instance }} is older than two days, or there is none.",
        board: OVERVIEW,
        labels: &[],
        // promtool's clock begins at 0, so three days have to pass.
        fires: ("4400m", &[("quorate_backup_timestamp_seconds{}", "0x5000")]),
        quiet: ("4400m", &[("quorate_backup_timestamp_seconds{}", "200000x5000")]),
    },
];
