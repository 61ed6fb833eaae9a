//! A scheduler's metrics, in the words of the README: workers, orders, tasks, votes, batches, the chain.

use super::{VERSION, metrics};
use crate::family::{Counters, Gauges, Timings};
use prometheus::{Gauge, Histogram, IntCounter};

/// From a deal's opening to a settled task, in seconds.
const TURNAROUND_S: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0, 86_400.0];
/// How long a task waits for its first replica, in seconds.
const WAIT_S: &[f64] = &[0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0];
/// How long a replica takes, in seconds: from WASM of milliseconds to a day's simulation.
const RUN_S: &[f64] =
    &[0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];
/// One group commit, in seconds: from a good SSD to a failing disk.
const FSYNC_S: &[f64] =
    &[0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0];
/// A round trip, in seconds: from the same house to a satellite.
const RTT_S: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 2.0];
/// An answer over HTTP, in seconds.
const ANSWER_S: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// An answer of a chain node, in seconds: the deadline is twenty.
const CHAIN_S: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 20.0];
/// A look at the grid, in seconds: it waits for what is decided before it.
const GRID_S: &[f64] = &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0];

const OUTCOMES: &[&str] = &["consensus", "no_quorum", "expired"];
const SENT: &[&str] = &["ok", "failed"];
const CALLS: &[&str] =
    &["open_deal", "commit", "finalize", "collect", "answer", "show", "sponsor", "other"];
/// What keeps tasks from workers: the grid's `Waiting`, in its words.
const REASONS: &[&str] = &[
    "turn",
    "busy",
    "quota",
    "paused",
    "closed",
    "stake",
    "untrusted",
    "price",
    "offline",
    "engine",
    "network",
    "owner",
    "aside",
    "sealed",
    "containers",
    "restrained",
    "exiting",
    "bytes",
    "nobody",
    "other",
];
/// JSON-RPC methods a scheduler uses.
pub const CHAIN_METHODS: &[&str] = &[
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_estimateGas",
    "eth_getBalance",
    "eth_getBlockByNumber",
    "eth_getCode",
    "eth_getLogs",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
    "eth_sendRawTransaction",
    "other",
];
/// What an HTTP request is about: the first word of its route.
pub const HTTP_GROUPS: &[&str] = &[
    "batches", "blobs", "deals", "events", "healthz", "metrics", "openapi", "orders", "pool",
    "rpc", "tasks", "workers", "page", "unknown", "other",
];

metrics! {
    /// A scheduler's metrics, and the registry they are in.
    SchedulerMetrics;

    build_info: Gauges(Info, "quorate_build_info",
        "1, with the program's version.", "version" => VERSION);

    // Workers.
    workers: Gauges(Count, "quorate_workers",
        "Workers the contract knows: offline, idle, busy, paused (by their owner, or for failing), restrained (drained or banned by the operator), leaving the pool.",
        "state" => &["offline", "idle", "busy", "paused", "restrained", "leaving"]);
    worker_slots: Gauges(Count, "quorate_worker_slots",
        "Slots of connected workers: offered, and at work.", "state" => &["offered", "busy"]);
    standings: Gauges(Count, "quorate_workers_by_standing",
        "Workers by how far they are believed: new, checked (passed checks, none failed), caught once and believed again, barred (caught, votes only beside others).",
        "standing" => &["new", "checked", "caught", "barred"]);
    sessions_started: IntCounter(Count, "quorate_worker_sessions_started_total",
        "Workers' sessions that were let in.");
    sessions_ended: Counters(Count, "quorate_worker_sessions_ended_total",
        "Sessions that ended: closed by the worker or its line, for a bad frame, too slow, refused, ignored at the door.",
        "reason" => &["closed", "bad_frame", "slow", "refused", "ignored"]);
    connections: Gauge(Count, "quorate_quic_connections", "Workers' open control streams.");
    rtt: Histogram(Seconds, "quorate_quic_rtt_seconds",
        "Round trips to workers, one sample each heartbeat.") in RTT_S;
    frames_refused: IntCounter(Count, "quorate_frames_refused_total", "Frames that were refused.");

    // Orders and tasks.
    orders: Gauges(Count, "quorate_orders",
        "Orders: opening (their deal is on its way to the chain), waiting (for bytes), running, done, refused.",
        "state" => &["opening", "waiting", "running", "done", "refused"]);
    tasks: Gauges(Count, "quorate_tasks",
        "Tasks: queued (no replica yet), open, done.", "state" => &["queued", "open", "done"]);
    tasks_open: Gauges(Count, "quorate_tasks_open",
        "Open tasks: waiting for another replica, running, revealing, held until their workers are believed.",
        "stage" => &["waiting", "running", "revealing", "held"]);
    oldest_waiting: Gauge(Seconds, "quorate_task_oldest_waiting_seconds",
        "Age of the oldest deal with a task that waits for a replica; 0 without any.");
    unschedulable: Gauges(Count, "quorate_tasks_waiting",
        "Tasks that wait for a replica, by what would have to change; of each of the first 8 such deals one stands for all. The words of `quorate order explain`.",
        "reason" => REASONS);
    tasks_completed: Counters(Count, "quorate_tasks_completed_total",
        "Tasks settled, by how they ended.", "outcome" => OUTCOMES);
    task_attempts: IntCounter(Count, "quorate_task_attempts_total", "Replicas assigned.");
    replicas_ended: Counters(Count, "quorate_replicas_ended_total",
        "Replicas by what came of them: committed, revealed, lost before a commit, never revealed.",
        "end" => &["committed", "revealed", "lost", "missed"]);
    queue_wait: Histogram(Seconds, "quorate_task_queue_wait_seconds",
        "From a deal's opening to its task's first replica.") in WAIT_S;
    run: Histogram(Seconds, "quorate_replica_run_seconds",
        "From a free slot to a commit, as the scheduler sees it.") in RUN_S;
    turnaround: Histogram(Seconds, "quorate_task_turnaround_seconds",
        "From a deal's opening to its task's settlement.") in TURNAROUND_S;

    // Trust.
    dissents: IntCounter(Count, "quorate_dissents_total",
        "Votes for something else than the accepted result, or never revealed.");
    lessons: Counters(Count, "quorate_checks_total",
        "What checks taught about workers, where the pool makes a promise: passed, believed (a lot's answers released), caught.",
        "outcome" => &["passed", "believed", "caught"]);
    canaries: Gauge(Count, "quorate_canaries_open", "Open tasks that were widened to check their workers.");
    unpromised: IntCounter(Count, "quorate_tasks_unpromised_total",
        "Results accepted that are less credible than grid.promise_ppm says.");
    said_on_chain: Counters(Count, "quorate_chain_complaints_total",
        "What workers said on chain because the scheduler did not listen: votes, and demands to be shown a set.",
        "kind" => &["vote", "demand"]);
    disputes: Counters(Count, "quorate_disputes_total",
        "What happened to this pool on chain: batches dropped, convicted of fraud, abandoned for neglect.",
        "outcome" => &["dropped", "convicted", "abandoned"]);

    // Batches and money.
    batches: Gauges(Count, "quorate_batches",
        "Closed batches: not on chain yet, on chain and open to challenge, final.",
        "state" => &["closed", "committed", "final"]);
    batch_index: Gauge(Count, "quorate_batch_index", "Number of the batch that is open.");
    batch_tasks: Gauge(Count, "quorate_batch_open_tasks", "Tasks in the open batch.");
    unsettled: Gauge(Seconds, "quorate_settlement_oldest_seconds",
        "How long the oldest settled task waits for its batch to be on chain, since this start; 0 without any.");
    pool_tokens: Gauges(Tokens, "quorate_pool_tokens",
        "The pool's money in the contract: bond, requesters' money locked, pending in batches open to challenge, owed to workers and not claimed, staked, fees collected.",
        "account" => &["bond", "locked", "pending", "owed", "staked", "collected"]);
    earned: Gauges(Tokens, "quorate_pool_booked_tokens",
        "What all batches so far book, the open one included: payout to workers, fees of the operator, royalties, slashed.",
        "to" => &["payout", "fees", "royalties", "slashed"]);
    headroom: Gauge(Tokens, "quorate_bond_headroom_tokens",
        "What batches may still book before two thirds of the bond are reached and none can be committed.");
    gas_balance: Gauge(Coins, "quorate_gas_balance_coins", "Coins of the account that pays for gas.");
    transactions: Counters(Count, "quorate_chain_transactions_total",
        "Transactions sent, by kind and outcome.", "kind" => CALLS, "outcome" => SENT);
    gas: Counters(Gas, "quorate_chain_gas_used_total", "Gas used, by kind.", "kind" => CALLS);
    outbox: Gauges(Count, "quorate_chain_outbox",
        "How the gas account's outbox stands; 1 for the state it is in.",
        "state" => &["ready", "in_flight", "insufficient_gas", "insufficient_token", "stuck",
            "stuck_fee_cap", "wrong_chain", "rpc_disagreement", "unreachable"]);
    nonce: Gauge(Count, "quorate_chain_nonce", "Transactions of the gas account that are mined.");
    unfinished: Gauge(Count, "quorate_chain_transactions_unfinished",
        "Transactions sent and not final yet.");
    head: Gauge(Block, "quorate_chain_head_block", "The newest block.");
    read: Gauge(Block, "quorate_chain_read_block", "The newest block whose events were read: it is final.");
    chain_clock: Gauge(Seconds, "quorate_chain_clock_offset_seconds",
        "Time of the newest block less this machine's clock: above 0 the clock is slow, far below 0 the chain stands.");
    chain_requests: Counters(Count, "quorate_chain_rpc_requests_total",
        "Questions to chain nodes, by JSON-RPC method.",
        "method" => CHAIN_METHODS, "outcome" => &["ok", "refused", "failed"]);
    chain_seconds: Histogram(Seconds, "quorate_chain_rpc_request_seconds",
        "How long chain nodes took.") in CHAIN_S;

    // Internals.
    fsyncs: IntCounter(Count, "quorate_journal_fsyncs_total", "Group commits of the journal.");
    fsync_seconds: Histogram(Seconds, "quorate_journal_fsync_seconds",
        "How long a group commit took.") in FSYNC_S;
    records: IntCounter(Count, "quorate_journal_records_total", "Records written.");
    journal_bytes: Gauge(Bytes, "quorate_journal_size_bytes", "Journal and snapshots on disk.");
    index_bytes: Gauge(Bytes, "quorate_index_size_bytes", "The index on disk.");
    blob_bytes: Gauge(Bytes, "quorate_blob_store_bytes", "Bytes of all blobs.");
    blob_limit: Gauge(Bytes, "quorate_blob_store_limit_bytes", "What blobs may take: blobs.total_bytes_max.");
    disk_free: Gauge(Bytes, "quorate_disk_free_bytes", "Free bytes of the disk with the data folder.");
    transfer_bytes: Counters(Bytes, "quorate_transfer_bytes_total",
        "Blob bytes moved, over HTTP and QUIC.", "direction" => &["in", "out"]);
    http_requests: Counters(Count, "quorate_http_requests_total",
        "HTTP requests, by what they are about and the answer's class.",
        "about" => HTTP_GROUPS, "class" => &["2xx", "3xx", "4xx", "5xx", "other"]);
    http_seconds: Timings(Seconds, "quorate_http_request_seconds",
        "From a request to the beginning of its answer.", "about" => HTTP_GROUPS) in ANSWER_S;
    grid_seconds: Histogram(Seconds, "quorate_grid_look_seconds",
        "How long a question waits until the grid has answered it: its mailbox, and the answer.") in GRID_S;
    backup: Gauge(UnixSeconds, "quorate_backup_timestamp_seconds",
        "When the newest backup was complete; 0: never, or made by other means.");
}
