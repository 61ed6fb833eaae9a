//! The preferences: every key, grouped, with its value, default, unit and reason; and what a form changes of them,
//! in the way `quorate-worker set` does.

use super::{
    Page,
    answer::{Answer, go, html},
    door::Visit,
    fields::{Field, GROUPS, Kind, SCHEDULE},
    form::Form,
    frame::Frame,
};
use crate::cli::{AT_START, Config, change};
use askama::Template;
use quorate_common::{
    config::{Key, Origin},
    exit::Failure,
};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "preferences.html")]
struct View {
    frame: Frame,
    groups: Vec<Group>,
    fixed: Vec<Row>,
    saved: bool,
    later: Vec<&'static str>,
}

struct Group {
    id: usize,
    title: &'static str,
    rows: Vec<Row>,
}

struct Row {
    key: &'static str,
    label: &'static str,
    help: &'static str,
    value: String,
    default: String,
    /// Where the value is from, if that is stronger than what this page writes.
    held: String,
    kind: Kind,
}

impl Row {
    fn is_switch(&self) -> bool {
        self.kind == Kind::Switch
    }

    fn is_on(&self) -> bool {
        self.value == "true"
    }

    fn choices(&self) -> &'static [&'static str] {
        if let Kind::Choice(choices) = self.kind { choices } else { &[] }
    }

    /// Least, where the slider ends, unit.
    fn number(&self) -> Option<(u64, u64, &'static str)> {
        let Kind::Number { least, slider, unit } = self.kind else { return None };
        Some((least, slider, unit))
    }

    fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Number { unit, .. } => unit,
            Kind::Amount => "tokens, as 0.001, or units",
            Kind::Switch | Kind::Choice(_) | Kind::Text | Kind::Fixed => "",
        }
    }
}

/// The page.
pub(super) fn page(page: &Page, visit: &Visit) -> Result<Answer, Failure> {
    let config = page.config()?;
    let group = |(id, (title, fields)): (usize, &(&'static str, &[Field]))| {
        let row = |(key, label, kind): &Field| row(&config, key, label, *kind);
        Group { id, title, rows: fields.iter().filter_map(row).collect() }
    };
    let groups: Vec<Group> = GROUPS.iter().enumerate().map(group).collect();
    let is_shown = |key: &str| {
        key == SCHEDULE || groups.iter().any(|group| group.rows.iter().any(|row| row.key == key))
    };
    let keys = config.layers.rows();
    let rest = keys.iter().filter(|(key, _)| !is_shown(key.name));
    let fixed = rest.filter_map(|(key, _)| row(&config, key.name, key.name, Kind::Fixed)).collect();
    let later: Vec<&str> = visit.form.all("later").collect();
    html(&View {
        frame: page.frame(visit, "/preferences", "Preferences"),
        fixed,
        saved: visit.form.text("saved").is_some(),
        later: AT_START.into_iter().filter(|key| later.contains(key)).collect(),
        groups,
    })
}

fn row(config: &Config, name: &str, label: &'static str, kind: Kind) -> Option<Row> {
    let rows = config.layers.rows();
    let (key, found) = rows.into_iter().find(|(key, _)| key.name == name)?;
    let held = match &found {
        Some((_, origin @ (Origin::Env(_) | Origin::Flag(_)))) => origin.to_string(),
        _ => String::new(),
    };
    let default = key.default.trim_matches('"').to_owned();
    Some(Row {
        key: key.name,
        label,
        help: key.help,
        value: value(config, &key, found),
        default,
        held,
        kind,
    })
}

/// As a field has it: lists with commas, text without quotes.
fn value(config: &Config, key: &Key, found: Option<(String, Origin)>) -> String {
    let Some((raw, _)) = found else { return String::new() };
    if raw.starts_with('[') {
        return config.layers.list(key.name).unwrap_or_default().join(", ");
    }
    config.layers.text(key.name).unwrap_or(raw)
}

/// What a form changes.
pub(super) async fn save(page: Arc<Page>, visit: Visit) -> Result<Answer, Failure> {
    let config = page.config()?;
    let pairs = changed(&config, &visit.form);
    if pairs.is_empty() {
        return Ok(go("/preferences"));
    }
    let later = change(&page.written(), pairs).await?;
    let later: String = later.iter().map(|key| format!("&later={key}")).collect();
    Ok(go(&format!("/preferences?saved=1{later}")))
}

/// `key=value` of every field that says something new. Keys that are not changed here are not looked at.
fn changed(config: &Config, form: &Form) -> Vec<String> {
    let fields = GROUPS.iter().flat_map(|(_, fields)| *fields);
    let pair = |(key, label, kind): &Field| {
        let (row, sent) = (row(config, key, label, *kind)?, form.sent(key)?);
        (row.value != sent).then(|| format!("{key}={sent}"))
    };
    fields.filter_map(pair).collect()
}
