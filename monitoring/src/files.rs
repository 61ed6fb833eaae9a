//! Every file that is made from the declarations, by its path below a folder.

use crate::{boards, reference, rules, runbooks::RUNBOOKS};
use serde_json::Value;

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path, with `/`.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// All files that an operator needs, and what Prometheus and Grafana need to find them.
pub fn all() -> Vec<File> {
    let mut files: Vec<File> = boards::all()
        .iter()
        .map(|board| file(&format!("dashboards/{}.json", board.uid), pretty(&board.json())))
        .collect();
    files.extend([
        file("metrics.md", reference::page()),
        file("rules/alerts.yaml", rules::alerts(1)),
        file("rules/recordings.yaml", rules::recordings(1)),
        file("rules/tests/alerts_test.yaml", rules::alert_tests()),
    ]);
    files
}

/// Files written by hand that belong to what an operator takes along.
pub const BY_HAND: &[(&str, &str)] = &[
    ("README.md", include_str!("../README.md")),
    ("prometheus.yml", include_str!("../prometheus.yml")),
    (
        "grafana/provisioning/dashboards/quorate.yaml",
        include_str!("../grafana/provisioning/dashboards/quorate.yaml"),
    ),
    (
        "grafana/provisioning/datasources/prometheus.yaml",
        include_str!("../grafana/provisioning/datasources/prometheus.yaml"),
    ),
];

/// Everything for a folder of an operator's: what is generated, what is written by hand, the runbooks.
pub fn export() -> Vec<File> {
    let by_hand = BY_HAND.iter().map(|(path, text)| file(path, (*text).to_owned()));
    let page =
        |(name, text): &(&str, &str)| file(&format!("runbooks/{name}.md"), (*text).to_owned());
    all().into_iter().chain(by_hand).chain(RUNBOOKS.iter().map(page)).collect()
}

fn file(path: &str, text: String) -> File {
    File { path: path.to_owned(), text }
}

/// JSON with sorted keys: what other crates ask of the JSON library must not change our files.
fn pretty(value: &Value) -> String {
    let text = serde_json::to_string_pretty(&sorted(value)).expect("a dashboard is plain data");
    text + "\n"
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            keys.into_iter().map(|key| (key.clone(), sorted(&map[key]))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
