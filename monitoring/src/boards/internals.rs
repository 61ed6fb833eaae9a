//! Internals: disk, memory, HTTP, the grid's own pace.

use super::{Board, Panel, Row, row};

pub(super) fn board() -> Board {
    let answers = "What does the scheduler itself spend its time, memory and disk on?";
    super::board(4, answers, vec![journal(), space(), http(), process()])
}

fn journal() -> Row {
    row("The journal and the grid", vec![
        quantiles("Group commit", "quorate_journal_fsync_seconds",
            "One fdatasync. Everything that is acknowledged waits for one: above 10 ms the disk is slow, above 100 ms it fails."),
        Panel::lines("Records and group commits", "suffix: /s",
            "Many records to a commit are a busy scheduler that shares them; one to one is an idle one.")
            .ask("records", "sum(rate(quorate_journal_records_total{$S}[$__rate_interval]))")
            .ask("commits", "sum(rate(quorate_journal_fsyncs_total{$S}[$__rate_interval]))"),
        quantiles("A look at the grid", "quorate_grid_look_seconds",
            "How long a question waits in the grid's mailbox until it is answered: the scheduler's own queue."),
    ])
}

fn quantiles(title: &'static str, metric: &str, description: &'static str) -> Panel {
    let of = |q: &str| {
        format!(
            "histogram_quantile({q}, sum by (le) (rate({metric}_bucket{{$S}}[$__rate_interval])))"
        )
    };
    Panel::lines(title, "s", description)
        .ask("half", of("0.5"))
        .ask("99 of 100", of("0.99"))
        .colored(&[("half", "green"), ("99 of 100", "red")])
}

fn space() -> Row {
    row(
        "Space",
        vec![
            Panel::stack(
                "What the data folder holds",
                "bytes",
                "Journal with snapshots, index, blobs.",
            )
            .ask("journal", "sum(quorate_journal_size_bytes{$S})")
            .ask("index", "sum(quorate_index_size_bytes{$S})")
            .ask("blobs", "sum(quorate_blob_store_bytes{$S})"),
            Panel::lines(
                "Free disk, and in a day at this pace",
                "bytes",
                "What is free, and what would be in 24 hours at the pace of the last six.",
            )
            .ask("free", "min(quorate_disk_free_bytes{$S})")
            .ask("in a day", "min(quorate:disk_free_bytes:predict1d{$S})")
            .colored(&[("free", "green"), ("in a day", "orange")]),
            Panel::lines("Blob bytes moved", "Bps", "Uploads and downloads, over HTTP and QUIC.")
                .ask(
                    "{{direction}}",
                    "sum by (direction) (rate(quorate_transfer_bytes_total{$S}[$__rate_interval]))",
                ),
        ],
    )
}

fn http() -> Row {
    row("HTTP", vec![
        Panel::lines("Requests", "reqps", "By what they are about: the first word of the route.")
            .ask("{{about}}", "sum by (about) (rate(quorate_http_requests_total{$S}[$__rate_interval])) > 0").empty("none"),
        Panel::lines("Answers that are errors", "reqps",
            "4xx: callers' mistakes, or somebody who tries doors. 5xx: ours.")
            .ask("{{class}}", r#"sum by (class) (rate(quorate_http_requests_total{$S,class=~"4xx|5xx"}[$__rate_interval]))"#)
            .colored(&[("4xx", "orange"), ("5xx", "red")]),
        Panel::lines("Time to answer, 95th percentile", "s",
            "To the beginning of the answer, by what the request is about.")
            .ask("{{about}}", "histogram_quantile(0.95, sum by (le, about) (rate(quorate_http_request_seconds_bucket{$S}[$__rate_interval]))) > 0").empty("none"),
    ])
}

fn process() -> Row {
    row("The process", vec![
        Panel::lines("Processor", "percentunit", "Cores in use: 1 is one core.")
            .ask("{{instance}}", "rate(process_cpu_seconds_total{$S}[$__rate_interval])").wide(6),
        Panel::lines("Memory", "bytes", "Resident memory. A connected worker costs 40 kB idle, a megabyte with 64 replicas at hand.")
            .ask("{{instance}}", "process_resident_memory_bytes{$S}").wide(6),
        Panel::lines("File descriptors and threads", "none", "Each connection over HTTP and each blob being read is one.")
            .ask("files", "sum(process_open_fds{$S})")
            .ask("threads", "sum(process_threads{$S})").wide(6),
        Panel::table("Versions", "none", "What runs where, and since when.")
            .ask("build", "quorate_build_info{$S}").wide(6),
    ])
}
