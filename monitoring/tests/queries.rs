//! Both ways: no query, alert or runbook names a metric, label or value that does not exist, and nothing
//! that a scheduler exports is left unasked.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{self, AggregateExpr, BinaryExpr, Expr, LabelModifier, VectorSelector},
    util::{ExprVisitor, walk_expr},
};
use quorate_monitoring::{
    SchedulerMetrics, boards,
    family::{Family, Kind},
    files, lint,
    rules::{ALERTS, RECORDINGS},
    runbooks::RUNBOOKS,
};
use std::collections::{BTreeMap, BTreeSet};

/// Exported and on purpose on no panel and in no alert, with the reason.
const UNASKED: [(&str, &str); 0] = [];
/// What comes from Prometheus itself or from the system, with its labels.
const FOREIGN: [(&str, &[&str]); 9] = [
    ("up", &[]),
    ("ALERTS", &["alertname", "alertstate", "severity"]),
    ("process_cpu_seconds_total", &[]),
    ("process_max_fds", &[]),
    ("process_open_fds", &[]),
    ("process_resident_memory_bytes", &[]),
    ("process_start_time_seconds", &[]),
    ("process_threads", &[]),
    ("process_virtual_memory_bytes", &[]),
];

/// A name that may be asked for: labels with their values; no values mean any.
type Known = BTreeMap<String, BTreeMap<&'static str, Option<&'static [&'static str]>>>;

fn known() -> Known {
    let mut known = Known::new();
    for family in SchedulerMetrics::FAMILIES {
        let labels: BTreeMap<_, _> =
            family.labels.iter().map(|label| (label.name, Some(label.values))).collect();
        if family.kind == Kind::Histogram {
            for ending in ["_sum", "_count"] {
                known.insert(format!("{}{ending}", family.name), labels.clone());
            }
            let mut with_le = labels;
            with_le.insert("le", None);
            known.insert(format!("{}_bucket", family.name), with_le);
        } else {
            known.insert(family.name.into(), labels);
        }
    }
    for (name, labels) in FOREIGN {
        known.insert(name.into(), labels.iter().map(|label| (*label, None)).collect());
    }
    for rule in RECORDINGS {
        known.insert(rule.name.into(), rule.labels.iter().map(|label| (*label, None)).collect());
    }
    for labels in known.values_mut() {
        labels.extend([("job", None), ("instance", None)]);
    }
    known
}

/// Every expression there is, and where.
fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for board in boards::all() {
        for panel in board.panels() {
            let place = format!("{}, `{}`", board.uid, panel.title);
            let queries = panel.queries.iter();
            all.extend(queries.map(|query| (place.clone(), boards::with_selection(&query.expr))));
        }
    }
    let annotations = boards::ANNOTATIONS.iter();
    all.extend(annotations.map(|(name, expr, ..)| ((*name).into(), boards::with_selection(expr))));
    all.extend(ALERTS.iter().map(|alert| (alert.name.into(), alert.expr.into())));
    all.extend(RECORDINGS.iter().map(|rule| (rule.name.into(), rule.expr.into())));
    all
}

fn parsed(place: &str, expr: &str) -> Expr {
    let expr = expr.replace("$__rate_interval", "1m").replace("$__range", "1h");
    parser::parse(&expr).unwrap_or_else(|error| panic!("{place}: {error}\n{expr}"))
}

/// What an expression names.
#[derive(Default)]
struct Names {
    selectors: Vec<VectorSelector>,
    grouped: BTreeSet<String>,
}

impl ExprVisitor for Names {
    type Error = ();

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest names nothing")]
    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, ()> {
        match expr {
            Expr::VectorSelector(selector) => self.selectors.push(selector.clone()),
            Expr::MatrixSelector(matrix) => self.selectors.push(matrix.vs.clone()),
            Expr::Aggregate(AggregateExpr { modifier: Some(modifier), .. }) => {
                let (LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) = modifier;
                self.grouped.extend(labels.labels.iter().cloned());
            }
            Expr::Binary(BinaryExpr { modifier: Some(modifier), .. }) => {
                let labels = modifier.matching.iter().flat_map(|matching| match matching {
                    LabelModifier::Include(labels) | LabelModifier::Exclude(labels) => {
                        labels.labels.iter().cloned()
                    }
                });
                self.grouped.extend(labels);
            }
            _ => {}
        }
        Ok(true)
    }
}

fn names(place: &str, expr: &str) -> Names {
    let mut names = Names::default();
    walk_expr(&mut names, &parsed(place, expr)).unwrap();
    names
}

#[test]
fn no_query_names_what_does_not_exist() {
    let known = known();
    for (place, expr) in expressions() {
        let names = names(&place, &expr);
        assert!(!names.selectors.is_empty(), "{place} asks for no metric: {expr}");
        let mut labels = BTreeSet::new();
        for selector in &names.selectors {
            let name = selector.name.as_deref().unwrap_or_default();
            let of = known.get(name).unwrap_or_else(|| panic!("{place}: no metric `{name}`"));
            labels.extend(of.keys().copied());
            for matcher in &selector.matchers.matchers {
                let values = of.get(matcher.name.as_str());
                let values = values
                    .unwrap_or_else(|| panic!("{place}: `{name}` has no label `{}`", matcher.name));
                matches_something(&place, name, matcher, *values);
            }
        }
        for label in &names.grouped {
            assert!(labels.contains(label.as_str()), "{place}: no label `{label}` in {expr}");
        }
    }
}

/// A matcher must leave something, and leave something out.
fn matches_something(place: &str, name: &str, matcher: &Matcher, values: Option<&[&str]>) {
    let Some(values) = values else { return };
    let fits = |value: &&&str| match &matcher.op {
        MatchOp::Equal => **value == matcher.value,
        MatchOp::NotEqual => **value != matcher.value,
        MatchOp::Re(re) => re.is_match(value),
        MatchOp::NotRe(re) => !re.is_match(value),
    };
    let left = values.iter().filter(fits).count();
    assert!(left > 0, "{place}: `{name}{{{matcher}}}` matches none of {values:?}");
    let words = matcher
        .value
        .split('|')
        .filter(|word| word.chars().all(|c| c.is_alphanumeric() || c == '_'));
    for word in words {
        assert!(values.contains(&word), "{place}: `{name}` has no {} `{word}`", matcher.name);
    }
}

#[test]
fn nothing_exported_is_left_unasked() {
    let mut asked = BTreeSet::new();
    for (place, expr) in expressions() {
        asked.extend(names(&place, &expr).selectors.into_iter().filter_map(|s| s.name));
    }
    let is_asked = |family: &Family| {
        let endings = ["", "_bucket", "_sum", "_count"];
        endings.iter().any(|ending| asked.contains(&format!("{}{ending}", family.name)))
    };
    for family in SchedulerMetrics::FAMILIES {
        let allowed = UNASKED.iter().any(|(name, _)| *name == family.name);
        assert!(
            is_asked(family) != allowed,
            "{} is on no panel and in no alert: show it, or list it in UNASKED with a reason",
            family.name
        );
    }
    for rule in RECORDINGS {
        assert!(asked.contains(rule.name), "{} is recorded and never asked for", rule.name);
    }
}

#[test]
fn dashboards_have_what_a_reader_needs() {
    let findings: Vec<String> = boards::all().iter().flat_map(lint::findings).collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn panels_do_not_overlap() {
    for board in boards::all() {
        let json = board.json();
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in json["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}: an id twice", board.uid);
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{}: {} is too far right", board.uid, panel["title"]);
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{}: {} overlaps", board.uid, panel["title"]);
                }
            }
        }
    }
}

#[test]
fn every_alert_has_a_runbook_that_names_only_what_exists() {
    let known = known();
    let alerts: Vec<&str> = ALERTS.iter().map(|alert| alert.name).collect();
    let pages: Vec<&str> = RUNBOOKS.iter().map(|(name, _)| *name).collect();
    assert_eq!(alerts, pages, "a page for each alert, in their order");
    for (name, page) in RUNBOOKS {
        for part in ["## What it means\n", "## What to look at\n", "## What to do\n"] {
            assert!(page.contains(part), "runbooks/{name}.md has no `{}`", part.trim());
        }
        assert!(page.starts_with(&format!("# {name}\n")), "runbooks/{name}.md: its title");
        let words = page.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        for word in words.filter(|word| word.starts_with("quorate_")) {
            let is_known = known.keys().any(|known| known.starts_with(word));
            assert!(is_known, "runbooks/{name}.md names `{word}`, which does not exist");
        }
        for word in page.split(|c: char| !c.is_alphanumeric()).filter(|w| w.starts_with("Quorate"))
        {
            assert!(
                word == "Quorate" || alerts.contains(&word),
                "runbooks/{name}.md: no alert {word}"
            );
        }
    }
}

#[test]
fn every_alert_names_a_dashboard_and_tests_what_it_asks() {
    let known = known();
    let uids: Vec<&str> = boards::all().iter().map(|board| board.uid).collect();
    for alert in ALERTS {
        assert!(uids.contains(&alert.board), "{}: no dashboard {}", alert.name, alert.board);
        for (series, _) in alert.fires.1.iter().chain(alert.quiet.1) {
            for selector in names(alert.name, series).selectors {
                let name = selector.name.unwrap_or_default();
                let labels = known.get(&name);
                let labels = labels.unwrap_or_else(|| panic!("{}: no metric {name}", alert.name));
                for matcher in &selector.matchers.matchers {
                    let values = labels.get(matcher.name.as_str()).copied();
                    let values = values.unwrap_or_else(|| panic!("{}: {matcher}", alert.name));
                    matches_something(alert.name, &name, matcher, values);
                }
            }
        }
    }
}

#[test]
fn committed_files_are_what_the_source_says() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in files::all() {
        let text = std::fs::read_to_string(top.join(&file.path)).unwrap_or_default();
        assert!(text == file.text, "{}: run `cargo run -p quorate-monitoring`", file.path);
    }
}
