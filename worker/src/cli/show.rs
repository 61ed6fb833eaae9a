//! `status` and `config show`: what is, without asking anybody else.

use super::{
    Global, amount,
    config::Config,
    failure,
    output::{Output, facts},
};
use crate::{start, status::Status};
use quorate_agent::{LinkView, StageName, Totals};
use quorate_common::exit::{Code, Failure};
use serde_json::{Value, json};
use std::io;

/// The file `run` writes and `status` reads.
pub(crate) const STATUS_FILE: &str = "status.json";

/// `status`.
#[expect(clippy::wildcard_enum_match_arm, reason = "the system has forty kinds of error")]
pub(crate) fn status(global: &Global, output: Output) -> Result<(), Failure> {
    let config = Config::load(global, &[])?;
    let path = config.path(STATUS_FILE);
    let status = Status::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let text = format!("no worker has run in {}", config.data_dir.display());
            Failure::new(Code::NotFound, text).hint("`quorate-worker run` starts it")
        }
        _ => failure::file(&path, &error),
    })?;
    let is_running = start::is_running(&config.data_dir);
    let price = config.price()?;
    output.either(&document(&status, is_running, price), || text(&status, is_running, price))
}

/// `config show`.
pub(crate) fn config(global: &Global, origin: bool, output: Output) -> Result<(), Failure> {
    let config = Config::load(global, &[])?;
    let rows: Vec<Value> = config
        .layers
        .rows()
        .into_iter()
        .map(|(key, value)| {
            let (value, from) = value
                .map_or((None, None), |(value, origin)| (Some(value), Some(origin.to_string())));
            json!({ "key": key.name, "value": value, "origin": from, "help": key.help })
        })
        .collect();
    let data_dir = config.data_dir.display().to_string();
    let document = json!({ "schema": "quorate.config/v1", "data_dir": data_dir, "keys": rows });
    output.either(&document, || {
        let line = |(key, value): (quorate_common::config::Key, Option<(String, _)>)| match value {
            Some((value, from)) if origin => format!("{} = {value}    # {from}", key.name),
            Some((value, _)) => format!("{} = {value}", key.name),
            None => format!("# {} is not set", key.name),
        };
        let lines: Vec<String> = config.layers.rows().into_iter().map(line).collect();
        format!("# data folder: {data_dir}\n{}", lines.join("\n"))
    })
}

fn document(status: &Status, is_running: bool, price: u128) -> Value {
    let mut document = serde_json::to_value(status).unwrap_or_default();
    document["running"] = is_running.into();
    document["price"] = price.to_string().into();
    document
}

fn text(status: &Status, is_running: bool, price: u128) -> String {
    let Status { name, view, note, ended, .. } = status;
    let Totals { settled, forgotten, earned, slashed } = view.totals;
    let state = match (is_running, view.link) {
        (false, _) => "not running; what follows is as it was last",
        (true, LinkView::Down) => "running, no connection",
        (true, LinkView::Greeting) => "running, connecting",
        (true, LinkView::Unregistered) => "running, not registered: run `quorate-worker join`",
        (true, LinkView::Up) => "running, connected",
    };
    let unset = || "none yet".to_owned();
    let count =
        |stages: &[StageName]| view.jobs.iter().filter(|job| stages.contains(&job.stage)).count();
    let waiting = count(&[StageName::Fetching, StageName::Waiting]);
    let sealed = count(&[StageName::Sealed, StageName::Acked]);
    let shown = count(&[StageName::Revealing, StageName::Revealed]);
    let jobs =
        format!("{} running, {waiting} waiting, {sealed} sealed, {shown} shown", view.running);
    let mut rows = vec![
        ("worker", format!("{name} ({})", view.worker.map_or_else(unset, |idx| idx.to_string()))),
        ("state", state.to_owned()),
        ("scheduler", status.scheduler.clone()),
        ("jobs", jobs),
        ("settled", format!("{settled} tasks, {} given back, {forgotten} lost", view.gave_up)),
        ("price", format!("{} a task, at least", amount::show(price))),
        ("earned", amount::show(earned)),
        ("slashed", amount::show(slashed)),
        ("stake", amount::show(view.stake)),
        ("score", view.score.to_string()),
    ];
    if !view.notice.is_empty() {
        rows.push(("operator", view.notice.clone()));
    }
    rows.extend(note.iter().map(|note| ("note", note.clone())));
    rows.extend(ended.iter().map(|ended| ("ended", ended.clone())));
    facts(&rows)
}
