//! Workers and trust: who is there, who comes and goes, who is believed, who is caught.

use super::{Board, Panel, Row, row};

pub(super) fn board() -> Board {
    let answers = "Who is there, who comes and goes, who is believed, who was caught?";
    super::board(2, answers, vec![fleet(), lines(), trust()])
}

fn fleet() -> Row {
    row("Who is there", vec![
        Panel::stack("Workers by state", "none",
            "All workers the contract knows. Paused: by their owners, or for a while because they only failed.")
            .ask("{{state}}", "sum by (state) (quorate_workers{$S})")
            .colored(&[("idle", "blue"), ("busy", "green"), ("paused", "yellow"), ("leaving", "orange"), ("offline", "dark-blue")])
            .wide(12),
        Panel::lines("Slots", "none", "What connected workers offer at once, and how much of it is at work.")
            .ask("{{state}}", "sum by (state) (quorate_worker_slots{$S})")
            .colored(&[("offered", "blue"), ("busy", "green")]).wide(12),
    ])
}

fn lines() -> Row {
    row("Who comes and goes", vec![
        Panel::lines("Sessions begun and ended", "suffix: /min",
            "A healthy fleet begins a few and ends a few. Many of both: lines break, or the scheduler is restarted.")
            .ask("begun", "60 * sum(rate(quorate_worker_sessions_started_total{$S}[$__rate_interval]))")
            .ask("ended: {{reason}}", "60 * sum by (reason) (rate(quorate_worker_sessions_ended_total{$S}[$__rate_interval]))")
            .colored(&[("begun", "green"), ("ended: closed", "blue"), ("ended: bad_frame", "red")]),
        Panel::lines("Open sessions", "none", "Control streams that are open, of strangers too.")
            .ask("{{instance}}", "quorate_quic_connections{$S}"),
        Panel::lines("Round trips to workers", "s",
            "As QUIC measures them, one sample each heartbeat.")
            .ask("half", "histogram_quantile(0.5, sum by (le) (rate(quorate_quic_rtt_seconds_bucket{$S}[$__rate_interval])))")
            .ask("95 of 100", "histogram_quantile(0.95, sum by (le) (rate(quorate_quic_rtt_seconds_bucket{$S}[$__rate_interval])))")
            .colored(&[("half", "green"), ("95 of 100", "orange")]),
    ])
}

fn trust() -> Row {
    row("Who is believed", vec![
        Panel::stack("Workers by standing", "none",
            "New; checked (passed, never failed); caught once and believed again; barred. All are new where the pool makes no promise (grid.promise_ppm).")
            .ask("{{standing}}", "sum by (standing) (quorate_workers_by_standing{$S})")
            .colored(&[("new", "blue"), ("checked", "green"), ("caught", "yellow"), ("barred", "red")]),
        Panel::lines("Dissenting votes", "percentunit",
            "Share of the votes of the last hour that were against the accepted result, or never revealed.")
            .ask("{{instance}}", "quorate:votes_dissenting:ratio1h{$S}")
            .steps(&[(0.05, "red")]).empty("no votes"),
        Panel::lines("Votes lost and kept back", "suffix: /min",
            "Dissents and commits that were never revealed. Either costs the worker its stake in that task.")
            .ask("dissents", "60 * sum(rate(quorate_dissents_total{$S}[$__rate_interval]))")
            .ask("never revealed", r#"60 * sum(rate(quorate_replicas_ended_total{$S,end="missed"}[$__rate_interval]))"#)
            .colored(&[("dissents", "red"), ("never revealed", "orange")]),
        Panel::lines("Checks", "suffix: /min",
            "What canaries taught, where the pool makes a promise: passed, a lot's answers believed, caught.")
            .ask("{{outcome}}", "60 * sum by (outcome) (rate(quorate_checks_total{$S}[$__rate_interval]))")
            .colored(&[("passed", "green"), ("believed", "blue"), ("caught", "red")]),
        Panel::number("Canaries open", "none", "Open tasks that were widened to check their workers.")
            .ask("canaries", "sum(quorate_canaries_open{$S})").high(7),
        Panel::word("Promises not kept", "none",
            "Results accepted that are less credible than grid.promise_ppm says, since the start: their deal ended before, or all its replicas were not enough.")
            .ask("results", "sum(quorate_tasks_unpromised_total{$S})").steps(&[(1.0, "orange")]).high(7),
        Panel::bars("Frames and sessions refused", "none",
            "Since the scheduler started: frames that made no sense, and sessions refused or ignored at the door. A flood of them is an attack.")
            .ask("frames", "sum(quorate_frames_refused_total{$S})")
            .ask("sessions {{reason}}", r#"sum by (reason) (quorate_worker_sessions_ended_total{$S,reason=~"refused|ignored|slow"})"#),
    ])
}
