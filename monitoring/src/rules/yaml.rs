//! Rules as the YAML that Prometheus and promtool read. Written out by hand: six shapes of lines, and every
//! text in single quotes.

use super::{
    alerts::{ALERTS, Alert, Series, Severity},
    recording::RECORDINGS,
    scaled, seconds,
};
use std::fmt::Write as _;

/// Where runbooks are, when nothing else is said: beside the rules.
const RUNBOOKS: &str = "runbooks";
/// Job and instance of series in tests.
const WHERE: [(&str, &str); 2] = [("instance", "pool:7420"), ("job", "quorate-scheduler")];

/// Alert rules. `by` divides every duration, for tests; 1 for real.
pub fn alerts(by: u64) -> String {
    let mut out = head("Alerts. Each has a page of its name in runbooks/.", by);
    out.push_str("groups:\n  - name: quorate-alerts\n    rules:\n");
    for alert in ALERTS {
        let wait = seconds(alert.wait).unwrap_or_default() / by;
        let severity = match alert.severity {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
        };
        let Alert { name, summary, board, expr, .. } = alert;
        let expr = quoted(&scaled(expr, by));
        let (summary, runbook) = (quoted(summary), format!("{RUNBOOKS}/{name}.md"));
        let _ = write!(
            out,
            "      - alert: {name}\n        expr: {expr}\n        for: {wait}s\n        labels:\n          \
             severity: {severity}\n        annotations:\n          summary: {summary}\n          \
             runbook_url: {runbook}\n          dashboard: /d/{board}\n"
        );
    }
    out
}

/// Recording rules.
pub fn recordings(by: u64) -> String {
    let mut out = head("What would be slow to ask each time somebody looks.", by);
    let every = (60 / by).max(2);
    let _ =
        writeln!(out, "groups:\n  - name: quorate-recordings\n    interval: {every}s\n    rules:");
    for rule in RECORDINGS {
        let expr = quoted(&scaled(rule.expr, by));
        let _ = writeln!(out, "      - record: {}\n        expr: {expr}", rule.name);
    }
    out
}

fn head(what: &str, by: u64) -> String {
    let scale =
        if by == 1 { String::new() } else { format!("# Every duration divided by {by}.\n") };
    format!("# {what}\n# Made by `cargo run -p quorate-monitoring`; do not edit.\n{scale}")
}

/// Unit tests of every alert, for `promtool test rules`: one that it fires, one that it does not.
pub fn alert_tests() -> String {
    let mut out = head("Unit tests of every alert: promtool test rules alerts_test.yaml", 1);
    out.push_str("rule_files:\n  - ../recordings.yaml\n  - ../alerts.yaml\nevaluation_interval: 1m\ntests:\n");
    for alert in ALERTS {
        test(&mut out, alert, "fires", alert.fires, &expected(alert));
        test(&mut out, alert, "is quiet", alert.quiet, "        exp_alerts: []\n");
    }
    out
}

fn test(out: &mut String, alert: &Alert, what: &str, (at, series): (&str, &[Series]), then: &str) {
    let _ = writeln!(out, "  - name: {} {what}\n    interval: 1m\n    input_series:", alert.name);
    for (name, values) in series {
        let _ = writeln!(out, "      - series: {}", quoted(&located(name)));
        let _ = writeln!(out, "        values: {}", quoted(values));
    }
    let name = alert.name;
    let _ = write!(
        out,
        "    alert_rule_test:\n      - eval_time: {at}\n        alertname: {name}\n{then}"
    );
}

/// The series with job and instance among its labels.
fn located(series: &str) -> String {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let own = labels.trim_end_matches('}');
    let comma = if own.is_empty() { "" } else { "," };
    let [(instance, pool), (job, scheduler)] = WHERE;
    format!("{name}{{{own}{comma}{instance}=\"{pool}\",{job}=\"{scheduler}\"}}")
}

fn expected(alert: &Alert) -> String {
    let severity = if alert.severity == Severity::Page { "page" } else { "ticket" };
    let own = alert.labels.iter().chain(&WHERE);
    let mut out = "        exp_alerts:\n          - exp_labels:\n".to_owned();
    let _ = writeln!(out, "              severity: {severity}");
    let mut summary = alert.summary.to_owned();
    for (name, value) in own {
        let _ = writeln!(out, "              {name}: {}", quoted(value));
        summary = summary.replace(&format!("{{{{ $labels.{name} }}}}"), value);
    }
    let (summary, name, board) = (quoted(&summary), alert.name, alert.board);
    let _ = write!(
        out,
        "            exp_annotations:\n              summary: {summary}\n              \
         runbook_url: {RUNBOOKS}/{name}.md\n              dashboard: /d/{board}\n"
    );
    out
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
