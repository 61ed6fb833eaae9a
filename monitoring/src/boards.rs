//! Grafana dashboards, made from a few words each. Only panel types that Grafana's own npm components draw
//! (time series, stat, bar gauge, table, text, row), so that CI can look at every panel.
//!
//! In expressions `$S` stands for the matchers of the two variables that every query obeys.

mod internals;
mod money;
mod overview;
mod panel;
mod scheduling;
mod workers;

pub use panel::{Panel, Query, Shape, Step};

use serde_json::{Value, json};

/// What `$S` stands for.
const SELECTION: &str = r#"job=~"$job",instance=~"$instance""#;
/// Columns of a dashboard.
const COLUMNS: u32 = 24;

/// A dashboard.
#[derive(Clone, Debug)]
pub struct Board {
    /// Fixed, so that links to it hold.
    pub uid: &'static str,
    /// Its name.
    pub title: &'static str,
    /// The question it answers.
    pub answers: &'static str,
    /// Its parts.
    pub rows: Vec<Row>,
}

/// Panels under one heading.
#[derive(Clone, Debug)]
pub struct Row {
    /// The heading.
    pub title: &'static str,
    /// The panels, left to right.
    pub panels: Vec<Panel>,
}

/// All dashboards, in the order an operator looks at them.
pub fn all() -> Vec<Board> {
    vec![
        overview::board(),
        scheduling::board(),
        workers::board(),
        money::board(),
        internals::board(),
    ]
}

fn row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, panels }
}

impl Board {
    /// Every panel.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }

    /// The dashboard as Grafana reads it.
    pub fn json(&self) -> Value {
        json!({
            "uid": self.uid,
            "title": format!("Quorate / {}", self.title),
            "description": self.answers,
            "tags": ["quorate"],
            "schemaVersion": 39,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": { "from": "now-6h", "to": "now" },
            "timezone": "browser",
            "timepicker": {},
            "fiscalYearStartMonth": 0,
            "liveNow": false,
            "weekStart": "",
            "templating": { "list": variables() },
            "annotations": { "list": annotations() },
            "links": self.links(),
            "panels": self.placed(),
        })
    }

    /// To every other dashboard, with the same time and variables.
    fn links(&self) -> Vec<Value> {
        let link = |(uid, title): &(&str, &str)| {
            json!({
                "type": "link", "title": title, "url": format!("/d/{uid}"), "icon": "dashboard",
                "keepTime": true, "includeVars": true, "targetBlank": false, "asDropdown": false,
                "tags": [], "tooltip": "",
            })
        };
        BOARDS.iter().filter(|(uid, _)| *uid != self.uid).map(link).collect()
    }

    /// Rows and panels, each in its place: left to right, as high as the highest of a line.
    fn placed(&self) -> Vec<Value> {
        let (mut placed, mut id, mut y) = (Vec::new(), 0, 0);
        for row in &self.rows {
            id += 1;
            placed.push(json!({
                "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
                "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
            }));
            y += 1;
            let (mut x, mut highest) = (0, 0);
            for panel in &row.panels {
                let (width, height) = panel.size();
                if x + width > COLUMNS {
                    (x, y, highest) = (0, y + highest, 0);
                }
                id += 1;
                let place = json!({ "x": x, "y": y, "w": width, "h": height });
                placed.push(panel.json(id, &place));
                (x, highest) = (x + width, highest.max(height));
            }
            y += highest;
        }
        placed
    }
}

/// Ids and titles of all dashboards: links need them before the dashboards are made.
const BOARDS: &[(&str, &str)] = &[
    ("quorate-overview", "Overview"),
    ("quorate-scheduling", "Scheduling and tasks"),
    ("quorate-workers", "Workers and trust"),
    ("quorate-money", "Money and chain"),
    ("quorate-internals", "Internals"),
];

fn board(at: usize, answers: &'static str, rows: Vec<Row>) -> Board {
    let (uid, title) = BOARDS[at];
    Board { uid, title, answers, rows }
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn variables() -> Vec<Value> {
    let label = |name: &str, label: &str, query: &str| {
        json!({
            "name": name, "label": label, "type": "query", "datasource": source(),
            "query": { "query": query, "refId": format!("variable-{name}") },
            "definition": query, "refresh": 2, "sort": 1, "hide": 0, "regex": "",
            "multi": true, "includeAll": true, "allValue": ".+", "skipUrlSync": false,
            "current": { "selected": true, "text": ["All"], "value": ["$__all"] }, "options": [],
        })
    };
    vec![
        json!({
            "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
            "refresh": 1, "hide": 0, "regex": "", "multi": false, "includeAll": false,
            "skipUrlSync": false, "current": {}, "options": [],
        }),
        label("job", "Job", "label_values(quorate_build_info, job)"),
        label(
            "instance",
            "Scheduler",
            r#"label_values(quorate_build_info{job=~"$job"}, instance)"#,
        ),
    ]
}

/// Expressions whose moments are marked on every time axis.
pub const ANNOTATIONS: &[(&str, &str, &str, &str)] = &[
    (
        "Restarts",
        "changes(process_start_time_seconds{$S}[2m]) > 0",
        "scheduler {{instance}} started",
        "orange",
    ),
    ("Batches", "changes(quorate_batch_index{$S}[1m]) > 0", "a batch was closed", "blue"),
];

fn annotations() -> Vec<Value> {
    let one = |(name, expr, text, color): &(&str, &str, &str, &str)| {
        json!({
            "name": name, "datasource": source(), "enable": true, "hide": false,
            "expr": with_selection(expr), "iconColor": color, "step": "60s",
            "titleFormat": name, "textFormat": text, "useValueForTime": false,
        })
    };
    ANNOTATIONS.iter().map(one).collect()
}

/// The expression with the variables' matchers.
pub fn with_selection(expr: &str) -> String {
    expr.replace("$S", SELECTION)
}
