//! `status` and `config show`: what is, without asking anybody else.

use super::{
    Global, amount,
    config::Config,
    control, failure,
    output::{Output, facts},
};
use crate::{
    start,
    status::{self, Mood, PoolStatus, Status},
    why::why,
};
use quorate_agent::{StageName, Totals};
use quorate_common::exit::{Code, Failure};
use quorate_policy::Reason;
use quorate_senses::calendar;
use serde_json::{Value, json};
use std::io;

/// The file `run` writes and `status` reads.
pub(crate) const STATUS_FILE: &str = "status.json";

/// `status`: as the worker says itself, or as it was last.
pub(super) async fn status(global: &Global, output: Output) -> Result<(), Failure> {
    let config = Config::load(global, &[])?;
    if let Some((status, _)) = control::status(&config).await {
        return print(&config, Some(&status), true, output);
    }
    let is_running = start::is_running(&config.data_dir);
    print(&config, Some(&read(&config)?), is_running, output)
}

/// What was written last.
#[expect(clippy::wildcard_enum_match_arm, reason = "the system has forty kinds of error")]
fn read(config: &Config) -> Result<Status, Failure> {
    let path = config.path(STATUS_FILE);
    Status::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let text = format!("no worker has run in {}", config.data_dir.display());
            Failure::new(Code::NotFound, text).hint("`quorate-worker start` starts it")
        }
        _ => failure::file(&path, &error),
    })
}

/// Says how a worker is, and the one reason if it does not work.
pub(super) fn print(
    config: &Config,
    status: Option<&Status>,
    is_running: bool,
    output: Output,
) -> Result<(), Failure> {
    let price = config.price()?;
    let why = why(status, is_running);
    let until = status.and_then(|status| status.mood.as_ref()?.until_unix_ms);
    let until = until.filter(|_| is_running);
    output.either(&document(status, is_running, price, why.as_ref()), || {
        let state = state(why.as_ref(), until);
        status.map_or_else(
            || facts(&[("state", state.clone())]),
            |status| text(status, &state, price),
        )
    })
}

/// `working`, or why not and until when.
pub(crate) fn state(why: Option<&Reason>, until: Option<u64>) -> String {
    let Some(why) = why else { return "working".to_owned() };
    let until = until.map_or_else(String::new, |ms| format!(" until {}", calendar::clock(ms)));
    format!("not working: {}{until}; {}", why.words(), why.hint())
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

fn document(status: Option<&Status>, is_running: bool, price: u128, why: Option<&Reason>) -> Value {
    let mut document = status.map_or_else(|| json!({}), |status| json!(status));
    document["schema"] = status::SCHEMA.into();
    document["running"] = is_running.into();
    document["price"] = price.to_string().into();
    document["why"] = why.map_or(
        Value::Null,
        |why| json!({ "reason": why.code(), "words": why.words(), "hint": why.hint() }),
    );
    document
}

fn text(status: &Status, state: &str, price: u128) -> String {
    let Status { name, view, note, ended, mood, pools, .. } = status;
    let Totals { settled, forgotten, earned, slashed } = view.totals;
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
    rows.extend(pools.iter().map(|pool| ("pool", pool_line(pool))));
    if !view.notice.is_empty() {
        rows.push(("operator", view.notice.clone()));
    }
    rows.extend(mood.iter().map(|mood| ("allowed", allowed(mood))));
    rows.extend(note.iter().map(|note| ("note", note.clone())));
    rows.extend(ended.iter().map(|ended| ("ended", ended.clone())));
    facts(&rows)
}

/// `home at 127.0.0.1:7421: 3 slots (share 50), 2 running, earned 1.5`.
fn pool_line(pool: &PoolStatus) -> String {
    let PoolStatus { name, scheduler, share, slots, running, earned, .. } = pool;
    let name = if name.is_empty() { super::pools::HOME } else { name };
    let ended = pool.ended.as_ref().map_or_else(String::new, |why| format!("; {why}"));
    let earned = amount::show(*earned);
    format!(
        "{name} at {scheduler}: {slots} slots (share {share}), {running} running, earned {earned}{ended}"
    )
}

/// `2 of 4 slots, 100 % of a core each: you are using the computer`.
pub(crate) fn allowed(mood: &Mood) -> String {
    let Mood { slots, of_slots, cpu_percent, limited, .. } = mood;
    let why = limited.as_ref().map_or_else(String::new, |why| format!(": {}", why.words()));
    format!("{slots} of {of_slots} slots, {cpu_percent} % of a core each{why}")
}
