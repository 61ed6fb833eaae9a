//! What a dashboard must have beside queries that work. The rules of Grafana's dashboard-linter that make
//! sense here, which is a program that cannot be had from a package registry.

use crate::boards::{Board, Panel, Shape};

/// Metrics that are shown over fixed times, because what is asked is a day's or an hour's.
const FIXED_RANGES: [&str; 2] = ["[1h]", "[2m]"];

/// Everything that is wrong with a dashboard.
pub fn findings(board: &Board) -> Vec<String> {
    let mut found = Vec::new();
    let mut titles = std::collections::BTreeSet::new();
    for panel in board.panels() {
        let name = format!("{}: panel `{}`", board.uid, panel.title);
        if !titles.insert(panel.title) {
            found.push(format!("{name}: there are two of that title; give one another"));
        }
        found.extend(of_panel(panel).into_iter().map(|what| format!("{name}: {what}")));
    }
    found
}

fn of_panel(panel: &Panel) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |is_so: bool, what: &str| {
        if !is_so {
            found.push(what.to_owned());
        }
    };
    must(!panel.title.is_empty(), "has no title");
    must(panel.description.len() > 20, "has no description of a sentence");
    must(panel.description.ends_with('.'), "its description is no sentence");
    must(!panel.unit.is_empty(), "has no unit; `none` is one");
    must(panel.shape == Shape::Text || !panel.queries.is_empty(), "asks nothing");
    must(panel.size().0 <= 24, "is wider than 24 columns");
    for query in &panel.queries {
        let expr = &query.expr;
        must(!query.legend.is_empty(), "a query has no legend");
        must(
            expr.contains("$S") || expr.contains("ALERTS"),
            "a query does not obey the variables: write {$S}",
        );
        must(!has_fixed_range(expr), "a rate over a fixed time: use [$__rate_interval]");
        must(!is_raw_counter(expr), "a counter as it is: use rate() or increase()");
    }
    found
}

fn has_fixed_range(expr: &str) -> bool {
    expr.split('[').skip(1).any(|part| {
        let range = part.split(']').next().unwrap_or_default();
        range != "$__rate_interval" && !FIXED_RANGES.contains(&format!("[{range}]").as_str())
    })
}

/// Counters that are shown since the start of the program are those whose every step matters: a few.
fn is_raw_counter(expr: &str) -> bool {
    const EACH_MATTERS: [&str; 6] = [
        "quorate_chain_complaints_total",
        "quorate_disputes_total",
        "quorate_tasks_unpromised_total",
        "quorate_frames_refused_total",
        "quorate_worker_sessions_ended_total",
        "process_cpu_seconds_total",
    ];
    let names = expr.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    let counters = names.filter(|name| name.ends_with("_total"));
    let is_raw = |name: &str| !EACH_MATTERS.contains(&name);
    let wrapped = ["rate(", "increase(", "changes("].iter().any(|call| expr.contains(call));
    !wrapped && counters.into_iter().any(is_raw)
}
