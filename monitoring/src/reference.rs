//! The metric reference, as Markdown.

use crate::{
    SchedulerMetrics, WorkerMetrics,
    family::{Family, Kind},
    rules::RECORDINGS,
};
use std::fmt::Write as _;

/// The page.
pub(crate) fn page() -> String {
    let series: usize = SchedulerMetrics::FAMILIES.iter().map(Family::series).sum();
    let mut out = format!(
        "# Metrics\n\nMade by `cargo run -p quorate-monitoring` from the declarations in `src/metrics/`; do not \
         edit.\n\nA scheduler exports {series} series and those of its process (`process_*`), whatever it has to \
         do: no label is a worker, an order, an address or a path. Every series is there from the start, at 0. \
         Figures of one worker or one order are in the API.\n\n## Scheduler: `GET /metrics`\n\n"
    );
    table(&mut out, SchedulerMetrics::FAMILIES);
    out.push_str(
        "\n## Worker: `GET /metrics` on the loopback address that `metrics.listen` names\n\n",
    );
    table(&mut out, WorkerMetrics::FAMILIES);
    out.push_str("\n## Recorded by `rules/recordings.yaml`\n\n| name | what |\n|---|---|\n");
    for rule in RECORDINGS {
        let _ = writeln!(out, "| `{}` | `{}` |", rule.name, rule.expr.replace('|', "\\|"));
    }
    out
}

fn table(out: &mut String, families: &[Family]) {
    out.push_str("| name | kind | labels | what |\n|---|---|---|---|\n");
    for family in families {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let label =
            |label: &crate::family::Label| format!("`{}`: {}", label.name, label.values.join(", "));
        let labels: Vec<String> = family.labels.iter().map(label).collect();
        let labels = labels.join("; ").replace(env!("CARGO_PKG_VERSION"), "the program's");
        let _ = writeln!(out, "| `{}` | {kind} | {labels} | {} |", family.name, family.help);
    }
}
